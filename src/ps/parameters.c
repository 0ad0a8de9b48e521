/*
 * parameters.c - a program's parameters: read from the program that starts it, written into the one that is started.
 *
 * The starter's block is read once, each string through its own pointer (an offset, if the block is not normalized), the environment up to the
 * empty string that ends it. The new process gets one block, structure and strings, with the environment behind it in the same
 * allocation. What the starter leaves out has a default.
 *
 * Locks: none. IRQL: PASSIVE_LEVEL.
 *
 * Source: winternl.h; Microsoft Learn, RTL_USER_PROCESS_PARAMETERS and "Environment Variables".
 */
#include "psp.h"

#include <ntos/peb.h>
#include <ntos/program.h>
#include <ntos/user.h>

#define MOST_ENVIRONMENT                                                                                               \
    0x20000U                  /* bytes; a quarter more than 32767 characters, the documented limit of one variable */
#define PIECE_CHARACTERS 256U /* read at a time while the end is looked for */

/* ---- Reading ---- */

static NTSTATUS CaptureField(PUNICODE_STRING Captured, const UNICODE_STRING *Field,
                             const RTL_USER_PROCESS_PARAMETERS *Block, BOOLEAN Normalized)
{
    UNICODE_STRING Header = *Field;
    PVOID Copy;
    NTSTATUS Status;

    RtlZeroMemory(Captured, sizeof(*Captured));
    if (Header.Length == 0 || Header.Buffer == NULL) {
        return STATUS_SUCCESS;
    }
    if (Header.Length % sizeof(WCHAR) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    if (!Normalized) {
        Header.Buffer = (PWSTR)((ULONG64)Block + (ULONG64)Header.Buffer);
    }
    Copy = ExAllocatePoolWithTag(PagedPool, Header.Length, PSP_TAG_PROGRAM);
    if (Copy == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Captured->Buffer = Copy;
    Captured->Length = Captured->MaximumLength = Header.Length;
    Status = ExCopyFromCaller(Copy, Header.Buffer, Header.Length);
    return Status;
}

/* Bytes of a caller's environment with both NULs. STATUS_INVALID_PARAMETER: there is no end to it. */
static NTSTATUS MeasureEnvironment(PCWSTR Environment, PULONG Bytes)
{
    WCHAR Piece[PIECE_CHARACTERS], Last = 1;
    ULONG Count;

    for (ULONG At = 0; At < MOST_ENVIRONMENT; At += Count * sizeof(WCHAR)) {
        ULONG64 Address = (ULONG64)Environment + At;
        NTSTATUS Status;

        /* Not beyond the page: the next one need not be there. */
        Count = min(PIECE_CHARACTERS, (ULONG)((PAGE_SIZE - (Address & (PAGE_SIZE - 1))) / sizeof(WCHAR)));
        Count = max(Count, 1U);
        Status = ExCopyFromCaller(Piece, (PVOID)Address, Count * sizeof(WCHAR));
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
        for (ULONG Index = 0; Index < Count; Index++) {
            if (Piece[Index] == 0 && (Last == 0 || At + Index == 0)) {
                *Bytes = At + (Index + 1) * (ULONG)sizeof(WCHAR);
                return STATUS_SUCCESS;
            }
            Last = Piece[Index];
        }
    }
    return STATUS_INVALID_PARAMETER;
}

static NTSTATUS CaptureEnvironment(PCWSTR Environment, PPSP_PROGRAM Program)
{
    ULONG Bytes;
    NTSTATUS Status;

    if (Environment == NULL) {
        return STATUS_SUCCESS;
    }
    Status = MeasureEnvironment(Environment, &Bytes);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    /* Two NULs of the kernel's own: it may have changed since it was measured. */
    Program->Environment = ExAllocatePoolWithTag(PagedPool, Bytes + 2 * sizeof(WCHAR), PSP_TAG_PROGRAM);
    if (Program->Environment == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory((PUCHAR)Program->Environment + Bytes, 2 * sizeof(WCHAR));
    Program->EnvironmentBytes = Bytes + 2 * (ULONG)sizeof(WCHAR);
    return ExCopyFromCaller(Program->Environment, Environment, Bytes);
}

NTSTATUS PspCaptureParameters(PRTL_USER_PROCESS_PARAMETERS Given, PPSP_PROGRAM Program)
{
    RTL_USER_PROCESS_PARAMETERS Block;
    NTSTATUS Status = ExCopyFromCaller(&Block, Given, sizeof(Block));
    BOOLEAN Normalized = (Block.Flags & RTL_USER_PROC_PARAMS_NORMALIZED) != 0;
    const struct {
        PUNICODE_STRING To;
        const UNICODE_STRING *From;
    } Fields[] = {{&Program->ImageName, &Block.ImagePathName},
                  {&Program->CommandLine, &Block.CommandLine},
                  {&Program->Directory, &Block.CurrentDirectory.DosPath},
                  {&Program->DllPath, &Block.DllPath},
                  {&Program->WindowTitle, &Block.WindowTitle},
                  {&Program->DesktopInfo, &Block.DesktopInfo},
                  {&Program->ShellInfo, &Block.ShellInfo}};

    for (ULONG Index = 0; NT_SUCCESS(Status) && Index < RTL_NUMBER_OF(Fields); Index++) {
        Status = CaptureField(Fields[Index].To, Fields[Index].From, Given, Normalized);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Program->Console = Block.ConsoleHandle;
    Program->ConsoleFlags = Block.ConsoleFlags;
    Program->DirectoryHandle = Block.CurrentDirectory.Handle;
    Program->Standard[0] = Block.StandardInput;
    Program->Standard[1] = Block.StandardOutput;
    Program->Standard[2] = Block.StandardError;
    return CaptureEnvironment(Block.Environment, Program);
}

VOID PspFreeProgram(PPSP_PROGRAM Program)
{
    PVOID Blocks[] = {Program->ImagePath.Buffer, Program->ImageName.Buffer,   Program->CommandLine.Buffer,
                      Program->Directory.Buffer, Program->DllPath.Buffer,     Program->WindowTitle.Buffer,
                      Program->ShellInfo.Buffer, Program->DesktopInfo.Buffer, Program->Environment};

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Blocks); Index++) {
        if (Blocks[Index] != NULL) {
            ExFreePoolWithTag(Blocks[Index], PSP_TAG_PROGRAM);
        }
    }
    RtlZeroMemory(Program, sizeof(*Program));
}

/* ---- Writing ---- */

/* A block under construction, and where it will be. */
typedef struct _PSP_BLOCK {
    PUCHAR Memory;
    ULONG64 Target;
    ULONG Used;
} PSP_BLOCK, *PPSP_BLOCK;

static ULONG PlacedBytes(PCUNICODE_STRING Text)
{
    return (ULONG)ALIGN_UP_BY(Text->Length + sizeof(WCHAR), sizeof(ULONG64));
}

/* Appends a string, or only counts it while there is no memory yet. */
static VOID PlaceString(PPSP_BLOCK Block, PUNICODE_STRING Field, PCUNICODE_STRING Text)
{
    if (Block->Memory != NULL) {
        RtlCopyMemory(Block->Memory + Block->Used, Text->Buffer, Text->Length);
        Field->Buffer = (PWSTR)(Block->Target + Block->Used);
        Field->Length = Text->Length;
        Field->MaximumLength = Text->Length + sizeof(WCHAR);
    }
    Block->Used += PlacedBytes(Text);
}

static VOID PlaceStrings(PPSP_BLOCK Block, const PSP_PROGRAM *Program, PRTL_USER_PROCESS_PARAMETERS Fields)
{
    static const UNICODE_STRING Directory = RTL_CONSTANT_STRING(L"D:\\"),
                                Dlls = RTL_CONSTANT_STRING(L"\\SystemRoot\\System");

    Block->Used = sizeof(*Fields);
    PlaceString(Block, &Fields->CurrentDirectory.DosPath,
                Program->Directory.Length != 0 ? &Program->Directory : &Directory);
    PlaceString(Block, &Fields->DllPath, Program->DllPath.Length != 0 ? &Program->DllPath : &Dlls);
    PlaceString(Block, &Fields->ImagePathName,
                Program->ImageName.Length != 0 ? &Program->ImageName : &Program->ImagePath);
    PlaceString(Block, &Fields->CommandLine, &Program->CommandLine);
    PlaceString(Block, &Fields->WindowTitle, &Program->WindowTitle);
    PlaceString(Block, &Fields->DesktopInfo, &Program->DesktopInfo);
    PlaceString(Block, &Fields->ShellInfo, &Program->ShellInfo);
}

NTSTATUS PspCreateParameters(const PSP_PROGRAM *Program, PRTL_USER_PROCESS_PARAMETERS *Parameters)
{
    static const WCHAR Default[] = L"SystemRoot=\\SystemRoot\0";
    const VOID *Environment = Program->Environment != NULL ? Program->Environment : Default;
    ULONG Bytes = Program->Environment != NULL ? Program->EnvironmentBytes : sizeof(Default);
    RTL_USER_PROCESS_PARAMETERS Measured = {0}, *Fields;
    PSP_BLOCK Block = {0};
    PVOID Target;
    NTSTATUS Status;

    PlaceStrings(&Block, Program, &Measured);
    Status = PspAllocateUser(&Target, Block.Used + Bytes);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Block.Target = (ULONG64)Target;
    Block.Memory = ExAllocatePoolWithTag(PagedPool, Block.Used, PSP_TAG_PROGRAM);
    if (Block.Memory == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(Block.Memory, Block.Used);
    Fields = (PRTL_USER_PROCESS_PARAMETERS)Block.Memory;
    PlaceStrings(&Block, Program, Fields);
    Fields->MaximumLength = Fields->Length = Block.Used;
    Fields->Flags = RTL_USER_PROC_PARAMS_NORMALIZED;
    Fields->ConsoleHandle = Program->Console;
    Fields->ConsoleFlags = Program->ConsoleFlags;
    Fields->CurrentDirectory.Handle = Program->DirectoryHandle;
    Fields->StandardInput = Program->Standard[0];
    Fields->StandardOutput = Program->Standard[1];
    Fields->StandardError = Program->Standard[2];
    Fields->Environment = (PWSTR)((PUCHAR)Target + Block.Used);
    Status = MmCopyToUser(Target, Block.Memory, Block.Used);
    if (NT_SUCCESS(Status)) {
        Status = MmCopyToUser((PUCHAR)Target + Block.Used, Environment, Bytes);
    }
    ExFreePoolWithTag(Block.Memory, PSP_TAG_PROGRAM);
    *Parameters = Target;
    return Status;
}
