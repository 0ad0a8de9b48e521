/*
 * processor.c - makes a processor ready for the kernel: descriptor tables, PCR, control registers, memory types.
 *
 * Every processor runs KiInitializeProcessor once, on its own area, with interrupts off. The boot
 * processor's area is static, since it is needed before there is any memory manager; others are allocated. The area
 * holds what the processor itself points into (GDT, TSS, IST stacks) and is never freed.
 *
 * Protections are switched on wherever CPUID offers them: WP, SMEP, SMAP, UMIP. The PAT is the same on
 * every processor (KI_PAT_VALUE), because a frame mapped with two memory types is undefined behaviour.
 *
 * Locks: none. Must never: assume anything of what firmware or loader left in a control register.
 */
#include <ntos/init.h>
#include <ntos/hal.h>
#include "processor.h"

#define GDT_CODE64      0x00209B0000000000ULL /* present, DPL 0, 64-bit code, accessed */
#define GDT_DATA        0x00CF93000000FFFFULL
#define GDT_USER_CODE32 0x00CFFB000000FFFFULL
#define GDT_USER_DATA   0x00CFF3000000FFFFULL
#define GDT_USER_CODE64 0x0020FB0000000000ULL
#define GDT_TSS_PRESENT 0x0000890000000000ULL
#define PML4_USER_HALF  256

typedef struct __attribute__((packed)) _KI_TABLE_REGISTER {
    USHORT Limit;
    ULONG64 Base;
} KI_TABLE_REGISTER;

static KI_PROCESSOR_AREA KiBootProcessor; /* (c) */

PKPRCB KiProcessorBlock[KI_MAXIMUM_PROCESSORS];
ULONG KeNumberOfActiveProcessors;
BOOLEAN KiSmapEnabled;

static VOID KiFillGdt(PKI_PROCESSOR_AREA Area)
{
    ULONG64 Tss = (ULONG64)&Area->Tss;

    Area->Gdt[KGDT_R0_CODE / 8] = GDT_CODE64;
    Area->Gdt[KGDT_R0_DATA / 8] = GDT_DATA;
    Area->Gdt[KGDT_R3_CMCODE / 8] = GDT_USER_CODE32;
    Area->Gdt[KGDT_R3_DATA / 8] = GDT_USER_DATA;
    Area->Gdt[KGDT_R3_CODE / 8] = GDT_USER_CODE64;
    Area->Gdt[KGDT_TSS / 8] =
        GDT_TSS_PRESENT | (sizeof(KTSS64) - 1) | (Tss & 0xFFFFFF) << 16 | (Tss >> 24 & 0xFF) << 56;
    Area->Gdt[KGDT_TSS / 8 + 1] = Tss >> 32;
}

static VOID KiFillTss(PKI_PROCESSOR_AREA Area)
{
    for (ULONG Index = 0; Index < KI_IST_COUNT; Index++) {
        Area->Ist[Index].Pcr = &Area->Pcr;
        Area->Tss.Ist[Index] = (ULONG64)&Area->Ist[Index].Pcr;
    }
    Area->Tss.IoMapBase = sizeof(KTSS64); /* beyond the limit: no port is open to ring 3 */
}

static VOID KiFillPcr(PKI_PROCESSOR_AREA Area, ULONG Number, ULONG ApicId)
{
    PKPCR Pcr = &Area->Pcr.Pcr;
    PKPRCB Prcb = &Area->Pcr.Prcb;

    Pcr->Self = Pcr;
    Pcr->CurrentPrcb = Prcb;
    Pcr->GdtBase = (PVOID)Area->Gdt;
    Pcr->TssBase = &Area->Tss;
    Pcr->MajorVersion = PCR_MAJOR_VERSION;
    Pcr->MinorVersion = PCR_MINOR_VERSION;
    Pcr->ObsoleteNumber = (UCHAR)Number;
    Prcb->Number = (USHORT)Number;
    Prcb->ApicId = ApicId;
    Prcb->SetMember = (KAFFINITY)1 << Number;
}

