/*
 * bootmem.c - frames before there is a PFN database.
 *
 * A cursor that runs down from the top of the loader's free memory, so that low frames, which some devices need,
 * stay free. Nothing is ever given back through it, and it keeps no record of what it gave: every frame taken here
 * ends up in a kernel page table, and init.c finds it there when it fills the database. What the cursor skips (to
 * align a large page) no table names, so it becomes free like the rest.
 *
 * Two low frames are never given out: frame 0, so that a physical address of 0 is always a mistake, and the frame
 * below 1 MB that application processors will start on.
 *
 * Phase 0 only: one processor, interrupts off, no lock. Running dry is a bug check: the machine has too little RAM.
 */
#include "../bootp.h"

static const LOADER_MEMORY_DESCRIPTOR *MiBootDescriptors;
static ULONG MiBootIndex;   /* descriptor the cursor is in; those above are used up */
static ULONG64 MiBootLeft;  /* frames of it still free, from its base up */
static PFN_FRAME MiBootLow; /* the frame kept for starting processors */

/* The highest free frame from 0x1000 up to, not including, 0xA0000 (what SIPI can name and firmware leaves alone); 0: none. */
static PFN_FRAME MiFindTrampoline(ULONG Count)
{
    PFN_FRAME Best = 0;

    for (ULONG Index = 0; Index < Count; Index++) {
        PFN_FRAME First = MiBootDescriptors[Index].BasePage, End = First + MiBootDescriptors[Index].PageCount;

        if (MiBootDescriptors[Index].Type == LoaderFree && First < 0xA0) {
            Best = max(Best, min(End, 0xA0) - 1);
        }
    }
    return Best;
}

PFN_FRAME MiBootInitialize(LOADER_BLOCK *LoaderBlock)
{
    MiBootDescriptors = (const LOADER_MEMORY_DESCRIPTOR *)LoaderBlock->Descriptors;
    MiBootIndex = LoaderBlock->DescriptorCount;
    MiBootLeft = 0;
    MiBootLow = MiFindTrampoline(LoaderBlock->DescriptorCount);
    return MiBootLow;
}

/* Moves the cursor to the next free descriptor below; FALSE: none. */
static BOOLEAN MiBootNext(VOID)
{
    while (MiBootIndex != 0) {
        const LOADER_MEMORY_DESCRIPTOR *Next = &MiBootDescriptors[--MiBootIndex];

        if (Next->Type == LoaderFree && MiIsRamFrame(Next->BasePage) &&
            MiIsRamFrame(Next->BasePage + Next->PageCount - 1)) {
            MiBootLeft = Next->PageCount;
            return TRUE;
        }
    }
    return FALSE;
}

PFN_FRAME MiBootTake(VOID)
{
    for (;;) {
        PFN_FRAME Frame;

        while (MiBootLeft == 0) {
            if (!MiBootNext()) {
                KeBugCheckEx(INSTALL_MORE_MEMORY, MiRamFrames, 0, 0, 0);
            }
        }
        Frame = MiBootDescriptors[MiBootIndex].BasePage + --MiBootLeft;
        if (Frame != 0 && Frame != MiBootLow) {
            return Frame;
        }
    }
}

PFN_FRAME MiBootTakeLarge(VOID)
{
    const ULONG64 Pages = MM_LARGE_PAGE / MM_PAGE_SIZE;

    if (MiBootLeft == 0 && !MiBootNext()) {
        return 0;
    }
    for (;;) {
        PFN_FRAME Base = MiBootDescriptors[MiBootIndex].BasePage;
        PFN_FRAME Aligned = (Base + MiBootLeft) & ~(Pages - 1);

        /* the cursor only moves down inside one descriptor: what it would skip across descriptors is small pages' */
        if (Aligned < Base + Pages || Aligned - Pages < 0x100) {
            return 0;
        }
        MiBootLeft = Aligned - Pages - Base;
        return Aligned - Pages;
    }
}
