/*
 * uclone.c - the suite of copies of processes: RtlCloneUserProcess and NtCreateProcessEx.
 *
 * A copy comes out of the call with STATUS_PROCESS_CLONED, does its part and ends with the line that failed as its exit status, so that the original sees
 * what went wrong in it. `uclone storm COUNT` makes and ends that many, a few at a time.
 */
#include "../ktap.h"

#define BYTES 10000
#define DONE  STATUS_WAIT_1 /* how a copy ends that found nothing wrong */

static UCHAR Pattern[BYTES];

static VOID Fill(PUCHAR To, UCHAR Seed)
{
    for (ULONG Index = 0; Index < BYTES; Index++) {
        To[Index] = (UCHAR)(Index * 7 + Seed);
    }
}

static BOOLEAN Is(const UCHAR *From, UCHAR Seed)
{
    ULONG Index = 0;

    while (Index < BYTES && From[Index] == (UCHAR)(Index * 7 + Seed)) {
        Index++;
    }
    return Index == BYTES;
}

static DECLSPEC_NORETURN VOID End(ULONG Line)
{
    NtTerminateProcess(ZwCurrentProcess(), Line == 0 ? DONE : (NTSTATUS)(0xE0000000 + Line));
    __builtin_trap();
}

static NTSTATUS Clone(ULONG Flags, PRTL_USER_PROCESS_INFORMATION Child)
{
    return RtlCloneUserProcess(Flags, NULL, NULL, NULL, Child);
}

/* Waits for a copy to end, and closes it. */
static ULONG Finish(PRTL_USER_PROCESS_INFORMATION Child)
{
    PROCESS_BASIC_INFORMATION Info;

    CHECK(NtWaitForSingleObject(Child->ProcessHandle, FALSE, NULL) == STATUS_SUCCESS);
    CHECK(NtQueryInformationProcess(Child->ProcessHandle, ProcessBasicInformation, &Info, sizeof(Info), NULL) ==
          STATUS_SUCCESS);
    CHECK(NtClose(Child->ThreadHandle) == STATUS_SUCCESS && NtClose(Child->ProcessHandle) == STATUS_SUCCESS);
    if (Info.ExitStatus != DONE) {
        DbgPrint("# a copy ended with %08lX\n", Info.ExitStatus);
        return __LINE__;
    }
    return 0;
}

/* ---- Memory ---- */

static ULONG PatternInCopy(PUCHAR Heap, volatile UCHAR *Stack)
{
    PTEB Teb = (PTEB)__readgsqword(0x30);

    CHECK(Is(Pattern, 1) && Is(Heap, 2) && *Stack == 3);
    Fill(Pattern, 11);
    Fill(Heap, 12);
    *Stack = 13;
    CHECK(Is(Pattern, 11) && Is(Heap, 12));
    CHECK(Teb->ProcessEnvironmentBlock->InheritedAddressSpace == TRUE);
    /* The heap goes on, and so do new threads. */
    CHECK(RtlFreeHeap(Teb->ProcessEnvironmentBlock->ProcessHeap, 0, Heap));
    CHECK(RtlValidateHeap(Teb->ProcessEnvironmentBlock->ProcessHeap, 0, NULL));
    return 0;
}

/* 10,000 bytes on each side differ after writes on both; what one frees the other has. */
static ULONG Memory(VOID)
{
    PVOID ProcessHeap = RtlGetCurrentPeb()->ProcessHeap;
    PUCHAR Heap = RtlAllocateHeap(ProcessHeap, 0, BYTES);
    RTL_USER_PROCESS_INFORMATION Child;
    volatile UCHAR Stack = 3;
    NTSTATUS Status;

    CHECK(Heap != NULL);
    Fill(Pattern, 1);
    Fill(Heap, 2);
    Status = Clone(RTL_CLONE_PROCESS_FLAGS_CREATE_SUSPENDED, &Child);
    if (Status == STATUS_PROCESS_CLONED) {
        End(PatternInCopy(Heap, &Stack));
    }
    CHECK(Status == STATUS_SUCCESS);
    CHECK(Child.ClientId.UniqueProcess != ((PTEB)__readgsqword(0x30))->ClientId.UniqueProcess);
    Fill(Heap, 22); /* before the copy has run: it must see what was there */
    Pattern[0] ^= 0xFF;
    CHECK(NtResumeThread(Child.ThreadHandle, NULL) == STATUS_SUCCESS);
    CHECK(Finish(&Child) == 0);
    Pattern[0] ^= 0xFF;
    CHECK(Is(Pattern, 1) && Is(Heap, 22) && Stack == 3);
    CHECK(RtlFreeHeap(ProcessHeap, 0, Heap));
    return 0;
}

