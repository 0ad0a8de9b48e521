/*
 * load.c - ZwLoadDriver and ZwUnloadDriver: drivers that come from disk and go again.
 *
 * A driver is named by its service key, \Registry\Machine\System\CurrentControlSet\Services\NAME, which must exist. The key's ImagePath
 * says where the file is: a full path, or one below \SystemRoot; without it the file is \SystemRoot\System\drivers\NAME.sys. Type
 * 2 (a file system) puts the object under \FileSystem, anything else under \Driver. Start and ErrorControl are not looked at: nothing is
 * started by itself but boot drivers.
 *
 * Unloading is in three steps. ZwUnloadDriver marks the driver's devices: they are neither opened nor attached to any more. When none of them is open
 * or attached to, at once or when the last reference goes, DRVO_UNLOAD_INVOKED is set, by one winner, and DriverUnload is called in a
 * worker thread or the caller. After it the object loses its name and its start's reference; the image goes with the object's last
 * reference, which devices that are still held (a work item that runs) may keep for a while.
 *
 * Loading runs in the system process, in a worker if the caller is elsewhere. Lock: IopDatabaseLock for marks. PASSIVE_LEVEL.
 */
#include <ntos/console.h>
#include <ntos/services.h>
#include <ntos/sysimage.h>
#include <ntos/user.h>

#include "iop.h"

/* Types of service keys, as documented for the Services tree. */
#define IOP_SERVICE_DRIVER      1
#define IOP_SERVICE_FILE_SYSTEM 2

/* A call made in a worker thread on behalf of a thread of another process. */
typedef struct _IOP_LOAD {
    WORK_QUEUE_ITEM Item;
    PUNICODE_STRING RegistryPath; /* the caller's, which waits */
    KEVENT Done;
    NTSTATUS Status;
} IOP_LOAD, *PIOP_LOAD;

/* The last component of a path. */
static UNICODE_STRING IopLastComponent(PCUNICODE_STRING Path)
{
    UNICODE_STRING Name = *Path;
    USHORT Chars = Path->Length / sizeof(WCHAR), Start = Chars;

    while (Start != 0 && Path->Buffer[Start - 1] != '\\') {
        Start--;
    }
    Name.Buffer += Start;
    Name.Length = Name.MaximumLength = (USHORT)((Chars - Start) * sizeof(WCHAR));
    return Name;
}

/* The driver object of that name, referenced. */
static NTSTATUS IopFindDriver(PCUNICODE_STRING Name, PDRIVER_OBJECT *Driver)
{
    static const PCWSTR Directories[] = {L"\\Driver\\", L"\\FileSystem\\"};
    NTSTATUS Status = STATUS_OBJECT_NAME_NOT_FOUND;

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Directories); Index++) {
        UNICODE_STRING Path;

        Status = IopMakeName(Directories[Index], Name, &Path);
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
        Status = ObReferenceObjectByName(&Path, OBJ_CASE_INSENSITIVE, NULL, 0, IopDriverObjectType, KernelMode, NULL,
                                         (PVOID *)Driver);
        ExFreePoolWithTag(Path.Buffer, IOP_TAG_DRIVER);
        if (Status != STATUS_OBJECT_NAME_NOT_FOUND) { /* found; or there is no saying, for want of memory */
            return Status;
        }
    }
    return Status;
}

/* Where the driver's file is when nothing else is said; pool, the caller's. */
static NTSTATUS IopDefaultImagePath(PCUNICODE_STRING Service, PUNICODE_STRING Path)
{
    UNICODE_STRING Extension, Bare;
    NTSTATUS Status = IopMakeName(L"\\SystemRoot\\System\\drivers\\", Service, &Bare);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    RtlInitUnicodeString(&Extension, L".sys");
    Status = IopMakeName(Bare.Buffer, &Extension, Path);
    ExFreePoolWithTag(Bare.Buffer, IOP_TAG_DRIVER);
    return Status;
}

/* What the service key says. ImagePath: pool of the caller's, empty if there is none. */
static NTSTATUS IopReadService(PUNICODE_STRING RegistryPath, PUNICODE_STRING ImagePath, PULONG Type)
{
    RTL_QUERY_REGISTRY_TABLE Table[] = {
        {.Flags = RTL_QUERY_REGISTRY_DIRECT, .Name = L"ImagePath", .EntryContext = ImagePath},
        {.Flags = RTL_QUERY_REGISTRY_DIRECT, .Name = L"Type", .EntryContext = Type},
        {0},
    };
    UNICODE_STRING Path;
    NTSTATUS Status = IopMakeName(L"", RegistryPath, &Path); /* with a terminating 0 */

    RtlZeroMemory(ImagePath, sizeof(*ImagePath));
    *Type = IOP_SERVICE_DRIVER;
    if (NT_SUCCESS(Status)) {
        Status = RtlQueryRegistryValues(RTL_REGISTRY_ABSOLUTE, Path.Buffer, Table, NULL, NULL);
        ExFreePoolWithTag(Path.Buffer, IOP_TAG_DRIVER);
    }
    if (!NT_SUCCESS(Status) && ImagePath->Buffer != NULL) { /* the first value was there, the second could not be had */
        ExFreePool(ImagePath->Buffer);
        ImagePath->Buffer = NULL;
    }
    return Status;
}

