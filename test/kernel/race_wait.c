/*
 * race_wait.c - suite race.wait: signals against waits, waits for all, APCs against waits, timers against their cancellation.
 *
 * Each case counts both sides of what may happen once and only once: a signal and the wait it ends, an APC queued and run, a timer
 * armed and either expired or cancelled.
 */
#include "ketest.h"

#define TABLE 5 /* semaphores of the wait for all */

static KEVENT Ping, Pong, Door;
static KSEMAPHORE Fork[TABLE];
static volatile LONG Taken[TABLE], Bad;
static volatile LONG64 Signals, Passed, Rounds;

/* ---- Ping-pong: a signal in one operation with the wait for the answer ---- */

static VOID PingBody(ULONG Number)
{
    PKEVENT Mine = Number == 0 ? &Ping : &Pong, Other = Number == 0 ? &Pong : &Ping;

    LONG Wrong = 0;

    for (LONG64 i = 0; i < Rounds; i++) {
        if (Number == 0) {
            KeSetEvent(Other, 1, i % 2 == 0);
            Wrong += KeWaitForSingleObject(Mine, Executive, KernelMode, FALSE, NULL) != STATUS_SUCCESS;
        } else {
            Wrong += KeWaitForSingleObject(Mine, Executive, KernelMode, FALSE, NULL) != STATUS_SUCCESS;
            KeSetEvent(Other, 1, FALSE);
            Passed++; /* this thread's alone */
        }
    }
    InterlockedAdd(&Bad, Wrong);
}

static VOID PingPong(PKTAP_CONTEXT Ktap)
{
    KeInitializeEvent(&Ping, SynchronizationEvent, FALSE);
    KeInitializeEvent(&Pong, SynchronizationEvent, FALSE);
    Bad = 0;
    Passed = 0;
    Rounds = (LONG64)KtapIterations(100000);
    KTAP_CHECK(TestParallel(2, PingBody));
    KTAP_EQUAL(Bad, 0);
    KTAP_EQUAL(Passed, Rounds);
    KTAP_EQUAL(KeReadStateEvent(&Ping) + KeReadStateEvent(&Pong), 0);
}

/* ---- Signals: of a synchronization event each ends one wait at most; a pulse leaves nothing behind ---- */

static volatile LONG Visitors;

/* A wait that gives up would last until the next clock tick: few of them do, or the race would be spent asleep. */
static NTSTATUS WaitAtDoor(LONG64 Round)
{
    LARGE_INTEGER Timeout = {.QuadPart = -TEST_SECOND / 1000};

    return KeWaitForSingleObject(&Door, Executive, KernelMode, FALSE, Round % 256 == 0 ? &Timeout : NULL);
}

/*
 * Who does nothing but take the dispatcher lock has it most of the time. Processors that take turns of a fixed number of instructions (QEMU's icount)
 * may then change again and again while it is held, and nobody else gets anywhere; a pause without it ends the turn there.
 */
static VOID GiveWay(ULONG Turn)
{
    if (Turn % 8 == 0) {
        YieldProcessor();
    }
}

static VOID SignalBody(ULONG Number)
{
    if (Number == 0) {
        for (ULONG Turn = 1; Visitors > 0; Turn++) {
            GiveWay(Turn);
            if (KeSetEvent(&Door, 1, FALSE) == 0) {
                Signals++;
            } else {
                ZwYieldExecution();
            }
        }
        return;
    }
    for (LONG64 i = 0; i < Rounds; i++) {
        if (WaitAtDoor(i) == STATUS_SUCCESS) {
            InterlockedIncrement64(&Passed);
        }
    }
    InterlockedDecrement(&Visitors);
}

static VOID Meet(PKTAP_CONTEXT Ktap, EVENT_TYPE Type, TEST_BODY Body)
{
    ULONG Racers = TestRacers();

    KeInitializeEvent(&Door, Type, FALSE);
    Bad = 0;
    Signals = Passed = 0;
    Visitors = (LONG)Racers - 1;
    Rounds = (LONG64)(KtapIterations(100000) / Racers);
    KTAP_CHECK(TestParallel(Racers, Body));
    KTAP_EQUAL(Bad, 0);
}

static VOID SignalRace(PKTAP_CONTEXT Ktap)
{
    Meet(Ktap, SynchronizationEvent, SignalBody);
    KTAP_EQUAL(Passed + (KeReadStateEvent(&Door) != 0), Signals);
}

