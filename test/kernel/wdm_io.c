/*
 * wdm_io.c - routines of the I/O manager that drivers call and that no other suite has a reason to: share access, StartIo queues and
 * timers, device stacks, IRPs made by hand, files by their Nt names, events by name, interrupts.
 *
 * Devices belong to a driver object of the suite's own; the file is the kernel's image, which every disc of ours has.
 */
#include <ntos/io.h>
#include <ntos/ob.h>

#include "ketest.h"

#define IMAGE L"\\??\\D:\\boot\\ntoskrnl.exe"
#define TAG   'oIdW'

static DRIVER_OBJECT Driver;

static VOID IoShare(PKTAP_CONTEXT Ktap)
{
    static FILE_OBJECT First, Second, Third;
    SHARE_ACCESS Share;

    IoSetShareAccess(FILE_READ_DATA, FILE_SHARE_READ, &First, &Share);
    KTAP_EQUAL(Share.OpenCount, 1);
    KTAP_EQUAL(IoCheckShareAccess(FILE_WRITE_DATA, FILE_SHARE_READ, &Second, &Share, TRUE), STATUS_SHARING_VIOLATION);
    KTAP_EQUAL(IoCheckShareAccess(FILE_READ_DATA, FILE_SHARE_READ, &Second, &Share, FALSE), STATUS_SUCCESS);
    KTAP_EQUAL(Share.OpenCount, 1);
    IoUpdateShareAccess(&Second, &Share);
    KTAP_EQUAL(Share.Readers, 2);
    KTAP_EQUAL(IoCheckShareAccess(FILE_READ_ATTRIBUTES, 0, &Third, &Share, TRUE), STATUS_SUCCESS); /* takes no part */
    KTAP_EQUAL(Share.OpenCount, 2);
    IoRemoveShareAccess(&First, &Share);
    IoRemoveShareAccess(&Second, &Share);
    KTAP_EQUAL(Share.OpenCount + Share.Readers + Share.SharedRead, 0);
}

/* ---- StartIo and timers ---- */

static PIRP Started[4];
static ULONG StartCount;
static KEVENT TimerRan;

static VOID NTAPI StartIo(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    Started[StartCount++ & 3] = Irp;
}

static VOID NTAPI IoTimer(PDEVICE_OBJECT DeviceObject, PVOID Context)
{
    KeSetEvent(&TimerRan, IO_NO_INCREMENT, FALSE);
}

static VOID IoStartIo(PKTAP_CONTEXT Ktap)
{
    PIRP Irps[3];
    ULONG Keys[] = {20, 10};
    PDEVICE_OBJECT Device;
    KIRQL Old;

    Driver.DriverStartIo = StartIo;
    StartCount = 0;
    KTAP_EQUAL(IoCreateDevice(&Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device), STATUS_SUCCESS);
    IoSetStartIoAttributes(Device, TRUE, FALSE);
    for (ULONG Index = 0; Index < 3; Index++) {
        Irps[Index] = IoAllocateIrp(1, FALSE);
        KTAP_CHECK(Irps[Index] != NULL);
    }
    IoStartPacket(Device, Irps[0], NULL, NULL); /* idle: starts at once */
    IoStartPacket(Device, Irps[1], &Keys[0], NULL);
    IoStartPacket(Device, Irps[2], &Keys[1], NULL);
    KTAP_EQUAL(StartCount, 1);
    KTAP_CHECK(Device->CurrentIrp == Irps[0]);
    KeRaiseIrql(DISPATCH_LEVEL, &Old);
    IoStartNextPacketByKey(Device, FALSE, 15); /* the first at or above 15 */
    IoStartNextPacket(Device, FALSE);
    IoStartNextPacket(Device, FALSE);
    KeLowerIrql(Old);
    KTAP_EQUAL(StartCount, 3);
    KTAP_CHECK(Started[1] == Irps[1] && Started[2] == Irps[2] && Device->CurrentIrp == NULL);
    for (ULONG Index = 0; Index < 3; Index++) {
        IoFreeIrp(Irps[Index]);
    }
    KeInitializeEvent(&TimerRan, SynchronizationEvent, FALSE);
    KTAP_EQUAL(IoInitializeTimer(Device, IoTimer, NULL), STATUS_SUCCESS);
    IoStartTimer(Device);
    KTAP_EQUAL(TestWait(&TimerRan), STATUS_SUCCESS); /* once a second */
    IoStopTimer(Device);
    KeClearEvent(&TimerRan);
    IoDeleteDevice(Device);
}

