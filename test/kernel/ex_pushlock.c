/*
 * ex_pushlock.c - suites ex.pushlock and ex.rwspin: states, fairness, races of readers and writers.
 *
 * The races keep a pair of numbers equal under the lock; a reader that sees them differ was let in beside a writer. States
 * are set up by one thread and looked at by another, which never waits. Every lock is static and free after its case.
 */
#include "ketest.h"

#include <ntos/pushlock.h>

static EX_PUSH_LOCK Push;
static EX_SPIN_LOCK Rw;
static KEVENT Done;
static volatile LONG Count, Torn, Together;
static volatile LONG64 Left, Right;

static VOID NTAPI TryShared(PVOID Context)
{
    KeEnterCriticalRegion();
    Count = ExfTryAcquirePushLockShared(&Push);
    if (Count) {
        ExfReleasePushLockShared(&Push);
    }
    KeLeaveCriticalRegion();
    KeSetEvent(&Done, 0, FALSE);
}

static LONG OtherGetsShared(VOID)
{
    KeInitializeEvent(&Done, SynchronizationEvent, FALSE);
    Count = -1;
    if (TestThread(TryShared, NULL, 16)) {
        TestWait(&Done);
    }
    return Count;
}

static VOID NTAPI TakeExclusive(PVOID Context)
{
    KeEnterCriticalRegion();
    ExfAcquirePushLockExclusive(&Push);
    InterlockedIncrement(&Together);
    ExfReleasePushLockExclusive(&Push);
    KeLeaveCriticalRegion();
    KeSetEvent((PKEVENT)Context, 0, FALSE);
}

static VOID PushStates(PKTAP_CONTEXT Ktap)
{
    static KEVENT Taken;

    ExInitializePushLock(&Push);
    KeInitializeEvent(&Taken, SynchronizationEvent, FALSE);
    Together = 0;
    KeEnterCriticalRegion();
    ExfAcquirePushLockExclusive(&Push);
    LONG BesideWriter = OtherGetsShared();
    ExfReleasePushLock(&Push);
    ExfAcquirePushLockShared(&Push);
    LONG BesideReader = OtherGetsShared();
    BOOLEAN Started = TestThread(TakeExclusive, &Taken, 16);
    while ((*(volatile EX_PUSH_LOCK *)&Push & 2) == 0) {
        TestSleep(TEST_SECOND / 100);
    }
    LONG BehindWriter = OtherGetsShared(), TakenEarly = Together;
    ExfReleasePushLock(&Push);
    NTSTATUS Status = TestWait(&Taken);
    ExAcquirePushLockSharedEx(&Push, EX_DEFAULT_PUSH_LOCK_FLAGS);
    ExReleasePushLockSharedEx(&Push, EX_DEFAULT_PUSH_LOCK_FLAGS);
    ExAcquirePushLockExclusiveEx(&Push, EX_DEFAULT_PUSH_LOCK_FLAGS);
    ExReleasePushLockExclusiveEx(&Push, EX_DEFAULT_PUSH_LOCK_FLAGS);
    ExAcquirePushLockSharedEx(&Push, EX_DEFAULT_PUSH_LOCK_FLAGS);
    ExReleasePushLockEx(&Push, EX_DEFAULT_PUSH_LOCK_FLAGS);
    KeLeaveCriticalRegion();
    KTAP_CHECK(Started);
    KTAP_EQUAL(BesideWriter, 0);
    KTAP_EQUAL(BesideReader, 1);
    KTAP_EQUAL(BehindWriter, 0);
    KTAP_EQUAL(TakenEarly, 0);
    KTAP_EQUAL(Status, STATUS_SUCCESS);
    KTAP_EQUAL(Together, 1);
    KTAP_EQUAL(Push, 0);
}

/* One visit to the pair of numbers: one in four changes it. */
static VOID PushVisit(ULONG Random)
{
    KeEnterCriticalRegion();
    if (Random % 4 == 0) {
        ExfAcquirePushLockExclusive(&Push);
        Left++;
        if (Random % 64 == 0) {
            ZwYieldExecution();
        }
        Right++;
        ExfReleasePushLockExclusive(&Push);
    } else if (Random % 4 != 3 || ExfTryAcquirePushLockShared(&Push)) {
        if (Random % 4 != 3) {
            ExfAcquirePushLockShared(&Push);
        }
        Torn += Left != Right;
        if (Random % 4 == 1) {
            ExfReleasePushLock(&Push);
        } else {
            ExfReleasePushLockShared(&Push);
        }
    }
    KeLeaveCriticalRegion();
}

