/*
 * mm_reset.c - suite mm.reset: MEM_RESET and MEM_RESET_UNDO, with frames really taken.
 *
 * Frames are taken one by one from standby (what a shortage does), by a squeeze of the whole machine, and by two clones of the address
 * space. The modified list, which a page writer would write, must not grow for pages that were reset. MiVerify runs in each state.
 */
#include "ketest.h"
#include "proctest.h"

#define RESET_PAGES 100ULL /* more than two batches */
#define RESET_WORD  0x7E5E70000ULL

typedef struct _RESET_PLACE {
    PUCHAR Base;
    PMI_ADDRESS_SPACE Space;
} RESET_PLACE, *PRESET_PLACE;

static NTSTATUS Reset(PVOID Address, SIZE_T Bytes, ULONG Type)
{
    PVOID Base = Address;

    return TestAllocate(&Base, &Bytes, Type, PAGE_NOACCESS);
}

static PVOID PageAt(const RESET_PLACE *Place, ULONG64 Page)
{
    return Place->Base + Page * PAGE_SIZE;
}

/* Pages that hold their own word. */
static BOOLEAN Fill(PRESET_PLACE Place, PEPROCESS Process)
{
    SIZE_T Size = RESET_PAGES * PAGE_SIZE;

    Place->Base = NULL;
    Place->Space = MiSpaceOf(Process);
    if (!NT_SUCCESS(TestAllocate((PVOID *)&Place->Base, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE))) {
        return FALSE;
    }
    for (ULONG64 Page = 0; Page < RESET_PAGES; Page++) {
        if (!NT_SUCCESS(TestWrite(PageAt(Place, Page), RESET_WORD + Page))) {
            return FALSE;
        }
    }
    return TRUE;
}

static ULONG64 WordOf(const RESET_PLACE *Place, ULONG64 Page)
{
    ULONG64 Value = MAXULONG64;

    TestRead(PageAt(Place, Page), &Value);
    return Value;
}

/* The state of the frame behind a page's transition PTE; MiStateMax: the PTE is none. */
static ULONG StateOf(const RESET_PLACE *Place, ULONG64 Page)
{
    KIRQL Irql = MiLockPfn();
    MMPTE Pte = *MiPteOf(PageAt(Place, Page));
    ULONG State = MiIsTransitionPte(Pte) ? MiPfnState(MiPfn(MiTransitionFrame(Pte))) : MiStateMax;

    MiUnlockPfn(Irql);
    return State;
}

/* Takes the frame of a page from standby, as an allocation under shortage does. FALSE: it is not there. */
static BOOLEAN TakeFrame(const RESET_PLACE *Place, ULONG64 Page)
{
    KIRQL Irql = MiLockPfn();
    MMPTE Pte = *MiPteOf(PageAt(Place, Page));
    BOOLEAN There = MiIsTransitionPte(Pte) && MiPfnState(MiPfn(MiTransitionFrame(Pte))) == MiStandby;

    if (There) {
        PFN_FRAME Frame = MiTransitionFrame(Pte);

        MiClaimFrame(Frame);
        MiFreeFrame(Frame);
    }
    MiUnlockPfn(Irql);
    return There;
}

/* Reset pages are available memory, first to go, in no writer's way; untouched they come back whole. */
static VOID KeepBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    RESET_PLACE Place;
    ULONG64 Modified, Commit;

    KTAP_CHECK(KTAP_WHOLE(Fill(&Place, Process)));
    Modified = MiLists[MiListModified].Count;
    Commit = Place.Space->Commit;
    KTAP_EQUAL(Reset(Place.Base, RESET_PAGES * PAGE_SIZE, MEM_RESET), STATUS_SUCCESS);
    KTAP_EQUAL(Place.Space->WorkingSet, 0);
    KTAP_EQUAL(Place.Space->Commit, Commit); /* the promise stays */
    KTAP_CHECK(MiLists[MiListModified].Count <= Modified);
    for (ULONG64 Page = 0; Page < RESET_PAGES; Page++) {
        KTAP_EQUAL(StateOf(&Place, Page), MiStandby);
    }
    KTAP_CHECK(MiLists[MiListStandby0].Count >= RESET_PAGES);
    KTAP_EQUAL(MiVerify(), 0);
    KTAP_EQUAL(WordOf(&Place, 7), RESET_WORD + 7); /* a touch brings it back, as what is to be kept */
    KTAP_CHECK((MiPfn(MiPteFrame(*MiPteOf(PageAt(&Place, 7))))->u4 & MI_U4_MODIFIED) != 0);
    KTAP_EQUAL(Reset(Place.Base, RESET_PAGES * PAGE_SIZE, MEM_RESET_UNDO), STATUS_SUCCESS);
    for (ULONG64 Page = 0; Page < RESET_PAGES; Page++) {
        KTAP_EQUAL(StateOf(&Place, Page), Page == 7 ? MiStateMax : MiModified);
        KTAP_EQUAL(WordOf(&Place, Page), RESET_WORD + Page);
    }
    KTAP_EQUAL(MiVerify(), 0);
    KTAP_EQUAL(TestFree(Place.Base, 0, MEM_RELEASE), STATUS_SUCCESS);
}

