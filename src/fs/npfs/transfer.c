/*
 * transfer.c - reading, writing, flushing, peeking and transceiving.
 *
 * Each looks at the state under the instance's spin lock and does its work there; the state decides the status:
 *
 *                  reading                                writing
 *     listening    STATUS_PIPE_LISTENING                  STATUS_PIPE_LISTENING
 *     connected    data, or waits                         room, or waits
 *     closing      what is left, then STATUS_PIPE_BROKEN  STATUS_PIPE_CLOSING
 *     disconnected, or a detached client: STATUS_PIPE_DISCONNECTED
 *
 * An end that is not for reading or writing is STATUS_INVALID_PARAMETER. Buffers are the I/O manager's system buffers; a transceive
 * has its own, since its control code has the caller's addresses. IRQL: PASSIVE_LEVEL.
 * Source: documentation of ReadFile, WriteFile, PeekNamedPipe, TransactNamedPipe; [MS-FSA] 2.1.5.
 */
#include "np.h"

/* May an end read, or write? By the pipe's direction. */
static BOOLEAN NpMayTransfer(PNP_END End, BOOLEAN Write)
{
    ULONG Configuration = End->Instance->Pipe->Configuration;
    BOOLEAN Inbound = (End->Side == FILE_PIPE_CLIENT_END) == (Write != FALSE);

    return Configuration == FILE_PIPE_FULL_DUPLEX || (Configuration == FILE_PIPE_INBOUND) == Inbound;
}

/* What the state says of any transfer; STATUS_SUCCESS: connected or closing. Spin lock held. */
static NTSTATUS NpTransferState(PNP_END End)
{
    if (End->Detached || End->Instance->State == FILE_PIPE_DISCONNECTED_STATE) {
        return STATUS_PIPE_DISCONNECTED;
    }
    return (End->Instance->State == FILE_PIPE_LISTENING_STATE) ? STATUS_PIPE_LISTENING : STATUS_SUCCESS;
}

static NTSTATUS NpReadLocked(PNP_END End, PIRP Irp, PVOID Buffer, ULONG Length, PULONG Got, PLIST_ENTRY Done)
{
    PNP_QUEUE Queue = NpReadQueue(End);
    NTSTATUS Status = NpTransferState(End);

    *Got = 0;
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = NpGet(Queue, End->ReadMode == FILE_PIPE_MESSAGE_MODE, Buffer, Length, Got, Done);
    if (Status != STATUS_PIPE_EMPTY) {
        return Status;
    }
    if (End->Instance->State == FILE_PIPE_CLOSING_STATE) {
        return STATUS_PIPE_BROKEN;
    }
    return (End->CompletionMode == FILE_PIPE_COMPLETE_OPERATION)
               ? STATUS_PIPE_EMPTY
               : NpPend(End->Instance, &Queue->Readers, Irp, Buffer, Length, Done);
}

/**
 * NpRead - IRP_MJ_READ.
 *
 * Errors: by the state; STATUS_PIPE_EMPTY (an end that does not wait), STATUS_BUFFER_OVERFLOW (a part of a message),
 * STATUS_INVALID_PARAMETER.
 */
NTSTATUS NpRead(PIRP Irp, PIO_STACK_LOCATION Stack)
{
    PNP_END End = NpEndOf(Stack->FileObject);
    LIST_ENTRY Done;
    ULONG Got;
    NTSTATUS Status;
    KIRQL Irql;

    if (End == NULL || !NpMayTransfer(End, FALSE)) {
        return NpComplete(Irp, STATUS_INVALID_PARAMETER, 0);
    }
    InitializeListHead(&Done);
    KeAcquireSpinLock(&End->Instance->Lock, &Irql);
    Status = NpReadLocked(End, Irp, Irp->AssociatedIrp.SystemBuffer, Stack->Parameters.Read.Length, &Got, &Done);
    KeReleaseSpinLock(&End->Instance->Lock, Irql);
    NpCompleteAll(&Done);
    return (Status == STATUS_PENDING) ? Status : NpComplete(Irp, Status, Got);
}

