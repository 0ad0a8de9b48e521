/*
 * ansistr.c - counted strings of bytes, and conversion between them and UTF-16.
 *
 * Both code pages that NT distinguishes, ANSI and OEM, are ISO 8859-1 here (docs/limits.md): a byte is the character of
 * the same number, and a character above 0xFF becomes '?'. Lengths therefore never depend on the content. Text that
 * must survive unchanged goes through UTF-8 (utf8.c).
 *
 * Conversions of counted strings, which may allocate, are in stralloc.c. No locks; any IRQL, if the strings are resident.
 *
 * Source of the behaviour: the routines' pages in the Windows driver documentation.
 */
#include <ntos/ntos.h>

/* FALSE tells the DDK's size macros that a character is one byte. */
BOOLEAN NlsMbCodePageTag = FALSE;
BOOLEAN NlsMbOemCodePageTag = FALSE;

#define RTLP_MAXIMUM_ANSI 0xFFFEU /* longest Length that leaves MaximumLength room for a NUL */

static SIZE_T RtlpByteLength(PCSTR Source)
{
    SIZE_T Count = 0;

    while (Source[Count] != 0) {
        Count++;
    }
    return Count;
}

/**
 * RtlInitString - describes a NUL-terminated string of bytes; no copy is made.
 *
 * A NULL source gives an empty string; one too long for a USHORT count is cut at 65,534 bytes.  IRQL: any.
 */
VOID NTAPI RtlInitString(PSTRING DestinationString, PCSZ SourceString)
{
    SIZE_T Bytes = 0;

    DestinationString->Length = 0;
    DestinationString->MaximumLength = 0;
    DestinationString->Buffer = (PCHAR)SourceString;
    if (SourceString != NULL) {
        Bytes = RtlpByteLength(SourceString);
        if (Bytes > RTLP_MAXIMUM_ANSI) {
            Bytes = RTLP_MAXIMUM_ANSI;
        }
        DestinationString->Length = (USHORT)Bytes;
        DestinationString->MaximumLength = (USHORT)(Bytes + 1);
    }
}

/**
 * RtlInitAnsiString - as RtlInitString.
 */
VOID NTAPI RtlInitAnsiString(PANSI_STRING DestinationString, PCSZ SourceString)
{
    RtlInitString(DestinationString, SourceString);
}

/**
 * RtlCopyString - copies as many bytes as fit; a NULL source empties the destination.  IRQL: any, if resident.
 */
VOID NTAPI RtlCopyString(PSTRING DestinationString, PSTRING SourceString)
{
    ULONG Bytes = SourceString == NULL ? 0 : min(SourceString->Length, DestinationString->MaximumLength);

    if (Bytes != 0) {
        RtlMoveMemory(DestinationString->Buffer, SourceString->Buffer, Bytes);
    }
    DestinationString->Length = (USHORT)Bytes;
}

/**
 * RtlCompareString - order of two strings by byte: negative, 0 or positive.  IRQL: any, if resident.
 */
LONG NTAPI RtlCompareString(PSTRING String1, PSTRING String2, BOOLEAN CaseInSensitive)
{
    ULONG Common = min(String1->Length, String2->Length);

    for (ULONG Index = 0; Index < Common; Index++) {
        UCHAR A = (UCHAR)String1->Buffer[Index];
        UCHAR B = (UCHAR)String2->Buffer[Index];

        if (CaseInSensitive) {
            A = (UCHAR)RtlUpperChar((CHAR)A);
            B = (UCHAR)RtlUpperChar((CHAR)B);
        }
        if (A != B) {
            return (LONG)A - (LONG)B;
        }
    }
    return (LONG)String1->Length - (LONG)String2->Length;
}

/**
 * RtlEqualString - whether two strings are equal.  IRQL: any, if resident.
 */
BOOLEAN NTAPI RtlEqualString(PSTRING String1, PSTRING String2, BOOLEAN CaseInSensitive)
{
    return String1->Length == String2->Length && RtlCompareString(String1, String2, CaseInSensitive) == 0;
}

/**
 * RtlUpperString - upper-cases as much as fits into another string.  IRQL: any, if resident.
 */
VOID NTAPI RtlUpperString(PSTRING DestinationString, PSTRING SourceString)
{
    ULONG Bytes = min(SourceString->Length, DestinationString->MaximumLength);

    for (ULONG Index = 0; Index < Bytes; Index++) {
        DestinationString->Buffer[Index] = RtlUpperChar(SourceString->Buffer[Index]);
    }
    DestinationString->Length = (USHORT)Bytes;
}

/**
 * RtlMultiByteToUnicodeN - converts bytes of the ANSI code page to UTF-16, as many as fit.
 *
 * @BytesInUnicodeString  optional: gets the number of bytes written
 * returns                STATUS_SUCCESS, also when the result was cut (documented)
 *
 * IRQL: any, if the buffers are resident.
 */
