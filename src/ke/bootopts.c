/*
 * bootopts.c - the options on the kernel's command line.
 *
 * The command line is copied and checked once at start-up: words separated by blanks, NAME or NAME=VALUE. Every option that
 * exists is in the table below and in docs/boot-options.md. One that is not is named on the console, so that a
 * switch somebody relies on is never silently ignored, and the start-up goes on.
 *
 * Locks: none; nothing changes after KeParseBootOptions. IRQL: any.
 */
#include <ntos/console.h>
#include <ntos/init.h>

#define BOOT_LINE_BYTES 1024

/* Sorted by name. */
static const PCSTR KiKnownOptions[] = {
    "aslrseed", /* addresses of programs are chosen from this number */
    "console",  /* kernel: its own prompt; shell: the session manager's, with `test` too */
    "cpus",     /* at most so many processors are started */
    "debug",    /* gdb stub on COM2 */
    "fault",    /* chk: every N-th allocation of a kind fails */
    "noacpi",   /* ignore the ACPI tables */
    "noaslr",   /* programs, their DLLs and stacks lie where they lie */
    "nokaslr",  /* loader: images at their preferred base */
    "nopcid",   /* translations of a process go with the switch to another */
    "obtrace",  /* chk: objects of a type remember who references them */
    "special",  /* chk: pool blocks of a tag between guard pages */
    "stress",   /* chk: iterations of race tests, in percent */
    "test",     /* a bug check ends the emulator */
};

static CHAR KiBootLine[BOOT_LINE_BYTES]; /* (c) words terminated by NUL, ended by an empty word */

/* Compares a word's name, up to '=', with an option. */
static BOOLEAN KiOptionIs(PCSTR Word, PCSTR Name)
{
    while (*Name != 0 && *Word == *Name) {
        Word++;
        Name++;
    }
    return *Name == 0 && (*Word == 0 || *Word == '=');
}

static PCSTR KiNextWord(PCSTR Word)
{
    while (*Word != 0) {
        Word++;
    }
    return Word + 1;
}

static BOOLEAN KiOptionIsKnown(PCSTR Word)
{
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(KiKnownOptions); Index++) {
        if (KiOptionIs(Word, KiKnownOptions[Index])) {
            return TRUE;
        }
    }
    return FALSE;
}

static BOOLEAN KiIsBlank(CHAR Character)
{
    return Character == ' ' || Character == '\t';
}

VOID KeParseBootOptions(PCSTR CommandLine)
{
    ULONG Length = 0;

    while (KiIsBlank(*CommandLine)) {
        CommandLine++;
    }
    for (; *CommandLine != 0 && Length < BOOT_LINE_BYTES - 2; CommandLine++) {
        if (!KiIsBlank(*CommandLine)) {
            KiBootLine[Length++] = *CommandLine;
        } else if (!KiIsBlank(CommandLine[1]) && CommandLine[1] != 0) {
            KiBootLine[Length++] = 0;
        }
    }
    if (*CommandLine != 0) {
        ConPrint("oriel: the command line is longer than %u bytes; the rest is ignored\n", BOOT_LINE_BYTES - 2);
    }
    for (PCSTR Word = KiBootLine; *Word != 0; Word = KiNextWord(Word)) {
        if (!KiOptionIsKnown(Word)) {
            ConPrint("oriel: unknown boot option \"%s\" (see docs/boot-options)\n", Word);
        }
    }
}

/**
 * KeBootOption - look an option up.
 *
 * @Name        without '='
 * @Value       receives the text after '=', cut to ValueBytes with its terminator; may be NULL if ValueBytes is 0
 * returns      TRUE: the option was given
 */
BOOLEAN KeBootOption(PCSTR Name, PSTR Value, ULONG ValueBytes)
{
    for (PCSTR Word = KiBootLine; *Word != 0; Word = KiNextWord(Word)) {
        if (!KiOptionIs(Word, Name)) {
            continue;
        }
        while (*Word != 0 && *Word != '=') {
            Word++;
        }
        Word += *Word == '=' ? 1 : 0;
        for (; ValueBytes > 1 && *Word != 0; ValueBytes--) {
            *Value++ = *Word++;
        }
        if (ValueBytes != 0) {
            *Value = 0;
        }
        return TRUE;
    }
    return FALSE;
}
