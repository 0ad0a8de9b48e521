/*
 * stralloc.c - string routines whose result may go into a buffer that they allocate.
 *
 * Each of them either fills the caller's buffer or, when asked, takes one from paged pool, which the caller gives back
 * with RtlFreeUnicodeString or RtlFreeAnsiString. Hence PASSIVE_LEVEL, as documented. A result in bytes of the ANSI
 * code page is always followed by a NUL, for which there must be room. No locks.
 *
 * Source of the behaviour: the routines' pages in the Windows driver documentation.
 */
#include <ntos/ntos.h>
#include "rtlstring.h"

NTSTATUS RtlpPrepareUnicodeString(PUNICODE_STRING Destination, ULONG Bytes, BOOLEAN Terminate, BOOLEAN Allocate)
{
    ULONG Needed = Bytes + (Terminate ? sizeof(WCHAR) : 0);

    if (!Allocate) {
        return Needed <= Destination->MaximumLength ? STATUS_SUCCESS : STATUS_BUFFER_OVERFLOW;
    }
    if (Needed > MAXUSHORT) {
        return STATUS_INVALID_PARAMETER_2;
    }
    /* A string of no bytes still gets a buffer, so that freeing it needs no special case. */
    Destination->Buffer = ExAllocatePoolWithTag(PagedPool, Needed != 0 ? Needed : sizeof(WCHAR), RTLP_STRING_TAG);
    if (Destination->Buffer == NULL) {
        return STATUS_NO_MEMORY;
    }
    Destination->MaximumLength = (USHORT)Needed;
    Destination->Length = 0;
    return STATUS_SUCCESS;
}

/**
 * RtlFreeUnicodeString - frees the buffer of a string that an Rtl routine allocated, and empties the string.
 *
 * IRQL: PASSIVE_LEVEL.
 */
VOID NTAPI RtlFreeUnicodeString(PUNICODE_STRING UnicodeString)
{
    if (UnicodeString->Buffer != NULL) {
        ExFreePoolWithTag(UnicodeString->Buffer, RTLP_STRING_TAG);
        RtlZeroMemory(UnicodeString, sizeof(*UnicodeString));
    }
}

/**
 * RtlCreateUnicodeString - a new string with a copy of a NUL-terminated one; FALSE when memory is short or it is too long.
 *
 * IRQL: PASSIVE_LEVEL.  Free with RtlFreeUnicodeString.
 */
BOOLEAN NTAPI RtlCreateUnicodeString(PUNICODE_STRING DestinationString, PCWSTR SourceString)
{
    SIZE_T Bytes = RtlpWideLength(SourceString) * sizeof(WCHAR);

    if (Bytes > RTLP_MAXIMUM_BYTES ||
        !NT_SUCCESS(RtlpPrepareUnicodeString(DestinationString, (ULONG)Bytes, TRUE, TRUE))) {
        return FALSE;
    }
    RtlCopyMemory(DestinationString->Buffer, SourceString, Bytes + sizeof(WCHAR));
    DestinationString->Length = (USHORT)Bytes;
    return TRUE;
}

