/*
 * dirctrl.c - IRP_MJ_DIRECTORY_CONTROL: listing the pipes that have a name.
 *
 * The first query on a handle of the root fixes its pattern; each goes on where the one before ended, unless it restarts. The place is the number of
 * names passed: a pipe that goes away meanwhile may make the listing miss another. An entry shows the number of instances as its size and
 * the most there may be as its allocated size, as is usual. An entry that does not fit is returned by the next query; if it is the
 * first of a query its name is cut and the status says so.
 *
 * Lock: the resource, exclusive, for the handle's place too. IRQL: PASSIVE_LEVEL. Source: WDK documentation of ZwQueryDirectoryFile.
 */
#include "np.h"

/* Where a class of entry keeps what. */
typedef struct _NP_LAYOUT {
    FILE_INFORMATION_CLASS Class;
    USHORT NameLength;
    USHORT Name;
    BOOLEAN Full; /* has sizes and attributes */
} NP_LAYOUT;

#define NP_ENTRY_OF(Class, Type, Full) {Class, FIELD_OFFSET(Type, FileNameLength), FIELD_OFFSET(Type, FileName), Full}

static const NP_LAYOUT NpLayouts[] = {
    NP_ENTRY_OF(FileDirectoryInformation, FILE_DIRECTORY_INFORMATION, TRUE),
    NP_ENTRY_OF(FileFullDirectoryInformation, FILE_FULL_DIR_INFORMATION, TRUE),
    NP_ENTRY_OF(FileBothDirectoryInformation, FILE_BOTH_DIR_INFORMATION, TRUE),
    NP_ENTRY_OF(FileIdFullDirectoryInformation, FILE_ID_FULL_DIR_INFORMATION, TRUE),
    NP_ENTRY_OF(FileIdBothDirectoryInformation, FILE_ID_BOTH_DIR_INFORMATION, TRUE),
    NP_ENTRY_OF(FileNamesInformation, FILE_NAMES_INFORMATION, FALSE),
};

/* The classes with sizes agree on where they are. */
C_ASSERT(FIELD_OFFSET(FILE_DIRECTORY_INFORMATION, FileAttributes) ==
         FIELD_OFFSET(FILE_ID_BOTH_DIR_INFORMATION, FileAttributes));
C_ASSERT(FIELD_OFFSET(FILE_DIRECTORY_INFORMATION, EndOfFile) == FIELD_OFFSET(FILE_BOTH_DIR_INFORMATION, EndOfFile));

typedef struct _NP_LISTING {
    PNP_ROOT Root;
    const NP_LAYOUT *Layout;
    PUCHAR Buffer;
    ULONG Length, Used;
    PULONG Link;  /* NextEntryOffset of the entry before, or NULL */
    ULONG LinkAt; /* its offset */
    BOOLEAN Single;
} NP_LISTING;

/* STATUS_BUFFER_TOO_SMALL: it does not fit and was left out; STATUS_BUFFER_OVERFLOW: the first one, its name cut. */
static NTSTATUS NpPutName(NP_LISTING *Listing, PNP_PIPE Pipe)
{
    const NP_LAYOUT *Layout = Listing->Layout;
    ULONG At = (Listing->Used + 7) & ~7U, Part; /* entries are aligned for their 64-bit fields */
    PUCHAR Entry = Listing->Buffer + At;

    if (At > Listing->Length || Listing->Length - At < Layout->Name ||
        (Listing->Link != NULL && Listing->Length - At - Layout->Name < Pipe->Name.Length)) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    Part = min(Pipe->Name.Length, (Listing->Length - At - Layout->Name) & ~1U);
    RtlZeroMemory(Entry, Layout->Name);
    if (Layout->Full) {
        PFILE_DIRECTORY_INFORMATION Info = (PFILE_DIRECTORY_INFORMATION)Entry;

        Info->EndOfFile.QuadPart = Pipe->Count;
        Info->AllocationSize.QuadPart = (LONG)Pipe->Maximum; /* no limit is -1 */
        Info->FileAttributes = FILE_ATTRIBUTE_NORMAL;
    }
    *(PULONG)(Entry + Layout->NameLength) = Pipe->Name.Length;
    RtlCopyMemory(Entry + Layout->Name, Pipe->Name.Buffer, Part);
    if (Listing->Link != NULL) {
        *Listing->Link = At - Listing->LinkAt;
    }
    Listing->Link = (PULONG)Entry; /* NextEntryOffset comes first in every class */
    Listing->LinkAt = At;
    Listing->Used = At + Layout->Name + Part;
    return (Part < Pipe->Name.Length) ? STATUS_BUFFER_OVERFLOW : STATUS_SUCCESS;
}

