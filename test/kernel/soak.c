/*
 * soak.c - suite soak and console command `soak SECONDS [SEED]`: 200 threads that do everything at random, and leave nothing behind.
 *
 * Each thread draws one action after the other from its own sequence, which the seed and its number determine: it waits with and without
 * time-outs, for one, any or all, signals, sleeps, takes and gives locks, allocates and frees, queues work, timers, DPCs and APCs, makes
 * and closes handles, changes its priority and its processors, visits another process. What can be checked on the way is: who is
 * inside a lock, that memory keeps its pattern, that a status is one that may come. At the end pool, threads and handles are what they were,
 * and the verifier has reported nothing.
 *
 * Every wait on something that another thread may never signal has a time-out, so that a thread always gets to its next action.
 */
#include "ketest.h"

#include <ntos/console.h>
#include <ntos/ob.h>
#include <ntos/pool.h>
#include <ntos/pushlock.h>
#include <ntos/rtl.h>

#define SOAK_THREADS 200
#define SOAK_SHARED  8
#define SOAK_TAG     'kaoS'
#define SOAK_BLOCKS  4

typedef struct _SOAK_THREAD {
    ULONG64 Seed;
    PETHREAD Object;
    PUCHAR Block[SOAK_BLOCKS]; /* allocations, filled with their own low byte */
    SIZE_T Bytes[SOAK_BLOCKS];
    KEVENT Own;
    KTIMER Timer;
    KDPC Dpc;
    KAPC Apc;
    WORK_QUEUE_ITEM Work;
    LIST_ENTRY Entry;
} SOAK_THREAD, *PSOAK_THREAD;

static PSOAK_THREAD Threads;
static volatile LONG SoakStop;
static volatile LONG64 Actions, Wrong;
static PCSTR volatile FirstWrong;

static KEVENT Notification[SOAK_SHARED], Synchronization[SOAK_SHARED];
static KSEMAPHORE Semaphore[SOAK_SHARED];
static KMUTANT Mutant[SOAK_SHARED];
static FAST_MUTEX Fast;
static KGUARDED_MUTEX Guarded;
static EX_PUSH_LOCK Push;
static ERESOURCE Resource;
static KSPIN_LOCK Spin, Queued;
static EX_SPIN_LOCK Rw;
static EX_RUNDOWN_REF Rundown;
static KQUEUE Queue;
static PEPROCESS Visited;
static volatile LONG InMutant[SOAK_SHARED], InFast, InGuarded, InPush, InResource, InSpin, InQueued, InRw;

static VOID Check(BOOLEAN Condition, PCSTR What)
{
    if (!Condition && InterlockedIncrement64(&Wrong) == 1) {
        FirstWrong = What;
    }
}

/* Alone inside a lock for a moment. */
static VOID Alone(volatile LONG *Inside, PCSTR What, BOOLEAN MayYield)
{
    Check(InterlockedIncrement(Inside) == 1, What);
    if (MayYield) {
        ZwYieldExecution();
    }
    Check(InterlockedDecrement(Inside) == 0, What);
}

static LARGE_INTEGER Soon(PSOAK_THREAD Self)
{
    return (LARGE_INTEGER){.QuadPart = -(LONG64)(TestRandom(&Self->Seed) % 30000)};
}

static NTSTATUS WaitSoon(PSOAK_THREAD Self, PVOID Object)
{
    LARGE_INTEGER Timeout = Soon(Self);
    return KeWaitForSingleObject(Object, Executive, KernelMode, FALSE, &Timeout);
}

/* ---- Actions ---- */

static VOID Events(PSOAK_THREAD Self, ULONG Random)
{
    ULONG Which = Random / 8 % SOAK_SHARED;

    switch (Random % 8) {
    case 0:
        KeSetEvent(&Notification[Which], Random % 3, FALSE);
        break;
    case 1:
        KeResetEvent(&Notification[Which]);
        break;
    case 2:
        KePulseEvent(&Notification[Which], 1, FALSE);
        break;
    case 3:
        WaitSoon(Self, &Notification[Which]);
        break;
    case 4:
    case 5:
        KeSetEvent(&Synchronization[Which], 1, FALSE);
        break;
    default:
        WaitSoon(Self, &Synchronization[Which]);
    }
}

