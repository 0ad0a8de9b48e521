/*
 * tppool.c - the thread pool: pools and their threads, work, simple callbacks, cleanup groups.
 *
 * tpp.h says how callbacks are objects that are posted to a port. A thread is made when something is posted while none waits at the port and the
 * pool may have more; a thread that had nothing to do for a while ends, down to the pool's minimum. An exception that a callback does not
 * handle is the process's end, as on any thread.
 *
 * Source: Microsoft Learn, "Thread Pool API": CreateThreadpool, CreateThreadpoolWork, SubmitThreadpoolWork, WaitForThreadpoolWorkCallbacks,
 * CloseThreadpoolCleanupGroupMembers and their kin, of which these are the routines beneath.
 */
#include "tpp.h"

#define TPP_MAXIMUM 500 /* threads of a pool that says nothing, as documented */

static PTP_POOL TppDefaultPool;
static RTL_SRWLOCK TppDefaultLock = RTL_SRWLOCK_INIT;

PVOID TppAllocate(SIZE_T Bytes)
{
    return RtlAllocateHeap(LdrpPeb()->ProcessHeap, HEAP_ZERO_MEMORY, Bytes);
}

LONG64 TppNow(VOID)
{
    LARGE_INTEGER Now;

    NtQuerySystemTime(&Now);
    return Now.QuadPart;
}

/* ---- Pools ---- */

static VOID TppDereferencePool(PTP_POOL Pool)
{
    if (InterlockedDecrement(&Pool->References) == 0) {
        NtClose(Pool->Port);
        RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, Pool);
    }
}

/**
 * TpAllocPool - makes a pool, without threads yet.
 *
 * @Pool     gets it; TpReleasePool
 * returns   STATUS_SUCCESS; STATUS_NO_MEMORY; what NtCreateIoCompletion says
 */
NTSTATUS NTAPI TpAllocPool(PTP_POOL *Pool, PVOID Reserved)
{
    PTP_POOL New = TppAllocate(sizeof(*New));
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(Reserved);
    if (New == NULL) {
        return STATUS_NO_MEMORY;
    }
    Status = NtCreateIoCompletion(&New->Port, STANDARD_RIGHTS_REQUIRED | SYNCHRONIZE | 3, NULL, 0);
    if (!NT_SUCCESS(Status)) {
        RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, New);
        return Status;
    }
    New->References = 1;
    New->Maximum = TPP_MAXIMUM;
    *Pool = New;
    return STATUS_SUCCESS;
}

/* The pool of those who name none, made when it is first needed. */
static NTSTATUS TppTakePool(PTP_POOL Wanted, PTP_POOL *Pool)
{
    NTSTATUS Status = STATUS_SUCCESS;

    if (Wanted == NULL) {
        RtlAcquireSRWLockExclusive(&TppDefaultLock);
        if (TppDefaultPool == NULL) {
            Status = TpAllocPool(&TppDefaultPool, NULL);
        }
        Wanted = TppDefaultPool;
        RtlReleaseSRWLockExclusive(&TppDefaultLock);
    }
    if (NT_SUCCESS(Status)) {
        InterlockedIncrement(&Wanted->References);
        *Pool = Wanted;
    }
    return Status;
}

/* ---- Threads ---- */

