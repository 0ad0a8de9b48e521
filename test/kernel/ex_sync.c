/*
 * ex_sync.c - suites ex.resource, ex.worker, ex.slist, ex.mutex: the executive's locks, queues and lists.
 *
 * Helpers run as threads of higher priority than the console, so that on one processor they have tried or begun to wait
 * when the call that started them returns. Every resource and list is static and set up anew by its case.
 */
#include "ketest.h"

static ERESOURCE Resource;
static KEVENT Go, Done;
static volatile LONG Result, Count;

/* ---- Resources ---- */

typedef enum { TryShared, TryExclusive, TryStarve, TryWaitFor } TRY;

static VOID NTAPI Attempt(PVOID Context)
{
    BOOLEAN Got = FALSE;

    KeEnterCriticalRegion();
    switch ((TRY)(ULONG_PTR)Context) {
    case TryShared:
        Got = ExAcquireResourceSharedLite(&Resource, FALSE);
        break;
    case TryExclusive:
        Got = ExAcquireResourceExclusiveLite(&Resource, FALSE);
        break;
    case TryStarve:
        Got = ExAcquireSharedStarveExclusive(&Resource, FALSE);
        break;
    case TryWaitFor:
        Got = ExAcquireSharedWaitForExclusive(&Resource, FALSE);
        break;
    }
    if (Got) {
        ExReleaseResourceLite(&Resource);
    }
    KeLeaveCriticalRegion();
    Result = Got;
    KeSetEvent(&Done, 0, FALSE);
}

/* What another thread gets without waiting: 1, 0, or -1 if it could not be asked. */
static LONG Other(TRY What)
{
    KeInitializeEvent(&Done, SynchronizationEvent, FALSE);
    if (!TestThread(Attempt, (PVOID)(ULONG_PTR)What, 16) || TestWait(&Done) != STATUS_SUCCESS) {
        return -1;
    }
    return Result;
}

static VOID Modes(PKTAP_CONTEXT Ktap)
{
    ExInitializeResourceLite(&Resource);
    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite(&Resource, TRUE);
    LONG SharedWhileExclusive = Other(TryShared), ExclusiveWhileExclusive = Other(TryExclusive);
    BOOLEAN Again = ExAcquireResourceExclusiveLite(&Resource, FALSE);
    BOOLEAN AsShared = ExAcquireResourceSharedLite(&Resource, FALSE);
    ULONG Held = ExIsResourceAcquiredSharedLite(&Resource);
    BOOLEAN Mine = ExIsResourceAcquiredExclusiveLite(&Resource);
    ExReleaseResourceLite(&Resource);
    ExReleaseResourceLite(&Resource);
    ExConvertExclusiveToSharedLite(&Resource);
    LONG SharedWhileShared = Other(TryShared), ExclusiveWhileShared = Other(TryExclusive);
    ExReleaseResourceLite(&Resource);
    LONG ExclusiveWhileFree = Other(TryExclusive);
    KeLeaveCriticalRegion();
    KTAP_EQUAL(SharedWhileExclusive, 0);
    KTAP_EQUAL(ExclusiveWhileExclusive, 0);
    KTAP_CHECK(Again && AsShared && Mine);
    KTAP_EQUAL(Held, 3);
    KTAP_EQUAL(SharedWhileShared, 1);
    KTAP_EQUAL(ExclusiveWhileShared, 0);
    KTAP_EQUAL(ExclusiveWhileFree, 1);
    KTAP_EQUAL(ExDeleteResourceLite(&Resource), STATUS_SUCCESS);
}

static VOID NTAPI WaitExclusive(PVOID Context)
{
    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite(&Resource, TRUE);
    InterlockedIncrement(&Count);
    ExReleaseResourceLite(&Resource);
    KeLeaveCriticalRegion();
    KeSetEvent(&Go, 0, FALSE);
}

