/*
 * services.h - system services that the DDK's headers do not declare; src/ke/services.tbl lists all there are.
 *
 * PASSIVE_LEVEL; pointers belong to the caller, in the mode it called from (ntos/user.h).
 */
#pragma once

#include <ntos/ntos.h>

/* ---- src/ke/userframe.c: of ring 3 only ---- */
NTSTATUS NTAPI NtContinue(PCONTEXT Context, BOOLEAN TestAlert);
NTSTATUS NTAPI NtRaiseException(PEXCEPTION_RECORD Record, PCONTEXT Context, BOOLEAN FirstChance);

/* ---- src/ps/exit.c ---- */
NTSTATUS NTAPI NtTerminateProcess(HANDLE Handle, NTSTATUS ExitStatus);
NTSTATUS NTAPI NtTerminateThread(HANDLE Handle, NTSTATUS ExitStatus);

/* ---- src/ps/alert.c ---- */
NTSTATUS NTAPI NtAlertThreadByThreadId(HANDLE UniqueThread);
NTSTATUS NTAPI NtWaitForAlertByThreadId(PVOID Address, PLARGE_INTEGER Timeout);

/* ---- src/ps/userprocess.c ---- */

#define THREAD_CREATE_FLAGS_CREATE_SUSPENDED 0x1
#define PROCESS_CREATE_FLAGS_BREAKAWAY       0x1
#define PROCESS_CREATE_FLAGS_INHERIT_HANDLES 0x4
#define PROCESS_CREATE_FLAGS_SUSPENDED       0x200

/* Number of the attribute, and whether it belongs to the thread (0x10000), is input (0x20000), may be added to (0x40000). */
#define PS_ATTRIBUTE_PARENT_PROCESS  0x60000
#define PS_ATTRIBUTE_CLIENT_ID       0x10003
#define PS_ATTRIBUTE_TEB_ADDRESS     0x10004
#define PS_ATTRIBUTE_IMAGE_NAME      0x20005
#define PS_ATTRIBUTE_IMAGE_INFO      0x00006
#define PS_ATTRIBUTE_PRIORITY_CLASS  0x20008
#define PS_ATTRIBUTE_STD_HANDLE_INFO 0x2000A
#define PS_ATTRIBUTE_HANDLE_LIST     0x2000B
#define PS_ATTRIBUTE_JOB_LIST        0x20013

/* Which of the parameters' standard handles are copied into the child, under what values they get there. */
typedef struct _PS_STD_HANDLE_INFO {
    ULONG Flags;     /* bits 0-1: PS_STD_HANDLE_*; bits 2-4: input, output, error are left as they are */
    ULONG Subsystem; /* PS_STD_HANDLE_REQUEST: only if the program's is this one */
} PS_STD_HANDLE_INFO;

#define PS_STD_HANDLE_NEVER   0
#define PS_STD_HANDLE_REQUEST 1
#define PS_STD_HANDLE_ALWAYS  2

typedef struct _PS_ATTRIBUTE {
    ULONG_PTR Attribute;
    SIZE_T Size; /* bytes at ValuePtr */
    union {
        ULONG_PTR Value;
        PVOID ValuePtr;
    };
    PSIZE_T ReturnLength;
} PS_ATTRIBUTE, *PPS_ATTRIBUTE;

typedef struct _PS_ATTRIBUTE_LIST {
    SIZE_T TotalLength; /* bytes, with this */
    PS_ATTRIBUTE Attributes[1];
} PS_ATTRIBUTE_LIST, *PPS_ATTRIBUTE_LIST;

#define PsCreateSuccess 6

/* What it holds after success. */
typedef struct _PS_CREATE_INFO {
    SIZE_T Size;
    ULONG State; /* PsCreateSuccess */
    ULONG Unused;
    ULONG OutputFlags;
    HANDLE FileHandle, SectionHandle;
    ULONG64 UserProcessParameters;
    ULONG UserProcessParametersWow64, CurrentParameterFlags;
    ULONG64 PebAddress;
    ULONG PebAddressWow64;
    ULONG64 ManifestAddress;
    ULONG ManifestSize;
} PS_CREATE_INFO, *PPS_CREATE_INFO;
C_ASSERT(sizeof(PS_CREATE_INFO) == 0x58 && FIELD_OFFSET(PS_CREATE_INFO, PebAddress) == 0x38);

