/*
 * tokendup.c - tokens made from others: NtDuplicateToken, NtFilterToken, and the token that a new process begins with.
 *
 * A copy is made from a plan that points into the original, which is locked shared meanwhile. A filtered token has less: groups that count
 * for denials only, privileges that are gone, SIDs that restrict it, so that an access has to be granted to them as well. It remembers
 * what it was made from, since whoever owns the one may give a process the other.
 *
 * Lock: the token's, shared. IRQL: PASSIVE_LEVEL. Source: Microsoft Learn, DuplicateTokenEx, CreateRestrictedToken; ntifs.h.
 */
#include "sep.h"

#include <ntos/ex.h>
#include <ntos/user.h>

VOID SepPlanCopy(PTOKEN Token, SE_TOKEN_PLAN *Plan)
{
    RtlZeroMemory(Plan, sizeof(*Plan));
    Plan->User = Token->Sids[0].Sid;
    Plan->UserAttributes = Token->Sids[0].Attributes;
    Plan->GroupCount = Token->SidCount - 1;
    Plan->Groups = Token->Sids + 1;
    Plan->RestrictedCount = Token->RestrictedCount;
    Plan->Restricted = Token->Restricted;
    Plan->PrivilegeCount = Token->PrivilegeCount;
    Plan->Privileges = Token->Privileges;
    Plan->Owner = Token->Sids[Token->OwnerIndex].Sid;
    Plan->PrimaryGroup = Token->Sids[Token->GroupIndex].Sid;
    Plan->DefaultDacl = Token->DefaultDacl;
    Plan->Type = Token->Type;
    Plan->Level = Token->Level;
    Plan->AuthenticationId = Token->AuthenticationId;
    Plan->ParentTokenId = Token->ParentTokenId;
    Plan->ExpirationTime = Token->ExpirationTime;
    RtlCopyMemory(Plan->Source, Token->Source.SourceName, TOKEN_SOURCE_LENGTH);
}

/* Makes what a plan says that points into a token, and gives it the rest. */
static NTSTATUS SepCreateCopy(PTOKEN Token, const SE_TOKEN_PLAN *Plan, PACCESS_TOKEN *New)
{
    NTSTATUS Status = SeCreateToken(Plan, New);

    if (NT_SUCCESS(Status)) {
        ((PTOKEN)*New)->SessionId = Token->SessionId;
        ((PTOKEN)*New)->Source.SourceIdentifier = Token->Source.SourceIdentifier;
    }
    return Status;
}

NTSTATUS SeInheritToken(PEPROCESS Parent, PEPROCESS Child)
{
    PTOKEN Own = PsReferencePrimaryToken(Parent);
    SE_TOKEN_PLAN Plan;
    NTSTATUS Status;

    SepLockToken(Own);
    SepPlanCopy(Own, &Plan);
    Status = SepCreateCopy(Own, &Plan, &Child->Token);
    SepUnlockToken(Own);
    if (NT_SUCCESS(Status)) {
        ((PTOKEN)Child->Token)->InUse = TRUE;
    }
    PsDereferencePrimaryToken(Own);
    return Status;
}

VOID SeReleaseToken(PEPROCESS Process)
{
    if (Process->Token != NULL) {
        ObDereferenceObject(Process->Token);
        Process->Token = NULL;
    }
}

/* ---- Duplicates ---- */

/* The level that the attributes' quality of service asks for; the token's own if there is none. */
static NTSTATUS SepWantedLevel(const VOID *Given, PTOKEN Token, SECURITY_IMPERSONATION_LEVEL *Level)
{
    SECURITY_QUALITY_OF_SERVICE Quality;
    NTSTATUS Status = STATUS_SUCCESS;

    *Level = Token->Level;
    if (Given == NULL) {
        return STATUS_SUCCESS;
    }
    Status = ExCopyFromCaller(&Quality, Given, sizeof(Quality));
    if (NT_SUCCESS(Status) &&
        (Quality.Length != sizeof(Quality) || !VALID_IMPERSONATION_LEVEL(Quality.ImpersonationLevel))) {
        Status = STATUS_INVALID_PARAMETER;
    }
    if (NT_SUCCESS(Status)) {
        *Level = Quality.ImpersonationLevel;
    }
    return Status;
}

