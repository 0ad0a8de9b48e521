/*
 * upool.c - the suite of the thread pool, keyed events, process parameters and the loader's list.
 *
 * Figures that depend on time are not looked at: only what must have happened when a wait returns. Run with the word `end` the program ends with 77;
 * with `throw` a callback of it raises an exception that nobody handles.
 */
#include "../ktap.h"

#define PATH  L"\\SystemRoot\\System\\upool.exe"
#define POSTS 500

static volatile LONG Count, Sum;

static LARGE_INTEGER Milliseconds(LONG Time)
{
    LARGE_INTEGER Relative = {.QuadPart = -10000LL * Time};

    return Relative;
}

/* ---- Work ---- */

static VOID NTAPI AddOne(PTP_CALLBACK_INSTANCE Instance, PVOID Context, PTP_WORK Work)
{
    InterlockedIncrement((volatile LONG *)Context);
}

static VOID NTAPI AddSimple(PTP_CALLBACK_INSTANCE Instance, PVOID Context)
{
    InterlockedIncrement((volatile LONG *)Context);
}

/* Every post runs once; waiting waits for all. */
static ULONG Work(VOID)
{
    PTP_WORK Work = NULL;

    Count = 0;
    CHECK(TpAllocWork(&Work, NULL, NULL, NULL) == STATUS_INVALID_PARAMETER);
    CHECK(TpAllocWork(&Work, AddOne, (PVOID)&Count, NULL) == STATUS_SUCCESS);
    TpWaitForWork(Work, FALSE);
    for (ULONG Index = 0; Index < POSTS; Index++) {
        TpPostWork(Work);
    }
    TpWaitForWork(Work, FALSE);
    CHECK(Count == POSTS);
    TpReleaseWork(Work);
    return 0;
}

static NTSTATUS NTAPI PostMany(PVOID Argument)
{
    for (ULONG Index = 0; Index < POSTS; Index++) {
        TpPostWork(Argument);
    }
    return STATUS_SUCCESS;
}

/* Several threads post the same work to a pool of their own with few threads. */
static ULONG Race(VOID)
{
    TP_CALLBACK_ENVIRON Environment = {.Version = 1};
    PTP_WORK Work;

    Count = 0;
    CHECK(TpAllocPool(&Environment.Pool, NULL) == STATUS_SUCCESS);
    TpSetPoolMaxThreads(Environment.Pool, 2);
    CHECK(TpSetPoolMinThreads(Environment.Pool, 1) == STATUS_SUCCESS);
    CHECK(TpAllocWork(&Work, AddOne, (PVOID)&Count, &Environment) == STATUS_SUCCESS);
    CHECK(RunThreads(PostMany, Work, THREADS) == 0);
    TpWaitForWork(Work, FALSE);
    CHECK(Count == POSTS * THREADS);
    TpReleaseWork(Work);
    TpReleasePool(Environment.Pool);
    return 0;
}

static HANDLE Gate, Begun;

static VOID NTAPI WaitAtGate(PTP_CALLBACK_INSTANCE Instance, PVOID Context, PTP_WORK Work)
{
    InterlockedIncrement(&Count);
    NtSetEvent(Begun, NULL);
    NtWaitForSingleObject(Gate, FALSE, NULL);
}

/* What has not begun can be taken back; what has is waited for. */
static ULONG Cancel(VOID)
{
    TP_CALLBACK_ENVIRON Environment = {.Version = 1};
    PTP_WORK Work;

    Count = 0;
    CHECK(NtCreateEvent(&Gate, EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE) == STATUS_SUCCESS);
    CHECK(NtCreateEvent(&Begun, EVENT_ALL_ACCESS, NULL, SynchronizationEvent, FALSE) == STATUS_SUCCESS);
    CHECK(TpAllocPool(&Environment.Pool, NULL) == STATUS_SUCCESS);
    TpSetPoolMaxThreads(Environment.Pool, 1);
    CHECK(TpAllocWork(&Work, WaitAtGate, NULL, &Environment) == STATUS_SUCCESS);
    for (ULONG Index = 0; Index < 10; Index++) {
        TpPostWork(Work);
    }
    CHECK(NtWaitForSingleObject(Begun, FALSE, NULL) == STATUS_SUCCESS); /* the one thread is in the first */
    CHECK(NtSetEvent(Gate, NULL) == STATUS_SUCCESS);
    TpWaitForWork(Work, TRUE);
    CHECK(Count >= 1 && Count <= 10);
    TpReleaseWork(Work);
    TpReleasePool(Environment.Pool);
    CHECK(NtClose(Gate) == STATUS_SUCCESS && NtClose(Begun) == STATUS_SUCCESS);
    return 0;
}

