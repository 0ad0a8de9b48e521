/*
 * create.c - IRP_MJ_CREATE: from a name to an open file object.
 *
 * Everything happens with the VCB exclusive: the walk from the root or the related file (whose FCBs pin their parents), the checks
 * (directory or file as asked for, access, sharing), and only then the file object is changed. The disc is read-only, so
 * every access that could change something is refused at the open: STATUS_ACCESS_DENIED for the access itself,
 * STATUS_MEDIA_WRITE_PROTECTED where a file would have to be created, overwritten or superseded.
 *
 * The name is not trusted: an empty component, a wild card or a stream name is STATUS_OBJECT_NAME_INVALID.
 */
#include "cd.h"

/* Accesses that change a file or its attributes; a handle never gets them. */
#define CD_WRITE_ACCESS                                                                                                \
    (FILE_WRITE_DATA | FILE_APPEND_DATA | FILE_WRITE_EA | FILE_DELETE_CHILD | FILE_WRITE_ATTRIBUTES | DELETE |         \
     WRITE_DAC | WRITE_OWNER)

typedef struct _CD_OPEN {
    PFILE_OBJECT FileObject;
    ACCESS_MASK Access;
    USHORT ShareAccess;
    ULONG Options;
    ULONG Disposition;
    BOOLEAN IgnoreCase;
    BOOLEAN MustBeDirectory; /* the name ended in a backslash */
} CD_OPEN;

static VOID CdDecode(PIRP Irp, PIO_STACK_LOCATION Stack, CD_OPEN *Open)
{
    UNREFERENCED_PARAMETER(Irp);
    Open->FileObject = Stack->FileObject;
    Open->Access = Stack->Parameters.Create.SecurityContext->DesiredAccess;
    Open->ShareAccess = Stack->Parameters.Create.ShareAccess;
    Open->Options = Stack->Parameters.Create.Options & 0x00FFFFFF;
    Open->Disposition = Stack->Parameters.Create.Options >> 24;
    Open->IgnoreCase = (Stack->Flags & SL_CASE_SENSITIVE) == 0;
    Open->MustBeDirectory = FALSE;
}

/* What no file on a disc can be opened for. */
static NTSTATUS CdCheckRequest(PIO_STACK_LOCATION Stack, const CD_OPEN *Open)
{
    if ((Stack->Flags & SL_OPEN_PAGING_FILE) != 0) {
        return STATUS_ACCESS_DENIED;
    }
    if (Stack->Parameters.Create.EaLength != 0) {
        return STATUS_EAS_NOT_SUPPORTED;
    }
    if ((Open->Options & FILE_OPEN_BY_FILE_ID) != 0) {
        return STATUS_NOT_IMPLEMENTED;
    }
    if ((Stack->Flags & SL_OPEN_TARGET_DIRECTORY) != 0 || (Open->Options & FILE_DELETE_ON_CLOSE) != 0 ||
        (Open->Access & CD_WRITE_ACCESS) != 0) {
        return STATUS_ACCESS_DENIED;
    }
    if ((Open->Options & FILE_DIRECTORY_FILE) != 0 && (Open->Options & FILE_NON_DIRECTORY_FILE) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    return STATUS_SUCCESS;
}

/* Whether a file may be opened with the disposition, given that it exists. */
static NTSTATUS CdCheckDisposition(ULONG Disposition)
{
    switch (Disposition) {
    case FILE_OPEN:
    case FILE_OPEN_IF:
        return STATUS_SUCCESS;
    case FILE_CREATE:
        return STATUS_OBJECT_NAME_COLLISION;
    default:
        return STATUS_MEDIA_WRITE_PROTECTED;
    }
}

/* Status of an open of a last component that does not exist. */
static NTSTATUS CdNotFound(ULONG Disposition)
{
    return Disposition == FILE_OPEN || Disposition == FILE_OVERWRITE ? STATUS_OBJECT_NAME_NOT_FOUND
                                                                     : STATUS_MEDIA_WRITE_PROTECTED;
}

/* One step of the walk: replaces the reference to *Fcb by one to the child that Name names. */
static NTSTATUS CdStep(PCD_FCB *Fcb, PUNICODE_STRING Name, BOOLEAN IgnoreCase)
{
    PCD_FCB Directory = *Fcb;
    ISO_RECORD *Record;
    PCD_FCB Child = NULL;
    NTSTATUS Status = STATUS_SUCCESS;

    Record = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Record), CD_TAG_IO);
    if (Record == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    __try {
        Status = CdLookup(Directory, Name, IgnoreCase, Record);
        if (NT_SUCCESS(Status)) {
            Child = CdFindFcb(Directory->Vcb, CdEntryId(Directory, Record));
            if (Child == NULL) {
                Status = CdCreateFcb(Directory->Vcb, Directory, CdEntryId(Directory, Record), Record, &Child);
            }
        }
    } __finally {
        ExFreePoolWithTag(Record, CD_TAG_IO);
    }
    if (NT_SUCCESS(Status)) {
        *Fcb = Child;
        CdDereferenceFcb(Directory); /* the child holds its parent */
    }
    return Status;
}

