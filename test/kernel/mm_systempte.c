/*
 * mm_systempte.c - suite mm.systempte: runs of kernel addresses, their reuse, and the stamps that guard it.
 *
 * Two cases claim a second processor for a moment (KeNumberOfActiveProcessors, at DISPATCH_LEVEL, no sender of IPIs), so that stamps and
 * epochs are taken as they are on several processors.
 */
#include "ketest.h"
#include "mmtest.h"

static VOID SysPteDisjoint(PKTAP_CONTEXT Ktap)
{
    PMMPTE Runs[40];
    ULONG Overlaps = 0, NotEmpty = 0;
    ULONG64 Used = MiSystemPtes.Used;

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Runs); Index++) {
        Runs[Index] = MiReserveSystemPtes(Index + 1);
        KTAP_CHECK(Runs[Index] != NULL);
        for (ULONG Page = 0; Page <= Index; Page++) {
            NotEmpty += Runs[Index][Page].Long != 0;
        }
        for (ULONG Earlier = 0; Earlier < Index; Earlier++) {
            Overlaps += Runs[Index] < Runs[Earlier] + Earlier + 1 && Runs[Earlier] < Runs[Index] + Index + 1;
        }
    }
    KTAP_EQUAL(MiSystemPtes.Used, Used + 40 * 41 / 2);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Runs); Index++) {
        MiReleaseSystemPtes(Runs[Index], Index + 1);
    }
    KTAP_EQUAL(Overlaps, 0);
    KTAP_EQUAL(NotEmpty, 0);
    KTAP_EQUAL(MiSystemPtes.Used, Used);
    KTAP_EQUAL(MiVerify(), 0);
}

/* A small range of its own, in addresses of the region that the system does not use: growth can be undone between runs. */
#define OWN_BASE  ((PVOID)(MM_SYSTEM_PTE_BASE + (64ULL << 30)))
#define OWN_BYTES (16ULL << 20)

static MI_RANGE OwnRange;
static ULONG64 OwnLimit; /* as made; tables above it stay from run to run, which growth must cope with anyhow */

static BOOLEAN OwnRangeReset(VOID)
{
    if (OwnRange.Base == NULL) {
        if (!MiInitializeRange(&OwnRange, OWN_BASE, OWN_BYTES, MmRegionSystemPtes)) {
            return FALSE;
        }
        OwnLimit = OwnRange.Limit;
    }
    if (OwnRange.Used != 0) {
        return FALSE;
    }
    OwnRange.Free -= OwnRange.Limit - OwnLimit;
    OwnRange.Limit = OwnLimit;
    OwnRange.Rotor = OwnRange.Reserved;
    return TRUE;
}

/* An address comes back only after the search has gone round, and going round makes no new tables. */
static VOID SysPteReusedLate(PKTAP_CONTEXT Ktap)
{
    PUCHAR First, Next;
    ULONG Turns = 0;

    KTAP_CHECK(KTAP_WHOLE(OwnRangeReset()));
    First = MiReserveRange(&OwnRange, 1);
    KTAP_CHECK(First != NULL);
    MiReleaseRange(&OwnRange, First, 1);
    do {
        Next = MiReserveRange(&OwnRange, 1);
        KTAP_CHECK(Next != NULL);
        MiReleaseRange(&OwnRange, Next, 1);
        Turns++;
    } while (Next != First && Turns < 10000);
    KTAP_EQUAL(Turns, OwnRange.Free);
    KTAP_EQUAL(OwnRange.Limit, OwnLimit);
    KTAP_EQUAL(MiVerify(), 0);
}

