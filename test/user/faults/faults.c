/*
 * faults.c - a program that does one forbidden thing, named by its argument; the kernel ends it with the documented status.
 *
 * `faults NAME` does it with nobody to catch it. If it is still there afterwards it ends with status 0, which no test
 * expects. float-divide counts on processors that raise SIMD exceptions, which QEMU's does not.
 */
#include <oriel/program.h>

#define KERNEL_ADDRESS 0xFFFFF80000000000ULL
#define PTE_ADDRESS    0xFFFFF6FB7DBED000ULL /* the self-map's view of the PML4 */
#define SHARED_ADDRESS 0xFFFFF78000000000ULL

typedef VOID (*PROUTINE)(VOID);

static VOID ReadKernel(VOID)
{
    *(volatile ULONG64 *)KERNEL_ADDRESS;
}

static VOID WriteKernel(VOID)
{
    *(volatile ULONG64 *)KERNEL_ADDRESS = 1;
}

static VOID CallKernel(VOID)
{
    ((PROUTINE)KERNEL_ADDRESS)();
}

static VOID ReadTables(VOID)
{
    *(volatile ULONG64 *)PTE_ADDRESS;
}

static VOID ReadShared(VOID)
{
    *(volatile ULONG64 *)SHARED_ADDRESS;
}

static VOID ReadNull(VOID)
{
    *(volatile UCHAR *)16;
}

static VOID NonCanonical(VOID)
{
    *(volatile ULONG64 *)0x8000000000000000ULL;
}

static VOID WriteCode(VOID)
{
    *(volatile UCHAR *)(ULONG_PTR)WriteCode = 0xC3;
}

static VOID ExecuteData(VOID)
{
    static UCHAR Code[] = {0xC3};

    ((PROUTINE)(ULONG_PTR)Code)();
}

static VOID ExecuteStack(VOID)
{
    volatile UCHAR Code[] = {0xC3};

    ((PROUTINE)(ULONG_PTR)Code)();
}

static VOID Undefined(VOID)
{
    __asm__ volatile("ud2");
}

static VOID Halt(VOID)
{
    __asm__ volatile("hlt");
}

static VOID InterruptsOff(VOID)
{
    __asm__ volatile("cli");
}

static VOID Port(VOID)
{
    __asm__ volatile("outb %%al, $0x80" ::"a"(0));
}

static VOID ControlRegister(VOID)
{
    __asm__ volatile("movq %%cr3, %%rax" ::: "rax");
}

static VOID Divide(VOID)
{
    __asm__ volatile("xorl %%ecx, %%ecx\n\txorl %%edx, %%edx\n\tmovl $1, %%eax\n\tdivl %%ecx" ::: "rax", "rcx", "rdx");
}

static VOID Breakpoint(VOID)
{
    __asm__ volatile("int3");
}

static VOID SingleStep(VOID)
{
    __asm__ volatile("pushfq\n\torl $0x100, (%rsp)\n\tpopfq\n\tnop\n\tnop");
}

static VOID Gate(VOID)
{
    __asm__ volatile("int $0x1F"); /* the kernel's own vector for APCs */
}

static VOID FastFail(VOID)
{
    __asm__ volatile("int $0x29" ::"c"(5));
}

static VOID BadStack(VOID)
{
    __asm__ volatile("movq $0x8000000000000000, %rsp\n\tpushq %rax");
}

static VOID KernelStackPointer(VOID)
{
    __asm__ volatile("movabsq $0xFFFFF80000000000, %rsp\n\tud2");
}

static VOID Raise(VOID)
{
    RtlRaiseStatus(STATUS_DATA_ERROR);
}

static VOID FloatDivide(VOID)
{
    __asm__ volatile("pushq $0x1D80\n\tldmxcsr (%rsp)\n\tpxor %xmm0, %xmm0\n\tmovl $1, %eax\n\tcvtsi2sd %eax, %xmm1\n\t"
                     "divsd %xmm0, %xmm1\n\taddq $8, %rsp");
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

static VOID StackOverflow(VOID)
{
    Recurse(0);
}

static const struct {
    PCWSTR Name;
    PROUTINE Routine;
} Faults[] = {
    {L"read-kernel", ReadKernel},
    {L"write-kernel", WriteKernel},
    {L"call-kernel", CallKernel},
    {L"read-tables", ReadTables},
    {L"read-shared", ReadShared},
    {L"read-null", ReadNull},
    {L"non-canonical", NonCanonical},
    {L"write-code", WriteCode},
    {L"execute-data", ExecuteData},
    {L"execute-stack", ExecuteStack},
    {L"undefined", Undefined},
    {L"halt", Halt},
    {L"cli", InterruptsOff},
    {L"port", Port},
    {L"control-register", ControlRegister},
    {L"divide", Divide},
    {L"breakpoint", Breakpoint},
    {L"single-step", SingleStep},
    {L"gate", Gate},
    {L"fast-fail", FastFail},
    {L"bad-stack", BadStack},
    {L"kernel-stack", KernelStackPointer},
    {L"raise", Raise},
    {L"float-divide", FloatDivide},
    {L"stack-overflow", StackOverflow},
};

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    UNICODE_STRING Argument = Peb->ProcessParameters->CommandLine, Name;

    while (Argument.Length != 0 && Argument.Buffer[0] != ' ') {
        Argument.Buffer++;
        Argument.Length -= sizeof(WCHAR);
    }
    if (Argument.Length != 0) {
        Argument.Buffer++;
        Argument.Length -= sizeof(WCHAR);
    }
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Faults); Index++) {
        RtlInitUnicodeString(&Name, Faults[Index].Name);
        if (RtlEqualUnicodeString(&Name, &Argument, FALSE)) {
            Faults[Index].Routine();
            return STATUS_SUCCESS;
        }
    }
    DbgPrint("faults: %wZ: no such fault\n", &Argument);
    return STATUS_INVALID_PARAMETER;
}
