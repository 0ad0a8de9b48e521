/*
 * ke_smp.c - suites ke.smp and ke.number: processors run threads, answer calls, DPCs and shootdowns, and are counted.
 *
 * Every case holds on one processor too, where the races are none. The shootdown case lets one thread replace the frame behind an
 * address while the others read it: a processor that keeps the old translation reads a number that is too low.
 */
#include "ketest.h"
#include "mmtest.h"

static ULONG Processors(VOID)
{
    return KeQueryActiveProcessorCountEx(ALL_PROCESSOR_GROUPS);
}

/* ---- Threads ---- */

static volatile LONG64 Visited;
static volatile LONG Wrong;

static VOID Visit(ULONG Number)
{
    for (ULONG Index = 0; Index < Processors(); Index++) {
        GROUP_AFFINITY Here = {.Mask = (KAFFINITY)1 << (Index + Number) % Processors()}, Previous;
        PROCESSOR_NUMBER Found;

        KeSetSystemGroupAffinityThread(&Here, &Previous);
        KeGetCurrentProcessorNumberEx(&Found);
        if ((KAFFINITY)1 << Found.Number != Here.Mask || Found.Number != KeGetCurrentProcessorNumber()) {
            InterlockedIncrement(&Wrong);
        }
        InterlockedOr64(&Visited, (LONG64)1 << Found.Number);
        KeRevertToUserGroupAffinityThread(&Previous);
    }
}

static VOID RunsThreads(PKTAP_CONTEXT Ktap)
{
    Visited = 0;
    Wrong = 0;
    KTAP_CHECK(TestParallel(TestRacers(), Visit));
    KTAP_EQUAL(Wrong, 0);
    KTAP_EQUAL(Visited, KeQueryGroupAffinity(0));
}

/* Busy threads that are not bound come to run on all processors. */
static VOID Meet(ULONG Number)
{
    ULONG64 Start = KeQueryInterruptTime();

    while ((KAFFINITY)Visited != KeQueryActiveProcessors() && KeQueryInterruptTime() - Start < TEST_PATIENCE) {
        InterlockedOr64(&Visited, (LONG64)1 << KeGetCurrentProcessorNumber());
        YieldProcessor();
    }
}

static VOID Spreads(PKTAP_CONTEXT Ktap)
{
    Visited = 0;
    KTAP_CHECK(TestParallel(Processors(), Meet));
    KTAP_EQUAL(Visited, KeQueryActiveProcessors());
}

/* ---- Calls ---- */

static volatile LONG64 Called;
static volatile LONG Calls, Inside;

static ULONG_PTR NTAPI Broadcast(ULONG_PTR Context)
{
    InterlockedOr64(&Called, (LONG64)1 << KeGetCurrentProcessorNumber());
    if (KeGetCurrentIrql() != IPI_LEVEL) {
        InterlockedIncrement(&Wrong);
    }
    InterlockedIncrement(&Inside);
    while (Inside < (LONG)Processors()) { /* all are in it at the same time */
        YieldProcessor();
    }
    InterlockedIncrement(&Calls);
    return Context + KeGetCurrentProcessorNumber();
}

static VOID GenericCall(PKTAP_CONTEXT Ktap)
{
    PKPRCB Last = KiProcessorBlock[Processors() - 1];
    ULONG64 Before = Last->IpiCalls;
    KIRQL OldIrql;

    Called = 0;
    Calls = 0;
    Inside = 0;
    Wrong = 0;
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    ULONG Here = KeGetCurrentProcessorNumber();
    ULONG_PTR Result = KeIpiGenericCall(Broadcast, 100);
    KeLowerIrql(OldIrql);
    KTAP_EQUAL(Result, 100 + Here);
    KTAP_EQUAL(Called, KeQueryActiveProcessors());
    KTAP_EQUAL(Calls, (LONG)Processors());
    KTAP_EQUAL(Wrong, 0);
    KTAP_EQUAL(KeGetCurrentIrql(), PASSIVE_LEVEL);
    if (Here != Last->Number) {
        KTAP_EQUAL(Last->IpiCalls, Before + 1);
    }
}

static volatile LONG64 Sum;
static ULONG64 Rounds;

static ULONG_PTR NTAPI Add(ULONG_PTR Context)
{
    InterlockedAdd64(&Sum, (LONG64)Context);
    return Context;
}

static VOID CallOften(ULONG Number)
{
    for (ULONG64 Round = 0; Round < Rounds; Round++) {
        if (KeIpiGenericCall(Add, Number + 1) != Number + 1) {
            InterlockedIncrement(&Wrong);
        }
    }
}

