/*
 * csq.c - cancel-safe queues: the race between taking a request from a driver's queue and its cancellation, decided once for all drivers.
 *
 * The driver keeps the queue and its lock and gives routines for both. While an IRP is queued its cancel routine is ours; whoever takes
 * that routine away by IoSetCancelRoutine owns the IRP: the taker gives it to the driver, the canceller takes it from
 * the queue and has the driver complete it. DriverContext[3] of a queued IRP leads back to the queue, directly or through the context
 * that was given on insertion; a context whose Irp is NULL has lost it.
 *
 * Lock: the driver's, taken through its routines; the cancel lock is released before. IRQL <= DISPATCH_LEVEL, or as the
 * driver's lock allows. Source: WDK documentation of the IoCsq routines.
 */
#include "iop.h"

#define IOP_CSQ_SLOT 3 /* of DriverContext, as documented */

static PIO_CSQ_IRP_CONTEXT IopCsqContext(PIRP Irp)
{
    PIO_CSQ_IRP_CONTEXT Context = Irp->Tail.Overlay.DriverContext[IOP_CSQ_SLOT];

    return (Context != NULL && Context->Type == IO_TYPE_CSQ_IRP_CONTEXT) ? Context : NULL;
}

/* The IRP is off its queue; a context forgets it. Lock held. */
static VOID IopCsqForget(PIRP Irp)
{
    PIO_CSQ_IRP_CONTEXT Context = IopCsqContext(Irp);

    if (Context != NULL) {
        Context->Irp = NULL;
    }
    Irp->Tail.Overlay.DriverContext[IOP_CSQ_SLOT] = NULL;
}

static VOID NTAPI IopCsqCancel(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PIO_CSQ_IRP_CONTEXT Context;
    PIO_CSQ Csq;
    KIRQL Irql;

    UNREFERENCED_PARAMETER(DeviceObject);
    IoReleaseCancelSpinLock(Irp->CancelIrql);
    Context = IopCsqContext(Irp);
    Csq = (Context != NULL) ? Context->Csq : Irp->Tail.Overlay.DriverContext[IOP_CSQ_SLOT];
    Csq->ReservePointer = NULL;
    Csq->CsqAcquireLock(Csq, &Irql);
    Csq->CsqRemoveIrp(Csq, Irp);
    IopCsqForget(Irp);
    Csq->CsqReleaseLock(Csq, Irql);
    Csq->CsqCompleteCanceledIrp(Csq, Irp);
}

NTSTATUS NTAPI IoCsqInitialize(PIO_CSQ Csq, PIO_CSQ_INSERT_IRP CsqInsertIrp, PIO_CSQ_REMOVE_IRP CsqRemoveIrp,
                               PIO_CSQ_PEEK_NEXT_IRP CsqPeekNextIrp, PIO_CSQ_ACQUIRE_LOCK CsqAcquireLock,
                               PIO_CSQ_RELEASE_LOCK CsqReleaseLock,
                               PIO_CSQ_COMPLETE_CANCELED_IRP CsqCompleteCanceledIrp)
{
    *Csq = (IO_CSQ){.Type = IO_TYPE_CSQ,
                    .CsqInsertIrp = CsqInsertIrp,
                    .CsqRemoveIrp = CsqRemoveIrp,
                    .CsqPeekNextIrp = CsqPeekNextIrp,
                    .CsqAcquireLock = CsqAcquireLock,
                    .CsqReleaseLock = CsqReleaseLock,
                    .CsqCompleteCanceledIrp = CsqCompleteCanceledIrp};
    return STATUS_SUCCESS;
}

/* A queue whose insertion routine takes a context and may refuse. */
NTSTATUS NTAPI IoCsqInitializeEx(PIO_CSQ Csq, PIO_CSQ_INSERT_IRP_EX CsqInsertIrp, PIO_CSQ_REMOVE_IRP CsqRemoveIrp,
                                 PIO_CSQ_PEEK_NEXT_IRP CsqPeekNextIrp, PIO_CSQ_ACQUIRE_LOCK CsqAcquireLock,
                                 PIO_CSQ_RELEASE_LOCK CsqReleaseLock,
                                 PIO_CSQ_COMPLETE_CANCELED_IRP CsqCompleteCanceledIrp)
{
    IoCsqInitialize(Csq, (PIO_CSQ_INSERT_IRP)(PVOID)CsqInsertIrp, CsqRemoveIrp, CsqPeekNextIrp, CsqAcquireLock,
                    CsqReleaseLock, CsqCompleteCanceledIrp);
    Csq->Type = IO_TYPE_CSQ_EX;
    return STATUS_SUCCESS;
}

