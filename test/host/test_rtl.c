/*
 * test_rtl.c - strings, UTF-8, numbers, bitmaps, AVL tables and time, against plain models on this machine.
 *
 * Bitmaps are compared with an array of bytes, AVL tables with a set of flags and their own invariants, the calendar with the
 * C library's, UTF-8 with its own inverse. Operations come from a fixed seed, so a failure repeats.
 *
 * The sources are included rather than linked, so that their private routines can be reached.
 */
#include "rtl/ansistr.c"
#include "rtl/avl.c"
#include "rtl/avlenum.c"
#include "rtl/bitmap.c"
#include "rtl/bitmaprun.c"
#include "rtl/casetable.c"
#include "rtl/guid.c"
#include "rtl/number.c"
#include "rtl/stralloc.c"
#include "rtl/time.c"
#include "rtl/unicase.c"
#include "rtl/unistr.c"
#include "rtl/utf8.c"

#include <setjmp.h>
#include <cmocka.h>
#include <time.h>

static ULONG Seed = 20090713;

static ULONG Random(ULONG Limit)
{
    return RtlRandomEx(&Seed) % Limit;
}

/* ---- Bitmaps against an array of booleans ---- */

#define MODEL_BITS 203 /* neither a multiple of 32 nor of 8 */

static UCHAR Model[MODEL_BITS];
static ULONG Words[(MODEL_BITS + 31) / 32];
static RTL_BITMAP Map;

static ULONG ModelFind(ULONG Count, ULONG Hint, UCHAR Value)
{
    for (ULONG Pass = 0; Pass < 2; Pass++) {
        for (ULONG Start = Pass == 0 ? Hint : 0; Start + Count <= MODEL_BITS; Start++) {
            ULONG Run = 0;

            while (Run < Count && Model[Start + Run] == Value) {
                Run++;
            }
            if (Run == Count) {
                return Start;
            }
        }
    }
    return MAXULONG;
}

static void CheckRuns(void)
{
    RTL_BITMAP_RUN Runs[MODEL_BITS];
    ULONG Count = RtlFindClearRuns(&Map, Runs, MODEL_BITS, FALSE);
    ULONG Longest = 0, Next = 0, Start;

    for (ULONG At = 0; At < MODEL_BITS;) {
        ULONG End = At;

        while (End < MODEL_BITS && Model[End] == 0) {
            End++;
        }
        if (End != At) {
            assert_true(Next < Count);
            assert_int_equal(Runs[Next].StartingIndex, At);
            assert_int_equal(Runs[Next++].NumberOfBits, End - At);
            Longest = max(Longest, End - At);
        }
        At = End + 1;
    }
    assert_int_equal(Count, Next);
    assert_int_equal(RtlFindLongestRunClear(&Map, &Start), Longest);
    Count = RtlFindClearRuns(&Map, Runs, 3, TRUE);
    for (ULONG Index = 1; Index < Count; Index++) {
        assert_true(Runs[Index - 1].NumberOfBits >= Runs[Index].NumberOfBits);
    }
}

static void CheckBackward(ULONG From)
{
    ULONG Start, Length = RtlFindLastBackwardRunClear(&Map, From, &Start);
    LONG End = (LONG)From;

    while (End >= 0 && Model[End] != 0) {
        End--;
    }
    if (End < 0) {
        assert_int_equal(Length, 0);
        return;
    }
    for (From = (ULONG)End; From != 0 && Model[From - 1] == 0; From--) {
    }
    assert_int_equal(Start, From);
    assert_int_equal(Length, (ULONG)End - From + 1);
}