/* Callers on all processors at once, whose calls must not mix. */
static VOID CallsRace(PKTAP_CONTEXT Ktap)
{
    ULONG Threads = TestRacers();

    Sum = 0;
    Wrong = 0;
    Rounds = KtapIterations(5); /* each waits for every processor to be given time by its host */
    KTAP_CHECK(TestParallel(Threads, CallOften));
    KTAP_EQUAL(Wrong, 0);
    KTAP_EQUAL(Sum, Rounds * Processors() * (Threads * (Threads + 1) / 2));
}

/* ---- DPCs ---- */

static KDPC TargetDpcs[KI_MAXIMUM_PROCESSORS];
static volatile LONG DpcRuns;

static VOID NTAPI CheckTarget(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    if (KeGetCurrentProcessorNumber() != (ULONG)(ULONG_PTR)Context || Argument1 != (PVOID)1 || Argument2 != (PVOID)2) {
        InterlockedIncrement(&Wrong);
    }
    InterlockedIncrement(&DpcRuns);
}

static VOID TargetedDpcs(PKTAP_CONTEXT Ktap)
{
    PROCESSOR_NUMBER None = {.Number = KI_MAXIMUM_PROCESSORS - 1}, OtherGroup = {.Group = 1};
    ULONG64 Turns = KtapIterations(100);

    Wrong = 0;
    DpcRuns = 0;
    for (ULONG Index = 0; Index < Processors(); Index++) {
        PROCESSOR_NUMBER Number;

        KeInitializeDpc(&TargetDpcs[Index], CheckTarget, (PVOID)(ULONG_PTR)Index);
        KTAP_EQUAL(KeGetProcessorNumberFromIndex(Index, &Number), STATUS_SUCCESS);
        KTAP_EQUAL(KeSetTargetProcessorDpcEx(&TargetDpcs[Index], &Number), STATUS_SUCCESS);
    }
    KTAP_EQUAL(KeSetTargetProcessorDpcEx(&TargetDpcs[0], &OtherGroup), STATUS_INVALID_PARAMETER);
    if (Processors() < KI_MAXIMUM_PROCESSORS) {
        KTAP_EQUAL(KeSetTargetProcessorDpcEx(&TargetDpcs[0], &None), STATUS_INVALID_PARAMETER);
    }
    for (ULONG64 Turn = 0; Turn < Turns; Turn++) {
        for (ULONG Index = 0; Index < Processors(); Index++) {
            KeInsertQueueDpc(&TargetDpcs[Index], (PVOID)1, (PVOID)2);
        }
        KeFlushQueuedDpcs(); /* on every processor */
        KTAP_EQUAL(DpcRuns, (LONG)((Turn + 1) * Processors()));
    }
    KTAP_EQUAL(Wrong, 0);
}

/* ---- Freezing ---- */

static volatile LONG64 Progress;
static volatile BOOLEAN StopProgress;

static VOID MakeProgress(ULONG Number)
{
    while (!StopProgress) {
        InterlockedIncrement64(&Progress);
        if (Number == 0) {
            KIRQL OldIrql = KeFreezeProcessors();
            LONG64 Before = Progress;
            KeStallExecutionProcessor(50);
            Wrong += Progress != Before;
            KeThawProcessors(OldIrql);
            StopProgress = --Rounds == 0;
        }
    }
}

static VOID Freezes(PKTAP_CONTEXT Ktap)
{
    StopProgress = FALSE;
    Wrong = 0;
    Rounds = KtapIterations(20);
    KTAP_CHECK(TestParallel(TestRacers(), MakeProgress));
    KTAP_EQUAL(Wrong, 0);
}

/* ---- Shootdown ---- */

static volatile ULONG64 *Shared; /* behind it: one of two frames */
static volatile ULONG64 Published;
static PFN_FRAME Frames[2];

static VOID Publish(ULONG64 Value)
{
    MI_TLB_FLUSH Flush;
    PMMPTE Pte = MiPteOf((PVOID)Shared);
    PFN_FRAME Frame = Frames[Value % 2];
    KIRQL OldIrql;

    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    volatile ULONG64 *Window = MiMapFrame(Frame, MiWriteBack);
    *Window = Value;
    MiUnmapFrame((PVOID)Window);
    MiBeginTlbFlush(&Flush, MiTlbSystemAtOnce);
    MiDowngradePte(&Flush, Pte, (PVOID)Shared, MiMakeValidPte(Frame, MI_KERNEL_RW_BITS));
    MiFlushTlb(&Flush);
    Published = Value; /* from here on, nobody may see less */
    KeLowerIrql(OldIrql);
}

