/*
 * uexc.c - the suite of exception records: what a program is told of each fault of the processor and of memory.
 *
 * An action is done inside __try; the filter keeps the record, and the block that follows compares it. Actions are functions of their own, so that
 * what faults is inside a call. `uexc inpage PATH` maps a file whose sectors cannot be read and says what touching it is.
 */
#include "../ktap.h"

static EXCEPTION_RECORD Seen;
static ULONG64 SeenFlags;

static LONG Keep(PEXCEPTION_POINTERS Pointers)
{
    Seen = *Pointers->ExceptionRecord;
    SeenFlags = Pointers->ContextRecord->EFlags;
    return EXCEPTION_EXECUTE_HANDLER;
}

/* The status that Action(Argument) ends with; 0: none. */
static NTSTATUS Provoke(VOID (*Action)(PVOID), PVOID Argument)
{
    RtlZeroMemory(&Seen, sizeof(Seen));
    __try {
        Action(Argument);
    } __except (Keep(GetExceptionInformation())) {
        return Seen.ExceptionCode;
    }
    return STATUS_SUCCESS;
}

static BOOLEAN SeenIs(ULONG Parameters, ULONG64 First, ULONG64 Second)
{
    return Seen.NumberParameters == Parameters && (Parameters < 1 || Seen.ExceptionInformation[0] == First) &&
           (Parameters < 2 || Seen.ExceptionInformation[1] == Second);
}

/* ---- Memory ---- */

static VOID Read(PVOID Address)
{
    *(volatile UCHAR *)Address;
}

static VOID Write(PVOID Address)
{
    *(volatile UCHAR *)Address = 1;
}

static VOID Call(PVOID Address)
{
    ((VOID(*)(VOID))Address)();
}

static PVOID Allocate(ULONG Protection)
{
    PVOID Base = NULL;
    SIZE_T Size = PAGE_SIZE;

    return NT_SUCCESS(
               NtAllocateVirtualMemory(ZwCurrentProcess(), &Base, 0, &Size, MEM_RESERVE | MEM_COMMIT, Protection))
               ? Base
               : NULL;
}

static ULONG Release(PVOID Base)
{
    SIZE_T Size = 0;

    CHECK(NtFreeVirtualMemory(ZwCurrentProcess(), &Base, &Size, MEM_RELEASE) == STATUS_SUCCESS);
    return 0;
}

static ULONG GuardPage(VOID)
{
    for (ULONG Kind = 0; Kind < 2; Kind++) {
        PUCHAR Page = Allocate(PAGE_READWRITE | PAGE_GUARD);

        CHECK(Page != NULL);
        CHECK(Provoke(Kind == 0 ? Read : Write, Page + 5) == STATUS_GUARD_PAGE_VIOLATION);
        CHECK(SeenIs(2, Kind, (ULONG64)Page + 5));
        CHECK(Provoke(Write, Page + 5) == STATUS_SUCCESS && Page[5] == 1); /* once */
        CHECK(Release(Page) == 0);
    }
    return 0;
}

static ULONG AccessViolation(VOID)
{
    PUCHAR Page = Allocate(PAGE_READWRITE), Only = Allocate(PAGE_READONLY), None = Allocate(PAGE_NOACCESS);

    CHECK(Page != NULL && Only != NULL && None != NULL);
    Page[7] = 0xC3;
    CHECK(Provoke(Call, Page + 7) == STATUS_ACCESS_VIOLATION && SeenIs(2, 8, (ULONG64)Page + 7));
    CHECK(Seen.ExceptionAddress == Page + 7);
    CHECK(Provoke(Write, Only + 9) == STATUS_ACCESS_VIOLATION && SeenIs(2, 1, (ULONG64)Only + 9));
    CHECK(Provoke(Read, None + 11) == STATUS_ACCESS_VIOLATION && SeenIs(2, 0, (ULONG64)None + 11));
    CHECK(Seen.ExceptionFlags == 0 && Seen.ExceptionRecord == NULL);
    CHECK(Provoke(Read, KERNEL_POINTER) == STATUS_ACCESS_VIOLATION && SeenIs(2, 0, (ULONG64)KERNEL_POINTER));
    CHECK(Provoke(Write, KERNEL_POINTER) == STATUS_ACCESS_VIOLATION && SeenIs(2, 1, (ULONG64)KERNEL_POINTER));
    CHECK(Provoke(Call, KERNEL_POINTER) == STATUS_ACCESS_VIOLATION && SeenIs(2, 8, (ULONG64)KERNEL_POINTER));
    CHECK(Provoke(Read, (PVOID)0x8000000000001000ULL) == STATUS_ACCESS_VIOLATION && SeenIs(2, 0, MAXULONG64));
    CHECK(Release(Page) == 0 && Release(Only) == 0 && Release(None) == 0);
    return 0;
}