static VOID Semaphores(PSOAK_THREAD Self, ULONG Random)
{
    PKSEMAPHORE Which = &Semaphore[Random % SOAK_SHARED];

    if (WaitSoon(Self, Which) == STATUS_SUCCESS) {
        if (Random % 16 == 0) {
            ZwYieldExecution();
        }
        KeReleaseSemaphore(Which, 1, 1, FALSE);
    }
}

static VOID Mutants(PSOAK_THREAD Self, ULONG Random)
{
    ULONG Which = Random % SOAK_SHARED;

    if (WaitSoon(Self, &Mutant[Which]) == STATUS_SUCCESS) {
        Alone(&InMutant[Which], "two owners of a mutant", Random % 4 == 0);
        KeReleaseMutant(&Mutant[Which], 1, FALSE, FALSE);
    }
}

/* Two semaphores and an event at once, or any of them. */
static VOID Several(PSOAK_THREAD Self, ULONG Random)
{
    ULONG First = Random % SOAK_SHARED, Second = (First + 1 + Random / 8 % (SOAK_SHARED - 1)) % SOAK_SHARED;
    PVOID Objects[3] = {&Semaphore[First], &Semaphore[Second], &Notification[First]};
    WAIT_TYPE Type = Random % 3 == 0 ? WaitAny : WaitAll;
    LARGE_INTEGER Timeout = Soon(Self);
    NTSTATUS Status = KeWaitForMultipleObjects(3, Objects, Type, Executive, KernelMode, FALSE, &Timeout, NULL);

    Check(Status == STATUS_TIMEOUT || (Type == WaitAll && Status == STATUS_SUCCESS) ||
              (Type == WaitAny && Status >= STATUS_WAIT_0 && Status <= STATUS_WAIT_2),
          "status of a wait for several");
    if (Status != STATUS_TIMEOUT && (Type == WaitAll || Status == STATUS_WAIT_0)) {
        KeReleaseSemaphore(&Semaphore[First], 0, 1, FALSE);
    }
    if (Status != STATUS_TIMEOUT && (Type == WaitAll || Status == STATUS_WAIT_1)) {
        KeReleaseSemaphore(&Semaphore[Second], 0, 1, FALSE);
    }
}

static VOID Mutexes(PSOAK_THREAD Self, ULONG Random)
{
    BOOLEAN MayYield = Random % 16 == 0;

    switch (Random / 16 % 4) {
    case 0:
        ExAcquireFastMutex(&Fast);
        Alone(&InFast, "two owners of a fast mutex", MayYield);
        ExReleaseFastMutex(&Fast);
        break;
    case 1:
        KeAcquireGuardedMutex(&Guarded);
        Alone(&InGuarded, "two owners of a guarded mutex", MayYield);
        KeReleaseGuardedMutex(&Guarded);
        break;
    case 2:
        KeEnterCriticalRegion();
        ExfAcquirePushLockExclusive(&Push);
        Alone(&InPush, "two owners of a push lock", MayYield);
        ExfReleasePushLockExclusive(&Push);
        KeLeaveCriticalRegion();
        break;
    default:
        KeEnterCriticalRegion();
        ExfAcquirePushLockShared(&Push);
        Check(InPush == 0, "a sharer beside the owner of a push lock");
        ExfReleasePushLockShared(&Push);
        KeLeaveCriticalRegion();
    }
}

