/*
 * edit.c - the line editor: what a person types at the prompt.
 *
 * The shell reads the console through a file of its own in raw mode, a byte at a time, so that what is typed ahead of a program is left to it. Keys: printable
 * bytes insert; Backspace, Delete; Left, Right, Home, End (Ctrl-A, Ctrl-E); Ctrl-U kills the line, Ctrl-K its rest, Ctrl-W a word; Up and Down walk the
 * history; Tab completes a file name (complete.c); Ctrl-C gives up the line; Ctrl-L shows it again; Ctrl-D on an empty line does nothing.
 *
 * What is shown is changed by printing text, blanks and backspaces only, which every output device understands. Bytes of UTF-8 sequences count as one column each.
 */
#include "edit.h"

#define HISTORY    64
#define CONTROL(C) ((ULONG)((C) - '@'))
#define PENDING    256

enum { KeyNone = 256, KeyUp, KeyDown, KeyLeft, KeyRight, KeyHome, KeyEnd, KeyDelete, KeyGone }; /* above every byte */

static PSTR History[HISTORY]; /* a ring; the newest is at (Stored - 1) % HISTORY */
static ULONG Stored;
static CHAR Pending[PENDING]; /* what is to be shown */
static ULONG PendingBytes;
static BOOLEAN AfterReturn;

/* ---- Showing ---- */

static VOID Flush(VOID)
{
    ShWrite(Sh.OwnOut, Pending, PendingBytes);
    PendingBytes = 0;
}

static VOID Show(CHAR Character)
{
    if (PendingBytes == PENDING) {
        Flush();
    }
    Pending[PendingBytes++] = Character;
}

static VOID Back(ULONG Columns)
{
    for (; Columns != 0; Columns--) {
        Show('\b');
    }
}

/* Shows the line from the cursor on, then blanks over Erased columns, and goes back. */
static VOID ShowTail(SH_EDIT *Edit, ULONG Erased)
{
    for (ULONG At = Edit->Cursor; At < Edit->Length; At++) {
        Show(Edit->Line[At]);
    }
    for (ULONG Count = 0; Count < Erased; Count++) {
        Show(' ');
    }
    Back(Edit->Length - Edit->Cursor + Erased);
}

/* ---- Changing ---- */

VOID EditInsert(SH_EDIT *Edit, CHAR Character)
{
    if (Edit->Length + 1 >= Edit->Bytes) {
        Show('\a');
        return;
    }
    memmove(Edit->Line + Edit->Cursor + 1, Edit->Line + Edit->Cursor, Edit->Length - Edit->Cursor + 1);
    Edit->Line[Edit->Cursor++] = Character;
    Edit->Length++;
    Show(Character);
    if (Edit->Cursor != Edit->Length) {
        ShowTail(Edit, 0);
    }
}

/* Removes bytes before the cursor. */
static VOID Erase(SH_EDIT *Edit, ULONG Count)
{
    memmove(Edit->Line + Edit->Cursor - Count, Edit->Line + Edit->Cursor, Edit->Length - Edit->Cursor + 1);
    Edit->Cursor -= Count;
    Edit->Length -= Count;
    Back(Count);
    ShowTail(Edit, Count);
}

static VOID MoveTo(SH_EDIT *Edit, ULONG Cursor)
{
    if (Cursor < Edit->Cursor) {
        Back(Edit->Cursor - Cursor);
    }
    for (; Edit->Cursor < Cursor; Edit->Cursor++) {
        Show(Edit->Line[Edit->Cursor]);
    }
    Edit->Cursor = Cursor;
}

static VOID EraseAhead(SH_EDIT *Edit, ULONG Count)
{
    MoveTo(Edit, Edit->Cursor + Count);
    Erase(Edit, Count);
}

static VOID Replace(SH_EDIT *Edit, PCSTR Text)
{
    MoveTo(Edit, Edit->Length);
    Erase(Edit, Edit->Length);
    for (; *Text != 0; Text++) {
        EditInsert(Edit, *Text);
    }
}

