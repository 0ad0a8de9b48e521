/*
 * ex_pool.c - suite ex.pool: the newer allocation routines, quota, guard pages, who owns a block, and a storm on all processors.
 *
 * mm.pool has what is common to all of pool. A case that turns guard pages on turns them off before it ends; quota is charged to a
 * process without threads, which the case attaches to.
 */
#include "ketest.h"
#include "proctest.h"
#include <ntos/pool.h>

#define TAG 'ooPT'

static BOOLEAN IsZero(const UCHAR *Memory, SIZE_T Bytes)
{
    for (SIZE_T Index = 0; Index < Bytes; Index++) {
        if (Memory[Index] != 0) {
            return FALSE;
        }
    }
    return TRUE;
}

/* What a tag has out. */
static ULONG64 TagBytes(ULONG Tag)
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

/* ---- ExAllocatePool2, ExAllocatePool3 ---- */

static VOID PoolFlags(PKTAP_CONTEXT Ktap)
{
    for (SIZE_T Bytes = 1; Bytes < 9000; Bytes = Bytes * 3 + 1) {
        PUCHAR Block = ExAllocatePool2(POOL_FLAG_NON_PAGED | POOL_FLAG_UNINITIALIZED, Bytes, TAG);
        KTAP_CHECK(Block != NULL);
        memset(Block, 0xEE, Bytes);
        ExFreePoolWithTag(Block, TAG);
        Block = ExAllocatePool2(POOL_FLAG_PAGED, Bytes, TAG);
        KTAP_CHECK(Block != NULL && IsZero(Block, Bytes));
        KTAP_EQUAL(MiRegionOf(Block), MmRegionPagedPool);
        ExFreePool2(Block, TAG, NULL, 0);
        Block = ExAllocatePool2(POOL_FLAG_NON_PAGED | POOL_FLAG_CACHE_ALIGNED | (1ULL << 40), Bytes, TAG);
        KTAP_CHECK(Block != NULL && IsZero(Block, Bytes) && (ULONG64)Block % 64 == 0);
        ExFreePool2(Block, TAG, NULL, 0);
    }
    KTAP_EQUAL(TagBytes(TAG), 0);
}

static NTSTATUS RaisedBy(ULONG64 Flags, SIZE_T Bytes, ULONG Tag)
{
    NTSTATUS Status = STATUS_SUCCESS;

    __try {
        ExAllocatePool2(Flags | POOL_FLAG_RAISE_ON_FAILURE, Bytes, Tag);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Status = GetExceptionCode();
    }
    return Status;
}

static VOID PoolRefused(PKTAP_CONTEXT Ktap)
{
    KTAP_CHECK(ExAllocatePool2(0, 64, TAG) == NULL);
    KTAP_CHECK(ExAllocatePool2(POOL_FLAG_PAGED | POOL_FLAG_NON_PAGED, 64, TAG) == NULL);
    KTAP_CHECK(ExAllocatePool2(POOL_FLAG_NON_PAGED_EXECUTE, 64, TAG) == NULL);
    KTAP_CHECK(ExAllocatePool2(POOL_FLAG_NON_PAGED | 0x800, 64, TAG) == NULL);
    KTAP_CHECK(ExAllocatePool2(POOL_FLAG_NON_PAGED, 0, TAG) == NULL);
    KTAP_CHECK(ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, 0) == NULL);
    KTAP_EQUAL(RaisedBy(POOL_FLAG_NON_PAGED, 0, TAG), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(RaisedBy(POOL_FLAG_NON_PAGED, ~(SIZE_T)0 - PAGE_SIZE, TAG), STATUS_INSUFFICIENT_RESOURCES);
}

static VOID PoolExtended(PKTAP_CONTEXT Ktap)
{
    POOL_EXTENDED_PARAMETER Parameters[2] = {{.Type = PoolExtendedParameterPriority, .Priority = HighPoolPriority},
                                             {.Type = PoolExtendedParameterNumaNode, .PreferredNode = 0}};
    PUCHAR Block = ExAllocatePool3(POOL_FLAG_NON_PAGED, 200, TAG, Parameters, 2);

    KTAP_CHECK(Block != NULL && IsZero(Block, 200));
    ExFreePool2(Block, TAG, NULL, 0);
    Parameters[0] = (POOL_EXTENDED_PARAMETER){.Type = PoolExtendedParameterSecurePool};
    KTAP_CHECK(ExAllocatePool3(POOL_FLAG_NON_PAGED, 200, TAG, Parameters, 1) == NULL);
    Parameters[0].Optional = 1;
    Block = ExAllocatePool3(POOL_FLAG_NON_PAGED, 200, TAG, Parameters, 1);
    KTAP_CHECK(Block != NULL);
    ExFreePool2(Block, TAG, NULL, 0);
    Parameters[0] = (POOL_EXTENDED_PARAMETER){.Type = PoolExtendedParameterPriority, .Priority = LowPoolPriority};
    KTAP_CHECK(ExAllocatePool3(POOL_FLAG_NON_PAGED, (SIZE_T)MiAvailableFrames * PAGE_SIZE, TAG, Parameters, 1) == NULL);
}

