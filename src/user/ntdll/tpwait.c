/*
 * tpwait.c - waits of the thread pool: a callback when an object is signalled.
 *
 * A wait thread waits for one event of its own and up to 63 objects; each wait that is set has a slot of one. The thread copies its slots under the
 * lock, waits, and looks under the lock again whether the wait that ended is still the one it waited for: then it is over and its callback is
 * posted. Setting and unsetting wake the thread, so that it copies anew. Threads are made as waits need
 * them; one that has had none for a while goes.
 *
 * Lock: TppWaitLock. A wait with a slot has a reference for that. Source: Microsoft Learn, CreateThreadpoolWait, SetThreadpoolWait.
 */
#include "tpp.h"

#define TPP_SLOTS 63 /* and the thread's own event: as many as one wait takes (MAXIMUM_WAIT_OBJECTS) */

typedef struct _TPP_WAIT_THREAD {
    struct _TPP_WAIT_THREAD *Next; /* (w) */
    HANDLE Changed;                /* (c) */
    PTP_WAIT Slots[TPP_SLOTS];     /* (w) NULL: free */
} TPP_WAIT_THREAD, *PTPP_WAIT_THREAD;

/* What a thread waits for: a copy of its slots. */
typedef struct _TPP_COPY {
    ULONG Count; /* with the event, which is the first */
    HANDLE Handles[TPP_SLOTS + 1];
    PTP_WAIT Waits[TPP_SLOTS + 1];
    LONG64 Until;
} TPP_COPY, *PTPP_COPY;

static RTL_SRWLOCK TppWaitLock = RTL_SRWLOCK_INIT;
static PTPP_WAIT_THREAD TppWaitThreads; /* (w) */

static VOID TppCopySlots(PTPP_WAIT_THREAD Thread, PTPP_COPY Copy)
{
    Copy->Count = 1;
    Copy->Handles[0] = Thread->Changed;
    Copy->Until = MAXLONG64;
    RtlAcquireSRWLockShared(&TppWaitLock);
    for (ULONG Slot = 0; Slot < TPP_SLOTS; Slot++) {
        PTP_WAIT Wait = Thread->Slots[Slot];

        if (Wait != NULL) {
            Copy->Handles[Copy->Count] = Wait->Handle;
            Copy->Waits[Copy->Count++] = Wait;
            Copy->Until = min(Copy->Until, Wait->Until);
        }
    }
    RtlReleaseSRWLockShared(&TppWaitLock);
}

/* Ends a wait of the thread's, if it is still the same, and posts its callback (Post FALSE: only ends it). */
static VOID TppEndWait(PTPP_WAIT_THREAD Thread, PTP_WAIT Wait, HANDLE Handle, LONG64 NotAfter, TP_WAIT_RESULT Result,
                       BOOLEAN Post)
{
    BOOLEAN Ours = FALSE;

    RtlAcquireSRWLockExclusive(&TppWaitLock);
    for (ULONG Slot = 0; Slot < TPP_SLOTS; Slot++) {
        if (Thread->Slots[Slot] == Wait && Wait->Handle == Handle && Wait->Until <= NotAfter) {
            Thread->Slots[Slot] = NULL;
            Wait->Thread = NULL;
            Wait->Result = Result;
            Ours = TRUE;
        }
    }
    RtlReleaseSRWLockExclusive(&TppWaitLock);
    if (Ours) {
        if (Post) {
            TppPost(&Wait->Head);
        }
        TppDereference(&Wait->Head);
    }
}

/* One of the handles is no good any more: the waits whose handles are none end without a callback. */
static VOID TppDropBad(PTPP_WAIT_THREAD Thread, const TPP_COPY *Copy)
{
    LARGE_INTEGER Now = {.QuadPart = 0};

    for (ULONG Index = 1; Index < Copy->Count; Index++) {
        NTSTATUS Status = NtWaitForSingleObject(Copy->Handles[Index], FALSE, &Now);

        if (!NT_SUCCESS(Status)) {
            TppEndWait(Thread, Copy->Waits[Index], Copy->Handles[Index], MAXLONG64, STATUS_INVALID_HANDLE, FALSE);
        } else if (Status == STATUS_SUCCESS) { /* a signal that this took */
            TppEndWait(Thread, Copy->Waits[Index], Copy->Handles[Index], MAXLONG64, STATUS_WAIT_0, TRUE);
        }
    }
}

/* A thread that has had nothing to wait for goes, unless it was just given something. */
static BOOLEAN TppEndThread(PTPP_WAIT_THREAD Thread)
{
    BOOLEAN End = TRUE;

    RtlAcquireSRWLockExclusive(&TppWaitLock);
    for (ULONG Slot = 0; Slot < TPP_SLOTS; Slot++) {
        End = End && Thread->Slots[Slot] == NULL;
    }
    for (PTPP_WAIT_THREAD *Link = &TppWaitThreads; End && *Link != NULL;) {
        if (*Link == Thread) {
            *Link = Thread->Next;
        } else {
            Link = &(*Link)->Next;
        }
    }
    RtlReleaseSRWLockExclusive(&TppWaitLock);
    return End;
}