/* Is a level, or a primary token, more than a token allows? */
static BOOLEAN SepExceeds(PTOKEN Token, TOKEN_TYPE Type, SECURITY_IMPERSONATION_LEVEL Level)
{
    if (Token->Type != TokenImpersonation) {
        return FALSE;
    }
    return Type == TokenPrimary ? Token->Level < SecurityImpersonation : Level > Token->Level;
}

/* Only what is enabled. The arrays of the plan are copied to Room and thinned out. */
static VOID SepKeepEffective(SE_TOKEN_PLAN *Plan, PVOID Room)
{
    PSID_AND_ATTRIBUTES Groups = Room;
    PLUID_AND_ATTRIBUTES Privileges;
    ULONG Kept = 0;

    for (ULONG Index = 0; Index < Plan->GroupCount; Index++) {
        if ((Plan->Groups[Index].Attributes & (SE_GROUP_ENABLED | SE_GROUP_USE_FOR_DENY_ONLY)) != 0 ||
            Plan->Groups[Index].Sid == Plan->Owner || Plan->Groups[Index].Sid == Plan->PrimaryGroup) {
            Groups[Kept++] = Plan->Groups[Index];
        }
    }
    Plan->Groups = Groups;
    Plan->GroupCount = Kept;
    Privileges = (PLUID_AND_ATTRIBUTES)(Groups + Kept);
    Kept = 0;
    for (ULONG Index = 0; Index < Plan->PrivilegeCount; Index++) {
        if ((Plan->Privileges[Index].Attributes & SE_PRIVILEGE_ENABLED) != 0) {
            Privileges[Kept++] = Plan->Privileges[Index];
        }
    }
    Plan->Privileges = Privileges;
    Plan->PrivilegeCount = Kept;
}

