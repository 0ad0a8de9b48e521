/*
 * uproc.c - the suite of processes and threads: programs that start programs, what they inherit, what can be asked, set and done to them.
 *
 * The suite starts itself again with a word on the command line, which says what the child is to do. `uproc storm PROCESSES THREADS` makes and
 * ends that many; `uproc many COUNT` has that many processes at once; `uproc cost` prints nothing but does each measured thing (bench).
 */
#include "../ktap.h"

#include <ntos/sysinfo.h>

#define PATH L"\\SystemRoot\\System\\uproc.exe"

/* ---- Starting ---- */

typedef struct _CHILD {
    HANDLE Process, Thread;
    CLIENT_ID Cid;
} CHILD;

static NTSTATUS StartWith(CHILD *Child, PCWSTR Line, ULONG ProcessFlags, ULONG ThreadFlags, PCWSTR Environment,
                          HANDLE Output)
{
    RTL_USER_PROCESS_PARAMETERS Parameters = {.Flags = RTL_USER_PROC_PARAMS_NORMALIZED};
    UNICODE_STRING Path = RTL_CONSTANT_STRING(PATH);
    struct {
        SIZE_T TotalLength;
        PS_ATTRIBUTE Attributes[2];
    } List = {sizeof(List),
              {{.Attribute = PS_ATTRIBUTE_IMAGE_NAME, .Size = Path.Length, .ValuePtr = Path.Buffer},
               {.Attribute = PS_ATTRIBUTE_CLIENT_ID, .Size = sizeof(CLIENT_ID), .ValuePtr = &Child->Cid}}};

    RtlInitUnicodeString(&Parameters.CommandLine, Line);
    RtlInitUnicodeString(&Parameters.ImagePathName, PATH);
    Parameters.Environment = (PWSTR)Environment;
    Parameters.StandardOutput = Output;
    return NtCreateUserProcess(&Child->Process, &Child->Thread, PROCESS_ALL_ACCESS, THREAD_ALL_ACCESS, NULL, NULL,
                               ProcessFlags, ThreadFlags, &Parameters, NULL, (PPS_ATTRIBUTE_LIST)&List);
}

static ULONG CloseChild(CHILD *Child)
{
    CHECK(NtClose(Child->Thread) == STATUS_SUCCESS);
    CHECK(NtClose(Child->Process) == STATUS_SUCCESS);
    return 0;
}

static NTSTATUS ExitStatusOf(HANDLE Process)
{
    PROCESS_BASIC_INFORMATION Info = {.ExitStatus = STATUS_UNSUCCESSFUL};

    NtQueryInformationProcess(Process, ProcessBasicInformation, &Info, sizeof(Info), NULL);
    return Info.ExitStatus;
}

/* A child with a command line, and its exit status. */
static ULONG RunChild(PCWSTR Line, PCWSTR Environment, NTSTATUS Expected)
{
    CHILD Child;

    CHECK(StartWith(&Child, Line, 0, 0, Environment, NULL) == STATUS_SUCCESS);
    CHECK(NtWaitForSingleObject(Child.Process, FALSE, NULL) == STATUS_SUCCESS);
    CHECK(ExitStatusOf(Child.Process) == Expected);
    return CloseChild(&Child);
}

/* ---- Creation ---- */

static ULONG CreateExit(VOID)
{
    return RunChild(L"uproc exit", NULL, 42);
}

/* An exception that nobody handles is the exit status. */
static ULONG CreateCrash(VOID)
{
    CHECK(RunChild(L"uproc crash", NULL, STATUS_ACCESS_VIOLATION) == 0);
    CHECK(RunChild(L"uproc raise", NULL, STATUS_DATA_ERROR) == 0);
    return 0;
}

static ULONG CreateEnvironment(VOID)
{
    return RunChild(L"uproc environment", L"FIRST=1\0SECOND=two words\0", 7);
}

