/*
 * tcon.c - what the tests of the console and the shell start: programs that wait, read, spin and crash, and a suite of the device's requests.
 *
 *   tcon spin       prints "spinning" and does so until it is ended
 *   tcon lines      prints each line of its standard input between brackets, and at the end how many there were
 *   tcon event      gives the console an event for Ctrl-C, prints "waiting", and after Ctrl-C "event"
 *   tcon status N   ends with N (hexadecimal)
 *   tcon crash      reads from address 8
 *   tcon many N     prints N lines
 *   tcon device     a KTAP suite: hostile requests to the console and to the null device
 */
#include <ntos/condev.h>

#include "../ktap.h"

static HANDLE Console;

static NTSTATUS Open(PCWSTR Name, ACCESS_MASK Access, PHANDLE Handle)
{
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Io;
    UNICODE_STRING Path;

    RtlInitUnicodeString(&Path, Name);
    InitializeObjectAttributes(&Attributes, &Path, OBJ_CASE_INSENSITIVE, NULL, NULL);
    return NtOpenFile(Handle, Access | SYNCHRONIZE, &Attributes, &Io, 0, FILE_SYNCHRONOUS_IO_NONALERT);
}

static NTSTATUS Control(HANDLE File, ULONG Code, PVOID Input, ULONG InputBytes, PVOID Output, ULONG OutputBytes)
{
    IO_STATUS_BLOCK Io;

    return NtDeviceIoControlFile(File, NULL, NULL, NULL, &Io, Code, Input, InputBytes, Output, OutputBytes);
}

/* ---- The suite ---- */

static ULONG CaseInfo(VOID)
{
    CONSOLE_INFO Info = {0};

    CHECK(Control(Console, IOCTL_CONSOLE_GET_INFO, NULL, 0, &Info, sizeof(Info)) == STATUS_SUCCESS);
    CHECK(Info.Rows >= 24 && Info.Columns >= 80 && Info.Mode == CONSOLE_MODE_LINES && Info.Screen <= 1);
    CHECK(Control(Console, IOCTL_CONSOLE_GET_INFO, NULL, 0, &Info, sizeof(Info) - 1) == STATUS_BUFFER_TOO_SMALL);
    CHECK(Control(Console, IOCTL_CONSOLE_GET_INFO, NULL, 0, KERNEL_POINTER, sizeof(Info)) == STATUS_ACCESS_VIOLATION);
    CHECK(Control(Console, CONSOLE_CODE(77, FILE_ANY_ACCESS), NULL, 0, NULL, 0) == STATUS_INVALID_DEVICE_REQUEST);
    return 0;
}

static ULONG CaseMode(VOID)
{
    ULONG Mode = 2;
    CONSOLE_INFO Info;
    HANDLE Other;

    CHECK(Control(Console, IOCTL_CONSOLE_SET_MODE, &Mode, sizeof(Mode), NULL, 0) == STATUS_INVALID_PARAMETER);
    CHECK(Control(Console, IOCTL_CONSOLE_SET_MODE, &Mode, 3, NULL, 0) == STATUS_BUFFER_TOO_SMALL);
    CHECK(Control(Console, IOCTL_CONSOLE_SET_MODE, KERNEL_POINTER, 4, NULL, 0) == STATUS_ACCESS_VIOLATION);
    Mode = CONSOLE_MODE_RAW;
    CHECK(Open(L"\\Device\\Console", FILE_READ_DATA, &Other) == STATUS_SUCCESS);
    CHECK(Control(Other, IOCTL_CONSOLE_SET_MODE, &Mode, sizeof(Mode), NULL, 0) == STATUS_SUCCESS);
    CHECK(Control(Other, IOCTL_CONSOLE_GET_INFO, NULL, 0, &Info, sizeof(Info)) == STATUS_SUCCESS);
    CHECK(Info.Mode == CONSOLE_MODE_RAW);
    CHECK(Control(Console, IOCTL_CONSOLE_GET_INFO, NULL, 0, &Info, sizeof(Info)) == STATUS_SUCCESS);
    CHECK(Info.Mode == CONSOLE_MODE_LINES); /* each open file has its own */
    CHECK(NtClose(Other) == STATUS_SUCCESS);
    return 0;
}