static ULONG Finals;

static VOID CallFinally(PVOID Address)
{
    __try {
        Call(Address);
    } __finally {
        Finals++;
    }
}

/* Calls that lead nowhere, and code that no image describes: the frames of those who called it get the exception, and are unwound. */
static ULONG Leaf(VOID)
{
    static const UCHAR Code[] = {0xE8, 1,    0,    0,    0,   0xC3, /* call the rest; ret */
                                 0x31, 0xC0, 0x8B, 0x00, 0xC3};     /* xor eax, eax; mov eax, [rax]; ret */
    PUCHAR Page = Allocate(PAGE_READWRITE);
    PVOID Base = Page;
    SIZE_T Size = PAGE_SIZE;
    ULONG Old;

    CHECK(Page != NULL);
    Finals = 0;
    CHECK(Provoke(CallFinally, NULL) == STATUS_ACCESS_VIOLATION && SeenIs(2, 8, 0) && Finals == 1);
    CHECK(Provoke(CallFinally, Page) == STATUS_ACCESS_VIOLATION && SeenIs(2, 8, (ULONG64)Page) && Finals == 2);
    CHECK(Provoke(CallFinally, &Finals) == STATUS_ACCESS_VIOLATION && SeenIs(2, 8, (ULONG64)&Finals) && Finals == 3);
    RtlCopyMemory(Page, Code, sizeof(Code));
    CHECK(NtProtectVirtualMemory(ZwCurrentProcess(), &Base, &Size, PAGE_EXECUTE_READ, &Old) == STATUS_SUCCESS);
    CHECK(Provoke(CallFinally, Page) == STATUS_ACCESS_VIOLATION && SeenIs(2, 0, 0) && Finals == 4);
    CHECK(Seen.ExceptionAddress == Page + 8);
    return Release(Page);
}

static VOID Misaligned(PVOID Address)
{
    __asm__ volatile("pushfq\n\torl $0x40000, (%%rsp)\n\tpopfq\n\tmovl 1(%0), %%eax\n\t"
                     "pushfq\n\tandl $0xFFFBFFFF, (%%rsp)\n\tpopfq" ::"r"(Address)
                     : "rax", "memory", "cc");
}

/* With EFLAGS.AC set, a misaligned access faults on processors that check alignment (not QEMU's). */
static ULONG Alignment(VOID)
{
    ULONG64 Data[2] = {0};
    NTSTATUS Status = Provoke(Misaligned, Data);

    __asm__ volatile("pushfq\n\tandl $0xFFFBFFFF, (%%rsp)\n\tpopfq" ::: "memory", "cc");
    if (Status == STATUS_SUCCESS) {
        return SKIP;
    }
    CHECK(Status == STATUS_DATATYPE_MISALIGNMENT && (SeenFlags & 0x40000) != 0);
    CHECK((ULONG64)Seen.ExceptionAddress - (ULONG64)(ULONG_PTR)Misaligned < 64);
    return 0;
}

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Winfinite-recursion"
static __attribute__((noinline)) ULONG Recurse(ULONG Depth)
{
    volatile UCHAR Page[1024];

    Page[0] = (UCHAR)Depth;
    return Recurse(Depth + 1) + Page[0];
}
#pragma clang diagnostic pop

static VOID Overflow(PVOID Argument)
{
    Recurse(0);
}

static NTSTATUS NTAPI OverflowThread(PVOID Argument)
{
    PTEB Teb = (PTEB)__readgsqword(0x30);
    NTSTATUS Status = Provoke(Overflow, NULL);

    if (Status != STATUS_STACK_OVERFLOW || Seen.ExceptionInformation[0] != 1 ||
        Seen.ExceptionInformation[1] < (ULONG64)Teb->DeallocationStack ||
        Seen.ExceptionInformation[1] >= (ULONG64)Teb->DeallocationStack + 8 * PAGE_SIZE) {
        return STATUS_UNSUCCESSFUL;
    }
    *(volatile LONG *)Argument = 1;
    return STATUS_SUCCESS;
}

