/*
 * fileinfo.c - querying and setting what is known of an open file and its volume.
 *
 * The I/O manager answers what it knows itself: position and mode of a synchronous file, alignment, access, the device's type. Everything
 * else goes to the driver in a system buffer. FileAllInformation is both: its own parts are put into the buffer before the
 * driver adds the rest. Lengths are checked against each class before anything else; a class without a row in the tables is
 * STATUS_INVALID_INFO_CLASS. Source: [MS-FSCC] 2.4 and 2.5. IRQL: PASSIVE_LEVEL.
 */
#include <ntos/user.h>

#include "iop.h"

typedef struct _IOP_INFO_CLASS {
    ULONG Class;
    ULONG Length;       /* least bytes of the buffer */
    ACCESS_MASK Access; /* right the handle must carry */
} IOP_INFO_CLASS;

static const IOP_INFO_CLASS IopQueryClasses[] = {
    {FileBasicInformation, sizeof(FILE_BASIC_INFORMATION), FILE_READ_ATTRIBUTES},
    {FileStandardInformation, sizeof(FILE_STANDARD_INFORMATION), 0},
    {FileInternalInformation, sizeof(FILE_INTERNAL_INFORMATION), 0},
    {FileEaInformation, sizeof(FILE_EA_INFORMATION), 0},
    {FileAccessInformation, sizeof(FILE_ACCESS_INFORMATION), 0},
    {FileNameInformation, FIELD_OFFSET(FILE_NAME_INFORMATION, FileName), 0},
    {FilePositionInformation, sizeof(FILE_POSITION_INFORMATION), 0},
    {FileModeInformation, sizeof(FILE_MODE_INFORMATION), 0},
    {FileAlignmentInformation, sizeof(FILE_ALIGNMENT_INFORMATION), 0},
    {FileAllInformation, sizeof(FILE_ALL_INFORMATION), FILE_READ_ATTRIBUTES},
    {FileAlternateNameInformation, FIELD_OFFSET(FILE_NAME_INFORMATION, FileName), 0},
    {FileStreamInformation, 24, 0}, /* the fixed part of FILE_STREAM_INFORMATION */
    {FilePipeInformation, sizeof(FILE_PIPE_INFORMATION), FILE_READ_ATTRIBUTES},
    {FilePipeLocalInformation, sizeof(FILE_PIPE_LOCAL_INFORMATION), FILE_READ_ATTRIBUTES},
    {FileNetworkOpenInformation, sizeof(FILE_NETWORK_OPEN_INFORMATION), FILE_READ_ATTRIBUTES},
    {FileAttributeTagInformation, sizeof(FILE_ATTRIBUTE_TAG_INFORMATION), FILE_READ_ATTRIBUTES},
};

static const IOP_INFO_CLASS IopSetClasses[] = {
    {FileBasicInformation, sizeof(FILE_BASIC_INFORMATION), FILE_WRITE_ATTRIBUTES},
    {FileDispositionInformation, sizeof(FILE_DISPOSITION_INFORMATION), DELETE},
    {FilePositionInformation, sizeof(FILE_POSITION_INFORMATION), 0},
    {FileModeInformation, sizeof(FILE_MODE_INFORMATION), 0},
    {FileAllocationInformation, sizeof(LARGE_INTEGER), FILE_WRITE_DATA},
    {FileEndOfFileInformation, sizeof(FILE_END_OF_FILE_INFORMATION), FILE_WRITE_DATA},
    {FilePipeInformation, sizeof(FILE_PIPE_INFORMATION), FILE_WRITE_ATTRIBUTES},
    {FileCompletionInformation, sizeof(FILE_COMPLETION_INFORMATION), 0},
};

static const IOP_INFO_CLASS IopVolumeClasses[] = {
    {FileFsVolumeInformation, FIELD_OFFSET(FILE_FS_VOLUME_INFORMATION, VolumeLabel), 0},
    {FileFsSizeInformation, sizeof(FILE_FS_SIZE_INFORMATION), 0},
    {FileFsDeviceInformation, sizeof(FILE_FS_DEVICE_INFORMATION), 0},
    {FileFsAttributeInformation, FIELD_OFFSET(FILE_FS_ATTRIBUTE_INFORMATION, FileSystemName), 0},
    {FileFsFullSizeInformation, sizeof(FILE_FS_FULL_SIZE_INFORMATION), 0},
};

