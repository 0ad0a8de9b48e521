/*
 * tpp.h - what the files of the thread pool share.
 *
 * Every callback is an object: a piece of work, a timer, a wait, each with a header of one kind. When it is to run, it is posted to its
 * pool's completion port, from which the pool's threads take one after another. Outstanding counts the posts that have not ended yet, so that
 * whoever waits for an object waits for that to be zero; Pending are those that no thread has begun, which can be taken back: a thread that
 * finds none pending just goes on.
 *
 * References: one is the owner's until TpReleaseXxx, one is each post's, one is the timer queue's or wait thread's while it has the object.
 *
 * Locks (RTL_SRWLOCK): TppTimerLock for timers that are set, TppWaitLock for waits; a pool's own for its threads, a group's for its members. None
 * is taken inside another, and none is held in a callback.
 */
#pragma once

#include "ntdllp.h"

#define TPP_IDLE_TIME (-5LL * 10000000) /* a thread with nothing to do stays for 5 s */

typedef enum _TPP_KIND { TppSimple, TppWork, TppTimer, TppWait } TPP_KIND;

/* (i) interlocked  (c) constant after creation  (p) the pool's lock  (t) TppTimerLock  (w) TppWaitLock  (g) the group's lock */
struct _TP_POOL {
    volatile LONG References; /* (i) the owner's, and one for each object and thread */
    HANDLE Port;              /* (c) */
    RTL_SRWLOCK Lock;
    LONG Threads, Minimum, Maximum; /* (p) */
    volatile LONG Queued;           /* (i) posts that no thread has taken */
    volatile LONG Idle;             /* (i) threads that wait at the port */
    BOOLEAN Released;               /* (p) its threads end when there is nothing to do */
};

typedef struct _TPP_OBJECT {
    TPP_KIND Kind;                                    /* (c) */
    volatile LONG References;                         /* (i) */
    volatile LONG Pending;                            /* (i) posts that can be taken back */
    volatile LONG Outstanding;                        /* (i) posts that have not ended */
    PTP_POOL Pool;                                    /* (c) referenced */
    PVOID Callback, Context;                          /* (c) */
    PTP_SIMPLE_CALLBACK Finalization;                 /* (c) or NULL */
    PTP_CLEANUP_GROUP Group;                          /* (c) or NULL */
    PTP_CLEANUP_GROUP_CANCEL_CALLBACK CancelCallback; /* (c) */
    LIST_ENTRY GroupLink;                             /* (g) empty: in none any more */
} TPP_OBJECT, *PTPP_OBJECT;

struct _TP_WORK {
    TPP_OBJECT Head;
};

struct _TP_TIMER {
    TPP_OBJECT Head;
    ULONG Place;  /* (t) in the heap, from 1; 0: not set */
    LONG64 Due;   /* (t) 100 ns since 1601 */
    ULONG Period; /* (t) ms; 0: once */
    BOOLEAN Set;  /* (t) TpIsTimerSet: until it is told not to */
};

struct _TP_WAIT {
    TPP_OBJECT Head;
    struct _TPP_WAIT_THREAD *Thread; /* (w) who waits for it; NULL: nobody */
    ULONG Slot;                      /* (w) */
    HANDLE Handle;                   /* (w) */
    LONG64 Until;                    /* (w) system time; MAXLONG64: for ever */
    TP_WAIT_RESULT Result;           /* of the last one that ended */
};

struct _TP_CLEANUP_GROUP {
    RTL_SRWLOCK Lock;
    LIST_ENTRY Members; /* (g) TPP_OBJECT.GroupLink */
};

/* What a callback gets to know its call by. */
struct _TP_CALLBACK_INSTANCE {
    PTPP_OBJECT Object;
    HANDLE Event, Semaphore, Mutex; /* to be signalled when the callback has returned; NULL: none */
    ULONG SemaphoreCount;
    PRTL_CRITICAL_SECTION Section;
    BOOLEAN Disassociated; /* nobody waits for this call any more */
};

/* tppool.c */
NTSTATUS TppInitializeObject(PTPP_OBJECT Object, TPP_KIND Kind, PVOID Callback, PVOID Context,
                             const TP_CALLBACK_ENVIRON *Environment);
PVOID TppAllocate(SIZE_T Bytes); /* zeroed, NULL: no memory */
VOID TppReference(PTPP_OBJECT Object);
VOID TppDereference(PTPP_OBJECT Object);
VOID TppPost(PTPP_OBJECT Object);
VOID TppWaitFor(PTPP_OBJECT Object, BOOLEAN CancelPending);
VOID TppRelease(PTPP_OBJECT Object); /* the owner's reference, and the group's list */
LONG64 TppNow(VOID);

/* tptimer.c, tpwait.c: whatever the object waits for, it waits no more */
VOID TppUnsetTimer(PTP_TIMER Timer);
VOID TppUnsetWait(PTP_WAIT Wait);
