/*
 * insert.c - giving an object its name and handles; opening and naming objects that exist.
 *
 * ObInsertObject finishes what ObCreateObject began: it enters the object under its name (if it has one), opens a handle (if one is
 * wanted) and gives up the creator's reference, so that handle, name and whatever the caller asked for are all that keep
 * the object. Directory search and its lock are in lookup.c. IRQL: PASSIVE_LEVEL throughout.
 */
#include "obp.h"

NTSTATUS NTAPI ObOpenObjectByPointer(PVOID Object, ULONG HandleAttributes, PACCESS_STATE PassedAccessState,
                                     ACCESS_MASK DesiredAccess, POBJECT_TYPE ObjectType, KPROCESSOR_MODE AccessMode,
                                     PHANDLE Handle)
{
    ACCESS_MASK Granted;
    NTSTATUS Status;

    *Handle = NULL;
    if (ObjectType != NULL && ObGetObjectType(Object) != ObjectType) {
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    if (PassedAccessState != NULL) {
        DesiredAccess |= PassedAccessState->PreviouslyGrantedAccess | PassedAccessState->RemainingDesiredAccess;
    }
    Status = ObpCheckAccess(Object, HandleAttributes, PassedAccessState, DesiredAccess, AccessMode, &Granted);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    return ObpCreateHandle(Object, HandleAttributes, Granted, Handle);
}

/* Looks Object's name up, entering it there. *Result: the object the name stands for now, referenced. */
static NTSTATUS ObpEnterName(PVOID Object, POBP_CREATION Creation, PVOID *Result)
{
    OBP_LOOKUP Lookup = {.RootDirectory = Creation->RootDirectory,
                         .Name = &Creation->Name,
                         .Attributes = Creation->Attributes,
                         .ObjectType = ObGetObjectType(Object),
                         .AccessMode = Creation->ProbeMode,
                         .ParseContext = Creation->ParseContext,
                         .InsertObject = Object};

    return ObpLookupObject(&Lookup, Result);
}

/*
 * Enters the name, if there is one, and makes the handle, if one is wanted. *Result: the object that the name leads to, referenced.
 * An existing object (OBJ_OPENIF) that loses its name before the handle counts is no longer what the caller asked for: once more.
 */
static NTSTATUS ObpNameAndOpen(PVOID Object, POBP_CREATION Creation, PACCESS_STATE AccessState,
                               ACCESS_MASK DesiredAccess, PVOID *Result, PHANDLE Handle)
{
    ULONG Attributes = Creation->Attributes & OBJ_VALID_ATTRIBUTES;
    NTSTATUS Status = STATUS_SUCCESS, HandleStatus;

    for (;;) {
        KPROCESSOR_MODE Mode = KernelMode; /* who makes an object has what rights he wants to it */
        ULONG Check = 0;

        if (Creation->Name.Length == 0) {
            if (Creation->Descriptor != NULL || ObGetObjectType(Object)->Info.SecurityRequired) {
                Status = ObpAssignSecurity(Object, AccessState, Creation->Descriptor, NULL);
                if (!NT_SUCCESS(Status)) {
                    return Status;
                }
            }
            ObfReferenceObject(Object);
            *Result = Object;
        } else {
            Status = ObpEnterName(Object, Creation, Result);
            if (!NT_SUCCESS(Status)) {
                return Status;
            }
            Mode = (*Result == Object) ? KernelMode : Creation->ProbeMode;
            Check = (*Result == Object) ? 0 : Attributes & OBJ_FORCE_ACCESS_CHECK;
        }
        if (Handle == NULL) {
            return Status;
        }
        HandleStatus = ObOpenObjectByPointer(*Result, (Attributes & ~OBJ_FORCE_ACCESS_CHECK) | Check, AccessState,
                                             DesiredAccess, NULL, Mode, Handle);
        if (!NT_SUCCESS(HandleStatus)) {
            return HandleStatus;
        }
        if (*Result == Object || !ObpLostName(ObpHeader(*Result))) {
            return Status;
        }
        ObCloseHandle(*Handle, KernelMode);
        *Handle = NULL;
        ObfDereferenceObject(*Result);
    }
}

/**
 * ObInsertObject - gives an object from ObCreateObject its name and a handle. The creator's reference goes in every case.
 *
 * @PassedAccessState  rights from a parse procedure's create, or NULL
 * @ObjectPointerBias  references the caller wants to keep
 * @NewObject          gets the object the name leads to; may be NULL
 * @Handle             gets the handle; NULL: none is wanted
 * returns             STATUS_SUCCESS; STATUS_OBJECT_NAME_EXISTS: OBJ_OPENIF found an object; errors of lookup, access, handles
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI ObInsertObject(PVOID Object, PACCESS_STATE PassedAccessState, ACCESS_MASK DesiredAccess,
                              ULONG ObjectPointerBias, PVOID *NewObject, PHANDLE Handle)
{
    POBJECT_HEADER Header = ObpHeader(Object);
    PVOID Result = NULL;
    BOOLEAN Wanted = Handle != NULL || ObjectPointerBias != 0;
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    ASSERT((Header->Flags & OBP_FLAG_HAS_CREATION) != 0);
    if (Handle != NULL) {
        *Handle = NULL;
    }
    InterlockedOr(&Header->Flags, OBP_FLAG_INSERTING);
    Status = ObpNameAndOpen(Object, Header->Creation, PassedAccessState, DesiredAccess, &Result, Handle);
    InterlockedAnd(&Header->Flags, ~(LONG)OBP_FLAG_INSERTING);
    ObpFreeCreation(Header);
    if (NT_SUCCESS(Status)) {
        for (ULONG Extra = 0; Extra < ObjectPointerBias; Extra++) {
            ObfReferenceObject(Result);
        }
        if (NewObject != NULL) {
            *NewObject = Result;
        }
    }
    if (Handle != NULL || !Wanted || !NT_SUCCESS(Status)) {
        ObpDeleteNameCheck(Header); /* a temporary object whose handle has gone, or that nobody was given */
    }
    ObfDereferenceObject(Object); /* the creator's reference */
    if (Result != NULL) {
        ObfDereferenceObject(Result);
    }
    return Status;
}

