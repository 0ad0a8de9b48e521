/*
 * timerobj.c - timers that have handles and names.
 *
 * The body begins with a KTIMER, so that waiting needs nothing of this file. A timer that was set with an APC routine is associated with
 * the thread that set it: it is in that thread's list and holds a reference on itself, until it has fired (once only), is set anew,
 * cancelled, or the thread ends (ExTimerRundown). Expiration queues a DPC, the DPC queues the APC to the thread, and the queued APC
 * holds a reference of its own, so that a timer whose last handle goes meanwhile outlives it.
 *
 *     unarmed -> armed -> expired [-> DPC -> APC -> routine]        set, cancel: back to armed, unarmed; DPC and APC are taken back
 *
 * Locks: Setters (mutex, PASSIVE_LEVEL) lets one thread at a time set or cancel, since that waits for DPCs under way. Lock (spin,
 * DISPATCH_LEVEL) guards the association; a thread's ActiveTimerListLock is taken inside it.
 * Source: WDK documentation of ZwCreateTimer, ZwSetTimer, ZwCancelTimer.
 */
#include <ntos/ex.h>
#include <ntos/ob.h>
#include <ntos/ps.h>
#include <ntos/user.h>

/* (k) Lock  (l) the thread's ActiveTimerListLock  (m) Setters  (c) constant after creation */
typedef struct _EXP_TIMER {
    KTIMER Timer; /* first: the dispatcher header is the body's beginning */
    KMUTEX Setters;
    KSPIN_LOCK Lock;
    PETHREAD Thread;         /* (k) associated with; not referenced: the thread ends the association */
    LIST_ENTRY ThreadLink;   /* (l) in Thread->ActiveTimerListHead while Thread is set */
    BOOLEAN Periodic;        /* (k) */
    KPROCESSOR_MODE ApcMode; /* (m) */
    KDPC Dpc;
    KAPC Apc;
} EXP_TIMER, *PEXP_TIMER;
C_ASSERT(FIELD_OFFSET(EXP_TIMER, Timer) == 0);

POBJECT_TYPE ExpTimerType;

static VOID ExpDeleteTimer(PVOID Object)
{
    PEXP_TIMER Timer = Object;

    ASSERT(Timer->Thread == NULL); /* an association references the timer */
    KeCancelTimer(&Timer->Timer);
}

static const OBJECT_TYPE_INITIALIZER ExpTimerTypeInfo = {
    .Name = L"Timer",
    .GenericMapping = {STANDARD_RIGHTS_READ | TIMER_QUERY_STATE, STANDARD_RIGHTS_WRITE | TIMER_MODIFY_STATE,
                       STANDARD_RIGHTS_EXECUTE | SYNCHRONIZE, TIMER_ALL_ACCESS},
    .ValidAccess = TIMER_ALL_ACCESS,
    .PoolTag = 'emiT',
    .WaitOffset = 0,
    .DeleteProcedure = ExpDeleteTimer,
};

NTSTATUS ExpCreateTimerType(VOID)
{
    return ObCreateObjectType(&ExpTimerTypeInfo, &ExpTimerType);
}

/* ---- The association with a thread ---- */

/* Ends it, if there is one; TRUE: there was, and its reference is the caller's to give up. Lock held. */
static BOOLEAN ExpDissociate(PEXP_TIMER Timer)
{
    PETHREAD Thread = Timer->Thread;

    if (Thread == NULL) {
        return FALSE;
    }
    KeAcquireSpinLockAtDpcLevel(&Thread->ActiveTimerListLock);
    RemoveEntryList(&Timer->ThreadLink);
    KeReleaseSpinLockFromDpcLevel(&Thread->ActiveTimerListLock);
    Timer->Thread = NULL;
    return TRUE;
}

static VOID ExpAssociate(PEXP_TIMER Timer, BOOLEAN Periodic)
{
    PETHREAD Thread = PsGetCurrentThread();
    KIRQL Irql;

    ObReferenceObject(Timer);
    KeAcquireSpinLock(&Timer->Lock, &Irql);
    Timer->Periodic = Periodic;
    Timer->Thread = Thread;
    KeAcquireSpinLockAtDpcLevel(&Thread->ActiveTimerListLock);
    InsertTailList(&Thread->ActiveTimerListHead, &Timer->ThreadLink);
    KeReleaseSpinLockFromDpcLevel(&Thread->ActiveTimerListLock);
    KeReleaseSpinLock(&Timer->Lock, Irql);
}

