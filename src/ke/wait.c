/*
 * wait.c - waiting for dispatcher objects, and what happens to the waiters of one that becomes signalled.
 *
 * A waiting thread has a circular list of wait blocks, one an object, each also in that object's wait list; a time-out is one
 * more block, on the thread's own timer. A wait for any object is satisfied by the first signalled one, a wait for all
 * changes none of them before it can take all at once. Whoever signals satisfies the wait on the waiter's
 * behalf (takes the semaphore's count, makes it the mutant's owner), so that a signal is never stolen.
 *
 * A kernel APC ends a wait with STATUS_KERNEL_APC, is delivered as IRQL falls, and the wait starts over with what is left of
 * its time-out; callers never see that status.
 *
 * Locks: dispatcher. It is already held on entry if the previous call was a signal with Wait TRUE (WaitNext).
 * IRQL: <= APC_LEVEL, or DISPATCH_LEVEL with a time-out of zero, which never blocks.
 *
 * Source: WDK documentation of KeWaitForSingleObject and KeWaitForMultipleObjects.
 */
#include "kip.h"

/* ---- Signal states ---- */

static BOOLEAN Signalled(PDISPATCHER_HEADER Object, PKTHREAD Thread)
{
    if (Object->Type == MutantObject) {
        return Object->SignalState > 0 || ((PKMUTANT)Object)->OwnerThread == Thread;
    }
    return Object->SignalState > 0;
}

static BOOLEAN TakeMutant(PKMUTANT Mutant, PKTHREAD Thread)
{
    BOOLEAN Abandoned = FALSE;

    if (--Mutant->Header.SignalState == 0) {
        Mutant->OwnerThread = Thread;
        Thread->KernelApcDisable = (SHORT)(Thread->KernelApcDisable - Mutant->ApcDisable);
        InsertHeadList(&Thread->MutantListHead, &Mutant->MutantListEntry);
        Abandoned = Mutant->Abandoned;
        Mutant->Abandoned = FALSE;
    }
    return Abandoned;
}

/* What a satisfied wait does to its object. Returns whether it was an abandoned mutant. */
static BOOLEAN Satisfy(PDISPATCHER_HEADER Object, PKTHREAD Thread)
{
    switch (Object->Type) {
    case EventSynchronizationObject:
    case TimerSynchronizationObject:
        Object->SignalState = 0;
        return FALSE;
    case SemaphoreObject:
        Object->SignalState--;
        return FALSE;
    case MutantObject:
        return TakeMutant((PKMUTANT)Object, Thread);
    }
    return FALSE;
}

static BOOLEAN AllSignalled(PKWAIT_BLOCK First, PKTHREAD Thread)
{
    PKWAIT_BLOCK Block = First;

    do {
        if (Block->Object != &Thread->Timer && !Signalled(Block->Object, Thread)) {
            return FALSE;
        }
        Block = Block->NextWaitBlock;
    } while (Block != First);
    return TRUE;
}

static LONG_PTR SatisfyAll(PKWAIT_BLOCK First, PKTHREAD Thread)
{
    PKWAIT_BLOCK Block = First;
    LONG_PTR Status = STATUS_WAIT_0;

    do {
        if (Block->Object != &Thread->Timer && Satisfy(Block->Object, Thread)) {
            Status = STATUS_ABANDONED_WAIT_0;
        }
        Block = Block->NextWaitBlock;
    } while (Block != First);
    return Status;
}

/* ---- Ending waits ---- */

VOID KiUnwaitThread(PKTHREAD Thread, LONG_PTR WaitStatus, KPRIORITY Increment)
{
    PKWAIT_BLOCK First = Thread->WaitBlockList, Block = First;

    ASSERT(Thread->State == Waiting);
    do {
        RemoveEntryList(&Block->WaitListEntry);
        Block = Block->NextWaitBlock;
    } while (Block != First);
    if (Thread->Timer.Header.Inserted) {
        KiRemoveTimer(&Thread->Timer);
    }
    if (Thread->Queue != NULL) {
        KiQueueThreadRuns(Thread->Queue);
    }
    Thread->WaitStatus = WaitStatus;
    KiBoostThread(Thread, Increment);
    KiReadyThread(Thread);
}

