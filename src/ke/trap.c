/*
 * trap.c - what every interrupt and exception means; called by trap.asm with a complete trap frame, interrupts off.
 *
 * Interrupts: IRQL rises to vector >> 4 before interrupts are enabled, so that CR8 masks the vector itself and
 * everything not above it. The two self-IPIs that deliver APCs and DPCs are acknowledged first, since their routines
 * may switch threads and an unacknowledged vector would stay in service meanwhile; all others after their routine, as
 * level-triggered lines require.
 *
 * Exceptions: page faults go to Mm; what it refuses, and all other exceptions, become EXCEPTION_RECORDs with the
 * documented NTSTATUS. They run with the interrupt flag of the interrupted code. NMI, double fault and machine check never
 * enable interrupts and never dispatch.
 *
 * Locks: none. Must never: touch pageable memory before it is known which exception this is.
 */
#include <ntos/console.h>
#include <ntos/hal.h>
#include <ntos/kd.h>
#include <ntos/mm.h>
#include <ntos/rtl.h>

#include <ntos/ps.h>
#include "processor.h"

#define TRAP_NMI           2
#define TRAP_BREAKPOINT    3
#define TRAP_DOUBLE_FAULT  8
#define TRAP_PAGE_FAULT    14
#define TRAP_MACHINE_CHECK 18
#define DR6_CLEAR          0xFFFF0FF0ULL /* the register's reset value: no cause recorded */

ULONG64 KiSpuriousInterrupts; /* interlocked */
ULONG64 KiSmapRetries;        /* interlocked */

VOID KiTrapHandler(PKTRAP_FRAME Frame);

__attribute__((weak)) NTSTATUS MmAccessFault(ULONG64 ErrorCode, PVOID Address, PKTRAP_FRAME Frame)
{
    return STATUS_ACCESS_VIOLATION;
}

/* ---- Interrupts ---- */

static VOID KiInterrupt(PKTRAP_FRAME Frame, ULONG Vector)
{
    PVOID Context;
    PKI_VECTOR_ROUTINE Routine = KiVectorRoutine(Vector, &Context);
    BOOLEAN Software = Vector == KI_VECTOR_APC || Vector == KI_VECTOR_DPC;

    PKPRCB Prcb = KeGetCurrentPrcb();
    Prcb->Interrupts++;
    if (Prcb->Tickless) {
        KiLeaveTickless(Prcb);
    }
    if (Routine == NULL) {
        InterlockedIncrement64((LONG64 *)&KiSpuriousInterrupts);
        /* The local APIC puts neither its own spurious vector nor what comes from the 8259s in service. */
        if (Vector != KI_VECTOR_SPURIOUS && Vector < KI_VECTOR_PIC) {
            HalEndOfInterrupt();
        }
        return;
    }
    __writecr8(Vector >> 4);
    if (Software) {
        HalEndOfInterrupt();
        _enable();
        Routine(Frame, Context);
        _disable();
    } else {
        VF_CONTEXT Interrupted;
        VfEnterInterrupt(&Interrupted, Vector, Frame);
        _enable();
        Routine(Frame, Context);
        _disable();
        VfLeaveInterrupt(&Interrupted);
        HalEndOfInterrupt();
    }
    __writecr8(Frame->PreviousIrql);
}

/* ---- Page faults ---- */

/* Code of a driver, or a memory routine that a driver called (one of them may call another). */
static BOOLEAN KiActsForDriver(PKTRAP_FRAME Frame)
{
    ULONG64 Addresses[3];
    ULONG Count, Index = 0;

    if (KiIsDriverAddress(Frame->Rip)) {
        return TRUE;
    }
    if (!RtlIsMemoryRoutine(Frame->Rip)) {
        return FALSE;
    }
    Count = KiCaptureStack(Frame, Addresses, RTL_NUMBER_OF(Addresses));
    while (Index < Count && RtlIsMemoryRoutine(Addresses[Index])) {
        Index++;
    }
    return Index < Count && KiIsDriverAddress(Addresses[Index]);
}

