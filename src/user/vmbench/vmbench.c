/*
 * vmbench.c - what virtual memory costs: the same small operations, many times, between marks that an emulator counts.
 *
 * With `scripts/boot --flavor fre --icount 'run vmbench'` a tick of the time-stamp counter is one instruction, and each row is instructions per
 * operation, those of the program itself included (two to four). The marks are long no-operations, as instruction counters of QEMU
 * (a TCG plugin) look for them to tell the kernel's instructions from the program's.
 *
 * Rows are printed as `METRIC name value insn`. One processor; nothing else should run.
 */
#include <oriel/program.h>

#define PAGES      512ULL
#define BYTES      (PAGES * PAGE_SIZE)
#define WINDOW     0x40000ULL /* 256 KB of a file */
#define LOOPS      200
#define MARK(Kind) __asm__ volatile(".byte 0x0f, 0x1f, 0x84, 0x00; .long %c0" ::"i"(0x4E540000 | (Kind)) : "memory")

static ULONG64 Started;

static VOID Begin(VOID)
{
    MARK(1);
    Started = __rdtsc();
}

static VOID End(PCSTR Name, ULONG64 Operations)
{
    ULONG64 Ticks = __rdtsc() - Started;

    MARK(2);
    DbgPrint("METRIC %s %llu insn\n", Name, Ticks / Operations);
}

static VOID Demand(NTSTATUS Status, PCSTR What)
{
    if (!NT_SUCCESS(Status)) {
        DbgPrint("vmbench: %s: 0x%08lX\n", What, (ULONG)Status);
        RtlExitUserProcess(Status);
    }
}

static VOID Touch(PVOID Base, ULONG64 Bytes, BOOLEAN Write)
{
    for (ULONG64 Offset = 0; Offset < Bytes; Offset += PAGE_SIZE) {
        volatile UCHAR *Byte = (volatile UCHAR *)Base + Offset;

        if (Write) {
            *Byte = 1;
        } else {
            (void)*Byte;
        }
    }
}

static PVOID Map(HANDLE Section, SIZE_T Size, ULONG Protect)
{
    PVOID Base = NULL;

    Demand(NtMapViewOfSection(Section, ZwCurrentProcess(), &Base, 0, 0, NULL, &Size, ViewUnmap, 0, Protect), "map");
    return Base;
}

static VOID Unmap(PVOID Base)
{
    Demand(NtUnmapViewOfSection(ZwCurrentProcess(), Base), "unmap");
}

static VOID Private(VOID)
{
    PVOID Base = NULL;
    SIZE_T Size = BYTES;

    Demand(NtAllocateVirtualMemory(ZwCurrentProcess(), &Base, 0, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE),
           "allocate");
    Begin();
    Touch(Base, BYTES, TRUE);
    End("fault.demand_zero", PAGES);
    Size = 0;
    Begin();
    NtFreeVirtualMemory(ZwCurrentProcess(), &Base, &Size, MEM_RELEASE);
    End("free.page", PAGES);
    Begin();
    for (ULONG Turn = 0; Turn < LOOPS; Turn++) {
        Base = NULL;
        Size = 0x10000;
        NtAllocateVirtualMemory(ZwCurrentProcess(), &Base, 0, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
        Size = 0;
        NtFreeVirtualMemory(ZwCurrentProcess(), &Base, &Size, MEM_RELEASE);
    }
    End("vm.reserve_commit_release_64k", LOOPS);
    Base = NULL;
    Size = 0x10000;
    Demand(NtAllocateVirtualMemory(ZwCurrentProcess(), &Base, 0, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE),
           "allocate");
    Touch(Base, Size, TRUE);
    Begin();
    for (ULONG Turn = 0; Turn < LOOPS; Turn++) {
        PVOID Page = Base;
        SIZE_T One = PAGE_SIZE;
        ULONG Old;

        NtProtectVirtualMemory(ZwCurrentProcess(), &Page, &One, Turn % 2 == 0 ? PAGE_READONLY : PAGE_READWRITE, &Old);
    }
    End("vm.protect_page", LOOPS);
}

static VOID Shared(VOID)
{
    LARGE_INTEGER Size = {.QuadPart = BYTES};
    PVOID View, Copy;
    HANDLE Section;

    Demand(NtCreateSection(&Section, SECTION_ALL_ACCESS, NULL, &Size, PAGE_READWRITE, SEC_COMMIT, NULL), "section");
    View = Map(Section, 0, PAGE_READWRITE);
    Touch(View, BYTES, TRUE);
    Copy = Map(Section, 0, PAGE_WRITECOPY);
    Touch(Copy, BYTES, FALSE);
    Begin();
    Touch(Copy, BYTES, TRUE);
    End("fault.copy_on_write", PAGES);
    Unmap(Copy);
    Unmap(View);
    NtClose(Section);
}

static HANDLE OpenFileSection(VOID)
{
    UNICODE_STRING Path = RTL_CONSTANT_STRING(L"\\SystemRoot\\boot\\ntoskrnl.exe");
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Iosb;
    HANDLE File, Section;

    InitializeObjectAttributes(&Attributes, &Path, OBJ_CASE_INSENSITIVE, NULL, NULL);
    Demand(NtOpenFile(&File, FILE_READ_DATA | SYNCHRONIZE, &Attributes, &Iosb, FILE_SHARE_READ,
                      FILE_SYNCHRONOUS_IO_NONALERT),
           "open");
    Demand(NtCreateSection(&Section, SECTION_ALL_ACCESS, NULL, NULL, PAGE_READONLY, SEC_COMMIT, File), "section");
    NtClose(File);
    return Section;
}

static VOID File(VOID)
{
    HANDLE Section = OpenFileSection();
    SECTION_BASIC_INFORMATION Basic;
    PVOID View;
    ULONG64 Bytes;

    Demand(NtQuerySection(Section, SectionBasicInformation, &Basic, sizeof(Basic), NULL), "query");
    Bytes = min((ULONG64)Basic.MaximumSize.QuadPart & ~(PAGE_SIZE - 1ULL), WINDOW);
    View = Map(Section, Bytes, PAGE_READONLY);
    Touch(View, Bytes, FALSE);
    Unmap(View);
    View = Map(Section, Bytes, PAGE_READONLY);
    Begin();
    Touch(View, Bytes, FALSE);
    End("fault.file_soft_per_page", Bytes / PAGE_SIZE);
    Unmap(View);
    Begin();
    for (ULONG Turn = 0; Turn < LOOPS; Turn++) {
        Unmap(Map(Section, Bytes, PAGE_READONLY));
    }
    End("view.map_unmap", LOOPS);
    Begin();
    for (ULONG Turn = 0; Turn < LOOPS; Turn++) {
        View = Map(Section, Bytes, PAGE_READONLY);
        Touch(View, Bytes, FALSE);
        Unmap(View);
    }
    End("view.map_touch_unmap", LOOPS);
    DbgPrint("vmbench: the view has %llu pages\n", Bytes / PAGE_SIZE);
    NtClose(Section);
}

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    Private();
    Shared();
    File();
    return STATUS_SUCCESS;
}
