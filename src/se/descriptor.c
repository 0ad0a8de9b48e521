/*
 * descriptor.c - parts of descriptors: asked for, replaced, and whole ones from outside checked.
 *
 * SECURITY_INFORMATION names the parts. Replacing builds a new self-relative block of the old one's parts and the new ones; who has the
 * old block frees it. No state, no locks: descriptors belong to the caller. IRQL: PASSIVE_LEVEL.
 * Source: WDK documentation of SeQuerySecurityDescriptorInfo, SeSetSecurityDescriptorInfo, SeValidSecurityDescriptor.
 */
#include "sep.h"

/* Copies the parts that are asked for from one descriptor to an absolute one. */
static VOID SepTakeParts(PSECURITY_DESCRIPTOR Source, SECURITY_INFORMATION Parts, PSECURITY_DESCRIPTOR Absolute)
{
    BOOLEAN Present, Defaulted;
    PSID Sid;
    PACL Acl;

    if ((Parts & OWNER_SECURITY_INFORMATION) != 0) {
        RtlGetOwnerSecurityDescriptor(Source, &Sid, &Defaulted);
        RtlSetOwnerSecurityDescriptor(Absolute, Sid, Defaulted);
    }
    if ((Parts & GROUP_SECURITY_INFORMATION) != 0) {
        RtlGetGroupSecurityDescriptor(Source, &Sid, &Defaulted);
        RtlSetGroupSecurityDescriptor(Absolute, Sid, Defaulted);
    }
    if ((Parts & DACL_SECURITY_INFORMATION) != 0) {
        RtlGetDaclSecurityDescriptor(Source, &Present, &Acl, &Defaulted);
        RtlSetDaclSecurityDescriptor(Absolute, Present, Present ? Acl : NULL, Present && Defaulted);
    }
    if ((Parts & SACL_SECURITY_INFORMATION) != 0) {
        RtlGetSaclSecurityDescriptor(Source, &Present, &Acl, &Defaulted);
        RtlSetSaclSecurityDescriptor(Absolute, Present, Present ? Acl : NULL, Present && Defaulted);
    }
}

/**
 * SeQuerySecurityDescriptorInfo - copies parts of an object's descriptor.
 *
 * @SecurityInformation        the parts
 * @SecurityDescriptor         gets them, self-relative
 * @Length                     in: bytes there; out: bytes needed
 * @ObjectsSecurityDescriptor  the object's; NULL inside: an empty descriptor is returned
 * returns                     STATUS_SUCCESS, STATUS_BUFFER_TOO_SMALL
 */
NTSTATUS NTAPI SeQuerySecurityDescriptorInfo(PSECURITY_INFORMATION SecurityInformation,
                                             PSECURITY_DESCRIPTOR SecurityDescriptor, PULONG Length,
                                             PSECURITY_DESCRIPTOR *ObjectsSecurityDescriptor)
{
    SECURITY_DESCRIPTOR Absolute;

    RtlCreateSecurityDescriptor(&Absolute, SECURITY_DESCRIPTOR_REVISION);
    if (*ObjectsSecurityDescriptor != NULL) {
        SepTakeParts(*ObjectsSecurityDescriptor, *SecurityInformation, &Absolute);
    }
    return RtlAbsoluteToSelfRelativeSD(&Absolute, SecurityDescriptor, Length);
}

/* Maps the generic rights of a descriptor's DACL, in place. */
static VOID SepMapDacl(PSECURITY_DESCRIPTOR Descriptor, PGENERIC_MAPPING Mapping)
{
    BOOLEAN Present, Defaulted;
    PACL Dacl = NULL;

    RtlGetDaclSecurityDescriptor(Descriptor, &Present, &Dacl, &Defaulted);
    if (!Present || Dacl == NULL) {
        return;
    }
    for (ULONG Index = 0; Index < Dacl->AceCount; Index++) {
        PACCESS_ALLOWED_ACE Ace;

        RtlGetAce(Dacl, Index, (PVOID *)&Ace);
        if (Ace->Header.AceType <= ACCESS_DENIED_ACE_TYPE && (Ace->Header.AceFlags & INHERIT_ONLY_ACE) == 0) {
            RtlMapGenericMask(&Ace->Mask, Mapping);
        }
    }
}

/**
 * SeSetSecurityDescriptorInfo - replaces parts of an object's descriptor.
 *
 * @Object                     not used: entries are not inherited further
 * @SecurityInformation        the parts
 * @SecurityDescriptor         where they come from, of either form
 * @ObjectsSecurityDescriptor  in: the object's; out: a new block from PoolType. The old one is the caller's to free.
 * returns                     STATUS_SUCCESS; STATUS_NO_SECURITY_ON_OBJECT; STATUS_INVALID_OWNER: an owner is given, but none named;
 *                             STATUS_INSUFFICIENT_RESOURCES
 */
