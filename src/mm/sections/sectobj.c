/*
 * sectobj.c - section objects: what a driver creates, maps with MmMapViewInSystemSpace and closes.
 *
 * A section object is a handle-able, counted open of a control area. Over a file it opens the file's data section, the very one
 * that the cache manager uses, so that both see the same frames. Without a file the control area is its own: its prototype PTEs start
 * as demand zero, its frames are born modified and stay in memory until the section goes, for there is no page file yet (docs/limits.md).
 *
 * Locks: PFN lock for counts. IRQL: <= APC_LEVEL; PASSIVE_LEVEL where objects are made.
 */
#include "../misection.h"
#include "../miprocess.h"
#include <ntos/ob.h>

#define MI_SECTION_KINDS (SEC_COMMIT | SEC_RESERVE | SEC_IMAGE)
#define MI_SECTION_CACHE (SEC_NOCACHE | SEC_WRITECOMBINE)

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

NTSTATUS MiOpenFileControlArea(PFILE_OBJECT FileObject, ULONG64 Bytes, PCONTROL_AREA *ControlArea)
{
    NTSTATUS Status = MmOpenDataSection(FileObject, Bytes, ControlArea);

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

/* ---- Creation ---- */

/* What is wanted of a new section. */
typedef struct _MI_NEW_SECTION {
    ULONG64 Bytes;
    ULONG Attributes;
    ULONG Protection; /* MM_... */
    PFILE_OBJECT FileObject;
} MI_NEW_SECTION, *PMI_NEW_SECTION;

/* One kind, and modifiers that go with it and with one another. */
static BOOLEAN MiAttributesAreValid(ULONG Attributes)
{
    ULONG Kind = Attributes & MI_SECTION_KINDS, Cache = Attributes & MI_SECTION_CACHE;

    if ((Attributes & SEC_LARGE_PAGES) != 0) {
        return Attributes == (SEC_LARGE_PAGES | SEC_COMMIT);
    }
    if ((Attributes & ~(MI_SECTION_KINDS | MI_SECTION_CACHE)) != 0 || Kind == 0 || (Kind & (Kind - 1)) != 0) {
        return FALSE;
    }
    return Cache == 0 || (Kind != SEC_IMAGE && (Cache & (Cache - 1)) == 0);
}

/* Everything that can be told without a file. */
static NTSTATUS MiDecodeSection(ULONG Protection, PMI_NEW_SECTION New)
{
    if (!MiAttributesAreValid(New->Attributes)) {
        return STATUS_INVALID_PARAMETER_6;
    }
    New->Protection = MiMakeProtection(Protection);
    if (New->Protection == MM_INVALID_PROTECTION || (New->Protection & ~7u) != 0) {
        return STATUS_INVALID_PAGE_PROTECTION;
    }
    return STATUS_SUCCESS;
}

/* The right to a file that a section of a protection needs. */
static ACCESS_MASK MiFileAccess(ULONG Protection)
{
    static const ACCESS_MASK Access[8] = {0,
                                          FILE_READ_DATA,
                                          FILE_EXECUTE,
                                          FILE_EXECUTE | FILE_READ_DATA,
                                          FILE_WRITE_DATA | FILE_READ_DATA,
                                          FILE_READ_DATA,
                                          FILE_EXECUTE | FILE_WRITE_DATA | FILE_READ_DATA,
                                          FILE_EXECUTE | FILE_READ_DATA};

    return Access[Protection & 7];
}

static NTSTATUS MiOpenImage(PMI_NEW_SECTION New, PCONTROL_AREA *ControlArea)
{
    NTSTATUS Status = MiCreateImageControlArea(New->FileObject, ControlArea);

    if (NT_SUCCESS(Status)) {
        New->Bytes = (*ControlArea)->Pages << PAGE_SHIFT;
        New->Protection = MM_EXECUTE_WRITECOPY;
    }
    return Status;
}

/* A control area of large pages, whose frames are found at once or not at all. */
static NTSTATUS MiOpenLargeControlArea(const MI_NEW_SECTION *New, PCONTROL_AREA *ControlArea)
{
    NTSTATUS Status;

    if (New->Bytes % MM_LARGE_PAGE != 0) {
        return STATUS_INVALID_PARAMETER_4;
    }
    if (!SeSinglePrivilegeCheck(SeExports->SeLockMemoryPrivilege, ExGetPreviousMode())) {
        return STATUS_PRIVILEGE_NOT_HELD;
    }
    Status = MiCreatePageFileControlArea(New->Bytes, FALSE, ControlArea);
    if (NT_SUCCESS(Status)) {
        (*ControlArea)->LargePages = TRUE;
        Status = MiFillLargeSection(*ControlArea);
        if (!NT_SUCCESS(Status)) {
            MiDereferenceControlArea(*ControlArea);
        }
    }
    return Status;
}

/* One without a file, of small pages. */
static NTSTATUS MiOpenPageFileControlArea(const MI_NEW_SECTION *New, PCONTROL_AREA *ControlArea)
{
    NTSTATUS Status = MiCreatePageFileControlArea(New->Bytes, (New->Attributes & SEC_RESERVE) != 0, ControlArea);

    if (NT_SUCCESS(Status)) {
        (*ControlArea)->PageProtection |= (New->Attributes & SEC_NOCACHE) != 0 ? MM_NOCACHE : 0;
        (*ControlArea)->PageProtection |= (New->Attributes & SEC_WRITECOMBINE) != 0 ? MM_NOCACHE | MM_GUARD_PAGE : 0;
    }
    return Status;
}

/* The control area of a new section, referenced; fills in the size. */
static NTSTATUS MiOpenControlArea(PMI_NEW_SECTION New, PCONTROL_AREA *ControlArea)
{
    BOOLEAN Large = (New->Attributes & SEC_LARGE_PAGES) != 0;
    NTSTATUS Status;

    if (New->FileObject == NULL && (New->Attributes & SEC_IMAGE) != 0) {
        return STATUS_INVALID_FILE_FOR_SECTION;
    }
    if (New->FileObject == NULL && New->Bytes == 0) {
        return STATUS_INVALID_PARAMETER_4;
    }
    if (New->FileObject == NULL) {
        return Large ? MiOpenLargeControlArea(New, ControlArea) : MiOpenPageFileControlArea(New, ControlArea);
    }
    if (Large) {
        return STATUS_INVALID_PARAMETER_6; /* a file's pages come one by one */
    }
    if ((New->Protection & 5) == MM_READWRITE && (New->Attributes & SEC_IMAGE) == 0) {
        return STATUS_INVALID_PAGE_PROTECTION; /* nothing writes a file's pages back */
    }
    Status = MiSizeOfFileSection(New->FileObject, &New->Bytes);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    return (New->Attributes & SEC_IMAGE) != 0 ? MiOpenImage(New, ControlArea)
                                              : MiOpenFileControlArea(New->FileObject, New->Bytes, ControlArea);
}

/* Gives a control area, whose reference it takes over, its object. */
static NTSTATUS MiMakeSectionObject(const MI_NEW_SECTION *New, PCONTROL_AREA ControlArea, POBJECT_ATTRIBUTES Attributes,
                                    PVOID *Object)
{
    PSECTION Section;
    NTSTATUS Status = ObCreateObject(ExGetPreviousMode(), MmSectionObjectType, Attributes, ExGetPreviousMode(), NULL,
                                     sizeof(*Section), 0, 0, (PVOID *)&Section);

    if (!NT_SUCCESS(Status)) {
        MiDereferenceControlArea(ControlArea);
        return Status;
    }
    Section->ControlArea = ControlArea;
    Section->Bytes = New->Bytes;
    Section->Protection = New->Protection;
    Section->Attributes = New->Attributes;
    MiCountUserSection(ControlArea, 1);
    *Object = Section;
    return STATUS_SUCCESS;
}

/**
 * MmCreateSection - creates a section object.
 *
 * @SectionObject  receives the object, referenced
 * @MaximumSize    bytes; for a file at most its size, 0: the file's size; an image's is SizeOfImage
 * @Protection     PAGE_...: the most that views may have; a file's data is never written, so its views are read or copied on write
 * @Attributes     SEC_COMMIT, SEC_RESERVE or SEC_IMAGE; SEC_NOCACHE or SEC_WRITECOMBINE; with SEC_COMMIT alone and no file
 *                 SEC_LARGE_PAGES, for which the caller needs SeLockMemoryPrivilege and a size in steps of 2 MB
 * @FileHandle     NULL: @File says, or there is no file; with the rights that @Protection needs
 * @File           the file, with its SectionObjectPointer set; its size comes from its FCB header
 *
 * IRQL: PASSIVE_LEVEL. Fails: STATUS_INVALID_PARAMETER_4 (size 0 without a file, or not of large pages), STATUS_INVALID_PAGE_PROTECTION,
 * STATUS_INVALID_PARAMETER_6 (attributes), STATUS_SECTION_TOO_BIG (larger than the file), STATUS_MAPPED_FILE_SIZE_ZERO,
 * STATUS_INVALID_FILE_FOR_SECTION, STATUS_INVALID_IMAGE_..., STATUS_PRIVILEGE_NOT_HELD, STATUS_COMMITMENT_LIMIT,
 * STATUS_INSUFFICIENT_RESOURCES (also: no 2 MB of RAM in a row), and what a bad handle gives.
 */
NTSTATUS NTAPI MmCreateSection(PVOID *SectionObject, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                               PLARGE_INTEGER MaximumSize, ULONG Protection, ULONG Attributes, HANDLE FileHandle,
                               PFILE_OBJECT File)
{
    MI_NEW_SECTION New = {.Bytes = MaximumSize == NULL ? 0 : (ULONG64)MaximumSize->QuadPart,
                          .Attributes = Attributes,
                          .FileObject = File};
    PCONTROL_AREA ControlArea;
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    Status = MiDecodeSection(Protection, &New);
    if (NT_SUCCESS(Status) && FileHandle != NULL) {
        Status = ObReferenceObjectByHandle(FileHandle, MiFileAccess(New.Protection), *IoFileObjectType,
                                           ExGetPreviousMode(), (PVOID *)&New.FileObject, NULL);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = MiOpenControlArea(&New, &ControlArea);
    if (NT_SUCCESS(Status)) {
        Status = MiMakeSectionObject(&New, ControlArea, ObjectAttributes, SectionObject);
    }
    if (FileHandle != NULL) {
        ObDereferenceObject(New.FileObject);
    }
    return Status;
}
