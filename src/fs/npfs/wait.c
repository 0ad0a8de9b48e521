/*
 * wait.c - FSCTL_PIPE_WAIT: waiting until some instance of a pipe listens.
 *
 * A waiter is an IRP on a list, with a timer. It ends when an instance of that name begins to listen, when the name goes away, when
 * the time is over, when it is cancelled, or when its handle is closed. Whoever takes the IRP's cancel routine away ends it; the waiter's memory goes
 * with the last of its two holders, the IRP and the timer that is armed.
 *
 * A waiter is listed with the resource held, as instances begin to listen, so that none is missed. Lock: NpWaitLock (npfs.sys/spin), inside the
 * resource; no other spin lock is held with it. IRQL: PASSIVE_LEVEL; the timer's and cancel routine DISPATCH_LEVEL.
 */
#include "np.h"

typedef struct _NP_WAITER {
    LIST_ENTRY Link; /* while Irp is its */
    PIRP Irp;        /* NULL: it was taken and ends elsewhere */
    PFILE_OBJECT File;
    KTIMER Timer;
    KDPC Dpc;
    volatile LONG Holders;
    PNP_PIPE Pipe; /* (c) for comparing: it has ended its waiters before it goes */
} NP_WAITER, *PNP_WAITER;

static KSPIN_LOCK NpWaitLock;
static LIST_ENTRY NpWaiters; /* (NpWaitLock) */

VOID NpInitializeWaiters(VOID)
{
    KeInitializeSpinLock(&NpWaitLock);
    InitializeListHead(&NpWaiters);
}

static VOID NpReleaseWaiter(PNP_WAITER Waiter)
{
    if (InterlockedDecrement(&Waiter->Holders) == 0) {
        ExFreePoolWithTag(Waiter, NP_TAG_WAIT);
    }
}

/* The IRP leaves its waiter. NpWaitLock held; afterwards the caller disarms the timer. */
static PIRP NpUnlink(PNP_WAITER Waiter)
{
    PIRP Irp = Waiter->Irp;

    RemoveEntryList(&Waiter->Link);
    Waiter->Irp = NULL;
    return Irp;
}

/* Gives up the IRP's hold, and the timer's, unless that runs already and will do so itself. */
static VOID NpEndWaiter(PNP_WAITER Waiter)
{
    if (KeCancelTimer(&Waiter->Timer)) {
        NpReleaseWaiter(Waiter);
    }
    NpReleaseWaiter(Waiter);
}

static VOID NTAPI NpCancelWait(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PNP_WAITER Waiter = Irp->Tail.Overlay.DriverContext[0];
    KIRQL Irql;

    UNREFERENCED_PARAMETER(DeviceObject);
    IoReleaseCancelSpinLock(Irp->CancelIrql);
    KeAcquireSpinLock(&NpWaitLock, &Irql);
    NpUnlink(Waiter);
    KeReleaseSpinLock(&NpWaitLock, Irql);
    NpEndWaiter(Waiter);
    NpComplete(Irp, STATUS_CANCELLED, 0);
}

static VOID NTAPI NpWaitExpired(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PNP_WAITER Waiter = Context;
    PIRP Irp = NULL;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KeAcquireSpinLockAtDpcLevel(&NpWaitLock);
    if (Waiter->Irp != NULL && NpTake(Waiter->Irp)) {
        Irp = NpUnlink(Waiter);
    }
    KeReleaseSpinLockFromDpcLevel(&NpWaitLock);
    if (Irp != NULL) {
        NpReleaseWaiter(Waiter); /* the IRP's hold */
        NpComplete(Irp, STATUS_IO_TIMEOUT, 0);
    }
    NpReleaseWaiter(Waiter); /* the timer's */
}

/**
 * NpWakeWaiters - ends those who wait for a pipe, or through a file object.
 *
 * @Pipe  NULL: any
 * @File  NULL: any
 *
 * IRQL: PASSIVE_LEVEL. Locks: the resource may be held; requests are completed here all the same, as nobody's completion needs it.
 */
VOID NpWakeWaiters(PNP_PIPE Pipe, PFILE_OBJECT File, NTSTATUS Status)
{
    LIST_ENTRY Woken;
    KIRQL Irql;

    InitializeListHead(&Woken);
    KeAcquireSpinLock(&NpWaitLock, &Irql);
    for (PLIST_ENTRY Link = NpWaiters.Flink, Next; Link != &NpWaiters; Link = Next) {
        PNP_WAITER Waiter = CONTAINING_RECORD(Link, NP_WAITER, Link);

        Next = Link->Flink;
        if ((Pipe == NULL || Waiter->Pipe == Pipe) && (File == NULL || Waiter->File == File) && NpTake(Waiter->Irp)) {
            NpFinish(&Woken, NpUnlink(Waiter), Status, 0);
        }
    }
    KeReleaseSpinLock(&NpWaitLock, Irql);
    for (PLIST_ENTRY Link = Woken.Flink; Link != &Woken; Link = Link->Flink) {
        NpEndWaiter(CONTAINING_RECORD(Link, IRP, Tail.Overlay.ListEntry)->Tail.Overlay.DriverContext[0]);
    }
    NpCompleteAll(&Woken);
}

