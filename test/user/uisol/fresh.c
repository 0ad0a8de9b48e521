/*
 * fresh.c - memory that is new to the program holds zeros, wherever it comes from.
 *
 * A child has filled frames with DIRT and ended; those are free now, not zeroed, and the next to be given out. Whatever is looked at here would
 * show them if the kernel handed one on as it is: private pages, sections, stacks that grow, the zero part of an image, what follows a
 * file's end, the rest of the pages that PEB, TEB and parameters lie in, large pages.
 */
#include "uisol.h"

#define DIRT_BYTES  (3u << 20)
#define FRESH_BYTES (1u << 20)
#define LARGE_PAGE  (2u << 20)
#define USED_BYTES  0x8000u /* of a stack, by the loader and by a case */

static PVOID Commit(SIZE_T Bytes, ULONG Type)
{
    PVOID Base = NULL;

    return NT_SUCCESS(NtAllocateVirtualMemory(ZwCurrentProcess(), &Base, 0, &Bytes, MEM_RESERVE | MEM_COMMIT | Type,
                                              PAGE_READWRITE))
               ? Base
               : NULL;
}

static VOID Release(PVOID Base)
{
    SIZE_T Bytes = 0;

    NtFreeVirtualMemory(ZwCurrentProcess(), &Base, &Bytes, MEM_RELEASE);
}

VOID DirtyMemory(VOID)
{
    ULONG64 *Words = Commit(DIRT_BYTES, 0);

    for (SIZE_T Index = 0; Words != NULL && Index < DIRT_BYTES / sizeof(*Words); Index++) {
        Words[Index] = DIRT;
    }
}

/* TRUE: all of it is zero. */
static BOOLEAN IsZero(const VOID *Base, SIZE_T Bytes)
{
    const volatile UCHAR *Byte = Base;
    SIZE_T At = 0;

    for (; At + sizeof(ULONG64) <= Bytes && ((ULONG64)(Byte + At) & 7) == 0; At += sizeof(ULONG64)) {
        if (*(const volatile ULONG64 *)(Byte + At) != 0) {
            return FALSE;
        }
    }
    for (; At < Bytes; At++) {
        if (Byte[At] != 0) {
            return FALSE;
        }
    }
    return TRUE;
}

ULONG FreshPages(VOID)
{
    PVOID Base = Commit(FRESH_BYTES, 0), Part;
    SIZE_T Size = PAGE_SIZE;

    CHECK(Base != NULL && IsZero(Base, FRESH_BYTES));
    Part = (PUCHAR)Base + 5 * PAGE_SIZE;
    *(volatile ULONG64 *)Part = DIRT; /* given up and taken again, it is new again */
    CHECK(NtFreeVirtualMemory(ZwCurrentProcess(), &Part, &Size, MEM_DECOMMIT) == STATUS_SUCCESS);
    CHECK(NtAllocateVirtualMemory(ZwCurrentProcess(), &Part, 0, &Size, MEM_COMMIT, PAGE_READWRITE) == STATUS_SUCCESS);
    CHECK(IsZero(Part, PAGE_SIZE));
    Release(Base);
    return 0;
}

static ULONG LookAtSection(ULONG Attributes)
{
    LARGE_INTEGER Bytes = {.QuadPart = FRESH_BYTES};
    SIZE_T Size = 0, All = FRESH_BYTES;
    PVOID View = NULL;
    HANDLE Section;

    CHECK(NtCreateSection(&Section, SECTION_ALL_ACCESS, NULL, &Bytes, PAGE_READWRITE, Attributes, NULL) ==
          STATUS_SUCCESS);
    CHECK(NtMapViewOfSection(Section, ZwCurrentProcess(), &View, 0, 0, NULL, &Size, ViewUnmap, 0, PAGE_READWRITE) ==
          STATUS_SUCCESS);
    if (Attributes == SEC_RESERVE) {
        CHECK(NtAllocateVirtualMemory(ZwCurrentProcess(), &View, 0, &All, MEM_COMMIT, PAGE_READWRITE) ==
              STATUS_SUCCESS);
    }
    CHECK(IsZero(View, FRESH_BYTES));
    CHECK(NtUnmapViewOfSection(ZwCurrentProcess(), View) == STATUS_SUCCESS && NtClose(Section) == STATUS_SUCCESS);
    return 0;
}

ULONG FreshSections(VOID)
{
    ULONG Line = LookAtSection(SEC_COMMIT);

    return Line != 0 ? Line : LookAtSection(SEC_RESERVE);
}

/* ---- Stacks ---- */

static ULONG StackLine;

/* What is committed below the first pages, which the loader may have used before; then what growing adds. */
static ULONG LookAtStack(PVOID Argument)
{
    volatile NT_TIB *Tib = (volatile NT_TIB *)__readgsqword(FIELD_OFFSET(NT_TIB, Self));
    PUCHAR Limit = Tib->StackLimit, Used = (PUCHAR)Tib->StackBase - USED_BYTES;

    StackLine = Limit < Used && IsZero(Limit, (SIZE_T)(Used - Limit)) ? 0 : __LINE__;
    for (ULONG Page = 1; Page <= 8 && StackLine == 0; Page++) { /* each is the guard page when it is touched */
        StackLine = IsZero(Limit - Page * PAGE_SIZE, PAGE_SIZE) ? 0 : __LINE__;
    }
    for (const volatile ULONG64 *Word = (PULONG64)Used; StackLine == 0 && Word < (PULONG64)Tib->StackBase; Word++) {
        StackLine = *Word != DIRT ? 0 : __LINE__;
    }
    if (StackLine == 0 && (PUCHAR)Tib->StackLimit >= Limit) {
        StackLine = __LINE__; /* it did not grow */
    }
    return 0;
}

