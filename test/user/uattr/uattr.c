/*
 * uattr.c - the suite of what processes and threads are made with and asked about: attribute lists, jobs with ports, names, quotas, priorities.
 *
 * Children are uproc.exe, whose command line says what they do. Those that would wait for ever are ended by the case that made them, or by
 * the job they are in when its last handle is closed.
 */
#include "uattr.h"

#include <ntos/sysinfo.h>

VOID Begin(LIST *List, CHILD *Child)
{
    static UNICODE_STRING Path = RTL_CONSTANT_STRING(PATH);

    RtlZeroMemory(List, sizeof(*List));
    List->TotalLength = FIELD_OFFSET(PS_ATTRIBUTE_LIST, Attributes) + 2 * sizeof(PS_ATTRIBUTE);
    List->Attributes[0] = (PS_ATTRIBUTE){PS_ATTRIBUTE_IMAGE_NAME, Path.Length, {.ValuePtr = Path.Buffer}, NULL};
    List->Attributes[1] = (PS_ATTRIBUTE){PS_ATTRIBUTE_CLIENT_ID, sizeof(CLIENT_ID), {.ValuePtr = &Child->Cid}, NULL};
}

VOID Add(LIST *List, ULONG_PTR Attribute, PVOID Value, SIZE_T Size, PSIZE_T Returned)
{
    SIZE_T Count = (List->TotalLength - FIELD_OFFSET(PS_ATTRIBUTE_LIST, Attributes)) / sizeof(PS_ATTRIBUTE);

    List->Attributes[Count] = (PS_ATTRIBUTE){Attribute, Size, {.ValuePtr = Value}, Returned};
    List->TotalLength += sizeof(PS_ATTRIBUTE);
}

NTSTATUS Start(LIST *List, CHILD *Child, PCWSTR Line, ULONG Flags, HANDLE Output)
{
    RTL_USER_PROCESS_PARAMETERS Parameters = {.Flags = RTL_USER_PROC_PARAMS_NORMALIZED, .StandardOutput = Output};

    RtlInitUnicodeString(&Parameters.CommandLine, Line);
    RtlInitUnicodeString(&Parameters.ImagePathName, PATH);
    return NtCreateUserProcess(&Child->Process, &Child->Thread, PROCESS_ALL_ACCESS, THREAD_ALL_ACCESS, NULL, NULL,
                               Flags, 0, &Parameters, NULL, (PPS_ATTRIBUTE_LIST)List);
}

/* Waits for the end, or makes it; the exit status is to be Expected. */
static ULONG End(CHILD *Child, NTSTATUS Expected)
{
    PROCESS_BASIC_INFORMATION Info;

    if (Expected == STATUS_CANCELLED) {
        CHECK(NtTerminateProcess(Child->Process, STATUS_CANCELLED) == STATUS_SUCCESS);
    }
    CHECK(NtWaitForSingleObject(Child->Process, FALSE, NULL) == STATUS_SUCCESS);
    CHECK(NtQueryInformationProcess(Child->Process, ProcessBasicInformation, &Info, sizeof(Info), NULL) ==
          STATUS_SUCCESS);
    CHECK(Info.ExitStatus == Expected);
    CHECK(NtClose(Child->Process) == STATUS_SUCCESS && NtClose(Child->Thread) == STATUS_SUCCESS);
    return 0;
}

static ULONG_PTR ParentOf(HANDLE Process)
{
    PROCESS_BASIC_INFORMATION Info = {.ExitStatus = 0};

    NtQueryInformationProcess(Process, ProcessBasicInformation, &Info, sizeof(Info), NULL);
    return Info.InheritedFromUniqueProcessId;
}

/* The system's list of processes says who made each. */
static ULONG ListedParent(VOID)
{
    static DECLSPEC_ALIGN(16) UCHAR Answer[0x8000];
    PSYSTEM_PROCESS_INFORMATION Info = (PSYSTEM_PROCESS_INFORMATION)Answer;
    CHILD Child;
    LIST List;

    Begin(&List, &Child);
    CHECK(Start(&List, &Child, L"uproc forever", 0, NULL) == STATUS_SUCCESS);
    CHECK(NtQuerySystemInformation(SystemProcessInformation, Answer, sizeof(Answer), NULL) == STATUS_SUCCESS);
    while (Info->UniqueProcessId != Child.Cid.UniqueProcess) {
        CHECK(Info->NextEntryOffset != 0);
        Info = (PSYSTEM_PROCESS_INFORMATION)((PUCHAR)Info + Info->NextEntryOffset);
    }
    CHECK((ULONG_PTR)Info->InheritedFromUniqueProcessId == ParentOf(Child.Process));
    CHECK(ParentOf(Child.Process) != 0);
    return End(&Child, STATUS_CANCELLED);
}

