/*
 * time.c - calendar arithmetic, and random numbers from a seed.
 *
 * NT time counts 100 ns from 1 January 1601, UTC, in the Gregorian calendar. Conversion counts years from 1 March of
 * year 0, so that the leap day is the last day of its year and a month's first day is a linear function of its number.
 * Pure functions: no locks, no state, any IRQL.
 */
#include <ntos/ntos.h>

#define RTLP_MS        10000LL
#define RTLP_SECOND    10000000LL
#define RTLP_DAY       (86400 * RTLP_SECOND)
#define RTLP_DAYS_400  146097        /* days in 400 years of the Gregorian calendar */
#define RTLP_DAYS_1601 584694        /* 1 March 0000 to 1 January 1601 */
#define RTLP_SECS_1970 11644473600LL /* 1601 to 1970 */
#define RTLP_SECS_1980 11960006400LL /* 1601 to 1980 */
#define RTLP_LAST_YEAR 30827         /* the last whole year that fits 63 bits of 100 ns */

/* Days from 1 March 0000 to a date, Month 1..12. */
static LONGLONG RtlpDayNumber(LONG Year, LONG Month, LONG Day)
{
    LONG Shifted = (Month + 9) % 12; /* March is 0 */

    Year -= Month <= 2;
    return 365LL * Year + Year / 4 - Year / 100 + Year / 400 + (Shifted * 306 + 5) / 10 + Day - 1;
}

/**
 * RtlTimeToTimeFields - breaks a time into calendar fields; Weekday 0 is Sunday.  A negative time is treated as 0.
 */
VOID NTAPI RtlTimeToTimeFields(PLARGE_INTEGER Time, PTIME_FIELDS TimeFields)
{
    LONGLONG Ticks = max(Time->QuadPart, 0);
    LONGLONG Days = Ticks / RTLP_DAY;
    LONG Rest = (LONG)(Ticks % RTLP_DAY / RTLP_MS);
    LONGLONG Number = Days + RTLP_DAYS_1601;
    LONG Era = (LONG)(Number / RTLP_DAYS_400);
    LONG DayOfEra = (LONG)(Number % RTLP_DAYS_400);
    LONG YearOfEra = (DayOfEra - DayOfEra / 1460 + DayOfEra / 36524 - DayOfEra / 146096) / 365;
    LONG DayOfYear = DayOfEra - (365 * YearOfEra + YearOfEra / 4 - YearOfEra / 100);
    LONG Shifted = (5 * DayOfYear + 2) / 153;
    LONG Month = Shifted < 10 ? Shifted + 3 : Shifted - 9;

    TimeFields->Year = (CSHORT)(Era * 400 + YearOfEra + (Month <= 2));
    TimeFields->Month = (CSHORT)Month;
    TimeFields->Day = (CSHORT)(DayOfYear - (153 * Shifted + 2) / 5 + 1);
    TimeFields->Weekday = (CSHORT)((Days + 1) % 7); /* 1 January 1601 was a Monday */
    TimeFields->Milliseconds = (CSHORT)(Rest % 1000);
    TimeFields->Second = (CSHORT)(Rest / 1000 % 60);
    TimeFields->Minute = (CSHORT)(Rest / 60000 % 60);
    TimeFields->Hour = (CSHORT)(Rest / 3600000);
}

static LONG RtlpDaysInMonth(LONG Year, LONG Month)
{
    static const UCHAR Days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    BOOLEAN Leap = (Year % 4 == 0 && Year % 100 != 0) || Year % 400 == 0;

    return Days[Month - 1] + (Month == 2 && Leap);
}

/**
 * RtlTimeFieldsToTime - the time of calendar fields; FALSE if they are no time between 1601 and 30827. Weekday is ignored.
 */
