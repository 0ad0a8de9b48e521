/*
 * uaslr.c - the suite of random addresses: what lies where is within its range, and what was asked for is where it was asked for.
 *
 * Its last line tells where things are; test_aslr.py compares those lines between boots and runs. Run with the word `tell` it
 * prints that line alone.
 */
#include "../ktap.h"

#define GIGABYTE (1ULL << 30)
#define SLOT     0x10000ULL

static PTEB CurrentTeb(VOID)
{
    return (PTEB)__readgsqword(FIELD_OFFSET(NT_TIB, Self));
}

static BOOLEAN IsBetween(const VOID *Address, ULONG64 Low, ULONG64 High)
{
    return (ULONG64)Address >= Low && (ULONG64)Address < High;
}

static PVOID Take(PVOID Base, SIZE_T Size, ULONG Type)
{
    return NT_SUCCESS(NtAllocateVirtualMemory(ZwCurrentProcess(), &Base, 0, &Size, Type, PAGE_READWRITE)) ? Base : NULL;
}

static ULONG Give(PVOID Base)
{
    SIZE_T Size = 0;

    CHECK(NtFreeVirtualMemory(ZwCurrentProcess(), &Base, &Size, MEM_RELEASE) == STATUS_SUCCESS);
    return 0;
}

static VOID Tell(VOID)
{
    PTEB Teb = CurrentTeb();
    PPEB Peb = Teb->ProcessEnvironmentBlock;

    DbgPrint("addresses: image %p ntdll %p heap %p peb %p teb %p stack %p first %p parameters %p\n",
             Peb->ImageBaseAddress, Peb->NtdllBase, Peb->ProcessHeap, Peb, Teb, Teb->NtTib.StackBase, PAGE_ALIGN(&Teb),
             Peb->ProcessParameters);
}

/* ---- Cases ---- */

static ULONG Ranges(VOID)
{
    PTEB Teb = CurrentTeb();
    PPEB Peb = Teb->ProcessEnvironmentBlock;

    CHECK(IsBetween(Peb->ImageBaseAddress, 0x7FF600000000ULL, 0x7FFA00000000ULL) ||
          Peb->ImageBaseAddress == (PVOID)0x140000000ULL); /* noaslr */
    CHECK(IsBetween(Peb->NtdllBase, 0x7FFB00000000ULL, 0x7FFF00000000ULL));
    CHECK(IsBetween(Peb, 0x7FFF00000000ULL, 0x800000000000ULL) && IsBetween(Teb, 0x7FFF00000000ULL, 0x800000000000ULL));
    CHECK(IsBetween(Teb->NtTib.StackBase, 0x7FFF00000000ULL, 0x800000000000ULL));
    CHECK(IsBetween(Peb->ProcessHeap, SLOT, 512 * GIGABYTE));
    return 0;
}

/* The documented order of allocations without an address: the lowest free place from the process's bottom on, top-down the highest. */
static ULONG LowAndHigh(VOID)
{
    PVOID Low = Take(NULL, SLOT, MEM_RESERVE), Next = Take(NULL, SLOT, MEM_RESERVE);
    PVOID High = Take(NULL, SLOT, MEM_RESERVE | MEM_TOP_DOWN);

    CHECK(Low != NULL && Low < Next && (ULONG64)Next < 512 * GIGABYTE + GIGABYTE);
    CHECK((ULONG64)High == 0x7FFFFFFF0000ULL - SLOT || (ULONG64)High >= 0x7FFFF0000000ULL);
    CHECK(Give(Low) == 0 && Give(Next) == 0 && Give(High) == 0);
    return 0;
}

/* An address that the program names is the one it gets, the lowest of all among them; zero bits bind. */
static ULONG Explicit(VOID)
{
    PVOID Lowest = Take((PVOID)SLOT, SLOT, MEM_RESERVE), Base = NULL;
    SIZE_T Size = SLOT;

    CHECK(Lowest == (PVOID)SLOT);
    CHECK(NtAllocateVirtualMemory(ZwCurrentProcess(), &Base, 1, &Size, MEM_RESERVE, PAGE_READWRITE) == STATUS_SUCCESS);
    CHECK(Base == (PVOID)(2 * SLOT));
    CHECK(Give(Lowest) == 0 && Give(Base) == 0);
    return 0;
}

/* More than there is above the bottom is found below it. */
static ULONG WholeHalf(VOID)
{
    PVOID Most = Take(NULL, 0x7FF000000000ULL - 513 * GIGABYTE, MEM_RESERVE);
    PVOID Below = Take(NULL, 200 * GIGABYTE, MEM_RESERVE), Above = Take(NULL, 200 * GIGABYTE, MEM_RESERVE);

    CHECK(Most != NULL);
    CHECK(Below != NULL || Above == NULL);
    CHECK(Give(Most) == 0 && (Below == NULL || Give(Below) == 0) && (Above == NULL || Give(Above) == 0));
    return 0;
}

static VOID *Places[THREADS];

static ULONG NoteStack(PVOID Number)
{
    Places[(ULONG64)Number] = CurrentTeb()->NtTib.StackBase;
    return 0;
}

/* Every thread's stack begins elsewhere in its reservation, which is still as large as was asked for. */
static ULONG Stacks(VOID)
{
    PTEB Teb = CurrentTeb();

    for (ULONG Index = 0; Index < THREADS; Index++) {
        CHECK(Join(StartThread(NoteStack, (PVOID)(ULONG64)Index, 0)) == 0);
        CHECK(IsBetween(Places[Index], 0x7FF000000000ULL, 0x800000000000ULL));
    }
    CHECK((ULONG64)Teb->NtTib.StackBase - (ULONG64)Teb->DeallocationStack >= 0x100000);
    CHECK((ULONG64)&Teb > (ULONG64)Teb->NtTib.StackLimit && (ULONG64)&Teb < (ULONG64)Teb->NtTib.StackBase);
    return 0;
}

NTSTATUS NtProcessStartup(PPEB Peb)
{
    static const USER_CASE Cases[] = {
        {"user.aslr.ranges", Ranges},        {"user.aslr.low_and_high", LowAndHigh}, {"user.aslr.explicit", Explicit},
        {"user.aslr.whole_half", WholeHalf}, {"user.aslr.stacks", Stacks},
    };
    UNICODE_STRING Line = Peb->ProcessParameters->CommandLine;
    NTSTATUS Status = STATUS_SUCCESS;

    if (Line.Length < 4 * sizeof(WCHAR) || Line.Buffer[Line.Length / sizeof(WCHAR) - 1] != 'l') {
        Status = UserRunSuite("uaslr.c", Cases, RTL_NUMBER_OF(Cases));
    }
    Tell();
    return Status;
}
