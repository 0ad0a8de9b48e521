/*
 * protopte.c - what a prototype PTE can be and how views come to share its frame.
 *
 *     subsection form   in the file only                          (section backed by a file)
 *     demand zero       no content yet                            (section backed by the page file)
 *     transition        in memory, mapped by no view: standby, modified, being read, or locked by an MDL
 *     valid             in memory, mapped by as many views as the frame has shares
 *
 * A prototype PTE in transition or valid holds one share of the paged-pool frame that contains it (pfn.c acquires and
 * releases it), so that this frame is in memory whenever the PTE must be written. A PTE in prototype form holds nothing.
 *
 * All functions here run under the PFN lock and follow a prototype PTE only after MiFrameOfPrototype said that it is resident: a fault
 * under the PFN lock would be a bug check. They never wait, allocate pool or flush a TLB.
 */
#include "../misection.h"
#include "../miprocess.h"

ULONG MiFrameOfPrototype(PMMPTE Prototype)
{
    ULONG Level;
    PMMPTE Leaf = MiFindLeaf(Prototype, &Level);
    MMPTE Pte;

    if (Leaf == NULL) {
        return MI_NO_FRAME32;
    }
    Pte = *(volatile MMPTE *)Leaf;
    if (!Pte.Hard.Valid || Level > 1) {
        return MI_NO_FRAME32;
    }
    if (Level == 1) {
        return (ULONG)(MiPteFrame(Pte) & ~511ULL) + (ULONG)(((ULONG64)Prototype >> PAGE_SHIFT) & 511);
    }
    return (ULONG)MiPteFrame(Pte);
}

/* Hardware bits of a view's PTE. Bit 10 marks that the frame belongs to a prototype PTE: shares are counted by it. */
ULONG64 MiViewPteBits(ULONG Protection)
{
    return (Protection == MM_READWRITE ? MI_KERNEL_RW_BITS : MI_KERNEL_RO_BITS) | MI_PTE_PROTOTYPE;
}

/* One more view maps the frame. */
static VOID MiMakeViewPteValid(PMMPTE Pte, PVOID Address, PFN_FRAME Frame)
{
    ULONG64 Cache = MiCacheBits((MI_CACHE_TYPE)MiPfnCacheType(MiPfn(Frame)));

    MiWriteValidPte(Pte, MiMakeValidPte(Frame, MiViewPteBits((ULONG)Pte->Proto.Protection) | Cache));
    MiCountMapped(MiRegionOf(Address), 1);
}

/* What a valid prototype PTE holds: the frame; nobody's processor ever walks it. */
MMPTE MiMakePrototypeValid(PFN_FRAME Frame)
{
    return MiMakeValidPte(Frame, MI_KERNEL_RW_BITS & ~PTE_GLOBAL);
}

/* What MiMapPrototype would find, without mapping: MiPrototypeMapped means in memory. PFN lock. */
MI_PROTOTYPE_STATE MiLookAtPrototype(PMMPTE Prototype)
{
    MMPTE Content;

    ASSERT_PFN_LOCKED();
    if (MiFrameOfPrototype(Prototype) == MI_NO_FRAME32) {
        return MiPrototypeNotResident;
    }
    Content = *Prototype;
    if (Content.Hard.Valid) {
        return MiPrototypeMapped;
    }
    if (MiIsTransitionPte(Content)) {
        return (MiPfn(MiTransitionFrame(Content))->u4 & MI_U4_READ) != 0 ? MiPrototypeReading : MiPrototypeMapped;
    }
    if (MiIsPrototypePte(Content)) {
        return MiPrototypeAbsent;
    }
    return Content.Long == 0 ? MiPrototypeNothing : MiPrototypeDemandZero;
}

/**
 * MiShareFrame - one more PTE is about to name the frame of a prototype PTE that is in memory.
 *
 * returns  the frame, with a share for the caller's PTE. PFN lock; MiLookAtPrototype said MiPrototypeMapped.
 */
