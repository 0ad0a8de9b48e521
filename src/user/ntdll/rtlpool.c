/*
 * rtlpool.c - the older faces of the thread pool: RtlQueueWorkItem, RtlRegisterWait, timer queues.
 *
 * Each is a thin object over the pool's own. A registered wait is set again after each callback, unless it is to run once. A timer queue is a list of
 * timers, so that all of them can be deleted together. A completion event is signalled when the callbacks have ended; MAXULONG_PTR as the
 * event means to wait for that, NULL not to wait.
 *
 * Lock: a queue's own, around its list. Source: Microsoft Learn, QueueUserWorkItem, RegisterWaitForSingleObject, UnregisterWaitEx,
 * CreateTimerQueueTimer, DeleteTimerQueueEx.
 */
#include "tpp.h"

#define RTLP_WAIT_FOR_IT ((HANDLE)(ULONG_PTR)MAXULONG_PTR)

typedef struct _RTLP_ITEM {
    PRTL_WORK_CALLBACK Callback;
    PVOID Context;
} RTLP_ITEM, *PRTLP_ITEM;

static VOID NTAPI RtlpRunItem(PTP_CALLBACK_INSTANCE Instance, PVOID Context)
{
    RTLP_ITEM Item = *(PRTLP_ITEM)Context;

    UNREFERENCED_PARAMETER(Instance);
    RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, Context);
    Item.Callback(Item.Context);
}

/* Runs a routine once on a thread of the process's pool. Flags are not used: every thread is good for all. STATUS_NO_MEMORY, ... */
NTSTATUS NTAPI RtlQueueWorkItem(PRTL_WORK_CALLBACK Callback, PVOID Context, ULONG Flags)
{
    PRTLP_ITEM Item = TppAllocate(sizeof(*Item));
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(Flags);
    if (Item == NULL) {
        return STATUS_NO_MEMORY;
    }
    Item->Callback = Callback;
    Item->Context = Context;
    Status = TpSimpleTryPost(RtlpRunItem, Item, NULL);
    if (!NT_SUCCESS(Status)) {
        RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, Item);
    }
    return Status;
}

/* ---- Registered waits ---- */

typedef struct _RTLP_REGISTERED {
    PTP_WAIT Wait;
    HANDLE Object;
    PRTL_WAIT_CALLBACK Callback;
    PVOID Context;
    LARGE_INTEGER Timeout; /* relative; 0: for ever */
    BOOLEAN Once;
    volatile LONG Ending; /* interlocked: it is not set again */
} RTLP_REGISTERED, *PRTLP_REGISTERED;

static VOID RtlpArm(PRTLP_REGISTERED Registered)
{
    TpSetWait(Registered->Wait, Registered->Object, Registered->Timeout.QuadPart == 0 ? NULL : &Registered->Timeout);
    if (Registered->Ending) { /* it was being deregistered meanwhile */
        TpSetWait(Registered->Wait, NULL, NULL);
    }
}

static VOID NTAPI RtlpRunWait(PTP_CALLBACK_INSTANCE Instance, PVOID Context, PTP_WAIT Wait, TP_WAIT_RESULT Result)
{
    PRTLP_REGISTERED Registered = Context;

    UNREFERENCED_PARAMETER(Instance);
    UNREFERENCED_PARAMETER(Wait);
    Registered->Callback(Registered->Context, Result == STATUS_TIMEOUT);
    if (!Registered->Once && !Registered->Ending) {
        RtlpArm(Registered);
    }
}

/**
 * RtlRegisterWait - a callback each time an object is signalled.
 *
 * @WaitHandle    gets what RtlDeregisterWaitEx wants
 * @Milliseconds  after which the callback runs with TRUE; INFINITE (MAXULONG): never
 * @Flags         WT_EXECUTEONLYONCE counts
 * returns        STATUS_SUCCESS; STATUS_NO_MEMORY; STATUS_INVALID_PARAMETER
 */