/* The timer expired: the APC goes to its thread, unless it is still on the way from the last time. */
static VOID NTAPI ExpTimerDpc(PKDPC Dpc, PVOID Context, PVOID TimeLow, PVOID TimeHigh)
{
    PEXP_TIMER Timer = Context;

    UNREFERENCED_PARAMETER(Dpc);
    KeAcquireSpinLockAtDpcLevel(&Timer->Lock);
    if (Timer->Thread != NULL) {
        ObReferenceObject(Timer); /* the APC's */
        if (!KeInsertQueueApc(&Timer->Apc, TimeLow, TimeHigh, IO_NO_INCREMENT)) {
            ObDereferenceObject(Timer);
        }
    }
    KeReleaseSpinLockFromDpcLevel(&Timer->Lock);
}

/* In the thread, before the caller's routine. APC_LEVEL. */
static VOID NTAPI ExpTimerApc(PKAPC Apc, PKNORMAL_ROUTINE *Routine, PVOID *Context, PVOID *Argument1, PVOID *Argument2)
{
    PEXP_TIMER Timer = CONTAINING_RECORD(Apc, EXP_TIMER, Apc);
    BOOLEAN Ended = FALSE;
    KIRQL Irql;

    UNREFERENCED_PARAMETER(Routine);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KeAcquireSpinLock(&Timer->Lock, &Irql);
    if (Timer->Thread == PsGetCurrentThread() && !Timer->Periodic) {
        Ended = ExpDissociate(Timer);
    }
    KeReleaseSpinLock(&Timer->Lock, Irql);
    if (Ended) {
        ObDereferenceObject(Timer);
    }
    ObDereferenceObject(Timer);
}

/* Instead of ExpTimerApc, for an APC that a thread's end found in its queue. */
static VOID NTAPI ExpTimerApcRundown(PKAPC Apc)
{
    ObDereferenceObject(CONTAINING_RECORD(Apc, EXP_TIMER, Apc));
}

/* ---- Setting and cancelling ---- */

/* Disarms the timer and takes back what its last setting has under way. Setters held. */
static VOID ExpDisarm(PEXP_TIMER Timer)
{
    BOOLEAN Associated;
    KIRQL Irql;

    KeAcquireSpinLock(&Timer->Lock, &Irql);
    Associated = ExpDissociate(Timer);
    KeReleaseSpinLock(&Timer->Lock, Irql);
    KeCancelTimer(&Timer->Timer);
    if (!Associated) {
        return;
    }
    if (!KeRemoveQueueDpc(&Timer->Dpc)) {
        KeFlushQueuedDpcs(); /* one that runs now must not find the next setting's association */
    }
    if (KeRemoveQueueApc(&Timer->Apc)) {
        ObDereferenceObject(Timer);
    }
    ObDereferenceObject(Timer); /* the association's */
}

static VOID ExpLockSetters(PEXP_TIMER Timer)
{
    KeWaitForSingleObject(&Timer->Setters, Executive, KernelMode, FALSE, NULL);
}

static VOID ExpCancelTimerObject(PEXP_TIMER Timer)
{
    ExpLockSetters(Timer);
    ExpDisarm(Timer);
    KeReleaseMutex(&Timer->Setters, FALSE);
}

/**
 * ExTimerRundown - ends the timers that would queue APCs to the calling thread, which is about to end.
 *
 * IRQL: PASSIVE_LEVEL. Before the thread's APC queue is closed.
 */
