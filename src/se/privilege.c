/*
 * privilege.c - privileges: what a token may do whatever descriptors say.
 *
 * A privilege counts when it is in the token and enabled. The kernel itself (KernelMode) has all of them. A privilege that was used to
 * grant an access is noted in the set it was asked for with (SE_PRIVILEGE_USED_FOR_ACCESS). Locks: the token's, shared, by the routines
 * that take a subject. IRQL: PASSIVE_LEVEL. Source: WDK documentation of SePrivilegeCheck, SeSinglePrivilegeCheck, SeAppendPrivileges.
 */
#include "sep.h"

BOOLEAN SepHasPrivilege(PTOKEN Token, LUID Privilege)
{
    for (ULONG Index = 0; Index < Token->PrivilegeCount; Index++) {
        if (RtlEqualLuid(&Token->Privileges[Index].Luid, &Privilege)) {
            return (Token->Privileges[Index].Attributes & SE_PRIVILEGE_ENABLED) != 0;
        }
    }
    return FALSE;
}

/* As SePrivilegeCheck, for a token whose lock is held. */
BOOLEAN SepTokenPrivilegeCheck(PTOKEN Token, PPRIVILEGE_SET Set)
{
    ULONG Held = 0, Needed = ((Set->Control & PRIVILEGE_SET_ALL_NECESSARY) != 0) ? Set->PrivilegeCount : 1;

    for (ULONG Index = 0; Index < Set->PrivilegeCount; Index++) {
        if (SepHasPrivilege(Token, Set->Privilege[Index].Luid)) {
            Set->Privilege[Index].Attributes |= SE_PRIVILEGE_USED_FOR_ACCESS;
            Held++;
        }
    }
    return Held >= Needed;
}

/**
 * SePrivilegeCheck - does a subject hold privileges?
 *
 * @RequiredPrivileges  all of them, or one, as Control says; the ones held are marked
 * @AccessMode          KernelMode: yes, without a look
 *
 * A client below the level of impersonation holds none.
 */
BOOLEAN NTAPI SePrivilegeCheck(PPRIVILEGE_SET RequiredPrivileges, PSECURITY_SUBJECT_CONTEXT SubjectContext,
                               KPROCESSOR_MODE AccessMode)
{
    PTOKEN Token = SepEffectiveToken(SubjectContext);
    BOOLEAN Held;

    if (AccessMode == KernelMode) {
        return TRUE;
    }
    if (SubjectContext->ClientToken != NULL && SubjectContext->ImpersonationLevel < SecurityImpersonation) {
        return FALSE;
    }
    SepLockToken(Token);
    Held = SepTokenPrivilegeCheck(Token, RequiredPrivileges);
    SepUnlockToken(Token);
    return Held;
}

/* Does the calling thread hold one privilege? */
BOOLEAN NTAPI SeSinglePrivilegeCheck(LUID PrivilegeValue, KPROCESSOR_MODE PreviousMode)
{
    SECURITY_SUBJECT_CONTEXT Subject;
    PRIVILEGE_SET Set = {.PrivilegeCount = 1, .Control = PRIVILEGE_SET_ALL_NECESSARY};
    BOOLEAN Held;

    if (PreviousMode == KernelMode) {
        return TRUE;
    }
    Set.Privilege[0].Luid = PrivilegeValue;
    SeCaptureSubjectContext(&Subject);
    Held = SePrivilegeCheck(&Set, &Subject, PreviousMode);
    SeReleaseSubjectContext(&Subject);
    return Held;
}

/* Bytes of a set of Count privileges. */
static ULONG SepSetBytes(ULONG Count)
{
    return FIELD_OFFSET(PRIVILEGE_SET, Privilege) + Count * (ULONG)sizeof(LUID_AND_ATTRIBUTES);
}

/**
 * SeAppendPrivileges - adds privileges that were used to an access state.
 *
 * returns  STATUS_SUCCESS; STATUS_INSUFFICIENT_RESOURCES, the state unchanged. Beyond the three that the state itself holds, they are
 *          in pool (PrivilegesAllocated); SeDeleteAccessState frees them.
 */
NTSTATUS NTAPI SeAppendPrivileges(PACCESS_STATE AccessState, PPRIVILEGE_SET Privileges)
{
    PSEP_AUX_DATA Aux = AccessState->AuxData;
    PPRIVILEGE_SET Now = Aux->PrivilegesUsed, Whole = Now;
    ULONG Count = Now->PrivilegeCount + Privileges->PrivilegeCount;

    if (Count > INITIAL_PRIVILEGE_COUNT) {
        Whole = ExAllocatePoolWithTag(PagedPool, SepSetBytes(Count), SE_TAG_PRIVILEGES);
        if (Whole == NULL) {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        RtlCopyMemory(Whole, Now, SepSetBytes(Now->PrivilegeCount));
        if (AccessState->PrivilegesAllocated) {
            ExFreePoolWithTag(Now, SE_TAG_PRIVILEGES);
        }
        AccessState->PrivilegesAllocated = TRUE;
        Aux->PrivilegesUsed = Whole;
    }
    RtlCopyMemory(&Whole->Privilege[Whole->PrivilegeCount], Privileges->Privilege,
                  Privileges->PrivilegeCount * sizeof(LUID_AND_ATTRIBUTES));
    Whole->PrivilegeCount = Count;
    return STATUS_SUCCESS;
}

/* Frees the set that SeAccessCheck returned. */
VOID NTAPI SeFreePrivileges(PPRIVILEGE_SET Privileges)
{
    ExFreePoolWithTag(Privileges, SE_TAG_PRIVILEGES);
}