/* ---- Attributes ---- */

/* The child of another: its identifier, its handles; PROCESS_CREATE_PROCESS is what it takes. */
static ULONG ParentProcess(VOID)
{
    CHILD Parent, Child;
    HANDLE Weak, Event, There;
    LIST List;

    Begin(&List, &Parent);
    CHECK(Start(&List, &Parent, L"uproc forever", 0, NULL) == STATUS_SUCCESS);
    CHECK(NtCreateEvent(&Event, EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE) == STATUS_SUCCESS);
    CHECK(NtDuplicateObject(ZwCurrentProcess(), Event, Parent.Process, &There, 0, OBJ_INHERIT, DUPLICATE_SAME_ACCESS) ==
          STATUS_SUCCESS);
    Begin(&List, &Child);
    Add(&List, PS_ATTRIBUTE_PARENT_PROCESS, Parent.Process, sizeof(HANDLE), NULL);
    CHECK(Start(&List, &Child, L"uproc inherit", PROCESS_CREATE_FLAGS_INHERIT_HANDLES, There) == STATUS_SUCCESS);
    CHECK(ParentOf(Child.Process) == (ULONG_PTR)Parent.Cid.UniqueProcess);
    CHECK(NtWaitForSingleObject(Event, FALSE, NULL) == STATUS_SUCCESS && End(&Child, STATUS_SUCCESS) == 0);
    CHECK(NtDuplicateObject(ZwCurrentProcess(), Parent.Process, ZwCurrentProcess(), &Weak, PROCESS_DUP_HANDLE, 0, 0) ==
          STATUS_SUCCESS);
    Begin(&List, &Child);
    Add(&List, PS_ATTRIBUTE_PARENT_PROCESS, Weak, sizeof(HANDLE), NULL);
    CHECK(Start(&List, &Child, L"uproc exit", 0, NULL) == STATUS_ACCESS_DENIED);
    CHECK(NtClose(Weak) == STATUS_SUCCESS && NtClose(Event) == STATUS_SUCCESS);
    return End(&Parent, STATUS_CANCELLED);
}

/* Of the inheritable handles only those of the list. */
static ULONG HandleList(VOID)
{
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Yes, No, Bare;
    CHILD Child;
    LIST List;

    InitializeObjectAttributes(&Attributes, NULL, OBJ_INHERIT, NULL, NULL);
    CHECK(NtCreateEvent(&Yes, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE) == STATUS_SUCCESS);
    CHECK(NtCreateEvent(&No, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE) == STATUS_SUCCESS);
    CHECK(NtCreateEvent(&Bare, EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE) == STATUS_SUCCESS);
    Begin(&List, &Child);
    Add(&List, PS_ATTRIBUTE_HANDLE_LIST, &Yes, sizeof(HANDLE), NULL);
    CHECK(Start(&List, &Child, L"uproc inherit", PROCESS_CREATE_FLAGS_INHERIT_HANDLES, Yes) == STATUS_SUCCESS);
    CHECK(End(&Child, STATUS_SUCCESS) == 0);
    CHECK(Start(&List, &Child, L"uproc inherit", PROCESS_CREATE_FLAGS_INHERIT_HANDLES, No) == STATUS_SUCCESS);
    CHECK(End(&Child, STATUS_INVALID_HANDLE) == 0);
    Begin(&List, &Child);
    Add(&List, PS_ATTRIBUTE_HANDLE_LIST, &Bare, sizeof(HANDLE), NULL);
    CHECK(Start(&List, &Child, L"uproc exit", PROCESS_CREATE_FLAGS_INHERIT_HANDLES, NULL) == STATUS_INVALID_PARAMETER);
    CHECK(NtClose(Yes) == STATUS_SUCCESS && NtClose(No) == STATUS_SUCCESS && NtClose(Bare) == STATUS_SUCCESS);
    return 0;
}

