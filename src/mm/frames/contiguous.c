/*
 * contiguous.c - physically contiguous memory for devices, and questions about single addresses.
 *
 * A contiguous allocation is a run of frames taken out of the Zeroed, Free and Standby lists by a scan of the database (rare,
 * slow by design) and mapped in the nonpaged area at the cache type asked for, which is also noted in each frame's u4.
 * The first frame's OriginalPte holds the length, as it does for large pool blocks.
 *
 * Before a frame changes cache type, translations of the old one must be gone everywhere and its lines out of the
 * caches: both are done here, at allocation and again at release. The scan takes no lock; a run it finds is claimed under the PFN lock.
 *
 * IRQL <= DISPATCH_LEVEL. Locks: range, then PFN lock; none held by callers.
 */
#include "../mip.h"
#include "../range.h"

/* A run's length is in the low bits, as in poolpages.c; its tag names it. */
#define MI_CONTIGUOUS_RUN ((ULONG64)'mCmM' << 32)

BOOLEAN MiFrameIsAvailable(PFN_FRAME Frame)
{
    ULONG State = MiPfnState(MiPfn(Frame));

    return (State == MiFree || State == MiZeroed || State == MiStandby) && (MiPfn(Frame)->u4 & MI_U4_STASHED) == 0;
}

/* The allocation must not cross a multiple of Boundary frames (0: no limit); moves First up to where it does not. */
static PFN_FRAME MiAlignRun(PFN_FRAME First, ULONG64 Pages, ULONG64 Boundary)
{
    if (Boundary != 0 && First / Boundary != (First + Pages - 1) / Boundary) {
        return (First / Boundary + 1) * Boundary;
    }
    return First;
}

/*
 * The scan looks at frames without the PFN lock, since it may go over all of RAM: a snapshot, which the claim checks again under the
 * lock. First run of frames in [First, End) that were available; 0: none.
 */
static PFN_FRAME MiFindFrames(PFN_FRAME First, PFN_FRAME End, ULONG64 Pages, ULONG64 Boundary)
{
    First = MiAlignRun(First, Pages, Boundary);
    while (First < End && Pages <= End - First) {
        ULONG64 Good = 0;

        while (Good < Pages && MiFrameIsAvailable(First + Good)) {
            Good++;
        }
        if (Good == Pages) {
            return First;
        }
        First = MiAlignRun(First + Good + 1, Pages, Boundary);
    }
    return 0;
}

/* Takes the frames of a run and gives them to the PTEs, if all of them still are available and enough others stay. */
static BOOLEAN MiClaimRun(PMMPTE Pte, PFN_FRAME First, ULONG64 Pages, MI_CACHE_TYPE CacheType)
{
    KIRQL Irql = MiLockPfn();
    BOOLEAN Free = MiAvailableFrames >= (LONG64)Pages + MI_RESERVE_FRAMES;

    for (ULONG64 Index = 0; Free && Index < Pages; Index++) {
        Free = MiFrameIsAvailable(First + Index);
    }
    for (ULONG64 Index = 0; Free && Index < Pages; Index++) {
        MiClaimFrame(First + Index);
        MiInitializePfn(First + Index, &Pte[Index], MI_NO_FRAME32,
                        (MMPTE){.Long = Index == 0 ? Pages | MI_CONTIGUOUS_RUN : 0}, 0);
        MiPfnChange(MiPfn(First + Index), MI_U4_CACHE, (ULONG64)CacheType << MI_U4_CACHE_SHIFT);
    }
    MiUnlockPfn(Irql);
    return Free;
}

/* Highest run of RAM first, lowest frames in it first; TRUE if a run was found and claimed. */
static BOOLEAN MiClaimContiguous(PMMPTE Pte, ULONG64 Pages, PFN_FRAME Lowest, PFN_FRAME Highest, ULONG64 Boundary,
                                 MI_CACHE_TYPE CacheType, PFN_FRAME *Claimed)
{
    MiReturnStashes();
    for (ULONG Index = MiRamRunCount; Index-- != 0 && MiAvailableFrames >= (LONG64)Pages + MI_RESERVE_FRAMES;) {
        PFN_FRAME First = max(MiRamRuns[Index].Base, max(Lowest, 1));
        PFN_FRAME End = min(MiRamRuns[Index].Base + MiRamRuns[Index].Count, Highest + 1);

        while (First < End && (First = MiFindFrames(First, End, Pages, Boundary)) != 0) {
            if (MiClaimRun(Pte, First, Pages, CacheType)) {
                *Claimed = First;
                return TRUE;
            }
            First++;
        }
    }
    return FALSE;
}

