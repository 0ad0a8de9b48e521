/*
 * test_pfn.c - the frame state machine against a model.
 *
 * A long random walk over all arrows with a fixed seed; again and again every frame's state, list, counts and owner PTE
 * must be what a plain model says. The database is one sparse mapping of its full 128 GB, so frame numbers above a
 * terabyte are real indexes.
 */
#define ORIEL_HOST 1
#include "mm/frames/pfnmap.c"
#include "mm/frames/pfnlist.c"
#include "mm/frames/pfn.c"

#include <setjmp.h>
#include <cmocka.h>
#include <sys/mman.h>

#define TERABYTE_FRAMES ((1ULL << 40) >> 12)

MMPFN *HostDatabase;
static BOOLEAN Locked = TRUE;
static ULONG64 Zeroings, Forgets, PrototypesLost;

BOOLEAN MiIsPfnLocked(VOID)
{
    return Locked;
}

VOID MiZeroFrame(PFN_FRAME Frame)
{
    Zeroings++;
}

VOID MiForgetStaleTranslations(PMMPFN Pfn)
{
    Forgets++;
    MiPfnChange(Pfn, MI_U4_EPOCH, 0);
}

/* No processor keeps frames for itself here. */
BOOLEAN MiStashFreeFrame(PFN_FRAME Frame)
{
    return FALSE;
}

VOID MiDrainStashes(VOID)
{
}

/* Sections count their frames; what matters here is that each loss is told once. */
VOID MiPrototypeFrameLost(MMPTE Original)
{
    PrototypesLost++;
}

VOID MiWritePteInFrame(ULONG PteFrame, PMMPTE Pte, MMPTE New)
{
    /* the page that contains the PTE is held by the share of the very PTE that is written */
    assert_true(PteFrame == MI_NO_FRAME32 || MiPfn(PteFrame)->u1.ShareCount > 1);
    *Pte = New;
}

static ULONG64 RandomState = 0x2545F4914F6CDD1DULL;

static ULONG Random(ULONG Limit)
{
    RandomState ^= RandomState << 13;
    RandomState ^= RandomState >> 7;
    RandomState ^= RandomState << 17;
    return (ULONG)(RandomState >> 16) % Limit;
}

/* ---- The state machine ---- */

#define FIRST          (TERABYTE_FRAMES + 5) /* the frames under test lie above 1 TB */
#define FRAMES         300
#define PAGES          4 /* prototype pages among them: the first ones */
#define PTES           (PAGES * 40)
#define NOBODY         0xFFFF
#define PTE_VALID_HOST 1ULL

static MMPTE Ptes[PTES];

static struct {
    ULONG State;
    ULONG Pte; /* owner, NOBODY: none */
    ULONG Shares, References;
    BOOLEAN Modified, Reading, Failed, Deleted;
} Model[FRAMES];
static ULONG64 ContainerShares[PAGES];

static PFN_FRAME PageOf(ULONG Pte)
{
    return FIRST + Pte / (PTES / PAGES);
}

static MMPTE OriginalOf(ULONG Pte)
{
    return MiMakeProtoPte((void *)(0xFFFFF8A000000000ULL + Pte * 64), MM_READONLY);
}

static void Begin(void)
{
    static const LOADER_MEMORY_DESCRIPTOR Map[] = {{FIRST, FRAMES, LoaderFree}};
    static const MMPTE None;

    MiCollectRamRuns(Map, 1);
    MiInitializeLists();
    memset(Model, 0, sizeof(Model));
    memset(MiPfn(FIRST), 0, FRAMES * sizeof(MMPFN));
    for (ULONG Index = FRAMES; Index-- != 0;) {
        MiPfnChange(MiPfn(FIRST + Index), ~0ULL, MI_NO_FRAME32 | ((ULONG64)MiTransition << MI_U4_STATE_SHIFT));
        MiInsertListHead(MiListFree, FIRST + Index);
        Model[Index].State = MiFree;
        Model[Index].Pte = NOBODY;
    }
    for (ULONG Index = 0; Index < PTES; Index++) {
        Ptes[Index] = OriginalOf(Index);
    }
    for (ULONG Index = 0; Index < PAGES; Index++) {
        assert_int_equal(MiAllocateFrame(MI_FRAME_ANY), FIRST + Index);
        MiInitializePfn(FIRST + Index, NULL, MI_NO_FRAME32, None, 0);
        Model[Index].State = MiActive;
        Model[Index].Shares = Model[Index].References = 1;
        ContainerShares[Index] = 0;
    }
}

