/*
 * rtlstring.c - suite for strings: counted, converted, allocated, as numbers.
 *
 * What needs the kernel: that the exported routines are linked and that allocated strings live in pool and go back to
 * it. The details of each conversion are in test/host/test_rtl.c, against models and random input.
 *
 * Non-ASCII characters are spelt by number, so that the file's own encoding does not matter.
 */
#include <ntos/ktap.h>

static UNICODE_STRING Wide(PCWSTR Text)
{
    UNICODE_STRING String;

    RtlInitUnicodeString(&String, Text);
    return String;
}

static VOID StringInit(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Text = Wide(L"abc");
    ANSI_STRING Narrow;

    KTAP_EQUAL(Text.Length, 6);
    KTAP_EQUAL(Text.MaximumLength, 8);
    RtlInitUnicodeString(&Text, NULL);
    KTAP_EQUAL(Text.Length, 0);
    KTAP_CHECK(Text.Buffer == NULL);
    RtlInitAnsiString(&Narrow, "four");
    KTAP_EQUAL(Narrow.Length, 4);
    KTAP_EQUAL(Narrow.MaximumLength, 5);
    KTAP_EQUAL(RtlInitUnicodeStringEx(&Text, L"x"), STATUS_SUCCESS);
    KTAP_EQUAL(Text.Length, 2);
}

static VOID StringCopyAppend(PKTAP_CONTEXT Ktap)
{
    WCHAR Room[8];
    UNICODE_STRING Out = {0, sizeof(Room), Room};
    UNICODE_STRING Text = Wide(L"abcdef");

    RtlCopyUnicodeString(&Out, &Text);
    KTAP_EQUAL(Out.Length, 12);
    KTAP_EQUAL(Room[6], 0);
    KTAP_EQUAL(RtlAppendUnicodeToString(&Out, L"ghi"), STATUS_BUFFER_TOO_SMALL);
    KTAP_EQUAL(Out.Length, 12);
    KTAP_EQUAL(RtlAppendUnicodeToString(&Out, L"gh"), STATUS_SUCCESS);
    KTAP_EQUAL(RtlAppendUnicodeStringToString(&Out, &Text), STATUS_BUFFER_TOO_SMALL);
    Text = Wide(L"abcdefgh");
    KTAP_CHECK(RtlEqualUnicodeString(&Out, &Text, FALSE));
    RtlCopyUnicodeString(&Out, NULL);
    KTAP_EQUAL(Out.Length, 0);
}

