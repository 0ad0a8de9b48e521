/*
 * x64.h - what the processor defines: page-table entries, trap frame, control bits, model-specific registers.
 *
 * Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 3 (chapters 2, 4, 6).
 */
#pragma once

/* ---- Page-table entries (SDM 3A 4.5) ---- */

#define PTE_VALID      0x0000000000000001ULL
#define PTE_WRITE      0x0000000000000002ULL
#define PTE_USER       0x0000000000000004ULL
#define PTE_PWT        0x0000000000000008ULL
#define PTE_PCD        0x0000000000000010ULL
#define PTE_ACCESSED   0x0000000000000020ULL
#define PTE_DIRTY      0x0000000000000040ULL
#define PTE_LARGE      0x0000000000000080ULL /* in a PDE or PPE */
#define PTE_PAT        0x0000000000000080ULL /* in a PTE */
#define PTE_GLOBAL     0x0000000000000100ULL
#define PTE_FRAME_MASK 0x000FFFFFFFFFF000ULL
#define PTE_NX         0x8000000000000000ULL

/* ---- Control registers and EFLAGS ---- */

#define CR0_MP       0x00000002ULL
#define CR0_EM       0x00000004ULL
#define CR0_TS       0x00000008ULL
#define CR0_NE       0x00000020ULL
#define CR0_WP       0x00010000ULL
#define CR0_AM       0x00040000ULL
#define CR0_NW       0x20000000ULL
#define CR0_CD       0x40000000ULL
#define CR4_PGE      0x00000080ULL
#define CR4_OSFXSR   0x00000200ULL
#define CR4_OSXMMEXC 0x00000400ULL
#define CR4_UMIP     0x00000800ULL
#define CR4_FSGSBASE 0x00010000ULL
#define CR4_PCIDE    0x00020000ULL
#define CR4_OSXSAVE  0x00040000ULL
#define CR4_SMEP     0x00100000ULL
#define CR4_SMAP     0x00200000ULL

#define EFLAGS_TF 0x00000100ULL
#define EFLAGS_IF 0x00000200ULL
#define EFLAGS_DF 0x00000400ULL
#define EFLAGS_RF 0x00010000ULL
#define EFLAGS_NT 0x00004000ULL
#define EFLAGS_AC 0x00040000ULL

/* What SYSCALL clears: TF, IF, DF, IOPL, NT, RF, AC. */
#define KI_SYSCALL_FLAG_MASK 0x00057700ULL
/* What ring 3 may choose: status flags, TF, DF, RF, AC, ID. The rest is fixed: IF set. */
#define KI_USER_EFLAGS 0x00250DD5ULL
#define EFLAGS_FIXED   0x00000202ULL

/* Page-fault error code (SDM 3A 4.7) */
#define PF_PRESENT  0x01
#define PF_WRITE    0x02
#define PF_USER     0x04
#define PF_RESERVED 0x08
#define PF_EXECUTE  0x10

/* ---- Model-specific registers ---- */

#define MSR_APIC_BASE      0x0000001B
#define MSR_PAT            0x00000277
#define MSR_EFER           0xC0000080
#define MSR_STAR           0xC0000081
#define MSR_LSTAR          0xC0000082
#define MSR_SFMASK         0xC0000084
#define MSR_FS_BASE        0xC0000100
#define MSR_GS_BASE        0xC0000101
#define MSR_KERNEL_GS_BASE 0xC0000102

/* CPUID leaf 7 */
#define CPUID7_EBX_FSGSBASE 0x00000001
#define CPUID7_EBX_SMEP     0x00000080
#define CPUID7_EBX_INVPCID  0x00000400
#define CPUID7_EBX_SMAP     0x00100000
#define CPUID7_ECX_UMIP     0x00000004

/* CPUID leaf 1; XSAVE state components that the kernel switches: x87, SSE, AVX, AVX-512 */
#define CPUID1_ECX_PCID       0x00020000
#define CPUID1_ECX_XSAVE      0x04000000
#define CPUID1_ECX_HYPERVISOR 0x80000000
#define KI_XSTATE_MASK        0x000000E7ULL

#define EFER_SCE 0x001ULL
#define EFER_NXE 0x800ULL

/* PAT, the same on every processor: WB, WC, UC-, UC in entries 0-3; WB, WP, UC-, UC in 4-7. */
#define KI_PAT_VALUE 0x0007050600070106ULL

/* ---- Selectors: NT's numbers, laid out for SYSCALL/SYSRET ---- */

#define KGDT_R0_CODE   0x10
#define KGDT_R0_DATA   0x18
#define KGDT_R3_CMCODE 0x20
#define KGDT_R3_DATA   0x28
#define KGDT_R3_CODE   0x30
#define KGDT_TSS       0x40
#define KGDT_R3_CMTEB  0x50 /* NT's selector of 32-bit TEBs; contexts name it, no descriptor is there */
#define KGDT_BYTES     0x50 /* the TSS descriptor takes two slots */

