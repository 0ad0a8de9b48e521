/*
 * security.c - looking at the descriptors of objects, checking accesses with them, and replacing parts of them.
 *
 * Where a descriptor is kept, and how it is counted, is descriptor.c's. Files have none: what may be done with them is their file
 * system's business; a handle to a device itself stands for the device's.
 *
 * Lock: setters come one at a time through ObpSecurityMutex, since a new descriptor is made of the old one. IRQL: PASSIVE_LEVEL.
 * Source: WDK documentation of ObGetObjectSecurity and ZwSetSecurityObject.
 */
#include <ntos/ke.h>
#include <ntos/se.h>
#include <ntos/user.h>

#include "obp.h"

static FAST_MUTEX ObpSecurityMutex;

VOID ObpInitializeSecurity(VOID)
{
    ExInitializeFastMutex(&ObpSecurityMutex);
    VfNameLock(&ObpSecurityMutex, "ObpSecurityMutex");
}

/**
 * ObAssignSecurity - as ObpAssignSecurity, with the descriptors at hand.
 *
 * @AccessState       its SecurityDescriptor is the creator's wish
 * @ParentDescriptor  of the directory, or NULL
 * @Type              of the object
 */
NTSTATUS NTAPI ObAssignSecurity(PACCESS_STATE AccessState, PSECURITY_DESCRIPTOR ParentDescriptor, PVOID Object,
                                POBJECT_TYPE Type)
{
    GENERIC_MAPPING Mapping = Type->Info.GenericMapping;
    PSECURITY_DESCRIPTOR New;
    NTSTATUS Status =
        SeAssignSecurity(ParentDescriptor, AccessState->SecurityDescriptor, &New, Type == ObpDirectoryObjectType,
                         &AccessState->SubjectSecurityContext, &Mapping, PagedPool);

    return NT_SUCCESS(Status) ? ObpPutDescriptor(ObpHeader(Object), New) : Status;
}

/* ---- Looking ---- */

/**
 * ObGetObjectSecurity - an object's descriptor.
 *
 * @SecurityDescriptor  gets it, NULL: the object has none
 * @MemoryAllocated     gets what ObReleaseObjectSecurity wants to know
 * returns              STATUS_SUCCESS, STATUS_INSUFFICIENT_RESOURCES
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI ObGetObjectSecurity(PVOID Object, PSECURITY_DESCRIPTOR *SecurityDescriptor, PBOOLEAN MemoryAllocated)
{
    POBP_DESCRIPTOR Held;
    NTSTATUS Status = ObpTakeDescriptor(ObpHeader(Object), &Held);

    *SecurityDescriptor = NULL;
    *MemoryAllocated = FALSE;
    if (!NT_SUCCESS(Status) || Held == NULL) {
        return Status;
    }
    *SecurityDescriptor = SeCopyDescriptor(Held->Descriptor, PagedPool);
    ObDropSecurity(Held);
    *MemoryAllocated = *SecurityDescriptor != NULL;
    return (*SecurityDescriptor == NULL) ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
}

VOID NTAPI ObReleaseObjectSecurity(PSECURITY_DESCRIPTOR SecurityDescriptor, BOOLEAN MemoryAllocated)
{
    if (MemoryAllocated && SecurityDescriptor != NULL) {
        ExFreePoolWithTag(SecurityDescriptor, SE_TAG_DESCRIPTOR);
    }
}

/**
 * ObCheckObjectAccess - decides an access to an object by its descriptor.
 *
 * @AccessState    what is asked for (RemainingDesiredAccess) and granted; updated
 * @TypeMutexLocked  not used
 * @AccessStatus   gets the reason of a refusal
 * returns         whether it is granted. An object without a descriptor grants what its type has.
 */
