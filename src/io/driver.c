/*
 * driver.c - driver objects, and starting the drivers the loader brought.
 *
 * The loader has mapped and bound the boot drivers; what is left is a driver object (\Driver\NAME, or \FileSystem\NAME for
 * a file system), a registry path string and the call of DriverEntry, in the order of the loader's list. A driver whose DriverEntry
 * fails loses its object; its image stays mapped. A driver that runs holds one reference on its object for ever.
 *
 * No locks: runs once, in phase 1, at PASSIVE_LEVEL. Loading drivers from disk is not here.
 */
#include <ntos/console.h>

#include "iop.h"

POBJECT_TYPE IopDriverObjectType;

/* A driver object and what belongs to it. */
typedef struct _IOP_DRIVER {
    DRIVER_OBJECT Driver; /* first: the object's body */
    DRIVER_EXTENSION Extension;
} IOP_DRIVER, *PIOP_DRIVER;

/* Images that implement file systems: their objects live in \FileSystem, as a service key would say. */
static const PCSTR IopFileSystemImages[] = {"cdfs.sys", "fastfat.sys"};

static const WCHAR IopServicesKey[] = L"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\";

/* Dispatch of every function a driver left unset. */
NTSTATUS NTAPI IopInvalidDeviceRequest(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    Irp->IoStatus.Status = STATUS_INVALID_DEVICE_REQUEST;
    Irp->IoStatus.Information = 0;
    IofCompleteRequest(Irp, IO_NO_INCREMENT);
    return STATUS_INVALID_DEVICE_REQUEST;
}

static VOID IopDeleteDriverObject(PVOID Object)
{
    PIOP_DRIVER Driver = Object;

    if (Driver->Driver.DriverName.Buffer != NULL) {
        ExFreePoolWithTag(Driver->Driver.DriverName.Buffer, IOP_TAG_DRIVER);
    }
    if (Driver->Extension.ServiceKeyName.Buffer != NULL) {
        ExFreePoolWithTag(Driver->Extension.ServiceKeyName.Buffer, IOP_TAG_DRIVER);
    }
}

NTSTATUS IopCreateDriverType(VOID)
{
    static const OBJECT_TYPE_INITIALIZER Info = {
        .Name = L"Driver",
        .GenericMapping = {STANDARD_RIGHTS_READ, STANDARD_RIGHTS_WRITE, STANDARD_RIGHTS_EXECUTE,
                           STANDARD_RIGHTS_REQUIRED | SYNCHRONIZE | 1},
        .ValidAccess = STANDARD_RIGHTS_REQUIRED | SYNCHRONIZE | 1,
        .PoolTag = IOP_TAG_DRIVER,
        .WaitOffset = OB_NOT_WAITABLE,
        .DeleteProcedure = IopDeleteDriverObject,
    };

    return ObCreateObjectType(&Info, &IopDriverObjectType);
}