struct _RTL_USER_PROCESS_PARAMETERS;
NTSTATUS NTAPI NtCreateUserProcess(PHANDLE ProcessHandle, PHANDLE ThreadHandle, ACCESS_MASK ProcessDesiredAccess,
                                   ACCESS_MASK ThreadDesiredAccess, POBJECT_ATTRIBUTES ProcessObjectAttributes,
                                   POBJECT_ATTRIBUTES ThreadObjectAttributes, ULONG ProcessFlags, ULONG ThreadFlags,
                                   struct _RTL_USER_PROCESS_PARAMETERS *ProcessParameters, PPS_CREATE_INFO CreateInfo,
                                   PPS_ATTRIBUTE_LIST AttributeList);

/* ---- src/ps/clone.c ---- */
NTSTATUS NTAPI NtCreateProcessEx(PHANDLE ProcessHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                                 HANDLE ParentProcess, ULONG Flags, HANDLE SectionHandle, HANDLE DebugPort,
                                 HANDLE TokenHandle, ULONG Reserved);

#ifndef STATUS_PROCESS_CLONED
#define STATUS_PROCESS_CLONED ((NTSTATUS)0x00000129)
#endif

/* ---- src/ps/jobsvc.c: values and structures of the Windows SDK, which the DDK's headers leave out ---- */

#define JOB_OBJECT_ASSIGN_PROCESS 0x0001
#define JOB_OBJECT_SET_ATTRIBUTES 0x0002
#define JOB_OBJECT_QUERY          0x0004
#define JOB_OBJECT_TERMINATE      0x0008
#define JOB_OBJECT_ALL_ACCESS     (STANDARD_RIGHTS_REQUIRED | SYNCHRONIZE | 0x1F)

#define JOB_OBJECT_LIMIT_ACTIVE_PROCESS             0x00000008
#define JOB_OBJECT_LIMIT_AFFINITY                   0x00000010
#define JOB_OBJECT_LIMIT_PRIORITY_CLASS             0x00000020
#define JOB_OBJECT_LIMIT_PROCESS_MEMORY             0x00000100
#define JOB_OBJECT_LIMIT_JOB_MEMORY                 0x00000200
#define JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION 0x00000400
#define JOB_OBJECT_LIMIT_BREAKAWAY_OK               0x00000800
#define JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK        0x00001000
#define JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE          0x00002000

#define JobObjectBasicAccountingInformation         1
#define JobObjectBasicLimitInformation              2
#define JobObjectBasicProcessIdList                 3
#define JobObjectBasicUIRestrictions                4
#define JobObjectAssociateCompletionPortInformation 7
#define JobObjectBasicAndIoAccountingInformation    8
#define JobObjectExtendedLimitInformation           9

#define JOB_OBJECT_MSG_ACTIVE_PROCESS_LIMIT  3
#define JOB_OBJECT_MSG_ACTIVE_PROCESS_ZERO   4
#define JOB_OBJECT_MSG_NEW_PROCESS           6
#define JOB_OBJECT_MSG_EXIT_PROCESS          7
#define JOB_OBJECT_MSG_ABNORMAL_EXIT_PROCESS 8
#define JOB_OBJECT_MSG_PROCESS_MEMORY_LIMIT  9
#define JOB_OBJECT_MSG_JOB_MEMORY_LIMIT      10

typedef struct _JOBOBJECT_ASSOCIATE_COMPLETION_PORT {
    PVOID CompletionKey;
    HANDLE CompletionPort;
} JOBOBJECT_ASSOCIATE_COMPLETION_PORT, *PJOBOBJECT_ASSOCIATE_COMPLETION_PORT;