static VOID NTAPI Promise(PTP_CALLBACK_INSTANCE Instance, PVOID Context)
{
    HANDLE *Handles = Context;

    TpCallbackSetEventOnCompletion(Instance, Handles[0]);
    TpCallbackReleaseSemaphoreOnCompletion(Instance, Handles[1], 2);
    InterlockedIncrement(&Count);
}

static ULONG Completion(VOID)
{
    LARGE_INTEGER Now = {.QuadPart = 0};
    HANDLE Handles[2];

    Count = 0;
    CHECK(NtCreateEvent(&Handles[0], EVENT_ALL_ACCESS, NULL, SynchronizationEvent, FALSE) == STATUS_SUCCESS);
    CHECK(NtCreateSemaphore(&Handles[1], SEMAPHORE_ALL_ACCESS, NULL, 0, 10) == STATUS_SUCCESS);
    CHECK(TpSimpleTryPost(Promise, Handles, NULL) == STATUS_SUCCESS);
    CHECK(NtWaitForSingleObject(Handles[0], FALSE, NULL) == STATUS_SUCCESS && Count == 1);
    CHECK(NtWaitForSingleObject(Handles[1], FALSE, &Now) == STATUS_SUCCESS); /* released before the event is set */
    CHECK(NtWaitForSingleObject(Handles[1], FALSE, &Now) == STATUS_SUCCESS);
    CHECK(NtClose(Handles[0]) == STATUS_SUCCESS && NtClose(Handles[1]) == STATUS_SUCCESS);
    return 0;
}

static VOID NTAPI Cancelled(PVOID ObjectContext, PVOID CleanupContext)
{
    InterlockedIncrement((volatile LONG *)CleanupContext);
}

static VOID NTAPI OnTimer(PTP_CALLBACK_INSTANCE Instance, PVOID Context, PTP_TIMER Timer)
{
    InterlockedIncrement((volatile LONG *)Context);
}

/* A group's objects are all released together, whatever they are. */
static ULONG Group(VOID)
{
    TP_CALLBACK_ENVIRON Environment = {.Version = 1, .CleanupGroupCancelCallback = Cancelled};
    LARGE_INTEGER Far = Milliseconds(1000000);
    PTP_WORK Work, Gone;
    PTP_TIMER Timer;

    Count = Sum = 0;
    CHECK(TpAllocCleanupGroup(&Environment.CleanupGroup) == STATUS_SUCCESS);
    CHECK(TpAllocWork(&Work, AddOne, (PVOID)&Count, &Environment) == STATUS_SUCCESS);
    CHECK(TpAllocWork(&Gone, AddOne, (PVOID)&Count, &Environment) == STATUS_SUCCESS);
    CHECK(TpAllocTimer(&Timer, OnTimer, (PVOID)&Count, &Environment) == STATUS_SUCCESS);
    CHECK(TpSimpleTryPost(AddSimple, (PVOID)&Count, &Environment) == STATUS_SUCCESS);
    TpSetTimer(Timer, &Far, 0, 0);
    TpPostWork(Work);
    TpWaitForWork(Gone, FALSE);
    TpReleaseWork(Gone);
    TpReleaseCleanupGroupMembers(Environment.CleanupGroup, FALSE, (PVOID)&Sum);
    CHECK(Count == 2 && Sum == 0);
    CHECK(TpAllocWork(&Work, AddOne, (PVOID)&Count, &Environment) == STATUS_SUCCESS);
    TpReleaseCleanupGroupMembers(Environment.CleanupGroup, TRUE, (PVOID)&Sum);
    CHECK(Sum == 1);
    TpReleaseCleanupGroup(Environment.CleanupGroup);
    return 0;
}