VOID KiWaitTest(PDISPATCHER_HEADER Object, KPRIORITY Increment)
{
    PLIST_ENTRY Entry = Object->WaitListHead.Flink;

    while (Object->SignalState > 0 && Entry != &Object->WaitListHead) {
        PKWAIT_BLOCK Block = CONTAINING_RECORD(Entry, KWAIT_BLOCK, WaitListEntry);
        PKTHREAD Thread = Block->Thread;
        LONG_PTR Status;

        if (Block->WaitType == WaitAny) {
            Status = Block->WaitKey;
            if (Satisfy(Object, Thread)) {
                Status += STATUS_ABANDONED_WAIT_0;
            }
        } else if (AllSignalled(Thread->WaitBlockList, Thread)) {
            Status = SatisfyAll(Thread->WaitBlockList, Thread);
        } else {
            Entry = Entry->Flink;
            continue;
        }
        /* One thread may wait on this object with several blocks, so the next entry may go as well: start over. */
        KiUnwaitThread(Thread, Status, Increment);
        Entry = Object->WaitListHead.Flink;
    }
}

/* ---- Waiting ---- */

#define STILL_WAITING ((LONG_PTR)0x7FFFFFFF) /* no NTSTATUS that a wait returns */

static VOID BuildBlocks(PKI_WAIT Wait)
{
    for (ULONG i = 0; i < Wait->Count; i++) {
        PKWAIT_BLOCK Block = &Wait->Blocks[i];
        Block->Thread = Wait->Thread;
        Block->Object = Wait->Objects[i];
        Block->WaitKey = (USHORT)i;
        Block->WaitType = (UCHAR)Wait->Type;
        Block->NextWaitBlock = &Wait->Blocks[i + 1 < Wait->Count ? i + 1 : 0];
    }
}

/* A mutant held more often than its state can count. */
static BOOLEAN MutantExhausted(PDISPATCHER_HEADER Object, PKTHREAD Thread)
{
    return Object->Type == MutantObject && Object->SignalState == (LONG)MINLONG &&
           ((PKMUTANT)Object)->OwnerThread == Thread;
}

/* Satisfies the wait now if that can be done. */
static LONG_PTR TryNow(PKI_WAIT Wait)
{
    PKTHREAD Thread = Wait->Thread;

    for (ULONG i = 0; i < Wait->Count; i++) {
        if (MutantExhausted(Wait->Objects[i], Thread)) {
            return STATUS_MUTANT_LIMIT_EXCEEDED;
        }
        if (((PDISPATCHER_HEADER)Wait->Objects[i])->Type == QueueObject) {
            PLIST_ENTRY Entry = KiTakeQueueEntry(Wait->Objects[i], Thread);
            return Entry != NULL ? (LONG_PTR)Entry : STILL_WAITING;
        }
        if (Wait->Type == WaitAny && Signalled(Wait->Objects[i], Thread)) {
            return (LONG_PTR)i + (Satisfy(Wait->Objects[i], Thread) ? STATUS_ABANDONED_WAIT_0 : STATUS_WAIT_0);
        }
    }
    if (Wait->Type == WaitAll && Wait->Count != 0 && AllSignalled(Wait->Blocks, Thread)) {
        return SatisfyAll(Wait->Blocks, Thread);
    }
    return STILL_WAITING;
}

/* An alert or a user APC that an alertable or user-mode wait must yield to. */
static LONG_PTR TestAlert(PKI_WAIT Wait)
{
    PKTHREAD Thread = Wait->Thread;

    if (Wait->Mode == UserMode && Thread->ExitRequested) {
        return STATUS_USER_APC;
    }
    if (Wait->Alertable) {
        if (Thread->Alerted[(UCHAR)Wait->Mode]) {
            Thread->Alerted[(UCHAR)Wait->Mode] = FALSE;
            return STATUS_ALERTED;
        }
        if (Wait->Mode == UserMode && !IsListEmpty(&Thread->ApcState.ApcListHead[UserMode])) {
            Thread->ApcState.UserApcPending = TRUE;
            return STATUS_USER_APC;
        }
        if (Thread->Alerted[KernelMode]) {
            Thread->Alerted[KernelMode] = FALSE;
            return STATUS_ALERTED;
        }
    } else if (Wait->Mode == UserMode && Thread->ApcState.UserApcPending) {
        return STATUS_USER_APC;
    }
    return STILL_WAITING;
}

