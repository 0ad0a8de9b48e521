/*
 * crt.c - the C library's names that drivers import from ntoskrnl.exe, each called by the address the export table gives.
 *
 * The types are the C library's. Expected results come from the C standard and from the run-time library's documentation; ends of
 * buffers are checked with a byte that must stay.
 */
#include <stdarg.h>
#include <ntos/ktap.h>

#define EINVAL_S    22
#define ERANGE_S    34
#define STRUNCATE_S 80
#define TRUNCATE_S  ((SIZE_T) - 1)

static BOOLEAN Same(PCSTR A, PCSTR B)
{
    SIZE_T Index = 0;

    while (A[Index] != 0 && A[Index] == B[Index]) {
        Index++;
    }
    return A[Index] == B[Index];
}

static BOOLEAN WSame(PCWSTR A, PCWSTR B)
{
    SIZE_T Index = 0;

    while (A[Index] != 0 && A[Index] == B[Index]) {
        Index++;
    }
    return A[Index] == B[Index];
}

static VOID CrtNarrow(PKTAP_CONTEXT Ktap)
{
    SIZE_T (*Len)(PCSTR) = KTAP_IMPORT(PVOID, strlen);
    SIZE_T (*Nlen)(PCSTR, SIZE_T) = KTAP_IMPORT(PVOID, strnlen);
    PSTR (*Cpy)(PSTR, PCSTR) = KTAP_IMPORT(PVOID, strcpy);
    PSTR (*Ncpy)(PSTR, PCSTR, SIZE_T) = KTAP_IMPORT(PVOID, strncpy);
    PSTR (*Cat)(PSTR, PCSTR) = KTAP_IMPORT(PVOID, strcat);
    PSTR (*Ncat)(PSTR, PCSTR, SIZE_T) = KTAP_IMPORT(PVOID, strncat);
    int (*Cmp)(PCSTR, PCSTR) = KTAP_IMPORT(PVOID, strcmp);
    int (*Ncmp)(PCSTR, PCSTR, SIZE_T) = KTAP_IMPORT(PVOID, strncmp);
    int (*Icmp)(PCSTR, PCSTR) = KTAP_IMPORT(PVOID, _stricmp);
    int (*Nicmp)(PCSTR, PCSTR, SIZE_T) = KTAP_IMPORT(PVOID, _strnicmp);
    PSTR (*Chr)(PCSTR, int) = KTAP_IMPORT(PVOID, strchr);
    PSTR (*Rchr)(PCSTR, int) = KTAP_IMPORT(PVOID, strrchr);
    PSTR (*Str)(PCSTR, PCSTR) = KTAP_IMPORT(PVOID, strstr);
    SIZE_T (*Spn)(PCSTR, PCSTR) = KTAP_IMPORT(PVOID, strspn);
    PSTR (*Lwr)(PSTR) = KTAP_IMPORT(PVOID, _strlwr);
    PSTR (*Upr)(PSTR) = KTAP_IMPORT(PVOID, _strupr);
    PSTR (*Rev)(PSTR) = KTAP_IMPORT(PVOID, _strrev);
    PSTR (*Set)(PSTR, int) = KTAP_IMPORT(PVOID, _strset);
    PSTR (*Nset)(PSTR, int, SIZE_T) = KTAP_IMPORT(PVOID, _strnset);
    static const CHAR Path[] = "a/bc/bcd";
    CHAR Text[16];

    KTAP_CHECK(Len("") == 0 && Len("four") == 4 && Nlen("four", 3) == 3 && Nlen("four", 9) == 4);
    KTAP_CHECK(Cpy(Text, "abc") == Text && Same(Text, "abc"));
    KTAP_CHECK(Cat(Text, "de") == Text && Same(Text, "abcde"));
    KTAP_CHECK(Same(Ncat(Text, "fghi", 2), "abcdefg"));
    RtlFillMemory(Text, sizeof(Text), 0x55);
    Ncpy(Text, "xy", 4);
    KTAP_CHECK(Text[1] == 'y' && Text[2] == 0 && Text[3] == 0 && Text[4] == 0x55);
    Ncpy(Text, "pqrs", 2);
    KTAP_CHECK(Text[1] == 'q' && Text[2] == 0);
    KTAP_CHECK(Cmp("a", "b") < 0 && Cmp("b", "a") > 0 && Cmp("a", "a") == 0 && Cmp("a\xFF", "a\x01") > 0);
    KTAP_CHECK(Ncmp("abc", "abd", 2) == 0 && Ncmp("abc", "abd", 3) < 0 && Ncmp("a", "ab", 5) < 0);
    KTAP_CHECK(Icmp("HELLO", "hello") == 0 && Icmp("a_", "aZ") < 0 && Nicmp("ABx", "aby", 2) == 0);
    KTAP_CHECK(Chr(Path, '/') == Path + 1 && Rchr(Path, '/') == Path + 4 && Chr(Path, 'z') == NULL);
    KTAP_CHECK(Chr(Path, 0) == Path + 8 && Rchr(Path, 0) == Path + 8 && Rchr(Path, 'z') == NULL);
    KTAP_CHECK(Str(Path, "bcd") == Path + 5 && Str(Path, "") == Path && Str(Path, "bce") == NULL);
    KTAP_CHECK(Spn("112233x", "123") == 6 && Spn("x", "123") == 0);
    Cpy(Text, "MiXed");
    KTAP_CHECK(Same(Lwr(Text), "mixed") && Same(Upr(Text), "MIXED") && Same(Rev(Text), "DEXIM"));
    KTAP_CHECK(Same(Nset(Text, '-', 2), "--XIM") && Same(Nset(Text, '+', 99), "+++++") &&
               Same(Set(Text, '='), "====="));
}