NTSTATUS NTAPI SeSetSecurityDescriptorInfo(PVOID Object, PSECURITY_INFORMATION SecurityInformation,
                                           PSECURITY_DESCRIPTOR SecurityDescriptor,
                                           PSECURITY_DESCRIPTOR *ObjectsSecurityDescriptor, POOL_TYPE PoolType,
                                           PGENERIC_MAPPING GenericMapping)
{
    const SECURITY_INFORMATION All =
        OWNER_SECURITY_INFORMATION | GROUP_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION | SACL_SECURITY_INFORMATION;
    PISECURITY_DESCRIPTOR Absolute;
    SECURITY_DESCRIPTOR Parts;
    PSECURITY_DESCRIPTOR New;

    UNREFERENCED_PARAMETER(Object);
    if (*ObjectsSecurityDescriptor == NULL) {
        return STATUS_NO_SECURITY_ON_OBJECT;
    }
    Absolute = (PISECURITY_DESCRIPTOR)&Parts;
    RtlCreateSecurityDescriptor(Absolute, SECURITY_DESCRIPTOR_REVISION);
    SepTakeParts(*ObjectsSecurityDescriptor, All & ~*SecurityInformation, Absolute);
    SepTakeParts(SecurityDescriptor, All & *SecurityInformation, Absolute);
    if (Absolute->Owner == NULL) {
        return STATUS_INVALID_OWNER;
    }
    New = SeCopyDescriptor(Absolute, PoolType);
    if (New == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    if ((*SecurityInformation & DACL_SECURITY_INFORMATION) != 0) {
        SepMapDacl(New, GenericMapping);
    }
    *ObjectsSecurityDescriptor = New;
    return STATUS_SUCCESS;
}

/* TRUE: Length bytes hold a whole self-relative descriptor with an owner that is a SID. IRQL: any. */
BOOLEAN NTAPI SeValidSecurityDescriptor(ULONG Length, PSECURITY_DESCRIPTOR SecurityDescriptor)
{
    PISECURITY_DESCRIPTOR_RELATIVE Relative = SecurityDescriptor;

    return Length >= sizeof(*Relative) && RtlValidRelativeSecurityDescriptor(SecurityDescriptor, Length, 0) &&
           Relative->Owner != 0;
}

/**
 * SeCaptureSecurityDescriptor - copies a descriptor from outside, of either form, to pool.
 *
 * @CurrentMode    mode of the pointers: a program's descriptor is copied part by part before anything is believed (capture.c)
 * @CaptureIfKernel  FALSE: from kernel mode the original is returned
 * @Copy           gets the self-relative copy: SeReleaseSecurityDescriptor
 * returns         STATUS_SUCCESS, STATUS_UNKNOWN_REVISION, STATUS_INSUFFICIENT_RESOURCES; a program's: what capture.c says
 */
NTSTATUS NTAPI SeCaptureSecurityDescriptor(PSECURITY_DESCRIPTOR OriginalSecurityDescriptor, KPROCESSOR_MODE CurrentMode,
                                           POOL_TYPE PoolType, BOOLEAN CaptureIfKernel, PSECURITY_DESCRIPTOR *Copy)
{
    *Copy = NULL;
    if (OriginalSecurityDescriptor == NULL) {
        return STATUS_SUCCESS;
    }
    if (CurrentMode == KernelMode && !CaptureIfKernel) {
        *Copy = OriginalSecurityDescriptor;
        return STATUS_SUCCESS;
    }
    if (CurrentMode != KernelMode) {
        return SepCaptureUserDescriptor(OriginalSecurityDescriptor, PoolType, Copy);
    }
    if (!RtlValidSecurityDescriptor(OriginalSecurityDescriptor)) {
        return STATUS_UNKNOWN_REVISION;
    }
    *Copy = SeCopyDescriptor(OriginalSecurityDescriptor, PoolType);
    return (*Copy == NULL) ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
}

VOID NTAPI SeReleaseSecurityDescriptor(PSECURITY_DESCRIPTOR CapturedSecurityDescriptor, KPROCESSOR_MODE CurrentMode,
                                       BOOLEAN CaptureIfKernelMode)
{
    if (CapturedSecurityDescriptor != NULL && (CurrentMode != KernelMode || CaptureIfKernelMode)) {
        ExFreePoolWithTag(CapturedSecurityDescriptor, SE_TAG_DESCRIPTOR);
    }
}