BOOLEAN NTAPI ObCheckObjectAccess(PVOID Object, PACCESS_STATE AccessState, BOOLEAN TypeMutexLocked,
                                  KPROCESSOR_MODE AccessMode, PNTSTATUS AccessStatus)
{
    POBJECT_HEADER Header = ObpHeader(Object);
    GENERIC_MAPPING Mapping = Header->Type->Info.GenericMapping;
    POBP_DESCRIPTOR Held;
    ACCESS_MASK Granted;
    BOOLEAN Allowed = FALSE;

    UNREFERENCED_PARAMETER(TypeMutexLocked);
    *AccessStatus = ObpTakeDescriptor(Header, &Held);
    if (!NT_SUCCESS(*AccessStatus)) {
        return FALSE;
    }
    if (Held == NULL) {
        *AccessStatus = ObpGrantAccess(Header->Type, AccessState->RemainingDesiredAccess, &Granted);
        Allowed = NT_SUCCESS(*AccessStatus);
    } else {
        Allowed = SeAccessCheck(Held->Descriptor, &AccessState->SubjectSecurityContext, FALSE,
                                AccessState->RemainingDesiredAccess, AccessState->PreviouslyGrantedAccess, NULL,
                                &Mapping, AccessMode, &Granted, AccessStatus);
        ObDropSecurity(Held);
    }
    if (Allowed) {
        AccessState->PreviouslyGrantedAccess |= Granted;
        AccessState->RemainingDesiredAccess = 0;
    }
    return Allowed;
}

/* ---- Setting and querying by handle ---- */

/* Whose descriptor a handle is about: of a file that is a device opened itself, the device's. */
static PVOID ObpSecured(PVOID Object)
{
    if (ObGetObjectType(Object) == *IoFileObjectType && ((PFILE_OBJECT)Object)->FileName.Length == 0 &&
        ((PFILE_OBJECT)Object)->DeviceObject != NULL) {
        return ((PFILE_OBJECT)Object)->DeviceObject;
    }
    return Object;
}

/**
 * ObSetSecurityObjectByPointer - replaces parts of an object's descriptor, without a check.
 *
 * @SecurityInformation  which parts
 * @SecurityDescriptor   where they come from
 * returns               STATUS_SUCCESS, STATUS_NO_SECURITY_ON_OBJECT, STATUS_INVALID_OWNER, STATUS_INSUFFICIENT_RESOURCES
 */
NTSTATUS NTAPI ObSetSecurityObjectByPointer(PVOID Object, SECURITY_INFORMATION SecurityInformation,
                                            PSECURITY_DESCRIPTOR SecurityDescriptor)
{
    POBJECT_HEADER Header = ObpHeader(Object);
    GENERIC_MAPPING Mapping = Header->Type->Info.GenericMapping;
    PSECURITY_DESCRIPTOR Descriptor;
    POBP_DESCRIPTOR Held;
    NTSTATUS Status = ObpTakeDescriptor(Header, &Held); /* it has one from now on, if it can have */

    if (!NT_SUCCESS(Status) || Held == NULL) {
        return NT_SUCCESS(Status) ? STATUS_NO_SECURITY_ON_OBJECT : Status;
    }
    ObDropSecurity(Held);
    ExAcquireFastMutex(&ObpSecurityMutex);
    Descriptor = (*ObpSecurityPlace(Header))->Descriptor; /* nobody else replaces it now */
    Status =
        SeSetSecurityDescriptorInfo(Object, &SecurityInformation, SecurityDescriptor, &Descriptor, PagedPool, &Mapping);
    if (NT_SUCCESS(Status)) {
        Status = ObpPutDescriptor(Header, Descriptor);
    }
    ExReleaseFastMutex(&ObpSecurityMutex);
    return Status;
}

/* The right that setting (or querying) parts of a descriptor needs. */
static ACCESS_MASK ObpSecurityAccess(SECURITY_INFORMATION Parts, BOOLEAN Set)
{
    ACCESS_MASK Access = 0;

    if ((Parts & (OWNER_SECURITY_INFORMATION | GROUP_SECURITY_INFORMATION)) != 0) {
        Access |= Set ? WRITE_OWNER : READ_CONTROL;
    }
    if ((Parts & DACL_SECURITY_INFORMATION) != 0) {
        Access |= Set ? WRITE_DAC : READ_CONTROL;
    }
    if ((Parts & SACL_SECURITY_INFORMATION) != 0) {
        Access |= ACCESS_SYSTEM_SECURITY;
    }
    return Access;
}

/**
 * NtSetSecurityObject - replaces parts of an object's descriptor.
 *
 * @Handle  with WRITE_OWNER, WRITE_DAC or ACCESS_SYSTEM_SECURITY, as the parts need
 * returns  as ObSetSecurityObjectByPointer; STATUS_INVALID_SECURITY_DESCR: an owner or group is to be set and missing;
 *          STATUS_UNKNOWN_REVISION; what the handle says
 */
