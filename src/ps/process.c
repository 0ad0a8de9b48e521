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

static EPROCESS PspSystemProcess;
PEPROCESS PsInitialSystemProcess;

static volatile LONG64 PspLastId;

HANDLE PspNewId(VOID)
{
    return (HANDLE)(ULONG_PTR)InterlockedAdd64(&PspLastId, 4);
}

VOID PspInitializePhase0(VOID)
{
    static const CHAR Name[] = "System";

    KeInitializeProcess(&PspSystemProcess.Pcb, __readcr3() & PTE_FRAME_MASK, SYSTEM_PROCESS_PRIORITY);
    PspSystemProcess.Pcb.ActiveProcessors = KeGetCurrentPrcb()->SetMember;
    PspSystemProcess.UniqueProcessId = PspNewId();
    memcpy(PspSystemProcess.ImageFileName, Name, sizeof(Name));
    PsInitialSystemProcess = &PspSystemProcess;
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
