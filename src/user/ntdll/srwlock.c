/*
 * srwlock.c - slim reader/writer locks and condition variables.
 *
 * A lock is one word: bit 0 held exclusively, bit 1 threads wait, the rest how many share it. Who cannot have it waits in the bucket of
 * its address (park.h); bit 1 changes only while the bucket is locked. The last to let go of a lock with bit 1 wakes the thread that has
 * waited longest, or all sharers up to the next who wants it alone. A thread that comes meanwhile may be faster than the
 * woken one; but nobody joins those who share a lock while others wait, so writers get their turn.
 *
 * A condition variable's word says whether threads wait on it. A sleeper is in the bucket before it lets go of the lock.
 *
 * Source: Microsoft Learn, "Slim Reader/Writer (SRW) Locks", "Condition Variables".
 */
#include "park.h"

#define SRW_LOCKED  1ULL
#define SRW_WAITING 2ULL
#define SRW_SHARE   16ULL

#define TAG_SHARED    0
#define TAG_EXCLUSIVE 1

static volatile LONG64 *RtlpWord(PRTL_SRWLOCK Lock)
{
    return (volatile LONG64 *)&Lock->Ptr;
}

VOID NTAPI RtlInitializeSRWLock(PRTL_SRWLOCK Lock)
{
    Lock->Ptr = NULL;
}

/* ---- Taking ---- */

static BOOLEAN RtlpMayTake(ULONG64 Word, ULONG_PTR Tag)
{
    if ((Word & SRW_LOCKED) != 0) {
        return FALSE;
    }
    return Word < SRW_SHARE || (Tag == TAG_SHARED && (Word & SRW_WAITING) == 0);
}

/* FALSE: it is not to be had now. */
static BOOLEAN RtlpTryTake(PRTL_SRWLOCK Lock, ULONG_PTR Tag)
{
    ULONG64 Word = (ULONG64)*RtlpWord(Lock);

    while (RtlpMayTake(Word, Tag)) {
        ULONG64 New = Tag == TAG_SHARED ? Word + SRW_SHARE : Word | SRW_LOCKED;
        ULONG64 Seen = (ULONG64)InterlockedCompareExchange64(RtlpWord(Lock), (LONG64)New, (LONG64)Word);

        if (Seen == Word) {
            return TRUE;
        }
        Word = Seen;
    }
    return FALSE;
}

/* Waits until woken by who lets go; returns at once if the lock is free by now. */
static VOID RtlpWaitForLock(PRTL_SRWLOCK Lock, ULONG_PTR Tag)
{
    PRTLP_BUCKET Bucket = RtlpLockBucket(Lock);
    RTLP_PARKED Parked;

    for (;;) {
        ULONG64 Word = (ULONG64)*RtlpWord(Lock);

        if (RtlpMayTake(Word, Tag)) {
            RtlpUnlockBucket(Bucket);
            return;
        }
        if ((Word & SRW_WAITING) != 0 ||
            (ULONG64)InterlockedCompareExchange64(RtlpWord(Lock), (LONG64)(Word | SRW_WAITING), (LONG64)Word) == Word) {
            break;
        }
    }
    RtlpEnqueue(Bucket, &Parked, Lock, Tag);
    RtlpUnlockBucket(Bucket);
    RtlpPark(&Parked, NULL);
}

static VOID RtlpTake(PRTL_SRWLOCK Lock, ULONG_PTR Tag)
{
    ULONG Spins = RtlpSpins();

    while (!RtlpTryTake(Lock, Tag)) {
        if (Spins != 0) {
            Spins--;
            YieldProcessor();
        } else {
            RtlpWaitForLock(Lock, Tag);
        }
    }
}

VOID NTAPI RtlAcquireSRWLockExclusive(PRTL_SRWLOCK Lock)
{
    RtlpTake(Lock, TAG_EXCLUSIVE);
}

VOID NTAPI RtlAcquireSRWLockShared(PRTL_SRWLOCK Lock)
{
    RtlpTake(Lock, TAG_SHARED);
}

BOOLEAN NTAPI RtlTryAcquireSRWLockExclusive(PRTL_SRWLOCK Lock)
{
    return RtlpTryTake(Lock, TAG_EXCLUSIVE);
}

BOOLEAN NTAPI RtlTryAcquireSRWLockShared(PRTL_SRWLOCK Lock)
{
    return RtlpTryTake(Lock, TAG_SHARED);
}

/* ---- Letting go ---- */

static VOID RtlpWakeNext(PRTL_SRWLOCK Lock)
{
    PRTLP_BUCKET Bucket = RtlpLockBucket(Lock);
    PRTLP_PARKED List = RtlpDequeue(Bucket, Lock), Next, *End;

    if (List != NULL && List->Tag == TAG_SHARED) {
        for (End = &List->Next; (Next = RtlpFirstParked(Bucket, Lock)) != NULL && Next->Tag == TAG_SHARED;
             End = &Next->Next) {
            *End = RtlpDequeue(Bucket, Lock);
        }
    }
    if (RtlpFirstParked(Bucket, Lock) == NULL) {
        InterlockedAnd64(RtlpWord(Lock), ~(LONG64)SRW_WAITING);
    }
    RtlpUnlockBucket(Bucket);
    RtlpWakeList(List);
}