/* Drops the lines of a frame from every cache of the coherence domain. SDM 2A CLFLUSH. */
VOID MiFlushFrameFromCaches(PFN_FRAME Frame)
{
    KIRQL Irql;
    PUCHAR Address;

    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    Address = MiMapFrame(Frame, MiWriteBack);
    for (ULONG Line = 0; Line < MM_PAGE_SIZE; Line += 64) {
        __asm__ volatile("clflush (%0)" ::"r"(Address + Line) : "memory");
    }
    __asm__ volatile("mfence" ::: "memory");
    MiUnmapFrame(Address);
    KeLowerIrql(Irql);
}

/**
 * MmAllocateContiguousMemorySpecifyCache - nonpaged memory in one physical run.
 *
 * @NumberOfBytes  rounded up to pages
 * @Lowest, @Highest  acceptable physical addresses of first and last byte
 * @Boundary       the run crosses no multiple of it; 0: any; else a multiple of the page size
 * returns         its address (contents undefined), NULL: none
 *
 * IRQL: <= DISPATCH_LEVEL. Source: Windows driver documentation.
 */
PVOID NTAPI MmAllocateContiguousMemorySpecifyCache(SIZE_T NumberOfBytes, PHYSICAL_ADDRESS Lowest,
                                                   PHYSICAL_ADDRESS Highest, PHYSICAL_ADDRESS Boundary,
                                                   MEMORY_CACHING_TYPE CacheType)
{
    ULONG64 Pages = NumberOfBytes / MM_PAGE_SIZE + (NumberOfBytes % MM_PAGE_SIZE != 0);
    ULONG64 BoundaryPages = (ULONG64)Boundary.QuadPart / MM_PAGE_SIZE;
    PFN_FRAME Low = (ULONG64)Lowest.QuadPart / MM_PAGE_SIZE + ((ULONG64)Lowest.QuadPart % MM_PAGE_SIZE != 0), First;
    PFN_FRAME High = ((ULONG64)Highest.QuadPart + 1) / MM_PAGE_SIZE;
    MI_CACHE_TYPE Type;
    PUCHAR Address;
    KIRQL Irql;

    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    if ((ULONG64)Highest.QuadPart / MM_PAGE_SIZE >= MiHighestFrame) {
        High = MiHighestFrame + 1;
    }
    if (Pages == 0 || Pages >= MM_POOL_MAXIMUM_PAGES || High <= Low || (BoundaryPages != 0 && Pages > BoundaryPages) ||
        !MiCacheTypeOf(CacheType, &Type)) {
        return NULL;
    }
    Address = MiReserveRange(&MiNonPagedArea, Pages);
    if (Address == NULL) {
        return NULL;
    }
    KeRaiseIrql(DISPATCH_LEVEL, &Irql); /* MiVerify freezes processors below it: frames and PTEs go together */
    if (!MiClaimContiguous(MiPteOf(Address), Pages, Low, High - 1, BoundaryPages, Type, &First)) {
        KeLowerIrql(Irql);
        MiReleaseRange(&MiNonPagedArea, Address, Pages);
        return NULL;
    }
    for (ULONG64 Index = 0; Index < Pages; Index++) {
        if (Type != MiWriteBack) {
            MiFlushFrameFromCaches(First + Index);
        }
        MiWriteValidPte(MiPteOf(Address) + Index, MiMakeValidPte(First + Index, MI_KERNEL_RW_BITS | MiCacheBits(Type)));
    }
    MiCountMapped(MmRegionNonPagedPool, (LONG64)Pages);
    KeLowerIrql(Irql);
    return Address;
}

PVOID NTAPI MmAllocateContiguousMemory(SIZE_T NumberOfBytes, PHYSICAL_ADDRESS HighestAcceptableAddress)
{
    PHYSICAL_ADDRESS Zero = {.QuadPart = 0};

    return MmAllocateContiguousMemorySpecifyCache(NumberOfBytes, Zero, HighestAcceptableAddress, Zero, MmCached);
}

