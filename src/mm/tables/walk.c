/*
 * walk.c - one walk over the kernel half's page tables, for whoever recomputes what counters claim.
 *
 * Goes top-down through the self-map and reads a table only after it has found the entry above valid and not large
 * (under a large page the self-map address is the data). The self-map's own slot is skipped: the tables it shows are
 * reported one by one as tables. Kernel tables are permanent, so no lock is needed to read them; what leaves say may
 * change meanwhile unless the caller stops it.
 *
 * A process's part is walked with its PML4 loaded, under the PFN lock, so that none of its tables goes meanwhile.
 */
#include "../miprocess.h"

#define MI_HYPERSPACE_SLOT ((ULONG)(MM_HYPERSPACE_BASE >> 39) & 511)

static VOID MiWalkEntries(PMI_WALK Walk, PMMPTE First, ULONG Level, ULONG Index, ULONG End)
{
    for (; Index < End; Index++) {
        PMMPTE Entry = &First[Index];
        PVOID Below = MiAddressOf(Entry); /* what it maps one level down: a table's self-map address, or the page */

        if (!Entry->Hard.Valid) {
            continue;
        }
        if (Level == 0 || Entry->Hard.Large) {
            for (ULONG Up = 0; Up < Level; Up++) {
                Below = MiAddressOf(Below);
            }
            Walk->Leaf(Walk, Below, Entry, Level);
        } else {
            if (Walk->Table != NULL) {
                Walk->Table(Walk, Entry);
            }
            MiWalkEntries(Walk, Below, Level - 1, 0, 512);
        }
    }
}

/* Loads an address space for a walk; returns the one that was loaded. IRQL: DISPATCH_LEVEL; nothing else may be done in it. */
ULONG64 MiLoadRoot(ULONG64 Root)
{
    ULONG64 Loaded = __readcr3();

    if (Root != 0 && Root != (Loaded & PTE_FRAME_MASK)) {
        __writecr3(Root);
    }
    return Loaded;
}

/* Back to what was loaded, with a flush of it alone: shootdowns meanwhile, and windows, went by the other's identifier. */
VOID MiRestoreRoot(ULONG64 Cr3)
{
    if (Cr3 != __readcr3()) {
        __writecr3(Cr3);
    }
}

ULONG64 MiSystemRoot(VOID)
{
    return PsInitialSystemProcess == NULL ? 0 : PsInitialSystemProcess->Pcb.DirectoryTableBase;
}

VOID MiWalkKernelHalf(PMI_WALK Walk)
{
    ULONG64 Loaded = MiLoadRoot(MiSystemRoot());

    if (Walk->Table != NULL) {
        Walk->Table(Walk, MiPxeOf((PVOID)MM_PTE_BASE)); /* the root: the self-map entry names it */
    }
    MiWalkEntries(Walk, (PMMPTE)MI_PXE_BASE, 3, 256, MM_SELF_SLOT);
    MiWalkEntries(Walk, (PMMPTE)MI_PXE_BASE, 3, MI_HYPERSPACE_SLOT + 1, 512);
    MiRestoreRoot(Loaded);
}

VOID MiWalkProcess(PMI_ADDRESS_SPACE Space, PMI_WALK Walk)
{
    ULONG64 Loaded = MiLoadRoot((ULONG64)Space->RootFrame << PAGE_SHIFT);

    ASSERT_PFN_LOCKED();
    if (Walk->Table != NULL) {
        Walk->Table(Walk, MiPxeOf((PVOID)MM_PTE_BASE));
    }
    MiWalkEntries(Walk, (PMMPTE)MI_PXE_BASE, 3, 0, 256);
    MiWalkEntries(Walk, (PMMPTE)MI_PXE_BASE, 3, MI_HYPERSPACE_SLOT, MI_HYPERSPACE_SLOT + 1);
    MiRestoreRoot(Loaded);
}

VOID MiWalkProcesses(PMI_WALK Walk)
{
    ASSERT_PFN_LOCKED();
    for (PLIST_ENTRY Link = MiAddressSpaces.Flink; Link != &MiAddressSpaces; Link = Link->Flink) {
        MiWalkProcess(CONTAINING_RECORD(Link, MI_ADDRESS_SPACE, Link), Walk);
    }
}
