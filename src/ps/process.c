/*
 * process.c - the system process, the list of all processes, and handles to them.
 *
 * The system process owns the kernel's address space and every system thread that was not given to another process. It exists before
 * the first thread and for ever. The others come from create.c.
 *
 * Locks: PspProcessListLock (spin) around the list of processes.
 */
#include "psp.h"

#include <ntos/user.h>

#include <ntos/init.h>
#include <ntos/program.h>

#define SYSTEM_PROCESS_PRIORITY 8

PEPROCESS PsInitialSystemProcess;
POBJECT_TYPE PspProcessType, PspThreadType;
POBJECT_TYPE *PsProcessType = &PspProcessType,
             *PsThreadType = &PspThreadType; /* the kernel's own view of the exports */

static KSPIN_LOCK PspProcessListLock;
VF_NAME_LOCK(PspProcessListLock, "PspProcessListLock");
static LIST_ENTRY PspProcessList = {&PspProcessList, &PspProcessList}; /* (PspProcessListLock) of ActiveProcessLinks */

VOID PspPublishProcess(PEPROCESS Process)
{
    KIRQL Irql;

    KeAcquireSpinLock(&PspProcessListLock, &Irql);
    InsertTailList(&PspProcessList, &Process->ActiveProcessLinks);
    KeReleaseSpinLock(&PspProcessListLock, Irql);
    PspEnterCid(&Process->CidEntry, Process->UniqueProcessId, Process);
}

VOID PspUnpublishProcess(PEPROCESS Process)
{
    KIRQL Irql;

    if (Process->ActiveProcessLinks.Flink == NULL) {
        return;
    }
    PspRemoveCid(&Process->CidEntry);
    KeAcquireSpinLock(&PspProcessListLock, &Irql);
    RemoveEntryList(&Process->ActiveProcessLinks);
    KeReleaseSpinLock(&PspProcessListLock, Irql);
}

static const OBJECT_TYPE_INITIALIZER PspProcessTypeInfo = {
    .Name = L"Process",
    .GenericMapping = {STANDARD_RIGHTS_READ | PSP_PROCESS_VM_READ | PSP_PROCESS_QUERY_INFORMATION,
                       STANDARD_RIGHTS_WRITE | PSP_PROCESS_CREATE_THREAD | PSP_PROCESS_VM_OPERATION |
                           PSP_PROCESS_VM_WRITE | PROCESS_DUP_HANDLE | PSP_PROCESS_SET_INFORMATION,
                       STANDARD_RIGHTS_EXECUTE | SYNCHRONIZE, PROCESS_ALL_ACCESS},
    .ValidAccess = PROCESS_ALL_ACCESS,
    .PoolTag = 'corP',
    .WaitOffset = FIELD_OFFSET(EPROCESS, Pcb.Header),
    .DeleteProcedure = PspDeleteProcess,
    .SecurityTokenProcedure = SeProcessDefaults,
};

static const OBJECT_TYPE_INITIALIZER PspThreadTypeInfo = {
    .Name = L"Thread",
    .GenericMapping = {STANDARD_RIGHTS_READ | THREAD_GET_CONTEXT | PSP_THREAD_QUERY_INFORMATION,
                       STANDARD_RIGHTS_WRITE | THREAD_TERMINATE | THREAD_SUSPEND_RESUME | THREAD_SET_CONTEXT |
                           THREAD_SET_INFORMATION,
                       STANDARD_RIGHTS_EXECUTE | SYNCHRONIZE, THREAD_ALL_ACCESS},
    .ValidAccess = THREAD_ALL_ACCESS,
    .PoolTag = PSP_TAG_THREAD,
    .DefaultNonPagedPoolCharge = sizeof(ETHREAD) + PAGE_SIZE, /* and its XSAVE area */
    .WaitOffset = FIELD_OFFSET(ETHREAD, Tcb.Header),
    .DeleteProcedure = PspDeleteThread,
    .SecurityTokenProcedure = SeThreadDefaults,
};

VOID PspInitializePhase0(VOID)
{
    static const CHAR Name[] = "System";
    PEPROCESS Process = NULL;

    PspInitializeCids();
    PspInitializeNotify();
    if (!NT_SUCCESS(ObCreateObjectType(&PspProcessTypeInfo, &PspProcessType)) ||
        !NT_SUCCESS(ObCreateObjectType(&PspThreadTypeInfo, &PspThreadType)) ||
        !NT_SUCCESS(ObCreateObject(KernelMode, PspProcessType, NULL, KernelMode, NULL, sizeof(EPROCESS), 0, 0,
                                   (PVOID *)&Process))) {
        KeBugCheckEx(PROCESS1_INITIALIZATION_FAILED, 1, 0, 0, 0);
    }
    KeInitializeProcess(&Process->Pcb, __readcr3() & PTE_FRAME_MASK, SYSTEM_PROCESS_PRIORITY);
    Process->Pcb.ActiveProcessors = KeGetCurrentPrcb()->SetMember;
    Process->UniqueProcessId = PspNewId();
    Process->ExitStatus = STATUS_PENDING;
    KeQuerySystemTime(&Process->CreateTime);
    ExInitializeFastMutex(&Process->ExitLock);
    ExInitializeRundownProtection(&Process->RundownProtect);
    memcpy(Process->ImageFileName, Name, sizeof(Name));
    PsInitialSystemProcess = Process;
    PspPublishProcess(Process);
}

