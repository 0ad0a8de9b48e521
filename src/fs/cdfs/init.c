/*
 * init.c - the driver's entry and the way of every request into it.
 *
 * CdDispatch is the one dispatch routine: it tells requests to the file system's own device object (\Cdfs) from those to
 * a volume, disables normal kernel APCs while the file system holds locks, and turns an exception (of Cc, of Mm reading a page,
 * of a user buffer) into the status of the IRP, which it then completes. A handler that returns has completed its IRP
 * itself; one that raises has not.
 *
 * Nothing is ever pended: a request runs in its caller's thread and may wait for the drive. The driver does not unload.
 */
#include "cd.h"

PDEVICE_OBJECT CdFileSystemDevice; /* (c) after DriverEntry */

NTSTATUS CdComplete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, NT_SUCCESS(Status) ? IO_DISK_INCREMENT : IO_NO_INCREMENT);
    return Status;
}

/*
 * Locks the caller's buffer for writing, unless the I/O manager or Mm has done so. The MDL goes with the IRP. A buffer
 * that is not what the caller said raises STATUS_INVALID_USER_BUFFER, which unlike an access violation is expected.
 */
VOID CdLockUserBuffer(PIRP Irp, ULONG Bytes)
{
    PMDL Mdl;
    NTSTATUS Status = STATUS_SUCCESS;

    if (Irp->MdlAddress != NULL) {
        return;
    }
    Mdl = IoAllocateMdl(Irp->UserBuffer, Bytes, FALSE, FALSE, Irp);
    if (Mdl == NULL) {
        ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
    }
    __try {
        MmProbeAndLockPages(Mdl, Irp->RequestorMode, IoWriteAccess);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Status = FsRtlNormalizeNtstatus(GetExceptionCode(), STATUS_INVALID_USER_BUFFER);
    }
    if (!NT_SUCCESS(Status)) {
        Irp->MdlAddress = NULL;
        IoFreeMdl(Mdl);
        ExRaiseStatus(Status);
    }
}

/* Kernel address of the caller's buffer; without an MDL, the caller's own address, which only Cc may be trusted with. */
PVOID CdMapUserBuffer(PIRP Irp)
{
    PVOID Address = Irp->UserBuffer;

    if (Irp->MdlAddress != NULL) {
        Address = MmGetSystemAddressForMdlSafe(Irp->MdlAddress, NormalPagePriority);
        if (Address == NULL) {
            ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
        }
    }
    return Address;
}

LONG CdExceptionFilter(PEXCEPTION_POINTERS Pointers, NTSTATUS *Status)
{
    PEXCEPTION_RECORD Record = Pointers->ExceptionRecord;

    *Status = Record->ExceptionCode;
    /* The third parameter of an in-page error is what the read failed with, which says more. */
    if (*Status == STATUS_IN_PAGE_ERROR && Record->NumberParameters >= 3) {
        *Status = (NTSTATUS)Record->ExceptionInformation[2];
    }
    return FsRtlIsNtstatusExpected(*Status) ? EXCEPTION_EXECUTE_HANDLER : EXCEPTION_CONTINUE_SEARCH;
}

/* Requests to \Cdfs itself: it can be opened and closed, and asked to mount. */
static NTSTATUS CdFileSystemRequest(PIRP Irp, PIO_STACK_LOCATION Stack)
{
    switch (Stack->MajorFunction) {
    case IRP_MJ_CREATE:
        return CdComplete(Irp, STATUS_SUCCESS, FILE_OPENED);
    case IRP_MJ_CLEANUP:
    case IRP_MJ_CLOSE:
        return CdComplete(Irp, STATUS_SUCCESS, 0);
    case IRP_MJ_FILE_SYSTEM_CONTROL:
        if (Stack->MinorFunction == IRP_MN_MOUNT_VOLUME) {
            return CdMountVolume(Irp, Stack);
        }
        break;
    default:
        break;
    }
    return CdComplete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
}

static NTSTATUS CdVolumeRequest(PCD_VCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack)
{
    switch (Stack->MajorFunction) {
    case IRP_MJ_CREATE:
        return CdCreate(Vcb, Irp, Stack);
    case IRP_MJ_CLEANUP:
        return CdCleanup(Vcb, Irp, Stack);
    case IRP_MJ_CLOSE:
        return CdClose(Vcb, Irp, Stack);
    case IRP_MJ_READ:
        return CdRead(Vcb, Irp, Stack);
    case IRP_MJ_QUERY_INFORMATION:
        return CdQueryInformation(Vcb, Irp, Stack);
    case IRP_MJ_SET_INFORMATION:
        return CdSetInformation(Vcb, Irp, Stack);
    case IRP_MJ_QUERY_VOLUME_INFORMATION:
        return CdQueryVolumeInformation(Vcb, Irp, Stack);
    case IRP_MJ_DIRECTORY_CONTROL:
        return CdDirectoryControl(Vcb, Irp, Stack);
    case IRP_MJ_DEVICE_CONTROL:
        return CdDeviceControlRequest(Vcb, Irp, Stack);
    case IRP_MJ_WRITE:
        return CdComplete(Irp, STATUS_MEDIA_WRITE_PROTECTED, 0);
    default:
        return CdComplete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
}

static NTSTATUS NTAPI CdDispatch(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    NTSTATUS Status;

    FsRtlEnterFileSystem();
    __try {
        Status = DeviceObject == CdFileSystemDevice ? CdFileSystemRequest(Irp, Stack)
                                                    : CdVolumeRequest(DeviceObject->DeviceExtension, Irp, Stack);
    } __except (CdExceptionFilter(GetExceptionInformation(), &Status)) {
        CdComplete(Irp, Status, 0);
    }
    FsRtlExitFileSystem();
    return Status;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath);

/**
 * DriverEntry - creates \Cdfs and registers it as a file system for CD-ROM media.
 *
 * IRQL: PASSIVE_LEVEL.  Fails: as IoCreateDevice.
 */
NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\Cdfs");
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(RegistryPath);
    Status = IoCreateDevice(DriverObject, 0, &Name, FILE_DEVICE_CD_ROM_FILE_SYSTEM, 0, FALSE, &CdFileSystemDevice);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    for (ULONG Major = 0; Major <= IRP_MJ_MAXIMUM_FUNCTION; Major++) {
        DriverObject->MajorFunction[Major] = CdDispatch;
    }
    DriverObject->FastIoDispatch = &CdFastIo;
    CdFileSystemDevice->Flags &= ~DO_DEVICE_INITIALIZING;
    IoRegisterFileSystem(CdFileSystemDevice);
    return STATUS_SUCCESS;
}
