/*
 * useh.c - the suite of vectored handlers, the unhandled exception filter, and unwinding by hand.
 *
 * What __try and __finally do is urtl's matter. `useh filter` and `useh nobody` end by an exception: with what the program's filter
 * made of it, and without one.
 */
#include "../ktap.h"

#define CODE ((NTSTATUS)0xE0001234)

static CHAR Order[32];
static ULONG Length;

static VOID Mark(CHAR Letter)
{
    if (Length < sizeof(Order) - 1) {
        Order[Length++] = Letter;
        Order[Length] = 0;
    }
}

static BOOLEAN OrderIs(PCSTR Expected)
{
    BOOLEAN Same = TRUE;
    ULONG Index = 0;

    for (; Expected[Index] != 0 && Same; Index++) {
        Same = Order[Index] == Expected[Index];
    }
    Same = Same && Index == Length;
    Length = 0;
    Order[0] = 0;
    return Same;
}

static VOID Raise(ULONG Flags)
{
    EXCEPTION_RECORD Record = {.ExceptionCode = CODE, .ExceptionFlags = Flags};

    RtlRaiseException(&Record);
    Mark('r');
}

/* ---- Vectored handlers ---- */

static LONG NTAPI SearchA(PEXCEPTION_POINTERS Pointers)
{
    Mark('a');
    return EXCEPTION_CONTINUE_SEARCH;
}

static LONG NTAPI SearchB(PEXCEPTION_POINTERS Pointers)
{
    Mark('b');
    return EXCEPTION_CONTINUE_SEARCH;
}

static LONG NTAPI Continue(PEXCEPTION_POINTERS Pointers)
{
    Mark('c');
    return EXCEPTION_CONTINUE_EXECUTION;
}

static LONG NTAPI SkipFault(PEXCEPTION_POINTERS Pointers)
{
    if (Pointers->ExceptionRecord->ExceptionCode != STATUS_ILLEGAL_INSTRUCTION) {
        return EXCEPTION_CONTINUE_SEARCH;
    }
    Mark('s');
    Pointers->ContextRecord->Rip += 2;
    Pointers->ContextRecord->Rax = 77;
    Pointers->ContextRecord->Xmm6.Low = 88;
    return EXCEPTION_CONTINUE_EXECUTION;
}

static LONG FilterMark(LONG Answer)
{
    Mark('f');
    return Answer;
}

/* First come the vectored ones in their order, then the frames; who continues ends the search. */
static ULONG VectoredOrder(VOID)
{
    PVOID A = RtlAddVectoredExceptionHandler(0, SearchA), B = RtlAddVectoredExceptionHandler(1, SearchB), C;

    CHECK(A != NULL && B != NULL);
    __try {
        Raise(0);
    } __except (FilterMark(EXCEPTION_EXECUTE_HANDLER)) {
        Mark('h');
    }
    CHECK(OrderIs("bafh"));
    C = RtlAddVectoredExceptionHandler(0, Continue);
    __try {
        Raise(0);
    } __except (FilterMark(EXCEPTION_EXECUTE_HANDLER)) {
        Mark('h');
    }
    CHECK(OrderIs("bacr"));
    CHECK(RtlRemoveVectoredExceptionHandler(A) == 1 && RtlRemoveVectoredExceptionHandler(A) == 0);
    CHECK(RtlRemoveVectoredExceptionHandler(C) == 1 && RtlRemoveVectoredExceptionHandler(B) == 1);
    CHECK(RtlRemoveVectoredContinueHandler(B) == 0);
    __try {
        Raise(0);
    } __except (FilterMark(EXCEPTION_EXECUTE_HANDLER)) {
    }
    CHECK(OrderIs("f"));
    return 0;
}

