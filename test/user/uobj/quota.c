/*
 * quota.c - cases about what objects and handles cost: limits of a process's own, of what it shares with its children, and what is given back.
 *
 * A case gives its process limits a little above what is charged, which also gives it a quota block of its own, and lifts them when it ends.
 * Handle tables never shrink, so what objects cost is told apart from what tables do: ProcessPooledUsageAndLimits counts both,
 * ProcessVmCounters only what is the process's own. Children are `uobj quota WORD`, told apart by the word's last letter.
 */
#include "uobj.h"

#include <ntos/sysinfo.h>

#define INCREASE_QUOTA 5      /* the privilege's number */
#define MOST           2048   /* events that no limit of a case lets through */
#define ROOM           0x8000 /* bytes a case has beyond what it has already */
#define UNLIMITED      0      /* the default */
#define TRIES          2000   /* of a millisecond, until what has ended is given back */

static HANDLE Held[MOST];

/* ---- Limits and usage ---- */

static NTSTATUS MayChangeQuota(BOOLEAN On)
{
    TOKEN_PRIVILEGES Wish = {.PrivilegeCount = 1};
    HANDLE Token;
    NTSTATUS Status = NtOpenProcessToken(ZwCurrentProcess(), TOKEN_ADJUST_PRIVILEGES, &Token);

    if (NT_SUCCESS(Status)) {
        Wish.Privileges[0].Luid.LowPart = INCREASE_QUOTA;
        Wish.Privileges[0].Attributes = On ? SE_PRIVILEGE_ENABLED : 0;
        Status = NtAdjustPrivilegesToken(Token, FALSE, &Wish, sizeof(Wish), NULL, NULL);
        NtClose(Token);
    }
    return Status;
}

static NTSTATUS Limit(HANDLE Process, SIZE_T NonPaged, SIZE_T Paged)
{
    QUOTA_LIMITS Limits = {.NonPagedPoolLimit = NonPaged, .PagedPoolLimit = Paged, .PagefileLimit = MAXULONG_PTR};
    NTSTATUS Status = MayChangeQuota(TRUE);

    if (NT_SUCCESS(Status)) {
        Status = NtSetInformationProcess(Process, ProcessQuotaLimits, &Limits, sizeof(Limits));
        MayChangeQuota(FALSE);
    }
    return Status;
}

static POOLED_USAGE_AND_LIMITS UsageOf(HANDLE Process)
{
    POOLED_USAGE_AND_LIMITS Usage = {0};

    NtQueryInformationProcess(Process, ProcessPooledUsageAndLimits, &Usage, sizeof(Usage), NULL);
    return Usage;
}

/* What objects cost now: what is charged beyond the process's own. */
static SIZE_T ObjectBytes(VOID)
{
    VM_COUNTERS Own = {0};

    NtQueryInformationProcess(ZwCurrentProcess(), ProcessVmCounters, &Own, sizeof(Own), NULL);
    return UsageOf(ZwCurrentProcess()).NonPagedPoolUsage - Own.QuotaNonPagedPoolUsage;
}

/* Lets the process have Bytes more of both pools than it has. */
static NTSTATUS LimitTo(SIZE_T Bytes)
{
    POOLED_USAGE_AND_LIMITS Usage;
    NTSTATUS Status = Limit(ZwCurrentProcess(), UNLIMITED, UNLIMITED); /* a block of its own, before one looks */

    Usage = UsageOf(ZwCurrentProcess());
    return NT_SUCCESS(Status) ? Limit(ZwCurrentProcess(), Usage.NonPagedPoolUsage + Bytes, Usage.PagedPoolUsage + Bytes)
                              : Status;
}

/* ---- Objects ---- */

/* Events until one is refused; *Status says why. */
static ULONG Fill(PNTSTATUS Status)
{
    ULONG Made = 0;

    *Status = STATUS_SUCCESS;
    while (Made < MOST) {
        *Status = NtCreateEvent(&Held[Made], EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE);
        if (!NT_SUCCESS(*Status)) {
            break;
        }
        Made++;
    }
    return Made;
}

static ULONG Empty(ULONG Made)
{
    while (Made > 0) {
        CHECK(NtClose(Held[--Made]) == STATUS_SUCCESS);
    }
    return 0;
}

