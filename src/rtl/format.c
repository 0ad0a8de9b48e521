/*
 * format.c - printf-style formatting for DbgPrint, the console and the string functions.
 *
 * Understands what the kernel-mode documentation lists for DbgPrint: flags "-0+ #", width and precision (also "*"),
 * sizes hh h l ll z t j w I I32 I64, conversions d i u x X o c C s S p n-less, and the counted strings %Z (ANSI_STRING)
 * and %wZ (UNICODE_STRING). A wide character outside ASCII is written as UTF-8. Characters go one by one to a
 * sink, so no length has to be known beforehand and no buffer can be overrun: the buffer variants are sinks that count on
 * after their room has ended. Floating point is not supported (the kernel has none); an unknown conversion is
 * copied as it stands, which shows the mistake instead of hiding it.
 *
 * Locks: none. IRQL: any, as far as the memory of string arguments allows. Must never: allocate or raise by itself.
 */
#include <ntos/rtl.h>

#define FORMAT_LEFT  0x01
#define FORMAT_ZERO  0x02
#define FORMAT_PLUS  0x04
#define FORMAT_SPACE 0x08
#define FORMAT_ALT   0x10
#define FORMAT_UPPER 0x20
#define FORMAT_WIDE  0x40

#define FORMAT_NO_PRECISION (-1)

typedef struct _FORMAT_STATE {
    PRTL_FORMAT_SINK Sink;
    PVOID Context;
    ULONG Count;
    /* the conversion being read */
    ULONG Flags;
    LONG Width;
    LONG Precision;
    ULONG Size; /* bytes of an integer argument */
} FORMAT_STATE, *PFORMAT_STATE;

static VOID RtlpPut(PFORMAT_STATE State, CHAR Character)
{
    State->Sink(State->Context, Character);
    State->Count++;
}

static VOID RtlpPad(PFORMAT_STATE State, LONG Count, CHAR Character)
{
    for (; Count > 0; Count--) {
        RtlpPut(State, Character);
    }
}

static ULONG RtlpEncodeWide(WCHAR Character, CHAR *Bytes)
{
    if (Character < 0x80) {
        Bytes[0] = (CHAR)Character;
        return 1;
    }
    if (Character < 0x800) {
        Bytes[0] = (CHAR)(0xC0 | (Character >> 6));
        Bytes[1] = (CHAR)(0x80 | (Character & 0x3F));
        return 2;
    }
    Bytes[0] = (CHAR)(0xE0 | (Character >> 12));
    Bytes[1] = (CHAR)(0x80 | ((Character >> 6) & 0x3F));
    Bytes[2] = (CHAR)(0x80 | (Character & 0x3F));
    return 3;
}

/* Width and precision of strings count characters of the source. Maximum bounds reading it (0xFFFFFFFF: until NUL). */
static VOID RtlpPutString(PFORMAT_STATE State, const VOID *Text, ULONG Maximum, BOOLEAN Terminated)
{
    BOOLEAN Wide = (State->Flags & FORMAT_WIDE) != 0;
    const CHAR *Narrow = Text;
    const WCHAR *Broad = Text;
    ULONG Length = 0;

    if (Text == NULL) {
        Narrow = "(null)";
        Wide = FALSE;
        Terminated = TRUE;
        Maximum = 6;
    }
    if (State->Precision != FORMAT_NO_PRECISION && (ULONG)State->Precision < Maximum) {
        Maximum = (ULONG)State->Precision;
    }
    while (Length < Maximum && !(Terminated && (Wide ? Broad[Length] == 0 : Narrow[Length] == 0))) {
        Length++;
    }
    LONG Fill = State->Width - (LONG)Length;

    if ((State->Flags & FORMAT_LEFT) == 0) {
        RtlpPad(State, Fill, ' ');
    }
    for (ULONG Index = 0; Index < Length; Index++) {
        CHAR Bytes[3];
        ULONG Count = 1;

        if (Wide) {
            Count = RtlpEncodeWide(Broad[Index], Bytes);
        } else {
            Bytes[0] = Narrow[Index];
        }
        for (ULONG Byte = 0; Byte < Count; Byte++) {
            RtlpPut(State, Bytes[Byte]);
        }
    }
    if ((State->Flags & FORMAT_LEFT) != 0) {
        RtlpPad(State, Fill, ' ');
    }
}

