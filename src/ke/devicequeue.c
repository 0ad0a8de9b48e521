/*
 * devicequeue.c - device queues: who uses a device that serves one request at a time, and who is next.
 *
 * A queue is busy while somebody uses the device. Inserting into a queue that is not busy makes it busy and leaves the entry out: its owner
 * goes ahead. Removing from an empty queue makes it idle. Keyed insertion keeps the entries sorted.
 *
 * Locks: the queue's spin lock. IRQL: DISPATCH_LEVEL for removal and insertion, as documented; lower is raised.
 *
 * Source: WDK documentation of KeInsertDeviceQueue and its relatives.
 */
#include "kip.h"

VOID NTAPI KeInitializeDeviceQueue(PKDEVICE_QUEUE DeviceQueue)
{
    memset(DeviceQueue, 0, sizeof(*DeviceQueue));
    DeviceQueue->Type = DeviceQueueObject;
    DeviceQueue->Size = sizeof(KDEVICE_QUEUE);
    InitializeListHead(&DeviceQueue->DeviceListHead);
    VfNameLock(&DeviceQueue->Lock, "KDEVICE_QUEUE.Lock");
}

static BOOLEAN InsertEntry(PKDEVICE_QUEUE Queue, PKDEVICE_QUEUE_ENTRY New, BOOLEAN Sorted)
{
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&Queue->Lock);
    PLIST_ENTRY Before = Queue->DeviceListHead.Blink;

    New->Inserted = Queue->Busy;
    if (!Queue->Busy) {
        Queue->Busy = TRUE;
    } else {
        while (Sorted && Before != &Queue->DeviceListHead &&
               CONTAINING_RECORD(Before, KDEVICE_QUEUE_ENTRY, DeviceListEntry)->SortKey > New->SortKey) {
            Before = Before->Blink;
        }
        InsertHeadList(Before, &New->DeviceListEntry);
    }
    BOOLEAN Inserted = New->Inserted;
    KeReleaseSpinLock(&Queue->Lock, OldIrql);
    return Inserted;
}

/* TRUE: queued; FALSE: the device was idle, and is the caller's now. */
BOOLEAN NTAPI KeInsertDeviceQueue(PKDEVICE_QUEUE DeviceQueue, PKDEVICE_QUEUE_ENTRY DeviceQueueEntry)
{
    return InsertEntry(DeviceQueue, DeviceQueueEntry, FALSE);
}

/* The same, before entries of higher keys. */
BOOLEAN NTAPI KeInsertByKeyDeviceQueue(PKDEVICE_QUEUE DeviceQueue, PKDEVICE_QUEUE_ENTRY DeviceQueueEntry, ULONG SortKey)
{
    DeviceQueueEntry->SortKey = SortKey;
    return InsertEntry(DeviceQueue, DeviceQueueEntry, TRUE);
}

/* Takes the first entry of at least SortKey, else the very first; none: the queue becomes idle. Lock held. */
static PKDEVICE_QUEUE_ENTRY TakeEntry(PKDEVICE_QUEUE Queue, ULONG SortKey)
{
    PLIST_ENTRY Head = &Queue->DeviceListHead, Entry = Head->Flink;

    if (Entry == Head) {
        Queue->Busy = FALSE;
        return NULL;
    }
    while (Entry != Head && CONTAINING_RECORD(Entry, KDEVICE_QUEUE_ENTRY, DeviceListEntry)->SortKey < SortKey) {
        Entry = Entry->Flink;
    }
    if (Entry == Head) {
        Entry = Head->Flink;
    }
    RemoveEntryList(Entry);
    PKDEVICE_QUEUE_ENTRY Taken = CONTAINING_RECORD(Entry, KDEVICE_QUEUE_ENTRY, DeviceListEntry);
    Taken->Inserted = FALSE;
    return Taken;
}

/* The next entry in order of arrival. NULL: none; the device is idle now. */
PKDEVICE_QUEUE_ENTRY NTAPI KeRemoveDeviceQueue(PKDEVICE_QUEUE DeviceQueue)
{
    return KeRemoveByKeyDeviceQueue(DeviceQueue, 0);
}

/* The next entry with a key of at least SortKey, else the one with the lowest key. */
PKDEVICE_QUEUE_ENTRY NTAPI KeRemoveByKeyDeviceQueue(PKDEVICE_QUEUE DeviceQueue, ULONG SortKey)
{
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&DeviceQueue->Lock);

    ASSERT(DeviceQueue->Busy);
    PKDEVICE_QUEUE_ENTRY Entry = TakeEntry(DeviceQueue, SortKey);
    KeReleaseSpinLock(&DeviceQueue->Lock, OldIrql);
    return Entry;
}

/* The same for a queue that may be idle already. */
PKDEVICE_QUEUE_ENTRY NTAPI KeRemoveByKeyDeviceQueueIfBusy(PKDEVICE_QUEUE DeviceQueue, ULONG SortKey)
{
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&DeviceQueue->Lock);
    PKDEVICE_QUEUE_ENTRY Entry = DeviceQueue->Busy ? TakeEntry(DeviceQueue, SortKey) : NULL;

    KeReleaseSpinLock(&DeviceQueue->Lock, OldIrql);
    return Entry;
}

/* Takes a certain entry out; FALSE: it was not queued. */
BOOLEAN NTAPI KeRemoveEntryDeviceQueue(PKDEVICE_QUEUE DeviceQueue, PKDEVICE_QUEUE_ENTRY DeviceQueueEntry)
{
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&DeviceQueue->Lock);
    BOOLEAN Removed = DeviceQueueEntry->Inserted;

    if (Removed) {
        DeviceQueueEntry->Inserted = FALSE;
        RemoveEntryList(&DeviceQueueEntry->DeviceListEntry);
    }
    KeReleaseSpinLock(&DeviceQueue->Lock, OldIrql);
    return Removed;
}
