/*
 * protectvm.c - NtProtectVirtualMemory: what may be done to committed pages.
 *
 * A page's protection is in its PTE while that is not valid, and in the OriginalPte of its frame while it is. A page that is in
 * memory and becomes a guard page or inaccessible turns into a transition PTE: its frame leaves the working set and keeps the
 * content. Less access is flushed by rule (a) before the service returns.
 *
 * Locks: address lock; working-set lock a page table at a time; PFN lock a page at a time.
 *
 * Source: VirtualProtect in the Windows documentation.
 */
#include "../misection.h"
#include "../miprocess.h"

/* A page shared with a section: new bits, or back to the form that a fault resolves. PFN lock. */
static VOID MiProtectSharedPage(PMI_ADDRESS_SPACE Space, PMMPTE Pte, ULONG Protection)
{
    PVOID Address = MiAddressOf(Pte);
    PFN_FRAME Frame = MiPteFrame(*Pte);
    MMPTE New = MiMakeSharedPte(Frame, Protection);
    BOOLEAN Keep = New.Hard.Valid;
    MI_TLB_FLUSH Flush;
    MMPTE Old;

    MiBeginTlbFlush(&Flush, MiTlbUser);
    Old = MiDowngradePte(&Flush, Pte, Address, New);
    MiFlushTlb(&Flush);
    if (Old.Hard.Dirty) {
        MiSetModified(Frame);
    }
    if (!Keep) {
        MiGiveWsle(Space, Frame, Address);
        MiDecrementShareCount(Frame);
    }
}

/* A resident private page: new bits, or out of the working set. @Watched: its Dirty bit means something. PFN lock. */
static VOID MiProtectValidPage(PMI_ADDRESS_SPACE Space, PMMPTE Pte, ULONG Protection, BOOLEAN Watched)
{
    PVOID Address = MiAddressOf(Pte);
    PFN_FRAME Frame = MiPteFrame(*Pte);
    PMMPFN Pfn = MiPfn(Frame);
    ULONG64 Bits = MiUserPteBits(Protection);
    BOOLEAN Keep = Bits != 0 && MiProtectionCacheType(Protection) == (MI_CACHE_TYPE)MiPfnCacheType(Pfn);
    MMPTE New = Keep ? MiMakeValidPte(Frame, Bits) : MiMakeTransitionPte(Frame, Protection);
    MI_TLB_FLUSH Flush;
    MMPTE Old;

    if (Watched && Keep) {
        New.Hard.Dirty = FALSE;
    }
    MiBeginTlbFlush(&Flush, MiTlbUser);
    Old = MiDowngradePte(&Flush, Pte, Address, New);
    MiFlushTlb(&Flush);
    if (Watched && Old.Hard.Dirty) {
        InterlockedOr64((volatile LONG64 *)&Pte->Long, Keep ? (LONG64)PTE_DIRTY : (LONG64)MI_PTE_WRITTEN);
    }
    Pfn->OriginalPte.Soft.Protection = Protection;
    if (Old.Hard.Dirty) {
        MiSetModified(Frame);
    }
    if (!Keep) {
        MiGiveWsle(Space, Frame, Address);
        MiDecrementShareCount(Frame);
    }
}

BOOLEAN MiSetPageProtection(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, ULONG64 Vpn, ULONG Protection)
{
    PVOID Address = MI_VPN_ADDRESS(Vpn);
    PMMPTE Pte = MiResidentUserPte(Address);
    KIRQL Irql;

    if ((Pte == NULL || Pte->Long == 0) && Protection == MiFirstProtection(Vad, Vpn)) {
        return TRUE;
    }
    if (Pte == NULL && !MiMakeProcessTables(Space, Address)) {
        return FALSE;
    }
    Pte = MiPteOf(Address);
    if (MiForkOfPte(*Pte) != NULL) {
        ULONG Own = MiOwnProtection(Protection);

        if (MiProtectionCacheType(Own) == MiWriteBack) {
            MiProtectForkPage(Space, Pte, Own);
            return TRUE;
        }
        if (!MiUnshareForkPage(Space, Pte)) { /* a frame has one cache type for all who share it */
            return FALSE;
        }
    }
    Irql = MiLockPfn();
    if (Pte->Hard.Valid && Pte->Hard.Prototype) {
        MiProtectSharedPage(Space, Pte, Protection);
    } else if (Pte->Hard.Valid) {
        MiProtectValidPage(Space, Pte, MiOwnProtection(Protection), Vad->WriteWatch);
    } else if (MiIsTransitionPte(*Pte)) {
        Protection = MiOwnProtection(Protection);
        MiPfn(MiTransitionFrame(*Pte))->OriginalPte.Soft.Protection = Protection;
        Pte->Trans.Protection = Protection;
    } else {
        MiAddUsedEntries(Pte, Pte->Long == 0);
        *Pte = Vad->Type == MiVadMapped
                   ? MiVadPointerPte(Protection)
                   : (MMPTE){.Long = MiMakeDemandZeroPte(Protection).Long | (Pte->Long & MI_PTE_RESET)};
    }
    MiUnlockPfn(Irql);
    return TRUE;
}

VOID MiSetProtection(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, ULONG64 First, ULONG64 Last, ULONG Protection)
{
    ExAcquireFastMutex(&Space->WorkingSetLock);
    for (ULONG64 Vpn = First; Vpn <= Last; Vpn++) {
        if (!MiSetPageProtection(Space, Vad, Vpn, Protection)) {
            ExReleaseFastMutex(&Space->WorkingSetLock);
            MiWaitForFrames();
            ExAcquireFastMutex(&Space->WorkingSetLock);
            Vpn--;
        }
    }
    ExReleaseFastMutex(&Space->WorkingSetLock);
}

