/*
 * section.c - control areas: the one description of a file's cached data, and how long it lives.
 *
 * A data control area is found through SECTION_OBJECT_POINTERS.DataSectionObject. It stays as long as it has a reason:
 * an open (the cache manager, a section object, a call in progress), a mapped view, or a frame. The last reason may go under the PFN
 * lock, in the middle of somebody's frame allocation; so a control area without a reason is only made unreachable there, and
 * the section thread takes it apart with no lock held. That thread also drops the reference to the file object, which is
 * why IRP_MJ_CLOSE never reaches a file system inside its own call to Cc.
 *
 * So a file that nobody has open keeps its pages on standby, and the file object they were read through; when the last of the
 * frames has been repurposed the segment goes, and the file is closed. MmForceSectionClosed does the same at once.
 *
 * Locks: the PFN lock for all counts, links and SECTION_OBJECT_POINTERS.DataSectionObject; a control area's Growth mutex
 * for extension. Never called with another lock of Mm held.
 */
#include "../misection.h"
#include "../miprocess.h"
#include <ntos/ps.h>

LIST_ENTRY MiControlAreas;
MM_FAULT_COUNTERS MmFaultCounters;

static LIST_ENTRY MiDeadControlAreas; /* (p) */
static KEVENT MiDeadEvent;            /* synchronization: MiDeadControlAreas is not empty */

static PETHREAD MiSectionThreadObject; /* (c) kept: it never ends */

static VOID NTAPI MiSectionThread(PVOID Context);

VOID MmInitializeSections(VOID)
{
    InitializeListHead(&MiControlAreas);
    InitializeListHead(&MiDeadControlAreas);
    KeInitializeEvent(&MiDeadEvent, SynchronizationEvent, FALSE);
    if (!NT_SUCCESS(PspCreateSystemThread(&MiSectionThreadObject, MiSectionThread, NULL, LOW_REALTIME_PRIORITY + 1))) {
        KeBugCheckEx(MEMORY1_INITIALIZATION_FAILED, 1, 0, 0, 0);
    }
    if (!NT_SUCCESS(MiInitializeSectionObjects())) {
        KeBugCheckEx(MEMORY1_INITIALIZATION_FAILED, 2, 0, 0, 0);
    }
    MiInitializeSharedPage();
}

/* ---- Reasons to live ---- */

VOID MiReferenceControlArea(PCONTROL_AREA ControlArea)
{
    ASSERT_PFN_LOCKED();
    ASSERT(!ControlArea->BeingDeleted);
    ControlArea->Sections++;
}

/* Where a file's control area is found. */
static PVOID *MiPointerTo(PCONTROL_AREA ControlArea)
{
    return ControlArea->Image != NULL ? &ControlArea->Pointers->ImageSectionObject
                                      : &ControlArea->Pointers->DataSectionObject;
}

VOID MiCheckControlArea(PCONTROL_AREA ControlArea)
{
    ASSERT_PFN_LOCKED();
    if (ControlArea->Sections != 0 || ControlArea->Views != 0 || ControlArea->BeingDeleted) {
        return;
    }
    /* Pages of a file are worth keeping; without a file nobody could ever find them again. */
    if (ControlArea->Frames != 0 && ControlArea->FileObject != NULL && !ControlArea->DeleteOnClose) {
        return;
    }
    ControlArea->BeingDeleted = TRUE;
    if (ControlArea->Pointers != NULL) {
        ASSERT(*MiPointerTo(ControlArea) == ControlArea);
        *MiPointerTo(ControlArea) = NULL;
    }
    RemoveEntryList(&ControlArea->Link);
    InsertTailList(&MiDeadControlAreas, &ControlArea->Link);
    KeSetEvent(&MiDeadEvent, IO_NO_INCREMENT, FALSE);
}

VOID MiDereferenceControlArea(PCONTROL_AREA ControlArea)
{
    KIRQL OldIrql = MiLockPfn();

    ASSERT(ControlArea->Sections != 0);
    ControlArea->Sections--;
    MiCheckControlArea(ControlArea);
    MiUnlockPfn(OldIrql);
}

static PCONTROL_AREA MiFindControlArea(PVOID const *Pointer)
{
    KIRQL OldIrql = MiLockPfn();
    PCONTROL_AREA ControlArea = *Pointer;

    if (ControlArea != NULL) {
        MiReferenceControlArea(ControlArea);
    }
    MiUnlockPfn(OldIrql);
    return ControlArea;
}

PCONTROL_AREA MiFindDataControlArea(PSECTION_OBJECT_POINTERS Pointers)
{
    return MiFindControlArea(&Pointers->DataSectionObject);
}

PCONTROL_AREA MiFindImageControlArea(PSECTION_OBJECT_POINTERS Pointers)
{
    return MiFindControlArea(&Pointers->ImageSectionObject);
}

/* ---- Creation ---- */

/*
 * A control area that nobody can find yet, with one reference. Frees itself on failure. @Blocks: what describes its pages;
 * NULL: blocks of equally large subsections are made.
 */
