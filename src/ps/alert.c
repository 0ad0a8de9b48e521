/*
 * alert.c - one thread of a program waking another by its identifier: what ntdll's locks wait with.
 *
 * Each thread has one event that remembers a single alert: NtAlertThreadByThreadId sets it, NtWaitForAlertByThreadId waits for it and
 * takes it. There is no handle and no object to make, so a lock that nobody waits for costs the kernel nothing. Alerts may come
 * late or once too often (the thread they were meant for had given up, or its identifier belongs to another one by now): the waiter
 * looks at what it waits for each time.
 *
 * Locks: none. IRQL: PASSIVE_LEVEL.
 *
 * Source: Microsoft Learn, WaitOnAddress and WakeByAddressSingle, for what is built on it.
 */
#include "psp.h"

#include <ntos/services.h>
#include <ntos/user.h>

/**
 * NtAlertThreadByThreadId - ends the wait for an alert of a thread of the calling process, or its next one.
 *
 * @UniqueThread  the thread's identifier
 * returns        STATUS_SUCCESS; STATUS_INVALID_CID (there is none); STATUS_ACCESS_DENIED (another process's)
 */
NTSTATUS NTAPI NtAlertThreadByThreadId(HANDLE UniqueThread)
{
    PETHREAD Thread;
    NTSTATUS Status = STATUS_SUCCESS;

    if (!NT_SUCCESS(PsLookupThreadByThreadId(UniqueThread, &Thread))) {
        return STATUS_INVALID_CID;
    }
    if (Thread->ThreadsProcess == PsGetCurrentProcess()) {
        KeSetEvent(&Thread->AlertById, IO_NO_INCREMENT, FALSE);
    } else {
        Status = STATUS_ACCESS_DENIED;
    }
    ObDereferenceObject(Thread);
    return Status;
}

/**
 * NtWaitForAlertByThreadId - waits until the calling thread is alerted.
 *
 * @Address  what it waits about, for debuggers only
 * @Timeout  100 ns, negative relative; NULL: for ever
 * returns   STATUS_ALERTED; STATUS_TIMEOUT; what reading @Timeout failed with
 */
NTSTATUS NTAPI NtWaitForAlertByThreadId(PVOID Address, PLARGE_INTEGER Timeout)
{
    LARGE_INTEGER Copy;
    NTSTATUS Status = Timeout == NULL ? STATUS_SUCCESS : ExCopyFromCaller(&Copy, Timeout, sizeof(Copy));

    if (NT_SUCCESS(Status)) {
        Status = KeWaitForSingleObject(&PsGetCurrentThread()->AlertById, UserRequest, ExGetPreviousMode(), FALSE,
                                       Timeout == NULL ? NULL : &Copy);
    }
    return Status == STATUS_SUCCESS ? STATUS_ALERTED : Status;
}
