/*
 * view.c - VACBs: 256 KB views of files, mapped only while somebody uses them.
 *
 * Owns the VACB array, the free list, the list of last views (LRU) and every use count. A VACB is either free, or mapped
 * with at least one use:
 *
 *     free --CcpAcquireView (maps)--> in use --CcpReleaseView of the last use (unmaps)--> free
 *
 * A use is a copy in progress, a BCB, or the view that a file object used last, so that a sequential reader maps each view
 * once. That last reference is dropped on close, when another view replaces it, after one second idle, when no VACB is
 * free, and at once when memory runs short; the thread at the end of this file does the two timed ones.
 *
 * VACB number n maps at slot n of the system cache region. The free list is FIFO: a slot rests as long as possible before
 * it is used again, so that its stale translations are most often gone by some other flush.
 *
 * Locks: the view mutex, <= APC_LEVEL. Never held across I/O, a copy or a call into a file system; mapping and unmapping a
 * view under it take the PFN lock for at most 64 PTEs.
 */
#include "ccp.h"
#include <ntos/ps.h>

/* A last view that was not used for this long is dropped (cache design, rule 1): one second in 100 ns units. */
#define CCP_IDLE_TIME (1000ULL * 10000ULL)

/* Views for the whole of RAM, within limits: 64 MB of views at least, and no more than 1 GB (2 MB of page tables). */
#define CCP_MINIMUM_VACBS 256u
#define CCP_MAXIMUM_VACBS 4096u

FAST_MUTEX CcpViewMutex;
VF_NAME_LOCK(CcpViewMutex, "CcpViewMutex");
CC_COUNTERS CcCounters;

static PVACB CcpVacbs;          /* (c) */
static ULONG CcpVacbTotal;      /* (c) */
static LIST_ENTRY CcpFreeVacbs; /* (v) */
static LIST_ENTRY CcpHeldViews; /* (v) private maps with a last view, least recently used first */
static KEVENT CcpVacbFreed; /* notification: a VACB became free or evictable since somebody found none (v: cleared) */
static KEVENT CcpIdleEvent; /* synchronization: the first last view is held, or memory is short */
static volatile LONG CcpMemoryShort;

static PETHREAD CcpIdleThreadObject; /* (c) kept: it never ends */

static VOID NTAPI CcpIdleThread(PVOID Context);

