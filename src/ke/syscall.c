/*
 * syscall.c - from a trap frame of ring 3 to a system service and back.
 *
 * Both entries end here: SYSCALL (syscall.asm) and INT 2Eh (trap.c). RAX is the service's number, R10, RDX, R8, R9 and the user's
 * stack above the home area hold its arguments. The stack's part is copied before the service sees any of it, so that
 * another thread cannot change an argument between its check and its use. Services run at PASSIVE_LEVEL with interrupts on
 * and PreviousMode UserMode; what they read from and write to user addresses goes through ntos/user.h.
 *
 * KiLeaveToUser is the last stop of every way to ring 3: a thread that was asked to end does so here, user APCs start here.
 *
 * Locks: none. Must never: return to ring 3 with IRQL raised, with a lock held, or in a region that holds back APCs.
 */
#include <ntos/ps.h>
#include <ntos/user.h>
#include "kip.h"
#include "processor.h"

#define MAXIMUM_ARGUMENTS  17 /* scripts/gen-services knows it */
#define REGISTER_ARGUMENTS 4
#define STACK_ARGUMENTS    (MAXIMUM_ARGUMENTS - REGISTER_ARGUMENTS)
#define STACK_OFFSET       0x28 /* return address and home area, as in every call */

typedef ULONG64 (*PKI_SERVICE)(ULONG64, ...);

/* Generated from services.tbl. */
extern const PKI_SERVICE KiServiceTable[];
extern const UCHAR KiServiceArguments[];
extern const ULONG KiServiceCount;

static ULONG64 KiCallService(PKI_SERVICE Service, PKTRAP_FRAME Frame, ULONG Arguments)
{
    ULONG64 Stack[STACK_ARGUMENTS];

    if (Arguments <= REGISTER_ARGUMENTS) {
        return Service(Frame->R10, Frame->Rdx, Frame->R8, Frame->R9);
    }
    NTSTATUS Status =
        ExCopyFromCaller(Stack, (PVOID)(Frame->Rsp + STACK_OFFSET), (Arguments - REGISTER_ARGUMENTS) * sizeof(ULONG64));
    if (!NT_SUCCESS(Status)) {
        return (ULONG64)Status;
    }
    if (Arguments <= 8) {
        return Service(Frame->R10, Frame->Rdx, Frame->R8, Frame->R9, Stack[0], Stack[1], Stack[2], Stack[3]);
    }
    return Service(Frame->R10, Frame->Rdx, Frame->R8, Frame->R9, Stack[0], Stack[1], Stack[2], Stack[3], Stack[4],
                   Stack[5], Stack[6], Stack[7], Stack[8], Stack[9], Stack[10], Stack[11], Stack[12]);
}

/* A service came back with what no caller may take along: the kernel itself is wrong. */
static VOID KiCheckServiceExit(PKTRAP_FRAME Frame, ULONG64 Number)
{
    PKTHREAD Thread = KeGetCurrentThread();

    if (KeGetCurrentIrql() != PASSIVE_LEVEL) {
        KeBugCheckEx(IRQL_GT_ZERO_AT_SYSTEM_SERVICE, Frame->Rip, KeGetCurrentIrql(), Number, 0);
    }
    if (Thread->CombinedApcDisable != 0 || Thread->ApcStateIndex != 0) {
        KeBugCheckEx(APC_INDEX_MISMATCH, Number, Thread->ApcStateIndex, (ULONG)Thread->CombinedApcDisable, 0);
    }
}

VOID KiSystemService(PKTRAP_FRAME Frame)
{
    PKTHREAD Thread = KeGetCurrentThread();
    ULONG64 Number = (ULONG)Frame->Rax;

    Thread->TrapFrame = Frame;
    if (Thread->DebugActive) {
        KiUnloadUserBreakpoints();
    }
    Thread->PreviousMode = UserMode;
    if (Number >= KiServiceCount) {
        Frame->Rax = (ULONG64)STATUS_INVALID_SYSTEM_SERVICE;
        return;
    }
    KeGetCurrentPrcb()->SystemCalls++;
    ULONG64 Result = KiCallService(KiServiceTable[Number], Frame, KiServiceArguments[Number]);
    if (Frame->Vector != KI_FRAME_FULL) { /* unless the service has set every register of its caller */
        Frame->Rax = Result;
    }
    KiCheckServiceExit(Frame, Number);
}

/**
 * KiLeaveToUser - what is left to do before a thread goes (back) to ring 3.
 *
 * IRQL: PASSIVE_LEVEL. Interrupts: off before and after; on while something is done. Does not return if the thread
 * has been asked to end.
 */
VOID KiLeaveToUser(PKTRAP_FRAME Frame)
{
    PKTHREAD Thread = KeGetCurrentThread();

    while (Thread->ExitRequested || Thread->ApcState.UserApcPending) {
        _enable();
        if (Thread->ExitRequested) {
            PspExitThread(CONTAINING_RECORD(Thread, ETHREAD, Tcb)->ExitStatus);
        }
        KiDeliverUserApc(Frame);
        _disable();
    }
    if (Thread->DebugActive) {
        KiLoadUserBreakpoints(Thread);
    }
    if ((LONG64)(Frame->Rip << 16) >> 16 != (LONG64)Frame->Rip) {
        Frame->Rip = MM_USER_PROBE_END; /* not canonical: iretq itself would fault, so let the fetch do it */
    }
}

/* From syscall.asm. TRUE: the frame was changed, and every register is to be loaded from it. Interrupts off on return. */
BOOLEAN KiSystemCall(PKTRAP_FRAME Frame)
{
    KiSystemService(Frame);
    _disable();
    KiLeaveToUser(Frame);
    return Frame->Vector != KI_FRAME_SYSCALL;
}

/* Makes SYSCALL lead to KiSystemCall64 on this processor. */
VOID KiEnableSystemCalls(VOID)
{
    /* SYSRET takes CS at +16 and SS at +8 of its selector: the 32-bit code segment's place in NT's order. */
    KeWriteMsr(MSR_STAR, (ULONG64)(KGDT_R3_CMCODE | 3) << 48 | (ULONG64)KGDT_R0_CODE << 32);
    KeWriteMsr(MSR_LSTAR, (ULONG64)KiSystemCall64);
    KeWriteMsr(MSR_SFMASK, KI_SYSCALL_FLAG_MASK);
    KeWriteMsr(MSR_EFER, KeReadMsr(MSR_EFER) | EFER_SCE);
}
