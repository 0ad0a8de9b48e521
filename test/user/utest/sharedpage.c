/*
 * sharedpage.c - cases of utest: KUSER_SHARED_DATA at 0x7FFE0000 is the kernel's own, lives, and can only be read.
 *
 * What a program reads there is compared with what the services say, several times while the clock runs; every way to change or
 * remove the page is tried. Time is never judged by how long anything took.
 */
#include "../ktap.h"
#include <oriel/ntdll.h>
#include "utest.h"

static const KUSER_SHARED_DATA *const Shared = (const KUSER_SHARED_DATA *)0x7FFE0000;

static LONG64 SharedTime(VOID)
{
    ULONG High;
    ULONG Low;

    do { /* the clock writes High2Time, LowPart, High1Time in this order */
        High = *(volatile const LONG *)&Shared->SystemTime.High1Time;
        Low = *(volatile const ULONG *)&Shared->SystemTime.LowPart;
    } while (High != (ULONG) * (volatile const LONG *)&Shared->SystemTime.High2Time);
    return (LONG64)((ULONG64)High << 32 | Low);
}

ULONG SharedPageLives(VOID)
{
    LARGE_INTEGER Before, After, Pause = {.QuadPart = -500000}; /* 50 ms */
    LONG64 Seen;

    CHECK(Shared->NtMajorVersion == RtlGetCurrentPeb()->OSMajorVersion &&
          Shared->NtMinorVersion == RtlGetCurrentPeb()->OSMinorVersion);
    CHECK(Shared->ActiveProcessorCount == RtlGetCurrentPeb()->NumberOfProcessors);
    for (ULONG Index = 0; Index < 5; Index++) {
        CHECK(NtQuerySystemTime(&Before) == STATUS_SUCCESS);
        Seen = SharedTime();
        CHECK(NtQuerySystemTime(&After) == STATUS_SUCCESS);
        CHECK(Before.QuadPart <= Seen && Seen <= After.QuadPart);
        CHECK(NtDelayExecution(FALSE, &Pause) == STATUS_SUCCESS);
        CHECK(SharedTime() > Seen);
    }
    return 0;
}

ULONG SharedPageIsFixed(VOID)
{
    PVOID Base = (PVOID)Shared;
    SIZE_T Size = 0;
    ULONG Old;
    MEMORY_BASIC_INFORMATION Info;
    NTSTATUS Status = STATUS_SUCCESS;

    __try {
        *(volatile ULONG *)Shared = 1;
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Status = GetExceptionCode();
    }
    CHECK(Status == STATUS_ACCESS_VIOLATION);
    CHECK(NtQueryVirtualMemory(ZwCurrentProcess(), Base, MemoryBasicInformation, &Info, sizeof(Info), NULL) ==
          STATUS_SUCCESS);
    CHECK(Info.State == MEM_COMMIT && Info.Protect == PAGE_READONLY && Info.RegionSize == PAGE_SIZE);
    CHECK(NtUnmapViewOfSection(ZwCurrentProcess(), Base) == STATUS_INVALID_PAGE_PROTECTION);
    CHECK(!NT_SUCCESS(NtFreeVirtualMemory(ZwCurrentProcess(), &Base, &Size, MEM_RELEASE)));
    Size = PAGE_SIZE;
    CHECK(!NT_SUCCESS(NtProtectVirtualMemory(ZwCurrentProcess(), &Base, &Size, PAGE_READWRITE, &Old)));
    CHECK(!NT_SUCCESS(
        NtAllocateVirtualMemory(ZwCurrentProcess(), &Base, 0, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE)));
    CHECK(Shared->NtMajorVersion == RtlGetCurrentPeb()->OSMajorVersion);
    return 0;
}
