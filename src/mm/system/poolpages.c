/*
 * poolpages.c - whole pages for the pools: addresses from a range, frames from the lists.
 *
 * A run's length, the unused bytes at its end and its tag are kept in the PFN entry of its first frame
 * (OriginalPte, which a nonpaged frame needs for nothing else), so that freeing needs no table and no search.
 * Pages go back at once: an idle pool keeps none but those in use. Paged pool is not paged out yet (docs/limits.md); its pages differ
 * only in region and in the rule that they are touched at IRQL <= APC_LEVEL.
 *
 * IRQL <= DISPATCH_LEVEL. Locks: range and PFN locks, taken and dropped inside.
 */
#include "../mip.h"
#include "../range.h"

static PMI_RANGE MiPoolRange(BOOLEAN Paged)
{
    return Paged ? &MiPagedArea : &MiNonPagedArea;
}

static MM_REGION MiPoolRegion(BOOLEAN Paged)
{
    return Paged ? MmRegionPagedPool : MmRegionNonPagedPool;
}

PVOID MmAllocatePoolPages(BOOLEAN Paged, SIZE_T Bytes, ULONG Tag, BOOLEAN Zero)
{
    ULONG64 Pages = Bytes / MM_PAGE_SIZE + (Bytes % MM_PAGE_SIZE != 0);
    ULONG64 Slack = Pages * MM_PAGE_SIZE - Bytes;
    PVOID Address;

    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    if (Pages == 0 || Pages >= MM_POOL_MAXIMUM_PAGES || (LONG64)Pages > MiAvailableFrames) {
        return NULL;
    }
    Address = MiReserveRange(MiPoolRange(Paged), Pages);
    if (Address == NULL) {
        return NULL;
    }
    if (!MiMapKernelPages(Address, Pages, MI_KERNEL_RW_BITS, Zero ? MI_FRAME_ZEROED : MI_FRAME_ANY,
                          MiPoolRegion(Paged))) {
        MiReleaseRange(MiPoolRange(Paged), Address, Pages);
        return NULL;
    }
    MiPfn(MiPteFrame(*MiPteOf(Address)))->OriginalPte.Long = Pages | (Slack << 20) | ((ULONG64)Tag << 32);
    return Address;
}

BOOLEAN MmQueryPoolPages(PVOID Address, PSIZE_T Bytes, PULONG Tag, PBOOLEAN Paged)
{
    BOOLEAN InPaged = MiRegionOf(Address) == MmRegionPagedPool;
    PMMPFN Pfn;
    MMPTE Run;

    if ((!InPaged && MiRegionOf(Address) != MmRegionNonPagedPool) || BYTE_OFFSET(Address) != 0 ||
        !MmIsAddressValid(Address)) {
        return FALSE;
    }
    Pfn = MiPfn(MiPteFrame(*MiPteOf(Address)));
    Run = Pfn->OriginalPte;
    if (MiPfnPteAddress(Pfn) != MiPteOf(Address) || (Run.Long & (MM_POOL_MAXIMUM_PAGES - 1)) == 0) {
        return FALSE; /* not the first page of a run */
    }
    *Bytes = (Run.Long & (MM_POOL_MAXIMUM_PAGES - 1)) * MM_PAGE_SIZE - ((Run.Long >> 20) & (MM_PAGE_SIZE - 1));
    *Tag = (ULONG)(Run.Long >> 32);
    *Paged = InPaged;
    return TRUE;
}

VOID MmFreePoolPages(PVOID Address)
{
    SIZE_T Bytes, Pages;
    BOOLEAN Paged;
    ULONG Tag;

    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    if (!MmQueryPoolPages(Address, &Bytes, &Tag, &Paged)) {
        KeBugCheckEx(BAD_POOL_CALLER, 0x46, (ULONG_PTR)Address, 0, 0);
    }
    Pages = (Bytes + MM_PAGE_SIZE - 1) / MM_PAGE_SIZE;
    MiUnmapKernelPages(Address, Pages, MiPoolRegion(Paged));
    MiReleaseRange(MiPoolRange(Paged), Address, Pages);
}

PVOID MmAllocateGuardedPages(BOOLEAN Paged, SIZE_T Bytes, ULONG Tag)
{
    ULONG64 Pages = Bytes / MM_PAGE_SIZE;
    PUCHAR Guard;

    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    ASSERT(Bytes != 0 && Bytes % MM_PAGE_SIZE == 0);
    if (Pages >= MM_POOL_MAXIMUM_PAGES || (LONG64)Pages > MiAvailableFrames) {
        return NULL;
    }
    Guard = MiReserveRange(MiPoolRange(Paged), Pages + 2);
    if (Guard == NULL) {
        return NULL;
    }
    if (!MiMapKernelPages(Guard + MM_PAGE_SIZE, Pages, MI_KERNEL_RW_BITS, MI_FRAME_ANY, MiPoolRegion(Paged))) {
        MiReleaseRange(MiPoolRange(Paged), Guard, Pages + 2);
        return NULL;
    }
    MiPfn(MiPteFrame(*MiPteOf(Guard + MM_PAGE_SIZE)))->OriginalPte.Long = Pages | ((ULONG64)Tag << 32);
    return Guard + MM_PAGE_SIZE;
}

VOID MmFreeGuardedPages(PVOID Address)
{
    SIZE_T Bytes;
    BOOLEAN Paged;
    ULONG Tag;

    if (!MmQueryPoolPages(Address, &Bytes, &Tag, &Paged)) {
        KeBugCheckEx(BAD_POOL_CALLER, 0x46, (ULONG_PTR)Address, 0, 0);
    }
    MiUnmapKernelPages(Address, Bytes / MM_PAGE_SIZE, MiPoolRegion(Paged));
    MiReleaseRange(MiPoolRange(Paged), (PUCHAR)Address - MM_PAGE_SIZE, Bytes / MM_PAGE_SIZE + 2);
}

ULONG64 MmQueryRamPages(VOID)
{
    return (ULONG64)MiRamFrames;
}

BOOLEAN MmIsMemoryLow(SIZE_T Bytes)
{
    return (ULONG64)MiAvailableFrames < MiRamFrames / 8 + Bytes / MM_PAGE_SIZE;
}