/* Walks from *Fcb along Path, which is consumed. On failure *Fcb is the last directory reached, still referenced. */
static NTSTATUS CdWalk(PCD_FCB *Fcb, UNICODE_STRING Path, const CD_OPEN *Open)
{
    while (Path.Length != 0) {
        UNICODE_STRING Part, Rest;
        NTSTATUS Status;

        if (!CdIsDirectory(*Fcb)) {
            return STATUS_OBJECT_PATH_NOT_FOUND;
        }
        FsRtlDissectName(Path, &Part, &Rest);
        if (Part.Length == 0 || (Rest.Length != 0 && Rest.Buffer[0] == L'\\') || FsRtlDoesNameContainWildCards(&Part)) {
            return STATUS_OBJECT_NAME_INVALID;
        }
        for (ULONG Index = 0; Index < Part.Length / sizeof(WCHAR); Index++) {
            if (Part.Buffer[Index] == L':') {
                return STATUS_OBJECT_NAME_INVALID;
            }
        }
        Status = CdStep(Fcb, &Part, Open->IgnoreCase);
        if (Status == STATUS_OBJECT_NAME_NOT_FOUND) {
            return Rest.Length != 0 ? STATUS_OBJECT_PATH_NOT_FOUND : CdNotFound(Open->Disposition);
        }
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
        Path = Rest;
    }
    return STATUS_SUCCESS;
}

/*
 * Where the walk begins, and what is left to walk. Gives a reference, or NULL in *Start for the volume itself, which an
 * absolute empty name means.
 */
static NTSTATUS CdBeginWalk(PCD_VCB Vcb, CD_OPEN *Open, PUNICODE_STRING Path, PCD_FCB *Start)
{
    PFILE_OBJECT Related = Open->FileObject->RelatedFileObject;

    *Path = Open->FileObject->FileName;
    *Start = Vcb->Root;
    if (Related != NULL) {
        *Start = CdFcbOf(Related);
        if (*Start == NULL || (Path->Length != 0 && Path->Buffer[0] == L'\\')) {
            return STATUS_INVALID_PARAMETER;
        }
        if (!CdIsDirectory(*Start) && Path->Length != 0) {
            return STATUS_OBJECT_PATH_NOT_FOUND;
        }
    } else if (Path->Length == 0) {
        *Start = NULL;
        return STATUS_SUCCESS;
    } else if (Path->Buffer[0] != L'\\') {
        return STATUS_OBJECT_NAME_INVALID;
    }
    if (Path->Length >= sizeof(WCHAR) && Path->Buffer[Path->Length / sizeof(WCHAR) - 1] == L'\\') {
        Open->MustBeDirectory = TRUE;
        Path->Length -= sizeof(WCHAR);
    }
    (*Start)->References++;
    return STATUS_SUCCESS;
}

static NTSTATUS CdCheckKind(PCD_FCB Fcb, const CD_OPEN *Open)
{
    if (CdIsDirectory(Fcb)) {
        return (Open->Options & FILE_NON_DIRECTORY_FILE) != 0 ? STATUS_FILE_IS_A_DIRECTORY : STATUS_SUCCESS;
    }
    if ((Open->Options & FILE_DIRECTORY_FILE) != 0) {
        return STATUS_NOT_A_DIRECTORY;
    }
    return Open->MustBeDirectory ? STATUS_OBJECT_NAME_INVALID : STATUS_SUCCESS;
}

