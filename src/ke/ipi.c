/*
 * ipi.c - what processors ask of one another by interrupt.
 *
 *   reschedule      KI_VECTOR_DPC, sent by whoever sets NextThread or queues a DPC (sched.c, dpc.c)
 *   call function   KI_VECTOR_IPI: all processors meet, then each calls the function, then all part (KeIpiGenericCall)
 *   freeze          a DPC on each, in which it waits: so it stops outside whatever is done at DISPATCH_LEVEL
 *   generic DPC     a DPC on each, which calls a routine that may wait for the others (KeGenericCallDpc); there is no freeze meanwhile
 *   shootdown       KI_VECTOR_TLB: Mm's request, see src/mm/tables/tlb.c
 *   stop            NMI: bug check, debugger, and the stacks that an NMI from outside prints (trap.c, bugcheck.c, kd)
 *
 * The initiator of a meeting waits for the others with its interrupts on at DISPATCH_LEVEL, so that it answers shootdowns and
 * whoever waits for one gets to the meeting. Those that have arrived wait at IPI_LEVEL, where they answer nothing; so a
 * function that is called may not wait for another processor.
 *
 * Locks: KiIpiLock, one meeting at a time, taken at DISPATCH_LEVEL below the dispatcher's lock. Must never be
 * entered with interrupts off, or above DISPATCH_LEVEL.
 */
#include "kip.h"

static KSPIN_LOCK KiIpiLock;
VF_NAME_LOCK(KiIpiLock, "KiIpiLock");

static struct { /* the meeting (KiIpiLock) */
    PKIPI_BROADCAST_WORKER Function;
    ULONG_PTR Context;
    volatile LONG Arrived; /* others that wait at IPI_LEVEL; interlocked */
    volatile LONG Parted;  /* others that are through; interlocked */
    volatile LONG Go;
} KiMeeting;

static VOID CallInterrupt(PKTRAP_FRAME Frame, PVOID Context)
{
    InterlockedIncrement(&KiMeeting.Arrived);
    while (KiMeeting.Go == 0) {
        YieldProcessor();
    }
    KiMeeting.Function(KiMeeting.Context);
    KeGetCurrentPrcb()->IpiCalls++;
    InterlockedIncrement(&KiMeeting.Parted);
}

static VOID TlbInterrupt(PKTRAP_FRAME Frame, PVOID Context)
{
    MmTlbIpi();
}

static VOID SendTlbIpi(KAFFINITY Targets)
{
    HalSendIpi(Targets, KI_VECTOR_TLB);
}

VOID KiInitializeIpis(VOID)
{
    KiConnectVector(KI_VECTOR_IPI, CallInterrupt, NULL);
    KiConnectVector(KI_VECTOR_TLB, TlbInterrupt, NULL);
    MmTlbSendIpi = SendTlbIpi;
}

/* Brings the other processors to IPI_LEVEL, where they wait; returns how many they are. DISPATCH_LEVEL. */
static LONG Gather(PKIPI_BROADCAST_WORKER Function, ULONG_PTR Context)
{
    KiAcquireSpinLock(&KiIpiLock);
    KAFFINITY Others = KeQueryActiveProcessors() & ~KeGetCurrentPrcb()->SetMember;
    LONG Count = (LONG)RtlNumberOfSetBitsUlongPtr(Others);

    KiMeeting.Function = Function;
    KiMeeting.Context = Context;
    KiMeeting.Arrived = 0;
    KiMeeting.Parted = 0;
    KiMeeting.Go = 0;
    if (Count != 0) {
        HalSendIpi(Others, KI_VECTOR_IPI);
        VfStopWatch();
        while (KiMeeting.Arrived != Count) {
            YieldProcessor();
        }
        VfResumeWatch();
    }
    return Count;
}

static VOID Part(LONG Count)
{
    VfStopWatch();
    while (KiMeeting.Parted != Count) {
        YieldProcessor();
    }
    VfResumeWatch();
    KiReleaseSpinLock(&KiIpiLock);
}

/**
 * KeIpiGenericCall - calls a function on every processor at the same time.
 *
 * @BroadcastFunction  called at IPI_LEVEL on each processor once all are there; it may not wait for another one
 * returns             what the function returned on the calling processor, after it has returned on all
 *
 * IRQL: <= DISPATCH_LEVEL, interrupts on. Source: WDK documentation.
 */
ULONG_PTR NTAPI KeIpiGenericCall(PKIPI_BROADCAST_WORKER BroadcastFunction, ULONG_PTR Context)
{
    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    KIRQL OldIrql = KfRaiseIrql(DISPATCH_LEVEL);
    LONG Count = Gather(BroadcastFunction, Context);

    KfRaiseIrql(IPI_LEVEL);
    InterlockedExchange(&KiMeeting.Go, 1);
    ULONG_PTR Result = BroadcastFunction(Context);
    KeLowerIrql(DISPATCH_LEVEL);
    Part(Count);
    KeLowerIrql(OldIrql);
    return Result;
}

/* ---- DPCs on all processors: freezing, generic DPCs ---- */

static volatile LONG KiFreezer; /* 1: somebody has, or is about to have, a DPC on each that waits; interlocked */
static volatile LONG KiFrozen, KiFreezeEnd; /* processors that have stopped; they may go on */
static KDPC KiFreezeDpc[KI_MAXIMUM_PROCESSORS];

