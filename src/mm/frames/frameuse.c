/*
 * frameuse.c - what frames are used for, told from the PFN database alone.
 *
 * A frame's owner PTE says it: its address lies in the self-map, so it is known which address the frame is for, and a
 * frame that a prototype PTE owns names its subsection in OriginalPte. Nothing is counted while the system runs; whoever wants to
 * know looks at every entry, under the PFN lock, which makes it one moment: sums are exact.
 *
 * The table of files is sized before that moment and found by binary search. Control areas in it are referenced, so that their names
 * can be asked for afterwards.
 *
 * Locks: PFN lock for the pass over all frames (about 60 instructions a frame). IRQL: PASSIVE_LEVEL but for MiFrameUse.
 */
#include "../frameuse.h"

#define MI_TAG_SNAPSHOT 'nSmM'
#define MI_SPARE_FILES  16 /* files that may come between counting and copying */

PCSTR MiUseName(MI_FRAME_USE Use)
{
    static const PCSTR Names[] = {"unused",        "process private", "image",       "mapped file",  "cache",
                                  "shared memory", "page table",      "working set", "paged pool",   "prototype PTEs",
                                  "nonpaged pool", "kernel stack",    "system PTE",  "PFN database", "kernel image",
                                  "driver",        "no PTE",          "AWE"};
    C_ASSERT(RTL_NUMBER_OF(Names) == MiUseMax);

    return Names[Use];
}

PCSTR MiStateName(ULONG State)
{
    static const PCSTR Names[] = {"Zeroed",          "Free", "Standby", "Modified",
                                  "ModifiedNoWrite", "Bad",  "Active",  "Transition"};
    C_ASSERT(RTL_NUMBER_OF(Names) == MiStateMax);

    return Names[State];
}

/* ---- One frame ---- */

static MI_FRAME_USE MiUseOfFile(MMPTE Original, PCONTROL_AREA *File)
{
    PCONTROL_AREA ControlArea;

    if (!MiIsPrototypePte(Original)) {
        return MiUseShared;
    }
    ControlArea = ((PSUBSECTION)MiProtoTarget(Original))->ControlArea;
    *File = ControlArea;
    return ControlArea->Image != NULL ? MiUseImage : ControlArea->UserSections != 0 ? MiUseMappedFile : MiUseCache;
}

static MI_FRAME_USE MiUseOfKernelAddress(const MMPFN *Pfn, PVOID Address)
{
    const KLDR_DATA_TABLE_ENTRY *Kernel =
        CONTAINING_RECORD(PsLoadedModuleList.Flink, KLDR_DATA_TABLE_ENTRY, InLoadOrderLinks);

    switch (MiRegionOf(Address)) {
    case MmRegionImages:
        return (ULONG64)Address - (ULONG64)Kernel->DllBase < Kernel->SizeOfImage ? MiUseKernelImage : MiUseDriver;
    case MmRegionPfnDatabase:
        return MiUsePfnDatabase;
    case MmRegionNonPagedPool:
        return MiUseNonPagedPool;
    case MmRegionPagedPool: /* each prototype PTE that names a frame holds a share of its page */
        return Pfn->u1.ShareCount > 1 ? MiUsePrototype : MiUsePagedPool;
    case MmRegionSystemPtes:
        return Pfn->OriginalPte.Long == MI_STACK_MARK ? MiUseStack : MiUseSystemPte;
    case MmRegionProcess:
        return MiUseWorkingSet;
    default:
        return MiUseMdl;
    }
}

/* A PDE or an entry above owns it: a table, or part of a large page of the kernel, whose tables stay. */
static MI_FRAME_USE MiUseOfUpperEntry(const MMPFN *Pfn, PMMPTE Entry)
{
    if (MiPfnPteFrame(Pfn) == MI_NO_FRAME32 && Entry->Hard.Valid && Entry->Hard.Large) {
        return MiUseOfKernelAddress(Pfn, MiAddressOf(MiAddressOf(Entry)));
    }
    return MiUsePageTable;
}

/* No PTE owns it. Large pages of a process and its PML4 are told by what the PTE would get back; only the PML4 holds entries. */
static MI_FRAME_USE MiUseWithoutPte(const MMPFN *Pfn)
{
    if (Pfn->OriginalPte.Long == 0) {
        return MiUseMdl;
    }
    return Pfn->u1.ShareCount > 1 ? MiUsePageTable : MiUsePrivate;
}

MI_FRAME_USE MiFrameUse(PFN_FRAME Frame, PCONTROL_AREA *File)
{
    const MMPFN *Pfn = MiPfn(Frame);
    PMMPTE Pte = MiPfnPteAddress(Pfn);
    ULONG State = MiPfnState(Pfn);
    PVOID Address;

    ASSERT_PFN_LOCKED();
    *File = NULL;
    if (State == MiZeroed || State == MiFree || State == MiBad) {
        return MiUseUnused;
    }
    if (MiPfnIsDeleted(Pfn)) {
        return MiUseMdl; /* its owner is gone: somebody's reference keeps it */
    }
    if ((Pfn->u4 & MI_U4_PROTOTYPE) != 0) {
        return MiUseOfFile(Pfn->OriginalPte, File);
    }
    if (Pte == NULL) {
        return MiUseWithoutPte(Pfn);
    }
    Address = MiAddressOf(Pte);
    if ((LONG64)Address >= 0) {
        return MiUsePrivate;
    }
    return MiRegionOf(Address) == MmRegionPageTables ? MiUseOfUpperEntry(Pfn, Pte) : MiUseOfKernelAddress(Pfn, Address);
}

