/*
 * job.c - jobs: sets of processes with limits in common.
 *
 * A process is in one job at most, for good, and what it starts is in it too. The job knows its processes until they have ended: the list holds
 * no references, a process takes itself out before it goes (PspLeaveJob) and keeps its job referenced until then. Limits: how many
 * processes there are at a time, how much each and all of them together commit. A process over the first is refused or not begun; a
 * commitment over the others is STATUS_COMMITMENT_LIMIT, asked by Mm before it charges (PspMayCommit).
 *
 * Locks: the job's Lock (spin, DISPATCH_LEVEL) guards list, counts and limits; no other lock is taken inside. To join, the process's
 * ExitLock is held around it.
 *
 * Source: Microsoft Learn, "Job Objects", AssignProcessToJobObject, JOBOBJECT_BASIC_LIMIT_INFORMATION and its kin.
 */
#include "psp.h"

#include <ntos/services.h>
#include <ntos/user.h>

/* (l) Lock */
typedef struct _PSP_JOB {
    KEVENT Event; /* first: what a wait for the job waits for; signalled by the end of job time, which there is not */
    KSPIN_LOCK Lock;
    LIST_ENTRY Processes;           /* (l) EPROCESS.JobLinks */
    ULONG Active, Total, Refused;   /* (l) */
    ULONG LimitFlags;               /* (l) JOB_OBJECT_LIMIT_* */
    ULONG ActiveLimit;              /* (l) */
    ULONG64 ProcessPages, JobPages; /* (l) limits of commitment */
} PSP_JOB, *PPSP_JOB;

#define JOB_LIMITS                                                                                                     \
    (JOB_OBJECT_LIMIT_ACTIVE_PROCESS | JOB_OBJECT_LIMIT_PROCESS_MEMORY | JOB_OBJECT_LIMIT_JOB_MEMORY |                 \
     JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE)

static POBJECT_TYPE PspJobType;

/* ---- Processes of a job ---- */

NTSTATUS PspJoinJob(struct _PSP_JOB *Job, PEPROCESS Process)
{
    NTSTATUS Status = STATUS_SUCCESS;
    KIRQL Irql;

    ObReferenceObject(Job);
    ExAcquireFastMutex(&Process->ExitLock); /* a process that ends leaves after it has begun to */
    KeAcquireSpinLock(&Job->Lock, &Irql);
    if (Process->Job != NULL || Process->Exiting) {
        Status = Process->Exiting ? STATUS_PROCESS_IS_TERMINATING : STATUS_ACCESS_DENIED;
    } else if ((Job->LimitFlags & JOB_OBJECT_LIMIT_ACTIVE_PROCESS) != 0 && Job->Active >= Job->ActiveLimit) {
        Job->Refused++;
        Status = STATUS_QUOTA_EXCEEDED;
    } else if (InterlockedCompareExchangePointer((PVOID volatile *)&Process->Job, Job, NULL) != NULL) {
        Status = STATUS_ACCESS_DENIED; /* somebody put it into another job */
    } else {
        InsertTailList(&Job->Processes, &Process->JobLinks);
        Job->Active++;
        Job->Total++;
    }
    KeReleaseSpinLock(&Job->Lock, Irql);
    ExReleaseFastMutex(&Process->ExitLock);
    if (!NT_SUCCESS(Status)) {
        ObDereferenceObject(Job);
    }
    return Status;
}

VOID PspLeaveJob(PEPROCESS Process)
{
    PPSP_JOB Job = Process->Job;
    BOOLEAN Left;
    KIRQL Irql;

    if (Job == NULL || Process->LeftJob) {
        return;
    }
    KeAcquireSpinLock(&Job->Lock, &Irql);
    Left = !Process->LeftJob;
    if (Left) {
        Process->LeftJob = TRUE;
        RemoveEntryList(&Process->JobLinks);
        Job->Active--;
    }
    KeReleaseSpinLock(&Job->Lock, Irql);
}

VOID PspForgetJob(PEPROCESS Process)
{
    if (Process->Job != NULL) {
        PspLeaveJob(Process);
        ObDereferenceObject(Process->Job);
    }
}

BOOLEAN PspMayCommit(PEPROCESS Process, ULONG64 Committed, ULONG64 Pages)
{
    PPSP_JOB Job = Process->Job;
    ULONG64 All = 0;
    BOOLEAN May = TRUE;
    KIRQL Irql;

    if (Job == NULL) {
        return TRUE;
    }
    KeAcquireSpinLock(&Job->Lock, &Irql);
    if ((Job->LimitFlags & JOB_OBJECT_LIMIT_PROCESS_MEMORY) != 0) {
        May = Committed <= Job->ProcessPages && Pages <= Job->ProcessPages - Committed;
    }
    if (May && (Job->LimitFlags & JOB_OBJECT_LIMIT_JOB_MEMORY) != 0) {
        for (PLIST_ENTRY Link = Job->Processes.Flink; Link != &Job->Processes; Link = Link->Flink) {
            All += MmQueryProcessCommit(CONTAINING_RECORD(Link, EPROCESS, JobLinks));
        }
        May = All <= Job->JobPages && Pages <= Job->JobPages - All;
    }
    KeReleaseSpinLock(&Job->Lock, Irql);
    return May;
}

