/*
 * ke_suspend.c - suite ke.suspend: threads stopped while they run and while they wait, counts, and a race of suspensions.
 *
 * A thread is known to be stopped when it waits for the reason Suspended; a count that does not change for a while would also be
 * that of a thread that got no processor.
 */
#include "ketest.h"

#define SPINNERS 4

static volatile LONG Stop;
static volatile LONG64 Counts[SPINNERS];
static PETHREAD Threads[SPINNERS];
static KEVENT Signal, Done;

static VOID NTAPI Spinner(PVOID Context)
{
    while (!Stop) {
        Counts[(ULONG_PTR)Context]++;
        YieldProcessor(); /* ends a turn where processors take turns */
    }
}

static VOID NTAPI Waiter(PVOID Context)
{
    TestWait(&Signal);
    KeSetEvent(&Done, 0, FALSE);
}

static BOOLEAN Stopped(PETHREAD Thread)
{
    for (ULONG i = 0; i < 1000; i++) {
        if (Thread->Tcb.State == Waiting && Thread->Tcb.WaitReason == Suspended) {
            return TRUE;
        }
        TestSleep(TEST_SECOND / 100);
    }
    return FALSE;
}

/* TRUE: a spinner goes on counting. */
static BOOLEAN Runs(ULONG Number)
{
    LONG64 Before = Counts[Number];

    for (ULONG i = 0; i < 1000 && Counts[Number] == Before; i++) {
        TestSleep(TEST_SECOND / 100);
    }
    return Counts[Number] != Before;
}

static VOID RunningThread(PKTAP_CONTEXT Ktap)
{
    ULONG First, Second;

    Stop = 0;
    KTAP_EQUAL(PspCreateSystemThread(&Threads[0], Spinner, (PVOID)0, 4), STATUS_SUCCESS);
    BOOLEAN Before = Runs(0);
    KeSuspendThread(&Threads[0]->Tcb, &First);
    BOOLEAN Held = Stopped(Threads[0]);
    KeSuspendThread(&Threads[0]->Tcb, &Second);
    ULONG Resumed = KeResumeThread(&Threads[0]->Tcb);
    LONG64 Still = Counts[0];
    TestSleep(TEST_SECOND / 20);
    BOOLEAN Quiet = Counts[0] == Still;
    KeResumeThread(&Threads[0]->Tcb);
    BOOLEAN After = Runs(0);
    ULONG NotSuspended = KeResumeThread(&Threads[0]->Tcb);
    Stop = 1;
    NTSTATUS Status = TestWait(Threads[0]);
    NTSTATUS Late = KeSuspendThread(&Threads[0]->Tcb, NULL);
    ObDereferenceObject(Threads[0]);
    KTAP_CHECK(Before && Held && Quiet && After);
    KTAP_EQUAL(First, 0);
    KTAP_EQUAL(Second, 1);
    KTAP_EQUAL(Resumed, 2);
    KTAP_EQUAL(NotSuspended, 0);
    KTAP_EQUAL(Status, STATUS_SUCCESS);
    KTAP_EQUAL(Late, STATUS_THREAD_IS_TERMINATING);
}

/* A suspended waiter does not notice the signal before it is resumed. */
static VOID WaitingThread(PKTAP_CONTEXT Ktap)
{
    NTSTATUS Exceeded = STATUS_SUCCESS;

    KeInitializeEvent(&Signal, NotificationEvent, FALSE);
    KeInitializeEvent(&Done, SynchronizationEvent, FALSE);
    KTAP_EQUAL(PspCreateSystemThread(&Threads[0], Waiter, NULL, 8), STATUS_SUCCESS);
    while (Threads[0]->Tcb.State != Waiting) {
        TestSleep(TEST_SECOND / 100);
    }
    for (ULONG i = 0; i < MAXIMUM_SUSPEND_COUNT; i++) {
        KeSuspendThread(&Threads[0]->Tcb, NULL);
    }
    Exceeded = KeSuspendThread(&Threads[0]->Tcb, NULL);
    BOOLEAN Held = Stopped(Threads[0]);
    KeSetEvent(&Signal, 0, FALSE);
    TestSleep(TEST_SECOND / 20);
    NTSTATUS Early = TestPoll(&Done);
    for (ULONG i = 0; i < MAXIMUM_SUSPEND_COUNT; i++) {
        KeResumeThread(&Threads[0]->Tcb);
    }
    NTSTATUS Status = TestWait(&Done);
    TestWait(Threads[0]);
    ObDereferenceObject(Threads[0]);
    KTAP_EQUAL(Exceeded, STATUS_SUSPEND_COUNT_EXCEEDED);
    KTAP_CHECK(Held);
    KTAP_EQUAL(Early, STATUS_TIMEOUT);
    KTAP_EQUAL(Status, STATUS_SUCCESS);
}

