/*
 * mm_seen.c - suite mm.seen: what people are told of memory is what is there.
 *
 * Frames by use are compared with the lists, the exposure counters and things that the case itself makes; vmmap with what the
 * services say of the same process.
 */
#include "proctest.h"
#include "../../src/mm/frameuse.h"
#include "../../src/mm/vmmap.h"
#include "../../src/ps/psp.h"
#include <ntos/program.h>

#define TAG        'nesT'
#define HELD_PAGES 37
#define STACK_SIZE 0x6000

static ULONG64 UseOf(const MI_FRAME_SNAPSHOT *Snapshot, MI_FRAME_USE Use)
{
    ULONG64 Sum = 0;

    for (ULONG State = 0; State < MiStateMax; State++) {
        Sum += Snapshot->Counts.Of[Use][State];
    }
    return Sum;
}

static VOID SeenSums(PKTAP_CONTEXT Ktap)
{
    PUCHAR Codes = MmAllocatePoolPages(FALSE, MiRamFrames, TAG, TRUE);
    static MI_FRAME_COUNTS Found;
    MI_FRAME_SNAPSHOT Snapshot;
    ULONG64 Sum = 0, Files = 0, Standby = 0;

    KTAP_CHECK(Codes != NULL);
    KTAP_EQUAL(MiTakeFrameSnapshot(&Snapshot, Codes), STATUS_SUCCESS);
    RtlZeroMemory(&Found, sizeof(Found));
    for (ULONG64 Index = 0; Index < MiRamFrames; Index++) {
        Found.Of[MI_CODE_USE(Codes[Index])][MI_CODE_STATE(Codes[Index])]++;
    }
    MmFreePoolPages(Codes);
    for (ULONG Use = 0; Use < MiUseMax; Use++) {
        Sum += UseOf(&Snapshot, Use);
        Standby += Snapshot.Counts.Of[Use][MiStandby];
        for (ULONG State = 0; State < MiStateMax; State++) {
            if (Found.Of[Use][State] != Snapshot.Counts.Of[Use][State]) {
                KtapFail(Ktap, __FILE__, __LINE__, "codes and counts differ");
            }
        }
    }
    for (ULONG Index = 0; Index < Snapshot.FileCount; Index++) {
        for (ULONG Column = 0; Column < MiFileColumns; Column++) {
            Files += Snapshot.Files[Index].Frames[Column];
        }
    }
    for (ULONG Priority = 0; Priority < MI_STANDBY_LISTS; Priority++) {
        Standby -= Snapshot.Counts.Standby[Priority];
    }
    Files += Snapshot.OtherFiles;
    Files -= UseOf(&Snapshot, MiUseImage) + UseOf(&Snapshot, MiUseMappedFile) + UseOf(&Snapshot, MiUseCache);
    MiReleaseFrameSnapshot(&Snapshot);
    KTAP_EQUAL(Sum, MiRamFrames);
    KTAP_EQUAL(Standby, 0);
    KTAP_EQUAL(Files, 0);
}