VOID ExTimerRundown(VOID)
{
    PETHREAD Thread = PsGetCurrentThread();
    KIRQL Irql;

    for (;;) {
        PEXP_TIMER Timer = NULL;

        KeAcquireSpinLock(&Thread->ActiveTimerListLock, &Irql);
        if (!IsListEmpty(&Thread->ActiveTimerListHead)) {
            Timer = CONTAINING_RECORD(Thread->ActiveTimerListHead.Flink, EXP_TIMER, ThreadLink);
            ObReferenceObject(Timer); /* in the list it is referenced */
        }
        KeReleaseSpinLock(&Thread->ActiveTimerListLock, Irql);
        if (Timer == NULL) {
            return;
        }
        ExpCancelTimerObject(Timer);
        ObDereferenceObject(Timer);
    }
}

static NTSTATUS ExpReferenceTimer(HANDLE Handle, PEXP_TIMER *Timer)
{
    return ObReferenceObjectByHandle(Handle, TIMER_MODIFY_STATE, ExpTimerType, ExGetPreviousMode(), (PVOID *)Timer,
                                     NULL);
}

/**
 * NtCreateTimer - makes a timer object, not armed.
 *
 * @TimerType  NotificationTimer or SynchronizationTimer
 * returns     STATUS_SUCCESS, STATUS_INVALID_PARAMETER_4, errors of object creation
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtCreateTimer(PHANDLE TimerHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                             TIMER_TYPE TimerType)
{
    PEXP_TIMER Timer;
    NTSTATUS Status;

    if (TimerType != NotificationTimer && TimerType != SynchronizationTimer) {
        return STATUS_INVALID_PARAMETER_4;
    }
    Status = ExCreateObject(ExpTimerType, ObjectAttributes, sizeof(EXP_TIMER), (PVOID *)&Timer);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    KeInitializeTimerEx(&Timer->Timer, TimerType);
    KeInitializeMutex(&Timer->Setters, 0);
    KeInitializeSpinLock(&Timer->Lock);
    VfNameLock(&Timer->Lock, "ETIMER.Lock");
    VfNameLock(&Timer->Setters, "ETIMER.Setters");
    KeInitializeDpc(&Timer->Dpc, ExpTimerDpc, Timer);
    return ExInsertObject(Timer, DesiredAccess, TimerHandle);
}

NTSTATUS NTAPI NtOpenTimer(PHANDLE TimerHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes)
{
    return ExOpenObject(ExpTimerType, ObjectAttributes, DesiredAccess, TimerHandle);
}

/* NtSetTimer with the time at hand. */
static NTSTATUS ExpSetTimer(HANDLE TimerHandle, LARGE_INTEGER Due, PTIMER_APC_ROUTINE TimerApcRoutine,
                            PVOID TimerContext, BOOLEAN ResumeTimer, LONG Period, PBOOLEAN PreviousState)
{
    BOOLEAN Signalled;
    PEXP_TIMER Timer;
    NTSTATUS Status;

    if (Period < 0) {
        return STATUS_INVALID_PARAMETER_6;
    }
    Status = ExpReferenceTimer(TimerHandle, &Timer);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    ExpLockSetters(Timer);
    Signalled = KeReadStateTimer(&Timer->Timer);
    ExpDisarm(Timer);
    if (TimerApcRoutine != NULL) {
        KeInitializeApc(&Timer->Apc, KeGetCurrentThread(), CurrentApcEnvironment, ExpTimerApc, ExpTimerApcRundown,
                        (PKNORMAL_ROUTINE)(PVOID)TimerApcRoutine, ExGetPreviousMode(), TimerContext);
        ExpAssociate(Timer, Period != 0);
    }
    KeSetTimerEx(&Timer->Timer, Due, Period, (TimerApcRoutine != NULL) ? &Timer->Dpc : NULL);
    KeReleaseMutex(&Timer->Setters, FALSE);
    ObDereferenceObject(Timer);
    return ExReturnValue(ResumeTimer ? STATUS_TIMER_RESUME_IGNORED : STATUS_SUCCESS, PreviousState, &Signalled,
                         sizeof(Signalled));
}