static NTSTATUS NpWriteLocked(PNP_END End, PIRP Irp, const UCHAR *Data, ULONG Length, ULONG How, PULONG Put,
                              PLIST_ENTRY Done)
{
    NTSTATUS Status = NpTransferState(End);

    *Put = 0;
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (End->Instance->State == FILE_PIPE_CLOSING_STATE) {
        return STATUS_PIPE_CLOSING;
    }
    return NpPut(End, Irp, Data, Length, How, Put, Done);
}

/**
 * NpWrite - IRP_MJ_WRITE.
 *
 * An end that does not wait writes what bytes there is room for, and of a message all or nothing: Information tells.
 * Errors: by the state; STATUS_INVALID_PARAMETER, STATUS_INSUFFICIENT_RESOURCES.
 */
NTSTATUS NpWrite(PIRP Irp, PIO_STACK_LOCATION Stack)
{
    PNP_END End = NpEndOf(Stack->FileObject);
    LIST_ENTRY Done;
    ULONG Put, How;
    NTSTATUS Status;
    KIRQL Irql;

    if (End == NULL || !NpMayTransfer(End, TRUE)) {
        return NpComplete(Irp, STATUS_INVALID_PARAMETER, 0);
    }
    InitializeListHead(&Done);
    KeAcquireSpinLock(&End->Instance->Lock, &Irql);
    How = (End->CompletionMode == FILE_PIPE_COMPLETE_OPERATION) ? NP_PUT_PART : NP_PUT_WAIT;
    Status = NpWriteLocked(End, Irp, Irp->AssociatedIrp.SystemBuffer, Stack->Parameters.Write.Length, How, &Put, &Done);
    KeReleaseSpinLock(&End->Instance->Lock, Irql);
    NpCompleteAll(&Done);
    return (Status == STATUS_PENDING) ? Status : NpComplete(Irp, Status, Put);
}

/* IRP_MJ_FLUSH_BUFFERS: waits until the other end has read everything. */
NTSTATUS NpFlush(PIRP Irp, PIO_STACK_LOCATION Stack)
{
    PNP_END End = NpEndOf(Stack->FileObject);
    LIST_ENTRY Done;
    NTSTATUS Status;
    KIRQL Irql;

    if (End == NULL) {
        return NpComplete(Irp, STATUS_SUCCESS, 0);
    }
    InitializeListHead(&Done);
    KeAcquireSpinLock(&End->Instance->Lock, &Irql);
    Status = NpTransferState(End);
    if (NT_SUCCESS(Status)) {
        Status = (End->Instance->State == FILE_PIPE_CLOSING_STATE) ? STATUS_PIPE_CLOSING : NpPutFlush(End, Irp, &Done);
    }
    KeReleaseSpinLock(&End->Instance->Lock, Irql);
    NpCompleteAll(&Done);
    return (Status == STATUS_PENDING) ? Status : NpComplete(Irp, Status, 0);
}

/* ---- FSCTL_PIPE_PEEK ---- */

/* Copies without taking away: of a message pipe the first message, else the bytes of all entries. */
static ULONG NpCopyAhead(PNP_QUEUE Queue, BOOLEAN Messages, PUCHAR Data, ULONG Room)
{
    ULONG Copied = 0;

    for (PLIST_ENTRY Link = Queue->Entries.Flink; Link != &Queue->Entries && Copied < Room; Link = Link->Flink) {
        PNP_ENTRY Entry = CONTAINING_RECORD(Link, NP_ENTRY, Link);
        ULONG Part = min(Entry->Length - Entry->Offset, Room - Copied);

        if (!Entry->Flush && (Entry->Irp == NULL || Entry->Irp->CancelRoutine != NULL)) {
            RtlCopyMemory(Data + Copied, Entry->Data + Entry->Offset, Part);
            Copied += Part;
            if (Messages) {
                break;
            }
        }
    }
    return Copied;
}

