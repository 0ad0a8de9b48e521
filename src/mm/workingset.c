/*
 * workingset.c - the working-set list of a process: one entry for each valid page of its user half.
 *
 * The list is an array in hyperspace, an address every process has for itself, so that it is seen by nobody else and by no other
 * process's kernel half. A frame's u1.WorkingSetIndex says which entry is its own; for a page that several processes share it is only
 * the index that the last of them used, and a process that does not find its page there searches. Free entries are
 * chained, by distances, so that a page of zeroes is a chain as it is, which leads into the page that comes next: the chain ends where the
 * array does. The array grows a page at a time and keeps its pages until the process goes; they are charged as commit.
 *
 * Nothing trims yet: there is no page file that a page could go to. Limits and ages are kept for whoever will: MiAgeWorkingSet takes the
 * Accessed bits of all pages away; a page that had its own is of age 0, the others grow older, up to 7.
 *
 * Locks: working-set lock; entries change at DISPATCH_LEVEL as well, in the step that makes a PTE valid or not.
 */
#include "miprocess.h"

/* Hyperspace PTEs are never global: they mean something else in every process. */
#define MI_WSL_BITS (MI_KERNEL_RW_BITS & ~PTE_GLOBAL)

static BOOLEAN MiBackWsl(PMI_ADDRESS_SPACE Space, PMMPTE Pte)
{
    KIRQL Irql = MiLockPfn();
    PFN_FRAME Frame = MiAllocateFrame(MI_FRAME_ZEROED);

    if (Frame != 0) {
        MiInitializePfn(Frame, Pte, MiTableFrameOf(Pte), MiMakeDemandZeroPte(MM_READWRITE), MI_U4_MODIFIED);
        MiWriteValidPte(Pte, MiMakeValidPte(Frame, MI_WSL_BITS));
        MiAddUsedEntries(Pte, 1);
        MiForceCommitLocked(&Space->Commit, 1);
        Space->TablePages++;
        MiCountMapped(MmRegionProcess, 1);
    }
    MiUnlockPfn(Irql);
    return Frame != 0;
}

/* One more page of entries. FALSE: no frame now. */
static BOOLEAN MiGrowWsl(PMI_ADDRESS_SPACE Space)
{
    volatile MI_WSLE *First = &MI_WSL[Space->WslEntries];
    KIRQL Irql;

    if (!MiMakeProcessTables(Space, (PVOID)First) || !MiBackWsl(Space, MiPteOf((PVOID)First))) {
        return FALSE;
    }
    Irql = MiLockPfn();
    Space->WslEntries += MI_WSL_ENTRIES_PER_PAGE;
    MiUnlockPfn(Irql);
    return TRUE;
}

BOOLEAN MiReserveWsle(PMI_ADDRESS_SPACE Space)
{
    return MiHasFreeWsle(Space) || MiGrowWsl(Space);
}

VOID MiTakeWsle(PMI_ADDRESS_SPACE Space, PFN_FRAME Frame, PVOID Address)
{
    ULONG Index = Space->WslFree;
    MI_WSLE Entry = {.Long = 0};

    ASSERT_IRQL(DISPATCH_LEVEL);
    ASSERT(MiHasFreeWsle(Space) && !MI_WSL[Index].Valid);
    Space->WslFree = MiNextFreeWsle(Index);
    Entry.Valid = 1;
    Entry.Shared = (MiPfn(Frame)->u4 & MI_U4_PROTOTYPE) != 0;
    Entry.Vpn = MI_VPN(Address);
    MI_WSL[Index].Long = Entry.Long;
    MiPfn(Frame)->u1.WorkingSetIndex = Index;
    Space->WorkingSet++;
    Space->PeakWorkingSet = max(Space->PeakWorkingSet, Space->WorkingSet);
}

static BOOLEAN MiWsleIs(PMI_ADDRESS_SPACE Space, ULONG Index, ULONG64 Vpn)
{
    return Index != 0 && Index < Space->WslEntries && MI_WSL[Index].Valid && MI_WSL[Index].Vpn == Vpn;
}

ULONG MiFindWsle(PMI_ADDRESS_SPACE Space, PFN_FRAME Frame, PVOID Address)
{
    ULONG Index = MiPfn(Frame)->u1.WorkingSetIndex;

    if (!MiWsleIs(Space, Index, MI_VPN(Address))) {
        for (Index = 1; Index < Space->WslEntries && !MiWsleIs(Space, Index, MI_VPN(Address)); Index++) {
        }
    }
    ASSERT(Index < Space->WslEntries);
    return Index;
}

VOID MiGiveWsle(PMI_ADDRESS_SPACE Space, PFN_FRAME Frame, PVOID Address)
{
    ULONG Index = MiFindWsle(Space, Frame, Address);

    ASSERT_PFN_LOCKED();
    ASSERT(Space->WorkingSet != 0);
    MI_WSL[Index].Long = (ULONG64)(Space->WslFree - (Index + 1)) << PAGE_SHIFT;
    Space->WslFree = Index;
    Space->WorkingSet--;
}

