/*
 * rtlsec.c (test) - SIDs, access control lists and security descriptors.
 *
 * A descriptor is built piece by piece, packed, checked byte by byte for damage, and unpacked again: what comes back equals what
 * went in. Damage is every single byte of the packed form set to values that are likely to break a parser; the
 * descriptor may be refused or accepted, but an accepted one must still be walkable inside its own bytes.
 */
#include <ntos/ktap.h>
#include <ntos/rtl.h>

static SID_IDENTIFIER_AUTHORITY NtAuthority = {{0, 0, 0, 0, 0, 5}};

typedef struct _SID3 {
    SID Sid;
    ULONG More[2];
} SID3;

static VOID MakeAdmins(SID3 *Sid)
{
    RtlInitializeSid(&Sid->Sid, &NtAuthority, 2);
    *RtlSubAuthoritySid(&Sid->Sid, 0) = 32;
    *RtlSubAuthoritySid(&Sid->Sid, 1) = 544;
}

static VOID SidBuild(PKTAP_CONTEXT Ktap)
{
    SID3 Sid, Copy;

    MakeAdmins(&Sid);
    KTAP_EQUAL(RtlInitializeSid(&Copy.Sid, &NtAuthority, 16), STATUS_INVALID_PARAMETER);
    KTAP_CHECK(RtlValidSid(&Sid.Sid));
    KTAP_EQUAL(*RtlSubAuthorityCountSid(&Sid.Sid), 2);
    KTAP_EQUAL(RtlLengthSid(&Sid.Sid), 16);
    KTAP_EQUAL(RtlLengthRequiredSid(15), 68);
    KTAP_EQUAL(RtlCopySid(15, &Copy.Sid, &Sid.Sid), STATUS_BUFFER_TOO_SMALL);
    KTAP_EQUAL(RtlCopySid(16, &Copy.Sid, &Sid.Sid), STATUS_SUCCESS);
    KTAP_CHECK(RtlEqualSid(&Copy.Sid, &Sid.Sid));
    *RtlSubAuthoritySid(&Copy.Sid, 1) = 545;
    KTAP_CHECK(!RtlEqualSid(&Copy.Sid, &Sid.Sid));
    Copy.Sid.SubAuthorityCount = 1;
    KTAP_CHECK(!RtlEqualSid(&Copy.Sid, &Sid.Sid));
    Copy.Sid.Revision = 2;
    KTAP_CHECK(!RtlValidSid(&Copy.Sid));
    KTAP_CHECK(!RtlValidSid(NULL));
}

static VOID SidText(PKTAP_CONTEXT Ktap)
{
    SID_IDENTIFIER_AUTHORITY Long = {{0x12, 0x34, 0x56, 0x78, 0x9A, 0xBC}};
    WCHAR Room[12];
    UNICODE_STRING Text, Expected, Short = {0, sizeof(Room), Room};
    SID3 Sid;

    MakeAdmins(&Sid);
    KTAP_EQUAL(RtlConvertSidToUnicodeString(&Text, &Sid.Sid, TRUE), STATUS_SUCCESS);
    RtlInitUnicodeString(&Expected, L"S-1-5-32-544");
    KTAP_CHECK(RtlEqualUnicodeString(&Text, &Expected, FALSE));
    RtlFreeUnicodeString(&Text);
    KTAP_EQUAL(RtlConvertSidToUnicodeString(&Short, &Sid.Sid, FALSE),
               STATUS_SUCCESS); /* exactly fits, without its NUL */
    KTAP_CHECK(RtlEqualUnicodeString(&Short, &Expected, FALSE));
    *RtlSubAuthoritySid(&Sid.Sid, 1) = 5440;
    KTAP_EQUAL(RtlConvertSidToUnicodeString(&Short, &Sid.Sid, FALSE), STATUS_BUFFER_OVERFLOW);
    RtlInitializeSid(&Sid.Sid, &Long, 0);
    KTAP_EQUAL(RtlConvertSidToUnicodeString(&Text, &Sid.Sid, TRUE), STATUS_SUCCESS);
    RtlInitUnicodeString(&Expected, L"S-1-0x123456789abc");
    KTAP_CHECK(RtlEqualUnicodeString(&Text, &Expected, FALSE));
    RtlFreeUnicodeString(&Text);
    Sid.Sid.Revision = 0;
    KTAP_EQUAL(RtlConvertSidToUnicodeString(&Text, &Sid.Sid, TRUE), STATUS_INVALID_SID);
}