NTSTATUS NTAPI RtlMultiByteToUnicodeN(PWCH UnicodeString, ULONG MaxBytesInUnicodeString, PULONG BytesInUnicodeString,
                                      const CHAR *MultiByteString, ULONG BytesInMultiByteString)
{
    ULONG Count = min(MaxBytesInUnicodeString / (ULONG)sizeof(WCHAR), BytesInMultiByteString);

    for (ULONG Index = 0; Index < Count; Index++) {
        UnicodeString[Index] = (UCHAR)MultiByteString[Index];
    }
    if (BytesInUnicodeString != NULL) {
        *BytesInUnicodeString = Count * sizeof(WCHAR);
    }
    return STATUS_SUCCESS;
}

/**
 * RtlUnicodeToMultiByteN - converts UTF-16 to the ANSI code page, as much as fits.
 *
 * @BytesInMultiByteString  optional: gets the number of bytes written
 * returns                  STATUS_SUCCESS, also when the result was cut (documented)
 *
 * IRQL: any, if the buffers are resident.
 */
NTSTATUS NTAPI RtlUnicodeToMultiByteN(PCHAR MultiByteString, ULONG MaxBytesInMultiByteString,
                                      PULONG BytesInMultiByteString, PCWCH UnicodeString, ULONG BytesInUnicodeString)
{
    ULONG Count = min(MaxBytesInMultiByteString, BytesInUnicodeString / (ULONG)sizeof(WCHAR));

    for (ULONG Index = 0; Index < Count; Index++) {
        MultiByteString[Index] = (CHAR)(UnicodeString[Index] <= 0xFF ? UnicodeString[Index] : '?');
    }
    if (BytesInMultiByteString != NULL) {
        *BytesInMultiByteString = Count;
    }
    return STATUS_SUCCESS;
}

/**
 * RtlOemToUnicodeN - as RtlMultiByteToUnicodeN; both code pages are the same.
 */
NTSTATUS NTAPI RtlOemToUnicodeN(PWSTR UnicodeString, ULONG MaxBytesInUnicodeString, PULONG BytesInUnicodeString,
                                PCCH OemString, ULONG BytesInOemString)
{
    return RtlMultiByteToUnicodeN(UnicodeString, MaxBytesInUnicodeString, BytesInUnicodeString, OemString,
                                  BytesInOemString);
}

/**
 * RtlUnicodeToOemN - as RtlUnicodeToMultiByteN; both code pages are the same.
 */
NTSTATUS NTAPI RtlUnicodeToOemN(PCHAR OemString, ULONG MaxBytesInOemString, PULONG BytesInOemString,
                                PCWCH UnicodeString, ULONG BytesInUnicodeString)
{
    return RtlUnicodeToMultiByteN(OemString, MaxBytesInOemString, BytesInOemString, UnicodeString,
                                  BytesInUnicodeString);
}

/**
 * RtlMultiByteToUnicodeSize - bytes of UTF-16 that a string of bytes converts to, without terminator.
 */
NTSTATUS NTAPI RtlMultiByteToUnicodeSize(PULONG BytesInUnicodeString, const CHAR *MultiByteString,
                                         ULONG BytesInMultiByteString)
{
    *BytesInUnicodeString = BytesInMultiByteString * sizeof(WCHAR);
    return STATUS_SUCCESS;
}

/**
 * RtlUnicodeToMultiByteSize - bytes of the ANSI code page that UTF-16 converts to, without terminator.
 */
NTSTATUS NTAPI RtlUnicodeToMultiByteSize(PULONG BytesInMultiByteString, PCWCH UnicodeString, ULONG BytesInUnicodeString)
{
    *BytesInMultiByteString = BytesInUnicodeString / sizeof(WCHAR);
    return STATUS_SUCCESS;
}

/**
 * RtlxAnsiStringToUnicodeSize - bytes, terminator included, of the string converted to UTF-16.
 */
ULONG NTAPI RtlxAnsiStringToUnicodeSize(PCANSI_STRING AnsiString)
{
    return ((ULONG)AnsiString->Length + 1) * sizeof(WCHAR);
}

/**
 * RtlxUnicodeStringToAnsiSize - bytes, terminator included, of the string converted to the ANSI code page.
 */
ULONG NTAPI RtlxUnicodeStringToAnsiSize(PCUNICODE_STRING UnicodeString)
{
    return UnicodeString->Length / sizeof(WCHAR) + 1;
}

/**
 * RtlxOemStringToUnicodeSize - as RtlxAnsiStringToUnicodeSize.
 */
ULONG NTAPI RtlxOemStringToUnicodeSize(PCOEM_STRING OemString)
{
    return RtlxAnsiStringToUnicodeSize((PCANSI_STRING)OemString);
}

/**
 * RtlxUnicodeStringToOemSize - as RtlxUnicodeStringToAnsiSize.
 */
ULONG NTAPI RtlxUnicodeStringToOemSize(PCUNICODE_STRING UnicodeString)
{
    return RtlxUnicodeStringToAnsiSize(UnicodeString);
}
