/*
 * crtnumber.c - numbers from text and to text, random numbers, sorting and searching.
 *
 * Reading skips blanks and stops at the first character that does not belong; what does not fit is cut to the type, as atoi's, or to its
 * largest value, as strtoul's. rand keeps one state for all callers (an interlocked word, ISO C's example generator), so it is for
 * jitter, not for secrets. qsort sorts in place by heap sort: no recursion, no worst case.
 *
 * No locks. IRQL: any at which the memory is resident. Source: C11 7.22, Microsoft Learn (run-time library reference).
 */
#include "crt.h"
#include <ntos/rtl.h>

int RtlpAtoi(PCSTR Text);
int RtlpWtoi(PCWSTR Text);
ULONG RtlpWcsToUl(PCWSTR Text, PWSTR *End, int Base);
ULONG64 RtlpStrToUi64(PCSTR Text, PSTR *End, int Base);
PSTR RtlpItoa(int Value, PSTR Text, int Radix);
PWSTR RtlpItow(int Value, PWSTR Text, int Radix);
RTLP_ERRNO RtlpItoaS(int Value, PSTR Text, SIZE_T Room, int Radix);
RTLP_ERRNO RtlpItowS(int Value, PWSTR Text, SIZE_T Room, int Radix);
RTLP_ERRNO RtlpUltoaS(ULONG Value, PSTR Text, SIZE_T Room, int Radix);
RTLP_ERRNO RtlpUltowS(ULONG Value, PWSTR Text, SIZE_T Room, int Radix);
RTLP_ERRNO RtlpI64toaS(LONG64 Value, PSTR Text, SIZE_T Room, int Radix);
RTLP_ERRNO RtlpI64towS(LONG64 Value, PWSTR Text, SIZE_T Room, int Radix);
RTLP_ERRNO RtlpUi64toaS(ULONG64 Value, PSTR Text, SIZE_T Room, int Radix);
RTLP_ERRNO RtlpUi64towS(ULONG64 Value, PWSTR Text, SIZE_T Room, int Radix);
VOID RtlpSRand(unsigned Seed);
int RtlpRand(VOID);
PVOID RtlpBSearch(const VOID *Key, const VOID *Base, SIZE_T Count, SIZE_T Width, PRTLP_COMPARE Compare);

/* A text of either width. */
typedef struct _RTLP_TEXT {
    PCSTR Narrow;
    PCWSTR Wide;
} RTLP_TEXT;

static WCHAR RtlpAt(RTLP_TEXT Text, SIZE_T Index)
{
    return (Text.Wide != NULL) ? Text.Wide[Index] : (WCHAR)(UCHAR)Text.Narrow[Index];
}

static ULONG RtlpDigit36(WCHAR Character)
{
    int Lower = RtlpAsciiLower(Character);

    if (Character >= '0' && Character <= '9') {
        return Character - '0';
    }
    return (Lower >= 'a' && Lower <= 'z') ? (ULONG)Lower - 'a' + 10 : MAXULONG;
}

/* C's rules of strtoul: blanks, sign, prefix, digits. *End: where it stopped (0: nothing was read). */
static ULONG64 RtlpReadNumber(RTLP_TEXT Text, int Base, ULONG64 Limit, SIZE_T *End)
{
    BOOLEAN Negative, Over = FALSE;
    ULONG64 Value = 0;
    SIZE_T Index = 0, First;

    while (RtlpAsciiBlank(RtlpAt(Text, Index))) {
        Index++;
    }
    Negative = RtlpAt(Text, Index) == '-';
    if (Negative || RtlpAt(Text, Index) == '+') {
        Index++;
    }
    if ((Base == 0 || Base == 16) && RtlpAt(Text, Index) == '0' && RtlpAsciiLower(RtlpAt(Text, Index + 1)) == 'x' &&
        RtlpDigit36(RtlpAt(Text, Index + 2)) < 16) {
        Index += 2;
        Base = 16;
    } else if (Base == 0) {
        Base = (RtlpAt(Text, Index) == '0') ? 8 : 10;
    }
    First = Index;
    for (; RtlpDigit36(RtlpAt(Text, Index)) < (ULONG)Base; Index++) {
        ULONG Digit = RtlpDigit36(RtlpAt(Text, Index));

        if (Value > (Limit - Digit) / (ULONG)Base) {
            Over = TRUE;
        }
        Value = Value * (ULONG)Base + Digit;
    }
    *End = (Index == First) ? 0 : Index;
    if (Over) {
        return Limit;
    }
    return Negative ? 0 - Value : Value;
}

