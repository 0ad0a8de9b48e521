/*
 * complete.c - an IRP's way down a device stack, its way back, and its cancellation.
 *
 * Down: IofCallDriver gives the IRP the next lower stack location and enters the driver. Back: IofCompleteRequest walks the
 * locations upwards and calls the completion routine each driver left in the location below its own; a routine that returns
 * STATUS_MORE_PROCESSING_REQUIRED takes the IRP back. Past the top the I/O manager finishes the request: it copies buffered data, writes the
 * caller's status block, signals, and frees what it allocated.
 *
 * Where that last step runs depends on who asked. A request of a service (NtReadFile and its kin) ends in the thread that made it, where its
 * buffers and status block mean what they should: threadirp.c. A request that a driver built (IoBuildSynchronousFsdRequest and its
 * kin), an open, a close and paging I/O end in the completer's context, at <= DISPATCH_LEVEL: their buffers, status block and event are in
 * system space and resident, and none may depend on the delivery of APCs.
 *
 * Locks: none, except the cancel lock while a cancel routine is claimed. IRQL <= DISPATCH_LEVEL.
 */
#include <ntos/vf.h>

#include "iop.h"

volatile LONG64 IopIrpsCompleted, IopDiskReads, IopDiskReadBytes, IopDiskWrites, IopDiskWriteBytes;

static KSPIN_LOCK IopCancelLock;
VF_NAME_LOCK(IopCancelLock, "IopCancelLock");

/* Counts a transfer that is about to enter a device. */
static VOID IopCountTransfer(PDEVICE_OBJECT Device, PIO_STACK_LOCATION Stack)
{
    PIOP_DEVICE_EXTENSION Extension = IopExtension(Device);
    BOOLEAN Disk = Device->DeviceType == FILE_DEVICE_CD_ROM || Device->DeviceType == FILE_DEVICE_DISK;

    if (Stack->MajorFunction == IRP_MJ_READ) {
        InterlockedIncrement64(&Extension->Reads);
        InterlockedExchangeAdd64(&Extension->ReadBytes, Stack->Parameters.Read.Length);
        if (Disk) {
            InterlockedIncrement64(&IopDiskReads);
            InterlockedExchangeAdd64(&IopDiskReadBytes, Stack->Parameters.Read.Length);
        }
    } else {
        InterlockedIncrement64(&Extension->Writes);
        InterlockedExchangeAdd64(&Extension->WriteBytes, Stack->Parameters.Write.Length);
        if (Disk) {
            InterlockedIncrement64(&IopDiskWrites);
            InterlockedExchangeAdd64(&IopDiskWriteBytes, Stack->Parameters.Write.Length);
        }
    }
}

#if NT_CHK

/* Enters the driver, which must come back at the level it was entered at. */
static NTSTATUS IopDispatch(PDEVICE_OBJECT Device, PIRP Irp, UCHAR MajorFunction)
{
    PDRIVER_DISPATCH Routine = Device->DriverObject->MajorFunction[MajorFunction];
    KIRQL Irql = KeGetCurrentIrql();
    NTSTATUS Status = Routine(Device, Irp);

    if (KeGetCurrentIrql() != Irql) {
        VfReport(VfReportIrp, NULL, 0, NULL, 0, "dispatch routine %p of function 0x%02X came at IRQL %u, left at %u",
                 (PVOID)Routine, MajorFunction, Irql, KeGetCurrentIrql());
    }
    return Status;
}

/* What a driver must not have left in an IRP that it completes. */
static VOID IopCheckCompletion(PIRP Irp)
{
    if (Irp->CancelRoutine != NULL) {
        VfReport(VfReportIrp, NULL, 0, NULL, 0, "IRP %p is completed with its cancel routine still set", (PVOID)Irp);
    }
    if (Irp->IoStatus.Status == STATUS_PENDING || Irp->IoStatus.Status == (NTSTATUS)0xFFFFFFFF) {
        VfReport(VfReportIrp, NULL, 0, NULL, 0, "IRP %p is completed with status 0x%08lX", (PVOID)Irp,
                 (ULONG)Irp->IoStatus.Status);
    }
}

