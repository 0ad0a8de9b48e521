/*
 * kd.h - the kernel debugger's stub: gdb's remote protocol on COM2 (docs/debugging.md).
 */
#pragma once

#include <ntos/ntos.h>

/**
 * KdInitialize - opens COM2, and with boot option `debug` waits for gdb.
 *
 * IRQL: HIGH_LEVEL or interrupts off, boot processor; after KiInitializeProcessor0 (the wait is a
 * breakpoint trap) and KeParseBootOptions.
 */
VOID KdInitialize(VOID);

/**
 * KdTrap - gives vectors 1 (#DB) and 3 (#BP) to the debugger.
 *
 * @Frame   the interrupted context; the debugger may change it
 * returns  TRUE: resume with the frame; FALSE: no debugger, the caller goes on as without one
 *
 * IRQL: any, interrupts off. Locks: none. Freezes the other processors while it stays.
 */
BOOLEAN KdTrap(PKTRAP_FRAME Frame);

/* Has gdb sent something? Called in every clock interrupt with its frame; enters the debugger if so. IRQL: CLOCK_LEVEL. */
VOID KdCheckBreakIn(PKTRAP_FRAME Frame);

/* A bug check stops in the debugger first, if one is connected. Frame may be NULL. Interrupts off. */
VOID KdBugCheck(PKTRAP_FRAME Frame);

/* Gives this processor's debug registers what gdb set, or nothing. Interrupts off. */
VOID KdLoadDebugRegisters(VOID);

/* The NMI handler asks first. TRUE: the debugger had frozen this processor, and has let it go again. */
BOOLEAN KdNmi(PKTRAP_FRAME Frame);