static VOID RtlpPutNumber(PFORMAT_STATE State, ULONG64 Value, ULONG Base, CHAR Sign)
{
    static const CHAR Lower[] = "0123456789abcdef", Upper[] = "0123456789ABCDEF";
    const CHAR *Digits = (State->Flags & FORMAT_UPPER) ? Upper : Lower;
    CHAR Text[24]; /* 22 octal digits of 64 bits */
    LONG Length = 0;
    BOOLEAN Prefix = Base == 16 && (State->Flags & FORMAT_ALT) != 0 && Value != 0;

    while (Value != 0) {
        Text[Length++] = Digits[Value % Base];
        Value /= Base;
    }
    LONG Least = State->Precision == FORMAT_NO_PRECISION ? 1 : State->Precision;
    LONG Extra = (Sign != 0 ? 1 : 0) + (Prefix ? 2 : 0);

    if ((State->Flags & (FORMAT_ZERO | FORMAT_LEFT)) == FORMAT_ZERO && State->Precision == FORMAT_NO_PRECISION &&
        State->Width - Extra > Least) {
        Least = State->Width - Extra;
    }
    LONG Zeros = Least > Length ? Least - Length : 0;
    LONG Fill = State->Width - Extra - Zeros - Length;

    if ((State->Flags & FORMAT_LEFT) == 0) {
        RtlpPad(State, Fill, ' ');
    }
    if (Sign != 0) {
        RtlpPut(State, Sign);
    }
    if (Prefix) {
        RtlpPut(State, '0');
        RtlpPut(State, (State->Flags & FORMAT_UPPER) ? 'X' : 'x');
    }
    RtlpPad(State, Zeros, '0');
    while (Length > 0) {
        RtlpPut(State, Text[--Length]);
    }
    if ((State->Flags & FORMAT_LEFT) != 0) {
        RtlpPad(State, Fill, ' ');
    }
}

static PCSTR RtlpReadFlags(PFORMAT_STATE State, PCSTR Next)
{
    State->Flags = 0;
    for (;; Next++) {
        switch (*Next) {
        case '-':
            State->Flags |= FORMAT_LEFT;
            break;
        case '0':
            State->Flags |= FORMAT_ZERO;
            break;
        case '+':
            State->Flags |= FORMAT_PLUS;
            break;
        case ' ':
            State->Flags |= FORMAT_SPACE;
            break;
        case '#':
            State->Flags |= FORMAT_ALT;
            break;
        default:
            return Next;
        }
    }
}

/* A count beyond any sensible field is cut to a bound, so that no sum of fields overflows. */
static PCSTR RtlpReadCount(PCSTR Next, LONG *Count)
{
    LONG Value = 0;

    for (; *Next >= '0' && *Next <= '9'; Next++) {
        if (Value < 100000) {
            Value = Value * 10 + (*Next - '0');
        }
    }
    *Count = Value;
    return Next;
}

static PCSTR RtlpReadSize(PFORMAT_STATE State, PCSTR Next)
{
    State->Size = sizeof(int);
    switch (*Next) {
    case 'h':
        if (Next[1] == 'h') {
            State->Size = sizeof(CHAR);
            return Next + 2;
        }
        State->Size = sizeof(SHORT);
        return Next + 1;
    case 'l':
        if (Next[1] == 'l') {
            State->Size = sizeof(LONG64);
            return Next + 2;
        }
        State->Size = sizeof(LONG);
        State->Flags |= FORMAT_WIDE; /* of a string or character */
        return Next + 1;
    case 'w':
        State->Flags |= FORMAT_WIDE;
        return Next + 1;
    case 'z':
    case 't':
    case 'j':
        State->Size = sizeof(SIZE_T);
        return Next + 1;
    case 'I':
        if (Next[1] == '6' && Next[2] == '4') {
            State->Size = sizeof(LONG64);
            return Next + 3;
        }
        if (Next[1] == '3' && Next[2] == '2') {
            State->Size = sizeof(LONG);
            return Next + 3;
        }
        State->Size = sizeof(SIZE_T);
        return Next + 1;
    default:
        return Next;
    }
}

