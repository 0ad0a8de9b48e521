/*
 * uobj.c - the suite of objects that programs make: events, semaphores, mutants, timers, ports, directories, symbolic links, and waiting for them.
 *
 * Every service is called as a program calls it, with what it grants, what it refuses, and what it writes back. Names are made below
 * \BaseNamedObjects and go with their handles.
 */
#include "uobj.h"

#include <ntos/sysinfo.h>

static LARGE_INTEGER Now;
static UNICODE_STRING Name;

static POBJECT_ATTRIBUTES Named(PCWSTR Text)
{
    static OBJECT_ATTRIBUTES Attributes;

    RtlInitUnicodeString(&Name, Text);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    return &Attributes;
}

static ULONG Events(VOID)
{
    HANDLE Event, Same, Reader;
    LONG State = 7;

    CHECK(NtCreateEvent(&Event, EVENT_ALL_ACCESS, Named(BASE), NotificationEvent, TRUE) == STATUS_SUCCESS);
    CHECK(NtOpenEvent(&Same, EVENT_ALL_ACCESS, Named(L"\\basenamedobjects\\uobj")) == STATUS_SUCCESS);
    CHECK(NtOpenEvent(&Reader, SYNCHRONIZE, Named(BASE)) == STATUS_SUCCESS);
    CHECK(NtResetEvent(Reader, NULL) == STATUS_ACCESS_DENIED && NtClearEvent(Reader) == STATUS_ACCESS_DENIED);
    CHECK(NtWaitForSingleObject(Reader, FALSE, &Now) == STATUS_SUCCESS);
    CHECK(NtResetEvent(Same, &State) == STATUS_SUCCESS && State == 1);
    CHECK(NtWaitForSingleObject(Event, FALSE, &Now) == STATUS_TIMEOUT);
    CHECK(NtSetEvent(Event, &State) == STATUS_SUCCESS && State == 0);
    CHECK(NtClearEvent(Event) == STATUS_SUCCESS && NtWaitForSingleObject(Same, FALSE, &Now) == STATUS_TIMEOUT);
    CHECK(NtPulseEvent(Event, &State) == STATUS_SUCCESS && State == 0);
    CHECK(NtWaitForSingleObject(Event, FALSE, &Now) == STATUS_TIMEOUT);
    CHECK(NtResetEvent(Event, KERNEL_POINTER) == STATUS_ACCESS_VIOLATION);
    CHECK(NtClose(Event) == 0 && NtClose(Same) == 0 && NtClose(Reader) == 0);
    CHECK(NtOpenEvent(&Same, SYNCHRONIZE, Named(BASE)) == STATUS_OBJECT_NAME_NOT_FOUND);
    return 0;
}

static ULONG Semaphores(VOID)
{
    HANDLE Semaphore, Same;
    LONG Before = 9;

    CHECK(NtCreateSemaphore(&Semaphore, SEMAPHORE_ALL_ACCESS, Named(BASE), 2, 3) == STATUS_SUCCESS);
    CHECK(NtOpenSemaphore(&Same, SEMAPHORE_ALL_ACCESS, Named(BASE)) == STATUS_SUCCESS);
    CHECK(NtCreateSemaphore(&Semaphore, SEMAPHORE_ALL_ACCESS, NULL, 4, 3) == STATUS_INVALID_PARAMETER);
    CHECK(NtWaitForSingleObject(Same, FALSE, &Now) == STATUS_SUCCESS);
    CHECK(NtReleaseSemaphore(Same, 3, &Before) == STATUS_SEMAPHORE_LIMIT_EXCEEDED);
    CHECK(NtReleaseSemaphore(Same, 0, &Before) == STATUS_INVALID_PARAMETER && Before == 9);
    CHECK(NtReleaseSemaphore(Same, 2, &Before) == STATUS_SUCCESS && Before == 1);
    CHECK(NtOpenMutant(&Same, SYNCHRONIZE, Named(BASE)) == STATUS_OBJECT_TYPE_MISMATCH);
    CHECK(NtClose(Semaphore) == STATUS_SUCCESS && NtClose(Same) == STATUS_SUCCESS);
    return 0;
}

static NTSTATUS NTAPI TakeAndEnd(PVOID Mutant)
{
    return NtWaitForSingleObject(Mutant, FALSE, NULL);
}

