/*
 * seh.c - structured exception handling, as C code sees it.
 *
 * The first two cases are the ones a compiler gets wrong: one bare load and one bare store in a __try, optimised.
 * The others go through nesting, frames, filters, termination order and what happens when handlers fault themselves.
 * SEH_BAD is a user address that nobody maps: touching it is an access violation, never a bug check.
 */
#include <ntos/ktap.h>
#include <ntos/rtl.h>

#define SEH_BAD  ((ULONG *)0x0000000000012344)
#define SEH_BAD2 ((ULONG *)0x0000000000056788)
#define SEH_CODE ((NTSTATUS)0xE0001234)

/* Events in the order in which they happened, one letter each. */
typedef struct _SEH_TRACE {
    CHAR Text[32];
    ULONG Length;
} SEH_TRACE, *PSEH_TRACE;

static VOID SehMark(PSEH_TRACE Trace, CHAR Letter)
{
    if (Trace->Length < sizeof(Trace->Text) - 1) {
        Trace->Text[Trace->Length++] = Letter;
        Trace->Text[Trace->Length] = 0;
    }
}

static LONG SehMarkFilter(PSEH_TRACE Trace, CHAR Letter, LONG Answer)
{
    SehMark(Trace, Letter);
    return Answer;
}

static BOOLEAN SehTraceIs(PSEH_TRACE Trace, PCSTR Expected)
{
    ULONG Index = 0;

    while (Expected[Index] != 0 && Trace->Text[Index] == Expected[Index]) {
        Index++;
    }
    return Trace->Text[Index] == Expected[Index];
}

#define SEH_TRACE_CHECK(Trace, Expected)                                                                               \
    do {                                                                                                               \
        if (!SehTraceIs(&(Trace), Expected)) {                                                                         \
            KtapFail(Ktap, __FILE__, __LINE__, "events are \"%s\", expected \"%s\"", (Trace).Text, Expected);          \
            return;                                                                                                    \
        }                                                                                                              \
    } while (0)

/* ---- Bare accesses ---- */

static DECLSPEC_NOINLINE ULONG SehLoad(const ULONG *From)
{
    __try {
        return *From;
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return 0xDEAD;
    }
}

static DECLSPEC_NOINLINE BOOLEAN SehStore(ULONG *To)
{
    __try {
        *To = 1;
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return FALSE;
    }
    return TRUE;
}

static VOID SehBareLoad(PKTAP_CONTEXT Ktap)
{
    ULONG Good = 7;

    KTAP_EQUAL(SehLoad(SEH_BAD), 0xDEAD);
    KTAP_EQUAL(SehLoad(&Good), 7);
}

static VOID SehBareStore(PKTAP_CONTEXT Ktap)
{
    ULONG Good = 7;

    KTAP_CHECK(!SehStore(SEH_BAD));
    KTAP_CHECK(SehStore(&Good));
    KTAP_EQUAL(Good, 1);
}

static VOID SehCopy(PKTAP_CONTEXT Ktap)
{
    ULONG64 Caught = 0;
    UCHAR Buffer[64];

    __try {
        RtlCopyMemory(Buffer, SEH_BAD, sizeof(Buffer));
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Caught = (ULONG)GetExceptionCode();
    }
    KTAP_EQUAL(Caught, (ULONG)STATUS_ACCESS_VIOLATION);
}

/* ---- What a filter is told ---- */

typedef struct _SEH_SEEN {
    EXCEPTION_RECORD Record;
    ULONG64 ContextRip, ContextRsp;
} SEH_SEEN;

static LONG SehRecordFilter(PEXCEPTION_POINTERS Pointers, SEH_SEEN *Seen)
{
    Seen->Record = *Pointers->ExceptionRecord;
    Seen->ContextRip = Pointers->ContextRecord->Rip;
    Seen->ContextRsp = Pointers->ContextRecord->Rsp;
    return EXCEPTION_EXECUTE_HANDLER;
}

