/*
 * threadirp.c - requests of services: the list each thread has of its own, their end in its context, and their cancellation.
 *
 * A request is on its thread's list (ETHREAD.IrpList) from before it is sent until it has ended. Where one that the service does not wait for ends:
 *
 *   the driver was done before it returned (PendingReturned is clear): the service ends the IRP itself, with no APC;
 *   later, in any context: completion queues a special kernel APC to the thread, which ends it at APC_LEVEL.
 *
 * To end an IRP is to copy its buffered data out, write the status block, signal the event or the file, queue the caller's APC or the packet for
 * the file's completion port, and free it. The list needs no lock: only its thread touches it, at APC_LEVEL.
 *
 * A thread that exits cancels what it has under way and waits for it, APCs delivered. A driver that does not let go in time loses the
 * thread: Tail.Overlay.Thread is exchanged for NULL, by completion or by the exiting thread, and whoever gets the pointer decides.
 * An IRP without a thread ends in the completer's context and writes nothing to its caller.
 */
#include <ntos/mm.h>
#include <ntos/user.h>

#include "iop.h"

#define IOP_CANCEL_PAUSE  (-100000LL) /* 10 ms between looks at the list */
#define IOP_CANCEL_ROUNDS 200         /* 2 s: far longer than a driver needs to run its cancel routine */

/* To memory of whoever made the request, by the mode it was made in: the APC may find its thread in another one. */
static NTSTATUS IopCopyToRequestor(PIRP Irp, PVOID To, const VOID *From, SIZE_T Bytes)
{
    if (Irp->RequestorMode != KernelMode) {
        return MmCopyToUser(To, From, Bytes);
    }
    RtlCopyMemory(To, From, Bytes);
    return STATUS_SUCCESS;
}

/* Copies buffered data to the caller. Returns the request's status, which the copy may change. */
static NTSTATUS IopCopyOut(PIRP Irp)
{
    const ULONG Both = IRP_BUFFERED_IO | IRP_INPUT_OPERATION;
    NTSTATUS Status = Irp->IoStatus.Status, Copied = STATUS_SUCCESS;

    if ((Irp->Flags & Both) != Both || NT_ERROR(Status) || Status == STATUS_VERIFY_REQUIRED ||
        Irp->UserBuffer == NULL) {
        return Status;
    }
    Copied = IopCopyToRequestor(Irp, Irp->UserBuffer, Irp->AssociatedIrp.SystemBuffer, Irp->IoStatus.Information);
    return NT_SUCCESS(Copied) ? Status : Copied;
}

/* The IRP is the APC's storage and goes when the routine is about to be called. */
static VOID NTAPI IopFreeApcIrp(PKAPC Apc, PKNORMAL_ROUTINE *Routine, PVOID *Context, PVOID *Argument1,
                                PVOID *Argument2)
{
    UNREFERENCED_PARAMETER(Routine);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    IoFreeIrp(CONTAINING_RECORD(Apc, IRP, Tail.Apc));
}

static VOID NTAPI IopRundownApcIrp(PKAPC Apc)
{
    IoFreeIrp(CONTAINING_RECORD(Apc, IRP, Tail.Apc));
}

/* The caller's routine will run in this thread: a normal kernel APC, or a user APC. */
static VOID IopQueueCallerApc(PIRP Irp)
{
    PIO_APC_ROUTINE Routine = Irp->Overlay.AsynchronousParameters.UserApcRoutine;
    PVOID Context = Irp->Overlay.AsynchronousParameters.UserApcContext;

    KeInitializeApc(&Irp->Tail.Apc, KeGetCurrentPrcb()->CurrentThread, CurrentApcEnvironment, IopFreeApcIrp,
                    IopRundownApcIrp, (PKNORMAL_ROUTINE)(PVOID)Routine, Irp->RequestorMode, Context);
    if (!KeInsertQueueApc(&Irp->Tail.Apc, Irp->UserIosb, NULL, IO_NO_INCREMENT)) {
        IoFreeIrp(Irp);
    }
}

