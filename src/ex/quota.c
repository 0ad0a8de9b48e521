/*
 * quota.c - pool charged to processes.
 *
 * A process has a limit of bytes for each pool. What is charged for a block is kept in a record beside it until the block is
 * freed, by whoever frees it; the record holds a reference on the process. A routine may also charge and return amounts on
 * its own. The system process is never charged.
 *
 * Locks: ExpQuotaLock (DISPATCH_LEVEL) around the table of records. IRQL: <= DISPATCH_LEVEL.
 *
 * Source: WDK documentation of ExAllocatePoolWithQuotaTag, PsChargePoolQuota.
 */
#include "poolp.h"

#define QUOTA_TAG    'touQ'
#define QUOTA_CHAINS 64

typedef struct _EXP_QUOTA_RECORD {
    struct _EXP_QUOTA_RECORD *Next;
    PVOID Address;
    PEPROCESS Process; /* referenced */
    SIZE_T Bytes;
    BOOLEAN Paged;
} EXP_QUOTA_RECORD, *PEXP_QUOTA_RECORD;

static KSPIN_LOCK ExpQuotaLock;
VF_NAME_LOCK(ExpQuotaLock, "ExpQuotaLock");
static PEXP_QUOTA_RECORD ExpRecords[QUOTA_CHAINS]; /* (ExpQuotaLock) */
volatile LONG ExpQuotaBlocks;                      /* interlocked: records */

static PEXP_QUOTA_RECORD *ChainOf(PVOID Address)
{
    return &ExpRecords[((ULONG64)Address >> 4 ^ (ULONG64)Address >> 12) % QUOTA_CHAINS];
}

/* A process made before it was asked has the default: a quarter of RAM. */
static LONG64 LimitOf(PEPROCESS Process, BOOLEAN Paged)
{
    LONG64 Limit = Process->PoolQuota[Paged].Limit;

    return Limit != 0 ? Limit : (LONG64)(MmQueryRamPages() / 4 * PAGE_SIZE);
}

static NTSTATUS Charge(PEPROCESS Process, BOOLEAN Paged, SIZE_T Bytes)
{
    volatile LONG64 *Usage = &Process->PoolQuota[Paged].Usage;

    if (Process == PsInitialSystemProcess) {
        return STATUS_SUCCESS;
    }
    if ((LONG64)Bytes < 0 || InterlockedAdd64(Usage, (LONG64)Bytes) > LimitOf(Process, Paged)) {
        if ((LONG64)Bytes >= 0) {
            InterlockedAdd64(Usage, -(LONG64)Bytes);
        }
        return STATUS_QUOTA_EXCEEDED;
    }
    if (*Usage > Process->PoolQuota[Paged].Peak) {
        Process->PoolQuota[Paged].Peak = *Usage; /* a race loses a maximum that another processor exceeded */
    }
    return STATUS_SUCCESS;
}

static VOID Return(PEPROCESS Process, BOOLEAN Paged, SIZE_T Bytes)
{
    if (Process != PsInitialSystemProcess) {
        LONG64 Left = InterlockedAdd64(&Process->PoolQuota[Paged].Usage, -(LONG64)Bytes);
        ASSERT(Left >= 0);
        UNREFERENCED_PARAMETER(Left);
    }
}

NTSTATUS ExpChargeBlock(PEPROCESS Process, BOOLEAN Paged, PVOID Address, SIZE_T Bytes)
{
    PEXP_QUOTA_RECORD Record;
    KIRQL Irql;

    if (Process == PsInitialSystemProcess) {
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

/* ---- Limits ---- */

/* Bytes of a pool that a process may be charged. IRQL: any. */
LONG64 PsQueryPoolQuotaLimit(PEPROCESS Process, POOL_TYPE PoolType)
{
    return LimitOf(Process, (PoolType & 1) != 0);
}

/* 0, or more than there can be: the default. What is charged already stays. */
VOID PsSetPoolQuotaLimit(PEPROCESS Process, POOL_TYPE PoolType, ULONG64 Limit)
{
    Process->PoolQuota[(PoolType & 1) != 0].Limit = Limit > MAXLONG64 ? 0 : (LONG64)Limit;
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
