/*
 * info.c - what is known of an open pipe, of the root and of the "volume"; the modes of an end.
 *
 * What changes while one looks is read under the instance's spin lock. Times are not kept and are zero. A pipe shows its quotas as allocated
 * size and what its own end can read as its size. All information goes through the I/O manager's system buffer, whose length
 * it has compared with the fixed part of each class; a name that does not fit is cut, with STATUS_BUFFER_OVERFLOW.
 *
 * IRQL: PASSIVE_LEVEL. Source: [MS-FSCC] 2.4 and 2.5, of which FilePipeInformation and FilePipeLocalInformation are a pipe's own.
 */
#include "np.h"

static const WCHAR NpFileSystemName[] = {L'N', L'P', L'F', L'S'};
static const WCHAR NpVolumeLabel[] = {L'N', L'a', L'm', L'e', L'd', L'P', L'i', L'p', L'e'};

/* Copies a name behind a fixed part; STATUS_BUFFER_OVERFLOW if it had to be cut. */
static NTSTATUS NpAppendName(PVOID Buffer, ULONG Fixed, ULONG Length, const VOID *Name, ULONG Bytes, PULONG_PTR Used)
{
    ULONG Part = min(Bytes, Length - Fixed);

    RtlCopyMemory((PUCHAR)Buffer + Fixed, Name, Part);
    *Used = Fixed + Part;
    return (Part == Bytes) ? STATUS_SUCCESS : STATUS_BUFFER_OVERFLOW;
}

static VOID NpFillStandard(PNP_END End, PFILE_STANDARD_INFORMATION Info)
{
    PNP_INSTANCE Instance = End->Instance;
    KIRQL Irql;

    RtlZeroMemory(Info, sizeof(*Info));
    KeAcquireSpinLock(&Instance->Lock, &Irql);
    Info->AllocationSize.QuadPart = (LONGLONG)Instance->Queue[0].Quota + Instance->Queue[1].Quota;
    Info->EndOfFile.QuadPart = NpReadQueue(End)->Bytes;
    KeReleaseSpinLock(&Instance->Lock, Irql);
    Info->NumberOfLinks = 1;
    Info->DeletePending = TRUE; /* the name goes with the last server end */
}

static VOID NpFillPipe(PNP_END End, PFILE_PIPE_INFORMATION Info)
{
    KIRQL Irql;

    KeAcquireSpinLock(&End->Instance->Lock, &Irql);
    Info->ReadMode = End->ReadMode;
    Info->CompletionMode = End->CompletionMode;
    KeReleaseSpinLock(&End->Instance->Lock, Irql);
}

static VOID NpFillPipeLocal(PNP_END End, PFILE_PIPE_LOCAL_INFORMATION Info)
{
    PNP_INSTANCE Instance = End->Instance;
    PNP_PIPE Pipe = Instance->Pipe;
    PNP_QUEUE Write = NpWriteQueue(End);
    KIRQL Irql;

    Info->NamedPipeType = Pipe->Type;
    Info->NamedPipeConfiguration = Pipe->Configuration;
    Info->MaximumInstances = Pipe->Maximum;
    Info->NamedPipeEnd = End->Side;
    ExAcquireResourceSharedLite(&NpResource, TRUE);
    Info->CurrentInstances = Pipe->Count;
    ExReleaseResourceLite(&NpResource);
    KeAcquireSpinLock(&Instance->Lock, &Irql);
    Info->InboundQuota = Instance->Queue[FILE_PIPE_CLIENT_END].Quota;
    Info->OutboundQuota = Instance->Queue[FILE_PIPE_SERVER_END].Quota;
    Info->ReadDataAvailable = End->Detached ? 0 : NpReadQueue(End)->Bytes;
    Info->WriteQuotaAvailable = (Write->Charged < Write->Quota) ? Write->Quota - Write->Charged : 0;
    Info->NamedPipeState = End->Detached ? FILE_PIPE_DISCONNECTED_STATE : Instance->State;
    KeReleaseSpinLock(&Instance->Lock, Irql);
}

static NTSTATUS NpFillName(PFILE_OBJECT File, PFILE_NAME_INFORMATION Info, ULONG Length, PULONG_PTR Used)
{
    PNP_END End = NpEndOf(File);
    ULONG Fixed = FIELD_OFFSET(FILE_NAME_INFORMATION, FileName);
    NTSTATUS Status;

    if (End == NULL || End->Instance->Pipe->Name.Length == 0) {
        Info->FileNameLength = (End == NULL) ? sizeof(WCHAR) : 0;
        return NpAppendName(Info, Fixed, Length, L"\\", Info->FileNameLength, Used);
    }
    Info->FileNameLength = End->Instance->Pipe->Name.Length + sizeof(WCHAR);
    Status = NpAppendName(Info, Fixed, Length, L"\\", sizeof(WCHAR), Used);
    return NT_SUCCESS(Status) ? NpAppendName(Info, (ULONG)*Used, Length, End->Instance->Pipe->Name.Buffer,
                                             End->Instance->Pipe->Name.Length, Used)
                              : Status;
}