/* Pool, a stack and a process's pages appear under their names, each as many as were made. */
static VOID SeenUses(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    SIZE_T Size = HELD_PAGES * PAGE_SIZE;
    MI_FRAME_SNAPSHOT Before, After;
    PVOID Run, Stack, Base = NULL;

    MiTrimStackCache();
    KTAP_EQUAL(MiTakeFrameSnapshot(&Before, NULL), STATUS_SUCCESS);
    MiReleaseFrameSnapshot(&Before);
    Run = ExAllocatePoolWithTag(NonPagedPool, HELD_PAGES * PAGE_SIZE, TAG);
    Stack = MmCreateKernelStack(STACK_SIZE);
    KTAP_EQUAL(TestAllocate(&Base, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE), STATUS_SUCCESS);
    for (ULONG Page = 0; Page < HELD_PAGES; Page++) {
        KTAP_EQUAL(TestWrite((PUCHAR)Base + Page * PAGE_SIZE, Page), STATUS_SUCCESS);
    }
    KTAP_EQUAL(MiTakeFrameSnapshot(&After, NULL), STATUS_SUCCESS);
    MiReleaseFrameSnapshot(&After);
    ExFreePoolWithTag(Run, TAG);
    MmDeleteKernelStack(Stack, STACK_SIZE);
    MiTrimStackCache();
    KTAP_CHECK(UseOf(&After, MiUseNonPagedPool) >= UseOf(&Before, MiUseNonPagedPool) + HELD_PAGES);
    KTAP_CHECK(UseOf(&After, MiUseNonPagedPool) <= UseOf(&Before, MiUseNonPagedPool) + HELD_PAGES + 8);
    KTAP_EQUAL(UseOf(&After, MiUseStack), UseOf(&Before, MiUseStack) + STACK_SIZE / PAGE_SIZE);
    KTAP_EQUAL(UseOf(&After, MiUsePrivate), UseOf(&Before, MiUsePrivate) + HELD_PAGES);
    KTAP_EQUAL(UseOf(&After, MiUsePageTable), UseOf(&Before, MiUsePageTable) + 3);
    KTAP_EQUAL(UseOf(&After, MiUseWorkingSet), UseOf(&Before, MiUseWorkingSet));
}

static VOID SeenUsesCase(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, SeenUses);
}

/* What the kernel half maps by region is, in frames, what the same regions are used for. */
static VOID SeenAgainstExposure(PKTAP_CONTEXT Ktap)
{
    MI_FRAME_SNAPSHOT Snapshot;
    MM_EXPOSURE Exposure;

    KTAP_EQUAL(MiTakeFrameSnapshot(&Snapshot, NULL), STATUS_SUCCESS);
    MiReleaseFrameSnapshot(&Snapshot);
    MmQueryExposure(&Exposure);
    KTAP_EQUAL(UseOf(&Snapshot, MiUsePfnDatabase), Exposure.Frames[MmRegionPfnDatabase]);
    KTAP_EQUAL(UseOf(&Snapshot, MiUseKernelImage) + UseOf(&Snapshot, MiUseDriver), Exposure.Frames[MmRegionImages]);
    KTAP_CHECK(UseOf(&Snapshot, MiUseStack) + UseOf(&Snapshot, MiUseSystemPte) <= Exposure.Frames[MmRegionSystemPtes]);
    KTAP_EQUAL(UseOf(&Snapshot, MiUseAwe), 0);
}

/* ---- vmmap ---- */

/* Every region is what NtQueryVirtualMemory says at its address, and nothing else is there. Attached. */
static VOID CompareRegions(PKTAP_CONTEXT Ktap, const MI_MEMORY_MAP *Map)
{
    MEMORY_BASIC_INFORMATION Basic;
    ULONG64 Address = 0;
    ULONG Found = 0;

    while (Address < MI_HIGHEST_USER) {
        KTAP_EQUAL(ZwQueryVirtualMemory(ZwCurrentProcess(), (PVOID)Address, MemoryBasicInformation, &Basic,
                                        sizeof(Basic), NULL),
                   STATUS_SUCCESS);
        if (Basic.State != MEM_FREE) {
            KTAP_CHECK(Found < Map->Count);
            KTAP_EQUAL(RtlCompareMemory(&Map->Region[Found].Basic, &Basic, sizeof(Basic)), sizeof(Basic));
            Found++;
        }
        Address = (ULONG64)Basic.BaseAddress + Basic.RegionSize;
    }
    KTAP_EQUAL(Found, Map->Count);
}