/* A name and a descriptor cost, too, and are given back with the event. */
static ULONG NamedCosts(VOID)
{
    POOLED_USAGE_AND_LIMITS Before = UsageOf(ZwCurrentProcess()), Plain, Named;
    UNICODE_STRING Name = RTL_CONSTANT_STRING(BASE L"Quota");
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Event;

    InitializeObjectAttributes(&Attributes, &Name, 0, NULL, NULL);
    CHECK(NtCreateEvent(&Event, EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE) == STATUS_SUCCESS);
    Plain = UsageOf(ZwCurrentProcess());
    CHECK(Plain.NonPagedPoolUsage > Before.NonPagedPoolUsage && Plain.PagedPoolUsage == Before.PagedPoolUsage);
    CHECK(NtClose(Event) == STATUS_SUCCESS);
    CHECK(NtCreateEvent(&Event, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE) == STATUS_SUCCESS);
    Named = UsageOf(ZwCurrentProcess());
    CHECK(Named.NonPagedPoolUsage >= Plain.NonPagedPoolUsage + Name.Length);
    CHECK(Named.PagedPoolUsage > Before.PagedPoolUsage && NtClose(Event) == STATUS_SUCCESS);
    Plain = UsageOf(ZwCurrentProcess());
    CHECK(Plain.NonPagedPoolUsage == Before.NonPagedPoolUsage && Plain.PagedPoolUsage == Before.PagedPoolUsage);
    return 0;
}

/* A pool that is full refuses; what was given back can be had again, as much as before. */
ULONG QuotaObjects(VOID)
{
    POOLED_USAGE_AND_LIMITS Usage;
    SIZE_T Start;
    ULONG Made, Again;
    NTSTATUS Status;
    HANDLE File;

    CHECK(LimitTo(ROOM) == STATUS_SUCCESS);
    Start = ObjectBytes();
    CHECK(NamedCosts() == 0);
    Made = Fill(&Status);
    CHECK(Status == STATUS_QUOTA_EXCEEDED && Made > 50 && Made < MOST);
    Usage = UsageOf(ZwCurrentProcess());
    CHECK(Usage.NonPagedPoolUsage <= Usage.NonPagedPoolLimit);
    CHECK(Usage.PeakNonPagedPoolUsage >= Usage.NonPagedPoolUsage &&
          Usage.PeakNonPagedPoolUsage <= Usage.NonPagedPoolLimit);
    CHECK(NtCreateMutant(&File, MAXIMUM_ALLOWED, NULL, FALSE) == STATUS_QUOTA_EXCEEDED);
    CHECK(StartThread((PVOID)(ULONG_PTR)RtlExitUserThread, NULL, 0) == NULL);
    CHECK(Empty(Made) == 0 && ObjectBytes() == Start);
    Again = Fill(&Status);
    CHECK(Status == STATUS_QUOTA_EXCEEDED && Again == Made);
    CHECK(Empty(Again) == 0 && ObjectBytes() == Start);
    return Limit(ZwCurrentProcess(), UNLIMITED, UNLIMITED) == STATUS_SUCCESS ? 0 : __LINE__;
}

/* The same as the list of all processes has it; 0: it is not there. */
static SIZE_T ListedBytes(VOID)
{
    static UCHAR Buffer[0x8000];
    PSYSTEM_PROCESS_INFORMATION Info = (PVOID)Buffer;
    HANDLE Own = ((PTEB)__readgsqword(FIELD_OFFSET(NT_TIB, Self)))->ClientId.UniqueProcess;
    ULONG Length;

    if (!NT_SUCCESS(NtQuerySystemInformation(SystemProcessInformation, Buffer, sizeof(Buffer), &Length))) {
        return 0;
    }
    while (Info->UniqueProcessId != Own && Info->NextEntryOffset != 0) {
        Info = (PVOID)((PUCHAR)Info + Info->NextEntryOffset);
    }
    return Info->QuotaNonPagedPoolUsage;
}

/* A table that grows is charged; it is the process's own. */
ULONG QuotaHandles(VOID)
{
    VM_COUNTERS Before = {0}, After = {0};
    NTSTATUS Status = STATUS_SUCCESS;
    ULONG Made = 0;
    HANDLE Event;

    CHECK(NtCreateEvent(&Event, EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE) == STATUS_SUCCESS);
    CHECK(LimitTo(2 * PAGE_SIZE) == STATUS_SUCCESS);
    CHECK(NtQueryInformationProcess(ZwCurrentProcess(), ProcessVmCounters, &Before, sizeof(Before), NULL) == 0);
    CHECK(Before.QuotaNonPagedPoolUsage > PAGE_SIZE);
    for (; Made < MOST && NT_SUCCESS(Status); Made += NT_SUCCESS(Status) ? 1 : 0) {
        Status =
            NtDuplicateObject(ZwCurrentProcess(), Event, ZwCurrentProcess(), &Held[Made], 0, 0, DUPLICATE_SAME_ACCESS);
    }
    CHECK(Status == STATUS_QUOTA_EXCEEDED && Made > 2 * 256);
    CHECK(NtQueryInformationProcess(ZwCurrentProcess(), ProcessVmCounters, &After, sizeof(After), NULL) == 0);
    CHECK(After.QuotaNonPagedPoolUsage == Before.QuotaNonPagedPoolUsage + 2 * PAGE_SIZE);
    CHECK(After.QuotaPeakNonPagedPoolUsage >= After.QuotaNonPagedPoolUsage);
    CHECK(ListedBytes() == After.QuotaNonPagedPoolUsage);
    CHECK(Empty(Made) == 0 && NtClose(Event) == STATUS_SUCCESS);
    return Limit(ZwCurrentProcess(), UNLIMITED, UNLIMITED) == STATUS_SUCCESS ? 0 : __LINE__;
}

