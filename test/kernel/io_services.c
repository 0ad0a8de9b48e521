/*
 * io_services.c - suite for the I/O manager's small services to drivers: remove locks, controllers, error log, shutdown, extensions, facts.
 *
 * Each is called by its exported name as a driver would. Devices belong to a driver that the case makes in memory and takes away again;
 * the error log is emptied; no registration, reference or IRP of a case outlives it. The remove-lock race runs its users on
 * as many processors as there are.
 */
#include "iotest.h"

#define WDM_USERS 3

static PDRIVER_OBJECT WdmDriver;
static PDEVICE_OBJECT WdmDevices[3];
static volatile LONG WdmShutdowns, WdmOrder;

static NTSTATUS NTAPI WdmDone(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    if (IoGetCurrentIrpStackLocation(Irp)->MajorFunction == IRP_MJ_SHUTDOWN) {
        InterlockedIncrement(&WdmShutdowns);
        for (LONG Index = 0; Index < 3; Index++) {
            WdmOrder = (DeviceObject == WdmDevices[Index]) ? WdmOrder * 10 + Index + 1 : WdmOrder;
        }
    }
    Irp->IoStatus.Status = STATUS_SUCCESS;
    Irp->IoStatus.Information = 0;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return STATUS_SUCCESS;
}

static NTSTATUS NTAPI WdmEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    WdmDriver = DriverObject;
    for (ULONG Major = 0; Major <= IRP_MJ_MAXIMUM_FUNCTION; Major++) {
        DriverObject->MajorFunction[Major] = WdmDone;
    }
    for (ULONG Index = 0; Index < 3; Index++) {
        NTSTATUS Status = IoCreateDevice(DriverObject, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &WdmDevices[Index]);

        if (!NT_SUCCESS(Status)) {
            return Status;
        }
    }
    return STATUS_SUCCESS;
}

static NTSTATUS WdmBegin(VOID)
{
    UNICODE_STRING Name;

    RtlInitUnicodeString(&Name, L"\\Driver\\KtapWdm");
    WdmShutdowns = WdmOrder = 0;
    return IoCreateDriver(&Name, WdmEntry);
}

static VOID WdmEnd(VOID)
{
    for (ULONG Index = 0; Index < 3; Index++) {
        IoDeleteDevice(WdmDevices[Index]);
    }
    IoDeleteDriver(WdmDriver);
}

/* ---- Remove locks ---- */

static IO_REMOVE_LOCK WdmRemoveLock;
static volatile LONG WdmRemoved, WdmUsers;

static VOID NTAPI WdmRemover(PVOID Context)
{
    IoReleaseRemoveLockAndWaitEx(&WdmRemoveLock, NULL, sizeof(WdmRemoveLock));
    WdmRemoved = 1 + WdmUsers; /* 1: nobody uses the device any more */
}

static VOID WdmRemoveLocks(PKTAP_CONTEXT Ktap)
{
    PVOID Thread;

    WdmRemoved = 0;
    IoInitializeRemoveLockEx(&WdmRemoveLock, 'kcoL', 0, 0, sizeof(WdmRemoveLock));
    for (ULONG User = 0; User < WDM_USERS; User++) {
        KTAP_EQUAL(IoAcquireRemoveLockEx(&WdmRemoveLock, NULL, "", 1, sizeof(WdmRemoveLock)), STATUS_SUCCESS);
        WdmUsers++;
    }
    KTAP_EQUAL(IoAcquireRemoveLockEx(&WdmRemoveLock, NULL, "", 1, sizeof(WdmRemoveLock)), STATUS_SUCCESS);
    Thread = IoTestThread(WdmRemover, NULL);
    while (IoAcquireRemoveLockEx(&WdmRemoveLock, NULL, "", 1, sizeof(WdmRemoveLock)) == STATUS_SUCCESS) {
        IoReleaseRemoveLockEx(&WdmRemoveLock, NULL, sizeof(WdmRemoveLock)); /* the removal has not begun */
        IoTestPause(1);
    }
    for (ULONG User = 0; User < WDM_USERS; User++) {
        KTAP_EQUAL(WdmRemoved, 0);
        InterlockedDecrement(&WdmUsers);
        IoReleaseRemoveLockEx(&WdmRemoveLock, NULL, sizeof(WdmRemoveLock));
    }
    IoTestJoin(Thread);
    KTAP_EQUAL(WdmRemoved, 1);
    KTAP_EQUAL(IoAcquireRemoveLockEx(&WdmRemoveLock, NULL, "", 1, sizeof(WdmRemoveLock)), STATUS_DELETE_PENDING);
}

