/*
 * work.c - work items and one-second timers of device objects.
 *
 * A work item runs its routine once in a system worker thread and holds a reference on its device while it is queued and
 * running, so that the driver's image stays. The item may be queued again, or freed, from inside its routine.
 *
 * Device timers: one routine per device, called about once a second at DISPATCH_LEVEL between IoStartTimer and IoStopTimer. One
 * kernel timer serves all of them; IopTimerLock (spin) guards the list. A timer that is on the list keeps its
 * device (IoDeleteDevice stops it first).
 */
#include "iop.h"
#include <ntos/pool.h>

struct _IO_WORKITEM {
    WORK_QUEUE_ITEM Item;
    PVOID Object; /* a device, or a driver */
    PIO_WORKITEM_ROUTINE Routine;
    PIO_WORKITEM_ROUTINE_EX RoutineEx; /* instead of Routine, or NULL */
    PVOID Context;
};

struct _IO_TIMER {
    LIST_ENTRY Link; /* (IopTimerLock) on IopTimers while started */
    BOOLEAN Started; /* (IopTimerLock) */
    PDEVICE_OBJECT Device;
    PIO_TIMER_ROUTINE Routine;
    PVOID Context;
};

static KSPIN_LOCK IopTimerLock;
VF_NAME_LOCK(IopTimerLock, "IopTimerLock");
static LIST_ENTRY IopTimers = {&IopTimers, &IopTimers};
static KTIMER IopTimer;
static KDPC IopTimerDpc;
static BOOLEAN IopTimerRuns; /* (IopTimerLock) */

ULONG NTAPI IoSizeofWorkItem(VOID)
{
    return sizeof(struct _IO_WORKITEM);
}

/* Prepares an item in storage of the caller's, for a device or a driver object. IRQL <= DISPATCH_LEVEL. */
VOID NTAPI IoInitializeWorkItem(PVOID IoObject, PIO_WORKITEM IoWorkItem)
{
    RtlZeroMemory(IoWorkItem, sizeof(*IoWorkItem));
    IoWorkItem->Object = IoObject;
}

/* The item's storage is the caller's again; it is not queued. */
VOID NTAPI IoUninitializeWorkItem(PIO_WORKITEM IoWorkItem)
{
    IoWorkItem->Object = NULL;
}

PIO_WORKITEM NTAPI IoAllocateWorkItem(PDEVICE_OBJECT DeviceObject)
{
    PIO_WORKITEM Item = ExAllocatePoolFor(NonPagedPool, sizeof(*Item), IOP_TAG_WORK, _ReturnAddress());

    if (Item != NULL) {
        IoInitializeWorkItem(DeviceObject, Item);
    }
    return Item;
}

VOID NTAPI IoFreeWorkItem(PIO_WORKITEM IoWorkItem)
{
    ExFreePoolWithTag(IoWorkItem, IOP_TAG_WORK);
}

static VOID NTAPI IopRunWorkItem(PVOID Parameter)
{
    PIO_WORKITEM Item = Parameter;
    PVOID Object = Item->Object;

    if (Item->RoutineEx != NULL) {
        Item->RoutineEx(Object, Item->Context, Item); /* may free the item, as below */
    } else {
        Item->Routine(Object, Item->Context);
    }
    ASSERT_IRQL(PASSIVE_LEVEL);
    ObfDereferenceObject(Object);
}

static VOID IopQueueItem(PIO_WORKITEM Item, PIO_WORKITEM_ROUTINE Routine, PIO_WORKITEM_ROUTINE_EX RoutineEx,
                         WORK_QUEUE_TYPE QueueType, PVOID Context)
{
    Item->Routine = Routine;
    Item->RoutineEx = RoutineEx;
    Item->Context = Context;
    ObfReferenceObject(Item->Object);
    ExInitializeWorkItem(&Item->Item, IopRunWorkItem, Item);
    ExQueueWorkItem(&Item->Item, QueueType);
}

/* IRQL <= DISPATCH_LEVEL. The item must not be queued already. */
VOID NTAPI IoQueueWorkItem(PIO_WORKITEM IoWorkItem, PIO_WORKITEM_ROUTINE WorkerRoutine, WORK_QUEUE_TYPE QueueType,
                           PVOID Context)
{
    IopQueueItem(IoWorkItem, WorkerRoutine, NULL, QueueType, Context);
}

/* The same for a routine that is given the item too, so that it may free it. */
VOID NTAPI IoQueueWorkItemEx(PIO_WORKITEM IoWorkItem, PIO_WORKITEM_ROUTINE_EX WorkerRoutine, WORK_QUEUE_TYPE QueueType,
                             PVOID Context)
{
    IopQueueItem(IoWorkItem, NULL, WorkerRoutine, QueueType, Context);
}

/* Once a second: every started timer's routine, under the lock so that a stopped one is not running any more. */
static VOID NTAPI IopTimerTick(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KeAcquireSpinLockAtDpcLevel(&IopTimerLock);
    for (PLIST_ENTRY Link = IopTimers.Flink; Link != &IopTimers; Link = Link->Flink) {
        PIO_TIMER Timer = CONTAINING_RECORD(Link, struct _IO_TIMER, Link);

        Timer->Routine(Timer->Device, Timer->Context);
    }
    KeReleaseSpinLockFromDpcLevel(&IopTimerLock);
}

NTSTATUS NTAPI IoInitializeTimer(PDEVICE_OBJECT DeviceObject, PIO_TIMER_ROUTINE TimerRoutine, PVOID Context)
{
    PIO_TIMER Timer = DeviceObject->Timer;

    if (Timer == NULL) {
        Timer = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Timer), IOP_TAG_WORK);
        if (Timer == NULL) {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        RtlZeroMemory(Timer, sizeof(*Timer));
        Timer->Device = DeviceObject;
        DeviceObject->Timer = Timer;
    }
    Timer->Routine = TimerRoutine;
    Timer->Context = Context;
    return STATUS_SUCCESS;
}

/* IRQL <= DISPATCH_LEVEL; not from the timer routine itself. */
VOID NTAPI IoStartTimer(PDEVICE_OBJECT DeviceObject)
{
    PIO_TIMER Timer = DeviceObject->Timer;
    LARGE_INTEGER Second = {.QuadPart = -10000000};
    KIRQL Irql;

    KeAcquireSpinLock(&IopTimerLock, &Irql);
    if (!Timer->Started) {
        Timer->Started = TRUE;
        InsertTailList(&IopTimers, &Timer->Link);
    }
    if (!IopTimerRuns) {
        IopTimerRuns = TRUE;
        KeInitializeDpc(&IopTimerDpc, IopTimerTick, NULL);
        KeInitializeTimerEx(&IopTimer, NotificationTimer);
        KeSetTimerEx(&IopTimer, Second, 1000, &IopTimerDpc);
    }
    KeReleaseSpinLock(&IopTimerLock, Irql);
}

VOID NTAPI IoStopTimer(PDEVICE_OBJECT DeviceObject)
{
    PIO_TIMER Timer = DeviceObject->Timer;
    KIRQL Irql;

    KeAcquireSpinLock(&IopTimerLock, &Irql);
    if (Timer->Started) {
        Timer->Started = FALSE;
        RemoveEntryList(&Timer->Link);
    }
    KeReleaseSpinLock(&IopTimerLock, Irql);
}
