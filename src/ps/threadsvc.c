/*
 * threadsvc.c - services that make, stop and interrupt threads of programs.
 *
 * A thread is made in the address space of its process, attached if that is not the caller's: stack, TEB, first context; then it gets a
 * handle, and runs when nothing can fail any more. A user APC is a pool block that frees itself as it is delivered.
 *
 * Locks: none; the process's RundownProtect is held while its memory is written. IRQL: PASSIVE_LEVEL.
 *
 * Source: Microsoft Learn, CreateThread, SuspendThread, QueueUserAPC; the services behind them.
 */
#include "psp.h"

#include <ntos/pool.h>
#include <ntos/services.h>
#include <ntos/user.h>

#define PSP_TAG_APC 'cpAP'

/* Stack, TEB and thread object, in the process. */
static NTSTATUS MakeThread(PEPROCESS Process, PVOID Routine, PVOID Argument, SIZE_T Commit, SIZE_T Reserve,
                           PETHREAD *Thread)
{
    PSP_USER_STACK Stack;
    KAPC_STATE State;
    NTSTATUS Status;

    if (!ExAcquireRundownProtection(&Process->RundownProtect)) {
        return STATUS_PROCESS_IS_TERMINATING;
    }
    KeStackAttachProcess((PVOID)Process, &State);
    Status = PspCreateUserStack(Reserve, Commit, &Stack);
    if (NT_SUCCESS(Status)) {
        Status = PspCreateProgramThread(Process, &Stack, (ULONG64)Routine, (ULONG64)Argument, Thread);
        if (NT_SUCCESS(Status)) {
            (*Thread)->Win32StartAddress = Routine;
        }
        if (!NT_SUCCESS(Status)) {
            SIZE_T Whole = 0;

            ZwFreeVirtualMemory(ZwCurrentProcess(), &Stack.Allocation, &Whole, MEM_RELEASE);
        }
    }
    KeUnstackDetachProcess(&State);
    ExReleaseRundownProtection(&Process->RundownProtect);
    return Status;
}

/* Gives the caller a handle and lets the thread go; or takes everything back. */
static NTSTATUS PublishThread(PETHREAD Thread, const EX_CAPTURED_ATTRIBUTES *Attributes, ACCESS_MASK DesiredAccess,
                              ULONG Flags, const PSP_WISHES *Wishes, PHANDLE ThreadHandle)
{
    HANDLE Handle;
    NTSTATUS Status = ObOpenObjectByPointer(Thread, Attributes->Attributes.Attributes & OBJ_INHERIT, NULL,
                                            DesiredAccess, PspThreadType, KernelMode, &Handle);

    if (NT_SUCCESS(Status)) {
        Status = Attributes->Descriptor == NULL ? STATUS_SUCCESS : ObGiveSecurity(Thread, Attributes->Descriptor);
        if (NT_SUCCESS(Status)) {
            Status = PspAnswerAttributes(Wishes, Thread, NULL);
        }
        if (NT_SUCCESS(Status)) {
            Status = ExCopyToCaller(ThreadHandle, &Handle, sizeof(Handle));
        }
        if (!NT_SUCCESS(Status)) {
            NtClose(Handle);
        }
    }
    if (!NT_SUCCESS(Status)) {
        PspAbandonUserThread(Thread);
        return Status;
    }
    if ((Flags & THREAD_CREATE_FLAGS_CREATE_SUSPENDED) != 0) {
        KeSuspendThread(&Thread->Tcb, NULL);
    }
    KeReadyThread(&Thread->Tcb);
    ObDereferenceObject(Thread);
    return STATUS_SUCCESS;
}

/**
 * NtCreateThreadEx - makes a thread of a program.
 *
 * @ThreadHandle      gets a handle
 * @ObjectAttributes  OBJ_INHERIT and the security descriptor count; may be NULL
 * @ProcessHandle     with PROCESS_CREATE_THREAD
 * @StartRoutine      called with @Argument in ring 3; what it returns is the exit status
 * @CreateFlags       THREAD_CREATE_FLAGS_CREATE_SUSPENDED
 * @StackSize, @MaximumStackSize  bytes committed and reserved; 0: 64 KB and 1 MB
 * @AttributeList     PS_ATTRIBUTE_CLIENT_ID and _TEB_ADDRESS are answered; may be NULL
 * returns            STATUS_SUCCESS; STATUS_INVALID_PARAMETER (flags, zero bits); STATUS_NOT_SUPPORTED (another attribute); STATUS_PROCESS_IS_TERMINATING;
 *                    what memory, handles and pointers say
 */