/* All threads of a process at once. */
static VOID Process(PKTAP_CONTEXT Ktap)
{
    PEPROCESS Target;
    HANDLE Handle, Thread;
    OBJECT_ATTRIBUTES Attributes;

    Stop = 0;
    InitializeObjectAttributes(&Attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    KTAP_EQUAL(PspCreateProcess(&Target, "suspend"), STATUS_SUCCESS);
    KTAP_EQUAL(
        ObOpenObjectByPointer(Target, OBJ_KERNEL_HANDLE, NULL, PROCESS_ALL_ACCESS, *PsProcessType, KernelMode, &Handle),
        STATUS_SUCCESS);
    for (ULONG i = 0; i < 2; i++) {
        KTAP_EQUAL(
            PsCreateSystemThread(&Thread, THREAD_ALL_ACCESS, &Attributes, Handle, NULL, Spinner, (PVOID)(ULONG_PTR)i),
            STATUS_SUCCESS);
        ObReferenceObjectByHandle(Thread, THREAD_ALL_ACCESS, *PsThreadType, KernelMode, (PVOID *)&Threads[i], NULL);
        ZwClose(Thread);
    }
    ZwClose(Handle);
    NTSTATUS Suspension = PsSuspendProcess(Target);
    BOOLEAN Held = Stopped(Threads[0]) && Stopped(Threads[1]);
    NTSTATUS Resumption = PsResumeProcess(Target);
    BOOLEAN On = Runs(0) && Runs(1);
    Stop = 1;
    NTSTATUS Status = TestWait(Target);
    NTSTATUS Late = PsSuspendProcess(Target);
    ObDereferenceObject(Threads[0]);
    ObDereferenceObject(Threads[1]);
    ObDereferenceObject(Target);
    KTAP_EQUAL(Suspension, STATUS_SUCCESS);
    KTAP_EQUAL(Resumption, STATUS_SUCCESS);
    KTAP_CHECK(Held && On);
    KTAP_EQUAL(Status, STATUS_SUCCESS);
    KTAP_EQUAL(Late, STATUS_PROCESS_IS_TERMINATING);
}

static VOID Racer(ULONG Number)
{
    ULONG64 Seed = Number + 1, Rounds = KtapIterations(20000) / TestRacers();

    for (ULONG64 i = 0; i < Rounds; i++) {
        PETHREAD Thread = Threads[TestRandom(&Seed) % SPINNERS];
        KeSuspendThread(&Thread->Tcb, NULL);
        if (TestRandom(&Seed) % 8 == 0) {
            ZwYieldExecution();
        }
        KeResumeThread(&Thread->Tcb);
    }
}

/* Suspensions and resumptions from everywhere: in the end nobody is stopped. */
static VOID Race(PKTAP_CONTEXT Ktap)
{
    BOOLEAN Alive = TRUE;
    LONG Left = 0;

    Stop = 0;
    for (ULONG i = 0; i < SPINNERS; i++) { /* on one processor they would have most of it */
        KPRIORITY Priority = KeQueryActiveProcessorCount(NULL) > 1 ? 8 : 4;
        KTAP_EQUAL(PspCreateSystemThread(&Threads[i], Spinner, (PVOID)(ULONG_PTR)i, Priority), STATUS_SUCCESS);
    }
    BOOLEAN Through = TestParallel(TestRacers(), Racer);
    for (ULONG i = 0; i < SPINNERS; i++) {
        Alive &= Runs(i);
    }
    Stop = 1;
    for (ULONG i = 0; i < SPINNERS; i++) {
        Alive &= TestWait(Threads[i]) == STATUS_SUCCESS;
        Left += Threads[i]->Tcb.SuspendCount;
        ObDereferenceObject(Threads[i]);
    }
    KTAP_CHECK(Through && Alive);
    KTAP_EQUAL(Left, 0);
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"running", RunningThread}, {"waiting", WaitingThread}, {"process", Process}, {"race", Race}};
KTAP_SUITE(KeSuspendSuite, "ke.suspend", Cases);
