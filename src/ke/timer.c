/*
 * timer.c - timers, in a wheel whose cost does not depend on how many are armed.
 *
 * Interrupt time is divided into clock ticks. A timer due within 256 ticks is in the slot of the tick at which it
 * expires; later ones are in coarser wheels, each slot of which spans a whole turn of the finer one, and move inwards as
 * their slot comes near. Arming and cancelling are list operations in constant time; a timer moves at most four times in
 * its life. Timers due in more than 2^32 ticks (two years) wait in the last wheel and are placed again when met.
 *
 * The clock of processor 0 compares the tick with KiNextTick, the next one with anything to do, and asks for a DPC
 * interrupt, where KiExpireTimers signals the timers, queues their DPCs and arms periodic ones again.
 *
 * When processor 0 is idle its clock does not tick; an earlier KiNextTick wakes it (idle.c).
 *
 * Locks: dispatcher; let go for a moment after every batch of expired timers. KiNextTick is read without it.
 *
 * Source: WDK documentation of KeSetTimerEx and KeCancelTimer.
 */
#include "kip.h"

#define FINE_BITS     8
#define FINE_SLOTS    (1 << FINE_BITS)
#define COARSE_BITS   6
#define COARSE_SLOTS  (1 << COARSE_BITS)
#define COARSE_WHEELS 4 /* 8 + 4 * 6 = 32 bits of ticks */

/* Timers signalled before others get a chance at the dispatcher lock. */
#define EXPIRE_BATCH 32

#define UNITS_A_MILLISECOND 10000

#define NO_TICK (MAXULONG64 >> 1) /* positive as a signed number, too */

static LIST_ENTRY KiFine[FINE_SLOTS];                    /* (d) */
static LIST_ENTRY KiCoarse[COARSE_WHEELS][COARSE_SLOTS]; /* (d) */
static ULONG64 KiFineUsed[FINE_SLOTS / 64];              /* (d) bit: the slot may hold timers */
static ULONG64 KiTick;                                   /* (d) the last tick dealt with */
static ULONG64 KiArmedTimers;                            /* (d) */
static volatile ULONG64 KiNextTick = NO_TICK;            /* (d) for writing */

VOID KiInitializeTimers(VOID)
{
    for (ULONG i = 0; i < FINE_SLOTS; i++) {
        InitializeListHead(&KiFine[i]);
    }
    for (ULONG w = 0; w < COARSE_WHEELS; w++) {
        for (ULONG i = 0; i < COARSE_SLOTS; i++) {
            InitializeListHead(&KiCoarse[w][i]);
        }
    }
    KiTick = KeQueryInterruptTime() / KeTimeIncrement;
}

/* ---- The wheel ---- */

/* Puts a timer where its due time belongs, but not before a tick: KiTick while its slot is still to be expired. */
static VOID PlaceTimer(PKTIMER Timer, ULONG64 Earliest)
{
    ULONG64 Tick = (Timer->DueTime.QuadPart + KeTimeIncrement - 1) / KeTimeIncrement;

    if (Tick < Earliest) {
        Tick = Earliest;
    }
    if (Tick - KiTick < FINE_SLOTS) {
        ULONG Slot = (ULONG)(Tick & (FINE_SLOTS - 1));
        InsertTailList(&KiFine[Slot], &Timer->TimerListEntry);
        KiFineUsed[Slot / 64] |= 1ULL << (Slot % 64);
    } else {
        ULONG Wheel = 0, Shift = FINE_BITS;
        if (Tick - KiTick > MAXULONG32) {
            Tick = KiTick + MAXULONG32;
        }
        while (Wheel < COARSE_WHEELS - 1 && (Tick - KiTick) >> (Shift + COARSE_BITS) != 0) {
            Wheel++;
            Shift += COARSE_BITS;
        }
        InsertTailList(&KiCoarse[Wheel][Tick >> Shift & (COARSE_SLOTS - 1)], &Timer->TimerListEntry);
        Tick = (KiTick / FINE_SLOTS + 1) * FINE_SLOTS; /* nothing to do for it before the next turn */
    }
    if (Tick < KiNextTick) {
        KiNextTick = Tick;
        KiTimerMovedForward(Tick);
    }
}

