/*
 * affinity.c - which processors a thread may run on, and the numbers that drivers know processors by.
 *
 * A thread's Affinity is its own (UserAffinity) unless it has confined itself with KeSetSystemAffinityThreadEx. A change takes effect at
 * once: a ready thread is queued anew, a running one is sent away by its processor before the call returns to the caller, if that is
 * the thread itself, or as soon as the processor's IRQL allows. The ideal processor is a wish: the first idle one to be tried.
 *
 * There is one group and one node, of at most 64 processors, numbered from 0 without gaps.
 *
 * Locks: dispatcher. IRQL: <= DISPATCH_LEVEL, or as said.
 *
 * Source: WDK documentation of KeSetSystemAffinityThreadEx, KeSetSystemGroupAffinityThread, KeQueryActiveProcessorCountEx.
 */
#include "kip.h"

/* ---- Setting; under the dispatcher lock ---- */

/* Has a processor take up something else than what it runs; its idle thread if nothing else is ready. */
static VOID SendAway(PKPRCB Prcb)
{
    if (Prcb->NextThread == NULL) {
        PKTHREAD Next = KiSelectThread(Prcb, LOW_PRIORITY);
        KiSetNextThread(Prcb, Next != NULL ? Next : Prcb->IdleThread);
    }
}

static VOID SetAffinity(PKTHREAD Thread, KAFFINITY Affinity)
{
    PKPRCB Prcb = KiProcessorBlock[Thread->NextProcessor];
    UCHAR State = Thread->State;

    if (State == Ready) {
        KiRemoveReady(Thread);
    }
    Thread->Affinity = Affinity;
    if (State == Ready) {
        KiReadyThread(Thread);
    } else if (State == Standby && (Affinity & Prcb->SetMember) == 0) {
        KiDropNextThread(Prcb);
        KiReadyThread(Thread);
    } else if (State == Running && (Affinity & Prcb->SetMember) == 0) {
        SendAway(Prcb);
    }
}

/* The part of a set that is there, or all processors if that is none. */
static KAFFINITY Possible(KAFFINITY Affinity)
{
    KAFFINITY Active = KeQueryActiveProcessors();

    return (Affinity & Active) != 0 ? Affinity & Active : Active;
}

/**
 * KeSetSystemAffinityThreadEx - confines the calling thread to a set of processors; returns there.
 *
 * @Affinity  at least one active processor
 * returns    the old set if one was set this way, else 0: what KeRevertToUserAffinityThreadEx takes
 *
 * IRQL: <= APC_LEVEL.
 */
KAFFINITY NTAPI KeSetSystemAffinityThreadEx(KAFFINITY Affinity)
{
    KIRQL OldIrql = KiAcquireDispatcherLock();
    PKTHREAD Thread = KeGetCurrentThread();
    KAFFINITY Old = Thread->SystemAffinityActive ? Thread->Affinity : 0;

    Thread->SystemAffinityActive = TRUE;
    SetAffinity(Thread, Possible(Affinity));
    KiReleaseDispatcherLock(OldIrql);
    return Old;
}

/* Undoes the above: back to an outer set of the same kind, or (0) to the thread's own. IRQL: <= DISPATCH_LEVEL. */
VOID NTAPI KeRevertToUserAffinityThreadEx(KAFFINITY Affinity)
{
    KIRQL OldIrql = KiAcquireDispatcherLock();
    PKTHREAD Thread = KeGetCurrentThread();

    Thread->SystemAffinityActive = Affinity != 0;
    SetAffinity(Thread, Affinity != 0 ? Possible(Affinity) : Thread->UserAffinity);
    KiReleaseDispatcherLock(OldIrql);
}

VOID NTAPI KeSetSystemAffinityThread(KAFFINITY Affinity)
{
    KeSetSystemAffinityThreadEx(Affinity);
}

VOID NTAPI KeRevertToUserAffinityThread(VOID)
{
    KeRevertToUserAffinityThreadEx(0);
}

/**
 * KeSetSystemGroupAffinityThread - KeSetSystemAffinityThreadEx with the set of a group.
 *
 * @Affinity          group 0; a group that is not there leaves everything as it is
 * @PreviousAffinity  receives the old set, of 0 processors if none was set this way; may be NULL
 *
 * IRQL: <= APC_LEVEL.
 */
VOID NTAPI KeSetSystemGroupAffinityThread(PGROUP_AFFINITY Affinity, PGROUP_AFFINITY PreviousAffinity)
{
    GROUP_AFFINITY Previous = {0};

    if (Affinity->Group == 0 && (Affinity->Mask & KeQueryActiveProcessors()) != 0) {
        Previous.Mask = KeSetSystemAffinityThreadEx(Affinity->Mask);
    }
    if (PreviousAffinity != NULL) {
        *PreviousAffinity = Previous;
    }
}

VOID NTAPI KeRevertToUserGroupAffinityThread(PGROUP_AFFINITY PreviousAffinity)
{
    KeRevertToUserAffinityThreadEx(PreviousAffinity->Mask);
}

