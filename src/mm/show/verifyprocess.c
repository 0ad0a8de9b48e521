/*
 * verifyprocess.c - what MiVerify recomputes of processes.
 *
 *   - a page table's used-entry count is the number of its entries that are not 0, and TablePages the number of tables and pages of
 *     the working-set list;
 *   - the working-set list has one entry for each valid PTE of the user half, and names it; the frame names a Direct entry, the hash
 *     as many of the others as it says;
 *   - a VAD's charge is what its PTEs and its kind promise; every PTE that is not 0 lies in a VAD;
 *   - all charges add up to what is committed.
 *
 * What changes under the PFN lock is looked at always. VADs are compared with PTEs only in spaces that nobody is working on (both
 * mutexes free), since a service changes them step by step.
 *
 * Locks: PFN lock. IRQL: DISPATCH_LEVEL. Each space is loaded in turn.
 */
#include <ntos/console.h>
#include "../misection.h"
#include "../miprocess.h"

typedef struct _MI_SPACE_WALK {
    MI_WALK Walk;
    PMI_ADDRESS_SPACE Space;
    ULONG64 Tables, Pages; /* tables and list pages; valid PTEs of the user half */
    ULONG Findings;
} MI_SPACE_WALK, *PMI_SPACE_WALK;

static VOID MiReportSpace(PMI_SPACE_WALK Walk, PCSTR What, ULONG64 Found, ULONG64 Expected)
{
    if (Walk->Findings++ == 0) {
        ConPrint("verify: address space %p: %s: %llu found, %llu expected\n", (PVOID)Walk->Space, What,
                 (unsigned long long)Found, (unsigned long long)Expected);
    }
}

static VOID MiVerifyTable(PMI_WALK Walk, PMMPTE Entry)
{
    PMI_SPACE_WALK Space = (PMI_SPACE_WALK)Walk;
    const MMPTE *Table = MiAddressOf(Entry);
    ULONG64 Used = 0, Counted = MiPfn(MiPteFrame(*Entry))->OriginalPte.Soft.UsedEntries;

    Space->Tables++;
    if (Entry == MiPxeOf((PVOID)MM_PTE_BASE)) {
        return; /* the PML4 is not counted: it stays */
    }
    for (ULONG Index = 0; Index < 512; Index++) {
        Used += Table[Index].Long != 0;
    }
    if (Used != Counted) {
        MiReportSpace(Space, "used entries of a table", Used, Counted);
    }
}

static VOID MiVerifyProcessLeaf(PMI_WALK Walk, PVOID Address, PMMPTE Entry, ULONG Level)
{
    PMI_SPACE_WALK Space = (PMI_SPACE_WALK)Walk;

    if (Level != 0) {
        return; /* a large page is not in the list */
    }
    if ((LONG64)Address < 0) {
        Space->Tables++;
    } else if ((Entry->Long & MI_PTE_ALIAS) == 0) {
        Space->Pages++;
    }
}

/* An entry in use. */
static VOID MiVerifyWsle(PMI_SPACE_WALK Walk, ULONG Index)
{
    PMMPTE Pte = MiResidentUserPte(MI_VPN_ADDRESS((ULONG64)MI_WSL[Index].Vpn));

    if (Pte == NULL || !Pte->Hard.Valid) {
        MiReportSpace(Walk, "working-set entry whose PTE is not valid", Index, 0);
    } else if (MI_WSL[Index].Direct && MiPfn(MiPteFrame(*Pte))->u1.WorkingSetIndex != Index) {
        MiReportSpace(Walk, "working-set index of a page", MiPfn(MiPteFrame(*Pte))->u1.WorkingSetIndex, Index);
    } else if (!MI_WSL[Index].Direct && !Pte->Hard.Prototype) {
        MiReportSpace(Walk, "working-set entry of a private page that its frame does not name", Index, 0);
    }
}

/* The list against the page tables. */
static VOID MiVerifyWsl(PMI_SPACE_WALK Walk)
{
    PMI_ADDRESS_SPACE Space = Walk->Space;
    ULONG64 Valid = 0, Free = 0, Indirect = 0, Hashed;

    for (ULONG Index = 1; Index < Space->WslEntries; Index++) {
        if (MI_WSL[Index].Valid) {
            Valid++;
            Indirect += !MI_WSL[Index].Direct;
            MiVerifyWsle(Walk, Index);
        }
    }
    for (ULONG Index = Space->WslFree; Index < Space->WslEntries && Free < Space->WslEntries;
         Index = MiNextFreeWsle(Index)) {
        Free++;
    }
    if (Valid != Space->WorkingSet || Walk->Pages != Space->WorkingSet) {
        MiReportSpace(Walk, "working-set entries", Valid, Walk->Pages);
    }
    if (Valid + Free + 1 != Space->WslEntries) {
        MiReportSpace(Walk, "entries of the list, used and free", Valid + Free + 1, Space->WslEntries);
    }
    if (Indirect != Space->WslIndirect) {
        MiReportSpace(Walk, "entries that their frames do not name", Indirect, Space->WslIndirect);
    }
    if (MiVerifyWslHash(Space, &Hashed) != 0 || Hashed != Space->WslHashed) {
        MiReportSpace(Walk, "entries in the hash of the list", Hashed, Space->WslHashed);
    }
}

