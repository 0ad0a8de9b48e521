/*
 * clone.c - MmCloneProcessAddressSpace: a copy of an address space, made page by page as it is written.
 *
 * VADs are copied in order. What the child gets of a page:
 *
 *     reserved, decommitted, demand zero ...... the same form
 *     shared with a section ................... nothing, or the protection it had: its fault finds the section
 *     private, or copied on write ............. a share of a fork prototype PTE, to which the frame goes over (fork.c)
 *     private and locked by an MDL, watched or not cached ... a copy: writes go on in the parent's frame
 *     large ................................... copies, made while the parent may not write
 *
 * The child's PTEs are left invalid, so that its working-set list stays empty. Parent and child are changed in one hold of the PFN
 * lock, the child's table through a window, and the parent's PTEs lose their write access by rule (a) before the hold ends. Threads of the
 * parent run on meanwhile: each page is copied as it is at one moment, different pages at different ones. Views with ViewUnmap and ranges
 * that an MDL maps are left out. The child is charged what the parent is. A VAD enters the child's tree when its pages are there.
 *
 * Locks: both address locks, then both working-set locks a batch at a time, parent's before child's.
 */
#include "../misection.h"
#include "../miprocess.h"

typedef struct _MI_CLONE {
    PMI_ADDRESS_SPACE Parent, Child;
    PMI_VAD Vad;   /* parent's, being copied */
    PMI_FORK Fork; /* being filled */
} MI_CLONE, *PMI_CLONE;

static VOID MiLockWorkingSets(PMI_CLONE Clone)
{
    ExAcquireFastMutex(&Clone->Parent->WorkingSetLock);
    ExAcquireFastMutex(&Clone->Child->WorkingSetLock);
}

static VOID MiUnlockWorkingSets(PMI_CLONE Clone)
{
    ExReleaseFastMutex(&Clone->Child->WorkingSetLock);
    ExReleaseFastMutex(&Clone->Parent->WorkingSetLock);
}

/* ---- Single pages; PFN lock ---- */

/* A frame that a device may write to, that is watched or that has a cache type of its own stays the parent's alone. */
static BOOLEAN MiMustCopy(PMI_VAD Vad, PFN_FRAME Frame, ULONG Protection)
{
    const MMPFN *Pfn = MiPfn(Frame);
    ULONG Own = MiPfnState(Pfn) == MiActive ? 1 : 0;

    return Vad->WriteWatch || MiPfnReferences(Pfn) > Own || MiPfnCacheType(Pfn) != MiWriteBack ||
           MiProtectionCacheType(Protection) != MiWriteBack;
}

/* The entry of a page in the parent's working-set list says that it is shared. */
static VOID MiMarkShared(PMI_ADDRESS_SPACE Space, PFN_FRAME Frame, PVOID Address)
{
    volatile MI_WSLE *Entry = &MI_WSL[MiFindWsle(Space, Frame, Address)];
    MI_WSLE New = {.Long = Entry->Long};

    New.Shared = 1;
    Entry->Long = New.Long;
}

/* A private page in memory; 0: no frame for a copy. */
static MMPTE MiClonePrivate(PMI_CLONE Clone, PMMPTE Pte, ULONG ChildTable, PMI_TLB_FLUSH Flush)
{
    PVOID Address = MiAddressOf(Pte);
    MMPTE Old = *Pte;
    PFN_FRAME Frame = Old.Hard.Valid ? MiPteFrame(Old) : MiTransitionFrame(Old);
    ULONG Protection = (ULONG)MiPfn(Frame)->OriginalPte.Soft.Protection;
    PMI_FORK_PAGE Page;

    if (!Old.Hard.Valid) {
        MiReclaimTouchedPage(
            Frame); /* a fork page never lacks its frame, and no copy may be made of one that is taken for it */
    }
    if (MiMustCopy(Clone->Vad, Frame, Protection)) {
        MMPTE Copy = MiCopyToTransition(Frame, Pte, ChildTable, Protection);

        if (Copy.Long != 0) {
            MiDecrementShareCount(MiTransitionFrame(Copy));
        }
        return Copy;
    }
    Page = MiForkFrame(Clone->Fork, Frame);
    Page->References++;
    if (Old.Hard.Valid) {
        Old = MiDowngradePte(Flush, Pte, Address, MiMakeForkPte(Page, Protection));
        if (Old.Hard.Dirty) {
            MiSetModified(Frame);
        }
        MiMarkShared(Clone->Parent, Frame, Address);
    } else {
        *Pte = MiMakeForkPte(Page, Protection);
    }
    return MiMakeProtoPte(&Page->Pte, Protection);
}

