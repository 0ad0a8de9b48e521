/*
 * context.c - registers of threads of programs, read and set from outside, and alerts.
 *
 * Only the thread itself can reach its registers: the vector registers are in the processor, the others in a frame on its stack.
 * So a request is carried to it by a special kernel APC, which a suspended or waiting thread takes too. A thread that has not been in ring 3
 * yet has the registers that it will begin with. One request is one pool block; the requester waits for it, and an APC that finds the thread
 * ending answers as well. Extended registers (CONTEXT_XSTATE) travel in a block of their own.
 *
 * Locks: none. IRQL: PASSIVE_LEVEL; the APC's part APC_LEVEL.
 *
 * Source: Microsoft Learn, GetThreadContext, SetThreadContext, CONTEXT.
 */
#include "psp.h"

#include <ntos/services.h>
#include <ntos/user.h>

#define PSP_TAG_CONTEXT 'xcPP'

#define CONTEXT_PARTS 0x5FU /* control, integer, segments, floating point, debug registers, extended state */
#define PART_CONTROL  0x1U
#define PART_INTEGER  0x2U
#define PART_SEGMENTS 0x4U
#define PART_FLOAT    0x8U
#define PART_DEBUG    0x10U

typedef struct _PSP_CONTEXT_REQUEST {
    KAPC Apc;
    KEVENT Done;
    BOOLEAN Set;
    NTSTATUS Status;
    PKE_EXTENDED_STATE Extended; /* NULL: not asked for */
    ULONG64 Features;            /* of Extended, that are wanted */
    CONTEXT Context;
} PSP_CONTEXT_REQUEST, *PPSP_CONTEXT_REQUEST;

/* A thread that has not begun: its first registers. */
static VOID GetFirstRegisters(PCONTEXT Context)
{
    const PSP_USER_START *Start = &PsGetCurrentThread()->UserStart;

    RtlZeroMemory(Context, sizeof(*Context));
    Context->Rip = Start->Rip;
    Context->Rsp = Start->Rsp;
    Context->Rcx = Start->Rcx;
    Context->Rdx = Start->Rdx;
    Context->SegCs = KGDT_R3_CODE | 3;
    Context->SegSs = KGDT_R3_DATA | 3;
    Context->EFlags = EFLAGS_FIXED;
    KeGetDebugRegisters(Context);
}

static VOID SetFirstRegisters(const CONTEXT *Context)
{
    PSP_USER_START *Start = &PsGetCurrentThread()->UserStart;

    if ((Context->ContextFlags & PART_CONTROL) != 0) {
        Start->Rip = Context->Rip;
        Start->Rsp = Context->Rsp;
    }
    if ((Context->ContextFlags & PART_INTEGER) != 0) {
        Start->Rcx = Context->Rcx;
        Start->Rdx = Context->Rdx;
    }
    if ((Context->ContextFlags & PART_DEBUG) != 0) {
        KeSetDebugRegisters(Context);
    }
}

/* In the thread itself. */
static VOID ServeRequest(PPSP_CONTEXT_REQUEST Request)
{
    if (!Request->Set) {
        ULONG Parts = Request->Context.ContextFlags;

        if (KeHasUserContext()) {
            KeGetUserContext(&Request->Context);
        } else {
            GetFirstRegisters(&Request->Context);
        }
        Request->Context.ContextFlags = Parts;
        if (Request->Extended != NULL && KeHasUserContext()) {
            KeGetExtendedState(Request->Extended);
        }
    } else if (KeHasUserContext()) {
        KeSetUserContext(&Request->Context);
        if (Request->Extended != NULL) {
            KeSetExtendedState(Request->Extended);
        }
    } else {
        SetFirstRegisters(&Request->Context);
    }
}

static VOID NTAPI ContextApc(PKAPC Apc, PKNORMAL_ROUTINE *Normal, PVOID *Context, PVOID *Argument1, PVOID *Argument2)
{
    PPSP_CONTEXT_REQUEST Request = CONTAINING_RECORD(Apc, PSP_CONTEXT_REQUEST, Apc);

    ServeRequest(Request);
    KeSetEvent(&Request->Done, IO_NO_INCREMENT, FALSE);
}

static VOID NTAPI ContextRundown(PKAPC Apc)
{
    PPSP_CONTEXT_REQUEST Request = CONTAINING_RECORD(Apc, PSP_CONTEXT_REQUEST, Apc);

    Request->Status = STATUS_THREAD_IS_TERMINATING;
    KeSetEvent(&Request->Done, IO_NO_INCREMENT, FALSE);
}

