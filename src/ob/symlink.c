/*
 * symlink.c - symbolic links: names that stand for other paths.
 *
 * A link's target is fixed when it is made and is an absolute path. A lookup that meets a link restarts with the target followed by
 * what remained of the path; a link that ends the path is opened itself only by someone who asks for the link type.
 * No locks: a target never changes.
 */
#include <ntos/user.h>

#include "obp.h"

POBJECT_TYPE ObpSymbolicLinkObjectType;

NTSTATUS ObpParseSymbolicLink(PVOID ParseObject, POBJECT_TYPE ObjectType, PACCESS_STATE AccessState,
                              KPROCESSOR_MODE AccessMode, ULONG Attributes, PUNICODE_STRING CompleteName,
                              PUNICODE_STRING RemainingName, PVOID Context, PVOID *Object)
{
    POBP_SYMBOLIC_LINK Link = ParseObject;
    ULONG Bytes = Link->Target.Length + RemainingName->Length;
    PWCHAR Buffer;

    UNREFERENCED_PARAMETER(ObjectType);
    UNREFERENCED_PARAMETER(AccessState);
    UNREFERENCED_PARAMETER(AccessMode);
    UNREFERENCED_PARAMETER(Attributes);
    UNREFERENCED_PARAMETER(Context);
    *Object = NULL;
    if (Bytes > MAXUSHORT - 1) {
        return STATUS_NAME_TOO_LONG;
    }
    Buffer = ExAllocatePoolWithTag(NonPagedPool, Bytes + sizeof(WCHAR), OB_TAG_NAME);
    if (Buffer == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlCopyMemory(Buffer, Link->Target.Buffer, Link->Target.Length);
    RtlCopyMemory((PUCHAR)Buffer + Link->Target.Length, RemainingName->Buffer, RemainingName->Length);
    CompleteName->Buffer = Buffer;
    CompleteName->Length = (USHORT)Bytes;
    CompleteName->MaximumLength = (USHORT)Bytes;
    return STATUS_REPARSE;
}

VOID ObpDeleteSymbolicLink(PVOID Object)
{
    POBP_SYMBOLIC_LINK Link = Object;

    if (Link->Target.Buffer != NULL) {
        ExFreePoolWithTag(Link->Target.Buffer, OB_TAG_NAME);
    }
}

NTSTATUS NTAPI NtCreateSymbolicLinkObject(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes,
                                          PUNICODE_STRING Target)
{
    UNICODE_STRING Given, Copy;
    PVOID Object;
    NTSTATUS Status = ExCaptureString(&Given, Target);

    if (NT_SUCCESS(Status)) {
        Status = ObpCaptureName(ExGetPreviousMode(), &Given, &Copy); /* nonpaged: lookups copy it under a lock */
        ExFreeCapturedString(&Given);
    }
    if (!NT_SUCCESS(Status)) {
        return Status == STATUS_OBJECT_NAME_INVALID ? STATUS_INVALID_PARAMETER : Status;
    }
    Status = ExCreateObject(ObpSymbolicLinkObjectType, Attributes, sizeof(OBP_SYMBOLIC_LINK), &Object);
    if (!NT_SUCCESS(Status)) {
        if (Copy.Buffer != NULL) {
            ExFreePoolWithTag(Copy.Buffer, OB_TAG_NAME);
        }
        return Status;
    }
    ((POBP_SYMBOLIC_LINK)Object)->Target = Copy;
    return ExInsertObject(Object, DesiredAccess, Handle);
}

NTSTATUS NTAPI NtOpenSymbolicLinkObject(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes)
{
    return ExOpenObject(ObpSymbolicLinkObjectType, Attributes, DesiredAccess, Handle);
}

/* Copies a target and, where there is room, a 0 behind it to the caller, whose string was read once. */
static NTSTATUS ObpReturnTarget(PCUNICODE_STRING From, PUNICODE_STRING Target, UNICODE_STRING Given)
{
    const WCHAR End = 0;
    NTSTATUS Status = ExCopyToCaller(Given.Buffer, From->Buffer, From->Length);

    if (NT_SUCCESS(Status) && Given.MaximumLength >= From->Length + sizeof(WCHAR)) {
        Status = ExCopyToCaller((PUCHAR)Given.Buffer + From->Length, &End, sizeof(End));
    }
    return ExReturnValue(Status, &Target->Length, &From->Length, sizeof(USHORT));
}

NTSTATUS NTAPI NtQuerySymbolicLinkObject(HANDLE Handle, PUNICODE_STRING Target, PULONG ReturnedLength)
{
    POBP_SYMBOLIC_LINK Link;
    UNICODE_STRING Given;
    ULONG Length;
    NTSTATUS Status = ExCopyFromCaller(&Given, Target, sizeof(Given));

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ObReferenceObjectByHandle(Handle, SYMBOLIC_LINK_QUERY, ObpSymbolicLinkObjectType, ExGetPreviousMode(),
                                       (PVOID *)&Link, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Length = Link->Target.Length;
    Status = ExReturnValue(STATUS_SUCCESS, ReturnedLength, &Length, sizeof(Length));
    if (NT_SUCCESS(Status)) {
        Status = Given.MaximumLength < Length ? STATUS_BUFFER_TOO_SMALL : ObpReturnTarget(&Link->Target, Target, Given);
    }
    ObfDereferenceObject(Link);
    return Status;
}