static NTSTATUS IopCsqInsert(PIO_CSQ Csq, PIRP Irp, PVOID InsertContext)
{
    if (Csq->Type == IO_TYPE_CSQ_EX) {
        return ((PIO_CSQ_INSERT_IRP_EX)(PVOID)Csq->CsqInsertIrp)(Csq, Irp, InsertContext);
    }
    Csq->CsqInsertIrp(Csq, Irp);
    return STATUS_SUCCESS;
}

/**
 * IoCsqInsertIrpEx - queues an IRP and marks it pending.
 *
 * @Context        for IoCsqRemoveIrp, the caller's storage until the IRP is out of the queue; NULL: none
 * @InsertContext  for the insertion routine of IoCsqInitializeEx
 * returns         STATUS_SUCCESS, or what the insertion routine says: the IRP is then still the caller's
 *
 * An IRP that was cancelled before is completed here.
 */
NTSTATUS NTAPI IoCsqInsertIrpEx(PIO_CSQ Csq, PIRP Irp, PIO_CSQ_IRP_CONTEXT Context, PVOID InsertContext)
{
    NTSTATUS Status;
    KIRQL Irql;

    if (Context != NULL) {
        *Context = (IO_CSQ_IRP_CONTEXT){.Type = IO_TYPE_CSQ_IRP_CONTEXT, .Irp = Irp, .Csq = Csq};
    }
    Irp->Tail.Overlay.DriverContext[IOP_CSQ_SLOT] = (Context != NULL) ? (PVOID)Context : (PVOID)Csq;
    Csq->ReservePointer = NULL;
    Csq->CsqAcquireLock(Csq, &Irql);
    Status = IopCsqInsert(Csq, Irp, InsertContext);
    if (!NT_SUCCESS(Status)) {
        IopCsqForget(Irp);
        Csq->CsqReleaseLock(Csq, Irql);
        return Status;
    }
    IoMarkIrpPending(Irp);
    IoSetCancelRoutine(Irp, IopCsqCancel);
    if (Irp->Cancel && IoSetCancelRoutine(Irp, NULL) != NULL) {
        Csq->CsqRemoveIrp(Csq, Irp);
        IopCsqForget(Irp);
        Csq->CsqReleaseLock(Csq, Irql);
        Csq->CsqCompleteCanceledIrp(Csq, Irp);
        return STATUS_SUCCESS;
    }
    Csq->CsqReleaseLock(Csq, Irql);
    return STATUS_SUCCESS;
}

VOID NTAPI IoCsqInsertIrp(PIO_CSQ Csq, PIRP Irp, PIO_CSQ_IRP_CONTEXT Context)
{
    IoCsqInsertIrpEx(Csq, Irp, Context, NULL);
}

/* The IRP that was inserted with Context, now the caller's; NULL: it was taken or is being cancelled. */
PIRP NTAPI IoCsqRemoveIrp(PIO_CSQ Csq, PIO_CSQ_IRP_CONTEXT Context)
{
    PIRP Irp;
    KIRQL Irql;

    Csq->ReservePointer = NULL;
    Csq->CsqAcquireLock(Csq, &Irql);
    Irp = Context->Irp;
    if (Irp != NULL && IoSetCancelRoutine(Irp, NULL) == NULL) {
        Irp = NULL; /* the cancel routine waits for the lock */
    }
    if (Irp != NULL) {
        Csq->CsqRemoveIrp(Csq, Irp);
        IopCsqForget(Irp);
    }
    Csq->CsqReleaseLock(Csq, Irql);
    return Irp;
}

/* The next IRP that the driver's peek routine finds for PeekContext, now the caller's; NULL: there is none. */
PIRP NTAPI IoCsqRemoveNextIrp(PIO_CSQ Csq, PVOID PeekContext)
{
    PIRP Irp = NULL;
    KIRQL Irql;

    Csq->ReservePointer = NULL;
    Csq->CsqAcquireLock(Csq, &Irql);
    while ((Irp = Csq->CsqPeekNextIrp(Csq, Irp, PeekContext)) != NULL && IoSetCancelRoutine(Irp, NULL) == NULL) {
        /* being cancelled: leave it to its cancel routine, look further */
    }
    if (Irp != NULL) {
        Csq->CsqRemoveIrp(Csq, Irp);
        IopCsqForget(Irp);
    }
    Csq->CsqReleaseLock(Csq, Irql);
    return Irp;
}
