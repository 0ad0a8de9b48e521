/*
 * information.c - what programs ask about processes and threads, and what they may set of them.
 *
 * Every class has one length, which the caller's must equal; a class without a row is STATUS_INVALID_INFO_CLASS. Answers are built in a
 * buffer of the kernel's and copied out. Figures of others are read as they are, without a lock.
 *
 * Locks: none of its own. IRQL: PASSIVE_LEVEL.
 *
 * Source: winternl.h; Microsoft Learn, NtQueryInformationProcess, NtQueryInformationThread, SetThreadPriority, SetThreadAffinityMask.
 */
#include "psp.h"

#include <ntos/services.h>
#include <ntos/user.h>

#define LOWEST_INCREMENT  (-15) /* THREAD_PRIORITY_IDLE */
#define HIGHEST_INCREMENT 15    /* THREAD_PRIORITY_TIME_CRITICAL */

/* Room for any answer or wish. */
typedef union _PSP_INFORMATION {
    PROCESS_BASIC_INFORMATION Basic;
    VM_COUNTERS Memory;
    KERNEL_USER_TIMES Times;
    THREAD_BASIC_INFORMATION ThreadBasic;
    ULONG Number;
    LONG Signed;
    ULONG_PTR Word;
    PVOID Pointer;
    PROCESS_ACCESS_TOKEN Token;
    QUOTA_LIMITS Quota;
    POOLED_USAGE_AND_LIMITS Pooled;
    IO_COUNTERS Io;
    PROCESS_PRIORITY_CLASS Class;
    SECTION_IMAGE_INFORMATION Image;
    UNICODE_STRING Name;
    BOOLEAN Flag;
} PSP_INFORMATION, *PPSP_INFORMATION;

typedef struct _PSP_QUERY {
    ULONG Class, Bytes;
    VOID (*Fill)(PVOID Object, PPSP_INFORMATION Information);
} PSP_QUERY;

/* ---- Answers about processes ---- */

static VOID FillProcessBasic(PVOID Object, PPSP_INFORMATION Information)
{
    PEPROCESS Process = Object;

    Information->Basic.ExitStatus = Process->ExitStatus;
    Information->Basic.PebBaseAddress = Process->Peb;
    Information->Basic.AffinityMask = Process->Pcb.Affinity;
    Information->Basic.BasePriority = Process->Pcb.BasePriority;
    Information->Basic.UniqueProcessId = (ULONG_PTR)Process->UniqueProcessId;
    Information->Basic.InheritedFromUniqueProcessId = (ULONG_PTR)Process->ParentId;
}

static VOID FillProcessTimes(PVOID Object, PPSP_INFORMATION Information)
{
    PEPROCESS Process = Object;
    ULONG64 Kernel = 0, User = 0;

    PspAddTicks(Process, &Kernel, &User);
    Information->Times.CreateTime = Process->CreateTime;
    Information->Times.ExitTime = Process->ExitTime;
    Information->Times.KernelTime.QuadPart = (LONG64)(Kernel * KeTimeIncrement);
    Information->Times.UserTime.QuadPart = (LONG64)(User * KeTimeIncrement);
}

static VOID FillHandleCount(PVOID Object, PPSP_INFORMATION Information)
{
    PHANDLE_TABLE Table = ((PEPROCESS)Object)->ObjectTable;

    Information->Number = Table == NULL ? 0 : ObGetTableHandleCount(Table);
}

VOID PsQueryProcessUse(PEPROCESS Process, PVM_COUNTERS Memory)
{
    MmQueryProcessMemory(Process, Memory);
    Memory->QuotaNonPagedPoolUsage = (SIZE_T)Process->PoolUsage[0].Usage;
    Memory->QuotaPeakNonPagedPoolUsage = (SIZE_T)Process->PoolUsage[0].Peak;
    Memory->QuotaPagedPoolUsage = (SIZE_T)Process->PoolUsage[1].Usage;
    Memory->QuotaPeakPagedPoolUsage = (SIZE_T)Process->PoolUsage[1].Peak;
}

static VOID FillMemory(PVOID Object, PPSP_INFORMATION Information)
{
    PsQueryProcessUse(Object, &Information->Memory);
}

