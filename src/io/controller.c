/*
 * controller.c - controller objects: hardware that several devices share, one at a time.
 *
 * The controller's device queue is the lock: whoever finds it not busy has the controller and its routine is called at once; others wait
 * in it, in order, and are called by the routine that frees it. A routine answers KeepObject to keep the controller
 * until IoFreeController, or DeallocateObject to give it up by returning.
 *
 * Lock: the queue's own. DISPATCH_LEVEL. Source: WDK documentation, "Using Controller Objects".
 */
#include "iop.h"

#define IOP_TYPE_CONTROLLER 2
#define IOP_TAG_CONTROLLER  'rtnC'

/* A controller with Size zeroed bytes for the driver; NULL: no memory. IRQL: PASSIVE_LEVEL. */
PCONTROLLER_OBJECT NTAPI IoCreateController(ULONG Size)
{
    SIZE_T Bytes = ((sizeof(CONTROLLER_OBJECT) + 15) & ~(SIZE_T)15) + Size;
    PCONTROLLER_OBJECT Controller = ExAllocatePoolWithTag(NonPagedPool, Bytes, IOP_TAG_CONTROLLER);

    if (Controller == NULL) {
        return NULL;
    }
    RtlZeroMemory(Controller, Bytes);
    Controller->Type = IOP_TYPE_CONTROLLER;
    Controller->Size = (CSHORT)sizeof(CONTROLLER_OBJECT);
    Controller->ControllerExtension = (PUCHAR)Controller + (Bytes - Size);
    KeInitializeDeviceQueue(&Controller->DeviceWaitQueue);
    return Controller;
}

/* The controller is not in use. IRQL: PASSIVE_LEVEL. */
VOID NTAPI IoDeleteController(PCONTROLLER_OBJECT ControllerObject)
{
    ASSERT(!ControllerObject->DeviceWaitQueue.Busy);
    ExFreePoolWithTag(ControllerObject, IOP_TAG_CONTROLLER);
}

/* Calls ExecutionRoutine once the device has the controller. IRQL: DISPATCH_LEVEL. */
VOID NTAPI IoAllocateController(PCONTROLLER_OBJECT ControllerObject, PDEVICE_OBJECT DeviceObject,
                                PDRIVER_CONTROL ExecutionRoutine, PVOID Context)
{
    ASSERT_IRQL(DISPATCH_LEVEL);
    DeviceObject->Queue.Wcb.DeviceRoutine = ExecutionRoutine;
    DeviceObject->Queue.Wcb.DeviceContext = Context;
    DeviceObject->Queue.Wcb.CurrentIrp = DeviceObject->CurrentIrp;
    if (!KeInsertDeviceQueue(&ControllerObject->DeviceWaitQueue, &DeviceObject->Queue.Wcb.WaitQueueEntry) &&
        ExecutionRoutine(DeviceObject, DeviceObject->CurrentIrp, NULL, Context) == DeallocateObject) {
        IoFreeController(ControllerObject);
    }
}

/* Gives the controller up; the next device's routine is called. IRQL: DISPATCH_LEVEL. */
VOID NTAPI IoFreeController(PCONTROLLER_OBJECT ControllerObject)
{
    IO_ALLOCATION_ACTION Action = DeallocateObject;

    ASSERT_IRQL(DISPATCH_LEVEL);
    while (Action == DeallocateObject) {
        PKDEVICE_QUEUE_ENTRY Entry = KeRemoveDeviceQueue(&ControllerObject->DeviceWaitQueue);
        PDEVICE_OBJECT Device;

        if (Entry == NULL) {
            return;
        }
        Device = CONTAINING_RECORD(Entry, DEVICE_OBJECT, Queue.Wcb.WaitQueueEntry);
        Action = Device->Queue.Wcb.DeviceRoutine(Device, Device->Queue.Wcb.CurrentIrp, NULL,
                                                 Device->Queue.Wcb.DeviceContext);
    }
}
