/*
 * complete.c - Tab: the name of a file, from its beginning.
 *
 * The directory part of the word is listed, and what begins like the rest, without regard to case, counts. What all of those have in common is put into the
 * line, in the case of the first; a directory that is the only one gets a backslash, a file a blank. If nothing can be added, the names are shown. Names with blanks are not
 * quoted: the user begins the word with a quote.
 */
#include "edit.h"

#define LIST_BYTES 0x1000
#define MOST_SHOWN 64

typedef struct _SH_MATCHES {
    CHAR Common[SH_PATH]; /* what all have in common */
    ULONG Count;
    BOOLEAN IsDirectory; /* of the first */
    BOOLEAN Show;
} SH_MATCHES;

static VOID TakeName(SH_MATCHES *Matches, const FILE_BOTH_DIR_INFORMATION *Entry, PCSTR Begin)
{
    static CHAR Name[SH_PATH];
    ULONG Length = 0;

    ShToNarrow(Entry->FileName, Entry->FileNameLength / sizeof(WCHAR), Name, sizeof(Name));
    if (!ShBeginsWith(Name, Begin) || ShSame(Name, ".") || ShSame(Name, "..")) {
        return;
    }
    if (Matches->Show && Matches->Count < MOST_SHOWN) {
        ShPrint("%s%s", Matches->Count == 0 ? "\n" : "  ", Name);
    }
    if (Matches->Count++ == 0) {
        ShCopy(Matches->Common, sizeof(Matches->Common), Name);
        Matches->IsDirectory = (Entry->FileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
        return;
    }
    while (Matches->Common[Length] != 0 && ShLower(Matches->Common[Length]) == ShLower(Name[Length])) {
        Length++;
    }
    Matches->Common[Length] = 0;
}

static VOID ListMatches(PCSTR Directory, PCSTR Begin, SH_MATCHES *Matches)
{
    IO_STATUS_BLOCK Io;
    HANDLE Handle;
    PVOID Buffer;

    if (!NT_SUCCESS(
            ShOpen(*Directory == 0 ? Sh.Directory : Directory, FILE_LIST_DIRECTORY, FILE_DIRECTORY_FILE, 0, &Handle))) {
        return;
    }
    Buffer = ShAllocate(LIST_BYTES);
    while (NT_SUCCESS(NtQueryDirectoryFile(Handle, NULL, NULL, NULL, &Io, Buffer, LIST_BYTES,
                                           FileBothDirectoryInformation, FALSE, NULL, FALSE))) {
        const FILE_BOTH_DIR_INFORMATION *Entry = Buffer;

        for (;; Entry = (PVOID)((ULONG_PTR)Entry + Entry->NextEntryOffset)) {
            TakeName(Matches, Entry, Begin);
            if (Entry->NextEntryOffset == 0) {
                break;
            }
        }
    }
    ShFree(Buffer);
    NtClose(Handle);
}

VOID EditComplete(SH_EDIT *Edit)
{
    SH_MATCHES *Matches = ShAllocate(sizeof(*Matches));
    PSTR Directory = ShAllocate(SH_PATH), Begin = ShAllocate(SH_PATH);
    ULONG Start = Edit->Cursor, Name, Known;
    BOOLEAN Added = FALSE;

    while (Start != 0 && Edit->Line[Start - 1] != ' ' && Edit->Line[Start - 1] != '"') {
        Start--;
    }
    for (Name = Edit->Cursor; Name != Start && Edit->Line[Name - 1] != '\\' && Edit->Line[Name - 1] != '/'; Name--) {
    }
    memcpy(Directory, Edit->Line + Start, Name - Start);
    memcpy(Begin, Edit->Line + Name, Edit->Cursor - Name);
    ListMatches(Directory, Begin, Matches);
    Known = ShLength(Begin);
    for (PCSTR Next = Matches->Common + Known; Matches->Count != 0 && *Next != 0; Next++) {
        EditInsert(Edit, *Next);
        Added = TRUE;
    }
    if (Matches->Count == 1) {
        EditInsert(Edit, Matches->IsDirectory ? '\\' : ' ');
    } else if (!Added && Matches->Count != 0) {
        Matches->Count = 0;
        Matches->Show = TRUE;
        ListMatches(Directory, Begin, Matches);
        ShPrint("\n");
        EditShowAgain(Edit);
    }
    ShFree(Begin);
    ShFree(Directory);
    ShFree(Matches);
}
