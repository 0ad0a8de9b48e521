/*
 * utf8.c - conversion between UTF-8 and UTF-16.
 *
 * Ill-formed input (stray continuation bytes, overlong forms, cut sequences, encoded surrogates, lone surrogates in
 * UTF-16) becomes U+FFFD and is reported as STATUS_SOME_NOT_MAPPED, a success code. A bad sequence is replaced once for
 * each of its maximal prefixes that could have begun a character, as the Unicode Standard recommends (section 3.9), so
 * the decoder always advances.
 *
 * A NULL destination asks for the size only. A result that does not fit ends after the last whole character, with
 * STATUS_BUFFER_TOO_SMALL. No locks, no allocation; IRQL: any, if the buffers are resident.
 */
#include <ntos/ntos.h>

#define RTLP_REPLACEMENT 0xFFFDU

/* Where converted units go: counted always, stored only while there is room. */
typedef struct _RTLP_SINK {
    PUCHAR Buffer; /* NULL: count only */
    ULONG Room;    /* bytes */
    ULONG Used;    /* bytes */
} RTLP_SINK;

static BOOLEAN RtlpSinkPut(RTLP_SINK *Sink, const VOID *Data, ULONG Bytes)
{
    if (Sink->Buffer != NULL) {
        if (Bytes > Sink->Room - Sink->Used) {
            return FALSE;
        }
        RtlCopyMemory(Sink->Buffer + Sink->Used, Data, Bytes);
    }
    Sink->Used += Bytes;
    return TRUE;
}

/* Length of the sequence that a lead byte announces, and the allowed range of its second byte (Unicode table 3-7). */
static ULONG RtlpLeadLength(UCHAR Lead, UCHAR *Low, UCHAR *High)
{
    *Low = 0x80;
    *High = 0xBF;
    if (Lead >= 0xC2 && Lead <= 0xDF) {
        return 2;
    }
    if (Lead >= 0xE0 && Lead <= 0xEF) {
        *Low = Lead == 0xE0 ? 0xA0 : 0x80;
        *High = Lead == 0xED ? 0x9F : 0xBF;
        return 3;
    }
    if (Lead >= 0xF0 && Lead <= 0xF4) {
        *Low = Lead == 0xF0 ? 0x90 : 0x80;
        *High = Lead == 0xF4 ? 0x8F : 0xBF;
        return 4;
    }
    return 0;
}

/* Decodes one character; returns the bytes consumed (at least 1). *Code is RTLP_REPLACEMENT and *Bad set if ill-formed. */
static ULONG RtlpDecodeUtf8(const UCHAR *Source, ULONG Bytes, PULONG Code, BOOLEAN *Bad)
{
    UCHAR Low, High;
    ULONG Length;

    if (Source[0] < 0x80) {
        *Code = Source[0];
        return 1;
    }
    Length = RtlpLeadLength(Source[0], &Low, &High);
    *Code = Length == 0 ? 0 : Source[0] & (0x7FU >> Length);
    for (ULONG Index = 1; Index < Length; Index++) {
        if (Index >= Bytes || Source[Index] < Low || Source[Index] > High) {
            *Code = RTLP_REPLACEMENT;
            *Bad = TRUE;
            return Index;
        }
        *Code = (*Code << 6) | (Source[Index] & 0x3F);
        Low = 0x80;
        High = 0xBF;
    }
    if (Length == 0) {
        *Code = RTLP_REPLACEMENT;
        *Bad = TRUE;
        return 1;
    }
    return Length;
}

/**
 * RtlUTF8ToUnicodeN - converts UTF-8 to UTF-16 without a terminator.
 *
 * @UnicodeStringDestination      NULL: only the size is computed
 * @UnicodeStringMaxByteCount     room, in bytes
 * @UnicodeStringActualByteCount  gets the bytes written (or needed, without a destination)
 * returns  STATUS_SUCCESS, STATUS_SOME_NOT_MAPPED, STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_PARAMETER (no count),
 *          STATUS_INVALID_PARAMETER_4 (no source)
 */
