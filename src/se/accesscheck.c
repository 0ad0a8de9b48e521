/*
 * accesscheck.c - may a subject do this with an object?
 *
 * The check goes through what can grant a right, in this order, and stops when nothing is asked for any more:
 *
 *     kernel mode -> everything      privileges (security, take ownership) -> no DACL: everything -> owner: READ_CONTROL, WRITE_DAC
 *     -> the DACL's entries in their order: one that allows takes its rights off what is asked for, one that denies any of those ends
 *        the check. For MAXIMUM_ALLOWED each right is decided by the first entry that speaks of it.
 *
 * A restricted token goes through owner and DACL a second time with its restricting SIDs alone; what both rounds grant is granted. An entry for
 * OWNER_RIGHTS stands for the owner, and where there is one he has what it says instead of his own two rights.
 *
 * Object, callback and label entries are passed over. No state is kept; the subject's tokens are locked shared meanwhile.
 * IRQL: PASSIVE_LEVEL. Source: WDK documentation of SeAccessCheck; [MS-DTYP] 2.5.3.2, "Access Check Algorithm".
 */
#include "sep.h"

/* One check in progress. */
typedef struct _SEP_CHECK {
    PTOKEN Token;
    ACCESS_MASK Remaining; /* asked for, and not granted yet */
    ACCESS_MASK Granted;
    ACCESS_MASK Denied; /* for MAXIMUM_ALLOWED */
    BOOLEAN Maximum;
    BOOLEAN Restricted; /* by the restricting SIDs: the second of two rounds */
    PSID Owner;
    ULONG Used; /* privileges that granted something */
    LUID Privileges[2];
} SEP_CHECK, *PSEP_CHECK;

static VOID SepGrant(PSEP_CHECK Check, ACCESS_MASK Rights)
{
    Check->Granted |= Check->Maximum ? Rights & ~Check->Denied : Rights & Check->Remaining;
    Check->Remaining &= ~Rights;
}

/* Grants a right that a privilege stands for, if it is asked for (or Maximum and that counts). FALSE: the privilege is not held. */
static BOOLEAN SepGrantByPrivilege(PSEP_CHECK Check, ACCESS_MASK Right, LUID Privilege)
{
    if (!SepHasPrivilege(Check->Token, Privilege)) {
        return FALSE;
    }
    Check->Granted |= Right;
    Check->Remaining &= ~Right;
    Check->Privileges[Check->Used++] = Privilege;
    return TRUE;
}

/* Does an entry speak of the subject? */
static BOOLEAN SepIsMeant(PSEP_CHECK Check, PSID Sid, BOOLEAN Denying)
{
    if (RtlEqualSid(Sid, SepExports.SeOwnerRightsSid)) { /* whoever the owner is */
        Sid = Check->Owner;
    }
    if (Sid == NULL) {
        return FALSE;
    }
    return Check->Restricted ? SepSidRestricts(Check->Token, Sid) : SepSidInToken(Check->Token, Sid, Denying);
}

/* One entry of a DACL. FALSE: it denies. */
static BOOLEAN SepApplyAce(PSEP_CHECK Check, PACE_HEADER Header, PGENERIC_MAPPING Mapping)
{
    PACCESS_ALLOWED_ACE Ace = (PACCESS_ALLOWED_ACE)Header; /* the layout of one that denies is the same */
    ACCESS_MASK Mask;

    if ((Header->AceFlags & INHERIT_ONLY_ACE) != 0 ||
        (Header->AceType != ACCESS_ALLOWED_ACE_TYPE && Header->AceType != ACCESS_DENIED_ACE_TYPE)) {
        return TRUE;
    }
    Mask = Ace->Mask;
    RtlMapGenericMask(&Mask, Mapping);
    if (!SepIsMeant(Check, &Ace->SidStart, Header->AceType == ACCESS_DENIED_ACE_TYPE)) {
        return TRUE;
    }
    if (Header->AceType == ACCESS_ALLOWED_ACE_TYPE) {
        SepGrant(Check, Mask);
        return TRUE;
    }
    Check->Denied |= Mask & ~Check->Granted;
    return (Check->Remaining & Mask) == 0;
}