/* Carries a request to its thread and waits for the answer. */
static NTSTATUS AskThread(PETHREAD Thread, PPSP_CONTEXT_REQUEST Request)
{
    if (Thread == PsGetCurrentThread()) {
        ServeRequest(Request);
        return STATUS_SUCCESS;
    }
    KeInitializeEvent(&Request->Done, NotificationEvent, FALSE);
    KeInitializeApc(&Request->Apc, &Thread->Tcb, OriginalApcEnvironment, ContextApc, ContextRundown, NULL, KernelMode,
                    NULL);
    if (!KeInsertQueueApc(&Request->Apc, NULL, NULL, IO_NO_INCREMENT)) {
        return STATUS_THREAD_IS_TERMINATING;
    }
    KeWaitForSingleObject(&Request->Done, Executive, KernelMode, FALSE, NULL);
    return Request->Status;
}

/* The parts of a context that the program asked for, at their places; the others are left alone. */
static NTSTATUS CopyParts(PCONTEXT To, const CONTEXT *From)
{
    const struct {
        ULONG Parts, Offset, Bytes;
    } Areas[] = {
        {PART_CONTROL, FIELD_OFFSET(CONTEXT, Rip), sizeof(ULONG64)},
        {PART_CONTROL, FIELD_OFFSET(CONTEXT, Rsp), sizeof(ULONG64)},
        {PART_CONTROL, FIELD_OFFSET(CONTEXT, EFlags), sizeof(ULONG)},
        {PART_CONTROL, FIELD_OFFSET(CONTEXT, SegCs), sizeof(USHORT)},
        {PART_CONTROL, FIELD_OFFSET(CONTEXT, SegSs), sizeof(USHORT)},
        {PART_SEGMENTS, FIELD_OFFSET(CONTEXT, SegDs), 4 * sizeof(USHORT)},
        {PART_INTEGER, FIELD_OFFSET(CONTEXT, Rax), FIELD_OFFSET(CONTEXT, Rsp) - FIELD_OFFSET(CONTEXT, Rax)},
        {PART_INTEGER, FIELD_OFFSET(CONTEXT, Rbp), FIELD_OFFSET(CONTEXT, Rip) - FIELD_OFFSET(CONTEXT, Rbp)},
        {PART_FLOAT, FIELD_OFFSET(CONTEXT, FltSave), sizeof(XSAVE_FORMAT)},
        {PART_FLOAT, FIELD_OFFSET(CONTEXT, MxCsr), sizeof(ULONG)},
        {PART_DEBUG, FIELD_OFFSET(CONTEXT, Dr0), FIELD_OFFSET(CONTEXT, Rax) - FIELD_OFFSET(CONTEXT, Dr0)},
    };
    NTSTATUS Status = STATUS_SUCCESS;

    for (ULONG Index = 0; NT_SUCCESS(Status) && Index < RTL_NUMBER_OF(Areas); Index++) {
        if ((From->ContextFlags & Areas[Index].Parts) != 0) {
            Status = ExCopyToCaller((PUCHAR)To + Areas[Index].Offset, (const UCHAR *)From + Areas[Index].Offset,
                                    Areas[Index].Bytes);
        }
    }
    return Status;
}

static VOID FreeRequest(PPSP_CONTEXT_REQUEST Request)
{
    if (Request->Extended != NULL) {
        ExFreePoolWithTag(Request->Extended, PSP_TAG_CONTEXT);
    }
    ExFreePoolWithTag(Request, PSP_TAG_CONTEXT);
}

