/*
 * iotest.h - a device that keeps requests in a cancel-safe queue until a case says what is to become of them.
 */
#pragma once

#include <ntos/io.h>
#include <ntos/ke.h>
#include <ntos/ktap.h>
#include <ntos/ob.h>
#include <ntos/ps.h>

#define IOTEST_KEEP   CTL_CODE(FILE_DEVICE_UNKNOWN, 0x900, METHOD_BUFFERED, FILE_ANY_ACCESS) /* kept */
#define IOTEST_ANSWER CTL_CODE(FILE_DEVICE_UNKNOWN, 0x901, METHOD_BUFFERED, FILE_ANY_ACCESS) /* done at once */
#define IOTEST_REFUSE CTL_CODE(FILE_DEVICE_UNKNOWN, 0x902, METHOD_BUFFERED, FILE_ANY_ACCESS) /* refused at once */
#define IOTEST_HOLD   CTL_CODE(FILE_DEVICE_UNKNOWN, 0x903, METHOD_BUFFERED, FILE_ANY_ACCESS) /* kept, not cancellable */

typedef struct _IOTEST_DEVICE {
    IO_CSQ Csq;
    KSPIN_LOCK Lock;
    LIST_ENTRY Irps;         /* (Lock) kept */
    LIST_ENTRY Held;         /* (Lock) kept with no cancel routine */
    KSEMAPHORE Queued;       /* released for each kept request, for whoever wants to wait for one */
    volatile LONG Kept;      /* requests that were queued */
    volatile LONG Cancelled; /* requests that the queue's cancellation completed */
    volatile LONG Closes;
} IOTEST_DEVICE, *PIOTEST_DEVICE;

extern PDEVICE_OBJECT IoTestDevice;

NTSTATUS IoTestStart(VOID); /* makes driver and device */
VOID IoTestStop(VOID);
PIOTEST_DEVICE IoTest(VOID);
NTSTATUS IoTestOpen(PHANDLE Handle, ULONG Options);
/* Completes the oldest kept request; its buffer gets Value. FALSE: there was none. IRQL <= DISPATCH_LEVEL. */
BOOLEAN IoTestFinish(NTSTATUS Status, ULONG Value);
BOOLEAN IoTestFinishHeld(NTSTATUS Status);
/* Waits until Condition's counter is at least Value; FALSE: 20 s of guest time have passed. */
BOOLEAN IoTestReached(volatile LONG *Counter, LONG Value);
VOID IoTestPause(LONG Milliseconds);
LONG64 IoTestIrps(VOID);
/* A thread that the case waits for with IoTestJoin. */
PVOID IoTestThread(PKSTART_ROUTINE Routine, PVOID Context);
VOID IoTestJoin(PVOID Thread);
