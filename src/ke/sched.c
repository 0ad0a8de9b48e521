/*
 * sched.c - which thread runs where: ready queues, preemption, quantum, priorities.
 *
 * Each processor has 32 ready queues with a summary bit each. A thread that becomes ready goes, in this order, to an
 * idle processor of its affinity (its ideal one first, then the one it ran on last), to its last processor if it
 * outranks what runs there, else into that processor's queue: at the tail, or at the head if it was preempted. A processor
 * that runs out of threads takes the best one it may from the others' queues.
 *
 * Ready -> Standby (a processor's NextThread) -> Running -> Waiting or Ready or Terminated: every arrow is in this
 * file, under the dispatcher lock. Priorities 16..31 are fixed; below, a wait's end may boost a thread, and each
 * quantum it uses up afterwards takes one level back until it is at its base priority again.
 *
 * Locks: the dispatcher lock (see kip.h) for all of it; KeUpdateRunTime runs at CLOCK_LEVEL and touches only its
 * own processor's counters and flags. Must never touch pageable memory or another processor's CurrentThread stack.
 */
#include "kip.h"

KSPIN_LOCK KiDispatcherLock;
KAFFINITY KiIdleSummary;

KIRQL KiAcquireDispatcherLock(VOID)
{
    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    KIRQL OldIrql = KfRaiseIrql(DISPATCH_LEVEL);
    KiAcquireSpinLock(&KiDispatcherLock);
    return OldIrql;
}

/* ---- Ready queues ---- */

static VOID InsertReady(PKPRCB Prcb, PKTHREAD Thread)
{
    PKI_DISPATCH Dispatch = Prcb->Dispatch;

    Thread->State = Ready;
    Thread->NextProcessor = (UCHAR)Prcb->Number;
    if (Thread->Preempted) {
        InsertHeadList(&Dispatch->ReadyList[Thread->Priority], &Thread->ReadyListEntry);
    } else {
        InsertTailList(&Dispatch->ReadyList[Thread->Priority], &Thread->ReadyListEntry);
    }
    Thread->Preempted = FALSE;
    Dispatch->ReadySummary |= 1U << Thread->Priority;
}

static VOID RemoveReady(PKTHREAD Thread)
{
    PKI_DISPATCH Dispatch = KiProcessorBlock[Thread->NextProcessor]->Dispatch;

    if (RemoveEntryList(&Thread->ReadyListEntry)) {
        Dispatch->ReadySummary &= ~(1U << Thread->Priority);
    }
}

/* The best ready thread in From's queues of at least Minimum priority that may run on Prcb; taken out. NULL: none. */
static PKTHREAD TakeReady(PKPRCB From, PKPRCB Prcb, KPRIORITY Minimum)
{
    ULONG Level, Summary = From->Dispatch->ReadySummary & (0xFFFFFFFFU << Minimum);

    while (_BitScanReverse(&Level, Summary)) {
        PLIST_ENTRY Head = &From->Dispatch->ReadyList[Level];
        for (PLIST_ENTRY Entry = Head->Flink; Entry != Head; Entry = Entry->Flink) {
            PKTHREAD Thread = CONTAINING_RECORD(Entry, KTHREAD, ReadyListEntry);
            if ((Thread->Affinity & Prcb->SetMember) != 0) {
                RemoveReady(Thread);
                return Thread;
            }
        }
        Summary &= ~(1U << Level);
    }
    return NULL;
}

/* What Prcb should run instead of nothing: its own best thread, else another processor's. */
static PKTHREAD SelectThread(PKPRCB Prcb)
{
    PKTHREAD Thread = TakeReady(Prcb, Prcb, 0);

    for (ULONG i = 0; Thread == NULL && i < KeNumberOfActiveProcessors; i++) {
        if (KiProcessorBlock[i] != Prcb) {
            Thread = TakeReady(KiProcessorBlock[i], Prcb, 0);
        }
    }
    return Thread;
}

