/*
 * psp.h - what the files of Ps share.
 */
#pragma once

#include <ntos/ke.h>
#include <ntos/mm.h>
#include <ntos/ob.h>
#include <ntos/program.h>
#include <ntos/ps.h>
#include <ntos/se.h>
#include <ntos/services.h>

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
#define PSP_PROCESS_CREATE_PROCESS    0x0080
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

/* A process to be made: whose child it is, and what it gets of its parent besides token, job, processors and priority. */
typedef struct _PSP_NEW_PROCESS {
    PEPROCESS Parent;      /* NULL: the calling process */
    BOOLEAN Inherit;       /* its inheritable handles, */
    const HANDLE *Handles; /* of which these, if there are any */
    ULONG HandleCount;
    BOOLEAN Breakaway; /* not the parent's job, if that allows it */
    PCSTR Name;
    PVOID Section;         /* of its image, of a file; NULL: none yet. What notify routines are told, as the next two */
    PCUNICODE_STRING Path; /* of that file; NULL: not known */
    PCUNICODE_STRING Line; /* its command line, if it has one */
} PSP_NEW_PROCESS;
/* PspCreateProcess; also STATUS_ACCESS_DENIED (Breakaway). */
NTSTATUS PspCreateProcessFrom(const PSP_NEW_PROCESS *Wanted, PEPROCESS *Process);
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

/* ---- job.c, jobsvc.c ---- */

NTSTATUS PspInitializeJobs(VOID); /* phase 1 */
NTSTATUS PspMayBreakAway(struct _PSP_JOB *Job, BOOLEAN Wanted, PBOOLEAN Outside);
/* STATUS_ACCESS_DENIED, STATUS_QUOTA_EXCEEDED, STATUS_PROCESS_IS_TERMINATING. */
NTSTATUS PspJoinJob(struct _PSP_JOB *Job, PEPROCESS Process);
VOID PspLeaveJob(PEPROCESS Process);  /* it has ended; also if it has no job */
VOID PspForgetJob(PEPROCESS Process); /* it is deleted */

/* ---- threadsvc.c ---- */

NTSTATUS PspReferenceProgramThread(HANDLE Handle, ACCESS_MASK Access,
                                   PETHREAD *Thread); /* STATUS_INVALID_HANDLE: the system's */

/* ---- attributes.c ---- */

typedef struct _PSP_ANSWER {
    PVOID Place; /* of the caller; NULL: not wanted */
    PSIZE_T Length;
} PSP_ANSWER;

/* What an attribute list says. */
typedef struct _PSP_WISHES {
    UNICODE_STRING ImageName; /* of the caller; not captured */
    PEPROCESS Parent;         /* referenced; NULL: the caller */
    PHANDLE Handles, Jobs;    /* pool; values of the parent and of the caller */
    ULONG HandleCount, JobCount;
    BOOLEAN HasStandard;
    PS_STD_HANDLE_INFO Standard;
    UCHAR PriorityClass; /* 0: none */
    PSP_ANSWER ClientId, Teb, ImageInformation;
} PSP_WISHES, *PPSP_WISHES;

NTSTATUS PspCaptureAttributes(PPS_ATTRIBUTE_LIST List, BOOLEAN ThreadOnly, PPSP_WISHES Wishes);
VOID PspReleaseAttributes(PPSP_WISHES Wishes);
NTSTATUS PspApplyWishes(const PSP_WISHES *Wishes, PEPROCESS Process);
NTSTATUS PspAnswerAttributes(const PSP_WISHES *Wishes, PETHREAD Thread,
                             const SECTION_IMAGE_INFORMATION *ImageInformation);

/* ---- clone.c ---- */

NTSTATUS PspCloneAddressSpace(PEPROCESS Parent, PEPROCESS Child);
NTSTATUS PspCloneThread(PEPROCESS Process, PETHREAD *Thread);
VOID PspTakeClonedFrame(PETHREAD Thread, PKTRAP_FRAME Frame);
VOID PspFreeClonedFrame(PETHREAD Thread);

/* ---- priority.c ---- */

NTSTATUS PspCheckPriorityClass(UCHAR Class); /* STATUS_INVALID_PARAMETER, STATUS_PRIVILEGE_NOT_HELD */
VOID PspSetPriorityClass(PEPROCESS Process, UCHAR Class);
VOID PspSetProcessAffinity(PEPROCESS Process, KAFFINITY Affinity);
VOID PspInheritPriority(PEPROCESS Parent, PEPROCESS Child); /* nobody knows the child yet */
/* Adds the ticks of a process's threads, ended ones too. */
VOID PspAddTicks(PEPROCESS Process, PULONG64 Kernel, PULONG64 User);

/* ---- infotext.c ---- */

VOID PspInitializeNames(VOID); /* phase 1 */

VOID PspForgetName(PETHREAD Thread); /* it is deleted */
/* TRUE: the class is one of text, and Status what came of it. */
BOOLEAN PspQueryProcessText(HANDLE Process, ULONG Class, PVOID Buffer, ULONG Length, PULONG ReturnLength,
                            PNTSTATUS Status);
NTSTATUS PspQueryThreadName(HANDLE Thread, PVOID Buffer, ULONG Length, PULONG ReturnLength);
NTSTATUS PspSetThreadName(PETHREAD Thread, const UNICODE_STRING *Name);

/* ---- parameters.c ---- */

struct _RTL_USER_PROCESS_PARAMETERS;
struct _PSP_PROGRAM;
/* A program's parameters as the kernel's; PspFreeProgram frees them, also after an error. */
NTSTATUS PspCaptureParameters(struct _RTL_USER_PROCESS_PARAMETERS *Given, struct _PSP_PROGRAM *Program);
VOID PspFreeProgram(struct _PSP_PROGRAM *Program);
/* The parameters' block, in the process, attached. */
NTSTATUS PspCreateParameters(const struct _PSP_PROGRAM *Program, struct _RTL_USER_PROCESS_PARAMETERS **Parameters);

/* ---- program.c ---- */

NTSTATUS PspKeepPath(PEPROCESS Process, PCUNICODE_STRING Path); /* STATUS_INSUFFICIENT_RESOURCES */

/* An address space of an image section: the image, ntdll, a PEB with empty parameters. STATUS_SECTION_NOT_IMAGE. */
NTSTATUS PspFillFromSection(PEPROCESS Process, PVOID Section);

/* In the process, attached: */

NTSTATUS PspAllocateUser(PVOID *Base, SIZE_T Bytes); /* memory of the program, zeroed */

NTSTATUS PspCreateTeb(PEPROCESS Process, const PSP_USER_STACK *Stack, PVOID *Teb);
/* A thread that will run Routine(Argument) by way of ntdll, with a stack of its own; not readied. */
NTSTATUS PspCreateProgramThread(PEPROCESS Process, const PSP_USER_STACK *Stack, ULONG64 Routine, ULONG64 Argument,
                                PETHREAD *Thread);
