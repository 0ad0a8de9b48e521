/*
 * held.c - the locks that each processor and each thread holds, and what an acquisition must obey.
 *
 * Spin locks are the processor's (the dispatcher lock passes from thread to thread with it), locks one may wait under
 * are the thread's. An acquisition is ordered after every lock that its context holds: in a device interrupt only what the
 * interrupt took itself, in a DPC none of the thread that it interrupted.
 *
 * The lists are changed without a lock: an interrupt finds what was there, adds above it and takes its own away before it
 * ends. So Count is raised before an entry is filled, and an entry is emptied before Count falls.
 *
 * A class that an interrupt takes must never be held at an IRQL that lets this interrupt in: the lowest level held and
 * the highest interrupt that takes it are kept by class.
 *
 * IRQL: any. Never allocates, waits or takes a lock that it records itself.
 */
#include "vfp.h"

VF_PROCESSOR VfProcessors[KI_MAXIMUM_PROCESSORS];
BOOLEAN VfActive;

PVF_PROCESSOR VfEnter(VOID)
{
    PKPRCB Prcb;

    if (!VfActive) {
        return NULL;
    }
    Prcb = KeGetCurrentPrcb();
    if (Prcb->CurrentThread == NULL || VfProcessors[Prcb->Number].Busy != 0) {
        return NULL;
    }
    return &VfProcessors[Prcb->Number];
}

static BOOLEAN IsSpinLock(VF_KIND Kind)
{
    return Kind <= VfListSpinLock;
}

static PVF_THREAD CurrentThread(VOID)
{
    return &PsGetCurrentThread()->Locks;
}

/* ---- The lists ---- */

static PVF_HELD Find(PVF_HELD Held, ULONG Count, PVOID Lock)
{
    while (Count != 0) {
        Count--;
        if (Held[Count].Lock == Lock) {
            return &Held[Count];
        }
    }
    return NULL;
}

static VOID Push(PVF_HELD Held, PULONG Count, ULONG Room, PVOID Lock, VF_KIND Kind, VF_CLASS_NUMBER Class, PVOID Site,
                 ULONG Since)
{
    ULONG Index = *Count;

    if (Index == Room) {
        return; /* not recorded; its release finds nothing */
    }
    *(volatile ULONG *)Count = Index + 1;
    _ReadWriteBarrier();
    Held[Index].Site = Site;
    Held[Index].Class = Class;
    Held[Index].Kind = (UCHAR)Kind;
    Held[Index].Irql = (__readeflags() & EFLAGS_IF) != 0 ? KeGetCurrentIrql() : HIGH_LEVEL;
    Held[Index].Since = Since;
    _ReadWriteBarrier();
    Held[Index].Lock = Lock;
}

static VOID Drop(PVF_HELD Held, PULONG Count, PVF_HELD Entry)
{
    Entry->Lock = NULL;
    _ReadWriteBarrier();
    while (*Count != 0 && Held[*Count - 1].Lock == NULL) {
        *(volatile ULONG *)Count = *Count - 1;
    }
}

/* ---- Rules ---- */

static VOID NoteHeld(const VF_HELD *Held, ULONG From, ULONG Count, VF_CLASS_NUMBER Class)
{
    for (ULONG Index = From; Index < Count; Index++) {
        if (Held[Index].Lock != NULL && Held[Index].Class != 0) {
            VfNoteOrder(Held[Index].Class, Class);
        }
    }
}

/* Lowest level held against highest interrupt that takes it. */
static VOID CheckInterruptUse(PVF_PROCESSOR Processor, VF_CLASS_NUMBER Number, KIRQL Irql)
{
    PVF_CLASS Class = &VfClasses[Number];
    UCHAR Interrupt = (UCHAR)(Processor->InterruptVector >> 4);
    BOOLEAN Changed = FALSE;
    CHAR Name[96];

    if (Interrupt > Class->Highest) {
        Class->Highest = Interrupt;
        Changed = TRUE;
    }
    if (Irql < Class->Lowest) {
        Class->Lowest = Irql;
        Changed = TRUE;
    }
    /* Device locks of one class have levels of their own, each that of its interrupt or above. */
    if (Changed && Class->Lowest <= DISPATCH_LEVEL && Class->Highest > Class->Lowest) {
        VfReport(VfReportIrql, NULL, 0, NULL, 0, "%s is held at IRQL %u, and an interrupt of IRQL %u takes it",
                 VfClassName(Number, Name, sizeof(Name)), Class->Lowest, Class->Highest);
    }
}

/*
 * TRUE: the caller stays on this processor, so that the processor's list is its own. Below DISPATCH_LEVEL it holds no spin
 * lock, and what it would read there may belong to a processor that it has just left.
 */
static BOOLEAN IsPinned(VOID)
{
    return KeGetCurrentIrql() >= DISPATCH_LEVEL || (__readeflags() & EFLAGS_IF) == 0;
}

