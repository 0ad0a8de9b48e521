/*
 * flush.c - forgetting what is cached of a file: purge, truncation, forced close.
 *
 * Purging takes each frame of a range from its prototype PTE and frees it; the next access reads the file again. A page that some
 * view maps, or an MDL locks, stands in the way and the purge says so; a page that is being read is waited for. Nothing is
 * written: pages of files are never dirty yet (docs/limits.md), so flushing a data section has nothing to do.
 *
 * MmCanFileBeTruncated and MmFlushImageSection answer what file systems ask before they change or delete a file.
 *
 * Locks: PFN lock a page at a time; the control area is kept by a reference. Waits only for paging reads, with no lock.
 */
#include "../misection.h"
#include <ntos/console.h>

/* Purges one page. STATUS_RETRY: a read was waited for. STATUS_CANNOT_DELETE: it is in use. */
static NTSTATUS MiPurgePage(PCONTROL_AREA ControlArea, PMMPTE Prototype)
{
    NTSTATUS Status = STATUS_SUCCESS;
    KIRQL OldIrql = MiLockPfn();

    if (MiFrameOfPrototype(Prototype) != MI_NO_FRAME32 && MiIsTransitionPte(*Prototype)) {
        PMMPFN Pfn = MiPfn(MiTransitionFrame(*Prototype));

        if ((Pfn->u4 & MI_U4_READ) != 0) {
            MiWaitForInPage(Pfn->u1.InPageBlock, OldIrql);
            return STATUS_RETRY;
        }
        if (MiPfnReferences(Pfn) != 0) {
            MiUnlockPfn(OldIrql);
            return STATUS_CANNOT_DELETE;
        }
    }
    if (!MiDeletePrototypeFrame(ControlArea, Prototype)) {
        Status = STATUS_CANNOT_DELETE;
    }
    MiUnlockPfn(OldIrql);
    return Status;
}

/* Purges the pages [First, End); TRUE: all are gone. The caller holds a reference. */
static BOOLEAN MiPurgePages(PCONTROL_AREA ControlArea, ULONG64 First, ULONG64 End)
{
    BOOLEAN Purged = TRUE;
    ULONG64 Page = First;

    while (Page < End && ControlArea->Frames != 0) {
        PSUBSECTION Subsection = MiSubsectionOfPage(ControlArea, Page);
        ULONG64 SubsectionEnd;

        if (Subsection == NULL) {
            break;
        }
        SubsectionEnd = Subsection->StartingPage + Subsection->PteCount;
        while (Subsection->Prototypes != NULL && Page < min(End, SubsectionEnd)) {
            NTSTATUS Status = MiPurgePage(ControlArea, &Subsection->Prototypes[Page - Subsection->StartingPage]);

            Purged = Purged && Status != STATUS_CANNOT_DELETE;
            Page += Status != STATUS_RETRY;
        }
        Page = max(Page, SubsectionEnd);
    }
    return Purged;
}

BOOLEAN MmPurgeDataSection(PSECTION_OBJECT_POINTERS Pointers, ULONG64 Offset, ULONG64 Bytes)
{
    PCONTROL_AREA ControlArea = MiFindDataControlArea(Pointers);
    BOOLEAN Purged;

    ASSERT_IRQL_MAX(APC_LEVEL);
    if (ControlArea == NULL) {
        return TRUE;
    }
    Purged = MiPurgePages(ControlArea, Offset >> PAGE_SHIFT, Bytes == 0 ? MAXULONG64 : BYTES_TO_PAGES(Offset + Bytes));
    MiDereferenceControlArea(ControlArea);
    return Purged;
}

/* Gives a control area up if nobody uses it, or when its last user goes. TRUE: there is none any more. PFN lock. */
static BOOLEAN MiCloseIfUnused(PCONTROL_AREA ControlArea, BOOLEAN Delay)
{
    BOOLEAN Unused = ControlArea == NULL || (ControlArea->Sections == 0 && ControlArea->Views == 0);

    if (ControlArea != NULL && (Unused || Delay)) {
        ControlArea->DeleteOnClose = TRUE;
        MiCheckControlArea(ControlArea);
    }
    return Unused;
}