static VOID Resources(PSOAK_THREAD Self, ULONG Random)
{
    KeEnterCriticalRegion();
    if (Random % 4 == 0) {
        ExAcquireResourceExclusiveLite(&Resource, TRUE);
        Alone(&InResource, "two owners of a resource", Random % 16 == 0);
        if (Random % 8 == 0) {
            ExConvertExclusiveToSharedLite(&Resource);
        }
    } else {
        ExAcquireResourceSharedLite(&Resource, TRUE);
        Check(InResource == 0, "a sharer beside the owner of a resource");
    }
    ExReleaseResourceLite(&Resource);
    KeLeaveCriticalRegion();
}

static VOID SpinLocks(PSOAK_THREAD Self, ULONG Random)
{
    KLOCK_QUEUE_HANDLE Handle;
    KIRQL Irql;

    switch (Random % 4) {
    case 0:
        KeAcquireSpinLock(&Spin, &Irql);
        Alone(&InSpin, "two owners of a spin lock", FALSE);
        KeReleaseSpinLock(&Spin, Irql);
        break;
    case 1:
        KeAcquireInStackQueuedSpinLock(&Queued, &Handle);
        Alone(&InQueued, "two owners of a queued spin lock", FALSE);
        KeReleaseInStackQueuedSpinLock(&Handle);
        break;
    case 2:
        Irql = ExAcquireSpinLockExclusive(&Rw);
        Alone(&InRw, "two owners of a reader-writer spin lock", FALSE);
        ExReleaseSpinLockExclusive(&Rw, Irql);
        break;
    default:
        Irql = ExAcquireSpinLockShared(&Rw);
        Check(InRw == 0, "a sharer beside the owner of a reader-writer spin lock");
        ExReleaseSpinLockShared(&Rw, Irql);
    }
}

static VOID FreeBlock(PSOAK_THREAD Self, ULONG Slot)
{
    PUCHAR Block = Self->Block[Slot];

    if (Block != NULL) {
        for (SIZE_T i = 0; i < Self->Bytes[Slot]; i += 97) {
            Check(Block[i] == (UCHAR)((ULONG_PTR)Block >> 4), "memory has changed");
        }
        ExFreePoolWithTag(Block, SOAK_TAG);
        Self->Block[Slot] = NULL;
    }
}

static VOID Memory(PSOAK_THREAD Self, ULONG Random)
{
    ULONG Slot = Random % SOAK_BLOCKS;

    FreeBlock(Self, Slot);
    if (Random % 4 != 3 || Random / 4 % 2 == 0) {
        Self->Bytes[Slot] = 16 + Random / 16 % (Random % 64 == 0 ? 20000 : 1000);
        Self->Block[Slot] =
            ExAllocatePoolWithTag(Random % 3 == 0 ? PagedPool : NonPagedPool, Self->Bytes[Slot], SOAK_TAG);
        if (Self->Block[Slot] != NULL) {
            memset(Self->Block[Slot], (UCHAR)((ULONG_PTR)Self->Block[Slot] >> 4), Self->Bytes[Slot]);
        }
    }
}

static VOID NTAPI SignalOwn(PVOID Context)
{
    KeSetEvent(&((PSOAK_THREAD)Context)->Own, 0, FALSE);
}

static VOID NTAPI DpcSignalsOwn(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    SignalOwn(Context);
}

static VOID NTAPI ApcSignalsOwn(PKAPC Apc, PKNORMAL_ROUTINE *Normal, PVOID *Context, PVOID *Argument1, PVOID *Argument2)
{
    SignalOwn(CONTAINING_RECORD(Apc, SOAK_THREAD, Apc));
}

