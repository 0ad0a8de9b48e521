/*
 * section.c - suite mm.section: file sections, clustered page-in, standby and back, and the life of a segment.
 *
 * Every case works on a file of its own in the pattern file system (testfs.c), sees it through views at slots that the cache
 * manager never uses, and ends with TestFsClose, which fails if anything of Mm still refers to the file.
 */
#include "testfs.h"
#include "../../src/mm/misection.h"

#define CLUSTER MI_CLUSTER_PAGES

static VOID SectionCluster(PKTAP_CONTEXT Ktap)
{
    TESTFS_FILE File;
    TESTFS_VIEW View;
    MM_SECTION_PAGES Pages;

    KTAP_EQUAL(TestFsOpen(&File, 64 * PAGE_SIZE, 1), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsMap(&File, 0, 0, &View), STATUS_SUCCESS);
    KTAP_EQUAL(View.Bytes, 64 * PAGE_SIZE);

    KTAP_EQUAL(TestFsCompare(&File, 20 * PAGE_SIZE, View.Base + 20 * PAGE_SIZE, PAGE_SIZE), 0);
    KTAP_EXACT(File.Reads, 1);
    KTAP_EXACT(File.Pages, CLUSTER);
    KTAP_CHECK(MmQuerySectionPages(&File.Pointers, &Pages));
    KTAP_EXACT(Pages.Active, 1);
    KTAP_EXACT(Pages.Standby, CLUSTER - 1);

    /* The neighbours come without a read. */
    KTAP_EQUAL(TestFsCompare(&File, 16 * PAGE_SIZE, View.Base + 16 * PAGE_SIZE, CLUSTER * PAGE_SIZE), 0);
    KTAP_EXACT(File.Reads, 1);
    KTAP_EQUAL(TestFsCompare(&File, 0, View.Base, 64 * PAGE_SIZE), 0);
    KTAP_EXACT(File.Reads, 4);
    KTAP_EXACT(File.Pages, 64);
    TestFsUnmap(&View);
    KTAP_CHECK(TestFsClose(&File));
    KTAP_EQUAL(MiVerify(), 0);
}

/* Sizes around page boundaries: what is past the end of the file reads as zero, whatever the device left in the buffer. */
static VOID SectionTail(PKTAP_CONTEXT Ktap)
{
    static const ULONG Sizes[] = {1, 4095, 4096, 4097, 5 * PAGE_SIZE - 1, CLUSTER * PAGE_SIZE + 1};

    for (ULONG Index = 0; Index < 2 * RTL_NUMBER_OF(Sizes); Index++) {
        ULONG Size = Sizes[Index / 2];
        TESTFS_FILE File;
        TESTFS_VIEW View;

        KTAP_EQUAL(TestFsOpen(&File, Size, Index), STATUS_SUCCESS);
        File.ReportWhole = Index % 2 != 0;
        KTAP_EQUAL(TestFsMap(&File, 0, 0, &View), STATUS_SUCCESS);
        KTAP_EQUAL(View.Bytes, ROUND_TO_PAGES(Size));
        KTAP_EQUAL(TestFsCompare(&File, 0, View.Base, View.Bytes), 0);
        TestFsUnmap(&View);
        KTAP_CHECK(TestFsClose(&File));
    }
    KTAP_EQUAL(MiVerify(), 0);
}

