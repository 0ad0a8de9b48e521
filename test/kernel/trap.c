/*
 * trap.c - suites for traps, IRQL, the unwinder and access without faults.
 *
 * Cases that must see a trap before any handler hook KiDebugRoutine for as long as they run and put the old routine
 * back; the hook passes on whatever is not theirs.
 */
#include <ntos/ke.h>
#include <ntos/ktap.h>
#include <ntos/rtl.h>

#define TRAP_FRAMES 40

static PKI_DEBUG_ROUTINE TrapOldRoutine;

static VOID TrapHook(PKI_DEBUG_ROUTINE Routine)
{
    TrapOldRoutine = KiDebugRoutine;
    KiDebugRoutine = Routine;
}

static VOID TrapUnhook(VOID)
{
    KiDebugRoutine = TrapOldRoutine;
}

/* ---- Exceptions and their codes ---- */

typedef struct _TRAP_SEEN {
    NTSTATUS Code;
    ULONG64 Address;
    ULONG64 Rip;
    ULONG Parameters;
} TRAP_SEEN;

static LONG TrapSee(PEXCEPTION_POINTERS Pointers, TRAP_SEEN *Seen)
{
    Seen->Code = Pointers->ExceptionRecord->ExceptionCode;
    Seen->Address = (ULONG64)Pointers->ExceptionRecord->ExceptionAddress;
    Seen->Rip = Pointers->ContextRecord->Rip;
    Seen->Parameters = Pointers->ExceptionRecord->NumberParameters;
    return EXCEPTION_EXECUTE_HANDLER;
}

static VOID TrapDivide(PKTAP_CONTEXT Ktap)
{
    TRAP_SEEN Seen = {0};

    __try {
        __asm__ volatile("xorl %%edx, %%edx; movl $1, %%eax; divl %%edx" ::: "eax", "edx", "cc");
    } __except (TrapSee(GetExceptionInformation(), &Seen)) {
    }
    KTAP_EQUAL(Seen.Code, STATUS_INTEGER_DIVIDE_BY_ZERO);
    KTAP_EQUAL(Seen.Address, Seen.Rip);
}

static VOID TrapInvalidOpcode(PKTAP_CONTEXT Ktap)
{
    TRAP_SEEN Seen = {0};

    __try {
        __asm__ volatile("ud2");
    } __except (TrapSee(GetExceptionInformation(), &Seen)) {
    }
    KTAP_EQUAL(Seen.Code, STATUS_ILLEGAL_INSTRUCTION);
    KTAP_EQUAL(*(USHORT *)Seen.Address, 0x0B0F); /* points at the instruction */
}

static VOID TrapAssertion(PKTAP_CONTEXT Ktap)
{
    TRAP_SEEN Seen = {0};

    __try {
        __asm__ volatile("int $0x2c");
    } __except (TrapSee(GetExceptionInformation(), &Seen)) {
    }
    KTAP_EQUAL(Seen.Code, STATUS_ASSERTION_FAILURE);
    KTAP_EQUAL(*(USHORT *)Seen.Address, 0x2CCD);
}

