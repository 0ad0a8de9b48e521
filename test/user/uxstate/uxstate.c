/*
 * uxstate.c - the suite of wide registers and debug registers: what survives switches, exceptions, APCs and contexts, and what contexts show of them.
 *
 * Each YMM register, both halves, gets a value of its own and of the caller's seed, and is read back after something happened between. The compiler is kept
 * out: the registers are loaded, the thing is done and they are stored by one function in assembly (Around), which keeps what the calling convention wants kept.
 */
#include "../ktap.h"

#define FEATURE_AVX    2
#define FEATURE_OPMASK 5
#define FLAG_XSTATE    0x40U
#define ALL_FLAGS      (CONTEXT_AMD64 | 0x1F)
#define REGISTERS      16

typedef struct DECLSPEC_ALIGN(32) _YMM {
    ULONG64 Word[4];
} YMM;

/* Loads YMM0-15 from In, calls Routine(Argument), stores YMM0-15 to Out. */
VOID Around(const YMM *In, VOID (*Routine)(PVOID), PVOID Argument, YMM *Out);
__asm__(".text\n"
        "Around:\n"
        "    pushq %rbx\n    pushq %rsi\n    subq $0xC8, %rsp\n"
        "    movq %rcx, %rsi\n    movq %r9, %rbx\n    movq %rdx, %rax\n    movq %r8, %rcx\n"
        "    movups %xmm6, 0x20(%rsp)\n    movups %xmm7, 0x30(%rsp)\n    movups %xmm8, 0x40(%rsp)\n"
        "    movups %xmm9, 0x50(%rsp)\n    movups %xmm10, 0x60(%rsp)\n    movups %xmm11, 0x70(%rsp)\n"
        "    movups %xmm12, 0x80(%rsp)\n    movups %xmm13, 0x90(%rsp)\n    movups %xmm14, 0xA0(%rsp)\n"
        "    movups %xmm15, 0xB0(%rsp)\n"
        "    .irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
        "    vmovups 32 * \\r(%rsi), %ymm\\r\n"
        "    .endr\n"
        "    call *%rax\n"
        "    .irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
        "    vmovups %ymm\\r, 32 * \\r(%rbx)\n"
        "    .endr\n"
        "    movups 0x20(%rsp), %xmm6\n    movups 0x30(%rsp), %xmm7\n    movups 0x40(%rsp), %xmm8\n"
        "    movups 0x50(%rsp), %xmm9\n    movups 0x60(%rsp), %xmm10\n    movups 0x70(%rsp), %xmm11\n"
        "    movups 0x80(%rsp), %xmm12\n    movups 0x90(%rsp), %xmm13\n    movups 0xA0(%rsp), %xmm14\n"
        "    movups 0xB0(%rsp), %xmm15\n"
        "    addq $0xC8, %rsp\n    popq %rsi\n    popq %rbx\n    ret\n");

/* Changes every YMM register. */
VOID Spoil(PVOID Argument);
__asm__(".text\n"
        "Spoil:\n"
        "    .irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
        "    vpcmpeqd %xmm\\r, %xmm\\r, %xmm\\r\n"
        "    vinsertf128 $1, %xmm\\r, %ymm\\r, %ymm\\r\n"
        "    .endr\n"
        "    ret\n");

/* INT3 and UD2: nothing but the exception happens. */
VOID Trap(PVOID Argument);
__asm__(".text\nTrap:\n    ud2\n    ret\n");

static BOOLEAN HasAvx(VOID)
{
    return RtlGetEnabledExtendedFeatures(1ULL << FEATURE_AVX) != 0;
}

static VOID Fill(YMM *Values, ULONG Seed)
{
    for (ULONG Index = 0; Index < REGISTERS; Index++) {
        for (ULONG Word = 0; Word < 4; Word++) {
            Values[Index].Word[Word] = 0x0101010101010101ULL * (Index * 4 + Word + 1) + ((ULONG64)Seed << 32) + Seed;
        }
    }
}

