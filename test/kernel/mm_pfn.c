/*
 * mm_pfn.c - suite mm.pfn: a frame's way through its states, with a page of prototype PTEs as its owner.
 *
 * After each resting state MiVerify looks at the whole database, so a share or list that is off by one shows
 * at once. The last case damages the database on purpose, to see that MiVerify tells.
 */
#include "mmtest.h"

typedef struct _PROTO {
    PMMPTE Ptes; /* a pool page used as prototype PTEs */
    ULONG Page;  /* its frame */
} PROTO;

/* What goes back into a PTE: a page of a page file, a form that no subsection stands behind. */
static const MMPTE Original = {.Long = MI_PTE_PROTECTION(MM_READONLY) | (0xABCDULL << 32)};

static BOOLEAN ProtoCreate(PROTO *Proto)
{
    Proto->Ptes = ExAllocatePoolWithTag(PagedPool | POOL_ZERO_ALLOCATION, MM_PAGE_SIZE, 'tseT');
    if (Proto->Ptes == NULL) {
        return FALSE;
    }
    Proto->Page = (ULONG)MiPteFrame(*MiPteOf(Proto->Ptes));
    for (ULONG Index = 0; Index < 512; Index++) {
        Proto->Ptes[Index] = Original;
    }
    return TRUE;
}

static VOID ProtoDelete(PROTO *Proto)
{
    ExFreePoolWithTag(Proto->Ptes, 'tseT');
}

/* A frame whose owner is prototype PTE Index: Active with one share. */
static PFN_FRAME ProtoFault(PROTO *Proto, ULONG Index, ULONG64 Flags)
{
    KIRQL Irql = MiLockPfn();
    PFN_FRAME Frame = MiAllocateFrame(MI_FRAME_ZEROED);

    if (Frame != 0) {
        MiInitializePfn(Frame, &Proto->Ptes[Index], Proto->Page, Original, MI_U4_PROTOTYPE | Flags);
        Proto->Ptes[Index] = MiMakeValidPte(Frame, MI_KERNEL_RO_BITS);
    }
    MiUnlockPfn(Irql);
    return Frame;
}

/* Runs one arrow under the PFN lock. */
#define ARROW(Call)                                                                                                    \
    do {                                                                                                               \
        KIRQL ArrowIrql = MiLockPfn();                                                                                 \
        Call;                                                                                                          \
        MiUnlockPfn(ArrowIrql);                                                                                        \
    } while (0)

static BOOLEAN NamesInTransition(MMPTE Pte, PFN_FRAME Frame)
{
    return MiIsTransitionPte(Pte) && MiTransitionFrame(Pte) == Frame && Pte.Trans.Protection == MM_READONLY;
}

static VOID PfnZeroedFrames(PKTAP_CONTEXT Ktap)
{
    ULONG NonZero = 0;

    for (ULONG Turn = 0; Turn < 32; Turn++) {
        PFN_FRAME Frame = TestTakeFrame(MI_FRAME_ZEROED);
        const ULONG64 *Words;
        KIRQL Irql;

        KTAP_CHECK(Frame != 0);
        KeRaiseIrql(DISPATCH_LEVEL, &Irql);
        Words = MiMapFrame(Frame, MiWriteBack);
        for (ULONG Index = 0; Index < MM_PAGE_SIZE / 8; Index++) {
            NonZero += Words[Index] != 0;
        }
        MiUnmapFrame((PVOID)Words);
        TestFillFrame(Frame, 1); /* what the next turn, which is given the same frame, must not see */
        KeLowerIrql(Irql);
        TestGiveFrame(Frame);
    }
    KTAP_EQUAL(NonZero, 0);
    KTAP_EQUAL(MiVerify(), 0);
}

