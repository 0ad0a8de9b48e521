/*
 * file.c - file objects: type, lock, close, deletion, name.
 *
 * A file object is one open of a file, directory, volume or device. Closing its last handle sends IRP_MJ_CLEANUP; giving up its last
 * reference (Mm and Cc keep some) sends IRP_MJ_CLOSE and frees it. An open that the driver refused has
 * DeviceObject NULL and sends neither. A synchronous file (FO_SYNCHRONOUS_IO) runs one request at a time: Busy, Waiters and the Lock
 * event make a lock that a thread takes for the length of a service call.
 *
 * References held: its device (IopReferenceDevice), its volume (Vpb->ReferenceCount), its related file while it opens. IRQL:
 * PASSIVE_LEVEL (Ob defers deletions to a worker).
 */
#include "iop.h"

POBJECT_TYPE IopFileObjectType;
POBJECT_TYPE *IoFileObjectType = &IopFileObjectType; /* the kernel's own view of the export */

VOID IopInitializeFileObject(PFILE_OBJECT File, PDEVICE_OBJECT Device)
{
    File->Type = IOP_TYPE_FILE;
    File->Size = sizeof(FILE_OBJECT);
    File->DeviceObject = Device;
    KeInitializeEvent(&File->Lock, SynchronizationEvent, FALSE);
    KeInitializeEvent(&File->Event, NotificationEvent, FALSE);
    KeInitializeSpinLock(&File->IrpListLock);
    InitializeListHead(&File->IrpList);
}

/**
 * IopAcquireFileLock - waits for the file's turn. Only for synchronous files.
 *
 * @Mode    UserMode: the wait ends when the thread is asked to end or, on a file that was opened for alertable I/O, alerted or sent an APC
 * returns  STATUS_SUCCESS; STATUS_CANCELLED: the wait ended early and the turn is not the caller's
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS IopAcquireFileLock(PFILE_OBJECT File, KPROCESSOR_MODE Mode)
{
    BOOLEAN Alertable = Mode == UserMode && (File->Flags & FO_ALERTABLE_IO) != 0;
    NTSTATUS Status = STATUS_SUCCESS;

    if (InterlockedExchange((volatile LONG *)&File->Busy, TRUE) == FALSE) {
        return STATUS_SUCCESS;
    }
    InterlockedIncrement((volatile LONG *)&File->Waiters);
    while (Status == STATUS_SUCCESS && InterlockedExchange((volatile LONG *)&File->Busy, TRUE) != FALSE) {
        Status = KeWaitForSingleObject(&File->Lock, Executive, Mode, Alertable, NULL);
    }
    InterlockedDecrement((volatile LONG *)&File->Waiters);
    return Status == STATUS_SUCCESS ? STATUS_SUCCESS : STATUS_CANCELLED;
}

VOID IopReleaseFileLock(PFILE_OBJECT File)
{
    InterlockedExchange((volatile LONG *)&File->Busy, FALSE);
    if (File->Waiters != 0) {
        KeSetEvent(&File->Lock, IO_NO_INCREMENT, FALSE);
    }
}

/* Sends CLEANUP or CLOSE and waits. Neither can fail: without memory for the IRP it waits for some. */
static VOID IopSendClose(PFILE_OBJECT File, UCHAR MajorFunction)
{
    PDEVICE_OBJECT Device = IoGetRelatedDeviceObject(File);
    LARGE_INTEGER Pause = {.QuadPart = -100000}; /* 10 ms */
    IO_STATUS_BLOCK Iosb;
    PIO_STACK_LOCATION Stack;
    KEVENT Done;
    PIRP Irp;

    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    while ((Irp = IoAllocateIrp(Device->StackSize, FALSE)) == NULL) {
        KeDelayExecutionThread(KernelMode, FALSE, &Pause);
    }
    Irp->Flags = IRP_SYNCHRONOUS_API | ((MajorFunction == IRP_MJ_CLOSE) ? IRP_CLOSE_OPERATION : 0);
    Irp->UserEvent = &Done;
    Irp->UserIosb = &Iosb;
    Irp->Tail.Overlay.Thread = PsGetCurrentThread();
    Stack = IoGetNextIrpStackLocation(Irp);
    Stack->MajorFunction = MajorFunction;
    Stack->FileObject = File;
    if (IofCallDriver(Device, Irp) == STATUS_PENDING) {
        KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    }
}

