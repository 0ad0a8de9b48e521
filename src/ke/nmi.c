/*
 * nmi.c - what a non-maskable interrupt means: stop for the debugger, stop for good, or show every stack.
 *
 * The debugger and a bug check send NMIs to stop the other processors, since nothing holds an NMI back. Any other NMI
 * that no driver takes (kecallback.c) is somebody's question what the machine is doing: the first processor that takes one prints its own stack and, once the
 * others have come here (by the same NMI, or by one it sends them), theirs, in one report from "*** NMI" to
 * "*** END NMI"; then all go on. A processor in here waits with its frame published in KiStopped, so whoever reports reads a stack that
 * stands still.
 *
 * Locks: none; KiNmiReporter is taken by compare-exchange. Runs on the NMI stack with interrupts off and NMIs blocked: must
 * never fault, nor wait for anything but the reporter, which waits for a bounded time only.
 */
#include <ntos/console.h>
#include <ntos/hal.h>
#include <ntos/kd.h>
#include "processor.h"

/* Time stamps a processor gets to come here: seconds, since an emulator's host may be busy; in fact microseconds. */
#define STOP_TICKS 5000000000ULL
/* An NMI from outside reaches all processors at once on some machines: so long nobody is sent a second one. */
#define SAME_NMI_TICKS 10000000ULL

#define NOBODY (-1)

static PKTRAP_FRAME volatile KiStopped[KI_MAXIMUM_PROCESSORS]; /* of processors that wait here; the owner writes */
static volatile LONG KiNmiReporter = NOBODY;                   /* processor that reports; interlocked */
static volatile LONG64 KiNmiRound;                             /* ends the wait of those that were reported */

/* The other active processors that are not in here. */
static KAFFINITY NotStopped(VOID)
{
    KAFFINITY Missing = 0;

    for (ULONG Number = 0; Number < KI_MAXIMUM_PROCESSORS; Number++) {
        if (KiProcessorBlock[Number] != NULL && Number != KeGetCurrentPrcb()->Number && KiStopped[Number] == NULL) {
            Missing |= (KAFFINITY)1 << Number;
        }
    }
    return Missing;
}

static VOID AwaitStopped(ULONG64 Ticks)
{
    ULONG64 Start = __rdtsc();

    while (NotStopped() != 0 && __rdtsc() - Start < Ticks) {
        YieldProcessor();
    }
}

VOID KiStopOthers(VOID)
{
    KAFFINITY Others = NotStopped();

    if (Others != 0) {
        HalSendIpi(Others, HAL_IPI_NMI);
        AwaitStopped(STOP_TICKS);
    }
}

VOID KiPrintStopped(VOID)
{
    for (ULONG Number = 0; Number < KI_MAXIMUM_PROCESSORS; Number++) {
        PKTRAP_FRAME Frame = KiStopped[Number];

        if (KiProcessorBlock[Number] == NULL || Number == KeGetCurrentPrcb()->Number) {
            continue;
        }
        if (Frame == NULL) {
            ConPrint("processor %lu does not answer\n", Number);
            continue;
        }
        ConPrint("processor %lu at IRQL %u\n", Number, Frame->PreviousIrql);
        KiPrintStack(Frame);
    }
}

/* A bug check stops this processor for good. The debugger may still want to look at it. */
static DECLSPEC_NORETURN VOID StayStopped(PKTRAP_FRAME Frame)
{
    KiStopped[KeGetCurrentPrcb()->Number] = Frame;
    for (;;) {
        if (!KdNmi(Frame)) {
            YieldProcessor();
        }
        if (KiBugCheckReported) {
            KeHalt(); /* NMIs stay blocked: nothing wakes it */
        }
    }
}

static VOID Report(PKTRAP_FRAME Frame)
{
    InterlockedIncrement(&KiPrintUnlocked);
    ConPrint("\n*** NMI on processor %u at IRQL %u\n", KeGetCurrentPrcb()->Number, Frame->PreviousIrql);
    KiPrintStack(Frame);
    AwaitStopped(SAME_NMI_TICKS);
    KiStopOthers();
    KiPrintStopped();
    ConPrint("*** END NMI\n");
    InterlockedDecrement(&KiPrintUnlocked);
    InterlockedExchange(&KiNmiReporter, NOBODY);
    InterlockedIncrement64(&KiNmiRound);
}

/* Waits to be reported. A bug check by the reporter, or the debugger, may come in between. */
static VOID AwaitReport(PKTRAP_FRAME Frame)
{
    ULONG Number = KeGetCurrentPrcb()->Number;
    LONG64 Round = KiNmiRound;

    KiStopped[Number] = Frame;
    while (KiNmiReporter != NOBODY && KiNmiRound == Round) {
        if (KiBugCheckActive != 0) {
            StayStopped(Frame);
        }
        if (!KdNmi(Frame)) {
            YieldProcessor();
        }
    }
    KiStopped[Number] = NULL;
}

VOID KiNmi(PKTRAP_FRAME Frame)
{
    LONG Number = (LONG)KeGetCurrentPrcb()->Number;

    if (KdNmi(Frame)) {
        return;
    }
    if (KiBugCheckActive != 0) {
        StayStopped(Frame);
    }
    if (KiNmiReporter == NOBODY && KiCallAtNmi()) {
        return; /* a driver knows whose it is */
    }
    if (InterlockedCompareExchange(&KiNmiReporter, Number, NOBODY) == NOBODY) {
        Report(Frame);
    } else {
        AwaitReport(Frame);
    }
}
