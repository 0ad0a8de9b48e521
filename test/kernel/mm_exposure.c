/*
 * mm_exposure.c - suites mm.exposure and mm.stack: what the kernel half maps, and kernel stacks.
 *
 * Counters are compared at DISPATCH_LEVEL, where no other thread maps or unmaps anything
 * between two looks.
 */
#include "mmtest.h"

#define TAG 'tseT'

static VOID ExposureEqualsWalk(PKTAP_CONTEXT Ktap)
{
    MM_EXPOSURE Counted, Walked;
    KIRQL Irql;

    MmVerifyExposure(&Walked); /* once for the tables its bitmap may need */
    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    MmVerifyExposure(&Walked);
    MmQueryExposure(&Counted);
    KeLowerIrql(Irql);
    for (ULONG Region = 0; Region < MmRegionMax; Region++) {
        KTAP_EQUAL(Counted.Frames[Region], Walked.Frames[Region]);
    }
    KTAP_EQUAL(Counted.Total, Walked.Total);
    KTAP_CHECK(Walked.Distinct <= Walked.Total && Walked.Distinct != 0);
    KTAP_EQUAL(Walked.RamFrames, MiRamFrames);
}

static VOID ExposureFollowsPool(PKTAP_CONTEXT Ktap)
{
    MM_EXPOSURE Before, Held, After;
    PVOID Run;
    KIRQL Irql;

    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    MmQueryExposure(&Before);
    MmResetExposurePeak();
    Run = ExAllocatePoolWithTag(NonPagedPool, 10 * MM_PAGE_SIZE, TAG);
    MmQueryExposure(&Held);
    ExFreePoolWithTag(Run, TAG);
    MmQueryExposure(&After);
    KeLowerIrql(Irql);
    KTAP_EQUAL(Held.Frames[MmRegionNonPagedPool], Before.Frames[MmRegionNonPagedPool] + 10);
    KTAP_EQUAL(After.Frames[MmRegionNonPagedPool], Before.Frames[MmRegionNonPagedPool]);
    KTAP_CHECK(After.Peak >= Held.Total && Held.Total >= Before.Total + 10);
}

static VOID ExposureCountsWindows(PKTAP_CONTEXT Ktap)
{
    PFN_FRAME Frame = TestTakeFrame(MI_FRAME_ANY);
    MM_EXPOSURE Before, Held, Walked, After;
    PVOID First, Second;
    KIRQL Irql;

    KTAP_CHECK(Frame != 0);
    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    MmQueryExposure(&Before);
    First = MiMapFrame(Frame, MiWriteBack);
    Second = MiMapFrame(Frame, MiWriteBack);
    MmQueryExposure(&Held);
    MmVerifyExposure(&Walked);
    MiUnmapFrame(Second);
    MiUnmapFrame(First);
    MmQueryExposure(&After);
    KeLowerIrql(Irql);
    TestGiveFrame(Frame);
    KTAP_EQUAL(Held.Frames[MmRegionWindow], Before.Frames[MmRegionWindow] + 2);
    KTAP_EQUAL(Walked.Frames[MmRegionWindow], Held.Frames[MmRegionWindow]);
    KTAP_CHECK(Walked.Distinct < Walked.Total); /* one frame, two windows */
    KTAP_EQUAL(After.Total, Before.Total);
}

/* The claim itself: a linear map would be 100 %. Most of it is the PFN database, 32 bytes for 4096. */
static VOID ExposureIsSmall(PKTAP_CONTEXT Ktap)
{
    MM_EXPOSURE Now;

    MmQueryExposure(&Now);
    if (Now.RamFrames >= (500 << 8)) { /* 500 MB */
        KTAP_CHECK(Now.Total * 100 < Now.RamFrames * 3);
    }
    KTAP_CHECK(Now.Total * 100 < Now.RamFrames * 15); /* the smallest machine: 64 MB */
    KTAP_CHECK(Now.Frames[MmRegionPfnDatabase] * 4096 <= (Now.RamFrames + 2 * MiRamRunCount * 128) * 32 + 4096);
}

static const KTAP_CASE_ENTRY ExposureCases[] = {
    {"equals_walk", ExposureEqualsWalk},
    {"follows_pool", ExposureFollowsPool},
    {"counts_windows", ExposureCountsWindows},
    {"is_small", ExposureIsSmall},
};
KTAP_SUITE(MmExposureSuite, "mm.exposure", ExposureCases);