/**
 * MmForceSectionClosed - gives up a file's sections, of its data and of the image, if nobody uses them.
 *
 * @DelayClose  TRUE: if it is in use, give it up when its last user goes
 * returns      TRUE: there is neither any more
 *
 * The reference to the file object is dropped a little later, by the section thread. IRQL: <= APC_LEVEL.
 */
BOOLEAN NTAPI MmForceSectionClosed(PSECTION_OBJECT_POINTERS SectionObjectPointer, BOOLEAN DelayClose)
{
    BOOLEAN Closed;
    KIRQL OldIrql;

    ASSERT_IRQL_MAX(APC_LEVEL);
    OldIrql = MiLockPfn();
    Closed = MiCloseIfUnused(SectionObjectPointer->ImageSectionObject, DelayClose);
    Closed = MiCloseIfUnused(SectionObjectPointer->DataSectionObject, DelayClose) && Closed;
    MiUnlockPfn(OldIrql);
    return Closed;
}

/**
 * MmCanFileBeTruncated - may a file shrink to a size?
 *
 * @NewFileSize  bytes; NULL: the file is to be deleted
 * returns       FALSE while the image section exists, or a section object, or a view of one, holds the data section open
 *               past the size
 *
 * The cache manager's own views do not stand in the way: it drops them in CcSetFileSizes. IRQL: <= APC_LEVEL.
 */
BOOLEAN NTAPI MmCanFileBeTruncated(PSECTION_OBJECT_POINTERS SectionPointer, PLARGE_INTEGER NewFileSize)
{
    PCONTROL_AREA ControlArea;
    BOOLEAN Can = TRUE;
    KIRQL OldIrql;

    if (!MmFlushImageSection(SectionPointer, MmFlushForWrite)) {
        return FALSE;
    }
    OldIrql = MiLockPfn();
    ControlArea = SectionPointer->DataSectionObject;
    if (ControlArea != NULL && ControlArea->UserSections != 0) {
        Can = NewFileSize != NULL && (ULONG64)NewFileSize->QuadPart >= ControlArea->FileSize;
    }
    MiUnlockPfn(OldIrql);
    return Can;
}

/**
 * MmFlushImageSection - may a file be written or deleted, as far as images of it go?
 *
 * An image that nobody has mapped or open is given up; one in use forbids both. Deleting a file also asks that no section
 * object holds its data. IRQL: <= APC_LEVEL.
 */
BOOLEAN NTAPI MmFlushImageSection(PSECTION_OBJECT_POINTERS SectionObjectPointer, MMFLUSH_TYPE FlushType)
{
    PCONTROL_AREA ControlArea;
    BOOLEAN Can;
    KIRQL OldIrql;

    OldIrql = MiLockPfn();
    Can = MiCloseIfUnused(SectionObjectPointer->ImageSectionObject, FALSE);
    ControlArea = SectionObjectPointer->DataSectionObject;
    if (FlushType == MmFlushForDelete && ControlArea != NULL && ControlArea->UserSections != 0) {
        Can = FALSE;
    }
    MiUnlockPfn(OldIrql);
    return Can;
}

BOOLEAN MmQuerySectionPages(PSECTION_OBJECT_POINTERS Pointers, PMM_SECTION_PAGES Pages)
{
    PCONTROL_AREA ControlArea = MiFindDataControlArea(Pointers);

    RtlZeroMemory(Pages, sizeof(*Pages));
    if (ControlArea == NULL) {
        return FALSE;
    }
    MiCountSectionPages(ControlArea, Pages);
    MiDereferenceControlArea(ControlArea);
    return TRUE;
}

