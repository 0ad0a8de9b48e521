/*
 * rundown.c - rundown protection: keeps an object in use, until somebody wants it gone.
 *
 * The word counts users in steps of two. Once bit 0 is set no new user gets in; the rest is then the address of the block on the
 * stack of the thread that waits for the old ones, which the last of them wakes, or nothing when all have gone.
 *
 * Locks: none, interlocked. IRQL: <= DISPATCH_LEVEL to acquire and release, <= APC_LEVEL to wait.
 *
 * Source: WDK documentation, "Run-Down Protection".
 */
#include <ntos/ke.h>

typedef struct _EX_RUNDOWN_WAIT {
    volatile LONG64 Users; /* still inside */
    KEVENT Gone;
} EX_RUNDOWN_WAIT, *PEX_RUNDOWN_WAIT;

VOID FASTCALL ExInitializeRundownProtection(PEX_RUNDOWN_REF RunRef)
{
    RunRef->Count = 0;
}

/* Lets users in again after a rundown has completed. */
VOID FASTCALL ExReInitializeRundownProtection(PEX_RUNDOWN_REF RunRef)
{
    ASSERT(RunRef->Count == EX_RUNDOWN_ACTIVE);
    RunRef->Count = 0;
}

/* Marks an object as run down that nobody uses. */
VOID FASTCALL ExRundownCompleted(PEX_RUNDOWN_REF RunRef)
{
    InterlockedExchange64((volatile LONG64 *)&RunRef->Count, EX_RUNDOWN_ACTIVE);
}

/* Count users at once; FALSE: the object is going or gone. */
BOOLEAN FASTCALL ExAcquireRundownProtectionEx(PEX_RUNDOWN_REF RunRef, ULONG Count)
{
    for (;;) {
        ULONG_PTR Old = RunRef->Count;
        if ((Old & EX_RUNDOWN_ACTIVE) != 0) {
            return FALSE;
        }
        ULONG_PTR New = Old + (ULONG_PTR)Count * EX_RUNDOWN_COUNT_INC;
        if ((ULONG_PTR)InterlockedCompareExchange64((volatile LONG64 *)&RunRef->Count, (LONG64)New, (LONG64)Old) ==
            Old) {
            return TRUE;
        }
    }
}

VOID FASTCALL ExReleaseRundownProtectionEx(PEX_RUNDOWN_REF RunRef, ULONG Count)
{
    for (;;) {
        ULONG_PTR Old = RunRef->Count;
        if ((Old & EX_RUNDOWN_ACTIVE) != 0) {
            PEX_RUNDOWN_WAIT Wait = (PEX_RUNDOWN_WAIT)(Old & ~(ULONG_PTR)EX_RUNDOWN_ACTIVE);
            if (InterlockedAdd64(&Wait->Users, -(LONG64)Count) == 0) {
                KeSetEvent(&Wait->Gone, IO_NO_INCREMENT, FALSE);
            }
            return;
        }
        ASSERT(Old >= (ULONG_PTR)Count * EX_RUNDOWN_COUNT_INC);
        ULONG_PTR New = Old - (ULONG_PTR)Count * EX_RUNDOWN_COUNT_INC;
        if ((ULONG_PTR)InterlockedCompareExchange64((volatile LONG64 *)&RunRef->Count, (LONG64)New, (LONG64)Old) ==
            Old) {
            return;
        }
    }
}

/* One user in, or FALSE. */
BOOLEAN FASTCALL ExAcquireRundownProtection(PEX_RUNDOWN_REF RunRef)
{
    return ExAcquireRundownProtectionEx(RunRef, 1);
}

VOID FASTCALL ExReleaseRundownProtection(PEX_RUNDOWN_REF RunRef)
{
    ExReleaseRundownProtectionEx(RunRef, 1);
}

/**
 * ExWaitForRundownProtectionRelease - lets no user in any more and waits until those inside have left.
 *
 * IRQL: <= APC_LEVEL. One thread only; a second call returns at once when the first has completed.
 */
VOID FASTCALL ExWaitForRundownProtectionRelease(PEX_RUNDOWN_REF RunRef)
{
    EX_RUNDOWN_WAIT Wait;
    BOOLEAN Waiting;

    KeInitializeEvent(&Wait.Gone, SynchronizationEvent, FALSE);
    for (;;) {
        ULONG_PTR Old = RunRef->Count;
        if ((Old & EX_RUNDOWN_ACTIVE) != 0) {
            return;
        }
        Wait.Users = (LONG64)(Old / EX_RUNDOWN_COUNT_INC);
        Waiting = Old != 0;
        ULONG_PTR New = (Old == 0 ? 0 : (ULONG_PTR)&Wait) | EX_RUNDOWN_ACTIVE;
        if ((ULONG_PTR)InterlockedCompareExchange64((volatile LONG64 *)&RunRef->Count, (LONG64)New, (LONG64)Old) ==
            Old) {
            break;
        }
    }
    if (Waiting) {
        KeWaitForSingleObject(&Wait.Gone, Executive, KernelMode, FALSE, NULL);
    }
    ExRundownCompleted(RunRef);
}