/* A section's view with ViewShare stays shared, one with ViewUnmap is not there. */
static ULONG Views(VOID)
{
    LARGE_INTEGER Size = {.QuadPart = 0x10000};
    RTL_USER_PROCESS_INFORMATION Child;
    MEMORY_BASIC_INFORMATION Info;
    PULONG Shared = NULL, Private = NULL;
    SIZE_T Bytes = 0;
    HANDLE Section;
    NTSTATUS Status;

    CHECK(NtCreateSection(&Section, SECTION_ALL_ACCESS, NULL, &Size, PAGE_READWRITE, SEC_COMMIT, NULL) ==
          STATUS_SUCCESS);
    CHECK(NtMapViewOfSection(Section, ZwCurrentProcess(), (PVOID *)&Shared, 0, 0, NULL, &Bytes, ViewShare, 0,
                             PAGE_READWRITE) == STATUS_SUCCESS);
    Bytes = 0;
    CHECK(NtMapViewOfSection(Section, ZwCurrentProcess(), (PVOID *)&Private, 0, 0, NULL, &Bytes, ViewUnmap, 0,
                             PAGE_READWRITE) == STATUS_SUCCESS);
    Shared[0] = 5;
    Status = Clone(0, &Child);
    if (Status == STATUS_PROCESS_CLONED) {
        ULONG Line = Shared[0] == 5 ? 0 : __LINE__;

        Shared[1] = 6;
        if (!NT_SUCCESS(
                NtQueryVirtualMemory(ZwCurrentProcess(), Private, MemoryBasicInformation, &Info, sizeof(Info), NULL)) ||
            Info.State != MEM_FREE) {
            Line = __LINE__;
        }
        End(Line);
    }
    CHECK(Status == STATUS_SUCCESS && Finish(&Child) == 0);
    CHECK(Shared[1] == 6 && Private[1] == 6);
    CHECK(NtUnmapViewOfSection(ZwCurrentProcess(), Shared) == STATUS_SUCCESS);
    CHECK(NtUnmapViewOfSection(ZwCurrentProcess(), Private) == STATUS_SUCCESS && NtClose(Section) == STATUS_SUCCESS);
    return 0;
}

/* ---- Copies of copies ---- */

static ULONG Generation(ULONG Depth)
{
    RTL_USER_PROCESS_INFORMATION Child;
    NTSTATUS Status;

    Fill(Pattern, (UCHAR)(100 + Depth));
    Status = Clone(0, &Child);
    if (Status == STATUS_PROCESS_CLONED) {
        if (!Is(Pattern, (UCHAR)(100 + Depth))) {
            End(__LINE__);
        }
        End(Depth == 0 ? 0 : Generation(Depth - 1));
    }
    CHECK(Status == STATUS_SUCCESS);
    Pattern[BYTES / 2] = 0;
    CHECK(Finish(&Child) == 0);
    CHECK(Pattern[BYTES / 2] == 0);
    Pattern[BYTES / 2] = (UCHAR)(BYTES / 2 * 7 + 100 + Depth);
    CHECK(Is(Pattern, (UCHAR)(100 + Depth)));
    return 0;
}

static ULONG Generations(VOID)
{
    return Generation(3);
}

/* ---- Handles ---- */

