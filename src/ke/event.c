/*
 * event.c - event objects.
 *
 * SignalState is 1 or 0. A notification event stays signalled until it is reset; a synchronization event releases one
 * wait and resets itself. The waiting itself is wait.c's.
 *
 * Locks: dispatcher. IRQL: <= DISPATCH_LEVEL throughout.
 *
 * Source: WDK documentation of KeSetEvent and its relatives.
 */
#include "kip.h"

/**
 * KeInitializeEvent - makes an event.
 *
 * @Event  resident storage of the caller
 * @Type   NotificationEvent or SynchronizationEvent
 * @State  initially signalled
 *
 * IRQL: any.
 */
VOID NTAPI KeInitializeEvent(PRKEVENT Event, EVENT_TYPE Type, BOOLEAN State)
{
    memset(Event, 0, sizeof(*Event));
    Event->Header.Type = (UCHAR)(Type == NotificationEvent ? EventNotificationObject : EventSynchronizationObject);
    Event->Header.Size = sizeof(KEVENT) / sizeof(LONG);
    Event->Header.SignalState = State != FALSE;
    InitializeListHead(&Event->Header.WaitListHead);
}

/* Leaves the dispatcher; with Wait, keeps its lock and IRQL for the wait that must follow at once. */
static VOID LeaveOrKeep(KIRQL OldIrql, BOOLEAN Wait)
{
    PKTHREAD Thread = KeGetCurrentThread();

    if (Wait) {
        Thread->WaitNext = TRUE;
        Thread->WaitIrql = OldIrql;
    } else {
        KiReleaseDispatcherLock(OldIrql);
    }
}

/**
 * KeSetEvent - signals an event.
 *
 * @Increment  priority boost for those whose wait ends
 * @Wait       TRUE: the caller calls a KeWait routine next, and the two are one operation (IRQL then <= APC_LEVEL)
 * returns     the previous state, 0: it was not signalled
 *
 * IRQL: <= DISPATCH_LEVEL.
 */
LONG NTAPI KeSetEvent(PRKEVENT Event, KPRIORITY Increment, BOOLEAN Wait)
{
    KIRQL OldIrql = KiAcquireDispatcherLock();
    LONG OldState = Event->Header.SignalState;

    Event->Header.SignalState = 1;
    if (OldState == 0 && !IsListEmpty(&Event->Header.WaitListHead)) {
        KiWaitTest(&Event->Header, Increment);
    }
    LeaveOrKeep(OldIrql, Wait);
    return OldState;
}

/* Releases those who wait now and leaves the event not signalled. Parameters and result as KeSetEvent. */
LONG NTAPI KePulseEvent(PRKEVENT Event, KPRIORITY Increment, BOOLEAN Wait)
{
    KIRQL OldIrql = KiAcquireDispatcherLock();
    LONG OldState = Event->Header.SignalState;

    Event->Header.SignalState = 1;
    if (!IsListEmpty(&Event->Header.WaitListHead)) {
        KiWaitTest(&Event->Header, Increment);
    }
    Event->Header.SignalState = 0;
    LeaveOrKeep(OldIrql, Wait);
    return OldState;
}

/* Returns the previous state. */
LONG NTAPI KeResetEvent(PRKEVENT Event)
{
    KIRQL OldIrql = KiAcquireDispatcherLock();
    LONG OldState = Event->Header.SignalState;

    Event->Header.SignalState = 0;
    KiReleaseDispatcherLock(OldIrql);
    return OldState;
}

VOID NTAPI KeClearEvent(PRKEVENT Event)
{
    Event->Header.SignalState = 0;
}

LONG NTAPI KeReadStateEvent(PRKEVENT Event)
{
    return Event->Header.SignalState;
}
