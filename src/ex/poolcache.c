/*
 * poolcache.c - free small blocks that each processor keeps at hand.
 *
 * A freed block of one of the smaller sizes goes to a list of the processor that frees it, and the next request for this size
 * takes it from there: without the class's lock, which all processors share, and with memory that is likely in this processor's cache. A list
 * is lock-free, so a thread that moves between looking up its processor and using the list does no harm, and any processor can
 * empty it.
 *
 * A kept block is free for everyone who looks (Size is EXP_FREE, the check word gone), but its page still counts it as used, so
 * that a page with kept blocks is not given back; ExTrimPool empties the lists first. How many a list keeps is adjusted once a second, as for
 * lookaside lists: one whose requests often found nothing gets deeper, an idle one shallower.
 *
 * Locks: none. IRQL: <= DISPATCH_LEVEL. Source of the idea: per-processor lookaside lists of small pool blocks, as the WDK's
 * documentation of lookaside lists recommends them to drivers.
 */
#include "poolp.h"

#define LARGEST       256 /* bytes, header included; above that blocks are too large to hoard and asked for less often */
#define LISTS         11  /* sizes up to LARGEST */
#define DEPTH_MINIMUM 4
#define DEPTH_MAXIMUM 32 /* of all sizes 40 KB a processor and pool at most */
#define RATE_MINIMUM  16 /* requests a second below which a list is idle */

typedef struct _EXP_CACHE {
    SLIST_HEADER Blocks;
    volatile LONG Asked, Missed; /* since the last adjustment, about: processors that race lose some */
    volatile LONG Depth;
} EXP_CACHE, *PEXP_CACHE;

static struct {
    EXP_CACHE List[2][LISTS]; /* [paged] */
} DECLSPEC_CACHEALIGN Caches[KI_MAXIMUM_PROCESSORS];

static PEXP_CACHE CacheFor(BOOLEAN Paged, ULONG Class)
{
    if (Class >= LISTS || ExpSizes[Class] > LARGEST) {
        return NULL;
    }
    return &Caches[KeGetCurrentPrcb()->Number].List[Paged != 0][Class];
}

PEXP_BLOCK ExpTakeKept(BOOLEAN Paged, ULONG Class)
{
    PEXP_CACHE Cache = CacheFor(Paged, Class);
    PSLIST_ENTRY Entry;

    if (Cache == NULL) {
        return NULL;
    }
    Cache->Asked++;
    Entry = ExpInterlockedPopEntrySList(&Cache->Blocks);
    if (Entry == NULL) {
        Cache->Missed++;
        return NULL;
    }
    return (PEXP_BLOCK)Entry - 1;
}

BOOLEAN ExpKeepBlock(BOOLEAN Paged, ULONG Class, PEXP_BLOCK Block)
{
    PEXP_CACHE Cache = CacheFor(Paged, Class);

    if (Cache == NULL || ExQueryDepthSList(&Cache->Blocks) >= Cache->Depth) {
        return FALSE;
    }
    ExpInterlockedPushEntrySList(&Cache->Blocks, (PSLIST_ENTRY)(Block + 1));
    return TRUE;
}

/* Gives one list's blocks back to their pages. */
static VOID EmptyCache(PEXP_CACHE Cache)
{
    PSLIST_ENTRY Entry = ExpInterlockedFlushSList(&Cache->Blocks);

    while (Entry != NULL) {
        PSLIST_ENTRY Next = Entry->Next;
        if (NT_CHK) {
            RtlFillMemory((PUCHAR)Entry, sizeof(PSLIST_ENTRY), EXP_FILL_FREE);
        }
        ExpReturnBlock((PEXP_BLOCK)Entry - 1);
        Entry = Next;
    }
}

VOID ExpEmptyCaches(VOID)
{
    for (ULONG Number = 0; Number < KeNumberOfActiveProcessors; Number++) {
        for (ULONG Index = 0; Index < 2 * LISTS; Index++) {
            EmptyCache(&Caches[Number].List[Index / LISTS][Index % LISTS]);
        }
    }
}

static VOID Adjust(PEXP_CACHE Cache)
{
    LONG Asked = Cache->Asked, Missed = Cache->Missed, Depth = Cache->Depth;

    Cache->Asked = Cache->Missed = 0;
    if (Asked < RATE_MINIMUM) {
        Depth--;
    } else if (Missed > Asked / 16) {
        Depth += 4;
    }
    Cache->Depth = Depth < DEPTH_MINIMUM ? DEPTH_MINIMUM : min(Depth, DEPTH_MAXIMUM);
    if (ExQueryDepthSList(&Cache->Blocks) > Cache->Depth) {
        EmptyCache(Cache);
    }
}

VOID ExpAdjustCaches(VOID)
{
    for (ULONG Number = 0; Number < KeNumberOfActiveProcessors; Number++) {
        for (ULONG Index = 0; Index < 2 * LISTS; Index++) {
            Adjust(&Caches[Number].List[Index / LISTS][Index % LISTS]);
        }
    }
}
