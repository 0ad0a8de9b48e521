/*
 * usync.c - the suite of ntdll's locks: critical sections, reader/writer locks, condition variables, run-once, address waits.
 *
 * Four threads at a time, on as many processors as there are. What a lock guards is changed without atomic instructions, in several
 * words that must agree, with the processor given away in between; so a lock that lets two in is seen on one processor too.
 */
#include "../ktap.h"

#define ROUNDS 400
#define ITEMS  600

static ULONG Values[8]; /* all alike while nobody is inside */
static ULONG Torn;

static VOID ChangeAll(ULONG Seed)
{
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Values); Index++) {
        if (Values[Index] != Values[0] - (Index > 0 ? 1u : 0)) {
            Torn++;
        }
        Values[Index]++;
        if (Index == 3 && Seed % 16 == 0) {
            NtYieldExecution();
        }
    }
}

static VOID ReadAll(ULONG Seed)
{
    for (ULONG Index = 1; Index < RTL_NUMBER_OF(Values); Index++) {
        if (((volatile ULONG *)Values)[Index] != ((volatile ULONG *)Values)[0]) {
            InterlockedIncrement((volatile LONG *)&Torn);
        }
        if (Index == 3 && Seed % 16 == 0) {
            NtYieldExecution();
        }
    }
}

static VOID ResetAll(VOID)
{
    RtlZeroMemory(Values, sizeof(Values));
    Torn = 0;
}

/* ---- Alerts ---- */

static ULONG AlertRemembered(VOID)
{
    LARGE_INTEGER Now = {.QuadPart = 0};
    HANDLE Self = ((PTEB)__readgsqword(0x30))->ClientId.UniqueThread;

    CHECK(NtWaitForAlertByThreadId(NULL, &Now) == STATUS_TIMEOUT);
    CHECK(NtAlertThreadByThreadId(Self) == STATUS_SUCCESS);
    CHECK(NtAlertThreadByThreadId(Self) == STATUS_SUCCESS); /* one, however often */
    CHECK(NtWaitForAlertByThreadId(NULL, NULL) == STATUS_ALERTED);
    CHECK(NtWaitForAlertByThreadId(NULL, &Now) == STATUS_TIMEOUT);
    CHECK(NtWaitForAlertByThreadId(NULL, KERNEL_POINTER) == STATUS_ACCESS_VIOLATION);
    CHECK(NtAlertThreadByThreadId((HANDLE)3) == STATUS_INVALID_CID);
    CHECK(NtAlertThreadByThreadId(NULL) == STATUS_INVALID_CID);
    CHECK(NtAlertThreadByThreadId((HANDLE)8) != STATUS_SUCCESS); /* none, or the system's */
    return 0;
}

/* ---- Critical sections ---- */

static RTL_CRITICAL_SECTION Section;

static NTSTATUS NTAPI SectionThread(PVOID Argument)
{
    ULONG Seed = (ULONG)(ULONG_PTR)Argument;

    for (ULONG Round = 0; Round < ROUNDS; Round++) {
        RtlEnterCriticalSection(&Section);
        RtlEnterCriticalSection(&Section);
        ChangeAll(NextRandom(&Seed));
        RtlLeaveCriticalSection(&Section);
        RtlLeaveCriticalSection(&Section);
    }
    return STATUS_SUCCESS;
}

static ULONG SectionExcludes(VOID)
{
    for (ULONG Spins = 0; Spins <= 500; Spins += 500) {
        ResetAll();
        CHECK(RtlInitializeCriticalSectionAndSpinCount(&Section, Spins) == STATUS_SUCCESS);
        CHECK(RunThreads(SectionThread, (PVOID)1, THREADS) == 0);
        CHECK(Torn == 0 && Values[0] == THREADS * ROUNDS);
        CHECK(Section.LockCount == -1 && Section.OwningThread == NULL);
        CHECK(RtlDeleteCriticalSection(&Section) == STATUS_SUCCESS);
    }
    return 0;
}

static NTSTATUS NTAPI TryThread(PVOID Argument)
{
    *(volatile BOOLEAN *)Argument = RtlTryEnterCriticalSection(&Section);
    if (*(volatile BOOLEAN *)Argument) {
        RtlLeaveCriticalSection(&Section);
    }
    return STATUS_SUCCESS;
}

