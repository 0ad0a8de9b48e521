/*
 * eventobj.c - events that have handles and names, and waiting by handle.
 *
 * The object's body is a KEVENT; the object manager keeps it alive, Ke's dispatcher lock guards its state. Waiting works for every
 * object whose type says where its dispatcher header is. IRQL: PASSIVE_LEVEL for everything with a handle. Source: WDK documentation of the
 * Zw routines and of IoCreateNotificationEvent.
 */
#include <ntos/ex.h>
#include <ntos/ke.h>
#include <ntos/ob.h>
#include <ntos/user.h>

POBJECT_TYPE ExpEventObjectType;
POBJECT_TYPE *ExEventObjectType = &ExpEventObjectType;

NTSTATUS ExpCreateEventType(VOID)
{
    static const OBJECT_TYPE_INITIALIZER Info = {
        .Name = L"Event",
        .GenericMapping = {STANDARD_RIGHTS_READ | EVENT_QUERY_STATE, STANDARD_RIGHTS_WRITE | EVENT_MODIFY_STATE,
                           STANDARD_RIGHTS_EXECUTE | SYNCHRONIZE, EVENT_ALL_ACCESS},
        .ValidAccess = EVENT_ALL_ACCESS,
        .PoolTag = 'nevE',
        .WaitOffset = 0,
    };

    return ObCreateObjectType(&Info, &ExpEventObjectType);
}

NTSTATUS NTAPI NtCreateEvent(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes,
                             EVENT_TYPE EventType, BOOLEAN InitialState)
{
    PKEVENT Event;
    NTSTATUS Status;

    if (EventType != NotificationEvent && EventType != SynchronizationEvent) {
        return STATUS_INVALID_PARAMETER;
    }
    Status = ExCreateObject(ExpEventObjectType, Attributes, sizeof(KEVENT), (PVOID *)&Event);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    KeInitializeEvent(Event, EventType, InitialState);
    return ExInsertObject(Event, DesiredAccess, Handle);
}

NTSTATUS NTAPI NtOpenEvent(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes)
{
    return ExOpenObject(ExpEventObjectType, Attributes, DesiredAccess, Handle);
}

static NTSTATUS ExpReferenceEvent(HANDLE Handle, PKEVENT *Event)
{
    return ObReferenceObjectByHandle(Handle, EVENT_MODIFY_STATE, ExpEventObjectType, ExGetPreviousMode(),
                                     (PVOID *)Event, NULL);
}

NTSTATUS NTAPI NtSetEvent(HANDLE Handle, PLONG PreviousState)
{
    PKEVENT Event;
    NTSTATUS Status = ExpReferenceEvent(Handle, &Event);
    LONG Old;

    if (NT_SUCCESS(Status)) {
        Old = KeSetEvent(Event, EVENT_INCREMENT, FALSE);
        ObfDereferenceObject(Event);
        Status = ExReturnValue(STATUS_SUCCESS, PreviousState, &Old, sizeof(Old));
    }
    return Status;
}

NTSTATUS NTAPI NtResetEvent(HANDLE Handle, PLONG PreviousState)
{
    PKEVENT Event;
    NTSTATUS Status = ExpReferenceEvent(Handle, &Event);
    LONG Old;

    if (NT_SUCCESS(Status)) {
        Old = KeResetEvent(Event);
        ObfDereferenceObject(Event);
        Status = ExReturnValue(STATUS_SUCCESS, PreviousState, &Old, sizeof(Old));
    }
    return Status;
}

NTSTATUS NTAPI NtClearEvent(HANDLE Handle)
{
    return NtResetEvent(Handle, NULL);
}

NTSTATUS NTAPI NtPulseEvent(HANDLE Handle, PLONG PreviousState)
{
    PKEVENT Event;
    NTSTATUS Status = ExpReferenceEvent(Handle, &Event);
    LONG Old;

    if (NT_SUCCESS(Status)) {
        Old = KePulseEvent(Event, EVENT_INCREMENT, FALSE);
        ObfDereferenceObject(Event);
        Status = ExReturnValue(STATUS_SUCCESS, PreviousState, &Old, sizeof(Old));
    }
    return Status;
}

