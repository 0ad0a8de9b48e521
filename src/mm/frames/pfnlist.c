/*
 * pfnlist.c - the lists of frames that no one uses.
 *
 * Zeroed, Free, Modified, ModifiedNoWrite, Bad, and Standby by priority 0-7: doubly linked through the frame numbers in
 * u1, so that a frame leaves from the middle of its list in constant time (a soft fault does that). A frame's
 * state and priority in u4 say which list it is on; the two can never disagree because only this file changes
 * both. Frames of state Active and Transition are on no list.
 *
 * Locks: the PFN lock guards everything here. Nothing here looks into a frame or at a page table. The file is also
 * compiled natively by test/host/test_pfn.c.
 */
#ifdef ORIEL_HOST
#include "../pfn.h"
#else
#include "../mip.h"
#endif

MI_PFN_LIST MiLists[MiListMax];
volatile LONG64 MiAvailableFrames;

static const UCHAR MiListState[MiListMax] = {
    [MiListZeroed] = MiZeroed,     [MiListFree] = MiFree,
    [MiListModified] = MiModified, [MiListModifiedNoWrite] = MiModifiedNoWrite,
    [MiListBad] = MiBad,           [MiListStandby0... MiListMax - 1] = MiStandby,
};

VOID MiInitializeLists(VOID)
{
    for (ULONG Index = 0; Index < MiListMax; Index++) {
        MiLists[Index].Count = 0;
        MiLists[Index].Head = MiLists[Index].Tail = MI_NO_FRAME32;
        MiLists[Index].State = MiListState[Index];
    }
    MiAvailableFrames = 0;
}

static BOOLEAN MiListIsAvailable(ULONG List)
{
    ULONG State = MiListState[List];

    return State == MiZeroed || State == MiFree || State == MiStandby;
}

static MI_LIST_INDEX MiListOf(const MMPFN *Pfn)
{
    switch (MiPfnState(Pfn)) {
    case MiZeroed:
        return MiListZeroed;
    case MiFree:
        return MiListFree;
    case MiModified:
        return MiListModified;
    case MiModifiedNoWrite:
        return MiListModifiedNoWrite;
    case MiBad:
        return MiListBad;
    case MiStandby:
        return MiListStandby0 + MiPfnPriority(Pfn);
    default:
        return MiListMax;
    }
}

static VOID MiEnterList(MI_LIST_INDEX Index, PFN_FRAME Frame, ULONG Flink, ULONG Blink)
{
    PMI_PFN_LIST List = &MiLists[Index];
    PMMPFN Pfn = MiPfn(Frame);

    ASSERT_PFN_LOCKED();
    ASSERT(MiPfnState(Pfn) == MiTransition && MiPfnReferences(Pfn) == 0);
    ASSERT(List->State != MiStandby || Index == MiListStandby0 + MiPfnPriority(Pfn));

    Pfn->u1.Flink = Flink;
    Pfn->u1.Blink = Blink;
    *(Flink == MI_NO_FRAME32 ? &List->Tail : &MiPfn(Flink)->u1.Blink) = (ULONG)Frame;
    *(Blink == MI_NO_FRAME32 ? &List->Head : &MiPfn(Blink)->u1.Flink) = (ULONG)Frame;
    MiPfnSetState(Pfn, List->State);
    List->Count++;
    if (MiListIsAvailable(Index)) {
        InterlockedIncrement64(&MiAvailableFrames);
    }
}

/**
 * MiInsertListTail, MiInsertListHead - put a frame (state Transition, no references) on a list; its state follows.
 *
 * IRQL: DISPATCH_LEVEL. Locks: PFN lock.
 */
VOID MiInsertListTail(MI_LIST_INDEX List, PFN_FRAME Frame)
{
    MiEnterList(List, Frame, MI_NO_FRAME32, MiLists[List].Tail);
}

VOID MiInsertListHead(MI_LIST_INDEX List, PFN_FRAME Frame)
{
    MiEnterList(List, Frame, MiLists[List].Head, MI_NO_FRAME32);
}

/**
 * MiUnlinkFrame - takes a frame off its list, wherever in it; it is then in state Transition with no reference.
 *
 * IRQL: DISPATCH_LEVEL. Locks: PFN lock.
 */
VOID MiUnlinkFrame(PFN_FRAME Frame)
{
    PMMPFN Pfn = MiPfn(Frame);
    MI_LIST_INDEX Index = MiListOf(Pfn);
    PMI_PFN_LIST List = &MiLists[Index];
    ULONG Flink = Pfn->u1.Flink, Blink = Pfn->u1.Blink;

    ASSERT_PFN_LOCKED();
    ASSERT(Index != MiListMax && List->Count != 0 && MiPfnReferences(Pfn) == 0);
    ASSERT((Blink == MI_NO_FRAME32 ? List->Head : MiPfn(Blink)->u1.Flink) == (ULONG)Frame);
    ASSERT((Flink == MI_NO_FRAME32 ? List->Tail : MiPfn(Flink)->u1.Blink) == (ULONG)Frame);

    *(Flink == MI_NO_FRAME32 ? &List->Tail : &MiPfn(Flink)->u1.Blink) = Blink;
    *(Blink == MI_NO_FRAME32 ? &List->Head : &MiPfn(Blink)->u1.Flink) = Flink;
    Pfn->u1.InPageBlock = NULL;
    MiPfnSetState(Pfn, MiTransition);
    List->Count--;
    if (MiListIsAvailable(Index)) {
        InterlockedDecrement64(&MiAvailableFrames);
    }
}

/* Takes the first frame of a list, as MiUnlinkFrame does; 0 if the list is empty. IRQL: DISPATCH_LEVEL. Locks: PFN lock. */
PFN_FRAME MiRemoveListHead(MI_LIST_INDEX List)
{
    ULONG Frame = MiLists[List].Head;

    if (Frame == MI_NO_FRAME32) {
        return 0;
    }
    MiUnlinkFrame(Frame);
    return Frame;
}
