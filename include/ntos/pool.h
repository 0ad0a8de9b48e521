/*
 * pool.h - the pools, as the rest of the kernel sees them (ExAllocatePool... are in the DDK).
 */
#pragma once

#include <ntos/ntos.h>

#define POOL_ZERO_ALLOCATION 1024 /* with any pool type: the memory is zero (documented, absent from the DDK headers) */

#ifndef POOL_FLAG_USE_QUOTA /* documented, absent from older DDK headers */
#define POOL_FLAG_USE_QUOTA         0x00000001ULL
#define POOL_FLAG_UNINITIALIZED     0x00000002ULL
#define POOL_FLAG_CACHE_ALIGNED     0x00000008ULL
#define POOL_FLAG_RAISE_ON_FAILURE  0x00000020ULL
#define POOL_FLAG_NON_PAGED         0x00000040ULL
#define POOL_FLAG_NON_PAGED_EXECUTE 0x00000080ULL
#define POOL_FLAG_PAGED             0x00000100ULL

typedef enum _POOL_EXTENDED_PARAMETER_TYPE {
    PoolExtendedParameterInvalidType,
    PoolExtendedParameterPriority,
    PoolExtendedParameterSecurePool,
    PoolExtendedParameterNumaNode,
    PoolExtendedParameterMax
} POOL_EXTENDED_PARAMETER_TYPE;

typedef struct _POOL_EXTENDED_PARAMETER {
    struct {
        ULONG64 Type : 8;
        ULONG64 Optional : 1;
        ULONG64 Reserved : 55;
    };
    union {
        ULONG64 Reserved2;
        PVOID Reserved3;
        EX_POOL_PRIORITY Priority;
        ULONG PreferredNode;
    };
} POOL_EXTENDED_PARAMETER, *PPOOL_EXTENDED_PARAMETER;
C_ASSERT(sizeof(POOL_EXTENDED_PARAMETER) == 16);

PVOID NTAPI ExAllocatePool2(ULONG64 Flags, SIZE_T Bytes, ULONG Tag);
PVOID NTAPI ExAllocatePool3(ULONG64 Flags, SIZE_T Bytes, ULONG Tag, const POOL_EXTENDED_PARAMETER *ExtendedParameters,
                            ULONG ExtendedParametersCount);
VOID NTAPI ExFreePool2(PVOID P, ULONG Tag, const POOL_EXTENDED_PARAMETER *ExtendedParameters,
                       ULONG ExtendedParametersCount);
#endif

typedef struct _EX_POOL_USE {
    ULONG64 Pages;       /* frames held by the pool */
    ULONG64 Bytes;       /* bytes callers asked for and have not freed */
    ULONG64 PeakBytes;   /* highest Bytes seen */
    ULONG64 Allocations; /* ever */
    ULONG64 Frees;       /* ever */
    ULONG64 Failures;    /* requests refused, injected ones included */
} EX_POOL_USE, *PEX_POOL_USE;

typedef struct _EX_POOL_TAG {
    ULONG Tag;
    ULONG64 Allocations, Frees; /* ever, both pools */
    ULONG64 Bytes;              /* in use */
} EX_POOL_TAG, *PEX_POOL_TAG;

/* Makes the pools usable. Phase 0, after MmInitializePhase0. */
VOID ExInitializePoolPhase0(VOID);
VOID ExQueryPoolUse(BOOLEAN Paged, PEX_POOL_USE Use); /* IRQL: any */
/* Copies up to Count tags that are in use; returns how many. IRQL: any. */
ULONG ExQueryPoolTags(PEX_POOL_TAG Tags, ULONG Count);
/* TRUE if Address is a live allocation; chk also checks its header and tail. IRQL: <= DISPATCH_LEVEL; never bug-checks. */
BOOLEAN ExCheckPoolBlock(PVOID Address, PSIZE_T Bytes, PULONG Tag);
/* Lookaside lists: adjusts every list's depth to its use since the last call; starts doing so each second. (lookaside.c) */
VOID ExAdjustLookasideDepth(VOID); /* IRQL: <= DISPATCH_LEVEL */
VOID ExStartLookasides(VOID);      /* phase 1 */
/* Gives back the empty page that each size class keeps. IRQL: <= DISPATCH_LEVEL. */
VOID ExTrimPool(VOID);

/* ExAllocatePoolWithTag on behalf of who returns to Site: the block counts as allocated there. */
PVOID ExAllocatePoolFor(POOL_TYPE PoolType, SIZE_T Bytes, ULONG Tag, PVOID Site);

#if NT_CHK
/* A block changes hands without passing through the pool: it counts as allocated by who returns to Site. */
VOID ExReassignPool(PVOID Address, PVOID Site);
BOOLEAN ExIsSpecialPool(VOID); /* some blocks get guard pages */
#else
#define ExReassignPool(Address, Site) ((void)0)
#define ExIsSpecialPool()             FALSE
#endif

#if NT_CHK
/* A block and the stack that allocated it. */
typedef struct _EX_POOL_OWNED {
    PVOID Address;
    SIZE_T Bytes;
    ULONG Tag;
    ULONG Depth;
    const ULONG64 *Stack;
} EX_POOL_OWNED;

/* Calls Found, at DISPATCH_LEVEL, for each block that was allocated by code in a range. IRQL: <= DISPATCH_LEVEL. */
VOID ExFindOwnedPool(ULONG64 Begin, ULONG64 End, VOID (*Found)(const EX_POOL_OWNED *Block, PVOID Context),
                     PVOID Context);
/* Blocks of a tag ('*': of every one, 0: of none) get guard pages from now on; returns the tag before. */
ULONG ExSetSpecialPool(ULONG Tag, BOOLEAN Underrun);
#endif

/* A copy of the table of tags, for comparison: what has Bytes more out in After. Returns the tag, 0: none. IRQL: any. */
#define EX_POOL_TAGS 256
VOID ExSnapshotPoolTags(PEX_POOL_TAG Tags);
ULONG ExCompareSnapshots(const EX_POOL_TAG *Before, const EX_POOL_TAG *After, PLONG64 Bytes);
