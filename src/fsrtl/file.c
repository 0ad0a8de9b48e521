/*
 * file.c - what Mm, Cc and others do with a file without knowing its file system.
 *
 * Taking a file before a section of it is created keeps its size from changing meanwhile. The file system may have a routine
 * for that in its fast I/O table; otherwise the resource in the common header that FsContext begins with is taken,
 * which the file system promised to be there by setting SectionObjectPointer. Normal kernel APCs stay disabled while
 * the file is held.
 *
 * Order: before any lock of Cc or Mm. IRQL: <= APC_LEVEL.
 */
#include <ntos/ntos.h>

static PFAST_IO_DISPATCH FsRtlpFastIo(PFILE_OBJECT FileObject)
{
    PDEVICE_OBJECT Device = IoGetRelatedDeviceObject(FileObject);

    return Device->DriverObject->FastIoDispatch;
}

static BOOLEAN FsRtlpHasEntry(PFAST_IO_DISPATCH Table, ULONG EndOfEntry)
{
    return Table != NULL && Table->SizeOfFastIoDispatch >= EndOfEntry;
}

#define FSRTLP_HAS(Table, Entry)                                                                                       \
    (FsRtlpHasEntry(Table, RTL_SIZEOF_THROUGH_FIELD(FAST_IO_DISPATCH, Entry)) && (Table)->Entry != NULL)

static PERESOURCE FsRtlpResource(PFILE_OBJECT FileObject)
{
    PFSRTL_COMMON_FCB_HEADER Header = FileObject->FsContext;

    return Header != NULL ? Header->Resource : NULL;
}

/**
 * FsRtlAcquireFileExclusive - takes a file before a section of it is created.  Released by FsRtlReleaseFile.
 */
VOID NTAPI FsRtlAcquireFileExclusive(PFILE_OBJECT FileObject)
{
    PFAST_IO_DISPATCH Table = FsRtlpFastIo(FileObject);

    KeEnterCriticalRegion();
    if (FSRTLP_HAS(Table, AcquireFileForNtCreateSection)) {
        Table->AcquireFileForNtCreateSection(FileObject);
    } else if (FsRtlpResource(FileObject) != NULL) {
        ExAcquireResourceExclusiveLite(FsRtlpResource(FileObject), TRUE);
    }
}

/**
 * FsRtlReleaseFile - gives back what FsRtlAcquireFileExclusive took.
 */
VOID NTAPI FsRtlReleaseFile(PFILE_OBJECT FileObject)
{
    PFAST_IO_DISPATCH Table = FsRtlpFastIo(FileObject);

    if (FSRTLP_HAS(Table, ReleaseFileForNtCreateSection)) {
        Table->ReleaseFileForNtCreateSection(FileObject);
    } else if (FsRtlpResource(FileObject) != NULL) {
        ExReleaseResourceLite(FsRtlpResource(FileObject));
    }
    KeLeaveCriticalRegion();
}

static NTSTATUS NTAPI FsRtlpStopCompletion(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    UNREFERENCED_PARAMETER(Irp);
    KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

/* Asks the file system by an IRP that completes without an APC, so that callers at APC_LEVEL can wait for it. */
static NTSTATUS FsRtlpQueryStandard(PFILE_OBJECT FileObject, PFILE_STANDARD_INFORMATION Info)
{
    PDEVICE_OBJECT Device = IoGetRelatedDeviceObject(FileObject);
    PIRP Irp = IoAllocateIrp(Device->StackSize, FALSE);
    PIO_STACK_LOCATION Stack;
    NTSTATUS Status;
    KEVENT Done;

    if (Irp == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    Irp->AssociatedIrp.SystemBuffer = Info;
    Irp->RequestorMode = KernelMode;
    Irp->Tail.Overlay.Thread = PsGetCurrentThread();
    Irp->Tail.Overlay.OriginalFileObject = FileObject;
    Stack = IoGetNextIrpStackLocation(Irp);
    Stack->MajorFunction = IRP_MJ_QUERY_INFORMATION;
    Stack->FileObject = FileObject;
    Stack->DeviceObject = Device;
    Stack->Parameters.QueryFile.FileInformationClass = FileStandardInformation;
    Stack->Parameters.QueryFile.Length = sizeof(*Info);
    IoSetCompletionRoutine(Irp, FsRtlpStopCompletion, &Done, TRUE, TRUE, TRUE);
    IoCallDriver(Device, Irp);
    KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    Status = Irp->IoStatus.Status;
    IoFreeIrp(Irp);
    return Status;
}

/**
 * FsRtlGetFileSize - the end of a file, in bytes.
 *
 * Errors: STATUS_FILE_IS_A_DIRECTORY, the file system's, STATUS_INSUFFICIENT_RESOURCES.
 */
NTSTATUS NTAPI FsRtlGetFileSize(PFILE_OBJECT FileObject, PLARGE_INTEGER FileSize)
{
    FILE_STANDARD_INFORMATION Info;
    NTSTATUS Status = FsRtlpQueryStandard(FileObject, &Info);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Info.Directory) {
        return STATUS_FILE_IS_A_DIRECTORY;
    }
    *FileSize = Info.EndOfFile;
    return STATUS_SUCCESS;
}
