/*
 * testfs.c - a file system made of a pattern, for the suites of Mm and Cc.
 *
 * Its one device answers IRP_MJ_READ by computing each byte from the file's seed and the offset, into the locked
 * pages of the MDL. A test can hold reads at a gate (to have several threads fault on one page), make them fail a number of
 * times, and count them. Every read is checked against the contract of paging I/O; breaches are counted and asserted on by TestFsClose's
 * callers through File->Breaches.
 *
 * File objects are stream file objects: no name, no handle; IRP_MJ_CLOSE arrives when the last reference has gone, Mm's included.
 */
#include "testfs.h"
#include <ntos/ob.h>

/* A driver object and its extension, with room for what the I/O manager keeps behind them. */
#define TESTFS_DRIVER_BYTES 1024

extern POBJECT_TYPE IopDriverObjectType;

static PDRIVER_OBJECT TestFsDriver;
static PDEVICE_OBJECT TestFsDevice;

UCHAR TestFsByte(const TESTFS_FILE *File, ULONG64 Offset)
{
    if (File->Content != NULL) {
        return Offset < File->Size ? File->Content[Offset] : 0;
    }
    return (UCHAR)(Offset * 31 + (Offset >> PAGE_SHIFT) * 7 + (Offset >> 18) + File->Seed);
}

ULONG64 TestFsCompare(const TESTFS_FILE *File, ULONG64 Offset, const VOID *Data, SIZE_T Bytes)
{
    const volatile UCHAR *Next = Data;
    ULONG64 Wrong = 0;

    for (SIZE_T Index = 0; Index < Bytes; Index++) {
        UCHAR Expected = Offset + Index < File->Size ? TestFsByte(File, Offset + Index) : 0;

        Wrong += Next[Index] != Expected;
    }
    return Wrong;
}

/* What cache.md, rule 10, promises to file systems about a paging read. */
static BOOLEAN TestFsKeepsContract(PIRP Irp, PIO_STACK_LOCATION Stack)
{
    return KeGetCurrentIrql() <= APC_LEVEL && (Irp->Flags & IRP_PAGING_IO) != 0 && (Irp->Flags & IRP_NOCACHE) != 0 &&
           Irp->MdlAddress != NULL && (Irp->MdlAddress->MdlFlags & MDL_PAGES_LOCKED) != 0 &&
           Irp->MdlAddress->ByteOffset == 0 && Irp->AssociatedIrp.SystemBuffer == NULL &&
           Stack->Parameters.Read.ByteOffset.QuadPart % PAGE_SIZE == 0 &&
           Stack->Parameters.Read.Length % PAGE_SIZE == 0;
}

