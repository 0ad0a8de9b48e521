/*
 * status.c - how the console's error messages show a status.
 *
 * Every error of a command has one form, with the name of the status and its number; names are in statusname.c, which the shell
 * shares. No state, no locks. IRQL: as ConPrint's.
 */
#include "consolep.h"

VOID ConpPrintStatus(PCSTR Command, PCSTR What, NTSTATUS Status)
{
    ConPrint("%s: %s: %s (0x%08lX)\n", Command, What, ConpStatusName(Status), (ULONG)Status);
}
