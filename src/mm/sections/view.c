/*
 * view.c - views of sections in the kernel half: the cache manager's and those of MmMapViewInSystemSpace.
 *
 * Mapping a view writes PTEs in prototype form: each names its prototype PTE and nothing is visible yet. Pages become valid by
 * faults, or ahead of use by MmMapResidentPages and MmMakeViewResident. Unmapping clears the PTEs through tlb.c by rule (b): no
 * shootdown, the frames are tagged with the TLB epoch and go to standby or modified, findable through their prototype PTEs; whoever
 * repurposes one flushes first. A view's address range is used again only after a flush by stamp.
 *
 * Cache views lie at slots that the cache manager chooses (one VACB, one slot); system-space views take runs of system PTEs.
 *
 * Locks: the PFN lock, for at most MI_VIEW_BATCH PTEs at a time. Never held across I/O, a flush of other processors or pool.
 */
#include "../misection.h"

/* PTEs handled under one hold of the PFN lock: a whole 256 KB view. */
#define MI_VIEW_BATCH 64

#define MI_CACHE_SLOTS (MM_SYSTEM_CACHE_SIZE / VACB_MAPPING_GRANULARITY)

/* ---- PTEs of a view ---- */

/*
 * Writes prototype-form PTEs for pages of a section; those that are set already stay. Pages without a prototype PTE are left out: the
 * section grew since the caller prepared its range, and who made it grow fills them in by MmExtendCacheView.
 */
static VOID MiFillViewPtes(PCONTROL_AREA ControlArea, ULONG64 FirstPage, PMMPTE Pte, ULONG64 Count, ULONG Protection)
{
    ULONG64 Run;

    for (ULONG64 Index = 0; Index < Count; Index += Run) {
        PSUBSECTION Subsection = MiSubsectionOfPage(ControlArea, FirstPage + Index);
        ULONG64 Place = FirstPage + Index - Subsection->StartingPage;
        KIRQL OldIrql = MiLockPfn();

        Run = min(min(Count - Index, (ULONG64)MI_VIEW_BATCH), Subsection->PteCount - Place);
        for (ULONG64 Next = Index; Subsection->Prototypes != NULL && Next < Index + Run; Next++, Place++) {
            if (Pte[Next].Long == 0) {
                Pte[Next] = MiMakeProtoPte(&Subsection->Prototypes[Place], Protection);
            }
        }
        MiUnlockPfn(OldIrql);
    }
}

/* Takes down up to MI_VIEW_BATCH PTEs. */
static VOID MiUnmapViewBatch(PMMPTE Pte, ULONG Count)
{
    PFN_FRAME Frames[MI_VIEW_BATCH];
    ULONG Live = 0, Epoch;
    MI_TLB_FLUSH Flush;
    MMPTE Zero = {0};
    KIRQL OldIrql;

    ASSERT(Count <= MI_VIEW_BATCH);
    MiBeginTlbFlush(&Flush, MiTlbSystemLazy);
    OldIrql = MiLockPfn();
    for (ULONG Index = 0; Index < Count; Index++) {
        if (Pte[Index].Hard.Valid) {
            MMPTE Old = MiDowngradePte(&Flush, &Pte[Index], MiAddressOf(&Pte[Index]), Zero);

            Frames[Live] = MiPteFrame(Old);
            if (Old.Hard.Dirty) {
                MiSetModified(Frames[Live]);
            }
            Live++;
        } else {
            Pte[Index] = Zero;
        }
    }
    Epoch = MiFlushTlb(&Flush);
    for (ULONG Index = 0; Index < Live; Index++) {
        MiTagFrame(MiPfn(Frames[Index]), Epoch);
        MiDecrementShareCount(Frames[Index]);
    }
    MiCountMapped(MiRegionOf(MiAddressOf(Pte)), -(LONG64)Live);
    MiUnlockPfn(OldIrql);
}

/* Takes down the PTEs of a view; valid ones give up their share. IRQL: <= APC_LEVEL. */
VOID MiUnmapViewPtes(PMMPTE First, ULONG Count)
{
    for (ULONG Done = 0; Done < Count; Done += MI_VIEW_BATCH) {
        MiUnmapViewBatch(First + Done, min(Count - Done, MI_VIEW_BATCH));
    }
}

VOID MiCountView(PCONTROL_AREA ControlArea, LONG Delta, BOOLEAN User)
{
    KIRQL OldIrql = MiLockPfn();

    ControlArea->Views = (ULONG)((LONG)ControlArea->Views + Delta);
    ControlArea->UserSections = (ULONG)((LONG)ControlArea->UserSections + (User ? Delta : 0));
    if (Delta > 0) {
        MmFaultCounters.ViewsMapped++;
    } else {
        MmFaultCounters.ViewsUnmapped++;
        MiCheckControlArea(ControlArea);
    }
    MiUnlockPfn(OldIrql);
}

