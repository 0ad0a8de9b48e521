/*
 * line.c - the console's line editor.
 *
 * Keys: printable bytes insert; Backspace, Delete; Left, Right, Home, End (Ctrl-A, Ctrl-E); Ctrl-U kills the line,
 * Ctrl-K its rest, Ctrl-W a word; Up and Down walk the last CON_HISTORY_LINES commands; Ctrl-C gives up the line. Escape
 * sequences are VT100's (ESC [ X, ESC O X, ESC [ n ~); unknown ones are swallowed whole.
 *
 * What is shown is changed by printing text, blanks and backspaces only, so that the editor works on every output
 * device, the plain text screen included. Bytes of UTF-8 sequences are kept but count as one column each, which
 * shows in editing only. A line that is full takes no more bytes and sounds the bell.
 *
 * All state belongs to the console's thread: no locks, PASSIVE_LEVEL. Must never echo a byte that it drops.
 */
#include "consolep.h"

typedef struct _CON_EDITOR {
    PSTR Line;      /* the caller's buffer */
    ULONG Length;   /* bytes in it */
    ULONG Cursor;   /* 0..Length */
    ULONG Recalled; /* history lines back from the newest; 0: the line being typed */
} CON_EDITOR, *PCON_EDITOR;

typedef enum _CON_KEY {
    ConKeyNone = 256, /* above every byte */
    ConKeyUp,
    ConKeyDown,
    ConKeyLeft,
    ConKeyRight,
    ConKeyHome,
    ConKeyEnd,
    ConKeyDelete
} CON_KEY;

static CHAR ConpHistory[CON_HISTORY_LINES][CON_LINE_BYTES];
static ULONG ConpHistoryCount; /* lines ever stored; the newest is at (Count - 1) % CON_HISTORY_LINES */
static BOOLEAN ConpSkipLineFeed;

static VOID ConpBack(ULONG Columns)
{
    while (Columns-- != 0) {
        ConPrint("\b");
    }
}

/* Shows the line from Cursor on, then blanks over Erased columns, and puts the cursor back. */
static VOID ConpShowTail(PCON_EDITOR Editor, ULONG Erased)
{
    ConPrint("%s", Editor->Line + Editor->Cursor);
    for (ULONG Index = 0; Index < Erased; Index++) {
        ConPrint(" ");
    }
    ConpBack(Editor->Length - Editor->Cursor + Erased);
}

static VOID ConpInsert(PCON_EDITOR Editor, CHAR Character)
{
    if (Editor->Length + 1 >= CON_LINE_BYTES) {
        ConPrint("\a");
        return;
    }
    memmove(Editor->Line + Editor->Cursor + 1, Editor->Line + Editor->Cursor, Editor->Length - Editor->Cursor + 1);
    Editor->Line[Editor->Cursor++] = Character;
    Editor->Length++;
    ConPrint("%c", Character);
    if (Editor->Cursor != Editor->Length) {
        ConpShowTail(Editor, 0);
    }
}

/* Removes Count bytes before the cursor. */
static VOID ConpErase(PCON_EDITOR Editor, ULONG Count)
{
    if (Count == 0) {
        return;
    }
    memmove(Editor->Line + Editor->Cursor - Count, Editor->Line + Editor->Cursor, Editor->Length - Editor->Cursor + 1);
    Editor->Cursor -= Count;
    Editor->Length -= Count;
    ConpBack(Count);
    ConpShowTail(Editor, Count);
}

static VOID ConpMoveTo(PCON_EDITOR Editor, ULONG Cursor)
{
    if (Cursor < Editor->Cursor) {
        ConpBack(Editor->Cursor - Cursor);
    }
    for (; Editor->Cursor < Cursor; Editor->Cursor++) {
        ConPrint("%c", Editor->Line[Editor->Cursor]);
    }
    Editor->Cursor = Cursor;
}

/* Removes what lies at and after the cursor, Count bytes of it. */
static VOID ConpEraseAhead(PCON_EDITOR Editor, ULONG Count)
{
    ULONG Cursor = Editor->Cursor;

    ConpMoveTo(Editor, Cursor + Count);
    ConpErase(Editor, Count);
}

static VOID ConpReplace(PCON_EDITOR Editor, PCSTR Text)
{
    ConpMoveTo(Editor, Editor->Length);
    ConpErase(Editor, Editor->Length);
    for (; *Text != 0; Text++) {
        ConpInsert(Editor, *Text);
    }
}

static VOID ConpRecall(PCON_EDITOR Editor, ULONG Back)
{
    ULONG Kept = ConpHistoryCount < CON_HISTORY_LINES ? ConpHistoryCount : CON_HISTORY_LINES;

    if (Back > Kept) {
        return;
    }
    Editor->Recalled = Back;
    ConpReplace(Editor, Back == 0 ? "" : ConpHistory[(ConpHistoryCount - Back) % CON_HISTORY_LINES]);
}