int RtlpAtoi(PCSTR Text)
{
    SIZE_T End;

    return (int)RtlpReadNumber((RTLP_TEXT){Text, NULL}, 10, ~0ULL, &End);
}

int RtlpWtoi(PCWSTR Text)
{
    SIZE_T End;

    return (int)RtlpReadNumber((RTLP_TEXT){NULL, Text}, 10, ~0ULL, &End);
}

ULONG RtlpWcsToUl(PCWSTR Text, PWSTR *End, int Base)
{
    SIZE_T Stop;
    ULONG Value = (ULONG)RtlpReadNumber((RTLP_TEXT){NULL, Text}, Base, MAXULONG, &Stop);

    if (End != NULL) {
        *End = (PWSTR)Text + Stop;
    }
    return Value;
}

ULONG64 RtlpStrToUi64(PCSTR Text, PSTR *End, int Base)
{
    SIZE_T Stop;
    ULONG64 Value = RtlpReadNumber((RTLP_TEXT){Text, NULL}, Base, ~0ULL, &Stop);

    if (End != NULL) {
        *End = (PSTR)Text + Stop;
    }
    return Value;
}

#define RTLP_DIGITS 66 /* 64 binary digits, a sign, a NUL */

/* Digits of a number, terminated; returns how many characters, 0 for a radix that is none. */
static ULONG RtlpMakeDigits(ULONG64 Value, BOOLEAN Negative, int Radix, CHAR *Text)
{
    CHAR Reversed[RTLP_DIGITS];
    ULONG Count = 0;

    if (Radix < 2 || Radix > 36) {
        return 0;
    }
    if (Negative) {
        Value = 0 - Value;
    }
    do {
        ULONG Digit = (ULONG)(Value % (ULONG)Radix);

        Reversed[Count++] = (CHAR)((Digit < 10) ? '0' + Digit : 'a' + Digit - 10);
        Value /= (ULONG)Radix;
    } while (Value != 0);
    if (Negative) {
        Reversed[Count++] = '-';
    }
    for (ULONG Index = 0; Index < Count; Index++) {
        Text[Index] = Reversed[Count - 1 - Index];
    }
    Text[Count] = 0;
    return Count;
}

/* Puts a number into a buffer of either width. */
static RTLP_ERRNO RtlpPutDigits(ULONG64 Value, BOOLEAN Negative, int Radix, PSTR Narrow, PWSTR Wide, SIZE_T Room)
{
    CHAR Text[RTLP_DIGITS];
    ULONG Count = RtlpMakeDigits(Value, Negative, Radix, Text);

    if ((Narrow == NULL && Wide == NULL) || Room == 0) {
        return RTLP_EINVAL;
    }
    if (Count == 0 || Count >= Room) {
        Text[0] = 0; /* leaves an empty string */
        Room = 1;
    }
    for (ULONG Index = 0; Index <= Count && Index < Room; Index++) {
        if (Wide != NULL) {
            Wide[Index] = (UCHAR)Text[Index];
        } else {
            Narrow[Index] = Text[Index];
        }
    }
    return (Count == 0) ? RTLP_EINVAL : (Room == 1) ? RTLP_ERANGE : 0;
}

PSTR RtlpItoa(int Value, PSTR Text, int Radix)
{
    RtlpItoaS(Value, Text, RTLP_DIGITS, Radix);
    return Text;
}

PWSTR RtlpItow(int Value, PWSTR Text, int Radix)
{
    RtlpItowS(Value, Text, RTLP_DIGITS, Radix);
    return Text;
}

/* Only radix 10 shows a sign; other ones show the bits. */
RTLP_ERRNO RtlpItoaS(int Value, PSTR Text, SIZE_T Room, int Radix)
{
    BOOLEAN Negative = Radix == 10 && Value < 0;

    return RtlpPutDigits(Negative ? (ULONG64)Value : (ULONG)Value, Negative, Radix, Text, NULL, Room);
}

RTLP_ERRNO RtlpItowS(int Value, PWSTR Text, SIZE_T Room, int Radix)
{
    BOOLEAN Negative = Radix == 10 && Value < 0;

    return RtlpPutDigits(Negative ? (ULONG64)Value : (ULONG)Value, Negative, Radix, NULL, Text, Room);
}