static NTSTATUS SepDuplicate(PTOKEN Token, BOOLEAN EffectiveOnly, TOKEN_TYPE Type, SECURITY_IMPERSONATION_LEVEL Level,
                             PACCESS_TOKEN *New)
{
    SIZE_T Bytes = Token->SidCount * sizeof(SID_AND_ATTRIBUTES) + Token->PrivilegeCount * sizeof(LUID_AND_ATTRIBUTES);
    PVOID Room = EffectiveOnly ? ExAllocatePoolWithTag(PagedPool, Bytes, SE_TAG_PRIVILEGES) : NULL;
    SE_TOKEN_PLAN Plan;
    NTSTATUS Status;

    if (EffectiveOnly && Room == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    SepLockToken(Token);
    SepPlanCopy(Token, &Plan);
    Plan.Type = Type;
    Plan.Level = Level;
    if (EffectiveOnly) {
        SepKeepEffective(&Plan, Room);
    }
    Status = SepCreateCopy(Token, &Plan, New);
    SepUnlockToken(Token);
    SepFree(Room);
    return Status;
}

/**
 * NtDuplicateToken - a second token like one that exists.
 *
 * @ExistingTokenHandle  with TOKEN_DUPLICATE
 * @DesiredAccess        of the new handle; 0: what the existing one has
 * @ObjectAttributes     OBJ_INHERIT, the new token's descriptor and its impersonation level (quality of service) count; may be NULL
 * @EffectiveOnly        groups and privileges that are disabled are left out
 * @TokenType            TokenPrimary or TokenImpersonation
 * returns               STATUS_SUCCESS; STATUS_INVALID_PARAMETER; STATUS_BAD_IMPERSONATION_LEVEL: more than the existing one allows;
 *                       STATUS_INSUFFICIENT_RESOURCES; what handle and pointers say
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtDuplicateToken(HANDLE ExistingTokenHandle, ACCESS_MASK DesiredAccess,
                                POBJECT_ATTRIBUTES ObjectAttributes, BOOLEAN EffectiveOnly, TOKEN_TYPE TokenType,
                                PHANDLE NewTokenHandle)
{
    EX_CAPTURED_ATTRIBUTES Attributes;
    OBJECT_HANDLE_INFORMATION Info;
    SECURITY_IMPERSONATION_LEVEL Level;
    PACCESS_TOKEN New;
    PTOKEN Token;
    NTSTATUS Status;

    if (TokenType != TokenPrimary && TokenType != TokenImpersonation) {
        return STATUS_INVALID_PARAMETER;
    }
    Status = ExCaptureObjectAttributes(&Attributes, ObjectAttributes);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ObReferenceObjectByHandle(ExistingTokenHandle, TOKEN_DUPLICATE, SepTokenObjectType, ExGetPreviousMode(),
                                       (PVOID *)&Token, &Info);
    if (NT_SUCCESS(Status)) {
        Status = SepWantedLevel(Attributes.Quality, Token, &Level);
        if (NT_SUCCESS(Status) && SepExceeds(Token, TokenType, Level)) {
            Status = STATUS_BAD_IMPERSONATION_LEVEL;
        }
        if (NT_SUCCESS(Status)) {
            Status = SepDuplicate(Token, EffectiveOnly != FALSE, TokenType, Level, &New);
        }
        if (NT_SUCCESS(Status)) {
            Status = SepReturnToken(New, Attributes.Address, DesiredAccess == 0 ? Info.GrantedAccess : DesiredAccess,
                                    NewTokenHandle);
        }
        ObDereferenceObject(Token);
    }
    ExFreeCapturedAttributes(&Attributes);
    return Status;
}

/* ---- Filtered tokens ---- */

typedef struct _SEP_FILTER {
    ULONG Flags;
    ULONG DisableCount, DeleteCount, RestrictCount;
    PSID_AND_ATTRIBUTES Disable, Restrict;
    PLUID_AND_ATTRIBUTES Delete;
} SEP_FILTER, *PSEP_FILTER;

static BOOLEAN SepListed(const SID_AND_ATTRIBUTES *List, ULONG Count, PSID Sid)
{
    for (ULONG Index = 0; Index < Count; Index++) {
        if (RtlEqualSid(List[Index].Sid, Sid)) {
            return TRUE;
        }
    }
    return FALSE;
}

/* Does a privilege stay? */
static BOOLEAN SepStays(const SEP_FILTER *Filter, LUID Privilege)
{
    LUID ChangeNotify = SepExports.SeChangeNotifyPrivilege;

    if ((Filter->Flags & DISABLE_MAX_PRIVILEGE) != 0) {
        return RtlEqualLuid(&Privilege, &ChangeNotify);
    }
    for (ULONG Index = 0; Index < Filter->DeleteCount; Index++) {
        if (RtlEqualLuid(&Filter->Delete[Index].Luid, &Privilege)) {
            return FALSE;
        }
    }
    return TRUE;
}

/* The SIDs that restrict both: a token that is restricted already keeps those of them that are named again. */
static VOID SepIntersect(PSEP_FILTER Filter, PTOKEN Token)
{
    ULONG Kept = 0;

    if (Token->RestrictedCount == 0 || Filter->RestrictCount == 0) {
        return;
    }
    for (ULONG Index = 0; Index < Filter->RestrictCount; Index++) {
        if (SepSidRestricts(Token, Filter->Restrict[Index].Sid)) {
            Filter->Restrict[Kept++] = Filter->Restrict[Index];
        }
    }
    Filter->RestrictCount = Kept;
}

static NTSTATUS SepCreateFiltered(PTOKEN Token, PSEP_FILTER Filter, PVOID Room, PACCESS_TOKEN *New)
{
    PSID_AND_ATTRIBUTES Groups = Room;
    PLUID_AND_ATTRIBUTES Privileges = (PLUID_AND_ATTRIBUTES)(Groups + Token->SidCount - 1);
    SE_TOKEN_PLAN Plan;

    SepPlanCopy(Token, &Plan);
    if (SepListed(Filter->Disable, Filter->DisableCount, Plan.User)) {
        Plan.UserAttributes |= SE_GROUP_USE_FOR_DENY_ONLY;
    }
    for (ULONG Index = 0; Index < Plan.GroupCount; Index++) {
        Groups[Index] = Plan.Groups[Index];
        if (SepListed(Filter->Disable, Filter->DisableCount, Groups[Index].Sid)) {
            Groups[Index].Attributes &= ~(SE_GROUP_ENABLED | SE_GROUP_ENABLED_BY_DEFAULT | SE_GROUP_OWNER);
            Groups[Index].Attributes |= SE_GROUP_USE_FOR_DENY_ONLY;
            Plan.Owner = (Plan.Owner == Groups[Index].Sid) ? Plan.User : Plan.Owner;
        }
    }
    Plan.Groups = Groups;
    Plan.PrivilegeCount = 0;
    for (ULONG Index = 0; Index < Token->PrivilegeCount; Index++) {
        if (SepStays(Filter, Token->Privileges[Index].Luid)) {
            Privileges[Plan.PrivilegeCount++] = Token->Privileges[Index];
        }
    }
    Plan.Privileges = Privileges;
    if (Filter->RestrictCount != 0) {
        SepIntersect(Filter, Token);
        if (Filter->RestrictCount == 0) {
            return STATUS_INVALID_PARAMETER; /* nothing is in both: a token that nobody could use */
        }
        Plan.Restricted = Filter->Restrict;
        Plan.RestrictedCount = Filter->RestrictCount;
    }
    Plan.ParentTokenId = Token->TokenId;
    return SepCreateCopy(Token, &Plan, New);
}

static NTSTATUS SepFilter(PTOKEN Token, PSEP_FILTER Filter, PACCESS_TOKEN *New)
{
    SIZE_T Bytes = Token->SidCount * sizeof(SID_AND_ATTRIBUTES) + Token->PrivilegeCount * sizeof(LUID_AND_ATTRIBUTES);
    PVOID Room = ExAllocatePoolWithTag(PagedPool, Bytes, SE_TAG_PRIVILEGES);
    NTSTATUS Status;

    if (Room == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    SepLockToken(Token);
    Status = SepCreateFiltered(Token, Filter, Room, New);
    SepUnlockToken(Token);
    SepFree(Room);
    return Status;
}

/**
 * NtFilterToken - a token that can do less than one that exists.
 *
 * @ExistingTokenHandle  with TOKEN_DUPLICATE, which the new handle's rights are too
 * @Flags                DISABLE_MAX_PRIVILEGE: all privileges go but SeChangeNotifyPrivilege; SANDBOX_INERT changes nothing here
 * @SidsToDisable        become groups for denials only; may be NULL, as the other two
 * @PrivilegesToDelete   go
 * @RestrictedSids       restrict the token: what is granted must be granted to these as well; their attributes must be 0
 * returns               STATUS_SUCCESS; STATUS_INVALID_PARAMETER; STATUS_INVALID_SID; STATUS_INSUFFICIENT_RESOURCES; what handle and pointers say
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtFilterToken(HANDLE ExistingTokenHandle, ULONG Flags, PTOKEN_GROUPS SidsToDisable,
                             PTOKEN_PRIVILEGES PrivilegesToDelete, PTOKEN_GROUPS RestrictedSids, PHANDLE NewTokenHandle)
{
    SEP_FILTER Filter = {.Flags = Flags};
    OBJECT_HANDLE_INFORMATION Info;
    PACCESS_TOKEN New;
    PTOKEN Token;
    NTSTATUS Status;

    if ((Flags & ~(DISABLE_MAX_PRIVILEGE | SANDBOX_INERT)) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    Status = SepCaptureGroups(SidsToDisable, &Filter.DisableCount, &Filter.Disable);
    if (NT_SUCCESS(Status)) {
        Status = SepCapturePrivileges(PrivilegesToDelete, &Filter.DeleteCount, &Filter.Delete);
    }
    if (NT_SUCCESS(Status)) {
        Status = SepCaptureGroups(RestrictedSids, &Filter.RestrictCount, &Filter.Restrict);
    }
    for (ULONG Index = 0; NT_SUCCESS(Status) && Index < Filter.RestrictCount; Index++) {
        Status = Filter.Restrict[Index].Attributes != 0 ? STATUS_INVALID_PARAMETER : Status;
    }
    if (NT_SUCCESS(Status)) {
        Status = ObReferenceObjectByHandle(ExistingTokenHandle, TOKEN_DUPLICATE, SepTokenObjectType,
                                           ExGetPreviousMode(), (PVOID *)&Token, &Info);
    }
    if (NT_SUCCESS(Status)) {
        Status = SepFilter(Token, &Filter, &New);
        if (NT_SUCCESS(Status)) {
            Status = SepReturnToken(New, NULL, Info.GrantedAccess, NewTokenHandle);
        }
        ObDereferenceObject(Token);
    }
    SepFree(Filter.Disable);
    SepFree(Filter.Delete);
    SepFree(Filter.Restrict);
    return Status;
}
