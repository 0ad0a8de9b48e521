/*
 * rtlstring.h - private helpers shared by the string routines.
 */
#pragma once

#define RTLP_MAXIMUM_BYTES 0xFFFCU /* longest Length of UTF-16 that leaves MaximumLength room for a NUL */

#define RTLP_STRING_TAG 'grtS' /* "Strg" */

/**
 * RtlpPrepareUnicodeString - makes room for a result of Bytes bytes (plus a terminator, if asked).
 *
 * @Terminate  TRUE: two more bytes must fit, for a NUL
 * @Allocate   TRUE: Destination is uninitialised and gets a new buffer of paged pool; FALSE: its buffer is checked
 * Errors: STATUS_BUFFER_OVERFLOW (buffer too short), STATUS_NO_MEMORY, STATUS_INVALID_PARAMETER_2 (a counted string
 * cannot be that long). Length is left for the caller to set.  IRQL: PASSIVE_LEVEL when Allocate, else any.
 */
NTSTATUS RtlpPrepareUnicodeString(PUNICODE_STRING Destination, ULONG Bytes, BOOLEAN Terminate, BOOLEAN Allocate);

/* The same for strings of bytes. */
NTSTATUS RtlpPrepareAnsiString(PANSI_STRING Destination, ULONG Bytes, BOOLEAN Terminate, BOOLEAN Allocate);

/* Characters before the NUL. */
FORCEINLINE SIZE_T RtlpWideLength(PCWSTR Source)
{
    SIZE_T Count = 0;

    while (Source[Count] != 0) {
        Count++;
    }
    return Count;
}
