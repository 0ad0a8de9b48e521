/*
 * large.c - sections in large pages as a program sees them: the privilege, the two sizes of views, placeholders, what is refused.
 *
 * The case takes one run of 2 MB. What the PFN database says of such frames, and what happens when there are none, is looked at by the
 * kernel's suite mm.largesect.
 */
#include "uvm.h"

#define LARGE         0x200000ULL
#define LARGE_SECTION (SEC_COMMIT | SEC_LARGE_PAGES)

/* FALSE: the token has no such privilege. */
static BOOLEAN SetLockMemory(ULONG Attributes)
{
    TOKEN_PRIVILEGES Lock = {1, {{{SE_LOCK_MEMORY_PRIVILEGE, 0}, Attributes}}};
    HANDLE Token;
    NTSTATUS Status = NtOpenProcessToken(ZwCurrentProcess(), TOKEN_ADJUST_PRIVILEGES, &Token);

    if (NT_SUCCESS(Status)) {
        Status = NtAdjustPrivilegesToken(Token, FALSE, &Lock, 0, NULL, NULL);
        NtClose(Token);
    }
    return Status == STATUS_SUCCESS;
}

static NTSTATUS Create(PHANDLE Section, ULONG Attributes, HANDLE File)
{
    LARGE_INTEGER Bytes = {.QuadPart = LARGE};

    return NtCreateSection(Section, SECTION_ALL_ACCESS, NULL, &Bytes, PAGE_READWRITE, Attributes, File);
}

static NTSTATUS Map(HANDLE Section, PUCHAR *Base, ULONG Type)
{
    SIZE_T Size = LARGE;

    return NtMapViewOfSectionEx(Section, ZwCurrentProcess(), (PVOID *)Base, NULL, &Size, Type, PAGE_READWRITE, NULL, 0);
}

/* A placeholder of 2 MB at a multiple of its size. */
static PUCHAR Keep(VOID)
{
    VM_ADDRESS_REQUIREMENTS Wanted = {.Alignment = LARGE};
    VM_EXTENDED_PARAMETER Parameter = {.Type = VM_PARAMETER_ADDRESS_REQUIREMENTS, .Pointer = &Wanted};
    SIZE_T Size = LARGE;
    PVOID Base = NULL;

    return NT_SUCCESS(NtAllocateVirtualMemoryEx(ZwCurrentProcess(), &Base, &Size, MEM_RESERVE | MEM_RESERVE_PLACEHOLDER,
                                                PAGE_NOACCESS, &Parameter, 1))
               ? Base
               : NULL;
}

ULONG LargeSections(VOID)
{
    PUCHAR Large = NULL, Small = NULL, Kept = Keep();
    SECTION_BASIC_INFORMATION Basic;
    HANDLE Section, Ordinary;

    CHECK(Kept != NULL && SetLockMemory(0));
    CHECK(Create(&Section, LARGE_SECTION, NULL) == STATUS_PRIVILEGE_NOT_HELD);
    CHECK(SetLockMemory(SE_PRIVILEGE_ENABLED));
    CHECK(Create(&Section, SEC_LARGE_PAGES | SEC_RESERVE, NULL) == STATUS_INVALID_PARAMETER_6);
    CHECK(Create(&Section, LARGE_SECTION, NULL) == STATUS_SUCCESS);
    CHECK(NtQuerySection(Section, SectionBasicInformation, &Basic, sizeof(Basic), NULL) == STATUS_SUCCESS);
    CHECK(Basic.AllocationAttributes == LARGE_SECTION && Basic.MaximumSize.QuadPart == LARGE);
    CHECK(Create(&Ordinary, SEC_COMMIT, NULL) == STATUS_SUCCESS);
    CHECK(Map(Ordinary, &Large, MEM_LARGE_PAGES) == STATUS_INVALID_PARAMETER_6);
    CHECK(NtClose(Ordinary) == STATUS_SUCCESS);

    CHECK(Map(Section, &Kept, MEM_REPLACE_PLACEHOLDER | MEM_LARGE_PAGES) == STATUS_SUCCESS);
    CHECK(Map(Section, &Large, MEM_LARGE_PAGES | MEM_TOP_DOWN) == STATUS_SUCCESS);
    CHECK(Map(Section, &Small, 0) == STATUS_SUCCESS);
    CHECK((ULONG64)Large % LARGE == 0);
    for (ULONG64 Offset = 0; Offset < LARGE; Offset += PAGE_SIZE) {
        CHECK(*(volatile ULONG64 *)(Large + Offset) == 0);
        *(volatile ULONG64 *)(Large + Offset) = Offset + 1;
        CHECK(*(volatile ULONG64 *)(Small + Offset) == Offset + 1);
        CHECK(*(volatile ULONG64 *)(Kept + Offset) == Offset + 1);
    }
    CHECK(NtUnmapViewOfSection(ZwCurrentProcess(), Large) == STATUS_SUCCESS);
    CHECK(NtUnmapViewOfSection(ZwCurrentProcess(), Small) == STATUS_SUCCESS);
    CHECK(NtClose(Section) == STATUS_SUCCESS);
    CHECK(*(volatile ULONG64 *)(Kept + PAGE_SIZE) == PAGE_SIZE + 1);
    CHECK(NtUnmapViewOfSectionEx(ZwCurrentProcess(), Kept, MEM_PRESERVE_PLACEHOLDER) == STATUS_SUCCESS);
    CHECK(Create(&Ordinary, SEC_COMMIT, NULL) == STATUS_SUCCESS);
    CHECK(Map(Ordinary, &Kept, MEM_REPLACE_PLACEHOLDER) == STATUS_SUCCESS); /* in the place of the large page */
    CHECK(*(volatile ULONG64 *)(Kept + PAGE_SIZE) == 0);
    CHECK(NtUnmapViewOfSection(ZwCurrentProcess(), Kept) == STATUS_SUCCESS && NtClose(Ordinary) == STATUS_SUCCESS);
    return 0;
}
