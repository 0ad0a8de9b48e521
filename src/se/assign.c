/*
 * assign.c - the descriptor that a new object gets.
 *
 * Owner and group: what the creator gave, else the token's defaults. DACL: the creator's; else what the parent's entries pass on; else the
 * token's default; else none. In a DACL that an object gets, generic rights are mapped to the type's own and CREATOR_OWNER and
 * CREATOR_GROUP in inherited entries become the owner and group; a container also keeps, as inherit-only, what it is to pass on in
 * general terms. The SACL is the creator's, who must hold the security privilege.
 *
 * The result is one self-relative block. Locks: the subject's tokens, shared. IRQL: PASSIVE_LEVEL.
 * Source: WDK documentation of SeAssignSecurity; [MS-DTYP] 2.5.3.4, "Algorithm for Creating a Security Descriptor".
 */
#include "sep.h"

#define SEP_GENERIC (GENERIC_READ | GENERIC_WRITE | GENERIC_EXECUTE | GENERIC_ALL)
#define SEP_PASS_ON (OBJECT_INHERIT_ACE | CONTAINER_INHERIT_ACE | NO_PROPAGATE_INHERIT_ACE | INHERIT_ONLY_ACE)

/* The largest ACL there can be: its size is 16 bits. */
#define SEP_ACL_BYTES 0xFFFCU

/* 15 subauthorities. */
#define SEP_LONGEST_SID 68

typedef struct _SEP_ASSIGNMENT {
    PTOKEN Token;
    PGENERIC_MAPPING Mapping;
    BOOLEAN Container;
    PSID Owner, Group;
    PACL Dacl; /* where the DACL is built: pool, DaclBytes */
    ULONG DaclBytes;
} SEP_ASSIGNMENT, *PSEP_ASSIGNMENT;

PSECURITY_DESCRIPTOR SeCopyDescriptor(PSECURITY_DESCRIPTOR Source, POOL_TYPE PoolType)
{
    BOOLEAN Relative = (((PISECURITY_DESCRIPTOR)Source)->Control & SE_SELF_RELATIVE) != 0;
    ULONG Bytes = RtlLengthSecurityDescriptor(Source);
    PSECURITY_DESCRIPTOR Copy = ExAllocatePoolWithTag(PoolType, Bytes, SE_TAG_DESCRIPTOR);

    if (Copy == NULL) {
        return NULL;
    }
    if (Relative) {
        RtlCopyMemory(Copy, Source, Bytes);
    } else if (!NT_SUCCESS(RtlAbsoluteToSelfRelativeSD(Source, Copy, &Bytes))) {
        ExFreePoolWithTag(Copy, SE_TAG_DESCRIPTOR);
        return NULL;
    }
    return Copy;
}

/* Is the entry one of the two kinds whose rights and SID are known? */
static BOOLEAN SepIsSimpleAce(PACE_HEADER Ace)
{
    return Ace->AceType == ACCESS_ALLOWED_ACE_TYPE || Ace->AceType == ACCESS_DENIED_ACE_TYPE;
}

/* Adds a copy of an entry with given flags, mapped and with creators replaced unless it is only to be passed on. */
static NTSTATUS SepAddAce(PSEP_ASSIGNMENT Assignment, PACE_HEADER Source, UCHAR Flags)
{
    PACCESS_ALLOWED_ACE Ace = (PACCESS_ALLOWED_ACE)Source;
    ACCESS_MASK Mask = Ace->Mask;
    PSID Sid = &Ace->SidStart;
    PACE_HEADER New;
    NTSTATUS Status;

    if ((Flags & INHERIT_ONLY_ACE) == 0) {
        RtlMapGenericMask(&Mask, Assignment->Mapping);
        if (RtlEqualSid(Sid, SepExports.SeCreatorOwnerSid)) {
            Sid = Assignment->Owner;
        } else if (RtlEqualSid(Sid, SepExports.SeCreatorGroupSid)) {
            Sid = Assignment->Group;
        }
    }
    Status = RtlAddAccessAllowedAceEx(Assignment->Dacl, ACL_REVISION, Flags, Mask, Sid);
    if (NT_SUCCESS(Status) && Source->AceType == ACCESS_DENIED_ACE_TYPE) {
        RtlGetAce(Assignment->Dacl, Assignment->Dacl->AceCount - 1U, (PVOID *)&New);
        New->AceType = ACCESS_DENIED_ACE_TYPE;
    }
    return Status;
}