/* One callback, and what it asked for when it has returned. */
static VOID TppCall(PTPP_OBJECT Object)
{
    TP_CALLBACK_INSTANCE Instance = {.Object = Object};

    switch (Object->Kind) {
    case TppSimple:
        ((PTP_SIMPLE_CALLBACK)Object->Callback)(&Instance, Object->Context);
        break;
    case TppWork:
        ((PTP_WORK_CALLBACK)Object->Callback)(&Instance, Object->Context, (PTP_WORK)Object);
        break;
    case TppTimer:
        ((PTP_TIMER_CALLBACK)Object->Callback)(&Instance, Object->Context, (PTP_TIMER)Object);
        break;
    default:
        ((PTP_WAIT_CALLBACK)Object->Callback)(&Instance, Object->Context, (PTP_WAIT)Object, ((PTP_WAIT)Object)->Result);
        break;
    }
    if (Object->Finalization != NULL) {
        Object->Finalization(&Instance, Object->Context);
    }
    if (Instance.Section != NULL) {
        RtlLeaveCriticalSection(Instance.Section);
    }
    if (Instance.Mutex != NULL) {
        NtReleaseMutant(Instance.Mutex, NULL);
    }
    if (Instance.Semaphore != NULL) {
        NtReleaseSemaphore(Instance.Semaphore, (LONG)Instance.SemaphoreCount, NULL);
    }
    if (Instance.Event != NULL) {
        NtSetEvent(Instance.Event, NULL);
    }
    if (!Instance.Disassociated && InterlockedDecrement(&Object->Outstanding) == 0) {
        RtlWakeAddressAll((PVOID)&Object->Outstanding);
    }
}

/* Takes one pending post of an object. FALSE: it was taken back. */
static BOOLEAN TppTakePending(volatile LONG *Pending)
{
    LONG Count = *Pending;

    while (Count > 0) {
        LONG Seen = InterlockedCompareExchange(Pending, Count - 1, Count);

        if (Seen == Count) {
            return TRUE;
        }
        Count = Seen;
    }
    return FALSE;
}

/* May a thread that has nothing to do end? It is no longer counted then. */
static BOOLEAN TppMayEnd(PTP_POOL Pool)
{
    BOOLEAN End;

    RtlAcquireSRWLockExclusive(&Pool->Lock);
    End = Pool->Queued == 0 && (Pool->Released || Pool->Threads > Pool->Minimum);
    Pool->Threads -= End;
    RtlReleaseSRWLockExclusive(&Pool->Lock);
    return End;
}

static NTSTATUS NTAPI TppWorker(PVOID Argument)
{
    LARGE_INTEGER Idle = {.QuadPart = TPP_IDLE_TIME};
    PTP_POOL Pool = Argument;
    IO_STATUS_BLOCK Iosb;
    PVOID Key, Context;

    for (;;) {
        NTSTATUS Status;

        InterlockedIncrement(&Pool->Idle);
        Status = NtRemoveIoCompletion(Pool->Port, &Key, &Context, &Iosb, &Idle);
        InterlockedDecrement(&Pool->Idle);
        if (Status != STATUS_SUCCESS || Context == NULL) {
            if (TppMayEnd(Pool)) {
                break;
            }
            continue;
        }
        PTPP_OBJECT Object = Context;

        InterlockedDecrement(&Pool->Queued);
        if (TppTakePending(&Object->Pending)) {
            TppCall(Object);
        }
        TppDereference(Object);
    }
    TppDereferencePool(Pool);
    return STATUS_SUCCESS;
}

/* One more thread, if there may be. */
static NTSTATUS TppAddThread(PTP_POOL Pool, LONG Most)
{
    HANDLE Thread;
    NTSTATUS Status;

    RtlAcquireSRWLockExclusive(&Pool->Lock);
    if (Pool->Threads >= Most) {
        RtlReleaseSRWLockExclusive(&Pool->Lock);
        return STATUS_SUCCESS;
    }
    Pool->Threads++;
    RtlReleaseSRWLockExclusive(&Pool->Lock);
    InterlockedIncrement(&Pool->References);
    Status = NtCreateThreadEx(&Thread, SYNCHRONIZE, NULL, ZwCurrentProcess(), TppWorker, Pool, 0, 0, 0, 0, NULL);
    if (NT_SUCCESS(Status)) {
        NtClose(Thread);
        return Status;
    }
    RtlAcquireSRWLockExclusive(&Pool->Lock);
    Pool->Threads--;
    RtlReleaseSRWLockExclusive(&Pool->Lock);
    TppDereferencePool(Pool);
    return Status;
}

