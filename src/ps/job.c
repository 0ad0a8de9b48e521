/*
 * job.c - jobs: sets of processes with limits in common.
 *
 * A process is in one job at most, for good, and what it starts is in it too, unless the job lets it break away. The job knows its processes until they
 * have ended: the list holds no references, a process takes itself out before it goes (PspLeaveJob) and keeps its job referenced until
 * then. Limits: how many processes there are at a time, how much each and all of them together commit, which processors and priority they have. A process over
 * the first is refused or not begun; a commitment over the second is STATUS_COMMITMENT_LIMIT: Mm asks before it charges, and the job's lock is
 * held until it has (PspBeginCommit), so that two that commit at once count each other. A port hears of what happens to the job.
 *
 * Locks: the job's Lock (spin, DISPATCH_LEVEL) guards list, counts, limits and port; the PFN lock is taken inside, by Mm's charge. To join, the process's
 * ExitLock is held around it. Messages are posted after it is released.
 *
 * The services are in jobsvc.c.
 *
 * Source: Microsoft Learn, "Job Objects", AssignProcessToJobObject, JOBOBJECT_BASIC_LIMIT_INFORMATION, JOBOBJECT_ASSOCIATE_COMPLETION_PORT.
 */
#include "job.h"

#include <ntos/io.h>
#include <ntos/services.h>

POBJECT_TYPE PspJobType;

/* ---- Messages ---- */

/* Posts a message to the job's port, if it has one. IRQL: <= DISPATCH_LEVEL; no lock of the job's. A message that finds no pool is lost, as documented. */
static VOID Post(PPSP_JOB Job, ULONG Message, HANDLE ProcessId)
{
    PVOID Port, Key;
    KIRQL Irql;

    KeAcquireSpinLock(&Job->Lock, &Irql);
    Port = Job->Port;
    Key = Job->PortKey;
    if (Port != NULL) {
        ObReferenceObject(Port);
    }
    KeReleaseSpinLock(&Job->Lock, Irql);
    if (Port != NULL) {
        IoSetIoCompletion(Port, Key, ProcessId, STATUS_SUCCESS, Message, TRUE);
        ObDereferenceObject(Port);
    }
}

/* ---- Processes of a job ---- */

/* What the job's limits say of the process itself. */
static VOID ApplyLimits(PPSP_JOB Job, PEPROCESS Process)
{
    ULONG Flags = Job->LimitFlags;

    if ((Flags & JOB_OBJECT_LIMIT_AFFINITY) != 0) {
        PspSetProcessAffinity(Process, Job->Affinity);
    }
    if ((Flags & JOB_OBJECT_LIMIT_PRIORITY_CLASS) != 0) {
        PspSetPriorityClass(Process, (UCHAR)Job->PriorityClass);
    }
}

/* Locked. STATUS_ACCESS_DENIED: it has a job already; STATUS_QUOTA_EXCEEDED. */
static NTSTATUS Enter(PPSP_JOB Job, PEPROCESS Process)
{
    if (Process->Job != NULL || Process->Exiting) {
        return Process->Exiting ? STATUS_PROCESS_IS_TERMINATING : STATUS_ACCESS_DENIED;
    }
    if ((Job->LimitFlags & JOB_OBJECT_LIMIT_ACTIVE_PROCESS) != 0 && Job->Active >= Job->ActiveLimit) {
        Job->Refused++;
        return STATUS_QUOTA_EXCEEDED;
    }
    if (InterlockedCompareExchangePointer((PVOID volatile *)&Process->Job, Job, NULL) != NULL) {
        return STATUS_ACCESS_DENIED; /* somebody put it into another job */
    }
    InsertTailList(&Job->Processes, &Process->JobLinks);
    Job->Active++;
    Job->Total++;
    return STATUS_SUCCESS;
}

