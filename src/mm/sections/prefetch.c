/*
 * prefetch.c - MmPrefetchPages: pages of files brought into memory before somebody needs them.
 *
 * Each page named goes to standby, read in clusters as a fault would, and nobody maps it. What is in memory already stays as it is.
 *
 * IRQL: PASSIVE_LEVEL. Locks: none held; each file's section is kept by an open.
 *
 * Source: MmPrefetchPages in the Windows driver documentation.
 */
#include "../misection.h"

static NTSTATUS MiPrefetchPage(PCONTROL_AREA ControlArea, ULONG64 Page)
{
    PSUBSECTION Subsection;
    NTSTATUS Status;

    if (Page >= ControlArea->Pages) {
        return STATUS_END_OF_FILE;
    }
    Status = MmPrepareDataSection(ControlArea, Page << PAGE_SHIFT, PAGE_SIZE);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Subsection = MiSubsectionOfPage(ControlArea, Page);
    return MiReadPrototype(&Subsection->Prototypes[Page - Subsection->StartingPage]);
}

static NTSTATUS MiPrefetchList(PREAD_LIST List)
{
    PFSRTL_COMMON_FCB_HEADER Header = List->FileObject->FsContext;
    PCONTROL_AREA ControlArea;
    NTSTATUS Status;

    if (List->IsImage) {
        return STATUS_NOT_SUPPORTED;
    }
    if (Header == NULL) {
        return STATUS_INVALID_FILE_FOR_SECTION;
    }
    Status = MmOpenDataSection(List->FileObject, (ULONG64)Header->FileSize.QuadPart, &ControlArea);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    MmSetDataSectionFileSize(ControlArea, (ULONG64)Header->FileSize.QuadPart);
    for (ULONG Index = 0; Index < List->NumberOfEntries && NT_SUCCESS(Status); Index++) {
        Status = MiPrefetchPage(ControlArea, (ULONG64)List->List[Index].Alignment >> PAGE_SHIFT);
    }
    MmCloseDataSection(ControlArea);
    return Status;
}

/**
 * MmPrefetchPages - reads pages of files into memory.
 *
 * @NumberOfLists  files
 * @ReadLists      for each: the file, its pages by offset in bytes; the file must stay open
 *
 * IRQL: PASSIVE_LEVEL. Fails: STATUS_END_OF_FILE (an offset past the section), STATUS_NOT_SUPPORTED (an image),
 * STATUS_INVALID_FILE_FOR_SECTION, STATUS_INSUFFICIENT_RESOURCES, the device's status.
 */
NTSTATUS NTAPI MmPrefetchPages(ULONG NumberOfLists, PREAD_LIST *ReadLists)
{
    NTSTATUS Status = STATUS_SUCCESS;

    ASSERT_IRQL(PASSIVE_LEVEL);
    for (ULONG Index = 0; Index < NumberOfLists && NT_SUCCESS(Status); Index++) {
        Status = MiPrefetchList(ReadLists[Index]);
    }
    return Status;
}
