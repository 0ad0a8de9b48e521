/*
 * rtlbitmap.c - suite for bitmaps: set, clear, count, find.
 *
 * The bitmap ends in the middle of a word whose other bits are set, so that a routine that counts or finds bits beyond the
 * size fails here. Ranges cross word boundaries at both ends.
 *
 * The search routines are compared with plain loops in test/host/test_rtl.c.
 */
#include <ntos/ktap.h>

static ULONG Buffer[4];
static RTL_BITMAP Map;

static VOID Begin(VOID)
{
    Buffer[3] = MAXULONG; /* bits 100 to 127 are none of the bitmap's */
    RtlInitializeBitMap(&Map, Buffer, 100);
    RtlClearAllBits(&Map);
}

static VOID BitmapSetClear(PKTAP_CONTEXT Ktap)
{
    Begin();
    KTAP_EQUAL(RtlNumberOfSetBits(&Map), 0);
    RtlSetBits(&Map, 30, 40);
    KTAP_EQUAL(Buffer[0], 0xC0000000);
    KTAP_EQUAL(Buffer[1], 0xFFFFFFFF);
    KTAP_EQUAL(Buffer[2], 0x3F);
    KTAP_EQUAL(RtlNumberOfSetBits(&Map), 40);
    KTAP_EQUAL(RtlNumberOfClearBits(&Map), 60);
    KTAP_CHECK(RtlAreBitsSet(&Map, 30, 40) && !RtlAreBitsSet(&Map, 30, 41));
    RtlClearBits(&Map, 31, 2);
    RtlSetBit(&Map, 99);
    RtlClearBit(&Map, 69);
    KTAP_CHECK(RtlTestBit(&Map, 30) && !RtlTestBit(&Map, 31) && RtlTestBit(&Map, 99) && !RtlTestBit(&Map, 69));
    KTAP_CHECK(RtlAreBitsClear(&Map, 31, 2) && !RtlAreBitsClear(&Map, 31, 3));
    RtlSetAllBits(&Map);
    KTAP_EQUAL(RtlNumberOfSetBits(&Map), 100);
    RtlClearAllBits(&Map);
    KTAP_EQUAL(Buffer[3], 0xFFFFFFF0);
}

static VOID BitmapFind(PKTAP_CONTEXT Ktap)
{
    Begin();
    RtlSetBits(&Map, 10, 50);
    KTAP_EQUAL(RtlFindClearBits(&Map, 10, 0), 0);
    KTAP_EQUAL(RtlFindClearBits(&Map, 11, 0), 60);
    KTAP_EQUAL(RtlFindClearBits(&Map, 40, 90), 60);
    KTAP_EQUAL(RtlFindClearBits(&Map, 41, 0), MAXULONG);
    KTAP_EQUAL(RtlFindSetBits(&Map, 50, 0), 10);
    KTAP_EQUAL(RtlFindClearBitsAndSet(&Map, 20, 65), 65);
    KTAP_EQUAL(RtlFindClearBitsAndSet(&Map, 20, 65), MAXULONG);
    KTAP_EQUAL(RtlFindClearBitsAndSet(&Map, 15, 65), 85);
    KTAP_EQUAL(RtlFindSetBitsAndClear(&Map, 35, 55), 65);
    KTAP_EQUAL(RtlNumberOfSetBits(&Map), 50);
}

static VOID BitmapRuns(PKTAP_CONTEXT Ktap)
{
    RTL_BITMAP_RUN Runs[3];
    ULONG Start;

    Begin();
    RtlSetBits(&Map, 0, 10);
    RtlSetBits(&Map, 15, 35);
    RtlSetBits(&Map, 70, 10);
    KTAP_EQUAL(RtlFindFirstRunClear(&Map, &Start), 5);
    KTAP_EQUAL(Start, 10);
    KTAP_EQUAL(RtlFindNextForwardRunClear(&Map, 12, &Start), 3);
    KTAP_EQUAL(RtlFindNextForwardRunClear(&Map, 20, &Start), 20);
    KTAP_EQUAL(Start, 50);
    KTAP_EQUAL(RtlFindLastBackwardRunClear(&Map, 52, &Start), 3);
    KTAP_EQUAL(RtlFindLongestRunClear(&Map, &Start), 20);
    KTAP_EQUAL(RtlFindClearRuns(&Map, Runs, 3, TRUE), 3);
    KTAP_EQUAL(Runs[0].StartingIndex, 50);
    KTAP_EQUAL(Runs[1].StartingIndex, 80);
    KTAP_EQUAL(Runs[2].NumberOfBits, 5);
    KTAP_EQUAL(RtlFindMostSignificantBit(0x8000000000000001ULL), 63);
    KTAP_EQUAL(RtlFindLeastSignificantBit(0x8000000000000000ULL), 63);
}

static const KTAP_CASE_ENTRY BitmapCases[] = {
    {"set_clear", BitmapSetClear},
    {"find", BitmapFind},
    {"runs", BitmapRuns},
};

KTAP_SUITE(BitmapSuite, "rtl.bitmap", BitmapCases);
