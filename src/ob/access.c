/*
 * access.c - which access an open grants.
 *
 * Generic rights are mapped by the type's mapping; MAXIMUM_ALLOWED asks for everything valid. There are no tokens yet, so every
 * right that is valid for the type is granted and one that is not is refused: kernel code is the only caller there is. The state built
 * here is what IRP_MJ_CREATE carries to a file system. No locks; IRQL <= APC_LEVEL.
 */
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
 * @Attributes   OBJ_ flags of the open
 * @AccessState  of the open, or NULL
 * @Desired      as the caller gave it
 * @Granted      gets the specific and standard rights
 * returns       STATUS_SUCCESS, STATUS_ACCESS_DENIED
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS ObpCheckAccess(PVOID Object, ULONG Attributes, PACCESS_STATE AccessState, ACCESS_MASK Desired,
                        KPROCESSOR_MODE AccessMode, PACCESS_MASK Granted)
{
    UNREFERENCED_PARAMETER(Attributes);
    UNREFERENCED_PARAMETER(AccessState);
    UNREFERENCED_PARAMETER(AccessMode);
    return ObpGrantAccess(ObGetObjectType(Object), Desired, Granted);
}

/* Fills an access state for an open without a token. */
VOID ObpInitializeAccessState(PACCESS_STATE State, POBJECT_TYPE Type, ACCESS_MASK Desired)
{
    RtlZeroMemory(State, sizeof(*State));
    State->OriginalDesiredAccess = Desired;
    State->RemainingDesiredAccess = Desired;
    if (Type != NULL) {
        ACCESS_MASK Granted;

        if (NT_SUCCESS(ObpGrantAccess(Type, Desired, &Granted))) {
            State->PreviouslyGrantedAccess = Granted;
            State->RemainingDesiredAccess = 0;
        }
    }
}
