/*
 * queue.c - the data that one end of a pipe writes and the other reads.
 *
 * A queue holds entries with data or requests that wait for data, not both (requests that are being cancelled apart). A write is
 *
 *   handed over   as far as readers wait: copied into their buffers, no entry is made;
 *   kept          what is left fits into the quota: copied into an entry, the writer is done;
 *   stalled       it does not fit: the entry refers to the writer's IRP, which ends when all was read, or as soon as the rest fits.
 *
 * A message is one entry. A read by messages takes from the first entry alone; a read of bytes goes on through entries, but stops before an
 * empty one, which ends a read by itself: a write of no bytes is a message too, and is charged as one byte. A flush is
 * an entry without data that ends when it comes first. A write that may not wait and a transceive's request are kept beyond the quota where
 * the alternative would be to tear a message apart.
 *
 * Who ends an IRP: NpTake decides against cancellation. An entry whose writer is being cancelled is passed over; its cancel routine removes it.
 * Lock: the instance's spin lock throughout (NpCancel takes it). IRQL: DISPATCH_LEVEL.
 */
#include "np.h"

/* Where a queued IRP keeps what: the instance, the entry (NULL: it reads or listens), and the entry's queue or the reader's buffer and its length. */
#define NP_CONTEXT_INSTANCE 0
#define NP_CONTEXT_ENTRY    1
#define NP_CONTEXT_QUEUE    2
#define NP_CONTEXT_BUFFER   2
#define NP_CONTEXT_LENGTH   3

static VOID NpSettle(PNP_QUEUE Queue, PLIST_ENTRY Done);

VOID NpInitializeQueue(PNP_QUEUE Queue, ULONG Quota)
{
    InitializeListHead(&Queue->Entries);
    InitializeListHead(&Queue->Readers);
    Queue->Quota = min(Quota, NP_MAXIMUM_QUOTA);
}

static ULONG NpLeft(PNP_ENTRY Entry)
{
    return Entry->Length - Entry->Offset;
}

/* What an entry of so many bytes costs. */
static ULONG NpCharge(ULONG Length)
{
    return max(Length, 1);
}

/* Is there room for so many bytes more? */
static BOOLEAN NpFits(PNP_QUEUE Queue, ULONG Length)
{
    return (ULONG64)Queue->Charged + NpCharge(Length) <= Queue->Quota;
}

/* Takes an entry out of its queue and frees it; its IRP is the caller's business. */
static VOID NpRemoveEntry(PNP_QUEUE Queue, PNP_ENTRY Entry)
{
    RemoveEntryList(&Entry->Link);
    if (!Entry->Flush) {
        Queue->Bytes -= NpLeft(Entry);
        if (Entry->Irp != NULL) {
            Queue->Stalled--;
        } else {
            Queue->Charged -= (Entry->Length == 0) ? 1 : NpLeft(Entry);
        }
    }
    ExFreePoolWithTag(Entry, NP_TAG_DATA);
}

/* ---- Requests that wait ---- */

static VOID NTAPI NpCancel(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PNP_INSTANCE Instance = Irp->Tail.Overlay.DriverContext[NP_CONTEXT_INSTANCE];
    PNP_ENTRY Entry = Irp->Tail.Overlay.DriverContext[NP_CONTEXT_ENTRY];
    LIST_ENTRY Done;
    KIRQL Irql;

    UNREFERENCED_PARAMETER(DeviceObject);
    IoReleaseCancelSpinLock(Irp->CancelIrql);
    InitializeListHead(&Done);
    KeAcquireSpinLock(&Instance->Lock, &Irql);
    if (Entry != NULL) {
        PNP_QUEUE Queue = Irp->Tail.Overlay.DriverContext[NP_CONTEXT_QUEUE];

        NpRemoveEntry(Queue, Entry);
        NpSettle(Queue, &Done);
    } else {
        RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
    }
    NpFinish(&Done, Irp, STATUS_CANCELLED, 0); /* last: until then its file keeps the instance */
    KeReleaseSpinLock(&Instance->Lock, Irql);
    NpCompleteAll(&Done);
}

