/*
 * uisol.c - the suite of isolation: a program gets at nothing that is not its own.
 *
 * Here: addresses of the kernel half and other forbidden ones, read, written and called, and other processes' memory. fresh.c looks for what
 * others left in memory that is new to the program, told.c for addresses and bytes of the kernel in what services tell, pointers.c gives
 * kernel addresses to services. Run with the word `dirty` the program fills memory and ends: the parent then looks at those frames.
 */
#include "uisol.h"

#define STATUS_NOTHING ((NTSTATUS)0x20000000) /* no exception came */

/* One address or more in every region of the kernel half, and what belongs to nobody. */
static const ULONG64 Forbidden[] = {
    0x0000000000000000, 0x0000000000000FF8, 0x000000000000FFF8, /* NULL and its neighbourhood */
    0x00007FFFFFFF0000, 0x00007FFFFFFFFFF8,                     /* the last 64 KB of the user half */
    0xFFFF800000000000, 0xFFFF880012345678,                     /* nothing's */
    0xFFFFF68000000000, 0xFFFFF6BFFFFFFFF8, 0xFFFFF6FB40000000,
    0xFFFFF6FB7DA00000, 0xFFFFF6FB7DBED000, 0xFFFFF6FB7DBEDF68, /* the self-map, each level */
    0xFFFFF70000000000, 0xFFFFF70000001000,                     /* hyperspace */
    0xFFFFF78000000000, 0xFFFFF78000000F00,                     /* KUSER_SHARED_DATA */
    0xFFFFF78000200000, 0xFFFFF7800022F000,                     /* windows */
    0xFFFFF80000000000, 0xFFFFF80000200000, 0xFFFFF87DC0000000, /* images */
    0xFFFFF87E00000000, 0xFFFFF87F00000000,                     /* loader */
    0xFFFFF88000000000, 0xFFFFF88000010000,                     /* system PTEs */
    0xFFFFF8A000000000, 0xFFFFF8A000001000,                     /* paged pool */
    0xFFFFF98000000000,                                         /* system cache */
    0xFFFFFA8000000000, 0xFFFFFA8000001000,                     /* PFN database */
    0xFFFFFAA000000000, 0xFFFFFAA000001000,                     /* nonpaged pool */
    0xFFFFFFFFFFC00000, 0xFFFFFFFFFFFFFFF0, 0x0000800000000000,
    0x8000000000000000, 0xFFFF7FFFFFFFFFF8, /* not canonical */
};

__attribute__((noinline)) static NTSTATUS TryRead(ULONG64 Address)
{
    NTSTATUS Status = STATUS_NOTHING;

    __try {
        *(volatile ULONG64 *)Address;
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Status = (NTSTATUS)GetExceptionCode();
    }
    return Status;
}

__attribute__((noinline)) static NTSTATUS TryWrite(ULONG64 Address)
{
    NTSTATUS Status = STATUS_NOTHING;

    __try {
        *(volatile ULONG64 *)Address = 1;
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Status = (NTSTATUS)GetExceptionCode();
    }
    return Status;
}

typedef VOID (*PROUTINE)(VOID);

static ULONG64 Called;
static NTSTATUS CallStatus; /* STATUS_NOTHING: a call is under way */

/* A call that arrived at a forbidden address returns from there; one that the processor refuses at the call is for __except. */
static LONG NTAPI ReturnFromCall(PEXCEPTION_POINTERS Pointers)
{
    PCONTEXT Context = Pointers->ContextRecord;

    if (Context->Rip != Called || CallStatus != STATUS_NOTHING) {
        return EXCEPTION_CONTINUE_SEARCH;
    }
    CallStatus = Pointers->ExceptionRecord->ExceptionCode;
    Context->Rip = *(PULONG64)Context->Rsp;
    Context->Rsp += sizeof(ULONG64);
    return EXCEPTION_CONTINUE_EXECUTION;
}

__attribute__((noinline)) static NTSTATUS TryCall(ULONG64 Address)
{
    CallStatus = STATUS_NOTHING;
    Called = Address;
    __try {
        ((PROUTINE)Address)();
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        CallStatus = (NTSTATUS)GetExceptionCode();
    }
    Called = 0;
    return CallStatus;
}

static ULONG Addresses(VOID)
{
    CHECK(RtlAddVectoredExceptionHandler(TRUE, ReturnFromCall) != NULL);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Forbidden); Index++) {
        if (TryRead(Forbidden[Index]) != STATUS_ACCESS_VIOLATION ||
            TryWrite(Forbidden[Index]) != STATUS_ACCESS_VIOLATION ||
            TryCall(Forbidden[Index]) != STATUS_ACCESS_VIOLATION) {
            DbgPrint("# address %p\n", (PVOID)Forbidden[Index]);
            return __LINE__;
        }
    }
    return 0;
}

