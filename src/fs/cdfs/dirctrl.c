/*
 * dirctrl.c - IRP_MJ_DIRECTORY_CONTROL: listing directories.
 *
 * The first query on a handle fixes its pattern; each query goes on where the one before ended, unless it restarts. The root
 * shows no "." and "..". An entry that does not fit is returned by the next query; if it is the first one of a query,
 * its name is cut and the status says so. Damaged files are listed: it is their data that cannot be had.
 *
 * Six classes share their first fields, so an entry is filled by a table of where each class keeps the others. A user's
 * buffer is locked and mapped before it is filled. Change notification on a disc that cannot change is not offered.
 */
#include "cd.h"

/* Where a class of entry keeps what. Offset 0 means that it has no such field. */
typedef struct _CD_ENTRY_LAYOUT {
    FILE_INFORMATION_CLASS Class;
    USHORT NameLength;
    USHORT FileId;
    USHORT Name;
    BOOLEAN Full; /* has times, sizes and attributes */
} CD_ENTRY_LAYOUT;

#define CD_LAYOUT(Class, Type, Id, Full)                                                                               \
    {Class, FIELD_OFFSET(Type, FileNameLength), Id, FIELD_OFFSET(Type, FileName), Full}

static const CD_ENTRY_LAYOUT CdLayouts[] = {
    CD_LAYOUT(FileDirectoryInformation, FILE_DIRECTORY_INFORMATION, 0, TRUE),
    CD_LAYOUT(FileFullDirectoryInformation, FILE_FULL_DIR_INFORMATION, 0, TRUE),
    CD_LAYOUT(FileBothDirectoryInformation, FILE_BOTH_DIR_INFORMATION, 0, TRUE),
    CD_LAYOUT(FileIdFullDirectoryInformation, FILE_ID_FULL_DIR_INFORMATION,
              FIELD_OFFSET(FILE_ID_FULL_DIR_INFORMATION, FileId), TRUE),
    CD_LAYOUT(FileIdBothDirectoryInformation, FILE_ID_BOTH_DIR_INFORMATION,
              FIELD_OFFSET(FILE_ID_BOTH_DIR_INFORMATION, FileId), TRUE),
    CD_LAYOUT(FileNamesInformation, FILE_NAMES_INFORMATION, 0, FALSE),
};

/* The classes with times and sizes agree on where they are, up to the name's length. */
C_ASSERT(FIELD_OFFSET(FILE_DIRECTORY_INFORMATION, FileNameLength) ==
         FIELD_OFFSET(FILE_BOTH_DIR_INFORMATION, FileNameLength));
C_ASSERT(FIELD_OFFSET(FILE_DIRECTORY_INFORMATION, FileAttributes) ==
         FIELD_OFFSET(FILE_ID_FULL_DIR_INFORMATION, FileAttributes));
C_ASSERT(FIELD_OFFSET(FILE_DIRECTORY_INFORMATION, EndOfFile) == FIELD_OFFSET(FILE_ID_BOTH_DIR_INFORMATION, EndOfFile));

typedef struct _CD_QUERY {
    PCD_FCB Directory;
    PCD_CCB Ccb;
    const CD_ENTRY_LAYOUT *Layout;
    PUCHAR Buffer;
    ULONG Length;
    ULONG Used;   /* bytes of the buffer that hold whole entries */
    PULONG Link;  /* NextEntryOffset of the entry before, or NULL */
    ULONG LinkAt; /* its offset */
    BOOLEAN Single;
} CD_QUERY;

static const CD_ENTRY_LAYOUT *CdFindLayout(FILE_INFORMATION_CLASS Class)
{
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(CdLayouts); Index++) {
        if (CdLayouts[Index].Class == Class) {
            return &CdLayouts[Index];
        }
    }
    return NULL;
}

static VOID CdFillSizes(PFILE_DIRECTORY_INFORMATION Entry, const ISO_RECORD *Record)
{
    BOOLEAN Directory = (Record->Flags & ISO_FLAG_DIRECTORY) != 0;

    CdConvertDate(Record->Date, &Entry->CreationTime);
    Entry->LastWriteTime = Entry->CreationTime;
    Entry->EndOfFile.QuadPart = Directory ? 0 : (LONGLONG)Record->Extent.Bytes;
    Entry->AllocationSize.QuadPart = (Entry->EndOfFile.QuadPart + ISO_SECTOR - 1) / ISO_SECTOR * ISO_SECTOR;
    Entry->FileAttributes = CdRecordAttributes(Record);
}