static VOID CrtNarrowSafe(PKTAP_CONTEXT Ktap)
{
    int (*CpyS)(PSTR, SIZE_T, PCSTR) = KTAP_IMPORT(PVOID, strcpy_s);
    int (*CatS)(PSTR, SIZE_T, PCSTR) = KTAP_IMPORT(PVOID, strcat_s);
    int (*NcpyS)(PSTR, SIZE_T, PCSTR, SIZE_T) = KTAP_IMPORT(PVOID, strncpy_s);
    int (*NcatS)(PSTR, SIZE_T, PCSTR, SIZE_T) = KTAP_IMPORT(PVOID, strncat_s);
    PVOID (*Chr)(const VOID *, int, SIZE_T) = KTAP_IMPORT(PVOID, memchr);
    int (*MemCpyS)(PVOID, SIZE_T, const VOID *, SIZE_T) = KTAP_IMPORT(PVOID, memcpy_s);
    int (*MemMoveS)(PVOID, SIZE_T, const VOID *, SIZE_T) = KTAP_IMPORT(PVOID, memmove_s);
    CHAR Text[8] = "zzzzzzz";

    KTAP_CHECK(CpyS(Text, 4, "abc") == 0 && Same(Text, "abc") && Text[4] == 'z');
    KTAP_CHECK(CpyS(Text, 4, "abcd") == ERANGE_S && Text[0] == 0 && Text[4] == 'z');
    KTAP_CHECK(CpyS(NULL, 4, "a") == EINVAL_S && CpyS(Text, 4, NULL) == EINVAL_S && CpyS(Text, 0, "a") == EINVAL_S);
    KTAP_CHECK(CpyS(Text, 8, "ab") == 0 && CatS(Text, 5, "cd") == 0 && Same(Text, "abcd"));
    KTAP_CHECK(CatS(Text, 5, "e") == ERANGE_S && Text[0] == 0);
    KTAP_CHECK(NcpyS(Text, 8, "abcdef", 3) == 0 && Same(Text, "abc"));
    KTAP_CHECK(NcpyS(Text, 4, "abcdef", TRUNCATE_S) == STRUNCATE_S && Same(Text, "abc"));
    KTAP_CHECK(NcatS(Text, 8, "defghij", 2) == 0 && Same(Text, "abcde"));
    KTAP_CHECK(NcatS(Text, 8, "xyz", TRUNCATE_S) == STRUNCATE_S && Same(Text, "abcdexy"));
    KTAP_CHECK(NcatS(Text, 3, "x", 1) == EINVAL_S); /* not a string of that room */
    KTAP_CHECK(Chr("abc", 'b', 3) != NULL && Chr("abc", 'c', 2) == NULL);
    KTAP_CHECK(MemCpyS(Text, 8, "1234", 4) == 0 && Text[3] == '4');
    KTAP_CHECK(MemCpyS(Text, 2, "5678", 4) == ERANGE_S && Text[0] == 0 && Text[1] == 0 && Text[2] == '3');
    KTAP_CHECK(MemMoveS(Text, 8, Text + 2, 2) == 0 && Text[0] == '3' && Text[1] == '4');
    KTAP_CHECK(MemMoveS(Text, 1, Text + 2, 2) == ERANGE_S && Text[0] == '3' && MemMoveS(NULL, 1, Text, 1) == EINVAL_S);
}

