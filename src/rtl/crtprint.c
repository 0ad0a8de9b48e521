/*
 * crtprint.c - sprintf, swprintf and their many kin, over the formatter of format.c.
 *
 * The wide routines read their format character by character and hand each conversion to the formatter with %s and %S
 * exchanged, since in a wide format %s means a wide string; what the formatter writes as UTF-8 is put together again on the
 * way into the buffer. Floating point is not supported.
 *
 * Three behaviours: the plain routines trust the buffer; the _snprintf ones fill it and return -1 without a terminator when the text is
 * longer; the ..._s ones always terminate, and leave an empty string and return -1 when the room is too small. No locks; IRQL: any
 * at which the memory is resident. Source: Microsoft Learn (run-time library reference).
 */
#include <ntos/rtl.h>
#include "crt.h"

#define RTLP_SPECIFICATION 40 /* characters of one conversion; flags, width and precision leave room to spare */

int RtlpSprintf(PSTR Buffer, PCSTR Format, ...);
int RtlpVsprintf(PSTR Buffer, PCSTR Format, va_list Arguments);
int RtlpSprintfS(PSTR Buffer, SIZE_T Room, PCSTR Format, ...);
int RtlpVsprintfS(PSTR Buffer, SIZE_T Room, PCSTR Format, va_list Arguments);
int RtlpSnprintfS(PSTR Buffer, SIZE_T Room, SIZE_T Count, PCSTR Format, ...);
int RtlpVsnprintfS(PSTR Buffer, SIZE_T Room, SIZE_T Count, PCSTR Format, va_list Arguments);
int RtlpSwprintf(PWSTR Buffer, PCWSTR Format, ...);
int RtlpVswprintf(PWSTR Buffer, PCWSTR Format, va_list Arguments);
int RtlpSnwprintf(PWSTR Buffer, SIZE_T Count, PCWSTR Format, ...);
int RtlpVsnwprintf(PWSTR Buffer, SIZE_T Count, PCWSTR Format, va_list Arguments);
int RtlpSwprintfS(PWSTR Buffer, SIZE_T Room, PCWSTR Format, ...);
int RtlpVswprintfS(PWSTR Buffer, SIZE_T Room, PCWSTR Format, va_list Arguments);
int RtlpSnwprintfS(PWSTR Buffer, SIZE_T Room, SIZE_T Count, PCWSTR Format, ...);
int RtlpVsnwprintfS(PWSTR Buffer, SIZE_T Room, SIZE_T Count, PCWSTR Format, va_list Arguments);

/* Where characters go. Past Room they are only counted. */
typedef struct _RTLP_PRINT {
    PSTR Narrow;
    PWSTR Wide;
    SIZE_T Room, Count;
    ULONG Partial, Missing; /* a UTF-8 character being put together, and the bytes it still lacks */
    UCHAR Raw[2];           /* its bytes so far */
    ULONG RawCount;
} RTLP_PRINT, *PRTLP_PRINT;

static VOID RtlpPrintNarrow(PVOID Context, CHAR Character)
{
    PRTLP_PRINT Print = Context;

    if (Print->Count < Print->Room) {
        Print->Narrow[Print->Count] = Character;
    }
    Print->Count++;
}

static VOID RtlpPrintWideUnit(PRTLP_PRINT Print, WCHAR Character)
{
    if (Print->Count < Print->Room) {
        Print->Wide[Print->Count] = Character;
    }
    Print->Count++;
}

/* Bytes that began like UTF-8 and did not go on so are ISO 8859-1. */
static VOID RtlpFlushRaw(PRTLP_PRINT Print)
{
    for (ULONG Index = 0; Index < Print->RawCount; Index++) {
        RtlpPrintWideUnit(Print, Print->Raw[Index]);
    }
    Print->RawCount = Print->Missing = 0;
}

