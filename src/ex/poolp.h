/*
 * poolp.h - inside the pools: blocks, the pages that hold them, what the files of the pool share.
 */
#pragma once

#include <ntos/console.h>
#include <ntos/mm.h>
#include <ntos/pool.h>
#include <ntos/ps.h>

typedef struct _EXP_BLOCK {
#if NT_CHK
    PVOID Caller;   /* who allocated it; free: who freed it */
    ULONG Stack;    /* its stack, where one is kept; 0: none */
    ULONG Reserved; /* keeps what follows 16-byte aligned */
#endif
    ULONG Tag;
    ULONG Size; /* bytes asked for; EXP_FREE: on the free list */
    union {
        ULONG64 Check;           /* in use: binds tag and size to the address */
        struct _EXP_BLOCK *Next; /* free */
    };
} EXP_BLOCK, *PEXP_BLOCK;
C_ASSERT(sizeof(EXP_BLOCK) % 16 == 0); /* MEMORY_ALLOCATION_ALIGNMENT of what follows */

#define EXP_FREE        0xFFFFFFFFu
#define EXP_QUOTA       0x80000000u /* in Size: a process is charged (quota.c) */
#define EXP_BYTES       0x7FFFFFFFu
#define EXP_PAGE_MAGIC  0x45474150u /* "PAGE" */
#define EXP_TAG_PAGE    'gaPP'      /* tag of the runs that pages of small blocks are */
#define EXP_TAG_SPECIAL 'cepS'      /* tag of the runs between guard pages */

#define EXP_FILL_FRESH 0xCD
#define EXP_FILL_FREE  0xDD
#define EXP_FILL_TAIL  0xFD

typedef struct _EXP_PAGE { /* at the start of every page of small blocks */
    LIST_ENTRY Link;       /* (class lock) on its class's list while a block is free */
    PEXP_BLOCK FreeList;   /* (class lock) */
    ULONG Magic;           /* (c) */
    USHORT Class;          /* (c) */
    USHORT Total;          /* (c) blocks in the page */
    USHORT Used;           /* (class lock) */
    USHORT Untouched;      /* (class lock) blocks at the end that were never given out */
    UCHAR Paged;           /* (c) */
    UCHAR Reserved[11];
#if NT_CHK
    LIST_ENTRY AllLink; /* (class lock) on its class's list of all pages */
    ULONG64 Padding[4];
#endif
} EXP_PAGE, *PEXP_PAGE;
/* The first block's memory begins at a multiple of 64: blocks of sizes that are multiples of 64 are cache-aligned. */
C_ASSERT((sizeof(EXP_PAGE) + sizeof(EXP_BLOCK)) % 64 == 0);

/* Block sizes, header included: steps of at most a quarter, and from 288 up what divides a page with least waste. */
#if NT_CHK
#define EXP_SIZES                                                                                                      \
    {48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 304, 352, 400, 448, 496, 576, 656, 800, 992, 1328, 2000}
#define EXP_CLASSES       21
#define EXP_LARGEST_BLOCK 2000
#else
#define EXP_SIZES                                                                                                      \
    {32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 288, 336, 400, 448, 496, 576, 672, 800, 1008, 1344, 2016}
#define EXP_CLASSES       22
#define EXP_LARGEST_BLOCK 2016
#endif
#define EXP_LARGEST_SMALL (EXP_LARGEST_BLOCK - sizeof(EXP_BLOCK))

extern const USHORT ExpSizes[EXP_CLASSES];

typedef struct _EXP_CLASS {
    KSPIN_LOCK Lock;
    LIST_ENTRY Partial; /* (class lock) pages with a free block */
    PEXP_PAGE Empty;    /* (class lock) one page with no used block, kept */
#if NT_CHK
    LIST_ENTRY All; /* (class lock) every page, by AllLink */
#endif
} DECLSPEC_CACHEALIGN EXP_CLASS, *PEXP_CLASS;

extern EXP_CLASS ExpClasses[2][EXP_CLASSES]; /* [paged] */
extern volatile EX_POOL_USE ExpUse[2];       /* interlocked */

/*
 * A block; Site: return address of the public routine's caller. Flags: POOL_TYPE bits and EXP_ALLOCATE_QUOTA.
 * NULL: memory is short, or a failure is injected; nothing is raised. (pool.c)
 */
PVOID ExpAllocate(POOL_TYPE PoolType, SIZE_T Bytes, ULONG Tag, PVOID Site);
/* The same, and raises STATUS_INSUFFICIENT_RESOURCES if the pool type says so. */
PVOID ExpAllocateOrRaise(POOL_TYPE PoolType, SIZE_T Bytes, ULONG Tag, PVOID Site);
VOID ExpMarkQuota(PVOID Address); /* its free returns quota */
VOID ExpCountAllocation(BOOLEAN Paged, ULONG Tag, SIZE_T Bytes);
VOID ExpCountFree(BOOLEAN Paged, ULONG Tag, SIZE_T Bytes);

VOID ExpReturnBlock(PEXP_BLOCK Block); /* a free block that a processor has kept goes back to its page */

/* ---- poolcache.c; IRQL: <= DISPATCH_LEVEL ---- */

/* A block of a size that this processor has kept; NULL: none. */
PEXP_BLOCK ExpTakeKept(BOOLEAN Paged, ULONG Class);
/* Keeps a block, whose Size is EXP_FREE; FALSE: enough are kept. */
BOOLEAN ExpKeepBlock(BOOLEAN Paged, ULONG Class, PEXP_BLOCK Block);
VOID ExpEmptyCaches(VOID);
VOID ExpAdjustCaches(VOID); /* once a second */

/* ---- poolcheck.c ---- */

/* Site, Stack: who allocated (or freed) the block; Site may be NULL. Never returns. */
DECLSPEC_NORETURN VOID ExpBadBlock(ULONG Code, ULONG Reason, PVOID Address, ULONG Tag, PCSTR What, PVOID Site);
BOOLEAN ExpIsFilled(const UCHAR *Memory, SIZE_T Bytes, UCHAR Value);
#if NT_CHK
/* The stack of an allocation by a driver, as a number that goes into its header; 0: not kept. IRQL: any. */
ULONG ExpKeepStack(PVOID Site);
/* Runs of pages have no header: who allocated them is kept beside. */
VOID ExpEnterRun(PVOID Address, PVOID Site);
PVOID ExpRemoveRun(PVOID Address); /* returns the site, NULL: not known */
#endif

/* ---- specialpool.c ---- */

extern ULONG ExpSpecialTag; /* 0: none, '*': every tag */
PVOID ExpAllocateSpecial(BOOLEAN Paged, SIZE_T Bytes, ULONG Tag, PVOID Site);
BOOLEAN ExpFreeSpecial(PVOID Address, ULONG Tag); /* FALSE: it is no special block */
VOID ExpInitializeSpecialPool(VOID);

/* ---- quota.c ---- */

extern volatile LONG ExpQuotaBlocks;
/* STATUS_SUCCESS; STATUS_QUOTA_EXCEEDED; STATUS_INSUFFICIENT_RESOURCES. */
NTSTATUS ExpChargeBlock(PEPROCESS Process, BOOLEAN Paged, PVOID Address, SIZE_T Bytes);
VOID ExpReturnBlockQuota(PVOID Address);