static ULONG CaseHandles(VOID)
{
    HANDLE Bad = (HANDLE)(ULONG_PTR)0x7FFC, Event, Job;

    CHECK(Control(Console, IOCTL_CONSOLE_SET_FOREGROUND, &Bad, sizeof(Bad), NULL, 0) == STATUS_INVALID_HANDLE);
    CHECK(Control(Console, IOCTL_CONSOLE_SET_FOREGROUND, &Bad, 4, NULL, 0) == STATUS_BUFFER_TOO_SMALL);
    CHECK(Control(Console, IOCTL_CONSOLE_SET_FOREGROUND, &Console, 8, NULL, 0) == STATUS_OBJECT_TYPE_MISMATCH);
    CHECK(Control(Console, IOCTL_CONSOLE_SET_CTRL_EVENT, &Bad, sizeof(Bad), NULL, 0) == STATUS_INVALID_HANDLE);
    CHECK(Control(Console, IOCTL_CONSOLE_SET_CTRL_EVENT, &Console, 8, NULL, 0) == STATUS_OBJECT_TYPE_MISMATCH);
    CHECK(NtCreateEvent(&Event, SYNCHRONIZE, NULL, NotificationEvent, FALSE) == STATUS_SUCCESS);
    CHECK(Control(Console, IOCTL_CONSOLE_SET_CTRL_EVENT, &Event, 8, NULL, 0) == STATUS_ACCESS_DENIED);
    CHECK(NtCreateJobObject(&Job, JOB_OBJECT_QUERY, NULL) == STATUS_SUCCESS);
    CHECK(Control(Console, IOCTL_CONSOLE_SET_FOREGROUND, &Job, 8, NULL, 0) == STATUS_ACCESS_DENIED);
    CHECK(NtClose(Event) == STATUS_SUCCESS && NtClose(Job) == STATUS_SUCCESS);
    return 0;
}

/* A handle that may only write neither sets modes nor takes the foreground; one that may only read runs no commands. */
static ULONG CaseRights(VOID)
{
    CONSOLE_COMMAND_REQUEST Request[2] = {{NULL}};
    ULONG Mode = CONSOLE_MODE_RAW;
    HANDLE Writer, Reader, Nothing = NULL;
    CHAR Byte = 'x';
    IO_STATUS_BLOCK Io;

    CHECK(Open(L"\\Device\\Console", FILE_WRITE_DATA, &Writer) == STATUS_SUCCESS);
    CHECK(Open(L"\\Device\\Console", FILE_READ_DATA, &Reader) == STATUS_SUCCESS);
    CHECK(Control(Writer, IOCTL_CONSOLE_SET_MODE, &Mode, sizeof(Mode), NULL, 0) == STATUS_ACCESS_DENIED);
    CHECK(Control(Writer, IOCTL_CONSOLE_SET_FOREGROUND, &Nothing, 8, NULL, 0) == STATUS_ACCESS_DENIED);
    CHECK(Control(Reader, IOCTL_CONSOLE_KERNEL_COMMAND, Request, sizeof(Request), NULL, 0) == STATUS_ACCESS_DENIED);
    CHECK(NtReadFile(Writer, NULL, NULL, NULL, &Io, &Byte, 1, NULL, NULL) == STATUS_ACCESS_DENIED);
    CHECK(NtWriteFile(Reader, NULL, NULL, NULL, &Io, &Byte, 1, NULL, NULL) == STATUS_ACCESS_DENIED);
    CHECK(NtClose(Writer) == STATUS_SUCCESS && NtClose(Reader) == STATUS_SUCCESS);
    CHECK(Open(L"\\Device\\Console\\below", FILE_READ_DATA, &Reader) == STATUS_OBJECT_NAME_NOT_FOUND);
    return 0;
}

