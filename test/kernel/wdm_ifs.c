/*
 * wdm_ifs.c - suite wdm.ifs: routines that file systems and drivers call and that no other suite has a reason to: stream file objects, paging
 * requests, cancel-safe queues with contexts, verification of volumes, an interrupt's lock, objects made and opened by hand, descriptors,
 * unwinding by hand, a few services by their Zw names.
 *
 * The device belongs to a driver object of the suite's own, which notes what it is asked for and answers at once.
 */
#include <ntos/hal.h>
#include <ntos/io.h>
#include <ntos/ob.h>
#include <ntos/rtl.h>
#include <ntos/se.h>

#include "ketest.h"

#define TAG   'sfIW'
#define IMAGE L"\\??\\D:\\boot\\ntoskrnl.exe"

static DRIVER_OBJECT Driver;
static ULONG Asked[IRP_MJ_MAXIMUM_FUNCTION + 1]; /* requests by major function */
static IO_STACK_LOCATION LastStack;
static ULONG LastFlags; /* of the IRP */

static NTSTATUS NTAPI Answer(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    LastStack = *IoGetCurrentIrpStackLocation(Irp);
    LastFlags = Irp->Flags;
    Asked[LastStack.MajorFunction]++;
    Irp->IoStatus.Status = STATUS_SUCCESS;
    Irp->IoStatus.Information = 7;
    if (LastStack.MajorFunction == IRP_MJ_FILE_SYSTEM_CONTROL && LastStack.MinorFunction == IRP_MN_MOUNT_VOLUME) {
        Irp->IoStatus.Status = STATUS_UNRECOGNIZED_VOLUME;
        Irp->IoStatus.Information = 0;
    }
    NTSTATUS Status = Irp->IoStatus.Status;

    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static NTSTATUS MakeDevice(DEVICE_TYPE Type, PDEVICE_OBJECT *Device)
{
    NTSTATUS Status;

    for (ULONG Major = 0; Major <= IRP_MJ_MAXIMUM_FUNCTION; Major++) {
        Driver.MajorFunction[Major] = Answer;
        Asked[Major] = 0;
    }
    Status = IoCreateDevice(&Driver, 0, NULL, Type, 0, FALSE, Device);
    if (NT_SUCCESS(Status)) {
        (*Device)->Flags &= ~(ULONG)DO_DEVICE_INITIALIZING;
    }
    return Status;
}

/* ---- File objects of a file system's own ---- */

static VOID IfsStreamFiles(PKTAP_CONTEXT Ktap)
{
    LONG64 Before = (*IoFileObjectType)->ObjectCount;
    PFILE_OBJECT Lite, Whole;
    PDEVICE_OBJECT Device;
    HANDLE Handle = NULL;
    BOOLEAN Streams;

    KTAP_EQUAL(MakeDevice(FILE_DEVICE_UNKNOWN, &Device), STATUS_SUCCESS);
    KTAP_CHECK((Lite = IoCreateStreamFileObjectLite(NULL, Device)) != NULL);
    KTAP_CHECK((Whole = IoCreateStreamFileObjectEx(Lite, NULL, &Handle)) != NULL);
    Streams = Lite->DeviceObject == Device && Whole->DeviceObject == Device &&
              (Lite->Flags & Whole->Flags & FO_STREAM_FILE) != 0;
    KTAP_EXACT(Asked[IRP_MJ_CLEANUP], 0);
    KTAP_EQUAL(ZwClose(Handle), STATUS_SUCCESS);
    KTAP_EXACT(Asked[IRP_MJ_CLEANUP], 1); /* the lite one has none */
    KTAP_EXACT(Asked[IRP_MJ_CLOSE], 0);
    ObDereferenceObject(Whole);
    ObDereferenceObject(Lite);
    KTAP_EXACT(Asked[IRP_MJ_CLOSE], 2);
    IoDeleteDevice(Device);
    KTAP_CHECK(Streams);
    KTAP_EQUAL((*IoFileObjectType)->ObjectCount, Before);
}

/* ---- Paging requests ---- */

static NTSTATUS Paging(PFILE_OBJECT File, PMDL Mdl, BOOLEAN Write, PIO_STATUS_BLOCK Iosb)
{
    LARGE_INTEGER Offset = {.QuadPart = 3 * PAGE_SIZE};
    NTSTATUS Status;
    KEVENT Event;

    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    Status =
        Write ? IoSynchronousPageWrite(File, Mdl, &Offset, &Event, Iosb) : IoPageRead(File, Mdl, &Offset, &Event, Iosb);
    return NT_SUCCESS(Status) ? TestWait(&Event) : Status;
}

static VOID IfsPaging(PKTAP_CONTEXT Ktap)
{
    PVOID Page = ExAllocatePoolWithTag(NonPagedPool, PAGE_SIZE, TAG);
    IO_STATUS_BLOCK Iosb;
    PDEVICE_OBJECT Device;
    PFILE_OBJECT File;
    PMDL Mdl;

    KTAP_CHECK(Page != NULL);
    KTAP_CHECK((Mdl = IoAllocateMdl(Page, PAGE_SIZE, FALSE, FALSE, NULL)) != NULL);
    MmBuildMdlForNonPagedPool(Mdl);
    KTAP_EQUAL(MakeDevice(FILE_DEVICE_UNKNOWN, &Device), STATUS_SUCCESS);
    KTAP_CHECK((File = IoCreateStreamFileObjectLite(NULL, Device)) != NULL);
    for (UCHAR Write = 0; Write < 2; Write++) {
        Iosb.Information = 0;
        KTAP_EQUAL(Paging(File, Mdl, Write, &Iosb), STATUS_SUCCESS);
        KTAP_EQUAL(Iosb.Information, 7);
        KTAP_EQUAL(LastStack.MajorFunction, Write ? IRP_MJ_WRITE : IRP_MJ_READ);
        KTAP_EQUAL(LastStack.Parameters.Read.Length, PAGE_SIZE); /* where a write has them too */
        KTAP_EQUAL(LastStack.Parameters.Read.ByteOffset.QuadPart, 3 * PAGE_SIZE);
        KTAP_CHECK((LastFlags & IRP_PAGING_IO) != 0);
    }
    ObDereferenceObject(File);
    IoDeleteDevice(Device);
    IoFreeMdl(Mdl);
    ExFreePoolWithTag(Page, TAG);
}

/* ---- A cancel-safe queue whose driver refuses some requests ---- */

static LIST_ENTRY Queue;
static KSPIN_LOCK QueueLock;
static ULONG Refused, Cancelled;

static NTSTATUS NTAPI QueueInsert(PIO_CSQ Csq, PIRP Irp, PVOID InsertContext)
{
    if (InsertContext == NULL) {
        Refused++;
        return STATUS_DEVICE_BUSY;
    }
    InsertTailList(&Queue, &Irp->Tail.Overlay.ListEntry);
    return STATUS_SUCCESS;
}

static VOID NTAPI QueueRemove(PIO_CSQ Csq, PIRP Irp)
{
    RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
}

static PIRP NTAPI QueuePeek(PIO_CSQ Csq, PIRP Irp, PVOID PeekContext)
{
    PLIST_ENTRY Next = (Irp == NULL) ? Queue.Flink : Irp->Tail.Overlay.ListEntry.Flink;

    return (Next == &Queue) ? NULL : CONTAINING_RECORD(Next, IRP, Tail.Overlay.ListEntry);
}

static VOID NTAPI QueueAcquire(PIO_CSQ Csq, PKIRQL Irql)
{
    KeAcquireSpinLock(&QueueLock, Irql);
}

static VOID NTAPI QueueRelease(PIO_CSQ Csq, KIRQL Irql)
{
    KeReleaseSpinLock(&QueueLock, Irql);
}

static VOID NTAPI QueueCancelled(PIO_CSQ Csq, PIRP Irp)
{
    Cancelled++; /* the case's own IRP: it is not completed */
}

static VOID IfsQueue(PKTAP_CONTEXT Ktap)
{
    IO_CSQ_IRP_CONTEXT First, Second;
    PIRP Irp[2];
    IO_CSQ Csq;

    InitializeListHead(&Queue);
    KeInitializeSpinLock(&QueueLock);
    Refused = Cancelled = 0;
    KTAP_EQUAL(IoCsqInitializeEx(&Csq, QueueInsert, QueueRemove, QueuePeek, QueueAcquire, QueueRelease, QueueCancelled),
               STATUS_SUCCESS);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Irp); Index++) {
        KTAP_CHECK((Irp[Index] = IoAllocateIrp(1, FALSE)) != NULL);
        IoSetNextIrpStackLocation(Irp[Index]);
    }
    KTAP_EQUAL(IoCsqInsertIrpEx(&Csq, Irp[0], &First, NULL), STATUS_DEVICE_BUSY);
    KTAP_CHECK(Refused == 1 && IsListEmpty(&Queue) && IoCsqRemoveIrp(&Csq, &First) == NULL);
    KTAP_EQUAL(IoCsqInsertIrpEx(&Csq, Irp[0], &First, &Queue), STATUS_SUCCESS);
    KTAP_EQUAL(IoCsqInsertIrpEx(&Csq, Irp[1], &Second, &Queue), STATUS_SUCCESS);
    KTAP_CHECK(IoCsqRemoveIrp(&Csq, &Second) == Irp[1]);
    KTAP_CHECK(IoCsqRemoveIrp(&Csq, &Second) == NULL); /* it is out already */
    KTAP_CHECK(IoCancelIrp(Irp[0]));
    KTAP_CHECK(Cancelled == 1 && IsListEmpty(&Queue) && IoCsqRemoveIrp(&Csq, &First) == NULL);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Irp); Index++) {
        IoSkipCurrentIrpStackLocation(Irp[Index]); /* the location this case took for itself */
        IoFreeIrp(Irp[Index]);
    }
}