/* Arms the thread's timer and adds its block. FALSE: the time is over already. */
static BOOLEAN ArmTimeout(PKI_WAIT Wait)
{
    PKTHREAD Thread = Wait->Thread;
    PKWAIT_BLOCK Block = &Thread->WaitBlock[KI_TIMER_WAIT_BLOCK];

    if (!KiInsertTimer(&Thread->Timer, Wait->Due)) {
        return FALSE;
    }
    Block->NextWaitBlock = Block;
    if (Wait->Count != 0) {
        Wait->Blocks[Wait->Count - 1].NextWaitBlock = Block;
        Block->NextWaitBlock = Wait->Blocks;
    }
    InsertTailList(&Thread->Timer.Header.WaitListHead, &Block->WaitListEntry);
    return TRUE;
}

static VOID InsertBlocks(PKI_WAIT Wait)
{
    Wait->Thread->WaitBlockList = Wait->Count != 0 ? Wait->Blocks : &Wait->Thread->WaitBlock[KI_TIMER_WAIT_BLOCK];
    for (ULONG i = 0; i < Wait->Count; i++) {
        PDISPATCHER_HEADER Object = Wait->Objects[i];
        InsertTailList(&Object->WaitListHead, &Wait->Blocks[i].WaitListEntry);
    }
}

/* One round: satisfied at once, or blocked and woken. The lock is held before and after. */
static LONG_PTR WaitRound(PKI_WAIT Wait)
{
    PKTHREAD Thread = Wait->Thread;

    BuildBlocks(Wait);
    LONG_PTR Status = TryNow(Wait);
    if (Status == STILL_WAITING) {
        Status = TestAlert(Wait);
    }
    if (Status != STILL_WAITING) {
        return Status;
    }
    if (Wait->Timeout != NULL && (Wait->Timeout->QuadPart == 0 || !ArmTimeout(Wait))) {
        return STATUS_TIMEOUT;
    }
    if (Thread->WaitIrql >= DISPATCH_LEVEL || Thread == KeGetCurrentPrcb()->IdleThread) {
        KeBugCheckEx(ATTEMPTED_SWITCH_FROM_DPC, (ULONG_PTR)Thread, Thread->WaitIrql, (ULONG_PTR)Wait->Objects, 0);
    }
    InsertBlocks(Wait);
    Thread->WaitMode = Wait->Mode;
    Thread->Alertable = Wait->Alertable;
    Thread->WaitReason = (UCHAR)Wait->Reason;
    Thread->State = Waiting;
    if (Thread->Queue != NULL) {
        KiQueueThreadWaits(Thread->Queue);
    }
    return KiSwapThread();
}

/* Starts or continues the thread's hold of the dispatcher lock; see WaitNext. */
static VOID EnterWait(PKTHREAD Thread)
{
    if (Thread->WaitNext) {
        Thread->WaitNext = FALSE;
    } else {
        KIRQL OldIrql = KiAcquireDispatcherLock();
        Thread->WaitIrql = OldIrql;
    }
}

