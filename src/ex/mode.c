/*
 * mode.c - which mode a service's caller came from.
 *
 * The system-service entry sets the current thread's PreviousMode, Zw routines set it to KernelMode for their length; no lock, a thread asks about
 * itself only.
 */
#include <ntos/ke.h>

/* IRQL: any. */
KPROCESSOR_MODE NTAPI ExGetPreviousMode(VOID)
{
    return KeGetCurrentPrcb()->CurrentThread->PreviousMode;
}
