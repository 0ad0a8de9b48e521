/*
 * vmmap.c - one moment of an address space: regions, their pages in the working set, and what they are for.
 *
 * Regions are those that NtQueryVirtualMemory tells, made by the same functions under one hold of both locks of the space, so they fit together
 * and with the working set, which is then gone through once. Room for them is found before: if it was too little, the locks are
 * dropped, it is doubled, and all begins anew.
 *
 * Stacks and TEBs are known from the threads, which the kernel has told their addresses; the heap and the parameters are what the PEB
 * says, which the program may have changed: names for people, nothing depends on them.
 *
 * Locks: address lock, then working-set lock, the process attached. IRQL: PASSIVE_LEVEL.
 */
#include "../vmmap.h"
#include <ntos/peb.h>

#define MI_TAG_MAP       'pVmM'
#define MI_FIRST_REGIONS 128 /* a program that has just started has 30 */

/* ---- Under the locks ---- */

/* All regions of one VAD. FALSE: no room. */
static BOOLEAN MiMapVad(PMI_MEMORY_MAP Map, PMI_VAD Vad)
{
    for (ULONG64 Vpn = Vad->StartVpn; Vpn <= Vad->EndVpn;) {
        PMI_MAP_REGION Region = &Map->Region[Map->Count];

        if (Map->Count == Map->Room) {
            return FALSE;
        }
        RtlZeroMemory(Region, sizeof(*Region));
        Region->Basic.BaseAddress = MI_VPN_ADDRESS(Vpn);
        MiDescribeVad(Vad, Vpn, &Region->Basic);
        Region->Charged = Vpn == Vad->StartVpn ? Vad->Commit : 0;
        if (Vad->Type == MiVadMapped && Vad->ControlArea->FileObject != NULL) {
            Region->FileObject = Vad->ControlArea->FileObject;
            ObReferenceObject(Region->FileObject);
        }
        Map->Count++;
        Vpn += Region->Basic.RegionSize >> PAGE_SHIFT;
    }
    return TRUE;
}

/* The region of an address; NULL: none. */
static PMI_MAP_REGION MiRegionAt(PMI_MEMORY_MAP Map, const VOID *Address)
{
    ULONG Low = 0, High = Map->Count;

    while (Low < High) {
        ULONG Middle = (Low + High) / 2;
        PMI_MAP_REGION Region = &Map->Region[Middle];

        if ((ULONG64)Address < (ULONG64)Region->Basic.BaseAddress) {
            High = Middle;
        } else if ((ULONG64)Address - (ULONG64)Region->Basic.BaseAddress >= Region->Basic.RegionSize) {
            Low = Middle + 1;
        } else {
            return Region;
        }
    }
    return NULL;
}

static VOID MiMapWorkingSet(PMI_ADDRESS_SPACE Space, PMI_MEMORY_MAP Map)
{
    RtlZeroMemory(Map->Ages, sizeof(Map->Ages));
    for (ULONG Index = 1; Index < Space->WslEntries; Index++) {
        PVOID Address = MI_VPN_ADDRESS((ULONG64)MI_WSL[Index].Vpn);
        PMI_MAP_REGION Region = MI_WSL[Index].Valid ? MiRegionAt(Map, Address) : NULL;

        if (MI_WSL[Index].Valid) {
            Map->Ages[MI_WSL[Index].Age]++;
        }
        if (Region != NULL) {
            Region->Shared += MiPteOf(Address)->Hard.Prototype;
            Region->Private += !MiPteOf(Address)->Hard.Prototype;
        }
    }
}

/* FALSE: no room. */
static BOOLEAN MiMapSpace(PMI_ADDRESS_SPACE Space, PMI_MEMORY_MAP Map)
{
    BOOLEAN Whole = TRUE;

    ExAcquireFastMutex(&Space->AddressLock);
    ExAcquireFastMutex(&Space->WorkingSetLock);
    for (PMI_VAD Vad = MiNextVad(Space, NULL); Vad != NULL && Whole; Vad = MiNextVad(Space, Vad)) {
        Whole = MiMapVad(Map, Vad);
    }
    if (Whole) {
        MiMapWorkingSet(Space, Map);
    }
    Map->TablePages = Space->TablePages;
    Map->Charged = Space->Commit;
    Map->WorkingSet = Space->WorkingSet;
    ExReleaseFastMutex(&Space->WorkingSetLock);
    ExReleaseFastMutex(&Space->AddressLock);
    return Whole;
}

