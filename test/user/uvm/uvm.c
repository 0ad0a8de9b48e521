/*
 * uvm.c - the suite of virtual memory as programs see it: services with every kind of argument (matrix.c), sections and views, images,
 * what can be asked about pages, watched writes, placeholders, very large reservations.
 *
 * Each case leaves the address space as it found it.
 */
#include "uvm.h"

static PVOID Reserve(SIZE_T Size, ULONG Type, ULONG Protect)
{
    PVOID Base = NULL;

    return NT_SUCCESS(NtAllocateVirtualMemory(ZwCurrentProcess(), &Base, 0, &Size, Type, Protect)) ? Base : NULL;
}

static NTSTATUS Release(PVOID Base)
{
    SIZE_T Size = 0;

    return NtFreeVirtualMemory(ZwCurrentProcess(), &Base, &Size, MEM_RELEASE);
}

static NTSTATUS CreateSection(PHANDLE Section, ULONG64 Bytes, ULONG Protect, ULONG Attributes)
{
    LARGE_INTEGER Size = {.QuadPart = (LONGLONG)Bytes};

    return NtCreateSection(Section, SECTION_ALL_ACCESS, NULL, &Size, Protect, Attributes, NULL);
}

static PVOID MapView(HANDLE Section, ULONG64 Offset, SIZE_T Size, ULONG Protect)
{
    LARGE_INTEGER At = {.QuadPart = (LONGLONG)Offset};
    PVOID Base = NULL;

    return NT_SUCCESS(NtMapViewOfSection(Section, ZwCurrentProcess(), &Base, 0, 0, &At, &Size, ViewUnmap, 0, Protect))
               ? Base
               : NULL;
}

static NTSTATUS Query(PVOID Address, MI_MEMORY_INFORMATION_CLASS Class, PVOID Buffer, SIZE_T Length)
{
    return NtQueryVirtualMemory(ZwCurrentProcess(), Address, Class, Buffer, Length, NULL);
}

/* ---- Wrong pointers and handles ---- */

static NTSTATUS CallWithPointer(ULONG Call, PVOID Bad)
{
    PVOID Base = (PVOID)0x5B0000000ULL;
    SIZE_T Size = PAGE_SIZE;
    ULONG_PTR Entries = 1;
    ULONG Old;
    HANDLE Section;

    switch (Call) {
    case 0:
        return NtAllocateVirtualMemory(ZwCurrentProcess(), Bad, 0, &Size, MEM_RESERVE, PAGE_READWRITE);
    case 1:
        return NtAllocateVirtualMemory(ZwCurrentProcess(), &Base, 0, Bad, MEM_RESERVE, PAGE_READWRITE);
    case 2:
        return NtFreeVirtualMemory(ZwCurrentProcess(), Bad, &Size, MEM_RELEASE);
    case 3:
        return NtProtectVirtualMemory(ZwCurrentProcess(), Bad, &Size, PAGE_READONLY, &Old);
    case 4:
        return Query(Base, MemoryBasicInformation, Bad, sizeof(MEMORY_BASIC_INFORMATION));
    case 5:
        return Query(Base, MemoryWorkingSetInformation, Bad, PAGE_SIZE);
    case 6:
        return Query(Base, MemoryWorkingSetExInformation, Bad, sizeof(MEMORY_WORKING_SET_EX_INFORMATION));
    case 7:
        return NtLockVirtualMemory(ZwCurrentProcess(), Bad, &Size, MAP_PROCESS);
    case 8:
        return NtFlushVirtualMemory(ZwCurrentProcess(), &Base, Bad, Bad);
    case 9:
        return NtGetWriteWatch(ZwCurrentProcess(), 0, Base, Size, Bad, Bad, &Old);
    case 10:
        return NtCreateSection(Bad, SECTION_ALL_ACCESS, NULL, (PVOID)&Entries, PAGE_READWRITE, SEC_COMMIT, NULL);
    case 11:
        return NtCreateSection(&Section, SECTION_ALL_ACCESS, NULL, Bad, PAGE_READWRITE, SEC_COMMIT, NULL);
    case 12:
        return NtMapViewOfSection((HANDLE)4, ZwCurrentProcess(), Bad, 0, 0, NULL, &Size, ViewUnmap, 0, PAGE_READWRITE);
    case 13:
        return NtOpenSection(&Section, SECTION_ALL_ACCESS, Bad);
    case 14:
        return NtExtendSection((HANDLE)4, Bad);
    case 15:
        return NtAllocateVirtualMemoryEx(ZwCurrentProcess(), &Base, &Size, MEM_RESERVE, PAGE_READWRITE, Bad, 1);
    case 16:
        return NtReadVirtualMemory(ZwCurrentProcess(), Bad, &Old, 4, NULL);
    default:
        return NtWriteVirtualMemory(ZwCurrentProcess(), &Old, Bad, 4, Bad);
    }
}

