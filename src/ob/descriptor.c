/*
 * descriptor.c - the security descriptors that objects have.
 *
 * An object that was created with a name or with a descriptor, and every object of a type that wants it (SecurityRequired), has a
 * descriptor: a self-relative one behind a count, so that a reader keeps the one he looks at while another is put in its place. Processes,
 * threads and tokens, which are made often and opened seldom, get theirs from their token's defaults when somebody first looks for it. Of
 * some types (keys) the descriptor is not the object's but belongs to what it stands for, and many of those share one.
 *
 * Lock: ObpSecurityLock (spin, DISPATCH_LEVEL) guards the pointer while a count is taken or the pointer exchanged. IRQL: PASSIVE_LEVEL.
 */
#include <ntos/ke.h>

#include "obp.h"

static KSPIN_LOCK ObpSecurityLock; /* zero is a free lock */
VF_NAME_LOCK(ObpSecurityLock, "ObpSecurityLock");

VOID ObDropSecurity(POBP_DESCRIPTOR Descriptor)
{
    if (Descriptor != NULL && InterlockedDecrement64(&Descriptor->Count) == 0) {
        ExFreePoolWithTag(Descriptor->Descriptor, SE_TAG_DESCRIPTOR);
        ExFreePoolWithTag(Descriptor, SE_TAG_DESCRIPTOR);
    }
}

POBP_DESCRIPTOR *ObpSecurityPlace(POBJECT_HEADER Header)
{
    return (Header->Type->Info.SecurityPlaceProcedure == NULL)
               ? &Header->Security
               : Header->Type->Info.SecurityPlaceProcedure(ObpBody(Header));
}

/* What is in a place, counted. */
static POBP_DESCRIPTOR ObpTakeFrom(POBP_DESCRIPTOR *Place)
{
    POBP_DESCRIPTOR Descriptor;
    KIRQL Irql;

    if (*(POBP_DESCRIPTOR volatile *)Place == NULL) {
        return NULL;
    }
    KeAcquireSpinLock(&ObpSecurityLock, &Irql);
    Descriptor = *Place;
    if (Descriptor != NULL) {
        InterlockedIncrement64(&Descriptor->Count);
    }
    KeReleaseSpinLock(&ObpSecurityLock, Irql);
    return Descriptor;
}

/* Puts a descriptor behind a count of one; it is freed if that fails. NULL: no memory. */
static POBP_DESCRIPTOR ObpCountDescriptor(PSECURITY_DESCRIPTOR Descriptor)
{
    POBP_DESCRIPTOR New = ExAllocatePoolWithTag(NonPagedPool, sizeof(*New), SE_TAG_DESCRIPTOR);

    if (New == NULL) {
        ExFreePoolWithTag(Descriptor, SE_TAG_DESCRIPTOR);
        return NULL;
    }
    New->Count = 1;
    New->Descriptor = Descriptor;
    return New;
}

/* Puts New in a place, or only if that is empty; what is left over is given up. */
static VOID ObpPutInto(POBP_DESCRIPTOR *Place, POBP_DESCRIPTOR New, BOOLEAN IfEmpty)
{
    POBP_DESCRIPTOR Rest = New;
    KIRQL Irql;

    KeAcquireSpinLock(&ObpSecurityLock, &Irql);
    if (!IfEmpty || *Place == NULL) {
        Rest = *Place;
        *Place = New;
    }
    KeReleaseSpinLock(&ObpSecurityLock, Irql);
    ObDropSecurity(Rest);
}

