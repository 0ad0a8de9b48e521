/*
 * race_lock.c - suite race.lock: a counter under each kind of lock, sharers beside owners, rundown, abandoned mutants.
 *
 * The counter is read, held for a moment and written back: two threads inside at once lose an increment. Two threads a processor
 * go round 100,000 times in all for each lock.
 */
#include "ketest.h"

#include <ntos/pushlock.h>

static KSPIN_LOCK Spin;
static FAST_MUTEX Fast;
static KGUARDED_MUTEX Guarded;
static EX_PUSH_LOCK Push;
static ERESOURCE Resource;
static KMUTANT Mutant;
static KSEMAPHORE Semaphore;
static KEVENT Event;
static EX_SPIN_LOCK Rw;
static EX_RUNDOWN_REF Rundown;

static volatile ULONG64 Counter, Rounds;
static volatile LONG Bad, Dead;

static VOID Increment(VOID)
{
    ULONG64 Value = Counter;

    for (ULONG i = 0; i < Value % 4; i++) {
        YieldProcessor();
    }
    Counter = Value + 1;
}

static VOID SpinBody(ULONG Number)
{
    KIRQL Irql;

    for (ULONG64 i = 0; i < Rounds; i++) {
        KeAcquireSpinLock(&Spin, &Irql);
        Increment();
        KeReleaseSpinLock(&Spin, Irql);
    }
}

static VOID QueuedBody(ULONG Number)
{
    KLOCK_QUEUE_HANDLE Handle;

    for (ULONG64 i = 0; i < Rounds; i++) {
        KeAcquireInStackQueuedSpinLock(&Spin, &Handle);
        Increment();
        KeReleaseInStackQueuedSpinLock(&Handle);
    }
}

static VOID RwBody(ULONG Number)
{
    for (ULONG64 i = 0; i < Rounds; i++) {
        KIRQL Irql = ExAcquireSpinLockExclusive(&Rw);
        Increment();
        ExReleaseSpinLockExclusive(&Rw, Irql);
    }
}

static VOID FastBody(ULONG Number)
{
    for (ULONG64 i = 0; i < Rounds; i++) {
        if (i % 8 != 0 || !ExTryToAcquireFastMutex(&Fast)) {
            ExAcquireFastMutex(&Fast);
        }
        Increment();
        ExReleaseFastMutex(&Fast);
    }
}

static VOID GuardedBody(ULONG Number)
{
    for (ULONG64 i = 0; i < Rounds; i++) {
        if (i % 8 != 0 || !KeTryToAcquireGuardedMutex(&Guarded)) {
            KeAcquireGuardedMutex(&Guarded);
        }
        Increment();
        KeReleaseGuardedMutex(&Guarded);
    }
}

static VOID PushBody(ULONG Number)
{
    for (ULONG64 i = 0; i < Rounds; i++) {
        KeEnterCriticalRegion();
        ExfAcquirePushLockExclusive(&Push);
        Increment();
        ExfReleasePushLockExclusive(&Push);
        KeLeaveCriticalRegion();
    }
}

static VOID ResourceBody(ULONG Number)
{
    for (ULONG64 i = 0; i < Rounds; i++) {
        KeEnterCriticalRegion();
        ExAcquireResourceExclusiveLite(&Resource, TRUE);
        Increment();
        ExReleaseResourceLite(&Resource);
        KeLeaveCriticalRegion();
    }
}

static VOID MutantBody(ULONG Number)
{
    for (ULONG64 i = 0; i < Rounds; i++) {
        KeWaitForSingleObject(&Mutant, Executive, KernelMode, FALSE, NULL);
        Increment();
        KeReleaseMutant(&Mutant, 0, FALSE, FALSE);
    }
}

static VOID SemaphoreBody(ULONG Number)
{
    for (ULONG64 i = 0; i < Rounds; i++) {
        KeWaitForSingleObject(&Semaphore, Executive, KernelMode, FALSE, NULL);
        Increment();
        KeReleaseSemaphore(&Semaphore, 0, 1, FALSE);
    }
}

