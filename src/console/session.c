/*
 * session.c - the console in the hands of programs: the session manager is started, and commands of the kernel are run for programs.
 *
 * The console's thread starts \SystemRoot\System\smss.exe and then does what programs ask by IOCTL_CONSOLE_KERNEL_COMMAND, one request after the other, in
 * the system process as ever. The caller's thread waits for its IRP, which cannot be cancelled: a command of the kernel runs to its end. When the
 * session manager ends, requests that wait fail, and the kernel's own prompt opens.
 *
 * The output of a command goes to the console, or to a file of the caller's: then what this thread prints is gathered in a buffer and written
 * whenever the thread holds nothing (PASSIVE_LEVEL, APCs enabled). What is printed with more than the buffer's bytes in between is cut, and the output says
 * so. Other threads' output, and what interrupts and DPCs print, goes to the console as always.
 *
 * Lock: ConpInputLock guards the queue of requests.
 */
#include <ntos/condev.h>
#include <ntos/ke.h>
#include <ntos/ob.h>
#include <ntos/ps.h>
#include <ntos/se.h>
#include "consolep.h"

#define CON_DIVERT_BYTES 0x40000 /* the longest list that a command prints under a lock */

/* Where the running command's output goes. Console's thread only, but for what ConpDivert tests. */
typedef struct _CON_OUTPUT {
    HANDLE File;
    PCHAR Buffer;
    ULONG Used, Lost;
    BOOLEAN Writing, Failed;
    PKTHREAD Thread;
} CON_OUTPUT;

static CON_OUTPUT ConpOutput;
static LIST_ENTRY ConpRequests = {&ConpRequests,
                                  &ConpRequests}; /* IRPs; DriverContext[0]: the output's file object or NULL */
static BOOLEAN ConpServing;                       /* requests are taken */
static KEVENT ConpRequested;

/* ---- Output ---- */

static VOID ConpFlushOutput(VOID)
{
    IO_STATUS_BLOCK Io;
    ULONG Used = ConpOutput.Used;

    ConpOutput.Writing = TRUE; /* what the write itself prints goes to the console */
    if (Used != 0 && !ConpOutput.Failed) {
        NTSTATUS Status = ZwWriteFile(ConpOutput.File, NULL, NULL, NULL, &Io, ConpOutput.Buffer, Used, NULL, NULL);

        ConpOutput.Failed = !NT_SUCCESS(Status); /* a pipe that nobody reads any more: the command prints in vain */
    }
    ConpOutput.Used = 0;
    ConpOutput.Writing = FALSE;
}

/* KiPrintDivert, which no DPC gets to. At DISPATCH_LEVEL the thread may hold a spin lock: then the text is only kept. */
static BOOLEAN ConpDivert(const CHAR *Text, ULONG Length)
{
    if (KeGetCurrentIrql() > DISPATCH_LEVEL || KeGetCurrentThread() != ConpOutput.Thread || ConpOutput.Writing) {
        return FALSE;
    }
    if (ConpOutput.Used + Length > CON_DIVERT_BYTES) {
        ConpOutput.Lost += Length;
    } else {
        RtlCopyMemory(ConpOutput.Buffer + ConpOutput.Used, Text, Length);
        ConpOutput.Used += Length;
    }
    if (ConpOutput.Used > CON_DIVERT_BYTES / 4 && KeGetCurrentIrql() == PASSIVE_LEVEL && !KeAreApcsDisabled()) {
        ConpFlushOutput();
    }
    return TRUE;
}

