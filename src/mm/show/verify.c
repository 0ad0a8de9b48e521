/*
 * verify.c - MiVerify: recomputes what the memory manager believes.
 *
 * Checked, by the numbers of docs/page-states.md:
 *   1. every frame is on exactly the list its state says, or active; list lengths equal counts; the sum is all RAM;
 *   2. an owner PTE names its frame (valid for Active, transition for Standby, Modified and Transition); share counts equal
 *      what is found: 1 for a kernel page or table, plus one for each frame whose owner PTE lies in it; for
 *      a prototype frame the valid PTEs of views that name it; prototype PTEs and their frames agree;
 *   3. no valid PTE, of the kernel half or of a process, names a frame on a list; those that all processes share are global;
 *   4. zeroed frames are zero (the first of the list are looked at);
 *   5. processes: used entries, working-set lists and charges (verifyprocess.c);
 *   6. exposure counters equal the walk.
 *
 * Share counts are checked without memory of their own: every find is subtracted from the entry, what must be left is
 * known, and a second pass adds the finds back. All of it runs under the PFN lock at DISPATCH_LEVEL with the other processors
 * frozen below it, so it sees one moment: PTEs and their counters change together at DISPATCH_LEVEL.
 */
#include <ntos/console.h>
#include "../bootp.h"
#include "../miprocess.h"
#include "../misection.h"

#define MI_REPORTED 12 /* findings printed; the rest are counted */
#define MI_SAMPLED  16 /* zeroed frames whose content is looked at */

static ULONG MiFindings; /* (p) of the run in progress */

static VOID MiReport(PCSTR What, PFN_FRAME Frame)
{
    if (MiFindings++ < MI_REPORTED) {
        PMMPFN Pfn = MiIsRamFrame(Frame) ? MiPfn(Frame) : NULL;

        ConPrint("verify: frame 0x%llx: %s (u1 0x%llx, pte 0x%llx, u4 0x%llx)\n", (unsigned long long)Frame, What,
                 (unsigned long long)(Pfn ? (ULONG64)Pfn->u1.InPageBlock : 0),
                 (unsigned long long)(Pfn ? Pfn->PteAddressLong : 0), (unsigned long long)(Pfn ? Pfn->u4 : 0));
    }
}

/* ---- 1: lists ---- */

static ULONG64 MiVerifyList(PMI_PFN_LIST List, ULONG Priority)
{
    ULONG Before = MI_NO_FRAME32;
    ULONG64 Length = 0;

    for (ULONG Frame = List->Head; Frame != MI_NO_FRAME32; Frame = MiPfn(Frame)->u1.Flink) {
        if (!MiIsRamFrame(Frame) || ++Length > List->Count) {
            MiReport("a list runs on past its count, or out of RAM", Frame);
            return Length;
        }
        if (MiPfnState(MiPfn(Frame)) != List->State || MiPfnReferences(MiPfn(Frame)) != 0 ||
            (List->State == MiStandby && MiPfnPriority(MiPfn(Frame)) != Priority)) {
            MiReport("state, priority or references disagree with the list it is on", Frame);
        }
        if (MiPfn(Frame)->u1.Blink != Before) {
            MiReport("backward link broken", Frame);
        }
        Before = Frame;
    }
    if (Length != List->Count || List->Tail != Before) {
        MiReport("list length differs from its count", Before);
    }
    return Length;
}

static VOID MiVerifyLists(VOID)
{
    ULONG64 ByState[MiStateMax] = {0}, Listed[MiStateMax] = {0}, Sum = 0, Free, Zeroed;

    for (ULONG Index = 0; Index < MiListMax; Index++) {
        Listed[MiLists[Index].State] += MiVerifyList(&MiLists[Index], Index - MiListStandby0);
    }
    for (ULONG Run = 0; Run < MiRamRunCount; Run++) {
        for (ULONG64 Index = 0; Index < MiRamRuns[Run].Count; Index++) {
            ByState[MiPfnState(MiPfn(MiRamRuns[Run].Base + Index))]++;
        }
    }
    if (!MiCountStashed(&Free, &Zeroed)) {
        MiReport("a stashed frame is not marked so", 0);
    }
    Listed[MiFree] += Free;
    Listed[MiZeroed] += Zeroed;
    for (ULONG State = 0; State < MiStateMax; State++) {
        Sum += ByState[State];
        if (State != MiActive && State != MiTransition && ByState[State] != Listed[State]) {
            MiReport("frames in a state differ from those on its lists (frame is the state)", State);
        }
    }
    if (Sum != MiRamFrames || MiAvailableFrames != (LONG64)(Listed[MiFree] + Listed[MiZeroed] + Listed[MiStandby])) {
        MiReport("the sum of the states is not RAM, or the available count is wrong", Sum);
    }
}