/* Makes a thread the next one of a processor and tells that processor if it is another one. */
static VOID SetNextThread(PKPRCB Prcb, PKTHREAD Thread)
{
    ASSERT(Prcb->NextThread == NULL);
    Thread->State = Standby;
    Thread->NextProcessor = (UCHAR)Prcb->Number;
    Prcb->NextThread = Thread;
    KiIdleSummary &= ~Prcb->SetMember;
    if (Prcb != KeGetCurrentPrcb()) {
        HalSendIpi(Prcb->SetMember, KI_VECTOR_DPC);
    }
}

static PKPRCB ChooseProcessor(PKTHREAD Thread)
{
    KAFFINITY Ideal = (KAFFINITY)1 << Thread->IdealProcessor, Last = (KAFFINITY)1 << Thread->NextProcessor;
    KAFFINITY Idle = KiIdleSummary & Thread->Affinity;
    ULONG Number;

    if ((Idle & Ideal) != 0) {
        return KiProcessorBlock[Thread->IdealProcessor];
    }
    if ((Idle & Last) != 0) {
        return KiProcessorBlock[Thread->NextProcessor];
    }
    if (_BitScanForward64(&Number, Idle)) {
        return KiProcessorBlock[Number];
    }
    if ((Thread->Affinity & Last) != 0) {
        return KiProcessorBlock[Thread->NextProcessor];
    }
    _BitScanForward64(&Number, Thread->Affinity);
    return KiProcessorBlock[Number];
}

/**
 * KiReadyThread - makes a thread able to run: somewhere next, or in a ready queue.
 *
 * @Thread  in no queue and on no processor
 *
 * IRQL: DISPATCH_LEVEL. Locks: dispatcher. The caller leaves through KiReleaseDispatcherLock, which may switch.
 */
VOID KiReadyThread(PKTHREAD Thread)
{
    PKPRCB Prcb = ChooseProcessor(Thread);
    PKTHREAD Rival = Prcb->NextThread != NULL ? Prcb->NextThread : Prcb->CurrentThread;

    Thread->ReadyTime = SharedUserData->TickCountQuad;
    /* An idle thread has priority 0, and so may a ready thread: what counts is that it is the idle one. */
    if (Rival != Prcb->IdleThread && Thread->Priority <= Rival->Priority) {
        InsertReady(Prcb, Thread);
        return;
    }
    if (Prcb->NextThread != NULL) {
        PKTHREAD Displaced = Prcb->NextThread;
        Prcb->NextThread = NULL;
        Displaced->Preempted = TRUE;
        InsertReady(Prcb, Displaced);
    }
    SetNextThread(Prcb, Thread);
}

/* ---- Switching ---- */

/* Leaves the current thread for New. Returns when the current thread runs again, perhaps on another processor. */
static VOID SwitchTo(PKTHREAD New)
{
    PKPRCB Prcb = KeGetCurrentPrcb();
    PKTHREAD Old = Prcb->CurrentThread;
    PKPROCESS Space = New->ApcState.Process;

    New->State = Running;
    New->NextProcessor = (UCHAR)Prcb->Number;
    New->ContextSwitches++;
    Prcb->ContextSwitches++;
    Prcb->CurrentThread = New;
    Prcb->KernelStackTop = (ULONG64)New->StackTop;
    ((PKTSS64)KeGetPcr()->TssBase)->Rsp0 = (ULONG64)New->StackTop;
    if (New == Prcb->IdleThread) {
        KiIdleSummary |= Prcb->SetMember;
    }
    if (Space != Old->ApcState.Process) {
        InterlockedOr64((volatile LONG64 *)&Space->ActiveProcessors, (LONG64)Prcb->SetMember);
        __writecr3(Space->DirectoryTableBase);
        InterlockedAnd64((volatile LONG64 *)&Old->ApcState.Process->ActiveProcessors, ~(LONG64)Prcb->SetMember);
    }
    KiSwapContext(Old, New);
    /* An APC that came while this thread was away, or while it was inside a region that it has left since. */
    if (KeGetCurrentThread()->ApcState.KernelApcPending) {
        HalSendSelfIpi(KI_VECTOR_APC);
    }
}