/* Waits for an object that the caller has referenced; Limit is the kernel's. What waiting raises is returned. */
NTSTATUS ExpWaitForObject(PVOID Object, BOOLEAN Alertable, PLARGE_INTEGER Limit)
{
    PVOID Header = ObGetWaitObject(Object);
    NTSTATUS Status;

    if (Header == NULL) {
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    __try {
        Status = KeWaitForSingleObject(Header, UserRequest, ExGetPreviousMode(), Alertable != FALSE, Limit);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Status = GetExceptionCode(); /* STATUS_MUTANT_LIMIT_EXCEEDED */
    }
    return Status;
}

NTSTATUS NTAPI NtWaitForSingleObject(HANDLE Handle, BOOLEAN Alertable, PLARGE_INTEGER Timeout)
{
    LARGE_INTEGER Limit;
    PVOID Object;
    NTSTATUS Status = Timeout == NULL ? STATUS_SUCCESS : ExCopyFromCaller(&Limit, Timeout, sizeof(Limit));

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ObReferenceObjectByHandle(Handle, SYNCHRONIZE, NULL, ExGetPreviousMode(), &Object, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ExpWaitForObject(Object, Alertable, Timeout == NULL ? NULL : &Limit);
    ObfDereferenceObject(Object);
    return Status;
}

NTSTATUS NTAPI ZwCreateEvent(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes,
                             EVENT_TYPE EventType, BOOLEAN InitialState)
{
    EX_AS_KERNEL(NtCreateEvent(Handle, DesiredAccess, Attributes, EventType, InitialState));
}

NTSTATUS NTAPI ZwOpenEvent(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes)
{
    EX_AS_KERNEL(NtOpenEvent(Handle, DesiredAccess, Attributes));
}

NTSTATUS NTAPI ZwSetEvent(HANDLE Handle, PLONG PreviousState)
{
    EX_AS_KERNEL(NtSetEvent(Handle, PreviousState));
}

NTSTATUS NTAPI ZwPulseEvent(HANDLE Handle, PLONG PreviousState)
{
    EX_AS_KERNEL(NtPulseEvent(Handle, PreviousState));
}

NTSTATUS NTAPI ZwResetEvent(HANDLE Handle, PLONG PreviousState)
{
    EX_AS_KERNEL(NtResetEvent(Handle, PreviousState));
}

NTSTATUS NTAPI ZwClearEvent(HANDLE Handle)
{
    EX_AS_KERNEL(NtClearEvent(Handle));
}

NTSTATUS NTAPI ZwWaitForSingleObject(HANDLE Handle, BOOLEAN Alertable, PLARGE_INTEGER Timeout)
{
    EX_AS_KERNEL(NtWaitForSingleObject(Handle, Alertable, Timeout));
}

/* Opens or makes a named event for drivers that share it. NULL: it could not be done. */
static PKEVENT ExpNamedEvent(PUNICODE_STRING Name, PHANDLE Handle, EVENT_TYPE EventType)
{
    OBJECT_ATTRIBUTES Attributes;
    PVOID Event;

    InitializeObjectAttributes(&Attributes, Name, OBJ_OPENIF | OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    if (!NT_SUCCESS(ZwCreateEvent(Handle, EVENT_ALL_ACCESS, &Attributes, EventType, TRUE))) {
        return NULL;
    }
    if (!NT_SUCCESS(ObReferenceObjectByHandle(*Handle, 0, ExpEventObjectType, KernelMode, &Event, NULL))) {
        return NULL;
    }
    ObfDereferenceObject(Event); /* the handle keeps it, as documented */
    return Event;
}

PKEVENT NTAPI IoCreateNotificationEvent(PUNICODE_STRING EventName, PHANDLE EventHandle)
{
    return ExpNamedEvent(EventName, EventHandle, NotificationEvent);
}

PKEVENT NTAPI IoCreateSynchronizationEvent(PUNICODE_STRING EventName, PHANDLE EventHandle)
{
    return ExpNamedEvent(EventName, EventHandle, SynchronizationEvent);
}
