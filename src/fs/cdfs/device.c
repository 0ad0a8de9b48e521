/*
 * device.c - requests that the file system sends to the drive.
 *
 * Two kinds: requests of its own, built and waited for here (mounting, sizes), and reads on behalf of a caller, for
 * which the caller's IRP goes down with its buffer's MDL, comes back through a completion routine that stops it, and is
 * completed by whoever sent it. Callers run at PASSIVE_LEVEL or APC_LEVEL (paging reads), so completion must not need an APC:
 * hence asynchronous IRPs with an event of their own, never IoBuildSynchronousFsdRequest. Nothing is retried here: the drive
 * has done that.
 */
#include "cd.h"

static NTSTATUS NTAPI CdStopCompletion(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    UNREFERENCED_PARAMETER(Irp);
    KeSetEvent(Context, IO_DISK_INCREMENT, FALSE);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

/* Sends an IRP whose next stack location is filled in, and waits; the IRP stays the caller's. */
static NTSTATUS CdSendAndWait(PDEVICE_OBJECT Target, PIRP Irp)
{
    KEVENT Done;

    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    IoSetCompletionRoutine(Irp, CdStopCompletion, &Done, TRUE, TRUE, TRUE);
    IoCallDriver(Target, Irp);
    KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    return Irp->IoStatus.Status;
}

/**
 * CdForwardAndWait - sends the caller's read to the drive and waits for it.
 *
 * @Irp     its next stack location is set: offset and length in whole sectors, within the disc; MdlAddress is locked
 * returns  the drive's status; the IRP is not completed, and IoStatus.Information counts what was read
 *
 * IRQL: <= APC_LEVEL.
 */
NTSTATUS CdForwardAndWait(PDEVICE_OBJECT Target, PIRP Irp)
{
    return CdSendAndWait(Target, Irp);
}

static VOID CdFreeOwnIrp(PIRP Irp)
{
    while (Irp->MdlAddress != NULL) {
        PMDL Mdl = Irp->MdlAddress;

        Irp->MdlAddress = Mdl->Next;
        if ((Mdl->MdlFlags & MDL_PAGES_LOCKED) != 0) {
            MmUnlockPages(Mdl);
        }
        IoFreeMdl(Mdl);
    }
    IoFreeIrp(Irp);
}

/**
 * CdReadSectors - reads from the drive into nonpaged memory.
 *
 * @Bytes   a multiple of ISO_SECTOR
 * Errors: the drive's; STATUS_INSUFFICIENT_RESOURCES; STATUS_UNEXPECTED_IO_ERROR if less arrived than was asked for.
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS CdReadSectors(PDEVICE_OBJECT Target, ULONG Sector, ULONG Bytes, PVOID Buffer)
{
    LARGE_INTEGER Offset = {.QuadPart = (LONGLONG)Sector * ISO_SECTOR};
    PIRP Irp = IoBuildAsynchronousFsdRequest(IRP_MJ_READ, Target, Buffer, Bytes, &Offset, NULL);
    NTSTATUS Status;

    if (Irp == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    IoGetNextIrpStackLocation(Irp)->Flags |= SL_OVERRIDE_VERIFY_VOLUME;
    Status = CdSendAndWait(Target, Irp);
    if (NT_SUCCESS(Status) && Irp->IoStatus.Information != Bytes) {
        Status = STATUS_UNEXPECTED_IO_ERROR;
    }
    CdFreeOwnIrp(Irp);
    return Status;
}

/**
 * CdDeviceControl - asks the drive for something (METHOD_BUFFERED, no input).
 *
 * @Output, @Bytes  nonpaged; must be filled entirely
 * Errors: the drive's; STATUS_INSUFFICIENT_RESOURCES; STATUS_UNEXPECTED_IO_ERROR if less came back.
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS CdDeviceControl(PDEVICE_OBJECT Target, ULONG Code, PVOID Output, ULONG Bytes)
{
    PIRP Irp = IoAllocateIrp(Target->StackSize, FALSE);
    PIO_STACK_LOCATION Stack;
    NTSTATUS Status;

    if (Irp == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Irp->AssociatedIrp.SystemBuffer = Output;
    Irp->Tail.Overlay.Thread = PsGetCurrentThread();
    Stack = IoGetNextIrpStackLocation(Irp);
    Stack->MajorFunction = IRP_MJ_DEVICE_CONTROL;
    Stack->Flags = SL_OVERRIDE_VERIFY_VOLUME;
    Stack->Parameters.DeviceIoControl.IoControlCode = Code;
    Stack->Parameters.DeviceIoControl.OutputBufferLength = Bytes;
    Status = CdSendAndWait(Target, Irp);
    if (NT_SUCCESS(Status) && Irp->IoStatus.Information < Bytes) {
        Status = STATUS_UNEXPECTED_IO_ERROR;
    }
    IoFreeIrp(Irp);
    return Status;
}

/**
 * CdDeviceControlRequest - IRP_MJ_DEVICE_CONTROL: a handle to the volume itself speaks to the drive, others do not.
 */
NTSTATUS CdDeviceControlRequest(PCD_VCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack)
{
    if (CdFcbOf(Stack->FileObject) != NULL) {
        return CdComplete(Irp, STATUS_INVALID_PARAMETER, 0);
    }
    IoSkipCurrentIrpStackLocation(Irp);
    return IoCallDriver(Vcb->TargetDevice, Irp);
}