static VOID PfnStandbyAndBack(PKTAP_CONTEXT Ktap)
{
    PROTO Proto;
    PFN_FRAME Frame;
    ULONG64 SoftFaults;

    KTAP_CHECK(ProtoCreate(&Proto));
    Frame = ProtoFault(&Proto, 7, 0);
    KTAP_CHECK(Frame != 0);
    KTAP_EQUAL(MiPfn(Proto.Page)->u1.ShareCount, 2);
    ARROW(MiIncrementShareCount(Frame); MiDecrementShareCount(Frame));
    KTAP_EQUAL(MiPfnState(MiPfn(Frame)), MiActive);
    ARROW(MiDecrementShareCount(Frame));
    KTAP_EQUAL(MiPfnState(MiPfn(Frame)), MiStandby);
    KTAP_EQUAL(MiPfnReferences(MiPfn(Frame)), 0);
    KTAP_CHECK(NamesInTransition(Proto.Ptes[7], Frame));
    KTAP_EQUAL(MiPfn(Proto.Page)->u1.ShareCount, 2);
    KTAP_EQUAL(MiVerify(), 0);

    SoftFaults = MiSoftFaults;
    ARROW(MiUnlinkTransition(Frame); Proto.Ptes[7] = MiMakeValidPte(Frame, MI_KERNEL_RO_BITS));
    KTAP_EQUAL(MiPfnState(MiPfn(Frame)), MiActive);
    KTAP_EQUAL(MiPfn(Frame)->u1.ShareCount, 1);
    KTAP_EQUAL(MiSoftFaults, SoftFaults + 1);

    ARROW(MiDecrementShareCount(Frame); MiDeletePfn(Frame); Proto.Ptes[7].Long = 0);
    KTAP_EQUAL(MiPfnState(MiPfn(Frame)), MiFree);
    KTAP_EQUAL(MiPfn(Proto.Page)->u1.ShareCount, 1);
    ProtoDelete(&Proto);
    KTAP_EQUAL(MiVerify(), 0);
}

static VOID PfnModifiedAndWritten(PKTAP_CONTEXT Ktap)
{
    ULONG64 Before = MiLists[MiListModified].Count;
    PFN_FRAME Frame;
    PROTO Proto;

    KTAP_CHECK(ProtoCreate(&Proto));
    Frame = ProtoFault(&Proto, 0, MI_U4_MODIFIED);
    KTAP_CHECK(Frame != 0);
    ARROW(MiDecrementShareCount(Frame));
    KTAP_EQUAL(MiPfnState(MiPfn(Frame)), MiModified);
    KTAP_EQUAL(MiLists[MiListModified].Count, Before + 1);
    KTAP_EQUAL(MiVerify(), 0);
    ARROW(MiClearModified(Frame));
    KTAP_EQUAL(MiPfnState(MiPfn(Frame)), MiStandby);
    ARROW(MiSetModified(Frame));
    KTAP_EQUAL(MiPfnState(MiPfn(Frame)), MiModified);
    ARROW(MiDeletePfn(Frame); Proto.Ptes[0].Long = 0);
    KTAP_EQUAL(MiPfnState(MiPfn(Frame)), MiFree);
    KTAP_EQUAL(MiLists[MiListModified].Count, Before);
    ProtoDelete(&Proto);
    KTAP_EQUAL(MiVerify(), 0);
}

static VOID PfnRepurposed(PKTAP_CONTEXT Ktap)
{
    PFN_FRAME Frame;
    PROTO Proto;

    KTAP_CHECK(ProtoCreate(&Proto));
    Frame = ProtoFault(&Proto, 511, 0);
    KTAP_CHECK(Frame != 0);
    ARROW(MiSetPfnPriority(Frame, 0); MiDecrementShareCount(Frame));
    KTAP_EQUAL(MiLists[MiListStandby0].Head, Frame);
    ARROW(MiSetPfnPriority(Frame, 3));
    KTAP_EQUAL(MiLists[MiListStandby0 + 3].Tail, Frame);
    ARROW(MiClaimFrame(Frame); MiFreeFrame(Frame));
    KTAP_EQUAL(Proto.Ptes[511].Long, Original.Long);
    KTAP_EQUAL(MiPfn(Proto.Page)->u1.ShareCount, 1);
    KTAP_EQUAL(MiPfnState(MiPfn(Frame)), MiFree);
    ProtoDelete(&Proto);
    KTAP_EQUAL(MiVerify(), 0);
}

/* Read in: a block in flight, then standby. */
static VOID PfnReadSucceeds(PKTAP_CONTEXT Ktap)
{
    PFN_FRAME Frame;
    ULONG Block;
    PROTO Proto;

    KTAP_CHECK(ProtoCreate(&Proto));
    ARROW(Frame = MiAllocateFrame(MI_FRAME_ANY);
          MiInitializePfnForRead(Frame, &Proto.Ptes[1], Proto.Page, Original, MI_U4_PROTOTYPE, &Block);
          Proto.Ptes[1] = MiMakeTransitionPte(Frame, MM_READONLY));
    KTAP_EQUAL(MiPfnState(MiPfn(Frame)), MiTransition);
    KTAP_EQUAL(MiPfn(Frame)->u1.InPageBlock, &Block);
    KTAP_EQUAL(MiVerify(), 0);
    ARROW(MiCompletePfnRead(Frame, STATUS_SUCCESS); MiDecrementReferenceCount(Frame));
    KTAP_EQUAL(MiPfnState(MiPfn(Frame)), MiStandby);
    KTAP_EQUAL(MiVerify(), 0);
    ARROW(MiDeletePfn(Frame); Proto.Ptes[1].Long = 0);
    ProtoDelete(&Proto);
    KTAP_EQUAL(MiVerify(), 0);
}

