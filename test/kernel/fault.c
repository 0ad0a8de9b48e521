/*
 * fault.c - suite mm.fault: the branches of the page-fault handler that the section suite does not take.
 *
 * Collided faults are made deterministic by the gate of the pattern file system: the first thread is held inside its paging read until
 * the others wait for the same page. Errors are injected at exact offsets. Faults that must raise are caught by __try.
 */
#include "testfs.h"
#include "../../src/mm/misection.h"
#include <ntos/ps.h>

#define THREADS 4

typedef struct _FAULT_READER {
    PTESTFS_FILE File;
    PUCHAR Address;
    ULONG64 Offset;
    NTSTATUS Status; /* STATUS_SUCCESS: read and right; STATUS_DATA_ERROR: wrong bytes; else what was raised */
    NTSTATUS IoStatus;
    PETHREAD Thread;
} FAULT_READER, *PFAULT_READER;

static LONG FaultNote(PEXCEPTION_POINTERS Pointers, PFAULT_READER Reader)
{
    PEXCEPTION_RECORD Record = Pointers->ExceptionRecord;

    Reader->Status = Record->ExceptionCode;
    Reader->IoStatus = Record->NumberParameters >= 3 ? (NTSTATUS)Record->ExceptionInformation[2] : STATUS_SUCCESS;
    return EXCEPTION_EXECUTE_HANDLER;
}

static VOID FaultRead(PFAULT_READER Reader)
{
    Reader->Status = STATUS_SUCCESS;
    __try {
        if (TestFsCompare(Reader->File, Reader->Offset, Reader->Address, PAGE_SIZE) != 0) {
            Reader->Status = STATUS_DATA_ERROR;
        }
    } __except (FaultNote(GetExceptionInformation(), Reader)) {
    }
}

static VOID NTAPI FaultThread(PVOID Context)
{
    FaultRead(Context);
}

static VOID FaultSleep(ULONG Milliseconds)
{
    LARGE_INTEGER Time;

    Time.QuadPart = -10000LL * Milliseconds;
    KeDelayExecutionThread(KernelMode, FALSE, &Time);
}

/* Starts readers of one page, lets them meet at the gate, opens it, and waits for them. */
static NTSTATUS FaultCollide(PTESTFS_FILE File, PTESTFS_VIEW View, ULONG Page, PFAULT_READER Readers)
{
    KEVENT Gate;
    ULONG64 Collided = MmFaultCounters.Collided;
    NTSTATUS Status = STATUS_SUCCESS;
    ULONG Started;

    KeInitializeEvent(&Gate, NotificationEvent, FALSE);
    File->Gate = &Gate;
    for (Started = 0; Started < THREADS && NT_SUCCESS(Status); Started++) {
        Readers[Started] = (FAULT_READER){.File = File,
                                          .Address = View->Base + (ULONG64)Page * PAGE_SIZE,
                                          .Offset = (ULONG64)Page * PAGE_SIZE,
                                          .Status = STATUS_PENDING};
        Status = PspCreateSystemThread(&Readers[Started].Thread, FaultThread, &Readers[Started], 8);
    }
    for (ULONG Wait = 0;
         Wait < 500 && NT_SUCCESS(Status) && (File->Waiting == 0 || MmFaultCounters.Collided < Collided + THREADS - 1);
         Wait++) {
        FaultSleep(10);
    }
    if (MmFaultCounters.Collided < Collided + THREADS - 1) {
        Status = STATUS_TIMEOUT;
    }
    KeSetEvent(&Gate, IO_NO_INCREMENT, FALSE);
    for (ULONG Index = 0; Index < Started; Index++) {
        if (Readers[Index].Thread != NULL) {
            KeWaitForSingleObject(Readers[Index].Thread, Executive, KernelMode, FALSE, NULL);
            ObDereferenceObject(Readers[Index].Thread);
        }
    }
    File->Gate = NULL;
    return Status;
}

