/*
 * cachemap.c - shared and private cache maps: which files are cached, and for whom.
 *
 * A shared cache map exists from the first CcInitializeCacheMap of a stream to the last CcUninitializeCacheMap, or, when BCBs
 * outlive that, to the last CcUnpinData. It owns an open of the file's data section and a reference to the file object;
 * the section's frames stay on standby after it is gone. It is found through SECTION_OBJECT_POINTERS.SharedCacheMap, which changes
 * only under the view mutex.
 *
 * Deletion has two steps: CcpRetireMapLocked, under the mutex, decides and makes the map unreachable; CcpDeleteMap, with no
 * lock, closes the section and drops the file object, which may send IRP_MJ_CLOSE to the file system later, from the
 * section's own thread.
 *
 * Errors of CcInitializeCacheMap are raised, as the DDK documents. Nothing here writes: dirty data does not exist yet (docs/limits.md).
 */
#include "ccp.h"
#include <ntos/init.h>

LIST_ENTRY CcpMaps;

NTSTATUS CcInitialize(VOID)
{
    return CcpInitializeViews();
}

/* ---- Life of a shared cache map ---- */

BOOLEAN CcpRetireMapLocked(PSHARED_CACHE_MAP Map)
{
    if (Map->OpenCount != 0 || Map->Views != 0 || Map->Users != 0) {
        return FALSE;
    }
    ASSERT(IsListEmpty(&Map->PrivateMaps));
    ASSERT(Map->FileObject->SectionObjectPointer->SharedCacheMap == Map);
    Map->FileObject->SectionObjectPointer->SharedCacheMap = NULL;
    RemoveEntryList(&Map->Link);
    CcCounters.MapsNow--;
    return TRUE;
}

VOID CcpDeleteMap(PSHARED_CACHE_MAP Map)
{
    PCACHE_UNINITIALIZE_EVENT Event = Map->UninitializeEvents;

    MmCloseDataSection(Map->ControlArea);
    /* deferred: the caller may be a file system that gives a BCB back, and IRP_MJ_CLOSE must not come out of its own call */
    ObDereferenceObjectDeferDelete(Map->FileObject);
    while (Event != NULL) {
        PCACHE_UNINITIALIZE_EVENT Next = Event->Next; /* the waiter may free it once it is signalled */

        KeSetEvent(&Event->Event, IO_NO_INCREMENT, FALSE);
        Event = Next;
    }
    ExFreePoolWithTag(Map, CCP_TAG_SHARED_MAP);
}

/* Builds a map that nobody can find yet. Fails: as MmOpenDataSection, STATUS_INSUFFICIENT_RESOURCES. */
static NTSTATUS CcpCreateMap(PFILE_OBJECT FileObject, PCC_FILE_SIZES Sizes, BOOLEAN PinAccess,
                             PCACHE_MANAGER_CALLBACKS Callbacks, PVOID LazyWriteContext, PSHARED_CACHE_MAP *Result)
{
    PSHARED_CACHE_MAP Map = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Map), CCP_TAG_SHARED_MAP);
    ULONG64 Bytes = (ULONG64)max(Sizes->AllocationSize.QuadPart, Sizes->FileSize.QuadPart);
    NTSTATUS Status;

    if (Map == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(Map, sizeof(*Map));
    Map->StaleFrom = MAXLONG64;
    Map->NodeTypeCode = CCP_NODE_SHARED_MAP;
    Map->NodeByteSize = sizeof(*Map);
    Map->AllocationSize = Sizes->AllocationSize;
    Map->FileSize = Sizes->FileSize;
    Map->ValidDataLength = Sizes->ValidDataLength;
    Map->FileObject = FileObject;
    Map->PinAccess = PinAccess;
    if (Callbacks != NULL) {
        Map->Callbacks = *Callbacks;
    }
    Map->LazyWriteContext = LazyWriteContext;
    InitializeListHead(&Map->PrivateMaps);

    Status = MmOpenDataSection(FileObject, Bytes, &Map->ControlArea);
    if (NT_SUCCESS(Status)) {
        Status = MmExtendDataSection(Map->ControlArea, Bytes);
        if (!NT_SUCCESS(Status)) {
            MmCloseDataSection(Map->ControlArea);
        }
    }
    if (!NT_SUCCESS(Status)) {
        ExFreePoolWithTag(Map, CCP_TAG_SHARED_MAP);
        return Status;
    }
    Map->SectionBytes = (LONG64)Bytes;
    MmSetDataSectionFileSize(Map->ControlArea, (ULONG64)Sizes->FileSize.QuadPart);
    ObReferenceObject(FileObject);
    *Result = Map;
    return STATUS_SUCCESS;
}

