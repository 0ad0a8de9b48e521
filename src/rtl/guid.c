/*
 * guid.c - GUIDs as text: {XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX}.
 *
 * The first three fields are little-endian numbers and are shown as such; the last eight bytes are shown in order.
 * RtlStringFromGUID allocates paged pool (PASSIVE_LEVEL); reading works at any IRQL. No locks.
 */
#include <ntos/ntos.h>
#include "digit.h"
#include "rtlstring.h"

#define RTLP_GUID_CHARS 38 /* with the braces and dashes */

/* The 16 bytes of a GUID in the order in which text shows them; the first three fields are little-endian numbers. */
static const UCHAR RtlpGuidOrder[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

static BOOLEAN RtlpGuidDashBefore(ULONG Byte)
{
    return Byte == 4 || Byte == 6 || Byte == 8 || Byte == 10;
}

/**
 * RtlStringFromGUID - writes a GUID into an allocated string.
 *
 * Errors: STATUS_NO_MEMORY.  IRQL: PASSIVE_LEVEL.  Free with RtlFreeUnicodeString.
 */
NTSTATUS NTAPI RtlStringFromGUID(REFGUID Guid, PUNICODE_STRING GuidString)
{
    static const CHAR Hex[] = "0123456789ABCDEF";
    const UCHAR *Bytes = (const UCHAR *)Guid;
    NTSTATUS Status = RtlpPrepareUnicodeString(GuidString, RTLP_GUID_CHARS * sizeof(WCHAR), TRUE, TRUE);
    PWSTR Out = GuidString->Buffer;

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    *Out++ = '{';
    for (ULONG Index = 0; Index < sizeof(GUID); Index++) {
        UCHAR Byte = Bytes[RtlpGuidOrder[Index]];

        if (RtlpGuidDashBefore(Index)) {
            *Out++ = '-';
        }
        *Out++ = (WCHAR)Hex[Byte >> 4];
        *Out++ = (WCHAR)Hex[Byte & 15];
    }
    *Out++ = '}';
    *Out = 0;
    GuidString->Length = RTLP_GUID_CHARS * sizeof(WCHAR);
    return STATUS_SUCCESS;
}

/**
 * RtlGUIDFromString - reads the form that RtlStringFromGUID writes (either case).
 *
 * Errors: STATUS_INVALID_PARAMETER; the GUID is then unchanged.  IRQL: any, if resident.
 */
NTSTATUS NTAPI RtlGUIDFromString(PUNICODE_STRING GuidString, GUID *Guid)
{
    PCWCH Next = GuidString->Buffer;
    UCHAR Bytes[sizeof(GUID)];

    if (GuidString->Length != RTLP_GUID_CHARS * sizeof(WCHAR) || *Next++ != '{') {
        return STATUS_INVALID_PARAMETER;
    }
    for (ULONG Index = 0; Index < sizeof(GUID); Index++) {
        ULONG High, Low;

        if (RtlpGuidDashBefore(Index) && *Next++ != '-') {
            return STATUS_INVALID_PARAMETER;
        }
        High = RtlpDigit(*Next++);
        Low = RtlpDigit(*Next++);
        if (High > 15 || Low > 15) {
            return STATUS_INVALID_PARAMETER;
        }
        Bytes[RtlpGuidOrder[Index]] = (UCHAR)(High << 4 | Low);
    }
    if (*Next != '}') {
        return STATUS_INVALID_PARAMETER;
    }
    RtlCopyMemory(Guid, Bytes, sizeof(GUID));
    return STATUS_SUCCESS;
}
