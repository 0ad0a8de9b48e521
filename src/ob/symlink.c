/*
 * symlink.c - symbolic links: names that stand for other paths.
 *
 * A link's target is fixed when it is made and is an absolute path. A lookup that meets a link restarts with the target followed by
 * what remained of the path; a link that ends the path is opened itself only by someone who asks for the link type.
 * No locks: a target never changes.
 */
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
    KPROCESSOR_MODE Mode = ExGetPreviousMode();
    UNICODE_STRING Copy;
    PVOID Object;
    NTSTATUS Status;

    Status = ObpCaptureName(Mode, Target, &Copy);
    if (!NT_SUCCESS(Status)) {
        return STATUS_INVALID_PARAMETER;
    }
    Status = ObCreateObject(Mode, ObpSymbolicLinkObjectType, Attributes, Mode, NULL, sizeof(OBP_SYMBOLIC_LINK), 0, 0,
                            &Object);
    if (!NT_SUCCESS(Status)) {
        if (Copy.Buffer != NULL) {
            ExFreePoolWithTag(Copy.Buffer, OB_TAG_NAME);
        }
        return Status;
    }
    ((POBP_SYMBOLIC_LINK)Object)->Target = Copy;
    return ObInsertObject(Object, NULL, DesiredAccess, 0, NULL, Handle);
}

NTSTATUS NTAPI NtOpenSymbolicLinkObject(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes)
{
    return ObOpenObjectByName(Attributes, ObpSymbolicLinkObjectType, ExGetPreviousMode(), NULL, DesiredAccess, NULL,
                              Handle);
}

NTSTATUS NTAPI NtQuerySymbolicLinkObject(HANDLE Handle, PUNICODE_STRING Target, PULONG ReturnedLength)
{
    POBP_SYMBOLIC_LINK Link;
    NTSTATUS Status;

    Status = ObReferenceObjectByHandle(Handle, SYMBOLIC_LINK_QUERY, ObpSymbolicLinkObjectType, ExGetPreviousMode(),
                                       (PVOID *)&Link, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (ReturnedLength != NULL) {
        *ReturnedLength = Link->Target.Length;
    }
    if (Target->MaximumLength < Link->Target.Length) {
        Status = STATUS_BUFFER_TOO_SMALL;
    } else {
        RtlCopyMemory(Target->Buffer, Link->Target.Buffer, Link->Target.Length);
        Target->Length = Link->Target.Length;
        if (Target->MaximumLength >= Target->Length + sizeof(WCHAR)) {
            Target->Buffer[Target->Length / sizeof(WCHAR)] = 0;
        }
    }
    ObfDereferenceObject(Link);
    return Status;
}
