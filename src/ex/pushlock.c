/*
 * pushlock.c - push locks: one word, held exclusively or shared, whose waiters queue on their own stacks.
 *
 * The word is 0 when free. Bit 0: held. Without bit 1 the rest is the number of shared holders in steps of 16, 0 for an exclusive
 * one. With bit 1 it is the address of the newest waiter's block; blocks are linked from the newest to the oldest, and the
 * oldest one keeps the number of shared holders. Bit 2: an exclusive waiter has been woken and is on its way.
 *
 * The last holder looks at the oldest waiters. Shared ones get the lock in its name, all of them up to the first exclusive one. An exclusive
 * one is woken and competes with whoever comes, and no other is woken meanwhile: a lock that was handed to a thread that does not
 * run would make every release wait for a context switch. With several processors a taker first spins for a moment.
 *
 * New waiters only ever add themselves at the newest end, by compare-exchange. Only the last holder takes blocks off the other
 * end, before the lock is free, and no holder's view of that end changes before; so it may be walked by any holder without a lock.
 *
 * Locks: none. IRQL: <= APC_LEVEL, normal kernel APCs disabled by the caller. Not recursive, not even shared: a waiting
 * exclusive request holds new shared ones back. The lock may be in paged memory.
 *
 * Source: WDK documentation of ExAcquirePushLockExclusiveEx and its relatives.
 */
#include <ntos/ke.h>
#include <ntos/pushlock.h>

#define LOCK_HELD    1ULL
#define LOCK_WAITERS 2ULL
#define LOCK_WAKING  4ULL
#define LOCK_SHARE   16ULL
#define LOCK_BITS    (LOCK_SHARE - 1)

#define SPIN_LOOPS 200 /* a few thousand cycles: about what the two context switches of a wait cost */

typedef struct DECLSPEC_ALIGN(16) _EX_PUSH_WAITER {
    struct _EX_PUSH_WAITER *Older; /* (last holder) NULL: the oldest */
    volatile LONG64 Sharers;       /* interlocked; the oldest block's only: shared holders, 0 with an exclusive one */
    BOOLEAN Exclusive;             /* (c) */
    KEVENT Granted;
} EX_PUSH_WAITER, *PEX_PUSH_WAITER;

static PEX_PUSH_WAITER Newest(ULONG_PTR Word)
{
    return (PEX_PUSH_WAITER)(Word & ~LOCK_BITS);
}

static BOOLEAN Exchange(PEX_PUSH_LOCK Lock, ULONG_PTR Old, ULONG_PTR New)
{
    return (ULONG_PTR)_InterlockedCompareExchange64((volatile LONG64 *)Lock, (LONG64)New, (LONG64)Old) == Old;
}

static PEX_PUSH_WAITER OldestOf(ULONG_PTR Word)
{
    PEX_PUSH_WAITER Block = Newest(Word);

    while (Block->Older != NULL) {
        Block = Block->Older;
    }
    return Block;
}

/* ---- Acquisition ---- */

/* Must a request wait? Shared ones do behind any waiter, while the lock is held. */
static BOOLEAN MustWait(ULONG_PTR Word, BOOLEAN Exclusive)
{
    return (Word & LOCK_HELD) != 0 && (Exclusive || (Word & LOCK_WAITERS) != 0 || Word < LOCK_SHARE);
}

/* Takes the lock, which MustWait(Word) allows. Woken: the caller is the one on its way. FALSE: the state is not Word any more. */
static BOOLEAN Take(PEX_PUSH_LOCK Lock, ULONG_PTR Word, BOOLEAN Exclusive, BOOLEAN Woken)
{
    ULONG_PTR New = (Woken ? Word & ~LOCK_WAKING : Word) | LOCK_HELD;

    if ((Word & LOCK_WAITERS) == 0) {
        return Exchange(Lock, Word, Exclusive ? New : New + LOCK_SHARE);
    }
    if (!Exchange(Lock, Word, New)) {
        return FALSE;
    }
    if (!Exclusive) { /* alone until here: nobody but a holder looks at the number */
        OldestOf(New)->Sharers = 1;
    }
    return TRUE;
}

