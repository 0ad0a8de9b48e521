/*
 * stack.c - kernel stacks: system PTEs with an unmapped guard page below, so that an overflow is a double fault with
 * an address and never somebody else's data.
 *
 * A few stacks of the usual size are kept mapped when their threads end, because threads come and go faster than
 * mappings should. The cache is bounded (MI_STACK_CACHE), counted as used memory, and emptied by MiTrimStackCache.
 * A stack that comes from the cache may hold the bytes of an older thread, never of a user.
 *
 * Locks: MiStackLock (DISPATCH_LEVEL, never held over an allocation). IRQL <= APC_LEVEL, deletion <= DISPATCH_LEVEL.
 */
#include "../frameuse.h"
#include "../range.h"

#define MI_STACK_CACHE 2 /* 48 KB at most: one thread ending while two start is the common case */

static KSPIN_LOCK MiStackLock;
VF_NAME_LOCK(MiStackLock, "MiStackLock");
static PVOID MiStackCache[MI_STACK_CACHE]; /* (MiStackLock) tops */
static SIZE_T MiStackCacheBytes;           /* (MiStackLock) size of those; stacks of another size are not cached */
static ULONG MiStacksCached;

static VOID MiFreeStack(PVOID Top, SIZE_T Bytes)
{
    SIZE_T Pages = Bytes / MM_PAGE_SIZE;
    PUCHAR Base = (PUCHAR)Top - Bytes;

    MiUnmapKernelPages(Base, Pages, MmRegionSystemPtes);
    MiReleaseRange(&MiSystemPtes, Base - MM_PAGE_SIZE, Pages + 1);
}

static PVOID MiTakeCachedStack(SIZE_T Bytes)
{
    PVOID Top = NULL;
    KIRQL Irql;

    KeAcquireSpinLock(&MiStackLock, &Irql);
    if (MiStacksCached != 0 && MiStackCacheBytes == Bytes) {
        Top = MiStackCache[--MiStacksCached];
    }
    KeReleaseSpinLock(&MiStackLock, Irql);
    return Top;
}

/* Says of fresh frames what they are for, which nobody else writes while they are owned. */
static VOID MiMarkStack(PVOID Base, SIZE_T Pages)
{
    PMMPTE Pte = MiPteOf(Base);

    for (SIZE_T Index = 0; Index < Pages; Index++) {
        MiPfn(MiPteFrame(Pte[Index]))->OriginalPte.Long = MI_STACK_MARK;
    }
}

PVOID MmCreateKernelStack(SIZE_T Bytes)
{
    SIZE_T Size = ALIGN_UP_BY(Bytes, MM_PAGE_SIZE), Pages = Size / MM_PAGE_SIZE;
    PUCHAR Guard;
    PVOID Top;

    ASSERT_IRQL_MAX(APC_LEVEL);
    ASSERT(Bytes != 0);
    Top = MiTakeCachedStack(Size);
    if (Top != NULL) {
        return Top;
    }
    Guard = MiReserveRange(&MiSystemPtes, Pages + 1);
    if (Guard == NULL) {
        return NULL;
    }
    if (!MiMapKernelPages(Guard + MM_PAGE_SIZE, Pages, MI_KERNEL_RW_BITS, MI_FRAME_ZEROED, MmRegionSystemPtes)) {
        MiReleaseRange(&MiSystemPtes, Guard, Pages + 1);
        return NULL;
    }
    MiMarkStack(Guard + MM_PAGE_SIZE, Pages);
    return Guard + MM_PAGE_SIZE + Size;
}

VOID MmDeleteKernelStack(PVOID Top, SIZE_T Bytes)
{
    SIZE_T Size = ALIGN_UP_BY(Bytes, MM_PAGE_SIZE);
    BOOLEAN Kept = FALSE;
    KIRQL Irql;

    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    KeAcquireSpinLock(&MiStackLock, &Irql);
    if (MiStacksCached < MI_STACK_CACHE && (MiStacksCached == 0 || MiStackCacheBytes == Size)) {
        MiStackCacheBytes = Size;
        MiStackCache[MiStacksCached++] = Top;
        Kept = TRUE;
    }
    KeReleaseSpinLock(&MiStackLock, Irql);
    if (!Kept) {
        MiFreeStack(Top, Size);
    }
}

VOID MiTrimStackCache(VOID)
{
    for (;;) {
        PVOID Top = NULL;
        SIZE_T Bytes;
        KIRQL Irql;

        KeAcquireSpinLock(&MiStackLock, &Irql);
        Bytes = MiStackCacheBytes;
        if (MiStacksCached != 0) {
            Top = MiStackCache[--MiStacksCached];
        }
        KeReleaseSpinLock(&MiStackLock, Irql);
        if (Top == NULL) {
            return;
        }
        MiFreeStack(Top, Bytes);
    }
}
