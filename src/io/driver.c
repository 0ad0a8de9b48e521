/*
 * driver.c - driver objects: making them, starting what they stand for, and the drivers the loader brought.
 *
 * A driver object (\Driver\NAME, or \FileSystem\NAME for a file system) is made before DriverEntry is called and, if that
 * fails, goes again. It is referenced once for being started, and once by each of its devices; its image, if it was loaded
 * at run time, goes with the object, so code stays mapped while a device, and so a file or a work item, is left. A boot driver's image stays.
 *
 * Routines for re-initialization are called after all boot drivers have started, or after the driver that
 * registered them was loaded; one that registers itself again is called again. Locks: IopReinitLock (fast mutex) for those
 * lists; routines are called without it. PASSIVE_LEVEL.
 */
#include <ntos/console.h>
#include <ntos/sysimage.h>

#include "iop.h"

#define IOP_NAME_CHARS 128 /* of a driver's name, when one is made up */

POBJECT_TYPE IopDriverObjectType;

/* A call that is owed to a driver. */
typedef struct _IOP_REINIT {
    LIST_ENTRY Link;       /* (IopReinitLock) */
    PDRIVER_OBJECT Driver; /* referenced */
    PDRIVER_REINITIALIZE Routine;
    PVOID Context;
} IOP_REINIT, *PIOP_REINIT;

static FAST_MUTEX IopReinitLock;
VF_NAME_LOCK(IopReinitLock, "IopReinitLock");
static LIST_ENTRY IopReinits = {&IopReinits, &IopReinits}, IopBootReinits = {&IopBootReinits, &IopBootReinits};

/* Images that implement file systems: their objects live in \FileSystem, as a service key would say. */
static const PCSTR IopFileSystemImages[] = {"cdfs.sys", "fastfat.sys", "npfs.sys"};

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

    while (Driver->Clients != NULL) {
        PIOP_CLIENT_EXTENSION Client = Driver->Clients;

        Driver->Clients = Client->Next;
        ExFreePoolWithTag(Client, IOP_TAG_DRIVER);
    }
    if (Driver->Image != NULL) {
        MmUnloadSystemImage(Driver->Image);
    }
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

/* Prefix followed by Name, in a pool buffer with a terminating 0. */
NTSTATUS IopMakeName(PCWSTR Prefix, PCUNICODE_STRING Name, PUNICODE_STRING String)
{
    UNICODE_STRING First;

    RtlInitUnicodeString(&First, Prefix);
    if (First.Length + Name->Length > MAXUSHORT - sizeof(WCHAR)) {
        return STATUS_OBJECT_NAME_INVALID;
    }
    String->Length = First.Length + Name->Length;
    String->MaximumLength = String->Length + sizeof(WCHAR);
    String->Buffer = ExAllocatePoolWithTag(NonPagedPool, String->MaximumLength, IOP_TAG_DRIVER);
    if (String->Buffer == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlCopyMemory(String->Buffer, First.Buffer, First.Length);
    RtlCopyMemory((PUCHAR)String->Buffer + First.Length, Name->Buffer, Name->Length);
    String->Buffer[String->Length / sizeof(WCHAR)] = 0;
    return STATUS_SUCCESS;
}

static VOID IopFillDriver(PIOP_DRIVER New, const IOP_DRIVER_START *Start)
{
    PDRIVER_OBJECT Driver = &New->Driver;

    Driver->Type = IOP_TYPE_DRIVER;
    Driver->Size = sizeof(DRIVER_OBJECT);
    Driver->Flags = DRVO_LEGACY_DRIVER | Start->Flags;
    Driver->DriverStart = Start->Base;
    Driver->DriverSize = Start->Size;
    Driver->DriverSection = Start->Image;
    Driver->DriverInit = Start->Entry;
    Driver->DriverExtension = &New->Extension;
    New->Extension.DriverObject = Driver;
    for (ULONG Major = 0; Major <= IRP_MJ_MAXIMUM_FUNCTION; Major++) {
        Driver->MajorFunction[Major] = IopInvalidDeviceRequest;
    }
}

/* Makes the driver object. One reference is the caller's; Start->Image is the object's on success only. */
static NTSTATUS IopCreateDriverObject(const IOP_DRIVER_START *Start, PIOP_DRIVER *Result)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    PIOP_DRIVER New;
    NTSTATUS Status = IopMakeName(Start->Directory, &Start->Name, &Name);

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
    IopFillDriver(New, Start);
    New->Driver.DriverName = Name; /* the object's from here on */
    Status = IopMakeName(L"", &Start->Name, &New->Extension.ServiceKeyName);
    if (!NT_SUCCESS(Status)) {
        ObfDereferenceObject(New);
        return Status;
    }
    Status = ObInsertObject(New, NULL, 0, 1, (PVOID *)Result, NULL);
    if (NT_SUCCESS(Status)) {
        (*Result)->Image = Start->Image;
    }
    return Status;
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

static VOID IopQueueReinit(PLIST_ENTRY List, PDRIVER_OBJECT Driver, PDRIVER_REINITIALIZE Routine, PVOID Context)
{
    PIOP_REINIT Reinit = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Reinit), IOP_TAG_DRIVER);

    if (Reinit == NULL) {
        return; /* the routine has no way to say so */
    }
    ObfReferenceObject(Driver);
    *Reinit = (IOP_REINIT){.Driver = Driver, .Routine = Routine, .Context = Context};
    ExAcquireFastMutex(&IopReinitLock);
    InsertTailList(List, &Reinit->Link);
    ExReleaseFastMutex(&IopReinitLock);
}