static PCSTR RtlpReadConversion(PFORMAT_STATE State, PCSTR Next, va_list *Arguments)
{
    Next = RtlpReadFlags(State, Next);
    if (*Next == '*') {
        State->Width = va_arg(*Arguments, int);
        if (State->Width < 0) {
            State->Flags |= FORMAT_LEFT;
            State->Width = State->Width < -100000 ? 100000 : -State->Width;
        }
        Next++;
    } else {
        Next = RtlpReadCount(Next, &State->Width);
    }
    State->Precision = FORMAT_NO_PRECISION;
    if (*Next == '.') {
        Next++;
        if (*Next == '*') {
            State->Precision = va_arg(*Arguments, int);
            if (State->Precision < 0) {
                State->Precision = FORMAT_NO_PRECISION;
            }
            Next++;
        } else {
            Next = RtlpReadCount(Next, &State->Precision);
        }
    }
    return RtlpReadSize(State, Next);
}

static ULONG64 RtlpUnsignedArgument(PFORMAT_STATE State, va_list *Arguments)
{
    switch (State->Size) {
    case sizeof(UCHAR):
        return (UCHAR)va_arg(*Arguments, int);
    case sizeof(USHORT):
        return (USHORT)va_arg(*Arguments, int);
    case sizeof(ULONG):
        return va_arg(*Arguments, ULONG);
    default:
        return va_arg(*Arguments, ULONG64);
    }
}

static VOID RtlpPutSigned(PFORMAT_STATE State, va_list *Arguments)
{
    LONG64 Value;

    switch (State->Size) {
    case sizeof(CHAR):
        Value = (signed char)va_arg(*Arguments, int);
        break;
    case sizeof(SHORT):
        Value = (SHORT)va_arg(*Arguments, int);
        break;
    case sizeof(LONG):
        Value = va_arg(*Arguments, LONG);
        break;
    default:
        Value = va_arg(*Arguments, LONG64);
        break;
    }
    CHAR Sign = (State->Flags & FORMAT_PLUS) ? '+' : (State->Flags & FORMAT_SPACE) ? ' ' : 0;

    if (Value < 0) {
        RtlpPutNumber(State, 0 - (ULONG64)Value, 10, '-');
    } else {
        RtlpPutNumber(State, (ULONG64)Value, 10, Sign);
    }
}

static VOID RtlpPutCounted(PFORMAT_STATE State, va_list *Arguments)
{
    const STRING *String = va_arg(*Arguments, const STRING *);

    if (String == NULL || String->Buffer == NULL) {
        RtlpPutString(State, NULL, 0, TRUE);
    } else {
        ULONG Unit = (State->Flags & FORMAT_WIDE) ? sizeof(WCHAR) : sizeof(CHAR);

        RtlpPutString(State, String->Buffer, String->Length / Unit, FALSE);
    }
}

static VOID RtlpPutCharacter(PFORMAT_STATE State, va_list *Arguments)
{
    WCHAR Character = (WCHAR)va_arg(*Arguments, int);
    CHAR Narrow = (CHAR)Character;

    State->Precision = FORMAT_NO_PRECISION;
    RtlpPutString(State, (State->Flags & FORMAT_WIDE) ? (const VOID *)&Character : (const VOID *)&Narrow, 1, FALSE);
}

