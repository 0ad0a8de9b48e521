/*
 * ke_sched.c - suites ke.sched and ke.affinity: starvation, use of all processors, affinity, priorities changed under way.
 *
 * Time is judged in clock ticks that the hogs were charged with, not in time that passed: an emulator that is given no processor itself
 * hands out fewer ticks, and nobody starves for that. After each case the scheduler's invariants are checked.
 */
#include "ketest.h"

#define HOGS_MAX      16
#define STARVED_TICKS 256 /* four seconds */

static volatile LONG Stop, Ended;
static PETHREAD volatile Low; /* the thread to be starved */
static BOOLEAN Confined;      /* the hogs share one processor */
static PETHREAD Hogs[HOGS_MAX];
static volatile LONG HogCount;
static volatile KAFFINITY Seen;
static volatile ULONG WorstGap;

static BOOLEAN StartThread(PETHREAD *Thread, PKSTART_ROUTINE Routine, KPRIORITY Priority)
{
    if (!NT_SUCCESS(PspAllocateSystemThread(Thread, Routine, NULL, Priority))) {
        return FALSE;
    }
    if (KeGetCurrentThread()->SystemAffinityActive) {
        KeSetAffinityThread(&(*Thread)->Tcb, KeGetCurrentThread()->Affinity);
    }
    ObReferenceObject(*Thread);
    KeReadyThread(&(*Thread)->Tcb);
    return TRUE;
}

/* Ticks that the hogs were charged with, on average for one processor. */
static ULONG HogTicks(VOID)
{
    ULONG Sum = 0, UserTime;

    for (LONG i = 0; i < HogCount; i++) {
        Sum += KeQueryRuntimeThread(&Hogs[i]->Tcb, &UserTime) + UserTime;
    }
    return Confined ? Sum : Sum / KeQueryActiveProcessorCount(NULL);
}

/* How long the low thread is not switched to: seen by one hog, since ticks may pass before its first instruction. */
static VOID MeasureGap(VOID)
{
    static ULONG64 LastSwitches;
    static ULONG LastTicks;
    ULONG64 Switches = Low->Tcb.ContextSwitches;
    ULONG Ticks = HogTicks();

    if (Switches != LastSwitches) {
        LastSwitches = Switches;
        LastTicks = Ticks;
    } else if (Switches != 0 && Ticks - LastTicks > WorstGap) {
        WorstGap = Ticks - LastTicks;
    }
}

static VOID NTAPI Hog(PVOID Context)
{
    while (!Stop) {
        InterlockedOr64((volatile LONG64 *)&Seen, (LONG64)1 << KeGetCurrentProcessorNumberEx(NULL));
        if (Low != NULL && KeGetCurrentThread() == &Hogs[0]->Tcb) {
            MeasureGap();
        }
        YieldProcessor(); /* ends a turn where processors take turns */
    }
}

static BOOLEAN StartHogs(LONG Count, KPRIORITY Priority)
{
    Stop = 0;
    Seen = 0;
    for (HogCount = 0; HogCount < Count; HogCount++) {
        if (!StartThread(&Hogs[HogCount], Hog, Priority)) {
            return FALSE;
        }
    }
    return TRUE;
}

/* Ends the hogs; returns whether all did. */
static BOOLEAN StopHogs(VOID)
{
    BOOLEAN Success = TRUE;

    Stop = 1;
    for (LONG i = 0; i < HogCount; i++) {
        Success &= TestWait(Hogs[i]) == STATUS_SUCCESS;
        ObDereferenceObject(Hogs[i]);
    }
    return Success;
}

static VOID NTAPI Victim(PVOID Context)
{
    while (!Stop) {
        YieldProcessor();
    }
}

/* Hogs at priority 12 never wait; what is ready at priority 3 must run all the same. */
static VOID Starve(PKTAP_CONTEXT Ktap, LONG Count)
{
    PETHREAD Thread;
    ULONG UserTime;

    WorstGap = 0;
    KTAP_CHECK(KTAP_WHOLE(StartHogs(Count, 12)));
    KTAP_CHECK(StartThread(&Thread, Victim, 3));
    Low = Thread;
    while (HogTicks() < STARVED_TICKS + STARVED_TICKS / 2) {
        TestSleep(TEST_SECOND / 4);
    }
    ULONG Findings = KiVerifyScheduler(), Ticks = HogTicks(), LowTicks = KeQueryRuntimeThread(&Thread->Tcb, &UserTime);
    KTAP_CHECK(StopHogs());
    Low = NULL;
    KTAP_EQUAL(TestWait(Thread), STATUS_SUCCESS);
    ObDereferenceObject(Thread);
    KTAP_CHECK(WorstGap < STARVED_TICKS);
    KTAP_CHECK(LowTicks >= 1 && LowTicks < Ticks / 4); /* it was starved otherwise: this is no share of the processor */
    KTAP_EQUAL(Findings, 0);
}

