/*
 * i8042prt.h - the keyboard's controller and the driver's one device.
 */
#pragma once

/* wdm.h gives these two external linkage in every file that includes it, which would not link twice. */
#include <intrin.h>

#define InterlockedBitTestAndSet   I8042UnusedBitTestAndSet
#define InterlockedBitTestAndReset I8042UnusedBitTestAndReset
#include <ntddk.h>
#undef InterlockedBitTestAndSet
#undef InterlockedBitTestAndReset

#include <ntddkbd.h>

#include <kbdmou.h>

#define I8042_QUEUE 64 /* keys between interrupt and DPC; a power of two. A person's hand is slower by far */

typedef struct _I8042_KEYBOARD {
    PDEVICE_OBJECT Device;
    PKINTERRUPT Interrupt; /* (c) */
    KDPC Dpc;              /* gives the queue to the class */
    KEYBOARD_INPUT_DATA Queue[I8042_QUEUE];
    volatile ULONG Put;     /* service routine */
    volatile ULONG Taken;   /* DPC */
    USHORT Prefix;          /* service routine: KEY_E0 or KEY_E1, for the codes that follow */
    UCHAR PrefixCodes;      /* service routine: how many it is for */
    volatile LONG Overruns; /* keys lost */
    CONNECT_DATA Class;     /* (interrupt's lock) whom keys are given to */
} I8042_KEYBOARD, *PI8042_KEYBOARD;

/* Finds the controller and a keyboard and leaves it sending scan codes of set 1, without interrupts. PASSIVE_LEVEL. (controller.c) */
NTSTATUS I8042Start(VOID);
/* Lets the controller interrupt for the keyboard; keys pressed until then are lost. */
NTSTATUS I8042EnableInterrupts(VOID);
/* A byte from the keyboard; FALSE: none. IRQL: any. */
BOOLEAN I8042Read(PUCHAR Byte);
