/*
 * ps.h - threads and processes as objects: the executive's part around KTHREAD and KPROCESS.
 *
 * Fields named after a component belong to it; Ps only zeroes them. Drivers see these types as opaque.
 */
#pragma once

#include <ntos/ke.h>
#include <ntos/vmsvc.h>

/* Makes an object known by its identifier (src/ps/cid.c). */
typedef struct _PSP_CID {
    LIST_ENTRY Link; /* (cid lock) */
    HANDLE Id;       /* (c) */
    PVOID Object;    /* (c) NULL: not entered */
} PSP_CID, *PPSP_CID;

/* The first registers of a program's thread. */
typedef struct _PSP_USER_START {
    ULONG64 Rip, Rsp, Rcx, Rdx;
    PVOID Teb;
    PVOID Stack; /* lowest reserved byte; released, as the TEB is, when the thread ends before its process */
    PKTRAP_FRAME
    Clone; /* pool: what the thread was copied from has been doing; NULL: it begins anew (src/ps/clone.c) */
} PSP_USER_START;

typedef struct _ETHREAD {
    KTHREAD Tcb; /* first: a KTHREAD and its ETHREAD have one address */
    LARGE_INTEGER CreateTime;
    LARGE_INTEGER ExitTime;
    NTSTATUS ExitStatus; /* valid once Tcb.Header is signalled */
    CLIENT_ID Cid;       /* (c) */
    PSP_CID CidEntry;
    struct _EPROCESS *ThreadsProcess; /* (c) referenced */
    PKSTART_ROUTINE StartAddress;     /* (c) */
    PVOID StartContext;               /* (c) */
    KSPIN_LOCK ActiveTimerListLock;
    LIST_ENTRY ActiveTimerListHead;
    LIST_ENTRY IrpList;            /* Io: IRPs issued by this thread (APC_LEVEL, own thread) */
    ULONG_PTR TopLevelIrp;         /* Io: IoGetTopLevelIrp (own thread) */
    PVOID DeviceToVerify;          /* Io */
    ULONG ReadClusterSize;         /* Mm */
    ULONG ActiveFaultCount;        /* Mm: page faults in progress (own thread) */
    BOOLEAN MemoryMaker;           /* Mm: may use the reserves (own thread) */
    BOOLEAN HardErrorsAreDisabled; /* Io (own thread) */
    BOOLEAN SystemThread;          /* (c) */
    BOOLEAN Announced;             /* (c) notify routines know of it */
    BOOLEAN Terminated;            /* (d) PspExitThread has begun */
    BOOLEAN ActiveExWorker;        /* Ex: a work-queue thread */
    PSP_USER_START UserStart;      /* (c) programs' threads */
    KEVENT AlertById;              /* programs' threads: src/ps/alert.c */
    PVOID Win32StartAddress;       /* what the creator said; programs may change it */
    UNICODE_STRING Name;           /* (PspNameLock) pool; src/ps/infotext.c */
    BOOLEAN HideFromDebugger;      /* kept; nobody debugs */
    PVOID UserState;               /* (c) XSAVE area, freed by the reaper; NULL: not of a program */
    struct {
        PACCESS_TOKEN Token; /* referenced; NULL: the thread acts for itself */
        BOOLEAN CopyOnOpen, EffectiveOnly;
        SECURITY_IMPERSONATION_LEVEL Level;
    } Impersonation; /* Se: SepImpersonationLock */
#if NT_CHK
    VF_THREAD Locks; /* verifier: locks held over waits (own thread) */
#endif
} ETHREAD;
C_ASSERT(FIELD_OFFSET(ETHREAD, Tcb) == 0);

typedef struct _PS_POOL_USAGE { /* (ExpQuotaLock) bytes */
    volatile LONG64 Usage;
    LONG64 Peak; /* highest Usage seen */
} PS_POOL_USAGE;
typedef struct _PS_QUOTA_BLOCK *PPS_QUOTA_BLOCK;

