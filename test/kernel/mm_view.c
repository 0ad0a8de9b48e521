/*
 * mm_view.c - suite mm.view: views of sections in processes: shared, copied on write, of files and without one.
 *
 * Files are those of the pattern file system, whose reads are counted. Sections are reached by kernel handles, so that any process
 * may be attached when they are used. MiVerify runs while views are mapped, shared and copied.
 */
#include "ketest.h"
#include "proctest.h"
#include "testfs.h"

static NTSTATUS CreateSection(PHANDLE Handle, SIZE_T Bytes, ULONG Protect)
{
    OBJECT_ATTRIBUTES Attributes;
    LARGE_INTEGER Size = {.QuadPart = (LONGLONG)Bytes};

    InitializeObjectAttributes(&Attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwCreateSection(Handle, SECTION_ALL_ACCESS, &Attributes, &Size, Protect, SEC_COMMIT, NULL);
}

static NTSTATUS MapView(HANDLE Section, PVOID *Base, SIZE_T *Size, ULONG Protect)
{
    return ZwMapViewOfSection(Section, ZwCurrentProcess(), Base, 0, 0, NULL, Size, ViewUnmap, 0, Protect);
}

/* Two processes write to one section, and see each other's words at different addresses. */
static VOID ViewShared(PKTAP_CONTEXT Ktap)
{
    PEPROCESS Process[2] = {TestCreateProcess(), TestCreateProcess()};
    PVOID Base[2] = {NULL, (PVOID)0x12340000};
    ULONG64 Commit = MiCommit.Charged, Value;
    KAPC_STATE State;
    HANDLE Section;
    SIZE_T Size = 0;

    KTAP_CHECK(Process[0] != NULL && Process[1] != NULL);
    KTAP_EQUAL(CreateSection(&Section, 20 * PAGE_SIZE, PAGE_READWRITE), STATUS_SUCCESS);
    KTAP_EXACT(MiCommit.Charged - Commit, 20);
    for (ULONG Turn = 0; Turn < 2; Turn++) {
        KeStackAttachProcess((PVOID)Process[Turn], &State);
        Size = 0;
        KTAP_EQUAL(MapView(Section, &Base[Turn], &Size, PAGE_READWRITE), STATUS_SUCCESS);
        KTAP_EQUAL(Size, 20 * PAGE_SIZE);
        for (ULONG Page = Turn; Page < 20; Page += 2) {
            KTAP_EQUAL(TestWrite((PUCHAR)Base[Turn] + Page * PAGE_SIZE, Page + 1000), STATUS_SUCCESS);
        }
        KeUnstackDetachProcess(&State);
    }
    ZwClose(Section); /* the views keep it */
    KTAP_EQUAL(Base[1], 0x12340000);
    for (ULONG Turn = 0; Turn < 2; Turn++) {
        KeStackAttachProcess((PVOID)Process[Turn], &State);
        for (ULONG Page = 0; Page < 20; Page++) {
            KTAP_EQUAL(TestRead((PUCHAR)Base[Turn] + Page * PAGE_SIZE, &Value), STATUS_SUCCESS);
            KTAP_EQUAL(Value, Page + 1000);
        }
        KTAP_EQUAL(MiSpaceOf(Process[Turn])->WorkingSet, 20);
        KeUnstackDetachProcess(&State);
    }
    KTAP_EQUAL(MiVerify(), 0);
    KeStackAttachProcess((PVOID)Process[0], &State);
    KTAP_EQUAL(ZwUnmapViewOfSection(ZwCurrentProcess(), (PUCHAR)Base[0] + 5 * PAGE_SIZE), STATUS_SUCCESS);
    KTAP_EQUAL(ZwUnmapViewOfSection(ZwCurrentProcess(), Base[0]), STATUS_NOT_MAPPED_VIEW);
    KTAP_EQUAL(TestRead(Base[0], &Value), STATUS_ACCESS_VIOLATION);
    KeUnstackDetachProcess(&State);
    TestDeleteProcess(Process[0]);
    TestDeleteProcess(Process[1]); /* with its view: the last one, so the section goes too */
    for (ULONG Turn = 0; Turn < 100 && MiCommit.Charged >= Commit; Turn++) {
        TestSleep(TEST_SECOND / 50);
    }
    KTAP_CHECK(MiCommit.Charged < Commit); /* the processes' own tables are gone as well */
}

/* A file's pages come by clusters, are the cache's own frames, and cannot be written. */
static VOID FileBody(PKTAP_CONTEXT Ktap, PEPROCESS Process, PTESTFS_FILE File, PVOID Object)
{
    LARGE_INTEGER Offset = {.QuadPart = 0x10000};
    PVOID Base = NULL, Part = NULL;
    SIZE_T Size = 0, PartSize = 3 * PAGE_SIZE;
    MM_SECTION_PAGES Pages;
    PUCHAR Copy = ExAllocatePoolWithTag(PagedPool, 40 * PAGE_SIZE, 'tseT');

    KTAP_CHECK(Copy != NULL);
    KTAP_EQUAL(MmMapViewOfSection(Object, Process, &Base, 0, 0, NULL, &Size, ViewUnmap, 0, PAGE_READONLY),
               STATUS_SUCCESS);
    KTAP_EQUAL(Size, 40 * PAGE_SIZE);
    KTAP_EQUAL(MmMapViewOfSection(Object, Process, &Part, 0, 0, &Offset, &PartSize, ViewUnmap, 0, PAGE_READONLY),
               STATUS_SUCCESS);
    KTAP_EQUAL(MmCopyFromUser(Copy, Base, 39 * PAGE_SIZE + 200), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsCompare(File, 0, Copy, 39 * PAGE_SIZE + 200), 0);
    KTAP_EXACT(File->Reads, 3); /* 40 pages by clusters of 16 */
    KTAP_EQUAL(MmCopyFromUser(Copy, Part, 3 * PAGE_SIZE), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsCompare(File, 0x10000, Copy, 3 * PAGE_SIZE), 0);
    KTAP_EXACT(File->Reads, 3);
    KTAP_EQUAL(TestWrite(Base, 1), STATUS_ACCESS_VIOLATION);
    KTAP_CHECK(MmQuerySectionPages(&File->Pointers, &Pages));
    KTAP_EQUAL(Pages.Active, 40);
    KTAP_EQUAL(MmCanFileBeTruncated(&File->Pointers, &(LARGE_INTEGER){.QuadPart = PAGE_SIZE}), FALSE);
    KTAP_EQUAL(MiVerify(), 0);
    KTAP_EQUAL(MmUnmapViewOfSection(Process, Base), STATUS_SUCCESS);
    KTAP_CHECK(MmQuerySectionPages(&File->Pointers, &Pages));
    KTAP_EQUAL(Pages.Active, 3);
    KTAP_EQUAL(Pages.Standby, 37);
    KTAP_EQUAL(MmUnmapViewOfSection(Process, Part), STATUS_SUCCESS);
    ExFreePoolWithTag(Copy, 'tseT');
}

static VOID ViewFile(PKTAP_CONTEXT Ktap)
{
    PEPROCESS Process = TestCreateProcess();
    TESTFS_FILE File;
    KAPC_STATE State;
    PVOID Object;

    KTAP_CHECK(Process != NULL);
    KTAP_EQUAL(TestFsOpen(&File, 39 * PAGE_SIZE + 200, 31), STATUS_SUCCESS);
    KTAP_EQUAL(
        MmCreateSection(&Object, SECTION_ALL_ACCESS, NULL, NULL, PAGE_READWRITE, SEC_COMMIT, NULL, File.FileObject),
        STATUS_INVALID_PAGE_PROTECTION);
    KTAP_EQUAL(
        MmCreateSection(&Object, SECTION_ALL_ACCESS, NULL, NULL, PAGE_READONLY, SEC_COMMIT, NULL, File.FileObject),
        STATUS_SUCCESS);
    KeStackAttachProcess((PVOID)Process, &State);
    FileBody(Ktap, Process, &File, Object);
    KeUnstackDetachProcess(&State);
    ObDereferenceObject(Object);
    TestDeleteProcess(Process);
    KTAP_CHECK(TestFsClose(&File));
}

/* The first store to a page copies it: the file, and everybody else, keep what was there. */
static VOID CopyBody(PKTAP_CONTEXT Ktap, PEPROCESS Process, PTESTFS_FILE File, PVOID Object)
{
    PMI_ADDRESS_SPACE Space = MiSpaceOf(Process);
    ULONG64 Copies = MmFaultCounters.CopyOnWrite, Commit = Space->Commit, Value, Original;
    PVOID Own = NULL, Other = NULL, First;
    SIZE_T Size = 0, OtherSize = 0, One = PAGE_SIZE;
    ULONG Old;

    KTAP_EQUAL(MmMapViewOfSection(Object, Process, &Own, 0, 0, NULL, &Size, ViewUnmap, 0, PAGE_WRITECOPY),
               STATUS_SUCCESS);
    KTAP_EQUAL(Space->Commit - Commit, 8);
    KTAP_EQUAL(MmMapViewOfSection(Object, Process, &Other, 0, 0, NULL, &OtherSize, ViewUnmap, 0, PAGE_READONLY),
               STATUS_SUCCESS);
    KTAP_EQUAL(TestRead((PUCHAR)Own + 3 * PAGE_SIZE, &Original), STATUS_SUCCESS);
    KTAP_EQUAL(TestWrite((PUCHAR)Own + 3 * PAGE_SIZE, ~Original), STATUS_SUCCESS);
    KTAP_EQUAL(TestWrite((PUCHAR)Own + 5 * PAGE_SIZE, 55), STATUS_SUCCESS); /* never read before */
    KTAP_EQUAL(MmFaultCounters.CopyOnWrite - Copies, 2);
    KTAP_EQUAL(TestRead((PUCHAR)Own + 3 * PAGE_SIZE, &Value), STATUS_SUCCESS);
    KTAP_EQUAL(Value, ~Original);
    KTAP_EQUAL(TestRead((PUCHAR)Other + 3 * PAGE_SIZE, &Value), STATUS_SUCCESS);
    KTAP_EQUAL(Value, Original);
    KTAP_EQUAL(TestRead((PUCHAR)Own + 3 * PAGE_SIZE + 8, &Value), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsCompare(File, 3 * PAGE_SIZE + 8, &Value, 8), 0); /* the rest of the page was copied */
    KTAP_EQUAL(MiVerify(), 0);

    First = Own; /* protections of a shared page, and of one that was copied */
    KTAP_EQUAL(ZwProtectVirtualMemory(ZwCurrentProcess(), &First, &One, PAGE_NOACCESS, &Old), STATUS_SUCCESS);
    KTAP_EQUAL(Old, PAGE_WRITECOPY);
    KTAP_EQUAL(TestRead(First, &Value), STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(ZwProtectVirtualMemory(ZwCurrentProcess(), &First, &One, PAGE_WRITECOPY, &Old), STATUS_SUCCESS);
    KTAP_EQUAL(TestWrite(First, 5), STATUS_SUCCESS);
    First = (PUCHAR)Own + 3 * PAGE_SIZE;
    KTAP_EQUAL(ZwProtectVirtualMemory(ZwCurrentProcess(), &First, &One, PAGE_READONLY, &Old), STATUS_SUCCESS);
    KTAP_EQUAL(Old, PAGE_READWRITE);
    KTAP_EQUAL(TestWrite(First, 5), STATUS_ACCESS_VIOLATION);
    First = Other;
    KTAP_EQUAL(ZwProtectVirtualMemory(ZwCurrentProcess(), &First, &One, PAGE_READWRITE, &Old),
               STATUS_INVALID_PAGE_PROTECTION);
    KTAP_EQUAL(MiVerify(), 0);
    KTAP_EQUAL(MmUnmapViewOfSection(Process, Own), STATUS_SUCCESS);
    KTAP_EQUAL(MmUnmapViewOfSection(Process, Other), STATUS_SUCCESS);
    KTAP_EQUAL(Space->Commit, Commit);
}

static VOID ViewCopy(PKTAP_CONTEXT Ktap)
{
    PEPROCESS Process = TestCreateProcess();
    TESTFS_FILE File;
    KAPC_STATE State;
    PVOID Object;

    KTAP_CHECK(Process != NULL);
    KTAP_EQUAL(TestFsOpen(&File, 8 * PAGE_SIZE, 32), STATUS_SUCCESS);
    KTAP_EQUAL(
        MmCreateSection(&Object, SECTION_ALL_ACCESS, NULL, NULL, PAGE_WRITECOPY, SEC_COMMIT, NULL, File.FileObject),
        STATUS_SUCCESS);
    KeStackAttachProcess((PVOID)Process, &State);
    CopyBody(Ktap, Process, &File, Object);
    KeUnstackDetachProcess(&State);
    ObDereferenceObject(Object);
    TestDeleteProcess(Process);
    KTAP_CHECK(TestFsClose(&File));
}

/* An in-page error reaches the process with the device's status, and the page comes once the disk has recovered. */
static VOID ErrorBody(PKTAP_CONTEXT Ktap, PEPROCESS Process, PTESTFS_FILE File, PVOID Object)
{
    PVOID Base = NULL;
    SIZE_T Size = 0;
    ULONG64 Value;

    KTAP_EQUAL(MmMapViewOfSection(Object, Process, &Base, 0, 0, NULL, &Size, ViewUnmap, 0, PAGE_READONLY),
               STATUS_SUCCESS);
    File->FailOffset = 2 * PAGE_SIZE;
    File->FailStatus = STATUS_CRC_ERROR;
    File->FailCount = MAXLONG;
    KTAP_EQUAL(TestRead((PUCHAR)Base + PAGE_SIZE, &Value), STATUS_SUCCESS);
    KTAP_EQUAL(TestRead((PUCHAR)Base + 2 * PAGE_SIZE, &Value), STATUS_IN_PAGE_ERROR);
    File->FailCount = 0;
    KTAP_EQUAL(TestRead((PUCHAR)Base + 2 * PAGE_SIZE, &Value), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsCompare(File, 2 * PAGE_SIZE, &Value, 8), 0);
}

static VOID ViewError(PKTAP_CONTEXT Ktap)
{
    PEPROCESS Process = TestCreateProcess();
    TESTFS_FILE File;
    KAPC_STATE State;
    PVOID Object;

    KTAP_CHECK(Process != NULL);
    KTAP_EQUAL(TestFsOpen(&File, 4 * PAGE_SIZE, 33), STATUS_SUCCESS);
    KTAP_EQUAL(
        MmCreateSection(&Object, SECTION_ALL_ACCESS, NULL, NULL, PAGE_READONLY, SEC_COMMIT, NULL, File.FileObject),
        STATUS_SUCCESS);
    KeStackAttachProcess((PVOID)Process, &State);
    ErrorBody(Ktap, Process, &File, Object);
    KeUnstackDetachProcess(&State);
    ObDereferenceObject(Object);
    TestDeleteProcess(Process); /* with its view */
    KTAP_CHECK(TestFsClose(&File));
}

/* Names, rights and wrong arguments. */
static VOID ArgumentsBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\BaseNamedObjectsTestSection");
    static const struct {
        ULONG64 Base, ZeroBits, Offset, Size;
        ULONG Inherit, Type, Protect;
        NTSTATUS Status;
    } Bad[] = {
        {0, 0, 0, 0, 0, 0, PAGE_READONLY, STATUS_INVALID_PARAMETER_8},
        {0, 0, 0, 0, 3, 0, PAGE_READONLY, STATUS_INVALID_PARAMETER_8},
        {0, 0, 0, 0, ViewUnmap, MEM_COMMIT, PAGE_READONLY, STATUS_INVALID_PARAMETER_9},
        {0, 22, 0, 0, ViewUnmap, 0, PAGE_READONLY, STATUS_INVALID_PARAMETER_4},
        {0, 0, 0, 0, ViewUnmap, 0, 0, STATUS_INVALID_PAGE_PROTECTION},
        {0, 0, 0, 0, ViewUnmap, 0, PAGE_EXECUTE_READ, STATUS_SECTION_PROTECTION},
        {0, 0, 0x8000, 0, ViewUnmap, 0, PAGE_READONLY, STATUS_MAPPED_ALIGNMENT},
        {0x7008000, 0, 0, 0, ViewUnmap, 0, PAGE_READONLY, STATUS_MAPPED_ALIGNMENT},
        {0xFFFF800000000000, 0, 0, 0, ViewUnmap, 0, PAGE_READONLY, STATUS_INVALID_PARAMETER_3},
        {0, 0, 0x20000, 0, ViewUnmap, 0, PAGE_READONLY, STATUS_INVALID_VIEW_SIZE},
        {0, 0, 0x10000, 0x10001, ViewUnmap, 0, PAGE_READONLY, STATUS_INVALID_VIEW_SIZE},
        {0x7000000, 0, 0, 0, ViewUnmap, 0, PAGE_READONLY, STATUS_CONFLICTING_ADDRESSES},
    };
    OBJECT_ATTRIBUTES Attributes;
    LARGE_INTEGER Bytes = {.QuadPart = 0x20000};
    HANDLE Section, Again;
    PVOID Taken = (PVOID)0x7000000;
    SIZE_T One = 1;

    KTAP_EQUAL(TestAllocate(&Taken, &One, MEM_RESERVE, PAGE_READWRITE), STATUS_SUCCESS);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, NULL, NULL);
    KTAP_EQUAL(ZwCreateSection(&Section, SECTION_ALL_ACCESS, &Attributes, &Bytes, PAGE_READWRITE, SEC_COMMIT, NULL),
               STATUS_SUCCESS);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Bad); Index++) {
        PVOID Base = (PVOID)Bad[Index].Base;
        LARGE_INTEGER Offset = {.QuadPart = (LONGLONG)Bad[Index].Offset};
        SIZE_T Size = Bad[Index].Size;
        NTSTATUS Status = ZwMapViewOfSection(Section, ZwCurrentProcess(), &Base, Bad[Index].ZeroBits, 0, &Offset, &Size,
                                             Bad[Index].Inherit, Bad[Index].Type, Bad[Index].Protect);

        if (Status != Bad[Index].Status) {
            KtapFail(Ktap, __FILE__, __LINE__, "case %u: status 0x%08X, expected 0x%08X", Index, Status,
                     Bad[Index].Status);
        }
    }
    KTAP_EQUAL(ZwOpenSection(&Again, SECTION_MAP_READ, &Attributes), STATUS_SUCCESS);
    ZwClose(Again);
    ZwClose(Section);
    KTAP_EQUAL(ZwOpenSection(&Again, SECTION_MAP_READ, &Attributes), STATUS_OBJECT_NAME_NOT_FOUND);
    KTAP_EQUAL(NtCreateSection(&Section, SECTION_ALL_ACCESS, NULL, NULL, PAGE_READWRITE, SEC_COMMIT, NULL),
               STATUS_INVALID_PARAMETER_4);
    Bytes.QuadPart = 1LL << 43;
    KTAP_EQUAL(NtCreateSection(&Section, SECTION_ALL_ACCESS, NULL, &Bytes, PAGE_READWRITE, SEC_COMMIT, NULL),
               STATUS_COMMITMENT_LIMIT);
}