/* ---- Ages ---- */

#define MI_OLDEST   (MI_AGES - 1u)
#define MI_AGE_STEP 64u /* entries under one hold of the PFN lock */

/* Ages one entry; its PTE loses the Accessed bit. PFN lock. */
static VOID MiAgeEntry(volatile MI_WSLE *Entry, PMI_TLB_FLUSH Flush)
{
    PVOID Address = MI_VPN_ADDRESS((ULONG64)Entry->Vpn);
    PMMPTE Pte = MiPteOf(Address);
    MI_WSLE New = {.Long = Entry->Long};
    MMPTE Old = *Pte, Clear;

    New.Age = min(New.Age + 1, MI_OLDEST);
    while (Old.Hard.Accessed) { /* the processor may set Dirty meanwhile */
        Clear.Long = Old.Long & ~PTE_ACCESSED;
        if ((ULONG64)InterlockedCompareExchange64((volatile LONG64 *)&Pte->Long, (LONG64)Clear.Long,
                                                  (LONG64)Old.Long) == Old.Long) {
            MiAddTlbAddress(Flush, Address);
            New.Age = 0;
            break;
        }
        Old = *Pte;
    }
    Entry->Long = New.Long;
}

VOID MiAgeWorkingSet(PMI_ADDRESS_SPACE Space)
{
    ExAcquireFastMutex(&Space->WorkingSetLock);
    for (ULONG First = 1; First < Space->WslEntries; First += MI_AGE_STEP) {
        ULONG End = min(First + MI_AGE_STEP, Space->WslEntries);
        MI_TLB_FLUSH Flush;
        KIRQL Irql = MiLockPfn();

        MiBeginTlbFlush(&Flush, MiTlbUser);
        for (ULONG Index = First; Index < End; Index++) {
            if (MI_WSL[Index].Valid) {
                MiAgeEntry(&MI_WSL[Index], &Flush);
            }
        }
        MiFlushTlb(&Flush); /* else an access through an old translation would set no bit */
        MiUnlockPfn(Irql);
    }
    ExReleaseFastMutex(&Space->WorkingSetLock);
}

VOID MiCountAges(PMI_ADDRESS_SPACE Space, PULONG Pages)
{
    RtlZeroMemory(Pages, MI_AGES * sizeof(*Pages));
    ExAcquireFastMutex(&Space->WorkingSetLock);
    for (ULONG Index = 1; Index < Space->WslEntries; Index++) {
        if (MI_WSL[Index].Valid) {
            Pages[MI_WSL[Index].Age]++;
        }
    }
    ExReleaseFastMutex(&Space->WorkingSetLock);
}

/* ---- Limits ---- */

#define MI_WS_LEAST 20u /* pages: what an instruction and its operands can touch at once, twice */
#define MI_WS_FLUID 8u  /* a maximum is more than this above its minimum, or nothing could be exchanged */

NTSTATUS MmAdjustWorkingSetSize(PEPROCESS Process, SIZE_T Minimum, SIZE_T Maximum, BOOLEAN MayRaise)
{
    PMI_ADDRESS_SPACE Space = MiSpaceOf(Process);
    ULONG64 Least = Minimum >> PAGE_SHIFT, Most = Maximum >> PAGE_SHIFT;
    NTSTATUS Status = STATUS_SUCCESS;

    ASSERT_IRQL_MAX(APC_LEVEL);
    if (Space == NULL) {
        return STATUS_PROCESS_IS_TERMINATING;
    }
    if (Minimum == MAXSIZE_T && Maximum == MAXSIZE_T) { /* empty it: nothing is trimmed */
        return STATUS_SUCCESS;
    }
    if ((Minimum == 0) != (Maximum == 0)) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Minimum == 0) { /* as they are */
        return STATUS_SUCCESS;
    }
    Least = max(Least, MI_WS_LEAST);
    if (Most <= Least + MI_WS_FLUID || Most > MiRamFrames) {
        return STATUS_BAD_WORKING_SET_LIMIT;
    }
    ExAcquireFastMutex(&Space->WorkingSetLock);
    if (Least > Space->MinimumPages && !MayRaise) {
        Status = STATUS_PRIVILEGE_NOT_HELD;
    } else if (Least > Space->MinimumPages &&
               (LONG64)(Least - Space->MinimumPages) > MiAvailableFrames - MI_RESERVE_FRAMES) {
        Status = STATUS_INSUFFICIENT_RESOURCES;
    } else {
        Space->MinimumPages = Least;
        Space->MaximumPages = Most;
    }
    ExReleaseFastMutex(&Space->WorkingSetLock);
    return Status;
}

VOID MmQueryWorkingSetSize(PEPROCESS Process, PSIZE_T Minimum, PSIZE_T Maximum)
{
    PMI_ADDRESS_SPACE Space = MiSpaceOf(Process);

    *Minimum = Space == NULL ? 0 : Space->MinimumPages << PAGE_SHIFT;
    *Maximum = Space == NULL ? 0 : Space->MaximumPages << PAGE_SHIFT;
}