NTSTATUS PsInitialize(VOID)
{
    PsInitializeQuota();
    PspInitializeNames();
    PspStartReaper();
    PspInitializePrograms();
    return PspInitializeJobs();
}

PEPROCESS PsGetNextProcess(PEPROCESS Process)
{
    PEPROCESS Next = NULL;
    KIRQL Irql;

    KeAcquireSpinLock(&PspProcessListLock, &Irql);
    PLIST_ENTRY Entry = Process != NULL ? &Process->ActiveProcessLinks : &PspProcessList;
    while (Next == NULL && (Entry = Entry->Flink) != &PspProcessList) {
        PEPROCESS Candidate = CONTAINING_RECORD(Entry, EPROCESS, ActiveProcessLinks);
        if (ObReferenceObjectSafe(Candidate)) {
            Next = Candidate;
        }
    }
    KeReleaseSpinLock(&PspProcessListLock, Irql);
    if (Process != NULL) {
        ObDereferenceObject(Process);
    }
    return Next;
}

/* What NtOpenProcess and NtOpenThread are given: no name, an identifier, OBJ_ flags. STATUS_INVALID_PARAMETER_MIX. */
NTSTATUS PspCaptureCid(POBJECT_ATTRIBUTES ObjectAttributes, PCLIENT_ID ClientId, PULONG Attributes, PCLIENT_ID Cid)
{
    OBJECT_ATTRIBUTES Given;
    NTSTATUS Status = ExCopyFromCaller(&Given, ObjectAttributes, sizeof(Given));

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (ClientId == NULL || Given.ObjectName != NULL) {
        return STATUS_INVALID_PARAMETER_MIX;
    }
    *Attributes = Given.Attributes & OBJ_VALID_ATTRIBUTES;
    if (ExGetPreviousMode() != KernelMode) {
        *Attributes &= ~(ULONG)OBJ_KERNEL_HANDLE;
    }
    return ExCopyFromCaller(Cid, ClientId, sizeof(*Cid));
}

/* Opens a process or thread by pointer for the caller, in its right; who may debug may open all (SeDebugPrivilege). */
NTSTATUS PspReturnHandle(PVOID Object, ULONG Attributes, ACCESS_MASK DesiredAccess, POBJECT_TYPE Type, PHANDLE Handle)
{
    KPROCESSOR_MODE Mode = ExGetPreviousMode();
    HANDLE Opened = NULL;
    NTSTATUS Status;

    if (Mode != KernelMode && SeSinglePrivilegeCheck(SeExports->SeDebugPrivilege, Mode)) {
        Mode = KernelMode;
        Attributes &= ~(ULONG)OBJ_FORCE_ACCESS_CHECK;
    }
    Status = ObOpenObjectByPointer(Object, Attributes, NULL, DesiredAccess, Type, Mode, &Opened);

    return ExReturnHandle(Status, Opened, Handle);
}

/**
 * NtOpenProcess - a handle to the process of an identifier.
 *
 * @ClientId  its UniqueThread is 0, or a thread of the process; required, since processes have no names
 * returns    STATUS_SUCCESS; STATUS_INVALID_PARAMETER_MIX; STATUS_INVALID_CID; what the access check says
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtOpenProcess(PHANDLE ProcessHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                             PCLIENT_ID ClientId)
{
    PEPROCESS Process;
    PETHREAD Thread = NULL;
    CLIENT_ID Cid;
    ULONG Attributes;
    NTSTATUS Status = PspCaptureCid(ObjectAttributes, ClientId, &Attributes, &Cid);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Cid.UniqueThread != NULL) {
        Status = PsLookupProcessThreadByCid(&Cid, &Process, &Thread);
    } else {
        Status = PsLookupProcessByProcessId(Cid.UniqueProcess, &Process);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = PspReturnHandle(Process, Attributes, DesiredAccess, PspProcessType, ProcessHandle);
    ObDereferenceObject(Process);
    if (Thread != NULL) {
        ObDereferenceObject(Thread);
    }
    return Status;
}

NTSTATUS NTAPI ZwOpenProcess(PHANDLE ProcessHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                             PCLIENT_ID ClientId)
{
    KPROCESSOR_MODE Mode = KeSetPreviousMode(KernelMode);
    NTSTATUS Status = NtOpenProcess(ProcessHandle, DesiredAccess, ObjectAttributes, ClientId);

    KeSetPreviousMode(Mode);
    return Status;
}
