/*
 * infotext.c - texts about processes and threads: the path of the program, its command line, the name of a thread.
 *
 * Each answer is a UNICODE_STRING with its characters behind it, in a buffer of any length that holds both; STATUS_INFO_LENGTH_MISMATCH says what
 * would be needed. The path is the kernel's own. The command line is read from the process's memory, where the program may have
 * changed it: it is believed no more than that.
 *
 * Locks: PspNameLock (fast mutex) around the names of threads. IRQL: PASSIVE_LEVEL.
 *
 * Source: Microsoft Learn, NtQueryInformationProcess, GetProcessImageFileName, SetThreadDescription; the classes behind them.
 */
#include "psp.h"

#include <ntos/peb.h>
#include <ntos/user.h>

#define MOST_NAME 0x1000U /* bytes of a thread's name; enough for what debuggers show */

static FAST_MUTEX PspNameLock;

VOID PspInitializeNames(VOID)
{
    ExInitializeFastMutex(&PspNameLock);
    VfNameLock(&PspNameLock, "PspNameLock");
}

/* Text (kernel memory) as the answer to a query. */
static NTSTATUS ReturnText(PCUNICODE_STRING Text, PVOID Buffer, ULONG Length, PULONG ReturnLength)
{
    ULONG Needed = (ULONG)sizeof(UNICODE_STRING) + Text->Length + (ULONG)sizeof(WCHAR);
    UNICODE_STRING Header;
    static const WCHAR End = 0;
    PUCHAR At = (PUCHAR)Buffer + sizeof(Header);
    NTSTATUS Status = ExReturnValue(STATUS_SUCCESS, ReturnLength, &Needed, sizeof(Needed));

    if (!NT_SUCCESS(Status) || Length < Needed) {
        return NT_SUCCESS(Status) ? STATUS_INFO_LENGTH_MISMATCH : Status;
    }
    RtlZeroMemory(&Header, sizeof(Header)); /* the bytes between its members too: they are shown */
    Header.Length = Text->Length;
    Header.MaximumLength = (USHORT)(Text->Length + sizeof(WCHAR));
    Header.Buffer = (PWSTR)At;
    Status = ExCopyToCaller(Buffer, &Header, sizeof(Header));
    if (NT_SUCCESS(Status) && Text->Length != 0) {
        Status = ExCopyToCaller(At, Text->Buffer, Text->Length);
    }
    return NT_SUCCESS(Status) ? ExCopyToCaller(At + Text->Length, &End, sizeof(End)) : Status;
}

/* The command line in Process's memory, into pool. */
static NTSTATUS ReadCommandLine(PEPROCESS Process, PUNICODE_STRING Line)
{
    struct _RTL_USER_PROCESS_PARAMETERS *Parameters;
    UNICODE_STRING Header;
    PVOID Copy;
    NTSTATUS Status = MmCopyFromUser(&Parameters, &((PPEB)Process->Peb)->ProcessParameters, sizeof(PVOID));

    if (NT_SUCCESS(Status)) {
        Status = MmCopyFromUser(&Header, &Parameters->CommandLine, sizeof(Header));
    }
    if (!NT_SUCCESS(Status) || Header.Length == 0) {
        return Status;
    }
    Header.Length &= ~1U;
    Copy = ExAllocatePoolWithTag(PagedPool, Header.Length + sizeof(WCHAR), PSP_TAG_PROGRAM);
    if (Copy == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Status = MmCopyFromUser(Copy, Header.Buffer, Header.Length);
    if (!NT_SUCCESS(Status)) {
        ExFreePoolWithTag(Copy, PSP_TAG_PROGRAM);
        return Status;
    }
    Line->Buffer = Copy;
    Line->Length = min(Header.Length, (USHORT)(MAXUSHORT - 1 - sizeof(WCHAR)));
    return STATUS_SUCCESS;
}

static NTSTATUS ReturnCommandLine(PEPROCESS Process, PVOID Buffer, ULONG Length, PULONG ReturnLength)
{
    UNICODE_STRING Line = {0};
    KAPC_STATE State;
    NTSTATUS Status = PsAcquireProcessExitSynchronization(Process);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Process->Peb != NULL) {
        KeStackAttachProcess((PVOID)Process, &State);
        Status = ReadCommandLine(Process, &Line);
        KeUnstackDetachProcess(&State);
    }
    PsReleaseProcessExitSynchronization(Process);
    if (NT_SUCCESS(Status)) {
        Status = ReturnText(&Line, Buffer, Length, ReturnLength);
    }
    if (Line.Buffer != NULL) {
        ExFreePoolWithTag(Line.Buffer, PSP_TAG_PROGRAM);
    }
    return Status;
}