/* A handler runs on what is left of the stack, and the thread goes on. */
static ULONG StackOverflow(VOID)
{
    LONG Done = 0;

    CHECK(RunThreads(OverflowThread, &Done, 1) == 0);
    CHECK(Done == 1);
    return 0;
}

/* ---- Arithmetic ---- */

static LONG Minimum = -0x7FFFFFFF - 1, MinusOne = -1, Zero, Table[4] = {1, 0, 1, -1};

static VOID DivideRegister(PVOID Divisor)
{
    __asm__ volatile("cdq\n\tidivl %1" ::"a"(Minimum), "r"(*(PLONG)Divisor) : "rdx", "cc");
}

static VOID DivideMemory(PVOID Divisor)
{
    __asm__ volatile("cdq\n\tidivl (%1)" ::"a"(Minimum), "r"(Divisor) : "rdx", "cc", "memory");
}

static VOID DivideIndexed(PVOID Divisor)
{
    __asm__ volatile("leaq -0x1000(%1), %%r13\n\tmovl $0x400, %%r12d\n\tcdq\n\tidivl (%%r13, %%r12, 4)" ::"a"(Minimum),
                     "r"(Divisor)
                     : "rdx", "r12", "r13", "cc", "memory");
}

static VOID DivideRelative(PVOID Divisor)
{
    if (*(PLONG)Divisor == 0) {
        __asm__ volatile("cdq\n\tidivl %1" ::"a"(Minimum), "m"(Zero) : "rdx", "cc");
    } else {
        __asm__ volatile("cdq\n\tidivl %1" ::"a"(Minimum), "m"(MinusOne) : "rdx", "cc");
    }
}

static VOID DivideWide(PVOID Divisor)
{
    __asm__ volatile("movl $1, %%edx\n\txorl %%eax, %%eax\n\tdivq %0" ::"r"((ULONG64)(ULONG) * (PLONG)Divisor)
                     : "rax", "rdx", "cc");
}

static VOID DivideHighByte(PVOID Divisor)
{
    __asm__ volatile("movl $0xFFFF, %%eax\n\tdivb %%ch" ::"c"((*(PLONG)Divisor & 1) << 8) : "rax", "cc");
}

/* By zero, and a quotient that does not fit, in each form of operand. */
static ULONG Division(VOID)
{
    VOID (*Actions[])(PVOID) = {DivideRegister, DivideMemory, DivideIndexed,
                                DivideRelative, DivideWide,   DivideHighByte};

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Actions); Index++) {
        PLONG One = Index == 4 ? &Table[2] : &Table[3];

        CHECK(Provoke(Actions[Index], &Table[1]) == STATUS_INTEGER_DIVIDE_BY_ZERO && SeenIs(0, 0, 0));
        CHECK(Provoke(Actions[Index], One) == STATUS_INTEGER_OVERFLOW && SeenIs(0, 0, 0));
    }
    return 0;
}

static VOID LoadControl(USHORT Control)
{
    __asm__ volatile("fninit\n\tfldcw %0" ::"m"(Control));
}

static VOID X87Divide(PVOID Argument)
{
    LoadControl(0x37F & ~4);
    __asm__ volatile("fld1\n\tfldz\n\tfdivrp\n\tfwait");
}

static VOID X87Invalid(PVOID Argument)
{
    LoadControl(0x37F & ~1);
    __asm__ volatile("fldz\n\tfldz\n\tfdivrp\n\tfwait");
}

static VOID X87Stack(PVOID Argument)
{
    LoadControl(0x37F & ~1);
    __asm__ volatile("fld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfwait");
}

static VOID X87Inexact(PVOID Argument)
{
    static const ULONG Three = 3;

    LoadControl(0x37F & ~0x20);
    __asm__ volatile("fld1\n\tfidivl %0\n\tfwait" ::"m"(Three));
}