#define STACK_BYTES 0x5000 /* no size that threads use: the cache of the others is left alone */

static VOID StackHasGuard(PKTAP_CONTEXT Ktap)
{
    PUCHAR Top = MmCreateKernelStack(STACK_BYTES);
    BOOLEAN GuardBelow, Whole;
    ULONG64 Word;

    KTAP_CHECK(Top != NULL);
    KTAP_EQUAL(BYTE_OFFSET(Top), 0);
    RtlFillMemory(Top - STACK_BYTES, STACK_BYTES, 0xA5);
    Whole = KiCopyMemoryNoFault(&Word, Top - STACK_BYTES, 8) && KiCopyMemoryNoFault(&Word, Top - 8, 8);
    GuardBelow = !KiCopyMemoryNoFault(&Word, Top - STACK_BYTES - 8, 8);
    MmDeleteKernelStack(Top, STACK_BYTES);
    KTAP_CHECK(Whole);
    KTAP_CHECK(GuardBelow);
    KTAP_EQUAL(MiVerify(), 0);
}

/* A burst of stacks comes and goes: all different, and everything returns once the cache is emptied. */
static VOID StackBurst(PKTAP_CONTEXT Ktap)
{
    ULONG64 Used, Live, After;
    MM_EXPOSURE Before, Held, Now;
    PUCHAR Tops[20];
    ULONG Made = 0, Overlaps = 0;
    KIRQL Irql;

    MiTrimStackCache();
    KeRaiseIrql(APC_LEVEL, &Irql);
    Used = MiSystemPtes.Used;
    MmQueryExposure(&Before);
    for (; Made < RTL_NUMBER_OF(Tops); Made++) {
        Tops[Made] = MmCreateKernelStack(STACK_BYTES);
        if (Tops[Made] == NULL) {
            break;
        }
        for (ULONG Earlier = 0; Earlier < Made; Earlier++) {
            Overlaps +=
                Tops[Earlier] > Tops[Made] - STACK_BYTES - MM_PAGE_SIZE && Tops[Made] > Tops[Earlier] - STACK_BYTES;
        }
    }
    MmQueryExposure(&Held);
    Live = MiSystemPtes.Used;
    for (ULONG Index = 0; Index < Made; Index++) {
        MmDeleteKernelStack(Tops[Index], STACK_BYTES);
    }
    MiTrimStackCache();
    After = MiSystemPtes.Used;
    MmQueryExposure(&Now);
    KeLowerIrql(Irql);
    KTAP_EQUAL(Made, RTL_NUMBER_OF(Tops));
    KTAP_EQUAL(Overlaps, 0);
    KTAP_EQUAL(Live, Used + 20 * (STACK_BYTES / MM_PAGE_SIZE + 1));
    KTAP_EQUAL(After, Used);
    KTAP_EQUAL(Held.Frames[MmRegionSystemPtes], Before.Frames[MmRegionSystemPtes] + 20 * (STACK_BYTES / MM_PAGE_SIZE));
    KTAP_EQUAL(Now.Frames[MmRegionSystemPtes], Before.Frames[MmRegionSystemPtes]);
    KTAP_EQUAL(MiVerify(), 0);
}

/* The cache gives back what was just deleted, and only to requests of its size. */
static VOID StackCache(PKTAP_CONTEXT Ktap)
{
    PVOID First, Again, Other;

    MiTrimStackCache();
    First = MmCreateKernelStack(STACK_BYTES);
    KTAP_CHECK(First != NULL);
    MmDeleteKernelStack(First, STACK_BYTES);
    Other = MmCreateKernelStack(STACK_BYTES + MM_PAGE_SIZE);
    Again = MmCreateKernelStack(STACK_BYTES);
    MmDeleteKernelStack(Other, STACK_BYTES + MM_PAGE_SIZE);
    MmDeleteKernelStack(Again, STACK_BYTES);
    MiTrimStackCache();
    KTAP_CHECK(Other != NULL && Other != First);
    KTAP_EQUAL(Again, First);
}

static const KTAP_CASE_ENTRY StackCases[] = {
    {"has_guard", StackHasGuard},
    {"burst", StackBurst},
    {"cache", StackCache},
};
KTAP_SUITE(MmStackSuite, "mm.stack", StackCases);
