/*
 * suspend.c - threads that are stopped from outside, and let go on.
 *
 * The first suspension queues a normal kernel APC, whose routine waits for the thread's SuspendSemaphore; the last resumption releases it.
 * So a thread stops where it can take such an APC: not inside a critical region, not while it holds a driver's mutex, and for a
 * thread that waits, in the middle of the wait, which goes on afterwards. An APC that is still queued when its suspension ends finds
 * the semaphore released; if another suspension comes before that, the release is taken back.
 *
 * Locks: dispatcher. IRQL: <= DISPATCH_LEVEL.
 *
 * Source: WDK documentation of NtSuspendThread semantics: MAXIMUM_SUSPEND_COUNT, STATUS_SUSPEND_COUNT_EXCEEDED.
 */
#include "kip.h"

static VOID NTAPI SuspendKernel(PKAPC Apc, PKNORMAL_ROUTINE *Normal, PVOID *Context, PVOID *Argument1, PVOID *Argument2)
{
}

static VOID NTAPI SuspendRundown(PKAPC Apc)
{
}

static VOID NTAPI SuspendNormal(PVOID Context, PVOID Argument1, PVOID Argument2)
{
    KeWaitForSingleObject(&KeGetCurrentThread()->SuspendSemaphore, Suspended, KernelMode, FALSE, NULL);
}

VOID KiInitializeSuspend(PKTHREAD Thread)
{
    KeInitializeSemaphore(&Thread->SuspendSemaphore, 0, 2);
    KeInitializeApc(&Thread->SuspendApc, Thread, OriginalApcEnvironment, SuspendKernel, SuspendRundown, SuspendNormal,
                    KernelMode, NULL);
}

/**
 * KeSuspendThread - stops a thread, or once more one that is stopped.
 *
 * @PreviousCount  receives how often it was suspended before; may be NULL
 * returns         STATUS_SUCCESS; STATUS_SUSPEND_COUNT_EXCEEDED; STATUS_THREAD_IS_TERMINATING
 *
 * IRQL: <= DISPATCH_LEVEL. The thread may run on for a moment; for the caller's own, only until the call is over.
 */
NTSTATUS KeSuspendThread(PKTHREAD Thread, PULONG PreviousCount)
{
    NTSTATUS Status = STATUS_SUCCESS;
    KIRQL OldIrql = KiAcquireDispatcherLock();
    LONG Count = Thread->SuspendCount;

    if (!Thread->ApcQueueable || Thread->ExitRequested) {
        Status = STATUS_THREAD_IS_TERMINATING;
    } else if (Count == MAXIMUM_SUSPEND_COUNT) {
        Status = STATUS_SUSPEND_COUNT_EXCEEDED;
    } else {
        Thread->SuspendCount++;
        if (Count == 0 && !KiQueueApc(&Thread->SuspendApc, NULL, NULL, IO_NO_INCREMENT)) {
            Thread->SuspendSemaphore.Header.SignalState--;
        }
    }
    KiReleaseDispatcherLock(OldIrql);
    if (PreviousCount != NULL) {
        *PreviousCount = (ULONG)Count;
    }
    return Status;
}

/* Takes one suspension back; returns how many there were. 0: it was not suspended. IRQL: <= DISPATCH_LEVEL. */
ULONG KeResumeThread(PKTHREAD Thread)
{
    KIRQL OldIrql = KiAcquireDispatcherLock();
    LONG Count = Thread->SuspendCount;

    if (Count > 0 && --Thread->SuspendCount == 0) {
        Thread->SuspendSemaphore.Header.SignalState++;
        KiWaitTest(&Thread->SuspendSemaphore.Header, IO_NO_INCREMENT);
    }
    KiReleaseDispatcherLock(OldIrql);
    return (ULONG)Count;
}
