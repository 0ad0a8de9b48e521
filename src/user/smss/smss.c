/*
 * smss.c - the session manager: the first program, started by the kernel's console.
 *
 * It names the devices that programs expect below \??, sets the environment, and starts the shell on the console; when the shell ends it is started
 * again. A shell that does not start, or that fails as soon as it is started, MOST_FAILURES times in a row, ends the session manager with its status: the kernel
 * says so and opens its own prompt. The links live as long as the handles to them here.
 *
 * One thread, no locks.
 */
#include <oriel/program.h>

#define SHELL_PATH    L"\\SystemRoot\\System\\shell.exe"
#define MOST_FAILURES 3
#define TOO_SOON      20000000LL /* 2 s in 100 ns: no person ends a shell that fast so often */

static const struct {
    PCWSTR Link, Target;
} Links[] = {
    {L"\\??\\CON", L"\\Device\\Console"},     {L"\\??\\CONIN$", L"\\Device\\Console"},
    {L"\\??\\CONOUT$", L"\\Device\\Console"}, {L"\\??\\NUL", L"\\Device\\Null"},
    {L"\\??\\PIPE", L"\\Device\\NamedPipe"},
};

static const struct {
    PCWSTR Name, Value;
} Variables[] = {
    {L"SystemRoot", L"\\SystemRoot"},
    {L"SystemDrive", L"D:"},
    {L"OS", L"Oriel"},
    {L"PATH", L"D:\\System;D:\\"},
};

static VOID MakeLinks(VOID)
{
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Links); Index++) {
        OBJECT_ATTRIBUTES Attributes;
        UNICODE_STRING Link, Target;
        HANDLE Handle;
        NTSTATUS Status;

        RtlInitUnicodeString(&Link, Links[Index].Link);
        RtlInitUnicodeString(&Target, Links[Index].Target);
        InitializeObjectAttributes(&Attributes, &Link, OBJ_CASE_INSENSITIVE, NULL, NULL);
        Status = NtCreateSymbolicLinkObject(&Handle, SYMBOLIC_LINK_ALL_ACCESS, &Attributes, &Target);
        if (!NT_SUCCESS(Status) && Status != STATUS_OBJECT_NAME_COLLISION) {
            DbgPrint("smss: %wZ: 0x%08lX\n", &Link, (ULONG)Status);
        }
    }
}

static VOID SetVariables(VOID)
{
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Variables); Index++) {
        UNICODE_STRING Name, Value;

        RtlInitUnicodeString(&Name, Variables[Index].Name);
        RtlInitUnicodeString(&Value, Variables[Index].Value);
        RtlSetEnvironmentVariable(NULL, &Name, &Value);
    }
}

/* The console, for a standard handle that is inherited. */
static NTSTATUS OpenConsole(PHANDLE Handle)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\Device\\Console");
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Io;

    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_INHERIT, NULL, NULL);
    return NtOpenFile(Handle, FILE_READ_DATA | FILE_WRITE_DATA | SYNCHRONIZE, &Attributes, &Io,
                      FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_SYNCHRONOUS_IO_NONALERT);
}

static NTSTATUS StartShell(PRTL_USER_PROCESS_PARAMETERS Parameters, PHANDLE Process)
{
    static WCHAR Path[] = SHELL_PATH;
    PS_ATTRIBUTE_LIST List = {.TotalLength = sizeof(List)};
    HANDLE Thread;
    NTSTATUS Status;

    List.Attributes[0] =
        (PS_ATTRIBUTE){.Attribute = PS_ATTRIBUTE_IMAGE_NAME, .Size = sizeof(Path) - sizeof(WCHAR), .ValuePtr = Path};
    Status = NtCreateUserProcess(Process, &Thread, PROCESS_ALL_ACCESS, THREAD_ALL_ACCESS, NULL, NULL,
                                 PROCESS_CREATE_FLAGS_INHERIT_HANDLES, 0, Parameters, NULL, &List);
    if (NT_SUCCESS(Status)) {
        NtClose(Thread);
    }
    return Status;
}

static NTSTATUS WaitForShell(HANDLE Process)
{
    PROCESS_BASIC_INFORMATION Basic = {.ExitStatus = STATUS_UNSUCCESSFUL};

    NtWaitForSingleObject(Process, FALSE, NULL);
    NtQueryInformationProcess(Process, ProcessBasicInformation, &Basic, sizeof(Basic), NULL);
    NtClose(Process);
    return Basic.ExitStatus;
}

/* Runs the shell until there is no point in it. */
static NTSTATUS KeepShell(PRTL_USER_PROCESS_PARAMETERS Parameters)
{
    ULONG Failures = 0;
    NTSTATUS Status = STATUS_SUCCESS;

    while (Failures < MOST_FAILURES) {
        LARGE_INTEGER Begin, End;
        HANDLE Process;

        NtQuerySystemTime(&Begin);
        Status = StartShell(Parameters, &Process);
        if (!NT_SUCCESS(Status)) {
            DbgPrint("smss: the shell does not start: 0x%08lX\n", (ULONG)Status);
            return Status;
        }
        Status = WaitForShell(Process);
        NtQuerySystemTime(&End);
        DbgPrint("smss: the shell has ended: 0x%08lX\n", (ULONG)Status);
        Failures = NT_ERROR(Status) && End.QuadPart - Begin.QuadPart < TOO_SOON ? Failures + 1 : 0;
    }
    return Status;
}

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    RTL_USER_PROCESS_PARAMETERS Parameters = {.Flags = RTL_USER_PROC_PARAMS_NORMALIZED,
                                              .CommandLine = RTL_CONSTANT_STRING(L"shell")};
    PHANDLE Standard[] = {&Parameters.StandardInput, &Parameters.StandardOutput, &Parameters.StandardError};

    MakeLinks();
    SetVariables();
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Standard); Index++) {
        NTSTATUS Status = OpenConsole(Standard[Index]);

        if (!NT_SUCCESS(Status)) {
            DbgPrint("smss: no console: 0x%08lX\n", (ULONG)Status);
            return Status;
        }
    }
    Parameters.Environment = Peb->ProcessParameters->Environment;
    return KeepShell(&Parameters);
}
