/*
 * program.c - `run PROGRAM ARGUMENTS`: starts a program, waits for its end, and prints its exit status.
 *
 * A bare name means \SystemRoot\System\NAME.exe; anything else is a path as other commands take it. The program writes to the
 * console itself. Locks: none; the console's thread.
 */
#include <ntos/program.h>
#include <ntos/rtl.h>
#include "consolep.h"

static BOOLEAN ConpIsBareName(PCSTR Name)
{
    for (; *Name != 0; Name++) {
        if (*Name == '\\' || *Name == '/' || *Name == '.' || *Name == ':') {
            return FALSE;
        }
    }
    return TRUE;
}

/* The arguments again as one line; quotes come back around what has blanks. */
static VOID ConpJoin(ULONG Count, PCSTR *Arguments, PSTR Line, ULONG Bytes)
{
    ULONG Used = 0;

    for (ULONG Index = 1; Index < Count; Index++) {
        BOOLEAN Quote = Arguments[Index][0] == 0;

        for (PCSTR Next = Arguments[Index]; *Next != 0; Next++) {
            Quote |= *Next == ' ';
        }
        Used += RtlFormatString(Line + Used, Bytes - Used, "%s%s%s%s", Index == 1 ? "" : " ", Quote ? "\"" : "",
                                Arguments[Index], Quote ? "\"" : "");
        Used = min(Used, Bytes - 1);
    }
}

NTSTATUS ConpStartProgram(PCSTR Name, PCSTR CommandLine, PEPROCESS *Process)
{
    static WCHAR Path[CON_PATH_CHARS], Line[CON_LINE_BYTES]; /* the console's thread is the only one here */
    static CHAR Text[CON_PATH_CHARS];
    PSP_PROGRAM Program = {.ImagePath = {0, sizeof(Path), Path}, .CommandLine = {0, sizeof(Line), Line}};
    ULONG Bytes = 0, Length;
    PETHREAD Thread;
    NTSTATUS Status;

    RtlFormatString(Text, sizeof(Text), ConpIsBareName(Name) ? "\\SystemRoot\\System\\%s.exe" : "%s", Name);
    Status = ConpNtPath(Text, &Program.ImagePath);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    for (Length = 0; CommandLine[Length] != 0; Length++) {
    }
    RtlUTF8ToUnicodeN(Line, sizeof(Line), &Bytes, CommandLine, Length);
    Program.CommandLine.Length = (USHORT)Bytes;
    Status = PspCreateProgram(&Program, Process, &Thread);
    if (NT_SUCCESS(Status)) {
        KeReadyThread(&Thread->Tcb);
        ObDereferenceObject(Thread);
    }
    return Status;
}

/* Starts the program, which Ctrl-C ends, and waits for it. */
static VOID ConpRun(ULONG ArgumentCount, PCSTR *Arguments)
{
    static CHAR Line[CON_LINE_BYTES];
    PEPROCESS Process;
    NTSTATUS Status;

    if (ArgumentCount < 2) {
        ConPrint("usage: run PROGRAM [ARGUMENT]...\n");
        return;
    }
    ConpJoin(ArgumentCount, Arguments, Line, sizeof(Line));
    Status = ConpStartProgram(Arguments[1], Line, &Process);
    if (!NT_SUCCESS(Status)) {
        ConPrint("run: %s: 0x%08lX\n", Arguments[1], (ULONG)Status);
        return;
    }
    ConpSetForeground(NULL, Process);
    KeWaitForSingleObject(Process, UserRequest, KernelMode, FALSE, NULL);
    ConpSetForeground(NULL, NULL);
    ConPrint("%s: exit status 0x%08lX\n", Arguments[1], (ULONG)Process->ExitStatus);
    ObDereferenceObject(Process);
}
CONSOLE_COMMAND(ConpRunCommand, "run", "PROGRAM [ARGUMENT]...", "run a program and print its exit status", ConpRun);