/* A standard handle is copied though it is not inheritable; image information and TEB are told. */
static ULONG StandardHandles(VOID)
{
    PS_STD_HANDLE_INFO Standard = {.Flags = PS_STD_HANDLE_ALWAYS};
    SECTION_IMAGE_INFORMATION Image = {.ZeroBits = 77}, Again;
    THREAD_BASIC_INFORMATION Thread;
    SIZE_T Bytes = 0;
    PVOID Teb = NULL;
    HANDLE Event;
    CHILD Child;
    LIST List;

    CHECK(NtCreateEvent(&Event, EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE) == STATUS_SUCCESS);
    Begin(&List, &Child);
    Add(&List, PS_ATTRIBUTE_STD_HANDLE_INFO, &Standard, sizeof(Standard), NULL);
    Add(&List, PS_ATTRIBUTE_IMAGE_INFO, &Image, sizeof(Image), &Bytes);
    Add(&List, PS_ATTRIBUTE_TEB_ADDRESS, &Teb, sizeof(Teb), NULL);
    CHECK(Start(&List, &Child, L"uproc inherit", 0, Event) == STATUS_SUCCESS);
    CHECK(Bytes == sizeof(Image) && Image.ZeroBits == 0 && Image.TransferAddress != NULL && Image.Machine == 0x8664);
    CHECK(NtQueryInformationProcess(Child.Process, ProcessImageInformation, &Again, sizeof(Again), NULL) ==
          STATUS_SUCCESS);
    CHECK(RtlCompareMemory(&Again, &Image, sizeof(Image)) == sizeof(Image));
    CHECK(NtWaitForSingleObject(Event, FALSE, NULL) == STATUS_SUCCESS && End(&Child, STATUS_SUCCESS) == 0);
    CHECK(NtQueryInformationThread(ZwCurrentThread(), ThreadBasicInformation, &Thread, sizeof(Thread), NULL) ==
          STATUS_SUCCESS);
    CHECK(Teb != NULL && Thread.TebBaseAddress == (PVOID)__readgsqword(0x30) && NtClose(Event) == STATUS_SUCCESS);
    return 0;
}

static ULONG Refusals(VOID)
{
    UCHAR Value[16] = {0};
    HANDLE Thread;
    CHILD Child;
    LIST List;

    Begin(&List, &Child);
    Add(&List, 0x60001, Value, 8, NULL); /* a debug port */
    CHECK(Start(&List, &Child, L"uproc exit", 0, NULL) == STATUS_NOT_SUPPORTED);
    Begin(&List, &Child);
    Add(&List, PS_ATTRIBUTE_PRIORITY_CLASS, Value, 2, NULL);
    CHECK(Start(&List, &Child, L"uproc exit", 0, NULL) == STATUS_INVALID_PARAMETER);
    Begin(&List, &Child);
    Add(&List, PS_ATTRIBUTE_TEB_ADDRESS, Value, 4, NULL);
    CHECK(Start(&List, &Child, L"uproc exit", 0, NULL) == STATUS_INFO_LENGTH_MISMATCH);
    Begin(&List, &Child);
    Add(&List, PS_ATTRIBUTE_HANDLE_LIST, KERNEL_POINTER, sizeof(HANDLE), NULL);
    CHECK(Start(&List, &Child, L"uproc exit", 0, NULL) == STATUS_ACCESS_VIOLATION);
    Begin(&List, &Child);
    CHECK(NtCreateThreadEx(&Thread, THREAD_ALL_ACCESS, NULL, ZwCurrentProcess(), (PVOID)(ULONG_PTR)RtlExitUserThread,
                           NULL, 0, 0, 0, 0, (PPS_ATTRIBUTE_LIST)&List) == STATUS_NOT_SUPPORTED);
    return 0;
}

