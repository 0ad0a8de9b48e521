/*
 * query.c - what can be asked about processes and threads.
 *
 * Most answers are constants of an object that the caller keeps referenced, or belong to the calling thread. What is
 * only meaningful once a process has ended says so. Nothing here waits, allocates or takes a lock but for suspending processes.
 *
 * Source: WDK documentation; for the names that only tools' authors describe, what those descriptions agree on.
 */
#include "psp.h"

/* ---- Processes. IRQL: any ---- */

/* The process whose address space the calling thread uses. */
PEPROCESS NTAPI IoGetCurrentProcess(VOID)
{
    return (PEPROCESS)KeGetCurrentThread()->ApcState.Process;
}

/* The process that the calling thread belongs to, attached or not. */
PEPROCESS NTAPI PsGetCurrentThreadProcess(VOID)
{
    return PsGetCurrentThread()->ThreadsProcess;
}

HANDLE NTAPI PsGetCurrentThreadProcessId(VOID)
{
    return PsGetCurrentThread()->Cid.UniqueProcess;
}

HANDLE NTAPI PsGetCurrentProcessId(VOID)
{
    return PsGetCurrentThread()->Cid.UniqueProcess;
}

HANDLE NTAPI PsGetProcessId(PEPROCESS Process)
{
    return Process->UniqueProcessId;
}

HANDLE NTAPI PsGetProcessInheritedFromUniqueProcessId(PEPROCESS Process)
{
    return Process->ParentId;
}

/* Up to 15 characters, terminated; valid as long as the process. */
PSTR NTAPI PsGetProcessImageFileName(PEPROCESS Process)
{
    return Process->ImageFileName;
}

/* System time. */
LONGLONG NTAPI PsGetProcessCreateTimeQuadPart(PEPROCESS Process)
{
    return Process->CreateTime.QuadPart;
}

/* System time at which the caller's process began to end, 0 while it has not. */
LARGE_INTEGER NTAPI PsGetProcessExitTime(VOID)
{
    return PsGetCurrentProcess()->ExitTime;
}

/* STATUS_PENDING until the process has ended. */
NTSTATUS NTAPI PsGetProcessExitStatus(PEPROCESS Process)
{
    return Process->ExitStatus;
}

/* TRUE: the process ends or has ended. */
BOOLEAN NTAPI PsGetProcessExitProcessCalled(PEPROCESS Process)
{
    return Process->Exiting;
}

BOOLEAN NTAPI PsIsSystemProcess(PEPROCESS Process)
{
    return Process == PsInitialSystemProcess;
}

PVOID NTAPI PsGetProcessPeb(PEPROCESS Process)
{
    return Process->Peb;
}

/* ---- Threads. IRQL: any ---- */

HANDLE NTAPI PsGetThreadId(PETHREAD Thread)
{
    return Thread->Cid.UniqueThread;
}

HANDLE NTAPI PsGetCurrentThreadId(VOID)
{
    return PsGetCurrentThread()->Cid.UniqueThread;
}

HANDLE NTAPI PsGetThreadProcessId(PETHREAD Thread)
{
    return Thread->Cid.UniqueProcess;
}

PEPROCESS NTAPI PsGetThreadProcess(PETHREAD Thread)
{
    return Thread->ThreadsProcess;
}

PVOID NTAPI PsGetThreadTeb(PETHREAD Thread)
{
    return Thread->Tcb.Teb;
}

PVOID NTAPI PsGetCurrentThreadTeb(VOID)
{
    return PsGetCurrentThread()->Tcb.Teb;
}

KPROCESSOR_MODE NTAPI PsGetCurrentThreadPreviousMode(VOID)
{
    return KeGetCurrentThread()->PreviousMode;
}

/* One past the highest byte, and the lowest, of the calling thread's kernel stack. */
PVOID NTAPI PsGetCurrentThreadStackBase(VOID)
{
    return KeGetCurrentThread()->StackTop;
}

PVOID NTAPI PsGetCurrentThreadStackLimit(VOID)
{
    return KeGetCurrentThread()->StackLimit;
}

/* TRUE: a thread made by PsCreateSystemThread. */
BOOLEAN NTAPI PsIsSystemThread(PETHREAD Thread)
{
    return Thread->SystemThread;
}

BOOLEAN NTAPI PsIsThreadTerminating(PETHREAD Thread)
{
    return Thread->Terminated;
}

BOOLEAN NTAPI PsGetThreadHardErrorsAreDisabled(PETHREAD Thread)
{
    return Thread->HardErrorsAreDisabled;
}

VOID NTAPI PsSetThreadHardErrorsAreDisabled(PETHREAD Thread, BOOLEAN Disabled)
{
    Thread->HardErrorsAreDisabled = Disabled;
}

/* ---- All threads of a process ---- */

/* Suspends each thread of a process once. PASSIVE_LEVEL. STATUS_PROCESS_IS_TERMINATING: it has ended. */
NTSTATUS NTAPI PsSuspendProcess(PEPROCESS Process)
{
    if (Process->Exiting) {
        return STATUS_PROCESS_IS_TERMINATING;
    }
    for (PETHREAD Thread = PsGetNextProcessThread(Process, NULL); Thread != NULL;
         Thread = PsGetNextProcessThread(Process, Thread)) {
        KeSuspendThread(&Thread->Tcb, NULL);
    }
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI PsResumeProcess(PEPROCESS Process)
{
    if (Process->Exiting) {
        return STATUS_PROCESS_IS_TERMINATING;
    }
    for (PETHREAD Thread = PsGetNextProcessThread(Process, NULL); Thread != NULL;
         Thread = PsGetNextProcessThread(Process, Thread)) {
        KeResumeThread(&Thread->Tcb);
    }
    return STATUS_SUCCESS;
}
