/*
 * init.c - the memory manager comes up, on one processor with interrupts off.
 *
 *   1. Descriptors become runs of RAM; the boot cursor starts.
 *   2. The user half and what it mapped are dropped; a table is linked below every kernel PML4 slot that has a region.
 *      Those 4 KB tables are what it costs that PML4 entries never change and no address space has to be told of new ones.
 *   3. The window of this processor; the PFN database, backed where RAM is; the shared user page.
 *   4. Every frame that a kernel table names is Active, owned by the entry that names it; what the loader still holds
 *      is Active without an owner PTE; the rest of its free memory goes on the Free list, high frames first.
 *   5. Ranges of addresses (system PTEs, pools), exposure counters.
 *
 * After step 4 the boot cursor is dead and MiAllocateFrame is the only source of frames. MmFreeLoaderMemory (phase 1)
 * returns what the loader held.
 */
#include <ntos/console.h>
#include <ntos/sysimage.h>
#include "bootp.h"
#include "miprocess.h"
#include "range.h"

/* Address space a range may use: 16 GB, whose bitmap (128 pages of addresses, one frame to begin with) shares its first table. */
#define MI_RANGE_BYTES (16ULL << 30)

PFN_FRAME MmTrampolineFrame;
MI_RANGE MiNonPagedArea, MiPagedArea;
VF_NAME_LOCK(MiNonPagedArea, "MI_RANGE.Lock");
VF_NAME_LOCK(MiPagedArea, "MI_RANGE.Lock");
static MI_PROCESSOR MiProcessor0;
static MI_PFN_COSTS MiCosts;

/* ---- Step 2: the root ---- */

static VOID MiPrepareRoot(VOID)
{
    static const struct {
        ULONG64 Base, Size;
    } Regions[] = {
        {MM_SHARED_USER_DATA, MM_PTE_SIZE}, /* hyperspace belongs to each process */
        {MM_KERNEL_IMAGE_BASE, MM_KERNEL_IMAGE_SIZE}, {MM_SYSTEM_PTE_BASE, MM_SYSTEM_PTE_SIZE + MM_PAGED_POOL_SIZE},
        {MM_SYSTEM_CACHE_BASE, MM_SYSTEM_CACHE_SIZE}, {MM_PFN_DATABASE, MM_KASAN_SHADOW_BASE - MM_PFN_DATABASE},
    };
    PMMPTE Root = (PMMPTE)MI_PXE_BASE;

    for (ULONG Slot = 0; Slot < 256; Slot++) {
        Root[Slot].Long = 0;
    }
    MiFlushAllTlb();
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Regions); Index++) {
        ULONG64 Slots = (Regions[Index].Size + (1ULL << 39) - 1) >> 39;

        for (ULONG64 Slot = 0; Slot < Slots; Slot++) {
            PVOID Address = (PVOID)(Regions[Index].Base + (Slot << 39));

            if (!MiPxeOf(Address)->Hard.Valid) {
                MiBootMakeTable(MiPxeOf(Address));
            }
        }
    }
}

/* ---- Step 3: what is mapped from the start ---- */

static VOID MiMapDatabasePage(PVOID Context, ULONG64 Offset, BOOLEAN Large)
{
    PUCHAR Address = (PUCHAR)MM_PFN_DATABASE + Offset;
    PFN_FRAME Frame = Large ? MiBootTakeLarge() : 0;

    if (Frame != 0) {
        MiBootMapLarge(Address, Frame);
        RtlZeroMemory(Address, MM_LARGE_PAGE);
        MiCosts.LargePages++;
        return;
    }
    /* 4 KB pages: a part of RAM, or no aligned 2 MB at the boot cursor */
    for (ULONG64 Done = 0; Done < (Large ? MM_LARGE_PAGE : MM_PAGE_SIZE); Done += MM_PAGE_SIZE) {
        MiBootMap(Address + Done, MiBootTake());
        RtlZeroMemory(Address + Done, MM_PAGE_SIZE);
        MiCosts.SmallPages++;
    }
}

static VOID MiInitializeWindow(PMI_PROCESSOR Processor, ULONG Number)
{
    PVOID Base = (PVOID)(MM_WINDOW_BASE + Number * MM_WINDOW_STRIDE);

    Processor->WindowPtes = MiPteOf(Base);
}

/* ---- Step 4: what each frame is ---- */

static BOOLEAN MiIsClaimed(PFN_FRAME Frame)
{
    return MiPfnReferences(MiPfn(Frame)) != 0;
}

