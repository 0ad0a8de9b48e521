/*
 * userfault.c - page faults in the user half: one decision tree, one function a branch.
 *
 *     no VAD, or reserved only .......... access violation
 *     decommitted, no access ............ access violation
 *     guard page ........................ the guard goes, STATUS_GUARD_PAGE_VIOLATION
 *     protection forbids the access ..... access violation
 *     PTE valid, access allowed ......... spurious: another thread was first
 *     transition ........................ soft fault: the frame comes back, with its claim to be kept (resetvm.c)
 *     shared with a clone ............... the frame that both have (fork.c)
 *     valid, copied on write ............ a frame of one's own (sharedfault.c)
 *     page of a view .................... the section's frame, read in if need be (sharedfault.c)
 *     committed, no content ............. a zeroed frame
 *
 * A PTE of 0 is what its VAD says: a committed page of a VAD that is committed as a whole, or nothing. Page tables are made on
 * the way, all that are missing or none. Each step runs under the working-set lock; when a frame is short, what was made stays, the
 * lock is dropped, the thread waits and the instruction runs again. Whoever comes second finds the PTE valid.
 *
 * IRQL: <= APC_LEVEL, also in the kernel on behalf of an attached process. No lock may be held by the caller that a fault takes.
 */
#include "../misection.h"
#include "../miprocess.h"

/* Does a protection allow the access? Guard and decommitted pages are dealt with before. x86 has no execute-only pages. */
static BOOLEAN MiProtectionAllows(ULONG Protection, const MI_ACCESS *Access)
{
    if ((Protection & 7) == 0) {
        return FALSE;
    }
    return (!Access->Write || (Protection & MI_PROTECT_WRITE) != 0) &&
           (!Access->Execute || (Protection & MI_PROTECT_EXECUTE) != 0);
}

static NTSTATUS MiUserFaultOnValid(PMI_ADDRESS_SPACE Space, MMPTE Pte, PVOID Address, const MI_ACCESS *Access)
{
    if (Access->Write && !Pte.Hard.Write && Pte.Hard.CopyOnWrite) {
        return MiCopyOnWrite(Space, MiPteOf(Address), Address);
    }
    if ((Access->Write && !Pte.Hard.Write) || (Access->Execute && Pte.Hard.NoExecute)) {
        return STATUS_ACCESS_VIOLATION;
    }
    KeInvalidatePage(Address);
    MmFaultCounters.Spurious++;
    return STATUS_SUCCESS;
}

/* A frame of another cache type must have left every cache before it is mapped. */
VOID MiSetFrameCacheType(PFN_FRAME Frame, ULONG Protection)
{
    MI_CACHE_TYPE Type = MiProtectionCacheType(Protection);

    if (Type != (MI_CACHE_TYPE)MiPfnCacheType(MiPfn(Frame))) {
        MiFlushFrameFromCaches(Frame);
        MiPfnChange(MiPfn(Frame), MI_U4_CACHE, (ULONG64)Type << MI_U4_CACHE_SHIFT);
    }
}

/* A committed page without content gets a zeroed frame. @Clean: it is watched and not written now. */
static NTSTATUS MiUserDemandZero(PMI_ADDRESS_SPACE Space, PMMPTE Pte, PVOID Address, ULONG Protection, BOOLEAN Clean)
{
    PFN_FRAME Frame;
    KIRQL Irql;

    if (!MiReserveWsle(Space)) {
        return MI_FAULT_SHORT;
    }
    KeRaiseIrql(DISPATCH_LEVEL, &Irql); /* what MiVerify compares changes in one go: it freezes processors below this */
    Frame = MiTakeZeroedFrame();
    if (Frame != 0) {
        MiAddUsedEntries(Pte, Pte->Long == 0);
        MiInitializePrivatePfn(Frame, Pte, MiTableFrameOf(Pte),
                               (MMPTE){.Long = MiMakeDemandZeroPte(Protection).Long | (Pte->Long & MI_PTE_RESET)});
        MiSetFrameCacheType(Frame, Protection);
        MiWriteValidPte(Pte, MiMakeValidPte(Frame, MiUserPteBits(Protection) & ~(Clean ? PTE_DIRTY : 0)));
        MiTakeWsle(Space, Frame, Address);
        InterlockedIncrement64((volatile LONG64 *)&MmFaultCounters.DemandZero);
    }
    KeLowerIrql(Irql);
    return Frame == 0 ? MI_FAULT_SHORT : STATUS_SUCCESS;
}

