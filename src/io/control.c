/*
 * control.c - directory queries and control requests.
 *
 * A control code carries its transfer method in its low two bits: buffered (one system buffer for both directions),
 * direct (input in a system buffer, output locked by an MDL), neither (the caller's addresses as they are). A directory query hands the buffer over
 * in the form the file system's device asks for. Source: WDK documentation of ZwDeviceIoControlFile, ZwFsControlFile,
 * ZwQueryDirectoryFile. IRQL: PASSIVE_LEVEL.
 */
#include <ntos/services.h>
#include <ntos/user.h>

#include "iop.h"

/* Buffers of a control request, by its method. */
static NTSTATUS IopControlBuffers(PIOP_REQUEST Request, ULONG Code, PVOID Input, ULONG InputLength, PVOID Output,
                                  ULONG OutputLength)
{
    ULONG Method = Code & 3;
    NTSTATUS Status;

    if (Method == METHOD_BUFFERED) {
        return IopSystemBuffer(Request, Input, InputLength, Output, OutputLength);
    }
    if (Method == METHOD_NEITHER) {
        Request->Irp->UserBuffer = Output;
        Request->Stack->Parameters.DeviceIoControl.Type3InputBuffer = Input;
        return STATUS_SUCCESS;
    }
    Status = IopSystemBuffer(Request, Input, InputLength, NULL, 0);
    if (NT_SUCCESS(Status)) {
        Status =
            IopLockBuffer(Request, Output, OutputLength, (Method == METHOD_IN_DIRECT) ? IoReadAccess : IoWriteAccess);
    }
    return Status;
}

/* Rights that bits 14 and 15 of the code ask for. */
static ACCESS_MASK IopControlAccess(ULONG Code)
{
    ULONG Bits = (Code >> 14) & 3;

    return (((Bits & FILE_READ_ACCESS) != 0) ? FILE_READ_DATA : 0) |
           (((Bits & FILE_WRITE_ACCESS) != 0) ? FILE_WRITE_DATA : 0);
}

static NTSTATUS IopControlFile(UCHAR MajorFunction, HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine,
                               PVOID ApcContext, PIO_STATUS_BLOCK IoStatusBlock, ULONG Code, PVOID Input,
                               ULONG InputLength, PVOID Output, ULONG OutputLength)
{
    IOP_REQUEST Request;
    NTSTATUS Status;

    Status = IopOpenRequest(&Request, FileHandle, Event, IopControlAccess(Code), IoStatusBlock, FALSE);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = IopSetCompletion(&Request, ApcRoutine, ApcContext);
    if (NT_SUCCESS(Status)) {
        Status = IopAllocateRequestIrp(&Request, MajorFunction, IRP_MN_USER_FS_REQUEST);
    }
    if (NT_SUCCESS(Status)) {
        Status = IopControlBuffers(&Request, Code, Input, InputLength, Output, OutputLength);
    }
    if (!NT_SUCCESS(Status)) {
        return IopFailRequest(&Request, Status);
    }
    Request.Stack->Parameters.DeviceIoControl.IoControlCode = Code; /* FileSystemControl has the same layout */
    Request.Stack->Parameters.DeviceIoControl.InputBufferLength = InputLength;
    Request.Stack->Parameters.DeviceIoControl.OutputBufferLength = OutputLength;
    return IopIssueRequest(&Request);
}

NTSTATUS NTAPI NtDeviceIoControlFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                                     PIO_STATUS_BLOCK IoStatusBlock, ULONG IoControlCode, PVOID InputBuffer,
                                     ULONG InputBufferLength, PVOID OutputBuffer, ULONG OutputBufferLength)
{
    return IopControlFile(IRP_MJ_DEVICE_CONTROL, FileHandle, Event, ApcRoutine, ApcContext, IoStatusBlock,
                          IoControlCode, InputBuffer, InputBufferLength, OutputBuffer, OutputBufferLength);
}

NTSTATUS NTAPI NtFsControlFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                               PIO_STATUS_BLOCK IoStatusBlock, ULONG FsControlCode, PVOID InputBuffer,
                               ULONG InputBufferLength, PVOID OutputBuffer, ULONG OutputBufferLength)
{
    return IopControlFile(IRP_MJ_FILE_SYSTEM_CONTROL, FileHandle, Event, ApcRoutine, ApcContext, IoStatusBlock,
                          FsControlCode, InputBuffer, InputBufferLength, OutputBuffer, OutputBufferLength);
}

