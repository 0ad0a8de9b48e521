/*
 * irp.c - I/O request packets: allocation and the requests that drivers have built for them.
 *
 * An IRP is one nonpaged block: IRP, then StackCount stack locations. CurrentLocation starts at StackCount + 1, one past the last,
 * and falls by one with each IofCallDriver. Who frees it: the I/O manager for IoBuildSynchronousFsdRequest, IoBuildDeviceIoControlRequest and
 * its own services, when completion has run to the top; the allocator for IoAllocateIrp and
 * IoBuildAsynchronousFsdRequest, from a completion routine that returns STATUS_MORE_PROCESSING_REQUIRED.
 *
 * No locks; counts are interlocked. IRQL <= DISPATCH_LEVEL for allocation and free, lower where said. Sources: WDK documentation of each
 * routine.
 */
#include "iop.h"
#include <ntos/pool.h>

volatile LONG64 IopIrpCount;

static const ULONG IopBufferedInput = IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER | IRP_INPUT_OPERATION;

VOID NTAPI IoInitializeIrp(PIRP Irp, USHORT PacketSize, CCHAR StackSize)
{
    RtlZeroMemory(Irp, PacketSize);
    Irp->Type = IOP_TYPE_IRP;
    Irp->Size = PacketSize;
    Irp->StackCount = StackSize;
    Irp->CurrentLocation = (CHAR)(StackSize + 1);
    Irp->ApcEnvironment = KeGetCurrentPrcb()->CurrentThread->ApcStateIndex;
    Irp->Tail.Overlay.CurrentStackLocation = (PIO_STACK_LOCATION)(Irp + 1) + StackSize;
    InitializeListHead(&Irp->ThreadListEntry);
}

/**
 * IoAllocateIrp - an IRP for a stack of StackSize devices; NULL: no memory or a size that is not 1..127.
 *
 * @ChargeQuota  nothing is charged yet
 *
 * IRQL <= DISPATCH_LEVEL.
 */
PIRP NTAPI IoAllocateIrp(CCHAR StackSize, BOOLEAN ChargeQuota)
{
    USHORT Size = IoSizeOfIrp(StackSize);
    UCHAR Flags;
    PIRP Irp;

    UNREFERENCED_PARAMETER(ChargeQuota);
    if (StackSize <= 0) {
        return NULL;
    }
    Irp = ExInjectFault(ExFaultIrp) ? NULL : IopTakeIrp(StackSize, _ReturnAddress(), &Flags);
    if (Irp == NULL) {
        return NULL;
    }
    IoInitializeIrp(Irp, Size, StackSize);
    Irp->AllocationFlags = Flags; /* from IoAllocateIrp: IoReuseIrp and IoFreeIrp accept it */
    InterlockedIncrement64(&IopIrpCount);
    return Irp;
}

VOID NTAPI IoFreeIrp(PIRP Irp)
{
    ASSERT(Irp->Type == IOP_TYPE_IRP);
    ASSERT(Irp->CurrentLocation > Irp->StackCount); /* not on its way through a stack */
    ASSERT(IsListEmpty(&Irp->ThreadListEntry));
    Irp->Type = 0; /* makes a second free or completion visible */
    InterlockedDecrement64(&IopIrpCount);
    IopGiveIrp(Irp);
}

VOID NTAPI IoReuseIrp(PIRP Irp, NTSTATUS Status)
{
    UCHAR Allocation = Irp->AllocationFlags;

    ASSERT(Irp->CancelRoutine == NULL);
    IoInitializeIrp(Irp, Irp->Size, Irp->StackCount);
    Irp->AllocationFlags = Allocation;
    Irp->IoStatus.Status = Status;
}

/* An IRP for DeviceObject's stack, with the thread and the caller's status block noted. */
static PIRP IopNewIrp(PDEVICE_OBJECT DeviceObject, ULONG MajorFunction, PIO_STATUS_BLOCK Iosb)
{
    PIRP Irp = IoAllocateIrp(DeviceObject->StackSize, FALSE);

    if (Irp != NULL) {
        IoGetNextIrpStackLocation(Irp)->MajorFunction = (UCHAR)MajorFunction;
        Irp->Tail.Overlay.Thread = PsGetCurrentThread();
        Irp->UserIosb = Iosb;
        Irp->RequestorMode = KernelMode;
    }
    return Irp;
}