static VOID SectionStandby(PKTAP_CONTEXT Ktap)
{
    TESTFS_FILE File;
    TESTFS_VIEW View;
    MM_SECTION_PAGES Pages;
    ULONG64 Hits = MmFaultCounters.StandbyHits;

    KTAP_EQUAL(TestFsOpen(&File, 40 * PAGE_SIZE, 3), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsMap(&File, 0, 0, &View), STATUS_SUCCESS);
    KTAP_EQUAL(MmMakeViewResident(View.Base, View.Bytes), STATUS_SUCCESS);
    KTAP_CHECK(MmQuerySectionPages(&File.Pointers, &Pages));
    KTAP_EXACT(Pages.Active, 40);
    TestFsUnmap(&View);
    KTAP_CHECK(MmQuerySectionPages(&File.Pointers, &Pages));
    KTAP_EXACT(Pages.Active, 0);
    KTAP_EXACT(Pages.Standby, 40);
    KTAP_EQUAL(MiVerify(), 0);

    /* Back at another address, without a read. */
    KTAP_EQUAL(TestFsMap(&File, 0, 1, &View), STATUS_SUCCESS);
    KTAP_CHECK(MmMapResidentPages(View.Base, View.Bytes));
    KTAP_EQUAL(TestFsCompare(&File, 0, View.Base, View.Bytes), 0);
    KTAP_EXACT(File.Pages, 40);
    KTAP_CHECK(MmFaultCounters.StandbyHits >= Hits + 40);
    TestFsUnmap(&View);
    KTAP_CHECK(TestFsClose(&File));
    KTAP_EQUAL(MiVerify(), 0);
}

/* Two views share the frames; the frames stay until the second view goes. */
static VOID SectionShared(PKTAP_CONTEXT Ktap)
{
    TESTFS_FILE File;
    TESTFS_VIEW View, Other;
    MM_SECTION_PAGES Pages;

    KTAP_EQUAL(TestFsOpen(&File, 70 * PAGE_SIZE, 4), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsMap(&File, 0, 0, &View), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsMap(&File, 0, 1, &Other), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsCompare(&File, 0, View.Base, View.Bytes), 0);
    KTAP_EQUAL(TestFsCompare(&File, 0, Other.Base, Other.Bytes), 0);
    KTAP_EXACT(File.Pages, 64);
    KTAP_EQUAL(MmGetPhysicalAddress(View.Base).QuadPart, MmGetPhysicalAddress(Other.Base).QuadPart);
    TestFsUnmap(&View);
    KTAP_CHECK(MmQuerySectionPages(&File.Pointers, &Pages));
    KTAP_EXACT(Pages.Active, 64);
    KTAP_EQUAL(TestFsCompare(&File, 0, Other.Base, Other.Bytes), 0);
    KTAP_EQUAL(MiVerify(), 0);
    TestFsUnmap(&Other);

    /* The second view of the file: six pages. */
    KTAP_EQUAL(TestFsMap(&File, 0x40000, 0, &View), STATUS_SUCCESS);
    KTAP_EQUAL(View.Bytes, 6 * PAGE_SIZE);
    KTAP_EQUAL(TestFsCompare(&File, 0x40000, View.Base, View.Bytes), 0);
    TestFsUnmap(&View);
    KTAP_EQUAL(TestFsMap(&File, 0x80000, 0, &View), STATUS_INVALID_VIEW_SIZE);
    KTAP_CHECK(TestFsClose(&File));
    KTAP_EQUAL(MiVerify(), 0);
}

