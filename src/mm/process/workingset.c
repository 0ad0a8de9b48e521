/*
 * workingset.c - the working-set list of a process: one entry for each valid page of its user half.
 *
 * The list is an array in hyperspace, an address every process has for itself, so that it is seen by nobody else and by no other
 * process's kernel half. A frame's u1.WorkingSetIndex says which entry is its own, which that entry calls Direct; of several processes that share a
 * page this is so for the first of them until it gives the page up. The others find theirs by a hash of the address once
 * the list is longer than a page (wslhash.c), and by a search until then. Free entries are
 * chained, by distances, so that a page of zeroes is a chain as it is, which leads into the page that comes next: the chain ends where the
 * array does. The array grows a page at a time and keeps its pages until the process goes; they are charged as commit.
 *
 * Nothing trims yet: there is no page file that a page could go to. Limits and ages are kept for whoever will: MiAgeWorkingSet takes the
 * Accessed bits of all pages away; a page that had its own is of age 0, the others grow older, up to 7.
 *
 * Locks: working-set lock; entries change at DISPATCH_LEVEL as well, in the step that makes a PTE valid or not.
 */
#include "../miprocess.h"

/* Hyperspace PTEs are never global: they mean something else in every process. */
#define MI_WSL_BITS (MI_KERNEL_RW_BITS & ~PTE_GLOBAL)

#if NT_CHK
ULONG64 MiWslProbes;
#endif

BOOLEAN MiBackWsl(PMI_ADDRESS_SPACE Space, PVOID Address)
{
    PMMPTE Pte = MiPteOf(Address);
    PFN_FRAME Frame;
    KIRQL Irql;

    if (!MiMakeProcessTables(Space, Address)) {
        return FALSE;
    }
    Irql = MiLockPfn();
    Frame = MiAllocateFrame(MI_FRAME_ZEROED);
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
    KIRQL Irql;

    if (!MiBackWsl(Space, (PVOID)&MI_WSL[Space->WslEntries])) {
        return FALSE;
    }
    Irql = MiLockPfn();
    Space->WslEntries += MI_WSL_ENTRIES_PER_PAGE;
    MiUnlockPfn(Irql);
    if (Space->WslHashLimit == MI_NO_HASH) {
        Space->WslHashLimit = 0;
    }
    return TRUE;
}

static DECLSPEC_NOINLINE BOOLEAN MiGrowListAndHash(PMI_ADDRESS_SPACE Space)
{
    if (Space->WslIndirect > Space->WslHashLimit) {
        MiGrowWslHash(Space);
    }
    return MiHasFreeWsle(Space) || MiGrowWsl(Space);
}

BOOLEAN MiReserveWsle(PMI_ADDRESS_SPACE Space)
{
    if (MiHasFreeWsle(Space) && Space->WslIndirect <= Space->WslHashLimit) {
        return TRUE;
    }
    return MiGrowListAndHash(Space);
}

/* What an entry in use for a page has in common with nothing else in its list. */
static ULONG64 MiNameOfWsle(PVOID Address)
{
    return (ULONG64)PAGE_ALIGN(Address) | MI_WSLE_VALID;
}

VOID MiTakeWsle(PMI_ADDRESS_SPACE Space, PFN_FRAME Frame, PVOID Address)
{
    ULONG Index = Space->WslFree;
    PMMPFN Pfn = MiPfn(Frame);
    ULONG64 Entry;

    ASSERT_IRQL(DISPATCH_LEVEL);
    ASSERT(MiHasFreeWsle(Space) && !MI_WSL[Index].Valid);
    Space->WslFree = MiNextFreeWsle(Index);
    Space->WorkingSet++;
    Entry = MiNameOfWsle(Address) | MI_WSLE_DIRECT | ((Pfn->u4 & MI_U4_PROTOTYPE) != 0 ? MI_WSLE_SHARED : 0);
    if (Pfn->u1.WorkingSetIndex == 0) {
        Pfn->u1.WorkingSetIndex = Index;
        MI_WSL[Index].Long = Entry;
        return;
    }
    MI_WSL[Index].Long = Entry ^ MI_WSLE_DIRECT;
    MiAddToWslHash(Space, Index);
}

/* The first entry is never in use: 0 names none. */
static BOOLEAN MiWsleIs(PMI_ADDRESS_SPACE Space, ULONG Index, PVOID Address)
{
    return Index < Space->WslEntries && (MI_WSL[Index].Long & MI_WSLE_NAME) == MiNameOfWsle(Address);
}

/* The entry of an address for which there is nothing better. */
static ULONG MiSearchWsl(PMI_ADDRESS_SPACE Space, PVOID Address)
{
    ULONG Index;

    for (Index = 1; Index < Space->WslEntries && !MiWsleIs(Space, Index, Address); Index++) {
        MI_COUNT_PROBE();
    }
    ASSERT(Index < Space->WslEntries);
    return Index;
}

ULONG MiFindWsle(PMI_ADDRESS_SPACE Space, PFN_FRAME Frame, PVOID Address)
{
    ULONG Index = MiPfn(Frame)->u1.WorkingSetIndex;

    if (!MiWsleIs(Space, Index, Address)) {
        Index = MiFindInWslHash(Space, MI_VPN(Address));
    }
    return Index != 0 ? Index : MiSearchWsl(Space, Address);
}

VOID MiMakeWsleDirect(PMI_ADDRESS_SPACE Space, PFN_FRAME Frame, ULONG Index)
{
    MI_WSLE Entry = {.Long = MI_WSL[Index].Long};

    ASSERT_PFN_LOCKED();
    if (!Entry.Direct) {
        MiRemoveFromWslHash(Space, Index);
    }
    Entry.Direct = 1;
    MI_WSL[Index].Long = Entry.Long;
    MiPfn(Frame)->u1.WorkingSetIndex = Index;
}

static VOID MiFreeWsle(PMI_ADDRESS_SPACE Space, ULONG Index)
{
    MI_WSL[Index].Long = (ULONG64)(Space->WslFree - (Index + 1)) << PAGE_SHIFT;
    Space->WslFree = Index;
    if (Space->WorkingSet > Space->PeakWorkingSet) {
        Space->PeakWorkingSet = Space->WorkingSet;
    }
    Space->WorkingSet--;
}

static DECLSPEC_NOINLINE VOID MiGiveIndirectWsle(PMI_ADDRESS_SPACE Space, PFN_FRAME Frame, PVOID Address)
{
    ULONG Index = MiFindWsle(Space, Frame, Address);

    MiRemoveFromWslHash(Space, Index);
    MiFreeWsle(Space, Index);
}

VOID MiGiveWsle(PMI_ADDRESS_SPACE Space, PFN_FRAME Frame, PVOID Address)
{
    PMMPFN Pfn = MiPfn(Frame);
    ULONG Index = Pfn->u1.WorkingSetIndex;

    ASSERT_PFN_LOCKED();
    ASSERT(Space->WorkingSet != 0);
    if (Index < Space->WslEntries &&
        (MI_WSL[Index].Long & (MI_WSLE_NAME | MI_WSLE_DIRECT)) == (MiNameOfWsle(Address) | MI_WSLE_DIRECT)) {
        Pfn->u1.WorkingSetIndex = 0; /* whoever maps it next may name its own */
        MiFreeWsle(Space, Index);
        return;
    }
    MiGiveIndirectWsle(Space, Frame, Address);
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
