/*
 * exception.c - structured exception handling: finding a handler on the stack, and unwinding to it.
 *
 * RtlpDispatchToFrames walks up from the faulting context and offers the exception to every function that has a
 * language handler. A handler that accepts calls RtlUnwindEx, which walks the same frames again, runs their
 * termination handlers, and resumes at the accepting function's block; it never returns. Walks are over copies of
 * the CONTEXT, so nothing changes until somebody accepts.
 *
 * Two things meet on a stack where handlers run handlers. An exception inside a filter is dispatched over the frames of
 * the dispatch it interrupts (ExceptionNestedException). An unwind that crosses another unwind's __finally call takes
 * over where that one stood (ExceptionCollidedUnwind), so that no __finally runs twice. exception.asm has the frames
 * that report both.
 *
 * Source: Microsoft Learn, "x64 exception handling" and the Rtl function pages. Locks: none. IRQL: any: what filters and
 * __finally blocks do must suit the IRQL of the exception. Must never: allocate; touch pageable memory.
 */
#include <ntos/ke.h>
#include <ntos/rtl.h>

EXCEPTION_DISPOSITION NTAPI RtlpExecuteHandlerForException(PEXCEPTION_RECORD Record, ULONG64 EstablisherFrame,
                                                           PCONTEXT Context, PDISPATCHER_CONTEXT Dispatcher);
EXCEPTION_DISPOSITION NTAPI RtlpExecuteHandlerForUnwind(PEXCEPTION_RECORD Record, ULONG64 EstablisherFrame,
                                                        PCONTEXT Context, PDISPATCHER_CONTEXT Dispatcher);

/* A frame above the last one must be nearer to the stack's base, or a damaged stack could be walked in circles. */
#if NT_USER
#define WALK_LIMIT 0x1000000 /* frames: recursion that fills a stack of 256 MB with the smallest */
#else
#define WALK_LIMIT 1024 /* frames: 24 KB of kernel stack hold fewer */
#endif

/* Raises STATUS_NONCONTINUABLE_EXCEPTION or the like on behalf of the dispatcher; never returns. */
static DECLSPEC_NORETURN VOID RtlpRaiseInvalid(NTSTATUS Status, PEXCEPTION_RECORD Cause)
{
    EXCEPTION_RECORD Record = {0};

    Record.ExceptionCode = Status;
    Record.ExceptionFlags = EXCEPTION_NONCONTINUABLE;
    Record.ExceptionRecord = Cause;
    RtlRaiseException(&Record);
    RtlpUnhandledException(&Record, NULL);
}

/*
 * May code without a function entry be taken for a leaf function, whose return address is on top of the stack? That must be readable.
 * In the kernel code lies in images; a RIP elsewhere is a call that led nowhere, if known code made it. A program may also have generated
 * code, which nobody describes; there it is the RIP 0 that ends a stack, or is a call that led nowhere.
 */
static BOOLEAN RtlpIsLeaf(PCONTEXT Context, ULONG64 ImageBase)
{
#if NT_USER
    BOOLEAN Generated = Context->Rip != 0;
#else
    BOOLEAN Generated = FALSE;
#endif
    ULONG64 Return, Base;

    if ((Context->Rsp & 7) != 0 || !KiCopyMemoryNoFault(&Return, (PVOID)Context->Rsp, sizeof(Return))) {
        return FALSE;
    }
    if (ImageBase != 0 || Generated) {
        return TRUE;
    }
    return RtlLookupFunctionEntry(Return, &Base, NULL) != NULL;
}

/* Undoes one frame of Context and describes it in Dispatcher; FALSE: the walk has left known code. */
static BOOLEAN RtlpNextFrame(ULONG HandlerType, PCONTEXT Context, PDISPATCHER_CONTEXT Dispatcher)
{
    Dispatcher->ControlPc = Context->Rip;
    Dispatcher->LanguageHandler = NULL;
    Dispatcher->ScopeIndex = 0;
    Dispatcher->FunctionEntry = RtlLookupFunctionEntry(Context->Rip, &Dispatcher->ImageBase, NULL);
    if (Dispatcher->FunctionEntry == NULL && !RtlpIsLeaf(Context, Dispatcher->ImageBase)) {
        return FALSE;
    }
    Dispatcher->LanguageHandler =
        RtlVirtualUnwind(HandlerType, Dispatcher->ImageBase, Dispatcher->ControlPc, Dispatcher->FunctionEntry, Context,
                         &Dispatcher->HandlerData, &Dispatcher->EstablisherFrame, NULL);
    return TRUE;
}

/* ---- Dispatch ---- */

