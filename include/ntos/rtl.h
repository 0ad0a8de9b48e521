/*
 * rtl.h - the run-time library, as the kernel sees it beyond the DDK: formatting, unwinding, exception dispatch.
 *
 * The DDK headers leave the x64 exception structures to user-mode headers that cannot follow ntifs.h, so they are
 * declared here. Source: Microsoft Learn, "x64 exception handling"; layouts carry C_ASSERTs.
 */
#pragma once

#include <stdarg.h>
#include <ntos/ntos.h>

/* ---- Formatting (src/rtl/format.c) ---- */

/* Receives formatted characters one by one; Context is the caller's. */
typedef VOID (*PRTL_FORMAT_SINK)(PVOID Context, CHAR Character);

/* Formats into a sink; returns the number of characters produced. IRQL: any (pageable arguments: < DISPATCH_LEVEL). */
ULONG RtlpFormat(PRTL_FORMAT_SINK Sink, PVOID Context, PCSTR Format, va_list Arguments);

/* The same, and Arguments goes on behind the last argument that was used. */
ULONG RtlpFormatNext(PRTL_FORMAT_SINK Sink, PVOID Context, PCSTR Format, va_list *Arguments);

/*
 * Formats into a buffer of Bytes bytes, always terminated when Bytes is not 0. Returns the length the whole text
 * has without its terminator: the text was cut if that is >= Bytes. IRQL: as RtlpFormat.
 */
ULONG RtlFormatStringV(PSTR Buffer, SIZE_T Bytes, PCSTR Format, va_list Arguments);
ULONG RtlFormatString(PSTR Buffer, SIZE_T Bytes, PCSTR Format, ...) __attribute__((format(printf, 3, 4)));

/* ---- Unwind data of x64 images ---- */

typedef struct _RUNTIME_FUNCTION {
    ULONG BeginAddress; /* all three relative to the image's base */
    ULONG EndAddress;
    ULONG UnwindData; /* bit 0: names another RUNTIME_FUNCTION instead */
} RUNTIME_FUNCTION, *PRUNTIME_FUNCTION;
C_ASSERT(sizeof(RUNTIME_FUNCTION) == 12);

typedef union _UNWIND_CODE {
    struct {
        UCHAR CodeOffset; /* of the end of the prologue instruction */
        UCHAR UnwindOp : 4;
        UCHAR OpInfo : 4;
    };
    USHORT FrameOffset;
} UNWIND_CODE;

typedef struct _UNWIND_INFO {
    UCHAR Version : 3;
    UCHAR Flags : 5;
    UCHAR SizeOfProlog;
    UCHAR CountOfCodes;
    UCHAR FrameRegister : 4;
    UCHAR FrameOffset : 4; /* times 16 */
    UNWIND_CODE UnwindCode[1];
} UNWIND_INFO, *PUNWIND_INFO;
C_ASSERT(FIELD_OFFSET(UNWIND_INFO, UnwindCode) == 4);

#define UNW_FLAG_NHANDLER  0x0
#define UNW_FLAG_EHANDLER  0x1
#define UNW_FLAG_UHANDLER  0x2
#define UNW_FLAG_CHAININFO 0x4

#define UWOP_PUSH_NONVOL     0
#define UWOP_ALLOC_LARGE     1
#define UWOP_ALLOC_SMALL     2
#define UWOP_SET_FPREG       3
#define UWOP_SAVE_NONVOL     4
#define UWOP_SAVE_NONVOL_FAR 5
#define UWOP_EPILOG          6 /* version 2 */
#define UWOP_SAVE_XMM128     8
#define UWOP_SAVE_XMM128_FAR 9
#define UWOP_PUSH_MACHFRAME  10

/* The cache of lookups that callers may pass; Oriel's lookup is a binary search and does not need it. */
typedef struct _UNWIND_HISTORY_TABLE UNWIND_HISTORY_TABLE, *PUNWIND_HISTORY_TABLE;

typedef struct _KNONVOLATILE_CONTEXT_POINTERS {
    PM128A FloatingContext[16];
    PULONG64 IntegerContext[16];
} KNONVOLATILE_CONTEXT_POINTERS, *PKNONVOLATILE_CONTEXT_POINTERS;