/* Counts by the state of the frames behind the prototype PTEs. The caller keeps the control area. */
VOID MiCountSectionPages(PCONTROL_AREA ControlArea, PMM_SECTION_PAGES Pages)
{
    for (ULONG64 Page = 0; Page < ControlArea->Pages; Page++) {
        PSUBSECTION Subsection = MiSubsectionOfPage(ControlArea, Page);
        PMMPTE Prototype;
        KIRQL OldIrql;

        if (Subsection->Prototypes == NULL) {
            Page = Subsection->StartingPage + Subsection->PteCount - 1;
            continue;
        }
        Prototype = &Subsection->Prototypes[Page - Subsection->StartingPage];
        OldIrql = MiLockPfn();
        Pages->Total++;
        if (MiFrameOfPrototype(Prototype) != MI_NO_FRAME32 && Prototype->Hard.Valid) {
            Pages->Active++;
        } else if (MiFrameOfPrototype(Prototype) != MI_NO_FRAME32 && MiIsTransitionPte(*Prototype)) {
            ULONG State = MiPfnState(MiPfn(MiTransitionFrame(*Prototype)));

            Pages->Standby += State == MiStandby;
            Pages->Modified += State == MiModified || State == MiModifiedNoWrite;
            Pages->Transition += State == MiTransition;
        }
        MiUnlockPfn(OldIrql);
    }
}

/* ---- Verification ---- */

/* Frames behind the prototype PTEs of one subsection; each must be owned by the PTE that names it. */
static ULONG64 MiVerifySubsection(PSUBSECTION Subsection, PULONG Wrong)
{
    ULONG64 Frames = 0;

    for (ULONG64 Index = 0; Subsection->Prototypes != NULL && Index < Subsection->PteCount; Index++) {
        PMMPTE Prototype = &Subsection->Prototypes[Index];
        PFN_FRAME Frame;

        if (MiFrameOfPrototype(Prototype) == MI_NO_FRAME32 ||
            (!Prototype->Hard.Valid && !MiIsTransitionPte(*Prototype))) {
            continue;
        }
        Frames++;
        Frame = Prototype->Hard.Valid ? MiPteFrame(*Prototype) : MiTransitionFrame(*Prototype);
        *Wrong += !MiIsRamFrame(Frame) || MiPfnPteAddress(MiPfn(Frame)) != Prototype ||
                  MiPfnPteFrame(MiPfn(Frame)) != MiFrameOfPrototype(Prototype) ||
                  (Prototype->Hard.Valid && MiPfnState(MiPfn(Frame)) != MiActive);
    }
    return Frames;
}

/**
 * MiVerifySections - checks every prototype PTE against the frame it names, and each control area's count of frames.
 *
 * returns  the number of findings, each printed. IRQL: DISPATCH_LEVEL. Locks: PFN lock.
 */
ULONG MiVerifySections(VOID)
{
    ULONG Findings = 0;

    ASSERT_PFN_LOCKED();
    for (PLIST_ENTRY Link = MiControlAreas.Flink; Link != NULL && Link != &MiControlAreas; Link = Link->Flink) {
        PCONTROL_AREA ControlArea = CONTAINING_RECORD(Link, CONTROL_AREA, Link);
        ULONG64 Frames = 0;
        ULONG Wrong = 0;

        for (PMI_SUBSECTION_BLOCK Block = ControlArea->Blocks; Block != NULL; Block = Block->Next) {
            for (ULONG Index = 0; Index < Block->Count; Index++) {
                Frames += MiVerifySubsection(&Block->Subsection[Index], &Wrong);
            }
        }
        if (Wrong != 0 || (ControlArea->FileObject != NULL && Frames != ControlArea->Frames)) {
            Findings++;
            ConPrint("verify: control area %p: %lu prototype PTEs disagree with their frame; %llu frames found, %llu "
                     "counted\n",
                     (PVOID)ControlArea, Wrong, Frames, ControlArea->Frames);
        }
    }
    return Findings;
}
