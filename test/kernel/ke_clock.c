/*
 * ke_clock.c - suite ke.clock: idle processors do not tick, times are right whoever keeps them, arming costs the same.
 *
 * Judged by counters, by the kernel's own times and by instructions, never by the host's clock. The case `cost` counts instructions by
 * the time stamp counter, which does count them under -icount and on Bochs; elsewhere it is skipped.
 */
#include "ketest.h"

#include <ntos/console.h>
#include <ntos/pool.h>

/* What drivers get by these names; in the headers they are macros. */
#undef KeQueryInterruptTime
#undef KeQuerySystemTime
#undef KeQueryTickCount
ULONG64 NTAPI KeQueryInterruptTime(VOID);
VOID NTAPI KeQuerySystemTime(PLARGE_INTEGER CurrentTime);
VOID NTAPI KeQueryTickCount(PLARGE_INTEGER TickCount);

static LARGE_INTEGER After(LONG64 Units)
{
    LARGE_INTEGER Due = {.QuadPart = -Units};
    return Due;
}

/* While the machine sleeps for two seconds (128 ticks), its processors take a few clock interrupts each, and time goes on. */
static VOID Tickless(PKTAP_CONTEXT Ktap)
{
    ULONG64 Ticks[KI_MAXIMUM_PROCESSORS], Sleeps[KI_MAXIMUM_PROCESSORS], Start, Slept, Most = 0;
    LARGE_INTEGER TickCount, TickCountLater;
    ULONG Count = KeQueryActiveProcessorCount(NULL), Quiet = 0;

    TestSleep(TEST_SECOND / 4); /* what earlier cases left behind comes to rest */
    for (ULONG Index = 0; Index < Count; Index++) {
        Ticks[Index] = KiProcessorBlock[Index]->ClockTicks;
        Sleeps[Index] = KiProcessorBlock[Index]->TicklessCount;
    }
    KeQueryTickCount(&TickCount);
    Start = KeQueryInterruptTime();
    TestSleep(2 * TEST_SECOND);
    Slept = KeQueryInterruptTime() - Start;
    KeQueryTickCount(&TickCountLater);
    for (ULONG Index = 0; Index < Count; Index++) {
        Ticks[Index] = KiProcessorBlock[Index]->ClockTicks - Ticks[Index];
        Sleeps[Index] = KiProcessorBlock[Index]->TicklessCount - Sleeps[Index];
        Quiet += Ticks[Index] <= Slept / KeQueryTimeIncrement() / 4;
        Most = max(Most, Sleeps[Index]);
    }
    KTAP_EQUAL(Quiet, Count);
    KTAP_CHECK(Most >= 1); /* it slept, and was not merely deaf */
    KTAP_CHECK(Slept >= 2 * TEST_SECOND);
    KTAP_CHECK(TickCountLater.QuadPart - TickCount.QuadPart >= 2 * TEST_SECOND / KeQueryTimeIncrement() - 1);
}

/* A timer armed while everybody sleeps, by a processor that is not the timekeeper, expires, and not before it is due. */
static volatile LONG Early;

static VOID ArmAndWait(ULONG Number)
{
    KTIMER Timer;

    KeInitializeTimer(&Timer);
    for (ULONG Turn = 0; Turn < 20; Turn++) {
        LONG64 Delay = (TEST_SECOND / 50) * (1 + (Turn * 7 + Number) % 5);
        ULONG64 Start = KeQueryInterruptTimePrecise(NULL);
        KeSetTimer(&Timer, After(Delay), NULL);
        if (TestWait(&Timer) != STATUS_SUCCESS || KeQueryInterruptTimePrecise(NULL) - Start < (ULONG64)Delay) {
            InterlockedIncrement(&Early);
        }
    }
}

static VOID TimersWake(PKTAP_CONTEXT Ktap)
{
    Early = 0;
    KTAP_CHECK(TestParallel(TestRacers(), ArmAndWait));
    KTAP_EQUAL(Early, 0);
}

/* A low-importance DPC runs soon on a processor that does not tick. */
static volatile LONG LowRuns;

static VOID NTAPI CountLow(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    InterlockedIncrement(&LowRuns);
}

