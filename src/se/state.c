/*
 * state.c - access states: what an open has asked for and been granted so far, on its way through the object and I/O managers.
 *
 * A state captures the subject when it is made and keeps it until it is deleted. Its auxiliary data are the caller's storage too; they
 * hold the type's generic mapping and the privileges that were used. One thread has a state at a time: no locks.
 * IRQL: PASSIVE_LEVEL. Source: Windows driver documentation of ACCESS_STATE.
 */
#include "sep.h"

C_ASSERT(sizeof(SE_AUX_DATA) >= sizeof(SEP_AUX_DATA));

/**
 * SeCreateAccessState - begins an open.
 *
 * @AccessState     to be filled
 * @AuxData         storage of at least SE_AUX_DATA, to live as long as the state
 * @DesiredAccess   generic rights are mapped if GenericMapping is given
 * returns          STATUS_SUCCESS; SeDeleteAccessState ends it
 */
NTSTATUS NTAPI SeCreateAccessState(PACCESS_STATE AccessState, PVOID AuxData, ACCESS_MASK DesiredAccess,
                                   PGENERIC_MAPPING GenericMapping)
{
    PSEP_AUX_DATA Aux = AuxData;
    ACCESS_MASK Desired = DesiredAccess;

    RtlZeroMemory(AccessState, sizeof(*AccessState));
    RtlZeroMemory(Aux, sizeof(*Aux));
    if (GenericMapping != NULL) {
        RtlMapGenericMask(&Desired, GenericMapping);
        Aux->GenericMapping = *GenericMapping;
    }
    Aux->PrivilegesUsed = &AccessState->Privileges.PrivilegeSet;
    AccessState->AuxData = Aux;
    AccessState->OriginalDesiredAccess = Desired;
    AccessState->RemainingDesiredAccess = Desired;
    ZwAllocateLocallyUniqueId(&AccessState->OperationID);
    SeCaptureSubjectContext(&AccessState->SubjectSecurityContext);
    return STATUS_SUCCESS;
}

VOID NTAPI SeDeleteAccessState(PACCESS_STATE AccessState)
{
    PSEP_AUX_DATA Aux = AccessState->AuxData;

    if (AccessState->PrivilegesAllocated) {
        ExFreePoolWithTag(Aux->PrivilegesUsed, SE_TAG_PRIVILEGES);
    }
    if (AccessState->ObjectName.Buffer != NULL) {
        ExFreePool(AccessState->ObjectName.Buffer);
    }
    SeReleaseSubjectContext(&AccessState->SubjectSecurityContext);
}

/* For who finds out late which type of object an open is about. */
VOID NTAPI SeSetAccessStateGenericMapping(PACCESS_STATE AccessState, PGENERIC_MAPPING GenericMapping)
{
    ((PSEP_AUX_DATA)AccessState->AuxData)->GenericMapping = *GenericMapping;
}