static ULONG SectionOwner(VOID)
{
    PTEB Teb = (PTEB)__readgsqword(0x30);
    BOOLEAN Got = TRUE;

    CHECK(RtlInitializeCriticalSectionEx(&Section, 0, 1) == STATUS_INVALID_PARAMETER_3);
    CHECK(RtlInitializeCriticalSectionEx(&Section, 0x1000000, 0) == STATUS_INVALID_PARAMETER_2);
    CHECK(RtlInitializeCriticalSection(&Section) == STATUS_SUCCESS);
    CHECK(RtlSetCriticalSectionSpinCount(&Section, 10) == 0 && RtlSetCriticalSectionSpinCount(&Section, 0) == 10);
    CHECK(RtlLeaveCriticalSection(&Section) == STATUS_RESOURCE_NOT_OWNED);
    CHECK(RtlTryEnterCriticalSection(&Section) && RtlTryEnterCriticalSection(&Section));
    CHECK(Teb->CountOfOwnedCriticalSections == 1);
    CHECK(Section.OwningThread == Teb->ClientId.UniqueThread && Section.RecursionCount == 2);
    CHECK(RtlIsCriticalSectionLocked(&Section) && RtlIsCriticalSectionLockedByThread(&Section));
    CHECK(RunThreads(TryThread, &Got, 1) == 0 && !Got);
    CHECK(RtlLeaveCriticalSection(&Section) == STATUS_SUCCESS);
    CHECK(RunThreads(TryThread, &Got, 1) == 0 && !Got);
    CHECK(RtlLeaveCriticalSection(&Section) == STATUS_SUCCESS);
    CHECK(RunThreads(TryThread, &Got, 1) == 0 && Got);
    CHECK(!RtlIsCriticalSectionLocked(&Section) && Teb->CountOfOwnedCriticalSections == 0);
    return 0;
}

/* ---- Reader/writer locks ---- */

static RTL_SRWLOCK Lock = RTL_SRWLOCK_INIT;
static volatile LONG Readers;

static NTSTATUS NTAPI SrwThread(PVOID Argument)
{
    ULONG Seed = (ULONG)__rdtsc();

    for (ULONG Round = 0; Round < ROUNDS; Round++) {
        if (NextRandom(&Seed) % 3 == 0) {
            RtlAcquireSRWLockExclusive(&Lock);
            ChangeAll(NextRandom(&Seed));
            InterlockedIncrement((volatile LONG *)Argument);
            RtlReleaseSRWLockExclusive(&Lock);
        } else {
            RtlAcquireSRWLockShared(&Lock);
            ReadAll(NextRandom(&Seed));
            RtlReleaseSRWLockShared(&Lock);
        }
    }
    return STATUS_SUCCESS;
}

static ULONG SrwExcludes(VOID)
{
    LONG Writes = 0;

    ResetAll();
    RtlInitializeSRWLock(&Lock);
    CHECK(RunThreads(SrwThread, &Writes, THREADS * 2) == 0);
    CHECK(Torn == 0 && Writes > 0 && Values[0] == (ULONG)Writes);
    CHECK(Lock.Ptr == NULL);
    return 0;
}

static NTSTATUS NTAPI SharerThread(PVOID Argument)
{
    RtlAcquireSRWLockShared(&Lock);
    if (InterlockedIncrement(&Readers) == THREADS) {
        RtlWakeAddressAll((PVOID)&Readers);
    }
    for (LONG Seen; (Seen = Readers) < THREADS;) { /* all of them are inside together */
        RtlWaitOnAddress(&Readers, &Seen, sizeof(Seen), NULL);
    }
    RtlReleaseSRWLockShared(&Lock);
    return STATUS_SUCCESS;
}

static ULONG SrwShared(VOID)
{
    Readers = 0;
    CHECK(RunThreads(SharerThread, NULL, THREADS) == 0);
    CHECK(RtlTryAcquireSRWLockShared(&Lock) && RtlTryAcquireSRWLockShared(&Lock));
    CHECK(!RtlTryAcquireSRWLockExclusive(&Lock));
    RtlReleaseSRWLockShared(&Lock);
    CHECK(!RtlTryAcquireSRWLockExclusive(&Lock));
    RtlReleaseSRWLockShared(&Lock);
    CHECK(RtlTryAcquireSRWLockExclusive(&Lock));
    CHECK(!RtlTryAcquireSRWLockShared(&Lock) && !RtlTryAcquireSRWLockExclusive(&Lock));
    RtlReleaseSRWLockExclusive(&Lock);
    CHECK(Lock.Ptr == NULL);
    return 0;
}

