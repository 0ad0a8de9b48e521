/*
 * wdm_ke.c - routines of the kernel core that drivers call and that no other suite has a reason to: each form of spin lock, guarded
 * mutexes, device queues, DPC targets.
 *
 * Two processors are not needed: what is checked is the documented result and IRQL of each call. Contention has its races in the
 * suites of locks.
 */
#include "ketest.h"

static KSPIN_LOCK Lock;
static KLOCK_QUEUE_HANDLE Queued;

static VOID KeSpin(PKTAP_CONTEXT Ktap)
{
    KIRQL Old;
    BOOLEAN Free, Taken;

    KeInitializeSpinLock(&Lock);
    Old = KeAcquireSpinLockRaiseToDpc(&Lock);
    Taken = !KeTestSpinLock(&Lock);
    KTAP_EQUAL(KeGetCurrentIrql(), DISPATCH_LEVEL);
    KeReleaseSpinLock(&Lock, Old);
    KTAP_CHECK(Taken);
    KTAP_EQUAL(KeGetCurrentIrql(), PASSIVE_LEVEL);
    Free = KeTestSpinLock(&Lock);
    KTAP_CHECK(Free);

    KeRaiseIrql(DISPATCH_LEVEL, &Old);
    KeAcquireSpinLockAtDpcLevel(&Lock);
    Taken = !KeTestSpinLock(&Lock);
    KeReleaseSpinLockFromDpcLevel(&Lock);
    Free = KeTryToAcquireSpinLockAtDpcLevel(&Lock);
    KeReleaseSpinLockFromDpcLevel(&Lock);
    KeLowerIrql(Old);
    KTAP_CHECK(Taken && Free);

    Old = KeAcquireSpinLockForDpc(&Lock);
    KTAP_EQUAL(KeGetCurrentIrql(), DISPATCH_LEVEL);
    KeReleaseSpinLockForDpc(&Lock, Old);
    Old = KeAcquireSpinLockRaiseToSynch(&Lock);
    Taken = KeGetCurrentIrql() >= DISPATCH_LEVEL;
    KeReleaseSpinLock(&Lock, Old);
    KTAP_CHECK(Taken);
    KTAP_EQUAL(KeGetCurrentIrql(), PASSIVE_LEVEL);
}

static VOID KeQueuedSpin(PKTAP_CONTEXT Ktap)
{
    BOOLEAN Taken;
    KIRQL Old;

    KeInitializeSpinLock(&Lock);
    KeAcquireInStackQueuedSpinLock(&Lock, &Queued);
    Taken = !KeTestSpinLock(&Lock) && KeGetCurrentIrql() == DISPATCH_LEVEL;
    KeReleaseInStackQueuedSpinLock(&Queued);
    KTAP_CHECK(Taken);
    KTAP_EQUAL(KeGetCurrentIrql(), PASSIVE_LEVEL);
    KeRaiseIrql(DISPATCH_LEVEL, &Old);
    KeAcquireInStackQueuedSpinLockAtDpcLevel(&Lock, &Queued);
    Taken = !KeTestSpinLock(&Lock);
    KeReleaseInStackQueuedSpinLockFromDpcLevel(&Queued);
    KeLowerIrql(Old);
    KTAP_CHECK(Taken);
    KeAcquireInStackQueuedSpinLockForDpc(&Lock, &Queued);
    Taken = !KeTestSpinLock(&Lock);
    KeReleaseInStackQueuedSpinLockForDpc(&Queued);
    KTAP_CHECK(Taken && KeTestSpinLock(&Lock));
    KTAP_EQUAL(KeGetCurrentIrql(), PASSIVE_LEVEL);
}

