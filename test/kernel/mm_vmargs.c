/*
 * mm_vmargs.c - suite mm.vmargs: what the services of virtual memory say to wrong arguments.
 *
 * Tables of calls with the status that Windows documents or returns, run on a process with one region of each kind;
 * what NtQueryVirtualMemory describes there; where allocations are placed. MiVerify runs after each table, so that a refused call
 * that left something behind shows.
 */
#include "proctest.h"

#define REGION  0x10000000ULL /* 16 pages, reserved; pages 4-7 committed */
#define WHOLE   0x20000000ULL /* 16 pages, committed as a whole */
#define NOWHERE 0x30000000ULL

static BOOLEAN Prepare(VOID)
{
    PVOID Base = (PVOID)REGION;
    SIZE_T Size = 16 * PAGE_SIZE;

    if (!NT_SUCCESS(TestAllocate(&Base, &Size, MEM_RESERVE, PAGE_EXECUTE_READWRITE))) {
        return FALSE;
    }
    Base = (PVOID)(REGION + 4 * PAGE_SIZE);
    Size = 4 * PAGE_SIZE;
    if (!NT_SUCCESS(TestAllocate(&Base, &Size, MEM_COMMIT, PAGE_READWRITE))) {
        return FALSE;
    }
    Base = (PVOID)WHOLE;
    Size = 16 * PAGE_SIZE;
    return NT_SUCCESS(TestAllocate(&Base, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READONLY));
}

typedef struct _ALLOCATE_CASE {
    ULONG64 Base, ZeroBits, Size;
    ULONG Type, Protect;
    NTSTATUS Status;
} ALLOCATE_CASE;

