/*
 * device.c - device objects: creation, attachment, deletion.
 *
 * A device object is one allocation: DEVICE_OBJECT, the driver's extension, the I/O manager's extension. It is on its driver's
 * list until IoDeleteDevice. ReferenceCount counts file objects and other users that keep it from going; a device deleted
 * while it is in use goes when the last of them leaves (IOP_DEVICE_DELETE_PENDING). AttachedDevice (above) and AttachedTo
 * (below) form its stack.
 *
 * Lock: IopDatabaseLock (DISPATCH_LEVEL) for lists, attachments and ReferenceCount. Creation and deletion run at PASSIVE_LEVEL as
 * they change the namespace. A device is never touched after the dereference that let it go.
 */
#include <ntos/se.h>

#include "iop.h"

KSPIN_LOCK IopDatabaseLock;
VF_NAME_LOCK(IopDatabaseLock, "IopDatabaseLock");
POBJECT_TYPE IopDeviceObjectType;

static VOID IopDeleteDeviceObject(PVOID Object)
{
    PDEVICE_OBJECT Device = Object;

    if (Device->Vpb != NULL) {
        ExFreePoolWithTag(Device->Vpb, IOP_TAG_VPB);
    }
    if (Device->Timer != NULL) {
        ExFreePool(Device->Timer);
    }
    if (IopExtension(Device) != NULL && (IopExtension(Device)->Flags & IOP_DEVICE_HOLDS_DRIVER) != 0) {
        ObfDereferenceObject(Device->DriverObject);
    }
}

NTSTATUS IopCreateDeviceType(VOID)
{
    static const OBJECT_TYPE_INITIALIZER Info = {
        .Name = L"Device",
        .GenericMapping = {FILE_GENERIC_READ, FILE_GENERIC_WRITE, FILE_GENERIC_EXECUTE, FILE_ALL_ACCESS},
        .ValidAccess = FILE_ALL_ACCESS,
        .PoolTag = 'iveD',
        .WaitOffset = OB_NOT_WAITABLE,
        .DeleteProcedure = IopDeleteDeviceObject,
        .ParseProcedure = IopParseDevice,
    };

    return ObCreateObjectType(&Info, &IopDeviceObjectType);
}

static BOOLEAN IopNeedsVpb(DEVICE_TYPE Type)
{
    return Type == FILE_DEVICE_DISK || Type == FILE_DEVICE_CD_ROM || Type == FILE_DEVICE_TAPE ||
           Type == FILE_DEVICE_VIRTUAL_DISK;
}

/* Sector size before the driver knows better: what each kind of medium has as a rule. */
static USHORT IopDefaultSectorSize(DEVICE_TYPE Type)
{
    if (Type == FILE_DEVICE_CD_ROM) {
        return 2048;
    }
    return IopNeedsVpb(Type) ? 512 : 0;
}

