/*
 * mutant.c - mutants, and mutexes as drivers know them.
 *
 * SignalState is 1 when free, 0 when held once, lower with each recursive acquisition. The owner is recorded and the mutant linked to it, so
 * that a thread which ends as the owner leaves it abandoned: free, with the next wait told so. A driver's mutex is a
 * mutant with ApcDisable 1: while it is held, the owner gets no normal kernel APCs. Acquisition is a wait (wait.c).
 *
 * Locks: dispatcher. IRQL: <= DISPATCH_LEVEL.
 *
 * Source: WDK documentation of KeInitializeMutex, KeReleaseMutex; NtCreateMutant semantics.
 */
#include "kip.h"

static VOID InitializeMutant(PRKMUTANT Mutant, UCHAR ApcDisable)
{
    memset(Mutant, 0, sizeof(*Mutant));
    Mutant->Header.Type = MutantObject;
    Mutant->Header.Size = sizeof(KMUTANT) / sizeof(LONG);
    Mutant->Header.SignalState = 1;
    InitializeListHead(&Mutant->Header.WaitListHead);
    Mutant->ApcDisable = ApcDisable;
}

/**
 * KeInitializeMutant - makes a mutant.
 *
 * @InitialOwner  TRUE: the calling thread holds it
 *
 * IRQL: <= DISPATCH_LEVEL.
 */
VOID NTAPI KeInitializeMutant(PRKMUTANT Mutant, BOOLEAN InitialOwner)
{
    InitializeMutant(Mutant, 0);
    if (InitialOwner) {
        KIRQL OldIrql = KiAcquireDispatcherLock();
        PKTHREAD Thread = KeGetCurrentThread();
        Mutant->Header.SignalState = 0;
        Mutant->OwnerThread = Thread;
        InsertHeadList(&Thread->MutantListHead, &Mutant->MutantListEntry);
        KiReleaseDispatcherLock(OldIrql);
        VfGotLock(Mutant, VfMutant, VfClassOf(Mutant, VfMutant, _ReturnAddress()), _ReturnAddress());
    }
}

/* Level is not used, as documented. */
VOID NTAPI KeInitializeMutex(PRKMUTEX Mutex, ULONG Level)
{
    InitializeMutant(Mutex, 1);
}

LONG NTAPI KeReadStateMutant(PRKMUTANT Mutant)
{
    return Mutant->Header.SignalState;
}

LONG NTAPI KeReadStateMutex(PRKMUTEX Mutex)
{
    return Mutex->Header.SignalState;
}

/* Makes a mutant nobody's. The owner's APCs are enabled again if the mutant had disabled them. */
static VOID FreeMutant(PRKMUTANT Mutant, KPRIORITY Increment)
{
    PKTHREAD Owner = Mutant->OwnerThread;

    RemoveEntryList(&Mutant->MutantListEntry);
    Mutant->OwnerThread = NULL;
    Mutant->Header.SignalState = 1;
    if (Mutant->ApcDisable != 0) {
        Owner->KernelApcDisable++;
    }
    if (!IsListEmpty(&Mutant->Header.WaitListHead)) {
        KiWaitTest(&Mutant->Header, Increment);
    }
}

/*
 * The status to raise instead of releasing a mutant, or STATUS_SUCCESS. A mutex that disables its owner's APCs is released by
 * its owner only: that count belongs to the owner alone, who changes it without a lock.
 */
static NTSTATUS CheckRelease(PRKMUTANT Mutant, BOOLEAN Abandoned)
{
    if (Mutant->OwnerThread == KeGetCurrentThread()) {
        return STATUS_SUCCESS;
    }
    if (Abandoned && Mutant->OwnerThread != NULL && Mutant->ApcDisable == 0) {
        return STATUS_SUCCESS;
    }
    return Mutant->Abandoned ? STATUS_ABANDONED : STATUS_MUTANT_NOT_OWNED;
}

/**
 * KeReleaseMutant - releases a mutant once.
 *
 * @Increment  priority boost for the next owner
 * @Abandoned  TRUE: frees it whole, whoever owns it (of a mutex: the caller only), and tells the next owner
 * @Wait       as KeSetEvent
 * returns     the previous state: 0 if it is free now
 *
 * IRQL: <= DISPATCH_LEVEL. Raises STATUS_MUTANT_NOT_OWNED, or STATUS_ABANDONED if its owner ended.
 */
LONG NTAPI KeReleaseMutant(PRKMUTANT Mutant, KPRIORITY Increment, BOOLEAN Abandoned, BOOLEAN Wait)
{
    if (Mutant->OwnerThread == KeGetCurrentThread() && !Abandoned) {
        VfReleaseLock(Mutant, VfMutant, _ReturnAddress());
    }
    KIRQL OldIrql = KiAcquireDispatcherLock();
    PKTHREAD Thread = KeGetCurrentThread();
    LONG OldState = Mutant->Header.SignalState;
    NTSTATUS Status = CheckRelease(Mutant, Abandoned);

    if (Status != STATUS_SUCCESS) {
        KiReleaseDispatcherLock(OldIrql);
        ExRaiseStatus(Status);
    }
    if (Abandoned) {
        Mutant->Abandoned = TRUE;
        VfAbandonLock((PETHREAD)Mutant->OwnerThread, Mutant); /* however often it was acquired */
    }
    if (Abandoned || OldState == 0) {
        FreeMutant(Mutant, Increment);
    } else {
        Mutant->Header.SignalState = OldState + 1;
    }
    if (Wait) {
        Thread->WaitNext = TRUE;
        Thread->WaitIrql = OldIrql;
        return OldState;
    }
    KiReleaseDispatcherLock(OldIrql);
    KiCheckForKernelApc(Thread);
    return OldState;
}

LONG NTAPI KeReleaseMutex(PRKMUTEX Mutex, BOOLEAN Wait)
{
    return KeReleaseMutant(Mutex, 1, FALSE, Wait);
}

VOID KiAbandonMutants(PKTHREAD Thread)
{
    while (!IsListEmpty(&Thread->MutantListHead)) {
        PKMUTANT Mutant = CONTAINING_RECORD(Thread->MutantListHead.Flink, KMUTANT, MutantListEntry);
        Mutant->Abandoned = TRUE;
        FreeMutant(Mutant, IO_NO_INCREMENT);
    }
}
