/*
 * tsc.c - how fast the time stamp counter and the APIC timer run, and what is read off the former.
 *
 * Both are measured against a counter of known frequency (HPET, else the ACPI timer, else the PIT) in several short
 * rounds, and the median is taken: an emulator that is not scheduled for a while spoils one round, not the result.
 * The time stamp counter then is the clock of KeQueryPerformanceCounter and KeStallExecutionProcessor, and the clock
 * interrupt reads it to learn how much time really went by (src/hal/clock.c).
 *
 * Locks: none. Calibration: boot processor, interrupts off.
 */
#include "halp.h"

#define ROUNDS        5   /* odd, for a median */
#define ROUND_DIVISOR 200 /* a round is 1/200 s: far below one turn of the PIT (55 ms) */

/* A reference that stands still must not hang the boot: at 10 GHz this many loops of a port read take seconds. */
#define ROUND_LOOPS 10000000

#define PM_TIMER_FREQUENCY 3579545

ULONG64 HalpTscFrequency;
ULONG64 HalpApicTimerFrequency;

static ULONG64 PmTimerRead(VOID)
{
    return __indword(HalpPmTimerPort);
}

VOID HalpChooseReference(HALP_REFERENCE *Reference)
{
    if (HalpInitializeHpet(Reference)) {
        return;
    }
    if (HalpPmTimerPort != 0) {
        *Reference =
            (HALP_REFERENCE){"ACPI timer", PM_TIMER_FREQUENCY, HalpPmTimer32 ? 0xFFFFFFFF : 0xFFFFFF, PmTimerRead};
        return;
    }
    HalpInitializePit(Reference);
}

/* Keeps the samples sorted: they are few. */
static VOID InsertSample(PULONG64 Samples, ULONG Count, ULONG64 Value)
{
    while (Count > 0 && Samples[Count - 1] > Value) {
        Samples[Count] = Samples[Count - 1];
        Count--;
    }
    Samples[Count] = Value;
}

VOID HalpCalibrate(const HALP_REFERENCE *Reference)
{
    ULONG64 TscSamples[ROUNDS], ApicSamples[ROUNDS];
    ULONG64 Target = Reference->Frequency / ROUND_DIVISOR;

    for (ULONG Round = 0; Round < ROUNDS; Round++) {
        ULONG64 Elapsed = 0;
        HalpProgramApicTimerOnce(0xFFFFFFFF);
        ULONG64 Start = Reference->Read();
        ULONG64 Tsc = __rdtsc();
        for (ULONG Loop = 0; Elapsed < Target && Loop < ROUND_LOOPS; Loop++) {
            Elapsed = (Reference->Read() - Start) & Reference->Mask;
        }
        Tsc = __rdtsc() - Tsc;
        ULONG64 Apic = 0xFFFFFFFF - HalpReadApicTimer();
        if (Elapsed < Target) {
            KeBugCheckEx(HAL_INITIALIZATION_FAILED, Reference->Frequency, Elapsed, Target, Round);
        }
        InsertSample(TscSamples, Round, Tsc * Reference->Frequency / Elapsed);
        InsertSample(ApicSamples, Round, Apic * Reference->Frequency / Elapsed);
    }
    HalpProgramApicTimerOnce(0);
    HalpTscFrequency = TscSamples[ROUNDS / 2];
    HalpApicTimerFrequency = ApicSamples[ROUNDS / 2];
    if (HalpTscFrequency < 1000000 || HalpApicTimerFrequency < 10000) {
        KeBugCheckEx(HAL_INITIALIZATION_FAILED, Reference->Frequency, HalpTscFrequency, HalpApicTimerFrequency, 0);
    }
}

/**
 * KeQueryPerformanceCounter - a counter for measuring intervals: the time stamp counter of this processor.
 *
 * @PerformanceFrequency  receives counts a second; may be NULL
 *
 * IRQL: any. Locks: none.
 */
LARGE_INTEGER NTAPI KeQueryPerformanceCounter(PLARGE_INTEGER PerformanceFrequency)
{
    LARGE_INTEGER Now;

    if (PerformanceFrequency != NULL) {
        PerformanceFrequency->QuadPart = (LONG64)HalpTscFrequency;
    }
    __asm__ volatile("lfence" ::: "memory"); /* not before what was read or waited for earlier */
    Now.QuadPart = (LONG64)__rdtsc();
    return Now;
}

/**
 * KeStallExecutionProcessor - busy wait, for device delays only.
 *
 * @MicroSeconds  at most 50 by the documentation's advice; longer waits belong to KeDelayExecutionThread
 *
 * IRQL: any. Before calibration it assumes 1 GHz.
 */
VOID NTAPI KeStallExecutionProcessor(ULONG MicroSeconds)
{
    ULONG64 Frequency = HalpTscFrequency != 0 ? HalpTscFrequency : 1000000000;
    ULONG64 Start = __rdtsc(), Counts = Frequency * MicroSeconds / 1000000;

    while (__rdtsc() - Start < Counts) {
        _mm_pause();
    }
}
