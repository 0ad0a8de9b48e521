/*
 * services.c - small services of the kernel core: time, waiting without an object, text on the console.
 *
 * Each captures what its caller points to once and answers through ExCopyToCaller. IRQL: PASSIVE_LEVEL. Locks: none.
 *
 * Source: WDK documentation of the Zw routines and of KeDelayExecutionThread.
 */
#include <ntos/console.h>
#include <ntos/services.h>
#include <ntos/user.h>
#include "kip.h"

#define DISPLAY_PIECE 128 /* characters converted at a time */

NTSTATUS NTAPI NtYieldExecution(VOID)
{
    return ZwYieldExecution();
}

NTSTATUS NTAPI NtDelayExecution(BOOLEAN Alertable, PLARGE_INTEGER Interval)
{
    LARGE_INTEGER Copy;
    NTSTATUS Status = ExCopyFromCaller(&Copy, Interval, sizeof(Copy));

    return NT_SUCCESS(Status) ? KeDelayExecutionThread(ExGetPreviousMode(), Alertable != FALSE, &Copy) : Status;
}

NTSTATUS NTAPI NtQuerySystemTime(PLARGE_INTEGER SystemTime)
{
    LARGE_INTEGER Now;

    KeQuerySystemTime(&Now);
    return ExCopyToCaller(SystemTime, &Now, sizeof(Now));
}

NTSTATUS NTAPI NtQueryPerformanceCounter(PLARGE_INTEGER Counter, PLARGE_INTEGER Frequency)
{
    LARGE_INTEGER PerSecond, Now = KeQueryPerformanceCounter(&PerSecond);
    NTSTATUS Status = ExCopyToCaller(Counter, &Now, sizeof(Now));

    if (NT_SUCCESS(Status) && Frequency != NULL) {
        Status = ExCopyToCaller(Frequency, &PerSecond, sizeof(PerSecond));
    }
    return Status;
}

/**
 * NtTestAlert - delivers what an alertable wait would: an alert ends it, queued user APCs run on the way out.
 *
 * returns  STATUS_SUCCESS; STATUS_ALERTED
 */
NTSTATUS NTAPI NtTestAlert(VOID)
{
    PKTHREAD Thread = KeGetCurrentThread();
    KIRQL OldIrql = KiAcquireDispatcherLock();
    NTSTATUS Status = STATUS_SUCCESS;

    if (Thread->Alerted[UserMode]) {
        Thread->Alerted[UserMode] = FALSE;
        Status = STATUS_ALERTED;
    } else if (!IsListEmpty(&Thread->ApcState.ApcListHead[UserMode])) {
        Thread->ApcState.UserApcPending = TRUE;
    }
    KiReleaseDispatcherLock(OldIrql);
    return Status;
}

/**
 * NtDisplayString - writes text to the console.
 *
 * @String  UTF-16; what is not ASCII becomes UTF-8 on the serial line
 * returns  STATUS_SUCCESS, or what reading the string failed with
 */
NTSTATUS NTAPI NtDisplayString(PUNICODE_STRING String)
{
    UNICODE_STRING Captured;
    CHAR Piece[DISPLAY_PIECE * 3 + 1]; /* a UTF-16 unit is at most three bytes of UTF-8 */
    NTSTATUS Status = ExCaptureString(&Captured, String);
    ULONG Bytes;

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    for (ULONG Start = 0, Total = Captured.Length / sizeof(WCHAR), Count; Start < Total; Start += Count) {
        Count = min(Total - Start, DISPLAY_PIECE);
        if (Count < Total - Start && Count > 1 && (Captured.Buffer[Start + Count - 1] & 0xFC00) == 0xD800) {
            Count--; /* a surrogate pair stays together */
        }
        RtlUnicodeToUTF8N(Piece, sizeof(Piece) - 1, &Bytes, &Captured.Buffer[Start], Count * sizeof(WCHAR));
        Piece[Bytes] = 0;
        ConPrint("%s", Piece);
    }
    ExFreeCapturedString(&Captured);
    return STATUS_SUCCESS;
}