static VOID CrtWide(PKTAP_CONTEXT Ktap)
{
    SIZE_T (*Len)(PCWSTR) = KTAP_IMPORT(PVOID, wcslen);
    SIZE_T (*Nlen)(PCWSTR, SIZE_T) = KTAP_IMPORT(PVOID, wcsnlen);
    PWSTR (*Cpy)(PWSTR, PCWSTR) = KTAP_IMPORT(PVOID, wcscpy);
    PWSTR (*Ncpy)(PWSTR, PCWSTR, SIZE_T) = KTAP_IMPORT(PVOID, wcsncpy);
    PWSTR (*Cat)(PWSTR, PCWSTR) = KTAP_IMPORT(PVOID, wcscat);
    PWSTR (*Ncat)(PWSTR, PCWSTR, SIZE_T) = KTAP_IMPORT(PVOID, wcsncat);
    int (*Cmp)(PCWSTR, PCWSTR) = KTAP_IMPORT(PVOID, wcscmp);
    int (*Ncmp)(PCWSTR, PCWSTR, SIZE_T) = KTAP_IMPORT(PVOID, wcsncmp);
    int (*Icmp)(PCWSTR, PCWSTR) = KTAP_IMPORT(PVOID, _wcsicmp);
    int (*Nicmp)(PCWSTR, PCWSTR, SIZE_T) = KTAP_IMPORT(PVOID, _wcsnicmp);
    PWSTR (*Chr)(PCWSTR, int) = KTAP_IMPORT(PVOID, wcschr);
    PWSTR (*Rchr)(PCWSTR, int) = KTAP_IMPORT(PVOID, wcsrchr);
    PWSTR (*Str)(PCWSTR, PCWSTR) = KTAP_IMPORT(PVOID, wcsstr);
    SIZE_T (*Spn)(PCWSTR, PCWSTR) = KTAP_IMPORT(PVOID, wcsspn);
    SIZE_T (*Cspn)(PCWSTR, PCWSTR) = KTAP_IMPORT(PVOID, wcscspn);
    PWSTR (*Lwr)(PWSTR) = KTAP_IMPORT(PVOID, _wcslwr);
    PWSTR (*Upr)(PWSTR) = KTAP_IMPORT(PVOID, _wcsupr);
    PWSTR (*Rev)(PWSTR) = KTAP_IMPORT(PVOID, _wcsrev);
    PWSTR (*Nset)(PWSTR, int, SIZE_T) = KTAP_IMPORT(PVOID, _wcsnset);
    int (*CpyS)(PWSTR, SIZE_T, PCWSTR) = KTAP_IMPORT(PVOID, wcscpy_s);
    int (*CatS)(PWSTR, SIZE_T, PCWSTR) = KTAP_IMPORT(PVOID, wcscat_s);
    int (*NcpyS)(PWSTR, SIZE_T, PCWSTR, SIZE_T) = KTAP_IMPORT(PVOID, wcsncpy_s);
    int (*NcatS)(PWSTR, SIZE_T, PCWSTR, SIZE_T) = KTAP_IMPORT(PVOID, wcsncat_s);
    static const WCHAR Path[] = L"a/bc/bcd";
    WCHAR Text[16];

    KTAP_CHECK(Len(L"four") == 4 && Nlen(L"four", 3) == 3 && Same("", ""));
    KTAP_CHECK(WSame(Cat(Cpy(Text, L"abc"), L"de"), L"abcde") && WSame(Ncat(Text, L"fghi", 2), L"abcdefg"));
    Ncpy(Text, L"xy", 4);
    KTAP_CHECK(Text[1] == L'y' && Text[3] == 0 && Text[4] == L'e');
    KTAP_CHECK(Cmp(L"a", L"b") < 0 && Cmp(L"\xFF00", L"a") > 0 && Ncmp(L"abc", L"abd", 2) == 0);
    KTAP_CHECK(Icmp(L"HeLLo", L"hEllO") == 0 && Nicmp(L"ABx", L"aby", 3) < 0);
    KTAP_CHECK(Chr(Path, L'/') == Path + 1 && Rchr(Path, L'/') == Path + 4 && Str(Path, L"bcd") == Path + 5);
    KTAP_CHECK(Spn(L"112x", L"12") == 3 && Cspn(L"ab/c", L"/\\") == 2 && Cspn(L"abc", L"/") == 3);
    Cpy(Text, L"MiXed");
    KTAP_CHECK(WSame(Lwr(Text), L"mixed") && WSame(Upr(Text), L"MIXED") && WSame(Rev(Text), L"DEXIM"));
    KTAP_CHECK(WSame(Nset(Text, L'-', 2), L"--XIM"));
    KTAP_CHECK(CpyS(Text, 4, L"abc") == 0 && CpyS(Text, 3, L"abc") == ERANGE_S && Text[0] == 0);
    KTAP_CHECK(CatS(Text, 4, L"ab") == 0 && CatS(Text, 4, L"cd") == ERANGE_S);
    KTAP_CHECK(NcpyS(Text, 4, L"abcdef", TRUNCATE_S) == STRUNCATE_S && WSame(Text, L"abc"));
    KTAP_CHECK(NcatS(Text, 8, L"defg", 1) == 0 && WSame(Text, L"abcd"));
}

