/*
 * hello.c - the smallest program: says where it is and ends with status 42.
 *
 * Imports ntdll only. Its command line is echoed, so that a test sees what the kernel handed over; the exit status is one
 * that no failure would have.
 */
#include <oriel/program.h>

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    DbgPrint("hello, world\n");
    DbgPrint("command line: %wZ\n", &Peb->ProcessParameters->CommandLine);
    return 42;
}