/* ---- Volumes ---- */

/* Not mounted: file systems are asked for a mount. Mounted: the volume is asked to verify itself. */
static VOID IfsVerify(PKTAP_CONTEXT Ktap)
{
    PDEVICE_OBJECT Disk, FileSystem;
    PIRP Irp;

    KTAP_EQUAL(MakeDevice(FILE_DEVICE_DISK, &Disk), STATUS_SUCCESS);
    KTAP_EQUAL(MakeDevice(FILE_DEVICE_DISK_FILE_SYSTEM, &FileSystem), STATUS_SUCCESS);
    IoRegisterFileSystem(FileSystem);
    KTAP_EQUAL(IoVerifyVolume(Disk, FALSE), STATUS_UNRECOGNIZED_VOLUME);
    KTAP_CHECK(LastStack.MinorFunction == IRP_MN_MOUNT_VOLUME && LastStack.Parameters.MountVolume.DeviceObject == Disk);
    Disk->Vpb->DeviceObject = FileSystem;
    Disk->Vpb->Flags |= VPB_MOUNTED;
    KTAP_EQUAL(IoVerifyVolume(Disk, TRUE), STATUS_SUCCESS);
    KTAP_CHECK(LastStack.MinorFunction == IRP_MN_VERIFY_VOLUME &&
               LastStack.Parameters.VerifyVolume.DeviceObject == Disk);
    KTAP_CHECK((LastStack.Flags & SL_ALLOW_RAW_MOUNT) != 0);
    Disk->Vpb->Flags &= (USHORT)~VPB_MOUNTED;
    Disk->Vpb->DeviceObject = NULL;
    IoUnregisterFileSystem(FileSystem);
    KTAP_CHECK((Irp = IoAllocateIrp(1, FALSE)) != NULL);
    Irp->Tail.Overlay.Thread = PsGetCurrentThread();
    IoSetHardErrorOrVerifyDevice(Irp, Disk);
    KTAP_CHECK(IoGetDeviceToVerify(PsGetCurrentThread()) == Disk);
    IoSetDeviceToVerify(PsGetCurrentThread(), NULL);
    IoFreeIrp(Irp);
    IoDeleteDevice(FileSystem);
    IoDeleteDevice(Disk);
}