static VOID ResetKeep(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, KeepBody);
}

/* A page whose frame was taken is zero; undoing says so, once, and saves the others. */
static VOID LoseBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    RESET_PLACE Place;

    KTAP_CHECK(KTAP_WHOLE(Fill(&Place, Process)));
    KTAP_EQUAL(Reset(Place.Base, RESET_PAGES * PAGE_SIZE, MEM_RESET), STATUS_SUCCESS);
    KTAP_CHECK(KTAP_WHOLE(TakeFrame(&Place, 3)) && KTAP_WHOLE(TakeFrame(&Place, 90)));
    KTAP_EQUAL(MiVerify(), 0);
    KTAP_EQUAL(WordOf(&Place, 3), 0); /* touched before it is undone: the loss is still known */
    KTAP_EQUAL(TestWrite(PageAt(&Place, 3), 5), STATUS_SUCCESS);
    KTAP_EQUAL(Reset(PageAt(&Place, 4), 80 * PAGE_SIZE, MEM_RESET_UNDO), STATUS_SUCCESS); /* a part that is whole */
    KTAP_EQUAL(Reset(PageAt(&Place, 3), PAGE_SIZE, MEM_RESET_UNDO), STATUS_DEVICE_BUSY);
    KTAP_EQUAL(Reset(Place.Base, RESET_PAGES * PAGE_SIZE, MEM_RESET_UNDO), STATUS_DEVICE_BUSY); /* page 90 */
    KTAP_EQUAL(Reset(Place.Base, RESET_PAGES * PAGE_SIZE, MEM_RESET_UNDO), STATUS_SUCCESS);
    for (ULONG64 Page = 0; Page < RESET_PAGES; Page++) {
        KTAP_EQUAL(WordOf(&Place, Page), Page == 3 ? 5 : Page == 90 ? 0 : RESET_WORD + Page);
    }
    KTAP_EQUAL(Reset(PageAt(&Place, 90), PAGE_SIZE, MEM_RESET), STATUS_SUCCESS);
    KTAP_CHECK(KTAP_WHOLE(TakeFrame(&Place, 90)));
    KTAP_EQUAL(Reset(PageAt(&Place, 90), PAGE_SIZE, MEM_RESET),
               STATUS_SUCCESS); /* of no interest again: nothing lost */
    KTAP_EQUAL(Reset(PageAt(&Place, 90), PAGE_SIZE, MEM_RESET_UNDO), STATUS_SUCCESS);
    KTAP_EQUAL(MiVerify(), 0);
}

static VOID ResetLose(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, LoseBody);
}

/* A shortage takes reset pages and nothing else of the process. */
static VOID SqueezeBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    RESET_PLACE Place;
    ULONG64 Taken, Reads = MmFaultCounters.PageReads;

    KTAP_CHECK(KTAP_WHOLE(Fill(&Place, Process)));
    KTAP_EQUAL(Reset(Place.Base, RESET_PAGES / 2 * PAGE_SIZE, MEM_RESET), STATUS_SUCCESS);
    Taken = MiStandbyRepurposed;
    KTAP_CHECK(KTAP_WHOLE(MiSqueeze(MAXULONG64)) != 0);
    KTAP_CHECK(MiStandbyRepurposed - Taken >= RESET_PAGES / 2);
    KTAP_EQUAL(MiVerify(), 0);
    for (ULONG64 Page = 0; Page < RESET_PAGES; Page++) {
        KTAP_EQUAL(WordOf(&Place, Page), Page < RESET_PAGES / 2 ? 0 : RESET_WORD + Page);
    }
    KTAP_EXACT(MmFaultCounters.PageReads - Reads, 0); /* zeros are not read from anywhere */
    KTAP_EQUAL(Reset(Place.Base, RESET_PAGES * PAGE_SIZE, MEM_RESET_UNDO), STATUS_DEVICE_BUSY);
}