NTSTATUS PspJoinJob(PPSP_JOB Job, PEPROCESS Process)
{
    NTSTATUS Status;
    KIRQL Irql;

    ObReferenceObject(Job);
    ExAcquireFastMutex(&Process->ExitLock); /* a process that ends leaves after it has begun to */
    KeAcquireSpinLock(&Job->Lock, &Irql);
    Status = Enter(Job, Process);
    KeReleaseSpinLock(&Job->Lock, Irql);
    ExReleaseFastMutex(&Process->ExitLock);
    if (NT_SUCCESS(Status)) {
        ApplyLimits(Job, Process);
        Post(Job, JOB_OBJECT_MSG_NEW_PROCESS, Process->UniqueProcessId);
        return STATUS_SUCCESS;
    }
    if (Status == STATUS_QUOTA_EXCEEDED) {
        Post(Job, JOB_OBJECT_MSG_ACTIVE_PROCESS_LIMIT, NULL);
    }
    ObDereferenceObject(Job);
    return Status;
}

/* An exit status that documentation calls abnormal: that of an exception which nobody handled. */
static BOOLEAN IsAbnormal(NTSTATUS ExitStatus)
{
    return NT_ERROR(ExitStatus);
}

VOID PspLeaveJob(PEPROCESS Process)
{
    PPSP_JOB Job = Process->Job;
    BOOLEAN Left, Last;
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
        Job->KernelTicks += Process->Pcb.KernelTime;
        Job->UserTicks += Process->Pcb.UserTime;
        Job->PageFaults += Process->PageFaults;
        IoAddCounters(&Job->Io, &Process->Io);
    }
    Last = Left && Job->Active == 0;
    KeReleaseSpinLock(&Job->Lock, Irql);
    if (Left) {
        Post(Job, IsAbnormal(Process->ExitStatus) ? JOB_OBJECT_MSG_ABNORMAL_EXIT_PROCESS : JOB_OBJECT_MSG_EXIT_PROCESS,
             Process->UniqueProcessId);
    }
    if (Last) {
        Post(Job, JOB_OBJECT_MSG_ACTIVE_PROCESS_ZERO, NULL);
    }
}

VOID PspForgetJob(PEPROCESS Process)
{
    if (Process->Job != NULL) {
        PspLeaveJob(Process);
        ObDereferenceObject(Process->Job);
    }
}

/* Whether a process that a member makes stays outside. Wanted: it asked for that. STATUS_ACCESS_DENIED: it may not. */
NTSTATUS PspMayBreakAway(PPSP_JOB Job, BOOLEAN Wanted, PBOOLEAN Outside)
{
    *Outside = (Job->LimitFlags & JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK) != 0 ||
               (Wanted && (Job->LimitFlags & JOB_OBJECT_LIMIT_BREAKAWAY_OK) != 0);
    return Wanted && !*Outside ? STATUS_ACCESS_DENIED : STATUS_SUCCESS;
}

/* ---- Commitment ---- */

static ULONG64 AllCommitted(PPSP_JOB Job)
{
    ULONG64 All = 0;

    for (PLIST_ENTRY Link = Job->Processes.Flink; Link != &Job->Processes; Link = Link->Flink) {
        All += MmQueryProcessCommit(CONTAINING_RECORD(Link, EPROCESS, JobLinks));
    }
    return All;
}

/* Locked. 0: Pages more are within the limits; else the message that says which they pass. */
static ULONG CheckCommit(PPSP_JOB Job, ULONG64 Committed, ULONG64 Pages)
{
    ULONG64 All;

    if ((Job->LimitFlags & JOB_OBJECT_LIMIT_PROCESS_MEMORY) != 0 &&
        (Committed > Job->ProcessPages || Pages > Job->ProcessPages - Committed)) {
        return JOB_OBJECT_MSG_PROCESS_MEMORY_LIMIT;
    }
    if ((Job->LimitFlags & JOB_OBJECT_LIMIT_JOB_MEMORY) != 0) {
        All = AllCommitted(Job);
        if (All > Job->JobPages || Pages > Job->JobPages - All) {
            return JOB_OBJECT_MSG_JOB_MEMORY_LIMIT;
        }
        Job->PeakJobPages = max(Job->PeakJobPages, All + Pages);
    }
    Job->PeakProcessPages = max(Job->PeakProcessPages, Committed + Pages);
    return 0;
}

