/*
 * clock.c - the clock interrupt and the times in KUSER_SHARED_DATA.
 *
 * Each processor's APIC timer interrupts at CLOCK_LEVEL every KeTimeIncrement units, unless it is idle (src/ke/idle.c). Whichever
 * processor is interrupted brings time up to date: interrupt time advances by what the time stamp counter says has
 * gone by, so that ticks which an idle machine, an emulator or a long stretch at HIGH_LEVEL swallowed are not lost. The tick count
 * follows from interrupt time. Then KeUpdateRunTime charges the running thread and looks at quantum and timers.
 *
 * Readers use the DDK's inlines, which read 64 bits at once where the page's layout allows: so each time is written with
 * one 64-bit store where it is aligned; SystemTime is not, and follows the High2, Low, High1 protocol with its low and first
 * high part in one 64-bit store (atomic within a cache line: it lies at offset 0x14 to 0x1B of a page).
 *
 * Locks: HalpTimeLock, taken with interrupts off; nothing is taken under it.
 */
#include "halp.h"
#include <ntos/kd.h>

#define CLOCK_RATE 64 /* Hz; NT's 15.625 ms tick */

#define UNITS_A_SECOND 10000000ULL
#define LONGEST_SLEEP  (10 * UNITS_A_SECOND) /* what the APIC timer's 32 bits hold on every machine */

#define SHARED_DATA ((KUSER_SHARED_DATA *)MM_SHARED_USER_DATA)

C_ASSERT(FIELD_OFFSET(KUSER_SHARED_DATA, InterruptTime) == 0x08);
C_ASSERT(FIELD_OFFSET(KUSER_SHARED_DATA, SystemTime) == 0x14);
C_ASSERT(FIELD_OFFSET(KUSER_SHARED_DATA, TickCount) == 0x320);

/* Milliseconds a tick in 8.24 fixed point, for readers of the low tick count. */
#define TICK_MULTIPLIER ((1000U << 24) / CLOCK_RATE)

ULONG KeTimeIncrement = UNITS_A_SECOND / CLOCK_RATE;

/* (HalpTimeLock), and readable by those who see an even HalpTimeSequence that does not change meanwhile. */
static ULONG64 HalpLastTsc;       /* time stamp up to which time has been counted */
static ULONG64 HalpInterruptTime; /* 100 ns since the clock started */
static ULONG64 HalpTimeRemainder; /* time stamp counts times UNITS_A_SECOND not yet counted */
static LONG64 HalpBootTime;       /* system time at interrupt time 0 */
static volatile LONG HalpTimeLock;
static volatile LONG HalpTimeSequence;

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

/* Interrupt time at a time stamp; Remainder receives what is left over. A stamp from before the last one is the last one. */
static ULONG64 TimeAt(ULONG64 Tsc, PULONG64 Remainder)
{
    ULONG64 Counts = (LONG64)(Tsc - HalpLastTsc) < 0 ? 0 : Tsc - HalpLastTsc;
    ULONG64 Scaled = Counts % HalpTscFrequency * UNITS_A_SECOND + HalpTimeRemainder;

    *Remainder = Scaled % HalpTscFrequency;
    return HalpInterruptTime + Counts / HalpTscFrequency * UNITS_A_SECOND + Scaled / HalpTscFrequency;
}

/* Adds the time since the last time. A counter that fell by more than a second (a restored machine) counts as one tick. */
static VOID AdvanceTime(VOID)
{
    ULONG64 Now = __rdtsc();

    if ((LONG64)(Now - HalpLastTsc) < -(LONG64)HalpTscFrequency) {
        HalpInterruptTime += KeTimeIncrement;
    } else if ((LONG64)(Now - HalpLastTsc) < 0) {
        return; /* this processor's counter is a little behind the one that was here last */
    } else {
        HalpInterruptTime = TimeAt(Now, &HalpTimeRemainder);
    }
    HalpLastTsc = Now;
}

/* Brings all times up to date, on whichever processor. Interrupts off. */
static VOID UpdateTimes(VOID)
{
    while (InterlockedExchange(&HalpTimeLock, 1) != 0) {
        YieldProcessor();
    }
    InterlockedIncrement(&HalpTimeSequence);
    AdvanceTime();
    PublishTimes();
    InterlockedIncrement(&HalpTimeSequence);
    InterlockedExchange(&HalpTimeLock, 0);
}

