/*
 * writewatch.c - NtGetWriteWatch, NtResetWriteWatch: which pages of a region were written since the last reset.
 *
 * The processor keeps the record: in a region reserved with MEM_WRITE_WATCH a page is mapped without its Dirty bit unless it is
 * being written, and the bit stays until a reset clears it. A page that loses its access meanwhile carries the bit in its transition PTE. What is
 * decommitted is forgotten. Asking for the pages and resetting them is one step for each page, so that no write in between is lost.
 *
 * Locks: address lock, working-set lock; PFN lock for at most MI_DELETE_BATCH PTEs at a time. IRQL: PASSIVE_LEVEL.
 *
 * Source: GetWriteWatch and ResetWriteWatch in the Windows documentation.
 */
#include "../misection.h"
#include "../miprocess.h"
#include <ntos/user.h>

#define MI_TAG_WATCH 'tWmM'

typedef struct _MI_WATCH {
    ULONG64 First, Last;    /* VPN */
    PVOID *Written;         /* pool; NULL: nobody asks */
    ULONG_PTR Count, Limit; /* entries */
    BOOLEAN Reset;
} MI_WATCH, *PMI_WATCH;

static BOOLEAN MiWasWritten(MMPTE Pte)
{
    return Pte.Hard.Valid ? Pte.Hard.Dirty : MiIsTransitionPte(Pte) && (Pte.Long & MI_PTE_WRITTEN) != 0;
}

static VOID MiForgetWrite(PMMPTE Pte, PVOID Address, PMI_TLB_FLUSH Flush)
{
    MMPTE New = *Pte;

    if (New.Hard.Valid) {
        New.Hard.Dirty = FALSE;
        MiDowngradePte(Flush, Pte, Address, New);
    } else {
        Pte->Long &= ~MI_PTE_WRITTEN;
    }
}

/* Looks at the PTEs of a part of one table. */
static VOID MiWatchBatch(PMI_WATCH Watch, ULONG64 First, ULONG64 Last)
{
    MI_TLB_FLUSH Flush;
    KIRQL Irql = MiLockPfn();

    MiBeginTlbFlush(&Flush, MiTlbUser);
    for (ULONG64 Vpn = First; Vpn <= Last && (Watch->Written == NULL || Watch->Count < Watch->Limit); Vpn++) {
        PVOID Address = MI_VPN_ADDRESS(Vpn);
        PMMPTE Pte = MiPteOf(Address);

        if (MiWasWritten(*Pte)) {
            if (Watch->Written != NULL) {
                Watch->Written[Watch->Count++] = Address;
            }
            if (Watch->Reset) {
                MiForgetWrite(Pte, Address, &Flush);
            }
        }
    }
    MiFlushTlb(&Flush);
    MiUnlockPfn(Irql);
}

static NTSTATUS MiWatch(PMI_ADDRESS_SPACE Space, PMI_WATCH Watch)
{
    PMI_VAD Vad;
    NTSTATUS Status = STATUS_SUCCESS;

    ExAcquireFastMutex(&Space->AddressLock);
    Vad = MiFindVad(Space, Watch->First);
    if (Vad == NULL || !Vad->WriteWatch || Watch->Last > Vad->EndVpn) {
        Status = STATUS_INVALID_PARAMETER_3;
    } else {
        ExAcquireFastMutex(&Space->WorkingSetLock);
        for (ULONG64 Vpn = Watch->First; MiNextResidentTable(&Vpn, Watch->Last);) {
            ULONG64 End = min(min(Watch->Last, Vpn | 511), Vpn + MI_DELETE_BATCH - 1);

            MiWatchBatch(Watch, Vpn, End);
            Vpn = End + 1;
        }
        ExReleaseFastMutex(&Space->WorkingSetLock);
    }
    ExReleaseFastMutex(&Space->AddressLock);
    return Status;
}

static NTSTATUS MiWatchProcess(HANDLE ProcessHandle, PVOID Base, SIZE_T Size, PMI_WATCH Watch)
{
    MI_TARGET Target;
    NTSTATUS Status = MiOpenTarget(ProcessHandle, MI_PROCESS_VM_OPERATION, &Target);

    if (NT_SUCCESS(Status)) {
        Watch->First = MI_VPN(Base);
        Watch->Last = MI_VPN((ULONG64)Base + Size - 1);
        Status = MiWatch(Target.Space, Watch);
        MiCloseTarget(&Target);
    }
    return Status;
}