/* ---- Stacks and IRPs ---- */

static NTSTATUS NTAPI Complete(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    Irp->IoStatus.Status = STATUS_SUCCESS;
    Irp->IoStatus.Information = 7;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return STATUS_SUCCESS;
}

static VOID IoStacks(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\Device\\WdmIoTest");
    PDEVICE_OBJECT Bottom, Top, Under, Found;

    for (ULONG Major = 0; Major <= IRP_MJ_MAXIMUM_FUNCTION; Major++) {
        Driver.MajorFunction[Major] = Complete;
    }
    KTAP_EQUAL(IoCreateDevice(&Driver, 0, &Name, FILE_DEVICE_UNKNOWN, 0, FALSE, &Bottom), STATUS_SUCCESS);
    KTAP_EQUAL(IoCreateDevice(&Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Top), STATUS_SUCCESS);
    Bottom->Flags &= ~DO_DEVICE_INITIALIZING;
    KTAP_EQUAL(IoAttachDevice(Top, &Name, &Under), STATUS_SUCCESS);
    Top->Flags &= ~DO_DEVICE_INITIALIZING;
    KTAP_CHECK(Under == Bottom);
    Found = IoGetAttachedDeviceReference(Bottom);
    KTAP_CHECK(Found == Top);
    ObDereferenceObject(Found);
    Found = IoGetLowerDeviceObject(Top);
    KTAP_CHECK(Found == Bottom);
    ObDereferenceObject(Found);
    KTAP_CHECK(IoGetLowerDeviceObject(Bottom) == NULL);
    Found = IoGetDeviceAttachmentBaseRef(Top);
    KTAP_CHECK(Found == Bottom);
    ObDereferenceObject(Found);
    IoDetachDevice(Bottom);
    IoDeleteDevice(Top);
    IoDeleteDevice(Bottom);
}

static VOID IoIrps(PKTAP_CONTEXT Ktap)
{
    PDEVICE_OBJECT Device;
    PIRP Irp, Part, Made;
    IO_STATUS_BLOCK IoStatus;
    LARGE_INTEGER Offset = {.QuadPart = 0x1000};
    UCHAR Buffer[16];
    USHORT Bytes = IoSizeOfIrp(2);
    KIRQL Old;

    for (ULONG Major = 0; Major <= IRP_MJ_MAXIMUM_FUNCTION; Major++) {
        Driver.MajorFunction[Major] = Complete;
    }
    KTAP_EQUAL(IoCreateDevice(&Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device), STATUS_SUCCESS);
    Device->Flags &= ~DO_DEVICE_INITIALIZING;
    Irp = ExAllocatePoolWithTag(NonPagedPool, Bytes, TAG);
    KTAP_CHECK(Irp != NULL);
    IoInitializeIrp(Irp, Bytes, 2);
    KTAP_CHECK(Irp->StackCount == 2 && Irp->CurrentLocation == 3 && Irp->Type == IO_TYPE_IRP && Irp->Size == Bytes);
    ExFreePoolWithTag(Irp, TAG);

    Irp = IoAllocateIrp(2, FALSE);
    KTAP_CHECK(Irp != NULL);
    IoSetNextIrpStackLocation(Irp);
    IoGetCurrentIrpStackLocation(Irp)->MajorFunction = IRP_MJ_READ;
    IoGetCurrentIrpStackLocation(Irp)->DeviceObject = Device;
    Irp->Tail.Overlay.Thread = PsGetCurrentThread();
    KTAP_CHECK(IoGetRequestorProcess(Irp) == IoGetCurrentProcess());
    KTAP_CHECK(IoThreadToProcess(PsGetCurrentThread()) == IoGetCurrentProcess());
    KTAP_CHECK(IoForwardIrpSynchronously(Device, Irp));
    KTAP_EQUAL(Irp->IoStatus.Information, 7);
    Part = IoMakeAssociatedIrp(Irp, 1);
    KTAP_CHECK(Part != NULL && Part->AssociatedIrp.MasterIrp == Irp && (Part->Flags & IRP_ASSOCIATED_IRP) != 0);
    IoFreeIrp(Part);
    Irp->Flags |= IRP_PAGING_IO;
    KTAP_CHECK(!IoIsOperationSynchronous(Irp));
    Irp->Flags |= IRP_SYNCHRONOUS_PAGING_IO;
    KTAP_CHECK(IoIsOperationSynchronous(Irp));
    IoSetTopLevelIrp(Irp);
    Made = IoGetTopLevelIrp();
    IoSetTopLevelIrp(NULL);
    KTAP_CHECK(Made == Irp && IoGetTopLevelIrp() == NULL);
    IoSkipCurrentIrpStackLocation(Irp); /* the location this case took for itself */
    IoFreeIrp(Irp);

    Irp = IoBuildAsynchronousFsdRequest(IRP_MJ_READ, Device, Buffer, sizeof(Buffer), &Offset, &IoStatus);
    KTAP_CHECK(Irp != NULL);
    KTAP_EQUAL(IoGetNextIrpStackLocation(Irp)->Parameters.Read.Length, sizeof(Buffer));
    KTAP_EQUAL(IoGetNextIrpStackLocation(Irp)->Parameters.Read.ByteOffset.QuadPart, 0x1000);
    IoFreeIrp(Irp); /* neither buffered nor direct: nothing else was made for it */

    IoAcquireCancelSpinLock(&Old);
    KTAP_EQUAL(KeGetCurrentIrql(), DISPATCH_LEVEL);
    IoReleaseCancelSpinLock(Old);
    IoAcquireVpbSpinLock(&Old);
    KTAP_EQUAL(KeGetCurrentIrql(), DISPATCH_LEVEL);
    IoReleaseVpbSpinLock(Old);
    IoSetDeviceToVerify(PsGetCurrentThread(), Device);
    KTAP_CHECK(IoGetDeviceToVerify(PsGetCurrentThread()) == Device);
    IoSetDeviceToVerify(PsGetCurrentThread(), NULL);
    IoDeleteDevice(Device);
}