static const ALLOCATE_CASE AllocateCases[] = {
    {0, 22, 4096, MEM_RESERVE, PAGE_READWRITE, STATUS_INVALID_PARAMETER_3},
    {0, 31, 4096, MEM_RESERVE, PAGE_READWRITE, STATUS_INVALID_PARAMETER_3},
    {0, 0, 4096, 0, PAGE_READWRITE, STATUS_INVALID_PARAMETER_5},
    {0, 0, 4096, MEM_TOP_DOWN, PAGE_READWRITE, STATUS_INVALID_PARAMETER_5},
    {0, 0, 4096, MEM_DECOMMIT, PAGE_READWRITE, STATUS_INVALID_PARAMETER_5},
    {0, 0, 4096, MEM_RESET | MEM_COMMIT, PAGE_READWRITE, STATUS_INVALID_PARAMETER_5},
    {0, 0, 4096, MEM_RESERVE, 0, STATUS_INVALID_PAGE_PROTECTION},
    {0, 0, 4096, MEM_RESERVE, PAGE_READWRITE | PAGE_READONLY, STATUS_INVALID_PAGE_PROTECTION},
    {0, 0, 4096, MEM_RESERVE, PAGE_WRITECOPY, STATUS_INVALID_PAGE_PROTECTION},
    {0, 0, 4096, MEM_RESERVE, PAGE_EXECUTE_WRITECOPY, STATUS_INVALID_PAGE_PROTECTION},
    {0, 0, 4096, MEM_RESERVE, PAGE_NOACCESS | PAGE_GUARD, STATUS_INVALID_PAGE_PROTECTION},
    {0, 0, 4096, MEM_RESERVE, PAGE_READWRITE | PAGE_GUARD | PAGE_NOCACHE, STATUS_INVALID_PAGE_PROTECTION},
    {0, 0, 4096, MEM_RESERVE, PAGE_READWRITE | 0x1000, STATUS_INVALID_PAGE_PROTECTION},
    {0, 0, 0, MEM_RESERVE, PAGE_READWRITE, STATUS_INVALID_PARAMETER_4},
    {0, 0, MAXULONG64, MEM_RESERVE, PAGE_READWRITE, STATUS_INVALID_PARAMETER_4},
    {0x8000, 0, 4096, MEM_RESERVE, PAGE_READWRITE, STATUS_INVALID_PARAMETER_2},
    {0xFFFF800000000000, 0, 4096, MEM_RESERVE, PAGE_READWRITE, STATUS_INVALID_PARAMETER_2},
    {0x8000000000000000, 0, 4096, MEM_COMMIT, PAGE_READWRITE, STATUS_INVALID_PARAMETER_2},
    {0x7FFFFFFE0000, 0, 4096, MEM_RESERVE, PAGE_READWRITE, STATUS_INVALID_PARAMETER_2},
    {0x7FFFFFFD0000, 0, 0x11000, MEM_RESERVE, PAGE_READWRITE, STATUS_INVALID_PARAMETER_4},
    {REGION, 0, 4096, MEM_RESERVE, PAGE_READWRITE, STATUS_CONFLICTING_ADDRESSES},
    {REGION - 0x10000, 0, 0x10001, MEM_RESERVE, PAGE_READWRITE, STATUS_CONFLICTING_ADDRESSES},
    {REGION + 0xF000, 0, 4096, MEM_RESERVE, PAGE_READWRITE, STATUS_CONFLICTING_ADDRESSES},
    {NOWHERE, 0, 4096, MEM_COMMIT, PAGE_READWRITE, STATUS_CONFLICTING_ADDRESSES},
    {NOWHERE, 0, 4096, MEM_RESET, PAGE_READWRITE, STATUS_CONFLICTING_ADDRESSES},
    {0, 0, 4096, MEM_RESET, PAGE_READWRITE, STATUS_INVALID_PARAMETER_2},
    {0, 0, 4096, MEM_RESET_UNDO, PAGE_READWRITE, STATUS_INVALID_PARAMETER_2},
    {WHOLE, 0, 4096, MEM_RESET | MEM_RESET_UNDO, PAGE_READWRITE, STATUS_INVALID_PARAMETER_5},
    {WHOLE, 0, 4096, MEM_RESET | MEM_TOP_DOWN, PAGE_READWRITE, STATUS_INVALID_PARAMETER_5},
    {WHOLE, 0, 4096, MEM_RESET_UNDO | MEM_RESERVE, PAGE_READWRITE, STATUS_INVALID_PARAMETER_5},
    {WHOLE, 0, 4096, MEM_RESET, 0, STATUS_INVALID_PAGE_PROTECTION},
    {WHOLE, 0, 4095, MEM_RESET, PAGE_READWRITE, STATUS_INVALID_PARAMETER_4},
    {WHOLE + 1, 0, 8190, MEM_RESET, PAGE_READWRITE, STATUS_INVALID_PARAMETER_4},
    {WHOLE + 15 * PAGE_SIZE, 0, 8192, MEM_RESET, PAGE_READWRITE, STATUS_CONFLICTING_ADDRESSES},
    {REGION + 15 * PAGE_SIZE, 0, 4097, MEM_COMMIT, PAGE_READWRITE, STATUS_CONFLICTING_ADDRESSES},
    {0, 0, 1ULL << 46, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, STATUS_COMMITMENT_LIMIT},
    {0, 0, MM_USER_PROBE_END - 0x10000, MEM_RESERVE, PAGE_READWRITE, STATUS_NO_MEMORY},
    {0, 1, 0x80000000, MEM_RESERVE, PAGE_READWRITE, STATUS_NO_MEMORY},
    {0, 0xFFFFFFF, 0x10000000, MEM_RESERVE, PAGE_READWRITE, STATUS_NO_MEMORY},
};

static VOID AllocateBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    KTAP_CHECK(KTAP_WHOLE(Prepare()));
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(AllocateCases); Index++) {
        const ALLOCATE_CASE *Case = &AllocateCases[Index];
        PVOID Base = (PVOID)Case->Base;
        SIZE_T Size = Case->Size;
        NTSTATUS Status =
            ZwAllocateVirtualMemory(ZwCurrentProcess(), &Base, Case->ZeroBits, &Size, Case->Type, Case->Protect);

        if (Status != Case->Status || Base != (PVOID)Case->Base || Size != Case->Size) {
            KtapFail(Ktap, __FILE__, __LINE__, "case %u: status 0x%08X, expected 0x%08X", Index, Status, Case->Status);
        }
    }
}

static VOID VmAllocate(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, AllocateBody);
}

typedef struct _FREE_CASE {
    ULONG64 Base, Size;
    ULONG Type;
    NTSTATUS Status;
} FREE_CASE;

