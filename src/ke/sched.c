/*
 * sched.c - which thread runs where: ready queues, preemption, quantum.
 *
 * Each processor has 32 ready queues with a summary bit each. A thread that becomes ready goes, in this order, to an
 * idle processor of its affinity (its ideal one first, then the one it ran on last), to the one whose thread it outranks
 * most, else into a queue: at the tail, or at the head if it was preempted; that of its last processor unless another's is
 * shorter. A processor that looks for a thread takes the best one from all queues, its own first; if there is none, one that
 * an idle processor was given and that is still waking up. So as long as affinities allow, the threads that run are
 * those of the highest priorities, and no processor idles while one is ready.
 *
 * Ready -> Standby (a processor's NextThread) -> Running -> Waiting or Ready or Terminated: every arrow is in this
 * file, under the dispatcher lock. Priorities, boosts and decay are priority.c's, affinity is affinity.c's.
 *
 * Locks: the dispatcher lock (see kip.h) for all of it; KeUpdateRunTime runs at CLOCK_LEVEL and touches only its
 * own processor's counters and flags. Must never touch pageable memory or another processor's CurrentThread stack.
 */
#include "kip.h"

KSPIN_LOCK KiDispatcherLock;
VF_NAME_LOCK(KiDispatcherLock, "KiDispatcherLock");
KAFFINITY KiIdleSummary;

KIRQL KiAcquireDispatcherLock(VOID)
{
    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    KIRQL OldIrql = KfRaiseIrql(DISPATCH_LEVEL);
    KiAcquireSpinLock(&KiDispatcherLock);
    return OldIrql;
}

/* ---- Ready queues ---- */

static VOID InsertReady(PKPRCB Prcb, PKTHREAD Thread)
{
    PKI_DISPATCH Dispatch = Prcb->Dispatch;

    Thread->State = Ready;
    Thread->NextProcessor = (UCHAR)Prcb->Number;
    Thread->ReadyScan = Dispatch->Scans;
    if (Thread->Preempted) {
        InsertHeadList(&Dispatch->ReadyList[Thread->Priority], &Thread->ReadyListEntry);
    } else {
        InsertTailList(&Dispatch->ReadyList[Thread->Priority], &Thread->ReadyListEntry);
    }
    Thread->Preempted = FALSE;
    Dispatch->ReadySummary |= 1U << Thread->Priority;
    Dispatch->ReadyCount++;
}

VOID KiRemoveReady(PKTHREAD Thread)
{
    PKI_DISPATCH Dispatch = KiProcessorBlock[Thread->NextProcessor]->Dispatch;

    if (RemoveEntryList(&Thread->ReadyListEntry)) {
        Dispatch->ReadySummary &= ~(1U << Thread->Priority);
    }
    Dispatch->ReadyCount--;
}

/* The best thread in From's queues of at least Minimum priority that may run on Prcb; left there. NULL: none. */
static PKTHREAD PeekReady(PKPRCB From, PKPRCB Prcb, KPRIORITY Minimum)
{
    ULONG Level, Summary = Minimum < KI_PRIORITIES ? From->Dispatch->ReadySummary & (0xFFFFFFFFU << Minimum) : 0;

    while (_BitScanReverse(&Level, Summary)) {
        PLIST_ENTRY Head = &From->Dispatch->ReadyList[Level];
        for (PLIST_ENTRY Entry = Head->Flink; Entry != Head; Entry = Entry->Flink) {
            PKTHREAD Thread = CONTAINING_RECORD(Entry, KTHREAD, ReadyListEntry);
            if ((Thread->Affinity & Prcb->SetMember) != 0) {
                return Thread;
            }
        }
        Summary &= ~(1U << Level);
    }
    return NULL;
}

PKTHREAD KiSelectThread(PKPRCB Prcb, KPRIORITY Minimum)
{
    PKTHREAD Best = PeekReady(Prcb, Prcb, Minimum);

    for (ULONG i = 0; i < KeNumberOfActiveProcessors; i++) {
        if (KiProcessorBlock[i] != Prcb) {
            PKTHREAD Other = PeekReady(KiProcessorBlock[i], Prcb, Best != NULL ? Best->Priority + 1 : Minimum);
            Best = Other != NULL ? Other : Best;
        }
    }
    if (Best != NULL) {
        KiRemoveReady(Best);
    }
    return Best;
}

