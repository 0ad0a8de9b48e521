/*
 * mdl.c - suite mm.mdl: locking, mapping and advancing memory descriptor lists.
 *
 * What an MDL promises is checked on the frames themselves: a locked frame of a file stays in Transition when its view
 * goes and reaches standby only with the unlock; reference counts return to where they were; aliases show the same bytes.
 */
#include "testfs.h"
#include "../../src/mm/misection.h"

static VOID MdlShape(PKTAP_CONTEXT Ktap)
{
    UCHAR Space[sizeof(MDL) + 4 * sizeof(PFN_NUMBER)];
    PMDL Mdl = (PMDL)Space;

    KTAP_EQUAL(MmSizeOfMdl((PVOID)0, 0), sizeof(MDL));
    KTAP_EQUAL(MmSizeOfMdl((PVOID)0xFFF, 1), sizeof(MDL) + 8);
    KTAP_EQUAL(MmSizeOfMdl((PVOID)0xFFF, 2), sizeof(MDL) + 16);
    KTAP_EQUAL(MmSizeOfMdl((PVOID)0x1000, 3 * PAGE_SIZE), sizeof(MDL) + 24);
    KTAP_CHECK(MmCreateMdl(Mdl, (PVOID)0x12345678, 5000) == Mdl);
    KTAP_EQUAL((ULONG_PTR)Mdl->StartVa, 0x12345000);
    KTAP_EQUAL(Mdl->ByteOffset, 0x678);
    KTAP_EQUAL(Mdl->ByteCount, 5000);
    KTAP_CHECK(MmCreateMdl(NULL, NULL, 1ULL << 40) == NULL);
}

static VOID MdlNonPaged(PKTAP_CONTEXT Ktap)
{
    PUCHAR Pool = ExAllocatePoolWithTag(NonPagedPool, 3 * PAGE_SIZE, 'tseT');
    PMDL Mdl;

    KTAP_CHECK(Pool != NULL);
    Mdl = MmCreateMdl(NULL, Pool + 100, 2 * PAGE_SIZE);
    KTAP_CHECK(Mdl != NULL);
    MmBuildMdlForNonPagedPool(Mdl);
    KTAP_CHECK(MmGetSystemAddressForMdlSafe(Mdl, NormalPagePriority) == Pool + 100);
    for (ULONG Page = 0; Page < ADDRESS_AND_SIZE_TO_SPAN_PAGES(Pool + 100, 2 * PAGE_SIZE); Page++) {
        PUCHAR Address = (PUCHAR)Mdl->StartVa + Page * PAGE_SIZE;

        KTAP_EQUAL(MmGetMdlPfnArray(Mdl)[Page], MmGetPhysicalAddress(Address).QuadPart >> PAGE_SHIFT);
    }
    MmUnmapLockedPages(Mdl->MappedSystemVa, Mdl); /* nothing to undo, and nothing undone */
    Pool[100] = 1;
    ExFreePool(Mdl);
    ExFreePool(Pool);
    KTAP_EQUAL(MiVerify(), 0);
}

