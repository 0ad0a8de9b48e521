/*
 * wake.h - what one waiting thread is woken by: a KEVENT in the kernel, an alert by thread identifier in ntdll.dll.
 *
 * An RTLP_WAKE lies on the stack of the thread that waits. It is initialised by that thread before another can see it, and gone as soon as it is
 * woken: whoever wakes reads everything else in the structure around it first.
 */
#pragma once

#include <ntos/rtl.h>

#if NT_USER

#include <ntos/peb.h>
#include <ntos/services.h>

typedef struct _RTLP_WAKE {
    HANDLE Thread;
    volatile LONG Woken; /* interlocked: alerts that were meant for something else do not count */
} RTLP_WAKE, *PRTLP_WAKE;

FORCEINLINE VOID RtlpInitializeWake(PRTLP_WAKE Wake)
{
    Wake->Thread = ((PTEB)__readgsqword(FIELD_OFFSET(NT_TIB, Self)))->ClientId.UniqueThread;
    Wake->Woken = 0;
}

/* STATUS_SUCCESS, STATUS_TIMEOUT. Timeout: NULL: for ever; a stray alert begins a relative one anew. */
FORCEINLINE NTSTATUS RtlpWaitForWake(PRTLP_WAKE Wake, PLARGE_INTEGER Timeout)
{
    while (InterlockedCompareExchange(&Wake->Woken, 0, 0) == 0) {
        if (NtWaitForAlertByThreadId(Wake, Timeout) == STATUS_TIMEOUT) {
            return InterlockedCompareExchange(&Wake->Woken, 0, 0) != 0 ? STATUS_SUCCESS : STATUS_TIMEOUT;
        }
    }
    return STATUS_SUCCESS;
}

FORCEINLINE VOID RtlpWake(PRTLP_WAKE Wake)
{
    HANDLE Thread = Wake->Thread;

    InterlockedExchange(&Wake->Woken, 1);
    NtAlertThreadByThreadId(Thread);
}

#else

#include <ntos/ke.h>

typedef struct _RTLP_WAKE {
    KEVENT Event;
} RTLP_WAKE, *PRTLP_WAKE;

FORCEINLINE VOID RtlpInitializeWake(PRTLP_WAKE Wake)
{
    KeInitializeEvent(&Wake->Event, SynchronizationEvent, FALSE);
}

FORCEINLINE NTSTATUS RtlpWaitForWake(PRTLP_WAKE Wake, PLARGE_INTEGER Timeout)
{
    return KeWaitForSingleObject(&Wake->Event, Executive, KernelMode, FALSE, Timeout);
}

FORCEINLINE VOID RtlpWake(PRTLP_WAKE Wake)
{
    KeSetEvent(&Wake->Event, IO_NO_INCREMENT, FALSE);
}

#endif
