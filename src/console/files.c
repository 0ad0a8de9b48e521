/*
 * files.c - the commands that show files: dir, type, sha256.
 *
 * They use the documented system services only (ZwOpenFile, ZwReadFile,
 * ZwQueryDirectoryFile), so that what they read has come the whole way: file
 * system, cache manager, section, page-in, disk driver. Files are opened for
 * synchronous, buffered access and read in CON_READ_BYTES steps; a long hash
 * reports progress on its own line.
 *
 * Every failure is printed with the file's name and the status, and ends the
 * command. PASSIVE_LEVEL, the console's thread only; buffers come from pool,
 * one a command. Must never keep a file open past its command: the tests count
 * the frames that go to standby when it ends.
 */
#include "consolep.h"
#include "sha256.h"
#include <ntos/ke.h>

#define CON_READ_BYTES      0x10000
#define CON_PROGRESS_BYTES  0x1000000
#define CON_DIRECTORY_BYTES 0x1000
#define CON_NAME_BYTES      (3 * 256) /* a file name in UTF-8 */

/* Gives every piece of a file to a routine. Returns what the routine or the
 * first failing service said. */
typedef VOID (*PCON_PIECE)(PVOID Context, const UCHAR *Data, ULONG Bytes);

static NTSTATUS ConpOpen(PCSTR Path, ACCESS_MASK Access, ULONG Options, PHANDLE Handle)
{
    static WCHAR Buffer[CON_PATH_CHARS]; /* the console's thread only */
    UNICODE_STRING Name = {.MaximumLength = sizeof(Buffer), .Buffer = Buffer};
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Io;
    NTSTATUS Status = ConpNtPath(Path, &Name);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwOpenFile(Handle, Access | SYNCHRONIZE, &Attributes, &Io, FILE_SHARE_READ,
                      Options | FILE_SYNCHRONOUS_IO_NONALERT);
}

static NTSTATUS ConpReadPieces(HANDLE File, PUCHAR Buffer, PCON_PIECE Routine, PVOID Context)
{
    IO_STATUS_BLOCK Io;
    NTSTATUS Status;

    for (;;) {
        Status = ZwReadFile(File, NULL, NULL, NULL, &Io, Buffer, CON_READ_BYTES, NULL, NULL);
        if (!NT_SUCCESS(Status)) {
            return Status == STATUS_END_OF_FILE ? STATUS_SUCCESS : Status;
        }
        if (Io.Information == 0) {
            return STATUS_SUCCESS;
        }
        Routine(Context, Buffer, (ULONG)Io.Information);
    }
}

/* Opens a file, reads all of it through Routine, closes it. Prints what failed.
 * TRUE: read to its end. */
static BOOLEAN ConpReadFile(PCSTR Command, PCSTR Path, PCON_PIECE Routine, PVOID Context)
{
    HANDLE File;
    PUCHAR Buffer;
    NTSTATUS Status = ConpOpen(Path, FILE_READ_DATA, FILE_NON_DIRECTORY_FILE | FILE_SEQUENTIAL_ONLY, &File);

    if (!NT_SUCCESS(Status)) {
        ConpPrintStatus(Command, Path, Status);
        return FALSE;
    }
    Buffer = ExAllocatePoolWithTag(NonPagedPool, CON_READ_BYTES, CON_POOL_TAG);
    Status = STATUS_INSUFFICIENT_RESOURCES;
    if (Buffer != NULL) {
        Status = ConpReadPieces(File, Buffer, Routine, Context);
        ExFreePoolWithTag(Buffer, CON_POOL_TAG);
    }
    ZwClose(File);
    if (!NT_SUCCESS(Status)) {
        ConpPrintStatus(Command, Path, Status);
    }
    return NT_SUCCESS(Status);
}

static BOOLEAN ConpWantsFile(ULONG ArgumentCount, PCSTR *Arguments)
{
    if (ArgumentCount >= 2) {
        return TRUE;
    }
    ConPrint("%s: which file?\n", Arguments[0]);
    return FALSE;
}

/* ---- type ---- */

static VOID ConpTypePiece(PVOID Context, const UCHAR *Data, ULONG Bytes)
{
    UCHAR *Last = Context;

    for (ULONG Index = 0; Index < Bytes; Index++) {
        if (Data[Index] != '\r') { /* the console adds its own */
            ConPrint("%c", Data[Index] >= ' ' || Data[Index] == '\n' || Data[Index] == '\t' ? Data[Index] : '.');
        }
    }
    *Last = Data[Bytes - 1];
}

