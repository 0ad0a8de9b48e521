/*
 * quota.c - pool charged to processes.
 *
 * A quota block says how many bytes of each pool its processes may be charged together. A process has the block of the process
 * that made it, and thereby all that descend from one another share one, until limits of its own are set: then it gets a block of
 * its own, which its children share from now on. The first block, ExpDefaultBlock, is that of the processes the system makes; it is
 * never freed and not counted. The system process has none and is never charged.
 *
 * What is charged:
 *   an object    by the object manager, to the block of the process that creates it. The object refers to the block, not to
 *                the process, which may have gone when somebody else deletes the object (PsChargeSharedPoolQuota).
 *   all else     handle tables, blocks of pool allocated with quota, amounts that drivers charge: to the process and its block. The record
 *                of a pool block holds a reference on the process. If the process changes its block, these move with it.
 *
 * A block lives while a process has it or an object is charged to it. Usage rises by compare-exchange, so that it is never above the limit, not
 * even for a moment (unless the limit was lowered below it).
 *
 * Locks: ExpQuotaLock (DISPATCH_LEVEL) around the table of records, a process's own usage, and the change of its block. A thread may
 * read the pointer to the block of a process that it keeps without the lock: the one it replaced stays referenced until the process is
 * deleted. IRQL: <= DISPATCH_LEVEL.
 *
 * Source: WDK documentation of ExAllocatePoolWithQuotaTag, PsChargePoolQuota; Microsoft Learn, "Quota limits" of processes.
 */
#include "poolp.h"

#define QUOTA_TAG    'touQ'
#define QUOTA_CHAINS 64

typedef struct _EXP_POOL_QUOTA { /* bytes */
    volatile LONG64 Usage;       /* interlocked */
    volatile LONG64 Peak;        /* highest Usage seen; a race may lose one that another processor exceeds */
    volatile LONG64 Limit;
} EXP_POOL_QUOTA, *PEXP_POOL_QUOTA;

typedef struct _PS_QUOTA_BLOCK {
    EXP_POOL_QUOTA Pool[2];     /* nonpaged, paged */
    volatile LONG64 References; /* interlocked: processes that have it or had it, objects charged to it */
} PS_QUOTA_BLOCK;

typedef struct _EXP_QUOTA_RECORD {
    struct _EXP_QUOTA_RECORD *Next;
    PVOID Address;
    PEPROCESS Process; /* referenced */
    SIZE_T Bytes;
    BOOLEAN Paged;
} EXP_QUOTA_RECORD, *PEXP_QUOTA_RECORD;

static KSPIN_LOCK ExpQuotaLock;
VF_NAME_LOCK(ExpQuotaLock, "ExpQuotaLock");
static PS_QUOTA_BLOCK ExpDefaultBlock;
static PEXP_QUOTA_RECORD ExpRecords[QUOTA_CHAINS]; /* (ExpQuotaLock) */
volatile LONG ExpQuotaBlocks;                      /* interlocked: records */

/* ---- Blocks ---- */

/* 0, or more than there can be, means the default: a quarter of RAM. */
static LONG64 LimitFrom(ULONG64 Wanted)
{
    return Wanted != 0 && Wanted <= MAXLONG64 ? (LONG64)Wanted : (LONG64)(MmQueryRamPages() / 4 * PAGE_SIZE);
}

VOID PsInitializeQuota(VOID)
{
    ExpDefaultBlock.Pool[0].Limit = ExpDefaultBlock.Pool[1].Limit = LimitFrom(0);
}

static VOID ReferenceBlock(PPS_QUOTA_BLOCK Block)
{
    if (Block != &ExpDefaultBlock) {
        InterlockedIncrement64(&Block->References);
    }
}

static VOID DereferenceBlock(PPS_QUOTA_BLOCK Block)
{
    if (Block != &ExpDefaultBlock && InterlockedDecrement64(&Block->References) == 0) {
        ASSERT(Block->Pool[0].Usage == 0 && Block->Pool[1].Usage == 0);
        ExFreePoolWithTag(Block, QUOTA_TAG);
    }
}

/* FALSE: the limit is in the way, and nothing is charged. */
static BOOLEAN ChargePool(PEXP_POOL_QUOTA Pool, SIZE_T Bytes)
{
    LONG64 Usage = Pool->Usage, Seen;

    for (; Bytes != 0; Usage = Seen) {
        if (Bytes > MAXLONG64 || (LONG64)Bytes > Pool->Limit - Usage) {
            return FALSE;
        }
        Seen = InterlockedCompareExchange64(&Pool->Usage, Usage + (LONG64)Bytes, Usage);
        if (Seen == Usage) {
            if (Usage + (LONG64)Bytes > Pool->Peak) {
                Pool->Peak = Usage + (LONG64)Bytes;
            }
            break;
        }
    }
    return TRUE;
}