static VOID TrapProtection(PKTAP_CONTEXT Ktap)
{
    TRAP_SEEN Seen = {0};

    __try {
        __asm__ volatile("movw %0, %%ds" ::"r"((USHORT)0x1000)); /* beyond the descriptor table */
    } __except (TrapSee(GetExceptionInformation(), &Seen)) {
    }
    KTAP_EQUAL(Seen.Code, STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(Seen.Parameters, 2);
}

static BOOLEAN TrapSkipBreakpoint(PEXCEPTION_RECORD Record, PKTRAP_FRAME Frame, BOOLEAN FirstChance)
{
    if (Record->ExceptionCode != STATUS_BREAKPOINT || !FirstChance) {
        return TrapOldRoutine != NULL && TrapOldRoutine(Record, Frame, FirstChance);
    }
    Frame->Rax = *(UCHAR *)Frame->Rip == 0xCC ? 0xB00 : 0;
    Frame->Rip += 1;
    /* What a driver's DPC may do to the volatile vector registers. */
    __asm__ volatile("pxor %xmm0, %xmm0; pxor %xmm1, %xmm1; pxor %xmm2, %xmm2; pxor %xmm3, %xmm3;"
                     "pxor %xmm4, %xmm4; pxor %xmm5, %xmm5");
    return TRUE;
}

static VOID TrapBreakpoint(PKTAP_CONTEXT Ktap)
{
    ULONG64 Answer = 0;

    TrapHook(TrapSkipBreakpoint);
    __asm__ volatile("int3" : "=a"(Answer));
    TrapUnhook();
    KTAP_EQUAL(Answer, 0xB00); /* RIP pointed at the breakpoint, and the routine's changes arrived */
}

static VOID TrapDbgBreakPoint(PKTAP_CONTEXT Ktap)
{
    TRAP_SEEN Seen = {0};

    __try {
        DbgBreakPoint();
    } __except (TrapSee(GetExceptionInformation(), &Seen)) {
    }
    KTAP_EQUAL(Seen.Code, STATUS_BREAKPOINT);
    KTAP_EQUAL(Seen.Address, DbgBreakPoint);
    KTAP_EQUAL(Seen.Parameters, 1);
    Seen.Code = 0;
    __try {
        DbgBreakPointWithStatus(5);
    } __except (TrapSee(GetExceptionInformation(), &Seen)) {
    }
    KTAP_EQUAL(Seen.Address, DbgBreakPointWithStatus);
}

static VOID TrapVectorRegisters(PKTAP_CONTEXT Ktap)
{
    DECLSPEC_ALIGN(16) ULONG64 Before[12], After[12];
    ULONG MxCsrBefore = 0x3F80, MxCsrAfter = 0, MxCsrOld = 0; /* flush to zero is not the default */

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Before); Index++) {
        Before[Index] = 0x0101010101010101ULL * (Index + 1);
    }
    TrapHook(TrapSkipBreakpoint);
    __asm__ volatile("stmxcsr %2; ldmxcsr %3;"
                     "movaps (%0), %%xmm0; movaps 16(%0), %%xmm1; movaps 32(%0), %%xmm2;"
                     "movaps 48(%0), %%xmm3; movaps 64(%0), %%xmm4; movaps 80(%0), %%xmm5;"
                     "int3;"
                     "movaps %%xmm0, (%1); movaps %%xmm1, 16(%1); movaps %%xmm2, 32(%1);"
                     "movaps %%xmm3, 48(%1); movaps %%xmm4, 64(%1); movaps %%xmm5, 80(%1);"
                     "stmxcsr %4; ldmxcsr %2" ::"r"(Before),
                     "r"(After), "m"(MxCsrOld), "m"(MxCsrBefore), "m"(MxCsrAfter)
                     : "rax", "memory");
    TrapUnhook();
    KTAP_CHECK(RtlCompareMemory(Before, After, sizeof(Before)) == sizeof(Before));
    KTAP_EQUAL(MxCsrAfter, MxCsrBefore);
}

/* With nobody debugging, a single step is an exception, once: the handler runs with the trap flag clear. */
static VOID TrapSingleStep(PKTAP_CONTEXT Ktap)
{
    TRAP_SEEN Seen = {0};
    ULONG64 Before = __readeflags();

    __try {
        __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; nop; nop" ::: "cc", "memory");
    } __except (TrapSee(GetExceptionInformation(), &Seen)) {
    }
    ULONG64 After = __readeflags();

    KTAP_EQUAL(Seen.Code, STATUS_SINGLE_STEP);
    KTAP_EQUAL(*(UCHAR *)(Seen.Address - 1), 0x90); /* the trap comes after the first nop */
    KTAP_EQUAL(After & (EFLAGS_TF | EFLAGS_IF), Before & EFLAGS_IF);
}

/* All registers that an exception may not change, through a fault that a filter lets continue. */
static LONG TrapGiveAddress(PEXCEPTION_POINTERS Pointers, PULONG64 Target)
{
    Pointers->ContextRecord->R10 = (ULONG64)Target;
    return EXCEPTION_CONTINUE_EXECUTION;
}

