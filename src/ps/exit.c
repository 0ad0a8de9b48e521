/*
 * exit.c - how processes, other than the system's, and their threads end.
 *
 * A thread ends itself, in PspExitThread: called by its own NtTerminateThread or PsTerminateSystemThread, or on its way to ring 3 after somebody asked for it
 * (src/ke/exit.c). The last thread of a process closes the process's handles; after it has left its stack, the reaper takes the address
 * space down and signals the process, so whoever waits for a process finds its memory and handles given back.
 *
 *   running -> exiting (ExitStatus is set, threads are asked) -> no thread left (handles closed) -> signalled
 *
 * The first status that is given counts.
 *
 * Locks: ExitLock of the process guards its thread count and exit status.
 *
 * Source: WDK documentation of ZwTerminateProcess; Windows documentation of TerminateThread and process exit codes.
 */
#include "psp.h"

#include <ntos/program.h>
#include <ntos/services.h>

/* ---- Threads of a process ---- */

NTSTATUS PspCountThread(PEPROCESS Process)
{
    NTSTATUS Status = STATUS_SUCCESS;

    ExAcquireFastMutex(&Process->ExitLock);
    if (Process->Exiting) {
        Status = STATUS_PROCESS_IS_TERMINATING;
    } else {
        Process->UserThreads++;
        Process->UnreapedThreads++;
    }
    ExReleaseFastMutex(&Process->ExitLock);
    return Status;
}

/* TRUE: that was the last one; the process has no more threads from now on. */
static BOOLEAN UncountThread(PEPROCESS Process, NTSTATUS ExitStatus)
{
    BOOLEAN Last;

    ExAcquireFastMutex(&Process->ExitLock);
    Last = --Process->UserThreads == 0;
    if (Last && !Process->Exiting) {
        Process->Exiting = TRUE;
        Process->ExitStatus = ExitStatus;
    }
    ExReleaseFastMutex(&Process->ExitLock);
    return Last;
}

VOID PspUncountUnstartedThread(PEPROCESS Process)
{
    ExAcquireFastMutex(&Process->ExitLock);
    Process->UserThreads--;
    Process->UnreapedThreads--;
    ExReleaseFastMutex(&Process->ExitLock);
}

/* ---- Ending ---- */

DECLSPEC_NORETURN VOID PspExitThread(NTSTATUS ExitStatus)
{
    PETHREAD Thread = PsGetCurrentThread();
    PEPROCESS Process = Thread->ThreadsProcess;

    ASSERT_IRQL(PASSIVE_LEVEL);
    Thread->Tcb.PreviousMode = KernelMode;
    if (UncountThread(Process, ExitStatus)) {
        if (Process->Announced) {
            Process->Announced = FALSE;
            PspNotifyProcess(Process, NULL);
        }
        ObCloseAllHandles(Process->ObjectTable);
    } else if (!Process->Exiting) {
        PspReleaseUserPart(Thread);
    }
    PspEndThread(Thread, ExitStatus);
}

/* Takes the status of the process's end; FALSE: it has one already. Empty: it has no threads, and gets none any more. */
static BOOLEAN BeginExit(PEPROCESS Process, NTSTATUS ExitStatus, PBOOLEAN Empty)
{
    BOOLEAN First;

    ExAcquireFastMutex(&Process->ExitLock);
    First = !Process->Exiting;
    if (First) {
        Process->Exiting = TRUE;
        Process->ExitStatus = ExitStatus;
    }
    *Empty = Process->UnreapedThreads == 0;
    ExReleaseFastMutex(&Process->ExitLock);
    return First;
}

DECLSPEC_NORETURN VOID PspExitProcess(NTSTATUS ExitStatus)
{
    PETHREAD Thread = PsGetCurrentThread();
    BOOLEAN Empty;

    if (BeginExit(Thread->ThreadsProcess, ExitStatus, &Empty)) {
        KeRequestProcessExit(&Thread->ThreadsProcess->Pcb, &Thread->Tcb, TRUE);
    }
    PspExitThread(ExitStatus);
}

