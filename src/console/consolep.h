/*
 * consolep.h - what the console's files share.
 *
 * input.c brings bytes from COM1, line.c makes lines of them, console.c runs commands, screen.c shows the output on
 * the machine's own display, path.c and status.c serve the commands that deal with files.
 */
#pragma once

#include <ntos/console.h>
#include <ntos/loader.h>
#include <ntos/ntos.h>

#define CON_PROMPT          "oriel> " /* scripts wait for exactly this at the start of a line */
#define CON_LINE_BYTES      512       /* longest command, with its terminator */
#define CON_ARGUMENTS       32
#define CON_HISTORY_LINES   16
#define CON_PATH_CHARS      520 /* longest path after conversion, UTF-16 units */
#define CON_POOL_TAG        ' noC'
#define CON_RING_BYTES      32768 /* power of two; three seconds of a sender that ignores RTS */
#define CON_CONTROL(Letter) ((UCHAR)((Letter) - '@'))

/* Starts to receive by interrupt. PASSIVE_LEVEL, once. (input.c) */
VOID ConpInitializeInput(VOID);
/* Waits for a byte typed on the console. PASSIVE_LEVEL, the console's thread only. (input.c) */
UCHAR ConpReadByte(VOID);

/**
 * ConpReadLine - the line editor.
 *
 * @Line    receives the line without its end, terminated; CON_LINE_BYTES bytes
 * @Prompt  already printed; printed again after Ctrl-C and Ctrl-L
 *
 * IRQL: PASSIVE_LEVEL, the console's thread only. (line.c)
 */
VOID ConpReadLine(PSTR Line, PCSTR Prompt);

/* Splits a line in place at blanks; "..." keeps blanks. Returns the number of arguments. (console.c) */
ULONG ConpSplitLine(PSTR Line, PCSTR *Arguments, ULONG Maximum);

/**
 * ConpNtPath - what the user typed, as the object manager wants it: D:\a and \a and a become \??\D:\a.
 *
 * @Path  UTF-8; forward slashes count as backslashes; a name that begins with \??\ or \Device\ is left alone
 * @Name  receives the name; its buffer holds CON_PATH_CHARS characters
 * returns  STATUS_SUCCESS, STATUS_OBJECT_NAME_INVALID (too long, or not UTF-8)
 */
NTSTATUS ConpNtPath(PCSTR Path, PUNICODE_STRING Name);
/* UTF-16 to UTF-8 for printing; stops where the buffer ends, always terminates. PASSIVE_LEVEL. */
VOID ConpToUtf8(const WCHAR *Text, ULONG Characters, PSTR Buffer, ULONG Bytes);

/* Prints `name: what: STATUS_NAME (0xC0000000)`, the form of every error of a command. (status.c) */
VOID ConpPrintStatus(PCSTR Command, PCSTR What, NTSTATUS Status);
PCSTR ConpStatusName(NTSTATUS Status);
