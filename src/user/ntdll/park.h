/*
 * park.h - where threads of this process wait, by the address of what they wait for.
 *
 * A table of buckets, chosen by address, each with its own short lock and a list of the threads that wait, first come first. Locks and condition
 * variables need no memory of their own beyond their word: a thread that has to wait puts a block on its stack into the bucket of the word's
 * address, looks at the word once more while the bucket is locked, and sleeps.
 *
 * The bucket lock is the last one of all; while it is held nothing is called and nothing waits.
 */
#pragma once

#include "../../rtl/wake.h"
#include "ntdllp.h"

typedef struct _RTLP_PARKED {
    struct _RTLP_PARKED *Next; /* (b) the bucket's, later the list of those to be woken */
    const volatile VOID *Key;  /* (c) */
    ULONG_PTR Tag;             /* (c) the owner's */
    RTLP_WAKE Wake;
} RTLP_PARKED, *PRTLP_PARKED;

typedef struct DECLSPEC_ALIGN(64) _RTLP_BUCKET {
    volatile LONG Lock;
    PRTLP_PARKED First, Last; /* (b) */
} RTLP_BUCKET, *PRTLP_BUCKET;

PRTLP_BUCKET RtlpLockBucket(const volatile VOID *Key);
VOID RtlpUnlockBucket(PRTLP_BUCKET Bucket);

/* The caller's block at the end of the locked bucket. */
VOID RtlpEnqueue(PRTLP_BUCKET Bucket, PRTLP_PARKED Parked, const volatile VOID *Key, ULONG_PTR Tag);
/* The first block of Key; NULL: none. RtlpDequeue takes it out. Bucket locked. */
PRTLP_PARKED RtlpFirstParked(PRTLP_BUCKET Bucket, const volatile VOID *Key);
PRTLP_PARKED RtlpDequeue(PRTLP_BUCKET Bucket, const volatile VOID *Key);
/* Takes a block out. FALSE: somebody else has, and is about to wake it. Bucket locked. */
BOOLEAN RtlpRemoveParked(PRTLP_BUCKET Bucket, PRTLP_PARKED Parked);

/* Sleeps until the block, which is in a bucket, is taken out and woken. STATUS_SUCCESS; STATUS_TIMEOUT (it is out of the bucket). */
NTSTATUS RtlpPark(PRTLP_PARKED Parked, PLARGE_INTEGER Timeout);
/* Wakes a list of blocks that were taken out. No bucket locked. */
VOID RtlpWakeList(PRTLP_PARKED List);

/* In a copy of a process, where none of those that wait is: all buckets are empty and free. */
VOID RtlpForgetParked(VOID);

/* How often to look at a word before waiting for it: not at all where no other processor could change it. */
ULONG RtlpSpins(VOID);
