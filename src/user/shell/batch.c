/*
 * batch.c - scripts: files of lines, named *.cmd.
 *
 * A script is read whole and run line by line; a line is shown, behind the prompt, before it is run, unless it begins with @ or `echo off` was said. `:NAME` is a
 * place for `goto`, which looks from the beginning of the script. `exit [N]` ends the script, with ERRORLEVEL N. A script that another
 * one starts without `call` does not come back to it. Ctrl-C ends all scripts that run.
 */
#include "shell.h"

#define MOST_SCRIPT 0x40000 /* bytes */
#define MOST_DEPTH  16      /* scripts that call one another */

static PSTR ReadWhole(PCSTR Full, PULONG Length)
{
    FILE_STANDARD_INFORMATION Standard;
    IO_STATUS_BLOCK Io;
    HANDLE File;
    PSTR Text;
    NTSTATUS Status = ShOpen(Full, FILE_READ_DATA, FILE_NON_DIRECTORY_FILE, 0, &File);

    if (!NT_SUCCESS(Status)) {
        ShErrorStatus("script", Full, Status);
        return NULL;
    }
    Status = NtQueryInformationFile(File, &Io, &Standard, sizeof(Standard), FileStandardInformation);
    if (NT_SUCCESS(Status) && Standard.EndOfFile.QuadPart > MOST_SCRIPT) {
        Status = STATUS_SECTION_TOO_BIG;
    }
    Text = NT_SUCCESS(Status) ? ShAllocate((SIZE_T)Standard.EndOfFile.QuadPart + 1) : NULL;
    *Length = 0;
    if (Text != NULL && Standard.EndOfFile.QuadPart != 0) {
        Status = NtReadFile(File, NULL, NULL, NULL, &Io, Text, (ULONG)Standard.EndOfFile.QuadPart, NULL, NULL);
        *Length = NT_SUCCESS(Status) ? (ULONG)Io.Information : 0;
    }
    NtClose(File);
    if (!NT_SUCCESS(Status)) {
        ShErrorStatus("script", Full, Status);
        ShFree(Text);
        return NULL;
    }
    return Text;
}

/* The next line, without its end. FALSE: there is none, or it is too long, which ends the script. */
static BOOLEAN NextLine(PSH_BATCH Batch, PSTR Line)
{
    ULONG Length = 0;

    if (Batch->At >= Batch->Length) {
        return FALSE;
    }
    while (Batch->At < Batch->Length && Batch->Text[Batch->At] != '\n') {
        if (Length + 1 == SH_LINE) {
            ShError("%s: a line is longer than %u bytes\n", Batch->Arguments[0], SH_LINE - 1);
            return FALSE;
        }
        Line[Length++] = Batch->Text[Batch->At++];
    }
    Batch->At++;
    while (Length != 0 && (Line[Length - 1] == '\r' || ShIsBlank(Line[Length - 1]))) {
        Length--;
    }
    Line[Length] = 0;
    return TRUE;
}

VOID ShEcho(PCSTR Line)
{
    if (!Sh.EchoOff) {
        ShPrint("%s>%s\n", Sh.Directory, Line); /* without the blank that stands behind a prompt */
    }
}

static VOID RunLines(PSH_BATCH Batch)
{
    PSTR Line = ShAllocate(SH_LINE), Expanded = ShAllocate(SH_LINE);

    while (!Batch->Ended && !Sh.Exiting && !ShCtrlC() && NextLine(Batch, Line)) {
        PCSTR Text = ShSkipBlanks(Line);

        Batch->Jumped = FALSE;
        if (*Text == ':' || *Text == 0) {
            continue;
        }
        if (!ShExpand(Text, Expanded, SH_LINE)) {
            ShError("%s: a line gets longer than %u bytes\n", Batch->Arguments[0], SH_LINE - 1);
            break;
        }
        if (*Text != '@') {
            ShEcho(Expanded);
        }
        ShRunExpanded(Expanded);
    }
    ShFree(Expanded);
    ShFree(Line);
}

