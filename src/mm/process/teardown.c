/*
 * teardown.c - the end of an address space.
 *
 * Nobody has it loaded and nobody can attach to it, so its tables change only here: they are walked through windows, from any
 * context, and no translation has to be flushed. Pages go first, a table's worth at a time, then the table, then what was above;
 * VADs last. A driver that still has pages of the process locked would write to memory that is somebody else's by then: bug check
 * PROCESS_HAS_LOCKED_PAGES.
 *
 * Locks: PFN lock, for at most MI_DELETE_BATCH entries at a time. The space stays on the list with what is left of it, so that
 * MiVerify finds shares and charges in step at any moment.
 */
#include "../misection.h"
#include "../miprocess.h"

/* TRUE: no entry of the table is in use. A root does not count its entries. */
static BOOLEAN MiIsTableEmpty(PMI_ADDRESS_SPACE Space, ULONG Frame)
{
    return Frame != Space->RootFrame && MiPfn(Frame)->OriginalPte.Soft.UsedEntries == 0;
}

/* Gives up what one entry of the lowest level holds. PFN lock. */
static VOID MiDeleteLeaf(PMI_ADDRESS_SPACE Space, MMPTE Pte)
{
    if (Pte.Hard.Valid) {
        PFN_FRAME Frame = MiPteFrame(Pte);

        if ((Pte.Long & MI_PTE_ALIAS) != 0) {
            return;
        }
        Space->WorkingSet--;
        if (Pte.Hard.Prototype) {
            if (Pte.Hard.Dirty) {
                MiSetModified(Frame);
            }
            MiReleaseSharedFrame(Frame);
        } else {
            MiDeletePfn(Frame);
            MiDecrementShareCount(Frame);
        }
    } else if (MiIsTransitionPte(Pte)) {
        MiDeletePfn(MiTransitionFrame(Pte));
    } else if (MiForkOfPte(Pte) != NULL) {
        MiDereferenceFork(MiForkOfPte(Pte));
    }
}

/* The next index, up to 512, whose entry is not zero: most tables are nearly empty, so eight entries are looked at together. */
static ULONG MiSkipEmpty(const MMPTE *Table, ULONG Index)
{
    while (Index < MI_TABLE_ENTRIES && Table[Index].Long == 0) {
        const MMPTE *Pte = &Table[Index];

        if (Index % 8 == 0 && (Pte[0].Long | Pte[1].Long | Pte[2].Long | Pte[3].Long | Pte[4].Long | Pte[5].Long |
                               Pte[6].Long | Pte[7].Long) == 0) {
            Index += 8;
        } else {
            Index++;
        }
    }
    return Index;
}

/* Takes up to MI_DELETE_BATCH entries of a table of user pages, from First on; returns where to go on. */
static ULONG MiDeleteLeaves(PMI_ADDRESS_SPACE Space, ULONG TableFrame, ULONG First)
{
    KIRQL Irql = MiLockPfn();
    PMMPTE Table = MiMapFrame(TableFrame, MiWriteBack);
    ULONG Index = First;

    for (ULONG Count = 0; Count < MI_DELETE_BATCH && !MiIsTableEmpty(Space, TableFrame); Count++) {
        MMPTE Pte;

        Index = MiSkipEmpty(Table, Index);
        ASSERT(Index < MI_TABLE_ENTRIES);
        Pte = Table[Index];
        Table[Index++].Long = 0;
        MiPfn(TableFrame)->OriginalPte.Soft.UsedEntries--;
        MiDeleteLeaf(Space, Pte);
    }
    MiUnmapFrame(Table);
    MiUnlockPfn(Irql);
    MiFreeDeadForks();
    return Index;
}

/* Frees the frame of a table. PFN lock. */
static VOID MiFreeTableFrame(PMI_ADDRESS_SPACE Space, ULONG Frame)
{
    MiDeletePfn(Frame);
    MiDecrementShareCount(Frame);
    Space->TablePages--;
    MiReturnCommitLocked(&Space->Commit, 1);
    MiCountMapped(MmRegionProcess, -1);
}

/* A table (or page of the working-set list) that holds nothing any more. Its entry in Parent is cleared. */
static VOID MiDeleteTable(PMI_ADDRESS_SPACE Space, ULONG Frame, ULONG Parent, ULONG Index)
{
    KIRQL Irql = MiLockPfn();

    MiWritePteInFrame(Parent, (PMMPTE)((ULONG64)Index * sizeof(MMPTE)), (MMPTE){.Long = 0});
    if (Parent != Space->RootFrame) {
        MiPfn(Parent)->OriginalPte.Soft.UsedEntries--;
    }
    MiFreeTableFrame(Space, Frame);
    MiUnlockPfn(Irql);
}

/* A large page, which the entry of a page directory maps. */
static VOID MiDeleteLargePage(MMPTE Entry, ULONG Directory, ULONG Index)
{
    KIRQL Irql = MiLockPfn();

    MiWritePteInFrame(Directory, (PMMPTE)((ULONG64)Index * sizeof(MMPTE)), (MMPTE){.Long = 0});
    MiPfn(Directory)->OriginalPte.Soft.UsedEntries--;
    MiDeleteLargeEntry(Entry);
    MiUnlockPfn(Irql);
}

