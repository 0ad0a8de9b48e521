/*
 * pfn.c - every change of a frame's state, one named function each.
 *
 *   (new) --MiInitializePfn--> Active --MiDecrementShareCount--> Standby | Modified | Transition | Free
 *   (new) --MiInitializePfnForRead--> Transition --MiDecrementReferenceCount--> Standby | Modified | Free
 *   Standby, Modified, ModifiedNoWrite, Transition --MiUnlinkTransition--> Active
 *   Standby --MiAllocateFrame--> (new), its owner PTE restored;  Free, Zeroed --MiAllocateFrame--> (new)
 *   any --MiDeletePfn--> Free, now or with the last share and reference
 *
 * Shares are valid PTEs of the owner's kind; all shares together hold one reference. References are locks of MDLs and
 * I/O in flight. A frame with a reference is never on a list. The share that a valid or transition PTE holds on the
 * page that contains it is taken and given back here alone, so that such a page cannot leave while a frame of which
 * it is the identity is in memory: that is what makes it safe to write an owner PTE through a window.
 *
 * Locks: the PFN lock (DISPATCH_LEVEL) for everything in this file but MiInitializePrivatePfn. It never waits, never touches pool, and follows
 * no PteAddress: owner PTEs are written by MiWritePteInFrame. Also compiled natively by test/host/test_pfn.c.
 */
#ifdef ORIEL_HOST
#include "../pfn.h"
#else
#include "../mip.h"
#endif

ULONG64 MiSoftFaults;
ULONG64 MiStandbyRepurposed;

static ULONG MiOwnerProtection(const MMPFN *Pfn)
{
    return (ULONG)Pfn->OriginalPte.Soft.Protection;
}

/* ---- Free frames ---- */

VOID MiFreeFrame(PFN_FRAME Frame)
{
    PMMPFN Pfn = MiPfn(Frame);

    ASSERT_PFN_LOCKED();
    ASSERT(MiPfnState(Pfn) == MiTransition && MiPfnReferences(Pfn) == 0);
    Pfn->PteAddressLong = 0;
    Pfn->OriginalPte.Long = 0;
    if (MiStashFreeFrame(Frame)) {
        return;
    }
    /* the epoch stays: a stale translation outlives the owner until the frame is taken again */
    MiPfnChange(
        Pfn, MI_U4_PTE_FRAME | MI_U4_MODIFIED | MI_U4_READ | MI_U4_WRITE | MI_U4_PROTOTYPE | MI_U4_ERROR | MI_U4_CACHE,
        MI_NO_FRAME32);
    MiInsertListHead(MiListFree, Frame);
}

/* Gives the owner PTE back what it held before the frame came, and the containing page its share. */
static VOID MiRestoreOwner(PMMPFN Pfn)
{
    ULONG PteFrame = MiPfnPteFrame(Pfn);

    MiWritePteInFrame(PteFrame, MiPfnPteAddress(Pfn), Pfn->OriginalPte);
    MiPfnChange(Pfn, MI_U4_PTE_FRAME, MI_NO_FRAME32);
    MiReleaseContainingShare(PteFrame);
    if ((Pfn->u4 & MI_U4_PROTOTYPE) != 0) {
        MiPrototypeFrameLost(Pfn->OriginalPte);
    }
}

static PFN_FRAME MiTakeStandby(VOID)
{
    for (ULONG Priority = 0; Priority < MI_STANDBY_LISTS; Priority++) {
        PFN_FRAME Frame = MiRemoveListHead(MiListStandby0 + Priority);

        if (Frame != 0) {
            MiRestoreOwner(MiPfn(Frame));
            MiStandbyRepurposed++;
            return Frame;
        }
    }
    return 0;
}

/* A frame just unlinked becomes nobody's: nothing of its past is left, in its entry or in a TLB. */
static VOID MiForgetOwner(PMMPFN Pfn)
{
    MiForgetStaleTranslations(Pfn);
    Pfn->PteAddressLong = 0;
    Pfn->OriginalPte.Long = 0;
    Pfn->u1.InPageBlock = NULL;
    MiPfnChange(Pfn, ~MI_U4_STATE, MI_NO_FRAME32);
}

VOID MiClaimFrame(PFN_FRAME Frame)
{
    PMMPFN Pfn = MiPfn(Frame);
    BOOLEAN Standby = MiPfnState(Pfn) == MiStandby;

    ASSERT(Standby || MiPfnState(Pfn) == MiFree || MiPfnState(Pfn) == MiZeroed);
    MiUnlinkFrame(Frame);
    if (Standby) {
        MiRestoreOwner(Pfn);
        MiStandbyRepurposed++;
    }
    MiForgetOwner(Pfn);
}