ULONG FreshStack(VOID)
{
    CHECK(RunThreads(LookAtStack, NULL, 1) == 0);
    return StackLine;
}

/* ---- Images, files and heaps ---- */

static ULONG64 Never[0x20000 / sizeof(ULONG64)]; /* never written: no bytes of the file */

/* What follows the end of a file in its last page, mapped for reading and for copies. */
static ULONG LookBehindFile(ULONG Protect)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(SELF);
    OBJECT_ATTRIBUTES Attributes;
    FILE_STANDARD_INFORMATION Standard;
    IO_STATUS_BLOCK Iosb;
    HANDLE File, Section;
    PUCHAR View = NULL;
    SIZE_T Size = 0, End;

    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    CHECK(NtOpenFile(&File, FILE_READ_DATA | SYNCHRONIZE, &Attributes, &Iosb, FILE_SHARE_READ,
                     FILE_SYNCHRONOUS_IO_NONALERT) == STATUS_SUCCESS);
    CHECK(NtQueryInformationFile(File, &Iosb, &Standard, sizeof(Standard), FileStandardInformation) == STATUS_SUCCESS);
    CHECK(NtCreateSection(&Section, SECTION_ALL_ACCESS, NULL, NULL, Protect, SEC_COMMIT, File) == STATUS_SUCCESS);
    CHECK(NtMapViewOfSection(Section, ZwCurrentProcess(), (PVOID *)&View, 0, 0, NULL, &Size, ViewUnmap, 0, Protect) ==
          STATUS_SUCCESS);
    End = (SIZE_T)Standard.EndOfFile.QuadPart;
    if (Protect == PAGE_WRITECOPY) {
        View[End - 1] ^= 0xFF; /* a copy of the last page */
    }
    CHECK(Size >= End && IsZero(View + End, Size - End));
    CHECK(NtUnmapViewOfSection(ZwCurrentProcess(), View) == STATUS_SUCCESS);
    CHECK(NtClose(Section) == STATUS_SUCCESS && NtClose(File) == STATUS_SUCCESS);
    return 0;
}

ULONG FreshImage(VOID)
{
    PVOID Heap = ((PTEB)__readgsqword(0x30))->ProcessEnvironmentBlock->ProcessHeap;
    ULONG64 *Block = RtlAllocateHeap(Heap, 0, 0x80000);
    ULONG Line;

    CHECK(IsZero(Never, sizeof(Never)));
    ((volatile ULONG64 *)Never)[PAGE_SIZE / 8 + 1] = 1; /* the rest of a page that is copied */
    CHECK(IsZero(Never, PAGE_SIZE) && IsZero((PUCHAR)Never + PAGE_SIZE + 16, sizeof(Never) - PAGE_SIZE - 16));
    CHECK(Block != NULL);
    for (ULONG Index = 0; Index < 0x80000 / sizeof(*Block); Index++) {
        CHECK(Block[Index] != DIRT);
    }
    CHECK(RtlFreeHeap(Heap, 0, Block));
    Line = LookBehindFile(PAGE_READONLY);
    return Line != 0 ? Line : LookBehindFile(PAGE_WRITECOPY);
}

/* ---- What the kernel itself puts into the program ---- */

static BOOLEAN RestIsZero(const VOID *Structure, SIZE_T Bytes)
{
    PUCHAR End = (PUCHAR)Structure + Bytes, PageEnd = (PUCHAR)PAGE_ALIGN(End - 1) + PAGE_SIZE;

    return IsZero(End, (SIZE_T)(PageEnd - End));
}

static ULONG LookAtTeb(PVOID Argument)
{
    StackLine = RestIsZero((PVOID)__readgsqword(FIELD_OFFSET(NT_TIB, Self)), sizeof(TEB)) ? 0 : __LINE__;
    return 0;
}

ULONG FreshTails(VOID)
{
    PTEB Teb = (PTEB)__readgsqword(FIELD_OFFSET(NT_TIB, Self));
    PPEB Peb = Teb->ProcessEnvironmentBlock;
    PWSTR End = Peb->ProcessParameters->Environment;

    CHECK(RestIsZero(Teb, sizeof(TEB)) && RestIsZero(Peb, sizeof(PEB)));
    while (End[0] != 0 || End[1] != 0) {
        End++;
    }
    CHECK(RestIsZero(End, 2 * sizeof(WCHAR)));
    CHECK(RunThreads(LookAtTeb, NULL, 1) == 0);
    return StackLine;
}

ULONG FreshLarge(VOID)
{
    HANDLE Token;
    TOKEN_PRIVILEGES Lock = {1, {{{SE_LOCK_MEMORY_PRIVILEGE, 0}, SE_PRIVILEGE_ENABLED}}};
    PVOID Base;

    CHECK(NtOpenProcessToken(ZwCurrentProcess(), TOKEN_ADJUST_PRIVILEGES, &Token) == STATUS_SUCCESS);
    NtAdjustPrivilegesToken(Token, FALSE, &Lock, 0, NULL, NULL);
    CHECK(NtClose(Token) == STATUS_SUCCESS);
    Base = Commit(LARGE_PAGE, MEM_LARGE_PAGES); /* there may be no run of frames, or no right: then nothing is seen */
    CHECK(Base == NULL || IsZero(Base, LARGE_PAGE));
    if (Base != NULL) {
        Release(Base);
    }
    return 0;
}
