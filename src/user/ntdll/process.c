/*
 * process.c - the first and the last instructions of a program's threads in ring 3.
 *
 * Every thread begins in LdrInitializeThunk: the first one initialises the process, the others their static TLS; then each goes on at
 * the context that the kernel prepared, in RtlUserThreadStart, which calls the routine and ends the thread with what it returned. An
 * exception that gets that far is the unhandled exception filter's (vectored.c).
 *
 * Source: Microsoft Learn, ExitThread and ExitProcess.
 */
#include "ntdllp.h"

static BOOLEAN LdrpInitialized; /* set by the first thread, which is alone until then */

/* The frame of an exit for which a loader message is useful: what stands between a program and its entry point. */
static DECLSPEC_NORETURN VOID LdrpFail(NTSTATUS Status)
{
    NtTerminateProcess(ZwCurrentProcess(), Status);
    RtlRaiseStatus(Status);
}

VOID NTAPI LdrInitializeThunk(PCONTEXT Context, PVOID NtdllBase)
{
    NTSTATUS Status = STATUS_SUCCESS;

    if (!LdrpInitialized) {
        Status = LdrpInitializeProcess(NtdllBase);
        LdrpInitialized = TRUE;
    } else {
        Status = LdrpAllocateThreadTls();
        if (NT_SUCCESS(Status)) {
            LdrpCallTlsCallbacks(DLL_THREAD_ATTACH);
        }
    }
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
    LdrpCallTlsCallbacks(DLL_THREAD_DETACH);
    NtTerminateThread(ZwCurrentThread(), ExitStatus);
    RtlRaiseStatus(STATUS_UNSUCCESSFUL);
}

DECLSPEC_NORETURN VOID NTAPI RtlExitUserProcess(NTSTATUS ExitStatus)
{
    NtTerminateProcess(NULL, ExitStatus); /* the other threads */
    LdrpCallTlsCallbacks(DLL_PROCESS_DETACH);
    NtTerminateProcess(ZwCurrentProcess(), ExitStatus);
    RtlRaiseStatus(STATUS_UNSUCCESSFUL);
}

PPEB NTAPI RtlGetCurrentPeb(VOID)
{
    return LdrpPeb();
}