/* Adds a waiter in front of the others. FALSE: the state is not Word any more. */
static BOOLEAN AddWaiter(PEX_PUSH_LOCK Lock, ULONG_PTR Word, PEX_PUSH_WAITER Waiter, BOOLEAN Woken)
{
    ULONG_PTR Waking = Woken ? 0 : Word & LOCK_WAKING;

    if ((Word & LOCK_WAITERS) != 0) {
        Waiter->Older = Newest(Word);
        Waiter->Sharers = 0;
    } else {
        Waiter->Older = NULL;
        Waiter->Sharers = (LONG64)(Word / LOCK_SHARE);
    }
    return Exchange(Lock, Word, (ULONG_PTR)Waiter | LOCK_WAITERS | LOCK_HELD | Waking);
}

static BOOLEAN TakeSoon(PEX_PUSH_LOCK Lock, BOOLEAN Exclusive)
{
    ULONG Loops = KeNumberOfActiveProcessors > 1 ? SPIN_LOOPS : 0;

    for (;;) {
        ULONG_PTR Word = *(volatile ULONG_PTR *)Lock;
        if (!MustWait(Word, Exclusive) && Take(Lock, Word, Exclusive, FALSE)) {
            return TRUE;
        }
        if (Loops-- == 0) {
            return FALSE;
        }
        YieldProcessor();
    }
}

static VOID Acquire(PEX_PUSH_LOCK Lock, BOOLEAN Exclusive)
{
    EX_PUSH_WAITER Waiter;
    BOOLEAN Woken = FALSE;

    ASSERT_IRQL_MAX(APC_LEVEL);
    if (TakeSoon(Lock, Exclusive)) {
        return;
    }
    Waiter.Exclusive = Exclusive;
    KeInitializeEvent(&Waiter.Granted, SynchronizationEvent, FALSE);
    for (;;) {
        ULONG_PTR Word = *(volatile ULONG_PTR *)Lock;
        if (!MustWait(Word, Exclusive)) {
            if (Take(Lock, Word, Exclusive, Woken)) {
                return;
            }
        } else if (AddWaiter(Lock, Word, &Waiter, Woken)) {
            KeWaitForSingleObject(&Waiter.Granted, WrPushLock, KernelMode, FALSE, NULL);
            if (!Exclusive) {
                return; /* a shared waiter is woken as a holder */
            }
            Woken = TRUE;
        }
    }
}

/* ---- Release ---- */

/* The oldest blocks, those that are to be woken next: from First, the newest of them. Newer: the block before First, or NULL. */
typedef struct _EX_PUSH_GRANT {
    PEX_PUSH_WAITER First;
    PEX_PUSH_WAITER Newer;
    ULONG Count;
    BOOLEAN Exclusive;
} EX_PUSH_GRANT, *PEX_PUSH_GRANT;

static EX_PUSH_GRANT ChooseNext(PEX_PUSH_WAITER Block)
{
    EX_PUSH_GRANT Grant = {NULL, NULL, 0, FALSE};
    PEX_PUSH_WAITER Newer = NULL;

    for (; Block != NULL; Newer = Block, Block = Block->Older) {
        /* A run of shared waiters counts if it reaches the oldest; an exclusive one only if it is the oldest. */
        if (Block->Exclusive || Grant.Count == 0 || Grant.Exclusive) {
            Grant = (EX_PUSH_GRANT){Block, Newer, 0, Block->Exclusive};
        }
        Grant.Count++;
    }
    return Grant;
}

static VOID Wake(PEX_PUSH_WAITER Block)
{
    while (Block != NULL) {
        PEX_PUSH_WAITER Older = Block->Older; /* the block is gone with its thread's wait */
        KeSetEvent(&Block->Granted, IO_NO_INCREMENT, FALSE);
        Block = Older;
    }
}

