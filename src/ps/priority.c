/*
 * priority.c - what all threads of a process have in common in the eyes of the scheduler: priority class, processors, time used.
 *
 * A class is a base priority by documentation's table; each thread keeps its distance from it. Threads that are made later begin at the process's.
 *
 * Locks: none of its own. IRQL: <= APC_LEVEL.
 *
 * Source: Microsoft Learn, "Scheduling Priorities", SetPriorityClass.
 */
#include "psp.h"

#include <ntos/user.h>

#define REALTIME_BASE 24

/* Base priorities by PROCESS_PRIORITY_CLASS_*. */
static const SCHAR PspClassBase[] = {0, 4, 8, 13, REALTIME_BASE, 6, 10};

NTSTATUS PspCheckPriorityClass(UCHAR Class)
{
    if (Class == 0 || Class >= RTL_NUMBER_OF(PspClassBase)) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Class == PROCESS_PRIORITY_CLASS_REALTIME &&
        !SeSinglePrivilegeCheck(SeExports->SeIncreaseBasePriorityPrivilege, ExGetPreviousMode())) {
        return STATUS_PRIVILEGE_NOT_HELD;
    }
    return STATUS_SUCCESS;
}

/* Class: checked. */
VOID PspSetPriorityClass(PEPROCESS Process, UCHAR Class)
{
    SCHAR Before = Process->Pcb.BasePriority;

    Process->PriorityClass = Class;
    Process->Pcb.BasePriority = PspClassBase[Class];
    for (PETHREAD Thread = PsGetNextProcessThread(Process, NULL); Thread != NULL;
         Thread = PsGetNextProcessThread(Process, Thread)) {
        KeSetBasePriorityThread(&Thread->Tcb, Thread->Tcb.BasePriority - Before);
    }
}

/* Affinity: checked. */
VOID PspSetProcessAffinity(PEPROCESS Process, KAFFINITY Affinity)
{
    Process->Pcb.Affinity = Affinity;
    for (PETHREAD Thread = PsGetNextProcessThread(Process, NULL); Thread != NULL;
         Thread = PsGetNextProcessThread(Process, Thread)) {
        KeSetAffinityThread(&Thread->Tcb, Affinity);
    }
}

/* The parent's processors; its class only if that is a low one, as documented. */
VOID PspInheritPriority(PEPROCESS Parent, PEPROCESS Child)
{
    UCHAR Class = Parent->PriorityClass;

    Child->Pcb.Affinity = Parent->Pcb.Affinity;
    Child->PriorityClass = Class == PROCESS_PRIORITY_CLASS_IDLE || Class == PROCESS_PRIORITY_CLASS_BELOW_NORMAL
                               ? Class
                               : PROCESS_PRIORITY_CLASS_NORMAL;
    Child->Pcb.BasePriority = PspClassBase[Child->PriorityClass];
}

VOID PspAddTicks(PEPROCESS Process, PULONG64 Kernel, PULONG64 User)
{
    *Kernel += Process->Pcb.KernelTime;
    *User += Process->Pcb.UserTime;
    for (PETHREAD Thread = PsGetNextProcessThread(Process, NULL); Thread != NULL;
         Thread = PsGetNextProcessThread(Process, Thread)) {
        if (!Thread->Terminated) { /* else they are among the process's already */
            *Kernel += Thread->Tcb.KernelTime;
            *User += Thread->Tcb.UserTime;
        }
    }
}