static VOID PulseBody(ULONG Number)
{
    if (Number == 0) {
        for (ULONG Turn = 1; Visitors > 0; Turn++) {
            GiveWay(Turn);
            Signals++;
            KePulseEvent(&Door, 1, FALSE);
            Bad += KeReadStateEvent(&Door) != 0;
            ZwYieldExecution();
        }
        return;
    }
    for (LONG64 i = 0; i < Rounds; i++) {
        if (WaitAtDoor(i) == STATUS_SUCCESS) {
            InterlockedIncrement64(&Passed);
        }
    }
    InterlockedDecrement(&Visitors);
}

/* A pulsed notification event ends each thread's wait once a pulse at most, and is never seen signalled. */
static VOID PulseRace(PKTAP_CONTEXT Ktap)
{
    Meet(Ktap, NotificationEvent, PulseBody);
    KTAP_CHECK(Passed <= Signals * (TestRacers() - 1));
}

/* ---- Wait for all: two at once or none ---- */

static VOID AllBody(ULONG Number)
{
    ULONG64 Seed = Number + 1;

    for (LONG64 i = 0; i < Rounds; i++) {
        ULONG First = TestRandom(&Seed) % TABLE, Second = (First + 1 + TestRandom(&Seed) % (TABLE - 1)) % TABLE;
        PVOID Objects[2] = {&Fork[First], &Fork[Second]};
        LARGE_INTEGER Timeout = {.QuadPart = -TEST_SECOND / 500};
        NTSTATUS Status = KeWaitForMultipleObjects(2, Objects, WaitAll, Executive, KernelMode, FALSE,
                                                   i % 4 == 0 ? &Timeout : NULL, NULL);
        if (Status == STATUS_TIMEOUT) {
            continue;
        }
        Bad += Status != STATUS_SUCCESS;
        Bad += InterlockedIncrement(&Taken[First]) != 1;
        Bad += InterlockedIncrement(&Taken[Second]) != 1;
        if (i % 16 == 0) {
            ZwYieldExecution();
        }
        InterlockedDecrement(&Taken[First]);
        InterlockedDecrement(&Taken[Second]);
        KeReleaseSemaphore(&Fork[First], 1, 1, FALSE);
        KeReleaseSemaphore(&Fork[Second], 1, 1, FALSE);
    }
}

static VOID WaitAllRace(PKTAP_CONTEXT Ktap)
{
    Bad = 0;
    for (ULONG i = 0; i < TABLE; i++) {
        KeInitializeSemaphore(&Fork[i], 1, 1);
        Taken[i] = 0;
    }
    Rounds = (LONG64)(KtapIterations(100000) / TestRacers());
    KTAP_CHECK(TestParallel(TestRacers(), AllBody));
    KTAP_EQUAL(Bad, 0);
    for (ULONG i = 0; i < TABLE; i++) {
        KTAP_EQUAL(KeReadStateSemaphore(&Fork[i]), 1);
    }
}

/* ---- APCs against waits ---- */

#define APCS 4

static KAPC Apcs[APCS];
static volatile LONG64 Queued, Run;
static volatile LONG Prepared, Finished;

static VOID NTAPI ApcKernel(PKAPC Apc, PKNORMAL_ROUTINE *Normal, PVOID *Context, PVOID *Argument1, PVOID *Argument2)
{
    InterlockedIncrement64(&Run);
}

static VOID NTAPI ApcRundown(PKAPC Apc)
{
    InterlockedIncrement64(&Run); /* told instead, since the thread ended first */
}

static VOID NTAPI ApcNormal(PVOID Context, PVOID Argument1, PVOID Argument2)
{
    Bad += KeGetCurrentIrql() != PASSIVE_LEVEL;
}

static VOID ApcTarget(LONG Others)
{
    LARGE_INTEGER Timeout = {.QuadPart = -TEST_SECOND / 2000};

    for (ULONG i = 0; i < APCS; i++) {
        KeInitializeApc(&Apcs[i], KeGetCurrentThread(), OriginalApcEnvironment, ApcKernel, ApcRundown,
                        i % 2 == 0 ? NULL : ApcNormal, KernelMode, NULL);
    }
    Prepared = 1;
    while (Finished < Others) {
        NTSTATUS Status = KeWaitForSingleObject(&Door, Executive, KernelMode, FALSE, &Timeout);
        Bad += Status != STATUS_SUCCESS && Status != STATUS_TIMEOUT;
        Passed += Status == STATUS_SUCCESS;
        KeEnterCriticalRegion();
        ZwYieldExecution();
        KeLeaveCriticalRegion();
    }
}

