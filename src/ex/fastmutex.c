/*
 * fastmutex.c - fast mutexes and guarded mutexes.
 *
 * Both count in the DDK's bits: FM_LOCK_BIT set is free, FM_LOCK_WAITER_INC once for each thread that waits on the
 * mutex's event, FM_LOCK_WAITER_WOKEN while one that was woken is on its way. A release frees the mutex and wakes one
 * waiter, if none is on its way yet; the woken one competes again. Ownership is never handed to a thread that does
 * not run: under contention every release would then wait for a context switch. With several processors a taker
 * first spins for a moment, since most mutexes are held for less than a switch takes.
 *
 * The two differ in what they keep away meanwhile: a fast mutex raises to APC_LEVEL, a guarded one enters a guarded
 * region; the Unsafe forms leave that to the caller. Neither is recursive.
 *
 * IRQL: <= APC_LEVEL.
 *
 * Source: WDK documentation of ExAcquireFastMutex and KeAcquireGuardedMutex; the bits of wdm.h.
 */
#include <ntos/ke.h>

C_ASSERT(FM_LOCK_BIT == 1); /* ExInitializeFastMutex, an inline of the DDK, stores it as "free" */
C_ASSERT(FM_LOCK_BIT == GM_LOCK_BIT && FM_LOCK_WAITER_WOKEN == GM_LOCK_WAITER_WOKEN &&
         FM_LOCK_WAITER_INC == GM_LOCK_WAITER_INC);

#define SPIN_LOOPS 200 /* a few thousand cycles: about what the two context switches of a wait cost */

static BOOLEAN TryAcquire(volatile LONG *Count, PKTHREAD *Owner)
{
    LONG Old = *Count;

    if ((Old & FM_LOCK_BIT) == 0 || InterlockedCompareExchange(Count, Old & ~FM_LOCK_BIT, Old) != Old) {
        return FALSE;
    }
    *Owner = KeGetCurrentThread();
    return TRUE;
}

/* One attempt: takes the mutex (TRUE) or becomes one of its waiters (FALSE). Woken: the caller is the thread on its way. */
static BOOLEAN AcquireOrJoin(volatile LONG *Count, BOOLEAN Woken)
{
    for (;;) {
        LONG Old = *Count;
        LONG New = Woken ? Old & ~FM_LOCK_WAITER_WOKEN : Old;
        BOOLEAN Free = (Old & FM_LOCK_BIT) != 0;

        New = Free ? New & ~FM_LOCK_BIT : New + FM_LOCK_WAITER_INC;
        if (InterlockedCompareExchange(Count, New, Old) == Old) {
            return Free;
        }
    }
}

static VOID Acquire(volatile LONG *Count, PKTHREAD *Owner, PULONG Contention, PVOID Event)
{
    ASSERT(*Owner == NULL || *Owner != KeGetCurrentThread());
    if (TryAcquire(Count, Owner)) {
        return;
    }
    InterlockedIncrement((volatile LONG *)Contention);
    for (ULONG Loop = 0; Loop < SPIN_LOOPS && KeNumberOfActiveProcessors > 1; Loop++) {
        YieldProcessor();
        if (TryAcquire(Count, Owner)) {
            return;
        }
    }
    for (BOOLEAN Woken = FALSE; !AcquireOrJoin(Count, Woken); Woken = TRUE) {
        KeWaitForSingleObject(Event, WrFastMutex, KernelMode, FALSE, NULL);
    }
    *Owner = KeGetCurrentThread();
}

static VOID Release(volatile LONG *Count, PKTHREAD *Owner, PVOID Event)
{
    LONG Old, New;
    BOOLEAN Wake;

    ASSERT(*Owner == KeGetCurrentThread());
    *Owner = NULL;
    do {
        Old = *Count;
        Wake = Old >= FM_LOCK_WAITER_INC && (Old & FM_LOCK_WAITER_WOKEN) == 0;
        New = Old | FM_LOCK_BIT;
        New = Wake ? (New | FM_LOCK_WAITER_WOKEN) - FM_LOCK_WAITER_INC : New;
    } while (InterlockedCompareExchange(Count, New, Old) != Old);
    if (Wake) {
        KeSetEvent(Event, IO_NO_INCREMENT, FALSE);
    }
}

/* ---- The same with the verifier's knowledge. Site: the caller's caller ---- */

/* Count is the mutex's first field: its address is the mutex's. */
C_ASSERT(FIELD_OFFSET(FAST_MUTEX, Count) == 0 && FIELD_OFFSET(KGUARDED_MUTEX, Count) == 0);

