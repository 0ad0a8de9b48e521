/*
 * secdesc.c - security descriptors: owner, group, audit list (SACL) and access list (DACL) of an object.
 *
 * Two forms share the first four bytes. The absolute form holds four pointers and is built piece by piece; the self-relative form
 * (SE_SELF_RELATIVE) holds four offsets into its own block, 0 standing for "none", and is what is stored and passed around. Both
 * are read through RtlpDecode, so that the rest of the file knows one form only. A self-relative descriptor of unknown origin
 * goes through RtlValidRelativeSecurityDescriptor first: every offset and length is checked against the block's size.
 *
 * No locks; a descriptor belongs to its caller. IRQL: any if the memory is resident. Source: Microsoft Learn,
 * "SECURITY_DESCRIPTOR structure", [MS-DTYP] 2.4.6.
 */
#include <ntos/ntos.h>
#include "rtlsec.h"

C_ASSERT(sizeof(SECURITY_DESCRIPTOR_RELATIVE) == 20);
C_ASSERT(sizeof(SECURITY_DESCRIPTOR) == 40);

#define RTLP_PART_ALIGN sizeof(ULONG)

/* The four parts, NULL where there is none. */
typedef struct _RTLP_PARTS {
    PSID Owner, Group;
    PACL Sacl, Dacl;
} RTLP_PARTS, *PRTLP_PARTS;

static BOOLEAN RtlpIsRelative(PSECURITY_DESCRIPTOR Descriptor)
{
    return (((PISECURITY_DESCRIPTOR)Descriptor)->Control & SE_SELF_RELATIVE) != 0;
}

static PVOID RtlpAt(PVOID Base, ULONG Offset)
{
    return (Offset == 0) ? NULL : (PUCHAR)Base + Offset;
}

/* The parts of a descriptor of either form. A list whose "present" bit is off counts as none. */
static VOID RtlpDecode(PSECURITY_DESCRIPTOR Descriptor, PRTLP_PARTS Parts)
{
    PISECURITY_DESCRIPTOR Absolute = Descriptor;

    if (RtlpIsRelative(Descriptor)) {
        PISECURITY_DESCRIPTOR_RELATIVE Relative = Descriptor;

        Parts->Owner = RtlpAt(Relative, Relative->Owner);
        Parts->Group = RtlpAt(Relative, Relative->Group);
        Parts->Sacl = RtlpAt(Relative, Relative->Sacl);
        Parts->Dacl = RtlpAt(Relative, Relative->Dacl);
    } else {
        Parts->Owner = Absolute->Owner;
        Parts->Group = Absolute->Group;
        Parts->Sacl = Absolute->Sacl;
        Parts->Dacl = Absolute->Dacl;
    }
    if ((Absolute->Control & SE_SACL_PRESENT) == 0) {
        Parts->Sacl = NULL;
    }
    if ((Absolute->Control & SE_DACL_PRESENT) == 0) {
        Parts->Dacl = NULL;
    }
}

static ULONG RtlpRound(ULONG Bytes)
{
    return ALIGN_UP_BY(Bytes, (ULONG)RTLP_PART_ALIGN);
}

static ULONG RtlpSidBytes(PSID Sid)
{
    return (Sid == NULL) ? 0 : RtlpRound(RtlLengthSid(Sid));
}

static ULONG RtlpAclBytes(PACL Acl)
{
    return (Acl == NULL) ? 0 : RtlpRound(Acl->AclSize);
}

/**
 * RtlCreateSecurityDescriptor - makes an absolute descriptor without owner, group and lists.
 *
 * returns  STATUS_SUCCESS; STATUS_UNKNOWN_REVISION
 */