/* The file object that the cache keeps for a file, and what is said of a flush on a disc that cannot be written. */
static VOID IfsCachedFile(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(IMAGE);
    LARGE_INTEGER Offset = {.QuadPart = 0};
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Iosb;
    PFILE_OBJECT File, Cached;
    USHORT Magic = 0;
    HANDLE Handle;

    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    KTAP_EQUAL(ZwOpenFile(&Handle, FILE_READ_DATA | SYNCHRONIZE, &Attributes, &Iosb, FILE_SHARE_READ,
                          FILE_SYNCHRONOUS_IO_NONALERT),
               STATUS_SUCCESS);
    KTAP_EQUAL(ZwReadFile(Handle, NULL, NULL, NULL, &Iosb, &Magic, sizeof(Magic), &Offset, NULL), STATUS_SUCCESS);
    KTAP_CHECK(!NT_SUCCESS(ZwFlushBuffersFile(Handle, &Iosb)));
    KTAP_EQUAL(ObReferenceObjectByHandle(Handle, 0, *IoFileObjectType, KernelMode, (PVOID *)&File, NULL),
               STATUS_SUCCESS);
    Cached = CcGetFileObjectFromSectionPtrsRef(File->SectionObjectPointer);
    KTAP_CHECK(Cached != NULL && Cached->SectionObjectPointer == File->SectionObjectPointer);
    ObDereferenceObject(Cached);
    ObDereferenceObject(File);
    KTAP_EQUAL(ZwClose(Handle), STATUS_SUCCESS);
}