/* Events: the caller's, or the file's. */
static VOID IopSignalEnd(PKEVENT Event, PFILE_OBJECT File, NTSTATUS Status)
{
    if (Event == NULL || (File->Flags & FO_SYNCHRONOUS_IO) != 0) {
        File->FinalStatus = Status;
        KeSetEvent(&File->Event, IO_NO_INCREMENT, FALSE);
    }
    if (Event != NULL) {
        KeSetEvent(Event, IO_NO_INCREMENT, FALSE);
        ObfDereferenceObject(Event);
    }
}

/**
 * IopCompleteInThread - ends a service's IRP in the thread that made it; IRP and its reference on the file are given up.
 *
 * @File    the IRP's file object
 * @Notify  FALSE: the service returns an error at once, so neither APC nor packet is queued
 *
 * IRQL: <= APC_LEVEL.
 */
VOID IopCompleteInThread(PIRP Irp, PFILE_OBJECT File, BOOLEAN Notify)
{
    PKEVENT Event = Irp->UserEvent;
    PVOID ApcContext = Irp->Overlay.AsynchronousParameters.UserApcContext;
    NTSTATUS Status;
    KIRQL Irql;

    ASSERT_IRQL_MAX(APC_LEVEL);
    KeRaiseIrql(APC_LEVEL, &Irql);
    RemoveEntryList(&Irp->ThreadListEntry); /* points to itself if it was on none */
    InitializeListHead(&Irp->ThreadListEntry);
    Irp->IoStatus.Status = IopCopyOut(Irp);
    Status = Irp->IoStatus.Status;
    IopCountRequest(Irp->Flags, NT_ERROR(Status) ? 0 : Irp->IoStatus.Information);
    IopCopyToRequestor(Irp, Irp->UserIosb, &Irp->IoStatus, sizeof(Irp->IoStatus)); /* gone since: the caller's loss */
    IopFreeIrpResources(Irp);
    if (Notify && Irp->Overlay.AsynchronousParameters.UserApcRoutine != NULL) {
        IopQueueCallerApc(Irp);
    } else if (Notify && File->CompletionContext != NULL && ApcContext != NULL) {
        IopPostIrp(File, Irp);
    } else {
        IoFreeIrp(Irp);
    }
    IopSignalEnd(Event, File, Status);
    KeLowerIrql(Irql);
    ObfDereferenceObject(File);
}

static VOID NTAPI IopCompletionApc(PKAPC Apc, PKNORMAL_ROUTINE *Routine, PVOID *Context, PVOID *Argument1,
                                   PVOID *Argument2)
{
    UNREFERENCED_PARAMETER(Routine);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument2);
    IopCompleteInThread(CONTAINING_RECORD(Apc, IRP, Tail.Apc), *Argument1, TRUE);
}

/* The thread has ended without it, which its own wait for its requests excludes; frees what can be freed anywhere. */
static VOID IopAbandonIrp(PIRP Irp, PFILE_OBJECT File)
{
    PKEVENT Event = Irp->UserEvent;

    IopFreeIrpResources(Irp);
    InitializeListHead(&Irp->ThreadListEntry);
    IoFreeIrp(Irp);
    if (Event != NULL) {
        ObfDereferenceObject(Event);
    }
    ObfDereferenceObject(File);
}

/* Completion has reached the top of a threaded IRP, in any context at <= DISPATCH_LEVEL. */
VOID IopFinishThreadIrp(PIRP Irp)
{
    PFILE_OBJECT File = Irp->Tail.Overlay.OriginalFileObject;
    PETHREAD Thread;

    if (!Irp->PendingReturned) {
        return; /* the service has not returned yet and ends it */
    }
    Thread = InterlockedExchangePointer((PVOID volatile *)&Irp->Tail.Overlay.Thread, NULL);
    if (Thread == NULL) {
        IopAbandonIrp(Irp, File);
        return;
    }
    /* the thread waits for its list to empty before it ends, so it takes APCs */
    if (Irp->Tail.Overlay.AuxiliaryBuffer != NULL) {
        ExFreePoolWithTag(Irp->Tail.Overlay.AuxiliaryBuffer, IOP_TAG_BUFFER); /* the APC is about to lie there */
    }
    KeInitializeApc(&Irp->Tail.Apc, &Thread->Tcb, (KAPC_ENVIRONMENT)Irp->ApcEnvironment, IopCompletionApc, NULL, NULL,
                    KernelMode, NULL);
    KeInsertQueueApc(&Irp->Tail.Apc, File, NULL, IO_NO_INCREMENT);
}