static ULONG64 Walk(MI_LIST_INDEX List)
{
    ULONG Before = MI_NO_FRAME32;
    ULONG64 Length = 0;

    for (ULONG Frame = MiLists[List].Head; Frame != MI_NO_FRAME32; Frame = MiPfn(Frame)->u1.Flink) {
        assert_int_equal(MiPfn(Frame)->u1.Blink, Before);
        assert_int_equal(MiPfnState(MiPfn(Frame)), MiLists[List].State);
        Before = Frame;
        assert_true(++Length <= FRAMES);
    }
    assert_int_equal(MiLists[List].Tail, Before);
    assert_int_equal(MiLists[List].Count, Length);
    return Length;
}

static void CheckAll(void)
{
    ULONG64 Listed = 0, Unlisted = 0, Available = 0;

    for (ULONG List = 0; List < MiListMax; List++) {
        ULONG64 Length = Walk(List);

        Listed += Length;
        Available += List == MiListFree || List == MiListZeroed || List >= MiListStandby0 ? Length : 0;
    }
    assert_int_equal(MiAvailableFrames, Available);
    for (ULONG Index = 0; Index < FRAMES; Index++) {
        PMMPFN Pfn = MiPfn(FIRST + Index);

        assert_int_equal(MiPfnState(Pfn), Model[Index].State);
        assert_int_equal(MiPfnReferences(Pfn), Model[Index].References);
        Unlisted += Model[Index].State == MiActive || Model[Index].State == MiTransition;
        if (Model[Index].State == MiActive) {
            assert_int_equal(Pfn->u1.ShareCount, Model[Index].Shares + (Index < PAGES ? ContainerShares[Index] : 0));
        }
        if (Model[Index].Pte != NOBODY && Model[Index].State != MiActive && !Model[Index].Deleted) {
            MMPTE Pte = Ptes[Model[Index].Pte];

            assert_true(MiIsTransitionPte(Pte) && MiTransitionFrame(Pte) == FIRST + Index);
        }
    }
    assert_int_equal(Listed + Unlisted, FRAMES);
}

/* The model's side of a frame losing its last reference. */
static void ModelSettle(ULONG Index)
{
    if (Model[Index].References != 0) {
        Model[Index].State = MiTransition;
        return;
    }
    if (Model[Index].Deleted || Model[Index].Failed) {
        if (!Model[Index].Deleted) {
            ContainerShares[PageOf(Model[Index].Pte) - FIRST]--;
            assert_int_equal(Ptes[Model[Index].Pte].Long, OriginalOf(Model[Index].Pte).Long);
        }
        memset(&Model[Index], 0, sizeof(Model[Index]));
        Model[Index].State = MiFree;
        Model[Index].Pte = NOBODY;
    } else {
        Model[Index].State = Model[Index].Modified ? MiModified : MiStandby;
    }
}

static BOOLEAN PteIsFree(ULONG Pte)
{
    return Ptes[Pte].Long == OriginalOf(Pte).Long;
}

