/*
 * show.c - the scheduler made visible: console commands `threads` and `ready`, and a check of its invariants.
 *
 * Threads are listed from a walk that holds a reference on one at a time, so the list is no snapshot: a thread may end or change its
 * state while others are printed. The check looks at everything at once, under the dispatcher lock, and prints afterwards.
 *
 * Locks: dispatcher, for the check and for each step of a walk. IRQL: PASSIVE_LEVEL for the commands.
 */
#include "kip.h"

#include <ntos/console.h>
#include <ntos/ps.h>

static PCSTR const KiStateNames[] = {"init", "ready", "running", "standby", "ended", "waiting"};

static PCSTR const KiReasonNames[] = {
    "Executive",    "FreePage",     "PageIn",       "PoolAllocation", "DelayExecution", "Suspended",   "UserRequest",
    "WrExecutive",  "WrFreePage",   "WrPageIn",     "WrPoolAlloc",    "WrDelay",        "WrSuspended", "WrUserRequest",
    "WrEventPair",  "WrQueue",      "WrLpcReceive", "WrLpcReply",     "WrVirtualMem",   "WrPageOut",   "WrRendezvous",
    "WrKeyedEvent", "WrTerminated", "WrInSwap",     "WrCpuRate",      "WrCallout",      "WrKernel",    "WrResource",
    "WrPushLock",   "WrMutex",      "WrQuantumEnd", "WrDispatch",     "WrPreempted",    "WrYield",     "WrFastMutex",
    "WrGuarded",    "WrRundown",    "WrAlert",      "WrDeferred",     "WrPhysFault"};
C_ASSERT(RTL_NUMBER_OF(KiReasonNames) == MaximumWaitReason);
C_ASSERT(RTL_NUMBER_OF(KiStateNames) == Waiting + 1);

static VOID ShowThread(PEPROCESS Process, PETHREAD Thread)
{
    PKTHREAD Tcb = &Thread->Tcb;
    UCHAR State = Tcb->State;

    ConPrint("%5u %5u %-15s %3d %4d  %-8s %3u %8u %9llu  %s%s\n", (unsigned)(ULONG_PTR)Process->UniqueProcessId,
             (unsigned)(ULONG_PTR)Thread->Cid.UniqueThread, Process->ImageFileName, Tcb->Priority, Tcb->BasePriority,
             KiStateNames[State], Tcb->NextProcessor, (unsigned)(Tcb->KernelTime + Tcb->UserTime), Tcb->ContextSwitches,
             State == Waiting ? KiReasonNames[Tcb->WaitReason] : "", Tcb->SuspendCount != 0 ? " suspended" : "");
}

static VOID ThreadsCommand(ULONG ArgumentCount, PCSTR *Arguments)
{
    ULONG Count = 0;

    ConPrint("  PID   TID process         pri base  state    cpu    ticks  switches  waits for\n");
    for (PEPROCESS Process = PsGetNextProcess(NULL); Process != NULL; Process = PsGetNextProcess(Process)) {
        for (PETHREAD Thread = PsGetNextProcessThread(Process, NULL); Thread != NULL;
             Thread = PsGetNextProcessThread(Process, Thread)) {
            ShowThread(Process, Thread);
            Count++;
        }
    }
    ConPrint("%u threads\n", (unsigned)Count);
}
CONSOLE_COMMAND(KiThreadsCommand, "threads", "", "list the threads", ThreadsCommand);

static VOID ReadyCommand(ULONG ArgumentCount, PCSTR *Arguments)
{
    for (ULONG i = 0; i < KeNumberOfActiveProcessors; i++) {
        PKPRCB Prcb = KiProcessorBlock[i];
        PKI_DISPATCH Dispatch = Prcb->Dispatch;
        PKTHREAD Current = Prcb->CurrentThread;
        ConPrint("cpu %u: %s at priority %d, %u ready in levels 0x%08x, %llu switches, %llu starved threads boosted\n",
                 (unsigned)i, Current == Prcb->IdleThread ? "idle" : "busy", Current->Priority,
                 (unsigned)Dispatch->ReadyCount, (unsigned)Dispatch->ReadySummary, Prcb->ContextSwitches,
                 Dispatch->StarvationBoosts);
    }
    ConPrint("%u findings\n", (unsigned)KiVerifyScheduler());
}
CONSOLE_COMMAND(KiReadyCommand, "ready", "", "show the ready queues and check them", ReadyCommand);

/* ---- Invariants ---- */

/* One processor's queues: how many things are wrong. */
static ULONG CheckQueues(PKPRCB Prcb)
{
    PKI_DISPATCH Dispatch = Prcb->Dispatch;
    ULONG Count = 0, Wrong = 0;

    for (ULONG Level = 0; Level < KI_PRIORITIES; Level++) {
        PLIST_ENTRY Head = &Dispatch->ReadyList[Level];
        Wrong += IsListEmpty(Head) != ((Dispatch->ReadySummary >> Level & 1) == 0);
        for (PLIST_ENTRY Entry = Head->Flink; Entry != Head; Entry = Entry->Flink) {
            PKTHREAD Thread = CONTAINING_RECORD(Entry, KTHREAD, ReadyListEntry);
            Wrong +=
                Thread->State != Ready || Thread->Priority != (SCHAR)Level || Thread->NextProcessor != Prcb->Number;
            Wrong += (Thread->Affinity & Prcb->SetMember) == 0;
            /* A processor idles, although it could run this one. */
            Wrong += (Thread->Affinity & KiIdleSummary) != 0;
            Count++;
        }
    }
    return Wrong + (Count != Dispatch->ReadyCount);
}

/* What one processor runs and will run. */
static ULONG CheckProcessor(PKPRCB Prcb)
{
    PKTHREAD Current = Prcb->CurrentThread, Next = Prcb->NextThread;
    BOOLEAN Idle = Current == Prcb->IdleThread && Next == NULL;
    ULONG Wrong = Current->State != Running || Current->NextProcessor != Prcb->Number;

    if (Next != NULL) {
        Wrong += Next->State != Standby || Next->NextProcessor != Prcb->Number;
    }
    return Wrong + (Idle != ((KiIdleSummary & Prcb->SetMember) != 0));
}

ULONG KiVerifyScheduler(VOID)
{
    ULONG Wrong = 0;
    KIRQL OldIrql = KiAcquireDispatcherLock();

    for (ULONG i = 0; i < KeNumberOfActiveProcessors; i++) {
        Wrong += CheckQueues(KiProcessorBlock[i]) + CheckProcessor(KiProcessorBlock[i]);
    }
    KiReleaseDispatcherLock(OldIrql);
    return Wrong;
}
