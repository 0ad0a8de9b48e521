/*
 * ex_timerobj.c - suite for timers, semaphores, mutants and waits by handle.
 *
 * Times are guest times, and only that something has or has not happened by then is judged. Every case ends with as many objects of
 * its type as it began with.
 */
#include "ketest.h"

#include <ntos/ex.h>
#include <ntos/ke.h>
#include <ntos/ob.h>

#define EXT_MILLISECOND 10000LL

static volatile LONG ExtApcs;
static PVOID ExtThread;

static VOID NTAPI ExtApc(PVOID Context, ULONG Low, LONG High)
{
    UNREFERENCED_PARAMETER(Low);
    UNREFERENCED_PARAMETER(High);
    ExtThread = KeGetCurrentThread();
    InterlockedAdd(&ExtApcs, (LONG)(LONG_PTR)Context);
}

static OBJECT_ATTRIBUTES ExtKernel(PUNICODE_STRING Name, PCWSTR Text)
{
    OBJECT_ATTRIBUTES Attributes;

    RtlInitUnicodeString(Name, Text);
    InitializeObjectAttributes(&Attributes, (Text == NULL) ? NULL : Name, OBJ_KERNEL_HANDLE, NULL, NULL);
    return Attributes;
}

static NTSTATUS ExtWait(HANDLE Handle, LONG64 Units)
{
    LARGE_INTEGER Timeout = {.QuadPart = -Units};

    return ZwWaitForSingleObject(Handle, FALSE, &Timeout);
}

