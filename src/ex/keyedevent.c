/*
 * keyedevent.c - keyed events: two threads of a process meet at a key, an even number of their choice.
 *
 * Who waits at a key goes on when somebody releases it, and who releases it waits until somebody is there: each call takes exactly one of the other
 * kind. One object serves any number of keys, so locks need none of their own. Those who wait stand in a list of the object, in
 * the order they came; what stands there is on its thread's stack, and whoever takes it out of the list has it.
 *
 * Lock: the object's spin lock guards the list and is not held while anybody waits. IRQL: PASSIVE_LEVEL.
 * Source: public descriptions of keyed events (the services are not documented by Microsoft).
 */
#include <ntos/ex.h>
#include <ntos/ke.h>
#include <ntos/ob.h>
#include <ntos/ps.h>
#include <ntos/services.h>
#include <ntos/user.h>

/* (l) Lock */
typedef struct _EXP_KEYED_EVENT {
    KSPIN_LOCK Lock;
    LIST_ENTRY Standing; /* (l) EXP_MEETING */
} EXP_KEYED_EVENT, *PEXP_KEYED_EVENT;

typedef struct _EXP_MEETING {
    LIST_ENTRY Link; /* (l) */
    PVOID Key;
    PEPROCESS Process;
    BOOLEAN Releases;
    BOOLEAN Taken; /* (l) the other one came: no longer in the list */
    KEVENT Met;
} EXP_MEETING, *PEXP_MEETING;

static POBJECT_TYPE ExpKeyedEventType;

static const OBJECT_TYPE_INITIALIZER ExpKeyedEventTypeInfo = {
    .Name = L"KeyedEvent",
    .GenericMapping = {STANDARD_RIGHTS_READ | KEYEDEVENT_WAIT, STANDARD_RIGHTS_WRITE | KEYEDEVENT_WAKE,
                       STANDARD_RIGHTS_EXECUTE, KEYEDEVENT_ALL_ACCESS},
    .ValidAccess = KEYEDEVENT_ALL_ACCESS,
    .PoolTag = 'eyeK',
    .WaitOffset = OB_NOT_WAITABLE,
};

NTSTATUS ExpCreateKeyedEventType(VOID)
{
    return ObCreateObjectType(&ExpKeyedEventTypeInfo, &ExpKeyedEventType);
}

/**
 * NtCreateKeyedEvent - makes a keyed event.
 *
 * @Flags   must be 0
 * returns  STATUS_SUCCESS; STATUS_INVALID_PARAMETER_4; what the object manager says
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtCreateKeyedEvent(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes, ULONG Flags)
{
    PEXP_KEYED_EVENT Event;
    NTSTATUS Status;

    if (Flags != 0) {
        return STATUS_INVALID_PARAMETER_4;
    }
    Status = ExCreateObject(ExpKeyedEventType, Attributes, sizeof(*Event), (PVOID *)&Event);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    KeInitializeSpinLock(&Event->Lock);
    VfNameLock(&Event->Lock, "EXP_KEYED_EVENT.Lock");
    InitializeListHead(&Event->Standing);
    return ExInsertObject(Event, DesiredAccess, Handle);
}

NTSTATUS NTAPI NtOpenKeyedEvent(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes)
{
    return ExOpenObject(ExpKeyedEventType, Attributes, DesiredAccess, Handle);
}

/* The first in the list whom Own meets; NULL: nobody yet. The lock is held. */
static PEXP_MEETING ExpFindOther(PEXP_KEYED_EVENT Event, const EXP_MEETING *Own)
{
    for (PLIST_ENTRY Entry = Event->Standing.Flink; Entry != &Event->Standing; Entry = Entry->Flink) {
        PEXP_MEETING Other = CONTAINING_RECORD(Entry, EXP_MEETING, Link);

        if (Other->Key == Own->Key && Other->Process == Own->Process && Other->Releases != Own->Releases) {
            return Other;
        }
    }
    return NULL;
}