static VOID ViewArguments(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, ArgumentsBody);
}

/* ---- Races ---- */

static PVOID RaceSection;
static TESTFS_FILE RaceFile;
static volatile LONG64 RaceErrors;

/* Every thread maps the file in a process of its own, reads, copies on write, unmaps: one set of frames under all of them. */
static VOID StormBody(ULONG Number)
{
    ULONG64 Turns = max(KtapIterations(1200) / TestRacers(), 1), Seed = Number + 9, Value;
    PEPROCESS Process = TestCreateProcess();
    KAPC_STATE State;

    if (Process == NULL) {
        InterlockedIncrement64(&RaceErrors);
        return;
    }
    KeStackAttachProcess((PVOID)Process, &State);
    for (ULONG64 Turn = 0; Turn < Turns; Turn++) {
        PVOID Base = NULL;
        SIZE_T Size = 0;

        if (!NT_SUCCESS(
                MmMapViewOfSection(RaceSection, Process, &Base, 0, 0, NULL, &Size, ViewUnmap, 0, PAGE_WRITECOPY))) {
            InterlockedIncrement64(&RaceErrors);
            break;
        }
        for (ULONG Touch = 0; Touch < 8; Touch++) {
            ULONG64 Offset = (ULONG64)(TestRandom(&Seed) % 32) * PAGE_SIZE + 64;

            if (!NT_SUCCESS(TestRead((PUCHAR)Base + Offset, &Value)) ||
                TestFsCompare(&RaceFile, Offset, &Value, 8) != 0 ||
                !NT_SUCCESS(TestWrite((PUCHAR)Base + Offset + 8, Number)) ||
                !NT_SUCCESS(TestRead((PUCHAR)Base + Offset + 8, &Value)) || Value != Number) {
                InterlockedIncrement64(&RaceErrors);
            }
        }
        if (Turn % 16 == 5) {
            MmPurgeDataSection(&RaceFile.Pointers, 0, 0); /* what nobody maps now must be read again */
        }
        if (!NT_SUCCESS(MmUnmapViewOfSection(Process, Base))) {
            InterlockedIncrement64(&RaceErrors);
        }
    }
    KeUnstackDetachProcess(&State);
    TestDeleteProcess(Process);
}

static VOID ViewStorm(PKTAP_CONTEXT Ktap)
{
    RaceErrors = 0;
    KTAP_EQUAL(TestFsOpen(&RaceFile, 32 * PAGE_SIZE, 34), STATUS_SUCCESS);
    KTAP_EQUAL(MmCreateSection(&RaceSection, SECTION_ALL_ACCESS, NULL, NULL, PAGE_WRITECOPY, SEC_COMMIT, NULL,
                               RaceFile.FileObject),
               STATUS_SUCCESS);
    KTAP_CHECK(TestParallel(TestRacers(), StormBody));
    KTAP_EQUAL(RaceErrors, 0);
    KTAP_EQUAL(RaceFile.Breaches, 0);
    ObDereferenceObject(RaceSection);
    KTAP_CHECK(TestFsClose(&RaceFile));
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"shared", ViewShared}, {"file", ViewFile},           {"copy", ViewCopy},
    {"error", ViewError},   {"arguments", ViewArguments}, {"storm", ViewStorm},
};
KTAP_SUITE(MmViewSuite, "mm.view", Cases);