static VOID IopCloseFile(PEPROCESS Process, PVOID Object, ACCESS_MASK GrantedAccess, ULONG HandleCount)
{
    PFILE_OBJECT File = Object;
    BOOLEAN Locked = (File->Flags & FO_SYNCHRONOUS_IO) != 0;

    UNREFERENCED_PARAMETER(Process);
    UNREFERENCED_PARAMETER(GrantedAccess);
    if (HandleCount != 1 || File->DeviceObject == NULL || (File->Flags & FO_HANDLE_CREATED) == 0) {
        return;
    }
    if (Locked) {
        (VOID) IopAcquireFileLock(File, KernelMode); /* CLEANUP is sent whatever becomes of the thread */
    }
    IopSendClose(File, IRP_MJ_CLEANUP);
    if (Locked) {
        IopReleaseFileLock(File);
    }
}

static VOID IopDeleteFile(PVOID Object)
{
    PFILE_OBJECT File = Object;

    if (File->DeviceObject != NULL) {
        if ((File->Flags & (FO_HANDLE_CREATED | FO_STREAM_FILE)) == 0) {
            IopSendClose(File, IRP_MJ_CLEANUP); /* opened, but no handle was ever made that could have sent it */
        }
        IopSendClose(File, IRP_MJ_CLOSE);
        if (File->Vpb != NULL) {
            IopDereferenceVpb(File->Vpb);
        }
        IopDereferenceDevice(File->DeviceObject);
    }
    IopDropCompletionPort(File);
    if (File->FileName.Buffer != NULL) {
        ExFreePool(File->FileName.Buffer); /* a file system may have put in a buffer of its own */
    }
}

