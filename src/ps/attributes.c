/*
 * attributes.c - attribute lists of NtCreateUserProcess and NtCreateThreadEx, read from their caller.
 *
 * A list is a length and entries of one size; each entry has a number, the bytes of a value, the value or its address, and a place for the length
 * that was returned. What an entry brings in is captured and referenced here, in the caller's right; what it wants back is
 * remembered as an address and written when all has succeeded (PspAnswerAttributes). PspReleaseAttributes undoes the capture, also after a
 * failure in the middle.
 *
 * Locks: none. IRQL: PASSIVE_LEVEL.
 *
 * Source: Microsoft Learn, UpdateProcThreadAttribute; the public descriptions of the services' attribute lists.
 */
#include "psp.h"

#include <ntos/services.h>
#include <ntos/user.h>

#define MOST_ATTRIBUTES 32U   /* more than there are kinds */
#define MOST_HANDLES    1024U /* of one list */

/* ---- Values that come in ---- */

static NTSTATUS TakeImageName(const PS_ATTRIBUTE *Attribute, PPSP_WISHES Wishes)
{
    if (Attribute->Size == 0 || Attribute->Size > MAXUSHORT - sizeof(WCHAR) || Attribute->Size % sizeof(WCHAR) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    Wishes->ImageName.Buffer = Attribute->ValuePtr;
    Wishes->ImageName.Length = Wishes->ImageName.MaximumLength = (USHORT)Attribute->Size;
    return STATUS_SUCCESS;
}

static NTSTATUS TakeParent(const PS_ATTRIBUTE *Attribute, PPSP_WISHES Wishes)
{
    if (Attribute->Size != sizeof(HANDLE) || Wishes->Parent != NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    return ObReferenceObjectByHandle((HANDLE)Attribute->Value, PSP_PROCESS_CREATE_PROCESS, PspProcessType,
                                     ExGetPreviousMode(), (PVOID *)&Wishes->Parent, NULL);
}

/* An array of handles, copied into pool. */
static NTSTATUS TakeHandles(const PS_ATTRIBUTE *Attribute, PHANDLE *Handles, PULONG Count)
{
    PVOID Copy;
    NTSTATUS Status;

    if (*Handles != NULL || Attribute->Size == 0 || Attribute->Size % sizeof(HANDLE) != 0 ||
        Attribute->Size > MOST_HANDLES * sizeof(HANDLE)) {
        return STATUS_INVALID_PARAMETER;
    }
    Copy = ExAllocatePoolWithTag(PagedPool, Attribute->Size, PSP_TAG_PROGRAM);
    if (Copy == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Status = ExCopyFromCaller(Copy, Attribute->ValuePtr, Attribute->Size);
    if (!NT_SUCCESS(Status)) {
        ExFreePoolWithTag(Copy, PSP_TAG_PROGRAM);
        return Status;
    }
    *Handles = Copy;
    *Count = (ULONG)(Attribute->Size / sizeof(HANDLE));
    return STATUS_SUCCESS;
}

static NTSTATUS TakeStandardHandles(const PS_ATTRIBUTE *Attribute, PPSP_WISHES Wishes)
{
    if (Attribute->Size != sizeof(Wishes->Standard)) {
        return STATUS_INVALID_PARAMETER;
    }
    Wishes->HasStandard = TRUE;
    return ExCopyFromCaller(&Wishes->Standard, Attribute->ValuePtr, sizeof(Wishes->Standard));
}

static NTSTATUS TakePriority(const PS_ATTRIBUTE *Attribute, PPSP_WISHES Wishes)
{
    if (Attribute->Size != sizeof(UCHAR)) {
        return STATUS_INVALID_PARAMETER;
    }
    return ExCopyFromCaller(&Wishes->PriorityClass, Attribute->ValuePtr, sizeof(UCHAR));
}

/* ---- Places for answers ---- */

static NTSTATUS TakeAnswer(const PS_ATTRIBUTE *Attribute, SIZE_T Bytes, PSP_ANSWER *Answer)
{
    if (Attribute->Size < Bytes) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    Answer->Place = Attribute->ValuePtr;
    Answer->Length = Attribute->ReturnLength;
    return STATUS_SUCCESS;
}

static NTSTATUS TakeProcessAttribute(const PS_ATTRIBUTE *Attribute, PPSP_WISHES Wishes)
{
    switch (Attribute->Attribute) {
    case PS_ATTRIBUTE_PARENT_PROCESS:
        return TakeParent(Attribute, Wishes);
    case PS_ATTRIBUTE_IMAGE_NAME:
        return TakeImageName(Attribute, Wishes);
    case PS_ATTRIBUTE_IMAGE_INFO:
        return TakeAnswer(Attribute, sizeof(SECTION_IMAGE_INFORMATION), &Wishes->ImageInformation);
    case PS_ATTRIBUTE_PRIORITY_CLASS:
        return TakePriority(Attribute, Wishes);
    case PS_ATTRIBUTE_STD_HANDLE_INFO:
        return TakeStandardHandles(Attribute, Wishes);
    case PS_ATTRIBUTE_HANDLE_LIST:
        return TakeHandles(Attribute, &Wishes->Handles, &Wishes->HandleCount);
    case PS_ATTRIBUTE_JOB_LIST:
        return TakeHandles(Attribute, &Wishes->Jobs, &Wishes->JobCount);
    default:
        return STATUS_NOT_SUPPORTED;
    }
}

static NTSTATUS TakeAttribute(const PS_ATTRIBUTE *Attribute, BOOLEAN ThreadOnly, PPSP_WISHES Wishes)
{
    switch (Attribute->Attribute) {
    case PS_ATTRIBUTE_CLIENT_ID:
        return TakeAnswer(Attribute, sizeof(CLIENT_ID), &Wishes->ClientId);
    case PS_ATTRIBUTE_TEB_ADDRESS:
        return TakeAnswer(Attribute, sizeof(PVOID), &Wishes->Teb);
    default:
        return ThreadOnly ? STATUS_NOT_SUPPORTED : TakeProcessAttribute(Attribute, Wishes);
    }
}

/**
 * PspCaptureAttributes - reads an attribute list.
 *
 * @List        of the caller; NULL: an empty one
 * @ThreadOnly  only what NtCreateThreadEx knows
 * @Wishes      filled in; PspReleaseAttributes is due, also after a failure
 * returns      STATUS_SUCCESS; STATUS_INVALID_PARAMETER (lengths); STATUS_INFO_LENGTH_MISMATCH (too little room for an answer);
 *              STATUS_NOT_SUPPORTED (another attribute); what handles and pointers say
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS PspCaptureAttributes(PPS_ATTRIBUTE_LIST List, BOOLEAN ThreadOnly, PPSP_WISHES Wishes)
{
    const SIZE_T First = FIELD_OFFSET(PS_ATTRIBUTE_LIST, Attributes);
    PS_ATTRIBUTE Attribute;
    SIZE_T Length = First, Count;
    NTSTATUS Status = STATUS_SUCCESS;

    RtlZeroMemory(Wishes, sizeof(*Wishes));
    if (List != NULL) {
        Status = ExCopyFromCaller(&Length, &List->TotalLength, sizeof(Length));
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Count = (Length - First) / sizeof(Attribute);
    if (Length < First || Count > MOST_ATTRIBUTES || (Length - First) % sizeof(Attribute) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    for (SIZE_T Index = 0; Index < Count && NT_SUCCESS(Status); Index++) {
        Status = ExCopyFromCaller(&Attribute, &List->Attributes[Index], sizeof(Attribute));
        if (NT_SUCCESS(Status)) {
            Status = TakeAttribute(&Attribute, ThreadOnly, Wishes);
        }
    }
    return Status;
}

VOID PspReleaseAttributes(PPSP_WISHES Wishes)
{
    if (Wishes->Parent != NULL) {
        ObDereferenceObject(Wishes->Parent);
    }
    if (Wishes->Handles != NULL) {
        ExFreePoolWithTag(Wishes->Handles, PSP_TAG_PROGRAM);
    }
    if (Wishes->Jobs != NULL) {
        ExFreePoolWithTag(Wishes->Jobs, PSP_TAG_PROGRAM);
    }
}

static NTSTATUS Answer(NTSTATUS Status, const PSP_ANSWER *Wanted, const VOID *Value, SIZE_T Bytes)
{
    Status = ExReturnValue(Status, Wanted->Place, Value, Bytes);
    return ExReturnValue(Status, Wanted->Place == NULL ? NULL : Wanted->Length, &Bytes, sizeof(Bytes));
}

/* Writes what the attributes want to know. ImageInformation: NULL for a thread. What pointers say. */
NTSTATUS PspAnswerAttributes(const PSP_WISHES *Wishes, PETHREAD Thread,
                             const SECTION_IMAGE_INFORMATION *ImageInformation)
{
    NTSTATUS Status = Answer(STATUS_SUCCESS, &Wishes->ClientId, &Thread->Cid, sizeof(Thread->Cid));

    Status = Answer(Status, &Wishes->Teb, &Thread->Tcb.Teb, sizeof(PVOID));
    if (ImageInformation != NULL) {
        Status = Answer(Status, &Wishes->ImageInformation, ImageInformation, sizeof(*ImageInformation));
    }
    return Status;
}

/* Jobs and priority of a new process, before it has a thread. What handles and jobs say. */
NTSTATUS PspApplyWishes(const PSP_WISHES *Wishes, PEPROCESS Process)
{
    NTSTATUS Status = STATUS_SUCCESS;

    for (ULONG Index = 0; NT_SUCCESS(Status) && Index < Wishes->JobCount; Index++) {
        struct _PSP_JOB *Job;

        Status = PspReferenceJob(Wishes->Jobs[Index], JOB_OBJECT_ASSIGN_PROCESS, &Job);
        if (NT_SUCCESS(Status)) {
            Status = PspJoinJob(Job, Process);
            ObDereferenceObject(Job);
        }
    }
    if (NT_SUCCESS(Status) && Wishes->PriorityClass != 0) {
        PspSetPriorityClass(Process, Wishes->PriorityClass);
    }
    return Status;
}
