/*
 * heapp.h - heaps: their structures, and what heap.c (front end, exports) and heapblock.c (segments, free blocks) share.
 *
 * A heap is a list of segments. A segment is reserved as a whole and committed from its start; what is committed is a row of blocks without
 * gaps, each of whole units, each beginning with a header, up to an end mark. Everything here is guarded by the heap's lock.
 */
#pragma once

#include "ntdllp.h"

#define HEAP_UNIT        16
#define HEAP_BINS        128
#define HEAP_EXACT_BINS  64 /* bins below hold blocks of exactly that many units; above four to each power of two */
#define HEAP_CACHE_UNITS 64 /* the front end keeps blocks of up to 1 KB */
#define HEAP_CACHE_DEPTH 32 /* of each size: as many as a burst of frees and allocations takes, 32 KB at the most */
#define HEAP_LARGE_BYTES 0x20000 /* from here on a block has pages of its own, which go back at once */

/* States are words that zeros, small numbers and characters do not make. */
#define HEAP_BUSY   0xB5B5
#define HEAP_FREE   0xF2F2 /* in a bin */
#define HEAP_CACHED 0xCACA /* kept by the front end; to the blocks beside it as good as in use */
#define HEAP_END    0xEDED /* behind the last block of a segment */
#define HEAP_LARGE_ 0xA9A9 /* behind a HEAP_LARGE_BLOCK */

typedef struct DECLSPEC_ALIGN(HEAP_UNIT) _HEAP_BLOCK {
    ULONG Units;    /* header included; the end mark's and a large block's: 1 */
    ULONG Previous; /* Units of the block before it; 0: the first of its segment */
    USHORT Slack;   /* busy: bytes at the end that nobody asked for, one at least; filled with HEAP_TAIL_FILL */
    USHORT State;
    ULONG Check; /* of all the above, the address and the heap's cookie */
} HEAP_BLOCK, *PHEAP_BLOCK;
C_ASSERT(sizeof(HEAP_BLOCK) == HEAP_UNIT);

#define HEAP_TAIL_FILL 0xAB
#define HEAP_FREE_FILL 0xFE

typedef struct DECLSPEC_ALIGN(HEAP_UNIT) _HEAP_LARGE_BLOCK { /* in front of a large block's header */
    LIST_ENTRY Link;
    SIZE_T Bytes;  /* as asked for */
    SIZE_T Mapped; /* of the whole allocation */
} HEAP_LARGE_BLOCK, *PHEAP_LARGE_BLOCK;

typedef struct DECLSPEC_ALIGN(HEAP_UNIT) _HEAP_SEGMENT {
    LIST_ENTRY Link;
    PHEAP_BLOCK First;
    PUCHAR Committed; /* end of what is committed; the end mark is the unit below */
    PUCHAR Reserved;
} HEAP_SEGMENT, *PHEAP_SEGMENT;

typedef struct _HEAP_CACHE {
    PVOID First; /* payload of a cached block, whose first word is the next one xor the heap's cookie */
    ULONG Depth;
} HEAP_CACHE;

typedef struct DECLSPEC_ALIGN(HEAP_UNIT) _HEAP { /* in the first segment, in front of its first block */
    ULONG64 Signature;
    ULONG Flags;       /* (c) */
    BOOLEAN Validates; /* (c) free blocks are filled and checked, the front end keeps none */
    ULONG64 Cookie;    /* (c) random */
    LIST_ENTRY Heaps;  /* of the process (RtlpHeapListLock) */
    RTL_CRITICAL_SECTION Lock;
    LIST_ENTRY Segments; /* the one that grows is first */
    PHEAP_SEGMENT Spare; /* one that was empty and was kept */
    SIZE_T NextReserve;  /* bytes of the next segment; 0: the heap does not grow */
    LIST_ENTRY Large;
    ULONG64 Filled[HEAP_BINS / 64]; /* bins that are not empty */
    LIST_ENTRY Bin[HEAP_BINS];
    HEAP_CACHE Cache[HEAP_CACHE_UNITS + 1]; /* by units */
    PCSTR Damage;                           /* what was found to be wrong, until it is reported */
    PVOID DamageAt;
} HEAP, *PHEAP;

FORCEINLINE PHEAP_BLOCK RtlpNextBlock(PHEAP_BLOCK Block)
{
    return Block + Block->Units;
}

/* ---- heapblock.c ---- */

PVOID RtlpTakePages(SIZE_T Reserve, SIZE_T Commit); /* NULL: there are none */
VOID RtlpGivePages(PVOID Base);

/* After each change of a header. */
VOID RtlpSeal(PHEAP Heap, PHEAP_BLOCK Block);
BOOLEAN RtlpSealed(PHEAP Heap, PHEAP_BLOCK Block);
/* Remembers what is wrong for the caller of the export to be told. Returns FALSE. */
BOOLEAN RtlpDamaged(PHEAP Heap, PVOID Address, PCSTR What);

/* Makes a segment of reserved pages whose first Commit bytes are committed and whose first Used bytes are taken. */
VOID RtlpAddSegment(PHEAP Heap, PHEAP_SEGMENT Segment, SIZE_T Used, SIZE_T Commit, SIZE_T Reserve);
/* A block of at least Units, state HEAP_BUSY; NULL: no memory, or damage. */
PHEAP_BLOCK RtlpTakeBlock(PHEAP Heap, ULONG Units);
VOID RtlpGiveBlock(PHEAP Heap, PHEAP_BLOCK Block);
/* Makes a busy block smaller, or larger by the free one behind it. FALSE: it cannot be. */
BOOLEAN RtlpResizeBlock(PHEAP Heap, PHEAP_BLOCK Block, ULONG Units);
/* Every header, neighbour, filling and bin is as it should be. */
BOOLEAN RtlpValidateBlocks(PHEAP Heap);
BOOLEAN RtlpTailIntact(PHEAP_BLOCK Block);
/* The address lies in the blocks of a segment. */
BOOLEAN RtlpInSegments(PHEAP Heap, PVOID Address);
ULONG RtlpLargestFree(PHEAP Heap); /* units */
