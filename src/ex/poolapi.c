/*
 * poolapi.c - the names by which drivers ask for pool.
 *
 * Each notes its caller for the checks of the chk flavour and leaves the rest to pool.c. Quota: a block asked for with it
 * is charged to the current process (quota.c) until it is freed, except in the system process.
 *
 * IRQL: <= DISPATCH_LEVEL, paged pool <= APC_LEVEL. Locks: none here.
 *
 * Source: WDK documentation of ExAllocatePoolWithTag, ExAllocatePool2, ExAllocatePool3 and their relatives.
 */
#include "poolp.h"

#define TAG_NONE 'enoN'

/**
 * ExAllocatePoolWithTag - memory from a pool.
 *
 * @PoolType       NonPagedPool or PagedPool (both not executable), with cache alignment, POOL_RAISE_IF_ALLOCATION_FAILURE or
 *                 POOL_ZERO_ALLOCATION
 * @NumberOfBytes  0 gives a block of its own all the same; a page or more is page-aligned, less is 16-byte aligned
 * returns         the block, NULL when memory is short (or STATUS_INSUFFICIENT_RESOURCES is raised, if asked for)
 */
PVOID NTAPI ExAllocatePoolWithTag(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag)
{
    return ExpAllocateOrRaise(PoolType, NumberOfBytes, Tag, _ReturnAddress());
}

PVOID ExAllocatePoolFor(POOL_TYPE PoolType, SIZE_T Bytes, ULONG Tag, PVOID Site)
{
    return ExpAllocateOrRaise(PoolType, Bytes, Tag, Site);
}

#undef ExAllocatePool
PVOID NTAPI ExAllocatePool(POOL_TYPE PoolType, SIZE_T NumberOfBytes)
{
    return ExpAllocateOrRaise(PoolType, NumberOfBytes, TAG_NONE, _ReturnAddress());
}

