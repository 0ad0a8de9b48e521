/*
 * process.c - the first and the last instructions of a program's threads in ring 3.
 *
 * Every thread begins in LdrInitializeThunk: the first one initialises the process, the others get their static TLS and tell the DLLs; then each goes on at
 * the context that the kernel prepared, in RtlUserThreadStart, which calls the routine and ends the thread with what it returned. An
 * exception that gets that far is the unhandled exception filter's (vectored.c).
 *
 * Source: Microsoft Learn, ExitThread and ExitProcess.
 */
#include "ntdllp.h"

static volatile LONG
    LdrpStarted; /* interlocked: by the first thread, which holds the loader's lock until all is initialised */

/* The frame of an exit for which a loader message is useful: what stands between a program and its entry point. */
static DECLSPEC_NORETURN VOID LdrpFail(NTSTATUS Status)
{
    NtTerminateProcess(ZwCurrentProcess(), Status);
    RtlRaiseStatus(Status);
}

VOID NTAPI LdrInitializeThunk(PCONTEXT Context, PVOID NtdllBase)
{
    NTSTATUS Status;

    if (InterlockedExchange(&LdrpStarted, 1) == 0) {
        RtlInitializeCriticalSection(&LdrpLock);
        LdrpPeb()->LoaderLock = &LdrpLock;
        RtlEnterCriticalSection(&LdrpLock);
        Status = LdrpInitializeProcess(NtdllBase);
    } else {
        RtlEnterCriticalSection(&LdrpLock);
        Status = LdrpAllocateThreadTls();
        if (NT_SUCCESS(Status)) {
            LdrpCallThreads(DLL_THREAD_ATTACH);
        }
    }
    RtlLeaveCriticalSection(&LdrpLock);
    if (!NT_SUCCESS(Status)) {
        LdrpFail(Status);
    }
    Status = NtContinue(Context, TRUE);
    LdrpFail(Status);
}

DECLSPEC_NORETURN VOID NTAPI RtlUserThreadStart(NTSTATUS(NTAPI *Routine)(PVOID), PVOID Argument)
{
    NTSTATUS Status = STATUS_SUCCESS;

    __try {
        Status = Routine(Argument);
    } __except (RtlUnhandledExceptionFilter(GetExceptionInformation())) {
        RtlExitUserProcess(GetExceptionCode()); /* a filter of the program's wants no more ado */
    }
    RtlExitUserThread(Status);
}

DECLSPEC_NORETURN VOID NTAPI RtlExitUserThread(NTSTATUS ExitStatus)
{
    RtlEnterCriticalSection(&LdrpLock);
    if (LdrpIsLastThread()) {
        RtlExitUserProcess(ExitStatus);
    }
    LdrpCallThreads(DLL_THREAD_DETACH);
    LdrpFreeThreadTls();
    RtlLeaveCriticalSection(&LdrpLock);
    NtTerminateThread(ZwCurrentThread(), ExitStatus);
    RtlRaiseStatus(STATUS_UNSUCCESSFUL);
}

DECLSPEC_NORETURN VOID NTAPI RtlExitUserProcess(NTSTATUS ExitStatus)
{
    RtlEnterCriticalSection(&LdrpLock); /* no thread may end while it holds what DllMain needs */
    RtlLockHeap(LdrpPeb()->ProcessHeap);
    NtTerminateProcess(NULL, ExitStatus); /* the other threads */
    RtlUnlockHeap(LdrpPeb()->ProcessHeap);
    LdrpShutdown();
    NtTerminateProcess(ZwCurrentProcess(), ExitStatus);
    RtlRaiseStatus(STATUS_UNSUCCESSFUL);
}

PPEB NTAPI RtlGetCurrentPeb(VOID)
{
    return LdrpPeb();
}