/* Gives the object a descriptor, which becomes its own also on failure. STATUS_INSUFFICIENT_RESOURCES: it is freed. */
NTSTATUS ObpPutDescriptor(POBJECT_HEADER Header, PSECURITY_DESCRIPTOR Descriptor)
{
    POBP_DESCRIPTOR New = ObpCountDescriptor(Descriptor);

    if (New == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    ObpPutInto(ObpSecurityPlace(Header), New, FALSE);
    return STATUS_SUCCESS;
}

/* At deletion: nobody else has the object. */
VOID ObpReleaseSecurity(POBJECT_HEADER Header)
{
    ObDropSecurity(Header->Security);
}

/* The descriptor of an object that has none, from its token's defaults. */
static NTSTATUS ObpDefaultSecurity(POBJECT_HEADER Header)
{
    GENERIC_MAPPING Mapping = Header->Type->Info.GenericMapping;
    SECURITY_SUBJECT_CONTEXT Subject = {.PrimaryToken = Header->Type->Info.SecurityTokenProcedure(ObpBody(Header))};
    PSECURITY_DESCRIPTOR Made;
    POBP_DESCRIPTOR New = NULL;
    NTSTATUS Status = SeAssignSecurity(NULL, NULL, &Made, FALSE, &Subject, &Mapping, PagedPool);

    ObfDereferenceObject(Subject.PrimaryToken);
    if (NT_SUCCESS(Status)) {
        New = ObpCountDescriptor(Made);
        Status = (New == NULL) ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
    }
    if (NT_SUCCESS(Status)) {
        ObpPutInto(ObpSecurityPlace(Header), New, TRUE);
    }
    return Status;
}

/**
 * ObpTakeDescriptor - an object's descriptor, counted: ObDropSecurity.
 *
 * @Descriptor  gets it; NULL: the object has none, and grants what its type has
 * returns      STATUS_SUCCESS; STATUS_INSUFFICIENT_RESOURCES: it should have one, and there is no memory for it
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS ObpTakeDescriptor(POBJECT_HEADER Header, POBP_DESCRIPTOR *Descriptor)
{
    POBP_DESCRIPTOR *Place = ObpSecurityPlace(Header);
    NTSTATUS Status;

    *Descriptor = ObpTakeFrom(Place);
    if (*Descriptor != NULL || Header->Type->Info.SecurityTokenProcedure == NULL) {
        return STATUS_SUCCESS;
    }
    Status = ObpDefaultSecurity(Header);
    if (NT_SUCCESS(Status)) {
        *Descriptor = ObpTakeFrom(Place);
    }
    return Status;
}

/* Does the type of an object say that it is to be looked at before it is opened? */
BOOLEAN ObpHasSecurity(POBJECT_HEADER Header)
{
    return *ObpSecurityPlace(Header) != NULL || Header->Type->Info.SecurityTokenProcedure != NULL;
}

/**
 * ObpAssignSecurity - gives a new object its descriptor.
 *
 * @AccessState  whose subject creates it, NULL: the calling thread
 * @Explicit     the creator's descriptor, or NULL
 * @Parent       directory it is entered in, or NULL
 * returns       what SeAssignSecurity says
 */
NTSTATUS ObpAssignSecurity(PVOID Object, PACCESS_STATE AccessState, PSECURITY_DESCRIPTOR Explicit, PVOID Parent)
{
    POBJECT_HEADER Header = ObpHeader(Object);
    GENERIC_MAPPING Mapping = Header->Type->Info.GenericMapping;
    SECURITY_SUBJECT_CONTEXT Subject;
    POBP_DESCRIPTOR ParentDescriptor = NULL;
    PSECURITY_DESCRIPTOR New;
    NTSTATUS Status = (Parent == NULL) ? STATUS_SUCCESS : ObpTakeDescriptor(ObpHeader(Parent), &ParentDescriptor);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    SeCaptureSubjectContext(&Subject);
    Status =
        SeAssignSecurity((ParentDescriptor == NULL) ? NULL : ParentDescriptor->Descriptor, Explicit, &New,
                         Header->Type == ObpDirectoryObjectType,
                         (AccessState == NULL) ? &Subject : &AccessState->SubjectSecurityContext, &Mapping, PagedPool);
    SeReleaseSubjectContext(&Subject);
    ObDropSecurity(ParentDescriptor);
    return NT_SUCCESS(Status) ? ObpPutDescriptor(Header, New) : Status;
}

NTSTATUS ObGiveSecurity(PVOID Object, PSECURITY_DESCRIPTOR Explicit)
{
    return ObpAssignSecurity(Object, NULL, Explicit, NULL);
}

/* ---- Of what is no object ---- */

static BOOLEAN ObpSameDescriptor(PSECURITY_DESCRIPTOR One, PSECURITY_DESCRIPTOR Other)
{
    ULONG Bytes = RtlLengthSecurityDescriptor(One);

    return Bytes == RtlLengthSecurityDescriptor(Other) && RtlCompareMemory(One, Other, Bytes) == Bytes;
}

NTSTATUS ObShareSecurity(POBP_DESCRIPTOR *Parent, PSECURITY_DESCRIPTOR Explicit, POBJECT_TYPE Type,
                         POBP_DESCRIPTOR *New)
{
    POBP_DESCRIPTOR Above = (Parent == NULL) ? NULL : ObpTakeFrom(Parent);
    GENERIC_MAPPING Mapping = Type->Info.GenericMapping;
    SECURITY_SUBJECT_CONTEXT Subject;
    PSECURITY_DESCRIPTOR Made;
    NTSTATUS Status;

    *New = NULL;
    SeCaptureSubjectContext(&Subject);
    Status = SeAssignSecurity((Above == NULL) ? NULL : Above->Descriptor, Explicit, &Made, TRUE, &Subject, &Mapping,
                              PagedPool);
    SeReleaseSubjectContext(&Subject);
    if (NT_SUCCESS(Status) && Above != NULL && ObpSameDescriptor(Made, Above->Descriptor)) {
        ExFreePoolWithTag(Made, SE_TAG_DESCRIPTOR);
        *New = Above; /* with the count that was taken */
        return STATUS_SUCCESS;
    }
    ObDropSecurity(Above);
    if (NT_SUCCESS(Status)) {
        *New = ObpCountDescriptor(Made);
        Status = (*New == NULL) ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
    }
    return Status;
}

NTSTATUS ObCheckSharedSecurity(POBP_DESCRIPTOR *Place, POBJECT_TYPE Type, ACCESS_MASK Desired)
{
    POBP_DESCRIPTOR Held = ObpTakeFrom(Place);
    GENERIC_MAPPING Mapping = Type->Info.GenericMapping;
    SECURITY_SUBJECT_CONTEXT Subject;
    ACCESS_MASK Granted;
    NTSTATUS Status = STATUS_SUCCESS;

    if (Held != NULL) {
        SeCaptureSubjectContext(&Subject);
        SeAccessCheck(Held->Descriptor, &Subject, FALSE, Desired, 0, NULL, &Mapping, UserMode, &Granted, &Status);
        SeReleaseSubjectContext(&Subject);
        ObDropSecurity(Held);
    }
    return Status;
}