static NTSTATUS TestFsComplete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static NTSTATUS NTAPI TestFsRead(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    PTESTFS_FILE File = Stack->FileObject->FsContext;
    ULONG64 Offset = (ULONG64)Stack->Parameters.Read.ByteOffset.QuadPart;
    ULONG Length = Stack->Parameters.Read.Length;
    PUCHAR Buffer;

    InterlockedIncrement(&File->Reads);
    InterlockedExchangeAdd(&File->Pages, (LONG)(Length >> PAGE_SHIFT));
    if (!TestFsKeepsContract(Irp, Stack)) {
        InterlockedIncrement(&File->Breaches);
    }
    InterlockedExchangeAdd(&File->Nested, MmIsRecursiveIoFault());
    if (File->Gate != NULL) {
        InterlockedIncrement(&File->Waiting);
        KeWaitForSingleObject(File->Gate, Executive, KernelMode, FALSE, NULL);
        InterlockedDecrement(&File->Waiting);
    }
    Buffer = MmGetSystemAddressForMdlSafe(Irp->MdlAddress, HighPagePriority);
    if (Buffer == NULL) {
        return TestFsComplete(Irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    }
    if (!NT_SUCCESS(File->FailStatus) && File->FailCount != 0 && File->FailOffset - Offset < Length) {
        RtlFillMemory(Buffer, Length, 0xDD); /* half a transfer: never to be seen */
        InterlockedDecrement(&File->FailCount);
        return TestFsComplete(Irp, File->FailStatus, 0);
    }
    for (ULONG Index = 0; Index < Length; Index++) {
        Buffer[Index] = Offset + Index < File->Size ? TestFsByte(File, Offset + Index) : 0xEE;
    }
    if (Offset >= File->Size) {
        return TestFsComplete(Irp, STATUS_END_OF_FILE, 0);
    }
    return TestFsComplete(Irp, STATUS_SUCCESS,
                          File->ReportWhole ? Length : (ULONG_PTR)min((ULONG64)Length, File->Size - Offset));
}

static NTSTATUS NTAPI TestFsCloseIrp(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PTESTFS_FILE File = IoGetCurrentIrpStackLocation(Irp)->FileObject->FsContext;

    if (File != NULL) {
        KeSetEvent(&File->Closed, IO_NO_INCREMENT, FALSE);
    }
    return TestFsComplete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI TestFsAccept(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    return TestFsComplete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI TestFsRefuse(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    return TestFsComplete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
}

/* The device is made once and stays: a test kernel is never asked to unload its tests. */
static NTSTATUS TestFsStart(VOID)
{
    NTSTATUS Status;

    if (TestFsDevice != NULL) {
        return STATUS_SUCCESS;
    }
    Status = ObCreateObject(KernelMode, IopDriverObjectType, NULL, KernelMode, NULL, TESTFS_DRIVER_BYTES, 0, 0,
                            (PVOID *)&TestFsDriver);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    TestFsDriver->Type = 4; /* IO_TYPE_DRIVER */
    TestFsDriver->Size = sizeof(*TestFsDriver);
    for (ULONG Major = 0; Major <= IRP_MJ_MAXIMUM_FUNCTION; Major++) {
        TestFsDriver->MajorFunction[Major] = TestFsRefuse;
    }
    TestFsDriver->MajorFunction[IRP_MJ_READ] = TestFsRead;
    TestFsDriver->MajorFunction[IRP_MJ_CLEANUP] = TestFsAccept;
    TestFsDriver->MajorFunction[IRP_MJ_CLOSE] = TestFsCloseIrp;
    Status = IoCreateDevice(TestFsDriver, 0, NULL, FILE_DEVICE_DISK_FILE_SYSTEM, 0, FALSE, &TestFsDevice);
    if (NT_SUCCESS(Status)) {
        TestFsDevice->Flags |= DO_DIRECT_IO;
        TestFsDevice->Flags &= ~DO_DEVICE_INITIALIZING;
    }
    return Status;
}

NTSTATUS TestFsOpen(PTESTFS_FILE File, ULONG64 Size, ULONG Seed)
{
    NTSTATUS Status = TestFsStart();

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    RtlZeroMemory(File, sizeof(*File));
    File->Header.FileSize.QuadPart = (LONGLONG)Size;
    File->Size = Size;
    File->Seed = Seed;
    KeInitializeEvent(&File->Closed, NotificationEvent, FALSE);
    File->FileObject = IoCreateStreamFileObject(NULL, TestFsDevice);
    if (File->FileObject == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    File->FileObject->FsContext = File;
    File->FileObject->SectionObjectPointer = &File->Pointers;
    File->FileObject->ReadAccess = TRUE;
    return STATUS_SUCCESS;
}

BOOLEAN TestFsClose(PTESTFS_FILE File)
{
    LARGE_INTEGER Limit;

    Limit.QuadPart = -10LL * 1000 * 1000 * 10;
    MmForceSectionClosed(&File->Pointers, TRUE);
    ObDereferenceObject(File->FileObject);
    return KeWaitForSingleObject(&File->Closed, Executive, KernelMode, FALSE, &Limit) == STATUS_SUCCESS &&
           File->Breaches == 0;
}

NTSTATUS TestFsMap(PTESTFS_FILE File, ULONG64 Offset, ULONG Slot, PTESTFS_VIEW View)
{
    NTSTATUS Status = MmOpenDataSection(File->FileObject, File->Size, &View->ControlArea);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    MmSetDataSectionFileSize(View->ControlArea, File->Size);
    View->Base = TESTFS_SLOT(Slot);
    Status = MmPrepareDataSection(View->ControlArea, Offset, 0x40000);
    if (NT_SUCCESS(Status)) {
        Status = MmMapCacheView(View->ControlArea, Offset, View->Base, &View->Bytes);
    }
    if (!NT_SUCCESS(Status)) {
        MmCloseDataSection(View->ControlArea);
    }
    return Status;
}

VOID TestFsUnmap(PTESTFS_VIEW View)
{
    MmUnmapCacheView(View->ControlArea, View->Base);
    MmCloseDataSection(View->ControlArea);
}