/* All available frames change owner: standby is gone, what is mapped stays, and the file reads right again. */
static VOID SectionRepurpose(PKTAP_CONTEXT Ktap)
{
    TESTFS_FILE File;
    TESTFS_VIEW View, Mapped;
    MM_SECTION_PAGES Pages;

    KTAP_EQUAL(TestFsOpen(&File, 128 * PAGE_SIZE, 5), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsMap(&File, 0, 0, &Mapped), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsMap(&File, 0x40000, 1, &View), STATUS_SUCCESS);
    KTAP_EQUAL(MmMakeViewResident(Mapped.Base, Mapped.Bytes), STATUS_SUCCESS);
    KTAP_EQUAL(MmMakeViewResident(View.Base, View.Bytes), STATUS_SUCCESS);
    TestFsUnmap(&View);
    KTAP_CHECK(MmQuerySectionPages(&File.Pointers, &Pages));
    KTAP_EXACT(Pages.Active, 64);
    KTAP_EXACT(Pages.Standby, 64);
    KTAP_EXACT(File.Pages, 128);

    MiSqueeze(MAXULONG64);
    KTAP_CHECK(MmQuerySectionPages(&File.Pointers, &Pages));
    KTAP_EXACT(Pages.Active, 64);
    KTAP_EXACT(Pages.Standby, 0);
    KTAP_EQUAL(MiVerify(), 0);

    KTAP_EQUAL(TestFsMap(&File, 0x40000, 1, &View), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsCompare(&File, 0x40000, View.Base, View.Bytes), 0);
    KTAP_EQUAL(TestFsCompare(&File, 0, Mapped.Base, Mapped.Bytes), 0);
    KTAP_EXACT(File.Pages, 128 + 64);
    TestFsUnmap(&View);
    TestFsUnmap(&Mapped);
    KTAP_CHECK(TestFsClose(&File));
    KTAP_EQUAL(MiVerify(), 0);
}

/* A file that nobody has open keeps its section while it has pages, and is closed when the last one has been repurposed. */
static VOID SectionLife(PKTAP_CONTEXT Ktap)
{
    TESTFS_FILE File;
    TESTFS_VIEW View;
    LARGE_INTEGER Limit;

    KTAP_EQUAL(TestFsOpen(&File, 8 * PAGE_SIZE, 6), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsMap(&File, 0, 0, &View), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsCompare(&File, 0, View.Base, View.Bytes), 0);
    TestFsUnmap(&View);
    ObDereferenceObject(File.FileObject);
    KTAP_CHECK(File.Pointers.DataSectionObject != NULL);
    KTAP_EQUAL(KeReadStateEvent(&File.Closed), 0);

    MiSqueeze(MAXULONG64);
    Limit.QuadPart = -10LL * 1000 * 1000 * 10;
    KTAP_EQUAL(KeWaitForSingleObject(&File.Closed, Executive, KernelMode, FALSE, &Limit), STATUS_SUCCESS);
    KTAP_CHECK(File.Pointers.DataSectionObject == NULL);
    KTAP_EQUAL(MiVerify(), 0);
}

static VOID SectionForceClosed(PKTAP_CONTEXT Ktap)
{
    TESTFS_FILE File;
    TESTFS_VIEW View;

    KTAP_EQUAL(TestFsOpen(&File, 8 * PAGE_SIZE, 7), STATUS_SUCCESS);
    KTAP_CHECK(MmForceSectionClosed(&File.Pointers, FALSE));
    KTAP_EQUAL(TestFsMap(&File, 0, 0, &View), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsCompare(&File, 0, View.Base, View.Bytes), 0);
    KTAP_CHECK(!MmForceSectionClosed(&File.Pointers, FALSE));
    TestFsUnmap(&View);
    KTAP_CHECK(File.Pointers.DataSectionObject != NULL);
    KTAP_CHECK(MmForceSectionClosed(&File.Pointers, FALSE));
    KTAP_CHECK(File.Pointers.DataSectionObject == NULL);

    /* And delayed: it goes with its last view. */
    KTAP_EQUAL(TestFsMap(&File, 0, 0, &View), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsCompare(&File, 0, View.Base, View.Bytes), 0);
    KTAP_CHECK(!MmForceSectionClosed(&File.Pointers, TRUE));
    TestFsUnmap(&View);
    KTAP_CHECK(File.Pointers.DataSectionObject == NULL);
    KTAP_CHECK(TestFsClose(&File));
    KTAP_EQUAL(MiVerify(), 0);
}