LONG_PTR KiSwapThread(VOID)
{
    PKPRCB Prcb = KeGetCurrentPrcb();
    PKTHREAD Thread = Prcb->CurrentThread, Next = Prcb->NextThread;

    ASSERT(Thread->State == Waiting || Thread->State == Terminated);
    Prcb->NextThread = NULL;
    if (Next == NULL) {
        Next = SelectThread(Prcb);
    }
    SwitchTo(Next != NULL ? Next : Prcb->IdleThread);
    return Thread->WaitStatus;
}

/* Puts the running thread back among the ready ones and switches to NextThread. */
static VOID YieldToNext(BOOLEAN Preempted)
{
    PKPRCB Prcb = KeGetCurrentPrcb();
    PKTHREAD Thread = Prcb->CurrentThread;

    if (Thread != Prcb->IdleThread) {
        Thread->Preempted = Preempted;
        KiReadyThread(Thread);
    }
    PKTHREAD Next = Prcb->NextThread;
    Prcb->NextThread = NULL;
    if (Next == Thread) { /* it rose above NextThread in the meantime */
        Thread->State = Running;
        return;
    }
    SwitchTo(Next);
}

VOID KiReleaseDispatcherLock(KIRQL OldIrql)
{
    if (KeGetCurrentPrcb()->NextThread != NULL) {
        if (OldIrql < DISPATCH_LEVEL) {
            YieldToNext(TRUE);
        } else {
            HalSendSelfIpi(KI_VECTOR_DPC);
        }
    }
    KiReleaseSpinLock(&KiDispatcherLock);
    KeLowerIrql(OldIrql);
}

/* The running thread has used up its quantum: it falls by one boosted level and lets its equals run. */
static VOID QuantumEnd(PKPRCB Prcb)
{
    PKTHREAD Thread = Prcb->CurrentThread;

    Prcb->Dispatch->QuantumEnd = FALSE;
    if (Thread == Prcb->IdleThread || Thread->Quantum > 0) {
        return;
    }
    Thread->Quantum = (SCHAR)Thread->QuantumReset;
    if (Thread->Priority < LOW_REALTIME_PRIORITY && Thread->PriorityDecrement > 0) {
        Thread->PriorityDecrement--;
        Thread->Priority--;
    }
    if (Prcb->NextThread == NULL) {
        PKTHREAD Next = TakeReady(Prcb, Prcb, Thread->Priority);
        if (Next != NULL) {
            SetNextThread(Prcb, Next);
        }
    }
    if (Prcb->NextThread != NULL) {
        YieldToNext(FALSE);
    }
}

VOID KiDispatchNext(VOID)
{
    PKPRCB Prcb = KeGetCurrentPrcb();

    if (!Prcb->Dispatch->QuantumEnd && Prcb->NextThread == NULL) {
        return;
    }
    KiAcquireSpinLock(&KiDispatcherLock);
    if (Prcb->Dispatch->QuantumEnd) {
        QuantumEnd(Prcb);
    }
    /* The thread may have come back on another processor. */
    if (KeGetCurrentPrcb()->NextThread != NULL) {
        YieldToNext(TRUE);
    }
    KiReleaseSpinLock(&KiDispatcherLock);
}

VOID KeUpdateRunTime(PKTRAP_FRAME Frame)
{
    PKPRCB Prcb = KeGetCurrentPrcb();
    PKTHREAD Thread = Prcb->CurrentThread;
    PKI_DISPATCH Dispatch = Prcb->Dispatch;

    if (Dispatch == NULL) {
        return; /* the clock runs before the dispatcher does */
    }
    if (Frame->FromUser) {
        Thread->UserTime++;
    } else {
        Thread->KernelTime++;
    }
    if (Thread != Prcb->IdleThread && --Thread->Quantum <= 0) {
        Dispatch->QuantumEnd = TRUE;
    }
    if (Prcb->Number == 0 && KiTimersDue()) {
        Dispatch->TimerDue = TRUE;
    }
    if (Dispatch->QuantumEnd || Dispatch->TimerDue || (Dispatch->DpcDepth != 0 && !Dispatch->DpcActive)) {
        HalSendSelfIpi(KI_VECTOR_DPC);
    }
}

