/*
 * state.c - instances of pipes and their states: made, connected, disconnected, closed (diagram in np.h).
 *
 * Every change of state is made with the resource held exclusive, so that a client that looks for an instance, and a server that makes one
 * listen, cannot miss one another; and under the instance's spin lock, which is what transfers look at. What a change means for requests that
 * wait is decided in one place each: NpConnect, NpDisconnect, NpCloseEnd. They put the requests on a list; the caller
 * completes them when it holds no lock.
 *
 * IRQL: PASSIVE_LEVEL. Source: documentation of ConnectNamedPipe, DisconnectNamedPipe and of pipe operations.
 */
#include "np.h"

/**
 * NpNewInstance - a listening instance, with one reference and counted by its pipe.
 *
 * returns  NULL: no memory
 *
 * Locks: resource exclusive.
 */
PNP_INSTANCE NpNewInstance(PNP_PIPE Pipe, ULONG InboundQuota, ULONG OutboundQuota)
{
    PNP_INSTANCE Instance = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Instance), NP_TAG_INSTANCE);

    if (Instance == NULL) {
        return NULL;
    }
    RtlZeroMemory(Instance, sizeof(*Instance));
    KeInitializeSpinLock(&Instance->Lock);
    Instance->References = 1;
    Instance->Pipe = Pipe;
    Instance->State = FILE_PIPE_LISTENING_STATE;
    InitializeListHead(&Instance->Listeners);
    NpInitializeQueue(&Instance->Queue[FILE_PIPE_CLIENT_END], InboundQuota);
    NpInitializeQueue(&Instance->Queue[FILE_PIPE_SERVER_END], OutboundQuota);
    InterlockedIncrement(&Pipe->Holders);
    InsertTailList(&Pipe->Instances, &Instance->Link);
    Pipe->Count++;
    return Instance;
}

/* Gives up a reference. Locks: resource exclusive, since the pipe may go too. */
VOID NpReleaseInstance(PNP_INSTANCE Instance)
{
    if (InterlockedDecrement(&Instance->References) == 0) {
        NpReleasePipe(Instance->Pipe);
        ExFreePoolWithTag(Instance, NP_TAG_INSTANCE);
    }
}

/* Ends the LISTEN requests that wait. Spin lock held. */
static VOID NpEndListening(PNP_INSTANCE Instance, NTSTATUS Status, PLIST_ENTRY Done)
{
    for (PLIST_ENTRY Link = Instance->Listeners.Flink, Next; Link != &Instance->Listeners; Link = Next) {
        PIRP Irp = CONTAINING_RECORD(Link, IRP, Tail.Overlay.ListEntry);

        Next = Link->Flink;
        if (NpTake(Irp)) {
            RemoveEntryList(Link);
            NpFinish(Done, Irp, Status, 0);
        }
    }
}

/* Connects a new client end if the instance listens; FALSE: it does not. Locks: resource exclusive. */
BOOLEAN NpConnect(PNP_INSTANCE Instance, PNP_END Client, PLIST_ENTRY Done)
{
    BOOLEAN Connected;
    KIRQL Irql;

    KeAcquireSpinLock(&Instance->Lock, &Irql);
    Connected = Instance->State == FILE_PIPE_LISTENING_STATE;
    if (Connected) {
        Instance->State = FILE_PIPE_CONNECTED_STATE;
        Client->Instance = Instance;
        InterlockedIncrement(&Instance->References);
        Instance->End[FILE_PIPE_CLIENT_END] = Client;
        NpEndListening(Instance, STATUS_SUCCESS, Done);
    }
    KeReleaseSpinLock(&Instance->Lock, Irql);
    return Connected;
}

/**
 * NpDisconnect - FSCTL_PIPE_DISCONNECT: throws data and client away.
 *
 * returns  STATUS_SUCCESS; STATUS_PIPE_DISCONNECTED: there is nothing to disconnect. Requests on either end, and listens, end
 *          with that too
 *
 * Locks: resource exclusive.
 */
NTSTATUS NpDisconnect(PNP_END Server, PLIST_ENTRY Done)
{
    PNP_INSTANCE Instance = Server->Instance;
    NTSTATUS Status = STATUS_SUCCESS;
    KIRQL Irql;

    KeAcquireSpinLock(&Instance->Lock, &Irql);
    if (Instance->State == FILE_PIPE_DISCONNECTED_STATE) {
        Status = STATUS_PIPE_DISCONNECTED;
    } else {
        NpEndListening(Instance, STATUS_PIPE_DISCONNECTED, Done);
        for (ULONG Side = 0; Side < 2; Side++) {
            NpDrain(&Instance->Queue[Side], STATUS_PIPE_DISCONNECTED, STATUS_PIPE_DISCONNECTED, Done);
        }
        if (Instance->End[FILE_PIPE_CLIENT_END] != NULL) {
            Instance->End[FILE_PIPE_CLIENT_END]->Detached = TRUE;
            Instance->End[FILE_PIPE_CLIENT_END] = NULL;
        }
        Instance->State = FILE_PIPE_DISCONNECTED_STATE;
    }
    KeReleaseSpinLock(&Instance->Lock, Irql);
    return Status;
}