PFN_FRAME MiShareFrame(PMMPTE Prototype)
{
    PFN_FRAME Frame;

    ASSERT_PFN_LOCKED();
    if (Prototype->Hard.Valid) {
        Frame = MiPteFrame(*Prototype);
        MiIncrementShareCount(Frame);
    } else {
        Frame = MiTransitionFrame(*Prototype);
        MiUnlinkTransition(Frame);
        *Prototype = MiMakePrototypeValid(Frame);
        MmFaultCounters.StandbyHits++;
    }
    return Frame;
}

/* Gives a demand-zero prototype PTE its first frame, with a share for the caller's PTE; 0: no frame. PFN lock. */
PFN_FRAME MiShareZeroedFrame(PMMPTE Prototype)
{
    PFN_FRAME Frame = MiAllocateFrame(MI_FRAME_ZEROED);

    if (Frame != 0) {
        MiInitializePfn(Frame, Prototype, MiFrameOfPrototype(Prototype), *Prototype, MI_U4_PROTOTYPE | MI_U4_MODIFIED);
        MiSetFrameCacheType(Frame, (ULONG)Prototype->Soft.Protection);
        *Prototype = MiMakePrototypeValid(Frame);
    }
    return Frame;
}

/**
 * MiMapPrototype - makes a view's PTE valid if its page is in memory.
 *
 * @Pte        PTE in prototype form, naming @Prototype
 * @Address    what it maps
 * returns     MiPrototypeMapped, or why not
 *
 * IRQL: DISPATCH_LEVEL. Locks: PFN lock.
 */
MI_PROTOTYPE_STATE MiMapPrototype(PMMPTE Pte, PVOID Address, PMMPTE Prototype)
{
    MI_PROTOTYPE_STATE State = MiLookAtPrototype(Prototype);

    if (State == MiPrototypeMapped) {
        MiMakeViewPteValid(Pte, Address, MiShareFrame(Prototype));
    }
    return State;
}

/**
 * MiMapZeroedPrototype - gives a demand-zero prototype PTE its first frame and maps it.
 *
 * The frame is born modified: no other place holds its content. FALSE: no frame. IRQL: DISPATCH_LEVEL. Locks: PFN lock.
 */
BOOLEAN MiMapZeroedPrototype(PMMPTE Pte, PVOID Address, PMMPTE Prototype)
{
    PFN_FRAME Frame = MiShareZeroedFrame(Prototype);

    if (Frame != 0) {
        MiMakeViewPteValid(Pte, Address, Frame);
    }
    return Frame != 0;
}

/* See pfn.h. Only frames of files are counted: a page-file section dies with its last user, whatever it holds. */
VOID MiPrototypeFrameLost(MMPTE Original)
{
    PCONTROL_AREA ControlArea;

    ASSERT_PFN_LOCKED();
    if (!MiIsPrototypePte(Original)) {
        return; /* a page-file section's frame */
    }
    ControlArea = ((PSUBSECTION)MiProtoTarget(Original))->ControlArea;
    ASSERT(ControlArea->Frames != 0);
    ControlArea->Frames--;
    MiCheckControlArea(ControlArea);
}

BOOLEAN MiDeletePrototypeFrame(PCONTROL_AREA ControlArea, PMMPTE Prototype)
{
    MMPTE Content;
    PFN_FRAME Frame;
    PMMPFN Pfn;

    ASSERT_PFN_LOCKED();
    if (MiFrameOfPrototype(Prototype) == MI_NO_FRAME32) {
        return TRUE; /* only a page without a frame's share may have left memory */
    }
    Content = *Prototype;
    if (Content.Hard.Valid) {
        return FALSE;
    }
    if (!MiIsTransitionPte(Content)) {
        return TRUE;
    }
    Frame = MiTransitionFrame(Content);
    Pfn = MiPfn(Frame);
    ASSERT((Pfn->u4 & MI_U4_READ) == 0);
    *Prototype = Pfn->OriginalPte;
    MiDeletePfn(Frame);
    if (ControlArea->FileObject != NULL) {
        ControlArea->Frames--;
    }
    return TRUE;
}
