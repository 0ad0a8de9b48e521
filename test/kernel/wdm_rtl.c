/*
 * wdm_rtl.c - routines of the run-time library that drivers call and that no other suite has a reason to.
 *
 * Strings of bytes and between the widths, the rarer routines of AVL tables, running once, checksums, callers' addresses, unwinding by
 * hand. Each is compared with what its documentation promises, at the ends of its buffers too.
 */
#include <stdarg.h>
#include <ntos/rtl.h>

#include "ketest.h"

#define TAG 'lRdW'

static UNICODE_STRING Wide(PCWSTR Text)
{
    UNICODE_STRING String;

    RtlInitUnicodeString(&String, Text);
    return String;
}

static STRING Narrow(PCSTR Text)
{
    STRING String;

    RtlInitString(&String, Text);
    return String;
}

static BOOLEAN Same(STRING A, PCSTR Text)
{
    STRING B = Narrow(Text);

    return RtlEqualString(&A, &B, FALSE);
}

static BOOLEAN WSame(UNICODE_STRING A, PCWSTR Text)
{
    UNICODE_STRING B = Wide(Text);

    return RtlEqualUnicodeString(&A, &B, FALSE);
}

static VOID RtlBytes(PKTAP_CONTEXT Ktap)
{
    CHAR Room[8];
    STRING Out = {0, sizeof(Room), Room}, A = Narrow("Abc"), B = Narrow("abC"), C = Narrow("abd"), E;

    RtlInitString(&E, NULL);
    KTAP_EQUAL(E.Length + E.MaximumLength, 0);
    KTAP_CHECK(RtlEqualString(&A, &B, TRUE) && !RtlEqualString(&A, &B, FALSE));
    KTAP_CHECK(RtlCompareString(&A, &C, TRUE) < 0 && RtlCompareString(&C, &A, TRUE) > 0 &&
               !RtlCompareString(&A, &A, FALSE));
    RtlCopyString(&Out, &A);
    KTAP_CHECK(Same(Out, "Abc"));
    RtlUpperString(&Out, &C);
    KTAP_CHECK(Same(Out, "ABD"));
    KTAP_EQUAL(RtlUpperChar('\xE9'), '\xC9');
    KTAP_EQUAL(RtlUpperChar('q'), 'Q');
    KTAP_EQUAL(RtlAppendStringToString(&Out, &A), STATUS_SUCCESS);
    KTAP_EQUAL(RtlAppendStringToString(&Out, &A), STATUS_BUFFER_TOO_SMALL);
    KTAP_EQUAL(RtlAppendAsciizToString(&Out, "xy"), STATUS_SUCCESS);
    KTAP_EQUAL(RtlAppendAsciizToString(&Out, "z"), STATUS_BUFFER_TOO_SMALL);
    KTAP_CHECK(Same(Out, "ABDAbcxy"));
    KTAP_CHECK(RtlPrefixString(&B, &Out, TRUE) == FALSE && RtlPrefixString(&C, &Out, TRUE) &&
               !RtlPrefixString(&C, &Out, FALSE));
    KTAP_EQUAL(RtlInitAnsiStringEx(&E, "four"), STATUS_SUCCESS);
    KTAP_CHECK(E.Length == 4 && E.MaximumLength == 5);
}