/* One owner, who may take it again; the next one is told if the last one ended with it. */
static ULONG Mutants(VOID)
{
    HANDLE Mutant, Same;
    LONG Before = 9;

    CHECK(NtCreateMutant(&Mutant, STANDARD_RIGHTS_REQUIRED | SYNCHRONIZE | 1, Named(BASE), TRUE) == STATUS_SUCCESS);
    CHECK(NtOpenMutant(&Same, SYNCHRONIZE, Named(BASE)) == STATUS_SUCCESS);
    CHECK(NtWaitForSingleObject(Same, FALSE, &Now) == STATUS_SUCCESS);
    CHECK(NtReleaseMutant(Same, &Before) == STATUS_SUCCESS && Before == -1);
    CHECK(NtReleaseMutant(Same, &Before) == STATUS_SUCCESS && Before == 0);
    CHECK(NtReleaseMutant(Same, &Before) == STATUS_MUTANT_NOT_OWNED);
    CHECK(Join(StartThread(TakeAndEnd, Mutant, 0)) == 0);
    CHECK(NtWaitForSingleObject(Mutant, FALSE, &Now) == STATUS_ABANDONED);
    CHECK(NtReleaseMutant(Mutant, NULL) == STATUS_SUCCESS);
    CHECK(NtClose(Mutant) == STATUS_SUCCESS && NtClose(Same) == STATUS_SUCCESS);
    return 0;
}

static ULONG Timers(VOID)
{
    LARGE_INTEGER Soon = {.QuadPart = -10000}, Far = {.QuadPart = -10000000000};
    BOOLEAN Was = 7;
    HANDLE Timer, Same;

    CHECK(NtCreateTimer(&Timer, STANDARD_RIGHTS_REQUIRED | SYNCHRONIZE | 3, Named(BASE), NotificationTimer) ==
          STATUS_SUCCESS);
    CHECK(NtOpenTimer(&Same, SYNCHRONIZE | 3, Named(BASE)) == STATUS_SUCCESS);
    CHECK(NtSetTimer(Timer, &Far, NULL, NULL, FALSE, 0, &Was) == STATUS_SUCCESS && !Was);
    CHECK(NtWaitForSingleObject(Same, FALSE, &Now) == STATUS_TIMEOUT);
    CHECK(NtSetTimer(Same, &Soon, NULL, NULL, FALSE, 0, &Was) == STATUS_SUCCESS && !Was);
    CHECK(NtWaitForSingleObject(Timer, FALSE, NULL) == STATUS_SUCCESS);
    CHECK(NtCancelTimer(Timer, &Was) == STATUS_SUCCESS && Was); /* what it tells is whether it is signalled */
    CHECK(NtSetTimer(Timer, KERNEL_POINTER, NULL, NULL, FALSE, 0, NULL) == STATUS_ACCESS_VIOLATION);
    CHECK(NtSetTimerEx(Timer, 99, NULL, 0) == STATUS_INVALID_INFO_CLASS);
    CHECK(NtClose(Timer) == STATUS_SUCCESS && NtClose(Same) == STATUS_SUCCESS);
    return 0;
}

/* What goes into a port comes out in its order, one or several at a time. */
static ULONG Ports(VOID)
{
    FILE_IO_COMPLETION_INFORMATION Several[4];
    IO_STATUS_BLOCK Iosb;
    HANDLE Port, Same;
    PVOID Key, Apc;
    ULONG Count = 0;

    CHECK(NtCreateIoCompletion(&Port, STANDARD_RIGHTS_REQUIRED | SYNCHRONIZE | 3, Named(BASE), 0) == STATUS_SUCCESS);
    CHECK(NtOpenIoCompletion(&Same, SYNCHRONIZE | 3, Named(BASE)) == STATUS_SUCCESS);
    CHECK(NtRemoveIoCompletion(Port, &Key, &Apc, &Iosb, &Now) == STATUS_TIMEOUT);
    for (ULONG_PTR Index = 1; Index <= 4; Index++) {
        CHECK(NtSetIoCompletion(Same, (PVOID)Index, (PVOID)(Index * 10), STATUS_PENDING, Index * 100) == 0);
    }
    CHECK(NtRemoveIoCompletion(Port, &Key, &Apc, &Iosb, NULL) == STATUS_SUCCESS);
    CHECK(Key == (PVOID)1 && Apc == (PVOID)10 && Iosb.Status == STATUS_PENDING && Iosb.Information == 100);
    CHECK(NtRemoveIoCompletionEx(Port, Several, 4, &Count, &Now, FALSE) == STATUS_SUCCESS && Count == 3);
    CHECK(Several[2].KeyContext == (PVOID)4 && Several[0].IoStatusBlock.Information == 200);
    CHECK(NtRemoveIoCompletionEx(Port, Several, 4, &Count, &Now, FALSE) == STATUS_TIMEOUT);
    CHECK(NtSetIoCompletion(Port, NULL, NULL, 0, 0) == STATUS_SUCCESS);
    CHECK(NtRemoveIoCompletion(Port, KERNEL_POINTER, &Apc, &Iosb, &Now) == STATUS_ACCESS_VIOLATION);
    CHECK(NtClose(Port) == STATUS_SUCCESS && NtClose(Same) == STATUS_SUCCESS);
    return 0;
}

