/*
 * thread.c - threads as the executive knows them: made, named by identifiers, ended, reaped.
 *
 * A thread that runs holds a reference on its object. When it ends, Ke leaves it on PspDeadThreads; the reaper, a system
 * thread, then frees its stack (which it could not do itself) and drops that reference. APCs still queued are run down by
 * the ending thread.
 *
 * Locks: none of its own; the dispatcher's inside Ke.
 *
 * Source: WDK documentation of PsCreateSystemThread and PsTerminateSystemThread.
 */
#include <ntos/io.h>

#include "psp.h"

#include <ntos/ex.h>

static LIST_ENTRY PspDeadThreads = {&PspDeadThreads, &PspDeadThreads}; /* (dispatcher lock) */
static KEVENT PspReaperEvent;

static VOID FillThread(PETHREAD Thread, PEPROCESS Process, PKSTART_ROUTINE StartRoutine, PVOID StartContext)
{
    ObReferenceObject(Process);
    Thread->Cid.UniqueProcess = Process->UniqueProcessId;
    Thread->Cid.UniqueThread = PspNewId();
    Thread->ThreadsProcess = Process;
    Thread->StartAddress = StartRoutine;
    Thread->StartContext = StartContext;
    Thread->SystemThread = Process == PsInitialSystemProcess;
    Thread->ExitStatus = STATUS_PENDING;
    KeQuerySystemTime(&Thread->CreateTime);
    KeInitializeSpinLock(&Thread->ActiveTimerListLock);
    VfNameLock(&Thread->ActiveTimerListLock, "ETHREAD.ActiveTimerListLock");
    InitializeListHead(&Thread->ActiveTimerListHead);
    InitializeListHead(&Thread->IrpList);
    KeInitializeEvent(&Thread->AlertById, SynchronizationEvent, FALSE);
}

