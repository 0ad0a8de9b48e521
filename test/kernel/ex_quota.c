/*
 * ex_quota.c - suite ex.quota: quota blocks, which processes share, change and leave behind, and objects and handle tables that are charged to them.
 *
 * The processes have no threads. A limit is set on each, so that its block is its own and nobody else's charges are in the figures; user.quota is
 * what programs see. ex.pool has blocks of pool with quota.
 */
#include "ketest.h"
#include "proctest.h"
#include <ntos/ob.h>
#include <ntos/pool.h>

#define QUOTA_TAG 'touQ' /* of src/ex/quota.c */
#define LIMIT     40000

static ULONG64 BlockBytes(VOID)
{
    static EX_POOL_TAG Tags[256];
    ULONG Count = ExQueryPoolTags(Tags, RTL_NUMBER_OF(Tags));

    for (ULONG Index = 0; Index < Count; Index++) {
        if (Tags[Index].Tag == QUOTA_TAG) {
            return Tags[Index].Bytes;
        }
    }
    return 0;
}

static SIZE_T UsageOf(PEPROCESS Process, POOL_TYPE Type)
{
    PS_POOL_QUOTA Quota;

    PsQueryQuota(Process, Type, &Quota);
    return Quota.Usage;
}

/* ---- Blocks ---- */

static VOID SharedBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    PPS_QUOTA_BLOCK Charged, None, Block;
    PS_POOL_QUOTA Quota;

    KTAP_EQUAL(PsChargeProcessPoolQuota(Process, NonPagedPool, 300), STATUS_SUCCESS);
    KTAP_EQUAL(PsSetQuotaLimits(Process, LIMIT, LIMIT), STATUS_SUCCESS);
    Block = Process->QuotaBlock;
    KTAP_EQUAL(UsageOf(Process, NonPagedPool), 300); /* went with the process */
    KTAP_EQUAL(PsChargeSharedPoolQuota(Process, 100, 1000, &Charged), STATUS_SUCCESS);
    KTAP_CHECK(Charged == Block);
    KTAP_EQUAL(UsageOf(Process, NonPagedPool), 1300);
    KTAP_EQUAL(UsageOf(Process, PagedPool), 100);
    KTAP_EQUAL(Process->PoolUsage[0].Usage, 300); /* the block's alone */
    KTAP_EQUAL(PsChargeSharedPoolQuota(Process, LIMIT - 99, 1, &None), STATUS_QUOTA_EXCEEDED);
    KTAP_EQUAL(PsChargeSharedPoolQuota(Process, 1, LIMIT, &None), STATUS_QUOTA_EXCEEDED);
    KTAP_EQUAL(PsChargeSharedPoolQuota(Process, MAXULONG_PTR, 0, &None), STATUS_QUOTA_EXCEEDED);
    KTAP_CHECK(None == NULL);
    KTAP_EQUAL(UsageOf(Process, NonPagedPool), 1300); /* a refusal charges neither pool */
    KTAP_EQUAL(PsSetQuotaLimits(Process, 500, 0), STATUS_SUCCESS);
    KTAP_CHECK(Process->QuotaBlock == Block); /* it has one of its own already */
    PsQueryQuota(Process, NonPagedPool, &Quota);
    KTAP_EQUAL(Quota.Limit, 500);
    KTAP_EQUAL(Quota.Usage, 1300); /* above a limit that was lowered: nothing more until it is below */
    KTAP_CHECK(Quota.Peak >= 1300 && Quota.Peak <= LIMIT);
    KTAP_EQUAL(PsChargeProcessPoolQuota(Process, NonPagedPool, 1), STATUS_QUOTA_EXCEEDED);
    PsReturnSharedPoolQuota(Charged, 100, 1000);
    KTAP_EQUAL(PsChargeProcessPoolQuota(Process, NonPagedPool, 200), STATUS_SUCCESS);
    PsReturnPoolQuota(Process, NonPagedPool, 500);
    KTAP_EQUAL(UsageOf(Process, NonPagedPool), 0);
    KTAP_EQUAL(UsageOf(Process, PagedPool), 0);
}