NTSTATUS NTAPI RtlCreateSecurityDescriptor(PSECURITY_DESCRIPTOR SecurityDescriptor, ULONG Revision)
{
    if (Revision != SECURITY_DESCRIPTOR_REVISION) {
        return STATUS_UNKNOWN_REVISION;
    }
    RtlZeroMemory(SecurityDescriptor, sizeof(SECURITY_DESCRIPTOR));
    ((PISECURITY_DESCRIPTOR)SecurityDescriptor)->Revision = SECURITY_DESCRIPTOR_REVISION;
    return STATUS_SUCCESS;
}

/* TRUE: Base of Bytes bytes holds a part at Offset that leaves room for at least one header byte after the descriptor's own. */
static BOOLEAN RtlpPartInside(ULONG Offset, ULONG Bytes)
{
    return Offset >= sizeof(SECURITY_DESCRIPTOR_RELATIVE) && Offset < Bytes && Offset % RTLP_PART_ALIGN == 0;
}

static BOOLEAN RtlpValidRelativeSid(PVOID Base, ULONG Offset, ULONG Bytes, BOOLEAN Required)
{
    if (Offset == 0) {
        return !Required;
    }
    return RtlpPartInside(Offset, Bytes) && RtlpValidSidBytes((PUCHAR)Base + Offset, Bytes - Offset);
}

static BOOLEAN RtlpValidRelativeAcl(PVOID Base, ULONG Offset, ULONG Bytes, BOOLEAN Present, BOOLEAN Required)
{
    if (!Present) {
        return !Required;
    }
    if (Offset == 0) { /* present and empty: no list at all */
        return TRUE;
    }
    return RtlpPartInside(Offset, Bytes) && RtlpValidAclBytes((PUCHAR)Base + Offset, Bytes - Offset);
}

/**
 * RtlValidRelativeSecurityDescriptor - checks a self-relative descriptor of unknown origin.
 *
 * @SecurityDescriptorLength  bytes at hand; nothing beyond them is looked at
 * @RequiredInformation       parts that must be there (OWNER_, GROUP_, DACL_, SACL_SECURITY_INFORMATION)
 * returns                    TRUE: the parts lie inside and are well formed
 */
BOOLEAN NTAPI RtlValidRelativeSecurityDescriptor(PSECURITY_DESCRIPTOR SecurityDescriptorInput,
                                                 ULONG SecurityDescriptorLength,
                                                 SECURITY_INFORMATION RequiredInformation)
{
    PISECURITY_DESCRIPTOR_RELATIVE Relative = SecurityDescriptorInput;
    ULONG Bytes = SecurityDescriptorLength;

    if (Bytes < sizeof(*Relative) || Relative->Revision != SECURITY_DESCRIPTOR_REVISION ||
        (Relative->Control & SE_SELF_RELATIVE) == 0) {
        return FALSE;
    }
    return RtlpValidRelativeSid(Relative, Relative->Owner, Bytes,
                                (RequiredInformation & OWNER_SECURITY_INFORMATION) != 0) &&
           RtlpValidRelativeSid(Relative, Relative->Group, Bytes,
                                (RequiredInformation & GROUP_SECURITY_INFORMATION) != 0) &&
           RtlpValidRelativeAcl(Relative, Relative->Dacl, Bytes, (Relative->Control & SE_DACL_PRESENT) != 0,
                                (RequiredInformation & DACL_SECURITY_INFORMATION) != 0) &&
           RtlpValidRelativeAcl(Relative, Relative->Sacl, Bytes, (Relative->Control & SE_SACL_PRESENT) != 0,
                                (RequiredInformation & SACL_SECURITY_INFORMATION) != 0);
}

/* TRUE: revision and every part of a trusted descriptor (whose size is not known) are well formed. */
BOOLEAN NTAPI RtlValidSecurityDescriptor(PSECURITY_DESCRIPTOR SecurityDescriptor)
{
    RTLP_PARTS Parts;

    if (SecurityDescriptor == NULL ||
        ((PISECURITY_DESCRIPTOR)SecurityDescriptor)->Revision != SECURITY_DESCRIPTOR_REVISION) {
        return FALSE;
    }
    RtlpDecode(SecurityDescriptor, &Parts);
    return (Parts.Owner == NULL || RtlValidSid(Parts.Owner)) && (Parts.Group == NULL || RtlValidSid(Parts.Group)) &&
           (Parts.Dacl == NULL || RtlpValidAclBytes(Parts.Dacl, Parts.Dacl->AclSize)) &&
           (Parts.Sacl == NULL || RtlpValidAclBytes(Parts.Sacl, Parts.Sacl->AclSize));
}