/* The number of words from register First on that are not the same. */
static ULONG Differences(const YMM *A, const YMM *B, ULONG First)
{
    ULONG Count = 0;

    for (ULONG Index = First; Index < REGISTERS; Index++) {
        for (ULONG Word = 0; Word < 4; Word++) {
            Count += A[Index].Word[Word] != B[Index].Word[Word];
        }
    }
    return Count;
}

/* ---- Switches ---- */

static volatile LONG Stop;

static VOID Spin(PVOID Argument)
{
    for (ULONG Turn = 0; Turn < 2000000 / (1 + *(PULONG)Argument); Turn++) {
        __asm__ volatile("pause");
    }
}

static NTSTATUS NTAPI SwitchThread(PVOID Argument)
{
    ULONG Seed = (ULONG)(ULONG_PTR)Argument, Divisor = 249;
    YMM In[REGISTERS], Out[REGISTERS];

    Fill(In, Seed);
    for (ULONG Round = 0; Round < 8; Round++) {
        Around(In, Spin, &Divisor, Out);
        if (Differences(In, Out, 0) != 0) {
            InterlockedIncrement(&Stop);
        }
        NtYieldExecution();
    }
    return STATUS_SUCCESS;
}

/* Threads that take turns, by their quanta's ends too, keep all of their registers. */
static ULONG Switches(VOID)
{
    HANDLE Thread[THREADS];

    if (!HasAvx()) {
        return SKIP;
    }
    Stop = 0;
    for (ULONG Index = 0; Index < THREADS; Index++) {
        Thread[Index] = StartThread(SwitchThread, (PVOID)(ULONG_PTR)(Index + 1), 0);
    }
    for (ULONG Index = 0; Index < THREADS; Index++) {
        CHECK(Join(Thread[Index]) == 0);
    }
    CHECK(Stop == 0);
    return 0;
}

static VOID WaitShortly(PVOID Argument)
{
    LARGE_INTEGER Interval = {.QuadPart = -10000};

    NtDelayExecution(FALSE, &Interval);
}

/* What the calling convention lets nobody change, the kernel does not change in a service either, wait included. */
static ULONG Services(VOID)
{
    YMM In[REGISTERS], Out[REGISTERS];

    if (!HasAvx()) {
        return SKIP;
    }
    Fill(In, 77);
    Around(In, WaitShortly, NULL, Out);
    CHECK(Differences(In, Out, 6) == 0);
    return 0;
}

/* ---- Exceptions ---- */

static ULONG64 SeenMask;
static YMM SeenRegisters[REGISTERS];
static BOOLEAN Change;

/* The upper halves lie behind the context; they are spoiled meanwhile, and some changed for what goes on. */
static LONG NTAPI SkipTrap(PEXCEPTION_POINTERS Pointers)
{
    PCONTEXT Context = Pointers->ContextRecord;
    PCONTEXT_EX Layout = (PCONTEXT_EX)(Context + 1);
    ULONG Bytes = 0;
    PULONG64 Upper;

    if (Pointers->ExceptionRecord->ExceptionCode != STATUS_ILLEGAL_INSTRUCTION) {
        return EXCEPTION_CONTINUE_SEARCH;
    }
    Context->Rip += 2;
    if ((Context->ContextFlags & FLAG_XSTATE) != 0) {
        SeenMask = RtlGetExtendedFeaturesMask(Layout);
        Upper = RtlLocateExtendedFeature(Layout, FEATURE_AVX, &Bytes);
        for (ULONG Index = 0; Upper != NULL && Index < REGISTERS; Index++) {
            RtlCopyMemory(&SeenRegisters[Index].Word[0], (PUCHAR)&Context->Xmm0 + 16 * Index, 16);
            RtlCopyMemory(&SeenRegisters[Index].Word[2], Upper + 2 * Index, 16);
        }
        if (Change) {
            Upper[2 * 9 + 1] = 0x9999;
            Context->Xmm9.Low = 0x8888;
        }
    }
    Spoil(NULL);
    return EXCEPTION_CONTINUE_EXECUTION;
}