/* Most threads of a pool, at least one. */
VOID NTAPI TpSetPoolMaxThreads(PTP_POOL Pool, LONG MaxThreads)
{
    RtlAcquireSRWLockExclusive(&Pool->Lock);
    Pool->Maximum = max(MaxThreads, 1);
    Pool->Minimum = min(Pool->Minimum, Pool->Maximum);
    RtlReleaseSRWLockExclusive(&Pool->Lock);
}

/* Threads that a pool always has, which are made at once. STATUS_SUCCESS; what making one says. */
NTSTATUS NTAPI TpSetPoolMinThreads(PTP_POOL Pool, LONG MinThreads)
{
    LONG Wanted = max(MinThreads, 0);
    NTSTATUS Status = STATUS_SUCCESS;

    RtlAcquireSRWLockExclusive(&Pool->Lock);
    Pool->Maximum = max(Wanted, Pool->Maximum);
    RtlReleaseSRWLockExclusive(&Pool->Lock);
    while (NT_SUCCESS(Status) && Pool->Threads < Wanted) {
        Status = TppAddThread(Pool, Wanted);
    }
    if (NT_SUCCESS(Status)) {
        RtlAcquireSRWLockExclusive(&Pool->Lock);
        Pool->Minimum = Wanted;
        RtlReleaseSRWLockExclusive(&Pool->Lock);
    }
    return Status;
}

/* The owner has done with a pool: its threads end when nothing is left to do. */
VOID NTAPI TpReleasePool(PTP_POOL Pool)
{
    LONG Threads;

    RtlAcquireSRWLockExclusive(&Pool->Lock);
    Pool->Released = TRUE;
    Threads = Pool->Threads;
    RtlReleaseSRWLockExclusive(&Pool->Lock);
    while (Threads-- > 0) {
        NtSetIoCompletion(Pool->Port, NULL, NULL, STATUS_SUCCESS, 0); /* for one that waits */
    }
    TppDereferencePool(Pool);
}

/* ---- Objects ---- */

/* STATUS_SUCCESS; STATUS_NO_MEMORY; STATUS_INVALID_PARAMETER: no callback. The owner has a reference. */
NTSTATUS TppInitializeObject(PTPP_OBJECT Object, TPP_KIND Kind, PVOID Callback, PVOID Context,
                             const TP_CALLBACK_ENVIRON *Environment)
{
    NTSTATUS Status;

    if (Callback == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    Status = TppTakePool(Environment == NULL ? NULL : Environment->Pool, &Object->Pool);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Object->Kind = Kind;
    Object->References = 1;
    Object->Callback = Callback;
    Object->Context = Context;
    InitializeListHead(&Object->GroupLink);
    if (Environment != NULL) {
        Object->Finalization = Environment->FinalizationCallback;
        Object->Group = Environment->CleanupGroup;
        Object->CancelCallback = Environment->CleanupGroupCancelCallback;
    }
    if (Object->Group != NULL) {
        RtlAcquireSRWLockExclusive(&Object->Group->Lock);
        InsertTailList(&Object->Group->Members, &Object->GroupLink);
        RtlReleaseSRWLockExclusive(&Object->Group->Lock);
    }
    return STATUS_SUCCESS;
}

VOID TppReference(PTPP_OBJECT Object)
{
    InterlockedIncrement(&Object->References);
}

VOID TppDereference(PTPP_OBJECT Object)
{
    PTP_POOL Pool = Object->Pool;

    if (InterlockedDecrement(&Object->References) == 0) {
        RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, Object);
        TppDereferencePool(Pool);
    }
}

/* Lets an object's callback run once more. A thread that cannot be made is no error while there is another. */
VOID TppPost(PTPP_OBJECT Object)
{
    PTP_POOL Pool = Object->Pool;

    TppReference(Object);
    InterlockedIncrement(&Object->Outstanding);
    InterlockedIncrement(&Object->Pending);
    InterlockedIncrement(&Pool->Queued);
    NtSetIoCompletion(Pool->Port, NULL, Object, STATUS_SUCCESS, 0);
    if (Pool->Queued > Pool->Idle) {
        TppAddThread(Pool, Pool->Maximum);
    }
}