/* Full path of the driver's file; pool, the caller's. */
static NTSTATUS IopImagePath(PCUNICODE_STRING Service, PCUNICODE_STRING Given, PUNICODE_STRING Path)
{
    if (Given->Length == 0) {
        return IopDefaultImagePath(Service, Path);
    }
    return IopMakeName((Given->Buffer[0] == '\\') ? L"" : L"\\SystemRoot\\", Given, Path);
}

/* Loads the image and starts the driver. */
static NTSTATUS IopLoadImage(PUNICODE_STRING RegistryPath, PCUNICODE_STRING Service, PCUNICODE_STRING ImagePath,
                             ULONG Type)
{
    IOP_DRIVER_START Start = {.Directory = (Type == IOP_SERVICE_FILE_SYSTEM) ? L"\\FileSystem\\" : L"\\Driver\\",
                              .Name = *Service};
    NTSTATUS Status = MmLoadSystemImage(ImagePath, &Start.Image);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Start.Entry = (PDRIVER_INITIALIZE)Start.Image->EntryPoint;
    Start.Base = Start.Image->DllBase;
    Start.Size = Start.Image->SizeOfImage;
    Status = IopStartDriver(&Start, RegistryPath);
    if (NT_SUCCESS(Status)) {
        IoCallDriverReinitialization();
    }
    return Status;
}

static NTSTATUS IopLoadHere(PUNICODE_STRING RegistryPath)
{
    UNICODE_STRING Service = IopLastComponent(RegistryPath), Given, Path;
    PDRIVER_OBJECT Driver;
    ULONG Type;
    NTSTATUS Status;

    if (Service.Length == 0) {
        return STATUS_OBJECT_NAME_INVALID;
    }
    Status = IopFindDriver(&Service, &Driver);
    if (NT_SUCCESS(Status)) {
        ObfDereferenceObject(Driver);
        return STATUS_IMAGE_ALREADY_LOADED;
    }
    if (Status != STATUS_OBJECT_NAME_NOT_FOUND && Status != STATUS_OBJECT_PATH_NOT_FOUND) {
        return Status;
    }
    Status = IopReadService(RegistryPath, &Given, &Type);
    if (NT_SUCCESS(Status)) {
        Status = IopImagePath(&Service, &Given, &Path);
        if (Given.Buffer != NULL) {
            ExFreePool(Given.Buffer);
        }
    }
    if (NT_SUCCESS(Status)) {
        Status = IopLoadImage(RegistryPath, &Service, &Path, Type);
        ExFreePoolWithTag(Path.Buffer, IOP_TAG_DRIVER);
    }
    return Status;
}

static VOID NTAPI IopLoadWorker(PVOID Parameter)
{
    PIOP_LOAD Load = Parameter;

    Load->Status = IopLoadHere(Load->RegistryPath);
    KeSetEvent(&Load->Done, IO_NO_INCREMENT, FALSE);
}

/* The last step: nobody uses the driver's devices. */
static VOID IopUnloadNow(PDRIVER_OBJECT Driver)
{
    Driver->DriverUnload(Driver);
    ASSERT_IRQL(PASSIVE_LEVEL);
    IopDropReinits(Driver);
    if (Driver->DeviceObject != NULL) {
        VfDeviceLeft(&Driver->DriverName, Driver->DeviceObject, (PVOID)Driver->DriverUnload);
        ConPrint("%wZ: unloaded, but did not delete its devices: its image stays\n", &Driver->DriverName);
    }
    ObMakeTemporaryObject(Driver);
    ObfDereferenceObject(Driver); /* its start's */
}

static VOID NTAPI IopUnloadWorker(PVOID Parameter)
{
    PIOP_DRIVER Driver = Parameter;

    IopUnloadNow(&Driver->Driver);
    ObfDereferenceObject(Driver); /* taken when the item was queued */
}

