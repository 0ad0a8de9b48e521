/*
 * tokens.c - cases of usec: tokens made, duplicated, filtered and changed by a program.
 *
 * Each case makes the token that it looks at, of a user who is in three groups: one that may own, one that is off, and everybody.
 * What is asked about a token is written to Space, one answer at a time.
 */
#include "usec.h"

static ULONG64 Space[512];

static NTSTATUS Query(HANDLE Token, TOKEN_INFORMATION_CLASS Class)
{
    ULONG Bytes;

    return NtQueryInformationToken(Token, Class, Space, sizeof(Space), &Bytes);
}

/* Attributes of a group of a token; MAXULONG: it is not there. */
static ULONG GroupOf(HANDLE Token, TOKEN_INFORMATION_CLASS Class, PSID Sid)
{
    PTOKEN_GROUPS Groups = (PTOKEN_GROUPS)Space;

    if (NT_SUCCESS(Query(Token, Class))) {
        for (ULONG Index = 0; Index < Groups->GroupCount; Index++) {
            if (RtlEqualSid(Groups->Groups[Index].Sid, Sid)) {
                return Groups->Groups[Index].Attributes;
            }
        }
    }
    return MAXULONG;
}

static ULONG PrivilegeCountOf(HANDLE Token)
{
    return NT_SUCCESS(Query(Token, TokenPrivileges)) ? ((PTOKEN_PRIVILEGES)Space)->PrivilegeCount : MAXULONG;
}

/* A token as a program describes it: only with the privilege, and only if it makes sense. */
static ULONG Create(VOID)
{
    TOKEN_USER User = {{&SecAlice, 0}};
    TOKEN_PRIVILEGES None = {0};
    TOKEN_GROUPS NoGroups = {0};
    TOKEN_OWNER Owner = {&SecGroup};
    TOKEN_PRIMARY_GROUP Primary = {&SecAlice}, Strange = {&SecGroup};
    TOKEN_SOURCE Source = {"usec", {1, 0}};
    LUID Session = {1, 0};
    LARGE_INTEGER Never = {0};
    HANDLE Token;

    CHECK(NtCreateToken(&Token, TOKEN_ALL_ACCESS, NULL, TokenPrimary, &Session, &Never, &User, &NoGroups, &None, NULL,
                        &Primary, NULL, &Source) == STATUS_PRIVILEGE_NOT_HELD);
    CHECK(SecPrivilege(SE_CREATE_TOKEN_PRIVILEGE, TRUE) == STATUS_SUCCESS);
    CHECK(NtCreateToken(&Token, TOKEN_ALL_ACCESS, NULL, 3, &Session, &Never, &User, &NoGroups, &None, NULL, &Primary,
                        NULL, &Source) == STATUS_BAD_TOKEN_TYPE);
    CHECK(NtCreateToken(&Token, TOKEN_ALL_ACCESS, NULL, TokenPrimary, &Session, &Never, &User, &NoGroups, &None, &Owner,
                        &Primary, NULL, &Source) == STATUS_INVALID_OWNER);
    CHECK(NtCreateToken(&Token, TOKEN_ALL_ACCESS, NULL, TokenPrimary, &Session, &Never, &User, &NoGroups, &None, NULL,
                        &Strange, NULL, &Source) == STATUS_INVALID_PRIMARY_GROUP);
    CHECK(NtCreateToken(&Token, TOKEN_ALL_ACCESS, NULL, TokenPrimary, &Session, &Never, KERNEL_POINTER, &NoGroups,
                        &None, NULL, &Primary, NULL, &Source) == STATUS_ACCESS_VIOLATION);
    CHECK(NtCreateToken(&Token, TOKEN_ALL_ACCESS, NULL, TokenPrimary, &Session, &Never, &User, &NoGroups, &None, NULL,
                        &Primary, NULL, &Source) == STATUS_SUCCESS);
    CHECK(SecPrivilege(SE_CREATE_TOKEN_PRIVILEGE, FALSE) == STATUS_SUCCESS);
    CHECK(Query(Token, TokenUser) == STATUS_SUCCESS && RtlEqualSid(((PTOKEN_USER)Space)->User.Sid, &SecAlice));
    CHECK(Query(Token, TokenOwner) == STATUS_SUCCESS && RtlEqualSid(((PTOKEN_OWNER)Space)->Owner, &SecAlice));
    CHECK(Query(Token, TokenDefaultDacl) == STATUS_SUCCESS && ((PTOKEN_DEFAULT_DACL)Space)->DefaultDacl == NULL);
    CHECK(Query(Token, TokenStatistics) == STATUS_SUCCESS);
    CHECK(((PTOKEN_STATISTICS)Space)->TokenType == TokenPrimary && PrivilegeCountOf(Token) == 0);
    CHECK(NtClose(Token) == STATUS_SUCCESS);
    return 0;
}

