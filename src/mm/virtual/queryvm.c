/*
 * queryvm.c - NtQueryVirtualMemory: what lies at an address.
 *
 * MemoryBasicInformation describes the run of pages from the address on that have one state, protection and type inside one
 * allocation, or the gap up to the next. Page tables that do not exist are stepped over, so that the description of a terabyte
 * that was reserved costs no more than that of a page.
 *
 * Locks: address lock, then working-set lock.
 *
 * Source: ZwQueryVirtualMemory in the Windows driver documentation; MEMORY_BASIC_INFORMATION.
 */
#include "../misection.h"
#include "../miprocess.h"
#include <ntos/mm.h>

static VOID MiDescribeGap(PMI_ADDRESS_SPACE Space, ULONG64 Vpn, PMEMORY_BASIC_INFORMATION Basic)
{
    PMI_VAD Next = MiFirstVadFrom(Space, Vpn);
    ULONG64 End = Next != NULL ? Next->StartVpn : MI_VPN(MI_HIGHEST_USER) + 1;

    Basic->State = MEM_FREE;
    Basic->Protect = PAGE_NOACCESS;
    Basic->RegionSize = (End - Vpn) << PAGE_SHIFT;
}

static BOOLEAN MiSamePages(const MI_PAGE_INFO *One, const MI_PAGE_INFO *Other)
{
    return One->Committed == Other->Committed && (!One->Committed || One->Protection == Other->Protection);
}

/* First page behind Vpn that is described otherwise than Info; up to the VAD's end. */
static ULONG64 MiFindChange(PMI_VAD Vad, ULONG64 Vpn, const MI_PAGE_INFO *Info)
{
    MI_PAGE_INFO Other;

    if (Vad->LargePages) {
        for (Vpn = (Vpn | 511) + 1; Vpn <= Vad->EndVpn; Vpn += 512) {
            MiQueryPage(Vad, Vpn, &Other);
            if (!MiSamePages(Info, &Other)) {
                return Vpn;
            }
        }
        return Vad->EndVpn + 1;
    }
    while (++Vpn <= Vad->EndVpn) {
        if (MiIsUniformVad(Vad) && MiResidentUserPte(MI_VPN_ADDRESS(Vpn)) == NULL) {
            ULONG64 Next = Vpn;

            MiQueryPage(Vad, Vpn, &Other);
            if (!MiSamePages(Info, &Other)) {
                return Vpn;
            }
            if (!MiNextResidentTable(&Next, Vad->EndVpn)) {
                return Vad->EndVpn + 1;
            }
            Vpn = Next;
        }
        MiQueryPage(Vad, Vpn, &Other);
        if (!MiSamePages(Info, &Other)) {
            return Vpn;
        }
    }
    return Vad->EndVpn + 1;
}

VOID MiDescribeVad(PMI_VAD Vad, ULONG64 Vpn, PMEMORY_BASIC_INFORMATION Basic)
{
    MI_PAGE_INFO Info;

    MiQueryPage(Vad, Vpn, &Info);
    Basic->AllocationBase = MI_VPN_ADDRESS(Vad->StartVpn);
    Basic->AllocationProtect = MiPageProtection(Vad->Protection);
    Basic->State = Info.Committed ? MEM_COMMIT : MEM_RESERVE;
    Basic->Protect = Info.Committed ? MiPageProtection(Info.Protection) : 0;
    Basic->Type = Vad->Type == MiVadPrivate ? MEM_PRIVATE : Vad->Image ? MEM_IMAGE : MEM_MAPPED;
    Basic->RegionSize = (MiFindChange(Vad, Vpn, &Info) - Vpn) << PAGE_SHIFT;
}

static VOID MiDescribe(PMI_ADDRESS_SPACE Space, PVOID Address, PMEMORY_BASIC_INFORMATION Basic)
{
    ULONG64 Vpn = MI_VPN(Address);
    PMI_VAD Vad;

    RtlZeroMemory(Basic, sizeof(*Basic));
    Basic->BaseAddress = MI_VPN_ADDRESS(Vpn);
    ExAcquireFastMutex(&Space->AddressLock);
    ExAcquireFastMutex(&Space->WorkingSetLock);
    Vad = MiFindVad(Space, Vpn);
    if (Vad == NULL) {
        MiDescribeGap(Space, Vpn, Basic);
    } else {
        MiDescribeVad(Vad, Vpn, Basic);
    }
    ExReleaseFastMutex(&Space->WorkingSetLock);
    ExReleaseFastMutex(&Space->AddressLock);
}