static VOID CrtTypes(PKTAP_CONTEXT Ktap)
{
    int (*Upper)(int) = KTAP_IMPORT(PVOID, toupper), (*Lower)(int) = KTAP_IMPORT(PVOID, tolower);
    WCHAR (*WUpper)(WCHAR) = KTAP_IMPORT(PVOID, towupper), (*WLower)(WCHAR) = KTAP_IMPORT(PVOID, towlower);
    int (*Digit)(int) = KTAP_IMPORT(PVOID, isdigit), (*IsLower)(int) = KTAP_IMPORT(PVOID, islower);
    int (*IsUpper)(int) = KTAP_IMPORT(PVOID, isupper), (*Space)(int) = KTAP_IMPORT(PVOID, isspace);
    int (*Print)(int) = KTAP_IMPORT(PVOID, isprint), (*XDigit)(int) = KTAP_IMPORT(PVOID, isxdigit);
    int (*MbToWc)(PWSTR, PCSTR, SIZE_T) = KTAP_IMPORT(PVOID, mbtowc);
    int (*WcToMb)(PSTR, WCHAR) = KTAP_IMPORT(PVOID, wctomb);
    SIZE_T (*MbsToWcs)(PWSTR, PCSTR, SIZE_T) = KTAP_IMPORT(PVOID, mbstowcs);
    SIZE_T (*WcsToMbs)(PSTR, PCWSTR, SIZE_T) = KTAP_IMPORT(PVOID, wcstombs);
    WCHAR Wide[8];
    CHAR Text[8];

    for (int Character = -1; Character < 256; Character++) {
        BOOLEAN Low = Character >= 'a' && Character <= 'z', High = Character >= 'A' && Character <= 'Z';
        BOOLEAN Number = Character >= '0' && Character <= '9';

        KTAP_EQUAL(Upper(Character), Low ? Character - 32 : Character);
        KTAP_EQUAL(Lower(Character), High ? Character + 32 : Character);
        KTAP_CHECK((Digit(Character) != 0) == Number && (IsLower(Character) != 0) == Low);
        KTAP_CHECK((IsUpper(Character) != 0) == High &&
                   (Print(Character) != 0) == (Character >= 32 && Character < 127));
        KTAP_CHECK((Space(Character) != 0) == (Character == 32 || (Character >= 9 && Character <= 13)));
        KTAP_CHECK((XDigit(Character) != 0) == (Number || (Low && Character <= 'f') || (High && Character <= 'F')));
    }
    KTAP_CHECK(WUpper(0xE9) == 0xC9 && WLower(0x416) == 0x436 && WUpper(L'1') == L'1');
    KTAP_CHECK(MbToWc(Wide, "\xE9", 1) == 1 && Wide[0] == 0xE9 && MbToWc(Wide, "", 1) == 0 &&
               MbToWc(Wide, "a", 0) == -1);
    KTAP_CHECK(WcToMb(Text, 0xE9) == 1 && (UCHAR)Text[0] == 0xE9 && WcToMb(Text, 0x20AC) == -1 && WcToMb(NULL, 1) == 0);
    KTAP_CHECK(MbsToWcs(Wide, "abc", 8) == 3 && WSame(Wide, L"abc") && MbsToWcs(NULL, "abcd", 0) == 4);
    KTAP_CHECK(MbsToWcs(Wide, "xyz", 2) == 2 && Wide[1] == L'y' && Wide[2] == L'c');
    KTAP_CHECK(WcsToMbs(Text, L"abc", 8) == 3 && Same(Text, "abc") && WcsToMbs(Text, L"a\x20AC", 8) == (SIZE_T)-1);
}

