/*
 * null.c - \Device\Null: takes everything that is written and has nothing to read.
 *
 * A read is STATUS_END_OF_FILE, a write succeeds with all its bytes. Neither direct nor buffered: what the caller points at is not looked at.
 * No state, no locks. PASSIVE_LEVEL.
 */
#include "iop.h"

static NTSTATUS NTAPI IopNullRequest(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    NTSTATUS Status = STATUS_SUCCESS;

    Irp->IoStatus.Information = 0;
    switch (Stack->MajorFunction) {
    case IRP_MJ_CREATE:
        Irp->IoStatus.Information = FILE_OPENED;
        break;
    case IRP_MJ_READ:
        Status = STATUS_END_OF_FILE;
        break;
    case IRP_MJ_WRITE:
        Irp->IoStatus.Information = Stack->Parameters.Write.Length;
        break;
    default:
        break;
    }
    Irp->IoStatus.Status = Status;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static NTSTATUS NTAPI IopNullEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    static const UCHAR Majors[] = {IRP_MJ_CREATE, IRP_MJ_CLEANUP, IRP_MJ_CLOSE,
                                   IRP_MJ_READ,   IRP_MJ_WRITE,   IRP_MJ_FLUSH_BUFFERS};
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\Device\\Null");
    PDEVICE_OBJECT Device;
    NTSTATUS Status;

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Majors); Index++) {
        DriverObject->MajorFunction[Majors[Index]] = IopNullRequest;
    }
    Status = IoCreateDevice(DriverObject, 0, &Name, FILE_DEVICE_NULL, 0, FALSE, &Device);
    if (NT_SUCCESS(Status)) {
        Device->Flags &= ~DO_DEVICE_INITIALIZING;
    }
    return Status;
}

/* Makes the device. Phase 1, after the types. */
NTSTATUS IopCreateNull(VOID)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\Driver\\Null");

    return IoCreateDriver(&Name, IopNullEntry);
}
