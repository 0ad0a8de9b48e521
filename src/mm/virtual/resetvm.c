/*
 * resetvm.c - MEM_RESET and MEM_RESET_UNDO: pages whose content is of no interest, for now or for good.
 *
 * A reset page leaves the working set clean: its PTE is in transition, its frame on standby at the lowest priority, the first to be
 * repurposed when frames are short and never written anywhere. Until then the content is there:
 *
 *     transition, clean, marked ........ reset; a touch brings the page back, with its claim to be kept
 *     demand zero, marked .............. the frame was taken: the content is lost, the next touch finds zeros
 *     valid or modified, marked ........ was lost, and touched since
 *
 * The mark is MI_PTE_RESET, in the frame's OriginalPte, from where it comes into the PTE when the frame is taken. Undoing makes the
 * first kind modified again and reports the other two; all marks are gone afterwards.
 *
 * Reset is a permission that may go unused: pages that are locked or shared with a clone, large ones, those whose writes are watched
 * and views of sections without a file are left alone.
 *
 * Locks: address lock held by the caller; working-set lock; PFN lock for at most MI_DELETE_BATCH PTEs at a time.
 *
 * Source: VirtualAlloc in the Windows documentation (MEM_RESET, MEM_RESET_UNDO); J. Richter, Programming Applications for Microsoft
 * Windows, chapter 15, for the rounding: only whole pages of the range are reset.
 */
#include "../misection.h"
#include "../miprocess.h"

/* ---- Reset; PFN lock ---- */

/* A frame that no PTE maps any more, or is about to: nobody is to write it, and it goes first. */
static VOID MiDropClaim(PFN_FRAME Frame)
{
    MiPfn(Frame)->OriginalPte.Long |= MI_PTE_RESET;
    MiSetPfnPriority(Frame, 0);
    MiClearModified(Frame);
}

/* Takes a valid private page out of the working set, up to the flush. Returns its frame; 0: it stays. */
static PFN_FRAME MiTakePageOut(PMI_ADDRESS_SPACE Space, PMMPTE Pte, PMI_TLB_FLUSH Flush)
{
    PFN_FRAME Frame = MiPteFrame(*Pte);
    PMMPFN Pfn = MiPfn(Frame);
    PVOID Address = MiAddressOf(Pte);

    Pfn->OriginalPte.Long &= ~MI_PTE_RESET; /* whatever was lost before is of no interest now */
    if (MiPfnReferences(Pfn) != 1 || MI_WSL[MiFindWsle(Space, Frame, Address)].Locked) {
        return 0;
    }
    MiDowngradePte(Flush, Pte, Address, MiMakeTransitionPte(Frame, (ULONG)Pfn->OriginalPte.Soft.Protection));
    MiGiveWsle(Space, Frame, Address);
    return Frame;
}

static VOID MiResetBatch(PMI_ADDRESS_SPACE Space, PMMPTE Pte, ULONG Count)
{
    PFN_FRAME Frame[MI_DELETE_BATCH];
    ULONG Taken = 0;
    MI_TLB_FLUSH Flush;
    KIRQL Irql = MiLockPfn();

    MiBeginTlbFlush(&Flush, MiTlbUser);
    for (ULONG Index = 0; Index < Count; Index++, Pte++) {
        MMPTE Old = *Pte;

        if (Old.Hard.Valid && !Old.Hard.Prototype) {
            Frame[Taken] = MiTakePageOut(Space, Pte, &Flush);
            Taken += Frame[Taken] != 0;
        } else if (MiIsTransitionPte(Old)) {
            if (MiPfnReferences(MiPfn(MiTransitionFrame(Old))) == 0) {
                MiDropClaim(MiTransitionFrame(Old));
            }
        } else if (MiIsDemandZeroPte(Old)) {
            Pte->Long &= ~MI_PTE_RESET;
        }
    }
    MiFlushTlb(&Flush);
    while (Taken != 0) {
        MiDropClaim(Frame[--Taken]);
        MiDecrementShareCount(Frame[Taken]); /* to standby */
    }
    MiUnlockPfn(Irql);
}

/* ---- Undoing; PFN lock ---- */

VOID MiReclaimTouchedPage(PFN_FRAME Frame)
{
    PMMPFN Pfn = MiPfn(Frame);

    ASSERT_PFN_LOCKED();
    if ((Pfn->OriginalPte.Long & MI_PTE_RESET) != 0 && (Pfn->u4 & MI_U4_MODIFIED) == 0) {
        Pfn->OriginalPte.Long &= ~MI_PTE_RESET;
        MiSetPfnPriority(Frame, MI_DEFAULT_PRIORITY);
        MiSetModified(Frame);
    }
}

/* Takes the mark away. FALSE: the page's content was lost. */
static BOOLEAN MiUndoPage(PMMPTE Pte)
{
    MMPTE Old = *Pte;
    PULONG64 Marked = &Pte->Long;
    BOOLEAN Lost;

    if (MiIsTransitionPte(Old)) {
        MiReclaimTouchedPage(MiTransitionFrame(Old)); /* after this a mark means what it means of a valid page */
        Marked = &MiPfn(MiTransitionFrame(Old))->OriginalPte.Long;
    } else if (Old.Hard.Valid && !Old.Hard.Prototype) {
        Marked = &MiPfn(MiPteFrame(Old))->OriginalPte.Long;
    } else if (!MiIsDemandZeroPte(Old)) {
        return TRUE;
    }
    Lost = (*Marked & MI_PTE_RESET) != 0;
    *Marked &= ~MI_PTE_RESET;
    return !Lost;
}

static BOOLEAN MiUndoBatch(PMMPTE Pte, ULONG Count)
{
    BOOLEAN Whole = TRUE;
    KIRQL Irql = MiLockPfn();

    for (ULONG Index = 0; Index < Count; Index++) {
        Whole = MiUndoPage(&Pte[Index]) && Whole;
    }
    MiUnlockPfn(Irql);
    return Whole;
}

/* ---- The range ---- */

NTSTATUS MiResetMemory(PMI_ADDRESS_SPACE Space, ULONG64 First, ULONG64 Last, BOOLEAN Undo)
{
    PMI_VAD Vad = MiFindVad(Space, First);
    BOOLEAN Whole = TRUE;

    if (Vad == NULL || Last > Vad->EndVpn) {
        return STATUS_CONFLICTING_ADDRESSES;
    }
    if (Vad->Type == MiVadMapped && Vad->ControlArea->FileObject != NULL) {
        return STATUS_USER_MAPPED_FILE;
    }
    if (Vad->Type != MiVadPrivate || Vad->LargePages || Vad->WriteWatch) {
        return STATUS_SUCCESS;
    }
    ExAcquireFastMutex(&Space->WorkingSetLock);
    for (ULONG64 Vpn = First; MiNextResidentTable(&Vpn, Last);) {
        ULONG Count = (ULONG)min(min(Last, Vpn | 511) - Vpn + 1, MI_DELETE_BATCH);

        if (Undo) {
            Whole = MiUndoBatch(MiPteOf(MI_VPN_ADDRESS(Vpn)), Count) && Whole;
        } else {
            MiResetBatch(Space, MiPteOf(MI_VPN_ADDRESS(Vpn)), Count);
        }
        Vpn += Count;
    }
    ExReleaseFastMutex(&Space->WorkingSetLock);
    return Whole ? STATUS_SUCCESS : STATUS_DEVICE_BUSY;
}