static SIZE_T PagefileLimitOf(PEPROCESS Process)
{
    return Process->PagefileLimit == 0 ? MAXULONG_PTR : (SIZE_T)Process->PagefileLimit << PAGE_SHIFT;
}

static VOID FillIo(PVOID Object, PPSP_INFORMATION Information)
{
    Information->Io = ((PEPROCESS)Object)->Io;
}

static VOID FillQuota(PVOID Object, PPSP_INFORMATION Information)
{
    PEPROCESS Process = Object;
    PS_POOL_QUOTA NonPaged, Paged;

    PsQueryQuota(Process, NonPagedPool, &NonPaged);
    PsQueryQuota(Process, PagedPool, &Paged);
    Information->Quota.NonPagedPoolLimit = NonPaged.Limit;
    Information->Quota.PagedPoolLimit = Paged.Limit;
    Information->Quota.PagefileLimit = PagefileLimitOf(Process);
    Information->Quota.TimeLimit.QuadPart = -1; /* none */
}

/* Of the quota block, which the process may share; commitment is its own. */
static VOID FillPooled(PVOID Object, PPSP_INFORMATION Information)
{
    PEPROCESS Process = Object;
    PS_POOL_QUOTA NonPaged, Paged;
    VM_COUNTERS Memory;

    MmQueryProcessMemory(Process, &Memory);
    PsQueryQuota(Process, NonPagedPool, &NonPaged);
    PsQueryQuota(Process, PagedPool, &Paged);
    Information->Pooled = (POOLED_USAGE_AND_LIMITS){.PeakPagedPoolUsage = Paged.Peak,
                                                    .PagedPoolUsage = Paged.Usage,
                                                    .PagedPoolLimit = Paged.Limit,
                                                    .PeakNonPagedPoolUsage = NonPaged.Peak,
                                                    .NonPagedPoolUsage = NonPaged.Usage,
                                                    .NonPagedPoolLimit = NonPaged.Limit,
                                                    .PeakPagefileUsage = Memory.PeakPagefileUsage,
                                                    .PagefileUsage = Memory.PagefileUsage,
                                                    .PagefileLimit = PagefileLimitOf(Process)};
}

static VOID FillAffinity(PVOID Object, PPSP_INFORMATION Information)
{
    Information->Word = ((PEPROCESS)Object)->Pcb.Affinity;
}

static VOID FillClass(PVOID Object, PPSP_INFORMATION Information)
{
    Information->Class.PriorityClass = ((PEPROCESS)Object)->PriorityClass;
}

static VOID FillImage(PVOID Object, PPSP_INFORMATION Information)
{
    Information->Image = ((PEPROCESS)Object)->ImageInformation;
}

static VOID FillZero(PVOID Object, PPSP_INFORMATION Information)
{
}

static const PSP_QUERY ProcessQueries[] = {
    {ProcessBasicInformation, sizeof(PROCESS_BASIC_INFORMATION), FillProcessBasic},
    {ProcessVmCounters, sizeof(VM_COUNTERS), FillMemory},
    {ProcessQuotaLimits, sizeof(QUOTA_LIMITS), FillQuota},
    {ProcessPooledUsageAndLimits, sizeof(POOLED_USAGE_AND_LIMITS), FillPooled},
    {ProcessIoCounters, sizeof(IO_COUNTERS), FillIo},
    {ProcessPriorityClass, sizeof(PROCESS_PRIORITY_CLASS), FillClass},
    {ProcessPriorityBoost, sizeof(ULONG), FillZero}, /* not disabled */
    {ProcessAffinityMask, sizeof(ULONG_PTR), FillAffinity},
    {ProcessBreakOnTermination, sizeof(ULONG), FillZero},
    {ProcessImageInformation, sizeof(SECTION_IMAGE_INFORMATION), FillImage},
    {ProcessTimes, sizeof(KERNEL_USER_TIMES), FillProcessTimes},
    {ProcessHandleCount, sizeof(ULONG), FillHandleCount},
    {ProcessSessionInformation, sizeof(ULONG), FillZero}, /* there is one session */
    {ProcessWow64Information, sizeof(ULONG_PTR), FillZero},
    {ProcessDebugPort, sizeof(ULONG_PTR), FillZero}, /* nobody debugs */
};

/* ---- Answers about threads ---- */