VOID NTAPI MmFreeContiguousMemory(PVOID BaseAddress)
{
    PMMPFN Pfn;
    ULONG64 Pages;

    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    if (!MmIsAddressValid(BaseAddress) || !MiIsRamFrame(MiPteFrame(*MiPteOf(BaseAddress)))) {
        KeBugCheckEx(MEMORY_MANAGEMENT, 0x1001, (ULONG_PTR)BaseAddress, 0, 0);
    }
    Pfn = MiPfn(MiPteFrame(*MiPteOf(BaseAddress)));
    Pages = Pfn->OriginalPte.Long & (MM_POOL_MAXIMUM_PAGES - 1);
    if (BYTE_OFFSET(BaseAddress) != 0 || MiPfnPteAddress(Pfn) != MiPteOf(BaseAddress) || Pages == 0) {
        KeBugCheckEx(MEMORY_MANAGEMENT, 0x1001, (ULONG_PTR)BaseAddress, Pages, 0);
    }
    /* of another type: gone everywhere before the frames may be mapped cached; rule (b) would leave both types alive */
    MiUnmapKernelPagesByRule(BaseAddress, Pages, MmRegionNonPagedPool,
                             MiPfnCacheType(Pfn) == MiWriteBack ? MiTlbSystemLazy : MiTlbSystemAtOnce);
    MiReleaseRange(&MiNonPagedArea, BaseAddress, Pages);
}

VOID NTAPI MmFreeContiguousMemorySpecifyCache(PVOID BaseAddress, SIZE_T NumberOfBytes, MEMORY_CACHING_TYPE CacheType)
{
    MmFreeContiguousMemory(BaseAddress);
}

/* ---- Questions about one address ---- */

/* The physical address behind a resident one; 0 if nothing is mapped there. IRQL: any. Source: driver documentation. */
PHYSICAL_ADDRESS NTAPI MmGetPhysicalAddress(PVOID BaseAddress)
{
    PHYSICAL_ADDRESS Physical = {.QuadPart = 0};
    ULONG Level = 0;
    MMPTE Leaf = MiReadLeaf(BaseAddress, &Level);

    if (Leaf.Hard.Valid) {
        ULONG64 Mask = (MM_PAGE_SIZE << (9 * Level)) - 1;

        Physical.QuadPart = (LONG64)((Leaf.Long & MI_PTE_FRAME_BITS & ~Mask) | ((ULONG64)BaseAddress & Mask));
    }
    return Physical;
}

/* TRUE if a read would not fault at this moment. IRQL: any. Source: driver documentation. */
BOOLEAN NTAPI MmIsAddressValid(PVOID VirtualAddress)
{
    ULONG64 High = (ULONG64)VirtualAddress >> 47;
    ULONG Level;

    if (High != 0 && High != 0x1FFFF) {
        return FALSE;
    }
    return (BOOLEAN)MiReadLeaf(VirtualAddress, &Level).Hard.Valid;
}

/*
 * The address that a RAM frame's owner maps it at; NULL if it is not RAM, has no owner PTE or is not mapped by it.
 * IRQL: any. The caller keeps the mapping alive.
 */
PVOID NTAPI MmGetVirtualForPhysical(PHYSICAL_ADDRESS PhysicalAddress)
{
    PFN_FRAME Frame = (ULONG64)PhysicalAddress.QuadPart / MM_PAGE_SIZE;
    PUCHAR Address;

    if (!MiIsRamFrame(Frame) || MiPfnState(MiPfn(Frame)) != MiActive || (MiPfn(Frame)->u4 & MI_U4_PROTOTYPE) != 0 ||
        (ULONG64)MiPfnPteAddress(MiPfn(Frame)) < MM_PTE_BASE) {
        return NULL;
    }
    Address =
        (PUCHAR)MiAddressOf(MiPfnPteAddress(MiPfn(Frame))) + ((ULONG64)PhysicalAddress.QuadPart & (MM_PAGE_SIZE - 1));
    return MmGetPhysicalAddress(Address).QuadPart == PhysicalAddress.QuadPart ? Address : NULL;
}