VOID EditShowAgain(SH_EDIT *Edit)
{
    PCSTR Prompt = Edit->Prompt;
    ULONG Cursor = Edit->Cursor;

    for (; *Prompt != 0; Prompt++) {
        Show(*Prompt);
    }
    Edit->Cursor = 0;
    MoveTo(Edit, Edit->Length);
    MoveTo(Edit, Cursor);
}

static ULONG WordBefore(const SH_EDIT *Edit)
{
    ULONG Start = Edit->Cursor;

    while (Start != 0 && Edit->Line[Start - 1] == ' ') {
        Start--;
    }
    while (Start != 0 && Edit->Line[Start - 1] != ' ') {
        Start--;
    }
    return Edit->Cursor - Start;
}

/* ---- History ---- */

static VOID Recall(SH_EDIT *Edit, ULONG Back_)
{
    if (Back_ <= min(Stored, HISTORY)) {
        Edit->Recalled = Back_;
        Replace(Edit, Back_ == 0 ? "" : History[(Stored - Back_) % HISTORY]);
    }
}

static VOID Remember(PCSTR Line)
{
    PSTR Newest = History[(Stored + HISTORY - 1) % HISTORY], Copy;
    ULONG Length = ShLength(Line);

    if (*ShSkipBlanks(Line) == 0 || (Stored != 0 && ShLength(Newest) == Length && memcmp(Newest, Line, Length) == 0)) {
        return;
    }
    Copy = ShAllocate((SIZE_T)Length + 1);
    memcpy(Copy, Line, Length);
    ShFree(History[Stored % HISTORY]);
    History[Stored++ % HISTORY] = Copy;
}

VOID ShShowHistory(VOID)
{
    for (ULONG Index = Stored > HISTORY ? Stored - HISTORY : 0; Index < Stored && !Sh.Broken; Index++) {
        ShPrint("%5lu  %s\n", Index + 1, History[Index % HISTORY]);
    }
}

/* ---- Keys ---- */

CHAR ShReadKey(VOID)
{
    LARGE_INTEGER Now = {.QuadPart = 0};
    IO_STATUS_BLOCK Io;
    CHAR Key = 0;
    NTSTATUS Status = STATUS_CANCELLED;

    if (Sh.CtrlEvent == NULL || NtWaitForSingleObject(Sh.CtrlEvent, FALSE, &Now) != STATUS_WAIT_0) {
        Status = NtReadFile(Sh.Console, NULL, NULL, NULL, &Io, &Key, 1, NULL, NULL);
    }
    if (Status == STATUS_CANCELLED) { /* Ctrl-C: the event of a read that waited is of no more use */
        ShCtrlC();
        Sh.Interrupted = FALSE;
        return CONTROL('C');
    }
    return NT_SUCCESS(Status) && Io.Information == 1 ? Key : 0;
}

/* What stands behind an escape. */
static ULONG ReadEscape(VOID)
{
    static const USHORT Letters[] = {KeyUp, KeyDown, KeyRight, KeyLeft, KeyNone, KeyEnd, KeyNone, KeyHome};
    CHAR Byte = ShReadKey();
    ULONG Number = 0;

    if (Byte != '[' && Byte != 'O') {
        return Byte == 0 ? KeyGone : KeyNone;
    }
    for (Byte = ShReadKey(); (Byte >= '0' && Byte <= '9') || Byte == ';'; Byte = ShReadKey()) {
        Number = Byte == ';' ? 0 : (Number * 10 + (ULONG)(Byte - '0')) % 1000;
    }
    if (Byte >= 'A' && Byte <= 'H') {
        return Letters[Byte - 'A'];
    }
    if (Byte == '~') {
        return Number == 3                  ? KeyDelete
               : Number == 1 || Number == 7 ? KeyHome
               : Number == 4 || Number == 8 ? KeyEnd
                                            : KeyNone;
    }
    return Byte == 0 ? KeyGone : KeyNone;
}

static ULONG ReadKey(VOID)
{
    for (;;) {
        ULONG Key = (UCHAR)ShReadKey();
        BOOLEAN WasReturn = AfterReturn;

        AfterReturn = Key == '\r';
        if (Key == '\n' && WasReturn) {
            continue;
        }
        return Key == 0 ? KeyGone : Key == 0x1B ? ReadEscape() : Key;
    }
}

