/*
 * ke.h - the kernel core: processors, threads, traps, DPCs, bug checks.
 *
 * What drivers see of these is in the DDK headers; this is what the other components see.
 */
#pragma once

#include <ntos/loader.h>
#include <ntos/ntos.h>

#define KI_MAXIMUM_PROCESSORS 64 /* bits of KAFFINITY */
#define KI_PRIORITIES         32

/* Interrupt vectors; vector >> 4 is the IRQL the handler runs at. */
#define KI_VECTOR_APC      0x1F /* self-IPI: APC delivery when IRQL falls below APC_LEVEL */
#define KI_VECTOR_DPC      0x2F /* self-IPI: DPCs and rescheduling when IRQL falls below DISPATCH_LEVEL */
#define KI_VECTOR_DEVICE   0x30 /* 0x30..0xBF: devices */
#define KI_VECTOR_CLOCK    0xD1
#define KI_VECTOR_IPI      0xE1 /* call function, freeze (src/ke/ipi.c) */
#define KI_VECTOR_TLB      0xE2 /* shootdown (src/mm/tables/tlb.c) */
#define KI_VECTOR_SPURIOUS 0xDF /* local APIC; takes no end of interrupt */
#define KI_VECTOR_PIC      0xF0 /* 0xF0..0xFF: where the masked 8259s would deliver a spurious IRQ 7 or 15 */

/* One processor's private part, at GS:0x180. Offsets 4 and 8 are ABI of the DDK's inlines. */
typedef struct _KPRCB {
    ULONG MxCsr;
    USHORT Number; /* (c) */
    USHORT Reserved;
    struct _KTHREAD *CurrentThread; /* this processor only */
    struct _KTHREAD *NextThread;    /* (d) chosen to run next, or NULL */
    struct _KTHREAD *IdleThread;    /* (c) */
    ULONG64 KernelStackTop;         /* for SYSCALL entry and trap.asm */
    ULONG64 UserRsp;                /* the SYSCALL entry's only scratch word; interrupts off */
    ULONG ApicId;                   /* (c) */
    KAFFINITY SetMember;            /* (c) 1 << Number */
    struct _KI_DISPATCH *Dispatch;  /* scheduler, DPC and timer state of this processor (src/ke/kip.h) */
    struct _MI_PROCESSOR *Mm;       /* memory manager's per-processor state (src/mm/mip.h) */
    ULONG64 Traps, PageFaults, Interrupts, DpcCount, ContextSwitches; /* counters, this processor only */
    ULONG64 SpinContentions, SpinLoops; /* spin locks: acquisitions that had to wait, and their loops */
    ULONG64 SystemCalls;                /* services called */
    ULONG64 KernelTicks, UserTicks;     /* clock ticks that found another thread than the idle one running, by mode */
    ULONG64 IpiCalls;                   /* functions called here for another processor */
    volatile LONG Tickless;             /* idle, and its clock does not tick (src/ke/idle.c) */
    ULONG64 TicklessSince;              /* interrupt time, while Tickless */
    ULONG64 TicklessCount;              /* how often it stopped ticking */
    volatile ULONG64 ClockTicks;        /* clock interrupts taken */
    ULONG64 LastTick, WatchTime;        /* interrupt time of the last one; time counted as a watchdog */
} KPRCB, *PKPRCB;

/* KPCR as the DDK declares it, padded so that the PRCB is where the DDK's inlines read it. */
typedef struct _KIPCR {
    KPCR Pcr;
    UCHAR Align[0x180 - sizeof(KPCR)];
    KPRCB Prcb;
} KIPCR, *PKIPCR;
C_ASSERT(FIELD_OFFSET(KIPCR, Prcb) == 0x180);
C_ASSERT(FIELD_OFFSET(KPRCB, Number) == 4);
C_ASSERT(FIELD_OFFSET(KPRCB, CurrentThread) == 8);
C_ASSERT(FIELD_OFFSET(KIPCR, Prcb.KernelStackTop) == 0x1A0 && FIELD_OFFSET(KIPCR, Prcb.UserRsp) == 0x1A8); /* *.asm */

FORCEINLINE PKPRCB KeGetCurrentPrcb(VOID)
{
    return (PKPRCB)__readgsqword(FIELD_OFFSET(KPCR, CurrentPrcb));
}