/* Does an instance of the pipe listen? Resource held. */
static BOOLEAN NpSomeoneListens(PNP_PIPE Pipe)
{
    for (PLIST_ENTRY Link = Pipe->Instances.Flink; Link != &Pipe->Instances; Link = Link->Flink) {
        if (CONTAINING_RECORD(Link, NP_INSTANCE, Link)->State == FILE_PIPE_LISTENING_STATE) {
            return TRUE;
        }
    }
    return FALSE;
}

/* Lists the waiter and starts its time. Returns STATUS_PENDING, or STATUS_CANCELLED: it was before, and is the caller's. */
static NTSTATUS NpBeginWait(PNP_WAITER Waiter, PIRP Irp, LARGE_INTEGER Timeout)
{
    BOOLEAN Forever = Timeout.QuadPart == MINLONGLONG;
    KIRQL Irql;

    KeInitializeTimer(&Waiter->Timer);
    KeInitializeDpc(&Waiter->Dpc, NpWaitExpired, Waiter);
    Waiter->Holders = Forever ? 1 : 2;
    Waiter->Irp = Irp;
    Irp->Tail.Overlay.DriverContext[0] = Waiter;
    KeAcquireSpinLock(&NpWaitLock, &Irql);
    IoSetCancelRoutine(Irp, NpCancelWait);
    if (Irp->Cancel && NpTake(Irp)) {
        KeReleaseSpinLock(&NpWaitLock, Irql);
        return STATUS_CANCELLED;
    }
    IoMarkIrpPending(Irp);
    InsertTailList(&NpWaiters, &Waiter->Link);
    if (!Forever) {
        KeSetTimer(&Waiter->Timer, Timeout, &Waiter->Dpc);
    }
    KeReleaseSpinLock(&NpWaitLock, Irql);
    return STATUS_PENDING;
}

static NTSTATUS NpWaitForPipe(PIRP Irp, PIO_STACK_LOCATION Stack, PFILE_PIPE_WAIT_FOR_BUFFER Given)
{
    UNICODE_STRING Name = {.Buffer = Given->Name, .Length = (USHORT)Given->NameLength};
    PNP_PIPE Pipe = NpFindPipe(&Name);
    PNP_WAITER Waiter;
    NTSTATUS Status;

    if (Pipe == NULL) {
        return STATUS_OBJECT_NAME_NOT_FOUND;
    }
    if (NpSomeoneListens(Pipe)) {
        return STATUS_SUCCESS;
    }
    Waiter = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Waiter), NP_TAG_WAIT);
    if (Waiter == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Waiter->File = Stack->FileObject;
    Waiter->Pipe = Pipe;
    Status = NpBeginWait(Waiter, Irp, Given->TimeoutSpecified ? Given->Timeout : Pipe->Timeout);
    if (Status != STATUS_PENDING) {
        ExFreePoolWithTag(Waiter, NP_TAG_WAIT);
    }
    return Status;
}

/**
 * NpWait - FSCTL_PIPE_WAIT on the device or its root.
 *
 * Errors: STATUS_OBJECT_NAME_NOT_FOUND, STATUS_IO_TIMEOUT, STATUS_ILLEGAL_FUNCTION (on a pipe), STATUS_INVALID_PARAMETER,
 * STATUS_CANCELLED.  A Timeout of the least number there is waits for ever.
 */
NTSTATUS NpWait(PIRP Irp, PIO_STACK_LOCATION Stack)
{
    PFILE_PIPE_WAIT_FOR_BUFFER Given = Irp->AssociatedIrp.SystemBuffer;
    ULONG Length = Stack->Parameters.FileSystemControl.InputBufferLength;
    NTSTATUS Status;

    if (NpRootOf(Stack->FileObject) == NULL) {
        return NpComplete(Irp, STATUS_ILLEGAL_FUNCTION, 0);
    }
    if (Length < FIELD_OFFSET(FILE_PIPE_WAIT_FOR_BUFFER, Name) || Given->NameLength == 0 ||
        Given->NameLength % sizeof(WCHAR) != 0 || Given->NameLength > MAXUSHORT - 1 ||
        Given->NameLength > Length - FIELD_OFFSET(FILE_PIPE_WAIT_FOR_BUFFER, Name)) {
        return NpComplete(Irp, STATUS_INVALID_PARAMETER, 0);
    }
    ExAcquireResourceExclusiveLite(&NpResource, TRUE);
    Status = NpWaitForPipe(Irp, Stack, Given);
    ExReleaseResourceLite(&NpResource);
    return (Status == STATUS_PENDING) ? Status : NpComplete(Irp, Status, 0);
}
