/*
 * apic.c - the local APIC of each processor: interrupt acknowledgement, IPIs, the timer.
 *
 * One pair of accessors hides the two ways to its registers: x2APIC model-specific registers when CPUID has the bit,
 * otherwise the uncached page that MmMapIoSpace gives (the same physical page is each processor's own APIC). The task
 * priority is CR8 and nothing else. LINT0, where the 8259s would come in, stays masked.
 *
 * Requests for DPC and APC delivery are self-IPIs: they stay pending in the APIC until IRQL falls, so that the DDK's
 * inline KeLowerIrql, a bare write of CR8, is enough to deliver them.
 *
 * Locks: none; a processor touches only its own APIC, with interrupts off around the two-register IPI command.
 * Before HalpInitializeLocalApic every function here does nothing.
 *
 * Source: Intel SDM volume 3A, chapter 11 (Advanced Programmable Interrupt Controller).
 */
#include "halp.h"

#define APIC_ID            0x020
#define APIC_VERSION       0x030
#define APIC_EOI           0x0B0
#define APIC_LDR           0x0D0
#define APIC_SPURIOUS      0x0F0
#define APIC_ERROR         0x280
#define APIC_ICR           0x300
#define APIC_ICR_HIGH      0x310
#define APIC_LVT_TIMER     0x320
#define APIC_LVT_THERMAL   0x330
#define APIC_LVT_COUNTER   0x340
#define APIC_LVT_LINT0     0x350
#define APIC_LVT_LINT1     0x360
#define APIC_LVT_ERROR     0x370
#define APIC_TIMER_INITIAL 0x380
#define APIC_TIMER_CURRENT 0x390
#define APIC_TIMER_DIVIDE  0x3E0

#define APIC_ENABLED      0x00000100 /* in the spurious register */
#define APIC_MASKED       0x00010000 /* in a local vector table entry */
#define APIC_NMI          0x00000400
#define APIC_PERIODIC     0x00020000
#define APIC_PENDING      0x00001000 /* ICR: still being sent */
#define APIC_ASSERT       0x00004000
#define APIC_SELF         0x00040000
#define APIC_INIT         0x00000500
#define APIC_STARTUP      0x00000600
#define APIC_DIVIDE_BY_16 0x03

#define X2APIC_MSR(Register) (0x800 + ((Register) >> 4))
#define X2APIC_SELF_IPI      0x83F

#define APIC_BASE_X2APIC 0x400ULL
#define APIC_BASE_ENABLE 0x800ULL
#define CPUID_X2APIC     (1U << 21)

static volatile ULONG *HalpApic; /* xAPIC registers; NULL in x2APIC mode or before initialisation (c) */
static BOOLEAN HalpX2Apic;       /* (c) */
static BOOLEAN HalpApicReady;    /* (c) */

static ULONG ApicRead(ULONG Register)
{
    return HalpX2Apic ? (ULONG)KeReadMsr(X2APIC_MSR(Register)) : HalpApic[Register / 4];
}

static VOID ApicWrite(ULONG Register, ULONG Value)
{
    if (HalpX2Apic) {
        KeWriteMsr(X2APIC_MSR(Register), Value);
    } else {
        HalpApic[Register / 4] = Value;
    }
}

