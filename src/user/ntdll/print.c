/*
 * print.c - formatted text: DbgPrint, and sprintf; the bounded forms are src/rtl/format.c's own.
 *
 * DbgPrint's text goes to the standard output if the process has one, otherwise to the console by NtDisplayString, a line's worth at a time.
 * Formatting is src/rtl/format.c: no floating point.
 *
 * Locks: none; a piece of up to DISPLAY_BYTES characters comes out in one service call, longer ones may be mixed with others.
 */
#include "ntdllp.h"

#define DISPLAY_BYTES 512

/* FALSE: there is no standard output, or what the parameters name is none (the program may have closed it). */
static BOOLEAN RtlpPrintToOutput(const CHAR *Text, ULONG Length)
{
    PRTL_USER_PROCESS_PARAMETERS Parameters = LdrpPeb()->ProcessParameters;
    IO_STATUS_BLOCK Io;
    NTSTATUS Status;

    if (Parameters == NULL || Parameters->StandardOutput == NULL) {
        return FALSE;
    }
    Status = NtWriteFile(Parameters->StandardOutput, NULL, NULL, NULL, &Io, (PVOID)(ULONG_PTR)Text, Length, NULL, NULL);
    if (Status == STATUS_PENDING) {
        NtWaitForSingleObject(Parameters->StandardOutput, FALSE, NULL);
    }
    return Status != STATUS_INVALID_HANDLE && Status != STATUS_OBJECT_TYPE_MISMATCH && Status != STATUS_ACCESS_DENIED;
}

ULONG __cdecl vDbgPrintEx(ULONG ComponentId, ULONG Level, PCSTR Format, va_list Arguments)
{
    CHAR Narrow[DISPLAY_BYTES];
    WCHAR Wide[DISPLAY_BYTES];
    UNICODE_STRING String = {.Buffer = Wide};
    ULONG Length = RtlFormatStringV(Narrow, sizeof(Narrow), Format, Arguments), Bytes = 0;

    Length = min(Length, (ULONG)sizeof(Narrow) - 1);
    if (RtlpPrintToOutput(Narrow, Length)) {
        return STATUS_SUCCESS;
    }
    RtlUTF8ToUnicodeN(Wide, sizeof(Wide), &Bytes, Narrow, Length);
    String.Length = String.MaximumLength = (USHORT)Bytes;
    return (ULONG)NtDisplayString(&String);
}

ULONG __cdecl DbgPrint(PCSTR Format, ...)
{
    va_list Arguments;
    ULONG Status;

    va_start(Arguments, Format);
    Status = vDbgPrintEx(0, 0, Format, Arguments);
    va_end(Arguments);
    return Status;
}

int __cdecl sprintf(char *Buffer, const char *Format, ...)
{
    va_list Arguments;
    int Length;

    va_start(Arguments, Format);
    Length = _vsnprintf(Buffer, MAXLONG, Format, Arguments);
    va_end(Arguments);
    return Length;
}
