/*
 * copyread.c - suite cc.copy: cached reads give the file's bytes, once from the disk, with the documented errors.
 *
 * Files of every interesting size are read in pieces of odd lengths and compared byte by byte with their pattern; the pattern file
 * system counts what reached the disk.
 */
#include "testfs.h"
#include "../../src/cc/ccp.h"
#include "../../src/mm/misection.h"

#define COPY_PIECE 60001u /* crosses pages and views at ever different places */

static VOID CopyStartCaching(PTESTFS_FILE File, PFILE_OBJECT FileObject)
{
    CC_FILE_SIZES Sizes = {.AllocationSize.QuadPart = (LONGLONG)ROUND_TO_PAGES(File->Size),
                           .FileSize.QuadPart = (LONGLONG)File->Size,
                           .ValidDataLength.QuadPart = (LONGLONG)File->Size};

    CcInitializeCacheMap(FileObject, &Sizes, FALSE, NULL, NULL);
}

static ULONG64 CopyPieces(PTESTFS_FILE File, PUCHAR Buffer)
{
    LARGE_INTEGER Offset = {.QuadPart = 0};
    ULONG64 Wrong = 0;
    IO_STATUS_BLOCK Io;

    do {
        CcCopyRead(File->FileObject, &Offset, COPY_PIECE, TRUE, Buffer, &Io);
        Wrong += TestFsCompare(File, (ULONG64)Offset.QuadPart, Buffer, Io.Information);
        Offset.QuadPart += (LONGLONG)Io.Information;
    } while (Io.Information != 0);
    return (ULONG64)Offset.QuadPart == File->Size ? Wrong : MAXULONG64;
}

/* Reads the whole file through the cache; returns wrong bytes, MAXULONG64 for a wrong length, or the status that it raised. */
static ULONG64 CopyWholeFile(PTESTFS_FILE File)
{
    PUCHAR Buffer = ExAllocatePoolWithTag(NonPagedPool, COPY_PIECE, 'tseT');
    ULONG64 Wrong;

    if (Buffer == NULL) {
        return (ULONG)STATUS_INSUFFICIENT_RESOURCES;
    }
    __try {
        Wrong = CopyPieces(File, Buffer);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Wrong = (ULONG)GetExceptionCode();
    }
    ExFreePool(Buffer);
    return Wrong;
}

static VOID CopySizes(PKTAP_CONTEXT Ktap)
{
    static const ULONG Sizes[] = {0, 1, 4095, 4096, 4097, 262143, 262144, 262145, 1500007};

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Sizes); Index++) {
        TESTFS_FILE File;
        MM_SECTION_PAGES Pages;
        LONG Reads;

        KTAP_EQUAL(TestFsOpen(&File, Sizes[Index], Index), STATUS_SUCCESS);
        CopyStartCaching(&File, File.FileObject);
        KTAP_CHECK(CcIsFileCached(File.FileObject));
        KTAP_EQUAL(CcGetFileSizePointer(File.FileObject)->QuadPart, Sizes[Index]);
        KTAP_EQUAL(CopyWholeFile(&File), 0);
        KTAP_EXACT(File.Pages, BYTES_TO_PAGES(Sizes[Index]));
        KTAP_CHECK(CcUninitializeCacheMap(File.FileObject, NULL, NULL));

        /* Nothing is mapped now, everything is on standby, and the second time costs no read. */
        KTAP_CHECK(MmQuerySectionPages(&File.Pointers, &Pages) == (Sizes[Index] != 0));
        KTAP_EQUAL(Pages.Active, 0);
        KTAP_EQUAL(Pages.Standby, BYTES_TO_PAGES(Sizes[Index]));
        Reads = File.Reads;
        CopyStartCaching(&File, File.FileObject);
        KTAP_EQUAL(CopyWholeFile(&File), 0);
        KTAP_EXACT(File.Reads, Reads);
        KTAP_CHECK(CcUninitializeCacheMap(File.FileObject, NULL, NULL));
        KTAP_CHECK(TestFsClose(&File));
    }
    KTAP_EQUAL(MiVerify(), 0);
}

static VOID CopyRepurposed(PKTAP_CONTEXT Ktap)
{
    TESTFS_FILE File;
    LONG Pages;

    KTAP_EQUAL(TestFsOpen(&File, 700001, 9), STATUS_SUCCESS);
    CopyStartCaching(&File, File.FileObject);
    KTAP_EQUAL(CopyWholeFile(&File), 0);
    CcpDropHeldViews(MAXULONG64);
    Pages = File.Pages;
    MiSqueeze(MAXULONG64);
    KTAP_EQUAL(CopyWholeFile(&File), 0);
    KTAP_CHECK(File.Pages > Pages);
    CcUninitializeCacheMap(File.FileObject, NULL, NULL);
    KTAP_CHECK(TestFsClose(&File));
    KTAP_EQUAL(MiVerify(), 0);
}