/* Lock a view's page, take the view away: the frame waits in Transition, its bytes stay, and standby comes with the unlock. */
static VOID MdlLockedFile(PKTAP_CONTEXT Ktap)
{
    TESTFS_FILE File;
    TESTFS_VIEW View;
    MM_SECTION_PAGES Pages;
    PUCHAR Alias;
    PMDL Mdl;

    KTAP_EQUAL(TestFsOpen(&File, 4 * PAGE_SIZE, 1), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsMap(&File, 0, 0, &View), STATUS_SUCCESS);
    Mdl = MmCreateMdl(NULL, View.Base + 10, 2 * PAGE_SIZE);
    KTAP_CHECK(Mdl != NULL);
    MmProbeAndLockPages(Mdl, KernelMode, IoReadAccess); /* reads the pages in */
    KTAP_EXACT(File.Reads, 1);
    KTAP_EQUAL(MiPfnReferences(MiPfn(MmGetMdlPfnArray(Mdl)[0])), 2);
    TestFsUnmap(&View);
    KTAP_CHECK(MmQuerySectionPages(&File.Pointers, &Pages));
    KTAP_EQUAL(Pages.Transition, 3);
    KTAP_EQUAL(Pages.Standby, 1);
    KTAP_CHECK(!MmPurgeDataSection(&File.Pointers, 0, 0));
    KTAP_EQUAL(MiVerify(), 0);

    Alias = MmGetSystemAddressForMdlSafe(Mdl, NormalPagePriority);
    KTAP_CHECK(Alias != NULL);
    KTAP_EQUAL(BYTE_OFFSET(Alias), 10);
    KTAP_EQUAL(TestFsCompare(&File, 10, Alias, 2 * PAGE_SIZE), 0);

    /* A soft fault takes the locked frame back, and unmapping leaves it in Transition once more. */
    KTAP_EQUAL(TestFsMap(&File, 0, 1, &View), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsCompare(&File, 0, View.Base, PAGE_SIZE), 0);
    KTAP_EQUAL(MiPfnState(MiPfn(MmGetMdlPfnArray(Mdl)[0])), MiActive);
    TestFsUnmap(&View);
    MmUnlockPages(Mdl);
    KTAP_EQUAL(Mdl->MdlFlags & (MDL_PAGES_LOCKED | MDL_MAPPED_TO_SYSTEM_VA), 0);
    KTAP_CHECK(MmQuerySectionPages(&File.Pointers, &Pages));
    KTAP_EQUAL(Pages.Transition, 0);
    KTAP_EQUAL(Pages.Standby, 3); /* the purge took the fourth */
    ExFreePool(Mdl);
    KTAP_CHECK(TestFsClose(&File));
    KTAP_EQUAL(MiVerify(), 0);
}

/* What MmProbeAndLockPages raises, STATUS_SUCCESS: nothing. */
static NTSTATUS MdlTryLock(PMDL Mdl, KPROCESSOR_MODE Mode, LOCK_OPERATION Operation)
{
    NTSTATUS Status = STATUS_SUCCESS;

    __try {
        MmProbeAndLockPages(Mdl, Mode, Operation);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Status = GetExceptionCode();
    }
    return Status;
}

static VOID MdlRefused(PKTAP_CONTEXT Ktap)
{
    TESTFS_FILE File;
    TESTFS_VIEW View;
    PMDL Mdl = MmCreateMdl(NULL, (PVOID)0x10000, PAGE_SIZE);

    KTAP_CHECK(Mdl != NULL);
    KTAP_EQUAL(MdlTryLock(Mdl, UserMode, IoReadAccess), STATUS_ACCESS_VIOLATION);
    MmInitializeMdl(Mdl, (PVOID)MM_SYSTEM_CACHE_BASE, 16);
    KTAP_EQUAL(MdlTryLock(Mdl, UserMode, IoReadAccess), STATUS_ACCESS_VIOLATION);
    MmInitializeMdl(Mdl, TESTFS_SLOT(9), 16);
    KTAP_EQUAL(MdlTryLock(Mdl, KernelMode, IoReadAccess), STATUS_ACCESS_VIOLATION);

    /* A view is read-only, and its device may fail half-way: what was locked before is given back. */
    KTAP_EQUAL(TestFsOpen(&File, 40 * PAGE_SIZE, 2), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsMap(&File, 0, 0, &View), STATUS_SUCCESS);
    MmInitializeMdl(Mdl, View.Base, 16);
    KTAP_EQUAL(MdlTryLock(Mdl, KernelMode, IoWriteAccess), STATUS_ACCESS_VIOLATION);
    ExFreePool(Mdl);
    File.FailOffset = 30 * PAGE_SIZE;
    File.FailStatus = STATUS_DEVICE_DATA_ERROR;
    File.FailCount = MAXLONG;
    Mdl = MmCreateMdl(NULL, View.Base, 40 * PAGE_SIZE);
    KTAP_CHECK(Mdl != NULL);
    KTAP_EQUAL(MdlTryLock(Mdl, KernelMode, IoReadAccess), STATUS_DEVICE_DATA_ERROR);
    KTAP_EQUAL(MiPfnReferences(MiPfn(MmGetPhysicalAddress(View.Base).QuadPart >> PAGE_SHIFT)), 1);
    ExFreePool(Mdl);
    TestFsUnmap(&View);
    KTAP_CHECK(TestFsClose(&File));
    KTAP_EQUAL(MiVerify(), 0);
}

