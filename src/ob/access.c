/*
 * access.c - which access an open grants.
 *
 * Generic rights are mapped by the type's mapping; MAXIMUM_ALLOWED asks for everything valid. A right that the type does not have is
 * refused to everybody. Beyond that the kernel gets what it asks for; an open for user mode, or with OBJ_FORCE_ACCESS_CHECK, gets what
 * the object's descriptor grants to the calling thread's subject. The state built here is what IRP_MJ_CREATE carries to a file system,
 * which does its own checks. Locks: the subject's tokens, inside. IRQL: PASSIVE_LEVEL.
 */
#include <ntos/se.h>

#include "obp.h"

/* Replaces generic rights by what a type means by them. IRQL: any. */
VOID NTAPI RtlMapGenericMask(PACCESS_MASK AccessMask, PGENERIC_MAPPING GenericMapping)
{
    ACCESS_MASK Mask = *AccessMask;

    Mask |= ((Mask & GENERIC_READ) != 0) ? GenericMapping->GenericRead : 0;
    Mask |= ((Mask & GENERIC_WRITE) != 0) ? GenericMapping->GenericWrite : 0;
    Mask |= ((Mask & GENERIC_EXECUTE) != 0) ? GenericMapping->GenericExecute : 0;
    Mask |= ((Mask & GENERIC_ALL) != 0) ? GenericMapping->GenericAll : 0;
    *AccessMask = Mask & ~(GENERIC_READ | GENERIC_WRITE | GENERIC_EXECUTE | GENERIC_ALL);
}

/**
 * ObpGrantAccess - turns a wish into rights.
 *
 * @Desired  as the caller gave it
 * @Granted  gets the specific and standard rights
 * returns   STATUS_SUCCESS, or STATUS_ACCESS_DENIED for a right the type does not have
 */
NTSTATUS ObpGrantAccess(POBJECT_TYPE Type, ACCESS_MASK Desired, PACCESS_MASK Granted)
{
    GENERIC_MAPPING Mapping = Type->Info.GenericMapping;
    ACCESS_MASK Mask = Desired;

    RtlMapGenericMask(&Mask, &Mapping);
    if ((Mask & MAXIMUM_ALLOWED) != 0) {
        Mask |= Type->Info.ValidAccess;
    }
    Mask &= ~MAXIMUM_ALLOWED;
    if ((Mask & ~(Type->Info.ValidAccess | SYNCHRONIZE | ACCESS_SYSTEM_SECURITY)) != 0) {
        return STATUS_ACCESS_DENIED;
    }
    *Granted = Mask;
    return STATUS_SUCCESS;
}

/**
 * ObpCheckAccess - the rights that a new handle to an object gets.
 *
 * @Attributes   OBJ_ flags of the open; OBJ_FORCE_ACCESS_CHECK counts here
 * @AccessState  of the open, or NULL: the calling thread's subject
 * @Desired      as the caller gave it
 * @Granted      gets the specific and standard rights
 * returns       STATUS_SUCCESS, STATUS_ACCESS_DENIED, STATUS_PRIVILEGE_NOT_HELD, STATUS_BAD_IMPERSONATION_LEVEL
 *
 * IRQL: PASSIVE_LEVEL. Locks: the subject's tokens, inside.
 */
NTSTATUS ObpCheckAccess(PVOID Object, ULONG Attributes, PACCESS_STATE AccessState, ACCESS_MASK Desired,
                        KPROCESSOR_MODE AccessMode, PACCESS_MASK Granted)
{
    GENERIC_MAPPING Mapping = ObGetObjectType(Object)->Info.GenericMapping;
    ACCESS_MASK Valid;
    ACCESS_STATE State;
    SE_AUX_DATA Aux;
    NTSTATUS Status = ObpGrantAccess(ObGetObjectType(Object), Desired, &Valid); /* rights the type has at all */

    if (!NT_SUCCESS(Status) || !ObIsChecked(AccessMode, Attributes) || !ObpHasSecurity(ObpHeader(Object))) {
        *Granted = Valid;
        return Status;
    }
    SeCreateAccessState(&State, &Aux, Desired, &Mapping);
    if (AccessState != NULL) { /* the subject that the open began with */
        SeReleaseSubjectContext(&State.SubjectSecurityContext);
        State.SubjectSecurityContext = AccessState->SubjectSecurityContext;
        ObReferenceObject(State.SubjectSecurityContext.PrimaryToken);
        if (State.SubjectSecurityContext.ClientToken != NULL) {
            ObReferenceObject(State.SubjectSecurityContext.ClientToken);
        }
    }
    if (ObCheckObjectAccess(Object, &State, FALSE, UserMode, &Status)) {
        *Granted = State.PreviouslyGrantedAccess;
    }
    SeDeleteAccessState(&State);
    return Status;
}

/**
 * ObpCheckDirectory - may the calling thread go through a directory, or create in it?
 *
 * @Desired  DIRECTORY_TRAVERSE, which whoever holds SeChangeNotifyPrivilege has everywhere, or DIRECTORY_CREATE_...
 * returns   STATUS_SUCCESS, STATUS_ACCESS_DENIED...
 */
NTSTATUS ObpCheckDirectory(PVOID Directory, ACCESS_MASK Desired, KPROCESSOR_MODE Mode, ULONG Attributes)
{
    ACCESS_MASK Granted;

    if (!ObIsChecked(Mode, Attributes) ||
        (Desired == DIRECTORY_TRAVERSE && SeSinglePrivilegeCheck(SeExports->SeChangeNotifyPrivilege, UserMode))) {
        return STATUS_SUCCESS;
    }
    return ObpCheckAccess(Directory, OBJ_FORCE_ACCESS_CHECK, NULL, Desired, UserMode, &Granted);
}

NTSTATUS ObCheckOpen(PVOID Object, ACCESS_MASK Desired)
{
    ACCESS_MASK Granted;

    return ObpCheckAccess(Object, OBJ_FORCE_ACCESS_CHECK, NULL, Desired, UserMode, &Granted);
}

/**
 * ObpBeginAccessState - begins an open: the subject, and for the kernel all rights at once.
 *
 * @State, @Aux  storage; SeDeleteAccessState ends it
 * @Type         NULL: not known yet
 * @Checked      FALSE: for the kernel
 */
VOID ObpBeginAccessState(PACCESS_STATE State, SE_AUX_DATA *Aux, POBJECT_TYPE Type, ACCESS_MASK Desired, BOOLEAN Checked)
{
    ACCESS_MASK Granted;

    SeCreateAccessState(State, Aux, Desired, (Type == NULL) ? NULL : &Type->Info.GenericMapping);
    State->OriginalDesiredAccess = State->RemainingDesiredAccess =
        Desired; /* as the caller gave it: a device maps it itself */
    if (!Checked && Type != NULL && NT_SUCCESS(ObpGrantAccess(Type, Desired, &Granted))) {
        State->PreviouslyGrantedAccess = Granted;
        State->RemainingDesiredAccess = 0;
    }
}