/* ---- Priorities ---- */

/* A running or next thread fell in priority: a ready one of its processor may outrank it now. */
static VOID ReconsiderProcessor(PKPRCB Prcb, PKTHREAD Thread)
{
    PKTHREAD Better = TakeReady(Prcb, Prcb, Thread->Priority + 1);

    if (Better == NULL) {
        return;
    }
    if (Thread->State == Standby) {
        Prcb->NextThread = NULL;
        Thread->Preempted = TRUE;
        InsertReady(Prcb, Thread);
    }
    SetNextThread(Prcb, Better);
}

/**
 * KiSetPriorityThread - changes a thread's effective priority with all that follows from it.
 *
 * @Priority  0..31
 *
 * IRQL: DISPATCH_LEVEL. Locks: dispatcher.
 */
VOID KiSetPriorityThread(PKTHREAD Thread, KPRIORITY Priority)
{
    KPRIORITY OldPriority = Thread->Priority;

    if (Priority == OldPriority) {
        return;
    }
    if (Thread->State == Ready) {
        RemoveReady(Thread);
        Thread->Priority = (SCHAR)Priority;
        KiReadyThread(Thread);
        return;
    }
    Thread->Priority = (SCHAR)Priority;
    if (Priority < OldPriority && (Thread->State == Running || Thread->State == Standby)) {
        PKPRCB Prcb = KiProcessorBlock[Thread->NextProcessor];
        if (Thread->State == Standby || Prcb->NextThread == NULL) {
            ReconsiderProcessor(Prcb, Thread);
        }
    }
}

/**
 * KeSetPriorityThread - sets a thread's priority, base and effective.
 *
 * @Priority  1..31
 * returns    the old one
 *
 * IRQL: <= DISPATCH_LEVEL. Source: WDK documentation.
 */
KPRIORITY NTAPI KeSetPriorityThread(PKTHREAD Thread, KPRIORITY Priority)
{
    ASSERT(Priority >= LOW_PRIORITY && Priority <= HIGH_PRIORITY);
    KIRQL OldIrql = KiAcquireDispatcherLock();
    KPRIORITY OldPriority = Thread->Priority;
    Thread->BasePriority = (SCHAR)Priority;
    Thread->PriorityDecrement = 0;
    Thread->Quantum = (SCHAR)Thread->QuantumReset;
    KiSetPriorityThread(Thread, Priority);
    KiReleaseDispatcherLock(OldIrql);
    return OldPriority;
}

/**
 * KeSetBasePriorityThread - sets a thread's base priority relative to its process.
 *
 * @Increment  added to the process's base; the result stays on its side of the real-time limit
 * returns     the old increment
 *
 * IRQL: <= DISPATCH_LEVEL.
 */
LONG NTAPI KeSetBasePriorityThread(PKTHREAD Thread, LONG Increment)
{
    KIRQL OldIrql = KiAcquireDispatcherLock();
    KPRIORITY ProcessBase = Thread->Process->BasePriority, Base = ProcessBase + Increment;
    LONG OldIncrement = Thread->BasePriority - ProcessBase;
    KPRIORITY Low = ProcessBase >= LOW_REALTIME_PRIORITY ? LOW_REALTIME_PRIORITY : 1;
    KPRIORITY High = ProcessBase >= LOW_REALTIME_PRIORITY ? HIGH_PRIORITY : LOW_REALTIME_PRIORITY - 1;

    Base = Base < Low ? Low : Base > High ? High : Base;
    Thread->BasePriority = (SCHAR)Base;
    Thread->PriorityDecrement = 0;
    KiSetPriorityThread(Thread, Base);
    KiReleaseDispatcherLock(OldIrql);
    return OldIncrement;
}