/* A fault of the processor; the context that a handler leaves is what execution goes on with. */
static ULONG VectoredFault(VOID)
{
    PVOID Handler = RtlAddVectoredExceptionHandler(1, SkipFault), Told = RtlAddVectoredContinueHandler(1, SearchA);
    ULONG64 Result = 0, Vector = 0;

    __asm__ volatile("ud2\n\tmovq %%xmm6, %1" : "=a"(Result), "=r"(Vector)::"xmm6");
    CHECK(Result == 77 && Vector == 88);
    CHECK(OrderIs("sa"));
    CHECK(RtlRemoveVectoredExceptionHandler(Handler) == 1 && RtlRemoveVectoredContinueHandler(Told) == 1);
    return 0;
}

/* Continue handlers hear of what a frame's filter continues too, and not of what is unwound. */
static ULONG VectoredContinue(VOID)
{
    PVOID B = RtlAddVectoredContinueHandler(1, SearchB), C = RtlAddVectoredContinueHandler(0, Continue),
          A = RtlAddVectoredContinueHandler(0, SearchA);

    __try {
        Raise(0);
    } __except (FilterMark(EXCEPTION_CONTINUE_EXECUTION)) {
    }
    CHECK(OrderIs("fbcr"));
    __try {
        Raise(0);
    } __except (FilterMark(EXCEPTION_EXECUTE_HANDLER)) {
    }
    CHECK(OrderIs("f"));
    CHECK(RtlRemoveVectoredContinueHandler(A) && RtlRemoveVectoredContinueHandler(B) &&
          RtlRemoveVectoredContinueHandler(C));
    return 0;
}

static PVOID OwnHandle;

static LONG NTAPI RemoveSelf(PEXCEPTION_POINTERS Pointers)
{
    Mark(RtlRemoveVectoredExceptionHandler(OwnHandle) == 1 ? 'x' : '?');
    Mark(RtlRemoveVectoredExceptionHandler(OwnHandle) == 0 ? 'y' : '?');
    return EXCEPTION_CONTINUE_SEARCH;
}

static LONG NTAPI RaiseAgain(PEXCEPTION_POINTERS Pointers)
{
    Mark('n');
    if (Pointers->ExceptionRecord->ExceptionCode == CODE) {
        __try {
            RtlRaiseStatus(STATUS_DATA_ERROR);
        } __except (EXCEPTION_EXECUTE_HANDLER) {
            Mark('d');
        }
    }
    return EXCEPTION_CONTINUE_SEARCH;
}

/* Handlers that change the list under way, or cause exceptions themselves. */
static ULONG VectoredReentered(VOID)
{
    PVOID Again;

    OwnHandle = RtlAddVectoredExceptionHandler(1, RemoveSelf);
    Again = RtlAddVectoredExceptionHandler(0, RaiseAgain);
    for (ULONG Round = 0; Round < 2; Round++) {
        __try {
            Raise(0);
        } __except (EXCEPTION_EXECUTE_HANDLER) {
            Mark('h');
        }
    }
    CHECK(OrderIs("xynndhnndh"));
    CHECK(RtlRemoveVectoredExceptionHandler(Again) == 1);
    return 0;
}

static volatile LONG Handled;

static LONG NTAPI CountOne(PEXCEPTION_POINTERS Pointers)
{
    InterlockedIncrement(&Handled);
    return EXCEPTION_CONTINUE_SEARCH;
}

static NTSTATUS NTAPI VectoredThread(PVOID Argument)
{
    for (ULONG Round = 0; Round < 100; Round++) {
        PVOID Handle = RtlAddVectoredExceptionHandler(Round & 1, CountOne);
        LONG Before = Handled;

        __try {
            *(volatile ULONG *)KERNEL_POINTER = 1;
        } __except (EXCEPTION_EXECUTE_HANDLER) {
            if (Handled == Before) {
                return STATUS_UNSUCCESSFUL;
            }
        }
        RtlRemoveVectoredExceptionHandler(Handle);
    }
    InterlockedIncrement((volatile LONG *)Argument);
    return STATUS_SUCCESS;
}

static ULONG VectoredThreads(VOID)
{
    LONG Done = 0;

    Handled = 0;
    CHECK(RunThreads(VectoredThread, &Done, THREADS) == 0);
    CHECK(Done == THREADS && Handled >= THREADS * 100);
    CHECK(RtlValidateHeap(((PTEB)__readgsqword(0x30))->ProcessEnvironmentBlock->ProcessHeap, 0, NULL));
    return 0;
}

