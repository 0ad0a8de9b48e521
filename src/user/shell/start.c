/*
 * start.c - processes, the console device and commands of the kernel.
 *
 * A program gets handles of its own: the three standard ones are duplicated as inheritable, the process is made, and the duplicates are closed, so that
 * no other program inherits them and each end of a pipe has one owner. Where the standard handle is the console, a new file is opened instead: a file serves
 * one request at a time, and a program that waits for input must not hold up another's output.
 */
#include "shell.h"

#define PIPE_BYTES 0x1000 /* a writer is ahead of its reader by so much */

NTSTATUS ShOpenDevice(PCWSTR Name, ULONG Flags, PHANDLE Handle)
{
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Io;
    UNICODE_STRING Path;

    RtlInitUnicodeString(&Path, Name);
    InitializeObjectAttributes(&Attributes, &Path, OBJ_CASE_INSENSITIVE | Flags, NULL, NULL);
    return NtOpenFile(Handle, FILE_READ_DATA | FILE_WRITE_DATA | SYNCHRONIZE, &Attributes, &Io,
                      FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_SYNCHRONOUS_IO_NONALERT);
}

BOOLEAN ShIsConsole(HANDLE File)
{
    CONSOLE_INFO Info;
    IO_STATUS_BLOCK Io;

    return File != NULL && NT_SUCCESS(NtDeviceIoControlFile(File, NULL, NULL, NULL, &Io, IOCTL_CONSOLE_GET_INFO, NULL,
                                                            0, &Info, sizeof(Info)));
}

static NTSTATUS Inheritable(HANDLE Given, PHANDLE Handle)
{
    *Handle = NULL;
    if (Given == NULL) {
        return STATUS_SUCCESS;
    }
    if (ShIsConsole(Given)) {
        return ShOpenDevice(L"\\Device\\Console", OBJ_INHERIT, Handle);
    }
    return NtDuplicateObject(ZwCurrentProcess(), Given, ZwCurrentProcess(), Handle, 0, OBJ_INHERIT,
                             DUPLICATE_SAME_ACCESS);
}

static NTSTATUS Create(const SH_START *Start, PRTL_USER_PROCESS_PARAMETERS Parameters, PUNICODE_STRING Image,
                       PHANDLE Process, PHANDLE Thread)
{
    PS_ATTRIBUTE_LIST List = {.TotalLength = sizeof(List)};

    List.Attributes[0] =
        (PS_ATTRIBUTE){.Attribute = PS_ATTRIBUTE_IMAGE_NAME, .Size = Image->Length, .ValuePtr = Image->Buffer};
    return NtCreateUserProcess(Process, Thread, PROCESS_ALL_ACCESS, THREAD_ALL_ACCESS, NULL, NULL,
                               PROCESS_CREATE_FLAGS_INHERIT_HANDLES,
                               Start->Suspended ? THREAD_CREATE_FLAGS_CREATE_SUSPENDED : 0, Parameters, NULL, &List);
}

/**
 * ShStart - starts a program with the shell's directory and environment.
 *
 * @Start    what; its handles stay the caller's
 * @Process  gets handles, for the caller to close
 * @Id       the process's identifier; may be NULL
 * returns   STATUS_SUCCESS; STATUS_OBJECT_NAME_INVALID; what handles and NtCreateUserProcess say
 */
NTSTATUS ShStart(const SH_START *Start, PHANDLE Process, PHANDLE Thread, PULONG Id)
{
    RTL_USER_PROCESS_PARAMETERS Parameters = {.Flags = RTL_USER_PROC_PARAMS_NORMALIZED};
    PROCESS_BASIC_INFORMATION Basic = {.ExitStatus = STATUS_SUCCESS};
    PHANDLE Standard[] = {&Parameters.StandardInput, &Parameters.StandardOutput, &Parameters.StandardError};
    HANDLE Given[] = {Start->In, Start->Out, Start->Err};
    UNICODE_STRING Image = {0};
    NTSTATUS Status = STATUS_SUCCESS;

    if (!ShNtPath(Start->Image, &Image) || !ShToWide(Start->CommandLine, &Parameters.CommandLine) ||
        !ShToWide(Sh.Directory, &Parameters.CurrentDirectory.DosPath)) {
        Status = STATUS_OBJECT_NAME_INVALID;
    }
    Parameters.Environment = RtlGetCurrentPeb()->ProcessParameters->Environment;
    for (ULONG Index = 0; NT_SUCCESS(Status) && Index < RTL_NUMBER_OF(Standard); Index++) {
        Status = Inheritable(Given[Index], Standard[Index]);
    }
    if (NT_SUCCESS(Status)) {
        Status = Create(Start, &Parameters, &Image, Process, Thread);
    }
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Standard); Index++) {
        if (*Standard[Index] != NULL) {
            NtClose(*Standard[Index]);
        }
    }
    ShFree(Image.Buffer);
    ShFree(Parameters.CommandLine.Buffer);
    ShFree(Parameters.CurrentDirectory.DosPath.Buffer);
    if (NT_SUCCESS(Status) && Id != NULL) {
        NtQueryInformationProcess(*Process, ProcessBasicInformation, &Basic, sizeof(Basic), NULL);
        *Id = (ULONG)Basic.UniqueProcessId;
    }
    return Status;
}