/* Fixes the handle's pattern at its first query, and where this query begins. */
static NTSTATUS NpBeginListing(PNP_ROOT Root, PIO_STACK_LOCATION Stack)
{
    PUNICODE_STRING Pattern = Stack->Parameters.QueryDirectory.FileName;

    if (!Root->Started) {
        if (Pattern != NULL && Pattern->Length != 0 &&
            !(Pattern->Length == sizeof(WCHAR) && Pattern->Buffer[0] == L'*')) {
            NTSTATUS Status = RtlUpcaseUnicodeString(&Root->Pattern, Pattern, TRUE);

            if (!NT_SUCCESS(Status)) {
                return Status;
            }
        }
        Root->Started = TRUE;
    }
    if ((Stack->Flags & SL_RESTART_SCAN) != 0) {
        Root->Position = 0;
        Root->Returned = FALSE;
    }
    return STATUS_SUCCESS;
}

static NTSTATUS NpList(NP_LISTING *Listing)
{
    PNP_ROOT Root = Listing->Root;
    ULONG Place = 0;

    for (PLIST_ENTRY Link = NpPipes.Flink; Link != &NpPipes; Link = Link->Flink, Place++) {
        PNP_PIPE Pipe = CONTAINING_RECORD(Link, NP_PIPE, Link);
        NTSTATUS Status;

        if (Place < Root->Position) {
            continue;
        }
        if (Root->Pattern.Length != 0 && !FsRtlIsNameInExpression(&Root->Pattern, &Pipe->Name, TRUE, NULL)) {
            Root->Position = Place + 1;
            continue;
        }
        if (Listing->Link != NULL && Listing->Single) {
            return STATUS_SUCCESS;
        }
        Status = NpPutName(Listing, Pipe);
        if (Status != STATUS_SUCCESS) {
            return (Status == STATUS_BUFFER_TOO_SMALL) ? STATUS_SUCCESS : Status; /* the next query begins with it */
        }
        Root->Position = Place + 1;
        Root->Returned = TRUE;
    }
    if (Listing->Link != NULL) {
        return STATUS_SUCCESS;
    }
    return Root->Returned ? STATUS_NO_MORE_FILES : STATUS_NO_SUCH_FILE;
}

/**
 * NpDirectoryControl - IRP_MJ_DIRECTORY_CONTROL.
 *
 * Errors: STATUS_NO_SUCH_FILE (nothing matches), STATUS_NO_MORE_FILES, STATUS_BUFFER_OVERFLOW (the only entry was cut),
 * STATUS_INFO_LENGTH_MISMATCH, STATUS_INVALID_INFO_CLASS, STATUS_INVALID_PARAMETER (not the root), STATUS_NOT_SUPPORTED (notification).
 */
NTSTATUS NpDirectoryControl(PIRP Irp, PIO_STACK_LOCATION Stack)
{
    NP_LISTING Listing = {.Root = NpRootOf(Stack->FileObject), .Buffer = Irp->AssociatedIrp.SystemBuffer};
    NTSTATUS Status;

    if (Stack->MinorFunction != IRP_MN_QUERY_DIRECTORY) {
        return NpComplete(Irp, STATUS_NOT_SUPPORTED, 0);
    }
    if (Listing.Root == NULL) {
        return NpComplete(Irp, STATUS_INVALID_PARAMETER, 0);
    }
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(NpLayouts); Index++) {
        if (NpLayouts[Index].Class == Stack->Parameters.QueryDirectory.FileInformationClass) {
            Listing.Layout = &NpLayouts[Index];
        }
    }
    if (Listing.Layout == NULL) {
        return NpComplete(Irp, STATUS_INVALID_INFO_CLASS, 0);
    }
    Listing.Length = Stack->Parameters.QueryDirectory.Length;
    if (Listing.Length < Listing.Layout->Name) {
        return NpComplete(Irp, STATUS_INFO_LENGTH_MISMATCH, 0);
    }
    Listing.Single = (Stack->Flags & SL_RETURN_SINGLE_ENTRY) != 0;
    ExAcquireResourceExclusiveLite(&NpResource, TRUE);
    Status = NpBeginListing(Listing.Root, Stack);
    if (NT_SUCCESS(Status)) {
        Status = NpList(&Listing);
    }
    ExReleaseResourceLite(&NpResource);
    return NpComplete(Irp, Status, Listing.Used);
}
