/*
 * mm_window.c - suite mm.window: the per-processor slots through which frames are looked at.
 *
 * Windows belong to one processor at DISPATCH_LEVEL, so each case raises IRQL around what it maps
 * and compares after lowering it.
 */
#include "mmtest.h"

#define SEED 0x5EED000000000000ULL

static VOID WindowRoundTrip(PKTAP_CONTEXT Ktap)
{
    PFN_FRAME Frame = TestTakeFrame(MI_FRAME_ANY);
    PMI_PROCESSOR Processor;
    ULONG Wrong, Live;
    ULONG64 *First;
    BOOLEAN Cleared, Reachable;
    ULONG64 Word;
    KIRQL Irql;

    KTAP_CHECK(Frame != 0);
    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    Processor = MiProcessor();
    Live = Processor->WindowLive;
    TestFillFrame(Frame, SEED);
    First = MiMapFrame(Frame, MiWriteBack);
    Wrong = TestWrongWords(First, Frame, SEED);
    MiUnmapFrame(First);
    Cleared = MiPteOf(First)->Long == 0 && Processor->WindowLive == Live;
    Reachable = KiCopyMemoryNoFault(&Word, First, sizeof(Word));
    KeLowerIrql(Irql);
    TestGiveFrame(Frame);
    KTAP_EQUAL(Wrong, 0);
    KTAP_CHECK(Cleared);
    KTAP_CHECK(!Reachable);
    KTAP_EQUAL(MiVerify(), 0);
}

/* A slot that stays mapped is never handed out again, however many maps come and go meanwhile. */
static VOID WindowLiveSlotsStay(PKTAP_CONTEXT Ktap)
{
    PFN_FRAME Held = TestTakeFrame(MI_FRAME_ANY), Other = TestTakeFrame(MI_FRAME_ANY);
    ULONG Collisions = 0, Wrong;
    ULONG64 *Window;
    KIRQL Irql;

    KTAP_CHECK(Held != 0 && Other != 0);
    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    TestFillFrame(Held, SEED);
    Window = MiMapFrame(Held, MiWriteBack);
    for (ULONG Turn = 0; Turn < 1000; Turn++) {
        ULONG64 *Another = MiMapFrame(Other, MiWriteBack);

        Collisions += Another == Window;
        *Another = Turn;
        MiUnmapFrame(Another);
    }
    Wrong = TestWrongWords(Window, Held, SEED);
    MiUnmapFrame(Window);
    KeLowerIrql(Irql);
    TestGiveFrame(Held);
    TestGiveFrame(Other);
    KTAP_EQUAL(Collisions, 0);
    KTAP_EQUAL(Wrong, 0);
    KTAP_EQUAL(MiVerify(), 0);
}

/* Forty-eight slots at once, all different; each shows its own frame (two frames, by turns). */
static VOID WindowNestsToTheLastSlot(PKTAP_CONTEXT Ktap)
{
    PFN_FRAME Frames[2] = {TestTakeFrame(MI_FRAME_ANY), TestTakeFrame(MI_FRAME_ANY)};
    ULONG Wrong = 0;
    PVOID Windows[48];
    KIRQL Irql;

    KTAP_CHECK(Frames[0] != 0 && Frames[1] != 0);
    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    TestFillFrame(Frames[0], SEED);
    TestFillFrame(Frames[1], SEED);
    for (ULONG Index = 0; Index < 48; Index++) {
        Windows[Index] = MiMapFrame(Frames[Index & 1], MiWriteBack);
    }
    for (ULONG Index = 0; Index < 48; Index++) {
        Wrong += TestWrongWords(Windows[Index], Frames[Index & 1], SEED);
        for (ULONG Earlier = 0; Earlier < Index; Earlier++) {
            Wrong += Windows[Earlier] == Windows[Index];
        }
    }
    for (ULONG Index = 0; Index < 48; Index++) {
        MiUnmapFrame(Windows[Index]);
    }
    KeLowerIrql(Irql);
    TestGiveFrame(Frames[0]);
    TestGiveFrame(Frames[1]);
    KTAP_EQUAL(Wrong, 0);
    KTAP_EQUAL(MiVerify(), 0);
}

/* The same slot shows a new frame after it showed another: no stale translation outlives an unmap. */
static VOID WindowForgetsAtOnce(PKTAP_CONTEXT Ktap)
{
    PFN_FRAME Frames[2] = {TestTakeFrame(MI_FRAME_ANY), TestTakeFrame(MI_FRAME_ANY)};
    ULONG Wrong = 0, SameSlot = 0;
    KIRQL Irql;

    KTAP_CHECK(Frames[0] != 0 && Frames[1] != 0);
    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    TestFillFrame(Frames[0], SEED);
    TestFillFrame(Frames[1], SEED);
    for (ULONG Turn = 0; Turn < 64; Turn++) {
        ULONG Slot = MiProcessor()->WindowHint;
        ULONG64 *First = MiMapFrame(Frames[0], MiWriteBack), *Second;

        Wrong += TestWrongWords(First, Frames[0], SEED);
        MiUnmapFrame(First);
        MiProcessor()->WindowHint = Slot;
        Second = MiMapFrame(Frames[1], MiWriteBack);
        SameSlot += First == Second;
        Wrong += TestWrongWords(Second, Frames[1], SEED);
        MiUnmapFrame(Second);
    }
    KeLowerIrql(Irql);
    TestGiveFrame(Frames[0]);
    TestGiveFrame(Frames[1]);
    KTAP_EQUAL(SameSlot, 64);
    KTAP_EQUAL(Wrong, 0);
}

