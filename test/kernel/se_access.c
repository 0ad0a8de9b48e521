/*
 * se_access.c - suites for access checks, privileges, tokens and the descriptors that new objects get.
 *
 * The subject is a user that the suite makes: the calling thread impersonates it, since the system's own token may do everything.
 * Descriptors are built with the Rtl routines in fixed storage. Every case ends with as many tokens as it began with, and as itself.
 */
#include <ntos/ke.h>
#include <ntos/ktap.h>
#include <ntos/ob.h>
#include <ntos/ps.h>
#include <ntos/se.h>

#define SET_READ    0x0001U
#define SET_WRITE   0x0002U
#define SET_EXECUTE 0x0004U
#define SET_ALL     (STANDARD_RIGHTS_REQUIRED | SET_READ | SET_WRITE | SET_EXECUTE)

static GENERIC_MAPPING SetMapping = {STANDARD_RIGHTS_READ | SET_READ, STANDARD_RIGHTS_WRITE | SET_WRITE,
                                     STANDARD_RIGHTS_EXECUTE | SET_EXECUTE, SET_ALL};

/* S-1-5-21-1-2-N: users and groups of the suite. */
typedef struct _SET_SID {
    UCHAR Revision, Count;
    SID_IDENTIFIER_AUTHORITY Authority;
    ULONG Sub[4];
} SET_SID;

static SET_SID SetUser = {SID_REVISION, 4, {SECURITY_NT_AUTHORITY}, {21, 1, 2, 1000}};
static SET_SID SetOther = {SID_REVISION, 4, {SECURITY_NT_AUTHORITY}, {21, 1, 2, 1001}};
static SET_SID SetGroup = {SID_REVISION, 4, {SECURITY_NT_AUTHORITY}, {21, 1, 2, 2000}};
static SET_SID SetDenyOnly = {SID_REVISION, 4, {SECURITY_NT_AUTHORITY}, {21, 1, 2, 2001}};
static SET_SID SetDisabled = {SID_REVISION, 4, {SECURITY_NT_AUTHORITY}, {21, 1, 2, 2002}};

static ULONG64 SetAclSpace[64];
static SECURITY_DESCRIPTOR SetDescriptor;

/* A token of the suite's user, with the privileges given (enabled). */
static NTSTATUS SetToken(PACCESS_TOKEN *Token, ULONG Privilege, SECURITY_IMPERSONATION_LEVEL Level)
{
    SID_AND_ATTRIBUTES Groups[] = {
        {&SetGroup, SE_GROUP_ENABLED | SE_GROUP_OWNER},
        {&SetDenyOnly, SE_GROUP_USE_FOR_DENY_ONLY},
        {&SetDisabled, 0},
        {SeExports->SeWorldSid, SE_GROUP_ENABLED | SE_GROUP_MANDATORY},
    };
    LUID_AND_ATTRIBUTES Privileges[] = {
        {RtlConvertUlongToLuid(SE_CHANGE_NOTIFY_PRIVILEGE), SE_PRIVILEGE_ENABLED},
        {RtlConvertUlongToLuid(Privilege), SE_PRIVILEGE_ENABLED},
        {RtlConvertUlongToLuid(SE_DEBUG_PRIVILEGE), 0},
    };
    SE_TOKEN_PLAN Plan = {.User = &SetUser,
                          .GroupCount = RTL_NUMBER_OF(Groups),
                          .Groups = Groups,
                          .PrivilegeCount = RTL_NUMBER_OF(Privileges),
                          .Privileges = Privileges,
                          .PrimaryGroup = &SetGroup,
                          .Type = TokenImpersonation,
                          .Level = Level,
                          .Source = "KTAP"};

    return SeCreateToken(&Plan, Token);
}

/* Begins an empty DACL, owned by another. */
static PACL SetBegin(PSID Owner)
{
    PACL Dacl = (PACL)SetAclSpace;

    RtlCreateAcl(Dacl, sizeof(SetAclSpace), ACL_REVISION);
    RtlCreateSecurityDescriptor(&SetDescriptor, SECURITY_DESCRIPTOR_REVISION);
    RtlSetOwnerSecurityDescriptor(&SetDescriptor, Owner, FALSE);
    RtlSetGroupSecurityDescriptor(&SetDescriptor, Owner, FALSE);
    RtlSetDaclSecurityDescriptor(&SetDescriptor, TRUE, Dacl, FALSE);
    return Dacl;
}