static NTSTATUS IopFillDevice(PDEVICE_OBJECT Device, PDRIVER_OBJECT Driver, ULONG ExtensionSize, ULONG ExtensionOffset,
                              DEVICE_TYPE Type, ULONG Characteristics)
{
    PIOP_DEVICE_EXTENSION Extension = (PIOP_DEVICE_EXTENSION)((PUCHAR)Device + ExtensionOffset);

    Device->Type = IOP_TYPE_DEVICE;
    Device->Size = (USHORT)(sizeof(DEVICE_OBJECT) + ExtensionSize);
    Device->DeviceType = Type;
    Device->Characteristics = Characteristics;
    Device->StackSize = 1;
    Device->Flags = DO_DEVICE_INITIALIZING;
    Device->DeviceExtension = (ExtensionSize != 0) ? Device + 1 : NULL;
    Device->SectorSize = IopDefaultSectorSize(Type);
    Device->DeviceObjectExtension = &Extension->Public;
    Extension->Public.Type = IOP_TYPE_DEVEXT;
    Extension->Public.DeviceObject = Device;
    KeInitializeEvent(&Device->DeviceLock, SynchronizationEvent, TRUE);
    KeInitializeDeviceQueue(&Device->DeviceQueue);
    if (Type == FILE_DEVICE_DISK_FILE_SYSTEM || Type == FILE_DEVICE_CD_ROM_FILE_SYSTEM ||
        Type == FILE_DEVICE_NETWORK_FILE_SYSTEM || Type == FILE_DEVICE_TAPE_FILE_SYSTEM) {
        InitializeListHead(&Device->Queue.ListEntry);
    }
    if (IopNeedsVpb(Type)) {
        Device->Vpb = IopCreateVpb(Device);
        if (Device->Vpb == NULL) {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
    }
    Device->DriverObject = Driver;
    if (Driver->DriverExtension != NULL) { /* a driver object of ours, which keeps the driver's code */
        ObfReferenceObject(Driver);
        Extension->Flags |= IOP_DEVICE_HOLDS_DRIVER;
    }
    return STATUS_SUCCESS;
}

/* Who may open a device that says nothing itself: everybody, to write only what holds no files. */
static VOID IopDefaultSecurity(DEVICE_TYPE Type, PSECURITY_DESCRIPTOR Descriptor)
{
    BOOLEAN Holds = IopNeedsVpb(Type) || Type == FILE_DEVICE_DISK_FILE_SYSTEM ||
                    Type == FILE_DEVICE_CD_ROM_FILE_SYSTEM || Type == FILE_DEVICE_TAPE_FILE_SYSTEM;

    RtlCreateSecurityDescriptor(Descriptor, SECURITY_DESCRIPTOR_REVISION);
    RtlSetDaclSecurityDescriptor(Descriptor, TRUE, Holds ? SePublicDefaultDacl : SePublicOpenDacl, FALSE);
}

/**
 * IoCreateDevice - makes a device object for a driver.
 *
 * @DeviceExtensionSize  bytes for the driver, zeroed, 16-byte aligned
 * @DeviceName           path in the namespace, usually below \Device; NULL: unnamed
 * @Exclusive            one open at a time
 * @DeviceObject         gets the device
 * returns               STATUS_SUCCESS; STATUS_INSUFFICIENT_RESOURCES; STATUS_OBJECT_NAME_COLLISION and other name errors
 *
 * IRQL: PASSIVE_LEVEL (documented <= APC_LEVEL; the namespace wants PASSIVE). Source: WDK documentation of IoCreateDevice.
 */
NTSTATUS NTAPI IoCreateDevice(PDRIVER_OBJECT DriverObject, ULONG DeviceExtensionSize, PUNICODE_STRING DeviceName,
                              DEVICE_TYPE DeviceType, ULONG DeviceCharacteristics, BOOLEAN Exclusive,
                              PDEVICE_OBJECT *DeviceObject)
{
    ULONG Offset = sizeof(DEVICE_OBJECT) + ((DeviceExtensionSize + 15U) & ~15U);
    SECURITY_DESCRIPTOR Descriptor;
    OBJECT_ATTRIBUTES Attributes;
    PDEVICE_OBJECT Device;
    NTSTATUS Status;
    KIRQL Irql;

    ASSERT_IRQL(PASSIVE_LEVEL);
    *DeviceObject = NULL;
    if (DeviceExtensionSize > MAXUSHORT - sizeof(DEVICE_OBJECT)) {
        return STATUS_INVALID_PARAMETER; /* Size is 16 bits */
    }
    IopDefaultSecurity(DeviceType, &Descriptor);
    InitializeObjectAttributes(&Attributes, DeviceName, OBJ_KERNEL_HANDLE | ((DeviceName != NULL) ? OBJ_PERMANENT : 0),
                               NULL, (DeviceName != NULL) ? &Descriptor : NULL);
    Status = ObCreateObject(KernelMode, IopDeviceObjectType, &Attributes, KernelMode, NULL,
                            Offset + sizeof(IOP_DEVICE_EXTENSION), 0, 0, (PVOID *)&Device);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = IopFillDevice(Device, DriverObject, DeviceExtensionSize, Offset, DeviceType, DeviceCharacteristics);
    if (!NT_SUCCESS(Status)) {
        ObfDereferenceObject(Device);
        return Status;
    }
    Device->Flags |= (DeviceName != NULL ? DO_DEVICE_HAS_NAME : 0) | (Exclusive ? DO_EXCLUSIVE : 0);
    Status = ObInsertObject(Device, NULL, 0, 1, (PVOID *)&Device, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    KeAcquireSpinLock(&IopDatabaseLock, &Irql);
    Device->NextDevice = DriverObject->DeviceObject;
    DriverObject->DeviceObject = Device;
    IopExtension(Device)->Flags |= IOP_DEVICE_LINKED;
    KeReleaseSpinLock(&IopDatabaseLock, Irql);
    *DeviceObject = Device;
    return STATUS_SUCCESS;
}

/* Takes a device off its driver's list; lock held. */
static VOID IopUnlinkDevice(PDEVICE_OBJECT Device)
{
    PDEVICE_OBJECT *Link = &Device->DriverObject->DeviceObject;

    while (*Link != NULL && *Link != Device) {
        Link = &(*Link)->NextDevice;
    }
    if (*Link == Device) {
        *Link = Device->NextDevice;
    }
    IopExtension(Device)->Flags &= ~IOP_DEVICE_LINKED;
}

VOID NTAPI IoDeleteDevice(PDEVICE_OBJECT DeviceObject)
{
    PIOP_DEVICE_EXTENSION Extension = IopExtension(DeviceObject);
    BOOLEAN Free;
    KIRQL Irql;

    ASSERT_IRQL_MAX(APC_LEVEL);
    if ((DeviceObject->Flags & DO_DEVICE_HAS_NAME) != 0) {
        ObMakeTemporaryObject(DeviceObject);
    }
    if (DeviceObject->Timer != NULL) {
        IoStopTimer(DeviceObject);
    }
    KeAcquireSpinLock(&IopDatabaseLock, &Irql);
    ASSERT(DeviceObject->AttachedDevice == NULL && (Extension->Flags & IOP_DEVICE_DELETE_PENDING) == 0);
    IopUnlinkDevice(DeviceObject);
    Extension->Flags |= IOP_DEVICE_DELETE_PENDING;
    Free = (DeviceObject->ReferenceCount == 0);
    KeReleaseSpinLock(&IopDatabaseLock, Irql);
    if (Free) {
        ObfDereferenceObject(DeviceObject);
    }
}

/* Keeps a device from going. IRQL <= DISPATCH_LEVEL. */
VOID IopReferenceDevice(PDEVICE_OBJECT Device)
{
    KIRQL Irql;

    KeAcquireSpinLock(&IopDatabaseLock, &Irql);
    Device->ReferenceCount++;
    KeReleaseSpinLock(&IopDatabaseLock, Irql);
}

/* Gives a reference up; the last one of a deleted device lets it go. IRQL <= DISPATCH_LEVEL. */
VOID IopDereferenceDevice(PDEVICE_OBJECT Device)
{
    PDRIVER_OBJECT Unload = NULL;
    BOOLEAN Free;
    KIRQL Irql;

    KeAcquireSpinLock(&IopDatabaseLock, &Irql);
    ASSERT(Device->ReferenceCount > 0);
    Device->ReferenceCount--;
    Free = (Device->ReferenceCount == 0 && (IopExtension(Device)->Flags & IOP_DEVICE_DELETE_PENDING) != 0);
    if (Device->ReferenceCount == 0 && (IopExtension(Device)->Flags & IOP_DEVICE_UNLOAD_PENDING) != 0) {
        Unload = Device->DriverObject;
        ObfReferenceObject(Unload);
    }
    KeReleaseSpinLock(&IopDatabaseLock, Irql);
    if (Unload != NULL) {
        IopCheckPendingUnload(Unload);
        ObfDereferenceObject(Unload);
    }
    if (Free) {
        ObfDereferenceObject(Device);
    }
}

/* The top of a stack; lock held. */
static PDEVICE_OBJECT IopTopDevice(PDEVICE_OBJECT Device)
{
    while (Device->AttachedDevice != NULL) {
        Device = Device->AttachedDevice;
    }
    return Device;
}

PDEVICE_OBJECT NTAPI IoGetAttachedDevice(PDEVICE_OBJECT DeviceObject)
{
    KIRQL Irql;

    KeAcquireSpinLock(&IopDatabaseLock, &Irql);
    DeviceObject = IopTopDevice(DeviceObject);
    KeReleaseSpinLock(&IopDatabaseLock, Irql);
    return DeviceObject;
}

PDEVICE_OBJECT NTAPI IoGetAttachedDeviceReference(PDEVICE_OBJECT DeviceObject)
{
    KIRQL Irql;

    KeAcquireSpinLock(&IopDatabaseLock, &Irql);
    DeviceObject = IopTopDevice(DeviceObject);
    ObfReferenceObject(DeviceObject);
    KeReleaseSpinLock(&IopDatabaseLock, Irql);
    return DeviceObject;
}

PDEVICE_OBJECT NTAPI IoGetLowerDeviceObject(PDEVICE_OBJECT DeviceObject)
{
    PDEVICE_OBJECT Lower;
    KIRQL Irql;

    KeAcquireSpinLock(&IopDatabaseLock, &Irql);
    Lower = IopExtension(DeviceObject)->AttachedTo;
    if (Lower != NULL) {
        ObfReferenceObject(Lower);
    }
    KeReleaseSpinLock(&IopDatabaseLock, Irql);
    return Lower;
}

PDEVICE_OBJECT NTAPI IoGetDeviceAttachmentBaseRef(PDEVICE_OBJECT DeviceObject)
{
    KIRQL Irql;

    KeAcquireSpinLock(&IopDatabaseLock, &Irql);
    while (IopExtension(DeviceObject)->AttachedTo != NULL) {
        DeviceObject = IopExtension(DeviceObject)->AttachedTo;
    }
    ObfReferenceObject(DeviceObject);
    KeReleaseSpinLock(&IopDatabaseLock, Irql);
    return DeviceObject;
}

/* Puts Source on top of Target's stack; *Lower, if given, is the device below, written under the lock. NULL: not possible. */
static PDEVICE_OBJECT IopAttach(PDEVICE_OBJECT Source, PDEVICE_OBJECT Target, PDEVICE_OBJECT *Lower)
{
    PDEVICE_OBJECT Top;
    KIRQL Irql;

    KeAcquireSpinLock(&IopDatabaseLock, &Irql);
    Top = IopTopDevice(Target);
    if ((IopExtension(Top)->Flags & (IOP_DEVICE_DELETE_PENDING | IOP_DEVICE_UNLOAD_PENDING)) != 0 ||
        (Top->Flags & DO_DEVICE_INITIALIZING) != 0) {
        Top = NULL;
    } else {
        if (Lower != NULL) {
            *Lower = Top;
        }
        IopExtension(Source)->AttachedTo = Top;
        Source->StackSize = (CCHAR)(Top->StackSize + 1);
        Source->AlignmentRequirement = Top->AlignmentRequirement;
        Source->SectorSize = Top->SectorSize;
        Top->AttachedDevice = Source;
    }
    KeReleaseSpinLock(&IopDatabaseLock, Irql);
    return Top;
}

/**
 * IoAttachDeviceToDeviceStack - puts SourceDevice on top of the stack that TargetDevice is in.
 *
 * returns  the device that was on top, now the next lower one; NULL if the target is going or still initialising
 *
 * The source takes over alignment, sector size and a stack size one larger. IRQL <= DISPATCH_LEVEL.
 */
PDEVICE_OBJECT NTAPI IoAttachDeviceToDeviceStack(PDEVICE_OBJECT SourceDevice, PDEVICE_OBJECT TargetDevice)
{
    return IopAttach(SourceDevice, TargetDevice, NULL);
}

/* The same, with the lower device stored before anything can be sent to the new one. STATUS_NO_SUCH_DEVICE as above. */
NTSTATUS NTAPI IoAttachDeviceToDeviceStackSafe(PDEVICE_OBJECT SourceDevice, PDEVICE_OBJECT TargetDevice,
                                               PDEVICE_OBJECT *AttachedToDeviceObject)
{
    return IopAttach(SourceDevice, TargetDevice, AttachedToDeviceObject) != NULL ? STATUS_SUCCESS
                                                                                 : STATUS_NO_SUCH_DEVICE;
}

NTSTATUS NTAPI IoAttachDeviceByPointer(PDEVICE_OBJECT SourceDevice, PDEVICE_OBJECT TargetDevice)
{
    return IopAttach(SourceDevice, TargetDevice, NULL) != NULL ? STATUS_SUCCESS : STATUS_NO_SUCH_DEVICE;
}

VOID NTAPI IoDetachDevice(PDEVICE_OBJECT TargetDevice)
{
    PDRIVER_OBJECT Unload = NULL;
    KIRQL Irql;

    KeAcquireSpinLock(&IopDatabaseLock, &Irql);
    ASSERT(TargetDevice->AttachedDevice != NULL);
    IopExtension(TargetDevice->AttachedDevice)->AttachedTo = NULL;
    TargetDevice->AttachedDevice = NULL;
    if ((IopExtension(TargetDevice)->Flags & IOP_DEVICE_UNLOAD_PENDING) != 0) {
        Unload = TargetDevice->DriverObject;
        ObfReferenceObject(Unload);
    }
    KeReleaseSpinLock(&IopDatabaseLock, Irql);
    if (Unload != NULL) {
        IopCheckPendingUnload(Unload);
        ObfDereferenceObject(Unload);
    }
}

NTSTATUS NTAPI IoAttachDevice(PDEVICE_OBJECT SourceDevice, PUNICODE_STRING TargetDevice, PDEVICE_OBJECT *AttachedDevice)
{
    PFILE_OBJECT File;
    PDEVICE_OBJECT Target;
    NTSTATUS Status;

    Status = IoGetDeviceObjectPointer(TargetDevice, FILE_READ_ATTRIBUTES, &File, &Target);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    *AttachedDevice = IoAttachDeviceToDeviceStack(SourceDevice, Target);
    ObfDereferenceObject(File);
    return (*AttachedDevice != NULL) ? STATUS_SUCCESS : STATUS_NO_SUCH_DEVICE;
}

NTSTATUS NTAPI IoGetDeviceObjectPointer(PUNICODE_STRING ObjectName, ACCESS_MASK DesiredAccess, PFILE_OBJECT *FileObject,
                                        PDEVICE_OBJECT *DeviceObject)
{
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Iosb;
    HANDLE Handle;
    NTSTATUS Status;

    InitializeObjectAttributes(&Attributes, ObjectName, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, NULL, NULL);
    Status = ZwOpenFile(&Handle, DesiredAccess, &Attributes, &Iosb, 0, FILE_NON_DIRECTORY_FILE);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ObReferenceObjectByHandle(Handle, 0, IopFileObjectType, KernelMode, (PVOID *)FileObject, NULL);
    ZwClose(Handle);
    if (NT_SUCCESS(Status)) {
        *DeviceObject = IoGetRelatedDeviceObject(*FileObject);
    }
    return Status;
}

NTSTATUS NTAPI IoCreateSymbolicLink(PUNICODE_STRING SymbolicLinkName, PUNICODE_STRING DeviceName)
{
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Handle;
    NTSTATUS Status;

    InitializeObjectAttributes(&Attributes, SymbolicLinkName, OBJ_PERMANENT | OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE,
                               NULL, NULL);
    Status = ZwCreateSymbolicLinkObject(&Handle, SYMBOLIC_LINK_ALL_ACCESS, &Attributes, DeviceName);
    if (NT_SUCCESS(Status)) {
        ZwClose(Handle);
    }
    return Status;
}

NTSTATUS NTAPI IoDeleteSymbolicLink(PUNICODE_STRING SymbolicLinkName)
{
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Handle;
    NTSTATUS Status;

    InitializeObjectAttributes(&Attributes, SymbolicLinkName, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    Status = ZwOpenSymbolicLinkObject(&Handle, DELETE, &Attributes);
    if (NT_SUCCESS(Status)) {
        Status = ZwMakeTemporaryObject(Handle);
        ZwClose(Handle);
    }
    return Status;
}

/* There are no security descriptors on links yet, so this one is as open as any. */
NTSTATUS NTAPI IoCreateUnprotectedSymbolicLink(PUNICODE_STRING SymbolicLinkName, PUNICODE_STRING DeviceName)
{
    return IoCreateSymbolicLink(SymbolicLinkName, DeviceName);
}
