/*
 * i8042prt.c - i8042prt.sys: the PS/2 keyboard's port driver.
 *
 * \Device\KeyboardPort0 gives each key that goes down or up, as KEYBOARD_INPUT_DATA, to the class that connected itself by
 * IOCTL_INTERNAL_KEYBOARD_CONNECT. The service routine reads scan codes, puts prefix and code together and queues them; the DPC calls the class with runs of
 * them. What the queue cannot take is lost and counted. The queue has one producer (the service routine) and one consumer (the DPC), each with an
 * index of its own; Class is changed under the interrupt's lock.
 *
 * A machine without the controller, or without a keyboard, has no device: DriverEntry fails, which the I/O manager
 * says, and the console goes on with COM1 alone. Never unloaded.
 * Source: WDK documentation of i8042prt, KEYBOARD_INPUT_DATA, and the class service callback.
 */
#include "i8042prt.h"

#define KEYBOARD_IRQ 1 /* ISA */
#define CODE_E0      0xE0
#define CODE_E1      0xE1
#define CODE_BREAK   0x80

DRIVER_INITIALIZE DriverEntry;

/* x64 headers hide it; it is exported all the same. */
ULONG NTAPI HalGetInterruptVector(INTERFACE_TYPE InterfaceType, ULONG BusNumber, ULONG BusInterruptLevel,
                                  ULONG BusInterruptVector, PKIRQL Irql, PKAFFINITY Affinity);

static VOID TakeCode(PI8042_KEYBOARD Keyboard, UCHAR Code)
{
    PKEYBOARD_INPUT_DATA Key = &Keyboard->Queue[Keyboard->Put % I8042_QUEUE];

    if (Code == CODE_E0 || Code == CODE_E1) {
        Keyboard->Prefix = Code == CODE_E0 ? KEY_E0 : KEY_E1;
        Keyboard->PrefixCodes = Code == CODE_E0 ? 1 : 2; /* Pause is E1 and two codes */
        return;
    }
    if (Keyboard->Put - Keyboard->Taken == I8042_QUEUE) {
        InterlockedIncrement(&Keyboard->Overruns);
    } else {
        RtlZeroMemory(Key, sizeof(*Key));
        Key->MakeCode = Code & ~CODE_BREAK;
        Key->Flags = (USHORT)(((Code & CODE_BREAK) != 0 ? KEY_BREAK : KEY_MAKE) | Keyboard->Prefix);
        Keyboard->Put++;
    }
    if (Keyboard->PrefixCodes != 0 && --Keyboard->PrefixCodes == 0) {
        Keyboard->Prefix = 0;
    }
}

/* IRQL: the keyboard's. TRUE: the controller had something. */
static BOOLEAN NTAPI Service(PKINTERRUPT Interrupt, PVOID Context)
{
    PI8042_KEYBOARD Keyboard = Context;
    BOOLEAN Any = FALSE;
    UCHAR Code;

    UNREFERENCED_PARAMETER(Interrupt);
    while (I8042Read(&Code)) {
        TakeCode(Keyboard, Code);
        Any = TRUE;
    }
    if (Any) {
        KeInsertQueueDpc(&Keyboard->Dpc, NULL, NULL);
    }
    return Any;
}

/* Gives the class the queue, in at most two runs. */
static VOID NTAPI GiveKeys(PKDPC Dpc, PVOID Context, PVOID First, PVOID Second)
{
    PI8042_KEYBOARD Keyboard = Context;
    PSERVICE_CALLBACK_ROUTINE Callback = (PSERVICE_CALLBACK_ROUTINE)(ULONG_PTR)Keyboard->Class.ClassService;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(First);
    UNREFERENCED_PARAMETER(Second);
    while (Keyboard->Taken != Keyboard->Put) {
        ULONG At = Keyboard->Taken % I8042_QUEUE, Count = Keyboard->Put - Keyboard->Taken, Consumed;

        Count = min(Count, I8042_QUEUE - At);
        Consumed = Count;
        if (Callback != NULL) {
            Callback(Keyboard->Class.ClassDeviceObject, &Keyboard->Queue[At], &Keyboard->Queue[At + Count], &Consumed);
        }
        Keyboard->Taken += Count; /* what a class leaves is not offered again */
    }
}