/* ---- Hardware ---- */

static BOOLEAN NTAPI Serve(PKINTERRUPT Interrupt, PVOID Context)
{
    return FALSE;
}

static BOOLEAN NTAPI NoteIrql(PVOID Context)
{
    *(KIRQL *)Context = KeGetCurrentIrql();
    return TRUE;
}

static BOOLEAN NTAPI Refuse(PVOID Context)
{
    return FALSE;
}

/* The printer's line, which nothing here uses. */
static VOID IfsInterrupt(PKTAP_CONTEXT Ktap)
{
    KIRQL Irql, Old, During = 0;
    PKINTERRUPT Interrupt;
    KAFFINITY Affinity;
    ULONG Vector = HalGetInterruptVector(Isa, 0, 7, 7, &Irql, &Affinity);
    BOOLEAN Yes, No;
    KIRQL Held;

    KTAP_EQUAL(IoConnectInterrupt(&Interrupt, Serve, NULL, NULL, Vector, Irql, Irql, Latched, TRUE, Affinity, FALSE),
               STATUS_SUCCESS);
    Old = KeAcquireInterruptSpinLock(Interrupt);
    Held = KeGetCurrentIrql();
    KeReleaseInterruptSpinLock(Interrupt, Old);
    Yes = KeSynchronizeExecution(Interrupt, NoteIrql, &During);
    No = KeSynchronizeExecution(Interrupt, Refuse, NULL);
    IoDisconnectInterrupt(Interrupt);
    KTAP_CHECK(Old == PASSIVE_LEVEL && Held == Irql && During == Irql && Yes && !No);
    KTAP_EQUAL(KeGetCurrentIrql(), PASSIVE_LEVEL);
}

