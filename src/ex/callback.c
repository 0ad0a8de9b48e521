/*
 * callback.c - callback objects: lists of routines that one component calls and others register with.
 *
 * A registration is linked into its callback object until it is unregistered. A notification calls every routine of the list, in
 * the order of registration, in its own thread and at its own IRQL, with no lock held: the registration at hand is kept in the list
 * meanwhile by a count (Busy). Who unregisters marks it, so that no new call begins, and waits until that count is 0.
 *
 * Each registration references its callback object. The system's own objects are permanent and named in \Callback.
 *
 * Lock: the object's spin lock (DISPATCH_LEVEL) guards its list and the registrations in it.
 * Source: WDK documentation, "Callback Objects".
 */
#include <ntos/ex.h>
#include <ntos/ke.h>
#include <ntos/ob.h>

#define EXP_TAG_CALLBACK     'klbC'
#define EXP_TAG_REGISTRATION 'rBbC'

#define EXP_CALLBACK_MODIFY_STATE 0x0001U
#define EXP_CALLBACK_ALL_ACCESS   (STANDARD_RIGHTS_REQUIRED | SYNCHRONIZE | EXP_CALLBACK_MODIFY_STATE)

/* (k) the object's Lock  (c) constant after creation */
typedef struct _CALLBACK_OBJECT {
    KSPIN_LOCK Lock;
    LIST_ENTRY Registrations; /* (k) */
    BOOLEAN AllowMultiple;    /* (c) */
} CALLBACK_OBJECT;

typedef struct _EXP_REGISTRATION {
    LIST_ENTRY Link;             /* (k) */
    PCALLBACK_OBJECT Object;     /* (c) referenced */
    PCALLBACK_FUNCTION Function; /* (c) */
    PVOID Context;               /* (c) */
    ULONG Busy;                  /* (k) calls in progress */
    BOOLEAN Leaving;             /* (k) no call begins any more */
    KEVENT Idle;                 /* Leaving, and Busy has become 0 */
} EXP_REGISTRATION, *PEXP_REGISTRATION;

POBJECT_TYPE ExpCallbackType;
PCALLBACK_OBJECT ExCbSetSystemTime, ExCbPowerState, ExCbProcessorAdd;

static const OBJECT_TYPE_INITIALIZER ExpCallbackTypeInfo = {
    .Name = L"Callback",
    .GenericMapping = {STANDARD_RIGHTS_READ, STANDARD_RIGHTS_WRITE | EXP_CALLBACK_MODIFY_STATE, STANDARD_RIGHTS_EXECUTE,
                       EXP_CALLBACK_ALL_ACCESS},
    .ValidAccess = EXP_CALLBACK_ALL_ACCESS,
    .PoolTag = EXP_TAG_CALLBACK,
    .WaitOffset = OB_NOT_WAITABLE,
};

/* Makes or (OBJ_OPENIF) opens what the attributes name. */
static NTSTATUS ExpMakeCallback(POBJECT_ATTRIBUTES Attributes, BOOLEAN AllowMultiple, PHANDLE Handle)
{
    OBJECT_ATTRIBUTES Local = *Attributes;
    PCALLBACK_OBJECT New;
    NTSTATUS Status;

    Local.Attributes |= OBJ_OPENIF | OBJ_KERNEL_HANDLE;
    Status = ObCreateObject(KernelMode, ExpCallbackType, &Local, KernelMode, NULL, sizeof(*New), 0, 0, (PVOID *)&New);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    KeInitializeSpinLock(&New->Lock);
    VfNameLock(&New->Lock, "CALLBACK_OBJECT.Lock");
    InitializeListHead(&New->Registrations);
    New->AllowMultiple = AllowMultiple;
    return ObInsertObject(New, NULL, EXP_CALLBACK_ALL_ACCESS, 0, NULL, Handle);
}

/**
 * ExCreateCallback - opens a callback object, or makes it.
 *
 * @CallbackObject          gets the object, referenced (ObDereferenceObject)
 * @ObjectAttributes        its name; without a name an object is always made
 * @Create                  make it if there is none
 * @AllowMultipleCallbacks  of a new object: more than one routine may register
 * returns                  STATUS_SUCCESS, STATUS_OBJECT_NAME_NOT_FOUND, STATUS_INSUFFICIENT_RESOURCES...
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI ExCreateCallback(PCALLBACK_OBJECT *CallbackObject, POBJECT_ATTRIBUTES ObjectAttributes, BOOLEAN Create,
                                BOOLEAN AllowMultipleCallbacks)
{
    OBJECT_ATTRIBUTES Local = *ObjectAttributes;
    HANDLE Handle;
    NTSTATUS Status = STATUS_OBJECT_NAME_NOT_FOUND;

    ASSERT_IRQL(PASSIVE_LEVEL);
    *CallbackObject = NULL;
    Local.Attributes |= OBJ_KERNEL_HANDLE;
    if (ObjectAttributes->ObjectName != NULL) {
        Status = ObOpenObjectByName(&Local, ExpCallbackType, KernelMode, NULL, EXP_CALLBACK_ALL_ACCESS, NULL, &Handle);
    }
    if (!NT_SUCCESS(Status) && Create) {
        Status = ExpMakeCallback(ObjectAttributes, AllowMultipleCallbacks, &Handle);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ObReferenceObjectByHandle(Handle, 0, ExpCallbackType, KernelMode, (PVOID *)CallbackObject, NULL);
    ZwClose(Handle);
    return Status;
}

/**
 * ExRegisterCallback - asks for a routine to be called.
 *
 * @CallbackFunction  called at the notifier's IRQL, in its thread
 * returns            a handle for ExUnregisterCallback; NULL: no memory, or the object takes one routine only and has it
 *
 * IRQL: <= APC_LEVEL.
 */
