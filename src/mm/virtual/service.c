/*
 * service.c - what the services of virtual memory share: the process they work on, and the caller's variables.
 *
 * A service names a process by handle and works in its address space, attached to it if it is not the caller's own; the address space
 * stays meanwhile, even if the process's last thread ends. The caller's
 * variables are read once, before anything is decided, and written at the end, both in the caller's own address space: a
 * user-mode caller's under SEH, with user access allowed for the length of the copy.
 *
 * IRQL: PASSIVE_LEVEL. Locks: none.
 */
#include "../miprocess.h"

NTSTATUS MiOpenTarget(HANDLE ProcessHandle, ACCESS_MASK Access, PMI_TARGET Target)
{
    NTSTATUS Status = ObReferenceObjectByHandle(ProcessHandle, Access, *PsProcessType, ExGetPreviousMode(),
                                                (PVOID *)&Target->Process, NULL);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Target->Attached = FALSE;
    Status = PsAcquireProcessExitSynchronization(Target->Process);
    if (!NT_SUCCESS(Status)) {
        ObDereferenceObject(Target->Process);
        return Status;
    }
    Target->Space = MiSpaceOf(Target->Process);
    if (Target->Space == NULL) { /* the system process has no user half */
        PsReleaseProcessExitSynchronization(Target->Process);
        ObDereferenceObject(Target->Process);
        return STATUS_PROCESS_IS_TERMINATING;
    }
    if (Target->Process != PsGetCurrentProcess()) {
        KeStackAttachProcess((PVOID)Target->Process, &Target->ApcState);
        Target->Attached = TRUE;
    }
    return STATUS_SUCCESS;
}

VOID MiCloseTarget(PMI_TARGET Target)
{
    if (Target->Attached) {
        KeUnstackDetachProcess(&Target->ApcState);
    }
    PsReleaseProcessExitSynchronization(Target->Process);
    ObDereferenceObject(Target->Process);
}

NTSTATUS MiCaptureBytes(PVOID Destination, const VOID *Source, SIZE_T Bytes)
{
    if (ExGetPreviousMode() == KernelMode) {
        RtlCopyMemory(Destination, Source, Bytes);
        return STATUS_SUCCESS;
    }
    return MmCopyFromUser(Destination, Source, Bytes);
}

NTSTATUS MiCaptureRange(PVOID *BaseAddress, PSIZE_T RegionSize, PVOID *Base, PSIZE_T Size)
{
    NTSTATUS Status = MiCaptureBytes(Base, BaseAddress, sizeof(*Base));

    return NT_SUCCESS(Status) ? MiCaptureBytes(Size, RegionSize, sizeof(*Size)) : Status;
}

NTSTATUS MiReturnBytes(PVOID Destination, const VOID *Source, SIZE_T Bytes)
{
    if (ExGetPreviousMode() == KernelMode) {
        RtlCopyMemory(Destination, Source, Bytes);
        return STATUS_SUCCESS;
    }
    return MmCopyToUser(Destination, Source, Bytes);
}

NTSTATUS MiReturnRange(PVOID *BaseAddress, PSIZE_T RegionSize, PVOID Base, SIZE_T Size)
{
    NTSTATUS Status = MiReturnBytes(BaseAddress, &Base, sizeof(Base));

    return NT_SUCCESS(Status) ? MiReturnBytes(RegionSize, &Size, sizeof(Size)) : Status;
}
