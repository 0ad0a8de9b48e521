/*
 * security.c - the security descriptors of objects.
 *
 * An object that was created with a name or with a descriptor, and every object of a type that wants it (SecurityRequired), has a
 * descriptor: a self-relative one behind a count, so that a reader keeps the one he looks at while another is put in its place.
 * Files have none here: what may be done with them is their file system's business.
 *
 * Lock: ObpSecurityLock (spin, DISPATCH_LEVEL) guards the pointer in the header while a count is taken or the pointer exchanged; setters
 * come one at a time through ObpSecurityMutex, since a new descriptor is made of the old one. IRQL: PASSIVE_LEVEL.
 * Source: WDK documentation of ObGetObjectSecurity and ZwSetSecurityObject.
 */
#include <ntos/ke.h>
#include <ntos/se.h>
#include <ntos/user.h>

#include "obp.h"

typedef struct _OBP_DESCRIPTOR {
    volatile LONG64 Count; /* interlocked; the header's pointer is one */
    PSECURITY_DESCRIPTOR Descriptor;
} OBP_DESCRIPTOR, *POBP_DESCRIPTOR;

static KSPIN_LOCK ObpSecurityLock; /* zero is a free lock */
VF_NAME_LOCK(ObpSecurityLock, "ObpSecurityLock");
static FAST_MUTEX ObpSecurityMutex;

VOID ObpInitializeSecurity(VOID)
{
    ExInitializeFastMutex(&ObpSecurityMutex);
    VfNameLock(&ObpSecurityMutex, "ObpSecurityMutex");
}

static VOID ObpDropDescriptor(POBP_DESCRIPTOR Descriptor)
{
    if (Descriptor != NULL && InterlockedDecrement64(&Descriptor->Count) == 0) {
        ExFreePoolWithTag(Descriptor->Descriptor, SE_TAG_DESCRIPTOR);
        ExFreePoolWithTag(Descriptor, SE_TAG_DESCRIPTOR);
    }
}

/* The object's descriptor, counted; NULL: it has none. */
static POBP_DESCRIPTOR ObpTakeDescriptor(POBJECT_HEADER Header)
{
    POBP_DESCRIPTOR Descriptor;
    KIRQL Irql;

    if (Header->Security == NULL) {
        return NULL;
    }
    KeAcquireSpinLock(&ObpSecurityLock, &Irql);
    Descriptor = Header->Security;
    if (Descriptor != NULL) {
        InterlockedIncrement64(&Descriptor->Count);
    }
    KeReleaseSpinLock(&ObpSecurityLock, Irql);
    return Descriptor;
}

/* Gives the object a descriptor, which becomes its own also on failure. STATUS_INSUFFICIENT_RESOURCES: it is freed. */
static NTSTATUS ObpPutDescriptor(POBJECT_HEADER Header, PSECURITY_DESCRIPTOR Descriptor)
{
    POBP_DESCRIPTOR New = ExAllocatePoolWithTag(NonPagedPool, sizeof(*New), SE_TAG_DESCRIPTOR), Old;
    KIRQL Irql;

    if (New == NULL) {
        ExFreePoolWithTag(Descriptor, SE_TAG_DESCRIPTOR);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    New->Count = 1;
    New->Descriptor = Descriptor;
    KeAcquireSpinLock(&ObpSecurityLock, &Irql);
    Old = Header->Security;
    Header->Security = New;
    KeReleaseSpinLock(&ObpSecurityLock, Irql);
    ObpDropDescriptor(Old);
    return STATUS_SUCCESS;
}

/* At deletion: nobody else has the object. */
VOID ObpReleaseSecurity(POBJECT_HEADER Header)
{
    ObpDropDescriptor(Header->Security);
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
    POBP_DESCRIPTOR ParentDescriptor = (Parent == NULL) ? NULL : ObpTakeDescriptor(ObpHeader(Parent));
    PSECURITY_DESCRIPTOR New;
    NTSTATUS Status;

    SeCaptureSubjectContext(&Subject);
    Status =
        SeAssignSecurity((ParentDescriptor == NULL) ? NULL : ParentDescriptor->Descriptor, Explicit, &New,
                         Header->Type == ObpDirectoryObjectType,
                         (AccessState == NULL) ? &Subject : &AccessState->SubjectSecurityContext, &Mapping, PagedPool);
    SeReleaseSubjectContext(&Subject);
    ObpDropDescriptor(ParentDescriptor);
    return NT_SUCCESS(Status) ? ObpPutDescriptor(Header, New) : Status;
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
    POBP_DESCRIPTOR Held = ObpTakeDescriptor(ObpHeader(Object));

    *SecurityDescriptor = NULL;
    *MemoryAllocated = FALSE;
    if (Held == NULL) {
        return STATUS_SUCCESS;
    }
    *SecurityDescriptor = SeCopyDescriptor(Held->Descriptor, PagedPool);
    ObpDropDescriptor(Held);
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
    POBP_DESCRIPTOR Held = ObpTakeDescriptor(Header);
    ACCESS_MASK Granted;
    BOOLEAN Allowed;

    UNREFERENCED_PARAMETER(TypeMutexLocked);
    if (Held == NULL) {
        *AccessStatus = ObpGrantAccess(Header->Type, AccessState->RemainingDesiredAccess, &Granted);
        Allowed = NT_SUCCESS(*AccessStatus);
    } else {
        Allowed = SeAccessCheck(Held->Descriptor, &AccessState->SubjectSecurityContext, FALSE,
                                AccessState->RemainingDesiredAccess, AccessState->PreviouslyGrantedAccess, NULL,
                                &Mapping, AccessMode, &Granted, AccessStatus);
        ObpDropDescriptor(Held);
    }
    if (Allowed) {
        AccessState->PreviouslyGrantedAccess |= Granted;
        AccessState->RemainingDesiredAccess = 0;
    }
    return Allowed;
}

/* ---- Setting and querying by handle ---- */

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
    NTSTATUS Status = STATUS_NO_SECURITY_ON_OBJECT;

    ExAcquireFastMutex(&ObpSecurityMutex);
    if (Header->Security != NULL) {
        Descriptor = Header->Security->Descriptor; /* nobody else replaces it now */
        Status = SeSetSecurityDescriptorInfo(Object, &SecurityInformation, SecurityDescriptor, &Descriptor, PagedPool,
                                             &Mapping);
    }
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
            Status = ObSetSecurityObjectByPointer(Object, SecurityInformation, Captured);
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
    Held = ObpTakeDescriptor(ObpHeader(Object));
    Status = Held == NULL ? STATUS_NO_SECURITY_ON_OBJECT : ExBeginAnswer(&Answer, SecurityDescriptor, Length);
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
    ObpDropDescriptor(Held);
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
