/*
 * queue.c - queue objects: entries for a set of threads of which only so many are to run at a time.
 *
 * SignalState is the number of entries. A thread that removes an entry is associated with the queue until it removes one from another
 * queue, ends, or the queue is run down. CurrentCount is the number of associated threads that are not waiting,
 * for whatever: KiQueueThreadWaits and KiQueueThreadRuns keep it, called by every wait that blocks (wait.c). An entry is
 * given out only while fewer than MaximumCount run, so a thread that blocks in the middle of its work lets another one in,
 * and when it comes back there may be one too many until the next of them asks for an entry.
 *
 * Waiters are served last come, first served: the thread whose stack and caches are warm. An insertion hands its entry to the waiter
 * directly; the entry's address is the status of the wait.
 *
 * Locks: dispatcher. IRQL: <= DISPATCH_LEVEL to insert, <= APC_LEVEL to remove.
 *
 * Source: WDK documentation of KeInsertQueue, KeRemoveQueue, KeRundownQueue.
 */
#include "kip.h"

/**
 * KeInitializeQueue - makes a queue.
 *
 * @Queue  resident storage of the caller
 * @Count  how many threads may work on entries at a time; 0: as many as there are processors
 *
 * IRQL: any.
 */
VOID NTAPI KeInitializeQueue(PRKQUEUE Queue, ULONG Count)
{
    memset(Queue, 0, sizeof(*Queue));
    Queue->Header.Type = QueueObject;
    Queue->Header.Size = sizeof(KQUEUE) / sizeof(LONG);
    InitializeListHead(&Queue->Header.WaitListHead);
    InitializeListHead(&Queue->EntryListHead);
    InitializeListHead(&Queue->ThreadListHead);
    Queue->MaximumCount = Count != 0 ? Count : KeNumberOfActiveProcessors;
}

/* The number of entries. IRQL: any. */
LONG NTAPI KeReadStateQueue(PRKQUEUE Queue)
{
    return Queue->Header.SignalState;
}

/* ---- Under the dispatcher lock ---- */

/* The first entry, taken out; a Flink of NULL says that it is in no queue. */
static PLIST_ENTRY TakeEntry(PKQUEUE Queue)
{
    PLIST_ENTRY Entry = RemoveHeadList(&Queue->EntryListHead);

    Entry->Flink = NULL;
    Queue->Header.SignalState--;
    return Entry;
}

/* Gives entries to waiters as far as both are there and another thread may run. */
static VOID ServeWaiters(PKQUEUE Queue)
{
    while (Queue->Header.SignalState > 0 && Queue->CurrentCount < Queue->MaximumCount &&
           !IsListEmpty(&Queue->Header.WaitListHead)) {
        PKWAIT_BLOCK Block = CONTAINING_RECORD(Queue->Header.WaitListHead.Blink, KWAIT_BLOCK, WaitListEntry);
        KiUnwaitThread(Block->Thread, (LONG_PTR)TakeEntry(Queue), IO_NO_INCREMENT);
    }
}

VOID KiQueueThreadWaits(PKQUEUE Queue)
{
    Queue->CurrentCount--;
    ServeWaiters(Queue);
}

VOID KiQueueThreadRuns(PKQUEUE Queue)
{
    Queue->CurrentCount++;
}

VOID KiLeaveQueue(PKTHREAD Thread)
{
    PKQUEUE Queue = Thread->Queue;

    if (Queue != NULL) {
        RemoveEntryList(&Thread->QueueListEntry);
        Thread->Queue = NULL;
        KiQueueThreadWaits(Queue);
    }
}

static VOID JoinQueue(PKTHREAD Thread, PKQUEUE Queue)
{
    if (Thread->Queue != Queue) {
        KiLeaveQueue(Thread);
        Thread->Queue = Queue;
        InsertTailList(&Queue->ThreadListHead, &Thread->QueueListEntry);
        KiQueueThreadRuns(Queue);
    }
}

PLIST_ENTRY KiTakeQueueEntry(PKQUEUE Queue, PKTHREAD Thread)
{
    JoinQueue(Thread, Queue);
    /* The thread that asks is one of those counted, and done with its entry. */
    return Queue->Header.SignalState > 0 && Queue->CurrentCount <= Queue->MaximumCount ? TakeEntry(Queue) : NULL;
}

/* ---- What drivers call ---- */

static LONG Insert(PKQUEUE Queue, PLIST_ENTRY Entry, BOOLEAN Head)
{
    KIRQL OldIrql = KiAcquireDispatcherLock();
    LONG OldState = Queue->Header.SignalState++;

    if (Head) {
        InsertHeadList(&Queue->EntryListHead, Entry);
    } else {
        InsertTailList(&Queue->EntryListHead, Entry);
    }
    ServeWaiters(Queue);
    KiReleaseDispatcherLock(OldIrql);
    return OldState;
}

