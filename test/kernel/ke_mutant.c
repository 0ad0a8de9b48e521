/*
 * ke_mutant.c - suites ke.mutant and ke.semaphore: ownership, recursion, abandonment, limits.
 *
 * Ownership is checked by threads that try, contention by counting how many are inside at once while each gives the processor
 * away in the middle.
 */
#include "ketest.h"

#include <ntos/rtl.h>

static KMUTANT Mutant;
static KSEMAPHORE Semaphore;
static KEVENT Done;
static volatile NTSTATUS Result;

static VOID Recursion(PKTAP_CONTEXT Ktap)
{
    KeInitializeMutex(&Mutant, 0);
    KTAP_EQUAL(KeReadStateMutex(&Mutant), 1);
    KTAP_EQUAL(TestPoll(&Mutant), STATUS_SUCCESS);
    KTAP_CHECK(KeAreApcsDisabled()); /* a mutex keeps normal APCs away */
    KTAP_EQUAL(TestPoll(&Mutant), STATUS_SUCCESS);
    KTAP_EQUAL(KeReadStateMutex(&Mutant), (ULONG64)(LONG)-1);
    KTAP_EQUAL(KeReleaseMutex(&Mutant, FALSE), (ULONG64)(LONG)-1);
    KTAP_EQUAL(KeReleaseMutex(&Mutant, FALSE), 0);
    KTAP_EQUAL(KeReadStateMutex(&Mutant), 1);
    KTAP_CHECK(!KeAreApcsDisabled());
}

static VOID NTAPI TryOthers(PVOID Context)
{
    Result = TestPoll(&Mutant);
    KeSetEvent(&Done, 0, FALSE);
}

static VOID Excludes(PKTAP_CONTEXT Ktap)
{
    KeInitializeMutant(&Mutant, TRUE);
    KeInitializeEvent(&Done, SynchronizationEvent, FALSE);
    KTAP_CHECK(TestThread(TryOthers, NULL, 8));
    KTAP_EQUAL(TestWait(&Done), STATUS_SUCCESS);
    KTAP_EQUAL(Result, STATUS_TIMEOUT);
    KTAP_EQUAL(KeReleaseMutant(&Mutant, 0, FALSE, FALSE), 0);
}

static NTSTATUS ReleaseStatus(PKMUTANT Which)
{
    __try {
        KeReleaseMutant(Which, 0, FALSE, FALSE);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return GetExceptionCode();
    }
    return STATUS_SUCCESS;
}

static VOID NotOwned(PKTAP_CONTEXT Ktap)
{
    KeInitializeMutant(&Mutant, FALSE);
    KTAP_EQUAL(ReleaseStatus(&Mutant), STATUS_MUTANT_NOT_OWNED);
    KTAP_EQUAL(KeReadStateMutant(&Mutant), 1);
}

static VOID NTAPI TakeAndEnd(PVOID Context)
{
    KeWaitForSingleObject(&Mutant, Executive, KernelMode, FALSE, NULL);
    KeSetEvent(&Done, 0, FALSE);
}

static VOID Abandoned(PKTAP_CONTEXT Ktap)
{
    PVOID Objects[2] = {&Done, &Mutant};
    LARGE_INTEGER Timeout = {.QuadPart = -TEST_PATIENCE};

    KeInitializeMutant(&Mutant, FALSE);
    KeInitializeEvent(&Done, SynchronizationEvent, FALSE);
    KTAP_CHECK(TestThread(TakeAndEnd, NULL, 8));
    KTAP_EQUAL(TestWait(&Done), STATUS_SUCCESS);
    KTAP_EQUAL(KeWaitForMultipleObjects(2, Objects, WaitAny, Executive, KernelMode, FALSE, &Timeout, NULL),
               STATUS_ABANDONED_WAIT_0 + 1);
    KTAP_EQUAL(KeReleaseMutant(&Mutant, 0, FALSE, FALSE), 0);
    KTAP_EQUAL(TestPoll(&Mutant), STATUS_SUCCESS); /* said once only */
    KTAP_EQUAL(KeReleaseMutant(&Mutant, 0, FALSE, FALSE), 0);
}

