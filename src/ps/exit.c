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
    }
    PspEndThread(Thread, ExitStatus);
}

/* Takes the status of the process's end; FALSE: it has one already. */
static BOOLEAN BeginExit(PEPROCESS Process, NTSTATUS ExitStatus)
{
    BOOLEAN First;

    ExAcquireFastMutex(&Process->ExitLock);
    First = !Process->Exiting;
    if (First) {
        Process->Exiting = TRUE;
        Process->ExitStatus = ExitStatus;
    }
    ExReleaseFastMutex(&Process->ExitLock);
    return First;
}

DECLSPEC_NORETURN VOID PspExitProcess(NTSTATUS ExitStatus)
{
    PETHREAD Thread = PsGetCurrentThread();

    if (BeginExit(Thread->ThreadsProcess, ExitStatus)) {
        KeRequestProcessExit(&Thread->ThreadsProcess->Pcb, &Thread->Tcb, TRUE);
    }
    PspExitThread(ExitStatus);
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
        ExWaitForRundownProtectionRelease(&Process->RundownProtect);
        KeQuerySystemTime(&Process->ExitTime);
        MmDeleteProcessAddressSpace(Process);
        KeSignalProcess(&Process->Pcb);
    }
}