RTLP_ERRNO RtlpUltoaS(ULONG Value, PSTR Text, SIZE_T Room, int Radix)
{
    return RtlpPutDigits(Value, FALSE, Radix, Text, NULL, Room);
}

RTLP_ERRNO RtlpUltowS(ULONG Value, PWSTR Text, SIZE_T Room, int Radix)
{
    return RtlpPutDigits(Value, FALSE, Radix, NULL, Text, Room);
}

RTLP_ERRNO RtlpI64toaS(LONG64 Value, PSTR Text, SIZE_T Room, int Radix)
{
    return RtlpPutDigits((ULONG64)Value, Radix == 10 && Value < 0, Radix, Text, NULL, Room);
}

RTLP_ERRNO RtlpI64towS(LONG64 Value, PWSTR Text, SIZE_T Room, int Radix)
{
    return RtlpPutDigits((ULONG64)Value, Radix == 10 && Value < 0, Radix, NULL, Text, Room);
}

RTLP_ERRNO RtlpUi64toaS(ULONG64 Value, PSTR Text, SIZE_T Room, int Radix)
{
    return RtlpPutDigits(Value, FALSE, Radix, Text, NULL, Room);
}

RTLP_ERRNO RtlpUi64towS(ULONG64 Value, PWSTR Text, SIZE_T Room, int Radix)
{
    return RtlpPutDigits(Value, FALSE, Radix, NULL, Text, Room);
}

/* ---- Random numbers ---- */

static volatile LONG RtlpRandState = 1;

VOID RtlpSRand(unsigned Seed)
{
    InterlockedExchange(&RtlpRandState, (LONG)Seed);
}

/* 0 to 32767. The constants are those of the example in the C standard (7.22.2.2). */
int RtlpRand(VOID)
{
    LONG Old, New;

    do {
        Old = RtlpRandState;
        New = (LONG)((ULONG)Old * 1103515245U + 12345U);
    } while (InterlockedCompareExchange(&RtlpRandState, New, Old) != Old);
    return (int)((ULONG)New >> 16 & 0x7FFF);
}

/* ---- Sorting ---- */

static VOID RtlpSwap(PUCHAR First, PUCHAR Second, SIZE_T Width)
{
    for (SIZE_T Index = 0; Index < Width; Index++) {
        UCHAR Byte = First[Index];

        First[Index] = Second[Index];
        Second[Index] = Byte;
    }
}

/* Lets the element at Root sink until no child of it is larger. */
static VOID RtlpSink(PUCHAR Base, SIZE_T Root, SIZE_T Count, SIZE_T Width, PRTLP_COMPARE Compare)
{
    for (;;) {
        SIZE_T Child = 2 * Root + 1;

        if (Child >= Count) {
            return;
        }
        if (Child + 1 < Count && Compare(Base + Child * Width, Base + (Child + 1) * Width) < 0) {
            Child++;
        }
        if (Compare(Base + Root * Width, Base + Child * Width) >= 0) {
            return;
        }
        RtlpSwap(Base + Root * Width, Base + Child * Width, Width);
        Root = Child;
    }
}

VOID RtlpQSort(PVOID Base, SIZE_T Count, SIZE_T Width, PRTLP_COMPARE Compare)
{
    for (SIZE_T Root = Count / 2; Root-- > 0;) {
        RtlpSink(Base, Root, Count, Width, Compare);
    }
    for (SIZE_T Last = Count; Last-- > 1;) {
        RtlpSwap(Base, (PUCHAR)Base + Last * Width, Width);
        RtlpSink(Base, 0, Last, Width, Compare);
    }
}

PVOID RtlpBSearch(const VOID *Key, const VOID *Base, SIZE_T Count, SIZE_T Width, PRTLP_COMPARE Compare)
{
    SIZE_T Low = 0, High = Count;

    while (Low < High) {
        SIZE_T Middle = Low + (High - Low) / 2;
        PUCHAR Element = (PUCHAR)Base + Middle * Width;
        int Order = Compare(Key, Element);

        if (Order == 0) {
            return Element;
        }
        if (Order < 0) {
            High = Middle;
        } else {
            Low = Middle + 1;
        }
    }
    return NULL;
}