static const FREE_CASE FreeCases[] = {
    {REGION, 0, 0, STATUS_INVALID_PARAMETER_4},
    {REGION, 0, MEM_DECOMMIT | MEM_RELEASE, STATUS_INVALID_PARAMETER_4},
    {REGION, 0, MEM_COMMIT, STATUS_INVALID_PARAMETER_4},
    {0xFFFFF80000000000, 0, MEM_RELEASE, STATUS_INVALID_PARAMETER_2},
    {REGION, MAXULONG64, MEM_RELEASE, STATUS_INVALID_PARAMETER_3},
    {NOWHERE, 0, MEM_RELEASE, STATUS_MEMORY_NOT_ALLOCATED},
    {NOWHERE, 4096, MEM_DECOMMIT, STATUS_MEMORY_NOT_ALLOCATED},
    {REGION + PAGE_SIZE, 0, MEM_RELEASE, STATUS_FREE_VM_NOT_AT_BASE},
    {REGION + PAGE_SIZE, 0, MEM_DECOMMIT, STATUS_FREE_VM_NOT_AT_BASE},
    {REGION, 17 * PAGE_SIZE, MEM_RELEASE, STATUS_UNABLE_TO_FREE_VM},
    {REGION + 15 * PAGE_SIZE, 4097, MEM_DECOMMIT, STATUS_UNABLE_TO_FREE_VM},
};

static VOID FreeBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    KTAP_CHECK(KTAP_WHOLE(Prepare()));
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(FreeCases); Index++) {
        const FREE_CASE *Case = &FreeCases[Index];
        NTSTATUS Status = TestFree((PVOID)Case->Base, Case->Size, Case->Type);

        if (Status != Case->Status) {
            KtapFail(Ktap, __FILE__, __LINE__, "case %u: status 0x%08X, expected 0x%08X", Index, Status, Case->Status);
        }
    }
}

static VOID VmFree(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, FreeBody);
}

typedef struct _QUERY_CASE {
    ULONG64 Address, Base, AllocationBase, Size;
    ULONG State, Protect, AllocationProtect, Type;
} QUERY_CASE;

static const QUERY_CASE QueryCases[] = {
    {0, 0, 0, REGION, MEM_FREE, PAGE_NOACCESS, 0, 0},
    {0x12345, 0x12000, 0, REGION - 0x12000, MEM_FREE, PAGE_NOACCESS, 0, 0},
    {REGION, REGION, REGION, 4 * PAGE_SIZE, MEM_RESERVE, 0, PAGE_EXECUTE_READWRITE, MEM_PRIVATE},
    {REGION + 5 * PAGE_SIZE + 9, REGION + 5 * PAGE_SIZE, REGION, 3 * PAGE_SIZE, MEM_COMMIT, PAGE_READWRITE,
     PAGE_EXECUTE_READWRITE, MEM_PRIVATE},
    {REGION + 8 * PAGE_SIZE, REGION + 8 * PAGE_SIZE, REGION, 8 * PAGE_SIZE, MEM_RESERVE, 0, PAGE_EXECUTE_READWRITE,
     MEM_PRIVATE},
    {REGION + 16 * PAGE_SIZE, REGION + 16 * PAGE_SIZE, 0, WHOLE - REGION - 16 * PAGE_SIZE, MEM_FREE, PAGE_NOACCESS, 0,
     0},
    {WHOLE, WHOLE, WHOLE, 16 * PAGE_SIZE, MEM_COMMIT, PAGE_READONLY, PAGE_READONLY, MEM_PRIVATE},
    {MM_USER_PROBE_END - 1, MM_USER_PROBE_END - PAGE_SIZE, 0, PAGE_SIZE, MEM_FREE, PAGE_NOACCESS, 0, 0},
};

static BOOLEAN Described(const MEMORY_BASIC_INFORMATION *Basic, const QUERY_CASE *Case)
{
    return (ULONG64)Basic->BaseAddress == Case->Base && (ULONG64)Basic->AllocationBase == Case->AllocationBase &&
           Basic->RegionSize == Case->Size && Basic->State == Case->State && Basic->Protect == Case->Protect &&
           Basic->AllocationProtect == Case->AllocationProtect && Basic->Type == Case->Type;
}