static VOID SetAllow(PACL Dacl, ACCESS_MASK Mask, PVOID Sid)
{
    RtlAddAccessAllowedAce(Dacl, ACL_REVISION, Mask, Sid);
}

static VOID SetDeny(PACL Dacl, ACCESS_MASK Mask, PVOID Sid)
{
    PACE_HEADER Ace;

    RtlAddAccessAllowedAce(Dacl, ACL_REVISION, Mask, Sid);
    RtlGetAce(Dacl, Dacl->AceCount - 1U, (PVOID *)&Ace);
    Ace->AceType = ACCESS_DENIED_ACE_TYPE;
}

static ACCESS_MASK SetGranted;

/* SeAccessCheck for a token, as its client. */
static NTSTATUS SetCheck(PACCESS_TOKEN Token, ACCESS_MASK Desired)
{
    SECURITY_SUBJECT_CONTEXT Subject;
    NTSTATUS Status;
    BOOLEAN Allowed;

    SeCaptureSubjectContext(&Subject);
    ObReferenceObject(Token);
    Subject.ClientToken = Token;
    Subject.ImpersonationLevel = SeTokenImpersonationLevel(Token);
    Allowed =
        SeAccessCheck(&SetDescriptor, &Subject, FALSE, Desired, 0, NULL, &SetMapping, UserMode, &SetGranted, &Status);
    SeReleaseSubjectContext(&Subject);
    return (Allowed == NT_SUCCESS(Status)) ? Status : STATUS_INTERNAL_ERROR;
}

static VOID SetDacls(PKTAP_CONTEXT Ktap)
{
    LONG64 Before = SepTokenObjectType->ObjectCount;
    PACCESS_TOKEN Token;
    PACL Dacl;

    KTAP_EQUAL(SetToken(&Token, SE_SHUTDOWN_PRIVILEGE, SecurityImpersonation), STATUS_SUCCESS);
    Dacl = SetBegin(&SetOther);
    KTAP_EQUAL(SetCheck(Token, SET_READ), STATUS_ACCESS_DENIED); /* an empty DACL */
    KTAP_EQUAL(SetCheck(Token, 0), STATUS_ACCESS_DENIED);
    SetAllow(Dacl, SET_READ, &SetUser);
    SetAllow(Dacl, SET_WRITE, &SetGroup);
    SetAllow(Dacl, SET_EXECUTE, &SetDisabled);
    SetAllow(Dacl, DELETE, &SetOther);
    KTAP_EQUAL(SetCheck(Token, GENERIC_READ), STATUS_ACCESS_DENIED); /* READ_CONTROL is missing */
    KTAP_EQUAL(SetCheck(Token, SET_READ | SET_WRITE), STATUS_SUCCESS);
    KTAP_EQUAL(SetGranted, SET_READ | SET_WRITE);
    KTAP_EQUAL(SetCheck(Token, SET_EXECUTE), STATUS_ACCESS_DENIED);
    KTAP_EQUAL(SetCheck(Token, DELETE), STATUS_ACCESS_DENIED);
    KTAP_EQUAL(SetCheck(Token, MAXIMUM_ALLOWED), STATUS_SUCCESS);
    KTAP_EQUAL(SetGranted, SET_READ | SET_WRITE);
    KTAP_EQUAL(SetCheck(Token, MAXIMUM_ALLOWED | DELETE), STATUS_ACCESS_DENIED);

    Dacl = SetBegin(&SetOther); /* order decides */
    SetAllow(Dacl, SET_READ, &SetUser);
    SetDeny(Dacl, SET_READ | SET_WRITE, SeExports->SeWorldSid);
    SetAllow(Dacl, GENERIC_ALL, &SetUser);
    KTAP_EQUAL(SetCheck(Token, SET_READ), STATUS_SUCCESS);
    KTAP_EQUAL(SetCheck(Token, SET_READ | SET_WRITE), STATUS_ACCESS_DENIED);
    KTAP_EQUAL(SetCheck(Token, SET_EXECUTE | DELETE), STATUS_SUCCESS);
    KTAP_EQUAL(SetCheck(Token, MAXIMUM_ALLOWED), STATUS_SUCCESS);
    KTAP_EQUAL(SetGranted, SET_ALL & ~SET_WRITE);

    Dacl = SetBegin(&SetOther); /* a group that can only deny */
    SetAllow(Dacl, SET_WRITE, &SetDenyOnly);
    SetDeny(Dacl, SET_READ, &SetDenyOnly);
    SetDeny(Dacl, SET_EXECUTE, &SetDisabled);
    SetAllow(Dacl, SET_READ | SET_EXECUTE, &SetUser);
    KTAP_EQUAL(SetCheck(Token, SET_WRITE), STATUS_ACCESS_DENIED);
    KTAP_EQUAL(SetCheck(Token, SET_READ), STATUS_ACCESS_DENIED);
    KTAP_EQUAL(SetCheck(Token, SET_EXECUTE), STATUS_SUCCESS);

    RtlSetDaclSecurityDescriptor(&SetDescriptor, TRUE, NULL, FALSE); /* a NULL DACL */
    KTAP_EQUAL(SetCheck(Token, GENERIC_ALL), STATUS_SUCCESS);
    KTAP_EQUAL(SetGranted, SET_ALL);
    RtlSetDaclSecurityDescriptor(&SetDescriptor, FALSE, NULL, FALSE); /* none at all */
    KTAP_EQUAL(SetCheck(Token, MAXIMUM_ALLOWED), STATUS_SUCCESS);
    KTAP_EQUAL(SetGranted, SET_ALL);
    ObDereferenceObject(Token);
    KTAP_EQUAL(SepTokenObjectType->ObjectCount, Before);
}