/* Places every timer of a list again, now that it is nearer. */
static VOID Spread(PLIST_ENTRY Slot)
{
    LIST_ENTRY List;

    if (IsListEmpty(Slot)) {
        return;
    }
    List = *Slot;
    List.Flink->Blink = &List;
    List.Blink->Flink = &List;
    InitializeListHead(Slot);
    while (!IsListEmpty(&List)) {
        PlaceTimer(CONTAINING_RECORD(RemoveHeadList(&List), KTIMER, TimerListEntry), KiTick);
    }
}

/* The fine wheel begins a new turn: the next slot of the coarser ones comes in, as far as they turn over too. */
static VOID TurnCoarseWheels(ULONG64 Tick)
{
    ULONG Shift = FINE_BITS;

    for (ULONG Wheel = 0; Wheel < COARSE_WHEELS; Wheel++, Shift += COARSE_BITS) {
        ULONG Slot = (ULONG)(Tick >> Shift & (COARSE_SLOTS - 1));
        Spread(&KiCoarse[Wheel][Slot]);
        if (Slot != 0) {
            return;
        }
    }
}

/* The next tick with anything to do after KiTick: a used fine slot of this turn, else the beginning of the next. */
static ULONG64 FindNextTick(VOID)
{
    ULONG64 Base = KiTick & ~(ULONG64)(FINE_SLOTS - 1);
    ULONG First = (ULONG)(KiTick - Base) + 1;

    if (KiArmedTimers == 0) {
        return NO_TICK;
    }
    for (ULONG Word = First / 64; Word < FINE_SLOTS / 64; Word++) {
        ULONG64 Used = KiFineUsed[Word];
        ULONG Bit;
        if (Word == First / 64) {
            Used &= MAXULONG64 << (First % 64);
        }
        if (_BitScanForward64(&Bit, Used)) {
            return Base + Word * 64 + Bit;
        }
    }
    return Base + FINE_SLOTS;
}

ULONG64 KiDueTime(LARGE_INTEGER DueTime)
{
    ULONG64 Now = KeQueryInterruptTime();

    if (DueTime.QuadPart < 0) {
        ULONG64 Delta = 0 - (ULONG64)DueTime.QuadPart;
        Now = KeQueryInterruptTimePrecise(NULL); /* ticks may be overdue: never early */
        return Delta > MAXLONG64 - Now ? MAXLONG64 : Now + Delta;
    }
    LARGE_INTEGER System;
    KeQuerySystemTime(&System);
    return DueTime.QuadPart <= System.QuadPart ? 0 : Now + (ULONG64)(DueTime.QuadPart - System.QuadPart);
}

/* Arms a timer for a time that may have passed meanwhile: then it expires with the next tick that is dealt with. */
static VOID ArmTimer(PKTIMER Timer, ULONG64 Due)
{
    ASSERT(!Timer->Header.Inserted);
    if (KiArmedTimers++ == 0 && KiNextTick == NO_TICK) { /* the wheel stood still while it was empty */
        KiTick = KeQueryInterruptTime() / KeTimeIncrement;
    }
    Timer->Header.SignalState = 0;
    Timer->Header.Inserted = TRUE;
    Timer->DueTime.QuadPart = Due;
    PlaceTimer(Timer, KiTick + 1);
}

BOOLEAN KiInsertTimer(PKTIMER Timer, ULONG64 Due)
{
    if (Due <= KeQueryInterruptTime()) {
        return FALSE;
    }
    ArmTimer(Timer, Due);
    return TRUE;
}

VOID KiRemoveTimer(PKTIMER Timer)
{
    RemoveEntryList(&Timer->TimerListEntry);
    Timer->Header.Inserted = FALSE;
    KiArmedTimers--;
}