static VOID QueryBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    MEMORY_BASIC_INFORMATION Basic;
    SIZE_T Length = 0;

    KTAP_CHECK(KTAP_WHOLE(Prepare()));
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(QueryCases); Index++) {
        KTAP_EQUAL(ZwQueryVirtualMemory(ZwCurrentProcess(), (PVOID)QueryCases[Index].Address, MemoryBasicInformation,
                                        &Basic, sizeof(Basic), &Length),
                   STATUS_SUCCESS);
        KTAP_EQUAL(Length, sizeof(Basic));
        if (!Described(&Basic, &QueryCases[Index])) {
            KtapFail(Ktap, __FILE__, __LINE__, "case %u: base %p of %p, %llu bytes, state 0x%x protect 0x%x", Index,
                     Basic.BaseAddress, Basic.AllocationBase, Basic.RegionSize, Basic.State, Basic.Protect);
        }
    }
    KTAP_EQUAL(ZwQueryVirtualMemory(ZwCurrentProcess(), (PVOID)MM_USER_PROBE_END, MemoryBasicInformation, &Basic,
                                    sizeof(Basic), NULL),
               STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(ZwQueryVirtualMemory(ZwCurrentProcess(), NULL, MemoryBasicInformation, &Basic, sizeof(Basic) - 1, NULL),
               STATUS_INFO_LENGTH_MISMATCH);
    KTAP_EQUAL(ZwQueryVirtualMemory(ZwCurrentProcess(), NULL, 99, &Basic, sizeof(Basic), NULL),
               STATUS_INVALID_INFO_CLASS);
    KTAP_EQUAL(ZwQueryVirtualMemory((HANDLE)0x7770, NULL, MemoryBasicInformation, &Basic, sizeof(Basic), NULL),
               STATUS_INVALID_HANDLE);
}

static VOID VmQuery(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, QueryBody);
}

/* Bottom-up and top-down placement, alignment, and the zero bits. */
static VOID PlaceBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    PVOID Low = NULL, Next = NULL, High = NULL, Small = NULL, At = (PVOID)(NOWHERE + 0x1234);
    SIZE_T Size = 1, NextSize = 1, HighSize = 1, SmallSize = 1, AtSize = 0x2000;

    KTAP_EQUAL(TestAllocate(&Low, &Size, MEM_RESERVE, PAGE_READWRITE), STATUS_SUCCESS);
    KTAP_EQUAL(Low, 0x10000);
    KTAP_EQUAL(Size, PAGE_SIZE);
    KTAP_EQUAL(TestAllocate(&Next, &NextSize, MEM_COMMIT, PAGE_READWRITE), STATUS_SUCCESS); /* reserves too */
    KTAP_EQUAL(Next, 0x20000);
    KTAP_EQUAL(TestAllocate(&High, &HighSize, MEM_RESERVE | MEM_TOP_DOWN, PAGE_READWRITE), STATUS_SUCCESS);
    KTAP_EQUAL(High, MI_HIGHEST_VAD + 1 - 0x10000);
    KTAP_EQUAL(
        NtAllocateVirtualMemory(ZwCurrentProcess(), &Small, 4, &SmallSize, MEM_RESERVE | MEM_TOP_DOWN, PAGE_READWRITE),
        STATUS_SUCCESS);
    KTAP_EQUAL(Small, 0x0FFF0000);
    KTAP_EQUAL(TestAllocate(&At, &AtSize, MEM_RESERVE, PAGE_READWRITE), STATUS_SUCCESS);
    KTAP_EQUAL(At, NOWHERE);
    KTAP_EQUAL(NtFreeVirtualMemory(ZwCurrentProcess(), &Small, &SmallSize, MEM_RELEASE), STATUS_SUCCESS);
    KTAP_EQUAL(AtSize, 4 * PAGE_SIZE); /* from the 64 KB boundary to the end of the page asked for */
    KTAP_EQUAL(MiVerify(), 0);
}

static VOID VmPlace(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, PlaceBody);
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"allocate", VmAllocate},
    {"free", VmFree},
    {"query", VmQuery},
    {"place", VmPlace},
};
KTAP_SUITE(MmVmArgsSuite, "mm.vmargs", Cases);