extern PKPRCB KiProcessorBlock[KI_MAXIMUM_PROCESSORS]; /* (c) once the processor runs */
extern ULONG KeNumberOfActiveProcessors;               /* processors that run */
extern LOADER_BLOCK *KeLoaderBlock;                    /* valid until the end of phase 1 */

/* ---- Traps (src/ke/trap.c) ---- */

/*
 * Interrupt service by vector: called with IRQL = vector >> 4, interrupts enabled at that IRQL. The end of interrupt is
 * sent by the caller: after the routine, but before it for the self-IPIs, whose routines switch threads.
 */
typedef VOID (*PKI_VECTOR_ROUTINE)(PKTRAP_FRAME Frame, PVOID Context);

/* Takes a vector for a routine. IRQL: <= HIGH_LEVEL. Fails: STATUS_RESOURCE_IN_USE if the vector is taken. */
NTSTATUS KiConnectVector(ULONG Vector, PKI_VECTOR_ROUTINE Routine, PVOID Context);
VOID KiDisconnectVector(ULONG Vector);

/*
 * The kernel debugger's part in exceptions, set once by it: TRUE if it dealt with the exception and Frame holds
 * where to go on. Called with the trap's interrupt state, before (FirstChance) and after the handlers on the stack.
 */
typedef BOOLEAN (*PKI_DEBUG_ROUTINE)(PEXCEPTION_RECORD Record, PKTRAP_FRAME Frame, BOOLEAN FirstChance);
extern PKI_DEBUG_ROUTINE KiDebugRoutine;

extern ULONG64 KiSpuriousInterrupts; /* interrupts nobody had connected */
extern ULONG64 KiSmapRetries;        /* user accesses of drivers allowed by setting AC */
extern BOOLEAN KiSmapEnabled;        /* (c) CR4.SMAP is set */

/* Prints the stop screen with registers and a symbolisable stack; never returns. IRQL: any. */
DECLSPEC_NORETURN VOID KiBugCheckTrap(ULONG Code, ULONG_PTR P1, ULONG_PTR P2, ULONG_PTR P3, ULONG_PTR P4,
                                      PKTRAP_FRAME Frame);

/* Walks the stack from a trap frame (or, NULL, from the caller); returns addresses stored. IRQL: any; never faults. */
ULONG KiCaptureStack(PKTRAP_FRAME Frame, PULONG64 Addresses, ULONG Maximum);

/* Memory access that never raises: FALSE when the range is not mapped (or not writable). IRQL: any. */
BOOLEAN KiCopyMemoryNoFault(PVOID Destination, const VOID *Source, SIZE_T Bytes);

/* Makes ready the processor that calls it: tables, PCR, control registers; it is not active yet. (src/ke/processor.c) */
struct _KI_PROCESSOR_AREA;
VOID KiInitializeProcessor(struct _KI_PROCESSOR_AREA *Area, ULONG Number, ULONG ApicId);

/* Starts the other processors. Phase 1. (src/ke/mp.c) */
VOID KeStartAllProcessors(VOID);
BOOLEAN KeStartProcessor(ULONG ApicId, ULONG64 MicroSeconds);

/* Stop the other processors outside anything they do at DISPATCH_LEVEL, and let them go on. (src/ke/ipi.c) */
KIRQL KeFreezeProcessors(VOID);
VOID KeThawProcessors(KIRQL OldIrql);

/* Exports that the DDK's headers do not declare: a routine in a DPC on every processor, and its barrier. (src/ke/ipi.c) */
VOID NTAPI KeGenericCallDpc(PKDEFERRED_ROUTINE Routine, PVOID Context);
VOID NTAPI KeSignalCallDpcDone(PVOID SystemArgument1);
LOGICAL NTAPI KeSignalCallDpcSynchronize(PVOID SystemArgument2);

/* Prints one line a frame, "  #0 0xFFFFF80000001234 ntoskrnl.exe+0x1234"; NULL: the caller's stack. IRQL: any. */
VOID KiPrintStack(PKTRAP_FRAME Frame);

/* ---- Loaded images (src/ke/image.c) ---- */

