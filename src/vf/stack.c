/*
 * stack.c - how much of their stacks threads use.
 *
 * A new thread's stack is filled with a pattern; what is no longer pattern, from the lowest such word up, was used. It is looked at when the
 * thread ends and, for those that live, when the console asks. A thread that ends while it holds a lock is reported.
 *
 * Locks: the dispatcher's, to walk the threads. IRQL: <= DISPATCH_LEVEL.
 */
#include "../ke/kip.h"
#include "vfp.h"
#include <ntos/console.h>

#define STACK_FILL 0x5AFE5AFE5AFE5AFEULL

static volatile ULONG Deepest; /* bytes, of threads that have ended; a race loses a smaller figure */
static PVOID DeepestStart;

VOID VfFillStack(PVOID Limit, PVOID Used)
{
    for (ULONG64 *Word = Limit; Word < (ULONG64 *)Used; Word++) {
        *Word = STACK_FILL;
    }
}

ULONG VfStackUse(PVOID Limit, PVOID Top)
{
    const volatile ULONG64 *Word = Limit;

    while (Word < (ULONG64 *)Top && *Word == STACK_FILL) {
        Word++;
    }
    return (ULONG)((PUCHAR)Top - (PUCHAR)Word);
}

VOID VfThreadEnded(PETHREAD Thread)
{
    ULONG Use = VfStackUse(Thread->Tcb.StackLimit, Thread->Tcb.StackTop);
    CHAR Name[96];

    if (Use > Deepest) {
        Deepest = Use;
        DeepestStart = Thread->StartAddress;
    }
    for (ULONG Index = 0; Index < Thread->Locks.Count; Index++) {
        VF_HELD Held = Thread->Locks.Held[Index];
        if (Held.Lock != NULL && Held.Kind != VfMutant) { /* those are abandoned, which is a use of them */
            ULONG64 Site = (ULONG64)Held.Site;
            VfReport(VfReportThread, &Site, 1, NULL, 0, "a thread begun at %p has ended and holds %s (%p)",
                     Thread->StartAddress, VfClassName(Held.Class, Name, sizeof(Name)), Held.Lock);
        }
    }
}

VOID VfShowStacks(VOID)
{
    PLIST_ENTRY Head = &PsInitialSystemProcess->Pcb.ThreadListHead;
    ULONG Live = 0;
    PVOID Start = NULL;
    KIRQL Irql = KiAcquireDispatcherLock();

    for (PLIST_ENTRY Entry = Head->Flink; Entry != Head; Entry = Entry->Flink) {
        PETHREAD Thread = CONTAINING_RECORD(Entry, ETHREAD, Tcb.ThreadListEntry);
        ULONG Use = VfStackUse(Thread->Tcb.StackLimit, Thread->Tcb.StackTop);
        if (Use > Live) {
            Live = Use;
            Start = Thread->StartAddress;
        }
    }
    KiReleaseDispatcherLock(Irql);
    ConPrint("most stack used: %u of %u bytes, by a thread begun at %p; of ended ones %u, begun at %p\n",
             (unsigned)Live, KI_KERNEL_STACK_SIZE, Start, (unsigned)Deepest, DeepestStart);
}
