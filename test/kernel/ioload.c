/*
 * ioload.c - suite for loading and unloading drivers, as far as it goes without a file of its own: drivers made in memory.
 *
 * Files that are no drivers are on every disc (the loader, the boot drivers themselves); drivers that load from disk are the
 * out-of-tree tests' (test/test_driver.py).
 */
#include <ntos/io.h>
#include <ntos/ke.h>
#include <ntos/ktap.h>
#include <ntos/ob.h>
#include <ntos/sysimage.h>

#define SERVICES L"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\"

static PDRIVER_OBJECT LoadDriver;
static PDEVICE_OBJECT LoadDevice;
static ULONG LoadUnloads, LoadReinits, LoadBootReinits, LoadReinitCount;
static KEVENT LoadUnloaded;
static NTSTATUS LoadEntryStatus;

static VOID NTAPI LoadUnload(PDRIVER_OBJECT DriverObject)
{
    LoadUnloads++;
    IoDeleteDevice(LoadDevice);
    KeSetEvent(&LoadUnloaded, IO_NO_INCREMENT, FALSE);
}

static NTSTATUS NTAPI LoadOpen(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    Irp->IoStatus.Status = STATUS_SUCCESS;
    Irp->IoStatus.Information = 0;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return STATUS_SUCCESS;
}

static VOID NTAPI LoadReinit(PDRIVER_OBJECT DriverObject, PVOID Context, ULONG Count)
{
    LoadReinits += (DriverObject == LoadDriver && Context == &LoadReinits) ? 1 : 100;
    LoadReinitCount = Count;
    if (Count == 2) {
        IoRegisterDriverReinitialization(DriverObject, LoadReinit, Context); /* once more */
    }
}

static VOID NTAPI LoadBootReinit(PDRIVER_OBJECT DriverObject, PVOID Context, ULONG Count)
{
    LoadBootReinits += (Count == 1) ? 1 : 100;
}

static NTSTATUS NTAPI LoadEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNICODE_STRING Name;

    RtlInitUnicodeString(&Name, L"\\Device\\KtapLoad");
    LoadDriver = DriverObject;
    if (!NT_SUCCESS(LoadEntryStatus)) {
        IoRegisterDriverReinitialization(DriverObject, LoadReinit, &LoadReinits); /* to be forgotten */
        return LoadEntryStatus;
    }
    DriverObject->DriverUnload = LoadUnload;
    DriverObject->MajorFunction[IRP_MJ_CREATE] = LoadOpen;
    DriverObject->MajorFunction[IRP_MJ_CLEANUP] = LoadOpen;
    DriverObject->MajorFunction[IRP_MJ_CLOSE] = LoadOpen;
    return IoCreateDevice(DriverObject, 0, &Name, FILE_DEVICE_UNKNOWN, 0, FALSE, &LoadDevice);
}

static NTSTATUS LoadService(PCWSTR Path)
{
    UNICODE_STRING Name;

    RtlInitUnicodeString(&Name, Path);
    return ZwLoadDriver(&Name);
}

static NTSTATUS UnloadService(PCWSTR Path)
{
    UNICODE_STRING Name;

    RtlInitUnicodeString(&Name, Path);
    return ZwUnloadDriver(&Name);
}

static NTSTATUS LoadCreate(VOID)
{
    UNICODE_STRING Name;

    RtlInitUnicodeString(&Name, L"\\Driver\\KtapLoad");
    KeInitializeEvent(&LoadUnloaded, NotificationEvent, FALSE);
    LoadEntryStatus = STATUS_SUCCESS;
    LoadUnloads = 0;
    return IoCreateDriver(&Name, LoadEntry);
}