NTSTATUS NTAPI RtlRegisterWait(PHANDLE WaitHandle, HANDLE Object, PRTL_WAIT_CALLBACK Callback, PVOID Context,
                               ULONG Milliseconds, ULONG Flags)
{
    PRTLP_REGISTERED New = TppAllocate(sizeof(*New));
    NTSTATUS Status;

    if (New == NULL) {
        return STATUS_NO_MEMORY;
    }
    New->Object = Object;
    New->Callback = Callback;
    New->Context = Context;
    New->Timeout.QuadPart = Milliseconds == MAXULONG ? 0 : -10000LL * max(Milliseconds, 1U);
    New->Once = (Flags & WT_EXECUTEONLYONCE) != 0;
    Status = Callback == NULL ? STATUS_INVALID_PARAMETER : TpAllocWait(&New->Wait, RtlpRunWait, New, NULL);
    if (!NT_SUCCESS(Status)) {
        RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, New);
        return Status;
    }
    *WaitHandle = New;
    RtlpArm(New);
    return STATUS_SUCCESS;
}

static VOID NTAPI RtlpEndRegistered(PTP_CALLBACK_INSTANCE Instance, PVOID Context)
{
    PRTLP_REGISTERED Registered = Context;

    UNREFERENCED_PARAMETER(Instance);
    TpWaitForWait(Registered->Wait, TRUE);
    TpReleaseWait(Registered->Wait);
    RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, Registered);
}

/**
 * RtlDeregisterWaitEx - no more callbacks for an object.
 *
 * @Event    MAXULONG_PTR (INVALID_HANDLE_VALUE): returns when the callbacks have ended; NULL: they may still run
 * returns   STATUS_SUCCESS; STATUS_PENDING: a callback still runs (Event NULL); STATUS_NOT_SUPPORTED: any other event
 */
NTSTATUS NTAPI RtlDeregisterWaitEx(HANDLE WaitHandle, HANDLE Event)
{
    PRTLP_REGISTERED Registered = WaitHandle;
    BOOLEAN Running;

    if (Event != NULL && Event != RTLP_WAIT_FOR_IT) {
        return STATUS_NOT_SUPPORTED;
    }
    InterlockedExchange(&Registered->Ending, 1);
    TpSetWait(Registered->Wait, NULL, NULL);
    Running = Registered->Wait->Head.Outstanding != 0;
    if (Event == NULL && Running) { /* perhaps from within the callback: another thread ends it */
        NTSTATUS Status = TpSimpleTryPost(RtlpEndRegistered, Registered, NULL);

        return NT_SUCCESS(Status) ? STATUS_PENDING : Status;
    }
    RtlpEndRegistered(NULL, Registered);
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI RtlDeregisterWait(HANDLE WaitHandle)
{
    return RtlDeregisterWaitEx(WaitHandle, NULL);
}

/* ---- Timer queues ---- */

typedef struct _RTLP_QUEUE {
    RTL_SRWLOCK Lock;
    LIST_ENTRY Timers; /* (lock) RTLP_QUEUED */
} RTLP_QUEUE, *PRTLP_QUEUE;

typedef struct _RTLP_QUEUED {
    LIST_ENTRY Link; /* (the queue's lock) */
    PTP_TIMER Timer;
    PRTL_WAIT_CALLBACK Callback;
    PVOID Context;
} RTLP_QUEUED, *PRTLP_QUEUED;

static RTLP_QUEUE RtlpDefaultQueue = {RTL_SRWLOCK_INIT, {&RtlpDefaultQueue.Timers, &RtlpDefaultQueue.Timers}};

static VOID NTAPI RtlpRunQueued(PTP_CALLBACK_INSTANCE Instance, PVOID Context, PTP_TIMER Timer)
{
    PRTLP_QUEUED Queued = Context;

    UNREFERENCED_PARAMETER(Instance);
    UNREFERENCED_PARAMETER(Timer);
    Queued->Callback(Queued->Context, TRUE); /* "fired", as timers always have */
}

NTSTATUS NTAPI RtlCreateTimerQueue(PHANDLE Queue)
{
    PRTLP_QUEUE New = TppAllocate(sizeof(*New));

    if (New == NULL) {
        return STATUS_NO_MEMORY;
    }
    InitializeListHead(&New->Timers);
    *Queue = New;
    return STATUS_SUCCESS;
}

/**
 * RtlCreateTimer - a callback after a time, and perhaps again and again.
 *
 * @Queue            of RtlCreateTimerQueue; NULL: the process's
 * @Timer            gets what RtlDeleteTimer wants
 * @DueTime, @Period ms; Period 0: once
 * returns           STATUS_SUCCESS; STATUS_NO_MEMORY; STATUS_INVALID_PARAMETER
 */
NTSTATUS NTAPI RtlCreateTimer(HANDLE Queue, PHANDLE Timer, PRTL_WAIT_CALLBACK Callback, PVOID Context, ULONG DueTime,
                              ULONG Period, ULONG Flags)
{
    PRTLP_QUEUE Into = Queue == NULL ? &RtlpDefaultQueue : Queue;
    PRTLP_QUEUED New = TppAllocate(sizeof(*New));
    LARGE_INTEGER Due = {.QuadPart = -10000LL * max(DueTime, 1U)};
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(Flags);
    if (New == NULL) {
        return STATUS_NO_MEMORY;
    }
    New->Callback = Callback;
    New->Context = Context;
    Status = Callback == NULL ? STATUS_INVALID_PARAMETER : TpAllocTimer(&New->Timer, RtlpRunQueued, New, NULL);
    if (!NT_SUCCESS(Status)) {
        RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, New);
        return Status;
    }
    RtlAcquireSRWLockExclusive(&Into->Lock);
    InsertTailList(&Into->Timers, &New->Link);
    RtlReleaseSRWLockExclusive(&Into->Lock);
    *Timer = New;
    TpSetTimer(New->Timer, &Due, Period, 0);
    return STATUS_SUCCESS;
}