/* Fixed part of a class that the root has too; 0: it has not. */
static ULONG NpCommonSize(FILE_INFORMATION_CLASS Class)
{
    switch (Class) {
    case FileBasicInformation:
        return sizeof(FILE_BASIC_INFORMATION);
    case FileNameInformation:
        return FIELD_OFFSET(FILE_NAME_INFORMATION, FileName);
    case FileEaInformation:
        return sizeof(FILE_EA_INFORMATION);
    default:
        return 0;
    }
}

/* Fixed part of a class of pipes; 0: there is no such class. */
static ULONG NpFixedSize(FILE_INFORMATION_CLASS Class)
{
    switch (Class) {
    case FileStandardInformation:
        return sizeof(FILE_STANDARD_INFORMATION);
    case FileInternalInformation:
        return sizeof(FILE_INTERNAL_INFORMATION);
    case FilePipeInformation:
        return sizeof(FILE_PIPE_INFORMATION);
    case FilePipeLocalInformation:
        return sizeof(FILE_PIPE_LOCAL_INFORMATION);
    default:
        return NpCommonSize(Class);
    }
}

static NTSTATUS NpFill(PFILE_OBJECT File, FILE_INFORMATION_CLASS Class, PVOID Buffer, ULONG Length, PULONG_PTR Used)
{
    PNP_END End = NpEndOf(File);

    switch (Class) {
    case FileBasicInformation:
        RtlZeroMemory(Buffer, sizeof(FILE_BASIC_INFORMATION));
        ((PFILE_BASIC_INFORMATION)Buffer)->FileAttributes =
            (End == NULL) ? FILE_ATTRIBUTE_DIRECTORY : FILE_ATTRIBUTE_NORMAL;
        return STATUS_SUCCESS;
    case FileEaInformation:
        ((PFILE_EA_INFORMATION)Buffer)->EaSize = 0;
        return STATUS_SUCCESS;
    case FileNameInformation:
        return NpFillName(File, Buffer, Length, Used);
    case FileStandardInformation:
        NpFillStandard(End, Buffer);
        return STATUS_SUCCESS;
    case FileInternalInformation:
        ((PFILE_INTERNAL_INFORMATION)Buffer)->IndexNumber.QuadPart = End->Instance->Pipe->Identifier;
        return STATUS_SUCCESS;
    case FilePipeInformation:
        NpFillPipe(End, Buffer);
        return STATUS_SUCCESS;
    default: /* FilePipeLocalInformation */
        NpFillPipeLocal(End, Buffer);
        return STATUS_SUCCESS;
    }
}

/**
 * NpQueryInformation - IRP_MJ_QUERY_INFORMATION.
 *
 * Errors: STATUS_INVALID_PARAMETER (class not supported), STATUS_INFO_LENGTH_MISMATCH, STATUS_BUFFER_OVERFLOW (a name was cut).
 */
NTSTATUS NpQueryInformation(PIRP Irp, PIO_STACK_LOCATION Stack)
{
    PFILE_OBJECT File = Stack->FileObject;
    FILE_INFORMATION_CLASS Class = Stack->Parameters.QueryFile.FileInformationClass;
    ULONG_PTR Used = (NpEndOf(File) != NULL) ? NpFixedSize(Class) : NpCommonSize(Class);
    ULONG Length = Stack->Parameters.QueryFile.Length;
    NTSTATUS Status;

    if (Used == 0) {
        return NpComplete(Irp, STATUS_INVALID_PARAMETER, 0);
    }
    if (Length < Used) {
        return NpComplete(Irp, STATUS_INFO_LENGTH_MISMATCH, 0);
    }
    Status = NpFill(File, Class, Irp->AssociatedIrp.SystemBuffer, Length, &Used);
    return NpComplete(Irp, Status, Used);
}

/* STATUS_PIPE_BUSY: an end that requests wait on cannot be told not to wait. Spin lock held. */
static NTSTATUS NpSetModes(PNP_END End, const FILE_PIPE_INFORMATION *Info)
{
    if (Info->CompletionMode == FILE_PIPE_COMPLETE_OPERATION && End->CompletionMode == FILE_PIPE_QUEUE_OPERATION &&
        !End->Detached && (!IsListEmpty(&NpReadQueue(End)->Readers) || NpWriteQueue(End)->Stalled != 0)) {
        return STATUS_PIPE_BUSY;
    }
    End->ReadMode = Info->ReadMode;
    End->CompletionMode = Info->CompletionMode;
    return STATUS_SUCCESS;
}