static ULONG CaseCommand(VOID)
{
    struct {
        CONSOLE_COMMAND_REQUEST Head;
        CHAR Line[600];
    } Request = {{NULL}, "echo from the kernel"};

    CHECK(Control(Console, IOCTL_CONSOLE_KERNEL_COMMAND, &Request, 8, NULL, 0) == STATUS_BUFFER_TOO_SMALL);
    CHECK(Control(Console, IOCTL_CONSOLE_KERNEL_COMMAND, &Request, 8 + 40, NULL, 0) ==
          STATUS_INVALID_PARAMETER); /* NULs */
    CHECK(Control(Console, IOCTL_CONSOLE_KERNEL_COMMAND, &Request, 8 + 3, NULL, 0) == STATUS_OBJECT_NAME_NOT_FOUND);
    memset(Request.Line, 'a', sizeof(Request.Line));
    CHECK(Control(Console, IOCTL_CONSOLE_KERNEL_COMMAND, &Request, sizeof(Request), NULL, 0) == STATUS_NAME_TOO_LONG);
    memcpy(Request.Line, "echo", 4);
    Request.Head.Output = (HANDLE)(ULONG_PTR)0x7FFC;
    CHECK(Control(Console, IOCTL_CONSOLE_KERNEL_COMMAND, &Request, 8 + 4, NULL, 0) == STATUS_INVALID_HANDLE);
    return 0;
}

static ULONG CaseBuffers(VOID)
{
    IO_STATUS_BLOCK Io;
    CHAR Byte;

    CHECK(NtWriteFile(Console, NULL, NULL, NULL, &Io, KERNEL_POINTER, 8, NULL, NULL) == STATUS_ACCESS_VIOLATION);
    CHECK(NtWriteFile(Console, NULL, NULL, NULL, &Io, (PVOID)8, 8, NULL, NULL) == STATUS_ACCESS_VIOLATION);
    CHECK(NtWriteFile(Console, NULL, NULL, NULL, &Io, &Byte, 0, NULL, NULL) == STATUS_SUCCESS && Io.Information == 0);
    CHECK(NtReadFile(Console, NULL, NULL, NULL, &Io, KERNEL_POINTER, 8, NULL, NULL) == STATUS_ACCESS_VIOLATION);
    CHECK(NtReadFile(Console, NULL, NULL, NULL, &Io, &Byte, 0, NULL, NULL) == STATUS_SUCCESS && Io.Information == 0);
    return 0;
}

/* A thread that reads is ended by its process's wish, and the read with it. */
static NTSTATUS NTAPI ReadForever(PVOID Argument)
{
    IO_STATUS_BLOCK Io;
    CHAR Byte;

    return NtReadFile((HANDLE)Argument, NULL, NULL, NULL, &Io, &Byte, 1, NULL, NULL);
}

static ULONG CaseCancel(VOID)
{
    LARGE_INTEGER Delay = {.QuadPart = -200000};
    THREAD_BASIC_INFORMATION Basic;
    HANDLE Files[4], Threads[4];

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Files); Index++) {
        CHECK(Open(L"\\Device\\Console", FILE_READ_DATA, &Files[Index]) == STATUS_SUCCESS);
        Threads[Index] = StartThread((PVOID)(ULONG_PTR)ReadForever, Files[Index], 0);
        CHECK(Threads[Index] != NULL);
    }
    CHECK(NtDelayExecution(FALSE, &Delay) == STATUS_SUCCESS);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Files); Index++) {
        CHECK(NtTerminateThread(Threads[Index], 7) == STATUS_SUCCESS);
        CHECK(NtWaitForSingleObject(Threads[Index], FALSE, NULL) == STATUS_SUCCESS);
        CHECK(NtQueryInformationThread(Threads[Index], ThreadBasicInformation, &Basic, sizeof(Basic), NULL) ==
              STATUS_SUCCESS);
        CHECK(Basic.ExitStatus == 7);
        CHECK(NtClose(Threads[Index]) == STATUS_SUCCESS && NtClose(Files[Index]) == STATUS_SUCCESS);
    }
    return 0;
}

static ULONG CaseNull(VOID)
{
    IO_STATUS_BLOCK Io;
    HANDLE Null;
    CHAR Text[16];

    CHECK(Open(L"\\Device\\Null", FILE_READ_DATA | FILE_WRITE_DATA, &Null) == STATUS_SUCCESS);
    CHECK(NtWriteFile(Null, NULL, NULL, NULL, &Io, Text, sizeof(Text), NULL, NULL) == STATUS_SUCCESS);
    CHECK(Io.Information == sizeof(Text));
    CHECK(NtReadFile(Null, NULL, NULL, NULL, &Io, Text, sizeof(Text), NULL, NULL) == STATUS_END_OF_FILE);
    CHECK(NtClose(Null) == STATUS_SUCCESS);
    return 0;
}