/* ---- All of them ---- */

static ULONG MiCountFiles(VOID)
{
    ULONG Count = 0;
    KIRQL Irql = MiLockPfn();

    for (PLIST_ENTRY Link = MiControlAreas.Flink; Link != &MiControlAreas; Link = Link->Flink) {
        Count += CONTAINING_RECORD(Link, CONTROL_AREA, Link)->FileObject != NULL;
    }
    MiUnlockPfn(Irql);
    return Count;
}

/* In the order of addresses, by insertion: tens of files, and most come in order. PFN lock. */
static VOID MiListFiles(PMI_FRAME_SNAPSHOT Snapshot, ULONG Room)
{
    for (PLIST_ENTRY Link = MiControlAreas.Flink; Link != &MiControlAreas; Link = Link->Flink) {
        PCONTROL_AREA ControlArea = CONTAINING_RECORD(Link, CONTROL_AREA, Link);
        ULONG At = Snapshot->FileCount;

        if (ControlArea->FileObject == NULL || At == Room) {
            continue;
        }
        MiReferenceControlArea(ControlArea);
        for (; At != 0 && Snapshot->Files[At - 1].ControlArea > ControlArea; At--) {
            Snapshot->Files[At] = Snapshot->Files[At - 1];
        }
        Snapshot->Files[At] = (MI_FILE_FRAMES){.ControlArea = ControlArea};
        Snapshot->FileCount++;
    }
}

static VOID MiCountFileFrame(PMI_FRAME_SNAPSHOT Snapshot, PCONTROL_AREA File, MI_FRAME_USE Use, ULONG State)
{
    ULONG Low = 0, High = Snapshot->FileCount;

    while (Low < High) {
        ULONG Middle = (Low + High) / 2;

        if (Snapshot->Files[Middle].ControlArea < File) {
            Low = Middle + 1;
        } else {
            High = Middle;
        }
    }
    if (Low == Snapshot->FileCount || Snapshot->Files[Low].ControlArea != File) {
        Snapshot->OtherFiles++; /* being deleted, or new */
        return;
    }
    Snapshot->Files[Low].Use = Use;
    Snapshot->Files[Low].Frames[State == MiStandby                                  ? MiFileStandby
                                : State == MiModified || State == MiModifiedNoWrite ? MiFileModified
                                                                                    : MiFileActive]++;
}

static VOID MiCountFrame(PMI_FRAME_SNAPSHOT Snapshot, PFN_FRAME Frame, PUCHAR Code)
{
    ULONG State = MiPfnState(MiPfn(Frame));
    PCONTROL_AREA File;
    MI_FRAME_USE Use = MiFrameUse(Frame, &File);

    Snapshot->Counts.Of[Use][State]++;
    if (State == MiStandby) {
        Snapshot->Counts.Standby[MiPfnPriority(MiPfn(Frame))]++;
    }
    if (File != NULL) {
        MiCountFileFrame(Snapshot, File, Use, State);
    }
    if (Code != NULL) {
        *Code = MI_FRAME_CODE(Use, State);
    }
}

NTSTATUS MiTakeFrameSnapshot(PMI_FRAME_SNAPSHOT Snapshot, PUCHAR Codes)
{
    ULONG Room = MiCountFiles() + MI_SPARE_FILES;
    KIRQL Irql;

    ASSERT_IRQL(PASSIVE_LEVEL);
    RtlZeroMemory(Snapshot, sizeof(*Snapshot));
    Snapshot->Files = ExAllocatePoolWithTag(NonPagedPool, Room * sizeof(*Snapshot->Files), MI_TAG_SNAPSHOT);
    if (Snapshot->Files == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Irql = MiLockPfn();
    VfStopWatch(); /* one moment of all of RAM, for a person who asked for it */
    MiListFiles(Snapshot, Room);
    for (ULONG Run = 0; Run < MiRamRunCount; Run++) {
        for (ULONG64 Index = 0; Index < MiRamRuns[Run].Count; Index++) {
            MiCountFrame(Snapshot, MiRamRuns[Run].Base + Index, Codes);
            Codes += Codes != NULL;
        }
    }
    VfResumeWatch();
    MiUnlockPfn(Irql);
    return STATUS_SUCCESS;
}

VOID MiReleaseFrameSnapshot(PMI_FRAME_SNAPSHOT Snapshot)
{
    for (ULONG Index = 0; Index < Snapshot->FileCount; Index++) {
        MiDereferenceControlArea(Snapshot->Files[Index].ControlArea);
    }
    ExFreePoolWithTag(Snapshot->Files, MI_TAG_SNAPSHOT);
}
