/*
 * ke_wait.c - suite ke.wait: waits for several objects, time-outs, alerts, statuses.
 *
 * Each status that a wait can end with is provoked once, and what the wait did to its objects is looked at: a wait for all
 * takes all or nothing.
 */
#include "ketest.h"

static KEVENT A, B, Started;
static KSEMAPHORE S;
static volatile NTSTATUS Result;

static VOID Prepare(VOID)
{
    KeInitializeEvent(&A, SynchronizationEvent, FALSE);
    KeInitializeEvent(&B, NotificationEvent, FALSE);
    KeInitializeSemaphore(&S, 0, 10);
    KeInitializeEvent(&Started, SynchronizationEvent, FALSE);
    Result = STATUS_PENDING;
}

static NTSTATUS WaitThree(WAIT_TYPE Type, LONG64 Units, BOOLEAN Forever)
{
    PVOID Objects[3] = {&A, &B, &S};
    LARGE_INTEGER Timeout = {.QuadPart = -Units};

    return KeWaitForMultipleObjects(3, Objects, Type, Executive, KernelMode, FALSE, Forever ? NULL : &Timeout, NULL);
}

static VOID AnyIndex(PKTAP_CONTEXT Ktap)
{
    Prepare();
    KTAP_EQUAL(WaitThree(WaitAny, 0, FALSE), STATUS_TIMEOUT);
    KeReleaseSemaphore(&S, 0, 1, FALSE);
    KTAP_EQUAL(WaitThree(WaitAny, 0, FALSE), STATUS_WAIT_0 + 2);
    KTAP_EQUAL(KeReadStateSemaphore(&S), 0);
    KeReleaseSemaphore(&S, 0, 1, FALSE);
    KeSetEvent(&B, 0, FALSE);
    KTAP_EQUAL(WaitThree(WaitAny, 0, FALSE), STATUS_WAIT_0 + 1);
    KTAP_EQUAL(KeReadStateSemaphore(&S), 1); /* only the object that satisfied it changed */
    KeSetEvent(&A, 0, FALSE);
    KTAP_EQUAL(WaitThree(WaitAny, 0, FALSE), STATUS_WAIT_0);
    KTAP_EQUAL(KeReadStateEvent(&A), 0);
}

static VOID AllOrNothing(PKTAP_CONTEXT Ktap)
{
    Prepare();
    KeSetEvent(&A, 0, FALSE);
    KeReleaseSemaphore(&S, 0, 2, FALSE);
    KTAP_EQUAL(WaitThree(WaitAll, 0, FALSE), STATUS_TIMEOUT);
    KTAP_EQUAL(KeReadStateEvent(&A), 1); /* nothing was taken */
    KTAP_EQUAL(KeReadStateSemaphore(&S), 2);
    KeSetEvent(&B, 0, FALSE);
    KTAP_EQUAL(WaitThree(WaitAll, 0, FALSE), STATUS_SUCCESS);
    KTAP_EQUAL(KeReadStateEvent(&A), 0);
    KTAP_EQUAL(KeReadStateEvent(&B), 1);
    KTAP_EQUAL(KeReadStateSemaphore(&S), 1);
}

static VOID NTAPI AllWaiter(PVOID Context)
{
    Result = WaitThree(WaitAll, TEST_PATIENCE, FALSE);
    KeSetEvent(&Started, 0, FALSE);
}

static VOID AllBlocked(PKTAP_CONTEXT Ktap)
{
    Prepare();
    KTAP_CHECK(TestThread(AllWaiter, NULL, 16));
    KeSetEvent(&A, 0, FALSE);
    KeSetEvent(&B, 0, FALSE);
    KTAP_EQUAL(Result, STATUS_PENDING);
    KTAP_EQUAL(KeReadStateEvent(&A), 1);
    KeReleaseSemaphore(&S, 0, 1, FALSE);
    KTAP_EQUAL(TestWait(&Started), STATUS_SUCCESS);
    KTAP_EQUAL(Result, STATUS_SUCCESS);
    KTAP_EQUAL(KeReadStateEvent(&A), 0);
    KTAP_EQUAL(KeReadStateSemaphore(&S), 0);
}

