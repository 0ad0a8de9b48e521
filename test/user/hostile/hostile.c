/*
 * hostile.c - calls every system service with random arguments; `hostile SEED CALLS [TRACE]`.
 *
 * Services are chosen by number from services.tbl, so a new one is called from its first day. Whatever they answer is right; what is wrong is a
 * bug check, a hang, or something left behind, which the kernel's counters tell (test/test_hostile.py). A second thread writes into the
 * memory that arguments point to, so that a service which looks twice sees two things. Some services get only part of what could
 * be given to them, each for the reason that stands beside it: the program has to be there for the next call.
 *
 * TRACE prints each call before it is made. Ends with 0 when all calls were made.
 */
#include "hostile.h"

const SERVICE Services[] = {
#define SERVICE(Name, Arguments) {#Name, Arguments},
#include "services.inc"
#undef SERVICE
};
const ULONG ServiceCount = RTL_NUMBER_OF(Services);

#define CALLS_WITH_HANDLES 400 /* between two renewals of all handles */

/* ---- What is held back, and why ---- */

typedef VOID (*PRESTRAIN)(PULONG64 Argument);

static VOID NTAPI Nothing(PVOID First, PVOID Second, PVOID Third)
{
}

static NTSTATUS NTAPI NoThread(PVOID Argument)
{
    return STATUS_SUCCESS;
}

/* A time that ends a wait at once, or no readable time. A NULL would wait for ever. */
static ULONG64 ShortTime(VOID)
{
    static LARGE_INTEGER Now;
    ULONG64 Bad = BadPointer();

    return Random(8) == 0 && Bad != 0 ? Bad : (ULONG64)&Now;
}

static VOID TimeIsSecond(PULONG64 Argument)
{
    Argument[1] = ShortTime();
}

static VOID TimeIsThird(PULONG64 Argument)
{
    Argument[2] = ShortTime();
}

static VOID TimeIsFourth(PULONG64 Argument)
{
    Argument[3] = ShortTime();
}

static VOID TimeIsFifth(PULONG64 Argument)
{
    Argument[4] = ShortTime();
}

/* A context or text that can be read would be obeyed. */
static VOID OnlyBad(PULONG64 Argument)
{
    Argument[0] = BadPointer();
}

static VOID NobodyAtAll(PULONG64 Argument)
{
    Argument[1] = Random(0x1000) | 0x40000000;
}

static VOID OnlySecondBad(PULONG64 Argument)
{
    Argument[1] = BadPointer();
}

/* A descriptor that can be read is put on nothing but this process. */
static VOID OnlySecondBadOrOwn(PULONG64 Argument)
{
    if (Random(2) == 0) {
        Argument[0] = 0xFFFFFFFFFFFFFFFFULL;
    } else {
        Argument[2] = BadPointer();
    }
}

/* The program itself must go on. */
static VOID NotMyself(PULONG64 Argument)
{
    if ((LONG)Argument[0] < 0 || Argument[0] == 0 || Argument[0] < 0x4000) {
        Argument[0] = 0xFFFFFFFF80000004ULL;
    }
}

static VOID SafeRoutine(PULONG64 Argument)
{
    Argument[1] = (ULONG64)Nothing;
}

static VOID SafeTimerRoutine(PULONG64 Argument)
{
    Argument[2] = Random(2) == 0 ? 0 : (ULONG64)Nothing;
}

/* Its structure holds the routine. */
static VOID SafeTimer(PULONG64 Argument)
{
    if (Random(2) == 0) {
        Argument[2] = BadPointer();
    } else {
        RtlZeroMemory(Own + 3 * PAGE_SIZE, 64);
        Argument[2] = (ULONG64)Own + 3 * PAGE_SIZE;
    }
}

static VOID SafeThread(PULONG64 Argument)
{
    Argument[4] = (ULONG64)NoThread;
    Argument[8] = Argument[9] = Random(0x20000); /* a stack of any size is possible, many of them are not */
}

/* Base and size are pointers to words that say where: only of memory that nothing else lies in. */
static VOID InArena(PULONG64 Argument)
{
    if (Argument[1] - (ULONG64)Scratch < SCRATCH_BYTES) {
        Argument[1] = BadPointer();
    }
}