static void BitmapModel(void **State)
{
    Words[RTL_NUMBER_OF(Words) - 1] = MAXULONG; /* bits beyond the size must never count */
    RtlInitializeBitMap(&Map, Words, MODEL_BITS);
    RtlClearAllBits(&Map);
    for (ULONG Step = 0; Step < 50000; Step++) {
        ULONG Start = Random(MODEL_BITS), Longest = 1 + Random(70);
        ULONG Count = 1 + Random(min(MODEL_BITS - Start, Longest));
        UCHAR Value = (UCHAR)Random(2);
        ULONG Found, Set = 0;

        if (Step % 3 == 0) {
            (Value ? RtlSetBits : RtlClearBits)(&Map, Start, Count);
            memset(Model + Start, Value, Count);
        } else {
            Count = 1 + Random(40);
            Found = (Value ? RtlFindSetBitsAndClear : RtlFindClearBitsAndSet)(&Map, Count, Start);
            assert_int_equal(Found, ModelFind(Count, Start, Value));
            if (Found != MAXULONG) {
                memset(Model + Found, !Value, Count);
            }
        }
        for (ULONG Bit = 0; Bit < MODEL_BITS; Bit++) {
            assert_int_equal(RtlTestBit(&Map, Bit), Model[Bit]);
            Set += Model[Bit];
        }
        assert_int_equal(RtlNumberOfSetBits(&Map), Set);
        assert_int_equal(RtlNumberOfClearBits(&Map), MODEL_BITS - Set);
        CheckRuns();
        CheckBackward(Start);
    }
}

static void BitmapEdges(void **State)
{
    ULONG Buffer[2] = {0xFFFF0000, 0};
    RTL_BITMAP Small;

    RtlInitializeBitMap(&Small, Buffer, 16);
    assert_int_equal(RtlNumberOfSetBits(&Small), 0);
    assert_true(RtlAreBitsClear(&Small, 0, 16));
    assert_false(RtlAreBitsClear(&Small, 0, 17));
    assert_false(RtlAreBitsClear(&Small, 4, 0));
    assert_false(RtlAreBitsSet(&Small, 15, 1));
    assert_int_equal(RtlFindClearBits(&Small, 17, 0), MAXULONG);
    assert_int_equal(RtlFindClearBits(&Small, 0, 13), 8);
    assert_int_equal(RtlFindClearBits(&Small, 16, 99), 0);
    assert_int_equal(RtlFindClearBits(&Small, 10, 12), 0);
    assert_int_equal(RtlFindMostSignificantBit(0), -1);
    assert_int_equal(RtlFindMostSignificantBit(1ULL << 63), 63);
    assert_int_equal(RtlFindLeastSignificantBit(0x50), 4);
    RtlInitializeBitMap(&Small, Buffer, 0);
    assert_int_equal(RtlFindClearBits(&Small, 1, 0), MAXULONG);
    assert_int_equal(RtlFindLastBackwardRunClear(&Small, 0, Buffer), 0);
}

/* ---- AVL tables against a sorted array ---- */

typedef struct {
    ULONG Key, Value;
} ELEMENT;

static RTL_GENERIC_COMPARE_RESULTS Compare(PRTL_AVL_TABLE Table, PVOID First, PVOID Second)
{
    ULONG A = ((ELEMENT *)First)->Key, B = ((ELEMENT *)Second)->Key;

    return A < B ? GenericLessThan : A > B ? GenericGreaterThan : GenericEqual;
}

static PVOID Allocate(PRTL_AVL_TABLE Table, CLONG Bytes)
{
    return malloc(Bytes);
}

static VOID Free(PRTL_AVL_TABLE Table, PVOID Buffer)
{
    free(Buffer);
}

/* Height of a subtree; checks parents, order and balances on the way. */
static LONG CheckTree(PRTL_BALANCED_LINKS Node, PRTL_BALANCED_LINKS Parent, ULONG64 Low, ULONG64 High)
{
    LONG Left, Right;
    ULONG Key;

    if (Node == NULL) {
        return 0;
    }
    Key = ((ELEMENT *)RTLP_AVL_ELEMENT(Node))->Key;
    assert_ptr_equal(Node->Parent, Parent);
    assert_true(Key >= Low && Key < High);
    Left = CheckTree(Node->LeftChild, Node, Low, Key);
    Right = CheckTree(Node->RightChild, Node, Key + 1ULL, High);
    assert_int_equal(Right - Left, Node->Balance);
    assert_in_range(Right - Left + 1, 0, 2);
    return 1 + max(Left, Right);
}

#define KEYS 200