static VOID IfsMemory(PKTAP_CONTEXT Ktap)
{
    PHYSICAL_ADDRESS Lowest = {.QuadPart = 0}, Highest = {.QuadPart = 0xFFFFFFFF};
    DEVICE_DESCRIPTION Description = {.Version = DEVICE_DESCRIPTION_VERSION,
                                      .Master = TRUE,
                                      .ScatterGather = TRUE,
                                      .Dma32BitAddresses = TRUE,
                                      .InterfaceType = PCIBus,
                                      .MaximumLength = 3 * PAGE_SIZE};
    PADAPTER_OBJECT Adapter;
    ULONG Registers = 0;
    PVOID Block;

    KTAP_CHECK((Block = MmAllocateContiguousMemorySpecifyCache(2 * PAGE_SIZE, Lowest, Highest, Lowest, MmCached)) !=
               NULL);
    RtlFillMemory(Block, 2 * PAGE_SIZE, 0x55);
    MmFreeContiguousMemorySpecifyCache(Block, 2 * PAGE_SIZE, MmCached);
    KTAP_CHECK((Adapter = HalGetAdapter(&Description, &Registers)) != NULL);
    KTAP_EQUAL(Registers, 4);
    ((PDMA_ADAPTER)Adapter)->DmaOperations->PutDmaAdapter((PDMA_ADAPTER)Adapter);
}

/* ---- Objects ---- */

/* An event made, named, opened again and let go by hand. */
static VOID IfsObjects(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\WdmIfsEvent");
    LONG64 Before = ExpEventObjectType->ObjectCount;
    OBJECT_ATTRIBUTES Attributes;
    HANDLE First, Second, Other;
    ACCESS_STATE Access;
    SE_AUX_DATA Extra;
    NTSTATUS Status;
    BOOLEAN Allowed;
    PKEVENT Event;
    PVOID Found;

    InitializeObjectAttributes(&Attributes, &Name, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, NULL, NULL);
    KTAP_EQUAL(ObCreateObject(KernelMode, *ExEventObjectType, &Attributes, KernelMode, NULL, sizeof(KEVENT), 0, 0,
                              (PVOID *)&Event),
               STATUS_SUCCESS);
    KeInitializeEvent(Event, NotificationEvent, TRUE);
    KTAP_EQUAL(KTAP_WHOLE(ObInsertObject(Event, NULL, EVENT_ALL_ACCESS, 1, &Found, &First)), STATUS_SUCCESS);
    KTAP_CHECK(Found == Event);
    KTAP_EQUAL(ObOpenObjectByName(&Attributes, *ExEventObjectType, KernelMode, NULL, EVENT_QUERY_STATE, NULL, &Second),
               STATUS_SUCCESS);
    KTAP_EQUAL(ObOpenObjectByName(&Attributes, *PsProcessType, KernelMode, NULL, 0, NULL, &Other) ==
                   STATUS_OBJECT_TYPE_MISMATCH,
               TRUE);
    KTAP_EQUAL(SeCreateAccessState(&Access, &Extra, EVENT_QUERY_STATE, NULL), STATUS_SUCCESS);
    Allowed = ObCheckObjectAccess(Event, &Access, FALSE, UserMode, &Status);
    KTAP_CHECK(Allowed && Status == STATUS_SUCCESS && Access.PreviouslyGrantedAccess == EVENT_QUERY_STATE);
    SeDeleteAccessState(&Access);
    ObfReferenceObjectWithTag(Event, TAG);
    ObfDereferenceObjectWithTag(Event, TAG);
    KTAP_EQUAL(ZwClose(Second), STATUS_SUCCESS);
    KTAP_EQUAL(ZwClose(First), STATUS_SUCCESS);
    KTAP_EQUAL(ExpEventObjectType->ObjectCount, Before + 1);
    ObDereferenceObjectDeferDelete(Event);
    for (ULONG Turn = 0; Turn < 200 && ExpEventObjectType->ObjectCount != Before; Turn++) {
        TestSleep(TEST_SECOND / 100); /* a worker deletes it */
    }
    KTAP_EQUAL(ExpEventObjectType->ObjectCount, Before);
}