static ULONG X87(VOID)
{
    static const struct {
        VOID (*Action)(PVOID);
        NTSTATUS Status;
    } Kinds[] = {{X87Divide, STATUS_FLOAT_DIVIDE_BY_ZERO},
                 {X87Invalid, STATUS_FLOAT_INVALID_OPERATION},
                 {X87Stack, STATUS_FLOAT_STACK_CHECK},
                 {X87Inexact, STATUS_FLOAT_INEXACT_RESULT}};

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Kinds); Index++) {
        NTSTATUS Status = Provoke(Kinds[Index].Action, NULL);

        __asm__ volatile("fnclex\n\tfninit");
        if (Kinds[Index].Status != STATUS_FLOAT_STACK_CHECK || Status != STATUS_SUCCESS) { /* QEMU's stack wraps */
            CHECK(Status == Kinds[Index].Status);
        }
    }
    return 0;
}

/* Two operands in an order that the compiler does not change, with one of MXCSR's exceptions unmasked. */
typedef struct _SIMD {
    ULONG Bit;
    CHAR Operation;
    ULONG64 A, B; /* as doubles */
    NTSTATUS Status;
} SIMD;

#define ONE   0x3FF0000000000000ULL
#define THREE 0x4008000000000000ULL
#define HUGE  0x7FE0000000000000ULL
#define TINY  0x0010000000000000ULL
#define SMALL 0x0000000000000001ULL

static VOID Simd(PVOID Argument)
{
    const SIMD *What = Argument;
    ULONG Control = 0x1F80 & ~(0x80U << What->Bit);

    __asm__ volatile("ldmxcsr %0\n\tmovq %1, %%xmm0\n\tmovq %2, %%xmm1" ::"m"(Control), "r"(What->A), "r"(What->B)
                     : "xmm0", "xmm1");
    if (What->Operation == '/') {
        __asm__ volatile("divsd %%xmm1, %%xmm0" ::: "xmm0");
    } else {
        __asm__ volatile("mulsd %%xmm1, %%xmm0" ::: "xmm0");
    }
}

static ULONG SimdFloat(VOID)
{
    static const SIMD Kinds[] = {
        {0, '/', 0, 0, STATUS_FLOAT_INVALID_OPERATION}, {1, '*', SMALL, ONE, STATUS_FLOAT_DENORMAL_OPERAND},
        {2, '/', ONE, 0, STATUS_FLOAT_DIVIDE_BY_ZERO},  {3, '*', HUGE, HUGE, STATUS_FLOAT_OVERFLOW},
        {4, '/', TINY, THREE, STATUS_FLOAT_UNDERFLOW},  {5, '/', ONE, THREE, STATUS_FLOAT_INEXACT_RESULT}};
    static const ULONG Masked = 0x1F80;
    ULONG Raised = 0;

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Kinds); Index++) {
        NTSTATUS Status = Provoke(Simd, (PVOID)&Kinds[Index]);

        __asm__ volatile("ldmxcsr %0" ::"m"(Masked));
        CHECK(Status == Kinds[Index].Status || Status == STATUS_SUCCESS);
        Raised += Status != STATUS_SUCCESS;
    }
    CHECK(Raised == 0 || Raised == RTL_NUMBER_OF(Kinds));
    return Raised == 0 ? SKIP : 0; /* QEMU's processor raises none */
}

/* ---- Traps ---- */

static VOID Step(PVOID Argument)
{
    __asm__ volatile("pushfq\n\torl $0x100, (%rsp)\n\tpopfq\n\tnop");
}

static VOID Break(PVOID Argument)
{
    __asm__ volatile("int3");
}

static VOID Assertion(PVOID Argument)
{
    __asm__ volatile("int $0x2C");
}

static VOID Undefined(PVOID Argument)
{
    __asm__ volatile("ud2");
}

static VOID Privileged(PVOID Argument)
{
    __asm__ volatile("hlt");
}

static VOID Old(PVOID Argument)
{
    __asm__ volatile(".byte 0x06"); /* PUSH ES, which 64-bit code has not */
}