/* A thread's list tells its identifiers and TEB. */
static ULONG ThreadList(VOID)
{
    THREAD_BASIC_INFORMATION Info;
    LIST List = {.TotalLength = FIELD_OFFSET(PS_ATTRIBUTE_LIST, Attributes)};
    CLIENT_ID Cid = {NULL, NULL};
    PVOID Teb = NULL;
    HANDLE Thread;

    Add(&List, PS_ATTRIBUTE_CLIENT_ID, &Cid, sizeof(Cid), NULL);
    Add(&List, PS_ATTRIBUTE_TEB_ADDRESS, &Teb, sizeof(Teb), NULL);
    CHECK(NtCreateThreadEx(&Thread, THREAD_ALL_ACCESS, NULL, ZwCurrentProcess(), (PVOID)(ULONG_PTR)RtlExitUserThread,
                           NULL, THREAD_CREATE_FLAGS_CREATE_SUSPENDED, 0, 0, 0,
                           (PPS_ATTRIBUTE_LIST)&List) == STATUS_SUCCESS);
    CHECK(NtQueryInformationThread(Thread, ThreadBasicInformation, &Info, sizeof(Info), NULL) == STATUS_SUCCESS);
    CHECK(Info.ClientId.UniqueThread == Cid.UniqueThread && Info.TebBaseAddress == Teb);
    CHECK(NtResumeThread(Thread, NULL) == STATUS_SUCCESS);
    return Join(Thread);
}

/* ---- Jobs ---- */

static NTSTATUS Limit(HANDLE Job, ULONG Flags, ULONG Active, ULONG Class)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION Limits = {.ProcessMemoryLimit = 0};

    Limits.BasicLimitInformation.LimitFlags = Flags;
    Limits.BasicLimitInformation.ActiveProcessLimit = Active;
    Limits.BasicLimitInformation.PriorityClass = Class;
    Limits.BasicLimitInformation.Affinity = 1;
    return NtSetInformationJobObject(Job, JobObjectExtendedLimitInformation, &Limits, sizeof(Limits));
}

/* The next message: its number, 0: none within a second. */
static ULONG Message(HANDLE Port, HANDLE *ProcessId)
{
    LARGE_INTEGER Second = {.QuadPart = -10000000};
    IO_STATUS_BLOCK Iosb;
    PVOID Key;

    if (NtRemoveIoCompletion(Port, &Key, (PVOID *)ProcessId, &Iosb, &Second) != STATUS_SUCCESS || Key != (PVOID)0x77) {
        return 0;
    }
    return (ULONG)Iosb.Information;
}