static VOID LowDpc(PKTAP_CONTEXT Ktap)
{
    static KDPC Dpc;
    ULONG Count = KeQueryActiveProcessorCount(NULL);

    LowRuns = 0;
    for (ULONG Index = 0; Index < Count; Index++) {
        KeInitializeDpc(&Dpc, CountLow, NULL);
        KeSetImportanceDpc(&Dpc, LowImportance);
        KeSetTargetProcessorDpc(&Dpc, (CCHAR)Index);
        TestSleep(TEST_SECOND / 10);
        KTAP_CHECK(KeInsertQueueDpc(&Dpc, NULL, NULL));
        for (ULONG Turn = 0; LowRuns <= (LONG)Index && Turn < 200; Turn++) {
            TestSleep(1);
        }
        KTAP_EQUAL(LowRuns, (LONG)Index + 1);
    }
}

/* ---- Times ---- */

static volatile LONG64 LastCounter, LastTime, LastPrecise, LastSystem;
static volatile LONG Backwards;
static ULONG64 Rounds;

/* TRUE: Now is no less than what anybody has seen before this was called. */
static BOOLEAN NotBefore(volatile LONG64 *Last, LONG64 Before, LONG64 Now)
{
    for (LONG64 Old = *Last; Old < Now; Old = *Last) {
        InterlockedCompareExchange64(Last, Now, Old);
    }
    return Now >= Before;
}

static VOID ReadTimes(ULONG Number)
{
    for (ULONG64 Round = 0; Round < Rounds; Round++) {
        LARGE_INTEGER Time;
        LONG64 Before = LastCounter;
        BOOLEAN Good = NotBefore(&LastCounter, Before, KeQueryPerformanceCounter(NULL).QuadPart);

        Before = LastTime;
        Good &= NotBefore(&LastTime, Before, (LONG64)KeQueryInterruptTime());
        Before = max(LastPrecise, LastTime); /* the precise time is never behind the other */
        Good &= NotBefore(&LastPrecise, Before, (LONG64)KeQueryInterruptTimePrecise(NULL));
        Before = LastSystem;
        KeQuerySystemTime(&Time);
        Good &= NotBefore(&LastSystem, Before, Time.QuadPart);
        if (!Good) {
            InterlockedIncrement(&Backwards);
        }
    }
}

/* No time and no counter goes backwards, whichever processor reads it after whichever other. */
static VOID Monotonic(PKTAP_CONTEXT Ktap)
{
    LastCounter = 0;
    LastTime = 0;
    LastPrecise = 0;
    LastSystem = 0;
    Backwards = 0;
    Rounds = KtapIterations(20000);
    KTAP_CHECK(TestParallel(TestRacers(), ReadTimes));
    KTAP_EQUAL(Backwards, 0);
}

static VOID Precise(PKTAP_CONTEXT Ktap)
{
    LARGE_INTEGER Frequency, Ticks, System, Counter;
    ULONG64 Stamp, Later, Time = KeQueryInterruptTimePrecise(&Stamp);

    KeStallExecutionProcessor(2000);
    KTAP_CHECK(KeQueryInterruptTimePrecise(&Later) - Time >= 2000 * 10 - 1);
    Counter = KeQueryPerformanceCounter(&Frequency);
    KTAP_CHECK((LONG64)Stamp < (LONG64)Later && (LONG64)Later <= Counter.QuadPart);
    KeQueryTickCount(&Ticks);
    Time = KeQueryInterruptTime();
    KTAP_CHECK((ULONG64)Ticks.QuadPart * KeQueryTimeIncrement() <= Time);
    KeQuerySystemTime(&System);
    KeQuerySystemTimePrecise(&Counter);
    KTAP_CHECK(Counter.QuadPart >= System.QuadPart);
    KTAP_CHECK(Counter.QuadPart - System.QuadPart < 60 * TEST_SECOND);
    KTAP_CHECK(KeQueryUnbiasedInterruptTime() >= Time);
}

/* ---- Timers ---- */