static VOID SepWalkDacl(PSEP_CHECK Check, PACL Dacl, PGENERIC_MAPPING Mapping)
{
    PACE_HEADER Ace = (PACE_HEADER)(Dacl + 1);

    for (USHORT Index = 0; Index < Dacl->AceCount; Index++) {
        if ((Check->Remaining == 0 && !Check->Maximum) || !SepApplyAce(Check, Ace, Mapping)) {
            return;
        }
        Ace = (PACE_HEADER)((PUCHAR)Ace + Ace->AceSize);
    }
}

/* TRUE: the DACL says itself what the owner may, so that he has no rights by himself. */
static BOOLEAN SepLimitsOwner(PACL Dacl)
{
    PACE_HEADER Ace = (PACE_HEADER)(Dacl + 1);

    for (USHORT Index = 0; Index < Dacl->AceCount; Index++) {
        if ((Ace->AceFlags & INHERIT_ONLY_ACE) == 0 &&
            (Ace->AceType == ACCESS_ALLOWED_ACE_TYPE || Ace->AceType == ACCESS_DENIED_ACE_TYPE) &&
            RtlEqualSid(&((PACCESS_ALLOWED_ACE)Ace)->SidStart, SepExports.SeOwnerRightsSid)) {
            return TRUE;
        }
        Ace = (PACE_HEADER)((PUCHAR)Ace + Ace->AceSize);
    }
    return FALSE;
}

/* One round: what the owner has, and what the DACL grants. */
static VOID SepRound(PSEP_CHECK Check, PACL Dacl, PGENERIC_MAPPING Mapping)
{
    if (Check->Owner != NULL && !SepLimitsOwner(Dacl) && SepIsMeant(Check, Check->Owner, FALSE)) {
        SepGrant(Check, READ_CONTROL | WRITE_DAC);
    }
    SepWalkDacl(Check, Dacl, Mapping);
}

/* The check itself, for a locked token. */
static NTSTATUS SepDecide(PSEP_CHECK Check, PSECURITY_DESCRIPTOR Descriptor, PGENERIC_MAPPING Mapping)
{
    BOOLEAN Present, Defaulted;
    PACL Dacl = NULL;

    if ((Check->Remaining & ACCESS_SYSTEM_SECURITY) != 0 &&
        !SepGrantByPrivilege(Check, ACCESS_SYSTEM_SECURITY, SepExports.SeSecurityPrivilege)) {
        return STATUS_PRIVILEGE_NOT_HELD;
    }
    if ((Check->Remaining & WRITE_OWNER) != 0 || Check->Maximum) {
        SepGrantByPrivilege(Check, WRITE_OWNER, SepExports.SeTakeOwnershipPrivilege);
    }
    RtlGetDaclSecurityDescriptor(Descriptor, &Present, &Dacl, &Defaulted);
    if (!Present || Dacl == NULL) {
        SepGrant(Check, Check->Maximum ? Mapping->GenericAll | Check->Remaining : Check->Remaining);
        return STATUS_SUCCESS;
    }
    RtlGetOwnerSecurityDescriptor(Descriptor, &Check->Owner, &Defaulted);
    if (Check->Token->RestrictedCount != 0) {
        SEP_CHECK Second = *Check; /* what is not granted in both rounds is not granted */

        Second.Restricted = TRUE;
        SepRound(&Second, Dacl, Mapping);
        SepRound(Check, Dacl, Mapping);
        Check->Granted &= Second.Granted;
        Check->Remaining |= Second.Remaining;
    } else {
        SepRound(Check, Dacl, Mapping);
    }
    return (Check->Remaining == 0) ? STATUS_SUCCESS : STATUS_ACCESS_DENIED;
}

/* The privileges that were used, for the caller; NULL: none, or no memory for the note. */
static PPRIVILEGE_SET SepReportPrivileges(PSEP_CHECK Check)
{
    PPRIVILEGE_SET Set = NULL;

    if (Check->Used != 0) {
        Set = ExAllocatePoolWithTag(PagedPool, sizeof(*Set) + sizeof(LUID_AND_ATTRIBUTES), SE_TAG_PRIVILEGES);
    }
    if (Set == NULL) {
        return NULL;
    }
    Set->PrivilegeCount = Check->Used;
    Set->Control = 0;
    for (ULONG Index = 0; Index < Check->Used; Index++) {
        Set->Privilege[Index].Luid = Check->Privileges[Index];
        Set->Privilege[Index].Attributes = SE_PRIVILEGE_USED_FOR_ACCESS;
    }
    return Set;
}