/* Loads the tables and GS. The selectors come first: loading GS's selector would clear its base. */
static VOID KiLoadTables(PKI_PROCESSOR_AREA Area)
{
    KI_TABLE_REGISTER Gdt = {sizeof(Area->Gdt) - 1, (ULONG64)Area->Gdt};

    __asm__ volatile("lgdt %0\n\t"
                     "pushq %1\n\t"
                     "leaq 1f(%%rip), %%rax\n\t"
                     "pushq %%rax\n\t"
                     "lretq\n"
                     "1:\n\t"
                     "movl %2, %%eax\n\t"
                     "movw %%ax, %%ss\n\t"
                     "movl %3, %%eax\n\t"
                     "movw %%ax, %%ds\n\t"
                     "movw %%ax, %%es\n\t"
                     "xorl %%eax, %%eax\n\t"
                     "movw %%ax, %%fs\n\t"
                     "movw %%ax, %%gs\n\t"
                     "movl %4, %%eax\n\t"
                     "ltr %%ax" ::"m"(Gdt),
                     "i"(KGDT_R0_CODE), "i"(KGDT_R0_DATA), "i"(KGDT_R3_DATA | 3), "i"(KGDT_TSS)
                     : "rax", "memory");
    KeWriteMsr(MSR_FS_BASE, 0);
    KeWriteMsr(MSR_GS_BASE, (ULONG64)&Area->Pcr);
    KeWriteMsr(MSR_KERNEL_GS_BASE, 0);
}

static VOID KiSetControlRegisters(VOID)
{
    ULONG Leaf7[4] = {0}, Leaf0[4];
    ULONG64 Cr4 = __readcr4() | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXC;

    KeCpuid(0, 0, Leaf0);
    if (Leaf0[0] >= 7) {
        KeCpuid(7, 0, Leaf7);
    }
    Cr4 |= (Leaf7[1] & CPUID7_EBX_SMEP) ? CR4_SMEP : 0;
    Cr4 |= (Leaf7[1] & CPUID7_EBX_SMAP) ? CR4_SMAP : 0;
    Cr4 |= (Leaf7[1] & CPUID7_EBX_FSGSBASE) ? CR4_FSGSBASE : 0;
    Cr4 |= (Leaf7[2] & CPUID7_ECX_UMIP) ? CR4_UMIP : 0;
    __writecr0((__readcr0() | CR0_WP | CR0_NE | CR0_MP | CR0_AM) & ~(CR0_EM | CR0_TS | CR0_NW | CR0_CD));
    __writecr4(Cr4);
    KiSmapEnabled = (Cr4 & CR4_SMAP) != 0; /* the same on every processor of a machine */
    KeWriteMsr(MSR_EFER, KeReadMsr(MSR_EFER) | EFER_NXE);
    KeWriteMsr(MSR_PAT, KI_PAT_VALUE);
    __writecr3(__readcr3());
    __asm__ volatile("fninit" ::: "memory");
    KiEnableExtendedState();
    KiEnableSystemCalls();
}

VOID KiInitializeProcessor(struct _KI_PROCESSOR_AREA *Area, ULONG Number, ULONG ApicId)
{
    ASSERT(Number < KI_MAXIMUM_PROCESSORS && KiProcessorBlock[Number] == NULL);
    KiFillGdt(Area);
    KiFillTss(Area);
    KiFillPcr(Area, Number, ApicId);
    KiLoadTables(Area);
    KiLoadIdt(&Area->Pcr);
    __writecr8(HIGH_LEVEL);
    KiSetControlRegisters();
    Area->Pcr.Prcb.MxCsr = 0x1F80; /* the processor's reset value: every exception masked */
}

/* The loader's own identity-mapped page is the only thing in the user half; the frames of its tables belong to Mm. */
static VOID KiRemoveTransitionPage(VOID)
{
    ULONG64 Self = MM_SELF_SLOT; /* the PML4 is where the self slot leads back to itself at every level */
    ULONG64 *Pml4 = (ULONG64 *)(MM_PTE_BASE | Self << 30 | Self << 21 | Self << 12);

    for (ULONG Slot = 0; Slot < PML4_USER_HALF; Slot++) {
        Pml4[Slot] = 0;
    }
    __writecr3(__readcr3());
}

VOID KiInitializeProcessor0(LOADER_BLOCK *LoaderBlock)
{
    ULONG Leaf1[4];

    KeCpuid(1, 0, Leaf1);
    KiVirtualMachine = (Leaf1[2] & CPUID1_ECX_HYPERVISOR) != 0;
    KiInitializeIdt();
    KiInitializeCallbacks();
    KiInitializeProcessor(&KiBootProcessor, 0, Leaf1[1] >> 24);
    KiProcessorBlock[0] = &KiBootProcessor.Pcr.Prcb;
    KeNumberOfActiveProcessors = 1;
    KiRemoveTransitionPage();
}
