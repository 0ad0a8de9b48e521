/*
 * user.c - copies between the kernel and the caller of a system service; see ntos/user.h for the rules.
 *
 * A program's memory is touched by Mm's guarded copies alone (src/mm/virtual/usercopy.c). A structure that points to others is copied
 * first and followed from the copy, so that the program cannot change a pointer after it was looked at.
 *
 * Locks: none. IRQL: <= APC_LEVEL.
 */
#include <ntos/mm.h>
#include <ntos/ob.h>
#include <ntos/pool.h>
#include <ntos/se.h>
#include <ntos/user.h>

#define TAG_CAPTURE  'tpaC'
#define ANSWER_BEGIN 4096U /* what most answers fit in */

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
        Captured->Quality = Attributes->SecurityQualityOfService;
        Captured->Address = &Captured->Attributes;
        return STATUS_SUCCESS;
    }
    Status = MmCopyFromUser(&Captured->Attributes, Attributes, sizeof(*Attributes));
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Captured->Attributes.Length != sizeof(OBJECT_ATTRIBUTES)) {
        return STATUS_INVALID_PARAMETER;
    }
    Captured->Quality = Captured->Attributes.SecurityQualityOfService;
    Captured->Attributes.SecurityQualityOfService = NULL;
    Captured->Attributes.Attributes &= ~(ULONG)OBJ_KERNEL_HANDLE; /* the kernel's own handles are not for programs */
    Captured->Address = &Captured->Attributes;
    if (Captured->Attributes.ObjectName != NULL) {
        Status = ExCaptureString(&Captured->Name, Captured->Attributes.ObjectName);
        Captured->Attributes.ObjectName = &Captured->Name;
    }
    if (NT_SUCCESS(Status)) {
        Status = SeCaptureSecurityDescriptor(Captured->Attributes.SecurityDescriptor, UserMode, PagedPool, TRUE,
                                             &Captured->Descriptor);
        Captured->Attributes.SecurityDescriptor = Captured->Descriptor;
    }
    if (!NT_SUCCESS(Status)) {
        ExFreeCapturedAttributes(Captured);
    }
    return Status;
}

VOID ExFreeCapturedAttributes(PEX_CAPTURED_ATTRIBUTES Captured)
{
    ExFreeCapturedString(&Captured->Name);
    SeReleaseSecurityDescriptor(Captured->Descriptor, UserMode, TRUE);
    Captured->Descriptor = NULL;
}

/* ---- Results ---- */

NTSTATUS ExReturnHandle(NTSTATUS Status, HANDLE Opened, PHANDLE Handle)
{
    if (NT_SUCCESS(Status)) {
        NTSTATUS Copied = ExCopyToCaller(Handle, &Opened, sizeof(Opened));

        if (!NT_SUCCESS(Copied)) {
            ObCloseHandle(Opened, ExGetPreviousMode());
            return Copied;
        }
    }
    return Status;
}

NTSTATUS ExCreateObject(POBJECT_TYPE Type, POBJECT_ATTRIBUTES Attributes, ULONG Bytes, PVOID *Object)
{
    EX_CAPTURED_ATTRIBUTES Captured;
    NTSTATUS Status = ExCaptureObjectAttributes(&Captured, Attributes);

    if (NT_SUCCESS(Status)) {
        Status =
            ObCreateObject(ExGetPreviousMode(), Type, Captured.Address, ExGetPreviousMode(), NULL, Bytes, 0, 0, Object);
        ExFreeCapturedAttributes(&Captured);
    }
    return Status;
}

NTSTATUS ExInsertObject(PVOID Object, ACCESS_MASK DesiredAccess, PHANDLE Handle)
{
    HANDLE Opened = NULL;
    NTSTATUS Status = ObInsertObject(Object, NULL, DesiredAccess, 0, NULL, &Opened);

    return ExReturnHandle(Status, Opened, Handle);
}

NTSTATUS ExOpenObject(POBJECT_TYPE Type, POBJECT_ATTRIBUTES Attributes, ACCESS_MASK DesiredAccess, PHANDLE Handle)
{
    EX_CAPTURED_ATTRIBUTES Captured;
    HANDLE Opened = NULL;
    NTSTATUS Status = ExCaptureObjectAttributes(&Captured, Attributes);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ObOpenObjectByName(Captured.Address, Type, ExGetPreviousMode(), NULL, DesiredAccess, NULL, &Opened);
    ExFreeCapturedAttributes(&Captured);
    return ExReturnHandle(Status, Opened, Handle);
}