NTSTATUS PspAllocateThread(PETHREAD *Thread, PEPROCESS Process, PKSTART_ROUTINE StartRoutine, PVOID StartContext,
                           KPRIORITY Priority)
{
    KPROCESSOR_MODE Owner = Process == PsInitialSystemProcess ? KernelMode : ExGetPreviousMode();
    PETHREAD New;
    NTSTATUS Status =
        ObCreateObject(KernelMode, PspThreadType, NULL, Owner, NULL, sizeof(ETHREAD), 0, 0, (PVOID *)&New);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    PVOID StackTop = MmCreateKernelStack(KI_KERNEL_STACK_SIZE);
    if (StackTop == NULL) {
        ObDereferenceObject(New);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    FillThread(New, Process, StartRoutine, StartContext);
    KeInitializeThread(&New->Tcb, &Process->Pcb, StackTop, Priority);
    PspEnterCid(&New->CidEntry, New->Cid.UniqueThread, New);
    *Thread = New;
    return STATUS_SUCCESS;
}

NTSTATUS PspAllocateSystemThread(PETHREAD *Thread, PKSTART_ROUTINE StartRoutine, PVOID StartContext, KPRIORITY Priority)
{
    return PspAllocateThread(Thread, PsInitialSystemProcess, StartRoutine, StartContext, Priority);
}

VOID PspDeleteThread(PVOID Object)
{
    PETHREAD Thread = Object;

    PspRemoveCid(&Thread->CidEntry);
    PspFreeClonedFrame(Thread);
    PspForgetName(Thread);
    if (Thread->Impersonation.Token != NULL) { /* it never ran, or was given the token after its end */
        ObDereferenceObject(Thread->Impersonation.Token);
    }
    KeDeleteThread(&Thread->Tcb);
    if (Thread->ThreadsProcess != NULL) {
        ObDereferenceObject(Thread->ThreadsProcess);
    }
}

PETHREAD PsGetNextProcessThread(PEPROCESS Process, PETHREAD Thread)
{
    PETHREAD Next =
        CONTAINING_RECORD(KeGetNextThread(&Process->Pcb, Thread != NULL ? &Thread->Tcb : NULL), ETHREAD, Tcb);

    if (Thread != NULL) {
        ObDereferenceObject(Thread);
    }
    return Next;
}

NTSTATUS PspCreateSystemThread(PETHREAD *Thread, PKSTART_ROUTINE StartRoutine, PVOID StartContext, KPRIORITY Priority)
{
    NTSTATUS Status = PspAllocateSystemThread(Thread, StartRoutine, StartContext, Priority);

    if (NT_SUCCESS(Status)) {
        ObReferenceObject(*Thread); /* one for the thread while it runs, one for the caller */
        KeReadyThread(&(*Thread)->Tcb);
    }
    return Status;
}

/* The process of a handle, or the system's, referenced, with one more thread counted in it. */
static NTSTATUS ReferenceForThread(HANDLE ProcessHandle, PEPROCESS *Process)
{
    NTSTATUS Status;

    if (ProcessHandle == NULL) {
        *Process = PsInitialSystemProcess;
        ObReferenceObject(*Process);
        return STATUS_SUCCESS;
    }
    Status = ObReferenceObjectByHandle(ProcessHandle, PSP_PROCESS_CREATE_THREAD, PspProcessType, KernelMode,
                                       (PVOID *)Process, NULL);
    if (NT_SUCCESS(Status) && *Process != PsInitialSystemProcess) {
        Status = PspCountThread(*Process);
        if (!NT_SUCCESS(Status)) {
            ObDereferenceObject(*Process);
        }
    }
    return Status;
}

/* A thread with a handle, not yet running. */
static NTSTATUS AllocateAndOpen(PETHREAD *Thread, PEPROCESS Process, PKSTART_ROUTINE StartRoutine, PVOID StartContext,
                                ULONG Attributes, ACCESS_MASK DesiredAccess, PHANDLE ThreadHandle)
{
    NTSTATUS Status = PspAllocateThread(Thread, Process, StartRoutine, StartContext, PSP_SYSTEM_THREAD_PRIORITY);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    (*Thread)->SystemThread = TRUE;
    Status = ObOpenObjectByPointer(*Thread, Attributes, NULL, DesiredAccess, PspThreadType, KernelMode, ThreadHandle);
    if (!NT_SUCCESS(Status)) {
        MmDeleteKernelStack((*Thread)->Tcb.StackTop, KI_KERNEL_STACK_SIZE);
        ObDereferenceObject(*Thread);
    }
    return Status;
}

/**
 * PsCreateSystemThread - starts a thread in kernel mode.
 *
 * @ThreadHandle      receives a handle
 * @ObjectAttributes  OBJ_KERNEL_HANDLE counts; the thread has no name; may be NULL
 * @ProcessHandle     the process in whose address space it runs; NULL: the system process
 * @ClientId          receives its identifiers; may be NULL
 * returns            STATUS_SUCCESS; STATUS_INSUFFICIENT_RESOURCES; STATUS_PROCESS_IS_TERMINATING; what is wrong with the handle
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI PsCreateSystemThread(PHANDLE ThreadHandle, ULONG DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                                    HANDLE ProcessHandle, PCLIENT_ID ClientId, PKSTART_ROUTINE StartRoutine,
                                    PVOID StartContext)
{
    ULONG Attributes = (ObjectAttributes != NULL) ? ObjectAttributes->Attributes : 0;
    PEPROCESS Process;
    PETHREAD Thread;
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    *ThreadHandle = NULL;
    Status = ReferenceForThread(ProcessHandle, &Process);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = AllocateAndOpen(&Thread, Process, StartRoutine, StartContext, Attributes, DesiredAccess, ThreadHandle);
    if (!NT_SUCCESS(Status) && Process != PsInitialSystemProcess) {
        PspUncountUnstartedThread(Process);
    }
    ObDereferenceObject(Process);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (ClientId != NULL) {
        *ClientId = Thread->Cid;
    }
    Thread->Announced = TRUE;
    PspNotifyThread(Thread, TRUE);
    KeReadyThread(&Thread->Tcb);
    return STATUS_SUCCESS;
}

/* APCs that will never run tell their owners so. */
static VOID RundownApcs(VOID)
{
    LIST_ENTRY List;

    KeStopApcs(&List);
    while (!IsListEmpty(&List)) {
        PKAPC Apc = CONTAINING_RECORD(RemoveHeadList(&List), KAPC, ApcListEntry);
        if (Apc->RundownRoutine != NULL) {
            Apc->RundownRoutine(Apc);
        } else {
            ExFreePool(Apc);
        }
    }
}

/**
 * PsTerminateSystemThread - ends the calling thread.
 *
 * @ExitStatus  kept in the thread object
 * returns      only on failure: STATUS_INVALID_PARAMETER, the caller is no system thread
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI PsTerminateSystemThread(NTSTATUS ExitStatus)
{
    PETHREAD Thread = PsGetCurrentThread();

    if (!Thread->SystemThread) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Thread->ThreadsProcess != PsInitialSystemProcess) {
        PspExitThread(ExitStatus);
    }
    PspEndThread(Thread, ExitStatus);
}

DECLSPEC_NORETURN VOID PspEndThread(PETHREAD Thread, NTSTATUS ExitStatus)
{
    ASSERT_IRQL(PASSIVE_LEVEL);
    if (KeIsAttachedProcess()) {
        KeBugCheckEx(INVALID_PROCESS_ATTACH_ATTEMPT, (ULONG_PTR)PsGetCurrentProcess(),
                     (ULONG_PTR)Thread->ThreadsProcess, Thread->Tcb.ApcStateIndex, 0);
    }
    if (Thread->Announced) {
        PspNotifyThread(Thread, FALSE);
    }
    IoCancelThreadIo();
    Thread->Terminated = TRUE;
    Thread->ExitStatus = ExitStatus;
    KeQuerySystemTime(&Thread->ExitTime);
    ExTimerRundown();
    PsRevertToSelf();
    RundownApcs();
    KeTerminateThread(&PspDeadThreads, &PspReaperEvent);
}

static VOID NTAPI Reaper(PVOID Context)
{
    for (;;) {
        PKTHREAD Dead = KeTakeDeadThread(&PspDeadThreads);
        if (Dead == NULL) {
            KeWaitForSingleObject(&PspReaperEvent, Executive, KernelMode, FALSE, NULL);
            continue;
        }
        PETHREAD Thread = CONTAINING_RECORD(Dead, ETHREAD, Tcb);
        VfThreadEnded(CONTAINING_RECORD(Dead, ETHREAD, Tcb));
        MmDeleteKernelStack(Dead->StackTop, KI_KERNEL_STACK_SIZE);
        if (Thread->ThreadsProcess != PsInitialSystemProcess) {
            PspReapUserThread(Thread);
        }
        ObDereferenceObject(Thread);
    }
}

VOID PspStartReaper(VOID)
{
    PETHREAD Thread;

    KeInitializeEvent(&PspReaperEvent, SynchronizationEvent, FALSE);
    if (!NT_SUCCESS(PspCreateSystemThread(&Thread, Reaper, NULL, LOW_REALTIME_PRIORITY))) {
        KeBugCheckEx(PROCESS1_INITIALIZATION_FAILED, 3, 0, 0, 0);
    }
    ObDereferenceObject(Thread);
}

/**
 * NtOpenThread - a handle to the thread of an identifier.
 *
 * @ClientId  its UniqueProcess is 0 or the thread's process
 * returns    STATUS_SUCCESS; STATUS_INVALID_PARAMETER_MIX; STATUS_INVALID_CID; what the access check says
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtOpenThread(PHANDLE ThreadHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                            PCLIENT_ID ClientId)
{
    PETHREAD Thread;
    CLIENT_ID Cid;
    ULONG Attributes;
    NTSTATUS Status = PspCaptureCid(ObjectAttributes, ClientId, &Attributes, &Cid);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Cid.UniqueProcess != NULL) {
        Status = PsLookupProcessThreadByCid(&Cid, NULL, &Thread);
    } else {
        Status = NT_SUCCESS(PsLookupThreadByThreadId(Cid.UniqueThread, &Thread)) ? STATUS_SUCCESS : STATUS_INVALID_CID;
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = PspReturnHandle(Thread, Attributes, DesiredAccess, PspThreadType, ThreadHandle);
    ObDereferenceObject(Thread);
    return Status;
}

NTSTATUS NTAPI ZwOpenThread(PHANDLE ThreadHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                            PCLIENT_ID ClientId)
{
    KPROCESSOR_MODE Mode = KeSetPreviousMode(KernelMode);
    NTSTATUS Status = NtOpenThread(ThreadHandle, DesiredAccess, ObjectAttributes, ClientId);

    KeSetPreviousMode(Mode);
    return Status;
}
