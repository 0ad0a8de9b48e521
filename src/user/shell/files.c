/*
 * files.c - the commands that show files or their input: dir, type, more, sha256, hexdump.
 *
 * Without a file they read the standard input, so that they stand in pipelines. Files are read in SH_BUFFER pieces; a piece goes to a routine, which says
 * whether it wants more. Ctrl-C, and an output that takes nothing more, end each of them.
 */
#include "shell.h"

#include "../../console/sha256.h"

#define LIST_BYTES 0x1000
#define DUMP_BYTES 16 /* of a line */

/* FALSE: no more. */
typedef BOOLEAN (*SH_PIECE)(PVOID Context, const UCHAR *Data, ULONG Bytes);

static NTSTATUS ReadPieces(HANDLE File, SH_PIECE Routine, PVOID Context)
{
    PUCHAR Buffer = ShAllocate(SH_BUFFER);
    IO_STATUS_BLOCK Io;
    NTSTATUS Status;

    do {
        Status = NtReadFile(File, NULL, NULL, NULL, &Io, Buffer, SH_BUFFER, NULL, NULL);
    } while (NT_SUCCESS(Status) && Io.Information != 0 && !Sh.Broken && !ShCtrlC() &&
             Routine(Context, Buffer, (ULONG)Io.Information));
    ShFree(Buffer);
    return Status == STATUS_END_OF_FILE || Status == STATUS_PIPE_BROKEN || Status == STATUS_PIPE_DISCONNECTED ||
                   Status == STATUS_PIPE_CLOSING
               ? STATUS_SUCCESS
               : Status;
}

/* A file, or with NULL the input. FALSE: it could not be read; that was said. */
static BOOLEAN ReadInput(PCSTR Command, PCSTR Name, SH_PIECE Routine, PVOID Context)
{
    HANDLE File = Sh.In;
    NTSTATUS Status = STATUS_SUCCESS;

    if (Name != NULL) {
        Status = ShOpen(Name, FILE_READ_DATA, FILE_NON_DIRECTORY_FILE | FILE_SEQUENTIAL_ONLY, 0, &File);
    }
    if (NT_SUCCESS(Status)) {
        Status = ReadPieces(File, Routine, Context);
        if (Name != NULL) {
            NtClose(File);
        }
    }
    if (Status == STATUS_CANCELLED) {
        Sh.Interrupted = TRUE;
    } else if (!NT_SUCCESS(Status)) {
        ShErrorStatus(Command, Name != NULL ? Name : "input", Status);
    }
    return NT_SUCCESS(Status);
}

/* Every file that is named, or the input. */
static VOID ForEach(const SH_COMMAND *Command, VOID (*Routine)(PCSTR Command, PCSTR Name))
{
    if (Command->Count == 1) {
        Routine(Command->Words[0], NULL);
    }
    for (ULONG Index = 1; Index < Command->Count && !Sh.Broken && !ShCtrlC(); Index++) {
        Routine(Command->Words[0], Command->Words[Index]);
    }
}

/* ---- type ---- */

static BOOLEAN TypePiece(PVOID Context, const UCHAR *Data, ULONG Bytes)
{
    Sh.Broken |= !ShWrite(Sh.Out, Data, Bytes);
    return !Sh.Broken;
}

static VOID TypeOne(PCSTR Command, PCSTR Name)
{
    ReadInput(Command, Name, TypePiece, NULL);
}

VOID ShType(const SH_COMMAND *Command)
{
    ForEach(Command, TypeOne);
}

/* ---- sha256 ---- */

static BOOLEAN HashPiece(PVOID Context, const UCHAR *Data, ULONG Bytes)
{
    Sha256Add(Context, Data, Bytes);
    return TRUE;
}

