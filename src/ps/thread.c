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

static VOID FillThread(PETHREAD Thread, PKSTART_ROUTINE StartRoutine, PVOID StartContext)
{
    Thread->Cid.UniqueProcess = PsInitialSystemProcess->UniqueProcessId;
    Thread->Cid.UniqueThread = PspNewId();
    Thread->ThreadsProcess = PsInitialSystemProcess;
    Thread->StartAddress = StartRoutine;
    Thread->StartContext = StartContext;
    Thread->SystemThread = TRUE;
    Thread->ExitStatus = STATUS_PENDING;
    KeQuerySystemTime(&Thread->CreateTime);
    KeInitializeSpinLock(&Thread->ActiveTimerListLock);
    InitializeListHead(&Thread->ActiveTimerListHead);
    InitializeListHead(&Thread->IrpList);
}

NTSTATUS PspAllocateSystemThread(PETHREAD *Thread, PKSTART_ROUTINE StartRoutine, PVOID StartContext, KPRIORITY Priority)
{
    PETHREAD New;
    NTSTATUS Status =
        ObCreateObject(KernelMode, PspThreadType, NULL, KernelMode, NULL, sizeof(ETHREAD), 0, 0, (PVOID *)&New);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    PVOID StackTop = MmCreateKernelStack(KI_KERNEL_STACK_SIZE);
    if (StackTop == NULL) {
        ObDereferenceObject(New);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    FillThread(New, StartRoutine, StartContext);
    KeInitializeThread(&New->Tcb, &PsInitialSystemProcess->Pcb, StackTop, Priority);
    PspEnterCid(&New->CidEntry, New->Cid.UniqueThread, New);
    *Thread = New;
    return STATUS_SUCCESS;
}

VOID PspDeleteThread(PVOID Object)
{
    PETHREAD Thread = Object;

    PspRemoveCid(&Thread->CidEntry);
    KeDeleteThread(&Thread->Tcb);
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

/**
 * PsCreateSystemThread - starts a thread of the system process.
 *
 * @ThreadHandle      receives a handle
 * @ObjectAttributes  OBJ_KERNEL_HANDLE counts; the thread has no name; may be NULL
 * @ProcessHandle     must be NULL: the system process
 * @ClientId          receives its identifiers; may be NULL
 * returns            STATUS_SUCCESS; STATUS_NOT_IMPLEMENTED: another process; STATUS_INSUFFICIENT_RESOURCES
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI PsCreateSystemThread(PHANDLE ThreadHandle, ULONG DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                                    HANDLE ProcessHandle, PCLIENT_ID ClientId, PKSTART_ROUTINE StartRoutine,
                                    PVOID StartContext)
{
    ULONG Attributes = (ObjectAttributes != NULL) ? ObjectAttributes->Attributes : 0;
    PETHREAD Thread;
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    *ThreadHandle = NULL;
    if (ProcessHandle != NULL) {
        return STATUS_NOT_IMPLEMENTED;
    }
    Status = PspAllocateSystemThread(&Thread, StartRoutine, StartContext, PSP_SYSTEM_THREAD_PRIORITY);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ObOpenObjectByPointer(Thread, Attributes, NULL, DesiredAccess, PspThreadType, KernelMode, ThreadHandle);
    if (!NT_SUCCESS(Status)) {
        MmDeleteKernelStack(Thread->Tcb.StackTop, KI_KERNEL_STACK_SIZE);
        ObDereferenceObject(Thread);
        return Status;
    }
    if (ClientId != NULL) {
        *ClientId = Thread->Cid;
    }
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
    PspEndThread(Thread, ExitStatus);
}

DECLSPEC_NORETURN VOID PspEndThread(PETHREAD Thread, NTSTATUS ExitStatus)
{
    ASSERT_IRQL(PASSIVE_LEVEL);
    IoCancelThreadIo();
    Thread->Terminated = TRUE;
    Thread->ExitStatus = ExitStatus;
    KeQuerySystemTime(&Thread->ExitTime);
    ExTimerRundown();
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
        MmDeleteKernelStack(Dead->StackTop, KI_KERNEL_STACK_SIZE);
        if (!Thread->SystemThread) {
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

HANDLE NTAPI PsGetThreadId(PETHREAD Thread)
{
    return Thread->Cid.UniqueThread;
}

HANDLE NTAPI PsGetCurrentThreadId(VOID)
{
    return PsGetCurrentThread()->Cid.UniqueThread;
}

/* TRUE: a thread made by PsCreateSystemThread. */
BOOLEAN NTAPI PsIsSystemThread(PETHREAD Thread)
{
    return Thread->SystemThread;
}