VOID KiSetNextThread(PKPRCB Prcb, PKTHREAD Thread)
{
    ASSERT(Prcb->NextThread == NULL);
    Thread->State = Standby;
    Thread->NextProcessor = (UCHAR)Prcb->Number;
    Prcb->NextThread = Thread;
    KiIdleSummary &= ~Prcb->SetMember;
    /* One interrupt that is on its way is enough: KiDpcInterrupt takes Called back before it looks at NextThread. */
    if (Prcb != KeGetCurrentPrcb() && InterlockedExchange(&Prcb->Dispatch->Called, TRUE) == FALSE) {
        HalSendIpi(Prcb->SetMember, KI_VECTOR_DPC);
    }
}

VOID KiDropNextThread(PKPRCB Prcb)
{
    Prcb->NextThread = NULL;
    if (Prcb->CurrentThread == Prcb->IdleThread) {
        PKTHREAD Next = KiSelectThread(Prcb, LOW_PRIORITY);
        if (Next != NULL) {
            KiSetNextThread(Prcb, Next);
        } else {
            KiIdleSummary |= Prcb->SetMember;
        }
    }
}

/*
 * For a processor that has nothing to run: the best thread that an idle one was given and has not taken up yet. Threads that
 * take turns then do so on one processor, and none of them waits until another one has woken up.
 */
static PKTHREAD TakeStandby(PKPRCB Prcb)
{
    PKTHREAD Best = NULL;

    for (ULONG i = 0; i < KeNumberOfActiveProcessors; i++) {
        PKPRCB Other = KiProcessorBlock[i];
        PKTHREAD Next = Other->NextThread;
        if (Other != Prcb && Next != NULL && Next != Other->IdleThread && Other->CurrentThread == Other->IdleThread &&
            (Next->Affinity & Prcb->SetMember) != 0 && (Best == NULL || Next->Priority > Best->Priority)) {
            Best = Next;
        }
    }
    if (Best != NULL) {
        KiDropNextThread(KiProcessorBlock[Best->NextProcessor]);
    }
    return Best;
}

/* ---- Where a ready thread goes ---- */

/* What a newcomer must outrank to run on a processor next: -1 for one that has nothing to run. */
static KPRIORITY RivalPriority(PKPRCB Prcb)
{
    PKTHREAD Rival = Prcb->NextThread != NULL ? Prcb->NextThread : Prcb->CurrentThread;
    BOOLEAN Leaving = Prcb->NextThread == NULL && Rival->State != Running;

    /* An idle thread has priority 0, and so may a ready thread: what counts is that it is the idle one. */
    return Leaving || Rival == Prcb->IdleThread ? -1 : Rival->Priority;
}

static PKPRCB ChooseIdle(PKTHREAD Thread)
{
    KAFFINITY Idle = KiIdleSummary & Thread->Affinity;
    ULONG Number;

    if ((Idle >> Thread->IdealProcessor & 1) != 0) {
        return KiProcessorBlock[Thread->IdealProcessor];
    }
    if ((Idle >> Thread->NextProcessor & 1) != 0) {
        return KiProcessorBlock[Thread->NextProcessor];
    }
    return _BitScanForward64(&Number, Idle) ? KiProcessorBlock[Number] : NULL;
}

/* The processor whose thread is outranked most; of equal ones the thread's last. NULL: none is outranked. */
static PKPRCB ChooseVictim(PKTHREAD Thread)
{
    KPRIORITY Lowest = Thread->Priority;
    PKPRCB Victim = NULL;
    ULONG Number;

    for (KAFFINITY Rest = Thread->Affinity; _BitScanForward64(&Number, Rest); Rest &= Rest - 1) {
        KPRIORITY Rival = RivalPriority(KiProcessorBlock[Number]);
        if (Rival < Lowest || (Victim != NULL && Rival == Lowest && Number == Thread->NextProcessor)) {
            Lowest = Rival;
            Victim = KiProcessorBlock[Number];
        }
    }
    return Victim;
}

