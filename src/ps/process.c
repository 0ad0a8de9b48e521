/*
 * process.c - the system process, and what can be asked about processes.
 *
 * There is one process: the one that owns the kernel's address space and every system thread. It exists before the first thread and
 * for ever.
 *
 * Locks: none; constant after phase 0.
 */
#include "psp.h"

#include <ntos/init.h>

#define SYSTEM_PROCESS_PRIORITY 8

PEPROCESS PsInitialSystemProcess;
POBJECT_TYPE PspProcessType, PspThreadType;
POBJECT_TYPE *PsProcessType = &PspProcessType,
             *PsThreadType = &PspThreadType; /* the kernel's own view of the exports */

static KSPIN_LOCK PspProcessListLock;
static LIST_ENTRY PspProcessList = {&PspProcessList, &PspProcessList}; /* (PspProcessListLock) of ActiveProcessLinks */

/* Makes a process that is complete visible to all. */
static VOID PublishProcess(PEPROCESS Process)
{
    KIRQL Irql;

    KeAcquireSpinLock(&PspProcessListLock, &Irql);
    InsertTailList(&PspProcessList, &Process->ActiveProcessLinks);
    KeReleaseSpinLock(&PspProcessListLock, Irql);
    PspEnterCid(&Process->CidEntry, Process->UniqueProcessId, Process);
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
};

static const OBJECT_TYPE_INITIALIZER PspThreadTypeInfo = {
    .Name = L"Thread",
    .GenericMapping = {STANDARD_RIGHTS_READ | THREAD_GET_CONTEXT | PSP_THREAD_QUERY_INFORMATION,
                       STANDARD_RIGHTS_WRITE | THREAD_TERMINATE | THREAD_SUSPEND_RESUME | THREAD_SET_CONTEXT |
                           THREAD_SET_INFORMATION,
                       STANDARD_RIGHTS_EXECUTE | SYNCHRONIZE, THREAD_ALL_ACCESS},
    .ValidAccess = THREAD_ALL_ACCESS,
    .PoolTag = PSP_TAG_THREAD,
    .WaitOffset = FIELD_OFFSET(ETHREAD, Tcb.Header),
    .DeleteProcedure = PspDeleteThread,
};

VOID PspInitializePhase0(VOID)
{
    static const CHAR Name[] = "System";
    PEPROCESS Process = NULL;

    PspInitializeCids();
    if (!NT_SUCCESS(ObCreateObjectType(&PspProcessTypeInfo, &PspProcessType)) ||
        !NT_SUCCESS(ObCreateObjectType(&PspThreadTypeInfo, &PspThreadType)) ||
        !NT_SUCCESS(ObCreateObject(KernelMode, PspProcessType, NULL, KernelMode, NULL, sizeof(EPROCESS), 0, 0,
                                   (PVOID *)&Process))) {
        KeBugCheckEx(PROCESS1_INITIALIZATION_FAILED, 1, 0, 0, 0);
    }
    KeInitializeProcess(&Process->Pcb, __readcr3() & PTE_FRAME_MASK, SYSTEM_PROCESS_PRIORITY);
    Process->Pcb.ActiveProcessors = KeGetCurrentPrcb()->SetMember;
    Process->UniqueProcessId = PspNewId();
    memcpy(Process->ImageFileName, Name, sizeof(Name));
    PsInitialSystemProcess = Process;
    PublishProcess(Process);
}

NTSTATUS PsInitialize(VOID)
{
    PspStartReaper();
    return STATUS_SUCCESS;
}

/* The process whose address space the calling thread uses. IRQL: any. */
PEPROCESS NTAPI IoGetCurrentProcess(VOID)
{
    return (PEPROCESS)KeGetCurrentThread()->ApcState.Process;
}

HANDLE NTAPI PsGetCurrentProcessId(VOID)
{
    return PsGetCurrentThread()->Cid.UniqueProcess;
}

HANDLE NTAPI PsGetProcessId(PEPROCESS Process)
{
    return Process->UniqueProcessId;
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