static const IOP_INFO_CLASS *IopFindClass(const IOP_INFO_CLASS *Table, ULONG Rows, ULONG Class)
{
    for (ULONG Row = 0; Row < Rows; Row++) {
        if (Table[Row].Class == Class) {
            return &Table[Row];
        }
    }
    return NULL;
}

/* Class known and buffer long enough? *Access gets the right needed. */
static NTSTATUS IopCheckClass(const IOP_INFO_CLASS *Table, ULONG Rows, ULONG Class, ULONG Length, PACCESS_MASK Access)
{
    const IOP_INFO_CLASS *Row = IopFindClass(Table, Rows, Class);

    if (Row == NULL) {
        return STATUS_INVALID_INFO_CLASS;
    }
    if (Length < Row->Length) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    *Access = Row->Access;
    return STATUS_SUCCESS;
}

static ULONG IopFileMode(PFILE_OBJECT File)
{
    ULONG Mode = 0;

    Mode |= ((File->Flags & FO_WRITE_THROUGH) != 0) ? FILE_WRITE_THROUGH : 0;
    Mode |= ((File->Flags & FO_SEQUENTIAL_ONLY) != 0) ? FILE_SEQUENTIAL_ONLY : 0;
    Mode |= ((File->Flags & FO_NO_INTERMEDIATE_BUFFERING) != 0) ? FILE_NO_INTERMEDIATE_BUFFERING : 0;
    if ((File->Flags & FO_SYNCHRONOUS_IO) != 0) {
        Mode |= ((File->Flags & FO_ALERTABLE_IO) != 0) ? FILE_SYNCHRONOUS_IO_ALERT : FILE_SYNCHRONOUS_IO_NONALERT;
    }
    return Mode;
}

static ACCESS_MASK IopGrantedAccess(HANDLE FileHandle)
{
    OBJECT_HANDLE_INFORMATION Info = {0};
    PVOID File;

    if (NT_SUCCESS(ObReferenceObjectByHandle(FileHandle, 0, IopFileObjectType, ExGetPreviousMode(), &File, &Info))) {
        ObfDereferenceObject(File);
    }
    return Info.GrantedAccess;
}

/* What the I/O manager says or is told without asking a driver. */
typedef union _IOP_SMALL_ANSWER {
    FILE_ACCESS_INFORMATION Access;
    FILE_MODE_INFORMATION Mode;
    FILE_ALIGNMENT_INFORMATION Alignment;
    FILE_POSITION_INFORMATION Position;
    FILE_COMPLETION_INFORMATION Completion;
} IOP_SMALL_ANSWER, *PIOP_SMALL_ANSWER;

/* Classes that need no driver. Returns the bytes written, 0 if the driver must be asked. */
static ULONG IopAnswerQuery(PIOP_REQUEST Request, HANDLE FileHandle, FILE_INFORMATION_CLASS Class,
                            PIOP_SMALL_ANSWER Answer)
{
    switch (Class) {
    case FileAccessInformation:
        Answer->Access.AccessFlags = IopGrantedAccess(FileHandle);
        return sizeof(FILE_ACCESS_INFORMATION);
    case FileModeInformation:
        Answer->Mode.Mode = IopFileMode(Request->File);
        return sizeof(FILE_MODE_INFORMATION);
    case FileAlignmentInformation:
        Answer->Alignment.AlignmentRequirement = Request->Device->AlignmentRequirement;
        return sizeof(FILE_ALIGNMENT_INFORMATION);
    case FilePositionInformation:
        if (!Request->FileLocked) {
            return 0;
        }
        Answer->Position.CurrentByteOffset = Request->File->CurrentByteOffset;
        return sizeof(FILE_POSITION_INFORMATION);
    default:
        return 0;
    }
}