static ULONG Exceptions(VOID)
{
    PVOID Handler = RtlAddVectoredExceptionHandler(1, SkipTrap);
    YMM In[REGISTERS], Out[REGISTERS];

    if (!HasAvx()) {
        return SKIP;
    }
    CHECK(Handler != NULL);
    for (ULONG Round = 0; Round < 20; Round++) {
        Fill(In, Round);
        SeenMask = 0;
        Change = Round % 2 != 0;
        Around(In, Trap, NULL, Out);
        CHECK((SeenMask & 1ULL << FEATURE_AVX) != 0 && Differences(In, SeenRegisters, 0) == 0);
        if (Change) {
            In[9].Word[3] = 0x9999;
            In[9].Word[0] = 0x8888;
        }
        CHECK(Differences(In, Out, 0) == 0);
    }
    CHECK(RtlRemoveVectoredExceptionHandler(Handler) == 1);
    return 0;
}

/* ---- APCs ---- */

static ULONG Calls;

static VOID NTAPI ApcRoutine(PVOID A, PVOID B, PVOID C)
{
    Spoil(NULL);
    Calls++;
}

static VOID TakeApc(PVOID Argument)
{
    NtTestAlert();
}

/* The registers that a call keeps are kept over an APC that uses them all, and so are their upper halves. */
static ULONG Apcs(VOID)
{
    YMM In[REGISTERS], Out[REGISTERS];

    if (!HasAvx()) {
        return SKIP;
    }
    Calls = 0;
    for (ULONG Round = 0; Round < 20; Round++) {
        Fill(In, Round + 1000);
        CHECK(NtQueueApcThread(ZwCurrentThread(), (PVOID)(ULONG_PTR)ApcRoutine, NULL, NULL, NULL) == STATUS_SUCCESS);
        CHECK(NtQueueApcThread(ZwCurrentThread(), (PVOID)(ULONG_PTR)ApcRoutine, NULL, NULL, NULL) == STATUS_SUCCESS);
        Around(In, TakeApc, NULL, Out);
        CHECK(Differences(In, Out, 6) == 0);
    }
    CHECK(Calls == 40);
    return 0;
}

/* ---- Contexts ---- */

typedef struct _WATCHED {
    YMM In[REGISTERS], Out[REGISTERS];
    volatile LONG Running, Leave;
} WATCHED;

static VOID WaitForLeave(PVOID Argument)
{
    WATCHED *Watched = Argument;

    Watched->Running = 1;
    while (Watched->Leave == 0) {
        __asm__ volatile("pause");
    }
}

static NTSTATUS NTAPI WatchedThread(PVOID Argument)
{
    WATCHED *Watched = Argument;

    Around(Watched->In, WaitForLeave, Watched, Watched->Out);
    return STATUS_SUCCESS;
}