typedef struct _JOBOBJECT_BASIC_PROCESS_ID_LIST {
    ULONG NumberOfAssignedProcesses, NumberOfProcessIdsInList;
    ULONG_PTR ProcessIdList[1];
} JOBOBJECT_BASIC_PROCESS_ID_LIST, *PJOBOBJECT_BASIC_PROCESS_ID_LIST;

typedef struct _JOBOBJECT_BASIC_ACCOUNTING_INFORMATION {
    LARGE_INTEGER TotalUserTime, TotalKernelTime, ThisPeriodTotalUserTime, ThisPeriodTotalKernelTime;
    ULONG TotalPageFaultCount, TotalProcesses, ActiveProcesses, TotalTerminatedProcesses;
} JOBOBJECT_BASIC_ACCOUNTING_INFORMATION, *PJOBOBJECT_BASIC_ACCOUNTING_INFORMATION;

typedef struct _JOBOBJECT_BASIC_AND_IO_ACCOUNTING_INFORMATION {
    JOBOBJECT_BASIC_ACCOUNTING_INFORMATION BasicInfo;
    IO_COUNTERS IoInfo;
} JOBOBJECT_BASIC_AND_IO_ACCOUNTING_INFORMATION, *PJOBOBJECT_BASIC_AND_IO_ACCOUNTING_INFORMATION;

typedef struct _JOBOBJECT_BASIC_LIMIT_INFORMATION {
    LARGE_INTEGER PerProcessUserTimeLimit, PerJobUserTimeLimit;
    ULONG LimitFlags;
    SIZE_T MinimumWorkingSetSize, MaximumWorkingSetSize;
    ULONG ActiveProcessLimit;
    ULONG_PTR Affinity;
    ULONG PriorityClass, SchedulingClass;
} JOBOBJECT_BASIC_LIMIT_INFORMATION, *PJOBOBJECT_BASIC_LIMIT_INFORMATION;

typedef struct _JOBOBJECT_EXTENDED_LIMIT_INFORMATION {
    JOBOBJECT_BASIC_LIMIT_INFORMATION BasicLimitInformation;
    IO_COUNTERS IoInfo;
    SIZE_T ProcessMemoryLimit, JobMemoryLimit, PeakProcessMemoryUsed, PeakJobMemoryUsed; /* bytes */
} JOBOBJECT_EXTENDED_LIMIT_INFORMATION, *PJOBOBJECT_EXTENDED_LIMIT_INFORMATION;
C_ASSERT(sizeof(JOBOBJECT_EXTENDED_LIMIT_INFORMATION) == 0x90);

NTSTATUS NTAPI NtCreateJobObject(PHANDLE JobHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes);
NTSTATUS NTAPI NtOpenJobObject(PHANDLE JobHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes);
NTSTATUS NTAPI NtAssignProcessToJobObject(HANDLE JobHandle, HANDLE ProcessHandle);
NTSTATUS NTAPI NtTerminateJobObject(HANDLE JobHandle, NTSTATUS ExitStatus);
NTSTATUS NTAPI NtIsProcessInJob(HANDLE ProcessHandle, HANDLE JobHandle);
NTSTATUS NTAPI NtSetInformationJobObject(HANDLE JobHandle, ULONG Class, PVOID Information, ULONG Length);
NTSTATUS NTAPI NtQueryInformationJobObject(HANDLE JobHandle, ULONG Class, PVOID Information, ULONG Length,
                                           PULONG ReturnLength);

/* ---- src/ps/context.c ---- */
NTSTATUS NTAPI NtGetContextThread(HANDLE ThreadHandle, PCONTEXT Context);
NTSTATUS NTAPI NtSetContextThread(HANDLE ThreadHandle, PCONTEXT Context);
NTSTATUS NTAPI NtAlertThread(HANDLE ThreadHandle);
NTSTATUS NTAPI NtAlertResumeThread(HANDLE ThreadHandle, PULONG PreviousSuspendCount);

/* ---- src/ps/information.c ---- */

