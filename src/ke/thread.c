/*
 * thread.c - the kernel's half of threads and processes: how one is made, begins and ends; the idle thread.
 *
 * A new thread's stack holds one frame as KiSwapContext would have left it, "returning" to KiThreadStartup. It begins at
 * PASSIVE_LEVEL with interrupts on, in the address space of its process. A thread ends on its own: it becomes
 * Terminated and signalled, its stack is left to the reaper (src/ps/thread.c), and it switches away for the last time.
 *
 * The idle thread of a processor halts it with interrupts on; whatever happens arrives as an interrupt, whose handler
 * switches to the thread that became ready.
 *
 * Locks: dispatcher. KiInitializeDispatcher: boot processor, interrupts off.
 */
#include "kip.h"

#include <ntos/init.h>
#include <ntos/ob.h>
#include <ntos/ps.h>

#define MXCSR_INITIAL 0x1F80 /* every exception masked, as after reset */

/* What KiSwapContext takes off a stack; ctxsw.asm. */
typedef struct _KI_SWITCH_FRAME {
    M128A Xmm[10];
    ULONG MxCsr;
    ULONG Padding[5];
    ULONG64 R15, R14, R13, R12, Rdi, Rsi, Rbp, Rbx;
    ULONG64 Return;
    ULONG64 End; /* 0: KiThreadStartup's return address, where stack walks stop */
} KI_SWITCH_FRAME;
C_ASSERT(FIELD_OFFSET(KI_SWITCH_FRAME, MxCsr) == 0xA0);
C_ASSERT(FIELD_OFFSET(KI_SWITCH_FRAME, R15) == 0xB8);
C_ASSERT(FIELD_OFFSET(KI_SWITCH_FRAME, Return) % 16 == 8);
C_ASSERT(FIELD_OFFSET(KTHREAD, KernelStack) == 0x18);

static KI_DISPATCH KiBootDispatch; /* the boot processor's: needed before there is a pool to take it from */
static ETHREAD KiBootIdleThread;

/* ---- Processes ---- */

/**
 * KeInitializeProcess - makes the kernel's half of a process.
 *
 * @DirectoryTableBase  physical address of its PML4
 *
 * IRQL: <= DISPATCH_LEVEL.
 */
VOID KeInitializeProcess(PKPROCESS Process, ULONG64 DirectoryTableBase, SCHAR BasePriority)
{
    Process->Header.Type = ProcessObject;
    Process->Header.Size = sizeof(KPROCESS) / sizeof(LONG);
    InitializeListHead(&Process->Header.WaitListHead);
    InitializeListHead(&Process->ThreadListHead);
    Process->DirectoryTableBase = DirectoryTableBase;
    Process->Affinity = KeQueryActiveProcessors();
    Process->BasePriority = BasePriority;
    Process->QuantumReset = KI_QUANTUM;
}

/* ---- Making threads ---- */

static VOID InitializeWaiting(PKTHREAD Thread)
{
    PKWAIT_BLOCK TimerBlock = &Thread->WaitBlock[KI_TIMER_WAIT_BLOCK];

    KeInitializeTimerEx(&Thread->Timer, SynchronizationTimer);
    TimerBlock->Thread = Thread;
    TimerBlock->Object = &Thread->Timer;
    TimerBlock->WaitKey = STATUS_TIMEOUT;
    TimerBlock->WaitType = WaitAny;
    InitializeListHead(&Thread->MutantListHead);
    for (ULONG Mode = KernelMode; Mode < MaximumMode; Mode++) {
        InitializeListHead(&Thread->ApcState.ApcListHead[Mode]);
        InitializeListHead(&Thread->SavedApcState.ApcListHead[Mode]);
    }
    Thread->ApcQueueable = TRUE;
    KiInitializeSuspend(Thread);
}

static VOID BuildStack(PKTHREAD Thread, PVOID StackTop)
{
    KI_SWITCH_FRAME *Frame = (KI_SWITCH_FRAME *)StackTop - 1;

    memset(Frame, 0, sizeof(*Frame));
    Frame->MxCsr = MXCSR_INITIAL;
    Frame->Rbx = (ULONG64)Thread;
    Frame->Return = (ULONG64)KiThreadStartup;
    Thread->StackTop = StackTop;
    Thread->StackLimit = (PUCHAR)StackTop - KI_KERNEL_STACK_SIZE;
    Thread->KernelStack = Frame;
    VfFillStack(Thread->StackLimit, Frame);
}

/**
 * KeInitializeThread - makes the kernel's half of a thread; it does not run before KeReadyThread.
 *
 * @Thread    zeroed; part of an ETHREAD whose StartAddress and StartContext are set
 * @StackTop  from MmCreateKernelStack(KI_KERNEL_STACK_SIZE)
 *
 * IRQL: <= DISPATCH_LEVEL.
 */
