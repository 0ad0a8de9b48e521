/*
 * callback.c - drivers that watch or filter registry operations.
 *
 * Each operation tells every registered routine before it starts, in the order of falling altitude, and after it ended, in
 * the opposite order. A routine may stop an operation before it starts: with STATUS_CALLBACK_BYPASS the caller is told success, with
 * an error that error. After an operation it may, with STATUS_CALLBACK_BYPASS, replace the result by ReturnStatus.
 *
 * A registration lives on the list until CmUnRegisterCallback: rundown protection keeps it there while it is called, so the list is walked
 * without its lock held over a call. A routine may use the registry itself; it is then called for that too.
 *
 * Lock: CmpCallbackLock (fast mutex) guards the list. IRQL: PASSIVE_LEVEL. Source: documentation of CmRegisterCallbackEx and "Filtering
 * Registry Calls".
 */
#include <ntos/rtl.h>

#include "cmp.h"

/* (l) CmpCallbackLock  (c) constant after creation */
typedef struct _CMP_CALLBACK {
    LIST_ENTRY Link; /* (l) falling altitude */
    EX_RUNDOWN_REF Rundown;
    PEX_CALLBACK_FUNCTION Function; /* (c) */
    PVOID Context;                  /* (c) */
    LARGE_INTEGER Cookie;           /* (c) */
    ULONG Slot;                     /* (c) index in CMP_CALL.Contexts */
    UNICODE_STRING Altitude;        /* (c) characters follow; empty: below all others (CmRegisterCallback) */
} CMP_CALLBACK, *PCMP_CALLBACK;

static FAST_MUTEX CmpCallbackLock;
VF_NAME_LOCK(CmpCallbackLock, "CmpCallbackLock");
static LIST_ENTRY CmpCallbacks;
static ULONG CmpSlots;                  /* (l) bit n: slot n is taken */
static volatile ULONG CmpCallbackCount; /* (l) to write; read without: zero means nothing to do */
static LONG64 CmpLastCookie;            /* (l) */

VOID CmpInitializeCallbacks(VOID)
{
    ExInitializeFastMutex(&CmpCallbackLock);
    InitializeListHead(&CmpCallbacks);
}

/* The next registration in a direction, protected; NULL: the end. Previous, if any, is let go. */
static PCMP_CALLBACK CmpNextCallback(PCMP_CALLBACK Previous, BOOLEAN Forward)
{
    PLIST_ENTRY Link = (Previous != NULL) ? &Previous->Link : &CmpCallbacks;
    PCMP_CALLBACK Found = NULL;

    ExAcquireFastMutex(&CmpCallbackLock);
    while (Found == NULL) {
        Link = Forward ? Link->Flink : Link->Blink;
        if (Link == &CmpCallbacks) {
            break;
        }
        Found = CONTAINING_RECORD(Link, CMP_CALLBACK, Link);
        if (!ExAcquireRundownProtection(&Found->Rundown)) {
            Found = NULL; /* it is being unregistered */
        }
    }
    ExReleaseFastMutex(&CmpCallbackLock);
    if (Previous != NULL) {
        ExReleaseRundownProtection(&Previous->Rundown);
    }
    return Found;
}

/**
 * CmpBegin - tells the callbacks that an operation is about to start.
 *
 * @Status  gets what the caller of the service is told when the result is FALSE
 * returns  TRUE: go on, and call CmpEnd
 */
BOOLEAN CmpBegin(PCMP_CALL Call, PNTSTATUS Status)
{
    PVOID *CallContext = (PVOID *)((PUCHAR)Call->Information + Call->ContextOffset);
    PCMP_CALLBACK Callback = NULL;

    *Status = STATUS_SUCCESS;
    Call->Active = CmpCallbackCount != 0;
    if (!Call->Active) {
        return TRUE;
    }
    while ((Callback = CmpNextCallback(Callback, TRUE)) != NULL) {
        *CallContext = NULL;
        *Status = Callback->Function(Callback->Context, (PVOID)(ULONG_PTR)Call->Pre, Call->Information);
        Call->Contexts[Callback->Slot] = *CallContext;
        if (!NT_SUCCESS(*Status)) {
            ExReleaseRundownProtection(&Callback->Rundown);
            if (*Status == STATUS_CALLBACK_BYPASS) {
                *Status = STATUS_SUCCESS;
            }
            return FALSE;
        }
    }
    *Status = STATUS_SUCCESS;
    return TRUE;
}

/* Tells them that it ended with Status; returns what the caller of the service is told. */
NTSTATUS CmpEnd(PCMP_CALL Call, NTSTATUS Status)
{
    REG_POST_OPERATION_INFORMATION Post = {.PreInformation = Call->Information, .Object = Call->Object};
    PCMP_CALLBACK Callback = NULL;

    if (!Call->Active) {
        return Status;
    }
    Post.ReturnStatus = Status;
    while ((Callback = CmpNextCallback(Callback, FALSE)) != NULL) {
        Post.Status = Status;
        Post.CallContext = Call->Contexts[Callback->Slot];
        if (Callback->Function(Callback->Context, (PVOID)(ULONG_PTR)Call->Post, &Post) == STATUS_CALLBACK_BYPASS) {
            Status = Post.ReturnStatus;
        }
    }
    return Status;
}

