/*
 * idt.c - the interrupt descriptor table, and which routine serves which interrupt vector.
 *
 * One table serves all processors: every gate is an interrupt gate to its stub in trap.asm, NMI, #DB, #DF and #MC on
 * IST stacks of the processor. Software may raise only the breakpoint-like vectors. The vector table is written by
 * KiConnectVector and read by interrupts at any moment: a routine becomes visible after its context.
 *
 * Locks: none; connecting is by compare-exchange.
 */
#include "processor.h"

#define IDT_VECTORS        256
#define IDT_INTERRUPT_GATE 0x8E00
#define IDT_DPL3           0x6000
#define STUB_BYTES         16 /* trap.asm aligns them */

typedef struct _KI_GATE {
    USHORT OffsetLow;
    USHORT Selector;
    USHORT Attributes; /* IST index in the low three bits */
    USHORT OffsetMiddle;
    ULONG OffsetHigh;
    ULONG Reserved;
} KI_GATE;
C_ASSERT(sizeof(KI_GATE) == 16);

typedef struct _KI_VECTOR {
    PKI_VECTOR_ROUTINE volatile Routine; /* NULL: nobody's */
    PVOID Context;
    volatile LONG Taken; /* 1: being connected, or connected; interlocked */
} KI_VECTOR;

extern UCHAR KiTrapStubs[];

static DECLSPEC_ALIGN(16) KI_GATE KiIdt[IDT_VECTORS]; /* (c) */
static KI_VECTOR KiVectors[IDT_VECTORS];

static USHORT KiGateAttributes(ULONG Vector)
{
    switch (Vector) {
    case 1:
        return IDT_INTERRUPT_GATE | KI_IST_DEBUG;
    case 2:
        return IDT_INTERRUPT_GATE | KI_IST_NMI;
    case 8:
        return IDT_INTERRUPT_GATE | KI_IST_DOUBLE;
    case 18:
        return IDT_INTERRUPT_GATE | KI_IST_MACHINE;
    case 3:
    case KI_VECTOR_FAST_FAIL:
    case KI_VECTOR_ASSERTION:
    case KI_VECTOR_DEBUG_SERVICE:
    case KI_VECTOR_SERVICE:
        return IDT_INTERRUPT_GATE | IDT_DPL3;
    default:
        return IDT_INTERRUPT_GATE;
    }
}

VOID KiInitializeIdt(VOID)
{
    for (ULONG Vector = 0; Vector < IDT_VECTORS; Vector++) {
        ULONG64 Stub = (ULONG64)KiTrapStubs + Vector * STUB_BYTES;

        KiIdt[Vector].OffsetLow = (USHORT)Stub;
        KiIdt[Vector].OffsetMiddle = (USHORT)(Stub >> 16);
        KiIdt[Vector].OffsetHigh = (ULONG)(Stub >> 32);
        KiIdt[Vector].Selector = KGDT_R0_CODE;
        KiIdt[Vector].Attributes = KiGateAttributes(Vector);
    }
}

VOID KiLoadIdt(PKIPCR Pcr)
{
    struct __attribute__((packed)) {
        USHORT Limit;
        ULONG64 Base;
    } Register = {sizeof(KiIdt) - 1, (ULONG64)KiIdt};

    Pcr->Pcr.IdtBase = (PVOID)KiIdt;
    __asm__ volatile("lidt %0" ::"m"(Register) : "memory");
}

/**
 * KiConnectVector - give an interrupt vector to a routine.
 *
 * @Vector   0x1F, or 0x20..0xFF without those that software raises; vector >> 4 is the routine's IRQL
 * @Routine  called with interrupts enabled at that IRQL
 * @Context  passed to it
 *
 * IRQL: <= HIGH_LEVEL. Fails: STATUS_INVALID_PARAMETER; STATUS_RESOURCE_IN_USE if the vector is taken.
 */
NTSTATUS KiConnectVector(ULONG Vector, PKI_VECTOR_ROUTINE Routine, PVOID Context)
{
    if (Vector >= IDT_VECTORS || Routine == NULL || !KiIsInterruptVector(Vector)) {
        return STATUS_INVALID_PARAMETER;
    }
    if (InterlockedCompareExchange(&KiVectors[Vector].Taken, 1, 0) != 0) {
        return STATUS_RESOURCE_IN_USE;
    }
    KiVectors[Vector].Context = Context;
    InterlockedExchangePointer((PVOID volatile *)&KiVectors[Vector].Routine, (PVOID)Routine);
    return STATUS_SUCCESS;
}

/* The caller sees to it that the vector cannot fire any more on any processor. IRQL: <= HIGH_LEVEL. */
VOID KiDisconnectVector(ULONG Vector)
{
    ASSERT(Vector < IDT_VECTORS && KiVectors[Vector].Taken != 0);
    InterlockedExchangePointer((PVOID volatile *)&KiVectors[Vector].Routine, NULL);
    InterlockedExchange(&KiVectors[Vector].Taken, 0);
}

PKI_VECTOR_ROUTINE KiVectorRoutine(ULONG Vector, PVOID *Context)
{
    PKI_VECTOR_ROUTINE Routine = KiVectors[Vector].Routine;

    *Context = KiVectors[Vector].Context;
    return Routine;
}