/* Bytes of the descriptor with its parts, each rounded up to a multiple of 4. */
ULONG NTAPI RtlLengthSecurityDescriptor(PSECURITY_DESCRIPTOR SecurityDescriptor)
{
    RTLP_PARTS Parts;

    RtlpDecode(SecurityDescriptor, &Parts);
    return (ULONG)(RtlpIsRelative(SecurityDescriptor) ? sizeof(SECURITY_DESCRIPTOR_RELATIVE)
                                                      : sizeof(SECURITY_DESCRIPTOR)) +
           RtlpSidBytes(Parts.Owner) + RtlpSidBytes(Parts.Group) + RtlpAclBytes(Parts.Dacl) + RtlpAclBytes(Parts.Sacl);
}

/* ---- Reading and setting the parts ---- */

/* Setting is for absolute descriptors only. */
static NTSTATUS RtlpMaySet(PSECURITY_DESCRIPTOR Descriptor)
{
    if (((PISECURITY_DESCRIPTOR)Descriptor)->Revision != SECURITY_DESCRIPTOR_REVISION) {
        return STATUS_UNKNOWN_REVISION;
    }
    return RtlpIsRelative(Descriptor) ? STATUS_INVALID_SECURITY_DESCR : STATUS_SUCCESS;
}

static NTSTATUS RtlpMayGet(PSECURITY_DESCRIPTOR Descriptor, PRTLP_PARTS Parts, PUSHORT Control)
{
    if (((PISECURITY_DESCRIPTOR)Descriptor)->Revision != SECURITY_DESCRIPTOR_REVISION) {
        return STATUS_UNKNOWN_REVISION;
    }
    RtlpDecode(Descriptor, Parts);
    *Control = ((PISECURITY_DESCRIPTOR)Descriptor)->Control;
    return STATUS_SUCCESS;
}

/* Turns the bits of Mask on where Bits has them and off elsewhere. */
static VOID RtlpSetControl(PSECURITY_DESCRIPTOR Descriptor, USHORT Mask, USHORT Bits)
{
    PISECURITY_DESCRIPTOR Absolute = Descriptor;

    Absolute->Control = (SECURITY_DESCRIPTOR_CONTROL)((Absolute->Control & ~Mask) | Bits);
}

/**
 * RtlSetDaclSecurityDescriptor - gives an absolute descriptor an access list, or takes it away.
 *
 * @DaclPresent  FALSE: no list, the other two are ignored
 * @Dacl         not copied; NULL with DaclPresent: everybody has access
 * returns       STATUS_SUCCESS; STATUS_UNKNOWN_REVISION; STATUS_INVALID_SECURITY_DESCR (self-relative)
 */
NTSTATUS NTAPI RtlSetDaclSecurityDescriptor(PSECURITY_DESCRIPTOR SecurityDescriptor, BOOLEAN DaclPresent, PACL Dacl,
                                            BOOLEAN DaclDefaulted)
{
    NTSTATUS Status = RtlpMaySet(SecurityDescriptor);

    if (NT_SUCCESS(Status)) {
        ((PISECURITY_DESCRIPTOR)SecurityDescriptor)->Dacl = DaclPresent ? Dacl : NULL;
        RtlpSetControl(SecurityDescriptor, SE_DACL_PRESENT | SE_DACL_DEFAULTED,
                       DaclPresent ? SE_DACL_PRESENT | (DaclDefaulted ? SE_DACL_DEFAULTED : 0) : 0);
    }
    return Status;
}

