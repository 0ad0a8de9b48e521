/*
 * open.c - opening files: from a path to a file object and IRP_MJ_CREATE.
 *
 * IoCreateFile packs the parameters into an IOP_OPEN_PACKET and asks the object manager for the path; when the walk arrives at a
 * device object, IopParseDevice takes the rest of the path. It decides what is opened (the device itself, or a
 * file on the volume mounted on it, mounting it first), builds the file object and sends IRP_MJ_CREATE. The packet carries
 * the driver's status and Information back.
 *
 * Decode first, then act: everything that can be refused is, before the file object exists; after that errors undo in reverse
 * order. IRQL: PASSIVE_LEVEL. Locks: none held; mounting takes DeviceLock.
 */
#include <ntos/services.h>
#include <ntos/user.h>

#include "iop.h"

/* An open with no more access than this looks at the device alone and mounts nothing. */
#define IOP_DIRECT_OPEN_ACCESS                                                                                         \
    (SYNCHRONIZE | FILE_READ_ATTRIBUTES | READ_CONTROL | ACCESS_SYSTEM_SECURITY | WRITE_OWNER | WRITE_DAC)

static ULONG IopFileFlags(PIOP_OPEN_PACKET Packet, ULONG Attributes)
{
    ULONG Options = Packet->CreateOptions, Flags = 0;

    if ((Options & (FILE_SYNCHRONOUS_IO_ALERT | FILE_SYNCHRONOUS_IO_NONALERT)) != 0) {
        Flags |= FO_SYNCHRONOUS_IO | (((Options & FILE_SYNCHRONOUS_IO_ALERT) != 0) ? FO_ALERTABLE_IO : 0);
    }
    Flags |= ((Options & FILE_NO_INTERMEDIATE_BUFFERING) != 0) ? FO_NO_INTERMEDIATE_BUFFERING : 0;
    Flags |= ((Options & FILE_WRITE_THROUGH) != 0) ? FO_WRITE_THROUGH : 0;
    Flags |= ((Options & FILE_SEQUENTIAL_ONLY) != 0) ? FO_SEQUENTIAL_ONLY : 0;
    Flags |= ((Options & FILE_RANDOM_ACCESS) != 0) ? FO_RANDOM_ACCESS : 0;
    Flags |= ((Attributes & OBJ_CASE_INSENSITIVE) == 0) ? FO_OPENED_CASE_SENSITIVE : 0;
    return Flags;
}

/* Counts the open at the device; an exclusive device takes one, a deleted one none. */
static NTSTATUS IopClaimDevice(PDEVICE_OBJECT Device, PIOP_OPEN_PACKET Packet)
{
    NTSTATUS Status = STATUS_SUCCESS;
    KIRQL Irql;

    KeAcquireSpinLock(&IopDatabaseLock, &Irql);
    if ((IopExtension(Device)->Flags & (IOP_DEVICE_DELETE_PENDING | IOP_DEVICE_UNLOAD_PENDING)) != 0 ||
        (Device->Flags & DO_DEVICE_INITIALIZING) != 0) {
        Status = STATUS_NO_SUCH_DEVICE;
    } else if ((Device->Flags & DO_EXCLUSIVE) != 0 && Device->ReferenceCount != 0 &&
               Packet->RelatedFileObject == NULL) {
        Status = STATUS_ACCESS_DENIED;
    } else {
        Device->ReferenceCount++;
    }
    KeReleaseSpinLock(&IopDatabaseLock, Irql);
    return Status;
}