static DECLSPEC_NOINLINE VOID SehFaultAndRecord(ULONG *Address, BOOLEAN Write, SEH_SEEN *Seen)
{
    volatile ULONG *Target = Address;

    __try {
        if (Write) {
            *Target = 1;
        } else {
            (void)*Target;
        }
    } __except (SehRecordFilter(GetExceptionInformation(), Seen)) {
    }
}

static VOID SehInformation(PKTAP_CONTEXT Ktap)
{
    SEH_SEEN Seen = {0};
    PVOID Base;

    SehFaultAndRecord(SEH_BAD, FALSE, &Seen);
    KTAP_EQUAL(Seen.Record.ExceptionCode, STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(Seen.Record.ExceptionFlags, 0);
    KTAP_EQUAL(Seen.Record.NumberParameters, 2);
    KTAP_EQUAL(Seen.Record.ExceptionInformation[0], 0);
    KTAP_EQUAL(Seen.Record.ExceptionInformation[1], SEH_BAD);
    KTAP_EQUAL(Seen.Record.ExceptionAddress, Seen.ContextRip);
    KTAP_CHECK(RtlPcToFileHeader((PVOID)Seen.ContextRip, &Base) != NULL);
    KTAP_CHECK(Seen.ContextRsp < (ULONG64)&Seen && (ULONG64)&Seen - Seen.ContextRsp < 0x1000);
    SehFaultAndRecord(SEH_BAD2, TRUE, &Seen);
    KTAP_EQUAL(Seen.Record.ExceptionInformation[0], 1);
    KTAP_EQUAL(Seen.Record.ExceptionInformation[1], SEH_BAD2);
}

static VOID SehNonCanonical(PKTAP_CONTEXT Ktap)
{
    SEH_SEEN Seen = {0};

    SehFaultAndRecord((ULONG *)0x8000000000000000ULL, FALSE, &Seen);
    KTAP_EQUAL(Seen.Record.ExceptionCode, STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(Seen.Record.ExceptionInformation[1], (ULONG_PTR)-1);
}

/* ---- Nesting and frames ---- */

static VOID SehNested(PKTAP_CONTEXT Ktap)
{
    SEH_TRACE Trace = {.Length = 0};

    __try {
        SehMark(&Trace, 'a');
        __try {
            (void)*(volatile ULONG *)SEH_BAD;
            SehMark(&Trace, '!');
        } __except (SehMarkFilter(&Trace, 'b', EXCEPTION_CONTINUE_SEARCH)) {
            SehMark(&Trace, '!');
        }
    } __except (SehMarkFilter(&Trace, 'c', EXCEPTION_EXECUTE_HANDLER)) {
        SehMark(&Trace, 'd');
        __try {
            (void)*(volatile ULONG *)SEH_BAD;
        } __except (SehMarkFilter(&Trace, 'e', EXCEPTION_EXECUTE_HANDLER)) {
            SehMark(&Trace, 'f');
        }
    }
    SEH_TRACE_CHECK(Trace, "abcdef");
}

static DECLSPEC_NOINLINE VOID SehInner(PSEH_TRACE Trace, ULONG Depth)
{
    __try {
        if (Depth != 0) {
            SehInner(Trace, Depth - 1);
        } else {
            *(volatile ULONG *)SEH_BAD = 1;
        }
        SehMark(Trace, '!');
    } __finally {
        SehMark(Trace, (CHAR)('0' + Depth));
        if (!AbnormalTermination()) {
            SehMark(Trace, '!');
        }
    }
}

static VOID SehAcrossFrames(PKTAP_CONTEXT Ktap)
{
    SEH_TRACE Trace = {.Length = 0};

    __try {
        SehInner(&Trace, 3);
    } __except (SehMarkFilter(&Trace, 'f', EXCEPTION_EXECUTE_HANDLER)) {
        SehMark(&Trace, 'x');
    }
    SEH_TRACE_CHECK(Trace, "f0123x"); /* the filter before any termination handler */
}

static VOID SehFinallyOrder(PKTAP_CONTEXT Ktap)
{
    SEH_TRACE Trace = {.Length = 0};

    __try {
        __try {
            __try {
                RtlRaiseStatus(SEH_CODE);
            } __finally {
                SehMark(&Trace, '1');
            }
        } __except (SehMarkFilter(&Trace, 'n', EXCEPTION_CONTINUE_SEARCH)) {
            SehMark(&Trace, '!');
        }
    } __except (SehMarkFilter(&Trace, 'y', GetExceptionCode() == (ULONG)SEH_CODE)) {
        SehMark(&Trace, '2');
    }
    SEH_TRACE_CHECK(Trace, "ny12");
}

static VOID SehFinallyNormal(PKTAP_CONTEXT Ktap)
{
    SEH_TRACE Trace = {.Length = 0};

    __try {
        SehMark(&Trace, 'a');
    } __finally {
        SehMark(&Trace, AbnormalTermination() ? '!' : 'b');
    }
    __try {
        SehMark(&Trace, 'c');
        if (Trace.Length == 3) {
            __leave;
        }
        SehMark(&Trace, '!');
    } __finally {
        SehMark(&Trace, AbnormalTermination() ? '!' : 'd');
    }
    SEH_TRACE_CHECK(Trace, "abcd");
}

/* ---- Continuing ---- */

static LONG SehRepair(PEXCEPTION_POINTERS Pointers, PULONG Good)
{
    Pointers->ContextRecord->Rcx = (ULONG64)Good;
    return EXCEPTION_CONTINUE_EXECUTION;
}

static VOID SehContinueFault(PKTAP_CONTEXT Ktap)
{
    ULONG Good = 0x600D, Value = 0;
    ULONG *Address = SEH_BAD;

    __try {
        __asm__ volatile("movl (%%rcx), %0" : "=r"(Value), "+c"(Address)::"memory");
    } __except (SehRepair(GetExceptionInformation(), &Good)) {
        Value = 1;
    }
    KTAP_EQUAL(Value, 0x600D);
    KTAP_EQUAL(Address, &Good);
}

static DECLSPEC_NOINLINE VOID SehRaise(ULONG Flags)
{
    EXCEPTION_RECORD Record = {.ExceptionCode = SEH_CODE, .ExceptionFlags = Flags, .NumberParameters = 1};

    Record.ExceptionInformation[0] = 42;
    RtlRaiseException(&Record);
}

static VOID SehContinueRaise(PKTAP_CONTEXT Ktap)
{
    SEH_TRACE Trace = {.Length = 0};

    __try {
        SehMark(&Trace, 'a');
        SehRaise(0);
        SehMark(&Trace, 'c');
    } __except (SehMarkFilter(&Trace, 'b', EXCEPTION_CONTINUE_EXECUTION)) {
        SehMark(&Trace, '!');
    }
    SEH_TRACE_CHECK(Trace, "abc");
}

static VOID SehNoncontinuable(PKTAP_CONTEXT Ktap)
{
    SEH_TRACE Trace = {.Length = 0};
    ULONG Code = 0;

    __try {
        __try {
            SehRaise(EXCEPTION_NONCONTINUABLE);
        } __except (SehMarkFilter(&Trace, 'a',
                                  GetExceptionCode() == (ULONG)SEH_CODE ? EXCEPTION_CONTINUE_EXECUTION
                                                                        : EXCEPTION_CONTINUE_SEARCH)) {
            SehMark(&Trace, '!');
        }
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Code = (ULONG)GetExceptionCode();
        SehMark(&Trace, 'z');
    }
    KTAP_EQUAL(Code, (ULONG)STATUS_NONCONTINUABLE_EXCEPTION);
    SEH_TRACE_CHECK(Trace, "aaz"); /* the inner filter sees both exceptions */
}

/* ---- Handlers that fail themselves ---- */

static LONG SehKeepParameter(PEXCEPTION_POINTERS Pointers, ULONG Index, PULONG64 Value)
{
    *Value = Pointers->ExceptionRecord->ExceptionInformation[Index];
    return EXCEPTION_EXECUTE_HANDLER;
}

static LONG SehFaultingFilter(PSEH_TRACE Trace)
{
    SehMark(Trace, 'f');
    return (LONG) * (volatile ULONG *)SEH_BAD2;
}

static VOID SehExceptionInFilter(PKTAP_CONTEXT Ktap)
{
    SEH_TRACE Trace = {.Length = 0};
    ULONG64 Address = 0;

    __try {
        __try {
            (void)*(volatile ULONG *)SEH_BAD;
        } __except (Trace.Length == 0 ? SehFaultingFilter(&Trace) : SehMarkFilter(&Trace, 'g', 0)) {
            SehMark(&Trace, '!');
        }
    } __except (SehKeepParameter(GetExceptionInformation(), 1, &Address)) {
        SehMark(&Trace, 'h');
    }
    KTAP_EQUAL(Address, SEH_BAD2); /* the nested exception is what the outer handler accepts */
    SEH_TRACE_CHECK(Trace, "fgh");
}

static VOID SehExceptionInFilterHandled(PKTAP_CONTEXT Ktap)
{
    SEH_TRACE Trace = {.Length = 0};

    __try {
        (void)*(volatile ULONG *)SEH_BAD;
    } __except (SehLoad(SEH_BAD2) == 0xDEAD) {
        SehMark(&Trace, 'a');
    }
    SEH_TRACE_CHECK(Trace, "a");
}

static DECLSPEC_NOINLINE VOID SehFinallyThatFaults(PSEH_TRACE Trace)
{
    __try {
        __try {
            *(volatile ULONG *)SEH_BAD = 1;
        } __finally {
            SehMark(Trace, '1');
            *(volatile ULONG *)SEH_BAD2 = 1;
            SehMark(Trace, '!');
        }
    } __finally {
        SehMark(Trace, '2');
    }
}

static VOID SehExceptionInFinally(PKTAP_CONTEXT Ktap)
{
    SEH_TRACE Trace = {.Length = 0};
    ULONG64 Address = 0;

    __try {
        SehFinallyThatFaults(&Trace);
    } __except (SehKeepParameter(GetExceptionInformation(), 1, &Address)) {
        SehMark(&Trace, 'x');
    }
    SEH_TRACE_CHECK(Trace, "12x"); /* each termination handler once */
    KTAP_EQUAL(Address, SEH_BAD2);
}

static DECLSPEC_NOINLINE VOID SehHandledInFinally(PSEH_TRACE Trace)
{
    __try {
        *(volatile ULONG *)SEH_BAD = 1;
    } __finally {
        SehMark(Trace, '1');
        __try {
            *(volatile ULONG *)SEH_BAD2 = 1;
        } __except (EXCEPTION_EXECUTE_HANDLER) {
            SehMark(Trace, '2');
        }
        SehMark(Trace, '3');
    }
}

static VOID SehExceptionInFinallyHandled(PKTAP_CONTEXT Ktap)
{
    SEH_TRACE Trace = {.Length = 0};

    __try {
        SehHandledInFinally(&Trace);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        SehMark(&Trace, 'x');
    }
    SEH_TRACE_CHECK(Trace, "123x");
}

/* ---- Leaving a __try by other ways ---- */

static DECLSPEC_NOINLINE ULONG SehReturnOut(PSEH_TRACE Trace)
{
    __try {
        __try {
            SehMark(Trace, 'a');
            return 17;
        } __finally {
            SehMark(Trace, 'b');
        }
    } __finally {
        SehMark(Trace, 'c');
    }
    return 18;
}

static VOID SehReturn(PKTAP_CONTEXT Ktap)
{
    SEH_TRACE Trace = {.Length = 0};

    KTAP_EQUAL(SehReturnOut(&Trace), 17);
    SEH_TRACE_CHECK(Trace, "abc");
}

static VOID SehGoto(PKTAP_CONTEXT Ktap)
{
    SEH_TRACE Trace = {.Length = 0};

    for (ULONG Round = 0; Round < 3; Round++) {
        __try {
            if (Round == 0) {
                continue;
            }
            if (Round == 2) {
                goto Out;
            }
            SehMark(&Trace, 'a');
        } __finally {
            SehMark(&Trace, (CHAR)('0' + Round));
        }
    }
    SehMark(&Trace, '!');
Out:
    SEH_TRACE_CHECK(Trace, "0a12");
}

/* ---- Depth and repetition ---- */

static DECLSPEC_NOINLINE ULONG SehDeep(ULONG Depth)
{
    volatile ULONG Pad[4] = {Depth};

    if (Depth == 0) {
        SehRaise(0);
        return 0;
    }
    return SehDeep(Depth - 1) + Pad[0];
}

static VOID SehRaiseAtDepth(PKTAP_CONTEXT Ktap)
{
    ULONG64 Parameter = 0;

    __try {
        SehDeep(60);
    } __except (SehKeepParameter(GetExceptionInformation(), 0, &Parameter)) {
    }
    KTAP_EQUAL(Parameter, 42);
}

static VOID SehRepeated(PKTAP_CONTEXT Ktap)
{
    ULONG Caught = 0;

    for (ULONG Round = 0; Round < 2000; Round++) {
        Caught += SehLoad(SEH_BAD) == 0xDEAD ? 1 : 0;
    }
    KTAP_EQUAL(Caught, 2000);
}

/* Locals changed before the fault hold their value in the handler. */
static VOID SehLocals(PKTAP_CONTEXT Ktap)
{
    volatile ULONG Step = 0;
    ULONG64 A = 1, B = 2, C = 3, D = 4;

    __try {
        Step = 1;
        A = __readeflags() & 0;
        B += A;
        (void)*(volatile ULONG *)SEH_BAD;
        Step = 2;
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        C += B;
    }
    KTAP_EQUAL(Step, 1);
    KTAP_EQUAL(C + D, 9);
}

#if !NT_USER /* this file is a part of test/user/urtl too */
static VOID SehAtDispatchLevel(PKTAP_CONTEXT Ktap)
{
    KIRQL OldIrql;
    ULONG Code = 0;

    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    __try {
        SehRaise(0);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Code = (ULONG)GetExceptionCode();
    }
    KIRQL During = KeGetCurrentIrql();

    KeLowerIrql(OldIrql);
    KTAP_EQUAL(Code, (ULONG)SEH_CODE);
    KTAP_EQUAL(During, DISPATCH_LEVEL);
}
#endif

static const KTAP_CASE_ENTRY SehCases[] = {
    {"bare_load", SehBareLoad},
    {"bare_store", SehBareStore},
    {"copy", SehCopy},
    {"information", SehInformation},
    {"non_canonical", SehNonCanonical},
    {"nested", SehNested},
    {"across_frames", SehAcrossFrames},
    {"finally_order", SehFinallyOrder},
    {"finally_normal", SehFinallyNormal},
    {"continue_fault", SehContinueFault},
    {"continue_raise", SehContinueRaise},
    {"noncontinuable", SehNoncontinuable},
    {"exception_in_filter", SehExceptionInFilter},
    {"exception_in_filter_handled", SehExceptionInFilterHandled},
    {"exception_in_finally", SehExceptionInFinally},
    {"exception_in_finally_handled", SehExceptionInFinallyHandled},
    {"return_out", SehReturn},
    {"goto_out", SehGoto},
    {"raise_at_depth", SehRaiseAtDepth},
    {"repeated", SehRepeated},
    {"locals", SehLocals},
#if !NT_USER
    {"at_dispatch_level", SehAtDispatchLevel},
#endif
};

KTAP_SUITE(SehSuite, "rtl.seh", SehCases);