/* Gives the IRP an MDL for a system buffer, locked. FALSE: no memory, or the buffer is not there. */
static BOOLEAN IopAttachLockedMdl(PIRP Irp, PVOID Buffer, ULONG Length, LOCK_OPERATION Operation)
{
    PMDL Mdl = IoAllocateMdl(Buffer, Length, FALSE, FALSE, NULL);

    if (Mdl == NULL) {
        return FALSE;
    }
    __try {
        MmProbeAndLockPages(Mdl, KernelMode, Operation);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        IoFreeMdl(Mdl);
        return FALSE;
    }
    Irp->MdlAddress = Mdl;
    return TRUE;
}

/* The buffer of a read or write, as the device wants it. */
static BOOLEAN IopAttachTransferBuffer(PIRP Irp, PDEVICE_OBJECT DeviceObject, PVOID Buffer, ULONG Length, BOOLEAN Write)
{
    if (Length == 0 || (DeviceObject->Flags & (DO_BUFFERED_IO | DO_DIRECT_IO)) == 0) {
        Irp->UserBuffer = Buffer;
        return TRUE;
    }
    if ((DeviceObject->Flags & DO_DIRECT_IO) != 0) {
        return IopAttachLockedMdl(Irp, Buffer, Length, Write ? IoReadAccess : IoWriteAccess);
    }
    Irp->AssociatedIrp.SystemBuffer = ExAllocatePoolWithTag(NonPagedPool, Length, IOP_TAG_BUFFER);
    if (Irp->AssociatedIrp.SystemBuffer == NULL) {
        return FALSE;
    }
    Irp->UserBuffer = Buffer;
    Irp->Flags |= Write ? (IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER) : IopBufferedInput;
    if (Write) {
        RtlCopyMemory(Irp->AssociatedIrp.SystemBuffer, Buffer, Length);
    }
    return TRUE;
}

PIRP NTAPI IoBuildAsynchronousFsdRequest(ULONG MajorFunction, PDEVICE_OBJECT DeviceObject, PVOID Buffer, ULONG Length,
                                         PLARGE_INTEGER StartingOffset, PIO_STATUS_BLOCK IoStatusBlock)
{
    PIO_STACK_LOCATION Stack;
    PIRP Irp = IopNewIrp(DeviceObject, MajorFunction, IoStatusBlock);

    if (Irp == NULL) {
        return NULL;
    }
    Stack = IoGetNextIrpStackLocation(Irp);
    if (MajorFunction != IRP_MJ_READ && MajorFunction != IRP_MJ_WRITE) {
        return Irp;
    }
    if (!IopAttachTransferBuffer(Irp, DeviceObject, Buffer, Length, MajorFunction == IRP_MJ_WRITE)) {
        IoFreeIrp(Irp);
        return NULL;
    }
    if (MajorFunction == IRP_MJ_READ) {
        Stack->Parameters.Read.Length = Length;
        Stack->Parameters.Read.ByteOffset.QuadPart = (StartingOffset != NULL) ? StartingOffset->QuadPart : 0;
    } else {
        Stack->Parameters.Write.Length = Length;
        Stack->Parameters.Write.ByteOffset.QuadPart = (StartingOffset != NULL) ? StartingOffset->QuadPart : 0;
    }
    return Irp;
}

PIRP NTAPI IoBuildSynchronousFsdRequest(ULONG MajorFunction, PDEVICE_OBJECT DeviceObject, PVOID Buffer, ULONG Length,
                                        PLARGE_INTEGER StartingOffset, PKEVENT Event, PIO_STATUS_BLOCK IoStatusBlock)
{
    PIRP Irp =
        IoBuildAsynchronousFsdRequest(MajorFunction, DeviceObject, Buffer, Length, StartingOffset, IoStatusBlock);

    if (Irp != NULL) {
        Irp->UserEvent = Event;
        Irp->Flags |= IRP_SYNCHRONOUS_API; /* the event is the caller's own, not a referenced object */
    }
    return Irp;
}

