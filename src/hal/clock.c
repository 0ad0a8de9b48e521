/*
 * clock.c - the clock interrupt and the times in KUSER_SHARED_DATA.
 *
 * Each processor's APIC timer interrupts at CLOCK_LEVEL every KeTimeIncrement units. Processor 0 keeps time: on each
 * interrupt it advances interrupt time by what the time stamp counter says has gone by, so that ticks which an emulator
 * or a long stretch at HIGH_LEVEL swallowed are not lost. The tick count follows from interrupt time. Then
 * KeUpdateRunTime charges the running thread and looks at quantum and timers.
 *
 * Readers use the DDK's inlines, which read 64 bits at once where the page's layout allows: so each time is written with
 * one 64-bit store where it is aligned; SystemTime is not, and follows the High2, Low, High1 protocol with its low and first
 * high part in one 64-bit store (atomic within a cache line: it lies at offset 0x14 to 0x1B of a page).
 *
 * Locks: none; the only writer is processor 0 at CLOCK_LEVEL, or HalpInitializeClock before interrupts are on;
 * KeSetSystemTime changes the base under interrupts off on processor 0.
 */
#include "halp.h"
#include <ntos/kd.h>

#define CLOCK_RATE 64 /* Hz; NT's 15.625 ms tick */

#define UNITS_A_SECOND 10000000ULL

#define SHARED_DATA ((KUSER_SHARED_DATA *)MM_SHARED_USER_DATA)

C_ASSERT(FIELD_OFFSET(KUSER_SHARED_DATA, InterruptTime) == 0x08);
C_ASSERT(FIELD_OFFSET(KUSER_SHARED_DATA, SystemTime) == 0x14);
C_ASSERT(FIELD_OFFSET(KUSER_SHARED_DATA, TickCount) == 0x320);

/* Milliseconds a tick in 8.24 fixed point, for readers of the low tick count. */
#define TICK_MULTIPLIER ((1000U << 24) / CLOCK_RATE)

ULONG KeTimeIncrement = UNITS_A_SECOND / CLOCK_RATE;

static ULONG64 HalpLastTsc;       /* (processor 0) time stamp at the last clock interrupt */
static ULONG64 HalpInterruptTime; /* (processor 0) 100 ns since the clock started */
static ULONG64 HalpTimeRemainder; /* (processor 0) time stamp counts times UNITS_A_SECOND not yet counted */
static LONG64 HalpBootTime;       /* (processor 0) system time at interrupt time 0 */

/* Writers of these fields: see the head of the file. */
static VOID StoreTime(volatile KSYSTEM_TIME *Time, ULONG64 Value)
{
    Time->High2Time = (LONG)(Value >> 32);
    *(volatile ULONG64 *)&Time->LowPart = Value;
}

static VOID PublishTimes(VOID)
{
    StoreTime(&SHARED_DATA->InterruptTime, HalpInterruptTime);
    StoreTime(&SHARED_DATA->SystemTime, (ULONG64)HalpBootTime + HalpInterruptTime);
    StoreTime(&SHARED_DATA->TickCount, HalpInterruptTime / KeTimeIncrement);
    SHARED_DATA->TickCountLowDeprecated = SHARED_DATA->TickCount.LowPart;
}

/* Adds the time since the last clock interrupt. A counter that went backwards (a restored machine) counts as one tick. */
static VOID AdvanceTime(VOID)
{
    ULONG64 Now = __rdtsc(), Counts = Now - HalpLastTsc;

    HalpLastTsc = Now;
    if ((LONG64)Counts < 0) {
        HalpInterruptTime += KeTimeIncrement;
        return;
    }
    ULONG64 Seconds = Counts / HalpTscFrequency;
    ULONG64 Scaled = Counts % HalpTscFrequency * UNITS_A_SECOND + HalpTimeRemainder;
    HalpInterruptTime += Seconds * UNITS_A_SECOND + Scaled / HalpTscFrequency;
    HalpTimeRemainder = Scaled % HalpTscFrequency;
}

static VOID ClockInterrupt(PKTRAP_FRAME Frame, PVOID Context)
{
    if (KeGetCurrentPrcb()->Number == 0) {
        AdvanceTime();
        PublishTimes();
    }
    KeUpdateRunTime(Frame);
    KdCheckBreakIn(Frame);
}

/**
 * HalpInitializeClock - starts time: interrupt time 0, system time from the battery clock, the periodic interrupt.
 *
 * Boot processor, interrupts off; the shared page must be mapped.
 */
VOID HalpInitializeClock(VOID)
{
    HalpBootTime = HalpReadRtc();
    HalpLastTsc = __rdtsc();
    SHARED_DATA->TickCountMultiplier = TICK_MULTIPLIER;
    PublishTimes();
    KiConnectVector(KI_VECTOR_CLOCK, ClockInterrupt, NULL);
    HalpStartClock();
}

VOID HalpStartClock(VOID)
{
    HalpStartApicTimer(KI_VECTOR_CLOCK, (ULONG)(HalpApicTimerFrequency / CLOCK_RATE));
}

/**
 * KeQueryTimeIncrement - length of a clock tick.
 *
 * returns  100 ns units
 *
 * IRQL: any.
 */
ULONG NTAPI KeQueryTimeIncrement(VOID)
{
    return KeTimeIncrement;
}
