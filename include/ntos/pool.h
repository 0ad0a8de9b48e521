/*
 * pool.h - the pools, as the rest of the kernel sees them (ExAllocatePool... are in the DDK).
 */
#pragma once

#include <ntos/ntos.h>

#define POOL_ZERO_ALLOCATION 1024 /* with any pool type: the memory is zero (documented, absent from the DDK headers) */

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
/* Gives back the empty page that each size class keeps. IRQL: <= DISPATCH_LEVEL. */
VOID ExTrimPool(VOID);

/* Every n-th request fails; 0: none does. For tests of the error paths. */
extern volatile ULONG ExPoolFaultInterval;