/* Who may set limits, and what is told of them. */
ULONG QuotaRights(VOID)
{
    QUOTA_LIMITS Limits = {.NonPagedPoolLimit = 0x123456, .PagedPoolLimit = 0x234567, .PagefileLimit = MAXULONG_PTR};
    POOLED_USAGE_AND_LIMITS Usage;
    HANDLE Weak;

    CHECK(NtSetInformationProcess(ZwCurrentProcess(), ProcessQuotaLimits, &Limits, sizeof(Limits)) ==
          STATUS_PRIVILEGE_NOT_HELD);
    CHECK(NtDuplicateObject(ZwCurrentProcess(), ZwCurrentProcess(), ZwCurrentProcess(), &Weak,
                            PROCESS_ALL_ACCESS & ~0x100U, 0, 0) == STATUS_SUCCESS); /* without PROCESS_SET_QUOTA */
    CHECK(Limit(Weak, 0x123456, 0x234567) == STATUS_ACCESS_DENIED);
    CHECK(NtSetInformationProcess(Weak, ProcessQuotaLimits, &Limits, 4) == STATUS_INFO_LENGTH_MISMATCH);
    CHECK(NtQueryInformationProcess(Weak, ProcessPooledUsageAndLimits, &Usage, 4, NULL) == STATUS_INFO_LENGTH_MISMATCH);
    CHECK(Limit(ZwCurrentProcess(), 0x123456, 0x234567) == STATUS_SUCCESS);
    CHECK(NtQueryInformationProcess(Weak, ProcessQuotaLimits, &Limits, sizeof(Limits), NULL) == STATUS_SUCCESS);
    CHECK(Limits.NonPagedPoolLimit == 0x123456 && Limits.PagedPoolLimit == 0x234567);
    Usage = UsageOf(Weak);
    CHECK(Usage.NonPagedPoolLimit == 0x123456 && Usage.PagedPoolLimit == 0x234567);
    CHECK(Usage.PagefileLimit == MAXULONG_PTR && Usage.PagefileUsage != 0 &&
          Usage.PeakPagefileUsage >= Usage.PagefileUsage);
    CHECK(NtClose(Weak) == STATUS_SUCCESS);
    return Limit(ZwCurrentProcess(), UNLIMITED, UNLIMITED) == STATUS_SUCCESS ? 0 : __LINE__;
}

/* ---- Children ---- */

static NTSTATUS StartChild(PCWSTR Line, ULONG ThreadFlags, HANDLE Output, PHANDLE Process, PHANDLE Thread)
{
    static const UNICODE_STRING Path = RTL_CONSTANT_STRING(L"\\SystemRoot\\System\\uobj.exe");
    RTL_USER_PROCESS_PARAMETERS Parameters = {.Flags = RTL_USER_PROC_PARAMS_NORMALIZED, .ImagePathName = Path};
    struct {
        SIZE_T TotalLength;
        PS_ATTRIBUTE Attributes[1];
    } List = {sizeof(List),
              {{.Attribute = PS_ATTRIBUTE_IMAGE_NAME, .Size = Path.Length, .ValuePtr = (PVOID)Path.Buffer}}};

    RtlInitUnicodeString(&Parameters.CommandLine, Line);
    Parameters.StandardOutput = Output;
    return NtCreateUserProcess(Process, Thread, PROCESS_ALL_ACCESS, THREAD_ALL_ACCESS, NULL, NULL,
                               Output == NULL ? 0 : PROCESS_CREATE_FLAGS_INHERIT_HANDLES, ThreadFlags, &Parameters,
                               NULL, (PPS_ATTRIBUTE_LIST)&List);
}

