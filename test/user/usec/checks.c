/*
 * checks.c - cases of usec: what NtAccessCheck grants to SecAlice, by descriptor, and what NtPrivilegeCheck says.
 *
 * No object is opened: the descriptor is the program's own, and the answer is compared with what the documentation of the check says.
 * Of the object there are four rights: 1, 2, 4 and 8; reading is 1, writing 2, executing 4.
 */
#include "usec.h"

#define DENIED STATUS_ACCESS_DENIED

static GENERIC_MAPPING Mapping = {STANDARD_RIGHTS_READ | 1, STANDARD_RIGHTS_WRITE | 2, STANDARD_RIGHTS_EXECUTE | 4,
                                  STANDARD_RIGHTS_REQUIRED | 15};

static NTSTATUS Ask(SEC_DESCRIPTOR *Descriptor, HANDLE Token, ACCESS_MASK Desired, PACCESS_MASK Granted)
{
    PRIVILEGE_SET Used[2];
    ULONG Bytes = sizeof(Used);
    NTSTATUS Decision = STATUS_PENDING, Status;

    *Granted = 0;
    Status = NtAccessCheck(&Descriptor->Head, Token, Desired, &Mapping, Used, &Bytes, Granted, &Decision);
    return NT_SUCCESS(Status) ? Decision : Status;
}

/* NULL DACL: everything. Empty DACL: nothing, but the owner may look at it and change it. Order of entries counts. */
static ULONG Dacls(VOID)
{
    SEC_DESCRIPTOR Descriptor;
    ACCESS_MASK Granted;
    HANDLE Alice;

    CHECK(SecUserToken(TokenImpersonation, 0, &Alice) == STATUS_SUCCESS);
    SecBegin(&Descriptor, &SecSystem);
    CHECK(Ask(&Descriptor, Alice, 1, &Granted) == DENIED);
    CHECK(Ask(&Descriptor, Alice, MAXIMUM_ALLOWED, &Granted) == DENIED);
    RtlSetDaclSecurityDescriptor(&Descriptor.Head, TRUE, NULL, FALSE);
    CHECK(Ask(&Descriptor, Alice, 9, &Granted) == STATUS_SUCCESS && Granted == 9);
    CHECK(Ask(&Descriptor, Alice, MAXIMUM_ALLOWED, &Granted) == STATUS_SUCCESS && Granted == Mapping.GenericAll);
    RtlSetDaclSecurityDescriptor(&Descriptor.Head, FALSE, NULL, FALSE);
    CHECK(Ask(&Descriptor, Alice, 9, &Granted) == STATUS_SUCCESS && Granted == 9);
    SecBegin(&Descriptor, &SecSystem);
    SecAllow(&Descriptor, &SecAlice, 3, 0);
    SecDeny(&Descriptor, &SecGroup, 6);
    SecAllow(&Descriptor, &SecWorld, 12, 0);
    CHECK(Ask(&Descriptor, Alice, 3, &Granted) == STATUS_SUCCESS && Granted == 3); /* granted before it is denied */
    CHECK(Ask(&Descriptor, Alice, 4, &Granted) == DENIED);
    CHECK(Ask(&Descriptor, Alice, 9, &Granted) == STATUS_SUCCESS);
    CHECK(Ask(&Descriptor, Alice, MAXIMUM_ALLOWED, &Granted) == STATUS_SUCCESS && Granted == 11);
    CHECK(Ask(&Descriptor, Alice, MAXIMUM_ALLOWED | 4, &Granted) == DENIED);
    SecBegin(&Descriptor, &SecSystem);
    SecAllow(&Descriptor, &SecStaff, 1, 0); /* she is in it, but it is off */
    SecAllow(&Descriptor, &SecAlice, 2, INHERIT_ONLY_ACE | OBJECT_INHERIT_ACE);
    SecAllow(&Descriptor, &SecAlice, GENERIC_EXECUTE, 0);
    CHECK(Ask(&Descriptor, Alice, 1, &Granted) == DENIED && Ask(&Descriptor, Alice, 2, &Granted) == DENIED);
    CHECK(Ask(&Descriptor, Alice, 4, &Granted) == STATUS_SUCCESS);
    CHECK(NtClose(Alice) == STATUS_SUCCESS);
    return 0;
}