/* Queues a DPC on each of the other processors; returns how many they are. DISPATCH_LEVEL, KiFreezer is ours. */
static LONG CallOthers(PKDEFERRED_ROUTINE Routine, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    LONG Others = 0;

    for (ULONG Number = 0; Number < KeNumberOfActiveProcessors; Number++) {
        if (Number != KeGetCurrentPrcb()->Number) {
            KeInitializeDpc(&KiFreezeDpc[Number], Routine, Context);
            KeSetTargetProcessorDpc(&KiFreezeDpc[Number], (CCHAR)Number);
            KeSetImportanceDpc(&KiFreezeDpc[Number], HighImportance);
            KeInsertQueueDpc(&KiFreezeDpc[Number], Argument1, Argument2);
            Others++;
        }
    }
    return Others;
}

static VOID NTAPI FreezeHere(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    InterlockedIncrement(&KiFrozen);
    VfStopWatch();
    while (KiFreezeEnd == 0) {
        YieldProcessor();
    }
    VfResumeWatch();
    InterlockedDecrement(&KiFrozen);
}

/* Waits below DISPATCH_LEVEL, where the one before us can freeze this processor too. Returns the old IRQL, at DISPATCH_LEVEL. */
static KIRQL BecomeFreezer(VOID)
{
    ASSERT_IRQL_MAX(APC_LEVEL);
    for (;;) {
        KIRQL OldIrql = KfRaiseIrql(DISPATCH_LEVEL);

        if (InterlockedCompareExchange(&KiFreezer, 1, 0) == 0) {
            return OldIrql;
        }
        KeLowerIrql(OldIrql);
        YieldProcessor();
    }
}

/**
 * KeFreezeProcessors - stops all other processors below DISPATCH_LEVEL until KeThawProcessors.
 *
 * Each waits in a DPC: none of them is inside anything that is done at DISPATCH_LEVEL or above, and none holds a
 * spin lock. Their interrupts go on, and shootdowns are answered.
 *
 * returns  the previous IRQL, for KeThawProcessors
 *
 * IRQL: <= APC_LEVEL, no locks; DISPATCH_LEVEL on return. Waits for another freeze to end.
 */
KIRQL KeFreezeProcessors(VOID)
{
    KIRQL OldIrql = BecomeFreezer();

    KiFreezeEnd = 0;
    LONG Others = CallOthers(FreezeHere, NULL, NULL, NULL);
    while (KiFrozen != Others) {
        YieldProcessor();
    }
    return OldIrql;
}

VOID KeThawProcessors(KIRQL OldIrql)
{
    InterlockedExchange(&KiFreezeEnd, 1);
    while (KiFrozen != 0) {
        YieldProcessor();
    }
    InterlockedExchange(&KiFreezer, 0);
    KeLowerIrql(OldIrql);
}

/* What processors that run a generic DPC share; on the stack of who called for it. */
typedef struct _GENERIC_CALL {
    volatile LONG Busy;   /* processors that have not said that they are done; interlocked */
    volatile LONG Coming; /* processors that are not at the barrier yet; interlocked */
    volatile LONG Passed; /* times the barrier was passed; changed by the last to come */
    LONG Processors;      /* (c) */
} GENERIC_CALL;

/**
 * KeGenericCallDpc - calls a routine on every processor at DISPATCH_LEVEL, at about the same time.
 *
 * @Routine  called with a DPC of its processor, Context, and as system arguments what KeSignalCallDpcDone and
 *           KeSignalCallDpcSynchronize take. It calls the first once, before it returns, and the second any number of times, but on all
 *           processors alike
 *
 * IRQL: <= APC_LEVEL, no spin locks. Returns when the routine is done on every processor.
 */
VOID NTAPI KeGenericCallDpc(PKDEFERRED_ROUTINE Routine, PVOID Context)
{
    LONG Processors = (LONG)KeNumberOfActiveProcessors;
    GENERIC_CALL Call = {.Busy = Processors, .Coming = Processors, .Processors = Processors};
    KIRQL OldIrql = BecomeFreezer();
    PKDPC Own = &KiFreezeDpc[KeGetCurrentPrcb()->Number];

    CallOthers(Routine, Context, &Call, &Call);
    KeInitializeDpc(Own, Routine, Context);
    Routine(Own, Context, &Call, &Call);
    ASSERT_IRQL(DISPATCH_LEVEL);
    VfStopWatch();
    while (Call.Busy != 0) {
        YieldProcessor();
    }
    VfResumeWatch();
    InterlockedExchange(&KiFreezer, 0);
    KeLowerIrql(OldIrql);
}

VOID NTAPI KeSignalCallDpcDone(PVOID SystemArgument1)
{
    InterlockedDecrement(&((GENERIC_CALL *)SystemArgument1)->Busy);
}

/**
 * KeSignalCallDpcSynchronize - waits until every processor has come here.
 *
 * returns  TRUE on one of them, the last to come
 *
 * IRQL: DISPATCH_LEVEL, in the routine that KeGenericCallDpc calls.
 */
LOGICAL NTAPI KeSignalCallDpcSynchronize(PVOID SystemArgument2)
{
    GENERIC_CALL *Call = SystemArgument2;
    LONG Passed = Call->Passed;

    if (InterlockedDecrement(&Call->Coming) == 0) {
        Call->Coming = Call->Processors;
        InterlockedIncrement(&Call->Passed); /* behind this nobody waits any more, and the next barrier begins */
        return TRUE;
    }
    VfStopWatch();
    while (Call->Passed == Passed) {
        YieldProcessor();
    }
    VfResumeWatch();
    return FALSE;
}