/* The extended part of a request; nothing if the context has none. */
static NTSTATUS BeginExtended(PPSP_CONTEXT_REQUEST Request, const CONTEXT *Context)
{
    NTSTATUS Status;

    if ((Request->Context.ContextFlags & KI_CONTEXT_XSTATE) == 0) {
        return STATUS_SUCCESS;
    }
    Request->Extended = ExAllocatePoolWithTag(NonPagedPool, PAGE_SIZE, PSP_TAG_CONTEXT); /* a page, for the alignment */
    if (Request->Extended == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Status = KeCaptureExtendedState(Request->Extended, Context);
    Request->Features = Request->Extended->Mask;
    if (NT_SUCCESS(Status) && !Request->Set) {
        RtlZeroMemory(Request->Extended, sizeof(*Request->Extended)); /* a thread that has not begun has none */
    }
    return Status;
}

/* A request with the context's flags, or with all of it; a program's thread only. */
static NTSTATUS BeginRequest(HANDLE ThreadHandle, ACCESS_MASK Access, PCONTEXT Context, BOOLEAN Set, PETHREAD *Thread,
                             PPSP_CONTEXT_REQUEST *Request)
{
    PPSP_CONTEXT_REQUEST New = ExAllocatePoolWithTag(NonPagedPool, sizeof(*New), PSP_TAG_CONTEXT);
    NTSTATUS Status;

    if (New == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(New, sizeof(*New));
    New->Set = Set;
    Status = Set ? ExCopyFromCaller(&New->Context, Context, sizeof(*Context))
                 : ExCopyFromCaller(&New->Context.ContextFlags, &Context->ContextFlags, sizeof(ULONG));
    if (NT_SUCCESS(Status) && (New->Context.ContextFlags & ~CONTEXT_PARTS) != CONTEXT_AMD64) {
        Status = STATUS_INVALID_PARAMETER;
    }
    if (NT_SUCCESS(Status)) {
        Status = BeginExtended(New, Context);
    }
    if (NT_SUCCESS(Status)) {
        Status = PspReferenceProgramThread(ThreadHandle, Access, Thread);
    }
    if (!NT_SUCCESS(Status)) {
        FreeRequest(New);
        return Status;
    }
    *Request = New;
    return STATUS_SUCCESS;
}

/**
 * NtGetContextThread - registers of a thread, those that ContextFlags names.
 *
 * @ThreadHandle  with THREAD_GET_CONTEXT; a thread that runs is asked where it happens to be
 * returns        STATUS_SUCCESS; STATUS_INVALID_PARAMETER (flags); STATUS_THREAD_IS_TERMINATING; STATUS_INSUFFICIENT_RESOURCES;
 *                what handle and pointer say
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtGetContextThread(HANDLE ThreadHandle, PCONTEXT Context)
{
    PPSP_CONTEXT_REQUEST Request;
    PETHREAD Thread;
    NTSTATUS Status = BeginRequest(ThreadHandle, THREAD_GET_CONTEXT, Context, FALSE, &Thread, &Request);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = AskThread(Thread, Request);
    if (NT_SUCCESS(Status)) {
        Status = CopyParts(Context, &Request->Context);
    }
    if (NT_SUCCESS(Status) && Request->Extended != NULL) {
        Status = KeReturnExtendedState(Context, Request->Extended, Request->Features);
    }
    ObDereferenceObject(Thread);
    FreeRequest(Request);
    return Status;
}

/* Sets registers: THREAD_SET_CONTEXT. Of a thread that has not begun, RIP, RSP, RCX, RDX and debug registers. Else as NtGetContextThread. */
NTSTATUS NTAPI NtSetContextThread(HANDLE ThreadHandle, PCONTEXT Context)
{
    PPSP_CONTEXT_REQUEST Request;
    PETHREAD Thread;
    NTSTATUS Status = BeginRequest(ThreadHandle, THREAD_SET_CONTEXT, Context, TRUE, &Thread, &Request);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = AskThread(Thread, Request);
    ObDereferenceObject(Thread);
    FreeRequest(Request);
    return Status;
}

/* ---- Alerts ---- */

/* Ends a thread's alertable wait with STATUS_ALERTED, or its next one: THREAD_ALERT. */
NTSTATUS NTAPI NtAlertThread(HANDLE ThreadHandle)
{
    PETHREAD Thread;
    NTSTATUS Status = PspReferenceProgramThread(ThreadHandle, PSP_THREAD_ALERT, &Thread);

    if (NT_SUCCESS(Status)) {
        KeAlertThread(&Thread->Tcb, UserMode);
        ObDereferenceObject(Thread);
    }
    return Status;
}

/* The same, and one suspension less. */
NTSTATUS NTAPI NtAlertResumeThread(HANDLE ThreadHandle, PULONG PreviousSuspendCount)
{
    PETHREAD Thread;
    ULONG Count;
    NTSTATUS Status = PspReferenceProgramThread(ThreadHandle, THREAD_SUSPEND_RESUME, &Thread);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    KeAlertThread(&Thread->Tcb, UserMode);
    Count = KeResumeThread(&Thread->Tcb);
    ObDereferenceObject(Thread);
    return ExReturnValue(STATUS_SUCCESS, PreviousSuspendCount, &Count, sizeof(Count));
}