/* ---- Cache views ---- */

/*
 * When each slot was last released, so that its range is flushed before it is used again. One stamp serves a group of
 * slots: 4096 stamps cover the slots that the cache manager can have.
 */
static volatile ULONG64 MiSlotStamp[4096];

static volatile ULONG64 *MiStampOfSlot(PVOID Base)
{
    return &MiSlotStamp[((ULONG64)Base - MM_SYSTEM_CACHE_BASE) / VACB_MAPPING_GRANULARITY % RTL_NUMBER_OF(MiSlotStamp)];
}

/* Bytes of the view at Offset that the section has; 0: none. */
static ULONG MiViewBytes(PCONTROL_AREA ControlArea, ULONG64 Offset)
{
    ULONG64 End = ControlArea->Pages << PAGE_SHIFT;

    return Offset >= End ? 0 : (ULONG)min(End - Offset, (ULONG64)VACB_MAPPING_GRANULARITY);
}

NTSTATUS MmMapCacheView(PCONTROL_AREA ControlArea, ULONG64 Offset, PVOID Base, PULONG Bytes)
{
    volatile ULONG64 *Stamp = MiStampOfSlot(Base);
    ULONG ViewBytes = MiViewBytes(ControlArea, Offset);

    ASSERT_IRQL_MAX(APC_LEVEL);
    ASSERT((Offset | (ULONG64)Base) % VACB_MAPPING_GRANULARITY == 0);
    ASSERT(((ULONG64)Base - MM_SYSTEM_CACHE_BASE) / VACB_MAPPING_GRANULARITY < MI_CACHE_SLOTS);
    if (ViewBytes == 0) {
        return STATUS_INVALID_VIEW_SIZE;
    }
    if (!MiMakeTablesResident(Base, VACB_MAPPING_GRANULARITY)) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    if (*Stamp != 0 && !MiTlbStampPassed(*Stamp)) {
        MiFlushAllTlb();
    }
    MiFillViewPtes(ControlArea, Offset >> PAGE_SHIFT, MiPteOf(Base), ViewBytes >> PAGE_SHIFT, MM_READONLY);
    MiCountView(ControlArea, 1, FALSE);
    *Bytes = ViewBytes;
    return STATUS_SUCCESS;
}

ULONG MmExtendCacheView(PCONTROL_AREA ControlArea, ULONG64 Offset, PVOID Base)
{
    ULONG ViewBytes = MiViewBytes(ControlArea, Offset);

    MiFillViewPtes(ControlArea, Offset >> PAGE_SHIFT, MiPteOf(Base), ViewBytes >> PAGE_SHIFT, MM_READONLY);
    return ViewBytes;
}

VOID MmUnmapCacheView(PCONTROL_AREA ControlArea, PVOID Base)
{
    ASSERT_IRQL_MAX(APC_LEVEL);
    MiUnmapViewPtes(MiPteOf(Base), VACB_MAPPING_GRANULARITY / PAGE_SIZE);
    *MiStampOfSlot(Base) = MiTlbStamp();
    MiCountView(ControlArea, -1, FALSE);
}

/* ---- Ahead of use ---- */

/* Maps the resident pages from Address on, until one is missing; returns the bytes that are valid. One PFN lock hold a batch. */
static SIZE_T MiMapResidentRun(PVOID Address, SIZE_T Bytes)
{
    SIZE_T Done = 0;

    while (Done < Bytes) {
        KIRQL OldIrql;
        BOOLEAN Missing = FALSE;

        OldIrql = MiLockPfn();
        for (ULONG Batch = 0; Batch < MI_VIEW_BATCH && Done < Bytes && !Missing; Batch++) {
            PVOID Page = (PUCHAR)Address + Done;
            PMMPTE Pte = MiPteOf(Page);

            Missing = !Pte->Hard.Valid &&
                      (!MiIsPrototypePte(*Pte) || MiMapPrototype(Pte, Page, MiProtoTarget(*Pte)) != MiPrototypeMapped);
            Done += Missing ? 0 : PAGE_SIZE;
        }
        MiUnlockPfn(OldIrql);
        if (Missing) {
            break;
        }
    }
    return min(Done, Bytes);
}

BOOLEAN MmMapResidentPages(PVOID Address, SIZE_T Bytes)
{
    Bytes += BYTE_OFFSET(Address);
    return MiMapResidentRun(PAGE_ALIGN(Address), Bytes) == Bytes;
}

NTSTATUS MmMakeViewResident(PVOID Address, SIZE_T Bytes)
{
    PUCHAR Next = PAGE_ALIGN(Address);
    PUCHAR End = (PUCHAR)Address + Bytes;

    ASSERT_IRQL_MAX(APC_LEVEL);
    while (Next < End) {
        Next += ROUND_TO_PAGES(MiMapResidentRun(Next, (SIZE_T)(End - Next)));
        if (Next < End) {
            PMMPTE Pte = MiPteOf(Next);
            NTSTATUS Status = STATUS_ACCESS_VIOLATION;

            if (Pte->Long != 0) {
                Status = MiResolvePrototypeFault(Pte, Next);
            }
            if (!NT_SUCCESS(Status)) {
                return Status;
            }
        }
    }
    return STATUS_SUCCESS;
}