static VOID PushRacer(ULONG Number)
{
    ULONG64 Seed = Number + 1, Rounds = KtapIterations(100000) / TestRacers();

    for (ULONG64 i = 0; i < Rounds; i++) {
        PushVisit(TestRandom(&Seed));
    }
}

static VOID PushRace(PKTAP_CONTEXT Ktap)
{
    ExInitializePushLock(&Push);
    Left = Right = 0;
    Torn = 0;
    KTAP_CHECK(TestParallel(TestRacers(), PushRacer));
    KTAP_EQUAL(Torn, 0);
    KTAP_EQUAL(Left, Right);
    KTAP_EQUAL(Push, 0);
}

/* ---- Reader-writer spin locks ---- */

static VOID RwStates(PKTAP_CONTEXT Ktap)
{
    Rw = 0;
    KIRQL Before = ExAcquireSpinLockShared(&Rw);
    KIRQL Level = KeGetCurrentIrql();
    LOGICAL Alone = ExTryConvertSharedSpinLockExclusive(&Rw);
    ExReleaseSpinLockExclusive(&Rw, Before);
    Before = ExAcquireSpinLockShared(&Rw);
    Rw++; /* as another processor would */
    LOGICAL Two = ExTryConvertSharedSpinLockExclusive(&Rw);
    Rw--;
    ExReleaseSpinLockShared(&Rw, Before);
    KTAP_EQUAL(Level, DISPATCH_LEVEL);
    KTAP_CHECK(Alone && !Two);
    KTAP_EQUAL(Rw, 0);
    Before = ExAcquireSpinLockExclusive(&Rw);
    LONG Held = Rw;
    ExReleaseSpinLockExclusive(&Rw, Before);
    KTAP_CHECK(Held < 0);
    KTAP_EQUAL(Rw, 0);
    KTAP_EQUAL(KeGetCurrentIrql(), PASSIVE_LEVEL);
}

static VOID RwWrite(VOID)
{
    Left++;
    Right++;
}

static VOID RwRacer(ULONG Number)
{
    ULONG64 Seed = Number + 1, Rounds = KtapIterations(100000) / TestRacers();

    for (ULONG64 i = 0; i < Rounds; i++) {
        ULONG Random = TestRandom(&Seed) % 8;
        KIRQL Irql = KfRaiseIrql(DISPATCH_LEVEL);
        if (Random == 0) {
            ExAcquireSpinLockExclusiveAtDpcLevel(&Rw);
            RwWrite();
            ExReleaseSpinLockExclusiveFromDpcLevel(&Rw);
        } else {
            ExAcquireSpinLockSharedAtDpcLevel(&Rw);
            Torn += Left != Right;
            if (Random == 1 && ExTryConvertSharedSpinLockExclusive(&Rw)) {
                RwWrite();
                ExReleaseSpinLockExclusiveFromDpcLevel(&Rw);
            } else {
                ExReleaseSpinLockSharedFromDpcLevel(&Rw);
            }
        }
        KeLowerIrql(Irql);
    }
}

static VOID RwRace(PKTAP_CONTEXT Ktap)
{
    Rw = 0;
    Left = Right = 0;
    Torn = 0;
    KTAP_CHECK(TestParallel(TestRacers(), RwRacer));
    KTAP_EQUAL(Torn, 0);
    KTAP_EQUAL(Left, Right);
    KTAP_EQUAL(Rw, 0);
}

static const KTAP_CASE_ENTRY PushCases[] = {{"states", PushStates}, {"race", PushRace}};
KTAP_SUITE(ExPushLockSuite, "ex.pushlock", PushCases);

static const KTAP_CASE_ENTRY RwCases[] = {{"states", RwStates}, {"race", RwRace}};
KTAP_SUITE(ExRwSpinSuite, "ex.rwspin", RwCases);