/* An inheritable event has the same handle in the child; one that is not inheritable has none. */
static ULONG CreateInherit(VOID)
{
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Yes, No;
    CHILD Child;

    InitializeObjectAttributes(&Attributes, NULL, OBJ_INHERIT, NULL, NULL);
    CHECK(NtCreateEvent(&Yes, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE) == STATUS_SUCCESS);
    CHECK(NtCreateEvent(&No, EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE) == STATUS_SUCCESS);
    CHECK(StartWith(&Child, L"uproc inherit", PROCESS_CREATE_FLAGS_INHERIT_HANDLES, 0, NULL, Yes) == STATUS_SUCCESS);
    CHECK(NtWaitForSingleObject(Yes, FALSE, NULL) == STATUS_SUCCESS);
    CHECK(NtWaitForSingleObject(Child.Process, FALSE, NULL) == STATUS_SUCCESS);
    CHECK(ExitStatusOf(Child.Process) == STATUS_SUCCESS);
    CHECK(CloseChild(&Child) == 0);
    CHECK(StartWith(&Child, L"uproc inherit", PROCESS_CREATE_FLAGS_INHERIT_HANDLES, 0, NULL, No) == STATUS_SUCCESS);
    CHECK(NtWaitForSingleObject(Child.Process, FALSE, NULL) == STATUS_SUCCESS);
    CHECK(ExitStatusOf(Child.Process) == STATUS_INVALID_HANDLE);
    CHECK(CloseChild(&Child) == 0);
    CHECK(NtClose(Yes) == STATUS_SUCCESS && NtClose(No) == STATUS_SUCCESS);
    return 0;
}

static ULONG CreateErrors(VOID)
{
    UNICODE_STRING Nothing = RTL_CONSTANT_STRING(L"\\SystemRoot\\nothing.exe");
    UNICODE_STRING Dll = RTL_CONSTANT_STRING(L"\\SystemRoot\\System\\ntdll.dll");
    PS_ATTRIBUTE_LIST List = {sizeof(List), {{.Attribute = PS_ATTRIBUTE_IMAGE_NAME}}};
    HANDLE Process, Thread;
    CHILD Child;

    List.Attributes[0].Size = Nothing.Length;
    List.Attributes[0].ValuePtr = Nothing.Buffer;
    CHECK(NtCreateUserProcess(&Process, &Thread, PROCESS_ALL_ACCESS, THREAD_ALL_ACCESS, NULL, NULL, 0, 0, NULL, NULL,
                              &List) == STATUS_OBJECT_NAME_NOT_FOUND);
    List.Attributes[0].Size = Dll.Length;
    List.Attributes[0].ValuePtr = Dll.Buffer;
    CHECK(NtCreateUserProcess(&Process, &Thread, PROCESS_ALL_ACCESS, THREAD_ALL_ACCESS, NULL, NULL, 0, 0, NULL, NULL,
                              &List) == STATUS_INVALID_IMAGE_FORMAT);
    List.TotalLength--;
    CHECK(NtCreateUserProcess(&Process, &Thread, PROCESS_ALL_ACCESS, THREAD_ALL_ACCESS, NULL, NULL, 0, 0, NULL, NULL,
                              &List) == STATUS_INVALID_PARAMETER);
    CHECK(NtCreateUserProcess(&Process, &Thread, PROCESS_ALL_ACCESS, THREAD_ALL_ACCESS, NULL, NULL, 0, 0, NULL, NULL,
                              NULL) == STATUS_ACCESS_VIOLATION);
    CHECK(NtCreateUserProcess(&Process, &Thread, PROCESS_ALL_ACCESS, THREAD_ALL_ACCESS, NULL, NULL, 0x80000000, 0, NULL,
                              NULL, &List) == STATUS_INVALID_PARAMETER);
    CHECK(StartWith(&Child, L"uproc exit", 0, 0, KERNEL_POINTER, NULL) == STATUS_ACCESS_VIOLATION);
    return 0;
}

/* A child that waits is suspended, resumed, and ended from here; its handles say so. */
static ULONG CreateTerminate(VOID)
{
    LARGE_INTEGER Now = {.QuadPart = 0};
    KERNEL_USER_TIMES Times;
    ULONG Handles;
    CHILD Child;

    CHECK(StartWith(&Child, L"uproc forever", 0, THREAD_CREATE_FLAGS_CREATE_SUSPENDED, NULL, NULL) == STATUS_SUCCESS);
    CHECK(ExitStatusOf(Child.Process) == STATUS_PENDING);
    CHECK(NtResumeThread(Child.Thread, NULL) == STATUS_SUCCESS);
    CHECK(NtSuspendProcess(Child.Process) == STATUS_SUCCESS);
    CHECK(NtResumeProcess(Child.Process) == STATUS_SUCCESS);
    CHECK(NtWaitForSingleObject(Child.Process, FALSE, &Now) == STATUS_TIMEOUT);
    CHECK(NtQueryInformationProcess(Child.Process, ProcessHandleCount, &Handles, sizeof(Handles), NULL) ==
          STATUS_SUCCESS);
    CHECK(NtTerminateProcess(Child.Process, 9) == STATUS_SUCCESS);
    CHECK(NtWaitForSingleObject(Child.Process, FALSE, NULL) == STATUS_SUCCESS);
    CHECK(ExitStatusOf(Child.Process) == 9);
    CHECK(NtQueryInformationProcess(Child.Process, ProcessTimes, &Times, sizeof(Times), NULL) == STATUS_SUCCESS);
    CHECK(Times.ExitTime.QuadPart >= Times.CreateTime.QuadPart && Times.CreateTime.QuadPart != 0);
    CHECK(NtTerminateProcess(Child.Process, 10) == STATUS_PROCESS_IS_TERMINATING);
    return CloseChild(&Child);
}

