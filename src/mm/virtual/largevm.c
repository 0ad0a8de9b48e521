/*
 * largevm.c - regions in large pages: MEM_LARGE_PAGES.
 *
 * A private one is reserved and committed at once, zeroed, in runs of 512 frames that page-directory entries map; it stays in memory until
 * it is released as a whole. Its frames are nobody's in the PFN database: no PTE owns them, none may take them. A view shows runs that
 * its section has (largesect.c). Neither is in the working-set list, and what works on single pages leaves both alone:
 * MiResidentUserPte and MiNextResidentTable see no table there.
 *
 * Locks: address lock; working-set lock for each large page; PFN lock while frames are claimed or given up. IRQL: <= APC_LEVEL.
 *
 * Source: "Large-Page Support" in the Windows documentation of memory management.
 */
#include "../misection.h"
#include "../miprocess.h"

#define MI_LARGE_FRAMES (MM_LARGE_PAGE / MM_PAGE_SIZE)

BOOLEAN MiIsLargeAddress(const VOID *Address)
{
    return MiPxeOf(Address)->Hard.Valid && MiPpeOf(Address)->Hard.Valid && MiPdeOf(Address)->Hard.Valid &&
           MiPdeOf(Address)->Hard.Large;
}

/* ---- Frames ---- */

static BOOLEAN MiRunIsAvailable(PFN_FRAME First)
{
    for (ULONG64 Index = 0; Index < MI_LARGE_FRAMES; Index++) {
        if (!MiFrameIsAvailable(First + Index)) {
            return FALSE;
        }
    }
    return TRUE;
}

static BOOLEAN MiClaimLargeRun(PFN_FRAME First)
{
    KIRQL Irql = MiLockPfn();
    BOOLEAN Free = MiAvailableFrames >= (LONG64)MI_LARGE_FRAMES + MI_RESERVE_FRAMES && MiRunIsAvailable(First);

    for (ULONG64 Index = 0; Free && Index < MI_LARGE_FRAMES; Index++) {
        MiClaimFrame(First + Index);
        MiInitializePfn(First + Index, NULL, MI_NO_FRAME32, MiMakeDemandZeroPte(MM_READWRITE), MI_U4_MODIFIED);
    }
    MiUnlockPfn(Irql);
    return Free;
}

/* The scan takes no lock; what it finds is looked at again under the PFN lock. */
PFN_FRAME MiTakeLargeRun(VOID)
{
    if (ExInjectFault(ExFaultFrame)) {
        return 0;
    }
    MiReturnStashes();
    for (ULONG Run = MiRamRunCount; Run-- != 0;) {
        PFN_FRAME End = MiRamRuns[Run].Base + MiRamRuns[Run].Count;

        for (PFN_FRAME First = ALIGN_UP_BY(max(MiRamRuns[Run].Base, 1), MI_LARGE_FRAMES);
             First + MI_LARGE_FRAMES <= End; First += MI_LARGE_FRAMES) {
            if (MiRunIsAvailable(First) && MiClaimLargeRun(First)) {
                return First;
            }
        }
    }
    return 0;
}

VOID MiZeroLargeRun(PFN_FRAME First)
{
    for (ULONG64 Index = 0; Index < MI_LARGE_FRAMES; Index++) {
        KIRQL Irql;

        KeRaiseIrql(DISPATCH_LEVEL, &Irql);
        MiZeroFrame(First + Index);
        KeLowerIrql(Irql);
    }
}

/* PFN lock. */
static VOID MiGiveLargeRun(PFN_FRAME First)
{
    for (ULONG64 Index = 0; Index < MI_LARGE_FRAMES; Index++) {
        MiDeletePfn(First + Index);
        MiDecrementShareCount(First + Index);
    }
}

VOID MiDeleteLargeEntry(MMPTE Entry)
{
    ASSERT_PFN_LOCKED();
    if ((MiPfn(MiPteFrame(Entry))->u4 & MI_U4_PROTOTYPE) == 0) {
        MiGiveLargeRun(MiPteFrame(Entry));
    }
}

/* ---- Regions ---- */

static VOID MiMapLargeRun(PMI_ADDRESS_SPACE Space, PVOID Address, PFN_FRAME First, ULONG Protection)
{
    PMMPTE Pde = MiPdeOf(Address);
    KIRQL Irql;

    ExAcquireFastMutex(&Space->WorkingSetLock);
    while (!MiMakeUpperTables(Space, Address)) {
        ExReleaseFastMutex(&Space->WorkingSetLock);
        MiWaitForFrames();
        ExAcquireFastMutex(&Space->WorkingSetLock);
    }
    Irql = MiLockPfn();
    MiWriteValidPte(Pde, MiMakeValidPte(First, MiUserPteBits(Protection) | PTE_LARGE));
    MiAddUsedEntries(Pde, 1);
    MiUnlockPfn(Irql);
    ExReleaseFastMutex(&Space->WorkingSetLock);
}

