/*
 * fastmutex.c - fast mutexes and guarded mutexes.
 *
 * Both count: 1 free, 0 held, less: held with waiters. Who takes the count below 0 waits on the mutex's event, and who
 * releases it to 0 or less sets the event, which hands the mutex to exactly one waiter. They differ in what they keep
 * away meanwhile: a fast mutex raises to APC_LEVEL, a guarded one enters a guarded region; the Unsafe forms leave that to the
 * caller. Neither is recursive.
 *
 * IRQL: <= APC_LEVEL.
 *
 * Source: WDK documentation of ExAcquireFastMutex and KeAcquireGuardedMutex.
 */
#include <ntos/ke.h>

C_ASSERT(FM_LOCK_BIT == 1); /* ExInitializeFastMutex, an inline of the DDK, stores it as "free" */

static VOID Acquire(volatile LONG *Count, PKTHREAD *Owner, PULONG Contention, PVOID Event)
{
    ASSERT(*Owner == NULL || *Owner != KeGetCurrentThread());
    if (InterlockedDecrement(Count) < 0) {
        InterlockedIncrement((volatile LONG *)Contention);
        KeWaitForSingleObject(Event, WrFastMutex, KernelMode, FALSE, NULL);
    }
    *Owner = KeGetCurrentThread();
}

static BOOLEAN TryAcquire(volatile LONG *Count, PKTHREAD *Owner)
{
    if (InterlockedCompareExchange(Count, 0, 1) != 1) {
        return FALSE;
    }
    *Owner = KeGetCurrentThread();
    return TRUE;
}

static VOID Release(volatile LONG *Count, PKTHREAD *Owner, PVOID Event)
{
    ASSERT(*Owner == KeGetCurrentThread());
    *Owner = NULL;
    if (InterlockedIncrement(Count) <= 0) {
        KeSetEvent(Event, IO_NO_INCREMENT, FALSE);
    }
}

/* ---- Fast mutexes ---- */

/* Takes a fast mutex and raises to APC_LEVEL until the release. IRQL: <= APC_LEVEL. */
VOID FASTCALL ExAcquireFastMutex(PFAST_MUTEX FastMutex)
{
    ASSERT_IRQL_MAX(APC_LEVEL);
    KIRQL OldIrql = KfRaiseIrql(APC_LEVEL);
    Acquire(&FastMutex->Count, &FastMutex->Owner, &FastMutex->Contention, &FastMutex->Event);
    FastMutex->OldIrql = OldIrql;
}

VOID FASTCALL ExReleaseFastMutex(PFAST_MUTEX FastMutex)
{
    KIRQL OldIrql = (KIRQL)FastMutex->OldIrql;

    Release(&FastMutex->Count, &FastMutex->Owner, &FastMutex->Event);
    KeLowerIrql(OldIrql);
}

/* TRUE: taken, at APC_LEVEL; FALSE: held by another, IRQL unchanged. */
BOOLEAN FASTCALL ExTryToAcquireFastMutex(PFAST_MUTEX FastMutex)
{
    ASSERT_IRQL_MAX(APC_LEVEL);
    KIRQL OldIrql = KfRaiseIrql(APC_LEVEL);
    if (!TryAcquire(&FastMutex->Count, &FastMutex->Owner)) {
        KeLowerIrql(OldIrql);
        return FALSE;
    }
    FastMutex->OldIrql = OldIrql;
    return TRUE;
}

/* The caller is at APC_LEVEL or in a critical region. */
VOID FASTCALL ExAcquireFastMutexUnsafe(PFAST_MUTEX FastMutex)
{
    Acquire(&FastMutex->Count, &FastMutex->Owner, &FastMutex->Contention, &FastMutex->Event);
}

VOID FASTCALL ExReleaseFastMutexUnsafe(PFAST_MUTEX FastMutex)
{
    Release(&FastMutex->Count, &FastMutex->Owner, &FastMutex->Event);
}

/* ---- Guarded mutexes ---- */

VOID FASTCALL KeInitializeGuardedMutex(PKGUARDED_MUTEX GuardedMutex)
{
    memset(GuardedMutex, 0, sizeof(*GuardedMutex));
    GuardedMutex->Count = GM_LOCK_BIT;
    KeInitializeEvent((PKEVENT)&GuardedMutex->Gate, SynchronizationEvent, FALSE);
}
C_ASSERT(sizeof(KGATE) == sizeof(KEVENT) && GM_LOCK_BIT == 1);

VOID FASTCALL KeAcquireGuardedMutexUnsafe(PKGUARDED_MUTEX GuardedMutex)
{
    Acquire(&GuardedMutex->Count, &GuardedMutex->Owner, &GuardedMutex->Contention, &GuardedMutex->Gate);
}

VOID FASTCALL KeReleaseGuardedMutexUnsafe(PKGUARDED_MUTEX GuardedMutex)
{
    Release(&GuardedMutex->Count, &GuardedMutex->Owner, &GuardedMutex->Gate);
}

/* Takes a guarded mutex; no kernel APC comes in before the release. IRQL: <= APC_LEVEL. */
VOID FASTCALL KeAcquireGuardedMutex(PKGUARDED_MUTEX GuardedMutex)
{
    KeEnterGuardedRegion();
    KeAcquireGuardedMutexUnsafe(GuardedMutex);
}

VOID FASTCALL KeReleaseGuardedMutex(PKGUARDED_MUTEX GuardedMutex)
{
    KeReleaseGuardedMutexUnsafe(GuardedMutex);
    KeLeaveGuardedRegion();
}

BOOLEAN FASTCALL KeTryToAcquireGuardedMutex(PKGUARDED_MUTEX GuardedMutex)
{
    KeEnterGuardedRegion();
    if (TryAcquire(&GuardedMutex->Count, &GuardedMutex->Owner)) {
        return TRUE;
    }
    KeLeaveGuardedRegion();
    return FALSE;
}
