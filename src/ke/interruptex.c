/*
 * interruptex.c - IoConnectInterruptEx: one entry for the ways to connect an interrupt.
 *
 * A driver that knows vector, level and mode says so (CONNECT_FULLY_SPECIFIED, and _GROUP). Those that leave it to the
 * system (CONNECT_LINE_BASED, CONNECT_MESSAGE_BASED) name a physical device object that PnP has given resources to; there is
 * no PnP, and they are answered as the documentation lays down for such systems: STATUS_NOT_SUPPORTED, with Version set to
 * what is there, so that the driver tries that.
 *
 * Locks: none here. Source: WDK documentation of IoConnectInterruptEx and IoDisconnectInterruptEx.
 */
#include "kip.h"

/**
 * IoConnectInterruptEx - connects a service routine to a device's interrupt.
 *
 * @Parameters  Version and what it asks for
 * returns      STATUS_SUCCESS; STATUS_NOT_SUPPORTED, and Version is the highest there is; else as IoConnectInterrupt
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI IoConnectInterruptEx(PIO_CONNECT_INTERRUPT_PARAMETERS Parameters)
{
    PIO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS Full = &Parameters->FullySpecified;
    BOOLEAN Group = Parameters->Version == CONNECT_FULLY_SPECIFIED_GROUP;

    ASSERT_IRQL(PASSIVE_LEVEL);
    if (Parameters->Version != CONNECT_FULLY_SPECIFIED && !Group) {
        Parameters->Version = CONNECT_FULLY_SPECIFIED;
        return STATUS_NOT_SUPPORTED;
    }
    if (Group && Full->Group != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    return IoConnectInterrupt(Full->InterruptObject, Full->ServiceRoutine, Full->ServiceContext, Full->SpinLock,
                              Full->Vector, Full->Irql, Full->SynchronizeIrql, Full->InterruptMode, Full->ShareVector,
                              Full->ProcessorEnableMask, Full->FloatingSave);
}

/* Undoes it. IRQL: PASSIVE_LEVEL; on return the routine runs nowhere. */
VOID NTAPI IoDisconnectInterruptEx(PIO_DISCONNECT_INTERRUPT_PARAMETERS Parameters)
{
    IoDisconnectInterrupt(Parameters->ConnectionContext.InterruptObject);
}