/* ---- Opening and asking ---- */

static ULONG OpenByCid(VOID)
{
    OBJECT_ATTRIBUTES Attributes = {.Length = sizeof(Attributes)};
    THREAD_BASIC_INFORMATION Info;
    CLIENT_ID Cid = {0};
    HANDLE Process, Thread;
    CHILD Child;

    CHECK(StartWith(&Child, L"uproc forever", 0, 0, NULL, NULL) == STATUS_SUCCESS);
    Cid.UniqueProcess = Child.Cid.UniqueProcess;
    CHECK(NtOpenProcess(&Process, PROCESS_ALL_ACCESS, &Attributes, &Cid) == STATUS_SUCCESS);
    CHECK(NtOpenThread(&Thread, THREAD_ALL_ACCESS, &Attributes, &Child.Cid) == STATUS_SUCCESS);
    CHECK(NtQueryInformationThread(Thread, ThreadBasicInformation, &Info, sizeof(Info), NULL) == STATUS_SUCCESS);
    CHECK(Info.ClientId.UniqueThread == Child.Cid.UniqueThread && Info.ExitStatus == STATUS_PENDING);
    CHECK(NtTerminateProcess(Process, 1) == STATUS_SUCCESS);
    CHECK(NtWaitForSingleObject(Process, FALSE, NULL) == STATUS_SUCCESS);
    CHECK(NtClose(Process) == STATUS_SUCCESS && NtClose(Thread) == STATUS_SUCCESS);
    CHECK(CloseChild(&Child) == 0);
    Cid.UniqueProcess = (HANDLE)0xFFFFFFF0;
    CHECK(NtOpenProcess(&Process, PROCESS_ALL_ACCESS, &Attributes, &Cid) == STATUS_INVALID_CID);
    CHECK(NtOpenProcess(&Process, PROCESS_ALL_ACCESS, NULL, &Cid) == STATUS_ACCESS_VIOLATION);
    CHECK(NtOpenProcess(&Process, PROCESS_ALL_ACCESS, &Attributes, KERNEL_POINTER) == STATUS_ACCESS_VIOLATION);
    return 0;
}

static ULONG AskErrors(VOID)
{
    PROCESS_BASIC_INFORMATION Info;
    HANDLE Own = ZwCurrentProcess();

    CHECK(NtQueryInformationProcess(Own, ProcessBasicInformation, &Info, sizeof(Info) - 1, NULL) ==
          STATUS_INFO_LENGTH_MISMATCH);
    CHECK(NtQueryInformationProcess(Own, 9999, &Info, sizeof(Info), NULL) == STATUS_INVALID_INFO_CLASS);
    CHECK(NtQueryInformationProcess(Own, ProcessBasicInformation, KERNEL_POINTER, sizeof(Info), NULL) ==
          STATUS_ACCESS_VIOLATION);
    CHECK(NtQueryInformationProcess(ZwCurrentThread(), ProcessBasicInformation, &Info, sizeof(Info), NULL) ==
          STATUS_OBJECT_TYPE_MISMATCH);
    CHECK(NtQueryInformationThread(ZwCurrentThread(), 9999, &Info, sizeof(Info), NULL) == STATUS_INVALID_INFO_CLASS);
    return 0;
}