static NTSTATUS EndOf(HANDLE Process, HANDLE Thread)
{
    PROCESS_BASIC_INFORMATION Info = {.ExitStatus = STATUS_UNSUCCESSFUL};

    NtWaitForSingleObject(Process, FALSE, NULL);
    NtQueryInformationProcess(Process, ProcessBasicInformation, &Info, sizeof(Info), NULL);
    NtClose(Thread);
    NtClose(Process);
    return Info.ExitStatus;
}

/* Waits for what ends behind one's back: threads and processes are deleted when nobody has them any more. */
static BOOLEAN ComesTo(SIZE_T Bytes)
{
    LARGE_INTEGER Tick = {.QuadPart = -10000};

    for (ULONG Try = 0; Try < TRIES && ObjectBytes() != Bytes; Try++) {
        NtDelayExecution(FALSE, &Tick);
    }
    return ObjectBytes() == Bytes;
}

/* A child with limits of its own fills its own block; one without fills its parent's, as far as that goes. */
ULONG QuotaChildren(VOID)
{
    HANDLE Process, Thread, Event;
    SIZE_T Start, Peak;

    CHECK(Limit(ZwCurrentProcess(), UNLIMITED, UNLIMITED) == STATUS_SUCCESS);
    CHECK(ComesTo(ObjectBytes()));
    Start = ObjectBytes();
    CHECK(StartChild(L"uobj quota fill", THREAD_CREATE_FLAGS_CREATE_SUSPENDED, NULL, &Process, &Thread) == 0);
    CHECK(UsageOf(Process).NonPagedPoolUsage == UsageOf(ZwCurrentProcess()).NonPagedPoolUsage);
    CHECK(Limit(Process, 0x10000, UNLIMITED) == STATUS_SUCCESS);
    CHECK(UsageOf(Process).NonPagedPoolUsage < 0x10000 && UsageOf(ZwCurrentProcess()).NonPagedPoolLimit > 0x10000);
    Peak = UsageOf(ZwCurrentProcess()).PeakNonPagedPoolUsage;
    CHECK(NtResumeThread(Thread, NULL) == STATUS_SUCCESS && EndOf(Process, Thread) == STATUS_QUOTA_EXCEEDED);
    CHECK(UsageOf(ZwCurrentProcess()).PeakNonPagedPoolUsage == Peak && ComesTo(Start));

    CHECK(LimitTo(2 * ROOM) == STATUS_SUCCESS);
    CHECK(StartChild(L"uobj quota fill", 0, NULL, &Process, &Thread) == STATUS_SUCCESS);
    CHECK(EndOf(Process, Thread) == STATUS_QUOTA_EXCEEDED);
    CHECK(ComesTo(Start));
    CHECK(NtCreateEvent(&Event, EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE) == STATUS_SUCCESS);
    CHECK(NtClose(Event) == STATUS_SUCCESS && LimitTo(PAGE_SIZE) == STATUS_SUCCESS);
    CHECK(StartChild(L"uobj quota fill", 0, NULL, &Process, &Thread) == STATUS_QUOTA_EXCEEDED);
    CHECK(ComesTo(Start));
    return Limit(ZwCurrentProcess(), UNLIMITED, UNLIMITED) == STATUS_SUCCESS ? 0 : __LINE__;
}

/* An object stays charged to the block of its creator when that has ended; whoever has it last gives the charge back. */
ULONG QuotaOutlived(VOID)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(BASE L"Outlived");
    HANDLE Process, Thread, Event, Told;
    OBJECT_ATTRIBUTES Attributes;
    SIZE_T Start;

    CHECK(Limit(ZwCurrentProcess(), UNLIMITED, UNLIMITED) == STATUS_SUCCESS);
    InitializeObjectAttributes(&Attributes, NULL, OBJ_INHERIT, NULL, NULL);
    CHECK(NtCreateEvent(&Told, EVENT_ALL_ACCESS, &Attributes, SynchronizationEvent, FALSE) == STATUS_SUCCESS);
    InitializeObjectAttributes(&Attributes, &Name, 0, NULL, NULL);
    Start = ObjectBytes();
    for (ULONG Own = 0; Own < 2;
         Own++) { /* in its parent's block; in its own, which nobody but the object has in the end */
        CHECK(StartChild(L"uobj quota make", THREAD_CREATE_FLAGS_CREATE_SUSPENDED, Told, &Process, &Thread) == 0);
        CHECK(Own == 0 || Limit(Process, 0x100000, 0x100000) == STATUS_SUCCESS);
        CHECK(NtResumeThread(Thread, NULL) == STATUS_SUCCESS);
        CHECK(NtWaitForMultipleObjects(2, (HANDLE[]){Told, Process}, WaitAny, FALSE, NULL) == STATUS_WAIT_0);
        CHECK(NtOpenEvent(&Event, EVENT_ALL_ACCESS, &Attributes) == STATUS_SUCCESS);
        CHECK(NtTerminateProcess(Process, STATUS_CANCELLED) == 0 && EndOf(Process, Thread) == STATUS_CANCELLED);
        CHECK(Own == 1 || ObjectBytes() > Start);
        CHECK(NtSetEvent(Event, NULL) == STATUS_SUCCESS && NtClose(Event) == STATUS_SUCCESS && ComesTo(Start));
    }
    CHECK(NtClose(Told) == STATUS_SUCCESS);
    return 0;
}