/* ---- 2: owners and shares ---- */

static BOOLEAN MiOwnerIsInTables(const MMPFN *Pfn)
{
    return MiPfnPteFrame(Pfn) == MI_NO_FRAME32;
}

/* A leaf of level 0 or 1 (a frame of a large page is owned by the PDE). */
static BOOLEAN MiEntryNames(MMPTE Entry, PFN_FRAME Frame, BOOLEAN MayBeLarge)
{
    ULONG64 Span = MayBeLarge && Entry.Hard.Large ? MM_LARGE_PAGE / MM_PAGE_SIZE : 1;

    return Entry.Hard.Valid && Frame - (MiPteFrame(Entry) & ~(Span - 1)) < Span;
}

static VOID MiVerifyActiveOwner(PFN_FRAME Frame, const MMPFN *Pfn)
{
    PMMPTE Pte = MiPfnPteAddress(Pfn);
    MMPTE Entry;

    if (Pte == NULL || MiPfnIsDeleted(Pfn)) {
        return; /* held for the loader, or only by references */
    }
    if (!MiOwnerIsInTables(Pfn)) {
        Entry = MiReadPteInFrame(MiPfnPteFrame(Pfn), Pte);
    } else if (MmIsAddressValid(Pte)) {
        Entry = *Pte;
    } else {
        MiReport("owner PTE lies in no table", Frame);
        return;
    }
    if (!MiEntryNames(Entry, Frame, (ULONG64)Pte >= MI_PDE_BASE)) {
        MiReport("active, but its owner PTE does not name it", Frame);
    }
}

static VOID MiVerifyTransitionOwner(PFN_FRAME Frame, const MMPFN *Pfn)
{
    MMPTE Entry;

    if (MiPfnIsDeleted(Pfn)) {
        return;
    }
    if (MiOwnerIsInTables(Pfn) && !MmIsAddressValid(MiPfnPteAddress(Pfn))) {
        MiReport("owner PTE lies in no table", Frame);
        return;
    }
    Entry = MiOwnerIsInTables(Pfn) ? *MiPfnPteAddress(Pfn) : MiReadPteInFrame(MiPfnPteFrame(Pfn), MiPfnPteAddress(Pfn));
    if (!MiIsTransitionPte(Entry) || MiTransitionFrame(Entry) != Frame) {
        MiReport("its owner PTE is not a transition PTE naming it", Frame);
    }
}

static VOID MiVerifyOwner(PFN_FRAME Frame)
{
    const MMPFN *Pfn = MiPfn(Frame);

    switch (MiPfnState(Pfn)) {
    case MiActive:
        if (MiPfnReferences(Pfn) == 0 || Pfn->u1.ShareCount == 0) {
            MiReport("active without a reference or a share", Frame);
        }
        MiVerifyActiveOwner(Frame, Pfn);
        break;
    case MiTransition:
        if (MiPfnReferences(Pfn) == 0) {
            MiReport("in transition without a reference", Frame);
        }
        MiVerifyTransitionOwner(Frame, Pfn);
        break;
    case MiStandby:
    case MiModified:
    case MiModifiedNoWrite:
        MiVerifyTransitionOwner(Frame, Pfn);
        break;
    default:
        break;
    }
}

typedef struct _MI_VERIFY_WALK {
    MI_WALK Walk;
    LONG Change; /* what a find adds to the share count; 0: only look at what leaves name */
} MI_VERIFY_WALK;

/* 2 and 3, for a valid kernel leaf. */
static VOID MiVerifyLeaf(PMI_WALK Walk, PVOID Address, PMMPTE Entry, ULONG Level)
{
    LONG Change = ((MI_VERIFY_WALK *)Walk)->Change;
    PFN_FRAME Frame = MiPteFrame(*Entry);
    ULONG State;

    if (Change == 0 && (LONG64)Address < 0 && !Entry->Hard.Global && MiRegionOf(Address) != MmRegionProcess) {
        MiReport("mapped by the kernel half for all, but not global", Frame);
    }
    if (Level != 0 || !MiIsRamFrame(Frame)) {
        return;
    }
    State = MiPfnState(MiPfn(Frame));
    if (Change == 0 && State != MiActive && (State != MiTransition || MiPfnReferences(MiPfn(Frame)) == 0)) {
        MiReport("named by a valid PTE, but not in use", Frame);
    }
    if (Entry->Hard.Prototype && State == MiActive) { /* a view's PTE: a share; an alias is none */
        MiPfn(Frame)->u1.ShareCount += Change;
    }
}

