/*
 * readwrite.c - NtReadFile and NtWriteFile.
 *
 * Byte offsets: a synchronous file has a current position, used when no offset (or FILE_USE_FILE_POINTER_POSITION) is given and moved on by
 * the driver; an asynchronous file needs an offset. A synchronous read of a cached file first tries the driver's fast path,
 * which copies from the cache with no IRP. A file opened without intermediate buffering transfers whole sectors at aligned
 * offsets and addresses. Source: WDK documentation of ZwReadFile and ZwWriteFile. IRQL: PASSIVE_LEVEL.
 */
#include <ntos/user.h>

#include "iop.h"

/* The offset a transfer starts at. Returns FALSE if the caller has to give one and did not, or gave a negative one. */
static BOOLEAN IopTransferOffset(PFILE_OBJECT File, PLARGE_INTEGER Given, BOOLEAN Write, PLARGE_INTEGER Offset)
{
    BOOLEAN UsePosition = Given == NULL || (Given->LowPart == FILE_USE_FILE_POINTER_POSITION && Given->HighPart == -1);

    if (!UsePosition) {
        *Offset = *Given;
        return Offset->QuadPart >= 0 ||
               (Write && Offset->LowPart == FILE_WRITE_TO_END_OF_FILE && Offset->HighPart == -1);
    }
    if ((File->Flags & FO_SYNCHRONOUS_IO) == 0) {
        if ((File->DeviceObject->Vpb == NULL || (File->Flags & FO_DIRECT_DEVICE_OPEN) != 0) && Given == NULL) {
            Offset->QuadPart = 0; /* a device without positions */
            return TRUE;
        }
        return FALSE;
    }
    *Offset = File->CurrentByteOffset;
    return TRUE;
}

/* Unbuffered transfers are whole sectors at aligned places. */
static BOOLEAN IopIsAligned(PIOP_REQUEST Request, PVOID Buffer, ULONG Length, PLARGE_INTEGER Offset)
{
    ULONG Sector = Request->Device->SectorSize;

    if ((Request->File->Flags & FO_NO_INTERMEDIATE_BUFFERING) == 0 || Sector == 0) {
        return TRUE;
    }
    return (Length & (Sector - 1)) == 0 && ((ULONG_PTR)Buffer & Request->Device->AlignmentRequirement) == 0 &&
           (Offset->QuadPart < 0 || (Offset->QuadPart & (Sector - 1)) == 0);
}

/* The driver's fast path: TRUE if it did the read. */
static BOOLEAN IopFastRead(PIOP_REQUEST Request, PVOID Buffer, ULONG Length, PLARGE_INTEGER Offset, ULONG Key)
{
    PFAST_IO_DISPATCH Fast = Request->Device->DriverObject->FastIoDispatch;
    PFILE_OBJECT File = Request->File;
    BOOLEAN Done;

    if (!Request->FileLocked || File->PrivateCacheMap == NULL || Fast == NULL ||
        Fast->SizeOfFastIoDispatch < RTL_SIZEOF_THROUGH_FIELD(FAST_IO_DISPATCH, FastIoRead) ||
        Fast->FastIoRead == NULL) {
        return FALSE;
    }
    __try { /* the buffer may be a program's; what is wrong with it, the slow path says */
        Done = Fast->FastIoRead(File, Offset, Length, TRUE, Key, Buffer, &Request->Iosb, Request->Device);
    } __except (Request->Mode == KernelMode ? EXCEPTION_CONTINUE_SEARCH : EXCEPTION_EXECUTE_HANDLER) {
        Done = FALSE;
    }
    if (!Done) {
        return FALSE;
    }
    return Request->Iosb.Status == STATUS_SUCCESS || Request->Iosb.Status == STATUS_BUFFER_OVERFLOW ||
           Request->Iosb.Status == STATUS_END_OF_FILE;
}

/* The small parameters of a transfer, read once. */
typedef struct _IOP_TRANSFER {
    PLARGE_INTEGER Given; /* Place, or NULL: the caller gave no offset */
    LARGE_INTEGER Place;
    ULONG Key;
} IOP_TRANSFER, *PIOP_TRANSFER;

static NTSTATUS IopCaptureTransfer(PIOP_TRANSFER Transfer, PLARGE_INTEGER ByteOffset, PULONG Key)
{
    NTSTATUS Status = STATUS_SUCCESS;

    Transfer->Given = ByteOffset == NULL ? NULL : &Transfer->Place;
    Transfer->Key = 0;
    if (ByteOffset != NULL) {
        Status = ExCopyFromCaller(&Transfer->Place, ByteOffset, sizeof(Transfer->Place));
    }
    if (NT_SUCCESS(Status) && Key != NULL) {
        Status = ExCopyFromCaller(&Transfer->Key, Key, sizeof(Transfer->Key));
    }
    return Status;
}

