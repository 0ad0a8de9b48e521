/*
 * usertrap.c - exceptions that a program causes: each becomes the status that Windows documents for it.
 *
 * Nothing that ring 3 does is a bug check here: a vector that no program should be able to cause is STATUS_ILLEGAL_INSTRUCTION. #GP
 * carries no reason, so the instruction is looked at: a privileged one has a status of its own, anything else
 * is an access violation at an unknown address (-1), as a non-canonical pointer is.
 *
 * Locks: none. IRQL: PASSIVE_LEVEL, interrupts on, on the thread's own stack. Must never: trust what it reads at RIP.
 *
 * Source: Intel SDM volume 3, chapter 6, and volume 2 for opcodes; Microsoft Learn, EXCEPTION_RECORD and __fastfail.
 */
#include <ntos/rtl.h>
#include <ntos/mm.h>
#include "processor.h"

#define TRAP_DIVIDE     0
#define TRAP_BREAKPOINT 3
#define TRAP_OVERFLOW   4
#define TRAP_BOUNDS     5
#define TRAP_STACK      12
#define TRAP_PROTECTION 13
#define TRAP_X87        16
#define TRAP_ALIGNMENT  17
#define TRAP_SIMD       19
#define DR6_CLEAR       0xFFFF0FF0ULL

#define OPCODE_BYTES 15 /* the longest instruction */

/* ---- Privileged instructions ---- */

static BOOLEAN IsPrefix(UCHAR Byte)
{
    return (Byte & 0xF0) == 0x40 || Byte == 0x66 || Byte == 0x67 || Byte == 0xF2 || Byte == 0xF3 || Byte == 0x2E ||
           Byte == 0x36 || Byte == 0x3E || Byte == 0x26 || Byte == 0x64 || Byte == 0x65;
}

/* Opcodes that follow 0F; Next is their ModRM byte. */
static BOOLEAN IsPrivilegedExtended(UCHAR Opcode, UCHAR Next)
{
    ULONG Register = (Next >> 3) & 7;

    switch (Opcode) {
    case 0x00: /* LLDT, LTR */
        return Register == 2 || Register == 3;
    case 0x01: /* LGDT, LIDT, LMSW, INVLPG, and with a register operand XSETBV, SWAPGS, ... */
        return Register == 2 || Register == 3 || Register == 6 || Register == 7;
    case 0x06: /* CLTS */
    case 0x07: /* SYSRET */
    case 0x08: /* INVD */
    case 0x09: /* WBINVD */
    case 0x30: /* WRMSR */
    case 0x32: /* RDMSR */
    case 0x33: /* RDPMC */
    case 0x35: /* SYSEXIT */
        return TRUE;
    default:
        return Opcode >= 0x20 && Opcode <= 0x23; /* control and debug registers */
    }
}

static BOOLEAN IsPrivileged(ULONG64 Rip)
{
    UCHAR Code[OPCODE_BYTES + 3] = {0};
    ULONG Index = 0;

    /* The last bytes of an image may be less than one longest instruction. */
    while (Index < OPCODE_BYTES && NT_SUCCESS(MmCopyFromUser(&Code[Index], (PUCHAR)Rip + Index, 1))) {
        Index++;
    }
    for (Index = 0; Index < OPCODE_BYTES && IsPrefix(Code[Index]); Index++) {
    }
    switch (Code[Index]) {
    case 0x0F:
        return IsPrivilegedExtended(Code[Index + 1], Code[Index + 2]);
    case 0xF4: /* HLT */
    case 0xFA: /* CLI */
    case 0xFB: /* STI */
    case 0x6C: /* INS, OUTS, IN, OUT */
    case 0x6D:
    case 0x6E:
    case 0x6F:
    case 0xE4:
    case 0xE5:
    case 0xE6:
    case 0xE7:
    case 0xEC:
    case 0xED:
    case 0xEE:
    case 0xEF:
        return TRUE;
    default:
        return FALSE;
    }
}

/* ---- Floating point ---- */

/* The first of the unmasked exceptions in the order of their bits, which x87 and SSE share. */
static NTSTATUS FloatingStatus(ULONG Raised)
{
    static const NTSTATUS Status[] = {STATUS_FLOAT_INVALID_OPERATION, STATUS_FLOAT_DENORMAL_OPERAND,
                                      STATUS_FLOAT_DIVIDE_BY_ZERO,    STATUS_FLOAT_OVERFLOW,
                                      STATUS_FLOAT_UNDERFLOW,         STATUS_FLOAT_INEXACT_RESULT};
    ULONG Bit;

    return _BitScanForward(&Bit, Raised & 0x3F) ? Status[Bit] : STATUS_FLOAT_INVALID_OPERATION;
}

