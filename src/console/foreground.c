/*
 * foreground.c - Ctrl-C: what it ends.
 *
 * A shell names a job as the foreground; the kernel's prompt names a process. When Ctrl-C arrives, a worker ends the foreground's processes with
 * STATUS_CONTROL_C_EXIT, except those that gave an event for it on an open file of theirs: the event is set, and they go on. Without a foreground the
 * events of all who gave one are set. Reads that wait end with STATUS_CANCELLED. Where there is neither a foreground nor an event, Ctrl-C is a byte like
 * others: a shell takes its event back while a line is edited.
 *
 * Lock: ConpInputLock for the foreground, the list of open files, and their events. Processes are asked to end without it, at PASSIVE_LEVEL.
 */
#include <ntos/ke.h>
#include <ntos/ob.h>
#include <ntos/program.h>
#include "consolep.h"

static PVOID ConpJob;                                   /* referenced; NULL: none */
static PEPROCESS ConpProcess;                           /* referenced; NULL: none */
static LIST_ENTRY ConpOpens = {&ConpOpens, &ConpOpens}; /* CON_OPEN.Link */
static ULONG ConpEvents;                                /* open files with an event */
static BOOLEAN ConpQueued;                              /* the worker has not begun yet */
static WORK_QUEUE_ITEM ConpWork;                        /* (ConpQueued) */

BOOLEAN ConpCanInterrupt(VOID)
{
    return ConpJob != NULL || ConpProcess != NULL || ConpEvents != 0;
}

VOID ConpSetForeground(PVOID Job, PEPROCESS Process)
{
    PVOID Old[2];
    KIRQL Irql;

    if (Job != NULL) {
        ObReferenceObject(Job);
    }
    if (Process != NULL) {
        ObReferenceObject(Process);
    }
    KeAcquireSpinLock(&ConpInputLock, &Irql);
    Old[0] = ConpJob;
    Old[1] = ConpProcess;
    ConpJob = Job;
    ConpProcess = Process;
    KeReleaseSpinLock(&ConpInputLock, Irql);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Old); Index++) {
        if (Old[Index] != NULL) {
            ObDereferenceObject(Old[Index]);
        }
    }
}

/* ---- Events ---- */

VOID ConpEnterOpen(PCON_OPEN Open)
{
    KIRQL Irql;

    KeAcquireSpinLock(&ConpInputLock, &Irql);
    InsertTailList(&ConpOpens, &Open->Link);
    KeReleaseSpinLock(&ConpInputLock, Irql);
}

VOID ConpSetCtrlEvent(PCON_OPEN Open, PKEVENT Event)
{
    PKEVENT Old;
    KIRQL Irql;

    KeAcquireSpinLock(&ConpInputLock, &Irql);
    Old = Open->Event;
    Open->Event = Event;
    Open->ProcessId = PsGetCurrentProcessId();
    ConpEvents += Event != NULL;
    ConpEvents -= Old != NULL;
    KeReleaseSpinLock(&ConpInputLock, Irql);
    if (Old != NULL) {
        ObDereferenceObject(Old);
    }
}

VOID ConpRemoveOpen(PCON_OPEN Open)
{
    KIRQL Irql;

    ConpSetCtrlEvent(Open, NULL);
    KeAcquireSpinLock(&ConpInputLock, &Irql);
    RemoveEntryList(&Open->Link);
    KeReleaseSpinLock(&ConpInputLock, Irql);
}

/* Sets the events of a process, or with NULL all of them. FALSE: there is none. An event is set under the lock: that keeps it. */
static BOOLEAN ConpSetEvents(HANDLE ProcessId)
{
    BOOLEAN Found = FALSE;
    KIRQL Irql;

    KeAcquireSpinLock(&ConpInputLock, &Irql);
    for (PLIST_ENTRY Link = ConpOpens.Flink; Link != &ConpOpens; Link = Link->Flink) {
        PCON_OPEN Open = CONTAINING_RECORD(Link, CON_OPEN, Link);

        if (Open->Event != NULL && (ProcessId == NULL || Open->ProcessId == ProcessId)) {
            KeSetEvent(Open->Event, IO_NO_INCREMENT, FALSE);
            Found = TRUE;
        }
    }
    KeReleaseSpinLock(&ConpInputLock, Irql);
    return Found;
}

/* ---- Ctrl-C ---- */

static VOID ConpEndProcesses(PVOID Job, PEPROCESS Only)
{
    for (PEPROCESS Process = PsGetNextProcess(NULL); Process != NULL; Process = PsGetNextProcess(Process)) {
        if ((Job != NULL ? Process->Job == Job : Process == Only) && !ConpSetEvents(Process->UniqueProcessId)) {
            PspTerminateProcess(Process, STATUS_CONTROL_C_EXIT);
        }
    }
}

static VOID NTAPI ConpWorkRoutine(PVOID Context)
{
    PEPROCESS Process;
    PVOID Job;
    KIRQL Irql;

    KeAcquireSpinLock(&ConpInputLock, &Irql);
    ConpQueued = FALSE;
    Job = ConpJob;
    Process = ConpProcess;
    if (Job != NULL) {
        ObReferenceObject(Job);
    }
    if (Process != NULL) {
        ObReferenceObject(Process);
    }
    KeReleaseSpinLock(&ConpInputLock, Irql);
    if (Job != NULL || Process != NULL) {
        ConpEndProcesses(Job, Process);
    } else {
        ConpSetEvents(NULL);
    }
    ConpCancelReads(NULL, TRUE);
    if (Job != NULL) {
        ObDereferenceObject(Job);
    }
    if (Process != NULL) {
        ObDereferenceObject(Process);
    }
}

VOID ConpInterruptForeground(VOID)
{
    BOOLEAN Queue;
    KIRQL Irql;

    ConPrint("^C\n");
    KeAcquireSpinLock(&ConpInputLock, &Irql);
    Queue = !ConpQueued;
    ConpQueued = TRUE;
    KeReleaseSpinLock(&ConpInputLock, Irql);
    if (Queue) {
        ExInitializeWorkItem(&ConpWork, ConpWorkRoutine, NULL);
        ExQueueWorkItem(&ConpWork, DelayedWorkQueue);
    }
}