static ULONG NpCountMessages(PNP_QUEUE Queue)
{
    ULONG Count = 0;

    for (PLIST_ENTRY Link = Queue->Entries.Flink; Link != &Queue->Entries; Link = Link->Flink) {
        Count += CONTAINING_RECORD(Link, NP_ENTRY, Link)->Flush ? 0 : 1;
    }
    return Count;
}

static NTSTATUS NpPeekLocked(PNP_END End, PFILE_PIPE_PEEK_BUFFER Info, ULONG Length, PULONG Used)
{
    PNP_QUEUE Queue = NpReadQueue(End);
    PNP_ENTRY First = NpFirstData(Queue);
    BOOLEAN Messages = End->Instance->Pipe->Type == FILE_PIPE_MESSAGE_TYPE;
    ULONG Whole;
    NTSTATUS Status = NpTransferState(End);

    if (!NT_SUCCESS(Status)) {
        return Status == STATUS_PIPE_LISTENING ? STATUS_INVALID_PIPE_STATE : Status;
    }
    if (First == NULL && End->Instance->State == FILE_PIPE_CLOSING_STATE) {
        return STATUS_PIPE_BROKEN;
    }
    Info->NamedPipeState = End->Instance->State;
    Info->ReadDataAvailable = Queue->Bytes;
    Info->NumberOfMessages = Messages ? NpCountMessages(Queue) : 0;
    Info->MessageLength = (Messages && First != NULL) ? First->Length - First->Offset : 0;
    Whole = Messages ? Info->MessageLength : Queue->Bytes;
    *Used = NpCopyAhead(Queue, Messages, (PUCHAR)Info->Data, Length - FIELD_OFFSET(FILE_PIPE_PEEK_BUFFER, Data));
    Status = (*Used < Whole) ? STATUS_BUFFER_OVERFLOW : STATUS_SUCCESS;
    *Used += FIELD_OFFSET(FILE_PIPE_PEEK_BUFFER, Data);
    return Status;
}

/**
 * NpPeek - FSCTL_PIPE_PEEK.
 *
 * Errors: STATUS_BUFFER_OVERFLOW (there is more than fits), STATUS_INVALID_PIPE_STATE (listening), STATUS_PIPE_BROKEN,
 * STATUS_PIPE_DISCONNECTED, STATUS_INVALID_PARAMETER (no room for the fixed part, or an end that does not read).
 */
NTSTATUS NpPeek(PIRP Irp, PIO_STACK_LOCATION Stack)
{
    PNP_END End = NpEndOf(Stack->FileObject);
    ULONG Length = Stack->Parameters.FileSystemControl.OutputBufferLength, Used = 0;
    NTSTATUS Status;
    KIRQL Irql;

    if (End == NULL || !NpMayTransfer(End, FALSE) || Length < FIELD_OFFSET(FILE_PIPE_PEEK_BUFFER, Data)) {
        return NpComplete(Irp, STATUS_INVALID_PARAMETER, 0);
    }
    KeAcquireSpinLock(&End->Instance->Lock, &Irql);
    Status = NpPeekLocked(End, Irp->AssociatedIrp.SystemBuffer, Length, &Used);
    KeReleaseSpinLock(&End->Instance->Lock, Irql);
    return NpComplete(Irp, Status, Used);
}

/* ---- FSCTL_PIPE_TRANSCEIVE ---- */

