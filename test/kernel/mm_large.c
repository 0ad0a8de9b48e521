/*
 * mm_large.c - suite mm.large: private memory in large pages: made, used, locked, refused, left to the end of the process.
 *
 * MiVerify runs while large pages are mapped and after they are gone; frames and commit are back afterwards. A case takes two runs of
 * 512 frames at most, which a machine of 128 MB has.
 */
#include "ketest.h"
#include "proctest.h"

#define LARGE_TYPES (MEM_RESERVE | MEM_COMMIT | MEM_LARGE_PAGES)

/* Allocated, zeroed, written to the last word, released. */
static VOID UseBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    SIZE_T Size = 2 * MM_LARGE_PAGE, One = 1;
    ULONG64 Value, Commit = MiCommit.Charged;
    MEMORY_BASIC_INFORMATION Basic;
    PVOID Base = NULL, Part;
    ULONG Old;

    KTAP_EQUAL(KTAP_WHOLE(TestAllocate(&Base, &Size, LARGE_TYPES, PAGE_READWRITE)), STATUS_SUCCESS);
    KTAP_EQUAL((ULONG64)Base % MM_LARGE_PAGE, 0);
    KTAP_CHECK(MiIsLargeAddress(Base) && MiIsLargeAddress((PUCHAR)Base + Size - 1));
    KTAP_EQUAL(MiSpaceOf(Process)->WorkingSet, 0);
    for (ULONG64 Offset = 0; Offset < Size; Offset += PAGE_SIZE) {
        KTAP_EQUAL(TestRead((PUCHAR)Base + Offset + 8, &Value), STATUS_SUCCESS);
        KTAP_EQUAL(Value, 0);
        KTAP_EQUAL(TestWrite((PUCHAR)Base + Offset + 8, Offset), STATUS_SUCCESS);
    }
    KTAP_EQUAL(TestRead((PUCHAR)Base + Size - PAGE_SIZE + 8, &Value), STATUS_SUCCESS);
    KTAP_EQUAL(Value, Size - PAGE_SIZE);
    KTAP_EQUAL(MiVerify(), 0);
    KTAP_EQUAL(ZwQueryVirtualMemory(ZwCurrentProcess(), Base, MemoryBasicInformation, &Basic, sizeof(Basic), NULL),
               STATUS_SUCCESS);
    KTAP_CHECK(Basic.State == MEM_COMMIT && Basic.RegionSize == Size && Basic.Type == MEM_PRIVATE);
    Part = (PUCHAR)Base + MM_LARGE_PAGE;
    KTAP_EQUAL(NtLockVirtualMemory(ZwCurrentProcess(), &Part, &One, MAP_PROCESS), STATUS_WAS_LOCKED);
    One = PAGE_SIZE;
    KTAP_EQUAL(ZwProtectVirtualMemory(ZwCurrentProcess(), &Part, &One, PAGE_READONLY, &Old),
               STATUS_INVALID_PAGE_PROTECTION); /* not a whole large page */
    One = MM_LARGE_PAGE;
    KTAP_EQUAL(ZwProtectVirtualMemory(ZwCurrentProcess(), &Part, &One, PAGE_NOACCESS, &Old),
               STATUS_INVALID_PAGE_PROTECTION);
    KTAP_EQUAL(ZwProtectVirtualMemory(ZwCurrentProcess(), &Part, &One, PAGE_READWRITE | PAGE_NOCACHE, &Old),
               STATUS_INVALID_PAGE_PROTECTION);
    KTAP_EQUAL(ZwProtectVirtualMemory(ZwCurrentProcess(), &Part, &One, PAGE_READONLY, &Old), STATUS_SUCCESS);
    KTAP_EQUAL(Old, PAGE_READWRITE);
    KTAP_EQUAL(TestWrite((PUCHAR)Part + PAGE_SIZE, 1), STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(TestWrite(Base, 1), STATUS_SUCCESS);
    KTAP_EQUAL(ZwQueryVirtualMemory(ZwCurrentProcess(), Base, MemoryBasicInformation, &Basic, sizeof(Basic), NULL),
               STATUS_SUCCESS);
    KTAP_CHECK(Basic.Protect == PAGE_READWRITE && Basic.RegionSize == MM_LARGE_PAGE);
    KTAP_EQUAL(ZwQueryVirtualMemory(ZwCurrentProcess(), Part, MemoryBasicInformation, &Basic, sizeof(Basic), NULL),
               STATUS_SUCCESS);
    KTAP_CHECK(Basic.Protect == PAGE_READONLY && Basic.RegionSize == MM_LARGE_PAGE);
    KTAP_EQUAL(MiVerify(), 0);
    KTAP_EQUAL(ZwProtectVirtualMemory(ZwCurrentProcess(), &Part, &One, PAGE_EXECUTE_READWRITE, &Old), STATUS_SUCCESS);
    KTAP_EQUAL(Old, PAGE_READONLY);
    KTAP_EQUAL(TestWrite((PUCHAR)Part + PAGE_SIZE, 1), STATUS_SUCCESS);
    KTAP_EQUAL(ZwProtectVirtualMemory(ZwCurrentProcess(), &Part, &One, PAGE_READWRITE, &Old), STATUS_SUCCESS);
    KTAP_EQUAL(Old, PAGE_EXECUTE_READWRITE);
    One = PAGE_SIZE;
    KTAP_EQUAL(TestAllocate(&Part, &One, MEM_COMMIT, PAGE_READWRITE), STATUS_SUCCESS);
    KTAP_EQUAL(ZwFreeVirtualMemory(ZwCurrentProcess(), &Part, &One, MEM_DECOMMIT), STATUS_UNABLE_TO_FREE_VM);
    KTAP_EQUAL(ZwFreeVirtualMemory(ZwCurrentProcess(), &Part, &One, MEM_RELEASE), STATUS_UNABLE_TO_FREE_VM);
    One = 0;
    KTAP_EQUAL(ZwFreeVirtualMemory(ZwCurrentProcess(), &Base, &One, MEM_RELEASE), STATUS_SUCCESS);
    KTAP_EQUAL(TestRead(Base, &Value), STATUS_ACCESS_VIOLATION);
    KTAP_EXACT(MiCommit.Charged, Commit);
    KTAP_EQUAL(MiVerify(), 0);
}