/* A directory and a link in it lead to what they name; made temporary again, they go. */
static ULONG Directories(VOID)
{
    static union {
        struct {
            UNICODE_STRING Name, TypeName;
        } List[8];
        UCHAR Room[512];
    } Answer;
    WCHAR Text[64];
    UNICODE_STRING Target = RTL_CONSTANT_STRING(L"\\BaseNamedObjects\\Uobj"), Read = {0, sizeof(Text), Text};
    HANDLE Directory, Same, Link, SameLink, Event, Found;
    ULONG Context = 0, Length;

    CHECK(NtCreateDirectoryObject(&Directory, DIRECTORY_ALL_ACCESS, Named(BASE)) == STATUS_SUCCESS);
    CHECK(NtOpenDirectoryObject(&Same, DIRECTORY_QUERY, Named(BASE)) == STATUS_SUCCESS);
    CHECK(NtQueryDirectoryObject(Same, &Answer, sizeof(Answer), TRUE, TRUE, &Context, &Length) ==
          STATUS_NO_MORE_ENTRIES);
    CHECK(NtCreateEvent(&Event, EVENT_ALL_ACCESS, Named(BASE L"\\Inside"), NotificationEvent, TRUE) == STATUS_SUCCESS);
    CHECK(NtQueryDirectoryObject(Same, &Answer, sizeof(Answer), TRUE, TRUE, &Context, &Length) == STATUS_SUCCESS);
    RtlInitUnicodeString(&Name, L"Inside");
    CHECK(RtlEqualUnicodeString(&Answer.List[0].Name, &Name, FALSE) && Context == 1);
    CHECK(NtCreateSymbolicLinkObject(&Link, SYMBOLIC_LINK_ALL_ACCESS, Named(BASE L"Link"), &Target) == STATUS_SUCCESS);
    CHECK(NtOpenSymbolicLinkObject(&SameLink, SYMBOLIC_LINK_QUERY, Named(BASE L"Link")) == STATUS_SUCCESS);
    CHECK(NtQuerySymbolicLinkObject(SameLink, &Read, &Length) == STATUS_SUCCESS);
    CHECK(RtlEqualUnicodeString(&Read, &Target, FALSE));
    CHECK(NtOpenEvent(&Found, SYNCHRONIZE, Named(BASE L"Link\\Inside")) == STATUS_SUCCESS && NtClose(Found) == 0);
    CHECK(NtMakePermanentObject(Event) == STATUS_SUCCESS && NtClose(Event) == STATUS_SUCCESS);
    CHECK(NtOpenEvent(&Event, DELETE, Named(BASE L"\\Inside")) == STATUS_SUCCESS); /* it stayed */
    CHECK(NtMakeTemporaryObject(Event) == STATUS_SUCCESS && NtClose(Event) == STATUS_SUCCESS);
    CHECK(NtOpenEvent(&Event, SYNCHRONIZE, Named(BASE L"\\Inside")) == STATUS_OBJECT_NAME_NOT_FOUND);
    CHECK(NtClose(Link) == 0 && NtClose(SameLink) == 0 && NtClose(Directory) == 0 && NtClose(Same) == 0);
    return 0;
}

static ULONG ManyWaits(VOID)
{
    HANDLE Event[3];

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Event); Index++) {
        CHECK(NtCreateEvent(&Event[Index], EVENT_ALL_ACCESS, NULL, SynchronizationEvent, Index == 1) == STATUS_SUCCESS);
    }
    CHECK(NtWaitForMultipleObjects(3, Event, WaitAll, FALSE, &Now) == STATUS_TIMEOUT);
    CHECK(NtWaitForMultipleObjects(3, Event, WaitAny, FALSE, &Now) == STATUS_WAIT_1);
    CHECK(NtWaitForMultipleObjects(3, Event, WaitAny, FALSE, &Now) == STATUS_TIMEOUT);
    CHECK(NtWaitForMultipleObjects(0, Event, WaitAny, FALSE, &Now) == STATUS_INVALID_PARAMETER_1);
    CHECK(NtWaitForMultipleObjects(65, Event, WaitAny, FALSE, &Now) == STATUS_INVALID_PARAMETER_1);
    CHECK(NtSignalAndWaitForSingleObject(Event[0], Event[2], FALSE, &Now) == STATUS_TIMEOUT);
    CHECK(NtWaitForSingleObject(Event[0], FALSE, &Now) == STATUS_SUCCESS);
    CHECK(NtSignalAndWaitForSingleObject(Event[2], Event[2], FALSE, &Now) == STATUS_SUCCESS);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Event); Index++) {
        CHECK(NtClose(Event[Index]) == STATUS_SUCCESS);
    }
    return 0;
}