/* Sums against MemoryWorkingSetInformation and ProcessVmCounters. Attached. */
static VOID CompareSums(PKTAP_CONTEXT Ktap, const MI_MEMORY_MAP *Map)
{
    ULONG64 Bytes = 0, Private = 0, Shared = 0, Charged = Map->TablePages;
    PMEMORY_WORKING_SET_INFORMATION List = ExAllocatePoolWithTag(NonPagedPool, 0x8000, TAG);
    ULONG64 ListedShared = 0;
    VM_COUNTERS Counters;

    KTAP_CHECK(List != NULL);
    for (ULONG Index = 0; Index < Map->Count; Index++) {
        Bytes += Map->Region[Index].Basic.RegionSize;
        Private += Map->Region[Index].Private;
        Shared += Map->Region[Index].Shared;
        Charged += Map->Region[Index].Charged;
    }
    KTAP_EQUAL(ZwQueryVirtualMemory(ZwCurrentProcess(), NULL, MemoryWorkingSetInformation, List, 0x8000, NULL),
               STATUS_SUCCESS);
    for (ULONG_PTR Index = 0; Index < List->NumberOfEntries; Index++) {
        ListedShared += List->WorkingSetInfo[Index].Shared;
    }
    KTAP_EQUAL(Private + Shared, List->NumberOfEntries);
    KTAP_EQUAL(Shared, ListedShared);
    ExFreePoolWithTag(List, TAG);
    MmQueryProcessMemory(PsGetCurrentProcess(), &Counters);
    KTAP_EQUAL(Counters.VirtualSize, Bytes);
    KTAP_EQUAL(Counters.WorkingSetSize, (Private + Shared) << PAGE_SHIFT);
    KTAP_EQUAL(Counters.PagefileUsage, Charged << PAGE_SHIFT);
    KTAP_EQUAL(Map->Charged, Charged);
}

/* A process with all kinds: reserved, committed in parts with several protections, a view. */
static VOID SeenMap(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    LARGE_INTEGER Bytes = {.QuadPart = 9 * PAGE_SIZE};
    SIZE_T Whole = 0x100000, Some = 3 * PAGE_SIZE, Guard = PAGE_SIZE, ViewBytes = 0;
    PVOID Base = NULL, Part, View = NULL;
    MI_MEMORY_MAP Map;
    PVOID Section;

    KTAP_EQUAL(TestAllocate(&Base, &Whole, MEM_RESERVE, PAGE_READWRITE), STATUS_SUCCESS);
    Part = (PUCHAR)Base + 0x10000;
    KTAP_EQUAL(TestAllocate(&Part, &Some, MEM_COMMIT, PAGE_READWRITE), STATUS_SUCCESS);
    KTAP_EQUAL(TestWrite(Part, 1), STATUS_SUCCESS);
    KTAP_EQUAL(TestWrite((PUCHAR)Part + PAGE_SIZE, 2), STATUS_SUCCESS);
    Part = (PUCHAR)Base + 0x20000;
    KTAP_EQUAL(TestAllocate(&Part, &Guard, MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD), STATUS_SUCCESS);
    KTAP_EQUAL(MmCreateSection(&Section, SECTION_ALL_ACCESS, NULL, &Bytes, PAGE_READWRITE, SEC_COMMIT, NULL, NULL),
               STATUS_SUCCESS);
    KTAP_EQUAL(MmMapViewOfSection(Section, Process, &View, 0, 0, NULL, &ViewBytes, ViewShare, 0, PAGE_READWRITE),
               STATUS_SUCCESS);
    ObDereferenceObject(Section);
    KTAP_EQUAL(TestWrite((PUCHAR)View + PAGE_SIZE, 3), STATUS_SUCCESS);
    KTAP_EQUAL(KTAP_WHOLE(MiMapProcess(Process, TRUE, &Map)), STATUS_SUCCESS); /* tried again, it would age twice */
    KTAP_EQUAL(Map.Ages[0], 3);                                                /* touched since they came */
    MiReleaseMap(&Map);
    KTAP_EQUAL(TestWrite(View, 4), STATUS_SUCCESS); /* comes after the pass */
    KTAP_EQUAL(TestWrite((PUCHAR)View + PAGE_SIZE, 4), STATUS_SUCCESS);
    KTAP_EQUAL(KTAP_WHOLE(MiMapProcess(Process, TRUE, &Map)), STATUS_SUCCESS);
    KTAP_CHECK(Map.Ages[0] == 2 && Map.Ages[1] == 2 && Map.Ages[2] == 0);
    MiReleaseMap(&Map);
    KTAP_EQUAL(MiMapProcess(Process, FALSE, &Map), STATUS_SUCCESS);
    KTAP_CHECK(Map.Ages[0] == 2 && Map.Ages[1] == 2);
    CompareRegions(Ktap, &Map);
    CompareSums(Ktap, &Map);
    KTAP_EQUAL(Map.Count, 6); /* reserve, commit, reserve, guard, reserve, view */
    KTAP_EQUAL(Map.Region[1].Private, 2);
    KTAP_EQUAL(Map.Region[5].Shared, 2);
    KTAP_CHECK((Map.Region[3].Basic.Protect & PAGE_GUARD) != 0);
    MiReleaseMap(&Map);
}