LONG_PTR KiWait(PKI_WAIT Wait)
{
    PKTHREAD Thread = Wait->Thread;
    LONG_PTR Status;

    EnterWait(Thread);
    if (Wait->Timeout != NULL) {
        Wait->Due = KiDueTime(*Wait->Timeout);
    }
    for (;;) {
        if (Thread->WaitIrql < APC_LEVEL && KiKernelApcDeliverable(Thread)) {
            /* The interrupt of its insertion may have come while the mutant released just now held it back. */
            HalSendSelfIpi(KI_VECTOR_APC);
            Status = STATUS_KERNEL_APC;
        } else {
            Status = WaitRound(Wait);
        }
        KiReleaseDispatcherLock(Thread->WaitIrql); /* a kernel APC is delivered as IRQL falls */
        if (Status != STATUS_KERNEL_APC) {
            break;
        }
        KIRQL OldIrql = KiAcquireDispatcherLock();
        Thread->WaitIrql = OldIrql;
    }
    if (Status == STATUS_MUTANT_LIMIT_EXCEEDED) {
        ExRaiseStatus(STATUS_MUTANT_LIMIT_EXCEEDED);
    }
    return Status;
}

/*
 * The verifier's part in a wait for mutants: they are locks. A wait of no time is a try, which is of no order. Programs may take and lose
 * theirs in any order they like.
 */
static VOID WantMutants(const KI_WAIT *Wait, PVOID Site)
{
    for (ULONG i = 0; NT_CHK && Wait->Mode == KernelMode && i < Wait->Count; i++) {
        PDISPATCHER_HEADER Object = Wait->Objects[i];
        if (Object->Type == MutantObject && (Wait->Timeout == NULL || Wait->Timeout->QuadPart != 0)) {
            (void)VfWantLock(Object, VfMutant, Site);
        }
    }
}

static VOID GotMutants(const KI_WAIT *Wait, LONG_PTR Status, PVOID Site)
{
    ULONG Index = (ULONG)Status & ~(ULONG)STATUS_ABANDONED_WAIT_0;

    for (ULONG i = 0; NT_CHK && Wait->Mode == KernelMode && i < Wait->Count && Index < MAXIMUM_WAIT_OBJECTS; i++) {
        PDISPATCHER_HEADER Object = Wait->Objects[i];
        if (Object->Type == MutantObject && (Wait->Type == WaitAll || i == Index)) {
            VfGotLock(Object, VfMutant, VfClassOf(Object, VfMutant, Site), Site);
        }
    }
}

static NTSTATUS WatchedWait(PKI_WAIT Wait, PVOID Site)
{
    WantMutants(Wait, Site);
    LONG_PTR Status = KiWait(Wait);
    GotMutants(Wait, Status, Site);
    return (NTSTATUS)Status;
}

/**
 * KeWaitForSingleObject - waits until an object is signalled.
 *
 * @Object     event, semaphore, mutant, timer, thread or process
 * @WaitMode   UserMode: user APCs may end the wait
 * @Alertable  alerts may end the wait
 * @Timeout    100 ns: negative relative, positive absolute system time; zero: test only; NULL: for ever
 * returns     STATUS_SUCCESS, STATUS_TIMEOUT, STATUS_ABANDONED_WAIT_0, STATUS_ALERTED, STATUS_USER_APC
 *
 * IRQL: <= APC_LEVEL; DISPATCH_LEVEL with a zero time-out. Raises STATUS_MUTANT_LIMIT_EXCEEDED.
 */
NTSTATUS NTAPI KeWaitForSingleObject(PVOID Object, KWAIT_REASON WaitReason, KPROCESSOR_MODE WaitMode, BOOLEAN Alertable,
                                     PLARGE_INTEGER Timeout)
{
    PKTHREAD Thread = KeGetCurrentThread();
    KI_WAIT Wait = {Thread, 1, &Object, WaitAny, WaitMode, Alertable, WaitReason, Timeout, 0, Thread->WaitBlock};

    return WatchedWait(&Wait, _ReturnAddress());
}

/**
 * KeWaitForMultipleObjects - waits until any, or all, of several objects are signalled.
 *
 * @Count           up to MAXIMUM_WAIT_OBJECTS; up to THREAD_WAIT_OBJECTS without WaitBlockArray
 * @WaitBlockArray  room for Count blocks, resident until the wait ends
 * returns          as KeWaitForSingleObject; STATUS_WAIT_0 + index for WaitAny
 *
 * IRQL: as KeWaitForSingleObject. Bug check MAXIMUM_WAIT_OBJECTS_EXCEEDED for too many objects.
 */