static VOID RtlConvert(PKTAP_CONTEXT Ktap)
{
    WCHAR WideRoom[8];
    CHAR Room[8];
    UNICODE_STRING Source = Wide(L"caf\x00E9"), Out, Lower;
    STRING Bytes, Short = {0, 4, Room};
    ULONG Used;

    KTAP_EQUAL(RtlMultiByteToUnicodeN(WideRoom, sizeof(WideRoom), &Used, "\xE9z", 2), STATUS_SUCCESS);
    KTAP_CHECK(Used == 4 && WideRoom[0] == 0xE9);
    KTAP_EQUAL(RtlOemToUnicodeN(WideRoom, 2, &Used, "\xE9z", 2), STATUS_SUCCESS);
    KTAP_EQUAL(Used, 2); /* as much as fits */
    KTAP_EQUAL(RtlMultiByteToUnicodeSize(&Used, "abc", 3), STATUS_SUCCESS);
    KTAP_EQUAL(Used, 6);
    KTAP_EQUAL(RtlUnicodeToMultiByteN(Room, sizeof(Room), &Used, L"\xE9\x20AC", 4), STATUS_SUCCESS);
    KTAP_CHECK(Used == 2 && Room[1] == '?');
    KTAP_EQUAL(RtlUnicodeToOemN(Room, sizeof(Room), &Used, L"ab", 4), STATUS_SUCCESS);
    KTAP_EQUAL(Used, 2);
    KTAP_EQUAL(RtlUnicodeToMultiByteSize(&Used, L"abc", 6), STATUS_SUCCESS);
    KTAP_EQUAL(Used, 3);
    KTAP_EQUAL(RtlUpcaseUnicodeToMultiByteN(Room, 3, &Used, L"caf\xE9", 8), STATUS_SUCCESS);
    KTAP_CHECK(Used == 3 && Room[2] == 'F');
    KTAP_EQUAL(RtlUpcaseUnicodeToOemN(Room, sizeof(Room), &Used, L"\xE9", 2), STATUS_SUCCESS);
    KTAP_EQUAL((UCHAR)Room[0], 0xC9);

    KTAP_EQUAL(RtlUnicodeStringToOemString(&Bytes, &Source, TRUE), STATUS_SUCCESS);
    KTAP_EQUAL(RtlOemStringToUnicodeString(&Out, &Bytes, TRUE), STATUS_SUCCESS);
    KTAP_CHECK(WSame(Out, L"caf\x00E9") && Out.Buffer[4] == 0);
    KTAP_EQUAL(RtlxOemStringToUnicodeSize(&Bytes), 10);
    KTAP_EQUAL(RtlxAnsiStringToUnicodeSize(&Bytes), 10);
    KTAP_EQUAL(RtlxUnicodeStringToOemSize(&Out), 5);
    KTAP_EQUAL(RtlxUnicodeStringToAnsiSize(&Out), 5);
    RtlFreeUnicodeString(&Out);
    RtlFreeOemString(&Bytes);
    KTAP_EQUAL(RtlUpcaseUnicodeStringToOemString(&Bytes, &Source, TRUE), STATUS_SUCCESS);
    KTAP_CHECK(Same(Bytes, "CAF\xC9") && Bytes.MaximumLength == 5);
    KTAP_EQUAL(RtlOemStringToCountedUnicodeString(&Out, &Bytes, TRUE), STATUS_SUCCESS);
    KTAP_CHECK(WSame(Out, L"CAF\x00C9") && Out.MaximumLength == 8);
    KTAP_EQUAL(RtlDowncaseUnicodeString(&Lower, &Out, TRUE), STATUS_SUCCESS);
    KTAP_CHECK(WSame(Lower, L"caf\x00E9"));
    RtlFreeUnicodeString(&Lower);
    RtlFreeUnicodeString(&Out);
    RtlFreeOemString(&Bytes);
    KTAP_EQUAL(RtlUpcaseUnicodeStringToAnsiString(&Short, &Source, FALSE),
               STATUS_BUFFER_OVERFLOW); /* no room for the NUL */
    KTAP_EQUAL(RtlUpcaseUnicodeStringToCountedOemString(&Short, &Source, FALSE), STATUS_SUCCESS);
    KTAP_CHECK(Same(Short, "CAF\xC9"));
    KTAP_EQUAL(RtlUnicodeStringToCountedOemString(&Short, &Source, FALSE), STATUS_SUCCESS);
    KTAP_CHECK(Same(Short, "caf\xE9"));
}

