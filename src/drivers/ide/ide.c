/*
 * ide.c - ide.sys: ATA disks and ATAPI CD-ROM drives on PCI or legacy IDE controllers.
 *
 * DriverEntry finds the drives and makes \Device\CdRomN and \Device\HarddiskN\DRn; each request that needs the drive goes to
 * its channel's thread (request.c). Opens and closes need none. The driver sees the DDK only and is never unloaded.
 */
#include "ide.h"

DRIVER_INITIALIZE DriverEntry;

static ULONG IdeCdCount, IdeDiskCount; /* DriverEntry only */

static NTSTATUS NTAPI IdeOpenClose(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    Irp->IoStatus.Status = STATUS_SUCCESS;
    Irp->IoStatus.Information = (IoGetCurrentIrpStackLocation(Irp)->MajorFunction == IRP_MJ_CREATE) ? FILE_OPENED : 0;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return STATUS_SUCCESS;
}

static NTSTATUS NTAPI IdeQueue(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    return IdeQueueRequest(DeviceObject, Irp);
}

/* "Prefix<Number>", or with Suffix "Prefix<Number>Suffix<Number>"; numbers have one digit. */
static VOID IdeFormatName(PWCHAR Buffer, PCWSTR Prefix, PCWSTR Suffix, ULONG Number, PUNICODE_STRING Name)
{
    ULONG Length = 0;

    for (; *Prefix != 0; Prefix++) {
        Buffer[Length++] = *Prefix;
    }
    Buffer[Length++] = (WCHAR)(L'0' + Number);
    if (Suffix != NULL) {
        for (; *Suffix != 0; Suffix++) {
            Buffer[Length++] = *Suffix;
        }
        Buffer[Length++] = (WCHAR)(L'0' + Number);
    }
    Buffer[Length] = 0;
    RtlInitUnicodeString(Name, Buffer);
}

/* The directory a disk's device lies in. */
static NTSTATUS IdeMakeDirectory(ULONG Number)
{
    WCHAR Buffer[64];
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Handle;
    NTSTATUS Status;

    IdeFormatName(Buffer, L"\\Device\\Harddisk", NULL, Number, &Name);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_PERMANENT | OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL,
                               NULL);
    Status = ZwCreateDirectoryObject(&Handle, DIRECTORY_ALL_ACCESS, &Attributes);
    if (NT_SUCCESS(Status)) {
        ZwClose(Handle);
    }
    return Status;
}

/**
 * IdeCreateDevice - makes the device object of a drive that was found.
 *
 * returns  STATUS_SUCCESS; STATUS_TOO_MANY_NAMES past ten drives of a kind; what IoCreateDevice says
 */
NTSTATUS IdeCreateDevice(PDRIVER_OBJECT DriverObject, PIDE_CHANNEL Channel, const IDE_DRIVE *Found)
{
    BOOLEAN Cd = Found->Kind == IdeCdRom;
    ULONG Number = Cd ? IdeCdCount : IdeDiskCount;
    WCHAR DeviceBuffer[64], LinkBuffer[64];
    UNICODE_STRING DeviceName, LinkName;
    PDEVICE_OBJECT Device;
    PIDE_DRIVE Drive;
    NTSTATUS Status = STATUS_SUCCESS;

    if (Number > 9) {
        return STATUS_TOO_MANY_NAMES;
    }
    if (Cd) {
        IdeFormatName(DeviceBuffer, L"\\Device\\CdRom", NULL, Number, &DeviceName);
        IdeFormatName(LinkBuffer, L"\\DosDevices\\CdRom", NULL, Number, &LinkName);
    } else {
        Status = IdeMakeDirectory(Number);
        IdeFormatName(DeviceBuffer, L"\\Device\\Harddisk", L"\\DR", Number, &DeviceName);
        IdeFormatName(LinkBuffer, L"\\DosDevices\\PhysicalDrive", NULL, Number, &LinkName);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = IoCreateDevice(DriverObject, sizeof(IDE_DRIVE), &DeviceName, Cd ? FILE_DEVICE_CD_ROM : FILE_DEVICE_DISK,
                            Cd ? (FILE_REMOVABLE_MEDIA | FILE_READ_ONLY_DEVICE) : 0, FALSE, &Device);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Drive = Device->DeviceExtension;
    *Drive = *Found;
    Drive->Device = Device;
    Drive->Number = Number;
    Channel->Drives[Drive->Unit] = Drive;
    Device->Flags |= DO_DIRECT_IO;
    Device->AlignmentRequirement = FILE_WORD_ALIGNMENT;
    Device->SectorSize = (USHORT)Drive->SectorSize;
    Device->Flags &= ~DO_DEVICE_INITIALIZING;
    *(Cd ? &IdeCdCount : &IdeDiskCount) += 1;
    IoCreateSymbolicLink(&LinkName, &DeviceName);
    DbgPrint("ide: %wZ: %s, %s%s\n", &DeviceName, Drive->Model, Drive->UseDma ? "DMA" : "PIO",
             Drive->Lba48 ? ", 48-bit" : "");
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    ULONG Drives = 0;

    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->MajorFunction[IRP_MJ_CREATE] = IdeOpenClose;
    DriverObject->MajorFunction[IRP_MJ_CLOSE] = IdeOpenClose;
    DriverObject->MajorFunction[IRP_MJ_CLEANUP] = IdeOpenClose;
    DriverObject->MajorFunction[IRP_MJ_READ] = IdeQueue;
    DriverObject->MajorFunction[IRP_MJ_WRITE] = IdeQueue;
    DriverObject->MajorFunction[IRP_MJ_FLUSH_BUFFERS] = IdeQueue;
    DriverObject->MajorFunction[IRP_MJ_SHUTDOWN] = IdeQueue;
    DriverObject->MajorFunction[IRP_MJ_DEVICE_CONTROL] = IdeQueue;
    return IdeFindControllers(DriverObject, &Drives);
}