static VOID ReadOrPublish(ULONG Number)
{
    while (Published < Rounds) {
        if (Number == 0) {
            Publish(Published + 1);
        } else {
            ULONG64 AtLeast = Published;
            KeMemoryFence();
            if (*Shared < AtLeast) {
                InterlockedIncrement(&Wrong);
            }
        }
    }
}

static ULONG64 Taken(VOID)
{
    ULONG64 Sum64 = 0;

    for (ULONG Index = 0; Index < Processors(); Index++) {
        Sum64 += KiProcessorBlock[Index]->Mm->TlbIpisTaken;
    }
    return Sum64;
}

static VOID Shootdown(PKTAP_CONTEXT Ktap)
{
    ULONG64 Before = Taken();
    PMMPTE Pte = MiReserveSystemPtes(1);
    MI_TLB_FLUSH Flush;

    KTAP_CHECK(Pte != NULL);
    Frames[0] = TestTakeFrame(MI_FRAME_ZEROED);
    Frames[1] = TestTakeFrame(MI_FRAME_ZEROED);
    KTAP_CHECK(Frames[0] != 0 && Frames[1] != 0);
    Shared = MiAddressOf(Pte);
    Published = 0;
    Wrong = 0;
    Rounds = KtapIterations(100);
    KIRQL OldIrql = MiLockPfn();
    MiWriteValidPte(Pte, MiMakeValidPte(Frames[0], MI_KERNEL_RW_BITS));
    MiCountMapped(MmRegionSystemPtes, 1);
    MiUnlockPfn(OldIrql);
    BOOLEAN Ran = TestParallel(TestRacers(), ReadOrPublish);
    OldIrql = MiLockPfn();
    MiBeginTlbFlush(&Flush, MiTlbSystemAtOnce);
    MiDowngradePte(&Flush, Pte, (PVOID)Shared, (MMPTE){.Long = 0});
    MiFlushTlb(&Flush);
    MiCountMapped(MmRegionSystemPtes, -1);
    MiUnlockPfn(OldIrql);
    MiReleaseSystemPtes(Pte, 1);
    TestGiveFrame(Frames[0]);
    TestGiveFrame(Frames[1]);
    KTAP_CHECK(Ran);
    KTAP_EQUAL(Wrong, 0);
    KTAP_CHECK(Taken() - Before >= Rounds * (Processors() - 1));
}

/* A process's addresses are shot down where it is loaded, one request for several of them, and nowhere else. */
static VOID ShootdownTargets(PKTAP_CONTEXT Ktap)
{
    static KPROCESS Process; /* only its set of processors is looked at */
    MMPTE Pte[3];
    MI_TLB_FLUSH Flush;
    KIRQL OldIrql;

    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    PMI_PROCESSOR Here = MiProcessor();
    ULONG Other = (KeGetCurrentProcessorNumber() + 1) % Processors();
    ULONG64 Sent[3], Requests[3], Singles[3];
    for (ULONG Turn = 0; Turn < 3; Turn++) {
        Process.ActiveProcessors = Turn == 0   ? KeGetCurrentPrcb()->SetMember
                                   : Turn == 1 ? KeGetCurrentPrcb()->SetMember | (KAFFINITY)1 << Other
                                               : KeQueryActiveProcessors();
        Sent[Turn] = Here->TlbIpisSent;
        Requests[Turn] = Here->TlbShootdowns;
        Singles[Turn] = KiProcessorBlock[Other]->Mm->TlbSingles;
        MiBeginProcessTlbFlush(&Flush, &Process);
        for (ULONG Index = 0; Index < RTL_NUMBER_OF(Pte); Index++) {
            Pte[Index] = MiMakeValidPte(1, MI_KERNEL_RW_BITS);
            MiDowngradePte(&Flush, &Pte[Index], (PVOID)(ULONG_PTR)(0x10000 + Index * MM_PAGE_SIZE), (MMPTE){.Long = 0});
        }
        MiFlushTlb(&Flush);
        Sent[Turn] = Here->TlbIpisSent - Sent[Turn];
        Requests[Turn] = Here->TlbShootdowns - Requests[Turn];
        Singles[Turn] = KiProcessorBlock[Other]->Mm->TlbSingles - Singles[Turn];
    }
    KeLowerIrql(OldIrql);
    KTAP_EQUAL(Sent[0], 0);
    KTAP_EQUAL(Requests[0], 0);
    KTAP_EQUAL(Sent[2], Processors() - 1);
    if (Processors() > 1) {
        KTAP_EQUAL(Sent[1], 1);
        KTAP_EQUAL(Requests[1], 1);
        KTAP_CHECK(Singles[1] >= RTL_NUMBER_OF(Pte));
    }
}

/* ---- A processor that does not answer ---- */

