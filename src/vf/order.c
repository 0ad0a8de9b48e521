/*
 * order.c - the order in which locks are taken while others are held, and cycles in it.
 *
 * A bit says whether a lock of one class was ever taken under one of another: that is all an acquisition looks at once
 * the pair is known. A new pair is entered with the stack of this first time; if the later class already leads back to the
 * earlier one, two threads may wait for each other for ever, and a report shows both stacks. Two locks of one class held at once
 * are a pair too, but no cycle: their owner has a rule, or their row in docs/locking.md says that they nest.
 *
 * Console command: `locks order` prints the classes and the pairs, for test/test_locking.py.
 *
 * Locks: the verifier's own, for new pairs. IRQL: any.
 */
#include "vfp.h"
#include <ntos/console.h>
#include <ntos/rtl.h>

#define EDGES 2048 /* pairs; the whole of the suites makes about 400 */

typedef struct _VF_EDGE {
    VF_CLASS_NUMBER From, To;
    VF_STACK Stack;
} VF_EDGE, *PVF_EDGE;

static volatile LONG Seen[VF_CLASSES][VF_CLASSES / 32]; /* bit To of row From */
static VF_EDGE Edges[EDGES];                            /* (tables' lock) written once */
static volatile ULONG EdgeCount;
static ULONG EdgesRefused;
static volatile LONG TableLock;

BOOLEAN VfLockTables(VOID)
{
    BOOLEAN Enabled = KeDisableInterrupts();

    while (InterlockedExchange(&TableLock, 1) != 0) {
        while (TableLock != 0) {
            YieldProcessor();
        }
    }
    return Enabled;
}

VOID VfUnlockTables(BOOLEAN Enabled)
{
    InterlockedExchange(&TableLock, 0);
    KeRestoreInterrupts(Enabled);
}

static BOOLEAN IsSeen(ULONG From, ULONG To)
{
    return (Seen[From][To / 32] & (1 << To % 32)) != 0;
}

/*
 * The first step of a way from one class to another, 0: there is none. Breadth first, over the bits. Under the tables' lock.
 */
static VF_CLASS_NUMBER WayTo(VF_CLASS_NUMBER From, VF_CLASS_NUMBER To)
{
    static VF_CLASS_NUMBER Queue[VF_CLASSES], First[VF_CLASSES];
    ULONG Head = 0, Tail = 0;

    memset(First, 0, sizeof(First));
    Queue[Tail++] = From;
    while (Head != Tail) {
        VF_CLASS_NUMBER Class = Queue[Head++];
        for (ULONG Next = 1; Next < VfClassCount; Next++) {
            if (!IsSeen(Class, Next) || First[Next] != 0 || Next == From) {
                continue;
            }
            First[Next] = Class == From ? (VF_CLASS_NUMBER)Next : First[Class];
            if (Next == To) {
                return First[Next];
            }
            Queue[Tail++] = (VF_CLASS_NUMBER)Next;
        }
    }
    return 0;
}

static PVF_EDGE FindEdge(VF_CLASS_NUMBER From, VF_CLASS_NUMBER To)
{
    for (ULONG Index = 0; Index < EdgeCount; Index++) {
        if (Edges[Index].From == From && Edges[Index].To == To) {
            return &Edges[Index];
        }
    }
    return NULL;
}

static VOID ReportCycle(VF_CLASS_NUMBER From, VF_CLASS_NUMBER To, VF_CLASS_NUMBER Next, const VF_STACK *Stack)
{
    PVF_EDGE Other = FindEdge(To, Next);
    CHAR FromName[96], ToName[96], NextName[96];

    VfClassName(From, FromName, sizeof(FromName));
    VfClassName(To, ToName, sizeof(ToName));
    VfClassName(Next, NextName, sizeof(NextName));
    VfReport(VfReportOrder, Stack->Address, Stack->Depth, Other != NULL ? Other->Stack.Address : NULL,
             Other != NULL ? Other->Stack.Depth : 0, "%s is taken under %s, but was held over %s%s", ToName, FromName,
             NextName, Next == From ? "" : ", which leads back");
}

