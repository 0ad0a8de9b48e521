/*
 * shared.c - MemorySharedCommitInformation: what is charged for the sections without a file that a process has views of.
 *
 * Each section counts once, however many views of it there are; private memory and files do not count. Of a section whose pages are
 * committed later, only those that are count.
 */
#include "uvm.h"

static SIZE_T Shared(VOID)
{
    MEMORY_SHARED_COMMIT_INFORMATION Answer = {0};
    SIZE_T Length = 0;
    NTSTATUS Status =
        NtQueryVirtualMemory(ZwCurrentProcess(), NULL, MemorySharedCommitInformation, &Answer, sizeof(Answer), &Length);

    return Status == STATUS_SUCCESS && Length == sizeof(Answer) ? Answer.CommitSize : MAXULONG_PTR;
}

static PVOID View(HANDLE Section)
{
    PVOID Base = NULL;
    SIZE_T Size = 0;

    return NT_SUCCESS(
               NtMapViewOfSection(Section, ZwCurrentProcess(), &Base, 0, 0, NULL, &Size, ViewUnmap, 0, PAGE_READWRITE))
               ? Base
               : NULL;
}

ULONG SharedCommit(VOID)
{
    LARGE_INTEGER Bytes = {.QuadPart = 0x23000};
    SIZE_T Before = Shared(), Size = 0x10000;
    PVOID First, Second, Other, Private = NULL;
    HANDLE Section, Reserved;
    ULONG Small;

    CHECK(Before != MAXULONG_PTR);
    CHECK(NtQueryVirtualMemory(ZwCurrentProcess(), NULL, MemorySharedCommitInformation, &Small, sizeof(Small), NULL) ==
          STATUS_INFO_LENGTH_MISMATCH);
    CHECK(NtQueryVirtualMemory((HANDLE)4444, NULL, MemorySharedCommitInformation, &Size, sizeof(Size), NULL) ==
          STATUS_INVALID_HANDLE);
    CHECK(NtCreateSection(&Section, SECTION_ALL_ACCESS, NULL, &Bytes, PAGE_READWRITE, SEC_COMMIT, NULL) ==
          STATUS_SUCCESS);
    CHECK(Shared() == Before); /* nothing is mapped yet */
    First = View(Section);
    CHECK(First != NULL && Shared() == Before + 0x23000);
    Second = View(Section);
    CHECK(Second != NULL && Shared() == Before + 0x23000);
    CHECK(NtAllocateVirtualMemory(ZwCurrentProcess(), &Private, 0, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE) ==
          STATUS_SUCCESS);
    CHECK(Shared() == Before + 0x23000);
    CHECK(NtCreateSection(&Reserved, SECTION_ALL_ACCESS, NULL, &Bytes, PAGE_READWRITE, SEC_RESERVE, NULL) ==
          STATUS_SUCCESS);
    Other = View(Reserved);
    CHECK(Other != NULL && Shared() == Before + 0x23000);
    Size = 3 * PAGE_SIZE;
    CHECK(NtAllocateVirtualMemory(ZwCurrentProcess(), &Other, 0, &Size, MEM_COMMIT, PAGE_READWRITE) == STATUS_SUCCESS);
    CHECK(Shared() == Before + 0x26000);
    CHECK(NtUnmapViewOfSection(ZwCurrentProcess(), Other) == STATUS_SUCCESS && NtClose(Reserved) == STATUS_SUCCESS);
    CHECK(NtUnmapViewOfSection(ZwCurrentProcess(), First) == STATUS_SUCCESS && Shared() == Before + 0x23000);
    CHECK(NtUnmapViewOfSection(ZwCurrentProcess(), Second) == STATUS_SUCCESS && Shared() == Before);
    Size = 0;
    CHECK(NtFreeVirtualMemory(ZwCurrentProcess(), &Private, &Size, MEM_RELEASE) == STATUS_SUCCESS);
    CHECK(NtClose(Section) == STATUS_SUCCESS);
    return 0;
}
