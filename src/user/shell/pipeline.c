/*
 * pipeline.c - running what a line asks for.
 *
 * A name is a built-in's, a program's or script's, or that of a command of the kernel, in this order. Alone, a built-in or a script runs in the shell itself, with the
 * redirections in force. Programs of a pipeline get suspended starts, are put into one job, which becomes the console's foreground, and go on together; the
 * pipeline's status is that of its last command.
 *
 * Redirections to files are refused: no file system takes writes. Devices take them.
 */
#include "shell.h"

#define SHELL_IMAGE "\\SystemRoot\\System\\shell.exe" /* for what runs beside other commands */

typedef struct _SH_RUN {
    HANDLE Process, Thread;
    NTSTATUS Status;
    PCSTR Name;
} SH_RUN;

/* ---- Redirections ---- */

/* The handles of a command: the shell's, or files opened here, which Opened tells. */
typedef struct _SH_STREAMS {
    HANDLE Handles[3];
    BOOLEAN Opened[3];
} SH_STREAMS;

static VOID CloseStreams(SH_STREAMS *Streams)
{
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Streams->Handles); Index++) {
        if (Streams->Opened[Index]) {
            NtClose(Streams->Handles[Index]);
        }
    }
}

static BOOLEAN OpenOutput(PCSTR Name, PHANDLE Handle)
{
    NTSTATUS Status = ShOpen(Name, FILE_WRITE_DATA, 0, 0, Handle);

    if (NT_SUCCESS(Status) && (ShSame(Name, "NUL") || ShSame(Name, "CON") || ShSame(Name, "CONOUT$"))) {
        return TRUE;
    }
    if (NT_SUCCESS(Status)) {
        NtClose(*Handle);
    }
    ShError("> %s: no file system here takes writes\n", Name);
    return FALSE;
}

static BOOLEAN OpenStreams(const SH_COMMAND *Command, SH_STREAMS *Streams)
{
    *Streams = (SH_STREAMS){.Handles = {Sh.In, Sh.Out, Sh.Err}};
    if (Command->Input != NULL) {
        NTSTATUS Status = ShOpen(Command->Input, FILE_READ_DATA, FILE_NON_DIRECTORY_FILE, 0, &Streams->Handles[0]);

        if (!NT_SUCCESS(Status)) {
            ShErrorStatus("<", Command->Input, Status);
            return FALSE;
        }
        Streams->Opened[0] = TRUE;
    }
    if (Command->Output != NULL && !(Streams->Opened[1] = OpenOutput(Command->Output, &Streams->Handles[1]))) {
        CloseStreams(Streams);
        return FALSE;
    }
    if (Command->Error != NULL && !(Streams->Opened[2] = OpenOutput(Command->Error, &Streams->Handles[2]))) {
        CloseStreams(Streams);
        return FALSE;
    }
    if (Command->ErrorToOutput) {
        Streams->Handles[2] = Streams->Handles[1];
    }
    return TRUE;
}

/* ---- The foreground ---- */

static VOID SetForeground(HANDLE Job)
{
    IO_STATUS_BLOCK Io;

    if (Sh.Console != NULL && !Sh.InJob) {
        NtDeviceIoControlFile(Sh.Console, NULL, NULL, NULL, &Io, IOCTL_CONSOLE_SET_FOREGROUND, &Job, sizeof(Job), NULL,
                              0);
    }
}

static HANDLE NewJob(VOID)
{
    HANDLE Job = NULL;

    if (Sh.Console == NULL || Sh.InJob || !NT_SUCCESS(NtCreateJobObject(&Job, JOB_OBJECT_ALL_ACCESS, NULL))) {
        return NULL;
    }
    return Job;
}

