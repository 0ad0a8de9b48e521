/*
 * mdlpages.c - frames for drivers that want pages and no address: MmAllocatePagesForMdl and its inverse.
 *
 * The frames belong to the MDL alone: Active with one share and no owner PTE, so that they are on no list and nobody can find
 * them; they are given back by MmFreePagesFromMdl. Without an address constraint frames come from the lists like any other
 * (standby is repurposed last); with one, the database is scanned from the highest run down for frames in range.
 *
 * Locks: the PFN lock, released every MI_MDL_BATCH frames so that nobody waits long for it. IRQL: <= APC_LEVEL.
 */
#include "../misection.h"

#define MI_MDL_BATCH 64u

/* Size of an MDL must fit its CSHORT field; a request for more gets fewer pages, as the DDK allows. */
#define MI_MAXIMUM_MDL_PAGES ((MAXSHORT - sizeof(MDL)) / sizeof(PFN_NUMBER))

/* A frame for an MDL: nobody's PTE owns it. PFN lock held. */
static VOID MiGiveFrameToMdl(PFN_FRAME Frame, MI_CACHE_TYPE CacheType)
{
    MiInitializePfn(Frame, NULL, MI_NO_FRAME32, (MMPTE){.Long = 0}, 0);
    MiPfnChange(MiPfn(Frame), MI_U4_CACHE, (ULONG64)CacheType << MI_U4_CACHE_SHIFT);
}

/* From the lists, any address; returns how many. */
static ULONG MiTakeAnyFrames(PPFN_NUMBER Frames, ULONG Wanted, ULONG Flags, MI_CACHE_TYPE CacheType)
{
    ULONG Taken = 0;
    BOOLEAN Short = FALSE;

    while (Taken < Wanted && !Short) {
        KIRQL OldIrql = MiLockPfn();

        for (ULONG Batch = 0; Batch < MI_MDL_BATCH && Taken < Wanted && !Short; Batch++) {
            PFN_FRAME Frame = MiAllocateFrame(Flags);

            Short = Frame == 0;
            if (!Short) {
                MiGiveFrameToMdl(Frame, CacheType);
                Frames[Taken++] = Frame;
            }
        }
        MiUnlockPfn(OldIrql);
    }
    return Taken;
}

/* Scans [First, End), highest first, for available frames; returns how many it took. */
static ULONG MiTakeFramesInRange(PFN_FRAME First, PFN_FRAME End, PPFN_NUMBER Frames, ULONG Wanted, BOOLEAN Zero,
                                 MI_CACHE_TYPE CacheType)
{
    ULONG Taken = 0;

    while (End > First && Taken < Wanted) {
        KIRQL OldIrql = MiLockPfn();

        for (ULONG Batch = 0; Batch < MI_MDL_BATCH && End > First && Taken < Wanted; Batch++) {
            if (MiFrameIsAvailable(--End) && MiAvailableFrames > MI_RESERVE_FRAMES) {
                BOOLEAN IsZero = MiPfnState(MiPfn(End)) == MiZeroed;

                MiClaimFrame(End);
                if (Zero && !IsZero) {
                    MiZeroFrame(End);
                }
                MiGiveFrameToMdl(End, CacheType);
                Frames[Taken++] = End;
            }
        }
        MiUnlockPfn(OldIrql);
    }
    return Taken;
}

/* One address window of MmAllocatePagesForMdlEx, over all runs of RAM. */
static ULONG MiTakeFramesBetween(ULONG64 Low, ULONG64 High, PPFN_NUMBER Frames, ULONG Wanted, BOOLEAN Zero,
                                 MI_CACHE_TYPE CacheType)
{
    PFN_FRAME First = max(BYTES_TO_PAGES(Low), 1);
    PFN_FRAME End = High == MAXULONG64 ? MAXULONG64 : (High + 1) >> PAGE_SHIFT;
    ULONG Taken = 0;

    for (ULONG Run = MiRamRunCount; Run-- != 0 && Taken < Wanted;) {
        PFN_FRAME RunFirst = max(MiRamRuns[Run].Base, First);
        PFN_FRAME RunEnd = min(MiRamRuns[Run].Base + MiRamRuns[Run].Count, End);

        if (RunFirst < RunEnd) {
            Taken += MiTakeFramesInRange(RunFirst, RunEnd, Frames + Taken, Wanted - Taken, Zero, CacheType);
        }
    }
    return Taken;
}

/**
 * MmAllocatePagesForMdlEx - frames described by a new MDL, not mapped anywhere.
 *
 * @LowAddress, @HighAddress  physical range of the first window, bytes
 * @SkipBytes   distance to the next window; 0: one window only
 * @TotalBytes  wanted; the MDL may describe fewer pages unless MM_ALLOCATE_FULLY_REQUIRED is given
 * @CacheType   of every mapping of these frames
 * @Flags       MM_DONT_ZERO_ALLOCATION, MM_ALLOCATE_FULLY_REQUIRED; other documented flags are hints
 * returns      the MDL, locked; MmFreePagesFromMdl and ExFreePool give it back. NULL: nothing was to be had
 *
 * IRQL: <= APC_LEVEL.
 */