static ULONG Handles(VOID)
{
    OBJECT_ATTRIBUTES Attributes;
    RTL_USER_PROCESS_INFORMATION Child;
    HANDLE Yes, No;
    NTSTATUS Status;

    InitializeObjectAttributes(&Attributes, NULL, OBJ_INHERIT, NULL, NULL);
    CHECK(NtCreateEvent(&Yes, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE) == STATUS_SUCCESS);
    CHECK(NtCreateEvent(&No, EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE) == STATUS_SUCCESS);
    for (ULONG Inherit = 0; Inherit < 2; Inherit++) {
        Status = Clone(Inherit != 0 ? RTL_CLONE_PROCESS_FLAGS_INHERIT_HANDLES : 0, &Child);
        if (Status == STATUS_PROCESS_CLONED) {
            if (NtSetEvent(Yes, NULL) != (Inherit != 0 ? STATUS_SUCCESS : STATUS_INVALID_HANDLE)) {
                End(__LINE__);
            }
            End(NtSetEvent(No, NULL) == STATUS_INVALID_HANDLE ? 0 : __LINE__);
        }
        CHECK(Status == STATUS_SUCCESS && Finish(&Child) == 0);
    }
    CHECK(NtWaitForSingleObject(Yes, FALSE, NULL) == STATUS_SUCCESS);
    CHECK(NtClose(Yes) == STATUS_SUCCESS && NtClose(No) == STATUS_SUCCESS);
    CHECK(Clone(8, &Child) == STATUS_INVALID_PARAMETER);
    return 0;
}

/* ---- Threads that write meanwhile ---- */

static volatile LONG Leave;
static UCHAR Busy[THREADS][2 * PAGE_SIZE];

static NTSTATUS NTAPI Writer(PVOID Argument)
{
    volatile UCHAR *Mine = Argument;

    for (ULONG64 Round = 1; Leave == 0; Round++) {
        for (ULONG Index = 0; Index < 2 * PAGE_SIZE; Index += 256) {
            Mine[Index] = (UCHAR)Round;
        }
    }
    return STATUS_SUCCESS;
}

/* In the copy nobody writes: what was copied stays as it is. */
static ULONG QuietCopy(VOID)
{
    UCHAR Before[THREADS][32];

    for (ULONG Round = 0; Round < 3; Round++) {
        for (ULONG Index = 0; Index < THREADS; Index++) {
            for (ULONG At = 0; At < 32; At++) {
                UCHAR Now = Busy[Index][At * 256];

                CHECK(Round == 0 || Before[Index][At] == Now);
                Before[Index][At] = Now;
            }
        }
        NtYieldExecution();
    }
    for (ULONG Index = 0; Index < THREADS; Index++) {
        Busy[Index][0] ^= 0x55;
    }
    return 0;
}

static ULONG Threads(VOID)
{
    RTL_USER_PROCESS_INFORMATION Child;
    HANDLE Thread[THREADS];
    ULONG Line = 0;

    Leave = 0;
    for (ULONG Index = 0; Index < THREADS; Index++) {
        Thread[Index] = StartThread(Writer, Busy[Index], 0);
        CHECK(Thread[Index] != NULL);
    }
    for (ULONG Round = 0; Round < 4 && Line == 0; Round++) {
        NTSTATUS Status = Clone(0, &Child);

        if (Status == STATUS_PROCESS_CLONED) {
            End(QuietCopy());
        }
        Line = Status != STATUS_SUCCESS ? __LINE__ : Finish(&Child);
    }
    Leave = 1;
    for (ULONG Index = 0; Index < THREADS; Index++) {
        CHECK(Join(Thread[Index]) == 0);
    }
    return Line;
}

/* ---- Without a thread ---- */

