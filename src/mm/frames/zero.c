/*
 * zero.c - the zero-page thread: a stock of zeroed frames, made when the processor has nothing else to do.
 *
 * The thread runs at priority 0, below everything but idle. It takes up to 16 free frames at a time, zeroes them through
 * a batch of window slots and puts them on the Zeroed list, until the list is at its target; it then waits until
 * half of the stock is used. The target is a 64th of RAM, between 1 and 16 MB: enough for a burst of faults,
 * while memory that nobody asks for is left alone (zeroing all of it would touch every frame of the machine for nothing).
 *
 * Locks: PFN lock to take and to give, none while zeroing (DISPATCH_LEVEL, for the window). Woken from MiUnlockPfn.
 */
#include <ntos/ps.h>
#include "../mip.h"

#define MI_ZEROED_LEAST 256  /* 1 MB */
#define MI_ZEROED_MOST  4096 /* 16 MB */

ULONG64 MiZeroedTarget;
ULONG64 MiFramesZeroed;

static KEVENT MiZeroEvent;           /* synchronisation event: the stock is low */
static volatile LONG MiZeroSleeping; /* 1: the thread waits and has not been woken */

VOID MiWakeZeroThread(VOID)
{
    if (MiZeroSleeping != 0 && MiLists[MiListZeroed].Count < MiZeroedTarget / 2 && MiLists[MiListFree].Count != 0 &&
        InterlockedExchange(&MiZeroSleeping, 0) != 0) {
        KeSetEvent(&MiZeroEvent, 0, FALSE);
    }
}

/* Up to a batch from Free to Zeroed; FALSE: the stock is full, or nothing is free. */
static BOOLEAN MiZeroBatch(VOID)
{
    PFN_FRAME Frames[MI_WINDOW_BATCH];
    ULONG Count = 0;
    KIRQL Irql = MiLockPfn();

    while (Count < MI_WINDOW_BATCH && MiLists[MiListZeroed].Count + Count < MiZeroedTarget) {
        PFN_FRAME Frame = MiBeginZeroing();

        if (Frame == 0) {
            break;
        }
        Frames[Count++] = Frame;
    }
    MiUnlockPfn(DISPATCH_LEVEL);
    if (Count != 0) {
        PVOID Window = MiMapFrames(Frames, Count);

        RtlZeroMemory(Window, Count * MM_PAGE_SIZE);
        MiUnmapFrames(Window, Count);
        MiLockPfn();
        for (ULONG Index = 0; Index < Count; Index++) {
            MiEndZeroing(Frames[Index]);
        }
        MiFramesZeroed += Count;
        MiUnlockPfn(DISPATCH_LEVEL);
    }
    KeLowerIrql(Irql);
    return Count == MI_WINDOW_BATCH;
}

static VOID NTAPI MiZeroThread(PVOID Context)
{
    for (;;) {
        while (MiZeroBatch()) {
        }
        InterlockedExchange(&MiZeroSleeping, 1);
        KeWaitForSingleObject(&MiZeroEvent, Executive, KernelMode, FALSE, NULL);
    }
}

VOID MiStartZeroThread(VOID)
{
    PETHREAD Thread; /* its reference is kept: the thread never ends */
    NTSTATUS Status;

    MiZeroedTarget = min(max(MiRamFrames / 64, MI_ZEROED_LEAST), MI_ZEROED_MOST);
    KeInitializeEvent(&MiZeroEvent, SynchronizationEvent, FALSE);
    Status = PspCreateSystemThread(&Thread, MiZeroThread, NULL, 0);
    if (!NT_SUCCESS(Status)) {
        KeBugCheckEx(PHASE1_INITIALIZATION_FAILED, (ULONG_PTR)Status, 0, 0, 0);
    }
}
