/*
 * psp.h - what the files of Ps share.
 */
#pragma once

#include <ntos/ke.h>
#include <ntos/mm.h>
#include <ntos/ob.h>
#include <ntos/ps.h>
#include <ntos/se.h>

#define PSP_TAG_THREAD  'rhTP'
#define PSP_TAG_PROGRAM 'grPP'

#define PSP_SYSTEM_THREAD_PRIORITY 8 /* what PsCreateSystemThread gives; KeSetPriorityThread changes it */

extern POBJECT_TYPE PspProcessType, PspThreadType; /* (c) from phase 0 on */

/* Rights that the DDK's kernel headers leave out (values as documented for the Windows SDK). */
#define PSP_PROCESS_TERMINATE         0x0001
#define PSP_PROCESS_CREATE_THREAD     0x0002
#define PSP_PROCESS_VM_OPERATION      0x0008
#define PSP_PROCESS_VM_READ           0x0010
#define PSP_PROCESS_VM_WRITE          0x0020
#define PSP_PROCESS_SET_QUOTA         0x0100
#define PSP_PROCESS_SET_INFORMATION   0x0200
#define PSP_PROCESS_QUERY_INFORMATION 0x0400
#define PSP_PROCESS_SUSPEND_RESUME    0x0800
#define PSP_THREAD_QUERY_INFORMATION  0x0040
#define PSP_THREAD_ALERT              0x0004
#define PSP_THREAD_SET_TOKEN          0x0080

/* ---- cid.c ---- */

VOID PspInitializeCids(VOID); /* phase 0 */
/* Identifiers of processes and threads come from one sequence of multiples of 4. IRQL: any. */
HANDLE PspNewId(VOID);
/* Makes an object known, and unknown again when it is deleted (nothing if it never was). IRQL: <= DISPATCH_LEVEL. */
VOID PspEnterCid(PPSP_CID Cid, HANDLE Id, PVOID Object);
VOID PspRemoveCid(PPSP_CID Cid);
/* The object of an identifier, referenced; NULL: none of this type. IRQL: <= DISPATCH_LEVEL. */
PVOID PspLookupCid(HANDLE Id, POBJECT_TYPE Type);

/* ---- notify.c ---- */

VOID PspInitializeNotify(VOID); /* phase 0 */
/* Info: NULL when the process ends. PASSIVE_LEVEL. */
VOID PspNotifyProcess(PEPROCESS Process, PPS_CREATE_NOTIFY_INFO Info);
VOID PspNotifyThread(PETHREAD Thread, BOOLEAN Create);

/* ---- process.c ---- */

VOID PspPublishProcess(PEPROCESS Process); /* makes a process that is complete visible to all */
VOID PspUnpublishProcess(PEPROCESS Process);

NTSTATUS PspCaptureCid(POBJECT_ATTRIBUTES ObjectAttributes, PCLIENT_ID ClientId, PULONG Attributes, PCLIENT_ID Cid);
NTSTATUS PspReturnHandle(PVOID Object, ULONG Attributes, ACCESS_MASK DesiredAccess, POBJECT_TYPE Type, PHANDLE Handle);

/* ---- create.c ---- */

/* PspCreateProcess with the handles of Parent that are to be inherited; NULL: none. */
NTSTATUS PspCreateProcessFrom(PEPROCESS Parent, PEPROCESS *Process, PCSTR Name);
VOID PspDeleteProcess(PVOID Object); /* the type's delete procedure */

/* ---- thread.c ---- */

VOID PspDeleteThread(PVOID Object); /* the type's delete procedure */
VOID PspStartReaper(VOID);          /* thread.c, phase 1 */

/* The calling thread's end: everything that any thread owns is run down. PASSIVE_LEVEL. */
DECLSPEC_NORETURN VOID PspEndThread(PETHREAD Thread, NTSTATUS ExitStatus);

/* A thread of any process. The system process's are PspAllocateSystemThread's. */
NTSTATUS PspAllocateThread(PETHREAD *Thread, PEPROCESS Process, PKSTART_ROUTINE StartRoutine, PVOID StartContext,
                           KPRIORITY Priority);

/* ---- exit.c ---- */

/* One more thread of a process other than the system's; STATUS_PROCESS_IS_TERMINATING. IRQL: <= APC_LEVEL, as for the other two. */
NTSTATUS PspCountThread(PEPROCESS Process);
VOID PspUncountUnstartedThread(PEPROCESS Process); /* it was not started after all */
VOID PspReapUserThread(PETHREAD Thread);           /* any thread that was counted */

/* ---- image.c ---- */

VOID PspInitializeImages(VOID); /* phase 1 */

/* ---- userthread.c ---- */

#define PSP_STACK_RESERVE 0x100000
#define PSP_STACK_COMMIT  0x10000

typedef struct _PSP_USER_STACK {
    PVOID Base;       /* one past the highest byte */
    PVOID Limit;      /* lowest committed byte above the guard page */
    PVOID Allocation; /* lowest reserved byte */
} PSP_USER_STACK, *PPSP_USER_STACK;

NTSTATUS PspCreateUserThread(PEPROCESS Process, const PSP_USER_START *Start, PETHREAD *Thread);
VOID PspAbandonUserThread(PETHREAD Thread);
NTSTATUS PspCreateUserStack(SIZE_T Reserve, SIZE_T Commit, PPSP_USER_STACK Stack);
VOID PspReleaseUserPart(PETHREAD Thread);

/* Asks a process other than the system's to end. FALSE: it was ending. (exit.c) */
BOOLEAN PspTerminateProcess(PEPROCESS Process, NTSTATUS ExitStatus);

/* ---- job.c ---- */

NTSTATUS PspInitializeJobs(VOID); /* phase 1 */
/* STATUS_ACCESS_DENIED, STATUS_QUOTA_EXCEEDED, STATUS_PROCESS_IS_TERMINATING. */
NTSTATUS PspJoinJob(struct _PSP_JOB *Job, PEPROCESS Process);
VOID PspLeaveJob(PEPROCESS Process);  /* it has ended; also if it has no job */
VOID PspForgetJob(PEPROCESS Process); /* it is deleted */

/* ---- threadsvc.c ---- */

NTSTATUS PspReferenceProgramThread(HANDLE Handle, ACCESS_MASK Access,
                                   PETHREAD *Thread); /* STATUS_INVALID_HANDLE: the system's */

/* ---- parameters.c ---- */

struct _RTL_USER_PROCESS_PARAMETERS;
struct _PSP_PROGRAM;
/* A program's parameters as the kernel's; PspFreeProgram frees them, also after an error. */
NTSTATUS PspCaptureParameters(struct _RTL_USER_PROCESS_PARAMETERS *Given, struct _PSP_PROGRAM *Program);
VOID PspFreeProgram(struct _PSP_PROGRAM *Program);
/* The parameters' block, in the process, attached. */
NTSTATUS PspCreateParameters(const struct _PSP_PROGRAM *Program, struct _RTL_USER_PROCESS_PARAMETERS **Parameters);

/* ---- program.c: in the process, attached ---- */

NTSTATUS PspAllocateUser(PVOID *Base, SIZE_T Bytes); /* memory of the program, zeroed */

NTSTATUS PspCreateTeb(PEPROCESS Process, const PSP_USER_STACK *Stack, PVOID *Teb);
/* A thread that will run Routine(Argument) by way of ntdll, with a stack of its own; not readied. */
NTSTATUS PspCreateProgramThread(PEPROCESS Process, const PSP_USER_STACK *Stack, ULONG64 Routine, ULONG64 Argument,
                                PETHREAD *Thread);
