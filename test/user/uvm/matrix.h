/*
 * matrix.h - the region that the matrix of virtual memory works on: its states, how each is made, what the documentation says of it.
 */
#pragma once

#include "uvm.h"

#define REGION  0x5A0000000ULL /* in the middle of nothing */
#define PAGES   64ULL
#define BYTES   (PAGES * PAGE_SIZE)
#define HALF    (BYTES / 2)
#define LOWEST  0x10000ULL
#define HIGHEST 0x7FFFFFFDFFFFULL /* 64 KB, and the guard of the user half, are left free */
#define WRAP    ((SIZE_T)0 - PAGE_SIZE)

typedef enum _STATE {
    StateFree,
    StateReserved,
    StateCommitted,
    StateReadOnly,
    StateGuard,
    StateNoAccess,
    StateHalf,        /* the lower half is committed */
    StateDecommitted, /* reserved and committed at once, then decommitted */
    StateView,        /* of a section without a file, readable and writable */
    StatePlaceholder,
    StateLow,    /* below the lowest address */
    StateKernel, /* above the highest */
    StateMax
} STATE;

static const struct {
    ULONG64 Offset;
    SIZE_T Size;
} Place[] = {
    {0, 0},   {0, 1}, {0, BYTES}, {1, PAGE_SIZE}, {0xF000, BYTES}, {HALF, HALF}, {BYTES - PAGE_SIZE, PAGE_SIZE + 1},
    {0, WRAP}};

extern ULONG Cases; /* tried so far */

/* A little above the lowest address other memory of the program begins, which is none of the model's business. */
static __attribute__((unused)) BOOLEAN IsOurs(ULONG State, ULONG Where)
{
    return State != StateLow || Place[Where].Offset < 0xF000;
}

/* ---- The region ---- */

static __attribute__((unused)) ULONG64 BaseOf(STATE State)
{
    return State == StateLow ? 0x1000 : State == StateKernel ? 0xFFFFF80000000000ULL : REGION;
}

static __attribute__((unused)) NTSTATUS Allocate(ULONG64 Address, SIZE_T Size, ULONG Type, ULONG Protect)
{
    PVOID Base = (PVOID)Address;

    return NtAllocateVirtualMemory(ZwCurrentProcess(), &Base, 0, &Size, Type, Protect);
}

static __attribute__((unused)) NTSTATUS Free(ULONG64 Address, SIZE_T Size, ULONG Type)
{
    PVOID Base = (PVOID)Address;

    return NtFreeVirtualMemory(ZwCurrentProcess(), &Base, &Size, Type);
}

static __attribute__((unused)) NTSTATUS BuildView(VOID)
{
    LARGE_INTEGER Bytes = {.QuadPart = BYTES};
    PVOID Base = (PVOID)REGION;
    SIZE_T Size = 0;
    HANDLE Section;
    NTSTATUS Status = NtCreateSection(&Section, SECTION_ALL_ACCESS, NULL, &Bytes, PAGE_READWRITE, SEC_COMMIT, NULL);

    if (NT_SUCCESS(Status)) {
        Status =
            NtMapViewOfSection(Section, ZwCurrentProcess(), &Base, 0, 0, NULL, &Size, ViewUnmap, 0, PAGE_READWRITE);
        NtClose(Section);
    }
    return Status;
}

