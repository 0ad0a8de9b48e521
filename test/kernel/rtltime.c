/*
 * rtltime.c - suite for calendar time and random numbers.
 *
 * Fixed points of the calendar (a leap day, both epochs, the ends of what 32 bits of seconds can count), and that equal seeds
 * give equal, evenly spread sequences.
 *
 * test/host/test_rtl.c compares 200,000 moments with the C library's calendar.
 */
#include <ntos/ktap.h>

static VOID TimeFields(PKTAP_CONTEXT Ktap)
{
    TIME_FIELDS Fields = {2024, 2, 29, 23, 59, 58, 999, 0};
    LARGE_INTEGER Time, Back;

    KTAP_CHECK(RtlTimeFieldsToTime(&Fields, &Time));
    KTAP_EQUAL(Time.QuadPart, 133537247989990000LL);
    RtlTimeToTimeFields(&Time, &Fields);
    KTAP_EQUAL(Fields.Weekday, 4); /* a Thursday */
    KTAP_EQUAL(Fields.Milliseconds, 999);
    KTAP_CHECK(RtlTimeFieldsToTime(&Fields, &Back));
    KTAP_EQUAL(Back.QuadPart, Time.QuadPart);
    Fields.Year = 2023;
    KTAP_CHECK(!RtlTimeFieldsToTime(&Fields, &Time)); /* no leap year */
    Time.QuadPart = 0;
    RtlTimeToTimeFields(&Time, &Fields);
    KTAP_EQUAL(Fields.Year, 1601);
    KTAP_EQUAL(Fields.Day, 1);
}

static VOID TimeSeconds(PKTAP_CONTEXT Ktap)
{
    LARGE_INTEGER Time;
    ULONG Seconds;

    RtlSecondsSince1970ToTime(0, &Time);
    KTAP_EQUAL(Time.QuadPart, 116444736000000000LL);
    KTAP_CHECK(RtlTimeToSecondsSince1970(&Time, &Seconds));
    KTAP_EQUAL(Seconds, 0);
    KTAP_CHECK(!RtlTimeToSecondsSince1980(&Time, &Seconds));
    RtlSecondsSince1980ToTime(MAXULONG, &Time);
    KTAP_CHECK(RtlTimeToSecondsSince1980(&Time, &Seconds));
    KTAP_EQUAL(Seconds, MAXULONG);
}

static VOID TimeRandom(PKTAP_CONTEXT Ktap)
{
    ULONG Seed = 1, Same = 1, Buckets[8] = {0};

    for (ULONG Step = 0; Step < 8000; Step++) {
        ULONG Value = RtlRandomEx(&Seed);

        KTAP_CHECK(Value < MAXLONG);
        KTAP_EQUAL(RtlRandom(&Same), Value);
        Buckets[Value >> 28]++;
    }
    for (ULONG Bucket = 0; Bucket < 8; Bucket++) {
        KTAP_CHECK(Buckets[Bucket] > 850 && Buckets[Bucket] < 1150); /* 1000 each, five standard deviations */
    }
}

static const KTAP_CASE_ENTRY TimeCases[] = {
    {"fields", TimeFields},
    {"seconds", TimeSeconds},
    {"random", TimeRandom},
};

KTAP_SUITE(TimeSuite, "rtl.time", TimeCases);