/* @Parameter: which one the base is. */
static NTSTATUS MiCheckWatch(PVOID Base, SIZE_T Size, NTSTATUS BadBase, NTSTATUS BadSize)
{
    if ((ULONG64)Base > MI_HIGHEST_VAD) {
        return BadBase;
    }
    return Size == 0 || Size > MI_HIGHEST_VAD + 1 - (ULONG64)Base ? BadSize : STATUS_SUCCESS;
}

/* Pool for the answer, the question, the answer to the caller. */
static NTSTATUS MiAskWatch(HANDLE ProcessHandle, PVOID Base, SIZE_T Size, PVOID *Addresses, PMI_WATCH Watch)
{
    NTSTATUS Status;

    Watch->Limit = min(Watch->Limit, BYTES_TO_PAGES(Size) + 1);
    Watch->Written = ExAllocatePoolWithTag(NonPagedPool, Watch->Limit * sizeof(PVOID), MI_TAG_WATCH);
    if (Watch->Written == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Status = MiWatchProcess(ProcessHandle, Base, Size, Watch);
    if (NT_SUCCESS(Status)) {
        Status = ExCopyToCaller(Addresses, Watch->Written, Watch->Count * sizeof(PVOID));
    }
    ExFreePoolWithTag(Watch->Written, MI_TAG_WATCH);
    return Status;
}

/**
 * NtGetWriteWatch - the pages of a part of a watched region that were written.
 *
 * @ProcessHandle  with PROCESS_VM_OPERATION
 * @Flags          WRITE_WATCH_FLAG_RESET: what is reported is forgotten
 * @Addresses      receives their addresses, ascending
 * @Entries        in: how many there is room for; out: how many there are
 * @Granularity    receives the size of a page, bytes
 *
 * IRQL: PASSIVE_LEVEL. Fails: STATUS_INVALID_PARAMETER_2 (flags), _3 (base, or the range is not in one watched region), _4
 * (size), _6 (no room), STATUS_INSUFFICIENT_RESOURCES, what a bad handle or pointer gives.
 */
NTSTATUS NTAPI NtGetWriteWatch(HANDLE ProcessHandle, ULONG Flags, PVOID BaseAddress, SIZE_T RegionSize,
                               PVOID *Addresses, PULONG_PTR Entries, PULONG Granularity)
{
    MI_WATCH Watch = {.Reset = Flags == WRITE_WATCH_FLAG_RESET};
    ULONG Page = PAGE_SIZE;
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    if ((Flags & ~(ULONG)WRITE_WATCH_FLAG_RESET) != 0) {
        return STATUS_INVALID_PARAMETER_2;
    }
    Status = MiCheckWatch(BaseAddress, RegionSize, STATUS_INVALID_PARAMETER_3, STATUS_INVALID_PARAMETER_4);
    if (NT_SUCCESS(Status)) {
        Status = ExCopyFromCaller(&Watch.Limit, Entries, sizeof(Watch.Limit));
    }
    if (NT_SUCCESS(Status)) {
        Status = Watch.Limit == 0 ? STATUS_INVALID_PARAMETER_6
                                  : MiAskWatch(ProcessHandle, BaseAddress, RegionSize, Addresses, &Watch);
    }
    if (NT_SUCCESS(Status)) {
        Status = ExCopyToCaller(Entries, &Watch.Count, sizeof(Watch.Count));
    }
    return NT_SUCCESS(Status) ? ExCopyToCaller(Granularity, &Page, sizeof(Page)) : Status;
}

/**
 * NtResetWriteWatch - forgets which pages of a part of a watched region were written.
 *
 * IRQL: PASSIVE_LEVEL. Fails: STATUS_INVALID_PARAMETER_2 (base), _3 (size, or the range is not in one watched region), what a
 * bad handle gives.
 */
NTSTATUS NTAPI NtResetWriteWatch(HANDLE ProcessHandle, PVOID BaseAddress, SIZE_T RegionSize)
{
    MI_WATCH Watch = {.Reset = TRUE};
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    Status = MiCheckWatch(BaseAddress, RegionSize, STATUS_INVALID_PARAMETER_2, STATUS_INVALID_PARAMETER_3);
    return NT_SUCCESS(Status) ? MiWatchProcess(ProcessHandle, BaseAddress, RegionSize, &Watch) : Status;
}