/* METHOD_BUFFERED, and the input of the direct methods. FALSE: no memory. */
static BOOLEAN IopAttachControlBuffer(PIRP Irp, PVOID Input, ULONG InputLength, PVOID Output, ULONG Length)
{
    if (Length == 0) {
        return TRUE;
    }
    Irp->AssociatedIrp.SystemBuffer = ExAllocatePoolWithTag(NonPagedPool, Length, IOP_TAG_BUFFER);
    if (Irp->AssociatedIrp.SystemBuffer == NULL) {
        return FALSE;
    }
    if (InputLength != 0) {
        RtlCopyMemory(Irp->AssociatedIrp.SystemBuffer, Input, InputLength);
    }
    Irp->Flags |= IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER | ((Output != NULL) ? IRP_INPUT_OPERATION : 0);
    Irp->UserBuffer = Output;
    return TRUE;
}

static BOOLEAN IopAttachControlBuffers(PIRP Irp, ULONG Method, PVOID Input, ULONG InputLength, PVOID Output,
                                       ULONG OutputLength)
{
    switch (Method) {
    case METHOD_BUFFERED:
        return IopAttachControlBuffer(Irp, Input, InputLength, Output, max(InputLength, OutputLength));
    case METHOD_NEITHER:
        Irp->UserBuffer = Output;
        IoGetNextIrpStackLocation(Irp)->Parameters.DeviceIoControl.Type3InputBuffer = Input;
        return TRUE;
    default:
        if (!IopAttachControlBuffer(Irp, Input, InputLength, NULL, InputLength)) {
            return FALSE;
        }
        if (OutputLength != 0 && !IopAttachLockedMdl(Irp, Output, OutputLength,
                                                     (Method == METHOD_IN_DIRECT) ? IoReadAccess : IoWriteAccess)) {
            if (Irp->AssociatedIrp.SystemBuffer != NULL) {
                ExFreePoolWithTag(Irp->AssociatedIrp.SystemBuffer, IOP_TAG_BUFFER);
            }
            return FALSE;
        }
        return TRUE;
    }
}

PIRP NTAPI IoBuildDeviceIoControlRequest(ULONG IoControlCode, PDEVICE_OBJECT DeviceObject, PVOID InputBuffer,
                                         ULONG InputBufferLength, PVOID OutputBuffer, ULONG OutputBufferLength,
                                         BOOLEAN InternalDeviceIoControl, PKEVENT Event, PIO_STATUS_BLOCK IoStatusBlock)
{
    PIRP Irp = IopNewIrp(DeviceObject, InternalDeviceIoControl ? IRP_MJ_INTERNAL_DEVICE_CONTROL : IRP_MJ_DEVICE_CONTROL,
                         IoStatusBlock);
    PIO_STACK_LOCATION Stack;

    if (Irp == NULL) {
        return NULL;
    }
    Stack = IoGetNextIrpStackLocation(Irp);
    Stack->Parameters.DeviceIoControl.IoControlCode = IoControlCode;
    Stack->Parameters.DeviceIoControl.InputBufferLength = InputBufferLength;
    Stack->Parameters.DeviceIoControl.OutputBufferLength = OutputBufferLength;
    if (!IopAttachControlBuffers(Irp, IoControlCode & 3, InputBuffer, InputBufferLength, OutputBuffer,
                                 OutputBufferLength)) {
        IoFreeIrp(Irp);
        return NULL;
    }
    Irp->UserEvent = Event;
    Irp->Flags |= IRP_SYNCHRONOUS_API;
    return Irp;
}

PIRP NTAPI IoMakeAssociatedIrp(PIRP Irp, CCHAR StackSize)
{
    PIRP Associated = IoAllocateIrp(StackSize, FALSE);

    if (Associated != NULL) {
        Associated->Flags |= IRP_ASSOCIATED_IRP;
        Associated->AssociatedIrp.MasterIrp = Irp;
        Associated->Tail.Overlay.Thread = Irp->Tail.Overlay.Thread;
        Associated->RequestorMode = Irp->RequestorMode;
    }
    return Associated;
}