/* Enters a registration in its place. STATUS_FLT_INSTANCE_ALTITUDE_COLLISION: the altitude is taken. Lock held. */
static NTSTATUS CmpEnterCallback(PCMP_CALLBACK New)
{
    PLIST_ENTRY Link;

    for (Link = CmpCallbacks.Flink; Link != &CmpCallbacks; Link = Link->Flink) {
        PCMP_CALLBACK Other = CONTAINING_RECORD(Link, CMP_CALLBACK, Link);
        LONG Order = RtlCompareAltitudes(&New->Altitude, &Other->Altitude);

        if (Order == 0 && New->Altitude.Length != 0) {
            return STATUS_FLT_INSTANCE_ALTITUDE_COLLISION;
        }
        if (Order > 0) {
            break;
        }
    }
    if (!BitScanForward(&New->Slot, ~CmpSlots)) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    InsertTailList(Link, &New->Link); /* before Link */
    CmpSlots |= 1U << New->Slot;
    New->Cookie.QuadPart = ++CmpLastCookie;
    CmpCallbackCount++;
    return STATUS_SUCCESS;
}

static NTSTATUS CmpRegister(PEX_CALLBACK_FUNCTION Function, PCUNICODE_STRING Altitude, PVOID Context,
                            PLARGE_INTEGER Cookie)
{
    ULONG Bytes = (Altitude != NULL) ? Altitude->Length : 0;
    PCMP_CALLBACK New = ExAllocatePoolWithTag(NonPagedPool, sizeof(*New) + Bytes, CMP_TAG);
    NTSTATUS Status;

    if (New == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(New, sizeof(*New));
    ExInitializeRundownProtection(&New->Rundown);
    New->Function = Function;
    New->Context = Context;
    New->Altitude.Buffer = (PWCHAR)(New + 1);
    New->Altitude.Length = New->Altitude.MaximumLength = (USHORT)Bytes;
    if (Bytes != 0) {
        RtlCopyMemory(New->Altitude.Buffer, Altitude->Buffer, Bytes);
    }
    ExAcquireFastMutex(&CmpCallbackLock);
    Status = CmpEnterCallback(New);
    if (NT_SUCCESS(Status)) {
        *Cookie = New->Cookie;
    }
    ExReleaseFastMutex(&CmpCallbackLock);
    if (!NT_SUCCESS(Status)) {
        ExFreePoolWithTag(New, CMP_TAG);
    }
    return Status;
}

/* Registers a routine below all that have an altitude. STATUS_INSUFFICIENT_RESOURCES. */
NTSTATUS NTAPI CmRegisterCallback(PEX_CALLBACK_FUNCTION Function, PVOID Context, PLARGE_INTEGER Cookie)
{
    ASSERT_IRQL_MAX(APC_LEVEL);
    return CmpRegister(Function, NULL, Context, Cookie);
}

/**
 * CmRegisterCallbackEx - registers a routine that is called before and after each registry operation.
 *
 * @Altitude  decimal number with an optional fraction; higher ones are called first
 * @Driver    the caller's driver object; not used
 * @Cookie    gets what CmUnRegisterCallback wants
 * returns    STATUS_SUCCESS; STATUS_FLT_INSTANCE_ALTITUDE_COLLISION; STATUS_INVALID_PARAMETER (no altitude);
 *            STATUS_INSUFFICIENT_RESOURCES (memory, or 32 are registered)
 */
NTSTATUS NTAPI CmRegisterCallbackEx(PEX_CALLBACK_FUNCTION Function, PCUNICODE_STRING Altitude, PVOID Driver,
                                    PVOID Context, PLARGE_INTEGER Cookie, PVOID Reserved)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Reserved);
    ASSERT_IRQL_MAX(APC_LEVEL);
    if (Altitude == NULL || Altitude->Length == 0) {
        return STATUS_INVALID_PARAMETER;
    }
    return CmpRegister(Function, Altitude, Context, Cookie);
}

/**
 * CmUnRegisterCallback - ends a registration; waits for calls of the routine that are under way.
 *
 * returns  STATUS_SUCCESS; STATUS_INVALID_PARAMETER (no such cookie). Not to be called from the routine itself.
 */
NTSTATUS NTAPI CmUnRegisterCallback(LARGE_INTEGER Cookie)
{
    PCMP_CALLBACK Found = NULL;

    ASSERT_IRQL_MAX(APC_LEVEL);
    ExAcquireFastMutex(&CmpCallbackLock);
    for (PLIST_ENTRY Link = CmpCallbacks.Flink; Link != &CmpCallbacks; Link = Link->Flink) {
        PCMP_CALLBACK One = CONTAINING_RECORD(Link, CMP_CALLBACK, Link);

        if (One->Cookie.QuadPart == Cookie.QuadPart) {
            Found = One;
            Found->Cookie.QuadPart = 0; /* a second call with this cookie finds nothing */
            break;
        }
    }
    ExReleaseFastMutex(&CmpCallbackLock);
    if (Found == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    ExWaitForRundownProtectionRelease(&Found->Rundown);
    ExAcquireFastMutex(&CmpCallbackLock);
    RemoveEntryList(&Found->Link);
    CmpSlots &= ~(1U << Found->Slot);
    CmpCallbackCount--;
    ExReleaseFastMutex(&CmpCallbackLock);
    ExFreePoolWithTag(Found, CMP_TAG);
    return STATUS_SUCCESS;
}
