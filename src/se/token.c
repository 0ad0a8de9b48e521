/*
 * token.c - token objects: who somebody is.
 *
 * A token's identity (user, groups, type) is fixed when it is made; which groups and privileges are enabled, and the defaults for new
 * objects, may change under its lock. All of variable length is in one pool block behind the object. The system's token belongs to
 * PsInitialSystemProcess; every other process begins with a copy of its creator's, so that what it changes is its own.
 *
 * Lock: the token's ERESOURCE, shared by readers, which may keep it over a whole access check (SeLockSubjectContext).
 * Source: WDK documentation of the Se token routines; Windows SDK documentation of TOKEN_INFORMATION_CLASS.
 */
#include "sep.h"

#include <ntos/ex.h>

POBJECT_TYPE SepTokenObjectType;
POBJECT_TYPE *SeTokenObjectType = &SepTokenObjectType; /* the kernel's own view of the export */

static VOID SepDeleteToken(PVOID Object)
{
    PTOKEN Token = Object;

    if (Token->Block != NULL) {
        ExDeleteResourceLite(&Token->Lock);
        ExFreePoolWithTag(Token->Block, SE_TAG_TOKEN);
    }
    if (Token->OwnDacl != NULL) {
        ExFreePoolWithTag(Token->OwnDacl, SE_TAG_TOKEN);
    }
    if (Token->Replaced != NULL) {
        ObDereferenceObject(Token->Replaced);
    }
}

/* OB_SECURITY_TOKEN_PROCEDURE: a token's own defaults guard it. */
static PVOID SepTokenDefaults(PVOID Object)
{
    ObReferenceObject(Object);
    return Object;
}

static const OBJECT_TYPE_INITIALIZER SepTokenTypeInfo = {
    .Name = L"Token",
    .GenericMapping = {TOKEN_READ,
                       STANDARD_RIGHTS_WRITE | TOKEN_ADJUST_PRIVILEGES | TOKEN_ADJUST_GROUPS | TOKEN_ADJUST_DEFAULT,
                       STANDARD_RIGHTS_EXECUTE, TOKEN_ALL_ACCESS},
    .ValidAccess = TOKEN_ALL_ACCESS,
    .PoolTag = SE_TAG_TOKEN,
    .WaitOffset = OB_NOT_WAITABLE,
    .DeleteProcedure = SepDeleteToken,
    .SecurityTokenProcedure = SepTokenDefaults,
};

/* ---- Making ---- */

static ULONG SepRoundedSid(PSID Sid)
{
    return (RtlLengthSid(Sid) + 7) & ~7U;
}

static SIZE_T SepPlanBytes(const SE_TOKEN_PLAN *Plan)
{
    SIZE_T Bytes = ((SIZE_T)Plan->GroupCount + 1 + Plan->RestrictedCount) * sizeof(SID_AND_ATTRIBUTES) +
                   Plan->PrivilegeCount * sizeof(LUID_AND_ATTRIBUTES) + SepRoundedSid(Plan->User) + 8;

    for (ULONG Index = 0; Index < Plan->GroupCount; Index++) {
        Bytes += SepRoundedSid(Plan->Groups[Index].Sid);
    }
    for (ULONG Index = 0; Index < Plan->RestrictedCount; Index++) {
        Bytes += SepRoundedSid(Plan->Restricted[Index].Sid);
    }
    return Bytes + ((Plan->DefaultDacl != NULL) ? Plan->DefaultDacl->AclSize : 0);
}

static PUCHAR SepPutSid(PSID_AND_ATTRIBUTES To, PSID Sid, ULONG Attributes, PUCHAR Place)
{
    To->Sid = Place;
    To->Attributes = Attributes;
    RtlCopyMemory(Place, Sid, RtlLengthSid(Sid));
    return Place + SepRoundedSid(Sid);
}

