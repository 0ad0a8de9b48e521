/*
 * parse.c - from a line to commands.
 *
 * First the values of variables are put in (%NAME%; in scripts also %0 to %9 and %*; %% is one percent sign), then the line is taken apart: `if`, then
 * pipelines joined by & (next), && (next if ERRORLEVEL is 0), || (next if not), then commands joined by |, then redirections and words. Double quotes
 * keep blanks and operators; they are taken off words, but not off the text that a program gets as its command line.
 */
#include "shell.h"

/* ---- Variables ---- */

typedef struct _SH_TEXT {
    PSTR Buffer;
    ULONG Used, Bytes;
    BOOLEAN Full;
} SH_TEXT;

static VOID Put(SH_TEXT *Text, PCSTR From, ULONG Length)
{
    for (; Length != 0; Length--) {
        if (Text->Used + 1 >= Text->Bytes) {
            Text->Full = TRUE;
            return;
        }
        Text->Buffer[Text->Used++] = *From++;
    }
}

/* The value of a variable of Length characters. FALSE: there is none of that name. */
static BOOLEAN PutVariable(SH_TEXT *Text, PCSTR Name, ULONG Length)
{
    static WCHAR Value[SH_LINE];
    static CHAR Narrow[SH_LINE * 3], Own[SH_LINE];
    UNICODE_STRING Wide = {0, sizeof(Value), Value}, WideName;
    NTSTATUS Status;

    if (Length == 0 || Length >= sizeof(Own)) {
        return FALSE;
    }
    memcpy(Own, Name, Length);
    Own[Length] = 0;
    if (ShSame(Own, "ERRORLEVEL")) {
        _snprintf(Narrow, sizeof(Narrow), "%ld", Sh.ErrorLevel);
    } else if (ShSame(Own, "CD")) {
        ShCopy(Narrow, sizeof(Narrow), Sh.Directory);
    } else {
        if (!ShToWide(Own, &WideName)) {
            return FALSE;
        }
        Status = RtlQueryEnvironmentVariable_U(NULL, &WideName, &Wide);
        ShFree(WideName.Buffer);
        if (!NT_SUCCESS(Status)) {
            return FALSE;
        }
        ShToNarrow(Wide.Buffer, Wide.Length / sizeof(WCHAR), Narrow, sizeof(Narrow));
    }
    Put(Text, Narrow, ShLength(Narrow));
    return TRUE;
}

static VOID PutArguments(SH_TEXT *Text)
{
    for (ULONG Index = 1; Index < SH_ARGUMENTS && Sh.Batch->Arguments[Index] != NULL; Index++) {
        Put(Text, " ", Index > 1);
        Put(Text, Sh.Batch->Arguments[Index], ShLength(Sh.Batch->Arguments[Index]));
    }
}

/* What stands after a percent sign. Returns how much of it was used. */
static ULONG PutPercent(SH_TEXT *Text, PCSTR After)
{
    ULONG Length = 0;

    if (After[0] == '%') {
        Put(Text, "%", 1);
        return 1;
    }
    if (Sh.Batch != NULL && After[0] == '*') {
        PutArguments(Text);
        return 1;
    }
    if (Sh.Batch != NULL && After[0] >= '0' && After[0] <= '9') {
        PCSTR Argument = Sh.Batch->Arguments[After[0] - '0'];

        Put(Text, Argument, Argument == NULL ? 0 : ShLength(Argument));
        return 1;
    }
    while (After[Length] != 0 && After[Length] != '%') {
        Length++;
    }
    if (After[Length] == 0) {
        Put(Text, "%", 1);
        return 0;
    }
    if (!PutVariable(Text, After, Length) && Sh.Batch == NULL) {
        Put(Text, "%", 1); /* at the prompt an unknown name stays as it was typed */
        Put(Text, After, Length + 1);
    }
    return Length + 1;
}

BOOLEAN ShExpand(PCSTR Line, PSTR Expanded, ULONG Bytes)
{
    SH_TEXT Text = {.Buffer = Expanded, .Bytes = Bytes};

    while (*Line != 0) {
        if (*Line == '%') {
            Line += 1 + PutPercent(&Text, Line + 1);
        } else {
            Put(&Text, Line++, 1);
        }
    }
    Expanded[Text.Used] = 0;
    return !Text.Full;
}

/* ---- Words and redirections ---- */