/* Identifiers of others, the system's for one, lead to handles that may do anything to them. */
static VOID NobodyElse(PULONG64 Argument)
{
    Argument[3] = BadPointer();
}

/* A copy of this program would go on as this one does: parameters are never left out. */
static VOID NoCopy(PULONG64 Argument)
{
    Argument[8] = Argument[8] == 0 ? BadPointer() : Argument[8];
}

/* Whoever limits his own commitment has no stack in the end. */
static VOID NoQuota(PULONG64 Argument)
{
    if ((ULONG)Argument[1] == ProcessQuotaLimits) {
        Argument[2] = BadPointer();
    }
}

static VOID SafeApc(PULONG64 Argument)
{
    Argument[2] = Random(2) == 0 ? 0 : (ULONG64)Nothing;
}

/* Notifications and locks: an APC that can be called, and no wait for what nobody does. */
static VOID SafeNotification(PULONG64 Argument)
{
    SafeApc(Argument);
    Argument[8] = Argument[9] = 1; /* NtLockFile: fail at once; NtNotifyChangeKey: asynchronous */
}

static VOID SafeNotifications(PULONG64 Argument)
{
    Argument[4] = Random(2) == 0 ? 0 : (ULONG64)Nothing;
    Argument[11] = 1;
}

static const struct {
    PCSTR Name;
    PRESTRAIN Restrain;
} Restraints[] = {
    {"NtDelayExecution", TimeIsSecond},
    {"NtWaitForAlertByThreadId", TimeIsSecond},
    {"NtWaitForSingleObject", TimeIsThird},
    {"NtSignalAndWaitForSingleObject", TimeIsFourth},
    {"NtWaitForMultipleObjects", TimeIsFifth},
    {"NtRemoveIoCompletion", TimeIsFifth},
    {"NtRemoveIoCompletionEx", TimeIsFifth},
    {"NtContinue", OnlyBad},
    {"NtRaiseException", OnlyBad},
    {"NtDisplayString", OnlyBad},
    {"NtTerminateProcess", NotMyself},
    {"NtTerminateThread", NotMyself},
    {"NtSuspendThread", NotMyself},
    {"NtSuspendProcess", NotMyself},
    {"NtAssignProcessToJobObject", NobodyAtAll}, /* a job may end its processes when it is closed */
    {"NtSetContextThread", OnlySecondBad},
    {"NtQueueApcThread", SafeRoutine},
    {"NtSetTimer", SafeTimerRoutine},
    {"NtSetTimerEx", SafeTimer},
    {"NtCreateThreadEx", SafeThread},
    {"NtCreateUserProcess", NoCopy},
    {"NtSetInformationProcess", NoQuota},
    {"NtAllocateVirtualMemory", InArena},
    {"NtFreeVirtualMemory", InArena},
    {"NtProtectVirtualMemory", InArena},
    {"NtOpenProcess", NobodyElse},
    {"NtOpenThread", NobodyElse},
    {"NtMakePermanentObject", NotMyself}, /* names would stay behind */
    {"NtReadFile", SafeApc},
    {"NtWriteFile", SafeApc},
    {"NtDeviceIoControlFile", SafeApc},
    {"NtFsControlFile", SafeApc},
    {"NtQueryDirectoryFile", SafeApc},
    {"NtWaitForKeyedEvent", TimeIsFourth},
    {"NtReleaseKeyedEvent", TimeIsFourth},
    {"NtLockFile", SafeNotification},
    {"NtNotifyChangeKey", SafeNotification},
    {"NtNotifyChangeDirectoryFile", SafeNotification},
    {"NtNotifyChangeMultipleKeys", SafeNotifications},
    {"NtSetSecurityObject", OnlySecondBadOrOwn}, /* what guards the keys must stay, or they could not be tidied up */
};

static VOID Restrain(PCSTR Service, PULONG64 Argument)
{
    ANSI_STRING Name, Other;

    RtlInitAnsiString(&Name, Service);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Restraints); Index++) {
        RtlInitAnsiString(&Other, Restraints[Index].Name);
        if (RtlEqualString(&Name, &Other, FALSE)) {
            Restraints[Index].Restrain(Argument);
        }
    }
}

