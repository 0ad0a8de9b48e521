/*
 * tiny.c - the program that the process benchmark starts.
 *
 * It does nothing and imports nothing but its end, so that what is counted is the making and the end of a process.
 */
#include <oriel/program.h>

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    return STATUS_SUCCESS;
}
