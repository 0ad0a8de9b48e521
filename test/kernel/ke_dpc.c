/*
 * ke_dpc.c - suite ke.dpc: level, order, importance, removal.
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

static const KTAP_CASE_ENTRY Cases[] = {
    {"at_dispatch_level", AtDispatch}, {"importance", Importance}, {"remove", Remove}, {"queues_itself", Again}};
KTAP_SUITE(KeDpcSuite, "ke.dpc", Cases);