NTSTATUS NTAPI RtlUTF8ToUnicodeN(PWSTR UnicodeStringDestination, ULONG UnicodeStringMaxByteCount,
                                 PULONG UnicodeStringActualByteCount, PCCH UTF8StringSource, ULONG UTF8StringByteCount)
{
    const UCHAR *Source = (const UCHAR *)UTF8StringSource;
    RTLP_SINK Sink = {(PUCHAR)UnicodeStringDestination, UnicodeStringMaxByteCount, 0};
    NTSTATUS Status = STATUS_SUCCESS;
    BOOLEAN Bad = FALSE;

    if (UnicodeStringActualByteCount == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    if (UTF8StringSource == NULL) {
        return STATUS_INVALID_PARAMETER_4;
    }
    for (ULONG Next = 0; Next < UTF8StringByteCount;) {
        ULONG Code;
        WCHAR Units[2];
        ULONG UnitBytes = sizeof(WCHAR);

        Next += RtlpDecodeUtf8(Source + Next, UTF8StringByteCount - Next, &Code, &Bad);
        Units[0] = (WCHAR)Code;
        if (Code >= 0x10000) {
            Units[0] = (WCHAR)(0xD800 + ((Code - 0x10000) >> 10));
            Units[1] = (WCHAR)(0xDC00 + ((Code - 0x10000) & 0x3FF));
            UnitBytes = 2 * sizeof(WCHAR);
        }
        if (!RtlpSinkPut(&Sink, Units, UnitBytes)) {
            Status = STATUS_BUFFER_TOO_SMALL;
            break;
        }
    }
    *UnicodeStringActualByteCount = Sink.Used;
    if (Status == STATUS_SUCCESS && Bad) {
        Status = STATUS_SOME_NOT_MAPPED;
    }
    return Status;
}

static ULONG RtlpEncodeUtf8(ULONG Code, UCHAR *Bytes)
{
    if (Code < 0x80) {
        Bytes[0] = (UCHAR)Code;
        return 1;
    }
    if (Code < 0x800) {
        Bytes[0] = (UCHAR)(0xC0 | (Code >> 6));
        Bytes[1] = (UCHAR)(0x80 | (Code & 0x3F));
        return 2;
    }
    if (Code < 0x10000) {
        Bytes[0] = (UCHAR)(0xE0 | (Code >> 12));
        Bytes[1] = (UCHAR)(0x80 | ((Code >> 6) & 0x3F));
        Bytes[2] = (UCHAR)(0x80 | (Code & 0x3F));
        return 3;
    }
    Bytes[0] = (UCHAR)(0xF0 | (Code >> 18));
    Bytes[1] = (UCHAR)(0x80 | ((Code >> 12) & 0x3F));
    Bytes[2] = (UCHAR)(0x80 | ((Code >> 6) & 0x3F));
    Bytes[3] = (UCHAR)(0x80 | (Code & 0x3F));
    return 4;
}

/**
 * RtlUnicodeToUTF8N - converts UTF-16 to UTF-8 without a terminator.
 *
 * @UTF8StringDestination      NULL: only the size is computed
 * @UTF8StringMaxByteCount     room, in bytes
 * @UTF8StringActualByteCount  gets the bytes written (or needed, without a destination)
 * @UnicodeStringByteCount     bytes of the source; must be even
 * returns  STATUS_SUCCESS, STATUS_SOME_NOT_MAPPED (lone surrogates), STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_PARAMETER
 *          (no count), STATUS_INVALID_PARAMETER_4 (no source), STATUS_INVALID_PARAMETER_5 (odd size)
 */
NTSTATUS NTAPI RtlUnicodeToUTF8N(PCHAR UTF8StringDestination, ULONG UTF8StringMaxByteCount,
                                 PULONG UTF8StringActualByteCount, PCWCH UnicodeStringSource,
                                 ULONG UnicodeStringByteCount)
{
    RTLP_SINK Sink = {(PUCHAR)UTF8StringDestination, UTF8StringMaxByteCount, 0};
    ULONG Count = UnicodeStringByteCount / sizeof(WCHAR);
    NTSTATUS Status = STATUS_SUCCESS;

    if (UTF8StringActualByteCount == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    if (UnicodeStringSource == NULL) {
        return STATUS_INVALID_PARAMETER_4;
    }
    if (UnicodeStringByteCount % sizeof(WCHAR) != 0) {
        return STATUS_INVALID_PARAMETER_5;
    }
    for (ULONG Next = 0; Next < Count; Next++) {
        ULONG Code = UnicodeStringSource[Next];
        UCHAR Bytes[4];

        if (Code >= 0xD800 && Code <= 0xDFFF) {
            WCHAR Second = Next + 1 < Count ? UnicodeStringSource[Next + 1] : 0;

            if (Code <= 0xDBFF && Second >= 0xDC00 && Second <= 0xDFFF) {
                Code = 0x10000 + ((Code - 0xD800) << 10) + (Second - 0xDC00);
                Next++;
            } else {
                Code = RTLP_REPLACEMENT;
                Status = STATUS_SOME_NOT_MAPPED;
            }
        }
        if (!RtlpSinkPut(&Sink, Bytes, RtlpEncodeUtf8(Code, Bytes))) {
            Status = STATUS_BUFFER_TOO_SMALL;
            break;
        }
    }
    *UTF8StringActualByteCount = Sink.Used;
    return Status;
}