static VOID KeGuarded(PKTAP_CONTEXT Ktap)
{
    static KGUARDED_MUTEX Mutex;
    BOOLEAN Disabled, Again;

    KeInitializeGuardedMutex(&Mutex);
    KeAcquireGuardedMutex(&Mutex);
    Disabled = KeAreAllApcsDisabled() && KeGetCurrentIrql() == PASSIVE_LEVEL;
    KeReleaseGuardedMutex(&Mutex);
    KTAP_CHECK(Disabled && !KeAreAllApcsDisabled());
    KTAP_CHECK(KeTryToAcquireGuardedMutex(&Mutex));
    KeReleaseGuardedMutex(&Mutex);
    KeEnterGuardedRegion();
    KeAcquireGuardedMutexUnsafe(&Mutex);
    Again = KeTryToAcquireGuardedMutex(&Mutex); /* not recursive */
    KeReleaseGuardedMutexUnsafe(&Mutex);
    KeLeaveGuardedRegion();
    KTAP_CHECK(!Again);
    KTAP_CHECK(!KeAreAllApcsDisabled());
}

/* Takes the next entry at DISPATCH_LEVEL, as the queue's routines want. */
static PKDEVICE_QUEUE_ENTRY TakeByKey(PKDEVICE_QUEUE Queue, BOOLEAN ByKey, ULONG Key)
{
    PKDEVICE_QUEUE_ENTRY Entry;
    KIRQL Old;

    KeRaiseIrql(DISPATCH_LEVEL, &Old);
    Entry = ByKey ? KeRemoveByKeyDeviceQueue(Queue, Key) : KeRemoveDeviceQueue(Queue);
    KeLowerIrql(Old);
    return Entry;
}

static VOID KeDeviceQueue(PKTAP_CONTEXT Ktap)
{
    static KDEVICE_QUEUE Queue;
    static KDEVICE_QUEUE_ENTRY Entries[4];
    BOOLEAN Results[6];
    PKDEVICE_QUEUE_ENTRY IfBusy;
    KIRQL Old;

    KeInitializeDeviceQueue(&Queue);
    KeRaiseIrql(DISPATCH_LEVEL, &Old);
    IfBusy = KeRemoveByKeyDeviceQueueIfBusy(&Queue, 0); /* idle: nothing, and it stays idle */
    Results[0] = KeInsertDeviceQueue(&Queue, &Entries[0]);
    Results[1] = KeInsertByKeyDeviceQueue(&Queue, &Entries[1], 30);
    Results[2] = KeInsertByKeyDeviceQueue(&Queue, &Entries[2], 10);
    Results[3] = KeInsertByKeyDeviceQueue(&Queue, &Entries[3], 20);
    Results[4] = KeRemoveEntryDeviceQueue(&Queue, &Entries[3]);
    Results[5] = KeRemoveEntryDeviceQueue(&Queue, &Entries[3]);
    KeInsertByKeyDeviceQueue(&Queue, &Entries[3], 20);
    IfBusy = (IfBusy == NULL) ? KeRemoveByKeyDeviceQueueIfBusy(&Queue, 15) : NULL;
    KeLowerIrql(Old);
    KTAP_CHECK(!Results[0]); /* idle: it was not queued, the device is busy with it now */
    KTAP_CHECK(Results[1] && Results[2] && Results[3] && Results[4] && !Results[5]);
    KTAP_CHECK(IfBusy == &Entries[3]);                      /* the first at or above 15 */
    KTAP_CHECK(TakeByKey(&Queue, TRUE, 40) == &Entries[2]); /* none above: the lowest */
    KTAP_CHECK(TakeByKey(&Queue, FALSE, 0) == &Entries[1]);
    KTAP_CHECK(Queue.Busy);
    KTAP_CHECK(TakeByKey(&Queue, FALSE, 0) == NULL);
    KTAP_CHECK(!Queue.Busy);
}

static KEVENT DpcRan;
static volatile ULONG DpcProcessor;

static VOID NTAPI DpcRoutine(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    DpcProcessor = KeGetCurrentProcessorNumber();
    KeSetEvent(&DpcRan, IO_NO_INCREMENT, FALSE);
}