/* One loaded image. The leading fields are where public debuggers' scripts look for them. */
typedef struct _KLDR_DATA_TABLE_ENTRY {
    LIST_ENTRY InLoadOrderLinks; /* in PsLoadedModuleList */
    PVOID ExceptionTable;        /* (c) .pdata, sorted */
    ULONG ExceptionTableSize;    /* (c) bytes */
    PVOID GpValue;               /* unused on x64 */
    PVOID NonPagedDebugInfo;     /* unused */
    PVOID DllBase;               /* (c) */
    PVOID EntryPoint;            /* (c) */
    ULONG SizeOfImage;           /* (c) bytes */
    UNICODE_STRING FullDllName;  /* (c) */
    UNICODE_STRING BaseDllName;  /* (c) */
    ULONG Flags;
    USHORT LoadCount;
    CHAR Name[64]; /* (c) BaseDllName in ASCII, for printing at any IRQL */
} KLDR_DATA_TABLE_ENTRY, *PKLDR_DATA_TABLE_ENTRY;
C_ASSERT(FIELD_OFFSET(KLDR_DATA_TABLE_ENTRY, DllBase) == 0x30);

extern LIST_ENTRY PsLoadedModuleList;

/* What a lookup copies out of the table of images. The table of functions stays while code of the image runs. */
typedef struct _KI_IMAGE {
    ULONG64 Base;
    ULONG Size;      /* bytes */
    ULONG TableSize; /* bytes */
    PVOID Table;     /* .pdata, sorted */
    CHAR Name[32];   /* cut where it is longer */
} KI_IMAGE, *PKI_IMAGE;

VOID KiInitializeImages(LOADER_BLOCK *LoaderBlock);
BOOLEAN KiFindImage(ULONG64 Address, PKI_IMAGE Image); /* FALSE: in no image; IRQL: any */
BOOLEAN KiIsDriverAddress(ULONG64 Address);            /* in an image, and not the kernel's; IRQL: any */
/* For the loader (src/mm/system/sysimage.c); IRQL <= DISPATCH_LEVEL. STATUS_INSUFFICIENT_RESOURCES: the table is full. */
NTSTATUS KiEnterImage(PKLDR_DATA_TABLE_ENTRY Entry);
VOID KiRemoveImage(PKLDR_DATA_TABLE_ENTRY Entry);

/* ---- Threads and processes: the kernel's half; ETHREAD and EPROCESS in ps.h begin with these ---- */

typedef enum _KOBJECTS {
    EventNotificationObject = 0,
    EventSynchronizationObject = 1,
    MutantObject = 2,
    ProcessObject = 3,
    QueueObject = 4,
    SemaphoreObject = 5,
    ThreadObject = 6,
    GateObject = 7,
    TimerNotificationObject = 8,
    TimerSynchronizationObject = 9,
    ApcObject = 18,
    DpcObject = 19,
    DeviceQueueObject = 20,
    InterruptObject = 22,
    ThreadedDpcObject = 24
} KOBJECTS;

typedef enum _KTHREAD_STATE {
    Initialized,
    Ready,   /* in a ready queue */
    Running, /* a processor's CurrentThread */
    Standby, /* a processor's NextThread */
    Terminated,
    Waiting
} KTHREAD_STATE;

/* Besides the caller's objects, one wait block is for the thread's own timer. */
#define KI_TIMER_WAIT_BLOCK THREAD_WAIT_OBJECTS

/*
 * Locks: (d) dispatcher lock  (s) the thread itself only  (c) constant after creation. A KTHREAD lives as long as its
 * object has references; a thread that has not exited holds one on itself.
 */
