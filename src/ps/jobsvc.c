/*
 * jobsvc.c - the services of jobs: making, filling, limiting and asking them. What a job does is in job.c.
 *
 * Locks: the job's Lock, around its fields. IRQL: PASSIVE_LEVEL for everything.
 *
 * Source: Microsoft Learn, "Job Objects", SetInformationJobObject, QueryInformationJobObject and the structures of each class.
 */
#include "job.h"

#include <ntos/io.h>
#include <ntos/services.h>
#include <ntos/user.h>

#define BASIC_LIMITS (JOB_OBJECT_LIMIT_ACTIVE_PROCESS | JOB_OBJECT_LIMIT_AFFINITY | JOB_OBJECT_LIMIT_PRIORITY_CLASS)
#define EXTENDED_LIMITS                                                                                                \
    (BASIC_LIMITS | JOB_OBJECT_LIMIT_PROCESS_MEMORY | JOB_OBJECT_LIMIT_JOB_MEMORY |                                    \
     JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION | JOB_OBJECT_LIMIT_BREAKAWAY_OK |                                     \
     JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK | JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE)

NTSTATUS PspReferenceJob(HANDLE Handle, ACCESS_MASK Access, struct _PSP_JOB **Job)
{
    return ObReferenceObjectByHandle(Handle, Access, PspJobType, ExGetPreviousMode(), (PVOID *)Job, NULL);
}

/* Makes a job without limits. */
NTSTATUS NTAPI NtCreateJobObject(PHANDLE JobHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes)
{
    PPSP_JOB Job;
    NTSTATUS Status = ExCreateObject(PspJobType, ObjectAttributes, sizeof(*Job), (PVOID *)&Job);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    KeInitializeEvent(&Job->Event, NotificationEvent, FALSE);
    KeInitializeSpinLock(&Job->Lock);
    VfNameLock(&Job->Lock, "JOB.Lock");
    InitializeListHead(&Job->Processes);
    return ExInsertObject(Job, DesiredAccess, JobHandle);
}

NTSTATUS NTAPI NtOpenJobObject(PHANDLE JobHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes)
{
    return ExOpenObject(PspJobType, ObjectAttributes, DesiredAccess, JobHandle);
}

/**
 * NtAssignProcessToJobObject - puts a process into a job, with what it starts from then on.
 *
 * @JobHandle      with JOB_OBJECT_ASSIGN_PROCESS
 * @ProcessHandle  with PROCESS_SET_QUOTA and PROCESS_TERMINATE
 * returns         STATUS_SUCCESS; STATUS_ACCESS_DENIED (it is in a job, or is the system's); STATUS_QUOTA_EXCEEDED (the job is full);
 *                 STATUS_PROCESS_IS_TERMINATING; what the handles say
 */
NTSTATUS NTAPI NtAssignProcessToJobObject(HANDLE JobHandle, HANDLE ProcessHandle)
{
    PEPROCESS Process;
    PPSP_JOB Job;
    NTSTATUS Status = PspReferenceJob(JobHandle, JOB_OBJECT_ASSIGN_PROCESS, &Job);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ObReferenceObjectByHandle(ProcessHandle, PSP_PROCESS_SET_QUOTA | PSP_PROCESS_TERMINATE, PspProcessType,
                                       ExGetPreviousMode(), (PVOID *)&Process, NULL);
    if (NT_SUCCESS(Status)) {
        Status = Process == PsInitialSystemProcess ? STATUS_ACCESS_DENIED : PspJoinJob(Job, Process);
        ObDereferenceObject(Process);
    }
    ObDereferenceObject(Job);
    return Status;
}

/* Ends every process of a job: JOB_OBJECT_TERMINATE. */
NTSTATUS NTAPI NtTerminateJobObject(HANDLE JobHandle, NTSTATUS ExitStatus)
{
    PPSP_JOB Job;
    NTSTATUS Status = PspReferenceJob(JobHandle, JOB_OBJECT_TERMINATE, &Job);

    if (NT_SUCCESS(Status)) {
        PspTerminateJob(Job, ExitStatus);
        ObDereferenceObject(Job);
    }
    return Status;
}