static VOID EventBody(ULONG Number)
{
    for (ULONG64 i = 0; i < Rounds; i++) {
        KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
        Increment();
        KeSetEvent(&Event, 0, FALSE);
    }
}

static VOID Count(PKTAP_CONTEXT Ktap, TEST_BODY Body, ULONG64 Normal)
{
    ULONG Racers = TestRacers();

    Counter = 0;
    Rounds = max(KtapIterations(Normal) / Racers, 1);
    KTAP_CHECK(TestParallel(Racers, Body));
    KTAP_EQUAL(Counter, Rounds * Racers);
}

static VOID SpinLock(PKTAP_CONTEXT Ktap)
{
    KeInitializeSpinLock(&Spin);
    Count(Ktap, SpinBody, 100000);
}

static VOID QueuedSpinLock(PKTAP_CONTEXT Ktap)
{
    KeInitializeSpinLock(&Spin);
    Count(Ktap, QueuedBody, 100000);
    KTAP_EQUAL(Spin, 0);
}

static VOID RwSpinLock(PKTAP_CONTEXT Ktap)
{
    Rw = 0;
    Count(Ktap, RwBody, 100000);
    KTAP_EQUAL(Rw, 0);
}

static VOID FastMutex(PKTAP_CONTEXT Ktap)
{
    ExInitializeFastMutex(&Fast);
    Count(Ktap, FastBody, 100000);
}

static VOID GuardedMutex(PKTAP_CONTEXT Ktap)
{
    KeInitializeGuardedMutex(&Guarded);
    Count(Ktap, GuardedBody, 100000);
}

static VOID PushLock(PKTAP_CONTEXT Ktap)
{
    ExInitializePushLock(&Push);
    Count(Ktap, PushBody, 100000);
    KTAP_EQUAL(Push, 0);
}

static VOID ResourceLock(PKTAP_CONTEXT Ktap)
{
    ExInitializeResourceLite(&Resource);
    Count(Ktap, ResourceBody, 100000);
    ExDeleteResourceLite(&Resource);
}

static VOID MutantLock(PKTAP_CONTEXT Ktap)
{
    KeInitializeMutant(&Mutant, FALSE);
    Count(Ktap, MutantBody, 100000);
    KTAP_EQUAL(KeReadStateMutant(&Mutant), 1);
}

static VOID SemaphoreLock(PKTAP_CONTEXT Ktap)
{
    KeInitializeSemaphore(&Semaphore, 1, 1);
    Count(Ktap, SemaphoreBody, 100000);
    KTAP_EQUAL(KeReadStateSemaphore(&Semaphore), 1);
}

static VOID EventLock(PKTAP_CONTEXT Ktap)
{
    KeInitializeEvent(&Event, SynchronizationEvent, TRUE);
    Count(Ktap, EventBody, 100000);
    KTAP_EQUAL(KeReadStateEvent(&Event), 1);
}

/* ---- Sharing ---- */

static volatile ULONG64 Left, Right;

static VOID SharedVisit(ULONG Random)
{
    BOOLEAN Wait = Random % 8 != 0;

    KeEnterCriticalRegion();
    if (Random % 4 == 0) {
        if (ExAcquireResourceExclusiveLite(&Resource, Wait)) {
            Left++;
            Right++;
            if (Random % 16 == 4) {
                ExConvertExclusiveToSharedLite(&Resource);
                Bad += Left != Right;
            }
            ExReleaseResourceLite(&Resource);
        }
    } else {
        BOOLEAN Got = Random % 4 == 1   ? ExAcquireSharedStarveExclusive(&Resource, Wait)
                      : Random % 4 == 2 ? ExAcquireSharedWaitForExclusive(&Resource, Wait)
                                        : ExAcquireResourceSharedLite(&Resource, Wait);
        if (Got) {
            Bad += Left != Right;
            if (Random % 64 == 3 && ExAcquireResourceSharedLite(&Resource, TRUE)) { /* recursive: never behind others */
                Bad += ExIsResourceAcquiredSharedLite(&Resource) != 2;
                ExReleaseResourceLite(&Resource);
            }
            ExReleaseResourceLite(&Resource);
        }
    }
    KeLeaveCriticalRegion();
}