static ULONG SrwNotOwned(VOID)
{
    NTSTATUS Code = 0;

    __try {
        RtlReleaseSRWLockExclusive(&Lock);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Code = GetExceptionCode();
    }
    CHECK(Code == STATUS_RESOURCE_NOT_OWNED);
    Code = 0;
    __try {
        RtlReleaseSRWLockShared(&Lock);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Code = GetExceptionCode();
    }
    CHECK(Code == STATUS_RESOURCE_NOT_OWNED);
    return 0;
}

/* Those who already share let no more in once somebody wants the lock alone. */
static NTSTATUS NTAPI WriterThread(PVOID Argument)
{
    RtlAcquireSRWLockExclusive(&Lock);
    *(volatile ULONG *)Argument = 1;
    RtlReleaseSRWLockExclusive(&Lock);
    return STATUS_SUCCESS;
}

static ULONG SrwWriterWaits(VOID)
{
    ULONG Wrote = 0;
    HANDLE Writer;

    RtlAcquireSRWLockShared(&Lock);
    Writer = StartThread(WriterThread, &Wrote, 0);
    while (RtlTryAcquireSRWLockShared(&Lock)) { /* until the writer waits */
        RtlReleaseSRWLockShared(&Lock);
        NtYieldExecution();
    }
    CHECK(*(volatile ULONG *)&Wrote == 0);
    RtlReleaseSRWLockShared(&Lock);
    CHECK(Join(Writer) == 0 && Wrote == 1);
    return 0;
}

/* ---- Condition variables ---- */

static RTL_CONDITION_VARIABLE NotEmpty = RTL_CONDITION_VARIABLE_INIT, NotFull = RTL_CONDITION_VARIABLE_INIT;
static ULONG Ring[4], Put, Taken;
static ULONG64 Sum;
static BOOLEAN UseSection;

static VOID QueueLock(VOID)
{
    if (UseSection) {
        RtlEnterCriticalSection(&Section);
    } else {
        RtlAcquireSRWLockExclusive(&Lock);
    }
}

static VOID QueueUnlock(VOID)
{
    if (UseSection) {
        RtlLeaveCriticalSection(&Section);
    } else {
        RtlReleaseSRWLockExclusive(&Lock);
    }
}

static VOID QueueSleep(PRTL_CONDITION_VARIABLE Variable)
{
    if (UseSection) {
        RtlSleepConditionVariableCS(Variable, &Section, NULL);
    } else {
        RtlSleepConditionVariableSRW(Variable, &Lock, NULL, 0);
    }
}

static NTSTATUS NTAPI Producer(PVOID Argument)
{
    for (ULONG Item = 1; Item <= ITEMS; Item++) {
        QueueLock();
        while (Put - Taken == RTL_NUMBER_OF(Ring)) {
            QueueSleep(&NotFull);
        }
        Ring[Put++ % RTL_NUMBER_OF(Ring)] = Item;
        QueueUnlock();
        RtlWakeConditionVariable(&NotEmpty);
    }
    return STATUS_SUCCESS;
}

static NTSTATUS NTAPI Consumer(PVOID Argument)
{
    for (ULONG Item = 1; Item <= ITEMS; Item++) {
        QueueLock();
        while (Put == Taken) {
            QueueSleep(&NotEmpty);
        }
        Sum += Ring[Taken++ % RTL_NUMBER_OF(Ring)];
        QueueUnlock();
        RtlWakeConditionVariable(&NotFull);
    }
    return STATUS_SUCCESS;
}

static ULONG RunQueue(BOOLEAN WithSection)
{
    HANDLE Thread[THREADS];

    UseSection = WithSection;
    Put = Taken = 0;
    Sum = 0;
    for (ULONG Index = 0; Index < THREADS; Index++) {
        Thread[Index] = StartThread(Index % 2 == 0 ? Producer : Consumer, NULL, 0);
    }
    for (ULONG Index = 0; Index < THREADS; Index++) {
        CHECK(Join(Thread[Index]) == 0);
    }
    CHECK(Sum == THREADS / 2 * (ULONG64)ITEMS * (ITEMS + 1) / 2);
    CHECK(NotEmpty.Ptr == NULL && NotFull.Ptr == NULL);
    return 0;
}

static ULONG ConditionQueueSection(VOID)
{
    CHECK(RtlInitializeCriticalSection(&Section) == STATUS_SUCCESS);
    return RunQueue(TRUE);
}

static ULONG ConditionQueueSrw(VOID)
{
    return RunQueue(FALSE);
}

