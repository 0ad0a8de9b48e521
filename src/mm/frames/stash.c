/*
 * stash.c - frames that a processor keeps for itself, so that a fault on fresh memory takes no lock.
 *
 * Each processor has up to MI_STASH_FRAMES zeroed and as many free frames. They are Free or Zeroed with MI_U4_STASHED, are counted as
 * available, and are on no list. A fault takes one at DISPATCH_LEVEL; an empty stash is refilled from the lists 32 at a time, a full one gives
 * 32 back. Below MI_STASH_COMFORT available frames stashes neither grow nor take; who finds the lists empty, or looks for frames in a
 * row, brings all of them back (MiDrainStashes).
 *
 * A slot is emptied by an exchange, since any processor may drain; only its owner fills it, at DISPATCH_LEVEL, and moves Count. A slot
 * below Count may thus be empty.
 *
 * Locks: none to take a frame, PFN lock for the rest.
 */
#include "../mip.h"
#include <ntos/inject.h>

#define MI_STASH_BATCH   32u /* frames moved under one hold of the PFN lock */
#define MI_STASH_COMFORT 512 /* 2 MB: all stashes of 4 processors */

ULONG64 MiStashRefills, MiStashDrains;

static PFN_FRAME MiPopStash(PMI_STASH Stash)
{
    while (Stash->Count != 0) {
        PFN_FRAME Frame = (ULONG)InterlockedExchange(&Stash->Frame[--Stash->Count], 0);

        if (Frame != 0) {
            InterlockedDecrement64(&MiAvailableFrames);
            return Frame;
        }
    }
    return 0;
}

/* A frame on no list, nobody's, without stale translations: nobody else changes its entry. PFN lock; the caller counts it. */
static VOID MiPushStash(PMI_STASH Stash, PFN_FRAME Frame, ULONG State)
{
    MiPfn(Frame)->u4 = MI_NO_FRAME32 | ((ULONG64)State << MI_U4_STATE_SHIFT) | MI_U4_STASHED;
    Stash->Frame[Stash->Count++] = (LONG)Frame;
}

/* Puts the frame of a slot back on its list. PFN lock. */
static VOID MiEmptySlot(volatile LONG *Slot)
{
    PFN_FRAME Frame = (ULONG)InterlockedExchange(Slot, 0);
    PMMPFN Pfn = MiPfn(Frame);
    ULONG State;

    if (Frame != 0) {
        State = MiPfnState(Pfn);
        InterlockedDecrement64(&MiAvailableFrames);
        MiPfnChange(Pfn, MI_U4_STATE | MI_U4_STASHED, (ULONG64)MiTransition << MI_U4_STATE_SHIFT);
        MiInsertListHead(State == MiZeroed ? MiListZeroed : MiListFree, Frame);
    }
}

static PMI_PROCESSOR MiProcessorOf(ULONG Number)
{
    PKPRCB Prcb = KiProcessorBlock[Number];

    return Prcb == NULL ? NULL : Prcb->Mm;
}

VOID MiDrainStashes(VOID)
{
    ASSERT_PFN_LOCKED();
    for (ULONG Number = 0; Number < KeNumberOfActiveProcessors; Number++) {
        PMI_PROCESSOR Processor = MiProcessorOf(Number);

        for (ULONG Slot = 0; Processor != NULL && Slot < MI_STASH_FRAMES; Slot++) {
            MiEmptySlot(&Processor->ZeroedStash.Frame[Slot]);
            MiEmptySlot(&Processor->FreeStash.Frame[Slot]);
        }
    }
    MiStashDrains++;
}

VOID MiReturnStashes(VOID)
{
    KIRQL Irql = MiLockPfn();

    MiDrainStashes();
    MiUnlockPfn(Irql);
}