static VOID SysPteGrows(PKTAP_CONTEXT Ktap)
{
    ULONG64 Failures;
    PVOID Held, Run;

    KTAP_CHECK(KTAP_WHOLE(OwnRangeReset()));
    Held = MiReserveRange(&OwnRange, 3);
    Run = MiReserveRange(&OwnRange, OwnLimit + 1000); /* more than there is below the limit */
    KTAP_CHECK(Held != NULL && Run != NULL);
    KTAP_CHECK(OwnRange.Limit >= OwnLimit + 1000 && OwnRange.Limit <= OwnLimit + 2000);
    KTAP_EQUAL(OwnRange.Free + OwnRange.Used + OwnRange.Reserved, OwnRange.Limit);
    Failures = OwnRange.Failures;
    KTAP_CHECK(MiReserveRange(&OwnRange, 0) == NULL);
    KTAP_CHECK(MiReserveRange(&OwnRange, OwnRange.Maximum - 10) == NULL);
    KTAP_CHECK(MiReserveRange(&OwnRange, OwnRange.Maximum + 1) == NULL);
    KTAP_EQUAL(OwnRange.Failures, Failures + 3);
    MiReleaseRange(&OwnRange, Run, OwnLimit + 1000);
    MiReleaseRange(&OwnRange, Held, 3);
    KTAP_EQUAL(OwnRange.Used, 0);
    KTAP_EQUAL(MiVerify(), 0);
}

/* A flush counts for a stamp only if it began after the stamp was taken. */
static VOID SysPteStamps(PKTAP_CONTEXT Ktap)
{
    ULONG64 Stamp = MiTlbStamp();

    KTAP_CHECK(!MiTlbStampPassed(Stamp));
    MiFlushAllTlb();
    KTAP_CHECK(MiTlbStampPassed(Stamp));
    KTAP_CHECK(!MiTlbStampPassed(MiTlbStamp()));
}

/* With a second processor (claimed, at DISPATCH_LEVEL), reuse flushes at most once a turn of the range. */
static VOID SysPteFlushOnReuse(PKTAP_CONTEXT Ktap)
{
    ULONG Processors = KeNumberOfActiveProcessors, Stamped = 0;
    ULONG64 Flushes, Reserved = 0, Extra;
    PVOID Page;
    KIRQL Irql;

    KTAP_CHECK(KTAP_WHOLE(OwnRangeReset()));
    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    KeNumberOfActiveProcessors = max(Processors, 2);
    Flushes = OwnRange.Flushes;
    for (ULONG64 Turn = 0; Turn < 3 * OwnRange.Limit; Turn++) {
        Page = MiReserveRange(&OwnRange, 1);
        if (Page == NULL) {
            break;
        }
        Reserved++;
        MiReleaseRange(&OwnRange, Page, 1);
        Stamped += MiPteOf(Page)->Long != 0 && !MiPteOf(Page)->Hard.Valid;
    }
    Flushes = OwnRange.Flushes - Flushes;
    Extra = OwnRange.Free;
    /* what was stamped under the claim must not stay: the last turn ends with one flush */
    MiFlushAllTlb();
    KeNumberOfActiveProcessors = Processors;
    KeLowerIrql(Irql);
    KTAP_EQUAL(Reserved, 3 * OwnRange.Limit);
    KTAP_EQUAL(Stamped, Reserved);
    KTAP_CHECK(Flushes >= 1);
    KTAP_CHECK(Flushes <= Reserved / Extra + 1);
}

/* A frame tagged with the current epoch forces one flush when it changes owner; a second time it forces none. */
static VOID SysPteFrameEpoch(PKTAP_CONTEXT Ktap)
{
    PFN_FRAME Frame = TestTakeFrame(MI_FRAME_ANY);
    ULONG Processors = KeNumberOfActiveProcessors, Epoch;
    ULONG64 Stamp, AfterFirst, AfterSecond;
    MI_TLB_FLUSH Flush;
    MMPTE Pte;
    KIRQL Irql;

    KTAP_CHECK(Frame != 0);
    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    KeNumberOfActiveProcessors = max(Processors, 2);
    Pte = MiMakeValidPte(Frame, MI_KERNEL_RW_BITS);
    MiBeginTlbFlush(&Flush, MiTlbSystemLazy);
    MiDowngradePte(&Flush, &Pte, (PVOID)MM_SYSTEM_PTE_BASE, (MMPTE){.Long = 0});
    Epoch = MiFlushTlb(&Flush);
    MiTagFrame(MiPfn(Frame), Epoch);
    Stamp = MiTlbStamp();
    MiForgetStaleTranslations(MiPfn(Frame));
    AfterFirst = MiTlbStamp();
    MiForgetStaleTranslations(MiPfn(Frame));
    AfterSecond = MiTlbStamp();
    KeNumberOfActiveProcessors = Processors;
    KeLowerIrql(Irql);
    TestGiveFrame(Frame);
    KTAP_CHECK(Epoch >= 1 && Epoch <= 3);
    KTAP_EQUAL(AfterFirst, Stamp + 1);
    KTAP_EQUAL(AfterSecond, AfterFirst);
}