static VOID ShowEnd(const SH_RUN *Run)
{
    if (Run->Status == STATUS_CONTROL_C_EXIT) {
        Sh.Interrupted = TRUE;
    } else if (NT_ERROR(Run->Status)) {
        PCSTR Name = ConpStatusName(Run->Status);

        if (Name[0] == 'S') { /* it has a name: nobody means such a number as a result */
            ShError("%s: %s (0x%08lX)\n", Run->Name, Name, (ULONG)Run->Status);
        }
    }
}

/* Lets what was started run, in the foreground, and waits for all of it. */
static VOID RunForeground(SH_RUN *Runs, ULONG Count)
{
    HANDLE Job = NewJob();

    for (ULONG Index = 0; Index < Count; Index++) {
        if (Job != NULL && Runs[Index].Process != NULL) {
            NtAssignProcessToJobObject(Job, Runs[Index].Process);
        }
    }
    SetForeground(Job);
    for (ULONG Index = 0; Index < Count; Index++) {
        if (Runs[Index].Process != NULL) {
            NtResumeThread(Runs[Index].Thread, NULL);
        }
    }
    for (ULONG Index = 0; Index < Count; Index++) {
        if (Runs[Index].Process != NULL) {
            Runs[Index].Status = ShExitStatus(Runs[Index].Process);
            NtClose(Runs[Index].Thread);
            NtClose(Runs[Index].Process);
        }
    }
    SetForeground(NULL);
    if (Job != NULL) {
        NtClose(Job);
    }
    for (ULONG Index = 0; Index < Count; Index++) {
        if (Runs[Index].Process != NULL) {
            ShowEnd(&Runs[Index]);
        }
    }
    Sh.ErrorLevel = Runs[Count - 1].Status;
}

/* ---- One command ---- */

static NTSTATUS StartSuspended(PCSTR Image, PCSTR CommandLine, const HANDLE *Handles, PCSTR Name, SH_RUN *Run)
{
    SH_START Start = {.Image = Image,
                      .CommandLine = CommandLine,
                      .In = Handles[0],
                      .Out = Handles[1],
                      .Err = Handles[2],
                      .Suspended = TRUE};
    NTSTATUS Status = ShStart(&Start, &Run->Process, &Run->Thread, NULL);

    Run->Name = Name;
    Run->Status = Status;
    if (!NT_SUCCESS(Status)) {
        Run->Process = NULL;
        ShErrorStatus("start", Image, Status);
    }
    return Status;
}

static VOID RunKernelCommand(const SH_COMMAND *Command)
{
    NTSTATUS Status = ShKernelCommand(Command->Text, Sh.Out);

    Sh.ErrorLevel = 0;
    if (Status == STATUS_OBJECT_NAME_NOT_FOUND) {
        ShError("%s: no such command (`help` lists them)\n", Command->Words[0]);
    } else if (!NT_SUCCESS(Status)) {
        ShErrorStatus("kernel", Command->Words[0], Status);
    }
}

/* A command by itself; Sh.In, Sh.Out and Sh.Err are its own. */
static VOID RunAlone(const SH_COMMAND *Command, const HANDLE *Handles)
{
    const SH_BUILTIN *Builtin = ShFindBuiltin(Command->Words[0]);
    PSTR Full;
    BOOLEAN IsScript;
    SH_RUN Run = {0};

    if (Builtin != NULL) {
        Sh.ErrorLevel = Builtin->Keeps ? Sh.ErrorLevel : 0;
        Builtin->Routine(Command);
        return;
    }
    Full = ShAllocate(SH_PATH);
    if (!ShFindProgram(Command->Words[0], Full, SH_PATH, &IsScript)) {
        RunKernelCommand(Command);
    } else if (IsScript) {
        PSH_BATCH Caller = Sh.Batch;

        ShRunScript(Full, Command);
        if (Caller != NULL) { /* without `call` a script does not come back */
            Caller->Ended = TRUE;
        }
    } else if (NT_SUCCESS(StartSuspended(Full, Command->Text, Handles, Command->Words[0], &Run))) {
        RunForeground(&Run, 1);
    }
    ShFree(Full);
}