/* Lays the plan out in the token's block. */
static VOID SepFillToken(PTOKEN Token, const SE_TOKEN_PLAN *Plan)
{
    PUCHAR Place = Token->Block;

    Token->SidCount = Plan->GroupCount + 1;
    Token->Sids = (PSID_AND_ATTRIBUTES)Place;
    Place += Token->SidCount * sizeof(SID_AND_ATTRIBUTES);
    Token->RestrictedCount = Plan->RestrictedCount;
    Token->Restricted = (PSID_AND_ATTRIBUTES)Place;
    Place += Plan->RestrictedCount * sizeof(SID_AND_ATTRIBUTES);
    Place = SepPutSid(&Token->Sids[0], Plan->User, Plan->UserAttributes, Place);
    for (ULONG Index = 0; Index < Plan->GroupCount; Index++) {
        Place = SepPutSid(&Token->Sids[Index + 1], Plan->Groups[Index].Sid, Plan->Groups[Index].Attributes, Place);
    }
    for (ULONG Index = 0; Index < Plan->RestrictedCount; Index++) {
        Place = SepPutSid(&Token->Restricted[Index], Plan->Restricted[Index].Sid, SE_GROUP_ENABLED, Place);
    }
    if (Plan->DefaultDacl != NULL) {
        Token->DefaultDacl = (PACL)Place;
        RtlCopyMemory(Place, Plan->DefaultDacl, Plan->DefaultDacl->AclSize);
        Place += (Plan->DefaultDacl->AclSize + 7) & ~7U;
    }
    Token->PrivilegeCount = Plan->PrivilegeCount;
    Token->Privileges = (PLUID_AND_ATTRIBUTES)Place;
    RtlCopyMemory(Place, Plan->Privileges, Plan->PrivilegeCount * sizeof(LUID_AND_ATTRIBUTES));
    Token->Type = Plan->Type;
    Token->Level = (Plan->Type == TokenPrimary) ? SecurityImpersonation : Plan->Level;
    RtlCopyMemory(Token->Source.SourceName, Plan->Source, TOKEN_SOURCE_LENGTH);
    Token->AuthenticationId = Plan->AuthenticationId;
    Token->ParentTokenId = Plan->ParentTokenId;
    Token->ExpirationTime.QuadPart = (Plan->ExpirationTime.QuadPart == 0) ? MAXLONG64 : Plan->ExpirationTime.QuadPart;
    ExAllocateLuid(&Token->TokenId);
    ExAllocateLuid(&Token->ModifiedId);
}

/* Place of a SID in the token; SidCount: it is not there. */
ULONG SepFindSid(PTOKEN Token, PSID Sid)
{
    ULONG Index = 0;

    while (Index < Token->SidCount && !RtlEqualSid(Token->Sids[Index].Sid, Sid)) {
        Index++;
    }
    return Index;
}