static VOID Coalescable(PKTAP_CONTEXT Ktap)
{
    KTIMER Timer;

    KeInitializeTimerEx(&Timer, SynchronizationTimer);
    ULONG64 Start = KeQueryInterruptTime();
    KTAP_EQUAL(KeSetCoalescableTimer(&Timer, After(TEST_SECOND / 10), 0, 50, NULL), FALSE);
    KTAP_EQUAL(KeSetCoalescableTimer(&Timer, After(TEST_SECOND / 10), 0, 50, NULL), TRUE);
    KTAP_EQUAL(TestWait(&Timer), STATUS_SUCCESS);
    KTAP_CHECK(KeQueryInterruptTime() - Start >= TEST_SECOND / 10); /* later perhaps, never earlier */
    KTAP_EQUAL(KeSetCoalescableTimer(&Timer, After(TEST_SECOND / 50), 20, 10, NULL), FALSE);
    KTAP_EQUAL(TestWait(&Timer), STATUS_SUCCESS);
    KTAP_EQUAL(TestWait(&Timer), STATUS_SUCCESS); /* periodic */
    KTAP_EQUAL(KeCancelTimer(&Timer), TRUE);
}

/* Does the time stamp counter count instructions? Then equal loops take equally long, but for a few. */
static BOOLEAN CountsInstructions(VOID)
{
    ULONG64 First = 0;
    KIRQL OldIrql;
    BOOLEAN Equal = TRUE;

    KeRaiseIrql(HIGH_LEVEL, &OldIrql);
    for (ULONG Turn = 0; Turn < 6; Turn++) {
        ULONG64 Start = __rdtsc();
        for (volatile ULONG Loop = 0; Loop < 1000; Loop++) {
        }
        ULONG64 Counts = __rdtsc() - Start;
        Equal = Equal && (Turn < 2 || (Counts - First + 16) <= 32);
        First = Counts;
    }
    KeLowerIrql(OldIrql);
    return Equal;
}

#define FEW     1000
#define PLENTY  100000
#define SAMPLES 64

/* The median of what arming one more timer takes, over due times in all wheels. */
static ULONG64 CostOfArming(VOID)
{
    ULONG64 Samples[SAMPLES];
    KTIMER Timer;
    KIRQL OldIrql;

    KeInitializeTimer(&Timer);
    for (ULONG Turn = 0; Turn < SAMPLES; Turn++) {
        LARGE_INTEGER Due = After(TEST_SECOND * 3600 + ((LONG64)Turn << (20 + Turn % 24)));
        ULONG At = Turn;

        KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
        ULONG64 Start = __rdtsc();
        KeSetTimer(&Timer, Due, NULL);
        ULONG64 Counts = __rdtsc() - Start;
        KeCancelTimer(&Timer);
        KeLowerIrql(OldIrql);
        for (; At > 0 && Samples[At - 1] > Counts; At--) {
            Samples[At] = Samples[At - 1];
        }
        Samples[At] = Counts;
    }
    return Samples[SAMPLES / 2];
}

static VOID Arm(PKTIMER Timers, ULONG From, ULONG To)
{
    for (ULONG Index = From; Index < To; Index++) {
        KeInitializeTimer(&Timers[Index]);
        KeSetTimer(&Timers[Index], After(TEST_SECOND * 600 + (LONG64)(Index % 977) * (Index % 1009) * 100000), NULL);
    }
}

static VOID Cost(PKTAP_CONTEXT Ktap)
{
    if (!CountsInstructions()) {
        Ktap->Skipped = TRUE;
        Ktap->SkipReason = "the time stamp counter does not count instructions here";
        return;
    }
    PKTIMER Timers = ExAllocatePoolWithTag(NonPagedPool, PLENTY * sizeof(KTIMER), 'tseT');
    KTAP_CHECK(Timers != NULL);
    Arm(Timers, 0, FEW);
    ULONG64 WithFew = CostOfArming();
    Arm(Timers, FEW, PLENTY);
    ULONG64 WithPlenty = CostOfArming();
    for (ULONG Index = 0; Index < PLENTY; Index++) {
        KeCancelTimer(&Timers[Index]);
    }
    ExFreePoolWithTag(Timers, 'tseT');
    ConPrint("# KeSetTimer: %llu instructions with %u timers armed, %llu with %u\n", WithFew, FEW, WithPlenty, PLENTY);
    KTAP_CHECK(WithFew > 0 && WithPlenty <= 2 * WithFew);
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"tickless", Tickless}, {"timers_wake", TimersWake},  {"low_dpc", LowDpc}, {"monotonic", Monotonic},
    {"precise", Precise},   {"coalescable", Coalescable}, {"cost", Cost},
};
KTAP_SUITE(KeClockSuite, "ke.clock", Cases);