static ULONG ConditionTimeout(VOID)
{
    LARGE_INTEGER Short = {.QuadPart = -20000}, Now = {.QuadPart = 0};

    RtlAcquireSRWLockExclusive(&Lock);
    CHECK(RtlSleepConditionVariableSRW(&NotEmpty, &Lock, &Short, 0) == STATUS_TIMEOUT);
    CHECK(RtlSleepConditionVariableSRW(&NotEmpty, &Lock, &Now, 0) == STATUS_TIMEOUT);
    CHECK(RtlSleepConditionVariableSRW(&NotEmpty, &Lock, &Now, 2) == STATUS_INVALID_PARAMETER);
    RtlReleaseSRWLockExclusive(&Lock);
    RtlAcquireSRWLockShared(&Lock);
    CHECK(RtlSleepConditionVariableSRW(&NotEmpty, &Lock, &Short, RTL_CONDITION_VARIABLE_LOCKMODE_SHARED) ==
          STATUS_TIMEOUT);
    RtlReleaseSRWLockShared(&Lock);
    CHECK(Lock.Ptr == NULL);
    RtlWakeAllConditionVariable(&NotEmpty); /* nobody is left */
    return 0;
}

static BOOLEAN Gate;
static LONG Through;

static NTSTATUS NTAPI GateThread(PVOID Argument)
{
    RtlAcquireSRWLockShared(&Lock);
    InterlockedIncrement(&Readers);
    while (!Gate) {
        RtlSleepConditionVariableSRW(&NotEmpty, &Lock, NULL, RTL_CONDITION_VARIABLE_LOCKMODE_SHARED);
    }
    InterlockedIncrement(&Through);
    RtlReleaseSRWLockShared(&Lock);
    return STATUS_SUCCESS;
}

static ULONG ConditionWakeAll(VOID)
{
    HANDLE Thread[THREADS];

    Gate = FALSE;
    Through = 0;
    Readers = 0;
    for (ULONG Index = 0; Index < THREADS; Index++) {
        Thread[Index] = StartThread(GateThread, NULL, 0);
    }
    while (Readers != THREADS) {
        NtYieldExecution();
    }
    RtlAcquireSRWLockExclusive(&Lock); /* all of them sleep */
    CHECK(Through == 0);
    Gate = TRUE;
    RtlReleaseSRWLockExclusive(&Lock);
    RtlWakeAllConditionVariable(&NotEmpty);
    for (ULONG Index = 0; Index < THREADS; Index++) {
        CHECK(Join(Thread[Index]) == 0);
    }
    CHECK(Through == THREADS);
    return 0;
}

/* ---- Run once ---- */

static RTL_RUN_ONCE Once;
static volatile LONG Runs, Attempts, WrongContexts;

static ULONG NTAPI OnceRoutine(PRTL_RUN_ONCE RunOnce, PVOID Parameter, PVOID *Context)
{
    LARGE_INTEGER Short = {.QuadPart = -20000};

    if (InterlockedIncrement(&Attempts) == 1) {
        NtDelayExecution(FALSE, &Short);
        return FALSE; /* the next one succeeds */
    }
    NtDelayExecution(FALSE, &Short);
    InterlockedIncrement(&Runs);
    *Context = (PVOID)0x1230;
    return TRUE;
}

static NTSTATUS NTAPI OnceThread(PVOID Argument)
{
    PVOID Context = NULL;

    while (RtlRunOnceExecuteOnce(&Once, OnceRoutine, NULL, &Context) != STATUS_SUCCESS) {
    }
    if (Context != (PVOID)0x1230 || Runs != 1) {
        InterlockedIncrement(&WrongContexts);
    }
    return STATUS_SUCCESS;
}

static ULONG OnceOnly(VOID)
{
    PVOID Context;

    Runs = Attempts = WrongContexts = 0;
    RtlRunOnceInitialize(&Once);
    CHECK(RtlRunOnceBeginInitialize(&Once, RTL_RUN_ONCE_CHECK_ONLY, NULL) == STATUS_UNSUCCESSFUL);
    CHECK(RunThreads(OnceThread, NULL, THREADS) == 0);
    CHECK(Runs == 1 && Attempts == 2 && WrongContexts == 0);
    CHECK(RtlRunOnceBeginInitialize(&Once, RTL_RUN_ONCE_CHECK_ONLY, &Context) == STATUS_SUCCESS);
    CHECK(Context == (PVOID)0x1230);
    CHECK(RtlRunOnceComplete(&Once, 0, NULL) == STATUS_UNSUCCESSFUL);
    return 0;
}

/* ---- Address waits ---- */

static volatile ULONG Turn;