NTSTATUS SeCreateToken(const SE_TOKEN_PLAN *Plan, PACCESS_TOKEN *Token)
{
    PTOKEN New;
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    *Token = NULL;
    Status = ObCreateObject(KernelMode, SepTokenObjectType, NULL, ExGetPreviousMode(), NULL, sizeof(*New), 0,
                            (ULONG)(sizeof(*New) + SepPlanBytes(Plan)), (PVOID *)&New);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    New->Block = ExAllocatePoolWithTag(NonPagedPool, SepPlanBytes(Plan), SE_TAG_TOKEN);
    if (New->Block == NULL) {
        ObDereferenceObject(New);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    ExInitializeResourceLite(&New->Lock);
    VfNameLock(&New->Lock, "TOKEN.Lock");
    SepFillToken(New, Plan);
    New->OwnerIndex = (Plan->Owner == NULL) ? 0 : SepFindSid(New, Plan->Owner);
    New->GroupIndex = SepFindSid(New, Plan->PrimaryGroup);
    if (New->OwnerIndex == New->SidCount || !SepMayOwn(New, New->Sids[New->OwnerIndex].Sid)) {
        Status = STATUS_INVALID_OWNER;
    } else if (New->GroupIndex == New->SidCount) {
        Status = STATUS_INVALID_PRIMARY_GROUP;
    }
    if (!NT_SUCCESS(Status)) {
        ObDereferenceObject(New);
        return Status;
    }
    *Token = New;
    return STATUS_SUCCESS;
}

/* ---- What others ask about a token ---- */

/* TRUE: the SID is the token's. Denying: for an entry that denies, groups kept for that count too. Lock held. */
BOOLEAN SepSidInToken(PTOKEN Token, PSID Sid, BOOLEAN Denying)
{
    for (ULONG Index = 0; Index < Token->SidCount; Index++) {
        ULONG Attributes = Token->Sids[Index].Attributes;

        if (RtlEqualSid(Token->Sids[Index].Sid, Sid)) {
            if (Index == 0) {
                return Denying || (Attributes & SE_GROUP_USE_FOR_DENY_ONLY) == 0;
            }
            return (Attributes & SE_GROUP_ENABLED) != 0 || (Denying && (Attributes & SE_GROUP_USE_FOR_DENY_ONLY) != 0);
        }
    }
    return FALSE;
}

/* TRUE: the SID is one of those that restrict the token. */
BOOLEAN SepSidRestricts(PTOKEN Token, PSID Sid)
{
    for (ULONG Index = 0; Index < Token->RestrictedCount; Index++) {
        if (RtlEqualSid(Token->Restricted[Index].Sid, Sid)) {
            return TRUE;
        }
    }
    return FALSE;
}

/* TRUE: new objects of this token may belong to the SID. Lock held, or the token is new. */
BOOLEAN SepMayOwn(PTOKEN Token, PSID Sid)
{
    ULONG Index = SepFindSid(Token, Sid);

    return Index == 0 || (Index < Token->SidCount && (Token->Sids[Index].Attributes & SE_GROUP_OWNER) != 0);
}

/* TRUE: the token belongs to an administrator, one who may use that. IRQL: PASSIVE_LEVEL. */
BOOLEAN NTAPI SeTokenIsAdmin(PACCESS_TOKEN Token)
{
    BOOLEAN Admin;

    SepLockToken((PTOKEN)Token);
    Admin = SepSidInToken((PTOKEN)Token, SepExports.SeAliasAdminsSid, FALSE);
    SepUnlockToken((PTOKEN)Token);
    return Admin;
}

/* TRUE: it has restricting SIDs. */
BOOLEAN NTAPI SeTokenIsRestricted(PACCESS_TOKEN Token)
{
    return ((PTOKEN)Token)->RestrictedCount != 0;
}

TOKEN_TYPE NTAPI SeTokenType(PACCESS_TOKEN Token)
{
    return ((PTOKEN)Token)->Type;
}

SECURITY_IMPERSONATION_LEVEL NTAPI SeTokenImpersonationLevel(PACCESS_TOKEN Token)
{
    return ((PTOKEN)Token)->Level;
}

NTSTATUS NTAPI SeQueryAuthenticationIdToken(PACCESS_TOKEN Token, PLUID AuthenticationId)
{
    *AuthenticationId = ((PTOKEN)Token)->AuthenticationId;
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI SeQuerySessionIdToken(PACCESS_TOKEN Token, PULONG SessionId)
{
    *SessionId = ((PTOKEN)Token)->SessionId;
    return STATUS_SUCCESS;
}

/* ---- The system's token ---- */

/* A privilege of the system that is enabled only by who wants to use it. */
static BOOLEAN SepIsOnRequest(ULONG Privilege)
{
    static const UCHAR OnRequest[] = {SE_CREATE_TOKEN_PRIVILEGE,
                                      SE_ASSIGNPRIMARYTOKEN_PRIVILEGE,
                                      SE_INCREASE_QUOTA_PRIVILEGE,
                                      SE_SECURITY_PRIVILEGE,
                                      SE_TAKE_OWNERSHIP_PRIVILEGE,
                                      SE_LOAD_DRIVER_PRIVILEGE,
                                      SE_SYSTEMTIME_PRIVILEGE,
                                      SE_BACKUP_PRIVILEGE,
                                      SE_RESTORE_PRIVILEGE,
                                      SE_SHUTDOWN_PRIVILEGE,
                                      SE_SYSTEM_ENVIRONMENT_PRIVILEGE,
                                      SE_UNDOCK_PRIVILEGE,
                                      SE_MANAGE_VOLUME_PRIVILEGE};

    for (ULONG Index = 0; Index < sizeof(OnRequest); Index++) {
        if (OnRequest[Index] == Privilege) {
            return TRUE;
        }
    }
    return FALSE;
}

static NTSTATUS SepCreateSystemToken(VOID)
{
    LUID_AND_ATTRIBUTES Privileges[SE_MAX_WELL_KNOWN_PRIVILEGE - SE_MIN_WELL_KNOWN_PRIVILEGE + 1];
    const ULONG On = SE_GROUP_ENABLED_BY_DEFAULT | SE_GROUP_ENABLED;
    SID_AND_ATTRIBUTES Groups[] = {
        {SepExports.SeAliasAdminsSid, On | SE_GROUP_OWNER},
        {SepExports.SeWorldSid, On | SE_GROUP_MANDATORY},
        {SepExports.SeAuthenticatedUsersSid, On | SE_GROUP_MANDATORY},
    };
    SE_TOKEN_PLAN Plan = {.User = SepExports.SeLocalSystemSid,
                          .GroupCount = RTL_NUMBER_OF(Groups),
                          .Groups = Groups,
                          .PrivilegeCount = RTL_NUMBER_OF(Privileges),
                          .Privileges = Privileges,
                          .Owner = SepExports.SeAliasAdminsSid,
                          .PrimaryGroup = SepExports.SeLocalSystemSid,
                          .DefaultDacl = SeSystemDefaultDacl,
                          .Type = TokenPrimary,
                          .Source = "*SYSTEM*",
                          .AuthenticationId = SYSTEM_LUID};

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Privileges); Index++) {
        ULONG Value = SE_MIN_WELL_KNOWN_PRIVILEGE + Index;

        Privileges[Index].Luid = RtlConvertUlongToLuid(Value);
        Privileges[Index].Attributes =
            SepIsOnRequest(Value) ? 0 : SE_PRIVILEGE_ENABLED | SE_PRIVILEGE_ENABLED_BY_DEFAULT;
    }
    return SeCreateToken(&Plan, &PsInitialSystemProcess->Token);
}

NTSTATUS SeInitialize(VOID)
{
    NTSTATUS Status = SepInitializeWellKnown();

    if (NT_SUCCESS(Status)) {
        Status = ObCreateObjectType(&SepTokenTypeInfo, &SepTokenObjectType);
    }
    return NT_SUCCESS(Status) ? SepCreateSystemToken() : Status;
}