/* STATUS_QUOTA_EXCEEDED or STATUS_INSUFFICIENT_RESOURCES; the block is charged and marked otherwise. */
static NTSTATUS AllocateWithQuota(POOL_TYPE PoolType, SIZE_T Bytes, ULONG Tag, PVOID Site, PVOID *Memory)
{
    PEPROCESS Process = PsGetCurrentProcess();

    *Memory = ExpAllocate(PoolType & ~(POOL_QUOTA_FAIL_INSTEAD_OF_RAISE | POOL_RAISE_IF_ALLOCATION_FAILURE), Bytes, Tag,
                          Site);
    if (*Memory == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    NTSTATUS Status = ExpChargeBlock(Process, (PoolType & 1) != 0, *Memory, Bytes);
    if (!NT_SUCCESS(Status)) {
        ExFreePoolWithTag(*Memory, Tag);
        *Memory = NULL;
    }
    return Status;
}

static PVOID QuotaOrRaise(POOL_TYPE PoolType, SIZE_T Bytes, ULONG Tag, PVOID Site)
{
    PVOID Memory;
    NTSTATUS Status = AllocateWithQuota(PoolType, Bytes, Tag, Site, &Memory);

    if (!NT_SUCCESS(Status) && (PoolType & POOL_QUOTA_FAIL_INSTEAD_OF_RAISE) == 0) {
        ExRaiseStatus(Status);
    }
    return Memory;
}

/**
 * ExAllocatePoolWithQuotaTag - memory charged to the current process.
 *
 * @PoolType  with POOL_QUOTA_FAIL_INSTEAD_OF_RAISE: NULL instead of an exception
 *
 * Raises STATUS_QUOTA_EXCEEDED, STATUS_INSUFFICIENT_RESOURCES.
 */
PVOID NTAPI ExAllocatePoolWithQuotaTag(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag)
{
    return QuotaOrRaise(PoolType, NumberOfBytes, Tag, _ReturnAddress());
}

#undef ExAllocatePoolWithQuota
PVOID NTAPI ExAllocatePoolWithQuota(POOL_TYPE PoolType, SIZE_T NumberOfBytes)
{
    return QuotaOrRaise(PoolType, NumberOfBytes, TAG_NONE, _ReturnAddress());
}

/* Low-priority requests leave what is left to others. */
PVOID NTAPI ExAllocatePoolWithTagPriority(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag,
                                          EX_POOL_PRIORITY Priority)
{
    if (Priority < NormalPoolPriority && MmIsMemoryLow(NumberOfBytes)) {
        return NULL;
    }
    return ExpAllocateOrRaise(PoolType, NumberOfBytes, Tag, _ReturnAddress());
}

/* ---- The newer family ---- */

#define POOL_FLAGS_KNOWN                                                                                               \
    (POOL_FLAG_USE_QUOTA | POOL_FLAG_UNINITIALIZED | POOL_FLAG_CACHE_ALIGNED | POOL_FLAG_RAISE_ON_FAILURE |            \
     POOL_FLAG_NON_PAGED | POOL_FLAG_PAGED)
#define POOL_FLAGS_REQUIRED 0xFFFFFFFFULL /* a flag here that is not known refuses the request; one above is ignored */

/* FALSE: the flags are not ones that can be honoured. */
static BOOLEAN PoolTypeOf(ULONG64 Flags, POOL_TYPE *PoolType)
{
    BOOLEAN NonPaged = (Flags & POOL_FLAG_NON_PAGED) != 0, Paged = (Flags & POOL_FLAG_PAGED) != 0;

    if ((Flags & POOL_FLAGS_REQUIRED & ~(ULONG64)POOL_FLAGS_KNOWN) != 0 || NonPaged == Paged) {
        return FALSE;
    }
    ULONG Type = Paged ? PagedPool : NonPagedPool;
    if ((Flags & POOL_FLAG_CACHE_ALIGNED) != 0) {
        Type |= NonPagedPoolCacheAligned;
    }
    if ((Flags & POOL_FLAG_UNINITIALIZED) == 0) {
        Type |= POOL_ZERO_ALLOCATION;
    }
    *PoolType = (POOL_TYPE)Type;
    return TRUE;
}

static NTSTATUS AllocateByFlags(ULONG64 Flags, SIZE_T Bytes, ULONG Tag, PVOID Site, PVOID *Memory)
{
    POOL_TYPE PoolType;

    *Memory = NULL;
    if (!PoolTypeOf(Flags, &PoolType) || Tag == 0 || Bytes == 0) {
        return STATUS_INVALID_PARAMETER;
    }
    if ((Flags & POOL_FLAG_USE_QUOTA) != 0) {
        return AllocateWithQuota(PoolType, Bytes, Tag, Site, Memory);
    }
    *Memory = ExpAllocate(PoolType, Bytes, Tag, Site);
    return *Memory != NULL ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
}

/**
 * ExAllocatePool2 - memory from a pool, zeroed unless POOL_FLAG_UNINITIALIZED.
 *
 * @Flags   POOL_FLAG_NON_PAGED or POOL_FLAG_PAGED, and others of the known ones; executable pool is refused
 * @Bytes   not 0
 * @Tag     not 0
 * returns  the block; NULL, or with POOL_FLAG_RAISE_ON_FAILURE an exception: STATUS_INVALID_PARAMETER,
 *          STATUS_INSUFFICIENT_RESOURCES, STATUS_QUOTA_EXCEEDED
 */
PVOID NTAPI ExAllocatePool2(ULONG64 Flags, SIZE_T Bytes, ULONG Tag)
{
    PVOID Memory;
    NTSTATUS Status = AllocateByFlags(Flags, Bytes, Tag, _ReturnAddress(), &Memory);

    if (!NT_SUCCESS(Status) && (Flags & POOL_FLAG_RAISE_ON_FAILURE) != 0) {
        ExRaiseStatus(Status);
    }
    return Memory;
}

/* Extended parameters: a priority counts, a preferred node is a hint, anything else only if it is optional. */
static NTSTATUS CheckExtended(const POOL_EXTENDED_PARAMETER *Parameters, ULONG Count, SIZE_T Bytes)
{
    for (ULONG Index = 0; Index < Count; Index++) {
        const POOL_EXTENDED_PARAMETER *One = &Parameters[Index];
        if (One->Type == PoolExtendedParameterPriority) {
            if (One->Priority < NormalPoolPriority && MmIsMemoryLow(Bytes)) {
                return STATUS_INSUFFICIENT_RESOURCES;
            }
        } else if (One->Type != PoolExtendedParameterNumaNode && !One->Optional) {
            return STATUS_INVALID_PARAMETER;
        }
    }
    return STATUS_SUCCESS;
}

/* ExAllocatePool2 with parameters; secure pool is refused. */
PVOID NTAPI ExAllocatePool3(ULONG64 Flags, SIZE_T Bytes, ULONG Tag, const POOL_EXTENDED_PARAMETER *ExtendedParameters,
                            ULONG ExtendedParametersCount)
{
    PVOID Memory = NULL;
    NTSTATUS Status = CheckExtended(ExtendedParameters, ExtendedParametersCount, Bytes);

    if (NT_SUCCESS(Status)) {
        Status = AllocateByFlags(Flags, Bytes, Tag, _ReturnAddress(), &Memory);
    }
    if (!NT_SUCCESS(Status) && (Flags & POOL_FLAG_RAISE_ON_FAILURE) != 0) {
        ExRaiseStatus(Status);
    }
    return Memory;
}

/* The parameters belong to secure pool, of which there is none. */
VOID NTAPI ExFreePool2(PVOID P, ULONG Tag, const POOL_EXTENDED_PARAMETER *ExtendedParameters,
                       ULONG ExtendedParametersCount)
{
    ExFreePoolWithTag(P, Tag);
}