static VOID RunSingle(const SH_COMMAND *Command)
{
    HANDLE Before[] = {Sh.In, Sh.Out, Sh.Err};
    SH_STREAMS Streams;

    if (!OpenStreams(Command, &Streams)) {
        return;
    }
    Sh.In = Streams.Handles[0];
    Sh.Out = Streams.Handles[1];
    Sh.Err = Streams.Handles[2];
    RunAlone(Command, Streams.Handles);
    Sh.In = Before[0];
    Sh.Out = Before[1];
    Sh.Err = Before[2];
    Sh.Broken = FALSE;
    CloseStreams(&Streams);
}

/* ---- Pipelines ---- */

/* The program for one command of a pipeline: itself, or a shell that runs the rest. */
static NTSTATUS StartPiped(const SH_COMMAND *Command, const HANDLE *Handles, SH_RUN *Run)
{
    PSTR Full = ShAllocate(SH_PATH), Line = ShAllocate(SH_LINE + sizeof("shell /c "));
    BOOLEAN IsScript;
    NTSTATUS Status;

    if (ShFindBuiltin(Command->Words[0]) == NULL && ShFindProgram(Command->Words[0], Full, SH_PATH, &IsScript) &&
        !IsScript) {
        Status = StartSuspended(Full, Command->Text, Handles, Command->Words[0], Run);
    } else {
        ShCopy(Full, SH_PATH, SHELL_IMAGE);
        _snprintf(Line, SH_LINE + sizeof("shell /c ") - 1, "shell /c %s", Command->Text);
        Status = StartSuspended(Full, Line, Handles, Command->Words[0], Run);
    }
    ShFree(Line);
    ShFree(Full);
    return Status;
}

/* Starts one command between the pipe from the one before, and a new one, unless it is the last. *From: that of the next. */
static NTSTATUS StartBetween(const SH_COMMAND *Command, BOOLEAN Last, PHANDLE From, SH_RUN *Run)
{
    HANDLE Read = NULL, Write = NULL;
    SH_STREAMS Streams;
    NTSTATUS Status = Last ? STATUS_SUCCESS : ShCreatePipe(&Read, &Write);

    if (!NT_SUCCESS(Status)) {
        ShErrorStatus("|", "pipe", Status);
        return Status;
    }
    Status = OpenStreams(Command, &Streams) ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
    if (NT_SUCCESS(Status)) {
        if (*From != NULL && Command->Input == NULL) {
            Streams.Handles[0] = *From;
        }
        if (Write != NULL && Command->Output == NULL) {
            Streams.Handles[1] = Write;
            Streams.Handles[2] = Command->ErrorToOutput ? Write : Streams.Handles[2];
        }
        Status = StartPiped(Command, Streams.Handles, Run);
        CloseStreams(&Streams);
    }
    if (*From != NULL) {
        NtClose(*From);
    }
    if (Write != NULL) {
        NtClose(Write);
    }
    *From = Read;
    return Status;
}

VOID ShRunPipeline(PSH_COMMAND Commands, ULONG Count)
{
    SH_RUN Runs[SH_PIPELINE] = {{NULL}};
    HANDLE From = NULL;
    NTSTATUS Status = STATUS_SUCCESS;
    ULONG Started = 0;

    if (Count == 1) {
        RunSingle(Commands);
        return;
    }
    while (Started < Count && NT_SUCCESS(Status)) {
        Status = StartBetween(&Commands[Started], Started + 1 == Count, &From, &Runs[Started]);
        Started++;
    }
    if (From != NULL) {
        NtClose(From);
    }
    if (NT_SUCCESS(Status)) {
        RunForeground(Runs, Count);
        return;
    }
    for (ULONG Index = 0; Index < Started; Index++) { /* what has been started has not run yet */
        if (Runs[Index].Process != NULL) {
            NtTerminateProcess(Runs[Index].Process, Status);
            NtClose(Runs[Index].Thread);
            NtClose(Runs[Index].Process);
        }
    }
}
