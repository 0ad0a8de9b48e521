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
#include "../misection.h"
#include "../miprocess.h"

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

/* An image has one block: a subsection for each of its parts. */
PMI_SUBSECTION_BLOCK MiCreateImageBlock(PMI_IMAGE Image)
{
    SIZE_T Bytes = sizeof(MI_SUBSECTION_BLOCK) + (SIZE_T)Image->Parts * sizeof(SUBSECTION);
    PMI_SUBSECTION_BLOCK Block = ExAllocatePoolWithTag(NonPagedPool, Bytes, MI_TAG_SUBSECTION);

    if (Block != NULL) {
        RtlZeroMemory(Block, Bytes);
        Block->Count = Image->Parts;
        Block->Pages = Image->Header.SizeOfImage >> PAGE_SHIFT;
        for (ULONG Index = 0; Index < Image->Parts; Index++) {
            Block->Subsection[Index].StartingPage = Image->Part[Index].StartingPage;
            Block->Subsection[Index].PteCount = Image->Part[Index].Pages;
        }
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
    if (Block == NULL) {
        return NULL;
    }
    if (Block->PagesEach == 0) { /* an image's: few, ascending, without gaps; faults come in runs */
        ULONG Index = Block->Recent;

        if (Page < Block->Subsection[Index].StartingPage ||
            (Index + 1 < Block->Count && Page >= Block->Subsection[Index + 1].StartingPage)) {
            Index = Block->Count - 1;
            while (Page < Block->Subsection[Index].StartingPage) {
                Index--;
            }
            Block->Recent = Index;
        }
        return &Block->Subsection[Index];
    }
    return &Block->Subsection[(Page - Block->StartingPage) / Block->PagesEach];
}

/* Gives one subsection its prototype PTEs. Growth held. */
static NTSTATUS MiCreateSubsectionPrototypes(PSUBSECTION Subsection)
{
    PCONTROL_AREA ControlArea = Subsection->ControlArea;
    MMPTE Initial = ControlArea->FileObject != NULL ? MiMakeProtoPte(Subsection, MM_READWRITE)
                    : ControlArea->Reserve          ? (MMPTE){.Long = 0}
                                                    : MiMakeDemandZeroPte(ControlArea->PageProtection);
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

/* The prototype PTE of a page whose array exists. It may lie in paged pool that is not resident. */
static PMMPTE MiPrototypeOfPage(PCONTROL_AREA ControlArea, ULONG64 Page)
{
    PSUBSECTION Subsection = MiSubsectionOfPage(ControlArea, Page);

    return &Subsection->Prototypes[Page - Subsection->StartingPage];
}

/* TRUE: the page was not committed, and is now. */
static BOOLEAN MiCommitPrototype(PCONTROL_AREA ControlArea, PMMPTE Prototype)
{
    for (;;) {
        BOOLEAN Resident, Commits = FALSE;
        KIRQL Irql;

        (void)*(volatile ULONG64 *)&Prototype->Long; /* resident before the PFN lock is taken */
        Irql = MiLockPfn();
        Resident = MiFrameOfPrototype(Prototype) != MI_NO_FRAME32;
        if (Resident && Prototype->Long == 0) {
            *Prototype = MiMakeDemandZeroPte(ControlArea->PageProtection);
            ControlArea->Commit++;
            Commits = TRUE;
        }
        MiUnlockPfn(Irql);
        if (Resident) {
            return Commits;
        }
    }
}

/**
 * MiCommitSectionPages - commits those pages of a range of a SEC_RESERVE section that are not committed yet, or none.
 *
 * The prototype PTEs of the range exist. A page stays committed until the section goes. IRQL: <= APC_LEVEL; PFN lock.
 * Fails: STATUS_COMMITMENT_LIMIT.
 */
NTSTATUS MiCommitSectionPages(PCONTROL_AREA ControlArea, ULONG64 FirstPage, ULONG64 Pages)
{
    ULONG64 Missing = 0;

    for (ULONG64 Page = FirstPage; Page < FirstPage + Pages; Page++) {
        Missing += MiPrototypeOfPage(ControlArea, Page)->Long == 0;
    }
    if (!MiChargeCommit(&MiCommit.Sections, Missing)) {
        return STATUS_COMMITMENT_LIMIT;
    }
    for (ULONG64 Page = FirstPage; Page < FirstPage + Pages; Page++) {
        Missing -= MiCommitPrototype(ControlArea, MiPrototypeOfPage(ControlArea, Page));
    }
    MiReturnCommit(&MiCommit.Sections, Missing); /* somebody else was first */
    return STATUS_SUCCESS;
}