static ULONG SetPriority(VOID)
{
    THREAD_BASIC_INFORMATION Info;
    LONG Wish = 2, Wrong = 99;
    ULONG_PTR None = 0, All;

    CHECK(NtSetInformationThread(ZwCurrentThread(), ThreadBasePriority, &Wish, sizeof(Wish)) == STATUS_SUCCESS);
    CHECK(NtQueryInformationThread(ZwCurrentThread(), ThreadBasicInformation, &Info, sizeof(Info), NULL) ==
          STATUS_SUCCESS);
    CHECK(Info.BasePriority == 2);
    Wish = 0;
    CHECK(NtSetInformationThread(ZwCurrentThread(), ThreadBasePriority, &Wish, sizeof(Wish)) == STATUS_SUCCESS);
    CHECK(NtSetInformationThread(ZwCurrentThread(), ThreadPriority, &Wrong, sizeof(Wrong)) == STATUS_INVALID_PARAMETER);
    CHECK(NtSetInformationThread(ZwCurrentThread(), ThreadAffinityMask, &None, sizeof(None)) ==
          STATUS_INVALID_PARAMETER);
    All = Info.AffinityMask;
    None = 1;
    CHECK(NtSetInformationThread(ZwCurrentThread(), ThreadAffinityMask, &None, sizeof(None)) == STATUS_SUCCESS);
    CHECK(NtSetInformationThread(ZwCurrentThread(), ThreadAffinityMask, &All, sizeof(All)) == STATUS_SUCCESS);
    return 0;
}

/* ---- Contexts and alerts ---- */

static volatile ULONG64 Reached;

static NTSTATUS NTAPI SpinForever(PVOID Argument)
{
    Reached = 1;
    for (;;) {
    }
}

static DECLSPEC_NORETURN VOID Elsewhere(ULONG64 Value)
{
    Reached = Value;
    NtTerminateThread(ZwCurrentThread(), 3);
    for (;;) {
    }
}

/* A thread that spins is stopped, looked at, and sent to another place with another argument. */
static ULONG ContextRedirect(VOID)
{
    static DECLSPEC_ALIGN(16) CONTEXT Context;
    HANDLE Thread;

    Reached = 0;
    Thread = StartThread(SpinForever, NULL, 0);
    CHECK(Thread != NULL);
    while (Reached == 0) {
        NtYieldExecution();
    }
    CHECK(NtSuspendThread(Thread, NULL) == STATUS_SUCCESS);
    Context.ContextFlags = CONTEXT_AMD64 | 3;
    CHECK(NtGetContextThread(Thread, &Context) == STATUS_SUCCESS);
    CHECK(Context.Rip - (ULONG64)SpinForever < 64);
    CHECK((Context.SegCs & 3) == 3 && (Context.EFlags & 0x200) != 0);
    Context.Rip = (ULONG64)Elsewhere;
    Context.Rcx = 77;
    Context.Rsp = (Context.Rsp & ~15ULL) - 8 - 0x100;
    CHECK(NtSetContextThread(Thread, &Context) == STATUS_SUCCESS);
    CHECK(NtResumeThread(Thread, NULL) == STATUS_SUCCESS);
    CHECK(Join(Thread) == 0);
    CHECK(Reached == 77);
    Context.ContextFlags = 3;
    CHECK(NtGetContextThread(ZwCurrentThread(), &Context) == STATUS_INVALID_PARAMETER);
    CHECK(NtGetContextThread(ZwCurrentThread(), KERNEL_POINTER) == STATUS_ACCESS_VIOLATION);
    return 0;
}

static NTSTATUS NTAPI WaitAlertable(PVOID Argument)
{
    Reached = 1;
    return NtWaitForSingleObject(Argument, TRUE, NULL);
}

static ULONG AlertWakes(VOID)
{
    THREAD_BASIC_INFORMATION Info;
    HANDLE Event, Thread;

    CHECK(NtCreateEvent(&Event, EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE) == STATUS_SUCCESS);
    Thread = StartThread(WaitAlertable, Event, 0);
    CHECK(Thread != NULL);
    CHECK(NtAlertThread(Thread) == STATUS_SUCCESS);
    CHECK(NtWaitForSingleObject(Thread, FALSE, NULL) == STATUS_SUCCESS);
    CHECK(NtQueryInformationThread(Thread, ThreadBasicInformation, &Info, sizeof(Info), NULL) == STATUS_SUCCESS);
    CHECK(Info.ExitStatus == STATUS_ALERTED);
    CHECK(NtClose(Thread) == STATUS_SUCCESS && NtClose(Event) == STATUS_SUCCESS);
    return 0;
}

/* ---- Jobs ---- */

