/*
 * mm_driverapi.c - suite mm.driverapi: what drivers may ask Mm for by name, routine by routine.
 *
 * Facts, uncached memory, pageable sections, prefetching; what has a suite of its own elsewhere (MDLs, sections, pool) is not
 * repeated. MiVerify runs after each case.
 */
#include "testfs.h"
#include "mmtest.h"
#include "../../src/mm/misection.h"

static VOID ApiFacts(PKTAP_CONTEXT Ktap)
{
    PVOID Pool = ExAllocatePoolWithTag(NonPagedPool, 64, 'tseT'), Paged = ExAllocatePoolWithTag(PagedPool, 64, 'tseT');

    KTAP_CHECK(Pool != NULL && Paged != NULL);
    KTAP_EQUAL(MmHighestUserAddress, 0x7FFFFFFEFFFF);
    KTAP_EQUAL(MmUserProbeAddress, 0x7FFFFFFF0000);
    KTAP_EQUAL(MmSystemRangeStart, 0xFFFF800000000000);
    KTAP_EQUAL(MmIsThisAnNtAsSystem(), FALSE);
    KTAP_EQUAL(MmQuerySystemSize(), MiRamFrames > (32ULL << 8) ? MmLargeSystem : MmMediumSystem);
    KTAP_CHECK(MmIsNonPagedSystemAddressValid(Pool));
    KTAP_CHECK(MmIsNonPagedSystemAddressValid((PVOID)ApiFacts));
    KTAP_CHECK(!MmIsNonPagedSystemAddressValid(Paged));
    KTAP_CHECK(!MmIsNonPagedSystemAddressValid((PVOID)0x10000));
    KTAP_CHECK(!MmIsNonPagedSystemAddressValid((PVOID)(MM_NONPAGED_POOL_BASE + MM_NONPAGED_POOL_SIZE - PAGE_SIZE)));
    KTAP_EQUAL(MmIsRecursiveIoFault(), FALSE);
    ExFreePoolWithTag(Pool, 'tseT');
    ExFreePoolWithTag(Paged, 'tseT');
}

static VOID ApiNonCached(PKTAP_CONTEXT Ktap)
{
    ULONG64 Used = MiNonPagedArea.Used;
    PULONG64 Words = MmAllocateNonCachedMemory(5 * PAGE_SIZE + 1);

    KTAP_CHECK(Words != NULL);
    KTAP_CHECK(MmAllocateNonCachedMemory(0) == NULL);
    for (ULONG Page = 0; Page < 6; Page++) {
        MMPTE Pte = *MiPteOf((PUCHAR)Words + Page * PAGE_SIZE);

        KTAP_CHECK(Pte.Hard.Valid && Pte.Hard.CacheDisable && Pte.Hard.WriteThrough);
        KTAP_EQUAL(MiPfnCacheType(MiPfn(MiPteFrame(Pte))), MiUncached);
        KTAP_EQUAL(Words[Page * PAGE_SIZE / 8], 0);
        Words[Page * PAGE_SIZE / 8] = Page;
    }
    KTAP_EQUAL(Words[5 * PAGE_SIZE / 8], 5);
    KTAP_EQUAL(MiVerify(), 0);
    MmFreeNonCachedMemory(Words, 5 * PAGE_SIZE + 1);
    KTAP_EQUAL(MiNonPagedArea.Used, Used);
}

static VOID ApiNode(PKTAP_CONTEXT Ktap)
{
    PHYSICAL_ADDRESS Zero = {.QuadPart = 0}, Highest = {.QuadPart = 0xFFFFFFFF};
    PVOID Run =
        MmAllocateContiguousMemorySpecifyCacheNode(3 * PAGE_SIZE, Zero, Highest, Zero, MmCached, MM_ANY_NODE_OK);

    KTAP_CHECK(Run != NULL);
    KTAP_EQUAL(MmGetPhysicalAddress((PUCHAR)Run + 2 * PAGE_SIZE).QuadPart,
               MmGetPhysicalAddress(Run).QuadPart + 2 * PAGE_SIZE);
    MmFreeContiguousMemory(Run);
}