#define POINTER_CALLS 18

static ULONG BadPointers(VOID)
{
    PVOID Bad[] = {KERNEL_POINTER, (PVOID)0x00007FFFFFFEFFFEULL, (PVOID)-8LL,
                   Reserve(0x10000, MEM_RESERVE, PAGE_READWRITE)};

    for (ULONG Call = 0; Call < POINTER_CALLS; Call++) {
        for (ULONG Index = 0; Index < RTL_NUMBER_OF(Bad); Index++) {
            NTSTATUS Status = CallWithPointer(Call, Bad[Index]);

            if (Status != STATUS_ACCESS_VIOLATION && !(Call >= 16 && Status == STATUS_PARTIAL_COPY)) {
                DbgPrint("# call %lu, pointer %p: 0x%08lX\n", Call, Bad[Index], (ULONG)Status);
                return __LINE__;
            }
        }
    }
    CHECK(Release(Bad[3]) == STATUS_SUCCESS);
    return 0;
}

static NTSTATUS CallWithHandle(ULONG Call, HANDLE Process)
{
    MEMORY_BASIC_INFORMATION Basic;
    MEMORY_WORKING_SET_EX_INFORMATION Page = {.VirtualAddress = &Basic};
    IO_STATUS_BLOCK Iosb;
    PVOID Base = (PVOID)0x5B0000000ULL, Written;
    SIZE_T Size = PAGE_SIZE;
    ULONG_PTR Entries = 1;
    ULONG Old;

    switch (Call) {
    case 0:
        return NtAllocateVirtualMemory(Process, &Base, 0, &Size, MEM_RESERVE, PAGE_READWRITE);
    case 1:
        return NtFreeVirtualMemory(Process, &Base, &Size, MEM_RELEASE);
    case 2:
        return NtProtectVirtualMemory(Process, &Base, &Size, PAGE_READONLY, &Old);
    case 3:
        return NtLockVirtualMemory(Process, &Base, &Size, MAP_PROCESS);
    case 4:
        return NtUnlockVirtualMemory(Process, &Base, &Size, MAP_PROCESS);
    case 5:
        return NtFlushVirtualMemory(Process, &Base, &Size, &Iosb);
    case 6:
        return NtGetWriteWatch(Process, 0, Base, Size, &Written, &Entries, &Old);
    case 7:
        return NtResetWriteWatch(Process, Base, Size);
    case 8:
        return NtUnmapViewOfSection(Process, Base);
    case 9:
        return NtReadVirtualMemory(Process, Base, &Old, 4, NULL);
    case 10:
        return NtWriteVirtualMemory(Process, Base, &Old, 4, NULL);
    case 11:
        return NtQueryVirtualMemory(Process, Base, MemoryBasicInformation, &Basic, sizeof(Basic), NULL);
    case 12:
        return NtQueryVirtualMemory(Process, Base, MemoryWorkingSetExInformation, &Page, sizeof(Page), NULL);
    default:
        return NtAllocateVirtualMemoryEx(Process, &Base, &Size, MEM_RESERVE, PAGE_READWRITE, NULL, 0);
    }
}

#define HANDLE_CALLS 14

/* No process, no handle, and a handle of this very process without the right. */
static ULONG BadHandles(VOID)
{
    CLIENT_ID Id = ((PTEB)__readgsqword(0x30))->ClientId;
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Event, Process;

    InitializeObjectAttributes(&Attributes, NULL, 0, NULL, NULL);
    Id.UniqueThread = NULL;
    CHECK(NtCreateEvent(&Event, EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE) == STATUS_SUCCESS);
    CHECK(NtOpenProcess(&Process, SYNCHRONIZE, &Attributes, &Id) == STATUS_SUCCESS);
    for (ULONG Call = 0; Call < HANDLE_CALLS; Call++) {
        CHECK(CallWithHandle(Call, (HANDLE)0x12344) == STATUS_INVALID_HANDLE);
        CHECK(CallWithHandle(Call, NULL) == STATUS_INVALID_HANDLE);
        CHECK(CallWithHandle(Call, Event) == STATUS_OBJECT_TYPE_MISMATCH);
        CHECK(CallWithHandle(Call, Process) == STATUS_ACCESS_DENIED);
    }
    CHECK(NtClose(Event) == STATUS_SUCCESS && NtClose(Process) == STATUS_SUCCESS);
    return 0;
}