/* The upper halves of a thread that runs are read and set from outside. */
static ULONG Contexts(VOID)
{
    static WATCHED Watched;
    static UCHAR Buffer[8192];
    LARGE_INTEGER Pause = {.QuadPart = -100000};
    PCONTEXT_EX Layout;
    PCONTEXT Context;
    PULONG64 Upper;
    HANDLE Thread;
    ULONG Bytes;

    if (!HasAvx()) {
        return SKIP;
    }
    CHECK(RtlGetExtendedContextLength(ALL_FLAGS | FLAG_XSTATE, &Bytes) == STATUS_SUCCESS && Bytes < sizeof(Buffer));
    CHECK(RtlInitializeExtendedContext(Buffer + 3, ALL_FLAGS | FLAG_XSTATE, &Layout) == STATUS_SUCCESS);
    Context = RtlLocateLegacyContext(Layout, &Bytes);
    CHECK(Bytes == sizeof(CONTEXT) && (ULONG64)Context % 16 == 0 && (PVOID)Layout == (PVOID)(Context + 1));
    Upper = RtlLocateExtendedFeature(Layout, FEATURE_AVX, &Bytes);
    CHECK(Upper != NULL && Bytes == 256 && ((ULONG64)Layout + Layout->XState.Offset) % 64 == 0);
    CHECK(RtlLocateExtendedFeature(Layout, 63, NULL) == NULL && RtlGetExtendedFeaturesMask(Layout) == 0);
    Fill(Watched.In, 5);
    Watched.Running = Watched.Leave = 0;
    Thread = StartThread(WatchedThread, &Watched, 0);
    CHECK(Thread != NULL);
    while (Watched.Running == 0) {
        NtDelayExecution(FALSE, &Pause);
    }
    CHECK(NtSuspendThread(Thread, NULL) == STATUS_SUCCESS);
    /* Nothing is asked for, nothing is told. */
    CHECK(NtGetContextThread(Thread, Context) == STATUS_SUCCESS && RtlGetExtendedFeaturesMask(Layout) == 0);
    RtlSetExtendedFeaturesMask(Layout, 1ULL << FEATURE_AVX);
    CHECK(NtGetContextThread(Thread, Context) == STATUS_SUCCESS);
    CHECK(RtlGetExtendedFeaturesMask(Layout) == 1ULL << FEATURE_AVX);
    for (ULONG Index = 0; Index < REGISTERS; Index++) {
        CHECK(Upper[2 * Index] == Watched.In[Index].Word[2] && Upper[2 * Index + 1] == Watched.In[Index].Word[3]);
        CHECK(((PULONG64)&Context->Xmm0)[2 * Index] == Watched.In[Index].Word[0]);
        Upper[2 * Index] ^= 0xFF;
        Watched.In[Index].Word[2] ^= 0xFF;
    }
    CHECK(NtSetContextThread(Thread, Context) == STATUS_SUCCESS);
    Watched.Leave = 1;
    CHECK(NtResumeThread(Thread, NULL) == STATUS_SUCCESS && Join(Thread) == 0);
    CHECK(Differences(Watched.In, Watched.Out, 0) == 0);
    Layout->XState.Length = 64; /* too short for this machine */
    CHECK(NtGetContextThread(ZwCurrentThread(), Context) == STATUS_INVALID_PARAMETER);
    CHECK(NtContinue(Context, FALSE) == STATUS_INVALID_PARAMETER);
    return 0;
}

/* ---- Debug registers ---- */

static volatile ULONG Cell[4];
static ULONG Hits;
static ULONG64 HitStatus, HitRip;

static LONG NTAPI CountHit(PEXCEPTION_POINTERS Pointers)
{
    if (Pointers->ExceptionRecord->ExceptionCode != STATUS_SINGLE_STEP) {
        return EXCEPTION_CONTINUE_SEARCH;
    }
    Hits++;
    HitStatus = Pointers->ContextRecord->Dr6;
    HitRip = Pointers->ContextRecord->Rip;
    Pointers->ContextRecord->EFlags |= 0x10000; /* RF: an execution breakpoint is passed */
    return EXCEPTION_CONTINUE_EXECUTION;
}

static NTSTATUS SetDebug(ULONG64 Dr0, ULONG64 Dr7)
{
    CONTEXT Context;

    RtlZeroMemory(&Context, sizeof(Context));
    Context.ContextFlags = CONTEXT_DEBUG_REGISTERS;
    Context.Dr0 = Dr0;
    Context.Dr7 = Dr7;
    return NtSetContextThread(ZwCurrentThread(), &Context);
}

static BOOLEAN DebugIs(ULONG64 Dr0, ULONG64 Dr7)
{
    CONTEXT Context = {.ContextFlags = CONTEXT_DEBUG_REGISTERS};

    return NT_SUCCESS(NtGetContextThread(ZwCurrentThread(), &Context)) && Context.Dr0 == Dr0 && Context.Dr7 == Dr7;
}

#define WATCH_WRITE  (1ULL | 1ULL << 16 | 3ULL << 18) /* four bytes, DR0 */
#define WATCH_ACCESS (1ULL | 3ULL << 16 | 3ULL << 18)

static __attribute__((noinline)) VOID Here(VOID)
{
    __asm__ volatile("");
}