static ULONG Active(HANDLE Job)
{
    JOBOBJECT_BASIC_ACCOUNTING_INFORMATION Info = {.ActiveProcesses = MAXULONG};

    NtQueryInformationJobObject(Job, JobObjectBasicAccountingInformation, &Info, sizeof(Info), NULL);
    return Info.ActiveProcesses;
}

/* A job for two takes no third, and ends both. */
static ULONG JobProcesses(VOID)
{
    JOBOBJECT_BASIC_LIMIT_INFORMATION Limit = {.LimitFlags = JOB_OBJECT_LIMIT_ACTIVE_PROCESS, .ActiveProcessLimit = 2};
    CHILD Child[3];
    HANDLE Job;

    CHECK(NtCreateJobObject(&Job, JOB_OBJECT_ALL_ACCESS, NULL) == STATUS_SUCCESS);
    CHECK(NtSetInformationJobObject(Job, JobObjectBasicLimitInformation, &Limit, sizeof(Limit)) == STATUS_SUCCESS);
    for (ULONG Index = 0; Index < 3; Index++) {
        CHECK(StartWith(&Child[Index], L"uproc forever", 0, 0, NULL, NULL) == STATUS_SUCCESS);
        CHECK(NtIsProcessInJob(Child[Index].Process, NULL) == STATUS_PROCESS_NOT_IN_JOB);
        CHECK(NtAssignProcessToJobObject(Job, Child[Index].Process) ==
              (Index < 2 ? STATUS_SUCCESS : STATUS_QUOTA_EXCEEDED));
    }
    CHECK(NtAssignProcessToJobObject(Job, Child[0].Process) == STATUS_ACCESS_DENIED);
    CHECK(NtIsProcessInJob(Child[0].Process, Job) == STATUS_PROCESS_IN_JOB);
    CHECK(Active(Job) == 2);
    CHECK(NtTerminateJobObject(Job, 6) == STATUS_SUCCESS);
    for (ULONG Index = 0; Index < 2; Index++) {
        CHECK(NtWaitForSingleObject(Child[Index].Process, FALSE, NULL) == STATUS_SUCCESS);
        CHECK(ExitStatusOf(Child[Index].Process) == 6);
    }
    CHECK(Active(Job) == 0);
    CHECK(ExitStatusOf(Child[2].Process) == STATUS_PENDING);
    CHECK(NtTerminateProcess(Child[2].Process, 1) == STATUS_SUCCESS);
    CHECK(NtWaitForSingleObject(Child[2].Process, FALSE, NULL) == STATUS_SUCCESS);
    for (ULONG Index = 0; Index < 3; Index++) {
        CHECK(CloseChild(&Child[Index]) == 0);
    }
    CHECK(NtClose(Job) == STATUS_SUCCESS);
    return 0;
}

/* A child that is given 4 MB gets some, and not more; a job that is closed ends it. */
static ULONG JobMemory(VOID)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION Limit = {.ProcessMemoryLimit = 4 << 20};
    CHILD Child;
    HANDLE Job;

    CHECK(NtCreateJobObject(&Job, JOB_OBJECT_ALL_ACCESS, NULL) == STATUS_SUCCESS);
    Limit.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_PROCESS_MEMORY | JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    CHECK(NtSetInformationJobObject(Job, JobObjectExtendedLimitInformation, &Limit, sizeof(Limit)) == STATUS_SUCCESS);
    CHECK(StartWith(&Child, L"uproc commit", PROCESS_CREATE_FLAGS_SUSPENDED, 0, NULL, NULL) == STATUS_SUCCESS);
    CHECK(NtAssignProcessToJobObject(Job, Child.Process) == STATUS_SUCCESS);
    CHECK(NtResumeThread(Child.Thread, NULL) == STATUS_SUCCESS);
    CHECK(NtWaitForSingleObject(Child.Process, FALSE, NULL) == STATUS_SUCCESS);
    CHECK(ExitStatusOf(Child.Process) == STATUS_COMMITMENT_LIMIT);
    CHECK(CloseChild(&Child) == 0);
    CHECK(StartWith(&Child, L"uproc forever", 0, 0, NULL, NULL) == STATUS_SUCCESS);
    CHECK(NtAssignProcessToJobObject(Job, Child.Process) == STATUS_SUCCESS);
    CHECK(NtClose(Job) == STATUS_SUCCESS);
    CHECK(NtWaitForSingleObject(Child.Process, FALSE, NULL) == STATUS_SUCCESS);
    return CloseChild(&Child);
}

