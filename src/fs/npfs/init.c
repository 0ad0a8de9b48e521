/*
 * init.c - the driver's entry, the way of every request into it, and how requests end.
 *
 * \Device\NamedPipe is the one device object; \??\PIPE is a link to it. NpDispatch disables normal kernel APCs while a handler may hold the
 * resource. A handler has completed its IRP, or queued it and returned STATUS_PENDING. Reads and writes are buffered by the I/O manager, so
 * that data can be copied under a spin lock in any thread.
 *
 * The driver does not unload. IRQL: PASSIVE_LEVEL; cancel routines and the timers of wait.c run at DISPATCH_LEVEL.
 */
#include "np.h"

PDEVICE_OBJECT NpDevice; /* (c) after DriverEntry */
ERESOURCE NpResource;
LIST_ENTRY NpPipes;

NTSTATUS NpComplete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, NT_SUCCESS(Status) ? IO_NAMED_PIPE_INCREMENT : IO_NO_INCREMENT);
    return Status;
}

VOID NpFinish(PLIST_ENTRY Done, PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    InsertTailList(Done, &Irp->Tail.Overlay.ListEntry);
}

VOID NpCompleteAll(PLIST_ENTRY Done)
{
    while (!IsListEmpty(Done)) {
        PIRP Irp = CONTAINING_RECORD(RemoveHeadList(Done), IRP, Tail.Overlay.ListEntry);

        IoCompleteRequest(Irp, NT_SUCCESS(Irp->IoStatus.Status) ? IO_NAMED_PIPE_INCREMENT : IO_NO_INCREMENT);
    }
}

BOOLEAN NpTake(PIRP Irp)
{
    return IoSetCancelRoutine(Irp, NULL) != NULL;
}

static NTSTATUS NTAPI NpDispatch(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    static NTSTATUS (*const Handlers[IRP_MJ_MAXIMUM_FUNCTION + 1])(PIRP, PIO_STACK_LOCATION) = {
        [IRP_MJ_CREATE] = NpCreate,
        [IRP_MJ_CREATE_NAMED_PIPE] = NpCreateNamedPipe,
        [IRP_MJ_CLEANUP] = NpCleanup,
        [IRP_MJ_CLOSE] = NpClose,
        [IRP_MJ_READ] = NpRead,
        [IRP_MJ_WRITE] = NpWrite,
        [IRP_MJ_FLUSH_BUFFERS] = NpFlush,
        [IRP_MJ_QUERY_INFORMATION] = NpQueryInformation,
        [IRP_MJ_SET_INFORMATION] = NpSetInformation,
        [IRP_MJ_QUERY_VOLUME_INFORMATION] = NpQueryVolumeInformation,
        [IRP_MJ_DIRECTORY_CONTROL] = NpDirectoryControl,
        [IRP_MJ_FILE_SYSTEM_CONTROL] = NpFsControl,
    };
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(DeviceObject);
    if (Handlers[Stack->MajorFunction] == NULL) {
        return NpComplete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
    FsRtlEnterFileSystem();
    Status = Handlers[Stack->MajorFunction](Irp, Stack);
    FsRtlExitFileSystem();
    return Status;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath);

/**
 * DriverEntry - creates \Device\NamedPipe and its link.
 *
 * IRQL: PASSIVE_LEVEL.  Fails: as IoCreateDevice and IoCreateSymbolicLink.
 */
NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\Device\\NamedPipe"), Link = RTL_CONSTANT_STRING(L"\\??\\PIPE");
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(RegistryPath);
    InitializeListHead(&NpPipes);
    NpInitializeWaiters();
    Status = ExInitializeResourceLite(&NpResource);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = IoCreateDevice(DriverObject, 0, &Name, FILE_DEVICE_NAMED_PIPE, 0, FALSE, &NpDevice);
    if (NT_SUCCESS(Status)) {
        Status = IoCreateSymbolicLink(&Link, &Name);
        if (!NT_SUCCESS(Status)) {
            IoDeleteDevice(NpDevice);
        }
    }
    if (!NT_SUCCESS(Status)) {
        ExDeleteResourceLite(&NpResource);
        return Status;
    }
    for (ULONG Major = 0; Major <= IRP_MJ_MAXIMUM_FUNCTION; Major++) {
        DriverObject->MajorFunction[Major] = NpDispatch;
    }
    NpDevice->Flags |= DO_BUFFERED_IO;
    NpDevice->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}