/* Each waits for its own turn and passes it on: a lost wake-up hangs them all. */
static NTSTATUS NTAPI TurnThread(PVOID Argument)
{
    ULONG Mine = (ULONG)(ULONG_PTR)Argument;

    for (ULONG Round = 0; Round < ROUNDS / 4; Round++) {
        for (ULONG Seen; (Seen = Turn) % THREADS != Mine;) {
            RtlWaitOnAddress(&Turn, &Seen, sizeof(Seen), NULL);
        }
        Turn++;
        RtlWakeAddressAll((PVOID)&Turn);
    }
    return STATUS_SUCCESS;
}

static ULONG AddressTurns(VOID)
{
    HANDLE Thread[THREADS];

    Turn = 0;
    for (ULONG Index = 0; Index < THREADS; Index++) {
        Thread[Index] = StartThread(TurnThread, (PVOID)(ULONG_PTR)Index, 0);
    }
    for (ULONG Index = 0; Index < THREADS; Index++) {
        CHECK(Join(Thread[Index]) == 0);
    }
    CHECK(Turn == THREADS * (ROUNDS / 4));
    return 0;
}

static ULONG AddressSizes(VOID)
{
    LARGE_INTEGER Now = {.QuadPart = 0}, Short = {.QuadPart = -20000};
    ULONG64 Value = 0x1122334455667788ULL, Same = Value, Other = Value ^ 0xFF00000000000000ULL;
    NTSTATUS Code = 0;

    for (ULONG Size = 1; Size <= 8; Size *= 2) {
        CHECK(RtlWaitOnAddress(&Value, &Same, Size, Size == 4 ? &Short : &Now) == STATUS_TIMEOUT);
        CHECK(RtlWaitOnAddress(&Value, &Other, Size, &Now) == (Size == 8 ? STATUS_SUCCESS : STATUS_TIMEOUT));
    }
    CHECK(RtlWaitOnAddress(&Value, &Same, 3, &Now) == STATUS_INVALID_PARAMETER);
    CHECK(RtlWaitOnAddress((PUCHAR)&Value + 2, &Same, 4, &Now) == STATUS_INVALID_PARAMETER);
    __try {
        RtlWaitOnAddress(NULL, &Same, 4, &Now);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Code = GetExceptionCode();
    }
    CHECK(Code == STATUS_ACCESS_VIOLATION);
    RtlWakeAddressSingle(&Value);
    return 0;
}

static volatile LONG Asleep, Woken;

static NTSTATUS NTAPI SleeperThread(PVOID Argument)
{
    ULONG Zero = 0;

    InterlockedIncrement(&Asleep);
    RtlWaitOnAddress(Argument, &Zero, sizeof(Zero), NULL);
    InterlockedIncrement(&Woken);
    return STATUS_SUCCESS;
}

/* A wake for one wakes one: the value stays as it is. */
static ULONG AddressSingle(VOID)
{
    LARGE_INTEGER Short = {.QuadPart = -100000};
    HANDLE Thread[THREADS];
    ULONG Value = 0;

    Asleep = Woken = 0;
    for (ULONG Index = 0; Index < THREADS; Index++) {
        Thread[Index] = StartThread(SleeperThread, &Value, 0);
    }
    while (Asleep != THREADS) {
        NtYieldExecution();
    }
    for (LONG Calls = 1; Woken != THREADS; Calls++) { /* who is still on the way to sleep needs another one */
        RtlWakeAddressSingle(&Value);
        NtDelayExecution(FALSE, &Short);
        CHECK(Woken <= Calls);
    }
    for (ULONG Index = 0; Index < THREADS; Index++) {
        CHECK(Join(Thread[Index]) == 0);
    }
    return 0;
}

static const USER_CASE Cases[] = {
    {"user.sync.alert", AlertRemembered},
    {"user.sync.section", SectionExcludes},
    {"user.sync.section_owner", SectionOwner},
    {"user.sync.srw", SrwExcludes},
    {"user.sync.srw_shared", SrwShared},
    {"user.sync.srw_not_owned", SrwNotOwned},
    {"user.sync.srw_writer", SrwWriterWaits},
    {"user.sync.condition_section", ConditionQueueSection},
    {"user.sync.condition_srw", ConditionQueueSrw},
    {"user.sync.condition_timeout", ConditionTimeout},
    {"user.sync.condition_all", ConditionWakeAll},
    {"user.sync.once", OnceOnly},
    {"user.sync.address_turns", AddressTurns},
    {"user.sync.address_sizes", AddressSizes},
    {"user.sync.address_single", AddressSingle},
};

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    return UserRunSuite("usync.c", Cases, RTL_NUMBER_OF(Cases));
}
