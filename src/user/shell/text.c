/*
 * text.c - strings, memory and output of the shell.
 *
 * Output goes to Sh.Out and Sh.Err, which redirections change. A write that fails marks the output as broken: who writes much looks at that. Strings are
 * compared without regard to case for ASCII letters only, as command names are ASCII.
 */
#include "shell.h"

#define PRINT_BYTES 1024

ULONG ShLength(PCSTR Text)
{
    ULONG Length = 0;

    while (Text[Length] != 0) {
        Length++;
    }
    return Length;
}

CHAR ShLower(CHAR Character)
{
    return Character >= 'A' && Character <= 'Z' ? (CHAR)(Character - 'A' + 'a') : Character;
}

BOOLEAN ShSame(PCSTR First, PCSTR Second)
{
    while (*First != 0 && ShLower(*First) == ShLower(*Second)) {
        First++;
        Second++;
    }
    return *First == 0 && *Second == 0;
}

BOOLEAN ShBeginsWith(PCSTR Text, PCSTR Prefix)
{
    while (*Prefix != 0 && ShLower(*Text) == ShLower(*Prefix)) {
        Text++;
        Prefix++;
    }
    return *Prefix == 0;
}

BOOLEAN ShIsBlank(CHAR Character)
{
    return Character == ' ' || Character == '\t';
}

PCSTR ShSkipBlanks(PCSTR Text)
{
    while (ShIsBlank(*Text)) {
        Text++;
    }
    return Text;
}

BOOLEAN ShNumber(PCSTR Text, PULONG64 Number)
{
    ULONG Base = ShBeginsWith(Text, "0x") ? 16 : 10;

    *Number = 0;
    Text += Base == 16 ? 2 : 0;
    if (*Text == 0) {
        return FALSE;
    }
    for (; *Text != 0; Text++) {
        CHAR Digit = ShLower(*Text);
        ULONG Value = Digit >= '0' && Digit <= '9'   ? (ULONG)(Digit - '0')
                      : Digit >= 'a' && Digit <= 'f' ? (ULONG)(Digit - 'a' + 10)
                                                     : 16;

        if (Value >= Base) {
            return FALSE;
        }
        *Number = *Number * Base + Value;
    }
    return TRUE;
}

ULONG ShCopy(PSTR To, ULONG Bytes, PCSTR From)
{
    ULONG Length = 0;

    for (; From[Length] != 0 && Length < Bytes - 1; Length++) {
        To[Length] = From[Length];
    }
    To[Length] = 0;
    return Length;
}

PVOID ShAllocate(SIZE_T Bytes)
{
    PVOID Block = RtlAllocateHeap(RtlGetCurrentPeb()->ProcessHeap, 0, Bytes);

    if (Block == NULL) {
        DbgPrint("shell: out of memory\n");
        RtlExitUserProcess(STATUS_NO_MEMORY);
    }
    memset(Block, 0, Bytes);
    return Block;
}

VOID ShFree(PVOID Block)
{
    if (Block != NULL) {
        RtlFreeHeap(RtlGetCurrentPeb()->ProcessHeap, 0, Block);
    }
}

/* ---- Output ---- */

BOOLEAN ShWrite(HANDLE File, const VOID *Data, ULONG Bytes)
{
    IO_STATUS_BLOCK Io;

    return NT_SUCCESS(NtWriteFile(File, NULL, NULL, NULL, &Io, (PVOID)(ULONG_PTR)Data, Bytes, NULL, NULL));
}

/* Formats and writes; what is longer than PRINT_BYTES is cut. FALSE: it could not be written. */
static BOOLEAN WriteFormatted(HANDLE File, PCSTR Format, va_list Arguments)
{
    static CHAR Text[PRINT_BYTES];
    int Length = _vsnprintf(Text, sizeof(Text), Format, Arguments);

    return ShWrite(File, Text, Length < 0 || Length > (int)sizeof(Text) ? sizeof(Text) : (ULONG)Length);
}

VOID ShPrint(PCSTR Format, ...)
{
    va_list Arguments;

    if (Sh.Broken) {
        return;
    }
    va_start(Arguments, Format);
    Sh.Broken = !WriteFormatted(Sh.Out, Format, Arguments);
    va_end(Arguments);
}

VOID ShError(PCSTR Format, ...)
{
    va_list Arguments;

    va_start(Arguments, Format);
    WriteFormatted(Sh.Err, Format, Arguments);
    va_end(Arguments);
    Sh.ErrorLevel = 1;
}

VOID ShErrorStatus(PCSTR Command, PCSTR What, NTSTATUS Status)
{
    ShError("%s: %s: %s (0x%08lX)\n", Command, What, ConpStatusName(Status), (ULONG)Status);
}

/* ---- UTF-16 ---- */

BOOLEAN ShToWide(PCSTR Text, PUNICODE_STRING Wide)
{
    ULONG Length = ShLength(Text), Bytes = 0;
    ULONG Room = Length * (ULONG)sizeof(WCHAR);

    Wide->Buffer = ShAllocate((SIZE_T)Room + sizeof(WCHAR));
    Wide->Length = 0;
    Wide->MaximumLength = (USHORT)(Room + sizeof(WCHAR));
    if (Length != 0 && RtlUTF8ToUnicodeN(Wide->Buffer, Room, &Bytes, Text, Length) != STATUS_SUCCESS) {
        ShFree(Wide->Buffer);
        Wide->Buffer = NULL;
        return FALSE;
    }
    Wide->Length = (USHORT)Bytes;
    return TRUE;
}

VOID ShToNarrow(const WCHAR *Text, ULONG Characters, PSTR Buffer, ULONG Bytes)
{
    ULONG Used = 0;

    RtlUnicodeToUTF8N(Buffer, Bytes - 1, &Used, Text, Characters * (ULONG)sizeof(WCHAR));
    Buffer[Used] = 0;
}

BOOLEAN ShCtrlC(VOID)
{
    LARGE_INTEGER Now = {.QuadPart = 0};

    if (Sh.CtrlEvent != NULL && NtWaitForSingleObject(Sh.CtrlEvent, FALSE, &Now) == STATUS_WAIT_0) {
        Sh.Interrupted = TRUE;
    }
    return Sh.Interrupted;
}