/* A waiting exclusive request holds new shared ones back, except the ones that say otherwise. */
static VOID Starvation(PKTAP_CONTEXT Ktap)
{
    ExInitializeResourceLite(&Resource);
    KeInitializeEvent(&Go, SynchronizationEvent, FALSE);
    Count = 0;
    KeEnterCriticalRegion();
    ExAcquireResourceSharedLite(&Resource, TRUE);
    BOOLEAN Started = TestThread(WaitExclusive, NULL, 16);
    ULONG Waiters = ExGetExclusiveWaiterCount(&Resource);
    LONG Plain = Other(TryShared), Starve = Other(TryStarve), WaitFor = Other(TryWaitFor);
    BOOLEAN Recursive = ExAcquireResourceSharedLite(&Resource, FALSE);
    BOOLEAN RecursiveWait = ExAcquireSharedWaitForExclusive(&Resource, FALSE);
    if (Recursive) {
        ExReleaseResourceLite(&Resource);
    }
    LONG Before = Count;
    ExReleaseResourceLite(&Resource);
    NTSTATUS Status = TestWait(&Go);
    KeLeaveCriticalRegion();
    KTAP_CHECK(Started);
    KTAP_EQUAL(Waiters, 1);
    KTAP_EQUAL(Plain, 0);
    KTAP_EQUAL(Starve, 1);
    KTAP_EQUAL(WaitFor, 0);
    KTAP_CHECK(Recursive && !RecursiveWait);
    KTAP_EQUAL(Before, 0);
    KTAP_EQUAL(Status, STATUS_SUCCESS);
    KTAP_EQUAL(Count, 1);
    ExDeleteResourceLite(&Resource);
}

static KEVENT HoldShared;

static VOID NTAPI SharedHolder(PVOID Context)
{
    KeEnterCriticalRegion();
    ExAcquireResourceSharedLite(&Resource, TRUE);
    InterlockedIncrement(&Count);
    KeWaitForSingleObject(&HoldShared, Executive, KernelMode, FALSE, NULL);
    ExReleaseResourceLite(&Resource);
    KeLeaveCriticalRegion();
    if (InterlockedDecrement(&Count) == 0) {
        KeSetEvent(&Go, 0, FALSE);
    }
}

/* More sharers than the first owner table holds. */
static VOID ManySharers(PKTAP_CONTEXT Ktap)
{
    ExInitializeResourceLite(&Resource);
    KeInitializeEvent(&HoldShared, NotificationEvent, FALSE);
    KeInitializeEvent(&Go, SynchronizationEvent, FALSE);
    Count = 0;
    for (ULONG i = 0; i < 40; i++) {
        KTAP_CHECK(TestThread(SharedHolder, NULL, 16));
    }
    KTAP_EQUAL(Count, 40);
    KTAP_EQUAL(Other(TryExclusive), 0);
    KeSetEvent(&HoldShared, 0, FALSE);
    KTAP_EQUAL(TestWait(&Go), STATUS_SUCCESS);
    KTAP_EQUAL(Other(TryExclusive), 1);
    ExDeleteResourceLite(&Resource);
}

/* ---- Work queues ---- */

static WORK_QUEUE_ITEM Items[64];
static KIRQL WorkIrql;

static VOID NTAPI Work(PVOID Parameter)
{
    WorkIrql = KeGetCurrentIrql();
    if (InterlockedIncrement(&Count) == (LONG)(LONG_PTR)Parameter) {
        KeSetEvent(&Done, 0, FALSE);
    }
}

static VOID RunsAll(PKTAP_CONTEXT Ktap)
{
    KeInitializeEvent(&Done, SynchronizationEvent, FALSE);
    Count = 0;
    for (ULONG i = 0; i < RTL_NUMBER_OF(Items); i++) {
        ExInitializeWorkItem(&Items[i], Work, (PVOID)RTL_NUMBER_OF(Items));
        ExQueueWorkItem(&Items[i], (WORK_QUEUE_TYPE)(i % MaximumWorkQueue));
    }
    KTAP_EQUAL(TestWait(&Done), STATUS_SUCCESS);
    KTAP_EQUAL(Count, RTL_NUMBER_OF(Items));
    KTAP_EQUAL(WorkIrql, PASSIVE_LEVEL);
}