/* Looks for a valid entry in [*Index, End) of a table, which stays mapped meanwhile. FALSE: there is none. */
static BOOLEAN MiNextEntry(PMI_ADDRESS_SPACE Space, ULONG TableFrame, PULONG Index, ULONG End, PMMPTE Entry)
{
    BOOLEAN Found;
    PMMPTE Table;
    KIRQL Irql;

    if (MiIsTableEmpty(Space, TableFrame)) {
        return FALSE;
    }
    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    Table = MiMapFrame(TableFrame, MiWriteBack);
    *Index = MiSkipEmpty(Table, *Index);
    while (*Index < End && !Table[*Index].Hard.Valid) {
        *Index = MiSkipEmpty(Table, *Index + 1);
    }
    Found = *Index < End;
    if (Found) {
        *Entry = Table[*Index];
    }
    MiUnmapFrame(Table);
    KeLowerIrql(Irql);
    return Found;
}

/* The first entry of a table that a region may use: entries outside every VAD are 0. Vpn: of entry 0. */
static ULONG MiFirstIndex(PMI_ADDRESS_SPACE Space, ULONG64 Vpn, ULONG Level)
{
    PMI_VAD Vad = MiFirstVadFrom(Space, Vpn);

    return Vad == NULL || Vad->StartVpn <= Vpn ? 0
                                               : (ULONG)min((Vad->StartVpn - Vpn) >> 9 * Level, MI_TABLE_ENTRIES - 1);
}

/* Empties a table of the user half. Level 3: PML4 ... 0: page table. Vpn: of entry 0. */
static VOID MiEmptyTable(PMI_ADDRESS_SPACE Space, ULONG Frame, ULONG Level, ULONG64 Vpn, ULONG End)
{
    ULONG Index = MiFirstIndex(Space, Vpn, Level);
    MMPTE Entry;

    if (Level == 0) {
        while (!MiIsTableEmpty(Space, Frame)) {
            Index = MiDeleteLeaves(Space, Frame, Index);
        }
        return;
    }
    for (; MiNextEntry(Space, Frame, &Index, End, &Entry); Index++) {
        if (Level == 1 && Entry.Hard.Large) {
            MiDeleteLargePage(Entry, Frame, Index);
            continue;
        }
        MiEmptyTable(Space, (ULONG)MiPteFrame(Entry), Level - 1, Vpn + ((ULONG64)Index << 9 * Level), MI_TABLE_ENTRIES);
        MiDeleteTable(Space, (ULONG)MiPteFrame(Entry), Frame, Index);
    }
}

/* Empties entries [First, End) of a table of hyperspace, whose level 0 names pages of the working-set list. */
static VOID MiEmptyHyperspace(PMI_ADDRESS_SPACE Space, ULONG Frame, ULONG Level, ULONG First, ULONG End)
{
    MMPTE Entry;

    for (ULONG Index = First; MiNextEntry(Space, Frame, &Index, End, &Entry); Index++) {
        if (Level != 0) {
            MiEmptyHyperspace(Space, (ULONG)MiPteFrame(Entry), Level - 1, 0, MI_TABLE_ENTRIES);
        }
        MiDeleteTable(Space, (ULONG)MiPteFrame(Entry), Frame, Index);
    }
}

VOID MiDeleteSpace(PMI_ADDRESS_SPACE Space)
{
    ULONG Hyperspace = (ULONG)(MiPxeOf((PVOID)MM_HYPERSPACE_BASE) - (PMMPTE)MI_PXE_BASE);
    PMI_VAD Vad;
    KIRQL Irql;

    if (Space->LockedPages != 0) {
        KeBugCheckEx(PROCESS_HAS_LOCKED_PAGES, 0, (ULONG_PTR)Space->Process, (ULONG_PTR)Space->LockedPages, 0);
    }
    ExAcquireFastMutex(&Space->AddressLock);
    ExAcquireFastMutex(&Space->WorkingSetLock);
    Space->Deleted = TRUE;
    MiEmptyTable(Space, Space->RootFrame, 3, 0, MI_TABLE_ENTRIES / 2);
    while ((Vad = MiNextVad(Space, NULL)) != NULL) {
        MiRemoveVad(Space, Vad);
        MiReturnCommit(&Space->Commit, Vad->Commit);
        MiForgetView(Vad);
        ExFreePoolWithTag(Vad, MI_TAG_VAD);
    }
    MiEmptyHyperspace(Space, Space->RootFrame, 3, Hyperspace, Hyperspace + 1);
    ExReleaseFastMutex(&Space->WorkingSetLock);
    ExReleaseFastMutex(&Space->AddressLock);

    Irql = MiLockPfn();
    RemoveEntryList(&Space->Link);
    MiFreeTableFrame(Space, Space->RootFrame);
    ASSERT(Space->Commit == 0 && Space->TablePages == 0 && Space->WorkingSet == 0);
    MiUnlockPfn(Irql);
}