static NTSTATUS MiCreateControlArea(PFILE_OBJECT FileObject, ULONG64 Pages, PMI_SUBSECTION_BLOCK Blocks,
                                    PCONTROL_AREA *Result)
{
    PCONTROL_AREA ControlArea;

    if (Pages > MI_MAXIMUM_SECTION_PAGES) {
        return STATUS_SECTION_TOO_BIG;
    }
    ControlArea = ExAllocatePoolWithTag(NonPagedPool, sizeof(*ControlArea), MI_TAG_CONTROL_AREA);
    if (ControlArea == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(ControlArea, sizeof(*ControlArea));
    ExInitializeFastMutex(&ControlArea->Growth);
    VfNameLock(&ControlArea->Growth, "CONTROL_AREA.Growth");
    InitializeListHead(&ControlArea->Link);
    ControlArea->Sections = 1;
    ControlArea->FileObject = FileObject;
    ControlArea->Pointers = FileObject == NULL ? NULL : FileObject->SectionObjectPointer;
    ControlArea->FileSize = Pages << PAGE_SHIFT;
    if (Pages != 0) {
        ControlArea->Blocks = Blocks != NULL ? Blocks : MiCreateSubsectionBlock(ControlArea, 0, Pages);
        if (ControlArea->Blocks == NULL) {
            ExFreePoolWithTag(ControlArea, MI_TAG_CONTROL_AREA);
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        ControlArea->Pages = Pages;
    }
    if (FileObject != NULL) {
        ObReferenceObject(FileObject);
    }
    *Result = ControlArea;
    return STATUS_SUCCESS;
}

/* Takes a control area apart: nothing can find it any more. */
static VOID MiFreeControlArea(PCONTROL_AREA ControlArea)
{
    MiDeleteSubsectionBlocks(ControlArea);
    MiReturnCommit(&MiCommit.Sections, ControlArea->Commit);
    if (ControlArea->FileObject != NULL) {
        ObDereferenceObject(ControlArea->FileObject);
    }
    if (ControlArea->Image != NULL) {
        MiFreeImage(ControlArea->Image);
    }
    ExFreePoolWithTag(ControlArea, MI_TAG_CONTROL_AREA);
}

/* Makes a new control area of a file the one that is found, unless another was first: that one is referenced instead. */
static PCONTROL_AREA MiPublishControlArea(PCONTROL_AREA Created)
{
    PCONTROL_AREA ControlArea;
    KIRQL OldIrql = MiLockPfn();

    ControlArea = *MiPointerTo(Created);
    if (ControlArea == NULL) {
        ControlArea = Created;
        *MiPointerTo(Created) = Created;
        InsertTailList(&MiControlAreas, &Created->Link);
        MmFaultCounters.Segments++;
    } else {
        MiReferenceControlArea(ControlArea);
    }
    MiUnlockPfn(OldIrql);
    if (ControlArea != Created) {
        MiFreeControlArea(Created);
    }
    return ControlArea;
}

NTSTATUS MmOpenDataSection(PFILE_OBJECT FileObject, ULONG64 Bytes, PCONTROL_AREA *Result)
{
    PSECTION_OBJECT_POINTERS Pointers = FileObject->SectionObjectPointer;
    PCONTROL_AREA ControlArea;

    ASSERT_IRQL_MAX(APC_LEVEL);
    if (Pointers == NULL) {
        return STATUS_INVALID_FILE_FOR_SECTION;
    }
    ControlArea = MiFindDataControlArea(Pointers);
    if (ControlArea == NULL) {
        NTSTATUS Status = MiCreateControlArea(FileObject, BYTES_TO_PAGES(Bytes), NULL, &ControlArea);

        if (!NT_SUCCESS(Status)) {
            return Status;
        }
        ControlArea = MiPublishControlArea(ControlArea);
    }
    *Result = ControlArea;
    return STATUS_SUCCESS;
}

NTSTATUS MiOpenImageControlArea(PFILE_OBJECT FileObject, PMI_IMAGE Image, PMI_SUBSECTION_BLOCK Blocks,
                                PCONTROL_AREA *Result)
{
    PCONTROL_AREA ControlArea;
    NTSTATUS Status = MiCreateControlArea(FileObject, Image->Header.SizeOfImage >> PAGE_SHIFT, Blocks, &ControlArea);

    if (!NT_SUCCESS(Status)) {
        ExFreePoolWithTag(Blocks, MI_TAG_SUBSECTION);
        MiFreeImage(Image);
        return Status;
    }
    ControlArea->Image = Image;
    for (ULONG Index = 0; Index < Blocks->Count; Index++) {
        Blocks->Subsection[Index].ControlArea = ControlArea;
    }
    *Result = MiPublishControlArea(ControlArea);
    return STATUS_SUCCESS;
}

NTSTATUS MiCreatePageFileControlArea(ULONG64 Bytes, BOOLEAN Reserve, PCONTROL_AREA *Result)
{
    ULONG64 Pages = BYTES_TO_PAGES(Bytes), Charge = Reserve ? 0 : Pages;
    NTSTATUS Status;

    if (Pages > MI_MAXIMUM_SECTION_PAGES) {
        return STATUS_SECTION_TOO_BIG;
    }
    if (!MiChargeCommit(&MiCommit.Sections, Charge)) {
        return STATUS_COMMITMENT_LIMIT;
    }
    Status = MiCreateControlArea(NULL, Pages, NULL, Result);
    if (!NT_SUCCESS(Status)) {
        MiReturnCommit(&MiCommit.Sections, Charge);
    } else {
        KIRQL OldIrql = MiLockPfn();

        (*Result)->Commit = Charge;
        (*Result)->Reserve = Reserve;
        (*Result)->PageProtection = MM_READWRITE;
        InsertTailList(&MiControlAreas, &(*Result)->Link);
        MmFaultCounters.Segments++;
        MiUnlockPfn(OldIrql);
    }
    return Status;
}

VOID MmCloseDataSection(PCONTROL_AREA ControlArea)
{
    MiDereferenceControlArea(ControlArea);
}

NTSTATUS MmExtendDataSection(PCONTROL_AREA ControlArea, ULONG64 Bytes)
{
    ULONG64 Pages = BYTES_TO_PAGES(Bytes);
    PMI_SUBSECTION_BLOCK Block, *Tail;
    NTSTATUS Status = STATUS_SUCCESS;
    KIRQL OldIrql;

    ASSERT_IRQL_MAX(APC_LEVEL);
    if (Pages > MI_MAXIMUM_SECTION_PAGES) {
        return STATUS_SECTION_TOO_BIG;
    }
    ExAcquireFastMutex(&ControlArea->Growth);
    if (Pages > ControlArea->Pages) {
        /* At least a view at a time, so that a file that grows page by page does not become a chain of blocks. */
        ULONG64 More = max(Pages - ControlArea->Pages, VACB_MAPPING_GRANULARITY / PAGE_SIZE);

        Block = MiCreateSubsectionBlock(ControlArea, ControlArea->Pages, More);
        if (Block == NULL) {
            Status = STATUS_INSUFFICIENT_RESOURCES;
        } else {
            OldIrql = MiLockPfn();
            for (Tail = &ControlArea->Blocks; *Tail != NULL; Tail = &(*Tail)->Next) {
            }
            *Tail = Block;
            ControlArea->Pages += More;
            MiUnlockPfn(OldIrql);
        }
    }
    ExReleaseFastMutex(&ControlArea->Growth);
    return Status;
}

VOID MmSetDataSectionFileSize(PCONTROL_AREA ControlArea, ULONG64 FileSize)
{
    KIRQL OldIrql = MiLockPfn();

    ControlArea->FileSize = FileSize;
    MiUnlockPfn(OldIrql);
}

NTSTATUS MmPrepareDataSection(PCONTROL_AREA ControlArea, ULONG64 Offset, ULONG64 Bytes)
{
    return MiCreatePrototypes(ControlArea, Offset >> PAGE_SHIFT, BYTES_TO_PAGES(Bytes));
}

/* ---- The section thread ---- */

/* Frees every frame that the prototype PTEs still name; used when they are of no more use to anybody. */
static VOID MiDeleteSectionFrames(PCONTROL_AREA ControlArea)
{
    for (PMI_SUBSECTION_BLOCK Block = ControlArea->Blocks; Block != NULL; Block = Block->Next) {
        for (ULONG Index = 0; Index < Block->Count; Index++) {
            PSUBSECTION Subsection = &Block->Subsection[Index];

            for (ULONG Pte = 0; Subsection->Prototypes != NULL && Pte < Subsection->PteCount; Pte++) {
                /* Under the lock: whoever repurposed the last frame looks at the control area until it drops the lock. */
                KIRQL OldIrql = MiLockPfn();
                BOOLEAN Done = ControlArea->FileObject != NULL && ControlArea->Frames == 0;

                if (!Done) {
                    MiDeletePrototypeFrame(ControlArea, &Subsection->Prototypes[Pte]);
                }
                MiUnlockPfn(OldIrql);
                if (Done) {
                    return;
                }
            }
        }
    }
}

static VOID NTAPI MiSectionThread(PVOID Context)
{
    for (;;) {
        KeWaitForSingleObject(&MiDeadEvent, WrVirtualMemory, KernelMode, FALSE, NULL);
        for (;;) {
            PCONTROL_AREA ControlArea = NULL;
            KIRQL OldIrql = MiLockPfn();

            if (!IsListEmpty(&MiDeadControlAreas)) {
                ControlArea = CONTAINING_RECORD(RemoveHeadList(&MiDeadControlAreas), CONTROL_AREA, Link);
                MmFaultCounters.Segments--;
                MmFaultCounters.SegmentsDeleted++;
            }
            MiUnlockPfn(OldIrql);
            if (ControlArea == NULL) {
                break;
            }
            if (ControlArea->LargePages) {
                MiEmptyLargeSection(ControlArea);
            }
            MiDeleteSectionFrames(ControlArea);
            ASSERT(ControlArea->Frames == 0);
            MiFreeControlArea(ControlArea);
        }
    }
}