static NTSTATUS ConpBeginOutput(PFILE_OBJECT File)
{
    NTSTATUS Status;

    RtlZeroMemory(&ConpOutput, sizeof(ConpOutput));
    ConpOutput.Buffer = ExAllocatePoolWithTag(NonPagedPool, CON_DIVERT_BYTES, CON_POOL_TAG);
    if (ConpOutput.Buffer == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Status = ObOpenObjectByPointer(File, OBJ_KERNEL_HANDLE, NULL, FILE_WRITE_DATA | SYNCHRONIZE, *IoFileObjectType,
                                   KernelMode, &ConpOutput.File);
    if (!NT_SUCCESS(Status)) {
        ExFreePoolWithTag(ConpOutput.Buffer, CON_POOL_TAG);
        return Status;
    }
    ConpOutput.Thread = KeGetCurrentThread();
    KiPrintDivert = ConpDivert;
    return STATUS_SUCCESS;
}

static VOID ConpEndOutput(VOID)
{
    if (ConpOutput.Lost != 0) {
        ULONG Lost = ConpOutput.Lost;

        ConpFlushOutput();
        ConPrint("[%lu bytes more were printed than fit]\n", Lost);
    }
    ConpFlushOutput();
    KiPrintDivert = NULL;
    ConpOutput.Thread = NULL;
    ZwClose(ConpOutput.File);
    ExFreePoolWithTag(ConpOutput.Buffer, CON_POOL_TAG);
}

/* ---- Requests ---- */

/* The line of a request; its length does not count the request's head. */
static PCSTR ConpRequestLine(PIRP Irp, PULONG Length)
{
    PCONSOLE_COMMAND_REQUEST Request = Irp->AssociatedIrp.SystemBuffer;

    *Length = IoGetCurrentIrpStackLocation(Irp)->Parameters.DeviceIoControl.InputBufferLength - sizeof(*Request);
    return (PCSTR)(Request + 1);
}

static NTSTATUS ConpCheckLine(PIRP Irp)
{
    ULONG Length, Start = 0, End;
    PCSTR Line = ConpRequestLine(Irp, &Length);

    if (Length >= CON_LINE_BYTES) {
        return STATUS_NAME_TOO_LONG;
    }
    for (ULONG Index = 0; Index < Length; Index++) {
        if (Line[Index] == 0) {
            return STATUS_INVALID_PARAMETER;
        }
    }
    while (Start < Length && Line[Start] == ' ') {
        Start++;
    }
    for (End = Start; End < Length && Line[End] != ' '; End++) {
    }
    return ConpIsCommand(Line + Start, End - Start) ? STATUS_SUCCESS : STATUS_OBJECT_NAME_NOT_FOUND;
}

/* The caller's rights to ask, and its file. */
static NTSTATUS ConpCheckRequest(PIRP Irp, PVOID *File)
{
    HANDLE Output = ((PCONSOLE_COMMAND_REQUEST)Irp->AssociatedIrp.SystemBuffer)->Output;
    NTSTATUS Status = ConpCheckLine(Irp);

    *File = NULL;
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (!SeSinglePrivilegeCheck(SeExports->SeDebugPrivilege, Irp->RequestorMode)) {
        return STATUS_PRIVILEGE_NOT_HELD;
    }
    return Output == NULL
               ? STATUS_SUCCESS
               : ObReferenceObjectByHandle(Output, FILE_WRITE_DATA, *IoFileObjectType, Irp->RequestorMode, File, NULL);
}

NTSTATUS ConpQueueCommand(PIRP Irp)
{
    PVOID File;
    NTSTATUS Status = ConpCheckRequest(Irp, &File);
    BOOLEAN Serving;
    KIRQL Irql;

    if (!NT_SUCCESS(Status)) {
        return ConpComplete(Irp, Status, 0);
    }
    Irp->Tail.Overlay.DriverContext[0] = File;
    KeAcquireSpinLock(&ConpInputLock, &Irql);
    Serving = ConpServing;
    if (Serving) {
        IoMarkIrpPending(Irp);
        InsertTailList(&ConpRequests, &Irp->Tail.Overlay.ListEntry);
        KeSetEvent(&ConpRequested, IO_NO_INCREMENT, FALSE);
    }
    KeReleaseSpinLock(&ConpInputLock, Irql);
    if (Serving) {
        return STATUS_PENDING;
    }
    if (File != NULL) {
        ObDereferenceObject(File);
    }
    return ConpComplete(Irp, STATUS_INVALID_DEVICE_STATE, 0);
}

static PIRP ConpNextRequest(BOOLEAN Serving)
{
    PIRP Irp = NULL;
    KIRQL Irql;

    KeAcquireSpinLock(&ConpInputLock, &Irql);
    ConpServing = Serving;
    if (!IsListEmpty(&ConpRequests)) {
        Irp = CONTAINING_RECORD(RemoveHeadList(&ConpRequests), IRP, Tail.Overlay.ListEntry);
    }
    KeReleaseSpinLock(&ConpInputLock, Irql);
    return Irp;
}

static NTSTATUS ConpRunCommand(PIRP Irp, PFILE_OBJECT File)
{
    static CHAR Line[CON_LINE_BYTES]; /* the console's thread only */
    ULONG Length;
    PCSTR Given = ConpRequestLine(Irp, &Length);
    NTSTATUS Status = File == NULL ? STATUS_SUCCESS : ConpBeginOutput(File);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    RtlCopyMemory(Line, Given, Length);
    Line[Length] = 0;
    ConpExecute(Line);
    if (File != NULL) {
        ConpEndOutput();
    }
    return STATUS_SUCCESS;
}

/* Runs what is asked for, or with Serving FALSE refuses it, until there is nothing more. */
static VOID ConpServeRequests(BOOLEAN Serving)
{
    PIRP Irp;

    while ((Irp = ConpNextRequest(Serving)) != NULL) {
        PFILE_OBJECT File = Irp->Tail.Overlay.DriverContext[0];
        NTSTATUS Status = Serving ? ConpRunCommand(Irp, File) : STATUS_INVALID_DEVICE_STATE;

        if (File != NULL) {
            ObDereferenceObject(File);
        }
        ConpComplete(Irp, Status, 0);
    }
}

/* ---- The session ---- */

VOID ConpRunSession(VOID)
{
    PEPROCESS Process;
    PVOID Objects[2];
    NTSTATUS Status;

    KeInitializeEvent(&ConpRequested, SynchronizationEvent, FALSE);
    ConpServeRequests(TRUE);
    Status = ConpStartProgram("smss", "smss", &Process);
    if (!NT_SUCCESS(Status)) {
        ConpPrintStatus("console", "the session manager does not start", Status);
        ConpServeRequests(FALSE);
        return;
    }
    Objects[0] = Process;
    Objects[1] = &ConpRequested;
    while (KeWaitForMultipleObjects(2, Objects, WaitAny, UserRequest, KernelMode, FALSE, NULL, NULL) != STATUS_WAIT_0) {
        ConpServeRequests(TRUE);
    }
    ConpServeRequests(FALSE);
    ConpSetForeground(NULL, NULL);
    ConpPrintStatus("console", "the session manager has ended", Process->ExitStatus);
    ObDereferenceObject(Process);
}
