/*
 * builtin.c - the table of the shell's own commands, `help`, and those that deal with the shell itself.
 *
 * Every command that writes stops when its output takes nothing more (a pipe whose reader has ended), and sets ERRORLEVEL when it could
 * not do what it was asked. Those that only change the shell leave ERRORLEVEL alone otherwise, so that a script can test it behind them.
 */
#include "shell.h"

/* ---- cd, set, echo ---- */

static VOID ChangeDirectory(const SH_COMMAND *Command)
{
    PSTR Full;
    UNICODE_STRING Path = {0};
    ULONG Length;
    NTSTATUS Status;

    if (Command->Count < 2) {
        ShPrint("%s\n", Sh.Directory);
        return;
    }
    Full = ShAllocate(SH_PATH);
    if (!ShFullPath(Command->Words[1], Full, SH_PATH - 1) || Full[1] != ':') {
        ShError("cd: %s: not a directory of a drive\n", Command->Words[1]);
    } else if (!NT_SUCCESS(Status = ShToWide(Full, &Path) ? RtlSetCurrentDirectory_U(&Path) : STATUS_NO_MEMORY)) {
        ShErrorStatus("cd", Command->Words[1], Status);
    } else {
        Length = ShCopy(Sh.Directory, sizeof(Sh.Directory) - 1, Full);
        if (Sh.Directory[Length - 1] != '\\') {
            Sh.Directory[Length] = '\\';
            Sh.Directory[Length + 1] = 0;
        }
    }
    ShFree(Path.Buffer);
    ShFree(Full);
}

/* Prints the variables whose names begin like Begin. FALSE: there are none. */
static BOOLEAN ShowVariables(PCSTR Begin)
{
    PCWSTR Next = RtlGetCurrentPeb()->ProcessParameters->Environment;
    PSTR Text = ShAllocate(SH_LINE * 3);
    BOOLEAN Any = FALSE;

    while (*Next != 0) {
        ULONG Length = 0;

        while (Next[Length] != 0) {
            Length++;
        }
        ShToNarrow(Next, Length, Text, SH_LINE * 3);
        if (Text[0] != '=' && ShBeginsWith(Text, Begin)) {
            ShPrint("%s\n", Text);
            Any = TRUE;
        }
        Next += Length + 1;
    }
    ShFree(Text);
    return Any;
}

/* What stands after the first word, as it was typed. */
static PCSTR RestOf(const SH_COMMAND *Command)
{
    PCSTR Text = Command->Text;

    while (*Text != 0 && !ShIsBlank(*Text)) {
        Text++;
    }
    return *Text == 0 ? Text : Text + 1;
}

static VOID SetVariable(PSTR Text)
{
    PSTR Value = Text;
    UNICODE_STRING Name, Wide;
    NTSTATUS Status;

    while (*Value != '=') {
        Value++;
    }
    *Value++ = 0;
    if (!ShToWide(Text, &Name)) {
        ShError("set: %s: not a name\n", Text);
        return;
    }
    if (!ShToWide(Value, &Wide)) {
        ShError("set: %s: not UTF-8\n", Text);
        ShFree(Name.Buffer);
        return;
    }
    Status = RtlSetEnvironmentVariable(NULL, &Name, *Value == 0 ? NULL : &Wide);
    if (!NT_SUCCESS(Status) && *Value != 0) {
        ShErrorStatus("set", Text, Status);
    }
    ShFree(Name.Buffer);
    ShFree(Wide.Buffer);
}

static VOID Set(const SH_COMMAND *Command)
{
    PCSTR Rest = ShSkipBlanks(RestOf(Command)), Sign = Rest;
    PSTR Copy;

    while (*Sign != 0 && *Sign != '=') {
        Sign++;
    }
    if (*Sign == 0) {
        if (!ShowVariables(Rest)) {
            ShError("set: no variable %s\n", Rest);
        }
        return;
    }
    if (Sign == Rest) {
        ShError("usage: set [NAME[=VALUE]]\n");
        return;
    }
    Copy = ShAllocate(SH_LINE);
    ShCopy(Copy, SH_LINE, Rest);
    SetVariable(Copy);
    ShFree(Copy);
}

