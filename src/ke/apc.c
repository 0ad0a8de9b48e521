/*
 * apc.c - asynchronous procedure calls: kernel code run in a thread of somebody else's choosing.
 *
 * A thread has two queues. Kernel APCs come in two kinds: special ones (no NormalRoutine) run at APC_LEVEL, ahead of
 * normal ones, unless the thread is in a guarded region or at APC_LEVEL; normal ones run their NormalRoutine at
 * PASSIVE_LEVEL, one at a time, and wait for critical regions too. Delivery happens in the KI_VECTOR_APC interrupt, a
 * self-IPI that waits in the local APIC until IRQL falls below APC_LEVEL; leaving a region asks for it again, and a thread
 * that is switched in with something pending does as well. User APCs are queued and end alertable waits; they are
 * delivered on the way to user mode, which the system-call exit will do.
 *
 * Locks: dispatcher, for the queues; never held while a routine runs. CombinedApcDisable belongs to the thread itself.
 *
 * Source: WDK documentation of KeEnterCriticalRegion and KeEnterGuardedRegion; OSR, "Doing APCs in Windows NT".
 */
#include "kip.h"

static BOOLEAN ApcAllowed(PKTHREAD Thread, PKAPC Apc)
{
    return Thread->SpecialApcDisable == 0 &&
           (Apc->NormalRoutine == NULL || (Thread->KernelApcDisable == 0 && !Thread->ApcState.KernelApcInProgress));
}

BOOLEAN KiKernelApcDeliverable(PKTHREAD Thread)
{
    PLIST_ENTRY Head = &Thread->ApcState.ApcListHead[KernelMode];

    /* Special APCs are ahead of normal ones, so the first tells. */
    return !IsListEmpty(Head) && ApcAllowed(Thread, CONTAINING_RECORD(Head->Flink, KAPC, ApcListEntry));
}

VOID KiCheckForKernelApc(PKTHREAD Thread)
{
    if (!IsListEmpty(&Thread->ApcState.ApcListHead[KernelMode]) && KiKernelApcDeliverable(Thread)) {
        HalSendSelfIpi(KI_VECTOR_APC);
    }
}

/**
 * KeInitializeApc - makes an APC object.
 *
 * @Apc            resident storage
 * @Environment    which address space it runs in: the thread's own, that of the process it is attached to, the one in use now, or
 *                 the one in use when it is queued
 * @KernelRoutine  called at APC_LEVEL first; may change or drop the normal routine
 * @RundownRoutine called instead if the thread ends first; NULL: the object is freed with ExFreePool
 * @NormalRoutine  NULL: a special kernel APC
 * @Mode           of the normal routine
 *
 * IRQL: any.
 */
VOID NTAPI KeInitializeApc(PRKAPC Apc, PRKTHREAD Thread, KAPC_ENVIRONMENT Environment, PKKERNEL_ROUTINE KernelRoutine,
                           PKRUNDOWN_ROUTINE RundownRoutine, PKNORMAL_ROUTINE NormalRoutine, KPROCESSOR_MODE Mode,
                           PVOID NormalContext)
{
    memset(Apc, 0, sizeof(*Apc));
    Apc->Type = ApcObject;
    Apc->Size = sizeof(KAPC);
    Apc->Thread = Thread;
    Apc->ApcStateIndex = (CCHAR)(Environment == CurrentApcEnvironment ? Thread->ApcStateIndex : (UCHAR)Environment);
    Apc->KernelRoutine = KernelRoutine;
    Apc->RundownRoutine = RundownRoutine;
    Apc->NormalRoutine = NormalRoutine;
    if (NormalRoutine != NULL) {
        Apc->ApcMode = Mode;
        Apc->NormalContext = NormalContext;
    }
}

/* Special kernel APCs in order of arrival, ahead of all others; the rest at the tail. */
static VOID EnqueueApc(PKAPC_STATE State, PKAPC Apc)
{
    PLIST_ENTRY Head = &State->ApcListHead[(UCHAR)Apc->ApcMode], Entry = Head;

    if (Apc->NormalRoutine == NULL) {
        while (Entry->Flink != Head && CONTAINING_RECORD(Entry->Flink, KAPC, ApcListEntry)->NormalRoutine == NULL) {
            Entry = Entry->Flink;
        }
        InsertHeadList(Entry, &Apc->ApcListEntry);
    } else {
        InsertTailList(Head, &Apc->ApcListEntry);
    }
}

