/*
 * request.c - the common path of the file services: from a handle to an IRP and its outcome.
 *
 * A service opens a request (file referenced, a synchronous file locked, the caller's event referenced), gives it an IRP and buffers,
 * fills in the stack location and issues it. Three ways to end:
 *
 *   synchronous   the file is synchronous, or the service always waits: the request waits for an event of its own and then
 *                 fills the caller's status block
 *   asynchronous  the service returns what the driver returned; completion fills the status block and signals the caller's
 *                 event or the file
 *   failed        IopFailRequest undoes everything before the IRP was sent
 *
 * The file stays referenced until completion: the IRP holds one reference, a waiting service a second. IRQL: PASSIVE_LEVEL.
 */
#include "iop.h"

/**
 * IopOpenRequest - begins a request on a file handle.
 *
 * @EventHandle  caller's event, or NULL; reset here
 * @Access       rights the handle must carry (checked for user mode only)
 * @Iosb         caller's status block
 * @AlwaysWait   TRUE: wait even on an asynchronous file
 * returns       STATUS_SUCCESS, or what the handles say; nothing is held after an error
 */
NTSTATUS IopOpenRequest(PIOP_REQUEST Request, HANDLE FileHandle, HANDLE EventHandle, ACCESS_MASK Access,
                        PIO_STATUS_BLOCK Iosb, BOOLEAN AlwaysWait)
{
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    RtlZeroMemory(Request, sizeof(*Request));
    Status = ObReferenceObjectByHandle(FileHandle, Access, IopFileObjectType, ExGetPreviousMode(),
                                       (PVOID *)&Request->File, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (EventHandle != NULL) {
        Status = ObReferenceObjectByHandle(EventHandle, EVENT_MODIFY_STATE, *ExEventObjectType, ExGetPreviousMode(),
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
        Request->FileLocked = TRUE;
        IopAcquireFileLock(Request->File);
    }
    KeClearEvent(&Request->File->Event);
    Request->Device = IoGetRelatedDeviceObject(Request->File);
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
    Irp->RequestorMode = ExGetPreviousMode();
    Irp->Tail.Overlay.Thread = PsGetCurrentThread();
    if (Request->Synchronous) {
        Irp->Flags |= IRP_SYNCHRONOUS_API;
        Irp->UserEvent = &Request->Done;
        Irp->UserIosb = &Request->Iosb;
    } else {
        Irp->UserEvent = Request->UserEvent;
        Irp->UserIosb = Request->UserIosb;
    }
    return STATUS_SUCCESS;
}

/* A system buffer with a copy of the input; Output, if not NULL, gets Information bytes of it back at completion. */
NTSTATUS IopSystemBuffer(PIOP_REQUEST Request, const VOID *Input, ULONG InputLength, PVOID Output, ULONG OutputLength)
{
    PIRP Irp = Request->Irp;
    ULONG Length = max(InputLength, OutputLength);

    if (Length == 0) {
        return STATUS_SUCCESS;
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
    __try {
        RtlCopyMemory(Irp->AssociatedIrp.SystemBuffer, Input, InputLength);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return STATUS_ACCESS_VIOLATION;
    }
    return STATUS_SUCCESS;
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
    return STATUS_SUCCESS;
}

/**
 * IopIssueRequest - sends the IRP and ends the request.
 *
 * returns  synchronous: the final status, the caller's status block filled; asynchronous: what the driver returned
 */
NTSTATUS IopIssueRequest(PIOP_REQUEST Request)
{
    PKEVENT Event = Request->UserEvent;
    NTSTATUS Status;

    ObfReferenceObject(Request->File); /* the IRP's, given up by completion */
    Request->Irp->Tail.Overlay.OriginalFileObject = Request->File;
    if (!Request->Synchronous) {
        Request->UserEvent = NULL; /* completion dereferences it */
        Status = IofCallDriver(Request->Device, Request->Irp);
        IopCloseRequest(Request);
        return Status;
    }
    Status = IofCallDriver(Request->Device, Request->Irp);
    if (Status == STATUS_PENDING) {
        KeWaitForSingleObject(&Request->Done, Executive, KernelMode, FALSE, NULL);
    }
    Status = Request->Iosb.Status;
    *Request->UserIosb = Request->Iosb;
    if (Event != NULL) {
        KeSetEvent(Event, IO_NO_INCREMENT, FALSE);
    }
    IopCloseRequest(Request);
    return Status;
}
