/*
 * exposure.c - how much of RAM the kernel can see at this moment.
 *
 * Exposure is the number of leaf PTEs of the kernel half that name RAM, by region: counted where mappings are made and
 * taken away (MiCountMapped), and recomputable from the tables (MmVerifyExposure); tests demand that the two agree. A
 * frame mapped twice counts twice, so the counter is never less than the distinct frames, which the walk also gives. Page
 * tables count through the self-map. A mapping of something that is not RAM is no exposure.
 *
 * Window slots are counted per processor (MI_PROCESSOR.WindowLive), because they change too often for a shared
 * counter; the peak adds the highest of each processor, which may overstate it, never the opposite.
 *
 * Counters are interlocked: any IRQL, no lock. The walk holds the PFN lock, under which mappings and counters change together.
 */
#include "../bootp.h"

static volatile LONG64 MiMapped[MmRegionMax];
static volatile LONG64 MiMappedTotal, MiMappedPeak;

MM_REGION MiRegionOf(PVOID Address)
{
    static const struct {
        ULONG64 Base, Size;
        MM_REGION Region;
    } Map[] = {
        {MM_PTE_BASE, MM_PTE_SIZE, MmRegionPageTables},
        {MM_HYPERSPACE_BASE, MM_HYPERSPACE_SIZE, MmRegionProcess},
        {MM_WINDOW_BASE, MM_WINDOW_STRIDE * KI_MAXIMUM_PROCESSORS, MmRegionWindow},
        {LOADER_STACK_VA, MM_KERNEL_IMAGE_BASE + MM_KERNEL_IMAGE_SIZE - LOADER_STACK_VA, MmRegionOther},
        {MM_KERNEL_IMAGE_BASE, MM_KERNEL_IMAGE_SIZE, MmRegionImages},
        {MM_SYSTEM_PTE_BASE, MM_SYSTEM_PTE_SIZE, MmRegionSystemPtes},
        {MM_PAGED_POOL_BASE, MM_PAGED_POOL_SIZE, MmRegionPagedPool},
        {MM_SYSTEM_CACHE_BASE, MM_SYSTEM_CACHE_SIZE, MmRegionSystemCache},
        {MM_PFN_DATABASE, MM_PFN_DATABASE_SIZE, MmRegionPfnDatabase},
        {MM_NONPAGED_POOL_BASE, MM_NONPAGED_POOL_SIZE, MmRegionNonPagedPool},
    };

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Map); Index++) {
        if ((ULONG64)Address - Map[Index].Base < Map[Index].Size) {
            return Map[Index].Region;
        }
    }
    return MmRegionOther;
}

PCSTR MiRegionName(MM_REGION Region)
{
    static const PCSTR Names[MmRegionMax] = {"images",     "page tables", "PFN database", "nonpaged pool",
                                             "paged pool", "system PTEs", "system cache", "window",
                                             "processes",  "other"};

    return Names[Region];
}

static VOID MiRaisePeak(LONG64 Total)
{
    LONG64 Peak = MiMappedPeak;

    while (Total > Peak) {
        LONG64 Seen = InterlockedCompareExchange64(&MiMappedPeak, Total, Peak);

        if (Seen == Peak) {
            return;
        }
        Peak = Seen;
    }
}

VOID MiCountMapped(MM_REGION Region, LONG64 Frames)
{
    InterlockedAdd64(&MiMapped[Region], Frames);
    MiRaisePeak(InterlockedAdd64(&MiMappedTotal, Frames));
}

ULONG64 MiMappedFrames(MM_REGION Region)
{
    return (ULONG64)MiMapped[Region];
}

VOID MmQueryExposure(PMM_EXPOSURE Exposure)
{
    LONG64 WindowPeak = 0;

    RtlZeroMemory(Exposure, sizeof(*Exposure));
    for (ULONG Region = 0; Region < MmRegionMax; Region++) {
        Exposure->Frames[Region] = (ULONG64)MiMapped[Region];
        Exposure->Total += Exposure->Frames[Region];
    }
    for (ULONG Index = 0; Index < KI_MAXIMUM_PROCESSORS; Index++) {
        PKPRCB Prcb = KiProcessorBlock[Index];

        if (Prcb != NULL && Prcb->Mm != NULL) {
            Exposure->Frames[MmRegionWindow] += Prcb->Mm->WindowLive;
            Exposure->Total += Prcb->Mm->WindowLive;
            WindowPeak += Prcb->Mm->WindowPeak;
        }
    }
    Exposure->RamFrames = MiRamFrames;
    Exposure->Peak = (ULONG64)(MiMappedPeak + WindowPeak);
}