static VOID CrtNumbers(PKTAP_CONTEXT Ktap)
{
    int (*Atoi)(PCSTR) = KTAP_IMPORT(PVOID, atoi), (*Atol)(PCSTR) = KTAP_IMPORT(PVOID, atol);
    int (*Wtoi)(PCWSTR) = KTAP_IMPORT(PVOID, _wtoi), (*Wtol)(PCWSTR) = KTAP_IMPORT(PVOID, _wtol);
    ULONG (*WcsToUl)(PCWSTR, PWSTR *, int) = KTAP_IMPORT(PVOID, wcstoul);
    ULONG64 (*StrToUi64)(PCSTR, PSTR *, int) = KTAP_IMPORT(PVOID, _strtoui64);
    PSTR (*Itoa)(int, PSTR, int) = KTAP_IMPORT(PVOID, _itoa);
    PWSTR (*Itow)(int, PWSTR, int) = KTAP_IMPORT(PVOID, _itow);
    int (*ItoaS)(int, PSTR, SIZE_T, int) = KTAP_IMPORT(PVOID, _itoa_s), (*LtoaS)(int, PSTR, SIZE_T, int);
    int (*ItowS)(int, PWSTR, SIZE_T, int) = KTAP_IMPORT(PVOID, _itow_s), (*LtowS)(int, PWSTR, SIZE_T, int);
    int (*UltoaS)(ULONG, PSTR, SIZE_T, int) = KTAP_IMPORT(PVOID, _ultoa_s);
    int (*UltowS)(ULONG, PWSTR, SIZE_T, int) = KTAP_IMPORT(PVOID, _ultow_s);
    int (*I64toaS)(LONG64, PSTR, SIZE_T, int) = KTAP_IMPORT(PVOID, _i64toa_s);
    int (*I64towS)(LONG64, PWSTR, SIZE_T, int) = KTAP_IMPORT(PVOID, _i64tow_s);
    int (*Ui64toaS)(ULONG64, PSTR, SIZE_T, int) = KTAP_IMPORT(PVOID, _ui64toa_s);
    int (*Ui64towS)(ULONG64, PWSTR, SIZE_T, int) = KTAP_IMPORT(PVOID, _ui64tow_s);
    static const WCHAR Number[] = L" 0x1Fz";
    CHAR Text[72];
    WCHAR Wide[72];
    PWSTR WEnd;
    PSTR End;

    LtoaS = KTAP_IMPORT(PVOID, _ltoa_s);
    LtowS = KTAP_IMPORT(PVOID, _ltow_s);
    KTAP_CHECK(Atoi(" \t-42x") == -42 && Atoi("+7") == 7 && Atoi("x") == 0 && Atol("2147483647") == MAXLONG);
    KTAP_CHECK(Wtoi(L"-42") == -42 && Wtol(L"  99 ") == 99);
    KTAP_CHECK(WcsToUl(Number, &WEnd, 0) == 31 && WEnd == Number + 5);
    KTAP_CHECK(WcsToUl(L"017", NULL, 0) == 15 && WcsToUl(L"zz", NULL, 36) == 35 * 36 + 35);
    KTAP_CHECK(WcsToUl(L"99999999999", NULL, 10) == MAXULONG && WcsToUl(L"-1", NULL, 10) == MAXULONG);
    KTAP_CHECK(WcsToUl(Number + 6, &WEnd, 10) == 0 && WEnd == Number + 6);
    KTAP_CHECK(StrToUi64("18446744073709551615", &End, 10) == ~0ULL && *End == 0);
    KTAP_CHECK(StrToUi64("18446744073709551616", NULL, 10) == ~0ULL &&
               StrToUi64("ffffffffffffffff", NULL, 16) == ~0ULL);
    KTAP_CHECK(Same(Itoa(-10, Text, 10), "-10") && Same(Itoa(-1, Text, 16), "ffffffff") &&
               Same(Itoa(5, Text, 2), "101"));
    KTAP_CHECK(WSame(Itow(-10, Wide, 10), L"-10") && WSame(Itow(0, Wide, 10), L"0"));
    KTAP_CHECK(ItoaS(MINLONG, Text, 12, 10) == 0 && Same(Text, "-2147483648"));
    KTAP_CHECK(ItoaS(123, Text, 3, 10) == ERANGE_S && Text[0] == 0 && ItoaS(1, Text, 9, 37) == EINVAL_S);
    KTAP_CHECK(ItoaS(1, NULL, 3, 10) == EINVAL_S && LtoaS(-7, Text, 9, 10) == 0 && Same(Text, "-7"));
    KTAP_CHECK(ItowS(123, Wide, 4, 10) == 0 && WSame(Wide, L"123") && LtowS(-7, Wide, 2, 10) == ERANGE_S);
    KTAP_CHECK(UltoaS(4000000000U, Text, 20, 10) == 0 && Same(Text, "4000000000"));
    KTAP_CHECK(UltowS(255, Wide, 20, 16) == 0 && WSame(Wide, L"ff"));
    KTAP_CHECK(I64toaS(MINLONGLONG, Text, 21, 10) == 0 && Same(Text, "-9223372036854775808"));
    KTAP_CHECK(I64towS(-5, Wide, 21, 10) == 0 && WSame(Wide, L"-5"));
    KTAP_CHECK(Ui64toaS(~0ULL, Text, 65, 2) == 0 && Text[63] == '1' && Text[64] == 0 &&
               Ui64toaS(~0ULL, Text, 64, 2) == ERANGE_S);
    KTAP_CHECK(Ui64towS(~0ULL, Wide, 21, 10) == 0 && WSame(Wide, L"18446744073709551615"));
}

