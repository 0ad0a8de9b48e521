/*
 * process.c - the commands that deal with processes: start, run, wait, kill, tasklist.
 *
 * Processes are named by their identifiers, in decimal or with 0x. What `start` begins is in no job of the shell's: Ctrl-C does not end it, and it has NUL
 * for its input, since what is typed is the shell's. `wait` also ends by Ctrl-C, through the shell's event.
 */
#include "shell.h"

#include <ntos/sysinfo.h>

/* Rights that the DDK's kernel headers leave out. */
#ifndef PROCESS_QUERY_INFORMATION
#define PROCESS_TERMINATE         0x0001
#define PROCESS_QUERY_INFORMATION 0x0400
#endif

#define MOST_LIST 0x100000 /* bytes of the list of processes: thousands of them */

/* The command without its first word. */
static PCSTR WithoutFirst(PCSTR Text)
{
    while (*Text != 0 && !ShIsBlank(*Text)) {
        Text++;
    }
    return ShSkipBlanks(Text);
}

VOID ShStartCommand(const SH_COMMAND *Command)
{
    SH_START Start = {.CommandLine = WithoutFirst(Command->Text), .Out = Sh.Out, .Err = Sh.Err};
    PSTR Full = ShAllocate(SH_PATH), Line = ShAllocate(SH_LINE + sizeof("shell "));
    HANDLE Process, Thread;
    BOOLEAN IsScript;
    ULONG Id = 0;
    NTSTATUS Status;

    if (Command->Count < 2) {
        ShError("usage: start PROGRAM [ARGUMENT]...\n");
    } else if (!ShFindProgram(Command->Words[1], Full, SH_PATH, &IsScript)) {
        ShError("start: %s: no such program\n", Command->Words[1]);
    } else {
        Start.Image = Full;
        if (IsScript) {
            _snprintf(Line, SH_LINE, "shell %s", Start.CommandLine);
            Start.CommandLine = Line;
            Start.Image = "\\SystemRoot\\System\\shell.exe";
        }
        ShOpenDevice(L"\\Device\\Null", 0, &Start.In); /* what is typed is the shell's */
        Status = ShStart(&Start, &Process, &Thread, &Id);
        if (NT_SUCCESS(Status)) {
            ShPrint("%lu\n", Id);
            NtClose(Thread);
            NtClose(Process);
        } else {
            ShErrorStatus("start", Command->Words[1], Status);
        }
        if (Start.In != NULL) {
            NtClose(Start.In);
        }
    }
    ShFree(Line);
    ShFree(Full);
}

/* `run PROGRAM`: as the kernel's prompt has it. */
VOID ShRunCommand(const SH_COMMAND *Command)
{
    if (Command->Count < 2) {
        ShError("usage: run PROGRAM [ARGUMENT]...\n");
        return;
    }
    Sh.ErrorLevel = 0;
    ShRunExpanded(WithoutFirst(Command->Text));
    ShPrint("%s: exit status 0x%08lX\n", Command->Words[1], (ULONG)Sh.ErrorLevel);
}

static NTSTATUS OpenProcess(const SH_COMMAND *Command, ACCESS_MASK Access, PHANDLE Process)
{
    OBJECT_ATTRIBUTES Attributes;
    CLIENT_ID Id = {0};
    ULONG64 Number;
    NTSTATUS Status;

    if (Command->Count != 2 || !ShNumber(Command->Words[1], &Number)) {
        ShError("usage: %s PID\n", Command->Words[0]);
        return STATUS_INVALID_PARAMETER;
    }
    Id.UniqueProcess = (HANDLE)(ULONG_PTR)Number;
    InitializeObjectAttributes(&Attributes, NULL, 0, NULL, NULL);
    Status = NtOpenProcess(Process, Access, &Attributes, &Id);
    if (!NT_SUCCESS(Status)) {
        ShErrorStatus(Command->Words[0], Command->Words[1], Status);
    }
    return Status;
}

VOID ShWaitCommand(const SH_COMMAND *Command)
{
    HANDLE Objects[2] = {NULL, Sh.CtrlEvent};

    if (!NT_SUCCESS(OpenProcess(Command, SYNCHRONIZE | PROCESS_QUERY_INFORMATION, &Objects[0]))) {
        return;
    }
    if (NtWaitForMultipleObjects(Sh.CtrlEvent != NULL ? 2 : 1, Objects, WaitAny, FALSE, NULL) == STATUS_WAIT_0) {
        Sh.ErrorLevel = ShExitStatus(Objects[0]);
        ShPrint("%s: exit status 0x%08lX\n", Command->Words[1], (ULONG)Sh.ErrorLevel);
    } else {
        Sh.Interrupted = TRUE;
        Sh.ErrorLevel = STATUS_CONTROL_C_EXIT;
    }
    NtClose(Objects[0]);
}

VOID ShKill(const SH_COMMAND *Command)
{
    HANDLE Process;
    NTSTATUS Status;

    if (!NT_SUCCESS(OpenProcess(Command, PROCESS_TERMINATE, &Process))) {
        return;
    }
    Status = NtTerminateProcess(Process, 1);
    if (!NT_SUCCESS(Status)) {
        ShErrorStatus("kill", Command->Words[1], Status);
    }
    NtClose(Process);
}

/* ---- tasklist ---- */

static VOID ShowProcess(const SYSTEM_PROCESS_INFORMATION *Process)
{
    CHAR Name[64];

    ShToNarrow(Process->ImageName.Buffer, min(Process->ImageName.Length / (ULONG)sizeof(WCHAR), 20U), Name,
               sizeof(Name));
    ShPrint("%6lu %6lu %7lu %7lu %8lu %8lu  %s\n", (ULONG)(ULONG_PTR)Process->UniqueProcessId,
            (ULONG)(ULONG_PTR)Process->InheritedFromUniqueProcessId, Process->NumberOfThreads, Process->HandleCount,
            (ULONG)(Process->WorkingSetSize >> 10),
            (ULONG)(Process->KernelTime.QuadPart + Process->UserTime.QuadPart) / 10000, *Name != 0 ? Name : "-");
}

VOID ShTasklist(const SH_COMMAND *Command)
{
    PSYSTEM_PROCESS_INFORMATION List = NULL, Next;
    NTSTATUS Status = STATUS_INFO_LENGTH_MISMATCH;

    for (ULONG Bytes = 0x4000; Status == STATUS_INFO_LENGTH_MISMATCH && Bytes <= MOST_LIST; Bytes *= 2) {
        ShFree(List);
        List = ShAllocate(Bytes);
        Status = NtQuerySystemInformation(SystemProcessInformation, List, Bytes, NULL);
    }
    if (!NT_SUCCESS(Status)) {
        ShErrorStatus("tasklist", "processes", Status);
        ShFree(List);
        return;
    }
    ShPrint("%6s %6s %7s %7s %8s %8s  %s\n", "PID", "parent", "threads", "handles", "set KB", "CPU ms", "name");
    for (Next = List; !Sh.Broken; Next = (PVOID)((ULONG_PTR)Next + Next->NextEntryOffset)) {
        ShowProcess(Next);
        if (Next->NextEntryOffset == 0) {
            break;
        }
    }
    ShFree(List);
}