/*
 * Drivers built from the DDK know no STAC. A supervisor access to a present user page that the processor refused
 * below DISPATCH_LEVEL, on behalf of a driver, is let through by setting AC in the interrupted flags.
 */
static BOOLEAN KiAllowUserAccess(PKTRAP_FRAME Frame)
{
    if (!KiSmapEnabled || (Frame->ErrorCode & (PF_PRESENT | PF_USER | PF_RESERVED | PF_EXECUTE)) != PF_PRESENT ||
        (Frame->EFlags & EFLAGS_AC) != 0 || Frame->Cr2 >= MM_USER_PROBE_END || Frame->PreviousIrql >= DISPATCH_LEVEL ||
        !KiActsForDriver(Frame)) {
        return FALSE;
    }
    Frame->EFlags |= EFLAGS_AC;
    InterlockedIncrement64((LONG64 *)&KiSmapRetries);
    return TRUE;
}

/*
 * A pop from an SLIST reads the link of an entry that another processor may have popped and freed meanwhile. If the header has
 * moved on since the routine read it (RAX), the fault means nothing and the pop starts over; if not, the entry is
 * on the list and the fault is real.
 */
BOOLEAN KiRestartSlistPop(PKTRAP_FRAME Frame)
{
    if (Frame->Rip != (ULONG64)ExpInterlockedPopEntrySListFault || *(volatile ULONG64 *)Frame->R8 == Frame->Rax) {
        return FALSE;
    }
    Frame->Rip = (ULONG64)ExpInterlockedPopEntrySListResume;
    return TRUE;
}

static VOID KiPageFault(PKTRAP_FRAME Frame)
{
    KeGetCurrentPrcb()->PageFaults++;
    if (KiAllowUserAccess(Frame)) {
        return;
    }
    if ((Frame->EFlags & EFLAGS_IF) != 0) {
        _enable();
    }
    if (KiRestartSlistPop(Frame)) {
        return;
    }
    NTSTATUS Status = MmAccessFault(Frame->ErrorCode, (PVOID)Frame->Cr2, Frame);

    if (Status == STATUS_GUARD_PAGE_VIOLATION) {
        Status = PspGrowUserStack((PVOID)Frame->Cr2);
    }
    if (NT_SUCCESS(Status)) {
        return;
    }
    ULONG_PTR Operation = (Frame->ErrorCode & PF_EXECUTE) ? EXCEPTION_EXECUTE_FAULT
                          : (Frame->ErrorCode & PF_WRITE) ? EXCEPTION_WRITE_FAULT
                                                          : EXCEPTION_READ_FAULT;

    if (Status == STATUS_ACCESS_VIOLATION || Status == STATUS_GUARD_PAGE_VIOLATION || Status == STATUS_STACK_OVERFLOW) {
        KiDispatchException(Frame, Status, 2, Operation, Frame->Cr2, 0);
    } else { /* a device's or Mm's own status: the third parameter says which */
        KiDispatchException(Frame, STATUS_IN_PAGE_ERROR, 3, Operation, Frame->Cr2, (ULONG_PTR)(LONG_PTR)Status);
    }
}

/* ---- Exceptions ---- */

/* The #DB cause is sticky: it is cleared for the next one, and the debugger reads it from the frame. */
static VOID KiDebugTrap(PKTRAP_FRAME Frame)
{
    if (KiDropUserBreakpoint(Frame)) {
        return;
    }
    __asm__ volatile("movq %0, %%dr6" ::"r"(DR6_CLEAR));
    KiDispatchException(Frame, STATUS_SINGLE_STEP, 0, 0, 0, 0);
}

/* INT n leaves RIP behind the instruction; the exception is said to be at it. */
static VOID KiSoftwareTrap(PKTRAP_FRAME Frame, NTSTATUS Code, ULONG Length, ULONG Parameters, ULONG_PTR P0)
{
    Frame->Rip -= Length;
    KiDispatchException(Frame, Code, Parameters, P0, 0, 0);
}