/* A program watches its own memory; the kernel's accesses, and other threads', do not count. */
static ULONG Watchpoint(VOID)
{
    PVOID Handler = RtlAddVectoredExceptionHandler(1, CountHit);
    LARGE_INTEGER Time;

    Hits = 0;
    CHECK(SetDebug((ULONG64)&Cell[1], WATCH_WRITE) == STATUS_SUCCESS);
    Cell[0] = 1;
    Cell[1] = 1;
    Cell[2] = 1;
    if (Hits == 0) {
        CHECK(SetDebug(0, 0) == STATUS_SUCCESS);
        RtlRemoveVectoredExceptionHandler(Handler);
        return SKIP; /* an emulator built without debug registers */
    }
    CHECK(Hits == 1 && (HitStatus & 0xF) == 1);
    CHECK(Cell[1] == 1 && Hits == 1); /* a read */
    CHECK(NtQuerySystemTime((PLARGE_INTEGER)&Cell[0]) == STATUS_SUCCESS && Hits == 1);
    CHECK(SetDebug((ULONG64)&Cell[1], WATCH_ACCESS) == STATUS_SUCCESS);
    CHECK(Cell[1] != 0x12345678 && Hits == 2);
    CHECK(NtQuerySystemTime(&Time) == STATUS_SUCCESS && NtYieldExecution() >= 0 && Hits == 2);
    CHECK(SetDebug((ULONG64)(ULONG_PTR)Here, 1) == STATUS_SUCCESS); /* execution */
    Here();
    CHECK(Hits == 3 && HitRip == (ULONG64)(ULONG_PTR)Here);
    CHECK(SetDebug(0, 0) == STATUS_SUCCESS);
    Here();
    Cell[1] = 3;
    CHECK(Hits == 3 && RtlRemoveVectoredExceptionHandler(Handler) == 1);
    return 0;
}

/* Addresses of the kernel, general detect, global enables and I/O are not for programs. */
static ULONG DebugLimits(VOID)
{
    CHECK(SetDebug((ULONG64)KERNEL_POINTER, WATCH_WRITE) == STATUS_SUCCESS && DebugIs(0, 0));
    CHECK(SetDebug((ULONG64)&Cell[3], WATCH_WRITE | 0x2000 | 2) == STATUS_SUCCESS);
    CHECK(DebugIs((ULONG64)&Cell[3], WATCH_WRITE));
    CHECK(SetDebug((ULONG64)&Cell[3], 1 | 2 << 16) == STATUS_SUCCESS && DebugIs((ULONG64)&Cell[3], 0));
    CHECK(SetDebug(0, 0) == STATUS_SUCCESS && DebugIs(0, 0));
    return 0;
}

static NTSTATUS NTAPI DebugThread(PVOID Argument)
{
    Cell[2] = 9;
    *(volatile ULONG64 *)Argument = DebugIs((ULONG64)&Cell[2], WATCH_WRITE) ? 1 : 2;
    return STATUS_SUCCESS;
}

/* Set from outside before the thread runs; the thread that set them has none. */
static ULONG DebugOfThread(VOID)
{
    PVOID Handler = RtlAddVectoredExceptionHandler(1, CountHit);
    CONTEXT Context;
    volatile ULONG64 Same = 0;
    HANDLE Thread = StartThread(DebugThread, (PVOID)&Same, THREAD_CREATE_FLAGS_CREATE_SUSPENDED);

    Hits = 0;
    CHECK(Thread != NULL);
    RtlZeroMemory(&Context, sizeof(Context));
    Context.ContextFlags = CONTEXT_DEBUG_REGISTERS;
    Context.Dr0 = (ULONG64)&Cell[2];
    Context.Dr7 = WATCH_WRITE;
    CHECK(NtSetContextThread(Thread, &Context) == STATUS_SUCCESS);
    CHECK(NtResumeThread(Thread, NULL) == STATUS_SUCCESS);
    Cell[2] = 8;
    CHECK(Join(Thread) == 0 && Same == 1 && Hits <= 1 && DebugIs(0, 0));
    CHECK(RtlRemoveVectoredExceptionHandler(Handler) == 1);
    return 0;
}

static const USER_CASE Cases[] = {
    {"user.xstate.switches", Switches}, {"user.xstate.services", Services},   {"user.xstate.exceptions", Exceptions},
    {"user.xstate.apcs", Apcs},         {"user.xstate.contexts", Contexts},   {"user.debug.watchpoint", Watchpoint},
    {"user.debug.limits", DebugLimits}, {"user.debug.thread", DebugOfThread},
};

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    return UserRunSuite("uxstate.c", Cases, RTL_NUMBER_OF(Cases));
}