NTSTATUS NTAPI NtQueryInformationFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock, PVOID FileInformation,
                                      ULONG Length, FILE_INFORMATION_CLASS FileInformationClass)
{
    IOP_REQUEST Request;
    IOP_SMALL_ANSWER Small;
    ACCESS_MASK Access = 0;
    NTSTATUS Status;
    ULONG Done;

    Status = IopCheckClass(IopQueryClasses, RTL_NUMBER_OF(IopQueryClasses), FileInformationClass, Length, &Access);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = IopOpenRequest(&Request, FileHandle, NULL, Access, IoStatusBlock, TRUE);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Done = IopAnswerQuery(&Request, FileHandle, FileInformationClass, &Small);
    if (Done != 0) {
        Status = ExCopyToCaller(FileInformation, &Small, Done);
        return NT_SUCCESS(Status) ? IopFinishAnswered(&Request, Status, Done) : IopFailRequest(&Request, Status);
    }
    Status = IopAllocateRequestIrp(&Request, IRP_MJ_QUERY_INFORMATION, 0);
    if (NT_SUCCESS(Status)) {
        Status = IopSystemBuffer(&Request, NULL, 0, FileInformation, Length);
    }
    if (!NT_SUCCESS(Status)) {
        return IopFailRequest(&Request, Status);
    }
    if (FileInformationClass == FileAllInformation) {
        PFILE_ALL_INFORMATION All = Request.Irp->AssociatedIrp.SystemBuffer;

        All->AccessInformation.AccessFlags = IopGrantedAccess(FileHandle);
        All->ModeInformation.Mode = IopFileMode(Request.File);
        All->AlignmentInformation.AlignmentRequirement = Request.Device->AlignmentRequirement;
        All->PositionInformation.CurrentByteOffset = Request.File->CurrentByteOffset;
    }
    Request.Stack->Parameters.QueryFile.Length = Length;
    Request.Stack->Parameters.QueryFile.FileInformationClass = FileInformationClass;
    return IopIssueRequest(&Request);
}

/* Moves a synchronous file's position. */
static NTSTATUS IopSetPosition(PIOP_REQUEST Request, PFILE_POSITION_INFORMATION Position)
{
    LARGE_INTEGER Offset = Position->CurrentByteOffset;
    ULONG Sector = Request->Device->SectorSize;

    if (Offset.QuadPart < 0 || ((Request->File->Flags & FO_NO_INTERMEDIATE_BUFFERING) != 0 && Sector != 0 &&
                                (Offset.QuadPart & (Sector - 1)) != 0)) {
        return IopFailRequest(Request, STATUS_INVALID_PARAMETER);
    }
    Request->File->CurrentByteOffset = Offset;
    return IopFinishAnswered(Request, STATUS_SUCCESS, 0);
}

/* Changes the hints of an open file; whether it is synchronous cannot change. */
static NTSTATUS IopSetMode(PIOP_REQUEST Request, ULONG Mode)
{
    ULONG Changeable = FILE_WRITE_THROUGH | FILE_SEQUENTIAL_ONLY;

    if (((Mode ^ IopFileMode(Request->File)) & ~Changeable) != 0) {
        return IopFailRequest(Request, STATUS_INVALID_PARAMETER);
    }
    Request->File->Flags &= ~(FO_WRITE_THROUGH | FO_SEQUENTIAL_ONLY);
    Request->File->Flags |= ((Mode & FILE_WRITE_THROUGH) != 0) ? FO_WRITE_THROUGH : 0;
    Request->File->Flags |= ((Mode & FILE_SEQUENTIAL_ONLY) != 0) ? FO_SEQUENTIAL_ONLY : 0;
    return IopFinishAnswered(Request, STATUS_SUCCESS, 0);
}

/* Is a class set without the driver? */
static BOOLEAN IopIsSmallSet(PIOP_REQUEST Request, FILE_INFORMATION_CLASS Class)
{
    return (Class == FilePositionInformation && Request->FileLocked) || Class == FileCompletionInformation ||
           Class == FileModeInformation;
}

