/*
 * volume.c - volume parameter blocks, file systems and mounting.
 *
 * Every disk-like device has a VPB. The first open that needs a file system finds it unmounted and offers the device to each
 * registered file system of its kind, last registered first, by IRP_MN_MOUNT_VOLUME; the one that knows the medium fills in
 * Vpb->DeviceObject. VPB states: not mounted -> mounted (VPB_MOUNTED). The file system undoes it by clearing the flag under
 * IoAcquireVpbSpinLock when the medium changed; the next open mounts again.
 *
 * Locks: Device->DeviceLock serialises mounts of one device and is held over the mount request; IopFileSystemLock (fast
 * mutex) guards the lists and is not held over a request; the VPB spin lock guards Flags and ReferenceCount. IRQL: PASSIVE_LEVEL.
 */
#include "iop.h"

/* As many file systems of one kind as one mount tries: more than this kernel has boot modules for. */
#define IOP_MAXIMUM_FILE_SYSTEMS 8U

static KSPIN_LOCK IopVpbLock;
VF_NAME_LOCK(IopVpbLock, "IopVpbLock");
static FAST_MUTEX IopFileSystemLock;
VF_NAME_LOCK(IopFileSystemLock, "IopFileSystemLock");
static LIST_ENTRY IopDiskFileSystems, IopCdRomFileSystems, IopNetworkFileSystems, IopTapeFileSystems; /* (lists lock) */

VOID IopInitializeVolumes(VOID)
{
    ExInitializeFastMutex(&IopFileSystemLock);
    InitializeListHead(&IopDiskFileSystems);
    InitializeListHead(&IopCdRomFileSystems);
    InitializeListHead(&IopNetworkFileSystems);
    InitializeListHead(&IopTapeFileSystems);
}

VOID NTAPI IoAcquireVpbSpinLock(PKIRQL Irql)
{
    KeAcquireSpinLock(&IopVpbLock, Irql);
}

VOID NTAPI IoReleaseVpbSpinLock(KIRQL Irql)
{
    KeReleaseSpinLock(&IopVpbLock, Irql);
}

PVPB IopCreateVpb(PDEVICE_OBJECT Device)
{
    PVPB Vpb = ExAllocatePoolWithTag(NonPagedPool, sizeof(VPB), IOP_TAG_VPB);

    if (Vpb != NULL) {
        RtlZeroMemory(Vpb, sizeof(*Vpb));
        Vpb->Type = IOP_TYPE_VPB;
        Vpb->Size = sizeof(VPB);
        Vpb->RealDevice = Device;
    }
    return Vpb;
}

VOID IopDereferenceVpb(PVPB Vpb)
{
    KIRQL Irql;

    IoAcquireVpbSpinLock(&Irql);
    ASSERT(Vpb->ReferenceCount > 0);
    Vpb->ReferenceCount--;
    IoReleaseVpbSpinLock(Irql);
}

static PLIST_ENTRY IopFileSystemList(DEVICE_TYPE Type)
{
    switch (Type) {
    case FILE_DEVICE_CD_ROM:
    case FILE_DEVICE_CD_ROM_FILE_SYSTEM:
        return &IopCdRomFileSystems;
    case FILE_DEVICE_NETWORK_FILE_SYSTEM:
        return &IopNetworkFileSystems;
    case FILE_DEVICE_TAPE:
    case FILE_DEVICE_TAPE_FILE_SYSTEM:
        return &IopTapeFileSystems;
    default:
        return &IopDiskFileSystems;
    }
}

static ULONG IopCollectFileSystems(DEVICE_TYPE Type, PDEVICE_OBJECT *Found);

/* A driver that wants to know of file systems. */
typedef struct _IOP_FS_WATCH {
    LIST_ENTRY Link;       /* (lists lock) */
    PDRIVER_OBJECT Driver; /* referenced */
    PDRIVER_FS_NOTIFICATION Routine;
} IOP_FS_WATCH, *PIOP_FS_WATCH;

static LIST_ENTRY IopFsWatches = {&IopFsWatches, &IopFsWatches}; /* (lists lock) */

