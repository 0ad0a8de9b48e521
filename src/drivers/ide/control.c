/*
 * control.c - device control requests of disks and CD-ROM drives.
 *
 * Runs in the channel's thread at PASSIVE_LEVEL. Every code here is buffered: input and output share the system buffer. A request whose output
 * does not fit is STATUS_BUFFER_TOO_SMALL. Codes not listed are STATUS_INVALID_DEVICE_REQUEST. Source: WDK documentation
 * of the IOCTL_DISK_, IOCTL_CDROM_ and IOCTL_STORAGE_ requests.
 */
#include "ide.h"

/* A geometry for software that wants one: what LBA drives report, made up. */
#define IDE_HEADS   255U
#define IDE_SECTORS 63U

/* The CD classic: one cylinder of 64 heads by 32 sectors. */
#define IDE_CD_HEADS   64U
#define IDE_CD_SECTORS 32U

static NTSTATUS IdeMediumSize(PIDE_DRIVE Drive)
{
    NTSTATUS Status;

    if (Drive->Kind == IdeDisk) {
        return STATUS_SUCCESS;
    }
    Status = IdeTestUnitReady(Drive);
    if (NT_SUCCESS(Status)) {
        Status = IdeReadCapacity(Drive);
    }
    return Status;
}

static NTSTATUS IdeGeometry(PIDE_DRIVE Drive, PDISK_GEOMETRY Geometry)
{
    BOOLEAN Cd = Drive->Kind == IdeCdRom;
    NTSTATUS Status = IdeMediumSize(Drive);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Geometry->MediaType = Cd ? RemovableMedia : FixedMedia;
    Geometry->TracksPerCylinder = Cd ? IDE_CD_HEADS : IDE_HEADS;
    Geometry->SectorsPerTrack = Cd ? IDE_CD_SECTORS : IDE_SECTORS;
    Geometry->BytesPerSector = Drive->SectorSize;
    Geometry->Cylinders.QuadPart =
        (LONGLONG)(Drive->Sectors / (Geometry->TracksPerCylinder * Geometry->SectorsPerTrack));
    return STATUS_SUCCESS;
}

/* A whole disk as one partition, for software that asks. */
static NTSTATUS IdePartition(PIDE_DRIVE Drive, PPARTITION_INFORMATION Info)
{
    RtlZeroMemory(Info, sizeof(*Info));
    Info->PartitionLength.QuadPart = (LONGLONG)(Drive->Sectors * Drive->SectorSize);
    Info->RecognizedPartition = FALSE;
    return STATUS_SUCCESS;
}

/* Is the medium there, and the same? */
static NTSTATUS IdeCheckVerify(PIDE_DRIVE Drive, PIRP Irp, PULONG Count, ULONG Length, PULONG Bytes)
{
    LONG Before = Drive->MediaChanges;
    NTSTATUS Status = (Drive->Kind == IdeCdRom) ? IdeTestUnitReady(Drive) : STATUS_SUCCESS;

    if (NT_SUCCESS(Status) && Before != Drive->MediaChanges && (Drive->Device->Flags & DO_VERIFY_VOLUME) != 0) {
        Status = STATUS_VERIFY_REQUIRED;
    }
    if (Status == STATUS_VERIFY_REQUIRED || Status == STATUS_NO_MEDIA_IN_DEVICE) {
        IoSetHardErrorOrVerifyDevice(Irp, Drive->Device);
    }
    if (NT_SUCCESS(Status) && Length >= sizeof(ULONG)) {
        *Count = (ULONG)Drive->MediaChanges;
        *Bytes = sizeof(ULONG);
    }
    return Status;
}

static NTSTATUS IdeToc(PIDE_DRIVE Drive, PVOID Buffer, ULONG Length, PULONG Bytes)
{
    NTSTATUS Status;

    if (Drive->Kind != IdeCdRom) {
        return STATUS_INVALID_DEVICE_REQUEST;
    }
    Status = IdeTestUnitReady(Drive);
    return NT_SUCCESS(Status) ? IdeReadToc(Drive, Buffer, min(Length, sizeof(CDROM_TOC)), Bytes) : Status;
}