static void AvlModel(void **State)
{
    RTL_AVL_TABLE Table;
    UCHAR Present[KEYS] = {0};
    ULONG Count = 0;

    RtlInitializeGenericTableAvl(&Table, Compare, Allocate, Free, NULL);
    for (ULONG Step = 0; Step < 40000; Step++) {
        ULONG Grow = (Step / 2000) % 2; /* waves, so that the tree both fills and empties */
        ELEMENT Element = {Random(KEYS), Step};
        BOOLEAN New;
        PVOID Key = NULL;

        if (Random(4) != 0 ? Grow == 0 : Grow != 0) {
            ELEMENT *Found = RtlInsertElementGenericTableAvl(&Table, &Element, sizeof(Element), &New);

            assert_int_equal(New, !Present[Element.Key]);
            assert_int_equal(Found->Key, Element.Key);
            Count += New;
            Present[Element.Key] = 1;
        } else {
            assert_int_equal(RtlDeleteElementGenericTableAvl(&Table, &Element), Present[Element.Key]);
            Count -= Present[Element.Key];
            Present[Element.Key] = 0;
        }
        assert_int_equal(RtlNumberGenericTableElementsAvl(&Table), Count);
        assert_int_equal(CheckTree(Table.BalancedRoot.RightChild, &Table.BalancedRoot, 0, KEYS), Table.DepthOfTree);
        if (Step % 50 == 0) {
            ULONG Number = 0;

            for (ULONG Next = 0; Next < KEYS; Next++) {
                if (Present[Next]) {
                    assert_int_equal(((ELEMENT *)RtlEnumerateGenericTableWithoutSplayingAvl(&Table, &Key))->Key, Next);
                    assert_int_equal(((ELEMENT *)RtlGetElementGenericTableAvl(&Table, Number++))->Key, Next);
                }
            }
            assert_null(RtlEnumerateGenericTableWithoutSplayingAvl(&Table, &Key));
            assert_null(RtlGetElementGenericTableAvl(&Table, Number));
        }
    }
    for (ELEMENT *Next; (Next = RtlEnumerateGenericTableAvl(&Table, TRUE)) != NULL;) {
        assert_true(RtlDeleteElementGenericTableAvl(&Table, Next));
    }
    assert_true(RtlIsGenericTableEmptyAvl(&Table));
    assert_int_equal(Table.DepthOfTree, 0);
}

static void AvlDirectory(void **State)
{
    RTL_AVL_TABLE Table;
    ELEMENT Element = {0, 0};
    ELEMENT *Next;
    PVOID Key = NULL;
    ULONG DeleteCount = 0, Seen = 0;

    RtlInitializeGenericTableAvl(&Table, Compare, Allocate, Free, NULL);
    for (Element.Key = 0; Element.Key < 100; Element.Key++) {
        RtlInsertElementGenericTableAvl(&Table, &Element, sizeof(Element), NULL);
    }
    Element.Key = 0;
    while ((Next = RtlEnumerateGenericTableLikeADirectory(&Table, NULL, NULL, Seen, &Key, &DeleteCount, &Element)) !=
           NULL) {
        Element = *Next;
        assert_int_equal(Element.Key, Seen++);
        RtlDeleteElementGenericTableAvl(&Table, &Element);
    }
    assert_int_equal(Seen, 100);
}

/* ---- Strings ---- */

static UNICODE_STRING U(PCWSTR Text)
{
    UNICODE_STRING String;

    RtlInitUnicodeString(&String, Text);
    return String;
}

static void Utf8RoundTrip(void **State)
{
    for (ULONG Code = 1; Code < 0x110000; Code += Code < 0x800 ? 1 : 7) {
        UCHAR Bytes[4];
        WCHAR Units[2];
        CHAR Back[4];
        ULONG Length = RtlpEncodeUtf8(Code, Bytes), Wide, Narrow;

        if (Code >= 0xD800 && Code < 0xE000) {
            assert_int_equal(RtlUTF8ToUnicodeN(Units, 2, &Wide, (PCCH)Bytes, 1), STATUS_SOME_NOT_MAPPED);
            continue;
        }
        assert_int_equal(RtlUTF8ToUnicodeN(Units, sizeof(Units), &Wide, (PCCH)Bytes, Length), STATUS_SUCCESS);
        assert_int_equal(RtlUnicodeToUTF8N(Back, sizeof(Back), &Narrow, Units, Wide), STATUS_SUCCESS);
        assert_int_equal(Narrow, Length);
        assert_memory_equal(Back, Bytes, Length);
    }
}

