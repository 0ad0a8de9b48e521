/*
 * kip.h - the dispatcher's private face: the dispatcher lock, ready queues, waits, timers, DPCs.
 *
 * Dispatcher lock. One spin lock, KiDispatcherLock, at DISPATCH_LEVEL, guards every dispatcher object, thread state,
 * ready queue, APC queue and timer. It is held across a context switch: the thread that switches away takes it, the
 * thread that comes out of KiSwapContext (or starts) releases it. So no processor can pick up a thread whose registers
 * are not saved yet, and a wait has no window between "I wait" and "I am gone". Code that readies a thread sets it as NextThread
 * of an idle processor or of one that runs something of lower priority; KiReleaseDispatcherLock switches at once if
 * that is this processor and IRQL allows, otherwise a KI_VECTOR_DPC interrupt does.
 *
 * Nothing that can fault, wait, allocate or print runs under it. Fields marked (d) in ke.h are its.
 */
#pragma once

#include <ntos/hal.h>
#include <ntos/ke.h>
#include <ntos/mm.h>

#define SYNCH_LEVEL 12

/* Clock ticks a thread may run while others of its priority wait: about 31 ms. */
#define KI_QUANTUM 2

/* Clock ticks of a processor between two searches of its queues for starved threads: one second. */
#define KI_SCAN_TICKS 64

/* One processor's dispatcher state. */
typedef struct _KI_DISPATCH {
    LIST_ENTRY ReadyList[KI_PRIORITIES]; /* (d) */
    ULONG ReadySummary;                  /* (d) bit n: ReadyList[n] is not empty */
    ULONG ReadyCount;                    /* (d) threads in ReadyList */
    ULONG Scans;                         /* (d) searches for starved threads so far */
    ULONG64 StarvationBoosts;            /* (d) threads that were lent a priority */
    ULONG ScanTicks;                     /* this processor's clock: ticks since the last search, with threads ready */
    BOOLEAN ScanDue;                     /* set by this processor's clock, cleared by its DPC interrupt */
    BOOLEAN QuantumEnd;                  /* set by this processor's clock, cleared by its DPC interrupt */
    BOOLEAN TimerDue;                    /* likewise */
    BOOLEAN DpcActive;                   /* this processor drains its DPC queue */
    volatile LONG Called;                /* interlocked; interrupted for its NextThread and has not looked yet */
    KSPIN_LOCK DpcLock;                  /* taken with interrupts off */
    LIST_ENTRY DpcList;                  /* (DpcLock) */
    ULONG DpcDepth;                      /* (DpcLock) */
    PKDPC CurrentDpc;                    /* being run, for diagnosis */
} KI_DISPATCH, *PKI_DISPATCH;

extern KSPIN_LOCK KiDispatcherLock;
extern KAFFINITY KiIdleSummary; /* (d) processors that run their idle thread and have no NextThread */

/* ---- sched.c: all under the dispatcher lock ---- */

KIRQL KiAcquireDispatcherLock(VOID);
/* Switches to NextThread if there is one and OldIrql allows; then releases the lock and lowers IRQL. */
VOID KiReleaseDispatcherLock(KIRQL OldIrql);
VOID KiReadyThread(PKTHREAD Thread);
/* Gives the processor away; the current thread's state must be Waiting or Terminated. Returns its WaitStatus. */
LONG_PTR KiSwapThread(VOID);
/* Takes a Ready thread out of its queue. */
VOID KiRemoveReady(PKTHREAD Thread);
/* The best ready thread of all queues, of at least Minimum priority, that may run on Prcb; taken out. NULL: none. */
PKTHREAD KiSelectThread(PKPRCB Prcb, KPRIORITY Minimum);
/* Makes a thread the next one of a processor that has none, and tells that processor if it is another one. */
VOID KiSetNextThread(PKPRCB Prcb, PKTHREAD Thread);
/* Takes a processor's next thread away from it; an idle one gets another if there is one. */
VOID KiDropNextThread(PKPRCB Prcb);
/* Puts the running thread back among the ready ones and switches to NextThread. */
VOID KiYieldToNext(BOOLEAN Preempted);
/* What the DPC interrupt does about the running thread: end of quantum, NextThread. DISPATCH_LEVEL, lock not held. */
VOID KiDispatchNext(VOID);
/* The first act of every thread: releases the dispatcher lock that came with the switch. */
DECLSPEC_NORETURN VOID KiThreadStart(PKTHREAD Thread);
/* ctxsw.asm: saves Old's registers and stack pointer, takes New's. Returns when Old is switched to again. */
VOID KiSwapContext(PKTHREAD Old, PKTHREAD New);
VOID KiThreadStartup(VOID); /* ctxsw.asm: where a new thread comes out of KiSwapContext; calls KiThreadStart */

/* ---- thread.c: what a processor needs before it runs threads ---- */

VOID KiInitializeProcessorDispatch(PKPRCB Prcb, PKI_DISPATCH Dispatch);
/* FALSE: memory is short. Ethread is zeroed. */
BOOLEAN KiInitializeIdleThread(PKPRCB Prcb, struct _ETHREAD *Ethread, PKPROCESS Process);

/* ---- idle.c ---- */

VOID NTAPI KiIdleLoop(PVOID Context);
VOID KiTimerMovedForward(ULONG64 Tick); /* after the next due tick became an earlier one; dispatcher lock */
VOID KiCountTick(PKPRCB Prcb);          /* in each clock interrupt */

/* ---- ipi.c ---- */