static const USER_CASE Cases[] = {
    {"user.process.exit", CreateExit},
    {"user.process.crash", CreateCrash},
    {"user.process.environment", CreateEnvironment},
    {"user.process.inherit", CreateInherit},
    {"user.process.errors", CreateErrors},
    {"user.process.terminate", CreateTerminate},
    {"user.process.open", OpenByCid},
    {"user.process.ask", AskErrors},
    {"user.thread.priority", SetPriority},
    {"user.thread.context", ContextRedirect},
    {"user.thread.alert", AlertWakes},
    {"user.job.processes", JobProcesses},
    {"user.job.memory", JobMemory},
};

/* ---- Storms ---- */

static NTSTATUS NTAPI EndAtOnce(PVOID Argument)
{
    return STATUS_SUCCESS;
}

static ULONG Storm(ULONG Processes, ULONG Threads)
{
    CHILD Child[8];

    for (ULONG Done = 0; Done < Threads; Done += 8) {
        CHECK(RunThreads(EndAtOnce, NULL, 8) == 0);
    }
    for (ULONG Done = 0; Done < Processes; Done += RTL_NUMBER_OF(Child)) {
        for (ULONG Index = 0; Index < RTL_NUMBER_OF(Child); Index++) {
            CHECK(StartWith(&Child[Index], L"uproc exit", 0, 0, NULL, NULL) == STATUS_SUCCESS);
        }
        for (ULONG Index = 0; Index < RTL_NUMBER_OF(Child); Index++) {
            CHECK(NtWaitForSingleObject(Child[Index].Process, FALSE, NULL) == STATUS_SUCCESS);
            CHECK(ExitStatusOf(Child[Index].Process) == 42);
            CHECK(CloseChild(&Child[Index]) == 0);
        }
    }
    return 0;
}

#define MOST_CHILDREN 1000

/* Pages that are free, and pages that are promised. */
static VOID CountPages(PULONG Available, PULONG Committed)
{
    static SYSTEM_PERFORMANCE_INFORMATION Information;

    NtQuerySystemInformation((SYSTEM_INFORMATION_CLASS)SystemPerformanceInformation, &Information, sizeof(Information),
                             NULL);
    *Available = Information.AvailablePages;
    *Committed = Information.CommittedPages;
}

/* Many processes at once, each waiting in ring 3's service; then all are ended. */
static ULONG Many(ULONG Count)
{
    static CHILD Child[MOST_CHILDREN];
    LARGE_INTEGER Pause = {.QuadPart = -5000000};
    ULONG Made = 0, Available[2], Committed[2];
    NTSTATUS Status = STATUS_SUCCESS;

    CountPages(&Available[0], &Committed[0]);

    while (Made < min(Count, (ULONG)MOST_CHILDREN) && NT_SUCCESS(Status)) {
        Status = StartWith(&Child[Made], L"uproc forever", 0, 0, NULL, NULL);
        Made += NT_SUCCESS(Status);
    }
    NtDelayExecution(FALSE, &Pause); /* the last ones get to where they wait */
    CountPages(&Available[1], &Committed[1]);
    DbgPrint("uproc: %lu processes at once, last status 0x%08lX\n", Made, Status);
    if (Made != 0) {
        DbgPrint("uproc: each takes %lu frames and commits %lu pages\n", (Available[0] - Available[1]) / Made,
                 (Committed[1] - Committed[0]) / Made);
    }
    for (ULONG Index = 0; Index < Made; Index++) {
        CHECK(NtTerminateProcess(Child[Index].Process, 5) == STATUS_SUCCESS);
    }
    for (ULONG Index = 0; Index < Made; Index++) {
        CHECK(NtWaitForSingleObject(Child[Index].Process, FALSE, NULL) == STATUS_SUCCESS);
        CHECK(CloseChild(&Child[Index]) == 0);
    }
    return Made == Count ? 0 : __LINE__;
}

/* ---- The child's part ---- */

static BOOLEAN SameText(PCWSTR Text, PCWSTR Other)
{
    for (; *Text == *Other && *Text != 0; Text++, Other++) {
    }
    return *Text == *Other;
}

static NTSTATUS ChildEnvironment(PPEB Peb)
{
    PCWSTR Next = Peb->ProcessParameters->Environment;

    if (!SameText(Next, L"FIRST=1") || !SameText(Next + 8, L"SECOND=two words") || Next[8 + 17] != 0) {
        return STATUS_UNSUCCESSFUL;
    }
    return 7;
}