/* A handle to what a path led to: with the rights that a parse procedure granted, or else those that the object's descriptor grants. */
static NTSTATUS ObpOpenFound(PVOID Object, ULONG Attributes, PACCESS_STATE AccessState, ACCESS_MASK DesiredAccess,
                             POBJECT_TYPE ObjectType, KPROCESSOR_MODE AccessMode, PHANDLE Handle)
{
    if (ObIsChecked(AccessMode, Attributes) && AccessState->RemainingDesiredAccess == 0 &&
        AccessState->PreviouslyGrantedAccess != 0) {
        return ObpCreateHandle(Object, Attributes, AccessState->PreviouslyGrantedAccess, Handle);
    }
    return ObOpenObjectByPointer(Object, Attributes, NULL, DesiredAccess, ObjectType, AccessMode, Handle);
}

NTSTATUS NTAPI ObOpenObjectByName(POBJECT_ATTRIBUTES Attributes, POBJECT_TYPE ObjectType, KPROCESSOR_MODE AccessMode,
                                  PACCESS_STATE AccessState, ACCESS_MASK DesiredAccess, PVOID ParseContext,
                                  PHANDLE Handle)
{
    ACCESS_STATE Local;
    SE_AUX_DATA Aux;
    OBP_LOOKUP Lookup;
    BOOLEAN Again;
    PVOID Object;
    NTSTATUS Status;

    *Handle = NULL;
    if (Attributes == NULL || Attributes->Length != sizeof(*Attributes) || Attributes->ObjectName == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    if (AccessState == NULL) {
        ObpBeginAccessState(&Local, &Aux, ObjectType, DesiredAccess, ObIsChecked(AccessMode, Attributes->Attributes));
        Local.SecurityDescriptor = Attributes->SecurityDescriptor; /* for a file that the open creates */
        AccessState = &Local;
    }
    RtlZeroMemory(&Lookup, sizeof(Lookup));
    Lookup.RootDirectory = Attributes->RootDirectory;
    Lookup.Name = Attributes->ObjectName;
    Lookup.Attributes = Attributes->Attributes;
    Lookup.ObjectType = ObjectType;
    Lookup.AccessMode = AccessMode;
    Lookup.AccessState = AccessState;
    Lookup.ParseContext = ParseContext;
    do {
        Status = ObpLookupObject(&Lookup, &Object);
        if (!NT_SUCCESS(Status)) {
            break;
        }
        Status =
            ObpOpenFound(Object, Attributes->Attributes, AccessState, DesiredAccess, ObjectType, AccessMode, Handle);
        Again = NT_SUCCESS(Status) && ObpLostName(ObpHeader(Object));
        if (Again) {
            ObCloseHandle(*Handle, KernelMode);
            *Handle = NULL;
        }
        ObfDereferenceObject(Object);
    } while (Again);
    if (AccessState == &Local) {
        SeDeleteAccessState(&Local);
    }
    return Status;
}

NTSTATUS NTAPI ObReferenceObjectByName(PUNICODE_STRING Name, ULONG Attributes, PACCESS_STATE AccessState,
                                       ACCESS_MASK DesiredAccess, POBJECT_TYPE ObjectType, KPROCESSOR_MODE AccessMode,
                                       PVOID ParseContext, PVOID *Object)
{
    ACCESS_STATE Local;
    SE_AUX_DATA Aux;
    OBP_LOOKUP Lookup = {.Name = Name,
                         .Attributes = Attributes,
                         .ObjectType = ObjectType,
                         .AccessMode = AccessMode,
                         .ParseContext = ParseContext};
    ACCESS_MASK Granted;
    NTSTATUS Status;

    if (AccessState == NULL) {
        ObpBeginAccessState(&Local, &Aux, ObjectType, DesiredAccess, ObIsChecked(AccessMode, Attributes));
        AccessState = &Local;
    }
    Lookup.AccessState = AccessState;
    Status = ObpLookupObject(&Lookup, Object);
    if (NT_SUCCESS(Status)) {
        Status = ObpCheckAccess(*Object, Attributes, NULL, DesiredAccess, AccessMode, &Granted);
        if (!NT_SUCCESS(Status)) {
            ObfDereferenceObject(*Object);
            *Object = NULL;
        }
    }
    if (AccessState == &Local) {
        SeDeleteAccessState(&Local);
    }
    return Status;
}

VOID NTAPI ObMakeTemporaryObject(PVOID Object)
{
    POBJECT_HEADER Header = ObpHeader(Object);

    InterlockedAnd(&Header->Flags, ~(LONG)OBP_FLAG_PERMANENT);
    ObpDeleteNameCheck(Header);
}

NTSTATUS NTAPI NtMakeTemporaryObject(HANDLE Handle)
{
    PVOID Object;
    NTSTATUS Status;

    Status = ObReferenceObjectByHandle(Handle, DELETE, NULL, ExGetPreviousMode(), &Object, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    ObMakeTemporaryObject(Object);
    ObfDereferenceObject(Object);
    return STATUS_SUCCESS;
}
