/*
 * mm_race.c - suite mm.race: several threads in one address space at once, on all processors.
 *
 * Every thread attaches to the same process. Words of its own tell a thread whether a page was lost, given twice, or shown stale;
 * MiVerify looks at the space when they have all stopped. Counts come from KtapIterations.
 */
#include "ketest.h"
#include "proctest.h"

static PEPROCESS RaceProcess;
static PUCHAR RaceBase;
static volatile LONG64 RaceErrors, RaceFaults;
static ULONG RaceThreads;
static volatile LONG RaceRunning;
static ULONG64 RaceTurns;

#define RACE_PAGES 256

static VOID Wrong(PCSTR What, ULONG64 Saw, ULONG64 Expected)
{
    if (InterlockedIncrement64(&RaceErrors) == 1) {
        DbgPrint("race: %s: 0x%llx, expected 0x%llx\n", What, Saw, Expected);
    }
}

/* Runs Body in all threads, attached to a process with one region; FALSE: something went wrong. */
static BOOLEAN Race(PKTAP_CONTEXT Ktap, TEST_BODY Body, ULONG64 Normal)
{
    SIZE_T Size = RACE_PAGES * PAGE_SIZE;
    KAPC_STATE State;
    BOOLEAN Ran;

    RaceProcess = TestCreateProcess();
    if (RaceProcess == NULL) {
        return FALSE;
    }
    RaceErrors = RaceFaults = 0;
    RaceBase = NULL;
    RaceThreads = TestRacers();
    RaceRunning = (LONG)RaceThreads;
    RaceTurns = max(KtapIterations(Normal) / RaceThreads, 1);
    KeStackAttachProcess((PVOID)RaceProcess, &State);
    Ran = NT_SUCCESS(TestAllocate((PVOID *)&RaceBase, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
    KeUnstackDetachProcess(&State);
    Ran = Ran && TestParallel(RaceThreads, Body) && RaceErrors == 0 && MiVerify() == 0;
    TestDeleteProcess(RaceProcess);
    return Ran;
}

/* The word of one thread in one page. */
static PVOID WordOf(ULONG Page, ULONG Thread)
{
    return RaceBase + Page * PAGE_SIZE + Thread * sizeof(ULONG64);
}

/* Faults on shared pages: the first touch of each page comes from everybody at once; nobody's word is ever lost. */
static VOID FaultBody(ULONG Number)
{
    ULONG64 Seed = Number + 1, Value, Last[RACE_PAGES] = {0};
    KAPC_STATE State;

    KeStackAttachProcess((PVOID)RaceProcess, &State);
    for (ULONG64 Turn = 0; Turn < RaceTurns; Turn++) {
        ULONG Page = Turn < RACE_PAGES ? (ULONG)Turn : TestRandom(&Seed) % RACE_PAGES;

        if (!NT_SUCCESS(TestRead(WordOf(Page, Number), &Value)) || Value != Last[Page]) {
            Wrong("a word of a page", Value, Last[Page]);
        }
        Last[Page] = Turn + 1;
        if (!NT_SUCCESS(TestWrite(WordOf(Page, Number), Last[Page]))) {
            Wrong("a write failed", Page, 0);
        }
    }
    KeUnstackDetachProcess(&State);
}

static VOID RaceFault(PKTAP_CONTEXT Ktap)
{
    KTAP_CHECK(Race(Ktap, FaultBody, 100000));
}

/* Everybody takes, fills, checks and gives back memory of its own: tables come and go under the others' feet. */
static VOID AllocateBody(ULONG Number)
{
    ULONG64 Seed = Number + 77, Value;
    KAPC_STATE State;

    KeStackAttachProcess((PVOID)RaceProcess, &State);
    for (ULONG64 Turn = 0; Turn < RaceTurns; Turn++) {
        SIZE_T Size = (TestRandom(&Seed) % 5 + 1) * PAGE_SIZE;
        /* a terabyte of addresses for each thread, sparse, so that tables are made and freed all the time */
        PVOID Base = (PVOID)((((ULONG64)Number + 1) << 40) + ((ULONG64)(TestRandom(&Seed) % 4096) << 28));

        if (!NT_SUCCESS(TestAllocate(&Base, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE))) {
            Wrong("an allocation failed", Number, Turn);
            break;
        }
        for (SIZE_T Offset = 0; Offset < Size; Offset += PAGE_SIZE) {
            if (!NT_SUCCESS(TestRead((PUCHAR)Base + Offset, &Value)) || Value != 0) {
                Wrong("fresh memory", Value, 0);
            }
            TestWrite((PUCHAR)Base + Offset, Turn | 1);
        }
        if (TestRandom(&Seed) % 2 == 0 && !NT_SUCCESS(TestFree(Base, PAGE_SIZE, MEM_DECOMMIT))) {
            Wrong("a decommit failed", Number, Turn);
        }
        if (!NT_SUCCESS(TestFree(Base, 0, MEM_RELEASE))) {
            Wrong("a release failed", Number, Turn);
        }
    }
    KeUnstackDetachProcess(&State);
}

static VOID RaceAllocate(PKTAP_CONTEXT Ktap)
{
    KTAP_CHECK(Race(Ktap, AllocateBody, 4000));
}

/*
 * One thread takes write access away and gives it back; after the service has returned, no processor writes through an old
 * translation. The others write as fast as they can; refused writes are part of it.
 */
static VOID Downgrade(VOID)
{
    for (ULONG64 Turn = 0; Turn < RaceTurns; Turn++) {
        ULONG64 Before[8], After;
        PVOID Base = RaceBase;
        SIZE_T Size = 8 * PAGE_SIZE;
        ULONG Old;

        if (!NT_SUCCESS(ZwProtectVirtualMemory(ZwCurrentProcess(), &Base, &Size, PAGE_READONLY, &Old))) {
            Wrong("protect failed", Turn, 0);
        }
        for (ULONG Page = 0; Page < 8; Page++) {
            TestRead(WordOf(Page, 1), &Before[Page]);
        }
        for (ULONG Spin = 0; Spin < 200; Spin++) {
            YieldProcessor();
        }
        for (ULONG Page = 0; Page < 8; Page++) {
            TestRead(WordOf(Page, 1), &After);
            if (After != Before[Page]) {
                Wrong("a store landed in a read-only page", After, Before[Page]);
            }
        }
        ZwProtectVirtualMemory(ZwCurrentProcess(), &Base, &Size, PAGE_READWRITE, &Old);
    }
}

static VOID ProtectBody(ULONG Number)
{
    KAPC_STATE State;

    KeStackAttachProcess((PVOID)RaceProcess, &State);
    if (Number == 0) {
        Downgrade();
        InterlockedExchange(&RaceRunning, 0);
    }
    for (ULONG64 Turn = 0; RaceRunning != 0; Turn++) {
        YieldProcessor(); /* where processors take turns this ends one: the others may have to answer a shootdown */
        if (!NT_SUCCESS(TestWrite(WordOf((ULONG)Turn % 8, 1), Turn))) {
            InterlockedIncrement64(&RaceFaults);
        }
    }
    KeUnstackDetachProcess(&State);
}

static VOID RaceProtect(PKTAP_CONTEXT Ktap)
{
    KTAP_CHECK(Race(Ktap, ProtectBody, 6000));
}

/* Pages are decommitted and committed anew while others read them: they see zero or what was written since, never old content. */
static VOID Recommit(VOID)
{
    for (ULONG64 Turn = 1; Turn <= RaceTurns; Turn++) {
        PVOID Base = RaceBase;
        SIZE_T Size = 4 * PAGE_SIZE;

        for (ULONG Page = 0; Page < 4; Page++) {
            TestWrite(WordOf(Page, 2), Turn);
        }
        if (!NT_SUCCESS(TestFree(Base, Size, MEM_DECOMMIT))) {
            Wrong("a decommit failed", Turn, 0);
        }
        InterlockedExchange64((volatile LONG64 *)&RaceFaults, (LONG64)Turn); /* from now on Turn must not be seen */
        if (!NT_SUCCESS(TestAllocate(&Base, &Size, MEM_COMMIT, PAGE_READWRITE))) {
            Wrong("a commit failed", Turn, 0);
        }
    }
}

static VOID StaleBody(ULONG Number)
{
    KAPC_STATE State;
    ULONG64 Value;

    KeStackAttachProcess((PVOID)RaceProcess, &State);
    if (Number == 0) {
        Recommit();
        InterlockedExchange(&RaceRunning, 0);
    }
    for (ULONG Turn = 0; RaceRunning != 0; Turn++) {
        YieldProcessor();
        ULONG64 Gone = (ULONG64)RaceFaults;

        if (NT_SUCCESS(TestRead(WordOf(Turn % 4, 2), &Value)) && Value != 0 && Value <= Gone) {
            Wrong("content of a decommitted page", Value, Gone);
        }
        if (Turn % 8 ==
            7) { /* translations that the processor keeps of a space it has left must not outlive the pages */
            KeUnstackDetachProcess(&State);
            KeStackAttachProcess((PVOID)RaceProcess, &State);
        }
    }
    KeUnstackDetachProcess(&State);
}

static VOID RaceStale(PKTAP_CONTEXT Ktap)
{
    KTAP_CHECK(Race(Ktap, StaleBody, 6000));
}

/* MDLs over the same pages, locked and written through their kernel alias, while pages are touched and released around them. */
static VOID LockBody(ULONG Number)
{
    ULONG64 Seed = Number + 5, Value;
    KAPC_STATE State;
    PMDL Mdl = IoAllocateMdl(RaceBase, 16 * PAGE_SIZE, FALSE, FALSE, NULL);

    KeStackAttachProcess((PVOID)RaceProcess, &State);
    for (ULONG64 Turn = 0; Mdl != NULL && Turn < RaceTurns; Turn++) {
        ULONG Page = TestRandom(&Seed) % (RACE_PAGES - 8), Count = TestRandom(&Seed) % 8 + 1;
        PULONG64 Alias;

        MmInitializeMdl(Mdl, RaceBase + Page * PAGE_SIZE, Count * PAGE_SIZE);
        MmProbeAndLockPages(Mdl, UserMode, IoModifyAccess);
        Alias = MmGetSystemAddressForMdlSafe(Mdl, NormalPagePriority);
        if (Alias != NULL) {
            for (ULONG Index = 0; Index < Count; Index++) {
                Alias[Index * (PAGE_SIZE / 8) + Number] = Turn;
                if (!NT_SUCCESS(TestRead(WordOf(Page + Index, Number), &Value)) || Value != Turn) {
                    Wrong("a word written through an MDL", Value, Turn);
                }
            }
        }
        MmUnlockPages(Mdl);
    }
    KeUnstackDetachProcess(&State);
    if (Mdl != NULL) {
        IoFreeMdl(Mdl);
    }
}

static VOID RaceLock(PKTAP_CONTEXT Ktap)
{
    KTAP_CHECK(Race(Ktap, LockBody, 4000));
}

/* Processes made, used and deleted by all threads at once: frames, charges and tables come back. */
static VOID ProcessBody(ULONG Number)
{
    for (ULONG64 Turn = 0; Turn < RaceTurns; Turn++) {
        PEPROCESS Process = TestCreateProcess();
        PVOID Base = NULL;
        SIZE_T Size = 5 * PAGE_SIZE;
        KAPC_STATE State;
        ULONG64 Value = 0;

        if (Process == NULL) {
            Wrong("no process", Turn, 0);
            return;
        }
        KeStackAttachProcess((PVOID)Process, &State);
        if (!NT_SUCCESS(TestAllocate(&Base, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE)) ||
            !NT_SUCCESS(TestRead(Base, &Value)) || Value != 0 || !NT_SUCCESS(TestWrite(Base, Number + 1)) ||
            !NT_SUCCESS(TestRead(Base, &Value)) || Value != Number + 1) {
            Wrong("memory of a new process", Value, Number + 1);
        }
        KeUnstackDetachProcess(&State);
        TestDeleteProcess(Process);
    }
}

static VOID RaceSpaces(PKTAP_CONTEXT Ktap)
{
    ULONG64 Commit = MiCommit.Charged;

    KTAP_CHECK(Race(Ktap, ProcessBody, 600));
    KTAP_EQUAL(MiCommit.Charged, Commit);
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"fault", RaceFault}, {"allocate", RaceAllocate}, {"protect", RaceProtect},
    {"stale", RaceStale}, {"lock", RaceLock},         {"spaces", RaceSpaces},
};
KTAP_SUITE(MmRaceSuite, "mm.race", Cases);
