/*
 * rtc.c - the battery clock, read once at start-up for the date.
 *
 * The CMOS clock is taken to hold UTC. It is read until two readings agree with no update in progress between them, a
 * bounded number of times, and nonsense (an empty battery) yields the earliest date this kernel believes in, so that time
 * is always valid and never runs backwards from there.
 *
 * Source: Motorola MC146818 data sheet. Locks: none; boot processor, interrupts off.
 */
#include "halp.h"

#define CMOS_INDEX 0x70
#define CMOS_DATA  0x71

#define RTC_STATUS_A 0x0A
#define RTC_UPDATING 0x80
#define RTC_STATUS_B 0x0B
#define RTC_24_HOUR  0x02
#define RTC_BINARY   0x04
#define RTC_PM       0x80

#define RTC_TRIES 10000 /* an update takes 2 ms at most */

#define EARLIEST_YEAR  2024
#define UNITS_A_SECOND 10000000LL

static const UCHAR RtcRegisters[6] = {0x00, 0x02, 0x04, 0x07, 0x08, 0x09}; /* second .. hour, day, month, year */

static UCHAR CmosRead(UCHAR Register)
{
    __outbyte(CMOS_INDEX, Register);
    return __inbyte(CMOS_DATA);
}

static VOID RtcSample(UCHAR Fields[6])
{
    for (ULONG Try = 0; Try < RTC_TRIES && (CmosRead(RTC_STATUS_A) & RTC_UPDATING) != 0; Try++) {
        _mm_pause();
    }
    for (ULONG i = 0; i < 6; i++) {
        Fields[i] = CmosRead(RtcRegisters[i]);
    }
}

static ULONG FromBcd(UCHAR Value)
{
    return (ULONG)(Value >> 4) * 10 + (Value & 15);
}

/* Days from 1 January 1601 to a date; the Gregorian calendar repeats every 400 years, and 1601 begins such a period. */
static LONG64 DaysSince1601(ULONG Year, ULONG Month, ULONG Day)
{
    static const USHORT Before[12] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    ULONG Years = Year - 1601;
    BOOLEAN Leap = (Year % 4 == 0 && Year % 100 != 0) || Year % 400 == 0;

    return (LONG64)Years * 365 + Years / 4 - Years / 100 + Years / 400 + Before[Month - 1] +
           (Leap && Month > 2 ? 1 : 0) + Day - 1;
}

LONG64 HalpReadRtc(VOID)
{
    UCHAR Raw[6], Again[6];
    ULONG Value[6];

    RtcSample(Raw);
    for (ULONG Try = 0; Try < 10; Try++) {
        RtcSample(Again);
        if (memcmp(Raw, Again, sizeof(Raw)) == 0) {
            break;
        }
        memcpy(Raw, Again, sizeof(Raw));
    }
    UCHAR StatusB = CmosRead(RTC_STATUS_B);
    BOOLEAN Afternoon = (StatusB & RTC_24_HOUR) == 0 && (Raw[2] & RTC_PM) != 0;
    if ((StatusB & RTC_24_HOUR) == 0) {
        Raw[2] &= (UCHAR)~RTC_PM;
    }
    for (ULONG i = 0; i < 6; i++) {
        Value[i] = (StatusB & RTC_BINARY) != 0 ? Raw[i] : FromBcd(Raw[i]);
    }
    if ((StatusB & RTC_24_HOUR) == 0) {
        Value[2] = Value[2] % 12 + (Afternoon ? 12 : 0);
    }
    ULONG Year = 2000 + Value[5];
    if (Value[0] > 59 || Value[1] > 59 || Value[2] > 23 || Value[3] < 1 || Value[3] > 31 || Value[4] < 1 ||
        Value[4] > 12 || Year < EARLIEST_YEAR || Year > 2099) {
        return DaysSince1601(EARLIEST_YEAR, 1, 1) * 86400 * UNITS_A_SECOND;
    }
    LONG64 Seconds = DaysSince1601(Year, Value[4], Value[3]) * 86400 + Value[2] * 3600 + Value[1] * 60 + Value[0];
    return Seconds * UNITS_A_SECOND;
}