BOOLEAN MiHasFrames(ULONG Count)
{
    ASSERT_PFN_LOCKED();
    return MiAvailableFrames >= MI_RESERVE_FRAMES + (LONG64)Count && !ExInjectFault(ExFaultFrame);
}

PFN_FRAME MiAllocateFrame(ULONG Flags)
{
    BOOLEAN WantZero = (Flags & MI_FRAME_ZEROED) != 0, IsZero = FALSE;
    PFN_FRAME Frame;

    ASSERT_PFN_LOCKED();
    if (MiAvailableFrames == 0 || (MiAvailableFrames <= MI_RESERVE_FRAMES && (Flags & MI_FRAME_RESERVE) == 0)) {
        return 0;
    }
    if ((Flags & MI_FRAME_RESERVE) == 0 && ExInjectFault(ExFaultFrame)) {
        return 0;
    }
    Frame = MiRemoveListHead(WantZero ? MiListZeroed : MiListFree);
    IsZero = WantZero && Frame != 0;
    if (Frame == 0) {
        Frame = MiRemoveListHead(WantZero ? MiListFree : MiListZeroed);
    }
    if (Frame == 0) {
        Frame = MiTakeStandby();
    }
    if (Frame == 0) { /* what is available is in stashes */
        MiDrainStashes();
        Frame = MiRemoveListHead(MiListFree);
        if (Frame == 0) {
            Frame = MiRemoveListHead(MiListZeroed);
        }
    }
    if (Frame == 0) {
        return 0; /* the last of them was taken meanwhile */
    }
    MiForgetOwner(MiPfn(Frame));
    if (WantZero && !IsZero) {
        MiZeroFrame(Frame);
    }
    return Frame;
}

/*
 * A free frame on its way to the Zeroed list: Transition, one reference, nobody's (deleted), so that it counts as in use
 * while the zeroing goes on without the PFN lock.
 */
PFN_FRAME MiBeginZeroing(VOID)
{
    PFN_FRAME Frame = MiRemoveListHead(MiListFree);

    if (Frame != 0) {
        MiPfn(Frame)->PteAddressLong = MI_PTE_ADDRESS_DELETED;
        MiPfnAddReferences(MiPfn(Frame), 1);
    }
    return Frame;
}

VOID MiEndZeroing(PFN_FRAME Frame)
{
    MiPfn(Frame)->PteAddressLong = 0;
    MiPfnAddReferences(MiPfn(Frame), -1);
    MiInsertListTail(MiListZeroed, Frame);
}

/* ---- New owners ---- */

static VOID MiSetOwner(PMMPFN Pfn, PMMPTE Pte, ULONG PteFrame, MMPTE Original, ULONG State, ULONG64 Flags)
{
    ASSERT_PFN_LOCKED();
    ASSERT(MiPfnState(Pfn) == MiTransition && MiPfnReferences(Pfn) == 0);
    ASSERT((Flags & ~(MI_U4_MODIFIED | MI_U4_PROTOTYPE | MI_U4_READ)) == 0);
    Pfn->PteAddress = Pte;
    Pfn->OriginalPte = Original;
    MiPfnChange(Pfn, ~MI_U4_EPOCH,
                PteFrame | (1ULL << MI_U4_REF_SHIFT) | ((ULONG64)State << MI_U4_STATE_SHIFT) | Flags |
                    ((ULONG64)MI_DEFAULT_PRIORITY << MI_U4_PRIORITY_SHIFT));
    MiAcquireContainingShare(PteFrame);
}

VOID MiInitializePrivatePfn(PFN_FRAME Frame, PMMPTE Pte, ULONG PteFrame, MMPTE Original)
{
    PMMPFN Pfn = MiPfn(Frame);

    ASSERT(MiPfnReferences(Pfn) == 0 && MiPfnEpoch(Pfn) == 0);
    Pfn->PteAddress = Pte;
    Pfn->OriginalPte = Original;
    Pfn->u1.ShareCount = 1;
    Pfn->u1.WorkingSetIndex = 0;
    __atomic_store_n(&Pfn->u4,
                     PteFrame | (1ULL << MI_U4_REF_SHIFT) | ((ULONG64)MiActive << MI_U4_STATE_SHIFT) | MI_U4_MODIFIED |
                         ((ULONG64)MI_DEFAULT_PRIORITY << MI_U4_PRIORITY_SHIFT),
                     __ATOMIC_RELEASE);
    InterlockedIncrement((volatile LONG *)&MiPfn(PteFrame)->u1.ShareCount);
}