/* A downgrade returns Dirty as the processor set it. */
static VOID SysPteDowngradeHarvestsDirty(PKTAP_CONTEXT Ktap)
{
    PFN_FRAME Frame = TestTakeFrame(MI_FRAME_ZEROED);
    PMMPTE Pte = MiReserveSystemPtes(1);
    MI_TLB_FLUSH Flush;
    MMPTE Clean, Dirty;
    ULONG64 Word;

    KTAP_CHECK(Frame != 0 && Pte != NULL);
    MiWriteValidPte(Pte, MiMakeValidPte(Frame, MI_KERNEL_RW_BITS & ~PTE_DIRTY));
    (void)*(volatile ULONG64 *)MiAddressOf(Pte);
    Clean = *(volatile MMPTE *)Pte;
    *(volatile ULONG64 *)MiAddressOf(Pte) = 1;
    MiBeginTlbFlush(&Flush, MiTlbSystemAtOnce);
    Dirty = MiDowngradePte(&Flush, Pte, MiAddressOf(Pte), (MMPTE){.Long = 0});
    MiFlushTlb(&Flush);
    KTAP_CHECK(!KiCopyMemoryNoFault(&Word, MiAddressOf(Pte), sizeof(Word)));
    MiReleaseSystemPtes(Pte, 1);
    TestGiveFrame(Frame);
    KTAP_CHECK(!Clean.Hard.Dirty);
    KTAP_CHECK(Dirty.Hard.Dirty && Dirty.Hard.Accessed);
}

/* ---- What another processor still sees ---- */

static struct {
    KEVENT Ended;
    volatile LONG Order; /* 0: none, 1: read, 2: end */
    const volatile ULONG64 *Word;
    ULONG64 Value;
    BOOLEAN Readable;
} Looker;

/* Reads on the second processor, which loads no CR3 meanwhile, so that only a flush makes it forget. */
static VOID NTAPI LookElsewhere(PVOID Context)
{
    KIRQL Irql;

    UNREFERENCED_PARAMETER(Context);
    KeSetSystemAffinityThread(2);
    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    while (Looker.Order != 2) {
        if (Looker.Order == 1) {
            Looker.Readable = KiCopyMemoryNoFault(&Looker.Value, (const VOID *)Looker.Word, sizeof(Looker.Value));
            InterlockedExchange(&Looker.Order, 0);
        }
        YieldProcessor();
    }
    KeLowerIrql(Irql);
    KeSetEvent(&Looker.Ended, IO_NO_INCREMENT, FALSE);
}

/* What the second processor finds at an address; 0: nothing can be read there. */
static ULONG64 SeenElsewhere(PVOID Address)
{
    Looker.Word = Address;
    InterlockedExchange(&Looker.Order, 1);
    while (Looker.Order != 0) {
        YieldProcessor();
    }
    return Looker.Readable ? Looker.Value : 0;
}

/* Maps a frame at a reserved address; its first word becomes Value. */
static VOID MapMarked(PVOID Page, PFN_FRAME Frame, ULONG64 Value)
{
    MiWriteValidPte(MiPteOf(Page), MiMakeValidPte(Frame, MI_KERNEL_RW_BITS));
    *(volatile ULONG64 *)Page = Value;
}

/* As whoever unmaps an MDL does: this processor forgets at once, the frame and the address remember the others. */
static VOID UnmapLazily(PVOID Page, PFN_FRAME Frame)
{
    MI_TLB_FLUSH Flush;
    KIRQL Irql;

    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    MiBeginTlbFlush(&Flush, MiTlbSystemLazy);
    MiDowngradePte(&Flush, MiPteOf(Page), Page, (MMPTE){.Long = 0});
    MiTagFrame(MiPfn(Frame), MiFlushTlb(&Flush));
    KeLowerIrql(Irql);
}