/* Takes the other one out of the list and lets him go on, or stands in the list. TRUE: they have met. */
static BOOLEAN ExpMeetOrStand(PEXP_KEYED_EVENT Event, PEXP_MEETING Own)
{
    PEXP_MEETING Other;
    KIRQL Irql;

    KeAcquireSpinLock(&Event->Lock, &Irql);
    Other = ExpFindOther(Event, Own);
    if (Other != NULL) {
        RemoveEntryList(&Other->Link);
        Other->Taken = TRUE;
        KeSetEvent(&Other->Met, EVENT_INCREMENT, FALSE); /* with the lock held: his stack is there until he has it */
    } else {
        InsertTailList(&Event->Standing, &Own->Link);
    }
    KeReleaseSpinLock(&Event->Lock, Irql);
    return Other != NULL;
}

/* A wait that ended otherwise: out of the list, unless the other one came meanwhile. */
static BOOLEAN ExpLeave(PEXP_KEYED_EVENT Event, PEXP_MEETING Own)
{
    BOOLEAN Taken;
    KIRQL Irql;

    KeAcquireSpinLock(&Event->Lock, &Irql);
    Taken = Own->Taken;
    if (!Taken) {
        RemoveEntryList(&Own->Link);
    }
    KeReleaseSpinLock(&Event->Lock, Irql);
    return Taken;
}

static NTSTATUS ExpMeet(HANDLE Handle, PVOID Key, BOOLEAN Releases, BOOLEAN Alertable, PLARGE_INTEGER Timeout)
{
    KPROCESSOR_MODE Mode = ExGetPreviousMode();
    EXP_MEETING Own = {.Key = Key, .Process = PsGetCurrentProcess(), .Releases = Releases};
    PEXP_KEYED_EVENT Event;
    LARGE_INTEGER Until;
    NTSTATUS Status = STATUS_SUCCESS;

    if (((ULONG_PTR)Key & 1) != 0) {
        return STATUS_INVALID_PARAMETER_1;
    }
    if (Timeout != NULL) {
        Status = ExCopyFromCaller(&Until, Timeout, sizeof(Until));
    }
    if (NT_SUCCESS(Status)) {
        Status = ObReferenceObjectByHandle(Handle, Releases ? KEYEDEVENT_WAKE : KEYEDEVENT_WAIT, ExpKeyedEventType,
                                           Mode, (PVOID *)&Event, NULL);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    KeInitializeEvent(&Own.Met, SynchronizationEvent, FALSE);
    if (!ExpMeetOrStand(Event, &Own)) {
        Status = KeWaitForSingleObject(&Own.Met, UserRequest, Mode, Alertable, Timeout == NULL ? NULL : &Until);
        if (ExpLeave(Event, &Own)) { /* also after a wake: the waker may still have the lock, and then our stack */
            Status = STATUS_SUCCESS;
        }
    }
    ObDereferenceObject(Event);
    return Status;
}

/**
 * NtWaitForKeyedEvent - waits until somebody of the same process releases a key.
 *
 * @Handle   with KEYEDEVENT_WAIT
 * @Key      an even number, as a rule the address of what is waited for
 * @Timeout  100 ns, negative relative; NULL: for ever
 * returns   STATUS_SUCCESS; STATUS_TIMEOUT, STATUS_USER_APC, STATUS_ALERTED; STATUS_INVALID_PARAMETER_1 (an odd key); what the handle says
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtWaitForKeyedEvent(HANDLE Handle, PVOID Key, BOOLEAN Alertable, PLARGE_INTEGER Timeout)
{
    return ExpMeet(Handle, Key, FALSE, Alertable != FALSE, Timeout);
}

/* Releases one who waits at a key, or waits for him to come (KEYEDEVENT_WAKE). Otherwise as NtWaitForKeyedEvent. */
NTSTATUS NTAPI NtReleaseKeyedEvent(HANDLE Handle, PVOID Key, BOOLEAN Alertable, PLARGE_INTEGER Timeout)
{
    return ExpMeet(Handle, Key, TRUE, Alertable != FALSE, Timeout);
}