#define IOP_FS_WATCHES 8U /* filters that are told of one change: more than there are */

/* Tells the watchers that a file system came or went. No lock held over their routines. */
static VOID IopTellWatchers(PDEVICE_OBJECT Device, BOOLEAN Active)
{
    PDRIVER_FS_NOTIFICATION Routines[IOP_FS_WATCHES];
    PDRIVER_OBJECT Drivers[IOP_FS_WATCHES];
    ULONG Count = 0;

    ExAcquireFastMutex(&IopFileSystemLock);
    for (PLIST_ENTRY Link = IopFsWatches.Flink; Link != &IopFsWatches && Count < IOP_FS_WATCHES; Link = Link->Flink) {
        PIOP_FS_WATCH Watch = CONTAINING_RECORD(Link, IOP_FS_WATCH, Link);

        ObfReferenceObject(Watch->Driver);
        Drivers[Count] = Watch->Driver;
        Routines[Count++] = Watch->Routine;
    }
    ExReleaseFastMutex(&IopFileSystemLock);
    for (ULONG Index = 0; Index < Count; Index++) {
        Routines[Index](Device, Active);
        ObfDereferenceObject(Drivers[Index]);
    }
}

VOID NTAPI IoRegisterFileSystem(PDEVICE_OBJECT DeviceObject)
{
    PLIST_ENTRY List = IopFileSystemList(DeviceObject->DeviceType);

    IopReferenceDevice(DeviceObject); /* keeps it until it unregisters */
    DeviceObject->Flags &= ~DO_DEVICE_INITIALIZING;
    ExAcquireFastMutex(&IopFileSystemLock);
    if ((DeviceObject->Flags & DO_LOW_PRIORITY_FILESYSTEM) != 0) {
        InsertTailList(List, &DeviceObject->Queue.ListEntry);
    } else {
        InsertHeadList(List, &DeviceObject->Queue.ListEntry);
    }
    ExReleaseFastMutex(&IopFileSystemLock);
    IopTellWatchers(DeviceObject, TRUE);
}

VOID NTAPI IoUnregisterFileSystem(PDEVICE_OBJECT DeviceObject)
{
    ExAcquireFastMutex(&IopFileSystemLock);
    RemoveEntryList(&DeviceObject->Queue.ListEntry);
    InitializeListHead(&DeviceObject->Queue.ListEntry);
    ExReleaseFastMutex(&IopFileSystemLock);
    IopTellWatchers(DeviceObject, FALSE);
    IopDereferenceDevice(DeviceObject);
}

/**
 * IoRegisterFsRegistrationChange - has a routine called for each file system that registers from now on, or goes.
 *
 * returns  STATUS_SUCCESS; STATUS_INSUFFICIENT_RESOURCES. File systems that are registered already are told of at once
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI IoRegisterFsRegistrationChange(PDRIVER_OBJECT DriverObject,
                                              PDRIVER_FS_NOTIFICATION DriverNotificationRoutine)
{
    static const DEVICE_TYPE Types[] = {FILE_DEVICE_CD_ROM, FILE_DEVICE_DISK, FILE_DEVICE_NETWORK_FILE_SYSTEM,
                                        FILE_DEVICE_TAPE};
    PIOP_FS_WATCH Watch = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Watch), IOP_TAG_DRIVER);

    if (Watch == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    ObfReferenceObject(DriverObject);
    Watch->Driver = DriverObject;
    Watch->Routine = DriverNotificationRoutine;
    ExAcquireFastMutex(&IopFileSystemLock);
    InsertTailList(&IopFsWatches, &Watch->Link);
    ExReleaseFastMutex(&IopFileSystemLock);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Types); Index++) {
        PDEVICE_OBJECT Found[IOP_MAXIMUM_FILE_SYSTEMS];
        ULONG Count = IopCollectFileSystems(Types[Index], Found);

        for (ULONG Each = 0; Each < Count; Each++) {
            DriverNotificationRoutine(Found[Each], TRUE);
            IopDereferenceDevice(Found[Each]);
        }
    }
    return STATUS_SUCCESS;
}

/* Undoes it. IRQL: PASSIVE_LEVEL. */
VOID NTAPI IoUnregisterFsRegistrationChange(PDRIVER_OBJECT DriverObject,
                                            PDRIVER_FS_NOTIFICATION DriverNotificationRoutine)
{
    PIOP_FS_WATCH Watch = NULL;

    ExAcquireFastMutex(&IopFileSystemLock);
    for (PLIST_ENTRY Link = IopFsWatches.Flink; Link != &IopFsWatches && Watch == NULL; Link = Link->Flink) {
        PIOP_FS_WATCH Each = CONTAINING_RECORD(Link, IOP_FS_WATCH, Link);

        Watch = (Each->Driver == DriverObject && Each->Routine == DriverNotificationRoutine) ? Each : NULL;
    }
    if (Watch != NULL) {
        RemoveEntryList(&Watch->Link);
    }
    ExReleaseFastMutex(&IopFileSystemLock);
    if (Watch != NULL) {
        ObfDereferenceObject(Watch->Driver);
        ExFreePoolWithTag(Watch, IOP_TAG_DRIVER);
    }
}