#define PSP_THREAD_SUSPEND_COUNT_CLASS 35 /* ThreadSuspendCount, which the DDK's list does not reach */
#define PSP_THREAD_NAME_CLASS          38 /* ThreadNameInformation */
#define PSP_PROCESS_COMMAND_LINE_CLASS 60 /* ProcessCommandLineInformation */

typedef struct _PROCESS_PRIORITY_CLASS {
    BOOLEAN Foreground;
    UCHAR PriorityClass;
} PROCESS_PRIORITY_CLASS, *PPROCESS_PRIORITY_CLASS;

/* Its values, in the order they were given numbers. */
#define PROCESS_PRIORITY_CLASS_IDLE         1
#define PROCESS_PRIORITY_CLASS_NORMAL       2
#define PROCESS_PRIORITY_CLASS_HIGH         3
#define PROCESS_PRIORITY_CLASS_REALTIME     4
#define PROCESS_PRIORITY_CLASS_BELOW_NORMAL 5
#define PROCESS_PRIORITY_CLASS_ABOVE_NORMAL 6

typedef struct _THREAD_BASIC_INFORMATION {
    NTSTATUS ExitStatus; /* STATUS_PENDING: it has not ended */
    PVOID TebBaseAddress;
    CLIENT_ID ClientId;
    ULONG_PTR AffinityMask;
    KPRIORITY Priority;
    LONG BasePriority; /* relative to the process's */
} THREAD_BASIC_INFORMATION, *PTHREAD_BASIC_INFORMATION;
C_ASSERT(sizeof(THREAD_BASIC_INFORMATION) == 0x30);

NTSTATUS NTAPI NtQueryInformationThread(HANDLE ThreadHandle, THREADINFOCLASS Class, PVOID Buffer, ULONG Length,
                                        PULONG ReturnLength);
NTSTATUS NTAPI NtSetInformationProcess(HANDLE ProcessHandle, PROCESSINFOCLASS Class, PVOID Buffer, ULONG Length);
NTSTATUS NTAPI NtSuspendProcess(HANDLE ProcessHandle);
NTSTATUS NTAPI NtResumeProcess(HANDLE ProcessHandle);

/* ---- src/ps/threadsvc.c ---- */
NTSTATUS NTAPI NtCreateThreadEx(PHANDLE ThreadHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                                HANDLE ProcessHandle, PVOID StartRoutine, PVOID Argument, ULONG CreateFlags,
                                SIZE_T ZeroBits, SIZE_T StackSize, SIZE_T MaximumStackSize, PVOID AttributeList);
NTSTATUS NTAPI NtQueueApcThread(HANDLE ThreadHandle, PVOID Routine, PVOID Argument1, PVOID Argument2, PVOID Argument3);
NTSTATUS NTAPI NtResumeThread(HANDLE ThreadHandle, PULONG PreviousSuspendCount);
NTSTATUS NTAPI NtSuspendThread(HANDLE ThreadHandle, PULONG PreviousSuspendCount);

/* ---- src/ex/waitobj.c ---- */
NTSTATUS NTAPI NtSignalAndWaitForSingleObject(HANDLE SignalHandle, HANDLE WaitHandle, BOOLEAN Alertable,
                                              PLARGE_INTEGER Timeout);

/* ---- src/ex/objquery.c ---- */

#ifndef STATUS_NOT_SAME_OBJECT
#define STATUS_NOT_SAME_OBJECT ((NTSTATUS)0xC00001AC)
#endif

typedef struct _EVENT_BASIC_INFORMATION {
    EVENT_TYPE EventType;
    LONG EventState;
} EVENT_BASIC_INFORMATION, *PEVENT_BASIC_INFORMATION;

typedef struct _SEMAPHORE_BASIC_INFORMATION {
    LONG CurrentCount, MaximumCount;
} SEMAPHORE_BASIC_INFORMATION, *PSEMAPHORE_BASIC_INFORMATION;

typedef struct _MUTANT_BASIC_INFORMATION {
    LONG CurrentCount; /* 1: free */
    BOOLEAN OwnedByCaller, AbandonedState;
} MUTANT_BASIC_INFORMATION, *PMUTANT_BASIC_INFORMATION;