static VOID TrapRegisters(PKTAP_CONTEXT Ktap)
{
    ULONG64 Target = 0x1122334455667788ULL;
    ULONG64 Sum = 0;

    __try {
        __asm__ volatile("movq $1, %%rbx; movq $2, %%rsi; movq $4, %%rdi; movq $8, %%r12; movq $16, %%r13;"
                         "movq $32, %%r14; movq $64, %%r15; movq $128, %%rcx; movq $256, %%rdx; movq $512, %%r8;"
                         "movq $1024, %%r9; movq $2048, %%r11; movq $0x5000, %%r10; stc;"
                         "movq (%%r10), %%rax;"
                         "movl $0, %%r10d; adcq %%r10, %%rax;"
                         "addq %%rbx, %%rax; addq %%rsi, %%rax; addq %%rdi, %%rax; addq %%r12, %%rax;"
                         "addq %%r13, %%rax; addq %%r14, %%rax; addq %%r15, %%rax; addq %%rcx, %%rax;"
                         "addq %%rdx, %%rax; addq %%r8, %%rax; addq %%r9, %%rax; addq %%r11, %%rax"
                         : "=a"(Sum)::"rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
                           "r15", "cc", "memory");
    } __except (TrapGiveAddress(GetExceptionInformation(), &Target)) {
    }
    KTAP_EQUAL(Sum, Target + 4095 + 1); /* one bit a register, and the carry flag */
}

static const KTAP_CASE_ENTRY TrapCases[] = {
    {"divide", TrapDivide},         {"invalid_opcode", TrapInvalidOpcode},  {"assertion", TrapAssertion},
    {"protection", TrapProtection}, {"breakpoint", TrapBreakpoint},         {"vector_registers", TrapVectorRegisters},
    {"registers", TrapRegisters},   {"dbg_break_point", TrapDbgBreakPoint}, {"single_step", TrapSingleStep},
};
KTAP_SUITE(TrapSuite, "ke.trap", TrapCases);

/* ---- IRQL ---- */

static VOID IrqlIsCr8(PKTAP_CONTEXT Ktap)
{
    KIRQL Old;

    for (KIRQL Level = APC_LEVEL; Level <= HIGH_LEVEL; Level++) {
        KeRaiseIrql(Level, &Old);
        ULONG64 Cr8 = __readcr8();
        KIRQL Now = KeGetCurrentIrql();

        KeLowerIrql(Old);
        KTAP_EQUAL(Old, PASSIVE_LEVEL);
        KTAP_EQUAL(Cr8, Level);
        KTAP_EQUAL(Now, Level);
    }
    KTAP_EQUAL(KeGetCurrentIrql(), PASSIVE_LEVEL);
}

/* A trap at raised IRQL leaves it as it was. */
static VOID IrqlAcrossTrap(PKTAP_CONTEXT Ktap)
{
    KIRQL Old;
    ULONG64 Answer = 0;

    KeRaiseIrql(DISPATCH_LEVEL, &Old);
    TrapHook(TrapSkipBreakpoint);
    __asm__ volatile("int3" : "=a"(Answer));
    TrapUnhook();
    KIRQL Now = KeGetCurrentIrql();

    KeLowerIrql(Old);
    KTAP_EQUAL(Answer, 0xB00);
    KTAP_EQUAL(Now, DISPATCH_LEVEL);
}

static VOID IrqlProtections(PKTAP_CONTEXT Ktap)
{
    ULONG Leaf7[4];

    KeCpuid(7, 0, Leaf7);
    KTAP_CHECK((__readcr0() & CR0_WP) != 0);
    KTAP_CHECK((KeReadMsr(MSR_EFER) & EFER_NXE) != 0);
    KTAP_EQUAL((__readcr4() & CR4_SMEP) != 0, (Leaf7[1] & CPUID7_EBX_SMEP) != 0);
    KTAP_EQUAL((__readcr4() & CR4_SMAP) != 0, (Leaf7[1] & CPUID7_EBX_SMAP) != 0);
    KTAP_EQUAL((__readcr4() & CR4_UMIP) != 0, (Leaf7[2] & CPUID7_ECX_UMIP) != 0);
    KTAP_EQUAL(KeReadMsr(MSR_PAT), KI_PAT_VALUE);
    KTAP_EQUAL(KeGetPcr()->Self, KeGetPcr());
    KTAP_EQUAL(KeGetCurrentPrcb(), (ULONG64)KeGetPcr() + 0x180);
}

static const KTAP_CASE_ENTRY IrqlCases[] = {
    {"is_cr8", IrqlIsCr8},
    {"across_trap", IrqlAcrossTrap},
    {"protections", IrqlProtections},
};
KTAP_SUITE(IrqlSuite, "ke.irql", IrqlCases);

/* ---- The unwinder ---- */

static struct {
    ULONG64 Begin, End; /* of UnwindRoot */
    ULONG Steps;
    ULONG Lost; /* steps from which the walk did not arrive in UnwindRoot */
    ULONG64 FirstLost;
} UnwindSteps;