static int CompareNumbers(const VOID *First, const VOID *Second)
{
    int A = *(const int *)First, B = *(const int *)Second;

    return (A > B) - (A < B);
}

static VOID CrtSort(PKTAP_CONTEXT Ktap)
{
    VOID (*Sort)(PVOID, SIZE_T, SIZE_T, int (*)(const VOID *, const VOID *)) = KTAP_IMPORT(PVOID, qsort);
    PVOID (*Search)(const VOID *, const VOID *, SIZE_T, SIZE_T, int (*)(const VOID *, const VOID *)) =
        KTAP_IMPORT(PVOID, bsearch);
    int (*Rand)(VOID) = KTAP_IMPORT(PVOID, rand);
    VOID (*SRand)(unsigned) = KTAP_IMPORT(PVOID, srand);
    static int Numbers[300];
    int Wanted, First;

    SRand(7);
    First = Rand();
    SRand(7);
    KTAP_EQUAL(Rand(), First);
    for (ULONG Count = 0; Count <= RTL_NUMBER_OF(Numbers); Count += 25) {
        LONG64 Sum = 0;

        for (ULONG Index = 0; Index < Count; Index++) {
            Numbers[Index] = Rand() % 100;
            KTAP_CHECK(Numbers[Index] >= 0);
            Sum += Numbers[Index];
        }
        Sort(Numbers, Count, sizeof(int), CompareNumbers);
        for (ULONG Index = 0; Index < Count; Index++) {
            KTAP_CHECK(Index == 0 || Numbers[Index - 1] <= Numbers[Index]);
            KTAP_CHECK(*(int *)Search(&Numbers[Index], Numbers, Count, sizeof(int), CompareNumbers) == Numbers[Index]);
            Sum -= Numbers[Index];
        }
        KTAP_EQUAL(Sum, 0);
        Wanted = 1000;
        KTAP_CHECK(Search(&Wanted, Numbers, Count, sizeof(int), CompareNumbers) == NULL);
    }
}