/* A hole of the PC below 4 GB: not RAM, and mapped by somebody or not. */
static VOID ApiVideo(PKTAP_CONTEXT Ktap)
{
    PHYSICAL_ADDRESS Hole = {.QuadPart = 0xFEB00000};
    PVOID Address;

    KTAP_CHECK(!MiIsRamFrame((ULONG64)Hole.QuadPart >> PAGE_SHIFT));
    KTAP_EQUAL(MmIsIoSpaceActive(Hole, PAGE_SIZE), FALSE);
    Address = MmMapVideoDisplay(Hole, 3 * PAGE_SIZE, MmWriteCombined);
    KTAP_CHECK(Address != NULL);
    KTAP_EQUAL(MmGetPhysicalAddress(Address).QuadPart, Hole.QuadPart);
    Hole.QuadPart += 2 * PAGE_SIZE + 5;
    KTAP_EQUAL(MmIsIoSpaceActive(Hole, 1), TRUE);
    Hole.QuadPart += PAGE_SIZE;
    KTAP_EQUAL(MmIsIoSpaceActive(Hole, 1), FALSE);
    MmUnmapVideoDisplay(Address, 3 * PAGE_SIZE);
    Hole.QuadPart -= PAGE_SIZE;
    KTAP_EQUAL(MmIsIoSpaceActive(Hole, 1), FALSE);
}

static VOID ApiPageable(PKTAP_CONTEXT Ktap)
{
    static ULONG Data = 5;
    PVOID Handle = MmLockPagableDataSection(&Data);
    KI_IMAGE Image;

    KTAP_CHECK(Handle != NULL);
    KTAP_CHECK(MmLockPagableDataSection((PVOID)ApiPageable) == Handle); /* the same image */
    MmLockPagableSectionByHandle(Handle);
    MmUnlockPagableImageSection(Handle);
    MmUnlockPagableImageSection(Handle);
    MmUnlockPagableImageSection(Handle);
    KTAP_CHECK(KiFindImage((ULONG64)ApiPageable, &Image));
    KTAP_EQUAL(MmPageEntireDriver((PVOID)ApiPageable), Image.Base);
    MmResetDriverPaging((PVOID)ApiPageable);
    KTAP_EQUAL(Data, 5);
}

/* Pages come to standby by clusters, once; errors are told. */
static VOID ApiPrefetch(PKTAP_CONTEXT Ktap)
{
    static struct {
        READ_LIST List;
        FILE_SEGMENT_ELEMENT More[3];
    } Read;
    PREAD_LIST Lists[1] = {&Read.List};
    PFILE_SEGMENT_ELEMENT Entry = Read.List.List;
    MM_SECTION_PAGES Pages;
    TESTFS_FILE File;

    KTAP_EQUAL(TestFsOpen(&File, 64 * PAGE_SIZE, 21), STATUS_SUCCESS);
    Read.List.FileObject = File.FileObject;
    Read.List.NumberOfEntries = 3;
    Read.List.IsImage = FALSE;
    for (ULONG Index = 0; Index < 3; Index++) {
        Entry[Index].Alignment = (ULONGLONG)Index * 20 * PAGE_SIZE;
    }
    KTAP_EQUAL(MmPrefetchPages(1, Lists), STATUS_SUCCESS);
    KTAP_CHECK(MmQuerySectionPages(&File.Pointers, &Pages));
    KTAP_EQUAL(Pages.Active, 0);
    KTAP_CHECK(Pages.Standby >= 3);
    KTAP_EXACT(File.Reads, 3);
    KTAP_EQUAL(File.Nested, 3);
    KTAP_EQUAL(MmPrefetchPages(1, Lists), STATUS_SUCCESS); /* in memory already */
    KTAP_EXACT(File.Reads, 3);
    Entry[2].Alignment = 64 * PAGE_SIZE;
    KTAP_EQUAL(MmPrefetchPages(1, Lists), STATUS_END_OF_FILE);
    Read.List.IsImage = TRUE;
    KTAP_EQUAL(MmPrefetchPages(1, Lists), STATUS_NOT_SUPPORTED);
    KTAP_CHECK(TestFsClose(&File));
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"facts", ApiFacts}, {"noncached", ApiNonCached}, {"node", ApiNode},
    {"video", ApiVideo}, {"pageable", ApiPageable},   {"prefetch", ApiPrefetch},
};
KTAP_SUITE(MmDriverApiSuite, "mm.driverapi", Cases);