static VOID ExtTimer(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes = ExtKernel(&Name, L"\\ExtTimer");
    LARGE_INTEGER Due = {.QuadPart = -20 * EXT_MILLISECOND}, Far = {.QuadPart = -TEST_PATIENCE};
    LONG64 Before = ExpTimerType->ObjectCount;
    HANDLE Timer, Again;
    BOOLEAN State;

    KTAP_EQUAL(ZwCreateTimer(&Timer, TIMER_ALL_ACCESS, &Attributes, (TIMER_TYPE)7), STATUS_INVALID_PARAMETER_4);
    KTAP_EQUAL(ZwCreateTimer(&Timer, TIMER_ALL_ACCESS, &Attributes, NotificationTimer), STATUS_SUCCESS);
    KTAP_EQUAL(ZwOpenTimer(&Again, TIMER_ALL_ACCESS, &Attributes), STATUS_SUCCESS);
    KTAP_EQUAL(ExtWait(Timer, 0), STATUS_TIMEOUT);
    KTAP_EQUAL(ZwSetTimer(Again, &Due, NULL, NULL, FALSE, -1, NULL), STATUS_INVALID_PARAMETER_6);
    KTAP_EQUAL(ZwSetTimer(Again, &Due, NULL, NULL, FALSE, 0, &State), STATUS_SUCCESS);
    KTAP_CHECK(!State);
    KTAP_EQUAL(ExtWait(Timer, TEST_PATIENCE), STATUS_SUCCESS);
    KTAP_EQUAL(ExtWait(Timer, 0), STATUS_SUCCESS); /* stays signalled */
    KTAP_EQUAL(ZwSetTimer(Timer, &Far, NULL, NULL, TRUE, 0, &State), STATUS_TIMER_RESUME_IGNORED);
    KTAP_CHECK(State);
    KTAP_EQUAL(ExtWait(Timer, 0), STATUS_TIMEOUT);
    KTAP_EQUAL(ZwCancelTimer(Timer, &State), STATUS_SUCCESS);
    KTAP_CHECK(!State);
    KTAP_EQUAL(ZwSetTimer(Timer, &Far, NULL, NULL, FALSE, 0, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(ZwClose(Timer), STATUS_SUCCESS); /* armed: deletion disarms it */
    KTAP_EQUAL(ZwClose(Again), STATUS_SUCCESS);
    KTAP_EQUAL(ExpTimerType->ObjectCount, Before);
}

/* Waits, in guest time, until enough APCs have come; TRUE: they have. */
static BOOLEAN ExtAwaitApcs(LONG Wanted)
{
    for (ULONG Try = 0; Try < 6000 && ExtApcs < Wanted; Try++) {
        TestSleep(10 * EXT_MILLISECOND);
    }
    return ExtApcs >= Wanted;
}

static VOID ExtTimerApc(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes = ExtKernel(&Name, NULL);
    LARGE_INTEGER Due = {.QuadPart = -20 * EXT_MILLISECOND}, Far = {.QuadPart = -TEST_PATIENCE};
    TIMER_SET_COALESCABLE_TIMER_INFO Info = {
        .DueTime = Due, .TimerApcRoutine = ExtApc, .TimerContext = (PVOID)1, .Period = 10};
    LONG64 Before = ExpTimerType->ObjectCount;
    HANDLE Timer;
    LONG Stopped;

    ExtApcs = 0;
    KTAP_EQUAL(ZwCreateTimer(&Timer, TIMER_ALL_ACCESS, &Attributes, SynchronizationTimer), STATUS_SUCCESS);
    KTAP_EQUAL(ZwSetTimer(Timer, &Due, ExtApc, (PVOID)1, FALSE, 0, NULL), STATUS_SUCCESS);
    KTAP_CHECK(ExtAwaitApcs(1));
    KTAP_CHECK(ExtThread == KeGetCurrentThread());
    KTAP_EQUAL(ZwSetTimerEx(Timer, MaxTimerInfoClass, &Info, sizeof(Info)), STATUS_INVALID_INFO_CLASS);
    KTAP_EQUAL(ZwSetTimerEx(Timer, TimerSetCoalescableTimer, &Info, 4), STATUS_INFO_LENGTH_MISMATCH);
    KTAP_EQUAL(ZwSetTimerEx(Timer, TimerSetCoalescableTimer, &Info, sizeof(Info)), STATUS_SUCCESS);
    KTAP_CHECK(ExtAwaitApcs(4));
    KTAP_EQUAL(ZwCancelTimer(Timer, NULL), STATUS_SUCCESS);
    Stopped = ExtApcs;
    TestSleep(50 * EXT_MILLISECOND);
    KTAP_EQUAL(ExtApcs, Stopped);
    KTAP_EQUAL(ZwSetTimer(Timer, &Far, ExtApc, (PVOID)1, FALSE, 0, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(ZwSetTimer(Timer, &Due, ExtApc, (PVOID)100, FALSE, 0, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(ZwClose(Timer), STATUS_SUCCESS); /* the setting keeps the timer until it has fired */
    KTAP_CHECK(ExtAwaitApcs(Stopped + 100));
    ObFlushDeferredDeletes();
    KTAP_EQUAL(ExpTimerType->ObjectCount, Before);
}

static HANDLE ExtShared;
static KEVENT ExtSet;

/* Arms timers and ends. */
static VOID NTAPI ExtArmAndEnd(PVOID Context)
{
    LARGE_INTEGER Due = {.QuadPart = -TEST_SECOND};

    UNREFERENCED_PARAMETER(Context);
    ZwSetTimer(ExtShared, &Due, ExtApc, (PVOID)1, FALSE, 1, NULL);
    KeSetEvent(&ExtSet, IO_NO_INCREMENT, FALSE);
}

static VOID ExtThreadEnds(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes = ExtKernel(&Name, NULL);
    LONG64 Before = ExpTimerType->ObjectCount;
    PETHREAD Thread;

    ExtApcs = 0;
    KeInitializeEvent(&ExtSet, NotificationEvent, FALSE);
    KTAP_EQUAL(ZwCreateTimer(&ExtShared, TIMER_ALL_ACCESS, &Attributes, NotificationTimer), STATUS_SUCCESS);
    KTAP_EQUAL(PspCreateSystemThread(&Thread, ExtArmAndEnd, NULL, 8), STATUS_SUCCESS);
    KTAP_EQUAL(TestWait(&ExtSet), STATUS_SUCCESS);
    KTAP_EQUAL(TestWait(Thread), STATUS_SUCCESS);
    ObDereferenceObject(Thread);
    KTAP_EQUAL(ExtWait(ExtShared, 2 * TEST_SECOND), STATUS_TIMEOUT); /* the thread's end disarmed it */
    KTAP_EQUAL(ZwClose(ExtShared), STATUS_SUCCESS);
    ObFlushDeferredDeletes();
    KTAP_EQUAL(ExpTimerType->ObjectCount, Before);
    KTAP_EQUAL(ExtApcs, 0);
}

/* One thread sets and cancels while another does the same and timers fire. */
static volatile LONG ExtBad;

static VOID NTAPI ExtSetAndCancel(PVOID Context)
{
    ULONG Seed = (ULONG)(ULONG_PTR)Context;
    ULONG64 Rounds = KtapIterations(1000);

    for (ULONG64 Round = 0; Round < Rounds; Round++) {
        ULONG Random = RtlRandomEx(&Seed);
        LARGE_INTEGER Due = {.QuadPart = -(LONG64)(Random % (20 * EXT_MILLISECOND))};

        if (Random / 32 % 4 == 0) {
            ExtBad |= ZwCancelTimer(ExtShared, NULL);
        } else {
            ExtBad |= ZwSetTimer(ExtShared, &Due, ExtApc, (PVOID)1, FALSE, (Random / 128 % 2 == 0) ? 1 : 0, NULL);
        }
    }
}

static VOID ExtRace(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes = ExtKernel(&Name, NULL);
    LONG64 Before = ExpTimerType->ObjectCount;
    PETHREAD Threads[3];

    ExtBad = 0;
    KTAP_EQUAL(ZwCreateTimer(&ExtShared, TIMER_ALL_ACCESS, &Attributes, SynchronizationTimer), STATUS_SUCCESS);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Threads); Index++) {
        KTAP_EQUAL(PspCreateSystemThread(&Threads[Index], ExtSetAndCancel, (PVOID)(ULONG_PTR)(Index + 1), 8),
                   STATUS_SUCCESS);
    }
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Threads); Index++) {
        KeWaitForSingleObject(Threads[Index], Executive, KernelMode, FALSE, NULL);
        ObDereferenceObject(Threads[Index]);
    }
    KTAP_EQUAL(ZwClose(ExtShared), STATUS_SUCCESS);
    ObFlushDeferredDeletes();
    KTAP_EQUAL(ExtBad, 0);
    KTAP_EQUAL(ExpTimerType->ObjectCount, Before);
}

static const KTAP_CASE_ENTRY ExtTimerCases[] = {
    {"set_and_cancel", ExtTimer},
    {"apc", ExtTimerApc},
    {"thread_ends", ExtThreadEnds},
    {"set_versus_expire", ExtRace},
};
KTAP_SUITE(ExtTimerSuite, "ex.timerobj", ExtTimerCases);

static VOID ExtSemaphore(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes = ExtKernel(&Name, L"\\ExtSemaphore");
    HANDLE First, Second;
    LONG Count;

    KTAP_EQUAL(NtCreateSemaphore(&First, SEMAPHORE_ALL_ACCESS, &Attributes, 3, 2), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(NtCreateSemaphore(&First, SEMAPHORE_ALL_ACCESS, &Attributes, 1, 2), STATUS_SUCCESS);
    KTAP_EQUAL(NtOpenSemaphore(&Second, SEMAPHORE_ALL_ACCESS, &Attributes), STATUS_SUCCESS);
    KTAP_EQUAL(ExtWait(First, 0), STATUS_SUCCESS);
    KTAP_EQUAL(ExtWait(First, 0), STATUS_TIMEOUT);
    KTAP_EQUAL(NtReleaseSemaphore(Second, 2, &Count), STATUS_SUCCESS);
    KTAP_EQUAL(Count, 0);
    KTAP_EQUAL(NtReleaseSemaphore(Second, 1, &Count), STATUS_SEMAPHORE_LIMIT_EXCEEDED);
    KTAP_EQUAL(NtReleaseSemaphore(Second, 0, NULL), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(ZwClose(First), STATUS_SUCCESS);
    KTAP_EQUAL(ZwClose(Second), STATUS_SUCCESS);
    KTAP_CHECK(*ExSemaphoreObjectType == ExpSemaphoreType);
}

static VOID NTAPI ExtOwnAndEnd(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    ZwWaitForSingleObject(ExtShared, FALSE, NULL);
}

/* The last handle goes while the caller owns the mutant three times: it is taken from him whole, and nothing is recorded as held. */
static VOID ExtMutantOwned(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes = ExtKernel(&Name, NULL);
    LONG64 Before = ExpMutantType->ObjectCount;
    HANDLE Mutant;

    KTAP_EQUAL(NtCreateMutant(&Mutant, MUTANT_ALL_ACCESS, &Attributes, TRUE), STATUS_SUCCESS);
    KTAP_EQUAL(ExtWait(Mutant, 0), STATUS_SUCCESS);
    KTAP_EQUAL(ExtWait(Mutant, 0), STATUS_SUCCESS);
    KTAP_EQUAL(ZwClose(Mutant), STATUS_SUCCESS);
    KTAP_CHECK(IsListEmpty(&KeGetCurrentThread()->MutantListHead));
    KTAP_EQUAL(ExpMutantType->ObjectCount, Before);
}

static VOID ExtMutant(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes = ExtKernel(&Name, L"\\ExtMutant");
    LONG64 Before = ExpMutantType->ObjectCount;
    PETHREAD Thread;
    HANDLE Second;
    LONG Count;

    KTAP_EQUAL(NtCreateMutant(&ExtShared, MUTANT_ALL_ACCESS, &Attributes, TRUE), STATUS_SUCCESS);
    KTAP_EQUAL(NtOpenMutant(&Second, MUTANT_ALL_ACCESS, &Attributes), STATUS_SUCCESS);
    KTAP_EQUAL(NtReleaseMutant(Second, &Count), STATUS_SUCCESS);
    KTAP_EQUAL(NtReleaseMutant(Second, &Count), STATUS_MUTANT_NOT_OWNED);
    KTAP_EQUAL(PspCreateSystemThread(&Thread, ExtOwnAndEnd, NULL, 8), STATUS_SUCCESS);
    KTAP_EQUAL(TestWait(Thread), STATUS_SUCCESS);
    ObDereferenceObject(Thread);
    KTAP_EQUAL(ExtWait(Second, TEST_PATIENCE), STATUS_ABANDONED_WAIT_0);
    KTAP_EQUAL(ZwClose(ExtShared), STATUS_SUCCESS);
    KTAP_EQUAL(ZwClose(Second), STATUS_SUCCESS); /* owned by this thread: deletion frees it */
    KTAP_EQUAL(ExpMutantType->ObjectCount, Before);
}

static VOID ExtMultiple(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes = ExtKernel(&Name, NULL);
    LARGE_INTEGER Now = {.QuadPart = 0};
    HANDLE Handles[MAXIMUM_WAIT_OBJECTS + 1];
    LONG Old;

    for (ULONG Index = 0; Index < MAXIMUM_WAIT_OBJECTS; Index++) {
        KTAP_EQUAL(ZwCreateEvent(&Handles[Index], EVENT_ALL_ACCESS, &Attributes, NotificationEvent, Index == 5),
                   STATUS_SUCCESS);
    }
    Handles[MAXIMUM_WAIT_OBJECTS] = Handles[5];
    KTAP_EQUAL(ZwWaitForMultipleObjects(MAXIMUM_WAIT_OBJECTS, Handles, WaitAny, FALSE, &Now), STATUS_WAIT_0 + 5);
    KTAP_EQUAL(ZwWaitForMultipleObjects(MAXIMUM_WAIT_OBJECTS, Handles, WaitAll, FALSE, &Now), STATUS_TIMEOUT);
    for (ULONG Index = 0; Index < MAXIMUM_WAIT_OBJECTS; Index++) {
        KTAP_EQUAL(ZwSetEvent(Handles[Index], NULL), STATUS_SUCCESS);
    }
    KTAP_EQUAL(ZwWaitForMultipleObjects(MAXIMUM_WAIT_OBJECTS, Handles, WaitAll, FALSE, &Now), STATUS_SUCCESS);
    KTAP_EQUAL(ZwWaitForMultipleObjects(MAXIMUM_WAIT_OBJECTS, &Handles[1], WaitAll, FALSE, &Now),
               STATUS_INVALID_PARAMETER_MIX);
    KTAP_EQUAL(ZwWaitForMultipleObjects(0, Handles, WaitAny, FALSE, &Now), STATUS_INVALID_PARAMETER_1);
    KTAP_EQUAL(ZwWaitForMultipleObjects(MAXIMUM_WAIT_OBJECTS + 1, Handles, WaitAny, FALSE, &Now),
               STATUS_INVALID_PARAMETER_1);
    KTAP_EQUAL(ZwPulseEvent(Handles[0], &Old), STATUS_SUCCESS);
    KTAP_EQUAL(Old, 1);
    KTAP_EQUAL(ExtWait(Handles[0], 0), STATUS_TIMEOUT);
    for (ULONG Index = 0; Index < MAXIMUM_WAIT_OBJECTS; Index++) {
        KTAP_EQUAL(ZwClose(Handles[Index]), STATUS_SUCCESS);
    }
    KTAP_EQUAL(ZwWaitForMultipleObjects(2, Handles, WaitAny, FALSE, &Now), STATUS_INVALID_HANDLE);
}

static const KTAP_CASE_ENTRY ExtObjectCases[] = {
    {"semaphore", ExtSemaphore},
    {"mutant", ExtMutant},
    {"mutant_owned", ExtMutantOwned},
    {"wait_for_multiple", ExtMultiple},
};
KTAP_SUITE(ExtObjectSuite, "ex.object", ExtObjectCases);