/* Other times for a timer that exists. */
NTSTATUS NTAPI RtlUpdateTimer(HANDLE Queue, HANDLE Timer, ULONG DueTime, ULONG Period)
{
    LARGE_INTEGER Due = {.QuadPart = -10000LL * max(DueTime, 1U)};

    UNREFERENCED_PARAMETER(Queue);
    TpSetTimer(((PRTLP_QUEUED)Timer)->Timer, &Due, Period, 0);
    return STATUS_SUCCESS;
}

static VOID NTAPI RtlpEndQueued(PTP_CALLBACK_INSTANCE Instance, PVOID Context)
{
    PRTLP_QUEUED Queued = Context;

    UNREFERENCED_PARAMETER(Instance);
    TpWaitForTimer(Queued->Timer, TRUE);
    TpReleaseTimer(Queued->Timer);
    RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, Queued);
}

/* Ends a timer that is in no list any more. As RtlDeregisterWaitEx. */
static NTSTATUS RtlpDeleteQueued(PRTLP_QUEUED Queued, HANDLE Event)
{
    TpSetTimer(Queued->Timer, NULL, 0, 0);
    if (Event == NULL && Queued->Timer->Head.Outstanding != 0) {
        NTSTATUS Status = TpSimpleTryPost(RtlpEndQueued, Queued, NULL);

        return NT_SUCCESS(Status) ? STATUS_PENDING : Status;
    }
    RtlpEndQueued(NULL, Queued);
    return STATUS_SUCCESS;
}

/* Deletes a timer; @Event and the answers as RtlDeregisterWaitEx. */
NTSTATUS NTAPI RtlDeleteTimer(HANDLE Queue, HANDLE Timer, HANDLE Event)
{
    PRTLP_QUEUE From = Queue == NULL ? &RtlpDefaultQueue : Queue;
    PRTLP_QUEUED Queued = Timer;

    if (Event != NULL && Event != RTLP_WAIT_FOR_IT) {
        return STATUS_NOT_SUPPORTED;
    }
    RtlAcquireSRWLockExclusive(&From->Lock);
    RemoveEntryList(&Queued->Link);
    RtlReleaseSRWLockExclusive(&From->Lock);
    return RtlpDeleteQueued(Queued, Event);
}

/* Deletes a queue with all its timers. */
NTSTATUS NTAPI RtlDeleteTimerQueueEx(HANDLE Queue, HANDLE Event)
{
    PRTLP_QUEUE From = Queue;
    NTSTATUS Status = STATUS_SUCCESS;

    if (Queue == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Event != NULL && Event != RTLP_WAIT_FOR_IT) {
        return STATUS_NOT_SUPPORTED;
    }
    while (!IsListEmpty(&From->Timers)) { /* nobody else uses a queue that is being deleted */
        PRTLP_QUEUED Queued = CONTAINING_RECORD(RemoveHeadList(&From->Timers), RTLP_QUEUED, Link);
        NTSTATUS One = RtlpDeleteQueued(Queued, Event);

        Status = One == STATUS_SUCCESS ? Status : One;
    }
    RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, Queue);
    return Status;
}

NTSTATUS NTAPI RtlDeleteTimerQueue(HANDLE Queue)
{
    return RtlDeleteTimerQueueEx(Queue, NULL);
}