static VOID SectionPurge(PKTAP_CONTEXT Ktap)
{
    TESTFS_FILE File;
    TESTFS_VIEW View;
    MM_SECTION_PAGES Pages;
    LARGE_INTEGER Zero = {.QuadPart = 0};

    KTAP_EQUAL(TestFsOpen(&File, 32 * PAGE_SIZE, 8), STATUS_SUCCESS);
    KTAP_CHECK(MmPurgeDataSection(&File.Pointers, 0, 0));
    KTAP_EQUAL(TestFsMap(&File, 0, 0, &View), STATUS_SUCCESS);
    KTAP_EQUAL(MmMakeViewResident(View.Base, 16 * PAGE_SIZE), STATUS_SUCCESS);
    KTAP_CHECK(!MmPurgeDataSection(&File.Pointers, 0, 0));
    KTAP_EQUAL(TestFsCompare(&File, 0, View.Base, View.Bytes), 0);
    TestFsUnmap(&View);

    /* A range: pages 4 to 7 only, although its ends lie inside pages. */
    KTAP_CHECK(MmPurgeDataSection(&File.Pointers, 4 * PAGE_SIZE + 1, 3 * PAGE_SIZE));
    KTAP_CHECK(MmQuerySectionPages(&File.Pointers, &Pages));
    KTAP_EXACT(Pages.Standby, 28);
    KTAP_CHECK(MmCanFileBeTruncated(&File.Pointers, &Zero));
    KTAP_CHECK(MmFlushImageSection(&File.Pointers, MmFlushForDelete));
    KTAP_EQUAL(TestFsMap(&File, 0, 0, &View), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsCompare(&File, 0, View.Base, View.Bytes), 0);
    KTAP_EXACT(File.Pages, 32 + 4);
    TestFsUnmap(&View);
    KTAP_CHECK(MmPurgeDataSection(&File.Pointers, 0, 0));
    KTAP_CHECK(TestFsClose(&File));
    KTAP_EQUAL(MiVerify(), 0);
}

