/*
 * subsection.c - from a page of a file to its prototype PTE.
 *
 * A section's subsections come in blocks of equally large ones: one block when the section is made, one for each extension,
 * so a page is found by walking a few blocks and one division. Subsections lie in nonpaged pool and never move: prototype PTEs and the
 * OriginalPte of frames point at them. Their prototype PTEs lie in paged pool and are made when the first view needs them; until then a
 * subsection of 16 MB costs 32 bytes.
 *
 * Prototype arrays live as long as their control area. Blocks are only appended, so a reader under the PFN lock, or one
 * that holds a reason for the control area to live, may walk them; making arrays and blocks is serialised by Growth.
 */
#include "misection.h"

PMI_SUBSECTION_BLOCK MiCreateSubsectionBlock(PCONTROL_AREA ControlArea, ULONG64 StartingPage, ULONG64 Pages)
{
    ULONG64 PagesEach = MI_SUBSECTION_PAGES;
    ULONG Count;
    PMI_SUBSECTION_BLOCK Block;

    ASSERT(Pages != 0 && Pages <= MI_MAXIMUM_SECTION_PAGES);
    while (Pages > PagesEach * MI_BLOCK_SUBSECTIONS) {
        PagesEach *= 2;
    }
    Count = (ULONG)((Pages + PagesEach - 1) / PagesEach);
    Block = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Block) + Count * sizeof(SUBSECTION), MI_TAG_SUBSECTION);
    if (Block == NULL) {
        return NULL;
    }
    RtlZeroMemory(Block, sizeof(*Block) + Count * sizeof(SUBSECTION));
    Block->StartingPage = StartingPage;
    Block->Pages = Pages;
    Block->PagesEach = (ULONG)PagesEach;
    Block->Count = Count;
    for (ULONG Index = 0; Index < Count; Index++) {
        PSUBSECTION Subsection = &Block->Subsection[Index];

        Subsection->ControlArea = ControlArea;
        Subsection->StartingPage = StartingPage + Index * PagesEach;
        Subsection->PteCount = (ULONG)min(PagesEach, Pages - Index * PagesEach);
    }
    return Block;
}

/* Frees all blocks and prototype arrays; no prototype PTE may name a frame. */
VOID MiDeleteSubsectionBlocks(PCONTROL_AREA ControlArea)
{
    PMI_SUBSECTION_BLOCK Block = ControlArea->Blocks;

    ASSERT(ControlArea->Frames == 0);
    while (Block != NULL) {
        PMI_SUBSECTION_BLOCK Next = Block->Next;

        for (ULONG Index = 0; Index < Block->Count; Index++) {
            if (Block->Subsection[Index].Prototypes != NULL) {
                ExFreePoolWithTag(Block->Subsection[Index].Prototypes, MI_TAG_PROTOTYPE);
            }
        }
        ExFreePoolWithTag(Block, MI_TAG_SUBSECTION);
        Block = Next;
    }
    ControlArea->Blocks = NULL;
}

PSUBSECTION MiSubsectionOfPage(PCONTROL_AREA ControlArea, ULONG64 Page)
{
    PMI_SUBSECTION_BLOCK Block = ControlArea->Blocks;

    while (Block != NULL && Page >= Block->StartingPage + Block->Pages) {
        Block = Block->Next;
    }
    return Block == NULL ? NULL : &Block->Subsection[(Page - Block->StartingPage) / Block->PagesEach];
}

/* Gives one subsection its prototype PTEs. Growth held. */
static NTSTATUS MiCreateSubsectionPrototypes(PSUBSECTION Subsection)
{
    PCONTROL_AREA ControlArea = Subsection->ControlArea;
    MMPTE Initial =
        ControlArea->FileObject != NULL ? MiMakeProtoPte(Subsection, MM_READWRITE) : MiMakeDemandZeroPte(MM_READWRITE);
    PMMPTE Prototypes = ExAllocatePoolWithTag(PagedPool, Subsection->PteCount * sizeof(MMPTE), MI_TAG_PROTOTYPE);
    KIRQL OldIrql;

    if (Prototypes == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    for (ULONG Index = 0; Index < Subsection->PteCount; Index++) {
        Prototypes[Index] = Initial;
    }
    OldIrql = MiLockPfn();
    Subsection->Prototypes = Prototypes;
    MiUnlockPfn(OldIrql);
    return STATUS_SUCCESS;
}

/**
 * MiCreatePrototypes - makes the prototype PTEs of a range of file pages exist.
 *
 * Pages past the section's end are ignored. IRQL: <= APC_LEVEL; no locks. Fails: STATUS_INSUFFICIENT_RESOURCES (what was made
 * stays).
 */
NTSTATUS MiCreatePrototypes(PCONTROL_AREA ControlArea, ULONG64 FirstPage, ULONG64 Pages)
{
    ULONG64 Page = FirstPage;
    NTSTATUS Status = STATUS_SUCCESS;

    ASSERT_IRQL_MAX(APC_LEVEL);
    ExAcquireFastMutex(&ControlArea->Growth);
    while (Page < FirstPage + Pages && NT_SUCCESS(Status)) {
        PSUBSECTION Subsection = MiSubsectionOfPage(ControlArea, Page);

        if (Subsection == NULL) {
            break;
        }
        if (Subsection->Prototypes == NULL) {
            Status = MiCreateSubsectionPrototypes(Subsection);
        }
        Page = Subsection->StartingPage + Subsection->PteCount;
    }
    ExReleaseFastMutex(&ControlArea->Growth);
    return Status;
}