static VOID KeDpcTargets(PKTAP_CONTEXT Ktap)
{
    static KDPC Dpc;
    ULONG Last = KeQueryActiveProcessorCount(NULL) - 1;

    KeInitializeEvent(&DpcRan, SynchronizationEvent, FALSE);
    KeInitializeThreadedDpc(&Dpc, DpcRoutine, NULL);
    KTAP_CHECK(KeInsertQueueDpc(&Dpc, NULL, NULL));
    KTAP_EQUAL(TestWait(&DpcRan), STATUS_SUCCESS);
    KeInitializeDpc(&Dpc, DpcRoutine, NULL);
    KeSetTargetProcessorDpc(&Dpc, (CCHAR)Last);
    KTAP_CHECK(KeInsertQueueDpc(&Dpc, NULL, NULL));
    KTAP_EQUAL(TestWait(&DpcRan), STATUS_SUCCESS);
    KTAP_EQUAL(DpcProcessor, Last);
    KeFlushQueuedDpcs();
}

static volatile LONG Counted;

static ULONG_PTR NTAPI CountProcessor(ULONG_PTR Argument)
{
    InterlockedIncrement(&Counted);
    return Argument + KeGetCurrentIrql();
}

static VOID KeProcessors(PKTAP_CONTEXT Ktap)
{
    KPRIORITY Base = KeQueryPriorityThread(KeGetCurrentThread());
    LONG Old;

    Counted = 0;
    KTAP_EQUAL(KeIpiGenericCall(CountProcessor, 100), 100 + IPI_LEVEL);
    KTAP_EQUAL(Counted, KeQueryActiveProcessorCount(NULL));
    Old = KeSetBasePriorityThread(KeGetCurrentThread(), 1); /* above the process's base */
    KTAP_CHECK(KeSetBasePriorityThread(KeGetCurrentThread(), Old) == 1);
    KTAP_EQUAL(KeQueryPriorityThread(KeGetCurrentThread()), Base);
}

/* The exported forms of what the headers write out in line. */
static VOID KeInlines(PKTAP_CONTEXT Ktap)
{
    static PAGED_LOOKASIDE_LIST List;
    KIRQL(NTAPI * Get)(VOID) = KTAP_IMPORT(PVOID, KeGetCurrentIrql), (NTAPI * ToDpc)(VOID);
    PKTHREAD(NTAPI * Thread)(VOID) = KTAP_IMPORT(PVOID, KeGetCurrentThread);
    KIRQL(FASTCALL * Raise)(KIRQL) = KTAP_IMPORT(PVOID, KfRaiseIrql);
    VOID(FASTCALL * Lower)(KIRQL) = KTAP_IMPORT(PVOID, KeLowerIrql);
    PVOID(NTAPI * Allocate)(PPAGED_LOOKASIDE_LIST) = KTAP_IMPORT(PVOID, ExAllocateFromPagedLookasideList);
    VOID(NTAPI * Free)(PPAGED_LOOKASIDE_LIST, PVOID) = KTAP_IMPORT(PVOID, ExFreeToPagedLookasideList);
    KIRQL Old, Between;
    PVOID Block;

    ToDpc = KTAP_IMPORT(PVOID, KeRaiseIrqlToDpcLevel);
    KTAP_CHECK(Thread() == KeGetCurrentThread());
    Old = Raise(APC_LEVEL);
    Between = Get();
    KTAP_EQUAL(ToDpc(), APC_LEVEL);
    KTAP_EQUAL(Get(), DISPATCH_LEVEL);
    Lower(Old);
    KTAP_CHECK(Old == PASSIVE_LEVEL && Between == APC_LEVEL && Get() == PASSIVE_LEVEL);
    ExInitializePagedLookasideList(&List, NULL, NULL, 0, 64, 'eKdW', 0);
    Block = Allocate(&List);
    KTAP_CHECK(Block != NULL);
    Free(&List, Block);
    ExDeletePagedLookasideList(&List);
}

static const KTAP_CASE_ENTRY WdmKeCases[] = {
    {"spin", KeSpin},      {"queued_spin", KeQueuedSpin}, {"guarded", KeGuarded}, {"device_queue", KeDeviceQueue},
    {"dpc", KeDpcTargets}, {"processors", KeProcessors},  {"inlines", KeInlines},
};

KTAP_SUITE(WdmKeSuite, "wdm.ke", WdmKeCases);