/* Something that is to signal this thread's own event, always: a lost one ends the soak. */
static VOID Deferred(PSOAK_THREAD Self, ULONG Random)
{
    KeClearEvent(&Self->Own);
    switch (Random % 4) {
    case 0:
        ExInitializeWorkItem(&Self->Work, SignalOwn, Self);
        ExQueueWorkItem(&Self->Work, Random / 4 % 3 == 0 ? CriticalWorkQueue : DelayedWorkQueue);
        break;
    case 1:
        KeSetTimer(&Self->Timer, Soon(Self), &Self->Dpc);
        if (Random / 4 % 4 == 0 && KeCancelTimer(&Self->Timer)) {
            KeSetEvent(&Self->Own, 0, FALSE);
        }
        break;
    case 2:
        KeInsertQueueDpc(&Self->Dpc, NULL, NULL);
        break;
    default:
        KeInitializeApc(&Self->Apc, KeGetCurrentThread(), OriginalApcEnvironment, ApcSignalsOwn, NULL, NULL, KernelMode,
                        NULL);
        Check(KeInsertQueueApc(&Self->Apc, NULL, NULL, 1), "an APC that is not queued is refused");
    }
    Check(TestWait(&Self->Own) == STATUS_SUCCESS, "a work item, timer, DPC or APC got lost");
}