static VOID FaultCollided(PKTAP_CONTEXT Ktap)
{
    TESTFS_FILE File;
    TESTFS_VIEW View;
    FAULT_READER Readers[THREADS];

    KTAP_EQUAL(TestFsOpen(&File, 16 * PAGE_SIZE, 1), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsMap(&File, 0, 0, &View), STATUS_SUCCESS);
    NTSTATUS Status = FaultCollide(&File, &View, 3, Readers);
    KTAP_EQUAL(Status, STATUS_SUCCESS);
    for (ULONG Index = 0; Index < THREADS; Index++) {
        KTAP_EQUAL(Readers[Index].Status, STATUS_SUCCESS);
    }
    KTAP_EXACT(File.Reads, 1);
    TestFsUnmap(&View);
    KTAP_CHECK(TestFsClose(&File));
    KTAP_EQUAL(MiVerify(), 0);
}

/* The read that everybody waits for fails: everybody gets the error or a page that was read by a later attempt, never stale bytes. */
static VOID FaultCollidedError(PKTAP_CONTEXT Ktap)
{
    TESTFS_FILE File;
    TESTFS_VIEW View;
    FAULT_READER Readers[THREADS];
    MM_SECTION_PAGES Pages;

    KTAP_EQUAL(TestFsOpen(&File, PAGE_SIZE, 2), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsMap(&File, 0, 0, &View), STATUS_SUCCESS);
    File.FailStatus = STATUS_DEVICE_DATA_ERROR;
    File.FailCount = 1;
    NTSTATUS Status = FaultCollide(&File, &View, 0, Readers);
    KTAP_EQUAL(Status, STATUS_SUCCESS);
    for (ULONG Index = 0; Index < THREADS; Index++) {
        KTAP_EQUAL(Readers[Index].Status, STATUS_IN_PAGE_ERROR);
        KTAP_EQUAL(Readers[Index].IoStatus, STATUS_DEVICE_DATA_ERROR);
    }
    KTAP_EXACT(File.Reads, 1);
    KTAP_CHECK(MmQuerySectionPages(&File.Pointers, &Pages));
    KTAP_EQUAL(Pages.Active + Pages.Standby + Pages.Transition, 0);
    KTAP_EQUAL(TestFsCompare(&File, 0, View.Base, PAGE_SIZE), 0);
    TestFsUnmap(&View);
    KTAP_CHECK(TestFsClose(&File));
    KTAP_EQUAL(MiVerify(), 0);
}

/* An error at one page of a cluster: the page fails, its neighbours do not, and nothing of the failed transfer is ever seen. */
static VOID FaultReadError(PKTAP_CONTEXT Ktap)
{
    TESTFS_FILE File;
    TESTFS_VIEW View;
    FAULT_READER Reader;
    ULONG64 Errors = MmFaultCounters.ReadErrors;

    KTAP_EQUAL(TestFsOpen(&File, 16 * PAGE_SIZE, 3), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsMap(&File, 0, 0, &View), STATUS_SUCCESS);
    File.FailOffset = 5 * PAGE_SIZE;
    File.FailStatus = STATUS_CRC_ERROR;
    File.FailCount = MAXLONG;
    for (ULONG Page = 0; Page < 16; Page++) {
        Reader = (FAULT_READER){.File = &File, .Address = View.Base + Page * PAGE_SIZE, .Offset = Page * PAGE_SIZE};
        FaultRead(&Reader);
        KTAP_EQUAL(Reader.Status, Page == 5 ? STATUS_IN_PAGE_ERROR : STATUS_SUCCESS);
        KTAP_EQUAL(Reader.IoStatus, Page == 5 ? STATUS_CRC_ERROR : STATUS_SUCCESS);
    }
    KTAP_CHECK(MmFaultCounters.ReadErrors > Errors);
    KTAP_EQUAL(MmMakeViewResident(View.Base, View.Bytes), STATUS_CRC_ERROR);
    KTAP_EQUAL(MiVerify(), 0);

    /* The disk recovers. */
    File.FailCount = 0;
    KTAP_EQUAL(MmMakeViewResident(View.Base, View.Bytes), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsCompare(&File, 0, View.Base, View.Bytes), 0);
    TestFsUnmap(&View);
    KTAP_CHECK(TestFsClose(&File));
    KTAP_EQUAL(MiVerify(), 0);
}