/* What one entry of the parent's DACL gives the new object. */
static NTSTATUS SepInheritAce(PSEP_ASSIGNMENT Assignment, PACE_HEADER Ace)
{
    UCHAR Flags = Ace->AceFlags, On = Flags & (OBJECT_INHERIT_ACE | CONTAINER_INHERIT_ACE);
    PACCESS_ALLOWED_ACE Body = (PACCESS_ALLOWED_ACE)Ace;
    BOOLEAN General;
    NTSTATUS Status;

    if (!SepIsSimpleAce(Ace) || On == 0) {
        return STATUS_SUCCESS;
    }
    if (!Assignment->Container) {
        return ((Flags & OBJECT_INHERIT_ACE) != 0) ? SepAddAce(Assignment, Ace, 0) : STATUS_SUCCESS;
    }
    if ((Flags & CONTAINER_INHERIT_ACE) == 0) { /* for the objects in it only */
        return ((Flags & NO_PROPAGATE_INHERIT_ACE) != 0) ? STATUS_SUCCESS
                                                         : SepAddAce(Assignment, Ace, On | INHERIT_ONLY_ACE);
    }
    if ((Flags & NO_PROPAGATE_INHERIT_ACE) != 0) {
        return SepAddAce(Assignment, Ace, 0);
    }
    General = (Body->Mask & SEP_GENERIC) != 0 || RtlEqualSid(&Body->SidStart, SepExports.SeCreatorOwnerSid) ||
              RtlEqualSid(&Body->SidStart, SepExports.SeCreatorGroupSid);
    Status = SepAddAce(Assignment, Ace, General ? 0 : On);
    return (NT_SUCCESS(Status) && General) ? SepAddAce(Assignment, Ace, On | INHERIT_ONLY_ACE) : Status;
}

/* An entry of an explicit or default DACL: as it is, its rights mapped. */
static NTSTATUS SepKeepAce(PSEP_ASSIGNMENT Assignment, PACE_HEADER Ace)
{
    if (SepIsSimpleAce(Ace)) {
        return SepAddAce(Assignment, Ace, Ace->AceFlags & (SEP_PASS_ON | INHERITED_ACE));
    }
    return RtlAddAce(Assignment->Dacl, Assignment->Dacl->AclRevision, MAXULONG, Ace, Ace->AceSize);
}

/* Bytes that entries made of an ACL's can take: each twice, with its SID replaced by the longest there is. */
static ULONG SepAclRoom(PACL Source)
{
    return (Source == NULL) ? 0 : 2U * (Source->AclSize + Source->AceCount * (ULONG)SEP_LONGEST_SID);
}

/* Bytes to build the DACL in, whatever it is made of. */
static ULONG SepDaclRoom(PTOKEN Token, PSECURITY_DESCRIPTOR Parent, PSECURITY_DESCRIPTOR Explicit)
{
    ULONG Room = SepAclRoom(Token->DefaultDacl);
    PACL Dacl = NULL;
    BOOLEAN Present, Ignored;

    if (Parent != NULL && NT_SUCCESS(RtlGetDaclSecurityDescriptor(Parent, &Present, &Dacl, &Ignored)) && Present) {
        Room = max(Room, SepAclRoom(Dacl));
    }
    if (Explicit != NULL && NT_SUCCESS(RtlGetDaclSecurityDescriptor(Explicit, &Present, &Dacl, &Ignored)) && Present) {
        Room = max(Room, SepAclRoom(Dacl));
    }
    return min((ULONG)sizeof(ACL) + Room, SEP_ACL_BYTES);
}