static NTSTATUS LoadOpenDevice(PHANDLE Handle)
{
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Iosb;
    UNICODE_STRING Name;

    RtlInitUnicodeString(&Name, L"\\Device\\KtapLoad");
    InitializeObjectAttributes(&Attributes, &Name, OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwOpenFile(Handle, FILE_READ_DATA, &Attributes, &Iosb, 0, 0);
}

static VOID LoadRefusals(PKTAP_CONTEXT Ktap)
{
    MM_IMAGE_COUNTERS Before, After;
    PKLDR_DATA_TABLE_ENTRY Image;
    UNICODE_STRING Path;

    MmQueryImageCounters(&Before);
    KTAP_EQUAL(LoadService(SERVICES L"cdfs"), STATUS_IMAGE_ALREADY_LOADED);
    KTAP_EQUAL(LoadService(SERVICES L"nosuchdriver"), STATUS_OBJECT_NAME_NOT_FOUND);
    KTAP_EQUAL(LoadService(SERVICES), STATUS_OBJECT_NAME_INVALID);
    KTAP_EQUAL(UnloadService(SERVICES L"nosuchdriver"), STATUS_OBJECT_NAME_NOT_FOUND);
    KTAP_EQUAL(UnloadService(SERVICES L"ide"), STATUS_INVALID_DEVICE_REQUEST); /* it has no DriverUnload */
    RtlInitUnicodeString(&Path, L"\\SystemRoot\\boot\\osloader");
    KTAP_EQUAL(MmLoadSystemImage(&Path, &Image), STATUS_INVALID_IMAGE_FORMAT);
    RtlInitUnicodeString(&Path, L"\\SystemRoot\\boot\\cdfs.sys");
    KTAP_EQUAL(MmLoadSystemImage(&Path, &Image), STATUS_IMAGE_ALREADY_LOADED);
    RtlInitUnicodeString(&Path, L"\\SystemRoot\\boot");
    KTAP_EQUAL(MmLoadSystemImage(&Path, &Image), STATUS_FILE_IS_A_DIRECTORY);
    MmQueryImageCounters(&After);
    KTAP_EQUAL(After.Images, Before.Images);
    KTAP_EQUAL(After.Pages, Before.Pages);
}

static NTSTATUS LoadWithPath(PCWSTR ImagePath, ULONG Bytes)
{
    NTSTATUS Status = RtlWriteRegistryValue(RTL_REGISTRY_ABSOLUTE, SERVICES L"KtapDisk", L"ImagePath", REG_EXPAND_SZ,
                                            (PVOID)ImagePath, Bytes);

    return NT_SUCCESS(Status) ? LoadService(SERVICES L"KtapDisk") : Status;
}

/* The key decides which file it is: by full path, below \SystemRoot, or by the driver's name. */
static VOID LoadByKey(PKTAP_CONTEXT Ktap)
{
    static const WCHAR Full[] = L"\\SystemRoot\\boot\\osloader", Short[] = L"boot\\cdfs.sys";
    OBJECT_ATTRIBUTES Attributes;
    UNICODE_STRING Name;
    HANDLE Key;

    KTAP_EQUAL(RtlCreateRegistryKey(RTL_REGISTRY_ABSOLUTE, SERVICES L"KtapDisk"), STATUS_SUCCESS);
    KTAP_EQUAL(LoadService(SERVICES L"KtapDisk"), STATUS_OBJECT_PATH_NOT_FOUND); /* System\drivers is not on the disc */
    KTAP_EQUAL(LoadWithPath(Full, sizeof(Full)), STATUS_INVALID_IMAGE_FORMAT);
    KTAP_EQUAL(LoadWithPath(Short, sizeof(Short)), STATUS_IMAGE_ALREADY_LOADED);
    RtlInitUnicodeString(&Name, SERVICES L"KtapDisk");
    InitializeObjectAttributes(&Attributes, &Name, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, NULL, NULL);
    KTAP_EQUAL(ZwOpenKey(&Key, DELETE, &Attributes), STATUS_SUCCESS);
    KTAP_EQUAL(ZwDeleteKey(Key), STATUS_SUCCESS);
    ZwClose(Key);
}

static VOID LoadMade(PKTAP_CONTEXT Ktap)
{
    LONG64 Drivers = IopDriverObjectType->ObjectCount, Devices = IopDeviceObjectType->ObjectCount;

    KTAP_EQUAL(LoadCreate(), STATUS_SUCCESS);
    KTAP_EQUAL(LoadService(SERVICES L"KtapLoad"), STATUS_IMAGE_ALREADY_LOADED);
    KTAP_EQUAL(UnloadService(SERVICES L"KtapLoad"), STATUS_SUCCESS);
    KTAP_EQUAL(LoadUnloads, 1);
    ObFlushDeferredDeletes();
    KTAP_EQUAL(IopDriverObjectType->ObjectCount, Drivers);
    KTAP_EQUAL(IopDeviceObjectType->ObjectCount, Devices);
    KTAP_EQUAL(LoadCreate(), STATUS_SUCCESS); /* the name is free again */
    IoDeleteDevice(LoadDevice);
    IoDeleteDriver(LoadDriver);
    KTAP_EQUAL(LoadUnloads, 0);
    ObFlushDeferredDeletes();
    KTAP_EQUAL(IopDriverObjectType->ObjectCount, Drivers);
}

/* A driver whose device is open is unloaded when it is closed, and takes no new opens before. */
static VOID LoadPending(PKTAP_CONTEXT Ktap)
{
    LONG64 Drivers = IopDriverObjectType->ObjectCount;
    HANDLE Handle, Second;

    KTAP_EQUAL(LoadCreate(), STATUS_SUCCESS);
    LoadDevice->Flags &= ~DO_DEVICE_INITIALIZING;
    KTAP_EQUAL(LoadOpenDevice(&Handle), STATUS_SUCCESS);
    KTAP_EQUAL(UnloadService(SERVICES L"KtapLoad"), STATUS_SUCCESS);
    KTAP_EQUAL(LoadUnloads, 0);
    KTAP_EQUAL(LoadOpenDevice(&Second), STATUS_NO_SUCH_DEVICE);
    KTAP_EQUAL(UnloadService(SERVICES L"KtapLoad"), STATUS_SUCCESS); /* asking twice changes nothing */
    ZwClose(Handle);
    KTAP_EQUAL(KeWaitForSingleObject(&LoadUnloaded, Executive, KernelMode, FALSE, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(LoadUnloads, 1);
    for (ULONG Wait = 0; Wait < 1000 && IopDriverObjectType->ObjectCount != Drivers; Wait++) {
        LARGE_INTEGER Pause = {.QuadPart = -10000};

        KeDelayExecutionThread(KernelMode, FALSE, &Pause); /* the worker has still to give its reference up */
    }
    KTAP_EQUAL(IopDriverObjectType->ObjectCount, Drivers);
}

static VOID LoadReinitialization(PKTAP_CONTEXT Ktap)
{
    LONG64 Drivers = IopDriverObjectType->ObjectCount;

    LoadReinits = LoadBootReinits = LoadReinitCount = 0;
    LoadEntryStatus = STATUS_DEVICE_CONFIGURATION_ERROR;
    KTAP_EQUAL(IoCreateDriver(NULL, LoadEntry), STATUS_DEVICE_CONFIGURATION_ERROR);
    ObFlushDeferredDeletes();
    KTAP_EQUAL(IopDriverObjectType->ObjectCount, Drivers); /* what it registered does not hold it */
    KTAP_EQUAL(LoadCreate(), STATUS_SUCCESS);
    IoRegisterDriverReinitialization(LoadDriver, LoadReinit, &LoadReinits);
    IoRegisterBootDriverReinitialization(LoadDriver, LoadBootReinit, NULL);
    KTAP_CHECK((LoadDriver->Flags & (DRVO_REINIT_REGISTERED | DRVO_BOOTREINIT_REGISTERED)) ==
               (DRVO_REINIT_REGISTERED | DRVO_BOOTREINIT_REGISTERED));
    IoCallDriverReinitialization();
    KTAP_EQUAL(LoadBootReinits, 1);
    KTAP_EQUAL(LoadReinits, 2);
    KTAP_EQUAL(LoadReinitCount, 3);
    KTAP_EQUAL(UnloadService(SERVICES L"KtapLoad"), STATUS_SUCCESS);
    ObFlushDeferredDeletes();
    KTAP_EQUAL(IopDriverObjectType->ObjectCount, Drivers);
}

static const KTAP_CASE_ENTRY LoadCases[] = {
    {"refusals", LoadRefusals},
    {"service_key", LoadByKey},
    {"made_in_memory", LoadMade},
    {"unload_pending", LoadPending},
    {"reinitialization", LoadReinitialization},
};
KTAP_SUITE(LoadSuite, "io.load", LoadCases);