static VOID SetOwnerAndPrivileges(PKTAP_CONTEXT Ktap)
{
    SECURITY_SUBJECT_CONTEXT Subject;
    PPRIVILEGE_SET Used;
    PACCESS_TOKEN Token;
    NTSTATUS Status;
    BOOLEAN Allowed;

    KTAP_EQUAL(SetToken(&Token, SE_TAKE_OWNERSHIP_PRIVILEGE, SecurityImpersonation), STATUS_SUCCESS);
    SetBegin(&SetUser);
    KTAP_EQUAL(SetCheck(Token, READ_CONTROL | WRITE_DAC), STATUS_SUCCESS);
    KTAP_EQUAL(SetCheck(Token, READ_CONTROL | SET_READ), STATUS_ACCESS_DENIED);
    KTAP_EQUAL(SetCheck(Token, ACCESS_SYSTEM_SECURITY), STATUS_PRIVILEGE_NOT_HELD);
    SetBegin(&SetOther);
    KTAP_EQUAL(SetCheck(Token, READ_CONTROL), STATUS_ACCESS_DENIED);
    KTAP_EQUAL(SetCheck(Token, WRITE_OWNER), STATUS_SUCCESS);
    SeCaptureSubjectContextEx(PsGetCurrentThread(), PsGetCurrentProcess(), &Subject);
    ObReferenceObject(Token);
    Subject.ClientToken = Token;
    Subject.ImpersonationLevel = SecurityImpersonation;
    SeLockSubjectContext(&Subject);
    Allowed = SeAccessCheck(&SetDescriptor, &Subject, TRUE, WRITE_OWNER, SET_READ, &Used, &SetMapping, UserMode,
                            &SetGranted, &Status);
    SeUnlockSubjectContext(&Subject);
    SeReleaseSubjectContext(&Subject);
    ObDereferenceObject(Token);
    KTAP_CHECK(Allowed && Used != NULL);
    Allowed = Used->PrivilegeCount == 1 && Used->Privilege[0].Luid.LowPart == SE_TAKE_OWNERSHIP_PRIVILEGE;
    SeFreePrivileges(Used);
    KTAP_CHECK(Allowed);
    KTAP_EQUAL(SetGranted, WRITE_OWNER | SET_READ);
    KTAP_EQUAL(SetToken(&Token, SE_SECURITY_PRIVILEGE, SecurityImpersonation), STATUS_SUCCESS);
    KTAP_EQUAL(SetCheck(Token, ACCESS_SYSTEM_SECURITY), STATUS_SUCCESS);
    KTAP_EQUAL(SetCheck(Token, WRITE_OWNER), STATUS_ACCESS_DENIED);
    ObDereferenceObject(Token);
    KTAP_EQUAL(SetToken(&Token, SE_SECURITY_PRIVILEGE, SecurityIdentification), STATUS_SUCCESS);
    KTAP_EQUAL(SetCheck(Token, ACCESS_SYSTEM_SECURITY), STATUS_BAD_IMPERSONATION_LEVEL);
    ObDereferenceObject(Token);
}