/* Arms cancellation of a queued IRP. FALSE: it was cancelled before, and is the caller's again. */
static BOOLEAN NpArm(PIRP Irp)
{
    IoSetCancelRoutine(Irp, NpCancel);
    return !Irp->Cancel || !NpTake(Irp);
}

/* Queues a request that reads (with its buffer) or listens. Returns STATUS_PENDING, also if it is on Done: cancelled before. */
NTSTATUS NpPend(PNP_INSTANCE Instance, PLIST_ENTRY List, PIRP Irp, PVOID Buffer, ULONG Length, PLIST_ENTRY Done)
{
    IoMarkIrpPending(Irp);
    Irp->Tail.Overlay.DriverContext[NP_CONTEXT_INSTANCE] = Instance;
    Irp->Tail.Overlay.DriverContext[NP_CONTEXT_ENTRY] = NULL;
    Irp->Tail.Overlay.DriverContext[NP_CONTEXT_BUFFER] = Buffer;
    Irp->Tail.Overlay.DriverContext[NP_CONTEXT_LENGTH] = (PVOID)(ULONG_PTR)Length;
    InsertTailList(List, &Irp->Tail.Overlay.ListEntry);
    if (!NpArm(Irp)) {
        RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
        NpFinish(Done, Irp, STATUS_CANCELLED, 0);
    }
    return STATUS_PENDING;
}

/* Appends an entry for a writer or a flush that waits. STATUS_PENDING, as NpPend; STATUS_INSUFFICIENT_RESOURCES. */
static NTSTATUS NpStall(PNP_END End, PIRP Irp, const NP_ENTRY *Template, PLIST_ENTRY Done)
{
    PNP_QUEUE Queue = NpWriteQueue(End);
    PNP_ENTRY Entry = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Entry), NP_TAG_DATA);

    if (Entry == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    *Entry = *Template;
    Entry->Irp = Irp;
    InsertTailList(&Queue->Entries, &Entry->Link);
    Queue->Bytes += NpLeft(Entry);
    Queue->Stalled += Entry->Flush ? 0 : 1;
    IoMarkIrpPending(Irp);
    Irp->Tail.Overlay.DriverContext[NP_CONTEXT_INSTANCE] = End->Instance;
    Irp->Tail.Overlay.DriverContext[NP_CONTEXT_ENTRY] = Entry;
    Irp->Tail.Overlay.DriverContext[NP_CONTEXT_QUEUE] = Queue;
    if (!NpArm(Irp)) {
        NpRemoveEntry(Queue, Entry);
        NpFinish(Done, Irp, STATUS_CANCELLED, 0);
    }
    return STATUS_PENDING;
}

/* An entry with a copy of the data; NULL: no memory. */
static PNP_ENTRY NpKeep(PNP_QUEUE Queue, const UCHAR *Data, ULONG Length)
{
    PNP_ENTRY Entry = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Entry) + Length, NP_TAG_DATA);

    if (Entry != NULL) {
        *Entry = (NP_ENTRY){.Data = (PUCHAR)(Entry + 1), .Length = Length};
        RtlCopyMemory(Entry + 1, Data, Length);
        Queue->Bytes += Length;
        Queue->Charged += NpCharge(Length);
    }
    return Entry;
}