/* The formatter writes wide characters as UTF-8 of one to three bytes, and narrow text as it is. */
static VOID RtlpPrintWide(PVOID Context, CHAR Character)
{
    PRTLP_PRINT Print = Context;
    UCHAR Byte = (UCHAR)Character;

    if (Print->Missing != 0 && (Byte & 0xC0) == 0x80) {
        Print->Partial = Print->Partial << 6 | (Byte & 0x3F);
        if (--Print->Missing == 0) {
            Print->RawCount = 0;
            RtlpPrintWideUnit(Print, (WCHAR)Print->Partial);
        } else {
            Print->Raw[Print->RawCount++] = Byte;
        }
        return;
    }
    RtlpFlushRaw(Print);
    if (Byte < 0xC2 || Byte >= 0xF0) {
        RtlpPrintWideUnit(Print, Byte);
        return;
    }
    Print->Missing = (Byte >= 0xE0) ? 2 : 1;
    Print->Partial = (Byte >= 0xE0) ? Byte & 0x0F : Byte & 0x1F;
    Print->Raw[Print->RawCount++] = Byte;
}

/*
 * Copies one conversion of a wide format, from after the '%', with the meaning it has there. Returns the characters it takes, 0: it
 * is none.
 */
static ULONG RtlpTranslate(PCWSTR Format, CHAR *Specification)
{
    ULONG Index = 0, Out = 0;
    BOOLEAN Sized = FALSE;

    Specification[Out++] = '%';
    for (; Out < RTLP_SPECIFICATION - 3; Index++) {
        WCHAR Character = Format[Index];

        if (Character == 0 || Character > 0x7F) {
            return 0;
        }
        if (!Sized && (Character == L's' || Character == L'c')) {
            Specification[Out++] = 'w';
        } else if (!Sized && (Character == L'S' || Character == L'C')) {
            Character = (WCHAR)RtlpAsciiLower(Character);
        }
        Specification[Out++] = (CHAR)Character;
        Sized |= Character == L'h' || Character == L'l' || Character == L'w';
        if ((Character >= L'a' && Character <= L'z' && Character != L'h' && Character != L'l' && Character != L'w' &&
             Character != L'z' && Character != L't' && Character != L'j') ||
            (Character >= L'A' && Character <= L'Z' && Character != L'I') || Character == L'%') {
            Specification[Out] = 0;
            return Index + 1;
        }
    }
    return 0;
}

static VOID RtlpFormatWide(PRTLP_PRINT Print, PCWSTR Format, va_list *Arguments)
{
    CHAR Specification[RTLP_SPECIFICATION];

    while (*Format != 0) {
        ULONG Taken = (*Format == L'%') ? RtlpTranslate(Format + 1, Specification) : 0;

        if (Taken == 0) {
            RtlpPrintWideUnit(Print, *Format++);
            continue;
        }
        RtlpFormatNext(RtlpPrintWide, Print, Specification, Arguments);
        RtlpFlushRaw(Print);
        Format += 1 + Taken;
    }
}

/* Fills a buffer of Count characters; the length, or -1 if the text is longer. A terminator is written where one fits. */
static int RtlpFill(PRTLP_PRINT Print, PCSTR Format, PCWSTR WideFormat, va_list *Arguments)
{
    if (WideFormat != NULL) {
        RtlpFormatWide(Print, WideFormat, Arguments);
    } else {
        RtlpFormatNext(RtlpPrintNarrow, Print, Format, Arguments);
    }
    if (Print->Count < Print->Room) {
        if (Print->Wide != NULL) {
            Print->Wide[Print->Count] = 0;
        } else {
            Print->Narrow[Print->Count] = 0;
        }
    }
    return (Print->Count > Print->Room) ? -1 : (int)Print->Count;
}

/* The ..._s rules: Count characters at most (RTLP_TRUNCATE: what fits) into Room, always terminated. */
static int RtlpFillSafely(PRTLP_PRINT Print, SIZE_T Count, PCSTR Format, PCWSTR WideFormat, va_list *Arguments)
{
    SIZE_T Room = Print->Room, End;

    if ((Print->Narrow == NULL && Print->Wide == NULL) || Room == 0) {
        return -1;
    }
    RtlpFill(Print, Format, WideFormat, Arguments);
    if (Print->Count < Room && Print->Count <= Count) {
        return (int)Print->Count;
    }
    End = (Count == RTLP_TRUNCATE) ? Room - 1 : (Count < Room) ? Count : 0;
    if (Print->Wide != NULL) {
        Print->Wide[End] = 0;
    } else {
        Print->Narrow[End] = 0;
    }
    return -1;
}

