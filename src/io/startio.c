/*
 * startio.c - the StartIo queue of a device: one packet at a time.
 *
 * IoStartPacket hands the IRP to the driver's StartIo routine if the device is idle, else queues it; IoStartNextPacket, called when the
 * driver is done with the current one, takes the next. DeviceQueue.Busy is the state, CurrentIrp the packet being worked on. A
 * queued packet can be cancelled through the function given to IoStartPacket: the cancel lock orders that against taking
 * it from the queue.
 *
 * StartIo runs at DISPATCH_LEVEL. A driver that calls IoStartNextPacket from inside StartIo recurses once a queued
 * packet; IoSetStartIoAttributes(DeferredStartIo) turns that into a loop.
 */
#include "iop.h"

#define IOP_STARTIO_DEFERRED  0x01U
#define IOP_STARTIO_NO_CANCEL 0x02U

/* Enters StartIo, or notes that it is to be entered when the running one returns. IRQL: DISPATCH_LEVEL. */
static VOID IopEnterStartIo(PDEVICE_OBJECT Device, PIRP Irp)
{
    PIOP_DEVICE_EXTENSION Extension = IopExtension(Device);

    if ((Extension->StartIoFlags & IOP_STARTIO_DEFERRED) == 0) {
        Device->DriverObject->DriverStartIo(Device, Irp);
        return;
    }
    if (InterlockedIncrement(&Extension->StartIoCount) > 1) {
        return; /* the loop below, in an outer call, will see it */
    }
    do {
        Device->DriverObject->DriverStartIo(Device, Device->CurrentIrp);
    } while (InterlockedDecrement(&Extension->StartIoCount) > 0);
}

/* Takes the cancel lock where queued packets can be cancelled. */
static VOID IopLockQueue(PDEVICE_OBJECT Device, BOOLEAN Cancelable, PKIRQL Irql)
{
    UNREFERENCED_PARAMETER(Device);
    if (Cancelable) {
        IoAcquireCancelSpinLock(Irql);
    } else {
        KeRaiseIrql(DISPATCH_LEVEL, Irql);
    }
}

/* Gives the cancel lock up and stays at DISPATCH_LEVEL for StartIo. */
static VOID IopUnlockQueue(BOOLEAN Cancelable)
{
    if (Cancelable) {
        IoReleaseCancelSpinLock(DISPATCH_LEVEL);
    }
}

VOID NTAPI IoStartPacket(PDEVICE_OBJECT DeviceObject, PIRP Irp, PULONG Key, PDRIVER_CANCEL CancelFunction)
{
    BOOLEAN Cancelable = CancelFunction != NULL, Queued;
    KIRQL Irql;

    IopLockQueue(DeviceObject, Cancelable, &Irql);
    if (Cancelable) {
        Irp->CancelRoutine = CancelFunction;
    }
    if (Key != NULL) {
        Queued = KeInsertByKeyDeviceQueue(&DeviceObject->DeviceQueue, &Irp->Tail.Overlay.DeviceQueueEntry, *Key);
    } else {
        Queued = KeInsertDeviceQueue(&DeviceObject->DeviceQueue, &Irp->Tail.Overlay.DeviceQueueEntry);
    }
    if (!Queued) {
        DeviceObject->CurrentIrp = Irp;
        if (Cancelable && (IopExtension(DeviceObject)->StartIoFlags & IOP_STARTIO_NO_CANCEL) != 0) {
            Irp->CancelRoutine = NULL;
        }
        IopUnlockQueue(Cancelable);
        IopEnterStartIo(DeviceObject, Irp);
    } else if (Cancelable && Irp->Cancel) { /* cancelled before it had a routine */
        PDRIVER_CANCEL Routine = IoSetCancelRoutine(Irp, NULL);

        Irp->CancelIrql = DISPATCH_LEVEL;
        if (Routine != NULL) {
            Routine(DeviceObject, Irp); /* releases the cancel lock */
        } else {
            IopUnlockQueue(Cancelable);
        }
    } else {
        IopUnlockQueue(Cancelable);
    }
    KeLowerIrql(Irql);
}

static VOID IopStartNext(PDEVICE_OBJECT Device, BOOLEAN Cancelable, PULONG Key)
{
    PKDEVICE_QUEUE_ENTRY Entry;
    PIRP Irp;
    KIRQL Irql;

    IopLockQueue(Device, Cancelable, &Irql);
    Device->CurrentIrp = NULL;
    Entry = (Key != NULL) ? KeRemoveByKeyDeviceQueue(&Device->DeviceQueue, *Key)
                          : KeRemoveDeviceQueue(&Device->DeviceQueue);
    if (Entry != NULL) {
        Irp = CONTAINING_RECORD(Entry, IRP, Tail.Overlay.DeviceQueueEntry);
        Device->CurrentIrp = Irp;
        if (Cancelable && (IopExtension(Device)->StartIoFlags & IOP_STARTIO_NO_CANCEL) != 0) {
            Irp->CancelRoutine = NULL;
        }
    }
    IopUnlockQueue(Cancelable);
    if (Entry != NULL) {
        IopEnterStartIo(Device, Device->CurrentIrp);
    }
    KeLowerIrql(Irql);
}

/* IRQL: DISPATCH_LEVEL. */
VOID NTAPI IoStartNextPacket(PDEVICE_OBJECT DeviceObject, BOOLEAN Cancelable)
{
    IopStartNext(DeviceObject, Cancelable, NULL);
}

VOID NTAPI IoStartNextPacketByKey(PDEVICE_OBJECT DeviceObject, BOOLEAN Cancelable, ULONG Key)
{
    IopStartNext(DeviceObject, Cancelable, &Key);
}

VOID NTAPI IoSetStartIoAttributes(PDEVICE_OBJECT DeviceObject, BOOLEAN DeferredStartIo, BOOLEAN NonCancelable)
{
    IopExtension(DeviceObject)->StartIoFlags =
        (DeferredStartIo ? IOP_STARTIO_DEFERRED : 0) | (NonCancelable ? IOP_STARTIO_NO_CANCEL : 0);
}
