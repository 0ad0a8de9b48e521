/*
 * tiny.c - the program that the process benchmark starts.
 *
 * It does nothing and imports nothing but what the entry point needs, so that what is counted is the making and the end of a process:
 * its address space, ntdll.dll, one image, one thread.
 */
#include <oriel/program.h>

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    return STATUS_SUCCESS;
}
