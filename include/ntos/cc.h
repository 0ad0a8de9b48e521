/*
 * cc.h - the cache manager, as the rest of the kernel sees it (what file systems call is in the DDK).
 */
#pragma once

#include <ntos/ntos.h>

/* Counters; each only grows unless it says otherwise. Exact under the view mutex, read without it. */
typedef struct _CC_COUNTERS {
    ULONG64 CopyReads;     /* CcCopyRead calls */
    ULONG64 CopyBytes;     /* bytes they copied */
    ULONG64 ViewHits;      /* the view was mapped already */
    ULONG64 ViewMisses;    /* the view had to be mapped */
    ULONG64 ViewEvictions; /* last views dropped for want of a free VACB */
    ULONG64 IdleDrops;     /* last views dropped after a second, or for want of memory */
    ULONG64 DataMaps;      /* CcMapData calls */
    ULONG64 VacbWaits;     /* waits because every VACB was in use */
    ULONG64 ViewsNow;      /* VACBs mapped now */
    ULONG64 ViewsPeak;
    ULONG64 MapsNow; /* shared cache maps alive now */
} CC_COUNTERS;

extern CC_COUNTERS CcCounters;

/* Memory runs short: every view that is only kept for its file object's next read is dropped soon. IRQL: <= DISPATCH. */
VOID CcSignalMemoryShort(VOID);