/* A path relative to an open file: an open on the same device with a related file. */
NTSTATUS IopParseFile(PVOID ParseObject, POBJECT_TYPE ObjectType, PACCESS_STATE AccessState, KPROCESSOR_MODE AccessMode,
                      ULONG Attributes, PUNICODE_STRING CompleteName, PUNICODE_STRING RemainingName, PVOID Context,
                      PVOID *Object)
{
    PIOP_OPEN_PACKET Packet = Context;
    PFILE_OBJECT Related = ParseObject;

    if (Packet == NULL || Packet->Type != IOP_OPEN_PACKET_TYPE) {
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    if (Related->DeviceObject == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    Packet->RelatedFileObject = Related;
    return IopParseDevice(Related->DeviceObject, ObjectType, AccessState, AccessMode, Attributes, CompleteName,
                          RemainingName, Context, Object);
}

/* \Device\NAME followed by the file's name. */
static NTSTATUS IopQueryFileName(PVOID Object, POBJECT_NAME_INFORMATION Info, ULONG Length, PULONG ReturnLength)
{
    PFILE_OBJECT File = Object;
    ULONG DeviceLength = 0, Needed;
    PUCHAR Text;
    NTSTATUS Status;

    if (File->DeviceObject == NULL) {
        return STATUS_OBJECT_PATH_INVALID;
    }
    Status = ObQueryNameString(File->DeviceObject, Info, Length, &DeviceLength);
    Needed = max(DeviceLength, sizeof(*Info) + sizeof(WCHAR)) + File->FileName.Length;
    *ReturnLength = Needed;
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Length < Needed) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    if (Info->Name.Length + File->FileName.Length + sizeof(WCHAR) > MAXUSHORT) {
        return STATUS_OBJECT_PATH_INVALID;
    }
    Text = (PUCHAR)(Info + 1);
    RtlCopyMemory(Text + Info->Name.Length, File->FileName.Buffer, File->FileName.Length);
    Info->Name.Buffer = (PWCHAR)Text;
    Info->Name.Length += File->FileName.Length;
    Info->Name.MaximumLength = Info->Name.Length + sizeof(WCHAR);
    *(PWCHAR)(Text + Info->Name.Length) = 0;
    return STATUS_SUCCESS;
}

NTSTATUS IopCreateFileType(VOID)
{
    static const OBJECT_TYPE_INITIALIZER Info = {
        .Name = L"File",
        .GenericMapping = {FILE_GENERIC_READ, FILE_GENERIC_WRITE, FILE_GENERIC_EXECUTE, FILE_ALL_ACCESS},
        .ValidAccess = FILE_ALL_ACCESS,
        .PoolTag = 'eliF',
        .WaitOffset = FIELD_OFFSET(FILE_OBJECT, Event),
        .CloseProcedure = IopCloseFile,
        .DeleteProcedure = IopDeleteFile,
        .ParseProcedure = IopParseFile,
        .QueryNameProcedure = IopQueryFileName,
    };

    return ObCreateObjectType(&Info, &IopFileObjectType);
}

/* The device an open file's requests go to, without filters above it. */
PDEVICE_OBJECT NTAPI IoGetBaseFileSystemDeviceObject(PFILE_OBJECT FileObject)
{
    if (FileObject->Vpb != NULL && FileObject->Vpb->DeviceObject != NULL) {
        return FileObject->Vpb->DeviceObject;
    }
    if ((FileObject->Flags & FO_DIRECT_DEVICE_OPEN) == 0 && FileObject->DeviceObject->Vpb != NULL &&
        FileObject->DeviceObject->Vpb->DeviceObject != NULL) {
        return FileObject->DeviceObject->Vpb->DeviceObject;
    }
    return FileObject->DeviceObject;
}

PDEVICE_OBJECT NTAPI IoGetRelatedDeviceObject(PFILE_OBJECT FileObject)
{
    return IoGetAttachedDevice(IoGetBaseFileSystemDeviceObject(FileObject));
}

/**
 * IoCreateStreamFileObjectEx - a file object that a file system uses for its own cached data (a volume, a directory).
 *
 * @FileObject    a file on the same device, or NULL
 * @DeviceObject  the device, if FileObject is NULL
 * @Handle        gets a handle; NULL: none is left open, and the file system sees CLEANUP before this returns
 * returns        the file object, referenced for the caller; NULL: no memory (the routine documents an exception on some releases)
 *
 * IRQL: PASSIVE_LEVEL.
 */
PFILE_OBJECT NTAPI IoCreateStreamFileObjectEx(PFILE_OBJECT FileObject, PDEVICE_OBJECT DeviceObject, PHANDLE Handle)
{
    PDEVICE_OBJECT Device = (FileObject != NULL) ? FileObject->DeviceObject : DeviceObject;
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Local = NULL;
    PFILE_OBJECT File;

    InitializeObjectAttributes(&Attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    if (!NT_SUCCESS(ObCreateObject(KernelMode, IopFileObjectType, &Attributes, KernelMode, NULL, sizeof(FILE_OBJECT), 0,
                                   0, (PVOID *)&File))) {
        return NULL;
    }
    IopReferenceDevice(Device);
    IopInitializeFileObject(File, Device);
    File->Flags = FO_STREAM_FILE;
    if (!NT_SUCCESS(ObInsertObject(File, NULL, FILE_READ_DATA, 1, (PVOID *)&File, &Local))) {
        return NULL;
    }
    File->Flags |= FO_HANDLE_CREATED;
    if (Handle != NULL) {
        *Handle = Local;
    } else {
        ZwClose(Local);
    }
    return File;
}

PFILE_OBJECT NTAPI IoCreateStreamFileObject(PFILE_OBJECT FileObject, PDEVICE_OBJECT DeviceObject)
{
    return IoCreateStreamFileObjectEx(FileObject, DeviceObject, NULL);
}

/* As IoCreateStreamFileObject, but no handle is made and the file system sees no CLEANUP. */
PFILE_OBJECT NTAPI IoCreateStreamFileObjectLite(PFILE_OBJECT FileObject, PDEVICE_OBJECT DeviceObject)
{
    PDEVICE_OBJECT Device = (FileObject != NULL) ? FileObject->DeviceObject : DeviceObject;
    PFILE_OBJECT File;

    if (!NT_SUCCESS(ObCreateObject(KernelMode, IopFileObjectType, NULL, KernelMode, NULL, sizeof(FILE_OBJECT), 0, 0,
                                   (PVOID *)&File))) {
        return NULL;
    }
    IopReferenceDevice(Device);
    IopInitializeFileObject(File, Device);
    File->Flags = FO_STREAM_FILE;
    return NT_SUCCESS(ObInsertObject(File, NULL, 0, 1, (PVOID *)&File, NULL)) ? File : NULL;
}