static VOID NTAPI Blocked(PVOID Parameter)
{
    KeWaitForSingleObject(&Go, Executive, KernelMode, FALSE, NULL);
    if (InterlockedDecrement(&Count) == 0) {
        KeSetEvent(&Done, 0, FALSE);
    }
}

static VOID NTAPI LetGo(PVOID Parameter)
{
    KeSetEvent(&Go, 0, FALSE);
}

/* Items that wait for a later one: the pool must grow. */
static VOID Grows(PKTAP_CONTEXT Ktap)
{
    NTSTATUS Status;

    KeInitializeEvent(&Go, NotificationEvent, FALSE);
    KeInitializeEvent(&Done, SynchronizationEvent, FALSE);
    Count = 6;
    for (ULONG i = 0; i < 6; i++) {
        ExInitializeWorkItem(&Items[i], Blocked, NULL);
        ExQueueWorkItem(&Items[i], DelayedWorkQueue);
    }
    ExInitializeWorkItem(&Items[6], LetGo, NULL);
    ExQueueWorkItem(&Items[6], DelayedWorkQueue);
    Status = TestWait(&Done);
    KeSetEvent(&Go, 0, FALSE); /* whatever came of it, the workers are free again */
    if (Status != STATUS_SUCCESS) {
        TestWait(&Done);
    }
    KTAP_CHECK(Status == STATUS_SUCCESS || Ktap->Faults); /* no thread is made while each lacks one of its blocks */
}

/* ---- Lists and mutexes ---- */

static SLIST_HEADER List;
static DECLSPEC_ALIGN(16) SLIST_ENTRY Entries[8];

static VOID Slist(PKTAP_CONTEXT Ktap)
{
    InitializeSListHead(&List);
    KTAP_CHECK(ExpInterlockedPopEntrySList(&List) == NULL);
    KTAP_CHECK(ExpInterlockedPushEntrySList(&List, &Entries[0]) == NULL);
    KTAP_CHECK(ExpInterlockedPushEntrySList(&List, &Entries[1]) == &Entries[0]);
    KTAP_EQUAL(ExQueryDepthSList(&List), 2);
    KTAP_CHECK(ExpInterlockedPopEntrySList(&List) == &Entries[1]);
    Entries[2].Next = &Entries[3];
    KTAP_CHECK(InterlockedPushListSList(&List, &Entries[2], &Entries[3], 2) == &Entries[0]);
    KTAP_EQUAL(ExQueryDepthSList(&List), 3);
    PSLIST_ENTRY First = ExpInterlockedFlushSList(&List);
    KTAP_CHECK(First == &Entries[2] && First->Next == &Entries[3] && First->Next->Next == &Entries[0]);
    KTAP_CHECK(Entries[0].Next == NULL);
    KTAP_EQUAL(ExQueryDepthSList(&List), 0);
    KTAP_CHECK(ExpInterlockedPopEntrySList(&List) == NULL);
}

/* What a fault in the middle of a pop leads to: a new start if the header has moved on, else nothing. */
static VOID SlistRestart(PKTAP_CONTEXT Ktap)
{
    static KTRAP_FRAME Frame;

    InitializeSListHead(&List);
    ExpInterlockedPushEntrySList(&List, &Entries[0]);
    Frame.Rip = (ULONG64)ExpInterlockedPopEntrySListFault;
    Frame.R8 = (ULONG64)&List;
    Frame.Rax = List.Alignment;
    KTAP_CHECK(!KiRestartSlistPop(&Frame));
    ExpInterlockedPopEntrySList(&List);
    ExpInterlockedPushEntrySList(&List, &Entries[0]); /* the same entry, the same depth, another sequence */
    KTAP_CHECK(KiRestartSlistPop(&Frame));
    KTAP_EQUAL(Frame.Rip, (ULONG64)ExpInterlockedPopEntrySListResume);
    KTAP_CHECK(!KiRestartSlistPop(&Frame)); /* any other place */
}