/**
 * NpSetInformation - IRP_MJ_SET_INFORMATION: FilePipeInformation. FileBasicInformation is taken and changes nothing.
 *
 * Errors: STATUS_INVALID_PARAMETER (class, or a mode that is none; reading a pipe of bytes by messages), STATUS_INFO_LENGTH_MISMATCH,
 * STATUS_PIPE_BUSY.
 */
NTSTATUS NpSetInformation(PIRP Irp, PIO_STACK_LOCATION Stack)
{
    PNP_END End = NpEndOf(Stack->FileObject);
    PFILE_PIPE_INFORMATION Info = Irp->AssociatedIrp.SystemBuffer;
    NTSTATUS Status;
    KIRQL Irql;

    if (End != NULL && Stack->Parameters.SetFile.FileInformationClass == FileBasicInformation) {
        return NpComplete(Irp, STATUS_SUCCESS, 0);
    }
    if (End == NULL || Stack->Parameters.SetFile.FileInformationClass != FilePipeInformation) {
        return NpComplete(Irp, STATUS_INVALID_PARAMETER, 0);
    }
    if (Stack->Parameters.SetFile.Length < sizeof(*Info)) {
        return NpComplete(Irp, STATUS_INFO_LENGTH_MISMATCH, 0);
    }
    if (Info->ReadMode > FILE_PIPE_MESSAGE_MODE || Info->CompletionMode > FILE_PIPE_COMPLETE_OPERATION ||
        (Info->ReadMode == FILE_PIPE_MESSAGE_MODE && End->Instance->Pipe->Type != FILE_PIPE_MESSAGE_TYPE)) {
        return NpComplete(Irp, STATUS_INVALID_PARAMETER, 0);
    }
    KeAcquireSpinLock(&End->Instance->Lock, &Irql);
    Status = NpSetModes(End, Info);
    KeReleaseSpinLock(&End->Instance->Lock, Irql);
    return NpComplete(Irp, Status, 0);
}

/**
 * NpQueryVolumeInformation - IRP_MJ_QUERY_VOLUME_INFORMATION: a label, a name and no space.
 *
 * Errors: STATUS_INVALID_PARAMETER (class not supported), STATUS_BUFFER_OVERFLOW (name cut).
 */
NTSTATUS NpQueryVolumeInformation(PIRP Irp, PIO_STACK_LOCATION Stack)
{
    PVOID Buffer = Irp->AssociatedIrp.SystemBuffer;
    ULONG Length = Stack->Parameters.QueryVolume.Length;
    ULONG_PTR Used;
    NTSTATUS Status = STATUS_SUCCESS;

    if (Stack->Parameters.QueryVolume.FsInformationClass == FileFsVolumeInformation) {
        PFILE_FS_VOLUME_INFORMATION Volume = Buffer;

        RtlZeroMemory(Volume, FIELD_OFFSET(FILE_FS_VOLUME_INFORMATION, VolumeLabel));
        Volume->VolumeLabelLength = sizeof(NpVolumeLabel);
        Status = NpAppendName(Volume, FIELD_OFFSET(FILE_FS_VOLUME_INFORMATION, VolumeLabel), Length, NpVolumeLabel,
                              sizeof(NpVolumeLabel), &Used);
    } else if (Stack->Parameters.QueryVolume.FsInformationClass == FileFsAttributeInformation) {
        PFILE_FS_ATTRIBUTE_INFORMATION Attribute = Buffer;

        Attribute->FileSystemAttributes = FILE_CASE_PRESERVED_NAMES;
        Attribute->MaximumComponentNameLength = MAXUSHORT / sizeof(WCHAR) - 1;
        Attribute->FileSystemNameLength = sizeof(NpFileSystemName);
        Status = NpAppendName(Attribute, FIELD_OFFSET(FILE_FS_ATTRIBUTE_INFORMATION, FileSystemName), Length,
                              NpFileSystemName, sizeof(NpFileSystemName), &Used);
    } else if (Stack->Parameters.QueryVolume.FsInformationClass == FileFsSizeInformation) {
        Used = sizeof(FILE_FS_SIZE_INFORMATION);
        RtlZeroMemory(Buffer, Used);
        ((PFILE_FS_SIZE_INFORMATION)Buffer)->SectorsPerAllocationUnit = 1;
        ((PFILE_FS_SIZE_INFORMATION)Buffer)->BytesPerSector = 1;
    } else {
        return NpComplete(Irp, STATUS_INVALID_PARAMETER, 0);
    }
    return NpComplete(Irp, Status, Used);
}