VOID MiInitializePfn(PFN_FRAME Frame, PMMPTE Pte, ULONG PteFrame, MMPTE Original, ULONG64 Flags)
{
    PMMPFN Pfn = MiPfn(Frame);

    MiSetOwner(Pfn, Pte, PteFrame, Original, MiActive, Flags);
    Pfn->u1.ShareCount = 1;
    Pfn->u1.WorkingSetIndex = 0;
}

VOID MiChangeOwner(PFN_FRAME Frame, PMMPTE Pte, ULONG PteFrame, MMPTE Original, BOOLEAN Prototype)
{
    PMMPFN Pfn = MiPfn(Frame);
    ULONG Before = MiPfnPteFrame(Pfn);

    ASSERT_PFN_LOCKED();
    ASSERT(!MiPfnIsDeleted(Pfn) && MiPfnState(Pfn) != MiFree && MiPfnState(Pfn) != MiZeroed);
    ASSERT((Pfn->u4 & MI_U4_READ) == 0);
    MiAcquireContainingShare(PteFrame);
    Pfn->PteAddress = Pte;
    Pfn->OriginalPte = Original;
    MiPfnChange(Pfn, MI_U4_PTE_FRAME | MI_U4_PROTOTYPE, PteFrame | (Prototype ? MI_U4_PROTOTYPE : 0));
    MiReleaseContainingShare(Before);
}

VOID MiInitializePfnForRead(PFN_FRAME Frame, PMMPTE Pte, ULONG PteFrame, MMPTE Original, ULONG64 Flags,
                            PVOID InPageBlock)
{
    PMMPFN Pfn = MiPfn(Frame);

    MiSetOwner(Pfn, Pte, PteFrame, Original, MiTransition, Flags | MI_U4_READ);
    Pfn->u1.InPageBlock = InPageBlock;
}

VOID MiCompletePfnRead(PFN_FRAME Frame, NTSTATUS Status)
{
    PMMPFN Pfn = MiPfn(Frame);

    ASSERT_PFN_LOCKED();
    ASSERT((Pfn->u4 & MI_U4_READ) != 0 && MiPfnState(Pfn) == MiTransition && MiPfnReferences(Pfn) != 0);
    Pfn->u1.InPageBlock = NULL;
    MiPfnChange(Pfn, MI_U4_READ | MI_U4_ERROR, NT_SUCCESS(Status) ? 0 : MI_U4_ERROR);
}

/* ---- References ---- */

BOOLEAN MiIncrementReferenceCount(PFN_FRAME Frame)
{
    PMMPFN Pfn = MiPfn(Frame);

    ASSERT_PFN_LOCKED();
    if (MiPfnReferences(Pfn) >= MI_MAXIMUM_REFERENCES) {
        return FALSE;
    }
    ASSERT(MiPfnReferences(Pfn) != 0); /* a frame on a list leaves it by MiUnlinkTransition first */
    MiPfnAddReferences(Pfn, 1);
    return TRUE;
}

VOID MiDecrementReferenceCount(PFN_FRAME Frame)
{
    PMMPFN Pfn = MiPfn(Frame);

    ASSERT_PFN_LOCKED();
    ASSERT(MiPfnReferences(Pfn) != 0);
    if (MiPfnAddReferences(Pfn, -1) != 0) {
        return;
    }
    ASSERT(MiPfnState(Pfn) == MiTransition && (Pfn->u4 & MI_U4_READ) == 0);
    if (MiPfnIsDeleted(Pfn)) {
        MiFreeFrame(Frame);
    } else if ((Pfn->u4 & MI_U4_ERROR) != 0) {
        MiRestoreOwner(Pfn);
        MiFreeFrame(Frame);
    } else if ((Pfn->u4 & MI_U4_MODIFIED) != 0) {
        MiInsertListTail(MiListModified, Frame);
    } else {
        MiInsertListTail(MiListStandby0 + MiPfnPriority(Pfn), Frame);
    }
}

/* ---- Shares ---- */

VOID MiIncrementShareCount(PFN_FRAME Frame)
{
    PMMPFN Pfn = MiPfn(Frame);

    ASSERT_PFN_LOCKED();
    ASSERT(MiPfnState(Pfn) == MiActive && Pfn->u1.ShareCount != 0);
    InterlockedIncrement((volatile LONG *)&Pfn->u1.ShareCount); /* a table's also grows without the PFN lock */
}