typedef struct _EPROCESS {
    KPROCESS Pcb;           /* first: as for ETHREAD */
    HANDLE UniqueProcessId; /* (c) */
    PSP_CID CidEntry;
    LIST_ENTRY ActiveProcessLinks; /* (process list lock) from complete creation to deletion */
    LARGE_INTEGER CreateTime;      /* (c) */
    LARGE_INTEGER ExitTime;        /* valid once Pcb.Header is signalled, as ExitStatus is */
    HANDLE ParentId;               /* (c) the process that made it */
    BOOLEAN Announced;             /* (c) notify routines know of it */
    NTSTATUS ExitStatus;
    PVOID ObjectTable;   /* Ob: handle table */
    PVOID VadRoot;       /* Mm */
    PVOID MmSupport;     /* Mm: working set */
    PVOID SectionObject; /* Mm */
    PS_POOL_USAGE
    PoolUsage[2]; /* nonpaged, paged: its part of its quota block's, objects not counted; src/ex/quota.c */
    PPS_QUOTA_BLOCK volatile QuotaBlock; /* referenced; changes once at most. NULL: never charged */
    PPS_QUOTA_BLOCK InheritedQuota;      /* (c) its parent's, referenced unless QuotaBlock is the same */
    PVOID Peb;
    PACCESS_TOKEN Token;           /* Se */
    BOOLEAN TokenFrozen;           /* a thread has run: the token stays */
    EX_RUNDOWN_REF RundownProtect; /* held by who works in the address space; run down before that goes */
    FAST_MUTEX ExitLock;
    LONG UserThreads;         /* (ExitLock) threads that have not begun to end */
    LONG UnreapedThreads;     /* (ExitLock) threads whose stacks exist */
    BOOLEAN Exiting;          /* (ExitLock) ExitStatus is final; no more threads */
    BOOLEAN LeftJob;          /* (job's lock) it has ended, as far as its job knows */
    UCHAR PriorityClass;      /* PROCESS_PRIORITY_CLASS_* */
    ULONG64 PageFaults;       /* (Mm: working-set lock) of its user half, whatever came of them */
    IO_COUNTERS Io;           /* interlocked: requests that services made for it, when they end (src/io/account.c) */
    ULONG64 PagefileLimit;    /* pages that the process may commit; 0: no limit of its own */
    UNICODE_STRING ImagePath; /* (c) pool: the NT path of the program; none of a process made by the kernel */
    SECTION_IMAGE_INFORMATION ImageInformation; /* (c) */
    struct _PSP_JOB *Job;                       /* set once, interlocked; referenced until the process is deleted */
    LIST_ENTRY JobLinks;                        /* (job's lock) until LeftJob */
    CHAR ImageFileName[16];                     /* (c) for displays */
} EPROCESS;
C_ASSERT(FIELD_OFFSET(EPROCESS, Pcb) == 0);

extern PEPROCESS PsInitialSystemProcess; /* (c) owns every system thread that was not given to another process */

/* A process without threads, for system threads or to attach to; the contract is in src/ps/create.c. */
NTSTATUS PspCreateProcess(PEPROCESS *Process, PCSTR Name);

/* Keeps the address space of a process in place until released. IRQL: <= APC_LEVEL. */
NTSTATUS NTAPI PsAcquireProcessExitSynchronization(PEPROCESS Process); /* STATUS_PROCESS_IS_TERMINATING */
VOID NTAPI PsReleaseProcessExitSynchronization(PEPROCESS Process);

/* ---- What processes are charged of the pools, in bytes (src/ex/quota.c); IRQL: <= DISPATCH_LEVEL ---- */

typedef struct _PS_POOL_QUOTA {
    SIZE_T Usage, Peak, Limit;
} PS_POOL_QUOTA, *PPS_POOL_QUOTA;

VOID PsInitializeQuota(VOID); /* phase 1 */
/* A new process, which nobody knows yet, shares its parent's quota block; one that is deleted gives it up. */
VOID PsInheritQuota(PEPROCESS Parent, PEPROCESS Child);
VOID PsForgetQuota(PEPROCESS Process);
/* A quota block as it is now: a snapshot. */
VOID PsQueryQuota(PEPROCESS Process, POOL_TYPE PoolType, PPS_POOL_QUOTA Quota);

/**
 * PsSetQuotaLimits - limits of a process's own; it no longer shares its parent's.
 *
 * @Process          not the system process
 * @NonPaged, @Paged bytes; 0, or more than there can be: the default. What is charged already stays
 * returns           STATUS_SUCCESS; STATUS_INSUFFICIENT_RESOURCES
 */
NTSTATUS PsSetQuotaLimits(PEPROCESS Process, ULONG64 NonPaged, ULONG64 Paged);

/**
 * PsChargeSharedPoolQuota - charges what may outlive the process to its quota block.
 *
 * @Charged  gets the block, referenced until PsReturnSharedPoolQuota returns the same amounts; NULL: the process is never charged
 * returns   STATUS_SUCCESS; STATUS_QUOTA_EXCEEDED: nothing is charged
 */
NTSTATUS PsChargeSharedPoolQuota(PEPROCESS Process, SIZE_T Paged, SIZE_T NonPaged, PPS_QUOTA_BLOCK *Charged);
VOID PsReturnSharedPoolQuota(PPS_QUOTA_BLOCK Block, SIZE_T Paged, SIZE_T NonPaged);

VOID PsQueryProcessUse(PEPROCESS Process, PVM_COUNTERS Memory); /* as ProcessVmCounters. PASSIVE_LEVEL */