typedef struct _KTHREAD {
    DISPATCHER_HEADER Header;  /* (d) signalled when the thread has ended */
    PVOID KernelStack;         /* saved RSP while not running (processor that switches) */
    PVOID StackTop;            /* (c) one past the highest byte */
    PVOID StackLimit;          /* (c) lowest mapped byte */
    PKTRAP_FRAME TrapFrame;    /* (s) innermost trap from user mode */
    struct _KPROCESS *Process; /* (c) owner; ApcState.Process is the address space in use */
    KAPC_STATE ApcState;       /* (d) */
    KAPC_STATE SavedApcState;  /* (d) while attached to another process */
    union {
        struct {
            SHORT KernelApcDisable;  /* (s) negative inside critical regions */
            SHORT SpecialApcDisable; /* (s) negative inside guarded regions */
        };
        LONG CombinedApcDisable;
    };
    UCHAR ApcStateIndex;          /* (d) 0 own process, 1 attached */
    BOOLEAN ApcQueueable;         /* (d) FALSE once the thread ends */
    BOOLEAN Alerted[MaximumMode]; /* (d) */
    KPROCESSOR_MODE PreviousMode; /* (s) */
    volatile UCHAR State;         /* (d) KTHREAD_STATE */
    SCHAR Priority;               /* (d) effective, 0..31 */
    SCHAR BasePriority;           /* (d) */
    SCHAR PriorityDecrement;      /* (d) boost still to decay */
    SCHAR Quantum;                /* (d) clock ticks left */
    UCHAR QuantumReset;           /* (d) */
    UCHAR Preempted;              /* (d) goes to the head of its queue */
    UCHAR NextProcessor;          /* (d) runs, ran or will run there */
    UCHAR IdealProcessor;         /* (d) */
    KIRQL WaitIrql;               /* (d) IRQL to return to from the wait */
    KPROCESSOR_MODE WaitMode;     /* (d) */
    BOOLEAN Alertable;            /* (d) the current wait is */
    BOOLEAN WaitNext;             /* (s) the dispatcher lock is held from a Wait=TRUE signal to the wait */
    UCHAR WaitReason;             /* (d) KWAIT_REASON */
    BOOLEAN SystemAffinityActive; /* (d) */
    LONG_PTR WaitStatus;          /* (d) */
    PKWAIT_BLOCK WaitBlockList;   /* (d) circular list of the current wait's blocks */
    KWAIT_BLOCK WaitBlock[THREAD_WAIT_OBJECTS + 1]; /* (d) */
    KTIMER Timer;                                   /* (d) time-out of the current wait */
    LIST_ENTRY QueueListEntry;                      /* (d) in a KQUEUE's thread list */
    PKQUEUE Queue;                                  /* (d) the KQUEUE whose items the thread serves */
    LIST_ENTRY ReadyListEntry;                      /* (d) in a ready queue */
    LIST_ENTRY MutantListHead;                      /* (d) mutants owned */
    LIST_ENTRY ThreadListEntry;                     /* (d) in Process->ThreadListHead */
    KAFFINITY Affinity;                             /* (d) */
    KAFFINITY UserAffinity;                         /* (d) to restore after KeRevertToUserAffinityThread */
    PVOID Teb;                                      /* (c) user address */
    PVOID StateSaveArea;                            /* (s) user XSAVE state while switched out; NULL: never in ring 3 */
    ULONG64 UserFsBase, UserGsBase;                 /* (s) while switched out */
    ULONG64 DebugRegisters[4];                      /* (s) DR0-DR3 in ring 3, sanitised */
    ULONG64 DebugStatus, DebugControl;              /* (s) DR6 of its last debug trap; DR7 */
    BOOLEAN DebugActive;                            /* (s) DebugControl enables one */
    BOOLEAN ExitRequested;                          /* (d) ends instead of going back to ring 3 */
    ULONG64 ReadyTime;                              /* (d) tick at which the thread became ready */
    ULONG ReadyScan;                                /* (d) its processor's Scans when it entered the queue */
    BOOLEAN StarvationBoost;                        /* (d) PriorityDecrement is to go whole at the quantum's end */
    ULONG KernelTime, UserTime;                     /* clock ticks charged (own processor) */
    ULONG64 ContextSwitches;                        /* (d) */
    LONG SuspendCount;                              /* (d) */
    KSEMAPHORE SuspendSemaphore;                    /* (d) a suspended thread waits for it */
    KAPC SuspendApc;                                /* (d) brings it there */
    BOOLEAN KernelStackResident;                    /* (d) */
    BOOLEAN AutoBoostDisabled;                      /* (d) KeSetEvent boosts are not applied */
} KTHREAD;