static ULONG Owners(VOID)
{
    SEC_DESCRIPTOR Descriptor;
    ACCESS_MASK Granted;
    HANDLE Alice, Taker;

    CHECK(SecUserToken(TokenImpersonation, 0, &Alice) == STATUS_SUCCESS);
    CHECK(SecUserToken(TokenImpersonation, 1ULL << SE_TAKE_OWNERSHIP_PRIVILEGE | 1ULL << SE_SECURITY_PRIVILEGE,
                       &Taker) == STATUS_SUCCESS);
    SecBegin(&Descriptor, &SecGroup); /* empty; owned by a group of hers */
    CHECK(Ask(&Descriptor, Alice, READ_CONTROL | WRITE_DAC, &Granted) == STATUS_SUCCESS);
    CHECK(Ask(&Descriptor, Alice, WRITE_OWNER, &Granted) == DENIED);
    CHECK(Ask(&Descriptor, Alice, MAXIMUM_ALLOWED, &Granted) == STATUS_SUCCESS &&
          Granted == (READ_CONTROL | WRITE_DAC));
    SecAllow(&Descriptor, &SecOwnerRights, 1, 0); /* takes the place of what owners have */
    CHECK(Ask(&Descriptor, Alice, WRITE_DAC, &Granted) == DENIED);
    CHECK(Ask(&Descriptor, Alice, 1, &Granted) == STATUS_SUCCESS);
    SecBegin(&Descriptor, &SecSystem);
    CHECK(Ask(&Descriptor, Taker, WRITE_OWNER, &Granted) == STATUS_SUCCESS && Granted == WRITE_OWNER);
    CHECK(Ask(&Descriptor, Taker, WRITE_OWNER | WRITE_DAC, &Granted) == DENIED);
    CHECK(Ask(&Descriptor, Taker, ACCESS_SYSTEM_SECURITY, &Granted) == STATUS_SUCCESS);
    CHECK(Ask(&Descriptor, Alice, ACCESS_SYSTEM_SECURITY, &Granted) == STATUS_PRIVILEGE_NOT_HELD);
    CHECK(NtClose(Alice) == 0 && NtClose(Taker) == 0);
    return 0;
}

/* A restricted token has what both its groups and its restricting SIDs are granted. */
static ULONG Restricted(VOID)
{
    struct {
        ULONG Count;
        SID_AND_ATTRIBUTES Groups[1];
    } Disable = {1, {{&SecGroup, 0}}}, Restrict = {1, {{&SecWorld, 0}}};
    SEC_DESCRIPTOR Descriptor;
    ACCESS_MASK Granted;
    HANDLE Alice, DenyOnly, Less;

    CHECK(SecUserToken(TokenImpersonation, 0, &Alice) == STATUS_SUCCESS);
    CHECK(NtFilterToken(Alice, 0, NULL, NULL, (PTOKEN_GROUPS)&Restrict, &Less) == STATUS_SUCCESS);
    CHECK(NtFilterToken(Alice, 0, (PTOKEN_GROUPS)&Disable, NULL, NULL, &DenyOnly) == STATUS_SUCCESS);
    SecBegin(&Descriptor, &SecAlice);
    SecAllow(&Descriptor, &SecAlice, 3, 0);
    SecAllow(&Descriptor, &SecWorld, 5, 0);
    CHECK(Ask(&Descriptor, Alice, 7, &Granted) == STATUS_SUCCESS);
    CHECK(Ask(&Descriptor, Less, 1, &Granted) == STATUS_SUCCESS && Ask(&Descriptor, Less, 2, &Granted) == DENIED);
    CHECK(Ask(&Descriptor, Less, MAXIMUM_ALLOWED, &Granted) == STATUS_SUCCESS && Granted == 5);
    CHECK(Ask(&Descriptor, Less, WRITE_DAC, &Granted) == DENIED); /* the owner is not among what restricts */
    SecBegin(&Descriptor, &SecSystem);
    SecAllow(&Descriptor, &SecGroup, 1, 0);
    CHECK(Ask(&Descriptor, Alice, 1, &Granted) == STATUS_SUCCESS);
    CHECK(Ask(&Descriptor, DenyOnly, 1, &Granted) == DENIED);
    SecBegin(&Descriptor, &SecSystem);
    SecDeny(&Descriptor, &SecGroup, 1);
    SecAllow(&Descriptor, &SecWorld, 1, 0);
    CHECK(Ask(&Descriptor, DenyOnly, 1, &Granted) == DENIED);
    CHECK(NtClose(Alice) == 0 && NtClose(DenyOnly) == 0 && NtClose(Less) == 0);
    return 0;
}

