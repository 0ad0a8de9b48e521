/*
 * dpc.c - deferred procedure calls and the interrupt that runs them.
 *
 * Each processor has one queue, served by its KI_VECTOR_DPC interrupt at DISPATCH_LEVEL on the stack of whatever thread it
 * interrupted. That interrupt is a self-IPI: it stays pending in the local APIC while IRQL is DISPATCH_LEVEL or higher. It
 * expires timers, drains the queue, then looks whether another thread should run. High importance goes to the head
 * of the queue; low importance waits for the next clock tick unless several have gathered.
 *
 * A KDPC is queued while DpcData is not NULL; it is free again before its routine is called, which may queue it anew.
 *
 * Locks: a processor's DpcLock, with interrupts off, because DPCs are queued at any IRQL. No other lock is taken under it.
 *
 * Source: WDK documentation of KeInsertQueueDpc, KeSetImportanceDpc, KeSetTargetProcessorDpc, KeFlushQueuedDpcs.
 */
#include "kip.h"

/* So many low-importance DPCs are not left to the clock. */
#define DPC_LOW_DEPTH 4

/* KDPC.Number: 0 the processor that queues it, otherwise this plus the target's number. */
#define DPC_TARGETED 64

VOID KiInitializeDpcs(PKI_DISPATCH Dispatch)
{
    InitializeListHead(&Dispatch->DpcList);
    VfNameLock(&Dispatch->DpcLock, "KI_DISPATCH.DpcLock");
}

/**
 * KeInitializeDpc - makes a DPC object.
 *
 * @Dpc              resident storage of the caller
 * @DeferredRoutine  called at DISPATCH_LEVEL
 *
 * IRQL: any.
 */
VOID NTAPI KeInitializeDpc(PRKDPC Dpc, PKDEFERRED_ROUTINE DeferredRoutine, PVOID DeferredContext)
{
    memset(Dpc, 0, sizeof(*Dpc));
    Dpc->Type = DpcObject;
    Dpc->Importance = MediumImportance;
    Dpc->DeferredRoutine = DeferredRoutine;
    Dpc->DeferredContext = DeferredContext;
}

/* A threaded DPC may run as a plain one at any time, and here always does: its routine must cope with either. */
VOID NTAPI KeInitializeThreadedDpc(PRKDPC Dpc, PKDEFERRED_ROUTINE DeferredRoutine, PVOID DeferredContext)
{
    KeInitializeDpc(Dpc, DeferredRoutine, DeferredContext);
    Dpc->Type = ThreadedDpcObject;
}

VOID NTAPI KeSetImportanceDpc(PRKDPC Dpc, KDPC_IMPORTANCE Importance)
{
    Dpc->Importance = (UCHAR)Importance;
}

VOID NTAPI KeSetTargetProcessorDpc(PRKDPC Dpc, CCHAR Number)
{
    Dpc->Number = (USHORT)(DPC_TARGETED + Number);
}

/**
 * KeSetTargetProcessorDpcEx - names the processor that a DPC runs on.
 *
 * returns  STATUS_INVALID_PARAMETER: no such processor
 *
 * IRQL: any. The DPC is not queued.
 */
NTSTATUS NTAPI KeSetTargetProcessorDpcEx(PKDPC Dpc, PPROCESSOR_NUMBER ProcNumber)
{
    if (KeGetProcessorIndexFromNumber(ProcNumber) == INVALID_PROCESSOR_INDEX) {
        return STATUS_INVALID_PARAMETER;
    }
    KeSetTargetProcessorDpc(Dpc, (CCHAR)ProcNumber->Number);
    return STATUS_SUCCESS;
}

static BOOLEAN DpcLock(PKI_DISPATCH Dispatch)
{
    BOOLEAN Enabled = KeDisableInterrupts();
    KiAcquireSpinLock(&Dispatch->DpcLock);
    return Enabled;
}

static VOID DpcUnlock(PKI_DISPATCH Dispatch, BOOLEAN Enabled)
{
    KiReleaseSpinLock(&Dispatch->DpcLock);
    KeRestoreInterrupts(Enabled);
}