static VOID CopyNoWait(PKTAP_CONTEXT Ktap)
{
    TESTFS_FILE File;
    LARGE_INTEGER Offset = {.QuadPart = 100};
    IO_STATUS_BLOCK Io;
    UCHAR Bytes[256];

    KTAP_EQUAL(TestFsOpen(&File, 100000, 10), STATUS_SUCCESS);
    CopyStartCaching(&File, File.FileObject);
    KTAP_CHECK(!CcCopyRead(File.FileObject, &Offset, sizeof(Bytes), FALSE, Bytes, &Io));
    KTAP_EXACT(File.Reads, 0);
    KTAP_CHECK(KTAP_WHOLE(CcCopyRead(File.FileObject, &Offset, sizeof(Bytes), TRUE, Bytes, &Io))); /* it raises */
    RtlZeroMemory(Bytes, sizeof(Bytes));
    KTAP_CHECK(KTAP_WHOLE(CcCopyRead(File.FileObject, &Offset, sizeof(Bytes), FALSE, Bytes, &Io))); /* it raises */
    KTAP_EQUAL(TestFsCompare(&File, 100, Bytes, sizeof(Bytes)), 0);
    RtlZeroMemory(Bytes, sizeof(Bytes));
    CcFastCopyRead(File.FileObject, 100, sizeof(Bytes), 1, Bytes, &Io);
    KTAP_EQUAL(TestFsCompare(&File, 100, Bytes, sizeof(Bytes)), 0);
    CcUninitializeCacheMap(File.FileObject, NULL, NULL);
    KTAP_CHECK(TestFsClose(&File));
}

/* What CcCopyRead raises, STATUS_SUCCESS: nothing. */
static NTSTATUS CopyTry(PTESTFS_FILE File, ULONG64 Offset, ULONG Length, PVOID Buffer)
{
    LARGE_INTEGER Where = {.QuadPart = (LONGLONG)Offset};
    NTSTATUS Status = STATUS_SUCCESS;
    IO_STATUS_BLOCK Io;

    __try {
        CcCopyRead(File->FileObject, &Where, Length, TRUE, Buffer, &Io);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Status = GetExceptionCode();
    }
    return Status;
}

static VOID CopyErrors(PKTAP_CONTEXT Ktap)
{
    TESTFS_FILE File;
    UCHAR Bytes[256];

    KTAP_EQUAL(TestFsOpen(&File, 50 * PAGE_SIZE, 11), STATUS_SUCCESS);
    CopyStartCaching(&File, File.FileObject);
    File.FailOffset = 40 * PAGE_SIZE;
    File.FailStatus = STATUS_DEVICE_DATA_ERROR;
    File.FailCount = MAXLONG;
    KTAP_EQUAL(CopyTry(&File, 40 * PAGE_SIZE + 7, 100, Bytes), STATUS_DEVICE_DATA_ERROR);
    KTAP_EQUAL(CopyTry(&File, 41 * PAGE_SIZE, 100, Bytes), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsCompare(&File, 41 * PAGE_SIZE, Bytes, 100), 0);
    KTAP_EQUAL(CopyTry(&File, 0, 100, (PVOID)0x1000), STATUS_INVALID_USER_BUFFER);
    KTAP_EQUAL(CopyTry(&File, 0, 100, Bytes), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsCompare(&File, 0, Bytes, 100), 0);
    File.FailCount = 0;
    KTAP_EQUAL(CopyTry(&File, 40 * PAGE_SIZE + 7, 100, Bytes), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsCompare(&File, 40 * PAGE_SIZE + 7, Bytes, 100), 0);
    CcUninitializeCacheMap(File.FileObject, NULL, NULL);
    KTAP_CHECK(TestFsClose(&File));
    KTAP_EQUAL(MiVerify(), 0);
}

/* The buffer is a view of the very page that is being read. */
static VOID CopySameFile(PKTAP_CONTEXT Ktap)
{
    TESTFS_FILE File;
    LARGE_INTEGER Offset = {.QuadPart = 0};
    PVOID Bcb, Buffer;
    PUCHAR Alias;
    PMDL Mdl;

    KTAP_EQUAL(TestFsOpen(&File, 8 * PAGE_SIZE, 12), STATUS_SUCCESS);
    CopyStartCaching(&File, File.FileObject);
    KTAP_CHECK(KTAP_WHOLE(
        CcMapData(File.FileObject, &Offset, PAGE_SIZE, MAP_WAIT | MAP_NO_READ, &Bcb, &Buffer))); /* it raises */
    KTAP_EQUAL(CopyTry(&File, PAGE_SIZE, PAGE_SIZE, Buffer), STATUS_INVALID_USER_BUFFER); /* the view is read-only */
    Mdl = MmCreateMdl(NULL, Buffer, PAGE_SIZE);
    KTAP_CHECK(Mdl != NULL);
    MmProbeAndLockPages(Mdl, KernelMode, IoReadAccess);
    Alias = MmMapLockedPages(Mdl, KernelMode);
    KTAP_EQUAL(CopyTry(&File, 0, PAGE_SIZE, Alias), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsCompare(&File, 0, Alias, PAGE_SIZE), 0);
    MmUnlockPages(Mdl);
    ExFreePool(Mdl);
    CcUnpinData(Bcb);
    CcUninitializeCacheMap(File.FileObject, NULL, NULL);
    KTAP_CHECK(TestFsClose(&File));
    KTAP_EQUAL(MiVerify(), 0);
}