/* ---- Task state segment: where the processor finds its stacks (SDM 3A 8.7) ---- */

typedef struct __attribute__((packed)) _KTSS64 {
    ULONG Reserved0;
    ULONG64 Rsp0; /* kernel stack on a trap from ring 3: the context switch sets it */
    ULONG64 Rsp1, Rsp2;
    ULONG64 Reserved1;
    ULONG64 Ist[7]; /* [0] is IST 1 */
    ULONG64 Reserved2;
    USHORT Reserved3;
    USHORT IoMapBase;
} KTSS64, *PKTSS64;
C_ASSERT(sizeof(KTSS64) == 0x68 && FIELD_OFFSET(KTSS64, Ist) == 0x24);

/* ---- Trap frame: everything an interrupted context needs, built by src/ke/trap.asm ---- */

typedef struct _KTRAP_FRAME {
    M128A Xmm[6]; /* volatile XMM0-5: foreign drivers use them, kernel code does not */
    ULONG MxCsr;
    UCHAR PreviousIrql; /* CR8 at the time of the trap */
    UCHAR FromUser;     /* 1: interrupted ring 3 */
    USHORT Reserved;
    ULONG64 Cr2;    /* page faults only */
    ULONG64 GsBase; /* vectors on IST stacks only: the interrupted GS base, which may be either one */
    ULONG64 Dr6;    /* debug exceptions only */
    ULONG64 R15, R14, R13, R12, Rbp, Rdi, Rsi, Rbx;
    ULONG64 R11, R10, R9, R8, Rdx, Rcx, Rax;
    ULONG64 Vector;
    ULONG64 ErrorCode; /* 0 where the processor pushes none */
    /* pushed by the processor */
    ULONG64 Rip, SegCs, EFlags, Rsp, SegSs;
} KTRAP_FRAME, *PKTRAP_FRAME;
C_ASSERT(sizeof(M128A) == 16);
C_ASSERT(FIELD_OFFSET(KTRAP_FRAME, Rip) == 264 && sizeof(KTRAP_FRAME) == 304); /* trap.asm builds it */

/* ---- Instructions without a name in the headers ---- */

FORCEINLINE VOID KeInvalidatePage(PVOID Address)
{
    __asm__ volatile("invlpg (%0)" ::"r"(Address) : "memory");
}

/* Waits for the next interrupt. */
FORCEINLINE VOID KeHalt(VOID)
{
    __asm__ volatile("hlt" ::: "memory");
}

/* Enables interrupts and waits for the next one, with no gap between the two in which one could be missed. */
FORCEINLINE VOID KeEnableAndHalt(VOID)
{
    __asm__ volatile("sti; hlt" ::: "memory");
}

/* Reads a leaf; Registers gets EAX, EBX, ECX, EDX. */
FORCEINLINE VOID KeCpuid(ULONG Leaf, ULONG Subleaf, ULONG Registers[4])
{
    __asm__ volatile("cpuid"
                     : "=a"(Registers[0]), "=b"(Registers[1]), "=c"(Registers[2]), "=d"(Registers[3])
                     : "a"(Leaf), "c"(Subleaf));
}

FORCEINLINE ULONG64 KeReadMsr(ULONG Msr)
{
    ULONG Low, High;

    __asm__ volatile("rdmsr" : "=a"(Low), "=d"(High) : "c"(Msr));
    return ((ULONG64)High << 32) | Low;
}

FORCEINLINE VOID KeWriteMsr(ULONG Msr, ULONG64 Value)
{
    __asm__ volatile("wrmsr" ::"c"(Msr), "a"((ULONG)Value), "d"((ULONG)(Value >> 32)) : "memory");
}

/* Clears IF; returns whether it was set, for KeRestoreInterrupts. */
FORCEINLINE BOOLEAN KeDisableInterrupts(VOID)
{
    ULONG64 Flags;

    __asm__ volatile("pushfq; popq %0; cli" : "=r"(Flags)::"memory");
    return (Flags & EFLAGS_IF) != 0;
}

FORCEINLINE VOID KeRestoreInterrupts(BOOLEAN Enable)
{
    if (Enable) {
        __asm__ volatile("sti" ::: "memory");
    }
}

/* clang has no built-in of these two names, and the headers only declare them. */
#define _disable() __asm__ volatile("cli" ::: "memory")
#define _enable()  __asm__ volatile("sti" ::: "memory")

/* Orders every earlier load and store before every later one (the intrinsic needs SSE2 enabled). */
FORCEINLINE VOID KeMemoryFence(VOID)
{
    __asm__ volatile("mfence" ::: "memory");
}
