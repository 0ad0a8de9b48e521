/*
 * rwspinlock.c - reader-writer spin locks: one LONG, held by one processor exclusively or by many shared.
 *
 * Bit 31 says that a processor holds the lock exclusively or has claimed it and waits for the sharers to leave; the rest
 * counts the sharers. A claim holds new sharers back, so that it comes true in the time of one critical section.
 *
 * IRQL: holders are at DISPATCH_LEVEL or higher. Not recursive, not even shared: a claim in between would wait for a
 * sharer that waits for the claim.
 *
 * Source: WDK documentation, "Reader/Writer Spin Locks".
 */
#include <ntos/ke.h>
#include <ntos/pushlock.h>

#define EXCLUSIVE ((LONG)0x80000000)

/* Site: the caller's caller, for the verifier. */
static VOID AcquireExclusive(PEX_SPIN_LOCK SpinLock, PVOID Site)
{
    VF_CLASS_NUMBER Class = VfWantLock((PVOID)SpinLock, VfSpinLock, Site);

    VfStopWatch();
    for (;;) {
        LONG Old = *SpinLock;
        if (Old >= 0 && _InterlockedCompareExchange(SpinLock, Old | EXCLUSIVE, Old) == Old) {
            break;
        }
        _mm_pause();
    }
    while (*SpinLock != EXCLUSIVE) {
        _mm_pause();
    }
    VfResumeWatch();
    VfGotLock((PVOID)SpinLock, VfSpinLock, Class, Site);
}

static VOID AcquireShared(PEX_SPIN_LOCK SpinLock, PVOID Site)
{
    VF_CLASS_NUMBER Class = VfWantLock((PVOID)SpinLock, VfSpinLock, Site);

    VfStopWatch();
    for (;;) {
        LONG Old = *SpinLock;
        if (Old >= 0 && _InterlockedCompareExchange(SpinLock, Old + 1, Old) == Old) {
            break;
        }
        _mm_pause();
    }
    VfResumeWatch();
    VfGotLock((PVOID)SpinLock, VfSpinLock, Class, Site);
}

/**
 * ExAcquireSpinLockExclusiveAtDpcLevel - takes a lock for this processor alone.
 *
 * IRQL: >= DISPATCH_LEVEL, the same wherever the lock is taken.
 */
VOID NTAPI ExAcquireSpinLockExclusiveAtDpcLevel(PEX_SPIN_LOCK SpinLock)
{
    ASSERT_IRQL_MIN(DISPATCH_LEVEL);
    AcquireExclusive(SpinLock, _ReturnAddress());
}

/* Takes a lock together with others that do so. IRQL: >= DISPATCH_LEVEL. */
VOID NTAPI ExAcquireSpinLockSharedAtDpcLevel(PEX_SPIN_LOCK SpinLock)
{
    ASSERT_IRQL_MIN(DISPATCH_LEVEL);
    AcquireShared(SpinLock, _ReturnAddress());
}

VOID NTAPI ExReleaseSpinLockExclusiveFromDpcLevel(PEX_SPIN_LOCK SpinLock)
{
    ASSERT(*SpinLock == EXCLUSIVE);
    VfReleaseLock((PVOID)SpinLock, VfSpinLock, _ReturnAddress());
    _ReadWriteBarrier();
    *SpinLock = 0; /* a store is a release on this architecture; nobody else writes now */
}

VOID NTAPI ExReleaseSpinLockSharedFromDpcLevel(PEX_SPIN_LOCK SpinLock)
{
    ASSERT((*SpinLock & ~EXCLUSIVE) != 0);
    VfReleaseLock((PVOID)SpinLock, VfSpinLock, _ReturnAddress());
    _InterlockedDecrement(SpinLock);
}

/* Raises to DISPATCH_LEVEL and takes a lock exclusively; returns the previous IRQL. IRQL: <= DISPATCH_LEVEL. */
KIRQL NTAPI ExAcquireSpinLockExclusive(PEX_SPIN_LOCK SpinLock)
{
    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    KIRQL OldIrql = KfRaiseIrql(DISPATCH_LEVEL);
    AcquireExclusive(SpinLock, _ReturnAddress());
    return OldIrql;
}

KIRQL NTAPI ExAcquireSpinLockShared(PEX_SPIN_LOCK SpinLock)
{
    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    KIRQL OldIrql = KfRaiseIrql(DISPATCH_LEVEL);
    AcquireShared(SpinLock, _ReturnAddress());
    return OldIrql;
}

VOID NTAPI ExReleaseSpinLockExclusive(PEX_SPIN_LOCK SpinLock, KIRQL OldIrql)
{
    ExReleaseSpinLockExclusiveFromDpcLevel(SpinLock);
    KeLowerIrql(OldIrql);
}

VOID NTAPI ExReleaseSpinLockShared(PEX_SPIN_LOCK SpinLock, KIRQL OldIrql)
{
    ExReleaseSpinLockSharedFromDpcLevel(SpinLock);
    KeLowerIrql(OldIrql);
}

/**
 * ExTryConvertSharedSpinLockExclusive - makes a shared hold exclusive if the caller is the only sharer and nobody has claimed the lock.
 *
 * returns  nonzero: held exclusively; 0: still held shared
 *
 * IRQL: that of the hold.
 */
LOGICAL NTAPI ExTryConvertSharedSpinLockExclusive(PEX_SPIN_LOCK SpinLock)
{
    return _InterlockedCompareExchange(SpinLock, EXCLUSIVE, 1) == 1;
}