VOID MmResetExposurePeak(VOID)
{
    InterlockedExchange64(&MiMappedPeak, MiMappedTotal);
    for (ULONG Index = 0; Index < KI_MAXIMUM_PROCESSORS; Index++) {
        PKPRCB Prcb = KiProcessorBlock[Index];

        if (Prcb != NULL && Prcb->Mm != NULL) {
            Prcb->Mm->WindowPeak = Prcb->Mm->WindowLive;
        }
    }
}

typedef struct _MI_EXPOSURE_WALK {
    MI_WALK Walk;
    PMM_EXPOSURE Exposure;
    PUCHAR Seen; /* a bit a frame, by frame number; NULL: distinct frames are not counted */
} MI_EXPOSURE_WALK;

static VOID MiSeeFrames(MI_EXPOSURE_WALK *Walk, MM_REGION Region, PFN_FRAME First, ULONG64 Count)
{
    for (PFN_FRAME Frame = First; Frame < First + Count; Frame++) {
        if (!MiIsRamFrame(Frame)) {
            continue;
        }
        Walk->Exposure->Frames[Region]++;
        if (Walk->Seen == NULL || (Walk->Seen[Frame / 8] & (1 << (Frame % 8))) == 0) {
            Walk->Exposure->Distinct++;
        }
        if (Walk->Seen != NULL) {
            Walk->Seen[Frame / 8] |= 1 << (Frame % 8);
        }
    }
}

static VOID MiSeeLeaf(PMI_WALK Walk, PVOID Address, PMMPTE Entry, ULONG Level)
{
    MiSeeFrames((MI_EXPOSURE_WALK *)Walk, MiRegionOf(Address), MiPteFrame(*Entry) & ~((1ULL << (9 * Level)) - 1),
                1ULL << (9 * Level));
}

static VOID MiSeeTable(PMI_WALK Walk, PMMPTE Entry)
{
    MiSeeFrames((MI_EXPOSURE_WALK *)Walk, MmRegionPageTables, MiPteFrame(*Entry), 1);
}

/* Pages of the working-set list count, pages of the user half do not: the kernel half does not show them. */
static VOID MiSeeProcessLeaf(PMI_WALK Walk, PVOID Address, PMMPTE Entry, ULONG Level)
{
    if ((LONG64)Address < 0) {
        MiSeeFrames((MI_EXPOSURE_WALK *)Walk, MmRegionProcess, MiPteFrame(*Entry), 1);
    }
}

static VOID MiSeeProcessTable(PMI_WALK Walk, PMMPTE Entry)
{
    MiSeeFrames((MI_EXPOSURE_WALK *)Walk, MmRegionProcess, MiPteFrame(*Entry), 1);
}

VOID MiWalkExposure(PMM_EXPOSURE Exposure, PUCHAR Seen)
{
    MI_EXPOSURE_WALK Walk = {{MiSeeLeaf, MiSeeTable}, Exposure, Seen};
    MI_EXPOSURE_WALK Process = {{MiSeeProcessLeaf, MiSeeProcessTable}, Exposure, Seen};

    RtlZeroMemory(Exposure, sizeof(*Exposure));
    MiWalkKernelHalf(&Walk.Walk);
    MiWalkProcesses(&Process.Walk);
    for (ULONG Region = 0; Region < MmRegionMax; Region++) {
        Exposure->Total += Exposure->Frames[Region];
    }
    Exposure->RamFrames = MiRamFrames;
    Exposure->Peak = (ULONG64)MiMappedPeak;
}

VOID MmVerifyExposure(PMM_EXPOSURE Exposure)
{
    SIZE_T Bytes = MiHighestFrame / 8 + 1, Pages = ROUND_TO_PAGES(Bytes) / MM_PAGE_SIZE;
    PUCHAR Seen = MmAllocatePoolPages(FALSE, Bytes, 'xEmM', TRUE);
    KIRQL Irql;

    Irql = MiLockPfn();
    MiWalkExposure(Exposure, Seen);
    MiUnlockPfn(Irql);
    if (Seen != NULL) {
        /* the bitmap is gone when the caller compares: it is taken out of the result */
        MmFreePoolPages(Seen);
        Exposure->Frames[MmRegionNonPagedPool] -= Pages;
        Exposure->Total -= Pages;
        Exposure->Distinct -= Pages;
    }
}

VOID MiInitializeExposure(VOID)
{
    MM_EXPOSURE Exposure;
    KIRQL Irql;

    Irql = MiLockPfn();
    MiWalkExposure(&Exposure, NULL);
    MiUnlockPfn(Irql);
    for (ULONG Region = 0; Region < MmRegionMax; Region++) {
        MiMapped[Region] = (LONG64)Exposure.Frames[Region];
    }
    MiMappedTotal = MiMappedPeak = (LONG64)Exposure.Total;
}