static VOID ResetSqueeze(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, SqueezeBody);
}

/* What stays as it is: locked by either kind of lock, watched, and the halves of pages at the range's ends. */
static VOID StayBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    RESET_PLACE Place, Watched = {0};
    SIZE_T Size = PAGE_SIZE;
    PVOID Base;
    PMDL Mdl;

    KTAP_CHECK(KTAP_WHOLE(Fill(&Place, Process)));
    Base = PageAt(&Place, 1);
    KTAP_EQUAL(NtLockVirtualMemory(ZwCurrentProcess(), &Base, &Size, MAP_PROCESS), STATUS_SUCCESS);
    Mdl = KTAP_WHOLE(IoAllocateMdl(PageAt(&Place, 2), PAGE_SIZE, FALSE, FALSE, NULL));
    KTAP_CHECK(Mdl != NULL);
    MmProbeAndLockPages(Mdl, KernelMode, IoModifyAccess);
    KTAP_EQUAL(Reset(Place.Base + 1, 5 * PAGE_SIZE, MEM_RESET), STATUS_SUCCESS); /* pages 1 to 4 as a whole */
    KTAP_EQUAL(StateOf(&Place, 0), MiStateMax);
    KTAP_EQUAL(StateOf(&Place, 1), MiStateMax);
    KTAP_EQUAL(StateOf(&Place, 2), MiStateMax);
    KTAP_EQUAL(StateOf(&Place, 3), MiStandby);
    KTAP_EQUAL(StateOf(&Place, 4), MiStandby);
    KTAP_EQUAL(StateOf(&Place, 5), MiStateMax);
    KTAP_EQUAL(MiVerify(), 0);
    MmUnlockPages(Mdl);
    IoFreeMdl(Mdl);
    Size = 2 * PAGE_SIZE;
    KTAP_EQUAL(TestAllocate((PVOID *)&Watched.Base, &Size, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE),
               STATUS_SUCCESS);
    KTAP_EQUAL(TestWrite(Watched.Base, 1), STATUS_SUCCESS);
    KTAP_EQUAL(Reset(Watched.Base, 2 * PAGE_SIZE, MEM_RESET), STATUS_SUCCESS);
    KTAP_EQUAL(StateOf(&Watched, 0), MiStateMax);
    KTAP_EQUAL(Reset(PageAt(&Place, 6), PAGE_SIZE - 1, MEM_RESET), STATUS_INVALID_PARAMETER_4);
    KTAP_EQUAL(Reset(PageAt(&Place, 6), 0x100000000, MEM_RESET), STATUS_CONFLICTING_ADDRESSES);
}

static VOID ResetStay(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, StayBody);
}