/* Copies a word without its quotes to *Out, with a terminator. Returns what follows the word in the line. */
static PCSTR TakeWord(PCSTR Text, PSTR *Out, PCSTR Stops)
{
    BOOLEAN Quoted = FALSE;

    for (; *Text != 0 && (Quoted || !ShIsBlank(*Text)); Text++) {
        BOOLEAN Stop = FALSE;

        for (PCSTR Next = Stops; *Next != 0 && !Quoted; Next++) {
            Stop |= *Next == *Text;
        }
        if (Stop) {
            break;
        }
        if (*Text == '"') {
            Quoted = !Quoted;
        } else {
            *(*Out)++ = *Text;
        }
    }
    *(*Out)++ = 0;
    return Text;
}

/* A redirection at Text: its target goes to Names. NULL: something is missing. */
static PCSTR TakeRedirection(PSH_COMMAND Command, PCSTR Text, PSTR *Names)
{
    BOOLEAN Error = *Text == '2', Input = *Text == '<';
    PCSTR Target = *Names;

    Text += *Text == '1' || *Text == '2';
    Text++;
    if (*Text == '>') { /* appending: to a device it is the same */
        Text++;
    }
    if (Error && Text[0] == '&' && Text[1] == '1') {
        Command->ErrorToOutput = TRUE;
        return Text + 2;
    }
    Text = TakeWord(ShSkipBlanks(Text), Names, "<>|&");
    if (*Target == 0) {
        ShError("syntax: a file name is missing after < or >\n");
        return NULL;
    }
    *(Input ? &Command->Input : Error ? &Command->Error : &Command->Output) = Target;
    return Text;
}

static BOOLEAN IsRedirection(PCSTR Text, BOOLEAN WordBegins)
{
    return *Text == '<' || *Text == '>' || (WordBegins && (*Text == '1' || *Text == '2') && Text[1] == '>');
}

/* One command: redirections out of it, the rest as text and as words. */
static BOOLEAN ParseCommand(PCSTR Text, ULONG Length, PSH_COMMAND Command)
{
    CHAR *Out = Command->Text;
    PSTR Names = Command->Names, Split = Command->Split;
    BOOLEAN Quoted = FALSE;
    PCSTR End = Text + Length, Next;

    while (Text < End && Text != NULL) {
        if (!Quoted && IsRedirection(Text, Out == Command->Text || ShIsBlank(Out[-1]))) {
            Text = TakeRedirection(Command, Text, &Names);
            continue;
        }
        Quoted ^= *Text == '"';
        if (Out != Command->Text || !ShIsBlank(*Text)) {
            *Out++ = *Text;
        }
        Text++;
    }
    while (Out != Command->Text && ShIsBlank(Out[-1])) {
        Out--;
    }
    *Out = 0;
    for (Next = ShSkipBlanks(Command->Text); *Next != 0 && Command->Count < SH_WORDS; Next = ShSkipBlanks(Next)) {
        Command->Words[Command->Count++] = Split;
        Next = TakeWord(Next, &Split, "");
    }
    if (Text != NULL && Command->Count == 0) {
        ShError("syntax: a command is missing\n");
    }
    return Text != NULL && Command->Count != 0;
}

/* ---- Operators ---- */

/* Bytes up to an operator made of Character, or the end. A & after > belongs to a redirection. */
static ULONG LengthTo(PCSTR Text, CHAR Character, ULONG Most)
{
    BOOLEAN Quoted = FALSE;
    ULONG Length = 0;

    for (; Length < Most && Text[Length] != 0; Length++) {
        Quoted ^= Text[Length] == '"';
        if (Quoted) {
            continue;
        }
        if (Text[Length] == Character && !(Character == '&' && Length != 0 && Text[Length - 1] == '>')) {
            break;
        }
        if (Character == '&' && Text[Length] == '|' && Text[Length + 1] == '|') {
            break;
        }
    }
    return Length;
}

static VOID RunPiped(PCSTR Text, ULONG Length)
{
    PSH_COMMAND Commands = ShAllocate(SH_PIPELINE * sizeof(SH_COMMAND));
    BOOLEAN Good = TRUE;
    ULONG Count = 0;

    for (;;) {
        ULONG Part = LengthTo(Text, '|', Length);

        if (Count == SH_PIPELINE) {
            ShError("syntax: more than %u commands in a pipeline\n", SH_PIPELINE);
            Good = FALSE;
            break;
        }
        Good = ParseCommand(Text, Part, &Commands[Count++]);
        if (!Good || Part == Length) {
            break;
        }
        Text += Part + 1;
        Length -= Part + 1;
    }
    if (Good) {
        ShRunPipeline(Commands, Count);
    }
    ShFree(Commands);
}

