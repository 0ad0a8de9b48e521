/*
 * park.c - the table of waiting threads behind every lock of ntdll, and RtlWaitOnAddress, which is its plainest use.
 *
 * park.h says how it works. No wake-up is lost: a waiter is in its bucket before it looks at the word for the last time, and who changes the
 * word looks into the bucket afterwards; both pass through the bucket's lock, whose exchange orders the two.
 *
 * Source: Microsoft Learn, WaitOnAddress, WakeByAddressSingle, WakeByAddressAll.
 */
#include "park.h"

#define BUCKETS      64 /* more than threads that wait at a time in most programs */
#define LOCK_SPINS   64 /* the lock is held for some dozen instructions; after that its holder is not running */
#define LOCK_YIELDS  8  /* then it may be of a lower priority: sleep, so that it gets time */
#define SPINS_SHARED 200

static RTLP_BUCKET RtlpBuckets[BUCKETS];

static VOID RtlpBackOff(ULONG Round)
{
    LARGE_INTEGER Millisecond = {.QuadPart = -10000};

    if (Round < LOCK_SPINS) {
        YieldProcessor();
    } else if (Round < LOCK_SPINS + LOCK_YIELDS) {
        NtYieldExecution();
    } else {
        NtDelayExecution(FALSE, &Millisecond);
    }
}

PRTLP_BUCKET RtlpLockBucket(const volatile VOID *Key)
{
    ULONG64 Hash = (ULONG64)Key * 0x9E3779B97F4A7C15ULL; /* the golden ratio's bits spread neighbours */
    PRTLP_BUCKET Bucket = &RtlpBuckets[Hash >> 58];

    C_ASSERT(BUCKETS == 1 << (64 - 58));
    for (ULONG Round = 0; InterlockedExchange(&Bucket->Lock, 1) != 0; Round++) {
        RtlpBackOff(Round);
    }
    return Bucket;
}

VOID RtlpUnlockBucket(PRTLP_BUCKET Bucket)
{
    InterlockedExchange(&Bucket->Lock, 0);
}

VOID RtlpForgetParked(VOID)
{
    RtlZeroMemory(RtlpBuckets, sizeof(RtlpBuckets));
}

VOID RtlpEnqueue(PRTLP_BUCKET Bucket, PRTLP_PARKED Parked, const volatile VOID *Key, ULONG_PTR Tag)
{
    RtlpInitializeWake(&Parked->Wake);
    Parked->Next = NULL;
    Parked->Key = Key;
    Parked->Tag = Tag;
    if (Bucket->First == NULL) {
        Bucket->First = Parked;
    } else {
        Bucket->Last->Next = Parked;
    }
    Bucket->Last = Parked;
}

PRTLP_PARKED RtlpFirstParked(PRTLP_BUCKET Bucket, const volatile VOID *Key)
{
    PRTLP_PARKED Parked = Bucket->First;

    while (Parked != NULL && Parked->Key != Key) {
        Parked = Parked->Next;
    }
    return Parked;
}

BOOLEAN RtlpRemoveParked(PRTLP_BUCKET Bucket, PRTLP_PARKED Parked)
{
    PRTLP_PARKED Before = NULL, Entry = Bucket->First;

    while (Entry != NULL && Entry != Parked) {
        Before = Entry;
        Entry = Entry->Next;
    }
    if (Entry == NULL) {
        return FALSE;
    }
    if (Before == NULL) {
        Bucket->First = Entry->Next;
    } else {
        Before->Next = Entry->Next;
    }
    if (Bucket->Last == Entry) {
        Bucket->Last = Before;
    }
    Entry->Next = NULL;
    return TRUE;
}

PRTLP_PARKED RtlpDequeue(PRTLP_BUCKET Bucket, const volatile VOID *Key)
{
    PRTLP_PARKED Parked = RtlpFirstParked(Bucket, Key);

    if (Parked != NULL) {
        RtlpRemoveParked(Bucket, Parked);
    }
    return Parked;
}