static ULONG CheckErrors(VOID)
{
    SEC_DESCRIPTOR Descriptor;
    PRIVILEGE_SET Used[2];
    ULONG Bytes = 4;
    ACCESS_MASK Granted = 99;
    NTSTATUS Decision;
    HANDLE Primary, Low, Alice;
    SECURITY_QUALITY_OF_SERVICE Quality = {sizeof(Quality), SecurityAnonymous, 0, FALSE};
    OBJECT_ATTRIBUTES Attributes = {.Length = sizeof(Attributes), .SecurityQualityOfService = &Quality};

    CHECK(SecUserToken(TokenPrimary, 0, &Primary) == STATUS_SUCCESS);
    CHECK(SecUserToken(TokenImpersonation, 0, &Alice) == STATUS_SUCCESS);
    CHECK(NtDuplicateToken(Primary, 0, &Attributes, FALSE, TokenImpersonation, &Low) == STATUS_SUCCESS);
    SecBegin(&Descriptor, &SecAlice);
    CHECK(Ask(&Descriptor, Primary, 1, &Granted) == STATUS_NO_IMPERSONATION_TOKEN);
    CHECK(Ask(&Descriptor, Low, 1, &Granted) == STATUS_BAD_IMPERSONATION_LEVEL);
    CHECK(Ask(&Descriptor, Alice, GENERIC_READ, &Granted) == STATUS_GENERIC_NOT_MAPPED);
    CHECK(NtAccessCheck(&Descriptor.Head, Alice, READ_CONTROL, &Mapping, Used, &Bytes, &Granted, &Decision) ==
          STATUS_BUFFER_TOO_SMALL);
    CHECK(Bytes == sizeof(PRIVILEGE_SET));
    CHECK(NtAccessCheck(&Descriptor.Head, Alice, READ_CONTROL, &Mapping, Used, &Bytes, KERNEL_POINTER, &Decision) ==
          STATUS_ACCESS_VIOLATION);
    CHECK(NtAccessCheck(NULL, Alice, READ_CONTROL, &Mapping, Used, &Bytes, &Granted, &Decision) ==
          STATUS_ACCESS_VIOLATION);
    RtlSetOwnerSecurityDescriptor(&Descriptor.Head, NULL, FALSE);
    CHECK(Ask(&Descriptor, Alice, 1, &Granted) == STATUS_INVALID_SECURITY_DESCR);
    CHECK(NtClose(Primary) == 0 && NtClose(Low) == 0 && NtClose(Alice) == 0);
    return 0;
}

static ULONG Privileges(VOID)
{
    struct {
        PRIVILEGE_SET Set;
        LUID_AND_ATTRIBUTES Second;
    } Wanted = {{2, PRIVILEGE_SET_ALL_NECESSARY, {{{SE_CHANGE_NOTIFY_PRIVILEGE, 0}, 0}}}, {{SE_TCB_PRIVILEGE, 0}, 0}};
    BOOLEAN Held = TRUE;
    HANDLE Token;

    CHECK(SecUserToken(TokenPrimary, 1ULL << SE_CHANGE_NOTIFY_PRIVILEGE, &Token) == STATUS_SUCCESS);
    CHECK(NtPrivilegeCheck(Token, &Wanted.Set, &Held) == STATUS_SUCCESS && !Held);
    CHECK(Wanted.Set.Privilege[0].Attributes == SE_PRIVILEGE_USED_FOR_ACCESS && Wanted.Second.Attributes == 0);
    Wanted.Set.Control = 0;
    CHECK(NtPrivilegeCheck(Token, &Wanted.Set, &Held) == STATUS_SUCCESS && Held);
    Wanted.Set.PrivilegeCount = 100000;
    CHECK(NtPrivilegeCheck(Token, &Wanted.Set, &Held) == STATUS_INVALID_PARAMETER);
    CHECK(NtPrivilegeCheck(Token, KERNEL_POINTER, &Held) == STATUS_ACCESS_VIOLATION);
    CHECK(NtPrivilegeCheck(NULL, &Wanted.Set, &Held) != STATUS_SUCCESS);
    CHECK(NtClose(Token) == STATUS_SUCCESS);
    return 0;
}

const USER_CASE SecCheckCases[5] = {
    {"user.sec.dacls", Dacls},        {"user.sec.owners", Owners},         {"user.sec.restricted", Restricted},
    {"user.sec.errors", CheckErrors}, {"user.sec.privileges", Privileges},
};
