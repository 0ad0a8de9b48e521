/*
 * priority.c - priorities: set by callers, raised when a wait ends, lowered by use of the processor, lent to the starved.
 *
 * Priorities 16..31 stay what they were set to. Below, the end of a wait may raise a thread above its base (PriorityDecrement levels),
 * and each quantum that it uses up afterwards takes one level back. A thread that has been ready on a busy processor for one to
 * two seconds is lent priority 15 for one clock tick, whoever else wants to run, and then falls back to its base.
 * The processor's own clock counts these seconds, so the bound is in time that the processor was busy.
 *
 * Locks: dispatcher. IRQL: <= DISPATCH_LEVEL.
 *
 * Source: WDK documentation of KeSetPriorityThread, KeSetBasePriorityThread.
 */
#include "kip.h"

/* ---- Boost and decay; all under the dispatcher lock ---- */

VOID KiBoostThread(PKTHREAD Thread, KPRIORITY Increment)
{
    if (Thread->Priority >= LOW_REALTIME_PRIORITY || Thread->PriorityDecrement != 0 || Thread->AutoBoostDisabled) {
        return;
    }
    KPRIORITY Boosted = min(Thread->BasePriority + Increment, LOW_REALTIME_PRIORITY - 1);
    if (Boosted > Thread->Priority) {
        Thread->PriorityDecrement = (SCHAR)(Boosted - Thread->BasePriority);
        Thread->Priority = (SCHAR)Boosted;
        Thread->Quantum = (SCHAR)Thread->QuantumReset;
    }
}

/* Back to the base at once. */
static VOID EndBoost(PKTHREAD Thread)
{
    Thread->PriorityDecrement = 0;
    Thread->StarvationBoost = FALSE;
}

VOID KiDecayPriority(PKTHREAD Thread)
{
    if (Thread->Priority >= LOW_REALTIME_PRIORITY || Thread->PriorityDecrement == 0) {
        return;
    }
    if (Thread->StarvationBoost) {
        EndBoost(Thread);
        Thread->Priority = Thread->BasePriority;
    } else {
        Thread->PriorityDecrement--;
        Thread->Priority--;
    }
}

/* Lends a ready thread, taken out of its queue, the highest priority that boosts reach. */
static VOID LendPriority(PKTHREAD Thread)
{
    KiRemoveReady(Thread);
    Thread->Priority = LOW_REALTIME_PRIORITY - 1;
    Thread->PriorityDecrement = (SCHAR)(Thread->Priority - Thread->BasePriority);
    Thread->StarvationBoost = TRUE;
    Thread->Quantum = 1;
    KiReadyThread(Thread);
}

/*
 * Priority 0 is left alone: it is for work that is to be done only when nothing else is. A thread lent a priority may go to
 * another processor's queue but never back to a level that is still to be looked at.
 */
VOID KiBoostStarved(PKPRCB Prcb)
{
    PKI_DISPATCH Dispatch = Prcb->Dispatch;

    Dispatch->ScanDue = FALSE;
    Dispatch->Scans++;
    for (ULONG Level = LOW_REALTIME_PRIORITY - 2; Level > LOW_PRIORITY; Level--) {
        PLIST_ENTRY Head = &Dispatch->ReadyList[Level], Next;
        for (PLIST_ENTRY Entry = Head->Flink; Entry != Head; Entry = Next) {
            PKTHREAD Thread = CONTAINING_RECORD(Entry, KTHREAD, ReadyListEntry);
            Next = Entry->Flink;
            if (Dispatch->Scans - Thread->ReadyScan >= 2) {
                LendPriority(Thread);
                Dispatch->StarvationBoosts++;
            }
        }
    }
}

/* ---- Priorities ---- */

/* A running or next thread fell in priority: a ready one of its processor may outrank it now. */
static VOID ReconsiderProcessor(PKPRCB Prcb, PKTHREAD Thread)
{
    PKTHREAD Better = KiSelectThread(Prcb, Thread->Priority + 1);

    if (Better == NULL) {
        return;
    }
    if (Thread->State == Standby) {
        Prcb->NextThread = NULL;
        KiSetNextThread(Prcb, Better);
        Thread->Preempted = TRUE;
        KiReadyThread(Thread);
    } else {
        KiSetNextThread(Prcb, Better);
    }
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
        KiRemoveReady(Thread);
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
    EndBoost(Thread);
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
    EndBoost(Thread);
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
        PKTHREAD Next = KiSelectThread(Prcb, Thread->Priority);
        if (Next != NULL) {
            KiSetNextThread(Prcb, Next);
        }
    }
    if (Prcb->NextThread != NULL) {
        Thread->Quantum = (SCHAR)Thread->QuantumReset;
        KiYieldToNext(FALSE);
        Status = STATUS_SUCCESS;
    }
    KiReleaseDispatcherLock(OldIrql);
    return Status;
}

/**
 * KeQueryRuntimeThread - how long a thread has run.
 *
 * @UserTime  receives the clock ticks in user mode
 * returns    the clock ticks in kernel mode
 *
 * IRQL: <= DISPATCH_LEVEL.
 */
ULONG NTAPI KeQueryRuntimeThread(PKTHREAD Thread, PULONG UserTime)
{
    *UserTime = Thread->UserTime;
    return Thread->KernelTime;
}