static VOID Echo(const SH_COMMAND *Command)
{
    if (Command->Count == 2 && (ShSame(Command->Words[1], "on") || ShSame(Command->Words[1], "off"))) {
        Sh.EchoOff = ShSame(Command->Words[1], "off");
    } else if (Command->Count == 1) {
        ShPrint("echo is %s\n", Sh.EchoOff ? "off" : "on");
    } else {
        ShPrint("%s\n", RestOf(Command));
    }
}

/* `echo.`: an empty line */
static VOID EchoNothing(const SH_COMMAND *Command)
{
    ShPrint("\n");
}

static VOID Remark(const SH_COMMAND *Command)
{
}

static VOID ShowHistory(const SH_COMMAND *Command)
{
    ShShowHistory();
}

/* ---- The table ---- */

static VOID Help(const SH_COMMAND *Command);

static const SH_BUILTIN Builtins[] = {
    {"call", "SCRIPT [ARGUMENT]...", "run a script and come back", ShCall, TRUE},
    {"cd", "[DIRECTORY]", "change the directory, or show it", ChangeDirectory},
    {"dir", "[DIRECTORY]", "list a directory", ShDir},
    {"echo", "[on|off|TEXT]", "print a text; whether lines of scripts are shown", Echo, TRUE},
    {"echo.", "", "print an empty line", EchoNothing, TRUE},
    {"exit", "[NUMBER]", "end the script, or the shell", ShExit, TRUE},
    {"goto", "LABEL", "go on at :LABEL of the script; eof: at its end", ShGoto, TRUE},
    {"help", "[COMMAND]", "list the commands, or explain one", Help},
    {"hexdump", "[FILE]", "print a file, or the input, in hexadecimal", ShHexdump},
    {"history", "", "list the lines that were typed", ShowHistory},
    {"kill", "PID", "end a process", ShKill},
    {"more", "[FILE]", "print a file, or the input, a page at a time", ShMore},
    {"rem", "[TEXT]", "do nothing", Remark, TRUE},
    {"run", "PROGRAM [ARGUMENT]...", "run a program and print its exit status", ShRunCommand},
    {"set", "[NAME[=VALUE]]", "show variables, or change one", Set, TRUE},
    {"sha256", "[FILE]...", "print the SHA-256 of files, or of the input", ShSha256},
    {"start", "PROGRAM [ARGUMENT]...", "start a program and do not wait for it", ShStartCommand},
    {"tasklist", "", "list the processes", ShTasklist},
    {"type", "[FILE]...", "print files, or the input", ShType},
    {"wait", "PID", "wait for the end of a process", ShWaitCommand},
};

const SH_BUILTIN *ShFindBuiltin(PCSTR Name)
{
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Builtins); Index++) {
        if (ShSame(Builtins[Index].Name, Name)) {
            return &Builtins[Index];
        }
    }
    return NULL;
}

static VOID HelpAbout(PCSTR Name)
{
    const SH_BUILTIN *Builtin = ShFindBuiltin(Name);
    PSTR Text;

    if (Builtin != NULL) {
        ShPrint("%s %s\n    %s\n", Builtin->Name, Builtin->Usage, Builtin->Help);
        return;
    }
    Text = ShAllocate(SH_LINE);
    _snprintf(Text, SH_LINE - 1, "help %s", Name);
    if (!NT_SUCCESS(ShKernelCommand(Text, Sh.Out))) {
        ShError("help: %s: no such command\n", Name);
    }
    ShFree(Text);
}

static VOID Help(const SH_COMMAND *Command)
{
    if (Command->Count > 1) {
        HelpAbout(Command->Words[1]);
        return;
    }
    ShPrint(
        "The shell's commands (`A | B`, `A & B`, `A && B`, `A || B`, `A < FILE`, `A > NUL`, `A 2>&1`, %%NAME%%):\n");
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Builtins); Index++) {
        ShPrint("%-10s %-22s %s\n", Builtins[Index].Name, Builtins[Index].Usage, Builtins[Index].Help);
    }
    ShPrint("%-10s %-22s %s\n", "if", "[not] CONDITION COMMAND", "errorlevel N, exist FILE, or A==B");
    ShPrint("Programs and scripts (NAME.exe, NAME.cmd) are found in \\SystemRoot\\System, here, and along PATH.\n"
            "The kernel's commands:\n");
    ShKernelCommand("help", Sh.Out);
}
