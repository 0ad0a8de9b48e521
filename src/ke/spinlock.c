/*
 * spinlock.c - spin locks: plain, and queued on the stacks of those who wait.
 *
 * A plain lock is 0 when free; taken, it holds a value with bit 0 set that names the owning processor, so that the chk
 * flavour stops at a second acquisition by the same processor and at a release by another instead of hanging. A queued
 * lock holds the address of the last waiter's handle; each waiter spins on its own handle, and the lock passes in order of
 * arrival. The two forms must not be mixed on one lock.
 *
 * On a virtual machine a queued lock is taken out of turn: a waiter does not queue but spins until the word is 0. There
 * the processor that is next in line may not be running, and while its turn lasts all others wait for the host to come round to
 * it; once all are queued that is so at every release (measured: 26 ms a release instead of 40 us).
 *
 * A processor that has to wait counts it in its PRCB (SpinContentions, SpinLoops); the free path counts nothing.
 * Waiting loops read before they try, so that a contended line is not written to and fro.
 *
 * IRQL: holders are at DISPATCH_LEVEL or higher. Must never allocate, print or call out.
 *
 * Source: WDK documentation of the KeAcquireSpinLock and KeAcquireInStackQueuedSpinLock families.
 */
#include "kip.h"

#include "processor.h"

#define QUEUE_WAITING 1ULL /* bit 0 of a handle's Lock: still waiting */

static ULONG_PTR SpinOwner(VOID)
{
    return (ULONG_PTR)KeGetCurrentPrcb() | 1;
}

static VOID SpinUntilFree(PKSPIN_LOCK SpinLock)
{
    PKPRCB Prcb = KeGetCurrentPrcb();

#if NT_CHK
    if (*(volatile KSPIN_LOCK *)SpinLock == SpinOwner()) {
        KeBugCheckEx(SPIN_LOCK_ALREADY_OWNED, (ULONG_PTR)SpinLock, *SpinLock, 0, 0);
    }
#endif
    while (*(volatile KSPIN_LOCK *)SpinLock != 0) {
        Prcb->SpinLoops++;
        _mm_pause();
    }
}

static BOOLEAN SpinTry(PKSPIN_LOCK SpinLock)
{
    return _InterlockedCompareExchange64((volatile LONG64 *)SpinLock, (LONG64)SpinOwner(), 0) == 0;
}

/* Site: the caller's caller, by which the verifier knows a lock without a name. */
static VOID Acquire(PKSPIN_LOCK SpinLock, VF_KIND Kind, PVOID Site)
{
    VF_CLASS_NUMBER Class = VfWantLock(SpinLock, Kind, Site);

    if (!SpinTry(SpinLock)) {
        KeGetCurrentPrcb()->SpinContentions++;
        VfStopWatch();
        do {
            SpinUntilFree(SpinLock);
        } while (!SpinTry(SpinLock));
        VfResumeWatch();
    }
    VfGotLock(SpinLock, Kind, Class, Site);
}

VOID KiAcquireSpinLock(PKSPIN_LOCK SpinLock)
{
    Acquire(SpinLock, VfSpinLock, _ReturnAddress());
}

VOID KiAcquireListSpinLock(PKSPIN_LOCK SpinLock)
{
    Acquire(SpinLock, VfListSpinLock, _ReturnAddress());
}

VOID KiReleaseSpinLock(PKSPIN_LOCK SpinLock)
{
    VfReleaseLock(SpinLock, VfSpinLock, _ReturnAddress());
#if NT_CHK
    if (*SpinLock != SpinOwner()) {
        KeBugCheckEx(SPIN_LOCK_NOT_OWNED, (ULONG_PTR)SpinLock, *SpinLock, 0, 0);
    }
#endif
    _ReadWriteBarrier();
    *(volatile KSPIN_LOCK *)SpinLock = 0; /* a store is a release on this architecture */
}

/**
 * KeAcquireSpinLockRaiseToDpc - raises IRQL to DISPATCH_LEVEL and takes a spin lock.
 *
 * returns  the previous IRQL, for KeReleaseSpinLock
 *
 * IRQL: <= DISPATCH_LEVEL. Not recursive.
 */