PEPROCESS NTAPI IoGetRequestorProcess(PIRP Irp)
{
    return (Irp->Tail.Overlay.Thread != NULL) ? IoThreadToProcess(Irp->Tail.Overlay.Thread) : NULL;
}

PEPROCESS NTAPI IoThreadToProcess(PETHREAD Thread)
{
    return Thread->ThreadsProcess;
}

BOOLEAN NTAPI IoIsOperationSynchronous(PIRP Irp)
{
    PFILE_OBJECT File = Irp->Tail.Overlay.OriginalFileObject;

    if ((Irp->Flags & IRP_PAGING_IO) != 0) {
        return (Irp->Flags & IRP_SYNCHRONOUS_PAGING_IO) != 0;
    }
    return (Irp->Flags & IRP_SYNCHRONOUS_API) != 0 || (File != NULL && (File->Flags & FO_SYNCHRONOUS_IO) != 0);
}

PIRP NTAPI IoGetTopLevelIrp(VOID)
{
    return (PIRP)PsGetCurrentThread()->TopLevelIrp;
}

VOID NTAPI IoSetTopLevelIrp(PIRP Irp)
{
    PsGetCurrentThread()->TopLevelIrp = (ULONG_PTR)Irp;
}

/* What IoSetCompletionRoutineEx puts between the IRP and the driver's routine. */
typedef struct _IOP_COMPLETION_CALL {
    PDEVICE_OBJECT Device; /* referenced: keeps the driver's code until its routine has returned */
    PIO_COMPLETION_ROUTINE Routine;
    PVOID Context;
    UCHAR Control; /* what the driver asked for */
} IOP_COMPLETION_CALL, *PIOP_COMPLETION_CALL;

static NTSTATUS NTAPI IopCallCompletion(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    PIOP_COMPLETION_CALL Call = Context;
    PDEVICE_OBJECT Device = Call->Device;
    NTSTATUS Status = STATUS_CONTINUE_COMPLETION;
    UCHAR Wanted = NT_SUCCESS(Irp->IoStatus.Status) ? SL_INVOKE_ON_SUCCESS : SL_INVOKE_ON_ERROR;

    Wanted |= Irp->Cancel ? SL_INVOKE_ON_CANCEL : 0;
    if ((Call->Control & Wanted) != 0) {
        Status = Call->Routine(DeviceObject, Irp, Call->Context); /* the IRP may be gone */
    } else if (Irp->PendingReturned && Irp->CurrentLocation <= Irp->StackCount) {
        IoMarkIrpPending(Irp);
    }
    ExFreePoolWithTag(Call, IOP_TAG_IRP);
    ObfDereferenceObject(Device);
    return Status;
}

/**
 * IoSetCompletionRoutineEx - as IoSetCompletionRoutine, and the device is held until the routine has returned.
 *
 * returns  STATUS_SUCCESS; STATUS_INSUFFICIENT_RESOURCES: no routine is set
 *
 * IRQL <= DISPATCH_LEVEL. Source: WDK documentation of the routine.
 */
NTSTATUS NTAPI IoSetCompletionRoutineEx(PDEVICE_OBJECT DeviceObject, PIRP Irp, PIO_COMPLETION_ROUTINE CompletionRoutine,
                                        PVOID Context, BOOLEAN InvokeOnSuccess, BOOLEAN InvokeOnError,
                                        BOOLEAN InvokeOnCancel)
{
    PIOP_COMPLETION_CALL Call = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Call), IOP_TAG_IRP);

    if (Call == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    ObfReferenceObject(DeviceObject);
    Call->Device = DeviceObject;
    Call->Routine = CompletionRoutine;
    Call->Context = Context;
    Call->Control = (UCHAR)((InvokeOnSuccess ? SL_INVOKE_ON_SUCCESS : 0) | (InvokeOnError ? SL_INVOKE_ON_ERROR : 0) |
                            (InvokeOnCancel ? SL_INVOKE_ON_CANCEL : 0));
    IoSetCompletionRoutine(Irp, IopCallCompletion, Call, TRUE, TRUE, TRUE); /* always: the call must be freed */
    return STATUS_SUCCESS;
}