static VOID SharedBody(ULONG Number)
{
    ULONG64 Seed = Number + 1;

    for (ULONG64 i = 0; i < Rounds; i++) {
        SharedVisit(TestRandom(&Seed));
    }
}

static VOID ResourceShared(PKTAP_CONTEXT Ktap)
{
    Left = Right = 0;
    Bad = 0;
    Rounds = KtapIterations(100000) / TestRacers();
    ExInitializeResourceLite(&Resource);
    KTAP_CHECK(TestParallel(TestRacers(), SharedBody));
    KTAP_EQUAL(Bad, 0);
    KTAP_EQUAL(Left, Right);
    KTAP_EQUAL(Resource.ActiveEntries, 0);
    ExDeleteResourceLite(&Resource);
}

/* ---- Rundown: users never see the object dead ---- */

static VOID RundownBody(ULONG Number)
{
    for (ULONG64 i = 0; i < Rounds; i++) {
        if (Number == 0) {
            if (i % 16 == 0) {
                ExWaitForRundownProtectionRelease(&Rundown);
                Dead = 1;
                ZwYieldExecution();
                Dead = 0;
                ExReInitializeRundownProtection(&Rundown);
            }
        } else if (ExAcquireRundownProtectionEx(&Rundown, 1 + i % 3)) {
            Bad += Dead;
            ExReleaseRundownProtectionEx(&Rundown, 1 + i % 3);
        }
    }
}

static VOID RundownRace(PKTAP_CONTEXT Ktap)
{
    Bad = Dead = 0;
    Rounds = KtapIterations(100000) / TestRacers();
    ExInitializeRundownProtection(&Rundown);
    KTAP_CHECK(TestParallel(TestRacers(), RundownBody));
    KTAP_EQUAL(Bad, 0);
    ExWaitForRundownProtectionRelease(&Rundown);
}

/* ---- Mutants whose owners end ---- */

static volatile LONG Abandoned, Owners;

static VOID AbandonBody(ULONG Number)
{
    NTSTATUS Status = KeWaitForSingleObject(&Mutant, Executive, KernelMode, FALSE, NULL);

    Bad += InterlockedIncrement(&Owners) != 1;
    Abandoned += Status == STATUS_ABANDONED_WAIT_0;
    Bad += Status != STATUS_SUCCESS && Status != STATUS_ABANDONED_WAIT_0;
    InterlockedDecrement(&Owners);
    if (Number % 2 == 0) {
        KeReleaseMutant(&Mutant, 0, FALSE, FALSE);
    } /* the others end as its owners */
}

/* Every mutant left behind is handed on, and exactly the next owner is told. */
static VOID Abandon(PKTAP_CONTEXT Ktap)
{
    ULONG Racers = TestRacers(), Times = (ULONG)KtapIterations(100);

    Bad = Abandoned = Owners = 0;
    KeInitializeMutant(&Mutant, FALSE);
    for (ULONG i = 0; i < Times; i++) {
        KTAP_CHECK(TestParallel(Racers, AbandonBody));
    }
    NTSTATUS Last = TestPoll(&Mutant);
    Abandoned += Last == STATUS_ABANDONED_WAIT_0;
    KeReleaseMutant(&Mutant, 0, FALSE, FALSE);
    KTAP_EQUAL(Bad, 0);
    KTAP_EQUAL(Abandoned, Times * (Racers / 2));
}

static const KTAP_CASE_ENTRY Cases[] = {{"spin", SpinLock},
                                        {"queued", QueuedSpinLock},
                                        {"rwspin", RwSpinLock},
                                        {"fast", FastMutex},
                                        {"guarded", GuardedMutex},
                                        {"push", PushLock},
                                        {"resource", ResourceLock},
                                        {"mutant", MutantLock},
                                        {"semaphore", SemaphoreLock},
                                        {"event", EventLock},
                                        {"resource_shared", ResourceShared},
                                        {"rundown", RundownRace},
                                        {"abandon", Abandon}};
KTAP_SUITE(RaceLockSuite, "race.lock", Cases);
