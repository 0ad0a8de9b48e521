/*
 * filter.c - drivers that look at handles to processes and threads being made: ObRegisterCallbacks.
 *
 * A registration has an altitude and routines by type and operation. When a handle is about to be made or duplicated, each routine of before is called, the
 * highest altitude first, and may take rights away, but not from a kernel handle; each routine of after learns what came of it. No
 * lock is held over a call: a registration that is being called is protected by its rundown, for which its removal waits.
 *
 * Lock: ObpFilterMutex (fast mutex) for the list. While nobody is registered a handle costs one comparison. IRQL: PASSIVE_LEVEL.
 * Source: WDK documentation of ObRegisterCallbacks and its structures.
 */
#include <ntos/ke.h>
#include <ntos/ps.h>
#include <ntos/rtl.h>

#include "handletable.h"

#define OBP_TAG_FILTER 'tlFO'

#ifndef STATUS_FLT_INSTANCE_ALTITUDE_COLLISION
#define STATUS_FLT_INSTANCE_ALTITUDE_COLLISION ((NTSTATUS)0xC01C0011)
#endif

typedef struct _OBP_FILTER {
    LIST_ENTRY Link; /* (ObpFilterMutex) the highest altitude first */
    EX_RUNDOWN_REF Rundown;
    PVOID Context;
    UNICODE_STRING Altitude; /* the buffer follows the operations */
    ULONG Count;
    OB_OPERATION_REGISTRATION Operations[];
} OBP_FILTER, *POBP_FILTER;

volatile LONG ObpFilterCount; /* registrations; changed under the mutex */
static FAST_MUTEX ObpFilterMutex;
VF_NAME_LOCK(ObpFilterMutex, "ObpFilterMutex");
static LIST_ENTRY ObpFilters = {&ObpFilters, &ObpFilters};

VOID ObpInitializeFilters(VOID)
{
    ExInitializeFastMutex(&ObpFilterMutex);
}

/* ---- Calls ---- */

/* Gathers who is to be called, each protected. */
static VOID ObpGatherFilters(POBP_FILTER_CALL Call)
{
    ExAcquireFastMutex(&ObpFilterMutex);
    for (PLIST_ENTRY Link = ObpFilters.Flink; Link != &ObpFilters; Link = Link->Flink) {
        POBP_FILTER Filter = CONTAINING_RECORD(Link, OBP_FILTER, Link);

        for (ULONG Index = 0; Index < Filter->Count && Call->Count < OBP_MOST_FILTERS; Index++) {
            OB_OPERATION_REGISTRATION *Operation = &Filter->Operations[Index];

            if (*Operation->ObjectType == Call->Type && (Operation->Operations & Call->Operation) != 0 &&
                ExAcquireRundownProtection(&Filter->Rundown)) {
                Call->Called[Call->Count].Filter = Filter;
                Call->Called[Call->Count].Operation = Operation;
                Call->Called[Call->Count++].Context = NULL;
            }
        }
    }
    ExReleaseFastMutex(&ObpFilterMutex);
}

/**
 * ObpFilterBefore - a handle is about to be made.
 *
 * @Call     Object, Operation, Kernel, Source and Target are set by the caller, the rest here; ObpFilterAfter ends it
 * @Granted  rights it is to carry; may lose some
 *
 * IRQL: PASSIVE_LEVEL. Locks: ObpFilterMutex, for a moment.
 */
VOID ObpFilterBefore(POBP_FILTER_CALL Call, PACCESS_MASK Granted)
{
    OB_PRE_OPERATION_PARAMETERS Parameters = {0};
    ACCESS_MASK Original = *Granted;

    Call->Type = ObGetObjectType(Call->Object);
    Call->Count = 0;
    ObpGatherFilters(Call);
    Parameters.DuplicateHandleInformation.OriginalDesiredAccess = Original; /* the two begin alike */
    if (Call->Operation == OB_OPERATION_HANDLE_DUPLICATE) {
        Parameters.DuplicateHandleInformation.SourceProcess = Call->Source;
        Parameters.DuplicateHandleInformation.TargetProcess = Call->Target;
    }
    for (ULONG Index = 0; Index < Call->Count; Index++) {
        OB_PRE_OPERATION_INFORMATION Info = {
            .Operation = Call->Operation, .Object = Call->Object, .ObjectType = Call->Type, .Parameters = &Parameters};

        Info.KernelHandle = Call->Kernel;
        Parameters.CreateHandleInformation.DesiredAccess = *Granted;
        if (Call->Called[Index].Operation->PreOperation != NULL) {
            Call->Called[Index].Operation->PreOperation(Call->Called[Index].Filter->Context, &Info);
        }
        Call->Called[Index].Context = Info.CallContext;
        if (!Call->Kernel) {
            *Granted &= Parameters.CreateHandleInformation.DesiredAccess; /* taken away, never added */
        }
    }
}