static VOID NTAPI WdmUser(PVOID Context)
{
    while (IoAcquireRemoveLockEx(&WdmRemoveLock, NULL, "", 1, sizeof(WdmRemoveLock)) == STATUS_SUCCESS) {
        InterlockedIncrement(&WdmUsers);
        InterlockedDecrement(&WdmUsers);
        IoReleaseRemoveLockEx(&WdmRemoveLock, NULL, sizeof(WdmRemoveLock));
        YieldProcessor(); /* where processors take turns this ends one: the others may have to answer a shootdown */
    }
}

/* Users come and go on all processors while the remover waits: it is never let through with one inside. */
static VOID WdmRemoveRace(PKTAP_CONTEXT Ktap)
{
    ULONG64 Rounds = KtapIterations(100000) / 2000 + 1;

    for (ULONG64 Round = 0; Round < Rounds; Round++) {
        PVOID Users[WDM_USERS], Remover;

        WdmUsers = WdmRemoved = 0;
        IoInitializeRemoveLockEx(&WdmRemoveLock, 'kcoL', 0, 0, sizeof(WdmRemoveLock));
        KTAP_EQUAL(IoAcquireRemoveLockEx(&WdmRemoveLock, NULL, "", 1, sizeof(WdmRemoveLock)), STATUS_SUCCESS);
        for (ULONG User = 0; User < WDM_USERS; User++) {
            Users[User] = IoTestThread(WdmUser, NULL);
        }
        Remover = IoTestThread(WdmRemover, NULL);
        for (ULONG User = 0; User < WDM_USERS; User++) {
            IoTestJoin(Users[User]);
        }
        IoTestJoin(Remover);
        KTAP_EQUAL(WdmRemoved, 1);
    }
}

/* ---- Controllers ---- */

static PCONTROLLER_OBJECT WdmController;
static ULONG WdmCalls;

static IO_ALLOCATION_ACTION NTAPI WdmKeep(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID MapRegisterBase, PVOID Context)
{
    WdmCalls = WdmCalls * 10 + (ULONG)(ULONG_PTR)Context;
    return ((ULONG_PTR)Context == 2) ? DeallocateObject : KeepObject;
}

static VOID WdmControllers(PKTAP_CONTEXT Ktap)
{
    KIRQL Irql;

    KTAP_EQUAL(KTAP_WHOLE(WdmBegin()), STATUS_SUCCESS);
    WdmCalls = 0;
    WdmController = IoCreateController(24);
    KTAP_CHECK(WdmController != NULL && ((PUCHAR)WdmController->ControllerExtension)[23] == 0);
    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    for (ULONG Index = 0; Index < 3; Index++) {
        IoAllocateController(WdmController, WdmDevices[Index], WdmKeep, (PVOID)(ULONG_PTR)(Index + 1));
    }
    KeLowerIrql(Irql);
    KTAP_EQUAL(WdmCalls, 1); /* the first keeps it */
    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    IoFreeController(WdmController); /* the second gives it up at once, so the third has it */
    KeLowerIrql(Irql);
    KTAP_EQUAL(WdmCalls, 123);
    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    IoFreeController(WdmController);
    KeLowerIrql(Irql);
    IoDeleteController(WdmController);
    WdmEnd();
}

/* ---- Error log, shutdown, extensions ---- */