static VOID SeenMapCase(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, SeenMap);
}

static ULONG PartsOf(const MI_MEMORY_MAP *Map, MI_REGION_PART Part)
{
    ULONG Count = 0;

    for (ULONG Index = 0; Index < Map->Count; Index++) {
        Count += Map->Region[Index].Part == Part &&
                 Map->Region[Index].Basic.AllocationBase == Map->Region[Index].Basic.BaseAddress;
    }
    return Count;
}

static ULONG ImagesOf(const MI_MEMORY_MAP *Map, PCUNICODE_STRING Name)
{
    ULONG Count = 0;

    for (ULONG Index = 0; Index < Map->Count; Index++) {
        const MI_MAP_REGION *Region = &Map->Region[Index];

        Count += Region->Basic.Type == MEM_IMAGE && Region->FileObject != NULL &&
                 RtlEqualUnicodeString(&Region->FileObject->FileName, Name, TRUE);
    }
    return Count;
}

/* A program that is held before its first instruction: its images by name, stack, TEB, PEB and parameters. */
static VOID SeenProgram(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Image = RTL_CONSTANT_STRING(L"\\System\\hello.exe"),
                   Dll = RTL_CONSTANT_STRING(L"\\System\\ntdll.dll");
    PSP_PROGRAM Program = {.ImagePath = RTL_CONSTANT_STRING(L"\\SystemRoot\\System\\hello.exe"),
                           .CommandLine = RTL_CONSTANT_STRING(L"hello")};
    KAPC_STATE State;
    MI_MEMORY_MAP Map;
    PEPROCESS Process;
    PETHREAD Thread;

    KTAP_EQUAL(PspCreateProgram(&Program, &Process, &Thread), STATUS_SUCCESS);
    KeSuspendThread(&Thread->Tcb, NULL);
    KeReadyThread(&Thread->Tcb);
    KTAP_EQUAL(MiMapProcess(Process, FALSE, &Map), STATUS_SUCCESS);
    KeStackAttachProcess((PVOID)Process, &State);
    __try {
        CompareRegions(Ktap, &Map);
        CompareSums(Ktap, &Map);
        KTAP_CHECK(ImagesOf(&Map, &Image) >= 3 && ImagesOf(&Map, &Dll) >= 3);
        KTAP_EQUAL(PartsOf(&Map, MiPartStack), 1);
        KTAP_EQUAL(PartsOf(&Map, MiPartTeb), 1);
        KTAP_EQUAL(PartsOf(&Map, MiPartPeb), 1);
        KTAP_EQUAL(PartsOf(&Map, MiPartParameters), 1);
    } __finally {
        KeUnstackDetachProcess(&State);
        MiReleaseMap(&Map);
        PspTerminateProcess(Process, STATUS_SUCCESS);
        KeResumeThread(&Thread->Tcb);
        KeWaitForSingleObject(Process, Executive, KernelMode, FALSE, NULL);
        ObDereferenceObject(Thread);
        ObDereferenceObject(Process);
    }
}

static const KTAP_CASE_ENTRY SeenCases[] = {
    {"sums", SeenSums},   {"uses", SeenUsesCase},   {"regions", SeenAgainstExposure},
    {"map", SeenMapCase}, {"program", SeenProgram},
};
KTAP_SUITE(MmSeenSuite, "mm.seen", SeenCases);