/* Goes round the range until an address comes back. FALSE: it does not. */
static BOOLEAN ReserveAgain(PVOID Page)
{
    for (ULONG64 Turn = 0; Turn <= OwnRange.Limit; Turn++) {
        PVOID Next = MiReserveRange(&OwnRange, 1);

        if (Next == Page) {
            return TRUE;
        }
        if (Next == NULL) {
            return FALSE;
        }
        MiReleaseRange(&OwnRange, Next, 1);
    }
    return FALSE;
}

/* Values seen at an address: its first owner's, the next owner's, and what the latter has there once the frame may be somebody else's. */
static BOOLEAN LookTwice(const PFN_FRAME *Frame, PULONG64 Seen)
{
    PVOID Page = MiReserveRange(&OwnRange, 1);

    if (Page == NULL) {
        return FALSE;
    }
    MapMarked(Page, Frame[0], 11);
    Seen[0] = SeenElsewhere(Page);
    UnmapLazily(Page, Frame[0]);
    MiReleaseRange(&OwnRange, Page, 1);
    if (!ReserveAgain(Page)) {
        return FALSE;
    }
    MapMarked(Page, Frame[1], 22);
    Seen[1] = SeenElsewhere(Page);
    UnmapLazily(Page, Frame[1]);
    MiForgetStaleTranslations(MiPfn(Frame[1]));
    MapMarked(Page, Frame[0], 33);
    Seen[2] = SeenElsewhere(Page);
    UnmapLazily(Page, Frame[0]);
    MiReleaseRange(&OwnRange, Page, 1);
    return TRUE;
}

/* Another processor never sees through an address what was there before, nor a frame that has gone to somebody else. */
static VOID SysPteSeenElsewhere(PKTAP_CONTEXT Ktap)
{
    PFN_FRAME Frame[2];
    ULONG64 Seen[3] = {0};
    BOOLEAN Looked;

    if (KeQueryActiveProcessorCount(NULL) < 2) {
        Ktap->Skipped = TRUE;
        Ktap->SkipReason = "one processor";
        return;
    }
    KTAP_CHECK(KTAP_WHOLE(OwnRangeReset()));
    KeInitializeEvent(&Looker.Ended, NotificationEvent, FALSE);
    Looker.Order = 0;
    KTAP_CHECK(TestThread(LookElsewhere, NULL, 8));
    Frame[0] = KTAP_WHOLE(TestTakeFrame(MI_FRAME_ANY));
    Frame[1] = KTAP_WHOLE(TestTakeFrame(MI_FRAME_ANY));
    KeSetSystemAffinityThread(1);
    Looked = Frame[0] != 0 && Frame[1] != 0 && KTAP_WHOLE(LookTwice(Frame, Seen));
    KeRevertToUserAffinityThread();
    InterlockedExchange(&Looker.Order, 2);
    KTAP_EQUAL(TestWait(&Looker.Ended), STATUS_SUCCESS);
    for (ULONG Index = 0; Index < 2; Index++) {
        if (Frame[Index] != 0) {
            TestGiveFrame(Frame[Index]);
        }
    }
    KTAP_CHECK(Looked);
    KTAP_EQUAL(Seen[0], 11);
    KTAP_EQUAL(Seen[1], 22);
    KTAP_EQUAL(Seen[2], 33);
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"disjoint", SysPteDisjoint},
    {"reused_late", SysPteReusedLate},
    {"grows", SysPteGrows},
    {"stamps", SysPteStamps},
    {"flush_on_reuse", SysPteFlushOnReuse},
    {"frame_epoch", SysPteFrameEpoch},
    {"seen_elsewhere", SysPteSeenElsewhere},
    {"downgrade_harvests_dirty", SysPteDowngradeHarvestsDirty},
};
KTAP_SUITE(MmSystemPteSuite, "mm.systempte", Cases);
