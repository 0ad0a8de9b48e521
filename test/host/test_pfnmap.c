/*
 * test_pfnmap.c - which frames are RAM, and what their PFN database costs, on synthetic memory maps.
 *
 * Holes, reserved ranges of more than a terabyte, islands, 6 GB machines and random maps. An oracle that looks at each
 * frame, and at each page of the database, alone says what must be backed: not a page less, not a page more.
 */
#define ORIEL_HOST 1
#include "mm/frames/pfnmap.c"

#include <setjmp.h>
#include <cmocka.h>

#define TERABYTE_FRAMES ((1ULL << 40) >> 12)

MMPFN *HostDatabase;

/* ---- The plan ---- */

#define PLAN_MAX 100000

static struct {
    ULONG64 Offset;
    BOOLEAN Large;
} Plan[PLAN_MAX];
static ULONG PlanCount;

static VOID NotePage(PVOID Context, ULONG64 Offset, BOOLEAN Large)
{
    assert_true(PlanCount < PLAN_MAX);
    assert_int_equal(Offset % (Large ? MM_LARGE_PAGE : MM_PAGE_SIZE), 0);
    if (PlanCount != 0) { /* ascending, never overlapping */
        assert_true(Offset >= Plan[PlanCount - 1].Offset + (Plan[PlanCount - 1].Large ? MM_LARGE_PAGE : MM_PAGE_SIZE));
    }
    Plan[PlanCount].Offset = Offset;
    Plan[PlanCount++].Large = Large;
}

static ULONG64 MakePlan(const LOADER_MEMORY_DESCRIPTOR *Map, ULONG Count)
{
    ULONG64 LeftOut = MiCollectRamRuns(Map, Count);

    PlanCount = 0;
    MiPlanPfnDatabase(NotePage, NULL);
    return LeftOut;
}

static ULONG64 PlanBytes(VOID)
{
    ULONG64 Bytes = 0;

    for (ULONG Index = 0; Index < PlanCount; Index++) {
        Bytes += Plan[Index].Large ? MM_LARGE_PAGE : MM_PAGE_SIZE;
    }
    return Bytes;
}

static BOOLEAN PlanCovers(PFN_FRAME Frame)
{
    ULONG64 Byte = Frame * sizeof(MMPFN);

    for (ULONG Index = 0; Index < PlanCount; Index++) {
        if (Byte - Plan[Index].Offset < (Plan[Index].Large ? MM_LARGE_PAGE : MM_PAGE_SIZE)) {
            return TRUE;
        }
    }
    return FALSE;
}

/* Every planned page holds an entry of RAM, a large one only such entries. */
static VOID CheckNoWaste(VOID)
{
    for (ULONG Index = 0; Index < PlanCount; Index++) {
        PFN_FRAME First = Plan[Index].Offset / sizeof(MMPFN);
        ULONG Entries = (Plan[Index].Large ? MM_LARGE_PAGE : MM_PAGE_SIZE) / sizeof(MMPFN), Ram = 0;

        for (ULONG Entry = 0; Entry < Entries; Entry++) {
            Ram += MiIsRamFrame(First + Entry);
        }
        assert_true(Plan[Index].Large ? Ram == Entries : Ram != 0);
    }
}

#define MB(n) ((n) * 256ULL) /* frames */
#define GB(n) (MB(n) * 1024)

static void TestPlanSixGigabytes(void **State)
{
    static const LOADER_MEMORY_DESCRIPTOR Map[] = {
        {0, 0x9F, LoaderFree},
        {0x9F, 1, LoaderReserved},
        {0xF0, 16, LoaderReserved},
        {MB(1), MB(7), LoaderKernelImage},
        {MB(8), GB(3) - MB(8) - 32, LoaderFree},
        {GB(3) - 32, 32, LoaderReserved},
        {GB(4), GB(3), LoaderFree},
    };

    assert_int_equal(MakePlan(Map, RTL_NUMBER_OF(Map)), 0);
    assert_int_equal(MiRamRunCount, 3);
    assert_int_equal(MiRamFrames, 0x9F + GB(3) - 32 - MB(1) + GB(3));
    assert_int_equal(MiHighestFrame, GB(7) - 1);
    CheckNoWaste();
    assert_true(PlanCovers(0) && PlanCovers(0x9E) && PlanCovers(MB(1)) && PlanCovers(GB(4)) && PlanCovers(GB(7) - 1));
    assert_false(PlanCovers(GB(3) + 128) || PlanCovers(GB(4) - 1) || PlanCovers(GB(7)));
    /* 11 whole quarters of the lower 3 GB are large less the first and last, and all 12 of the upper */
    assert_true(PlanBytes() <= MiRamFrames * sizeof(MMPFN) + 6 * MM_PAGE_SIZE);
}