BOOLEAN RtlpDispatchToFrames(PEXCEPTION_RECORD ExceptionRecord, PCONTEXT ContextRecord)
{
    CONTEXT Walk = *ContextRecord;
    DISPATCHER_CONTEXT Dispatcher = {.ContextRecord = ContextRecord};
    ULONG64 NestedFrame = 0;
    ULONG Flags = ExceptionRecord->ExceptionFlags & EXCEPTION_NONCONTINUABLE;

    for (ULONG Depth = 0; Depth < WALK_LIMIT && RtlpNextFrame(UNW_FLAG_EHANDLER, &Walk, &Dispatcher); Depth++) {
        BOOLEAN Again = Dispatcher.LanguageHandler != NULL;

        while (Again) {
            Again = FALSE;
            ExceptionRecord->ExceptionFlags = Flags;
            EXCEPTION_DISPOSITION Answer = RtlpExecuteHandlerForException(ExceptionRecord, Dispatcher.EstablisherFrame,
                                                                          ContextRecord, &Dispatcher);

            Flags |= ExceptionRecord->ExceptionFlags & EXCEPTION_NONCONTINUABLE;
            if (NestedFrame == Dispatcher.EstablisherFrame) {
                Flags &= ~(ULONG)EXCEPTION_NESTED_CALL; /* past what was nested */
                NestedFrame = 0;
            }
            switch (Answer) {
            case ExceptionContinueExecution:
                if ((Flags & EXCEPTION_NONCONTINUABLE) != 0) {
                    RtlpRaiseInvalid(STATUS_NONCONTINUABLE_EXCEPTION, ExceptionRecord);
                }
                return TRUE;
            case ExceptionContinueSearch:
                break;
            case ExceptionNestedException:
                Flags |= EXCEPTION_NESTED_CALL;
                if (Dispatcher.EstablisherFrame > NestedFrame) {
                    NestedFrame = Dispatcher.EstablisherFrame;
                }
                break;
            case ExceptionCollidedUnwind:
                /* An unwind stood at that frame: its frames below are done, go on where it was. */
                Walk = *Dispatcher.ContextRecord;
                Dispatcher.ContextRecord = ContextRecord;
                RtlVirtualUnwind(UNW_FLAG_NHANDLER, Dispatcher.ImageBase, Dispatcher.ControlPc,
                                 Dispatcher.FunctionEntry, &Walk, &Dispatcher.HandlerData, &Dispatcher.EstablisherFrame,
                                 NULL);
                Again = TRUE;
                break;
            default:
                RtlpRaiseInvalid(STATUS_INVALID_DISPOSITION, ExceptionRecord);
            }
        }
    }
    return FALSE;
}

/* ---- Unwinding ---- */

/*
 * Runs the termination handlers of one frame. Current holds the frame's own registers, Previous those of its caller;
 * a collided unwind replaces both.
 */
static VOID RtlpUnwindHandlers(PEXCEPTION_RECORD Record, PVOID TargetFrame, PVOID ReturnValue, PCONTEXT Current,
                               PCONTEXT Previous, PDISPATCHER_CONTEXT Dispatcher)
{
    BOOLEAN Again;

    do {
        Again = FALSE;
        if (Dispatcher->EstablisherFrame == (ULONG64)TargetFrame) {
            Record->ExceptionFlags |= EXCEPTION_TARGET_UNWIND;
        }
        Current->Rax = (ULONG64)ReturnValue;
        Dispatcher->ContextRecord = Current;
        EXCEPTION_DISPOSITION Answer =
            RtlpExecuteHandlerForUnwind(Record, Dispatcher->EstablisherFrame, Current, Dispatcher);

        Record->ExceptionFlags &= ~(ULONG)(EXCEPTION_TARGET_UNWIND | EXCEPTION_COLLIDED_UNWIND);
        if (Answer == ExceptionCollidedUnwind) {
            *Current = *Dispatcher->ContextRecord;
            *Previous = *Current;
            RtlVirtualUnwind(UNW_FLAG_NHANDLER, Dispatcher->ImageBase, Dispatcher->ControlPc, Dispatcher->FunctionEntry,
                             Previous, &Dispatcher->HandlerData, &Dispatcher->EstablisherFrame, NULL);
            Record->ExceptionFlags |= EXCEPTION_COLLIDED_UNWIND;
            Again = TRUE;
        } else if (Answer != ExceptionContinueSearch) {
            RtlpRaiseInvalid(STATUS_INVALID_DISPOSITION, Record);
        }
    } while (Again);
}

/**
 * RtlUnwindEx - unwind to a frame and go on at an address in its function.
 *
 * @TargetFrame      establisher frame to stop at; NULL: unwind everything (the thread is ending)
 * @TargetIp         where to go on
 * @ExceptionRecord  what is being handled; NULL: STATUS_UNWIND
 * @ReturnValue      RAX on arrival
 * @OriginalContext  scratch for the walk; in ntdll not used
 *
 * IRQL: any. Never returns, unless TargetFrame is NULL and the stack's end is reached.
 */