static VOID HashOne(PCSTR Command, PCSTR Name)
{
    CHAR Text[2 * SHA256_BYTES + 1];
    UCHAR Digest[SHA256_BYTES];
    SHA256 Hash;
    ULONG64 Bytes;

    Sha256Begin(&Hash);
    if (!ReadInput(Command, Name, HashPiece, &Hash) || Sh.Interrupted) {
        return;
    }
    Bytes = Hash.Bytes;
    Sha256End(&Hash, Digest);
    for (ULONG Index = 0; Index < SHA256_BYTES; Index++) {
        _snprintf(Text + (SIZE_T)Index * 2, 3, "%02x", Digest[Index]);
    }
    ShPrint("%s  %s (%llu bytes)\n", Text, Name != NULL ? Name : "-", Bytes);
}

VOID ShSha256(const SH_COMMAND *Command)
{
    ForEach(Command, HashOne);
}

/* ---- hexdump ---- */

typedef struct _SH_DUMP {
    ULONG64 Offset;
    UCHAR Line[DUMP_BYTES];
    ULONG Filled;
} SH_DUMP;

static VOID DumpLine(SH_DUMP *Dump)
{
    static const CHAR Digits[] = "0123456789abcdef";
    CHAR Text[DUMP_BYTES * 4 + 8];
    ULONG Used = 0;

    for (ULONG Index = 0; Index < DUMP_BYTES; Index++) {
        BOOLEAN There = Index < Dump->Filled;

        Text[Used++] = ' ';
        Text[Used++] = There ? Digits[Dump->Line[Index] >> 4] : ' ';
        Text[Used++] = There ? Digits[Dump->Line[Index] & 15] : ' ';
    }
    Text[Used++] = ' ';
    Text[Used++] = ' ';
    for (ULONG Index = 0; Index < Dump->Filled; Index++) {
        Text[Used++] = Dump->Line[Index] >= ' ' && Dump->Line[Index] < 0x7F ? (CHAR)Dump->Line[Index] : '.';
    }
    Text[Used] = 0;
    ShPrint("%08llx%s\n", Dump->Offset, Text);
    Dump->Offset += Dump->Filled;
    Dump->Filled = 0;
}

static BOOLEAN DumpPiece(PVOID Context, const UCHAR *Data, ULONG Bytes)
{
    SH_DUMP *Dump = Context;

    for (ULONG Index = 0; Index < Bytes && !Sh.Broken; Index++) {
        Dump->Line[Dump->Filled++] = Data[Index];
        if (Dump->Filled == DUMP_BYTES) {
            DumpLine(Dump);
            if (ShCtrlC()) {
                return FALSE;
            }
        }
    }
    return !Sh.Broken;
}

static VOID DumpOne(PCSTR Command, PCSTR Name)
{
    SH_DUMP Dump = {0};

    ReadInput(Command, Name, DumpPiece, &Dump);
    if (Dump.Filled != 0) {
        DumpLine(&Dump);
    }
}

VOID ShHexdump(const SH_COMMAND *Command)
{
    ForEach(Command, DumpOne);
}

/* ---- more ---- */

typedef struct _SH_PAGER {
    ULONG Rows, Columns; /* of a page: one row is left for the question */
    ULONG Row, Column;
    BOOLEAN Ask; /* the output is the console, and there is one to ask */
} SH_PAGER;

/* FALSE: no more is wanted. */
static BOOLEAN AskForMore(SH_PAGER *Pager)
{
    static const CHAR Question[] = "-- more --", Gone[] = "\r          \r";
    CHAR Key;

    ShWrite(Sh.Out, Question, sizeof(Question) - 1);
    Key = ShReadKey();
    ShWrite(Sh.Out, Gone, sizeof(Gone) - 1);
    Pager->Row = Key == '\r' || Key == '\n' ? Pager->Rows - 1 : 0;
    if (Key != 0 && Key != 3 && ShLower(Key) != 'q') {
        return TRUE;
    }
    ShWrite(Sh.Out, "\n", 1);
    return FALSE;
}

