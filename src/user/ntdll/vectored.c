/*
 * vectored.c - exception handlers of the whole process, asked before and after those on the stack.
 *
 * An exception goes to the vectored exception handlers in order, then to the frames (src/rtl/exception.c). If one of them wants to
 * continue, the vectored continue handlers are told. What nobody takes ends in RtlUnhandledExceptionFilter, which asks the program's own filter, if it has set
 * one, says on the console what happened and where, and ends the process with the exception's code.
 *
 * A handler may add and remove handlers, itself too, and may cause exceptions that are dispatched over the same list: an entry that is being called
 * is kept by a count and stays in its list until the last call is over.
 *
 * Lock: RtlpVectorLock, never held over a call.
 *
 * Source: Microsoft Learn, "Vectored Exception Handling", AddVectoredExceptionHandler, SetUnhandledExceptionFilter.
 */
#include "ntdllp.h"

typedef struct _RTLP_VECTORED {
    LIST_ENTRY Link;
    PVECTORED_EXCEPTION_HANDLER Handler;
    ULONG Calls;     /* (v) in progress */
    BOOLEAN Removed; /* (v) to be freed after the last call */
} RTLP_VECTORED, *PRTLP_VECTORED;

static RTL_SRWLOCK RtlpVectorLock = RTL_SRWLOCK_INIT;
static LIST_ENTRY RtlpExceptionHandlers = {&RtlpExceptionHandlers, &RtlpExceptionHandlers}; /* (v) */
static LIST_ENTRY RtlpContinueHandlers = {&RtlpContinueHandlers, &RtlpContinueHandlers};    /* (v) */
static PVECTORED_EXCEPTION_HANDLER volatile RtlpFilter; /* interlocked: the program's, NULL: none */

/* ---- The lists ---- */

static PVOID RtlpAddHandler(PLIST_ENTRY Head, ULONG First, PVECTORED_EXCEPTION_HANDLER Handler)
{
    PRTLP_VECTORED Entry = RtlAllocateHeap(LdrpPeb()->ProcessHeap, HEAP_ZERO_MEMORY, sizeof(*Entry));

    if (Entry == NULL) {
        return NULL;
    }
    Entry->Handler = Handler;
    RtlAcquireSRWLockExclusive(&RtlpVectorLock);
    if (First != 0) {
        InsertHeadList(Head, &Entry->Link);
    } else {
        InsertTailList(Head, &Entry->Link);
    }
    RtlReleaseSRWLockExclusive(&RtlpVectorLock);
    return Entry;
}

/* Locked. TRUE: it is out of the list and the caller's to free. */
static BOOLEAN RtlpDropIfUnused(PRTLP_VECTORED Entry)
{
    if (!Entry->Removed || Entry->Calls != 0) {
        return FALSE;
    }
    RemoveEntryList(&Entry->Link);
    return TRUE;
}

static ULONG RtlpRemoveHandler(PLIST_ENTRY Head, PVOID Handle)
{
    BOOLEAN Found = FALSE, Drop = FALSE;

    RtlAcquireSRWLockExclusive(&RtlpVectorLock);
    for (PLIST_ENTRY Link = Head->Flink; Link != Head && !Found; Link = Link->Flink) {
        PRTLP_VECTORED Entry = CONTAINING_RECORD(Link, RTLP_VECTORED, Link);

        Found = Entry == Handle && !Entry->Removed;
    }
    if (Found) {
        ((PRTLP_VECTORED)Handle)->Removed = TRUE;
        Drop = RtlpDropIfUnused(Handle);
    }
    RtlReleaseSRWLockExclusive(&RtlpVectorLock);
    if (Drop) {
        RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, Handle);
    }
    return Found;
}

/* The entry after Link that counts, kept for a call; NULL: the end. Locked. */
static PRTLP_VECTORED RtlpKeepNext(PLIST_ENTRY Head, PLIST_ENTRY Link)
{
    for (Link = Link->Flink; Link != Head; Link = Link->Flink) {
        PRTLP_VECTORED Entry = CONTAINING_RECORD(Link, RTLP_VECTORED, Link);

        if (!Entry->Removed) {
            Entry->Calls++;
            return Entry;
        }
    }
    return NULL;
}