/**
 * HalSetSystemTime - sets system time; interrupt time and whatever waits for either go on as they were.
 *
 * @New  100 ns since 1601
 * @Old  gets the time before
 *
 * The battery clock is not written. IRQL: <= DISPATCH_LEVEL.
 */
VOID HalSetSystemTime(LARGE_INTEGER New, PLARGE_INTEGER Old)
{
    BOOLEAN Enabled = KeDisableInterrupts();

    while (InterlockedExchange(&HalpTimeLock, 1) != 0) {
        YieldProcessor();
    }
    InterlockedIncrement(&HalpTimeSequence);
    AdvanceTime();
    Old->QuadPart = HalpBootTime + (LONG64)HalpInterruptTime;
    HalpBootTime = New.QuadPart - (LONG64)HalpInterruptTime;
    PublishTimes();
    InterlockedIncrement(&HalpTimeSequence);
    InterlockedExchange(&HalpTimeLock, 0);
    KeRestoreInterrupts(Enabled);
}

static VOID ClockInterrupt(PKTRAP_FRAME Frame, PVOID Context)
{
    BOOLEAN Enabled = KeDisableInterrupts();

    UpdateTimes();
    KeRestoreInterrupts(Enabled);
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
    HalStartClock();
}

VOID HalStartClock(VOID)
{
    UpdateTimes();
    HalpStartApicTimer(KI_VECTOR_CLOCK, (ULONG)(HalpApicTimerFrequency / CLOCK_RATE));
}

VOID HalStopClock(ULONG64 Units)
{
    ULONG64 Count = 0;

    if (Units <= LONGEST_SLEEP) {
        Count = Units * HalpApicTimerFrequency / UNITS_A_SECOND + 1;
    }
    HalpProgramApicTimer(KI_VECTOR_CLOCK, Count > MAXULONG32 ? MAXULONG32 : (ULONG)Count);
}

/**
 * KeQueryInterruptTimePrecise - interrupt time now, not at the last clock interrupt.
 *
 * @QpcTimeStamp  receives what KeQueryPerformanceCounter would have said at that moment; may be NULL
 * returns        100 ns units; never less than KeQueryInterruptTime said before
 *
 * IRQL: any. Locks: none. Source: WDK documentation.
 */
ULONG64 NTAPI KeQueryInterruptTimePrecise(PULONG64 QpcTimeStamp)
{
    ULONG64 Time, Tsc, Remainder;
    LONG Sequence;

    do {
        while (((Sequence = HalpTimeSequence) & 1) != 0) {
            YieldProcessor();
        }
        _ReadWriteBarrier();
        Tsc = (ULONG64)KeQueryPerformanceCounter(NULL).QuadPart;
        Time = TimeAt(Tsc, &Remainder);
        _ReadWriteBarrier();
    } while (HalpTimeSequence != Sequence);
    if (QpcTimeStamp != NULL) {
        *QpcTimeStamp = Tsc;
    }
    return Time;
}

/* System time now, 100 ns since 1601. IRQL: any. */
VOID NTAPI KeQuerySystemTimePrecise(PLARGE_INTEGER CurrentTime)
{
    CurrentTime->QuadPart = HalpBootTime + (LONG64)KeQueryInterruptTimePrecise(NULL);
}

/* Interrupt time without the time the machine slept, which it never does. IRQL: any. */
ULONGLONG NTAPI KeQueryUnbiasedInterruptTime(VOID)
{
    return KeQueryInterruptTime();
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

/* ---- The DDK's inlines by their exported names, for those who import them. IRQL: any. ---- */

#undef KeQueryInterruptTime
#undef KeQuerySystemTime
#undef KeQueryTickCount
ULONG64 NTAPI KeQueryInterruptTime(VOID);
VOID NTAPI KeQuerySystemTime(PLARGE_INTEGER CurrentTime);
VOID NTAPI KeQueryTickCount(PLARGE_INTEGER TickCount);

ULONG64 NTAPI KeQueryInterruptTime(VOID)
{
    return *(volatile ULONG64 *)&SHARED_DATA->InterruptTime;
}

VOID NTAPI KeQuerySystemTime(PLARGE_INTEGER CurrentTime)
{
    CurrentTime->QuadPart = *(volatile LONG64 *)&SHARED_DATA->SystemTime;
}

VOID NTAPI KeQueryTickCount(PLARGE_INTEGER TickCount)
{
    TickCount->QuadPart = (LONG64) * (volatile ULONG64 *)&SHARED_DATA->TickCount;
}
