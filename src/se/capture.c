/*
 * capture.c - security descriptors of programs, copied before they are believed.
 *
 * A descriptor is a header and up to four parts that say how long they are, at addresses (absolute) or offsets (self-relative) that
 * the program chose and may change at any moment. The header is read once; each part's own header is read for its length, and the
 * part is then read whole into pool and its length looked at again: what was copied must agree with the room it was given. The
 * copies are put together to an absolute descriptor, which is checked and made self-relative.
 *
 * Locks: none. IRQL: PASSIVE_LEVEL.
 */
#include "sep.h"

#include <ntos/mm.h>

enum { SepOwner, SepGroup, SepSacl, SepDacl, SepParts };

/* Where a part is in the program: an absolute header's pointer, a relative one's offset from the header; NULL: none. */
static const VOID *SepPartAddress(const VOID *Source, const SECURITY_DESCRIPTOR *Header, ULONG Part)
{
    const SECURITY_DESCRIPTOR_RELATIVE *Relative = (const SECURITY_DESCRIPTOR_RELATIVE *)Header;
    const VOID *Pointers[SepParts] = {Header->Owner, Header->Group, Header->Sacl, Header->Dacl};

    if ((Header->Control & SE_SELF_RELATIVE) != 0) {
        ULONG Offsets[SepParts] = {Relative->Owner, Relative->Group, Relative->Sacl, Relative->Dacl};

        return Offsets[Part] == 0 ? NULL : (const UCHAR *)Source + Offsets[Part];
    }
    return Pointers[Part];
}

static BOOLEAN SepIsAcl(ULONG Part)
{
    return Part == SepSacl || Part == SepDacl;
}

/* Bytes of a part by its first eight bytes; 0: it is none. */
static ULONG SepPartBytes(ULONG Part, const VOID *Start)
{
    const ACL *Acl = Start;
    const SID *Sid = Start;

    if (SepIsAcl(Part)) {
        return Acl->AclSize < sizeof(ACL) ? 0 : Acl->AclSize;
    }
    return Sid->SubAuthorityCount > SID_MAX_SUB_AUTHORITIES ? 0 : RtlLengthRequiredSid(Sid->SubAuthorityCount);
}

static NTSTATUS SepCapturePart(const VOID *Source, ULONG Part, PVOID *Copy)
{
    ULONG64 Start; /* as long as an ACL's header, and as what tells a SID's length */
    NTSTATUS Status = MmCopyFromUser(&Start, Source, sizeof(Start));
    ULONG Bytes;

    C_ASSERT(sizeof(ACL) == sizeof(Start) && FIELD_OFFSET(SID, SubAuthority) == sizeof(Start));
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Bytes = SepPartBytes(Part, &Start);
    if (Bytes == 0) {
        return SepIsAcl(Part) ? STATUS_INVALID_ACL : STATUS_INVALID_SID;
    }
    *Copy = ExAllocatePoolWithTag(PagedPool, Bytes, SE_TAG_DESCRIPTOR);
    if (*Copy == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Status = MmCopyFromUser(*Copy, Source, Bytes);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (SepPartBytes(Part, *Copy) != Bytes) {
        return SepIsAcl(Part) ? STATUS_INVALID_ACL : STATUS_INVALID_SID; /* it changed between the two looks */
    }
    return STATUS_SUCCESS;
}

/**
 * SepCaptureUserDescriptor - a program's descriptor, of either form, as a self-relative copy.
 *
 * @Copy    gets it; SeReleaseSecurityDescriptor
 * returns  STATUS_SUCCESS; STATUS_ACCESS_VIOLATION and what else a fault was; STATUS_UNKNOWN_REVISION; STATUS_INVALID_SID;
 *          STATUS_INVALID_ACL; STATUS_INVALID_SECURITY_DESCR; STATUS_INSUFFICIENT_RESOURCES
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS SepCaptureUserDescriptor(const VOID *Source, POOL_TYPE PoolType, PSECURITY_DESCRIPTOR *Copy)
{
    SECURITY_DESCRIPTOR Header = {0}, Absolute;
    PVOID Parts[SepParts] = {NULL};
    NTSTATUS Status = MmCopyFromUser(&Header, Source, sizeof(SECURITY_DESCRIPTOR_RELATIVE));

    if (NT_SUCCESS(Status) && (Header.Control & SE_SELF_RELATIVE) == 0) {
        Status = MmCopyFromUser(&Header, Source, sizeof(Header)); /* whatever it says now is what counts */
    }
    if (NT_SUCCESS(Status) && Header.Revision != SECURITY_DESCRIPTOR_REVISION) {
        Status = STATUS_UNKNOWN_REVISION;
    }
    for (ULONG Part = 0; NT_SUCCESS(Status) && Part < SepParts; Part++) {
        const VOID *Address = SepPartAddress(Source, &Header, Part);

        if (Address != NULL) {
            Status = SepCapturePart(Address, Part, &Parts[Part]);
        }
    }
    if (NT_SUCCESS(Status)) {
        RtlCreateSecurityDescriptor(&Absolute, SECURITY_DESCRIPTOR_REVISION);
        Absolute.Control = Header.Control & ~SE_SELF_RELATIVE;
        Absolute.Owner = Parts[SepOwner];
        Absolute.Group = Parts[SepGroup];
        Absolute.Sacl = Parts[SepSacl];
        Absolute.Dacl = Parts[SepDacl];
        Status = RtlValidSecurityDescriptor(&Absolute) ? STATUS_SUCCESS : STATUS_INVALID_SECURITY_DESCR;
    }
    if (NT_SUCCESS(Status)) {
        *Copy = SeCopyDescriptor(&Absolute, PoolType);
        Status = *Copy == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
    }
    for (ULONG Part = 0; Part < SepParts; Part++) {
        if (Parts[Part] != NULL) {
            ExFreePoolWithTag(Parts[Part], SE_TAG_DESCRIPTOR);
        }
    }
    return Status;
}