/* Stores a line unless it is empty or repeats the newest. */
static VOID ConpRemember(PCSTR Line, ULONG Length)
{
    PCSTR Newest = ConpHistory[(ConpHistoryCount + CON_HISTORY_LINES - 1) % CON_HISTORY_LINES];

    if (Length == 0 || (ConpHistoryCount != 0 && memcmp(Newest, Line, Length + 1) == 0)) {
        return;
    }
    memcpy(ConpHistory[ConpHistoryCount++ % CON_HISTORY_LINES], Line, Length + 1);
}

static ULONG ConpWordBefore(PCON_EDITOR Editor)
{
    ULONG Start = Editor->Cursor;

    while (Start != 0 && Editor->Line[Start - 1] == ' ') {
        Start--;
    }
    while (Start != 0 && Editor->Line[Start - 1] != ' ') {
        Start--;
    }
    return Editor->Cursor - Start;
}

/* The rest of an escape sequence, after ESC. */
static ULONG ConpReadEscape(VOID)
{
    UCHAR Byte = ConpReadByte();
    ULONG Number = 0;

    if (Byte != '[' && Byte != 'O') {
        return ConKeyNone;
    }
    for (Byte = ConpReadByte(); (Byte >= '0' && Byte <= '9') || Byte == ';'; Byte = ConpReadByte()) {
        Number = Byte == ';' ? 0 : Number * 10 + Byte - '0';
    }
    switch (Byte) {
    case 'A':
        return ConKeyUp;
    case 'B':
        return ConKeyDown;
    case 'C':
        return ConKeyRight;
    case 'D':
        return ConKeyLeft;
    case 'H':
        return ConKeyHome;
    case 'F':
        return ConKeyEnd;
    case '~':
        return Number == 3                  ? ConKeyDelete
               : Number == 1 || Number == 7 ? ConKeyHome
               : Number == 4 || Number == 8 ? ConKeyEnd
                                            : ConKeyNone;
    default:
        return ConKeyNone;
    }
}

/* Keys that move or remove. Returns FALSE for a key that is none of them. */
static BOOLEAN ConpEditKey(PCON_EDITOR Editor, ULONG Key)
{
    switch (Key) {
    case ConKeyLeft:
        ConpMoveTo(Editor, Editor->Cursor == 0 ? 0 : Editor->Cursor - 1);
        return TRUE;
    case ConKeyRight:
        ConpMoveTo(Editor, Editor->Cursor == Editor->Length ? Editor->Cursor : Editor->Cursor + 1);
        return TRUE;
    case ConKeyHome:
    case CON_CONTROL('A'):
        ConpMoveTo(Editor, 0);
        return TRUE;
    case ConKeyEnd:
    case CON_CONTROL('E'):
        ConpMoveTo(Editor, Editor->Length);
        return TRUE;
    case '\b':
    case 0x7F:
        ConpErase(Editor, Editor->Cursor == 0 ? 0 : 1);
        return TRUE;
    case ConKeyDelete:
    case CON_CONTROL('D'):
        ConpEraseAhead(Editor, Editor->Cursor == Editor->Length ? 0 : 1);
        return TRUE;
    case CON_CONTROL('K'):
        ConpEraseAhead(Editor, Editor->Length - Editor->Cursor);
        return TRUE;
    case CON_CONTROL('U'):
        ConpReplace(Editor, "");
        return TRUE;
    case CON_CONTROL('W'):
        ConpErase(Editor, ConpWordBefore(Editor));
        return TRUE;
    case ConKeyUp:
    case CON_CONTROL('P'):
        ConpRecall(Editor, Editor->Recalled + 1);
        return TRUE;
    case ConKeyDown:
    case CON_CONTROL('N'):
        ConpRecall(Editor, Editor->Recalled == 0 ? 0 : Editor->Recalled - 1);
        return TRUE;
    default:
        return FALSE;
    }
}

static VOID ConpRestart(PCON_EDITOR Editor, PCSTR Shown, PCSTR Prompt)
{
    ConPrint("%s\n%s", Shown, Prompt);
    Editor->Length = Editor->Cursor = Editor->Recalled = 0;
    Editor->Line[0] = 0;
}

VOID ConpReadLine(PSTR Line, PCSTR Prompt)
{
    CON_EDITOR Editor = {.Line = Line};

    Line[0] = 0;
    for (;;) {
        ULONG Key = ConpReadByte();
        BOOLEAN AfterReturn = ConpSkipLineFeed;

        ConpSkipLineFeed = Key == '\r';
        if (Key == '\n' && AfterReturn) {
            continue;
        }
        if (Key == '\r' || Key == '\n') {
            break;
        }
        if (Key == 0x1B) {
            Key = ConpReadEscape();
        }
        if (ConpEditKey(&Editor, Key)) {
            continue;
        }
        if (Key == CON_CONTROL('C')) {
            ConpRestart(&Editor, "^C", Prompt);
        } else if (Key == '\t') {
            ConpInsert(&Editor, ' ');
        } else if (Key >= ' ' && Key < ConKeyNone) {
            ConpInsert(&Editor, (CHAR)Key);
        }
    }
    ConPrint("\n");
    ConpRemember(Line, Editor.Length);
}