/* ---- Places ---- */

static ULONG Places(VOID)
{
    VM_ADDRESS_REQUIREMENTS Wanted = {(PVOID)0x100000000ULL, (PVOID)0x1FFFFFFFFULL, 0x1000000};
    VM_EXTENDED_PARAMETER Parameter = {.Type = VM_PARAMETER_ADDRESS_REQUIREMENTS, .Pointer = &Wanted};
    PVOID Base = NULL, High = Reserve(0x10000, MEM_RESERVE | MEM_TOP_DOWN, PAGE_READWRITE);
    PVOID Low = Reserve(0x10000, MEM_RESERVE, PAGE_READWRITE);
    SIZE_T Size = 0x10000;

    CHECK(High != NULL && Low != NULL && (ULONG64)High > 0x7FF000000000ULL && (ULONG64)Low < 0x8100000000ULL);
    CHECK(Release(High) == STATUS_SUCCESS && Release(Low) == STATUS_SUCCESS);
    CHECK(NtAllocateVirtualMemory(ZwCurrentProcess(), &Base, 8, &Size, MEM_RESERVE | MEM_TOP_DOWN, PAGE_READWRITE) ==
          STATUS_SUCCESS);
    CHECK((ULONG64)Base <= 0xFFFFFF);
    CHECK(Release(Base) == STATUS_SUCCESS);
    Base = NULL;
    CHECK(NtAllocateVirtualMemoryEx(ZwCurrentProcess(), &Base, &Size, MEM_RESERVE, PAGE_READWRITE, &Parameter, 1) ==
          STATUS_SUCCESS);
    CHECK((ULONG64)Base >= 0x100000000ULL && (ULONG64)Base <= 0x1FFFFFFFFULL && (ULONG64)Base % 0x1000000 == 0);
    CHECK(NtAllocateVirtualMemoryEx(ZwCurrentProcess(), &Base, &Size, MEM_RESERVE, PAGE_READWRITE, &Parameter, 1) ==
          STATUS_INVALID_PARAMETER);
    CHECK(Release(Base) == STATUS_SUCCESS);
    Wanted.Alignment = 0x18000;
    Base = NULL;
    CHECK(NtAllocateVirtualMemoryEx(ZwCurrentProcess(), &Base, &Size, MEM_RESERVE, PAGE_READWRITE, &Parameter, 1) ==
          STATUS_INVALID_PARAMETER);
    Parameter.Type = 77;
    CHECK(NtAllocateVirtualMemoryEx(ZwCurrentProcess(), &Base, &Size, MEM_RESERVE, PAGE_READWRITE, &Parameter, 1) ==
          STATUS_INVALID_PARAMETER);
    return 0;
}

#define TERABYTE (1ULL << 40)

/* A terabyte of addresses, and a page of it here and there. */
static ULONG Terabyte(VOID)
{
    MEMORY_BASIC_INFORMATION Basic;
    PUCHAR Base = Reserve(TERABYTE, MEM_RESERVE, PAGE_READWRITE);

    CHECK(Base != NULL);
    for (ULONG64 Offset = 0; Offset < TERABYTE; Offset += TERABYTE / 8) {
        PVOID Page = Base + Offset;
        SIZE_T Size = PAGE_SIZE;

        CHECK(NtAllocateVirtualMemory(ZwCurrentProcess(), &Page, 0, &Size, MEM_COMMIT, PAGE_READWRITE) ==
              STATUS_SUCCESS);
        *(volatile ULONG64 *)Page = Offset + 1;
    }
    for (ULONG64 Offset = 0; Offset < TERABYTE; Offset += TERABYTE / 8) {
        CHECK(*(volatile ULONG64 *)(Base + Offset) == Offset + 1);
    }
    CHECK(Query(Base + PAGE_SIZE, MemoryBasicInformation, &Basic, sizeof(Basic)) == STATUS_SUCCESS);
    CHECK(Basic.State == MEM_RESERVE && Basic.RegionSize == TERABYTE / 8 - PAGE_SIZE);
    CHECK(Release(Base) == STATUS_SUCCESS);
    return 0;
}

/* ---- Sections ---- */