static ULONG Duplicate(VOID)
{
    SECURITY_QUALITY_OF_SERVICE Quality = {sizeof(Quality), SecurityIdentification, 0, FALSE};
    OBJECT_ATTRIBUTES Attributes = {.Length = sizeof(Attributes), .SecurityQualityOfService = &Quality};
    HANDLE Token, Low, High, Effective;

    CHECK(SecUserToken(TokenPrimary, 1ULL << SE_CHANGE_NOTIFY_PRIVILEGE, &Token) == STATUS_SUCCESS);
    CHECK(NtDuplicateToken(Token, 0, &Attributes, FALSE, TokenImpersonation, &Low) == STATUS_SUCCESS);
    CHECK(Query(Low, TokenImpersonationLevel) == STATUS_SUCCESS && *(PULONG)Space == SecurityIdentification);
    CHECK(GroupOf(Low, TokenGroups, &SecStaff) == 0 && PrivilegeCountOf(Low) == 1);
    Quality.ImpersonationLevel = SecurityImpersonation;
    CHECK(NtDuplicateToken(Low, 0, &Attributes, FALSE, TokenImpersonation, &High) == STATUS_BAD_IMPERSONATION_LEVEL);
    CHECK(NtDuplicateToken(Low, 0, NULL, FALSE, TokenPrimary, &High) == STATUS_BAD_IMPERSONATION_LEVEL);
    CHECK(NtDuplicateToken(Low, 0, NULL, FALSE, 7, &High) == STATUS_INVALID_PARAMETER);
    Quality.Length = 1;
    CHECK(NtDuplicateToken(Token, 0, &Attributes, FALSE, TokenImpersonation, &High) == STATUS_INVALID_PARAMETER);
    CHECK(NtDuplicateToken(Token, TOKEN_QUERY, NULL, TRUE, TokenPrimary, &Effective) == STATUS_SUCCESS);
    CHECK(GroupOf(Effective, TokenGroups, &SecStaff) == MAXULONG);
    CHECK(GroupOf(Effective, TokenGroups, &SecGroup) != MAXULONG);
    CHECK(NtDuplicateToken(Effective, 0, NULL, FALSE, TokenPrimary, &High) == STATUS_ACCESS_DENIED);
    CHECK(NtClose(Token) == 0 && NtClose(Low) == 0 && NtClose(Effective) == 0);
    return 0;
}

