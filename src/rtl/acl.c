/*
 * acl.c - access control lists: a header and AceCount entries of variable size, one after the other.
 *
 * Entries (ACEs) carry their own size; the first free byte is found by walking them. Every routine that walks checks each
 * size against AclSize, so a damaged list yields an error and never an access beyond its end. An ACE of a kind that this
 * file knows to hold a SID after its mask has that SID checked too; other kinds are opaque.
 *
 * No locks; a list belongs to its caller. IRQL: any if the memory is resident. Source: Microsoft Learn, "ACL
 * structure", "ACE_HEADER structure", [MS-DTYP] 2.4.4 and 2.4.5.
 */
#include <ntos/rtl.h>
#include "rtlsec.h"

#define RTLP_ACE_ALIGN sizeof(ULONG)

C_ASSERT(sizeof(ACL) == 8);
C_ASSERT(sizeof(ACE_HEADER) == 4);

static BOOLEAN RtlpKnownRevision(ULONG Revision)
{
    return Revision >= MIN_ACL_REVISION && Revision <= MAX_ACL_REVISION;
}

/* TRUE: the ACE's mask is followed by a SID at once. */
static BOOLEAN RtlpAceHoldsSid(UCHAR Type)
{
    return Type <= ACCESS_MAX_MS_V2_ACE_TYPE || Type == SYSTEM_MANDATORY_LABEL_ACE_TYPE ||
           Type == ACCESS_ALLOWED_CALLBACK_ACE_TYPE || Type == ACCESS_DENIED_CALLBACK_ACE_TYPE ||
           Type == SYSTEM_AUDIT_CALLBACK_ACE_TYPE || Type == SYSTEM_ALARM_CALLBACK_ACE_TYPE;
}

/* TRUE: an ACE begins here and ends within Room bytes. */
static BOOLEAN RtlpValidAce(PACE_HEADER Ace, ULONG Room)
{
    if (Room < sizeof(*Ace) || Ace->AceSize < sizeof(*Ace) || Ace->AceSize > Room ||
        Ace->AceSize % RTLP_ACE_ALIGN != 0) {
        return FALSE;
    }
    if (!RtlpAceHoldsSid(Ace->AceType)) {
        return TRUE;
    }
    return Ace->AceSize >= FIELD_OFFSET(ACCESS_ALLOWED_ACE, SidStart) &&
           RtlpValidSidBytes(&((PACCESS_ALLOWED_ACE)Ace)->SidStart,
                             Ace->AceSize - FIELD_OFFSET(ACCESS_ALLOWED_ACE, SidStart));
}

/* The place after Count ACEs; NULL: the list does not hold that many whole ones. */
static PACE_HEADER RtlpSkipAces(PACL Acl, ULONG Count)
{
    PUCHAR Next = (PUCHAR)(Acl + 1), End = (PUCHAR)Acl + Acl->AclSize;

    for (ULONG Index = 0; Index < Count; Index++) {
        PACE_HEADER Ace = (PACE_HEADER)Next;

        if (End < Next || (SIZE_T)(End - Next) < sizeof(*Ace) || Ace->AceSize < sizeof(*Ace) ||
            Ace->AceSize > (SIZE_T)(End - Next)) {
            return NULL;
        }
        Next += Ace->AceSize;
    }
    return (PACE_HEADER)Next;
}

BOOLEAN RtlpValidAclBytes(PVOID Address, ULONG Bytes)
{
    PACL Acl = Address;
    PUCHAR Next = (PUCHAR)(Acl + 1);

    if (Bytes < sizeof(*Acl) || !RtlpKnownRevision(Acl->AclRevision) || Acl->AclSize < sizeof(*Acl) ||
        Acl->AclSize > Bytes || Acl->AclSize % RTLP_ACE_ALIGN != 0) {
        return FALSE;
    }
    for (ULONG Index = 0; Index < Acl->AceCount; Index++) {
        if (!RtlpValidAce((PACE_HEADER)Next, (ULONG)((PUCHAR)Acl + Acl->AclSize - Next))) {
            return FALSE;
        }
        Next += ((PACE_HEADER)Next)->AceSize;
    }
    return TRUE;
}

