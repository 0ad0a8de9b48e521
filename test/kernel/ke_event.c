/*
 * ke_event.c - suite ke.event: states, resets, who is released.
 *
 * Waiters run at a higher priority than the console: on one processor they wait before the call that started them returns.
 * A wake-up that is lost shows as a time-out.
 */
#include "ketest.h"

static KEVENT Event, Done;
static volatile LONG Released;

static VOID NTAPI Waiter(PVOID Context)
{
    KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
    InterlockedIncrement(&Released);
    KeSetEvent(&Done, IO_NO_INCREMENT, FALSE);
}

static VOID States(PKTAP_CONTEXT Ktap)
{
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    KTAP_EQUAL(KeReadStateEvent(&Event), 0);
    KTAP_EQUAL(TestPoll(&Event), STATUS_TIMEOUT);
    KTAP_EQUAL(KeSetEvent(&Event, 0, FALSE), 0);
    KTAP_EQUAL(KeSetEvent(&Event, 0, FALSE), 1);
    KTAP_EQUAL(TestPoll(&Event), STATUS_SUCCESS);
    KTAP_EQUAL(TestPoll(&Event), STATUS_SUCCESS);
    KTAP_EQUAL(KeResetEvent(&Event), 1);
    KTAP_EQUAL(KeResetEvent(&Event), 0);
    KeInitializeEvent(&Event, SynchronizationEvent, TRUE);
    KTAP_EQUAL(TestPoll(&Event), STATUS_SUCCESS);
    KTAP_EQUAL(TestPoll(&Event), STATUS_TIMEOUT);
    KeSetEvent(&Event, 0, FALSE);
    KeClearEvent(&Event);
    KTAP_EQUAL(KeReadStateEvent(&Event), 0);
}

static VOID Release(PKTAP_CONTEXT Ktap, EVENT_TYPE Type, LONG ExpectedAfterOne)
{
    Released = 0;
    KeInitializeEvent(&Event, Type, FALSE);
    KeInitializeEvent(&Done, SynchronizationEvent, FALSE);
    for (ULONG i = 0; i < 3; i++) {
        KTAP_CHECK(TestThread(Waiter, NULL, 16)); /* above the console: it waits before this continues */
    }
    KTAP_EQUAL(Released, 0);
    KeSetEvent(&Event, 0, FALSE);
    KTAP_EQUAL(TestWait(&Done), STATUS_SUCCESS);
    KTAP_EQUAL(Released, ExpectedAfterOne);
    for (LONG i = Released; i < 3; i++) {
        KTAP_EQUAL(KeReadStateEvent(&Event), 0);
        KeSetEvent(&Event, 0, FALSE);
        KTAP_EQUAL(TestWait(&Done), STATUS_SUCCESS);
        KTAP_EQUAL(Released, i + 1);
    }
}

static VOID ReleasesAll(PKTAP_CONTEXT Ktap)
{
    Release(Ktap, NotificationEvent, 3);
}

static VOID ReleasesOne(PKTAP_CONTEXT Ktap)
{
    Release(Ktap, SynchronizationEvent, 1);
}

static VOID Pulse(PKTAP_CONTEXT Ktap)
{
    Released = 0;
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    KeInitializeEvent(&Done, SynchronizationEvent, FALSE);
    KTAP_CHECK(TestThread(Waiter, NULL, 16));
    KTAP_EQUAL(KePulseEvent(&Event, 0, FALSE), 0);
    KTAP_EQUAL(TestWait(&Done), STATUS_SUCCESS);
    KTAP_EQUAL(KeReadStateEvent(&Event), 0);
}

static KEVENT Ping, Pong;

static VOID NTAPI Echo(PVOID Context)
{
    for (ULONG_PTR i = 0; i < (ULONG_PTR)Context; i++) {
        KeWaitForSingleObject(&Ping, Executive, KernelMode, FALSE, NULL);
        KeSetEvent(&Pong, 0, FALSE);
    }
}

/* Signal and wait as one operation, many times: a lost wake-up times out. */
static VOID SetAndWait(PKTAP_CONTEXT Ktap)
{
    const ULONG Rounds = 2000;

    KeInitializeEvent(&Ping, SynchronizationEvent, FALSE);
    KeInitializeEvent(&Pong, SynchronizationEvent, FALSE);
    KTAP_CHECK(TestThread(Echo, (PVOID)(ULONG_PTR)Rounds, 8));
    for (ULONG i = 0; i < Rounds; i++) {
        KeSetEvent(&Ping, 0, TRUE);
        KTAP_EQUAL(TestWait(&Pong), STATUS_SUCCESS);
        KTAP_EQUAL(KeGetCurrentIrql(), PASSIVE_LEVEL);
    }
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"states", States},
    {"notification_releases_all", ReleasesAll},
    {"synchronization_releases_one", ReleasesOne},
    {"pulse", Pulse},
    {"set_and_wait", SetAndWait},
};
KTAP_SUITE_ON_ONE(KeEventSuite, "ke.event", Cases);