/* The effective priority. IRQL: <= DISPATCH_LEVEL. */
KPRIORITY NTAPI KeQueryPriorityThread(PKTHREAD Thread)
{
    return Thread->Priority;
}

/* Lets an equal run, if one is ready; returns STATUS_NO_YIELD_PERFORMED if none was. IRQL: <= APC_LEVEL. */
NTSTATUS NTAPI ZwYieldExecution(VOID)
{
    KIRQL OldIrql = KiAcquireDispatcherLock();
    PKPRCB Prcb = KeGetCurrentPrcb();
    PKTHREAD Thread = Prcb->CurrentThread;
    NTSTATUS Status = STATUS_NO_YIELD_PERFORMED;

    if (Prcb->NextThread == NULL) {
        PKTHREAD Next = TakeReady(Prcb, Prcb, Thread->Priority);
        if (Next != NULL) {
            SetNextThread(Prcb, Next);
        }
    }
    if (Prcb->NextThread != NULL) {
        Thread->Quantum = (SCHAR)Thread->QuantumReset;
        YieldToNext(FALSE);
        Status = STATUS_SUCCESS;
    }
    KiReleaseDispatcherLock(OldIrql);
    return Status;
}

/* ---- Affinity ---- */

/**
 * KeSetSystemAffinityThreadEx - confines the calling thread to a set of processors; returns there.
 *
 * @Affinity  at least one active processor
 * returns    the old set if one was set this way, else 0: what KeRevertToUserAffinityThreadEx takes
 *
 * IRQL: <= APC_LEVEL.
 */
KAFFINITY NTAPI KeSetSystemAffinityThreadEx(KAFFINITY Affinity)
{
    KIRQL OldIrql = KiAcquireDispatcherLock();
    PKPRCB Prcb = KeGetCurrentPrcb();
    PKTHREAD Thread = Prcb->CurrentThread;
    KAFFINITY Old = Thread->SystemAffinityActive ? Thread->Affinity : 0;
    KAFFINITY Active = Thread->Process->Affinity;

    Affinity = (Affinity & Active) != 0 ? Affinity & Active : Active;
    Thread->Affinity = Affinity;
    Thread->SystemAffinityActive = TRUE;
    if ((Affinity & Prcb->SetMember) == 0) {
        if (Prcb->NextThread == NULL) {
            PKTHREAD Next = SelectThread(Prcb);
            SetNextThread(Prcb, Next != NULL ? Next : Prcb->IdleThread);
        }
        YieldToNext(TRUE);
    }
    KiReleaseDispatcherLock(OldIrql);
    return Old;
}

VOID NTAPI KeRevertToUserAffinityThreadEx(KAFFINITY Affinity)
{
    KIRQL OldIrql = KiAcquireDispatcherLock();
    PKTHREAD Thread = KeGetCurrentThread();

    Thread->SystemAffinityActive = Affinity != 0;
    Thread->Affinity = Affinity != 0 ? Affinity : Thread->UserAffinity;
    KiReleaseDispatcherLock(OldIrql);
}

VOID NTAPI KeSetSystemAffinityThread(KAFFINITY Affinity)
{
    KeSetSystemAffinityThreadEx(Affinity);
}

VOID NTAPI KeRevertToUserAffinityThread(VOID)
{
    KeRevertToUserAffinityThreadEx(0);
}

KAFFINITY NTAPI KeQueryActiveProcessors(VOID)
{
    return ((KAFFINITY)1 << (KeNumberOfActiveProcessors - 1) << 1) - 1;
}

ULONG NTAPI KeQueryActiveProcessorCount(PKAFFINITY ActiveProcessors)
{
    if (ActiveProcessors != NULL) {
        *ActiveProcessors = KeQueryActiveProcessors();
    }
    return KeNumberOfActiveProcessors;
}