static void Utf8Hostile(void **State)
{
    static const struct {
        PCSTR Source;
        ULONG Replaced; /* U+FFFD in the result */
    } Cases[] = {
        {"\xC0\xAF", 2},     {"\xE0\x80\x80", 3}, {"\xED\xA0\x80", 3}, {"\xF4\x90\x80\x80", 4},    {"\xE2\x82", 1},
        {"\xF0\x9F\x92", 1}, {"\x80", 1},         {"\xFF\xFE", 2},     {"\xE2\x82\xE2\x82\xAC", 1}};

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Cases); Index++) {
        WCHAR Wide[16];
        ULONG Bytes, Count = 0;

        assert_int_equal(
            RtlUTF8ToUnicodeN(Wide, sizeof(Wide), &Bytes, Cases[Index].Source, (ULONG)strlen(Cases[Index].Source)),
            STATUS_SOME_NOT_MAPPED);
        for (ULONG Unit = 0; Unit < Bytes / 2; Unit++) {
            Count += Wide[Unit] == 0xFFFD;
        }
        assert_int_equal(Count, Cases[Index].Replaced);
    }
    for (ULONG Step = 0; Step < 200000; Step++) {
        UCHAR *Bytes = malloc(8);
        WCHAR Wide[4];
        ULONG Length = Random(9), Actual, Needed;

        for (ULONG Index = 0; Index < 8; Index++) {
            Bytes[Index] = (UCHAR)Random(256);
        }
        assert_true(NT_SUCCESS(RtlUTF8ToUnicodeN(NULL, 0, &Needed, (PCCH)Bytes, Length)));
        if (RtlUTF8ToUnicodeN(Wide, sizeof(Wide), &Actual, (PCCH)Bytes, Length) == STATUS_BUFFER_TOO_SMALL) {
            assert_true(Needed > Actual && Actual >= sizeof(Wide) - 2);
        } else {
            assert_int_equal(Actual, Needed);
        }
        free(Bytes);
    }
}

static void CaseTables(void **State)
{
    for (ULONG Code = 0; Code < 0x10000; Code++) {
        WCHAR Lower = RtlDowncaseUnicodeChar((WCHAR)Code);

        assert_int_equal(RtlUpcaseUnicodeChar(RtlUpcaseUnicodeChar((WCHAR)Code)), RtlUpcaseUnicodeChar((WCHAR)Code));
        if (Lower != Code) {
            assert_int_equal(RtlUpcaseUnicodeChar(Lower), Code);
        }
    }
    assert_int_equal(RtlUpcaseUnicodeChar(0xE9), 0xC9);     /* e acute */
    assert_int_equal(RtlUpcaseUnicodeChar(0xFF), 0x178);    /* y diaeresis */
    assert_int_equal(RtlUpcaseUnicodeChar(0x44F), 0x42F);   /* Cyrillic ya */
    assert_int_equal(RtlUpcaseUnicodeChar(0x3C2), 0x3A3);   /* final sigma */
    assert_int_equal(RtlUpcaseUnicodeChar(0x131), 0x131);   /* dotless i */
    assert_int_equal(RtlUpcaseUnicodeChar(0xDF), 0xDF);     /* sharp s */
    assert_int_equal(RtlUpcaseUnicodeChar(0xD801), 0xD801); /* a surrogate */
    assert_int_equal(RtlUpperChar((CHAR)0xFF), (CHAR)0xFF);
}