VOID KeInitializeThread(PKTHREAD Thread, PKPROCESS Process, PVOID StackTop, KPRIORITY Priority)
{
    Thread->Header.Type = ThreadObject;
    Thread->Header.Size = sizeof(KTHREAD) / sizeof(LONG);
    InitializeListHead(&Thread->Header.WaitListHead);
    InitializeWaiting(Thread);
    Thread->Process = Process;
    Thread->ApcState.Process = Process;
    Thread->Priority = (SCHAR)Priority;
    Thread->BasePriority = (SCHAR)Priority;
    Thread->QuantumReset = Process->QuantumReset;
    Thread->Quantum = (SCHAR)Thread->QuantumReset;
    Thread->Affinity = Process->Affinity;
    Thread->UserAffinity = Process->Affinity;
    Thread->IdealProcessor = (UCHAR)KeGetCurrentPrcb()->Number;
    Thread->NextProcessor = Thread->IdealProcessor;
    Thread->KernelStackResident = TRUE;
    Thread->State = Initialized;
    BuildStack(Thread, StackTop);
}

/* Lets a new thread run. IRQL: <= DISPATCH_LEVEL. */
VOID KeReadyThread(PKTHREAD Thread)
{
    KIRQL OldIrql = KiAcquireDispatcherLock();

    ASSERT(Thread->State == Initialized);
    Thread->ExitRequested |= Thread->Process->ExitRequested;
    InsertTailList(&Thread->Process->ThreadListHead, &Thread->ThreadListEntry);
    KiReadyThread(Thread);
    KiReleaseDispatcherLock(OldIrql);
}

DECLSPEC_NORETURN VOID KiThreadStart(PKTHREAD Thread)
{
    PETHREAD Ethread = CONTAINING_RECORD(Thread, ETHREAD, Tcb);

    KiReleaseSpinLock(&KiDispatcherLock);
    _enable();
    KiCheckForKernelApc(Thread); /* one that came before the thread did */
    KeLowerIrql(PASSIVE_LEVEL);
    Ethread->StartAddress(Ethread->StartContext);
    PsTerminateSystemThread(STATUS_SUCCESS);
    KeBugCheckEx(NO_USER_MODE_CONTEXT, (ULONG_PTR)Thread, 0, 0, 0);
}

/* ---- Ending ---- */

/**
 * KeTerminateThread - the calling thread's last act: signalled, never to run again.
 *
 * @Dead    list that the thread is entered in by QueueListEntry
 * @Reaper  event set once it is; who waits for it may free the stack and drop the thread's reference on itself
 *
 * IRQL: <= APC_LEVEL. The caller has run down what the thread owns.
 */
DECLSPEC_NORETURN VOID KeTerminateThread(PLIST_ENTRY Dead, PKEVENT Reaper)
{
    PKTHREAD Thread = KeGetCurrentThread();

    KiAcquireDispatcherLock();
    KiAbandonMutants(Thread);
    KiLeaveQueue(Thread);
    Thread->Process->KernelTime += Thread->KernelTime;
    Thread->Process->UserTime += Thread->UserTime;
    Thread->State = Terminated;
    Thread->Header.SignalState = 1;
    if (!IsListEmpty(&Thread->Header.WaitListHead)) {
        KiWaitTest(&Thread->Header, IO_NO_INCREMENT);
    }
    /* The reaper cannot run before the dispatcher lock is free, and it is not before this stack is left. */
    InsertTailList(Dead, &Thread->QueueListEntry);
    Reaper->Header.SignalState = 1;
    KiWaitTest(&Reaper->Header, IO_NO_INCREMENT);
    KiSwapThread();
    KeBugCheckEx(THREAD_STUCK_IN_DEVICE_DRIVER, (ULONG_PTR)Thread, 0, 0, 0);
}

/* A thread object goes: out of its process's list, if it ever came to run. IRQL: <= DISPATCH_LEVEL. */
VOID KeDeleteThread(PKTHREAD Thread)
{
    KIRQL OldIrql = KiAcquireDispatcherLock();

    if (Thread->ThreadListEntry.Flink != NULL) {
        RemoveEntryList(&Thread->ThreadListEntry);
    }
    KiReleaseDispatcherLock(OldIrql);
}

/**
 * KeGetNextThread - the thread after one in its process's list, ended ones included.
 *
 * @Thread  referenced by the caller; NULL: from the beginning
 * returns  a thread, referenced; NULL: no more
 *
 * IRQL: <= DISPATCH_LEVEL.
 */