/* Gives the file object its private map on a shared map that is visible. View mutex held. */
static VOID CcpOpenMapLocked(PSHARED_CACHE_MAP Map, PPRIVATE_CACHE_MAP Private, PFILE_OBJECT FileObject)
{
    Private->NodeTypeCode = CCP_NODE_PRIVATE_MAP;
    Private->NodeByteSize = sizeof(*Private);
    Private->FileObject = FileObject;
    InsertTailList(&Map->PrivateMaps, &Private->MapLink);
    Map->OpenCount++;
    FileObject->PrivateCacheMap = Private;
}

/**
 * CcInitializeCacheMap - lets a file object read its stream through the cache.
 *
 * As the DDK documents it. A second call for the same file object changes nothing. The sizes count for the first
 * file object of a stream only; later changes go through CcSetFileSizes.
 *
 * IRQL: <= APC_LEVEL. Raises: STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_FILE_FOR_SECTION, STATUS_SECTION_TOO_BIG.
 */
VOID NTAPI CcInitializeCacheMap(PFILE_OBJECT FileObject, PCC_FILE_SIZES FileSizes, BOOLEAN PinAccess,
                                PCACHE_MANAGER_CALLBACKS Callbacks, PVOID LazyWriteContext)
{
    PSECTION_OBJECT_POINTERS Pointers = FileObject->SectionObjectPointer;
    PPRIVATE_CACHE_MAP Private;
    PSHARED_CACHE_MAP Map, Created = NULL;
    NTSTATUS Status = STATUS_SUCCESS;

    ASSERT_IRQL_MAX(APC_LEVEL);
    if (FileObject->PrivateCacheMap != NULL) {
        return;
    }
    Private = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Private), CCP_TAG_PRIVATE_MAP);
    if (Private == NULL) {
        ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
    }
    RtlZeroMemory(Private, sizeof(*Private));

    if (Pointers->SharedCacheMap == NULL) {
        Status = CcpCreateMap(FileObject, FileSizes, PinAccess, Callbacks, LazyWriteContext, &Created);
    }
    ExAcquireFastMutex(&CcpViewMutex);
    Map = Pointers->SharedCacheMap;
    while (Map == NULL && NT_SUCCESS(Status)) {
        if (Created != NULL) {
            Map = Created;
            Created = NULL;
            Pointers->SharedCacheMap = Map;
            InsertTailList(&CcpMaps, &Map->Link);
            CcCounters.MapsNow++;
            break;
        }
        /* The map that was there a moment ago has gone: build our own after all. */
        ExReleaseFastMutex(&CcpViewMutex);
        Status = CcpCreateMap(FileObject, FileSizes, PinAccess, Callbacks, LazyWriteContext, &Created);
        ExAcquireFastMutex(&CcpViewMutex);
        Map = Pointers->SharedCacheMap;
    }
    if (Map != NULL && FileObject->PrivateCacheMap == NULL) {
        CcpOpenMapLocked(Map, Private, FileObject);
        Private = NULL;
    }
    ExReleaseFastMutex(&CcpViewMutex);

    if (Created != NULL) {
        CcpDeleteMap(Created); /* somebody else was first */
    }
    if (Private != NULL) {
        ExFreePoolWithTag(Private, CCP_TAG_PRIVATE_MAP); /* no map, or another thread cached the same file object */
    }
    if (Map == NULL) {
        ExRaiseStatus(Status);
    }
}

/**
 * CcUninitializeCacheMap - a file object is being closed.
 *
 * @TruncateSize             purge the pages from here on (the file was truncated before the close), or NULL
 * @UninitializeCompleteEvent signalled once the shared cache map is gone: by this call when it goes at once
 * returns                   TRUE when the shared cache map is gone now
 *
 * May be called for a file object that was never cached. IRQL: <= APC_LEVEL.
 */