/* The same for the audit list. */
NTSTATUS NTAPI RtlSetSaclSecurityDescriptor(PSECURITY_DESCRIPTOR SecurityDescriptor, BOOLEAN SaclPresent, PACL Sacl,
                                            BOOLEAN SaclDefaulted)
{
    NTSTATUS Status = RtlpMaySet(SecurityDescriptor);

    if (NT_SUCCESS(Status)) {
        ((PISECURITY_DESCRIPTOR)SecurityDescriptor)->Sacl = SaclPresent ? Sacl : NULL;
        RtlpSetControl(SecurityDescriptor, SE_SACL_PRESENT | SE_SACL_DEFAULTED,
                       SaclPresent ? SE_SACL_PRESENT | (SaclDefaulted ? SE_SACL_DEFAULTED : 0) : 0);
    }
    return Status;
}

/* Sets the owner (not copied; NULL: none). Errors as RtlSetDaclSecurityDescriptor. */
NTSTATUS NTAPI RtlSetOwnerSecurityDescriptor(PSECURITY_DESCRIPTOR SecurityDescriptor, PSID Owner,
                                             BOOLEAN OwnerDefaulted)
{
    NTSTATUS Status = RtlpMaySet(SecurityDescriptor);

    if (NT_SUCCESS(Status)) {
        ((PISECURITY_DESCRIPTOR)SecurityDescriptor)->Owner = Owner;
        RtlpSetControl(SecurityDescriptor, SE_OWNER_DEFAULTED, OwnerDefaulted ? SE_OWNER_DEFAULTED : 0);
    }
    return Status;
}

/* Sets the primary group, likewise. */
NTSTATUS NTAPI RtlSetGroupSecurityDescriptor(PSECURITY_DESCRIPTOR SecurityDescriptor, PSID Group,
                                             BOOLEAN GroupDefaulted)
{
    NTSTATUS Status = RtlpMaySet(SecurityDescriptor);

    if (NT_SUCCESS(Status)) {
        ((PISECURITY_DESCRIPTOR)SecurityDescriptor)->Group = Group;
        RtlpSetControl(SecurityDescriptor, SE_GROUP_DEFAULTED, GroupDefaulted ? SE_GROUP_DEFAULTED : 0);
    }
    return Status;
}

/* Dacl and DaclDefaulted are left alone when there is no list. STATUS_UNKNOWN_REVISION. */
NTSTATUS NTAPI RtlGetDaclSecurityDescriptor(PSECURITY_DESCRIPTOR SecurityDescriptor, PBOOLEAN DaclPresent, PACL *Dacl,
                                            PBOOLEAN DaclDefaulted)
{
    RTLP_PARTS Parts;
    USHORT Control;
    NTSTATUS Status = RtlpMayGet(SecurityDescriptor, &Parts, &Control);

    if (NT_SUCCESS(Status)) {
        *DaclPresent = (Control & SE_DACL_PRESENT) != 0;
        if (*DaclPresent) {
            *Dacl = Parts.Dacl;
            *DaclDefaulted = (Control & SE_DACL_DEFAULTED) != 0;
        }
    }
    return Status;
}

/* The same for the audit list. */
NTSTATUS NTAPI RtlGetSaclSecurityDescriptor(PSECURITY_DESCRIPTOR SecurityDescriptor, PBOOLEAN SaclPresent, PACL *Sacl,
                                            PBOOLEAN SaclDefaulted)
{
    RTLP_PARTS Parts;
    USHORT Control;
    NTSTATUS Status = RtlpMayGet(SecurityDescriptor, &Parts, &Control);

    if (NT_SUCCESS(Status)) {
        *SaclPresent = (Control & SE_SACL_PRESENT) != 0;
        if (*SaclPresent) {
            *Sacl = Parts.Sacl;
            *SaclDefaulted = (Control & SE_SACL_DEFAULTED) != 0;
        }
    }
    return Status;
}

