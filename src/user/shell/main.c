/*
 * main.c - shell.exe: the command line of the system.
 *
 *   shell                    reads lines: from a person at the console, or from whatever its standard input is
 *   shell /c LINE            runs one line: what a pipeline's built-ins are run by
 *   shell SCRIPT [ARGUMENT]  runs a script
 *
 * The exit status is the last ERRORLEVEL. A person's shell gives the console an event for Ctrl-C, so that it outlives what Ctrl-C ends.
 */
#include "shell.h"

SH_STATE Sh = {.Directory = "D:\\"};

static VOID GiveEvent(HANDLE Event)
{
    IO_STATUS_BLOCK Io;

    NtDeviceIoControlFile(Sh.Console, NULL, NULL, NULL, &Io, IOCTL_CONSOLE_SET_CTRL_EVENT, &Event, sizeof(Event), NULL,
                          0);
}

/* The console, if there is one: for keys, commands of the kernel and the foreground. */
static VOID OpenConsole(BOOLEAN Person)
{
    ULONG Mode = CONSOLE_MODE_RAW;
    IO_STATUS_BLOCK Io;

    if (!NT_SUCCESS(ShOpenDevice(L"\\Device\\Console", 0, &Sh.Console))) {
        Sh.Console = NULL;
        return;
    }
    NtDeviceIoControlFile(Sh.Console, NULL, NULL, NULL, &Io, IOCTL_CONSOLE_SET_MODE, &Mode, sizeof(Mode), NULL, 0);
    if (Person && NT_SUCCESS(NtCreateEvent(&Sh.CtrlEvent, EVENT_ALL_ACCESS, NULL, SynchronizationEvent, FALSE))) {
        GiveEvent(Sh.CtrlEvent);
    }
}

/* While a line is edited Ctrl-C is a key. In another shell's foreground it would be this shell's end: there the event stays. */
VOID ShWantCtrlC(BOOLEAN Wanted)
{
    if (Sh.CtrlEvent != NULL && !Sh.InJob) {
        GiveEvent(Wanted ? Sh.CtrlEvent : NULL);
    }
}

static VOID TakeStreams(PRTL_USER_PROCESS_PARAMETERS Parameters)
{
    PHANDLE Standard[] = {&Parameters->StandardInput, &Parameters->StandardOutput, &Parameters->StandardError};
    PHANDLE Own[] = {&Sh.OwnIn, &Sh.OwnOut, &Sh.OwnErr};

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Standard); Index++) {
        if (*Standard[Index] == NULL) { /* started without: by the kernel's prompt */
            ShOpenDevice(L"\\Device\\Console", 0, Standard[Index]);
        }
        *Own[Index] = *Standard[Index];
    }
    Sh.In = Sh.OwnIn;
    Sh.Out = Sh.OwnOut;
    Sh.Err = Sh.OwnErr;
}

/* The directory this shell was started in, if it is one of a drive; otherwise it goes to the first one it knows. */
static VOID TakeDirectory(PCUNICODE_STRING Given)
{
    static const UNICODE_STRING First = RTL_CONSTANT_STRING(L"D:\\");
    CHAR Path[SH_PATH];
    ULONG Length;

    ShToNarrow(Given->Buffer, Given->Length / sizeof(WCHAR), Path, sizeof(Path) - 1);
    Length = ShLength(Path);
    if (Length >= 2 && Path[1] == ':') {
        ShCopy(Sh.Directory, sizeof(Sh.Directory) - 1, Path);
        if (Path[Length - 1] != '\\') {
            Sh.Directory[Length] = '\\';
            Sh.Directory[Length + 1] = 0;
        }
    } else {
        RtlSetCurrentDirectory_U(&First);
    }
}

static VOID ReadLines(VOID)
{
    PSTR Line = ShAllocate(SH_LINE), Prompt = ShAllocate(SH_PATH + 3);

    if (Sh.Interactive) {
        ShPrint("Oriel's shell. `help` lists the commands.\n");
    }
    while (!Sh.Exiting) {
        ULONG Length = ShLength(Sh.Directory);

        _snprintf(Prompt, SH_PATH + 2, "%.*s> ", (int)(Length > 3 ? Length - 1 : Length), Sh.Directory);
        if (!(Sh.Interactive ? ShReadLine(Prompt, Line, SH_LINE) : ShReadPlain(Line, SH_LINE))) {
            break;
        }
        ShRunLine(Line);
    }
    ShFree(Prompt);
    ShFree(Line);
}

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    PRTL_USER_PROCESS_PARAMETERS Parameters = Peb->ProcessParameters;
    PSTR Line = ShAllocate(SH_LINE);
    PCSTR Rest = Line;

    TakeStreams(Parameters);
    TakeDirectory(&Parameters->CurrentDirectory.DosPath);
    ShToNarrow(Parameters->CommandLine.Buffer, Parameters->CommandLine.Length / sizeof(WCHAR), Line, SH_LINE);
    while (*Rest != 0 && !ShIsBlank(*Rest)) {
        Rest++;
    }
    Rest = ShSkipBlanks(Rest);
    Sh.InJob = NtIsProcessInJob(ZwCurrentProcess(), NULL) == STATUS_PROCESS_IN_JOB;
    Sh.Interactive = *Rest == 0 && ShIsConsole(Sh.OwnIn);
    OpenConsole(Sh.Interactive);
    if (*Rest == 0) {
        ReadLines();
    } else if (ShBeginsWith(Rest, "/c ")) {
        ShRunLine(Rest + 3);
    } else {
        ShRunLine(Rest);
    }
    return Sh.ErrorLevel;
}
