/*
 * utest.c - the suite of programs: services, threads, APCs, exceptions and memory, seen from ring 3; prints KTAP version 1.
 *
 * Cases are functions that return the line they failed at, 0 if they passed. Two processors' worth of threads run where it matters; nothing
 * is judged by time.
 */
#include "../ktap.h"
#include "utest.h"

/* ---- System calls ---- */

static NTSTATUS CallNumber(ULONG Number)
{
    ULONG64 Result = Number;

    __asm__ volatile("xorl %%r10d, %%r10d\n\tsyscall" : "+a"(Result)::"rcx", "r10", "r11", "memory");
    return (NTSTATUS)Result;
}

static ULONG CallUnknown(VOID)
{
    CHECK(CallNumber(0x7FFFFFFF) == STATUS_INVALID_SYSTEM_SERVICE);
    CHECK(CallNumber(100000) == STATUS_INVALID_SYSTEM_SERVICE);
    return 0;
}

/* Registers that the calling convention keeps are kept, volatile ones tell nothing of the kernel. */
static ULONG CallRegisters(VOID)
{
    ULONG64 Kept[4] = {0}, Xmm[2] = {1, 1}, Vector[2] = {0x1122334455667788, 0x99AABBCCDDEEFF00}, After[2] = {0};
    ULONG64 Number = 0x7FFFFFFF, Rdx = 0x1234, R8 = 0;

    __asm__ volatile("movq $11, %%rbx\n\tmovq $12, %%r12\n\tmovq $13, %%r13\n\tmovq $14, %%r14\n\t"
                     "movdqu %[vector], %%xmm6\n\tmovdqu %[vector], %%xmm3\n\tmovq $0x5678, %%r8\n\tsyscall\n\t"
                     "movq %%rbx, 0(%[kept])\n\tmovq %%r12, 8(%[kept])\n\tmovq %%r13, 16(%[kept])\n\t"
                     "movq %%r14, 24(%[kept])\n\tmovdqu %%xmm3, %[xmm]\n\tmovdqu %%xmm6, %[after]\n\tmovq %%r8, %[r8]"
                     : "+a"(Number), "+d"(Rdx), [xmm] "=m"(Xmm), [after] "=m"(After), [r8] "=m"(R8)
                     : [kept] "r"(Kept), [vector] "m"(Vector)
                     : "rbx", "rcx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "xmm3", "xmm6", "memory");
    CHECK(Kept[0] == 11 && Kept[1] == 12 && Kept[2] == 13 && Kept[3] == 14);
    CHECK(After[0] == Vector[0] && After[1] == Vector[1]);
    CHECK(Xmm[0] == 0 && Xmm[1] == 0);
    CHECK(Rdx == 0x1234 && R8 == 0x5678);
    return 0;
}

/* INT 2Eh is the same door. */
static ULONG CallByInterrupt(VOID)
{
    ULONG64 Result = 0x7FFFFFFF;

    __asm__ volatile("xorl %%r10d, %%r10d\n\tint $0x2E" : "+a"(Result)::"rcx", "r10", "r11", "memory");
    CHECK((NTSTATUS)Result == STATUS_INVALID_SYSTEM_SERVICE);
    return 0;
}

/* A service neither reads nor writes where its caller could not. */
static ULONG CallBadPointers(VOID)
{
    UNICODE_STRING Text = {8, 8, KERNEL_POINTER};
    PVOID Base = NULL;
    SIZE_T Size = PAGE_SIZE;
    HANDLE Event;

    CHECK(NtQuerySystemTime(KERNEL_POINTER) == STATUS_ACCESS_VIOLATION);
    CHECK(NtQuerySystemTime(NULL) == STATUS_ACCESS_VIOLATION);
    CHECK(NtQuerySystemTime((PLARGE_INTEGER)0x00007FFFFFFEFFFCULL) == STATUS_ACCESS_VIOLATION);
    CHECK(NtDisplayString(&Text) == STATUS_ACCESS_VIOLATION);
    CHECK(NtDisplayString(KERNEL_POINTER) == STATUS_ACCESS_VIOLATION);
    CHECK(NtCreateEvent(KERNEL_POINTER, EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE) == STATUS_ACCESS_VIOLATION);
    CHECK(NtCreateEvent(&Event, EVENT_ALL_ACCESS, KERNEL_POINTER, NotificationEvent, FALSE) == STATUS_ACCESS_VIOLATION);
    CHECK(NtWaitForSingleObject(ZwCurrentProcess(), FALSE, KERNEL_POINTER) == STATUS_ACCESS_VIOLATION);
    CHECK(NtAllocateVirtualMemory(ZwCurrentProcess(), KERNEL_POINTER, 0, &Size, MEM_COMMIT, PAGE_READWRITE) ==
          STATUS_ACCESS_VIOLATION);
    CHECK(NtAllocateVirtualMemory(ZwCurrentProcess(), &Base, 0, &Size, MEM_RESERVE, PAGE_READWRITE) == STATUS_SUCCESS);
    CHECK(NtQuerySystemTime(Base) == STATUS_ACCESS_VIOLATION); /* reserved only */
    Size = 0;
    CHECK(NtFreeVirtualMemory(ZwCurrentProcess(), &Base, &Size, MEM_RELEASE) == STATUS_SUCCESS);
    CHECK(NtContinue(KERNEL_POINTER, FALSE) == STATUS_ACCESS_VIOLATION);
    CHECK(NtRaiseException(KERNEL_POINTER, KERNEL_POINTER, TRUE) == STATUS_ACCESS_VIOLATION);
    return 0;
}

/* The kernel's handles are not a program's, whatever their number. */
static ULONG CallBadHandles(VOID)
{
    CHECK(NtClose((HANDLE)4) == STATUS_INVALID_HANDLE);
    CHECK(NtClose((HANDLE)0xFFFFFFFF80000004ULL) == STATUS_INVALID_HANDLE);
    CHECK(NtSetEvent((HANDLE)0xFFFFFFFF80000004ULL, NULL) == STATUS_INVALID_HANDLE);
    CHECK(NtSetEvent(ZwCurrentProcess(), NULL) == STATUS_OBJECT_TYPE_MISMATCH);
    return 0;
}

/* ---- Events ---- */

static ULONG EventStates(VOID)
{
    LARGE_INTEGER Now = {.QuadPart = 0};
    HANDLE Event;
    LONG Old = 7;

    CHECK(NtCreateEvent(&Event, EVENT_ALL_ACCESS, NULL, SynchronizationEvent, FALSE) == STATUS_SUCCESS);
    CHECK(NtWaitForSingleObject(Event, FALSE, &Now) == STATUS_TIMEOUT);
    CHECK(NtSetEvent(Event, &Old) == STATUS_SUCCESS && Old == 0);
    CHECK(NtSetEvent(Event, &Old) == STATUS_SUCCESS && Old == 1);
    CHECK(NtWaitForSingleObject(Event, FALSE, &Now) == STATUS_SUCCESS);
    CHECK(NtWaitForSingleObject(Event, FALSE, &Now) == STATUS_TIMEOUT);
    CHECK(NtClose(Event) == STATUS_SUCCESS);
    CHECK(NtClose(Event) == STATUS_INVALID_HANDLE);
    return 0;
}

/* ---- Threads ---- */

static volatile LONG Visits;

static NTSTATUS NTAPI Visit(PVOID Argument)
{
    InterlockedAdd(&Visits, (LONG)(ULONG_PTR)Argument);
    return STATUS_SUCCESS;
}

static ULONG ThreadStorm(VOID)
{
    HANDLE Thread[THREADS];

    Visits = 0;
    for (ULONG Round = 0; Round < 25; Round++) {
        for (ULONG Index = 0; Index < THREADS; Index++) {
            Thread[Index] = StartThread(Visit, (PVOID)(ULONG_PTR)(Index + 1), 0);
        }
        for (ULONG Index = 0; Index < THREADS; Index++) {
            CHECK(Join(Thread[Index]) == 0);
        }
    }
    CHECK(Visits == 25 * (1 + 2 + 3 + 4));
    return 0;
}

static PVOID volatile Left[2]; /* a thread's TEB and the lowest byte of its stack */

static NTSTATUS NTAPI TellParts(PVOID Argument)
{
    PTEB Teb = (PTEB)__readgsqword(FIELD_OFFSET(NT_TIB, Self));

    Left[0] = Teb;
    Left[1] = Teb->DeallocationStack;
    return STATUS_SUCCESS;
}

/* The addresses of a thread that has ended are free, so a process may start any number of them. */
static ULONG ThreadLeavesNothing(VOID)
{
    for (ULONG Round = 0; Round < 3; Round++) {
        CHECK(Join(StartThread(TellParts, NULL, 0)) == 0);
        for (ULONG Index = 0; Index < RTL_NUMBER_OF(Left); Index++) {
            MEMORY_BASIC_INFORMATION Region;

            CHECK(NtQueryVirtualMemory(ZwCurrentProcess(), Left[Index], MemoryBasicInformation, &Region, sizeof(Region),
                                       NULL) == STATUS_SUCCESS);
            CHECK(Left[Index] != NULL && Region.State == MEM_FREE);
        }
    }
    return 0;
}

static ULONG ThreadSuspended(VOID)
{
    LARGE_INTEGER Short = {.QuadPart = -10000};
    HANDLE Thread;
    ULONG Count = 7;

    Visits = 0;
    Thread = StartThread(Visit, (PVOID)1, 1);
    CHECK(Thread != NULL);
    CHECK(NtWaitForSingleObject(Thread, FALSE, &Short) == STATUS_TIMEOUT);
    CHECK(Visits == 0);
    CHECK(NtSuspendThread(Thread, &Count) == STATUS_SUCCESS && Count == 1);
    CHECK(NtResumeThread(Thread, &Count) == STATUS_SUCCESS && Count == 2);
    CHECK(NtResumeThread(Thread, &Count) == STATUS_SUCCESS && Count == 1);
    CHECK(Join(Thread) == 0);
    CHECK(Visits == 1);
    return 0;
}

static NTSTATUS NTAPI Spin(PVOID Argument)
{
    for (;;) {
        Visits = 1;
    }
}

static NTSTATUS NTAPI WaitForever(PVOID Argument)
{
    return NtWaitForSingleObject(Argument, FALSE, NULL);
}

/* Threads that run, that wait and that are suspended all end when they are told to. */
static ULONG ThreadTerminated(VOID)
{
    HANDLE Event, Thread[3];

    CHECK(NtCreateEvent(&Event, EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE) == STATUS_SUCCESS);
    Visits = 0;
    Thread[0] = StartThread(Spin, NULL, 0);
    Thread[1] = StartThread(WaitForever, Event, 0);
    Thread[2] = StartThread(Spin, NULL, 1);
    while (Visits == 0) {
        NtYieldExecution();
    }
    for (ULONG Index = 0; Index < 3; Index++) {
        CHECK(Thread[Index] != NULL);
        CHECK(NtTerminateThread(Thread[Index], 5) == STATUS_SUCCESS);
        CHECK(Join(Thread[Index]) == 0);
    }
    CHECK(NtClose(Event) == STATUS_SUCCESS);
    return 0;
}

/* ---- Vector registers ---- */

static volatile LONG VectorFailures;

#define VECTOR_LEAST 20      /* rounds, each of 600,000 instructions */
#define VECTOR_MOST  60      /* rounds */
#define VECTOR_TIME  2000000 /* 100 ns: many turns of each thread, which slow machines have had after the least */

static LONG64 TimeNow(VOID)
{
    LARGE_INTEGER Now = {.QuadPart = 0};

    NtQuerySystemTime(&Now);
    return Now.QuadPart;
}

/* Fills every XMM register, x87 and MXCSR with a pattern of the thread's own, spins in ring 3, and looks again. */
static NTSTATUS NTAPI VectorThread(PVOID Argument)
{
    ULONG64 Pattern[4] = {(ULONG64)Argument * 0x0101010101010101ULL, ~(ULONG64)Argument, 0, 0};
    ULONG MxCsr = 0x1F80 | ((ULONG)(ULONG_PTR)Argument & 3) << 13, Seen = 0; /* a rounding mode each */
    ULONG64 Wrong = 0;
    LONG64 End = TimeNow() + VECTOR_TIME;

    for (ULONG Round = 0; Round < VECTOR_LEAST || (Round < VECTOR_MOST && TimeNow() < End); Round++) {
        __asm__ volatile(
            "ldmxcsr %[mxcsr]\n\t"
            "movdqu (%[pattern]), %%xmm0\n\tmovdqu %%xmm0, %%xmm1\n\tmovdqu %%xmm0, %%xmm5\n\t"
            "movdqu %%xmm0, %%xmm7\n\tmovdqu %%xmm0, %%xmm15\n\t"
            "fninit\n\tfildq (%[pattern])\n\t"
            "movl $300000, %%ecx\n1:\tdecl %%ecx\n\tjnz 1b\n\t"
            "fistpq 16(%[pattern])\n\t"
            "pcmpeqb %%xmm0, %%xmm1\n\tpcmpeqb %%xmm0, %%xmm5\n\tpcmpeqb %%xmm0, %%xmm7\n\t"
            "pcmpeqb %%xmm0, %%xmm15\n\tpand %%xmm1, %%xmm5\n\tpand %%xmm5, %%xmm7\n\tpand %%xmm7, %%xmm15\n\t"
            "movdqu (%[pattern]), %%xmm2\n\tpcmpeqb %%xmm0, %%xmm2\n\tpand %%xmm2, %%xmm15\n\t"
            "pmovmskb %%xmm15, %%ecx\n\txorl $0xFFFF, %%ecx\n\tmovl %%ecx, %k[wrong]\n\t"
            "stmxcsr %[seen]\n\tpushq $0x1F80\n\tldmxcsr (%%rsp)\n\tpopq %%rcx"
            : [wrong] "=&r"(Wrong), [seen] "=m"(Seen)
            : [pattern] "r"(Pattern), [mxcsr] "m"(MxCsr)
            : "rcx", "xmm0", "xmm1", "xmm2", "xmm5", "xmm7", "xmm15", "st", "memory");
        if (Wrong != 0 || (Seen & 0x6000) != (MxCsr & 0x6000) || Pattern[2] != Pattern[0]) {
            InterlockedIncrement(&VectorFailures);
        }
    }
    return STATUS_SUCCESS;
}

static ULONG ThreadVectors(VOID)
{
    HANDLE Thread[THREADS * 2];

    VectorFailures = 0;
    for (ULONG Index = 0; Index < THREADS * 2; Index++) {
        Thread[Index] = StartThread(VectorThread, (PVOID)(ULONG_PTR)(Index + 0x21), 0);
    }
    for (ULONG Index = 0; Index < THREADS * 2; Index++) {
        CHECK(Join(Thread[Index]) == 0);
    }
    CHECK(VectorFailures == 0);
    return 0;
}

/* ---- APCs ---- */

static ULONG64 ApcSeen[3];
static ULONG ApcCount;

static VOID NTAPI ApcRoutine(PVOID First, PVOID Second, PVOID Third)
{
    ApcSeen[0] = (ULONG64)First;
    ApcSeen[1] = (ULONG64)Second;
    ApcSeen[2] = (ULONG64)Third;
    ApcCount++;
}

static ULONG ApcDelivery(VOID)
{
    LARGE_INTEGER Long = {.QuadPart = -600000000}, Short = {.QuadPart = -1};

    ApcCount = 0;
    CHECK(NtQueueApcThread(ZwCurrentThread(), ApcRoutine, (PVOID)1, (PVOID)2, (PVOID)3) == STATUS_SUCCESS);
    CHECK(NtDelayExecution(FALSE, &Short) == STATUS_SUCCESS);
    CHECK(ApcCount == 0); /* that wait was not alertable */
    CHECK(NtDelayExecution(TRUE, &Long) == STATUS_USER_APC);
    CHECK(ApcCount == 1 && ApcSeen[0] == 1 && ApcSeen[1] == 2 && ApcSeen[2] == 3);
    for (ULONG Index = 0; Index < 5; Index++) {
        CHECK(NtQueueApcThread(ZwCurrentThread(), ApcRoutine, (PVOID)(ULONG_PTR)Index, NULL, NULL) == STATUS_SUCCESS);
    }
    CHECK(NtTestAlert() == STATUS_SUCCESS);
    CHECK(ApcCount == 6 && ApcSeen[0] == 4); /* all of them, in order */
    return 0;
}

/* ---- Exceptions ---- */

static volatile ULONG Steps;

static LONG SkipUd2(PEXCEPTION_POINTERS Pointers)
{
    if (Pointers->ExceptionRecord->ExceptionCode != STATUS_ILLEGAL_INSTRUCTION) {
        return EXCEPTION_CONTINUE_SEARCH;
    }
    Pointers->ContextRecord->Rip += 2;
    Pointers->ContextRecord->Rax = 77;
    return EXCEPTION_CONTINUE_EXECUTION;
}

static ULONG ExceptionContinue(VOID)
{
    ULONG64 Result = 0;

    __try {
        __asm__ volatile("ud2" : "=a"(Result));
    } __except (SkipUd2(GetExceptionInformation())) {
        return __LINE__;
    }
    CHECK(Result == 77);
    return 0;
}

static __attribute__((noinline)) VOID FaultInside(PVOID Address)
{
    __try {
        *(volatile ULONG *)Address = 1;
    } __finally {
        Steps += 10;
    }
}

static ULONG ExceptionUnwind(VOID)
{
    NTSTATUS Code = 0;

    Steps = 0;
    __try {
        FaultInside(KERNEL_POINTER);
        Steps += 100;
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Code = GetExceptionCode();
        Steps += 1;
    }
    CHECK(Code == STATUS_ACCESS_VIOLATION);
    CHECK(Steps == 11);
    Code = 0;
    __try {
        RtlRaiseStatus(STATUS_DATA_ERROR);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Code = GetExceptionCode();
    }
    CHECK(Code == STATUS_DATA_ERROR);
    return 0;
}

/* A guard page is reported once; then it is a page like any other. */
static ULONG ExceptionGuard(VOID)
{
    PVOID Base = NULL;
    SIZE_T Size = PAGE_SIZE;
    NTSTATUS Code = 0;

    CHECK(NtAllocateVirtualMemory(ZwCurrentProcess(), &Base, 0, &Size, MEM_RESERVE | MEM_COMMIT,
                                  PAGE_READWRITE | PAGE_GUARD) == STATUS_SUCCESS);
    __try {
        *(volatile ULONG *)Base = 1;
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Code = GetExceptionCode();
    }
    CHECK(Code == STATUS_GUARD_PAGE_VIOLATION);
    *(volatile ULONG *)Base = 2;
    Size = 0;
    CHECK(NtFreeVirtualMemory(ZwCurrentProcess(), &Base, &Size, MEM_RELEASE) == STATUS_SUCCESS);
    return 0;
}

static __attribute__((noinline)) ULONG Deep(ULONG Depth)
{
    volatile UCHAR Page[2048];

    Page[0] = (UCHAR)Depth;
    return Depth == 0 ? 0 : Deep(Depth - 1) + (Page[0] == (UCHAR)Depth);
}

/* The stack grows through its guard page, far beyond what was committed. */
static ULONG StackGrows(VOID)
{
    PVOID Before = ((PNT_TIB)__readgsqword(0x30))->StackLimit;

    CHECK(Deep(300) == 300);
    CHECK(((PNT_TIB)__readgsqword(0x30))->StackLimit < Before);
    return 0;
}

/* ---- Memory ---- */

/* Fresh memory holds nothing of anybody. */
static ULONG MemoryIsZero(VOID)
{
    PVOID Base = NULL;
    SIZE_T Size = 8 << 20;

    CHECK(NtAllocateVirtualMemory(ZwCurrentProcess(), &Base, 0, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE) ==
          STATUS_SUCCESS);
    for (SIZE_T Index = 0; Index < Size / sizeof(ULONG64); Index++) {
        CHECK(((volatile ULONG64 *)Base)[Index] == 0);
    }
    for (SIZE_T Index = 0; Index < Size; Index += PAGE_SIZE) {
        ((volatile UCHAR *)Base)[Index] = 0xA5;
    }
    Size = 0;
    CHECK(NtFreeVirtualMemory(ZwCurrentProcess(), &Base, &Size, MEM_RELEASE) == STATUS_SUCCESS);
    return 0;
}

/* ---- The runner ---- */

static const USER_CASE Cases[] = {
    {"user.call.unknown", CallUnknown},
    {"user.call.registers", CallRegisters},
    {"user.call.interrupt", CallByInterrupt},
    {"user.call.bad_pointers", CallBadPointers},
    {"user.call.bad_handles", CallBadHandles},
    {"user.event.states", EventStates},
    {"user.thread.storm", ThreadStorm},
    {"user.thread.leaves_nothing", ThreadLeavesNothing},
    {"user.thread.suspended", ThreadSuspended},
    {"user.thread.terminated", ThreadTerminated},
    {"user.thread.vectors", ThreadVectors},
    {"user.apc.delivery", ApcDelivery},
    {"user.exception.continue", ExceptionContinue},
    {"user.exception.unwind", ExceptionUnwind},
    {"user.exception.guard", ExceptionGuard},
    {"user.stack.grows", StackGrows},
    {"user.memory.zero", MemoryIsZero},
    {"user.shared_page.lives", SharedPageLives},
    {"user.shared_page.fixed", SharedPageIsFixed},
};

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    return UserRunSuite("utest.c", Cases, RTL_NUMBER_OF(Cases));
}