/* ---- Quota ---- */

static NTSTATUS QuotaRaised(SIZE_T Bytes)
{
    NTSTATUS Status = STATUS_SUCCESS;

    __try {
        ExAllocatePoolWithQuotaTag(NonPagedPool, Bytes, TAG);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Status = GetExceptionCode();
    }
    return Status;
}

static NTSTATUS ChargeRaised(PEPROCESS Process, ULONG_PTR Bytes)
{
    NTSTATUS Status = STATUS_SUCCESS;

    __try {
        PsChargePoolQuota(Process, PagedPool, Bytes);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Status = GetExceptionCode();
    }
    return Status;
}

static VOID PoolQuotaBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    volatile LONG64 *Usage = &Process->PoolUsage[0].Usage;
    LONG64 Before = *Usage; /* its handle table */
    PVOID Small, Large, Flagged;

    KTAP_EQUAL(PsSetQuotaLimits(Process, (ULONG64)Before + 40000, 1000), STATUS_SUCCESS);
    Small = ExAllocatePoolWithQuotaTag(NonPagedPool, 100, TAG);
    Large = ExAllocatePoolWithQuotaTag(NonPagedPool, 3 * PAGE_SIZE, TAG);
    Flagged = ExAllocatePool2(POOL_FLAG_NON_PAGED | POOL_FLAG_USE_QUOTA, 1000, TAG);
    LONG64 Charged = *Usage - Before;
    NTSTATUS Raised = QuotaRaised(39000);
    PVOID Refused = ExAllocatePoolWithQuotaTag(NonPagedPool | POOL_QUOTA_FAIL_INSTEAD_OF_RAISE, 39000, TAG);
    PVOID Untagged = ExAllocatePoolWithQuota(NonPagedPool | POOL_QUOTA_FAIL_INSTEAD_OF_RAISE, 50);
    LONG64 More = *Usage - Before;
    ExFreePoolWithTag(Small, TAG);
    ExFreePool(Large);
    ExFreePool(Flagged);
    ExFreePool(Untagged);
    KTAP_EQUAL(Charged, 100 + 3 * PAGE_SIZE + 1000);
    KTAP_EQUAL(Raised, STATUS_QUOTA_EXCEEDED);
    KTAP_CHECK(Refused == NULL);
    KTAP_EQUAL(More, Charged + 50);
    KTAP_EQUAL(*Usage, Before);
    KTAP_CHECK(Process->PoolUsage[0].Peak >= Before + Charged);
    KTAP_EQUAL(PsChargeProcessPoolQuota(Process, PagedPool, 900), STATUS_SUCCESS);
    KTAP_EQUAL(PsChargeProcessPoolQuota(Process, PagedPool, 200), STATUS_QUOTA_EXCEEDED);
    KTAP_EQUAL(ChargeRaised(Process, 200), STATUS_QUOTA_EXCEEDED);
    KTAP_EQUAL(ChargeRaised(Process, 100), STATUS_SUCCESS);
    PsReturnPoolQuota(Process, PagedPool, 1000);
    KTAP_EQUAL(Process->PoolUsage[1].Usage, 0);
}

static VOID PoolQuota(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, PoolQuotaBody);
}

/* ---- Guard pages ---- */

static BOOLEAN Faults(volatile UCHAR *Address)
{
    BOOLEAN Caught = FALSE;

    __try {
        *Address = 1;
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Caught = TRUE;
    }
    return Caught;
}

static VOID PoolGuardPages(PKTAP_CONTEXT Ktap)
{
    static const SIZE_T Sizes[] = {16, 160, 4080, PAGE_SIZE, 3 * PAGE_SIZE};

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Sizes); Index++) {
        SIZE_T Bytes = Sizes[Index];
        ULONG Old = ExSetSpecialPool(TAG, FALSE);
        PUCHAR Over = ExAllocatePoolWithTag(Index % 2 ? PagedPool : NonPagedPool, Bytes, TAG);
        ExSetSpecialPool(TAG, TRUE);
        PUCHAR Under = ExAllocatePoolWithTag(NonPagedPool, Bytes, TAG);
        PVOID Other = ExAllocatePoolWithTag(NonPagedPool, 100, 'htoT');
        ExSetSpecialPool(Old, FALSE);
        KTAP_CHECK(Over != NULL && Under != NULL && Other != NULL);
        BOOLEAN Whole = !Faults(Over) && !Faults(Over + Bytes - 1) && !Faults(Under) && !Faults(Under + Bytes - 1);
        BOOLEAN Past = Faults(Over + Bytes), Before = Bytes >= PAGE_SIZE || Faults(Under - 1);
        ULONG64 Out = TagBytes(TAG);
        ExFreePoolWithTag(Over, TAG);
        ExFreePoolWithTag(Under, TAG);
        BOOLEAN After = Faults(Over) && Faults(Under);
        ExFreePoolWithTag(Other, 'htoT');
        KTAP_CHECK(Whole);
        KTAP_CHECK(Past);
        KTAP_CHECK(Before);
        KTAP_CHECK(After); /* use after free */
        KTAP_EQUAL(Out, 2 * Bytes);
    }
    KTAP_EQUAL(TagBytes(TAG), 0);
}