/* The file systems that may know a device, each referenced. Returns how many. */
static ULONG IopCollectFileSystems(DEVICE_TYPE Type, PDEVICE_OBJECT *Found)
{
    PLIST_ENTRY List = IopFileSystemList(Type);
    ULONG Count = 0;

    ExAcquireFastMutex(&IopFileSystemLock);
    for (PLIST_ENTRY Link = List->Flink; Link != List && Count < IOP_MAXIMUM_FILE_SYSTEMS; Link = Link->Flink) {
        PDEVICE_OBJECT Device = CONTAINING_RECORD(Link, DEVICE_OBJECT, Queue.ListEntry);

        IopReferenceDevice(Device);
        Found[Count++] = Device;
    }
    ExReleaseFastMutex(&IopFileSystemLock);
    return Count;
}

/* Sends one file-system control request about a volume and waits. */
static NTSTATUS IopVolumeRequest(PDEVICE_OBJECT Target, UCHAR MinorFunction, PVPB Vpb, PDEVICE_OBJECT Device,
                                 UCHAR StackFlags)
{
    IO_STATUS_BLOCK Iosb = {.Status = STATUS_PENDING};
    PIO_STACK_LOCATION Stack;
    KEVENT Done;
    PIRP Irp;
    NTSTATUS Status;

    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    Irp = IoAllocateIrp(Target->StackSize, FALSE);
    if (Irp == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Irp->Flags = IRP_MOUNT_COMPLETION | IRP_SYNCHRONOUS_PAGING_IO;
    Irp->UserEvent = &Done;
    Irp->UserIosb = &Iosb;
    Irp->Tail.Overlay.Thread = PsGetCurrentThread();
    Stack = IoGetNextIrpStackLocation(Irp);
    Stack->MajorFunction = IRP_MJ_FILE_SYSTEM_CONTROL;
    Stack->MinorFunction = MinorFunction;
    Stack->Flags = StackFlags;
    Stack->Parameters.MountVolume.Vpb = Vpb; /* VerifyVolume has the same layout */
    Stack->Parameters.MountVolume.DeviceObject = Device;
    Status = IofCallDriver(Target, Irp);
    if (Status == STATUS_PENDING) {
        KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
        Status = Iosb.Status;
    }
    return Status;
}

/* Offers an unmounted device to the file systems. DeviceLock held. */
static NTSTATUS IopMountVolume(PDEVICE_OBJECT Device)
{
    PDEVICE_OBJECT FileSystems[IOP_MAXIMUM_FILE_SYSTEMS];
    ULONG Count = IopCollectFileSystems(Device->DeviceType, FileSystems);
    NTSTATUS Status = STATUS_UNRECOGNIZED_VOLUME;
    KIRQL Irql;

    for (ULONG Index = 0; Index < Count; Index++) {
        if (Status == STATUS_UNRECOGNIZED_VOLUME) {
            Status = IopVolumeRequest(IoGetAttachedDevice(FileSystems[Index]), IRP_MN_MOUNT_VOLUME, Device->Vpb,
                                      IoGetAttachedDevice(Device), 0);
            if (NT_SUCCESS(Status)) {
                IoAcquireVpbSpinLock(&Irql);
                ASSERT(Device->Vpb->DeviceObject != NULL);
                Device->Vpb->Flags |= VPB_MOUNTED;
                IoReleaseVpbSpinLock(Irql);
                Device->Vpb->DeviceObject->Flags &= ~DO_DEVICE_INITIALIZING;
            }
        }
        IopDereferenceDevice(FileSystems[Index]);
    }
    return Status;
}

/**
 * IopMountForOpen - finds the mounted volume of a device, mounting it if need be.
 *
 * @Device  device with a VPB
 * @Vpb     gets the VPB with its reference count raised for the file being opened
 * returns  STATUS_SUCCESS; STATUS_UNRECOGNIZED_VOLUME; STATUS_NO_MEDIA_IN_DEVICE and other device errors
 *
 * IRQL: PASSIVE_LEVEL. Locks: takes DeviceLock.
 */
NTSTATUS IopMountForOpen(PDEVICE_OBJECT Device, PVPB *Vpb)
{
    NTSTATUS Status = STATUS_SUCCESS;
    KIRQL Irql;

    KeWaitForSingleObject(&Device->DeviceLock, Executive, KernelMode, FALSE, NULL);
    if ((Device->Vpb->Flags & VPB_MOUNTED) == 0) {
        Status = IopMountVolume(Device);
    }
    if (NT_SUCCESS(Status)) {
        IoAcquireVpbSpinLock(&Irql);
        *Vpb = Device->Vpb;
        (*Vpb)->ReferenceCount++;
        IoReleaseVpbSpinLock(Irql);
    }
    KeSetEvent(&Device->DeviceLock, IO_NO_INCREMENT, FALSE);
    return Status;
}

/**
 * IoVerifyVolume - has the file system check that the medium in a device is still the one it mounted.
 *
 * returns  STATUS_SUCCESS: same medium, or a new one is mounted now; STATUS_WRONG_VOLUME and other errors
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI IoVerifyVolume(PDEVICE_OBJECT DeviceObject, BOOLEAN AllowRawMount)
{
    NTSTATUS Status = STATUS_SUCCESS;

    KeWaitForSingleObject(&DeviceObject->DeviceLock, Executive, KernelMode, FALSE, NULL);
    if ((DeviceObject->Vpb->Flags & VPB_MOUNTED) != 0) {
        Status = IopVolumeRequest(IoGetAttachedDevice(DeviceObject->Vpb->DeviceObject), IRP_MN_VERIFY_VOLUME,
                                  DeviceObject->Vpb, DeviceObject, AllowRawMount ? SL_ALLOW_RAW_MOUNT : 0);
    }
    if ((DeviceObject->Vpb->Flags & VPB_MOUNTED) == 0 || Status == STATUS_WRONG_VOLUME) {
        NTSTATUS Mount = IopMountVolume(DeviceObject);

        Status = (Status == STATUS_WRONG_VOLUME) ? Status : Mount;
    }
    KeSetEvent(&DeviceObject->DeviceLock, IO_NO_INCREMENT, FALSE);
    return Status;
}

PDEVICE_OBJECT NTAPI IoGetDeviceToVerify(PETHREAD Thread)
{
    return Thread->DeviceToVerify;
}

VOID NTAPI IoSetDeviceToVerify(PETHREAD Thread, PDEVICE_OBJECT DeviceObject)
{
    Thread->DeviceToVerify = DeviceObject;
}

VOID NTAPI IoSetHardErrorOrVerifyDevice(PIRP Irp, PDEVICE_OBJECT DeviceObject)
{
    if (Irp->Tail.Overlay.Thread != NULL) {
        Irp->Tail.Overlay.Thread->DeviceToVerify = DeviceObject;
    }
}