NTSTATUS NTAPI NtCreateThreadEx(PHANDLE ThreadHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                                HANDLE ProcessHandle, PVOID StartRoutine, PVOID Argument, ULONG CreateFlags,
                                SIZE_T ZeroBits, SIZE_T StackSize, SIZE_T MaximumStackSize, PVOID AttributeList)
{
    EX_CAPTURED_ATTRIBUTES Attributes;
    PSP_WISHES Wishes;
    PEPROCESS Process;
    PETHREAD Thread;
    NTSTATUS Status;

    if ((CreateFlags & ~THREAD_CREATE_FLAGS_CREATE_SUSPENDED) != 0 || ZeroBits != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    Status = ExCaptureObjectAttributes(&Attributes, ObjectAttributes);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = PspCaptureAttributes(AttributeList, TRUE, &Wishes);
    if (NT_SUCCESS(Status)) {
        Status = ObReferenceObjectByHandle(ProcessHandle, PSP_PROCESS_CREATE_THREAD, PspProcessType,
                                           ExGetPreviousMode(), (PVOID *)&Process, NULL);
    }
    if (NT_SUCCESS(Status)) {
        Status = MakeThread(Process, StartRoutine, Argument, StackSize, MaximumStackSize, &Thread);
        if (NT_SUCCESS(Status)) {
            Status = PublishThread(Thread, &Attributes, DesiredAccess, CreateFlags, &Wishes, ThreadHandle);
        }
        ObDereferenceObject(Process);
    }
    ExFreeCapturedAttributes(&Attributes);
    return Status;
}

/* ---- Suspension ---- */

NTSTATUS PspReferenceProgramThread(HANDLE Handle, ACCESS_MASK Access, PETHREAD *Thread)
{
    NTSTATUS Status =
        ObReferenceObjectByHandle(Handle, Access, PspThreadType, ExGetPreviousMode(), (PVOID *)Thread, NULL);

    if (NT_SUCCESS(Status) && (*Thread)->SystemThread) {
        ObDereferenceObject(*Thread);
        return STATUS_INVALID_HANDLE; /* not a program's */
    }
    return Status;
}

static NTSTATUS ReturnCount(PULONG PreviousCount, ULONG Count)
{
    return PreviousCount == NULL ? STATUS_SUCCESS : ExCopyToCaller(PreviousCount, &Count, sizeof(Count));
}

/* STATUS_SUCCESS; STATUS_SUSPEND_COUNT_EXCEEDED; STATUS_THREAD_IS_TERMINATING; what handle and pointer say. */
NTSTATUS NTAPI NtSuspendThread(HANDLE ThreadHandle, PULONG PreviousSuspendCount)
{
    PETHREAD Thread;
    ULONG Count;
    NTSTATUS Status = PspReferenceProgramThread(ThreadHandle, THREAD_SUSPEND_RESUME, &Thread);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = KeSuspendThread(&Thread->Tcb, &Count);
    ObDereferenceObject(Thread);
    return NT_SUCCESS(Status) ? ReturnCount(PreviousSuspendCount, Count) : Status;
}

/* STATUS_SUCCESS, also if it was not suspended (the count says); what handle and pointer say. */
NTSTATUS NTAPI NtResumeThread(HANDLE ThreadHandle, PULONG PreviousSuspendCount)
{
    PETHREAD Thread;
    ULONG Count;
    NTSTATUS Status = PspReferenceProgramThread(ThreadHandle, THREAD_SUSPEND_RESUME, &Thread);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Count = KeResumeThread(&Thread->Tcb);
    ObDereferenceObject(Thread);
    return ReturnCount(PreviousSuspendCount, Count);
}

/* ---- APCs ---- */

static VOID NTAPI FreeApc(PKAPC Apc, PKNORMAL_ROUTINE *Normal, PVOID *Context, PVOID *Argument1, PVOID *Argument2)
{
    ExFreePoolWithTag(Apc, PSP_TAG_APC);
}

static VOID NTAPI RundownApc(PKAPC Apc)
{
    ExFreePoolWithTag(Apc, PSP_TAG_APC);
}

/**
 * NtQueueApcThread - has a thread of a program call a routine at its next alertable wait, NtTestAlert or NtContinue.
 *
 * @Routine  an address in ring 3, called with the three arguments
 * returns   STATUS_SUCCESS; STATUS_INSUFFICIENT_RESOURCES; STATUS_UNSUCCESSFUL (the thread ends); what the handle says
 */
NTSTATUS NTAPI NtQueueApcThread(HANDLE ThreadHandle, PVOID Routine, PVOID Argument1, PVOID Argument2, PVOID Argument3)
{
    PETHREAD Thread;
    PKAPC Apc;
    NTSTATUS Status = PspReferenceProgramThread(ThreadHandle, THREAD_SET_CONTEXT, &Thread);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Apc = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Apc), PSP_TAG_APC);
    if (Apc == NULL) {
        ObDereferenceObject(Thread);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    KeInitializeApc(Apc, &Thread->Tcb, OriginalApcEnvironment, FreeApc, RundownApc, (PKNORMAL_ROUTINE)Routine, UserMode,
                    Argument1);
    if (!KeInsertQueueApc(Apc, Argument2, Argument3, IO_NO_INCREMENT)) {
        ExFreePoolWithTag(Apc, PSP_TAG_APC);
        Status = STATUS_UNSUCCESSFUL;
    }
    ObDereferenceObject(Thread);
    return Status;
}