static __attribute__((unused)) NTSTATUS Build(STATE State)
{
    PVOID Base = (PVOID)REGION;
    SIZE_T Size = BYTES;
    NTSTATUS Status;

    switch (State) {
    case StateReserved:
        return Allocate(REGION, BYTES, MEM_RESERVE, PAGE_READWRITE);
    case StateCommitted:
        return Allocate(REGION, BYTES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    case StateReadOnly:
        return Allocate(REGION, BYTES, MEM_RESERVE | MEM_COMMIT, PAGE_READONLY);
    case StateGuard:
        return Allocate(REGION, BYTES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD);
    case StateNoAccess:
        return Allocate(REGION, BYTES, MEM_RESERVE | MEM_COMMIT, PAGE_NOACCESS);
    case StateHalf:
        Status = Allocate(REGION, BYTES, MEM_RESERVE, PAGE_READWRITE);
        return NT_SUCCESS(Status) ? Allocate(REGION, HALF, MEM_COMMIT, PAGE_READWRITE) : Status;
    case StateDecommitted:
        Status = Allocate(REGION, BYTES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
        return NT_SUCCESS(Status) ? Free(REGION, BYTES, MEM_DECOMMIT) : Status;
    case StateView:
        return BuildView();
    case StatePlaceholder:
        return NtAllocateVirtualMemoryEx(ZwCurrentProcess(), &Base, &Size, MEM_RESERVE | MEM_RESERVE_PLACEHOLDER,
                                         PAGE_NOACCESS, NULL, 0);
    default:
        return STATUS_SUCCESS;
    }
}

/* Frees what lies between REGION - 1 MB and REGION + 1 MB, in however many parts. */
static __attribute__((unused)) VOID Destroy(VOID)
{
    MEMORY_BASIC_INFORMATION Basic;
    ULONG64 Address = REGION - 0x100000;

    while (Address < REGION + 0x100000 &&
           NT_SUCCESS(NtQueryVirtualMemory(ZwCurrentProcess(), (PVOID)Address, MemoryBasicInformation, &Basic,
                                           sizeof(Basic), NULL))) {
        if (Basic.State != MEM_FREE && !NT_SUCCESS(Free((ULONG64)Basic.AllocationBase, 0, MEM_RELEASE))) {
            NtUnmapViewOfSection(ZwCurrentProcess(), Basic.AllocationBase);
        }
        Address = (ULONG64)Basic.BaseAddress + Basic.RegionSize;
    }
}

static __attribute__((unused)) VOID Describe(ULONG64 Address, PMEMORY_BASIC_INFORMATION Basic)
{
    RtlZeroMemory(Basic, sizeof(*Basic));
    NtQueryVirtualMemory(ZwCurrentProcess(), (PVOID)Address, MemoryBasicInformation, Basic, sizeof(*Basic), NULL);
}

/* Says what differed; returns FALSE. */
static __attribute__((unused)) BOOLEAN Differs(PCSTR What, STATE State, ULONG Value, ULONG Where, NTSTATUS Status,
                                               NTSTATUS Expected)
{
    DbgPrint("# %s: state %lu, value 0x%lX, offset 0x%llX, size 0x%llX: 0x%08lX, not 0x%08lX\n", What, (ULONG)State,
             Value, Place[Where].Offset, (ULONG64)Place[Where].Size, (ULONG)Status, (ULONG)Expected);
    return FALSE;
}

/* ---- What the documentation says of states ---- */

static __attribute__((unused)) BOOLEAN Exists(STATE State)
{
    return State != StateFree && State != StateLow && State != StateKernel;
}

/* Pages from the region's start on that are committed. */
static __attribute__((unused)) ULONG64 CommittedPages(STATE State)
{
    switch (State) {
    case StateCommitted:
    case StateReadOnly:
    case StateGuard:
    case StateNoAccess:
    case StateView:
        return PAGES;
    case StateHalf:
        return PAGES / 2;
    default:
        return 0;
    }
}

static __attribute__((unused)) BOOLEAN Inside(STATE State, ULONG64 Base, SIZE_T Size)
{
    return Exists(State) && Base >= REGION && Base + Size <= REGION + BYTES;
}

static __attribute__((unused)) BOOLEAN AllCommitted(STATE State, ULONG64 Base, SIZE_T Size)
{
    return Inside(State, Base, Size) && Base + Size <= REGION + CommittedPages(State) * PAGE_SIZE;
}

static __attribute__((unused)) BOOLEAN Overlaps(STATE State, ULONG64 Base, SIZE_T Size)
{
    return Exists(State) && Base < REGION + BYTES && Base + Size > REGION;
}

/* One access, with at most one modifier, and none for no access. */
static __attribute__((unused)) BOOLEAN IsProtection(ULONG Protect)
{
    ULONG Modifier = Protect & (PAGE_GUARD | PAGE_NOCACHE | PAGE_WRITECOMBINE), Access = Protect & ~Modifier;

    if (Access == 0 || (Access & (Access - 1)) != 0 || Access > PAGE_EXECUTE_WRITECOPY ||
        (Modifier & (Modifier - 1)) != 0) {
        return FALSE;
    }
    return Access != PAGE_NOACCESS || Modifier == 0;
}

/* Address and size in the user half; the statuses are the parameters' numbers. */
static __attribute__((unused)) NTSTATUS RangeStatus(ULONG64 Base, SIZE_T Size, NTSTATUS BadBase, NTSTATUS BadSize,
                                                    BOOLEAN Empty)
{
    if (Base > HIGHEST) {
        return BadBase;
    }
    return (Size == 0 && !Empty) || Size > HIGHEST + 1 - Base ? BadSize : STATUS_SUCCESS;
}

static const ULONG Protections[] __attribute__((unused)) = {0,
                                                            PAGE_NOACCESS,
                                                            PAGE_READONLY,
                                                            PAGE_READWRITE,
                                                            PAGE_WRITECOPY,
                                                            PAGE_EXECUTE,
                                                            PAGE_EXECUTE_READ,
                                                            PAGE_EXECUTE_READWRITE,
                                                            PAGE_EXECUTE_WRITECOPY,
                                                            PAGE_READWRITE | PAGE_GUARD,
                                                            PAGE_READONLY | PAGE_NOCACHE,
                                                            PAGE_READWRITE | PAGE_WRITECOMBINE,
                                                            PAGE_NOACCESS | PAGE_GUARD,
                                                            PAGE_READWRITE | PAGE_GUARD | PAGE_NOCACHE,
                                                            PAGE_READONLY | PAGE_READWRITE,
                                                            0x1000};