/* What the child's PTE is to be. FALSE: no frame now. */
static BOOLEAN MiClonePte(PMI_CLONE Clone, PMMPTE Pte, ULONG ChildTable, PMI_TLB_FLUSH Flush, PMMPTE New)
{
    MMPTE Old = *Pte;
    PMI_FORK_PAGE Page = MiForkOfPte(Old);
    ULONG Protection;

    if (Page != NULL) {
        Protection = Old.Hard.Valid ? MiSharedProtection(Old) : (ULONG)Old.Proto.Protection;
        Page->References++;
        *New = MiMakeProtoPte(&Page->Pte, Protection);
        return TRUE;
    }
    if (Old.Hard.Valid && Old.Hard.Prototype) {
        Protection = MiSharedProtection(Old);
        New->Long = Protection == MiFirstProtection(Clone->Vad, MI_VPN(MiAddressOf(Pte)))
                        ? 0
                        : MiVadPointerPte(Protection).Long;
        return TRUE;
    }
    if (Old.Hard.Valid || MiIsTransitionPte(Old)) {
        *New = MiClonePrivate(Clone, Pte, ChildTable, Flush);
        return New->Long != 0;
    }
    *New = Old;
    return TRUE;
}

/* PTEs of one table, up to the first for which there is no frame. Returns how many were done. */
static ULONG MiClonePtes(PMI_CLONE Clone, ULONG64 Vpn, ULONG Count, ULONG ChildTable)
{
    PMMPTE Pte = MiPteOf(MI_VPN_ADDRESS(Vpn)), Table;
    ULONG Done;
    LONG Used = 0;
    MI_TLB_FLUSH Flush;
    KIRQL Irql = MiLockPfn();

    Table = MiMapFrame(ChildTable, MiWriteBack);
    MiBeginTlbFlush(&Flush, MiTlbUser);
    for (Done = 0; Done < Count; Done++) {
        MMPTE New;

        if (!MiClonePte(Clone, &Pte[Done], ChildTable, &Flush, &New)) {
            break;
        }
        Table[(Vpn & 511) + Done] = New;
        Used += New.Long != 0;
    }
    MiFlushTlb(&Flush);
    MiPfn(ChildTable)->OriginalPte.Soft.UsedEntries += (ULONG64)Used;
    MiUnmapFrame(Table);
    MiUnlockPfn(Irql);
    return Done;
}

/* ---- Ranges ---- */

/* The frame of the child's page table of an address; 0: no frame now. Working-set locks held. */
static ULONG MiMakeChildTable(PMI_CLONE Clone, PVOID Address)
{
    KAPC_STATE State;
    ULONG Frame = 0;

    KeStackAttachProcess((PVOID)Clone->Child->Process, &State);
    if (MiMakeProcessTables(Clone->Child, Address)) {
        Frame = MiTableFrameOf(MiPteOf(Address));
    }
    KeUnstackDetachProcess(&State);
    return Frame;
}

static VOID MiReleaseChildTable(PMI_CLONE Clone, PVOID Address)
{
    KAPC_STATE State;

    KeStackAttachProcess((PVOID)Clone->Child->Process, &State);
    MiReleaseEmptyTables(Clone->Child, Address);
    KeUnstackDetachProcess(&State);
}

static BOOLEAN MiIsAllZero(ULONG64 Vpn, ULONG Count)
{
    const MMPTE *Pte = MiPteOf(MI_VPN_ADDRESS(Vpn));
    ULONG64 Bits = 0;

    for (ULONG Index = 0; Index < Count; Index++) {
        Bits |= Pte[Index].Long;
    }
    return Bits == 0;
}