static VOID WindowBatch(PKTAP_CONTEXT Ktap)
{
    PFN_FRAME Frames[MI_WINDOW_BATCH];
    ULONG Wrong = 0, Left = 0;
    PUCHAR Base;
    KIRQL Irql;

    for (ULONG Index = 0; Index < MI_WINDOW_BATCH; Index++) {
        Frames[Index] = TestTakeFrame(MI_FRAME_ANY);
        KTAP_CHECK(Frames[Index] != 0);
    }
    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    for (ULONG Index = 0; Index < MI_WINDOW_BATCH; Index++) {
        TestFillFrame(Frames[Index], SEED);
    }
    Base = MiMapFrames(Frames, MI_WINDOW_BATCH);
    for (ULONG Index = 0; Index < MI_WINDOW_BATCH; Index++) {
        Wrong += TestWrongWords((ULONG64 *)(Base + Index * MM_PAGE_SIZE), Frames[Index], SEED);
    }
    MiUnmapFrames(Base, MI_WINDOW_BATCH);
    for (ULONG Index = 0; Index < MI_WINDOW_BATCH; Index++) {
        Left += MiPteOf(Base)[Index].Long != 0;
    }
    KeLowerIrql(Irql);
    for (ULONG Index = 0; Index < MI_WINDOW_BATCH; Index++) {
        TestGiveFrame(Frames[Index]);
    }
    KTAP_EQUAL(Wrong, 0);
    KTAP_EQUAL(Left, 0);
    KTAP_EQUAL(MiVerify(), 0);
}

/* A debugger that interrupts a map has a slot of its own, one at a time. */
static VOID WindowOwnerSlots(PKTAP_CONTEXT Ktap)
{
    PFN_FRAME Frame = TestTakeFrame(MI_FRAME_ANY);
    PVOID Window, Owned, Again;
    ULONG Wrong = 0;
    KIRQL Irql;

    KTAP_CHECK(Frame != 0);
    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    TestFillFrame(Frame, SEED);
    Window = MiMapFrame(Frame, MiWriteBack);
    for (ULONG Owner = 0; Owner < MiWindowOwners; Owner++) {
        Owned = MiMapFrameForOwner(Owner, Frame, MiWriteBack);
        Again = MiMapFrameForOwner(Owner, Frame, MiWriteBack);
        Wrong += Owned == NULL || Owned == Window || Again != NULL;
        Wrong += Owned == NULL ? 1 : TestWrongWords(Owned, Frame, SEED);
        MiUnmapFrameForOwner(Owner);
    }
    MiUnmapFrame(Window);
    KeLowerIrql(Irql);
    TestGiveFrame(Frame);
    KTAP_EQUAL(Wrong, 0);
}

static VOID WindowCopiesAndZeroes(PKTAP_CONTEXT Ktap)
{
    PFN_FRAME From = TestTakeFrame(MI_FRAME_ANY), To = TestTakeFrame(MI_FRAME_ANY);
    ULONG Wrong, NonZero = 0;
    ULONG64 *Words;
    KIRQL Irql;

    KTAP_CHECK(From != 0 && To != 0);
    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    TestFillFrame(From, SEED);
    MiCopyFrame(To, From);
    Words = MiMapFrame(To, MiWriteBack);
    Wrong = TestWrongWords(Words, From, SEED);
    MiZeroFrame(To);
    for (ULONG Index = 0; Index < MM_PAGE_SIZE / 8; Index++) {
        NonZero += Words[Index] != 0;
    }
    MiUnmapFrame(Words);
    KeLowerIrql(Irql);
    TestGiveFrame(From);
    TestGiveFrame(To);
    KTAP_EQUAL(Wrong, 0);
    KTAP_EQUAL(NonZero, 0);
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"round_trip", WindowRoundTrip},
    {"live_slots_stay", WindowLiveSlotsStay},
    {"nests_to_the_last_slot", WindowNestsToTheLastSlot},
    {"forgets_at_once", WindowForgetsAtOnce},
    {"batch", WindowBatch},
    {"owner_slots", WindowOwnerSlots},
    {"copies_and_zeroes", WindowCopiesAndZeroes},
};
KTAP_SUITE(MmWindowSuite, "mm.window", Cases);
