/*
 * fork.c - fork prototype PTEs: private pages that several address spaces share until one of them writes.
 *
 * Cloning an address space gives the frame of a private page to a fork prototype PTE, from which both processes share it as views
 * share a section's frame: valid PTEs have bit 10 and, where writing is allowed, the copy-on-write mark; PTEs that are not valid are in
 * prototype form and name the fork prototype PTE, with the page's own protection. A fork prototype PTE is valid while a PTE
 * maps the frame and in transition while none does; it never lacks a frame, since the frame is the only copy. It counts the PTEs of all
 * processes that name it, valid or not; the last one to go deletes the frame, and the last one to write takes it over instead of copying.
 * The frame's OriginalPte carries MI_PTE_FORK, which tells it from a section's.
 *
 * They lie in nonpaged pool, a few hundred to an array. An array whose last page has gone is put on a list under the PFN lock and freed
 * by MiFreeDeadForks, which everybody calls who has given up pages, after the lock.
 *
 * Locks: working-set lock of the space whose PTE it is; PFN lock for every change. Nothing here waits.
 */
#include "../misection.h"
#include "../miprocess.h"

LIST_ENTRY MiForks = {&MiForks, &MiForks};
LIST_ENTRY MiDeadForks = {&MiDeadForks, &MiDeadForks};

static PMI_FORK MiArrayOf(PMI_FORK_PAGE Page)
{
    PMI_FORK_PAGE First = Page - Page->Index;

    return CONTAINING_RECORD(First, MI_FORK, Page);
}

PMI_FORK MiCreateFork(VOID)
{
    PMI_FORK Fork = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Fork), MI_TAG_FORK);
    KIRQL Irql;

    if (Fork != NULL) {
        RtlZeroMemory(Fork, sizeof(*Fork));
        Fork->Live = 1;
        Irql = MiLockPfn();
        InsertTailList(&MiForks, &Fork->Link);
        MiUnlockPfn(Irql);
    }
    return Fork;
}

VOID MiReleaseForkLocked(PMI_FORK Fork)
{
    ASSERT_PFN_LOCKED();
    if (--Fork->Live == 0) {
        RemoveEntryList(&Fork->Link);
        InsertTailList(&MiDeadForks, &Fork->Link);
    }
}

VOID MiFreeForkArrays(VOID)
{
    while (!IsListEmpty(&MiDeadForks)) { /* looked at without the lock: whoever adds to it calls this later */
        KIRQL Irql = MiLockPfn();
        PLIST_ENTRY Link = IsListEmpty(&MiDeadForks) ? NULL : RemoveHeadList(&MiDeadForks);

        MiUnlockPfn(Irql);
        if (Link != NULL) {
            ExFreePoolWithTag(CONTAINING_RECORD(Link, MI_FORK, Link), MI_TAG_FORK);
        }
    }
}

/* ---- What a PTE names ---- */

/* The frame of a fork prototype PTE, which it always has. PFN lock. */
static PFN_FRAME MiFrameOfFork(PMI_FORK_PAGE Page)
{
    return Page->Pte.Hard.Valid ? MiPteFrame(Page->Pte) : MiTransitionFrame(Page->Pte);
}

/* The protection with which a PTE shares a page: what is written is copied first. */
static ULONG MiForkProtection(ULONG Protection)
{
    return (Protection & MI_PROTECT_WRITE) != 0 ? Protection | 1 : Protection;
}

MMPTE MiMakeForkPte(PMI_FORK_PAGE Page, ULONG Protection)
{
    if ((Protection & 7) == 0 || MiIsGuardProtection(Protection) || !Page->Pte.Hard.Valid) {
        return MiMakeProtoPte(&Page->Pte, Protection);
    }
    return MiMakeSharedPte(MiPteFrame(Page->Pte), MiForkProtection(Protection));
}

/* ---- References ---- */