/* A frame for a PTE that has none: made at once, or by a read. */
static void StepFault(ULONG Pte, BOOLEAN Read)
{
    PFN_FRAME Frame;
    ULONG Index, Old, Flags;

    if (!PteIsFree(Pte)) {
        return;
    }
    Flags = (Random(2) ? MI_FRAME_ZEROED : MI_FRAME_ANY) | (Random(4) ? MI_FRAME_RESERVE : 0);
    Frame = MiAllocateFrame(Flags);
    if (Frame == 0) {
        assert_true(MiAvailableFrames <= (Flags & MI_FRAME_RESERVE ? 0 : MI_RESERVE_FRAMES));
        return;
    }
    Index = (ULONG)(Frame - FIRST);
    Old = Model[Index].Pte;
    if (Old != NOBODY) { /* repurposed: only standby may be, and its PTE has its own content back */
        assert_int_equal(Model[Index].State, MiStandby);
        assert_int_equal(MiLists[MiListFree].Count + MiLists[MiListZeroed].Count, 0);
        assert_int_equal(Ptes[Old].Long, OriginalOf(Old).Long);
        ContainerShares[PageOf(Old) - FIRST]--;
    }
    memset(&Model[Index], 0, sizeof(Model[Index]));
    Model[Index].Pte = Pte;
    Model[Index].References = 1;
    ContainerShares[PageOf(Pte) - FIRST]++;
    if (Read) {
        MiInitializePfnForRead(Frame, &Ptes[Pte], (ULONG)PageOf(Pte), OriginalOf(Pte), MI_U4_PROTOTYPE, &Model[Index]);
        Ptes[Pte] = MiMakeTransitionPte(Frame, MM_READONLY);
        Model[Index].State = MiTransition;
        Model[Index].Reading = TRUE;
    } else {
        MiInitializePfn(Frame, &Ptes[Pte], (ULONG)PageOf(Pte), OriginalOf(Pte), MI_U4_PROTOTYPE);
        Ptes[Pte] = MiMakeValidPte(Frame, PTE_VALID_HOST);
        Model[Index].State = MiActive;
        Model[Index].Shares = 1;
    }
}

static void StepActive(ULONG Index)
{
    PFN_FRAME Frame = FIRST + Index;

    switch (Random(6)) {
    case 0:
        if (!Model[Index].Deleted) {
            MiIncrementShareCount(Frame);
            Model[Index].Shares++;
        }
        break;
    case 1:
        if (Model[Index].References < 5) {
            assert_true(MiIncrementReferenceCount(Frame));
            Model[Index].References++;
        }
        break;
    case 2:
        MiSetModified(Frame);
        Model[Index].Modified = TRUE;
        break;
    case 3:
        if (!Model[Index].Deleted && Random(4) == 0) {
            MiDeletePfn(Frame);
            Ptes[Model[Index].Pte] = OriginalOf(Model[Index].Pte);
            ContainerShares[PageOf(Model[Index].Pte) - FIRST]--;
            Model[Index].Deleted = TRUE;
        }
        break;
    default:
        MiDecrementShareCount(Frame);
        if (--Model[Index].Shares == 0) {
            Model[Index].References--;
            ModelSettle(Index);
        }
    }
}

static void StepTransition(ULONG Index)
{
    PFN_FRAME Frame = FIRST + Index;

    if (Model[Index].Reading) {
        BOOLEAN Good = Random(4) != 0;

        MiCompletePfnRead(Frame, Good ? 0 : (NTSTATUS)0xC0000185);
        Model[Index].Reading = FALSE;
        Model[Index].Failed = !Good;
    } else if (Random(3) == 0 && !Model[Index].Failed && !Model[Index].Deleted) {
        MiUnlinkTransition(Frame);
        Ptes[Model[Index].Pte] = MiMakeValidPte(Frame, PTE_VALID_HOST);
        Model[Index].State = MiActive;
        Model[Index].Shares = 1;
        Model[Index].References++;
    } else {
        MiDecrementReferenceCount(Frame);
        Model[Index].References--;
        ModelSettle(Index);
    }
}

