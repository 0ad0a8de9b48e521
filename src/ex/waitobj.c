/*
 * waitobj.c - waiting by handle for several objects, and the types and objects that Ex starts with.
 *
 * The handles are all referenced before the wait and let go after it; an object lives on through the wait though its handle is
 * closed meanwhile. IRQL: PASSIVE_LEVEL. No locks. Source: Windows driver documentation of ZwWaitForMultipleObjects.
 */
#include <ntos/ex.h>
#include <ntos/ke.h>
#include <ntos/ob.h>
#include <ntos/services.h>
#include <ntos/user.h>

#define EXP_TAG_WAIT 'tiaW'

/* What one wait needs besides the handles; too large for a stack frame. */
typedef struct _EXP_MULTIPLE_WAIT {
    ULONG Count; /* of objects referenced */
    HANDLE Handles[MAXIMUM_WAIT_OBJECTS];
    PVOID Objects[MAXIMUM_WAIT_OBJECTS]; /* referenced */
    PVOID Headers[MAXIMUM_WAIT_OBJECTS]; /* their dispatcher objects */
    KWAIT_BLOCK Blocks[MAXIMUM_WAIT_OBJECTS];
} EXP_MULTIPLE_WAIT, *PEXP_MULTIPLE_WAIT;

/* References every handle's object. */
static NTSTATUS ExpGatherObjects(PEXP_MULTIPLE_WAIT Wait, ULONG Count, WAIT_TYPE WaitType)
{
    for (ULONG Index = 0; Index < Count; Index++) {
        PVOID Object;
        NTSTATUS Status =
            ObReferenceObjectByHandle(Wait->Handles[Index], SYNCHRONIZE, NULL, ExGetPreviousMode(), &Object, NULL);

        if (!NT_SUCCESS(Status)) {
            return Status;
        }
        Wait->Objects[Index] = Object;
        Wait->Headers[Index] = ObGetWaitObject(Object);
        Wait->Count = Index + 1;
        if (Wait->Headers[Index] == NULL) {
            return STATUS_OBJECT_TYPE_MISMATCH;
        }
        for (ULONG Other = 0; WaitType == WaitAll && Other < Index; Other++) {
            if (Wait->Objects[Other] == Object) {
                return STATUS_INVALID_PARAMETER_MIX; /* one signal cannot be taken twice */
            }
        }
    }
    return STATUS_SUCCESS;
}

/**
 * NtWaitForMultipleObjects - waits for one or for all of several objects.
 *
 * @Count     1 to MAXIMUM_WAIT_OBJECTS
 * @WaitType  WaitAny or WaitAll; with WaitAll no object twice
 * @Timeout   100 ns, negative relative; NULL: for ever
 * returns    as KeWaitForMultipleObjects; STATUS_INVALID_PARAMETER_1, _3, _MIX, STATUS_OBJECT_TYPE_MISMATCH (an object without a
 *            dispatcher header), STATUS_INSUFFICIENT_RESOURCES, what a handle says
 */
NTSTATUS NTAPI NtWaitForMultipleObjects(ULONG Count, HANDLE Handles[], WAIT_TYPE WaitType, BOOLEAN Alertable,
                                        PLARGE_INTEGER Timeout)
{
    PEXP_MULTIPLE_WAIT Wait;
    LARGE_INTEGER Limit;
    NTSTATUS Status = Timeout == NULL ? STATUS_SUCCESS : ExCopyFromCaller(&Limit, Timeout, sizeof(Limit));

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Count == 0 || Count > MAXIMUM_WAIT_OBJECTS) {
        return STATUS_INVALID_PARAMETER_1;
    }
    if (WaitType != WaitAll && WaitType != WaitAny) {
        return STATUS_INVALID_PARAMETER_3;
    }
    Wait = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Wait), EXP_TAG_WAIT);
    if (Wait == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Wait->Count = 0;
    Status = ExCopyFromCaller(Wait->Handles, Handles, Count * sizeof(HANDLE));
    if (NT_SUCCESS(Status)) {
        Status = ExpGatherObjects(Wait, Count, WaitType);
    }
    if (NT_SUCCESS(Status)) {
        __try {
            Status = KeWaitForMultipleObjects(Count, Wait->Headers, WaitType, UserRequest, ExGetPreviousMode(),
                                              Alertable != FALSE, Timeout == NULL ? NULL : &Limit, Wait->Blocks);
        } __except (EXCEPTION_EXECUTE_HANDLER) {
            Status = GetExceptionCode(); /* STATUS_MUTANT_LIMIT_EXCEEDED */
        }
    }
    for (ULONG Index = 0; Index < Wait->Count; Index++) {
        ObDereferenceObject(Wait->Objects[Index]);
    }
    ExFreePoolWithTag(Wait, EXP_TAG_WAIT);
    return Status;
}