typedef struct _TIMER_BASIC_INFORMATION {
    LARGE_INTEGER RemainingTime; /* 100 ns */
    BOOLEAN TimerState;
} TIMER_BASIC_INFORMATION, *PTIMER_BASIC_INFORMATION;
C_ASSERT(sizeof(TIMER_BASIC_INFORMATION) == 16);

NTSTATUS NTAPI NtQueryEvent(HANDLE Handle, ULONG Class, PVOID Buffer, ULONG Length, PULONG ReturnLength);
NTSTATUS NTAPI NtQuerySemaphore(HANDLE Handle, ULONG Class, PVOID Buffer, ULONG Length, PULONG ReturnLength);
NTSTATUS NTAPI NtQueryMutant(HANDLE Handle, ULONG Class, PVOID Buffer, ULONG Length, PULONG ReturnLength);
NTSTATUS NTAPI NtQueryTimer(HANDLE Handle, ULONG Class, PVOID Buffer, ULONG Length, PULONG ReturnLength);
NTSTATUS NTAPI NtCompareObjects(HANDLE FirstObjectHandle, HANDLE SecondObjectHandle);
NTSTATUS NTAPI NtQueryTimerResolution(PULONG MaximumTime, PULONG MinimumTime, PULONG CurrentTime);
NTSTATUS NTAPI NtSetTimerResolution(ULONG DesiredTime, BOOLEAN SetResolution, PULONG CurrentTime);
NTSTATUS NTAPI NtSetSystemTime(PLARGE_INTEGER NewTime, PLARGE_INTEGER OldTime);
NTSTATUS NTAPI NtAllocateUuids(PULARGE_INTEGER Time, PULONG Range, PULONG Sequence, PUCHAR Seed);

/* ---- src/cm/notify.c ---- */
NTSTATUS NTAPI NtNotifyChangeMultipleKeys(HANDLE KeyHandle, ULONG Count, POBJECT_ATTRIBUTES SubordinateObjects,
                                          HANDLE EventHandle, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                                          PIO_STATUS_BLOCK IoStatusBlock, ULONG NotifyFilter, BOOLEAN WatchSubtree,
                                          PVOID Buffer, ULONG BufferLength, BOOLEAN Asynchronous);

/* ---- src/ex/keyedevent.c ---- */

#define KEYEDEVENT_WAIT       0x1
#define KEYEDEVENT_WAKE       0x2
#define KEYEDEVENT_ALL_ACCESS (STANDARD_RIGHTS_REQUIRED | KEYEDEVENT_WAIT | KEYEDEVENT_WAKE)

NTSTATUS NTAPI NtCreateKeyedEvent(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes,
                                  ULONG Flags);
NTSTATUS NTAPI NtOpenKeyedEvent(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes);
NTSTATUS NTAPI NtWaitForKeyedEvent(HANDLE Handle, PVOID Key, BOOLEAN Alertable, PLARGE_INTEGER Timeout);
NTSTATUS NTAPI NtReleaseKeyedEvent(HANDLE Handle, PVOID Key, BOOLEAN Alertable, PLARGE_INTEGER Timeout);

/* ---- src/io ---- */
NTSTATUS NTAPI NtCancelIoFileEx(HANDLE FileHandle, PIO_STATUS_BLOCK IoRequestToCancel, PIO_STATUS_BLOCK IoStatusBlock);
NTSTATUS NTAPI NtCancelSynchronousIoFile(HANDLE ThreadHandle, PIO_STATUS_BLOCK IoRequestToCancel,
                                         PIO_STATUS_BLOCK IoStatusBlock);
NTSTATUS NTAPI NtAllocateReserveObject(PHANDLE Handle, POBJECT_ATTRIBUTES Attributes, ULONG Kind);
NTSTATUS NTAPI NtSetIoCompletionEx(HANDLE Handle, HANDLE ReserveHandle, PVOID KeyContext, PVOID ApcContext,
                                   NTSTATUS IoStatus, ULONG_PTR IoStatusInformation);