/* ---- Timers ---- */

#define MANY 300

/* Many at once, set in any order; each fires once, and not after it was unset. */
static ULONG Timers(VOID)
{
    static PTP_TIMER Timer[MANY];
    ULONG Seed = 5;

    Count = 0;
    for (ULONG Index = 0; Index < MANY; Index++) {
        LARGE_INTEGER Due = Milliseconds(Index % 3 == 2 ? 1000000 : (LONG)(NextRandom(&Seed) % 50));

        CHECK(TpAllocTimer(&Timer[Index], OnTimer, (PVOID)&Count, NULL) == STATUS_SUCCESS);
        CHECK(!TpIsTimerSet(Timer[Index]));
        TpSetTimer(Timer[Index], &Due, 0, 0);
        CHECK(TpIsTimerSet(Timer[Index]));
    }
    while (Count < 2 * MANY / 3) {
        LARGE_INTEGER Wait = Milliseconds(10);

        NtDelayExecution(FALSE, &Wait);
    }
    for (ULONG Index = 0; Index < MANY; Index++) {
        TpSetTimer(Timer[Index], NULL, 0, 0);
        TpWaitForTimer(Timer[Index], FALSE);
        TpReleaseTimer(Timer[Index]);
    }
    CHECK(Count == 2 * MANY / 3);
    return 0;
}

static VOID NTAPI OnFire(PVOID Context, BOOLEAN Fired)
{
    InterlockedIncrement((volatile LONG *)Context);
}

static ULONG TimerQueue(VOID)
{
    LARGE_INTEGER Wait = Milliseconds(5);
    HANDLE Queue, Periodic, Once, Late;

    Count = Sum = 0;
    CHECK(RtlCreateTimerQueue(&Queue) == STATUS_SUCCESS);
    CHECK(RtlCreateTimer(Queue, &Periodic, OnFire, (PVOID)&Count, 1, 2, 0) == STATUS_SUCCESS);
    CHECK(RtlCreateTimer(Queue, &Late, OnFire, (PVOID)&Sum, 1000000, 0, 0) == STATUS_SUCCESS);
    CHECK(RtlCreateTimer(NULL, &Once, OnFire, (PVOID)&Sum, 1, 0, 0) == STATUS_SUCCESS);
    while (Count < 3 || Sum < 1) {
        NtDelayExecution(FALSE, &Wait);
    }
    CHECK(RtlDeleteTimer(NULL, Once, (HANDLE)MAXULONG_PTR) == STATUS_SUCCESS && Sum == 1);
    CHECK(RtlUpdateTimer(Queue, Late, 1, 0) == STATUS_SUCCESS);
    while (Sum < 2) {
        NtDelayExecution(FALSE, &Wait);
    }
    CHECK(RtlDeleteTimer(Queue, Late, (HANDLE)4) == STATUS_NOT_SUPPORTED);
    CHECK(RtlDeleteTimerQueueEx(Queue, (HANDLE)MAXULONG_PTR) == STATUS_SUCCESS);
    return 0;
}

/* ---- Waits ---- */

static volatile TP_WAIT_RESULT LastResult;

static VOID NTAPI OnWait(PTP_CALLBACK_INSTANCE Instance, PVOID Context, PTP_WAIT Wait, TP_WAIT_RESULT Result)
{
    LastResult = Result;
    InterlockedIncrement((volatile LONG *)Context);
}

