/*
 * volinfo.c - IRP_MJ_QUERY_VOLUME_INFORMATION.
 *
 * Reports what mounting has found out; nothing of it changes, so no lock is taken. A disc is full: no class shows free
 * space. The sizes are those the volume claims, which on a truncated disc is more than there is.
 *
 * As everywhere in the driver, what is written to the caller's buffer never exceeds the length that came with the request.
 */
#include "cd.h"

static const WCHAR CdFileSystemName[] = {L'C', L'D', L'F', L'S'};

/* Copies a name behind a fixed part; STATUS_BUFFER_OVERFLOW if it had to be cut. */
static NTSTATUS CdAppendName(PVOID Buffer, ULONG Fixed, ULONG Length, const VOID *Name, ULONG NameBytes,
                             PULONG_PTR Used)
{
    ULONG Part = min(NameBytes, Length - Fixed);

    RtlCopyMemory((PUCHAR)Buffer + Fixed, Name, Part);
    *Used = Fixed + Part;
    return Part == NameBytes ? STATUS_SUCCESS : STATUS_BUFFER_OVERFLOW;
}

static NTSTATUS CdQueryFsVolume(PCD_VCB Vcb, PFILE_FS_VOLUME_INFORMATION Info, ULONG Length, PULONG_PTR Used)
{
    Info->VolumeCreationTime = Vcb->CreationTime;
    Info->VolumeSerialNumber = Vcb->Vpb->SerialNumber;
    Info->SupportsObjects = FALSE;
    Info->VolumeLabelLength = Vcb->Vpb->VolumeLabelLength;
    return CdAppendName(Info, FIELD_OFFSET(FILE_FS_VOLUME_INFORMATION, VolumeLabel), Length, Vcb->Vpb->VolumeLabel,
                        Vcb->Vpb->VolumeLabelLength, Used);
}

static NTSTATUS CdQueryFsAttribute(PCD_VCB Vcb, PFILE_FS_ATTRIBUTE_INFORMATION Info, ULONG Length, PULONG_PTR Used)
{
    Info->FileSystemAttributes = FILE_CASE_SENSITIVE_SEARCH | FILE_READ_ONLY_VOLUME |
                                 (Vcb->Iso.Joliet ? FILE_UNICODE_ON_DISK | FILE_CASE_PRESERVED_NAMES : 0);
    Info->MaximumComponentNameLength = Vcb->Iso.Joliet ? ISO_MAX_NAME / 2 : ISO_MAX_NAME;
    Info->FileSystemNameLength = sizeof(CdFileSystemName);
    return CdAppendName(Info, FIELD_OFFSET(FILE_FS_ATTRIBUTE_INFORMATION, FileSystemName), Length, CdFileSystemName,
                        sizeof(CdFileSystemName), Used);
}

static VOID CdQueryFsSize(PCD_VCB Vcb, PFILE_FS_SIZE_INFORMATION Info)
{
    Info->TotalAllocationUnits.QuadPart = Vcb->Iso.VolumeSectors;
    Info->AvailableAllocationUnits.QuadPart = 0;
    Info->SectorsPerAllocationUnit = 1;
    Info->BytesPerSector = ISO_SECTOR;
}

static VOID CdQueryFsFullSize(PCD_VCB Vcb, PFILE_FS_FULL_SIZE_INFORMATION Info)
{
    Info->TotalAllocationUnits.QuadPart = Vcb->Iso.VolumeSectors;
    Info->CallerAvailableAllocationUnits.QuadPart = 0;
    Info->ActualAvailableAllocationUnits.QuadPart = 0;
    Info->SectorsPerAllocationUnit = 1;
    Info->BytesPerSector = ISO_SECTOR;
}

/* Fixed part of an information class; 0: the class is not supported. */
static ULONG CdFixedFsSize(FS_INFORMATION_CLASS Class)
{
    switch (Class) {
    case FileFsVolumeInformation:
        return FIELD_OFFSET(FILE_FS_VOLUME_INFORMATION, VolumeLabel);
    case FileFsSizeInformation:
        return sizeof(FILE_FS_SIZE_INFORMATION);
    case FileFsFullSizeInformation:
        return sizeof(FILE_FS_FULL_SIZE_INFORMATION);
    case FileFsDeviceInformation:
        return sizeof(FILE_FS_DEVICE_INFORMATION);
    case FileFsAttributeInformation:
        return FIELD_OFFSET(FILE_FS_ATTRIBUTE_INFORMATION, FileSystemName);
    default:
        return 0;
    }
}

/**
 * CdQueryVolumeInformation - IRP_MJ_QUERY_VOLUME_INFORMATION.
 *
 * Errors: STATUS_INVALID_PARAMETER (class not supported), STATUS_INFO_LENGTH_MISMATCH, STATUS_BUFFER_OVERFLOW (name cut).
 */
NTSTATUS CdQueryVolumeInformation(PCD_VCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack)
{
    ULONG Length = Stack->Parameters.QueryVolume.Length;
    FS_INFORMATION_CLASS Class = Stack->Parameters.QueryVolume.FsInformationClass;
    PVOID Buffer = Irp->AssociatedIrp.SystemBuffer;
    ULONG_PTR Used = CdFixedFsSize(Class);
    NTSTATUS Status = STATUS_SUCCESS;

    if (Used == 0) {
        return CdComplete(Irp, STATUS_INVALID_PARAMETER, 0);
    }
    if (Length < Used) {
        return CdComplete(Irp, STATUS_INFO_LENGTH_MISMATCH, 0);
    }
    switch (Class) {
    case FileFsVolumeInformation:
        Status = CdQueryFsVolume(Vcb, Buffer, Length, &Used);
        break;
    case FileFsSizeInformation:
        CdQueryFsSize(Vcb, Buffer);
        break;
    case FileFsFullSizeInformation:
        CdQueryFsFullSize(Vcb, Buffer);
        break;
    case FileFsDeviceInformation:
        ((PFILE_FS_DEVICE_INFORMATION)Buffer)->DeviceType = FILE_DEVICE_CD_ROM;
        ((PFILE_FS_DEVICE_INFORMATION)Buffer)->Characteristics = Vcb->TargetDevice->Characteristics;
        break;
    default: /* FileFsAttributeInformation */
        Status = CdQueryFsAttribute(Vcb, Buffer, Length, &Used);
        break;
    }
    return CdComplete(Irp, Status, Used);
}
