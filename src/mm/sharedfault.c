/*
 * sharedfault.c - faults on views of sections in the user half.
 *
 * A PTE of a view is 0, or in prototype form with a protection of its own; either way the prototype PTE is found through the VAD.
 * When the section's frame is in memory the PTE shares it: valid, with bit 10, one share more. When it is only in the file
 * the fault says so, takes a reference on the control area, and the caller reads it with no lock held and looks again.
 *
 * A view that copies on write maps the shared frame read-only, marked; the first store copies it into a frame that the process owns.
 * That frame is charged since the view was made. The old translation is flushed by rule (a) before the share goes.
 *
 * Locks: working-set lock held; PFN lock inside it. Nothing here waits.
 */
#include "misection.h"
#include "miprocess.h"

MMPTE MiMakeSharedPte(PFN_FRAME Frame, ULONG Protection)
{
    ULONG64 Bits = PTE_VALID | PTE_USER | PTE_ACCESSED | MI_PTE_PROTOTYPE;
    MMPTE Pte;

    if ((Protection & 7) == 0 || MiIsGuardProtection(Protection)) {
        return MiVadPointerPte(Protection);
    }
    if ((Protection & 5) == MM_READWRITE) {
        Bits |= PTE_WRITE; /* the processor sets Dirty, which is harvested when the PTE goes */
    }
    if ((Protection & MI_PROTECT_EXECUTE) == 0) {
        Bits |= PTE_NX;
    }
    Pte = MiMakeValidPte(Frame, Bits | MiCacheBits((MI_CACHE_TYPE)MiPfnCacheType(MiPfn(Frame))));
    Pte.Hard.CopyOnWrite = (Protection & 5) == MM_WRITECOPY;
    return Pte;
}

ULONG MiSharedProtection(MMPTE Pte)
{
    ULONG Execute = Pte.Hard.NoExecute ? 0 : MI_PROTECT_EXECUTE;

    if (Pte.Hard.CopyOnWrite) {
        return MM_WRITECOPY | Execute;
    }
    return Pte.Hard.Write ? MM_READWRITE | Execute : MM_READONLY | Execute;
}

/* The PTE comes to share a frame; PFN lock, an entry of the working-set list is free. */
static VOID MiMapShared(PMI_ADDRESS_SPACE Space, PMMPTE Pte, PVOID Address, PFN_FRAME Frame, ULONG Protection)
{
    MiAddUsedEntries(Pte, Pte->Long == 0);
    MiWriteValidPte(Pte, MiMakeSharedPte(Frame, Protection));
    MiTakeWsle(Space, Frame, Address);
}

NTSTATUS MiSharedFault(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, PVOID Address, ULONG Protection)
{
    PMMPTE Pte = MiPteOf(Address), Prototype = MiPrototypeOfView(Vad, MI_VPN(Address));
    NTSTATUS Status = STATUS_SUCCESS;
    PFN_FRAME Frame;
    KIRQL Irql;

    if (!MiReserveWsle(Space)) {
        return MI_FAULT_SHORT;
    }
    (void)*(volatile ULONG64 *)&Prototype->Long; /* resident before the PFN lock is taken */
    Irql = MiLockPfn();
    switch (MiLookAtPrototype(Prototype)) {
    case MiPrototypeMapped:
        MiMapShared(Space, Pte, Address, MiShareFrame(Prototype), Protection);
        MmFaultCounters.Soft++;
        break;
    case MiPrototypeDemandZero:
        Frame = MiShareZeroedFrame(Prototype);
        if (Frame == 0) {
            Status = MI_FAULT_SHORT;
            break;
        }
        MiMapShared(Space, Pte, Address, Frame, Protection);
        MmFaultCounters.DemandZero++;
        break;
    case MiPrototypeNotResident:
        break; /* touched again when the instruction runs again */
    case MiPrototypeReading:
    case MiPrototypeAbsent:
        MiReferenceControlArea(Vad->ControlArea);
        Status = MI_FAULT_READ;
        break;
    case MiPrototypeNothing:
        Status = STATUS_ACCESS_VIOLATION;
        break;
    }
    MiUnlockPfn(Irql);
    if (Status != STATUS_SUCCESS) {
        MiReleaseEmptyTables(Space, Address);
    }
    return Status;
}

NTSTATUS MiCopyOnWrite(PMI_ADDRESS_SPACE Space, PMMPTE Pte, PVOID Address)
{
    PFN_FRAME Old = MiPteFrame(*Pte), New;
    ULONG Protection = MiOwnProtection(MiSharedProtection(*Pte));
    MI_TLB_FLUSH Flush;
    KIRQL Irql = MiLockPfn();

    New = MiAllocateFrame(MI_FRAME_ANY);
    if (New == 0) {
        MiUnlockPfn(Irql);
        return MI_FAULT_SHORT;
    }
    MiCopyFrame(New, Old);
    MiInitializePfn(New, Pte, MiTableFrameOf(Pte), MiMakeDemandZeroPte(Protection), MI_U4_MODIFIED);
    MiBeginTlbFlush(&Flush, MiTlbUser);
    MiDowngradePte(&Flush, Pte, Address, MiMakeValidPte(New, MiUserPteBits(Protection)));
    MiFlushTlb(&Flush);
    MiGiveWsle(Space, Old, Address);
    MiDecrementShareCount(Old);
    MiTakeWsle(Space, New, Address);
    MmFaultCounters.CopyOnWrite++;
    MiUnlockPfn(Irql);
    return STATUS_SUCCESS;
}
