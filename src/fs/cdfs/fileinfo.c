/*
 * fileinfo.c - IRP_MJ_QUERY_INFORMATION and IRP_MJ_SET_INFORMATION.
 *
 * Everything that is reported was fixed when the FCB was made, so no lock is taken. Each information class is filled by a small
 * routine into the system buffer; FileAllInformation is made of the same ones. The only thing that can be set is a
 * handle's position.
 */
#include "cd.h"

static VOID CdFillBasic(PCD_FCB Fcb, PFILE_BASIC_INFORMATION Info)
{
    Info->CreationTime = Fcb->Time;
    Info->LastAccessTime.QuadPart = 0;
    Info->LastWriteTime = Fcb->Time;
    Info->ChangeTime.QuadPart = 0;
    Info->FileAttributes = Fcb->Attributes;
}

static VOID CdFillStandard(PCD_FCB Fcb, PFILE_STANDARD_INFORMATION Info)
{
    BOOLEAN Directory = CdIsDirectory(Fcb);

    Info->AllocationSize.QuadPart = Directory ? 0 : Fcb->Header.AllocationSize.QuadPart;
    Info->EndOfFile.QuadPart = Directory ? 0 : Fcb->Header.FileSize.QuadPart;
    Info->NumberOfLinks = 1;
    Info->DeletePending = FALSE;
    Info->Directory = Directory;
}

static VOID CdFillNetworkOpen(PCD_FCB Fcb, PFILE_NETWORK_OPEN_INFORMATION Info)
{
    FILE_BASIC_INFORMATION Basic;
    FILE_STANDARD_INFORMATION Standard;

    CdFillBasic(Fcb, &Basic);
    CdFillStandard(Fcb, &Standard);
    Info->CreationTime = Basic.CreationTime;
    Info->LastAccessTime = Basic.LastAccessTime;
    Info->LastWriteTime = Basic.LastWriteTime;
    Info->ChangeTime = Basic.ChangeTime;
    Info->AllocationSize = Standard.AllocationSize;
    Info->EndOfFile = Standard.EndOfFile;
    Info->FileAttributes = Basic.FileAttributes;
}

/*
 * Full path from the volume's root: its length goes to *NameBytes, as much as fits in Room bytes into Name.
 * STATUS_BUFFER_OVERFLOW if that is not all.
 */
static NTSTATUS CdFillName(PCD_FCB Fcb, PULONG NameBytes, PWCHAR Name, ULONG Room)
{
    ULONG Total = Fcb->Parent == NULL ? sizeof(WCHAR) : 0;

    for (PCD_FCB Up = Fcb; Up->Parent != NULL; Up = Up->Parent) {
        Total += sizeof(WCHAR) + Up->Name.Length;
    }
    *NameBytes = Total;
    if (Fcb->Parent == NULL && Room >= sizeof(WCHAR)) {
        Name[0] = L'\\';
    }
    /* From the last component to the first; each is cut where the room ends. */
    for (ULONG End = Total; Fcb->Parent != NULL; Fcb = Fcb->Parent) {
        ULONG Start = End - Fcb->Name.Length;

        if (Start < Room) {
            RtlCopyMemory((PUCHAR)Name + Start, Fcb->Name.Buffer, min(Fcb->Name.Length, Room - Start));
        }
        End = Start - sizeof(WCHAR);
        if (End + sizeof(WCHAR) <= Room) {
            Name[End / sizeof(WCHAR)] = L'\\';
        }
    }
    return Total <= Room ? STATUS_SUCCESS : STATUS_BUFFER_OVERFLOW;
}

static NTSTATUS CdQueryName(PCD_FCB Fcb, PFILE_NAME_INFORMATION Info, ULONG Length, PULONG_PTR Used)
{
    ULONG Room = (Length - FIELD_OFFSET(FILE_NAME_INFORMATION, FileName)) & ~(ULONG)(sizeof(WCHAR) - 1);
    NTSTATUS Status = CdFillName(Fcb, &Info->FileNameLength, Info->FileName, Room);

    *Used = FIELD_OFFSET(FILE_NAME_INFORMATION, FileName) + min(Info->FileNameLength, Room);
    return Status;
}

/* The I/O manager fills in access, mode and alignment. */
static NTSTATUS CdQueryAll(PFILE_OBJECT FileObject, PCD_FCB Fcb, PFILE_ALL_INFORMATION Info, ULONG Length,
                           PULONG_PTR Used)
{
    ULONG Fixed = FIELD_OFFSET(FILE_ALL_INFORMATION, NameInformation);
    NTSTATUS Status;

    CdFillBasic(Fcb, &Info->BasicInformation);
    CdFillStandard(Fcb, &Info->StandardInformation);
    Info->InternalInformation.IndexNumber.QuadPart = (LONGLONG)Fcb->FileId;
    Info->EaInformation.EaSize = 0;
    Info->PositionInformation.CurrentByteOffset = FileObject->CurrentByteOffset;
    Status = CdQueryName(Fcb, &Info->NameInformation, Length - Fixed, Used);
    *Used += Fixed;
    return Status;
}