static VOID PfnReadFails(PKTAP_CONTEXT Ktap)
{
    PFN_FRAME Frame;
    ULONG Block;
    PROTO Proto;

    KTAP_CHECK(ProtoCreate(&Proto));
    ARROW(Frame = MiAllocateFrame(MI_FRAME_ANY);
          MiInitializePfnForRead(Frame, &Proto.Ptes[1], Proto.Page, Original, MI_U4_PROTOTYPE, &Block);
          Proto.Ptes[1] = MiMakeTransitionPte(Frame, MM_READONLY));
    ARROW(MiCompletePfnRead(Frame, STATUS_DEVICE_DATA_ERROR); MiDecrementReferenceCount(Frame));
    KTAP_EQUAL(MiPfnState(MiPfn(Frame)), MiFree);
    KTAP_EQUAL(Proto.Ptes[1].Long, Original.Long);
    KTAP_EQUAL(MiPfn(Proto.Page)->u1.ShareCount, 1);
    ProtoDelete(&Proto);
    KTAP_EQUAL(MiVerify(), 0);
}

/* A locked frame whose last mapping goes is in transition until the lock goes; deleted meanwhile, it is freed then. */
static VOID PfnReferencesOutliveShares(PKTAP_CONTEXT Ktap)
{
    PFN_FRAME Kept, Deleted;
    PROTO Proto;

    KTAP_CHECK(ProtoCreate(&Proto));
    Kept = ProtoFault(&Proto, 2, 0);
    Deleted = ProtoFault(&Proto, 3, 0);
    KTAP_CHECK(Kept != 0 && Deleted != 0);
    ARROW(MiIncrementReferenceCount(Kept); MiIncrementReferenceCount(Deleted));
    ARROW(MiDecrementShareCount(Kept); MiDeletePfn(Deleted); Proto.Ptes[3].Long = 0; MiDecrementShareCount(Deleted));
    KTAP_EQUAL(MiPfnState(MiPfn(Kept)), MiTransition);
    KTAP_EQUAL(MiPfnState(MiPfn(Deleted)), MiTransition);
    KTAP_EQUAL(MiVerify(), 0);
    ARROW(MiSetModified(Kept); MiDecrementReferenceCount(Kept); MiDecrementReferenceCount(Deleted));
    KTAP_EQUAL(MiPfnState(MiPfn(Kept)), MiModified);
    KTAP_EQUAL(MiPfnState(MiPfn(Deleted)), MiFree);
    ARROW(MiDeletePfn(Kept); Proto.Ptes[2].Long = 0);
    ProtoDelete(&Proto);
    KTAP_EQUAL(MiVerify(), 0);
}

static VOID PfnReferenceLimit(PKTAP_CONTEXT Ktap)
{
    PFN_FRAME Frame = TestTakeFrame(MI_FRAME_ANY);
    ULONG Taken = 0;

    KTAP_CHECK(Frame != 0);
    ARROW(while (MiIncrementReferenceCount(Frame)) { Taken++; });
    ARROW(for (ULONG Index = 0; Index < Taken; Index++) { MiDecrementReferenceCount(Frame); });
    KTAP_EQUAL(Taken, MI_MAXIMUM_REFERENCES - 1);
    KTAP_EQUAL(MiPfnReferences(MiPfn(Frame)), 1);
    TestGiveFrame(Frame);
    KTAP_EQUAL(MiVerify(), 0);
}

#define ZERO_SAMPLE 64

