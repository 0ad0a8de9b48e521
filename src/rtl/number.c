/*
 * number.c - integers as text.
 *
 * Bases are 2, 8, 10 and 16; base 0 means 10 when writing and "what the prefix says" (0x, 0o, 0b, else decimal) when
 * reading. Reading skips leading blanks and control characters, takes one sign, and stops at the first character that
 * is no digit; a value too big wraps modulo 2^32, as documented by the absence of any overflow status.
 *
 * No locks, no allocation; any IRQL, if the strings are resident.
 */
#include <ntos/ntos.h>
#include "digit.h"

#define RTLP_MAXIMUM_DIGITS 64 /* a 64-bit value in base 2 */

static BOOLEAN RtlpIsBase(ULONG Base)
{
    return Base == 2 || Base == 8 || Base == 10 || Base == 16;
}

/* Text of either width behind one accessor: the character at Index, or 0 at the end. */
typedef struct _RTLP_TEXT {
    PCWCH Wide;
    PCSTR Narrow;
    ULONG Count;
} RTLP_TEXT;

static WCHAR RtlpAt(const RTLP_TEXT *Text, ULONG Index)
{
    if (Index >= Text->Count) {
        return 0;
    }
    return Text->Wide != NULL ? Text->Wide[Index] : (WCHAR)(UCHAR)Text->Narrow[Index];
}

/* Base named by a prefix at *Index, which is advanced past it. */
static ULONG RtlpPrefixBase(const RTLP_TEXT *Text, PULONG Index)
{
    ULONG Base = 10;

    if (RtlpAt(Text, *Index) == '0') {
        switch (RtlpAt(Text, *Index + 1)) {
        case 'x':
            Base = 16;
            break;
        case 'o':
            Base = 8;
            break;
        case 'b':
            Base = 2;
            break;
        default:
            return 10;
        }
        *Index += 2;
    }
    return Base;
}

static NTSTATUS RtlpParseInteger(const RTLP_TEXT *Text, ULONG Base, PULONG Value)
{
    ULONG Index = 0;
    ULONG Result = 0;
    BOOLEAN Negative = FALSE;

    while (Index < Text->Count && RtlpAt(Text, Index) <= ' ') {
        Index++;
    }
    if (RtlpAt(Text, Index) == '-' || RtlpAt(Text, Index) == '+') {
        Negative = RtlpAt(Text, Index) == '-';
        Index++;
    }
    if (Base == 0) {
        Base = RtlpPrefixBase(Text, &Index);
    } else if (!RtlpIsBase(Base)) {
        return STATUS_INVALID_PARAMETER;
    }
    for (ULONG Digit; (Digit = RtlpDigit(RtlpAt(Text, Index))) < Base; Index++) {
        Result = Result * Base + Digit;
    }
    *Value = Negative ? 0 - Result : Result;
    return STATUS_SUCCESS;
}

/**
 * RtlUnicodeStringToInteger - reads a number from a string.
 *
 * @Base   0 (by prefix), 2, 8, 10 or 16
 * Errors: STATUS_INVALID_PARAMETER (another base).  A string without digits is 0.  IRQL: any, if resident.
 */
NTSTATUS NTAPI RtlUnicodeStringToInteger(PCUNICODE_STRING String, ULONG Base, PULONG Value)
{
    RTLP_TEXT Text = {String->Buffer, NULL, String->Length / sizeof(WCHAR)};

    return RtlpParseInteger(&Text, Base, Value);
}

/**
 * RtlCharToInteger - the same for a NUL-terminated string of bytes.
 */
NTSTATUS NTAPI RtlCharToInteger(PCSZ String, ULONG Base, PULONG Value)
{
    RTLP_TEXT Text = {NULL, String, 0};

    while (String[Text.Count] != 0) {
        Text.Count++;
    }
    return RtlpParseInteger(&Text, Base, Value);
}

/**
 * RtlInt64ToUnicodeString - writes an unsigned number, without leading zeros, in capitals.
 *
 * @Base   0 (as 10), 2, 8, 10 or 16
 * Errors: STATUS_INVALID_PARAMETER (another base), STATUS_BUFFER_OVERFLOW.  A NUL follows if there is room.
 *
 * IRQL: any, if the string is resident.
 */
NTSTATUS NTAPI RtlInt64ToUnicodeString(ULONGLONG Value, ULONG Base, PUNICODE_STRING String)
{
    WCHAR Digits[RTLP_MAXIMUM_DIGITS];
    UNICODE_STRING Text;
    ULONG First = RTLP_MAXIMUM_DIGITS;

    if (Base == 0) {
        Base = 10;
    } else if (!RtlpIsBase(Base)) {
        return STATUS_INVALID_PARAMETER;
    }
    do {
        Digits[--First] = (WCHAR) "0123456789ABCDEF"[Value % Base];
        Value /= Base;
    } while (Value != 0);
    Text.Buffer = &Digits[First];
    Text.Length = Text.MaximumLength = (USHORT)((RTLP_MAXIMUM_DIGITS - First) * sizeof(WCHAR));
    if (Text.Length > String->MaximumLength) {
        return STATUS_BUFFER_OVERFLOW;
    }
    RtlCopyUnicodeString(String, &Text);
    return STATUS_SUCCESS;
}

/**
 * RtlIntegerToUnicodeString - RtlInt64ToUnicodeString for 32 bits.
 */
NTSTATUS NTAPI RtlIntegerToUnicodeString(ULONG Value, ULONG Base, PUNICODE_STRING String)
{
    return RtlInt64ToUnicodeString(Value, Base, String);
}
