/*
 * request.c - the common path of the file services: from a handle to an IRP and its outcome.
 *
 * A service opens a request (file referenced, a synchronous file locked, the caller's event referenced), gives it an IRP and buffers,
 * fills in the stack location and issues it. Three ways to end:
 *
 *   synchronous   the file is synchronous, or the service always waits: the request waits for an event of its own and then
 *                 ends the IRP itself. A file that was opened alertable lets an alert or a user APC end the wait: the IRP is cancelled
 *                 and waited for.
 *   asynchronous  the service returns what the driver returned; the IRP is on the thread's list and ends in its context (threadirp.c)
 *   failed        IopFailRequest undoes everything before the IRP was sent
 *
 * What a caller in user mode points at is probed here, and copied with ExCopyFromCaller and ExCopyToCaller only. The file stays
 * referenced until completion: the IRP holds one reference, a waiting service a second. IRQL: PASSIVE_LEVEL.
 */
#include <ntos/user.h>

#include "iop.h"

/* Checks what a user-mode caller points at; the kernel is believed. */
NTSTATUS IopProbe(PIOP_REQUEST Request, PVOID Address, SIZE_T Length, ULONG Alignment, BOOLEAN Write)
{
    if (Request->Mode == KernelMode) {
        return STATUS_SUCCESS;
    }
    __try {
        if (Write) {
            ProbeForWrite(Address, Length, Alignment);
        } else {
            ProbeForRead(Address, Length, Alignment);
        }
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return GetExceptionCode();
    }
    return STATUS_SUCCESS;
}

/* Gives everything up that IopOpenRequest took, except what the IRP took over. */
static VOID IopCloseRequest(PIOP_REQUEST Request)
{
    if (Request->FileLocked) {
        IopReleaseFileLock(Request->File);
    }
    if (Request->UserEvent != NULL) {
        ObfDereferenceObject(Request->UserEvent);
    }
    ObfDereferenceObject(Request->File);
}

/**
 * IopOpenRequest - begins a request on a file handle.
 *
 * @EventHandle  caller's event, or NULL; reset here
 * @Access       rights the handle must carry (checked for user mode only)
 * @Iosb         caller's status block
 * @AlwaysWait   TRUE: wait even on an asynchronous file
 * returns       STATUS_SUCCESS, what the handles say, or STATUS_CANCELLED (IopAcquireFileLock); nothing is held after an error
 */