NTSTATUS CcpInitializeViews(VOID)
{
    MM_EXPOSURE Exposure;

    MmQueryExposure(&Exposure);
    CcpVacbTotal = (ULONG)min(max(Exposure.RamFrames * PAGE_SIZE / VACB_MAPPING_GRANULARITY, CCP_MINIMUM_VACBS),
                              CCP_MAXIMUM_VACBS);
    CcpVacbs = ExAllocatePoolWithTag(NonPagedPool, CcpVacbTotal * sizeof(VACB), CCP_TAG_VACB);
    if (CcpVacbs == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(CcpVacbs, CcpVacbTotal * sizeof(VACB));
    ExInitializeFastMutex(&CcpViewMutex);
    InitializeListHead(&CcpFreeVacbs);
    InitializeListHead(&CcpHeldViews);
    InitializeListHead(&CcpMaps);
    KeInitializeEvent(&CcpVacbFreed, NotificationEvent, FALSE);
    KeInitializeEvent(&CcpIdleEvent, SynchronizationEvent, FALSE);
    for (ULONG Number = 0; Number < CcpVacbTotal; Number++) {
        CcpVacbs[Number].Base = (PVOID)(MM_SYSTEM_CACHE_BASE + (ULONG64)Number * VACB_MAPPING_GRANULARITY);
        InsertTailList(&CcpFreeVacbs, &CcpVacbs[Number].FreeLink);
    }

    return PspCreateSystemThread(&CcpIdleThreadObject, CcpIdleThread, NULL, LOW_REALTIME_PRIORITY);
}

ULONG CcpVacbCount(VOID)
{
    return CcpVacbTotal;
}

/* ---- Uses of a view ---- */

/* Takes a free VACB, at the price of the least recently used last view if need be. View mutex held. NULL: all in use. */
static PVACB CcpTakeFreeVacb(VOID)
{
    if (IsListEmpty(&CcpFreeVacbs)) {
        /* Dropping a last view frees nothing when a copy or a BCB uses the same view, so go on until something is free. */
        while (IsListEmpty(&CcpFreeVacbs) && !IsListEmpty(&CcpHeldViews)) {
            PPRIVATE_CACHE_MAP Oldest = CONTAINING_RECORD(CcpHeldViews.Flink, PRIVATE_CACHE_MAP, HeldLink);

            /* The map cannot go: its file object still has it open. */
            CcpDropLastViewLocked(Oldest);
            CcCounters.ViewEvictions++;
        }
        if (IsListEmpty(&CcpFreeVacbs)) {
            return NULL;
        }
    }
    return CONTAINING_RECORD(RemoveHeadList(&CcpFreeVacbs), VACB, FreeLink);
}

/* Maps the view at FileOffset; view mutex held. STATUS_RETRY: no VACB is free now. */
static NTSTATUS CcpMapViewLocked(PSHARED_CACHE_MAP Map, LONG64 FileOffset, PVACB *Result)
{
    PVACB Vacb = CcpTakeFreeVacb();
    NTSTATUS Status;

    if (Vacb == NULL) {
        KeClearEvent(&CcpVacbFreed);
        return STATUS_RETRY;
    }
    Vacb->FileOffset = FileOffset;
    Status = MmMapCacheView(Map->ControlArea, (ULONG64)FileOffset, Vacb->Base, &Vacb->Bytes);
    if (NT_SUCCESS(Status) && !CcpIndexInsert(&Map->Index, Vacb)) {
        MmUnmapCacheView(Map->ControlArea, Vacb->Base);
        Status = STATUS_INSUFFICIENT_RESOURCES;
    }
    if (!NT_SUCCESS(Status)) {
        InsertHeadList(&CcpFreeVacbs, &Vacb->FreeLink);
        return Status;
    }
    Vacb->Map = Map;
    Vacb->UseCount = 1;
    Map->Views++;
    CcCounters.ViewsNow++;
    CcCounters.ViewsPeak = max(CcCounters.ViewsPeak, CcCounters.ViewsNow);
    *Result = Vacb;
    return STATUS_SUCCESS;
}

/**
 * CcpAcquireView - one use of the view that holds a file offset, mapping it if need be.
 *
 * @Map         kept alive by the caller (an open file object, or another use)
 * @FileOffset  any byte of the view, below the section's end
 * @Vacb        receives the view; give the use back with CcpReleaseView
 *
 * IRQL: <= APC_LEVEL; no locks. Waits while every VACB is in use. Fails: STATUS_INSUFFICIENT_RESOURCES,
 * STATUS_INVALID_VIEW_SIZE.
 */
NTSTATUS CcpAcquireView(PSHARED_CACHE_MAP Map, LONG64 FileOffset, PVACB *Vacb)
{
    BOOLEAN Prepared = FALSE;
    NTSTATUS Status;

    FileOffset &= ~(LONG64)(VACB_MAPPING_GRANULARITY - 1);
    for (;;) {
        ExAcquireFastMutex(&CcpViewMutex);
        *Vacb = CcpIndexLookup(&Map->Index, FileOffset);
        if (*Vacb != NULL) {
            (*Vacb)->UseCount++;
            CcCounters.ViewHits++;
            ExReleaseFastMutex(&CcpViewMutex);
            return STATUS_SUCCESS;
        }
        if (Prepared) {
            Status = CcpMapViewLocked(Map, FileOffset, Vacb);
            CcCounters.ViewMisses += NT_SUCCESS(Status);
            CcCounters.VacbWaits += Status == STATUS_RETRY;
            ExReleaseFastMutex(&CcpViewMutex);
            if (Status != STATUS_RETRY) {
                return Status;
            }
            KeWaitForSingleObject(&CcpVacbFreed, WrVirtualMemory, KernelMode, FALSE, NULL);
            continue;
        }
        ExReleaseFastMutex(&CcpViewMutex);

        /* The prototype PTEs come from paged pool: never under the mutex. */
        Status = MmPrepareDataSection(Map->ControlArea, (ULONG64)FileOffset, VACB_MAPPING_GRANULARITY);
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
        Prepared = TRUE;
    }
}

/* One more use of a view that the caller uses already. IRQL: <= APC_LEVEL. */
VOID CcpReferenceView(PVACB Vacb)
{
    ExAcquireFastMutex(&CcpViewMutex);
    ASSERT(Vacb->UseCount != 0);
    Vacb->UseCount++;
    ExReleaseFastMutex(&CcpViewMutex);
}

/* Gives a use back; the last one unmaps the view. View mutex held. TRUE: the caller must delete the map (CcpDeleteMap). */
BOOLEAN CcpReleaseViewLocked(PVACB Vacb)
{
    PSHARED_CACHE_MAP Map = Vacb->Map;

    ASSERT(Vacb->UseCount != 0 && Map != NULL);
    if (--Vacb->UseCount != 0) {
        return FALSE;
    }
    CcpIndexRemove(&Map->Index, Vacb->FileOffset);
    MmUnmapCacheView(Map->ControlArea, Vacb->Base);
    Vacb->Map = NULL;
    Map->Views--;
    CcCounters.ViewsNow--;
    InsertTailList(&CcpFreeVacbs, &Vacb->FreeLink);
    KeSetEvent(&CcpVacbFreed, IO_NO_INCREMENT, FALSE);
    return CcpRetireMapLocked(Map);
}

/* Gives a use back. IRQL: <= APC_LEVEL; no locks. */
VOID CcpReleaseView(PVACB Vacb)
{
    PSHARED_CACHE_MAP Map = Vacb->Map; /* stable: the caller has a use */
    BOOLEAN Delete, Stale;

    ExAcquireFastMutex(&CcpViewMutex);
    Delete = CcpReleaseViewLocked(Vacb);
    Stale = !Delete && Map->StaleFrom != MAXLONG64;
    Map->Users += Stale;
    ExReleaseFastMutex(&CcpViewMutex);
    if (Delete) {
        CcpDeleteMap(Map);
    } else if (Stale) {
        CcpRetryPurge(Map);
    }
}

/* ---- The view a file object used last ---- */

/* Drops a private map's last view. View mutex held. TRUE: the caller must delete the shared map. */
BOOLEAN CcpDropLastViewLocked(PPRIVATE_CACHE_MAP Private)
{
    PVACB Vacb = Private->LastView;

    if (Vacb == NULL) {
        return FALSE;
    }
    Private->LastView = NULL;
    RemoveEntryList(&Private->HeldLink);
    return CcpReleaseViewLocked(Vacb);
}

/**
 * CcpHoldLastView - turns the caller's use of a view into its file object's last view.
 *
 * The view held before is dropped. IRQL: <= APC_LEVEL; no locks.
 */
VOID CcpHoldLastView(PPRIVATE_CACHE_MAP Private, PVACB Vacb)
{
    BOOLEAN First;

    /* No map can be deleted here: this file object has its map open. */
    ExAcquireFastMutex(&CcpViewMutex);
    First = IsListEmpty(&CcpHeldViews);
    if (Private->LastView == Vacb) {
        CcpReleaseViewLocked(Vacb);
        RemoveEntryList(&Private->HeldLink);
    } else {
        CcpDropLastViewLocked(Private);
        Private->LastView = Vacb;
        KeSetEvent(&CcpVacbFreed, IO_NO_INCREMENT, FALSE); /* who waits for a VACB may evict this one */
    }
    Private->LastUse = KeQueryInterruptTime();
    InsertTailList(&CcpHeldViews, &Private->HeldLink);
    ExReleaseFastMutex(&CcpViewMutex);
    if (First) {
        KeSetEvent(&CcpIdleEvent, IO_NO_INCREMENT, FALSE);
    }
}

/* Drops the last views that were not used since a time (100 ns); returns how many. IRQL: <= APC_LEVEL; no locks. */
ULONG CcpDropHeldViews(ULONG64 IdleSince)
{
    ULONG Dropped = 0;

    ExAcquireFastMutex(&CcpViewMutex);
    while (!IsListEmpty(&CcpHeldViews)) {
        PPRIVATE_CACHE_MAP Oldest = CONTAINING_RECORD(CcpHeldViews.Flink, PRIVATE_CACHE_MAP, HeldLink);

        if (Oldest->LastUse > IdleSince) {
            break;
        }
        CcpDropLastViewLocked(Oldest);
        CcCounters.IdleDrops++;
        Dropped++;
    }
    ExReleaseFastMutex(&CcpViewMutex);
    return Dropped;
}

VOID CcSignalMemoryShort(VOID)
{
    if (CcpVacbs != NULL && InterlockedExchange(&CcpMemoryShort, 1) == 0) {
        KeSetEvent(&CcpIdleEvent, IO_NO_INCREMENT, FALSE);
    }
}

/* Sleeps until a last view is held, then looks once a second; a shortage of memory wakes it at once. */
static VOID NTAPI CcpIdleThread(PVOID Context)
{
    LARGE_INTEGER Second;

    Second.QuadPart = -(LONGLONG)CCP_IDLE_TIME;
    for (;;) {
        BOOLEAN Idle;

        ExAcquireFastMutex(&CcpViewMutex);
        Idle = IsListEmpty(&CcpHeldViews);
        ExReleaseFastMutex(&CcpViewMutex);
        KeWaitForSingleObject(&CcpIdleEvent, Executive, KernelMode, FALSE, Idle ? NULL : &Second);
        if (InterlockedExchange(&CcpMemoryShort, 0) != 0) {
            CcpDropHeldViews(MAXULONG64);
        } else {
            ULONG64 Now = KeQueryInterruptTime();

            CcpDropHeldViews(Now > CCP_IDLE_TIME ? Now - CCP_IDLE_TIME : 0);
        }
    }
}