typedef struct _KPROCESS {
    DISPATCHER_HEADER Header;            /* (d) signalled when the process has ended */
    ULONG64 DirectoryTableBase;          /* (c) physical address of the PML4 */
    LIST_ENTRY ThreadListHead;           /* (d) */
    KAFFINITY Affinity;                  /* (d) default of new threads */
    volatile KAFFINITY ActiveProcessors; /* processors that have this address space loaded */
    SCHAR BasePriority;                  /* (d) */
    UCHAR QuantumReset;                  /* (d) */
    BOOLEAN ExitRequested;               /* (d) threads started from now on end at once */
    ULONG KernelTime, UserTime;          /* of threads that have ended, in ticks (d) */
    volatile ULONG64 TlbGeneration;      /* Mm: moves on with each loss of translations (src/mm/tables/pcid.c) */
} KPROCESS;

/* Sets the mode that services of the current thread take their caller to have come from; returns the old one. IRQL: any. */
FORCEINLINE KPROCESSOR_MODE KeSetPreviousMode(KPROCESSOR_MODE Mode)
{
    struct _KTHREAD *Thread = KeGetCurrentPrcb()->CurrentThread;
    KPROCESSOR_MODE Old = Thread->PreviousMode;

    Thread->PreviousMode = Mode;
    return Old;
}

/* Interrupts off, on the way into an interrupt that ended a sleep. (src/ke/idle.c) */
VOID KiLeaveTickless(PKPRCB Prcb);

/* Interrupt time and the clock (src/hal/clock.c). */
extern ULONG KeTimeIncrement; /* (c) 100 ns units a clock tick */

/* A spin lock without a change of IRQL, for callers that have turned interrupts off. (src/ke/spinlock.c) */
VOID KiAcquireSpinLock(PKSPIN_LOCK SpinLock);
VOID KiReleaseSpinLock(PKSPIN_LOCK SpinLock);
VOID KiAcquireListSpinLock(PKSPIN_LOCK SpinLock); /* the same, for the caller's lock of an ExInterlocked routine */

/* Two places in the SLIST pop (src/ex/slist.asm): the load that may fault, and where the routine starts over. */
extern UCHAR ExpInterlockedPopEntrySListFault[], ExpInterlockedPopEntrySListResume[];
BOOLEAN KiRestartSlistPop(PKTRAP_FRAME Frame); /* src/ke/trap.c */

/* ---- Threads, for Ps (src/ke/thread.c, where the contracts are) ---- */

#define KI_KERNEL_STACK_SIZE 0x6000 /* bytes; frames are limited to 3000, and drivers nest */

VOID KeInitializeProcess(PKPROCESS Process, ULONG64 DirectoryTableBase, SCHAR BasePriority);
VOID KeInitializeThread(PKTHREAD Thread, PKPROCESS Process, PVOID StackTop, KPRIORITY Priority);
VOID KeReadyThread(PKTHREAD Thread);
DECLSPEC_NORETURN VOID KeTerminateThread(PLIST_ENTRY Dead, PKEVENT Reaper);
PKTHREAD KeTakeDeadThread(PLIST_ENTRY Dead);
VOID KeDeleteThread(PKTHREAD Thread);
PKTHREAD KeGetNextThread(PKPROCESS Process, PKTHREAD Thread);
VOID KeStopApcs(PLIST_ENTRY List);
NTSTATUS KeSuspendThread(PKTHREAD Thread, PULONG PreviousCount);
ULONG KeResumeThread(PKTHREAD Thread);

/* Checks what must hold of the ready queues and processors; the number of findings. IRQL: <= DISPATCH_LEVEL. (show.c) */
ULONG KiVerifyScheduler(VOID);

/* ---- Ring 3 (src/ke/xstate.c, syscall.c, userframe.c) ---- */

PVOID KeCreateUserState(VOID);
VOID KeSaveFeatures(PVOID Area, ULONG64 Features); /* XSTATE_MASK_*, enabled ones; 64-byte aligned, of KeXstate.Size */
VOID KeLoadFeatures(const VOID *Area, ULONG64 Features);
VOID KeDeleteUserState(PVOID Area);
VOID KeCopyUserState(PVOID Area);             /* the calling thread's */
VOID KeCompleteUserFrame(PKTRAP_FRAME Frame); /* a copy of a frame becomes one that a new thread may begin with */
VOID KeInitializeExtendedState(VOID);         /* boot processor, after its control registers */