static VOID MiClaimActive(PFN_FRAME Frame, PMMPTE Owner, ULONG CacheType)
{
    PMMPFN Pfn = MiPfn(Frame);

    if (MiIsClaimed(Frame)) {
        return; /* mapped twice by the loader: the first mapping is the owner */
    }
    Pfn->u1.ShareCount = 1;
    Pfn->PteAddress = Owner;
    MiPfnChange(Pfn, ~0ULL,
                MI_NO_FRAME32 | (1ULL << MI_U4_REF_SHIFT) | ((ULONG64)MiActive << MI_U4_STATE_SHIFT) |
                    ((ULONG64)CacheType << MI_U4_CACHE_SHIFT));
}

static VOID MiClaimTable(PMI_WALK Walk, PMMPTE Entry)
{
    if (MiIsRamFrame(MiPteFrame(*Entry))) {
        MiClaimActive(MiPteFrame(*Entry), Entry, MiWriteBack);
    }
}

static VOID MiClaimLeaf(PMI_WALK Walk, PVOID Address, PMMPTE Entry, ULONG Level)
{
    PFN_FRAME First = MiPteFrame(*Entry) & ~((1ULL << (9 * Level)) - 1);

    for (PFN_FRAME Frame = First; Frame < First + (1ULL << (9 * Level)); Frame++) {
        if (MiIsRamFrame(Frame)) {
            MiClaimActive(Frame, Entry, MiWriteBack);
        }
    }
}

static VOID MiPutOnList(PFN_FRAME Frame, MI_LIST_INDEX List)
{
    MiPfnChange(MiPfn(Frame), ~0ULL, MI_NO_FRAME32 | ((ULONG64)MiTransition << MI_U4_STATE_SHIFT));
    MiInsertListTail(List, Frame);
}

/* What the tables do not name, from the top of RAM down, so that high frames are used first. */
static VOID MiPlaceFrames(const LOADER_MEMORY_DESCRIPTOR *Descriptor)
{
    if (!MiIsRamFrame(Descriptor->BasePage)) {
        return; /* not RAM: firmware reserves gigabytes of addresses, which are not walked */
    }
    for (PFN_FRAME Frame = Descriptor->BasePage + Descriptor->PageCount; Frame-- != Descriptor->BasePage;) {
        if (!MiIsRamFrame(Frame) || MiIsClaimed(Frame)) {
            continue;
        }
        if (Frame == 0 || Frame == MmTrampolineFrame) {
            MiClaimActive(Frame, NULL, MiWriteBack);
        } else if (Descriptor->Type == LoaderFree) {
            MiPutOnList(Frame, MiListFree);
        } else if (Descriptor->Type == LoaderBad) {
            MiPutOnList(Frame, MiListBad);
        } else {
            MiClaimActive(Frame, NULL, MiWriteBack);
        }
    }
}

static VOID MiFillDatabase(LOADER_BLOCK *LoaderBlock)
{
    const LOADER_MEMORY_DESCRIPTOR *Descriptors = (const LOADER_MEMORY_DESCRIPTOR *)LoaderBlock->Descriptors;
    MI_WALK Walk = {MiClaimLeaf, MiClaimTable};
    KIRQL Irql = MiLockPfn();

    MiInitializeLists();
    MiWalkKernelHalf(&Walk);
    for (ULONG Index = LoaderBlock->DescriptorCount; Index-- != 0;) {
        MiPlaceFrames(&Descriptors[Index]);
    }
    MiPfnReady = TRUE;
    MiUnlockPfn(Irql);
}

/* ---- The whole ---- */

static VOID MiInitializeRanges(VOID)
{
    if (!MiInitializeRange(&MiSystemPtes, (PVOID)MM_SYSTEM_PTE_BASE, MI_RANGE_BYTES, MmRegionSystemPtes) ||
        !MiInitializeRange(&MiNonPagedArea, (PVOID)MM_NONPAGED_POOL_BASE, MI_RANGE_BYTES, MmRegionNonPagedPool) ||
        !MiInitializeRange(&MiPagedArea, (PVOID)MM_PAGED_POOL_BASE, MI_RANGE_BYTES, MmRegionPagedPool)) {
        KeBugCheckEx(INSTALL_MORE_MEMORY, MiRamFrames, MiAvailableFrames, 0, 0);
    }
}