static ULONG Filter(VOID)
{
    struct {
        ULONG Count;
        SID_AND_ATTRIBUTES Groups[2];
    } Disable = {1, {{&SecGroup, 0}}}, Restrict = {2, {{&SecWorld, 0}, {&SecStaff, 0}}}, Other = {1, {{&SecAlice, 0}}};
    TOKEN_PRIVILEGES Delete = {1, {{{SE_BACKUP_PRIVILEGE, 0}, 0}}};
    HANDLE Token, Less, Lesser;

    CHECK(SecUserToken(TokenPrimary,
                       1ULL << SE_CHANGE_NOTIFY_PRIVILEGE | 1ULL << SE_BACKUP_PRIVILEGE | 1ULL << SE_SHUTDOWN_PRIVILEGE,
                       &Token) == STATUS_SUCCESS);
    CHECK(NtFilterToken(Token, 0x100, NULL, NULL, NULL, &Less) == STATUS_INVALID_PARAMETER);
    CHECK(NtFilterToken(Token, 0, (PTOKEN_GROUPS)&Disable, &Delete, NULL, &Less) == STATUS_SUCCESS);
    CHECK(GroupOf(Less, TokenGroups, &SecGroup) == SE_GROUP_USE_FOR_DENY_ONLY && PrivilegeCountOf(Less) == 2);
    CHECK(GroupOf(Less, TokenRestrictedSids, &SecWorld) == MAXULONG);
    CHECK(Query(Less, TokenHasRestrictions) == STATUS_SUCCESS && *(PULONG)Space == 1);
    CHECK(Query(Token, TokenHasRestrictions) == STATUS_SUCCESS && *(PULONG)Space == 0);
    CHECK(NtFilterToken(Less, DISABLE_MAX_PRIVILEGE, NULL, NULL, (PTOKEN_GROUPS)&Restrict, &Lesser) == STATUS_SUCCESS);
    CHECK(PrivilegeCountOf(Lesser) == 1 && GroupOf(Lesser, TokenRestrictedSids, &SecStaff) != MAXULONG);
    CHECK(NtClose(Less) == STATUS_SUCCESS);
    CHECK(NtFilterToken(Lesser, 0, NULL, NULL, (PTOKEN_GROUPS)&Other, &Less) == STATUS_INVALID_PARAMETER);
    Restrict.Count = 1;
    CHECK(NtFilterToken(Lesser, 0, NULL, NULL, (PTOKEN_GROUPS)&Restrict, &Less) == STATUS_SUCCESS);
    CHECK(GroupOf(Less, TokenRestrictedSids, &SecStaff) == MAXULONG);
    Restrict.Groups[0].Attributes = SE_GROUP_ENABLED;
    CHECK(NtFilterToken(Token, 0, NULL, NULL, (PTOKEN_GROUPS)&Restrict, &Lesser) == STATUS_INVALID_PARAMETER);
    CHECK(NtClose(Token) == 0 && NtClose(Less) == 0);
    return 0;
}

static ULONG AdjustGroups(VOID)
{
    struct {
        ULONG Count;
        SID_AND_ATTRIBUTES Groups[2];
    } Wish = {1, {{&SecStaff, SE_GROUP_ENABLED}, {&SecAdmins, SE_GROUP_ENABLED}}};
    PTOKEN_GROUPS Old = (PTOKEN_GROUPS)Space;
    ULONG Bytes = 0;
    HANDLE Token;

    CHECK(SecUserToken(TokenPrimary, 0, &Token) == STATUS_SUCCESS);
    CHECK(NtAdjustGroupsToken(Token, FALSE, (PTOKEN_GROUPS)&Wish, 12, Old, &Bytes) == STATUS_BUFFER_TOO_SMALL);
    CHECK(Bytes > sizeof(TOKEN_GROUPS) && GroupOf(Token, TokenGroups, &SecStaff) == 0);
    CHECK(NtAdjustGroupsToken(Token, FALSE, (PTOKEN_GROUPS)&Wish, sizeof(Space), Old, &Bytes) == STATUS_SUCCESS);
    CHECK(Old->GroupCount == 1 && RtlEqualSid(Old->Groups[0].Sid, &SecStaff) && Old->Groups[0].Attributes == 0);
    CHECK(GroupOf(Token, TokenGroups, &SecStaff) == SE_GROUP_ENABLED);
    Wish.Count = 2;
    CHECK(NtAdjustGroupsToken(Token, FALSE, (PTOKEN_GROUPS)&Wish, 0, NULL, NULL) == STATUS_NOT_ALL_ASSIGNED);
    Wish.Groups[0].Sid = &SecWorld;
    Wish.Groups[0].Attributes = 0;
    CHECK(NtAdjustGroupsToken(Token, FALSE, (PTOKEN_GROUPS)&Wish, 0, NULL, NULL) == STATUS_CANT_DISABLE_MANDATORY);
    CHECK(NtAdjustGroupsToken(Token, TRUE, NULL, 0, NULL, NULL) == STATUS_SUCCESS);
    CHECK(GroupOf(Token, TokenGroups, &SecStaff) == 0);
    CHECK((GroupOf(Token, TokenGroups, &SecGroup) & SE_GROUP_ENABLED) != 0);
    CHECK(NtAdjustGroupsToken(Token, FALSE, NULL, 0, NULL, NULL) == STATUS_INVALID_PARAMETER);
    CHECK(NtClose(Token) == STATUS_SUCCESS);
    return 0;
}