static VOID FillThreadBasic(PVOID Object, PPSP_INFORMATION Information)
{
    PETHREAD Thread = Object;

    Information->ThreadBasic.ExitStatus = Thread->Tcb.Header.SignalState != 0 ? Thread->ExitStatus : STATUS_PENDING;
    Information->ThreadBasic.TebBaseAddress = Thread->Tcb.Teb;
    Information->ThreadBasic.ClientId = Thread->Cid;
    Information->ThreadBasic.AffinityMask = Thread->Tcb.UserAffinity;
    Information->ThreadBasic.Priority = Thread->Tcb.Priority;
    Information->ThreadBasic.BasePriority = Thread->Tcb.BasePriority - Thread->ThreadsProcess->Pcb.BasePriority;
}

static VOID FillThreadTimes(PVOID Object, PPSP_INFORMATION Information)
{
    PETHREAD Thread = Object;

    Information->Times.CreateTime = Thread->CreateTime;
    Information->Times.ExitTime = Thread->ExitTime;
    Information->Times.KernelTime.QuadPart = (LONG64)Thread->Tcb.KernelTime * KeTimeIncrement;
    Information->Times.UserTime.QuadPart = (LONG64)Thread->Tcb.UserTime * KeTimeIncrement;
}

static VOID FillLastThread(PVOID Object, PPSP_INFORMATION Information)
{
    Information->Number = ((PETHREAD)Object)->ThreadsProcess->UserThreads == 1;
}

static VOID FillTerminated(PVOID Object, PPSP_INFORMATION Information)
{
    Information->Number = ((PETHREAD)Object)->Tcb.Header.SignalState != 0;
}

static VOID FillSuspendCount(PVOID Object, PPSP_INFORMATION Information)
{
    Information->Number = (ULONG)((PETHREAD)Object)->Tcb.SuspendCount;
}

static VOID FillStartAddress(PVOID Object, PPSP_INFORMATION Information)
{
    Information->Pointer = ((PETHREAD)Object)->Win32StartAddress;
}

/* The list is the thread's own: another's is merely looked at. */
static VOID FillIoPending(PVOID Object, PPSP_INFORMATION Information)
{
    PETHREAD Thread = Object;

    Information->Number = *(PLIST_ENTRY volatile *)&Thread->IrpList.Flink != &Thread->IrpList;
}

static VOID FillHidden(PVOID Object, PPSP_INFORMATION Information)
{
    Information->Flag = ((PETHREAD)Object)->HideFromDebugger;
}

static const PSP_QUERY ThreadQueries[] = {
    {ThreadQuerySetWin32StartAddress, sizeof(PVOID), FillStartAddress},
    {ThreadIsIoPending, sizeof(ULONG), FillIoPending},
    {ThreadHideFromDebugger, sizeof(BOOLEAN), FillHidden},
    {ThreadBreakOnTermination, sizeof(ULONG), FillZero},
    {ThreadPriorityBoost, sizeof(ULONG), FillZero},
    {ThreadBasicInformation, sizeof(THREAD_BASIC_INFORMATION), FillThreadBasic},
    {ThreadTimes, sizeof(KERNEL_USER_TIMES), FillThreadTimes},
    {ThreadAmILastThread, sizeof(ULONG), FillLastThread},
    {ThreadIsTerminated, sizeof(ULONG), FillTerminated},
    {PSP_THREAD_SUSPEND_COUNT_CLASS, sizeof(ULONG), FillSuspendCount},
};

/* ---- The services ---- */

static const PSP_QUERY *FindQuery(const PSP_QUERY *Table, ULONG Rows, ULONG Class)
{
    for (ULONG Row = 0; Row < Rows; Row++) {
        if (Table[Row].Class == Class) {
            return &Table[Row];
        }
    }
    return NULL;
}