static VOID StarvationOne(PKTAP_CONTEXT Ktap)
{
    KAFFINITY Old = KeSetSystemAffinityThreadEx(1);
    Confined = TRUE;
    Starve(Ktap, 2);
    Confined = FALSE;
    KeRevertToUserAffinityThreadEx(Old);
}

static VOID StarvationAll(PKTAP_CONTEXT Ktap)
{
    Starve(Ktap, (LONG)min(2 * KeQueryActiveProcessorCount(NULL), HOGS_MAX));
}

/* A thread that stays at DISPATCH_LEVEL for longer than a quantum's counter reaches gives way afterwards. */
static VOID LongQuantum(PKTAP_CONTEXT Ktap)
{
    KAFFINITY Old = KeSetSystemAffinityThreadEx(1);
    PKTHREAD Self = KeGetCurrentThread();
    KPRIORITY Priority = KeSetPriorityThread(Self, 8);
    BOOLEAN Started = StartHogs(1, 8);
    KIRQL Irql;

    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    ULONG Begin = Self->KernelTime;
    while (Self->KernelTime - Begin < 140) {
        YieldProcessor();
    }
    SCHAR Quantum = Self->Quantum;
    KeLowerIrql(Irql);
    Begin = Self->KernelTime;
    while (Self->KernelTime - Begin < 8) {
        YieldProcessor();
    }
    ULONG UserTime, Ticks = KeQueryRuntimeThread(&Hogs[0]->Tcb, &UserTime);
    BOOLEAN Stopped = StopHogs();
    KeSetPriorityThread(Self, Priority);
    KeRevertToUserAffinityThreadEx(Old);
    KTAP_CHECK(Started && Stopped);
    KTAP_EQUAL(Quantum, 0);
    KTAP_CHECK(Ticks > 0);
}

/* As many hogs as processors: each processor is used, and none of them waits for long. */
static VOID Spread(PKTAP_CONTEXT Ktap)
{
    KAFFINITY Active = KeQueryActiveProcessors();

    KTAP_CHECK(KTAP_WHOLE(StartHogs((LONG)KeQueryActiveProcessorCount(NULL), 8)));
    for (ULONG i = 0; i < 200 && Seen != Active; i++) {
        TestSleep(TEST_SECOND / 20);
    }
    ULONG Findings = KiVerifyScheduler();
    KTAP_CHECK(StopHogs());
    KTAP_EQUAL(Seen, Active);
    KTAP_EQUAL(Findings, 0);
}

/* Priorities of running, ready and waiting threads change under them; everybody gets through, nothing is lost. */
static VOID PriorityRacer(ULONG Number)
{
    ULONG64 Seed = Number + 1, Rounds = KtapIterations(4000) / TestRacers();

    for (ULONG64 i = 0; i < Rounds; i++) {
        ULONG Random = TestRandom(&Seed);
        PKTHREAD Target = &Hogs[Random % (ULONG)HogCount]->Tcb;
        KeSetPriorityThread(Target, (KPRIORITY)(1 + Random / 64 % 9));
        if (Random % 16 == 0) {
            KeSetAffinityThread(Target, (KAFFINITY)TestRandom(&Seed));
        }
        if (Random % 32 == 1) {
            ZwYieldExecution();
        }
        if (Random % 64 == 2) {
            Ended += KiVerifyScheduler() != 0;
        }
    }
}

static VOID PriorityRace(PKTAP_CONTEXT Ktap)
{
    Ended = 0;
    KTAP_CHECK(KTAP_WHOLE(StartHogs(6, 4)));
    BOOLEAN Through = TestParallel(TestRacers(), PriorityRacer);
    KTAP_CHECK(StopHogs());
    KTAP_CHECK(Through);
    KTAP_EQUAL(Ended, 0);
    KTAP_EQUAL(KiVerifyScheduler(), 0);
}

/* ---- Affinity ---- */