static ULONG Traps(VOID)
{
    CHECK(Provoke(Step, NULL) == STATUS_SINGLE_STEP && SeenIs(0, 0, 0));
    CHECK(*(PUCHAR)Seen.ExceptionAddress != 0x90 && ((PUCHAR)Seen.ExceptionAddress)[-1] == 0x90); /* behind the NOP */
    CHECK(Provoke(Break, NULL) == STATUS_BREAKPOINT && SeenIs(1, 0, 0));
    CHECK(*(PUCHAR)Seen.ExceptionAddress == 0xCC);
    CHECK(Provoke(Assertion, NULL) == STATUS_ASSERTION_FAILURE && SeenIs(0, 0, 0));
    CHECK(*(PUCHAR)Seen.ExceptionAddress == 0xCD);
    CHECK(Provoke(Undefined, NULL) == STATUS_ILLEGAL_INSTRUCTION && *(PUSHORT)Seen.ExceptionAddress == 0x0B0F);
    CHECK(Provoke(Old, NULL) == STATUS_ILLEGAL_INSTRUCTION && *(PUCHAR)Seen.ExceptionAddress == 0x06);
    CHECK(Provoke(Privileged, NULL) == STATUS_PRIVILEGED_INSTRUCTION && *(PUCHAR)Seen.ExceptionAddress == 0xF4);
    return 0;
}

/* ---- A file that cannot be read ---- */

static ULONG InPage(PCWSTR Path)
{
    OBJECT_ATTRIBUTES Attributes;
    UNICODE_STRING Name;
    IO_STATUS_BLOCK Iosb;
    HANDLE File, Section;
    PUCHAR Base = NULL;
    SIZE_T Size = 0;

    RtlInitUnicodeString(&Name, Path);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    CHECK(NtOpenFile(&File, FILE_READ_DATA | SYNCHRONIZE, &Attributes, &Iosb, FILE_SHARE_READ,
                     FILE_SYNCHRONOUS_IO_NONALERT) == STATUS_SUCCESS);
    CHECK(NtCreateSection(&Section, SECTION_MAP_READ, NULL, NULL, PAGE_READONLY, SEC_COMMIT, File) == STATUS_SUCCESS);
    CHECK(NtMapViewOfSection(Section, ZwCurrentProcess(), (PVOID *)&Base, 0, 0, NULL, &Size, ViewUnmap, 0,
                             PAGE_READONLY) == STATUS_SUCCESS);
    for (ULONG Round = 0; Round < 2; Round++) { /* nothing of the failure is taken for the page */
        CHECK(Provoke(Read, Base + 21) == STATUS_IN_PAGE_ERROR && SeenIs(3, 0, (ULONG64)Base + 21));
        CHECK(NT_ERROR((NTSTATUS)Seen.ExceptionInformation[2]));
        CHECK((LONG64)Seen.ExceptionInformation[2] == (NTSTATUS)Seen.ExceptionInformation[2]);
    }
    DbgPrint("in-page error: %08lX\n", (ULONG)Seen.ExceptionInformation[2]);
    /* A service that is given such memory returns the error; it does not fail in the kernel. */
    CHECK(NtDisplayString((PUNICODE_STRING)Base) != STATUS_SUCCESS);
    CHECK(NtUnmapViewOfSection(ZwCurrentProcess(), Base) == STATUS_SUCCESS);
    CHECK(NtClose(Section) == STATUS_SUCCESS && NtClose(File) == STATUS_SUCCESS);
    return 0;
}

static const USER_CASE Cases[] = {
    {"user.exc.guard_page", GuardPage},
    {"user.exc.access_violation", AccessViolation},
    {"user.exc.alignment", Alignment},
    {"user.exc.stack_overflow", StackOverflow},
    {"user.exc.division", Division},
    {"user.exc.x87", X87},
    {"user.exc.simd", SimdFloat},
    {"user.exc.traps", Traps},
    {"user.exc.leaf", Leaf},
};

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    static const WCHAR Word[] = L" inpage ";
    PCWSTR Line = Peb->ProcessParameters->CommandLine.Buffer;

    for (; Line != NULL && *Line != 0; Line++) {
        if (RtlCompareMemory(Line, Word, sizeof(Word) - sizeof(WCHAR)) == sizeof(Word) - sizeof(WCHAR)) {
            return InPage(Line + RTL_NUMBER_OF(Word) - 1) == 0 ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
        }
    }
    return UserRunSuite("uexc.c", Cases, RTL_NUMBER_OF(Cases));
}