NTSTATUS RtlpPark(PRTLP_PARKED Parked, PLARGE_INTEGER Timeout)
{
    NTSTATUS Status = RtlpWaitForWake(&Parked->Wake, Timeout);
    PRTLP_BUCKET Bucket;
    BOOLEAN Removed;

    if (Status == STATUS_SUCCESS) {
        return Status;
    }
    Bucket = RtlpLockBucket(Parked->Key);
    Removed = RtlpRemoveParked(Bucket, Parked);
    RtlpUnlockBucket(Bucket);
    return Removed ? Status : RtlpWaitForWake(&Parked->Wake, NULL);
}

VOID RtlpWakeList(PRTLP_PARKED List)
{
    while (List != NULL) {
        PRTLP_PARKED Next = List->Next; /* the block is gone once its thread is woken */

        RtlpWake(&List->Wake);
        List = Next;
    }
}

ULONG RtlpSpins(VOID)
{
    return LdrpPeb()->NumberOfProcessors > 1 ? SPINS_SHARED : 0;
}

/* ---- Waiting on an address ---- */

static BOOLEAN RtlpSame(const volatile VOID *Address, const VOID *Compare, SIZE_T Size)
{
    switch (Size) {
    case 1:
        return *(const volatile UCHAR *)Address == *(const UCHAR *)Compare;
    case 2:
        return *(const volatile USHORT *)Address == *(const USHORT *)Compare;
    case 4:
        return *(const volatile ULONG *)Address == *(const ULONG *)Compare;
    default:
        return *(const volatile ULONG64 *)Address == *(const ULONG64 *)Compare;
    }
}

/**
 * RtlWaitOnAddress - waits while a variable has an unwanted value, until it is woken.
 *
 * @Address  the variable; aligned to its size
 * @Compare  the value that means waiting
 * @Size     of both: 1, 2, 4 or 8 bytes
 * @Timeout  100 ns, negative relative; NULL: for ever
 * returns   STATUS_SUCCESS (woken, or the value is another one; the caller looks again); STATUS_TIMEOUT; STATUS_INVALID_PARAMETER
 */
NTSTATUS NTAPI RtlWaitOnAddress(const volatile VOID *Address, PVOID Compare, SIZE_T Size, PLARGE_INTEGER Timeout)
{
    RTLP_PARKED Parked;
    PRTLP_BUCKET Bucket;
    BOOLEAN Removed;

    if ((Size != 1 && Size != 2 && Size != 4 && Size != 8) || ((ULONG_PTR)Address & (Size - 1)) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    if (!RtlpSame(Address, Compare, Size)) { /* a bad address faults here, where nothing is held */
        return STATUS_SUCCESS;
    }
    Bucket = RtlpLockBucket(Address);
    RtlpEnqueue(Bucket, &Parked, Address, 0);
    RtlpUnlockBucket(Bucket);
    if (RtlpSame(Address, Compare, Size)) {
        return RtlpPark(&Parked, Timeout);
    }
    Bucket = RtlpLockBucket(Address);
    Removed = RtlpRemoveParked(Bucket, &Parked);
    RtlpUnlockBucket(Bucket);
    return Removed ? STATUS_SUCCESS : RtlpWaitForWake(&Parked.Wake, NULL);
}

/* Wakes the thread that has waited longest on the address, if any. */
VOID NTAPI RtlWakeAddressSingle(PVOID Address)
{
    PRTLP_BUCKET Bucket = RtlpLockBucket(Address);
    PRTLP_PARKED Parked = RtlpDequeue(Bucket, Address);

    RtlpUnlockBucket(Bucket);
    RtlpWakeList(Parked);
}

/* Wakes all threads that wait on the address. */
VOID NTAPI RtlWakeAddressAll(PVOID Address)
{
    PRTLP_BUCKET Bucket = RtlpLockBucket(Address);
    PRTLP_PARKED List = NULL, *End = &List;

    while ((*End = RtlpDequeue(Bucket, Address)) != NULL) {
        End = &(*End)->Next;
    }
    RtlpUnlockBucket(Bucket);
    RtlpWakeList(List);
}