static NTSTATUS X87Status(VOID)
{
    USHORT Control, Status;

    __asm__ volatile("fnstcw %0\n\tfnstsw %1" : "=m"(Control), "=m"(Status));
    if ((Status & 0x41) == 0x41 && (Control & 1) == 0) { /* an invalid operation, of the register stack */
        return STATUS_FLOAT_STACK_CHECK;
    }
    return FloatingStatus(Status & ~(ULONG)Control);
}

static NTSTATUS SimdStatus(PKTRAP_FRAME Frame)
{
    return FloatingStatus(Frame->MxCsr & ~(Frame->MxCsr >> 7));
}

/* ---- The decision ---- */

static NTSTATUS PlainStatus(PKTRAP_FRAME Frame)
{
    switch (Frame->Vector) {
    case TRAP_DIVIDE:
        return KiDivideStatus(Frame);
    case TRAP_OVERFLOW:
        return STATUS_INTEGER_OVERFLOW;
    case TRAP_BOUNDS:
        return STATUS_ARRAY_BOUNDS_EXCEEDED;
    case TRAP_X87:
        return X87Status();
    case TRAP_ALIGNMENT:
        return STATUS_DATATYPE_MISALIGNMENT;
    case TRAP_SIMD:
        return SimdStatus(Frame);
    default:
        return STATUS_ILLEGAL_INSTRUCTION;
    }
}

/* INT n leaves RIP behind the instruction; the exception is said to be at it. */
static VOID Software(PKTRAP_FRAME Frame, NTSTATUS Code, ULONG Length, ULONG Parameters, ULONG_PTR P0)
{
    Frame->Rip -= Length;
    KiDispatchException(Frame, Code, Parameters, P0, 0, 0);
}

/* __fastfail: the program declares itself damaged, so its handlers are not asked. */
static VOID FastFail(PKTRAP_FRAME Frame)
{
    EXCEPTION_RECORD Record = {.ExceptionCode = STATUS_STACK_BUFFER_OVERRUN,
                               .ExceptionFlags = EXCEPTION_NONCONTINUABLE,
                               .ExceptionAddress = (PVOID)(Frame->Rip - 2),
                               .NumberParameters = 1,
                               .ExceptionInformation = {(ULONG)Frame->Rcx}};

    KiDispatchUserException(&Record, Frame, FALSE);
}

static VOID Protection(PKTRAP_FRAME Frame)
{
    if (Frame->Vector == TRAP_PROTECTION && IsPrivileged(Frame->Rip)) {
        KiDispatchException(Frame, STATUS_PRIVILEGED_INSTRUCTION, 0, 0, 0, 0);
    } else {
        KiDispatchException(Frame, STATUS_ACCESS_VIOLATION, 2, EXCEPTION_READ_FAULT, (ULONG_PTR)-1, 0);
    }
}

VOID KiUserException(PKTRAP_FRAME Frame)
{
    switch (Frame->Vector) {
    case KI_VECTOR_SERVICE:
        KiSystemService(Frame);
        break;
    case TRAP_DEBUG:
        __asm__ volatile("movq %0, %%dr6" ::"r"(DR6_CLEAR));
        KiNoteDebugTrap(KeGetCurrentThread(), Frame->Dr6);
        Frame->EFlags &= ~EFLAGS_TF; /* a handler that wants the next step asks again */
        KiDispatchException(Frame, STATUS_SINGLE_STEP, 0, 0, 0, 0);
        break;
    case TRAP_BREAKPOINT:
        Software(Frame, STATUS_BREAKPOINT, 1, 1, 0);
        break;
    case KI_VECTOR_ASSERTION:
        Software(Frame, STATUS_ASSERTION_FAILURE, 2, 0, 0);
        break;
    case KI_VECTOR_DEBUG_SERVICE:
        Software(Frame, STATUS_BREAKPOINT, 2, 1, Frame->Rax);
        break;
    case KI_VECTOR_FAST_FAIL:
        FastFail(Frame);
        break;
    case TRAP_STACK:
    case TRAP_PROTECTION:
        Protection(Frame);
        break;
    default:
        KiDispatchException(Frame, PlainStatus(Frame), 0, 0, 0, 0);
    }
}