static VOID AclBuild(PKTAP_CONTEXT Ktap)
{
    ULONG Room[24], Other[4];
    PACL Acl = (PACL)Room;
    PACCESS_ALLOWED_ACE Ace, First;
    SID3 Sid;

    MakeAdmins(&Sid);
    KTAP_EQUAL(RtlCreateAcl(Acl, 7, ACL_REVISION), STATUS_BUFFER_TOO_SMALL);
    KTAP_EQUAL(RtlCreateAcl(Acl, sizeof(Room), 1), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(RtlCreateAcl(Acl, 0x10000, ACL_REVISION), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(RtlCreateAcl(Acl, 8 + 3 * 24, ACL_REVISION), STATUS_SUCCESS);
    KTAP_EQUAL(RtlGetAce(Acl, 0, (PVOID *)&Ace), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(RtlAddAccessAllowedAce(Acl, ACL_REVISION, GENERIC_READ, &Sid.Sid), STATUS_SUCCESS);
    KTAP_EQUAL(RtlAddAccessAllowedAceEx(Acl, ACL_REVISION, 0x20, GENERIC_WRITE, &Sid.Sid), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(RtlAddAccessAllowedAceEx(Acl, ACL_REVISION, INHERIT_ONLY_ACE, GENERIC_WRITE, &Sid.Sid), STATUS_SUCCESS);
    KTAP_EQUAL(RtlAddAccessAllowedAce(Acl, 5, 1, &Sid.Sid), STATUS_REVISION_MISMATCH);
    KTAP_EQUAL(RtlGetAce(Acl, 0, (PVOID *)&First), STATUS_SUCCESS);
    KTAP_EQUAL(First->Mask, GENERIC_READ);
    KTAP_EQUAL(First->Header.AceSize, 24);
    KTAP_CHECK(RtlEqualSid(&First->SidStart, &Sid.Sid));

    /* A copy of the first in front of all; then no room for a fourth. */
    KTAP_EQUAL(RtlAddAce(Acl, ACL_REVISION_DS, 0, First, First->Header.AceSize), STATUS_SUCCESS);
    KTAP_EQUAL(Acl->AclRevision, ACL_REVISION_DS);
    KTAP_EQUAL(Acl->AceCount, 3);
    KTAP_EQUAL(RtlAddAce(Acl, ACL_REVISION, MAXULONG, First, First->Header.AceSize), STATUS_BUFFER_TOO_SMALL);
    KTAP_EQUAL(RtlAddAccessAllowedAce(Acl, ACL_REVISION, 1, &Sid.Sid), STATUS_ALLOTTED_SPACE_EXCEEDED);
    KTAP_EQUAL(RtlDeleteAce(Acl, 1), STATUS_SUCCESS);
    KTAP_EQUAL(RtlDeleteAce(Acl, 2), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(RtlGetAce(Acl, 1, (PVOID *)&Ace), STATUS_SUCCESS);
    KTAP_EQUAL(Ace->Mask, GENERIC_WRITE);
    KTAP_EQUAL(Ace->Header.AceFlags, INHERIT_ONLY_ACE);

    RtlZeroMemory(Other, sizeof(Other)); /* an ACE of size 0 */
    KTAP_EQUAL(RtlAddAce(Acl, ACL_REVISION, 0, Other, sizeof(Other)), STATUS_INVALID_PARAMETER);
    Ace->Header.AceSize = 200;
    KTAP_EQUAL(RtlGetAce(Acl, 1, (PVOID *)&Ace), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(RtlAddAccessAllowedAce(Acl, ACL_REVISION, 1, &Sid.Sid), STATUS_INVALID_ACL);
}

static VOID SecurityRights(PKTAP_CONTEXT Ktap)
{
    LUID_AND_ATTRIBUTES From[2] = {{{1, 2}, 3}, {{4, 5}, 6}}, To[2];
    BOOLEAN(NTAPI * EqualLuid)(PLUID, PLUID) = KTAP_IMPORT(PVOID, RtlEqualLuid);
    LUID Luid;

    KTAP_CHECK(EqualLuid != NULL);
    KTAP_CHECK(RtlAreAllAccessesGranted(0x1F, 0x11));
    KTAP_CHECK(!RtlAreAllAccessesGranted(0x1F, 0x21));
    KTAP_CHECK(RtlAreAnyAccessesGranted(0x1F, 0x21));
    KTAP_CHECK(!RtlAreAnyAccessesGranted(0x1F, 0x20));
    RtlCopyLuid(&Luid, &From[1].Luid);
    KTAP_CHECK(EqualLuid(&Luid, &From[1].Luid));
    KTAP_CHECK(!EqualLuid(&Luid, &From[0].Luid));
    RtlCopyLuidAndAttributesArray(2, From, To);
    KTAP_CHECK(RtlCompareMemory(From, To, sizeof(From)) == sizeof(From));
}

/* Owner, group and both lists, all absolute; static: descriptors point into it. */
static struct {
    SECURITY_DESCRIPTOR Descriptor;
    SID3 Owner, Group;
    ULONG Dacl[16], Sacl[4];
} Whole;

static NTSTATUS BuildWhole(VOID)
{
    MakeAdmins(&Whole.Owner);
    RtlInitializeSid(&Whole.Group.Sid, &NtAuthority, 1);
    *RtlSubAuthoritySid(&Whole.Group.Sid, 0) = 18;
    RtlCreateAcl((PACL)Whole.Dacl, sizeof(Whole.Dacl), ACL_REVISION);
    RtlAddAccessAllowedAce((PACL)Whole.Dacl, ACL_REVISION, GENERIC_ALL, &Whole.Owner.Sid);
    RtlAddAccessAllowedAce((PACL)Whole.Dacl, ACL_REVISION, GENERIC_READ, &Whole.Group.Sid);
    RtlCreateAcl((PACL)Whole.Sacl, sizeof(Whole.Sacl), ACL_REVISION);
    RtlCreateSecurityDescriptor(&Whole.Descriptor, SECURITY_DESCRIPTOR_REVISION);
    RtlSetOwnerSecurityDescriptor(&Whole.Descriptor, &Whole.Owner.Sid, FALSE);
    RtlSetGroupSecurityDescriptor(&Whole.Descriptor, &Whole.Group.Sid, TRUE);
    RtlSetSaclSecurityDescriptor(&Whole.Descriptor, TRUE, (PACL)Whole.Sacl, TRUE);
    return RtlSetDaclSecurityDescriptor(&Whole.Descriptor, TRUE, (PACL)Whole.Dacl, FALSE);
}

static VOID DescriptorParts(PKTAP_CONTEXT Ktap)
{
    BOOLEAN Present, Defaulted = TRUE;
    PACL List = NULL;
    PSID Sid;

    KTAP_EQUAL(BuildWhole(), STATUS_SUCCESS);
    KTAP_EQUAL(RtlCreateSecurityDescriptor(&Whole.Descriptor, 2), STATUS_UNKNOWN_REVISION);
    KTAP_CHECK(RtlValidSecurityDescriptor(&Whole.Descriptor));
    KTAP_EQUAL(RtlLengthSecurityDescriptor(&Whole.Descriptor), 40 + 16 + 12 + sizeof(Whole.Dacl) + sizeof(Whole.Sacl));
    KTAP_EQUAL(RtlGetDaclSecurityDescriptor(&Whole.Descriptor, &Present, &List, &Defaulted), STATUS_SUCCESS);
    KTAP_CHECK(Present && !Defaulted && List == (PACL)Whole.Dacl);
    KTAP_EQUAL(RtlGetSaclSecurityDescriptor(&Whole.Descriptor, &Present, &List, &Defaulted), STATUS_SUCCESS);
    KTAP_CHECK(Present && Defaulted && List == (PACL)Whole.Sacl);
    KTAP_EQUAL(RtlGetOwnerSecurityDescriptor(&Whole.Descriptor, &Sid, &Defaulted), STATUS_SUCCESS);
    KTAP_CHECK(!Defaulted && Sid == &Whole.Owner.Sid);
    KTAP_EQUAL(RtlGetGroupSecurityDescriptor(&Whole.Descriptor, &Sid, &Defaulted), STATUS_SUCCESS);
    KTAP_CHECK(Defaulted && Sid == &Whole.Group.Sid);

    List = (PACL)1;
    KTAP_EQUAL(RtlSetDaclSecurityDescriptor(&Whole.Descriptor, FALSE, (PACL)Whole.Dacl, TRUE), STATUS_SUCCESS);
    KTAP_EQUAL(RtlGetDaclSecurityDescriptor(&Whole.Descriptor, &Present, &List, &Defaulted), STATUS_SUCCESS);
    KTAP_CHECK(!Present && List == (PACL)1);
    Whole.Descriptor.Revision = 3;
    KTAP_EQUAL(RtlSetOwnerSecurityDescriptor(&Whole.Descriptor, NULL, FALSE), STATUS_UNKNOWN_REVISION);
    KTAP_EQUAL(RtlGetOwnerSecurityDescriptor(&Whole.Descriptor, &Sid, &Defaulted), STATUS_UNKNOWN_REVISION);
    KTAP_CHECK(!RtlValidSecurityDescriptor(&Whole.Descriptor));
}

static UCHAR Packed[256] __attribute__((aligned(8)));

static VOID DescriptorForms(PKTAP_CONTEXT Ktap)
{
    struct {
        SECURITY_DESCRIPTOR Descriptor;
        SID3 Owner, Group;
        ULONG Dacl[16], Sacl[4];
    } Back;
    ULONG Bytes = 0, Room = sizeof(Back.Descriptor), Dacl = sizeof(Back.Dacl), Sacl = 0, Owner = sizeof(Back.Owner),
          Group = sizeof(Back.Group);

    BuildWhole();
    KTAP_EQUAL(RtlAbsoluteToSelfRelativeSD(&Whole.Descriptor, Packed, &Bytes), STATUS_BUFFER_TOO_SMALL);
    KTAP_EQUAL(Bytes, 20 + 16 + 12 + sizeof(Whole.Dacl) + sizeof(Whole.Sacl));
    KTAP_EQUAL(RtlAbsoluteToSelfRelativeSD(&Whole.Descriptor, Packed, &Bytes), STATUS_SUCCESS);
    KTAP_EQUAL(RtlLengthSecurityDescriptor(Packed), Bytes);
    KTAP_CHECK(RtlValidSecurityDescriptor(Packed));
    KTAP_CHECK(
        RtlValidRelativeSecurityDescriptor(Packed, Bytes, OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION));
    KTAP_CHECK(!RtlValidRelativeSecurityDescriptor(Packed, Bytes - 1, 0));
    KTAP_CHECK(!RtlValidRelativeSecurityDescriptor(&Whole.Descriptor, sizeof(Whole.Descriptor), 0));
    KTAP_EQUAL(RtlSetOwnerSecurityDescriptor(Packed, NULL, FALSE), STATUS_INVALID_SECURITY_DESCR);
    KTAP_EQUAL(RtlAbsoluteToSelfRelativeSD(Packed, Packed, &Bytes), STATUS_BAD_DESCRIPTOR_FORMAT);
    KTAP_EQUAL(RtlSelfRelativeToAbsoluteSD(Packed, &Back.Descriptor, &Room, (PACL)Back.Dacl, &Dacl, (PACL)Back.Sacl,
                                           &Sacl, &Back.Owner.Sid, &Owner, &Back.Group.Sid, &Group),
               STATUS_BUFFER_TOO_SMALL);
    KTAP_EQUAL(Sacl, sizeof(Whole.Sacl));
    KTAP_EQUAL(RtlSelfRelativeToAbsoluteSD(Packed, &Back.Descriptor, &Room, (PACL)Back.Dacl, &Dacl, (PACL)Back.Sacl,
                                           &Sacl, &Back.Owner.Sid, &Owner, &Back.Group.Sid, &Group),
               STATUS_SUCCESS);
    KTAP_EQUAL(Group, 12);
    KTAP_CHECK(RtlEqualSid(Back.Descriptor.Owner, &Whole.Owner.Sid));
    KTAP_CHECK(RtlEqualSid(Back.Descriptor.Group, &Whole.Group.Sid));
    KTAP_CHECK(RtlCompareMemory(Back.Descriptor.Dacl, Whole.Dacl, 8 + 24 + 20) == 8 + 24 + 20);
    KTAP_EQUAL(Back.Descriptor.Control, Whole.Descriptor.Control);
    KTAP_EQUAL(RtlSelfRelativeToAbsoluteSD(&Whole.Descriptor, &Back.Descriptor, &Room, (PACL)Back.Dacl, &Dacl,
                                           (PACL)Back.Sacl, &Sacl, &Back.Owner.Sid, &Owner, &Back.Group.Sid, &Group),
               STATUS_BAD_DESCRIPTOR_FORMAT);
}

static VOID DescriptorDamage(PKTAP_CONTEXT Ktap)
{
    static const UCHAR Values[] = {0, 1, 2, 3, 4, 16, 20, 0x7F, 0x80, 0xFC, 0xFF};
    ULONG Bytes = sizeof(Packed), Refused = 0;

    BuildWhole();
    KTAP_EQUAL(RtlAbsoluteToSelfRelativeSD(&Whole.Descriptor, Packed, &Bytes), STATUS_SUCCESS);
    for (ULONG Place = 0; Place < Bytes; Place++) {
        for (ULONG Index = 0; Index < RTL_NUMBER_OF(Values); Index++) {
            UCHAR Old = Packed[Place];

            Packed[Place] = Values[Index];
            if (RtlValidRelativeSecurityDescriptor(Packed, Bytes, 0)) {
                KTAP_CHECK(RtlValidSecurityDescriptor(Packed));
                KTAP_CHECK(RtlLengthSecurityDescriptor(Packed) <= 4 * Bytes);
            } else {
                Refused++;
            }
            Packed[Place] = Old;
        }
    }
    KTAP_CHECK(Refused > 100);
    for (ULONG Short = 0; Short < Bytes; Short++) {
        KTAP_CHECK(!RtlValidRelativeSecurityDescriptor(Packed, Short, 0));
    }
}

static const KTAP_CASE_ENTRY SecurityCases[] = {
    {"sid", SidBuild},
    {"sid_text", SidText},
    {"acl", AclBuild},
    {"rights", SecurityRights},
    {"parts", DescriptorParts},
    {"forms", DescriptorForms},
    {"damage", DescriptorDamage},
};

KTAP_SUITE(SecuritySuite, "rtl.security", SecurityCases);