/* TRUE: a handler wants to continue; the others are not asked. */
static BOOLEAN RtlpCallHandlers(PLIST_ENTRY Head, PEXCEPTION_RECORD Record, PCONTEXT Context)
{
    EXCEPTION_POINTERS Pointers = {Record, Context};
    BOOLEAN Continue = FALSE, Drop;
    PRTLP_VECTORED Entry, Next;

    if (IsListEmpty(Head)) {
        return FALSE;
    }
    RtlAcquireSRWLockExclusive(&RtlpVectorLock);
    for (Entry = RtlpKeepNext(Head, Head); Entry != NULL; Entry = Next) {
        RtlReleaseSRWLockExclusive(&RtlpVectorLock);
        Continue = Entry->Handler(&Pointers) == EXCEPTION_CONTINUE_EXECUTION;
        RtlAcquireSRWLockExclusive(&RtlpVectorLock);
        Next = Continue ? NULL : RtlpKeepNext(Head, &Entry->Link);
        Entry->Calls--;
        Drop = RtlpDropIfUnused(Entry);
        if (Drop) {
            RtlReleaseSRWLockExclusive(&RtlpVectorLock);
            RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, Entry);
            RtlAcquireSRWLockExclusive(&RtlpVectorLock);
        }
    }
    RtlReleaseSRWLockExclusive(&RtlpVectorLock);
    return Continue;
}

/* From here to the end of the list First: before all others that are there. NULL: no memory. */
PVOID NTAPI RtlAddVectoredExceptionHandler(ULONG First, PVECTORED_EXCEPTION_HANDLER Handler)
{
    return RtlpAddHandler(&RtlpExceptionHandlers, First, Handler);
}

/* 0: Handle is none. */
ULONG NTAPI RtlRemoveVectoredExceptionHandler(PVOID Handle)
{
    return RtlpRemoveHandler(&RtlpExceptionHandlers, Handle);
}

PVOID NTAPI RtlAddVectoredContinueHandler(ULONG First, PVECTORED_EXCEPTION_HANDLER Handler)
{
    return RtlpAddHandler(&RtlpContinueHandlers, First, Handler);
}

ULONG NTAPI RtlRemoveVectoredContinueHandler(PVOID Handle)
{
    return RtlpRemoveHandler(&RtlpContinueHandlers, Handle);
}

/* ---- Dispatch ---- */

BOOLEAN NTAPI RtlDispatchException(PEXCEPTION_RECORD ExceptionRecord, PCONTEXT ContextRecord)
{
    if (!RtlpCallHandlers(&RtlpExceptionHandlers, ExceptionRecord, ContextRecord) &&
        !RtlpDispatchToFrames(ExceptionRecord, ContextRecord)) {
        return FALSE;
    }
    RtlpCallHandlers(&RtlpContinueHandlers, ExceptionRecord, ContextRecord);
    return TRUE;
}

/* ---- What nobody takes ---- */

/* The filter that was set before; NULL: none. */
PVECTORED_EXCEPTION_HANDLER NTAPI RtlSetUnhandledExceptionFilter(PVECTORED_EXCEPTION_HANDLER Filter)
{
    return (PVECTORED_EXCEPTION_HANDLER)InterlockedExchangePointer((PVOID volatile *)&RtlpFilter, (PVOID)Filter);
}

static VOID RtlpTell(PEXCEPTION_RECORD Record)
{
    PLDR_DATA_TABLE_ENTRY Program = LdrpFindImage((ULONG64)LdrpPeb()->ImageBaseAddress);
    PLDR_DATA_TABLE_ENTRY Image = LdrpFindImage((ULONG64)Record->ExceptionAddress);

    if (Record->ExceptionCode == STATUS_STACK_OVERFLOW || Program == NULL) {
        return; /* there is no stack left for it */
    }
    if (Image != NULL) {
        DbgPrint("%wZ: unhandled exception 0x%08lX at %wZ+0x%llX\n", &Program->BaseDllName, Record->ExceptionCode,
                 &Image->BaseDllName, (ULONG64)Record->ExceptionAddress - (ULONG64)Image->DllBase);
    } else {
        DbgPrint("%wZ: unhandled exception 0x%08lX at 0x%llX\n", &Program->BaseDllName, Record->ExceptionCode,
                 (ULONG64)Record->ExceptionAddress);
    }
}

/**
 * RtlUnhandledExceptionFilter - what a thread's outermost frame asks about an exception that nobody took.
 *
 * returns  what the program's own filter says, unless that is EXCEPTION_CONTINUE_SEARCH; then, and without one, it ends the process with
 *          the exception's code and does not return
 */
LONG NTAPI RtlUnhandledExceptionFilter(PEXCEPTION_POINTERS Pointers)
{
    PVECTORED_EXCEPTION_HANDLER Filter = RtlpFilter;
    LONG Answer = Filter == NULL ? EXCEPTION_CONTINUE_SEARCH : Filter(Pointers);

    if (Answer != EXCEPTION_CONTINUE_SEARCH) {
        return Answer;
    }
    RtlpTell(Pointers->ExceptionRecord);
    RtlpUnhandledException(Pointers->ExceptionRecord, Pointers->ContextRecord);
}