/* ---- Race ---- */

#define ROUNDS 60
#define HANDS  16 /* events that one thread wants at a time; all threads together want more than the limit allows */

static volatile LONG Refused, Wrong;

static NTSTATUS NTAPI Contend(PVOID Context)
{
    HANDLE Mine[HANDS];

    UNREFERENCED_PARAMETER(Context);
    for (ULONG Round = 0; Round < ROUNDS; Round++) {
        ULONG Made = 0;

        while (Made < HANDS) {
            NTSTATUS Status = NtCreateEvent(&Mine[Made], EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE);

            if (!NT_SUCCESS(Status)) {
                InterlockedIncrement(&Refused);
                InterlockedExchangeAdd(&Wrong, Status == STATUS_QUOTA_EXCEEDED ? 0 : 1);
                break;
            }
            Made++;
        }
        if (Round % 8 == 0) {
            NtYieldExecution();
        }
        while (Made > 0) {
            InterlockedExchangeAdd(&Wrong, NtClose(Mine[--Made]) == STATUS_SUCCESS ? 0 : 1);
        }
    }
    return STATUS_SUCCESS;
}

/* Several threads at the limit at once: the total is never above it, and is what it was when they are done. The threads are charged to the parent's block. */
static ULONG Race(VOID)
{
    POOLED_USAGE_AND_LIMITS Usage;
    HANDLE Thread[THREADS];
    SIZE_T Start, One;

    for (ULONG Index = 0; Index < THREADS; Index++) {
        Thread[Index] = StartThread((PVOID)Contend, NULL, THREAD_CREATE_FLAGS_CREATE_SUSPENDED);
        CHECK(Thread[Index] != NULL);
    }
    CHECK(LimitTo(ROOM) == STATUS_SUCCESS); /* a new block: its peak is of this case alone */
    Start = ObjectBytes();
    CHECK(NtCreateEvent(&Held[0], EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE) == STATUS_SUCCESS);
    One = ObjectBytes() - Start;
    CHECK(NtClose(Held[0]) == STATUS_SUCCESS);
    CHECK(LimitTo(One * (HANDS - 1)) == STATUS_SUCCESS);
    for (ULONG Index = 0; Index < THREADS; Index++) {
        CHECK(NtResumeThread(Thread[Index], NULL) == STATUS_SUCCESS);
    }
    for (ULONG Index = 0; Index < THREADS; Index++) {
        CHECK(NtWaitForSingleObject(Thread[Index], FALSE, NULL) == STATUS_SUCCESS);
    }
    Usage = UsageOf(ZwCurrentProcess());
    CHECK(Refused > 0 && Wrong == 0);
    CHECK(ObjectBytes() == Start && Usage.NonPagedPoolUsage < Usage.NonPagedPoolLimit);
    CHECK(Usage.PeakNonPagedPoolUsage <= Usage.NonPagedPoolLimit);
    return 0;
}

/* `fill` ends with what refuses it an event, `race` with a line or 0; `make` makes a named event, says so and waits for its end. */
NTSTATUS QuotaChild(WCHAR What, HANDLE Event)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(BASE L"Outlived");
    OBJECT_ATTRIBUTES Attributes;
    NTSTATUS Status;

    if (What == L'f') {
        Fill(&Status);
        return Status;
    }
    if (What == L'r') {
        return (NTSTATUS)Race();
    }
    InitializeObjectAttributes(&Attributes, &Name, 0, NULL, NULL);
    Status = NtCreateEvent(&Held[0], EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE);
    NtSetEvent(Event, NULL);
    return NT_SUCCESS(Status) ? NtWaitForSingleObject(ZwCurrentProcess(), FALSE, NULL) : Status;
}

/* In a process of its own, whose quota block is new. */
ULONG QuotaRace(VOID)
{
    HANDLE Process, Thread;

    CHECK(StartChild(L"uobj quota race", 0, NULL, &Process, &Thread) == STATUS_SUCCESS);
    CHECK(EndOf(Process, Thread) == STATUS_SUCCESS);
    return 0;
}