/* ---- Files ---- */

static VOID IoFiles(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(IMAGE);
    FILE_STANDARD_INFORMATION Standard;
    FILE_POSITION_INFORMATION Position = {.CurrentByteOffset.QuadPart = 2};
    FILE_FS_SIZE_INFORMATION Size;
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK IoStatus;
    LARGE_INTEGER Bytes;
    PFILE_OBJECT File;
    HANDLE Handle;
    USHORT Magic = 0;

    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    KTAP_EQUAL(IoCreateFile(&Handle, FILE_READ_DATA | SYNCHRONIZE, &Attributes, &IoStatus, NULL, 0, FILE_SHARE_READ,
                            FILE_OPEN, FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0, CreateFileTypeNone, NULL, 0),
               STATUS_SUCCESS);
    KTAP_EQUAL(NtReadFile(Handle, NULL, NULL, NULL, &IoStatus, &Magic, sizeof(Magic), NULL, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(Magic, 0x5A4D); /* MZ */
    KTAP_EQUAL(NtSetInformationFile(Handle, &IoStatus, &Position, sizeof(Position), FilePositionInformation),
               STATUS_SUCCESS);
    KTAP_EQUAL(NtQueryInformationFile(Handle, &IoStatus, &Standard, sizeof(Standard), FileStandardInformation),
               STATUS_SUCCESS);
    KTAP_EQUAL(NtQueryVolumeInformationFile(Handle, &IoStatus, &Size, sizeof(Size), FileFsSizeInformation),
               STATUS_SUCCESS);
    KTAP_EQUAL(Size.BytesPerSector, 2048);
    KTAP_CHECK(!NT_SUCCESS(NtWriteFile(Handle, NULL, NULL, NULL, &IoStatus, &Magic, 2, NULL, NULL)));
    KTAP_CHECK(!NT_SUCCESS(ZwWriteFile(Handle, NULL, NULL, NULL, &IoStatus, &Magic, 2, NULL, NULL)));
    KTAP_CHECK(!NT_SUCCESS(NtDeviceIoControlFile(Handle, NULL, NULL, NULL, &IoStatus, 0xFFFFF00, NULL, 0, NULL, 0)));
    KTAP_CHECK(!NT_SUCCESS(NtFsControlFile(Handle, NULL, NULL, NULL, &IoStatus, 0xFFFFF00, NULL, 0, NULL, 0)));
    KTAP_CHECK(!NT_SUCCESS(ZwFsControlFile(Handle, NULL, NULL, NULL, &IoStatus, 0xFFFFF00, NULL, 0, NULL, 0)));
    KTAP_EQUAL(ObReferenceObjectByHandle(Handle, 0, *KTAP_IMPORT(POBJECT_TYPE *, IoFileObjectType), KernelMode,
                                         (PVOID *)&File, NULL),
               STATUS_SUCCESS);
    KTAP_EQUAL(FsRtlGetFileSize(File, &Bytes), STATUS_SUCCESS);
    KTAP_EQUAL(Bytes.QuadPart, Standard.EndOfFile.QuadPart);
    KTAP_CHECK(IoGetRelatedDeviceObject(File) != NULL);
    KTAP_CHECK(IoGetBaseFileSystemDeviceObject(File) == File->Vpb->DeviceObject);
    FsRtlAcquireFileExclusive(File);
    FsRtlReleaseFile(File);
    ObDereferenceObject(File);
    KTAP_EQUAL(NtClose(Handle), STATUS_SUCCESS);
    KTAP_EQUAL(NtClose(Handle), STATUS_INVALID_HANDLE);
    KTAP_EQUAL(NtCreateFile(&Handle, FILE_READ_DATA, &Attributes, &IoStatus, NULL, 0, 0, FILE_CREATE, 0, NULL, 0) ==
                   STATUS_SUCCESS,
               FALSE); /* it is there, on a disc that cannot be written */
}

static VOID IoDirectory(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\??\\D:\\boot"), Wanted = RTL_CONSTANT_STRING(L"NTOSKRNL.EXE");
    static union {
        FILE_DIRECTORY_INFORMATION Entry;
        UCHAR Bytes[512];
    } Room;
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK IoStatus;
    HANDLE Handle;

    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    KTAP_EQUAL(NtOpenFile(&Handle, FILE_LIST_DIRECTORY | SYNCHRONIZE, &Attributes, &IoStatus, FILE_SHARE_READ,
                          FILE_DIRECTORY_FILE | FILE_SYNCHRONOUS_IO_NONALERT),
               STATUS_SUCCESS);
    KTAP_EQUAL(NtQueryDirectoryFile(Handle, NULL, NULL, NULL, &IoStatus, &Room, sizeof(Room), FileDirectoryInformation,
                                    TRUE, &Wanted, TRUE),
               STATUS_SUCCESS);
    KTAP_EQUAL(Room.Entry.FileNameLength, Wanted.Length);
    NtClose(Handle);
}

/* ---- Events ---- */

static VOID IoEvents(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\WdmIoNotification"),
                   Other = RTL_CONSTANT_STRING(L"\\WdmIoSynchronization");
    HANDLE Handle, Second, Plain;
    LARGE_INTEGER Now = {.QuadPart = 0};
    PKEVENT Event = IoCreateNotificationEvent(&Name, &Handle);
    OBJECT_ATTRIBUTES Attributes;
    LONG Previous;

    KTAP_CHECK(Event != NULL && KeReadStateEvent(Event) != 0); /* made signalled */
    KTAP_EQUAL(ZwClearEvent(Handle), STATUS_SUCCESS);
    KTAP_EQUAL(KeReadStateEvent(Event), 0);
    KTAP_EQUAL(NtSetEvent(Handle, &Previous), STATUS_SUCCESS);
    KTAP_EQUAL(Previous, 0);
    KTAP_EQUAL(ZwResetEvent(Handle, &Previous), STATUS_SUCCESS);
    KTAP_EQUAL(Previous, 1);
    KTAP_CHECK(IoCreateNotificationEvent(&Name, &Second) == Event); /* the same one */
    ZwClose(Second);
    ZwClose(Handle);
    Event = IoCreateSynchronizationEvent(&Other, &Handle);
    KTAP_CHECK(Event != NULL);
    KTAP_EQUAL(TestPoll(Event), STATUS_SUCCESS);
    KTAP_EQUAL(TestPoll(Event), STATUS_TIMEOUT);
    ZwClose(Handle);
    InitializeObjectAttributes(&Attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    KTAP_EQUAL(NtCreateEvent(&Plain, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE), STATUS_SUCCESS);
    KTAP_EQUAL(NtWaitForSingleObject(Plain, FALSE, &Now), STATUS_TIMEOUT);
    KTAP_EQUAL(ZwSetEvent(Plain, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(NtWaitForSingleObject(Plain, FALSE, &Now), STATUS_SUCCESS);
    ZwClose(Plain);
}

/* ---- File system helpers ---- */

static ULONG Freed;

static VOID NTAPI FreeContext(PVOID Context)
{
    Freed++;
}

static VOID IoStreams(PKTAP_CONTEXT Ktap)
{
    static FSRTL_ADVANCED_FCB_HEADER Header;
    static FAST_MUTEX Mutex;
    static FSRTL_PER_STREAM_CONTEXT First, Second;
    PVOID Block;

    ExInitializeFastMutex(&Mutex);
    RtlZeroMemory(&Header, sizeof(Header));
    First.OwnerId = Second.OwnerId = &Driver;
    First.InstanceId = &First;
    Second.InstanceId = &Second;
    First.FreeCallback = Second.FreeCallback = FreeContext;
    KTAP_EQUAL(FsRtlInsertPerStreamContext(&Header, &First), STATUS_INVALID_DEVICE_REQUEST); /* not set up for it */
    FsRtlSetupAdvancedHeader(&Header, &Mutex);
    KTAP_EQUAL(FsRtlInsertPerStreamContext(&Header, &First), STATUS_SUCCESS);
    KTAP_EQUAL(FsRtlInsertPerStreamContext(&Header, &Second), STATUS_SUCCESS);
    KTAP_CHECK(FsRtlLookupPerStreamContextInternal(&Header, &Driver, &First) == &First);
    KTAP_CHECK(FsRtlLookupPerStreamContextInternal(&Header, &Driver, NULL) == &Second); /* the newest */
    KTAP_CHECK(FsRtlLookupPerStreamContextInternal(&Header, &Header, NULL) == NULL);
    KTAP_CHECK(FsRtlRemovePerStreamContext(&Header, &Driver, &Second) == &Second);
    Freed = 0;
    FsRtlTeardownPerStreamContexts(&Header);
    KTAP_EQUAL(Freed, 1);
    Block = FsRtlAllocatePool(PagedPool, 100);
    KTAP_CHECK(Block != NULL);
    ExFreePool(Block);
    Block = FsRtlAllocatePoolWithTag(NonPagedPool, 100, TAG);
    KTAP_CHECK(Block != NULL);
    ExFreePoolWithTag(Block, TAG);
    KTAP_CHECK(FsRtlIsTotalDeviceFailure(STATUS_NO_SUCH_DEVICE) && !FsRtlIsTotalDeviceFailure(STATUS_CRC_ERROR));
}

/* Registered file systems are asked for mounts only; one that comes and goes disturbs nobody. */
static VOID IoFileSystems(PKTAP_CONTEXT Ktap)
{
    PDEVICE_OBJECT Device;

    KTAP_EQUAL(IoCreateDevice(&Driver, 0, NULL, FILE_DEVICE_DISK_FILE_SYSTEM, 0, FALSE, &Device), STATUS_SUCCESS);
    IoRegisterFileSystem(Device);
    KTAP_CHECK((Device->Flags & DO_DEVICE_INITIALIZING) == 0);
    IoUnregisterFileSystem(Device);
    IoDeleteDevice(Device);
}

/* A configuration register of the first PCI device, read and written back as it was. */
static VOID IoBuses(PKTAP_CONTEXT Ktap)
{
    PHYSICAL_ADDRESS Address = {.QuadPart = 0x1F0}, Translated;
    ULONG Space = 1; /* ports */
    USHORT Command, Vendor;
    ULONG(NTAPI * GetData)(BUS_DATA_TYPE, ULONG, ULONG, PVOID, ULONG) = KTAP_IMPORT(PVOID, HalGetBusData);
    ULONG(NTAPI * SetData)(BUS_DATA_TYPE, ULONG, ULONG, PVOID, ULONG) = KTAP_IMPORT(PVOID, HalSetBusData);

    KTAP_EQUAL(HalGetBusDataByOffset(PCIConfiguration, 0, 0, &Command, 4, sizeof(Command)), sizeof(Command));
    KTAP_EQUAL(HalSetBusDataByOffset(PCIConfiguration, 0, 0, &Command, 4, sizeof(Command)), sizeof(Command));
    KTAP_EQUAL(GetData(PCIConfiguration, 0, 0, &Vendor, sizeof(Vendor)), sizeof(Vendor));
    KTAP_EQUAL(SetData(PCIConfiguration, 0, 0, &Vendor, sizeof(Vendor)), sizeof(Vendor)); /* read-only there */
    KTAP_CHECK(HalTranslateBusAddress(Isa, 0, Address, &Space, &Translated));
    KTAP_CHECK(Translated.QuadPart == 0x1F0 && Space == 1);
}

static const KTAP_CASE_ENTRY WdmIoCases[] = {
    {"share", IoShare},   {"startio", IoStartIo}, {"stacks", IoStacks},
    {"irps", IoIrps},     {"files", IoFiles},     {"directory", IoDirectory},
    {"events", IoEvents}, {"streams", IoStreams}, {"file_systems", IoFileSystems},
    {"buses", IoBuses},
};

KTAP_SUITE(WdmIoSuite, "wdm.io", WdmIoCases);