/* Waits until no callback of an object runs; those that have not begun are waited for, or taken back. Not to be called in the callback. */
VOID TppWaitFor(PTPP_OBJECT Object, BOOLEAN CancelPending)
{
    LONG Left;

    while (CancelPending && TppTakePending(&Object->Pending)) {
        if (InterlockedDecrement(&Object->Outstanding) == 0) {
            RtlWakeAddressAll((PVOID)&Object->Outstanding);
        }
    }
    while ((Left = Object->Outstanding) != 0) {
        RtlWaitOnAddress(&Object->Outstanding, &Left, sizeof(Left), NULL);
    }
}

VOID TppRelease(PTPP_OBJECT Object)
{
    BOOLEAN Listed = TRUE;

    if (Object->Group != NULL) {
        RtlAcquireSRWLockExclusive(&Object->Group->Lock);
        Listed = !IsListEmpty(&Object->GroupLink); /* FALSE: the group has released it */
        RemoveEntryList(&Object->GroupLink);
        InitializeListHead(&Object->GroupLink);
        RtlReleaseSRWLockExclusive(&Object->Group->Lock);
    }
    if (Listed) {
        TppDereference(Object);
    }
}

/* ---- Work and simple callbacks ---- */

/**
 * TpAllocWork - a callback that can be posted any number of times.
 *
 * @Work         gets it: TpReleaseWork
 * @Environment  pool, cleanup group, finalization; NULL: the process's pool
 * returns       STATUS_SUCCESS; STATUS_INVALID_PARAMETER; STATUS_NO_MEMORY
 */
NTSTATUS NTAPI TpAllocWork(PTP_WORK *Work, PTP_WORK_CALLBACK Callback, PVOID Context, PTP_CALLBACK_ENVIRON Environment)
{
    PTP_WORK New = TppAllocate(sizeof(*New));
    NTSTATUS Status = New == NULL ? STATUS_NO_MEMORY
                                  : TppInitializeObject(&New->Head, TppWork, (PVOID)Callback, Context, Environment);

    if (NT_SUCCESS(Status)) {
        *Work = New;
    } else {
        RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, New);
    }
    return Status;
}

VOID NTAPI TpPostWork(PTP_WORK Work)
{
    TppPost(&Work->Head);
}

VOID NTAPI TpWaitForWork(PTP_WORK Work, LOGICAL CancelPendingCallbacks)
{
    TppWaitFor(&Work->Head, CancelPendingCallbacks != 0);
}

/* The owner has done with it; callbacks that were posted still run. */
VOID NTAPI TpReleaseWork(PTP_WORK Work)
{
    TppRelease(&Work->Head);
}

/* One call of a callback. STATUS_SUCCESS; STATUS_INVALID_PARAMETER; STATUS_NO_MEMORY. */
NTSTATUS NTAPI TpSimpleTryPost(PTP_SIMPLE_CALLBACK Callback, PVOID Context, PTP_CALLBACK_ENVIRON Environment)
{
    PTPP_OBJECT New = TppAllocate(sizeof(*New));
    NTSTATUS Status =
        New == NULL ? STATUS_NO_MEMORY : TppInitializeObject(New, TppSimple, (PVOID)Callback, Context, Environment);

    if (!NT_SUCCESS(Status)) {
        RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, New);
        return Status;
    }
    TppPost(New);
    if (New->Group == NULL) {
        TppDereference(New); /* a group keeps it until it is released */
    }
    return STATUS_SUCCESS;
}

/* ---- What a callback asks for ---- */

VOID NTAPI TpCallbackSetEventOnCompletion(PTP_CALLBACK_INSTANCE Instance, HANDLE Event)
{
    Instance->Event = Event;
}