/* The copy's memory is read from outside; it ends without ever having run. */
static ULONG ProcessOnly(VOID)
{
    PROCESS_BASIC_INFORMATION Info;
    static UCHAR Seen[BYTES];
    HANDLE Process;
    SIZE_T Done;

    Fill(Pattern, 77);
    CHECK(NtCreateProcessEx(&Process, PROCESS_ALL_ACCESS, NULL, ZwCurrentProcess(), 0, NULL, NULL, NULL, 0) ==
          STATUS_SUCCESS);
    Fill(Pattern, 78);
    CHECK(NtReadVirtualMemory(Process, Pattern, Seen, BYTES, &Done) == STATUS_SUCCESS && Done == BYTES);
    CHECK(Is(Seen, 77) && Is(Pattern, 78));
    Fill(Seen, 79);
    CHECK(NtWriteVirtualMemory(Process, Pattern, Seen, BYTES, &Done) == STATUS_SUCCESS && Done == BYTES);
    CHECK(Is(Pattern, 78));
    CHECK(NtQueryInformationProcess(Process, ProcessBasicInformation, &Info, sizeof(Info), NULL) == STATUS_SUCCESS);
    CHECK(Info.ExitStatus == STATUS_PENDING && Info.PebBaseAddress == RtlGetCurrentPeb());
    CHECK(NtTerminateProcess(Process, 5) == STATUS_SUCCESS);
    CHECK(NtWaitForSingleObject(Process, FALSE, NULL) == STATUS_SUCCESS);
    CHECK(NtTerminateProcess(Process, 6) == STATUS_PROCESS_IS_TERMINATING);
    CHECK(NtReadVirtualMemory(Process, Pattern, Seen, BYTES, &Done) != STATUS_SUCCESS);
    CHECK(NtQueryInformationProcess(Process, ProcessBasicInformation, &Info, sizeof(Info), NULL) == STATUS_SUCCESS);
    CHECK(Info.ExitStatus == 5 && NtClose(Process) == STATUS_SUCCESS);
    CHECK(NtCreateProcessEx(&Process, PROCESS_ALL_ACCESS, NULL, ZwCurrentProcess(), 0x8000, NULL, NULL, NULL, 0) ==
          STATUS_INVALID_PARAMETER);
    CHECK(NtCreateProcessEx(&Process, PROCESS_ALL_ACCESS, NULL, NULL, 0, NULL, NULL, NULL, 0) == STATUS_INVALID_HANDLE);
    return 0;
}

static ULONG OpenImage(PHANDLE Section)
{
    UNICODE_STRING Path = RTL_CONSTANT_STRING(L"\\SystemRoot\\System\\uclone.exe");
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Iosb;
    HANDLE File;

    InitializeObjectAttributes(&Attributes, &Path, OBJ_CASE_INSENSITIVE, NULL, NULL);
    CHECK(NtOpenFile(&File, FILE_EXECUTE | FILE_READ_DATA | SYNCHRONIZE, &Attributes, &Iosb, FILE_SHARE_READ,
                     FILE_SYNCHRONOUS_IO_NONALERT) == STATUS_SUCCESS);
    CHECK(NtCreateSection(Section, SECTION_ALL_ACCESS, NULL, NULL, PAGE_EXECUTE, SEC_IMAGE, File) == STATUS_SUCCESS);
    CHECK(NtClose(File) == STATUS_SUCCESS);
    return 0;
}

/* A process of an image section begins with a thread that somebody else makes: here at the entry point, with the PEB. */
/* A section of physical memory is no image either. */
static ULONG FromPhysicalMemory(VOID)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\Device\\PhysicalMemory");
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Section, Process;

    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    CHECK(NtOpenSection(&Section, SECTION_MAP_READ | SECTION_MAP_EXECUTE, &Attributes) == STATUS_SUCCESS);
    CHECK(NtCreateProcessEx(&Process, PROCESS_ALL_ACCESS, NULL, ZwCurrentProcess(), 0, Section, NULL, NULL, 0) ==
          STATUS_SECTION_NOT_IMAGE);
    CHECK(NtClose(Section) == STATUS_SUCCESS);
    return 0;
}