static void StepListed(ULONG Index)
{
    PFN_FRAME Frame = FIRST + Index;

    switch (Random(5)) {
    case 0:
        MiUnlinkTransition(Frame);
        Ptes[Model[Index].Pte] = MiMakeValidPte(Frame, PTE_VALID_HOST);
        Model[Index].State = MiActive;
        Model[Index].Shares = Model[Index].References = 1;
        break;
    case 1:
        MiSetModified(Frame);
        Model[Index].Modified = TRUE;
        Model[Index].State = MiModified;
        break;
    case 2:
        MiClearModified(Frame);
        Model[Index].Modified = FALSE;
        Model[Index].State = MiStandby;
        break;
    case 3:
        MiSetPfnPriority(Frame, Random(MI_STANDBY_LISTS));
        break;
    default:
        if (Random(4) == 0) {
            MiDeletePfn(Frame);
            Ptes[Model[Index].Pte] = OriginalOf(Model[Index].Pte);
            ContainerShares[PageOf(Model[Index].Pte) - FIRST]--;
            Model[Index].Deleted = TRUE;
            ModelSettle(Index);
        }
    }
}

static void TestStateMachine(void **State)
{
    ULONG64 Repurposed = MiStandbyRepurposed, Soft = MiSoftFaults;

    Begin();
    CheckAll();
    /* a quarter as many frames as PTEs want: shortage and repurposing both happen */
    while (MiAvailableFrames > PTES / 4) {
        PFN_FRAME Frame = MiAllocateFrame(MI_FRAME_ANY);

        MiInitializePfn(Frame, NULL, MI_NO_FRAME32, OriginalOf(0), 0);
        Model[Frame - FIRST].State = MiActive;
        Model[Frame - FIRST].Shares = Model[Frame - FIRST].References = 1;
    }
    for (ULONG Step = 0; Step < 200000; Step++) {
        MMPTE Pte = Ptes[Random(PTES)]; /* by its PTE, or any frame: deleted ones have no PTE left */
        PFN_FRAME Frame = Pte.Long & PTE_VALID_HOST ? MiPteFrame(Pte) : MiTransitionFrame(Pte);
        ULONG Index = MiIsPrototypePte(Pte) ? PAGES + Random(FRAMES - PAGES) : (ULONG)(Frame - FIRST);

        if (Random(3) == 0) {
            StepFault(Random(PTES), Random(2));
        } else if (Model[Index].Pte == NOBODY) {
            continue;
        } else if (Model[Index].State == MiActive) {
            StepActive(Index);
        } else if (Model[Index].State == MiTransition) {
            StepTransition(Index);
        } else {
            StepListed(Index);
        }
        if (Step % 16 == 0) {
            CheckAll();
        }
    }
    CheckAll();
    assert_true(MiSoftFaults > Soft + 200);
    assert_true(MiStandbyRepurposed > Repurposed + 1000);
}