static VOID IfsDescriptors(PKTAP_CONTEXT Ktap)
{
    SECURITY_DESCRIPTOR Descriptor;
    PSECURITY_DESCRIPTOR Copy, Given;
    BOOLEAN Present = FALSE, Defaulted, Allocated;
    SE_AUX_DATA Extra;
    ACCESS_STATE Access;
    PKEVENT Event;
    PACL Dacl;

    KTAP_CHECK(SePublicDefaultDacl->AceCount >= 2 && SeSystemDefaultDacl->AceCount >= 2);
    KTAP_EQUAL(RtlCreateSecurityDescriptor(&Descriptor, SECURITY_DESCRIPTOR_REVISION), STATUS_SUCCESS);
    KTAP_EQUAL(RtlSetDaclSecurityDescriptor(&Descriptor, TRUE, SeSystemDefaultDacl, FALSE), STATUS_SUCCESS);
    KTAP_EQUAL(SeCaptureSecurityDescriptor(&Descriptor, KernelMode, PagedPool, TRUE, &Copy), STATUS_SUCCESS);
    KTAP_CHECK(RtlValidSecurityDescriptor(Copy));
    KTAP_CHECK((((PISECURITY_DESCRIPTOR)Copy)->Control & SE_SELF_RELATIVE) != 0);
    KTAP_EQUAL(RtlGetDaclSecurityDescriptor(Copy, &Present, &Dacl, &Defaulted), STATUS_SUCCESS);
    KTAP_CHECK(Present && Dacl->AclSize == SeSystemDefaultDacl->AclSize &&
               RtlCompareMemory(Dacl, SeSystemDefaultDacl, Dacl->AclSize) == Dacl->AclSize);

    /* an object that is given it */
    KTAP_EQUAL(
        ObCreateObject(KernelMode, *ExEventObjectType, NULL, KernelMode, NULL, sizeof(KEVENT), 0, 0, (PVOID *)&Event),
        STATUS_SUCCESS);
    KeInitializeEvent(Event, NotificationEvent, TRUE);
    KTAP_EQUAL(SeCreateAccessState(&Access, &Extra, 0, NULL), STATUS_SUCCESS);
    Access.SecurityDescriptor = Copy;
    KTAP_EQUAL(ObAssignSecurity(&Access, NULL, Event, *ExEventObjectType), STATUS_SUCCESS);
    Access.SecurityDescriptor = NULL;
    SeDeleteAccessState(&Access);
    SeReleaseSecurityDescriptor(Copy, KernelMode, TRUE);
    KTAP_EQUAL(ObGetObjectSecurity(Event, &Given, &Allocated), STATUS_SUCCESS);
    KTAP_CHECK(Given != NULL);
    KTAP_EQUAL(RtlGetDaclSecurityDescriptor(Given, &Present, &Dacl, &Defaulted), STATUS_SUCCESS);
    KTAP_CHECK(Present && Dacl->AceCount == SeSystemDefaultDacl->AceCount);
    ObReleaseObjectSecurity(Given, Allocated);
    ObDereferenceObject(Event);
}

static VOID IfsServices(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\Device");
    static UCHAR Room[512] __attribute__((aligned(8)));
    PUNICODE_STRING Entry = (PVOID)Room; /* an entry is two of them: name and type */
    OBJECT_ATTRIBUTES Attributes;
    ULONG Context = 0, Length;
    PACCESS_TOKEN Token;
    HANDLE Handle;

    InitializeObjectAttributes(&Attributes, &Name, OBJ_KERNEL_HANDLE, NULL, NULL);
    KTAP_EQUAL(ZwOpenDirectoryObject(&Handle, DIRECTORY_QUERY, &Attributes), STATUS_SUCCESS);
    KTAP_EQUAL(ZwQueryDirectoryObject(Handle, Room, sizeof(Room), TRUE, TRUE, &Context, &Length), STATUS_SUCCESS);
    KTAP_CHECK(Entry[0].Length != 0 && Entry[1].Length != 0 && Context == 1);
    KTAP_EQUAL(ZwClose(Handle), STATUS_SUCCESS);

    KTAP_EQUAL(ZwOpenThreadToken(ZwCurrentThread(), TOKEN_QUERY, TRUE, &Handle), STATUS_NO_TOKEN);
    KTAP_EQUAL(ZwOpenProcessToken(ZwCurrentProcess(), TOKEN_QUERY, &Handle), STATUS_SUCCESS);
    KTAP_EQUAL(ObReferenceObjectByHandle(Handle, TOKEN_QUERY, *SeTokenObjectType, KernelMode, &Token, NULL),
               STATUS_SUCCESS);
    KTAP_EQUAL(SeTokenType(Token), TokenPrimary);
    ObDereferenceObject(Token);
    KTAP_EQUAL(ZwClose(Handle), STATUS_SUCCESS);
}

