/*
 * threadpool.h - ntdll's thread pool (src/user/ntdll/tp*.c, rtlpool.c); winnt.h of the Windows SDK has the types too.
 */
#pragma once

#ifndef _WINNT_
typedef struct _TP_CALLBACK_INSTANCE TP_CALLBACK_INSTANCE, *PTP_CALLBACK_INSTANCE;
typedef struct _TP_POOL TP_POOL, *PTP_POOL;
typedef struct _TP_WORK TP_WORK, *PTP_WORK;
typedef struct _TP_TIMER TP_TIMER, *PTP_TIMER;
typedef struct _TP_WAIT TP_WAIT, *PTP_WAIT;
typedef struct _TP_CLEANUP_GROUP TP_CLEANUP_GROUP, *PTP_CLEANUP_GROUP;
typedef ULONG TP_WAIT_RESULT;

typedef VOID(NTAPI *PTP_SIMPLE_CALLBACK)(PTP_CALLBACK_INSTANCE Instance, PVOID Context);
typedef VOID(NTAPI *PTP_WORK_CALLBACK)(PTP_CALLBACK_INSTANCE Instance, PVOID Context, PTP_WORK Work);
typedef VOID(NTAPI *PTP_TIMER_CALLBACK)(PTP_CALLBACK_INSTANCE Instance, PVOID Context, PTP_TIMER Timer);
typedef VOID(NTAPI *PTP_WAIT_CALLBACK)(PTP_CALLBACK_INSTANCE Instance, PVOID Context, PTP_WAIT Wait,
                                       TP_WAIT_RESULT Result);
typedef VOID(NTAPI *PTP_CLEANUP_GROUP_CANCEL_CALLBACK)(PVOID ObjectContext, PVOID CleanupContext);

typedef struct _TP_CALLBACK_ENVIRON {
    ULONG Version; /* 1 */
    PTP_POOL Pool; /* NULL: the process's */
    PTP_CLEANUP_GROUP CleanupGroup;
    PTP_CLEANUP_GROUP_CANCEL_CALLBACK CleanupGroupCancelCallback;
    PVOID RaceDll, ActivationContext; /* not used */
    PTP_SIMPLE_CALLBACK FinalizationCallback;
    ULONG Flags;
} TP_CALLBACK_ENVIRON, *PTP_CALLBACK_ENVIRON;
C_ASSERT(sizeof(TP_CALLBACK_ENVIRON) == 0x40);

#define WT_EXECUTEDEFAULT  0x00
#define WT_EXECUTEONLYONCE 0x08
#endif

typedef VOID(NTAPI *PRTL_WORK_CALLBACK)(PVOID Context);
typedef VOID(NTAPI *PRTL_WAIT_CALLBACK)(PVOID Context, BOOLEAN TimerOrWaitFired);

NTSTATUS NTAPI TpAllocPool(PTP_POOL *Pool, PVOID Reserved);
VOID NTAPI TpReleasePool(PTP_POOL Pool);
VOID NTAPI TpSetPoolMaxThreads(PTP_POOL Pool, LONG MaxThreads);
NTSTATUS NTAPI TpSetPoolMinThreads(PTP_POOL Pool, LONG MinThreads);

NTSTATUS NTAPI TpAllocWork(PTP_WORK *Work, PTP_WORK_CALLBACK Callback, PVOID Context, PTP_CALLBACK_ENVIRON Environment);
VOID NTAPI TpPostWork(PTP_WORK Work);
VOID NTAPI TpWaitForWork(PTP_WORK Work, LOGICAL CancelPendingCallbacks);
VOID NTAPI TpReleaseWork(PTP_WORK Work);
NTSTATUS NTAPI TpSimpleTryPost(PTP_SIMPLE_CALLBACK Callback, PVOID Context, PTP_CALLBACK_ENVIRON Environment);

NTSTATUS NTAPI TpAllocTimer(PTP_TIMER *Timer, PTP_TIMER_CALLBACK Callback, PVOID Context,
                            PTP_CALLBACK_ENVIRON Environment);
VOID NTAPI TpSetTimer(PTP_TIMER Timer, PLARGE_INTEGER DueTime, ULONG Period, ULONG Window);
LOGICAL NTAPI TpIsTimerSet(PTP_TIMER Timer);
VOID NTAPI TpWaitForTimer(PTP_TIMER Timer, LOGICAL CancelPendingCallbacks);
VOID NTAPI TpReleaseTimer(PTP_TIMER Timer);

NTSTATUS NTAPI TpAllocWait(PTP_WAIT *Wait, PTP_WAIT_CALLBACK Callback, PVOID Context, PTP_CALLBACK_ENVIRON Environment);
VOID NTAPI TpSetWait(PTP_WAIT Wait, HANDLE Handle, PLARGE_INTEGER Timeout);
VOID NTAPI TpWaitForWait(PTP_WAIT Wait, LOGICAL CancelPendingCallbacks);
VOID NTAPI TpReleaseWait(PTP_WAIT Wait);

NTSTATUS NTAPI TpAllocCleanupGroup(PTP_CLEANUP_GROUP *Group);
VOID NTAPI TpReleaseCleanupGroup(PTP_CLEANUP_GROUP Group);
VOID NTAPI TpReleaseCleanupGroupMembers(PTP_CLEANUP_GROUP Group, LOGICAL CancelPendingCallbacks, PVOID CleanupContext);

VOID NTAPI TpCallbackSetEventOnCompletion(PTP_CALLBACK_INSTANCE Instance, HANDLE Event);
VOID NTAPI TpCallbackReleaseSemaphoreOnCompletion(PTP_CALLBACK_INSTANCE Instance, HANDLE Semaphore, ULONG ReleaseCount);
VOID NTAPI TpCallbackReleaseMutexOnCompletion(PTP_CALLBACK_INSTANCE Instance, HANDLE Mutex);
VOID NTAPI TpCallbackLeaveCriticalSectionOnCompletion(PTP_CALLBACK_INSTANCE Instance, PRTL_CRITICAL_SECTION Section);
NTSTATUS NTAPI TpCallbackMayRunLong(PTP_CALLBACK_INSTANCE Instance);
VOID NTAPI TpDisassociateCallback(PTP_CALLBACK_INSTANCE Instance);

NTSTATUS NTAPI RtlQueueWorkItem(PRTL_WORK_CALLBACK Callback, PVOID Context, ULONG Flags);
NTSTATUS NTAPI RtlRegisterWait(PHANDLE WaitHandle, HANDLE Object, PRTL_WAIT_CALLBACK Callback, PVOID Context,
                               ULONG Milliseconds, ULONG Flags);
NTSTATUS NTAPI RtlDeregisterWait(HANDLE WaitHandle);
NTSTATUS NTAPI RtlDeregisterWaitEx(HANDLE WaitHandle, HANDLE Event);
NTSTATUS NTAPI RtlCreateTimerQueue(PHANDLE Queue);
NTSTATUS NTAPI RtlCreateTimer(HANDLE Queue, PHANDLE Timer, PRTL_WAIT_CALLBACK Callback, PVOID Context, ULONG DueTime,
                              ULONG Period, ULONG Flags);
NTSTATUS NTAPI RtlUpdateTimer(HANDLE Queue, HANDLE Timer, ULONG DueTime, ULONG Period);
NTSTATUS NTAPI RtlDeleteTimer(HANDLE Queue, HANDLE Timer, HANDLE Event);
NTSTATUS NTAPI RtlDeleteTimerQueue(HANDLE Queue);
NTSTATUS NTAPI RtlDeleteTimerQueueEx(HANDLE Queue, HANDLE Event);