PMI_FORK_PAGE MiForkFrame(PMI_FORK Fork, PFN_FRAME Frame)
{
    PMI_FORK_PAGE Page = &Fork->Page[Fork->Used];

    ASSERT_PFN_LOCKED();
    ASSERT(Fork->Used < MI_FORK_PAGES);
    Page->Index = Fork->Used++;
    Page->References = 1;
    Page->Pte =
        MiPfnState(MiPfn(Frame)) == MiActive ? MiMakePrototypeValid(Frame) : MiMakeTransitionPte(Frame, MM_READWRITE);
    Fork->Live++;
    MiChangeOwner(Frame, &Page->Pte, MiFrameOfPrototype(&Page->Pte),
                  (MMPTE){.Long = MiMakeDemandZeroPte(MM_READWRITE).Long | MI_PTE_FORK}, TRUE);
    return Page;
}

/* The frame is somebody else's by now, or gone: the page counts no more. PFN lock. */
static VOID MiForgetForkPage(PMI_FORK_PAGE Page)
{
    Page->Pte.Long = 0;
    Page->References = 0;
    MiReleaseForkLocked(MiArrayOf(Page));
}

VOID MiDereferenceFork(PMI_FORK_PAGE Page)
{
    ASSERT_PFN_LOCKED();
    ASSERT(Page->References != 0);
    if (--Page->References == 0) {
        ASSERT(MiIsTransitionPte(Page->Pte)); /* the last share went before */
        MiDeletePfn(MiTransitionFrame(Page->Pte));
        MiForgetForkPage(Page);
    }
}

/* ---- Faults ---- */

NTSTATUS MiForkFault(PMI_ADDRESS_SPACE Space, PMMPTE Pte, PVOID Address, ULONG Protection, BOOLEAN Write)
{
    PMI_FORK_PAGE Page = MiForkOfPte(*Pte);
    KIRQL Irql;

    if (!MiReserveWsle(Space)) {
        return MI_FAULT_SHORT;
    }
    Irql = MiLockPfn();
    {
        PFN_FRAME Frame = MiShareFrame(&Page->Pte);

        MiWriteValidPte(Pte, MiMakeForkPte(Page, Protection));
        MiTakeWsle(Space, Frame, Address);
    }
    MmFaultCounters.Soft++;
    MiUnlockPfn(Irql);
    return Write ? MiCopyOnWrite(Space, Pte, Address) : STATUS_SUCCESS;
}

BOOLEAN MiTakeForkFrame(PMI_ADDRESS_SPACE Space, PMMPTE Pte, PVOID Address, ULONG Protection)
{
    PFN_FRAME Frame = MiPteFrame(*Pte);
    PMI_FORK_PAGE Page = MiForkOfFrame(Frame);
    ULONG Index;
    MI_WSLE Entry;

    ASSERT_PFN_LOCKED();
    if (Page->References != 1) {
        return FALSE;
    }
    ASSERT(MiPfn(Frame)->u1.ShareCount == 1);
    Index = MiFindWsle(Space, Frame, Address);
    Entry.Long = MI_WSL[Index].Long;
    Entry.Shared = 0;
    MI_WSL[Index].Long = Entry.Long;
    MiMakeWsleDirect(Space, Frame, Index);
    MiChangeOwner(Frame, Pte, MiTableFrameOf(Pte), MiMakeDemandZeroPte(Protection), FALSE);
    MiForgetForkPage(Page);
    /* more is allowed than before: a processor that has the old translation faults once more */
    InterlockedExchange64((volatile LONG64 *)&Pte->Long, (LONG64)MiMakeValidPte(Frame, MiUserPteBits(Protection)).Long);
    KeInvalidatePage(Address);
    return TRUE;
}

/* ---- Copies ---- */

MMPTE MiCopyToTransition(PFN_FRAME From, PMMPTE Pte, ULONG PteFrame, ULONG Protection)
{
    PFN_FRAME Frame = MiAllocateFrame(MI_FRAME_ANY);

    if (Frame == 0) {
        return (MMPTE){.Long = 0};
    }
    MiCopyFrame(Frame, From);
    MiInitializePfn(Frame, Pte, PteFrame, MiMakeDemandZeroPte(Protection), MI_U4_MODIFIED);
    return MiMakeTransitionPte(Frame, Protection);
}

