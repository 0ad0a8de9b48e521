/*
 * semaphore.c - semaphore objects: a count that waits take down and releases put up, to a limit.
 *
 * SignalState is the count; it is signalled while above 0.
 *
 * Locks: dispatcher. IRQL: <= DISPATCH_LEVEL throughout.
 *
 * Source: WDK documentation of KeReleaseSemaphore.
 */
#include "kip.h"

VOID NTAPI KeInitializeSemaphore(PRKSEMAPHORE Semaphore, LONG Count, LONG Limit)
{
    memset(Semaphore, 0, sizeof(*Semaphore));
    Semaphore->Header.Type = SemaphoreObject;
    Semaphore->Header.Size = sizeof(KSEMAPHORE) / sizeof(LONG);
    Semaphore->Header.SignalState = Count;
    InitializeListHead(&Semaphore->Header.WaitListHead);
    Semaphore->Limit = Limit;
}

/**
 * KeReleaseSemaphore - adds to a semaphore's count.
 *
 * @Increment   priority boost for those whose wait ends
 * @Adjustment  at least 1
 * @Wait        as KeSetEvent
 * returns      the previous count
 *
 * IRQL: <= DISPATCH_LEVEL. Raises STATUS_SEMAPHORE_LIMIT_EXCEEDED, the count unchanged, if the limit would be passed.
 */
LONG NTAPI KeReleaseSemaphore(PRKSEMAPHORE Semaphore, KPRIORITY Increment, LONG Adjustment, BOOLEAN Wait)
{
    KIRQL OldIrql = KiAcquireDispatcherLock();
    LONG OldCount = Semaphore->Header.SignalState;

    if (Adjustment <= 0 || Adjustment > Semaphore->Limit - OldCount) {
        KiReleaseDispatcherLock(OldIrql);
        ExRaiseStatus(STATUS_SEMAPHORE_LIMIT_EXCEEDED);
    }
    Semaphore->Header.SignalState = OldCount + Adjustment;
    if (OldCount == 0 && !IsListEmpty(&Semaphore->Header.WaitListHead)) {
        KiWaitTest(&Semaphore->Header, Increment);
    }
    if (Wait) {
        KeGetCurrentThread()->WaitNext = TRUE;
        KeGetCurrentThread()->WaitIrql = OldIrql;
    } else {
        KiReleaseDispatcherLock(OldIrql);
    }
    return OldCount;
}

LONG NTAPI KeReadStateSemaphore(PRKSEMAPHORE Semaphore)
{
    return Semaphore->Header.SignalState;
}