static BOOLEAN MorePiece(PVOID Context, const UCHAR *Data, ULONG Bytes)
{
    SH_PAGER *Pager = Context;
    ULONG Start = 0;

    for (ULONG Index = 0; Index < Bytes; Index++) {
        Pager->Column += Data[Index] != '\r' && Data[Index] != '\n';
        if (Data[Index] != '\n' && Pager->Column < Pager->Columns) {
            continue;
        }
        Pager->Column = 0;
        if (++Pager->Row < Pager->Rows || !Pager->Ask) {
            continue;
        }
        TypePiece(NULL, Data + Start, Index + 1 - Start);
        Start = Index + 1;
        if (!AskForMore(Pager)) {
            return FALSE;
        }
    }
    return TypePiece(NULL, Data + Start, Bytes - Start);
}

static VOID MoreOne(PCSTR Command, PCSTR Name)
{
    SH_PAGER Pager = {.Rows = MAXLONG, .Columns = MAXLONG};
    CONSOLE_INFO Info;
    IO_STATUS_BLOCK Io;

    if (Sh.Console != NULL && NT_SUCCESS(NtDeviceIoControlFile(Sh.Out, NULL, NULL, NULL, &Io, IOCTL_CONSOLE_GET_INFO,
                                                               NULL, 0, &Info, sizeof(Info)))) {
        Pager = (SH_PAGER){.Rows = Info.Rows - 1, .Columns = Info.Columns, .Ask = TRUE};
    }
    ReadInput(Command, Name, MorePiece, &Pager);
}

VOID ShMore(const SH_COMMAND *Command)
{
    ForEach(Command, MoreOne);
}

/* ---- dir ---- */

static VOID ShowEntry(const FILE_BOTH_DIR_INFORMATION *Entry)
{
    static CHAR Name[SH_PATH];
    LARGE_INTEGER Written = Entry->LastWriteTime;
    TIME_FIELDS Time;

    RtlTimeToTimeFields(&Written, &Time);
    ShToNarrow(Entry->FileName, Entry->FileNameLength / sizeof(WCHAR), Name, sizeof(Name));
    if ((Entry->FileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0) {
        ShPrint("%04d-%02d-%02d %02d:%02d %12s %s\n", Time.Year, Time.Month, Time.Day, Time.Hour, Time.Minute, "<DIR>",
                Name);
    } else {
        ShPrint("%04d-%02d-%02d %02d:%02d %12lld %s\n", Time.Year, Time.Month, Time.Day, Time.Hour, Time.Minute,
                Entry->EndOfFile.QuadPart, Name);
    }
}

static NTSTATUS ListEntries(HANDLE Directory, PVOID Buffer, PULONG Entries)
{
    IO_STATUS_BLOCK Io;

    for (*Entries = 0; !Sh.Broken && !ShCtrlC();) {
        const FILE_BOTH_DIR_INFORMATION *Entry = Buffer;
        NTSTATUS Status = NtQueryDirectoryFile(Directory, NULL, NULL, NULL, &Io, Buffer, LIST_BYTES,
                                               FileBothDirectoryInformation, FALSE, NULL, *Entries == 0);

        if (!NT_SUCCESS(Status)) {
            return Status == STATUS_NO_MORE_FILES ? STATUS_SUCCESS : Status;
        }
        for (;; Entry = (PVOID)((ULONG_PTR)Entry + Entry->NextEntryOffset)) {
            ShowEntry(Entry);
            ++*Entries;
            if (Entry->NextEntryOffset == 0) {
                break;
            }
        }
    }
    return STATUS_SUCCESS;
}

VOID ShDir(const SH_COMMAND *Command)
{
    PCSTR Name = Command->Count > 1 ? Command->Words[1] : Sh.Directory;
    HANDLE Directory;
    ULONG Entries;
    PVOID Buffer;
    NTSTATUS Status = ShOpen(Name, FILE_LIST_DIRECTORY, FILE_DIRECTORY_FILE, 0, &Directory);

    if (!NT_SUCCESS(Status)) {
        ShErrorStatus("dir", Name, Status);
        return;
    }
    Buffer = ShAllocate(LIST_BYTES);
    Status = ListEntries(Directory, Buffer, &Entries);
    ShFree(Buffer);
    NtClose(Directory);
    if (NT_SUCCESS(Status)) {
        ShPrint("%lu entries\n", Entries);
    } else {
        ShErrorStatus("dir", Name, Status);
    }
}