/* The processor whose queues to wait in: the thread's last, unless another one's are shorter by more than one thread. */
static PKPRCB ChooseQueue(PKTHREAD Thread)
{
    PKPRCB Best = NULL;
    ULONG Number, Least = MAXULONG;

    if ((Thread->Affinity >> Thread->NextProcessor & 1) != 0) {
        Best = KiProcessorBlock[Thread->NextProcessor];
        if (Thread->Preempted || Best->Dispatch->ReadyCount == 0) {
            return Best;
        }
        Least = Best->Dispatch->ReadyCount - 1;
    }
    for (KAFFINITY Rest = Thread->Affinity; _BitScanForward64(&Number, Rest); Rest &= Rest - 1) {
        PKPRCB Prcb = KiProcessorBlock[Number];
        if (Prcb->Dispatch->ReadyCount < Least) {
            Least = Prcb->Dispatch->ReadyCount;
            Best = Prcb;
        }
    }
    return Best;
}

/**
 * KiReadyThread - makes a thread able to run: somewhere next, or in a ready queue.
 *
 * @Thread  in no queue and on no processor
 *
 * IRQL: DISPATCH_LEVEL. Locks: dispatcher. The caller leaves through KiReleaseDispatcherLock, which may switch.
 */
VOID KiReadyThread(PKTHREAD Thread)
{
    Thread->ReadyTime = SharedUserData->TickCountQuad;
    while (Thread != NULL) {
        PKPRCB Prcb = ChooseIdle(Thread);
        if (Prcb == NULL) {
            Prcb = ChooseVictim(Thread);
        }
        if (Prcb == NULL) {
            InsertReady(ChooseQueue(Thread), Thread);
            return;
        }
        /* Whoever was to run there next looks for another place, with a lower priority every time. */
        PKTHREAD Displaced = Prcb->NextThread != Prcb->IdleThread ? Prcb->NextThread : NULL;
        Prcb->NextThread = NULL;
        Thread->Preempted = FALSE;
        KiSetNextThread(Prcb, Thread);
        if (Displaced != NULL) {
            Displaced->Preempted = TRUE;
        }
        Thread = Displaced;
    }
}

/* ---- Switching ---- */

/* Leaves the current thread for New. Returns when the current thread runs again, perhaps on another processor. */
static VOID SwitchTo(PKTHREAD New)
{
    PKPRCB Prcb = KeGetCurrentPrcb();
    PKTHREAD Old = Prcb->CurrentThread;

    New->State = Running;
    New->NextProcessor = (UCHAR)Prcb->Number;
    New->ContextSwitches++;
    Prcb->ContextSwitches++;
    Prcb->CurrentThread = New;
    Prcb->KernelStackTop = (ULONG64)New->StackTop;
    ((PKTSS64)KeGetPcr()->TssBase)->Rsp0 = (ULONG64)New->StackTop;
    if (New == Prcb->IdleThread) {
        KiIdleSummary |= Prcb->SetMember;
    }
    KiSwapAddressSpace(Old->ApcState.Process, New->ApcState.Process);
    if (Old->StateSaveArea != NULL) {
        KiSaveUserState(Old);
    }
    KiSwapContext(Old, New);
    if (Old->StateSaveArea != NULL) { /* on this stack, Old is the thread that is back */
        KiRestoreUserState(Old);
    }
    /* An APC that came while this thread was away, or while it was inside a region that it has left since. */
    if (KeGetCurrentThread()->ApcState.KernelApcPending) {
        HalSendSelfIpi(KI_VECTOR_APC);
    }
}

LONG_PTR KiSwapThread(VOID)
{
    PKPRCB Prcb = KeGetCurrentPrcb();
    PKTHREAD Thread = Prcb->CurrentThread, Next = Prcb->NextThread;

    ASSERT(Thread->State == Waiting || Thread->State == Terminated);
    Prcb->NextThread = NULL;
    if (Next == NULL) {
        Next = KiSelectThread(Prcb, LOW_PRIORITY);
    }
    if (Next == NULL) {
        Next = TakeStandby(Prcb);
    }
    SwitchTo(Next != NULL ? Next : Prcb->IdleThread);
    return Thread->WaitStatus;
}

