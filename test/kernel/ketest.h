/*
 * ketest.h - what the suites of threads and locks share.
 *
 * Every wait has a bound in guest time, generous enough for a slow emulator, so that a lost wake-up fails a case instead of hanging
 * the run. What other threads touch is static: a failed case returns at once, and its helpers may still run.
 */
#pragma once

#include <ntos/ktap.h>
#include <ntos/ps.h>

#define TEST_SECOND   (10000000LL)
#define TEST_PATIENCE (60 * TEST_SECOND)

static inline NTSTATUS TestWait(PVOID Object)
{
    LARGE_INTEGER Timeout = {.QuadPart = -TEST_PATIENCE};
    return KeWaitForSingleObject(Object, Executive, KernelMode, FALSE, &Timeout);
}

static inline NTSTATUS TestPoll(PVOID Object)
{
    LARGE_INTEGER Timeout = {.QuadPart = 0};
    return KeWaitForSingleObject(Object, Executive, KernelMode, FALSE, &Timeout);
}

static inline VOID TestSleep(LONG64 Units)
{
    LARGE_INTEGER Interval = {.QuadPart = -Units};
    KeDelayExecutionThread(KernelMode, FALSE, &Interval);
}

static inline BOOLEAN TestThread(PKSTART_ROUTINE Routine, PVOID Context, KPRIORITY Priority)
{
    PETHREAD Thread;

    if (!NT_SUCCESS(PspCreateSystemThread(&Thread, Routine, Context, Priority))) {
        return FALSE;
    }
    ObDereferenceObject(Thread);
    return TRUE;
}