/**
 * RtlCreateAcl - makes an empty list.
 *
 * @AclLength  bytes at Acl; rounded down to a multiple of 4
 * returns     STATUS_SUCCESS; STATUS_BUFFER_TOO_SMALL; STATUS_INVALID_PARAMETER (revision, or 64 KB and more)
 */
NTSTATUS NTAPI RtlCreateAcl(PACL Acl, ULONG AclLength, ULONG AclRevision)
{
    if (AclLength < sizeof(*Acl)) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    if (!RtlpKnownRevision(AclRevision) || AclLength > MAXUSHORT) {
        return STATUS_INVALID_PARAMETER;
    }
    RtlZeroMemory(Acl, sizeof(*Acl));
    Acl->AclRevision = (UCHAR)AclRevision;
    Acl->AclSize = (USHORT)(AclLength & ~(RTLP_ACE_ALIGN - 1));
    return STATUS_SUCCESS;
}

/**
 * RtlAddAce - inserts one or more ACEs.
 *
 * @AceRevision       the revision that the new ACEs need; the list's rises to it
 * @StartingAceIndex  where; MAXULONG (or anything past the end): at the end
 * @AceList           AceListLength bytes of whole ACEs
 * returns            STATUS_SUCCESS; STATUS_INVALID_PARAMETER (damaged list, or damaged ACEs); STATUS_BUFFER_TOO_SMALL
 */
NTSTATUS NTAPI RtlAddAce(PACL Acl, ULONG AceRevision, ULONG StartingAceIndex, PVOID AceList, ULONG AceListLength)
{
    ULONG Added = 0;
    PUCHAR End, Place;

    if (!RtlpValidAclBytes(Acl, Acl->AclSize) || !RtlpKnownRevision(AceRevision)) {
        return STATUS_INVALID_PARAMETER;
    }
    for (ULONG Offset = 0; Offset < AceListLength; Added++) {
        PACE_HEADER Ace = (PACE_HEADER)((PUCHAR)AceList + Offset);

        if (!RtlpValidAce(Ace, AceListLength - Offset)) {
            return STATUS_INVALID_PARAMETER;
        }
        Offset += Ace->AceSize;
    }
    End = (PUCHAR)RtlpSkipAces(Acl, Acl->AceCount);
    if (AceListLength > (SIZE_T)((PUCHAR)Acl + Acl->AclSize - End) || Acl->AceCount + Added > MAXUSHORT) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    Place = (PUCHAR)RtlpSkipAces(Acl, min(StartingAceIndex, Acl->AceCount));
    RtlMoveMemory(Place + AceListLength, Place, (SIZE_T)(End - Place));
    RtlCopyMemory(Place, AceList, AceListLength);
    Acl->AceCount = (USHORT)(Acl->AceCount + Added);
    Acl->AclRevision = (UCHAR)max(Acl->AclRevision, AceRevision);
    return STATUS_SUCCESS;
}

/**
 * RtlAddAccessAllowedAceEx - appends an ACE that grants AccessMask to a SID.
 *
 * @AceFlags  inheritance flags of the ACE
 * returns    STATUS_SUCCESS; STATUS_INVALID_SID; STATUS_REVISION_MISMATCH; STATUS_INVALID_ACL; STATUS_INVALID_PARAMETER (flags);
 *            STATUS_ALLOTTED_SPACE_EXCEEDED
 */
