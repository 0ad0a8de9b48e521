/*
 * shell.h - what the shell's files share.
 *
 * A line goes through parse.c (variables, then commands, pipes and redirections), pipeline.c (which runs what was found: a built-in in the shell
 * itself, a program, a script, a command of the kernel) and start.c (processes). Text is UTF-8 everywhere; names become UTF-16 where a service is called.
 * One thread, so nothing is locked.
 */
#pragma once

#include <ntos/condev.h>
#include <oriel/program.h>

#include "../../console/statusname.h"

#define SH_LINE      1024 /* bytes of a command line, before and after variables are put in, with its terminator */
#define SH_WORDS     64
#define SH_PIPELINE  8      /* commands of one */
#define SH_PATH      1024   /* bytes of a path */
#define SH_ARGUMENTS 10     /* %0 to %9 */
#define SH_BUFFER    0x4000 /* bytes of a file read at a time */

/* One command of a pipeline. */
typedef struct _SH_COMMAND {
    CHAR Text[SH_LINE];  /* without redirections */
    CHAR Split[SH_LINE]; /* what Words and the redirections point into */
    CHAR Names[SH_LINE];
    PCSTR Words[SH_WORDS];
    ULONG Count;
    PCSTR Input, Output, Error; /* redirections; NULL: none */
    BOOLEAN ErrorToOutput;
} SH_COMMAND, *PSH_COMMAND;

/* A script that runs. */
typedef struct _SH_BATCH {
    struct _SH_BATCH *Caller;
    PSTR Text;
    ULONG Length, At;
    PCSTR Arguments[SH_ARGUMENTS];
    BOOLEAN Ended, Jumped; /* goto: what is left of the line does not count */
} SH_BATCH, *PSH_BATCH;

typedef struct _SH_STATE {
    HANDLE In, Out, Err;          /* of the shell, or of the built-in that runs */
    HANDLE OwnIn, OwnOut, OwnErr; /* of the shell */
    HANDLE Console;               /* a file of the shell's own; NULL: there is none */
    HANDLE CtrlEvent;             /* set by Ctrl-C while no program is in the foreground */
    BOOLEAN Interactive;          /* In is the console, and a person types */
    BOOLEAN InJob;                /* of another shell's foreground, and so are its programs */
    BOOLEAN Exiting, EchoOff;
    BOOLEAN Interrupted; /* Ctrl-C: scripts and lists of commands end */
    BOOLEAN Broken;      /* Out takes nothing more */
    LONG ErrorLevel;
    PSH_BATCH Batch;         /* the innermost that runs */
    CHAR Directory[SH_PATH]; /* ends with a backslash */
} SH_STATE;

extern SH_STATE Sh;

/* ---- text.c ---- */

ULONG ShLength(PCSTR Text);
BOOLEAN ShSame(PCSTR First, PCSTR Second); /* without regard to case (ASCII) */
BOOLEAN ShBeginsWith(PCSTR Text, PCSTR Prefix);
CHAR ShLower(CHAR Character);
BOOLEAN ShIsBlank(CHAR Character);
PCSTR ShSkipBlanks(PCSTR Text);
BOOLEAN ShNumber(PCSTR Text, PULONG64 Number); /* decimal, or 0x and hexadecimal; all of the text */
/* Copies as much as fits; always terminates. Returns the bytes without the terminator. */
ULONG ShCopy(PSTR To, ULONG Bytes, PCSTR From);
PVOID ShAllocate(SIZE_T Bytes); /* zeroed; what cannot be had ends the shell */
VOID ShFree(PVOID Block);
BOOLEAN ShWrite(HANDLE File, const VOID *Data, ULONG Bytes);
VOID ShPrint(PCSTR Format, ...) __attribute__((format(printf, 1, 2)));
VOID ShError(PCSTR Format, ...) __attribute__((format(printf, 1, 2)));
VOID ShErrorStatus(PCSTR Command, PCSTR What, NTSTATUS Status); /* also sets ERRORLEVEL to 1 */
/* UTF-16 with a terminator; the buffer is the heap's. FALSE: not UTF-8. */
BOOLEAN ShToWide(PCSTR Text, PUNICODE_STRING Wide);
VOID ShToNarrow(const WCHAR *Text, ULONG Characters, PSTR Buffer, ULONG Bytes);
/* Ctrl-C was typed since the last call. */
BOOLEAN ShCtrlC(VOID);

