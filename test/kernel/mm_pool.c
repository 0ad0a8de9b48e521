/*
 * mm_pool.c - suite mm.pool: blocks of every size, tags, shortage, and what the checks see.
 *
 * Damage is done to bytes that the case owns and put right before the block is freed:
 * ExCheckPoolBlock looks without stopping the system.
 */
#include "mmtest.h"

#define TAG 'tseT'

static ULONG PoolRandomState;

static ULONG PoolRandom(VOID)
{
    PoolRandomState ^= PoolRandomState << 13;
    PoolRandomState ^= PoolRandomState >> 17;
    PoolRandomState ^= PoolRandomState << 5;
    return PoolRandomState;
}

static ULONG64 PoolPages(BOOLEAN Paged)
{
    EX_POOL_USE Use;

    ExQueryPoolUse(Paged, &Use);
    return Use.Pages;
}

static BOOLEAN PoolIs(const UCHAR *Memory, SIZE_T Bytes, UCHAR Value)
{
    for (SIZE_T Index = 0; Index < Bytes; Index++) {
        if (Memory[Index] != Value) {
            return FALSE;
        }
    }
    return TRUE;
}

static VOID PoolEverySize(PKTAP_CONTEXT Ktap)
{
    for (SIZE_T Bytes = 0; Bytes <= 9000; Bytes += Bytes < 2200 ? 1 : 97) {
        PUCHAR Block = ExAllocatePoolWithTag(Bytes & 1 ? PagedPool : NonPagedPool, Bytes, TAG);
        SIZE_T Told;
        ULONG Tag;

        KTAP_CHECK(Block != NULL);
        KTAP_EQUAL((ULONG64)Block % (Bytes >= MM_PAGE_SIZE ? MM_PAGE_SIZE : 16), 0);
        KTAP_EQUAL(MiRegionOf(Block), Bytes & 1 ? MmRegionPagedPool : MmRegionNonPagedPool);
        RtlFillMemory(Block, Bytes, (UCHAR)Bytes);
        KTAP_CHECK(ExCheckPoolBlock(Block, &Told, &Tag));
        KTAP_EQUAL(Told, Bytes);
        KTAP_EQUAL(Tag, TAG);
        ExFreePoolWithTag(Block, TAG);
        KTAP_CHECK(!ExCheckPoolBlock(Block, &Told, &Tag));
    }
    KTAP_EQUAL(MiVerify(), 0);
}

static VOID PoolZeroed(PKTAP_CONTEXT Ktap)
{
    static const SIZE_T Sizes[] = {1, 40, 500, 2000, 5000, 70000};

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Sizes); Index++) {
        PUCHAR Block = ExAllocatePoolWithTag(NonPagedPool, Sizes[Index], TAG);

        KTAP_CHECK(Block != NULL);
        RtlFillMemory(Block, Sizes[Index], 0xEE);
        ExFreePool(Block);
        Block = ExAllocatePoolWithTag(NonPagedPool | POOL_ZERO_ALLOCATION, Sizes[Index], TAG);
        KTAP_CHECK(Block != NULL);
        KTAP_CHECK(PoolIs(Block, Sizes[Index], 0));
        ExFreePoolWithTag(Block, TAG);
    }
}

static VOID PoolCacheAligned(PKTAP_CONTEXT Ktap)
{
    for (SIZE_T Bytes = 1; Bytes < 3000; Bytes += 61) {
        PVOID Block = ExAllocatePoolWithTag(NonPagedPoolCacheAligned, Bytes, TAG);

        KTAP_CHECK(Block != NULL);
        KTAP_EQUAL((ULONG64)Block % SYSTEM_CACHE_ALIGNMENT_SIZE, 0);
        ExFreePoolWithTag(Block, TAG);
    }
}

#define LIVE 256