static void StringBasics(void **State)
{
    WCHAR Room[8];
    UNICODE_STRING Out = {0, sizeof(Room), Room}, Text, Copy;
    ULONG HashA, HashB;

    Text = U(L"abc");
    RtlCopyUnicodeString(&Out, &Text);
    Text = U(L"DEF");
    assert_int_equal(RtlAppendUnicodeStringToString(&Out, &Text), STATUS_SUCCESS);
    assert_int_equal(RtlAppendUnicodeToString(&Out, L"ghi"), STATUS_BUFFER_TOO_SMALL);
    assert_int_equal(RtlAppendUnicodeToString(&Out, L"gh"), STATUS_SUCCESS);
    assert_int_equal(Out.Length, 16);
    Text = U(L"ABCdefGH");
    assert_true(RtlEqualUnicodeString(&Out, &Text, TRUE));
    assert_false(RtlEqualUnicodeString(&Out, &Text, FALSE));
    RtlHashUnicodeString(&Out, TRUE, HASH_STRING_ALGORITHM_X65599, &HashA);
    RtlHashUnicodeString(&Text, TRUE, HASH_STRING_ALGORITHM_DEFAULT, &HashB);
    assert_int_equal(HashA, HashB);
    Text = U(L"abcd");
    assert_true(RtlPrefixUnicodeString(&Text, &Out, TRUE));
    assert_false(RtlPrefixUnicodeString(&Text, &Out, FALSE));
    assert_true(RtlCompareUnicodeString(&Text, &Out, TRUE) < 0);
    assert_int_equal(RtlUpcaseUnicodeString(&Copy, &Out, TRUE), STATUS_SUCCESS);
    assert_memory_equal(Copy.Buffer, L"ABCDEFGH", 16);
    RtlFreeUnicodeString(&Copy);
    assert_null(Copy.Buffer);
    assert_int_equal(RtlDuplicateUnicodeString(3, &Text, &Copy), STATUS_SUCCESS);
    assert_int_equal(Copy.Buffer[4], 0);
    RtlFreeUnicodeString(&Copy);
}

static void AnsiConversion(void **State)
{
    CHAR Small[4];
    ANSI_STRING Narrow, Out = {0, sizeof(Small), Small};
    UNICODE_STRING Wide, Text = U(L"a\x00E9\x20AC!");

    RtlInitAnsiString(&Narrow, "caf\xE9");
    assert_int_equal(RtlAnsiStringToUnicodeString(&Wide, &Narrow, TRUE), STATUS_SUCCESS);
    assert_memory_equal(Wide.Buffer, L"caf\x00E9", 10);
    RtlFreeUnicodeString(&Wide);
    assert_int_equal(RtlUnicodeStringToAnsiString(&Out, &Text, FALSE), STATUS_BUFFER_OVERFLOW);
    assert_memory_equal(Small, "a\xE9?", 4);
    assert_int_equal(RtlUnicodeStringToAnsiString(&Narrow, &Text, TRUE), STATUS_SUCCESS);
    assert_memory_equal(Narrow.Buffer, "a\xE9?!", 5);
    RtlFreeAnsiString(&Narrow);
}

static void Numbers(void **State)
{
    static const struct {
        PCSTR Text;
        ULONG Base, Value;
    } Good[] = {{"  -12x", 0, (ULONG)-12}, {"0x1Fg", 0, 31}, {"0b101", 0, 5}, {"0o17", 0, 15},      {"017", 0, 17},
                {"ff", 16, 255},           {"", 10, 0},      {"+7", 8, 7},    {"4294967297", 10, 1}};
    WCHAR Room[9];
    UNICODE_STRING Out = {0, sizeof(Room), Room}, Wide;
    GUID Guid = {0x01020304, 0x0506, 0x0708, {9, 10, 11, 12, 13, 14, 15, 0xA0}}, Back;
    ULONG Value;

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Good); Index++) {
        assert_int_equal(RtlCharToInteger(Good[Index].Text, Good[Index].Base, &Value), STATUS_SUCCESS);
        assert_int_equal(Value, Good[Index].Value);
    }
    assert_int_equal(RtlCharToInteger("1", 3, &Value), STATUS_INVALID_PARAMETER);
    assert_int_equal(RtlIntegerToUnicodeString(0xDEADBEEF, 16, &Out), STATUS_SUCCESS);
    assert_memory_equal(Room, L"DEADBEEF", 18);
    assert_int_equal(RtlIntegerToUnicodeString(4294967295U, 0, &Out), STATUS_BUFFER_OVERFLOW);
    assert_int_equal(RtlIntegerToUnicodeString(0, 10, &Out), STATUS_SUCCESS);
    assert_int_equal(Out.Length, 2);
    assert_int_equal(RtlStringFromGUID(&Guid, &Wide), STATUS_SUCCESS);
    assert_memory_equal(Wide.Buffer, L"{01020304-0506-0708-090A-0B0C0D0E0FA0}", 78);
    assert_int_equal(RtlGUIDFromString(&Wide, &Back), STATUS_SUCCESS);
    assert_memory_equal(&Guid, &Back, sizeof(Guid));
    Wide.Buffer[9] = 'x';
    assert_int_equal(RtlGUIDFromString(&Wide, &Back), STATUS_INVALID_PARAMETER);
    RtlFreeUnicodeString(&Wide);
}