/* The rest of a stalled write into an entry of its own, in the same place; the writer is done. FALSE: no memory, all as before. */
static BOOLEAN NpUnstall(PNP_QUEUE Queue, PNP_ENTRY Entry, PLIST_ENTRY Done)
{
    PNP_ENTRY Kept;

    if (!NpTake(Entry->Irp)) {
        return FALSE;
    }
    Kept = NpKeep(Queue, Entry->Data + Entry->Offset, NpLeft(Entry));
    if (Kept == NULL) {
        if (!NpArm(Entry->Irp)) {
            NpFinish(Done, Entry->Irp, STATUS_CANCELLED, 0);
            NpRemoveEntry(Queue, Entry);
        }
        return FALSE;
    }
    InsertHeadList(&Entry->Link, &Kept->Link);
    NpFinish(Done, Entry->Irp, STATUS_SUCCESS, Entry->Length);
    NpRemoveEntry(Queue, Entry);
    return TRUE;
}

/* After data has gone: flushes that come first are done, and stalled writers that have room now, in their order. */
static VOID NpSettle(PNP_QUEUE Queue, PLIST_ENTRY Done)
{
    for (PLIST_ENTRY Link = Queue->Entries.Flink, Next; Link != &Queue->Entries; Link = Next) {
        PNP_ENTRY Entry = CONTAINING_RECORD(Link, NP_ENTRY, Link);

        Next = Link->Flink;
        if (Entry->Flush) {
            if (Link == Queue->Entries.Flink && NpTake(Entry->Irp)) {
                NpFinish(Done, Entry->Irp, STATUS_SUCCESS, 0);
                NpRemoveEntry(Queue, Entry);
            }
        } else if (Entry->Irp != NULL) {
            if (!NpFits(Queue, NpLeft(Entry)) || !NpUnstall(Queue, Entry, Done)) {
                return;
            }
        }
    }
}

/* ---- Reading ---- */

/* The first entry with data to be had, NULL: none. That of a writer who is being cancelled is none. */
PNP_ENTRY NpFirstData(PNP_QUEUE Queue)
{
    for (PLIST_ENTRY Link = Queue->Entries.Flink; Link != &Queue->Entries; Link = Link->Flink) {
        PNP_ENTRY Entry = CONTAINING_RECORD(Link, NP_ENTRY, Link);

        if (!Entry->Flush && (Entry->Irp == NULL || Entry->Irp->CancelRoutine != NULL)) {
            return Entry;
        }
    }
    return NULL;
}

/* Copies from an entry, which goes if that was all. FALSE: its writer is being cancelled. */
static BOOLEAN NpGetFromEntry(PNP_QUEUE Queue, PNP_ENTRY Entry, PUCHAR Buffer, ULONG Room, PULONG Got, PLIST_ENTRY Done)
{
    ULONG Part = min(Room, NpLeft(Entry));

    if (Entry->Irp != NULL && !NpTake(Entry->Irp)) {
        return FALSE;
    }
    RtlCopyMemory(Buffer, Entry->Data + Entry->Offset, Part);
    Entry->Offset += Part;
    Queue->Bytes -= Part;
    Queue->Charged -= (Entry->Irp == NULL) ? Part : 0;
    *Got = Part;
    if (NpLeft(Entry) == 0) {
        if (Entry->Irp != NULL) {
            NpFinish(Done, Entry->Irp, STATUS_SUCCESS, Entry->Length);
        }
        NpRemoveEntry(Queue, Entry);
    } else if (Entry->Irp != NULL && !NpArm(Entry->Irp)) {
        NpFinish(Done, Entry->Irp, STATUS_CANCELLED, 0);
        NpRemoveEntry(Queue, Entry);
    }
    return TRUE;
}

/**
 * NpGet - reads what is there.
 *
 * @Messages  TRUE: one message
 * @Got       gets the bytes read
 * returns    STATUS_SUCCESS; STATUS_BUFFER_OVERFLOW (more of the message is left); STATUS_PIPE_EMPTY: nothing was there
 */