/**
 * RtlDuplicateUnicodeString - an allocated copy.
 *
 * @Flags  RTL_DUPLICATE_UNICODE_STRING_NULL_TERMINATE, and with it RTL_DUPLICATE_UNICODE_STRING_ALLOCATE_NULL_STRING
 *         (an empty source then gets a buffer too)
 * Errors: STATUS_INVALID_PARAMETER, STATUS_NAME_TOO_LONG, STATUS_NO_MEMORY.  IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI RtlDuplicateUnicodeString(ULONG Flags, PCUNICODE_STRING SourceString, PUNICODE_STRING DestinationString)
{
    ULONG Both = RTL_DUPLICATE_UNICODE_STRING_NULL_TERMINATE | RTL_DUPLICATE_UNICODE_STRING_ALLOCATE_NULL_STRING;
    BOOLEAN Terminate = (Flags & RTL_DUPLICATE_UNICODE_STRING_NULL_TERMINATE) != 0;
    NTSTATUS Status;

    if ((Flags & ~Both) != 0 || (Flags & Both) == RTL_DUPLICATE_UNICODE_STRING_ALLOCATE_NULL_STRING ||
        DestinationString == NULL || !NT_SUCCESS(RtlValidateUnicodeString(0, SourceString))) {
        return STATUS_INVALID_PARAMETER;
    }
    if (SourceString == NULL || (SourceString->Length == 0 && (Flags & Both) != Both)) {
        RtlZeroMemory(DestinationString, sizeof(*DestinationString));
        return STATUS_SUCCESS;
    }
    if (Terminate && SourceString->Length > RTLP_MAXIMUM_BYTES) {
        return STATUS_NAME_TOO_LONG;
    }
    Status = RtlpPrepareUnicodeString(DestinationString, SourceString->Length, Terminate, TRUE);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    RtlCopyMemory(DestinationString->Buffer, SourceString->Buffer, SourceString->Length);
    DestinationString->Length = SourceString->Length;
    if (Terminate) {
        DestinationString->Buffer[SourceString->Length / sizeof(WCHAR)] = 0;
    }
    return STATUS_SUCCESS;
}

static NTSTATUS RtlpMapString(PUNICODE_STRING Destination, PCUNICODE_STRING Source, BOOLEAN Allocate,
                              WCHAR(NTAPI *Map)(WCHAR))
{
    NTSTATUS Status = RtlpPrepareUnicodeString(Destination, Source->Length, FALSE, Allocate);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    for (ULONG Index = 0; Index < Source->Length / sizeof(WCHAR); Index++) {
        Destination->Buffer[Index] = Map(Source->Buffer[Index]);
    }
    Destination->Length = Source->Length & ~1U;
    return STATUS_SUCCESS;
}

/**
 * RtlUpcaseUnicodeString - upper-cases a string into another (which may be the same).
 *
 * @AllocateDestinationString  TRUE: the buffer is allocated, and freed by RtlFreeUnicodeString
 * Errors: STATUS_BUFFER_OVERFLOW (destination too short), STATUS_NO_MEMORY.
 *
 * IRQL: PASSIVE_LEVEL.  Locks: none.
 */
NTSTATUS NTAPI RtlUpcaseUnicodeString(PUNICODE_STRING DestinationString, PCUNICODE_STRING SourceString,
                                      BOOLEAN AllocateDestinationString)
{
    return RtlpMapString(DestinationString, SourceString, AllocateDestinationString, RtlUpcaseUnicodeChar);
}

/**
 * RtlDowncaseUnicodeString - as RtlUpcaseUnicodeString, to lower case.
 */
NTSTATUS NTAPI RtlDowncaseUnicodeString(PUNICODE_STRING DestinationString, PCUNICODE_STRING SourceString,
                                        BOOLEAN AllocateDestinationString)
{
    return RtlpMapString(DestinationString, SourceString, AllocateDestinationString, RtlDowncaseUnicodeChar);
}

NTSTATUS RtlpPrepareAnsiString(PANSI_STRING Destination, ULONG Bytes, BOOLEAN Terminate, BOOLEAN Allocate)
{
    ULONG Needed = Bytes + (Terminate ? 1 : 0);

    if (!Allocate) {
        return Needed <= Destination->MaximumLength ? STATUS_SUCCESS : STATUS_BUFFER_OVERFLOW;
    }
    if (Needed > MAXUSHORT) {
        return STATUS_INVALID_PARAMETER_2;
    }
    Destination->Buffer = ExAllocatePoolWithTag(PagedPool, Needed != 0 ? Needed : 1, RTLP_STRING_TAG);
    if (Destination->Buffer == NULL) {
        return STATUS_NO_MEMORY;
    }
    Destination->MaximumLength = (USHORT)Needed;
    Destination->Length = 0;
    return STATUS_SUCCESS;
}

/**
 * RtlFreeAnsiString - frees the buffer of a string that an Rtl routine allocated, and empties the string.
 *
 * IRQL: PASSIVE_LEVEL.
 */