VOID MiDecrementShareCount(PFN_FRAME Frame)
{
    PMMPFN Pfn = MiPfn(Frame);

    ASSERT_PFN_LOCKED();
    ASSERT(MiPfnState(Pfn) == MiActive && Pfn->u1.ShareCount != 0);
    if (InterlockedDecrement((volatile LONG *)&Pfn->u1.ShareCount) != 0) {
        return;
    }
    if ((Pfn->u4 & MI_U4_PROTOTYPE) != 0 && !MiPfnIsDeleted(Pfn)) {
        MiWritePteInFrame(MiPfnPteFrame(Pfn), MiPfnPteAddress(Pfn), MiMakeTransitionPte(Frame, MiOwnerProtection(Pfn)));
    }
    MiPfnSetState(Pfn, MiTransition);
    MiDecrementReferenceCount(Frame);
}

VOID MiUnlinkTransition(PFN_FRAME Frame)
{
    PMMPFN Pfn = MiPfn(Frame);

    ASSERT_PFN_LOCKED();
    ASSERT((Pfn->u4 & (MI_U4_READ | MI_U4_ERROR)) == 0 && !MiPfnIsDeleted(Pfn));
    if (MiPfnState(Pfn) != MiTransition) {
        MiUnlinkFrame(Frame);
        MiSoftFaults++;
    }
    MiPfnAddReferences(Pfn, 1);
    Pfn->u1.ShareCount = 1;
    Pfn->u1.WorkingSetIndex = 0;
    MiPfnSetState(Pfn, MiActive);
}

VOID MiAcquireContainingShare(ULONG PteFrame)
{
    if (PteFrame != MI_NO_FRAME32) {
        MiIncrementShareCount(PteFrame);
    }
}

VOID MiReleaseContainingShare(ULONG PteFrame)
{
    if (PteFrame != MI_NO_FRAME32) {
        ASSERT(MiPfn(PteFrame)->u1.ShareCount > 1); /* its own share is the last to go, by its owner */
        MiDecrementShareCount(PteFrame);
    }
}

/* ---- Dirt, priority, deletion ---- */

VOID MiSetModified(PFN_FRAME Frame)
{
    PMMPFN Pfn = MiPfn(Frame);

    ASSERT_PFN_LOCKED();
    MiPfnChange(Pfn, 0, MI_U4_MODIFIED);
    if (MiPfnState(Pfn) == MiStandby) {
        MiUnlinkFrame(Frame);
        MiInsertListTail(MiListModified, Frame);
    }
}

VOID MiClearModified(PFN_FRAME Frame)
{
    PMMPFN Pfn = MiPfn(Frame);

    ASSERT_PFN_LOCKED();
    MiPfnChange(Pfn, MI_U4_MODIFIED, 0);
    if (MiPfnState(Pfn) == MiModified) {
        MiUnlinkFrame(Frame);
        MiInsertListTail(MiListStandby0 + MiPfnPriority(Pfn), Frame);
    }
}

VOID MiSetPfnPriority(PFN_FRAME Frame, ULONG Priority)
{
    PMMPFN Pfn = MiPfn(Frame);
    BOOLEAN Listed = MiPfnState(Pfn) == MiStandby;

    ASSERT_PFN_LOCKED();
    ASSERT(Priority < MI_STANDBY_LISTS);
    if (Listed) {
        MiUnlinkFrame(Frame);
    }
    MiPfnChange(Pfn, MI_U4_PRIORITY, (ULONG64)Priority << MI_U4_PRIORITY_SHIFT);
    if (Listed) {
        MiInsertListTail(MiListStandby0 + Priority, Frame);
    }
}

VOID MiDeletePfn(PFN_FRAME Frame)
{
    PMMPFN Pfn = MiPfn(Frame);
    ULONG PteFrame = MiPfnPteFrame(Pfn), State = MiPfnState(Pfn);

    ASSERT_PFN_LOCKED();
    ASSERT(!MiPfnIsDeleted(Pfn) && State != MiFree && State != MiZeroed && State != MiBad);
    Pfn->PteAddressLong |= MI_PTE_ADDRESS_DELETED;
    MiPfnChange(Pfn, MI_U4_PTE_FRAME, MI_NO_FRAME32);
    MiReleaseContainingShare(PteFrame);
    if (State == MiStandby || State == MiModified || State == MiModifiedNoWrite) {
        MiUnlinkFrame(Frame);
        MiFreeFrame(Frame);
    }
}