/* Returns FALSE if the conversion is unknown. */
static BOOLEAN RtlpPutConversion(PFORMAT_STATE State, CHAR Conversion, va_list *Arguments)
{
    switch (Conversion) {
    case 'd':
    case 'i':
        RtlpPutSigned(State, Arguments);
        return TRUE;
    case 'u':
        RtlpPutNumber(State, RtlpUnsignedArgument(State, Arguments), 10, 0);
        return TRUE;
    case 'o':
        RtlpPutNumber(State, RtlpUnsignedArgument(State, Arguments), 8, 0);
        return TRUE;
    case 'X':
        State->Flags |= FORMAT_UPPER;
        RtlpPutNumber(State, RtlpUnsignedArgument(State, Arguments), 16, 0);
        return TRUE;
    case 'x':
        RtlpPutNumber(State, RtlpUnsignedArgument(State, Arguments), 16, 0);
        return TRUE;
    case 'p':
        State->Flags |= FORMAT_UPPER;
        State->Precision = 2 * sizeof(PVOID);
        RtlpPutNumber(State, (ULONG64)va_arg(*Arguments, PVOID), 16, 0);
        return TRUE;
    case 'S':
    case 'C':
        State->Flags ^= FORMAT_WIDE; /* the other width than that of %s and %c */
        if (Conversion == 'C') {
            RtlpPutCharacter(State, Arguments);
        } else {
            RtlpPutString(State, va_arg(*Arguments, const VOID *), 0xFFFFFFFF, TRUE);
        }
        return TRUE;
    case 's':
        RtlpPutString(State, va_arg(*Arguments, const VOID *), 0xFFFFFFFF, TRUE);
        return TRUE;
    case 'c':
        RtlpPutCharacter(State, Arguments);
        return TRUE;
    case 'Z':
        RtlpPutCounted(State, Arguments);
        return TRUE;
    case '%':
        RtlpPut(State, '%');
        return TRUE;
    default:
        return FALSE;
    }
}

ULONG RtlpFormatNext(PRTL_FORMAT_SINK Sink, PVOID Context, PCSTR Format, va_list *Arguments)
{
    FORMAT_STATE State = {.Sink = Sink, .Context = Context};

    while (*Format != 0) {
        if (*Format != '%') {
            RtlpPut(&State, *Format++);
            continue;
        }
        PCSTR Next = RtlpReadConversion(&State, Format + 1, Arguments);

        if (*Next != 0 && RtlpPutConversion(&State, *Next, Arguments)) {
            Format = Next + 1;
        } else {
            RtlpPut(&State, *Format++);
        }
    }
    return State.Count;
}

ULONG RtlpFormat(PRTL_FORMAT_SINK Sink, PVOID Context, PCSTR Format, va_list Arguments)
{
    va_list Copy;

    va_copy(Copy, Arguments);
    ULONG Count = RtlpFormatNext(Sink, Context, Format, &Copy);
    va_end(Copy);
    return Count;
}

/* ---- Into buffers ---- */

typedef struct _FORMAT_BUFFER {
    PSTR Next;
    SIZE_T Room; /* characters that still fit */
} FORMAT_BUFFER, *PFORMAT_BUFFER;

static VOID RtlpBufferSink(PVOID Context, CHAR Character)
{
    PFORMAT_BUFFER Buffer = Context;

    if (Buffer->Room != 0) {
        Buffer->Room--;
        *Buffer->Next++ = Character;
    }
}

ULONG RtlFormatStringV(PSTR Buffer, SIZE_T Bytes, PCSTR Format, va_list Arguments)
{
    FORMAT_BUFFER Target = {Buffer, Bytes == 0 ? 0 : Bytes - 1};
    ULONG Length = RtlpFormat(RtlpBufferSink, &Target, Format, Arguments);

    if (Bytes != 0) {
        *Target.Next = 0;
    }
    return Length;
}

ULONG RtlFormatString(PSTR Buffer, SIZE_T Bytes, PCSTR Format, ...)
{
    va_list Arguments;

    va_start(Arguments, Format);
    ULONG Length = RtlFormatStringV(Buffer, Bytes, Format, Arguments);
    va_end(Arguments);
    return Length;
}

/* The C run-time's name, which the DDK's ntstrsafe.h calls: -1 if the text did not fit, and then no terminator. */
int __cdecl _vsnprintf(char *Buffer, size_t Count, const char *Format, va_list Arguments);
int __cdecl _snprintf(char *Buffer, size_t Count, const char *Format, ...);

int __cdecl _vsnprintf(char *Buffer, size_t Count, const char *Format, va_list Arguments)
{
    FORMAT_BUFFER Target = {Buffer, Count};
    ULONG Length = RtlpFormat(RtlpBufferSink, &Target, Format, Arguments);

    if (Length > Count) {
        return -1;
    }
    if (Length < Count) {
        *Target.Next = 0;
    }
    return (int)Length;
}

int __cdecl _snprintf(char *Buffer, size_t Count, const char *Format, ...)
{
    va_list Arguments;

    va_start(Arguments, Format);
    int Length = _vsnprintf(Buffer, Count, Format, Arguments);
    va_end(Arguments);
    return Length;
}