VF_CLASS_NUMBER VfWantLock(PVOID Lock, VF_KIND Kind, PVOID Site)
{
    PVF_PROCESSOR Processor = VfEnter();
    VF_CLASS_NUMBER Class;

    if (Processor == NULL) {
        return 0;
    }
    if (!IsSpinLock(Kind)) {
        if (KeGetCurrentIrql() > APC_LEVEL) {
            VfReport(VfReportIrql, NULL, 0, NULL, 0, "a lock that is waited for (%p) is taken at IRQL %u", Lock,
                     KeGetCurrentIrql());
        }
        if (Find(CurrentThread()->Held, CurrentThread()->Count, Lock) != NULL) {
            return VfClassOf(Lock, Kind, Site); /* recursive: of no order */
        }
    }
    Class = VfClassOf(Lock, Kind, Site);
    if (Class == 0) {
        return 0;
    }
    if (IsPinned()) {
        NoteHeld(Processor->Held, Processor->Base, Processor->Count, Class);
    }
    if (!IsPinned() || Processor->Interrupts == 0) {
        NoteHeld(CurrentThread()->Held, 0, CurrentThread()->Count, Class);
    }
    return Class;
}

VOID VfGotLock(PVOID Lock, VF_KIND Kind, VF_CLASS_NUMBER Class, PVOID Site)
{
    PVF_PROCESSOR Processor = VfEnter();
    PVF_HELD Held;

    if (Processor == NULL || Class == 0) {
        return;
    }
    VfClasses[Class].Taken++;
    if (IsSpinLock(Kind)) {
        KIRQL Irql = (__readeflags() & EFLAGS_IF) != 0 ? KeGetCurrentIrql() : HIGH_LEVEL;
        if (Irql < VfClasses[Class].Lowest || Processor->InterruptVector >> 4 > VfClasses[Class].Highest) {
            CheckInterruptUse(Processor, Class, Irql);
        }
        Push(Processor->Held, &Processor->Count, VF_PROCESSOR_LOCKS, Lock, Kind, Class, Site, Processor->Ticks);
        return;
    }
    PVF_THREAD Thread = CurrentThread();
    Held = Find(Thread->Held, Thread->Count, Lock);
    if (Held != NULL) {
        Held->Since++;
        return;
    }
    Push(Thread->Held, &Thread->Count, VF_THREAD_LOCKS, Lock, Kind, Class, Site, 0);
}

static VOID ReleaseSpinLock(PVF_PROCESSOR Processor, PVOID Lock)
{
    PVF_HELD Held = Find(Processor->Held, Processor->Count, Lock);
    KIRQL Irql;

    if (Held == NULL) {
        return; /* taken before the verifier ran */
    }
    Irql = (__readeflags() & EFLAGS_IF) != 0 ? KeGetCurrentIrql() : HIGH_LEVEL;
    ULONG Ticks = Processor->Ticks - Held->Since;
    if (Ticks > Processor->HeldTicksMaximum) {
        Processor->HeldTicksMaximum = Ticks;
    }
    UCHAR Taken = Held->Irql;
    Drop(Processor->Held, &Processor->Count, Held);
    if (Irql < DISPATCH_LEVEL || (Irql < Taken && Taken != HIGH_LEVEL)) {
        VfReport(VfReportIrql, NULL, 0, NULL, 0, "a spin lock (%p) taken at IRQL %u is released at IRQL %u", Lock,
                 Taken, Irql);
    }
}

VOID VfReleaseLock(PVOID Lock, VF_KIND Kind, PVOID Site)
{
    PVF_PROCESSOR Processor = VfEnter();

    if (Processor == NULL) {
        return;
    }
    if (IsSpinLock(Kind)) {
        ReleaseSpinLock(Processor, Lock);
        return;
    }
    PVF_THREAD Thread = CurrentThread();
    PVF_HELD Held = Find(Thread->Held, Thread->Count, Lock);
    if (Held == NULL) {
        return;
    }
    if (Held->Since != 0) {
        Held->Since--;
        return;
    }
    if (Kind == VfFastMutex && KeGetCurrentIrql() < Held->Irql) {
        VfReport(VfReportIrql, NULL, 0, NULL, 0, "a fast mutex (%p) taken at IRQL %u is released at IRQL %u", Lock,
                 Held->Irql, KeGetCurrentIrql());
    }
    Drop(Thread->Held, &Thread->Count, Held);
}

VOID VfReleaseLockOfThread(PETHREAD Thread, PVOID Lock)
{
    PVF_HELD Held = Find(Thread->Locks.Held, Thread->Locks.Count, Lock);

    if (Held == NULL) {
        return;
    }
    if (Held->Since != 0) {
        Held->Since--;
    } else {
        Held->Lock = NULL; /* the thread itself lowers its Count some time */
    }
}

VOID VfAbandonLock(PETHREAD Thread, PVOID Lock)
{
    PVF_HELD Held = VfEnter() == NULL ? NULL : Find(Thread->Locks.Held, Thread->Locks.Count, Lock);

    if (Held != NULL) {
        Held->Since = 0;
        Held->Lock = NULL;
    }
}

VOID VfCheckIrql(KIRQL Maximum, PCSTR Routine, PVOID Site)
{
    if (VfEnter() != NULL && KeGetCurrentIrql() > Maximum) {
        VfReport(VfReportIrql, NULL, 0, NULL, 0, "%s called at IRQL %u, highest allowed %u", Routine,
                 KeGetCurrentIrql(), Maximum);
    }
}

BOOLEAN VfHoldsPrintLock(PVF_PROCESSOR Processor)
{
    for (ULONG Index = 0; Index < Processor->Count; Index++) {
        if (Processor->Held[Index].Lock != NULL && VfClasses[Processor->Held[Index].Class].Name != NULL &&
            VfSameText(VfClasses[Processor->Held[Index].Class].Name, "KiPrintLock")) {
            return TRUE;
        }
    }
    return FALSE;
}
