/*
 * idle.c - what a processor does when it has nothing to run: it halts, without a clock tick.
 *
 * An idle processor stops its periodic clock interrupt (Prcb->Tickless). Any interrupt brings it back: before the routine is
 * called, KiLeaveTickless starts the tick again and brings the times in KUSER_SHARED_DATA up to date, so that
 * nobody sees how long it slept. Processor 0 sleeps until the next timer is due and expires it; the others until somebody
 * interrupts them. Who arms a timer that is due before processor 0 would wake interrupts it:
 *
 *     processor 0: KiSleepTick = the next due tick; fence; look at the next due tick again
 *     who arms:    store the next due tick; fence; compare with KiSleepTick
 *
 * Low-importance DPCs, which otherwise wait for a tick, interrupt a processor that has none, by the same rule.
 * gdb's first byte is found by processor 0's clock, so it never sleeps longer than SLEEP_LIMIT.
 *
 * In the chk flavour processor 0 watches the others, and processor 1 watches it, sleeping for at most WATCH_STEP: if one takes no
 * clock interrupt for WATCH_TIME, and is not idle, the machine is stopped with CLOCK_WATCHDOG_TIMEOUT, which names it. The
 * watcher's time is counted, at most WATCH_STEP from one of its ticks to the next: while an emulator or the debugger holds all of the
 * machine, none goes by.
 *
 * Locks: none; interrupts are off in all of it.
 */
#include "kip.h"

/* Times in 100 ns. */
#define SLEEP_LIMIT 2000000   /* 200 ms */
#define WATCH_TIME  300000000 /* 30 s; a processor of an emulator may get no time from its host for seconds */
#define WATCH_STEP  10000000  /* 1 s: as much counts at most between two ticks of the watcher */

#define WORTH_TICKS 2 /* a sleep that ends sooner is not worth programming the timer twice */

#define CLOCK_WATCHDOG_TIMEOUT_CODE 0x00000101 /* the DDK's bugcodes.h lacks it */

volatile LONG64 KiSleepTick; /* processor 0 sleeps until this tick, 0: it does not */

/* Does processor 0 stop ticking until the next timer? FALSE: one is due so soon that the tick may as well go on. */
static BOOLEAN SleepUntilTimer(VOID)
{
    LONG64 Tick;
    ULONG64 Now = KeQueryInterruptTimePrecise(NULL), Until = Now + SLEEP_LIMIT;

    do {
        Tick = (LONG64)KiNextTimerTick();
        InterlockedExchange64(&KiSleepTick, Tick);
    } while ((LONG64)KiNextTimerTick() != Tick);
    if ((ULONG64)Tick < Until / KeTimeIncrement) {
        Until = (ULONG64)Tick * KeTimeIncrement;
        if (Until < Now + WORTH_TICKS * KeTimeIncrement) {
            KiSleepTick = 0;
            return FALSE;
        }
    }
    HalStopClock(Until - Now);
    return TRUE;
}

static VOID EnterTickless(PKPRCB Prcb)
{
    if (Prcb->Number == 0) {
        if (!SleepUntilTimer()) {
            return;
        }
    } else {
        HalStopClock(NT_CHK && Prcb->Number == 1 ? WATCH_STEP : MAXULONG64);
    }
    Prcb->TicklessSince = KeQueryInterruptTime();
    Prcb->TicklessCount++;
    InterlockedExchange(&Prcb->Tickless, TRUE);
    if (Prcb->Dispatch->DpcDepth != 0) { /* queued before its sender could see that there is no tick to wait for */
        HalSendSelfIpi(KI_VECTOR_DPC);
    }
}

VOID KiLeaveTickless(PKPRCB Prcb)
{
    Prcb->Tickless = FALSE;
    if (Prcb->Number == 0) {
        KiSleepTick = 0;
    }
    HalStartClock();
    Prcb->IdleThread->KernelTime += (ULONG)((KeQueryInterruptTime() - Prcb->TicklessSince) / KeTimeIncrement);
}

VOID KiTimerMovedForward(ULONG64 Tick)
{
    KeMemoryFence();
    if ((LONG64)Tick < KiSleepTick) {
        HalSendIpi(1, KI_VECTOR_DPC);
    }
}

VOID NTAPI KiIdleLoop(PVOID Context)
{
    for (;;) {
        PKPRCB Prcb = KeGetCurrentPrcb();

        _disable();
        if (Prcb->NextThread == NULL && Prcb->Dispatch->DpcDepth == 0) {
            EnterTickless(Prcb);
        }
        KeEnableAndHalt();
    }
}

/* ---- The watchdog ---- */

static struct { /* by the processor that is watched; its watcher's */
    ULONG64 Ticks;
    ULONG64 Since; /* WatchTime of the watcher when Ticks last changed */
} KiWatched[KI_MAXIMUM_PROCESSORS];

static VOID Watch(PKPRCB Watcher, ULONG Number)
{
    PKPRCB Other = KiProcessorBlock[Number];

    if (Other == NULL) { /* a test pretends to have more processors than there are */
        return;
    }
    if (Other->Tickless || Other->ClockTicks != KiWatched[Number].Ticks) {
        KiWatched[Number].Ticks = Other->ClockTicks;
        KiWatched[Number].Since = Watcher->WatchTime;
    } else if (Watcher->WatchTime - KiWatched[Number].Since > WATCH_TIME) {
        KeBugCheckEx(CLOCK_WATCHDOG_TIMEOUT_CODE, WATCH_TIME / KeTimeIncrement, 0, (ULONG_PTR)Other, Number);
    }
}

VOID KiCountTick(PKPRCB Prcb)
{
    ULONG64 Now = KeQueryInterruptTime(), Count = KeNumberOfActiveProcessors;

    Prcb->ClockTicks++;
    Prcb->WatchTime += min(Now - Prcb->LastTick, WATCH_STEP);
    Prcb->LastTick = Now;
    if (!NT_CHK || Prcb->Number > 1) {
        return;
    }
    for (ULONG Number = 1; Prcb->Number == 0 && Number < Count; Number++) {
        Watch(Prcb, Number);
    }
    if (Prcb->Number == 1) {
        Watch(Prcb, 0);
    }
}