VOID MmInitializePhase0(LOADER_BLOCK *LoaderBlock)
{
    ULONG64 LeftOut;

    ASSERT(LoaderBlock->Magic == LOADER_BLOCK_MAGIC);
    KeGetCurrentPrcb()->Mm = &MiProcessor0;
    LeftOut =
        MiCollectRamRuns((const LOADER_MEMORY_DESCRIPTOR *)LoaderBlock->Descriptors, LoaderBlock->DescriptorCount);
    if (LeftOut != 0) {
        ConPrint("mm: %llu pages of RAM are left unused (too many pieces, or above 16 TB)\n",
                 (unsigned long long)LeftOut);
    }
    MmTrampolineFrame = MiBootInitialize(LoaderBlock);
    MiPrepareRoot();
    MiMakeTablesResident((PVOID)MM_WINDOW_BASE, MM_PAGE_SIZE);
    MiInitializeWindow(&MiProcessor0, 0);
    MiPlanPfnDatabase(MiMapDatabasePage, NULL);
    MiBootMap((PVOID)MM_SHARED_USER_DATA, MiBootTake());
    RtlZeroMemory((PVOID)MM_SHARED_USER_DATA, MM_PAGE_SIZE);
    MiFlushAllTlb(); /* tables were linked before they were zeroed: nothing walked through garbage may stay */
    MiFillDatabase(LoaderBlock);
    MiInitializeRanges();
    MiInitializeExposure();
}

VOID MiQueryPfnCosts(PMI_PFN_COSTS Costs)
{
    *Costs = MiCosts;
}

BOOLEAN MmPrepareProcessor(PKPRCB Prcb)
{
    PMI_PROCESSOR Processor;

    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    if (!MiMakeTablesResident((PVOID)(MM_WINDOW_BASE + Prcb->Number * MM_WINDOW_STRIDE), MM_PAGE_SIZE)) {
        return FALSE;
    }
    Processor = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Processor), 'rPmM');
    if (Processor == NULL) {
        return FALSE;
    }
    RtlZeroMemory(Processor, sizeof(*Processor));
    MiInitializeWindow(Processor, Prcb->Number);
    Prcb->Mm = Processor;
    return TRUE;
}

/* ---- Phase 1: what the loader held ---- */

/* Frames of one descriptor that nobody but the loader holds; those still mapped by somebody stay until then. */
static VOID MiFreeLoaderFrames(const LOADER_MEMORY_DESCRIPTOR *Descriptor)
{
    for (PFN_FRAME Frame = Descriptor->BasePage; Frame < Descriptor->BasePage + Descriptor->PageCount; Frame++) {
        KIRQL Irql = MiLockPfn();
        PMMPFN Pfn = MiIsRamFrame(Frame) ? MiPfn(Frame) : NULL;

        if (Pfn != NULL && Frame != 0 && Frame != MmTrampolineFrame && MiPfnState(Pfn) == MiActive &&
            MiPfnPteAddress(Pfn) == NULL && MiPfnReferences(Pfn) == 1) {
            MiDeletePfn(Frame);
            MiDecrementShareCount(Frame);
        }
        MiUnlockPfn(Irql);
    }
}

VOID MmInitializePhase1(VOID)
{
    ASSERT_IRQL(PASSIVE_LEVEL);
    ExInitializeResourceLite(&PsLoadedModuleResource);
    VfNameLock(&PsLoadedModuleResource, "PsLoadedModuleResource");
    MiEnablePcid();
    MiInitializeAslr();
    MiStartZeroThread();
}

VOID MmFreeLoaderMemory(VOID)
{
    static LOADER_BLOCK Kept; /* what has no pointer into the block stays readable: the framebuffer, the time of boot */
    LOADER_BLOCK *Block = KeLoaderBlock;
    const LOADER_MEMORY_DESCRIPTOR *Descriptors = (const LOADER_MEMORY_DESCRIPTOR *)Block->Descriptors;

    ASSERT_IRQL(PASSIVE_LEVEL);
    for (ULONG Index = 0; Index < Block->DescriptorCount; Index++) {
        ULONG Type = Descriptors[Index].Type;

        if (Type == LoaderTemporary || Type == LoaderAcpiReclaim || Type == LoaderPageTable) {
            MiFreeLoaderFrames(&Descriptors[Index]);
        }
    }
    MiUnmapKernelPages((PVOID)(Block->BootStackTop - Block->BootStackSize), Block->BootStackSize / MM_PAGE_SIZE,
                       MmRegionOther);
    Kept = *Block;
    Kept.Descriptors = Kept.Images = Kept.CommandLine = Kept.AcpiRsdp = 0;
    Kept.DescriptorCount = Kept.ImageCount = Kept.AcpiRsdpSize = 0;
    KeLoaderBlock = &Kept;
    MiUnmapKernelPages((PVOID)Kept.BlockBase, Kept.BlockSize / MM_PAGE_SIZE, MmRegionOther);
}