BOOLEAN NTAPI RtlTimeFieldsToTime(PTIME_FIELDS TimeFields, PLARGE_INTEGER Time)
{
    LONGLONG Days;

    if (TimeFields->Year < 1601 || TimeFields->Year > RTLP_LAST_YEAR || TimeFields->Month < 1 ||
        TimeFields->Month > 12 || TimeFields->Day < 1 ||
        TimeFields->Day > RtlpDaysInMonth(TimeFields->Year, TimeFields->Month)) {
        return FALSE;
    }
    if (TimeFields->Hour < 0 || TimeFields->Hour > 23 || TimeFields->Minute < 0 || TimeFields->Minute > 59 ||
        TimeFields->Second < 0 || TimeFields->Second > 59 || TimeFields->Milliseconds < 0 ||
        TimeFields->Milliseconds > 999) {
        return FALSE;
    }
    Days = RtlpDayNumber(TimeFields->Year, TimeFields->Month, TimeFields->Day) - RTLP_DAYS_1601;
    Time->QuadPart = Days * RTLP_DAY +
                     ((TimeFields->Hour * 60LL + TimeFields->Minute) * 60 + TimeFields->Second) * RTLP_SECOND +
                     TimeFields->Milliseconds * RTLP_MS;
    return TRUE;
}

static BOOLEAN RtlpTimeToSeconds(PLARGE_INTEGER Time, LONGLONG Epoch, PULONG Seconds)
{
    LONGLONG Value = Time->QuadPart / RTLP_SECOND - Epoch;

    if (Time->QuadPart < 0 || Value < 0 || Value > MAXULONG) {
        return FALSE;
    }
    *Seconds = (ULONG)Value;
    return TRUE;
}

/** RtlTimeToSecondsSince1970 - FALSE if the time is before 1970 or the count does not fit 32 bits (2106). */
BOOLEAN NTAPI RtlTimeToSecondsSince1970(PLARGE_INTEGER Time, PULONG ElapsedSeconds)
{
    return RtlpTimeToSeconds(Time, RTLP_SECS_1970, ElapsedSeconds);
}

/** RtlTimeToSecondsSince1980 - FALSE if the time is before 1980 or the count does not fit 32 bits (2116). */
BOOLEAN NTAPI RtlTimeToSecondsSince1980(PLARGE_INTEGER Time, PULONG ElapsedSeconds)
{
    return RtlpTimeToSeconds(Time, RTLP_SECS_1980, ElapsedSeconds);
}

/** RtlSecondsSince1970ToTime - NT time of a count of seconds. */
VOID NTAPI RtlSecondsSince1970ToTime(ULONG ElapsedSeconds, PLARGE_INTEGER Time)
{
    Time->QuadPart = (ElapsedSeconds + RTLP_SECS_1970) * RTLP_SECOND;
}

/** RtlSecondsSince1980ToTime - NT time of a count of seconds. */
VOID NTAPI RtlSecondsSince1980ToTime(ULONG ElapsedSeconds, PLARGE_INTEGER Time)
{
    Time->QuadPart = (ElapsedSeconds + RTLP_SECS_1980) * RTLP_SECOND;
}

/**
 * RtlRandomEx - next number of the sequence that a seed starts: 0 .. MAXLONG-1, uniformly.
 *
 * The seed is the whole state, so equal seeds give equal sequences on any processor. It walks a Weyl sequence and is
 * mixed by multiply and shift; the high product bits scale the result without the bias of a remainder. Not for secrets.
 */
ULONG NTAPI RtlRandomEx(PULONG Seed)
{
    ULONG Mixed = *Seed += 0x9E3779B9U; /* 2^32 / golden ratio: odd, so the walk visits every seed */

    Mixed = (Mixed ^ Mixed >> 16) * 0x85EBCA6BU;
    Mixed = (Mixed ^ Mixed >> 13) * 0xC2B2AE35U;
    Mixed ^= Mixed >> 16;
    return (ULONG)((ULONG64)Mixed * MAXLONG >> 32);
}

/** RtlRandom - as RtlRandomEx. */
ULONG NTAPI RtlRandom(PULONG Seed)
{
    return RtlRandomEx(Seed);
}