/* The va_list forms, through a function that has variable arguments. */
static int Vary(PVOID Routine, PVOID Buffer, SIZE_T Room, SIZE_T Count, const VOID *Format, ...)
{
    va_list Arguments;
    int Length;

    va_start(Arguments, Format);
    if (Room == 0) {
        Length = ((int (*)(PVOID, const VOID *, va_list))Routine)(Buffer, Format, Arguments);
    } else if (Count == 0) {
        Length = ((int (*)(PVOID, SIZE_T, const VOID *, va_list))Routine)(Buffer, Room, Format, Arguments);
    } else {
        Length =
            ((int (*)(PVOID, SIZE_T, SIZE_T, const VOID *, va_list))Routine)(Buffer, Room, Count, Format, Arguments);
    }
    va_end(Arguments);
    return Length;
}

static VOID CrtPrintNarrow(PKTAP_CONTEXT Ktap)
{
    int (*Print)(PSTR, PCSTR, ...) = KTAP_IMPORT(PVOID, sprintf);
    int (*PrintS)(PSTR, SIZE_T, PCSTR, ...) = KTAP_IMPORT(PVOID, sprintf_s);
    int (*NPrintS)(PSTR, SIZE_T, SIZE_T, PCSTR, ...) = KTAP_IMPORT(PVOID, _snprintf_s);
    CHAR Text[24];

    KTAP_CHECK(Print(Text, "%d-%s-%x", -5, "ab", 255) == 8 && Same(Text, "-5-ab-ff"));
    KTAP_CHECK(Vary(KTAP_IMPORT(PVOID, vsprintf), Text, 0, 0, "%u%c", 12, 'x') == 3 && Same(Text, "12x"));
    KTAP_CHECK(PrintS(Text, 4, "%d", 123) == 3 && Same(Text, "123"));
    KTAP_CHECK(PrintS(Text, 4, "%d", 1234) == -1 && Text[0] == 0);
    KTAP_CHECK(Vary(KTAP_IMPORT(PVOID, vsprintf_s), Text, 8, 0, "%04d", 7) == 4 && Same(Text, "0007"));
    KTAP_CHECK(NPrintS(Text, 8, TRUNCATE_S, "%s", "123456789") == -1 && Same(Text, "1234567"));
    KTAP_CHECK(NPrintS(Text, 8, 3, "%s", "12345") == -1 && Same(Text, "123"));
    KTAP_CHECK(NPrintS(Text, 4, 6, "%s", "12345") == -1 && Text[0] == 0);
    KTAP_CHECK(Vary(KTAP_IMPORT(PVOID, _vsnprintf_s), Text, 8, 5, "%s", "ab") == 2 && Same(Text, "ab"));
    RtlFillMemory(Text, sizeof(Text), 0x55);
    KTAP_CHECK(Vary(KTAP_IMPORT(PVOID, _vsnprintf), Text, 3, 0, "%d", 12345) == -1 && Text[2] == '3' &&
               Text[3] == 0x55);
}

