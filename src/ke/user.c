/*
 * user.c - copies between the kernel and the caller of a system service; see ntos/user.h for the rules.
 *
 * A program's memory is touched by Mm's guarded copies alone (src/mm/usercopy.c). A structure that points to others is copied
 * first and followed from the copy, so that the program cannot change a pointer after it was looked at.
 *
 * Locks: none. IRQL: <= APC_LEVEL.
 */
#include <ntos/mm.h>
#include <ntos/pool.h>
#include <ntos/user.h>

#define TAG_CAPTURE 'tpaC'

NTSTATUS ExCopyFromCaller(PVOID Destination, const VOID *Source, SIZE_T Bytes)
{
    if (ExGetPreviousMode() != KernelMode) {
        return MmCopyFromUser(Destination, Source, Bytes);
    }
    RtlCopyMemory(Destination, Source, Bytes);
    return STATUS_SUCCESS;
}

NTSTATUS ExCopyToCaller(PVOID Destination, const VOID *Source, SIZE_T Bytes)
{
    if (ExGetPreviousMode() != KernelMode) {
        return MmCopyToUser(Destination, Source, Bytes);
    }
    RtlCopyMemory(Destination, Source, Bytes);
    return STATUS_SUCCESS;
}

NTSTATUS ExCaptureString(PUNICODE_STRING Captured, const UNICODE_STRING *String)
{
    UNICODE_STRING Header = {0};
    NTSTATUS Status = String == NULL ? STATUS_SUCCESS : ExCopyFromCaller(&Header, String, sizeof(Header));

    RtlZeroMemory(Captured, sizeof(*Captured));
    if (!NT_SUCCESS(Status) || Header.Length == 0) {
        return Status;
    }
    if (Header.Length % sizeof(WCHAR) != 0) {
        return STATUS_OBJECT_NAME_INVALID;
    }
    PWSTR Buffer = ExAllocatePoolWithTag(PagedPool, Header.Length + sizeof(WCHAR), TAG_CAPTURE);
    if (Buffer == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Status = ExCopyFromCaller(Buffer, Header.Buffer, Header.Length);
    if (!NT_SUCCESS(Status)) {
        ExFreePoolWithTag(Buffer, TAG_CAPTURE);
        return Status;
    }
    Buffer[Header.Length / sizeof(WCHAR)] = 0;
    Captured->Buffer = Buffer;
    Captured->Length = Header.Length;
    Captured->MaximumLength =
        (USHORT)(Header.Length <= MAXUSHORT - sizeof(WCHAR) ? Header.Length + sizeof(WCHAR) : Header.Length);
    return STATUS_SUCCESS;
}

VOID ExFreeCapturedString(PUNICODE_STRING Captured)
{
    if (Captured->Buffer != NULL) {
        ExFreePoolWithTag(Captured->Buffer, TAG_CAPTURE);
        Captured->Buffer = NULL;
    }
}

NTSTATUS ExCaptureObjectAttributes(PEX_CAPTURED_ATTRIBUTES Captured, const OBJECT_ATTRIBUTES *Attributes)
{
    NTSTATUS Status;

    RtlZeroMemory(Captured, sizeof(*Captured));
    if (Attributes == NULL) {
        Captured->Attributes.Length = sizeof(OBJECT_ATTRIBUTES);
        return STATUS_SUCCESS;
    }
    if (ExGetPreviousMode() == KernelMode) {
        Captured->Attributes = *Attributes;
        return STATUS_SUCCESS;
    }
    Status = MmCopyFromUser(&Captured->Attributes, Attributes, sizeof(*Attributes));
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Captured->Attributes.Length != sizeof(OBJECT_ATTRIBUTES)) {
        return STATUS_INVALID_PARAMETER;
    }
    Captured->Attributes.SecurityDescriptor = NULL;
    Captured->Attributes.SecurityQualityOfService = NULL;
    Captured->Attributes.Attributes &= ~(ULONG)OBJ_KERNEL_HANDLE; /* the kernel's own handles are not for programs */
    if (Captured->Attributes.ObjectName == NULL) {
        return STATUS_SUCCESS;
    }
    Status = ExCaptureString(&Captured->Name, Captured->Attributes.ObjectName);
    Captured->Attributes.ObjectName = &Captured->Name;
    return Status;
}

VOID ExFreeCapturedAttributes(PEX_CAPTURED_ATTRIBUTES Captured)
{
    ExFreeCapturedString(&Captured->Name);
}