/* ---- Expiration ---- */

/* A timer's time has come (it is in no list): waiters, DPC, next period. */
static VOID SignalTimer(PKTIMER Timer)
{
    PKDPC Dpc = Timer->Dpc;
    ULONG64 Now = KeQueryInterruptTime(), Period = (ULONG64)Timer->Period * UNITS_A_MILLISECOND;

    Timer->Header.SignalState = 1;
    if (!IsListEmpty(&Timer->Header.WaitListHead)) {
        KiWaitTest(&Timer->Header, IO_NO_INCREMENT);
    }
    if (Period != 0) {
        ULONG64 Next = Timer->DueTime.QuadPart + Period;
        LONG State = Timer->Header.SignalState;
        if (Next <= Now) { /* periods that were missed are missed */
            Next = Now + Period - (Now - Timer->DueTime.QuadPart) % Period;
        }
        ArmTimer(Timer, Next); /* also when the clock has gone past Next since Now was read: it must not stop */
        Timer->Header.SignalState = State; /* a periodic timer stays signalled while it is armed again */
    }
    if (Dpc != NULL) {
        LARGE_INTEGER Time;
        KeQuerySystemTime(&Time);
        KeInsertQueueDpc(Dpc, (PVOID)(ULONG_PTR)Time.LowPart, (PVOID)(ULONG_PTR)(ULONG)Time.HighPart);
    }
}

/* Expires the fine slot of a tick. The list is emptied one by one: others may cancel while the lock is let go. */
static VOID ExpireSlot(ULONG Slot)
{
    PLIST_ENTRY List = &KiFine[Slot];
    ULONG Batch = 0;

    KiFineUsed[Slot / 64] &= ~(1ULL << (Slot % 64));
    while (!IsListEmpty(List)) {
        PKTIMER Timer = CONTAINING_RECORD(List->Flink, KTIMER, TimerListEntry);
        KiRemoveTimer(Timer);
        SignalTimer(Timer);
        if (++Batch % EXPIRE_BATCH == 0) {
            KiReleaseSpinLock(&KiDispatcherLock);
            KiAcquireSpinLock(&KiDispatcherLock);
        }
    }
}

ULONG64 KiNextTimerTick(VOID)
{
    return KiNextTick;
}

BOOLEAN KiTimersDue(VOID)
{
    return KeQueryInterruptTime() / KeTimeIncrement >= KiNextTick;
}

VOID KiExpireTimers(VOID)
{
    KiAcquireSpinLock(&KiDispatcherLock);
    while (KiNextTick <= KeQueryInterruptTime() / KeTimeIncrement) {
        KiTick = KiNextTick;
        if (KiTick % FINE_SLOTS == 0) {
            TurnCoarseWheels(KiTick);
        }
        ExpireSlot((ULONG)(KiTick % FINE_SLOTS));
        KiNextTick = FindNextTick();
    }
    KiReleaseDispatcherLock(DISPATCH_LEVEL);
}

/* ---- What drivers call ---- */

/**
 * KeInitializeTimerEx - makes a timer.
 *
 * @Type  NotificationTimer stays signalled until set again, SynchronizationTimer ends one wait
 *
 * IRQL: <= DISPATCH_LEVEL.
 */
VOID NTAPI KeInitializeTimerEx(PKTIMER Timer, TIMER_TYPE Type)
{
    memset(Timer, 0, sizeof(*Timer));
    Timer->Header.Type = (UCHAR)(Type == NotificationTimer ? TimerNotificationObject : TimerSynchronizationObject);
    InitializeListHead(&Timer->Header.WaitListHead);
}

VOID NTAPI KeInitializeTimer(PKTIMER Timer)
{
    KeInitializeTimerEx(Timer, NotificationTimer);
}

/**
 * KeSetTimerEx - arms a timer, anew if it is armed.
 *
 * @DueTime  100 ns: negative relative, else absolute system time
 * @Period   milliseconds, 0: once
 * @Dpc      queued on expiration; may be NULL
 * returns   whether it was armed before
 *
 * IRQL: <= DISPATCH_LEVEL.
 */