/* Blocks of random sizes come and go; each keeps its bytes, and afterwards every page has gone back. */
static VOID PoolRandomStorm(PKTAP_CONTEXT Ktap)
{
    static PUCHAR Blocks[LIVE];
    static USHORT Sizes[LIVE];
    ULONG Wrong = 0, Refused = 0;
    ULONG64 Pages;
    KIRQL Irql;

    PoolRandomState = 0x12345678;
    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    ExTrimPool();
    Pages = PoolPages(FALSE);
    for (ULONG Turn = 0; Turn < 20000; Turn++) {
        ULONG Index = PoolRandom() % LIVE;

        if (Blocks[Index] != NULL) {
            Wrong += !PoolIs(Blocks[Index], Sizes[Index], (UCHAR)Index);
            ExFreePoolWithTag(Blocks[Index], TAG);
            Blocks[Index] = NULL;
        } else {
            Sizes[Index] = (USHORT)(PoolRandom() % (Turn % 16 == 0 ? 9000 : 600));
            Blocks[Index] = ExAllocatePoolWithTag(NonPagedPool, Sizes[Index], TAG);
            Refused += Blocks[Index] == NULL;
            if (Blocks[Index] != NULL) {
                RtlFillMemory(Blocks[Index], Sizes[Index], (UCHAR)Index);
            }
        }
    }
    for (ULONG Index = 0; Index < LIVE; Index++) {
        if (Blocks[Index] != NULL) {
            Wrong += !PoolIs(Blocks[Index], Sizes[Index], (UCHAR)Index);
            ExFreePoolWithTag(Blocks[Index], TAG);
            Blocks[Index] = NULL;
        }
    }
    ExTrimPool();
    Pages = PoolPages(FALSE) - Pages;
    KeLowerIrql(Irql);
    KTAP_EQUAL(Wrong, 0);
    KTAP_EQUAL(Refused, 0);
    KTAP_EQUAL(Pages, 0);
    KTAP_EQUAL(MiVerify(), 0);
}

/* What a tag has out, from the table of tags. */
static ULONG64 PoolTagBytes(ULONG Tag)
{
    static EX_POOL_TAG Tags[256];
    ULONG Count = ExQueryPoolTags(Tags, RTL_NUMBER_OF(Tags));

    for (ULONG Index = 0; Index < Count; Index++) {
        if (Tags[Index].Tag == Tag) {
            return Tags[Index].Bytes;
        }
    }
    return 0;
}

static VOID PoolTags(PKTAP_CONTEXT Ktap)
{
    PVOID Small = ExAllocatePoolWithTag(NonPagedPool, 100, 'gaTX'), Large;

    KTAP_CHECK(Small != NULL);
    KTAP_EQUAL(PoolTagBytes('gaTX'), 100);
    Large = ExAllocatePoolWithTag(PagedPool, 10000, 'gaTX');
    KTAP_CHECK(Large != NULL);
    KTAP_EQUAL(PoolTagBytes('gaTX'), 10100);
    ExFreePool(Small);
    KTAP_EQUAL(PoolTagBytes('gaTX'), 10000);
    ExFreePool(Large);
    KTAP_EQUAL(PoolTagBytes('gaTX'), 0);
}

/* One byte past the end is seen, in a small block and in a run of pages; so is a damaged header. */
static VOID PoolDamageIsSeen(PKTAP_CONTEXT Ktap)
{
    static const SIZE_T Sizes[] = {20, 1000, 5000};

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Sizes); Index++) {
        PUCHAR Block = ExAllocatePoolWithTag(NonPagedPool, Sizes[Index], TAG), Past = Block + Sizes[Index];
        BOOLEAN Seen, Whole;
        SIZE_T Bytes;
        ULONG Tag;
        UCHAR Kept;

        KTAP_CHECK(Block != NULL);
        Kept = *Past;
        *Past = (UCHAR)~Kept;
        Seen = !ExCheckPoolBlock(Block, &Bytes, &Tag);
        *Past = Kept;
        Whole = ExCheckPoolBlock(Block, &Bytes, &Tag);
        if (Sizes[Index] < MM_PAGE_SIZE) {
            Block[-16] ^= 1;
            Seen = Seen && !ExCheckPoolBlock(Block, &Bytes, &Tag);
            Block[-16] ^= 1;
        }
        ExFreePoolWithTag(Block, TAG);
        KTAP_CHECK(Seen);
        KTAP_CHECK(Whole);
    }
}