/* Runs on every instruction: from each of them the walk must find its way. */
static BOOLEAN UnwindStep(PEXCEPTION_RECORD Record, PKTRAP_FRAME Frame, BOOLEAN FirstChance)
{
    ULONG64 Addresses[TRAP_FRAMES];

    if (Record->ExceptionCode != STATUS_SINGLE_STEP) {
        return TrapOldRoutine != NULL && TrapOldRoutine(Record, Frame, FirstChance);
    }
    ULONG Count = KiCaptureStack(Frame, Addresses, TRAP_FRAMES);
    BOOLEAN Found = FALSE;

    for (ULONG Index = 0; Index < Count; Index++) {
        Found |= Addresses[Index] >= UnwindSteps.Begin && Addresses[Index] < UnwindSteps.End;
    }
    UnwindSteps.Steps++;
    if (!Found && UnwindSteps.Lost++ == 0) {
        UnwindSteps.FirstLost = Frame->Rip;
    }
    return TRUE;
}

static DECLSPEC_NOINLINE ULONG UnwindBody(ULONG Depth, PSTR Buffer)
{
    volatile ULONG Large[100];

    Large[Depth] = RtlFormatString(Buffer, 60, "%-8u|%08llx|%s", (unsigned)Depth, 0x1234ULL * Depth, "text");
    memmove(Buffer + 4, Buffer, 20);
    return Depth == 0 ? Large[0] : UnwindBody(Depth - 1, Buffer) + Large[Depth];
}

static DECLSPEC_NOINLINE ULONG UnwindRoot(VOID)
{
    CHAR Buffer[64];

    __writeeflags(__readeflags() | EFLAGS_TF);
    ULONG Answer = UnwindBody(2, Buffer);

    __writeeflags(__readeflags() & ~EFLAGS_TF);
    return Answer;
}

static VOID UnwindEveryInstruction(PKTAP_CONTEXT Ktap)
{
    ULONG64 Base;
    PRUNTIME_FUNCTION Root = RtlLookupFunctionEntry((ULONG64)UnwindRoot, &Base, NULL);

    KTAP_CHECK(Root != NULL);
    RtlZeroMemory(&UnwindSteps, sizeof(UnwindSteps));
    UnwindSteps.Begin = Base + Root->BeginAddress;
    UnwindSteps.End = Base + Root->EndAddress;
    TrapHook(UnwindStep);
    ULONG Answer = UnwindRoot();

    TrapUnhook();
    KTAP_CHECK(Answer != 0);
    KTAP_CHECK(UnwindSteps.Steps > 500);
    if (UnwindSteps.Lost != 0) {
        KtapFail(Ktap, __FILE__, __LINE__, "%u of %u steps lost, the first at image offset 0x%llx",
                 (unsigned)UnwindSteps.Lost, (unsigned)UnwindSteps.Steps, UnwindSteps.FirstLost - Base);
    }
}

static LONG UnwindTraceFilter(PEXCEPTION_POINTERS Pointers, PULONG64 Addresses, PULONG Count)
{
    *Count = KiCaptureStack(NULL, Addresses, TRAP_FRAMES);
    return EXCEPTION_EXECUTE_HANDLER;
}

/* From a filter, through the dispatcher and the trap, back to the faulting function. */
static VOID UnwindThroughTrap(PKTAP_CONTEXT Ktap)
{
    ULONG64 Addresses[TRAP_FRAMES], Base;
    ULONG Count = 0, Here = 0;
    PRUNTIME_FUNCTION Self = RtlLookupFunctionEntry((ULONG64)UnwindThroughTrap, &Base, NULL);

    __try {
        __asm__ volatile("ud2");
    } __except (UnwindTraceFilter(GetExceptionInformation(), Addresses, &Count)) {
    }
    for (ULONG Index = 0; Index < Count; Index++) {
        Here += Addresses[Index] >= Base + Self->BeginAddress && Addresses[Index] < Base + Self->EndAddress ? 1 : 0;
    }
    KTAP_CHECK(Count >= 8);
    KTAP_EQUAL(Here, 1);
}

