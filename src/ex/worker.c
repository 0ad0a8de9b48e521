/*
 * worker.c - work queues: routines run by system threads at PASSIVE_LEVEL.
 *
 * Three pools of threads serve the documented queue types at different priorities. A pool starts with few threads; when
 * items wait and none gets finished, the balancer, a thread of its own, adds one after the other, up to a bound, so that work
 * items that wait for other work items do not lock up. The WORK_QUEUE_ITEM belongs to the queue until its
 * routine is called, which may free it.
 *
 * Locks: a pool's spin lock (DISPATCH_LEVEL) around its list. ExQueueWorkItem never allocates and never fails.
 *
 * Source: WDK documentation of ExQueueWorkItem.
 */
#include <ntos/ex.h>
#include <ntos/ps.h>

#include <ntos/init.h>
#include <ntos/pool.h>

#define POOL_MINIMUM 2  /* one may wait for what another does */
#define POOL_MAXIMUM 16 /* threads; 24 KB of stack each */

/* How long a pool may finish nothing before it gets another thread: 20 ms. */
#define BALANCE_INTERVAL (-20 * 10000LL)

typedef struct _EX_POOL {
    KSPIN_LOCK Lock;
    LIST_ENTRY Items;         /* (Lock) */
    KSEMAPHORE Available;     /* one count an item */
    volatile LONG Threads;    /* interlocked */
    KPRIORITY Priority;       /* (c) */
    volatile LONG64 Executed; /* interlocked */
    LONG64 LastExecuted;      /* balancer only */
#if NT_CHK
    volatile LONG Numbers;                              /* interlocked: threads that began */
    PWORKER_THREAD_ROUTINE volatile Runs[POOL_MAXIMUM]; /* what each runs, its own; NULL: nothing */
#endif
} EX_POOL, *PEX_POOL;

enum { PoolDelayed, PoolCritical, PoolHyperCritical, PoolCount };

static EX_POOL ExpPools[PoolCount] = {
    {.Priority = 12},
    {.Priority = 13},
    {.Priority = 15},
};
VF_NAME_LOCK(ExpPools, "EX_POOL.Lock");
static KEVENT ExpBalance; /* an item found no free thread */
static BOOLEAN ExpWorkersReady;

static PEX_POOL PoolOf(WORK_QUEUE_TYPE Type)
{
    switch (Type) {
    case HyperCriticalWorkQueue:
        return &ExpPools[PoolHyperCritical];
    case CriticalWorkQueue:
    case SuperCriticalWorkQueue:
    case RealTimeWorkQueue:
        return &ExpPools[PoolCritical];
    default:
        return &ExpPools[PoolDelayed];
    }
}

static PWORK_QUEUE_ITEM TakeItem(PEX_POOL Pool)
{
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&Pool->Lock);
    PLIST_ENTRY Entry = RemoveHeadList(&Pool->Items);

    KeReleaseSpinLock(&Pool->Lock, OldIrql);
    ASSERT(Entry != &Pool->Items);
    return CONTAINING_RECORD(Entry, WORK_QUEUE_ITEM, List);
}

/* A routine that comes back at another IRQL or inside a region would ruin the next one: stop while it can be named. */
static VOID CheckAfter(PWORKER_THREAD_ROUTINE Routine, PVOID Parameter)
{
    if (KeGetCurrentIrql() != PASSIVE_LEVEL || KeAreApcsDisabled()) {
        KeBugCheckEx(WORKER_THREAD_RETURNED_AT_BAD_IRQL, (ULONG_PTR)Routine, KeGetCurrentIrql(), (ULONG_PTR)Parameter,
                     KeAreApcsDisabled());
    }
}

#if NT_CHK
#define NOTE_RUN(Pool, Number, Routine) ((Pool)->Runs[Number] = (Routine))
#else
#define NOTE_RUN(Pool, Number, Routine) ((void)0)
#endif

static VOID NTAPI Worker(PVOID Context)
{
    PEX_POOL Pool = Context;
#if NT_CHK
    LONG Number = InterlockedIncrement(&Pool->Numbers) - 1;
#endif

    PsGetCurrentThread()->ActiveExWorker = TRUE;
    for (;;) {
        KeWaitForSingleObject(&Pool->Available, WrQueue, KernelMode, FALSE, NULL);
        PWORK_QUEUE_ITEM Item = TakeItem(Pool);
        PWORKER_THREAD_ROUTINE Routine = Item->WorkerRoutine;
        PVOID Parameter = Item->Parameter;
        Item->List.Flink = NULL;
        NOTE_RUN(Pool, Number, Routine);
        Routine(Parameter);
        NOTE_RUN(Pool, Number, NULL);
        CheckAfter(Routine, Parameter);
        InterlockedIncrement64(&Pool->Executed);
    }
}

