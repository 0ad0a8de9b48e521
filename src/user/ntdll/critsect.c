/*
 * critsect.c - critical sections: locks of one process that their owner may take again.
 *
 * LockCount is as public debuggers read it: bit 0 set: free; bit 1 clear: a thread that was woken is on its way; above, the
 * complement of the number of threads that wait. A release wakes one waiter only if none is on its way, so threads that come by
 * take a busy section without a switch each time. Waiters sleep in the bucket of the section's address (park.h), where their
 * count changes; the rest of the word changes by exchange.
 *
 * Source: Microsoft Learn, "Critical Section Objects"; WinDbg's "Displaying a Critical Section".
 */
#include "park.h"

#define CS_FREE         1
#define CS_NONE_WOKEN   2
#define CS_WAITER       4
#define CS_NO_DEBUGINFO ((PVOID)(LONG_PTR) - 1) /* Windows' mark for: not allocated */
#define CS_SPIN_MASK    0x00FFFFFFu             /* the rest of a spin count are flags */

static LONG RtlpSwapCount(PRTL_CRITICAL_SECTION Section, LONG New, LONG Old)
{
    return InterlockedCompareExchange(&Section->LockCount, New, Old);
}

/**
 * RtlInitializeCriticalSectionEx - makes a critical section of memory.
 *
 * @SpinCount  how often a thread looks at a busy section before it sleeps; counts only where there are several processors
 * @Flags      RTL_CRITICAL_SECTION_FLAG_...: all are accepted, none makes a difference
 * returns     STATUS_SUCCESS; STATUS_INVALID_PARAMETER_2 (spin count beyond 24 bits); STATUS_INVALID_PARAMETER_3 (no flags)
 */