/* ---- Calls ---- */

ULONG64 CallService(ULONG64 Number, PULONG64 Arguments, ULONG Count); /* call.asm */

static ULONG Successes;

static VOID CallOne(BOOLEAN Trace)
{
    ULONG64 Argument[ARGUMENTS];
    ULONG Number = Random(ServiceCount);
    NTSTATUS Status;

    for (ULONG Index = 0; Index < ARGUMENTS; Index++) {
        Argument[Index] = RandomArgument();
    }
    for (ULONG Index = 0; Index < Services[Number].Arguments; Index++) {
        if (Random(6) == 0 && Services[Number].Arguments >= 3) {
            Argument[2] = ObjectAttributes(); /* where most services have them */
        }
    }
    if (Random(2) == 0) {
        Argument[0] = RandomHandle();
    }
    Restrain(Services[Number].Name, Argument);
    if (Trace) {
        DbgPrint("%s(%llX, %llX, %llX, %llX, %llX, %llX)\n", Services[Number].Name, Argument[0], Argument[1],
                 Argument[2], Argument[3], Argument[4], Argument[5]);
    }
    Status = (NTSTATUS)CallService(Number, Argument, ARGUMENTS);
    Successes += NT_SUCCESS(Status);
}

static volatile LONG Stop;

/* Writes what looks like lengths, pointers and handles over Scratch until told to stop. */
static NTSTATUS NTAPI Scribble(PVOID Argument)
{
    ULONG64 State = 0x9E3779B97F4A7C15ULL;

    while (!Stop) {
        State = State * 6364136223846793005ULL + 1442695040888963407ULL;
        ULONG Offset = (ULONG)(State >> 33) % (SCRATCH_BYTES - 8);

        *(volatile ULONG64 *)(Scratch + (Offset & ~7U)) = (State >> 60) < 8 ? (State >> 40) & 0xFF : State >> 20;
        if ((State >> 50 & 0xFF) == 0) {
            NtYieldExecution();
        }
    }
    return STATUS_SUCCESS;
}

/* The thread may have taken somebody's token. */
static VOID ActForMyself(VOID)
{
    HANDLE None = NULL;

    NtSetInformationThread(ZwCurrentThread(), ThreadImpersonationToken, &None, sizeof(None));
}

/* ---- The program ---- */

/* The word of the command line with this number, as a number; 0: there is none. */
static ULONG64 Word(PCUNICODE_STRING Line, ULONG Index)
{
    ULONG Length = Line->Length / sizeof(WCHAR), At = 0;
    ULONG64 Value = 0;

    for (ULONG Skip = 0; Skip < Index; Skip++) {
        while (At < Length && Line->Buffer[At] != L' ') {
            At++;
        }
        while (At < Length && Line->Buffer[At] == L' ') {
            At++;
        }
    }
    for (; At < Length && Line->Buffer[At] >= L'0' && Line->Buffer[At] <= L'9'; At++) {
        Value = Value * 10 + Line->Buffer[At] - L'0';
    }
    return Value;
}

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    PCUNICODE_STRING Line = &Peb->ProcessParameters->CommandLine;
    ULONG64 Calls = Word(Line, 2);
    HANDLE Thread = NULL;
    NTSTATUS Status = MakeMemory();

    RememberKeys();
    RandomState = (Word(Line, 1) + 1) * 0x9E3779B97F4A7C15ULL;
    if (NT_SUCCESS(Status)) {
        Status =
            NtCreateThreadEx(&Thread, THREAD_ALL_ACCESS, NULL, ZwCurrentProcess(), Scribble, NULL, 0, 0, 0, 0, NULL);
    }
    for (ULONG64 Call = 0; NT_SUCCESS(Status) && Call < Calls; Call++) {
        if (Call % CALLS_WITH_HANDLES == 0) {
            ActForMyself();
            RenewHandles();
        }
        CallOne(Word(Line, 3) != 0);
    }
    Stop = 1;
    ActForMyself();
    DeleteNewKeys();
    DbgPrint("hostile: %llu calls of %lu services, %lu succeeded\n", Calls, ServiceCount, Successes);
    return Status;
}
