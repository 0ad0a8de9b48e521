/*
 * tokencreate.c - NtCreateToken: a token as a program describes it, which must be trusted to (SeCreateTokenPrivilege).
 *
 * All parts are captured first, then the token is made of them as any other. Locks: none. IRQL: PASSIVE_LEVEL.
 * Source: public descriptions of NtCreateToken; [MS-DTYP] 2.5.2, "Access token"; ntifs.h.
 */
#include "sep.h"

#include <ntos/services.h>
#include <ntos/user.h>

/* What the caller gave, in pool. */
typedef struct _SEP_PARTS {
    PSID_AND_ATTRIBUTES User, Groups;
    PLUID_AND_ATTRIBUTES Privileges;
    PSID Owner, PrimaryGroup;
    PACL DefaultDacl;
} SEP_PARTS, *PSEP_PARTS;

static NTSTATUS SepCaptureOwner(PTOKEN_OWNER Source, PSID *Copy)
{
    TOKEN_OWNER Given;
    NTSTATUS Status = ExCopyFromCaller(&Given, Source, sizeof(Given));

    return NT_SUCCESS(Status) ? SepCaptureSid(Given.Owner, Copy) : Status;
}

static NTSTATUS SepCaptureDefaultDacl(PTOKEN_DEFAULT_DACL Source, PACL *Copy)
{
    TOKEN_DEFAULT_DACL Given;
    NTSTATUS Status;

    if (Source == NULL) {
        return STATUS_SUCCESS;
    }
    Status = ExCopyFromCaller(&Given, Source, sizeof(Given));
    return NT_SUCCESS(Status) && Given.DefaultDacl != NULL ? SepCaptureAcl(Given.DefaultDacl, Copy) : Status;
}

/* Everything of variable length. The plan points to it. */
static NTSTATUS SepCaptureParts(PTOKEN_USER User, PTOKEN_GROUPS Groups, PTOKEN_PRIVILEGES Privileges,
                                PTOKEN_OWNER Owner, PTOKEN_PRIMARY_GROUP PrimaryGroup, PTOKEN_DEFAULT_DACL DefaultDacl,
                                PSEP_PARTS Parts, SE_TOKEN_PLAN *Plan)
{
    NTSTATUS Status = SepCaptureSidList(&User->User, 1, &Parts->User);

    if (NT_SUCCESS(Status)) {
        Plan->User = Parts->User[0].Sid;
        Plan->UserAttributes = Parts->User[0].Attributes & SE_GROUP_USE_FOR_DENY_ONLY;
        Status = SepCaptureGroups(Groups, &Plan->GroupCount, &Parts->Groups);
    }
    if (NT_SUCCESS(Status)) {
        Status = SepCapturePrivileges(Privileges, &Plan->PrivilegeCount, &Parts->Privileges);
    }
    if (NT_SUCCESS(Status) && Owner != NULL) {
        Status = SepCaptureOwner(Owner, &Parts->Owner);
    }
    if (NT_SUCCESS(Status)) {
        C_ASSERT(sizeof(TOKEN_OWNER) == sizeof(TOKEN_PRIMARY_GROUP));
        Status = SepCaptureOwner((PTOKEN_OWNER)PrimaryGroup, &Parts->PrimaryGroup);
    }
    if (NT_SUCCESS(Status)) {
        Status = SepCaptureDefaultDacl(DefaultDacl, &Parts->DefaultDacl);
    }
    Plan->Groups = Parts->Groups;
    Plan->Privileges = Parts->Privileges;
    Plan->Owner = Parts->Owner;
    Plan->PrimaryGroup = Parts->PrimaryGroup;
    Plan->DefaultDacl = Parts->DefaultDacl;
    return Status;
}

static VOID SepFreeParts(PSEP_PARTS Parts)
{
    SepFree(Parts->User);
    SepFree(Parts->Groups);
    SepFree(Parts->Privileges);
    SepFree(Parts->Owner);
    SepFree(Parts->PrimaryGroup);
    SepFree(Parts->DefaultDacl);
}

/* Groups that must be on are, and privileges that are on by default. */
static VOID SepNormalize(PSEP_PARTS Parts, const SE_TOKEN_PLAN *Plan)
{
    for (ULONG Index = 0; Index < Plan->GroupCount; Index++) {
        if ((Parts->Groups[Index].Attributes & SE_GROUP_MANDATORY) != 0) {
            Parts->Groups[Index].Attributes |= SE_GROUP_ENABLED | SE_GROUP_ENABLED_BY_DEFAULT;
        }
    }
    for (ULONG Index = 0; Index < Plan->PrivilegeCount; Index++) {
        Parts->Privileges[Index].Attributes &= SE_PRIVILEGE_ENABLED | SE_PRIVILEGE_ENABLED_BY_DEFAULT;
    }
}

