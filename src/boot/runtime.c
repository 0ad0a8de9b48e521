/*
 * runtime.c - the few library functions of the loader: there is no C library below it.
 *
 * memcpy and memset exist because the compiler calls them for structures. Strings are ASCII: names of modules and boot
 * options; they come from GRUB already copied and NUL-terminated (multiboot.c).
 */
#include "osloader.h"

void *memcpy(void *To, const void *From, size_t Bytes)
{
    void *Start = To;

    __asm__ volatile("rep movsb" : "+D"(To), "+S"(From), "+c"(Bytes)::"memory");
    return Start;
}

void *memset(void *To, int Value, size_t Bytes)
{
    void *Start = To;

    __asm__ volatile("rep stosb" : "+D"(To), "+c"(Bytes) : "a"(Value) : "memory");
    return Start;
}

static char Lower(char Char)
{
    return Char >= 'A' && Char <= 'Z' ? (char)(Char + 32) : Char;
}

int OslEqualNames(const char *A, const char *B)
{
    while (*A != 0 && Lower(*A) == Lower(*B)) {
        A++;
        B++;
    }
    return Lower(*A) == Lower(*B);
}

/* Copies at most Bytes - 1 characters and always terminates. */
void OslCopyString(char *To, const char *From, uint32_t Bytes)
{
    while (Bytes > 1 && *From != 0) {
        *To++ = *From++;
        Bytes--;
    }
    *To = 0;
}

/* The option stands in the command line as a word of its own. */
int OslHasOption(const char *CommandLine, const char *Option)
{
    while (*CommandLine != 0) {
        const char *Match = Option;

        while (*CommandLine == ' ') {
            CommandLine++;
        }
        while (*Match != 0 && *CommandLine == *Match) {
            CommandLine++;
            Match++;
        }
        if (*Match == 0 && (*CommandLine == 0 || *CommandLine == ' ')) {
            return 1;
        }
        while (*CommandLine != 0 && *CommandLine != ' ') {
            CommandLine++;
        }
    }
    return 0;
}