VOID KiInitializeIpis(VOID); /* before a second processor runs */

/* ---- priority.c: all under the dispatcher lock ---- */

VOID KiSetPriorityThread(PKTHREAD Thread, KPRIORITY Priority);
/* The end of a wait raises a thread's priority, each quantum it uses up lowers it again. */
VOID KiBoostThread(PKTHREAD Thread, KPRIORITY Increment);
VOID KiDecayPriority(PKTHREAD Thread);
/* Lends priority to the threads that have been in a processor's queues for too long. */
VOID KiBoostStarved(PKPRCB Prcb);

/* ---- wait.c: all but KiWait under the dispatcher lock ---- */

/* One wait, as KeWaitForMultipleObjects describes it; or of a single KQUEUE for an entry. */
typedef struct _KI_WAIT {
    PKTHREAD Thread; /* the calling one */
    ULONG Count;
    PVOID *Objects;
    WAIT_TYPE Type;
    KPROCESSOR_MODE Mode;
    BOOLEAN Alertable;
    KWAIT_REASON Reason;
    PLARGE_INTEGER Timeout; /* NULL: for ever */
    ULONG64 Due;            /* Timeout as interrupt time: a wait that starts over does not start its clock over */
    PKWAIT_BLOCK Blocks;
} KI_WAIT, *PKI_WAIT;

/* Waits; returns a status, or the address of the entry that a KQUEUE gave. IRQL: <= APC_LEVEL. */
LONG_PTR KiWait(PKI_WAIT Wait);

/* Hands a signalled object to its waiters, as far as it stays signalled. Increment: their priority boost. */
VOID KiWaitTest(PDISPATCHER_HEADER Object, KPRIORITY Increment);
/* Ends a thread's wait with a status: takes its wait blocks and timer away and readies it. */
VOID KiUnwaitThread(PKTHREAD Thread, LONG_PTR WaitStatus, KPRIORITY Increment);

/* ---- queue.c: all under the dispatcher lock ---- */

/* Associates the thread, which runs, with a queue and takes an entry; NULL: there is none, or enough threads run. */
PLIST_ENTRY KiTakeQueueEntry(PKQUEUE Queue, PKTHREAD Thread);
/* A thread of the queue has begun a wait (its state is Waiting), or its wait has ended. */
VOID KiQueueThreadWaits(PKQUEUE Queue);
VOID KiQueueThreadRuns(PKQUEUE Queue);
/* Ends the association of a thread that runs with its queue, if it has one. */
VOID KiLeaveQueue(PKTHREAD Thread);

/* ---- timer.c: all under the dispatcher lock ---- */

VOID KiInitializeTimers(VOID);
/* A due time as KeSetTimer takes it (100 ns, negative: relative) as interrupt time. Any IRQL. */
ULONG64 KiDueTime(LARGE_INTEGER DueTime);
/* Arms a timer for an interrupt time. Returns FALSE, and the timer is not armed, if that has passed. */
BOOLEAN KiInsertTimer(PKTIMER Timer, ULONG64 Due);
VOID KiRemoveTimer(PKTIMER Timer);
/* Expires what is due. DISPATCH_LEVEL, lock not held. */
VOID KiExpireTimers(VOID);
BOOLEAN KiTimersDue(VOID);     /* any IRQL, processor 0 */
ULONG64 KiNextTimerTick(VOID); /* the next tick with anything to do, MAXULONG64 >> 1: none; any IRQL */

/* chk: a timer or queued DPC, or NULL, that lies in a range of addresses or whose routine does. IRQL: <= DISPATCH_LEVEL. */
PKTIMER KiFindTimerOf(ULONG64 Begin, ULONG64 End);
PKDPC KiFindDpcOf(ULONG64 Begin, ULONG64 End);

/* ---- dpc.c ---- */

VOID KiInitializeDpcs(PKI_DISPATCH Dispatch);
VOID KiDpcInterrupt(PKTRAP_FRAME Frame, PVOID Context);

/* ---- attach.c, suspend.c ---- */

/* Loads the address space New instead of Old on this processor. Under the dispatcher lock. */
VOID KiSwapAddressSpace(PKPROCESS Old, PKPROCESS New);
VOID KiInitializeSuspend(PKTHREAD Thread);

/* ---- apc.c ---- */

/* KeInsertQueueApc under the dispatcher lock. */
BOOLEAN KiQueueApc(PKAPC Apc, PVOID SystemArgument1, PVOID SystemArgument2, KPRIORITY Increment);

/* TRUE: Thread has an APC that can be delivered at PASSIVE_LEVEL now. Under the dispatcher lock. */
BOOLEAN KiKernelApcDeliverable(PKTHREAD Thread);
/* Asks for delivery if Thread, the current one, may have become able to take an APC. IRQL <= DISPATCH_LEVEL. */
VOID KiCheckForKernelApc(PKTHREAD Thread);
/* Takes every APC away from a thread that ends; returns them in a list linked by ApcListEntry. */
VOID KiFlushApcs(PKTHREAD Thread, PLIST_ENTRY List);
VOID KiApcInterrupt(PKTRAP_FRAME Frame, PVOID Context);

/* ---- xstate.c: a thread with a StateSaveArea leaves or gets the processor; dispatcher lock ---- */

VOID KiSaveUserState(PKTHREAD Thread);
VOID KiRestoreUserState(PKTHREAD Thread);

/* ---- mutant.c: under the dispatcher lock ---- */

VOID KiAbandonMutants(PKTHREAD Thread);