static VOID RtlWideMore(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Copy, Empty = {0, 0, NULL}, Odd = {3, 4, (PWSTR)L"ab"}, Source = Wide(L"text");
    PUCHAR Next = (PUCHAR) "\xE9z";
    WCHAR Euro = 0x20AC, Letter = L'e';

    KTAP_CHECK(RtlCreateUnicodeString(&Copy, L"abc") && WSame(Copy, L"abc"));
    RtlFreeUnicodeString(&Copy);
    KTAP_EQUAL(RtlDuplicateUnicodeString(RTL_DUPLICATE_UNICODE_STRING_NULL_TERMINATE, &Source, &Copy), STATUS_SUCCESS);
    KTAP_CHECK(WSame(Copy, L"text") && Copy.Buffer[4] == 0 && Copy.Buffer != Source.Buffer);
    RtlFreeUnicodeString(&Copy);
    KTAP_EQUAL(RtlDuplicateUnicodeString(0, &Empty, &Copy), STATUS_SUCCESS);
    KTAP_CHECK(Copy.Buffer == NULL);
    KTAP_EQUAL(RtlValidateUnicodeString(0, &Source), STATUS_SUCCESS);
    KTAP_EQUAL(RtlValidateUnicodeString(0, &Odd), STATUS_INVALID_PARAMETER);
    KTAP_CHECK(RtlCompareUnicodeStrings(L"abX", 3, L"ABx", 3, TRUE) == 0 &&
               RtlCompareUnicodeStrings(L"ab", 2, L"abc", 3, FALSE) < 0);
    KTAP_CHECK(RtlCompareUnicodeStrings(L"b", 1, L"ab", 2, FALSE) > 0);
    KTAP_EQUAL(RtlAnsiCharToUnicodeChar(&Next), 0xE9);
    KTAP_EQUAL(*Next, 'z');
    KTAP_CHECK(!RtlIsValidOemCharacter(&Euro) && RtlIsValidOemCharacter(&Letter) && Letter == L'E');
}

static VOID RtlNames(PKTAP_CONTEXT Ktap)
{
    static const PCWSTR Legal[] = {L"a", L"readme.txt", L"12345678.123", L".", L"..", L"a b.c", L"x~1"};
    static const PCWSTR Illegal[] = {L"",   L"123456789", L"a.1234", L".a",  L"a.b.c",
                                     L"a.", L"a+b",       L"a .b",   L"...", L"a\x20AC"};
    CHAR Room[12];
    STRING Oem = {0, sizeof(Room), Room};
    UNICODE_STRING Name;
    BOOLEAN Spaces;

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Legal); Index++) {
        Name = Wide(Legal[Index]);
        KTAP_CHECK(RtlIsNameLegalDOS8Dot3(&Name, NULL, NULL));
    }
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Illegal); Index++) {
        Name = Wide(Illegal[Index]);
        KTAP_CHECK(!RtlIsNameLegalDOS8Dot3(&Name, NULL, NULL));
    }
    Name = Wide(L"a b.txt");
    KTAP_CHECK(RtlIsNameLegalDOS8Dot3(&Name, &Oem, &Spaces) && Spaces && Same(Oem, "A B.TXT"));
}

