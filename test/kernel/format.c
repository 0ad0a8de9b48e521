/*
 * format.c - suite for the formatter behind DbgPrint, the console and the string functions, and for the block moves.
 *
 * Every check compares the whole text and the length that is reported; the bounds cases look at the byte behind the
 * buffer, which must keep its value.
 */
#include <ntos/ktap.h>
#include <ntos/rtl.h>

int __cdecl _snprintf(char *Buffer, size_t Count, const char *Format, ...);

static BOOLEAN FormatSame(PCSTR First, PCSTR Second)
{
    while (*First != 0 && *First == *Second) {
        First++;
        Second++;
    }
    return *First == *Second;
}

#pragma clang diagnostic ignored "-Wformat" /* the kernel's own conversions, and deliberate nonsense */
#pragma clang diagnostic ignored "-Wformat-extra-args"

#define FORMAT_CHECK(Expected, ...)                                                                                    \
    do {                                                                                                               \
        CHAR FormatBuffer[80];                                                                                         \
        ULONG FormatLength = RtlFormatString(FormatBuffer, sizeof(FormatBuffer), __VA_ARGS__);                         \
        if (!FormatSame(FormatBuffer, Expected) || FormatLength != sizeof(Expected) - 1) {                             \
            KtapFail(Ktap, __FILE__, __LINE__, "\"%s\" (%u), expected \"%s\"", FormatBuffer, (unsigned)FormatLength,   \
                     Expected);                                                                                        \
            return;                                                                                                    \
        }                                                                                                              \
    } while (0)

static VOID FormatIntegers(PKTAP_CONTEXT Ktap)
{
    FORMAT_CHECK("0 -1 42", "%d %d %i", 0, -1, 42);
    FORMAT_CHECK("-2147483648 4294967295", "%d %u", (int)0x80000000, 0xFFFFFFFF);
    FORMAT_CHECK("-9223372036854775808", "%lld", (long long)0x8000000000000000ULL);
    FORMAT_CHECK("18446744073709551615", "%llu", 0xFFFFFFFFFFFFFFFFULL);
    FORMAT_CHECK("deadbeef DEADBEEF 17", "%x %X %o", 0xDEADBEEF, 0xDEADBEEF, 15);
    FORMAT_CHECK("123456789abcdef", "%I64x", 0x123456789ABCDEFULL);
    FORMAT_CHECK("123456789abcdef 7", "%zx %I32u", (size_t)0x123456789ABCDEFULL, 7);
    FORMAT_CHECK("-1 255 65535", "%hhd %hhu %hu", 0xFF, 0x1FF, 0x1FFFF);
    FORMAT_CHECK("0x1f 0X1F 0", "%#x %#X %#x", 0x1F, 0x1F, 0);
    FORMAT_CHECK("FFFFF80000001234", "%p", (PVOID)0xFFFFF80000001234ULL);
}

static VOID FormatFields(PKTAP_CONTEXT Ktap)
{
    FORMAT_CHECK("[   42][42   ][00042]", "[%5d][%-5d][%05d]", 42, 42, 42);
    FORMAT_CHECK("[-0042][  -42][+42][ 42]", "[%05d][%5d][%+d][% d]", -42, -42, 42, 42);
    FORMAT_CHECK("[00042][  042][]", "[%.5d][%5.3d][%.0d]", 42, 42, 0);
    FORMAT_CHECK("[   42][42   ]", "[%*d][%*d]", 5, 42, -5, 42);
    FORMAT_CHECK("[0x001f]", "[%#06x]", 0x1F);
    FORMAT_CHECK("[  a][a  ]", "[%3c][%-3c]", 'a', 'a');
    FORMAT_CHECK("100%", "%d%%", 100);
}

static VOID FormatStrings(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Wide = RTL_CONSTANT_STRING(L"wide");
    ANSI_STRING Narrow = RTL_CONSTANT_STRING("narrow");

    Wide.Length = 3 * sizeof(WCHAR); /* counted: not to its terminator */
    FORMAT_CHECK("abc (null)", "%s %s", "abc", NULL);
    FORMAT_CHECK("[  ab][ab  ][ab]", "[%4s][%-4s][%.2s]", "ab", "ab", "abcdef");
    FORMAT_CHECK("w1 w2 w3", "%ws %ls %S", L"w1", L"w2", L"w3");
    FORMAT_CHECK("wid narrow", "%wZ %Z", &Wide, &Narrow);
    FORMAT_CHECK("\xC3\xA4\xE2\x82\xAC", "%ws", L"\x00E4\x20AC");
    FORMAT_CHECK("[AB]", "[%.*s]", 2, "ABCDEF");
    FORMAT_CHECK("%q 7", "%q %d", 7);
    FORMAT_CHECK("50%", "50%");
}

static VOID FormatBounds(PKTAP_CONTEXT Ktap)
{
    CHAR Buffer[8];

    RtlFillMemory(Buffer, sizeof(Buffer), '#');
    KTAP_EQUAL(RtlFormatString(Buffer, 4, "abcdef"), 6);
    KTAP_CHECK(FormatSame(Buffer, "abc") && Buffer[4] == '#');
    KTAP_EQUAL(RtlFormatString(NULL, 0, "abc%d", 5), 4);
    RtlFillMemory(Buffer, sizeof(Buffer), '#');
    KTAP_EQUAL((LONG)_snprintf(Buffer, 3, "abc"), 3); /* fits, without a terminator */
    KTAP_EQUAL(Buffer[3], '#');
    KTAP_EQUAL((LONG)_snprintf(Buffer, 3, "abcd"), (ULONG64)-1);
    KTAP_EQUAL(Buffer[3], '#');
    KTAP_EQUAL((LONG)_snprintf(Buffer, 4, "abc"), 3);
    KTAP_EQUAL(Buffer[3], 0);
}

static VOID FormatMemory(PKTAP_CONTEXT Ktap)
{
    UCHAR Bytes[32], Copy[32];

    for (ULONG Index = 0; Index < sizeof(Bytes); Index++) {
        Bytes[Index] = (UCHAR)Index;
    }
    for (ULONG Shift = 0; Shift <= 12; Shift++) {
        RtlCopyMemory(Copy, Bytes, sizeof(Copy));
        RtlMoveMemory(Copy + Shift, Copy, 20); /* overlaps, upwards */
        KTAP_CHECK(memcmp(Copy + Shift, Bytes, 20) == 0);
        RtlCopyMemory(Copy, Bytes, sizeof(Copy));
        RtlMoveMemory(Copy, Copy + Shift, 20); /* downwards */
        KTAP_CHECK(memcmp(Copy, Bytes + Shift, 20) == 0);
    }
    RtlCopyMemory(Copy, Bytes, sizeof(Copy));
    KTAP_EQUAL(RtlCompareMemory(Copy, Bytes, 32), 32);
    Copy[9] = 0xFF;
    KTAP_EQUAL(RtlCompareMemory(Copy, Bytes, 32), 9);
    KTAP_CHECK(memcmp(Copy, Bytes, 32) > 0 && memcmp(Bytes, Copy, 32) < 0);
    RtlFillMemory(Copy, 5, 0xAA);
    KTAP_CHECK(Copy[4] == 0xAA && Copy[5] == 5);
}

static const KTAP_CASE_ENTRY FormatCases[] = {
    {"integers", FormatIntegers}, {"fields", FormatFields}, {"strings", FormatStrings},
    {"bounds", FormatBounds},     {"memory", FormatMemory},
};
KTAP_SUITE(FormatSuite, "rtl.format", FormatCases);