/**
 * NtSetTimer - arms a timer, anew if it is armed.
 *
 * @DueTime          100 ns: negative relative, else absolute system time
 * @TimerApcRoutine  called in the calling thread on each expiration; may be NULL
 * @ResumeTimer      wake the machine: there is no sleep, see the status
 * @Period           milliseconds, 0: once
 * @PreviousState    gets whether it was signalled; may be NULL
 * returns           STATUS_SUCCESS; STATUS_TIMER_RESUME_IGNORED: done, without ResumeTimer; STATUS_INVALID_PARAMETER_6: Period < 0;
 *                   what the handle says
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtSetTimer(HANDLE TimerHandle, PLARGE_INTEGER DueTime, PTIMER_APC_ROUTINE TimerApcRoutine,
                          PVOID TimerContext, BOOLEAN ResumeTimer, LONG Period, PBOOLEAN PreviousState)
{
    LARGE_INTEGER Due;
    NTSTATUS Status = ExCopyFromCaller(&Due, DueTime, sizeof(Due));

    return NT_SUCCESS(Status)
               ? ExpSetTimer(TimerHandle, Due, TimerApcRoutine, TimerContext, ResumeTimer, Period, PreviousState)
               : Status;
}

/* Sets a timer by its one class, a coalescable timer, which is as good as an exact one. */
NTSTATUS NTAPI NtSetTimerEx(HANDLE TimerHandle, TIMER_SET_INFORMATION_CLASS TimerSetInformationClass,
                            PVOID TimerSetInformation, ULONG TimerSetInformationLength)
{
    TIMER_SET_COALESCABLE_TIMER_INFO Info;
    NTSTATUS Status;

    if (TimerSetInformationClass != TimerSetCoalescableTimer) {
        return STATUS_INVALID_INFO_CLASS;
    }
    if (TimerSetInformationLength != sizeof(Info)) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    Status = ExCopyFromCaller(&Info, TimerSetInformation, sizeof(Info));
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    return ExpSetTimer(TimerHandle, Info.DueTime, Info.TimerApcRoutine, Info.TimerContext, Info.WakeContext != NULL,
                       (LONG)Info.Period, Info.PreviousState);
}

/**
 * NtCancelTimer - disarms a timer; an APC that waits in its thread's queue is taken back.
 *
 * @CurrentState  gets whether it is signalled; may be NULL
 * returns        STATUS_SUCCESS, what the handle says
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtCancelTimer(HANDLE TimerHandle, PBOOLEAN CurrentState)
{
    BOOLEAN Signalled;
    PEXP_TIMER Timer;
    NTSTATUS Status = ExpReferenceTimer(TimerHandle, &Timer);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    ExpCancelTimerObject(Timer);
    Signalled = KeReadStateTimer(&Timer->Timer);
    ObDereferenceObject(Timer);
    return ExReturnValue(STATUS_SUCCESS, CurrentState, &Signalled, sizeof(Signalled));
}

NTSTATUS NTAPI ZwCreateTimer(PHANDLE TimerHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                             TIMER_TYPE TimerType)
{
    EX_AS_KERNEL(NtCreateTimer(TimerHandle, DesiredAccess, ObjectAttributes, TimerType));
}

NTSTATUS NTAPI ZwOpenTimer(PHANDLE TimerHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes)
{
    EX_AS_KERNEL(NtOpenTimer(TimerHandle, DesiredAccess, ObjectAttributes));
}

NTSTATUS NTAPI ZwSetTimer(HANDLE TimerHandle, PLARGE_INTEGER DueTime, PTIMER_APC_ROUTINE TimerApcRoutine,
                          PVOID TimerContext, BOOLEAN ResumeTimer, LONG Period, PBOOLEAN PreviousState)
{
    EX_AS_KERNEL(NtSetTimer(TimerHandle, DueTime, TimerApcRoutine, TimerContext, ResumeTimer, Period, PreviousState));
}

NTSTATUS NTAPI ZwSetTimerEx(HANDLE TimerHandle, TIMER_SET_INFORMATION_CLASS TimerSetInformationClass,
                            PVOID TimerSetInformation, ULONG TimerSetInformationLength)
{
    EX_AS_KERNEL(NtSetTimerEx(TimerHandle, TimerSetInformationClass, TimerSetInformation, TimerSetInformationLength));
}

NTSTATUS NTAPI ZwCancelTimer(HANDLE TimerHandle, PBOOLEAN CurrentState)
{
    EX_AS_KERNEL(NtCancelTimer(TimerHandle, CurrentState));
}
