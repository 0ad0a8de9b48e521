/*
 * cancelio.c - cancelling requests by file, by status block, by thread: of one's own thread and of others.
 *
 * A thread's requests, those that a service waits for among them, are on the thread's own list (threadirp.c), which only it may walk. So the requests of
 * another thread are cancelled by a special kernel APC there, and the caller waits for it to have run. Cancelling asks a driver to end a
 * request; NtCancelIoFile alone waits for that.
 *
 * IRQL: PASSIVE_LEVEL. Locks: none. Source: documentation of CancelIo, CancelIoEx, CancelSynchronousIo and ZwCancelIoFile.
 */
#include <ntos/services.h>
#include <ntos/user.h>

#include "iop.h"

#define IOP_CANCEL_PAUSE (-100000LL) /* 10 ms between looks at what is left */

#ifndef THREAD_TERMINATE
#define THREAD_TERMINATE 0x0001
#endif

/* A request to another thread; on the stack of who waits for it. */
typedef struct _IOP_REMOTE_CANCEL {
    KAPC Apc;
    KEVENT Done;
    PIOP_CANCEL_WISH Wish;
    ULONG Count; /* requests that were found */
} IOP_REMOTE_CANCEL, *PIOP_REMOTE_CANCEL;

static VOID NTAPI IopRemoteApc(PKAPC Apc, PKNORMAL_ROUTINE *Routine, PVOID *Context, PVOID *Argument1, PVOID *Argument2)
{
    PIOP_REMOTE_CANCEL Remote = CONTAINING_RECORD(Apc, IOP_REMOTE_CANCEL, Apc);

    UNREFERENCED_PARAMETER(Routine);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    Remote->Count = IopCancelOwn(Remote->Wish);
    KeSetEvent(&Remote->Done, IO_NO_INCREMENT, FALSE); /* the last touch */
}

/* The thread ends before it came to it, and cancels everything itself. */
static VOID NTAPI IopRemoteRundown(PKAPC Apc)
{
    KeSetEvent(&CONTAINING_RECORD(Apc, IOP_REMOTE_CANCEL, Apc)->Done, IO_NO_INCREMENT, FALSE);
}

/* Cancels in any thread; returns how many requests were found. */
static ULONG IopCancelIn(PETHREAD Thread, PIOP_CANCEL_WISH Wish)
{
    IOP_REMOTE_CANCEL Remote = {.Wish = Wish};

    if (Thread == PsGetCurrentThread()) {
        return IopCancelOwn(Wish);
    }
    KeInitializeEvent(&Remote.Done, NotificationEvent, FALSE);
    KeInitializeApc(&Remote.Apc, &Thread->Tcb, OriginalApcEnvironment, IopRemoteApc, IopRemoteRundown, NULL, KernelMode,
                    NULL);
    if (!KeInsertQueueApc(&Remote.Apc, NULL, NULL, IO_NO_INCREMENT)) {
        return 0; /* it has ended, and nothing of it is under way */
    }
    KeWaitForSingleObject(&Remote.Done, Executive, KernelMode, FALSE, NULL);
    return Remote.Count;
}

/* References a file and writes to the caller's status block what the service is going to say if all is well. */
static NTSTATUS IopBeginCancel(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock, PFILE_OBJECT *File)
{
    IO_STATUS_BLOCK Result = {.Status = STATUS_SUCCESS};
    NTSTATUS Status =
        ObReferenceObjectByHandle(FileHandle, 0, IopFileObjectType, ExGetPreviousMode(), (PVOID *)File, NULL);

    if (NT_SUCCESS(Status)) {
        Status = ExCopyToCaller(IoStatusBlock, &Result, sizeof(Result));
        if (!NT_SUCCESS(Status)) {
            ObfDereferenceObject(*File);
        }
    }
    return Status;
}

/**
 * NtCancelIoFile - cancels the current thread's requests on a file and waits until none is left.
 *
 * returns  STATUS_SUCCESS, also when there was none; what the handle says
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtCancelIoFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock)
{
    LARGE_INTEGER Pause = {.QuadPart = IOP_CANCEL_PAUSE};
    IOP_CANCEL_WISH Wish = {0};
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    Status = IopBeginCancel(FileHandle, IoStatusBlock, &Wish.File);
    if (NT_SUCCESS(Status)) {
        while (IopCancelOwn(&Wish) != 0 || IopOwnIsEnding()) {
            KeDelayExecutionThread(KernelMode, FALSE, &Pause);
        }
        ObfDereferenceObject(Wish.File);
    }
    return Status;
}

/**
 * NtCancelIoFileEx - cancels the process's requests on a file, of whatever thread.
 *
 * @IoRequestToCancel  the status block of the one that is meant; NULL: all
 * returns             STATUS_SUCCESS: asked to end, which they may not have done yet; STATUS_NOT_FOUND: there was none; what the
 *                     handle says
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtCancelIoFileEx(HANDLE FileHandle, PIO_STATUS_BLOCK IoRequestToCancel, PIO_STATUS_BLOCK IoStatusBlock)
{
    IOP_CANCEL_WISH Wish = {.Block = IoRequestToCancel};
    IO_STATUS_BLOCK Result = {.Status = STATUS_NOT_FOUND};
    ULONG Count = 0;
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    Status = IopBeginCancel(FileHandle, IoStatusBlock, &Wish.File);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    for (PETHREAD Thread = PsGetNextProcessThread(PsGetCurrentProcess(), NULL); Thread != NULL;
         Thread = PsGetNextProcessThread(PsGetCurrentProcess(), Thread)) {
        Count += IopCancelIn(Thread, &Wish);
    }
    ObfDereferenceObject(Wish.File);
    if (Count != 0) {
        return STATUS_SUCCESS;
    }
    Status = ExCopyToCaller(IoStatusBlock, &Result, sizeof(Result));
    return NT_SUCCESS(Status) ? STATUS_NOT_FOUND : Status;
}

/**
 * NtCancelSynchronousIoFile - cancels the request that a thread waits for in a service.
 *
 * @ThreadHandle       with THREAD_TERMINATE
 * @IoRequestToCancel  its status block; NULL: whichever it is
 * returns             STATUS_SUCCESS: asked to end; STATUS_NOT_FOUND: it waits for none; what the handle says
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtCancelSynchronousIoFile(HANDLE ThreadHandle, PIO_STATUS_BLOCK IoRequestToCancel,
                                         PIO_STATUS_BLOCK IoStatusBlock)
{
    IOP_CANCEL_WISH Wish = {.Block = IoRequestToCancel, .Waited = TRUE};
    IO_STATUS_BLOCK Result = {.Status = STATUS_SUCCESS};
    PETHREAD Thread;
    NTSTATUS Status = ExProbeForWrite(IoStatusBlock, sizeof(Result));

    ASSERT_IRQL(PASSIVE_LEVEL);
    if (NT_SUCCESS(Status)) {
        Status = ObReferenceObjectByHandle(ThreadHandle, THREAD_TERMINATE, *PsThreadType, ExGetPreviousMode(),
                                           (PVOID *)&Thread, NULL);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Result.Status = (IopCancelIn(Thread, &Wish) != 0) ? STATUS_SUCCESS : STATUS_NOT_FOUND;
    ObDereferenceObject(Thread);
    Status = ExCopyToCaller(IoStatusBlock, &Result, sizeof(Result));
    return NT_SUCCESS(Status) ? Result.Status : Status;
}