/* What the kernel itself gets: all it asks for. */
static BOOLEAN SepGrantKernel(ACCESS_MASK Desired, ACCESS_MASK Previous, PGENERIC_MAPPING Mapping, PACCESS_MASK Granted,
                              PNTSTATUS Status)
{
    RtlMapGenericMask(&Desired, Mapping);
    *Granted = Previous | (Desired & ~MAXIMUM_ALLOWED) | (((Desired & MAXIMUM_ALLOWED) != 0) ? Mapping->GenericAll : 0);
    *Status = STATUS_SUCCESS;
    return TRUE;
}

/**
 * SeAccessCheck - decides an access.
 *
 * @SecurityDescriptor       of the object; NULL: nobody but the kernel has access
 * @SubjectContextLocked     SeLockSubjectContext was called
 * @DesiredAccess            may hold generic rights, MAXIMUM_ALLOWED and ACCESS_SYSTEM_SECURITY
 * @PreviouslyGrantedAccess  granted already, for the result
 * @Privileges               gets the privileges that were used (SeFreePrivileges), or NULL; may be NULL
 * @AccessMode               KernelMode: everything is granted
 * @GrantedAccess            gets the rights
 * @AccessStatus             gets STATUS_SUCCESS, STATUS_ACCESS_DENIED, STATUS_PRIVILEGE_NOT_HELD, STATUS_BAD_IMPERSONATION_LEVEL
 * returns                   whether all that was asked for is granted
 *
 * IRQL: PASSIVE_LEVEL. Locks: the subject's tokens, inside.
 */
BOOLEAN NTAPI SeAccessCheck(PSECURITY_DESCRIPTOR SecurityDescriptor, PSECURITY_SUBJECT_CONTEXT SubjectSecurityContext,
                            BOOLEAN SubjectContextLocked, ACCESS_MASK DesiredAccess,
                            ACCESS_MASK PreviouslyGrantedAccess, PPRIVILEGE_SET *Privileges,
                            PGENERIC_MAPPING GenericMapping, KPROCESSOR_MODE AccessMode, PACCESS_MASK GrantedAccess,
                            PNTSTATUS AccessStatus)
{
    SEP_CHECK Check = {.Token = SepEffectiveToken(SubjectSecurityContext)};
    ACCESS_MASK Desired = DesiredAccess;

    if (Privileges != NULL) {
        *Privileges = NULL;
    }
    if (AccessMode == KernelMode) {
        return SepGrantKernel(DesiredAccess, PreviouslyGrantedAccess, GenericMapping, GrantedAccess, AccessStatus);
    }
    *GrantedAccess = 0;
    *AccessStatus = STATUS_ACCESS_DENIED;
    if (SecurityDescriptor == NULL) {
        return FALSE;
    }
    if (SubjectSecurityContext->ClientToken != NULL &&
        SubjectSecurityContext->ImpersonationLevel < SecurityImpersonation) {
        *AccessStatus = STATUS_BAD_IMPERSONATION_LEVEL;
        return FALSE;
    }
    RtlMapGenericMask(&Desired, GenericMapping);
    Check.Maximum = (Desired & MAXIMUM_ALLOWED) != 0;
    Check.Remaining = Desired & ~MAXIMUM_ALLOWED;
    if (!SubjectContextLocked) {
        SeLockSubjectContext(SubjectSecurityContext);
    }
    *AccessStatus = SepDecide(&Check, SecurityDescriptor, GenericMapping);
    if (!SubjectContextLocked) {
        SeUnlockSubjectContext(SubjectSecurityContext);
    }
    if (NT_SUCCESS(*AccessStatus) && (Check.Granted | PreviouslyGrantedAccess) == 0) {
        *AccessStatus = STATUS_ACCESS_DENIED; /* nothing asked for, or nothing allowed */
    }
    if (!NT_SUCCESS(*AccessStatus)) {
        return FALSE;
    }
    *GrantedAccess = Check.Granted | PreviouslyGrantedAccess;
    if (Privileges != NULL) {
        *Privileges = SepReportPrivileges(&Check);
    }
    return TRUE;
}
