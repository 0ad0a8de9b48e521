/*
 * request.c - the channel's thread and queue: reads and writes, retried until they succeed or must not.
 *
 * A request is checked against the medium, cut into commands of at most 128 KB, and each command tried up to four times: a time-out resets
 * the channel, what DMA fails to do twice is tried by PIO (which the drive stays with if that helps), errors that a repetition cannot
 * help end it at once. Whatever remains is completed with the documented status; Information counts what was moved before it.
 *
 * The queue lock is held for list operations only. Requests are completed at PASSIVE_LEVEL.
 */
#include "ide.h"

/* Failures of a command by DMA after which it is tried without. */
#define IDE_DMA_FAILURES 2U

/* Errors that another try may cure. */
static BOOLEAN IdeWorthRetry(NTSTATUS Status)
{
    return Status == STATUS_IO_TIMEOUT || Status == STATUS_IO_DEVICE_ERROR || Status == STATUS_CRC_ERROR ||
           Status == STATUS_DEVICE_DATA_ERROR || Status == STATUS_DEVICE_NOT_READY;
}

/* Errors that say of DMA that this transfer cannot be described to the bus master: no map registers, odd pieces. */
static BOOLEAN IdeNoDmaList(NTSTATUS Status)
{
    return Status == STATUS_INSUFFICIENT_RESOURCES || Status == STATUS_DATATYPE_MISALIGNMENT;
}

/* Brings the drive back into a state in which the next try has a chance. */
static VOID IdeAfterFailure(PIDE_DRIVE Drive, NTSTATUS Status)
{
    if (Status == STATUS_IO_TIMEOUT) {
        DbgPrint("ide: %s: no answer, resetting the channel\n", Drive->Model);
    }
    if (Status == STATUS_IO_TIMEOUT || Status == STATUS_IO_DEVICE_ERROR) {
        IdeResetChannel(Drive->Channel);
    }
    if (Status == STATUS_DEVICE_NOT_READY) {
        IdeTestUnitReady(Drive);
    }
}

/* One command's worth, with retries. A drive aborts a command for a bad sector as it does for DMA that does not work: it loses DMA only if
 * PIO then does what DMA could not. */
static NTSTATUS IdeMove(PIDE_DRIVE Drive, ULONGLONG Sector, const IDE_BUFFER *Request)
{
    IDE_BUFFER Buffer = *Request;
    NTSTATUS Status = STATUS_SUCCESS;
    ULONG DmaFailures = 0;

    for (ULONG Try = 0; Try <= IDE_RETRIES; Try++) {
        BOOLEAN Dma = IdeCanDma(Drive, &Buffer);

        Status = (Drive->Kind == IdeCdRom) ? IdeCdRead(Drive, Sector, &Buffer) : IdeAtaTransfer(Drive, Sector, &Buffer);
        if (NT_SUCCESS(Status)) {
            if (DmaFailures == IDE_DMA_FAILURES) {
                Drive->UseDma = FALSE;
                DbgPrint("ide: %s: DMA failed where PIO did not, using PIO\n", Drive->Model);
            }
            return Status;
        }
        if (Dma && IdeNoDmaList(Status)) {
            Buffer.Pio = TRUE;
            continue;
        }
        if (!IdeWorthRetry(Status)) {
            return Status;
        }
        if (Dma && Status != STATUS_DEVICE_DATA_ERROR && Status != STATUS_DEVICE_NOT_READY &&
            ++DmaFailures == IDE_DMA_FAILURES) {
            Buffer.Pio = TRUE;
        }
        IdeAfterFailure(Drive, Status);
    }
    return Status;
}

/* A CD drive knows its medium's size only after asking; a new medium is asked again. */
static NTSTATUS IdeKnowMedium(PIDE_DRIVE Drive)
{
    NTSTATUS Status;

    if (Drive->Sectors != 0) {
        return STATUS_SUCCESS;
    }
    Status = IdeTestUnitReady(Drive);
    return NT_SUCCESS(Status) ? IdeReadCapacity(Drive) : Status;
}