static VOID SetKernelMode(PKTAP_CONTEXT Ktap)
{
    SECURITY_SUBJECT_CONTEXT Subject;
    NTSTATUS Status;
    BOOLEAN Kernel, NoDescriptor;

    SetBegin(&SetOther);
    SeCaptureSubjectContext(&Subject);
    Kernel = SeAccessCheck(&SetDescriptor, &Subject, FALSE, MAXIMUM_ALLOWED, 0, NULL, &SetMapping, KernelMode,
                           &SetGranted, &Status);
    KTAP_EQUAL(SetGranted, SET_ALL);
    NoDescriptor = SeAccessCheck(NULL, &Subject, FALSE, SET_READ, 0, NULL, &SetMapping, UserMode, &SetGranted, &Status);
    SeReleaseSubjectContext(&Subject);
    KTAP_CHECK(Kernel);
    KTAP_CHECK(!NoDescriptor);
    KTAP_EQUAL(Status, STATUS_ACCESS_DENIED);
}

static VOID SetPrivileges(PKTAP_CONTEXT Ktap)
{
    union {
        PRIVILEGE_SET Set;
        INITIAL_PRIVILEGE_SET Room;
    } Need = {.Room = {.PrivilegeCount = 2, .Control = PRIVILEGE_SET_ALL_NECESSARY}};
    SECURITY_SUBJECT_CONTEXT Subject;
    PACCESS_TOKEN Token;
    BOOLEAN All, One, Held, NotEnabled;

    Need.Room.Privilege[0].Luid = RtlConvertUlongToLuid(SE_SHUTDOWN_PRIVILEGE);
    Need.Room.Privilege[1].Luid = RtlConvertUlongToLuid(SE_BACKUP_PRIVILEGE);
    KTAP_EQUAL(SetToken(&Token, SE_SHUTDOWN_PRIVILEGE, SecurityImpersonation), STATUS_SUCCESS);
    KTAP_EQUAL(PsImpersonateClient(PsGetCurrentThread(), Token, FALSE, FALSE, SecurityImpersonation), STATUS_SUCCESS);
    SeCaptureSubjectContext(&Subject);
    All = SePrivilegeCheck(&Need.Set, &Subject, UserMode);
    Need.Set.Control = 0;
    One = SePrivilegeCheck(&Need.Set, &Subject, UserMode);
    Held = SeSinglePrivilegeCheck(SeExports->SeShutdownPrivilege, UserMode);
    NotEnabled = SeSinglePrivilegeCheck(SeExports->SeDebugPrivilege, UserMode);
    SeReleaseSubjectContext(&Subject);
    PsRevertToSelf();
    ObDereferenceObject(Token);
    KTAP_CHECK(!All && One && Held && !NotEnabled);
    KTAP_EQUAL(Need.Room.Privilege[0].Attributes, SE_PRIVILEGE_USED_FOR_ACCESS);
    KTAP_EQUAL(Need.Room.Privilege[1].Attributes, 0);
    KTAP_CHECK(SeSinglePrivilegeCheck(SeExports->SeBackupPrivilege, KernelMode));
    KTAP_CHECK(!SeSinglePrivilegeCheck(SeExports->SeBackupPrivilege, UserMode)); /* the system's, not enabled */
    KTAP_CHECK(SeSinglePrivilegeCheck(SeExports->SeDebugPrivilege, UserMode));
}