/* A device that delivers less than the file has: an error where zeroes would be made up, and none for the pages it delivered. */
static VOID FaultShortRead(PKTAP_CONTEXT Ktap)
{
    TESTFS_FILE File;
    TESTFS_VIEW View;
    FAULT_READER Reader;

    KTAP_EQUAL(TestFsOpen(&File, 8 * PAGE_SIZE, 14), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsMap(&File, 0, 0, &View), STATUS_SUCCESS);
    File.Size = 5 * PAGE_SIZE + 100; /* the header still says 8 pages */
    for (ULONG Page = 0; Page < 8; Page++) {
        Reader = (FAULT_READER){.File = &File, .Address = View.Base + Page * PAGE_SIZE, .Offset = Page * PAGE_SIZE};
        FaultRead(&Reader);
        KTAP_EQUAL(Reader.Status, Page < 5 ? STATUS_SUCCESS : STATUS_IN_PAGE_ERROR);
        KTAP_EQUAL(Reader.IoStatus, Page < 5 ? STATUS_SUCCESS : STATUS_END_OF_FILE);
    }
    TestFsUnmap(&View);
    KTAP_CHECK(TestFsClose(&File));
}

/* A file system that is short of something for ever is believed in the end; one that recovers is not held against. */
static VOID FaultShortage(PKTAP_CONTEXT Ktap)
{
    TESTFS_FILE File;
    TESTFS_VIEW View;
    FAULT_READER Reader;

    KTAP_EQUAL(TestFsOpen(&File, PAGE_SIZE, 15), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsMap(&File, 0, 0, &View), STATUS_SUCCESS);
    File.FailStatus = STATUS_INSUFFICIENT_RESOURCES;
    File.FailCount = 20;
    Reader = (FAULT_READER){.File = &File, .Address = View.Base};
    FaultRead(&Reader);
    KTAP_EQUAL(Reader.Status, STATUS_SUCCESS);
    TestFsUnmap(&View);
    KTAP_CHECK(MmPurgeDataSection(&File.Pointers, 0, 0));
    KTAP_EQUAL(TestFsMap(&File, 0, 0, &View), STATUS_SUCCESS);
    File.FailCount = MAXLONG;
    FaultRead(&Reader);
    KTAP_EQUAL(Reader.Status, STATUS_IN_PAGE_ERROR);
    KTAP_EQUAL(Reader.IoStatus, STATUS_INSUFFICIENT_RESOURCES);
    TestFsUnmap(&View);
    KTAP_CHECK(TestFsClose(&File));
}

/* The file is shorter than its section: pages wholly past its end are an error, not zeros. */
static VOID FaultEndOfFile(PKTAP_CONTEXT Ktap)
{
    TESTFS_FILE File;
    TESTFS_VIEW View;
    FAULT_READER Reader;

    KTAP_EQUAL(TestFsOpen(&File, 4 * PAGE_SIZE, 4), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsMap(&File, 0, 0, &View), STATUS_SUCCESS);
    MmSetDataSectionFileSize(View.ControlArea, PAGE_SIZE + 10);
    File.Size = PAGE_SIZE + 10;
    KTAP_EQUAL(TestFsCompare(&File, 0, View.Base, 2 * PAGE_SIZE), 0);
    Reader = (FAULT_READER){.File = &File, .Address = View.Base + 2 * PAGE_SIZE, .Offset = 2 * PAGE_SIZE};
    FaultRead(&Reader);
    KTAP_EQUAL(Reader.Status, STATUS_IN_PAGE_ERROR);
    KTAP_EQUAL(Reader.IoStatus, STATUS_END_OF_FILE);
    TestFsUnmap(&View);
    KTAP_CHECK(TestFsClose(&File));
    KTAP_EQUAL(MiVerify(), 0);
}

static NTSTATUS FaultTouch(volatile UCHAR *Address, BOOLEAN Write)
{
    NTSTATUS Status = STATUS_SUCCESS;

    __try {
        if (Write) {
            *Address = 1;
        } else {
            (void)*Address;
        }
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Status = GetExceptionCode();
    }
    return Status;
}