/* The caller's pages for the time of a request, mapped. Length 0: *Mdl and *Address are NULL. */
static NTSTATUS NpLockCaller(PVOID Buffer, ULONG Length, KPROCESSOR_MODE Mode, LOCK_OPERATION Operation, PMDL *Mdl,
                             PVOID *Address)
{
    NTSTATUS Status = STATUS_SUCCESS;

    *Mdl = NULL;
    *Address = NULL;
    if (Length == 0) {
        return STATUS_SUCCESS;
    }
    *Mdl = IoAllocateMdl(Buffer, Length, FALSE, FALSE, NULL);
    if (*Mdl == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    __try {
        MmProbeAndLockPages(*Mdl, Mode, Operation);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Status = GetExceptionCode();
    }
    if (!NT_SUCCESS(Status)) {
        IoFreeMdl(*Mdl);
        *Mdl = NULL;
        return Status;
    }
    *Address = MmGetSystemAddressForMdlSafe(*Mdl, NormalPagePriority);
    if (*Address == NULL) {
        MmUnlockPages(*Mdl);
        IoFreeMdl(*Mdl);
        *Mdl = NULL;
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    return STATUS_SUCCESS;
}

/* Writes the message and begins to read the answer. Spin lock held. */
static NTSTATUS NpTransceiveLocked(PNP_END End, PIRP Irp, const UCHAR *Data, ULONG Length, PVOID Buffer, ULONG Room,
                                   PULONG Got, PLIST_ENTRY Done)
{
    NTSTATUS Status = NpTransferState(End);
    ULONG Put;

    *Got = 0;
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (End->ReadMode != FILE_PIPE_MESSAGE_MODE) {
        return STATUS_INVALID_READ_MODE;
    }
    if (NpFirstData(NpReadQueue(End)) != NULL) {
        return STATUS_PIPE_BUSY;
    }
    Status = NpWriteLocked(End, NULL, Data, Length, NP_PUT_FORCE, &Put, Done);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    return NpPend(End->Instance, &NpReadQueue(End)->Readers, Irp, Buffer, Room, Done);
}

/**
 * NpTransceive - FSCTL_PIPE_TRANSCEIVE: writes one message and reads one.
 *
 * Errors: by the state; STATUS_INVALID_READ_MODE (not by messages), STATUS_PIPE_BUSY (something is to be read already),
 * STATUS_INVALID_PARAMETER (no duplex pipe), STATUS_BUFFER_OVERFLOW, what the caller's buffers say.
 */
NTSTATUS NpTransceive(PIRP Irp, PIO_STACK_LOCATION Stack)
{
    PNP_END End = NpEndOf(Stack->FileObject);
    ULONG Length = Stack->Parameters.FileSystemControl.InputBufferLength, Got = 0;
    ULONG Room = Stack->Parameters.FileSystemControl.OutputBufferLength;
    PMDL InputMdl, OutputMdl;
    PVOID Input, Output;
    LIST_ENTRY Done;
    NTSTATUS Status;
    KIRQL Irql;

    if (End == NULL || End->Instance->Pipe->Configuration != FILE_PIPE_FULL_DUPLEX) {
        return NpComplete(Irp, STATUS_INVALID_PARAMETER, 0);
    }
    Status = NpLockCaller(Stack->Parameters.FileSystemControl.Type3InputBuffer, Length, Irp->RequestorMode,
                          IoReadAccess, &InputMdl, &Input);
    if (!NT_SUCCESS(Status)) {
        return NpComplete(Irp, Status, 0);
    }
    InitializeListHead(&Done);
    Status = NpLockCaller(Irp->UserBuffer, Room, Irp->RequestorMode, IoWriteAccess, &OutputMdl, &Output);
    if (NT_SUCCESS(Status)) {
        Irp->MdlAddress = OutputMdl; /* unlocked and freed with the IRP */
        KeAcquireSpinLock(&End->Instance->Lock, &Irql);
        Status = NpTransceiveLocked(End, Irp, Input, Length, Output, Room, &Got, &Done);
        KeReleaseSpinLock(&End->Instance->Lock, Irql);
    }
    if (InputMdl != NULL) {
        MmUnlockPages(InputMdl);
        IoFreeMdl(InputMdl);
    }
    NpCompleteAll(&Done);
    return (Status == STATUS_PENDING) ? Status : NpComplete(Irp, Status, Got);
}