/* TRUE, for one caller: every device is marked and none in use, so the driver is the caller's to unload. */
static BOOLEAN IopClaimUnload(PDRIVER_OBJECT Driver, BOOLEAN Mark)
{
    BOOLEAN Claimed = (Driver->DriverUnload != NULL);
    KIRQL Irql;

    KeAcquireSpinLock(&IopDatabaseLock, &Irql);
    for (PDEVICE_OBJECT Device = Driver->DeviceObject; Device != NULL; Device = Device->NextDevice) {
        if (Mark) {
            IopExtension(Device)->Flags |= IOP_DEVICE_UNLOAD_PENDING;
        }
        if (Device->ReferenceCount != 0 || Device->AttachedDevice != NULL ||
            (IopExtension(Device)->Flags & IOP_DEVICE_UNLOAD_PENDING) == 0) {
            Claimed = FALSE;
        }
    }
    if ((Driver->Flags & DRVO_UNLOAD_INVOKED) != 0) {
        Claimed = FALSE;
    }
    if (Claimed) {
        Driver->Flags |= DRVO_UNLOAD_INVOKED;
    }
    KeReleaseSpinLock(&IopDatabaseLock, Irql);
    return Claimed;
}

/* A device of a driver that is to be unloaded has lost a reference. The caller keeps the driver. IRQL <= DISPATCH_LEVEL. */
VOID IopCheckPendingUnload(PDRIVER_OBJECT Driver)
{
    PIOP_DRIVER Ours = CONTAINING_RECORD(Driver, IOP_DRIVER, Driver);

    if (IopClaimUnload(Driver, FALSE)) {
        ObfReferenceObject(Driver);
        ExInitializeWorkItem(&Ours->UnloadItem, IopUnloadWorker, Ours);
        ExQueueWorkItem(&Ours->UnloadItem, DelayedWorkQueue);
    }
}

/* A program's call as the kernel's own, with its privilege and its string checked. */
static NTSTATUS IopForProgram(NTSTATUS(NTAPI *Service)(PUNICODE_STRING), PUNICODE_STRING Name)
{
    UNICODE_STRING Captured;
    NTSTATUS Status;

    if (!SeSinglePrivilegeCheck(SeExports->SeLoadDriverPrivilege, ExGetPreviousMode())) {
        return STATUS_PRIVILEGE_NOT_HELD;
    }
    Status = ExCaptureString(&Captured, Name);
    if (NT_SUCCESS(Status)) {
        Status = Service(&Captured);
        ExFreeCapturedString(&Captured);
    }
    return Status;
}

/**
 * NtLoadDriver - loads and starts a driver.
 *
 * @DriverServiceName  its service key; the last component names the driver object
 * returns             what DriverEntry returned; STATUS_OBJECT_NAME_NOT_FOUND: no such key; STATUS_IMAGE_ALREADY_LOADED; errors of
 *                     MmLoadSystemImage; STATUS_PRIVILEGE_NOT_HELD: a program without SeLoadDriverPrivilege
 *
 * IRQL: PASSIVE_LEVEL. Source: WDK documentation of ZwLoadDriver.
 */
NTSTATUS NTAPI NtLoadDriver(PUNICODE_STRING DriverServiceName)
{
    IOP_LOAD Load = {.RegistryPath = DriverServiceName};

    ASSERT_IRQL(PASSIVE_LEVEL);
    if (ExGetPreviousMode() != KernelMode) {
        return IopForProgram(ZwLoadDriver, DriverServiceName);
    }
    if (IoGetCurrentProcess() == PsInitialSystemProcess) {
        return IopLoadHere(DriverServiceName);
    }
    KeInitializeEvent(&Load.Done, NotificationEvent, FALSE);
    ExInitializeWorkItem(&Load.Item, IopLoadWorker, &Load);
    ExQueueWorkItem(&Load.Item, DelayedWorkQueue);
    KeWaitForSingleObject(&Load.Done, Executive, KernelMode, FALSE, NULL);
    return Load.Status;
}

/**
 * NtUnloadDriver - has a driver unloaded.
 *
 * returns  STATUS_SUCCESS: it is, or will be once nothing uses its devices any more; STATUS_INVALID_DEVICE_REQUEST: it has no DriverUnload, or
 *          is being unloaded by somebody else; STATUS_OBJECT_NAME_NOT_FOUND
 *
 * IRQL: PASSIVE_LEVEL. Source: WDK documentation of ZwUnloadDriver.
 */
NTSTATUS NTAPI NtUnloadDriver(PUNICODE_STRING DriverServiceName)
{
    UNICODE_STRING Service;
    PDRIVER_OBJECT Driver;
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    if (ExGetPreviousMode() != KernelMode) {
        return IopForProgram(ZwUnloadDriver, DriverServiceName);
    }
    Service = IopLastComponent(DriverServiceName);
    Status = IopFindDriver(&Service, &Driver);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Driver->DriverUnload == NULL ||
        (Driver->Flags & (DRVO_UNLOAD_INVOKED | DRVO_INITIALIZED)) != DRVO_INITIALIZED) {
        Status = STATUS_INVALID_DEVICE_REQUEST;
    } else if (IopClaimUnload(Driver, TRUE)) {
        IopUnloadNow(Driver);
    }
    ObfDereferenceObject(Driver);
    return Status;
}