static VOID Lookaside(PKTAP_CONTEXT Ktap)
{
    static NPAGED_LOOKASIDE_LIST Side;
    PVOID First, Second;

    ExInitializeNPagedLookasideList(&Side, NULL, NULL, 0, 200, 'tseT', 0);
    First = ExAllocateFromNPagedLookasideList(&Side);
    KTAP_CHECK(First != NULL);
    ExFreeToNPagedLookasideList(&Side, First);
    Second = ExAllocateFromNPagedLookasideList(&Side);
    KTAP_CHECK(First == Second);
    KTAP_EQUAL(Side.L.AllocateMisses, 1);
    ExFreeToNPagedLookasideList(&Side, Second);
    ExDeleteNPagedLookasideList(&Side);
    KTAP_EQUAL(ExQueryDepthSList(&Side.L.ListHead), 0);
}

static FAST_MUTEX Fast;
static volatile LONG Inside, Worst;

static VOID NTAPI FastContender(PVOID Context)
{
    for (ULONG i = 0; i < 300; i++) {
        ExAcquireFastMutex(&Fast);
        LONG Now = InterlockedIncrement(&Inside);
        if (Now > Worst) {
            Worst = Now;
        }
        ZwYieldExecution();
        InterlockedDecrement(&Inside);
        ExReleaseFastMutex(&Fast);
    }
    if (InterlockedIncrement(&Count) == 4) {
        KeSetEvent(&Done, 0, FALSE);
    }
}

static VOID FastMutex(PKTAP_CONTEXT Ktap)
{
    ExInitializeFastMutex(&Fast);
    KeInitializeEvent(&Done, SynchronizationEvent, FALSE);
    Count = Inside = Worst = 0;
    ExAcquireFastMutex(&Fast);
    KIRQL Held = KeGetCurrentIrql();
    ExReleaseFastMutex(&Fast);
    for (ULONG i = 0; i < 4; i++) {
        KTAP_CHECK(TestThread(FastContender, NULL, 8));
    }
    KTAP_EQUAL(TestWait(&Done), STATUS_SUCCESS);
    KTAP_EQUAL(Held, APC_LEVEL);
    KTAP_EQUAL(Worst, 1);
    KTAP_EQUAL(KeGetCurrentIrql(), PASSIVE_LEVEL);
}

static EX_RUNDOWN_REF Rundown;

static VOID NTAPI RundownUser(PVOID Context)
{
    TestWait(&Go);
    ExReleaseRundownProtection(&Rundown);
}

static VOID RundownWaits(PKTAP_CONTEXT Ktap)
{
    ExInitializeRundownProtection(&Rundown);
    KeInitializeEvent(&Go, NotificationEvent, FALSE);
    KTAP_CHECK(ExAcquireRundownProtection(&Rundown));
    KTAP_CHECK(TestThread(RundownUser, NULL, 8));
    KeSetEvent(&Go, 0, FALSE);
    ExWaitForRundownProtectionRelease(&Rundown);
    KTAP_CHECK(!ExAcquireRundownProtection(&Rundown));
    ExReInitializeRundownProtection(&Rundown);
    KTAP_CHECK(ExAcquireRundownProtection(&Rundown));
    ExReleaseRundownProtection(&Rundown);
}

static const KTAP_CASE_ENTRY ResourceCases[] = {
    {"modes", Modes}, {"starvation", Starvation}, {"many_sharers", ManySharers}};
KTAP_SUITE_ON_ONE(ExResourceSuite, "ex.resource", ResourceCases);

static const KTAP_CASE_ENTRY WorkerCases[] = {{"runs_all", RunsAll}, {"grows", Grows}};
KTAP_SUITE_ON_ONE(ExWorkerSuite, "ex.worker", WorkerCases);

static const KTAP_CASE_ENTRY ListCases[] = {{"operations", Slist}, {"restart", SlistRestart}, {"lookaside", Lookaside}};
KTAP_SUITE_ON_ONE(ExSlistSuite, "ex.slist", ListCases);

static const KTAP_CASE_ENTRY MutexCases[] = {{"fast", FastMutex}, {"rundown", RundownWaits}};
KTAP_SUITE_ON_ONE(ExMutexSuite, "ex.mutex", MutexCases);