/* Code that may not be written, data that may not be executed, and no page that may be both in an image. */
static ULONG CodeAndData(VOID)
{
    static UCHAR Return[] = {0xC3};
    MEMORY_BASIC_INFORMATION Basic;
    PUCHAR Page = NULL;
    SIZE_T Size = PAGE_SIZE;

    CHECK(TryWrite((ULONG64)TryRead) == STATUS_ACCESS_VIOLATION);
    CHECK(TryCall((ULONG64)Return) == STATUS_ACCESS_VIOLATION);
    CHECK(NtAllocateVirtualMemory(ZwCurrentProcess(), (PVOID *)&Page, 0, &Size, MEM_RESERVE | MEM_COMMIT,
                                  PAGE_READWRITE) == STATUS_SUCCESS);
    *Page = 0xC3;
    CHECK(TryCall((ULONG64)Page) == STATUS_ACCESS_VIOLATION);
    Size = 0;
    CHECK(NtFreeVirtualMemory(ZwCurrentProcess(), (PVOID *)&Page, &Size, MEM_RELEASE) == STATUS_SUCCESS);
    CHECK(TryRead((ULONG64)Page) == STATUS_ACCESS_VIOLATION);
    for (PUCHAR Address = NULL; NT_SUCCESS(
             NtQueryVirtualMemory(ZwCurrentProcess(), Address, MemoryBasicInformation, &Basic, sizeof(Basic), NULL));
         Address = (PUCHAR)Basic.BaseAddress + Basic.RegionSize) {
        CHECK(Basic.State != MEM_COMMIT || (Basic.Protect & (PAGE_EXECUTE_READWRITE | PAGE_EXECUTE_WRITECOPY)) == 0);
    }
    return 0;
}

/* ---- Other processes ---- */

static HANDLE StartChild(PCWSTR Line)
{
    RTL_USER_PROCESS_PARAMETERS Parameters = {.Flags = RTL_USER_PROC_PARAMS_NORMALIZED};
    PS_ATTRIBUTE_LIST List = {
        sizeof(List), {{.Attribute = PS_ATTRIBUTE_IMAGE_NAME, .Size = sizeof(SELF) - sizeof(WCHAR), .ValuePtr = SELF}}};
    HANDLE Process, Thread;

    RtlInitUnicodeString(&Parameters.CommandLine, Line);
    RtlInitUnicodeString(&Parameters.ImagePathName, SELF);
    if (!NT_SUCCESS(NtCreateUserProcess(&Process, &Thread, PROCESS_ALL_ACCESS, THREAD_ALL_ACCESS, NULL, NULL, 0, 0,
                                        &Parameters, NULL, &List))) {
        return NULL;
    }
    NtClose(Thread);
    return Process;
}

/* A handle is worth the rights it was given, no more. */
static ULONG OtherProcesses(VOID)
{
    HANDLE Child = StartChild(L"uisol wait"), Handle;
    PROCESS_BASIC_INFORMATION Info;
    ULONG64 Word = 0, Saved;
    SIZE_T Done;

    CHECK(Child != NULL);
    CHECK(NtQueryInformationProcess(Child, ProcessBasicInformation, &Info, sizeof(Info), NULL) == STATUS_SUCCESS);
    CHECK(NtReadVirtualMemory(Child, Info.PebBaseAddress, &Word, sizeof(Word), &Done) == STATUS_SUCCESS);
    Saved = Word;
    CHECK(NtDuplicateObject(ZwCurrentProcess(), Child, ZwCurrentProcess(), &Handle,
                            0x0400 /* PROCESS_QUERY_INFORMATION */, 0, 0) == STATUS_SUCCESS);
    CHECK(NtReadVirtualMemory(Handle, Info.PebBaseAddress, &Word, sizeof(Word), &Done) == STATUS_ACCESS_DENIED);
    CHECK(NtWriteVirtualMemory(Handle, Info.PebBaseAddress, &Word, sizeof(Word), &Done) == STATUS_ACCESS_DENIED);
    CHECK(NtUnmapViewOfSection(Handle, Info.PebBaseAddress) == STATUS_ACCESS_DENIED);
    CHECK(NtTerminateProcess(Handle, STATUS_SUCCESS) == STATUS_ACCESS_DENIED);
    CHECK(NtClose(Handle) == STATUS_SUCCESS);
    CHECK(!NT_SUCCESS(NtReadVirtualMemory(Child, KERNEL_POINTER, &Word, sizeof(Word), &Done)));
    CHECK(!NT_SUCCESS(NtWriteVirtualMemory(Child, WATCHED_KERNEL, &Word, sizeof(Word), &Done)));
    CHECK(Word == Saved);
    CHECK(NtTerminateProcess(Child, STATUS_SUCCESS) == STATUS_SUCCESS);
    CHECK(NtWaitForSingleObject(Child, FALSE, NULL) == STATUS_SUCCESS);
    CHECK(NtClose(Child) == STATUS_SUCCESS);
    return 0;
}