/* Fills the new DACL from another one, entry by entry. */
static NTSTATUS SepBuildDacl(PSEP_ASSIGNMENT Assignment, PACL Source,
                             NTSTATUS (*Take)(PSEP_ASSIGNMENT Assignment, PACE_HEADER Ace))
{
    PACE_HEADER Ace = (PACE_HEADER)(Source + 1);
    NTSTATUS Status = RtlCreateAcl(Assignment->Dacl, Assignment->DaclBytes, ACL_REVISION);

    for (USHORT Index = 0; NT_SUCCESS(Status) && Index < Source->AceCount; Index++) {
        Status = Take(Assignment, Ace);
        Ace = (PACE_HEADER)((PUCHAR)Ace + Ace->AceSize);
    }
    return Status;
}

/* Gives an ACL the size of its entries. */
static VOID SepTrimAcl(PACL Acl)
{
    PUCHAR End = (PUCHAR)(Acl + 1);

    for (USHORT Index = 0; Index < Acl->AceCount; Index++) {
        End += ((PACE_HEADER)End)->AceSize;
    }
    Acl->AclSize = (USHORT)(End - (PUCHAR)Acl);
}

/* Chooses and builds the DACL. *Present FALSE: the object gets none, access is free. */
static NTSTATUS SepAssignDacl(PSEP_ASSIGNMENT Assignment, PSECURITY_DESCRIPTOR Parent, PSECURITY_DESCRIPTOR Explicit,
                              PBOOLEAN Present, PACL *Dacl)
{
    BOOLEAN Given = FALSE, Defaulted = FALSE, ParentHas = FALSE, Ignored;
    PACL Source = NULL, ParentDacl = NULL;
    NTSTATUS Status = STATUS_SUCCESS;

    *Present = TRUE;
    *Dacl = Assignment->Dacl;
    if (Explicit != NULL) {
        RtlGetDaclSecurityDescriptor(Explicit, &Given, &Source, &Defaulted);
    }
    if (Given && Source == NULL && !Defaulted) { /* a NULL DACL was asked for */
        *Dacl = NULL;
        return STATUS_SUCCESS;
    }
    if (Parent != NULL) {
        RtlGetDaclSecurityDescriptor(Parent, &ParentHas, &ParentDacl, &Ignored);
    }
    if ((!Given || Defaulted) && ParentHas && ParentDacl != NULL) {
        Status = SepBuildDacl(Assignment, ParentDacl, SepInheritAce);
        if (!NT_SUCCESS(Status) || Assignment->Dacl->AceCount != 0) {
            return Status;
        }
    }
    if (Given && Source != NULL) {
        return SepBuildDacl(Assignment, Source, SepKeepAce);
    }
    if (Assignment->Token->DefaultDacl != NULL) {
        return SepBuildDacl(Assignment, Assignment->Token->DefaultDacl, SepKeepAce);
    }
    *Present = FALSE;
    *Dacl = NULL;
    return STATUS_SUCCESS;
}

/* Owner and group, with the right to name them. */
static NTSTATUS SepAssignOwner(PSEP_ASSIGNMENT Assignment, PSECURITY_DESCRIPTOR Explicit)
{
    PTOKEN Token = Assignment->Token;
    BOOLEAN Ignored;

    if (Explicit != NULL) {
        RtlGetOwnerSecurityDescriptor(Explicit, &Assignment->Owner, &Ignored);
        RtlGetGroupSecurityDescriptor(Explicit, &Assignment->Group, &Ignored);
    }
    if (Assignment->Group == NULL) {
        Assignment->Group = Token->Sids[Token->GroupIndex].Sid;
    }
    if (Assignment->Owner == NULL) {
        Assignment->Owner = Token->Sids[Token->OwnerIndex].Sid;
    } else if (!SepMayOwn(Token, Assignment->Owner) && !SepHasPrivilege(Token, SepExports.SeRestorePrivilege)) {
        return STATUS_INVALID_OWNER;
    }
    return STATUS_SUCCESS;
}