static VOID WatchedAcquire(volatile LONG *Count, PKTHREAD *Owner, PULONG Contention, PVOID Event, VF_KIND Kind,
                           PVOID Site)
{
    VF_CLASS_NUMBER Class = VfWantLock((PVOID)Count, Kind, Site);

    Acquire(Count, Owner, Contention, Event);
    VfGotLock((PVOID)Count, Kind, Class, Site);
}

static BOOLEAN WatchedTryAcquire(volatile LONG *Count, PKTHREAD *Owner, VF_KIND Kind, PVOID Site)
{
    if (!TryAcquire(Count, Owner)) {
        return FALSE;
    }
    VfGotLock((PVOID)Count, Kind, VfClassOf((PVOID)Count, Kind, Site), Site);
    return TRUE;
}

static VOID WatchedRelease(volatile LONG *Count, PKTHREAD *Owner, PVOID Event, VF_KIND Kind)
{
    VfReleaseLock((PVOID)Count, Kind, _ReturnAddress());
    Release(Count, Owner, Event);
}

/* ---- Fast mutexes ---- */

/* Takes a fast mutex and raises to APC_LEVEL until the release. IRQL: <= APC_LEVEL. */
VOID FASTCALL ExAcquireFastMutex(PFAST_MUTEX FastMutex)
{
    ASSERT_IRQL_MAX(APC_LEVEL);
    KIRQL OldIrql = KfRaiseIrql(APC_LEVEL);
    WatchedAcquire(&FastMutex->Count, &FastMutex->Owner, &FastMutex->Contention, &FastMutex->Event, VfFastMutex,
                   _ReturnAddress());
    FastMutex->OldIrql = OldIrql;
}

VOID FASTCALL ExReleaseFastMutex(PFAST_MUTEX FastMutex)
{
    KIRQL OldIrql = (KIRQL)FastMutex->OldIrql;

    WatchedRelease(&FastMutex->Count, &FastMutex->Owner, &FastMutex->Event, VfFastMutex);
    KeLowerIrql(OldIrql);
}

/* TRUE: taken, at APC_LEVEL; FALSE: held by another, IRQL unchanged. */
BOOLEAN FASTCALL ExTryToAcquireFastMutex(PFAST_MUTEX FastMutex)
{
    ASSERT_IRQL_MAX(APC_LEVEL);
    KIRQL OldIrql = KfRaiseIrql(APC_LEVEL);
    if (!WatchedTryAcquire(&FastMutex->Count, &FastMutex->Owner, VfFastMutex, _ReturnAddress())) {
        KeLowerIrql(OldIrql);
        return FALSE;
    }
    FastMutex->OldIrql = OldIrql;
    return TRUE;
}

/* The caller is at APC_LEVEL or in a critical region. */
VOID FASTCALL ExAcquireFastMutexUnsafe(PFAST_MUTEX FastMutex)
{
    WatchedAcquire(&FastMutex->Count, &FastMutex->Owner, &FastMutex->Contention, &FastMutex->Event, VfFastMutex,
                   _ReturnAddress());
}

VOID FASTCALL ExReleaseFastMutexUnsafe(PFAST_MUTEX FastMutex)
{
    WatchedRelease(&FastMutex->Count, &FastMutex->Owner, &FastMutex->Event, VfFastMutex);
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
    WatchedAcquire(&GuardedMutex->Count, &GuardedMutex->Owner, &GuardedMutex->Contention, &GuardedMutex->Gate,
                   VfGuardedMutex, _ReturnAddress());
}

VOID FASTCALL KeReleaseGuardedMutexUnsafe(PKGUARDED_MUTEX GuardedMutex)
{
    WatchedRelease(&GuardedMutex->Count, &GuardedMutex->Owner, &GuardedMutex->Gate, VfGuardedMutex);
}

/* Takes a guarded mutex; no kernel APC comes in before the release. IRQL: <= APC_LEVEL. */
VOID FASTCALL KeAcquireGuardedMutex(PKGUARDED_MUTEX GuardedMutex)
{
    KeEnterGuardedRegion();
    WatchedAcquire(&GuardedMutex->Count, &GuardedMutex->Owner, &GuardedMutex->Contention, &GuardedMutex->Gate,
                   VfGuardedMutex, _ReturnAddress());
}

VOID FASTCALL KeReleaseGuardedMutex(PKGUARDED_MUTEX GuardedMutex)
{
    KeReleaseGuardedMutexUnsafe(GuardedMutex);
    KeLeaveGuardedRegion();
}

BOOLEAN FASTCALL KeTryToAcquireGuardedMutex(PKGUARDED_MUTEX GuardedMutex)
{
    KeEnterGuardedRegion();
    if (WatchedTryAcquire(&GuardedMutex->Count, &GuardedMutex->Owner, VfGuardedMutex, _ReturnAddress())) {
        return TRUE;
    }
    KeLeaveGuardedRegion();
    return FALSE;
}
