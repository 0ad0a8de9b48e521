/*
 * ccp.h - the cache manager's own structures.
 *
 * One mutex, the view mutex, guards everything that is marked (v); it is held for look-ups and for mapping and unmapping
 * a view, never across I/O, a copy or a file-system call. Its acquisitions are counted, so that splitting it can be
 * decided from figures.
 */
#pragma once

#include <ntos/cc.h>
#include <ntos/ke.h>
#include <ntos/section.h>

#define CCP_NODE_BCB         0x2FD /* the DDK's PUBLIC_BCB.NodeTypeCode */
#define CCP_NODE_PRIVATE_MAP 0x2FE
#define CCP_NODE_SHARED_MAP  0x2FF

#define CCP_TAG_SHARED_MAP  'mScC'
#define CCP_TAG_PRIVATE_MAP 'mPcC'
#define CCP_TAG_INDEX       'iVcC'
#define CCP_TAG_BCB         'cBcC'
#define CCP_TAG_VACB        'aVcC'

/* A sparse index level: 128 pointers are 1 KB, and seven bits a level reach 2^63 bytes in seven levels. */
#define CCP_INDEX_BITS   7
#define CCP_INDEX_FANOUT (1u << CCP_INDEX_BITS)
#define CCP_INDEX_INLINE 4 /* views of a file up to 1 MB live in the map itself */
#define CCP_INDEX_LEVELS 7

typedef struct _SHARED_CACHE_MAP SHARED_CACHE_MAP, *PSHARED_CACHE_MAP;

/* One mapped 256 KB view. VACB number n always maps at slot n of the system cache region. */
typedef struct _VACB {
    PVOID Base;            /* (c) */
    PSHARED_CACHE_MAP Map; /* (v) NULL: free */
    LONG64 FileOffset;     /* (v) multiple of 256 KB */
    ULONG UseCount;        /* (v) copies, BCBs and last views; 0 only while free */
    ULONG Bytes;           /* (v) mapped from Base on */
    LIST_ENTRY FreeLink;   /* (v) in CcpFreeVacbs while free */
} VACB, *PVACB;

typedef struct _CCP_INDEX_BLOCK {
    ULONG Used; /* (v) slots that are not NULL; the block is freed with its last one */
    PVOID Slot[CCP_INDEX_FANOUT];
} CCP_INDEX_BLOCK, *PCCP_INDEX_BLOCK;

/* The views of one file by file offset: inline for small files, a sparse tree of blocks for larger ones. */
typedef struct _CCP_INDEX {
    ULONG Levels; /* (v) 0: Inline is used; else Root points to a block with Levels - 1 levels below it */
    union {
        PVACB Inline[CCP_INDEX_INLINE];
        PCCP_INDEX_BLOCK Root;
    };
} CCP_INDEX, *PCCP_INDEX;

struct _SHARED_CACHE_MAP {
    CSHORT NodeTypeCode;               /* (c) */
    CSHORT NodeByteSize;               /* (c) */
    ULONG OpenCount;                   /* (v) file objects with a private map */
    LARGE_INTEGER FileSize;            /* (v) where CcGetFileSizePointer of the DDK expects it */
    LARGE_INTEGER AllocationSize;      /* (v) */
    LARGE_INTEGER ValidDataLength;     /* (v) */
    LONG64 SectionBytes;               /* (v) size asked of the section so far */
    PFILE_OBJECT FileObject;           /* (c) referenced */
    PCONTROL_AREA ControlArea;         /* (c) open held */
    CCP_INDEX Index;                   /* (v) */
    ULONG Views;                       /* (v) VACBs in Index */
    ULONG Users;                       /* (v) calls in progress that look at this map without an open of their own */
    LONG64 StaleFrom;                  /* (v) what a refused purge left, to be tried again; MAXLONG64: nothing */
    BOOLEAN PinAccess;                 /* (c) */
    LIST_ENTRY Link;                   /* (v) in CcpMaps */
    LIST_ENTRY PrivateMaps;            /* (v) */
    CACHE_MANAGER_CALLBACKS Callbacks; /* (c) */
    PVOID LazyWriteContext;            /* (c) */
    PCACHE_UNINITIALIZE_EVENT UninitializeEvents; /* (v) signalled when the map is gone */
};
C_ASSERT(FIELD_OFFSET(SHARED_CACHE_MAP, FileSize) == sizeof(LARGE_INTEGER));

/* One per file object that called CcInitializeCacheMap. */
typedef struct _PRIVATE_CACHE_MAP {
    CSHORT NodeTypeCode;     /* (c) */
    CSHORT NodeByteSize;     /* (c) */
    PFILE_OBJECT FileObject; /* (c) */
    PVACB LastView;          /* (v) the view the handle used last; holds one use of it */
    ULONG64 LastUse;         /* (v) interrupt time, 100 ns */
    LIST_ENTRY HeldLink;     /* (v) in CcpHeldViews, oldest first, while LastView is set */
    LIST_ENTRY MapLink;      /* (v) in the shared map's PrivateMaps */
} PRIVATE_CACHE_MAP, *PPRIVATE_CACHE_MAP;

/* A range mapped by CcMapData; holds one use of its view. */
typedef struct _CCP_BCB {
    PUBLIC_BCB Public;     /* (c) NodeTypeCode CCP_NODE_BCB */
    PVACB Vacb;            /* (c) */
    PSHARED_CACHE_MAP Map; /* (c) kept alive by Vacb's use */
} CCP_BCB, *PCCP_BCB;
C_ASSERT(FIELD_OFFSET(CCP_BCB, Public) == 0);

extern FAST_MUTEX CcpViewMutex;
extern LIST_ENTRY CcpMaps; /* (v) */

/* ---- vacbindex.c: pure, callers hold the view mutex ---- */
PVACB CcpIndexLookup(PCCP_INDEX Index, LONG64 FileOffset);
BOOLEAN CcpIndexInsert(PCCP_INDEX Index, PVACB Vacb); /* FALSE: no memory for a block */
VOID CcpIndexRemove(PCCP_INDEX Index, LONG64 FileOffset);
/* The first view at or after an offset, NULL: none. */
PVACB CcpIndexNext(PCCP_INDEX Index, LONG64 FileOffset);

/* ---- view.c ---- */
NTSTATUS CcpInitializeViews(VOID);
NTSTATUS CcpAcquireView(PSHARED_CACHE_MAP Map, LONG64 FileOffset, PVACB *Vacb);
VOID CcpReleaseView(PVACB Vacb);
VOID CcpReferenceView(PVACB Vacb);
VOID CcpHoldLastView(PPRIVATE_CACHE_MAP Private, PVACB Vacb);
BOOLEAN CcpReleaseViewLocked(PVACB Vacb); /* view mutex held; TRUE: the map is to be deleted by the caller */
BOOLEAN CcpDropLastViewLocked(PPRIVATE_CACHE_MAP Private);
ULONG CcpDropHeldViews(ULONG64 IdleSince);
ULONG CcpVacbCount(VOID);

/* ---- cachemap.c ---- */
VOID CcpDeleteMap(PSHARED_CACHE_MAP Map);
VOID CcpRetryPurge(PSHARED_CACHE_MAP Map);
/* TRUE, view mutex held: nobody needs the map; it has been taken off every list and the caller must delete it. */
BOOLEAN CcpRetireMapLocked(PSHARED_CACHE_MAP Map);