BOOLEAN NTAPI CcUninitializeCacheMap(PFILE_OBJECT FileObject, PLARGE_INTEGER TruncateSize,
                                     PCACHE_UNINITIALIZE_EVENT UninitializeCompleteEvent)
{
    PSECTION_OBJECT_POINTERS Pointers = FileObject->SectionObjectPointer;
    PPRIVATE_CACHE_MAP Private;
    PSHARED_CACHE_MAP Map;
    BOOLEAN Delete = FALSE;

    ASSERT_IRQL_MAX(APC_LEVEL);
    ExAcquireFastMutex(&CcpViewMutex);
    Map = Pointers == NULL ? NULL : Pointers->SharedCacheMap;
    Private = FileObject->PrivateCacheMap;
    if (Map != NULL && Private != NULL) {
        CcpDropLastViewLocked(Private); /* the open count below still holds the map */
        RemoveEntryList(&Private->MapLink);
        FileObject->PrivateCacheMap = NULL;
        Map->OpenCount--;
    }
    if (Map != NULL && UninitializeCompleteEvent != NULL) {
        UninitializeCompleteEvent->Next = Map->UninitializeEvents;
        Map->UninitializeEvents = UninitializeCompleteEvent;
    }
    if (Map != NULL) {
        Delete = CcpRetireMapLocked(Map);
    }
    ExReleaseFastMutex(&CcpViewMutex);

    if (Private != NULL) {
        ExFreePoolWithTag(Private, CCP_TAG_PRIVATE_MAP);
    }
    if (Delete) {
        CcpDeleteMap(Map);
    }
    if (Map == NULL && UninitializeCompleteEvent != NULL) {
        KeSetEvent(&UninitializeCompleteEvent->Event, IO_NO_INCREMENT, FALSE);
    }
    if (TruncateSize != NULL && Pointers != NULL) {
        MmPurgeDataSection(Pointers, (ULONG64)TruncateSize->QuadPart, 0);
    }
    return Map == NULL || Delete;
}

/* ---- Sizes and purge ---- */

/* The shared map of a stream with a user count taken, so that it stays without the mutex; NULL: not cached. */
static PSHARED_CACHE_MAP CcpReferenceMap(PSECTION_OBJECT_POINTERS Pointers)
{
    PSHARED_CACHE_MAP Map;

    ExAcquireFastMutex(&CcpViewMutex);
    Map = Pointers == NULL ? NULL : Pointers->SharedCacheMap;
    if (Map != NULL) {
        Map->Users++;
    }
    ExReleaseFastMutex(&CcpViewMutex);
    return Map;
}

static VOID CcpDereferenceMap(PSHARED_CACHE_MAP Map)
{
    BOOLEAN Delete;

    ExAcquireFastMutex(&CcpViewMutex);
    Map->Users--;
    Delete = CcpRetireMapLocked(Map);
    ExReleaseFastMutex(&CcpViewMutex);
    if (Delete) {
        CcpDeleteMap(Map);
    }
}

/* Drops the last views of a stream that touch [From, To), so that only real users stand in the way of a purge. */
static VOID CcpDropLastViewsOfMap(PSHARED_CACHE_MAP Map, LONG64 From, LONG64 To)
{
    ExAcquireFastMutex(&CcpViewMutex);
    for (PLIST_ENTRY Link = Map->PrivateMaps.Flink; Link != &Map->PrivateMaps; Link = Link->Flink) {
        PPRIVATE_CACHE_MAP Private = CONTAINING_RECORD(Link, PRIVATE_CACHE_MAP, MapLink);
        PVACB Vacb = Private->LastView;

        if (Vacb != NULL && Vacb->FileOffset < To && Vacb->FileOffset + VACB_MAPPING_GRANULARITY > From) {
            CcpDropLastViewLocked(Private); /* the map stays: Users counts this call */
        }
    }
    ExReleaseFastMutex(&CcpViewMutex);
}