VOID NTAPI RtlUnwindEx(PVOID TargetFrame, PVOID TargetIp, PEXCEPTION_RECORD ExceptionRecord, PVOID ReturnValue,
                       PCONTEXT OriginalContext, PUNWIND_HISTORY_TABLE HistoryTable)
{
    CONTEXT Previous;
#if NT_USER
    CONTEXT
    Scratch; /* OriginalContext may be the one that KiUserExceptionDispatcher's unwind data reads registers from */
    PCONTEXT Current = &Scratch;
#else
    PCONTEXT Current = OriginalContext;
#endif
    EXCEPTION_RECORD Local = {.ExceptionCode = STATUS_UNWIND};
    DISPATCHER_CONTEXT Dispatcher = {.TargetIp = (ULONG64)TargetIp, .HistoryTable = HistoryTable};

    RtlCaptureContext(&Previous);
    if (ExceptionRecord == NULL) {
        Local.ExceptionAddress = (PVOID)Previous.Rip;
        ExceptionRecord = &Local;
    }
    ExceptionRecord->ExceptionFlags |= EXCEPTION_UNWINDING | (TargetFrame == NULL ? EXCEPTION_EXIT_UNWIND : 0);
    for (ULONG Depth = 0; Depth < WALK_LIMIT; Depth++) {
        *Current = Previous;
        if (!RtlpNextFrame(UNW_FLAG_UHANDLER, &Previous, &Dispatcher)) {
            break;
        }
        if (Dispatcher.LanguageHandler != NULL) {
            RtlpUnwindHandlers(ExceptionRecord, TargetFrame, ReturnValue, Current, &Previous, &Dispatcher);
        }
        if (Dispatcher.EstablisherFrame == (ULONG64)TargetFrame && Dispatcher.FunctionEntry != NULL) {
            Current->Rax = (ULONG64)ReturnValue;
            Current->Rip = (ULONG64)TargetIp;
            RtlRestoreContext(Current, ExceptionRecord);
        }
    }
    if (TargetFrame != NULL) {
        RtlpRaiseInvalid(STATUS_BAD_STACK, ExceptionRecord);
    }
}

VOID NTAPI RtlUnwind(PVOID TargetFrame, PVOID TargetIp, PEXCEPTION_RECORD ExceptionRecord, PVOID ReturnValue)
{
    CONTEXT Scratch;

    RtlUnwindEx(TargetFrame, TargetIp, ExceptionRecord, ReturnValue, &Scratch, NULL);
}

/* ---- Raising ---- */

/**
 * RtlRaiseException - raise a software exception in the caller.
 *
 * @ExceptionRecord  code, flags and parameters; its address is set to the caller's
 *
 * IRQL: any. Returns when a filter asks to continue. Unhandled: RtlpUnhandledException.
 */
DECLSPEC_NOINLINE VOID NTAPI RtlRaiseException(PEXCEPTION_RECORD ExceptionRecord)
{
    CONTEXT Context;
    BOOLEAN Walked;

    RtlCaptureContext(&Context);
    Walked = RtlpUnwindFrame(&Context); /* from here into the caller */
    ExceptionRecord->ExceptionAddress = (PVOID)Context.Rip;
    if (Walked && RtlDispatchException(ExceptionRecord, &Context)) {
        RtlRestoreContext(&Context, ExceptionRecord);
    }
    RtlpUnhandledException(ExceptionRecord, &Context);
}

DECLSPEC_NORETURN VOID NTAPI RtlRaiseStatus(NTSTATUS Status)
{
    EXCEPTION_RECORD Record = {.ExceptionCode = Status, .ExceptionFlags = EXCEPTION_NONCONTINUABLE};

    RtlRaiseException(&Record);
    RtlpUnhandledException(&Record, NULL);
}

DECLSPEC_NORETURN VOID NTAPI ExRaiseStatus(NTSTATUS Status)
{
    RtlRaiseStatus(Status);
}

DECLSPEC_NORETURN VOID NTAPI ExRaiseAccessViolation(VOID)
{
    RtlRaiseStatus(STATUS_ACCESS_VIOLATION);
}

DECLSPEC_NORETURN VOID NTAPI ExRaiseDatatypeMisalignment(VOID)
{
    RtlRaiseStatus(STATUS_DATATYPE_MISALIGNMENT);
}

PVOID NTAPI RtlPcToFileHeader(PVOID PcValue, PVOID *BaseOfImage)
{
    KI_IMAGE Image;

    *BaseOfImage = KiFindImage((ULONG64)PcValue, &Image) ? (PVOID)Image.Base : NULL;
    return *BaseOfImage;
}
