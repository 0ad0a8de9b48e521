/*
 * measure.c - the small operations by which kernels are compared, each between two marks that test/bench/counter.c counts from.
 *
 * For every measure it prints `BENCH name operations warm rounds`; as many regions follow in the counter's file, in the same order. What
 * an operation needs before and after itself stands outside the marks. The file that is mapped is the one the command line names; it is
 * read once first, so that every fault on it is a soft one.
 */
#include <oriel/program.h>

#define PAGE       0x1000ULL
#define MEGABYTE   0x100000ULL
#define AREA       (16 * MEGABYTE)
#define WINDOW     0x40000ULL
#define MARK(Sort) __asm__ volatile(".byte 0x0f,0x1f,0x84,0x00; .long %c0" ::"i"(0x4E540000 | (Sort)) : "memory")

typedef struct _MEASURE {
    PCSTR Name;
    ULONG Operations, Warm, Rounds;
    BOOLEAN (*Before)(VOID);
    VOID (*Operate)(ULONG Count);
    BOOLEAN (*After)(VOID);
} MEASURE;

static volatile UCHAR *Area;
static HANDLE FileSection, MemorySection, Ping, Pong;
static volatile ULONG64 Ticks;

/* ---- Helpers ---- */

static NTSTATUS Allocate(PVOID *Address, SIZE_T Size)
{
    return NtAllocateVirtualMemory(ZwCurrentProcess(), Address, 0, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

static NTSTATUS Release(PVOID Address)
{
    SIZE_T Size = 0;

    return NtFreeVirtualMemory(ZwCurrentProcess(), &Address, &Size, MEM_RELEASE);
}

static NTSTATUS Map(HANDLE Section, SIZE_T Size, ULONG Protection, volatile UCHAR **Address)
{
    PVOID Base = NULL;
    NTSTATUS Status =
        NtMapViewOfSection(Section, ZwCurrentProcess(), &Base, 0, 0, NULL, &Size, ViewUnmap, 0, Protection);

    *Address = Base;
    return Status;
}

static VOID Write(volatile UCHAR *From, SIZE_T Size)
{
    for (SIZE_T At = 0; At < Size; At += PAGE) {
        From[At] = 1;
    }
}

static VOID Read(volatile UCHAR *From, SIZE_T Size)
{
    for (SIZE_T At = 0; At < Size; At += PAGE) {
        (VOID) From[At];
    }
}

/* ---- Before and after ---- */

static BOOLEAN HaveArea(VOID)
{
    PVOID Base = NULL;

    if (!NT_SUCCESS(Allocate(&Base, AREA))) {
        return FALSE;
    }
    Area = Base;
    return TRUE;
}

static BOOLEAN HaveWrittenArea(VOID)
{
    if (!HaveArea()) {
        return FALSE;
    }
    Write(Area, AREA);
    return TRUE;
}

static BOOLEAN DropArea(VOID)
{
    return NT_SUCCESS(Release((PVOID)Area));
}

static BOOLEAN HaveFileView(VOID)
{
    return NT_SUCCESS(Map(FileSection, AREA, PAGE_READONLY, &Area));
}

/* Every page of the view is there to read, so that a write copies and does nothing else. */
static BOOLEAN HaveReadCopyView(VOID)
{
    if (!NT_SUCCESS(Map(MemorySection, AREA, PAGE_WRITECOPY, &Area))) {
        return FALSE;
    }
    Read(Area, AREA);
    return TRUE;
}

static BOOLEAN DropView(VOID)
{
    return NT_SUCCESS(NtUnmapViewOfSection(ZwCurrentProcess(), (PVOID)Area));
}

/* ---- Operations ---- */

static VOID Nothing(ULONG Count)
{
}

static VOID NullCall(ULONG Count)
{
    while (Count-- != 0) {
        NtTestAlert();
    }
}

static VOID WriteArea(ULONG Count)
{
    Write(Area, AREA);
}

static VOID ReadArea(ULONG Count)
{
    Read(Area, AREA);
}

static VOID FreeArea(ULONG Count)
{
    Release((PVOID)Area);
}

static VOID MapTouchUnmap(ULONG Count)
{
    while (Count-- != 0) {
        if (NT_SUCCESS(Map(FileSection, WINDOW, PAGE_READONLY, &Area))) {
            Read(Area, WINDOW);
            DropView();
        }
    }
}

static VOID MapUnmap(ULONG Count)
{
    while (Count-- != 0) {
        if (NT_SUCCESS(Map(FileSection, WINDOW, PAGE_READONLY, &Area))) {
            DropView();
        }
    }
}

static VOID ReserveCommitRelease(ULONG Count)
{
    while (Count-- != 0) {
        PVOID Base = NULL;

        if (NT_SUCCESS(Allocate(&Base, 0x10000))) {
            Release(Base);
        }
    }
}

static VOID ProtectPage(ULONG Count)
{
    while (Count-- != 0) {
        PVOID Base = (PVOID)(Area + PAGE);
        SIZE_T Size = PAGE;
        ULONG Old;

        NtProtectVirtualMemory(ZwCurrentProcess(), &Base, &Size, Count & 1 ? PAGE_READONLY : PAGE_READWRITE, &Old);
    }
}

static VOID NTAPI Answer(PVOID Context)
{
    for (;;) {
        NtWaitForSingleObject(Ping, FALSE, NULL);
        NtSetEvent(Pong, NULL);
    }
}

/* One round trip is two switches. */
static VOID Switch(ULONG Count)
{
    for (; Count != 0; Count -= 2) {
        NtSetEvent(Ping, NULL);
        NtWaitForSingleObject(Pong, FALSE, NULL);
    }
}

static VOID NTAPI EndAtOnce(PVOID Context)
{
    RtlExitUserThread(STATUS_SUCCESS);
}

static HANDLE NewThread(PVOID Routine)
{
    HANDLE Thread = NULL;

    NtCreateThreadEx(&Thread, THREAD_ALL_ACCESS, NULL, ZwCurrentProcess(), Routine, NULL, 0, 0, 0, 0, NULL);
    return Thread;
}

static VOID CreateThread(ULONG Count)
{
    while (Count-- != 0) {
        HANDLE Thread = NewThread(EndAtOnce);

        NtWaitForSingleObject(Thread, FALSE, NULL);
        NtClose(Thread);
    }
}

static VOID CreateProcess(ULONG Count)
{
    static const WCHAR Path[] = L"\\SystemRoot\\extra\\tiny.exe";
    PS_ATTRIBUTE_LIST List = {
        sizeof(List),
        {{.Attribute = PS_ATTRIBUTE_IMAGE_NAME, .Size = sizeof(Path) - sizeof(WCHAR), .ValuePtr = (PVOID)Path}}};

    while (Count-- != 0) {
        HANDLE Process = NULL, Thread = NULL;

        NtCreateUserProcess(&Process, &Thread, PROCESS_ALL_ACCESS, THREAD_ALL_ACCESS, NULL, NULL, 0, 0, NULL, NULL,
                            &List);
        NtWaitForSingleObject(Process, FALSE, NULL);
        NtClose(Thread);
        NtClose(Process);
    }
}

/* A second of computing at a billion instructions a second: whatever the kernel runs in it is the tick's. */
static VOID Compute(ULONG Count)
{
    ULONG64 Rounds = 100000000;
    LARGE_INTEGER Before, After;

    NtQuerySystemTime(&Before);
    __asm__ volatile("1: dec %0; jnz 1b" : "+r"(Rounds)::"cc");
    NtQuerySystemTime(&After);
    Ticks = (ULONG64)(After.QuadPart - Before.QuadPart);
}

/* ---- The table ---- */

static const MEASURE Measures[] = {
    {"empty", 1, 0, 4, NULL, Nothing, NULL},
    {"system call", 20000, 1, 3, NULL, NullCall, NULL},
    {"demand-zero fault", AREA / PAGE, 1, 3, HaveArea, WriteArea, DropArea},
    {"free a page", AREA / PAGE, 1, 3, HaveWrittenArea, FreeArea, NULL},
    {"copy-on-write fault", AREA / PAGE, 1, 3, HaveReadCopyView, WriteArea, DropView},
    {"read a resident file page", AREA / PAGE, 1, 3, HaveFileView, ReadArea, DropView},
    {"map, touch 64, unmap 256 KB", 100, 1, 3, NULL, MapTouchUnmap, NULL},
    {"map, unmap 256 KB", 200, 1, 3, NULL, MapUnmap, NULL},
    {"reserve, commit, release 64 KB", 500, 1, 3, NULL, ReserveCommitRelease, NULL},
    {"protect a page", 1000, 1, 3, HaveWrittenArea, ProtectPage, DropArea},
    {"thread switch", 4000, 1, 3, NULL, Switch, NULL},
    {"thread create, exit, wait", 100, 1, 3, NULL, CreateThread, NULL},
    {"process create, exit, wait", 20, 1, 3, NULL, CreateProcess, NULL},
};

static BOOLEAN RunMeasure(const MEASURE *Measure)
{
    DbgPrint("BENCH %s|%lu %lu %lu\n", Measure->Name, Measure->Operations, Measure->Warm, Measure->Rounds);
    for (ULONG Round = 0; Round < Measure->Warm + Measure->Rounds; Round++) {
        if (Measure->Before != NULL && !Measure->Before()) {
            DbgPrint("FAIL %s: could not be set up\n", Measure->Name);
            return FALSE;
        }
        MARK(1);
        Measure->Operate(Measure->Operations);
        MARK(2);
        if (Measure->After != NULL && !Measure->After()) {
            DbgPrint("FAIL %s: could not be put away\n", Measure->Name);
            return FALSE;
        }
    }
    return TRUE;
}

static BOOLEAN RunTick(VOID)
{
    DbgPrint("BENCH timer tick|0 0 1\n");
    MARK(1);
    Compute(1);
    MARK(2);
    DbgPrint("TIME %I64u\n", Ticks);
    return TRUE;
}

static NTSTATUS OpenData(PCWSTR Path)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Block;
    LARGE_INTEGER Size = {.QuadPart = AREA};
    HANDLE File;
    NTSTATUS Status;

    RtlInitUnicodeString(&Name, Path);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    Status = NtOpenFile(&File, GENERIC_READ | SYNCHRONIZE, &Attributes, &Block, FILE_SHARE_READ,
                        FILE_SYNCHRONOUS_IO_NONALERT);
    if (NT_SUCCESS(Status)) {
        Status = NtCreateSection(&FileSection, SECTION_ALL_ACCESS, NULL, NULL, PAGE_READONLY, SEC_COMMIT, File);
        NtClose(File);
    }
    if (NT_SUCCESS(Status)) {
        Status = NtCreateSection(&MemorySection, SECTION_ALL_ACCESS, NULL, &Size, PAGE_READWRITE, SEC_COMMIT, NULL);
    }
    if (NT_SUCCESS(Status)) {
        Status = NtCreateEvent(&Ping, EVENT_ALL_ACCESS, NULL, SynchronizationEvent, FALSE);
    }
    return NT_SUCCESS(Status) ? NtCreateEvent(&Pong, EVENT_ALL_ACCESS, NULL, SynchronizationEvent, FALSE) : Status;
}

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    NTSTATUS Status = OpenData(L"\\SystemRoot\\extra\\data");
    BOOLEAN Done = NT_SUCCESS(Status) && HaveFileView();

    if (!Done) {
        DbgPrint("FAIL \\SystemRoot\\extra\\data: 0x%08lX\n", Status);
        return Status;
    }
    Read(Area, AREA);
    DropView();
    NewThread(Answer);
    for (ULONG Index = 0; Done && Index < RTL_NUMBER_OF(Measures); Index++) {
        Done = RunMeasure(&Measures[Index]);
    }
    RtlExitUserProcess(Done && RunTick() ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL); /* with the thread that answers */
}
