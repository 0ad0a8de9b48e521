/*
 * vacb.c - suite cc.vacb: the index of views, and views mapped only while they are used.
 *
 * The index is tested on VACBs that are never mapped, from the first view to the far end of a 2^63 byte file. The other cases count the
 * views of a file through the counters of Cc, which move only with real mappings.
 */
#include "ketest.h"
#include "testfs.h"
#include "../../src/cc/ccp.h"

static const LONG64 VacbOffsets[] = {0,         0x40000,      0xC0000,       0x100000,  0x1FC0000,
                                     0x2000000, 0xFFFC0000LL, 0x100000000LL, 1LL << 46, 0x7FFFFFFFFFFC0000LL};

static VOID VacbIndex(PKTAP_CONTEXT Ktap)
{
    VACB Vacbs[RTL_NUMBER_OF(VacbOffsets)];
    CCP_INDEX Index = {0};

    /* Twice: the second time from the far end, into an index that is inline again. */
    for (ULONG Round = 0; Round < 2; Round++) {
        for (ULONG Step = 0; Step < RTL_NUMBER_OF(VacbOffsets); Step++) {
            ULONG Which = Round == 0 ? Step : RTL_NUMBER_OF(VacbOffsets) - 1 - Step;

            Vacbs[Which].FileOffset = VacbOffsets[Which];
            KTAP_CHECK(CcpIndexLookup(&Index, VacbOffsets[Which]) == NULL);
            KTAP_CHECK(CcpIndexInsert(&Index, &Vacbs[Which]));
            KTAP_CHECK(CcpIndexLookup(&Index, VacbOffsets[Which] + 0x3FFFF) == &Vacbs[Which]);
        }
        for (ULONG Which = 0; Which < RTL_NUMBER_OF(VacbOffsets); Which++) {
            KTAP_CHECK(CcpIndexLookup(&Index, VacbOffsets[Which]) == &Vacbs[Which]);
            KTAP_CHECK(CcpIndexNext(&Index, VacbOffsets[Which]) == &Vacbs[Which]);
            KTAP_CHECK(CcpIndexNext(&Index, VacbOffsets[Which] - (Which != 0)) == &Vacbs[Which]);
        }
        KTAP_CHECK(CcpIndexLookup(&Index, 0x80000) == NULL);
        KTAP_CHECK(CcpIndexLookup(&Index, 1LL << 45) == NULL);
        KTAP_EQUAL(Index.Levels, 7);
        for (ULONG Which = 0; Which < RTL_NUMBER_OF(VacbOffsets); Which++) {
            CcpIndexRemove(&Index, VacbOffsets[Which]);
            KTAP_CHECK(CcpIndexLookup(&Index, VacbOffsets[Which]) == NULL);
            KTAP_CHECK(CcpIndexNext(&Index, 0) == (Which + 1 < RTL_NUMBER_OF(VacbOffsets) ? &Vacbs[Which + 1] : NULL));
        }
        KTAP_EQUAL(Index.Levels, 0);
    }
}

/* A small file needs no block. */
static VOID VacbInline(PKTAP_CONTEXT Ktap)
{
    VACB Vacbs[5];
    CCP_INDEX Index = {0};

    for (ULONG View = 0; View < 4; View++) {
        Vacbs[View].FileOffset = (LONG64)View << VACB_OFFSET_SHIFT;
        KTAP_CHECK(CcpIndexInsert(&Index, &Vacbs[View]));
        KTAP_EQUAL(Index.Levels, 0);
    }
    Vacbs[4].FileOffset = 4LL << VACB_OFFSET_SHIFT;
    KTAP_CHECK(CcpIndexInsert(&Index, &Vacbs[4]));
    KTAP_EQUAL(Index.Levels, 1);
    for (ULONG View = 0; View < 5; View++) {
        KTAP_CHECK(CcpIndexLookup(&Index, Vacbs[View].FileOffset) == &Vacbs[View]);
        CcpIndexRemove(&Index, Vacbs[View].FileOffset);
    }
    KTAP_EQUAL(Index.Levels, 0);
}

static VOID VacbStartCaching(PTESTFS_FILE File)
{
    CC_FILE_SIZES Sizes = {.AllocationSize.QuadPart = (LONGLONG)ROUND_TO_PAGES(File->Size),
                           .FileSize.QuadPart = (LONGLONG)File->Size,
                           .ValidDataLength.QuadPart = (LONGLONG)File->Size};

    CcInitializeCacheMap(File->FileObject, &Sizes, FALSE, NULL, NULL);
}