/*
 * Puts an entry behind those in the buffer. STATUS_BUFFER_TOO_SMALL: it does not fit and was left out;
 * STATUS_BUFFER_OVERFLOW: it is the first one, and its name was cut.
 */
static NTSTATUS CdPutEntry(CD_QUERY *Query, const ISO_RECORD *Record)
{
    const CD_ENTRY_LAYOUT *Layout = Query->Layout;
    ULONG At = (Query->Used + 7) & ~7U; /* entries are aligned for their 64-bit fields */
    ULONG NameBytes = Record->NameLength * sizeof(WCHAR);
    PUCHAR Entry = Query->Buffer + At;
    ULONG Room;

    if (At > Query->Length || Query->Length - At < Layout->Name) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    Room = Query->Length - At - Layout->Name;
    if (Room < NameBytes && Query->Link != NULL) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    RtlZeroMemory(Entry, Layout->Name);
    if (Layout->Full) {
        CdFillSizes((PFILE_DIRECTORY_INFORMATION)Entry, Record);
    }
    if (Layout->FileId != 0) {
        *(PULONGLONG)(Entry + Layout->FileId) = CdEntryId(Query->Directory, Record);
    }
    *(PULONG)(Entry + Layout->NameLength) = NameBytes;
    RtlCopyMemory(Entry + Layout->Name, Record->Name, min(NameBytes, Room & ~1U));
    if (Query->Link != NULL) {
        *Query->Link = At - Query->LinkAt;
    }
    Query->Link = (PULONG)Entry; /* NextEntryOffset comes first in every class */
    Query->LinkAt = At;
    Query->Used = At + Layout->Name + min(NameBytes, Room & ~1U);
    return Room < NameBytes ? STATUS_BUFFER_OVERFLOW : STATUS_SUCCESS;
}

static BOOLEAN CdMatches(const CD_QUERY *Query, ISO_RECORD *Record)
{
    UNICODE_STRING Name;

    if (Record->Kind != IsoNameOrdinary && Query->Directory->Parent == NULL) {
        return FALSE;
    }
    if ((Query->Ccb->Flags & CD_CCB_MATCH_ALL) != 0) {
        return TRUE;
    }
    Name.Buffer = Record->Name;
    Name.Length = Name.MaximumLength = (USHORT)(Record->NameLength * sizeof(WCHAR));
    return FsRtlIsNameInExpression(&Query->Ccb->Pattern, &Name, TRUE, NULL);
}

/* Fills the buffer with the entries from the handle's position on. */
static NTSTATUS CdFillEntries(CD_QUERY *Query, PCD_READER Reader, ISO_RECORD *Record)
{
    PCD_CCB Ccb = Query->Ccb;

    for (;;) {
        ULONG Next = Ccb->Offset;
        ISO_RESULT Result = CdNextEntry(Reader, &Next, Record);
        NTSTATUS Status;

        if (Result == IsoCorrupt) {
            return Query->Link != NULL ? STATUS_SUCCESS : STATUS_DISK_CORRUPT_ERROR;
        }
        if (Result == IsoEnd) {
            if (Query->Link != NULL) {
                return STATUS_SUCCESS;
            }
            return (Ccb->Flags & CD_CCB_RETURNED) != 0 ? STATUS_NO_MORE_FILES : STATUS_NO_SUCH_FILE;
        }
        if (!CdMatches(Query, Record)) {
            Ccb->Offset = Next;
            continue;
        }
        if (Query->Link != NULL && Query->Single) {
            return STATUS_SUCCESS;
        }
        Status = CdPutEntry(Query, Record);
        if (Status != STATUS_SUCCESS) {
            /* The position stays, so that the next query, with a new buffer, begins with this entry. */
            return Status == STATUS_BUFFER_TOO_SMALL ? STATUS_SUCCESS : Status;
        }
        Ccb->Offset = Next;
        Ccb->Flags |= CD_CCB_RETURNED;
    }
}