static VOID ApcBody(ULONG Number)
{
    if (Number == 0) {
        ApcTarget((LONG)TestRacers() - 1);
        return;
    }
    while (Prepared == 0) {
        ZwYieldExecution();
    }
    for (LONG64 i = 0; i < Rounds; i++) {
        PKAPC Apc = &Apcs[(ULONG)(i + Number) % APCS];
        if (Number == 1 && KeSetEvent(&Door, 0, FALSE) == 0) {
            Signals++;
        }
        if (i % 16 == 0 && KeRemoveQueueApc(Apc)) {
            InterlockedDecrement64(&Queued);
        } else if (KeInsertQueueApc(Apc, NULL, NULL, 0)) {
            InterlockedIncrement64(&Queued);
        }
        if (i % 64 == 0) {
            ZwYieldExecution();
        }
    }
    InterlockedIncrement(&Finished);
}

/* Special and normal APCs arrive while their thread waits: all run once, and no signal gets lost. */
static VOID ApcRace(PKTAP_CONTEXT Ktap)
{
    KeInitializeEvent(&Door, SynchronizationEvent, FALSE);
    Bad = Finished = Prepared = 0;
    Queued = Run = Signals = Passed = 0;
    Rounds = (LONG64)(KtapIterations(100000) / TestRacers());
    KTAP_CHECK(TestParallel(TestRacers(), ApcBody));
    KTAP_EQUAL(Bad, 0);
    KTAP_EQUAL(Run, Queued);
    KTAP_EQUAL(Passed + (KeReadStateEvent(&Door) != 0), Signals);
}

/* ---- Timers against their cancellation ---- */

typedef struct _TIMER_RACER {
    KTIMER Timer;
    KDPC Dpc;
    KEVENT Expired;
    volatile LONG64 Dpcs, Cancelled;
} TIMER_RACER;

static TIMER_RACER Timers[TEST_PARALLEL_MAX];

static VOID NTAPI TimerDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    TIMER_RACER *Racer = Context;

    Racer->Dpcs++;
    KeSetEvent(&Racer->Expired, 0, FALSE);
}

static VOID TimerBody(ULONG Number)
{
    TIMER_RACER *Racer = &Timers[Number];
    ULONG64 Seed = Number + 1;

    KeInitializeTimerEx(&Racer->Timer, SynchronizationTimer);
    KeInitializeDpc(&Racer->Dpc, TimerDpc, Racer);
    KeInitializeEvent(&Racer->Expired, SynchronizationEvent, FALSE);
    Racer->Dpcs = Racer->Cancelled = 0;
    for (LONG64 i = 0; i < Rounds; i++) {
        ULONG Random = TestRandom(&Seed);
        LARGE_INTEGER Due = {.QuadPart = -(LONG64)(Random % 20000)};
        Bad += KeSetTimer(&Racer->Timer, Due, &Racer->Dpc);
        if (Random % 4 != 0) {
            Bad += KeSetTimer(&Timers[TEST_PARALLEL_MAX - 1].Timer, Due, NULL) > 1; /* everybody's */
            KeCancelTimer(&Timers[TEST_PARALLEL_MAX - 1].Timer);
        }
        if (Random % 64 == 1) {
            TestSleep(1 + Random % 20000);
        }
        if (KeCancelTimer(&Racer->Timer)) {
            Racer->Cancelled++;
        } else {
            Bad += TestWait(&Racer->Expired) != STATUS_SUCCESS;
            KeReadStateTimer(&Racer->Timer);
        }
    }
}

/* Every arming ends in one of two ways: cancelled, then its DPC does not run; or not, then it runs once. */
static VOID TimerRace(PKTAP_CONTEXT Ktap)
{
    ULONG Racers = min(TestRacers(), TEST_PARALLEL_MAX - 1);

    Bad = 0;
    Rounds = (LONG64)(KtapIterations(100000) / Racers);
    KeInitializeTimer(&Timers[TEST_PARALLEL_MAX - 1].Timer);
    KTAP_CHECK(TestParallel(Racers, TimerBody));
    KeFlushQueuedDpcs();
    KTAP_EQUAL(Bad, 0);
    for (ULONG i = 0; i < Racers; i++) {
        KTAP_EQUAL(Timers[i].Dpcs + Timers[i].Cancelled, Rounds);
    }
}

static const KTAP_CASE_ENTRY Cases[] = {{"ping_pong", PingPong}, {"signal", SignalRace}, {"pulse", PulseRace},
                                        {"all", WaitAllRace},    {"apc", ApcRace},       {"timer_cancel", TimerRace}};
KTAP_SUITE(RaceWaitSuite, "race.wait", Cases);