static ULONG VacbViewsOf(PTESTFS_FILE File)
{
    PSHARED_CACHE_MAP Map = File->Pointers.SharedCacheMap;

    return Map == NULL ? 0 : Map->Views;
}

static BOOLEAN VacbRead(PTESTFS_FILE File, LONG64 Offset)
{
    LARGE_INTEGER Where = {.QuadPart = Offset};
    IO_STATUS_BLOCK Io;
    UCHAR Bytes[64];

    __try {
        if (!CcCopyRead(File->FileObject, &Where, sizeof(Bytes), TRUE, Bytes, &Io)) {
            return FALSE;
        }
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return FALSE;
    }
    return Io.Information == sizeof(Bytes) && TestFsCompare(File, (ULONG64)Offset, Bytes, sizeof(Bytes)) == 0;
}

/* A file object keeps one view; another replaces it; one second idle, a shortage of memory, or the close drops it. */
static VOID VacbLastView(PKTAP_CONTEXT Ktap)
{
    TESTFS_FILE File;
    LARGE_INTEGER Time;

    KTAP_EQUAL(TestFsOpen(&File, 3 << 20, 1), STATUS_SUCCESS);
    VacbStartCaching(&File);
    KTAP_EQUAL(VacbViewsOf(&File), 0);
    KTAP_CHECK(VacbRead(&File, 0));
    KTAP_EQUAL(VacbViewsOf(&File), 1);
    KTAP_CHECK(VacbRead(&File, 0x20000));
    KTAP_EQUAL(VacbViewsOf(&File), 1);
    KTAP_CHECK(VacbRead(&File, 0x200000));
    KTAP_EQUAL(VacbViewsOf(&File), 1);
    KTAP_CHECK(CcpIndexLookup(&((PSHARED_CACHE_MAP)File.Pointers.SharedCacheMap)->Index, 0x200000) != NULL);

    Time.QuadPart = -10000LL * 2500; /* idle for one second, seen by a look a second later */
    KeDelayExecutionThread(KernelMode, FALSE, &Time);
    KTAP_EQUAL(VacbViewsOf(&File), 0);

    KTAP_CHECK(VacbRead(&File, 0));
    KTAP_EQUAL(VacbViewsOf(&File), 1);
    CcSignalMemoryShort();
    Time.QuadPart = -10000LL * 200;
    KeDelayExecutionThread(KernelMode, FALSE, &Time);
    KTAP_EQUAL(VacbViewsOf(&File), 0);

    KTAP_CHECK(VacbRead(&File, 0));
    KTAP_CHECK(CcUninitializeCacheMap(File.FileObject, NULL, NULL));
    KTAP_CHECK(File.Pointers.SharedCacheMap == NULL);
    KTAP_CHECK(TestFsClose(&File));
    KTAP_EQUAL(MiVerify(), 0);
}

static PVOID VacbMap(PTESTFS_FILE File, ULONG View)
{
    LARGE_INTEGER Offset = {.QuadPart = (LONG64)View << VACB_OFFSET_SHIFT};
    PVOID Bcb = NULL, Buffer;

    return CcMapData(File->FileObject, &Offset, 16, MAP_WAIT | MAP_NO_READ, &Bcb, &Buffer) ? Bcb : NULL;
}