static VOID ReturnPool(PEXP_POOL_QUOTA Pool, SIZE_T Bytes)
{
    if (Bytes != 0) {
        LONG64 Left = InterlockedAdd64(&Pool->Usage, -(LONG64)Bytes);

        ASSERT(Left >= 0);
        UNREFERENCED_PARAMETER(Left);
    }
}

/* ---- Of processes ---- */

VOID PsInheritQuota(PEPROCESS Parent, PEPROCESS Child)
{
    PPS_QUOTA_BLOCK Block = Parent->QuotaBlock != NULL ? Parent->QuotaBlock : &ExpDefaultBlock;

    ReferenceBlock(Block);
    Child->QuotaBlock = Child->InheritedQuota = Block;
}

VOID PsForgetQuota(PEPROCESS Process)
{
    PPS_QUOTA_BLOCK Block = Process->QuotaBlock;

    if (Block == NULL) {
        return;
    }
    for (ULONG Paged = 0; Paged < 2; Paged++) { /* what drivers never returned */
        ReturnPool(&Block->Pool[Paged], (SIZE_T)Process->PoolUsage[Paged].Usage);
    }
    if (Process->InheritedQuota != Block) {
        DereferenceBlock(Process->InheritedQuota);
    }
    DereferenceBlock(Block);
}

/* What a process has of its own goes to the block that it is given; it may be above the limits there. */
static VOID MoveToBlock(PEPROCESS Process, PPS_QUOTA_BLOCK Block)
{
    for (ULONG Paged = 0; Paged < 2; Paged++) {
        LONG64 Usage = Process->PoolUsage[Paged].Usage;

        Block->Pool[Paged].Usage = Block->Pool[Paged].Peak = Usage;
        ReturnPool(&Process->QuotaBlock->Pool[Paged], (SIZE_T)Usage);
    }
    Process->QuotaBlock = Block;
}