/* ---- Views in system space ---- */

typedef struct _MI_SYSTEM_VIEW {
    LIST_ENTRY Link; /* (p) in MiSystemViews */
    PVOID Base;
    ULONG Pages;
    PCONTROL_AREA ControlArea;
} MI_SYSTEM_VIEW, *PMI_SYSTEM_VIEW;

static LIST_ENTRY MiSystemViews = {&MiSystemViews, &MiSystemViews}; /* (p) */

/**
 * MmMapViewInSystemSpace - maps a section into the kernel half.
 *
 * @Section     section object
 * @MappedBase  receives the address
 * @ViewSize    bytes, 0: the whole section; receives the size rounded up to pages
 *
 * IRQL: <= APC_LEVEL. Fails: STATUS_INVALID_VIEW_SIZE, STATUS_NO_MEMORY (addresses or pool).
 */
NTSTATUS NTAPI MmMapViewInSystemSpace(PVOID Section, PVOID *MappedBase, PSIZE_T ViewSize)
{
    PSECTION Object = Section;
    PCONTROL_AREA ControlArea = Object->ControlArea;
    SIZE_T Bytes = *ViewSize == 0 ? Object->Bytes : *ViewSize;
    ULONG64 Pages = BYTES_TO_PAGES(Bytes);
    PMI_SYSTEM_VIEW View;
    PMMPTE Pte;
    KIRQL OldIrql;

    ASSERT_IRQL_MAX(APC_LEVEL);
    if (ControlArea == NULL || Bytes == 0 || Pages > BYTES_TO_PAGES(Object->Bytes) || Pages > MAXULONG) {
        return STATUS_INVALID_VIEW_SIZE;
    }
    View = ExAllocatePoolWithTag(NonPagedPool, sizeof(*View), MI_TAG_CONTROL_AREA);
    if (View == NULL) {
        return STATUS_NO_MEMORY;
    }
    Pte = MiReserveSystemPtes((ULONG)Pages);
    if (Pte == NULL) {
        ExFreePoolWithTag(View, MI_TAG_CONTROL_AREA);
        return STATUS_NO_MEMORY;
    }
    /* last, since prototype PTEs stay with the section: none are made for addresses that cannot be had */
    if (!NT_SUCCESS(MmPrepareDataSection(ControlArea, 0, Bytes))) {
        MiReleaseSystemPtes(Pte, (ULONG)Pages);
        ExFreePoolWithTag(View, MI_TAG_CONTROL_AREA);
        return STATUS_NO_MEMORY;
    }
    View->Base = MiAddressOf(Pte);
    View->Pages = (ULONG)Pages;
    View->ControlArea = ControlArea;
    MiFillViewPtes(ControlArea, 0, Pte, Pages, (Object->Protection & 5) == MM_READWRITE ? MM_READWRITE : MM_READONLY);
    MiCountView(ControlArea, 1, TRUE);
    OldIrql = MiLockPfn();
    InsertTailList(&MiSystemViews, &View->Link);
    MiUnlockPfn(OldIrql);
    *MappedBase = View->Base;
    *ViewSize = Pages << PAGE_SHIFT;
    return STATUS_SUCCESS;
}

/* Unmaps what MmMapViewInSystemSpace returned. IRQL: <= APC_LEVEL. Fails: STATUS_NOT_MAPPED_VIEW. */
NTSTATUS NTAPI MmUnmapViewInSystemSpace(PVOID MappedBase)
{
    PMI_SYSTEM_VIEW View = NULL;
    KIRQL OldIrql;

    ASSERT_IRQL_MAX(APC_LEVEL);
    OldIrql = MiLockPfn();
    for (PLIST_ENTRY Link = MiSystemViews.Flink; Link != &MiSystemViews && View == NULL; Link = Link->Flink) {
        View = CONTAINING_RECORD(Link, MI_SYSTEM_VIEW, Link);
        if (View->Base != MappedBase) {
            View = NULL;
        }
    }
    if (View != NULL) {
        RemoveEntryList(&View->Link);
    }
    MiUnlockPfn(OldIrql);
    if (View == NULL) {
        return STATUS_NOT_MAPPED_VIEW;
    }
    MiUnmapViewPtes(MiPteOf(MappedBase), View->Pages);
    MiReleaseSystemPtes(MiPteOf(MappedBase), View->Pages);
    MiCountView(View->ControlArea, -1, TRUE);
    ExFreePoolWithTag(View, MI_TAG_CONTROL_AREA);
    return STATUS_SUCCESS;
}