/* A terabyte of reserved ranges and two terabytes of nothing cost nothing. */
static void TestPlanHolesAreFree(void **State)
{
    static const LOADER_MEMORY_DESCRIPTOR Plain[] = {{MB(1), MB(511), LoaderFree},
                                                     {2 * TERABYTE_FRAMES, 256, LoaderFree}};
    static const LOADER_MEMORY_DESCRIPTOR Full[] = {
        {0, 256, LoaderReserved},
        {MB(1), MB(511), LoaderFree},
        {MB(512), TERABYTE_FRAMES, LoaderReserved},
        {TERABYTE_FRAMES + GB(4), 1, LoaderFramebuffer},
        {TERABYTE_FRAMES + GB(5), GB(64), LoaderAcpiNvs},
        {2 * TERABYTE_FRAMES, 256, LoaderFree},
        {2 * TERABYTE_FRAMES + 256, TERABYTE_FRAMES, LoaderFirmwareRuntime},
        {3 * TERABYTE_FRAMES + 256, TERABYTE_FRAMES / 2, 99 /* a type of the future */},
    };
    ULONG64 Bytes;

    MakePlan(Plain, RTL_NUMBER_OF(Plain));
    Bytes = PlanBytes();
    MakePlan(Full, RTL_NUMBER_OF(Full));
    assert_int_equal(PlanBytes(), Bytes);
    assert_int_equal(MiRamFrames, MB(511) + 256);
    assert_true(Bytes <= MiRamFrames * sizeof(MMPFN) + 4 * MM_PAGE_SIZE);
    CheckNoWaste();
    assert_false(MiIsRamFrame(TERABYTE_FRAMES) || MiIsRamFrame(2 * TERABYTE_FRAMES + 256) || MiIsRamFrame(0));
    assert_true(MiIsRamFrame(2 * TERABYTE_FRAMES) && MiIsRamFrame(2 * TERABYTE_FRAMES + 255));
}

static void TestPlanLimits(void **State)
{
    static LOADER_MEMORY_DESCRIPTOR Many[2 * MI_MAXIMUM_RUNS];
    static const LOADER_MEMORY_DESCRIPTOR High[] = {
        {MB(1), MB(1), LoaderFree},
        {0xFFFFFFF0ULL, 0x100, LoaderFree}, /* crosses 16 TB */
        {0x100000000ULL, GB(1), LoaderFree},
    };

    assert_int_equal(MakePlan(NULL, 0), 0);
    assert_int_equal(PlanCount, 0);
    assert_false(MiIsRamFrame(0));
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Many); Index++) {
        Many[Index] = (LOADER_MEMORY_DESCRIPTOR){Index * 10ULL, 3, LoaderFree};
    }
    assert_int_equal(MakePlan(Many, RTL_NUMBER_OF(Many)), 3 * MI_MAXIMUM_RUNS);
    assert_int_equal(MiRamFrames, 3 * MI_MAXIMUM_RUNS);
    assert_int_equal(MakePlan(High, RTL_NUMBER_OF(High)), 0xF1 + GB(1));
    assert_int_equal(MiHighestFrame, 0xFFFFFFFEULL);
}

static ULONG64 RandomState = 0x2545F4914F6CDD1DULL;

static ULONG Random(ULONG Limit)
{
    RandomState ^= RandomState << 13;
    RandomState ^= RandomState >> 7;
    RandomState ^= RandomState << 17;
    return (ULONG)(RandomState >> 16) % Limit;
}

/* Random maps of up to 2 GB against an oracle that asks for each frame, and for each page of the database, alone. */
static void TestPlanRandom(void **State)
{
    const ULONG Frames = GB(2);
    static UCHAR Ram[GB(2) + 1];
    static const UCHAR Types[] = {LoaderFree, LoaderReserved, LoaderTemporary, LoaderBad, LoaderAcpiNvs, LoaderFree};

    for (ULONG Round = 0; Round < 12; Round++) {
        LOADER_MEMORY_DESCRIPTOR Map[64];
        ULONG Count = 0, Frame = Random(300);
        ULONG64 Bytes = 0;

        memset(Ram, 0, sizeof(Ram));
        while (Count < 64 && Frame < Frames) {
            ULONG Pages = 1 + (Random(3) == 0 ? Random(200000) : Random(700));
            UCHAR Type = Types[Random(sizeof(Types))];

            Pages = min(Pages, Frames - Frame);
            Map[Count++] = (LOADER_MEMORY_DESCRIPTOR){Frame, Pages, Type};
            memset(Ram + Frame, MiIsRamType(Type), Pages);
            Frame += Pages + (Random(2) ? Random(400) : 0);
        }
        assert_int_equal(MakePlan(Map, Count), 0);
        CheckNoWaste();
        for (Frame = 0; Frame <= Frames; Frame++) {
            assert_int_equal(MiIsRamFrame(Frame), Ram[Frame]);
        }
        /* the cost: each 4 KB page of entries that has any RAM, once */
        for (Frame = 0; Frame < Frames; Frame += 128) {
            Bytes += memchr(Ram + Frame, 1, 128) != NULL ? MM_PAGE_SIZE : 0;
        }
        assert_int_equal(PlanBytes(), Bytes);
    }
}

int main(void)
{
    const struct CMUnitTest Tests[] = {
        cmocka_unit_test(TestPlanSixGigabytes),
        cmocka_unit_test(TestPlanHolesAreFree),
        cmocka_unit_test(TestPlanLimits),
        cmocka_unit_test(TestPlanRandom),
    };

    return cmocka_run_group_tests(Tests, NULL, NULL);
}
