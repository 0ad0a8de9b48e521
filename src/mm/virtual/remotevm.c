/*
 * remotevm.c - NtReadVirtualMemory, NtWriteVirtualMemory: a program's look into another process.
 *
 * MmCopyVirtualMemory does the work, through a buffer of the kernel's; it stops at the first page that cannot be accessed and says how far
 * it came. A page that its process could not write is not written either.
 *
 * IRQL: PASSIVE_LEVEL. Locks: none.
 *
 * Source: ReadProcessMemory and WriteProcessMemory in the Windows documentation.
 */
#include "../misection.h"
#include "../miprocess.h"
#include <ntos/user.h>

#define MI_PROCESS_VM_READ  0x0010
#define MI_PROCESS_VM_WRITE 0x0020

/* @Write: from the caller's Buffer to the process; else the other way. */
static NTSTATUS MiCopyRemote(HANDLE ProcessHandle, PVOID BaseAddress, PVOID Buffer, SIZE_T Bytes, PSIZE_T Copied,
                             BOOLEAN Write)
{
    KPROCESSOR_MODE Mode = ExGetPreviousMode();
    PEPROCESS Process, Caller = PsGetCurrentProcess();
    SIZE_T Done = 0;
    NTSTATUS Status;

    if (Mode == UserMode && (!MmIsUserRange(BaseAddress, Bytes) || !MmIsUserRange(Buffer, Bytes))) {
        return STATUS_ACCESS_VIOLATION;
    }
    Status = ObReferenceObjectByHandle(ProcessHandle, Write ? MI_PROCESS_VM_WRITE : MI_PROCESS_VM_READ, *PsProcessType,
                                       Mode, (PVOID *)&Process, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = PsAcquireProcessExitSynchronization(Process);
    if (NT_SUCCESS(Status)) {
        if (MiSpaceOf(Process) == NULL) {
            Status = STATUS_PROCESS_IS_TERMINATING;
        } else if (Bytes != 0) {
            Status = Write ? MmCopyVirtualMemory(Caller, Buffer, Process, BaseAddress, Bytes, Mode, &Done)
                           : MmCopyVirtualMemory(Process, BaseAddress, Caller, Buffer, Bytes, Mode, &Done);
        }
        PsReleaseProcessExitSynchronization(Process);
    }
    ObDereferenceObject(Process);
    if (Copied != NULL) {
        NTSTATUS Returned = ExCopyToCaller(Copied, &Done, sizeof(Done));

        Status = NT_SUCCESS(Returned) ? Status : Returned;
    }
    return Status;
}

/**
 * NtReadVirtualMemory - copies memory of a process to the caller.
 *
 * @ProcessHandle  with PROCESS_VM_READ
 * @Read           receives the bytes that were copied; may be NULL
 *
 * IRQL: PASSIVE_LEVEL. Fails: STATUS_ACCESS_VIOLATION (a range above the user half), STATUS_PARTIAL_COPY (a page that cannot
 * be accessed), STATUS_PROCESS_IS_TERMINATING, STATUS_INSUFFICIENT_RESOURCES, what a bad handle gives.
 */
NTSTATUS NTAPI NtReadVirtualMemory(HANDLE ProcessHandle, PVOID BaseAddress, PVOID Buffer, SIZE_T Bytes, PSIZE_T Read)
{
    ASSERT_IRQL(PASSIVE_LEVEL);
    return MiCopyRemote(ProcessHandle, BaseAddress, Buffer, Bytes, Read, FALSE);
}

/* NtWriteVirtualMemory - the other way; with PROCESS_VM_WRITE. */
NTSTATUS NTAPI NtWriteVirtualMemory(HANDLE ProcessHandle, PVOID BaseAddress, PVOID Buffer, SIZE_T Bytes,
                                    PSIZE_T Written)
{
    ASSERT_IRQL(PASSIVE_LEVEL);
    return MiCopyRemote(ProcessHandle, BaseAddress, Buffer, Bytes, Written, TRUE);
}