VOID NTAPI TpCallbackReleaseSemaphoreOnCompletion(PTP_CALLBACK_INSTANCE Instance, HANDLE Semaphore, ULONG ReleaseCount)
{
    Instance->Semaphore = Semaphore;
    Instance->SemaphoreCount = ReleaseCount;
}

VOID NTAPI TpCallbackReleaseMutexOnCompletion(PTP_CALLBACK_INSTANCE Instance, HANDLE Mutex)
{
    Instance->Mutex = Mutex;
}

VOID NTAPI TpCallbackLeaveCriticalSectionOnCompletion(PTP_CALLBACK_INSTANCE Instance, PRTL_CRITICAL_SECTION Section)
{
    Instance->Section = Section;
}

/* A callback that takes its time: others shall not wait for its thread. STATUS_TOO_MANY_THREADS: they will. */
NTSTATUS NTAPI TpCallbackMayRunLong(PTP_CALLBACK_INSTANCE Instance)
{
    PTP_POOL Pool = Instance->Object->Pool;

    if (Pool->Idle == 0 && Pool->Threads >= Pool->Maximum) {
        return STATUS_TOO_MANY_THREADS;
    }
    return Pool->Idle != 0 ? STATUS_SUCCESS : TppAddThread(Pool, Pool->Maximum);
}

/* Who waits for the object no longer waits for this call. */
VOID NTAPI TpDisassociateCallback(PTP_CALLBACK_INSTANCE Instance)
{
    if (!Instance->Disassociated) {
        Instance->Disassociated = TRUE;
        if (InterlockedDecrement(&Instance->Object->Outstanding) == 0) {
            RtlWakeAddressAll((PVOID)&Instance->Object->Outstanding);
        }
    }
}

/* ---- Cleanup groups ---- */

NTSTATUS NTAPI TpAllocCleanupGroup(PTP_CLEANUP_GROUP *Group)
{
    PTP_CLEANUP_GROUP New = TppAllocate(sizeof(*New));

    if (New == NULL) {
        return STATUS_NO_MEMORY;
    }
    InitializeListHead(&New->Members);
    *Group = New;
    return STATUS_SUCCESS;
}

/* The group is empty (TpReleaseCleanupGroupMembers). */
VOID NTAPI TpReleaseCleanupGroup(PTP_CLEANUP_GROUP Group)
{
    RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, Group);
}

/* The next member, no longer in the group; NULL: there is none. */
static PTPP_OBJECT TppTakeMember(PTP_CLEANUP_GROUP Group)
{
    PTPP_OBJECT Object = NULL;

    RtlAcquireSRWLockExclusive(&Group->Lock);
    if (!IsListEmpty(&Group->Members)) {
        Object = CONTAINING_RECORD(RemoveHeadList(&Group->Members), TPP_OBJECT, GroupLink);
        InitializeListHead(&Object->GroupLink);
    }
    RtlReleaseSRWLockExclusive(&Group->Lock);
    return Object;
}

/**
 * TpReleaseCleanupGroupMembers - releases all objects of a group, after their callbacks have ended.
 *
 * @CancelPendingCallbacks  those that have not begun are taken back, and the objects' cancel callback is called for each of them
 * @CleanupContext          for that callback
 */
VOID NTAPI TpReleaseCleanupGroupMembers(PTP_CLEANUP_GROUP Group, LOGICAL CancelPendingCallbacks, PVOID CleanupContext)
{
    PTPP_OBJECT Object;

    while ((Object = TppTakeMember(Group)) != NULL) {
        if (Object->Kind == TppTimer) {
            TppUnsetTimer((PTP_TIMER)Object);
        } else if (Object->Kind == TppWait) {
            TppUnsetWait((PTP_WAIT)Object);
        }
        TppWaitFor(Object, CancelPendingCallbacks != 0);
        if (CancelPendingCallbacks && Object->CancelCallback != NULL) {
            Object->CancelCallback(Object->Context, CleanupContext);
        }
        TppDereference(Object);
    }
}