static BOOLEAN AddWorker(PEX_POOL Pool)
{
    PETHREAD Thread;

    if (!NT_SUCCESS(PspCreateSystemThread(&Thread, Worker, Pool, Pool->Priority))) {
        return FALSE;
    }
    ObDereferenceObject(Thread);
    InterlockedIncrement(&Pool->Threads);
    return TRUE;
}

/* Adds a thread to a pool whose items wait while none is finished. Returns whether it must be looked at again. */
static BOOLEAN BalancePool(PEX_POOL Pool)
{
    LONG64 Executed = Pool->Executed;
    BOOLEAN Backlog = KeReadStateSemaphore(&Pool->Available) > 0 && Pool->Threads < POOL_MAXIMUM;

    if (Backlog && Executed == Pool->LastExecuted) {
        AddWorker(Pool);
    }
    Pool->LastExecuted = Executed;
    return Backlog;
}

static VOID NTAPI Balancer(PVOID Context)
{
    LARGE_INTEGER Interval = {.QuadPart = BALANCE_INTERVAL};
    BOOLEAN Backlog = FALSE;

    for (;;) {
        KeWaitForSingleObject(&ExpBalance, Executive, KernelMode, FALSE, Backlog ? &Interval : NULL);
        Backlog = FALSE;
        for (ULONG i = 0; i < PoolCount; i++) {
            Backlog |= BalancePool(&ExpPools[i]);
        }
    }
}

/**
 * ExQueueWorkItem - has a routine called by a system thread.
 *
 * @WorkItem   initialised with ExInitializeWorkItem, resident, not queued
 * @QueueType  which threads
 *
 * IRQL: <= DISPATCH_LEVEL. The routine runs at PASSIVE_LEVEL.
 */
VOID NTAPI ExQueueWorkItem(PWORK_QUEUE_ITEM WorkItem, WORK_QUEUE_TYPE QueueType)
{
    PEX_POOL Pool = PoolOf(QueueType);

    ASSERT(ExpWorkersReady && WorkItem->List.Flink == NULL);
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&Pool->Lock);
    InsertTailList(&Pool->Items, &WorkItem->List);
    KeReleaseSpinLock(&Pool->Lock, OldIrql);
    KeReleaseSemaphore(&Pool->Available, IO_NO_INCREMENT, 1, FALSE);
    /* A count that stays was handed to nobody: no thread waits for one. */
    if (KeReadStateSemaphore(&Pool->Available) > 0 && Pool->Threads < POOL_MAXIMUM) {
        KeSetEvent(&ExpBalance, IO_NO_INCREMENT, FALSE);
    }
}

#if NT_CHK

static BOOLEAN IsIn(PVOID Address, ULONG64 Begin, ULONG64 End)
{
    return (ULONG64)Address >= Begin && (ULONG64)Address < End;
}

static PVOID FindInPool(PEX_POOL Pool, ULONG64 Begin, ULONG64 End)
{
    PVOID Found = NULL;
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&Pool->Lock);

    for (PLIST_ENTRY Entry = Pool->Items.Flink; Entry != &Pool->Items && Found == NULL; Entry = Entry->Flink) {
        PWORK_QUEUE_ITEM Item = CONTAINING_RECORD(Entry, WORK_QUEUE_ITEM, List);
        if (IsIn(Item, Begin, End) || IsIn((PVOID)Item->WorkerRoutine, Begin, End)) {
            Found = Item;
        }
    }
    KeReleaseSpinLock(&Pool->Lock, OldIrql);
    for (ULONG Number = 0; Number < POOL_MAXIMUM && Found == NULL; Number++) {
        PVOID Routine = (PVOID)Pool->Runs[Number];
        Found = IsIn(Routine, Begin, End) ? Routine : NULL;
    }
    return Found;
}

PVOID ExFindWorkItemOf(ULONG64 Begin, ULONG64 End)
{
    PVOID Found = NULL;

    for (ULONG Index = 0; Index < PoolCount && Found == NULL; Index++) {
        Found = FindInPool(&ExpPools[Index], Begin, End);
    }
    return Found;
}

#endif

/* The work queues, before anybody queues. Phase 1, PASSIVE_LEVEL. */
NTSTATUS ExInitialize(VOID)
{
    PETHREAD Thread;

    KeInitializeEvent(&ExpBalance, SynchronizationEvent, FALSE);
    for (ULONG i = 0; i < PoolCount; i++) {
        InitializeListHead(&ExpPools[i].Items);
        KeInitializeSemaphore(&ExpPools[i].Available, 0, MAXLONG);
        for (ULONG n = 0; n < POOL_MINIMUM; n++) {
            if (!AddWorker(&ExpPools[i])) {
                return STATUS_INSUFFICIENT_RESOURCES;
            }
        }
    }
    ExpWorkersReady = TRUE;
    ExStartLookasides();
    NTSTATUS Status = PspCreateSystemThread(&Thread, Balancer, NULL, LOW_REALTIME_PRIORITY);
    if (NT_SUCCESS(Status)) {
        ObDereferenceObject(Thread);
    }
    return Status;
}
