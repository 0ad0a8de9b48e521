/*
 * test_memmap.c - memory maps as firmware writes them, and worse, through the loader's normaliser.
 *
 * Each case gives ranges and the exact descriptors they must become. The random case compares with an oracle that knows nothing of
 * intervals: it paints one byte array per page-sized toy memory and derives the rule from the bytes.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "../../src/boot/memmap.c"

#define MAXIMUM  64
#define TERABYTE (1ULL << 40)

static LOADER_MEMORY_DESCRIPTOR Map[4 * MAXIMUM];

static uint32_t Normalize(const MEMORY_RANGE *Ranges, uint32_t Count)
{
    uint64_t *Scratch = malloc((MEMMAP_SCRATCH(Count) + 1) * sizeof(uint64_t));
    uint32_t Result = MemNormalize(Ranges, Count, Scratch, Map, 4 * MAXIMUM);

    free(Scratch);
    return Result;
}

static void Expect(const MEMORY_RANGE *Ranges, uint32_t Count, const LOADER_MEMORY_DESCRIPTOR *Expected,
                   uint32_t ExpectedCount)
{
    assert_int_equal(Normalize(Ranges, Count), ExpectedCount);
    for (uint32_t Index = 0; Index < ExpectedCount; Index++) {
        assert_int_equal(Map[Index].BasePage, Expected[Index].BasePage);
        assert_int_equal(Map[Index].PageCount, Expected[Index].PageCount);
        assert_int_equal(Map[Index].Type, Expected[Index].Type);
    }
}

#define EXPECT(...)                                                                                                    \
    do {                                                                                                               \
        const LOADER_MEMORY_DESCRIPTOR Wanted[] = {__VA_ARGS__};                                                       \
        Expect(Given, sizeof(Given) / sizeof(Given[0]), Wanted, sizeof(Wanted) / sizeof(Wanted[0]));                   \
    } while (0)

static void AnEmptyMapGivesNothing(void **State)
{
    assert_int_equal(Normalize(0, 0), 0);
}

static void UnsortedRangesAreSorted(void **State)
{
    const MEMORY_RANGE Given[] = {
        {0x500000, 0x1000, LoaderFree}, {0x1000, 0x1000, LoaderFree}, {0x3000, 0x2000, LoaderReserved}};

    EXPECT({1, 1, LoaderFree}, {3, 2, LoaderReserved}, {0x500, 1, LoaderFree});
}

static void AdjacentRangesOfOneTypeMerge(void **State)
{
    const MEMORY_RANGE Given[] = {
        {0x3000, 0x1000, LoaderFree}, {0x1000, 0x2000, LoaderFree}, {0x4000, 0x1000, LoaderAcpiNvs}};

    EXPECT({1, 3, LoaderFree}, {4, 1, LoaderAcpiNvs});
}

static void ReservedWinsOverFree(void **State)
{
    const MEMORY_RANGE Given[] = {{0, 0x10000, LoaderFree}, {0x4000, 0x2000, LoaderReserved}, {0, 0x10000, LoaderFree}};

    EXPECT({0, 4, LoaderFree}, {4, 2, LoaderReserved}, {6, 10, LoaderFree});
}

static void AFreeRangeInsideReservedIsReserved(void **State)
{
    const MEMORY_RANGE Given[] = {{0x4000, 0x1000, LoaderFree}, {0, 0x10000, LoaderReserved}};

    EXPECT({0, 16, LoaderReserved});
}

static void FreeRoundsInwardReservedOutward(void **State)
{
    const MEMORY_RANGE Given[] = {{0x1001, 0x3FFE, LoaderFree}, {0x8FFF, 2, LoaderReserved}};

    EXPECT({2, 2, LoaderFree}, {8, 2, LoaderReserved});
}

static void TheTextbookHoleBelowOneMegabyte(void **State)
{
    const MEMORY_RANGE Given[] = {
        {0, 0x9FC00, LoaderFree},          {0x9FC00, 0x400, LoaderReserved},     {0xF0000, 0x10000, LoaderReserved},
        {0x100000, 0x7EE0000, LoaderFree}, {0x7FE0000, 0x20000, LoaderReserved}, {0xFFFC0000, 0x40000, LoaderReserved}};

    EXPECT({0, 0x9F, LoaderFree}, {0x9F, 1, LoaderReserved}, {0xF0, 0x10, LoaderReserved}, {0x100, 0x7EE0, LoaderFree},
           {0x7FE0, 0x20, LoaderReserved}, {0xFFFC0, 0x40, LoaderReserved});
}

static void TwoFreeRangesThatMeetInsideAPageGiveThatPage(void **State)
{
    const MEMORY_RANGE Given[] = {{0x1000, 0x800, LoaderFree}, {0x1800, 0x1800, LoaderFree}};

    EXPECT({1, 2, LoaderFree});
}

static void APagePartlyModuleStaysTaken(void **State)
{
    const MEMORY_RANGE Given[] = {{0, 0x8000, LoaderFree}, {0x2000, 0x1234, LoaderTemporary}};

    EXPECT({0, 2, LoaderFree}, {2, 2, LoaderTemporary}, {4, 4, LoaderFree});
}

static void AnAcpiPageThatIsPartlyAHoleNeverBecomesRam(void **State)
{
    const MEMORY_RANGE Given[] = {{0x1000, 0x1800, LoaderAcpiReclaim}};

    EXPECT({1, 1, LoaderAcpiReclaim}, {2, 1, LoaderReserved});
}

static void EmptyRangesVanish(void **State)
{
    const MEMORY_RANGE Given[] = {
        {0x1000, 0, LoaderReserved}, {0x1000, 0x1000, LoaderFree}, {0x1800, 0, LoaderReserved}};

    EXPECT({1, 1, LoaderFree});
}

static void RamThatWrapsAroundIsNotBelieved(void **State)
{
    const MEMORY_RANGE Given[] = {{0x1000, 0x1000, LoaderFree},
                                  {0xFFFFFFFFFFFFF000ULL, 0x5000, LoaderFree},
                                  {0x8000, 0xFFFFFFFFFFFFF000ULL, LoaderFree}};

    EXPECT({1, 1, LoaderFree});
}

static void ReservedThatWrapsAroundGoesToTheEnd(void **State)
{
    const MEMORY_RANGE Given[] = {{0x1000, 0x4000, LoaderFree}, {0x3000, 0xFFFFFFFFFFFFFFFFULL, LoaderReserved}};

    EXPECT({1, 2, LoaderFree}, {3, (MEMMAP_PHYSICAL_END >> 12) - 3, LoaderReserved});
}

static void RamAboveOneTerabyteCounts(void **State)
{
    const MEMORY_RANGE Given[] = {{2 * TERABYTE, 0x10000, LoaderFree}, {0xFD00000000, 0x300000000, LoaderReserved}};

    EXPECT({0xFD00000, 0x300000, LoaderReserved}, {2 * TERABYTE >> 12, 16, LoaderFree});
}

static void RamBeyondTheFrameNumbersIsLeftOut(void **State)
{
    const MEMORY_RANGE Given[] = {{(MEMMAP_FRAME_LIMIT << 12) - 0x2000, 0x5000, LoaderFree}};

    EXPECT({MEMMAP_FRAME_LIMIT - 2, 2, LoaderFree});
}

static void UnknownTypesAreIgnored(void **State)
{
    const MEMORY_RANGE Given[] = {
        {0x1000, 0x1000, LoaderMemoryTypeMax}, {0x2000, 0x1000, 0}, {0x3000, 0x1000, LoaderFree}};

    EXPECT({3, 1, LoaderFree});
}

static void TooSmallAnArrayIsReported(void **State)
{
    const MEMORY_RANGE Given[] = {{0x1000, 0x1000, LoaderFree}, {0x3000, 0x1000, LoaderFree}};
    uint64_t Scratch[MEMMAP_SCRATCH(2)];

    assert_int_equal(MemNormalize(Given, 2, Scratch, Map, 1), MEMMAP_OVERFLOW);
}

/* ---- Random maps against a painted toy memory ---- */