/* Bytes of output a code needs, or MAXULONG for a code that is not known. */
static ULONG IdeOutputNeeded(ULONG Code)
{
    switch (Code) {
    case IOCTL_DISK_GET_DRIVE_GEOMETRY:
    case IOCTL_CDROM_GET_DRIVE_GEOMETRY:
    case IOCTL_STORAGE_GET_MEDIA_TYPES:
        return sizeof(DISK_GEOMETRY);
    case IOCTL_DISK_GET_LENGTH_INFO:
        return sizeof(GET_LENGTH_INFORMATION);
    case IOCTL_DISK_GET_PARTITION_INFO:
        return sizeof(PARTITION_INFORMATION);
    case IOCTL_STORAGE_GET_DEVICE_NUMBER:
        return sizeof(STORAGE_DEVICE_NUMBER);
    case IOCTL_CDROM_READ_TOC:
        return FIELD_OFFSET(CDROM_TOC, TrackData);
    case IOCTL_DISK_CHECK_VERIFY:
    case IOCTL_CDROM_CHECK_VERIFY:
    case IOCTL_STORAGE_CHECK_VERIFY:
    case IOCTL_STORAGE_CHECK_VERIFY2:
    case IOCTL_DISK_IS_WRITABLE:
        return 0;
    default:
        return MAXULONG;
    }
}

static NTSTATUS IdeAnswer(PIDE_DRIVE Drive, PIRP Irp, ULONG Code, PVOID Buffer, ULONG Length, PULONG Bytes)
{
    NTSTATUS Status;

    switch (Code) {
    case IOCTL_DISK_GET_LENGTH_INFO:
        Status = IdeMediumSize(Drive);
        ((PGET_LENGTH_INFORMATION)Buffer)->Length.QuadPart = (LONGLONG)(Drive->Sectors * Drive->SectorSize);
        return Status;
    case IOCTL_DISK_GET_PARTITION_INFO:
        return (Drive->Kind == IdeDisk) ? IdePartition(Drive, Buffer) : STATUS_INVALID_DEVICE_REQUEST;
    case IOCTL_STORAGE_GET_DEVICE_NUMBER:
        ((PSTORAGE_DEVICE_NUMBER)Buffer)->DeviceType = Drive->Device->DeviceType;
        ((PSTORAGE_DEVICE_NUMBER)Buffer)->DeviceNumber = Drive->Number;
        ((PSTORAGE_DEVICE_NUMBER)Buffer)->PartitionNumber = (Drive->Kind == IdeDisk) ? 0 : MAXULONG;
        return STATUS_SUCCESS;
    case IOCTL_CDROM_READ_TOC:
        return IdeToc(Drive, Buffer, Length, Bytes);
    case IOCTL_DISK_IS_WRITABLE:
        return (Drive->Kind == IdeDisk) ? STATUS_SUCCESS : STATUS_MEDIA_WRITE_PROTECTED;
    case IOCTL_DISK_CHECK_VERIFY:
    case IOCTL_CDROM_CHECK_VERIFY:
    case IOCTL_STORAGE_CHECK_VERIFY:
    case IOCTL_STORAGE_CHECK_VERIFY2:
        return IdeCheckVerify(Drive, Irp, Buffer, Length, Bytes);
    default:
        return IdeGeometry(Drive, Buffer);
    }
}

NTSTATUS IdeControl(PIDE_DRIVE Drive, PIRP Irp)
{
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    ULONG Code = Stack->Parameters.DeviceIoControl.IoControlCode;
    ULONG Length = Stack->Parameters.DeviceIoControl.OutputBufferLength, Bytes = IdeOutputNeeded(Code);
    NTSTATUS Status;

    Irp->IoStatus.Information = 0;
    if (Bytes == MAXULONG) {
        return STATUS_INVALID_DEVICE_REQUEST;
    }
    if (Length < Bytes) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    Status = IdeAnswer(Drive, Irp, Code, Irp->AssociatedIrp.SystemBuffer, Length, &Bytes);
    Irp->IoStatus.Information = NT_SUCCESS(Status) ? Bytes : 0;
    return Status;
}
