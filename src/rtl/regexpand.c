/*
 * regexpand.c - environment variables in registry values of type REG_EXPAND_SZ.
 *
 * %NAME% is replaced by the variable's value, whatever the case of NAME's letters. An unknown name, and a percent sign without a
 * second one, stay as they are. What was put in is not looked at again. No locks, no memory of its own.
 */
#include "rtlreg.h"

/* Where characters go: past Room they are only counted. */
typedef struct _RTLP_OUTPUT {
    PWSTR Out;
    ULONG Room, Count;
} RTLP_OUTPUT, *PRTLP_OUTPUT;

static VOID RtlpPut(PRTLP_OUTPUT Output, PCWSTR Text, ULONG Chars)
{
    for (ULONG Index = 0; Index < Chars; Index++, Output->Count++) {
        if (Output->Count < Output->Room) {
            Output->Out[Output->Count] = Text[Index];
        }
    }
}

static ULONG RtlpLength(PCWSTR Text)
{
    ULONG Count = 0;

    while (Text[Count] != 0) {
        Count++;
    }
    return Count;
}

static BOOLEAN RtlpSameName(PCWSTR First, PCWSTR Second, ULONG Chars)
{
    for (ULONG Index = 0; Index < Chars; Index++) {
        if (RtlUpcaseUnicodeChar(First[Index]) != RtlUpcaseUnicodeChar(Second[Index])) {
            return FALSE;
        }
    }
    return TRUE;
}

/* The value of a variable, NUL-terminated; NULL: there is none. */
static PCWSTR RtlpFindVariable(PCWSTR Environment, PCWSTR Name, ULONG Chars)
{
    for (PCWSTR Next = Environment; *Next != 0; Next += RtlpLength(Next) + 1) {
        if (RtlpLength(Next) > Chars && Next[Chars] == L'=' && RtlpSameName(Next, Name, Chars)) {
            return Next + Chars + 1;
        }
    }
    return NULL;
}

ULONG RtlpExpandEnvironment(PCWSTR Environment, PCWSTR Text, ULONG Chars, PWSTR Out, ULONG Room)
{
    RTLP_OUTPUT Output = {Out, Room, 0};
    ULONG Index = 0;

    if (Environment == NULL) {
        Environment = L"SystemRoot=\\SystemRoot\0";
    }
    while (Index < Chars) {
        ULONG End = Index + 1;
        PCWSTR Value = NULL;

        while (Text[Index] == L'%' && End < Chars && Text[End] != L'%') {
            End++;
        }
        if (Text[Index] == L'%' && End < Chars && End > Index + 1) {
            Value = RtlpFindVariable(Environment, Text + Index + 1, End - Index - 1);
        }
        if (Value != NULL) {
            RtlpPut(&Output, Value, RtlpLength(Value));
            Index = End + 1;
        } else {
            RtlpPut(&Output, Text + Index, 1);
            Index++;
        }
    }
    return Output.Count;
}