/* Adds Change to the share count of each page that holds the owner PTE of a frame. */
static VOID MiChangeContainers(LONG Change)
{
    for (ULONG Run = 0; Run < MiRamRunCount; Run++) {
        for (ULONG64 Index = 0; Index < MiRamRuns[Run].Count; Index++) {
            const MMPFN *Pfn = MiPfn(MiRamRuns[Run].Base + Index);
            ULONG State = MiPfnState(Pfn), Container = MiPfnPteFrame(Pfn);

            if (State != MiFree && State != MiZeroed && State != MiBad && Container != MI_NO_FRAME32) {
                MiPfn(Container)->u1.ShareCount += Change;
            }
        }
    }
}

/* With all finds subtracted: 1 is left of a kernel page (its own PTE), 0 of a prototype frame, but for one that its section holds. */
static ULONG MiSharesLeft(const MMPFN *Pfn)
{
    return (Pfn->u4 & MI_U4_PROTOTYPE) == 0 ||
           (Pfn->OriginalPte.Long & (MI_PTE_PROTOTYPE | MI_PTE_LARGE_SECTION)) == MI_PTE_LARGE_SECTION;
}

static VOID MiVerifyShares(VOID)
{
    MI_VERIFY_WALK Walk = {{MiVerifyLeaf, NULL}, 0};

    MiWalkKernelHalf(&Walk.Walk);
    MiWalkProcesses(&Walk.Walk);
    MiChangeContainers(-1);
    Walk.Change = -1;
    MiWalkKernelHalf(&Walk.Walk);
    MiWalkProcesses(&Walk.Walk);
    for (ULONG Run = 0; Run < MiRamRunCount; Run++) {
        for (ULONG64 Index = 0; Index < MiRamRuns[Run].Count; Index++) {
            PMMPFN Pfn = MiPfn(MiRamRuns[Run].Base + Index);

            if (MiPfnState(Pfn) == MiActive && Pfn->u1.ShareCount != MiSharesLeft(Pfn)) {
                MiReport("share count differs from the PTEs found (u1: what is left)", MiFrameOf(Pfn));
            }
        }
    }
    Walk.Change = 1;
    MiWalkKernelHalf(&Walk.Walk);
    MiWalkProcesses(&Walk.Walk);
    MiChangeContainers(1);
}

/* ---- 4 and 6 ---- */

static VOID MiVerifyZeroed(VOID)
{
    ULONG Frame = MiLists[MiListZeroed].Head;

    for (ULONG Sample = 0; Sample < MI_SAMPLED && Frame != MI_NO_FRAME32; Sample++) {
        const ULONG64 *Words = MiMapFrame(Frame, MiWriteBack);
        ULONG64 Bits = 0;

        for (ULONG Index = 0; Index < MM_PAGE_SIZE / sizeof(*Words); Index++) {
            Bits |= Words[Index];
        }
        MiUnmapFrame((PVOID)Words);
        if (Bits != 0) {
            MiReport("on the Zeroed list, but not zero", Frame);
        }
        Frame = MiPfn(Frame)->u1.Flink;
    }
}

static VOID MiVerifyCounters(VOID)
{
    MM_EXPOSURE Counted, Walked;

    MmQueryExposure(&Counted);
    MiWalkExposure(&Walked, NULL);
    for (ULONG Region = 0; Region < MmRegionMax; Region++) {
        if (Counted.Frames[Region] != Walked.Frames[Region]) {
            MiFindings++;
            ConPrint("verify: exposure of region %u: counter %llu, walk %llu\n", (unsigned)Region,
                     (unsigned long long)Counted.Frames[Region], (unsigned long long)Walked.Frames[Region]);
        }
    }
}

ULONG MiVerify(VOID)
{
    KIRQL Irql = KeFreezeProcessors();
    ULONG64 Loaded;
    ULONG Findings;

    MiLockPfn();
    Loaded = MiLoadRoot(MiSystemRoot());
    VfStopWatch(); /* all of memory is looked at in one go, for tests alone */
    MiFindings = 0;
    MiVerifyLists();
    for (ULONG Run = 0; Run < MiRamRunCount; Run++) {
        for (ULONG64 Index = 0; Index < MiRamRuns[Run].Count; Index++) {
            MiVerifyOwner(MiRamRuns[Run].Base + Index);
        }
    }
    MiVerifyShares();
    MiFindings += MiVerifySections() + MiVerifyProcesses();
    MiVerifyZeroed();
    MiVerifyCounters();
    Findings = MiFindings;
    MiRestoreRoot(Loaded);
    VfResumeWatch();
    MiUnlockPfn(DISPATCH_LEVEL);
    KeThawProcessors(Irql);
    if (Findings > MI_REPORTED) {
        ConPrint("verify: %u findings in all\n", (unsigned)Findings);
    }
    return Findings;
}
