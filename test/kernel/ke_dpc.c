/*
 * ke_dpc.c - suite ke.dpc: level, order, importance, removal, calls on all processors.
 *
 * DPCs are queued at raised IRQL, so that they gather; each notes when it ran. KeFlushQueuedDpcs is what says that all have
 * run, and is tested by that.
 */
#include "ketest.h"

static KDPC Dpcs[4];
static ULONG Order[8];
static volatile LONG Runs;
static KIRQL Level;

static VOID NTAPI Note(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    Level = KeGetCurrentIrql();
    LONG Index = InterlockedIncrement(&Runs) - 1;
    if (Index < (LONG)RTL_NUMBER_OF(Order)) {
        Order[Index] = (ULONG)(ULONG_PTR)Context;
    }
}

static VOID Prepare(VOID)
{
    Runs = 0;
    for (ULONG i = 0; i < RTL_NUMBER_OF(Dpcs); i++) {
        KeInitializeDpc(&Dpcs[i], Note, (PVOID)(ULONG_PTR)i);
    }
}

static VOID AtDispatch(PKTAP_CONTEXT Ktap)
{
    Prepare();
    KIRQL OldIrql = KfRaiseIrql(HIGH_LEVEL);
    BOOLEAN First = KeInsertQueueDpc(&Dpcs[0], NULL, NULL);
    BOOLEAN Second = KeInsertQueueDpc(&Dpcs[0], NULL, NULL);
    LONG RunsWhileHigh = Runs;
    KeLowerIrql(DISPATCH_LEVEL);
    LONG RunsAtDispatch = Runs;
    KeLowerIrql(OldIrql); /* a bare CR8 write: the request waits in the APIC */
    KTAP_EQUAL(First, TRUE);
    KTAP_EQUAL(Second, FALSE);
    KTAP_EQUAL(RunsWhileHigh, 0);
    KTAP_EQUAL(RunsAtDispatch, 0);
    KeFlushQueuedDpcs();
    KTAP_EQUAL(Runs, 1);
    KTAP_EQUAL(Level, DISPATCH_LEVEL);
}

static VOID Importance(PKTAP_CONTEXT Ktap)
{
    Prepare();
    KeSetImportanceDpc(&Dpcs[2], HighImportance);
    KeSetImportanceDpc(&Dpcs[3], LowImportance);
    KIRQL OldIrql = KfRaiseIrql(DISPATCH_LEVEL);
    for (ULONG i = 0; i < 4; i++) {
        KeInsertQueueDpc(&Dpcs[i], NULL, NULL);
    }
    KeLowerIrql(OldIrql);
    KeFlushQueuedDpcs();
    KTAP_EQUAL(Runs, 4);
    KTAP_EQUAL(Order[0], 2);
    KTAP_EQUAL(Order[1], 0);
    KTAP_EQUAL(Order[2], 1);
    KTAP_EQUAL(Order[3], 3);
}

static VOID Remove(PKTAP_CONTEXT Ktap)
{
    Prepare();
    KIRQL OldIrql = KfRaiseIrql(DISPATCH_LEVEL);
    KeInsertQueueDpc(&Dpcs[0], NULL, NULL);
    KeInsertQueueDpc(&Dpcs[1], NULL, NULL);
    BOOLEAN Removed = KeRemoveQueueDpc(&Dpcs[0]);
    BOOLEAN Again = KeRemoveQueueDpc(&Dpcs[0]);
    KeLowerIrql(OldIrql);
    KeFlushQueuedDpcs();
    KTAP_EQUAL(Removed, TRUE);
    KTAP_EQUAL(Again, FALSE);
    KTAP_EQUAL(Runs, 1);
    KTAP_EQUAL(Order[0], 1);
}

static VOID NTAPI Requeue(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    if (InterlockedIncrement(&Runs) < 100) {
        KeInsertQueueDpc(Dpc, NULL, NULL);
    }
}

/* A routine may queue its own DPC again. */
static VOID Again(PKTAP_CONTEXT Ktap)
{
    Runs = 0;
    KeInitializeDpc(&Dpcs[0], Requeue, NULL);
    KeInsertQueueDpc(&Dpcs[0], NULL, NULL);
    TestSleep(TEST_SECOND / 10);
    KeFlushQueuedDpcs();
    KTAP_EQUAL(Runs, 100);
}

static volatile KAFFINITY Met;
static volatile LONG Last, TooEarly, Calls;

/* Twice through the barrier: nobody is behind it before everybody has come. */
static VOID NTAPI Everywhere(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    LONG Processors = (LONG)KeNumberOfActiveProcessors;

    for (LONG Round = 1; Round <= 2; Round++) {
        InterlockedOr64((volatile LONG64 *)&Met, (LONG64)KeGetCurrentPrcb()->SetMember);
        InterlockedIncrement(&Runs);
        InterlockedExchangeAdd(&Last, KeSignalCallDpcSynchronize(Argument2) != 0);
        InterlockedExchangeAdd(&TooEarly,
                               Runs < Round * Processors || Context != &Runs || KeGetCurrentIrql() != DISPATCH_LEVEL);
        KeSignalCallDpcSynchronize(Argument2);
    }
    KeSignalCallDpcDone(Argument1);
}

static VOID Generic(PKTAP_CONTEXT Ktap)
{
    for (ULONG Turn = 0; Turn < 20; Turn++) {
        Runs = Last = TooEarly = 0;
        Met = 0;
        KeGenericCallDpc(Everywhere, (PVOID)&Runs);
        KTAP_EQUAL(Runs, 2 * KeNumberOfActiveProcessors);
        KTAP_EQUAL(Met, KeQueryActiveProcessors());
        KTAP_EQUAL(Last, 2);
        KTAP_EQUAL(TooEarly, 0);
    }
}

static VOID CallAndFreeze(ULONG Number)
{
    for (ULONG Turn = 0; Turn < 50; Turn++) {
        if ((Turn + Number) % 3 == 0) {
            KeThawProcessors(KeFreezeProcessors());
        } else {
            KeGenericCallDpc(Everywhere, (PVOID)&Runs);
            InterlockedIncrement(&Calls);
        }
    }
}

/* Threads on all processors ask for it at the same time, and for freezes. */
static VOID GenericRace(PKTAP_CONTEXT Ktap)
{
    Runs = TooEarly = Calls = 0;
    KTAP_CHECK(KTAP_WHOLE(TestParallel(TestRacers(), CallAndFreeze)));
    KTAP_EQUAL(Runs, 2 * Calls * (LONG)KeNumberOfActiveProcessors);
    KTAP_EQUAL(TooEarly, 0);
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"at_dispatch_level", AtDispatch}, {"importance", Importance}, {"remove", Remove},
    {"queues_itself", Again},          {"generic", Generic},       {"generic_versus_freeze", GenericRace}};
KTAP_SUITE(KeDpcSuite, "ke.dpc", Cases);
