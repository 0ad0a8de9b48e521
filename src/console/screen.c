/*
 * screen.c - the console's output on the machine's own display.
 *
 * The text is kept here as cells; a display only draws one cell at a time
 * (display.c). Scrolling moves the cells and redraws those that changed: most
 * of a screen is blank, and device memory is never read. Control characters:
 * \n, \r, \b, \t; \a and other controls show nothing. Bytes above ASCII show as
 * one question mark a character.
 *
 * Everything here runs inside the print lock at HIGH_LEVEL
 * (src/ke/debugprint.c). A bug check prints without that lock and may interrupt
 * an update: every index is checked where it is used, so the worst outcome is a
 * garbled line. Must never: fault, wait, or print.
 */
#include "screen.h"
#include "consolep.h"
#include <ntos/init.h>
#include <ntos/ke.h>

#define CON_TAB 8

static UCHAR ConpCells[CON_ROWS_MAX][CON_COLUMNS_MAX]; /* what is shown, print lock */
static CON_DISPLAY ConpDisplay;                        /* (c) after ConsoleOpenDisplay */
static ULONG ConpRow, ConpColumn;                      /* the cursor, print lock */

static VOID ConpSetCell(ULONG Row, ULONG Column, UCHAR Character)
{
    if (Row < ConpDisplay.Rows && Column < ConpDisplay.Columns && ConpCells[Row][Column] != Character) {
        ConpCells[Row][Column] = Character;
        ConpDisplay.Draw(Row, Column, Character, FALSE);
    }
}

static VOID ConpShowCursor(BOOLEAN Visible)
{
    if (ConpRow < ConpDisplay.Rows && ConpColumn < ConpDisplay.Columns) {
        ConpDisplay.Draw(ConpRow, ConpColumn, ConpCells[ConpRow][ConpColumn], Visible);
    }
}

static VOID ConpNewLine(VOID)
{
    ConpColumn = 0;
    if (ConpRow + 1 < ConpDisplay.Rows) {
        ConpRow++;
        return;
    }
    for (ULONG Row = 0; Row + 1 < ConpDisplay.Rows; Row++) {
        for (ULONG Column = 0; Column < ConpDisplay.Columns; Column++) {
            ConpSetCell(Row, Column, ConpCells[Row + 1][Column]);
        }
    }
    for (ULONG Column = 0; Column < ConpDisplay.Columns; Column++) {
        ConpSetCell(ConpDisplay.Rows - 1, Column, ' ');
    }
}

static VOID ConpShowByte(UCHAR Byte)
{
    switch (Byte) {
    case '\n':
        ConpNewLine();
        return;
    case '\r':
        ConpColumn = 0;
        return;
    case '\b':
        ConpColumn -= ConpColumn != 0;
        return;
    case '\t':
        ConpColumn = (ConpColumn / CON_TAB + 1) * CON_TAB;
        break;
    default:
        if (Byte < ' ' || (Byte & 0xC0) == 0x80) {
            return;
        }
        ConpSetCell(ConpRow, ConpColumn, Byte < 0x7F ? Byte : '?');
        ConpColumn++;
        break;
    }
    if (ConpColumn >= ConpDisplay.Columns) {
        ConpNewLine();
    }
}

/* The print path's second device. Called as KiPrintBytes is. */
static VOID ConpShow(const CHAR *Text, ULONG Length)
{
    ConpShowCursor(FALSE);
    for (ULONG Index = 0; Index < Length; Index++) {
        ConpShowByte((UCHAR)Text[Index]);
    }
    ConpShowCursor(TRUE);
}

/**
 * ConsoleOpenDisplay - shows from now on what the serial console prints.
 *
 * @LoaderBlock  names the display; needed during the call only
 *
 * IRQL: <= DISPATCH_LEVEL, once, after MmInitializePhase0. Fails: silently; there is then no display.
 */
VOID ConsoleOpenDisplay(LOADER_BLOCK *LoaderBlock)
{
    if (!ConpOpenEga(&LoaderBlock->Framebuffer, &ConpDisplay) &&
        !ConpOpenFramebuffer(&LoaderBlock->Framebuffer, &ConpDisplay)) {
        return;
    }
    ConpDisplay.Rows = ConpDisplay.Rows < CON_ROWS_MAX ? ConpDisplay.Rows : CON_ROWS_MAX;
    ConpDisplay.Columns = ConpDisplay.Columns < CON_COLUMNS_MAX ? ConpDisplay.Columns : CON_COLUMNS_MAX;
    for (ULONG Row = 0; Row < ConpDisplay.Rows; Row++) {
        for (ULONG Column = 0; Column < ConpDisplay.Columns; Column++) {
            ConpCells[Row][Column] = 0;
            ConpSetCell(Row, Column, ' ');
        }
    }
    KiPrintScreen = ConpShow;
}

BOOLEAN ConpScreenSize(PULONG Rows, PULONG Columns)
{
    if (KiPrintScreen == NULL) {
        return FALSE;
    }
    *Rows = ConpDisplay.Rows;
    *Columns = ConpDisplay.Columns;
    return TRUE;
}