static VOID RtlNumbers(PKTAP_CONTEXT Ktap)
{
    CHAR Text[8] = "zzzzzzz";
    LARGE_INTEGER Time = {.QuadPart = ((2 * 24 + 3) * 3600 + 4 * 60 + 5) * 10000000LL + 6 * 10000}, Local, Back;
    TIME_FIELDS Fields;
    ULONGLONG Length;
    USHORT Ansi, Oem;
    GENERIC_MAPPING Mapping = {1, 2, 4, 8};
    ACCESS_MASK Mask = GENERIC_READ | GENERIC_EXECUTE | DELETE;
    ULONG Pattern[3] = {7, 7, 8};
    UCHAR From[40], To[40];
    VOID(NTAPI * CopyNonTemporal)(PVOID, const VOID *, SIZE_T) = KTAP_IMPORT(PVOID, RtlCopyMemoryNonTemporal);

    KTAP_EQUAL(RtlIntegerToChar(255, 16, 8, Text), STATUS_SUCCESS);
    KTAP_CHECK(Text[0] == 'F' && Text[2] == 0);
    KTAP_EQUAL(RtlIntegerToChar(5, 2, -6, Text), STATUS_SUCCESS);
    KTAP_CHECK(Text[0] == '0' && Text[3] == '1' && Text[5] == '1' && Text[6] == 'z');
    KTAP_EQUAL(RtlIntegerToChar(1000, 10, 3, Text), STATUS_BUFFER_OVERFLOW);
    KTAP_EQUAL(RtlIntegerToChar(1, 7, 3, Text), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(RtlComputeCrc32(0, "123456789", 9), 0xCBF43926); /* the check value of this CRC */
    KTAP_EQUAL(RtlComputeCrc32(RtlComputeCrc32(0, "1234", 4), "56789", 5), 0xCBF43926);
    KTAP_EQUAL(RtlCompareMemoryUlong(Pattern, sizeof(Pattern), 7), 8);
    RtlPrefetchMemoryNonTemporal(Pattern, sizeof(Pattern)); /* changes nothing, and faults nowhere: */
    RtlPrefetchMemoryNonTemporal((PVOID)8, 4096);
    KTAP_EQUAL(RtlCompareMemoryUlong(Pattern, sizeof(Pattern), 7), 8);
    for (ULONG Index = 0; Index < sizeof(From); Index++) {
        From[Index] = (UCHAR)(Index + 1);
        To[Index] = 0;
    }
    CopyNonTemporal(To + 3, From + 1, 30);
    KTAP_CHECK(To[2] == 0 && To[33] == 0 && RtlCompareMemory(To + 3, From + 1, 30) == 30);
    RtlTimeToElapsedTimeFields(&Time, &Fields);
    KTAP_CHECK(Fields.Day == 2 && Fields.Hour == 3 && Fields.Minute == 4 && Fields.Second == 5 &&
               Fields.Milliseconds == 6);
    KTAP_EQUAL(RtlSystemTimeToLocalTime(&Time, &Local), STATUS_SUCCESS);
    KTAP_EQUAL(RtlLocalTimeToSystemTime(&Local, &Back), STATUS_SUCCESS);
    KTAP_EQUAL(Back.QuadPart, Time.QuadPart);
    KTAP_EQUAL(RtlFindClosestEncodableLength(0xFFFFFFFFULL, &Length), STATUS_SUCCESS);
    KTAP_EQUAL(Length, 0xFFFFFFFFULL);
    KTAP_EQUAL(RtlFindClosestEncodableLength(0x100000001ULL, &Length), STATUS_SUCCESS);
    KTAP_EQUAL(Length, 0x100000100ULL);
    KTAP_EQUAL(RtlFindClosestEncodableLength(~0ULL, &Length), STATUS_INVALID_PARAMETER);
    RtlGetDefaultCodePage(&Ansi, &Oem);
    KTAP_EQUAL(Ansi, Oem);
    KTAP_EQUAL(*KTAP_IMPORT(PBOOLEAN, NlsMbCodePageTag), FALSE); /* a byte is a character in both */
    KTAP_EQUAL(*KTAP_IMPORT(PBOOLEAN, NlsMbOemCodePageTag), FALSE);
    RtlMapGenericMask(&Mask, &Mapping);
    KTAP_EQUAL(Mask, DELETE | 1 | 4);
    KTAP_EQUAL(RtlNumberOfSetBitsUlongPtr(0xF00000000000000FULL), 8);
}

/* ---- AVL ---- */

static RTL_GENERIC_COMPARE_RESULTS NTAPI AvlCompare(PRTL_AVL_TABLE Table, PVOID First, PVOID Second)
{
    ULONG A = *(PULONG)First / 10, B = *(PULONG)Second / 10; /* tens only: elements of one ten match */

    return (A < B) ? GenericLessThan : (A > B) ? GenericGreaterThan : GenericEqual;
}

static PVOID NTAPI AvlAllocate(PRTL_AVL_TABLE Table, CLONG Bytes)
{
    return ExAllocatePoolWithTag(PagedPool, Bytes, TAG);
}

static VOID NTAPI AvlFree(PRTL_AVL_TABLE Table, PVOID Buffer)
{
    ExFreePoolWithTag(Buffer, TAG);
}

static NTSTATUS NTAPI AvlOdd(PRTL_AVL_TABLE Table, PVOID UserData, PVOID MatchData)
{
    return (*(PULONG)UserData / 10 % 2 != 0) ? STATUS_SUCCESS : STATUS_NO_MATCH;
}

static VOID RtlAvlMore(PKTAP_CONTEXT Ktap)
{
    RTL_AVL_TABLE Table;
    TABLE_SEARCH_RESULT Result;
    PVOID Node, Restart = NULL;
    ULONG Key, DeleteCount = 0;
    PULONG Element;
    BOOLEAN New;

    RtlInitializeGenericTableAvl(&Table, AvlCompare, AvlAllocate, AvlFree, NULL);
    for (Key = 0; Key < 80; Key += 10) {
        KTAP_CHECK(RtlLookupElementGenericTableFullAvl(&Table, &Key, &Node, &Result) == NULL);
        Element = RtlInsertElementGenericTableFullAvl(&Table, &Key, sizeof(Key), &New, Node, Result);
        KTAP_CHECK(New && *Element == Key);
        KTAP_CHECK(RtlLookupElementGenericTableFullAvl(&Table, &Key, &Node, &Result) == Element &&
                   Result == TableFoundNode);
    }
    Key = 33;
    Element = RtlLookupFirstMatchingElementGenericTableAvl(&Table, &Key, &Restart);
    KTAP_CHECK(Element != NULL && *Element == 30);
    Restart = NULL;
    Key = 0;
    for (ULONG Expected = 10; Expected < 80; Expected += 20) {
        Element =
            RtlEnumerateGenericTableLikeADirectory(&Table, AvlOdd, NULL, Expected != 10, &Restart, &DeleteCount, &Key);
        KTAP_CHECK(Element != NULL && *Element == Expected);
        Key = Expected;
    }
    KTAP_CHECK(RtlEnumerateGenericTableLikeADirectory(&Table, AvlOdd, NULL, TRUE, &Restart, &DeleteCount, &Key) ==
               NULL);
    for (Key = 0; Key < 80; Key += 10) {
        KTAP_CHECK(RtlDeleteElementGenericTableAvl(&Table, &Key));
    }
}

/* ---- Once ---- */

static RTL_RUN_ONCE Once;
static volatile LONG OnceRuns, OnceLeft, OnceWrong;
static KEVENT OnceDone;
static ULONG OnceTarget;

static ULONG NTAPI OnceInit(PRTL_RUN_ONCE RunOnce, PVOID Parameter, PVOID *Context)
{
    TestSleep(TEST_SECOND / 100); /* the others come meanwhile */
    *Context = Parameter;
    return InterlockedIncrement(&OnceRuns) != 1; /* the first attempt fails */
}

static VOID NTAPI OnceThread(PVOID Parameter)
{
    PVOID Context = NULL;
    NTSTATUS Status;

    do {
        Status = RtlRunOnceExecuteOnce(&Once, OnceInit, Parameter, &Context);
    } while (Status == STATUS_UNSUCCESSFUL);
    if (Status != STATUS_SUCCESS || Context != &OnceTarget) {
        InterlockedIncrement(&OnceWrong);
    }
    if (InterlockedDecrement(&OnceLeft) == 0) {
        KeSetEvent(&OnceDone, IO_NO_INCREMENT, FALSE);
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static VOID RtlOnce(PKTAP_CONTEXT Ktap)
{
    PVOID Context = NULL;

    RtlRunOnceInitialize(&Once);
    KTAP_EQUAL(RtlRunOnceBeginInitialize(&Once, RTL_RUN_ONCE_CHECK_ONLY, &Context), STATUS_UNSUCCESSFUL);
    KTAP_EQUAL(RtlRunOnceComplete(&Once, 0, NULL), STATUS_UNSUCCESSFUL);
    KTAP_EQUAL(RtlRunOnceBeginInitialize(&Once, 8, &Context), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(RtlRunOnceBeginInitialize(&Once, RTL_RUN_ONCE_ASYNC, &Context), STATUS_PENDING);
    KTAP_EQUAL(RtlRunOnceBeginInitialize(&Once, RTL_RUN_ONCE_ASYNC, &Context), STATUS_PENDING);
    KTAP_EQUAL(RtlRunOnceBeginInitialize(&Once, 0, &Context), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(RtlRunOnceComplete(&Once, RTL_RUN_ONCE_ASYNC, (PVOID)2), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(RtlRunOnceComplete(&Once, RTL_RUN_ONCE_ASYNC, &OnceTarget), STATUS_SUCCESS);
    KTAP_EQUAL(RtlRunOnceComplete(&Once, RTL_RUN_ONCE_ASYNC, &Once), STATUS_OBJECT_NAME_COLLISION);
    KTAP_EQUAL(RtlRunOnceBeginInitialize(&Once, RTL_RUN_ONCE_CHECK_ONLY, &Context), STATUS_SUCCESS);
    KTAP_CHECK(Context == &OnceTarget);

    RtlRunOnceInitialize(&Once);
    KeInitializeEvent(&OnceDone, NotificationEvent, FALSE);
    OnceRuns = OnceWrong = 0;
    OnceLeft = 6;
    for (ULONG Index = 0; Index < 6; Index++) {
        KTAP_CHECK(TestThread(OnceThread, &OnceTarget, 8));
    }
    KTAP_EQUAL(TestWait(&OnceDone), STATUS_SUCCESS);
    KTAP_EQUAL(OnceWrong, 0);
    KTAP_EQUAL(OnceRuns, 2); /* one failure, one success */
}

/* ---- Stacks and output ---- */

static PVOID InnerCaller, InnerCallersCaller;

static DECLSPEC_NOINLINE VOID Inner(VOID)
{
    VOID(NTAPI * GetCallers)(PVOID *, PVOID *) = KTAP_IMPORT(PVOID, RtlGetCallersAddress);

    GetCallers(&InnerCaller, &InnerCallersCaller);
    KeGetCurrentIrql(); /* no tail call */
}

static DECLSPEC_NOINLINE PVOID Outer(VOID)
{
    Inner();
    return _ReturnAddress();
}

static VOID RtlStacks(PKTAP_CONTEXT Ktap)
{
    PVOID Callers[8] = {NULL}, Return = Outer(), Base, Frame;
    CONTEXT Context;
    ULONG64 ImageBase, Establisher;
    PRUNTIME_FUNCTION Function;
    PVOID HandlerData;

    KTAP_CHECK(InnerCaller >= (PVOID)Outer && InnerCaller < (PVOID)((PUCHAR)Outer + 0x200));
    KTAP_CHECK(InnerCallersCaller == Return);
    KTAP_CHECK(RtlWalkFrameChain(Callers, RTL_NUMBER_OF(Callers), 0) >= 2);
    KTAP_CHECK(RtlPcToFileHeader(Callers[0], &Base) != NULL);
    KTAP_EQUAL(RtlWalkFrameChain(Callers, RTL_NUMBER_OF(Callers), 1), 0);

    RtlCaptureContext(&Context); /* and one frame up by hand: into the runner of cases */
    Function = RtlLookupFunctionEntry(Context.Rip, &ImageBase, NULL);
    KTAP_CHECK(Function != NULL && ImageBase == (ULONG64)Base);
    Frame = (PVOID)Context.Rsp;
    RtlVirtualUnwind(UNW_FLAG_NHANDLER, ImageBase, Context.Rip, Function, &Context, &HandlerData, &Establisher, NULL);
    KTAP_CHECK((PVOID)Context.Rsp > Frame);
    KTAP_CHECK(Context.Rip == (ULONG64)_ReturnAddress());
}

static ULONG PrintVary(PCSTR Prefix, PCSTR Format, ...)
{
    va_list Arguments;
    ULONG Status;

    va_start(Arguments, Format);
    Status = (Prefix == NULL) ? vDbgPrintEx(DPFLTR_DEFAULT_ID, DPFLTR_ERROR_LEVEL, Format, Arguments)
                              : vDbgPrintExWithPrefix(Prefix, DPFLTR_DEFAULT_ID, DPFLTR_ERROR_LEVEL, Format, Arguments);
    va_end(Arguments);
    return Status;
}

static VOID RtlPrinting(PKTAP_CONTEXT Ktap)
{
    KTAP_EQUAL(DbgPrint("# %s\n", "from DbgPrint"), STATUS_SUCCESS);
    KTAP_EQUAL(DbgPrintReturnControlC("# %s\n", "from DbgPrintReturnControlC"), STATUS_SUCCESS);
    KTAP_EQUAL(DbgPrintEx(DPFLTR_DEFAULT_ID, DPFLTR_ERROR_LEVEL, "# %s\n", "from DbgPrintEx"), STATUS_SUCCESS);
    KTAP_EQUAL(PrintVary(NULL, "# %d\n", 42), STATUS_SUCCESS);
    KTAP_EQUAL(PrintVary("# prefix ", "%d\n", 43), STATUS_SUCCESS);
}

static const KTAP_CASE_ENTRY WdmRtlCases[] = {
    {"bytes", RtlBytes}, {"convert", RtlConvert}, {"wide", RtlWideMore},
    {"names", RtlNames}, {"numbers", RtlNumbers}, {"avl", RtlAvlMore},
    {"once", RtlOnce},   {"stacks", RtlStacks},   {"print", RtlPrinting},
};

KTAP_SUITE(WdmRtlSuite, "wdm.rtl", WdmRtlCases);