NTSTATUS NTAPI NtReadFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                          PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer, ULONG Length, PLARGE_INTEGER ByteOffset,
                          PULONG Key)
{
    IOP_TRANSFER Transfer;
    LARGE_INTEGER Offset;
    IOP_REQUEST Request;
    NTSTATUS Status = IopCaptureTransfer(&Transfer, ByteOffset, Key);

    if (NT_SUCCESS(Status)) {
        Status = IopOpenRequest(&Request, FileHandle, Event, FILE_READ_DATA, IoStatusBlock, FALSE);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = IopSetCompletion(&Request, ApcRoutine, ApcContext);
    if (!NT_SUCCESS(Status)) {
        return IopFailRequest(&Request, Status);
    }
    if (!IopTransferOffset(Request.File, Transfer.Given, FALSE, &Offset) ||
        !IopIsAligned(&Request, Buffer, Length, &Offset)) {
        return IopFailRequest(&Request, STATUS_INVALID_PARAMETER);
    }
    if (IopFastRead(&Request, Buffer, Length, &Offset, Transfer.Key)) {
        return IopFinishAnswered(&Request, Request.Iosb.Status, Request.Iosb.Information);
    }
    Status = IopAllocateRequestIrp(&Request, IRP_MJ_READ, IRP_MN_NORMAL);
    if (NT_SUCCESS(Status)) {
        Status = IopTransferBuffer(&Request, Buffer, Length, FALSE);
    }
    if (!NT_SUCCESS(Status)) {
        return IopFailRequest(&Request, Status);
    }
    Request.Irp->Flags |= IRP_READ_OPERATION | IRP_DEFER_IO_COMPLETION;
    Request.Irp->Flags |= ((Request.File->Flags & FO_NO_INTERMEDIATE_BUFFERING) != 0) ? IRP_NOCACHE : 0;
    Request.Stack->Parameters.Read.Length = Length;
    Request.Stack->Parameters.Read.Key = Transfer.Key;
    Request.Stack->Parameters.Read.ByteOffset = Offset;
    return IopIssueRequest(&Request);
}

NTSTATUS NTAPI NtWriteFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                           PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer, ULONG Length, PLARGE_INTEGER ByteOffset,
                           PULONG Key)
{
    IOP_TRANSFER Transfer;
    LARGE_INTEGER Offset;
    IOP_REQUEST Request;
    NTSTATUS Status = IopCaptureTransfer(&Transfer, ByteOffset, Key);

    if (NT_SUCCESS(Status)) {
        Status = IopOpenRequest(&Request, FileHandle, Event, FILE_WRITE_DATA, IoStatusBlock, FALSE);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = IopSetCompletion(&Request, ApcRoutine, ApcContext);
    if (!NT_SUCCESS(Status)) {
        return IopFailRequest(&Request, Status);
    }
    if (!IopTransferOffset(Request.File, Transfer.Given, TRUE, &Offset) ||
        !IopIsAligned(&Request, Buffer, Length, &Offset)) {
        return IopFailRequest(&Request, STATUS_INVALID_PARAMETER);
    }
    Status = IopAllocateRequestIrp(&Request, IRP_MJ_WRITE, IRP_MN_NORMAL);
    if (NT_SUCCESS(Status)) {
        Status = IopTransferBuffer(&Request, Buffer, Length, TRUE);
    }
    if (!NT_SUCCESS(Status)) {
        return IopFailRequest(&Request, Status);
    }
    Request.Irp->Flags |= IRP_WRITE_OPERATION | IRP_DEFER_IO_COMPLETION;
    Request.Irp->Flags |= ((Request.File->Flags & FO_NO_INTERMEDIATE_BUFFERING) != 0) ? IRP_NOCACHE : 0;
    Request.Stack->Flags = ((Request.File->Flags & FO_WRITE_THROUGH) != 0) ? SL_WRITE_THROUGH : 0;
    Request.Stack->Parameters.Write.Length = Length;
    Request.Stack->Parameters.Write.Key = Transfer.Key;
    Request.Stack->Parameters.Write.ByteOffset = Offset;
    return IopIssueRequest(&Request);
}

NTSTATUS NTAPI NtFlushBuffersFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock)
{
    IOP_REQUEST Request;
    NTSTATUS Status = IopOpenRequest(&Request, FileHandle, NULL, 0, IoStatusBlock, TRUE);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = IopAllocateRequestIrp(&Request, IRP_MJ_FLUSH_BUFFERS, 0);
    return NT_SUCCESS(Status) ? IopIssueRequest(&Request) : IopFailRequest(&Request, Status);
}