NTSTATUS NpGet(PNP_QUEUE Queue, BOOLEAN Messages, PVOID Buffer, ULONG Length, PULONG Got, PLIST_ENTRY Done)
{
    NTSTATUS Status = STATUS_PIPE_EMPTY;
    PNP_ENTRY Entry;

    *Got = 0;
    while ((Entry = NpFirstData(Queue)) != NULL) {
        ULONG Left = NpLeft(Entry), Part;

        if (Status == STATUS_SUCCESS && Entry->Length == 0) {
            break; /* an empty write is read by itself */
        }
        if (!NpGetFromEntry(Queue, Entry, (PUCHAR)Buffer + *Got, Length - *Got, &Part, Done)) {
            continue; /* not to be had any longer: the next one */
        }
        *Got += Part;
        Status = STATUS_SUCCESS;
        if (Messages) {
            Status = (Part < Left) ? STATUS_BUFFER_OVERFLOW : STATUS_SUCCESS;
            break;
        }
        if (*Got == Length || Left == 0) {
            break;
        }
    }
    NpSettle(Queue, Done);
    return Status;
}

/* ---- Writing ---- */

/*
 * Copies data to those who wait for it; *Put gets the bytes. Returns TRUE if nothing is left to write: an empty write needs a
 * reader that it ends.
 */
static BOOLEAN NpHandOver(PNP_END End, const UCHAR *Data, ULONG Length, PULONG Put, PLIST_ENTRY Done)
{
    PNP_QUEUE Queue = NpWriteQueue(End);
    PNP_END Reader = End->Instance->End[1 - End->Side];
    BOOLEAN Messages = Reader != NULL && Reader->ReadMode == FILE_PIPE_MESSAGE_MODE;

    *Put = 0;
    for (PLIST_ENTRY Link = Queue->Readers.Flink, Next; Link != &Queue->Readers; Link = Next) {
        PIRP Irp = CONTAINING_RECORD(Link, IRP, Tail.Overlay.ListEntry);
        ULONG Room = (ULONG)(ULONG_PTR)Irp->Tail.Overlay.DriverContext[NP_CONTEXT_LENGTH];
        ULONG Part = min(Room, Length - *Put);

        Next = Link->Flink;
        if (!NpTake(Irp)) {
            continue;
        }
        RtlCopyMemory(Irp->Tail.Overlay.DriverContext[NP_CONTEXT_BUFFER], Data + *Put, Part);
        *Put += Part;
        RemoveEntryList(Link);
        NpFinish(Done, Irp, (Messages && *Put < Length) ? STATUS_BUFFER_OVERFLOW : STATUS_SUCCESS, Part);
        if (*Put == Length) {
            return TRUE;
        }
    }
    return FALSE;
}