static VOID IopFreeReinit(PIOP_REINIT Reinit)
{
    ObfDereferenceObject(Reinit->Driver);
    ExFreePoolWithTag(Reinit, IOP_TAG_DRIVER);
}

/* Takes the first call off a list: of Driver, or of anybody. The caller frees it. */
static PIOP_REINIT IopTakeReinit(PLIST_ENTRY List, PDRIVER_OBJECT Driver)
{
    PIOP_REINIT Found = NULL;

    ExAcquireFastMutex(&IopReinitLock);
    for (PLIST_ENTRY Link = List->Flink; Link != List && Found == NULL; Link = Link->Flink) {
        PIOP_REINIT Reinit = CONTAINING_RECORD(Link, IOP_REINIT, Link);

        Found = (Driver == NULL || Reinit->Driver == Driver) ? Reinit : NULL;
    }
    if (Found != NULL) {
        RemoveEntryList(&Found->Link);
    }
    ExReleaseFastMutex(&IopReinitLock);
    return Found;
}

/* Calls what drivers asked for, in order; what registers itself meanwhile waits for the next time. */
static VOID IopCallReinits(BOOLEAN Boot)
{
    PLIST_ENTRY List = Boot ? &IopBootReinits : &IopReinits;
    PIOP_REINIT Reinit;

    while ((Reinit = IopTakeReinit(List, NULL)) != NULL) {
        Reinit->Driver->DriverExtension->Count++;
        Reinit->Driver->Flags &= ~(Boot ? DRVO_BOOTREINIT_REGISTERED : DRVO_REINIT_REGISTERED);
        Reinit->Routine(Reinit->Driver, Reinit->Context, Reinit->Driver->DriverExtension->Count);
        IopFreeReinit(Reinit);
    }
}

VOID IoCallDriverReinitialization(VOID)
{
    IopCallReinits(TRUE);
    IopCallReinits(FALSE);
}

/* Forgets what a driver that did not start, or goes, asked for. */
VOID IopDropReinits(PDRIVER_OBJECT Driver)
{
    PIOP_REINIT Reinit;

    while ((Reinit = IopTakeReinit(&IopReinits, Driver)) != NULL ||
           (Reinit = IopTakeReinit(&IopBootReinits, Driver)) != NULL) {
        IopFreeReinit(Reinit);
    }
}

/* From DriverEntry or a re-initialization routine. IRQL: PASSIVE_LEVEL. */
VOID NTAPI IoRegisterDriverReinitialization(PDRIVER_OBJECT DriverObject,
                                            PDRIVER_REINITIALIZE DriverReinitializationRoutine, PVOID Context)
{
    DriverObject->Flags |= DRVO_REINIT_REGISTERED;
    IopQueueReinit(&IopReinits, DriverObject, DriverReinitializationRoutine, Context);
}

/* The same, but called before the routines of IoRegisterDriverReinitialization. IRQL: PASSIVE_LEVEL. */
VOID NTAPI IoRegisterBootDriverReinitialization(PDRIVER_OBJECT DriverObject,
                                                PDRIVER_REINITIALIZE DriverReinitializationRoutine, PVOID Context)
{
    DriverObject->Flags |= DRVO_BOOTREINIT_REGISTERED;
    IopQueueReinit(&IopBootReinits, DriverObject, DriverReinitializationRoutine, Context);
}

/**
 * IopStartDriver - makes a driver object and calls its initialization routine.
 *
 * @Start         what it is; Start->Image becomes the driver object's, and is given back if the driver does not start
 * @RegistryPath  for the routine; NULL: none
 * returns        what the routine returns, or why it was not called
 */
