/*
 * uses.c - what a process is said to have used: page faults, peaks, requests and bytes; of its own, of the list of all processes, of a job.
 *
 * Nothing else runs in this process, so counts of requests and bytes are exact; faults may come where the kernel reads a pointer, so those are
 * bounded from below.
 */
#include "uattr.h"

#include <ntos/sysinfo.h>

#define BIG   (1ULL << 30)
#define PAGES 40u

static NTSTATUS Memory(PVM_COUNTERS Counters)
{
    return NtQueryInformationProcess(ZwCurrentProcess(), ProcessVmCounters, Counters, sizeof(*Counters), NULL);
}

static NTSTATUS Requests(PIO_COUNTERS Counters)
{
    return NtQueryInformationProcess(ZwCurrentProcess(), ProcessIoCounters, Counters, sizeof(*Counters), NULL);
}

/* Peaks stay when what made them is gone; each page that is touched is a fault. */
ULONG MemoryUse(VOID)
{
    VM_COUNTERS Before, During, After;
    PVOID Huge = NULL, Part = NULL;
    SIZE_T Size = BIG, Zero = 0;

    CHECK(Memory(&Before) == STATUS_SUCCESS);
    CHECK(Before.PeakVirtualSize >= Before.VirtualSize && Before.PeakPagefileUsage >= Before.PagefileUsage);
    CHECK(NtAllocateVirtualMemory(ZwCurrentProcess(), &Huge, 0, &Size, MEM_RESERVE, PAGE_READWRITE) == STATUS_SUCCESS);
    Part = Huge;
    Size = PAGES * PAGE_SIZE;
    CHECK(NtAllocateVirtualMemory(ZwCurrentProcess(), &Part, 0, &Size, MEM_COMMIT, PAGE_READWRITE) == STATUS_SUCCESS);
    for (ULONG Page = 0; Page < PAGES; Page++) {
        ((volatile CHAR *)Part)[Page * PAGE_SIZE] = 1;
    }
    CHECK(Memory(&During) == STATUS_SUCCESS);
    CHECK(During.VirtualSize == Before.VirtualSize + BIG && During.PeakVirtualSize >= During.VirtualSize);
    CHECK(During.PageFaultCount >= Before.PageFaultCount + PAGES);
    CHECK(During.PagefileUsage >= Before.PagefileUsage + PAGES * PAGE_SIZE);
    CHECK(During.WorkingSetSize >= Before.WorkingSetSize + PAGES * PAGE_SIZE);
    CHECK(NtFreeVirtualMemory(ZwCurrentProcess(), &Huge, &Zero, MEM_RELEASE) == STATUS_SUCCESS);
    CHECK(Memory(&After) == STATUS_SUCCESS);
    CHECK(After.VirtualSize == Before.VirtualSize && After.PeakVirtualSize == During.PeakVirtualSize);
    CHECK(After.PagefileUsage < During.PagefileUsage && After.PeakPagefileUsage >= During.PagefileUsage);
    CHECK(After.PageFaultCount >= During.PageFaultCount);
    return 0;
}

/* This process in the list of all. */
static NTSTATUS FindSelf(PSYSTEM_PROCESS_INFORMATION Found)
{
    static DECLSPEC_ALIGN(8) UCHAR Buffer[0x10000];
    PSYSTEM_PROCESS_INFORMATION Info = (PSYSTEM_PROCESS_INFORMATION)Buffer;
    NTSTATUS Status = NtQuerySystemInformation(SystemProcessInformation, Buffer, sizeof(Buffer), NULL);

    while (NT_SUCCESS(Status) && Info->UniqueProcessId != ((PTEB)__readgsqword(0x30))->ClientId.UniqueProcess) {
        if (Info->NextEntryOffset == 0) {
            return STATUS_NOT_FOUND;
        }
        Info = (PSYSTEM_PROCESS_INFORMATION)((PUCHAR)Info + Info->NextEntryOffset);
    }
    *Found = *Info;
    return Status;
}

static HANDLE OpenProgram(VOID)
{
    static UNICODE_STRING Path = RTL_CONSTANT_STRING(PATH);
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Iosb;
    HANDLE File;

    InitializeObjectAttributes(&Attributes, &Path, OBJ_CASE_INSENSITIVE, NULL, NULL);
    return NT_SUCCESS(NtOpenFile(&File, FILE_READ_DATA | SYNCHRONIZE, &Attributes, &Iosb, FILE_SHARE_READ,
                                 FILE_SYNCHRONOUS_IO_NONALERT))
               ? File
               : NULL;
}