VOID NTAPI RtlFreeAnsiString(PANSI_STRING AnsiString)
{
    if (AnsiString->Buffer != NULL) {
        ExFreePoolWithTag(AnsiString->Buffer, RTLP_STRING_TAG);
        RtlZeroMemory(AnsiString, sizeof(*AnsiString));
    }
}

/**
 * RtlFreeOemString - as RtlFreeAnsiString.
 */
VOID NTAPI RtlFreeOemString(POEM_STRING OemString)
{
    RtlFreeAnsiString(OemString);
}

/**
 * RtlAnsiStringToUnicodeString - converts a counted string of the ANSI code page.
 *
 * @AllocateDestinationString  TRUE: the buffer is allocated, and freed by RtlFreeUnicodeString
 * Errors: STATUS_BUFFER_OVERFLOW (destination too short), STATUS_INVALID_PARAMETER_2 (result too long for a counted
 * string), STATUS_NO_MEMORY.
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI RtlAnsiStringToUnicodeString(PUNICODE_STRING DestinationString, PCANSI_STRING SourceString,
                                            BOOLEAN AllocateDestinationString)
{
    ULONG Bytes = (ULONG)SourceString->Length * sizeof(WCHAR);
    NTSTATUS Status;

    if (Bytes + sizeof(WCHAR) > MAXUSHORT) {
        return STATUS_INVALID_PARAMETER_2;
    }
    Status = RtlpPrepareUnicodeString(DestinationString, Bytes, TRUE, AllocateDestinationString);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    RtlMultiByteToUnicodeN(DestinationString->Buffer, Bytes, NULL, SourceString->Buffer, SourceString->Length);
    DestinationString->Buffer[SourceString->Length] = 0;
    DestinationString->Length = (USHORT)Bytes;
    return STATUS_SUCCESS;
}

/**
 * RtlUnicodeStringToAnsiString - converts a counted string to the ANSI code page.
 *
 * @AllocateDestinationString  TRUE: the buffer is allocated, and freed by RtlFreeAnsiString
 * Errors: STATUS_BUFFER_OVERFLOW (destination too short: as much as fits is converted), STATUS_NO_MEMORY.
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI RtlUnicodeStringToAnsiString(PANSI_STRING DestinationString, PCUNICODE_STRING SourceString,
                                            BOOLEAN AllocateDestinationString)
{
    ULONG Bytes = SourceString->Length / sizeof(WCHAR);
    NTSTATUS Status = RtlpPrepareAnsiString(DestinationString, Bytes, TRUE, AllocateDestinationString);

    if (!NT_SUCCESS(Status)) {
        if (Status != STATUS_BUFFER_OVERFLOW || DestinationString->MaximumLength == 0) {
            return Status;
        }
        Bytes = DestinationString->MaximumLength - 1U;
    }
    RtlUnicodeToMultiByteN(DestinationString->Buffer, Bytes, NULL, SourceString->Buffer, SourceString->Length);
    DestinationString->Buffer[Bytes] = 0;
    DestinationString->Length = (USHORT)Bytes;
    return Status;
}

/**
 * RtlOemStringToUnicodeString - as RtlAnsiStringToUnicodeString.
 */
NTSTATUS NTAPI RtlOemStringToUnicodeString(PUNICODE_STRING DestinationString, PCOEM_STRING SourceString,
                                           BOOLEAN AllocateDestinationString)
{
    return RtlAnsiStringToUnicodeString(DestinationString, (PCANSI_STRING)SourceString, AllocateDestinationString);
}

/**
 * RtlUnicodeStringToOemString - as RtlUnicodeStringToAnsiString.
 */
NTSTATUS NTAPI RtlUnicodeStringToOemString(POEM_STRING DestinationString, PCUNICODE_STRING SourceString,
                                           BOOLEAN AllocateDestinationString)
{
    return RtlUnicodeStringToAnsiString(DestinationString, SourceString, AllocateDestinationString);
}