NTSTATUS NTAPI RtlInitializeCriticalSectionEx(PRTL_CRITICAL_SECTION Section, ULONG SpinCount, ULONG Flags)
{
    if ((Flags & ~RTL_CRITICAL_SECTION_ALL_FLAG_BITS) != 0) {
        return STATUS_INVALID_PARAMETER_3;
    }
    if ((SpinCount & ~CS_SPIN_MASK) != 0) {
        return STATUS_INVALID_PARAMETER_2;
    }
    Section->DebugInfo = CS_NO_DEBUGINFO;
    Section->LockCount = -1;
    Section->RecursionCount = 0;
    Section->OwningThread = NULL;
    Section->LockSemaphore = NULL;
    Section->SpinCount = SpinCount;
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI RtlInitializeCriticalSectionAndSpinCount(PRTL_CRITICAL_SECTION Section, ULONG SpinCount)
{
    return RtlInitializeCriticalSectionEx(Section, SpinCount & CS_SPIN_MASK, 0);
}

NTSTATUS NTAPI RtlInitializeCriticalSection(PRTL_CRITICAL_SECTION Section)
{
    return RtlInitializeCriticalSectionEx(Section, 0, 0);
}

/* The count that was. */
ULONG NTAPI RtlSetCriticalSectionSpinCount(PRTL_CRITICAL_SECTION Section, ULONG SpinCount)
{
    ULONG Old = (ULONG)Section->SpinCount;

    Section->SpinCount = SpinCount & CS_SPIN_MASK;
    return Old;
}

/* It must be free. */
NTSTATUS NTAPI RtlDeleteCriticalSection(PRTL_CRITICAL_SECTION Section)
{
    RtlZeroMemory(Section, sizeof(*Section));
    return STATUS_SUCCESS;
}

/* ---- Taking ---- */

/* Arrived: CS_NONE_WOKEN if the caller is the thread that was woken. */
static BOOLEAN RtlpTryTakeSection(PRTL_CRITICAL_SECTION Section, LONG Arrived)
{
    LONG Count = Section->LockCount;

    while ((Count & CS_FREE) != 0) {
        LONG Seen = RtlpSwapCount(Section, (Count & ~CS_FREE) | Arrived, Count);

        if (Seen == Count) {
            return TRUE;
        }
        Count = Seen;
    }
    return FALSE;
}

static VOID RtlpOwnSection(PRTL_CRITICAL_SECTION Section)
{
    Section->OwningThread = LdrpTeb()->ClientId.UniqueThread;
    Section->RecursionCount = 1;
    LdrpTeb()->CountOfOwnedCriticalSections++;
}

/* Sleeps until woken. FALSE: the section was free. */
static BOOLEAN RtlpWaitForSection(PRTL_CRITICAL_SECTION Section, LONG Arrived)
{
    PRTLP_BUCKET Bucket = RtlpLockBucket(Section);
    RTLP_PARKED Parked;
    LONG Count;

    do {
        Count = Section->LockCount;
        if ((Count & CS_FREE) != 0) {
            RtlpUnlockBucket(Bucket);
            return FALSE;
        }
    } while (RtlpSwapCount(Section, (Count - CS_WAITER) | Arrived, Count) != Count);
    RtlpEnqueue(Bucket, &Parked, Section, 0);
    RtlpUnlockBucket(Bucket);
    RtlpPark(&Parked, NULL);
    return TRUE;
}

BOOLEAN NTAPI RtlTryEnterCriticalSection(PRTL_CRITICAL_SECTION Section)
{
    if (Section->OwningThread == LdrpTeb()->ClientId.UniqueThread) {
        Section->RecursionCount++;
        return TRUE;
    }
    if (!RtlpTryTakeSection(Section, 0)) {
        return FALSE;
    }
    RtlpOwnSection(Section);
    return TRUE;
}

NTSTATUS NTAPI RtlEnterCriticalSection(PRTL_CRITICAL_SECTION Section)
{
    ULONG64 Spins = RtlpSpins() == 0 ? 0 : Section->SpinCount;
    LONG Arrived = 0;

    if (RtlTryEnterCriticalSection(Section)) {
        return STATUS_SUCCESS;
    }
    while (!RtlpTryTakeSection(Section, Arrived)) {
        if (Spins != 0) {
            Spins--;
            YieldProcessor();
        } else if (RtlpWaitForSection(Section, Arrived)) {
            Arrived = CS_NONE_WOKEN;
        }
    }
    RtlpOwnSection(Section);
    return STATUS_SUCCESS;
}

/* ---- Letting go ---- */

static VOID RtlpWakeOne(PRTL_CRITICAL_SECTION Section)
{
    PRTLP_BUCKET Bucket = RtlpLockBucket(Section);
    PRTLP_PARKED Parked = NULL;
    LONG Count = Section->LockCount;

    if ((Count & CS_NONE_WOKEN) != 0 && (Parked = RtlpDequeue(Bucket, Section)) != NULL) {
        LONG Seen;

        while ((Seen = RtlpSwapCount(Section, (Count + CS_WAITER) & ~CS_NONE_WOKEN, Count)) != Count) {
            Count = Seen;
        }
    }
    RtlpUnlockBucket(Bucket);
    RtlpWakeList(Parked);
}

/* STATUS_SUCCESS; STATUS_RESOURCE_NOT_OWNED: the caller does not own it, and nothing changes. */
NTSTATUS NTAPI RtlLeaveCriticalSection(PRTL_CRITICAL_SECTION Section)
{
    LONG Count;

    if (Section->OwningThread != LdrpTeb()->ClientId.UniqueThread) {
        return STATUS_RESOURCE_NOT_OWNED;
    }
    if (--Section->RecursionCount != 0) {
        return STATUS_SUCCESS;
    }
    LdrpTeb()->CountOfOwnedCriticalSections--;
    Section->OwningThread = NULL;
    Count = InterlockedOr(&Section->LockCount, CS_FREE);
    if ((Count >> 2) != -1 && (Count & CS_NONE_WOKEN) != 0) {
        RtlpWakeOne(Section);
    }
    return STATUS_SUCCESS;
}

BOOLEAN NTAPI RtlIsCriticalSectionLocked(PRTL_CRITICAL_SECTION Section)
{
    return Section->RecursionCount != 0;
}

BOOLEAN NTAPI RtlIsCriticalSectionLockedByThread(PRTL_CRITICAL_SECTION Section)
{
    return Section->OwningThread == LdrpTeb()->ClientId.UniqueThread && Section->RecursionCount != 0;
}