static VOID Handles(PSOAK_THREAD Self, ULONG Random)
{
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Handle;
    LONG Old;

    InitializeObjectAttributes(&Attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    if (NT_SUCCESS(ZwCreateEvent(&Handle, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE))) {
        Check(NT_SUCCESS(ZwSetEvent(Handle, &Old)) && Old == 0, "a handle stands for another event");
        Check(NT_SUCCESS(ZwClose(Handle)), "a handle is gone");
    }
}

static VOID Queues(PSOAK_THREAD Self, ULONG Random)
{
    LARGE_INTEGER Timeout = Soon(Self);
    PLIST_ENTRY Entry = KeRemoveQueue(&Queue, KernelMode, &Timeout);

    if ((LONG_PTR)Entry != STATUS_TIMEOUT) {
        KeInsertQueue(&Queue, Entry);
    }
}

/* In a critical region, since two threads that suspend one another would wait for each other. */
static VOID Suspend(PETHREAD Thread)
{
    if (Thread != PsGetCurrentThread()) {
        KeEnterCriticalRegion();
        KeSuspendThread(&Thread->Tcb, NULL);
        KeResumeThread(&Thread->Tcb);
        KeLeaveCriticalRegion();
    }
}

static VOID Schedule(PSOAK_THREAD Self, ULONG Random)
{
    LARGE_INTEGER Interval = Soon(Self);

    switch (Random % 5) {
    case 0:
        KeSetPriorityThread(KeGetCurrentThread(), (KPRIORITY)(4 + Random / 8 % 8));
        break;
    case 1:
        KeSetSystemAffinityThreadEx(TestRandom(&Self->Seed));
        KeRevertToUserAffinityThreadEx(0);
        break;
    case 2:
        Suspend(Threads[Random / 8 % SOAK_THREADS].Object);
        break;
    case 3:
        ZwYieldExecution();
        break;
    default:
        KeDelayExecutionThread(KernelMode, FALSE, &Interval);
    }
}

static VOID Visits(PSOAK_THREAD Self, ULONG Random)
{
    KAPC_STATE State;

    if (ExAcquireRundownProtection(&Rundown)) {
        KeStackAttachProcess(&Visited->Pcb, &State);
        if (Random % 8 == 0) {
            ZwYieldExecution();
        }
        Check(PsGetCurrentProcess() == Visited, "a visitor is elsewhere");
        KeUnstackDetachProcess(&State);
        ExReleaseRundownProtection(&Rundown);
    }
}

typedef VOID (*SOAK_ACTION)(PSOAK_THREAD Self, ULONG Random);

static const SOAK_ACTION SoakActions[] = {Events,    Events,    Semaphores, Mutants, Several, Mutexes,
                                          Resources, SpinLocks, SpinLocks,  Memory,  Memory,  Deferred,
                                          Handles,   Queues,    Schedule,   Visits};

static VOID NTAPI SoakThread(PVOID Context)
{
    PSOAK_THREAD Self = Context;

    while (!SoakStop) {
        ULONG Action = TestRandom(&Self->Seed) % RTL_NUMBER_OF(SoakActions);
        SoakActions[Action](Self, TestRandom(&Self->Seed));
        InterlockedIncrement64(&Actions);
        if (KeGetCurrentIrql() != PASSIVE_LEVEL || KeAreApcsDisabled()) {
            Check(FALSE, "an action ends inside a region");
            return;
        }
    }
    for (ULONG i = 0; i < SOAK_BLOCKS; i++) {
        FreeBlock(Self, i);
    }
}

/* ---- Begin and end ---- */

typedef struct _SOAK_BALANCE {
    ULONG64 Bytes;
    LONG64 Threads, Handles;
} SOAK_BALANCE;

/* Thread objects, but for the worker threads, of which there may be more for a while. */
static LONG64 CountThreads(VOID)
{
    LONG64 Count = (*PsThreadType)->ObjectCount;

    for (PETHREAD Thread = PsGetNextProcessThread(PsInitialSystemProcess, NULL); Thread != NULL;
         Thread = PsGetNextProcessThread(PsInitialSystemProcess, Thread)) {
        Count -= Thread->ActiveExWorker;
    }
    return Count;
}

static SOAK_BALANCE Balance(VOID)
{
    SOAK_BALANCE Now = {0};
    static EX_POOL_TAG Tags[128];
    ULONG Count = ExQueryPoolTags(Tags, RTL_NUMBER_OF(Tags));

    for (ULONG i = 0; i < Count; i++) {
        Now.Bytes += Tags[i].Tag == SOAK_TAG ? Tags[i].Bytes : 0;
    }
    Now.Threads = CountThreads();
    Now.Handles = ExpEventObjectType->HandleCount;
    return Now;
}

static VOID Prepare(ULONG64 Seed)
{
    for (ULONG i = 0; i < SOAK_SHARED; i++) {
        KeInitializeEvent(&Notification[i], NotificationEvent, i % 2 == 0);
        KeInitializeEvent(&Synchronization[i], SynchronizationEvent, FALSE);
        KeInitializeSemaphore(&Semaphore[i], 2, MAXLONG);
        KeInitializeMutant(&Mutant[i], FALSE);
        InMutant[i] = 0;
    }
    ExInitializeFastMutex(&Fast);
    KeInitializeGuardedMutex(&Guarded);
    ExInitializePushLock(&Push);
    ExInitializeResourceLite(&Resource);
    KeInitializeSpinLock(&Spin);
    KeInitializeSpinLock(&Queued);
    ExInitializeRundownProtection(&Rundown);
    KeInitializeQueue(&Queue, 0);
    Rw = 0;
    InFast = InGuarded = InPush = InResource = InSpin = InQueued = InRw = 0;
    SoakStop = 0;
    Actions = Wrong = 0;
    FirstWrong = NULL;
    for (ULONG i = 0; i < SOAK_THREADS; i++) {
        PSOAK_THREAD Thread = &Threads[i];
        Thread->Seed = Seed * 0x9E3779B97F4A7C15ULL + i + 1; /* any odd multiplier spreads neighbouring seeds */
        KeInitializeEvent(&Thread->Own, NotificationEvent, FALSE);
        KeInitializeTimer(&Thread->Timer);
        KeInitializeDpc(&Thread->Dpc, DpcSignalsOwn, Thread);
        KeInsertQueue(&Queue, &Thread->Entry);
    }
}

/* Starts the threads; each object is there before any of them looks at it. Returns how many there are. */
static ULONG Start(VOID)
{
    ULONG Count = 0;

    while (Count < SOAK_THREADS &&
           NT_SUCCESS(PspAllocateSystemThread(&Threads[Count].Object, SoakThread, &Threads[Count], 8))) {
        ObReferenceObject(Threads[Count].Object);
        Count++;
    }
    for (ULONG i = 0; i < Count; i++) {
        KeReadyThread(&Threads[i].Object->Tcb);
    }
    return Count;
}

static VOID Finish(ULONG Count)
{
    SoakStop = 1;
    for (ULONG i = 0; i < Count; i++) {
        while (TestWait(Threads[i].Object) != STATUS_SUCCESS) {
            ConPrint("soak: thread %u does not end: state %u, wait reason %u\n", (unsigned)i,
                     (unsigned)Threads[i].Object->Tcb.State, (unsigned)Threads[i].Object->Tcb.WaitReason);
            Check(FALSE, "a thread does not end");
        }
    }
    KeFlushQueuedDpcs();
    for (ULONG i = 0; i < Count; i++) {
        ObDereferenceObject(Threads[i].Object);
    }
    KeRundownQueue(&Queue);
    ExDeleteResourceLite(&Resource);
    ExWaitForRundownProtectionRelease(&Rundown);
    ObDereferenceObject(Visited);
    ObFlushDeferredDeletes();
}

/* Runs the soak; returns whether nothing was wrong, and prints what was. */
static BOOLEAN Soak(ULONG Seconds, ULONG64 Seed)
{
    SOAK_BALANCE Before = Balance(), After;
    ULONG Reports = VfReports();

    ConPrint("# soak: %u threads, %u s, seed %llu\n", SOAK_THREADS, (unsigned)Seconds, Seed);
    Threads = ExAllocatePoolWithTag(NonPagedPool, SOAK_THREADS * sizeof(*Threads), SOAK_TAG);
    if (Threads == NULL || !NT_SUCCESS(PspCreateProcess(&Visited, "soak"))) {
        ConPrint("soak: not enough memory\n");
        return FALSE;
    }
    memset(Threads, 0, SOAK_THREADS * sizeof(*Threads));
    Prepare(Seed);
    ULONG Count = Start();
    Check(Count == SOAK_THREADS, "not all threads could be started");
    ULONG64 End = KeQueryInterruptTime() + (ULONG64)Seconds * TEST_SECOND;
    while (KeQueryInterruptTime() < End && Wrong == 0) {
        TestSleep(TEST_SECOND / 2);
        Check(KiVerifyScheduler() == 0, "the scheduler's invariants");
    }
    Finish(Count);
    ExFreePoolWithTag(Threads, SOAK_TAG);
    for (ULONG i = 0; i < 500; i++) { /* the reaper is at its work */
        After = Balance();
        if (After.Threads <= Before.Threads) {
            break;
        }
        TestSleep(TEST_SECOND / 50);
    }
    Check(After.Bytes == Before.Bytes, "memory is left");
    Check(After.Threads <= Before.Threads, "threads are left");
    Check(After.Handles == Before.Handles, "handles are left");
    Check(VfReports() == Reports, "the verifier has something to report");
    ConPrint("# soak: %lld actions, %lld wrong%s%s\n", Actions, Wrong, Wrong != 0 ? ": " : "",
             Wrong != 0 ? FirstWrong : "");
    return Wrong == 0;
}

static VOID SoakCommand(ULONG ArgumentCount, PCSTR *Arguments)
{
    ULONG Seconds, Seed = (ULONG)KeQueryPerformanceCounter(NULL).QuadPart;

    if (ArgumentCount < 2 || !NT_SUCCESS(RtlCharToInteger(Arguments[1], 10, &Seconds)) ||
        (ArgumentCount > 2 && !NT_SUCCESS(RtlCharToInteger(Arguments[2], 10, &Seed)))) {
        ConPrint("soak: soak SECONDS [SEED]\n");
        return;
    }
    ConPrint(Soak(Seconds, Seed) ? "soak: ok\n" : "soak: failed\n");
}
CONSOLE_COMMAND(KtapSoak, "soak", "SECONDS [SEED]", "200 threads that do everything at random", SoakCommand);

/* 30 seconds, less where race tests go round less; always the same sequences. The long form is the command. */
static VOID Mixed(PKTAP_CONTEXT Ktap)
{
    BOOLEAN Success = Soak((ULONG)min(KtapIterations(30), 30), 1); /* not one operation: out of a check */

    KTAP_CHECK(Success);
}

static const KTAP_CASE_ENTRY Cases[] = {{"mixed", Mixed}};
KTAP_SUITE(SoakSuite, "soak", Cases);