/* Up to a batch of pages at *Vpn, which is moved on. FALSE: no frame now. Working-set locks held. */
static BOOLEAN MiCloneBatch(PMI_CLONE Clone, PULONG64 Vpn)
{
    ULONG64 Last = Clone->Vad->EndVpn;
    ULONG Count, Done, Table;

    if (!MiNextResidentTable(Vpn, Last)) {
        return TRUE;
    }
    Count = (ULONG)min(min(Last, *Vpn | 511) - *Vpn + 1, MI_DELETE_BATCH);
    if (MiIsAllZero(*Vpn, Count)) {
        *Vpn += Count;
        return TRUE;
    }
    Table = MiMakeChildTable(Clone, MI_VPN_ADDRESS(*Vpn));
    if (Table == 0) {
        return FALSE;
    }
    Done = MiClonePtes(Clone, *Vpn, Count, Table);
    if (MiPfn(Table)->OriginalPte.Soft.UsedEntries == 0) {
        MiReleaseChildTable(Clone, MI_VPN_ADDRESS(*Vpn));
    }
    *Vpn += Done;
    return Done == Count;
}

static VOID MiReleaseFork(PMI_CLONE Clone)
{
    if (Clone->Fork != NULL) {
        KIRQL Irql = MiLockPfn();

        MiReleaseForkLocked(Clone->Fork);
        MiUnlockPfn(Irql);
        MiFreeDeadForks();
        Clone->Fork = NULL;
    }
}

/* Room for a batch of fork pages. */
static BOOLEAN MiReserveFork(PMI_CLONE Clone)
{
    if (Clone->Fork != NULL && Clone->Fork->Used + MI_DELETE_BATCH > MI_FORK_PAGES) {
        MiReleaseFork(Clone);
    }
    if (Clone->Fork == NULL) {
        Clone->Fork = MiCreateFork();
    }
    return Clone->Fork != NULL;
}