/* Purges a range of a stream, cached or not. @To: exclusive end in bytes, MAXLONG64 for all. */
static BOOLEAN CcpPurgeRange(PSECTION_OBJECT_POINTERS Pointers, LONG64 From, LONG64 To)
{
    PSHARED_CACHE_MAP Map = CcpReferenceMap(Pointers);
    BOOLEAN Purged;

    if (Map != NULL) {
        CcpDropLastViewsOfMap(Map, From, To);
    }
    Purged = MmPurgeDataSection(Pointers, (ULONG64)From, To == MAXLONG64 ? 0 : (ULONG64)(To - From));
    if (Map != NULL) {
        CcpDereferenceMap(Map);
    }
    return Purged;
}

/**
 * CcPurgeCacheSection - forgets cached data of a range, so that the next access reads it again.
 *
 * @FileOffset  start, NULL: the whole stream
 * @Length      bytes, 0: to the end of the stream
 * @Flags       UNINITIALIZE_CACHE_MAPS: first end the private maps of all file objects of the stream
 * returns      FALSE when some page is mapped, locked or in a BCB
 *
 * IRQL: <= APC_LEVEL; waits for page reads.
 */
BOOLEAN NTAPI CcPurgeCacheSection(PSECTION_OBJECT_POINTERS SectionObjectPointer, PLARGE_INTEGER FileOffset,
                                  ULONG Length, ULONG Flags)
{
    LONG64 From = FileOffset == NULL ? 0 : FileOffset->QuadPart;
    LONG64 To = FileOffset == NULL || Length == 0 ? MAXLONG64 : From + Length;

    if ((Flags & UNINITIALIZE_CACHE_MAPS) != 0) {
        PSHARED_CACHE_MAP Map = CcpReferenceMap(SectionObjectPointer);

        while (Map != NULL) {
            PFILE_OBJECT FileObject = NULL;

            ExAcquireFastMutex(&CcpViewMutex);
            if (!IsListEmpty(&Map->PrivateMaps)) {
                FileObject = CONTAINING_RECORD(Map->PrivateMaps.Flink, PRIVATE_CACHE_MAP, MapLink)->FileObject;
            }
            ExReleaseFastMutex(&CcpViewMutex);
            if (FileObject == NULL) {
                CcpDereferenceMap(Map);
                break;
            }
            CcUninitializeCacheMap(FileObject, NULL, NULL);
        }
    }
    return CcpPurgeRange(SectionObjectPointer, From, To);
}