/* A page without access is reset from the modified list; protection given later is found after the loss; so it is under a clone. */
static VOID ProtectBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    RESET_PLACE Place;
    SIZE_T Size = 2 * PAGE_SIZE;
    PEPROCESS Copy;
    ULONG64 Value;
    PVOID Base;
    ULONG Old;

    KTAP_CHECK(KTAP_WHOLE(Fill(&Place, Process)));
    Base = Place.Base;
    KTAP_EQUAL(ZwProtectVirtualMemory(ZwCurrentProcess(), &Base, &Size, PAGE_NOACCESS, &Old), STATUS_SUCCESS);
    KTAP_EQUAL(StateOf(&Place, 0), MiModified);
    KTAP_EQUAL(Reset(Place.Base, 4 * PAGE_SIZE, MEM_RESET), STATUS_SUCCESS);
    KTAP_EQUAL(StateOf(&Place, 0), MiStandby);
    KTAP_EQUAL(ZwProtectVirtualMemory(ZwCurrentProcess(), &Base, &Size, PAGE_READONLY, &Old), STATUS_SUCCESS);
    KTAP_CHECK(KTAP_WHOLE(TakeFrame(&Place, 0)));
    KTAP_EQUAL(ZwProtectVirtualMemory(ZwCurrentProcess(), &Base, &Size, PAGE_READWRITE, &Old), STATUS_SUCCESS);
    KTAP_EQUAL(Old, PAGE_READONLY);
    KTAP_EQUAL(WordOf(&Place, 1), RESET_WORD + 1);
    Copy = KTAP_WHOLE(TestCreateProcess());
    KTAP_CHECK(Copy != NULL);
    KTAP_EQUAL(KTAP_WHOLE(MmCloneProcessAddressSpace(Process, Copy)), STATUS_SUCCESS);
    KTAP_EQUAL(StateOf(&Place, 3), MiStateMax); /* shared with the clone: no one's to take */
    KTAP_EQUAL(MiVerify(), 0);
    KTAP_EQUAL(Reset(Place.Base, 4 * PAGE_SIZE, MEM_RESET), STATUS_SUCCESS);
    KTAP_EQUAL(TestRead(PageAt(&Place, 3), &Value), STATUS_SUCCESS);
    KTAP_EQUAL(Value, RESET_WORD + 3);
    KTAP_EQUAL(MiVerify(), 0);
    TestDeleteProcess(Copy);
}

static VOID ResetProtect(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, ProtectBody);
}

/* ---- Faults, resets and a shortage at once ---- */

static RESET_PLACE RacePlace;
static PEPROCESS RaceProcess;
static ULONG64 RaceTurns;
static volatile LONG RaceWrong;

/* A word is what its thread wrote last, or zero after a reset; other threads' words are not its business. */
static VOID RaceBody(ULONG Number)
{
    ULONG64 Seed = Number + 1;
    KAPC_STATE State;

    KeStackAttachProcess((PVOID)RaceProcess, &State);
    for (ULONG64 Turn = 1; Turn <= RaceTurns; Turn++) {
        ULONG64 Page = TestRandom(&Seed) % RESET_PAGES, Value = 0;
        PUCHAR Word = (PUCHAR)PageAt(&RacePlace, Page) + Number * sizeof(ULONG64);

        switch (TestRandom(&Seed) % 4) {
        case 0:
            Reset(PageAt(&RacePlace, Page), (TestRandom(&Seed) % 8 + 1) * PAGE_SIZE, MEM_RESET);
            break;
        case 1:
            TakeFrame(&RacePlace, Page);
            break;
        case 2:
            Reset(PageAt(&RacePlace, Page), PAGE_SIZE, MEM_RESET_UNDO);
            break;
        default:
            if (!NT_SUCCESS(TestWrite(Word, Number + 1)) || !NT_SUCCESS(TestRead(Word, &Value)) ||
                (Value != 0 && Value != Number + 1)) {
                InterlockedIncrement(&RaceWrong);
            }
        }
    }
    KeUnstackDetachProcess(&State);
}

static VOID ResetRace(PKTAP_CONTEXT Ktap)
{
    ULONG Threads = TestRacers();
    KAPC_STATE State;
    BOOLEAN Filled;

    RaceProcess = KTAP_WHOLE(TestCreateProcess());
    KTAP_CHECK(RaceProcess != NULL);
    RaceTurns = max(KtapIterations(20000) / Threads, 1);
    RaceWrong = 0;
    KeStackAttachProcess((PVOID)RaceProcess, &State);
    Filled = KTAP_WHOLE(Fill(&RacePlace, RaceProcess));
    for (ULONG64 Page = 0; Page < RESET_PAGES && Filled; Page++) {
        Filled = NT_SUCCESS(TestWrite(PageAt(&RacePlace, Page), 0));
    }
    KeUnstackDetachProcess(&State);
    KTAP_CHECK(Filled);
    KTAP_CHECK(KTAP_WHOLE(TestParallel(Threads, RaceBody)));
    KTAP_EQUAL(RaceWrong, 0);
    KTAP_EQUAL(MiVerify(), 0);
    TestDeleteProcess(RaceProcess);
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"keep", ResetKeep}, {"lose", ResetLose},       {"squeeze", ResetSqueeze},
    {"stay", ResetStay}, {"protect", ResetProtect}, {"race", ResetRace},
};
KTAP_SUITE(MmResetSuite, "mm.reset", Cases);