/* Makes the registers reachable: once in xAPIC mode, on each processor in x2APIC mode. */
static VOID ApicOpen(VOID)
{
    ULONG Cpuid[4];

    KeCpuid(1, 0, Cpuid);
    if ((Cpuid[2] & CPUID_X2APIC) != 0) {
        KeWriteMsr(MSR_APIC_BASE, KeReadMsr(MSR_APIC_BASE) | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
        HalpX2Apic = TRUE;
        return;
    }
    KeWriteMsr(MSR_APIC_BASE, KeReadMsr(MSR_APIC_BASE) | APIC_BASE_ENABLE);
    if (HalpApic == NULL) {
        PHYSICAL_ADDRESS Base = {.QuadPart = (LONG64)HalpMadt.LocalApicBase};
        HalpApic = MmMapIoSpace(Base, MM_PAGE_SIZE, MmNonCached);
        if (HalpApic == NULL) {
            KeBugCheckEx(HAL_INITIALIZATION_FAILED, HalpMadt.LocalApicBase, 0, 0, 0);
        }
    }
}

/**
 * HalpInitializeLocalApic - brings this processor's local APIC into a known state, enabled, nothing pending.
 *
 * IRQL: HIGH_LEVEL or interrupts off. Bug check HAL_INITIALIZATION_FAILED if its page cannot be mapped.
 */
VOID HalpInitializeLocalApic(VOID)
{
    ApicOpen();
    ApicWrite(APIC_SPURIOUS, APIC_ENABLED | KI_VECTOR_SPURIOUS);
    ApicWrite(APIC_LVT_TIMER, APIC_MASKED);
    ApicWrite(APIC_LVT_LINT0, HalpMadt.NmiOnLint[0] ? APIC_NMI : APIC_MASKED);
    ApicWrite(APIC_LVT_LINT1, HalpMadt.NmiOnLint[1] ? APIC_NMI : APIC_MASKED);
    ApicWrite(APIC_LVT_ERROR, APIC_MASKED);
    if ((ApicRead(APIC_VERSION) >> 16 & 0xFF) >= 4) {
        ApicWrite(APIC_LVT_COUNTER, APIC_MASKED);
    }
    ApicWrite(APIC_TIMER_DIVIDE, APIC_DIVIDE_BY_16);
    ApicWrite(APIC_ERROR, 0);
    KeGetCurrentPrcb()->ApicId = HalpLocalApicId();
    HalpApicReady = TRUE;
    HalEndOfInterrupt();
}

ULONG HalpLocalApicId(VOID)
{
    return HalpX2Apic ? ApicRead(APIC_ID) : ApicRead(APIC_ID) >> 24;
}

/**
 * HalEndOfInterrupt - tells the local APIC that the interrupt in service has been served.
 *
 * IRQL: that of the interrupt. A level-triggered line that is still asserted interrupts again.
 */
VOID HalEndOfInterrupt(VOID)
{
    ApicWrite(APIC_EOI, 0);
}

/* Sends one IPI command. The xAPIC takes one at a time, from two registers. */
static VOID ApicSend(ULONG Destination, ULONG Command)
{
    if (HalpX2Apic) {
        KeWriteMsr(X2APIC_MSR(APIC_ICR), (ULONG64)Destination << 32 | Command);
        return;
    }
    BOOLEAN Enabled = KeDisableInterrupts();
    while ((HalpApic[APIC_ICR / 4] & APIC_PENDING) != 0) {
        _mm_pause();
    }
    HalpApic[APIC_ICR_HIGH / 4] = Destination << 24;
    HalpApic[APIC_ICR / 4] = Command;
    KeRestoreInterrupts(Enabled);
}

/**
 * HalSendSelfIpi - makes a vector pending on this processor; it is taken once IRQL is below Vector >> 4.
 *
 * IRQL: any.
 */
VOID HalSendSelfIpi(ULONG Vector)
{
    if (!HalpApicReady) {
        return;
    }
    if (HalpX2Apic) {
        KeWriteMsr(X2APIC_SELF_IPI, Vector);
    } else {
        ApicSend(0, APIC_SELF | APIC_ASSERT | Vector);
    }
}

/**
 * HalSendIpi - makes a vector pending on a set of processors.
 *
 * @Targets  bit n: processor n; the sender may be among them
 *
 * IRQL: any. Returns when the last command has been accepted, not when it has been taken.
 */
VOID HalSendIpi(KAFFINITY Targets, ULONG Vector)
{
    ULONG Number;

    if (!HalpApicReady) {
        return;
    }
    /* x2APIC register writes do not wait for earlier stores, which the receiver must see. */
    KeMemoryFence();
    while (_BitScanForward64(&Number, Targets)) {
        Targets &= Targets - 1;
        if (KiProcessorBlock[Number] != NULL) {
            ApicSend(KiProcessorBlock[Number]->ApicId, APIC_ASSERT | Vector);
        }
    }
}

ULONG HalQueryProcessors(const ULONG **ApicIds)
{
    *ApicIds = HalpMadt.ApicIds;
    return HalpMadt.ProcessorCount;
}

VOID HalSendInit(ULONG ApicId)
{
    ApicSend(ApicId, APIC_ASSERT | APIC_INIT);
}

VOID HalSendStartup(ULONG ApicId, ULONG Page)
{
    ASSERT(Page < 0x100);
    ApicSend(ApicId, APIC_ASSERT | APIC_STARTUP | Page);
}

VOID HalpProgramApicTimerOnce(ULONG Count)
{
    ApicWrite(APIC_LVT_TIMER, APIC_MASKED);
    ApicWrite(APIC_TIMER_INITIAL, Count);
}

ULONG HalpReadApicTimer(VOID)
{
    return ApicRead(APIC_TIMER_CURRENT);
}

VOID HalpProgramApicTimer(ULONG Vector, ULONG Count)
{
    ApicWrite(APIC_LVT_TIMER, Vector);
    ApicWrite(APIC_TIMER_INITIAL, Count);
}

VOID HalpStartApicTimer(ULONG Vector, ULONG Count)
{
    ApicWrite(APIC_LVT_TIMER, APIC_PERIODIC | Vector);
    ApicWrite(APIC_TIMER_INITIAL, Count);
}