NTSTATUS ShExitStatus(HANDLE Process)
{
    PROCESS_BASIC_INFORMATION Basic = {.ExitStatus = STATUS_UNSUCCESSFUL};

    NtWaitForSingleObject(Process, FALSE, NULL);
    NtQueryInformationProcess(Process, ProcessBasicInformation, &Basic, sizeof(Basic), NULL);
    return Basic.ExitStatus;
}

/**
 * ShCreatePipe - an anonymous pipe.
 *
 * @Read, @Write  get its ends, not inheritable
 * returns        what opening \Device\NamedPipe and the file system for pipes say
 */
NTSTATUS ShCreatePipe(PHANDLE Read, PHANDLE Write)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\Device\\NamedPipe\\"), Nothing = {0};
    LARGE_INTEGER Timeout = {.QuadPart = -1200000000LL}; /* for those who wait for an instance: nobody */
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Io;
    HANDLE Root;
    NTSTATUS Status;

    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    Status = NtOpenFile(&Root, FILE_READ_ATTRIBUTES | SYNCHRONIZE, &Attributes, &Io, FILE_SHARE_READ | FILE_SHARE_WRITE,
                        FILE_SYNCHRONOUS_IO_NONALERT);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    InitializeObjectAttributes(&Attributes, &Nothing, 0, Root, NULL);
    Status = NtCreateNamedPipeFile(Read, FILE_READ_DATA | FILE_READ_ATTRIBUTES | SYNCHRONIZE, &Attributes, &Io,
                                   FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_CREATE, FILE_SYNCHRONOUS_IO_NONALERT,
                                   FILE_PIPE_BYTE_STREAM_TYPE, FILE_PIPE_BYTE_STREAM_MODE, FILE_PIPE_QUEUE_OPERATION, 1,
                                   PIPE_BYTES, PIPE_BYTES, &Timeout);
    NtClose(Root);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    InitializeObjectAttributes(&Attributes, &Nothing, 0, *Read, NULL);
    Status = NtOpenFile(Write, FILE_WRITE_DATA | FILE_READ_ATTRIBUTES | SYNCHRONIZE, &Attributes, &Io,
                        FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_SYNCHRONOUS_IO_NONALERT | FILE_NON_DIRECTORY_FILE);
    if (!NT_SUCCESS(Status)) {
        NtClose(*Read);
    }
    return Status;
}

/**
 * ShKernelCommand - runs a command of the kernel's console.
 *
 * @Output  where what it prints goes
 * returns  STATUS_SUCCESS when it has run; STATUS_OBJECT_NAME_NOT_FOUND: there is no such command; STATUS_PRIVILEGE_NOT_HELD
 */
NTSTATUS ShKernelCommand(PCSTR Text, HANDLE Output)
{
    ULONG Length = ShLength(Text);
    PCONSOLE_COMMAND_REQUEST Request = ShAllocate(sizeof(*Request) + Length);
    IO_STATUS_BLOCK Io;
    NTSTATUS Status = STATUS_OBJECT_NAME_NOT_FOUND;

    Request->Output = ShIsConsole(Output) ? NULL : Output;
    memcpy(Request + 1, Text, Length);
    if (Sh.Console != NULL) {
        Status = NtDeviceIoControlFile(Sh.Console, NULL, NULL, NULL, &Io, IOCTL_CONSOLE_KERNEL_COMMAND, Request,
                                       (ULONG)sizeof(*Request) + Length, NULL, 0);
    }
    ShFree(Request);
    return Status;
}
