/*
 * tokencap.c - what programs pass to the services of tokens, copied before it is believed; and the handles they get back.
 *
 * Lists have a bound (SE_MOST_GROUPS), and each SID and ACL is read whole after its length was, and looked at again: what was copied must
 * agree with the room it was given. A list with its SIDs becomes one block, so that one call frees it. The kernel's own input is
 * taken the same way. Locks: none. IRQL: PASSIVE_LEVEL.
 */
#include "../rtl/rtlsec.h"
#include "sep.h"

#include <ntos/user.h>

#define SEP_SID_ROOM 68U /* bytes of the longest SID */

VOID SepFree(PVOID Captured)
{
    if (Captured != NULL) {
        ExFreePoolWithTag(Captured, SE_TAG_PRIVILEGES);
    }
}

/* Copies one SID to room for the longest. */
static NTSTATUS SepReadSid(PSID Source, PSID Place)
{
    ULONG64 Start; /* revision, count and authority */
    NTSTATUS Status = ExCopyFromCaller(&Start, Source, sizeof(Start));
    UCHAR Count = ((const SID *)&Start)->SubAuthorityCount;

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Count > SID_MAX_SUB_AUTHORITIES) {
        return STATUS_INVALID_SID;
    }
    Status = ExCopyFromCaller(Place, Source, RtlLengthRequiredSid(Count));
    if (NT_SUCCESS(Status) && (((const SID *)Place)->SubAuthorityCount != Count || !RtlValidSid(Place))) {
        Status = STATUS_INVALID_SID; /* or it changed between the two looks */
    }
    return Status;
}

/* A caller's SID in pool. STATUS_INVALID_SID; STATUS_INSUFFICIENT_RESOURCES; what copying says. */
NTSTATUS SepCaptureSid(PSID Source, PSID *Copy)
{
    PSID New = ExAllocatePoolWithTag(PagedPool, SEP_SID_ROOM, SE_TAG_PRIVILEGES);
    NTSTATUS Status = (New == NULL) ? STATUS_INSUFFICIENT_RESOURCES : SepReadSid(Source, New);

    *Copy = NULL;
    if (NT_SUCCESS(Status)) {
        *Copy = New;
    } else {
        SepFree(New);
    }
    return Status;
}

/* Count SIDs with attributes. STATUS_INVALID_PARAMETER: too many; as SepCaptureSid. */
NTSTATUS SepCaptureSidList(const SID_AND_ATTRIBUTES *Source, ULONG Count, PSID_AND_ATTRIBUTES *Copy)
{
    PSID_AND_ATTRIBUTES List;
    PUCHAR Room;
    NTSTATUS Status;

    *Copy = NULL;
    if (Count > SE_MOST_GROUPS) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Count == 0) {
        return STATUS_SUCCESS;
    }
    List = ExAllocatePoolWithTag(PagedPool, Count * (sizeof(*List) + (SIZE_T)SEP_SID_ROOM), SE_TAG_PRIVILEGES);
    if (List == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Room = (PUCHAR)(List + Count);
    Status = ExCopyFromCaller(List, Source, Count * sizeof(*List));
    for (ULONG Index = 0; NT_SUCCESS(Status) && Index < Count; Index++) {
        Status = SepReadSid(List[Index].Sid, Room);
        List[Index].Sid = Room;
        Room += SEP_SID_ROOM;
    }
    if (!NT_SUCCESS(Status)) {
        SepFree(List);
        return Status;
    }
    *Copy = List;
    return STATUS_SUCCESS;
}

/* A list of groups; Source NULL: none. */
NTSTATUS SepCaptureGroups(const TOKEN_GROUPS *Source, PULONG Count, PSID_AND_ATTRIBUTES *Copy)
{
    NTSTATUS Status = STATUS_SUCCESS;

    *Count = 0;
    *Copy = NULL;
    if (Source != NULL) {
        Status = ExCopyFromCaller(Count, &Source->GroupCount, sizeof(*Count));
    }
    return NT_SUCCESS(Status) && Source != NULL ? SepCaptureSidList(Source->Groups, *Count, Copy) : Status;
}

