/*
 * ke_thread.c - suite ke.thread: starting, ending, priorities, time slices, registers across switches.
 *
 * Starting and ending are counted; time slices are proved by two threads that never wait; registers by values that only
 * one thread puts there.
 */
#include "ketest.h"

static KEVENT Done;
static volatile LONG Count, Stop, StartIrql;
static volatile PVOID Given;

static VOID NTAPI Begin(PVOID Context)
{
    Given = Context;
    StartIrql = KeGetCurrentIrql();
    KeSetEvent(&Done, 0, FALSE);
}

static VOID Starts(PKTAP_CONTEXT Ktap)
{
    KeInitializeEvent(&Done, SynchronizationEvent, FALSE);
    StartIrql = -1;
    KTAP_CHECK(TestThread(Begin, &Done, 8));
    KTAP_EQUAL(TestWait(&Done), STATUS_SUCCESS);
    KTAP_CHECK(Given == &Done);
    KTAP_EQUAL(StartIrql, PASSIVE_LEVEL);
}

static VOID NTAPI CountAndEnd(PVOID Context)
{
    if (InterlockedIncrement(&Count) == 500) {
        KeSetEvent(&Done, 0, FALSE);
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

/* Many short lives: stacks and objects come back, or memory would run out over the rounds. */
static VOID Many(PKTAP_CONTEXT Ktap)
{
    KeInitializeEvent(&Done, SynchronizationEvent, FALSE);
    Count = 0;
    for (ULONG i = 0; i < 500; i++) {
        KTAP_CHECK(TestThread(CountAndEnd, NULL, 16));
    }
    KTAP_EQUAL(TestWait(&Done), STATUS_SUCCESS);
    KTAP_EQUAL(Count, 500);
}

static VOID NTAPI Preemptor(PVOID Context)
{
    InterlockedIncrement(&Count);
    KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    InterlockedIncrement(&Count);
}

/* On one processor a higher priority runs before the call that readied it returns, a lower one does not. */
static VOID Preemption(PKTAP_CONTEXT Ktap)
{
    KAFFINITY Old = KeSetSystemAffinityThreadEx(1);

    KeInitializeEvent(&Done, SynchronizationEvent, FALSE);
    Count = 0;
    BOOLEAN Started = TestThread(Preemptor, NULL, KeQueryPriorityThread(KeGetCurrentThread()) + 1);
    LONG AfterStart = Count;
    KeSetEvent(&Done, 0, FALSE);
    LONG AfterEvent = Count;
    KeRevertToUserAffinityThreadEx(Old);
    KTAP_CHECK(Started);
    if (KeQueryActiveProcessorCount(NULL) == 1) {
        KTAP_EQUAL(AfterStart, 1);
        KTAP_EQUAL(AfterEvent, 2);
    }
}

static volatile LONG64 Spins[2];

static VOID NTAPI Spinner(PVOID Context)
{
    while (!Stop) {
        Spins[(ULONG_PTR)Context]++;
    }
    if (InterlockedIncrement(&Count) == 2) {
        KeSetEvent(&Done, 0, FALSE);
    }
}

/* Two threads that never wait share a processor by quantum. */
static VOID TimeSlices(PKTAP_CONTEXT Ktap)
{
    KeInitializeEvent(&Done, SynchronizationEvent, FALSE);
    Count = Stop = 0;
    Spins[0] = Spins[1] = 0;
    KTAP_CHECK(TestThread(Spinner, (PVOID)0, 4));
    KTAP_CHECK(TestThread(Spinner, (PVOID)1, 4));
    TestSleep(TEST_SECOND);
    Stop = 1;
    KTAP_EQUAL(TestWait(&Done), STATUS_SUCCESS);
    KTAP_CHECK(Spins[0] > 0 && Spins[1] > 0);
}

static VOID Priority(PKTAP_CONTEXT Ktap)
{
    PKTHREAD Thread = KeGetCurrentThread();
    KPRIORITY Old = KeSetPriorityThread(Thread, 5);

    KTAP_EQUAL(KeQueryPriorityThread(Thread), 5);
    KTAP_EQUAL(KeSetPriorityThread(Thread, Old), 5);
    KTAP_EQUAL(KeQueryPriorityThread(Thread), Old);
}

/* What a driver built for SSE may leave in registers that calls preserve. */
static ULONG64 XmmRoundTrip(ULONG64 Value)
{
    ULONG64 Result;

    __asm__ volatile("movq %0, %%xmm6\n\tmovq %0, %%xmm15" ::"r"(Value));
    TestSleep(TEST_SECOND / 50);
    __asm__ volatile("movq %%xmm6, %0" : "=r"(Result));
    if (Result != Value) {
        return Result;
    }
    __asm__ volatile("movq %%xmm15, %0" : "=r"(Result));
    return Result;
}

static volatile LONG XmmWrong;

static VOID NTAPI XmmThread(PVOID Context)
{
    for (ULONG i = 0; i < 20; i++) {
        ULONG64 Value = ((ULONG64)(ULONG_PTR)Context << 32) + i;
        if (XmmRoundTrip(Value) != Value) {
            InterlockedIncrement(&XmmWrong);
        }
    }
    if (InterlockedIncrement(&Count) == 3) {
        KeSetEvent(&Done, 0, FALSE);
    }
}

static VOID XmmRegisters(PKTAP_CONTEXT Ktap)
{
    KeInitializeEvent(&Done, SynchronizationEvent, FALSE);
    Count = XmmWrong = 0;
    for (ULONG_PTR i = 1; i <= 3; i++) {
        KTAP_CHECK(TestThread(XmmThread, (PVOID)i, 8));
    }
    KTAP_EQUAL(TestWait(&Done), STATUS_SUCCESS);
    KTAP_EQUAL(XmmWrong, 0);
}

static const KTAP_CASE_ENTRY Cases[] = {{"starts", Starts},          {"many", Many},         {"preemption", Preemption},
                                        {"time_slices", TimeSlices}, {"priority", Priority}, {"xmm", XmmRegisters}};
KTAP_SUITE_ON_ONE(KeThreadSuite, "ke.thread", Cases);