/* A private page whose frame is in memory though its PTE is not valid. */
static NTSTATUS MiUserTransition(PMI_ADDRESS_SPACE Space, PMMPTE Pte, PVOID Address, ULONG Protection, BOOLEAN Clean)
{
    ULONG64 Not;
    PFN_FRAME Frame;
    KIRQL Irql;

    if (!MiReserveWsle(Space)) {
        return MI_FAULT_SHORT;
    }
    Irql = MiLockPfn();
    if (!MiIsTransitionPte(*Pte)) { /* a reset page whose frame was taken meanwhile: the next fault finds no content */
        MiUnlockPfn(Irql);
        return STATUS_SUCCESS;
    }
    Frame = MiTransitionFrame(*Pte);
    Not = Clean && (Pte->Long & MI_PTE_WRITTEN) == 0 ? PTE_DIRTY : 0;
    MiUnlinkTransition(Frame);
    MiReclaimTouchedPage(Frame);
    MiSetFrameCacheType(Frame, Protection); /* it may have got another protection meanwhile */
    MiWriteValidPte(Pte, MiMakeValidPte(Frame, MiUserPteBits(Protection) & ~Not));
    MiTakeWsle(Space, Frame, Address);
    MmFaultCounters.Soft++;
    MiUnlockPfn(Irql);
    return STATUS_SUCCESS;
}

/* The first touch of a guard page takes the guard away. */
static NTSTATUS MiUserGuardPage(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, ULONG64 Vpn, ULONG Protection)
{
    return MiSetPageProtection(Space, Vad, Vpn, Protection & ~MM_GUARD_PAGE) ? STATUS_GUARD_PAGE_VIOLATION
                                                                             : MI_FAULT_SHORT;
}

/* The decision; working-set lock held. */
static NTSTATUS MiResolveUserFault(PMI_ADDRESS_SPACE Space, PVOID Address, const MI_ACCESS *Access)
{
    PMI_VAD Vad = MiFindVad(Space, MI_VPN(Address));
    MI_PAGE_INFO Info;
    BOOLEAN Clean;
    PMMPTE Pte;

    if (Vad == NULL) {
        return STATUS_ACCESS_VIOLATION;
    }
    MiQueryPage(Vad, MI_VPN(Address), &Info);
    if (!Info.Committed) {
        return STATUS_ACCESS_VIOLATION;
    }
    if (Vad->LargePages) { /* nothing can be missing: another translation was looked at, or the access is not allowed */
        return MiIsLargeAddress(Address) && MiProtectionAllows(Info.Protection, Access) ? STATUS_SUCCESS
                                                                                        : STATUS_ACCESS_VIOLATION;
    }
    if (Info.Pte.Hard.Valid) {
        return MiUserFaultOnValid(Space, Info.Pte, Address, Access);
    }
    if (MiIsGuardProtection(Info.Protection)) {
        return MiUserGuardPage(Space, Vad, MI_VPN(Address), Info.Protection);
    }
    if (!MiProtectionAllows(Info.Protection, Access)) {
        return STATUS_ACCESS_VIOLATION;
    }
    if (!MiMakeProcessTables(Space, Address)) {
        return MI_FAULT_SHORT;
    }
    Pte = MiPteOf(Address);
    Clean = Vad->WriteWatch && !Access->Write;
    if (MiIsTransitionPte(*Pte)) {
        return MiUserTransition(Space, Pte, Address, Info.Protection, Clean);
    }
    if (MiForkOfPte(*Pte) != NULL) {
        return MiForkFault(Space, Pte, Address, Info.Protection, Access->Write);
    }
    if (Vad->Type == MiVadMapped) {
        return MiSharedFault(Space, Vad, Address, Info.Protection, Access->Write);
    }
    return MiUserDemandZero(Space, Pte, Address, Info.Protection, Clean);
}

/* A page of a view that is in the file only. The reference that the fault took keeps the section while no lock does. */
static NTSTATUS MiReadForFault(PCONTROL_AREA ControlArea, PMMPTE Prototype)
{
    NTSTATUS Status = MiReadPrototype(Prototype);

    MiDereferenceControlArea(ControlArea);
    return Status;
}

NTSTATUS MiMakeUserPageValid(PVOID Address, const MI_ACCESS *Access)
{
    PMI_ADDRESS_SPACE Space = MiCurrentSpace();
    PCONTROL_AREA ControlArea = NULL;
    PMMPTE Prototype = NULL;
    PMI_VAD Vad;
    NTSTATUS Status;

    ASSERT_IRQL_MAX(APC_LEVEL);
    if (Space == NULL || (ULONG64)Address > MI_HIGHEST_USER) {
        return STATUS_ACCESS_VIOLATION;
    }
    ExAcquireFastMutex(&Space->WorkingSetLock);
    Space->Process->PageFaults++;
    Status = MiResolveUserFault(Space, PAGE_ALIGN(Address), Access);
    if (Status == MI_FAULT_READ) {
        Vad = MiFindVad(Space, MI_VPN(Address));
        ControlArea = Vad->ControlArea;
        Prototype = MiPrototypeOfView(Vad, MI_VPN(Address));
    }
    ExReleaseFastMutex(&Space->WorkingSetLock);
    if (Status == MI_FAULT_READ) {
        return MiReadForFault(ControlArea, Prototype);
    }
    if (Status == MI_FAULT_SHORT) {
        MmFaultCounters.ShortageWaits++;
        MiWaitForFrames();
        return STATUS_SUCCESS;
    }
    return Status;
}