static VOID SetAccessState(PKTAP_CONTEXT Ktap)
{
    union {
        PRIVILEGE_SET Set;
        UCHAR Bytes[sizeof(PRIVILEGE_SET) + sizeof(LUID_AND_ATTRIBUTES)];
    } Two = {.Set = {.PrivilegeCount = 2}};
    ACCESS_STATE State;
    SE_AUX_DATA Aux;

    KTAP_EQUAL(SeCreateAccessState(&State, &Aux, GENERIC_READ, &SetMapping), STATUS_SUCCESS);
    KTAP_EQUAL(State.RemainingDesiredAccess, STANDARD_RIGHTS_READ | SET_READ);
    KTAP_CHECK(State.SubjectSecurityContext.PrimaryToken != NULL);
    KTAP_EQUAL(SeAppendPrivileges(&State, &Two.Set), STATUS_SUCCESS);
    KTAP_CHECK(!State.PrivilegesAllocated);
    KTAP_EQUAL(State.Privileges.PrivilegeSet.PrivilegeCount, 2);
    KTAP_EQUAL(SeAppendPrivileges(&State, &Two.Set), STATUS_SUCCESS);
    KTAP_EQUAL(SeAppendPrivileges(&State, &Two.Set), STATUS_SUCCESS);
    KTAP_CHECK(State.PrivilegesAllocated);
    SeSetAccessStateGenericMapping(&State, &SetMapping);
    SeDeleteAccessState(&State);
}

static const KTAP_CASE_ENTRY SetAccessCases[] = {
    {"dacl", SetDacls},
    {"owner_and_privileges", SetOwnerAndPrivileges},
    {"kernel_mode", SetKernelMode},
    {"privileges", SetPrivileges},
    {"access_state", SetAccessState},
};
KTAP_SUITE(SetAccessSuite, "se.access", SetAccessCases);

/* ---- Tokens ---- */

static VOID SetSystemToken(PKTAP_CONTEXT Ktap)
{
    PACCESS_TOKEN Token = PsReferencePrimaryToken(PsInitialSystemProcess);
    PTOKEN_USER User;
    PTOKEN_GROUPS Groups;
    PTOKEN_PRIVILEGES Privileges;
    PTOKEN_STATISTICS Statistics;
    PVOID Level;
    LUID Session;
    ULONG Id = 1;
    BOOLEAN IsSystem, HasAdmins;

    KTAP_EQUAL(SeQueryInformationToken(Token, TokenUser, (PVOID *)&User), STATUS_SUCCESS);
    KTAP_EQUAL(SeQueryInformationToken(Token, TokenGroups, (PVOID *)&Groups), STATUS_SUCCESS);
    KTAP_EQUAL(SeQueryInformationToken(Token, TokenPrivileges, (PVOID *)&Privileges), STATUS_SUCCESS);
    KTAP_EQUAL(SeQueryInformationToken(Token, TokenStatistics, (PVOID *)&Statistics), STATUS_SUCCESS);
    KTAP_EQUAL(SeQueryInformationToken(Token, TokenImpersonationLevel, &Level), STATUS_INVALID_INFO_CLASS);
    KTAP_EQUAL(SeQueryInformationToken(Token, TokenLinkedToken, &Level), STATUS_INVALID_INFO_CLASS);
    IsSystem = RtlEqualSid(User->User.Sid, SeExports->SeLocalSystemSid);
    HasAdmins = RtlEqualSid(Groups->Groups[0].Sid, SeExports->SeAliasAdminsSid);
    KTAP_EQUAL(Groups->GroupCount, Statistics->GroupCount);
    KTAP_EQUAL(Privileges->PrivilegeCount, Statistics->PrivilegeCount);
    KTAP_EQUAL(SeQueryAuthenticationIdToken(Token, &Session), STATUS_SUCCESS);
    KTAP_EQUAL(Session.LowPart, Statistics->AuthenticationId.LowPart);
    ExFreePool(User);
    ExFreePool(Groups);
    ExFreePool(Privileges);
    ExFreePool(Statistics);
    KTAP_EQUAL(SeTokenType(Token), TokenPrimary);
    KTAP_EQUAL(SeQuerySessionIdToken(Token, &Id), STATUS_SUCCESS);
    KTAP_EQUAL(Id, 0);
    KTAP_CHECK(IsSystem && HasAdmins && SeTokenIsAdmin(Token) && !SeTokenIsRestricted(Token));
    PsDereferencePrimaryToken(Token);
}

