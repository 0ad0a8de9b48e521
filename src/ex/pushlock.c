/*
 * pushlock.c - push locks: one word, held exclusively or shared, whose waiters queue on their own stacks.
 *
 * The word is 0 when free. Bit 0: held. Without bit 1 the rest is the number of shared holders in steps of 16, 0 for an exclusive
 * one. With bit 1 it is the address of the newest waiter's block; blocks are linked from the newest to the oldest, and the
 * oldest one keeps the number of shared holders. The word is never free while somebody waits: the last holder hands the lock to the
 * oldest waiter, or to the oldest ones up to the first exclusive one, and nobody overtakes.
 *
 * New waiters only ever add themselves at the newest end, by compare-exchange. Only the last holder takes blocks off the other
 * end, and no holder's view of that end changes before; so it may be walked by any holder without a lock.
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
#define LOCK_SHARE   16ULL
#define LOCK_BITS    (LOCK_SHARE - 1)

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

/* ---- Acquisition ---- */

/* Takes the lock if its state, Word, allows. FALSE: it does not, or the state has changed. */
static BOOLEAN TryTake(PEX_PUSH_LOCK Lock, ULONG_PTR Word, BOOLEAN Exclusive)
{
    if (Word == 0) {
        return Exchange(Lock, 0, LOCK_HELD | (Exclusive ? 0 : LOCK_SHARE));
    }
    if (Exclusive || (Word & LOCK_WAITERS) != 0 || Word < LOCK_SHARE) {
        return FALSE;
    }
    return Exchange(Lock, Word, Word + LOCK_SHARE);
}

/* Adds a waiter in front of the others. FALSE: the state is not Word any more. */
static BOOLEAN AddWaiter(PEX_PUSH_LOCK Lock, ULONG_PTR Word, PEX_PUSH_WAITER Waiter)
{
    if ((Word & LOCK_WAITERS) != 0) {
        Waiter->Older = Newest(Word);
        Waiter->Sharers = 0;
    } else {
        Waiter->Older = NULL;
        Waiter->Sharers = (LONG64)(Word / LOCK_SHARE);
    }
    return Exchange(Lock, Word, (ULONG_PTR)Waiter | LOCK_WAITERS | LOCK_HELD);
}

static VOID Acquire(PEX_PUSH_LOCK Lock, BOOLEAN Exclusive)
{
    EX_PUSH_WAITER Waiter;

    ASSERT_IRQL_MAX(APC_LEVEL);
    if (TryTake(Lock, *(volatile ULONG_PTR *)Lock, Exclusive)) {
        return;
    }
    Waiter.Exclusive = Exclusive;
    KeInitializeEvent(&Waiter.Granted, SynchronizationEvent, FALSE);
    for (;;) {
        ULONG_PTR Word = *(volatile ULONG_PTR *)Lock;
        if (TryTake(Lock, Word, Exclusive)) {
            return;
        }
        BOOLEAN Busy = Word != 0 && (Exclusive || (Word & LOCK_WAITERS) != 0 || Word < LOCK_SHARE);
        if (Busy && AddWaiter(Lock, Word, &Waiter)) {
            KeWaitForSingleObject(&Waiter.Granted, WrPushLock, KernelMode, FALSE, NULL);
            return;
        }
    }
}

/* ---- Handing over ---- */

/* The blocks that get the lock next: from First, the newest of them, to the oldest. Newer: the block before First, or NULL. */
typedef struct _EX_PUSH_GRANT {
    PEX_PUSH_WAITER First;
    PEX_PUSH_WAITER Newer;
    ULONG Count;
    BOOLEAN Exclusive;
} EX_PUSH_GRANT;

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

/* The last holder has gone: the lock, still held in its name, goes to the oldest waiters. */
static VOID HandOver(PEX_PUSH_LOCK Lock)
{
    EX_PUSH_GRANT Grant;

    for (;;) {
        ULONG_PTR Word = *(volatile ULONG_PTR *)Lock;
        Grant = ChooseNext(Newest(Word));
        ULONG64 Sharers = Grant.Exclusive ? 0 : Grant.Count;
        if (Grant.Newer != NULL) {
            Grant.Newer->Sharers = (LONG64)Sharers;
            Grant.Newer->Older = NULL;
            break;
        }
        if (Exchange(Lock, Word, LOCK_HELD | Sharers * LOCK_SHARE)) {
            break;
        }
    }
    for (PEX_PUSH_WAITER Block = Grant.First; Block != NULL;) {
        PEX_PUSH_WAITER Older = Block->Older; /* the block is gone with its thread's wait */
        KeSetEvent(&Block->Granted, IO_NO_INCREMENT, FALSE);
        Block = Older;
    }
}

static VOID ReleaseExclusive(PEX_PUSH_LOCK Lock)
{
    ASSERT((*Lock & LOCK_HELD) != 0 && ((*Lock & LOCK_WAITERS) != 0 || *Lock == LOCK_HELD));
    if (!Exchange(Lock, LOCK_HELD, 0)) {
        HandOver(Lock);
    }
}

static VOID ReleaseShared(PEX_PUSH_LOCK Lock)
{
    for (;;) {
        ULONG_PTR Word = *(volatile ULONG_PTR *)Lock;
        ASSERT((Word & LOCK_HELD) != 0);
        if ((Word & LOCK_WAITERS) != 0) {
            PEX_PUSH_WAITER Oldest = Newest(Word);
            while (Oldest->Older != NULL) {
                Oldest = Oldest->Older;
            }
            ASSERT(Oldest->Sharers > 0);
            if (InterlockedDecrement64(&Oldest->Sharers) == 0) {
                HandOver(Lock);
            }
            return;
        }
        ASSERT(Word >= LOCK_SHARE);
        ULONG_PTR New = Word - LOCK_SHARE;
        if (Exchange(Lock, Word, New < LOCK_SHARE ? 0 : New)) {
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
        if (Word != 0 && ((Word & LOCK_WAITERS) != 0 || Word < LOCK_SHARE)) {
            return FALSE;
        }
        if (TryTake(PushLock, Word, FALSE)) {
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
    BOOLEAN Shared;

    if ((Word & LOCK_WAITERS) != 0) {
        PEX_PUSH_WAITER Oldest = Newest(Word);
        while (Oldest->Older != NULL) {
            Oldest = Oldest->Older;
        }
        Shared = Oldest->Sharers != 0;
    } else {
        Shared = Word >= LOCK_SHARE;
    }
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