BOOLEAN PspQueryProcessText(HANDLE Handle, ULONG Class, PVOID Buffer, ULONG Length, PULONG ReturnLength,
                            PNTSTATUS Status)
{
    PEPROCESS Process;

    if (Class != ProcessImageFileName && Class != ProcessImageFileNameWin32 &&
        Class != PSP_PROCESS_COMMAND_LINE_CLASS) {
        return FALSE;
    }
    *Status = ObReferenceObjectByHandle(Handle, PSP_PROCESS_QUERY_INFORMATION, PspProcessType, ExGetPreviousMode(),
                                        (PVOID *)&Process, NULL);
    if (!NT_SUCCESS(*Status)) {
        return TRUE;
    }
    *Status = Class == PSP_PROCESS_COMMAND_LINE_CLASS ? ReturnCommandLine(Process, Buffer, Length, ReturnLength)
                                                      : ReturnText(&Process->ImagePath, Buffer, Length, ReturnLength);
    ObDereferenceObject(Process);
    return TRUE;
}

/* ---- Names of threads ---- */

NTSTATUS PspQueryThreadName(HANDLE Handle, PVOID Buffer, ULONG Length, PULONG ReturnLength)
{
    UNICODE_STRING Name = {0};
    WCHAR *Copy;
    PETHREAD Thread;
    NTSTATUS Status = ObReferenceObjectByHandle(Handle, PSP_THREAD_QUERY_INFORMATION, PspThreadType,
                                                ExGetPreviousMode(), (PVOID *)&Thread, NULL);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Copy = ExAllocatePoolWithTag(PagedPool, MOST_NAME, PSP_TAG_PROGRAM);
    if (Copy == NULL) {
        ObDereferenceObject(Thread);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    ExAcquireFastMutex(&PspNameLock);
    Name.Length = Thread->Name.Length;
    RtlCopyMemory(Copy, Thread->Name.Buffer, Name.Length);
    ExReleaseFastMutex(&PspNameLock);
    Name.Buffer = Copy;
    Status = ReturnText(&Name, Buffer, Length, ReturnLength);
    ExFreePoolWithTag(Copy, PSP_TAG_PROGRAM);
    ObDereferenceObject(Thread);
    return Status;
}

/* Name: the structure is the kernel's, its characters are the caller's. */
NTSTATUS PspSetThreadName(PETHREAD Thread, const UNICODE_STRING *Name)
{
    UNICODE_STRING New = {.Length = Name->Length & ~1U}, Old;
    NTSTATUS Status = STATUS_SUCCESS;

    if (New.Length > MOST_NAME) {
        return STATUS_INVALID_PARAMETER;
    }
    if (New.Length != 0) {
        New.Buffer = ExAllocatePoolWithTag(PagedPool, New.Length, PSP_TAG_PROGRAM);
        if (New.Buffer == NULL) {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        Status = ExCopyFromCaller(New.Buffer, Name->Buffer, New.Length);
    }
    if (NT_SUCCESS(Status)) {
        ExAcquireFastMutex(&PspNameLock);
        Old = Thread->Name;
        Thread->Name = New;
        ExReleaseFastMutex(&PspNameLock);
        New = Old;
    }
    if (New.Buffer != NULL) {
        ExFreePoolWithTag(New.Buffer, PSP_TAG_PROGRAM);
    }
    return Status;
}

VOID PspForgetName(PETHREAD Thread)
{
    if (Thread->Name.Buffer != NULL) {
        ExFreePoolWithTag(Thread->Name.Buffer, PSP_TAG_PROGRAM);
    }
}
