/*
 * sectsvc.c - the services of section objects: NtCreateSection, NtOpenSection, NtExtendSection, NtQuerySection.
 *
 * What the caller points to is captured once, before anything is decided, and answers are written last. Views are in userview.c.
 *
 * IRQL: PASSIVE_LEVEL. Locks: PFN lock for a section's size.
 *
 * Source: ZwCreateSection and ZwOpenSection in the Windows driver documentation.
 */
#include "../misection.h"
#include "../miprocess.h"
#include <ntos/ob.h>
#include <ntos/user.h>

/* Gives the caller a handle's value; the handle goes again if its place cannot be written. */
static NTSTATUS MiReturnHandle(PHANDLE Place, HANDLE Handle)
{
    NTSTATUS Status = ExCopyToCaller(Place, &Handle, sizeof(Handle));

    if (!NT_SUCCESS(Status)) {
        NtClose(Handle);
    }
    return Status;
}

/**
 * NtCreateSection - creates a section object and opens a handle to it; see MmCreateSection.
 *
 * @SectionHandle  receives it
 *
 * IRQL: PASSIVE_LEVEL. Fails: as MmCreateSection, what inserting an object gives, STATUS_ACCESS_VIOLATION (the pointers).
 */
NTSTATUS NTAPI NtCreateSection(PHANDLE SectionHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                               PLARGE_INTEGER MaximumSize, ULONG SectionPageProtection, ULONG AllocationAttributes,
                               HANDLE FileHandle)
{
    EX_CAPTURED_ATTRIBUTES Captured;
    LARGE_INTEGER Size = {.QuadPart = 0};
    NTSTATUS Status = STATUS_SUCCESS;
    HANDLE Handle = NULL;
    PVOID Section;

    ASSERT_IRQL(PASSIVE_LEVEL);
    if (MaximumSize != NULL) {
        Status = ExCopyFromCaller(&Size, MaximumSize, sizeof(Size));
    }
    if (NT_SUCCESS(Status)) {
        Status = ExCaptureObjectAttributes(&Captured, ObjectAttributes);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = MmCreateSection(&Section, DesiredAccess, ObjectAttributes == NULL ? NULL : &Captured.Attributes, &Size,
                             SectionPageProtection, AllocationAttributes, FileHandle, NULL);
    if (NT_SUCCESS(Status)) {
        Status = ObInsertObject(Section, NULL, DesiredAccess, 0, NULL, &Handle);
    }
    ExFreeCapturedAttributes(&Captured);
    if (NT_SUCCESS(Status)) {
        NTSTATUS Returned = MiReturnHandle(SectionHandle, Handle);

        Status = NT_SUCCESS(Returned) ? Status : Returned;
    }
    return Status;
}

/* A handle to a section that has a name. IRQL: PASSIVE_LEVEL. */
NTSTATUS NTAPI NtOpenSection(PHANDLE SectionHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes)
{
    EX_CAPTURED_ATTRIBUTES Captured;
    NTSTATUS Status = ExCaptureObjectAttributes(&Captured, ObjectAttributes);
    HANDLE Handle = NULL;

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ObOpenObjectByName(ObjectAttributes == NULL ? NULL : &Captured.Attributes, MmSectionObjectType,
                                ExGetPreviousMode(), NULL, DesiredAccess, NULL, &Handle);
    ExFreeCapturedAttributes(&Captured);
    return NT_SUCCESS(Status) ? MiReturnHandle(SectionHandle, Handle) : Status;
}

static NTSTATUS MiReferenceSection(HANDLE Handle, ACCESS_MASK Access, PSECTION *Section)
{
    return ObReferenceObjectByHandle(Handle, Access, MmSectionObjectType, ExGetPreviousMode(), (PVOID *)Section, NULL);
}

/* ---- Extending ---- */

/* A section over a file grows up to the file's size; files themselves are not made longer. */
static NTSTATUS MiExtendSection(PSECTION Section, PULONG64 Bytes)
{
    PCONTROL_AREA ControlArea = Section->ControlArea;
    ULONG64 FileSize;
    NTSTATUS Status;
    KIRQL Irql;

    if (ControlArea == NULL || ControlArea->FileObject == NULL || ControlArea->Image != NULL) {
        return STATUS_SECTION_NOT_EXTENDED;
    }
    FileSize = (ULONG64)((PFSRTL_COMMON_FCB_HEADER)ControlArea->FileObject->FsContext)->FileSize.QuadPart;
    if (*Bytes > FileSize) {
        return STATUS_SECTION_NOT_EXTENDED;
    }
    Status = MmExtendDataSection(ControlArea, *Bytes);
    if (NT_SUCCESS(Status)) {
        MmSetDataSectionFileSize(ControlArea, FileSize);
        Irql = MiLockPfn();
        Section->Bytes = max(Section->Bytes, *Bytes);
        *Bytes = Section->Bytes;
        MiUnlockPfn(Irql);
    }
    return Status;
}

/**
 * NtExtendSection - makes a section over a file longer; views that are mapped stay as they are.
 *
 * @SectionHandle   with SECTION_EXTEND_SIZE
 * @NewSectionSize  bytes, at most the file's size; out: what the section has, which is never less than before
 *
 * IRQL: PASSIVE_LEVEL. Fails: STATUS_SECTION_NOT_EXTENDED (no file, an image, past the end of the file),
 * STATUS_INSUFFICIENT_RESOURCES, what a bad handle or pointer gives.
 */
NTSTATUS NTAPI NtExtendSection(HANDLE SectionHandle, PLARGE_INTEGER NewSectionSize)
{
    ULONG64 Bytes;
    PSECTION Section;
    NTSTATUS Status = ExCopyFromCaller(&Bytes, NewSectionSize, sizeof(Bytes));

    ASSERT_IRQL(PASSIVE_LEVEL);
    if (NT_SUCCESS(Status)) {
        Status = MiReferenceSection(SectionHandle, SECTION_EXTEND_SIZE, &Section);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = MiExtendSection(Section, &Bytes);
    ObDereferenceObject(Section);
    return NT_SUCCESS(Status) ? ExCopyToCaller(NewSectionSize, &Bytes, sizeof(Bytes)) : Status;
}

/* ---- Querying ---- */

typedef union _MI_SECTION_ANSWER {
    SECTION_BASIC_INFORMATION Basic;
    SECTION_IMAGE_INFORMATION Image;
    ULONG64 Value;
} MI_SECTION_ANSWER, *PMI_SECTION_ANSWER;

static SIZE_T MiSectionAnswerSize(SECTION_INFORMATION_CLASS Class)
{
    switch (Class) {
    case SectionBasicInformation:
        return sizeof(SECTION_BASIC_INFORMATION);
    case SectionImageInformation:
        return sizeof(SECTION_IMAGE_INFORMATION);
    case SectionRelocationInformation:
    case SectionOriginalBaseInformation:
        return sizeof(ULONG64);
    default:
        return 0;
    }
}

static NTSTATUS MiDescribeSection(PSECTION Section, SECTION_INFORMATION_CLASS Class, PMI_SECTION_ANSWER Answer)
{
    PCONTROL_AREA ControlArea = Section->ControlArea; /* NULL: physical memory */
    PMI_IMAGE Image = ControlArea == NULL ? NULL : ControlArea->Image;

    RtlZeroMemory(Answer, sizeof(*Answer));
    if (Class == SectionBasicInformation) {
        Answer->Basic.AllocationAttributes =
            Section->Attributes |
            (ControlArea != NULL && ControlArea->FileObject != NULL ? (ULONG)SEC_FILE
                                                                    : 0); /* as Windows: SEC_FILE marks a file's */
        Answer->Basic.MaximumSize.QuadPart = (LONGLONG)Section->Bytes;
        return STATUS_SUCCESS;
    }
    if (Image == NULL) {
        return STATUS_SECTION_NOT_IMAGE;
    }
    if (Class == SectionImageInformation) {
        Answer->Image = Image->Information;
    } else {
        Answer->Value = Class == SectionRelocationInformation ? Image->Delta : Image->Header.ImageBase;
    }
    return STATUS_SUCCESS;
}

BOOLEAN MmIsImageSection(PVOID SectionObject)
{
    PCONTROL_AREA ControlArea = ((PSECTION)SectionObject)->ControlArea; /* NULL: physical memory */

    return ControlArea != NULL && ControlArea->Image != NULL;
}

PFILE_OBJECT MmImageFileOfSection(PVOID SectionObject)
{
    return MmIsImageSection(SectionObject) ? ((PSECTION)SectionObject)->ControlArea->FileObject : NULL;
}

VOID MmQueryImageSection(PVOID SectionObject, PSECTION_IMAGE_INFORMATION Information, PULONG EntryRva)
{
    PMI_IMAGE Image = ((PSECTION)SectionObject)->ControlArea->Image;

    ASSERT(Image != NULL);
    *Information = Image->Information;
    *EntryRva = Image->Header.EntryRva;
}

/**
 * NtQuerySection - tells what a section is.
 *
 * @SectionHandle  with SECTION_QUERY
 * @Class          SectionBasicInformation; of images: SectionImageInformation, SectionRelocationInformation,
 *                 SectionOriginalBaseInformation
 * @ReturnLength   receives the bytes written; may be NULL
 *
 * IRQL: PASSIVE_LEVEL. Fails: STATUS_INVALID_INFO_CLASS, STATUS_INFO_LENGTH_MISMATCH (buffer too small),
 * STATUS_SECTION_NOT_IMAGE, what a bad handle or pointer gives.
 */
NTSTATUS NTAPI NtQuerySection(HANDLE SectionHandle, SECTION_INFORMATION_CLASS Class, PVOID Buffer, SIZE_T Length,
                              PSIZE_T ReturnLength)
{
    SIZE_T Bytes = MiSectionAnswerSize(Class);
    MI_SECTION_ANSWER Answer;
    PSECTION Section;
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    if (Bytes == 0) {
        return STATUS_INVALID_INFO_CLASS;
    }
    if (Length < Bytes) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    Status = MiReferenceSection(SectionHandle, SECTION_QUERY, &Section);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = MiDescribeSection(Section, Class, &Answer);
    ObDereferenceObject(Section);
    if (NT_SUCCESS(Status)) {
        Status = ExCopyToCaller(Buffer, &Answer, Bytes);
    }
    if (NT_SUCCESS(Status) && ReturnLength != NULL) {
        Status = ExCopyToCaller(ReturnLength, &Bytes, sizeof(Bytes));
    }
    return Status;
}