typedef struct _DISPATCHER_CONTEXT {
    ULONG64 ControlPc;
    ULONG64 ImageBase;
    PRUNTIME_FUNCTION FunctionEntry;
    ULONG64 EstablisherFrame;
    ULONG64 TargetIp;
    PCONTEXT ContextRecord;
    PEXCEPTION_ROUTINE LanguageHandler;
    PVOID HandlerData;
    PUNWIND_HISTORY_TABLE HistoryTable;
    ULONG ScopeIndex;
    ULONG Fill0;
} DISPATCHER_CONTEXT, *PDISPATCHER_CONTEXT;
C_ASSERT(FIELD_OFFSET(DISPATCHER_CONTEXT, LanguageHandler) == 0x30); /* exception.asm */

/* What __C_specific_handler finds as handler data. */
typedef struct _SCOPE_TABLE_AMD64 {
    ULONG Count;
    struct {
        ULONG BeginAddress;
        ULONG EndAddress;
        ULONG HandlerAddress; /* filter (1: always execute), or the __finally routine */
        ULONG JumpTarget;     /* the __except block; 0: a __finally */
    } ScopeRecord[1];
} SCOPE_TABLE_AMD64, *PSCOPE_TABLE_AMD64;

#ifndef EXCEPTION_UNWINDING
#define EXCEPTION_UNWINDING       0x02
#define EXCEPTION_EXIT_UNWIND     0x04
#define EXCEPTION_STACK_INVALID   0x08
#define EXCEPTION_NESTED_CALL     0x10
#define EXCEPTION_TARGET_UNWIND   0x20
#define EXCEPTION_COLLIDED_UNWIND 0x40
#define EXCEPTION_UNWIND          0x66
#endif

/* ---- Unwinding (src/rtl/unwind.c). IRQL: any. ---- */

PRUNTIME_FUNCTION NTAPI RtlLookupFunctionEntry(ULONG64 ControlPc, PULONG64 ImageBase,
                                               PUNWIND_HISTORY_TABLE HistoryTable);
/* TRUE: inside memcpy, RtlCopyMemory or one of their kind, which act for their caller. IRQL: any. */
BOOLEAN RtlIsMemoryRoutine(ULONG64 Address);
PEXCEPTION_ROUTINE NTAPI RtlVirtualUnwind(ULONG HandlerType, ULONG64 ImageBase, ULONG64 ControlPc,
                                          PRUNTIME_FUNCTION FunctionEntry, PCONTEXT ContextRecord, PVOID *HandlerData,
                                          PULONG64 EstablisherFrame, PKNONVOLATILE_CONTEXT_POINTERS ContextPointers);
/* One frame up, whether or not the function has unwind data; FALSE at the end of the stack or if it is damaged. */
BOOLEAN RtlpUnwindFrame(PCONTEXT Context);

/* ---- Exceptions (src/rtl/exception.c, exception.asm) ---- */

VOID NTAPI RtlCaptureContext(PCONTEXT ContextRecord);
/* Continues at a context of ring 0; never returns. */
DECLSPEC_NORETURN VOID NTAPI RtlRestoreContext(PCONTEXT ContextRecord, PEXCEPTION_RECORD ExceptionRecord);
/*
 * Offers an exception to the handlers on the stack; TRUE: continue at ContextRecord. RtlDispatchException does whatever else belongs to
 * it: nothing in the kernel (src/ke/exception.c), vectored handlers in ntdll (vectored.c). IRQL: any.
 */
BOOLEAN RtlpDispatchToFrames(PEXCEPTION_RECORD ExceptionRecord, PCONTEXT ContextRecord);
BOOLEAN NTAPI RtlDispatchException(PEXCEPTION_RECORD ExceptionRecord, PCONTEXT ContextRecord);
VOID NTAPI RtlUnwindEx(PVOID TargetFrame, PVOID TargetIp, PEXCEPTION_RECORD ExceptionRecord, PVOID ReturnValue,
                       PCONTEXT OriginalContext, PUNWIND_HISTORY_TABLE HistoryTable);