/* Frees the lock with the oldest waiter, an exclusive one, on its way. FALSE: the state is not Word any more, and nothing is done. */
static BOOLEAN FreeForWaiter(PEX_PUSH_LOCK Lock, ULONG_PTR Word, PEX_PUSH_GRANT Grant)
{
    if (Grant->Newer == NULL) {
        return Exchange(Lock, Word, LOCK_WAKING);
    }
    Grant->Newer->Sharers = 0;
    Grant->Newer->Older = NULL;
    while (!Exchange(Lock, Word, (Word & ~LOCK_HELD) | LOCK_WAKING)) {
        Word = *(volatile ULONG_PTR *)Lock; /* others have added themselves */
    }
    return TRUE;
}

/* Leaves the lock to shared waiters. FALSE: the state is not Word any more, and nothing is done. */
static BOOLEAN HandToSharers(PEX_PUSH_LOCK Lock, ULONG_PTR Word, PEX_PUSH_GRANT Grant)
{
    if (Grant->Newer == NULL) {
        return Exchange(Lock, Word, LOCK_HELD | (Word & LOCK_WAKING) | Grant->Count * LOCK_SHARE);
    }
    Grant->Newer->Sharers = (LONG64)Grant->Count;
    Grant->Newer->Older = NULL;
    return TRUE;
}

/* The last holder goes. */
static VOID Free(PEX_PUSH_LOCK Lock)
{
    for (;;) {
        ULONG_PTR Word = *(volatile ULONG_PTR *)Lock;
        if ((Word & LOCK_WAITERS) == 0) {
            if (Exchange(Lock, Word, Word & LOCK_WAKING)) {
                return;
            }
            continue;
        }
        EX_PUSH_GRANT Grant = ChooseNext(Newest(Word));
        if (Grant.Exclusive && (Word & LOCK_WAKING) != 0) {
            if (Exchange(Lock, Word, Word & ~LOCK_HELD)) {
                return;
            }
        } else if (Grant.Exclusive ? FreeForWaiter(Lock, Word, &Grant) : HandToSharers(Lock, Word, &Grant)) {
            Wake(Grant.First);
            return;
        }
    }
}

static VOID ReleaseExclusive(PEX_PUSH_LOCK Lock)
{
    ASSERT((*Lock & LOCK_HELD) != 0 && ((*Lock & LOCK_WAITERS) != 0 || *Lock < LOCK_SHARE));
    if (!Exchange(Lock, LOCK_HELD, 0)) {
        Free(Lock);
    }
}

static VOID ReleaseShared(PEX_PUSH_LOCK Lock)
{
    for (;;) {
        ULONG_PTR Word = *(volatile ULONG_PTR *)Lock;
        ASSERT((Word & LOCK_HELD) != 0);
        if ((Word & LOCK_WAITERS) != 0) {
            PEX_PUSH_WAITER Oldest = OldestOf(Word);
            ASSERT(Oldest->Sharers > 0);
            if (InterlockedDecrement64(&Oldest->Sharers) == 0) {
                Free(Lock);
            }
            return;
        }
        ASSERT(Word >= LOCK_SHARE);
        ULONG_PTR New = Word - LOCK_SHARE;
        if (Exchange(Lock, Word, New < LOCK_SHARE ? New & LOCK_WAKING : New)) {
            return;
        }
    }
}

/* ---- The same with the verifier's knowledge. Site: the caller's caller ---- */

static VOID WatchedAcquire(PEX_PUSH_LOCK Lock, BOOLEAN Exclusive, PVOID Site)
{
    VF_CLASS_NUMBER Class = VfWantLock(Lock, VfPushLock, Site);

    Acquire(Lock, Exclusive);
    VfGotLock(Lock, VfPushLock, Class, Site);
}