static VOID LargeUse(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, UseBody);
}

/* Not reserved and committed at once, not a multiple, not protected as large pages can be. */
static VOID RefusedBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    static const struct {
        ULONG64 Base, Size;
        ULONG Type, Protect;
        NTSTATUS Status;
    } Bad[] = {
        {0, MM_LARGE_PAGE, MEM_RESERVE | MEM_LARGE_PAGES, PAGE_READWRITE, STATUS_INVALID_PARAMETER_5},
        {0, MM_LARGE_PAGE, MEM_COMMIT | MEM_LARGE_PAGES, PAGE_READWRITE, STATUS_INVALID_PARAMETER_5},
        {0, MM_LARGE_PAGE, LARGE_TYPES | MEM_WRITE_WATCH, PAGE_READWRITE, STATUS_INVALID_PARAMETER_5},
        {0, MM_LARGE_PAGE, LARGE_TYPES, PAGE_NOACCESS, STATUS_INVALID_PAGE_PROTECTION},
        {0, MM_LARGE_PAGE, LARGE_TYPES, PAGE_READWRITE | PAGE_GUARD, STATUS_INVALID_PAGE_PROTECTION},
        {0, MM_LARGE_PAGE, LARGE_TYPES, PAGE_READWRITE | PAGE_NOCACHE, STATUS_INVALID_PAGE_PROTECTION},
        {0, MM_LARGE_PAGE + PAGE_SIZE, LARGE_TYPES, PAGE_READWRITE, STATUS_INVALID_PARAMETER_4},
        {0x10000000 + PAGE_SIZE, MM_LARGE_PAGE, LARGE_TYPES, PAGE_READWRITE, STATUS_INVALID_PARAMETER_2},
        {0, 1ULL << 42, LARGE_TYPES, PAGE_READWRITE, STATUS_COMMITMENT_LIMIT},
    };

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Bad); Index++) {
        PVOID Base = (PVOID)Bad[Index].Base;
        SIZE_T Size = Bad[Index].Size;

        KTAP_EQUAL(TestAllocate(&Base, &Size, Bad[Index].Type, Bad[Index].Protect), Bad[Index].Status);
    }
    KTAP_EQUAL(MiVerify(), 0);
}

static VOID LargeRefused(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, RefusedBody);
}

/* The process ends with a region of large pages in it. */
static VOID LeftBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    SIZE_T Size = MM_LARGE_PAGE;
    PVOID Base = (PVOID)0x40000000, Small = (PVOID)0x40400000;

    KTAP_EQUAL(KTAP_WHOLE(TestAllocate(&Base, &Size, LARGE_TYPES, PAGE_EXECUTE_READWRITE)), STATUS_SUCCESS);
    Size = 1;
    KTAP_EQUAL(TestAllocate(&Small, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE), STATUS_SUCCESS);
    KTAP_EQUAL(TestWrite(Base, 1), STATUS_SUCCESS);
    KTAP_EQUAL(TestWrite(Small, 1), STATUS_SUCCESS);
    KTAP_EQUAL(MiVerify(), 0);
}

static VOID LargeLeft(PKTAP_CONTEXT Ktap)
{
    ULONG64 Commit = MiCommit.Charged;

    TestInProcess(Ktap, LeftBody);
    KTAP_EXACT(MiCommit.Charged, Commit);
    KTAP_EQUAL(MiVerify(), 0);
}

static const KTAP_CASE_ENTRY Cases[] = {{"use", LargeUse}, {"refused", LargeRefused}, {"left", LargeLeft}};
KTAP_SUITE(MmLargeSuite, "mm.large", Cases);