/* Fixed part of an information class; 0: the class is not supported. */
static ULONG CdFixedSize(FILE_INFORMATION_CLASS Class)
{
    switch (Class) {
    case FileBasicInformation:
        return sizeof(FILE_BASIC_INFORMATION);
    case FileStandardInformation:
        return sizeof(FILE_STANDARD_INFORMATION);
    case FileInternalInformation:
        return sizeof(FILE_INTERNAL_INFORMATION);
    case FileEaInformation:
        return sizeof(FILE_EA_INFORMATION);
    case FilePositionInformation:
        return sizeof(FILE_POSITION_INFORMATION);
    case FileNetworkOpenInformation:
        return sizeof(FILE_NETWORK_OPEN_INFORMATION);
    case FileAttributeTagInformation:
        return sizeof(FILE_ATTRIBUTE_TAG_INFORMATION);
    case FileNameInformation:
        return FIELD_OFFSET(FILE_NAME_INFORMATION, FileName);
    case FileAllInformation:
        return FIELD_OFFSET(FILE_ALL_INFORMATION, NameInformation.FileName);
    default:
        return 0;
    }
}

/**
 * CdQueryInformation - IRP_MJ_QUERY_INFORMATION.
 *
 * Errors: STATUS_INVALID_PARAMETER (the volume, or a class that is not supported), STATUS_INFO_LENGTH_MISMATCH (buffer
 * shorter than the fixed part), STATUS_BUFFER_OVERFLOW (a name was cut).
 */
NTSTATUS CdQueryInformation(PCD_VCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack)
{
    PFILE_OBJECT FileObject = Stack->FileObject;
    PCD_FCB Fcb = CdFcbOf(FileObject);
    ULONG Length = Stack->Parameters.QueryFile.Length;
    FILE_INFORMATION_CLASS Class = Stack->Parameters.QueryFile.FileInformationClass;
    PVOID Buffer = Irp->AssociatedIrp.SystemBuffer;
    ULONG_PTR Used = CdFixedSize(Class);
    NTSTATUS Status = STATUS_SUCCESS;

    UNREFERENCED_PARAMETER(Vcb);
    if (Fcb == NULL || Used == 0) {
        return CdComplete(Irp, STATUS_INVALID_PARAMETER, 0);
    }
    if (Length < Used) {
        return CdComplete(Irp, STATUS_INFO_LENGTH_MISMATCH, 0);
    }
    switch (Class) {
    case FileBasicInformation:
        CdFillBasic(Fcb, Buffer);
        break;
    case FileStandardInformation:
        CdFillStandard(Fcb, Buffer);
        break;
    case FileInternalInformation:
        ((PFILE_INTERNAL_INFORMATION)Buffer)->IndexNumber.QuadPart = (LONGLONG)Fcb->FileId;
        break;
    case FileEaInformation:
        ((PFILE_EA_INFORMATION)Buffer)->EaSize = 0;
        break;
    case FilePositionInformation:
        ((PFILE_POSITION_INFORMATION)Buffer)->CurrentByteOffset = FileObject->CurrentByteOffset;
        break;
    case FileNetworkOpenInformation:
        CdFillNetworkOpen(Fcb, Buffer);
        break;
    case FileAttributeTagInformation:
        ((PFILE_ATTRIBUTE_TAG_INFORMATION)Buffer)->FileAttributes = Fcb->Attributes;
        ((PFILE_ATTRIBUTE_TAG_INFORMATION)Buffer)->ReparseTag = 0;
        break;
    case FileNameInformation:
        Status = CdQueryName(Fcb, Buffer, Length, &Used);
        break;
    default: /* FileAllInformation */
        Status = CdQueryAll(FileObject, Fcb, Buffer, Length, &Used);
        break;
    }
    return CdComplete(Irp, Status, Used);
}

/**
 * CdSetInformation - IRP_MJ_SET_INFORMATION: FilePositionInformation; anything else would change the disc.
 *
 * Errors: STATUS_INVALID_PARAMETER (negative, or not aligned for a handle without caching),
 * STATUS_INFO_LENGTH_MISMATCH, STATUS_MEDIA_WRITE_PROTECTED.
 */
NTSTATUS CdSetInformation(PCD_VCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack)
{
    PFILE_OBJECT FileObject = Stack->FileObject;
    PFILE_POSITION_INFORMATION Info = Irp->AssociatedIrp.SystemBuffer;

    UNREFERENCED_PARAMETER(Vcb);
    if (Stack->Parameters.SetFile.FileInformationClass != FilePositionInformation) {
        return CdComplete(Irp, STATUS_MEDIA_WRITE_PROTECTED, 0);
    }
    if (Stack->Parameters.SetFile.Length < sizeof(*Info)) {
        return CdComplete(Irp, STATUS_INFO_LENGTH_MISMATCH, 0);
    }
    if (Info->CurrentByteOffset.QuadPart < 0 || ((FileObject->Flags & FO_NO_INTERMEDIATE_BUFFERING) != 0 &&
                                                 Info->CurrentByteOffset.QuadPart % ISO_SECTOR != 0)) {
        return CdComplete(Irp, STATUS_INVALID_PARAMETER, 0);
    }
    FileObject->CurrentByteOffset = Info->CurrentByteOffset;
    return CdComplete(Irp, STATUS_SUCCESS, 0);
}