static NTSTATUS IopSetSmall(PIOP_REQUEST Request, FILE_INFORMATION_CLASS Class, PVOID Information)
{
    ULONG Bytes = IopFindClass(IopSetClasses, RTL_NUMBER_OF(IopSetClasses), Class)->Length;
    IOP_SMALL_ANSWER Given;
    NTSTATUS Status = ExCopyFromCaller(&Given, Information, Bytes);

    if (!NT_SUCCESS(Status)) {
        return IopFailRequest(Request, Status);
    }
    if (Class == FilePositionInformation) {
        return IopSetPosition(Request, &Given.Position);
    }
    if (Class == FileModeInformation) {
        return IopSetMode(Request, Given.Mode.Mode);
    }
    Status = IopSetCompletionPort(Request->File, &Given);
    return NT_SUCCESS(Status) ? IopFinishAnswered(Request, Status, 0) : IopFailRequest(Request, Status);
}

NTSTATUS NTAPI NtSetInformationFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock, PVOID FileInformation,
                                    ULONG Length, FILE_INFORMATION_CLASS FileInformationClass)
{
    IOP_REQUEST Request;
    ACCESS_MASK Access = 0;
    NTSTATUS Status;

    Status = IopCheckClass(IopSetClasses, RTL_NUMBER_OF(IopSetClasses), FileInformationClass, Length, &Access);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = IopOpenRequest(&Request, FileHandle, NULL, Access, IoStatusBlock, TRUE);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (IopIsSmallSet(&Request, FileInformationClass)) {
        return IopSetSmall(&Request, FileInformationClass, FileInformation);
    }
    Status = IopAllocateRequestIrp(&Request, IRP_MJ_SET_INFORMATION, 0);
    if (NT_SUCCESS(Status)) {
        Status = IopSystemBuffer(&Request, FileInformation, Length, NULL, 0);
    }
    if (!NT_SUCCESS(Status)) {
        return IopFailRequest(&Request, Status);
    }
    Request.Stack->Parameters.SetFile.Length = Length;
    Request.Stack->Parameters.SetFile.FileInformationClass = FileInformationClass;
    return IopIssueRequest(&Request);
}

static NTSTATUS IopAnswerDevice(PIOP_REQUEST Request, PFILE_FS_DEVICE_INFORMATION Place)
{
    PDEVICE_OBJECT Device = Request->File->DeviceObject;
    FILE_FS_DEVICE_INFORMATION Info = {.DeviceType = Device->DeviceType, .Characteristics = Device->Characteristics};
    NTSTATUS Status;

    if (Device->Vpb != NULL && (Device->Vpb->Flags & VPB_MOUNTED) != 0) {
        Info.Characteristics |= FILE_DEVICE_IS_MOUNTED;
    }
    Status = ExCopyToCaller(Place, &Info, sizeof(Info));
    return NT_SUCCESS(Status) ? IopFinishAnswered(Request, Status, sizeof(Info)) : IopFailRequest(Request, Status);
}

NTSTATUS NTAPI NtQueryVolumeInformationFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock, PVOID FsInformation,
                                            ULONG Length, FS_INFORMATION_CLASS FsInformationClass)
{
    IOP_REQUEST Request;
    ACCESS_MASK Access = 0;
    NTSTATUS Status;

    Status = IopCheckClass(IopVolumeClasses, RTL_NUMBER_OF(IopVolumeClasses), FsInformationClass, Length, &Access);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = IopOpenRequest(&Request, FileHandle, NULL, Access, IoStatusBlock, TRUE);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (FsInformationClass == FileFsDeviceInformation) {
        return IopAnswerDevice(&Request, FsInformation);
    }
    Status = IopAllocateRequestIrp(&Request, IRP_MJ_QUERY_VOLUME_INFORMATION, 0);
    if (NT_SUCCESS(Status)) {
        Status = IopSystemBuffer(&Request, NULL, 0, FsInformation, Length);
    }
    if (!NT_SUCCESS(Status)) {
        return IopFailRequest(&Request, Status);
    }
    Request.Stack->Parameters.QueryVolume.Length = Length;
    Request.Stack->Parameters.QueryVolume.FsInformationClass = FsInformationClass;
    return IopIssueRequest(&Request);
}