/* Fixes the handle's pattern at its first query, and where this query begins. */
static NTSTATUS CdBeginQuery(PCD_CCB Ccb, PIO_STACK_LOCATION Stack)
{
    PUNICODE_STRING Pattern = Stack->Parameters.QueryDirectory.FileName;

    if ((Ccb->Flags & CD_CCB_STARTED) == 0) {
        BOOLEAN All =
            Pattern == NULL || Pattern->Length == 0 || (Pattern->Length == sizeof(WCHAR) && Pattern->Buffer[0] == L'*');

        if (!All) {
            NTSTATUS Status = RtlUpcaseUnicodeString(&Ccb->Pattern, Pattern, TRUE);

            if (!NT_SUCCESS(Status)) {
                return Status;
            }
        }
        Ccb->Flags |= CD_CCB_STARTED | (All ? CD_CCB_MATCH_ALL : 0);
    }
    if ((Stack->Flags & SL_RESTART_SCAN) != 0) {
        Ccb->Offset = 0;
        Ccb->Flags &= ~CD_CCB_RETURNED;
    }
    return STATUS_SUCCESS;
}

static NTSTATUS CdQueryDirectory(CD_QUERY *Query, PIO_STACK_LOCATION Stack)
{
    ISO_RECORD *Record = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Record), CD_TAG_IO);
    CD_READER Reader;
    NTSTATUS Status;

    if (Record == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    CdBeginReading(&Reader, Query->Directory);
    __try {
        Status = CdBeginQuery(Query->Ccb, Stack);
        if (NT_SUCCESS(Status)) {
            Status = CdOpenStream(Query->Directory);
        }
        if (NT_SUCCESS(Status)) {
            Status = CdFillEntries(Query, &Reader, Record);
        }
    } __finally {
        CdEndReading(&Reader);
        ExFreePoolWithTag(Record, CD_TAG_IO);
    }
    return Status;
}

/**
 * CdDirectoryControl - IRP_MJ_DIRECTORY_CONTROL.
 *
 * Errors: STATUS_NO_SUCH_FILE (nothing matches), STATUS_NO_MORE_FILES, STATUS_BUFFER_OVERFLOW (the only entry was cut),
 * STATUS_INFO_LENGTH_MISMATCH (no room for the fixed part), STATUS_INVALID_INFO_CLASS, STATUS_INVALID_PARAMETER (no directory),
 * STATUS_INVALID_DEVICE_REQUEST (notification), STATUS_DISK_CORRUPT_ERROR, the drive's.  IRQL: PASSIVE_LEVEL.
 */
NTSTATUS CdDirectoryControl(PCD_VCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack)
{
    CD_QUERY Query = {.Directory = CdFcbOf(Stack->FileObject), .Ccb = Stack->FileObject->FsContext2};
    NTSTATUS Status;

    if (Stack->MinorFunction != IRP_MN_QUERY_DIRECTORY) {
        return CdComplete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
    if (Query.Directory == NULL || !CdIsDirectory(Query.Directory) || Query.Ccb == NULL) {
        return CdComplete(Irp, STATUS_INVALID_PARAMETER, 0);
    }
    Query.Layout = CdFindLayout(Stack->Parameters.QueryDirectory.FileInformationClass);
    if (Query.Layout == NULL) {
        return CdComplete(Irp, STATUS_INVALID_INFO_CLASS, 0);
    }
    Query.Length = Stack->Parameters.QueryDirectory.Length;
    if (Query.Length < Query.Layout->Name) {
        return CdComplete(Irp, STATUS_INFO_LENGTH_MISMATCH, 0);
    }
    if (Irp->RequestorMode != KernelMode) {
        CdLockUserBuffer(Irp, Query.Length);
    }
    Query.Buffer = CdMapUserBuffer(Irp);
    Query.Single = (Stack->Flags & SL_RETURN_SINGLE_ENTRY) != 0;
    ExAcquireResourceExclusiveLite(&Vcb->Resource, TRUE);
    __try {
        Status = CdQueryDirectory(&Query, Stack);
    } __finally {
        ExReleaseResourceLite(&Vcb->Resource);
    }
    return CdComplete(Irp, Status, Query.Used);
}