VOID NTAPI RtlUnwind(PVOID TargetFrame, PVOID TargetIp, PEXCEPTION_RECORD ExceptionRecord, PVOID ReturnValue);
/*
 * Nobody handles an exception that was raised by call: in the kernel bug check KMODE_EXCEPTION_NOT_HANDLED (src/ke/exception.c), in
 * a program its end (ntdll). Context may be NULL.
 */
DECLSPEC_NORETURN VOID RtlpUnhandledException(PEXCEPTION_RECORD ExceptionRecord, PCONTEXT Context);
VOID NTAPI RtlRaiseException(PEXCEPTION_RECORD ExceptionRecord);
DECLSPEC_NORETURN VOID NTAPI RtlRaiseStatus(NTSTATUS Status);
PVOID NTAPI RtlPcToFileHeader(PVOID PcValue, PVOID *BaseOfImage);

/* ---- Images (src/rtl/image.c, where the contracts are) ---- */

struct _IMAGE_NT_HEADERS64 *NTAPI RtlImageNtHeader(PVOID Base);
PVOID NTAPI RtlImageDirectoryEntryToData(PVOID Base, BOOLEAN MappedAsImage, USHORT Directory, PULONG Size);
PVOID RtlpFindExport(PVOID Base, PCSTR Name);

/* ---- Known to drivers, but not declared by the DDK's headers for our version (acl.c, strmore.c, misc.c) ---- */

BOOLEAN NTAPI RtlAreAllAccessesGranted(ACCESS_MASK GrantedAccess, ACCESS_MASK DesiredAccess);
BOOLEAN NTAPI RtlAreAnyAccessesGranted(ACCESS_MASK GrantedAccess, ACCESS_MASK DesiredAccess);
BOOLEAN NTAPI RtlpEqualLuid(PLUID Luid1, PLUID Luid2); /* exported as RtlEqualLuid, which is a macro */
VOID NTAPI RtlCopyLuidAndAttributesArray(ULONG Count, PLUID_AND_ATTRIBUTES Source, PLUID_AND_ATTRIBUTES Destination);
LONG NTAPI RtlCompareUnicodeStrings(PCWCH String1, SIZE_T String1Length, PCWCH String2, SIZE_T String2Length,
                                    BOOLEAN CaseInSensitive);
NTSTATUS NTAPI RtlUpcaseUnicodeStringToAnsiString(PANSI_STRING DestinationString, PCUNICODE_STRING SourceString,
                                                  BOOLEAN AllocateDestinationString);
NTSTATUS NTAPI RtlAppendAsciizToString(PSTRING Destination, PCSZ Source);
BOOLEAN NTAPI RtlPrefixString(const STRING *String1, const STRING *String2, BOOLEAN CaseInSensitive);
WCHAR NTAPI RtlAnsiCharToUnicodeChar(PUCHAR *SourceCharacter);
NTSTATUS NTAPI RtlIntegerToChar(ULONG Value, ULONG Base, LONG Length, PCHAR String);
ULONG NTAPI RtlComputeCrc32(ULONG PartialCrc, const VOID *Buffer, ULONG Length);
VOID NTAPI RtlpGetCallersAddress(PVOID *CallersAddress, PVOID *CallersCaller);
VOID NTAPI RtlTimeToElapsedTimeFields(PLARGE_INTEGER Time, PTIME_FIELDS TimeFields);
NTSTATUS NTAPI RtlSystemTimeToLocalTime(PLARGE_INTEGER SystemTime, PLARGE_INTEGER LocalTime);
NTSTATUS NTAPI RtlLocalTimeToSystemTime(PLARGE_INTEGER LocalTime, PLARGE_INTEGER SystemTime);
VOID NTAPI RtlGetDefaultCodePage(PUSHORT AnsiCodePage, PUSHORT OemCodePage);
NTSTATUS NTAPI RtlFindClosestEncodableLength(ULONGLONG SourceLength, PULONGLONG TargetLength);
/* Exported as qsort. In place, by heap sort: no recursion, no worst case. */
typedef int (*PRTLP_COMPARE)(const VOID *, const VOID *);
VOID RtlpQSort(PVOID Base, SIZE_T Count, SIZE_T Width, PRTLP_COMPARE Compare);
