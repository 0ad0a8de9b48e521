/*
 * tiny.c - the program that the process benchmark starts: it ends at once.
 */
#include <oriel/program.h>

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    return STATUS_SUCCESS;
}
