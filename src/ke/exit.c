/*
 * exit.c - asking threads of programs to end.
 *
 * Nobody ends a thread but itself: it may hold locks. It is marked (ExitRequested) and looks at the mark at the one place where it holds
 * nothing, on its way to ring 3 (KiLeaveToUser). What may keep it from getting there is ended here: a wait in user mode
 * returns STATUS_USER_APC, a suspension is over, and a thread that runs in ring 3 is interrupted.
 * A wait in kernel mode is left to end by itself.
 *
 * Locks: dispatcher.
 */
#include "kip.h"

/* Dispatcher lock held. */
static VOID RequestExit(PKTHREAD Thread)
{
    if (Thread->ExitRequested || Thread->State == Terminated) {
        return;
    }
    Thread->ExitRequested = TRUE;
    if (Thread->SuspendCount != 0) {
        Thread->SuspendCount = 0;
        Thread->SuspendSemaphore.Header.SignalState++;
        KiWaitTest(&Thread->SuspendSemaphore.Header, IO_NO_INCREMENT);
    }
    if (Thread->State == Waiting && Thread->WaitMode == UserMode) {
        KiUnwaitThread(Thread, STATUS_USER_APC, 0);
    } else if (Thread->State == Running && Thread != KeGetCurrentThread()) {
        HalSendIpi(KiProcessorBlock[Thread->NextProcessor]->SetMember, KI_VECTOR_APC);
    }
}

/* Asks one thread to end. Its ETHREAD's ExitStatus is set already. IRQL: <= DISPATCH_LEVEL. */
VOID KeRequestThreadExit(PKTHREAD Thread)
{
    KIRQL OldIrql = KiAcquireDispatcherLock();

    RequestExit(Thread);
    KiReleaseDispatcherLock(OldIrql);
}

/**
 * KeRequestProcessExit - asks every thread of a process to end, present and future ones.
 *
 * @Except  not this one; may be NULL
 * @Final   TRUE: threads that are started later end at once
 *
 * IRQL: <= DISPATCH_LEVEL.
 */
VOID KeRequestProcessExit(PKPROCESS Process, PKTHREAD Except, BOOLEAN Final)
{
    KIRQL OldIrql = KiAcquireDispatcherLock();

    Process->ExitRequested |= Final;
    for (PLIST_ENTRY Entry = Process->ThreadListHead.Flink; Entry != &Process->ThreadListHead; Entry = Entry->Flink) {
        PKTHREAD Thread = CONTAINING_RECORD(Entry, KTHREAD, ThreadListEntry);

        if (Thread != Except) {
            RequestExit(Thread);
        }
    }
    KiReleaseDispatcherLock(OldIrql);
}

/* The process is over: whoever waits for it goes on. IRQL: <= DISPATCH_LEVEL. */
VOID KeSignalProcess(PKPROCESS Process)
{
    KIRQL OldIrql = KiAcquireDispatcherLock();

    Process->Header.SignalState = 1;
    KiWaitTest(&Process->Header, IO_NO_INCREMENT);
    KiReleaseDispatcherLock(OldIrql);
}
