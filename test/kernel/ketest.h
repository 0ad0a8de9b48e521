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

/* Starts a thread; confined to the same processors if the caller is. */
static inline BOOLEAN TestThread(PKSTART_ROUTINE Routine, PVOID Context, KPRIORITY Priority)
{
    PETHREAD Thread;

    if (!NT_SUCCESS(PspAllocateSystemThread(&Thread, Routine, Context, Priority))) {
        return FALSE;
    }
    if (KeGetCurrentThread()->SystemAffinityActive) { /* a suite on one processor */
        Thread->Tcb.Affinity = KeGetCurrentThread()->Affinity;
    }
    KeReadyThread(&Thread->Tcb);
    return TRUE;
}

/*
 * Runs a routine in several threads at once, each with its number, and waits until they have ended. Returns FALSE if they
 * could not be started or one of them is still busy after TEST_LONG_PATIENCE. PASSIVE_LEVEL. (ketest.c)
 */
#define TEST_LONG_PATIENCE (900 * TEST_SECOND)
#define TEST_PARALLEL_MAX  32
typedef VOID (*TEST_BODY)(ULONG Number);
BOOLEAN TestParallel(ULONG Threads, TEST_BODY Body);

/* Threads for a race: two a processor, at least three. */
ULONG TestRacers(VOID);

/* A sequence of numbers that looks random; Seed is its state, not 0. */
static inline ULONG TestRandom(PULONG64 Seed)
{
    *Seed ^= *Seed << 13;
    *Seed ^= *Seed >> 7;
    *Seed ^= *Seed << 17;
    return (ULONG)(*Seed >> 16);
}
