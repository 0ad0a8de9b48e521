/*
 * mm_gap.c - suite mm.gap: the search for free addresses among many regions, in nodes looked at and against a plain walk.
 *
 * The tree is built of VADs without pages or charges, in a process that nobody runs in, and taken apart again. What a search costs is
 * counted in nodes; that each node knows what is below it is compared with a walk over all of them, by MiVerify too. The suite
 * owns nothing that outlives a case.
 */
#include "ketest.h"
#include "proctest.h"

#define GAP_VADS  20000
#define GAP_START 0x100000ULL /* VPN */

static PEPROCESS GapProcess;
static PMI_ADDRESS_SPACE Space;

static BOOLEAN Add(ULONG64 First, ULONG64 Last)
{
    PMI_VAD Vad = KTAP_WHOLE(MiCreateVad(MiVadPrivate, First, Last, MM_READWRITE));

    if (Vad != NULL) {
        ExAcquireFastMutex(&Space->AddressLock);
        ExAcquireFastMutex(&Space->WorkingSetLock);
        MiInsertVad(Space, Vad);
        ExReleaseFastMutex(&Space->WorkingSetLock);
        ExReleaseFastMutex(&Space->AddressLock);
    }
    return Vad != NULL;
}

static VOID Remove(PMI_VAD Vad)
{
    ExAcquireFastMutex(&Space->AddressLock);
    ExAcquireFastMutex(&Space->WorkingSetLock);
    MiRemoveVad(Space, Vad);
    ExReleaseFastMutex(&Space->WorkingSetLock);
    ExReleaseFastMutex(&Space->AddressLock);
    ExFreePoolWithTag(Vad, MI_TAG_VAD);
}

/* The answer by a walk over all ranges. */
static ULONG64 Walk(ULONG64 Pages, const MI_PLACE *Place, BOOLEAN TopDown)
{
    ULONG64 Align = Place->Alignment >> PAGE_SHIFT, Low = MI_VPN(Place->Lowest), End = MI_VPN(Place->Highest) + 1;
    ULONG64 From = 0, Found = 0;
    PMI_VAD Vad = NULL;

    do {
        ULONG64 To, Start;

        Vad = MiNextVad(Space, Vad);
        To = min(Vad == NULL ? End : Vad->StartVpn, End);
        Start = ALIGN_UP_BY(max(From, Low), Align);
        if (Start < To && To - Start >= Pages) {
            if (!TopDown) {
                return Start;
            }
            Found = ALIGN_DOWN_BY(To - Pages, Align);
        }
        From = Vad == NULL ? 0 : Vad->EndVpn + 1;
    } while (Vad != NULL);
    return Found;
}

/* Finds a gap and returns the nodes that it took; 0: it differs from the walk. */
static ULONG64 Visits(ULONG64 Pages, const MI_PLACE *Place, BOOLEAN TopDown)
{
    ULONG64 Before = MiGapVisits, Found = MiFindGap(Space, Pages, Place, TopDown), After = MiGapVisits;

    return Found == Walk(Pages, Place, TopDown) ? After - Before + 1 : 0;
}

static VOID WithSpace(PKTAP_CONTEXT Ktap, VOID (*Body)(PKTAP_CONTEXT Ktap))
{
    PMI_VAD Vad;

    GapProcess = KTAP_WHOLE(TestCreateProcess());
    KTAP_CHECK(GapProcess != NULL);
    Space = MiSpaceOf(GapProcess);
    Body(Ktap);
    KTAP_EQUAL(MiVerify(), 0);
    while ((Vad = MiNextVad(Space, NULL)) != NULL) {
        Remove(Vad);
    }
    TestDeleteProcess(GapProcess);
}