static NTSTATUS Suite(VOID)
{
    static const USER_CASE Cases[] = {
        {"info", CaseInfo},       {"mode", CaseMode},       {"handles", CaseHandles}, {"rights", CaseRights},
        {"command", CaseCommand}, {"buffers", CaseBuffers}, {"cancel", CaseCancel},   {"null", CaseNull},
    };

    return UserRunSuite("tcon", Cases, RTL_NUMBER_OF(Cases));
}

/* ---- The programs ---- */

static NTSTATUS Lines(HANDLE Input)
{
    static CHAR Buffer[600];
    IO_STATUS_BLOCK Io;
    ULONG Count = 0;
    NTSTATUS Status;

    for (;;) {
        Status = NtReadFile(Input, NULL, NULL, NULL, &Io, Buffer, sizeof(Buffer) - 1, NULL, NULL);
        if (!NT_SUCCESS(Status) || Io.Information == 0) {
            break;
        }
        while (Io.Information != 0 && (Buffer[Io.Information - 1] == '\n' || Buffer[Io.Information - 1] == '\r')) {
            Io.Information--;
        }
        Buffer[Io.Information] = 0;
        DbgPrint("[%s]\n", Buffer);
        Count++;
    }
    DbgPrint("%lu lines, 0x%08lX\n", Count, (ULONG)Status);
    return STATUS_SUCCESS;
}

static NTSTATUS Event(VOID)
{
    LARGE_INTEGER Limit = {.QuadPart = -600000000LL};
    HANDLE Given;

    if (!NT_SUCCESS(NtCreateEvent(&Given, EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE)) ||
        Control(Console, IOCTL_CONSOLE_SET_CTRL_EVENT, &Given, sizeof(Given), NULL, 0) != STATUS_SUCCESS) {
        return STATUS_UNSUCCESSFUL;
    }
    DbgPrint("waiting\n");
    if (NtWaitForSingleObject(Given, FALSE, &Limit) != STATUS_SUCCESS) {
        return STATUS_TIMEOUT;
    }
    DbgPrint("event\n");
    return 5;
}

static BOOLEAN Is(PCSTR Text, PCSTR Word)
{
    while (*Word != 0 && *Text == *Word) {
        Text++;
        Word++;
    }
    return *Word == 0 && (*Text == 0 || *Text == ' ');
}

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    PUNICODE_STRING Line = &Peb->ProcessParameters->CommandLine;
    CHAR Text[200];
    ULONG Bytes = 0, Number = 0;
    PCSTR Verb = Text, Rest;

    RtlUnicodeToUTF8N(Text, sizeof(Text) - 1, &Bytes, Line->Buffer, Line->Length);
    Text[Bytes] = 0;
    while (*Verb != 0 && *Verb != ' ') {
        Verb++;
    }
    Verb += *Verb != 0;
    for (Rest = Verb; *Rest != 0 && *Rest != ' '; Rest++) {
    }
    for (Rest += *Rest != 0; *Rest != 0 && *Rest != ' '; Rest++) {
        Number = Number * 16 + (ULONG)(*Rest <= '9' ? *Rest - '0' : (*Rest | 32) - 'a' + 10);
    }
    if (!NT_SUCCESS(Open(L"\\Device\\Console", FILE_READ_DATA | FILE_WRITE_DATA, &Console))) {
        return STATUS_UNSUCCESSFUL;
    }
    if (Is(Verb, "spin")) {
        DbgPrint("spinning\n");
        for (volatile ULONG Count = 0;; Count++) {
        }
    }
    if (Is(Verb, "crash")) {
        return *(volatile NTSTATUS *)8;
    }
    for (ULONG Index = 1; Is(Verb, "many") && Index <= Number; Index++) {
        DbgPrint("line %lu\n", Index);
    }
    return Is(Verb, "lines")
               ? Lines(Peb->ProcessParameters->StandardInput != NULL ? Peb->ProcessParameters->StandardInput : Console)
           : Is(Verb, "event")  ? Event()
           : Is(Verb, "device") ? Suite()
           : Is(Verb, "status") ? (NTSTATUS)Number
                                : STATUS_SUCCESS;
}