/* Calls the routines that drivers want called for images. PASSIVE_LEVEL; ProcessId 0: a driver. (src/ps/notify.c) */
BOOLEAN PsIsImageLoadWatched(VOID); /* there are any */
VOID PsNotifyLoadImage(PUNICODE_STRING Name, HANDLE ProcessId, PIMAGE_INFO Info);

/**
 * PspCreateSystemThread - a thread of the system process, without a handle.
 *
 * @Thread    receives the thread object, referenced for the caller (ObDereferenceObject)
 * @Priority  0..31
 * returns    STATUS_SUCCESS; STATUS_INSUFFICIENT_RESOURCES
 *
 * IRQL: <= APC_LEVEL. The thread starts at PASSIVE_LEVEL. PspAllocateSystemThread leaves it for KeReadyThread to start.
 */
NTSTATUS PspAllocateSystemThread(PETHREAD *Thread, PKSTART_ROUTINE StartRoutine, PVOID StartContext,
                                 KPRIORITY Priority);
NTSTATUS PspCreateSystemThread(PETHREAD *Thread, PKSTART_ROUTINE StartRoutine, PVOID StartContext, KPRIORITY Priority);

/* The system process, before the first thread. Boot processor, interrupts off. (src/ps/process.c) */
VOID PspInitializePhase0(VOID);

/**
 * PsGetNextProcess - walks the processes, in the order of their creation.
 *
 * @Process  NULL, or the one returned last, whose reference is dropped
 * returns   a process, referenced; NULL: no more
 *
 * IRQL: <= APC_LEVEL. PsGetNextProcessThread does the same for the threads of a process.
 */
PEPROCESS PsGetNextProcess(PEPROCESS Process);
PETHREAD PsGetNextProcessThread(PEPROCESS Process, PETHREAD Thread);

/*
 * Whether the process's quota and its job let it commit Pages more than Committed. TRUE: PspEndCommit is due when Mm has charged, or has not; until
 * then the job's lock may be held. IRQL: <= DISPATCH_LEVEL; the PFN lock is not held. (src/ps/job.c)
 */
typedef struct _PSP_COMMIT {
    struct _PSP_JOB *Job;
    KIRQL Irql;
} PSP_COMMIT, *PPSP_COMMIT;
BOOLEAN PspBeginCommit(PEPROCESS Process, ULONG64 Committed, ULONG64 Pages, PPSP_COMMIT Hold);
VOID PspEndCommit(PPSP_COMMIT Hold);

/* ---- The end of programs' threads (src/ps/exit.c); PASSIVE_LEVEL ---- */

DECLSPEC_NORETURN VOID PspExitThread(NTSTATUS ExitStatus);  /* the calling thread of a program */
DECLSPEC_NORETURN VOID PspExitProcess(NTSTATUS ExitStatus); /* its process with all threads */

/* ---- Known to drivers, but not declared by the DDK's headers (src/ps/query.c) ---- */

PEPROCESS NTAPI PsGetCurrentThreadProcess(VOID);
HANDLE NTAPI PsGetCurrentThreadProcessId(VOID);
HANDLE NTAPI PsGetProcessInheritedFromUniqueProcessId(PEPROCESS Process);
PSTR NTAPI PsGetProcessImageFileName(PEPROCESS Process);
NTSTATUS NTAPI PsGetProcessExitStatus(PEPROCESS Process);
BOOLEAN NTAPI PsGetProcessExitProcessCalled(PEPROCESS Process);
BOOLEAN NTAPI PsIsSystemProcess(PEPROCESS Process);
PVOID NTAPI PsGetProcessPeb(PEPROCESS Process);
PEPROCESS NTAPI PsGetThreadProcess(PETHREAD Thread);
PVOID NTAPI PsGetThreadTeb(PETHREAD Thread);
PVOID NTAPI PsGetCurrentThreadTeb(VOID);
KPROCESSOR_MODE NTAPI PsGetCurrentThreadPreviousMode(VOID);
PVOID NTAPI PsGetCurrentThreadStackBase(VOID);
PVOID NTAPI PsGetCurrentThreadStackLimit(VOID);
BOOLEAN NTAPI PsGetThreadHardErrorsAreDisabled(PETHREAD Thread);
VOID NTAPI PsSetThreadHardErrorsAreDisabled(PETHREAD Thread, BOOLEAN Disabled);
NTSTATUS NTAPI PsSuspendProcess(PEPROCESS Process);
NTSTATUS NTAPI PsResumeProcess(PEPROCESS Process);
NTSTATUS NTAPI NtOpenThread(PHANDLE ThreadHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                            PCLIENT_ID ClientId);

/*
 * A touch of the guard page of the current thread's stack commits the next page (src/ps/userthread.c). STATUS_SUCCESS: go on;
 * STATUS_GUARD_PAGE_VIOLATION: Address is not in that stack; STATUS_STACK_OVERFLOW.
 */
NTSTATUS PspGrowUserStack(PVOID Address);