static VOID QuotaShared(PKTAP_CONTEXT Ktap)
{
    ULONG64 Before = BlockBytes();

    TestInProcess(Ktap, SharedBody);
    KTAP_EQUAL(BlockBytes(), Before);
}

/* A child shares its parent's block until it gets limits; the block goes with whoever leaves it last. */
static VOID QuotaInherited(PKTAP_CONTEXT Ktap)
{
    ULONG64 Before = BlockBytes();
    PEPROCESS Parent = TestCreateProcess(), Child = TestCreateProcess();
    PPS_QUOTA_BLOCK Charged, Shared;
    SIZE_T ChildUsage, Both, Alone;
    NTSTATUS Status, Late;

    KTAP_CHECK(Parent != NULL && Child != NULL);
    PsSetQuotaLimits(Parent, LIMIT, LIMIT);
    PsForgetQuota(Child);
    PsInheritQuota(Parent, Child);
    Shared = Child->QuotaBlock;
    Status = PsChargeProcessPoolQuota(Child, PagedPool, 700);
    ChildUsage = UsageOf(Parent, PagedPool);
    Late = PsChargeSharedPoolQuota(Child, 50, 0, &Charged);
    Both = UsageOf(Parent, PagedPool);
    PsSetQuotaLimits(Child, LIMIT, LIMIT);
    Alone = UsageOf(Parent, PagedPool);
    TestDeleteProcess(Parent);
    TestDeleteProcess(Child); /* with 700 bytes that nobody returned */
    KTAP_EQUAL(Status, STATUS_SUCCESS);
    KTAP_EQUAL(Late, STATUS_SUCCESS);
    KTAP_CHECK(Charged == Shared);
    KTAP_EQUAL(ChildUsage, 700);
    KTAP_EQUAL(Both, 750);
    KTAP_EQUAL(Alone, 50); /* what is the child's own went with it, what it had charged for an object did not */
    KTAP_CHECK(BlockBytes() > Before);
    PsReturnSharedPoolQuota(Charged, 50, 0);
    KTAP_EQUAL(BlockBytes(), Before);
}

/* The system process has no limits and no block, nor has an object of the kernel's. */
static VOID QuotaSystem(PKTAP_CONTEXT Ktap)
{
    PPS_QUOTA_BLOCK Charged;

    KTAP_CHECK(PsInitialSystemProcess->QuotaBlock == NULL);
    KTAP_EQUAL(PsChargeProcessPoolQuota(PsInitialSystemProcess, NonPagedPool, MAXULONG_PTR), STATUS_SUCCESS);
    PsReturnPoolQuota(PsInitialSystemProcess, NonPagedPool, MAXULONG_PTR);
    KTAP_EQUAL(PsChargeSharedPoolQuota(PsInitialSystemProcess, MAXULONG_PTR, MAXULONG_PTR, &Charged), STATUS_SUCCESS);
    KTAP_CHECK(Charged == NULL);
    KTAP_EQUAL(PsInitialSystemProcess->PoolUsage[0].Usage, 0);
}

/* ---- Handle tables ---- */

