/*
 * exception.c - from a trap to the handlers of the interrupted code, and back.
 *
 * A ring 0 exception is offered to the debugger, then to the frames on the stack, then to the debugger again; who is
 * left is a bug check. A handler that continues execution has changed a CONTEXT, which is written back into the
 * trap frame; one that executes its block unwinds from here and never returns to this trap.
 *
 * Locks: none. IRQL: that of the interrupted code. Interrupts: enabled if it had them enabled.
 */
#include <ntos/rtl.h>
#include "processor.h"

VOID RtlpCaptureXmm(PCONTEXT Context);
VOID RtlpRestoreXmm(PCONTEXT Context);

#define CONTEXT_KERNEL (CONTEXT_AMD64 | 0xB) /* control, integer, floating point */
#ifndef CONTEXT_AMD64
#define CONTEXT_AMD64 0x100000
#endif

PKI_DEBUG_ROUTINE KiDebugRoutine;

VOID KiContextFromFrame(PKTRAP_FRAME Frame, PCONTEXT Context)
{
    RtlZeroMemory(Context, FIELD_OFFSET(CONTEXT, VectorRegister));
    Context->ContextFlags = CONTEXT_KERNEL;
    Context->MxCsr = Frame->MxCsr;
    Context->SegCs = (USHORT)Frame->SegCs;
    Context->SegSs = (USHORT)Frame->SegSs;
    Context->SegDs = Context->SegEs = KGDT_R3_DATA | 3;
    Context->EFlags = (ULONG)Frame->EFlags;
    Context->Rip = Frame->Rip;
    Context->Rsp = Frame->Rsp;
    Context->Rax = Frame->Rax;
    Context->Rcx = Frame->Rcx;
    Context->Rdx = Frame->Rdx;
    Context->Rbx = Frame->Rbx;
    Context->Rbp = Frame->Rbp;
    Context->Rsi = Frame->Rsi;
    Context->Rdi = Frame->Rdi;
    Context->R8 = Frame->R8;
    Context->R9 = Frame->R9;
    Context->R10 = Frame->R10;
    Context->R11 = Frame->R11;
    Context->R12 = Frame->R12;
    Context->R13 = Frame->R13;
    Context->R14 = Frame->R14;
    Context->R15 = Frame->R15;
    RtlCopyMemory(&Context->Xmm0, Frame->Xmm, sizeof(Frame->Xmm));
    RtlpCaptureXmm(Context); /* kernel code leaves XMM6-15 as the interrupted code had them */
}

VOID KiIntegersFromContext(PCONTEXT Context, PKTRAP_FRAME Frame)
{
    Frame->Rax = Context->Rax;
    Frame->Rcx = Context->Rcx;
    Frame->Rdx = Context->Rdx;
    Frame->Rbx = Context->Rbx;
    Frame->Rbp = Context->Rbp;
    Frame->Rsi = Context->Rsi;
    Frame->Rdi = Context->Rdi;
    Frame->R8 = Context->R8;
    Frame->R9 = Context->R9;
    Frame->R10 = Context->R10;
    Frame->R11 = Context->R11;
    Frame->R12 = Context->R12;
    Frame->R13 = Context->R13;
    Frame->R14 = Context->R14;
    Frame->R15 = Context->R15;
}

static VOID KiFrameFromContext(PCONTEXT Context, PKTRAP_FRAME Frame)
{
    Frame->MxCsr = Context->MxCsr;
    Frame->EFlags = Context->EFlags;
    Frame->Rip = Context->Rip;
    Frame->Rsp = Context->Rsp;
    KiIntegersFromContext(Context, Frame);
    RtlCopyMemory(Frame->Xmm, &Context->Xmm0, sizeof(Frame->Xmm));
    RtlpRestoreXmm(Context);
}

/* Searches the interrupted stack; apart from the caller, so that its CONTEXT is not held during the debugger's part. */
static DECLSPEC_NOINLINE BOOLEAN KiOfferToHandlers(PEXCEPTION_RECORD Record, PKTRAP_FRAME Frame)
{
    CONTEXT Context;

    KiContextFromFrame(Frame, &Context);
    if (!RtlDispatchException(Record, &Context)) {
        return FALSE;
    }
    KiFrameFromContext(&Context, Frame);
    return TRUE;
}

/**
 * KiDispatchException - raise an exception in the interrupted code.
 *
 * @Frame       the trap
 * @Code        documented NTSTATUS of the exception
 * @Parameters  how many of P0..P2 are exception information
 *
 * Returns when execution goes on at Frame. Nobody handles it: bug check.
 */
VOID KiDispatchException(PKTRAP_FRAME Frame, NTSTATUS Code, ULONG Parameters, ULONG_PTR P0, ULONG_PTR P1, ULONG_PTR P2)
{
    EXCEPTION_RECORD Record = {.ExceptionCode = Code,
                               .ExceptionAddress = (PVOID)Frame->Rip,
                               .NumberParameters = Parameters,
                               .ExceptionInformation = {P0, P1, P2}};

    if (!Frame->FromUser && KiDebugRoutine != NULL && KiDebugRoutine(&Record, Frame, TRUE)) {
        return;
    }
    if (Frame->FromUser) {
        KiDispatchUserException(&Record, Frame, TRUE);
        return;
    }
    if (Frame->Vector == TRAP_DEBUG) {
        Frame->EFlags &= ~EFLAGS_TF; /* a handler that wants the next step asks again */
    } else if ((Frame->EFlags & EFLAGS_IF) != 0) {
        _enable(); /* not on the debug trap's own stack, which a thread switch would lose */
    }
    if (KiOfferToHandlers(&Record, Frame)) {
        return;
    }
    if (KiDebugRoutine != NULL && KiDebugRoutine(&Record, Frame, FALSE)) {
        return;
    }
    KiBugCheckTrap(KMODE_EXCEPTION_NOT_HANDLED, (ULONG)Code, Frame->Rip, P0, P1, Frame);
}

BOOLEAN NTAPI RtlDispatchException(PEXCEPTION_RECORD ExceptionRecord, PCONTEXT ContextRecord)
{
    return RtlpDispatchToFrames(ExceptionRecord, ContextRecord);
}

DECLSPEC_NORETURN VOID RtlpUnhandledException(PEXCEPTION_RECORD ExceptionRecord, PCONTEXT Context)
{
    KeBugCheckEx(KMODE_EXCEPTION_NOT_HANDLED, (ULONG)ExceptionRecord->ExceptionCode,
                 (ULONG_PTR)ExceptionRecord->ExceptionAddress, ExceptionRecord->ExceptionInformation[0],
                 ExceptionRecord->ExceptionInformation[1]);
}
