/*
 * unistr.c - counted UTF-16 strings: initialise, copy, append, compare, hash.
 *
 * A UNICODE_STRING counts bytes and need not end in a NUL; a NUL inside it is a character like any other. Lengths are
 * at most 65,534 bytes. Where a routine leaves room it also writes a terminator, which is a courtesy to people in a
 * debugger and never part of the string.
 *
 * Nothing here allocates (stralloc.c does) or takes locks, and everything works at any IRQL as long as the strings are
 * resident. Case is folded by unicase.c.
 *
 * Source of the behaviour: the routines' pages in the Windows driver documentation.
 */
#include <ntos/ntos.h>
#include "rtlstring.h"

/**
 * RtlInitUnicodeString - describes a NUL-terminated string; no copy is made.
 *
 * A NULL source gives an empty string; one too long for a USHORT count is cut at 65,532 bytes.  IRQL: any.
 */
VOID NTAPI RtlInitUnicodeString(PUNICODE_STRING DestinationString, PCWSTR SourceString)
{
    SIZE_T Bytes = 0;

    DestinationString->Length = 0;
    DestinationString->MaximumLength = 0;
    DestinationString->Buffer = (PWSTR)SourceString;
    if (SourceString != NULL) {
        Bytes = RtlpWideLength(SourceString) * sizeof(WCHAR);
        if (Bytes > RTLP_MAXIMUM_BYTES) {
            Bytes = RTLP_MAXIMUM_BYTES;
        }
        DestinationString->Length = (USHORT)Bytes;
        DestinationString->MaximumLength = (USHORT)(Bytes + sizeof(WCHAR));
    }
}

/**
 * RtlInitUnicodeStringEx - as RtlInitUnicodeString, but a string that is too long is STATUS_NAME_TOO_LONG.
 */
NTSTATUS NTAPI RtlInitUnicodeStringEx(PUNICODE_STRING DestinationString, PCWSTR SourceString)
{
    if (SourceString != NULL && RtlpWideLength(SourceString) * sizeof(WCHAR) > RTLP_MAXIMUM_BYTES) {
        return STATUS_NAME_TOO_LONG;
    }
    RtlInitUnicodeString(DestinationString, SourceString);
    return STATUS_SUCCESS;
}

/**
 * RtlValidateUnicodeString - whether the counts of a string make sense.
 *
 * @Flags  must be 0
 * Errors: STATUS_INVALID_PARAMETER.  IRQL: any.
 */