static volatile LONG Inside, Worst, Finished;

static VOID NTAPI Contender(PVOID Context)
{
    for (ULONG i = 0; i < 200; i++) {
        KeWaitForSingleObject(&Mutant, Executive, KernelMode, FALSE, NULL);
        LONG Now = InterlockedIncrement(&Inside);
        if (Now > Worst) {
            Worst = Now;
        }
        ZwYieldExecution();
        InterlockedDecrement(&Inside);
        KeReleaseMutex(&Mutant, FALSE);
    }
    if (InterlockedIncrement(&Finished) == 4) {
        KeSetEvent(&Done, 0, FALSE);
    }
}

static VOID Contention(PKTAP_CONTEXT Ktap)
{
    KeInitializeMutex(&Mutant, 0);
    KeInitializeEvent(&Done, SynchronizationEvent, FALSE);
    Inside = Worst = Finished = 0;
    for (ULONG i = 0; i < 4; i++) {
        KTAP_CHECK(TestThread(Contender, NULL, 8));
    }
    KTAP_EQUAL(TestWait(&Done), STATUS_SUCCESS);
    KTAP_EQUAL(Worst, 1);
    KTAP_EQUAL(KeReadStateMutex(&Mutant), 1);
}

static NTSTATUS SemaphoreStatus(LONG Adjustment)
{
    __try {
        KeReleaseSemaphore(&Semaphore, 0, Adjustment, FALSE);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return GetExceptionCode();
    }
    return STATUS_SUCCESS;
}

static VOID SemaphoreLimit(PKTAP_CONTEXT Ktap)
{
    KeInitializeSemaphore(&Semaphore, 1, 3);
    KTAP_EQUAL(KeReleaseSemaphore(&Semaphore, 0, 2, FALSE), 1);
    KTAP_EQUAL(SemaphoreStatus(1), STATUS_SEMAPHORE_LIMIT_EXCEEDED);
    KTAP_EQUAL(KeReadStateSemaphore(&Semaphore), 3);
    for (ULONG i = 0; i < 3; i++) {
        KTAP_EQUAL(TestPoll(&Semaphore), STATUS_SUCCESS);
    }
    KTAP_EQUAL(TestPoll(&Semaphore), STATUS_TIMEOUT);
    KTAP_EQUAL(SemaphoreStatus(MAXLONG), STATUS_SEMAPHORE_LIMIT_EXCEEDED);
}

static VOID NTAPI SemaphoreWaiter(PVOID Context)
{
    KeWaitForSingleObject(&Semaphore, Executive, KernelMode, FALSE, NULL);
    if (InterlockedIncrement(&Finished) == 3) {
        KeSetEvent(&Done, 0, FALSE);
    }
}

static VOID SemaphoreWakes(PKTAP_CONTEXT Ktap)
{
    KeInitializeSemaphore(&Semaphore, 0, 10);
    KeInitializeEvent(&Done, SynchronizationEvent, FALSE);
    Finished = 0;
    for (ULONG i = 0; i < 5; i++) {
        KTAP_CHECK(TestThread(SemaphoreWaiter, NULL, 16));
    }
    KeReleaseSemaphore(&Semaphore, 0, 3, FALSE);
    KTAP_EQUAL(TestWait(&Done), STATUS_SUCCESS);
    KTAP_EQUAL(Finished, 3);
    KTAP_EQUAL(KeReadStateSemaphore(&Semaphore), 0);
    KeReleaseSemaphore(&Semaphore, 0, 2, FALSE); /* lets the other two go */
    KTAP_EQUAL(Finished, 5);
}

static const KTAP_CASE_ENTRY MutantCases[] = {
    {"recursion", Recursion}, {"excludes", Excludes},     {"not_owned", NotOwned},
    {"abandoned", Abandoned}, {"contention", Contention},
};
KTAP_SUITE_ON_ONE(KeMutantSuite, "ke.mutant", MutantCases);

static const KTAP_CASE_ENTRY SemaphoreCases[] = {{"limit", SemaphoreLimit}, {"wakes", SemaphoreWakes}};
KTAP_SUITE_ON_ONE(KeSemaphoreSuite, "ke.semaphore", SemaphoreCases);
