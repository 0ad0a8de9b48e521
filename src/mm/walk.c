/*
 * walk.c - one walk over the kernel half's page tables, for whoever recomputes what counters claim.
 *
 * Goes top-down through the self-map and reads a table only after it has found the entry above valid and not large
 * (under a large page the self-map address is the data). The self-map's own slot is skipped: the tables it shows are
 * reported one by one as tables. Kernel tables are permanent, so no lock is needed to read them; what leaves say may
 * change meanwhile unless the caller stops it.
 */
#include "mip.h"

static VOID MiWalkTable(PMI_WALK Walk, PMMPTE First, ULONG Level)
{
    if (Walk->Table != NULL && Level < 3) {
        Walk->Table(Walk, MiPteOf(First));
    }
    for (ULONG Index = 0; Index < 512; Index++) {
        PMMPTE Entry = &First[Index];
        PVOID Below = MiAddressOf(Entry); /* what it maps one level down: a table's self-map address, or the page */

        if (!Entry->Hard.Valid || (Level == 3 && (Index < 256 || Index == MM_SELF_SLOT))) {
            continue;
        }
        if (Level == 0 || Entry->Hard.Large) {
            for (ULONG Up = 0; Up < Level; Up++) {
                Below = MiAddressOf(Below);
            }
            Walk->Leaf(Walk, Below, Entry, Level);
        } else {
            MiWalkTable(Walk, Below, Level - 1);
        }
    }
}

VOID MiWalkKernelHalf(PMI_WALK Walk)
{
    if (Walk->Table != NULL) {
        Walk->Table(Walk, MiPxeOf((PVOID)MM_PTE_BASE)); /* the root: the self-map entry names it */
    }
    MiWalkTable(Walk, (PMMPTE)MI_PXE_BASE, 3);
}