NTSTATUS ExReturnValue(NTSTATUS Status, PVOID Place, const VOID *Value, SIZE_T Bytes)
{
    if (NT_SUCCESS(Status) && Place != NULL) {
        NTSTATUS Copied = ExCopyToCaller(Place, Value, Bytes);

        return NT_SUCCESS(Copied) ? Status : Copied;
    }
    return Status;
}

NTSTATUS ExProbeForWrite(PVOID Place, SIZE_T Bytes)
{
    if (ExGetPreviousMode() == KernelMode) {
        return STATUS_SUCCESS;
    }
    __try {
        ProbeForWrite(Place, Bytes, 1);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return GetExceptionCode();
    }
    return STATUS_SUCCESS;
}

/* ---- Buffers ---- */

NTSTATUS ExCaptureBuffer(PVOID *Captured, const VOID *Source, SIZE_T Bytes)
{
    NTSTATUS Status;

    if (ExGetPreviousMode() == KernelMode) {
        *Captured = (PVOID)(ULONG_PTR)Source;
        return STATUS_SUCCESS;
    }
    *Captured = NULL;
    if (Bytes == 0) {
        return STATUS_SUCCESS;
    }
    if (!MmIsUserRange(Source, Bytes)) {
        return STATUS_ACCESS_VIOLATION;
    }
    *Captured = ExAllocatePoolWithTag(PagedPool, Bytes, TAG_CAPTURE);
    if (*Captured == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Status = MmCopyFromUser(*Captured, Source, Bytes);
    if (!NT_SUCCESS(Status)) {
        ExFreePoolWithTag(*Captured, TAG_CAPTURE);
        *Captured = NULL;
    }
    return Status;
}

VOID ExFreeCapturedBuffer(PVOID Captured, const VOID *Source)
{
    if (Captured != NULL && Captured != Source) {
        ExFreePoolWithTag(Captured, TAG_CAPTURE);
    }
}

/* Gives an answer that is copied its pool. Zeros: what a service leaves out must not be the pool's last content. */
static NTSTATUS ExpAllocateAnswer(PEX_ANSWER Answer, ULONG Bytes)
{
    Answer->Buffer = ExAllocatePoolWithTag(PagedPool, Bytes, TAG_CAPTURE);
    if (Answer->Buffer == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(Answer->Buffer, Bytes);
    Answer->Length = Bytes;
    Answer->Bias = (ULONG64)Answer->Target - (ULONG64)Answer->Buffer;
    return STATUS_SUCCESS;
}

NTSTATUS ExBeginAnswer(PEX_ANSWER Answer, PVOID Target, ULONG Length)
{
    RtlZeroMemory(Answer, sizeof(*Answer));
    Answer->Target = Answer->Buffer = Target;
    Answer->Whole = Answer->Length = Length;
    if (ExGetPreviousMode() == KernelMode || Length == 0) {
        return STATUS_SUCCESS;
    }
    if (!MmIsUserRange(Target, Length)) {
        return STATUS_ACCESS_VIOLATION;
    }
    Answer->Copying = TRUE;
    return ExpAllocateAnswer(Answer, min(Length, ANSWER_BEGIN));
}

BOOLEAN ExGrowAnswer(PEX_ANSWER Answer, PNTSTATUS Status, ULONG Needed)
{
    if (!Answer->Copying || Needed <= Answer->Length || Answer->Length == Answer->Whole) {
        return FALSE;
    }
    ExFreePoolWithTag(Answer->Buffer, TAG_CAPTURE);
    *Status = ExpAllocateAnswer(Answer, min(Answer->Whole, Needed));
    return NT_SUCCESS(*Status);
}

NTSTATUS ExEndAnswer(PEX_ANSWER Answer, NTSTATUS Status, ULONG Bytes)
{
    if (!Answer->Copying || Answer->Buffer == NULL) {
        return Status;
    }
    if (!NT_ERROR(Status)) {
        NTSTATUS Copied = MmCopyToUser(Answer->Target, Answer->Buffer, min(Bytes, Answer->Length));

        Status = NT_SUCCESS(Copied) ? Status : Copied;
    }
    ExFreePoolWithTag(Answer->Buffer, TAG_CAPTURE);
    return Status;
}