/* A pair that was not known. */
static DECLSPEC_NOINLINE VOID NewEdge(VF_CLASS_NUMBER From, VF_CLASS_NUMBER To)
{
    PVF_PROCESSOR Processor = VfEnter();
    VF_CLASS_NUMBER Next = 0;
    VF_STACK Stack;

    if (Processor == NULL) {
        return;
    }
    BOOLEAN Interrupts = KeDisableInterrupts();
    Processor = &VfProcessors[KeGetCurrentPrcb()->Number];
    Processor->Busy++;
    VfCaptureStack(NULL, &Stack);
    BOOLEAN Enabled = VfLockTables();
    BOOLEAN New = !IsSeen(From, To);
    if (New) {
        if (From != To) {
            Next = WayTo(To, From);
        }
        Seen[From][To / 32] |= 1 << To % 32;
        if (EdgeCount < EDGES) {
            Edges[EdgeCount] = (VF_EDGE){From, To, Stack};
            EdgeCount++;
        } else {
            EdgesRefused++;
        }
    }
    VfUnlockTables(Enabled);
    Processor->Busy--;
    KeRestoreInterrupts(Interrupts);
    if (Next != 0) {
        ReportCycle(From, To, Next, &Stack);
    }
}

VOID VfNoteOrder(VF_CLASS_NUMBER From, VF_CLASS_NUMBER To)
{
    if (!IsSeen(From, To)) {
        NewEdge(From, To);
    }
}

static VOID ForgetPair(VF_CLASS_NUMBER From, VF_CLASS_NUMBER To)
{
    PVF_EDGE Edge = FindEdge(From, To);

    Seen[From][To / 32] &= ~(1 << To % 32);
    if (Edge != NULL) {
        Edge->From = Edge->To = 0;
    }
}

VOID VfForgetOrder(PCSTR One, PCSTR Other)
{
    BOOLEAN Enabled = VfLockTables();
    VF_CLASS_NUMBER First = VfClassOfName(One), Second = VfClassOfName(Other);

    ForgetPair(First, Second);
    ForgetPair(Second, First);
    VfClasses[First].Lowest = 0xFF;
    VfClasses[First].Highest = 0;
    VfUnlockTables(Enabled);
}

/* ---- Console ---- */

static VOID ShowOrder(VOID)
{
    CHAR From[96], To[96];

    for (ULONG Number = 1; Number < VfClassCount; Number++) {
        PVF_CLASS Class = &VfClasses[Number];
        ConPrint("class %s taken %lld irql %u\n", VfClassName((VF_CLASS_NUMBER)Number, From, sizeof(From)),
                 Class->Taken, Class->Lowest == 0xFF ? 0 : Class->Lowest);
    }
    for (ULONG Index = 0; Index < EdgeCount; Index++) {
        if (Edges[Index].From != 0) {
            ConPrint("order %s -> %s\n", VfClassName(Edges[Index].From, From, sizeof(From)),
                     VfClassName(Edges[Index].To, To, sizeof(To)));
        }
    }
    if (EdgesRefused != 0 || VfClassCount == VF_CLASSES) {
        ConPrint("locks: a table is full: %u pairs were not kept\n", (unsigned)EdgesRefused);
    }
}

/* The stack of every pair whose first or second class has the name. */
static VOID ShowPairs(PCSTR Name)
{
    CHAR From[96], To[96];

    for (ULONG Index = 0; Index < EdgeCount; Index++) {
        VfClassName(Edges[Index].From, From, sizeof(From));
        VfClassName(Edges[Index].To, To, sizeof(To));
        if (VfSameText(From, Name) || VfSameText(To, Name)) {
            ConPrint("order %s -> %s\n", From, To);
            VfPrintAddresses(Edges[Index].Stack.Address, Edges[Index].Stack.Depth);
        }
    }
}

static VOID ShowHeld(const VF_HELD *Held, ULONG Count)
{
    CHAR Name[96];

    for (ULONG Index = 0; Index < Count; Index++) {
        VF_HELD Copy = Held[Index];
        if (Copy.Lock != NULL) {
            ConPrint("  %p %s, IRQL %u, taken at %p\n", Copy.Lock, VfClassName(Copy.Class, Name, sizeof(Name)),
                     Copy.Irql, Copy.Site);
        }
    }
}

static VOID LocksCommand(ULONG ArgumentCount, PCSTR *Arguments)
{
    if (ArgumentCount == 2 && VfSameText(Arguments[1], "order")) {
        ShowOrder();
    } else if (ArgumentCount == 3 && VfSameText(Arguments[1], "stacks")) {
        ShowPairs(Arguments[2]);
    } else if (ArgumentCount == 2 && VfSameText(Arguments[1], "held")) {
        for (ULONG Number = 0; Number < KeNumberOfActiveProcessors; Number++) {
            ConPrint("processor %u:\n", (unsigned)Number);
            ShowHeld(VfProcessors[Number].Held, VfProcessors[Number].Count);
        }
    } else {
        ConPrint("usage: locks order | held | stacks CLASS\n");
    }
}
CONSOLE_COMMAND(LocksConsole, "locks", "order|held|stacks CLASS", "lock classes, the order observed, first stacks",
                LocksCommand);
