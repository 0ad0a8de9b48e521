/*
 * largemcb.c - map control blocks with a lock: the large ones, and the old ones whose numbers have 32 bits.
 *
 * Each routine is basemcb.c's under the map's guarded mutex. A shortage of memory is raised as STATUS_INSUFFICIENT_RESOURCES, after
 * the mutex was released. An old map is a large map; holes show as LBN 0xFFFFFFFF in it.
 *
 * Lock: the map's mutex, a leaf but for pool. IRQL: <= APC_LEVEL. Source: documentation of FsRtlInitializeLargeMcb and its kin.
 */
#include <ntos/ntos.h>

#define FSRTLP_MUTEX_TAG 'mcMF'

VOID NTAPI FsRtlInitializeLargeMcb(PLARGE_MCB Mcb, POOL_TYPE PoolType)
{
    Mcb->GuardedMutex = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Mcb->GuardedMutex), FSRTLP_MUTEX_TAG);
    if (Mcb->GuardedMutex == NULL) {
        ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
    }
    KeInitializeGuardedMutex(Mcb->GuardedMutex);
    VfNameLock(Mcb->GuardedMutex, "LARGE_MCB.GuardedMutex");
    FsRtlInitializeBaseMcbEx(&Mcb->BaseMcb, PoolType, 0); /* raising is done here, outside the mutex */
}

VOID NTAPI FsRtlUninitializeLargeMcb(PLARGE_MCB Mcb)
{
    if (Mcb->GuardedMutex != NULL) {
        ExFreePoolWithTag(Mcb->GuardedMutex, FSRTLP_MUTEX_TAG);
        Mcb->GuardedMutex = NULL;
        FsRtlUninitializeBaseMcb(&Mcb->BaseMcb);
    }
}

/* @SelfSynchronized  TRUE: the caller sees to it that nobody else uses the map */
VOID NTAPI FsRtlResetLargeMcb(PLARGE_MCB Mcb, BOOLEAN SelfSynchronized)
{
    if (!SelfSynchronized) {
        KeAcquireGuardedMutex(Mcb->GuardedMutex);
    }
    FsRtlResetBaseMcb(&Mcb->BaseMcb);
    if (!SelfSynchronized) {
        KeReleaseGuardedMutex(Mcb->GuardedMutex);
    }
}

VOID NTAPI FsRtlTruncateLargeMcb(PLARGE_MCB Mcb, LONGLONG Vbn)
{
    KeAcquireGuardedMutex(Mcb->GuardedMutex);
    FsRtlTruncateBaseMcb(&Mcb->BaseMcb, Vbn);
    KeReleaseGuardedMutex(Mcb->GuardedMutex);
}

/* FALSE: a part leads somewhere else already, or the numbers are none. Raises STATUS_INSUFFICIENT_RESOURCES. */
BOOLEAN NTAPI FsRtlAddLargeMcbEntry(PLARGE_MCB Mcb, LONGLONG Vbn, LONGLONG Lbn, LONGLONG SectorCount)
{
    NTSTATUS Status;

    KeAcquireGuardedMutex(Mcb->GuardedMutex);
    Status = FsRtlAddBaseMcbEntryEx(&Mcb->BaseMcb, Vbn, Lbn, SectorCount);
    KeReleaseGuardedMutex(Mcb->GuardedMutex);
    if (Status == STATUS_INSUFFICIENT_RESOURCES) {
        ExRaiseStatus(Status);
    }
    return NT_SUCCESS(Status);
}

/* Raises STATUS_INSUFFICIENT_RESOURCES. */
VOID NTAPI FsRtlRemoveLargeMcbEntry(PLARGE_MCB Mcb, LONGLONG Vbn, LONGLONG SectorCount)
{
    BOOLEAN Done;

    KeAcquireGuardedMutex(Mcb->GuardedMutex);
    Done = FsRtlRemoveBaseMcbEntry(&Mcb->BaseMcb, Vbn, SectorCount);
    KeReleaseGuardedMutex(Mcb->GuardedMutex);
    if (!Done && Vbn >= 0 && SectorCount > 0) {
        ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
    }
}

BOOLEAN NTAPI FsRtlLookupLargeMcbEntry(PLARGE_MCB Mcb, LONGLONG Vbn, PLONGLONG Lbn, PLONGLONG SectorCountFromLbn,
                                       PLONGLONG StartingLbn, PLONGLONG SectorCountFromStartingLbn, PULONG Index)
{
    BOOLEAN Found;

    KeAcquireGuardedMutex(Mcb->GuardedMutex);
    Found = FsRtlLookupBaseMcbEntry(&Mcb->BaseMcb, Vbn, Lbn, SectorCountFromLbn, StartingLbn,
                                    SectorCountFromStartingLbn, Index);
    KeReleaseGuardedMutex(Mcb->GuardedMutex);
    return Found;
}

BOOLEAN NTAPI FsRtlLookupLastLargeMcbEntryAndIndex(PLARGE_MCB OpaqueMcb, PLONGLONG LargeVbn, PLONGLONG LargeLbn,
                                                   PULONG Index)
{
    BOOLEAN Found;

    KeAcquireGuardedMutex(OpaqueMcb->GuardedMutex);
    Found = FsRtlLookupLastBaseMcbEntryAndIndex(&OpaqueMcb->BaseMcb, LargeVbn, LargeLbn, Index);
    KeReleaseGuardedMutex(OpaqueMcb->GuardedMutex);
    return Found;
}

