/*
 * ke_apc.c - suite ke.apc: levels, order, regions, waits that go on.
 *
 * APCs go to the console thread itself, which takes them as its IRQL or its regions allow, and to a thread that waits.
 * The order of the steps is recorded in Trace.
 */
#include "ketest.h"

static KAPC Apcs[3];
static CHAR Trace[16];
static volatile LONG Steps;
static KIRQL KernelLevel, NormalLevel;
static KEVENT Never, Done;
static volatile NTSTATUS Result;
static volatile PKTHREAD Target;

static VOID Step(CHAR Letter)
{
    LONG Index = InterlockedIncrement(&Steps) - 1;
    if (Index < (LONG)sizeof(Trace)) {
        Trace[Index] = Letter;
    }
}

static VOID NTAPI Kernel(PKAPC Apc, PKNORMAL_ROUTINE *Normal, PVOID *Context, PVOID *Argument1, PVOID *Argument2)
{
    KernelLevel = KeGetCurrentIrql();
    Step(*Normal != NULL ? 'k' : 'S');
}

static VOID NTAPI Normal(PVOID Context, PVOID Argument1, PVOID Argument2)
{
    NormalLevel = KeGetCurrentIrql();
    Step('N');
}

static VOID Prepare(PKTHREAD Thread)
{
    Steps = 0;
    memset(Trace, 0, sizeof(Trace));
    KeInitializeApc(&Apcs[0], Thread, OriginalApcEnvironment, Kernel, NULL, Normal, KernelMode, NULL);
    KeInitializeApc(&Apcs[1], Thread, OriginalApcEnvironment, Kernel, NULL, NULL, KernelMode, NULL);
}

static VOID Levels(PKTAP_CONTEXT Ktap)
{
    Prepare(KeGetCurrentThread());
    KTAP_CHECK(KeInsertQueueApc(&Apcs[0], NULL, NULL, 0));
    KTAP_EQUAL(Steps, 2); /* delivered before the call returned */
    KTAP_EQUAL(KernelLevel, APC_LEVEL);
    KTAP_EQUAL(NormalLevel, PASSIVE_LEVEL);
    KTAP_CHECK(KeInsertQueueApc(&Apcs[1], NULL, NULL, 0));
    KTAP_EQUAL(Steps, 3);
}

static VOID SpecialFirst(PKTAP_CONTEXT Ktap)
{
    Prepare(KeGetCurrentThread());
    KIRQL OldIrql = KfRaiseIrql(APC_LEVEL);
    BOOLEAN First = KeInsertQueueApc(&Apcs[0], NULL, NULL, 0), Twice = KeInsertQueueApc(&Apcs[0], NULL, NULL, 0);
    KeInsertQueueApc(&Apcs[1], NULL, NULL, 0);
    LONG Held = Steps;
    KeLowerIrql(OldIrql);
    KTAP_CHECK(First && !Twice);
    KTAP_EQUAL(Held, 0);
    KTAP_EQUAL(Steps, 3);
    KTAP_CHECK(memcmp(Trace, "SkN", 3) == 0);
}

static VOID Regions(PKTAP_CONTEXT Ktap)
{
    Prepare(KeGetCurrentThread());
    KeEnterCriticalRegion();
    KeInsertQueueApc(&Apcs[0], NULL, NULL, 0);
    KeInsertQueueApc(&Apcs[1], NULL, NULL, 0);
    LONG InCritical = Steps;
    KeLeaveCriticalRegion();
    KTAP_EQUAL(InCritical, 1); /* the special one */
    KTAP_EQUAL(Steps, 3);
    Prepare(KeGetCurrentThread());
    KeEnterGuardedRegion();
    BOOLEAN AllDisabled = KeAreAllApcsDisabled();
    KeInsertQueueApc(&Apcs[1], NULL, NULL, 0);
    LONG InGuarded = Steps;
    KeLeaveGuardedRegion();
    KTAP_CHECK(AllDisabled);
    KTAP_EQUAL(InGuarded, 0);
    KTAP_EQUAL(Steps, 1);
}