/* Vectors that are one NTSTATUS each; 0: not expected in ring 0. */
static NTSTATUS KiExceptionStatus(ULONG Vector)
{
    switch (Vector) {
    case 0:
        return STATUS_INTEGER_DIVIDE_BY_ZERO;
    case 4:
        return STATUS_INTEGER_OVERFLOW;
    case 5:
        return STATUS_ARRAY_BOUNDS_EXCEEDED;
    case 6:
        return STATUS_ILLEGAL_INSTRUCTION;
    case 16:
        return STATUS_FLOAT_INVALID_OPERATION;
    case 17:
        return STATUS_DATATYPE_MISALIGNMENT;
    case 19:
        return STATUS_FLOAT_MULTIPLE_TRAPS;
    default:
        return 0;
    }
}

static VOID KiException(PKTRAP_FRAME Frame, ULONG Vector)
{
    NTSTATUS Code = KiExceptionStatus(Vector);

    if ((Vector == TRAP_DEBUG || Vector == TRAP_BREAKPOINT) && KdTrap(Frame)) {
        return;
    }
    if (Code != 0) {
        KiDispatchException(Frame, Code, 0, 0, 0, 0);
        return;
    }
    switch (Vector) {
    case TRAP_DEBUG:
        KiDebugTrap(Frame);
        break;
    case TRAP_BREAKPOINT:
        KiSoftwareTrap(Frame, STATUS_BREAKPOINT, 1, 1, 0);
        break;
    case KI_VECTOR_ASSERTION:
        KiSoftwareTrap(Frame, STATUS_ASSERTION_FAILURE, 2, 0, 0);
        break;
    case KI_VECTOR_DEBUG_SERVICE:
        KiSoftwareTrap(Frame, STATUS_BREAKPOINT, 2, 1, Frame->Rax);
        break;
    case 13: /* mostly a non-canonical address, which the processor does not report: -1 stands for it */
        KiDispatchException(Frame, STATUS_ACCESS_VIOLATION, 2, EXCEPTION_READ_FAULT, (ULONG_PTR)-1, 0);
        break;
    case KI_VECTOR_FAST_FAIL:
        KiBugCheckTrap(KERNEL_SECURITY_CHECK_FAILURE, Frame->Rcx, (ULONG_PTR)Frame, 0, 0, Frame);
    case TRAP_MACHINE_CHECK:
        KiBugCheckTrap(MACHINE_CHECK_EXCEPTION, 0, 0, 0, 0, Frame);
    default:
        KiBugCheckTrap(UNEXPECTED_KERNEL_MODE_TRAP, Vector, Frame->ErrorCode, Frame->Rip, Frame->Rsp, Frame);
    }
}

VOID KiTrapHandler(PKTRAP_FRAME Frame)
{
    ULONG Vector = (ULONG)Frame->Vector;

    KeGetCurrentPrcb()->Traps++;
    if (Frame->FromUser) {
        PKTHREAD Thread = KeGetCurrentThread();

        Thread->TrapFrame = Frame;
        if (Thread->DebugActive) {
            KiUnloadUserBreakpoints();
        }
    }
    if (KiIsInterruptVector(Vector)) {
        KiInterrupt(Frame, Vector);
    } else if (Vector == TRAP_PAGE_FAULT) {
        KiPageFault(Frame);
    } else if (Vector == TRAP_NMI) {
        KiNmi(Frame);
        return; /* on its own stack */
    } else if (Frame->FromUser && Vector != TRAP_DOUBLE_FAULT && Vector != TRAP_MACHINE_CHECK) {
        _enable();
        KiUserException(Frame);
    } else {
        KiException(Frame, Vector);
    }
    if (Frame->FromUser) {
        _disable();
        KiLeaveToUser(Frame);
    }
}