static VOID UnwindLookup(PKTAP_CONTEXT Ktap)
{
    ULONG64 Base;

    KTAP_CHECK(RtlLookupFunctionEntry(0, &Base, NULL) == NULL);
    KTAP_EQUAL(Base, 0);
    KTAP_CHECK(RtlLookupFunctionEntry((ULONG64)UnwindLookup, &Base, NULL) != NULL);
    KI_IMAGE Image, Other;
    PKLDR_DATA_TABLE_ENTRY First = CONTAINING_RECORD(PsLoadedModuleList.Flink, KLDR_DATA_TABLE_ENTRY, InLoadOrderLinks);

    KTAP_CHECK(KiFindImage((ULONG64)UnwindLookup, &Image));
    KTAP_CHECK(Base == Image.Base);
    KTAP_CHECK(!KiFindImage(Image.Base + Image.Size, &Other) || Other.Base != Image.Base);
    KTAP_CHECK(Base == (ULONG64)First->DllBase); /* the kernel comes first */
    PRUNTIME_FUNCTION Table = Image.Table;

    for (ULONG Index = 1; Index < Image.TableSize / sizeof(*Table); Index++) {
        KTAP_CHECK(Table[Index - 1].EndAddress <= Table[Index].BeginAddress);
    }
}

static DECLSPEC_NOINLINE USHORT UnwindBackTrace(ULONG Skip, PVOID *Trace, PULONG Hash)
{
    USHORT Count = RtlCaptureStackBackTrace(Skip, 4, Trace, Hash);

    YieldProcessor(); /* no tail call: this frame has to be there */
    return Count;
}

static VOID UnwindCaptureBackTrace(PKTAP_CONTEXT Ktap)
{
    PVOID Trace[4] = {0};
    ULONG Hash = 0;
    for (ULONG Skip = 0; Skip < 2; Skip++) {
        USHORT Count = UnwindBackTrace(Skip, Trace, &Hash);

        KTAP_CHECK(Count >= 1);
        ULONG64 Here = (ULONG64)Trace[1 - Skip] - (ULONG64)UnwindCaptureBackTrace;

        KTAP_CHECK(Here != 0 && Here < 0x400);
        KTAP_CHECK(Hash != 0);
    }
    KTAP_CHECK(UnwindBackTrace(1000, Trace, NULL) == 0);
}

static const KTAP_CASE_ENTRY UnwindCases[] = {
    {"every_instruction", UnwindEveryInstruction},
    {"through_trap", UnwindThroughTrap},
    {"lookup", UnwindLookup},
    {"capture_back_trace", UnwindCaptureBackTrace},
};
KTAP_SUITE(UnwindSuite, "rtl.unwind", UnwindCases);

/* ---- Access without faults ---- */

static VOID NoFaultRead(PKTAP_CONTEXT Ktap)
{
    ULONG64 Source = 5, Target = 0;

    KTAP_CHECK(KiCopyMemoryNoFault(&Target, &Source, sizeof(Source)));
    KTAP_EQUAL(Target, 5);
    KTAP_CHECK(KiCopyMemoryNoFault(&Target, (PVOID)NoFaultRead, sizeof(Target)));
    KTAP_EQUAL(Target, *(ULONG64 *)NoFaultRead);
    KTAP_CHECK(!KiCopyMemoryNoFault(&Target, NULL, sizeof(Target)));
    KTAP_CHECK(!KiCopyMemoryNoFault(&Target, (PVOID)0x7FFFFFFFFFF8ULL, 16)); /* into the non-canonical hole */
    KTAP_CHECK(!KiCopyMemoryNoFault(&Target, (PVOID)0x8000000000000000ULL, 1));
    KTAP_CHECK(!KiCopyMemoryNoFault(&Target, (PVOID)0xFFFFFFFFFFFFFFFFULL, 2)); /* wraps */
    KTAP_CHECK(!KiCopyMemoryNoFault(&Target, (PVOID)(MM_SYSTEM_CACHE_BASE - 0x1000), 1));
    KTAP_CHECK(KiCopyMemoryNoFault(NULL, NULL, 0));
}

static VOID NoFaultWrite(PKTAP_CONTEXT Ktap)
{
    ULONG64 Source = 5;

    KTAP_CHECK(!KiCopyMemoryNoFault((PVOID)NoFaultWrite, &Source, sizeof(Source))); /* text is read-only */
    KTAP_CHECK(!KiCopyMemoryNoFault(NULL, &Source, sizeof(Source)));
}

static const KTAP_CASE_ENTRY NoFaultCases[] = {
    {"read", NoFaultRead},
    {"write", NoFaultWrite},
};
KTAP_SUITE(NoFaultSuite, "ke.nofault", NoFaultCases);
