/*
 * mm_systempte.c - suite mm.systempte: runs of kernel addresses, their reuse, and the stamps that guard it.
 *
 * Two cases claim a second processor for a moment (KeNumberOfActiveProcessors, at DISPATCH_LEVEL, no sender of IPIs), so that stamps and
 * epochs are taken as they are on several processors.
 */
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

/* An address comes back only after the search has gone round, and going round makes no new tables. */
static VOID SysPteReusedLate(PKTAP_CONTEXT Ktap)
{
    PMMPTE First = MiReserveSystemPtes(1), Next;
    ULONG64 Limit = MiSystemPtes.Limit;
    ULONG Turns = 0;

    KTAP_CHECK(First != NULL);
    MiReleaseSystemPtes(First, 1);
    do {
        Next = MiReserveSystemPtes(1);
        KTAP_CHECK(Next != NULL);
        MiReleaseSystemPtes(Next, 1);
        Turns++;
    } while (Next != First && Turns < 100000);
    KTAP_CHECK(Next == First);
    KTAP_CHECK(Turns > 100);
    KTAP_EQUAL(MiSystemPtes.Limit, Limit);
}

static VOID SysPteGrows(PKTAP_CONTEXT Ktap)
{
    ULONG64 Limit = MiSystemPtes.Limit, Tables;
    MM_EXPOSURE Before, After;
    PMMPTE Run;

    MmQueryExposure(&Before);
    Run = MiReserveSystemPtes((ULONG)Limit + 1000); /* more than there is below the limit */
    KTAP_CHECK(Run != NULL);
    MmQueryExposure(&After);
    Tables = After.Frames[MmRegionPageTables] - Before.Frames[MmRegionPageTables];
    KTAP_CHECK(MiSystemPtes.Limit >= Limit + 1000);
    KTAP_CHECK(Tables >= 1 && Tables <= (MiSystemPtes.Limit - Limit) / 512 + 1);
    MiReleaseSystemPtes(Run, (ULONG)Limit + 1000);
    KTAP_CHECK(MiReserveSystemPtes(0) == NULL);
    KTAP_CHECK(MiReserveSystemPtes((ULONG)MiSystemPtes.Maximum) == NULL);
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
    PMMPTE Pte;
    KIRQL Irql;

    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    KeNumberOfActiveProcessors = max(Processors, 2);
    Flushes = MiSystemPtes.Flushes;
    for (ULONG64 Turn = 0; Turn < 3 * MiSystemPtes.Limit; Turn++) {
        Pte = MiReserveSystemPtes(1);
        if (Pte == NULL) {
            break;
        }
        Reserved++;
        MiReleaseSystemPtes(Pte, 1);
        Stamped += Pte->Long != 0 && !Pte->Hard.Valid;
    }
    Flushes = MiSystemPtes.Flushes - Flushes;
    Extra = MiSystemPtes.Free;
    /* what was stamped under the claim must not stay: the last turn ends with one flush */
    MiFlushAllTlb();
    KeNumberOfActiveProcessors = Processors;
    KeLowerIrql(Irql);
    KTAP_EQUAL(Reserved, 3 * MiSystemPtes.Limit);
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

static const KTAP_CASE_ENTRY Cases[] = {
    {"disjoint", SysPteDisjoint},
    {"reused_late", SysPteReusedLate},
    {"grows", SysPteGrows},
    {"stamps", SysPteStamps},
    {"flush_on_reuse", SysPteFlushOnReuse},
    {"frame_epoch", SysPteFrameEpoch},
    {"downgrade_harvests_dirty", SysPteDowngradeHarvestsDirty},
};
KTAP_SUITE(MmSystemPteSuite, "mm.systempte", Cases);