NTSTATUS NTAPI NtQueryIoCompletion(HANDLE Handle, ULONG Class, PVOID Buffer, ULONG Length, PULONG ReturnLength);
NTSTATUS NTAPI NtNotifyChangeDirectoryFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine,
                                           PVOID ApcContext, PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer, ULONG Length,
                                           ULONG CompletionFilter, BOOLEAN WatchTree);
NTSTATUS NTAPI NtLockFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                          PIO_STATUS_BLOCK IoStatusBlock, PLARGE_INTEGER ByteOffset, PLARGE_INTEGER Length, ULONG Key,
                          BOOLEAN FailImmediately, BOOLEAN ExclusiveLock);
NTSTATUS NTAPI NtUnlockFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock, PLARGE_INTEGER ByteOffset,
                            PLARGE_INTEGER Length, ULONG Key);
NTSTATUS NTAPI NtLoadDriver(PUNICODE_STRING DriverServiceName);
NTSTATUS NTAPI NtUnloadDriver(PUNICODE_STRING DriverServiceName);
NTSTATUS NTAPI NtShutdownSystem(ULONG Action);
NTSTATUS NTAPI NtCreateNamedPipeFile(PHANDLE FileHandle, ULONG DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                                     PIO_STATUS_BLOCK IoStatusBlock, ULONG ShareAccess, ULONG CreateDisposition,
                                     ULONG CreateOptions, ULONG NamedPipeType, ULONG ReadMode, ULONG CompletionMode,
                                     ULONG MaximumInstances, ULONG InboundQuota, ULONG OutboundQuota,
                                     PLARGE_INTEGER DefaultTimeout);
NTSTATUS NTAPI NtOpenIoCompletion(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes);
NTSTATUS NTAPI NtSetIoCompletion(HANDLE Handle, PVOID KeyContext, PVOID ApcContext, NTSTATUS IoStatus,
                                 ULONG_PTR IoStatusInformation);
NTSTATUS NTAPI NtQueryAttributesFile(POBJECT_ATTRIBUTES ObjectAttributes, PFILE_BASIC_INFORMATION FileInformation);

/* ---- src/se/adjust.c ---- */
NTSTATUS NTAPI NtAdjustPrivilegesToken(HANDLE TokenHandle, BOOLEAN DisableAllPrivileges, PTOKEN_PRIVILEGES NewState,
                                       ULONG BufferLength, PTOKEN_PRIVILEGES PreviousState, PULONG ReturnLength);

/* ---- src/se/tokencreate.c, check.c ---- */
NTSTATUS NTAPI NtCreateToken(PHANDLE TokenHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                             TOKEN_TYPE Type, PLUID AuthenticationId, PLARGE_INTEGER ExpirationTime, PTOKEN_USER User,
                             PTOKEN_GROUPS Groups, PTOKEN_PRIVILEGES Privileges, PTOKEN_OWNER Owner,
                             PTOKEN_PRIMARY_GROUP PrimaryGroup, PTOKEN_DEFAULT_DACL DefaultDacl, PTOKEN_SOURCE Source);
NTSTATUS NTAPI NtAccessCheck(PSECURITY_DESCRIPTOR SecurityDescriptor, HANDLE ClientToken, ACCESS_MASK DesiredAccess,
                             PGENERIC_MAPPING GenericMapping, PPRIVILEGE_SET PrivilegeSet, PULONG PrivilegeSetLength,
                             PACCESS_MASK GrantedAccess, PNTSTATUS AccessStatus);

/* ---- src/ke/services.c ---- */
NTSTATUS NTAPI NtDelayExecution(BOOLEAN Alertable, PLARGE_INTEGER Interval);
NTSTATUS NTAPI NtDisplayString(PUNICODE_STRING String);
NTSTATUS NTAPI NtQueryPerformanceCounter(PLARGE_INTEGER Counter, PLARGE_INTEGER Frequency);
NTSTATUS NTAPI NtQuerySystemTime(PLARGE_INTEGER SystemTime);
NTSTATUS NTAPI NtTestAlert(VOID);
NTSTATUS NTAPI NtYieldExecution(VOID);