/* Every page of the range is committed? *Old receives the protection of the first. Working-set lock held. */
static NTSTATUS MiCheckCommitted(PMI_VAD Vad, ULONG64 First, ULONG64 Last, PULONG Old)
{
    ULONG64 NonZero, Decommitted;
    MI_PAGE_INFO Info;

    MiQueryPage(Vad, First, &Info);
    *Old = Info.Protection;
    if (!MiIsUniformVad(Vad)) {
        while (Info.Committed && First++ != Last) {
            MiQueryPage(Vad, First, &Info);
        }
        return Info.Committed ? STATUS_SUCCESS : STATUS_NOT_COMMITTED;
    }
    MiCountPtes(First, Last, &NonZero, &Decommitted);
    return Decommitted == 0 && (Vad->CommitAll || NonZero == Last - First + 1) ? STATUS_SUCCESS : STATUS_NOT_COMMITTED;
}

static NTSTATUS MiProtect(PMI_ADDRESS_SPACE Space, ULONG64 First, ULONG64 Last, ULONG Protection, PULONG Old)
{
    PMI_VAD Vad = MiFindVad(Space, First);
    NTSTATUS Status;

    if (Vad == NULL || Last > Vad->EndVpn || Vad->Placeholder) {
        return STATUS_CONFLICTING_ADDRESSES;
    }
    if (Vad->Type == MiVadPrivate && (Protection & 5) == MM_WRITECOPY) {
        return STATUS_INVALID_PAGE_PROTECTION;
    }
    if (Vad->Type == MiVadMapped) {
        Protection = MiViewProtection(Vad, First, Protection);
    }
    if (Vad->LargePages) {
        return MiProtectLargeRange(Space, Vad, First, Last, Protection, Old);
    }
    if (Vad->Type == MiVadLocked || (Vad->Type == MiVadMapped && !MiViewMayHave(Vad, Protection))) {
        return STATUS_INVALID_PAGE_PROTECTION;
    }
    ExAcquireFastMutex(&Space->WorkingSetLock);
    Status = MiCheckCommitted(Vad, First, Last, Old);
    ExReleaseFastMutex(&Space->WorkingSetLock);
    if (NT_SUCCESS(Status) && Vad->Secured != 0 && Protection != *Old) {
        Status = STATUS_INVALID_PAGE_PROTECTION;
    }
    if (NT_SUCCESS(Status) && Vad->Type == MiVadMapped && (Protection & 5) == MM_WRITECOPY &&
        !MiChargeCopies(Space, Vad, Last - First + 1)) {
        Status = STATUS_COMMITMENT_LIMIT;
    }
    if (NT_SUCCESS(Status)) {
        MiSetProtection(Space, Vad, First, Last, Protection);
    }
    return Status;
}

/**
 * NtProtectVirtualMemory - changes the protection of committed pages.
 *
 * @ProcessHandle  with PROCESS_VM_OPERATION
 * @BaseAddress    in: an address of the first page; out: its start
 * @RegionSize     bytes in, out: whole pages
 * @NewProtect     PAGE_...; not write-copy for private memory
 * @OldProtect     receives what the first page had
 *
 * Of a region of large pages whole large pages are changed: base and size are multiples of 2 MB, and the pages stay accessible and cached.
 *
 * IRQL: PASSIVE_LEVEL. Fails: STATUS_INVALID_PAGE_PROTECTION, STATUS_INVALID_PARAMETER_2 (base), _3 (size 0 or too
 * large), STATUS_CONFLICTING_ADDRESSES (not in one region), STATUS_NOT_COMMITTED.
 */
NTSTATUS NTAPI NtProtectVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress, PSIZE_T RegionSize, ULONG NewProtect,
                                      PULONG OldProtect)
{
    ULONG Protection = MiMakeProtection(NewProtect), Old = 0;
    ULONG64 First, Last;
    MI_TARGET Target;
    PVOID Base;
    SIZE_T Size;
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    if (Protection == MM_INVALID_PROTECTION) {
        return STATUS_INVALID_PAGE_PROTECTION;
    }
    Status = MiCaptureRange(BaseAddress, RegionSize, &Base, &Size);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if ((ULONG64)Base > MI_HIGHEST_VAD) {
        return STATUS_INVALID_PARAMETER_2;
    }
    if (Size == 0 || Size > MI_HIGHEST_VAD + 1 - (ULONG64)Base) {
        return STATUS_INVALID_PARAMETER_3;
    }
    Status = MiOpenTarget(ProcessHandle, MI_PROCESS_VM_OPERATION, &Target);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    First = MI_VPN(Base);
    Last = MI_VPN((ULONG64)Base + Size - 1);
    ExAcquireFastMutex(&Target.Space->AddressLock);
    Status = MiProtect(Target.Space, First, Last, Protection, &Old);
    ExReleaseFastMutex(&Target.Space->AddressLock);
    MiCloseTarget(&Target);
    if (NT_SUCCESS(Status)) {
        ULONG Page = MiPageProtection(Old);

        Status = MiReturnBytes(OldProtect, &Page, sizeof(Page));
    }
    return NT_SUCCESS(Status)
               ? MiReturnRange(BaseAddress, RegionSize, MI_VPN_ADDRESS(First), (Last - First + 1) << PAGE_SHIFT)
               : Status;
}
