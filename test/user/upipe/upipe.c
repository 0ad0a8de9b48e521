/*
 * upipe.c - the suite of pipes: npfs.sys from ring 3.
 *
 * basic.c has what one thread sees, wait.c requests that wait, race.c several threads. Run with the word `held` the program
 * pends requests on pipes and waits to be killed: a case of race.c starts itself so.
 */
#include "upipe.h"

IO_STATUS_BLOCK Iosb;

static POBJECT_ATTRIBUTES Named(PCWSTR Name)
{
    static UNICODE_STRING String;
    static OBJECT_ATTRIBUTES Attributes;

    RtlInitUnicodeString(&String, Name);
    InitializeObjectAttributes(&Attributes, &String, OBJ_CASE_INSENSITIVE, NULL, NULL);
    return &Attributes;
}

NTSTATUS MakeServer(const PIPE_KIND *Kind, PHANDLE Server)
{
    LARGE_INTEGER Timeout = {.QuadPart = -500000};

    return NtCreateNamedPipeFile(
        Server, GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE, Named(Kind->Name), &Iosb,
        Kind->Share == 0 ? PIPE_DUPLEX : Kind->Share, Kind->Disposition == 0 ? FILE_OPEN_IF : Kind->Disposition,
        Kind->Asynchronous ? 0 : FILE_SYNCHRONOUS_IO_NONALERT, Kind->Type, Kind->Type, Kind->CompletionMode,
        Kind->Maximum == 0 ? 1 : Kind->Maximum, Kind->Quota == 0 ? 4096 : Kind->Quota,
        Kind->Quota == 0 ? 4096 : Kind->Quota, &Timeout);
}

NTSTATUS OpenClient(PCWSTR Name, ACCESS_MASK Access, BOOLEAN Asynchronous, PHANDLE Client)
{
    return NtOpenFile(Client, Access | SYNCHRONIZE | FILE_READ_ATTRIBUTES | FILE_WRITE_ATTRIBUTES, Named(Name), &Iosb,
                      FILE_SHARE_READ | FILE_SHARE_WRITE, Asynchronous ? 0 : FILE_SYNCHRONOUS_IO_NONALERT);
}

NTSTATUS SetModes(HANDLE File, ULONG ReadMode, ULONG CompletionMode)
{
    FILE_PIPE_INFORMATION Modes = {ReadMode, CompletionMode};

    return NtSetInformationFile(File, &Iosb, &Modes, sizeof(Modes), FilePipeInformation);
}

ULONG MakePair(const PIPE_KIND *Kind, PHANDLE Server, PHANDLE Client)
{
    ACCESS_MASK Access = (Kind->Share == PIPE_INBOUND)    ? FILE_WRITE_DATA
                         : (Kind->Share == PIPE_OUTBOUND) ? FILE_READ_DATA
                                                          : FILE_READ_DATA | FILE_WRITE_DATA;

    CHECK(MakeServer(Kind, Server) == STATUS_SUCCESS);
    CHECK(OpenClient(Kind->Name, Access, Kind->Asynchronous, Client) == STATUS_SUCCESS);
    CHECK(SetModes(*Client, Kind->Type, Kind->CompletionMode) == STATUS_SUCCESS);
    return 0;
}

NTSTATUS Control(HANDLE File, ULONG Code, PVOID In, ULONG InBytes, PVOID Out, ULONG OutBytes)
{
    return NtFsControlFile(File, NULL, NULL, NULL, &Iosb, Code, In, InBytes, Out, OutBytes);
}

NTSTATUS Put(HANDLE File, const VOID *Data, ULONG Bytes)
{
    return NtWriteFile(File, NULL, NULL, NULL, &Iosb, (PVOID)Data, Bytes, NULL, NULL);
}

NTSTATUS Get(HANDLE File, PVOID Data, ULONG Bytes)
{
    return NtReadFile(File, NULL, NULL, NULL, &Iosb, Data, Bytes, NULL, NULL);
}

ULONG StateOf(HANDLE File)
{
    FILE_PIPE_LOCAL_INFORMATION Info;

    return NT_SUCCESS(NtQueryInformationFile(File, &Iosb, &Info, sizeof(Info), FilePipeLocalInformation))
               ? Info.NamedPipeState
               : 0;
}

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    static USER_CASE Cases[64];
    PCUNICODE_STRING Line = &Peb->ProcessParameters->CommandLine;
    ULONG Count = 0;

    if (Line->Length >= 4 * sizeof(WCHAR) && Line->Buffer[Line->Length / sizeof(WCHAR) - 4] == L'h') {
        return BeHeld();
    }
    for (ULONG Index = 0; Index < BasicCount; Index++) {
        Cases[Count++] = BasicCases[Index];
    }
    for (ULONG Index = 0; Index < WaitCount; Index++) {
        Cases[Count++] = WaitCases[Index];
    }
    for (ULONG Index = 0; Index < RaceCount; Index++) {
        Cases[Count++] = RaceCases[Index];
    }
    return UserRunSuite("upipe", Cases, Count);
}