static NTSTATUS MiClonePages(PMI_CLONE Clone)
{
    for (ULONG64 Vpn = Clone->Vad->StartVpn; Vpn <= Clone->Vad->EndVpn;) {
        BOOLEAN Short;

        if (!MiReserveFork(Clone)) {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        MiLockWorkingSets(Clone);
        Short = !MiCloneBatch(Clone, &Vpn);
        MiUnlockWorkingSets(Clone);
        if (Short) {
            MiWaitForFrames(); /* the pages are charged: they come */
        }
    }
    return STATUS_SUCCESS;
}

/* ---- VADs ---- */

/* A copy of the parent's VAD, charged, with no pages yet. */
static NTSTATUS MiCreateClonedVad(PMI_CLONE Clone, PMI_VAD *Result)
{
    PMI_VAD New = MiCreateVad(Clone->Vad->Type, 0, 0, 0);

    if (New == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    *New = *Clone->Vad;
    RtlZeroMemory(&New->Links, sizeof(New->Links));
    New->WriteWatch = FALSE;
    New->Secured =
        New->Type == MiVadMapped && New->StartVpn == MI_VPN(MM_SHARED_USER_VA); /* as MmMapSharedUserPage does */
    if (New->Commit != 0 && !MiChargeProcess(Clone->Child, New->Commit)) {
        ExFreePoolWithTag(New, MI_TAG_VAD);
        return STATUS_COMMITMENT_LIMIT;
    }
    if (New->Type == MiVadMapped) {
        MiCountView(New->ControlArea, 1, TRUE);
    }
    *Result = New;
    return STATUS_SUCCESS;
}

/* Private pages are copied, a view's are the same; each has the protection that it has in the parent. */
static NTSTATUS MiCloneLargeVad(PMI_CLONE Clone, PMI_VAD New)
{
    KAPC_STATE State;
    NTSTATUS Status;

    KeStackAttachProcess((PVOID)Clone->Child->Process, &State);
    Status = MiFillLargeVad(Clone->Child, New);
    KeUnstackDetachProcess(&State);
    for (ULONG64 Vpn = New->StartVpn; Vpn <= New->EndVpn && NT_SUCCESS(Status); Vpn += MM_LARGE_PAGE / PAGE_SIZE) {
        PFN_FRAME To;
        MMPTE Pde;

        KeStackAttachProcess((PVOID)Clone->Child->Process, &State);
        To = MiPteFrame(*MiPdeOf(MI_VPN_ADDRESS(Vpn)));
        KeUnstackDetachProcess(&State);
        ExAcquireFastMutex(&Clone->Parent->WorkingSetLock);
        Pde = New->Type == MiVadMapped ? *MiPdeOf(MI_VPN_ADDRESS(Vpn)) : MiCopyLargePage(To, MI_VPN_ADDRESS(Vpn));
        ExReleaseFastMutex(&Clone->Parent->WorkingSetLock);
        KeStackAttachProcess((PVOID)Clone->Child->Process,
                             &State); /* which nobody runs in: no other processor has the entry */
        *MiPdeOf(MI_VPN_ADDRESS(Vpn)) = MiMakeValidPte(To, Pde.Long & ~MI_PTE_FRAME_BITS);
        KeInvalidatePage(MI_VPN_ADDRESS(Vpn));
        KeUnstackDetachProcess(&State);
    }
    return Status;
}

static NTSTATUS MiCloneVad(PMI_CLONE Clone)
{
    PMI_VAD New;
    NTSTATUS Status;

    if (Clone->Vad->Type == MiVadLocked || (Clone->Vad->Type == MiVadMapped && Clone->Vad->Inherit == ViewUnmap)) {
        return STATUS_SUCCESS;
    }
    Status = MiCreateClonedVad(Clone, &New);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = New->LargePages ? MiCloneLargeVad(Clone, New) : MiClonePages(Clone);
    ExAcquireFastMutex(&Clone->Child->WorkingSetLock);
    MiInsertVad(Clone->Child, New); /* also when it failed: what it has is undone with the rest */
    ExReleaseFastMutex(&Clone->Child->WorkingSetLock);
    return Status;
}

/* Takes away what the child has got. */
static VOID MiUndoClone(PMI_ADDRESS_SPACE Child)
{
    KAPC_STATE State;
    PMI_VAD Vad;

    KeStackAttachProcess((PVOID)Child->Process, &State);
    ExAcquireFastMutex(&Child->WorkingSetLock);
    while ((Vad = MiNextVad(Child, NULL)) != NULL) {
        if (Vad->LargePages) {
            MiEmptyLargeVad(Child, Vad);
        }
        MiDeleteUserRange(Child, Vad->StartVpn, Vad->EndVpn, (MMPTE){.Long = 0});
        MiRemoveVad(Child, Vad);
        MiReturnCommit(&Child->Commit, Vad->Commit);
        MiForgetView(Vad);
        ExFreePoolWithTag(Vad, MI_TAG_VAD);
    }
    ExReleaseFastMutex(&Child->WorkingSetLock);
    KeUnstackDetachProcess(&State);
}

/* Address locks held, parent loaded. */
static NTSTATUS MiCloneSpace(PMI_CLONE Clone)
{
    NTSTATUS Status = STATUS_SUCCESS;

    if (Clone->Parent->Deleted || Clone->Child->Deleted) {
        return STATUS_PROCESS_IS_TERMINATING;
    }
    if (MiNextVad(Clone->Child, NULL) != NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    Clone->Child->Bottom = Clone->Parent->Bottom;
    Clone->Child->Top = Clone->Parent->Top;
    while (NT_SUCCESS(Status) && (Clone->Vad = MiNextVad(Clone->Parent, Clone->Vad)) != NULL) {
        Status = MiCloneVad(Clone);
    }
    MiReleaseFork(Clone);
    if (!NT_SUCCESS(Status)) {
        MiUndoClone(Clone->Child);
    }
    return Status;
}

/* See ntos/mm.h. */
NTSTATUS MmCloneProcessAddressSpace(PEPROCESS Parent, PEPROCESS Child)
{
    MI_CLONE Clone = {.Parent = MiSpaceOf(Parent), .Child = MiSpaceOf(Child)};
    KAPC_STATE State;
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    if (Clone.Parent == NULL || Clone.Child == NULL || Parent == Child) {
        return STATUS_INVALID_PARAMETER;
    }
    KeStackAttachProcess((PVOID)Parent, &State);
    ExAcquireFastMutex(&Clone.Parent->AddressLock);
    ExAcquireFastMutex(&Clone.Child->AddressLock);
    Status = MiCloneSpace(&Clone);
    ExReleaseFastMutex(&Clone.Child->AddressLock);
    ExReleaseFastMutex(&Clone.Parent->AddressLock);
    KeUnstackDetachProcess(&State);
    return Status;
}