#define TOY_PAGES 24
#define TOY_BYTES (TOY_PAGES * 4096)

static uint8_t Paint[TOY_BYTES];

static uint32_t OracleType(uint32_t Page)
{
    uint32_t Best = 0, Holes = 0;

    for (uint32_t Byte = 0; Byte < 4096; Byte++) {
        uint8_t Type = Paint[Page * 4096 + Byte];

        Holes += Type == 0;
        if (Type != 0 && (Best == 0 || TypeRank[Type] > TypeRank[Best])) {
            Best = Type;
        }
    }
    if (Holes == 0 || Best == 0 || Best == LoaderReserved || Best == LoaderBad || Best == LoaderAcpiNvs ||
        Best == LoaderFirmwareRuntime || Best == LoaderFramebuffer) {
        return Best;
    }
    return Best == LoaderAcpiReclaim ? LoaderReserved : 0;
}

static void RandomMapsAgreeWithAPaintedMemory(void **State)
{
    srand(1);
    for (int Round = 0; Round < 2000; Round++) {
        MEMORY_RANGE Given[12];
        uint32_t Ranges = 1 + (uint32_t)rand() % 12;
        uint32_t Count, At = 0;

        memset(Paint, 0, sizeof(Paint));
        for (uint32_t Index = 0; Index < Ranges; Index++) {
            uint32_t Base = (uint32_t)rand() % TOY_BYTES, Length = (uint32_t)rand() % (TOY_BYTES - Base);

            if (rand() % 2 != 0) {
                Base &= ~0x3FFu;
                Length &= ~0x3FFu;
            }
            Given[Index] = (MEMORY_RANGE){Base, Length, 1 + (uint32_t)rand() % (LoaderMemoryTypeMax - 1)};
            for (uint32_t Byte = Base; Byte < Base + Length; Byte++) {
                if (Paint[Byte] == 0 || TypeRank[Given[Index].Type] > TypeRank[Paint[Byte]]) {
                    Paint[Byte] = (uint8_t)Given[Index].Type;
                }
            }
        }
        Count = Normalize(Given, Ranges);
        for (uint32_t Page = 0; Page < TOY_PAGES; Page++) {
            uint32_t Want = OracleType(Page), Got = 0;

            while (At < Count && Map[At].BasePage + Map[At].PageCount <= Page) {
                At++;
            }
            if (At < Count && Map[At].BasePage <= Page) {
                Got = Map[At].Type;
            }
            /* Types of one rank are the loader's own placements; they never overlap in earnest, and either may win. */
            assert_int_equal(Got != 0 ? TypeRank[Got] : 0, Want != 0 ? TypeRank[Want] : 0);
        }
        for (uint32_t Index = 0; Index + 1 < Count; Index++) {
            uint64_t End = Map[Index].BasePage + Map[Index].PageCount;

            assert_true(Map[Index].PageCount != 0 && End <= Map[Index + 1].BasePage);
            assert_false(End == Map[Index + 1].BasePage && Map[Index].Type == Map[Index + 1].Type);
        }
    }
}