/* Keeps what no reader waited for, or as much of it as How allows. *Put counts on. */
static NTSTATUS NpPutRest(PNP_END End, const UCHAR *Data, ULONG Length, ULONG How, PULONG Put)
{
    PNP_QUEUE Queue = NpWriteQueue(End);
    ULONG Rest = Length - *Put, Room = (Queue->Charged < Queue->Quota) ? Queue->Quota - Queue->Charged : 0;
    PNP_ENTRY Entry;

    if (How == NP_PUT_PART && (Queue->Stalled != 0 || !NpFits(Queue, Rest))) {
        BOOLEAN Bytes = End->Instance->Pipe->Type == FILE_PIPE_BYTE_STREAM_TYPE;

        if (Bytes || *Put == 0) { /* of bytes what fits, of a message all or nothing */
            Rest = (Bytes && Queue->Stalled == 0) ? min(Rest, Room) : 0;
            if (Rest == 0) {
                return STATUS_SUCCESS;
            }
        }
    }
    Entry = NpKeep(Queue, Data + *Put, Rest);
    if (Entry == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    InsertTailList(&Queue->Entries, &Entry->Link);
    *Put += Rest;
    return STATUS_SUCCESS;
}

/**
 * NpPut - writes.
 *
 * @Irp    the writer's, whose buffer Data is; of use with NP_PUT_WAIT only
 * @How    what to do with what no reader waits for and no room is for: NP_PUT_*
 * @Put    gets the bytes written
 * returns STATUS_SUCCESS; STATUS_PENDING: the IRP waits; STATUS_INSUFFICIENT_RESOURCES: only *Put bytes were written
 */
NTSTATUS NpPut(PNP_END End, PIRP Irp, const UCHAR *Data, ULONG Length, ULONG How, PULONG Put, PLIST_ENTRY Done)
{
    PNP_QUEUE Queue = NpWriteQueue(End);

    if (NpHandOver(End, Data, Length, Put, Done)) {
        return STATUS_SUCCESS;
    }
    if (How == NP_PUT_WAIT && (Queue->Stalled != 0 || !NpFits(Queue, Length - *Put))) {
        NP_ENTRY Entry = {.Data = Data, .Length = Length, .Offset = *Put};

        return NpStall(End, Irp, &Entry, Done);
    }
    return NpPutRest(End, Data, Length, How, Put);
}

/* Ends a flush when what is there now was read. STATUS_SUCCESS: nothing is; STATUS_PENDING; STATUS_INSUFFICIENT_RESOURCES. */
NTSTATUS NpPutFlush(PNP_END End, PIRP Irp, PLIST_ENTRY Done)
{
    NP_ENTRY Entry = {.Flush = TRUE};

    if (NpFirstData(NpWriteQueue(End)) == NULL) {
        return STATUS_SUCCESS;
    }
    return NpStall(End, Irp, &Entry, Done);
}

/* ---- The end of a connection ---- */

/* Throws everything away; those who wait end with these statuses. */
VOID NpDrain(PNP_QUEUE Queue, NTSTATUS Readers, NTSTATUS Writers, PLIST_ENTRY Done)
{
    for (PLIST_ENTRY Link = Queue->Readers.Flink, Next; Link != &Queue->Readers; Link = Next) {
        PIRP Irp = CONTAINING_RECORD(Link, IRP, Tail.Overlay.ListEntry);

        Next = Link->Flink;
        if (NpTake(Irp)) {
            RemoveEntryList(Link);
            NpFinish(Done, Irp, Readers, 0);
        }
    }
    for (PLIST_ENTRY Link = Queue->Entries.Flink, Next; Link != &Queue->Entries; Link = Next) {
        PNP_ENTRY Entry = CONTAINING_RECORD(Link, NP_ENTRY, Link);

        Next = Link->Flink;
        if (Entry->Irp == NULL || NpTake(Entry->Irp)) {
            if (Entry->Irp != NULL) {
                NpFinish(Done, Entry->Irp, Writers, 0);
            }
            NpRemoveEntry(Queue, Entry);
        }
    }
}

/* The writing end is closed: readers learn it, and what waits to be written is kept for them, room or not. */
VOID NpKeepData(PNP_QUEUE Queue, PLIST_ENTRY Done)
{
    for (PLIST_ENTRY Link = Queue->Readers.Flink, Next; Link != &Queue->Readers; Link = Next) {
        PIRP Irp = CONTAINING_RECORD(Link, IRP, Tail.Overlay.ListEntry);

        Next = Link->Flink;
        if (NpTake(Irp)) {
            RemoveEntryList(Link);
            NpFinish(Done, Irp, STATUS_PIPE_BROKEN, 0);
        }
    }
    for (PLIST_ENTRY Link = Queue->Entries.Flink, Next; Link != &Queue->Entries; Link = Next) {
        PNP_ENTRY Entry = CONTAINING_RECORD(Link, NP_ENTRY, Link);

        Next = Link->Flink;
        if (Entry->Flush && NpTake(Entry->Irp)) {
            NpFinish(Done, Entry->Irp, STATUS_PIPE_BROKEN, 0);
            NpRemoveEntry(Queue, Entry);
        } else if (!Entry->Flush && Entry->Irp != NULL) {
            NpUnstall(Queue, Entry, Done);
        }
    }
}