/**
 * NpListen - FSCTL_PIPE_LISTEN: lets the next client in, and waits for it.
 *
 * returns  STATUS_PENDING: the IRP is queued; STATUS_PIPE_CONNECTED, STATUS_PIPE_CLOSING (a client is, or was, there);
 *          STATUS_PIPE_LISTENING: the end does not wait
 *
 * Locks: resource exclusive. The IRP may be on the list when it was cancelled before.
 */
NTSTATUS NpListen(PNP_END Server, PIRP Irp, PLIST_ENTRY Done)
{
    PNP_INSTANCE Instance = Server->Instance;
    BOOLEAN Again = FALSE;
    NTSTATUS Status;
    KIRQL Irql;

    KeAcquireSpinLock(&Instance->Lock, &Irql);
    if (Instance->State == FILE_PIPE_CONNECTED_STATE) {
        Status = STATUS_PIPE_CONNECTED;
    } else if (Instance->State == FILE_PIPE_CLOSING_STATE) {
        Status = STATUS_PIPE_CLOSING;
    } else {
        Again = Instance->State == FILE_PIPE_DISCONNECTED_STATE;
        Instance->State = FILE_PIPE_LISTENING_STATE;
        Status = (Server->CompletionMode == FILE_PIPE_COMPLETE_OPERATION)
                     ? (Again ? STATUS_SUCCESS : STATUS_PIPE_LISTENING)
                     : NpPend(Instance, &Instance->Listeners, Irp, NULL, 0, Done);
    }
    KeReleaseSpinLock(&Instance->Lock, Irql);
    if (Again) {
        NpWakeWaiters(Instance->Pipe, NULL, STATUS_SUCCESS);
    }
    return Status;
}

/*
 * The last handle to an end is closed. Its own reads end; what it wrote stays for the other end, which learns of it once it has read that.
 * What the other end wrote is lost.
 */
VOID NpCloseEnd(PNP_END End, PLIST_ENTRY Done)
{
    PNP_INSTANCE Instance = End->Instance;
    KIRQL Irql;

    KeAcquireSpinLock(&Instance->Lock, &Irql);
    if (Instance->End[End->Side] == End) {
        Instance->End[End->Side] = NULL;
        NpDrain(NpReadQueue(End), STATUS_PIPE_BROKEN, STATUS_PIPE_BROKEN, Done);
        if (Instance->End[1 - End->Side] != NULL) {
            NpKeepData(NpWriteQueue(End), Done);
        } else {
            NpDrain(NpWriteQueue(End), STATUS_PIPE_BROKEN, STATUS_PIPE_BROKEN, Done);
        }
        if (End->Side == FILE_PIPE_SERVER_END) {
            NpEndListening(Instance, STATUS_PIPE_BROKEN, Done);
        }
        if (Instance->State != FILE_PIPE_DISCONNECTED_STATE) {
            Instance->State = FILE_PIPE_CLOSING_STATE;
        }
    }
    KeReleaseSpinLock(&Instance->Lock, Irql);
    if (End->Side == FILE_PIPE_SERVER_END) {
        NpRemoveInstance(Instance);
    }
}

/* IRP_MJ_CLEANUP: requests of this file object end, nothing else is done to memory. */
NTSTATUS NpCleanup(PIRP Irp, PIO_STACK_LOCATION Stack)
{
    PNP_END End = NpEndOf(Stack->FileObject);
    LIST_ENTRY Done;

    InitializeListHead(&Done);
    if (End != NULL) {
        ExAcquireResourceExclusiveLite(&NpResource, TRUE);
        NpCloseEnd(End, &Done);
        ExReleaseResourceLite(&NpResource);
    } else {
        NpWakeWaiters(NULL, Stack->FileObject, STATUS_CANCELLED);
    }
    NpCompleteAll(&Done);
    return NpComplete(Irp, STATUS_SUCCESS, 0);
}

/* IRP_MJ_CLOSE: nobody refers to the file object. */
NTSTATUS NpClose(PIRP Irp, PIO_STACK_LOCATION Stack)
{
    PFILE_OBJECT File = Stack->FileObject;
    PNP_END End = NpEndOf(File);
    PNP_ROOT Root = NpRootOf(File);

    if (End != NULL) {
        ExAcquireResourceExclusiveLite(&NpResource, TRUE);
        NpReleaseInstance(End->Instance);
        ExReleaseResourceLite(&NpResource);
        ExFreePoolWithTag(End, NP_TAG_END);
    } else if (Root != NULL) {
        if (Root->Pattern.Buffer != NULL) {
            RtlFreeUnicodeString(&Root->Pattern);
        }
        ExFreePoolWithTag(Root, NP_TAG_END);
    }
    File->FsContext = NULL;
    return NpComplete(Irp, STATUS_SUCCESS, 0);
}