#else

static NTSTATUS IopDispatch(PDEVICE_OBJECT Device, PIRP Irp, UCHAR MajorFunction)
{
    return Device->DriverObject->MajorFunction[MajorFunction](Device, Irp);
}

#define IopCheckCompletion(Irp) ((void)0)

#endif

/**
 * IofCallDriver - sends an IRP to a device.
 *
 * @Irp     its next stack location is filled in
 * returns  what the driver's dispatch routine returns; STATUS_PENDING: completion comes later
 *
 * An IRP without a stack location left, or one that is not an IRP, is a bug check. IRQL: as the driver's dispatch routine allows.
 */
NTSTATUS FASTCALL IofCallDriver(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PIO_STACK_LOCATION Stack;

    if (Irp->Type != IOP_TYPE_IRP) {
        KeBugCheckEx(INCONSISTENT_IRP, (ULONG_PTR)Irp, (ULONG_PTR)DeviceObject, 0, 0);
    }
    Irp->CurrentLocation--;
    if (Irp->CurrentLocation <= 0) {
        KeBugCheckEx(NO_MORE_IRP_STACK_LOCATIONS, (ULONG_PTR)Irp, (ULONG_PTR)DeviceObject, 0, 0);
    }
    Stack = IoGetNextIrpStackLocation(Irp);
    Irp->Tail.Overlay.CurrentStackLocation = Stack;
    Stack->DeviceObject = DeviceObject;
    if (Stack->MajorFunction == IRP_MJ_READ || Stack->MajorFunction == IRP_MJ_WRITE) {
        IopCountTransfer(DeviceObject, Stack);
    }
    return IopDispatch(DeviceObject, Irp, Stack->MajorFunction);
}

/* Frees what hangs off an IRP that is done: the MDLs (already unlocked) and the system buffer. */
VOID IopFreeIrpResources(PIRP Irp)
{
    PMDL Mdl, Next;

    for (Mdl = Irp->MdlAddress; Mdl != NULL; Mdl = Next) {
        Next = Mdl->Next;
        IoFreeMdl(Mdl);
    }
    Irp->MdlAddress = NULL;
    if ((Irp->Flags & IRP_DEALLOCATE_BUFFER) != 0) {
        ExFreePoolWithTag(Irp->AssociatedIrp.SystemBuffer, IOP_TAG_BUFFER);
        Irp->Flags &= ~IRP_DEALLOCATE_BUFFER;
    }
    if (Irp->Tail.Overlay.AuxiliaryBuffer != NULL) {
        ExFreePoolWithTag(Irp->Tail.Overlay.AuxiliaryBuffer, IOP_TAG_BUFFER);
        Irp->Tail.Overlay.AuxiliaryBuffer = NULL;
    }
}

/* Paging I/O: the MDL and the event are Mm's; nothing is unlocked or copied. */
static VOID IopFinishPagingIo(PIRP Irp)
{
    PKEVENT Event = Irp->UserEvent;

    *Irp->UserIosb = Irp->IoStatus;
    IoFreeIrp(Irp);
    KeSetEvent(Event, IO_DISK_INCREMENT, FALSE);
}

/* One of several IRPs that a driver split its own into; the last one completes that. */
static VOID IopFinishAssociatedIrp(PIRP Irp, CCHAR PriorityBoost)
{
    PIRP Master = Irp->AssociatedIrp.MasterIrp;
    LONG Left = InterlockedDecrement(&Master->AssociatedIrp.IrpCount);

    Irp->Flags &= ~IRP_DEALLOCATE_BUFFER; /* the union holds MasterIrp, not a buffer */
    IopFreeIrpResources(Irp);
    IoFreeIrp(Irp);
    if (Left == 0) {
        IofCompleteRequest(Master, PriorityBoost);
    }
}