static ULONG HugeSection(VOID)
{
    MEMORY_BASIC_INFORMATION Basic;
    PUCHAR One, Other;
    HANDLE Section;
    PVOID Page;
    SIZE_T Size = 3 * PAGE_SIZE;

    CHECK(CreateSection(&Section, 100ULL << 30, PAGE_READWRITE, SEC_COMMIT) == STATUS_COMMITMENT_LIMIT);
    CHECK(CreateSection(&Section, 100ULL << 30, PAGE_READWRITE, SEC_RESERVE) == STATUS_SUCCESS);
    One = MapView(Section, 99ULL << 30, 0x100000, PAGE_READWRITE);
    Other = MapView(Section, 99ULL << 30, 0x100000, PAGE_READONLY);
    CHECK(One != NULL && Other != NULL);
    CHECK(Query(One, MemoryBasicInformation, &Basic, sizeof(Basic)) == STATUS_SUCCESS);
    CHECK(Basic.State == MEM_RESERVE && Basic.Type == MEM_MAPPED && Basic.RegionSize == 0x100000);
    Page = One + 0x10000;
    CHECK(NtAllocateVirtualMemory(ZwCurrentProcess(), &Page, 0, &Size, MEM_COMMIT, PAGE_READWRITE) == STATUS_SUCCESS);
    *(volatile ULONG *)(One + 0x11000) = 815;
    CHECK(*(volatile ULONG *)(Other + 0x11000) == 815);
    CHECK(Query(Other, MemoryBasicInformation, &Basic, sizeof(Basic)) == STATUS_SUCCESS);
    CHECK(Basic.State == MEM_RESERVE && Basic.RegionSize == 0x10000);
    CHECK(NtUnmapViewOfSection(ZwCurrentProcess(), One + 0x5000) == STATUS_SUCCESS);
    CHECK(NtUnmapViewOfSection(ZwCurrentProcess(), Other) == STATUS_SUCCESS);
    CHECK(NtUnmapViewOfSection(ZwCurrentProcess(), Other) == STATUS_NOT_MAPPED_VIEW);
    CHECK(NtClose(Section) == STATUS_SUCCESS);
    return 0;
}

/* Two views see one another's words, a third keeps its own. */
static ULONG Views(VOID)
{
    PUCHAR View[3];
    HANDLE Section;

    CHECK(CreateSection(&Section, 0x20000, PAGE_READWRITE, SEC_COMMIT) == STATUS_SUCCESS);
    for (ULONG Index = 0; Index < 3; Index++) {
        View[Index] = MapView(Section, 0, 0, Index == 2 ? PAGE_WRITECOPY : PAGE_READWRITE);
        CHECK(View[Index] != NULL);
    }
    for (ULONG Page = 0; Page < 32; Page++) {
        volatile ULONG *Word = (volatile ULONG *)(View[Page % 2] + Page * PAGE_SIZE);

        *Word = Page + 1;
    }
    for (ULONG Page = 0; Page < 32; Page++) {
        CHECK(*(volatile ULONG *)(View[0] + Page * PAGE_SIZE) == Page + 1);
        CHECK(*(volatile ULONG *)(View[2] + Page * PAGE_SIZE) == Page + 1);
        *(volatile ULONG *)(View[2] + Page * PAGE_SIZE) = 1000;
        CHECK(*(volatile ULONG *)(View[1] + Page * PAGE_SIZE) == Page + 1);
    }
    for (ULONG Index = 0; Index < 3; Index++) {
        CHECK(NtUnmapViewOfSection(ZwCurrentProcess(), View[Index]) == STATUS_SUCCESS);
    }
    CHECK(NtClose(Section) == STATUS_SUCCESS);
    return 0;
}

/* ---- Images ---- */

/* Pointers at odd places: some lie on two pages, and are relocated all the same. */
typedef struct __attribute__((packed)) _ODD {
    UCHAR Pad;
    const UCHAR *Pointer;
} ODD;

static const UCHAR Anchor[4] = {1, 2, 3, 4};
#define ODD1    {7, &Anchor[1]}
#define ODD4    ODD1, ODD1, ODD1, ODD1
#define ODD16   ODD4, ODD4, ODD4, ODD4
#define ODD64   ODD16, ODD16, ODD16, ODD16
#define ODD256  ODD64, ODD64, ODD64, ODD64
#define ODD1024 ODD256, ODD256, ODD256, ODD256
static const ODD Odd[] = {ODD1024, ODD1024};

static ULONG ImageRelocated(VOID)
{
    const volatile ODD *Each = Odd;

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Odd); Index++) {
        CHECK(Each[Index].Pointer == &Anchor[1] && Each[Index].Pad == 7);
    }
    return 0;
}

static NTSTATUS OpenSelf(PHANDLE File)
{
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Iosb;

    InitializeObjectAttributes(&Attributes, &RtlGetCurrentPeb()->ProcessParameters->ImagePathName, OBJ_CASE_INSENSITIVE,
                               NULL, NULL);
    return NtOpenFile(File, FILE_READ_DATA | FILE_EXECUTE | SYNCHRONIZE, &Attributes, &Iosb, FILE_SHARE_READ,
                      FILE_SYNCHRONOUS_IO_NONALERT);
}