/* A job's port hears of processes that come, are refused, and go; identifiers and times are told. */
static ULONG JobPort(VOID)
{
    JOBOBJECT_ASSOCIATE_COMPLETION_PORT Associate = {.CompletionKey = (PVOID)0x77};
    JOBOBJECT_BASIC_ACCOUNTING_INFORMATION Accounting;
    struct {
        JOBOBJECT_BASIC_PROCESS_ID_LIST List;
        ULONG_PTR More[4];
    } Ids;
    HANDLE Job, Port, Id;
    CHILD Child[3];
    LIST List;

    CHECK(NtCreateJobObject(&Job, JOB_OBJECT_ALL_ACCESS, NULL) == STATUS_SUCCESS);
    CHECK(NtCreateIoCompletion(&Port, GENERIC_ALL, NULL, 0) == STATUS_SUCCESS);
    Associate.CompletionPort = Port;
    CHECK(NtSetInformationJobObject(Job, JobObjectAssociateCompletionPortInformation, &Associate, sizeof(Associate)) ==
          STATUS_SUCCESS);
    CHECK(NtSetInformationJobObject(Job, JobObjectAssociateCompletionPortInformation, &Associate, sizeof(Associate)) ==
          STATUS_INVALID_PARAMETER);
    CHECK(Limit(Job, JOB_OBJECT_LIMIT_ACTIVE_PROCESS, 2, 0) == STATUS_SUCCESS);
    for (ULONG Index = 0; Index < 2; Index++) {
        Begin(&List, &Child[Index]);
        Add(&List, PS_ATTRIBUTE_JOB_LIST, &Job, sizeof(Job), NULL);
        CHECK(Start(&List, &Child[Index], Index == 0 ? L"uproc forever" : L"uproc crash", 0, NULL) == STATUS_SUCCESS);
        CHECK(Message(Port, &Id) == JOB_OBJECT_MSG_NEW_PROCESS && Id == Child[Index].Cid.UniqueProcess);
        if (Index == 0) {
            Begin(&List, &Child[2]);
            CHECK(NtQueryInformationJobObject(Job, JobObjectBasicProcessIdList, &Ids, sizeof(Ids), NULL) ==
                  STATUS_SUCCESS);
            CHECK(Ids.List.NumberOfAssignedProcesses == 1 && Ids.List.NumberOfProcessIdsInList == 1);
            CHECK(Ids.List.ProcessIdList[0] == (ULONG_PTR)Child[0].Cid.UniqueProcess);
        }
    }
    CHECK(End(&Child[1], STATUS_ACCESS_VIOLATION) == 0);
    CHECK(Message(Port, &Id) == JOB_OBJECT_MSG_ABNORMAL_EXIT_PROCESS && Id == Child[1].Cid.UniqueProcess);
    CHECK(Limit(Job, JOB_OBJECT_LIMIT_ACTIVE_PROCESS, 1, 0) == STATUS_SUCCESS);
    Begin(&List, &Child[2]);
    Add(&List, PS_ATTRIBUTE_JOB_LIST, &Job, sizeof(Job), NULL);
    CHECK(Start(&List, &Child[2], L"uproc exit", 0, NULL) == STATUS_QUOTA_EXCEEDED);
    CHECK(Message(Port, &Id) == JOB_OBJECT_MSG_ACTIVE_PROCESS_LIMIT);
    CHECK(NtTerminateJobObject(Job, 0) == STATUS_SUCCESS && End(&Child[0], STATUS_SUCCESS) == 0);
    CHECK(Message(Port, &Id) == JOB_OBJECT_MSG_EXIT_PROCESS && Id == Child[0].Cid.UniqueProcess);
    CHECK(Message(Port, &Id) == JOB_OBJECT_MSG_ACTIVE_PROCESS_ZERO);
    CHECK(NtQueryInformationJobObject(Job, JobObjectBasicAccountingInformation, &Accounting, sizeof(Accounting),
                                      NULL) == STATUS_SUCCESS);
    CHECK(Accounting.TotalProcesses == 2 && Accounting.ActiveProcesses == 0 &&
          Accounting.TotalTerminatedProcesses == 1);
    CHECK(Accounting.TotalKernelTime.QuadPart >= 0 && Accounting.TotalUserTime.QuadPart >= 0);
    CHECK(NtClose(Job) == STATUS_SUCCESS && NtClose(Port) == STATUS_SUCCESS);
    return 0;
}

/* Processors and priority of a job are its processes', those that are in it already as well. */
static ULONG JobPriority(VOID)
{
    PROCESS_BASIC_INFORMATION Info;
    PROCESS_PRIORITY_CLASS Class;
    HANDLE Job;
    CHILD Child;
    LIST List;

    CHECK(NtCreateJobObject(&Job, JOB_OBJECT_ALL_ACCESS, NULL) == STATUS_SUCCESS);
    Begin(&List, &Child);
    CHECK(Start(&List, &Child, L"uproc forever", 0, NULL) == STATUS_SUCCESS);
    CHECK(NtAssignProcessToJobObject(Job, Child.Process) == STATUS_SUCCESS);
    CHECK(Limit(Job, JOB_OBJECT_LIMIT_PRIORITY_CLASS | JOB_OBJECT_LIMIT_AFFINITY, 0, PROCESS_PRIORITY_CLASS_IDLE) ==
          STATUS_SUCCESS);
    CHECK(NtQueryInformationProcess(Child.Process, ProcessBasicInformation, &Info, sizeof(Info), NULL) ==
          STATUS_SUCCESS);
    CHECK(Info.BasePriority == 4 && Info.AffinityMask == 1);
    CHECK(NtQueryInformationProcess(Child.Process, ProcessPriorityClass, &Class, sizeof(Class), NULL) ==
          STATUS_SUCCESS);
    CHECK(Class.PriorityClass == PROCESS_PRIORITY_CLASS_IDLE);
    CHECK(Limit(Job, JOB_OBJECT_LIMIT_PRIORITY_CLASS, 0, 99) == STATUS_INVALID_PARAMETER);
    CHECK(Limit(Job, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE, 0, 0) == STATUS_SUCCESS && NtClose(Job) == STATUS_SUCCESS);
    return End(&Child, STATUS_SUCCESS);
}

/* ---- Questions ---- */

typedef struct _TEXT {
    UNICODE_STRING String;
    WCHAR Room[256];
} TEXT;