VOID KiYieldToNext(BOOLEAN Preempted)
{
    PKPRCB Prcb = KeGetCurrentPrcb();
    PKTHREAD Thread = Prcb->CurrentThread;

    if (Thread != Prcb->IdleThread) {
        Thread->Preempted = Preempted;
        KiReadyThread(Thread);
    }
    PKTHREAD Next = Prcb->NextThread;
    Prcb->NextThread = NULL;
    if (Next == Thread) { /* it rose above NextThread in the meantime */
        Thread->State = Running;
        return;
    }
    SwitchTo(Next);
}

VOID KiReleaseDispatcherLock(KIRQL OldIrql)
{
    if (KeGetCurrentPrcb()->NextThread != NULL) {
        if (OldIrql < DISPATCH_LEVEL) {
            KiYieldToNext(TRUE);
        } else {
            HalSendSelfIpi(KI_VECTOR_DPC);
        }
    }
    KiReleaseSpinLock(&KiDispatcherLock);
    KeLowerIrql(OldIrql);
}

/* The running thread has used up its quantum: it loses a level of its boost, and lets its equals run. */
static VOID QuantumEnd(PKPRCB Prcb)
{
    PKTHREAD Thread = Prcb->CurrentThread;

    Prcb->Dispatch->QuantumEnd = FALSE;
    if (Thread == Prcb->IdleThread || Thread->Quantum > 0) {
        return;
    }
    Thread->Quantum = (SCHAR)Thread->QuantumReset;
    KiDecayPriority(Thread);
    if (Prcb->NextThread == NULL) {
        PKTHREAD Next = KiSelectThread(Prcb, Thread->Priority);
        if (Next != NULL) {
            KiSetNextThread(Prcb, Next);
        }
    }
    if (Prcb->NextThread != NULL) {
        KiYieldToNext(FALSE);
    }
}

VOID KiDispatchNext(VOID)
{
    PKPRCB Prcb = KeGetCurrentPrcb();

    if (!Prcb->Dispatch->QuantumEnd && !Prcb->Dispatch->ScanDue && Prcb->NextThread == NULL) {
        return;
    }
    KiAcquireSpinLock(&KiDispatcherLock);
    if (Prcb->Dispatch->ScanDue) {
        KiBoostStarved(Prcb);
    }
    if (Prcb->Dispatch->QuantumEnd) {
        QuantumEnd(Prcb);
    }
    /* The thread may have come back on another processor. */
    if (KeGetCurrentPrcb()->NextThread != NULL) {
        KiYieldToNext(TRUE);
    }
    KiReleaseSpinLock(&KiDispatcherLock);
}

VOID KeUpdateRunTime(PKTRAP_FRAME Frame)
{
    PKPRCB Prcb = KeGetCurrentPrcb();
    PKTHREAD Thread = Prcb->CurrentThread;
    PKI_DISPATCH Dispatch = Prcb->Dispatch;

    if (Dispatch == NULL) {
        return; /* the clock runs before the dispatcher does */
    }
    KiCountTick(Prcb);
    if (Frame->FromUser) {
        Thread->UserTime++;
        Prcb->UserTicks++;
    } else {
        Thread->KernelTime++;
        Prcb->KernelTicks += (Thread != Prcb->IdleThread) ? 1 : 0;
    }
    if (Thread != Prcb->IdleThread && (Thread->Quantum <= 0 || --Thread->Quantum <= 0)) {
        Dispatch->QuantumEnd = TRUE;
    }
    if (Dispatch->ReadySummary != 0 && ++Dispatch->ScanTicks >= KI_SCAN_TICKS) {
        Dispatch->ScanTicks = 0;
        Dispatch->ScanDue = TRUE;
    }
    if (Prcb->Number == 0 && KiTimersDue()) {
        Dispatch->TimerDue = TRUE;
    }
    if (Dispatch->QuantumEnd || Dispatch->ScanDue || Dispatch->TimerDue ||
        (Dispatch->DpcDepth != 0 && !Dispatch->DpcActive)) {
        HalSendSelfIpi(KI_VECTOR_DPC);
    }
}