NTSTATUS NTAPI NtSetSecurityObject(HANDLE Handle, SECURITY_INFORMATION SecurityInformation,
                                   PSECURITY_DESCRIPTOR SecurityDescriptor)
{
    KPROCESSOR_MODE Mode = ExGetPreviousMode();
    PSECURITY_DESCRIPTOR Captured;
    BOOLEAN Defaulted;
    PSID Owner, Group;
    PVOID Object;
    NTSTATUS Status;

    if (SecurityDescriptor == NULL) {
        return STATUS_ACCESS_VIOLATION;
    }
    Status = ObReferenceObjectByHandle(Handle, ObpSecurityAccess(SecurityInformation, TRUE), NULL, Mode, &Object, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = SeCaptureSecurityDescriptor(SecurityDescriptor, Mode, PagedPool, TRUE, &Captured);
    if (NT_SUCCESS(Status)) {
        RtlGetOwnerSecurityDescriptor(Captured, &Owner, &Defaulted);
        RtlGetGroupSecurityDescriptor(Captured, &Group, &Defaulted);
        if (((SecurityInformation & OWNER_SECURITY_INFORMATION) != 0 && Owner == NULL) ||
            ((SecurityInformation & GROUP_SECURITY_INFORMATION) != 0 && Group == NULL)) {
            Status = STATUS_INVALID_SECURITY_DESCR;
        } else {
            Status = ObSetSecurityObjectByPointer(ObpSecured(Object), SecurityInformation, Captured);
        }
        SeReleaseSecurityDescriptor(Captured, Mode, TRUE);
    }
    ObfDereferenceObject(Object);
    return Status;
}

/**
 * NtQuerySecurityObject - parts of an object's descriptor.
 *
 * @Handle        with READ_CONTROL, or ACCESS_SYSTEM_SECURITY for the SACL
 * @LengthNeeded  gets the bytes needed
 * returns        STATUS_SUCCESS, STATUS_BUFFER_TOO_SMALL, STATUS_NO_SECURITY_ON_OBJECT, what the handle says
 */
NTSTATUS NTAPI NtQuerySecurityObject(HANDLE Handle, SECURITY_INFORMATION SecurityInformation,
                                     PSECURITY_DESCRIPTOR SecurityDescriptor, ULONG Length, PULONG LengthNeeded)
{
    POBP_DESCRIPTOR Held;
    EX_ANSWER Answer;
    PVOID Object;
    ULONG Needed;
    NTSTATUS Status;

    Status = ObReferenceObjectByHandle(Handle, ObpSecurityAccess(SecurityInformation, FALSE), NULL, ExGetPreviousMode(),
                                       &Object, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ObpTakeDescriptor(ObpHeader(ObpSecured(Object)), &Held);
    if (NT_SUCCESS(Status)) {
        Status = Held == NULL ? STATUS_NO_SECURITY_ON_OBJECT : ExBeginAnswer(&Answer, SecurityDescriptor, Length);
    }
    if (NT_SUCCESS(Status)) {
        do {
            Needed = Answer.Length;
            Status = SeQuerySecurityDescriptorInfo(&SecurityInformation, Answer.Buffer, &Needed, &Held->Descriptor);
        } while (ExGrowAnswer(&Answer, &Status, Needed));
        Status = ExEndAnswer(&Answer, Status, Needed);
        if (!NT_SUCCESS(ExCopyToCaller(LengthNeeded, &Needed, sizeof(Needed)))) {
            Status = STATUS_ACCESS_VIOLATION;
        }
    }
    ObDropSecurity(Held);
    ObfDereferenceObject(Object);
    return Status;
}

NTSTATUS NTAPI ZwSetSecurityObject(HANDLE Handle, SECURITY_INFORMATION SecurityInformation,
                                   PSECURITY_DESCRIPTOR SecurityDescriptor)
{
    OBP_AS_KERNEL(NtSetSecurityObject(Handle, SecurityInformation, SecurityDescriptor));
}

NTSTATUS NTAPI ZwQuerySecurityObject(HANDLE Handle, SECURITY_INFORMATION SecurityInformation,
                                     PSECURITY_DESCRIPTOR SecurityDescriptor, ULONG Length, PULONG LengthNeeded)
{
    OBP_AS_KERNEL(NtQuerySecurityObject(Handle, SecurityInformation, SecurityDescriptor, Length, LengthNeeded));
}