/* The pattern of a directory query, kept with the IRP. */
static NTSTATUS IopCopyPattern(PIOP_REQUEST Request, PCUNICODE_STRING Pattern)
{
    PUNICODE_STRING Copy;

    if (Pattern == NULL || Pattern->Length == 0) {
        return STATUS_SUCCESS;
    }
    Copy = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Copy) + Pattern->Length, IOP_TAG_BUFFER);
    if (Copy == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Copy->Buffer = (PWCHAR)(Copy + 1);
    Copy->Length = Copy->MaximumLength = Pattern->Length;
    RtlCopyMemory(Copy->Buffer, Pattern->Buffer, Pattern->Length);
    Request->Irp->Tail.Overlay.AuxiliaryBuffer = (PCHAR)Copy;
    Request->Stack->Parameters.QueryDirectory.FileName = Copy;
    return STATUS_SUCCESS;
}

static BOOLEAN IopIsDirectoryClass(FILE_INFORMATION_CLASS Class)
{
    return Class == FileDirectoryInformation || Class == FileFullDirectoryInformation ||
           Class == FileBothDirectoryInformation || Class == FileNamesInformation ||
           Class == FileIdBothDirectoryInformation || Class == FileIdFullDirectoryInformation;
}

NTSTATUS NTAPI NtQueryDirectoryFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                                    PIO_STATUS_BLOCK IoStatusBlock, PVOID FileInformation, ULONG Length,
                                    FILE_INFORMATION_CLASS FileInformationClass, BOOLEAN ReturnSingleEntry,
                                    PUNICODE_STRING FileName, BOOLEAN RestartScan)
{
    UNICODE_STRING Pattern;
    IOP_REQUEST Request;
    NTSTATUS Status;

    if (!IopIsDirectoryClass(FileInformationClass)) {
        return STATUS_INVALID_INFO_CLASS;
    }
    Status = ExCaptureString(&Pattern, FileName);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = IopOpenRequest(&Request, FileHandle, Event, FILE_LIST_DIRECTORY, IoStatusBlock, FALSE);
    if (!NT_SUCCESS(Status)) {
        ExFreeCapturedString(&Pattern);
        return Status;
    }
    Status = IopSetCompletion(&Request, ApcRoutine, ApcContext);
    if (NT_SUCCESS(Status)) {
        Status = IopAllocateRequestIrp(&Request, IRP_MJ_DIRECTORY_CONTROL, IRP_MN_QUERY_DIRECTORY);
    }
    if (NT_SUCCESS(Status)) {
        Status = IopCopyPattern(&Request, &Pattern);
    }
    ExFreeCapturedString(&Pattern);
    if (NT_SUCCESS(Status)) {
        Status = IopTransferBuffer(&Request, FileInformation, Length, FALSE);
    }
    if (!NT_SUCCESS(Status)) {
        return IopFailRequest(&Request, Status);
    }
    Request.Stack->Flags =
        (UCHAR)((RestartScan ? SL_RESTART_SCAN : 0) | (ReturnSingleEntry ? SL_RETURN_SINGLE_ENTRY : 0));
    Request.Stack->Parameters.QueryDirectory.Length = Length;
    Request.Stack->Parameters.QueryDirectory.FileInformationClass = FileInformationClass;
    return IopIssueRequest(&Request);
}

/**
 * NtNotifyChangeDirectoryFile - waits for a change in a directory.
 *
 * @CompletionFilter  FILE_NOTIFY_CHANGE_*
 * returns            what the file system says, of which none here knows changes (STATUS_INVALID_DEVICE_REQUEST, STATUS_NOT_SUPPORTED);
 *                    STATUS_INVALID_PARAMETER: no filter
 *
 * IRQL: PASSIVE_LEVEL. Source: documentation of ReadDirectoryChangesW.
 */
NTSTATUS NTAPI NtNotifyChangeDirectoryFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine,
                                           PVOID ApcContext, PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer, ULONG Length,
                                           ULONG CompletionFilter, BOOLEAN WatchTree)
{
    IOP_REQUEST Request;
    NTSTATUS Status;

    if (CompletionFilter == 0 || (CompletionFilter & ~FILE_NOTIFY_VALID_MASK) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    Status = IopOpenRequest(&Request, FileHandle, Event, FILE_LIST_DIRECTORY, IoStatusBlock, FALSE);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = IopSetCompletion(&Request, ApcRoutine, ApcContext);
    if (NT_SUCCESS(Status)) {
        Status = IopAllocateRequestIrp(&Request, IRP_MJ_DIRECTORY_CONTROL, IRP_MN_NOTIFY_CHANGE_DIRECTORY);
    }
    if (NT_SUCCESS(Status)) {
        Status = IopTransferBuffer(&Request, Buffer, Length, FALSE);
    }
    if (!NT_SUCCESS(Status)) {
        return IopFailRequest(&Request, Status);
    }
    Request.Stack->Flags = WatchTree ? SL_WATCH_TREE : 0;
    Request.Stack->Parameters.NotifyDirectory.Length = Length;
    Request.Stack->Parameters.NotifyDirectory.CompletionFilter = CompletionFilter;
    return IopIssueRequest(&Request);
}