/* The owner, NULL if there is none. STATUS_UNKNOWN_REVISION. */
NTSTATUS NTAPI RtlGetOwnerSecurityDescriptor(PSECURITY_DESCRIPTOR SecurityDescriptor, PSID *Owner,
                                             PBOOLEAN OwnerDefaulted)
{
    RTLP_PARTS Parts;
    USHORT Control;
    NTSTATUS Status = RtlpMayGet(SecurityDescriptor, &Parts, &Control);

    if (NT_SUCCESS(Status)) {
        *Owner = Parts.Owner;
        *OwnerDefaulted = (Control & SE_OWNER_DEFAULTED) != 0;
    }
    return Status;
}

/* The primary group, likewise. */
NTSTATUS NTAPI RtlGetGroupSecurityDescriptor(PSECURITY_DESCRIPTOR SecurityDescriptor, PSID *Group,
                                             PBOOLEAN GroupDefaulted)
{
    RTLP_PARTS Parts;
    USHORT Control;
    NTSTATUS Status = RtlpMayGet(SecurityDescriptor, &Parts, &Control);

    if (NT_SUCCESS(Status)) {
        *Group = Parts.Group;
        *GroupDefaulted = (Control & SE_GROUP_DEFAULTED) != 0;
    }
    return Status;
}

/* ---- From one form to the other ---- */

/* Appends a part to the block, if there is one; returns its offset. */
static ULONG RtlpAppendPart(PUCHAR Block, PULONG Used, PVOID Part, ULONG Bytes, ULONG RoundedBytes)
{
    ULONG Offset = *Used;

    if (Part == NULL) {
        return 0;
    }
    RtlCopyMemory(Block + Offset, Part, Bytes);
    RtlZeroMemory(Block + Offset + Bytes, RoundedBytes - Bytes);
    *Used += RoundedBytes;
    return Offset;
}

/**
 * RtlAbsoluteToSelfRelativeSD - packs an absolute descriptor into one block.
 *
 * @BufferLength  in: bytes at SelfRelativeSecurityDescriptor; out: bytes needed
 * returns        STATUS_SUCCESS; STATUS_BUFFER_TOO_SMALL; STATUS_BAD_DESCRIPTOR_FORMAT (it is self-relative already)
 */
NTSTATUS NTAPI RtlAbsoluteToSelfRelativeSD(PSECURITY_DESCRIPTOR AbsoluteSecurityDescriptor,
                                           PSECURITY_DESCRIPTOR SelfRelativeSecurityDescriptor, PULONG BufferLength)
{
    PISECURITY_DESCRIPTOR Absolute = AbsoluteSecurityDescriptor;
    PISECURITY_DESCRIPTOR_RELATIVE Relative = SelfRelativeSecurityDescriptor;
    ULONG Used = sizeof(*Relative), Needed;
    RTLP_PARTS Parts;

    if (RtlpIsRelative(Absolute)) {
        return STATUS_BAD_DESCRIPTOR_FORMAT;
    }
    RtlpDecode(Absolute, &Parts);
    Needed = RtlLengthSecurityDescriptor(Absolute) - (ULONG)(sizeof(*Absolute) - sizeof(*Relative));
    if (*BufferLength < Needed) {
        *BufferLength = Needed;
        return STATUS_BUFFER_TOO_SMALL;
    }
    *BufferLength = Needed;
    Relative->Revision = Absolute->Revision;
    Relative->Sbz1 = Absolute->Sbz1;
    Relative->Control = Absolute->Control | SE_SELF_RELATIVE;
    Relative->Sacl = RtlpAppendPart((PUCHAR)Relative, &Used, Parts.Sacl, (Parts.Sacl != NULL) ? Parts.Sacl->AclSize : 0,
                                    RtlpAclBytes(Parts.Sacl));
    Relative->Dacl = RtlpAppendPart((PUCHAR)Relative, &Used, Parts.Dacl, (Parts.Dacl != NULL) ? Parts.Dacl->AclSize : 0,
                                    RtlpAclBytes(Parts.Dacl));
    Relative->Owner =
        RtlpAppendPart((PUCHAR)Relative, &Used, Parts.Owner, RtlpSidBytes(Parts.Owner), RtlpSidBytes(Parts.Owner));
    Relative->Group =
        RtlpAppendPart((PUCHAR)Relative, &Used, Parts.Group, RtlpSidBytes(Parts.Group), RtlpSidBytes(Parts.Group));
    return STATUS_SUCCESS;
}