static VOID SetImpersonation(PKTAP_CONTEXT Ktap)
{
    LONG64 Before = SepTokenObjectType->ObjectCount;
    SECURITY_IMPERSONATION_LEVEL Level = SecurityAnonymous;
    BOOLEAN Copy = TRUE, Effective = FALSE, Admin, During;
    PACCESS_TOKEN Token, Client;
    HANDLE Handle;
    NTSTATUS Opened, High;
    ULONG Length, Type = 0;

    KTAP_EQUAL(SetToken(&Token, SE_SHUTDOWN_PRIVILEGE, SecurityIdentification), STATUS_SUCCESS);
    High = PsImpersonateClient(PsGetCurrentThread(), Token, FALSE, FALSE, SecurityImpersonation);
    KTAP_EQUAL(High, STATUS_BAD_IMPERSONATION_LEVEL);
    KTAP_EQUAL(ZwOpenThreadTokenEx(ZwCurrentThread(), TOKEN_QUERY, TRUE, OBJ_KERNEL_HANDLE, &Handle), STATUS_NO_TOKEN);
    KTAP_EQUAL(PsImpersonateClient(PsGetCurrentThread(), Token, FALSE, TRUE, SecurityIdentification), STATUS_SUCCESS);
    During = PsIsThreadImpersonating(PsGetCurrentThread());
    Client = PsReferenceImpersonationToken(PsGetCurrentThread(), &Copy, &Effective, &Level);
    Admin = SeTokenIsAdmin(Client);
    PsDereferenceImpersonationToken(Client);
    Opened = ZwOpenThreadTokenEx(ZwCurrentThread(), TOKEN_QUERY, TRUE, OBJ_KERNEL_HANDLE, &Handle);
    PsRevertToSelf();
    KTAP_EQUAL(Opened, STATUS_SUCCESS);
    KTAP_EQUAL(ZwQueryInformationToken(Handle, TokenType, &Type, 1, &Length), STATUS_BUFFER_TOO_SMALL);
    KTAP_EQUAL(Length, sizeof(Type));
    KTAP_EQUAL(ZwQueryInformationToken(Handle, TokenType, &Type, sizeof(Type), &Length), STATUS_SUCCESS);
    KTAP_EQUAL(Type, TokenImpersonation);
    KTAP_EQUAL(ZwClose(Handle), STATUS_SUCCESS);
    ObDereferenceObject(Token);
    KTAP_CHECK(During && Client == Token && !Copy && Effective && Level == SecurityIdentification && !Admin);
    KTAP_CHECK(!PsIsThreadImpersonating(PsGetCurrentThread()));
    KTAP_EQUAL(SepTokenObjectType->ObjectCount, Before);
    KTAP_EQUAL(ZwOpenProcessTokenEx(ZwCurrentProcess(), TOKEN_QUERY, OBJ_KERNEL_HANDLE, &Handle), STATUS_SUCCESS);
    KTAP_EQUAL(ZwQueryInformationToken(Handle, TokenType, &Type, sizeof(Type), &Length), STATUS_SUCCESS);
    KTAP_EQUAL(Type, TokenPrimary);
    KTAP_EQUAL(ZwClose(Handle), STATUS_SUCCESS);
}

static const KTAP_CASE_ENTRY SetTokenCases[] = {
    {"system", SetSystemToken},
    {"impersonation", SetImpersonation},
};
KTAP_SUITE(SetTokenSuite, "se.token", SetTokenCases);