PMDL NTAPI MmAllocatePagesForMdlEx(PHYSICAL_ADDRESS LowAddress, PHYSICAL_ADDRESS HighAddress,
                                   PHYSICAL_ADDRESS SkipBytes, SIZE_T TotalBytes, MEMORY_CACHING_TYPE CacheType,
                                   ULONG Flags)
{
    ULONG Wanted = (ULONG)min(BYTES_TO_PAGES(TotalBytes), MI_MAXIMUM_MDL_PAGES);
    ULONG64 Low = (ULONG64)LowAddress.QuadPart, High = (ULONG64)HighAddress.QuadPart;
    ULONG64 Top = (MiHighestFrame + 1) << PAGE_SHIFT;
    BOOLEAN Zero = (Flags & MM_DONT_ZERO_ALLOCATION) == 0;
    MI_CACHE_TYPE Type;
    ULONG Taken = 0;
    PMDL Mdl;

    ASSERT_IRQL_MAX(APC_LEVEL);
    if (Wanted == 0 || !MiCacheTypeOf(CacheType, &Type)) {
        return NULL;
    }
    Mdl = MmCreateMdl(NULL, NULL, (SIZE_T)Wanted << PAGE_SHIFT);
    if (Mdl == NULL) {
        return NULL;
    }
    if (Low == 0 && High >= Top - 1 && Type == MiWriteBack) {
        Taken = MiTakeAnyFrames(MmGetMdlPfnArray(Mdl), Wanted, Zero ? MI_FRAME_ZEROED : MI_FRAME_ANY, Type);
    } else {
        while (Taken < Wanted && Low < Top) {
            Taken += MiTakeFramesBetween(Low, High, MmGetMdlPfnArray(Mdl) + Taken, Wanted - Taken, Zero, Type);
            if (SkipBytes.QuadPart <= 0) {
                break;
            }
            Low += (ULONG64)SkipBytes.QuadPart;
            High += (ULONG64)SkipBytes.QuadPart;
        }
        if (Type != MiWriteBack) {
            for (ULONG Page = 0; Page < Taken; Page++) {
                MiFlushFrameFromCaches(MmGetMdlPfnArray(Mdl)[Page]);
            }
        }
    }
    Mdl->ByteCount = Taken << PAGE_SHIFT;
    Mdl->MdlFlags |= MDL_PAGES_LOCKED;
    if (Taken == 0 || (Taken < Wanted && (Flags & MM_ALLOCATE_FULLY_REQUIRED) != 0)) {
        MmFreePagesFromMdl(Mdl);
        ExFreePoolWithTag(Mdl, MI_TAG_MDL);
        return NULL;
    }
    return Mdl;
}

/* As MmAllocatePagesForMdlEx for cached, zeroed pages. IRQL: <= APC_LEVEL. */
PMDL NTAPI MmAllocatePagesForMdl(PHYSICAL_ADDRESS LowAddress, PHYSICAL_ADDRESS HighAddress, PHYSICAL_ADDRESS SkipBytes,
                                 SIZE_T TotalBytes)
{
    return MmAllocatePagesForMdlEx(LowAddress, HighAddress, SkipBytes, TotalBytes, MmCached, 0);
}

/* Frees the pages of an MDL from MmAllocatePagesForMdl, unmapping it if need be; the MDL itself stays. IRQL: <= APC_LEVEL. */
VOID NTAPI MmFreePagesFromMdl(PMDLX Mdl)
{
    PPFN_NUMBER Frames = MmGetMdlPfnArray(Mdl);
    ULONG Pages = Mdl->ByteCount >> PAGE_SHIFT;

    ASSERT_IRQL_MAX(APC_LEVEL);
    if ((Mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA) != 0) {
        MmUnmapLockedPages(Mdl->MappedSystemVa, Mdl);
    }
    for (ULONG Page = 0; Page < Pages;) {
        KIRQL OldIrql = MiLockPfn();

        for (ULONG Batch = 0; Batch < MI_MDL_BATCH && Page < Pages; Batch++, Page++) {
            if (MiPfnCacheType(MiPfn(Frames[Page])) != MiWriteBack) {
                MiForgetStaleTranslations(
                    MiPfn(Frames[Page])); /* of another type: gone before anybody maps it cached */
            }
            MiDeletePfn(Frames[Page]);
            MiDecrementShareCount(Frames[Page]);
        }
        MiUnlockPfn(OldIrql);
    }
    Mdl->ByteCount = 0;
    Mdl->MdlFlags &= ~MDL_PAGES_LOCKED;
}
