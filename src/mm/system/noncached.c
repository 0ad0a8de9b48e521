/*
 * noncached.c - MmAllocateNonCachedMemory: pages that no processor caches, for devices that do not take part in coherence.
 *
 * The frames come one by one from the lists, each at its own cache type, and need not follow one another. Before a frame is mapped
 * uncached its lines leave every cache; before it is anybody else's, the uncached translation has left every processor. The run's
 * length is kept in its first frame, as for contiguous memory.
 *
 * IRQL: <= DISPATCH_LEVEL. Locks: range, then PFN lock; none held by callers.
 *
 * Source: MmAllocateNonCachedMemory in the Windows driver documentation.
 */
#include "../mip.h"
#include "../range.h"

#define MI_NONCACHED_RUN ((ULONG64)'nNmM' << 32)

/* Maps one page. FALSE: no frame. */
static BOOLEAN MiMapNonCachedPage(PMMPTE Pte, ULONG64 Run)
{
    KIRQL Irql = MiLockPfn();
    PFN_FRAME Frame = MiAllocateFrame(MI_FRAME_ZEROED);

    if (Frame != 0) {
        MiInitializePfn(Frame, Pte, MI_NO_FRAME32, (MMPTE){.Long = Run}, 0);
        MiPfnChange(MiPfn(Frame), MI_U4_CACHE, (ULONG64)MiUncached << MI_U4_CACHE_SHIFT);
        MiFlushFrameFromCaches(Frame);
        MiWriteValidPte(Pte, MiMakeValidPte(Frame, MI_KERNEL_RW_BITS | MiCacheBits(MiUncached)));
        MiCountMapped(MmRegionNonPagedPool, 1);
    }
    MiUnlockPfn(Irql);
    return Frame != 0;
}

/* Uncached zeroed memory, whole pages; NULL: memory or addresses are short, or 0 bytes were asked for. */
PVOID NTAPI MmAllocateNonCachedMemory(SIZE_T NumberOfBytes)
{
    ULONG64 Pages = NumberOfBytes / PAGE_SIZE + (NumberOfBytes % PAGE_SIZE != 0), Done = 0;
    PUCHAR Address;

    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    if (Pages == 0 || Pages >= MM_POOL_MAXIMUM_PAGES || (LONG64)Pages > MiAvailableFrames) {
        return NULL;
    }
    Address = MiReserveRange(&MiNonPagedArea, Pages);
    if (Address == NULL) {
        return NULL;
    }
    while (Done < Pages && MiMapNonCachedPage(MiPteOf(Address) + Done, Done == 0 ? Pages | MI_NONCACHED_RUN : 0)) {
        Done++;
    }
    if (Done == Pages) {
        return Address;
    }
    if (Done != 0) {
        MiUnmapKernelPagesByRule(Address, Done, MmRegionNonPagedPool, MiTlbSystemAtOnce);
    }
    MiReleaseRange(&MiNonPagedArea, Address, Pages);
    return NULL;
}

/* Gives it back. @NumberOfBytes as allocated; another size, or another address, is a bug check. */
VOID NTAPI MmFreeNonCachedMemory(PVOID BaseAddress, SIZE_T NumberOfBytes)
{
    ULONG64 Pages = NumberOfBytes / PAGE_SIZE + (NumberOfBytes % PAGE_SIZE != 0);

    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    if (MiRegionOf(BaseAddress) != MmRegionNonPagedPool || !MmIsAddressValid(BaseAddress) ||
        MiPfn(MiPteFrame(*MiPteOf(BaseAddress)))->OriginalPte.Long != (Pages | MI_NONCACHED_RUN)) {
        KeBugCheckEx(MEMORY_MANAGEMENT, 0x1004, (ULONG_PTR)BaseAddress, NumberOfBytes, 0);
    }
    MiUnmapKernelPagesByRule(BaseAddress, Pages, MmRegionNonPagedPool, MiTlbSystemAtOnce);
    MiReleaseRange(&MiNonPagedArea, BaseAddress, Pages);
}