/* The last step: takes over the caller's reference to the FCB when it succeeds. */
static NTSTATUS CdOpenFcb(PCD_FCB Fcb, const CD_OPEN *Open)
{
    PFILE_OBJECT FileObject = Open->FileObject;
    PCD_CCB Ccb;
    NTSTATUS Status = CdCheckKind(Fcb, Open);

    if (NT_SUCCESS(Status)) {
        Status = CdCheckDisposition(Open->Disposition);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Ccb = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Ccb), CD_TAG_CCB);
    if (Ccb == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(Ccb, sizeof(*Ccb));
    if (Fcb->Handles == 0) {
        IoSetShareAccess(Open->Access, Open->ShareAccess, FileObject, &Fcb->Share);
    } else {
        Status = IoCheckShareAccess(Open->Access, Open->ShareAccess, FileObject, &Fcb->Share, TRUE);
    }
    if (!NT_SUCCESS(Status)) {
        ExFreePoolWithTag(Ccb, CD_TAG_CCB);
        return Status;
    }
    Fcb->Handles++;
    FileObject->FsContext = Fcb;
    FileObject->FsContext2 = Ccb;
    FileObject->SectionObjectPointer = &Fcb->Section;
    FileObject->Vpb = Fcb->Vcb->Vpb;
    if (!CdIsDirectory(Fcb) && (Open->Options & FILE_NO_INTERMEDIATE_BUFFERING) == 0) {
        FileObject->Flags |= FO_CACHE_SUPPORTED;
    }
    return STATUS_SUCCESS;
}

/* Opens the volume itself, for reading its sectors and speaking to the drive. */
static NTSTATUS CdOpenVolume(PCD_VCB Vcb, const CD_OPEN *Open)
{
    NTSTATUS Status;

    if ((Open->Options & FILE_DIRECTORY_FILE) != 0) {
        return STATUS_NOT_A_DIRECTORY;
    }
    Status = CdCheckDisposition(Open->Disposition);
    if (NT_SUCCESS(Status)) {
        /* SHARE_ACCESS counts opens itself, so zeroes are right for the first one. */
        Status = IoCheckShareAccess(Open->Access, Open->ShareAccess, Open->FileObject, &Vcb->VolumeShare, TRUE);
    }
    if (NT_SUCCESS(Status)) {
        Open->FileObject->FsContext = Vcb;
        Open->FileObject->Vpb = Vcb->Vpb;
        Open->FileObject->Flags |= FO_NO_INTERMEDIATE_BUFFERING | FO_VOLUME_OPEN;
    }
    return Status;
}

static NTSTATUS CdOpenByName(PCD_VCB Vcb, CD_OPEN *Open)
{
    UNICODE_STRING Path;
    PCD_FCB Fcb;
    BOOLEAN Opened = FALSE;
    NTSTATUS Status = CdBeginWalk(Vcb, Open, &Path, &Fcb);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Fcb == NULL) {
        return CdOpenVolume(Vcb, Open);
    }
    __try {
        Status = CdWalk(&Fcb, Path, Open);
        if (NT_SUCCESS(Status)) {
            Status = CdOpenFcb(Fcb, Open);
            Opened = NT_SUCCESS(Status);
        }
    } __finally {
        if (!Opened) {
            CdDereferenceFcb(Fcb);
        }
    }
    return Status;
}

/**
 * CdCreate - IRP_MJ_CREATE on a volume.
 *
 * Errors: as the design note says, and STATUS_OBJECT_NAME_NOT_FOUND, STATUS_OBJECT_PATH_NOT_FOUND, STATUS_SHARING_VIOLATION,
 * STATUS_FILE_IS_A_DIRECTORY, STATUS_NOT_A_DIRECTORY, STATUS_FILE_CORRUPT_ERROR, STATUS_DISK_CORRUPT_ERROR, the drive's.
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS CdCreate(PCD_VCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack)
{
    CD_OPEN Open;
    NTSTATUS Status;

    CdDecode(Irp, Stack, &Open);
    Status = CdCheckRequest(Stack, &Open);
    if (NT_SUCCESS(Status)) {
        ExAcquireResourceExclusiveLite(&Vcb->Resource, TRUE);
        __try {
            Status = CdOpenByName(Vcb, &Open);
        } __finally {
            ExReleaseResourceLite(&Vcb->Resource);
        }
    }
    return CdComplete(Irp, Status, NT_SUCCESS(Status) ? FILE_OPENED : 0);
}