/* Handles: protected, and asked about. */
static ULONG Handles(VOID)
{
    OBJECT_HANDLE_FLAG_INFORMATION Flags = {FALSE, TRUE};
    HANDLE Event;

    CHECK(NtCreateEvent(&Event, EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE) == STATUS_SUCCESS);
    CHECK(NtSetInformationObject(Event, ObjectHandleFlagInformation, &Flags, sizeof(Flags)) == STATUS_SUCCESS);
    CHECK(NtClose(Event) == STATUS_HANDLE_NOT_CLOSABLE);
    Flags.ProtectFromClose = FALSE;
    CHECK(NtSetInformationObject(Event, ObjectHandleFlagInformation, &Flags, 1) == STATUS_INFO_LENGTH_MISMATCH);
    CHECK(NtSetInformationObject(Event, ObjectHandleFlagInformation, &Flags, sizeof(Flags)) == STATUS_SUCCESS);
    CHECK(NtClose(Event) == STATUS_SUCCESS);
    return 0;
}

static NTSTATUS NTAPI SleepAlertably(PVOID Argument)
{
    LARGE_INTEGER Long = {.QuadPart = MINLONG64};

    return NtDelayExecution(TRUE, &Long) == STATUS_ALERTED ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}

/* What is left: identifiers, counters, jobs by name, alerts of suspended threads, tokens by the longer names. */
static ULONG Others(VOID)
{
    SYSTEM_BASIC_INFORMATION Basic;
    THREAD_BASIC_INFORMATION Info;
    LARGE_INTEGER Counter, Frequency;
    LUID One, Other;
    HANDLE Job, Same, Token, Thread;
    ULONG Length, Count = 99;

    CHECK(NtAllocateLocallyUniqueId(&One) == STATUS_SUCCESS && NtAllocateLocallyUniqueId(&Other) == STATUS_SUCCESS);
    CHECK(One.LowPart != Other.LowPart || One.HighPart != Other.HighPart);
    CHECK(NtQueryPerformanceCounter(&Counter, &Frequency) == STATUS_SUCCESS && Frequency.QuadPart > 0);
    CHECK(NtQuerySystemInformation(SystemBasicInformation, &Basic, sizeof(Basic), &Length) == STATUS_SUCCESS);
    CHECK(Basic.PageSize == PAGE_SIZE);
    CHECK(NtCreateJobObject(&Job, JOB_OBJECT_ALL_ACCESS, Named(BASE)) == STATUS_SUCCESS);
    CHECK(NtOpenJobObject(&Same, JOB_OBJECT_QUERY, Named(BASE)) == STATUS_SUCCESS);
    CHECK(NtClose(Job) == STATUS_SUCCESS && NtClose(Same) == STATUS_SUCCESS);
    CHECK(NtOpenProcessTokenEx(ZwCurrentProcess(), TOKEN_QUERY, 0, &Token) == STATUS_SUCCESS && NtClose(Token) == 0);
    CHECK(NtOpenThreadTokenEx(ZwCurrentThread(), TOKEN_QUERY, TRUE, 0, &Token) == STATUS_NO_TOKEN);
    Thread = StartThread(SleepAlertably, NULL, THREAD_CREATE_FLAGS_CREATE_SUSPENDED);
    CHECK(NtAlertResumeThread(Thread, &Count) == STATUS_SUCCESS && Count == 1);
    CHECK(NtWaitForSingleObject(Thread, FALSE, NULL) == STATUS_SUCCESS);
    CHECK(NtQueryInformationThread(Thread, ThreadBasicInformation, &Info, sizeof(Info), NULL) == STATUS_SUCCESS);
    CHECK(Info.ExitStatus == STATUS_SUCCESS && NtClose(Thread) == STATUS_SUCCESS);
    return 0;
}

static const USER_CASE Cases[] = {
    {"user.quota.objects", QuotaObjects},
    {"user.quota.handles", QuotaHandles},
    {"user.quota.rights", QuotaRights},
    {"user.quota.children", QuotaChildren},
    {"user.quota.outlived", QuotaOutlived},
    {"user.quota.race", QuotaRace},
    {"user.obj.events", Events},
    {"user.obj.semaphores", Semaphores},
    {"user.obj.mutants", Mutants},
    {"user.obj.timers", Timers},
    {"user.obj.ports", Ports},
    {"user.obj.directories", Directories},
    {"user.obj.waits", ManyWaits},
    {"user.obj.handles", Handles},
    {"user.obj.others", Others},
};

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    PCUNICODE_STRING Line = &Peb->ProcessParameters->CommandLine;

    if (Line->Length > 10 * sizeof(WCHAR) && Line->Buffer[Line->Length / sizeof(WCHAR) - 10] == L'q') {
        return QuotaChild(Line->Buffer[Line->Length / sizeof(WCHAR) - 4], Peb->ProcessParameters->StandardOutput);
    }
    return UserRunSuite("uobj.c", Cases, RTL_NUMBER_OF(Cases));
}