/* SYSTEM sees physical memory, as the handle allows: the firmware's first bytes, which are no RAM. user.sec tries it as somebody else. */
static ULONG Physical(VOID)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\Device\\PhysicalMemory");
    LARGE_INTEGER Offset = {.QuadPart = 0xFFFFF000};
    OBJECT_ATTRIBUTES Attributes;
    SIZE_T Size = PAGE_SIZE;
    PVOID View = NULL;
    HANDLE Section;

    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    CHECK(NtOpenSection(&Section, SECTION_MAP_READ, &Attributes) == STATUS_SUCCESS);
    CHECK(NtMapViewOfSection(Section, ZwCurrentProcess(), &View, 0, 0, &Offset, &Size, ViewUnmap, 0, PAGE_READWRITE) ==
          STATUS_ACCESS_DENIED);
    CHECK(NtMapViewOfSection(Section, ZwCurrentProcess(), &View, 0, 0, &Offset, &Size, ViewUnmap, 0, PAGE_READONLY) ==
          STATUS_SUCCESS);
    CHECK(*((const volatile ULONG64 *)View + 0xFF0 / sizeof(ULONG64)) != 0);
    CHECK(TryWrite((ULONG64)View) == STATUS_ACCESS_VIOLATION && TryCall((ULONG64)View) == STATUS_ACCESS_VIOLATION);
    CHECK(NtUnmapViewOfSection(ZwCurrentProcess(), View) == STATUS_SUCCESS);
    CHECK(TryRead((ULONG64)View) == STATUS_ACCESS_VIOLATION && NtClose(Section) == STATUS_SUCCESS);
    return 0;
}

/* Frames full of somebody else's bytes are free when the next cases ask for memory. */
static ULONG Dirt(VOID)
{
    HANDLE Child = StartChild(L"uisol dirty");
    PROCESS_BASIC_INFORMATION Info;

    CHECK(Child != NULL);
    CHECK(NtWaitForSingleObject(Child, FALSE, NULL) == STATUS_SUCCESS);
    CHECK(NtQueryInformationProcess(Child, ProcessBasicInformation, &Info, sizeof(Info), NULL) == STATUS_SUCCESS);
    CHECK(Info.ExitStatus == STATUS_SUCCESS && NtClose(Child) == STATUS_SUCCESS);
    return 0;
}

static const USER_CASE Cases[] = {
    {"user.isol.addresses", Addresses},
    {"user.isol.code_and_data", CodeAndData},
    {"user.isol.other_processes", OtherProcesses},
    {"user.isol.physical", Physical},
    {"user.isol.dirt", Dirt},
    {"user.isol.fresh_pages", FreshPages},
    {"user.isol.fresh_sections", FreshSections},
    {"user.isol.fresh_stack", FreshStack},
    {"user.isol.fresh_image", FreshImage},
    {"user.isol.fresh_tails", FreshTails},
    {"user.isol.fresh_large", FreshLarge},
    {"user.isol.told_by_system", ToldBySystem},
    {"user.isol.told_by_processes", ToldByProcesses},
    {"user.isol.told_by_objects", ToldByObjects},
    {"user.isol.told_by_memory", ToldByMemory},
    {"user.isol.kernel_pointers", KernelPointers},
};

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    PCUNICODE_STRING Line = &Peb->ProcessParameters->CommandLine;
    WCHAR Last = Line->Length == 0 ? 0 : Line->Buffer[Line->Length / sizeof(WCHAR) - 1];
    LARGE_INTEGER Minute = {.QuadPart = -600000000LL};

    if (Last == L'y') {
        DirtyMemory();
        return STATUS_SUCCESS;
    }
    if (Last == L't') {
        return NtDelayExecution(FALSE, &Minute);
    }
    return UserRunSuite("uisol", Cases, RTL_NUMBER_OF(Cases));
}