static void TimeAgainstLibc(void **State)
{
    for (ULONG Step = 0; Step < 200000; Step++) {
        ULONG Seconds = Random(MAXLONG) * 2 + Random(2), Out;
        time_t Unix = Seconds;
        LARGE_INTEGER Time, Back;
        TIME_FIELDS Fields;
        struct tm Tm;

        RtlSecondsSince1970ToTime(Seconds, &Time);
        Time.QuadPart += 1230000;
        RtlTimeToTimeFields(&Time, &Fields);
        gmtime_r(&Unix, &Tm);
        assert_int_equal(Fields.Year, Tm.tm_year + 1900);
        assert_int_equal(Fields.Month, Tm.tm_mon + 1);
        assert_int_equal(Fields.Day, Tm.tm_mday);
        assert_int_equal(Fields.Weekday, Tm.tm_wday);
        assert_int_equal(Fields.Hour * 3600 + Fields.Minute * 60 + Fields.Second, Seconds % 86400);
        assert_int_equal(Fields.Milliseconds, 123);
        assert_true(RtlTimeFieldsToTime(&Fields, &Back));
        assert_int_equal(Back.QuadPart, Time.QuadPart);
        assert_true(RtlTimeToSecondsSince1970(&Time, &Out));
        assert_int_equal(Out, Seconds);
    }
}

static void TimeEdges(void **State)
{
    TIME_FIELDS Fields = {2000, 2, 29, 0, 0, 0, 0, 0};
    LARGE_INTEGER Time = {.QuadPart = 0};
    ULONG Seconds;

    assert_true(RtlTimeFieldsToTime(&Fields, &Time));
    Fields.Year = 1900;
    assert_false(RtlTimeFieldsToTime(&Fields, &Time));
    Time.QuadPart = 0;
    RtlTimeToTimeFields(&Time, &Fields);
    assert_int_equal(Fields.Year * 10000 + Fields.Month * 100 + Fields.Day, 16010101);
    assert_int_equal(Fields.Weekday, 1);
    assert_false(RtlTimeToSecondsSince1970(&Time, &Seconds));
    Time.QuadPart = MAXLONGLONG;
    RtlTimeToTimeFields(&Time, &Fields);
    assert_int_equal(Fields.Year, 30828);
    assert_false(RtlTimeFieldsToTime(&Fields, &Time));
    assert_false(RtlTimeToSecondsSince1980(&Time, &Seconds));
}

int main(void)
{
    const struct CMUnitTest Tests[] = {
        cmocka_unit_test(BitmapModel),    cmocka_unit_test(BitmapEdges), cmocka_unit_test(AvlModel),
        cmocka_unit_test(AvlDirectory),   cmocka_unit_test(CaseTables),  cmocka_unit_test(StringBasics),
        cmocka_unit_test(AnsiConversion), cmocka_unit_test(Numbers),     cmocka_unit_test(Utf8RoundTrip),
        cmocka_unit_test(Utf8Hostile),    cmocka_unit_test(TimeEdges),   cmocka_unit_test(TimeAgainstLibc),
    };

    return cmocka_run_group_tests(Tests, NULL, NULL);
}