/* No thread of the process is left, or there never was one. */
static VOID FinishProcess(PEPROCESS Process)
{
    PspLeaveJob(Process);
    ExWaitForRundownProtectionRelease(&Process->RundownProtect);
    MmDeleteProcessAddressSpace(Process);
    KeQuerySystemTime(&Process->ExitTime);
    KeSignalProcess(&Process->Pcb);
}

BOOLEAN PspTerminateProcess(PEPROCESS Process, NTSTATUS ExitStatus)
{
    BOOLEAN Empty, First = BeginExit(Process, ExitStatus, &Empty);

    if (First) {
        KeRequestProcessExit(&Process->Pcb, NULL, TRUE);
    }
    if (First && Empty) { /* NtCreateProcessEx's, before it gets its first thread */
        if (Process->Announced) {
            Process->Announced = FALSE;
            PspNotifyProcess(Process, NULL);
        }
        ObCloseAllHandles(Process->ObjectTable);
        FinishProcess(Process);
    }
    return First;
}

/* From the reaper: a thread of a program has left its stack for good. */
VOID PspReapUserThread(PETHREAD Thread)
{
    PEPROCESS Process = Thread->ThreadsProcess;
    BOOLEAN Last;

    if (Thread->UserState != NULL) {
        KeDeleteUserState(Thread->UserState);
        Thread->UserState = NULL;
    }
    ExAcquireFastMutex(&Process->ExitLock);
    Last = --Process->UnreapedThreads == 0 && Process->Exiting && Process->UserThreads == 0;
    ExReleaseFastMutex(&Process->ExitLock);
    if (Last) {
        FinishProcess(Process);
    }
}

/* ---- Services ---- */

/**
 * NtTerminateProcess - ends a process.
 *
 * @Handle      with PROCESS_TERMINATE; NULL: every other thread of the calling process
 * @ExitStatus  counts if no other status was given before
 * returns      not if the process is the caller's; STATUS_PROCESS_IS_TERMINATING; what the handle gives. With NULL it comes
 *              back when the other threads have been asked
 *
 * IRQL: PASSIVE_LEVEL. Source: WDK documentation of ZwTerminateProcess.
 */
NTSTATUS NTAPI NtTerminateProcess(HANDLE Handle, NTSTATUS ExitStatus)
{
    PEPROCESS Process, Own = PsGetCurrentThread()->ThreadsProcess;
    NTSTATUS Status;

    if (Handle == NULL) {
        KeRequestProcessExit(&Own->Pcb, &PsGetCurrentThread()->Tcb, FALSE);
        return STATUS_SUCCESS;
    }
    Status = ObReferenceObjectByHandle(Handle, PSP_PROCESS_TERMINATE, PspProcessType, ExGetPreviousMode(),
                                       (PVOID *)&Process, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Process == PsInitialSystemProcess) {
        Status = STATUS_ACCESS_DENIED;
    } else if (Process == Own) {
        ObDereferenceObject(Process);
        PspExitProcess(ExitStatus);
    } else if (!PspTerminateProcess(Process, ExitStatus)) {
        Status = STATUS_PROCESS_IS_TERMINATING;
    }
    ObDereferenceObject(Process);
    return Status;
}

/**
 * NtTerminateThread - ends a thread of a program.
 *
 * @Handle  with THREAD_TERMINATE; NULL: the calling thread
 * returns  not if the thread is the caller; STATUS_INVALID_PARAMETER for a thread of the system process; what the handle gives
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtTerminateThread(HANDLE Handle, NTSTATUS ExitStatus)
{
    PETHREAD Thread;
    NTSTATUS Status = ObReferenceObjectByHandle(Handle == NULL ? ZwCurrentThread() : Handle, THREAD_TERMINATE,
                                                PspThreadType, ExGetPreviousMode(), (PVOID *)&Thread, NULL);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Thread->SystemThread) {
        Status = STATUS_INVALID_PARAMETER;
    } else if (Thread == PsGetCurrentThread()) {
        ObDereferenceObject(Thread);
        PspExitThread(ExitStatus);
    } else {
        Thread->ExitStatus = ExitStatus;
        KeRequestThreadExit(&Thread->Tcb);
    }
    ObDereferenceObject(Thread);
    return Status;
}