/* ---- Unwinding by hand ---- */

static ULONG64 TargetFrame;
static ULONG Landed;

static __attribute__((noinline)) VOID Leap(ULONG Depth)
{
    CONTEXT Context;

    __try {
        if (Depth == 0) {
            RtlUnwindEx((PVOID)TargetFrame, NULL, NULL, (PVOID)5, &Context, NULL);
        }
        Leap(Depth - 1);
    } __finally {
        Mark((CHAR)('0' + Depth));
    }
}

/* Every frame on the way is where RtlVirtualUnwind says, up to the program's start in ntdll. */
static ULONG UnwindWalk(VOID)
{
    CONTEXT Context;
    ULONG Frames = 0;
    ULONG64 Base, Establisher;
    PVOID Data, Program;

    RtlCaptureContext(&Context);
    CHECK(RtlPcToFileHeader((PVOID)(ULONG_PTR)UnwindWalk, &Program) != NULL);
    for (; Frames < 16; Frames++) {
        PRUNTIME_FUNCTION Entry = RtlLookupFunctionEntry(Context.Rip, &Base, NULL);
        ULONG64 Before = Context.Rsp;

        if (Entry == NULL) {
            break;
        }
        CHECK(Frames > 1 || Base == (ULONG64)Program); /* this, and what runs the cases */
        RtlVirtualUnwind(UNW_FLAG_NHANDLER, Base, Context.Rip, Entry, &Context, &Data, &Establisher, NULL);
        CHECK(Context.Rsp > Before);
    }
    CHECK(Frames >= 3 && Base == 0 && Context.Rip == 0);
    return 0;
}

static LONG NTAPI LeapFilter(PEXCEPTION_POINTERS Pointers, ULONG64 Frame)
{
    TargetFrame = Frame;
    return EXCEPTION_EXECUTE_HANDLER;
}

/* RtlUnwind with a target that is not on the stack runs all handlers and says STATUS_BAD_STACK. */
static ULONG UnwindNowhere(VOID)
{
    NTSTATUS Code = 0;

    __try {
        TargetFrame = 0x1000;
        Leap(2);
    } __except (LeapFilter(GetExceptionInformation(), 0)) {
        Code = GetExceptionCode();
    }
    Landed++;
    CHECK(Code == STATUS_BAD_STACK && Landed == 1);
    CHECK(Length >= 3 && Order[0] == '0' && Order[1] == '1' && Order[2] == '2');
    Length = 0;
    return 0;
}

static const USER_CASE Cases[] = {
    {"user.seh.vectored_order", VectoredOrder},       {"user.seh.vectored_fault", VectoredFault},
    {"user.seh.vectored_continue", VectoredContinue}, {"user.seh.vectored_reentered", VectoredReentered},
    {"user.seh.vectored_threads", VectoredThreads},   {"user.seh.unwind_walk", UnwindWalk},
    {"user.seh.unwind_nowhere", UnwindNowhere},
};

/* ---- The ends ---- */

static LONG NTAPI LastFilter(PEXCEPTION_POINTERS Pointers)
{
    DbgPrint("filter: 0x%08lX\n", Pointers->ExceptionRecord->ExceptionCode);
    return EXCEPTION_EXECUTE_HANDLER;
}

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    PUNICODE_STRING Line = &Peb->ProcessParameters->CommandLine;
    WCHAR Last = Line->Length == 0 ? 0 : Line->Buffer[Line->Length / sizeof(WCHAR) - 1];

    if (Last == 'r') {
        CHECK(RtlSetUnhandledExceptionFilter(LastFilter) == NULL);
        CHECK(RtlSetUnhandledExceptionFilter(LastFilter) == LastFilter);
        RtlRaiseStatus(CODE);
    }
    if (Last == 'y') {
        RtlRaiseStatus(CODE);
    }
    return UserRunSuite("useh.c", Cases, RTL_NUMBER_OF(Cases));
}