static NTSTATUS IopNewFile(PIOP_OPEN_PACKET Packet, PDEVICE_OBJECT Device, ULONG Attributes, PCUNICODE_STRING Name,
                           PFILE_OBJECT *Result)
{
    PFILE_OBJECT File;
    NTSTATUS Status;

    Status = ObCreateObject(KernelMode, IopFileObjectType, NULL, ExGetPreviousMode(), NULL, sizeof(FILE_OBJECT), 0,
                            (ULONG)sizeof(FILE_OBJECT) + Name->Length, (PVOID *)&File);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    IopInitializeFileObject(File, Device);
    File->Flags = IopFileFlags(Packet, Attributes);
    File->RelatedFileObject = Packet->RelatedFileObject;
    if (Name->Length != 0) {
        File->FileName.Buffer = ExAllocatePoolWithTag(NonPagedPool, Name->Length, IOP_TAG_NAME);
        if (File->FileName.Buffer == NULL) {
            File->DeviceObject = NULL;
            ObfDereferenceObject(File);
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        RtlCopyMemory(File->FileName.Buffer, Name->Buffer, Name->Length);
        File->FileName.Length = File->FileName.MaximumLength = Name->Length;
    }
    *Result = File;
    return STATUS_SUCCESS;
}

/* Sends IRP_MJ_CREATE and waits for its outcome, which goes to the packet. */
static NTSTATUS IopSendCreate(PIOP_OPEN_PACKET Packet, PFILE_OBJECT File, PDEVICE_OBJECT Top, PACCESS_STATE AccessState,
                              KPROCESSOR_MODE AccessMode, ULONG Attributes)
{
    IO_SECURITY_CONTEXT Security = {
        .AccessState = AccessState, .DesiredAccess = Packet->DesiredAccess, .FullCreateOptions = Packet->CreateOptions};
    IO_STATUS_BLOCK Iosb = {.Status = STATUS_PENDING};
    PIO_STACK_LOCATION Stack;
    KEVENT Done;
    PIRP Irp = IoAllocateIrp(Top->StackSize, FALSE);
    NTSTATUS Status;

    if (Irp == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    Irp->RequestorMode = AccessMode;
    Irp->Flags = IRP_CREATE_OPERATION | IRP_SYNCHRONOUS_API;
    Irp->Tail.Overlay.Thread = PsGetCurrentThread();
    Irp->UserEvent = &Done;
    Irp->UserIosb = &Iosb;
    Irp->Overlay.AllocationSize = Packet->AllocationSize;
    Irp->AssociatedIrp.SystemBuffer = Packet->EaBuffer;
    Stack = IoGetNextIrpStackLocation(Irp);
    Stack->MajorFunction = (Packet->Kind == CreateFileTypeNamedPipe) ? IRP_MJ_CREATE_NAMED_PIPE : IRP_MJ_CREATE;
    Stack->Flags = (UCHAR)((((Attributes & OBJ_CASE_INSENSITIVE) == 0) ? SL_CASE_SENSITIVE : 0) |
                           (Packet->Options & (SL_OPEN_PAGING_FILE | SL_OPEN_TARGET_DIRECTORY)));
    Stack->FileObject = File;
    Stack->Parameters.Create.SecurityContext = &Security;
    Stack->Parameters.Create.Options = (Packet->CreateOptions & FILE_VALID_OPTION_FLAGS) | (Packet->Disposition << 24);
    Stack->Parameters.Create.FileAttributes = (USHORT)Packet->FileAttributes;
    Stack->Parameters.Create.ShareAccess = (USHORT)Packet->ShareAccess;
    Stack->Parameters.Create.EaLength = Packet->EaLength;
    if (Packet->Kind == CreateFileTypeNamedPipe) { /* the same layout but for the end */
        Stack->Parameters.CreatePipe.Parameters = Packet->Parameters;
    }
    Status = IofCallDriver(Top, Irp);
    if (Status == STATUS_PENDING) {
        KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    }
    Packet->Information = Iosb.Information;
    IopCountRequest(IRP_CREATE_OPERATION, 0);
    return Iosb.Status;
}

/* Device (with its stack) to which the create goes, and the volume, if the open is for one. */
static NTSTATUS IopChooseTarget(PDEVICE_OBJECT Device, PIOP_OPEN_PACKET Packet, PCUNICODE_STRING Name, PVPB *Vpb,
                                PDEVICE_OBJECT *Top, PBOOLEAN Direct)
{
    PFILE_OBJECT Related = Packet->RelatedFileObject;
    NTSTATUS Status;

    *Vpb = NULL;
    *Direct = (Device->Vpb != NULL && Name->Length == 0 && Related == NULL &&
               (Packet->DesiredAccess & ~IOP_DIRECT_OPEN_ACCESS) == 0) ||
              (Related != NULL && (Related->Flags & FO_DIRECT_DEVICE_OPEN) != 0);
    if (Device->Vpb == NULL || *Direct) {
        *Top = IoGetAttachedDevice(Device);
        return STATUS_SUCCESS;
    }
    Status = IopMountForOpen(Device, Vpb);
    if (NT_SUCCESS(Status)) {
        *Top = IoGetAttachedDevice((*Vpb)->DeviceObject);
    }
    return Status;
}

/*
 * May the caller open this? The device itself needs what its descriptor grants, and gives just that; what is on it needs the right to go through
 * the device, unless the driver asked for the whole check (FILE_DEVICE_SECURE_OPEN). A file opened beside another was checked with that.
 */
static NTSTATUS IopCheckDevice(PDEVICE_OBJECT Device, PIOP_OPEN_PACKET Packet, PCUNICODE_STRING Name,
                               PACCESS_STATE AccessState, KPROCESSOR_MODE AccessMode, ULONG Attributes)
{
    NTSTATUS Status = STATUS_SUCCESS;

    if (!ObIsChecked(AccessMode, Attributes)) {
        return STATUS_SUCCESS;
    }
    if ((Name->Length == 0 && Packet->RelatedFileObject == NULL) ||
        (Device->Characteristics & FILE_DEVICE_SECURE_OPEN) != 0) {
        ObCheckObjectAccess(Device, AccessState, FALSE, UserMode, &Status);
        return Status;
    }
    if (Packet->RelatedFileObject != NULL || SeSinglePrivilegeCheck(SeExports->SeChangeNotifyPrivilege, UserMode)) {
        return STATUS_SUCCESS;
    }
    return ObCheckOpen(Device, FILE_TRAVERSE);
}

/**
 * IopParseDevice - a path has led to a device: open what its rest names.
 *
 * Called by the object manager; contract in ob.h. Without an open packet only the device itself can be referenced, by its own type.
 */
NTSTATUS IopParseDevice(PVOID ParseObject, POBJECT_TYPE ObjectType, PACCESS_STATE AccessState,
                        KPROCESSOR_MODE AccessMode, ULONG Attributes, PUNICODE_STRING CompleteName,
                        PUNICODE_STRING RemainingName, PVOID Context, PVOID *Object)
{
    PDEVICE_OBJECT Device = ParseObject, Top = NULL;
    PIOP_OPEN_PACKET Packet = Context;
    PFILE_OBJECT File;
    BOOLEAN Direct;
    PVPB Vpb = NULL;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(CompleteName);
    UNREFERENCED_PARAMETER(ObjectType);
    *Object = NULL;
    if (Packet == NULL || Packet->Type != IOP_OPEN_PACKET_TYPE) {
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    Packet->ParseCompleted = TRUE;
    Status = IopCheckDevice(Device, Packet, RemainingName, AccessState, AccessMode, Attributes);
    if (NT_SUCCESS(Status)) {
        Status = IopClaimDevice(Device, Packet);
    }
    if (!NT_SUCCESS(Status)) {
        return Packet->FinalStatus = Status;
    }
    Status = IopChooseTarget(Device, Packet, RemainingName, &Vpb, &Top, &Direct);
    if (!NT_SUCCESS(Status)) {
        goto Unclaim;
    }
    Status = IopNewFile(Packet, Device, Attributes, RemainingName, &File);
    if (!NT_SUCCESS(Status)) {
        goto Unmount;
    }
    File->Vpb = Vpb;
    File->Flags |= Direct ? FO_DIRECT_DEVICE_OPEN : 0;
    Status = IopSendCreate(Packet, File, Top, AccessState, AccessMode, Attributes);
    File->RelatedFileObject = NULL; /* of use to the driver during the create only */
    Packet->FinalStatus = Status;
    if (NT_SUCCESS(Status) && Status != STATUS_REPARSE) {
        File->Flags |= FO_FILE_OPEN;
        File->FinalStatus = Status;
        Packet->FileObject = File;
        *Object = File;
        return STATUS_SUCCESS;
    }
    Status = (Status == STATUS_REPARSE) ? STATUS_OBJECT_NAME_INVALID : Status; /* no reparse points yet */
    File->DeviceObject = NULL;                                                 /* nothing to close */
    File->Vpb = NULL;
    ObfDereferenceObject(File);
Unmount:
    if (Vpb != NULL) {
        IopDereferenceVpb(Vpb);
    }
Unclaim:
    IopDereferenceDevice(Device);
    return Packet->FinalStatus = Status;
}

/* What can be known to be wrong without looking at the path. Source: WDK documentation of ZwCreateFile. */
static NTSTATUS IopCheckOpen(PIOP_OPEN_PACKET Packet, ULONG EaLength)
{
    ULONG Options = Packet->CreateOptions;
    ULONG Sync = Options & (FILE_SYNCHRONOUS_IO_ALERT | FILE_SYNCHRONOUS_IO_NONALERT);

    if (Packet->Disposition > FILE_MAXIMUM_DISPOSITION || (Options & ~FILE_VALID_OPTION_FLAGS) != 0 ||
        (Packet->ShareAccess & ~FILE_SHARE_VALID_FLAGS) != 0 ||
        (Packet->FileAttributes & ~FILE_ATTRIBUTE_VALID_FLAGS) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Sync == (FILE_SYNCHRONOUS_IO_ALERT | FILE_SYNCHRONOUS_IO_NONALERT) ||
        (Sync != 0 && (Packet->DesiredAccess & (SYNCHRONIZE | GENERIC_ALL | GENERIC_READ | GENERIC_WRITE |
                                                GENERIC_EXECUTE | MAXIMUM_ALLOWED)) == 0)) {
        return STATUS_INVALID_PARAMETER;
    }
    if ((Options & FILE_DIRECTORY_FILE) != 0 &&
        ((Options & FILE_NON_DIRECTORY_FILE) != 0 ||
         (Packet->Disposition != FILE_CREATE && Packet->Disposition != FILE_OPEN &&
          Packet->Disposition != FILE_OPEN_IF))) {
        return STATUS_INVALID_PARAMETER;
    }
    if ((Options & FILE_NO_INTERMEDIATE_BUFFERING) != 0 && (Packet->DesiredAccess & FILE_APPEND_DATA) != 0 &&
        (Packet->DesiredAccess & FILE_WRITE_DATA) == 0) {
        return STATUS_INVALID_PARAMETER;
    }
    return (EaLength != 0) ? STATUS_EAS_NOT_SUPPORTED : STATUS_SUCCESS;
}

/* The same for the server end of a named pipe. Source: documentation of CreateNamedPipe, [MS-FSCC] 2.4.33. */
static NTSTATUS IopCheckCreatePipe(PIOP_OPEN_PACKET Packet)
{
    PNAMED_PIPE_CREATE_PARAMETERS Pipe = Packet->Parameters;

    if (Pipe == NULL || (Packet->ShareAccess & FILE_SHARE_DELETE) != 0 ||
        (Packet->CreateOptions & ~FILE_VALID_PIPE_OPTION_FLAGS) != 0 ||
        (Packet->Disposition != FILE_CREATE && Packet->Disposition != FILE_OPEN &&
         Packet->Disposition != FILE_OPEN_IF)) {
        return STATUS_INVALID_PARAMETER;
    }
    if ((Pipe->NamedPipeType & ~FILE_PIPE_TYPE_VALID_MASK) != 0 || Pipe->ReadMode > FILE_PIPE_MESSAGE_MODE ||
        Pipe->CompletionMode > FILE_PIPE_COMPLETE_OPERATION) {
        return STATUS_INVALID_PARAMETER;
    }
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI IoCreateFile(PHANDLE FileHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                            PIO_STATUS_BLOCK IoStatusBlock, PLARGE_INTEGER AllocationSize, ULONG FileAttributes,
                            ULONG ShareAccess, ULONG Disposition, ULONG CreateOptions, PVOID EaBuffer, ULONG EaLength,
                            CREATE_FILE_TYPE CreateFileType, PVOID InternalParameters, ULONG Options)
{
    IOP_OPEN_PACKET Packet = {.Type = IOP_OPEN_PACKET_TYPE,
                              .Disposition = Disposition,
                              .CreateOptions = CreateOptions,
                              .FileAttributes = FileAttributes,
                              .ShareAccess = ShareAccess,
                              .Options = Options,
                              .Kind = CreateFileType,
                              .Parameters = InternalParameters,
                              .DesiredAccess = DesiredAccess};
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    UNREFERENCED_PARAMETER(EaBuffer);
    *FileHandle = NULL;
    if (CreateFileType == CreateFileTypeMailslot) {
        return STATUS_NOT_IMPLEMENTED;
    }
    if (AllocationSize != NULL) {
        Packet.AllocationSize = *AllocationSize;
    }
    Status = IopCheckOpen(&Packet, EaLength);
    if (NT_SUCCESS(Status) && CreateFileType == CreateFileTypeNamedPipe) {
        Status = IopCheckCreatePipe(&Packet);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    RtlMapGenericMask(&Packet.DesiredAccess, &IopFileObjectType->Info.GenericMapping);
    Status = ObOpenObjectByName(ObjectAttributes, IopFileObjectType, ExGetPreviousMode(), NULL, DesiredAccess, &Packet,
                                FileHandle);
    if (NT_SUCCESS(Status)) {
        Packet.FileObject->Flags |= FO_HANDLE_CREATED;
        Status = Packet.FinalStatus;
    }
    IoStatusBlock->Status = Status;
    IoStatusBlock->Information = Packet.Information;
    return Status;
}

/* What NtCreateFile and NtCreateNamedPipeFile have in common: Packet has what is not a pointer of the caller's. */
static NTSTATUS IopCreateForCaller(PHANDLE FileHandle, POBJECT_ATTRIBUTES ObjectAttributes,
                                   PIO_STATUS_BLOCK IoStatusBlock, PLARGE_INTEGER Allocation, PVOID EaBuffer,
                                   ULONG EaLength, PIOP_OPEN_PACKET Packet)
{
    EX_CAPTURED_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Iosb = {.Status = STATUS_PENDING};
    HANDLE Opened = NULL;
    NTSTATUS Status = ExProbeForWrite(IoStatusBlock, sizeof(Iosb)), Told;

    if (NT_SUCCESS(Status)) {
        Status = ExCaptureObjectAttributes(&Attributes, ObjectAttributes);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = IoCreateFile(&Opened, Packet->DesiredAccess, Attributes.Address, &Iosb, Allocation, Packet->FileAttributes,
                          Packet->ShareAccess, Packet->Disposition, Packet->CreateOptions, EaBuffer, EaLength,
                          Packet->Kind, Packet->Parameters, 0);
    ExFreeCapturedAttributes(&Attributes);
    if (ExGetPreviousMode() == KernelMode) {
        *FileHandle = Opened; /* NULL after an error */
    }
    Status = ExReturnHandle(Status, Opened, FileHandle);
    if (Iosb.Status == STATUS_PENDING) {
        return Status; /* refused before anything was asked */
    }
    Iosb.Status = Status;
    Told = ExCopyToCaller(IoStatusBlock, &Iosb, sizeof(Iosb));
    return NT_SUCCESS(Told) ? Status : Told;
}

NTSTATUS NTAPI NtCreateFile(PHANDLE FileHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                            PIO_STATUS_BLOCK IoStatusBlock, PLARGE_INTEGER AllocationSize, ULONG FileAttributes,
                            ULONG ShareAccess, ULONG CreateDisposition, ULONG CreateOptions, PVOID EaBuffer,
                            ULONG EaLength)
{
    IOP_OPEN_PACKET Packet = {.DesiredAccess = DesiredAccess,
                              .FileAttributes = FileAttributes,
                              .ShareAccess = ShareAccess,
                              .Disposition = CreateDisposition,
                              .CreateOptions = CreateOptions};
    LARGE_INTEGER Allocation;

    if (AllocationSize != NULL) {
        NTSTATUS Status = ExCopyFromCaller(&Allocation, AllocationSize, sizeof(Allocation));

        if (!NT_SUCCESS(Status)) {
            return Status;
        }
    }
    return IopCreateForCaller(FileHandle, ObjectAttributes, IoStatusBlock, AllocationSize == NULL ? NULL : &Allocation,
                              EaBuffer, EaLength, &Packet);
}

/**
 * NtCreateNamedPipeFile - creates a named pipe, or a further instance of one, and opens its server end.
 *
 * @ShareAccess       what clients may do: FILE_SHARE_READ (outbound), FILE_SHARE_WRITE (inbound), or both
 * @CreateDisposition FILE_CREATE: the first instance; FILE_OPEN: a further one; FILE_OPEN_IF: either
 * @MaximumInstances  MAXULONG: no limit
 * @DefaultTimeout    of FSCTL_PIPE_WAIT, 100 ns, negative; may be missing for a further instance
 * returns            STATUS_SUCCESS; STATUS_INVALID_PARAMETER; as NtCreateFile; what the file system of pipes says
 *
 * IRQL: PASSIVE_LEVEL. Source: documentation of CreateNamedPipe.
 */
NTSTATUS NTAPI NtCreateNamedPipeFile(PHANDLE FileHandle, ULONG DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                                     PIO_STATUS_BLOCK IoStatusBlock, ULONG ShareAccess, ULONG CreateDisposition,
                                     ULONG CreateOptions, ULONG NamedPipeType, ULONG ReadMode, ULONG CompletionMode,
                                     ULONG MaximumInstances, ULONG InboundQuota, ULONG OutboundQuota,
                                     PLARGE_INTEGER DefaultTimeout)
{
    NAMED_PIPE_CREATE_PARAMETERS Pipe = {.NamedPipeType = NamedPipeType,
                                         .ReadMode = ReadMode,
                                         .CompletionMode = CompletionMode,
                                         .MaximumInstances = MaximumInstances,
                                         .InboundQuota = InboundQuota,
                                         .OutboundQuota = OutboundQuota,
                                         .TimeoutSpecified = DefaultTimeout != NULL};
    IOP_OPEN_PACKET Packet = {.DesiredAccess = DesiredAccess,
                              .ShareAccess = ShareAccess,
                              .Disposition = CreateDisposition,
                              .CreateOptions = CreateOptions,
                              .Kind = CreateFileTypeNamedPipe,
                              .Parameters = &Pipe};

    if (DefaultTimeout != NULL) {
        NTSTATUS Status = ExCopyFromCaller(&Pipe.DefaultTimeout, DefaultTimeout, sizeof(Pipe.DefaultTimeout));

        if (!NT_SUCCESS(Status)) {
            return Status;
        }
    }
    return IopCreateForCaller(FileHandle, ObjectAttributes, IoStatusBlock, NULL, NULL, 0, &Packet);
}

NTSTATUS NTAPI NtOpenFile(PHANDLE FileHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                          PIO_STATUS_BLOCK IoStatusBlock, ULONG ShareAccess, ULONG OpenOptions)
{
    return NtCreateFile(FileHandle, DesiredAccess, ObjectAttributes, IoStatusBlock, NULL, 0, ShareAccess, FILE_OPEN,
                        OpenOptions, NULL, 0);
}