/* The MDLs' pages are free to move from here on. */
static VOID IopUnlockBuffers(PIRP Irp)
{
    for (PMDL Mdl = Irp->MdlAddress; Mdl != NULL; Mdl = Mdl->Next) {
        if ((Mdl->MdlFlags & MDL_PAGES_LOCKED) != 0) {
            MmUnlockPages(Mdl);
        }
    }
}

/* A request that belongs to nobody's service: the caller's memory is the kernel's. */
static VOID IopFinishRequest(PIRP Irp, CCHAR PriorityBoost)
{
    IO_STATUS_BLOCK Result = Irp->IoStatus;
    PKEVENT Event = Irp->UserEvent;
    PFILE_OBJECT File = Irp->Tail.Overlay.OriginalFileObject;
    ULONG Flags = Irp->Flags;

    if ((Flags & (IRP_BUFFERED_IO | IRP_INPUT_OPERATION)) == (IRP_BUFFERED_IO | IRP_INPUT_OPERATION) &&
        !NT_ERROR(Result.Status) && Result.Status != STATUS_VERIFY_REQUIRED && Irp->UserBuffer != NULL) {
        RtlCopyMemory(Irp->UserBuffer, Irp->AssociatedIrp.SystemBuffer, Result.Information);
    }
    if (Irp->UserIosb != NULL) {
        *Irp->UserIosb = Result;
    }
    IopFreeIrpResources(Irp);
    IoFreeIrp(Irp);
    if (File != NULL && (Event == NULL || (File->Flags & FO_SYNCHRONOUS_IO) != 0)) {
        File->FinalStatus = Result.Status;
        KeSetEvent(&File->Event, PriorityBoost, FALSE);
    }
    if (Event != NULL) {
        KeSetEvent(Event, PriorityBoost, FALSE);
        if ((Flags & IRP_SYNCHRONOUS_API) == 0) {
            ObfDereferenceObject(Event); /* referenced by handle for the request */
        }
    }
    if (File != NULL) {
        ObfDereferenceObject(File);
    }
}

/* Clears a location that completion has passed, except what the pass itself still needs. */
static VOID IopClearLocation(PIO_STACK_LOCATION Stack)
{
    Stack->MinorFunction = 0;
    Stack->Flags = 0;
    Stack->Control = 0;
    RtlZeroMemory(&Stack->Parameters, sizeof(Stack->Parameters));
    Stack->FileObject = NULL;
}

static BOOLEAN IopWantsCompletion(UCHAR Control, PIRP Irp)
{
    return (NT_SUCCESS(Irp->IoStatus.Status) && (Control & SL_INVOKE_ON_SUCCESS) != 0) ||
           (!NT_SUCCESS(Irp->IoStatus.Status) && (Control & SL_INVOKE_ON_ERROR) != 0) ||
           (Irp->Cancel && (Control & SL_INVOKE_ON_CANCEL) != 0);
}

/* Walks the stack locations upwards. FALSE: a completion routine took the IRP back. */
static BOOLEAN IopUnwindStack(PIRP Irp)
{
    while (Irp->CurrentLocation <= Irp->StackCount) {
        PIO_STACK_LOCATION Done = IoGetCurrentIrpStackLocation(Irp);
        PIO_COMPLETION_ROUTINE Routine = Done->CompletionRoutine;
        PVOID Context = Done->Context;
        UCHAR Control = Done->Control;
        PDEVICE_OBJECT Device;

        Irp->PendingReturned = (Control & SL_PENDING_RETURNED) != 0;
        Irp->CurrentLocation++;
        Irp->Tail.Overlay.CurrentStackLocation++;
        IopClearLocation(Done);
        if (IopWantsCompletion(Control, Irp)) {
            Device = (Irp->CurrentLocation > Irp->StackCount) ? NULL : IoGetCurrentIrpStackLocation(Irp)->DeviceObject;
            if (Routine(Device, Irp, Context) == STATUS_MORE_PROCESSING_REQUIRED) {
                return FALSE;
            }
        } else if (Irp->PendingReturned && Irp->CurrentLocation <= Irp->StackCount) {
            IoMarkIrpPending(Irp); /* no routine to pass the mark on */
        }
    }
    return TRUE;
}