static VOID WdmErrorLog(PKTAP_CONTEXT Ktap)
{
    IO_ERROR_LOG_PACKET Newest = {0};
    PIO_ERROR_LOG_PACKET Packet;
    ULONG Before = IoQueryErrorLog(&Newest);

    KTAP_EQUAL(KTAP_WHOLE(WdmBegin()), STATUS_SUCCESS);
    KTAP_CHECK(IoAllocateErrorLogEntry(WdmDevices[0], 8) == NULL); /* too small */
    KTAP_CHECK(IoAllocateErrorLogEntry(NULL, sizeof(*Packet)) == NULL);
    Packet = IoAllocateErrorLogEntry(WdmDriver, sizeof(*Packet));
    KTAP_CHECK(Packet != NULL);
    IoFreeErrorLogEntry(Packet);
    for (ULONG Round = 0; Round < 100; Round++) { /* more than the ring holds */
        Packet = IoAllocateErrorLogEntry(WdmDevices[0], sizeof(*Packet));
        KTAP_CHECK(Packet != NULL && Packet->ErrorCode == 0);
        Packet->ErrorCode = 0x40040001;
        Packet->FinalStatus = STATUS_DEVICE_DATA_ERROR;
        Packet->UniqueErrorValue = Round;
        IoWriteErrorLogEntry(Packet);
    }
    KTAP_EQUAL(IoQueryErrorLog(&Newest), Before + 100);
    KTAP_EQUAL(Newest.UniqueErrorValue, 99);
    KTAP_EQUAL(Newest.FinalStatus, STATUS_DEVICE_DATA_ERROR);
    IoClearErrorLog();
    WdmEnd();
}

/* Newest first, the last-chance one after them, each once; who unregisters hears nothing. */
static VOID WdmShutdown(PKTAP_CONTEXT Ktap)
{
    KTAP_EQUAL(KTAP_WHOLE(WdmBegin()), STATUS_SUCCESS);
    KTAP_EQUAL(IoRegisterLastChanceShutdownNotification(WdmDevices[2]), STATUS_SUCCESS);
    KTAP_EQUAL(IoRegisterShutdownNotification(WdmDevices[0]), STATUS_SUCCESS);
    KTAP_EQUAL(IoRegisterShutdownNotification(WdmDevices[1]), STATUS_SUCCESS);
    KTAP_CHECK((WdmDevices[0]->Flags & DO_SHUTDOWN_REGISTERED) != 0);
    IoShutdown();
    KTAP_EQUAL(WdmShutdowns, 3);
    KTAP_EQUAL(WdmOrder, 213);
    KTAP_EQUAL(IoRegisterShutdownNotification(WdmDevices[0]), STATUS_SUCCESS);
    IoUnregisterShutdownNotification(WdmDevices[0]);
    IoShutdown();
    KTAP_EQUAL(WdmShutdowns, 3);
    WdmEnd();
}

static VOID WdmExtensions(PKTAP_CONTEXT Ktap)
{
    static ULONG First, Second;
    PVOID One, Two, Again;

    KTAP_EQUAL(KTAP_WHOLE(WdmBegin()), STATUS_SUCCESS);
    KTAP_CHECK(IoGetDriverObjectExtension(WdmDriver, &First) == NULL);
    KTAP_EQUAL(IoAllocateDriverObjectExtension(WdmDriver, &First, 100, &One), STATUS_SUCCESS);
    KTAP_EQUAL(IoAllocateDriverObjectExtension(WdmDriver, &Second, 10, &Two), STATUS_SUCCESS);
    KTAP_EQUAL(IoAllocateDriverObjectExtension(WdmDriver, &First, 10, &Again), STATUS_OBJECT_NAME_COLLISION);
    KTAP_CHECK(((PUCHAR)One)[99] == 0 && ((ULONG_PTR)One & 15) == 0);
    KTAP_CHECK(IoGetDriverObjectExtension(WdmDriver, &First) == One);
    KTAP_CHECK(IoGetDriverObjectExtension(WdmDriver, &Second) == Two);
    WdmEnd();
}