/* This program once more: elsewhere, with data as the file has it, and code that cannot be written. */
static ULONG ImageMapped(VOID)
{
    static volatile ULONG Changed = 1;
    PUCHAR Self = RtlGetCurrentPeb()->ImageBaseAddress, Base = NULL;
    SECTION_IMAGE_INFORMATION Image;
    MEMORY_BASIC_INFORMATION Basic;
    SIZE_T Size = 0, Offset = (PUCHAR)&Changed - Self;
    HANDLE File, Section;

    Changed = 2;
    CHECK(OpenSelf(&File) == STATUS_SUCCESS);
    CHECK(NtCreateSection(&Section, SECTION_ALL_ACCESS, NULL, NULL, PAGE_EXECUTE_READ, SEC_IMAGE, File) ==
          STATUS_SUCCESS);
    CHECK(NtQuerySection(Section, SectionImageInformation, &Image, sizeof(Image), NULL) == STATUS_SUCCESS);
    CHECK(Image.Machine == 0x8664 && (PUCHAR)Image.TransferAddress > Self);
    CHECK(NtMapViewOfSection(Section, ZwCurrentProcess(), (PVOID *)&Base, 0, 0, NULL, &Size, ViewUnmap, 0,
                             PAGE_EXECUTE_READ) == STATUS_IMAGE_NOT_AT_BASE);
    CHECK(*(volatile ULONG *)(Base + Offset) == 1 && Changed == 2);
    *(volatile ULONG *)(Base + Offset) = 3;
    CHECK(Changed == 2);
    CHECK(RtlEqualMemory(Base, Self, PAGE_SIZE)); /* one relocated copy of the headers */
    CHECK(Query(Base, MemoryBasicInformation, &Basic, sizeof(Basic)) == STATUS_SUCCESS);
    CHECK(Basic.Type == MEM_IMAGE && Basic.Protect == PAGE_READONLY && Basic.AllocationBase == Base);
    CHECK(NtWriteVirtualMemory(ZwCurrentProcess(), Base, &Size, 4, NULL) == STATUS_PARTIAL_COPY);
    CHECK(NtUnmapViewOfSection(ZwCurrentProcess(), Base) == STATUS_SUCCESS);
    CHECK(NtClose(Section) == STATUS_SUCCESS);
    CHECK(NtCreateSection(&Section, SECTION_ALL_ACCESS, NULL, NULL, PAGE_READWRITE, SEC_COMMIT, File) ==
          STATUS_ACCESS_DENIED);
    CHECK(NtCreateSection(&Section, SECTION_ALL_ACCESS, NULL, NULL, PAGE_READONLY, SEC_COMMIT, File) == STATUS_SUCCESS);
    Base = MapView(Section, 0, 0, PAGE_READONLY);
    CHECK(Base != NULL && Base[0] == 'M' && Base[1] == 'Z');
    Size = PAGE_SIZE;
    CHECK(NtAllocateVirtualMemory(ZwCurrentProcess(), (PVOID *)&Base, 0, &Size, MEM_RESET, PAGE_NOACCESS) ==
          STATUS_USER_MAPPED_FILE);
    CHECK(NtUnmapViewOfSection(ZwCurrentProcess(), Base) == STATUS_SUCCESS);
    CHECK(NtClose(Section) == STATUS_SUCCESS && NtClose(File) == STATUS_SUCCESS);
    return 0;
}

/* ---- Questions ---- */

