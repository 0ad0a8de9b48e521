/*
 * workingset.c - the working-set list of a process: one entry for each valid page of its user half.
 *
 * The list is an array in hyperspace, an address every process has for itself, so that it is seen by nobody else and by no other
 * process's kernel half. A frame's u1.WorkingSetIndex says which entry is its own; for a page that several processes share it is only
 * the index that the last of them used, and a process that does not find its page there searches. Free entries are
 * chained. The array grows a page at a time and keeps its pages until the process goes; they are charged as commit.
 *
 * Nothing trims yet: there is no page file that a page could go to. Ages are kept for whoever will.
 *
 * Locks: working-set lock; entries change under the PFN lock as well, in the hold that makes a PTE valid or not.
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
    for (ULONG Index = MI_WSL_ENTRIES_PER_PAGE; Index-- != 0;) {
        ULONG Entry = Space->WslEntries + Index;

        if (Entry != 0) { /* 0 means none */
            MI_WSL[Entry].Long = (ULONG64)Space->WslFree << PAGE_SHIFT;
            Space->WslFree = Entry;
        }
    }
    Space->WslEntries += MI_WSL_ENTRIES_PER_PAGE;
    MiUnlockPfn(Irql);
    return TRUE;
}

BOOLEAN MiReserveWsle(PMI_ADDRESS_SPACE Space)
{
    return Space->WslFree != 0 || MiGrowWsl(Space);
}

VOID MiTakeWsle(PMI_ADDRESS_SPACE Space, PFN_FRAME Frame, PVOID Address)
{
    ULONG Index = Space->WslFree;
    MI_WSLE Entry = {.Long = 0};

    ASSERT_PFN_LOCKED();
    ASSERT(Index != 0 && !MI_WSL[Index].Valid);
    Space->WslFree = (ULONG)MI_WSL[Index].Vpn;
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
    MI_WSL[Index].Long = (ULONG64)Space->WslFree << PAGE_SHIFT;
    Space->WslFree = Index;
    Space->WorkingSet--;
}