/* Owner, primary group and DACL of objects to come; and that objects get them. */
static ULONG SetDefaults(VOID)
{
    TOKEN_OWNER Owner = {&SecGroup}, Strange = {&SecStaff};
    TOKEN_PRIMARY_GROUP Primary = {&SecStaff};
    SEC_DESCRIPTOR Default;
    TOKEN_DEFAULT_DACL Dacl = {(PACL)Default.Space};
    PSID Sid;
    BOOLEAN Ignored;
    HANDLE Token, Read, Acting;
    ULONG Bytes;

    SecBegin(&Default, &SecAlice);
    SecAllow(&Default, &SecAlice, GENERIC_READ, 0);
    CHECK(SecUserToken(TokenPrimary, 0, &Token) == STATUS_SUCCESS);
    CHECK(NtSetInformationToken(Token, TokenOwner, &Strange, sizeof(Strange)) == STATUS_INVALID_OWNER);
    CHECK(NtSetInformationToken(Token, TokenOwner, &Owner, 4) == STATUS_INFO_LENGTH_MISMATCH);
    CHECK(NtSetInformationToken(Token, TokenUser, &Owner, sizeof(Owner)) == STATUS_INVALID_INFO_CLASS);
    CHECK(NtSetInformationToken(Token, TokenOwner, &Owner, sizeof(Owner)) == STATUS_SUCCESS);
    CHECK(NtSetInformationToken(Token, TokenPrimaryGroup, &Primary, sizeof(Primary)) == STATUS_SUCCESS);
    CHECK(NtSetInformationToken(Token, TokenDefaultDacl, &Dacl, sizeof(Dacl)) == STATUS_SUCCESS);
    CHECK(Query(Token, TokenDefaultDacl) == STATUS_SUCCESS);
    CHECK(((PTOKEN_DEFAULT_DACL)Space)->DefaultDacl->AceCount == 1);
    CHECK(NtDuplicateObject(ZwCurrentProcess(), Token, ZwCurrentProcess(), &Read, TOKEN_QUERY, 0, 0) == STATUS_SUCCESS);
    CHECK(NtSetInformationToken(Read, TokenDefaultDacl, &Dacl, sizeof(Dacl)) == STATUS_ACCESS_DENIED);
    CHECK(NtDuplicateToken(Token, 0, NULL, FALSE, TokenImpersonation, &Acting) == STATUS_SUCCESS);
    CHECK(NtQuerySecurityObject(Acting, OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION, Space, sizeof(Space),
                                &Bytes) == STATUS_SUCCESS);
    RtlGetOwnerSecurityDescriptor(Space, &Sid, &Ignored);
    CHECK(RtlEqualSid(Sid, &SecGroup)); /* a token is guarded by its own defaults */
    Dacl.DefaultDacl = NULL;
    CHECK(NtSetInformationToken(Token, TokenDefaultDacl, &Dacl, sizeof(Dacl)) == STATUS_SUCCESS);
    CHECK(Query(Token, TokenDefaultDacl) == STATUS_SUCCESS && ((PTOKEN_DEFAULT_DACL)Space)->DefaultDacl == NULL);
    CHECK(NtClose(Token) == 0 && NtClose(Read) == 0 && NtClose(Acting) == 0);
    return 0;
}

const USER_CASE SecTokenCases[5] = {
    {"user.sec.create", Create},       {"user.sec.duplicate", Duplicate},  {"user.sec.filter", Filter},
    {"user.sec.groups", AdjustGroups}, {"user.sec.defaults", SetDefaults},
};
