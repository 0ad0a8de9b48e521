/*
 * consolep.h - what the console's files share.
 *
 * input.c brings bytes from COM1 and keyboard.c from a keyboard. The kernel's own prompt makes lines of them in line.c, and console.c runs commands;
 * programs read them through the device: device.c, reader.c, foreground.c. session.c starts the session manager and runs commands of
 * the kernel for programs. screen.c shows the output on the machine's own display, path.c and status.c serve the commands that deal with files.
 */
#pragma once

#include <ntos/console.h>
#include <ntos/loader.h>
#include <ntos/ntos.h>

#include "statusname.h"

#define CON_PROMPT          "oriel> " /* scripts wait for exactly this at the start of a line */
#define CON_LINE_BYTES      512       /* longest command, with its terminator */
#define CON_ARGUMENTS       32
#define CON_HISTORY_LINES   16
#define CON_PATH_CHARS      520 /* longest path after conversion, UTF-16 units */
#define CON_POOL_TAG        ' noC'
#define CON_RING_BYTES      32768 /* power of two; three seconds of a sender that ignores RTS */
#define CON_CONTROL(Letter) ((UCHAR)((Letter) - '@'))

/* ---- input.c ---- */

extern KSPIN_LOCK ConpInputLock; /* what is typed, who reads it, what Ctrl-C ends */

/* Starts to receive by interrupt. PASSIVE_LEVEL, once. */
VOID ConpInitializeInput(VOID);
/* Waits for a byte typed on the console. PASSIVE_LEVEL, the console's thread only. */
UCHAR ConpReadByte(VOID);
/* The next byte; FALSE: none. ConpInputLock held, as for ConpIsTyped. */
BOOLEAN ConpTakeByte(PUCHAR Byte);
BOOLEAN ConpIsTyped(VOID);
/* The bytes of a key that was pressed. IRQL: <= DISPATCH_LEVEL. */
VOID ConpTypeKey(PCSTR Bytes, ULONG Count);

/* ---- device.c, reader.c, foreground.c ---- */

/* An open file of \Device\Console: FsContext. */
typedef struct _CON_OPEN {
    LIST_ENTRY Link;     /* (ConpInputLock) */
    volatile ULONG Mode; /* CONSOLE_MODE_* */
    HANDLE ProcessId;    /* (ConpInputLock) who set Event */
    PKEVENT Event;       /* (ConpInputLock) set by Ctrl-C; referenced; NULL: none */
} CON_OPEN, *PCON_OPEN;

/* Makes the device. PASSIVE_LEVEL, once. */
VOID ConpCreateDevice(VOID);
/* Completes a request with what came of it; returns Status. IRQL: <= DISPATCH_LEVEL. */
NTSTATUS ConpComplete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information);

/* Queues a read; STATUS_PENDING. */
NTSTATUS ConpQueueRead(PIRP Irp);
/* Serves pending reads as far as bytes go. IRQL: <= DISPATCH_LEVEL. */
VOID ConpServeReads(VOID);
/* Ends pending reads: of File, or with NULL all that wait for lines, and with Raw those that wait for keys. IRQL: <= DISPATCH_LEVEL. */
VOID ConpCancelReads(PFILE_OBJECT File, BOOLEAN Raw);
/* Drops the line begun. ConpInputLock held. */
VOID ConpForgetLine(VOID);

/* ConpInputLock held: whether Ctrl-C interrupts something rather than being read. */
BOOLEAN ConpCanInterrupt(VOID);
/* Ctrl-C was typed: a worker ends what is in the foreground. IRQL: <= DISPATCH_LEVEL. */
VOID ConpInterruptForeground(VOID);
/* What Ctrl-C ends: a job or a process, which is referenced here; both NULL: nothing. IRQL: <= APC_LEVEL. */
struct _EPROCESS;
VOID ConpSetForeground(PVOID Job, struct _EPROCESS *Process);
/* An open file comes and goes; Ctrl-C's event of one, referenced by the caller, or NULL. IRQL: <= APC_LEVEL. */
VOID ConpEnterOpen(PCON_OPEN Open);
VOID ConpRemoveOpen(PCON_OPEN Open);
VOID ConpSetCtrlEvent(PCON_OPEN Open, PKEVENT Event);

/* ---- keyboard.c, session.c ---- */

/* Connects with the keyboard's driver, if there is one. PASSIVE_LEVEL, once. */
VOID ConpConnectKeyboard(VOID);
/* Runs the session manager, and commands for programs, until it has ended; says why. The console's thread. */
VOID ConpRunSession(VOID);
/* Hands a command line of a program to the console's thread. PASSIVE_LEVEL, the program's thread. */
NTSTATUS ConpQueueCommand(PIRP Irp);
/* The command of the first word; FALSE: there is none. Line is split in place. (console.c) */
BOOLEAN ConpExecute(PSTR Line);
BOOLEAN ConpIsCommand(PCSTR Name, ULONG Length);
/* Starts \SystemRoot\System\NAME.exe or a path and hands its process over, referenced. (program.c) */
NTSTATUS ConpStartProgram(PCSTR Name, PCSTR CommandLine, struct _EPROCESS **Process);

/* Rows and columns of the display. FALSE: there is none. (screen.c) */
BOOLEAN ConpScreenSize(PULONG Rows, PULONG Columns);

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
