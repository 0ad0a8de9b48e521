/*
 * sectobj.c - section objects: what a driver creates, maps with MmMapViewInSystemSpace and closes.
 *
 * A section object is a handle-able, counted open of a control area. Over a file it opens the file's data section, the very one
 * that the cache manager uses, so that both see the same frames. Without a file the control area is its own: its prototype PTEs start
 * as demand zero, its frames are born modified and stay in memory until the section goes, for there is no page file yet (docs/limits.md).
 *
 * Locks: PFN lock for counts. IRQL: <= APC_LEVEL; PASSIVE_LEVEL where objects are made.
 */
#include "misection.h"
#include "miprocess.h"
#include <ntos/ob.h>

POBJECT_TYPE MmSectionObjectType;

static VOID MiCountUserSection(PCONTROL_AREA ControlArea, LONG Delta)
{
    KIRQL OldIrql = MiLockPfn();

    ControlArea->UserSections = (ULONG)((LONG)ControlArea->UserSections + Delta);
    MiUnlockPfn(OldIrql);
}

static VOID MiDeleteSection(PVOID Object)
{
    PSECTION Section = Object;

    if (Section->ControlArea != NULL) {
        MiCountUserSection(Section->ControlArea, -1);
        MiDereferenceControlArea(Section->ControlArea);
    }
}

NTSTATUS MiInitializeSectionObjects(VOID)
{
    static const OBJECT_TYPE_INITIALIZER Initializer = {
        .Name = L"Section",
        .GenericMapping = {STANDARD_RIGHTS_READ | SECTION_QUERY | SECTION_MAP_READ,
                           STANDARD_RIGHTS_WRITE | SECTION_MAP_WRITE, STANDARD_RIGHTS_EXECUTE | SECTION_MAP_EXECUTE,
                           SECTION_ALL_ACCESS},
        .ValidAccess = SECTION_ALL_ACCESS,
        .PoolTag = 'tceS',
        .WaitOffset = OB_NOT_WAITABLE,
        .DeleteProcedure = MiDeleteSection,
    };

    return ObCreateObjectType(&Initializer, &MmSectionObjectType);
}

/* The control area of a new section, referenced. */
static NTSTATUS MiOpenControlArea(PFILE_OBJECT FileObject, ULONG64 Bytes, PCONTROL_AREA *ControlArea)
{
    NTSTATUS Status;

    if (FileObject == NULL) {
        return MiCreatePageFileControlArea(Bytes, ControlArea);
    }
    Status = MmOpenDataSection(FileObject, Bytes, ControlArea);
    if (NT_SUCCESS(Status)) {
        Status = MmExtendDataSection(*ControlArea, Bytes);
        MmSetDataSectionFileSize(*ControlArea,
                                 (ULONG64)((PFSRTL_COMMON_FCB_HEADER)FileObject->FsContext)->FileSize.QuadPart);
        if (!NT_SUCCESS(Status)) {
            MmCloseDataSection(*ControlArea);
        }
    }
    return Status;
}

/* How large a section over a file is: what was asked, at most the file; the size of the file if nothing was asked. */
static NTSTATUS MiSizeOfFileSection(PFILE_OBJECT FileObject, PULONG64 Bytes)
{
    PFSRTL_COMMON_FCB_HEADER Header = FileObject->FsContext;
    ULONG64 FileSize;

    if (FileObject->SectionObjectPointer == NULL || Header == NULL) {
        return STATUS_INVALID_FILE_FOR_SECTION;
    }
    FileSize = (ULONG64)Header->FileSize.QuadPart;
    if (FileSize == 0) {
        return STATUS_MAPPED_FILE_SIZE_ZERO;
    }
    if (*Bytes > FileSize) {
        return STATUS_SECTION_TOO_BIG;
    }
    *Bytes = *Bytes == 0 ? FileSize : *Bytes;
    return STATUS_SUCCESS;
}

/**
 * MmCreateSection - creates a section object.
 *
 * @SectionObject  receives the object, referenced
 * @MaximumSize    bytes; for a file at most its size, 0: the file's size
 * @Protection     PAGE_...: the most that views may have; a file's data is never written, so its views are read or copied on write
 * @Attributes     SEC_COMMIT
 * @FileHandle     NULL: @File says, or there is no file
 * @File           the file, with its SectionObjectPointer set; its size comes from its FCB header
 *
 * IRQL: PASSIVE_LEVEL. Fails: STATUS_INVALID_PARAMETER_4 (size 0 without a file), STATUS_INVALID_PAGE_PROTECTION,
 * STATUS_INVALID_PARAMETER_6 (attributes), STATUS_SECTION_TOO_BIG (larger than the file), STATUS_MAPPED_FILE_SIZE_ZERO,
 * STATUS_INVALID_FILE_FOR_SECTION, STATUS_INSUFFICIENT_RESOURCES, and what a bad handle gives.
 */