/* ---- Threads and contexts ---- */

static VOID IfsThread(PKTAP_CONTEXT Ktap)
{
    PEPROCESS Process = PsGetCurrentProcess();

    KTAP_CHECK(!KeTestAlertThread(KernelMode));
    KeAlertThread(KeGetCurrentThread(), KernelMode);
    KTAP_CHECK(KeTestAlertThread(KernelMode));
    KTAP_CHECK(!KeTestAlertThread(KernelMode)); /* once */
    KTAP_EQUAL(PsAcquireProcessExitSynchronization(Process), STATUS_SUCCESS);
    PsReleaseProcessExitSynchronization(Process);
}

static volatile ULONG Passes, Finals;
static CONTEXT Here, Walk; /* too large for a stack */

static DECLSPEC_NOINLINE VOID RestoreThreeTimes(VOID)
{
    RtlCaptureContext(&Here);
    if (++Passes < 4) {
        RtlRestoreContext(&Here, NULL);
    }
}

static DECLSPEC_NOINLINE VOID UnwindTo(ULONG64 Frame, ULONG64 Ip)
{
    __try {
        RtlUnwind((PVOID)Frame, (PVOID)Ip, NULL, NULL);
    } __finally {
        Finals++;
    }
}

/* Comes back to its own frame, behind the capture, past a frame that has something to do on the way. */
static DECLSPEC_NOINLINE VOID UnwindBack(VOID)
{
    ULONG64 Base, Frame;
    PVOID Data;

    RtlCaptureContext(&Here);
    if (++Passes == 1) {
        PRUNTIME_FUNCTION Entry = RtlLookupFunctionEntry(Here.Rip, &Base, NULL);

        Walk = Here;
        RtlVirtualUnwind(UNW_FLAG_NHANDLER, Base, Here.Rip, Entry, &Walk, &Data, &Frame, NULL);
        UnwindTo(Frame, Here.Rip);
        Passes = 100; /* never */
    }
}

static VOID IfsContexts(PKTAP_CONTEXT Ktap)
{
    EXCEPTION_DISPOSITION (*Handler)(PEXCEPTION_RECORD, PVOID, PCONTEXT, PDISPATCHER_CONTEXT) =
        KTAP_IMPORT(PVOID, __C_specific_handler);
    ULONG NoScopes = 0;
    DISPATCHER_CONTEXT Dispatcher = {.HandlerData = &NoScopes, .ControlPc = 1};
    EXCEPTION_RECORD Record = {.ExceptionCode = STATUS_ACCESS_VIOLATION};

    Passes = 0;
    RestoreThreeTimes();
    KTAP_EQUAL(Passes, 4);
    Passes = Finals = 0;
    UnwindBack();
    KTAP_EQUAL(Passes, 2);
    KTAP_EQUAL(Finals, 1);
    KTAP_CHECK(Handler != NULL);
    KTAP_EQUAL(Handler(&Record, NULL, &Here, &Dispatcher), ExceptionContinueSearch);
}

static const KTAP_CASE_ENTRY IfsCases[] = {
    {"stream_files", IfsStreamFiles}, {"paging", IfsPaging},       {"queue", IfsQueue},   {"verify", IfsVerify},
    {"cached_file", IfsCachedFile},   {"interrupt", IfsInterrupt}, {"memory", IfsMemory}, {"objects", IfsObjects},
    {"descriptors", IfsDescriptors},  {"services", IfsServices},   {"thread", IfsThread}, {"contexts", IfsContexts},
};
KTAP_SUITE(WdmIfsSuite, "wdm.ifs", IfsCases);
