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

/* A service's parameters; behind them what was read of the caller's small ones, once. */
typedef struct _IOP_TRANSFER {
    BOOLEAN Write;
    PIO_APC_ROUTINE ApcRoutine;
    PVOID ApcContext;
    PVOID Buffer;
    ULONG Length; /* bytes */
    ULONG Key;
    LARGE_INTEGER Offset;
} IOP_TRANSFER, *PIOP_TRANSFER;

/* The offset a transfer starts at. Returns FALSE if the caller has to give one and did not, or gave a negative one. */
static BOOLEAN IopTransferOffset(PFILE_OBJECT File, PLARGE_INTEGER Given, PIOP_TRANSFER Transfer)
{
    BOOLEAN UsePosition = Given == NULL || (Given->LowPart == FILE_USE_FILE_POINTER_POSITION && Given->HighPart == -1);

    if (!UsePosition) {
        Transfer->Offset = *Given;
        return Given->QuadPart >= 0 ||
               (Transfer->Write && Given->LowPart == FILE_WRITE_TO_END_OF_FILE && Given->HighPart == -1);
    }
    if ((File->Flags & FO_SYNCHRONOUS_IO) == 0) {
        if ((File->DeviceObject->Vpb == NULL || (File->Flags & FO_DIRECT_DEVICE_OPEN) != 0) && Given == NULL) {
            Transfer->Offset.QuadPart = 0; /* a device without positions */
            return TRUE;
        }
        return FALSE;
    }
    Transfer->Offset = File->CurrentByteOffset;
    return TRUE;
}

/* Unbuffered transfers are whole sectors at aligned places. */
static BOOLEAN IopIsAligned(PIOP_REQUEST Request, PIOP_TRANSFER Transfer)
{
    ULONG Sector = Request->Device->SectorSize;

    if ((Request->File->Flags & FO_NO_INTERMEDIATE_BUFFERING) == 0 || Sector == 0) {
        return TRUE;
    }
    return (Transfer->Length & (Sector - 1)) == 0 &&
           ((ULONG_PTR)Transfer->Buffer & Request->Device->AlignmentRequirement) == 0 &&
           (Transfer->Offset.QuadPart < 0 || (Transfer->Offset.QuadPart & (Sector - 1)) == 0);
}

/* The driver's fast path: TRUE if it did the read. */
static BOOLEAN IopFastRead(PIOP_REQUEST Request, PIOP_TRANSFER Transfer)
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
        Done = Fast->FastIoRead(File, &Transfer->Offset, Transfer->Length, TRUE, Transfer->Key, Transfer->Buffer,
                                &Request->Iosb, Request->Device);
    } __except (Request->Mode == KernelMode ? EXCEPTION_CONTINUE_SEARCH : EXCEPTION_EXECUTE_HANDLER) {
        Done = FALSE;
    }
    if (!Done) {
        return FALSE;
    }
    return Request->Iosb.Status == STATUS_SUCCESS || Request->Iosb.Status == STATUS_BUFFER_OVERFLOW ||
           Request->Iosb.Status == STATUS_END_OF_FILE;
}

/* Offset and key, checked; the request's APC. On error the request is over. */
static NTSTATUS IopBeginTransfer(PIOP_REQUEST Request, PIOP_TRANSFER Transfer, PLARGE_INTEGER Given)
{
    NTSTATUS Status = IopSetCompletion(Request, Transfer->ApcRoutine, Transfer->ApcContext);

    if (!NT_SUCCESS(Status)) {
        return IopFailRequest(Request, Status);
    }
    if (!IopTransferOffset(Request->File, Given, Transfer) || !IopIsAligned(Request, Transfer)) {
        return IopFailRequest(Request, STATUS_INVALID_PARAMETER);
    }
    return STATUS_SUCCESS;
}

/* By IRP. IRP_MJ_READ and IRP_MJ_WRITE have parameters of one layout (page.c asserts it). */
static NTSTATUS IopSendTransfer(PIOP_REQUEST Request, PIOP_TRANSFER Transfer)
{
    ULONG Flags = Request->File->Flags;
    NTSTATUS Status = IopAllocateRequestIrp(Request, Transfer->Write ? IRP_MJ_WRITE : IRP_MJ_READ, IRP_MN_NORMAL);

    if (NT_SUCCESS(Status)) {
        Status = IopTransferBuffer(Request, Transfer->Buffer, Transfer->Length, Transfer->Write);
    }
    if (!NT_SUCCESS(Status)) {
        return IopFailRequest(Request, Status);
    }
    Request->Irp->Flags |= (Transfer->Write ? IRP_WRITE_OPERATION : IRP_READ_OPERATION) | IRP_DEFER_IO_COMPLETION |
                           ((Flags & FO_NO_INTERMEDIATE_BUFFERING) != 0 ? IRP_NOCACHE : 0);
    Request->Stack->Flags = Transfer->Write && (Flags & FO_WRITE_THROUGH) != 0 ? SL_WRITE_THROUGH : 0;
    Request->Stack->Parameters.Read.Length = Transfer->Length;
    Request->Stack->Parameters.Read.Key = Transfer->Key;
    Request->Stack->Parameters.Read.ByteOffset = Transfer->Offset;
    return IopIssueRequest(Request);
}

/* The whole of both services. */
static NTSTATUS IopTransfer(PIOP_TRANSFER Transfer, HANDLE FileHandle, HANDLE Event, PIO_STATUS_BLOCK IoStatusBlock,
                            PLARGE_INTEGER ByteOffset, PULONG Key)
{
    LARGE_INTEGER Given = {.QuadPart = 0};
    IOP_REQUEST Request;
    NTSTATUS Status = STATUS_SUCCESS;

    if (ByteOffset != NULL) {
        Status = ExCopyFromCaller(&Given, ByteOffset, sizeof(Given));
    }
    if (NT_SUCCESS(Status) && Key != NULL) {
        Status = ExCopyFromCaller(&Transfer->Key, Key, sizeof(Transfer->Key));
    }
    if (NT_SUCCESS(Status)) {
        Status = IopOpenRequest(&Request, FileHandle, Event, Transfer->Write ? FILE_WRITE_DATA : FILE_READ_DATA,
                                IoStatusBlock, FALSE);
    }
    if (NT_SUCCESS(Status)) {
        Status = IopBeginTransfer(&Request, Transfer, ByteOffset == NULL ? NULL : &Given);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (!Transfer->Write && IopFastRead(&Request, Transfer)) {
        IopCountRequest(IRP_READ_OPERATION, Request.Iosb.Information);
        return IopFinishAnswered(&Request, Request.Iosb.Status, Request.Iosb.Information);
    }
    return IopSendTransfer(&Request, Transfer);
}

NTSTATUS NTAPI NtReadFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                          PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer, ULONG Length, PLARGE_INTEGER ByteOffset,
                          PULONG Key)
{
    IOP_TRANSFER Transfer = {.ApcRoutine = ApcRoutine, .ApcContext = ApcContext, .Buffer = Buffer, .Length = Length};

    return IopTransfer(&Transfer, FileHandle, Event, IoStatusBlock, ByteOffset, Key);
}

NTSTATUS NTAPI NtWriteFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                           PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer, ULONG Length, PLARGE_INTEGER ByteOffset,
                           PULONG Key)
{
    IOP_TRANSFER Transfer = {
        .Write = TRUE, .ApcRoutine = ApcRoutine, .ApcContext = ApcContext, .Buffer = Buffer, .Length = Length};

    return IopTransfer(&Transfer, FileHandle, Event, IoStatusBlock, ByteOffset, Key);
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