/* What the PTEs and the kind of a VAD promise. */
static ULONG64 MiPromised(PMI_VAD Vad, PULONG64 NonZero)
{
    ULONG64 Decommitted;

    MiCountPtes(Vad->StartVpn, Vad->EndVpn, NonZero, &Decommitted);
    if (Vad->Type != MiVadPrivate) {
        return Vad->Commit;
    }
    return Vad->CommitAll ? Vad->EndVpn - Vad->StartVpn + 1 - Decommitted : *NonZero;
}

static VOID MiVerifyVads(PMI_SPACE_WALK Walk)
{
    PMI_ADDRESS_SPACE Space = Walk->Space;
    ULONG64 Commit = Space->TablePages, Inside = 0, Reserved = 0, All, Unused;
    PMI_VAD Vad = NULL;

    while ((Vad = MiNextVad(Space, Vad)) != NULL) {
        ULONG64 NonZero, Promised = MiPromised(Vad, &NonZero);

        if (Promised != Vad->Commit) {
            MiReportSpace(Walk, "pages a VAD promises", Promised, Vad->Commit);
        }
        Commit += Vad->Commit;
        Inside += NonZero;
        Reserved += Vad->EndVpn - Vad->StartVpn + 1;
    }
    if (MiVerifyGaps(Space) != 0) {
        MiReportSpace(Walk, "VADs that are wrong about what is below them", MiVerifyGaps(Space), 0);
    }
    MiCountPtes(0, MI_VPN(MI_HIGHEST_USER), &All, &Unused);
    if (All != Inside) {
        MiReportSpace(Walk, "PTEs that are not 0, and those that lie in VADs", All, Inside);
    }
    if (Reserved != Space->Reserved) {
        MiReportSpace(Walk, "pages of all VADs", Reserved, Space->Reserved);
    }
    if (Commit != Space->Commit) {
        MiReportSpace(Walk, "pages charged to the process", Commit, Space->Commit);
    }
}

static BOOLEAN MiIsQuiet(PMI_ADDRESS_SPACE Space)
{
    return Space->AddressLock.Count == 1 && Space->WorkingSetLock.Count == 1;
}

static ULONG MiVerifySpace(PMI_ADDRESS_SPACE Space)
{
    MI_SPACE_WALK Walk = {{MiVerifyProcessLeaf, MiVerifyTable}, Space, 0, 0, 0};
    ULONG64 Loaded;

    MiWalkProcess(Space, &Walk.Walk);
    if (Walk.Tables != Space->TablePages) {
        MiReportSpace(&Walk, "tables", Walk.Tables, Space->TablePages);
    }
    Loaded = MiLoadRoot((ULONG64)Space->RootFrame << PAGE_SHIFT);
    if (!Space->Deleted) {
        MiVerifyWsl(&Walk);
    }
    if (MiIsQuiet(Space)) {
        MiVerifyVads(&Walk);
    }
    MiRestoreRoot(Loaded);
    return Walk.Findings;
}

ULONG MiVerifyProcesses(VOID)
{
    ULONG64 Commit = MiCommit.Sections;
    ULONG Findings = 0;

    ASSERT_PFN_LOCKED();
    for (PLIST_ENTRY Link = MiAddressSpaces.Flink; Link != &MiAddressSpaces; Link = Link->Flink) {
        PMI_ADDRESS_SPACE Space = CONTAINING_RECORD(Link, MI_ADDRESS_SPACE, Link);

        Findings += MiVerifySpace(Space);
        Commit += Space->Commit;
    }
    if (MiVerifyForks() != 0) {
        Findings++;
        ConPrint("verify: fork prototype PTEs and the PTEs that name them differ\n");
    }
    if (Commit != MiCommit.Charged) {
        Findings++;
        ConPrint("verify: commit: %llu pages charged, %llu found\n", (unsigned long long)MiCommit.Charged,
                 (unsigned long long)Commit);
    }
    return Findings;
}
