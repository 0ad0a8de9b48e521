/*
 * largesect.c - sections in large pages: SEC_LARGE_PAGES.
 *
 * Such a section has no file, is committed, and has all its frames from the beginning to the end: runs of 512, one for each 2 MB. Each
 * frame belongs to a prototype PTE, as every section's does, and the section itself holds a share of it, so that it is never without one
 * and never leaves memory. A view asked for with MEM_LARGE_PAGES maps a run by one page-directory entry (largevm.c), which is no share: the
 * view's hold on the section keeps the frames. A view in small pages, of a process or of the system, shares them as it would any others.
 *
 * Locks: PFN lock for each frame that gets or loses its owner. The prototype PTEs of a run lie in paged pool, which is touched first.
 *
 * Source: SEC_LARGE_PAGES in the Windows documentation of CreateFileMapping.
 */
#include "../misection.h"
#include "../miprocess.h"

#define MI_LARGE_FRAMES (MM_LARGE_PAGE / MM_PAGE_SIZE)

/* Gives a frame, which nobody knows, to a prototype PTE that has none. */
static VOID MiOwnFrame(PMMPTE Prototype, PFN_FRAME Frame)
{
    for (BOOLEAN Done = FALSE; !Done;) {
        MMPTE Original = {.Long = MiMakeDemandZeroPte(MM_READWRITE).Long | MI_PTE_LARGE_SECTION};
        KIRQL Irql;

        (void)*(volatile ULONG64 *)&Prototype->Long; /* resident before the PFN lock is taken */
        Irql = MiLockPfn();
        Done = MiFrameOfPrototype(Prototype) != MI_NO_FRAME32;
        if (Done) {
            MiChangeOwner(Frame, Prototype, MiFrameOfPrototype(Prototype), Original, TRUE);
            *Prototype = MiMakePrototypeValid(Frame);
        }
        MiUnlockPfn(Irql);
    }
}

static PMMPTE MiLargePrototype(PCONTROL_AREA ControlArea, ULONG64 Page)
{
    PSUBSECTION Subsection = MiSubsectionOfPage(ControlArea, Page);

    return Subsection->Prototypes == NULL ? NULL : &Subsection->Prototypes[Page - Subsection->StartingPage];
}

/**
 * MiFillLargeSection - gives a section its frames, zeroed.
 *
 * @ControlArea  of whole large pages, in the hands of the caller alone
 *
 * IRQL: PASSIVE_LEVEL; no locks. Fails: STATUS_INSUFFICIENT_RESOURCES; the frames that it has by then go with the section.
 */
NTSTATUS MiFillLargeSection(PCONTROL_AREA ControlArea)
{
    NTSTATUS Status = MiCreatePrototypes(ControlArea, 0, ControlArea->Pages);

    ASSERT_IRQL(PASSIVE_LEVEL);
    for (ULONG64 Page = 0; Page < ControlArea->Pages && NT_SUCCESS(Status); Page += MI_LARGE_FRAMES) {
        PFN_FRAME First = MiTakeLargeRun();

        if (First == 0) {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        for (ULONG64 Index = 0; Index < MI_LARGE_FRAMES; Index++) {
            MiOwnFrame(MiLargePrototype(ControlArea, Page + Index), First + Index);
        }
    }
    for (ULONG64 Page = 0; Page < ControlArea->Pages && NT_SUCCESS(Status); Page += MI_LARGE_FRAMES) {
        MiZeroLargeRun(MiPteFrame(*MiLargePrototype(ControlArea, Page))); /* when it is sure that there are enough */
    }
    return Status;
}

/* Gives up what the section holds; nobody else has a share. A frame that a device still has locked is freed when that lets go. */
VOID MiEmptyLargeSection(PCONTROL_AREA ControlArea)
{
    for (ULONG64 Page = 0; Page < ControlArea->Pages; Page++) {
        PMMPTE Prototype = MiLargePrototype(ControlArea, Page);
        KIRQL Irql = MiLockPfn();

        if (Prototype != NULL && MiFrameOfPrototype(Prototype) != MI_NO_FRAME32 && Prototype->Hard.Valid) {
            PFN_FRAME Frame = MiPteFrame(*Prototype);

            *Prototype = MiMakeDemandZeroPte(MM_READWRITE);
            MiDeletePfn(Frame);
            MiDecrementShareCount(Frame);
        }
        MiUnlockPfn(Irql);
    }
}