static VOID TableBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    PVOID Table;
    SIZE_T Empty, Full;
    NTSTATUS Refused, Status = STATUS_SUCCESS;
    HANDLE Event, Copy;
    ULONG Made = 0;

    PsSetQuotaLimits(Process, 100, 0);
    Refused = ObCreateHandleTable(Process, &Table);
    KTAP_EQUAL(Refused, STATUS_QUOTA_EXCEEDED);
    KTAP_CHECK(Table == NULL);
    PsSetQuotaLimits(Process, 4 * PAGE_SIZE, 0);
    KTAP_EQUAL(ObCreateHandleTable(Process, &Process->ObjectTable), STATUS_SUCCESS);
    Empty = UsageOf(Process, NonPagedPool);
    ZwCreateEvent(&Event, EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE);
    while (NT_SUCCESS(Status) && Made < 4 * 256) {
        Status = ObDuplicateObject(Process, Event, Process, &Copy, 0, 0, DUPLICATE_SAME_ACCESS, KernelMode);
        Made += NT_SUCCESS(Status) ? 1 : 0;
    }
    Full = UsageOf(Process, NonPagedPool);
    ObDestroyHandleTable(Process->ObjectTable);
    Process->ObjectTable = NULL;
    KTAP_CHECK(Empty > 0 && Empty < PAGE_SIZE);
    KTAP_EQUAL(Status, STATUS_QUOTA_EXCEEDED);
    KTAP_EQUAL(Made, 2 * 256 - 2); /* a page of pointers and two of entries; entry 0 is never used, the event has one */
    KTAP_EQUAL(Full, Empty + 3 * PAGE_SIZE);
    KTAP_EQUAL(UsageOf(Process, NonPagedPool), 0);
}

static VOID QuotaTables(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, TableBody);
}

/* ---- Race ---- */

static PEPROCESS RaceProcess;
static volatile LONG RaceOver;

/* Charges and returns of both kinds; the first racer gives the process a block of its own in the middle of it. */
static VOID RaceBody(ULONG Number)
{
    ULONG64 Turns = KtapIterations(20000) / TestRacers();

    for (ULONG64 Turn = 0; Turn < Turns; Turn++) {
        PPS_QUOTA_BLOCK Block;
        PS_POOL_QUOTA Quota;
        BOOLEAN Own = NT_SUCCESS(PsChargeProcessPoolQuota(RaceProcess, NonPagedPool, 400 + Number));

        if (Number == 0 && Turn == Turns / 2) {
            PsSetQuotaLimits(RaceProcess, 1000 + 400 * TestRacers(), 1000);
        }
        if (NT_SUCCESS(PsChargeSharedPoolQuota(RaceProcess, 7, 500, &Block))) {
            PsReturnSharedPoolQuota(Block, 7, 500);
        }
        PsQueryQuota(RaceProcess, PagedPool, &Quota);
        InterlockedExchangeAdd(&RaceOver, Quota.Usage > Quota.Limit ? 1 : 0);
        if (Own) {
            PsReturnPoolQuota(RaceProcess, NonPagedPool, 400 + Number);
        }
    }
}

static VOID QuotaRace(PKTAP_CONTEXT Ktap)
{
    ULONG64 Before = BlockBytes();
    SIZE_T Usage, Peak;
    PS_POOL_QUOTA Quota;
    BOOLEAN Ran;

    RaceProcess = TestCreateProcess();
    KTAP_CHECK(RaceProcess != NULL);
    RaceOver = 0;
    Ran = TestParallel(TestRacers(), RaceBody);
    PsQueryQuota(RaceProcess, NonPagedPool, &Quota);
    Usage = Quota.Usage;
    Peak = Quota.Peak;
    LONG64 Own = RaceProcess->PoolUsage[0].Usage;
    TestDeleteProcess(RaceProcess);
    KTAP_CHECK(Ran);
    KTAP_EQUAL(RaceOver, 0);
    KTAP_EQUAL(Usage, 0);
    KTAP_EQUAL(Own, 0);
    KTAP_CHECK(Peak > 0 &&
               Peak <= max(Quota.Limit, (401 + TestRacers()) * TestRacers())); /* what moved may be above it */
    KTAP_EQUAL(BlockBytes(), Before);
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"shared", QuotaShared}, {"inherited", QuotaInherited}, {"system", QuotaSystem},
    {"tables", QuotaTables}, {"race", QuotaRace},
};
KTAP_SUITE(ExQuotaSuite, "ex.quota", Cases);