static BOOLEAN GoesOn(VOID)
{
    return !Sh.Exiting && !ShCtrlC() && (Sh.Batch == NULL || (!Sh.Batch->Ended && !Sh.Batch->Jumped));
}

static VOID RunList(PCSTR Line)
{
    BOOLEAN Run = TRUE;

    for (;;) {
        ULONG Length = LengthTo(Line, '&', SH_LINE);
        PCSTR Operator = Line + Length;

        if (Run && *ShSkipBlanks(Line) != 0) {
            RunPiped(Line, Length);
        }
        if (*Operator == 0 || !GoesOn()) {
            return;
        }
        Run = *Operator == '|' ? Sh.ErrorLevel != 0 : Operator[1] == '&' ? Run && Sh.ErrorLevel == 0 : TRUE;
        Line = Operator + (*Operator == '|' || Operator[1] == '&' ? 2 : 1);
    }
}

/* ---- if ---- */

/* The word at Text, without quotes, into Word. Returns what follows. */
static PCSTR NextWord(PCSTR Text, PSTR Word)
{
    return ShSkipBlanks(TakeWord(ShSkipBlanks(Text), &Word, ""));
}

/* A == B, with or without blanks around the sign. NULL: there is no such thing at Text. */
static PCSTR CompareWords(PCSTR Text, PBOOLEAN Holds)
{
    static CHAR First[SH_LINE], Second[SH_LINE];
    PSTR Out = First;

    Text = ShSkipBlanks(TakeWord(Text, &Out, "="));
    if (Text[0] != '=' || Text[1] != '=') {
        return NULL;
    }
    Text = NextWord(Text + 2, Second);
    *Holds = ShLength(First) == ShLength(Second) && memcmp(First, Second, ShLength(First)) == 0;
    return Text;
}

/* The condition at Text. Returns the command after it; NULL: it is none. */
static PCSTR Condition(PCSTR Text, PBOOLEAN Holds)
{
    static CHAR Word[SH_LINE];
    PCSTR After = NextWord(Text, Word);
    BOOLEAN IsDirectory;
    ULONG64 Number;

    if (ShSame(Word, "not")) {
        After = Condition(After, Holds);
        *Holds = !*Holds;
        return After;
    }
    if (ShSame(Word, "exist")) {
        After = NextWord(After, Word);
        *Holds = ShExists(Word, &IsDirectory);
        return After;
    }
    if (ShSame(Word, "errorlevel")) {
        After = NextWord(After, Word);
        *Holds = ShNumber(Word, &Number) && (LONG64)Sh.ErrorLevel >= (LONG64)Number;
        return ShNumber(Word, &Number) ? After : NULL;
    }
    return CompareWords(ShSkipBlanks(Text), Holds);
}

static BOOLEAN IsWord(PCSTR Text, PCSTR Word)
{
    return ShBeginsWith(Text, Word) && (Text[ShLength(Word)] == 0 || ShIsBlank(Text[ShLength(Word)]));
}

VOID ShRunExpanded(PCSTR Line)
{
    BOOLEAN Holds = FALSE;

    Line = ShSkipBlanks(Line);
    while (*Line == '@') {
        Line = ShSkipBlanks(Line + 1);
    }
    if (*Line == 0 || IsWord(Line, "rem")) {
        return;
    }
    if (!IsWord(Line, "if")) {
        RunList(Line);
        return;
    }
    Line = Condition(Line + 2, &Holds);
    if (Line == NULL || *Line == 0) {
        ShError("syntax: if [not] errorlevel N | exist FILE | A==B COMMAND\n");
    } else if (Holds) {
        ShRunExpanded(Line);
    }
}

VOID ShRunLine(PCSTR Line)
{
    PSTR Expanded = ShAllocate(SH_LINE);

    if (ShExpand(Line, Expanded, SH_LINE)) {
        ShRunExpanded(Expanded);
    } else {
        ShError("the line gets longer than %u bytes\n", SH_LINE - 1);
    }
    ShFree(Expanded);
}