PKTHREAD KeGetNextThread(PKPROCESS Process, PKTHREAD Thread)
{
    KIRQL OldIrql = KiAcquireDispatcherLock();
    PLIST_ENTRY Entry = Thread != NULL ? &Thread->ThreadListEntry : &Process->ThreadListHead;
    PKTHREAD Next = NULL;

    while (Next == NULL && (Entry = Entry->Flink) != &Process->ThreadListHead) {
        PKTHREAD Candidate = CONTAINING_RECORD(Entry, KTHREAD, ThreadListEntry);
        if (ObReferenceObjectSafe(Candidate)) {
            Next = Candidate;
        }
    }
    KiReleaseDispatcherLock(OldIrql);
    return Next;
}

/* Takes a dead thread off the list; NULL: none. IRQL: <= DISPATCH_LEVEL. */
PKTHREAD KeTakeDeadThread(PLIST_ENTRY Dead)
{
    PKTHREAD Thread = NULL;
    KIRQL OldIrql = KiAcquireDispatcherLock();

    if (!IsListEmpty(Dead)) {
        Thread = CONTAINING_RECORD(RemoveHeadList(Dead), KTHREAD, QueueListEntry);
    }
    KiReleaseDispatcherLock(OldIrql);
    return Thread;
}

/**
 * KeStopApcs - a thread that ends takes no more APCs.
 *
 * @List  receives the ones that were queued, linked by ApcListEntry
 *
 * IRQL: <= APC_LEVEL. The calling thread.
 */
VOID KeStopApcs(PLIST_ENTRY List)
{
    PKTHREAD Thread = KeGetCurrentThread();
    KIRQL OldIrql = KiAcquireDispatcherLock();

    Thread->ApcQueueable = FALSE;
    KiFlushApcs(Thread, List);
    KiReleaseDispatcherLock(OldIrql);
}

/* ---- Start of the dispatcher ---- */

VOID KiInitializeProcessorDispatch(PKPRCB Prcb, PKI_DISPATCH Dispatch)
{
    for (ULONG i = 0; i < KI_PRIORITIES; i++) {
        InitializeListHead(&Dispatch->ReadyList[i]);
    }
    KiInitializeDpcs(Dispatch);
    Prcb->Dispatch = Dispatch;
}

/* The idle thread: of no ready queue, at priority 0, bound to its processor. */
BOOLEAN KiInitializeIdleThread(PKPRCB Prcb, PETHREAD Ethread, PKPROCESS Process)
{
    PVOID StackTop = MmCreateKernelStack(KI_KERNEL_STACK_SIZE);

    if (StackTop == NULL) {
        return FALSE;
    }
    Ethread->StartAddress = KiIdleLoop;
    Ethread->SystemThread = TRUE;
    KeInitializeThread(&Ethread->Tcb, Process, StackTop, LOW_PRIORITY);
    Ethread->Tcb.Affinity = Prcb->SetMember;
    Ethread->Tcb.State = Running;
    Ethread->Tcb.NextProcessor = (UCHAR)Prcb->Number;
    Ethread->Tcb.IdealProcessor = (UCHAR)Prcb->Number;
    Prcb->IdleThread = &Ethread->Tcb;
    return TRUE;
}

/**
 * KiInitializeDispatcher - makes the idle thread and the phase-1 thread and starts switching.
 *
 * Boot processor, interrupts off, IRQL APC_LEVEL; on the boot stack, which is left for good. Never returns.
 */
DECLSPEC_NORETURN VOID KiInitializeDispatcher(PKSTART_ROUTINE Phase1)
{
    PKPRCB Prcb = KeGetCurrentPrcb();
    PETHREAD First;
    KTHREAD Boot; /* what runs now goes nowhere */

    KiInitializeProcessorDispatch(Prcb, &KiBootDispatch);
    KiInitializeTimers();
    PspInitializePhase0();
    if (!KiInitializeIdleThread(Prcb, &KiBootIdleThread, &PsInitialSystemProcess->Pcb)) {
        KeBugCheckEx(PROCESS1_INITIALIZATION_FAILED, 0, 0, 0, 0);
    }
    KiConnectVector(KI_VECTOR_DPC, KiDpcInterrupt, NULL);
    KiConnectVector(KI_VECTOR_APC, KiApcInterrupt, NULL);
    if (!NT_SUCCESS(PspAllocateSystemThread(&First, Phase1, NULL, LOW_REALTIME_PRIORITY - 1))) {
        KeBugCheckEx(PROCESS1_INITIALIZATION_FAILED, 1, 0, 0, 0);
    }
    KiAcquireDispatcherLock();
    InsertTailList(&First->Tcb.Process->ThreadListHead, &First->Tcb.ThreadListEntry);
    First->Tcb.State = Running;
    Prcb->CurrentThread = &First->Tcb;
    Prcb->KernelStackTop = (ULONG64)First->Tcb.StackTop;
    KiSwapContext(&Boot, &First->Tcb);
    KeBugCheckEx(PROCESS1_INITIALIZATION_FAILED, 2, 0, 0, 0);
}