/* With nothing free, the lowest priority is taken first, and its oldest frame; dirty frames are never taken. */
static void TestRepurposeOrder(void **State)
{
    static const ULONG Priorities[] = {5, 2, 7, 2, 0};
    static const ULONG Expected[] = {4, 1, 3, 0, 2};
    PFN_FRAME Frames[5], Dirty;
    ULONG64 Before = MiStandbyRepurposed, Lost = PrototypesLost;

    Begin();
    for (ULONG Index = 0; Index < 5; Index++) {
        Frames[Index] = MiAllocateFrame(MI_FRAME_ANY);
        MiInitializePfn(Frames[Index], &Ptes[Index], (ULONG)PageOf(Index), OriginalOf(Index), MI_U4_PROTOTYPE);
        MiSetPfnPriority(Frames[Index], Priorities[Index]);
    }
    Dirty = MiAllocateFrame(MI_FRAME_ANY);
    MiInitializePfn(Dirty, &Ptes[9], (ULONG)PageOf(9), OriginalOf(9), MI_U4_PROTOTYPE | MI_U4_MODIFIED);
    MiDecrementShareCount(Dirty);
    while (MiLists[MiListFree].Count != 0) {
        PFN_FRAME Frame = MiAllocateFrame(MI_FRAME_RESERVE);

        MiInitializePfn(Frame, NULL, MI_NO_FRAME32, OriginalOf(0), 0);
    }
    for (ULONG Index = 0; Index < 5; Index++) {
        MiDecrementShareCount(Frames[Index]);
    }
    assert_int_equal(MiAllocateFrame(MI_FRAME_ANY), 0); /* the rest is the reserve's */
    for (ULONG Index = 0; Index < 5; Index++) {
        PFN_FRAME Taken = MiAllocateFrame(MI_FRAME_RESERVE);

        assert_int_equal(Taken, Frames[Expected[Index]]);
        assert_int_equal(Ptes[Expected[Index]].Long, OriginalOf(Expected[Index]).Long);
    }
    assert_int_equal(MiAllocateFrame(MI_FRAME_RESERVE), 0);
    assert_int_equal(MiStandbyRepurposed, Before + 5);
    assert_int_equal(PrototypesLost, Lost + 5);
    assert_int_equal(MiPfnState(MiPfn(Dirty)), MiModified);
}

/* Zeroed frames are preferred when zero is asked for, spared when not; only others are zeroed. */
static void TestZeroedPreference(void **State)
{
    PFN_FRAME Zero;
    ULONG64 Before;

    Begin();
    Zero = MiRemoveListHead(MiListFree);
    MiInsertListTail(MiListZeroed, Zero);
    Before = Zeroings;
    assert_int_not_equal(MiAllocateFrame(MI_FRAME_ANY), Zero);
    assert_int_equal(MiAllocateFrame(MI_FRAME_ZEROED), Zero);
    assert_int_equal(Zeroings, Before);
    assert_int_not_equal(MiAllocateFrame(MI_FRAME_ZEROED), 0);
    assert_int_equal(Zeroings, Before + 1);
    assert_true(Forgets >= 3);
}

/* u4's fields are neighbours: changing one leaves the others, and the count does not spill. */
static void TestPacking(void **State)
{
    MMPFN Pfn = {.u4 = 0xA5A5A5A5A5A5A5A5ULL & ~MI_U4_REF};
    ULONG64 Others = Pfn.u4 & ~(MI_U4_REF | MI_U4_STATE);

    for (ULONG Count = 1; Count <= 0xFFFF; Count++) {
        assert_int_equal(MiPfnAddReferences(&Pfn, 1), Count);
    }
    MiPfnSetState(&Pfn, MiStandby);
    for (ULONG Count = 0xFFFF; Count-- != 0;) {
        assert_int_equal(MiPfnAddReferences(&Pfn, -1), Count);
    }
    assert_int_equal(MiPfnState(&Pfn), MiStandby);
    assert_int_equal(Pfn.u4 & ~(MI_U4_REF | MI_U4_STATE), Others);
    assert_int_equal(MI_U4_PTE_FRAME ^ MI_U4_REF ^ MI_U4_STATE ^ MI_U4_MODIFIED ^ MI_U4_READ ^ MI_U4_WRITE ^
                         MI_U4_PROTOTYPE ^ MI_U4_ERROR ^ MI_U4_CACHE ^ MI_U4_PRIORITY ^ MI_U4_EPOCH ^ MI_U4_STASHED,
                     ~0ULL);
}

int main(void)
{
    const struct CMUnitTest Tests[] = {
        cmocka_unit_test(TestStateMachine),
        cmocka_unit_test(TestRepurposeOrder),
        cmocka_unit_test(TestZeroedPreference),
        cmocka_unit_test(TestPacking),
    };

    HostDatabase = mmap(NULL, 128ULL << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (HostDatabase == MAP_FAILED) {
        return 1;
    }
    return cmocka_run_group_tests(Tests, NULL, NULL);
}