PVOID NTAPI ExRegisterCallback(PCALLBACK_OBJECT CallbackObject, PCALLBACK_FUNCTION CallbackFunction,
                               PVOID CallbackContext)
{
    PEXP_REGISTRATION New;
    BOOLEAN Taken;
    KIRQL Irql;

    ASSERT_IRQL_MAX(APC_LEVEL);
    New = ExAllocatePoolWithTag(NonPagedPool, sizeof(*New), EXP_TAG_REGISTRATION);
    if (New == NULL) {
        return NULL;
    }
    RtlZeroMemory(New, sizeof(*New));
    New->Object = CallbackObject;
    New->Function = CallbackFunction;
    New->Context = CallbackContext;
    KeInitializeEvent(&New->Idle, NotificationEvent, FALSE);
    ObReferenceObject(CallbackObject);
    KeAcquireSpinLock(&CallbackObject->Lock, &Irql);
    Taken = CallbackObject->AllowMultiple || IsListEmpty(&CallbackObject->Registrations);
    if (Taken) {
        InsertTailList(&CallbackObject->Registrations, &New->Link);
    }
    KeReleaseSpinLock(&CallbackObject->Lock, Irql);
    if (Taken) {
        return New;
    }
    ObDereferenceObject(CallbackObject);
    ExFreePoolWithTag(New, EXP_TAG_REGISTRATION);
    return NULL;
}

/**
 * ExUnregisterCallback - takes a routine back; it is not running and will not be called when this returns.
 *
 * @CallbackRegistration  from ExRegisterCallback. Not from within the routine itself, which would wait for its own end.
 *
 * IRQL: <= APC_LEVEL.
 */
VOID NTAPI ExUnregisterCallback(PVOID CallbackRegistration)
{
    PEXP_REGISTRATION Registration = CallbackRegistration;
    PCALLBACK_OBJECT Object = Registration->Object;
    KIRQL Irql;

    ASSERT_IRQL_MAX(APC_LEVEL);
    KeAcquireSpinLock(&Object->Lock, &Irql);
    Registration->Leaving = TRUE;
    while (Registration->Busy != 0) {
        KeReleaseSpinLock(&Object->Lock, Irql);
        KeWaitForSingleObject(&Registration->Idle, Executive, KernelMode, FALSE, NULL);
        KeAcquireSpinLock(&Object->Lock, &Irql); /* the notifier is done with the list once it has let go */
    }
    RemoveEntryList(&Registration->Link);
    KeReleaseSpinLock(&Object->Lock, Irql);
    ExFreePoolWithTag(Registration, EXP_TAG_REGISTRATION);
    ObDereferenceObject(Object);
}

/**
 * ExNotifyCallback - calls every routine that is registered with an object.
 *
 * @CallbackObject  referenced by the caller; NULL: nobody can be registered, nothing happens
 * @Argument1, @Argument2  for the routines
 *
 * IRQL: <= DISPATCH_LEVEL; the routines run at it.
 */
VOID NTAPI ExNotifyCallback(PCALLBACK_OBJECT CallbackObject, PVOID Argument1, PVOID Argument2)
{
    PCALLBACK_OBJECT Object = CallbackObject;
    PLIST_ENTRY Link;
    KIRQL Irql;

    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    if (Object == NULL) {
        return;
    }
    KeAcquireSpinLock(&Object->Lock, &Irql);
    for (Link = Object->Registrations.Flink; Link != &Object->Registrations; Link = Link->Flink) {
        PEXP_REGISTRATION Registration = CONTAINING_RECORD(Link, EXP_REGISTRATION, Link);

        if (Registration->Leaving) {
            continue;
        }
        Registration->Busy++;
        KeReleaseSpinLock(&Object->Lock, Irql);
        Registration->Function(Registration->Context, Argument1, Argument2);
        KeAcquireSpinLock(&Object->Lock, &Irql);
        if (--Registration->Busy == 0 && Registration->Leaving) {
            KeSetEvent(&Registration->Idle, IO_NO_INCREMENT, FALSE);
        }
    }
    KeReleaseSpinLock(&Object->Lock, Irql);
}

/* One of the system's own objects. */
static NTSTATUS ExpSystemCallback(PCWSTR Path, PCALLBACK_OBJECT *Object)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;

    RtlInitUnicodeString(&Name, Path);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_PERMANENT | OBJ_CASE_INSENSITIVE, NULL, NULL);
    return ExCreateCallback(Object, &Attributes, TRUE, TRUE);
}

/* The type and the system's objects; the directory \Callback is there. */
NTSTATUS ExpCreateCallbackType(VOID)
{
    NTSTATUS Status = ObCreateObjectType(&ExpCallbackTypeInfo, &ExpCallbackType);

    if (NT_SUCCESS(Status)) {
        Status = ExpSystemCallback(L"\\Callback\\SetSystemTime", &ExCbSetSystemTime);
    }
    if (NT_SUCCESS(Status)) {
        Status = ExpSystemCallback(L"\\Callback\\PowerState", &ExCbPowerState);
    }
    if (NT_SUCCESS(Status)) {
        Status = ExpSystemCallback(L"\\Callback\\ProcessorAdd", &ExCbProcessorAdd);
    }
    return Status;
}