/* Whether Ctrl-C sets CtrlEvent, or is a key. (main.c) */
VOID ShWantCtrlC(BOOLEAN Wanted);

/* ---- path.c ---- */

/* What was typed as a full path: drive, colon, no "." or ".."; or an NT path as it is. FALSE: too long. */
BOOLEAN ShFullPath(PCSTR Typed, PSTR Full, ULONG Bytes);
NTSTATUS ShOpen(PCSTR Typed, ACCESS_MASK Access, ULONG Options, ULONG Attributes, PHANDLE Handle);
BOOLEAN ShExists(PCSTR Typed, PBOOLEAN IsDirectory);
BOOLEAN ShNtPath(PCSTR Full, PUNICODE_STRING Path);
/* The file of a program or script: beside the shell, in the directory, along PATH. FALSE: there is none. */
BOOLEAN ShFindProgram(PCSTR Name, PSTR Full, ULONG Bytes, PBOOLEAN IsScript);

/* ---- parse.c ---- */

/* Puts the values of variables into a line. FALSE: it gets too long. */
BOOLEAN ShExpand(PCSTR Line, PSTR Expanded, ULONG Bytes);
VOID ShRunLine(PCSTR Line);     /* as typed */
VOID ShRunExpanded(PCSTR Line); /* variables are in */

/* ---- pipeline.c, start.c ---- */

VOID ShRunPipeline(PSH_COMMAND Commands, ULONG Count);
typedef struct _SH_START {
    PCSTR Image; /* full path */
    PCSTR CommandLine;
    HANDLE In, Out, Err; /* duplicated for the program */
    BOOLEAN Suspended;
} SH_START;
NTSTATUS ShStart(const SH_START *Start, PHANDLE Process, PHANDLE Thread, PULONG Id);
NTSTATUS ShCreatePipe(PHANDLE Read, PHANDLE Write);
/* Waits for a process's end and takes its exit status. */
NTSTATUS ShExitStatus(HANDLE Process);
NTSTATUS ShKernelCommand(PCSTR Text, HANDLE Output);
BOOLEAN ShIsConsole(HANDLE File);
NTSTATUS ShOpenDevice(PCWSTR Name, ULONG Attributes, PHANDLE Handle);

/* ---- batch.c ---- */

VOID ShRunScript(PCSTR Full, const SH_COMMAND *Command);
VOID ShEcho(PCSTR Line);

/* ---- edit.c ---- */

/* A line typed by a person. FALSE: the console is gone. */
BOOLEAN ShReadLine(PCSTR Prompt, PSTR Line, ULONG Bytes);
/* A line from the standard input. FALSE: it has ended. */
BOOLEAN ShReadPlain(PSTR Line, ULONG Bytes);
VOID ShShowHistory(VOID);
CHAR ShReadKey(VOID); /* one byte of the console; 0: none any more */

/* ---- builtin.c: the table; the others implement ---- */

typedef VOID (*PSH_ROUTINE)(const SH_COMMAND *Command);
typedef struct _SH_BUILTIN {
    PCSTR Name, Usage, Help;
    PSH_ROUTINE Routine;
    BOOLEAN Keeps; /* leaves ERRORLEVEL as it is, unless it fails */
} SH_BUILTIN;
const SH_BUILTIN *ShFindBuiltin(PCSTR Name);

VOID ShCall(const SH_COMMAND *Command);
VOID ShGoto(const SH_COMMAND *Command);
VOID ShExit(const SH_COMMAND *Command);
VOID ShDir(const SH_COMMAND *Command);
VOID ShType(const SH_COMMAND *Command);
VOID ShMore(const SH_COMMAND *Command);
VOID ShSha256(const SH_COMMAND *Command);
VOID ShHexdump(const SH_COMMAND *Command);
VOID ShStartCommand(const SH_COMMAND *Command);
VOID ShWaitCommand(const SH_COMMAND *Command);
VOID ShKill(const SH_COMMAND *Command);
VOID ShTasklist(const SH_COMMAND *Command);
VOID ShRunCommand(const SH_COMMAND *Command);