/* Sizes in bytes; a process that has ended has none. */
VOID MmQueryProcessMemory(PEPROCESS Process, PVM_COUNTERS Counters)
{
    PMI_ADDRESS_SPACE Space;

    RtlZeroMemory(Counters, sizeof(*Counters));
    Counters->PageFaultCount = (ULONG)Process->PageFaults;
    if (!NT_SUCCESS(PsAcquireProcessExitSynchronization(Process))) {
        return;
    }
    Space = MiSpaceOf(Process);
    if (Space != NULL) {
        ExAcquireFastMutex(&Space->AddressLock);
        Counters->VirtualSize = Space->Reserved << PAGE_SHIFT;
        Counters->PeakVirtualSize = Space->PeakReserved << PAGE_SHIFT;
        Counters->WorkingSetSize = Space->WorkingSet << PAGE_SHIFT;
        Counters->PeakWorkingSetSize = max(Space->PeakWorkingSet, Space->WorkingSet) << PAGE_SHIFT;
        Counters->PagefileUsage = Space->Commit << PAGE_SHIFT;
        Counters->PeakPagefileUsage = max(Space->PeakCommit, Space->Commit) << PAGE_SHIFT;
        ExReleaseFastMutex(&Space->AddressLock);
    }
    PsReleaseProcessExitSynchronization(Process);
}

/* MemoryBasicInformation of the page at an address. */
static NTSTATUS MiQueryBasic(HANDLE ProcessHandle, PVOID BaseAddress, PMEMORY_BASIC_INFORMATION Basic)
{
    MI_TARGET Target;
    NTSTATUS Status = MiOpenTarget(ProcessHandle, MI_PROCESS_QUERY_INFORMATION, &Target);

    if (NT_SUCCESS(Status)) {
        MiDescribe(Target.Space, BaseAddress, Basic);
        MiCloseTarget(&Target);
    }
    return Status;
}

static NTSTATUS MiAnswerBasic(HANDLE ProcessHandle, PVOID BaseAddress, PVOID Buffer, SIZE_T Length,
                              PSIZE_T ReturnLength)
{
    SIZE_T Written = sizeof(MEMORY_BASIC_INFORMATION);
    MEMORY_BASIC_INFORMATION Basic;
    NTSTATUS Status;

    if (Length < sizeof(Basic)) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    if ((ULONG64)BaseAddress > MI_HIGHEST_USER) {
        return STATUS_INVALID_PARAMETER;
    }
    Status = MiQueryBasic(ProcessHandle, BaseAddress, &Basic);
    if (NT_SUCCESS(Status)) {
        Status = MiReturnBytes(Buffer, &Basic, sizeof(Basic));
    }
    if (NT_SUCCESS(Status) && ReturnLength != NULL) {
        Status = MiReturnBytes(ReturnLength, &Written, sizeof(Written));
    }
    return Status;
}

/**
 * NtQueryVirtualMemory - describes the pages from an address on, or the process's working set.
 *
 * @ProcessHandle  with PROCESS_QUERY_INFORMATION
 * @Class          MemoryBasicInformation; the others are in queryclass.c
 * @ReturnLength   receives the bytes written, or needed; may be NULL
 *
 * IRQL: PASSIVE_LEVEL. Fails: STATUS_INVALID_INFO_CLASS, STATUS_INFO_LENGTH_MISMATCH (buffer too small),
 * STATUS_INVALID_PARAMETER (above the user half), STATUS_INVALID_ADDRESS (the class has nothing to say about the address),
 * STATUS_ACCESS_VIOLATION (the pointers), what a bad handle gives.
 */
NTSTATUS NTAPI NtQueryVirtualMemory(HANDLE ProcessHandle, PVOID BaseAddress, MI_MEMORY_INFORMATION_CLASS Class,
                                    PVOID Buffer, SIZE_T Length, PSIZE_T ReturnLength)
{
    ASSERT_IRQL(PASSIVE_LEVEL);
    return Class == MemoryBasicInformation
               ? MiAnswerBasic(ProcessHandle, BaseAddress, Buffer, Length, ReturnLength)
               : MiAnswerClass(ProcessHandle, BaseAddress, Class, Buffer, Length, ReturnLength);
}
