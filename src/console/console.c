/*
 * console.c - the kernel's prompt: reads lines, splits them, runs commands.
 *
 * Commands announce themselves by CONSOLE_COMMAND anywhere in the kernel; the linker gathers pointers to them between
 * the two markers below (section names sort by what follows '$'). `help` lists them by name. A command runs to its
 * end in the console's thread at PASSIVE_LEVEL, and the next prompt says that it is done: test scripts rely on that,
 * and on an error message whenever a command does not do what it was asked.
 *
 * A command that returns with IRQL raised or APCs disabled would damage everything after it, so that is a bug
 * check in both flavours. Locks: none.
 */
#include <ntos/hal.h>
#include <ntos/init.h>
#include <ntos/ke.h>
#include <ntos/rtl.h>
#include "consolep.h"

typedef const CONSOLE_COMMAND_ENTRY *PCONSOLE_ENTRY;

__attribute__((section(".concmd$a"), used)) static const PCONSOLE_ENTRY ConpFirst = NULL;
__attribute__((section(".concmd$z"), used)) static const PCONSOLE_ENTRY ConpLast = NULL;

/* The n-th command, NULL past the last. The barrier keeps the compiler from knowing that the markers hold NULL. */
static PCONSOLE_ENTRY ConpCommand(ULONG Index)
{
    const volatile PCONSOLE_ENTRY *Entry = &ConpFirst + 1 + Index;

    __asm__("" : "+r"(Entry));
    return (ULONG_PTR)Entry < (ULONG_PTR)&ConpLast ? *Entry : NULL;
}

static int ConpCompare(PCSTR First, PCSTR Second)
{
    while (*First != 0 && *First == *Second) {
        First++;
        Second++;
    }
    return (UCHAR)*First - (UCHAR)*Second;
}

static PCONSOLE_ENTRY ConpFind(PCSTR Name)
{
    PCONSOLE_ENTRY Entry;

    for (ULONG Index = 0; (Entry = ConpCommand(Index)) != NULL; Index++) {
        if (ConpCompare(Entry->Name, Name) == 0) {
            return Entry;
        }
    }
    return NULL;
}

ULONG ConpSplitLine(PSTR Line, PCSTR *Arguments, ULONG Maximum)
{
    ULONG Count = 0;
    PSTR Out = Line;

    while (*Line != 0) {
        BOOLEAN Quoted = FALSE;

        while (*Line == ' ') {
            Line++;
        }
        if (*Line == 0 || Count == Maximum) {
            break;
        }
        Arguments[Count++] = Out;
        for (; *Line != 0 && (Quoted || *Line != ' '); Line++) {
            if (*Line == '"') {
                Quoted = !Quoted;
            } else {
                *Out++ = *Line;
            }
        }
        Line += *Line != 0;
        *Out++ = 0;
    }
    return Count;
}

BOOLEAN ConpIsCommand(PCSTR Name, ULONG Length)
{
    PCONSOLE_ENTRY Entry;

    for (ULONG Index = 0; (Entry = ConpCommand(Index)) != NULL; Index++) {
        ULONG At = 0;

        while (At < Length && Entry->Name[At] != 0 && Entry->Name[At] == Name[At]) {
            At++;
        }
        if (At == Length && Entry->Name[At] == 0) {
            return TRUE;
        }
    }
    return FALSE;
}

BOOLEAN ConpExecute(PSTR Line)
{
    PCSTR Arguments[CON_ARGUMENTS];
    ULONG Count = ConpSplitLine(Line, Arguments, CON_ARGUMENTS);
    PCONSOLE_ENTRY Entry;

    if (Count == 0) {
        return TRUE;
    }
    Entry = ConpFind(Arguments[0]);
    if (Entry == NULL) {
        ConPrint("%s: no such command (`help` lists them)\n", Arguments[0]);
        return FALSE;
    }
    Entry->Run(Count, Arguments);
    if (KeGetCurrentIrql() != PASSIVE_LEVEL) {
        KeBugCheckEx(IRQL_UNEXPECTED_VALUE, KeGetCurrentIrql(), (ULONG_PTR)Entry->Run, 0, 0);
    }
    return TRUE;
}

static VOID NTAPI ConpThread(PVOID Context)
{
    static CHAR Line[CON_LINE_BYTES];

    ConPrint("Ready. `help` lists the commands.\n");
    for (;;) {
        ConPrint("%s", CON_PROMPT);
        ConpReadLine(Line, CON_PROMPT);
        ConpExecute(Line);
    }
}

/* Whether programs get the console: `console=` says so; else they do, but where tests expect the kernel's prompt. */
static BOOLEAN ConpWantsSession(VOID)
{
    CHAR Value[8] = "";

    if (!KeBootOption("console", Value, sizeof(Value))) {
        return !KeBootOption("test", NULL, 0);
    }
    if (ConpCompare(Value, "shell") != 0 && ConpCompare(Value, "kernel") != 0) {
        ConPrint("oriel: boot option console=%s: neither kernel nor shell\n", Value);
    }
    return ConpCompare(Value, "kernel") != 0;
}

/**
 * ConsoleStart - opens the prompt: that of a shell in ring 3, or the kernel's own, which is also what is left when there is no shell.
 *
 * IRQL: PASSIVE_LEVEL, at the end of phase 1. The thread that ran phase 1 becomes the console's: never returns.
 */
VOID ConsoleStart(VOID)
{
    ConpInitializeInput();
    ConpConnectKeyboard();
    ConpCreateDevice();
    if (ConpWantsSession()) {
        ConpRunSession();
    }
    ConpThread(NULL);
}

static VOID ConpHelpLine(PCONSOLE_ENTRY Entry)
{
    ConPrint("%-10s %-16s %s\n", Entry->Name, Entry->Usage, Entry->Help);
}

/* Prints every command in the order of names, by selection of the smallest name not yet printed; or one. */
static VOID ConpHelp(ULONG ArgumentCount, PCSTR *Arguments)
{
    PCONSOLE_ENTRY Entry, Next;
    PCSTR Printed = "";

    if (ArgumentCount > 1) {
        Entry = ConpFind(Arguments[1]);
        if (Entry != NULL) {
            ConpHelpLine(Entry);
        } else {
            ConPrint("help: %s: no such command\n", Arguments[1]);
        }
        return;
    }

    for (;;) {
        Next = NULL;
        for (ULONG Index = 0; (Entry = ConpCommand(Index)) != NULL; Index++) {
            if (ConpCompare(Entry->Name, Printed) > 0 && (Next == NULL || ConpCompare(Entry->Name, Next->Name) < 0)) {
                Next = Entry;
            }
        }
        if (Next == NULL) {
            return;
        }
        ConpHelpLine(Next);
        Printed = Next->Name;
    }
}
CONSOLE_COMMAND(ConpHelpCommand, "help", "[COMMAND]", "list the commands, or explain one", ConpHelp);

static VOID ConpEcho(ULONG ArgumentCount, PCSTR *Arguments)
{
    for (ULONG Index = 1; Index < ArgumentCount; Index++) {
        ConPrint("%s%s", Index == 1 ? "" : " ", Arguments[Index]);
    }
    ConPrint("\n");
}
CONSOLE_COMMAND(ConpEchoCommand, "echo", "[TEXT]...", "print the arguments", ConpEcho);