/* Extended state outside a CONTEXT: an XSAVE area in standard format. (src/ke/xcontext.c) */
#define KI_MOST_COMPONENTS 2112 /* bytes of AVX and AVX-512 behind the header */
typedef struct DECLSPEC_ALIGN(64) _KE_EXTENDED_STATE {
    UCHAR Legacy[512];
    ULONG64 Mask, CompactionMask, Reserved[6];
    UCHAR Components[KI_MOST_COMPONENTS];
} KE_EXTENDED_STATE, *PKE_EXTENDED_STATE;

/* ContextFlags of a CONTEXT that a CONTEXT_EX follows; the DDK's header has another value, which Windows does not know. */
#define KI_CONTEXT_XSTATE 0x40U

extern XSTATE_CONFIGURATION KeXstate; /* (c) what XSAVE saves here, and where */
ULONG KeExtendedStateBytes(VOID);
VOID KeGetExtendedState(PKE_EXTENDED_STATE State);
VOID KeSetExtendedState(PKE_EXTENDED_STATE State);
NTSTATUS KeCaptureExtendedState(PKE_EXTENDED_STATE State, const CONTEXT *Context);
VOID KeSetDebugRegisters(const CONTEXT *Context); /* src/ke/debugregs.c */
VOID KeGetDebugRegisters(PCONTEXT Context);
NTSTATUS KeReturnExtendedState(PCONTEXT Context, const KE_EXTENDED_STATE *State, ULONG64 Features);
VOID KeInitializeUserFrame(PKTRAP_FRAME Frame, ULONG64 Rip, ULONG64 Rsp, ULONG64 Rcx, ULONG64 Rdx);
DECLSPEC_NORETURN VOID KeEnterUserMode(PKTRAP_FRAME Frame, PVOID Area);
VOID KeRequestThreadExit(PKTHREAD Thread); /* src/ke/exit.c, as the next two */
VOID KeRequestProcessExit(PKPROCESS Process, PKTHREAD Except, BOOLEAN Final);
VOID KeSignalProcess(PKPROCESS Process);
extern ULONG64 KeUserExceptionDispatcher, KeUserApcDispatcher; /* (c) once ntdll is mapped */

/* Charges the interrupted thread with a tick, looks at its quantum and at due timers. CLOCK_LEVEL. (src/ke/sched.c) */
VOID KeUpdateRunTime(PKTRAP_FRAME Frame);

/* ---- Known to drivers, but not declared by the DDK's headers ---- */

typedef enum _KAPC_ENVIRONMENT {
    OriginalApcEnvironment,
    AttachedApcEnvironment,
    CurrentApcEnvironment,
    InsertApcEnvironment
} KAPC_ENVIRONMENT;

ULONG64 NTAPI KeQueryInterruptTimePrecise(PULONG64 QpcTimeStamp);
VOID NTAPI KeQuerySystemTimePrecise(PLARGE_INTEGER CurrentTime);
VOID NTAPI KeInitializeApc(PRKAPC Apc, PRKTHREAD Thread, KAPC_ENVIRONMENT Environment, PKKERNEL_ROUTINE KernelRoutine,
                           PKRUNDOWN_ROUTINE RundownRoutine, PKNORMAL_ROUTINE NormalRoutine, KPROCESSOR_MODE Mode,
                           PVOID NormalContext);
BOOLEAN NTAPI KeInsertQueueApc(PRKAPC Apc, PVOID SystemArgument1, PVOID SystemArgument2, KPRIORITY Increment);
BOOLEAN NTAPI KeRemoveQueueApc(PRKAPC Apc);
/* The calling thread's registers of ring 3 (src/ke/userframe.c). */
BOOLEAN KeHasUserContext(VOID);
VOID KeGetUserContext(PCONTEXT Context);
VOID KeSetUserContext(PCONTEXT Context);
BOOLEAN NTAPI KeAlertThread(PKTHREAD Thread, KPROCESSOR_MODE AlertMode);
BOOLEAN NTAPI KeTestAlertThread(KPROCESSOR_MODE AlertMode);
BOOLEAN NTAPI KeIsAttachedProcess(VOID);
KAFFINITY NTAPI KeSetAffinityThread(PKTHREAD Thread, KAFFINITY Affinity);
LONG NTAPI KeReleaseMutant(PRKMUTANT Mutant, KPRIORITY Increment, BOOLEAN Abandoned, BOOLEAN Wait);
