/*
 * range.h - the allocator of kernel addresses (systempte.c): one instance for system PTEs and one a pool region.
 */
#pragma once

#include <ntos/mm.h>

typedef struct _MI_RANGE {
    KSPIN_LOCK Lock;     /* guards the bitmap and what is marked (r) */
    PUCHAR Base;         /* (c) start of the region; the bitmap lies there */
    ULONG64 Maximum;     /* (c) pages of the region */
    ULONG64 Reserved;    /* (c) pages at the start that the bitmap may come to use */
    MM_REGION Region;    /* (c) where the bitmap's pages count as exposure */
    ULONG64 Limit;       /* (r) pages whose tables are resident: the search stays below */
    ULONG64 Rotor;       /* (r) where the next search begins */
    ULONG64 BitmapPages; /* (r) */
    ULONG64 Free, Used;  /* (r) pages below Limit */
    ULONG64 Flushes;     /* (r) whole flushes that reuse forced */
    ULONG64 Failures;    /* (r) requests refused */
} MI_RANGE, *PMI_RANGE;

extern MI_RANGE MiSystemPtes;   /* stacks, MDL maps, I/O maps */
extern MI_RANGE MiNonPagedArea; /* nonpaged pool pages, contiguous memory */
extern MI_RANGE MiPagedArea;    /* paged pool pages */

/* Prepares a range over a whole region; its first table and bitmap page are made. FALSE: memory is short. Phase 0. */
BOOLEAN MiInitializeRange(PMI_RANGE Range, PVOID Base, SIZE_T Bytes, MM_REGION Region);

/**
 * MiReserveRange - takes a run of addresses; tables are resident, PTEs 0, nothing mapped.
 *
 * returns  its start; NULL: no run, or no memory for tables
 *
 * IRQL: <= DISPATCH_LEVEL. Locks: takes the range's, then PFN and TLB locks.
 */
PVOID MiReserveRange(PMI_RANGE Range, ULONG64 Pages);

/* Gives a run back. PTEs still valid are cleared (their frames are the caller's business). IRQL: <= DISPATCH_LEVEL. */
VOID MiReleaseRange(PMI_RANGE Range, PVOID Address, ULONG64 Pages);
