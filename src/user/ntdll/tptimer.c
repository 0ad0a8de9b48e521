/*
 * tptimer.c - timers of the thread pool.
 *
 * All timers that are set are in one binary heap by their due time, so that setting and ending one of ten thousand takes a dozen steps. One thread
 * of the process sleeps until the first is due, posts it to its pool, and puts it back if it has a period. It is woken when another becomes the
 * first, and goes when nothing was set for a while.
 *
 * Lock: TppTimerLock. A timer in the heap has a reference for that. Due times are system time.
 * Source: Microsoft Learn, CreateThreadpoolTimer, SetThreadpoolTimer, IsThreadpoolTimerSet.
 */
#include "tpp.h"

#define TPP_MILLISECOND 10000
#define TPP_FIRST_ROOM  64 /* timers; doubled when it is full */

static RTL_SRWLOCK TppTimerLock = RTL_SRWLOCK_INIT;
static PTP_TIMER *TppHeap;      /* (t) entries from 1 on */
static ULONG TppCount, TppRoom; /* (t) */
static HANDLE TppTimerEvent;    /* (t) made with the thread; NULL: there is none yet */

/* ---- The heap; the lock is held ---- */

static VOID TppPut(ULONG Place, PTP_TIMER Timer)
{
    TppHeap[Place] = Timer;
    Timer->Place = Place;
}

/* Moves a timer from an empty place to where it belongs. */
static VOID TppSift(ULONG Place, PTP_TIMER Timer)
{
    while (Place > 1 && TppHeap[Place / 2]->Due > Timer->Due) {
        TppPut(Place, TppHeap[Place / 2]);
        Place /= 2;
    }
    for (ULONG Child = 2 * Place; Child <= TppCount; Child = 2 * Place) {
        if (Child < TppCount && TppHeap[Child + 1]->Due < TppHeap[Child]->Due) {
            Child++;
        }
        if (TppHeap[Child]->Due >= Timer->Due) {
            break;
        }
        TppPut(Place, TppHeap[Child]);
        Place = Child;
    }
    TppPut(Place, Timer);
}

static VOID TppRemove(PTP_TIMER Timer)
{
    ULONG Place = Timer->Place;
    PTP_TIMER Last = TppHeap[TppCount--];

    Timer->Place = 0;
    if (Last != Timer) {
        TppSift(Place, Last);
    }
}

static BOOLEAN TppGrowHeap(VOID)
{
    ULONG Room = TppRoom == 0 ? TPP_FIRST_ROOM : 2 * TppRoom;
    PTP_TIMER *New;

    if (TppCount + 1 < TppRoom) {
        return TRUE;
    }
    New = TppAllocate(Room * sizeof(*New));
    if (New == NULL) {
        return FALSE;
    }
    if (TppHeap != NULL) {
        RtlCopyMemory(New, TppHeap, (TppCount + 1) * sizeof(*New));
        RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, TppHeap);
    }
    TppHeap = New;
    TppRoom = Room;
    return TRUE;
}

/* ---- The thread ---- */

/* Posts what is due; returns the time of the next one. */
static LONG64 TppRunDue(VOID)
{
    LONG64 Now = TppNow(), Next = MAXLONG64;

    RtlAcquireSRWLockExclusive(&TppTimerLock);
    while (TppCount != 0 && TppHeap[1]->Due <= Now) {
        PTP_TIMER Timer = TppHeap[1];
        BOOLEAN Again = Timer->Period != 0;

        TppRemove(Timer);
        if (Again) {
            Timer->Due = max(Timer->Due + (LONG64)Timer->Period * TPP_MILLISECOND, Now + 1);
            TppCount++;
            TppSift(TppCount, Timer);
        }
        RtlReleaseSRWLockExclusive(&TppTimerLock); /* the timer's place, or else we, have its reference */
        TppPost(&Timer->Head);
        if (!Again) {
            TppDereference(&Timer->Head);
        }
        RtlAcquireSRWLockExclusive(&TppTimerLock);
    }
    if (TppCount != 0) {
        Next = TppHeap[1]->Due;
    }
    RtlReleaseSRWLockExclusive(&TppTimerLock);
    return Next;
}

/* Nothing is set: the thread goes, and the next timer makes another. */
static BOOLEAN TppEndTimers(VOID)
{
    BOOLEAN End;

    RtlAcquireSRWLockExclusive(&TppTimerLock);
    End = TppCount == 0;
    TppTimerEvent = End ? NULL : TppTimerEvent;
    RtlReleaseSRWLockExclusive(&TppTimerLock);
    return End;
}