/* More waits than one thread waits for; each callback once. A wait whose time is over says so. */
static ULONG Waits(VOID)
{
    static PTP_WAIT Wait[80];
    static HANDLE Event[80];
    LARGE_INTEGER Short = Milliseconds(1), Pause = Milliseconds(5);

    Count = 0;
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Wait); Index++) {
        CHECK(NtCreateEvent(&Event[Index], EVENT_ALL_ACCESS, NULL, SynchronizationEvent, FALSE) == STATUS_SUCCESS);
        CHECK(TpAllocWait(&Wait[Index], OnWait, (PVOID)&Count, NULL) == STATUS_SUCCESS);
        TpSetWait(Wait[Index], Event[Index], NULL);
    }
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Wait) - 1; Index++) {
        CHECK(NtSetEvent(Event[Index], NULL) == STATUS_SUCCESS);
    }
    while (Count < (LONG)RTL_NUMBER_OF(Wait) - 1) {
        NtDelayExecution(FALSE, &Pause);
    }
    CHECK(LastResult == STATUS_WAIT_0);
    TpSetWait(Wait[79], Event[79], &Short);
    while (Count < (LONG)RTL_NUMBER_OF(Wait)) {
        NtDelayExecution(FALSE, &Pause);
    }
    CHECK(LastResult == STATUS_TIMEOUT);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Wait); Index++) {
        TpSetWait(Wait[Index], NULL, NULL);
        TpWaitForWait(Wait[Index], FALSE);
        TpReleaseWait(Wait[Index]);
        CHECK(NtSetEvent(Event[Index], NULL) == STATUS_SUCCESS && NtClose(Event[Index]) == STATUS_SUCCESS);
    }
    CHECK(Count == RTL_NUMBER_OF(Wait));
    return 0;
}

static VOID NTAPI OnRegistered(PVOID Context, BOOLEAN TimedOut)
{
    InterlockedIncrement(TimedOut ? &Sum : &Count);
}

static VOID NTAPI OnItem(PVOID Context)
{
    NtSetEvent(Context, NULL);
}

static ULONG Registered(VOID)
{
    LARGE_INTEGER Pause = Milliseconds(5);
    HANDLE Event, Wait;

    Count = Sum = 0;
    CHECK(NtCreateEvent(&Event, EVENT_ALL_ACCESS, NULL, SynchronizationEvent, FALSE) == STATUS_SUCCESS);
    CHECK(RtlQueueWorkItem(OnItem, Event, 0) == STATUS_SUCCESS);
    CHECK(NtWaitForSingleObject(Event, FALSE, NULL) == STATUS_SUCCESS);
    CHECK(RtlRegisterWait(&Wait, Event, OnRegistered, NULL, MAXULONG, WT_EXECUTEDEFAULT) == STATUS_SUCCESS);
    for (LONG Round = 1; Round <= 5; Round++) {
        CHECK(NtSetEvent(Event, NULL) == STATUS_SUCCESS);
        while (Count < Round) {
            NtDelayExecution(FALSE, &Pause);
        }
    }
    CHECK(RtlDeregisterWaitEx(Wait, (HANDLE)MAXULONG_PTR) == STATUS_SUCCESS && Count == 5 && Sum == 0);
    CHECK(RtlRegisterWait(&Wait, Event, OnRegistered, NULL, 1, WT_EXECUTEONLYONCE) == STATUS_SUCCESS);
    while (Sum == 0) {
        NtDelayExecution(FALSE, &Pause);
    }
    CHECK(RtlDeregisterWait(Wait) >= 0 && Sum == 1 && NtClose(Event) == STATUS_SUCCESS);
    return 0;
}

/* ---- Keyed events ---- */

static HANDLE Keyed;

static NTSTATUS NTAPI WaitAtKey(PVOID Argument)
{
    NTSTATUS Status = NtWaitForKeyedEvent(Keyed, Argument, FALSE, NULL);

    InterlockedIncrement(&Count);
    return Status;
}