/* An open, a query that goes to the driver, 5 reads of 100 bytes, one that fails: the same in all three places. */
ULONG RequestUse(VOID)
{
    FILE_STANDARD_INFORMATION Standard;
    SYSTEM_PERFORMANCE_INFORMATION All, AllAfter;
    SYSTEM_PROCESS_INFORMATION Listed;
    IO_COUNTERS Before, After;
    LARGE_INTEGER Far = {.QuadPart = 1LL << 40};
    IO_STATUS_BLOCK Iosb;
    VM_COUNTERS Used;
    UCHAR Bytes[100];
    HANDLE File;

    CHECK(NtQuerySystemInformation(SystemPerformanceInformation, &All, sizeof(All), NULL) == STATUS_SUCCESS);
    CHECK(Requests(&Before) == STATUS_SUCCESS);
    File = OpenProgram();
    CHECK(File != NULL);
    for (ULONG Turn = 0; Turn < 5; Turn++) {
        CHECK(NtReadFile(File, NULL, NULL, NULL, &Iosb, Bytes, sizeof(Bytes), NULL, NULL) == STATUS_SUCCESS);
    }
    CHECK(NtReadFile(File, NULL, NULL, NULL, &Iosb, Bytes, sizeof(Bytes), &Far, NULL) == STATUS_END_OF_FILE);
    CHECK(NtQueryInformationFile(File, &Iosb, &Standard, sizeof(Standard), FileStandardInformation) == STATUS_SUCCESS);
    CHECK(Requests(&After) == STATUS_SUCCESS);
    CHECK(After.ReadOperationCount == Before.ReadOperationCount + 6);
    CHECK(After.ReadTransferCount == Before.ReadTransferCount + 500);
    CHECK(After.OtherOperationCount == Before.OtherOperationCount + 2);
    CHECK(After.WriteOperationCount == Before.WriteOperationCount);
    CHECK(NtQuerySystemInformation(SystemPerformanceInformation, &AllAfter, sizeof(AllAfter), NULL) == STATUS_SUCCESS);
    CHECK(AllAfter.IoOperationCounts[0] >= All.IoOperationCounts[0] + 6);
    CHECK(AllAfter.IoTransferCounts[0].QuadPart >= All.IoTransferCounts[0].QuadPart + 500);
    CHECK(AllAfter.IoOperationCounts[2] >= All.IoOperationCounts[2] + 2);
    CHECK(FindSelf(&Listed) == STATUS_SUCCESS && Memory(&Used) == STATUS_SUCCESS);
    CHECK(RtlEqualMemory(&Listed.Io, &After, sizeof(After)));
    CHECK(Listed.VirtualSize == Used.VirtualSize && Listed.PeakVirtualSize == Used.PeakVirtualSize);
    CHECK(Listed.PageFaultCount != 0 && Listed.PageFaultCount <= Used.PageFaultCount);
    CHECK(Listed.PrivatePageCount != 0 && Listed.PrivatePageCount <= Used.PeakPagefileUsage / PAGE_SIZE);
    CHECK(Listed.WorkingSetSize != 0 && Listed.WorkingSetSize <= Used.PeakWorkingSetSize);
    CHECK(NtClose(File) == STATUS_SUCCESS);
    return 0;
}

/* What a child did stays in its job's account when it has ended. */
ULONG JobUse(VOID)
{
    JOBOBJECT_BASIC_AND_IO_ACCOUNTING_INFORMATION Account;
    IO_COUNTERS Child;
    VM_COUNTERS Used;
    HANDLE Job;
    CHILD Program;
    LIST List;

    CHECK(NtCreateJobObject(&Job, JOB_OBJECT_ALL_ACCESS, NULL) == STATUS_SUCCESS);
    Begin(&List, &Program);
    Add(&List, PS_ATTRIBUTE_JOB_LIST, &Job, sizeof(Job), NULL);
    CHECK(Start(&List, &Program, L"uproc read", 0, NULL) == STATUS_SUCCESS);
    CHECK(NtWaitForSingleObject(Program.Process, FALSE, NULL) == STATUS_SUCCESS);
    CHECK(NtQueryInformationProcess(Program.Process, ProcessIoCounters, &Child, sizeof(Child), NULL) == STATUS_SUCCESS);
    CHECK(NtQueryInformationProcess(Program.Process, ProcessVmCounters, &Used, sizeof(Used), NULL) == STATUS_SUCCESS);
    CHECK(NtQueryInformationJobObject(Job, JobObjectBasicAndIoAccountingInformation, &Account, sizeof(Account), NULL) ==
          STATUS_SUCCESS);
    CHECK(Used.PageFaultCount != 0 && Account.BasicInfo.TotalPageFaultCount == Used.PageFaultCount);
    CHECK(Child.ReadOperationCount == 1 && Child.ReadTransferCount == 1000 && Child.OtherOperationCount != 0 &&
          RtlEqualMemory(&Account.IoInfo, &Child, sizeof(Child)));
    CHECK(Account.BasicInfo.TotalProcesses == 1 && Account.BasicInfo.ActiveProcesses == 0);
    CHECK(NtClose(Job) == STATUS_SUCCESS && NtClose(Program.Process) == STATUS_SUCCESS);
    CHECK(NtClose(Program.Thread) == STATUS_SUCCESS);
    return 0;
}
