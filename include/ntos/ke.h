/*
 * ke.h - the kernel core: processors, threads, traps, DPCs, bug checks.
 *
 * What drivers see of these is in the DDK headers; this is what the other components see.
 */
#pragma once

#include <ntos/loader.h>
#include <ntos/ntos.h>

#define KI_MAXIMUM_PROCESSORS 64 /* bits of KAFFINITY */
#define KI_PRIORITIES         32

/* Interrupt vectors; vector >> 4 is the IRQL the handler runs at. */
#define KI_VECTOR_APC      0x1F /* self-IPI: APC delivery when IRQL falls below APC_LEVEL */
#define KI_VECTOR_DPC      0x2F /* self-IPI: DPCs and rescheduling when IRQL falls below DISPATCH_LEVEL */
#define KI_VECTOR_DEVICE   0x30 /* 0x30..0xBF: devices */
#define KI_VECTOR_CLOCK    0xD1
#define KI_VECTOR_IPI      0xE1
#define KI_VECTOR_SPURIOUS 0xDF

/* One processor's private part, at GS:0x180. Offsets 4 and 8 are ABI of the DDK's inlines. */
typedef struct _KPRCB {
    ULONG MxCsr;
    USHORT Number; /* (c) */
    USHORT Reserved;
    struct _KTHREAD *CurrentThread; /* this processor only */
    struct _KTHREAD *NextThread;    /* (d) chosen to run next, or NULL */
    struct _KTHREAD *IdleThread;    /* (c) */
    ULONG64 KernelStackTop;         /* for SYSCALL entry */
    ULONG ApicId;                   /* (c) */
    KAFFINITY SetMember;            /* (c) 1 << Number */
    struct _KI_DISPATCH *Dispatch;  /* scheduler, DPC and timer state of this processor (src/ke/kip.h) */
    struct _MI_PROCESSOR *Mm;       /* memory manager's per-processor state (src/mm/mip.h) */
    ULONG64 Traps, PageFaults, Interrupts, DpcCount, ContextSwitches; /* counters, this processor only */
} KPRCB, *PKPRCB;

/* KPCR as the DDK declares it, padded so that the PRCB is where the DDK's inlines read it. */
typedef struct _KIPCR {
    KPCR Pcr;
    UCHAR Align[0x180 - sizeof(KPCR)];
    KPRCB Prcb;
} KIPCR, *PKIPCR;
C_ASSERT(FIELD_OFFSET(KIPCR, Prcb) == 0x180);
C_ASSERT(FIELD_OFFSET(KPRCB, Number) == 4);
C_ASSERT(FIELD_OFFSET(KPRCB, CurrentThread) == 8);

FORCEINLINE PKPRCB KeGetCurrentPrcb(VOID)
{
    return (PKPRCB)__readgsqword(FIELD_OFFSET(KPCR, CurrentPrcb));
}

extern PKPRCB KiProcessorBlock[KI_MAXIMUM_PROCESSORS]; /* (c) once the processor runs */
extern ULONG KeNumberOfActiveProcessors;               /* processors that run */
extern LOADER_BLOCK *KeLoaderBlock;                    /* valid until the end of phase 1 */

/* ---- Traps (src/ke/trap.c) ---- */

/* Interrupt service by vector: called with IRQL = vector >> 4, interrupts enabled at that IRQL. */
typedef VOID (*PKI_VECTOR_ROUTINE)(PKTRAP_FRAME Frame, PVOID Context);

/* Takes a vector for a routine. IRQL: <= HIGH_LEVEL. Fails: STATUS_RESOURCE_IN_USE if the vector is taken. */
NTSTATUS KiConnectVector(ULONG Vector, PKI_VECTOR_ROUTINE Routine, PVOID Context);
VOID KiDisconnectVector(ULONG Vector);

/* Prints the stop screen with registers and a symbolisable stack; never returns. IRQL: any. */
DECLSPEC_NORETURN VOID KiBugCheckTrap(ULONG Code, ULONG_PTR P1, ULONG_PTR P2, ULONG_PTR P3, ULONG_PTR P4,
                                      PKTRAP_FRAME Frame);

/* Walks the stack from a trap frame (or, NULL, from the caller); returns addresses stored. IRQL: any; never faults. */
ULONG KiCaptureStack(PKTRAP_FRAME Frame, PULONG64 Addresses, ULONG Maximum);

/* Memory access that never raises: FALSE when the range is not mapped (or not writable). IRQL: any. */
BOOLEAN KiCopyMemoryNoFault(PVOID Destination, const VOID *Source, SIZE_T Bytes);

/* ---- Start-up order, called by KiSystemStartup (src/ke/startup.c) ---- */