NTSTATUS NTAPI MmCreateSection(PVOID *SectionObject, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                               PLARGE_INTEGER MaximumSize, ULONG Protection, ULONG Attributes, HANDLE FileHandle,
                               PFILE_OBJECT File)
{
    ULONG64 Bytes = MaximumSize == NULL ? 0 : (ULONG64)MaximumSize->QuadPart;
    PFILE_OBJECT FileObject = File;
    PCONTROL_AREA ControlArea;
    PSECTION Section;
    ULONG Maximum;
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    if (Attributes != SEC_COMMIT) {
        return STATUS_INVALID_PARAMETER_6;
    }
    if (FileHandle != NULL) {
        Status = ObReferenceObjectByHandle(FileHandle, FILE_READ_DATA, *IoFileObjectType, ExGetPreviousMode(),
                                           (PVOID *)&FileObject, NULL);
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
    }
    Maximum = MiMakeProtection(Protection);
    if (Maximum == MM_INVALID_PROTECTION || (Maximum & ~7u) != 0) {
        Status = STATUS_INVALID_PAGE_PROTECTION;
    } else if (FileObject != NULL && (Maximum & 5) == MM_READWRITE) {
        Status = STATUS_INVALID_PAGE_PROTECTION;
    } else if (FileObject == NULL) {
        Status = Bytes == 0 ? STATUS_INVALID_PARAMETER_4 : STATUS_SUCCESS;
    } else {
        Status = MiSizeOfFileSection(FileObject, &Bytes);
    }
    if (NT_SUCCESS(Status)) {
        Status = MiOpenControlArea(FileObject, Bytes, &ControlArea);
    }
    if (NT_SUCCESS(Status)) {
        Status = ObCreateObject(ExGetPreviousMode(), MmSectionObjectType, ObjectAttributes, ExGetPreviousMode(), NULL,
                                sizeof(*Section), 0, 0, (PVOID *)&Section);
        if (NT_SUCCESS(Status)) {
            Section->ControlArea = ControlArea;
            Section->Bytes = Bytes;
            Section->Protection = Maximum;
            Section->Attributes = Attributes;
            MiCountUserSection(ControlArea, 1);
            *SectionObject = Section;
        } else {
            MiDereferenceControlArea(ControlArea);
        }
    }
    if (FileHandle != NULL) {
        ObDereferenceObject(FileObject);
    }
    return Status;
}

/**
 * NtCreateSection - the same with a handle.
 *
 * @SectionHandle  receives it
 *
 * IRQL: PASSIVE_LEVEL. Fails: as MmCreateSection, and what inserting an object gives.
 */
NTSTATUS NTAPI NtCreateSection(PHANDLE SectionHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                               PLARGE_INTEGER MaximumSize, ULONG SectionPageProtection, ULONG AllocationAttributes,
                               HANDLE FileHandle)
{
    LARGE_INTEGER Size = {.QuadPart = 0};
    NTSTATUS Status = STATUS_SUCCESS;
    PVOID Section;

    ASSERT_IRQL(PASSIVE_LEVEL);
    if (MaximumSize != NULL) {
        Status = MiCaptureBytes(&Size, MaximumSize, sizeof(Size));
    }
    if (NT_SUCCESS(Status)) {
        Status = MmCreateSection(&Section, DesiredAccess, ObjectAttributes, &Size, SectionPageProtection,
                                 AllocationAttributes, FileHandle, NULL);
    }
    return NT_SUCCESS(Status) ? ObInsertObject(Section, NULL, DesiredAccess, 0, NULL, SectionHandle) : Status;
}

/* A handle to a section that has a name. IRQL: PASSIVE_LEVEL. */
NTSTATUS NTAPI NtOpenSection(PHANDLE SectionHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes)
{
    return ObOpenObjectByName(ObjectAttributes, MmSectionObjectType, ExGetPreviousMode(), NULL, DesiredAccess, NULL,
                              SectionHandle);
}
