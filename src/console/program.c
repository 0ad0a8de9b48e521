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

static VOID ConpWaitForProgram(PCSTR Name, const PSP_PROGRAM *Program)
{
    PEPROCESS Process;
    PETHREAD Thread;
    NTSTATUS Status = PspCreateProgram(Program, &Process, &Thread);

    if (!NT_SUCCESS(Status)) {
        ConPrint("run: %s: 0x%08lX\n", Name, Status);
        return;
    }
    KeReadyThread(&Thread->Tcb);
    ObDereferenceObject(Thread);
    KeWaitForSingleObject(Process, UserRequest, KernelMode, FALSE, NULL);
    ConPrint("%s: exit status 0x%08lX\n", Name, Process->ExitStatus);
    ObDereferenceObject(Process);
}

static VOID ConpRun(ULONG ArgumentCount, PCSTR *Arguments)
{
    static WCHAR Path[CON_PATH_CHARS], Line[CON_LINE_BYTES]; /* the console's thread is the only one here */
    static CHAR Text[CON_PATH_CHARS];
    PSP_PROGRAM Program = {.ImagePath = {0, sizeof(Path), Path}, .CommandLine = {0, sizeof(Line), Line}};
    ULONG Bytes = 0, Length;

    if (ArgumentCount < 2) {
        ConPrint("usage: run PROGRAM [ARGUMENT]...\n");
        return;
    }
    RtlFormatString(Text, sizeof(Text), ConpIsBareName(Arguments[1]) ? "\\SystemRoot\\System\\%s.exe" : "%s",
                    Arguments[1]);
    if (!NT_SUCCESS(ConpNtPath(Text, &Program.ImagePath))) {
        ConPrint("run: %s: not a file name\n", Arguments[1]);
        return;
    }
    ConpJoin(ArgumentCount, Arguments, Text, sizeof(Text));
    for (Length = 0; Text[Length] != 0; Length++) {
    }
    RtlUTF8ToUnicodeN(Line, sizeof(Line), &Bytes, Text, Length);
    Program.CommandLine.Length = (USHORT)Bytes;
    ConpWaitForProgram(Arguments[1], &Program);
}
CONSOLE_COMMAND(ConpRunCommand, "run", "PROGRAM [ARGUMENT]...", "run a program and print its exit status", ConpRun);