/* A frame takes 0x8000 references and not one more. */
static VOID MdlReferenceLimit(PKTAP_CONTEXT Ktap)
{
    PUCHAR Pool = ExAllocatePoolWithTag(NonPagedPool, PAGE_SIZE, 'tseT');
    PFN_FRAME Frame;
    KIRQL OldIrql;
    ULONG Taken = 0;
    PMDL Mdl;
    NTSTATUS Status;

    KTAP_CHECK(Pool != NULL);
    Mdl = MmCreateMdl(NULL, Pool, 16);
    KTAP_CHECK(Mdl != NULL);
    Frame = MmGetPhysicalAddress(Pool).QuadPart >> PAGE_SHIFT;
    OldIrql = MiLockPfn();
    while (MiIncrementReferenceCount(Frame)) {
        Taken++;
    }
    MiUnlockPfn(OldIrql);
    Status = MdlTryLock(Mdl, KernelMode, IoWriteAccess);
    OldIrql = MiLockPfn();
    for (ULONG Index = 0; Index < Taken; Index++) {
        MiDecrementReferenceCount(Frame);
    }
    MiUnlockPfn(OldIrql);
    KTAP_EQUAL(Taken, MI_MAXIMUM_REFERENCES - 1);
    KTAP_EQUAL(Status, STATUS_WORKING_SET_QUOTA);
    KTAP_EQUAL(MdlTryLock(Mdl, KernelMode, IoWriteAccess), STATUS_SUCCESS);
    MmUnlockPages(Mdl);
    ExFreePool(Mdl);
    ExFreePool(Pool);
    KTAP_EQUAL(MiVerify(), 0);
}

static VOID MdlPages(PKTAP_CONTEXT Ktap)
{
    PHYSICAL_ADDRESS Low = {.QuadPart = 0}, High = {.QuadPart = MAXLONG64}, Skip = {.QuadPart = 0};
    LONG64 Before = MiAvailableFrames;
    PULONG64 Address;
    PMDL Mdl = MmAllocatePagesForMdl(Low, High, Skip, 10 * PAGE_SIZE);

    KTAP_CHECK(Mdl != NULL);
    KTAP_EQUAL(Mdl->ByteCount, 10 * PAGE_SIZE);
    Address = MmMapLockedPagesSpecifyCache(Mdl, KernelMode, MmCached, NULL, FALSE, NormalPagePriority);
    KTAP_CHECK(Address != NULL);
    for (ULONG Index = 0; Index < 10 * PAGE_SIZE / 8; Index++) {
        KTAP_EQUAL(Address[Index], 0);
        Address[Index] = Index;
    }
    KTAP_EQUAL(MiVerify(), 0);
    MmUnmapLockedPages(Address, Mdl);
    KTAP_CHECK(!MmIsAddressValid(Address));

    /* The frames keep their bytes, wherever they are mapped next. */
    Address = MmMapLockedPagesSpecifyCache(Mdl, KernelMode, MmCached, NULL, FALSE, NormalPagePriority);
    KTAP_CHECK(Address != NULL);
    KTAP_EQUAL(Address[10 * PAGE_SIZE / 8 - 1], 10 * PAGE_SIZE / 8 - 1);
    MmFreePagesFromMdl(Mdl);
    ExFreePool(Mdl);
    KTAP_CHECK(MiAvailableFrames > Before - 8);

    /* Frames below 16 MB only. */
    High.QuadPart = 0xFFFFFF;
    Mdl = MmAllocatePagesForMdlEx(Low, High, Skip, 4 * PAGE_SIZE, MmCached, MM_ALLOCATE_FULLY_REQUIRED);
    if (Mdl != NULL) {
        for (ULONG Page = 0; Page < 4; Page++) {
            KTAP_CHECK(MmGetMdlPfnArray(Mdl)[Page] < 0x1000);
        }
        MmFreePagesFromMdl(Mdl);
        ExFreePool(Mdl);
    }
    High.QuadPart = PAGE_SIZE - 1; /* frame 0 is nobody's */
    KTAP_CHECK(MmAllocatePagesForMdl(Low, High, Skip, PAGE_SIZE) == NULL);
    KTAP_EQUAL(MiVerify(), 0);
}

