/*
 * usertables.c - page tables of a process: made when a page needs them, freed when their last entry goes.
 *
 * A table's frame is owned by the entry that names it, and holds a share of the table above, as every page does. How many of its
 * entries are not zero is the used-entry count in its OriginalPte; at zero the table is freed, and so on upwards. The
 * PML4 alone is permanent. Taking a table away flushes its address in the self-map, which also drops what processors have
 * cached of the entries above (SDM 3A 4.10.4.1: INVLPG drops all paging-structure caches of the address space).
 *
 * MiDeleteUserRange is the one way in which pages of a living process leave: PTEs are downgraded and flushed by rule (a)
 * before a frame changes state.
 *
 * Locks: working-set lock held, the process's address space loaded; PFN lock taken for each change.
 */
#include "../misection.h"
#include "../miprocess.h"

PMMPTE MiResidentUserPte(const VOID *Address)
{
    if (!MiPxeOf(Address)->Hard.Valid || !MiPpeOf(Address)->Hard.Valid || !MiPdeOf(Address)->Hard.Valid ||
        MiPdeOf(Address)->Hard.Large) {
        return NULL;
    }
    return MiPteOf(Address);
}

VOID MiAddUsedEntries(PMMPTE Pte, LONG Delta)
{
    PMMPFN Pfn = MiPfn(MiTableFrameOf(Pte));

    LONG64 Used = (LONG64)Pfn->OriginalPte.Soft.UsedEntries + Delta;

    ASSERT_IRQL(DISPATCH_LEVEL);
    ASSERT(Used >= 0 && Used <= 512);
    Pfn->OriginalPte.Soft.UsedEntries = (ULONG64)Used;
}

/* Links a fresh table below an entry whose own table is resident. PFN lock; the frames were found to be there. */
static BOOLEAN MiMakeProcessTable(PMI_ADDRESS_SPACE Space, PMMPTE Entry, ULONG64 Bits)
{
    PFN_FRAME Frame = MiAllocateFrame(MI_FRAME_ZEROED | MI_FRAME_RESERVE);

    if (Frame != 0) {
        MiInitializePfn(Frame, Entry, MiTableFrameOf(Entry), MiMakeDemandZeroPte(MM_READWRITE), MI_U4_MODIFIED);
        MiWriteValidPte(Entry, MiMakeValidPte(Frame, Bits));
        MiForceCommitLocked(&Space->Commit, 1);
        Space->TablePages++;
        MiCountMapped(MmRegionProcess, 1);
        if ((ULONG64)PAGE_ALIGN(Entry) != MI_PXE_BASE) {
            MiAddUsedEntries(Entry, 1); /* the PML4 itself is not counted: it stays */
        }
    }
    return Frame != 0;
}

/*
 * The tables of the first so many levels below the PML4: all that are missing, or none. Were they asked for one by one and given back when
 * one fails, threads that take turns with few frames could go on like that for ever.
 */
static BOOLEAN MiMakeTables(PMI_ADDRESS_SPACE Space, PVOID Address, ULONG Levels)
{
    PMMPTE Entry[3] = {MiPxeOf(Address), MiPpeOf(Address), MiPdeOf(Address)};
    ULONG64 Bits = MI_TABLE_BITS | ((LONG64)Address >= 0 ? PTE_USER : 0);
    ULONG Level = 0;
    BOOLEAN Made;
    KIRQL Irql;

    while (Level < Levels && Entry[Level]->Hard.Valid) {
        Level++;
    }
    if (Level == Levels) {
        return TRUE;
    }
    Irql = MiLockPfn();
    for (Made = MiHasFrames(Levels - Level); Made && Level < Levels; Level++) {
        Made = MiMakeProcessTable(Space, Entry[Level], Bits);
    }
    MiUnlockPfn(Irql);
    if (!Made && (LONG64)Address >= 0) {
        MiReleaseEmptyTables(Space, Address); /* processors took the last ones for their stashes meanwhile */
    }
    return Made;
}

BOOLEAN MiMakeProcessTables(PMI_ADDRESS_SPACE Space, PVOID Address)
{
    ASSERT(!MiIsLargeAddress(Address));
    return MiMakeTables(Space, Address, 3);
}

BOOLEAN MiMakeUpperTables(PMI_ADDRESS_SPACE Space, PVOID Address)
{
    return MiMakeTables(Space, Address, 2);
}

static ULONG64 MiUsedEntries(PMMPTE Entry)
{
    return MiPfn(MiPteFrame(*Entry))->OriginalPte.Soft.UsedEntries;
}

/* One flush for all levels: the frames stay until no processor can walk through them. */
VOID MiReleaseEmptyTables(PMI_ADDRESS_SPACE Space, PVOID Address)
{
    PMMPTE Entry[3] = {MiPxeOf(Address), MiPpeOf(Address), MiPdeOf(Address)};
    PFN_FRAME Frame[RTL_NUMBER_OF(Entry)];
    ULONG Levels = 0, Gone = 0;
    MI_TLB_FLUSH Flush;
    KIRQL Irql;

    while (Levels < RTL_NUMBER_OF(Entry) && Entry[Levels]->Hard.Valid) {
        Levels++;
    }
    if (Levels == 0 || MiUsedEntries(Entry[Levels - 1]) != 0) {
        return;
    }
    Irql = MiLockPfn();
    MiBeginTlbFlush(&Flush, MiTlbUser);
    while (Levels != 0 && MiUsedEntries(Entry[Levels - 1]) == 0) {
        PMMPTE Top = Entry[--Levels];

        Frame[Gone++] = MiPteFrame(*Top);
        MiDowngradePte(&Flush, Top, MiAddressOf(Top), (MMPTE){.Long = 0});
        if (Levels != 0) {
            MiAddUsedEntries(Top, -1); /* the PML4 is not counted: it stays */
        }
    }
    MiFlushTlb(&Flush);
    for (ULONG Index = 0; Index < Gone; Index++) {
        MiDeletePfn(Frame[Index]);
        MiDecrementShareCount(Frame[Index]);
    }
    Space->TablePages -= Gone;
    MiReturnCommitLocked(&Space->Commit, Gone);
    MiCountMapped(MmRegionProcess, -(LONG64)Gone);
    MiUnlockPfn(Irql);
}