static VOID FaultViolation(PKTAP_CONTEXT Ktap)
{
    TESTFS_FILE File;
    TESTFS_VIEW View;
    volatile UCHAR *Address;

    KTAP_EQUAL(FaultTouch((PUCHAR)8, FALSE), STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(FaultTouch((PUCHAR)8, TRUE), STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(FaultTouch((PUCHAR)MM_PAGED_POOL_BASE + MM_PAGED_POOL_SIZE - PAGE_SIZE, FALSE), STATUS_ACCESS_VIOLATION);

    /* A view: read-only, empty behind the file's end and after its release. */
    KTAP_EQUAL(TestFsOpen(&File, 2 * PAGE_SIZE, 5), STATUS_SUCCESS);
    KTAP_EQUAL(TestFsMap(&File, 0, 3, &View), STATUS_SUCCESS);
    Address = View.Base;
    KTAP_EQUAL(FaultTouch(Address, TRUE), STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(FaultTouch(Address, FALSE), STATUS_SUCCESS);
    KTAP_EQUAL(FaultTouch(Address, TRUE), STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(FaultTouch(Address + 2 * PAGE_SIZE, FALSE), STATUS_ACCESS_VIOLATION);
    TestFsUnmap(&View);
    KTAP_EQUAL(FaultTouch(Address, FALSE), STATUS_ACCESS_VIOLATION);
    KTAP_CHECK(TestFsClose(&File));
    KTAP_EQUAL(MiVerify(), 0);
}

/* Demand zero in a system region, and the way back from transition. */
static VOID FaultDemandZero(PKTAP_CONTEXT Ktap)
{
    PMMPTE Pte = MiReserveSystemPtes(1);
    volatile ULONG64 *Address;
    ULONG64 Zeroed = MmFaultCounters.DemandZero, Soft = MmFaultCounters.Soft;
    MI_TLB_FLUSH Flush;
    PFN_FRAME Frame;
    KIRQL OldIrql;
    MMPTE Old;

    KTAP_CHECK(Pte != NULL);
    Address = MiAddressOf(Pte);
    *Pte = MiMakeDemandZeroPte(MM_READWRITE);
    for (ULONG Index = 0; Index < PAGE_SIZE / sizeof(ULONG64); Index++) {
        KTAP_EQUAL(Address[Index], 0);
    }
    KTAP_EQUAL(MmFaultCounters.DemandZero, Zeroed + 1);
    Address[5] = 0x1234;

    /* Trimmed as the working-set manager will do it: transition, modified; then a soft fault. */
    MiBeginTlbFlush(&Flush, MiTlbSystemAtOnce);
    OldIrql = MiLockPfn();
    Frame = MiPteFrame(*Pte);
    MiDowngradePte(&Flush, Pte, (PVOID)Address, MiMakeTransitionPte(Frame, MM_READWRITE));
    MiFlushTlb(&Flush);
    MiDecrementShareCount(Frame);
    MiUnlockPfn(OldIrql);
    MiCountMapped(MmRegionSystemPtes, -1);
    KTAP_EQUAL(MiPfnState(MiPfn(Frame)), MiModified);
    KTAP_EQUAL(Address[5], 0x1234);
    KTAP_EQUAL(MmFaultCounters.Soft, Soft + 1);
    KTAP_EQUAL(MiPteFrame(*Pte), Frame);

    MiBeginTlbFlush(&Flush, MiTlbSystemAtOnce);
    OldIrql = MiLockPfn();
    Old = MiDowngradePte(&Flush, Pte, (PVOID)Address, (MMPTE){.Long = 0});
    MiFlushTlb(&Flush);
    MiDeletePfn(MiPteFrame(Old));
    MiDecrementShareCount(MiPteFrame(Old));
    MiUnlockPfn(OldIrql);
    MiCountMapped(MmRegionSystemPtes, -1);
    MiReleaseSystemPtes(Pte, 1);
    KTAP_EQUAL(MiVerify(), 0);
}

static const KTAP_CASE_ENTRY FaultCases[] = {
    {"collided", FaultCollided},    {"collided_error", FaultCollidedError},
    {"read_error", FaultReadError}, {"short_read", FaultShortRead},
    {"shortage", FaultShortage},    {"end_of_file", FaultEndOfFile},
    {"violation", FaultViolation},  {"demand_zero", FaultDemandZero},
};

KTAP_SUITE(FaultSuite, "mm.fault", FaultCases);