static VOID MdlAdvance(PKTAP_CONTEXT Ktap)
{
    PUCHAR Pool = ExAllocatePoolWithTag(NonPagedPool, 4 * PAGE_SIZE, 'tseT'), Alias;
    PFN_NUMBER First, Third;
    PMDL Mdl;

    KTAP_CHECK(Pool != NULL && BYTE_OFFSET(Pool) == 0);
    for (ULONG Index = 0; Index < 4 * PAGE_SIZE; Index++) {
        Pool[Index] = (UCHAR)(Index >> 8);
    }
    Mdl = MmCreateMdl(NULL, Pool + 16, 4 * PAGE_SIZE - 16);
    KTAP_CHECK(Mdl != NULL);
    KTAP_EQUAL(MmAdvanceMdl(Mdl, 1), STATUS_INVALID_PARAMETER_1);
    MmProbeAndLockPages(Mdl, KernelMode, IoWriteAccess);
    Alias = MmMapLockedPages(Mdl, KernelMode);
    First = MmGetMdlPfnArray(Mdl)[0];
    Third = MmGetMdlPfnArray(Mdl)[2];
    KTAP_EQUAL(MiPfnReferences(MiPfn(First)), 2);
    KTAP_EQUAL(MmAdvanceMdl(Mdl, 4 * PAGE_SIZE), STATUS_INVALID_PARAMETER_2);
    KTAP_EQUAL(MmAdvanceMdl(Mdl, 2 * PAGE_SIZE), STATUS_SUCCESS);
    KTAP_EQUAL(MiPfnReferences(MiPfn(First)), 1);
    KTAP_EQUAL(MmGetMdlPfnArray(Mdl)[0], Third);
    KTAP_CHECK(MmGetMdlVirtualAddress(Mdl) == Pool + 2 * PAGE_SIZE + 16);
    KTAP_EQUAL(Mdl->ByteCount, 2 * PAGE_SIZE - 16);
    KTAP_CHECK(Mdl->MappedSystemVa == Alias + 2 * PAGE_SIZE);
    KTAP_EQUAL(*(PUCHAR)Mdl->MappedSystemVa, 0x20);
    KTAP_CHECK(!MmIsAddressValid(Alias));

    KTAP_EQUAL(MmProtectMdlSystemAddress(Mdl, PAGE_EXECUTE_READWRITE), STATUS_INVALID_PAGE_PROTECTION);
    KTAP_EQUAL(MmProtectMdlSystemAddress(Mdl, PAGE_READONLY), STATUS_SUCCESS);
    KTAP_EQUAL(*(PUCHAR)Mdl->MappedSystemVa, 0x20);
    MmUnlockPages(Mdl);
    KTAP_EQUAL(MmProtectMdlSystemAddress(Mdl, PAGE_READONLY), STATUS_NOT_MAPPED_VIEW);
    KTAP_EQUAL(MiPfnReferences(MiPfn(Third)), 1);
    ExFreePool(Mdl);
    ExFreePool(Pool);
    KTAP_EQUAL(MiVerify(), 0);
}

static const KTAP_CASE_ENTRY MdlCases[] = {
    {"shape", MdlShape},
    {"nonpaged", MdlNonPaged},
    {"locked_file", MdlLockedFile},
    {"refused", MdlRefused},
    {"reference_limit", MdlReferenceLimit},
    {"pages", MdlPages},
    {"advance", MdlAdvance},
};

KTAP_SUITE(MdlSuite, "mm.mdl", MdlCases);