/* ---- Allocation ---- */

static uint64_t PagesOfType(uint32_t Count, uint32_t Type)
{
    uint64_t Pages = 0;

    for (uint32_t Index = 0; Index < Count; Index++) {
        Pages += Map[Index].Type == Type ? Map[Index].PageCount : 0;
    }
    return Pages;
}

static void AllocationTakesTheTopBelowTheLimit(void **State)
{
    const MEMORY_RANGE Given[] = {
        {0x1000, 0x100000, LoaderFree}, {0x200000, 0x10000, LoaderFree}, {0x400000, 0x10000, LoaderFree}};
    uint32_t Count = Normalize(Given, 3);

    assert_int_equal(MemAllocate(Map, &Count, MAXIMUM, 2, 0x300, LoaderPageTable), 0x20E);
    assert_int_equal(MemAllocate(Map, &Count, MAXIMUM, 1, 0x300, LoaderPageTable), 0x20D);
    assert_int_equal(Count, 4); /* the two allocations merged */
    assert_int_equal(PagesOfType(Count, LoaderPageTable), 3);
    assert_int_equal(MemAllocate(Map, &Count, MAXIMUM, 0x40, 0x300, LoaderKernelImage), 0xC1);
    assert_int_equal(MemAllocate(Map, &Count, MAXIMUM, 0x1000, 0x300, LoaderKernelImage), 0);
}