static VOID LeftOut(PKTAP_CONTEXT Ktap)
{
    ULONG Before = Processors();
    const ULONG NoSuchApic = 0xFE;

    Ktap->Keeps = TRUE; /* its stacks and state: it might still come */
    KTAP_EQUAL(KeStartProcessor(NoSuchApic, 20000), FALSE);
    KTAP_EQUAL(Processors(), Before);
}

static const KTAP_CASE_ENTRY SmpCases[] = {
    {"runs_threads", RunsThreads},   {"spreads", Spreads},
    {"generic_call", GenericCall},   {"calls_race", CallsRace},
    {"targeted_dpcs", TargetedDpcs}, {"freezes", Freezes},
    {"shootdown", Shootdown},        {"shootdown_targets", ShootdownTargets},
    {"left_out", LeftOut},
};
KTAP_SUITE(KeSmpSuite, "ke.smp", SmpCases);

/* ---- Numbers ---- */

static VOID Counts(PKTAP_CONTEXT Ktap)
{
    KAFFINITY Active;

    KTAP_CHECK(Processors() >= 1 && Processors() <= KI_MAXIMUM_PROCESSORS);
    KTAP_EQUAL(KeQueryActiveProcessorCount(&Active), Processors());
    KTAP_EQUAL(RtlNumberOfSetBitsUlongPtr(Active), Processors());
    KTAP_EQUAL(KeQueryActiveProcessorCount(NULL), Processors());
    KTAP_EQUAL(KeQueryActiveProcessors(), Active);
    KTAP_EQUAL(KeQueryActiveProcessorCountEx(0), Processors());
    KTAP_EQUAL(KeQueryActiveProcessorCountEx(1), 0);
    KTAP_CHECK(KeQueryMaximumProcessorCount() >= Processors());
    KTAP_CHECK(KeQueryMaximumProcessorCountEx(ALL_PROCESSOR_GROUPS) >= Processors());
    KTAP_EQUAL(KeQueryMaximumProcessorCountEx(9), 0);
    KTAP_EQUAL(KeQueryActiveGroupCount(), 1);
    KTAP_EQUAL(KeQueryMaximumGroupCount(), 1);
    KTAP_EQUAL(KeQueryGroupAffinity(0), Active);
    KTAP_EQUAL(KeQueryGroupAffinity(1), 0);
    KTAP_EQUAL(KeNumberProcessors, Processors());
    KTAP_EQUAL(SharedUserData->ActiveProcessorCount, Processors());
}

static VOID Indexes(PKTAP_CONTEXT Ktap)
{
    PROCESSOR_NUMBER Number = {.Group = 3}, Bad = {.Reserved = 1};

    for (ULONG Index = 0; Index < Processors(); Index++) {
        KTAP_EQUAL(KeGetProcessorNumberFromIndex(Index, &Number), STATUS_SUCCESS);
        KTAP_EQUAL(Number.Group, 0);
        KTAP_EQUAL(Number.Number, Index);
        KTAP_EQUAL(KeGetProcessorIndexFromNumber(&Number), Index);
    }
    KTAP_EQUAL(KeGetProcessorNumberFromIndex(Processors(), &Number), STATUS_INVALID_PARAMETER);
    Number.Group = 1;
    KTAP_EQUAL(KeGetProcessorIndexFromNumber(&Number), INVALID_PROCESSOR_INDEX);
    KTAP_EQUAL(KeGetProcessorIndexFromNumber(&Bad), INVALID_PROCESSOR_INDEX);
    KTAP_CHECK(KeGetCurrentProcessorNumberEx(NULL) < Processors());
}

static VOID Nodes(PKTAP_CONTEXT Ktap)
{
    GROUP_AFFINITY Affinity;
    USHORT Count;

    KTAP_EQUAL(KeQueryHighestNodeNumber(), 0);
    KTAP_EQUAL(KeGetCurrentNodeNumber(), 0);
    KTAP_EQUAL(KeQueryNodeMaximumProcessorCount(0), Processors());
    KTAP_EQUAL(KeQueryNodeMaximumProcessorCount(1), 0);
    KeQueryNodeActiveAffinity(0, &Affinity, &Count);
    KTAP_EQUAL(Affinity.Mask, KeQueryActiveProcessors());
    KTAP_EQUAL(Affinity.Group, 0);
    KTAP_EQUAL(Count, Processors());
    KeQueryNodeActiveAffinity(7, &Affinity, NULL);
    KTAP_EQUAL(Affinity.Mask, 0);
}

static const KTAP_CASE_ENTRY NumberCases[] = {{"counts", Counts}, {"indexes", Indexes}, {"nodes", Nodes}};
KTAP_SUITE(KeNumberSuite, "ke.number", NumberCases);
