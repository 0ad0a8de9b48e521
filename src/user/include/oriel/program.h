/*
 * program.h - what a program of this tree includes: the DDK's types, and all that ntdll offers.
 */
#pragma once

#include <oriel/ntdll.h>

NTSTATUS NTAPI NtProcessStartup(PPEB Peb); /* the entry point; what it returns is the exit status */
