/*
 * mount.c - IRP_MN_MOUNT_VOLUME: is this an ISO 9660 disc, and if so, make a volume of it.
 *
 * The drive is asked for its size and then for the sectors of the volume descriptors; nothing is created before the
 * parser has accepted them, and everything is undone in reverse if a later step fails. The size bounds
 * everything that the volume may refer to: a disc shorter than its volume claims (a truncated image) mounts, and the
 * files that are not all there are damaged.
 *
 * The I/O manager serialises mounts of a drive. There is no dismount yet (docs/limits.md).
 */
#include "cd.h"

/* Sectors of the disc; 0xFFFFFFFF when the drive cannot say, in which case the drive itself refuses what is beyond. */
static NTSTATUS CdDiscSectors(PDEVICE_OBJECT Target, PULONG Sectors)
{
    GET_LENGTH_INFORMATION Length;
    DISK_GEOMETRY Geometry;
    ULONGLONG Bytes;
    NTSTATUS Status = CdDeviceControl(Target, IOCTL_DISK_GET_LENGTH_INFO, &Length, sizeof(Length));

    if (NT_SUCCESS(Status)) {
        Bytes = (ULONGLONG)Length.Length.QuadPart;
    } else if (Status == STATUS_INSUFFICIENT_RESOURCES) {
        return Status; /* the geometry leaves out what fills no whole cylinder: it is for drives that know no length */
    } else {
        Status = CdDeviceControl(Target, IOCTL_CDROM_GET_DRIVE_GEOMETRY, &Geometry, sizeof(Geometry));
        if (!NT_SUCCESS(Status)) {
            *Sectors = MAXULONG;
            return Status == STATUS_INVALID_DEVICE_REQUEST || Status == STATUS_NOT_IMPLEMENTED ? STATUS_SUCCESS
                                                                                               : Status;
        }
        Bytes = (ULONGLONG)Geometry.Cylinders.QuadPart * Geometry.TracksPerCylinder * Geometry.SectorsPerTrack *
                Geometry.BytesPerSector;
    }
    *Sectors = (ULONG)min(Bytes / ISO_SECTOR, MAXULONG);
    return STATUS_SUCCESS;
}

/* Reads and evaluates the descriptors. STATUS_UNRECOGNIZED_VOLUME: somebody else's disc. */
static NTSTATUS CdReadDescriptors(PDEVICE_OBJECT Target, ISO_VOLUME *Volume)
{
    PUCHAR Sector = ExAllocatePoolWithTag(NonPagedPool, ISO_SECTOR, CD_TAG_IO);
    ISO_RESULT Result = IsoOk;
    ULONG DiscSectors;
    NTSTATUS Status;

    if (Sector == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Status = CdDiscSectors(Target, &DiscSectors);
    if (NT_SUCCESS(Status)) {
        IsoBeginVolume(Volume, DiscSectors);
        for (ULONG Number = ISO_FIRST_DESCRIPTOR; Result == IsoOk && NT_SUCCESS(Status); Number++) {
            if (Number >= DiscSectors) {
                Result = Number == ISO_FIRST_DESCRIPTOR ? IsoNotIso : IsoCorrupt;
                break;
            }
            Status = CdReadSectors(Target, Number, ISO_SECTOR, Sector);
            if (NT_SUCCESS(Status)) {
                Result = IsoAddDescriptor(Volume, Sector);
            }
        }
    }
    ExFreePoolWithTag(Sector, CD_TAG_IO);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Result == IsoEnd) {
        Result = IsoFinishVolume(Volume);
    }
    return Result == IsoOk ? STATUS_SUCCESS
                           : (Result == IsoNotIso ? STATUS_UNRECOGNIZED_VOLUME : STATUS_DISK_CORRUPT_ERROR);
}

static VOID CdDescribeVolume(PVPB Vpb, PCD_VCB Vcb)
{
    Vpb->VolumeLabelLength = (USHORT)min(Vcb->Iso.LabelLength * sizeof(WCHAR), sizeof(Vpb->VolumeLabel));
    RtlCopyMemory(Vpb->VolumeLabel, Vcb->Iso.Label, Vpb->VolumeLabelLength);
    Vpb->SerialNumber = Vcb->Iso.Serial;
    Vpb->DeviceObject = Vcb->VolumeDevice;
}

static NTSTATUS CdCreateRoot(PCD_VCB Vcb)
{
    ISO_RECORD Record = {.Extent = Vcb->Iso.Root, .Flags = ISO_FLAG_DIRECTORY};

    RtlCopyMemory(Record.Date, Vcb->Iso.Date, sizeof(Record.Date));
    return CdCreateFcb(Vcb, NULL, CD_ROOT_ID, &Record, &Vcb->Root);
}

/* Makes the volume device object for a disc that was recognised. */
static NTSTATUS CdCreateVolume(PDEVICE_OBJECT Target, PVPB Vpb, const ISO_VOLUME *Iso)
{
    PDEVICE_OBJECT Device;
    PCD_VCB Vcb;
    NTSTATUS Status = IoCreateDevice(CdFileSystemDevice->DriverObject, sizeof(CD_VCB), NULL,
                                     FILE_DEVICE_CD_ROM_FILE_SYSTEM, FILE_READ_ONLY_DEVICE, FALSE, &Device);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Device->StackSize = (CCHAR)(Target->StackSize + 1);
    Device->AlignmentRequirement = Target->AlignmentRequirement;
    Device->SectorSize = ISO_SECTOR;
    Vcb = Device->DeviceExtension;
    RtlZeroMemory(Vcb, sizeof(*Vcb));
    Vcb->NodeType = CD_NODE_VCB;
    Vcb->VolumeDevice = Device;
    Vcb->TargetDevice = Target;
    Vcb->Vpb = Vpb;
    Vcb->Iso = *Iso;
    CdConvertDate(Iso->Date, &Vcb->CreationTime);
    CdInitializeFcbTable(Vcb);
    ExInitializeResourceLite(&Vcb->Resource);

    ExAcquireResourceExclusiveLite(&Vcb->Resource, TRUE);
    Status = CdCreateRoot(Vcb);
    ExReleaseResourceLite(&Vcb->Resource);
    if (!NT_SUCCESS(Status)) {
        ExDeleteResourceLite(&Vcb->Resource);
        IoDeleteDevice(Device);
        return Status;
    }
    ObReferenceObject(Target);
    CdDescribeVolume(Vpb, Vcb);
    Device->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

/**
 * CdMountVolume - IRP_MN_MOUNT_VOLUME.
 *
 * Errors: STATUS_UNRECOGNIZED_VOLUME (no ISO 9660 volume), STATUS_DISK_CORRUPT_ERROR (one, but unusable), the
 * drive's, STATUS_INSUFFICIENT_RESOURCES.  IRQL: PASSIVE_LEVEL.
 */
NTSTATUS CdMountVolume(PIRP Irp, PIO_STACK_LOCATION Stack)
{
    PDEVICE_OBJECT Target = Stack->Parameters.MountVolume.DeviceObject;
    ISO_VOLUME Iso;
    NTSTATUS Status = CdReadDescriptors(Target, &Iso);

    if (NT_SUCCESS(Status)) {
        Status = CdCreateVolume(Target, Stack->Parameters.MountVolume.Vpb, &Iso);
    }
    return CdComplete(Irp, Status, 0);
}