KIRQL NTAPI KeAcquireSpinLockRaiseToDpc(PKSPIN_LOCK SpinLock)
{
    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    KIRQL OldIrql = KfRaiseIrql(DISPATCH_LEVEL);
    Acquire(SpinLock, VfSpinLock, _ReturnAddress());
    return OldIrql;
}

/* The same at SYNCH_LEVEL, for locks that are also taken above DISPATCH_LEVEL. IRQL: <= SYNCH_LEVEL. */
KIRQL KeAcquireSpinLockRaiseToSynch(PKSPIN_LOCK SpinLock)
{
    ASSERT_IRQL_MAX(SYNCH_LEVEL);
    KIRQL OldIrql = KfRaiseIrql(SYNCH_LEVEL);
    Acquire(SpinLock, VfSpinLock, _ReturnAddress());
    return OldIrql;
}

/* IRQL: that of the lock, DISPATCH_LEVEL or higher. */
VOID NTAPI KeAcquireSpinLockAtDpcLevel(PKSPIN_LOCK SpinLock)
{
    ASSERT_IRQL_MIN(DISPATCH_LEVEL);
    Acquire(SpinLock, VfSpinLock, _ReturnAddress());
}

VOID NTAPI KeReleaseSpinLock(PKSPIN_LOCK SpinLock, KIRQL NewIrql)
{
    KiReleaseSpinLock(SpinLock);
    KeLowerIrql(NewIrql);
}

VOID NTAPI KeReleaseSpinLockFromDpcLevel(PKSPIN_LOCK SpinLock)
{
    ASSERT_IRQL_MIN(DISPATCH_LEVEL);
    KiReleaseSpinLock(SpinLock);
}

/**
 * KeTryToAcquireSpinLockAtDpcLevel - takes a spin lock if it is free.
 *
 * returns  TRUE: taken, release with KeReleaseSpinLockFromDpcLevel
 *
 * IRQL: >= DISPATCH_LEVEL.
 */
BOOLEAN FASTCALL KeTryToAcquireSpinLockAtDpcLevel(PKSPIN_LOCK SpinLock)
{
    ASSERT_IRQL_MIN(DISPATCH_LEVEL);
    if (!SpinTry(SpinLock)) {
        return FALSE;
    }
    VfGotLock(SpinLock, VfSpinLock, VfClassOf(SpinLock, VfSpinLock, _ReturnAddress()), _ReturnAddress());
    return TRUE;
}

/* TRUE: the lock is free at this moment. IRQL: any. */
BOOLEAN FASTCALL KeTestSpinLock(PKSPIN_LOCK SpinLock)
{
    return *(volatile KSPIN_LOCK *)SpinLock == 0;
}

/* For code that runs both in a threaded DPC (PASSIVE_LEVEL) and a plain one: raises only where needed. */
KIRQL FASTCALL KeAcquireSpinLockForDpc(PKSPIN_LOCK SpinLock)
{
    KIRQL OldIrql = KfRaiseIrql(DISPATCH_LEVEL);
    Acquire(SpinLock, VfSpinLock, _ReturnAddress());
    return OldIrql;
}

VOID FASTCALL KeReleaseSpinLockForDpc(PKSPIN_LOCK SpinLock, KIRQL OldIrql)
{
    KeReleaseSpinLock(SpinLock, OldIrql);
}

/* ---- Queued locks ---- */

BOOLEAN KiVirtualMachine;

/* Waits for a queued lock without a place in its queue. */
static VOID TakeOutOfTurn(PKSPIN_LOCK SpinLock, PKSPIN_LOCK_QUEUE Queue)
{
    PKPRCB Prcb = KeGetCurrentPrcb();

    while (InterlockedCompareExchangePointer((PVOID *)SpinLock, Queue, NULL) != NULL) {
        while (*(volatile KSPIN_LOCK *)SpinLock != 0) {
            Prcb->SpinLoops++;
            _mm_pause();
        }
    }
    Queue->Lock = SpinLock;
}

static VOID WaitForTurn(PKSPIN_LOCK_QUEUE Previous, PKSPIN_LOCK_QUEUE Queue)
{
    PKPRCB Prcb = KeGetCurrentPrcb();

    Previous->Next = Queue;
    while (((ULONG_PTR)Queue->Lock & QUEUE_WAITING) != 0) {
        Prcb->SpinLoops++;
        _mm_pause();
    }
}