/* Small values of the call. */
static NTSTATUS SepCaptureValues(PLUID AuthenticationId, PLARGE_INTEGER ExpirationTime, PTOKEN_SOURCE TokenSource,
                                 const VOID *Given, SE_TOKEN_PLAN *Plan, PLUID SourceId)
{
    SECURITY_QUALITY_OF_SERVICE Quality;
    TOKEN_SOURCE Source;
    NTSTATUS Status = ExCopyFromCaller(&Plan->AuthenticationId, AuthenticationId, sizeof(LUID));

    if (NT_SUCCESS(Status)) {
        Status = ExCopyFromCaller(&Plan->ExpirationTime, ExpirationTime, sizeof(LARGE_INTEGER));
    }
    if (NT_SUCCESS(Status)) {
        Status = ExCopyFromCaller(&Source, TokenSource, sizeof(Source));
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    RtlCopyMemory(Plan->Source, Source.SourceName, TOKEN_SOURCE_LENGTH);
    *SourceId = Source.SourceIdentifier;
    Plan->Level = SecurityAnonymous;
    if (Given != NULL) {
        Status = ExCopyFromCaller(&Quality, Given, sizeof(Quality));
        if (NT_SUCCESS(Status) && !VALID_IMPERSONATION_LEVEL(Quality.ImpersonationLevel)) {
            Status = STATUS_BAD_IMPERSONATION_LEVEL;
        }
        Plan->Level = Quality.ImpersonationLevel;
    }
    return Status;
}

/**
 * NtCreateToken - makes a token.
 *
 * @ObjectAttributes  OBJ_INHERIT, the token's descriptor and (quality of service) the level of an impersonation token count; may be NULL
 * @Type              TokenPrimary or TokenImpersonation
 * @AuthenticationId  logon session; @ExpirationTime is kept and not followed
 * @Owner             of new objects: the user or a group with SE_GROUP_OWNER; NULL: the user. @DefaultDacl may be NULL too
 * returns            STATUS_SUCCESS; STATUS_PRIVILEGE_NOT_HELD; STATUS_BAD_TOKEN_TYPE; STATUS_INVALID_OWNER; STATUS_INVALID_PRIMARY_GROUP;
 *                    STATUS_INVALID_SID; STATUS_INVALID_ACL; STATUS_INVALID_PARAMETER (more than SE_MOST_GROUPS of a kind);
 *                    STATUS_INSUFFICIENT_RESOURCES; what the pointers say
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtCreateToken(PHANDLE TokenHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                             TOKEN_TYPE Type, PLUID AuthenticationId, PLARGE_INTEGER ExpirationTime, PTOKEN_USER User,
                             PTOKEN_GROUPS Groups, PTOKEN_PRIVILEGES Privileges, PTOKEN_OWNER Owner,
                             PTOKEN_PRIMARY_GROUP PrimaryGroup, PTOKEN_DEFAULT_DACL DefaultDacl, PTOKEN_SOURCE Source)
{
    EX_CAPTURED_ATTRIBUTES Attributes;
    SE_TOKEN_PLAN Plan = {.Type = Type};
    SEP_PARTS Parts = {NULL};
    PACCESS_TOKEN New;
    LUID SourceId;
    NTSTATUS Status;

    if (Type != TokenPrimary && Type != TokenImpersonation) {
        return STATUS_BAD_TOKEN_TYPE;
    }
    if (!SeSinglePrivilegeCheck(SepExports.SeCreateTokenPrivilege, ExGetPreviousMode())) {
        return STATUS_PRIVILEGE_NOT_HELD;
    }
    Status = ExCaptureObjectAttributes(&Attributes, ObjectAttributes);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = SepCaptureValues(AuthenticationId, ExpirationTime, Source, Attributes.Quality, &Plan, &SourceId);
    if (NT_SUCCESS(Status)) {
        Status = SepCaptureParts(User, Groups, Privileges, Owner, PrimaryGroup, DefaultDacl, &Parts, &Plan);
    }
    if (NT_SUCCESS(Status)) {
        SepNormalize(&Parts, &Plan);
        Status = SeCreateToken(&Plan, &New);
    }
    if (NT_SUCCESS(Status)) {
        ((PTOKEN)New)->Source.SourceIdentifier = SourceId;
        Status = SepReturnToken(New, Attributes.Address, DesiredAccess, TokenHandle);
    }
    SepFreeParts(&Parts);
    ExFreeCapturedAttributes(&Attributes);
    return Status;
}
