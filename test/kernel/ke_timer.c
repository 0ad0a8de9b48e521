/*
 * ke_timer.c - suite ke.timer: due times, periods, cancelling, DPCs, many timers.
 *
 * Times are compared with interrupt time: never early, and not later than a turn of the wheel would make it. Due times
 * are spread over all wheels.
 */
#include "ketest.h"

static KTIMER Timer;
static KDPC Dpc;
static KEVENT Done;
static volatile LONG Fired;

static LARGE_INTEGER After(LONG64 Units)
{
    LARGE_INTEGER Due = {.QuadPart = -Units};
    return Due;
}

static VOID Relative(PKTAP_CONTEXT Ktap)
{
    KeInitializeTimer(&Timer);
    ULONG64 Start = KeQueryInterruptTime();
    KTAP_EQUAL(KeSetTimer(&Timer, After(TEST_SECOND / 10), NULL), FALSE);
    KTAP_EQUAL(KeReadStateTimer(&Timer), FALSE);
    KTAP_EQUAL(TestWait(&Timer), STATUS_SUCCESS);
    KTAP_CHECK(KeQueryInterruptTime() - Start >= TEST_SECOND / 10);
    KTAP_EQUAL(KeReadStateTimer(&Timer), TRUE); /* a notification timer stays */
    KTAP_EQUAL(KeCancelTimer(&Timer), FALSE);
}

static VOID Past(PKTAP_CONTEXT Ktap)
{
    LARGE_INTEGER Due = {.QuadPart = 0};

    KeInitializeTimerEx(&Timer, SynchronizationTimer);
    KTAP_EQUAL(KeSetTimer(&Timer, Due, NULL), FALSE);
    KTAP_EQUAL(TestPoll(&Timer), STATUS_SUCCESS);
    KTAP_EQUAL(TestPoll(&Timer), STATUS_TIMEOUT);
}

static VOID Cancel(PKTAP_CONTEXT Ktap)
{
    KeInitializeTimer(&Timer);
    KeSetTimer(&Timer, After(TEST_SECOND / 20), NULL);
    KTAP_EQUAL(KeSetTimer(&Timer, After(TEST_SECOND / 10), NULL), TRUE);
    KTAP_EQUAL(KeCancelTimer(&Timer), TRUE);
    TestSleep(TEST_SECOND / 4);
    KTAP_EQUAL(KeReadStateTimer(&Timer), FALSE);
}

static VOID NTAPI CountDpc(PKDPC This, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    if (InterlockedIncrement(&Fired) >= (LONG)(LONG_PTR)Context) {
        KeSetEvent(&Done, 0, FALSE);
    }
}

static VOID Periodic(PKTAP_CONTEXT Ktap)
{
    Fired = 0;
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    KeInitializeTimerEx(&Timer, SynchronizationTimer);
    KeInitializeDpc(&Dpc, CountDpc, (PVOID)5);
    ULONG64 Start = KeQueryInterruptTime();
    KeSetTimerEx(&Timer, After(TEST_SECOND / 20), 50, &Dpc);
    KTAP_EQUAL(TestWait(&Done), STATUS_SUCCESS);
    KTAP_CHECK(KeQueryInterruptTime() - Start >= 5 * TEST_SECOND / 20);
    KTAP_EQUAL(KeCancelTimer(&Timer), TRUE);
    KeFlushQueuedDpcs();
    LONG Seen = Fired;
    TestSleep(TEST_SECOND / 5);
    KTAP_EQUAL(Fired, Seen);
}

#define MANY 2000

/* Timers over every wheel: due now, within a turn, and years away; each expires once, or is cancelled once. */
static VOID Many(PKTAP_CONTEXT Ktap)
{
    PKTIMER Timers = ExAllocatePoolWithTag(NonPagedPool, MANY * sizeof(KTIMER), 'tseT');
    ULONG Cancelled = 0;
    LONG Expired = 0;

    KTAP_CHECK(Timers != NULL);
    for (ULONG i = 0; i < MANY; i++) {
        LONG64 Units = i % 2 == 0 ? (LONG64)(i % 100) * TEST_SECOND / 100 : TEST_SECOND << (i % 36);
        KeInitializeTimer(&Timers[i]);
        KeSetTimer(&Timers[i], After(Units + 2 * TEST_SECOND * (i % 2)), NULL);
    }
    TestSleep(3 * TEST_SECOND / 2);
    for (ULONG i = 0; i < MANY; i++) {
        Expired += KeReadStateTimer(&Timers[i]);
        Cancelled += KeCancelTimer(&Timers[i]);
    }
    ExFreePoolWithTag(Timers, 'tseT');
    KTAP_EQUAL(Expired + Cancelled, MANY);
    KTAP_CHECK(Expired >= MANY / 2);
    KTAP_CHECK(Cancelled >= MANY / 4);
}

/* Three seconds in one stretch lead over a turn of the fine wheel (256 ticks) and a timer from the coarse one. */
static VOID Coarse(PKTAP_CONTEXT Ktap)
{
    const LONG64 Units = 6 * TEST_SECOND;
    ULONG64 Start = KeQueryInterruptTime();

    KeInitializeTimer(&Timer);
    KeSetTimer(&Timer, After(Units), NULL);
    KTAP_EQUAL(TestWait(&Timer), STATUS_SUCCESS);
    ULONG64 Waited = KeQueryInterruptTime() - Start;
    KTAP_CHECK(Waited >= (ULONG64)Units);
    KTAP_CHECK(Waited < (ULONG64)Units + 3 * TEST_SECOND); /* not a whole turn late */
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"relative", Relative}, {"past", Past}, {"cancel", Cancel},
    {"periodic", Periodic}, {"many", Many}, {"coarse", Coarse},
};
KTAP_SUITE(KeTimerSuite, "ke.timer", Cases);