VOID MiEmptyLargeVad(PMI_ADDRESS_SPACE Space, PMI_VAD Vad)
{
    for (ULONG64 Vpn = Vad->StartVpn; Vpn <= Vad->EndVpn; Vpn += MI_LARGE_FRAMES) {
        PVOID Address = MI_VPN_ADDRESS(Vpn);
        MI_TLB_FLUSH Flush;
        MMPTE Old;
        KIRQL Irql;

        if (!MiIsLargeAddress(Address)) {
            continue;
        }
        Irql = MiLockPfn();
        MiBeginTlbFlush(&Flush, MiTlbUser);
        Old = MiDowngradePte(&Flush, MiPdeOf(Address), Address, (MMPTE){.Long = 0});
        MiFlushTlb(&Flush);
        MiAddUsedEntries(MiPdeOf(Address), -1);
        MiDeleteLargeEntry(Old);
        MiUnlockPfn(Irql);
        MiReleaseEmptyTables(Space, Address);
    }
}

/**
 * MiFillLargeVad - gives all large pages of a new region their frames, or none; a view's frames are its section's.
 *
 * Address lock held. Fails: STATUS_INSUFFICIENT_RESOURCES (no run of frames; never for a view), with the VAD empty.
 */
NTSTATUS MiFillLargeVad(PMI_ADDRESS_SPACE Space, PMI_VAD Vad)
{
    BOOLEAN Mapped = Vad->Type == MiVadMapped;

    for (ULONG64 Vpn = Vad->StartVpn; Vpn <= Vad->EndVpn; Vpn += MI_LARGE_FRAMES) {
        PFN_FRAME First = Mapped ? MiPteFrame(*MiPrototypeOfView(Vad, Vpn)) : MiTakeLargeRun();

        if (First == 0) {
            ExAcquireFastMutex(&Space->WorkingSetLock);
            MiEmptyLargeVad(Space, Vad);
            ExReleaseFastMutex(&Space->WorkingSetLock);
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        if (!Mapped) {
            MiZeroLargeRun(First);
        }
        MiMapLargeRun(Space, MI_VPN_ADDRESS(Vpn), First, Vad->Protection);
    }
    return STATUS_SUCCESS;
}

/* The parent's threads that write to it meanwhile fault, and wait for the working-set lock. */
MMPTE MiCopyLargePage(PFN_FRAME To, PVOID Address)
{
    PMMPTE Pde = MiPdeOf(Address);
    MMPTE Whole = *Pde, ReadOnly = Whole;
    MI_TLB_FLUSH Flush;
    KIRQL Irql;

    ReadOnly.Hard.Write = FALSE;
    MiBeginTlbFlush(&Flush, MiTlbUser);
    MiDowngradePte(&Flush, Pde, Address, ReadOnly);
    MiFlushTlb(&Flush);
    for (ULONG64 Index = 0; Index < MI_LARGE_FRAMES; Index++) {
        KeRaiseIrql(DISPATCH_LEVEL, &Irql);
        MiCopyFrame(To + Index, MiPteFrame(Whole) + Index);
        KeLowerIrql(Irql);
    }
    InterlockedExchange64((volatile LONG64 *)&Pde->Long, (LONG64)Whole.Long);
    return Whole;
}

/* ---- Protection: in the entry itself, since the frames' entries are nobody's ---- */

BOOLEAN MiIsLargeProtection(ULONG Protection)
{
    return MiUserPteBits(Protection) != 0 && (Protection & 5) != MM_WRITECOPY &&
           MiProtectionCacheType(Protection) == MiWriteBack;
}

ULONG MiLargeProtection(const VOID *Address)
{
    MMPTE Pde = *MiPdeOf(Address);
    ULONG Execute = Pde.Hard.NoExecute ? 0 : MI_PROTECT_EXECUTE;

    return (Pde.Hard.Write ? MM_READWRITE : MM_READONLY) | Execute;
}

NTSTATUS MiProtectLargeRange(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, ULONG64 First, ULONG64 Last, ULONG Protection,
                             PULONG Old)
{
    ULONG64 Bits = MiUserPteBits(Protection);

    if (!MiIsLargeProtection(Protection) || (Vad->Type == MiVadMapped && !MiViewMayHave(Vad, Protection)) ||
        First % MI_LARGE_FRAMES != 0 || (Last + 1) % MI_LARGE_FRAMES != 0) {
        return STATUS_INVALID_PAGE_PROTECTION;
    }
    ExAcquireFastMutex(&Space->WorkingSetLock);
    *Old = MiLargeProtection(MI_VPN_ADDRESS(First));
    if (Vad->Secured != 0 && Protection != *Old) {
        ExReleaseFastMutex(&Space->WorkingSetLock);
        return STATUS_INVALID_PAGE_PROTECTION;
    }
    for (ULONG64 Vpn = First; Vpn <= Last; Vpn += MI_LARGE_FRAMES) {
        PVOID Address = MI_VPN_ADDRESS(Vpn);
        MI_TLB_FLUSH Flush;
        KIRQL Irql = MiLockPfn();

        MiBeginTlbFlush(&Flush, MiTlbUser);
        MiDowngradePte(&Flush, MiPdeOf(Address), Address,
                       MiMakeValidPte(MiPteFrame(*MiPdeOf(Address)), Bits | PTE_LARGE));
        MiFlushTlb(&Flush);
        MiUnlockPfn(Irql);
    }
    ExReleaseFastMutex(&Space->WorkingSetLock);
    return STATUS_SUCCESS;
}