static VOID WatchedReleaseExclusive(PEX_PUSH_LOCK Lock)
{
    VfReleaseLock(Lock, VfPushLock, _ReturnAddress());
    ReleaseExclusive(Lock);
}

static VOID WatchedReleaseShared(PEX_PUSH_LOCK Lock)
{
    VfReleaseLock(Lock, VfPushLock, _ReturnAddress());
    ReleaseShared(Lock);
}

/* ---- What drivers call ---- */

/* Makes a push lock, free. A zeroed word is one as well. IRQL: any. */
VOID NTAPI ExInitializePushLock(PEX_PUSH_LOCK PushLock)
{
    *PushLock = 0;
}

/**
 * ExfAcquirePushLockExclusive - takes a push lock for this thread alone.
 *
 * IRQL: <= APC_LEVEL, inside a critical region of the caller's. Not recursive.
 */
VOID FASTCALL ExfAcquirePushLockExclusive(PEX_PUSH_LOCK PushLock)
{
    WatchedAcquire(PushLock, TRUE, _ReturnAddress());
}

/* Takes a push lock together with others that do so. */
VOID FASTCALL ExfAcquirePushLockShared(PEX_PUSH_LOCK PushLock)
{
    WatchedAcquire(PushLock, FALSE, _ReturnAddress());
}

/* TRUE: taken shared; FALSE: that would have meant waiting. */
BOOLEAN FASTCALL ExfTryAcquirePushLockShared(PEX_PUSH_LOCK PushLock)
{
    for (;;) {
        ULONG_PTR Word = *(volatile ULONG_PTR *)PushLock;
        if (MustWait(Word, FALSE)) {
            return FALSE;
        }
        if (Take(PushLock, Word, FALSE, FALSE)) {
            VfGotLock(PushLock, VfPushLock, VfClassOf(PushLock, VfPushLock, _ReturnAddress()), _ReturnAddress());
            return TRUE;
        }
    }
}

VOID FASTCALL ExfReleasePushLockExclusive(PEX_PUSH_LOCK PushLock)
{
    WatchedReleaseExclusive(PushLock);
}

VOID FASTCALL ExfReleasePushLockShared(PEX_PUSH_LOCK PushLock)
{
    WatchedReleaseShared(PushLock);
}

/* Releases a push lock that the caller holds in either way. */
VOID FASTCALL ExfReleasePushLock(PEX_PUSH_LOCK PushLock)
{
    ULONG_PTR Word = *(volatile ULONG_PTR *)PushLock;
    BOOLEAN Shared = (Word & LOCK_WAITERS) != 0 ? OldestOf(Word)->Sharers != 0 : Word >= LOCK_SHARE;

    if (Shared) {
        WatchedReleaseShared(PushLock);
    } else {
        WatchedReleaseExclusive(PushLock);
    }
}

/* The forms of later kernels. Flags: EX_DEFAULT_PUSH_LOCK_FLAGS; the checks that others would turn off are not made. */
VOID NTAPI ExAcquirePushLockExclusiveEx(PEX_PUSH_LOCK PushLock, ULONG Flags)
{
    WatchedAcquire(PushLock, TRUE, _ReturnAddress());
}

VOID NTAPI ExAcquirePushLockSharedEx(PEX_PUSH_LOCK PushLock, ULONG Flags)
{
    WatchedAcquire(PushLock, FALSE, _ReturnAddress());
}

VOID NTAPI ExReleasePushLockExclusiveEx(PEX_PUSH_LOCK PushLock, ULONG Flags)
{
    WatchedReleaseExclusive(PushLock);
}

VOID NTAPI ExReleasePushLockSharedEx(PEX_PUSH_LOCK PushLock, ULONG Flags)
{
    WatchedReleaseShared(PushLock);
}

VOID NTAPI ExReleasePushLockEx(PEX_PUSH_LOCK PushLock, ULONG Flags)
{
    ExfReleasePushLock(PushLock);
}