static VOID Timeouts(PKTAP_CONTEXT Ktap)
{
    LARGE_INTEGER Absolute, Past = {.QuadPart = 1};

    Prepare();
    ULONG64 Start = KeQueryInterruptTime();
    KTAP_EQUAL(WaitThree(WaitAny, TEST_SECOND / 10, FALSE), STATUS_TIMEOUT);
    KTAP_CHECK(KeQueryInterruptTime() - Start >= TEST_SECOND / 10);
    KeQuerySystemTime(&Absolute);
    Absolute.QuadPart += TEST_SECOND / 10;
    Start = KeQueryInterruptTime();
    KTAP_EQUAL(KeWaitForSingleObject(&A, Executive, KernelMode, FALSE, &Absolute), STATUS_TIMEOUT);
    KTAP_CHECK(KeQueryInterruptTime() - Start >= TEST_SECOND / 20);
    KTAP_EQUAL(KeWaitForSingleObject(&A, Executive, KernelMode, FALSE, &Past), STATUS_TIMEOUT);
}

static volatile PKTHREAD AlertTarget;

static VOID NTAPI Alertable(PVOID Context)
{
    LARGE_INTEGER Timeout = {.QuadPart = -TEST_PATIENCE};

    AlertTarget = KeGetCurrentThread();
    Result = KeWaitForSingleObject(&A, Executive, KernelMode, TRUE, &Timeout);
    KeSetEvent(&Started, 0, FALSE);
}

static VOID Alert(PKTAP_CONTEXT Ktap)
{
    LARGE_INTEGER Zero = {.QuadPart = 0};

    Prepare();
    KTAP_CHECK(TestThread(Alertable, NULL, 16));
    KTAP_EQUAL(KeAlertThread(AlertTarget, KernelMode), FALSE);
    KTAP_EQUAL(TestWait(&Started), STATUS_SUCCESS);
    KTAP_EQUAL(Result, STATUS_ALERTED);
    KTAP_EQUAL(KeAlertThread(KeGetCurrentThread(), KernelMode), FALSE);
    KTAP_EQUAL(KeAlertThread(KeGetCurrentThread(), KernelMode), TRUE);
    KTAP_EQUAL(KeWaitForSingleObject(&A, Executive, KernelMode, TRUE, &Zero), STATUS_ALERTED);
    KTAP_EQUAL(KeWaitForSingleObject(&A, Executive, KernelMode, TRUE, &Zero), STATUS_TIMEOUT);
}

static VOID ManyObjects(PKTAP_CONTEXT Ktap)
{
    static KEVENT Events[MAXIMUM_WAIT_OBJECTS];
    static KWAIT_BLOCK Blocks[MAXIMUM_WAIT_OBJECTS];
    PVOID Objects[MAXIMUM_WAIT_OBJECTS];
    LARGE_INTEGER Timeout = {.QuadPart = -TEST_PATIENCE};

    for (ULONG i = 0; i < MAXIMUM_WAIT_OBJECTS; i++) {
        KeInitializeEvent(&Events[i], SynchronizationEvent, FALSE);
        Objects[i] = &Events[i];
    }
    for (ULONG i = 0; i < MAXIMUM_WAIT_OBJECTS; i++) {
        KeSetEvent(&Events[i], 0, FALSE);
        KTAP_EQUAL(KeWaitForMultipleObjects(MAXIMUM_WAIT_OBJECTS, Objects, WaitAny, Executive, KernelMode, FALSE,
                                            &Timeout, Blocks),
                   STATUS_WAIT_0 + i);
    }
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"any_index", AnyIndex}, {"all_or_nothing", AllOrNothing}, {"all_blocked", AllBlocked}, {"timeouts", Timeouts},
    {"alert", Alert},        {"many_objects", ManyObjects},
};
KTAP_SUITE_ON_ONE(KeWaitSuite, "ke.wait", Cases);