#define RTLP_PLENTY ((SIZE_T)MAXLONG) /* the room that the plain routines assume */

int RtlpVsprintf(PSTR Buffer, PCSTR Format, va_list Arguments)
{
    RTLP_PRINT Print = {.Narrow = Buffer, .Room = RTLP_PLENTY};

    return RtlpFill(&Print, Format, NULL, &Arguments);
}

int RtlpVsnprintfS(PSTR Buffer, SIZE_T Room, SIZE_T Count, PCSTR Format, va_list Arguments)
{
    RTLP_PRINT Print = {.Narrow = Buffer, .Room = Room};

    return RtlpFillSafely(&Print, Count, Format, NULL, &Arguments);
}

int RtlpVsprintfS(PSTR Buffer, SIZE_T Room, PCSTR Format, va_list Arguments)
{
    return RtlpVsnprintfS(Buffer, Room, RTLP_TRUNCATE - 1, Format, Arguments);
}

int RtlpVsnwprintf(PWSTR Buffer, SIZE_T Count, PCWSTR Format, va_list Arguments)
{
    RTLP_PRINT Print = {.Wide = Buffer, .Room = Count};

    return RtlpFill(&Print, NULL, Format, &Arguments);
}

int RtlpVswprintf(PWSTR Buffer, PCWSTR Format, va_list Arguments)
{
    return RtlpVsnwprintf(Buffer, RTLP_PLENTY, Format, Arguments);
}

int RtlpVsnwprintfS(PWSTR Buffer, SIZE_T Room, SIZE_T Count, PCWSTR Format, va_list Arguments)
{
    RTLP_PRINT Print = {.Wide = Buffer, .Room = Room};

    return RtlpFillSafely(&Print, Count, NULL, Format, &Arguments);
}

int RtlpVswprintfS(PWSTR Buffer, SIZE_T Room, PCWSTR Format, va_list Arguments)
{
    return RtlpVsnwprintfS(Buffer, Room, RTLP_TRUNCATE - 1, Format, Arguments);
}

/* Calls the va_list form of a routine with the caller's variable arguments. */
#define RTLP_FORWARD(Last, Call)                                                                                       \
    va_list Arguments;                                                                                                 \
    int Length;                                                                                                        \
                                                                                                                       \
    va_start(Arguments, Last);                                                                                         \
    Length = (Call);                                                                                                   \
    va_end(Arguments);                                                                                                 \
    return Length

int RtlpSprintf(PSTR Buffer, PCSTR Format, ...)
{
    RTLP_FORWARD(Format, RtlpVsprintf(Buffer, Format, Arguments));
}

int RtlpSprintfS(PSTR Buffer, SIZE_T Room, PCSTR Format, ...)
{
    RTLP_FORWARD(Format, RtlpVsprintfS(Buffer, Room, Format, Arguments));
}

int RtlpSnprintfS(PSTR Buffer, SIZE_T Room, SIZE_T Count, PCSTR Format, ...)
{
    RTLP_FORWARD(Format, RtlpVsnprintfS(Buffer, Room, Count, Format, Arguments));
}

int RtlpSwprintf(PWSTR Buffer, PCWSTR Format, ...)
{
    RTLP_FORWARD(Format, RtlpVswprintf(Buffer, Format, Arguments));
}

int RtlpSnwprintf(PWSTR Buffer, SIZE_T Count, PCWSTR Format, ...)
{
    RTLP_FORWARD(Format, RtlpVsnwprintf(Buffer, Count, Format, Arguments));
}

int RtlpSwprintfS(PWSTR Buffer, SIZE_T Room, PCWSTR Format, ...)
{
    RTLP_FORWARD(Format, RtlpVswprintfS(Buffer, Room, Format, Arguments));
}

int RtlpSnwprintfS(PWSTR Buffer, SIZE_T Room, SIZE_T Count, PCWSTR Format, ...)
{
    RTLP_FORWARD(Format, RtlpVsnwprintfS(Buffer, Room, Count, Format, Arguments));
}