BOOLEAN MiNextResidentTable(PULONG64 Vpn, ULONG64 Last)
{
    while (*Vpn <= Last) {
        PVOID Address = MI_VPN_ADDRESS(*Vpn);
        ULONG Shift;

        if (!MiPxeOf(Address)->Hard.Valid) {
            Shift = 27;
        } else if (!MiPpeOf(Address)->Hard.Valid) {
            Shift = 18;
        } else if (!MiPdeOf(Address)->Hard.Valid || MiPdeOf(Address)->Hard.Large) {
            Shift = 9;
        } else {
            return TRUE;
        }
        *Vpn = ((*Vpn >> Shift) + 1) << Shift;
    }
    return FALSE;
}

VOID MiCountPtes(ULONG64 First, ULONG64 Last, PULONG64 NonZero, PULONG64 Decommitted)
{
    *NonZero = *Decommitted = 0;
    for (ULONG64 Vpn = First; MiNextResidentTable(&Vpn, Last);) {
        ULONG64 End = min(Last, Vpn | 511);

        for (; Vpn <= End; Vpn++) {
            MMPTE Pte = *MiPteOf(MI_VPN_ADDRESS(Vpn));

            *NonZero += Pte.Long != 0;
            *Decommitted += MiIsDecommitted(Pte);
        }
    }
}

/* ---- Giving pages up ---- */

typedef struct _MI_GIVEN_UP {
    PFN_FRAME Frame[MI_DELETE_BATCH];
    BOOLEAN Shared[MI_DELETE_BATCH];
    ULONG Count;
} MI_GIVEN_UP;

/* One PTE of a range; frames are kept back until the flush. */
static VOID MiGiveUpPte(PMI_ADDRESS_SPACE Space, PMMPTE Pte, MMPTE New, PMI_TLB_FLUSH Flush, MI_GIVEN_UP *Given)
{
    PVOID Address = MiAddressOf(Pte);
    MMPTE Old = *Pte;

    if (Old.Hard.Valid) {
        PFN_FRAME Frame;

        Old = MiDowngradePte(Flush, Pte, Address, New);
        Frame = MiPteFrame(Old);
        MiGiveWsle(Space, Frame, Address);
        if (Old.Hard.Dirty) {
            MiSetModified(Frame);
        }
        Given->Frame[Given->Count] = Frame;
        Given->Shared[Given->Count++] = Old.Hard.Prototype;
    } else {
        PMI_FORK_PAGE Page = MiForkOfPte(Old);

        if (MiIsTransitionPte(Old)) {
            MiDeletePfn(MiTransitionFrame(Old));
        } else if (Page != NULL) {
            MiDereferenceFork(Page);
        }
        *Pte = New;
    }
}

/* A PTE that shares a section's page, in memory or not. */
static BOOLEAN MiIsSectionPte(MMPTE Pte)
{
    BOOLEAN Shared = Pte.Hard.Valid ? Pte.Hard.Prototype : MiIsPrototypePte(Pte);

    return Shared && MiForkOfPte(Pte) == NULL;
}

/* Up to MI_DELETE_BATCH PTEs of one table. Returns the private pages given up. */
static ULONG64 MiGiveUpBatch(PMI_ADDRESS_SPACE Space, PMMPTE Pte, ULONG Count, MMPTE New)
{
    MI_GIVEN_UP Given = {.Count = 0};
    ULONG64 Private = 0;
    LONG Used = 0;
    MI_TLB_FLUSH Flush;
    KIRQL Irql = MiLockPfn();

    MiBeginTlbFlush(&Flush, MiTlbUser);
    for (ULONG Index = 0; Index < Count; Index++) {
        MMPTE Old = Pte[Index];

        Private += Old.Long != 0 && !MiIsDecommitted(Old) && !MiIsSectionPte(Old);
        Used += (New.Long != 0) - (Old.Long != 0);
        if (Old.Long != New.Long) {
            MiGiveUpPte(Space, &Pte[Index], New, &Flush, &Given);
        }
    }
    MiFlushTlb(&Flush);
    for (ULONG Index = 0; Index < Given.Count; Index++) {
        if (Given.Shared[Index]) {
            MiReleaseSharedFrame(Given.Frame[Index]);
        } else {
            MiDeletePfn(Given.Frame[Index]);
            MiDecrementShareCount(Given.Frame[Index]);
        }
    }
    MiAddUsedEntries(Pte, Used);
    MiUnlockPfn(Irql);
    MiFreeDeadForks();
    return Private;
}

ULONG64 MiDeleteUserRange(PMI_ADDRESS_SPACE Space, ULONG64 First, ULONG64 Last, MMPTE New)
{
    ULONG64 Vpn = First, Private = 0;

    while (MiNextResidentTable(&Vpn, Last)) {
        PVOID Table = MI_VPN_ADDRESS(Vpn);
        ULONG64 End = min(Last, Vpn | 511);

        while (Vpn <= End) {
            ULONG Count = (ULONG)min(End - Vpn + 1, MI_DELETE_BATCH);

            Private += MiGiveUpBatch(Space, MiPteOf(MI_VPN_ADDRESS(Vpn)), Count, New);
            Vpn += Count;
        }
        MiReleaseEmptyTables(Space, Table);
    }
    return Private;
}