/* A file that grows: new subsections behind the old ones, and a mapped view gets the pages that it lacked. */
static VOID SectionExtend(PKTAP_CONTEXT Ktap)
{
    TESTFS_FILE File;
    TESTFS_VIEW View, Far;
    ULONG Bytes;

    KTAP_EQUAL(TestFsOpen(&File, 3 * PAGE_SIZE, 9), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsMap(&File, 0, 0, &View), STATUS_SUCCESS);
    KTAP_EQUAL(View.Bytes, 3 * PAGE_SIZE);
    KTAP_EQUAL(TestFsCompare(&File, 0, View.Base, View.Bytes), 0);

    File.Size = 300ULL << 20;
    KTAP_EQUAL(MmExtendDataSection(View.ControlArea, File.Size), STATUS_SUCCESS);
    MmSetDataSectionFileSize(View.ControlArea, File.Size);
    /* A view that is mapped just now: its range was prepared before the section grew. The new pages wait to be filled in. */
    KTAP_EQUAL(MmMapCacheView(View.ControlArea, 0, TESTFS_SLOT(1), &Bytes), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsCompare(&File, 0, TESTFS_SLOT(1), 3 * PAGE_SIZE), 0);
    KTAP_EQUAL(MmMakeViewResident((PUCHAR)TESTFS_SLOT(1) + 3 * PAGE_SIZE, 1), STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(MmPrepareDataSection(View.ControlArea, 0, 0x40000), STATUS_SUCCESS);
    KTAP_EQUAL(MmExtendCacheView(View.ControlArea, 0, TESTFS_SLOT(1)), 0x40000);
    KTAP_EQUAL(TestFsCompare(&File, 0, TESTFS_SLOT(1), 0x40000), 0);
    MmUnmapCacheView(View.ControlArea, TESTFS_SLOT(1));
    KTAP_EQUAL(MmExtendCacheView(View.ControlArea, 0, View.Base), 0x40000);
    KTAP_EQUAL(TestFsCompare(&File, 0, View.Base, 0x40000), 0);

    KTAP_EQUAL(TestFsMap(&File, File.Size - 0x40000, 1, &Far), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsCompare(&File, File.Size - 0x40000, Far.Base, 0x40000), 0);
    TestFsUnmap(&Far);
    TestFsUnmap(&View);
    KTAP_CHECK(TestFsClose(&File));
    KTAP_EQUAL(MiVerify(), 0);
}

/* Pages leave through the TLB epoch; more flushes than the epoch has values must not show an old page through a new view. */
static VOID SectionEpochWrap(PKTAP_CONTEXT Ktap)
{
    TESTFS_FILE File[2];

    KTAP_EQUAL(TestFsOpen(&File[0], 16 * PAGE_SIZE, 10), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsOpen(&File[1], 16 * PAGE_SIZE, 77), STATUS_SUCCESS);
    for (ULONG Round = 0; Round < 12; Round++) {
        TESTFS_VIEW View;

        /* The same slot shows one file, then the other. */
        KTAP_EQUAL(TestFsMap(&File[Round % 2], 0, 2, &View), STATUS_SUCCESS);
        KTAP_EQUAL(TestFsCompare(&File[Round % 2], 0, View.Base, View.Bytes), 0);
        TestFsUnmap(&View);
        if (Round % 3 == 0) {
            MiFlushAllTlb();
        }
    }
    KTAP_EXACT(File[0].Pages, 16);
    KTAP_CHECK(TestFsClose(&File[0]));
    KTAP_CHECK(TestFsClose(&File[1]));
    KTAP_EQUAL(MiVerify(), 0);
}

/* A section without a file: zeroed, shared by its views, alive as long as it is open or mapped. */
static VOID SectionPageFile(PKTAP_CONTEXT Ktap)
{
    LARGE_INTEGER Size = {.QuadPart = 100 * PAGE_SIZE};
    SIZE_T ViewSize = 0, SmallSize = 3 * PAGE_SIZE;
    ULONG64 Deleted = MmFaultCounters.SegmentsDeleted;
    PULONG64 View, Small;
    PVOID Section;

    KTAP_EQUAL(
        MmCreateSection(&Section, SECTION_ALL_ACCESS, NULL, &Size, PAGE_READWRITE | PAGE_GUARD, SEC_COMMIT, NULL, NULL),
        STATUS_INVALID_PAGE_PROTECTION);
    KTAP_EQUAL(MmCreateSection(&Section, SECTION_ALL_ACCESS, NULL, NULL, PAGE_READWRITE, SEC_COMMIT, NULL, NULL),
               STATUS_INVALID_PARAMETER_4);
    KTAP_EQUAL(MmCreateSection(&Section, SECTION_ALL_ACCESS, NULL, &Size, PAGE_READWRITE, SEC_COMMIT, NULL, NULL),
               STATUS_SUCCESS);
    KTAP_EQUAL(MmMapViewInSystemSpace(Section, (PVOID *)&View, &ViewSize), STATUS_SUCCESS);
    KTAP_EQUAL(ViewSize, 100 * PAGE_SIZE);
    KTAP_EQUAL(MmMapViewInSystemSpace(Section, (PVOID *)&Small, &SmallSize), STATUS_SUCCESS);
    for (ULONG Page = 0; Page < 100; Page += 7) {
        KTAP_EQUAL(View[Page * 512 + 3], 0);
        View[Page * 512 + 3] = Page + 1;
    }
    KTAP_EQUAL(Small[3], 1);
    Small[2 * 512] = 99;
    KTAP_EQUAL(View[2 * 512], 99);
    KTAP_EQUAL(MmUnmapViewInSystemSpace(View), STATUS_SUCCESS);
    KTAP_EQUAL(MmUnmapViewInSystemSpace(View), STATUS_NOT_MAPPED_VIEW);
    KTAP_EQUAL(MiVerify(), 0);

    /* Dirty pages have no other home: a squeeze must not lose them. */
    MiSqueeze(MAXULONG64);
    ViewSize = 0;
    KTAP_EQUAL(MmMapViewInSystemSpace(Section, (PVOID *)&View, &ViewSize), STATUS_SUCCESS);
    for (ULONG Page = 0; Page < 100; Page += 7) {
        KTAP_EQUAL(View[Page * 512 + 3], Page + 1);
    }
    KTAP_EQUAL(MmUnmapViewInSystemSpace(View), STATUS_SUCCESS);
    ObDereferenceObject(Section);
    KTAP_EQUAL(Small[3], 1);
    KTAP_EQUAL(MmUnmapViewInSystemSpace(Small), STATUS_SUCCESS);
    for (ULONG Wait = 0; Wait < 200 && MmFaultCounters.SegmentsDeleted == Deleted; Wait++) {
        LARGE_INTEGER Time = {.QuadPart = -100000};

        KeDelayExecutionThread(KernelMode, FALSE, &Time);
    }
    KTAP_EXACT(MmFaultCounters.SegmentsDeleted, Deleted + 1);
    KTAP_EQUAL(MiVerify(), 0);
}

/* A section object over a file shares the data section with everybody, and stands in the way of truncation. */
static VOID SectionOverFile(PKTAP_CONTEXT Ktap)
{
    LARGE_INTEGER Size = {.QuadPart = 5 * PAGE_SIZE + 1};
    TESTFS_FILE File;
    TESTFS_VIEW Cached;
    SIZE_T ViewSize = 0;
    PVOID Section;
    PUCHAR View;

    KTAP_EQUAL(TestFsOpen(&File, 5 * PAGE_SIZE, 20), STATUS_SUCCESS);
    KTAP_EQUAL(
        MmCreateSection(&Section, SECTION_MAP_READ, NULL, &Size, PAGE_READONLY, SEC_COMMIT, NULL, File.FileObject),
        STATUS_SECTION_TOO_BIG);
    KTAP_EQUAL(
        MmCreateSection(&Section, SECTION_MAP_READ, NULL, NULL, PAGE_READONLY, SEC_COMMIT, NULL, File.FileObject),
        STATUS_SUCCESS);
    KTAP_EQUAL(MmMapViewInSystemSpace(Section, (PVOID *)&View, &ViewSize), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsMap(&File, 0, 0, &Cached), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsCompare(&File, 0, View, ViewSize), 0);
    KTAP_EQUAL(TestFsCompare(&File, 0, Cached.Base, Cached.Bytes), 0);
    KTAP_EXACT(File.Reads, 1);
    Size.QuadPart = PAGE_SIZE;
    KTAP_CHECK(!MmCanFileBeTruncated(&File.Pointers, &Size));
    KTAP_CHECK(!MmFlushImageSection(&File.Pointers, MmFlushForDelete));
    TestFsUnmap(&Cached);
    ObDereferenceObject(Section); /* the view alone is reason enough */
    KTAP_CHECK(!MmCanFileBeTruncated(&File.Pointers, &Size));
    KTAP_EQUAL(MmUnmapViewInSystemSpace(View), STATUS_SUCCESS);
    KTAP_CHECK(MmCanFileBeTruncated(&File.Pointers, &Size));
    KTAP_CHECK(TestFsClose(&File));
    KTAP_EQUAL(MiVerify(), 0);
}

static const KTAP_CASE_ENTRY SectionCases[] = {
    {"cluster", SectionCluster},
    {"tail", SectionTail},
    {"standby", SectionStandby},
    {"shared", SectionShared},
    {"repurpose", SectionRepurpose},
    {"life", SectionLife},
    {"force_closed", SectionForceClosed},
    {"purge", SectionPurge},
    {"extend", SectionExtend},
    {"epoch_wrap", SectionEpochWrap},
    {"page_file", SectionPageFile},
    {"over_file", SectionOverFile},
};

KTAP_SUITE(SectionSuite, "mm.section", SectionCases);
