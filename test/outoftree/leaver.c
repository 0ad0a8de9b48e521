/*
 * leaver.c - a driver that unloads and leaves behind one of each thing that a driver may not leave.
 *
 * Built by plain x86_64-w64-mingw32-gcc from the DDK headers alone. The verifier is to report each of them, with the driver's name: a handle,
 * an armed timer, an IRP, an MDL, a work item, a block of pool; built with LEAVE_DEVICE its device alone. What it leaves
 * lies in pool and refers to its image only by addresses that nobody will call: the timer is due in a day.
 */
#include <ntddk.h>

#define TAG 'evaL'

typedef struct _ARMED {
    KTIMER Timer;
    KDPC Dpc;
} ARMED;

DRIVER_INITIALIZE DriverEntry;

static VOID NTAPI Unload(PDRIVER_OBJECT Driver)
{
    DbgPrint("leaver: unloaded\n");
}

#ifdef LEAVE_DEVICE

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;

    Driver->DriverUnload = Unload;
    return IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
}

#else

static VOID NTAPI Never(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
}

static NTSTATUS LeaveHandle(VOID)
{
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Left, Closed;
    NTSTATUS Status;

    InitializeObjectAttributes(&Attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    Status = ZwCreateEvent(&Closed, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE);
    if (NT_SUCCESS(Status)) {
        Status = ZwCreateEvent(&Left, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE);
        ZwClose(Closed);
    }
    return Status;
}

static NTSTATUS LeaveTimer(VOID)
{
    ARMED *Armed = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Armed), TAG);
    LARGE_INTEGER Due;

    if (Armed == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Due.QuadPart = -24LL * 3600 * 10000000;
    KeInitializeDpc(&Armed->Dpc, Never, NULL);
    KeInitializeTimer(&Armed->Timer);
    KeSetTimer(&Armed->Timer, Due, &Armed->Dpc);
    return STATUS_SUCCESS;
}

static NTSTATUS LeaveIo(PDRIVER_OBJECT Driver)
{
    PDEVICE_OBJECT Device;
    PIO_WORKITEM Item;
    PIRP Irp = IoAllocateIrp(1, FALSE);
    PMDL Mdl = IoAllocateMdl(Driver, 100, FALSE, FALSE, NULL);
    NTSTATUS Status = IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Item = IoAllocateWorkItem(Device);
    IoDeleteDevice(Device);
    return Irp != NULL && Mdl != NULL && Item != NULL ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    NTSTATUS Status = LeaveHandle();

    Driver->DriverUnload = Unload;
    if (NT_SUCCESS(Status)) {
        Status = LeaveTimer();
    }
    if (NT_SUCCESS(Status)) {
        Status = LeaveIo(Driver);
    }
    return Status;
}

#endif