static VOID ConpType(ULONG ArgumentCount, PCSTR *Arguments)
{
    UCHAR Last = '\n';

    if (ConpWantsFile(ArgumentCount, Arguments) && ConpReadFile(Arguments[0], Arguments[1], ConpTypePiece, &Last) &&
        Last != '\n') {
        ConPrint("\n");
    }
}
CONSOLE_COMMAND(ConpTypeCommand, "type", "FILE", "print a file", ConpType);

/* ---- sha256 ---- */

static VOID ConpHashPiece(PVOID Context, const UCHAR *Data, ULONG Bytes)
{
    PSHA256 Hash = Context;
    ULONG64 Before = Hash->Bytes / CON_PROGRESS_BYTES;

    Sha256Add(Hash, Data, Bytes);
    if (Hash->Bytes / CON_PROGRESS_BYTES != Before) {
        ConPrint("# %llu MB\n", Hash->Bytes >> 20);
    }
}

static VOID ConpSha256(ULONG ArgumentCount, PCSTR *Arguments)
{
    SHA256 Hash;
    UCHAR Digest[SHA256_BYTES];

    for (ULONG Index = 1; ConpWantsFile(ArgumentCount, Arguments) && Index < ArgumentCount; Index++) {
        Sha256Begin(&Hash);
        if (!ConpReadFile(Arguments[0], Arguments[Index], ConpHashPiece, &Hash)) {
            continue;
        }
        ULONG64 Bytes = Hash.Bytes;

        Sha256End(&Hash, Digest);
        for (ULONG Byte = 0; Byte < SHA256_BYTES; Byte++) {
            ConPrint("%02x", Digest[Byte]);
        }
        ConPrint("  %s (%llu bytes)\n", Arguments[Index], Bytes);
    }
}
CONSOLE_COMMAND(ConpSha256Command, "sha256", "FILE...", "print the SHA-256 of files", ConpSha256);

/* ---- dir ---- */

static VOID ConpShowEntry(const FILE_BOTH_DIR_INFORMATION *Entry)
{
    CHAR Name[CON_NAME_BYTES];
    TIME_FIELDS Time;
    LARGE_INTEGER Written = Entry->LastWriteTime;

    RtlTimeToTimeFields(&Written, &Time);
    ConpToUtf8(Entry->FileName, Entry->FileNameLength / sizeof(WCHAR), Name, sizeof(Name));
    ConPrint("%04d-%02d-%02d %02d:%02d ", Time.Year, Time.Month, Time.Day, Time.Hour, Time.Minute);
    if ((Entry->FileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0) {
        ConPrint("%12s %s\n", "<DIR>", Name);
    } else {
        ConPrint("%12lld %s\n", Entry->EndOfFile.QuadPart, Name);
    }
}

static NTSTATUS ConpListDirectory(HANDLE Directory, PVOID Buffer, PULONG Entries)
{
    IO_STATUS_BLOCK Io;

    for (*Entries = 0;;) {
        const FILE_BOTH_DIR_INFORMATION *Entry = Buffer;
        NTSTATUS Status = ZwQueryDirectoryFile(Directory, NULL, NULL, NULL, &Io, Buffer, CON_DIRECTORY_BYTES,
                                               FileBothDirectoryInformation, FALSE, NULL, *Entries == 0);

        if (Status == STATUS_NO_MORE_FILES) {
            return STATUS_SUCCESS;
        }
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
        for (;; Entry = (PVOID)((ULONG_PTR)Entry + Entry->NextEntryOffset)) {
            ConpShowEntry(Entry);
            ++*Entries;
            if (Entry->NextEntryOffset == 0) {
                break;
            }
        }
    }
}

static VOID ConpDir(ULONG ArgumentCount, PCSTR *Arguments)
{
    PCSTR Path = ArgumentCount > 1 ? Arguments[1] : "D:\\";
    HANDLE Directory;
    ULONG Entries = 0;
    PVOID Buffer;
    NTSTATUS Status = ConpOpen(Path, FILE_LIST_DIRECTORY, FILE_DIRECTORY_FILE, &Directory);

    if (!NT_SUCCESS(Status)) {
        ConpPrintStatus(Arguments[0], Path, Status);
        return;
    }
    Buffer = ExAllocatePoolWithTag(NonPagedPool, CON_DIRECTORY_BYTES, CON_POOL_TAG);
    Status = Buffer == NULL ? STATUS_INSUFFICIENT_RESOURCES : ConpListDirectory(Directory, Buffer, &Entries);
    if (Buffer != NULL) {
        ExFreePoolWithTag(Buffer, CON_POOL_TAG);
    }
    ZwClose(Directory);
    if (!NT_SUCCESS(Status)) {
        ConpPrintStatus(Arguments[0], Path, Status);
    }
    ConPrint("%lu entries\n", Entries);
}
CONSOLE_COMMAND(ConpDirCommand, "dir", "[PATH]", "list a directory (D:\\ unless told otherwise)", ConpDir);
