/*
 * sharedfault.c - faults on views of sections in the user half.
 *
 * A PTE of a view is 0, or in prototype form with a protection of its own; either way the prototype PTE is found through the VAD.
 * When the section's frame is in memory the PTE shares it: valid, with bit 10, one share more. When it is only in the file
 * the fault says so, takes a reference on the control area, and the caller reads it with no lock held and looks again.
 *
 * Pages in memory around the one that faulted are mapped with it.
 *
 * A view that copies on write maps the shared frame read-only, marked; the first store copies it into a frame that the process owns.
 * That frame is charged since the view was made. The old translation is flushed by rule (a) before the share goes.
 *
 * Locks: working-set lock held; PFN lock inside it. Nothing here waits.
 */
#include "../misection.h"
#include "../miprocess.h"

#define MI_AROUND_PAGES 16ULL /* 64 KB */

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

    if (Pte.Hard.CopyOnWrite) { /* a fork's page is the process's own, shared or not */
        return (MiForkOfPte(Pte) != NULL ? MM_READWRITE : MM_WRITECOPY) | Execute;
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

/* Is the page of a prototype PTE in memory, and not being read? Its content; PFN lock. */
static BOOLEAN MiIsInMemory(MMPTE Content)
{
    return Content.Hard.Valid ||
           (MiIsTransitionPte(Content) && (MiPfn(MiTransitionFrame(Content))->u4 & MI_U4_READ) == 0);
}

/*
 * The pages of a view around one that was just mapped: those of the same 64 KB that are in memory and were never touched here are
 * mapped with it, so that their first use costs no fault. Only prototype PTEs on the same page as the first are looked
 * at: that page is known to be resident. PFN lock.
 */
static VOID MiFaultAround(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, PMMPTE Pte, ULONG64 Vpn, PMMPTE Prototype)
{
    PSUBSECTION Subsection = MiSubsectionOfPage(Vad->ControlArea, Vad->FirstPage + Vpn - Vad->StartVpn);
    ULONG64 Before = (ULONG64)(Prototype - Subsection->Prototypes), Behind = Subsection->PteCount - 1 - Before;
    ULONG64 InGroup = Vpn % MI_AROUND_PAGES, InPage = BYTE_OFFSET(Prototype) / sizeof(MMPTE);
    ULONG Protection = MiFirstProtection(Vad, Vpn);
    LONG First, Last, Mapped = 0;

    if ((Protection & 7) == 0 || MiIsGuardProtection(Protection)) {
        return;
    }
    First = -(LONG)min(min(Before, InGroup), min(InPage, Vpn - Vad->StartVpn));
    Last = (LONG)min(min(Behind, MI_AROUND_PAGES - 1 - InGroup),
                     min(PAGE_SIZE / sizeof(MMPTE) - 1 - InPage, Vad->EndVpn - Vpn));
    for (LONG Index = First; Index <= Last && MiHasFreeWsle(Space); Index++) {
        if (Pte[Index].Long == 0 && MiIsInMemory(Prototype[Index])) {
            PFN_FRAME Frame = MiShareFrame(&Prototype[Index]);

            MiWriteValidPte(&Pte[Index], MiMakeSharedPte(Frame, Protection));
            MiTakeWsle(Space, Frame, MI_VPN_ADDRESS(Vpn + (ULONG64)(LONG64)Index));
            Mapped++;
        }
    }
    MiAddUsedEntries(Pte, Mapped);
    MmFaultCounters.Around += (ULONG)Mapped;
}

NTSTATUS MiSharedFault(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, PVOID Address, ULONG Protection, BOOLEAN Write)
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
        MiFaultAround(Space, Vad, Pte, MI_VPN(Address), Prototype);
        MmFaultCounters.Soft++;
        break;
    case MiPrototypeDemandZero:
        Frame = MiShareZeroedFrame(Prototype);
        if (Frame == 0) {
            Status = MI_FAULT_SHORT;
            break;
        }
        MiMapShared(Space, Pte, Address, Frame, Protection);
        InterlockedIncrement64((volatile LONG64 *)&MmFaultCounters.DemandZero);
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
    } else if (Write && Pte->Hard.Valid && Pte->Hard.CopyOnWrite) {
        Status = MiCopyOnWrite(Space, Pte, Address); /* what the instruction would ask for next */
    }
    return Status;
}

NTSTATUS MiCopyOnWrite(PMI_ADDRESS_SPACE Space, PMMPTE Pte, PVOID Address)
{
    PFN_FRAME Old = MiPteFrame(*Pte), New;
    ULONG Protection = MiOwnProtection(MiSharedProtection(*Pte));
    MI_TLB_FLUSH Flush;
    KIRQL Irql = MiLockPfn();

    if (MiForkOfFrame(Old) != NULL && MiTakeForkFrame(Space, Pte, Address, Protection)) {
        MiUnlockPfn(Irql);
        MiFreeDeadForks();
        return STATUS_SUCCESS;
    }
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
    MiReleaseSharedFrame(Old);
    MiTakeWsle(Space, New, Address);
    MmFaultCounters.CopyOnWrite++;
    MiUnlockPfn(Irql);
    MiFreeDeadForks();
    return STATUS_SUCCESS;
}
