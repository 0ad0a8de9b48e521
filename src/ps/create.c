/*
 * create.c - process objects: made with an address space and a handle table of their own, and unmade.
 *
 * A process becomes visible (list, identifier) when it is complete; then the notify routines hear of it. Its address space goes when its
 * last thread has left its stack (exit.c), or with the object if it never had a thread. Whoever works in another process's address
 * space holds its RundownProtect meanwhile: the address space is taken down after the last of them has let go.
 *
 * Locks: the list's, in process.c.
 */
#include "psp.h"

#include <ntos/section.h>

#define USER_PROCESS_PRIORITY 8

/* Tells the notify routines, one of which may object. */
static NTSTATUS AnnounceProcess(PEPROCESS Process, const PSP_NEW_PROCESS *Wanted)
{
    PS_CREATE_NOTIFY_INFO Info = {.Size = sizeof(Info),
                                  .ParentProcessId = Process->ParentId,
                                  .CreatingThreadId = PsGetCurrentThread()->Cid,
                                  .ImageFileName = Wanted->Path,
                                  .CommandLine = Wanted->Line};

    Info.FileOpenNameAvailable = Wanted->Path != NULL;
    Info.FileObject = Wanted->Section == NULL ? NULL : MmImageFileOfSection(Wanted->Section);
    Process->Announced = TRUE;
    PspNotifyProcess(Process, &Info);
    return Info.CreationStatus;
}

static NTSTATUS CreateTable(const PSP_NEW_PROCESS *Wanted, PEPROCESS Parent, PEPROCESS New)
{
    PHANDLE_TABLE Table;
    NTSTATUS Status;

    if (Wanted->Inherit) {
        Status = ObInheritHandles(Parent, New, Wanted->Handles, Wanted->HandleCount, &Table);
    } else {
        Status = ObCreateHandleTable(New, (PVOID *)&Table);
    }
    New->ObjectTable = Table;
    return Status;
}

/**
 * PspCreateProcess - makes a process without threads.
 *
 * @Process  gets it, with one reference
 * @Name     for displays; cut to 15 characters
 * returns   STATUS_SUCCESS; STATUS_INSUFFICIENT_RESOURCES; STATUS_COMMITMENT_LIMIT; STATUS_QUOTA_EXCEEDED; or what a notify routine says
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS PspCreateProcess(PEPROCESS *Process, PCSTR Name)
{
    PSP_NEW_PROCESS Wanted = {.Name = Name};

    return PspCreateProcessFrom(&Wanted, Process);
}

/* The parent's job, unless the process stays outside. */
static NTSTATUS JoinParentsJob(const PSP_NEW_PROCESS *Wanted, PEPROCESS Parent, PEPROCESS New)
{
    BOOLEAN Outside;
    NTSTATUS Status;

    if (Parent->Job == NULL) {
        return STATUS_SUCCESS;
    }
    Status = PspMayBreakAway(Parent->Job, Wanted->Breakaway, &Outside);
    return NT_SUCCESS(Status) && !Outside ? PspJoinJob(Parent->Job, New) : Status;
}

NTSTATUS PspCreateProcessFrom(const PSP_NEW_PROCESS *Wanted, PEPROCESS *Process)
{
    PEPROCESS Parent = Wanted->Parent != NULL ? Wanted->Parent : PsGetCurrentThreadProcess(), New;
    NTSTATUS Status = ObCreateObject(KernelMode, PspProcessType, NULL, ExGetPreviousMode(), NULL, sizeof(EPROCESS), 0,
                                     0, (PVOID *)&New);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    PsInheritQuota(Parent, New);
    ExInitializeFastMutex(&New->ExitLock);
    VfNameLock(&New->ExitLock, "EPROCESS.ExitLock");
    ExInitializeRundownProtection(&New->RundownProtect);
    New->ExitStatus = STATUS_PENDING;
    New->ParentId = Parent->UniqueProcessId;
    KeQuerySystemTime(&New->CreateTime);
    for (ULONG Index = 0; Index < sizeof(New->ImageFileName) - 1 && Wanted->Name[Index] != 0; Index++) {
        New->ImageFileName[Index] = Wanted->Name[Index];
    }
    KeInitializeProcess(&New->Pcb, 0, USER_PROCESS_PRIORITY);
    PspInheritPriority(Parent, New);
    New->PagefileLimit = Parent->PagefileLimit;
    New->UniqueProcessId = PspNewId();
    Status = MmCreateProcessAddressSpace(New);
    if (NT_SUCCESS(Status)) {
        MmRandomizeProcess(New);
        Status = CreateTable(Wanted, Parent, New);
    }
    if (NT_SUCCESS(Status)) {
        Status = SeInheritToken(Parent, New);
    }
    if (NT_SUCCESS(Status)) {
        Status = JoinParentsJob(Wanted, Parent, New);
    }
    if (NT_SUCCESS(Status)) {
        PspPublishProcess(New);
        Status = AnnounceProcess(New, Wanted);
    }
    if (!NT_SUCCESS(Status)) {
        ObDereferenceObject(New);
        return Status;
    }
    *Process = New;
    return STATUS_SUCCESS;
}

/* The type's delete procedure; the object may be half made. */
VOID PspDeleteProcess(PVOID Object)
{
    PEPROCESS Process = Object;

    if (Process->Announced) { /* it never had a thread */
        PspNotifyProcess(Process, NULL);
    }
    PspUnpublishProcess(Process);
    PspForgetJob(Process);
    if (Process->ObjectTable != NULL) {
        ObDestroyHandleTable(Process->ObjectTable);
    }
    SeReleaseToken(Process);
    if (Process->ImagePath.Buffer != NULL) {
        ExFreePoolWithTag(Process->ImagePath.Buffer, PSP_TAG_PROGRAM);
    }
    MmDeleteProcessAddressSpace(Process);
    PsForgetQuota(Process);
}

/* STATUS_PROCESS_IS_TERMINATING, or the address space of the process stays until the release. IRQL: <= APC_LEVEL. */
NTSTATUS NTAPI PsAcquireProcessExitSynchronization(PEPROCESS Process)
{
    return ExAcquireRundownProtection(&Process->RundownProtect) ? STATUS_SUCCESS : STATUS_PROCESS_IS_TERMINATING;
}

VOID NTAPI PsReleaseProcessExitSynchronization(PEPROCESS Process)
{
    ExReleaseRundownProtection(&Process->RundownProtect);
}