/* Puts a DPC into a queue whose lock is held; returns whether its processor must be interrupted for it. */
static BOOLEAN DpcEnqueue(PKPRCB Prcb, PKI_DISPATCH Dispatch, PKDPC Dpc)
{
    if (Dpc->Importance == HighImportance) {
        InsertHeadList(&Dispatch->DpcList, &Dpc->DpcListEntry);
    } else {
        InsertTailList(&Dispatch->DpcList, &Dpc->DpcListEntry);
    }
    Dispatch->DpcDepth++;
    KeMemoryFence(); /* the processor may just stop its tick: see idle.c */
    return !Dispatch->DpcActive &&
           (Dpc->Importance != LowImportance || Dispatch->DpcDepth >= DPC_LOW_DEPTH || Prcb->Tickless);
}

/**
 * KeInsertQueueDpc - queues a DPC on its target processor, or on this one.
 *
 * @SystemArgument1, @SystemArgument2  passed to the routine
 * returns  FALSE: it was queued already, and its arguments stay as they were
 *
 * IRQL: any.
 */
BOOLEAN NTAPI KeInsertQueueDpc(PRKDPC Dpc, PVOID SystemArgument1, PVOID SystemArgument2)
{
    BOOLEAN Enabled = KeDisableInterrupts();
    PKPRCB Prcb = KeGetCurrentPrcb();
    BOOLEAN Request = FALSE, Inserted = FALSE;

    if (Dpc->Number >= DPC_TARGETED && KiProcessorBlock[Dpc->Number - DPC_TARGETED] != NULL) {
        Prcb = KiProcessorBlock[Dpc->Number - DPC_TARGETED];
    }
    PKI_DISPATCH Dispatch = Prcb->Dispatch;
    KiAcquireSpinLock(&Dispatch->DpcLock);
    if (InterlockedCompareExchangePointer((PVOID *)&Dpc->DpcData, Dispatch, NULL) == NULL) {
        Dpc->SystemArgument1 = SystemArgument1;
        Dpc->SystemArgument2 = SystemArgument2;
        Request = DpcEnqueue(Prcb, Dispatch, Dpc);
        Inserted = TRUE;
    }
    KiReleaseSpinLock(&Dispatch->DpcLock);
    if (Request) {
        if (Prcb == KeGetCurrentPrcb()) {
            HalSendSelfIpi(KI_VECTOR_DPC);
        } else {
            HalSendIpi(Prcb->SetMember, KI_VECTOR_DPC);
        }
    }
    KeRestoreInterrupts(Enabled);
    return Inserted;
}

/**
 * KeRemoveQueueDpc - takes a DPC out of its queue.
 *
 * returns  TRUE: it was queued and will not run; FALSE: it was not queued (it may be running)
 *
 * IRQL: any.
 */
BOOLEAN NTAPI KeRemoveQueueDpc(PRKDPC Dpc)
{
    PKI_DISPATCH Dispatch = Dpc->DpcData;
    BOOLEAN Removed = FALSE;

    if (Dispatch == NULL) {
        return FALSE;
    }
    BOOLEAN Enabled = DpcLock(Dispatch);
    if (Dpc->DpcData == Dispatch) {
        RemoveEntryList(&Dpc->DpcListEntry);
        Dispatch->DpcDepth--;
        Dpc->DpcData = NULL;
        Removed = TRUE;
    }
    DpcUnlock(Dispatch, Enabled);
    return Removed;
}