/* Each release lets one go, at its key only; who releases waits for somebody to come. */
static ULONG KeyedEvents(VOID)
{
    LARGE_INTEGER Now = {.QuadPart = 0};
    HANDLE Thread[3], Opened;
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\BaseNamedObjects\\UpoolKeyed");
    OBJECT_ATTRIBUTES Attributes;

    Count = 0;
    InitializeObjectAttributes(&Attributes, &Name, 0, NULL, NULL);
    CHECK(NtCreateKeyedEvent(&Keyed, KEYEDEVENT_ALL_ACCESS, &Attributes, 1) == STATUS_INVALID_PARAMETER_4);
    CHECK(NtCreateKeyedEvent(&Keyed, KEYEDEVENT_ALL_ACCESS, &Attributes, 0) == STATUS_SUCCESS);
    CHECK(NtOpenKeyedEvent(&Opened, KEYEDEVENT_WAIT, &Attributes) == STATUS_SUCCESS);
    CHECK(NtReleaseKeyedEvent(Opened, (PVOID)2, FALSE, &Now) == STATUS_ACCESS_DENIED);
    CHECK(NtWaitForKeyedEvent(Opened, (PVOID)2, FALSE, &Now) == STATUS_TIMEOUT && NtClose(Opened) == STATUS_SUCCESS);
    CHECK(NtWaitForKeyedEvent(Keyed, (PVOID)3, FALSE, &Now) == STATUS_INVALID_PARAMETER_1);
    CHECK(NtReleaseKeyedEvent(Keyed, (PVOID)2, FALSE, &Now) == STATUS_TIMEOUT);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Thread); Index++) {
        Thread[Index] = StartThread(WaitAtKey, (PVOID)(ULONG_PTR)(Index == 2 ? 4 : 2), 0);
        CHECK(Thread[Index] != NULL);
    }
    CHECK(NtReleaseKeyedEvent(Keyed, (PVOID)2, FALSE, NULL) == STATUS_SUCCESS);
    CHECK(NtReleaseKeyedEvent(Keyed, (PVOID)2, FALSE, NULL) == STATUS_SUCCESS);
    CHECK(NtReleaseKeyedEvent(Keyed, (PVOID)2, FALSE, &Now) == STATUS_TIMEOUT);
    CHECK(NtReleaseKeyedEvent(Keyed, (PVOID)4, FALSE, NULL) == STATUS_SUCCESS);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Thread); Index++) {
        CHECK(Join(Thread[Index]) == 0);
    }
    CHECK(Count == 3 && NtClose(Keyed) == STATUS_SUCCESS);
    return 0;
}

/* ---- Process parameters, a program started with them; the loader's list ---- */

static NTSTATUS Start(PCWSTR Line, PNTSTATUS Exit)
{
    UNICODE_STRING Image = RTL_CONSTANT_STRING(PATH), CommandLine;
    RTL_USER_PROCESS_INFORMATION Information = {.Length = sizeof(Information)};
    PROCESS_BASIC_INFORMATION Basic = {.ExitStatus = STATUS_PENDING};
    PRTL_USER_PROCESS_PARAMETERS Parameters;
    NTSTATUS Status;

    RtlInitUnicodeString(&CommandLine, Line);
    Status = RtlCreateProcessParametersEx(&Parameters, &Image, NULL, NULL, &CommandLine, NULL, NULL, NULL, NULL, NULL,
                                          0); /* with offsets */
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = RtlCreateUserProcess(&Image, 0, Parameters, NULL, NULL, NULL, FALSE, NULL, NULL, &Information);
    RtlDestroyProcessParameters(Parameters);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    NtResumeThread(Information.ThreadHandle, NULL);
    NtWaitForSingleObject(Information.ProcessHandle, FALSE, NULL);
    NtQueryInformationProcess(Information.ProcessHandle, ProcessBasicInformation, &Basic, sizeof(Basic), NULL);
    *Exit = Basic.ExitStatus;
    NtClose(Information.ThreadHandle);
    NtClose(Information.ProcessHandle);
    return Information.ClientId.UniqueProcess == (HANDLE)Basic.UniqueProcessId ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}