/* May this transfer be done at all? */
static NTSTATUS IdeCheckTransfer(PIDE_DRIVE Drive, PIO_STACK_LOCATION Stack, PIRP Irp, LONGLONG Offset, ULONG Length)
{
    NTSTATUS Status;

    if (Stack->MajorFunction == IRP_MJ_WRITE && Drive->Kind == IdeCdRom) {
        return STATUS_MEDIA_WRITE_PROTECTED;
    }
    Status = IdeKnowMedium(Drive);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if ((Drive->Device->Flags & DO_VERIFY_VOLUME) != 0 && (Stack->Flags & SL_OVERRIDE_VERIFY_VOLUME) == 0) {
        IoSetHardErrorOrVerifyDevice(Irp, Drive->Device);
        return STATUS_VERIFY_REQUIRED;
    }
    if (Offset < 0 || ((Offset | Length) & (Drive->SectorSize - 1)) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    if ((ULONGLONG)Offset / Drive->SectorSize + Length / Drive->SectorSize > Drive->Sectors) {
        return STATUS_NONEXISTENT_SECTOR;
    }
    return (Length == 0 || Irp->MdlAddress != NULL) ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
}

/* Carries out a read or write request; IoStatus.Information counts the bytes. */
NTSTATUS IdeTransfer(PIDE_DRIVE Drive, PIRP Irp)
{
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    LONGLONG Offset = Stack->Parameters.Read.ByteOffset.QuadPart; /* Write has the same layout */
    ULONG Length = Stack->Parameters.Read.Length, Done = 0;
    IDE_BUFFER Buffer;
    NTSTATUS Status;

    Irp->IoStatus.Information = 0;
    Status = IdeCheckTransfer(Drive, Stack, Irp, Offset, Length);
    while (NT_SUCCESS(Status) && Done < Length) {
        Buffer.Mdl = Irp->MdlAddress;
        Buffer.Va = (PUCHAR)MmGetMdlVirtualAddress(Irp->MdlAddress) + Done;
        Buffer.Length = min(Length - Done, IDE_MAXIMUM_TRANSFER);
        Buffer.Write = (Stack->MajorFunction == IRP_MJ_WRITE);
        Buffer.Pio = FALSE;
        Status = IdeMove(Drive, (ULONGLONG)(Offset + Done) / Drive->SectorSize, &Buffer);
        Done += NT_SUCCESS(Status) ? Buffer.Length : 0;
    }
    Irp->IoStatus.Information = Done;
    if (Status == STATUS_VERIFY_REQUIRED || Status == STATUS_NO_MEDIA_IN_DEVICE) {
        IoSetHardErrorOrVerifyDevice(Irp, Drive->Device);
        Irp->IoStatus.Information = 0;
    }
    return Status;
}

static NTSTATUS IdeCarryOut(PIDE_DRIVE Drive, PIRP Irp)
{
    switch (IoGetCurrentIrpStackLocation(Irp)->MajorFunction) {
    case IRP_MJ_READ:
    case IRP_MJ_WRITE:
        return IdeTransfer(Drive, Irp);
    case IRP_MJ_DEVICE_CONTROL:
        return IdeControl(Drive, Irp);
    default: /* flush, shutdown */
        Irp->IoStatus.Information = 0;
        return (Drive->Kind == IdeDisk) ? IdeAtaFlush(Drive) : STATUS_SUCCESS;
    }
}

/* Takes requests off the queue for as long as the system runs. */
VOID IdeChannelThread(PVOID Context)
{
    PIDE_CHANNEL Channel = Context;

    KeSetPriorityThread(KeGetCurrentThread(), LOW_REALTIME_PRIORITY);
    for (;;) {
        PLIST_ENTRY Entry;
        PIRP Irp;
        PIDE_DRIVE Drive;

        KeWaitForSingleObject(&Channel->Work, Executive, KernelMode, FALSE, NULL);
        Entry = ExInterlockedRemoveHeadList(&Channel->Queue, &Channel->QueueLock);
        if (Entry == NULL) {
            continue;
        }
        Irp = CONTAINING_RECORD(Entry, IRP, Tail.Overlay.ListEntry);
        Drive = IoGetCurrentIrpStackLocation(Irp)->DeviceObject->DeviceExtension;
        if (Irp->Cancel) {
            Irp->IoStatus.Status = STATUS_CANCELLED;
            Irp->IoStatus.Information = 0;
        } else {
            Irp->IoStatus.Status = IdeCarryOut(Drive, Irp);
        }
        IoCompleteRequest(Irp, NT_SUCCESS(Irp->IoStatus.Status) ? IO_DISK_INCREMENT : IO_NO_INCREMENT);
    }
}

/* Hands a request to its channel's thread. IRQL <= DISPATCH_LEVEL. */
NTSTATUS IdeQueueRequest(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PIDE_CHANNEL Channel = ((PIDE_DRIVE)DeviceObject->DeviceExtension)->Channel;

    IoMarkIrpPending(Irp);
    ExInterlockedInsertTailList(&Channel->Queue, &Irp->Tail.Overlay.ListEntry, &Channel->QueueLock);
    KeReleaseSemaphore(&Channel->Work, IO_NO_INCREMENT, 1, FALSE);
    return STATUS_PENDING;
}