/* Puts an IRP on the current thread's list. IRQL: <= APC_LEVEL. */
VOID IopQueueThreadIrp(PIRP Irp)
{
    KIRQL Irql;

    KeRaiseIrql(APC_LEVEL, &Irql);
    InsertTailList(&PsGetCurrentThread()->IrpList, &Irp->ThreadListEntry);
    KeLowerIrql(Irql);
}

/* Cancels those of the thread's own requests that are meant. Returns how many there were. IRQL: <= APC_LEVEL. */
ULONG IopCancelOwn(const IOP_CANCEL_WISH *Wish)
{
    PETHREAD Thread = PsGetCurrentThread();
    ULONG Count = 0;
    KIRQL Irql;

    KeRaiseIrql(APC_LEVEL, &Irql); /* nothing on the list ends meanwhile */
    for (PLIST_ENTRY Link = Thread->IrpList.Flink; Link != &Thread->IrpList; Link = Link->Flink) {
        PIRP Irp = CONTAINING_RECORD(Link, IRP, ThreadListEntry);

        if (Irp->Tail.Overlay.Thread == Thread &&
            (Wish->File == NULL || Irp->Tail.Overlay.OriginalFileObject == Wish->File) &&
            (Wish->Block == NULL || Irp->UserIosb == Wish->Block) &&
            (!Wish->Waited || (Irp->AllocationFlags & IOP_IRP_WAITED) != 0)) {
            IoCancelIrp(Irp);
            Count++;
        }
    }
    KeLowerIrql(Irql);
    return Count;
}

/*
 * Is a request of the thread's own done, and only its APC on the way? Which one cannot be told: the APC lies where the IRP kept its thread
 * and file. IRQL: <= APC_LEVEL.
 */
BOOLEAN IopOwnIsEnding(VOID)
{
    PETHREAD Thread = PsGetCurrentThread();
    BOOLEAN Ending = FALSE;
    KIRQL Irql;

    KeRaiseIrql(APC_LEVEL, &Irql);
    for (PLIST_ENTRY Link = Thread->IrpList.Flink; Link != &Thread->IrpList && !Ending; Link = Link->Flink) {
        Ending = CONTAINING_RECORD(Link, IRP, ThreadListEntry)->Tail.Overlay.Thread != Thread;
    }
    KeLowerIrql(Irql);
    return Ending;
}

/* Takes from the list what no driver gives back. */
static VOID IopDisassociate(PETHREAD Thread)
{
    KIRQL Irql;

    KeRaiseIrql(APC_LEVEL, &Irql);
    for (PLIST_ENTRY Link = Thread->IrpList.Flink, Next; Link != &Thread->IrpList; Link = Next) {
        PIRP Irp = CONTAINING_RECORD(Link, IRP, ThreadListEntry);

        Next = Link->Flink;
        RemoveEntryList(Link);
        InitializeListHead(Link);
        if (InterlockedExchangePointer((PVOID volatile *)&Irp->Tail.Overlay.Thread, NULL) == NULL) {
            InsertTailList(Next, Link); /* its APC is on the way after all */
        }
    }
    KeLowerIrql(Irql);
}

/**
 * IoCancelThreadIo - cancels every request the current thread has under way and waits until they have ended.
 *
 * Called by a thread that exits, while it still takes APCs. After IOP_CANCEL_ROUNDS the requests that are left are taken from the thread.
 * IRQL: PASSIVE_LEVEL.
 */
VOID IoCancelThreadIo(VOID)
{
    PETHREAD Thread = PsGetCurrentThread();
    LARGE_INTEGER Pause = {.QuadPart = IOP_CANCEL_PAUSE};

    if (IsListEmpty(&Thread->IrpList)) {
        return;
    }
    IopCancelOwn(&(IOP_CANCEL_WISH){0});
    for (ULONG Round = 0; !IsListEmpty(&Thread->IrpList); Round++) {
        if (Round == IOP_CANCEL_ROUNDS) {
            IopDisassociate(Thread);
        }
        KeDelayExecutionThread(KernelMode, FALSE, &Pause);
    }
}
