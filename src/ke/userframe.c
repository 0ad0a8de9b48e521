/*
 * userframe.c - what ring 3 sees of its own traps: contexts, exceptions, APCs.
 *
 * A trap frame from ring 3 and the live floating-point registers are a CONTEXT. An exception of a program becomes a CONTEXT and
 * an EXCEPTION_RECORD on the program's stack with the frame turned to ntdll's KiUserExceptionDispatcher; a user APC becomes
 * a CONTEXT with the routine and its arguments in the home words and the frame turned to KiUserApcDispatcher.
 * Both dispatchers come back by NtContinue. A stack that cannot take them ends the process with the exception's status.
 *
 * What a program puts into a CONTEXT reaches a frame only through KiFrameFromUserContext, which leaves nothing that IRETQ or
 * FXRSTOR could fault on: selectors are constants, flags and MXCSR are masked; KiLeaveToUser looks at RIP.
 *
 * Both carry the extended registers behind the CONTEXT, if the machine has any (xcontext.c).
 *
 * Locks: dispatcher, to take an APC off its queue. IRQL: PASSIVE_LEVEL, interrupts on.
 *
 * Source: Microsoft Learn, "x64 exception handling" and CONTEXT; the frames' order is ntdll's and this file's own business.
 */
#include <ntos/ps.h>
#include <ntos/services.h>
#include "kip.h"
#include "processor.h"

/* Where the dispatchers of ntdll are, the same in every process. 0: ntdll is not there. Set by Ps. */
ULONG64 KeUserExceptionDispatcher, KeUserApcDispatcher;

ULONG KiMxCsrMask = 0xFFBF; /* bits of MXCSR that exist; what processors without a mask have */

typedef struct _KI_MACHINE_FRAME {
    ULONG64 Rip, SegCs, EFlags, Rsp, SegSs;
} KI_MACHINE_FRAME;

/* On the user's stack at the entry of KiUserExceptionDispatcher; user/ntdll/dispatch.asm describes it to the unwinder. */
typedef struct DECLSPEC_ALIGN(16) _KI_EXCEPTION_FRAME {
    CONTEXT Context;
    CONTEXT_EX Layout;
    ULONG64 LayoutAlign;
    EXCEPTION_RECORD Record;
    ULONG64 Align;
    KI_MACHINE_FRAME Machine;
} KI_EXCEPTION_FRAME;
C_ASSERT(FIELD_OFFSET(KI_EXCEPTION_FRAME, Record) == 0x4F0 && FIELD_OFFSET(KI_EXCEPTION_FRAME, Machine) == 0x590);

typedef struct DECLSPEC_ALIGN(16) _KI_APC_FRAME {
    CONTEXT Context; /* P1Home..P4Home: context, two arguments, routine */
    CONTEXT_EX Layout;
    ULONG64 LayoutAlign;
    KI_MACHINE_FRAME Machine;
} KI_APC_FRAME;
C_ASSERT(FIELD_OFFSET(KI_APC_FRAME, Machine) == 0x4F0);
C_ASSERT(FIELD_OFFSET(KI_APC_FRAME, Layout) == sizeof(CONTEXT) &&
         FIELD_OFFSET(KI_EXCEPTION_FRAME, Layout) == sizeof(CONTEXT));

/* ---- Contexts ---- */

#define CONTEXT_USER  (CONTEXT_AMD64 | 0xF) /* control, integer, segments, floating point */
#define CONTEXT_FRAME 0xFU                  /* the parts that the frame and the registers hold */
#define CONTEXT_DEBUG 0x10U

static VOID KiSaveFloating(PCONTEXT Context)
{
    __asm__ volatile("fxsave64 %0" : "=m"(Context->FltSave));
}

VOID KiUserContextFromFrame(PKTRAP_FRAME Frame, PCONTEXT Context)
{
    KiContextFromFrame(Frame, Context);
    KiSaveFloating(Context);
    Context->ContextFlags = CONTEXT_USER;
    Context->SegDs = Context->SegEs = Context->SegGs = KGDT_R3_DATA | 3;
    Context->SegFs = KGDT_R3_CMTEB | 3;
    Context->MxCsr = Frame->MxCsr;
    Context->FltSave.MxCsr = Frame->MxCsr;
    if (Frame->Vector == KI_FRAME_SYSCALL) {
        RtlZeroMemory(&Context->Xmm0, sizeof(Frame->Xmm)); /* not saved, and cleared on the way out */
    } else {
        RtlCopyMemory(&Context->Xmm0, Frame->Xmm, sizeof(Frame->Xmm));
    }
    if (KeGetCurrentThread()->DebugActive) {
        KeGetDebugRegisters(Context);
        Context->ContextFlags |= CONTEXT_DEBUG;
    }
}