static VOID CrtPrintWide(PKTAP_CONTEXT Ktap)
{
    int (*Print)(PWSTR, PCWSTR, ...) = KTAP_IMPORT(PVOID, swprintf);
    int (*Print2)(PWSTR, PCWSTR, ...) = KTAP_IMPORT(PVOID, _swprintf);
    int (*NPrint)(PWSTR, SIZE_T, PCWSTR, ...) = KTAP_IMPORT(PVOID, _snwprintf);
    int (*PrintS)(PWSTR, SIZE_T, PCWSTR, ...) = KTAP_IMPORT(PVOID, swprintf_s);
    int (*NPrintS)(PWSTR, SIZE_T, SIZE_T, PCWSTR, ...) = KTAP_IMPORT(PVOID, _snwprintf_s);
    UNICODE_STRING Counted = RTL_CONSTANT_STRING(L"cnt");
    WCHAR Text[40];

    KTAP_CHECK(Print(Text, L"%s|%S|%c|%C|%d", L"w\x20AC", "n\xE9", L'\x416', 'q', -3) == 12);
    KTAP_CHECK(WSame(Text, L"w\x20AC|n\x00E9|\x0416|q|-3"));
    KTAP_CHECK(Print2(Text, L"%hs %ls %ws %wZ %5s|%-4s|", "a", L"b", L"c", &Counted, L"\x20ACx", L"y") == 21);
    KTAP_CHECK(WSame(Text, L"a b c cnt    \x20ACx|y   |"));
    KTAP_CHECK(Print(Text, L"%%%I64x %08lx %llu\x20AC", 0x123456789ULL, 0xABUL, 7ULL) == 22);
    KTAP_CHECK(WSame(Text, L"%123456789 000000ab 7\x20AC"));
    RtlFillMemory(Text, sizeof(Text), 0x55);
    KTAP_CHECK(NPrint(Text, 3, L"%d", 12345) == -1 && Text[2] == L'3' && Text[3] == 0x5555);
    KTAP_CHECK(NPrint(Text, 5, L"%d", 12345) == 5 && Text[5] == 0x5555 && NPrint(Text, 6, L"%d", 12345) == 5 &&
               Text[5] == 0);
    KTAP_CHECK(Vary(KTAP_IMPORT(PVOID, _vswprintf), Text, 0, 0, L"%x", 255) == 2 && WSame(Text, L"ff"));
    KTAP_CHECK(Vary(KTAP_IMPORT(PVOID, _vsnwprintf), Text, 8, 0, L"%s!", L"hi") == 3 && WSame(Text, L"hi!"));
    KTAP_CHECK(PrintS(Text, 4, L"%d", 1234) == -1 && Text[0] == 0 && PrintS(Text, 5, L"%d", 1234) == 4);
    KTAP_CHECK(Vary(KTAP_IMPORT(PVOID, vswprintf_s), Text, 8, 0, L"%d", 9) == 1 && WSame(Text, L"9"));
    KTAP_CHECK(NPrintS(Text, 4, TRUNCATE_S, L"%s", L"123456") == -1 && WSame(Text, L"123"));
    KTAP_CHECK(Vary(KTAP_IMPORT(PVOID, _vsnwprintf_s), Text, 8, 2, L"%s", L"abc") == -1 && WSame(Text, L"ab"));
}

static const KTAP_CASE_ENTRY CrtCases[] = {
    {"narrow", CrtNarrow},     {"narrow_safe", CrtNarrowSafe}, {"wide", CrtWide},
    {"types", CrtTypes},       {"numbers", CrtNumbers},        {"sort", CrtSort},
    {"print", CrtPrintNarrow}, {"print_wide", CrtPrintWide},
};

KTAP_SUITE(CrtSuite, "crt", CrtCases);