static VOID AcquireQueued(PKSPIN_LOCK SpinLock, PKLOCK_QUEUE_HANDLE LockHandle, PVOID Site)
{
    PKSPIN_LOCK_QUEUE Queue = &LockHandle->LockQueue;
    VF_CLASS_NUMBER Class = VfWantLock(SpinLock, VfQueuedSpinLock, Site);

    Queue->Next = NULL;
    Queue->Lock = (PKSPIN_LOCK)((ULONG_PTR)SpinLock | QUEUE_WAITING);
    PKSPIN_LOCK_QUEUE Previous = KiVirtualMachine ? InterlockedCompareExchangePointer((PVOID *)SpinLock, Queue, NULL)
                                                  : InterlockedExchangePointer((PVOID *)SpinLock, Queue);
    if (Previous == NULL) {
        Queue->Lock = SpinLock;
    } else {
        KeGetCurrentPrcb()->SpinContentions++;
        VfStopWatch();
        if (KiVirtualMachine) {
            TakeOutOfTurn(SpinLock, Queue);
        } else {
            WaitForTurn(Previous, Queue);
        }
        VfResumeWatch();
    }
    VfGotLock(SpinLock, VfQueuedSpinLock, Class, Site);
}

/**
 * KeAcquireInStackQueuedSpinLockAtDpcLevel - takes a queued spin lock in order of arrival, or on a virtual machine in any.
 *
 * @LockHandle  the caller's, usually on its stack; in use until the release
 *
 * IRQL: >= DISPATCH_LEVEL.
 */
VOID FASTCALL KeAcquireInStackQueuedSpinLockAtDpcLevel(PKSPIN_LOCK SpinLock, PKLOCK_QUEUE_HANDLE LockHandle)
{
    ASSERT_IRQL_MIN(DISPATCH_LEVEL);
    AcquireQueued(SpinLock, LockHandle, _ReturnAddress());
}

VOID FASTCALL KeReleaseInStackQueuedSpinLockFromDpcLevel(PKLOCK_QUEUE_HANDLE LockHandle)
{
    PKSPIN_LOCK_QUEUE Queue = &LockHandle->LockQueue;

    ASSERT_IRQL_MIN(DISPATCH_LEVEL);
    VfReleaseLock(Queue->Lock, VfQueuedSpinLock, _ReturnAddress());
    if (Queue->Next == NULL) {
        if (InterlockedCompareExchangePointer((PVOID *)Queue->Lock, NULL, Queue) == Queue) {
            return;
        }
        while (Queue->Next == NULL) { /* the next waiter has queued itself but not linked itself yet */
            _mm_pause();
        }
    }
    PKSPIN_LOCK_QUEUE Next = Queue->Next;
    _ReadWriteBarrier();
    Next->Lock = (PKSPIN_LOCK)((ULONG_PTR)Next->Lock & ~QUEUE_WAITING);
}

/* IRQL: <= DISPATCH_LEVEL. */
VOID FASTCALL KeAcquireInStackQueuedSpinLock(PKSPIN_LOCK SpinLock, PKLOCK_QUEUE_HANDLE LockHandle)
{
    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    LockHandle->OldIrql = KfRaiseIrql(DISPATCH_LEVEL);
    AcquireQueued(SpinLock, LockHandle, _ReturnAddress());
}

VOID FASTCALL KeReleaseInStackQueuedSpinLock(PKLOCK_QUEUE_HANDLE LockHandle)
{
    KeReleaseInStackQueuedSpinLockFromDpcLevel(LockHandle);
    KeLowerIrql(LockHandle->OldIrql);
}

VOID FASTCALL KeAcquireInStackQueuedSpinLockForDpc(PKSPIN_LOCK SpinLock, PKLOCK_QUEUE_HANDLE LockHandle)
{
    LockHandle->OldIrql = KfRaiseIrql(DISPATCH_LEVEL);
    AcquireQueued(SpinLock, LockHandle, _ReturnAddress());
}

VOID FASTCALL KeReleaseInStackQueuedSpinLockForDpc(PKLOCK_QUEUE_HANDLE LockHandle)
{
    KeReleaseInStackQueuedSpinLock(LockHandle);
}