static NTSTATUS NTAPI TppWaitThread(PVOID Argument)
{
    PTPP_WAIT_THREAD Thread = Argument;
    TPP_COPY Copy;

    for (;;) {
        LARGE_INTEGER Until;
        NTSTATUS Status;

        TppCopySlots(Thread, &Copy);
        Until.QuadPart = Copy.Count == 1 ? TPP_IDLE_TIME : Copy.Until;
        Status = NtWaitForMultipleObjects(Copy.Count, Copy.Handles, WaitAny, FALSE,
                                          Until.QuadPart == MAXLONG64 ? NULL : &Until);
        if (Status > STATUS_WAIT_0 && Status < STATUS_WAIT_0 + (LONG)Copy.Count) {
            TppEndWait(Thread, Copy.Waits[Status], Copy.Handles[Status], MAXLONG64, STATUS_WAIT_0, TRUE);
        } else if (Status == STATUS_TIMEOUT && Copy.Count == 1) {
            if (TppEndThread(Thread)) {
                break;
            }
        } else if (Status == STATUS_TIMEOUT) {
            LONG64 Now = TppNow();

            for (ULONG Index = 1; Index < Copy.Count; Index++) {
                TppEndWait(Thread, Copy.Waits[Index], Copy.Handles[Index], Now, STATUS_TIMEOUT, TRUE);
            }
        } else if (!NT_SUCCESS(Status)) {
            TppDropBad(Thread, &Copy);
        }
    }
    NtClose(Thread->Changed);
    RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, Thread);
    return STATUS_SUCCESS;
}

/* A thread with a free slot; NULL: none, and none can be made. The lock is held exclusively. */
static PTPP_WAIT_THREAD TppFindThread(PULONG Slot)
{
    PTPP_WAIT_THREAD Thread;
    HANDLE Handle;

    for (Thread = TppWaitThreads; Thread != NULL; Thread = Thread->Next) {
        for (*Slot = 0; *Slot < TPP_SLOTS; (*Slot)++) {
            if (Thread->Slots[*Slot] == NULL) {
                return Thread;
            }
        }
    }
    Thread = TppAllocate(sizeof(*Thread));
    if (Thread == NULL) {
        return NULL;
    }
    if (!NT_SUCCESS(NtCreateEvent(&Thread->Changed, EVENT_ALL_ACCESS, NULL, SynchronizationEvent, FALSE))) {
        RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, Thread);
        return NULL;
    }
    if (!NT_SUCCESS(NtCreateThreadEx(&Handle, SYNCHRONIZE, NULL, ZwCurrentProcess(), TppWaitThread, Thread, 0, 0, 0, 0,
                                     NULL))) {
        NtClose(Thread->Changed);
        RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, Thread);
        return NULL;
    }
    NtClose(Handle);
    Thread->Next = TppWaitThreads;
    TppWaitThreads = Thread;
    *Slot = 0;
    return Thread;
}

/* ---- Exports ---- */

/* A callback for when an object is signalled. As TpAllocWork; it waits for nothing yet. */
NTSTATUS NTAPI TpAllocWait(PTP_WAIT *Wait, PTP_WAIT_CALLBACK Callback, PVOID Context, PTP_CALLBACK_ENVIRON Environment)
{
    PTP_WAIT New = TppAllocate(sizeof(*New));
    NTSTATUS Status = New == NULL ? STATUS_NO_MEMORY
                                  : TppInitializeObject(&New->Head, TppWait, (PVOID)Callback, Context, Environment);

    if (NT_SUCCESS(Status)) {
        *Wait = New;
    } else {
        RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, New);
    }
    return Status;
}

VOID TppUnsetWait(PTP_WAIT Wait)
{
    PTPP_WAIT_THREAD Thread;

    RtlAcquireSRWLockExclusive(&TppWaitLock);
    Thread = Wait->Thread;
    if (Thread != NULL) {
        Thread->Slots[Wait->Slot] = NULL;
        Wait->Thread = NULL;
        NtSetEvent(Thread->Changed, NULL);
    }
    RtlReleaseSRWLockExclusive(&TppWaitLock);
    if (Thread != NULL) {
        TppDereference(&Wait->Head);
    }
}

/**
 * TpSetWait - says what a wait's callback waits for, once.
 *
 * @Handle   with SYNCHRONIZE; NULL: nothing any more (what was posted already still runs)
 * @Timeout  100 ns: negative from now on, otherwise system time; NULL: for ever. The callback gets STATUS_TIMEOUT then
 */
VOID NTAPI TpSetWait(PTP_WAIT Wait, HANDLE Handle, PLARGE_INTEGER Timeout)
{
    PTPP_WAIT_THREAD Thread = NULL;

    TppUnsetWait(Wait);
    if (Handle == NULL) {
        return;
    }
    TppReference(&Wait->Head);
    RtlAcquireSRWLockExclusive(&TppWaitLock);
    if (Wait->Thread == NULL) {
        Thread = TppFindThread(&Wait->Slot);
    }
    if (Thread != NULL) {
        Wait->Handle = Handle;
        Wait->Until = MAXLONG64;
        if (Timeout != NULL) {
            Wait->Until = Timeout->QuadPart < 0 ? TppNow() - Timeout->QuadPart : Timeout->QuadPart;
        }
        Wait->Thread = Thread;
        Thread->Slots[Wait->Slot] = Wait;
        NtSetEvent(Thread->Changed, NULL); /* with the lock held: the thread may be about to go */
    }
    RtlReleaseSRWLockExclusive(&TppWaitLock);
    if (Thread == NULL) {
        TppDereference(&Wait->Head);
    }
}

VOID NTAPI TpWaitForWait(PTP_WAIT Wait, LOGICAL CancelPendingCallbacks)
{
    TppWaitFor(&Wait->Head, CancelPendingCallbacks != 0);
}

/* The owner has done with it; it waits for nothing any more. */
VOID NTAPI TpReleaseWait(PTP_WAIT Wait)
{
    TppUnsetWait(Wait);
    TppRelease(&Wait->Head);
}
