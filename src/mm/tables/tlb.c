/*
 * tlb.c - the one place where translations are taken away.
 *
 * A PTE that comes to allow less is written by MiDowngradePte, and MiFlushTlb then does what its rule demands:
 *   (a) user-reachable: gone from every processor that has the address space loaded before the frame leaves Active;
 *   (b) system space: gone from this processor; others may keep it until the frame changes owner, which the epoch
 *       in the frame's u4 tells (0: none; 1-3 in turn), or until the address range is used again, which stamps tell;
 *   (c) Dirty cleared, Write or Execute removed: like (a), never deferred.
 * A whole flush of all processors, global entries included, moves the epoch and the stamp on. Epochs wrap after three
 * flushes; a wrap costs one flush too many and never one too few, since a tag is compared for equality only.
 *
 * Processors that have left an address space may keep translations of it under its identifier; they learn of rule (a) when they load
 * it again (pcid.c).
 *
 * A group of up to MI_TLB_BATCH addresses is one request; a larger one drops everything. The caller waits for the targets' answers.
 * One shootdown at a time (MiTlbLock, IRQL <= DISPATCH_LEVEL); processors that spin for it take the IPI. The lock is inside
 * every other lock. Processors other than the first exist once ke sets MmTlbSendIpi; each calls MmTlbJoin as it joins.
 */
#include "../mip.h"
#include <ntos/ps.h>

VOID (*MmTlbSendIpi)(KAFFINITY Targets); /* (c) once a second processor runs */

static volatile LONG MiTlbLock;
VF_NAME_LOCK(MiTlbLock, "MiTlbLock");
static volatile LONG64 MiFlushesBegun, MiFlushesEnded; /* whole flushes */
static volatile LONG MiTlbEpoch = 1;

static struct {            /* the shootdown in flight (MiTlbLock) */
    volatile LONG Pending; /* targets that have not yet answered */
    volatile BOOLEAN All;
    ULONG Count;
    struct _KPROCESS *Process; /* whose addresses they are; NULL: the kernel's */
    MI_GENERATIONS Moved;
    PVOID Address[MI_TLB_BATCH];
} MiTlbRequest;

/* Drops every translation of this processor, global ones included: INVPCID, or a change of CR4.PGE. SDM 3A 4.10.4.1. */
static VOID MiFlushAllHere(VOID)
{
    ULONG64 Cr4 = __readcr4();

    if (MiInvalidateEverything()) {
        MiProcessor()->TlbAll++;
        return;
    }
    if (Cr4 & CR4_PGE) {
        __writecr4(Cr4 & ~CR4_PGE);
        __writecr4(Cr4);
    } else {
        __writecr3(__readcr3());
    }
    MiProcessor()->TlbAll++;
}

static VOID MiFlushHere(ULONG Count, PVOID const *Address)
{
    for (ULONG Index = 0; Index < Count; Index++) {
        KeInvalidatePage(Address[Index]);
    }
    MiProcessor()->TlbSingles += Count;
}

/* The same of one process: what is loaded, without what is global. */
static VOID MiFlushSpaceHere(VOID)
{
    __writecr3(__readcr3());
    MiProcessor()->TlbSpaces++;
}

VOID MmTlbJoin(VOID)
{
    MiEnablePcid();
    MiFlushAllHere();
}

/* One processor's part of a shootdown. */
static VOID MiDropHere(struct _KPROCESS *Process, const MI_GENERATIONS *Moved, ULONG Count, PVOID const *Address,
                       BOOLEAN All)
{
    if (!All) {
        MiFlushHere(Count, Address);
    } else if (Process != NULL) {
        MiFlushSpaceHere();
    } else {
        MiFlushAllHere();
    }
    MiFollowGeneration(Process, Moved);
}

VOID MmTlbIpi(VOID)
{
    MiDropHere(MiTlbRequest.Process, &MiTlbRequest.Moved, MiTlbRequest.Count, MiTlbRequest.Address, MiTlbRequest.All);
    MiProcessor()->TlbIpisTaken++;
    InterlockedDecrement(&MiTlbRequest.Pending);
}

/* The other processors that may hold translations: of a process, those that have its address space loaded. */
static KAFFINITY MiTlbTargets(const struct _KPROCESS *Process)
{
    KAFFINITY Targets = MmTlbSendIpi != NULL ? KeQueryActiveProcessors() & ~KeGetCurrentPrcb()->SetMember : 0;

    /*
     * Read after the PTEs were written (an interlocked operation each): a processor that enters the set later loads CR3 later
     * still, and one that has left it has loaded another.
     */
    return Process != NULL ? Targets & Process->ActiveProcessors : Targets;
}

/* Tells the targets and does the same here; returns once all have. */
static VOID MiShootDown(struct _KPROCESS *Process, ULONG Count, PVOID const *Address, BOOLEAN All)
{
    MI_GENERATIONS Moved = MiMoveGeneration(Process); /* before the targets are looked at: see pcid.c */
    KAFFINITY Targets = MiTlbTargets(Process);

    if (Targets != 0) {
        LONG Others = (LONG)RtlNumberOfSetBitsUlongPtr(Targets);

        MiTlbRequest.All = All;
        MiTlbRequest.Count = Count;
        MiTlbRequest.Process = Process;
        MiTlbRequest.Moved = Moved;
        for (ULONG Index = 0; Index < Count; Index++) {
            MiTlbRequest.Address[Index] = Address[Index];
        }
        InterlockedExchange(&MiTlbRequest.Pending, Others);
        MmTlbSendIpi(Targets);
        MiProcessor()->TlbShootdowns++;
        MiProcessor()->TlbIpisSent += (ULONG64)Others;
    }
    MiDropHere(Process, &Moved, Count, Address, All);
    VfStopWatch();
    while (Targets != 0 && MiTlbRequest.Pending != 0) {
        YieldProcessor();
    }
    VfResumeWatch();
}