/* Raises STATUS_RESOURCE_NOT_OWNED if it is not held so. */
VOID NTAPI RtlReleaseSRWLockExclusive(PRTL_SRWLOCK Lock)
{
    ULONG64 Word = (ULONG64)*RtlpWord(Lock);

    if ((Word & SRW_LOCKED) == 0) {
        RtlRaiseStatus(STATUS_RESOURCE_NOT_OWNED);
    }
    if ((InterlockedAnd64(RtlpWord(Lock), ~(LONG64)SRW_LOCKED) & SRW_WAITING) != 0) {
        RtlpWakeNext(Lock);
    }
}

VOID NTAPI RtlReleaseSRWLockShared(PRTL_SRWLOCK Lock)
{
    ULONG64 Word = (ULONG64)*RtlpWord(Lock);

    if (Word < SRW_SHARE) {
        RtlRaiseStatus(STATUS_RESOURCE_NOT_OWNED);
    }
    Word = (ULONG64)InterlockedExchangeAdd64(RtlpWord(Lock), -(LONG64)SRW_SHARE) - SRW_SHARE;
    if (Word < SRW_SHARE && (Word & SRW_WAITING) != 0) {
        RtlpWakeNext(Lock);
    }
}

/* ---- Condition variables ---- */

VOID NTAPI RtlInitializeConditionVariable(PRTL_CONDITION_VARIABLE Variable)
{
    Variable->Ptr = NULL;
}

static VOID RtlpEnterCondition(PRTL_CONDITION_VARIABLE Variable, PRTLP_PARKED Parked)
{
    PRTLP_BUCKET Bucket = RtlpLockBucket(Variable);

    InterlockedExchangePointer(&Variable->Ptr, (PVOID)1);
    RtlpEnqueue(Bucket, Parked, Variable, 0);
    RtlpUnlockBucket(Bucket);
}

/**
 * RtlSleepConditionVariableSRW - lets go of a lock, waits for a condition variable, and takes the lock again.
 *
 * @Timeout  100 ns, negative relative; NULL: for ever
 * @Flags    RTL_CONDITION_VARIABLE_LOCKMODE_SHARED: how the lock is held
 * returns   STATUS_SUCCESS (woken; the caller looks at its condition again); STATUS_TIMEOUT; STATUS_INVALID_PARAMETER (nothing was done).
 *           RtlSleepConditionVariableCS does the same with a critical section
 */
NTSTATUS NTAPI RtlSleepConditionVariableSRW(PRTL_CONDITION_VARIABLE Variable, PRTL_SRWLOCK Lock, PLARGE_INTEGER Timeout,
                                            ULONG Flags)
{
    ULONG_PTR Tag = (Flags & RTL_CONDITION_VARIABLE_LOCKMODE_SHARED) != 0 ? TAG_SHARED : TAG_EXCLUSIVE;
    RTLP_PARKED Parked;
    NTSTATUS Status;

    if ((Flags & ~(ULONG)RTL_CONDITION_VARIABLE_LOCKMODE_SHARED) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    RtlpEnterCondition(Variable, &Parked);
    if (Tag == TAG_SHARED) {
        RtlReleaseSRWLockShared(Lock);
    } else {
        RtlReleaseSRWLockExclusive(Lock);
    }
    Status = RtlpPark(&Parked, Timeout);
    RtlpTake(Lock, Tag);
    return Status;
}

NTSTATUS NTAPI RtlSleepConditionVariableCS(PRTL_CONDITION_VARIABLE Variable, PRTL_CRITICAL_SECTION Section,
                                           PLARGE_INTEGER Timeout)
{
    RTLP_PARKED Parked;
    NTSTATUS Status;

    RtlpEnterCondition(Variable, &Parked);
    RtlLeaveCriticalSection(Section);
    Status = RtlpPark(&Parked, Timeout);
    RtlEnterCriticalSection(Section);
    return Status;
}

static VOID RtlpWakeCondition(PRTL_CONDITION_VARIABLE Variable, BOOLEAN All)
{
    PRTLP_PARKED List = NULL, *End = &List;

    if (InterlockedCompareExchangePointer(&Variable->Ptr, NULL, NULL) == NULL) {
        return; /* nobody waits */
    }
    PRTLP_BUCKET Bucket = RtlpLockBucket(Variable);
    while ((*End = RtlpDequeue(Bucket, Variable)) != NULL && All) {
        End = &(*End)->Next;
    }
    if (RtlpFirstParked(Bucket, Variable) == NULL) {
        InterlockedExchangePointer(&Variable->Ptr, NULL);
    }
    RtlpUnlockBucket(Bucket);
    RtlpWakeList(List);
}

VOID NTAPI RtlWakeConditionVariable(PRTL_CONDITION_VARIABLE Variable)
{
    RtlpWakeCondition(Variable, FALSE);
}

VOID NTAPI RtlWakeAllConditionVariable(PRTL_CONDITION_VARIABLE Variable)
{
    RtlpWakeCondition(Variable, TRUE);
}