static ULONG QueryClasses(VOID)
{
    static ULONG_PTR Set[1024];
    union {
        UNICODE_STRING String;
        UCHAR Bytes[512];
    } Name;
    PUCHAR Self = RtlGetCurrentPeb()->ImageBaseAddress,
           Private = Reserve(0x10000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    MEMORY_WORKING_SET_EX_INFORMATION Page[2] = {{.VirtualAddress = Private}, {.VirtualAddress = Self}};
    MEMORY_REGION_INFORMATION Region;
    MEMORY_IMAGE_INFORMATION Image;
    BOOLEAN Found = FALSE;
    SIZE_T Size;

    CHECK(Private != NULL);
    CHECK(Query(NULL, MemoryWorkingSetExInformation, Page, sizeof(Page)) == STATUS_SUCCESS);
    CHECK(!Page[0].VirtualAttributes.Valid && Page[1].VirtualAttributes.Valid && Page[1].VirtualAttributes.Shared);
    *(volatile ULONG *)Private = 1;
    CHECK(Query(NULL, MemoryWorkingSetExInformation, Page, sizeof(Page)) == STATUS_SUCCESS);
    CHECK(Page[0].VirtualAttributes.Valid && !Page[0].VirtualAttributes.Shared && !Page[0].VirtualAttributes.Locked &&
          Page[0].VirtualAttributes.Win32Protection == PAGE_READWRITE);
    Size = 1;
    CHECK(NtLockVirtualMemory(ZwCurrentProcess(), (PVOID *)&Page[0].VirtualAddress, &Size, MAP_PROCESS) ==
          STATUS_SUCCESS);
    CHECK(Query(NULL, MemoryWorkingSetExInformation, Page, sizeof(Page)) == STATUS_SUCCESS);
    CHECK(Page[0].VirtualAttributes.Locked);
    CHECK(Query(NULL, MemoryWorkingSetInformation, Set, sizeof(Set)) == STATUS_SUCCESS);
    CHECK(Set[0] > 4 && Set[0] < RTL_NUMBER_OF(Set));
    for (ULONG_PTR Index = 1; Index <= Set[0]; Index++) {
        Found = Found || Set[Index] >> 12 == (ULONG_PTR)Private >> 12;
    }
    CHECK(Found);
    Set[0] = 0;
    CHECK(Query(NULL, MemoryWorkingSetInformation, Set, 16) == STATUS_INFO_LENGTH_MISMATCH && Set[0] > 4);

    CHECK(Query(Private + 0x5000, MemoryRegionInformation, &Region, sizeof(Region)) == STATUS_SUCCESS);
    CHECK(Region.AllocationBase == Private && Region.Private && Region.RegionSize == 0x10000 &&
          Region.CommitSize == 0x10000);
    CHECK(Query(Self, MemoryRegionInformation, &Region, sizeof(Region)) == STATUS_SUCCESS && Region.MappedImage);
    CHECK(Query(NULL, MemoryRegionInformation, &Region, sizeof(Region)) == STATUS_INVALID_ADDRESS);
    CHECK(Query(Self + 0x2000, MemoryImageInformation, &Image, sizeof(Image)) == STATUS_SUCCESS);
    CHECK(Image.ImageBase == Self && Image.SizeOfImage == Region.RegionSize && !Image.ImagePartialMap);
    CHECK(Query(Private, MemoryImageInformation, &Image, sizeof(Image)) == STATUS_INVALID_ADDRESS);

    CHECK(Query(Self, MemoryMappedFilenameInformation, &Name, sizeof(Name)) == STATUS_SUCCESS);
    CHECK(Name.String.Length > 14 && Name.String.Buffer[0] == '\\' &&
          Name.String.Buffer[Name.String.Length / 2 - 1] == 'e' && Name.String.Buffer[Name.String.Length / 2] == 0);
    CHECK(Query(Private, MemoryMappedFilenameInformation, &Name, sizeof(Name)) == STATUS_INVALID_ADDRESS);
    CHECK(Query(Self, MemoryMappedFilenameInformation, &Name, 20) == STATUS_BUFFER_OVERFLOW);
    CHECK(Query(Self, 99, &Name, sizeof(Name)) == STATUS_INVALID_INFO_CLASS);
    CHECK(Release(Private) == STATUS_SUCCESS);
    return 0;
}

/* ---- Watched writes ---- */

static ULONG WatchedPages(PVOID Base, ULONG Flags, PULONG64 Mask)
{
    PVOID Written[64];
    ULONG_PTR Entries = RTL_NUMBER_OF(Written);
    ULONG Granularity;

    *Mask = 0;
    CHECK(NtGetWriteWatch(ZwCurrentProcess(), Flags, Base, 64 * PAGE_SIZE, Written, &Entries, &Granularity) ==
          STATUS_SUCCESS);
    CHECK(Granularity == PAGE_SIZE);
    for (ULONG_PTR Index = 0; Index < Entries; Index++) {
        *Mask |= 1ULL << ((PUCHAR)Written[Index] - (PUCHAR)Base) / PAGE_SIZE;
    }
    return 0;
}

static ULONG WriteWatch(VOID)
{
    PUCHAR Base = Reserve(64 * PAGE_SIZE, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);
    PVOID Page = Base + 5 * PAGE_SIZE, One;
    SIZE_T Size = PAGE_SIZE;
    ULONG_PTR Entries = 1;
    ULONG64 Mask, Sum = 0;
    ULONG Old;

    CHECK(Base != NULL);
    for (ULONG Index = 0; Index < 64; Index++) {
        Sum += Base[Index * PAGE_SIZE]; /* reading is not writing */
    }
    CHECK(Sum == 0 && WatchedPages(Base, 0, &Mask) == 0 && Mask == 0);
    Base[5 * PAGE_SIZE] = 1;
    Base[63 * PAGE_SIZE + 4095] = 1;
    CHECK(WatchedPages(Base, 0, &Mask) == 0 && Mask == (1ULL << 5 | 1ULL << 63));
    /* a page that cannot be accessed for a while is still one that was written */
    CHECK(NtProtectVirtualMemory(ZwCurrentProcess(), &Page, &Size, PAGE_NOACCESS, &Old) == STATUS_SUCCESS);
    CHECK(WatchedPages(Base, 0, &Mask) == 0 && Mask == (1ULL << 5 | 1ULL << 63));
    CHECK(NtProtectVirtualMemory(ZwCurrentProcess(), &Page, &Size, PAGE_READWRITE, &Old) == STATUS_SUCCESS);
    CHECK(Base[5 * PAGE_SIZE] == 1);
    CHECK(NtGetWriteWatch(ZwCurrentProcess(), WRITE_WATCH_FLAG_RESET, Base, 64 * PAGE_SIZE, &One, &Entries, &Old) ==
          STATUS_SUCCESS);
    CHECK(Entries == 1 && One == Base + 5 * PAGE_SIZE);
    CHECK(WatchedPages(Base, WRITE_WATCH_FLAG_RESET, &Mask) == 0 && Mask == 1ULL << 63);
    CHECK(WatchedPages(Base, 0, &Mask) == 0 && Mask == 0);
    Base[5 * PAGE_SIZE] = 2;
    CHECK(WatchedPages(Base, 0, &Mask) == 0 && Mask == 1ULL << 5);
    CHECK(NtResetWriteWatch(ZwCurrentProcess(), Base, 64 * PAGE_SIZE) == STATUS_SUCCESS);
    CHECK(NtQuerySystemTime((PLARGE_INTEGER)(Base + 7 * PAGE_SIZE)) == STATUS_SUCCESS); /* the kernel writes too */
    CHECK(WatchedPages(Base, 0, &Mask) == 0 && Mask == 1ULL << 7);
    CHECK(NtGetWriteWatch(ZwCurrentProcess(), 2, Base, 1, &One, &Entries, &Old) == STATUS_INVALID_PARAMETER_2);
    CHECK(NtResetWriteWatch(ZwCurrentProcess(), Base, 65 * PAGE_SIZE) == STATUS_INVALID_PARAMETER_3);
    CHECK(Release(Base) == STATUS_SUCCESS);
    return 0;
}

/* ---- Placeholders ---- */

static ULONG Placeholders(VOID)
{
    PVOID Base = NULL, Part, View;
    SIZE_T Size = 0x40000, Length = 0x10000;
    MEMORY_REGION_INFORMATION Region;
    HANDLE Section;

    CHECK(NtAllocateVirtualMemoryEx(ZwCurrentProcess(), &Base, &Size, MEM_RESERVE | MEM_RESERVE_PLACEHOLDER,
                                    PAGE_READWRITE, NULL, 0) == STATUS_INVALID_PAGE_PROTECTION);
    CHECK(NtAllocateVirtualMemoryEx(ZwCurrentProcess(), &Base, &Size, MEM_RESERVE | MEM_RESERVE_PLACEHOLDER,
                                    PAGE_NOACCESS, NULL, 0) == STATUS_SUCCESS);
    Part = (PUCHAR)Base + 0x11000; /* splits at any page */
    CHECK(NtFreeVirtualMemory(ZwCurrentProcess(), &Part, &Length, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER) ==
          STATUS_SUCCESS);
    CHECK(Query(Part, MemoryRegionInformation, &Region, sizeof(Region)) == STATUS_SUCCESS);
    CHECK(Region.AllocationBase == Part && Region.RegionSize == 0x10000 && Region.PlaceholderReservation);
    Length = 0xF000;
    CHECK(NtAllocateVirtualMemoryEx(ZwCurrentProcess(), &Part, &Length,
                                    MEM_RESERVE | MEM_COMMIT | MEM_REPLACE_PLACEHOLDER, PAGE_READWRITE, NULL,
                                    0) == STATUS_CONFLICTING_ADDRESSES); /* not the whole of it */
    Length = 0x10000;
    CHECK(NtAllocateVirtualMemoryEx(ZwCurrentProcess(), &Part, &Length,
                                    MEM_RESERVE | MEM_COMMIT | MEM_REPLACE_PLACEHOLDER, PAGE_READWRITE, NULL,
                                    0) == STATUS_SUCCESS);
    *(volatile ULONG *)Part = 5;
    CHECK(CreateSection(&Section, 0x11000, PAGE_READWRITE, SEC_COMMIT) == STATUS_SUCCESS);
    View = Base;
    Length = 0x11000;
    CHECK(NtMapViewOfSectionEx(Section, ZwCurrentProcess(), &View, NULL, &Length, MEM_REPLACE_PLACEHOLDER,
                               PAGE_READWRITE, NULL, 0) == STATUS_SUCCESS);
    *(volatile ULONG *)((PUCHAR)View + 0x10000) = 6;
    CHECK(*(volatile ULONG *)Part == 5 && View == Base);
    CHECK(NtUnmapViewOfSectionEx(ZwCurrentProcess(), View, MEM_PRESERVE_PLACEHOLDER) == STATUS_SUCCESS);
    Length = 0x10000;
    CHECK(NtFreeVirtualMemory(ZwCurrentProcess(), &Part, &Length, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER) ==
          STATUS_SUCCESS);
    Length = 0x40000 - 0x1000;
    CHECK(NtFreeVirtualMemory(ZwCurrentProcess(), &Base, &Length, MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS) ==
          STATUS_CONFLICTING_ADDRESSES); /* ends inside one */
    Length = 0x40000;
    CHECK(NtFreeVirtualMemory(ZwCurrentProcess(), &Base, &Length, MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS) ==
          STATUS_SUCCESS);
    CHECK(Query(Base, MemoryRegionInformation, &Region, sizeof(Region)) == STATUS_SUCCESS);
    CHECK(Region.RegionSize == 0x40000 && Region.PlaceholderReservation);
    CHECK(Release(Base) == STATUS_SUCCESS && NtClose(Section) == STATUS_SUCCESS);
    return 0;
}

/* ---- Other processes ---- */

/* This process by a handle of its own: the long way round, with the same memory at the end. */
static ULONG CopyThroughHandle(VOID)
{
    static UCHAR From[3 * PAGE_SIZE + 17], To[3 * PAGE_SIZE + 17];
    CLIENT_ID Id = ((PTEB)__readgsqword(0x30))->ClientId;
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Process;
    SIZE_T Done;

    InitializeObjectAttributes(&Attributes, NULL, 0, NULL, NULL);
    Id.UniqueThread = NULL;
    for (ULONG Index = 0; Index < sizeof(From); Index++) {
        From[Index] = (UCHAR)(Index * 7);
    }
    CHECK(NtOpenProcess(&Process, PROCESS_ALL_ACCESS, &Attributes, &Id) == STATUS_SUCCESS);
    CHECK(NtReadVirtualMemory(Process, From, To, sizeof(To), &Done) == STATUS_SUCCESS && Done == sizeof(To));
    CHECK(RtlEqualMemory(From, To, sizeof(To)));
    RtlZeroMemory(From, sizeof(From));
    CHECK(NtWriteVirtualMemory(Process, From, To, sizeof(To), &Done) == STATUS_SUCCESS && Done == sizeof(To));
    CHECK(RtlEqualMemory(From, To, sizeof(To)));
    CHECK(NtClose(Process) == STATUS_SUCCESS);
    return 0;
}

/* ---- The runner ---- */

static const USER_CASE Cases[] = {
    {"user.vm.matrix.allocate", MatrixAllocate},
    {"user.vm.matrix.protections", MatrixProtections},
    {"user.vm.matrix.free", MatrixFree},
    {"user.vm.matrix.protect", MatrixProtect},
    {"user.vm.matrix.lock", MatrixLock},
    {"user.vm.matrix.flush", MatrixFlush},
    {"user.vm.matrix.copy", MatrixCopy},
    {"user.vm.matrix.count", MatrixCount},
    {"user.vm.bad_pointers", BadPointers},
    {"user.vm.bad_handles", BadHandles},
    {"user.vm.places", Places},
    {"user.vm.terabyte", Terabyte},
    {"user.vm.section.huge", HugeSection},
    {"user.vm.section.views", Views},
    {"user.vm.section.large", LargeSections},
    {"user.vm.image.relocated", ImageRelocated},
    {"user.vm.image.mapped", ImageMapped},
    {"user.vm.query", QueryClasses},
    {"user.vm.query.shared", SharedCommit},
    {"user.vm.watch", WriteWatch},
    {"user.vm.placeholders", Placeholders},
    {"user.vm.copy", CopyThroughHandle},
};

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    return UserRunSuite("uvm", Cases, RTL_NUMBER_OF(Cases));
}
