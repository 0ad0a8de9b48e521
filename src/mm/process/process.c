/*
 * process.c - address spaces of processes: made and unmade through windows, without being loaded.
 *
 * A new address space is five frames: the PML4, three tables of hyperspace and the first page of the working-set list. The kernel
 * half of the PML4 is copied from the one that is loaded, since its entries were all filled at boot and never change; the
 * self-map entry and hyperspace are the process's own. The user half is empty.
 *
 * An address space is deleted when no processor has it loaded and nobody is attached any more: its tables are then walked through
 * windows by whoever drops the last reference, and nothing has to be flushed: what processors keep of it is never used (pcid.c).
 *
 * Locks: PFN lock. The list of spaces is what MiVerify and the exposure walk go through.
 */
#include "../misection.h"
#include "../miprocess.h"

LIST_ENTRY MiAddressSpaces = {&MiAddressSpaces, &MiAddressSpaces};

#define MI_FIRST_FRAMES 5 /* PML4, PPE table, PDE table, PTE table of hyperspace, first page of the working-set list */

/* The entry of each of them in the one before, from the second on. */
static PMMPTE MiFirstEntry(ULONG Index)
{
    PVOID Hyperspace = (PVOID)MM_HYPERSPACE_BASE;
    PMMPTE Entry[MI_FIRST_FRAMES] = {NULL, MiPxeOf(Hyperspace), MiPpeOf(Hyperspace), MiPdeOf(Hyperspace),
                                     MiPteOf(Hyperspace)};

    return Entry[Index];
}

/* Takes the frames; all or none. The PML4 is nobody's PTE; each of the others is owned by an entry in the one before. */
static BOOLEAN MiTakeFirstFrames(PFN_FRAME *Frame)
{
    KIRQL Irql = MiLockPfn();

    if (!MiHasFrames(MI_FIRST_FRAMES)) {
        MiUnlockPfn(Irql);
        return FALSE;
    }
    for (ULONG Index = 0; Index < MI_FIRST_FRAMES; Index++) {
        Frame[Index] = MiAllocateFrame(MI_FRAME_ZEROED | MI_FRAME_RESERVE); /* counted above: the reserve stays */
        ASSERT(Frame[Index] != 0);
        MiInitializePfn(Frame[Index], MiFirstEntry(Index), Index == 0 ? MI_NO_FRAME32 : (ULONG)Frame[Index - 1],
                        MiMakeDemandZeroPte(MM_READWRITE), MI_U4_MODIFIED);
        if (Index != 0) {
            ULONG64 Bits = Index == MI_FIRST_FRAMES - 1 ? MI_KERNEL_RW_BITS & ~PTE_GLOBAL : MI_TABLE_BITS;

            MiWritePteInFrame((ULONG)Frame[Index - 1], MiFirstEntry(Index), MiMakeValidPte(Frame[Index], Bits));
        }
        if (Index > 1) {
            MiPfn(Frame[Index - 1])->OriginalPte.Soft.UsedEntries = 1;
        }
    }
    MiCountMapped(MmRegionProcess, MI_FIRST_FRAMES);
    MiUnlockPfn(Irql);
    return TRUE;
}

/* The kernel half of a new PML4, and its own self-map entry. */
static VOID MiFillRoot(PFN_FRAME Root, PFN_FRAME Hyperspace)
{
    KIRQL Irql;
    PMMPTE New;

    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    New = MiMapFrame(Root, MiWriteBack);
    RtlCopyMemory(&New[256], (PMMPTE)MI_PXE_BASE + 256, 256 * sizeof(MMPTE));
    New[MM_SELF_SLOT] = MiMakeValidPte(Root, MI_TABLE_BITS | PTE_NX);
    New[MiPxeOf((PVOID)MM_HYPERSPACE_BASE) - (PMMPTE)MI_PXE_BASE] = MiMakeValidPte(Hyperspace, MI_TABLE_BITS);
    MiUnmapFrame(New);
    KeLowerIrql(Irql);
}

NTSTATUS MmCreateProcessAddressSpace(PEPROCESS Process)
{
    PMI_ADDRESS_SPACE Space = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Space), MI_TAG_SPACE);
    PFN_FRAME Frame[MI_FIRST_FRAMES];
    KIRQL Irql;

    ASSERT_IRQL_MAX(APC_LEVEL);
    if (Space == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(Space, sizeof(*Space));
    if (!MiChargeCommit(&Space->Commit, MI_FIRST_FRAMES)) {
        ExFreePoolWithTag(Space, MI_TAG_SPACE);
        return STATUS_COMMITMENT_LIMIT;
    }
    if (!MiTakeFirstFrames(Frame)) {
        MiReturnCommit(&Space->Commit, MI_FIRST_FRAMES);
        ExFreePoolWithTag(Space, MI_TAG_SPACE);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    MiFillRoot(Frame[0], Frame[1]);
    Space->Process = Process;
    Space->RootFrame = (ULONG)Frame[0];
    ExInitializeFastMutex(&Space->AddressLock);
    VfNameLock(&Space->AddressLock, "MI_ADDRESS_SPACE.AddressLock");
    ExInitializeFastMutex(&Space->WorkingSetLock);
    VfNameLock(&Space->WorkingSetLock, "MI_ADDRESS_SPACE.WorkingSetLock");
    Space->Vads.BalancedRoot.Parent = &Space->Vads.BalancedRoot;
    Space->TablePages = MI_FIRST_FRAMES;
    Space->WslFree = 1;
    Space->WslHashLimit = MI_NO_HASH;
    Space->Bottom = MI_LOWEST_USER;
    Space->Top = MI_HIGHEST_VAD;
    Space->MinimumPages = MI_WS_MINIMUM;
    Space->MaximumPages = MI_WS_MAXIMUM;
    Space->WslEntries = MI_WSL_ENTRIES_PER_PAGE;
    Irql = MiLockPfn();
    InsertTailList(&MiAddressSpaces, &Space->Link);
    MiUnlockPfn(Irql);
    MiBeginLife(&Process->Pcb);
    Process->MmSupport = Space;
    Process->Pcb.DirectoryTableBase = (ULONG64)Space->RootFrame << PAGE_SHIFT;
    return STATUS_SUCCESS;
}

VOID MmDeleteProcessAddressSpace(PEPROCESS Process)
{
    PMI_ADDRESS_SPACE Space = MiSpaceOf(Process);

    ASSERT_IRQL_MAX(APC_LEVEL);
    if (Space == NULL) {
        return;
    }
    ASSERT((__readcr3() & PTE_FRAME_MASK) != Process->Pcb.DirectoryTableBase && Process->Pcb.ActiveProcessors == 0);
    MiDeleteSpace(Space);
    Process->MmSupport = NULL;
    ExFreePoolWithTag(Space, MI_TAG_SPACE);
}