/* Sizes that change under the cache: the page with the old end is read again, a shorter file ends where it says. */
static VOID CopyResize(PKTAP_CONTEXT Ktap)
{
    TESTFS_FILE File;
    CC_FILE_SIZES Sizes;

    KTAP_EQUAL(TestFsOpen(&File, 5000, 13), STATUS_SUCCESS);
    CopyStartCaching(&File, File.FileObject);
    KTAP_EQUAL(CopyWholeFile(&File), 0);
    for (ULONG Round = 0; Round < 3; Round++) {
        File.Size = Round == 0 ? 9000 : Round == 1 ? 700000 : 4100;
        Sizes.AllocationSize.QuadPart = (LONGLONG)ROUND_TO_PAGES(File.Size);
        Sizes.FileSize.QuadPart = Sizes.ValidDataLength.QuadPart = (LONGLONG)File.Size;
        CcSetFileSizes(File.FileObject, &Sizes);
        KTAP_EQUAL(CopyWholeFile(&File), 0);
    }
    CcUninitializeCacheMap(File.FileObject, NULL, NULL);
    KTAP_CHECK(TestFsClose(&File));
    KTAP_EQUAL(MiVerify(), 0);
}

/* A page that a BCB keeps through a change of size is purged when the BCB goes, not kept with its old bytes. */
static VOID CopyResizePinned(PKTAP_CONTEXT Ktap)
{
    LARGE_INTEGER Start = {.QuadPart = 0}, Offset = {.QuadPart = PAGE_SIZE};
    TESTFS_FILE File;
    CC_FILE_SIZES Sizes;
    PVOID Bcb, Buffer;

    KTAP_EQUAL(TestFsOpen(&File, 3 * PAGE_SIZE, 15), STATUS_SUCCESS);
    CopyStartCaching(&File, File.FileObject);
    KTAP_EQUAL(CopyWholeFile(&File), 0);
    KTAP_CHECK(KTAP_WHOLE(CcMapData(File.FileObject, &Offset, PAGE_SIZE, MAP_WAIT, &Bcb, &Buffer))); /* it raises */
    KTAP_EQUAL(TestFsCompare(&File, PAGE_SIZE, Buffer, PAGE_SIZE), 0);
    for (ULONG Round = 0; Round < 2; Round++) {
        File.Size = Round == 0 ? PAGE_SIZE : 3 * PAGE_SIZE;
        Sizes.AllocationSize.QuadPart = Sizes.FileSize.QuadPart = Sizes.ValidDataLength.QuadPart = (LONGLONG)File.Size;
        CcSetFileSizes(File.FileObject, &Sizes);
    }
    File.Seed = 98; /* what the file has there now */
    CcUnpinData(Bcb);
    KTAP_CHECK(CcPurgeCacheSection(&File.Pointers, &Start, PAGE_SIZE, 0)); /* the first page was never in question */
    KTAP_EQUAL(CopyWholeFile(&File), 0);
    CcUninitializeCacheMap(File.FileObject, NULL, NULL);
    KTAP_CHECK(TestFsClose(&File));
}

/* After a purge the file is read again; with UNINITIALIZE_CACHE_MAPS its cache map is gone as well. */
static VOID CopyPurge(PKTAP_CONTEXT Ktap)
{
    TESTFS_FILE File;

    KTAP_EQUAL(TestFsOpen(&File, 100000, 14), STATUS_SUCCESS);
    CopyStartCaching(&File, File.FileObject);
    KTAP_EQUAL(CopyWholeFile(&File), 0);
    KTAP_CHECK(CcPurgeCacheSection(&File.Pointers, NULL, 0, 0));
    File.Seed = 99; /* the disk changed behind the cache */
    KTAP_EQUAL(CopyWholeFile(&File), 0);
    KTAP_CHECK(CcPurgeCacheSection(&File.Pointers, NULL, 0, UNINITIALIZE_CACHE_MAPS));
    KTAP_CHECK(File.Pointers.SharedCacheMap == NULL);
    KTAP_CHECK(File.FileObject->PrivateCacheMap == NULL);
    KTAP_CHECK(CcUninitializeCacheMap(File.FileObject, NULL, NULL));
    KTAP_CHECK(TestFsClose(&File));
    KTAP_EQUAL(MiVerify(), 0);
}

static const KTAP_CASE_ENTRY CopyCases[] = {
    {"sizes", CopySizes},   {"repurposed", CopyRepurposed},      {"no_wait", CopyNoWait},
    {"errors", CopyErrors}, {"same_file", CopySameFile},         {"resize", CopyResize},
    {"purge", CopyPurge},   {"resize_pinned", CopyResizePinned},
};

KTAP_SUITE(CopySuite, "cc.copy", CopyCases);