/* Notes the bytes that a part needs; FALSE: the room is too small. */
static BOOLEAN RtlpFits(PULONG Room, ULONG Needed)
{
    BOOLEAN Fits = *Room >= Needed;

    *Room = Needed;
    return Fits;
}

/* Copies a part to its own buffer; returns the buffer, NULL for no part. */
static PVOID RtlpCopyPart(PVOID Destination, PVOID Part, ULONG Bytes)
{
    if (Part != NULL) {
        RtlCopyMemory(Destination, Part, Bytes);
    }
    return (Part != NULL) ? Destination : NULL;
}

/**
 * RtlSelfRelativeToAbsoluteSD - unpacks a self-relative descriptor into five buffers.
 *
 * Each size is in: bytes there, out: bytes needed.
 * returns  STATUS_SUCCESS; STATUS_BUFFER_TOO_SMALL, with nothing written but the sizes; STATUS_BAD_DESCRIPTOR_FORMAT (not
 *          self-relative)
 */
NTSTATUS NTAPI RtlSelfRelativeToAbsoluteSD(PSECURITY_DESCRIPTOR SelfRelativeSecurityDescriptor,
                                           PSECURITY_DESCRIPTOR AbsoluteSecurityDescriptor,
                                           PULONG AbsoluteSecurityDescriptorSize, PACL Dacl, PULONG DaclSize, PACL Sacl,
                                           PULONG SaclSize, PSID Owner, PULONG OwnerSize, PSID PrimaryGroup,
                                           PULONG PrimaryGroupSize)
{
    PISECURITY_DESCRIPTOR_RELATIVE Relative = SelfRelativeSecurityDescriptor;
    PISECURITY_DESCRIPTOR Absolute = AbsoluteSecurityDescriptor;
    RTLP_PARTS Parts;
    BOOLEAN Fits;

    if (!RtlpIsRelative(Relative)) {
        return STATUS_BAD_DESCRIPTOR_FORMAT;
    }
    RtlpDecode(Relative, &Parts);
    Fits = RtlpFits(AbsoluteSecurityDescriptorSize, sizeof(*Absolute));
    Fits &= RtlpFits(DaclSize, RtlpAclBytes(Parts.Dacl));
    Fits &= RtlpFits(SaclSize, RtlpAclBytes(Parts.Sacl));
    Fits &= RtlpFits(OwnerSize, RtlpSidBytes(Parts.Owner));
    Fits &= RtlpFits(PrimaryGroupSize, RtlpSidBytes(Parts.Group));
    if (!Fits) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    Absolute->Revision = Relative->Revision;
    Absolute->Sbz1 = Relative->Sbz1;
    Absolute->Control = Relative->Control & (SECURITY_DESCRIPTOR_CONTROL)~SE_SELF_RELATIVE;
    Absolute->Owner = RtlpCopyPart(Owner, Parts.Owner, RtlpSidBytes(Parts.Owner));
    Absolute->Group = RtlpCopyPart(PrimaryGroup, Parts.Group, RtlpSidBytes(Parts.Group));
    Absolute->Dacl = RtlpCopyPart(Dacl, Parts.Dacl, (Parts.Dacl != NULL) ? Parts.Dacl->AclSize : 0);
    Absolute->Sacl = RtlpCopyPart(Sacl, Parts.Sacl, (Parts.Sacl != NULL) ? Parts.Sacl->AclSize : 0);
    return STATUS_SUCCESS;
}
