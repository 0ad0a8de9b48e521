/*
 * sid.c - security identifiers: S-1-authority-subauthority...
 *
 * A SID is one byte of revision (1), one byte counting its 32-bit sub-authorities (15 at most), six bytes of authority in
 * big-endian order, and the sub-authorities. Its length follows from the count, so a SID that comes from outside is measured
 * against the bytes at hand (RtlpValidSidBytes) before anything else looks at it.
 *
 * No locks. IRQL: any if the memory is resident, but for the text form, which may allocate paged pool (PASSIVE_LEVEL).
 * Source: Microsoft Learn, "SID structure", [MS-DTYP] 2.4.2.
 */
#include <ntos/ntos.h>
#include "rtlsec.h"
#include "rtlstring.h"

#define RTLP_SID_FIXED_BYTES FIELD_OFFSET(SID, SubAuthority)
C_ASSERT(RTLP_SID_FIXED_BYTES == 8);

/* "S-1-", an authority of 14 characters at most, fifteen times "-4294967295" */
#define RTLP_SID_CHARACTERS (4 + 14 + SID_MAX_SUB_AUTHORITIES * 11)

/* Bytes of a SID with that many sub-authorities. */
ULONG NTAPI RtlLengthRequiredSid(ULONG SubAuthorityCount)
{
    return RTLP_SID_FIXED_BYTES + SubAuthorityCount * (ULONG)sizeof(ULONG);
}

ULONG NTAPI RtlLengthSid(PSID Sid)
{
    return RtlLengthRequiredSid(((PISID)Sid)->SubAuthorityCount);
}

BOOLEAN NTAPI RtlValidSid(PSID Sid)
{
    PISID Id = Sid;

    return Id != NULL && Id->Revision == SID_REVISION && Id->SubAuthorityCount <= SID_MAX_SUB_AUTHORITIES;
}

/* TRUE: Bytes bytes at Sid hold a whole valid SID. */
BOOLEAN RtlpValidSidBytes(PVOID Sid, ULONG Bytes)
{
    return Bytes >= RTLP_SID_FIXED_BYTES && RtlValidSid(Sid) && RtlLengthSid(Sid) <= Bytes;
}

/**
 * RtlInitializeSid - writes revision, authority and count; the sub-authorities are the caller's to set.
 *
 * @Sid     room for RtlLengthRequiredSid(SubAuthorityCount) bytes
 * returns  STATUS_SUCCESS; STATUS_INVALID_PARAMETER for more than 15 sub-authorities
 */
NTSTATUS NTAPI RtlInitializeSid(PSID Sid, PSID_IDENTIFIER_AUTHORITY IdentifierAuthority, UCHAR SubAuthorityCount)
{
    PISID Id = Sid;

    if (SubAuthorityCount > SID_MAX_SUB_AUTHORITIES) {
        return STATUS_INVALID_PARAMETER;
    }
    Id->Revision = SID_REVISION;
    Id->SubAuthorityCount = SubAuthorityCount;
    Id->IdentifierAuthority = *IdentifierAuthority;
    return STATUS_SUCCESS;
}

/* Address of the sub-authority of that index, which the caller keeps below the count. */
PULONG NTAPI RtlSubAuthoritySid(PSID Sid, ULONG SubAuthority)
{
    return &((PISID)Sid)->SubAuthority[SubAuthority];
}

PUCHAR NTAPI RtlSubAuthorityCountSid(PSID Sid)
{
    return &((PISID)Sid)->SubAuthorityCount;
}

BOOLEAN NTAPI RtlEqualSid(PSID Sid1, PSID Sid2)
{
    PISID First = Sid1, Second = Sid2;

    if (First->Revision != Second->Revision || First->SubAuthorityCount != Second->SubAuthorityCount) {
        return FALSE;
    }
    return RtlCompareMemory(Sid1, Sid2, RtlLengthSid(Sid1)) == RtlLengthSid(Sid1);
}

/**
 * RtlCopySid - copies a SID into Length bytes at Destination.
 *
 * returns  STATUS_SUCCESS; STATUS_BUFFER_TOO_SMALL, with nothing written
 */
NTSTATUS NTAPI RtlCopySid(ULONG Length, PSID Destination, PSID Source)
{
    ULONG Bytes = RtlLengthSid(Source);

    if (Length < Bytes) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    RtlMoveMemory(Destination, Source, Bytes);
    return STATUS_SUCCESS;
}

static ULONG RtlpPutDecimal(PWSTR Out, ULONG64 Value)
{
    WCHAR Digits[20];
    ULONG Count = 0;

    do {
        Digits[Count++] = (WCHAR)(L'0' + Value % 10);
        Value /= 10;
    } while (Value != 0);
    for (ULONG Index = 0; Index < Count; Index++) {
        Out[Index] = Digits[Count - 1 - Index];
    }
    return Count;
}

/* The authority: decimal up to 32 bits, else as twelve hexadecimal digits. */
static ULONG RtlpPutAuthority(PWSTR Out, const SID_IDENTIFIER_AUTHORITY *Authority)
{
    static const CHAR Hex[] = "0123456789abcdef";
    ULONG64 Value = 0;

    for (ULONG Index = 0; Index < sizeof(Authority->Value); Index++) {
        Value = Value << 8 | Authority->Value[Index];
    }
    if (Value <= MAXULONG) {
        return RtlpPutDecimal(Out, Value);
    }
    Out[0] = L'0';
    Out[1] = L'x';
    for (ULONG Index = 0; Index < 12; Index++) {
        Out[2 + Index] = (WCHAR)Hex[Value >> (44 - 4 * Index) & 15];
    }
    return 14;
}

/**
 * RtlConvertSidToUnicodeString - writes a SID as S-1-5-32-544.
 *
 * @AllocateDestinationString  TRUE: UnicodeString gets a buffer of paged pool (RtlFreeUnicodeString); FALSE: its own is used
 * returns  STATUS_SUCCESS; STATUS_INVALID_SID; STATUS_BUFFER_OVERFLOW (the buffer is too short); STATUS_NO_MEMORY
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI RtlConvertSidToUnicodeString(PUNICODE_STRING UnicodeString, PSID Sid, BOOLEAN AllocateDestinationString)
{
    WCHAR Text[RTLP_SID_CHARACTERS] = L"S-1-";
    PISID Id = Sid;
    ULONG Count = 4;
    BOOLEAN Terminate;
    NTSTATUS Status;

    if (!RtlValidSid(Sid)) {
        return STATUS_INVALID_SID;
    }
    Count += RtlpPutAuthority(Text + Count, &Id->IdentifierAuthority);
    for (ULONG Index = 0; Index < Id->SubAuthorityCount; Index++) {
        Text[Count++] = L'-';
        Count += RtlpPutDecimal(Text + Count, Id->SubAuthority[Index]);
    }
    Status = RtlpPrepareUnicodeString(UnicodeString, Count * sizeof(WCHAR), AllocateDestinationString,
                                      AllocateDestinationString);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Terminate = UnicodeString->MaximumLength >= (Count + 1) * sizeof(WCHAR);
    RtlCopyMemory(UnicodeString->Buffer, Text, Count * sizeof(WCHAR));
    UnicodeString->Length = (USHORT)(Count * sizeof(WCHAR));
    if (Terminate) {
        UnicodeString->Buffer[Count] = 0;
    }
    return STATUS_SUCCESS;
}