/**
 * IofCompleteRequest - the driver is done with an IRP; IoStatus holds the outcome.
 *
 * @PriorityBoost  added to the priority of a thread that waits for it
 *
 * Completing an IRP twice is bug check MULTIPLE_IRP_COMPLETE_REQUESTS. IRQL <= DISPATCH_LEVEL.
 */
VOID FASTCALL IofCompleteRequest(PIRP Irp, CCHAR PriorityBoost)
{
    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    if (Irp->Type != IOP_TYPE_IRP || Irp->CurrentLocation > Irp->StackCount + 1) {
        KeBugCheckEx(MULTIPLE_IRP_COMPLETE_REQUESTS, (ULONG_PTR)Irp, (ULONG_PTR)Irp->Type, 0, 0);
    }
    IopCheckCompletion(Irp);
    if (!IopUnwindStack(Irp)) {
        return;
    }
    InterlockedIncrement64(&IopIrpsCompleted);
    if ((Irp->Flags & IRP_ASSOCIATED_IRP) != 0) {
        IopFinishAssociatedIrp(Irp, PriorityBoost);
    } else if ((Irp->Flags & IRP_PAGING_IO) != 0) {
        IopFinishPagingIo(Irp);
    } else {
        IopUnlockBuffers(Irp);
        if ((Irp->AllocationFlags & IOP_IRP_WAITED) != 0) {
            KeSetEvent(Irp->UserEvent, PriorityBoost, FALSE); /* the waiter's from here on */
        } else if ((Irp->AllocationFlags & IOP_IRP_THREADED) != 0) {
            IopFinishThreadIrp(Irp);
        } else {
            IopFinishRequest(Irp, PriorityBoost);
        }
    }
}

VOID NTAPI IoAcquireCancelSpinLock(PKIRQL Irql)
{
    KeAcquireSpinLock(&IopCancelLock, Irql);
}

VOID NTAPI IoReleaseCancelSpinLock(KIRQL Irql)
{
    KeReleaseSpinLock(&IopCancelLock, Irql);
}

/**
 * IoCancelIrp - asks for an IRP to be ended early.
 *
 * returns  TRUE: its cancel routine was called; FALSE: it has none, the driver will see Irp->Cancel
 *
 * The cancel routine is entered with the cancel lock held and releases it. IRQL <= DISPATCH_LEVEL.
 */
BOOLEAN NTAPI IoCancelIrp(PIRP Irp)
{
    PDRIVER_CANCEL Routine;
    KIRQL Irql;

    ASSERT(Irp->Type == IOP_TYPE_IRP);
    IoAcquireCancelSpinLock(&Irql);
    Irp->Cancel = TRUE;
    Routine = IoSetCancelRoutine(Irp, NULL);
    if (Routine == NULL) {
        IoReleaseCancelSpinLock(Irql);
        return FALSE;
    }
    Irp->CancelIrql = Irql;
    Routine(IoGetCurrentIrpStackLocation(Irp)->DeviceObject, Irp);
    return TRUE;
}

/* Completion routine of IoForwardIrpSynchronously: signals and keeps the IRP. */
static NTSTATUS NTAPI IopForwardDone(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    UNREFERENCED_PARAMETER(Irp);
    KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

BOOLEAN NTAPI IoForwardIrpSynchronously(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    KEVENT Done;

    if (Irp->CurrentLocation <= 1) {
        return FALSE;
    }
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    IoCopyCurrentIrpStackLocationToNext(Irp);
    IoSetCompletionRoutine(Irp, IopForwardDone, &Done, TRUE, TRUE, TRUE);
    if (IofCallDriver(DeviceObject, Irp) == STATUS_PENDING) {
        KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    }
    return TRUE;
}