/* An APC held back by a mutex comes when the mutex is released in one operation with the wait that follows. */
static VOID ReleaseAndWait(PKTAP_CONTEXT Ktap)
{
    LARGE_INTEGER Now = {.QuadPart = 0};
    KMUTEX Mutex;

    KeInitializeMutex(&Mutex, 0);
    KeInitializeEvent(&Done, NotificationEvent, TRUE);
    Prepare(KeGetCurrentThread());
    KTAP_EQUAL(KeWaitForSingleObject(&Mutex, Executive, KernelMode, FALSE, &Now), STATUS_SUCCESS);
    KeInsertQueueApc(&Apcs[0], NULL, NULL, 0);
    LONG Held = Steps;
    KeReleaseMutex(&Mutex, TRUE);
    NTSTATUS Status = KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    KTAP_EQUAL(Held, 0);
    KTAP_EQUAL(Status, STATUS_SUCCESS);
    KTAP_EQUAL(Steps, 2);
}

static VOID RemoveApc(PKTAP_CONTEXT Ktap)
{
    Prepare(KeGetCurrentThread());
    KeEnterGuardedRegion();
    KeInsertQueueApc(&Apcs[0], NULL, NULL, 0);
    BOOLEAN Removed = KeRemoveQueueApc(&Apcs[0]), Again = KeRemoveQueueApc(&Apcs[0]);
    KeLeaveGuardedRegion();
    KTAP_CHECK(Removed && !Again);
    KTAP_EQUAL(Steps, 0);
}

static VOID NTAPI Sleeper(PVOID Context)
{
    LARGE_INTEGER Timeout = {.QuadPart = -TEST_SECOND / 2};

    Target = KeGetCurrentThread();
    Result = KeWaitForSingleObject(&Never, Executive, KernelMode, FALSE, &Timeout);
    KeSetEvent(&Done, 0, FALSE);
}

/* An APC in the middle of a wait: it runs, and the wait goes on to its time-out. */
static VOID DuringWait(PKTAP_CONTEXT Ktap)
{
    KeInitializeEvent(&Never, NotificationEvent, FALSE);
    KeInitializeEvent(&Done, SynchronizationEvent, FALSE);
    Result = STATUS_PENDING;
    ULONG64 Start = KeQueryInterruptTime();
    KTAP_CHECK(TestThread(Sleeper, NULL, 16));
    Prepare(Target);
    KTAP_CHECK(KeInsertQueueApc(&Apcs[0], NULL, NULL, 0));
    KTAP_EQUAL(TestWait(&Done), STATUS_SUCCESS);
    KTAP_EQUAL(Steps, 2);
    KTAP_EQUAL(Result, STATUS_TIMEOUT);
    KTAP_CHECK(KeQueryInterruptTime() - Start >= TEST_SECOND / 2);
}

static volatile LONG StepsAtStart;

static VOID NTAPI StartsLate(PVOID Context)
{
    StepsAtStart = Steps;
    KeSetEvent(&Done, 0, FALSE);
}

/* An APC queued to a thread that has not run yet is delivered before its first instruction. */
static VOID BeforeStart(PKTAP_CONTEXT Ktap)
{
    PETHREAD Thread;

    KeInitializeEvent(&Done, SynchronizationEvent, FALSE);
    StepsAtStart = -1;
    KTAP_EQUAL(PspAllocateSystemThread(&Thread, StartsLate, NULL, 16), STATUS_SUCCESS);
    Prepare(&Thread->Tcb);
    BOOLEAN Queued = KeInsertQueueApc(&Apcs[1], NULL, NULL, 0);
    KeReadyThread(&Thread->Tcb);
    KTAP_EQUAL(TestWait(&Done), STATUS_SUCCESS);
    KTAP_CHECK(Queued);
    KTAP_EQUAL(StepsAtStart, 1);
}

static const KTAP_CASE_ENTRY Cases[] = {{"levels", Levels},           {"special_first", SpecialFirst},
                                        {"regions", Regions},         {"release_and_wait", ReleaseAndWait},
                                        {"remove", RemoveApc},        {"during_wait", DuringWait},
                                        {"before_start", BeforeStart}};
KTAP_SUITE_ON_ONE(KeApcSuite, "ke.apc", Cases);