/* ---- Work items and stacks of devices ---- */

static KEVENT WdmWorked;
static PVOID WdmWorkObject;
static PIO_WORKITEM WdmWorkItem;

static VOID NTAPI WdmWork(PVOID IoObject, PVOID Context, PIO_WORKITEM Item)
{
    WdmWorkObject = IoObject;
    WdmWorkItem = Item;
    KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
}

static VOID WdmWorkItems(PKTAP_CONTEXT Ktap)
{
    PIO_WORKITEM Item;

    KTAP_EQUAL(KTAP_WHOLE(WdmBegin()), STATUS_SUCCESS);
    KeInitializeEvent(&WdmWorked, SynchronizationEvent, FALSE);
    Item = ExAllocatePoolWithTag(NonPagedPool, IoSizeofWorkItem(), 'tseT');
    KTAP_CHECK(Item != NULL);
    IoInitializeWorkItem(WdmDriver, Item); /* for a driver, and then for a device */
    IoQueueWorkItemEx(Item, WdmWork, DelayedWorkQueue, &WdmWorked);
    KeWaitForSingleObject(&WdmWorked, Executive, KernelMode, FALSE, NULL);
    KTAP_CHECK(WdmWorkObject == WdmDriver && WdmWorkItem == Item);
    IoUninitializeWorkItem(Item);
    IoInitializeWorkItem(WdmDevices[0], Item);
    IoQueueWorkItemEx(Item, WdmWork, CriticalWorkQueue, &WdmWorked);
    KeWaitForSingleObject(&WdmWorked, Executive, KernelMode, FALSE, NULL);
    KTAP_CHECK(WdmWorkObject == WdmDevices[0]);
    IoUninitializeWorkItem(Item);
    ExFreePoolWithTag(Item, 'tseT');
    WdmEnd();
}

static VOID WdmAttach(PKTAP_CONTEXT Ktap)
{
    PDEVICE_OBJECT Lower = NULL, List[3];
    ULONG Count;

    KTAP_EQUAL(KTAP_WHOLE(WdmBegin()), STATUS_SUCCESS);
    KTAP_EQUAL(IoAttachDeviceToDeviceStackSafe(WdmDevices[1], WdmDevices[0], &Lower), STATUS_SUCCESS);
    KTAP_CHECK(Lower == WdmDevices[0]);
    KTAP_EQUAL(IoAttachDeviceByPointer(WdmDevices[2], WdmDevices[0]), STATUS_SUCCESS);
    KTAP_CHECK(IoGetAttachedDevice(WdmDevices[0]) == WdmDevices[2] && WdmDevices[2]->StackSize == 3);
    IoDetachDevice(WdmDevices[1]);
    IoDetachDevice(WdmDevices[0]);
    KTAP_EQUAL(IoEnumerateDeviceObjectList(WdmDriver, List, sizeof(PVOID) * 2, &Count), STATUS_BUFFER_TOO_SMALL);
    KTAP_EQUAL(Count, 3);
    ObfDereferenceObject(List[0]);
    ObfDereferenceObject(List[1]);
    KTAP_EQUAL(IoEnumerateDeviceObjectList(WdmDriver, List, sizeof(List), &Count), STATUS_SUCCESS);
    for (ULONG Index = 0; Index < Count; Index++) {
        ObfDereferenceObject(List[Index]);
    }
    WdmEnd();
}

/* ---- Requests ---- */

static NTSTATUS NTAPI WdmCompletion(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    ++*(PULONG)Context;
    return STATUS_MORE_PROCESSING_REQUIRED;
}