static NTSTATUS QueryObject(HANDLE Handle, POBJECT_TYPE Type, ACCESS_MASK Access, const PSP_QUERY *Query, PVOID Buffer,
                            ULONG Length, PULONG ReturnLength)
{
    PSP_INFORMATION Information = {0};
    PVOID Object;
    NTSTATUS Status;

    if (Query == NULL) {
        return STATUS_INVALID_INFO_CLASS;
    }
    if (Length != Query->Bytes) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    Status = ObReferenceObjectByHandle(Handle, Access, Type, ExGetPreviousMode(), &Object, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Query->Fill(Object, &Information);
    ObDereferenceObject(Object);
    Status = ExCopyToCaller(Buffer, &Information, Query->Bytes);
    return ExReturnValue(Status, ReturnLength, &Query->Bytes, sizeof(ULONG));
}

/**
 * NtQueryInformationProcess - figures of a process.
 *
 * @ProcessHandle  with PROCESS_QUERY_INFORMATION
 * @Length         exactly the class's; @ReturnLength may be NULL
 * returns         STATUS_SUCCESS; STATUS_INVALID_INFO_CLASS; STATUS_INFO_LENGTH_MISMATCH; what handle and pointers say
 *
 * IRQL: PASSIVE_LEVEL. NtQueryInformationThread does the same for a thread.
 */
NTSTATUS NTAPI NtQueryInformationProcess(HANDLE ProcessHandle, PROCESSINFOCLASS Class, PVOID Buffer, ULONG Length,
                                         PULONG ReturnLength)
{
    NTSTATUS Status;

    if (PspQueryProcessText(ProcessHandle, Class, Buffer, Length, ReturnLength, &Status)) {
        return Status;
    }
    return QueryObject(ProcessHandle, PspProcessType, PSP_PROCESS_QUERY_INFORMATION,
                       FindQuery(ProcessQueries, RTL_NUMBER_OF(ProcessQueries), Class), Buffer, Length, ReturnLength);
}

NTSTATUS NTAPI NtQueryInformationThread(HANDLE ThreadHandle, THREADINFOCLASS Class, PVOID Buffer, ULONG Length,
                                        PULONG ReturnLength)
{
    if ((ULONG)Class == PSP_THREAD_NAME_CLASS) {
        return PspQueryThreadName(ThreadHandle, Buffer, Length, ReturnLength);
    }
    return QueryObject(ThreadHandle, PspThreadType, PSP_THREAD_QUERY_INFORMATION,
                       FindQuery(ThreadQueries, RTL_NUMBER_OF(ThreadQueries), Class), Buffer, Length, ReturnLength);
}

/* A set of processors that exist, not empty. */
static BOOLEAN IsAffinity(ULONG_PTR Mask)
{
    return Mask != 0 && (Mask & ~KeQueryActiveProcessors()) == 0;
}

/* Bytes of what may be set of a thread; MAXULONG: nothing of this class. */
static ULONG ThreadWishBytes(ULONG Class)
{
    switch (Class) {
    case ThreadPriority:
    case ThreadBasePriority:
        return sizeof(LONG);
    case ThreadAffinityMask:
    case ThreadImpersonationToken:
    case ThreadQuerySetWin32StartAddress:
        return sizeof(ULONG_PTR);
    case ThreadHideFromDebugger:
        return 0;
    case PSP_THREAD_NAME_CLASS:
        return sizeof(UNICODE_STRING);
    default:
        return MAXULONG;
    }
}

static NTSTATUS SetThread(PETHREAD Thread, ULONG Class, const PSP_INFORMATION *Wish)
{
    switch (Class) {
    case ThreadPriority:
        if (Wish->Signed <= LOW_PRIORITY || Wish->Signed > HIGH_PRIORITY) {
            return STATUS_INVALID_PARAMETER;
        }
        if (Wish->Signed >= LOW_REALTIME_PRIORITY &&
            !SeSinglePrivilegeCheck(SeExports->SeIncreaseBasePriorityPrivilege, ExGetPreviousMode())) {
            return STATUS_PRIVILEGE_NOT_HELD;
        }
        KeSetPriorityThread(&Thread->Tcb, Wish->Signed);
        return STATUS_SUCCESS;
    case ThreadBasePriority:
        if (Wish->Signed < LOWEST_INCREMENT || Wish->Signed > HIGHEST_INCREMENT) {
            return STATUS_INVALID_PARAMETER;
        }
        KeSetBasePriorityThread(&Thread->Tcb, Wish->Signed);
        return STATUS_SUCCESS;
    case ThreadQuerySetWin32StartAddress:
        Thread->Win32StartAddress = Wish->Pointer;
        return STATUS_SUCCESS;
    case ThreadHideFromDebugger:
        Thread->HideFromDebugger = TRUE;
        return STATUS_SUCCESS;
    case PSP_THREAD_NAME_CLASS:
        return PspSetThreadName(Thread, &Wish->Name);
    case ThreadImpersonationToken:
        return SeAssignImpersonationToken(Thread, Wish->Pointer);
    default:
        if (!IsAffinity(Wish->Word)) {
            return STATUS_INVALID_PARAMETER;
        }
        KeSetAffinityThread(&Thread->Tcb, Wish->Word);
        return STATUS_SUCCESS;
    }
}

/**
 * NtSetInformationThread - sets a thread's priority, its base priority relative to the process's, its processors, or whom it acts for.
 *
 * @ThreadHandle  of a program's thread, with THREAD_SET_INFORMATION, for the token THREAD_SET_THREAD_TOKEN
 * @Class         ThreadPriority (1..31, from 16 on with SeIncreaseBasePriorityPrivilege), ThreadBasePriority (-15..15), ThreadAffinityMask,
 *                ThreadImpersonationToken (a handle with TOKEN_IMPERSONATE, NULL: for itself)
 * returns        STATUS_SUCCESS; STATUS_INVALID_INFO_CLASS; STATUS_INFO_LENGTH_MISMATCH; STATUS_INVALID_PARAMETER;
 *                STATUS_PRIVILEGE_NOT_HELD; STATUS_BAD_TOKEN_TYPE; what handle and pointer say
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtSetInformationThread(HANDLE ThreadHandle, THREADINFOCLASS Class, PVOID Buffer, ULONG Length)
{
    PSP_INFORMATION Wish = {0};
    PETHREAD Thread;
    NTSTATUS Status;

    if (ThreadWishBytes(Class) == MAXULONG) {
        return STATUS_INVALID_INFO_CLASS;
    }
    if (Length != ThreadWishBytes(Class)) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    Status = ExCopyFromCaller(&Wish, Buffer, Length);
    if (NT_SUCCESS(Status)) {
        Status = PspReferenceProgramThread(
            ThreadHandle, Class == ThreadImpersonationToken ? PSP_THREAD_SET_TOKEN : THREAD_SET_INFORMATION, &Thread);
    }
    if (NT_SUCCESS(Status)) {
        Status = SetThread(Thread, Class, &Wish);
        ObDereferenceObject(Thread);
    }
    return Status;
}

/* ---- What may be set of a process ---- */

typedef struct _PSP_WISH {
    ULONG Class, Bytes;
    NTSTATUS (*Set)(PEPROCESS Process, const PSP_INFORMATION *Wish);
    ACCESS_MASK Access; /* 0: PROCESS_SET_INFORMATION */
} PSP_WISH;

static NTSTATUS SetBasePriority(PEPROCESS Process, const PSP_INFORMATION *Wish)
{
    if (Wish->Signed <= LOW_PRIORITY || Wish->Signed >= LOW_REALTIME_PRIORITY) {
        return STATUS_INVALID_PARAMETER;
    }
    Process->Pcb.BasePriority = (SCHAR)Wish->Signed;
    return STATUS_SUCCESS;
}

static NTSTATUS SetProcessAffinity(PEPROCESS Process, const PSP_INFORMATION *Wish)
{
    if (!IsAffinity(Wish->Word)) {
        return STATUS_INVALID_PARAMETER;
    }
    PspSetProcessAffinity(Process, Wish->Word);
    return STATUS_SUCCESS;
}

static NTSTATUS SetClass(PEPROCESS Process, const PSP_INFORMATION *Wish)
{
    NTSTATUS Status = PspCheckPriorityClass(Wish->Class.PriorityClass);

    if (NT_SUCCESS(Status)) {
        PspSetPriorityClass(Process, Wish->Class.PriorityClass);
    }
    return Status;
}

/* Limits of pool and commitment: 0 or all ones leaves the default. */
static NTSTATUS SetQuota(PEPROCESS Process, const PSP_INFORMATION *Wish)
{
    NTSTATUS Status;

    if (!SeSinglePrivilegeCheck(SeExports->SeIncreaseQuotaPrivilege, ExGetPreviousMode())) {
        return STATUS_PRIVILEGE_NOT_HELD;
    }
    Status = PsSetQuotaLimits(Process, Wish->Quota.NonPagedPoolLimit, Wish->Quota.PagedPoolLimit);
    if (NT_SUCCESS(Status)) {
        Process->PagefileLimit =
            Wish->Quota.PagefileLimit == MAXULONG_PTR ? 0 : Wish->Quota.PagefileLimit >> PAGE_SHIFT;
    }
    return Status;
}

static NTSTATUS SetProcessToken(PEPROCESS Process, const PSP_INFORMATION *Wish)
{
    return SeAssignPrimaryToken(Process, Wish->Token.Token);
}

/**
 * NtSetInformationProcess - sets the base priority of a process's threads to come (ProcessBasePriority), the processors of all its threads
 * (ProcessAffinityMask), what it may be charged of pools and commitment (ProcessQuotaLimits, with SeIncreaseQuotaPrivilege; it no longer shares
 * its parent's quota block), or its token before the first of them runs (ProcessAccessToken; the thread of PROCESS_ACCESS_TOKEN is not looked at).
 *
 * @ProcessHandle  of a program, with PROCESS_SET_INFORMATION, for quotas PROCESS_SET_QUOTA
 * returns         as NtSetInformationThread and SeAssignPrimaryToken; STATUS_ACCESS_DENIED for the system process
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtSetInformationProcess(HANDLE ProcessHandle, PROCESSINFOCLASS Class, PVOID Buffer, ULONG Length)
{
    static const PSP_WISH Wishes[] = {
        {ProcessBasePriority, sizeof(LONG), SetBasePriority},
        {ProcessAffinityMask, sizeof(ULONG_PTR), SetProcessAffinity},
        {ProcessPriorityClass, sizeof(PROCESS_PRIORITY_CLASS), SetClass},
        {ProcessQuotaLimits, sizeof(QUOTA_LIMITS), SetQuota, PSP_PROCESS_SET_QUOTA},
        {ProcessAccessToken, sizeof(PROCESS_ACCESS_TOKEN), SetProcessToken},
    };
    const PSP_WISH *Row = NULL;
    PSP_INFORMATION Wish = {0};
    PEPROCESS Process;
    NTSTATUS Status;

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Wishes); Index++) {
        Row = (Wishes[Index].Class == (ULONG)Class) ? &Wishes[Index] : Row;
    }
    if (Row == NULL) {
        return STATUS_INVALID_INFO_CLASS;
    }
    if (Length != Row->Bytes) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    Status = ExCopyFromCaller(&Wish, Buffer, Length);
    if (NT_SUCCESS(Status)) {
        Status = ObReferenceObjectByHandle(ProcessHandle, Row->Access != 0 ? Row->Access : PSP_PROCESS_SET_INFORMATION,
                                           PspProcessType, ExGetPreviousMode(), (PVOID *)&Process, NULL);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = (Process == PsInitialSystemProcess) ? STATUS_ACCESS_DENIED : Row->Set(Process, &Wish);
    ObDereferenceObject(Process);
    return Status;
}

/* ---- All threads ---- */

static NTSTATUS ReferenceProgram(HANDLE Handle, PEPROCESS *Process)
{
    NTSTATUS Status = ObReferenceObjectByHandle(Handle, PSP_PROCESS_SUSPEND_RESUME, PspProcessType, ExGetPreviousMode(),
                                                (PVOID *)Process, NULL);

    if (NT_SUCCESS(Status) && *Process == PsInitialSystemProcess) {
        ObDereferenceObject(*Process);
        return STATUS_ACCESS_DENIED;
    }
    return Status;
}

/* Suspends every thread of a process once: PROCESS_SUSPEND_RESUME. STATUS_PROCESS_IS_TERMINATING. */
NTSTATUS NTAPI NtSuspendProcess(HANDLE ProcessHandle)
{
    PEPROCESS Process;
    NTSTATUS Status = ReferenceProgram(ProcessHandle, &Process);

    if (NT_SUCCESS(Status)) {
        Status = PsSuspendProcess(Process);
        ObDereferenceObject(Process);
    }
    return Status;
}

NTSTATUS NTAPI NtResumeProcess(HANDLE ProcessHandle)
{
    PEPROCESS Process;
    NTSTATUS Status = ReferenceProgram(ProcessHandle, &Process);

    if (NT_SUCCESS(Status)) {
        Status = PsResumeProcess(Process);
        ObDereferenceObject(Process);
    }
    return Status;
}