/* ---- Names ---- */

static VOID MiNamePart(PMI_MEMORY_MAP Map, const VOID *Address, MI_REGION_PART Part, HANDLE Thread)
{
    PMI_MAP_REGION Region = Address == NULL ? NULL : MiRegionAt(Map, Address);
    PVOID Allocation = Region == NULL ? NULL : Region->Basic.AllocationBase;

    while (Region != NULL && Region > Map->Region && Region[-1].Basic.AllocationBase == Allocation) {
        Region--;
    }
    for (; Region != NULL && Region < Map->Region + Map->Count && Region->Basic.AllocationBase == Allocation;
         Region++) {
        Region->Part = Part;
        Region->Thread = Thread;
    }
}

static VOID MiNameParts(PEPROCESS Process, PMI_MEMORY_MAP Map)
{
    PPEB User = Process->Peb;
    PVOID Heap = NULL, Parameters = NULL;

    for (PETHREAD Thread = PsGetNextProcessThread(Process, NULL); Thread != NULL;
         Thread = PsGetNextProcessThread(Process, Thread)) {
        MiNamePart(Map, Thread->UserStart.Stack, MiPartStack, Thread->Cid.UniqueThread);
        MiNamePart(Map, Thread->UserStart.Teb, MiPartTeb, Thread->Cid.UniqueThread);
    }
    if (User == NULL) {
        return;
    }
    MiNamePart(Map, User, MiPartPeb, NULL);
    if (NT_SUCCESS(MmCopyFromUser(&Heap, &User->ProcessHeap, sizeof(Heap)))) {
        MiNamePart(Map, Heap, MiPartHeap, NULL);
    }
    if (NT_SUCCESS(MmCopyFromUser(&Parameters, &User->ProcessParameters, sizeof(Parameters)))) {
        MiNamePart(Map, Parameters, MiPartParameters, NULL);
    }
}

/* ---- The whole ---- */

VOID MiReleaseMap(PMI_MEMORY_MAP Map)
{
    for (ULONG Index = 0; Index < Map->Count; Index++) {
        if (Map->Region[Index].FileObject != NULL) {
            ObDereferenceObject(Map->Region[Index].FileObject);
        }
    }
    ExFreePoolWithTag(Map->Region, MI_TAG_MAP);
}

static NTSTATUS MiMapAttached(PEPROCESS Process, PMI_MEMORY_MAP Map)
{
    for (Map->Room = MI_FIRST_REGIONS; Map->Room <= MI_MOST_REGIONS; Map->Room *= 2) {
        Map->Count = 0;
        Map->Region = ExAllocatePoolWithTag(NonPagedPool, (SIZE_T)Map->Room * sizeof(*Map->Region), MI_TAG_MAP);
        if (Map->Region == NULL) {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        if (MiMapSpace(MiSpaceOf(Process), Map)) {
            MiNameParts(Process, Map);
            return STATUS_SUCCESS;
        }
        MiReleaseMap(Map);
    }
    return STATUS_BUFFER_OVERFLOW;
}

NTSTATUS MiMapProcess(PEPROCESS Process, BOOLEAN Age, PMI_MEMORY_MAP Map)
{
    NTSTATUS Status = PsAcquireProcessExitSynchronization(Process);
    KAPC_STATE State;

    ASSERT_IRQL(PASSIVE_LEVEL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (MiSpaceOf(Process) == NULL) {
        Status = STATUS_PROCESS_IS_TERMINATING;
    } else {
        KeStackAttachProcess((PVOID)Process, &State);
        if (Age) {
            MiAgeWorkingSet(MiSpaceOf(Process));
        }
        Status = MiMapAttached(Process, Map);
        KeUnstackDetachProcess(&State);
    }
    PsReleaseProcessExitSynchronization(Process);
    return Status;
}