/* The zero thread refills its stock when half is used, with frames that are zero although they were dirty before. */
static VOID PfnZeroThreadRefills(PKTAP_CONTEXT Ktap)
{
    static PFN_FRAME Frames[ZERO_SAMPLE];
    LARGE_INTEGER Tick = {.QuadPart = -10 * 10000};
    ULONG64 Zeroed = MiFramesZeroed, NonZero = 0;
    ULONG Waits;
    KIRQL Irql;

    for (ULONG Index = 0; Index < ZERO_SAMPLE; Index++) { /* dirty frames at the head of Free: the next to be zeroed */
        Frames[Index] = TestTakeFrame(MI_FRAME_ANY);
        KTAP_CHECK(Frames[Index] != 0);
        KeRaiseIrql(DISPATCH_LEVEL, &Irql);
        TestFillFrame(Frames[Index], 1);
        KeLowerIrql(Irql);
    }
    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    while (MiLists[MiListZeroed].Count >= MiZeroedTarget / 2) { /* Zeroed -> Free, the stock is low */
        ARROW(PFN_FRAME Frame = MiRemoveListHead(MiListZeroed); MiInsertListTail(MiListFree, Frame));
    }
    for (ULONG Index = 0; Index < ZERO_SAMPLE; Index++) {
        TestGiveFrame(Frames[Index]);
    }
    KeLowerIrql(Irql);
    for (Waits = 0; MiLists[MiListZeroed].Count < MiZeroedTarget && Waits < 1000; Waits++) {
        KeDelayExecutionThread(KernelMode, FALSE, &Tick);
    }
    KTAP_EQUAL(MiLists[MiListZeroed].Count, MiZeroedTarget);
    KTAP_CHECK(MiFramesZeroed >= Zeroed + MiZeroedTarget / 2);
    Irql = MiLockPfn();
    for (ULONG Frame = MiLists[MiListZeroed].Head; Frame != MI_NO_FRAME32; Frame = MiPfn(Frame)->u1.Flink) {
        const ULONG64 *Words = MiMapFrame(Frame, MiWriteBack);

        NonZero += (Words[0] | Words[1] | Words[255] | Words[511]) != 0;
        MiUnmapFrame((PVOID)Words);
    }
    MiUnlockPfn(Irql);
    KTAP_EQUAL(NonZero, 0);
    KTAP_EQUAL(MiVerify(), 0);
}

/* The inverted form: the frame bits of a transition PTE name nothing, and come back whole. */
static VOID PfnTransitionFormIsInverted(PKTAP_CONTEXT Ktap)
{
    for (ULONG Bit = 0; Bit < 32; Bit++) {
        MMPTE Pte = MiMakeTransitionPte(1ULL << Bit, MM_EXECUTE_READWRITE);

        KTAP_EQUAL(MiTransitionFrame(Pte), 1ULL << Bit);
        KTAP_EQUAL(Pte.Soft.Protection, MM_EXECUTE_READWRITE);
        KTAP_CHECK(MiPteFrame(Pte) > 0xFFFFFFFFULL); /* above every frame number there is */
    }
}

/* MiVerify itself: each kind of damage is seen, and the repair too. */
static VOID PfnVerifySeesDamage(PKTAP_CONTEXT Ktap)
{
    PFN_FRAME Frame = TestTakeFrame(MI_FRAME_ANY);
    ULONG Share, State, Count, Owner, Exposure;
    PMMPTE Address;

    KTAP_CHECK(Frame != 0);
    KTAP_EQUAL(MiVerify(), 0);
    MiPfn(Frame)->u1.ShareCount++;
    Share = MiVerify();
    MiPfn(Frame)->u1.ShareCount--;
    ARROW(MiPfnSetState(MiPfn(Frame), MiStandby));
    State = MiVerify();
    ARROW(MiPfnSetState(MiPfn(Frame), MiActive));
    ARROW(MiLists[MiListFree].Count++);
    Count = MiVerify();
    ARROW(MiLists[MiListFree].Count--);
    Address = MiPfn(Frame)->PteAddress;
    MiPfn(Frame)->PteAddress = MiPteOf((PVOID)MM_SHARED_USER_DATA);
    Owner = MiVerify();
    MiPfn(Frame)->PteAddress = Address;
    MiCountMapped(MmRegionOther, 1);
    Exposure = MiVerify();
    MiCountMapped(MmRegionOther, -1);
    TestGiveFrame(Frame);
    KTAP_CHECK(Share != 0);
    KTAP_CHECK(State != 0);
    KTAP_CHECK(Count != 0);
    KTAP_CHECK(Owner != 0);
    KTAP_CHECK(Exposure != 0);
    KTAP_EQUAL(MiVerify(), 0);
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"zeroed_frames", PfnZeroedFrames},
    {"standby_and_back", PfnStandbyAndBack},
    {"modified_and_written", PfnModifiedAndWritten},
    {"repurposed", PfnRepurposed},
    {"read_succeeds", PfnReadSucceeds},
    {"read_fails", PfnReadFails},
    {"references_outlive_shares", PfnReferencesOutliveShares},
    {"reference_limit", PfnReferenceLimit},
    {"zero_thread_refills", PfnZeroThreadRefills},
    {"transition_form_is_inverted", PfnTransitionFormIsInverted},
    {"verify_sees_damage", PfnVerifySeesDamage},
};
KTAP_SUITE(MmPfnSuite, "mm.pfn", Cases);