/* ---- Signal and wait ---- */

/* Signals an event, a semaphore or a mutant. STATUS_OBJECT_TYPE_MISMATCH, STATUS_ACCESS_DENIED; what releasing says. */
static NTSTATUS ExpSignalObject(PVOID Object, ACCESS_MASK Granted)
{
    POBJECT_TYPE Type = ObGetObjectType(Object);
    NTSTATUS Status = STATUS_SUCCESS;

    if (Type != ExpEventObjectType && Type != ExpSemaphoreType && Type != ExpMutantType) {
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    if (ExGetPreviousMode() != KernelMode && Type != ExpMutantType && (Granted & EVENT_MODIFY_STATE) == 0) {
        return STATUS_ACCESS_DENIED; /* SEMAPHORE_MODIFY_STATE is the same bit */
    }
    __try {
        if (Type == ExpEventObjectType) {
            KeSetEvent(Object, EVENT_INCREMENT, FALSE);
        } else if (Type == ExpSemaphoreType) {
            KeReleaseSemaphore(Object, SEMAPHORE_INCREMENT, 1, FALSE);
        } else {
            KeReleaseMutant(Object, IO_NO_INCREMENT, FALSE, FALSE);
        }
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Status = GetExceptionCode();
    }
    return Status;
}

/**
 * NtSignalAndWaitForSingleObject - signals one object, then waits for another.
 *
 * @SignalHandle  an event or semaphore with its right to modify, or a mutant that the caller owns
 * @WaitHandle    with SYNCHRONIZE
 * @Timeout       100 ns, negative relative; NULL: for ever
 * returns        as NtWaitForSingleObject; as setting or releasing the first
 *
 * The two are not one step, as documented of SignalObjectAndWait. IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtSignalAndWaitForSingleObject(HANDLE SignalHandle, HANDLE WaitHandle, BOOLEAN Alertable,
                                              PLARGE_INTEGER Timeout)
{
    OBJECT_HANDLE_INFORMATION Info;
    LARGE_INTEGER Limit;
    PVOID Signal, Wait;
    NTSTATUS Status = Timeout == NULL ? STATUS_SUCCESS : ExCopyFromCaller(&Limit, Timeout, sizeof(Limit));

    if (NT_SUCCESS(Status)) {
        Status = ObReferenceObjectByHandle(WaitHandle, SYNCHRONIZE, NULL, ExGetPreviousMode(), &Wait, NULL);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ObGetWaitObject(Wait) == NULL
                 ? STATUS_OBJECT_TYPE_MISMATCH
                 : ObReferenceObjectByHandle(SignalHandle, 0, NULL, ExGetPreviousMode(), &Signal, &Info);
    if (NT_SUCCESS(Status)) {
        Status = ExpSignalObject(Signal, Info.GrantedAccess);
        ObDereferenceObject(Signal);
    }
    if (NT_SUCCESS(Status)) {
        Status = ExpWaitForObject(Wait, Alertable, Timeout == NULL ? NULL : &Limit);
    }
    ObDereferenceObject(Wait);
    return Status;
}

NTSTATUS NTAPI ZwWaitForMultipleObjects(ULONG Count, HANDLE Handles[], WAIT_TYPE WaitType, BOOLEAN Alertable,
                                        PLARGE_INTEGER Timeout)
{
    EX_AS_KERNEL(NtWaitForMultipleObjects(Count, Handles, WaitType, Alertable, Timeout));
}

NTSTATUS ExpInitializeObjects(VOID)
{
    NTSTATUS Status = ExpCreateTimerType();

    ExInitializeSharedData();
    ExpInitializeUuids();
    if (NT_SUCCESS(Status)) {
        Status = ExpCreateSemaphoreType();
    }
    if (NT_SUCCESS(Status)) {
        Status = ExpCreateMutantType();
    }
    if (NT_SUCCESS(Status)) {
        Status = ExpCreateKeyedEventType();
    }
    return NT_SUCCESS(Status) ? ExpCreateCallbackType() : Status;
}