static VOID Numbers(PKTAP_CONTEXT Ktap)
{
    ULONG Count = KeQueryActiveProcessorCountEx(0);
    PROCESSOR_NUMBER Number, Bad = {.Group = 1};
    GROUP_AFFINITY Node;
    USHORT NodeCount;

    KTAP_EQUAL(Count, KeQueryActiveProcessorCountEx(ALL_PROCESSOR_GROUPS));
    KTAP_EQUAL(KeQueryActiveProcessorCountEx(1), 0);
    KTAP_EQUAL(KeQueryMaximumProcessorCount(), Count);
    KTAP_EQUAL(KeQueryMaximumProcessorCountEx(0), Count);
    KTAP_EQUAL(KeQueryActiveGroupCount(), 1);
    KTAP_EQUAL(KeQueryMaximumGroupCount(), 1);
    KTAP_EQUAL(KeQueryGroupAffinity(0), KeQueryActiveProcessors());
    KTAP_EQUAL(KeQueryGroupAffinity(1), 0);
    KTAP_EQUAL(KeQueryHighestNodeNumber(), 0);
    KTAP_EQUAL(KeGetCurrentNodeNumber(), 0);
    KTAP_EQUAL(KeQueryNodeMaximumProcessorCount(0), Count);
    KeQueryNodeActiveAffinity(0, &Node, &NodeCount);
    KTAP_EQUAL(Node.Mask, KeQueryActiveProcessors());
    KTAP_EQUAL(NodeCount, Count);
    KTAP_EQUAL(KeGetProcessorNumberFromIndex(Count - 1, &Number), STATUS_SUCCESS);
    KTAP_EQUAL(KeGetProcessorIndexFromNumber(&Number), Count - 1);
    KTAP_EQUAL(KeGetProcessorNumberFromIndex(Count, &Number), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(KeGetProcessorIndexFromNumber(&Bad), MAXULONG);
}

/* A thread confined to a processor is there when the call returns, and stays. */
static VOID Confine(PKTAP_CONTEXT Ktap)
{
    for (ULONG i = 0; i < KeQueryActiveProcessorCount(NULL); i++) {
        GROUP_AFFINITY Affinity = {.Mask = (KAFFINITY)1 << i}, Previous;
        PROCESSOR_NUMBER Number;
        KeSetSystemGroupAffinityThread(&Affinity, &Previous);
        ULONG First = KeGetCurrentProcessorNumberEx(&Number);
        TestSleep(TEST_SECOND / 50);
        ULONG Later = KeGetCurrentProcessorNumberEx(NULL);
        KAFFINITY Outer = KeSetSystemAffinityThreadEx(KeQueryActiveProcessors());
        KeRevertToUserAffinityThreadEx(Outer);
        ULONG Again = KeGetCurrentProcessorNumberEx(NULL);
        KeRevertToUserGroupAffinityThread(&Previous);
        KTAP_EQUAL(Previous.Mask, 0);
        KTAP_EQUAL(First, i);
        KTAP_EQUAL(Number.Number, i);
        KTAP_EQUAL(Later, i);
        KTAP_EQUAL(Outer, (KAFFINITY)1 << i);
        KTAP_EQUAL(Again, i);
    }
    KeSetSystemAffinityThread(1);
    ULONG Zero = KeGetCurrentProcessorNumberEx(NULL);
    KeRevertToUserAffinityThread();
    KTAP_EQUAL(Zero, 0);
}

static VOID MigrateRacer(ULONG Number)
{
    KAFFINITY Active = KeQueryActiveProcessors();
    ULONG64 Seed = Number + 1, Rounds = KtapIterations(20000) / TestRacers();

    for (ULONG64 i = 0; i < Rounds; i++) {
        KAFFINITY Set = TestRandom(&Seed) & Active;
        KAFFINITY Old = KeSetSystemAffinityThreadEx(Set);
        for (ULONG n = 0; n < 10; n++) {
            Ended += Set != 0 && (Set >> KeGetCurrentProcessorNumberEx(NULL) & 1) == 0;
        }
        KeRevertToUserAffinityThreadEx(Old);
    }
}

static VOID Migrate(PKTAP_CONTEXT Ktap)
{
    Ended = 0;
    KTAP_CHECK(TestParallel(TestRacers(), MigrateRacer));
    KTAP_EQUAL(Ended, 0);
    KTAP_EQUAL(KiVerifyScheduler(), 0);
}

/* A running thread is moved by another one; the ideal processor is remembered. */
static VOID Push(PKTAP_CONTEXT Ktap)
{
    KAFFINITY Active = KeQueryActiveProcessors(), Last = Active & ~(Active >> 1);

    KTAP_CHECK(KTAP_WHOLE(StartHogs(1, 4)));
    KAFFINITY Old = KeSetAffinityThread(&Hogs[0]->Tcb, Last);
    TestSleep(TEST_SECOND / 20);
    Seen = 0;
    TestSleep(TEST_SECOND / 10);
    KAFFINITY Held = Seen, Set = KeSetAffinityThread(&Hogs[0]->Tcb, Active);
    KeSetIdealProcessorThread(&Hogs[0]->Tcb, 0);
    UCHAR Ideal = KeSetIdealProcessorThread(&Hogs[0]->Tcb, 63);
    KTAP_CHECK(StopHogs());
    KTAP_EQUAL(Old, Active);
    KTAP_EQUAL(Held, Last);
    KTAP_EQUAL(Set, Last);
    KTAP_EQUAL(Ideal, 0);
}

static const KTAP_CASE_ENTRY Cases[] = {{"starvation_one", StarvationOne},
                                        {"starvation_all", StarvationAll},
                                        {"long_quantum", LongQuantum},
                                        {"spread", Spread},
                                        {"priority_race", PriorityRace}};
KTAP_SUITE(KeSchedSuite, "ke.sched", Cases);

static const KTAP_CASE_ENTRY AffinityCases[] = {
    {"numbers", Numbers}, {"confine", Confine}, {"push", Push}, {"migrate_race", Migrate}};
KTAP_SUITE(KeAffinitySuite, "ke.affinity", AffinityCases);
