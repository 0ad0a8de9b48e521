/*
 * cspecific.c - __C_specific_handler: the language handler of every C function with __try.
 *
 * Its data is a table of scopes, inner before outer, each a range of code with a filter and an __except block, or with a
 * __finally routine. While a handler is searched it runs filters; while frames are unwound it runs __finally
 * routines, each once: the scope index in the dispatcher context moves past a routine before the routine runs, so that an
 * exception or unwind out of it goes on with the next outer scope.
 *
 * The compiler emits scopes for loads and stores too (asynchronous exceptions); a table with no scopes would
 * mean faults inside __try are lost, which scripts/lint-seh looks for.
 *
 * Source: Microsoft Learn, "x64 exception handling". Locks: none. IRQL: any.
 */
#include <ntos/ke.h>
#include <ntos/rtl.h>

#define FILTER_ALWAYS 1 /* HandlerAddress of `__except (EXCEPTION_EXECUTE_HANDLER)` */

typedef LONG (*PRTLP_FILTER)(PEXCEPTION_POINTERS Pointers, PVOID EstablisherFrame);
typedef VOID (*PRTLP_FINALLY)(BOOLEAN Abnormal, PVOID EstablisherFrame);

EXCEPTION_DISPOSITION __C_specific_handler(PEXCEPTION_RECORD ExceptionRecord, PVOID EstablisherFrame,
                                           PCONTEXT ContextRecord, PDISPATCHER_CONTEXT DispatcherContext);

static BOOLEAN RtlpInScope(PSCOPE_TABLE_AMD64 Table, ULONG Index, ULONG64 Offset)
{
    return Offset >= Table->ScopeRecord[Index].BeginAddress && Offset < Table->ScopeRecord[Index].EndAddress;
}

static EXCEPTION_DISPOSITION RtlpSearchScopes(PEXCEPTION_RECORD Record, PVOID Frame, PCONTEXT Context,
                                              PDISPATCHER_CONTEXT Dispatcher)
{
    PSCOPE_TABLE_AMD64 Table = Dispatcher->HandlerData;
    ULONG64 Offset = Dispatcher->ControlPc - Dispatcher->ImageBase;
    EXCEPTION_POINTERS Pointers = {Record, Context};

    for (ULONG Index = Dispatcher->ScopeIndex; Index < Table->Count; Index++) {
        if (!RtlpInScope(Table, Index, Offset) || Table->ScopeRecord[Index].JumpTarget == 0) {
            continue;
        }
        LONG Answer = EXCEPTION_EXECUTE_HANDLER;

        if (Table->ScopeRecord[Index].HandlerAddress != FILTER_ALWAYS) {
            PRTLP_FILTER Filter = (PRTLP_FILTER)(Dispatcher->ImageBase + Table->ScopeRecord[Index].HandlerAddress);

            Answer = Filter(&Pointers, Frame);
        }
        if (Answer < 0) {
            return ExceptionContinueExecution;
        }
        if (Answer > 0) {
            RtlUnwindEx(Frame, (PVOID)(Dispatcher->ImageBase + Table->ScopeRecord[Index].JumpTarget), Record,
                        (PVOID)(ULONG_PTR)(ULONG)Record->ExceptionCode, Dispatcher->ContextRecord,
                        Dispatcher->HistoryTable);
        }
    }
    return ExceptionContinueSearch;
}

/* Stops at the scope that holds the target: control stays inside it, so neither it nor outer ones are left. */
static EXCEPTION_DISPOSITION RtlpUnwindScopes(PEXCEPTION_RECORD Record, PVOID Frame, PDISPATCHER_CONTEXT Dispatcher)
{
    PSCOPE_TABLE_AMD64 Table = Dispatcher->HandlerData;
    ULONG64 Offset = Dispatcher->ControlPc - Dispatcher->ImageBase;
    ULONG64 Target = Dispatcher->TargetIp - Dispatcher->ImageBase;
    BOOLEAN IsTarget = (Record->ExceptionFlags & EXCEPTION_TARGET_UNWIND) != 0;

    for (ULONG Index = Dispatcher->ScopeIndex; Index < Table->Count; Index++) {
        if (!RtlpInScope(Table, Index, Offset)) {
            continue;
        }
        if (IsTarget && (RtlpInScope(Table, Index, Target) || Table->ScopeRecord[Index].JumpTarget == Target)) {
            break;
        }
        if (Table->ScopeRecord[Index].JumpTarget == 0) {
            PRTLP_FINALLY Finally = (PRTLP_FINALLY)(Dispatcher->ImageBase + Table->ScopeRecord[Index].HandlerAddress);

            Dispatcher->ScopeIndex = Index + 1;
            Finally(TRUE, Frame);
        }
    }
    return ExceptionContinueSearch;
}

EXCEPTION_DISPOSITION __C_specific_handler(PEXCEPTION_RECORD ExceptionRecord, PVOID EstablisherFrame,
                                           PCONTEXT ContextRecord, PDISPATCHER_CONTEXT DispatcherContext)
{
    if ((ExceptionRecord->ExceptionFlags & EXCEPTION_UNWIND) != 0) {
        return RtlpUnwindScopes(ExceptionRecord, EstablisherFrame, DispatcherContext);
    }
    return RtlpSearchScopes(ExceptionRecord, EstablisherFrame, ContextRecord, DispatcherContext);
}