static NTSTATUS NTAPI TppTimerThread(PVOID Argument)
{
    for (;;) {
        LARGE_INTEGER Until = {.QuadPart = TppRunDue()};
        BOOLEAN Idle = Until.QuadPart == MAXLONG64;

        if (Idle) {
            Until.QuadPart = TPP_IDLE_TIME;
        }
        if (NtWaitForSingleObject(Argument, FALSE, &Until) == STATUS_TIMEOUT && Idle && TppEndTimers()) {
            break;
        }
    }
    NtClose(Argument);
    return STATUS_SUCCESS;
}

/* The event and the thread, once. The lock is held. */
static NTSTATUS TppStartTimers(VOID)
{
    HANDLE Event, Thread;
    NTSTATUS Status;

    if (TppTimerEvent != NULL) {
        return STATUS_SUCCESS;
    }
    Status = NtCreateEvent(&Event, EVENT_ALL_ACCESS, NULL, SynchronizationEvent, FALSE);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = NtCreateThreadEx(&Thread, SYNCHRONIZE, NULL, ZwCurrentProcess(), TppTimerThread, Event, 0, 0, 0, 0, NULL);
    if (!NT_SUCCESS(Status)) {
        NtClose(Event);
        return Status;
    }
    NtClose(Thread);
    TppTimerEvent = Event;
    return STATUS_SUCCESS;
}

/* ---- Exports ---- */

/**
 * TpAllocTimer - a callback that runs at a time. As TpAllocWork; it is not set yet.
 */
NTSTATUS NTAPI TpAllocTimer(PTP_TIMER *Timer, PTP_TIMER_CALLBACK Callback, PVOID Context,
                            PTP_CALLBACK_ENVIRON Environment)
{
    PTP_TIMER New = TppAllocate(sizeof(*New));
    NTSTATUS Status = New == NULL ? STATUS_NO_MEMORY
                                  : TppInitializeObject(&New->Head, TppTimer, (PVOID)Callback, Context, Environment);

    if (NT_SUCCESS(Status)) {
        *Timer = New;
    } else {
        RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, New);
    }
    return Status;
}

VOID TppUnsetTimer(PTP_TIMER Timer)
{
    BOOLEAN Was;

    RtlAcquireSRWLockExclusive(&TppTimerLock);
    Was = Timer->Place != 0;
    if (Was) {
        TppRemove(Timer);
    }
    Timer->Set = FALSE;
    RtlReleaseSRWLockExclusive(&TppTimerLock);
    if (Was) {
        TppDereference(&Timer->Head);
    }
}

/**
 * TpSetTimer - says when a timer's callback runs.
 *
 * @DueTime  100 ns: negative from now on, otherwise system time; NULL: not any more (what was posted already still runs)
 * @Period   ms between further calls; 0: once
 * @Window   ms that it may be late: not used
 */
VOID NTAPI TpSetTimer(PTP_TIMER Timer, PLARGE_INTEGER DueTime, ULONG Period, ULONG Window)
{
    UNREFERENCED_PARAMETER(Window);
    TppUnsetTimer(Timer);
    if (DueTime == NULL) {
        return;
    }
    TppReference(&Timer->Head);
    RtlAcquireSRWLockExclusive(&TppTimerLock);
    if (Timer->Place != 0 || !TppGrowHeap() || !NT_SUCCESS(TppStartTimers())) {
        /* another thread has set it, or there is no memory: it says so by not being set */
        RtlReleaseSRWLockExclusive(&TppTimerLock);
        TppDereference(&Timer->Head);
        return;
    }
    Timer->Due = DueTime->QuadPart < 0 ? TppNow() - DueTime->QuadPart : DueTime->QuadPart;
    Timer->Period = Period;
    Timer->Set = TRUE;
    TppCount++;
    TppSift(TppCount, Timer);
    if (Timer->Place == 1) {
        NtSetEvent(TppTimerEvent, NULL); /* with the lock held: the event is the thread's, which may be about to go */
    }
    RtlReleaseSRWLockExclusive(&TppTimerLock);
}

/* TRUE: it was set, and not unset since, also if its time is over. */
LOGICAL NTAPI TpIsTimerSet(PTP_TIMER Timer)
{
    return Timer->Set;
}

VOID NTAPI TpWaitForTimer(PTP_TIMER Timer, LOGICAL CancelPendingCallbacks)
{
    TppWaitFor(&Timer->Head, CancelPendingCallbacks != 0);
}

/* The owner has done with it; it is no longer set. */
VOID NTAPI TpReleaseTimer(PTP_TIMER Timer)
{
    TppUnsetTimer(Timer);
    TppRelease(&Timer->Head);
}