BOOLEAN MiStashFreeFrame(PFN_FRAME Frame)
{
    PMI_STASH Stash = &MiProcessor()->FreeStash;

    ASSERT_PFN_LOCKED();
    if (MiAvailableFrames < MI_STASH_COMFORT || MiPfnEpoch(MiPfn(Frame)) != 0) {
        return FALSE;
    }
    if (Stash->Count == MI_STASH_FRAMES) {
        for (ULONG Slot = 0; Slot < MI_STASH_BATCH; Slot++) { /* the older half */
            MiEmptySlot(&Stash->Frame[Slot]);
            Stash->Frame[Slot] = Stash->Frame[Slot + MI_STASH_BATCH];
            Stash->Frame[Slot + MI_STASH_BATCH] = 0;
        }
        Stash->Count = MI_STASH_FRAMES - MI_STASH_BATCH;
    }
    MiPushStash(Stash, Frame, MiFree);
    InterlockedIncrement64(&MiAvailableFrames);
    return TRUE;
}

/* From a list to an empty stash. PFN lock. */
static VOID MiRefill(PMI_STASH Stash, MI_LIST_INDEX List, ULONG State)
{
    LONG64 Taken = 0;

    for (ULONG Count = 0; Count < MI_STASH_BATCH && MiAvailableFrames >= MI_STASH_COMFORT; Count++) {
        PFN_FRAME Frame = MiRemoveListHead(List);

        if (Frame == 0) {
            break;
        }
        if (MiPfnEpoch(MiPfn(Frame)) != 0) {
            MiForgetStaleTranslations(MiPfn(Frame));
        }
        MiPushStash(Stash, Frame, State);
        Taken++;
    }
    InterlockedExchangeAdd64(&MiAvailableFrames, Taken);
    MiStashRefills++;
}

PFN_FRAME MiTakeZeroedFrame(VOID)
{
    PMI_PROCESSOR Mine = MiProcessor();
    PFN_FRAME Frame;

    ASSERT_IRQL(DISPATCH_LEVEL);
    if (MiAvailableFrames <= MI_RESERVE_FRAMES || ExInjectFault(ExFaultFrame)) {
        return 0;
    }
    Frame = MiPopStash(&Mine->ZeroedStash);
    if (Frame == 0 && MiLists[MiListZeroed].Count == 0) {
        Frame = MiPopStash(&Mine->FreeStash);
        if (Frame != 0) {
            MiZeroFrame(Frame);
        }
    }
    if (Frame == 0) {
        MiLockPfn();
        if (MiLists[MiListZeroed].Count != 0) {
            MiRefill(&Mine->ZeroedStash, MiListZeroed, MiZeroed);
            Frame = MiPopStash(&Mine->ZeroedStash);
        }
        if (Frame == 0) {
            Frame = MiAllocateFrame(MI_FRAME_ZEROED);
        }
        MiUnlockPfn(DISPATCH_LEVEL);
    }
    return Frame;
}

/* MiVerify: stashed frames by state; FALSE: a slot names a frame that is not marked so. PFN lock. */
BOOLEAN MiCountStashed(PULONG64 Free, PULONG64 Zeroed)
{
    BOOLEAN Good = TRUE;

    *Free = *Zeroed = 0;
    for (ULONG Number = 0; Number < KeNumberOfActiveProcessors; Number++) {
        PMI_PROCESSOR Processor = MiProcessorOf(Number);

        for (ULONG Slot = 0; Processor != NULL && Slot < MI_STASH_FRAMES; Slot++) {
            ULONG InFree = (ULONG)Processor->FreeStash.Frame[Slot],
                  InZeroed = (ULONG)Processor->ZeroedStash.Frame[Slot];

            *Free += InFree != 0;
            *Zeroed += InZeroed != 0;
            Good = Good && (InFree == 0 || ((MiPfn(InFree)->u4 & MI_U4_STASHED) != 0 &&
                                            Slot < Processor->FreeStash.Count && MiPfnState(MiPfn(InFree)) == MiFree));
            Good = Good && (InZeroed == 0 ||
                            ((MiPfn(InZeroed)->u4 & MI_U4_STASHED) != 0 && MiPfnState(MiPfn(InZeroed)) == MiZeroed));
        }
    }
    return Good;
}