/* A process of the job that has not been asked to end yet, referenced; NULL: none. */
static PEPROCESS NextRunning(PPSP_JOB Job)
{
    PEPROCESS Found = NULL;
    KIRQL Irql;

    KeAcquireSpinLock(&Job->Lock, &Irql);
    for (PLIST_ENTRY Link = Job->Processes.Flink; Found == NULL && Link != &Job->Processes; Link = Link->Flink) {
        PEPROCESS Process = CONTAINING_RECORD(Link, EPROCESS, JobLinks);

        if (!Process->Exiting && ObReferenceObjectSafe(Process)) {
            Found = Process;
        }
    }
    KeReleaseSpinLock(&Job->Lock, Irql);
    return Found;
}

static VOID TerminateAll(PPSP_JOB Job, NTSTATUS ExitStatus)
{
    PEPROCESS Process;

    while ((Process = NextRunning(Job)) != NULL) {
        PspTerminateProcess(Process, ExitStatus);
        ObDereferenceObject(Process);
    }
}

/* ---- The type ---- */

static VOID CloseJob(PEPROCESS Process, PVOID Object, ACCESS_MASK GrantedAccess, ULONG HandleCount)
{
    PPSP_JOB Job = Object;

    if (HandleCount == 1 && (Job->LimitFlags & JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE) != 0) {
        TerminateAll(Job, STATUS_SUCCESS);
    }
}

NTSTATUS PspInitializeJobs(VOID)
{
    static const OBJECT_TYPE_INITIALIZER Info = {
        .Name = L"Job",
        .GenericMapping = {STANDARD_RIGHTS_READ | JOB_OBJECT_QUERY,
                           STANDARD_RIGHTS_WRITE | JOB_OBJECT_ASSIGN_PROCESS | JOB_OBJECT_SET_ATTRIBUTES |
                               JOB_OBJECT_TERMINATE,
                           STANDARD_RIGHTS_EXECUTE | SYNCHRONIZE, JOB_OBJECT_ALL_ACCESS},
        .ValidAccess = JOB_OBJECT_ALL_ACCESS,
        .PoolTag = 'boJP',
        .WaitOffset = 0,
        .CloseProcedure = CloseJob,
    };

    return ObCreateObjectType(&Info, &PspJobType);
}

/* ---- Services ---- */

static NTSTATUS ReferenceJob(HANDLE Handle, ACCESS_MASK Access, PPSP_JOB *Job)
{
    return ObReferenceObjectByHandle(Handle, Access, PspJobType, ExGetPreviousMode(), (PVOID *)Job, NULL);
}