/* 20,000 regions of a page, 64 KB apart: what is too large for the gaps between them is found, or not, in a few dozen nodes. */
static VOID ManyBody(PKTAP_CONTEXT Ktap)
{
    MI_PLACE Place = {MI_LOWEST_USER, MI_HIGHEST_VAD, MI_GRANULARITY};
    ULONG64 Hole = GAP_START + 16 * (GAP_VADS / 3), Count, Most = 0;

    for (ULONG64 Index = 0; Index < GAP_VADS; Index++) {
        KTAP_CHECK(Add(GAP_START + 16 * Index + (Index >= GAP_VADS / 3 ? 64 : 0),
                       GAP_START + 16 * Index + (Index >= GAP_VADS / 3 ? 64 : 0)));
    }
    Place.Lowest = GAP_START << PAGE_SHIFT; /* below it all is free */
    KTAP_EQUAL(MiFindGap(Space, 64, &Place, FALSE), Hole);
    for (ULONG64 Pages = 1; Pages <= 65; Pages += 8) {
        for (ULONG Turn = 0; Turn < 2; Turn++) {
            Count = Visits(Pages, &Place, Turn != 0);
            KTAP_CHECK(Count != 0);
            Most = max(Most, Count);
        }
    }
    Place.Highest = ((GAP_START + 16 * (GAP_VADS + 4)) << PAGE_SHIFT) - 1; /* and nothing above the last of them */
    for (ULONG64 Pages = 1; Pages <= 65; Pages += 8) {
        for (ULONG Turn = 0; Turn < 2; Turn++) {
            Count = Visits(Pages, &Place, Turn != 0);
            KTAP_CHECK(Count != 0);
            Most = max(Most, Count);
        }
    }
    KTAP_CHECK(Most > 1);
    KTAP_CHECK(Most <= 3 * 16); /* the tree is at most 1.44 log2(20,000) = 21 high */
}

static VOID GapMany(PKTAP_CONTEXT Ktap)
{
    WithSpace(Ktap, ManyBody);
}

/* Regions of all sizes come, shrink and go; each answer is the walk's, for places and alignments of all kinds. */
static VOID RandomBody(PKTAP_CONTEXT Ktap)
{
    ULONG64 Seed = 4711, Turns = max(KtapIterations(4000), 100);

    for (ULONG64 Turn = 0; Turn < Turns; Turn++) {
        MI_PLACE Place = {(GAP_START + TestRandom(&Seed) % 4000) << PAGE_SHIFT, 0,
                          MI_GRANULARITY << (TestRandom(&Seed) % 8 == 0 ? 5 : 0)};
        ULONG64 Pages = TestRandom(&Seed) % 40 + 1, First = GAP_START + TestRandom(&Seed) % 8000;
        PMI_VAD Vad = MiFirstVadFrom(Space, First);

        Place.Highest = Place.Lowest + ((ULONG64)(TestRandom(&Seed) % 6000) << PAGE_SHIFT) + 0xFFF;
        KTAP_CHECK(Visits(Pages, &Place, FALSE) != 0);
        KTAP_CHECK(Visits(Pages, &Place, TRUE) != 0);
        if (TestRandom(&Seed) % 2 != 0) {
            if (Vad == NULL || Vad->StartVpn > First + Pages - 1) {
                KTAP_CHECK(Add(First, First + Pages - 1));
            }
        } else if (Vad != NULL && Vad->StartVpn != Vad->EndVpn && TestRandom(&Seed) % 2 != 0) {
            KIRQL Irql = MiLockPfn();

            MiResizeVad(Space, Vad, Vad->StartVpn + 1, Vad->EndVpn);
            MiUnlockPfn(Irql);
        } else if (Vad != NULL) {
            Remove(Vad);
        }
        if (Turn % 512 == 0) {
            KIRQL Irql = MiLockPfn();
            ULONG Wrong = MiVerifyGaps(Space);

            MiUnlockPfn(Irql);
            KTAP_EQUAL(Wrong, 0);
        }
    }
}

static VOID GapRandom(PKTAP_CONTEXT Ktap)
{
    WithSpace(Ktap, RandomBody);
}

static const KTAP_CASE_ENTRY Cases[] = {{"many", GapMany}, {"random", GapRandom}};
KTAP_SUITE(MmGapSuite, "mm.gap", Cases);