/* ---- Requests ---- */

static NTSTATUS Complete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static NTSTATUS NTAPI OpenClose(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    return Complete(Irp, STATUS_SUCCESS,
                    IoGetCurrentIrpStackLocation(Irp)->MajorFunction == IRP_MJ_CREATE ? FILE_OPENED : 0);
}

typedef struct _CONNECTION {
    PI8042_KEYBOARD Keyboard;
    PCONNECT_DATA Data;
} CONNECTION;

static BOOLEAN NTAPI SetClass(PVOID Context)
{
    CONNECTION *Connection = Context;
    BOOLEAN Free = Connection->Keyboard->Class.ClassService == NULL;

    if (Free) {
        Connection->Keyboard->Class = *Connection->Data;
    }
    return Free;
}

/* From a class in the kernel only: a program's request is another major function. STATUS_SHARING_VIOLATION: there is a class. */
static NTSTATUS NTAPI InternalControl(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    CONNECTION Connection = {DeviceObject->DeviceExtension, Stack->Parameters.DeviceIoControl.Type3InputBuffer};

    if (Stack->Parameters.DeviceIoControl.IoControlCode != IOCTL_INTERNAL_KEYBOARD_CONNECT) {
        return Complete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
    if (Stack->Parameters.DeviceIoControl.InputBufferLength < sizeof(CONNECT_DATA) ||
        Connection.Data->ClassService == NULL) {
        return Complete(Irp, STATUS_INVALID_PARAMETER, 0);
    }
    if (!KeSynchronizeExecution(Connection.Keyboard->Interrupt, SetClass, &Connection)) {
        return Complete(Irp, STATUS_SHARING_VIOLATION, 0);
    }
    return Complete(Irp, STATUS_SUCCESS, 0);
}

/* ---- Start ---- */

static NTSTATUS Connect(PI8042_KEYBOARD Keyboard)
{
    KAFFINITY Affinity;
    KIRQL Irql;
    ULONG Vector = HalGetInterruptVector(Isa, 0, KEYBOARD_IRQ, KEYBOARD_IRQ, &Irql, &Affinity);
    NTSTATUS Status;

    if (Vector == 0) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    KeInitializeDpc(&Keyboard->Dpc, GiveKeys, Keyboard);
    Status = IoConnectInterrupt(&Keyboard->Interrupt, Service, Keyboard, NULL, Vector, Irql, Irql, Latched, FALSE,
                                Affinity, FALSE);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = I8042EnableInterrupts();
    if (!NT_SUCCESS(Status)) {
        IoDisconnectInterrupt(Keyboard->Interrupt);
    }
    return Status;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(DD_KEYBOARD_PORT_DEVICE_NAME_U L"0");
    PDEVICE_OBJECT Device;
    PI8042_KEYBOARD Keyboard;
    NTSTATUS Status = I8042Start();

    UNREFERENCED_PARAMETER(RegistryPath);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = IoCreateDevice(DriverObject, sizeof(I8042_KEYBOARD), &Name, FILE_DEVICE_8042_PORT, 0, TRUE, &Device);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Keyboard = Device->DeviceExtension;
    Keyboard->Device = Device;
    DriverObject->MajorFunction[IRP_MJ_CREATE] = OpenClose;
    DriverObject->MajorFunction[IRP_MJ_CLOSE] = OpenClose;
    DriverObject->MajorFunction[IRP_MJ_CLEANUP] = OpenClose;
    DriverObject->MajorFunction[IRP_MJ_INTERNAL_DEVICE_CONTROL] = InternalControl;
    Status = Connect(Keyboard);
    if (!NT_SUCCESS(Status)) {
        IoDeleteDevice(Device);
        return Status;
    }
    Device->Flags &= ~DO_DEVICE_INITIALIZING;
    DbgPrint("i8042prt: %wZ: a PS/2 keyboard\n", &Name);
    return STATUS_SUCCESS;
}