/* ---- A storm ---- */

#define STORM_LIVE 64

static volatile LONG StormWrong, StormRefused;

static BOOLEAN HoldsByte(const UCHAR *Memory, SIZE_T Bytes, UCHAR Value)
{
    for (SIZE_T Index = 0; Index < Bytes; Index++) {
        if (Memory[Index] != Value) {
            return FALSE;
        }
    }
    return TRUE;
}

static PUCHAR StormBlocks[TEST_PARALLEL_MAX][STORM_LIVE];
static USHORT StormSizes[TEST_PARALLEL_MAX][STORM_LIVE];

static VOID StormFree(ULONG Number, ULONG Index)
{
    PUCHAR *Block = &StormBlocks[Number][Index];

    if (!HoldsByte(*Block, StormSizes[Number][Index], (UCHAR)(Number * 7 + Index))) {
        InterlockedIncrement(&StormWrong);
    }
    ExFreePoolWithTag(*Block, TAG);
    *Block = NULL;
}

static VOID StormBody(ULONG Number)
{
    ULONG64 Seed = 0x1234567 + Number * 0x9E3779B9ULL, Turns = KtapIterations(100000) / TestRacers();

    for (ULONG64 Turn = 0; Turn < Turns; Turn++) {
        ULONG Index = TestRandom(&Seed) % STORM_LIVE;
        PUCHAR *Block = &StormBlocks[Number][Index];
        if (*Block != NULL) {
            StormFree(Number, Index);
            continue;
        }
        StormSizes[Number][Index] = (USHORT)(TestRandom(&Seed) % (Turn % 256 == 0 ? 6000 : 300));
        *Block = ExAllocatePoolWithTag(TestRandom(&Seed) % 4 == 0 ? PagedPool : NonPagedPool, StormSizes[Number][Index],
                                       TAG);
        if (*Block == NULL) {
            InterlockedIncrement(&StormRefused);
        } else {
            memset(*Block, (UCHAR)(Number * 7 + Index), StormSizes[Number][Index]);
        }
    }
    for (ULONG Index = 0; Index < STORM_LIVE; Index++) {
        if (StormBlocks[Number][Index] != NULL) {
            StormFree(Number, Index);
        }
    }
}

/* Blocks come and go on all processors at once; each keeps its bytes, and in the end none is out. */
static VOID PoolStorm(PKTAP_CONTEXT Ktap)
{
    StormWrong = StormRefused = 0;
    KTAP_CHECK(TestParallel(TestRacers(), StormBody));
    KTAP_EQUAL(StormWrong, 0);
    KTAP_EQUAL(StormRefused, 0);
    KTAP_EQUAL(TagBytes(TAG), 0);
}

/* ---- Lookaside lists ---- */

static VOID TakeMany(PNPAGED_LOOKASIDE_LIST List, ULONG Count)
{
    static PVOID Taken[100];

    for (ULONG Index = 0; Index < Count; Index++) {
        Taken[Index] = ExAllocateFromNPagedLookasideList(List);
    }
    for (ULONG Index = 0; Index < Count; Index++) {
        if (Taken[Index] != NULL) {
            ExFreeToNPagedLookasideList(List, Taken[Index]);
        }
    }
}

/* A list that misses gets deeper until it does not; one that nobody asks falls back to the least depth. */
static VOID PoolLookaside(PKTAP_CONTEXT Ktap)
{
    static NPAGED_LOOKASIDE_LIST List;
    USHORT First, Deep, Idle;
    KIRQL Irql;

    ExInitializeNPagedLookasideList(&List, NULL, NULL, 0, 64, TAG, 0);
    Irql = KfRaiseIrql(DISPATCH_LEVEL); /* on one processor the second's own adjustment stays away */
    First = List.L.Depth;
    for (ULONG Round = 0; Round < 20; Round++) {
        TakeMany(&List, 100);
        ExAdjustLookasideDepth();
    }
    Deep = List.L.Depth;
    for (ULONG Round = 0; Round < 100; Round++) {
        ExAdjustLookasideDepth();
    }
    Idle = List.L.Depth;
    KeLowerIrql(Irql);
    ExDeleteNPagedLookasideList(&List);
    KTAP_CHECK(Deep > First && Deep >= 90);
    KTAP_CHECK(Idle < First && Idle > 0);
    KTAP_EQUAL(TagBytes(TAG), 0);
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"lookaside", PoolLookaside}, {"flags", PoolFlags}, {"refused", PoolRefused},
    {"extended", PoolExtended},   {"quota", PoolQuota}, {"guard_pages", PoolGuardPages},
    {"storm", PoolStorm},
};
KTAP_SUITE(ExPoolSuite, "ex.pool", Cases);
