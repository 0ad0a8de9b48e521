/*
 * print.c - formatted text: DbgPrint, and sprintf; the bounded forms are src/rtl/format.c's own.
 *
 * DbgPrint's text goes to the console by NtDisplayString, a line's worth at a time. Formatting is src/rtl/format.c: no floating point.
 *
 * Locks: none; a piece of up to DISPLAY_BYTES characters comes out in one service call, longer ones may be mixed with others.
 */
#include "ntdllp.h"

#define DISPLAY_BYTES 512

ULONG __cdecl vDbgPrintEx(ULONG ComponentId, ULONG Level, PCSTR Format, va_list Arguments)
{
    CHAR Narrow[DISPLAY_BYTES];
    WCHAR Wide[DISPLAY_BYTES];
    UNICODE_STRING String = {.Buffer = Wide};
    ULONG Length = RtlFormatStringV(Narrow, sizeof(Narrow), Format, Arguments), Bytes = 0;

    RtlUTF8ToUnicodeN(Wide, sizeof(Wide), &Bytes, Narrow, min(Length, (ULONG)sizeof(Narrow) - 1));
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