/* Prefix followed by an ASCII name without its extension, in a pool buffer with a terminating 0. */
static NTSTATUS IopMakeName(PCWSTR Prefix, PCSTR Name, PUNICODE_STRING String)
{
    SIZE_T PrefixChars = 0, NameChars = 0;

    while (Prefix[PrefixChars] != 0) {
        PrefixChars++;
    }
    while (Name[NameChars] != 0 && Name[NameChars] != '.') {
        NameChars++;
    }
    String->Length = (USHORT)((PrefixChars + NameChars) * sizeof(WCHAR));
    String->MaximumLength = String->Length + sizeof(WCHAR);
    String->Buffer = ExAllocatePoolWithTag(NonPagedPool, String->MaximumLength, IOP_TAG_DRIVER);
    if (String->Buffer == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlCopyMemory(String->Buffer, Prefix, PrefixChars * sizeof(WCHAR));
    for (SIZE_T Index = 0; Index < NameChars; Index++) {
        String->Buffer[PrefixChars + Index] = (UCHAR)Name[Index];
    }
    String->Buffer[PrefixChars + NameChars] = 0;
    return STATUS_SUCCESS;
}

static VOID IopFillDriver(PIOP_DRIVER New, const LOADER_IMAGE *Image)
{
    PDRIVER_OBJECT Driver = &New->Driver;

    Driver->Type = IOP_TYPE_DRIVER;
    Driver->Size = sizeof(DRIVER_OBJECT);
    Driver->Flags = DRVO_LEGACY_DRIVER | DRVO_BUILTIN_DRIVER;
    Driver->DriverStart = (PVOID)Image->Base;
    Driver->DriverSize = (ULONG)Image->Size;
    Driver->DriverInit = (PDRIVER_INITIALIZE)Image->EntryPoint;
    Driver->DriverExtension = &New->Extension;
    New->Extension.DriverObject = Driver;
    for (ULONG Major = 0; Major <= IRP_MJ_MAXIMUM_FUNCTION; Major++) {
        Driver->MajorFunction[Major] = IopInvalidDeviceRequest;
    }
}

/* Makes the driver object of an image. One reference is the caller's. */
static NTSTATUS IopCreateDriverObject(const LOADER_IMAGE *Image, PCWSTR Directory, PIOP_DRIVER *Result)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    PIOP_DRIVER New;
    NTSTATUS Status = IopMakeName(Directory, Image->Name, &Name);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    InitializeObjectAttributes(&Attributes, &Name, OBJ_PERMANENT | OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL,
                               NULL);
    Status = ObCreateObject(KernelMode, IopDriverObjectType, &Attributes, KernelMode, NULL, sizeof(*New), 0, 0,
                            (PVOID *)&New);
    if (!NT_SUCCESS(Status)) {
        ExFreePoolWithTag(Name.Buffer, IOP_TAG_DRIVER);
        return Status;
    }
    IopFillDriver(New, Image);
    New->Driver.DriverName = Name; /* the object's from here on */
    Status = IopMakeName(L"", Image->Name, &New->Extension.ServiceKeyName);
    if (!NT_SUCCESS(Status)) {
        ObfDereferenceObject(New);
        return Status;
    }
    return ObInsertObject(New, NULL, 0, 1, (PVOID *)Result, NULL);
}

/* Devices made in DriverEntry may be attached to and opened from now on. */
static VOID IopReadyDevices(PDRIVER_OBJECT Driver)
{
    KIRQL Irql;

    KeAcquireSpinLock(&IopDatabaseLock, &Irql);
    for (PDEVICE_OBJECT Device = Driver->DeviceObject; Device != NULL; Device = Device->NextDevice) {
        Device->Flags &= ~DO_DEVICE_INITIALIZING;
    }
    KeReleaseSpinLock(&IopDatabaseLock, Irql);
}

static NTSTATUS IopStartDriver(const LOADER_IMAGE *Image, PCWSTR Directory)
{
    UNICODE_STRING RegistryPath;
    PIOP_DRIVER Driver;
    NTSTATUS Status = IopMakeName(IopServicesKey, Image->Name, &RegistryPath);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = IopCreateDriverObject(Image, Directory, &Driver);
    if (NT_SUCCESS(Status)) {
        Status = Driver->Driver.DriverInit(&Driver->Driver, &RegistryPath);
        ASSERT_IRQL(PASSIVE_LEVEL);
        if (NT_SUCCESS(Status)) {
            IopReadyDevices(&Driver->Driver);
        } else {
            ObMakeTemporaryObject(Driver);
            ObfDereferenceObject(Driver);
        }
    }
    ExFreePoolWithTag(RegistryPath.Buffer, IOP_TAG_DRIVER);
    return Status;
}

static BOOLEAN IopIsFileSystemImage(const LOADER_IMAGE *Image)
{
    ANSI_STRING Name, Known;

    RtlInitAnsiString(&Name, Image->Name);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(IopFileSystemImages); Index++) {
        RtlInitAnsiString(&Known, IopFileSystemImages[Index]);
        if (RtlEqualString(&Name, &Known, TRUE)) {
            return TRUE;
        }
    }
    return FALSE;
}

/* Starts every driver of the loader's list; a failure is named on the console and the others go on. */
VOID IopStartBootDrivers(LOADER_BLOCK *LoaderBlock)
{
    const LOADER_IMAGE *Images = (const LOADER_IMAGE *)LoaderBlock->Images;

    for (ULONG Index = 1; Index < LoaderBlock->ImageCount; Index++) { /* [0] is the kernel */
        NTSTATUS Status;

        if (Images[Index].EntryPoint == 0) {
            continue; /* a library of exports */
        }
        Status =
            IopStartDriver(&Images[Index], IopIsFileSystemImage(&Images[Index]) ? L"\\FileSystem\\" : L"\\Driver\\");
        if (!NT_SUCCESS(Status)) {
            ConPrint("io: driver %s did not start: 0x%08lX\n", Images[Index].Name, (ULONG)Status);
        }
    }
}
