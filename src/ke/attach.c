/*
 * attach.c - a thread in the address space of another process.
 *
 * Attaching puts the thread's APC state (its queues, and which process it uses) aside and begins an empty one in the other process;
 * detaching brings it back. The state of the thread's own process is in SavedApcState, those of nested attachments are in
 * the KAPC_STATE of their callers. An APC meant for the thread's own environment waits in SavedApcState meanwhile; one meant for the
 * attached environment must have been delivered before the thread may leave it.
 *
 * KPROCESS.ActiveProcessors has a bit for each processor that has the address space loaded: set before CR3 is written and cleared after
 * another one was, so that whoever sends a shootdown to those processors reaches at least all that may use translations. What others
 * keep of it under an identifier they look at before they use it again (src/mm/tables/pcid.c).
 *
 * Locks: dispatcher. The caller keeps the process alive, and its address space too.
 *
 * Source: WDK documentation of KeStackAttachProcess.
 */
#include "kip.h"

VOID KiSwapAddressSpace(PKPROCESS Old, PKPROCESS New)
{
    LONG64 Member = (LONG64)KeGetCurrentPrcb()->SetMember;

    if (New != Old) {
        InterlockedOr64((volatile LONG64 *)&New->ActiveProcessors, Member);
        if (MmPcidEnabled) {
            MmLoadAddressSpace(New);
        } else {
            __writecr3(New->DirectoryTableBase);
        }
        InterlockedAnd64((volatile LONG64 *)&Old->ActiveProcessors, ~Member);
    }
}

static VOID MoveList(PLIST_ENTRY To, PLIST_ENTRY From)
{
    if (IsListEmpty(From)) {
        InitializeListHead(To);
        return;
    }
    *To = *From;
    To->Flink->Blink = To;
    To->Blink->Flink = To;
    InitializeListHead(From);
}

static VOID MoveApcState(PKAPC_STATE To, PKAPC_STATE From)
{
    MoveList(&To->ApcListHead[KernelMode], &From->ApcListHead[KernelMode]);
    MoveList(&To->ApcListHead[UserMode], &From->ApcListHead[UserMode]);
    To->Process = From->Process;
    To->KernelApcInProgress = From->KernelApcInProgress;
    To->KernelApcPending = From->KernelApcPending;
    To->UserApcPending = From->UserApcPending;
}

/* Under the dispatcher lock. */
static VOID Attach(PKTHREAD Thread, PKPROCESS Process, PKAPC_STATE Saved)
{
    PKPROCESS Old = Thread->ApcState.Process;

    MoveApcState(Saved, &Thread->ApcState);
    Thread->ApcState.Process = Process;
    Thread->ApcState.KernelApcInProgress = FALSE;
    Thread->ApcState.KernelApcPending = FALSE;
    Thread->ApcState.UserApcPending = FALSE;
    Thread->ApcStateIndex = AttachedApcEnvironment;
    KiSwapAddressSpace(Old, Process);
}

/* Lets APCs of the attached environment come, until the dispatcher lock is held with none left. Returns the IRQL to go back to. */
static KIRQL LockWithoutApcs(PKTHREAD Thread)
{
    for (;;) {
        KIRQL OldIrql = KiAcquireDispatcherLock();
        if (OldIrql >= APC_LEVEL || !KiKernelApcDeliverable(Thread)) {
            return OldIrql;
        }
        HalSendSelfIpi(KI_VECTOR_APC);
        KiReleaseDispatcherLock(OldIrql);
    }
}

/* Ends an attachment; the dispatcher lock is held, and given up. */
static VOID Detach(PKTHREAD Thread, PKAPC_STATE Saved, KIRQL OldIrql)
{
    PKPROCESS Old = Thread->ApcState.Process;

    if (!IsListEmpty(&Thread->ApcState.ApcListHead[KernelMode]) ||
        !IsListEmpty(&Thread->ApcState.ApcListHead[UserMode])) {
        KeBugCheckEx(INVALID_PROCESS_DETACH_ATTEMPT, (ULONG_PTR)Old, (ULONG_PTR)Thread, 1, 0);
    }
    MoveApcState(&Thread->ApcState, Saved);
    if (Saved == &Thread->SavedApcState) {
        Saved->Process = NULL;
        Thread->ApcStateIndex = OriginalApcEnvironment;
    }
    Thread->ApcState.KernelApcPending = !IsListEmpty(&Thread->ApcState.ApcListHead[KernelMode]);
    KiSwapAddressSpace(Old, Thread->ApcState.Process);
    KiReleaseDispatcherLock(OldIrql);
    KiCheckForKernelApc(Thread);
}