/* Sees to it that the thread notices: interrupts its processor, or ends its wait. */
static VOID NotifyThread(PKTHREAD Thread, PKAPC Apc, KPRIORITY Increment)
{
    if (Apc->ApcMode == KernelMode) {
        Thread->ApcState.KernelApcPending = TRUE;
        if (Thread->State == Running) {
            HalSendIpi(KiProcessorBlock[Thread->NextProcessor]->SetMember, KI_VECTOR_APC);
        } else if (Thread->State == Waiting && Thread->WaitIrql < APC_LEVEL && ApcAllowed(Thread, Apc)) {
            KiUnwaitThread(Thread, STATUS_KERNEL_APC, Increment);
        }
    } else if (Thread->State == Waiting && Thread->WaitMode == UserMode && Thread->Alertable) {
        Thread->ApcState.UserApcPending = TRUE;
        KiUnwaitThread(Thread, STATUS_USER_APC, Increment);
    }
}

BOOLEAN KiQueueApc(PKAPC Apc, PVOID SystemArgument1, PVOID SystemArgument2, KPRIORITY Increment)
{
    PKTHREAD Thread = Apc->Thread;

    if (!Thread->ApcQueueable || Apc->Inserted) {
        return FALSE;
    }
    if (Apc->ApcStateIndex == InsertApcEnvironment) {
        Apc->ApcStateIndex = (CCHAR)Thread->ApcStateIndex;
    }
    Apc->SystemArgument1 = SystemArgument1;
    Apc->SystemArgument2 = SystemArgument2;
    Apc->Inserted = TRUE;
    if (Apc->ApcStateIndex == (CCHAR)Thread->ApcStateIndex) {
        EnqueueApc(&Thread->ApcState, Apc);
        NotifyThread(Thread, Apc, Increment);
    } else { /* the thread is attached: the APC waits until it comes back */
        EnqueueApc(&Thread->SavedApcState, Apc);
    }
    return TRUE;
}

/**
 * KeInsertQueueApc - queues an APC to its thread.
 *
 * @Increment  priority boost if it ends a wait
 * returns     FALSE: queued already, or the thread takes none any more
 *
 * IRQL: <= DISPATCH_LEVEL.
 */
BOOLEAN NTAPI KeInsertQueueApc(PRKAPC Apc, PVOID SystemArgument1, PVOID SystemArgument2, KPRIORITY Increment)
{
    KIRQL OldIrql = KiAcquireDispatcherLock();
    BOOLEAN Inserted = KiQueueApc(Apc, SystemArgument1, SystemArgument2, Increment);

    KiReleaseDispatcherLock(OldIrql);
    return Inserted;
}

/* Takes an APC out of its queue; FALSE: it was not queued. IRQL: <= DISPATCH_LEVEL. */
BOOLEAN NTAPI KeRemoveQueueApc(PRKAPC Apc)
{
    KIRQL OldIrql = KiAcquireDispatcherLock();
    BOOLEAN Removed = Apc->Inserted;

    if (Removed) {
        Apc->Inserted = FALSE;
        RemoveEntryList(&Apc->ApcListEntry);
    }
    KiReleaseDispatcherLock(OldIrql);
    return Removed;
}

VOID KiFlushApcs(PKTHREAD Thread, PLIST_ENTRY List)
{
    InitializeListHead(List);
    for (ULONG Mode = KernelMode; Mode < MaximumMode; Mode++) {
        while (!IsListEmpty(&Thread->ApcState.ApcListHead[Mode])) {
            PLIST_ENTRY Entry = RemoveHeadList(&Thread->ApcState.ApcListHead[Mode]);
            CONTAINING_RECORD(Entry, KAPC, ApcListEntry)->Inserted = FALSE;
            InsertTailList(List, Entry);
        }
    }
}