/* Every VACB is in use, one of them as a last view: the next mapping takes that one, and no other. */
static VOID VacbEviction(PKTAP_CONTEXT Ktap)
{
    TESTFS_FILE File;
    ULONG64 Evictions;
    ULONG Count, Mapped = 0;
    PVOID *Bcbs;

    CcpDropHeldViews(MAXULONG64);
    Count = CcpVacbCount() - (ULONG)CcCounters.ViewsNow;
    Bcbs = ExAllocatePoolWithTag(NonPagedPool, Count * sizeof(PVOID), 'tseT');
    KTAP_CHECK(Bcbs != NULL);
    KTAP_EQUAL(TestFsOpen(&File, ((ULONG64)Count + 2) << VACB_OFFSET_SHIFT, 2), STATUS_SUCCESS);
    VacbStartCaching(&File);
    while (Mapped < Count - 1 && (Bcbs[Mapped] = VacbMap(&File, Mapped + 1)) != NULL) {
        Mapped++;
    }
    KTAP_EQUAL(Mapped, Count - 1);
    KTAP_CHECK(VacbRead(&File, 0)); /* the last free VACB, and now a last view */
    KTAP_EQUAL(VacbViewsOf(&File), Count);
    Evictions = CcCounters.ViewEvictions;
    Bcbs[Mapped] = VacbMap(&File, Mapped + 1);
    KTAP_CHECK(Bcbs[Mapped] != NULL);
    KTAP_EQUAL(CcCounters.ViewEvictions, Evictions + 1);
    KTAP_CHECK(CcpIndexLookup(&((PSHARED_CACHE_MAP)File.Pointers.SharedCacheMap)->Index, 0) == NULL);
    for (ULONG Index = 0; Index <= Mapped; Index++) {
        CcUnpinData(Bcbs[Index]);
    }
    ExFreePool(Bcbs);
    KTAP_EQUAL(VacbViewsOf(&File), 0);
    KTAP_CHECK(VacbRead(&File, 0));
    CcUninitializeCacheMap(File.FileObject, NULL, NULL);
    KTAP_CHECK(TestFsClose(&File));
    KTAP_EQUAL(MiVerify(), 0);
}

static TESTFS_FILE VacbShared; /* static: a failed case may leave its helper behind */
static LONG64 VacbWanted;
static KEVENT VacbDone;

static VOID NTAPI VacbAcquireOther(PVOID Context)
{
    PVACB Vacb;

    if (NT_SUCCESS(CcpAcquireView(VacbShared.Pointers.SharedCacheMap, VacbWanted, &Vacb))) {
        CcpReleaseView(Vacb);
        KeSetEvent(&VacbDone, IO_NO_INCREMENT, FALSE);
    }
}

/* A thread finds every VACB in use and waits; a use that ends as a last view is one it may evict, and wakes it. */
static VOID VacbWaitForLastView(PKTAP_CONTEXT Ktap)
{
    PPRIVATE_CACHE_MAP Private;
    ULONG Count, Mapped = 0;
    ULONG64 Waits;
    PVACB InUse;
    PVOID *Bcbs;

    CcpDropHeldViews(MAXULONG64);
    Count = CcpVacbCount() - (ULONG)CcCounters.ViewsNow;
    Bcbs = ExAllocatePoolWithTag(NonPagedPool, Count * sizeof(PVOID), 'tseT');
    KTAP_CHECK(Bcbs != NULL);
    KTAP_EQUAL(TestFsOpen(&VacbShared, ((ULONG64)Count + 1) << VACB_OFFSET_SHIFT, 4), STATUS_SUCCESS);
    VacbStartCaching(&VacbShared);
    while (Mapped < Count - 1 && (Bcbs[Mapped] = VacbMap(&VacbShared, Mapped + 1)) != NULL) {
        Mapped++;
    }
    KTAP_EQUAL(Mapped, Count - 1);
    KTAP_EQUAL(CcpAcquireView(VacbShared.Pointers.SharedCacheMap, 0, &InUse), STATUS_SUCCESS);
    Waits = CcCounters.VacbWaits;
    VacbWanted = (LONG64)Count << VACB_OFFSET_SHIFT;
    KeInitializeEvent(&VacbDone, NotificationEvent, FALSE);
    KTAP_CHECK(TestThread(VacbAcquireOther, NULL, LOW_REALTIME_PRIORITY));
    for (ULONG Turn = 0; Turn < 100 && CcCounters.VacbWaits == Waits; Turn++) {
        TestSleep(TEST_SECOND / 10);
    }
    KTAP_CHECK(CcCounters.VacbWaits != Waits);
    KTAP_CHECK(TestPoll(&VacbDone) == STATUS_TIMEOUT);

    Private = VacbShared.FileObject->PrivateCacheMap;
    CcpHoldLastView(Private, InUse);
    ExAcquireFastMutex(&CcpViewMutex);
    Private->LastUse = MAXULONG64; /* never idle: only the one who waits can take it away */
    ExReleaseFastMutex(&CcpViewMutex);
    KTAP_EQUAL(TestWait(&VacbDone), STATUS_SUCCESS);
    KTAP_CHECK(Private->LastView == NULL);

    for (ULONG Index = 0; Index < Mapped; Index++) {
        CcUnpinData(Bcbs[Index]);
    }
    ExFreePool(Bcbs);
    KTAP_CHECK(CcUninitializeCacheMap(VacbShared.FileObject, NULL, NULL));
    KTAP_CHECK(TestFsClose(&VacbShared));
    KTAP_EQUAL(MiVerify(), 0);
}