static BOOLEAN Says(const TEXT *Text, PCWSTR Expected)
{
    UNICODE_STRING Other;

    RtlInitUnicodeString(&Other, Expected);
    return Text->String.Buffer == Text->Room && RtlEqualUnicodeString(&Text->String, &Other, TRUE);
}

static ULONG Texts(VOID)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"the worker");
    ULONG Needed = 0;
    CHILD Child;
    TEXT Text;
    LIST List;

    Begin(&List, &Child);
    CHECK(Start(&List, &Child, L"uproc forever and ever", 0, NULL) == STATUS_SUCCESS);
    CHECK(NtQueryInformationProcess(Child.Process, ProcessImageFileName, &Text, sizeof(Text), &Needed) ==
          STATUS_SUCCESS);
    CHECK(Says(&Text, PATH) && Needed == sizeof(UNICODE_STRING) + sizeof(PATH));
    CHECK(NtQueryInformationProcess(Child.Process, PSP_PROCESS_COMMAND_LINE_CLASS, &Text, sizeof(Text), NULL) ==
          STATUS_SUCCESS);
    CHECK(Says(&Text, L"uproc forever and ever"));
    CHECK(NtQueryInformationProcess(Child.Process, ProcessImageFileName, &Text, 20, &Needed) ==
          STATUS_INFO_LENGTH_MISMATCH);
    CHECK(NtQueryInformationThread(Child.Thread, PSP_THREAD_NAME_CLASS, &Text, sizeof(Text), NULL) == STATUS_SUCCESS);
    CHECK(Text.String.Length == 0);
    CHECK(NtSetInformationThread(Child.Thread, PSP_THREAD_NAME_CLASS, &Name, sizeof(Name)) == STATUS_SUCCESS);
    CHECK(NtQueryInformationThread(Child.Thread, PSP_THREAD_NAME_CLASS, &Text, sizeof(Text), NULL) == STATUS_SUCCESS);
    CHECK(Says(&Text, L"the worker"));
    return End(&Child, STATUS_CANCELLED);
}

#define INCREASE_QUOTA 5 /* the privilege's number */

/* Turns the privilege to change quotas on or off. */
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

/* Commitment beyond the quota is refused; nothing but the quota is in the way. */
static ULONG Quotas(VOID)
{
    QUOTA_LIMITS Limits, Before;
    VM_COUNTERS Memory;
    CHILD Child;
    LIST List;

    CHECK(NtQueryInformationProcess(ZwCurrentProcess(), ProcessQuotaLimits, &Before, sizeof(Before), NULL) ==
          STATUS_SUCCESS);
    CHECK(Before.PagefileLimit == MAXULONG_PTR && Before.NonPagedPoolLimit != 0 && Before.PagedPoolLimit != 0);
    Begin(&List, &Child);
    CHECK(Start(&List, &Child, L"uproc commit", PROCESS_CREATE_FLAGS_SUSPENDED, NULL) == STATUS_SUCCESS);
    CHECK(NtQueryInformationProcess(Child.Process, ProcessVmCounters, &Memory, sizeof(Memory), NULL) == STATUS_SUCCESS);
    Limits = Before;
    Limits.PagefileLimit = Memory.PagefileUsage + (2 << 20);
    CHECK(MayChangeQuota(FALSE) == STATUS_SUCCESS);
    CHECK(NtSetInformationProcess(Child.Process, ProcessQuotaLimits, &Limits, sizeof(Limits)) ==
          STATUS_PRIVILEGE_NOT_HELD);
    CHECK(MayChangeQuota(TRUE) == STATUS_SUCCESS);
    CHECK(NtSetInformationProcess(Child.Process, ProcessQuotaLimits, &Limits, sizeof(Limits)) == STATUS_SUCCESS);
    CHECK(MayChangeQuota(FALSE) == STATUS_SUCCESS);
    CHECK(NtQueryInformationProcess(Child.Process, ProcessQuotaLimits, &Before, sizeof(Before), NULL) ==
          STATUS_SUCCESS);
    CHECK(Before.PagefileLimit == (Limits.PagefileLimit & ~(SIZE_T)(PAGE_SIZE - 1)));
    CHECK(NtResumeThread(Child.Thread, NULL) == STATUS_SUCCESS);
    return End(&Child, STATUS_COMMITMENT_LIMIT);
}