VOID ShRunScript(PCSTR Full, const SH_COMMAND *Command)
{
    PSH_BATCH Batch = ShAllocate(sizeof(*Batch));
    BOOLEAN EchoOff = Sh.EchoOff;
    ULONG Depth = 0;

    for (PSH_BATCH Next = Sh.Batch; Next != NULL; Next = Next->Caller) {
        Depth++;
    }
    if (Depth == MOST_DEPTH) {
        ShError("%s: %u scripts call one another\n", Command->Words[0], MOST_DEPTH);
        Sh.Interrupted = TRUE;
    } else {
        Batch->Text = ReadWhole(Full, &Batch->Length);
    }
    for (ULONG Index = 0; Index < SH_ARGUMENTS && Index < Command->Count; Index++) {
        Batch->Arguments[Index] = Command->Words[Index];
    }
    if (Batch->Text != NULL) {
        Batch->Caller = Sh.Batch;
        Sh.Batch = Batch;
        RunLines(Batch);
        Sh.Batch = Batch->Caller;
        ShFree(Batch->Text);
    }
    if (Sh.Batch == NULL) {
        Sh.EchoOff = EchoOff;
    }
    ShFree(Batch);
}

/* ---- Built-ins of scripts ---- */

VOID ShCall(const SH_COMMAND *Command)
{
    PSH_COMMAND Inner = ShAllocate(sizeof(*Inner));
    PSTR Full = ShAllocate(SH_PATH);
    BOOLEAN IsScript;

    *Inner = *Command;
    Inner->Count = 0;
    for (ULONG Index = 1; Index < Command->Count; Index++) {
        Inner->Words[Inner->Count++] = Command->Words[Index];
    }
    if (Inner->Count == 0) {
        ShError("usage: call SCRIPT [ARGUMENT]...\n");
    } else if (!ShFindProgram(Inner->Words[0], Full, SH_PATH, &IsScript) || !IsScript) {
        ShError("call: %s: no such script\n", Inner->Words[0]);
    } else {
        ShRunScript(Full, Inner);
    }
    ShFree(Full);
    ShFree(Inner);
}

static BOOLEAN IsLabel(PCSTR Line, PCSTR Name)
{
    Line = ShSkipBlanks(Line);
    if (*Line != ':') {
        return FALSE;
    }
    Line = ShSkipBlanks(Line + 1);
    return ShBeginsWith(Line, Name) && (Line[ShLength(Name)] == 0 || ShIsBlank(Line[ShLength(Name)]));
}

VOID ShGoto(const SH_COMMAND *Command)
{
    PCSTR Name = Command->Count > 1 ? Command->Words[1] : "";
    PSTR Line;

    if (Sh.Batch == NULL || *Name == 0) {
        ShError("goto: %s\n", Sh.Batch == NULL ? "only in scripts" : "to which label?");
        return;
    }
    Name += *Name == ':';
    Sh.Batch->Jumped = TRUE;
    if (ShSame(Name, "eof")) {
        Sh.Batch->Ended = TRUE;
        return;
    }
    Line = ShAllocate(SH_LINE);
    Sh.Batch->At = 0;
    while (NextLine(Sh.Batch, Line)) {
        if (IsLabel(Line, Name)) {
            ShFree(Line);
            return;
        }
    }
    ShFree(Line);
    ShError("goto: no label %s\n", Name);
    Sh.Batch->Ended = TRUE;
}

VOID ShExit(const SH_COMMAND *Command)
{
    ULONG At = Command->Count > 1 && ShSame(Command->Words[1], "/b") ? 2 : 1;
    ULONG64 Number = (ULONG)Sh.ErrorLevel;

    if (Command->Count > At && !ShNumber(Command->Words[At], &Number)) {
        ShError("usage: exit [NUMBER]\n");
        return;
    }
    Sh.ErrorLevel = (LONG)Number;
    if (Sh.Batch != NULL) {
        Sh.Batch->Ended = TRUE;
    } else {
        Sh.Exiting = TRUE;
    }
}