/**
 * KeInsertQueue - adds an entry at the tail of a queue, or gives it to a waiting thread.
 *
 * @Entry   in no queue
 * returns  the number of entries before
 *
 * IRQL: <= DISPATCH_LEVEL.
 */
LONG NTAPI KeInsertQueue(PRKQUEUE Queue, PLIST_ENTRY Entry)
{
    return Insert(Queue, Entry, FALSE);
}

/* The same at the head. */
LONG NTAPI KeInsertHeadQueue(PRKQUEUE Queue, PLIST_ENTRY Entry)
{
    return Insert(Queue, Entry, TRUE);
}

static LONG_PTR Remove(PKQUEUE Queue, KPROCESSOR_MODE WaitMode, BOOLEAN Alertable, PLARGE_INTEGER Timeout)
{
    PKTHREAD Thread = KeGetCurrentThread();
    PVOID Object = Queue;
    KI_WAIT Wait = {Thread, 1, &Object, WaitAny, WaitMode, Alertable, WrQueue, Timeout, 0, Thread->WaitBlock};

    return KiWait(&Wait);
}

/**
 * KeRemoveQueue - takes the first entry of a queue, or waits for one.
 *
 * @WaitMode  UserMode: a user APC may end the wait
 * @Timeout   as KeWaitForSingleObject
 * returns    the entry; or STATUS_TIMEOUT, STATUS_USER_APC, or STATUS_ABANDONED if the queue was run down, as a pointer
 *
 * IRQL: <= APC_LEVEL; DISPATCH_LEVEL with a zero time-out. The calling thread is associated with the queue from now on.
 */
PLIST_ENTRY NTAPI KeRemoveQueue(PRKQUEUE Queue, KPROCESSOR_MODE WaitMode, PLARGE_INTEGER Timeout)
{
    return (PLIST_ENTRY)Remove(Queue, WaitMode, FALSE, Timeout);
}

/**
 * KeRemoveQueueEx - takes up to Count entries, waiting for the first only.
 *
 * @Alertable   an alert may end the wait, with STATUS_ALERTED
 * @EntryArray  receives the entries; the status in its first element if there is none
 * @Count       at least 1
 * returns      how many elements were filled
 *
 * IRQL and rest: as KeRemoveQueue.
 */
ULONG KeRemoveQueueEx(PKQUEUE Queue, KPROCESSOR_MODE WaitMode, BOOLEAN Alertable, PLARGE_INTEGER Timeout,
                      PLIST_ENTRY *EntryArray, ULONG Count)
{
    ULONG Taken = 1;

    ASSERT(Count != 0);
    LONG_PTR First = Remove(Queue, WaitMode, Alertable, Timeout);
    EntryArray[0] = (PLIST_ENTRY)First;
    if (First >= 0) { /* a status: entries have addresses of the kernel's half */
        return 1;
    }
    KIRQL OldIrql = KiAcquireDispatcherLock();
    while (Taken < Count && Queue->Header.SignalState > 0) {
        EntryArray[Taken++] = TakeEntry(Queue);
    }
    KiReleaseDispatcherLock(OldIrql);
    return Taken;
}

/**
 * KeRundownQueue - ends a queue: its entries are the caller's, its threads nobody's.
 *
 * returns  the first entry; the entries are linked in a circle without a head. NULL: there was none
 *
 * IRQL: <= DISPATCH_LEVEL. Waits for an entry end with STATUS_ABANDONED.
 */
PLIST_ENTRY NTAPI KeRundownQueue(PRKQUEUE Queue)
{
    KIRQL OldIrql = KiAcquireDispatcherLock();
    PLIST_ENTRY First = NULL;

    if (!IsListEmpty(&Queue->EntryListHead)) {
        First = Queue->EntryListHead.Flink;
        RemoveEntryList(&Queue->EntryListHead);
        InitializeListHead(&Queue->EntryListHead);
        Queue->Header.SignalState = 0;
    }
    while (!IsListEmpty(&Queue->ThreadListHead)) {
        PLIST_ENTRY Entry = RemoveHeadList(&Queue->ThreadListHead);
        CONTAINING_RECORD(Entry, KTHREAD, QueueListEntry)->Queue = NULL;
    }
    Queue->CurrentCount = 0;
    while (!IsListEmpty(&Queue->Header.WaitListHead)) {
        PLIST_ENTRY Entry = Queue->Header.WaitListHead.Flink;
        KiUnwaitThread(CONTAINING_RECORD(Entry, KWAIT_BLOCK, WaitListEntry)->Thread, STATUS_ABANDONED, IO_NO_INCREMENT);
    }
    KiReleaseDispatcherLock(OldIrql);
    return First;
}