static ULONG Priorities(VOID)
{
    PROCESS_PRIORITY_CLASS Class = {.PriorityClass = PROCESS_PRIORITY_CLASS_BELOW_NORMAL};
    THREAD_BASIC_INFORMATION Info;
    ULONG_PTR Affinity = 0;
    PVOID Address = NULL;
    ULONG Value = 7;
    BOOLEAN Hidden = 7;
    CHILD Child;
    LIST List;

    Begin(&List, &Child);
    Add(&List, PS_ATTRIBUTE_PRIORITY_CLASS, &Class.PriorityClass, 1, NULL);
    CHECK(Start(&List, &Child, L"uproc forever", 0, NULL) == STATUS_SUCCESS);
    CHECK(NtQueryInformationThread(Child.Thread, ThreadBasicInformation, &Info, sizeof(Info), NULL) == STATUS_SUCCESS);
    CHECK(Info.BasePriority == 0);
    Class.PriorityClass = PROCESS_PRIORITY_CLASS_HIGH;
    CHECK(NtSetInformationProcess(Child.Process, ProcessPriorityClass, &Class, sizeof(Class)) == STATUS_SUCCESS);
    CHECK(NtQueryInformationThread(Child.Thread, ThreadBasicInformation, &Info, sizeof(Info), NULL) == STATUS_SUCCESS);
    CHECK(Info.BasePriority == 0 && Info.Priority >= 13);
    Class.PriorityClass = 0;
    CHECK(NtSetInformationProcess(Child.Process, ProcessPriorityClass, &Class, sizeof(Class)) ==
          STATUS_INVALID_PARAMETER);
    CHECK(NtQueryInformationProcess(Child.Process, ProcessAffinityMask, &Affinity, sizeof(Affinity), NULL) ==
          STATUS_SUCCESS);
    CHECK(Affinity != 0);
    CHECK(NtQueryInformationThread(Child.Thread, ThreadQuerySetWin32StartAddress, &Address, sizeof(Address), NULL) ==
          STATUS_SUCCESS);
    Address = (PVOID)0x1234;
    CHECK(NtSetInformationThread(Child.Thread, ThreadQuerySetWin32StartAddress, &Address, sizeof(Address)) ==
          STATUS_SUCCESS);
    Address = NULL;
    CHECK(NtQueryInformationThread(Child.Thread, ThreadQuerySetWin32StartAddress, &Address, sizeof(Address), NULL) ==
          STATUS_SUCCESS);
    CHECK(Address == (PVOID)0x1234);
    CHECK(NtQueryInformationThread(Child.Thread, ThreadIsIoPending, &Value, sizeof(Value), NULL) == STATUS_SUCCESS);
    CHECK(Value == 0);
    CHECK(NtSetInformationThread(Child.Thread, ThreadHideFromDebugger, NULL, 0) == STATUS_SUCCESS);
    CHECK(NtQueryInformationThread(Child.Thread, ThreadHideFromDebugger, &Hidden, sizeof(Hidden), NULL) ==
          STATUS_SUCCESS);
    CHECK(Hidden == TRUE);
    CHECK(NtQueryInformationProcess(Child.Process, ProcessBreakOnTermination, &Value, sizeof(Value), NULL) ==
          STATUS_SUCCESS);
    CHECK(NtQueryInformationProcess(Child.Process, ProcessBreakOnTermination, &Value, 2, NULL) ==
          STATUS_INFO_LENGTH_MISMATCH);
    return End(&Child, STATUS_CANCELLED);
}

static const USER_CASE Cases[] = {
    {"user.attr.parent", ParentProcess},
    {"user.attr.handle_list", HandleList},
    {"user.attr.standard", StandardHandles},
    {"user.attr.refusals", Refusals},
    {"user.attr.thread", ThreadList},
    {"user.job.port", JobPort},
    {"user.job.priority", JobPriority},
    {"user.info.texts", Texts},
    {"user.info.parent", ListedParent},
    {"user.info.quotas", Quotas},
    {"user.info.memory", MemoryUse},
    {"user.info.requests", RequestUse},
    {"user.job.uses", JobUse},
    {"user.info.priorities", Priorities},
};

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    return UserRunSuite("uattr.c", Cases, RTL_NUMBER_OF(Cases));
}
