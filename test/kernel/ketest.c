/*
 * ketest.c - threads for the race suites.
 *
 * A race starts its threads behind one event, so that all of them are there when the first begins, and waits for the
 * thread objects themselves: when it returns, none of its code runs any more.
 */
#include "ketest.h"

static KEVENT Start;
static TEST_BODY Current;

static VOID NTAPI Racer(PVOID Context)
{
    KeWaitForSingleObject(&Start, Executive, KernelMode, FALSE, NULL);
    Current((ULONG)(ULONG_PTR)Context);
}

ULONG TestRacers(VOID)
{
    return min(max(2 * KeQueryActiveProcessorCount(NULL), 3), TEST_PARALLEL_MAX);
}

BOOLEAN TestParallel(ULONG Threads, TEST_BODY Body)
{
    LARGE_INTEGER Timeout = {.QuadPart = -TEST_LONG_PATIENCE};
    PETHREAD Objects[TEST_PARALLEL_MAX];
    ULONG Started = 0, Depth = ExSuspendFaults(); /* in a check, this is no single operation */
    BOOLEAN Success = TRUE;

    ASSERT(Threads <= TEST_PARALLEL_MAX);
    KeInitializeEvent(&Start, NotificationEvent, FALSE);
    Current = Body;
    while (Started < Threads &&
           NT_SUCCESS(PspCreateSystemThread(&Objects[Started], Racer, (PVOID)(ULONG_PTR)Started, 8))) {
        Started++;
    }
    KeSetEvent(&Start, 0, FALSE);
    for (ULONG i = 0; i < Started; i++) {
        Success &= KeWaitForSingleObject(Objects[i], Executive, KernelMode, FALSE, &Timeout) == STATUS_SUCCESS;
        ObDereferenceObject(Objects[i]);
    }
    ExResumeFaults(Depth);
    return Success && Started == Threads;
}