BOOLEAN NTAPI FsRtlLookupLastLargeMcbEntry(PLARGE_MCB Mcb, PLONGLONG Vbn, PLONGLONG Lbn)
{
    ULONG Index;

    return FsRtlLookupLastLargeMcbEntryAndIndex(Mcb, Vbn, Lbn, &Index);
}

ULONG NTAPI FsRtlNumberOfRunsInLargeMcb(PLARGE_MCB Mcb)
{
    ULONG Runs;

    KeAcquireGuardedMutex(Mcb->GuardedMutex);
    Runs = FsRtlNumberOfRunsInBaseMcb(&Mcb->BaseMcb);
    KeReleaseGuardedMutex(Mcb->GuardedMutex);
    return Runs;
}

BOOLEAN NTAPI FsRtlGetNextLargeMcbEntry(PLARGE_MCB Mcb, ULONG RunIndex, PLONGLONG Vbn, PLONGLONG Lbn,
                                        PLONGLONG SectorCount)
{
    BOOLEAN Found;

    KeAcquireGuardedMutex(Mcb->GuardedMutex);
    Found = FsRtlGetNextBaseMcbEntry(&Mcb->BaseMcb, RunIndex, Vbn, Lbn, SectorCount);
    KeReleaseGuardedMutex(Mcb->GuardedMutex);
    return Found;
}

BOOLEAN NTAPI FsRtlSplitLargeMcb(PLARGE_MCB Mcb, LONGLONG Vbn, LONGLONG Amount)
{
    BOOLEAN Done;

    KeAcquireGuardedMutex(Mcb->GuardedMutex);
    Done = FsRtlSplitBaseMcb(&Mcb->BaseMcb, Vbn, Amount);
    KeReleaseGuardedMutex(Mcb->GuardedMutex);
    return Done;
}

/* ---- The old routines: 32 bits ---- */

static PLARGE_MCB FsRtlpLarge(PMCB Mcb)
{
    return &Mcb->DummyFieldThatSizesThisStructureCorrectly;
}

VOID NTAPI FsRtlInitializeMcb(PMCB Mcb, POOL_TYPE PoolType)
{
    FsRtlInitializeLargeMcb(FsRtlpLarge(Mcb), PoolType);
}

VOID NTAPI FsRtlUninitializeMcb(PMCB Mcb)
{
    FsRtlUninitializeLargeMcb(FsRtlpLarge(Mcb));
}

VOID NTAPI FsRtlTruncateMcb(PMCB Mcb, VBN Vbn)
{
    FsRtlTruncateLargeMcb(FsRtlpLarge(Mcb), Vbn);
}

BOOLEAN NTAPI FsRtlAddMcbEntry(PMCB Mcb, VBN Vbn, LBN Lbn, ULONG SectorCount)
{
    return FsRtlAddLargeMcbEntry(FsRtlpLarge(Mcb), Vbn, Lbn, SectorCount);
}

VOID NTAPI FsRtlRemoveMcbEntry(PMCB Mcb, VBN Vbn, ULONG SectorCount)
{
    FsRtlRemoveLargeMcbEntry(FsRtlpLarge(Mcb), Vbn, SectorCount);
}

BOOLEAN NTAPI FsRtlLookupMcbEntry(PMCB Mcb, VBN Vbn, PLBN Lbn, PULONG SectorCount, PULONG Index)
{
    LONGLONG LargeLbn, Count;

    if (!FsRtlLookupLargeMcbEntry(FsRtlpLarge(Mcb), Vbn, &LargeLbn, &Count, NULL, NULL, Index)) {
        return FALSE;
    }
    *Lbn = (LBN)LargeLbn;
    if (SectorCount != NULL) {
        *SectorCount = (ULONG)Count;
    }
    return TRUE;
}

BOOLEAN NTAPI FsRtlLookupLastMcbEntry(PMCB Mcb, PVBN Vbn, PLBN Lbn)
{
    LONGLONG LargeVbn, LargeLbn;

    if (!FsRtlLookupLastLargeMcbEntry(FsRtlpLarge(Mcb), &LargeVbn, &LargeLbn)) {
        return FALSE;
    }
    *Vbn = (VBN)LargeVbn;
    *Lbn = (LBN)LargeLbn;
    return TRUE;
}

ULONG NTAPI FsRtlNumberOfRunsInMcb(PMCB Mcb)
{
    return FsRtlNumberOfRunsInLargeMcb(FsRtlpLarge(Mcb));
}

BOOLEAN NTAPI FsRtlGetNextMcbEntry(PMCB Mcb, ULONG RunIndex, PVBN Vbn, PLBN Lbn, PULONG SectorCount)
{
    LONGLONG LargeVbn, LargeLbn, Count;

    if (!FsRtlGetNextLargeMcbEntry(FsRtlpLarge(Mcb), RunIndex, &LargeVbn, &LargeLbn, &Count)) {
        return FALSE;
    }
    *Vbn = (VBN)LargeVbn;
    *Lbn = (LBN)LargeLbn;
    *SectorCount = (ULONG)Count;
    return TRUE;
}