/* Makes the frame one that is loaded as a whole on the way out, RAX included. */
VOID KeCompleteUserFrame(PKTRAP_FRAME Frame)
{
    if (Frame->Vector == KI_FRAME_SYSCALL) {
        RtlZeroMemory(Frame->Xmm, sizeof(Frame->Xmm));
    }
    Frame->Vector = KI_FRAME_FULL;
}

static VOID KiSetFloating(PCONTEXT Context, PKTRAP_FRAME Frame)
{
    Context->MxCsr &= KiMxCsrMask;
    Context->FltSave.MxCsr = Context->MxCsr;
    Context->FltSave.MxCsr_Mask = KiMxCsrMask;
    Frame->MxCsr = Context->MxCsr;
    RtlCopyMemory(Frame->Xmm, &Context->Xmm0, sizeof(Frame->Xmm));
    __asm__ volatile("fxrstor64 %0\n\tldmxcsr %1" ::"m"(Context->FltSave), "m"(KiInitialMxCsr));
}

VOID KiFrameFromUserContext(PCONTEXT Context, PKTRAP_FRAME Frame)
{
    ULONG Flags = Context->ContextFlags & ~(ULONG)CONTEXT_AMD64;

    if ((Flags & CONTEXT_DEBUG) != 0) {
        KeSetDebugRegisters(Context);
    }
    if ((Flags & CONTEXT_FRAME) == 0) {
        return;
    }
    if ((Flags & 2) == 0 && Frame->Vector == KI_FRAME_SYSCALL) {
        Frame->Rax = (ULONG64)STATUS_SUCCESS; /* not what the service would have returned, which comes too late */
    }
    KeCompleteUserFrame(Frame);
    if ((Flags & 1) != 0) { /* control */
        Frame->Rip = Context->Rip;
        Frame->Rsp = Context->Rsp;
        Frame->EFlags = (Context->EFlags & KI_USER_EFLAGS) | EFLAGS_FIXED;
    }
    if ((Flags & 2) != 0) {
        KiIntegersFromContext(Context, Frame);
    }
    if ((Flags & 8) != 0) {
        KiSetFloating(Context, Frame);
    }
    Frame->SegCs = KGDT_R3_CODE | 3;
    Frame->SegSs = KGDT_R3_DATA | 3;
}

/* TRUE: the calling thread has been in ring 3, or is about to enter it, with a frame of its own. */
BOOLEAN KeHasUserContext(VOID)
{
    return KeGetCurrentThread()->TrapFrame != NULL;
}

/* The calling thread's registers of ring 3, all parts. IRQL: <= APC_LEVEL. */
VOID KeGetUserContext(PCONTEXT Context)
{
    KiUserContextFromFrame(KeGetCurrentThread()->TrapFrame, Context);
    KeGetDebugRegisters(Context);
}

/* Sets the parts that ContextFlags names. What a service returns does not count any more. IRQL: <= APC_LEVEL. */
VOID KeSetUserContext(PCONTEXT Context)
{
    KiFrameFromUserContext(Context, KeGetCurrentThread()->TrapFrame);
}

static VOID KiFillMachineFrame(PKTRAP_FRAME Frame, KI_MACHINE_FRAME *Machine)
{
    *Machine = (KI_MACHINE_FRAME){Frame->Rip, Frame->SegCs, Frame->EFlags, Frame->Rsp, Frame->SegSs};
}

/* The program goes on at Rip with Rsp and otherwise the registers it has. */
static VOID KiRedirectFrame(PKTRAP_FRAME Frame, ULONG64 Rip, ULONG64 Rsp)
{
    KeCompleteUserFrame(Frame);
    Frame->Rip = Rip;
    Frame->Rsp = Rsp;
    Frame->EFlags = (Frame->EFlags & KI_USER_EFLAGS & ~(EFLAGS_TF | EFLAGS_DF | EFLAGS_AC | EFLAGS_RF)) | EFLAGS_FIXED;
}