/* Runs queued DPCs until none is left. DISPATCH_LEVEL, interrupts on. */
static VOID DrainDpcs(PKPRCB Prcb)
{
    PKI_DISPATCH Dispatch = Prcb->Dispatch;
    BOOLEAN Enabled = DpcLock(Dispatch);

    Dispatch->DpcActive = TRUE;
    while (!IsListEmpty(&Dispatch->DpcList)) {
        PKDPC Dpc = CONTAINING_RECORD(RemoveHeadList(&Dispatch->DpcList), KDPC, DpcListEntry);
        PKDEFERRED_ROUTINE Routine = Dpc->DeferredRoutine;
        PVOID Context = Dpc->DeferredContext;
        PVOID Argument1 = Dpc->SystemArgument1, Argument2 = Dpc->SystemArgument2;
        Dispatch->DpcDepth--;
        Dpc->DpcData = NULL;
        Dispatch->CurrentDpc = Dpc;
        DpcUnlock(Dispatch, Enabled);
        VfEnterDpc(Routine);
        Routine(Dpc, Context, Argument1, Argument2);
        VfLeaveDpc();
        ASSERT_IRQL(DISPATCH_LEVEL);
        Prcb->DpcCount++;
        Enabled = DpcLock(Dispatch);
    }
    Dispatch->CurrentDpc = NULL;
    Dispatch->DpcActive = FALSE;
    DpcUnlock(Dispatch, Enabled);
}

/* KI_VECTOR_DPC: IRQL has fallen below DISPATCH_LEVEL and somebody asked for this, perhaps for a reason gone by now. */
VOID KiDpcInterrupt(PKTRAP_FRAME Frame, PVOID Context)
{
    PKPRCB Prcb = KeGetCurrentPrcb();

    InterlockedExchange(&Prcb->Dispatch->Called, FALSE);
    if (Prcb->Dispatch->TimerDue) {
        Prcb->Dispatch->TimerDue = FALSE;
        KiExpireTimers();
    }
    if (Prcb->Dispatch->DpcDepth != 0) {
        DrainDpcs(Prcb);
    }
    KiDispatchNext();
}

typedef struct _DPC_FLUSH {
    KDPC Dpc;
    KEVENT Done;
} DPC_FLUSH;

static VOID NTAPI FlushRoutine(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    KeSetEvent(&((DPC_FLUSH *)Context)->Done, IO_NO_INCREMENT, FALSE);
}

/**
 * KeFlushQueuedDpcs - returns once every DPC queued so far, on any processor, has run.
 *
 * A DPC of low importance at the tail of each queue in turn: what was queued before runs before it.
 *
 * IRQL: PASSIVE_LEVEL.
 */
VOID NTAPI KeFlushQueuedDpcs(VOID)
{
    DPC_FLUSH Flush;

    ASSERT_IRQL(PASSIVE_LEVEL);
    KeInitializeDpc(&Flush.Dpc, FlushRoutine, &Flush);
    KeInitializeEvent(&Flush.Done, SynchronizationEvent, FALSE);
    for (ULONG Number = 0; Number < KeNumberOfActiveProcessors; Number++) {
        KeSetTargetProcessorDpc(&Flush.Dpc, (CCHAR)Number);
        KeInsertQueueDpc(&Flush.Dpc, NULL, NULL);
        KeWaitForSingleObject(&Flush.Done, Executive, KernelMode, FALSE, NULL);
    }
}

#if NT_CHK

PKDPC KiFindDpcOf(ULONG64 Begin, ULONG64 End)
{
    PKDPC Found = NULL;

    for (ULONG Number = 0; Number < KeNumberOfActiveProcessors && Found == NULL; Number++) {
        PKI_DISPATCH Dispatch = KiProcessorBlock[Number]->Dispatch;
        BOOLEAN Enabled = DpcLock(Dispatch);
        for (PLIST_ENTRY Entry = Dispatch->DpcList.Flink; Entry != &Dispatch->DpcList; Entry = Entry->Flink) {
            PKDPC Dpc = CONTAINING_RECORD(Entry, KDPC, DpcListEntry);
            ULONG64 Routine = (ULONG64)Dpc->DeferredRoutine;
            if (((ULONG64)Dpc >= Begin && (ULONG64)Dpc < End) || (Routine >= Begin && Routine < End)) {
                Found = Dpc;
            }
        }
        DpcUnlock(Dispatch, Enabled);
    }
    return Found;
}

#endif