NTSTATUS NTAPI RtlAddAccessAllowedAceEx(PACL Acl, ULONG AceRevision, ULONG AceFlags, ACCESS_MASK AccessMask, PSID Sid)
{
    PACCESS_ALLOWED_ACE Ace;
    ULONG Bytes;

    if (!RtlValidSid(Sid)) {
        return STATUS_INVALID_SID;
    }
    if (Acl->AclRevision > MAX_ACL_REVISION || !RtlpKnownRevision(AceRevision)) {
        return STATUS_REVISION_MISMATCH;
    }
    if ((AceFlags & ~VALID_INHERIT_FLAGS) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    if (!RtlpValidAclBytes(Acl, Acl->AclSize)) {
        return STATUS_INVALID_ACL;
    }
    Bytes = FIELD_OFFSET(ACCESS_ALLOWED_ACE, SidStart) + RtlLengthSid(Sid);
    Ace = (PACCESS_ALLOWED_ACE)RtlpSkipAces(Acl, Acl->AceCount);
    if (Bytes > (SIZE_T)((PUCHAR)Acl + Acl->AclSize - (PUCHAR)Ace) || Acl->AceCount == MAXUSHORT) {
        return STATUS_ALLOTTED_SPACE_EXCEEDED;
    }
    Ace->Header.AceType = ACCESS_ALLOWED_ACE_TYPE;
    Ace->Header.AceFlags = (UCHAR)AceFlags;
    Ace->Header.AceSize = (USHORT)Bytes;
    Ace->Mask = AccessMask;
    RtlCopySid(RtlLengthSid(Sid), &Ace->SidStart, Sid);
    Acl->AceCount++;
    Acl->AclRevision = (UCHAR)max(Acl->AclRevision, AceRevision);
    return STATUS_SUCCESS;
}

/* As RtlAddAccessAllowedAceEx, without flags. */
NTSTATUS NTAPI RtlAddAccessAllowedAce(PACL Acl, ULONG AceRevision, ACCESS_MASK AccessMask, PSID Sid)
{
    return RtlAddAccessAllowedAceEx(Acl, AceRevision, 0, AccessMask, Sid);
}

/* Address of the ACE of that index. STATUS_INVALID_PARAMETER: there is none. */
NTSTATUS NTAPI RtlGetAce(PACL Acl, ULONG AceIndex, PVOID *Ace)
{
    PACE_HEADER Found;

    if (!RtlpKnownRevision(Acl->AclRevision) || AceIndex >= Acl->AceCount) {
        return STATUS_INVALID_PARAMETER;
    }
    Found = RtlpSkipAces(Acl, AceIndex);
    if (Found == NULL || RtlpSkipAces(Acl, AceIndex + 1) == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    *Ace = Found;
    return STATUS_SUCCESS;
}

/* Takes an ACE out and closes the gap. STATUS_INVALID_PARAMETER: no such ACE, or a damaged list. */
NTSTATUS NTAPI RtlDeleteAce(PACL Acl, ULONG AceIndex)
{
    PUCHAR Place, Next, End;

    if (!RtlpValidAclBytes(Acl, Acl->AclSize) || AceIndex >= Acl->AceCount) {
        return STATUS_INVALID_PARAMETER;
    }
    Place = (PUCHAR)RtlpSkipAces(Acl, AceIndex);
    Next = (PUCHAR)RtlpSkipAces(Acl, AceIndex + 1);
    End = (PUCHAR)RtlpSkipAces(Acl, Acl->AceCount);
    RtlMoveMemory(Place, Next, (SIZE_T)(End - Next));
    RtlZeroMemory(Place + (End - Next), (SIZE_T)(Next - Place));
    Acl->AceCount--;
    return STATUS_SUCCESS;
}

/* ---- Rights and local identifiers ---- */

BOOLEAN NTAPI RtlAreAllAccessesGranted(ACCESS_MASK GrantedAccess, ACCESS_MASK DesiredAccess)
{
    return (~GrantedAccess & DesiredAccess) == 0;
}

BOOLEAN NTAPI RtlAreAnyAccessesGranted(ACCESS_MASK GrantedAccess, ACCESS_MASK DesiredAccess)
{
    return (GrantedAccess & DesiredAccess) != 0;
}

VOID NTAPI RtlCopyLuid(PLUID DestinationLuid, PLUID SourceLuid)
{
    *DestinationLuid = *SourceLuid;
}

BOOLEAN NTAPI RtlpEqualLuid(PLUID Luid1, PLUID Luid2)
{
    return Luid1->LowPart == Luid2->LowPart && Luid1->HighPart == Luid2->HighPart;
}

VOID NTAPI RtlCopyLuidAndAttributesArray(ULONG Count, PLUID_AND_ATTRIBUTES Source, PLUID_AND_ATTRIBUTES Destination)
{
    RtlMoveMemory(Destination, Source, Count * sizeof(*Source));
}