static VOID StringCompare(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING A = Wide(L"Stra\x00DF"
                            L"e \x0416"),
                   B = Wide(L"sTRA\x00DF"
                            L"E \x0436"),
                   C = Wide(L"stra");
    ULONG HashA, HashB;

    KTAP_CHECK(RtlEqualUnicodeString(&A, &B, TRUE));
    KTAP_CHECK(!RtlEqualUnicodeString(&A, &B, FALSE));
    KTAP_CHECK(RtlPrefixUnicodeString(&C, &A, TRUE));
    KTAP_CHECK(!RtlPrefixUnicodeString(&C, &A, FALSE));
    KTAP_CHECK(!RtlPrefixUnicodeString(&A, &C, TRUE));
    KTAP_CHECK(RtlCompareUnicodeString(&C, &A, TRUE) < 0);
    KTAP_CHECK(RtlCompareUnicodeString(&A, &B, FALSE) < 0);
    KTAP_EQUAL(RtlHashUnicodeString(&A, TRUE, HASH_STRING_ALGORITHM_DEFAULT, &HashA), STATUS_SUCCESS);
    KTAP_EQUAL(RtlHashUnicodeString(&B, TRUE, HASH_STRING_ALGORITHM_X65599, &HashB), STATUS_SUCCESS);
    KTAP_EQUAL(HashA, HashB);
    KTAP_EQUAL(RtlHashUnicodeString(&A, TRUE, 7, &HashA), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(RtlUpcaseUnicodeChar(0xFF), 0x178);
    KTAP_EQUAL(RtlDowncaseUnicodeChar(0x178), 0xFF);
    KTAP_EQUAL(RtlUpcaseUnicodeChar(0x131), 0x131);
}

static VOID StringAllocate(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Source = Wide(L"caf\x00E9 \x20AC"), Upper, Back;
    ANSI_STRING Narrow;

    KTAP_EQUAL(RtlUpcaseUnicodeString(&Upper, &Source, TRUE), STATUS_SUCCESS);
    KTAP_EQUAL(Upper.Buffer[3], 0xC9);
    RtlFreeUnicodeString(&Upper);
    KTAP_CHECK(Upper.Buffer == NULL);
    KTAP_EQUAL(RtlUnicodeStringToAnsiString(&Narrow, &Source, TRUE), STATUS_SUCCESS);
    KTAP_EQUAL(Narrow.Length, 6);
    KTAP_EQUAL((UCHAR)Narrow.Buffer[3], 0xE9);
    KTAP_EQUAL(Narrow.Buffer[5], '?');
    KTAP_EQUAL(RtlAnsiStringToUnicodeString(&Back, &Narrow, TRUE), STATUS_SUCCESS);
    KTAP_EQUAL(Back.Buffer[3], 0xE9);
    RtlFreeUnicodeString(&Back);
    RtlFreeAnsiString(&Narrow);
}

static VOID StringUtf8(PKTAP_CONTEXT Ktap)
{
    static const CHAR Text[] = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80";
    WCHAR Units[8];
    CHAR Bytes[16];
    ULONG Used;

    KTAP_EQUAL(RtlUTF8ToUnicodeN(Units, sizeof(Units), &Used, Text, sizeof(Text) - 1), STATUS_SUCCESS);
    KTAP_EQUAL(Used, 10);
    KTAP_EQUAL(Units[3], 0xD83D);
    KTAP_EQUAL(RtlUnicodeToUTF8N(Bytes, sizeof(Bytes), &Used, Units, Used), STATUS_SUCCESS);
    KTAP_EQUAL(Used, sizeof(Text) - 1);
    KTAP_CHECK(RtlCompareMemory(Bytes, Text, Used) == Used);
    KTAP_EQUAL(RtlUTF8ToUnicodeN(Units, sizeof(Units), &Used, "\xED\xA0\x80", 3), STATUS_SOME_NOT_MAPPED);
    KTAP_EQUAL(RtlUTF8ToUnicodeN(Units, 4, &Used, Text, sizeof(Text) - 1), STATUS_BUFFER_TOO_SMALL);
    KTAP_EQUAL(RtlUnicodeToUTF8N(NULL, 0, &Used, L"\xD800", 2), STATUS_SOME_NOT_MAPPED);
    KTAP_EQUAL(Used, 3);
}

static VOID StringNumbers(PKTAP_CONTEXT Ktap)
{
    WCHAR Room[12];
    UNICODE_STRING Out = {0, sizeof(Room), Room}, Text = Wide(L"  -0x1Fz");
    GUID Guid = {0x12345678, 0x9ABC, 0xDEF0, {1, 2, 3, 4, 5, 6, 7, 8}}, Back;
    ULONG Value;

    KTAP_EQUAL(RtlUnicodeStringToInteger(&Text, 0, &Value), STATUS_SUCCESS);
    KTAP_EQUAL(Value, (ULONG)-31);
    KTAP_EQUAL(RtlUnicodeStringToInteger(&Text, 7, &Value), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(RtlIntegerToUnicodeString(4000000000U, 10, &Out), STATUS_SUCCESS);
    Text = Wide(L"4000000000");
    KTAP_CHECK(RtlEqualUnicodeString(&Out, &Text, FALSE));
    KTAP_EQUAL(RtlInt64ToUnicodeString(~0ULL, 10, &Out), STATUS_BUFFER_OVERFLOW);
    KTAP_EQUAL(RtlStringFromGUID(&Guid, &Text), STATUS_SUCCESS);
    KTAP_EQUAL(RtlGUIDFromString(&Text, &Back), STATUS_SUCCESS);
    KTAP_CHECK(RtlCompareMemory(&Guid, &Back, sizeof(Guid)) == sizeof(Guid));
    RtlFreeUnicodeString(&Text);
}

static const KTAP_CASE_ENTRY StringCases[] = {
    {"init", StringInit}, {"copy_append", StringCopyAppend}, {"compare", StringCompare}, {"allocate", StringAllocate},
    {"utf8", StringUtf8}, {"numbers", StringNumbers},
};

KTAP_SUITE(StringSuite, "rtl.string", StringCases);