NTSTATUS IopStartDriver(const IOP_DRIVER_START *Start, PUNICODE_STRING RegistryPath)
{
    PIOP_DRIVER Driver;
    NTSTATUS Status = IopCreateDriverObject(Start, &Driver);

    if (!NT_SUCCESS(Status)) {
        if (Start->Image != NULL) {
            MmUnloadSystemImage(Start->Image);
        }
        return Status;
    }
    Status = Driver->Driver.DriverInit(&Driver->Driver, RegistryPath);
    ASSERT_IRQL(PASSIVE_LEVEL);
    if (!NT_SUCCESS(Status)) {
        IopDropReinits(&Driver->Driver);
        ObMakeTemporaryObject(Driver);
        ObfDereferenceObject(Driver);
        return Status;
    }
    IopReadyDevices(&Driver->Driver);
    Driver->Driver.Flags |= DRVO_INITIALIZED;
    if (Start->Image != NULL) {
        MmFreeDriverInitialization(Start->Image);
    }
    return STATUS_SUCCESS;
}

static BOOLEAN IopIsFileSystemImage(PCSTR ImageName)
{
    ANSI_STRING Name, Known;

    RtlInitAnsiString(&Name, ImageName);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(IopFileSystemImages); Index++) {
        RtlInitAnsiString(&Known, IopFileSystemImages[Index]);
        if (RtlEqualString(&Name, &Known, TRUE)) {
            return TRUE;
        }
    }
    return FALSE;
}

static NTSTATUS IopStartBootDriver(const LOADER_IMAGE *Image)
{
    WCHAR Text[sizeof(Image->Name)];
    IOP_DRIVER_START Start = {.Directory = IopIsFileSystemImage(Image->Name) ? L"\\FileSystem\\" : L"\\Driver\\",
                              .Entry = (PDRIVER_INITIALIZE)Image->EntryPoint,
                              .Base = (PVOID)Image->Base,
                              .Size = (ULONG)Image->Size,
                              .Flags = DRVO_BUILTIN_DRIVER};
    UNICODE_STRING RegistryPath;
    NTSTATUS Status;

    Start.Name.Buffer = Text;
    for (ULONG Index = 0; Image->Name[Index] != 0 && Image->Name[Index] != '.'; Index++) {
        Text[Index] = (UCHAR)Image->Name[Index];
        Start.Name.Length += sizeof(WCHAR);
    }
    Start.Name.MaximumLength = Start.Name.Length;
    Status = IopMakeName(IopServicesKey, &Start.Name, &RegistryPath);
    if (NT_SUCCESS(Status)) {
        Status = IopStartDriver(&Start, &RegistryPath);
        ExFreePoolWithTag(RegistryPath.Buffer, IOP_TAG_DRIVER);
    }
    return Status;
}

/* Starts every driver of the loader's list; a failure is named on the console and the others go on. */
VOID IopStartBootDrivers(LOADER_BLOCK *LoaderBlock)
{
    const LOADER_IMAGE *Images = (const LOADER_IMAGE *)LoaderBlock->Images;

    ExInitializeFastMutex(&IopReinitLock);
    for (ULONG Index = 1; Index < LoaderBlock->ImageCount; Index++) { /* [0] is the kernel */
        NTSTATUS Status;

        if (Images[Index].EntryPoint == 0) {
            continue; /* a library of exports */
        }
        Status = IopStartBootDriver(&Images[Index]);
        if (!NT_SUCCESS(Status)) {
            ConPrint("io: driver %s did not start: 0x%08lX\n", Images[Index].Name, (ULONG)Status);
        }
    }
    IoCallDriverReinitialization();
}

/**
 * IoCreateDriver - a driver object for code that is in memory already.
 *
 * @DriverName  full path, usually below \Driver; NULL: one is made up
 * returns      what the routine returns, or why it was not called
 *
 * The routine gets no registry path. IoDeleteDriver undoes it. IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI IoCreateDriver(PUNICODE_STRING DriverName, PDRIVER_INITIALIZE InitializationFunction)
{
    static volatile LONG Made;
    WCHAR Text[IOP_NAME_CHARS];
    IOP_DRIVER_START Start = {.Directory = L"", .Entry = InitializationFunction, .Flags = DRVO_BUILTIN_DRIVER};

    ASSERT_IRQL(PASSIVE_LEVEL);
    if (DriverName != NULL) {
        Start.Name = *DriverName;
        return IopStartDriver(&Start, NULL);
    }
    RtlInitEmptyUnicodeString(&Start.Name, Text, sizeof(Text));
    RtlIntegerToUnicodeString((ULONG)InterlockedIncrement(&Made), 10, &Start.Name);
    Start.Directory = L"\\Driver\\";
    return IopStartDriver(&Start, NULL);
}

/* Undoes IoCreateDriver. The devices are gone or go on their own. IRQL: PASSIVE_LEVEL. */
VOID NTAPI IoDeleteDriver(PDRIVER_OBJECT DriverObject)
{
    ASSERT_IRQL(PASSIVE_LEVEL);
    IopDropReinits(DriverObject);
    ObMakeTemporaryObject(DriverObject);
    ObfDereferenceObject(DriverObject);
}