/* A list of privileges; Source NULL: none. */
NTSTATUS SepCapturePrivileges(const TOKEN_PRIVILEGES *Source, PULONG Count, PLUID_AND_ATTRIBUTES *Copy)
{
    PLUID_AND_ATTRIBUTES List;
    NTSTATUS Status;

    *Count = 0;
    *Copy = NULL;
    if (Source == NULL) {
        return STATUS_SUCCESS;
    }
    Status = ExCopyFromCaller(Count, &Source->PrivilegeCount, sizeof(*Count));
    if (!NT_SUCCESS(Status) || *Count == 0) {
        return Status;
    }
    if (*Count > SE_MOST_GROUPS) {
        return STATUS_INVALID_PARAMETER;
    }
    List = ExAllocatePoolWithTag(PagedPool, *Count * sizeof(*List), SE_TAG_PRIVILEGES);
    Status = (List == NULL) ? STATUS_INSUFFICIENT_RESOURCES
                            : ExCopyFromCaller(List, Source->Privileges, *Count * sizeof(*List));
    if (NT_SUCCESS(Status)) {
        *Copy = List;
    } else {
        SepFree(List);
    }
    return Status;
}

/* A caller's ACL. STATUS_INVALID_ACL; as SepCaptureSid. */
NTSTATUS SepCaptureAcl(PACL Source, PACL *Copy)
{
    ACL Header;
    PACL New;
    NTSTATUS Status = ExCopyFromCaller(&Header, Source, sizeof(Header));

    *Copy = NULL;
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Header.AclSize < sizeof(ACL)) {
        return STATUS_INVALID_ACL;
    }
    New = ExAllocatePoolWithTag(PagedPool, Header.AclSize, SE_TAG_PRIVILEGES);
    if (New == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Status = ExCopyFromCaller(New, Source, Header.AclSize);
    if (NT_SUCCESS(Status) && (New->AclSize != Header.AclSize || !RtlpValidAclBytes(New, Header.AclSize))) {
        Status = STATUS_INVALID_ACL;
    }
    if (NT_SUCCESS(Status)) {
        *Copy = New;
    } else {
        SepFree(New);
    }
    return Status;
}

NTSTATUS SepReferenceToken(HANDLE Handle, ACCESS_MASK Access, PTOKEN *Token)
{
    return ObReferenceObjectByHandle(Handle, Access, SepTokenObjectType, ExGetPreviousMode(), (PVOID *)Token, NULL);
}

/**
 * SepReturnToken - the end of a service that made a token: a handle to it, and its descriptor if the caller gave one.
 *
 * @Token       given up in every case
 * @Attributes  captured; NULL: none
 * returns      STATUS_SUCCESS; what the descriptor, the access and the pointer say
 */
NTSTATUS SepReturnToken(PACCESS_TOKEN Token, POBJECT_ATTRIBUTES Attributes, ACCESS_MASK DesiredAccess, PHANDLE Handle)
{
    ULONG Flags = (Attributes == NULL) ? 0 : Attributes->Attributes & (OBJ_INHERIT | OBJ_KERNEL_HANDLE);
    HANDLE Opened = NULL;
    NTSTATUS Status = STATUS_SUCCESS;

    if (ExGetPreviousMode() != KernelMode) {
        Flags &= ~(ULONG)OBJ_KERNEL_HANDLE;
    }
    if (Attributes != NULL && Attributes->SecurityDescriptor != NULL) {
        Status = ObGiveSecurity(Token, Attributes->SecurityDescriptor);
    }
    if (NT_SUCCESS(Status)) { /* who makes a token has what rights he wants to it */
        Status = ObOpenObjectByPointer(Token, Flags, NULL, DesiredAccess, SepTokenObjectType, KernelMode, &Opened);
    }
    ObDereferenceObject(Token);
    return ExReturnHandle(Status, Opened, Handle);
}