static KEVENT VacbCached[2];

static VOID NTAPI VacbCacheFile(PVOID Context)
{
    VacbStartCaching(&VacbShared);
    KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
}

/* Two first reads through one file object meet in CcInitializeCacheMap: it gets one private map, and one close is enough. */
static VOID VacbTwoFirstReaders(PKTAP_CONTEXT Ktap)
{
    BOOLEAN Started = TRUE;

    KTAP_EQUAL(TestFsOpen(&VacbShared, 0x1000, 5), STATUS_SUCCESS);
    ExAcquireFastMutex(&CcpViewMutex);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(VacbCached); Index++) {
        KeInitializeEvent(&VacbCached[Index], NotificationEvent, FALSE);
        Started = Started && TestThread(VacbCacheFile, &VacbCached[Index], LOW_REALTIME_PRIORITY);
    }
    TestSleep(TEST_SECOND / 5); /* both are past their first look, and wait for the mutex */
    ExReleaseFastMutex(&CcpViewMutex);
    KTAP_CHECK(Started);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(VacbCached); Index++) {
        KTAP_EQUAL(TestWait(&VacbCached[Index]), STATUS_SUCCESS);
    }
    KTAP_EQUAL(((PSHARED_CACHE_MAP)VacbShared.Pointers.SharedCacheMap)->OpenCount, 1);
    KTAP_CHECK(CcUninitializeCacheMap(VacbShared.FileObject, NULL, NULL));
    KTAP_CHECK(TestFsClose(&VacbShared));
}

/* A BCB outlives the file object's close; the shared map goes with its last BCB, and the close event tells. */
static VOID VacbBcb(PKTAP_CONTEXT Ktap)
{
    TESTFS_FILE File;
    LARGE_INTEGER Offset = {.QuadPart = 0x40000 - 512};
    CACHE_UNINITIALIZE_EVENT Gone;
    PVOID Bcb, Second, Buffer;

    KTAP_EQUAL(TestFsOpen(&File, 0x48000, 3), STATUS_SUCCESS);
    VacbStartCaching(&File);
    KTAP_CHECK(KTAP_WHOLE(CcMapData(File.FileObject, &Offset, 512, MAP_WAIT, &Bcb, &Buffer))); /* it raises */
    KTAP_EQUAL(((PPUBLIC_BCB)Bcb)->NodeTypeCode, 0x2FD);
    KTAP_EQUAL(((PPUBLIC_BCB)Bcb)->MappedLength, 512);
    KTAP_CHECK(CcGetFileObjectFromBcb(Bcb) == File.FileObject);
    KTAP_CHECK(CcGetFileObjectFromSectionPtrs(&File.Pointers) == File.FileObject);
    KTAP_EQUAL(TestFsCompare(&File, 0x40000 - 512, Buffer, 512), 0);
    Second = CcRemapBcb(Bcb);
    KTAP_EQUAL(VacbViewsOf(&File), 1);
    CcUnpinData(Bcb);
    KTAP_EQUAL(VacbViewsOf(&File), 1);

    KTAP_CHECK(!CcPurgeCacheSection(&File.Pointers, NULL, 0, 0));
    KeInitializeEvent(&Gone.Event, NotificationEvent, FALSE);
    KTAP_CHECK(!CcUninitializeCacheMap(File.FileObject, NULL, &Gone));
    KTAP_EQUAL(KeReadStateEvent(&Gone.Event), 0);
    KTAP_EQUAL(TestFsCompare(&File, 0x40000 - 512, Buffer, 512), 0);
    CcUnpinData(Second);
    KTAP_CHECK(KeReadStateEvent(&Gone.Event) != 0);
    KTAP_CHECK(File.Pointers.SharedCacheMap == NULL);
    KTAP_CHECK(TestFsClose(&File));
    KTAP_EQUAL(MiVerify(), 0);
}

static const KTAP_CASE_ENTRY VacbCases[] = {
    {"index", VacbIndex},
    {"inline", VacbInline},
    {"last_view", VacbLastView},
    {"eviction", VacbEviction},
    {"bcb", VacbBcb},
    {"wait_for_last_view", VacbWaitForLastView},
    {"two_first_readers", VacbTwoFirstReaders},
};

KTAP_SUITE(VacbSuite, "cc.vacb", VacbCases);