/* The handle was made, or was not. */
VOID ObpFilterAfter(POBP_FILTER_CALL Call, ACCESS_MASK Granted, NTSTATUS Status)
{
    for (ULONG Index = 0; Index < Call->Count; Index++) {
        OB_POST_OPERATION_PARAMETERS Parameters = {.CreateHandleInformation.GrantedAccess = Granted};
        OB_POST_OPERATION_INFORMATION Info = {.Operation = Call->Operation,
                                              .Object = Call->Object,
                                              .ObjectType = Call->Type,
                                              .CallContext = Call->Called[Index].Context,
                                              .ReturnStatus = Status,
                                              .Parameters = &Parameters};

        Info.KernelHandle = Call->Kernel;
        if (Call->Called[Index].Operation->PostOperation != NULL) {
            Call->Called[Index].Operation->PostOperation(Call->Called[Index].Filter->Context, &Info);
        }
        ExReleaseRundownProtection(&Call->Called[Index].Filter->Rundown);
    }
}

/* ---- Registration ---- */

static NTSTATUS ObpCheckRegistration(const OB_CALLBACK_REGISTRATION *Given)
{
    if (Given->Version != OB_FLT_REGISTRATION_VERSION || Given->OperationRegistrationCount == 0) {
        return STATUS_INVALID_PARAMETER;
    }
    for (ULONG Index = 0; Index < Given->OperationRegistrationCount; Index++) {
        const OB_OPERATION_REGISTRATION *Operation = &Given->OperationRegistration[Index];

        if (Operation->ObjectType == NULL || Operation->Operations == 0 ||
            (Operation->Operations & ~(OB_OPERATION_HANDLE_CREATE | OB_OPERATION_HANDLE_DUPLICATE)) != 0 ||
            (Operation->PreOperation == NULL && Operation->PostOperation == NULL) ||
            (*Operation->ObjectType != *PsProcessType && *Operation->ObjectType != *PsThreadType)) {
            return STATUS_INVALID_PARAMETER;
        }
    }
    return STATUS_SUCCESS;
}

/* Enters a registration by its altitude. */
static NTSTATUS ObpEnterFilter(POBP_FILTER Filter)
{
    NTSTATUS Status = STATUS_SUCCESS;
    PLIST_ENTRY Link;

    ExAcquireFastMutex(&ObpFilterMutex);
    for (Link = ObpFilters.Flink; Link != &ObpFilters; Link = Link->Flink) {
        LONG Order = RtlCompareAltitudes(&Filter->Altitude, &CONTAINING_RECORD(Link, OBP_FILTER, Link)->Altitude);

        if (Order == 0) {
            Status = STATUS_FLT_INSTANCE_ALTITUDE_COLLISION;
        }
        if (Order >= 0) {
            break;
        }
    }
    if (NT_SUCCESS(Status)) {
        InsertTailList(Link, &Filter->Link); /* before the next lower one */
        InterlockedIncrement(&ObpFilterCount);
    }
    ExReleaseFastMutex(&ObpFilterMutex);
    return Status;
}

/**
 * ObRegisterCallbacks - has routines called when handles to processes or threads are made.
 *
 * @RegistrationHandle  gets what ObUnRegisterCallbacks is given
 * returns              STATUS_SUCCESS; STATUS_INVALID_PARAMETER; STATUS_FLT_INSTANCE_ALTITUDE_COLLISION; STATUS_INSUFFICIENT_RESOURCES
 *
 * IRQL: <= APC_LEVEL.
 */
NTSTATUS NTAPI ObRegisterCallbacks(POB_CALLBACK_REGISTRATION CallbackRegistration, PVOID *RegistrationHandle)
{
    ULONG Bytes = CallbackRegistration->OperationRegistrationCount * (ULONG)sizeof(OB_OPERATION_REGISTRATION);
    POBP_FILTER Filter;
    NTSTATUS Status = ObpCheckRegistration(CallbackRegistration);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Filter = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Filter) + Bytes + CallbackRegistration->Altitude.Length,
                                   OBP_TAG_FILTER);
    if (Filter == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    ExInitializeRundownProtection(&Filter->Rundown);
    Filter->Context = CallbackRegistration->RegistrationContext;
    Filter->Count = CallbackRegistration->OperationRegistrationCount;
    RtlCopyMemory(Filter->Operations, CallbackRegistration->OperationRegistration, Bytes);
    Filter->Altitude = CallbackRegistration->Altitude;
    Filter->Altitude.Buffer = (PWCHAR)((PUCHAR)Filter->Operations + Bytes);
    RtlCopyMemory(Filter->Altitude.Buffer, CallbackRegistration->Altitude.Buffer, Filter->Altitude.Length);
    Status = ObpEnterFilter(Filter);
    if (!NT_SUCCESS(Status)) {
        ExFreePoolWithTag(Filter, OBP_TAG_FILTER);
        return Status;
    }
    *RegistrationHandle = Filter;
    return STATUS_SUCCESS;
}

/* Ends a registration; none of its routines runs afterwards. IRQL: <= APC_LEVEL. */
VOID NTAPI ObUnRegisterCallbacks(PVOID RegistrationHandle)
{
    POBP_FILTER Filter = RegistrationHandle;

    ExAcquireFastMutex(&ObpFilterMutex);
    RemoveEntryList(&Filter->Link);
    InterlockedDecrement(&ObpFilterCount);
    ExReleaseFastMutex(&ObpFilterMutex);
    ExWaitForRundownProtectionRelease(&Filter->Rundown);
    ExFreePoolWithTag(Filter, OBP_TAG_FILTER);
}

/* What ObRegisterCallbacks takes as Version. */
USHORT NTAPI ObGetFilterVersion(VOID)
{
    return OB_FLT_REGISTRATION_VERSION;
}