/**
 * KeSetAffinityThread - sets a thread's own set of processors.
 *
 * @Affinity  at least one active processor, else nothing changes
 * returns    the old set
 *
 * IRQL: <= DISPATCH_LEVEL.
 */
KAFFINITY NTAPI KeSetAffinityThread(PKTHREAD Thread, KAFFINITY Affinity)
{
    KIRQL OldIrql = KiAcquireDispatcherLock();
    KAFFINITY Old = Thread->UserAffinity;

    if ((Affinity & KeQueryActiveProcessors()) != 0) {
        Thread->UserAffinity = Possible(Affinity);
        if (!Thread->SystemAffinityActive) {
            SetAffinity(Thread, Thread->UserAffinity);
        }
    }
    KiReleaseDispatcherLock(OldIrql);
    return Old;
}

/* Names the processor a thread is best run on; returns the old one. One that is not there is ignored. */
UCHAR NTAPI KeSetIdealProcessorThread(PKTHREAD Thread, UCHAR Processor)
{
    KIRQL OldIrql = KiAcquireDispatcherLock();
    UCHAR Old = Thread->IdealProcessor;

    if (Processor < KeNumberOfActiveProcessors) {
        Thread->IdealProcessor = Processor;
    }
    KiReleaseDispatcherLock(OldIrql);
    return Old;
}

/* ---- Counting processors. IRQL: any ---- */

KAFFINITY NTAPI KeQueryActiveProcessors(VOID)
{
    return ((KAFFINITY)1 << (KeNumberOfActiveProcessors - 1) << 1) - 1;
}

ULONG NTAPI KeQueryActiveProcessorCount(PKAFFINITY ActiveProcessors)
{
    if (ActiveProcessors != NULL) {
        *ActiveProcessors = KeQueryActiveProcessors();
    }
    return KeNumberOfActiveProcessors;
}

/* The processors that could ever be started: as many as are, since none is added to a running machine. */
ULONG NTAPI KeQueryMaximumProcessorCount(VOID)
{
    return KeNumberOfActiveProcessors;
}

/* 0 for a group that is not there. */
ULONG NTAPI KeQueryActiveProcessorCountEx(USHORT GroupNumber)
{
    return GroupNumber == 0 || GroupNumber == ALL_PROCESSOR_GROUPS ? KeNumberOfActiveProcessors : 0;
}

ULONG NTAPI KeQueryMaximumProcessorCountEx(USHORT GroupNumber)
{
    return KeQueryActiveProcessorCountEx(GroupNumber);
}

USHORT NTAPI KeQueryActiveGroupCount(VOID)
{
    return 1;
}

USHORT NTAPI KeQueryMaximumGroupCount(VOID)
{
    return 1;
}

KAFFINITY NTAPI KeQueryGroupAffinity(USHORT GroupNumber)
{
    return GroupNumber == 0 ? KeQueryActiveProcessors() : 0;
}

/* The number of the processor that runs the caller; ProcNumber may be NULL. Meaningful only while that cannot change. */
ULONG NTAPI KeGetCurrentProcessorNumberEx(PPROCESSOR_NUMBER ProcNumber)
{
    ULONG Index = KeGetCurrentPrcb()->Number;

    if (ProcNumber != NULL) {
        KeGetProcessorNumberFromIndex(Index, ProcNumber);
    }
    return Index;
}

/* STATUS_INVALID_PARAMETER: there is no such processor. */
NTSTATUS NTAPI KeGetProcessorNumberFromIndex(ULONG ProcIndex, PPROCESSOR_NUMBER ProcNumber)
{
    if (ProcIndex >= KeNumberOfActiveProcessors) {
        return STATUS_INVALID_PARAMETER;
    }
    *ProcNumber = (PROCESSOR_NUMBER){.Group = 0, .Number = (UCHAR)ProcIndex};
    return STATUS_SUCCESS;
}

/* INVALID_PROCESSOR_INDEX: there is no such processor. */
ULONG NTAPI KeGetProcessorIndexFromNumber(PPROCESSOR_NUMBER ProcNumber)
{
    if (ProcNumber->Group != 0 || ProcNumber->Number >= KeNumberOfActiveProcessors || ProcNumber->Reserved != 0) {
        return MAXULONG;
    }
    return ProcNumber->Number;
}

USHORT NTAPI KeQueryHighestNodeNumber(VOID)
{
    return 0;
}

USHORT NTAPI KeGetCurrentNodeNumber(VOID)
{
    return 0;
}

/* Affinity and Count may be NULL; a node that is not there has no processors. */
VOID NTAPI KeQueryNodeActiveAffinity(USHORT NodeNumber, PGROUP_AFFINITY Affinity, PUSHORT Count)
{
    if (Affinity != NULL) {
        *Affinity = (GROUP_AFFINITY){.Mask = NodeNumber == 0 ? KeQueryActiveProcessors() : 0};
    }
    if (Count != NULL) {
        *Count = (USHORT)(NodeNumber == 0 ? KeNumberOfActiveProcessors : 0);
    }
}

USHORT NTAPI KeQueryNodeMaximumProcessorCount(USHORT NodeNumber)
{
    return (USHORT)(NodeNumber == 0 ? KeNumberOfActiveProcessors : 0);
}