NTSTATUS NTAPI KeWaitForMultipleObjects(ULONG Count, PVOID Object[], WAIT_TYPE WaitType, KWAIT_REASON WaitReason,
                                        KPROCESSOR_MODE WaitMode, BOOLEAN Alertable, PLARGE_INTEGER Timeout,
                                        PKWAIT_BLOCK WaitBlockArray)
{
    PKTHREAD Thread = KeGetCurrentThread();
    KI_WAIT Wait = {
        Thread,    Count,      Object,  WaitType, WaitMode,
        Alertable, WaitReason, Timeout, 0,        WaitBlockArray != NULL ? WaitBlockArray : Thread->WaitBlock};

    if (Count == 0 || Count > (WaitBlockArray != NULL ? MAXIMUM_WAIT_OBJECTS : THREAD_WAIT_OBJECTS)) {
        KeBugCheckEx(MAXIMUM_WAIT_OBJECTS_EXCEEDED, Count, 0, 0, 0);
    }
    return WatchedWait(&Wait, _ReturnAddress());
}

/**
 * KeDelayExecutionThread - waits for a time to pass.
 *
 * @Interval  100 ns: negative relative, positive absolute system time; zero lets another thread run
 * returns    STATUS_SUCCESS, STATUS_ALERTED, STATUS_USER_APC
 *
 * IRQL: <= APC_LEVEL.
 */
NTSTATUS NTAPI KeDelayExecutionThread(KPROCESSOR_MODE WaitMode, BOOLEAN Alertable, PLARGE_INTEGER Interval)
{
    PKTHREAD Thread = KeGetCurrentThread();
    KI_WAIT Wait = {Thread, 0, NULL, WaitAny, WaitMode, Alertable, DelayExecution, Interval, 0, Thread->WaitBlock};

    if (Interval->QuadPart == 0) {
        ZwYieldExecution();
        return STATUS_SUCCESS;
    }
    NTSTATUS Status = (NTSTATUS)KiWait(&Wait);
    return Status == STATUS_TIMEOUT || Status == STATUS_WAIT_0 ? STATUS_SUCCESS : Status;
}

/**
 * KeAlertThread - ends a thread's alertable wait with STATUS_ALERTED, or its next one.
 *
 * @AlertMode  KernelMode ends waits of either mode, UserMode those of user mode
 * returns     whether it was already alerted in that mode
 *
 * IRQL: <= DISPATCH_LEVEL.
 */
BOOLEAN NTAPI KeAlertThread(PKTHREAD Thread, KPROCESSOR_MODE AlertMode)
{
    KIRQL OldIrql = KiAcquireDispatcherLock();
    BOOLEAN Alerted = Thread->Alerted[(UCHAR)AlertMode];

    if (!Alerted) {
        if (Thread->State == Waiting && Thread->Alertable && AlertMode <= Thread->WaitMode) {
            KiUnwaitThread(Thread, STATUS_ALERTED, 0);
        } else {
            Thread->Alerted[(UCHAR)AlertMode] = TRUE;
        }
    }
    KiReleaseDispatcherLock(OldIrql);
    return Alerted;
}

/**
 * KeTestAlertThread - whether the calling thread has been alerted; it is not any more.
 *
 * @AlertMode  UserMode: a user APC that is queued is delivered on the way back to user mode
 *
 * IRQL: <= DISPATCH_LEVEL.
 */
BOOLEAN NTAPI KeTestAlertThread(KPROCESSOR_MODE AlertMode)
{
    PKTHREAD Thread = KeGetCurrentThread();
    KIRQL OldIrql = KiAcquireDispatcherLock();
    BOOLEAN Alerted = Thread->Alerted[(UCHAR)AlertMode];

    if (Alerted) {
        Thread->Alerted[(UCHAR)AlertMode] = FALSE;
    } else if (AlertMode == UserMode && !IsListEmpty(&Thread->ApcState.ApcListHead[UserMode])) {
        Thread->ApcState.UserApcPending = TRUE;
    }
    KiReleaseDispatcherLock(OldIrql);
    return Alerted;
}