BOOLEAN NTAPI KeSetTimerEx(PKTIMER Timer, LARGE_INTEGER DueTime, LONG Period, PKDPC Dpc)
{
    KIRQL OldIrql = KiAcquireDispatcherLock();
    BOOLEAN Armed = Timer->Header.Inserted;
    ULONG64 Due = KiDueTime(DueTime);

    if (Armed) {
        KiRemoveTimer(Timer);
    }
    Timer->Dpc = Dpc;
    Timer->Period = (ULONG)Period;
    if (!KiInsertTimer(Timer, Due)) {
        Timer->DueTime.QuadPart = KeQueryInterruptTime();
        SignalTimer(Timer);
    }
    KiReleaseDispatcherLock(OldIrql);
    return Armed;
}

BOOLEAN NTAPI KeSetTimer(PKTIMER Timer, LARGE_INTEGER DueTime, PKDPC Dpc)
{
    return KeSetTimerEx(Timer, DueTime, 0, Dpc);
}

/**
 * KeSetCoalescableTimer - arms a timer that may expire a little late, so that others expire with it.
 *
 * @Period          milliseconds, 0: once
 * @TolerableDelay  milliseconds; timers expire on clock ticks here, so all of one tick do so together and nothing is put off more
 * returns          whether it was armed before
 *
 * IRQL: <= DISPATCH_LEVEL. Source: WDK documentation.
 */
BOOLEAN NTAPI KeSetCoalescableTimer(PKTIMER Timer, LARGE_INTEGER DueTime, ULONG Period, ULONG TolerableDelay, PKDPC Dpc)
{
    return KeSetTimerEx(Timer, DueTime, (LONG)Period, Dpc);
}

/**
 * KeCancelTimer - disarms a timer. Its DPC may have been queued already (KeRemoveQueueDpc, KeFlushQueuedDpcs).
 *
 * returns  whether it was armed
 *
 * IRQL: <= DISPATCH_LEVEL.
 */
BOOLEAN NTAPI KeCancelTimer(PKTIMER Timer)
{
    KIRQL OldIrql = KiAcquireDispatcherLock();
    BOOLEAN Armed = Timer->Header.Inserted;

    if (Armed) {
        KiRemoveTimer(Timer);
    }
    KiReleaseDispatcherLock(OldIrql);
    return Armed;
}

BOOLEAN NTAPI KeReadStateTimer(PKTIMER Timer)
{
    return Timer->Header.SignalState > 0;
}

#if NT_CHK

static PKTIMER FindInSlot(PLIST_ENTRY Slot, ULONG64 Begin, ULONG64 End)
{
    for (PLIST_ENTRY Entry = Slot->Flink; Entry != Slot; Entry = Entry->Flink) {
        PKTIMER Timer = CONTAINING_RECORD(Entry, KTIMER, TimerListEntry);
        ULONG64 Routine = Timer->Dpc != NULL ? (ULONG64)Timer->Dpc->DeferredRoutine : 0;
        if (((ULONG64)Timer >= Begin && (ULONG64)Timer < End) || (Routine >= Begin && Routine < End)) {
            return Timer;
        }
    }
    return NULL;
}

PKTIMER KiFindTimerOf(ULONG64 Begin, ULONG64 End)
{
    PKTIMER Found = NULL;

    KIRQL OldIrql = KiAcquireDispatcherLock();
    for (ULONG i = 0; i < FINE_SLOTS && Found == NULL; i++) {
        Found = FindInSlot(&KiFine[i], Begin, End);
    }
    for (ULONG i = 0; i < COARSE_WHEELS * COARSE_SLOTS && Found == NULL; i++) {
        Found = FindInSlot(&KiCoarse[i / COARSE_SLOTS][i % COARSE_SLOTS], Begin, End);
    }
    KiReleaseDispatcherLock(OldIrql);
    return Found;
}

#endif