/* ---- Delivery ---- */

/* Takes the next kernel APC that may be delivered; a copy, because the object is free again. FALSE: none. */
static BOOLEAN TakeKernelApc(PKTHREAD Thread, PKAPC *Apc, KAPC *Copy)
{
    BOOLEAN Taken = FALSE;
    KIRQL OldIrql = KiAcquireDispatcherLock();

    Thread->ApcState.KernelApcPending = FALSE;
    if (KiKernelApcDeliverable(Thread)) {
        PLIST_ENTRY Entry = RemoveHeadList(&Thread->ApcState.ApcListHead[KernelMode]);
        *Apc = CONTAINING_RECORD(Entry, KAPC, ApcListEntry);
        (*Apc)->Inserted = FALSE;
        *Copy = **Apc;
        Taken = TRUE;
    }
    KiReleaseDispatcherLock(OldIrql);
    return Taken;
}

/* One APC at APC_LEVEL; a normal routine at PASSIVE_LEVEL, with further normal ones held back. */
static VOID RunKernelApc(PKTHREAD Thread, PKAPC Apc, KAPC *Copy)
{
    Copy->KernelRoutine(Apc, &Copy->NormalRoutine, &Copy->NormalContext, &Copy->SystemArgument1,
                        &Copy->SystemArgument2);
    ASSERT_IRQL(APC_LEVEL);
    if (Copy->NormalRoutine != NULL) {
        Thread->ApcState.KernelApcInProgress = TRUE;
        KeLowerIrql(PASSIVE_LEVEL);
        Copy->NormalRoutine(Copy->NormalContext, Copy->SystemArgument1, Copy->SystemArgument2);
        ASSERT_IRQL(PASSIVE_LEVEL);
        KfRaiseIrql(APC_LEVEL);
        Thread->ApcState.KernelApcInProgress = FALSE;
    }
}

/* KI_VECTOR_APC: IRQL has fallen below APC_LEVEL with an APC waiting, or one that was there has gone. */
VOID KiApcInterrupt(PKTRAP_FRAME Frame, PVOID Context)
{
    PKTHREAD Thread = KeGetCurrentThread();
    PKAPC Apc;
    KAPC Copy;

    while (TakeKernelApc(Thread, &Apc, &Copy)) {
        RunKernelApc(Thread, Apc, &Copy);
    }
}

/* ---- Regions ---- */

/* Holds back normal kernel APCs until the matching leave; nests. IRQL: <= APC_LEVEL. */
VOID NTAPI KeEnterCriticalRegion(VOID)
{
    ASSERT_IRQL_MAX(APC_LEVEL);
    KeGetCurrentThread()->KernelApcDisable--;
}

VOID NTAPI KeLeaveCriticalRegion(VOID)
{
    PKTHREAD Thread = KeGetCurrentThread();

    ASSERT(Thread->KernelApcDisable < 0);
    if (++Thread->KernelApcDisable == 0) {
        KiCheckForKernelApc(Thread);
    }
}

/* Holds back all kernel APCs, special ones too. IRQL: <= APC_LEVEL. */
VOID NTAPI KeEnterGuardedRegion(VOID)
{
    ASSERT_IRQL_MAX(APC_LEVEL);
    KeGetCurrentThread()->SpecialApcDisable--;
}

VOID NTAPI KeLeaveGuardedRegion(VOID)
{
    PKTHREAD Thread = KeGetCurrentThread();

    ASSERT(Thread->SpecialApcDisable < 0);
    if (++Thread->SpecialApcDisable == 0) {
        KiCheckForKernelApc(Thread);
    }
}

/* TRUE: normal kernel APCs are held back. */
BOOLEAN NTAPI KeAreApcsDisabled(VOID)
{
    return KeGetCurrentThread()->CombinedApcDisable != 0;
}

/* TRUE: all kernel APCs are. */
BOOLEAN NTAPI KeAreAllApcsDisabled(VOID)
{
    return KeGetCurrentThread()->SpecialApcDisable != 0 || KeGetCurrentIrql() >= APC_LEVEL;
}