static ULONG FromSection(VOID)
{
    PROCESS_BASIC_INFORMATION Info;
    LARGE_INTEGER Size = {.QuadPart = 0x1000};
    SECTION_IMAGE_INFORMATION Image;
    HANDLE Section, Data, Process, Thread;

    CHECK(OpenImage(&Section) == 0);
    CHECK(NtQuerySection(Section, SectionImageInformation, &Image, sizeof(Image), NULL) == STATUS_SUCCESS);
    CHECK(NtCreateProcessEx(&Process, PROCESS_ALL_ACCESS, NULL, ZwCurrentProcess(), 0, Section, NULL, NULL, 0) ==
          STATUS_SUCCESS);
    CHECK(NtQueryInformationProcess(Process, ProcessBasicInformation, &Info, sizeof(Info), NULL) == STATUS_SUCCESS);
    CHECK(Info.PebBaseAddress != NULL &&
          Info.InheritedFromUniqueProcessId == (ULONG_PTR)((PTEB)__readgsqword(0x30))->ClientId.UniqueProcess);
    CHECK(NtCreateThreadEx(&Thread, THREAD_ALL_ACCESS, NULL, Process, (PVOID)(ULONG_PTR)RtlExitUserThread,
                           (PVOID)(ULONG_PTR)9, 0, 0, 0, 0, NULL) == STATUS_SUCCESS);
    CHECK(NtWaitForSingleObject(Process, FALSE, NULL) == STATUS_SUCCESS);
    CHECK(NtQueryInformationProcess(Process, ProcessBasicInformation, &Info, sizeof(Info), NULL) == STATUS_SUCCESS);
    CHECK(Info.ExitStatus == 9);
    CHECK(NtClose(Thread) == STATUS_SUCCESS && NtClose(Process) == STATUS_SUCCESS &&
          NtClose(Section) == STATUS_SUCCESS);
    CHECK(NtCreateSection(&Data, SECTION_ALL_ACCESS, NULL, &Size, PAGE_EXECUTE_READ, SEC_COMMIT, NULL) ==
          STATUS_SUCCESS);
    CHECK(NtCreateProcessEx(&Process, PROCESS_ALL_ACCESS, NULL, ZwCurrentProcess(), 0, Data, NULL, NULL, 0) ==
          STATUS_SECTION_NOT_IMAGE);
    CHECK(NtClose(Data) == STATUS_SUCCESS);
    return 0;
}

/* ---- The storm ---- */

#define AT_ONCE 4

static ULONG Storm(ULONG Count)
{
    for (ULONG Made = 0; Made < Count; Made += AT_ONCE) {
        RTL_USER_PROCESS_INFORMATION Child[AT_ONCE];

        for (ULONG Index = 0; Index < AT_ONCE; Index++) {
            NTSTATUS Status;

            Fill(Pattern, (UCHAR)(Made + Index));
            Status = Clone(0, &Child[Index]);
            if (Status == STATUS_PROCESS_CLONED) {
                ULONG Line = Is(Pattern, (UCHAR)(Made + Index)) ? 0 : __LINE__;

                Fill(Pattern, 0xEE);
                End(Line);
            }
            CHECK(Status == STATUS_SUCCESS);
        }
        for (ULONG Index = 0; Index < AT_ONCE; Index++) {
            CHECK(Finish(&Child[Index]) == 0);
        }
    }
    return 0;
}

static ULONG SmallStorm(VOID)
{
    return Storm(8);
}

static const USER_CASE Cases[] = {
    {"user.clone.memory", Memory},
    {"user.clone.views", Views},
    {"user.clone.generations", Generations},
    {"user.clone.handles", Handles},
    {"user.clone.threads", Threads},
    {"user.clone.process_only", ProcessOnly},
    {"user.clone.from_section", FromSection},
    {"user.clone.from_physical_memory", FromPhysicalMemory},
    {"user.clone.storm", SmallStorm},
};

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    PUNICODE_STRING Line = &Peb->ProcessParameters->CommandLine;
    ULONG Count = 0;

    for (ULONG Index = 0; Index < Line->Length / sizeof(WCHAR); Index++) {
        WCHAR Character = Line->Buffer[Index];

        Count = Character >= '0' && Character <= '9' ? Count * 10 + Character - '0' : Count;
    }
    if (Count != 0) {
        ULONG Failed = Storm(Count);

        DbgPrint("uclone: %lu copies, line %lu\n", Count, Failed);
        return Failed == 0 ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
    }
    return UserRunSuite("uclone.c", Cases, RTL_NUMBER_OF(Cases));
}