static void AllocationSplitsARunAtTheLimit(void **State)
{
    const MEMORY_RANGE Given[] = {{0x100000, 0x100000, LoaderFree}};
    uint32_t Count = Normalize(Given, 1);

    assert_int_equal(MemAllocate(Map, &Count, MAXIMUM, 4, 0x180, LoaderPageTable), 0x17C);
    assert_int_equal(Count, 3);
    assert_int_equal(Map[0].PageCount, 0x7C);
    assert_int_equal(Map[2].BasePage, 0x180);
    assert_int_equal(Map[2].Type, LoaderFree);
}

static void AWholeRunMayBeTaken(void **State)
{
    const MEMORY_RANGE Given[] = {
        {0x100000, 0x2000, LoaderFree}, {0x102000, 0x1000, LoaderPageTable}, {0xFF000, 0x1000, LoaderPageTable}};
    uint32_t Count = Normalize(Given, 3);

    assert_int_equal(MemAllocate(Map, &Count, MAXIMUM, 2, 0x1000, LoaderPageTable), 0x100);
    assert_int_equal(Count, 1);
    assert_int_equal(Map[0].BasePage, 0xFF);
    assert_int_equal(Map[0].PageCount, 4);
    assert_int_equal(MemAllocate(Map, &Count, MAXIMUM, 1, 0x1000, LoaderPageTable), 0);
}

static void AFullMapRefusesInsteadOfOverflowing(void **State)
{
    const MEMORY_RANGE Given[] = {{0x100000, 0x2000, LoaderFree}};
    uint32_t Count = Normalize(Given, 1);

    assert_int_equal(MemAllocate(Map, &Count, 1, 1, 0x1000, LoaderPageTable), 0);
    assert_int_equal(Map[0].PageCount, 2);
}

int main(void)
{
    const struct CMUnitTest Tests[] = {
        cmocka_unit_test(AnEmptyMapGivesNothing),
        cmocka_unit_test(UnsortedRangesAreSorted),
        cmocka_unit_test(AdjacentRangesOfOneTypeMerge),
        cmocka_unit_test(ReservedWinsOverFree),
        cmocka_unit_test(AFreeRangeInsideReservedIsReserved),
        cmocka_unit_test(FreeRoundsInwardReservedOutward),
        cmocka_unit_test(TheTextbookHoleBelowOneMegabyte),
        cmocka_unit_test(TwoFreeRangesThatMeetInsideAPageGiveThatPage),
        cmocka_unit_test(APagePartlyModuleStaysTaken),
        cmocka_unit_test(AnAcpiPageThatIsPartlyAHoleNeverBecomesRam),
        cmocka_unit_test(EmptyRangesVanish),
        cmocka_unit_test(RamThatWrapsAroundIsNotBelieved),
        cmocka_unit_test(ReservedThatWrapsAroundGoesToTheEnd),
        cmocka_unit_test(RamAboveOneTerabyteCounts),
        cmocka_unit_test(RamBeyondTheFrameNumbersIsLeftOut),
        cmocka_unit_test(UnknownTypesAreIgnored),
        cmocka_unit_test(TooSmallAnArrayIsReported),
        cmocka_unit_test(RandomMapsAgreeWithAPaintedMemory),
        cmocka_unit_test(AllocationTakesTheTopBelowTheLimit),
        cmocka_unit_test(AllocationSplitsARunAtTheLimit),
        cmocka_unit_test(AWholeRunMayBeTaken),
        cmocka_unit_test(AFullMapRefusesInsteadOfOverflowing),
    };

    return cmocka_run_group_tests(Tests, 0, 0);
}
