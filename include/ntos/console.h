/*
 * console.h - commands of the kernel's console.
 *
 * A command is defined next to what it shows, in any component, by one CONSOLE_COMMAND line; the linker gathers them
 * from section .concmd and `help` lists them. Commands run at PASSIVE_LEVEL in the console's thread.
 */
#pragma once

#include <ntos/ntos.h>

typedef VOID (*PCONSOLE_ROUTINE)(ULONG ArgumentCount, PCSTR *Arguments); /* Arguments[0] is the command's name */

typedef struct _CONSOLE_COMMAND_ENTRY {
    PCSTR Name;
    PCSTR Usage; /* arguments, e.g. "[PATTERN]"; "" for none */
    PCSTR Help;  /* one line */
    PCONSOLE_ROUTINE Run;
} CONSOLE_COMMAND_ENTRY;

#define CONSOLE_COMMAND(Symbol, CommandName, CommandUsage, CommandHelp, Routine)                                       \
    static const CONSOLE_COMMAND_ENTRY Symbol = {CommandName, CommandUsage, CommandHelp, Routine};                     \
    __attribute__((section(".concmd$m"), used)) static const CONSOLE_COMMAND_ENTRY *const Symbol##Pointer = &Symbol

/* Formatted output to the console (all its devices). IRQL: <= HIGH_LEVEL. Format as DbgPrint's. */
VOID ConPrint(PCSTR Format, ...) __attribute__((format(printf, 1, 2)));

/* Waits for a key typed on the console, which is taken; FALSE: none came in time. PASSIVE_LEVEL, in a command. */
BOOLEAN ConWaitKey(ULONG Milliseconds);

/* The same for text as it is. */
VOID ConPrintText(const CHAR *Text, ULONG Length);

/* Set while a command's output goes to a program (src/console/session.c): sees each piece before it is printed. TRUE: taken. */
extern BOOLEAN (*KiPrintDivert)(const CHAR *Text, ULONG Length);

/*
 * The display, once it is open (src/console/screen.c); NULL before. Called with every piece of text that goes to the
 * serial console, at HIGH_LEVEL under the print lock, or without it in a bug check; never faults or waits.
 */
extern VOID (*KiPrintScreen)(const CHAR *Text, ULONG Length);
