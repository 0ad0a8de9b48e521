/*
 * ex.h - the executive's objects and system information, as the rest of the kernel sees them (what drivers see is in the DDK).
 */
#pragma once

#include <ntos/ntos.h>

/* What Oriel says it is: the version of NT whose drivers and tools it follows, and its own build of it. */
#define EX_MAJOR_VERSION 6U
#define EX_MINOR_VERSION 1U
#define EX_BUILD_NUMBER  7601U

extern POBJECT_TYPE ExpCallbackType, ExpTimerType, ExpSemaphoreType, ExpMutantType;

/* The system's own callback objects, \Callback\SetSystemTime and so on; for ExNotifyCallback. (src/ex/callback.c) */
extern PCALLBACK_OBJECT ExCbSetSystemTime, ExCbPowerState, ExCbProcessorAdd;

/* Types and objects of the executive. By ObInitialize, once the namespace is there; PASSIVE_LEVEL. */
NTSTATUS ExpInitializeObjects(VOID);
NTSTATUS ExpCreateCallbackType(VOID);
NTSTATUS ExpCreateTimerType(VOID);
NTSTATUS ExpCreateSemaphoreType(VOID);
NTSTATUS ExpCreateMutantType(VOID);
NTSTATUS ExpCreateKeyedEventType(VOID);

/* A new identifier that is unique in this system until it is restarted. IRQL: any. (src/ex/uuid.c) */
VOID ExAllocateLuid(PLUID Luid);

extern ULONG NtBuildNumber; /* (c) build, and in the topmost bits the flavour */

/* Version, features and memory in KUSER_SHARED_DATA. Boot processor, once memory is counted. (src/ex/version.c) */
VOID ExInitializeSharedData(VOID);
VOID ExpInitializeUuids(VOID);

/* The wait of NtWaitForSingleObject, for an object at hand. (src/ex/eventobj.c) */
NTSTATUS ExpWaitForObject(PVOID Object, BOOLEAN Alertable, PLARGE_INTEGER Limit);

/* Ends the timers that would queue APCs to the calling thread, which is about to end. PASSIVE_LEVEL. (src/ex/timerobj.c) */
VOID ExTimerRundown(VOID);

/* The body of a Zw routine: the service with kernel mode as the previous mode. Needs ke.h. */
#define EX_AS_KERNEL(Call)                                                                                             \
    do {                                                                                                               \
        KPROCESSOR_MODE Previous = KeSetPreviousMode(KernelMode);                                                      \
        NTSTATUS AsKernelStatus = (Call);                                                                              \
                                                                                                                       \
        KeSetPreviousMode(Previous);                                                                                   \
        return AsKernelStatus;                                                                                         \
    } while (0)

/* Rights and services that the DDK's headers leave out (values as documented for the Windows SDK). */
#define TIMER_QUERY_STATE  0x0001U
#define TIMER_MODIFY_STATE 0x0002U
#define TIMER_ALL_ACCESS   (STANDARD_RIGHTS_REQUIRED | SYNCHRONIZE | 0x3U)
#define MUTANT_QUERY_STATE 0x0001U
#define MUTANT_ALL_ACCESS  (STANDARD_RIGHTS_REQUIRED | SYNCHRONIZE | MUTANT_QUERY_STATE)

NTSTATUS NTAPI NtCreateTimer(PHANDLE TimerHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                             TIMER_TYPE TimerType);
NTSTATUS NTAPI NtOpenTimer(PHANDLE TimerHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes);
NTSTATUS NTAPI NtSetTimer(HANDLE TimerHandle, PLARGE_INTEGER DueTime, PTIMER_APC_ROUTINE TimerApcRoutine,
                          PVOID TimerContext, BOOLEAN ResumeTimer, LONG Period, PBOOLEAN PreviousState);
NTSTATUS NTAPI NtSetTimerEx(HANDLE TimerHandle, TIMER_SET_INFORMATION_CLASS TimerSetInformationClass,
                            PVOID TimerSetInformation, ULONG TimerSetInformationLength);
NTSTATUS NTAPI NtCancelTimer(HANDLE TimerHandle, PBOOLEAN CurrentState);
NTSTATUS NTAPI NtCreateSemaphore(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes,
                                 LONG InitialCount, LONG MaximumCount);
NTSTATUS NTAPI NtOpenSemaphore(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes);
NTSTATUS NTAPI NtReleaseSemaphore(HANDLE Handle, LONG ReleaseCount, PLONG PreviousCount);
NTSTATUS NTAPI NtCreateMutant(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes,
                              BOOLEAN InitialOwner);
NTSTATUS NTAPI NtOpenMutant(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes);
NTSTATUS NTAPI NtReleaseMutant(HANDLE Handle, PLONG PreviousCount);
NTSTATUS NTAPI NtPulseEvent(HANDLE Handle, PLONG PreviousState);
NTSTATUS NTAPI NtWaitForMultipleObjects(ULONG Count, HANDLE Handles[], WAIT_TYPE WaitType, BOOLEAN Alertable,
                                        PLARGE_INTEGER Timeout);
NTSTATUS NTAPI ZwWaitForMultipleObjects(ULONG Count, HANDLE Handles[], WAIT_TYPE WaitType, BOOLEAN Alertable,
                                        PLARGE_INTEGER Timeout);
NTSTATUS NTAPI NtAllocateLocallyUniqueId(PLUID Luid);

#if NT_CHK
/* A work item that is queued, or a routine that a worker runs now, which lies in a range; NULL: none. IRQL: <= DISPATCH_LEVEL. */
PVOID ExFindWorkItemOf(ULONG64 Begin, ULONG64 End);
#endif