static VOID PoolShortage(PKTAP_CONTEXT Ktap)
{
    ULONG64 Available = (ULONG64)MiAvailableFrames;
    EX_POOL_USE Before, After;
    NTSTATUS Raised = STATUS_SUCCESS;
    PVOID Fine;

    ExQueryPoolUse(FALSE, &Before);
    KTAP_CHECK(ExAllocatePoolWithTag(NonPagedPool, (Available + 1) * MM_PAGE_SIZE, TAG) == NULL);
    KTAP_CHECK(ExAllocatePoolWithTag(NonPagedPool, ~(SIZE_T)0, TAG) == NULL);
    KTAP_CHECK(ExAllocatePoolWithTag(NonPagedPool, ~(SIZE_T)0 - 4096, TAG) == NULL);
    ExQueryPoolUse(FALSE, &After);
    KTAP_EQUAL(After.Failures, Before.Failures + 3);
    __try {
        ExAllocatePoolWithQuotaTag(NonPagedPool, (Available + 1) * MM_PAGE_SIZE, TAG);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Raised = GetExceptionCode();
    }
    KTAP_EQUAL(Raised, STATUS_INSUFFICIENT_RESOURCES);
    KTAP_CHECK(ExAllocatePoolWithQuotaTag(NonPagedPool | POOL_QUOTA_FAIL_INSTEAD_OF_RAISE,
                                          (Available + 1) * MM_PAGE_SIZE, TAG) == NULL);
    KTAP_CHECK(ExAllocatePoolWithTagPriority(NonPagedPool, Available * MM_PAGE_SIZE, TAG, LowPoolPriority) == NULL);
    Fine = ExAllocatePoolWithTagPriority(NonPagedPool, 64, TAG, NormalPoolPriority);
    KTAP_CHECK(Fine != NULL);
    ExFreePoolWithTag(Fine, TAG);
    KTAP_EQUAL(MiVerify(), 0);
}

/* A run that the free frames cannot fill leaves nothing behind. */
static VOID PoolPartialRunIsUndone(PKTAP_CONTEXT Ktap)
{
    LONG64 Held = 0, Available, After;
    PVOID Run;
    KIRQL Irql;

    Irql = MiLockPfn();
    /* all but what a run of 64 pages plus the reserve needs are hidden from the allocator */
    Available = MiAvailableFrames;
    Held = Available - 32 - MI_RESERVE_FRAMES;
    MiAvailableFrames -= Held;
    MiUnlockPfn(DISPATCH_LEVEL);
    MiCountMapped(MmRegionOther, 0);
    Run = MmAllocatePoolPages(FALSE, 40 * MM_PAGE_SIZE, TAG, FALSE);
    MiLockPfn();
    MiAvailableFrames += Held;
    After = MiAvailableFrames;
    MiUnlockPfn(Irql);
    KTAP_CHECK(Run == NULL);
    KTAP_CHECK(After <= Available && After >= Available - 2); /* tables made for the addresses stay */
    KTAP_EQUAL(MiVerify(), 0);
}

/* Only the first page of a run is one that can be freed. */
static VOID PoolInsideRun(PKTAP_CONTEXT Ktap)
{
    PUCHAR Run = ExAllocatePoolWithTag(NonPagedPool, 3 * PAGE_SIZE, TAG);
    SIZE_T Bytes;
    BOOLEAN Paged;
    ULONG Tag;

    KTAP_CHECK(Run != NULL);
    KTAP_CHECK(MmQueryPoolPages(Run, &Bytes, &Tag, &Paged));
    KTAP_EQUAL(Bytes, 3 * PAGE_SIZE);
    KTAP_CHECK(!MmQueryPoolPages(Run + PAGE_SIZE, &Bytes, &Tag, &Paged));
    KTAP_CHECK(!MmQueryPoolPages(Run + 2 * PAGE_SIZE, &Bytes, &Tag, &Paged));
    ExFreePoolWithTag(Run, TAG);
    KTAP_CHECK(!MmQueryPoolPages(Run, &Bytes, &Tag, &Paged));
}

static VOID PoolFaultInjection(PKTAP_CONTEXT Ktap)
{
    ULONG Refused = 0;
    KIRQL Irql;

    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    ExSetFault(ExFaultPool, 3, KeGetCurrentThread());
    for (ULONG Turn = 0; Turn < 30; Turn++) {
        PVOID Block = ExAllocatePoolWithTag(NonPagedPool, 32, TAG);

        if (Block == NULL) {
            Refused++;
        } else {
            ExFreePoolWithTag(Block, TAG);
        }
    }
    ExSetFault(ExFaultPool, 0, NULL);
    KeLowerIrql(Irql);
    KTAP_EQUAL(Refused, 10);
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"every_size", PoolEverySize},
    {"zeroed", PoolZeroed},
    {"cache_aligned", PoolCacheAligned},
    {"random_storm", PoolRandomStorm},
    {"tags", PoolTags},
    {"damage_is_seen", PoolDamageIsSeen},
    {"shortage", PoolShortage},
    {"partial_run_is_undone", PoolPartialRunIsUndone},
    {"inside_run", PoolInsideRun},
    {"fault_injection", PoolFaultInjection},
};
KTAP_SUITE(MmPoolSuite, "mm.pool", Cases);
