/*
 * strmore.c - the rarer string routines: counted and upper-cased conversions, comparison of parts, appending byte strings.
 *
 * "Counted" conversions write no terminator. Upper-casing is Unicode's, done before the conversion to bytes. The ANSI and OEM
 * code pages are one, ISO 8859-1, so the routines of each pair are the same.
 *
 * No locks. IRQL: PASSIVE_LEVEL where a buffer may be allocated, else any at which the memory is resident.
 */
#include <ntos/rtl.h>
#include "rtlstring.h"

/* Upper-cased bytes; what does not fit is left out. STATUS_SUCCESS always: an unmappable character becomes '?'. */
NTSTATUS NTAPI RtlUpcaseUnicodeToMultiByteN(PCHAR MultiByteString, ULONG MaxBytesInMultiByteString,
                                            PULONG BytesInMultiByteString, PCWCH UnicodeString,
                                            ULONG BytesInUnicodeString)
{
    ULONG Count = min(BytesInUnicodeString / (ULONG)sizeof(WCHAR), MaxBytesInMultiByteString);

    for (ULONG Index = 0; Index < Count; Index++) {
        WCHAR Upper = RtlUpcaseUnicodeChar(UnicodeString[Index]);

        MultiByteString[Index] = (CHAR)((Upper <= 0xFF) ? Upper : '?');
    }
    if (BytesInMultiByteString != NULL) {
        *BytesInMultiByteString = Count;
    }
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI RtlUpcaseUnicodeToOemN(PCHAR OemString, ULONG MaxBytesInOemString, PULONG BytesInOemString,
                                      PCWCH UnicodeString, ULONG BytesInUnicodeString)
{
    return RtlUpcaseUnicodeToMultiByteN(OemString, MaxBytesInOemString, BytesInOemString, UnicodeString,
                                        BytesInUnicodeString);
}

/* To bytes, upper-cased or not, terminated or not. STATUS_BUFFER_OVERFLOW, STATUS_NO_MEMORY, STATUS_INVALID_PARAMETER_2. */
static NTSTATUS RtlpToBytes(PSTRING Destination, PCUNICODE_STRING Source, BOOLEAN Upper, BOOLEAN Terminate,
                            BOOLEAN Allocate)
{
    ULONG Count = Source->Length / sizeof(WCHAR);
    NTSTATUS Status = RtlpPrepareAnsiString(Destination, Count, Terminate, Allocate);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Upper) {
        RtlUpcaseUnicodeToMultiByteN(Destination->Buffer, Count, NULL, Source->Buffer, Source->Length);
    } else {
        RtlUnicodeToMultiByteN(Destination->Buffer, Count, NULL, Source->Buffer, Source->Length);
    }
    Destination->Length = (USHORT)Count;
    if (Terminate) {
        Destination->Buffer[Count] = 0;
    }
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI RtlUpcaseUnicodeStringToAnsiString(PANSI_STRING DestinationString, PCUNICODE_STRING SourceString,
                                                  BOOLEAN AllocateDestinationString)
{
    return RtlpToBytes(DestinationString, SourceString, TRUE, TRUE, AllocateDestinationString);
}

NTSTATUS NTAPI RtlUpcaseUnicodeStringToOemString(POEM_STRING DestinationString, PCUNICODE_STRING SourceString,
                                                 BOOLEAN AllocateDestinationString)
{
    return RtlpToBytes(DestinationString, SourceString, TRUE, TRUE, AllocateDestinationString);
}

NTSTATUS NTAPI RtlUpcaseUnicodeStringToCountedOemString(POEM_STRING DestinationString, PCUNICODE_STRING SourceString,
                                                        BOOLEAN AllocateDestinationString)
{
    return RtlpToBytes(DestinationString, SourceString, TRUE, FALSE, AllocateDestinationString);
}

NTSTATUS NTAPI RtlUnicodeStringToCountedOemString(POEM_STRING DestinationString, PCUNICODE_STRING SourceString,
                                                  BOOLEAN AllocateDestinationString)
{
    return RtlpToBytes(DestinationString, SourceString, FALSE, FALSE, AllocateDestinationString);
}

NTSTATUS NTAPI RtlOemStringToCountedUnicodeString(PUNICODE_STRING DestinationString, PCOEM_STRING SourceString,
                                                  BOOLEAN AllocateDestinationString)
{
    ULONG Bytes = (ULONG)SourceString->Length * sizeof(WCHAR);
    NTSTATUS Status;

    if (Bytes > MAXUSHORT) {
        return STATUS_INVALID_PARAMETER_2;
    }
    Status = RtlpPrepareUnicodeString(DestinationString, Bytes, FALSE, AllocateDestinationString);
    if (NT_SUCCESS(Status)) {
        RtlMultiByteToUnicodeN(DestinationString->Buffer, Bytes, NULL, SourceString->Buffer, SourceString->Length);
        DestinationString->Length = (USHORT)Bytes;
    }
    return Status;
}

/* Order of two texts given by their lengths in characters. */
LONG NTAPI RtlCompareUnicodeStrings(PCWCH String1, SIZE_T String1Length, PCWCH String2, SIZE_T String2Length,
                                    BOOLEAN CaseInSensitive)
{
    for (SIZE_T Index = 0; Index < min(String1Length, String2Length); Index++) {
        WCHAR First = String1[Index], Second = String2[Index];

        if (CaseInSensitive) {
            First = RtlUpcaseUnicodeChar(First);
            Second = RtlUpcaseUnicodeChar(Second);
        }
        if (First != Second) {
            return (LONG)First - (LONG)Second;
        }
    }
    return (String1Length < String2Length) ? -1 : (String1Length > String2Length);
}

/* STATUS_BUFFER_TOO_SMALL: nothing was appended. */
NTSTATUS NTAPI RtlAppendStringToString(PSTRING Destination, const STRING *Source)
{
    if (Source->Length > Destination->MaximumLength - Destination->Length) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    RtlMoveMemory(Destination->Buffer + Destination->Length, Source->Buffer, Source->Length);
    Destination->Length += Source->Length;
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI RtlAppendAsciizToString(PSTRING Destination, PCSZ Source)
{
    STRING Counted;

    if (Source == NULL) {
        return STATUS_SUCCESS;
    }
    RtlInitString(&Counted, Source);
    return RtlAppendStringToString(Destination, &Counted);
}

BOOLEAN NTAPI RtlPrefixString(const STRING *String1, const STRING *String2, BOOLEAN CaseInSensitive)
{
    STRING Head = *String2, Prefix = *String1;

    if (String1->Length > String2->Length) {
        return FALSE;
    }
    Head.Length = String1->Length;
    return RtlEqualString(&Prefix, &Head, CaseInSensitive);
}

/* STATUS_NAME_TOO_LONG: 65535 bytes and more. */
NTSTATUS NTAPI RtlInitAnsiStringEx(PANSI_STRING DestinationString, PCSZ SourceString)
{
    SIZE_T Length = 0;

    RtlZeroMemory(DestinationString, sizeof(*DestinationString));
    while (SourceString != NULL && SourceString[Length] != 0) {
        if (++Length >= MAXUSHORT) {
            return STATUS_NAME_TOO_LONG;
        }
    }
    RtlInitAnsiString(DestinationString, SourceString);
    return STATUS_SUCCESS;
}

/* The character at *SourceCharacter, which moves on. */
WCHAR NTAPI RtlAnsiCharToUnicodeChar(PUCHAR *SourceCharacter)
{
    return *(*SourceCharacter)++;
}

/**
 * RtlIntegerToChar - writes a number with digits of base 2, 8, 10 (or 0) or 16.
 *
 * @Length  characters at String; a terminator is written if it fits. Negative: exactly that many, with leading zeros
 * returns  STATUS_SUCCESS; STATUS_INVALID_PARAMETER (base); STATUS_BUFFER_OVERFLOW
 */
NTSTATUS NTAPI RtlIntegerToChar(ULONG Value, ULONG Base, LONG Length, PCHAR String)
{
    CHAR Digits[32];
    LONG Count = 0, Room = (Length < 0) ? -Length : Length;

    if (Base == 0) {
        Base = 10;
    }
    if (Base != 2 && Base != 8 && Base != 10 && Base != 16) {
        return STATUS_INVALID_PARAMETER;
    }
    do {
        Digits[Count++] = "0123456789ABCDEF"[Value % Base];
        Value /= Base;
    } while (Value != 0);
    if (Count > Room) {
        return STATUS_BUFFER_OVERFLOW;
    }
    for (LONG Index = 0; Length < 0 && Index < Room - Count; Index++) {
        *String++ = '0';
    }
    for (LONG Index = Count; Index-- > 0;) {
        *String++ = Digits[Index];
    }
    if (Length > Count) {
        *String = 0;
    }
    return STATUS_SUCCESS;
}

/* TRUE: the character has a byte in the OEM code page; *Char is then its upper case. */
BOOLEAN NTAPI RtlIsValidOemCharacter(PWCHAR Char)
{
    WCHAR Upper = RtlUpcaseUnicodeChar(*Char);

    if (Upper > 0xFF) {
        return FALSE;
    }
    *Char = Upper;
    return TRUE;
}

static BOOLEAN RtlpLegalIn8Dot3(WCHAR Character)
{
    static const CHAR Illegal[] = "\"*+,/:;<=>?[\\]|";

    for (ULONG Index = 0; Index < sizeof(Illegal) - 1; Index++) {
        if (Character == (UCHAR)Illegal[Index]) {
            return FALSE;
        }
    }
    return Character > 0x20 && Character <= 0xFF && Character != 0x7F;
}

/**
 * RtlIsNameLegalDOS8Dot3 - could a file have this name on a FAT volume without long names?
 *
 * @OemName             NULL, or gets the name upper-cased; its buffer holds 12 characters
 * @NameContainsSpaces  NULL, or gets whether there are blanks, which are legal but not at the end of a part
 * returns              TRUE: 1 to 8 characters, then nothing or a point and 1 to 3 more; or "." or ".."
 */
BOOLEAN NTAPI RtlIsNameLegalDOS8Dot3(PCUNICODE_STRING Name, POEM_STRING OemName, PBOOLEAN NameContainsSpaces)
{
    ULONG Count = Name->Length / sizeof(WCHAR), Point = Count;
    BOOLEAN Spaces = FALSE;

    if (Count == 0 || Count > 12) {
        return FALSE;
    }
    for (ULONG Index = 0; Index < Count; Index++) {
        WCHAR Character = RtlUpcaseUnicodeChar(Name->Buffer[Index]);

        if (Character == L'.' && Point == Count && Index != 0) {
            Point = Index;
        } else if (Character == L' ') {
            Spaces = TRUE;
        } else if (Character == L'.' || !RtlpLegalIn8Dot3(Character)) {
            return (Count == 1 || (Count == 2 && Name->Buffer[1] == L'.')) && Name->Buffer[0] == L'.';
        }
    }
    if (Point > 8 || Point + 1 == Count || (Point < Count && Count - Point - 1 > 3) ||
        Name->Buffer[Count - 1] == L' ' || Name->Buffer[Point - 1] == L' ') {
        return FALSE;
    }
    if (OemName != NULL && !NT_SUCCESS(RtlUpcaseUnicodeStringToCountedOemString(OemName, Name, FALSE))) {
        return FALSE;
    }
    if (NameContainsSpaces != NULL) {
        *NameContainsSpaces = Spaces;
    }
    return TRUE;
}