NTSTATUS IopOpenRequest(PIOP_REQUEST Request, HANDLE FileHandle, HANDLE EventHandle, ACCESS_MASK Access,
                        PIO_STATUS_BLOCK Iosb, BOOLEAN AlwaysWait)
{
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    RtlZeroMemory(Request, sizeof(*Request));
    Request->Mode = ExGetPreviousMode();
    Status = IopProbe(Request, Iosb, sizeof(*Iosb), sizeof(ULONG), TRUE);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status =
        ObReferenceObjectByHandle(FileHandle, Access, IopFileObjectType, Request->Mode, (PVOID *)&Request->File, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (EventHandle != NULL) {
        Status = ObReferenceObjectByHandle(EventHandle, EVENT_MODIFY_STATE, *ExEventObjectType, Request->Mode,
                                           (PVOID *)&Request->UserEvent, NULL);
        if (!NT_SUCCESS(Status)) {
            ObfDereferenceObject(Request->File);
            return Status;
        }
        KeClearEvent(Request->UserEvent);
    }
    KeInitializeEvent(&Request->Done, NotificationEvent, FALSE);
    Request->UserIosb = Iosb;
    Request->Synchronous = AlwaysWait;
    if ((Request->File->Flags & FO_SYNCHRONOUS_IO) != 0) {
        Request->Synchronous = TRUE;
        Status = IopAcquireFileLock(Request->File, Request->Mode);
        if (!NT_SUCCESS(Status)) {
            IopCloseRequest(Request);
            return Status;
        }
        Request->FileLocked = TRUE;
    }
    KeClearEvent(&Request->File->Event);
    Request->Device = IoGetRelatedDeviceObject(Request->File);
    return STATUS_SUCCESS;
}

/* What is to happen at the end besides events. STATUS_INVALID_PARAMETER: a file with a port takes no APC routine. */
NTSTATUS IopSetCompletion(PIOP_REQUEST Request, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext)
{
    if (ApcRoutine != NULL && Request->File->CompletionContext != NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    Request->ApcRoutine = ApcRoutine;
    Request->ApcContext = ApcContext;
    return STATUS_SUCCESS;
}

/* Ends a request that the I/O manager answered itself: the caller's status block, the file's event and the caller's. */
NTSTATUS IopFinishAnswered(PIOP_REQUEST Request, NTSTATUS Status, ULONG_PTR Information)
{
    IO_STATUS_BLOCK Iosb = {.Status = Status, .Information = Information};

    ASSERT(Request->Irp == NULL);
    ExCopyToCaller(Request->UserIosb, &Iosb, sizeof(Iosb)); /* probed at the start; gone since: the caller's loss */
    if (Request->UserEvent != NULL) {
        KeSetEvent(Request->UserEvent, IO_NO_INCREMENT, FALSE);
    }
    KeSetEvent(&Request->File->Event, IO_NO_INCREMENT, FALSE);
    return IopFailRequest(Request, Status);
}

/* Ends a request that was not issued; returns Status. */
NTSTATUS IopFailRequest(PIOP_REQUEST Request, NTSTATUS Status)
{
    if (Request->Irp != NULL) {
        for (PMDL Mdl = Request->Irp->MdlAddress; Mdl != NULL; Mdl = Mdl->Next) {
            MmUnlockPages(Mdl);
        }
        IopFreeIrpResources(Request->Irp);
        IoFreeIrp(Request->Irp);
    }
    IopCloseRequest(Request);
    return Status;
}

/* Gives the request its IRP. STATUS_INSUFFICIENT_RESOURCES: the caller calls IopFailRequest, as after every later error. */
NTSTATUS IopAllocateRequestIrp(PIOP_REQUEST Request, UCHAR MajorFunction, UCHAR MinorFunction)
{
    PIRP Irp = IoAllocateIrp(Request->Device->StackSize, FALSE);

    if (Irp == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Request->Irp = Irp;
    Request->Stack = IoGetNextIrpStackLocation(Irp);
    Request->Stack->MajorFunction = MajorFunction;
    Request->Stack->MinorFunction = MinorFunction;
    Request->Stack->FileObject = Request->File;
    Irp->RequestorMode = Request->Mode;
    Irp->Tail.Overlay.Thread = PsGetCurrentThread();
    Irp->Overlay.AsynchronousParameters.UserApcRoutine = Request->ApcRoutine;
    Irp->Overlay.AsynchronousParameters.UserApcContext = Request->ApcContext;
    if (Request->Synchronous) {
        Irp->Flags |= IRP_SYNCHRONOUS_API;
        Irp->AllocationFlags |= IOP_IRP_WAITED;
        Irp->UserEvent = &Request->Done;
    } else {
        Irp->AllocationFlags |= IOP_IRP_THREADED;
        Irp->UserEvent = Request->UserEvent;
    }
    Irp->UserIosb = Request->UserIosb;
    return STATUS_SUCCESS;
}

/* A system buffer with a copy of the input; Output, if not NULL, gets Information bytes of it back at completion. */
NTSTATUS IopSystemBuffer(PIOP_REQUEST Request, const VOID *Input, ULONG InputLength, PVOID Output, ULONG OutputLength)
{
    PIRP Irp = Request->Irp;
    ULONG Length = max(InputLength, OutputLength);
    NTSTATUS Status = STATUS_SUCCESS;

    if (Length == 0) {
        return STATUS_SUCCESS;
    }
    if (OutputLength != 0) {
        Status = IopProbe(Request, Output, OutputLength, sizeof(UCHAR), TRUE);
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
    }
    Irp->AssociatedIrp.SystemBuffer = ExAllocatePoolWithTag(NonPagedPool, Length, IOP_TAG_BUFFER);
    if (Irp->AssociatedIrp.SystemBuffer == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Irp->Flags |= IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER;
    if (Output != NULL) {
        Irp->Flags |= IRP_INPUT_OPERATION;
        Irp->UserBuffer = Output;
    }
    if (InputLength < Length) {
        RtlZeroMemory(Irp->AssociatedIrp.SystemBuffer, Length);
    }
    if (Request->Mode != KernelMode) {
        return ExCopyFromCaller(Irp->AssociatedIrp.SystemBuffer, Input, InputLength);
    }
    __try {
        RtlCopyMemory(Irp->AssociatedIrp.SystemBuffer, Input, InputLength);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Status = STATUS_ACCESS_VIOLATION;
    }
    return Status;
}

/* A locked MDL for the caller's buffer. */
NTSTATUS IopLockBuffer(PIOP_REQUEST Request, PVOID Buffer, ULONG Length, LOCK_OPERATION Operation)
{
    PMDL Mdl;
    NTSTATUS Status = STATUS_SUCCESS;

    if (Length == 0) {
        return STATUS_SUCCESS;
    }
    Mdl = IoAllocateMdl(Buffer, Length, FALSE, FALSE, NULL);
    if (Mdl == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    __try {
        MmProbeAndLockPages(Mdl, Request->Irp->RequestorMode, Operation);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Status = GetExceptionCode();
    }
    if (!NT_SUCCESS(Status)) {
        IoFreeMdl(Mdl);
        return Status;
    }
    Request->Irp->MdlAddress = Mdl;
    return STATUS_SUCCESS;
}

/* The buffer of a transfer in the form the device asked for. */
NTSTATUS IopTransferBuffer(PIOP_REQUEST Request, PVOID Buffer, ULONG Length, BOOLEAN ToDevice)
{
    if ((Request->Device->Flags & DO_BUFFERED_IO) != 0) {
        return ToDevice ? IopSystemBuffer(Request, Buffer, Length, NULL, 0)
                        : IopSystemBuffer(Request, NULL, 0, Buffer, Length);
    }
    if ((Request->Device->Flags & DO_DIRECT_IO) != 0) {
        return IopLockBuffer(Request, Buffer, Length, ToDevice ? IoReadAccess : IoWriteAccess);
    }
    Request->Irp->UserBuffer = Buffer;
    if (Request->Mode == KernelMode) {
        return STATUS_SUCCESS;
    }
    /* Neither: the driver could take the program's address. It gets the locked pages too, which stay what they are. */
    return IopLockBuffer(Request, Buffer, Length, ToDevice ? IoReadAccess : IoWriteAccess);
}

/* Waits for the IRP, which stays the request's. An alertable file's wait may be ended early: the IRP is cancelled then. */
static VOID IopWaitForRequest(PIOP_REQUEST Request)
{
    BOOLEAN Alertable = Request->FileLocked && (Request->File->Flags & FO_ALERTABLE_IO) != 0;
    NTSTATUS Status = KeWaitForSingleObject(&Request->Done, Executive, Request->Mode, Alertable, NULL);

    if (Status == STATUS_ALERTED || Status == STATUS_USER_APC) {
        IoCancelIrp(Request->Irp);
        KeWaitForSingleObject(&Request->Done, Executive, KernelMode, FALSE, NULL);
    }
}

/**
 * IopIssueRequest - sends the IRP and ends the request.
 *
 * returns  synchronous: the final status, the caller's status block filled; asynchronous: what the driver returned
 */
NTSTATUS IopIssueRequest(PIOP_REQUEST Request)
{
    PIRP Irp = Request->Irp;
    PKEVENT Event = Request->UserEvent;
    NTSTATUS Status;

    ObfReferenceObject(Request->File); /* the IRP's, given up by completion */
    Irp->Tail.Overlay.OriginalFileObject = Request->File;
    Request->UserEvent = NULL; /* completion dereferences it */
    IopQueueThreadIrp(Irp);
    if (!Request->Synchronous) {
        Status = IofCallDriver(Request->Device, Irp);
        if (Status != STATUS_PENDING) {
            IopCompleteInThread(Irp, Request->File, !NT_ERROR(Status));
        }
        IopCloseRequest(Request);
        return Status;
    }
    if (IofCallDriver(Request->Device, Irp) == STATUS_PENDING) {
        IopWaitForRequest(Request);
    }
    Status = Irp->IoStatus.Status;
    Irp->UserEvent = Event;
    IopCompleteInThread(Irp, Request->File, TRUE);
    IopCloseRequest(Request);
    return Status;
}