NTSTATUS PsSetQuotaLimits(PEPROCESS Process, ULONG64 NonPaged, ULONG64 Paged)
{
    PPS_QUOTA_BLOCK New = ExAllocatePoolWithTag(NonPagedPool, sizeof(*New), QUOTA_TAG);
    KIRQL Irql;

    ASSERT(Process->QuotaBlock != NULL);
    if (New == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(New, sizeof(*New));
    New->References = 1;
    KeAcquireSpinLock(&ExpQuotaLock, &Irql);
    if (Process->QuotaBlock == Process->InheritedQuota) {
        MoveToBlock(Process, New);
        New = NULL;
    }
    Process->QuotaBlock->Pool[0].Limit = LimitFrom(NonPaged);
    Process->QuotaBlock->Pool[1].Limit = LimitFrom(Paged);
    KeReleaseSpinLock(&ExpQuotaLock, Irql);
    if (New != NULL) {
        ExFreePoolWithTag(New, QUOTA_TAG);
    }
    return STATUS_SUCCESS;
}

VOID PsQueryQuota(PEPROCESS Process, POOL_TYPE PoolType, PPS_POOL_QUOTA Quota)
{
    PPS_QUOTA_BLOCK Block = Process->QuotaBlock != NULL ? Process->QuotaBlock : &ExpDefaultBlock;
    PEXP_POOL_QUOTA Pool = &Block->Pool[(PoolType & 1) != 0];

    *Quota = (PS_POOL_QUOTA){.Usage = (SIZE_T)Pool->Usage, .Peak = (SIZE_T)Pool->Peak, .Limit = (SIZE_T)Pool->Limit};
}

static NTSTATUS Charge(PEPROCESS Process, BOOLEAN Paged, SIZE_T Bytes)
{
    PS_POOL_USAGE *Own = &Process->PoolUsage[Paged];
    BOOLEAN Charged;
    KIRQL Irql;

    if (Process->QuotaBlock == NULL) {
        return STATUS_SUCCESS;
    }
    KeAcquireSpinLock(&ExpQuotaLock, &Irql);
    Charged = ChargePool(&Process->QuotaBlock->Pool[Paged], Bytes);
    if (Charged) {
        Own->Usage += (LONG64)Bytes;
        Own->Peak = max(Own->Peak, Own->Usage);
    }
    KeReleaseSpinLock(&ExpQuotaLock, Irql);
    return Charged ? STATUS_SUCCESS : STATUS_QUOTA_EXCEEDED;
}

static VOID Return(PEPROCESS Process, BOOLEAN Paged, SIZE_T Bytes)
{
    KIRQL Irql;

    if (Process->QuotaBlock != NULL) {
        KeAcquireSpinLock(&ExpQuotaLock, &Irql);
        ASSERT((SIZE_T)Process->PoolUsage[Paged].Usage >= Bytes);
        Process->PoolUsage[Paged].Usage -= (LONG64)Bytes;
        ReturnPool(&Process->QuotaBlock->Pool[Paged], Bytes);
        KeReleaseSpinLock(&ExpQuotaLock, Irql);
    }
}

/* ---- Of objects ---- */

NTSTATUS PsChargeSharedPoolQuota(PEPROCESS Process, SIZE_T Paged, SIZE_T NonPaged, PPS_QUOTA_BLOCK *Charged)
{
    PPS_QUOTA_BLOCK Block = Process->QuotaBlock;

    *Charged = NULL;
    if (Block == NULL) {
        return STATUS_SUCCESS;
    }
    if (!ChargePool(&Block->Pool[0], NonPaged)) {
        return STATUS_QUOTA_EXCEEDED;
    }
    if (!ChargePool(&Block->Pool[1], Paged)) {
        ReturnPool(&Block->Pool[0], NonPaged);
        return STATUS_QUOTA_EXCEEDED;
    }
    ReferenceBlock(Block);
    *Charged = Block;
    return STATUS_SUCCESS;
}

VOID PsReturnSharedPoolQuota(PPS_QUOTA_BLOCK Block, SIZE_T Paged, SIZE_T NonPaged)
{
    ReturnPool(&Block->Pool[0], NonPaged);
    ReturnPool(&Block->Pool[1], Paged);
    DereferenceBlock(Block);
}

/* ---- Of blocks of pool ---- */

static PEXP_QUOTA_RECORD *ChainOf(PVOID Address)
{
    return &ExpRecords[((ULONG64)Address >> 4 ^ (ULONG64)Address >> 12) % QUOTA_CHAINS];
}

NTSTATUS ExpChargeBlock(PEPROCESS Process, BOOLEAN Paged, PVOID Address, SIZE_T Bytes)
{
    PEXP_QUOTA_RECORD Record;
    KIRQL Irql;

    if (Process->QuotaBlock == NULL) {
        return STATUS_SUCCESS;
    }
    NTSTATUS Status = Charge(Process, Paged, Bytes);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Record = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Record), QUOTA_TAG);
    if (Record == NULL) {
        Return(Process, Paged, Bytes);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    ObReferenceObject(Process);
    *Record = (EXP_QUOTA_RECORD){NULL, Address, Process, Bytes, Paged};
    KeAcquireSpinLock(&ExpQuotaLock, &Irql);
    Record->Next = *ChainOf(Address);
    *ChainOf(Address) = Record;
    KeReleaseSpinLock(&ExpQuotaLock, Irql);
    InterlockedIncrement(&ExpQuotaBlocks);
    ExpMarkQuota(Address);
    return STATUS_SUCCESS;
}

VOID ExpReturnBlockQuota(PVOID Address)
{
    PEXP_QUOTA_RECORD *Link = ChainOf(Address), Record;
    KIRQL Irql;

    KeAcquireSpinLock(&ExpQuotaLock, &Irql);
    while (*Link != NULL && (*Link)->Address != Address) {
        Link = &(*Link)->Next;
    }
    Record = *Link;
    if (Record != NULL) {
        *Link = Record->Next;
    }
    KeReleaseSpinLock(&ExpQuotaLock, Irql);
    if (Record != NULL) {
        InterlockedDecrement(&ExpQuotaBlocks);
        Return(Record->Process, Record->Paged, Record->Bytes);
        ObDereferenceObject(Record->Process);
        ExFreePoolWithTag(Record, QUOTA_TAG);
    }
}

/* ---- Amounts ---- */

/* STATUS_SUCCESS or STATUS_QUOTA_EXCEEDED. Amount: bytes. IRQL: <= DISPATCH_LEVEL. */
NTSTATUS NTAPI PsChargeProcessPoolQuota(PEPROCESS Process, POOL_TYPE PoolType, ULONG_PTR Amount)
{
    return Charge(Process, (PoolType & 1) != 0, Amount);
}

/* The same; raises STATUS_QUOTA_EXCEEDED. */
VOID NTAPI PsChargePoolQuota(PEPROCESS Process, POOL_TYPE PoolType, ULONG_PTR Amount)
{
    NTSTATUS Status = Charge(Process, (PoolType & 1) != 0, Amount);

    if (!NT_SUCCESS(Status)) {
        ExRaiseStatus(Status);
    }
}

VOID NTAPI PsReturnPoolQuota(PEPROCESS Process, POOL_TYPE PoolType, ULONG_PTR Amount)
{
    Return(Process, (PoolType & 1) != 0, Amount);
}