/* Makes a job without limits. IRQL: PASSIVE_LEVEL, as for all that follow. */
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
    NTSTATUS Status = ReferenceJob(JobHandle, JOB_OBJECT_ASSIGN_PROCESS, &Job);

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
    NTSTATUS Status = ReferenceJob(JobHandle, JOB_OBJECT_TERMINATE, &Job);

    if (NT_SUCCESS(Status)) {
        TerminateAll(Job, ExitStatus);
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
        Status = ReferenceJob(JobHandle, JOB_OBJECT_QUERY, &Job);
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

/**
 * NtSetInformationJobObject - sets a job's limits, all anew.
 *
 * @Class   JobObjectBasicLimitInformation or JobObjectExtendedLimitInformation; flags: JOB_OBJECT_LIMIT_ACTIVE_PROCESS, and of the
 *          latter _PROCESS_MEMORY, _JOB_MEMORY (bytes), _KILL_ON_JOB_CLOSE
 * returns  STATUS_SUCCESS; STATUS_INVALID_INFO_CLASS; STATUS_INFO_LENGTH_MISMATCH; STATUS_INVALID_PARAMETER (other flags);
 *          what handle (JOB_OBJECT_SET_ATTRIBUTES) and pointer say
 */
NTSTATUS NTAPI NtSetInformationJobObject(HANDLE JobHandle, ULONG Class, PVOID Information, ULONG Length)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION Limits = {.ProcessMemoryLimit = 0};
    BOOLEAN Extended = Class == JobObjectExtendedLimitInformation;
    ULONG Allowed = Extended ? JOB_LIMITS : JOB_OBJECT_LIMIT_ACTIVE_PROCESS;
    PPSP_JOB Job;
    KIRQL Irql;
    NTSTATUS Status;

    if (!Extended && Class != JobObjectBasicLimitInformation) {
        return STATUS_INVALID_INFO_CLASS;
    }
    if (Length != (Extended ? sizeof(Limits) : sizeof(Limits.BasicLimitInformation))) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    Status = ExCopyFromCaller(&Limits, Information, Length);
    if (NT_SUCCESS(Status) && (Limits.BasicLimitInformation.LimitFlags & ~Allowed) != 0) {
        Status = STATUS_INVALID_PARAMETER;
    }
    if (NT_SUCCESS(Status)) {
        Status = ReferenceJob(JobHandle, JOB_OBJECT_SET_ATTRIBUTES, &Job);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    KeAcquireSpinLock(&Job->Lock, &Irql);
    Job->LimitFlags = Limits.BasicLimitInformation.LimitFlags;
    Job->ActiveLimit = Limits.BasicLimitInformation.ActiveProcessLimit;
    Job->ProcessPages = Limits.ProcessMemoryLimit >> PAGE_SHIFT;
    Job->JobPages = Limits.JobMemoryLimit >> PAGE_SHIFT;
    KeReleaseSpinLock(&Job->Lock, Irql);
    ObDereferenceObject(Job);
    return STATUS_SUCCESS;
}

/* ---- Queries ---- */

typedef union _PSP_JOB_ANSWER {
    JOBOBJECT_BASIC_ACCOUNTING_INFORMATION Accounting;
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION Limits; /* begins with the basic ones */
} PSP_JOB_ANSWER;

static VOID FillJobAnswer(PPSP_JOB Job, ULONG Class, PSP_JOB_ANSWER *Answer)
{
    KIRQL Irql;

    RtlZeroMemory(Answer, sizeof(*Answer));
    KeAcquireSpinLock(&Job->Lock, &Irql);
    if (Class == JobObjectBasicAccountingInformation) {
        Answer->Accounting.TotalProcesses = Job->Total;
        Answer->Accounting.ActiveProcesses = Job->Active;
        Answer->Accounting.TotalTerminatedProcesses = Job->Refused;
    } else {
        Answer->Limits.BasicLimitInformation.LimitFlags = Job->LimitFlags;
        Answer->Limits.BasicLimitInformation.ActiveProcessLimit = Job->ActiveLimit;
        Answer->Limits.ProcessMemoryLimit = Job->ProcessPages << PAGE_SHIFT;
        Answer->Limits.JobMemoryLimit = Job->JobPages << PAGE_SHIFT;
    }
    KeReleaseSpinLock(&Job->Lock, Irql);
}

/* Bytes of a class's answer; 0: there is no such class. */
static ULONG JobAnswerBytes(ULONG Class)
{
    return Class == JobObjectBasicAccountingInformation ? sizeof(JOBOBJECT_BASIC_ACCOUNTING_INFORMATION)
           : Class == JobObjectBasicLimitInformation    ? sizeof(JOBOBJECT_BASIC_LIMIT_INFORMATION)
           : Class == JobObjectExtendedLimitInformation ? sizeof(JOBOBJECT_EXTENDED_LIMIT_INFORMATION)
                                                        : 0;
}

/**
 * NtQueryInformationJobObject - a job's limits, or how many processes it has and had.
 *
 * @JobHandle  with JOB_OBJECT_QUERY; NULL: the job of the calling process
 * @Class      JobObjectBasicAccountingInformation (times are not kept), JobObjectBasicLimitInformation, JobObjectExtendedLimitInformation
 * returns     STATUS_SUCCESS; STATUS_INVALID_INFO_CLASS; STATUS_INFO_LENGTH_MISMATCH; STATUS_ACCESS_DENIED (NULL, and no job);
 *             what handle and pointers say
 */
NTSTATUS NTAPI NtQueryInformationJobObject(HANDLE JobHandle, ULONG Class, PVOID Information, ULONG Length,
                                           PULONG ReturnLength)
{
    ULONG Bytes = JobAnswerBytes(Class);
    PSP_JOB_ANSWER Answer;
    PPSP_JOB Job;
    NTSTATUS Status = STATUS_SUCCESS;

    if (Bytes == 0) {
        return STATUS_INVALID_INFO_CLASS;
    }
    if (Length != Bytes) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    if (JobHandle != NULL) {
        Status = ReferenceJob(JobHandle, JOB_OBJECT_QUERY, &Job);
    } else if ((Job = PsGetCurrentThreadProcess()->Job) == NULL) {
        Status = STATUS_ACCESS_DENIED;
    } else {
        ObReferenceObject(Job);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    FillJobAnswer(Job, Class, &Answer);
    ObDereferenceObject(Job);
    Status = ExCopyToCaller(Information, &Answer, Bytes);
    return ExReturnValue(Status, ReturnLength, &Bytes, sizeof(Bytes));
}