static KIRQL MiAcquireTlbLock(VOID)
{
    KIRQL Irql = KeGetCurrentIrql();

    if (Irql < DISPATCH_LEVEL) {
        KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    }
    VF_CLASS_NUMBER Class = VfWantLock((PVOID)&MiTlbLock, VfSpinLock, _ReturnAddress());
    VfStopWatch();
    while (InterlockedExchange(&MiTlbLock, 1) != 0) {
        while (MiTlbLock != 0) {
            YieldProcessor();
        }
    }
    VfResumeWatch();
    VfGotLock((PVOID)&MiTlbLock, VfSpinLock, Class, _ReturnAddress());
    return Irql;
}

static VOID MiReleaseTlbLock(KIRQL Irql)
{
    VfReleaseLock((PVOID)&MiTlbLock, VfSpinLock, _ReturnAddress());
    InterlockedExchange(&MiTlbLock, 0);
    if (Irql < DISPATCH_LEVEL) {
        KeLowerIrql(Irql);
    }
}

static VOID MiFlushAllLocked(VOID)
{
    /* both move before the first processor flushes: a tag or stamp taken later does not count this flush as its own */
    InterlockedIncrement64(&MiFlushesBegun);
    InterlockedExchange(&MiTlbEpoch, MiTlbEpoch == 3 ? 1 : MiTlbEpoch + 1);
    MiShootDown(NULL, 0, NULL, TRUE);
    InterlockedExchange64(&MiFlushesEnded, MiFlushesBegun);
}

VOID MiFlushAllTlb(VOID)
{
    KIRQL Irql = MiAcquireTlbLock();

    MiFlushAllLocked();
    MiReleaseTlbLock(Irql);
}

/*
 * A flush that began before the stamp was taken may have passed a processor before the PTE was cleared: only one that
 * began later counts.
 */
ULONG64 MiTlbStamp(VOID)
{
    return (ULONG64)MiFlushesBegun;
}

BOOLEAN MiTlbStampPassed(ULONG64 Stamp)
{
    return (ULONG64)MiFlushesEnded > Stamp;
}

VOID MiAddTlbAddress(PMI_TLB_FLUSH Flush, PVOID Address)
{
    if (Flush->Count < MI_TLB_BATCH) {
        Flush->Address[Flush->Count] = Address;
    }
    Flush->Count++;
}

MMPTE MiDowngradePte(PMI_TLB_FLUSH Flush, PMMPTE Pte, PVOID Address, MMPTE New)
{
    MMPTE Old;

    Old.Long = (ULONG64)InterlockedExchange64((volatile LONG64 *)&Pte->Long, (LONG64)New.Long);
    if (Old.Hard.Valid) {
        MiAddTlbAddress(Flush, Address);
    }
    return Old;
}

/* Rule (b): this processor only. */
static ULONG MiFlushLazily(PMI_TLB_FLUSH Flush, BOOLEAN All)
{
    /* read after the PTEs were cleared: the first flush that moves it on drops these translations */
    ULONG Epoch = KeNumberOfActiveProcessors > 1 ? (ULONG)MiTlbEpoch : 0;

    if (All) {
        MiFlushAllHere();
    } else {
        MiFlushHere(Flush->Count, Flush->Address);
    }
    return Epoch;
}

ULONG MiFlushTlb(PMI_TLB_FLUSH Flush)
{
    BOOLEAN All = Flush->Count > MI_TLB_BATCH;
    ULONG Epoch = 0;
    KIRQL Irql = KfRaiseIrql(max(KeGetCurrentIrql(), DISPATCH_LEVEL));

    if (Flush->Count != 0 && Flush->Rule == MiTlbSystemLazy) {
        Epoch = MiFlushLazily(Flush, All);
    } else if (Flush->Count != 0) {
        MiAcquireTlbLock();
        if (All && Flush->Process == NULL) {
            MiFlushAllLocked(); /* everybody drops everything: that counts as a whole flush */
        } else {
            MiShootDown(Flush->Process, All ? 0 : Flush->Count, Flush->Address, All);
        }
        MiReleaseTlbLock(DISPATCH_LEVEL);
    }
    KeLowerIrql(Irql);
    Flush->Count = 0;
    return Epoch;
}

VOID MiTagFrame(PMMPFN Pfn, ULONG Epoch)
{
    if (Epoch != 0) {
        MiPfnChange(Pfn, MI_U4_EPOCH, (ULONG64)Epoch << MI_U4_EPOCH_SHIFT);
    }
}

VOID MiForgetStaleTranslations(PMMPFN Pfn)
{
    ULONG Epoch = MiPfnEpoch(Pfn);

    if (Epoch == 0) {
        return;
    }
    if (Epoch == (ULONG)MiTlbEpoch || MiFlushesBegun != MiFlushesEnded) {
        KIRQL Irql = MiAcquireTlbLock(); /* at least waits for the flush in flight */

        if (Epoch == (ULONG)MiTlbEpoch) {
            MiFlushAllLocked();
        }
        MiReleaseTlbLock(Irql);
    }
    MiPfnChange(Pfn, MI_U4_EPOCH, 0);
}