/* The page of a PTE that is not valid becomes the process's own, in transition. FALSE: no frame now. */
static BOOLEAN MiOwnForkPage(PMMPTE Pte, ULONG Protection)
{
    PMI_FORK_PAGE Page = MiForkOfPte(*Pte);
    KIRQL Irql = MiLockPfn();
    MMPTE New = MiCopyToTransition(MiFrameOfFork(Page), Pte, MiTableFrameOf(Pte), Protection);

    if (New.Long != 0) {
        *Pte = New;
        MiDecrementShareCount(MiTransitionFrame(New));
        MiDereferenceFork(Page);
    }
    MiUnlockPfn(Irql);
    MiFreeDeadForks();
    return New.Long != 0;
}

/* ---- Protection ---- */

VOID MiProtectForkPage(PMI_ADDRESS_SPACE Space, PMMPTE Pte, ULONG Protection)
{
    PMI_FORK_PAGE Page = MiForkOfPte(*Pte);
    PVOID Address = MiAddressOf(Pte);
    MI_TLB_FLUSH Flush;
    MMPTE New;
    KIRQL Irql;

    Irql = MiLockPfn();
    if (!Pte->Hard.Valid) {
        Pte->Proto.Protection = Protection;
    } else {
        New = MiMakeForkPte(Page, Protection);
        MiBeginTlbFlush(&Flush, MiTlbUser);
        MiDowngradePte(&Flush, Pte, Address, New);
        MiFlushTlb(&Flush);
        if (!New.Hard.Valid) {
            PFN_FRAME Frame = MiPteFrame(Page->Pte);

            MiGiveWsle(Space, Frame, Address);
            MiDecrementShareCount(Frame);
        }
    }
    MiUnlockPfn(Irql);
}

BOOLEAN MiUnshareForkPage(PMI_ADDRESS_SPACE Space, PMMPTE Pte)
{
    if (Pte->Hard.Valid) {
        return MiCopyOnWrite(Space, Pte, MiAddressOf(Pte)) == STATUS_SUCCESS;
    }
    return MiOwnForkPage(Pte, (ULONG)Pte->Proto.Protection);
}

/* ---- MiVerify ---- */

/* Adds Change for each PTE of the loaded space that names a fork page. */
static VOID MiCountForkReferences(LONG Change)
{
    for (ULONG64 Vpn = MI_VPN(MI_LOWEST_USER); MiNextResidentTable(&Vpn, MI_VPN(MI_HIGHEST_USER));) {
        for (ULONG64 End = Vpn | 511; Vpn <= End; Vpn++) {
            PMI_FORK_PAGE Page = MiForkOfPte(*MiPteOf(MI_VPN_ADDRESS(Vpn)));

            if (Page != NULL) {
                Page->References += (ULONG)Change;
            }
        }
    }
}

static VOID MiCountAllForkReferences(LONG Change)
{
    for (PLIST_ENTRY Link = MiAddressSpaces.Flink; Link != &MiAddressSpaces; Link = Link->Flink) {
        PMI_ADDRESS_SPACE Space = CONTAINING_RECORD(Link, MI_ADDRESS_SPACE, Link);
        ULONG64 Loaded = MiLoadRoot((ULONG64)Space->RootFrame << PAGE_SHIFT);

        MiCountForkReferences(Change);
        MiRestoreRoot(Loaded);
    }
}

/* Every fork page is named by as many PTEs as it says, and names a frame that knows it. PFN lock. */
ULONG MiVerifyForks(VOID)
{
    ULONG Findings = 0;

    if (IsListEmpty(&MiForks)) {
        return 0;
    }
    MiCountAllForkReferences(-1);
    for (PLIST_ENTRY Link = MiForks.Flink; Link != &MiForks; Link = Link->Flink) {
        PMI_FORK Fork = CONTAINING_RECORD(Link, MI_FORK, Link);

        for (ULONG Index = 0; Index < Fork->Used; Index++) {
            PMI_FORK_PAGE Page = &Fork->Page[Index];

            Findings += Page->References != 0;
            Findings += Page->Pte.Long != 0 && MiForkOfFrame(MiFrameOfFork(Page)) != Page;
        }
    }
    MiCountAllForkReferences(1);
    return Findings;
}