/* Keys that move and remove. FALSE: the key is none of them. */
static BOOLEAN MoveKey(SH_EDIT *Edit, ULONG Key)
{
    switch (Key) {
    case KeyLeft:
        MoveTo(Edit, Edit->Cursor == 0 ? 0 : Edit->Cursor - 1);
        return TRUE;
    case KeyRight:
        MoveTo(Edit, min(Edit->Cursor + 1, Edit->Length));
        return TRUE;
    case KeyHome:
    case CONTROL('A'):
        MoveTo(Edit, 0);
        return TRUE;
    case KeyEnd:
    case CONTROL('E'):
        MoveTo(Edit, Edit->Length);
        return TRUE;
    case '\b':
    case 0x7F:
        Erase(Edit, Edit->Cursor != 0);
        return TRUE;
    case KeyDelete:
    case CONTROL('D'):
        EraseAhead(Edit, Edit->Cursor != Edit->Length);
        return TRUE;
    case CONTROL('K'):
        EraseAhead(Edit, Edit->Length - Edit->Cursor);
        return TRUE;
    case CONTROL('U'):
        Replace(Edit, "");
        return TRUE;
    case CONTROL('W'):
        Erase(Edit, WordBefore(Edit));
        return TRUE;
    case KeyUp:
    case CONTROL('P'):
        Recall(Edit, Edit->Recalled + 1);
        return TRUE;
    case KeyDown:
    case CONTROL('N'):
        Recall(Edit, Edit->Recalled == 0 ? 0 : Edit->Recalled - 1);
        return TRUE;
    default:
        return FALSE;
    }
}

static VOID ShowLine(SH_EDIT *Edit, PCSTR Before)
{
    for (; *Before != 0; Before++) {
        Show(*Before);
    }
    EditShowAgain(Edit);
}

static VOID EditKey(SH_EDIT *Edit, ULONG Key)
{
    if (MoveKey(Edit, Key)) {
        return;
    }
    if (Key == CONTROL('C')) {
        Edit->Length = Edit->Cursor = Edit->Recalled = 0;
        Edit->Line[0] = 0;
        ShowLine(Edit, "^C\n");
    } else if (Key == CONTROL('L')) {
        ShowLine(Edit, "\n");
    } else if (Key == '\t') {
        Flush();
        EditComplete(Edit);
    } else if (Key >= ' ' && Key < KeyNone) {
        EditInsert(Edit, (CHAR)Key);
    }
}

BOOLEAN ShReadLine(PCSTR Prompt, PSTR Line, ULONG Bytes)
{
    SH_EDIT Edit = {.Line = Line, .Bytes = Bytes, .Prompt = Prompt};

    BOOLEAN Done = FALSE;

    Line[0] = 0;
    ShWantCtrlC(FALSE);
    EditShowAgain(&Edit);
    while (!Done) {
        ULONG Key;

        Flush();
        Key = ReadKey();
        if (Key == KeyGone) {
            return FALSE;
        }
        Done = Key == '\r' || Key == '\n';
        if (!Done) {
            EditKey(&Edit, Key);
        }
    }
    ShCtrlC(); /* what came before this line is not meant for it; what comes from here on is */
    Sh.Interrupted = FALSE;
    ShWantCtrlC(TRUE);
    Show('\n');
    Flush();
    Remember(Line);
    return TRUE;
}

BOOLEAN ShReadPlain(PSTR Line, ULONG Bytes)
{
    ULONG Length = 0;
    IO_STATUS_BLOCK Io;
    CHAR Byte;

    for (;;) {
        NTSTATUS Status = NtReadFile(Sh.OwnIn, NULL, NULL, NULL, &Io, &Byte, 1, NULL, NULL);

        if (!NT_SUCCESS(Status) || Io.Information == 0) {
            Line[Length] = 0;
            return Length != 0;
        }
        if (Byte == '\n') {
            break;
        }
        if (Byte != '\r' && Length < Bytes - 1) {
            Line[Length++] = Byte;
        }
    }
    Line[Length] = 0;
    return TRUE;
}