/* Makes the section at least so long; a view that the old end cut short gets its missing pages. */
static NTSTATUS CcpExtendMap(PSHARED_CACHE_MAP Map, ULONG64 Bytes)
{
    LONG64 LastView = Map->SectionBytes & ~(LONG64)(VACB_MAPPING_GRANULARITY - 1);
    NTSTATUS Status;
    PVACB Vacb;

    if (Bytes <= (ULONG64)Map->SectionBytes) {
        return STATUS_SUCCESS;
    }
    Status = MmExtendDataSection(Map->ControlArea, Bytes);
    if (NT_SUCCESS(Status)) {
        Status = MmPrepareDataSection(Map->ControlArea, (ULONG64)LastView, VACB_MAPPING_GRANULARITY);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    ExAcquireFastMutex(&CcpViewMutex);
    Vacb = CcpIndexLookup(&Map->Index, LastView);
    if (Vacb != NULL) {
        Vacb->Bytes = MmExtendCacheView(Map->ControlArea, (ULONG64)LastView, Vacb->Base);
    }
    Map->SectionBytes = (LONG64)Bytes;
    ExReleaseFastMutex(&CcpViewMutex);
    return STATUS_SUCCESS;
}

/*
 * Purges from an offset on. What a view in use keeps is noted in the map, and purged when a view is given back: until then its
 * user sees the old bytes.
 */
static VOID CcpForgetFrom(PSHARED_CACHE_MAP Map, PSECTION_OBJECT_POINTERS Pointers, LONG64 From)
{
    if (CcpPurgeRange(Pointers, From, MAXLONG64)) {
        return;
    }
    ExAcquireFastMutex(&CcpViewMutex);
    Map->StaleFrom = min(Map->StaleFrom, From);
    ExReleaseFastMutex(&CcpViewMutex);
}

/* A view was given back: tries again what CcpForgetFrom could not do. The caller has added to Users. IRQL: <= APC_LEVEL; no locks. */
VOID CcpRetryPurge(PSHARED_CACHE_MAP Map)
{
    LONG64 From;

    ExAcquireFastMutex(&CcpViewMutex);
    From = Map->StaleFrom;
    Map->StaleFrom = MAXLONG64;
    ExReleaseFastMutex(&CcpViewMutex);
    if (From != MAXLONG64) {
        CcpForgetFrom(Map, Map->FileObject->SectionObjectPointer, From);
    }
    CcpDereferenceMap(Map);
}

/**
 * CcSetFileSizes - the size of a cached stream changed.
 *
 * Extends the section when it grew; forgets the pages past the new end, with the one that holds it, when it shrank. Nothing
 * happens when the stream is not cached. IRQL: <= APC_LEVEL. Raises: STATUS_INSUFFICIENT_RESOURCES.
 */
VOID NTAPI CcSetFileSizes(PFILE_OBJECT FileObject, PCC_FILE_SIZES FileSizes)
{
    PSECTION_OBJECT_POINTERS Pointers = FileObject->SectionObjectPointer;
    PSHARED_CACHE_MAP Map = CcpReferenceMap(Pointers);
    LONG64 OldSize;
    NTSTATUS Status;

    if (Map == NULL) {
        return;
    }
    Status = CcpExtendMap(Map, (ULONG64)max(FileSizes->AllocationSize.QuadPart, FileSizes->FileSize.QuadPart));
    if (NT_SUCCESS(Status)) {
        ExAcquireFastMutex(&CcpViewMutex);
        OldSize = Map->FileSize.QuadPart;
        Map->AllocationSize = FileSizes->AllocationSize;
        Map->FileSize = FileSizes->FileSize;
        Map->ValidDataLength = FileSizes->ValidDataLength;
        ExReleaseFastMutex(&CcpViewMutex);
        MmSetDataSectionFileSize(Map->ControlArea, (ULONG64)FileSizes->FileSize.QuadPart);
        if (FileSizes->FileSize.QuadPart != OldSize) {
            /* The page that holds the old or new end was filled up with zeros from there on: it must be read again. */
            CcpForgetFrom(Map, Pointers, min(OldSize, FileSizes->FileSize.QuadPart));
        }
    }
    CcpDereferenceMap(Map);
    if (!NT_SUCCESS(Status)) {
        ExRaiseStatus(Status);
    }
}

/* ---- Queries ---- */

/* The file object a stream was first cached with, NULL when it is not cached. Not referenced. IRQL: <= APC_LEVEL. */
PFILE_OBJECT NTAPI CcGetFileObjectFromSectionPtrs(PSECTION_OBJECT_POINTERS SectionObjectPointer)
{
    PSHARED_CACHE_MAP Map;
    PFILE_OBJECT FileObject;

    ExAcquireFastMutex(&CcpViewMutex);
    Map = SectionObjectPointer->SharedCacheMap;
    FileObject = Map == NULL ? NULL : Map->FileObject;
    ExReleaseFastMutex(&CcpViewMutex);
    return FileObject;
}

/* As CcGetFileObjectFromSectionPtrs, but referenced: the caller dereferences it. IRQL: <= APC_LEVEL. */
PFILE_OBJECT NTAPI CcGetFileObjectFromSectionPtrsRef(PSECTION_OBJECT_POINTERS SectionObjectPointer)
{
    PSHARED_CACHE_MAP Map;
    PFILE_OBJECT FileObject = NULL;

    ExAcquireFastMutex(&CcpViewMutex);
    Map = SectionObjectPointer->SharedCacheMap;
    if (Map != NULL) {
        FileObject = Map->FileObject;
        ObReferenceObject(FileObject);
    }
    ExReleaseFastMutex(&CcpViewMutex);
    return FileObject;
}

/* The file object behind a BCB; alive as long as the BCB. IRQL: any. */
PFILE_OBJECT NTAPI CcGetFileObjectFromBcb(PVOID Bcb)
{
    return ((PCCP_BCB)Bcb)->Map->FileObject;
}