static ULONG Parameters(VOID)
{
    UNICODE_STRING Image = RTL_CONSTANT_STRING(PATH), Title = RTL_CONSTANT_STRING(L"title");
    PRTL_USER_PROCESS_PARAMETERS Block;
    NTSTATUS Exit = STATUS_PENDING;

    CHECK(RtlCreateProcessParametersEx(&Block, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0) ==
          STATUS_INVALID_PARAMETER);
    CHECK(RtlCreateProcessParametersEx(&Block, &Image, NULL, NULL, NULL, NULL, &Title, NULL, NULL, NULL, 0) ==
          STATUS_SUCCESS);
    CHECK((ULONG_PTR)Block->WindowTitle.Buffer < Block->Length && Block->WindowTitle.Length == Title.Length);
    CHECK(RtlNormalizeProcessParams(Block) == Block && RtlEqualUnicodeString(&Block->WindowTitle, &Title, FALSE));
    CHECK(RtlEqualUnicodeString(&Block->CommandLine, &Image, FALSE) &&
          Block->CommandLine.Buffer[Image.Length / 2] == 0);
    CHECK((ULONG_PTR)RtlDeNormalizeProcessParams(Block)->CommandLine.Buffer < Block->Length);
    CHECK(RtlDestroyProcessParameters(Block) == STATUS_SUCCESS);
    CHECK(Start(L"upool end", &Exit) == STATUS_SUCCESS && Exit == 77);
    return 0;
}

/* An exception that a callback does not handle is the end of the process, as on any thread. */
static ULONG Throw(VOID)
{
    NTSTATUS Exit = STATUS_PENDING;

    CHECK(Start(L"upool throw", &Exit) == STATUS_SUCCESS && Exit == (NTSTATUS)0xE0001234);
    return 0;
}

static VOID NTAPI CountImage(struct _LDR_DATA_TABLE_ENTRY *Image, PVOID Context, BOOLEAN *Stop)
{
    *Stop = InterlockedIncrement((volatile LONG *)Context) == 2;
}

static ULONG Loader(VOID)
{
    ULONG Disposition = 0;
    ULONG_PTR Cookie = 0;

    Count = 0;
    CHECK(LdrEnumerateLoadedModules(1, CountImage, (PVOID)&Count) == STATUS_INVALID_PARAMETER);
    CHECK(LdrEnumerateLoadedModules(0, CountImage, (PVOID)&Count) == STATUS_SUCCESS && Count == 2);
    CHECK(LdrLockLoaderLock(4, NULL, &Cookie) == STATUS_INVALID_PARAMETER_1);
    CHECK(LdrLockLoaderLock(0, NULL, NULL) == STATUS_INVALID_PARAMETER_3);
    CHECK(LdrLockLoaderLock(2, &Disposition, &Cookie) == STATUS_SUCCESS && Disposition == 1 && Cookie != 0);
    CHECK(LdrUnlockLoaderLock(0, Cookie + 4) == STATUS_INVALID_PARAMETER_2);
    CHECK(LdrUnlockLoaderLock(0, Cookie) == STATUS_SUCCESS);
    CHECK(LdrUnlockLoaderLock(0, Cookie) == STATUS_INVALID_PARAMETER_2);
    CHECK(RtlImageNtHeader(RtlGetCurrentPeb()->ImageBaseAddress) != NULL);
    return 0;
}

static const USER_CASE Cases[] = {
    {"user.pool.work", Work},
    {"user.pool.race", Race},
    {"user.pool.cancel", Cancel},
    {"user.pool.completion", Completion},
    {"user.pool.group", Group},
    {"user.pool.timers", Timers},
    {"user.pool.queue", TimerQueue},
    {"user.pool.waits", Waits},
    {"user.pool.registered", Registered},
    {"user.pool.keyed", KeyedEvents},
    {"user.pool.parameters", Parameters},
    {"user.pool.throw", Throw},
    {"user.pool.loader", Loader},
};

static VOID NTAPI Raise(PTP_CALLBACK_INSTANCE Instance, PVOID Context)
{
    RtlRaiseStatus((NTSTATUS)0xE0001234);
}

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    PCUNICODE_STRING Line = &Peb->ProcessParameters->CommandLine;
    WCHAR Last = Line->Length == 0 ? 0 : Line->Buffer[Line->Length / sizeof(WCHAR) - 1];

    if (Last == L'd') {
        return 77;
    }
    if (Last == L'w') {
        TpSimpleTryPost(Raise, NULL, NULL);
        NtDelayExecution(FALSE, &(LARGE_INTEGER){.QuadPart = MINLONG64});
    }
    RtlExitUserProcess(UserRunSuite("upool.c", Cases, RTL_NUMBER_OF(Cases))); /* threads of the pool are still there */
}