static VOID WdmCompletionEx(PKTAP_CONTEXT Ktap)
{
    PIRP Irp;
    ULONG Calls = 0;
    LONG64 References;

    KTAP_EQUAL(KTAP_WHOLE(WdmBegin()), STATUS_SUCCESS);
    References = ObGetPointerCount(WdmDevices[1]);
    Irp = IoAllocateIrp(2, FALSE);
    KTAP_CHECK(Irp != NULL);
    IoGetNextIrpStackLocation(Irp)->MajorFunction = IRP_MJ_READ;
    KTAP_EQUAL(IoSetCompletionRoutineEx(WdmDevices[1], Irp, WdmCompletion, &Calls, TRUE, FALSE, FALSE), STATUS_SUCCESS);
    KTAP_EQUAL(ObGetPointerCount(WdmDevices[1]), References + 1); /* held until the routine has run */
    KTAP_EQUAL(IoCallDriver(WdmDevices[0], Irp), STATUS_SUCCESS);
    KTAP_EQUAL(Calls, 1);
    KTAP_EQUAL(ObGetPointerCount(WdmDevices[1]), References);
    IoFreeIrp(Irp);
    WdmEnd();
}

static VOID WdmRequests(PKTAP_CONTEXT Ktap)
{
    PIRP Irp = IoAllocateIrp(2, FALSE);
    ULONG Session = 5;
    ACCESS_MASK Access = GENERIC_READ;
    IO_STATUS_BLOCK Iosb;

    KTAP_CHECK(Irp != NULL);
    IoSetNextIrpStackLocation(Irp);
    KTAP_EQUAL(IoGetIoPriorityHint(Irp), IoPriorityNormal);
    KTAP_EQUAL(IoSetIoPriorityHint(Irp, IoPriorityVeryLow), STATUS_SUCCESS);
    KTAP_EQUAL(IoGetIoPriorityHint(Irp), IoPriorityVeryLow);
    KTAP_EQUAL(IoSetIoPriorityHint(Irp, MaxIoPriorityTypes), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(IoGetPagingIoPriority(Irp), IoPagingPriorityInvalid);
    KTAP_EQUAL(IoGetRequestorProcessId(Irp), 0);
    KTAP_EQUAL(IoGetRequestorSessionId(Irp, &Session), STATUS_UNSUCCESSFUL);
    KTAP_EQUAL(IoValidateDeviceIoControlAccess(Irp, FILE_READ_ACCESS), STATUS_SUCCESS); /* the kernel's */
    KTAP_EQUAL(IoValidateDeviceIoControlAccess(Irp, 4), STATUS_INVALID_PARAMETER);
    KTAP_CHECK(!IoIs32bitProcess(Irp));
    Irp->Tail.Overlay.CurrentStackLocation++;
    Irp->CurrentLocation++;
    IoFreeIrp(Irp);
    KTAP_EQUAL(KTAP_WHOLE(WdmBegin()), STATUS_SUCCESS);
    Irp = IoBuildAsynchronousFsdRequest(IRP_MJ_READ, WdmDevices[0], NULL, 0, NULL, &Iosb);
    KTAP_CHECK(Irp != NULL);
    KTAP_EQUAL(IoGetRequestorProcessId(Irp), (ULONG)(ULONG_PTR)PsGetCurrentProcessId());
    KTAP_EQUAL(IoGetRequestorSessionId(Irp, &Session), STATUS_SUCCESS);
    KTAP_EQUAL(Session, 0);
    IoFreeIrp(Irp);
    WdmEnd();
    KTAP_EQUAL(IoCheckDesiredAccess(&Access, FILE_GENERIC_READ), STATUS_SUCCESS);
    KTAP_EQUAL(Access, FILE_GENERIC_READ);
    KTAP_EQUAL(IoCheckDesiredAccess(&Access, FILE_READ_DATA), STATUS_ACCESS_DENIED);
    KTAP_EQUAL(IoGetFileObjectGenericMapping()->GenericAll, FILE_ALL_ACCESS);
}

static VOID WdmThreads(PKTAP_CONTEXT Ktap)
{
    ULONG_PTR Low, High;

    IoGetStackLimits(&Low, &High);
    KTAP_CHECK(Low < (ULONG_PTR)&Low && (ULONG_PTR)&Low < High && (ULONG_PTR)IoGetInitialStack() == High);
    KTAP_CHECK(IoGetRemainingStackSize() > 1000 && IoGetRemainingStackSize() < High - Low);
    KTAP_CHECK(IoWithinStackLimits((ULONG_PTR)&Low, sizeof(Low)));
    KTAP_CHECK(!IoWithinStackLimits(High - 8, 16) && !IoWithinStackLimits((ULONG_PTR)&WdmDriver, 8));
    KTAP_CHECK(IoIsSystemThread(PsGetCurrentThread()));
    KTAP_CHECK(IoSetThreadHardErrorMode(FALSE));
    KTAP_CHECK(!IoSetThreadHardErrorMode(TRUE));
    KTAP_CHECK(IoIsWdmVersionAvailable(1, 0x30) && IoIsWdmVersionAvailable(6, 0) && !IoIsWdmVersionAvailable(7, 0));
    KTAP_CHECK(IoGetConfigurationInformation()->Version == sizeof(CONFIGURATION_INFORMATION));
}

static VOID WdmAttributes(PKTAP_CONTEXT Ktap)
{
    struct {
        FILE_FULL_EA_INFORMATION First;
        CHAR Rest[32];
    } Ea = {{.NextEntryOffset = 16, .EaNameLength = 1, .EaValueLength = 2, .EaName = "A"}};
    PFILE_FULL_EA_INFORMATION Second = (PFILE_FULL_EA_INFORMATION)((PUCHAR)&Ea + 16);
    ULONG Offset = 99;

    Second->EaNameLength = 2;
    RtlCopyMemory(Second->EaName, "BC", 3);
    KTAP_EQUAL(IoCheckEaBufferValidity(&Ea.First, 27, &Offset), STATUS_SUCCESS);
    KTAP_EQUAL(IoCheckEaBufferValidity(&Ea.First, 20, &Offset), STATUS_EA_LIST_INCONSISTENT);
    KTAP_EQUAL(Offset, 16);
    Ea.First.NextEntryOffset = 14; /* not aligned */
    KTAP_EQUAL(IoCheckEaBufferValidity(&Ea.First, sizeof(Ea), &Offset), STATUS_EA_LIST_INCONSISTENT);
    KTAP_EQUAL(Offset, 0);
    Ea.First.NextEntryOffset = 0;
    Ea.First.EaName[1] = 'x'; /* no end of name */
    KTAP_EQUAL(IoCheckEaBufferValidity(&Ea.First, sizeof(Ea), &Offset), STATUS_EA_LIST_INCONSISTENT);
}

/* ---- File systems and files ---- */

static ULONG WdmFileSystems, WdmGone;

static VOID NTAPI WdmFsChange(PDEVICE_OBJECT DeviceObject, BOOLEAN FsActive)
{
    WdmFileSystems += FsActive ? 1 : 0;
    WdmGone += FsActive ? 0 : 1;
}

static VOID WdmFsRegistration(PKTAP_CONTEXT Ktap)
{
    PDEVICE_OBJECT Device;

    KTAP_EQUAL(KTAP_WHOLE(WdmBegin()), STATUS_SUCCESS);
    WdmFileSystems = WdmGone = 0;
    KTAP_EQUAL(IoCreateDevice(WdmDriver, 0, NULL, FILE_DEVICE_NETWORK_FILE_SYSTEM, 0, FALSE, &Device), STATUS_SUCCESS);
    KTAP_EQUAL(IoRegisterFsRegistrationChange(WdmDriver, WdmFsChange), STATUS_SUCCESS);
    KTAP_CHECK(WdmFileSystems >= 1); /* cdfs is there already */
    WdmFileSystems = 0;
    IoRegisterFileSystem(Device);
    KTAP_EQUAL(WdmFileSystems, 1);
    IoUnregisterFileSystem(Device);
    KTAP_EQUAL(WdmGone, 1);
    IoUnregisterFsRegistrationChange(WdmDriver, WdmFsChange);
    IoRegisterFileSystem(Device);
    IoUnregisterFileSystem(Device);
    KTAP_EQUAL(WdmFileSystems + WdmGone, 2);
    IoDeleteDevice(Device);
    WdmEnd();
}

static VOID WdmFileInformation(PKTAP_CONTEXT Ktap)
{
    static const WCHAR Text[] = L"\\??\\D:\\boot\\ntoskrnl.exe";
    FILE_NETWORK_OPEN_INFORMATION Network;
    FILE_STANDARD_INFORMATION Standard;
    FILE_FS_SIZE_INFORMATION Size;
    FILE_BASIC_INFORMATION Basic = {0};
    OBJECT_ATTRIBUTES Attributes;
    UNICODE_STRING Name, Link;
    IO_STATUS_BLOCK Iosb;
    PFILE_OBJECT File;
    HANDLE Handle;
    ULONG Returned;
    NTSTATUS Status;

    RtlInitUnicodeString(&Name, Text);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    KTAP_EQUAL(ZwQueryFullAttributesFile(&Attributes, &Network), STATUS_SUCCESS);
    Status = ZwDeleteFile(&Attributes);
    KTAP_CHECK(Status == STATUS_MEDIA_WRITE_PROTECTED || Status == STATUS_ACCESS_DENIED);
    KTAP_EQUAL(ZwOpenFile(&Handle, FILE_READ_DATA, &Attributes, &Iosb, FILE_SHARE_READ, 0), STATUS_SUCCESS);
    KTAP_EQUAL(ObReferenceObjectByHandle(Handle, 0, IopFileObjectType, KernelMode, (PVOID *)&File, NULL),
               STATUS_SUCCESS);
    KTAP_EQUAL(IoQueryFileInformation(File, FileStandardInformation, sizeof(Standard), &Standard, &Returned),
               STATUS_SUCCESS);
    KTAP_EQUAL(Returned, sizeof(Standard));
    KTAP_EQUAL(Standard.EndOfFile.QuadPart, Network.EndOfFile.QuadPart);
    KTAP_EQUAL(IoQueryVolumeInformation(File, FileFsSizeInformation, sizeof(Size), &Size, &Returned), STATUS_SUCCESS);
    KTAP_EQUAL(Size.BytesPerSector, 2048);
    KTAP_CHECK(!NT_SUCCESS(IoSetInformation(File, FileBasicInformation, sizeof(Basic), &Basic))); /* a disc */
    ObfDereferenceObject(File);
    ZwClose(Handle);
    RtlInitUnicodeString(&Name, L"\\??\\D:\\no such file");
    KTAP_EQUAL(ZwQueryFullAttributesFile(&Attributes, &Network), STATUS_OBJECT_NAME_NOT_FOUND);
    RtlInitUnicodeString(&Link, L"\\??\\KtapLink");
    RtlInitUnicodeString(&Name, L"\\Device\\CdRom0");
    KTAP_EQUAL(IoCreateUnprotectedSymbolicLink(&Link, &Name), STATUS_SUCCESS);
    KTAP_EQUAL(IoCreateUnprotectedSymbolicLink(&Link, &Name), STATUS_OBJECT_NAME_COLLISION);
    KTAP_EQUAL(IoDeleteSymbolicLink(&Link), STATUS_SUCCESS);
}

static const KTAP_CASE_ENTRY WdmCases[] = {
    {"remove_lock", WdmRemoveLocks},
    {"remove_lock_race", WdmRemoveRace},
    {"controller", WdmControllers},
    {"error_log", WdmErrorLog},
    {"shutdown", WdmShutdown},
    {"driver_extension", WdmExtensions},
    {"work_item_ex", WdmWorkItems},
    {"attach", WdmAttach},
    {"completion_ex", WdmCompletionEx},
    {"requests", WdmRequests},
    {"threads", WdmThreads},
    {"extended_attributes", WdmAttributes},
    {"fs_registration", WdmFsRegistration},
    {"file_information", WdmFileInformation},
};
KTAP_SUITE(WdmSuite, "io.services", WdmCases);