/* STATUS_PROCESS_IN_JOB, STATUS_PROCESS_NOT_IN_JOB; JobHandle NULL: any job. PROCESS_QUERY_INFORMATION, JOB_OBJECT_QUERY. */
NTSTATUS NTAPI NtIsProcessInJob(HANDLE ProcessHandle, HANDLE JobHandle)
{
    PEPROCESS Process;
    PPSP_JOB Job = NULL;
    NTSTATUS Status = ObReferenceObjectByHandle(ProcessHandle, PSP_PROCESS_QUERY_INFORMATION, PspProcessType,
                                                ExGetPreviousMode(), (PVOID *)&Process, NULL);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (JobHandle != NULL) {
        Status = PspReferenceJob(JobHandle, JOB_OBJECT_QUERY, &Job);
    }
    if (NT_SUCCESS(Status)) {
        BOOLEAN Inside = JobHandle == NULL ? Process->Job != NULL : Process->Job == Job;

        Status = Inside ? STATUS_PROCESS_IN_JOB : STATUS_PROCESS_NOT_IN_JOB;
    }
    if (Job != NULL) {
        ObDereferenceObject(Job);
    }
    ObDereferenceObject(Process);
    return Status;
}

/* ---- Setting ---- */

/* What is wrong with limits as such. STATUS_PRIVILEGE_NOT_HELD: the priority class is for the privileged. */
static NTSTATUS CheckLimits(const JOBOBJECT_BASIC_LIMIT_INFORMATION *Basic, BOOLEAN Extended)
{
    ULONG Flags = Basic->LimitFlags;

    if ((Flags & ~(ULONG)(Extended ? EXTENDED_LIMITS : BASIC_LIMITS)) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    if ((Flags & JOB_OBJECT_LIMIT_AFFINITY) != 0 &&
        (Basic->Affinity == 0 || (Basic->Affinity & ~KeQueryActiveProcessors()) != 0)) {
        return STATUS_INVALID_PARAMETER;
    }
    if ((Flags & JOB_OBJECT_LIMIT_PRIORITY_CLASS) != 0) {
        return Basic->PriorityClass > MAXUCHAR ? STATUS_INVALID_PARAMETER
                                               : PspCheckPriorityClass((UCHAR)Basic->PriorityClass);
    }
    return STATUS_SUCCESS;
}

static VOID StoreLimits(PPSP_JOB Job, const JOBOBJECT_EXTENDED_LIMIT_INFORMATION *Limits)
{
    KIRQL Irql;

    KeAcquireSpinLock(&Job->Lock, &Irql);
    Job->LimitFlags = Limits->BasicLimitInformation.LimitFlags;
    Job->ActiveLimit = Limits->BasicLimitInformation.ActiveProcessLimit;
    Job->Affinity = Limits->BasicLimitInformation.Affinity;
    Job->PriorityClass = Limits->BasicLimitInformation.PriorityClass;
    Job->ProcessPages = Limits->ProcessMemoryLimit >> PAGE_SHIFT;
    Job->JobPages = Limits->JobMemoryLimit >> PAGE_SHIFT;
    KeReleaseSpinLock(&Job->Lock, Irql);
    PspApplyJobLimits(Job);
}

static NTSTATUS SetPort(PPSP_JOB Job, const JOBOBJECT_ASSOCIATE_COMPLETION_PORT *Wish)
{
    PVOID Port;
    NTSTATUS Status = IoReferenceCompletion(Wish->CompletionPort, &Port);

    if (NT_SUCCESS(Status)) {
        Status = PspSetJobPort(Job, Port, Wish->CompletionKey);
        ObDereferenceObject(Port);
    }
    return Status;
}

typedef union _PSP_JOB_WISH {
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION Limits; /* begins with the basic ones */
    JOBOBJECT_ASSOCIATE_COMPLETION_PORT Port;
    ULONG UiRestrictions;
} PSP_JOB_WISH;

static ULONG WishBytes(ULONG Class)
{
    switch (Class) {
    case JobObjectBasicLimitInformation:
        return sizeof(JOBOBJECT_BASIC_LIMIT_INFORMATION);
    case JobObjectExtendedLimitInformation:
        return sizeof(JOBOBJECT_EXTENDED_LIMIT_INFORMATION);
    case JobObjectAssociateCompletionPortInformation:
        return sizeof(JOBOBJECT_ASSOCIATE_COMPLETION_PORT);
    case JobObjectBasicUIRestrictions:
        return sizeof(ULONG);
    default:
        return 0;
    }
}

static NTSTATUS SetJob(PPSP_JOB Job, ULONG Class, const PSP_JOB_WISH *Wish)
{
    switch (Class) {
    case JobObjectAssociateCompletionPortInformation:
        return SetPort(Job, &Wish->Port);
    case JobObjectBasicUIRestrictions:
        return Wish->UiRestrictions == 0 ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER; /* there are no windows */
    default:
        StoreLimits(Job, &Wish->Limits);
        return STATUS_SUCCESS;
    }
}

/**
 * NtSetInformationJobObject - sets a job's limits, all anew, or its port.
 *
 * @Class   JobObjectBasicLimitInformation or JobObjectExtendedLimitInformation; flags: JOB_OBJECT_LIMIT_ACTIVE_PROCESS, _AFFINITY, _PRIORITY_CLASS, and of
 *          the latter _PROCESS_MEMORY, _JOB_MEMORY (bytes), _BREAKAWAY_OK, _SILENT_BREAKAWAY_OK, _DIE_ON_UNHANDLED_EXCEPTION (which
 *          everybody does), _KILL_ON_JOB_CLOSE. JobObjectAssociateCompletionPortInformation, once. JobObjectBasicUIRestrictions: none
 * returns  STATUS_SUCCESS; STATUS_INVALID_INFO_CLASS; STATUS_INFO_LENGTH_MISMATCH; STATUS_INVALID_PARAMETER (other flags, a second port);
 *          STATUS_PRIVILEGE_NOT_HELD (real-time class); what handle (JOB_OBJECT_SET_ATTRIBUTES) and pointer say
 */
NTSTATUS NTAPI NtSetInformationJobObject(HANDLE JobHandle, ULONG Class, PVOID Information, ULONG Length)
{
    PSP_JOB_WISH Wish;
    PPSP_JOB Job;
    NTSTATUS Status;

    if (WishBytes(Class) == 0) {
        return STATUS_INVALID_INFO_CLASS;
    }
    if (Length != WishBytes(Class)) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    RtlZeroMemory(&Wish, sizeof(Wish));
    Status = ExCopyFromCaller(&Wish, Information, Length);
    if (NT_SUCCESS(Status) && (Class == JobObjectBasicLimitInformation || Class == JobObjectExtendedLimitInformation)) {
        Status = CheckLimits(&Wish.Limits.BasicLimitInformation, Class == JobObjectExtendedLimitInformation);
    }
    if (NT_SUCCESS(Status)) {
        Status = PspReferenceJob(JobHandle, JOB_OBJECT_SET_ATTRIBUTES, &Job);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = SetJob(Job, Class, &Wish);
    ObDereferenceObject(Job);
    return Status;
}

/* ---- Queries ---- */

typedef union _PSP_JOB_ANSWER {
    JOBOBJECT_BASIC_ACCOUNTING_INFORMATION Accounting; /* the beginning of the wider class */
    JOBOBJECT_BASIC_AND_IO_ACCOUNTING_INFORMATION AccountingAndIo;
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION Limits; /* begins with the basic ones */
    ULONG UiRestrictions;
} PSP_JOB_ANSWER;

/* What is of those that run is added as they are visited. */
static VOID FillAccounting(PPSP_JOB Job, JOBOBJECT_BASIC_AND_IO_ACCOUNTING_INFORMATION *Answer)
{
    JOBOBJECT_BASIC_ACCOUNTING_INFORMATION *Accounting = &Answer->BasicInfo;
    ULONG64 Kernel, User, Faults;
    PEPROCESS Process = NULL;
    KIRQL Irql;

    KeAcquireSpinLock(&Job->Lock, &Irql);
    Accounting->TotalProcesses = Job->Total;
    Accounting->ActiveProcesses = Job->Active;
    Accounting->TotalTerminatedProcesses = Job->Refused;
    Kernel = Job->KernelTicks;
    User = Job->UserTicks;
    Faults = Job->PageFaults;
    Answer->IoInfo = Job->Io;
    KeReleaseSpinLock(&Job->Lock, Irql);
    while ((Process = PspNextOfJob(Job, Process, FALSE)) != NULL) {
        PspAddTicks(Process, &Kernel, &User);
        Faults += Process->PageFaults;
        IoAddCounters(&Answer->IoInfo, &Process->Io);
    }
    Accounting->TotalPageFaultCount = (ULONG)Faults;
    Accounting->TotalKernelTime.QuadPart = Accounting->ThisPeriodTotalKernelTime.QuadPart =
        (LONG64)(Kernel * KeTimeIncrement);
    Accounting->TotalUserTime.QuadPart = Accounting->ThisPeriodTotalUserTime.QuadPart =
        (LONG64)(User * KeTimeIncrement);
}

static VOID FillLimits(PPSP_JOB Job, JOBOBJECT_EXTENDED_LIMIT_INFORMATION *Limits)
{
    KIRQL Irql;

    KeAcquireSpinLock(&Job->Lock, &Irql);
    Limits->BasicLimitInformation.LimitFlags = Job->LimitFlags;
    Limits->BasicLimitInformation.ActiveProcessLimit = Job->ActiveLimit;
    Limits->BasicLimitInformation.Affinity = Job->Affinity;
    Limits->BasicLimitInformation.PriorityClass = Job->PriorityClass;
    Limits->ProcessMemoryLimit = Job->ProcessPages << PAGE_SHIFT;
    Limits->JobMemoryLimit = Job->JobPages << PAGE_SHIFT;
    Limits->PeakProcessMemoryUsed = Job->PeakProcessPages << PAGE_SHIFT;
    Limits->PeakJobMemoryUsed = Job->PeakJobPages << PAGE_SHIFT;
    KeReleaseSpinLock(&Job->Lock, Irql);
}

/* Bytes of a class's answer; 0: there is no such class. */
static ULONG AnswerBytes(ULONG Class)
{
    switch (Class) {
    case JobObjectBasicAccountingInformation:
        return sizeof(JOBOBJECT_BASIC_ACCOUNTING_INFORMATION);
    case JobObjectBasicAndIoAccountingInformation:
        return sizeof(JOBOBJECT_BASIC_AND_IO_ACCOUNTING_INFORMATION);
    case JobObjectBasicUIRestrictions:
        return sizeof(ULONG);
    case JobObjectBasicLimitInformation:
        return sizeof(JOBOBJECT_BASIC_LIMIT_INFORMATION);
    case JobObjectExtendedLimitInformation:
        return sizeof(JOBOBJECT_EXTENDED_LIMIT_INFORMATION);
    default:
        return 0;
    }
}

static NTSTATUS AnswerFixed(PPSP_JOB Job, ULONG Class, PVOID Information, PULONG Bytes)
{
    PSP_JOB_ANSWER Answer;

    RtlZeroMemory(&Answer, sizeof(Answer));
    if (Class == JobObjectBasicAccountingInformation || Class == JobObjectBasicAndIoAccountingInformation) {
        FillAccounting(Job, &Answer.AccountingAndIo);
    } else if (Class != JobObjectBasicUIRestrictions) {
        FillLimits(Job, &Answer.Limits);
    }
    *Bytes = AnswerBytes(Class);
    return ExCopyToCaller(Information, &Answer, *Bytes);
}

/* The identifiers that there is room for, and how many there are. STATUS_BUFFER_OVERFLOW: not all. */
static NTSTATUS AnswerIds(PPSP_JOB Job, PVOID Information, ULONG Length, PULONG Bytes)
{
    const ULONG First = FIELD_OFFSET(JOBOBJECT_BASIC_PROCESS_ID_LIST, ProcessIdList);
    ULONG Room = (Length - First) / sizeof(ULONG_PTR);
    JOBOBJECT_BASIC_PROCESS_ID_LIST *List;
    NTSTATUS Status;
    KIRQL Irql;

    Room = min(Room, Job->Active + 16); /* more than a few do not join meanwhile */
    List = ExAllocatePoolWithTag(NonPagedPool, First + (Room + 1) * sizeof(ULONG_PTR), PSP_TAG_PROGRAM);
    if (List == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    List->NumberOfProcessIdsInList = 0;
    KeAcquireSpinLock(&Job->Lock, &Irql);
    List->NumberOfAssignedProcesses = Job->Active;
    for (PLIST_ENTRY Link = Job->Processes.Flink; Link != &Job->Processes && List->NumberOfProcessIdsInList < Room;
         Link = Link->Flink) {
        List->ProcessIdList[List->NumberOfProcessIdsInList++] =
            (ULONG_PTR)CONTAINING_RECORD(Link, EPROCESS, JobLinks)->UniqueProcessId;
    }
    KeReleaseSpinLock(&Job->Lock, Irql);
    *Bytes = First + List->NumberOfProcessIdsInList * (ULONG)sizeof(ULONG_PTR);
    Status = ExCopyToCaller(Information, List, *Bytes);
    if (NT_SUCCESS(Status) && List->NumberOfProcessIdsInList < List->NumberOfAssignedProcesses) {
        Status = STATUS_BUFFER_OVERFLOW;
    }
    ExFreePoolWithTag(List, PSP_TAG_PROGRAM);
    return Status;
}

static NTSTATUS CheckAnswerLength(ULONG Class, ULONG Length)
{
    if (Class == JobObjectBasicProcessIdList) {
        return Length >= sizeof(JOBOBJECT_BASIC_PROCESS_ID_LIST) ? STATUS_SUCCESS : STATUS_INFO_LENGTH_MISMATCH;
    }
    if (AnswerBytes(Class) == 0) {
        return STATUS_INVALID_INFO_CLASS;
    }
    return Length == AnswerBytes(Class) ? STATUS_SUCCESS : STATUS_INFO_LENGTH_MISMATCH;
}

/**
 * NtQueryInformationJobObject - a job's limits, what its processes have used, and which they are.
 *
 * @JobHandle  with JOB_OBJECT_QUERY; NULL: the job of the calling process
 * @Class      JobObjectBasicAccountingInformation, JobObjectBasicAndIoAccountingInformation, JobObjectBasicLimitInformation,
 *             JobObjectExtendedLimitInformation, JobObjectBasicUIRestrictions, JobObjectBasicProcessIdList (any length from one identifier on)
 * returns     STATUS_SUCCESS; STATUS_BUFFER_OVERFLOW (more identifiers than room); STATUS_INVALID_INFO_CLASS; STATUS_INFO_LENGTH_MISMATCH;
 *             STATUS_ACCESS_DENIED (NULL, and no job); what handle and pointers say
 */
NTSTATUS NTAPI NtQueryInformationJobObject(HANDLE JobHandle, ULONG Class, PVOID Information, ULONG Length,
                                           PULONG ReturnLength)
{
    ULONG Bytes = 0;
    PPSP_JOB Job;
    NTSTATUS Status = CheckAnswerLength(Class, Length);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (JobHandle != NULL) {
        Status = PspReferenceJob(JobHandle, JOB_OBJECT_QUERY, &Job);
    } else if ((Job = PsGetCurrentThreadProcess()->Job) == NULL) {
        Status = STATUS_ACCESS_DENIED;
    } else {
        ObReferenceObject(Job);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = Class == JobObjectBasicProcessIdList ? AnswerIds(Job, Information, Length, &Bytes)
                                                  : AnswerFixed(Job, Class, Information, &Bytes);
    ObDereferenceObject(Job);
    if (NT_ERROR(Status)) {
        return Status;
    }
    NTSTATUS Told = ExReturnValue(STATUS_SUCCESS, ReturnLength, &Bytes, sizeof(Bytes));
    return NT_SUCCESS(Told) ? Status : Told;
}