/**
 * KeStackAttachProcess - enters the address space of a process.
 *
 * @Process   referenced by the caller until it has detached
 * @ApcState  resident storage, for KeUnstackDetachProcess of the same thread
 *
 * IRQL: <= APC_LEVEL. Nests. Bug check INVALID_PROCESS_ATTACH_ATTEMPT from a DPC.
 */
VOID NTAPI KeStackAttachProcess(PKPROCESS Process, PKAPC_STATE ApcState)
{
    PKTHREAD Thread = KeGetCurrentThread();

    if (KeGetCurrentIrql() >= DISPATCH_LEVEL) {
        KeBugCheckEx(INVALID_PROCESS_ATTACH_ATTEMPT, (ULONG_PTR)Process, (ULONG_PTR)Thread->ApcState.Process,
                     Thread->ApcStateIndex, KeGetCurrentIrql());
    }
    KIRQL OldIrql = KiAcquireDispatcherLock();
    if (Thread->ApcStateIndex != OriginalApcEnvironment) {
        Attach(Thread, Process, ApcState);
    } else {
        Attach(Thread, Process, &Thread->SavedApcState);
        ApcState->Process = NULL; /* says where the state is */
    }
    KiReleaseDispatcherLock(OldIrql);
}

/* Leaves it again; the attachments of a thread end in reverse order. IRQL: <= APC_LEVEL. */
VOID NTAPI KeUnstackDetachProcess(PKAPC_STATE ApcState)
{
    PKTHREAD Thread = KeGetCurrentThread();
    KIRQL OldIrql = LockWithoutApcs(Thread);

    if (Thread->ApcStateIndex == OriginalApcEnvironment || Thread->ApcState.KernelApcInProgress) {
        KeBugCheckEx(INVALID_PROCESS_DETACH_ATTEMPT, (ULONG_PTR)Thread->ApcState.Process, (ULONG_PTR)Thread, 0, 0);
    }
    Detach(Thread, ApcState->Process == NULL ? &Thread->SavedApcState : ApcState, OldIrql);
}

/* The older pair: one attachment at a time, and none to the process the thread is in already. IRQL: <= APC_LEVEL. */
VOID NTAPI KeAttachProcess(PKPROCESS Process)
{
    PKTHREAD Thread = KeGetCurrentThread();

    if (Thread->ApcState.Process == Process) {
        return;
    }
    if (Thread->ApcStateIndex != OriginalApcEnvironment || KeGetCurrentIrql() >= DISPATCH_LEVEL) {
        KeBugCheckEx(INVALID_PROCESS_ATTACH_ATTEMPT, (ULONG_PTR)Process, (ULONG_PTR)Thread->ApcState.Process,
                     Thread->ApcStateIndex, KeGetCurrentIrql());
    }
    KIRQL OldIrql = KiAcquireDispatcherLock();
    Attach(Thread, Process, &Thread->SavedApcState);
    KiReleaseDispatcherLock(OldIrql);
}

VOID NTAPI KeDetachProcess(VOID)
{
    PKTHREAD Thread = KeGetCurrentThread();

    if (Thread->ApcStateIndex != OriginalApcEnvironment) {
        Detach(Thread, &Thread->SavedApcState, LockWithoutApcs(Thread));
    }
}

/* TRUE: the calling thread is attached to a process. IRQL: any. */
BOOLEAN NTAPI KeIsAttachedProcess(VOID)
{
    return KeGetCurrentThread()->ApcStateIndex != OriginalApcEnvironment;
}