/* Writes a frame that begins with a context to the program's stack at Rsp, and the extended part above it. */
static NTSTATUS KiPutFrame(ULONG64 Rsp, PVOID New, ULONG Bytes, PCONTEXT Context, const CONTEXT_EX *Layout)
{
    NTSTATUS Status;

    Context->ContextFlags &= ~KI_CONTEXT_XSTATE;
    if (Layout->XState.Length != 0) {
        Context->ContextFlags |= KI_CONTEXT_XSTATE;
    }
    Status = MmCopyToUser((PVOID)Rsp, New, Bytes);
    if (NT_SUCCESS(Status) && Layout->XState.Length != 0) {
        Status = KiStoreExtendedState((PUCHAR)Rsp + sizeof(CONTEXT) + Layout->XState.Offset);
    }
    return Status;
}

/* ---- Exceptions ---- */

/* FALSE: the program cannot be told. */
static DECLSPEC_NOINLINE BOOLEAN KiOfferToProgram(PEXCEPTION_RECORD Record, PKTRAP_FRAME Frame, PCONTEXT Context)
{
    KI_EXCEPTION_FRAME New;
    ULONG64 Rsp;

    if (KeUserExceptionDispatcher == 0) {
        return FALSE;
    }
    RtlZeroMemory(&New, sizeof(New));
    Rsp = KiPlaceExtendedFrame(Frame->Rsp, sizeof(New), &New.Layout);
    if (Context != NULL) {
        New.Context = *Context;
    } else {
        KiUserContextFromFrame(Frame, &New.Context);
    }
    New.Record = *Record;
    KiFillMachineFrame(Frame, &New.Machine);
    if (!NT_SUCCESS(KiPutFrame(Rsp, &New, sizeof(New), &New.Context, &New.Layout))) {
        return FALSE;
    }
    KiRedirectFrame(Frame, KeUserExceptionDispatcher, Rsp);
    return TRUE;
}

/**
 * KiDispatchUserException - tells a program of an exception.
 *
 * @Record       kernel copy
 * @Frame        trap from ring 3; redirected
 * @FirstChance  FALSE: the program's handlers have had it; its process ends
 *
 * Does not return if the process ends.
 */
VOID KiDispatchUserException(PEXCEPTION_RECORD Record, PKTRAP_FRAME Frame, BOOLEAN FirstChance)
{
    if (!FirstChance || !KiOfferToProgram(Record, Frame, NULL)) {
        PspExitProcess(Record->ExceptionCode);
    }
}

/* ---- APCs ---- */

/* Takes the next user APC; FALSE: none, and none is pending any more. */
static BOOLEAN KiTakeUserApc(PKTHREAD Thread, PKAPC *Apc, KAPC *Copy)
{
    KIRQL OldIrql = KiAcquireDispatcherLock();
    PLIST_ENTRY Head = &Thread->ApcState.ApcListHead[UserMode];
    BOOLEAN Taken = !IsListEmpty(Head);

    if (Taken) {
        *Apc = CONTAINING_RECORD(RemoveHeadList(Head), KAPC, ApcListEntry);
        (*Apc)->Inserted = FALSE;
        *Copy = **Apc;
    }
    Thread->ApcState.UserApcPending = FALSE;
    KiReleaseDispatcherLock(OldIrql);
    return Taken;
}

static DECLSPEC_NOINLINE VOID KiEnterUserApc(PKTRAP_FRAME Frame, KAPC *Apc)
{
    KI_APC_FRAME New;
    ULONG64 Rsp;
    NTSTATUS Status = KeUserApcDispatcher == 0 ? STATUS_ACCESS_VIOLATION : STATUS_SUCCESS;

    RtlZeroMemory(&New, sizeof(New));
    Rsp = KiPlaceExtendedFrame(Frame->Rsp, sizeof(New), &New.Layout);
    KiUserContextFromFrame(Frame, &New.Context);
    New.Context.P1Home = (ULONG64)Apc->NormalContext;
    New.Context.P2Home = (ULONG64)Apc->SystemArgument1;
    New.Context.P3Home = (ULONG64)Apc->SystemArgument2;
    New.Context.P4Home = (ULONG64)Apc->NormalRoutine;
    KiFillMachineFrame(Frame, &New.Machine);
    if (NT_SUCCESS(Status)) {
        Status = KiPutFrame(Rsp, &New, sizeof(New), &New.Context, &New.Layout);
    }
    if (!NT_SUCCESS(Status)) {
        PspExitProcess(Status);
    }
    KiRedirectFrame(Frame, KeUserApcDispatcher, Rsp);
}