/* The whole descriptor, with the tokens locked. */
static NTSTATUS SepAssign(PSEP_ASSIGNMENT Assignment, PSECURITY_DESCRIPTOR Parent, PSECURITY_DESCRIPTOR Explicit,
                          POOL_TYPE PoolType, PSECURITY_DESCRIPTOR *New)
{
    SECURITY_DESCRIPTOR Absolute;
    BOOLEAN DaclPresent = FALSE, SaclPresent = FALSE, Ignored;
    PACL Dacl = NULL, Sacl = NULL;
    NTSTATUS Status = SepAssignOwner(Assignment, Explicit);

    if (NT_SUCCESS(Status)) {
        Status = SepAssignDacl(Assignment, Parent, Explicit, &DaclPresent, &Dacl);
    }
    if (NT_SUCCESS(Status) && Explicit != NULL) {
        RtlGetSaclSecurityDescriptor(Explicit, &SaclPresent, &Sacl, &Ignored);
        if (SaclPresent && !SepHasPrivilege(Assignment->Token, SepExports.SeSecurityPrivilege)) {
            Status = STATUS_PRIVILEGE_NOT_HELD;
        }
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Dacl != NULL) {
        SepTrimAcl(Dacl);
    }
    RtlCreateSecurityDescriptor(&Absolute, SECURITY_DESCRIPTOR_REVISION);
    RtlSetOwnerSecurityDescriptor(&Absolute, Assignment->Owner, FALSE);
    RtlSetGroupSecurityDescriptor(&Absolute, Assignment->Group, FALSE);
    RtlSetDaclSecurityDescriptor(&Absolute, DaclPresent, Dacl, FALSE);
    RtlSetSaclSecurityDescriptor(&Absolute, SaclPresent, Sacl, FALSE);
    *New = SeCopyDescriptor(&Absolute, PoolType);
    return (*New == NULL) ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
}

/**
 * SeAssignSecurity - makes the descriptor of a new object.
 *
 * @ParentDescriptor    of what it is created in, or NULL
 * @ExplicitDescriptor  the creator's wish, or NULL
 * @NewDescriptor       gets it, self-relative: SeDeassignSecurity
 * @IsDirectoryObject   it will hold other objects
 * @GenericMapping      of its type
 * returns              STATUS_SUCCESS, STATUS_INVALID_OWNER, STATUS_PRIVILEGE_NOT_HELD (a SACL), STATUS_INSUFFICIENT_RESOURCES
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI SeAssignSecurity(PSECURITY_DESCRIPTOR ParentDescriptor, PSECURITY_DESCRIPTOR ExplicitDescriptor,
                                PSECURITY_DESCRIPTOR *NewDescriptor, BOOLEAN IsDirectoryObject,
                                PSECURITY_SUBJECT_CONTEXT SubjectContext, PGENERIC_MAPPING GenericMapping,
                                POOL_TYPE PoolType)
{
    SEP_ASSIGNMENT Assignment = {
        .Token = SepEffectiveToken(SubjectContext), .Mapping = GenericMapping, .Container = IsDirectoryObject};
    NTSTATUS Status = STATUS_INSUFFICIENT_RESOURCES;

    *NewDescriptor = NULL;
    SeLockSubjectContext(SubjectContext);
    Assignment.DaclBytes = SepDaclRoom(Assignment.Token, ParentDescriptor, ExplicitDescriptor);
    Assignment.Dacl = ExAllocatePoolWithTag(PagedPool, Assignment.DaclBytes, SE_TAG_DESCRIPTOR);
    if (Assignment.Dacl != NULL) {
        Status = SepAssign(&Assignment, ParentDescriptor, ExplicitDescriptor, PoolType, NewDescriptor);
        ExFreePoolWithTag(Assignment.Dacl, SE_TAG_DESCRIPTOR);
    }
    SeUnlockSubjectContext(SubjectContext);
    return Status;
}

/* Frees what SeAssignSecurity made. */
NTSTATUS NTAPI SeDeassignSecurity(PSECURITY_DESCRIPTOR *SecurityDescriptor)
{
    if (*SecurityDescriptor != NULL) {
        ExFreePoolWithTag(*SecurityDescriptor, SE_TAG_DESCRIPTOR);
        *SecurityDescriptor = NULL;
    }
    return STATUS_SUCCESS;
}