NTSTATUS NTAPI RtlValidateUnicodeString(ULONG Flags, PCUNICODE_STRING String)
{
    if (Flags != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    if (String == NULL) {
        return STATUS_SUCCESS;
    }
    if (String->Length % sizeof(WCHAR) != 0 || String->MaximumLength % sizeof(WCHAR) != 0 ||
        String->Length > String->MaximumLength || (String->Buffer == NULL && String->MaximumLength != 0)) {
        return STATUS_INVALID_PARAMETER;
    }
    return STATUS_SUCCESS;
}

/**
 * RtlCopyUnicodeString - copies as much as fits; a NULL source empties the destination.
 *
 * IRQL: any, if both are resident.
 */
VOID NTAPI RtlCopyUnicodeString(PUNICODE_STRING DestinationString, PCUNICODE_STRING SourceString)
{
    ULONG Bytes;

    if (SourceString == NULL) {
        DestinationString->Length = 0;
        return;
    }
    Bytes = min(SourceString->Length, DestinationString->MaximumLength);
    RtlMoveMemory(DestinationString->Buffer, SourceString->Buffer, Bytes);
    DestinationString->Length = (USHORT)Bytes;
    if (Bytes + sizeof(WCHAR) <= DestinationString->MaximumLength) {
        DestinationString->Buffer[Bytes / sizeof(WCHAR)] = 0;
    }
}

static NTSTATUS RtlpAppendUnicode(PUNICODE_STRING Destination, const VOID *Source, SIZE_T Bytes)
{
    ULONG Used = Destination->Length;

    if (Bytes > (SIZE_T)Destination->MaximumLength - Used) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    RtlMoveMemory((PUCHAR)Destination->Buffer + Used, Source, Bytes);
    Destination->Length = (USHORT)(Used + Bytes);
    if (Destination->Length + sizeof(WCHAR) <= Destination->MaximumLength) {
        Destination->Buffer[Destination->Length / sizeof(WCHAR)] = 0;
    }
    return STATUS_SUCCESS;
}

/**
 * RtlAppendUnicodeStringToString - appends, or leaves the destination as it was: STATUS_BUFFER_TOO_SMALL.
 *
 * IRQL: any, if both are resident.
 */
NTSTATUS NTAPI RtlAppendUnicodeStringToString(PUNICODE_STRING Destination, PCUNICODE_STRING Source)
{
    return Source->Length == 0 ? STATUS_SUCCESS : RtlpAppendUnicode(Destination, Source->Buffer, Source->Length);
}

/**
 * RtlAppendUnicodeToString - appends a NUL-terminated string (NULL: nothing); STATUS_BUFFER_TOO_SMALL if it does not fit.
 *
 * IRQL: any, if both are resident.
 */
NTSTATUS NTAPI RtlAppendUnicodeToString(PUNICODE_STRING Destination, PCWSTR Source)
{
    if (Source == NULL) {
        return STATUS_SUCCESS;
    }
    return RtlpAppendUnicode(Destination, Source, RtlpWideLength(Source) * sizeof(WCHAR));
}

/* Difference at the first unequal character of the common part, 0 if it is equal. */
static LONG RtlpCompareCharacters(PCWCH First, PCWCH Second, SIZE_T Count, BOOLEAN IgnoreCase)
{
    for (SIZE_T Index = 0; Index < Count; Index++) {
        WCHAR A = First[Index];
        WCHAR B = Second[Index];

        if (A == B) {
            continue;
        }
        if (IgnoreCase) {
            A = RtlUpcaseUnicodeChar(A);
            B = RtlUpcaseUnicodeChar(B);
        }
        if (A != B) {
            return (LONG)A - (LONG)B;
        }
    }
    return 0;
}

/**
 * RtlCompareUnicodeString - order of two strings by character code: negative, 0 or positive.
 *
 * A string comes before every longer one that begins with it.  IRQL: any, if both are resident.
 */
LONG NTAPI RtlCompareUnicodeString(PCUNICODE_STRING String1, PCUNICODE_STRING String2, BOOLEAN CaseInSensitive)
{
    ULONG Common = min(String1->Length, String2->Length) / sizeof(WCHAR);
    LONG Order = RtlpCompareCharacters(String1->Buffer, String2->Buffer, Common, CaseInSensitive);

    return Order != 0 ? Order : (LONG)String1->Length - (LONG)String2->Length;
}

/**
 * RtlEqualUnicodeString - whether two strings are equal.  IRQL: any, if both are resident.
 */
BOOLEAN NTAPI RtlEqualUnicodeString(PCUNICODE_STRING String1, PCUNICODE_STRING String2, BOOLEAN CaseInSensitive)
{
    return String1->Length == String2->Length && RtlCompareUnicodeString(String1, String2, CaseInSensitive) == 0;
}

/**
 * RtlPrefixUnicodeString - whether String2 begins with String1.  IRQL: any, if both are resident.
 */
BOOLEAN NTAPI RtlPrefixUnicodeString(PCUNICODE_STRING String1, PCUNICODE_STRING String2, BOOLEAN CaseInSensitive)
{
    return String1->Length <= String2->Length &&
           RtlpCompareCharacters(String1->Buffer, String2->Buffer, String1->Length / sizeof(WCHAR), CaseInSensitive) ==
               0;
}

/**
 * RtlHashUnicodeString - a hash that is equal for strings that RtlEqualUnicodeString calls equal.
 *
 * @HashAlgorithm  HASH_STRING_ALGORITHM_DEFAULT or HASH_STRING_ALGORITHM_X65599 (hash * 65599 + character)
 * Errors: STATUS_INVALID_PARAMETER.  IRQL: any, if the string is resident.
 */
NTSTATUS NTAPI RtlHashUnicodeString(const UNICODE_STRING *String, BOOLEAN CaseInSensitive, ULONG HashAlgorithm,
                                    PULONG HashValue)
{
    ULONG Hash = 0;

    if (String == NULL || HashValue == NULL ||
        (HashAlgorithm != HASH_STRING_ALGORITHM_DEFAULT && HashAlgorithm != HASH_STRING_ALGORITHM_X65599)) {
        return STATUS_INVALID_PARAMETER;
    }
    for (ULONG Index = 0; Index < String->Length / sizeof(WCHAR); Index++) {
        WCHAR Character = String->Buffer[Index];

        Hash = Hash * 65599 + (CaseInSensitive ? RtlUpcaseUnicodeChar(Character) : Character);
    }
    *HashValue = Hash;
    return STATUS_SUCCESS;
}