/* One user APC, if there is one: its kernel routine now, its normal routine in ring 3. PASSIVE_LEVEL, interrupts on. */
VOID KiDeliverUserApc(PKTRAP_FRAME Frame)
{
    PKAPC Apc;
    KAPC Copy;

    if (!KiTakeUserApc(KeGetCurrentThread(), &Apc, &Copy)) {
        return;
    }
    KIRQL OldIrql = KfRaiseIrql(APC_LEVEL);
    Copy.KernelRoutine(Apc, &Copy.NormalRoutine, &Copy.NormalContext, &Copy.SystemArgument1, &Copy.SystemArgument2);
    KeLowerIrql(OldIrql);
    if (Copy.NormalRoutine != NULL) {
        KiEnterUserApc(Frame, &Copy);
    }
}

/* ---- Services ---- */

/* Copies a program's context and loads the extended part behind it, if it has one; the copy is not one that has. */
static NTSTATUS KiTakeContext(PCONTEXT Copy, PCONTEXT Context)
{
    NTSTATUS Status = MmCopyFromUser(Copy, Context, sizeof(*Copy));

    if (NT_SUCCESS(Status) && (Copy->ContextFlags & KI_CONTEXT_XSTATE) != 0) {
        Copy->ContextFlags &= ~KI_CONTEXT_XSTATE;
        Status = KiLoadExtendedState(Context);
    }
    return Status;
}

/**
 * NtContinue - goes on at a context.
 *
 * @Context    of ring 3; its flags say which parts count
 * @TestAlert  TRUE: user APCs that are queued come first
 * returns     only on failure: what reading the context failed with; STATUS_INVALID_PARAMETER (CONTEXT_XSTATE with no extended part behind it)
 *
 * Source: the documentation of RtlRestoreContext; the service behind it.
 */
NTSTATUS NTAPI NtContinue(PCONTEXT Context, BOOLEAN TestAlert)
{
    PKTHREAD Thread = KeGetCurrentThread();
    PKTRAP_FRAME Frame = Thread->TrapFrame;
    CONTEXT Copy;
    NTSTATUS Status = KiTakeContext(&Copy, Context);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    KiFrameFromUserContext(&Copy, Frame);
    if (TestAlert && !IsListEmpty(&Thread->ApcState.ApcListHead[UserMode])) {
        Thread->ApcState.UserApcPending = TRUE;
    }
    return STATUS_SUCCESS; /* RAX is the context's, since the frame is complete */
}

/**
 * NtRaiseException - raises an exception of the caller's making at a context.
 *
 * @Record       parameters at most EXCEPTION_MAXIMUM_PARAMETERS
 * @Context      where it happened
 * @FirstChance  FALSE: nobody has handled it; the process ends with its code
 * returns       only on failure
 */
NTSTATUS NTAPI NtRaiseException(PEXCEPTION_RECORD Record, PCONTEXT Context, BOOLEAN FirstChance)
{
    PKTRAP_FRAME Frame = KeGetCurrentThread()->TrapFrame;
    EXCEPTION_RECORD Raised;
    CONTEXT Copy;
    NTSTATUS Status = MmCopyFromUser(&Raised, Record, sizeof(Raised));

    if (NT_SUCCESS(Status)) {
        Status = KiTakeContext(&Copy, Context);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Raised.NumberParameters > EXCEPTION_MAXIMUM_PARAMETERS) {
        return STATUS_INVALID_PARAMETER;
    }
    KiFrameFromUserContext(&Copy, Frame);
    if (!FirstChance || !KiOfferToProgram(&Raised, Frame, &Copy)) {
        PspExitProcess(Raised.ExceptionCode);
    }
    return STATUS_SUCCESS;
}