BOOLEAN PspBeginCommit(PEPROCESS Process, ULONG64 Committed, ULONG64 Pages, PPSP_COMMIT Hold)
{
    ULONG64 Limit = Process->PagefileLimit;
    PPSP_JOB Job = Process->Job;
    ULONG Message;

    Hold->Job = NULL;
    if (Limit != 0 && (Committed > Limit || Pages > Limit - Committed)) {
        return FALSE;
    }
    if (Job == NULL) {
        return TRUE;
    }
    KeAcquireSpinLock(&Job->Lock, &Hold->Irql);
    Message = CheckCommit(Job, Committed, Pages);
    if (Message == 0) {
        Hold->Job = Job;
        return TRUE;
    }
    KeReleaseSpinLock(&Job->Lock, Hold->Irql);
    Post(Job, Message, Process->UniqueProcessId);
    return FALSE;
}

VOID PspEndCommit(PPSP_COMMIT Hold)
{
    if (Hold->Job != NULL) {
        KeReleaseSpinLock(&Hold->Job->Lock, Hold->Irql);
    }
}

/* ---- All of them ---- */

/* A process of the job that is not among those seen, referenced; NULL: none. Skips those that end if Running. */
PEPROCESS PspNextOfJob(PPSP_JOB Job, PEPROCESS After, BOOLEAN Running)
{
    PEPROCESS Found = NULL;
    PLIST_ENTRY Link;
    KIRQL Irql;

    KeAcquireSpinLock(&Job->Lock, &Irql);
    /* Who has left meanwhile is not in the list: the walk begins anew, and whoever is visited twice is none the worse. */
    Link = After != NULL && !After->LeftJob ? After->JobLinks.Flink : Job->Processes.Flink;
    for (; Found == NULL && Link != &Job->Processes; Link = Link->Flink) {
        PEPROCESS Process = CONTAINING_RECORD(Link, EPROCESS, JobLinks);

        if (!(Running && Process->Exiting) && ObReferenceObjectSafe(Process)) {
            Found = Process;
        }
    }
    KeReleaseSpinLock(&Job->Lock, Irql);
    if (After != NULL) {
        ObDereferenceObject(After);
    }
    return Found;
}

VOID PspTerminateJob(PPSP_JOB Job, NTSTATUS ExitStatus)
{
    PEPROCESS Process;

    while ((Process = PspNextOfJob(Job, NULL, TRUE)) != NULL) {
        PspTerminateProcess(Process, ExitStatus);
        ObDereferenceObject(Process);
    }
}

/* Limits that concern processes themselves are applied to those that are there. */
VOID PspApplyJobLimits(PPSP_JOB Job)
{
    PEPROCESS Process = NULL;

    if ((Job->LimitFlags & (JOB_OBJECT_LIMIT_AFFINITY | JOB_OBJECT_LIMIT_PRIORITY_CLASS)) == 0) {
        return;
    }
    while ((Process = PspNextOfJob(Job, Process, TRUE)) != NULL) {
        ApplyLimits(Job, Process);
    }
}

/* Gives the job a port, once; the processes that are there are told of. STATUS_INVALID_PARAMETER: it has one. */
NTSTATUS PspSetJobPort(PPSP_JOB Job, PVOID Port, PVOID Key)
{
    PEPROCESS Process = NULL;
    NTSTATUS Status = STATUS_SUCCESS;
    KIRQL Irql;

    KeAcquireSpinLock(&Job->Lock, &Irql);
    if (Job->Port != NULL) {
        Status = STATUS_INVALID_PARAMETER;
    } else {
        Job->PortKey = Key;
        Job->Port = Port;
        ObReferenceObject(Port);
    }
    KeReleaseSpinLock(&Job->Lock, Irql);
    while (NT_SUCCESS(Status) && (Process = PspNextOfJob(Job, Process, TRUE)) != NULL) {
        Post(Job, JOB_OBJECT_MSG_NEW_PROCESS, Process->UniqueProcessId);
    }
    return Status;
}

/* ---- The type ---- */

static VOID CloseJob(PEPROCESS Process, PVOID Object, ACCESS_MASK GrantedAccess, ULONG HandleCount)
{
    PPSP_JOB Job = Object;

    if (HandleCount == 1 && (Job->LimitFlags & JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE) != 0) {
        PspTerminateJob(Job, STATUS_SUCCESS);
    }
}

static VOID DeleteJob(PVOID Object)
{
    PPSP_JOB Job = Object;

    if (Job->Port != NULL) {
        ObDereferenceObject(Job->Port);
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
        .DeleteProcedure = DeleteJob,
    };

    return ObCreateObjectType(&Info, &PspJobType);
}