/* Commits until it is refused; at least once it is not. */
static NTSTATUS ChildCommit(VOID)
{
    NTSTATUS Status = STATUS_SUCCESS;
    ULONG Times = 0;

    for (; NT_SUCCESS(Status) && Times < 64; Times++) {
        PVOID Base = NULL;
        SIZE_T Bytes = 256 << 10;

        Status =
            NtAllocateVirtualMemory(ZwCurrentProcess(), &Base, 0, &Bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    }
    return Times > 1 ? Status : STATUS_UNSUCCESSFUL;
}

/* Opens this program and reads a thousand bytes of it. */
static NTSTATUS ChildRead(VOID)
{
    UNICODE_STRING Path = RTL_CONSTANT_STRING(L"\\SystemRoot\\System\\uproc.exe");
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Iosb;
    UCHAR Bytes[1000];
    HANDLE File;
    NTSTATUS Status;

    InitializeObjectAttributes(&Attributes, &Path, OBJ_CASE_INSENSITIVE, NULL, NULL);
    Status = NtOpenFile(&File, FILE_READ_DATA | SYNCHRONIZE, &Attributes, &Iosb, FILE_SHARE_READ,
                        FILE_SYNCHRONOUS_IO_NONALERT);
    return NT_SUCCESS(Status) ? NtReadFile(File, NULL, NULL, NULL, &Iosb, Bytes, sizeof(Bytes), NULL, NULL) : Status;
}

static VOID Forever(VOID)
{
    LARGE_INTEGER Long = {.QuadPart = MINLONG64};

    for (;;) {
        NtDelayExecution(FALSE, &Long);
    }
}

/* The word of the command line with this number begins with Text. */
static PCWSTR WordAt(PCUNICODE_STRING Line, ULONG Index)
{
    ULONG At = 0, Length = Line->Length / sizeof(WCHAR);

    for (; Index > 0; Index--) {
        for (; At < Length && Line->Buffer[At] != L' '; At++) {
        }
        for (; At < Length && Line->Buffer[At] == L' '; At++) {
        }
    }
    return Line->Buffer + At; /* the line ends with a NUL */
}

static BOOLEAN BeginsWith(PCWSTR Text, PCWSTR Word)
{
    for (; *Word != 0; Text++, Word++) {
        if (*Text != *Word) {
            return FALSE;
        }
    }
    return TRUE;
}

static ULONG NumberAt(PCUNICODE_STRING Line, ULONG Index)
{
    ULONG Value = 0;

    for (PCWSTR Digit = WordAt(Line, Index); *Digit >= L'0' && *Digit <= L'9'; Digit++) {
        Value = Value * 10 + *Digit - L'0';
    }
    return Value;
}

static NTSTATUS Report(ULONG Line)
{
    DbgPrint("uproc: %s, line %lu\n", Line == 0 ? "done" : "failed", Line);
    return Line == 0 ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    PCUNICODE_STRING Line = &Peb->ProcessParameters->CommandLine;
    PCWSTR What = WordAt(Line, 1);

    if (*What == 0) {
        return UserRunSuite("uproc.c", Cases, RTL_NUMBER_OF(Cases));
    }
    if (BeginsWith(What, L"exit")) {
        return 42;
    }
    if (BeginsWith(What, L"crash")) {
        *(volatile ULONG *)KERNEL_POINTER = 1;
    }
    if (BeginsWith(What, L"raise")) {
        RtlRaiseStatus(STATUS_DATA_ERROR);
    }
    if (BeginsWith(What, L"environment")) {
        return ChildEnvironment(Peb);
    }
    if (BeginsWith(What, L"inherit")) {
        return NtSetEvent(Peb->ProcessParameters->StandardOutput, NULL);
    }
    if (BeginsWith(What, L"commit")) {
        return ChildCommit();
    }
    if (BeginsWith(What, L"read")) {
        return ChildRead();
    }
    if (BeginsWith(What, L"forever")) {
        Forever();
    }
    if (BeginsWith(What, L"storm")) {
        return Report(Storm(NumberAt(Line, 2), NumberAt(Line, 3)));
    }
    if (BeginsWith(What, L"many")) {
        return Report(Many(NumberAt(Line, 2)));
    }
    return STATUS_INVALID_PARAMETER;
}
