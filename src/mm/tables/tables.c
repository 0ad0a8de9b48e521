/*
 * tables.c - kernel page tables, reached through the self-map alone.
 *
 * There is no linear map to write a fresh table through. In phase 0, and only there, a table is linked into its parent
 * and then zeroed at its own self-map address, while nothing can use what it maps; later a frame is zeroed in
 * a window first and linked after, so that no processor can walk through garbage.
 *
 * Kernel tables are permanent: no one frees them, so a table once found resident stays so and may be read at any
 * IRQL without a lock. Their frames hold a share count of 1 and no containing share. Two processors that build the same table at once
 * are told apart by the PFN lock: the loser finds the parent entry valid.
 *
 * Locks: takes the PFN lock; callers' locks (ranges, working sets) are outside it. IRQL <= DISPATCH_LEVEL.
 */
#include "../bootp.h"

BOOLEAN MiPfnReady;

PMMPTE MiFindLeaf(const VOID *Address, PULONG Level)
{
    PMMPTE Entry = MiPxeOf(Address);

    if (!Entry->Hard.Valid) {
        return NULL;
    }
    Entry = MiPpeOf(Address);
    *Level = 2;
    if (!Entry->Hard.Valid || Entry->Hard.Large) {
        return Entry->Hard.Valid ? Entry : NULL;
    }
    Entry = MiPdeOf(Address);
    *Level = 1;
    if (!Entry->Hard.Valid || Entry->Hard.Large) {
        return Entry->Hard.Valid ? Entry : NULL;
    }
    *Level = 0;
    return MiPteOf(Address);
}

/* Tables of the user half are freed under the PFN lock, so a look at them holds it, where IRQL and an earlier hold let it. */
MMPTE MiReadLeaf(const VOID *Address, PULONG Level)
{
    BOOLEAN Lock = (LONG64)Address >= 0 && KeGetCurrentIrql() <= DISPATCH_LEVEL && !MiIsPfnLocked();
    KIRQL Irql = Lock ? MiLockPfn() : 0;
    PMMPTE Leaf = MiFindLeaf(Address, Level);
    MMPTE Content = {.Long = Leaf == NULL ? 0 : *(volatile ULONG64 *)&Leaf->Long};

    if (Lock) {
        MiUnlockPfn(Irql);
    }
    return Content;
}

/* Links a fresh table below Entry. FALSE: memory is short. */
static BOOLEAN MiMakeTable(PMMPTE Entry)
{
    PVOID Table = MiAddressOf(Entry);
    PFN_FRAME Frame;
    KIRQL Irql;
    BOOLEAN Made = FALSE;

    if (!MiPfnReady) {
        MiWriteValidPte(Entry, MiMakeValidPte(MiBootTake(), MI_TABLE_BITS));
        KeInvalidatePage(Table);
        RtlZeroMemory(Table, MM_PAGE_SIZE);
        return TRUE;
    }
    Irql = MiLockPfn();
    if (Entry->Hard.Valid) {
        MiUnlockPfn(Irql);
        return TRUE;
    }
    Frame = MiAllocateFrame(MI_FRAME_ZEROED);
    if (Frame != 0) {
        MiInitializePfn(Frame, Entry, MI_NO_FRAME32, MiMakeDemandZeroPte(0), 0);
        MiWriteValidPte(Entry, MiMakeValidPte(Frame, MI_TABLE_BITS));
        MiCountMapped(MmRegionPageTables, 1);
        Made = TRUE;
    }
    MiUnlockPfn(Irql);
    return Made;
}

VOID MiBootMakeTable(PMMPTE Entry)
{
    MiMakeTable(Entry);
}

BOOLEAN MiMakeTablesResident(PVOID Base, SIZE_T Bytes)
{
    ULONG64 Next = (ULONG64)Base & ~(MM_LARGE_PAGE - 1), Last = (ULONG64)Base + Bytes - 1;

    ASSERT((LONG64)Next < 0 && Bytes != 0 && Last >= (ULONG64)Base);
    for (; Next <= Last; Next += MM_LARGE_PAGE) {
        PVOID Address = (PVOID)Next;

        ASSERT(MiPxeOf(Address)->Hard.Valid); /* filled for every region at boot, never changed again */
        if (!MiPpeOf(Address)->Hard.Valid && !MiMakeTable(MiPpeOf(Address))) {
            return FALSE;
        }
        if (!MiPdeOf(Address)->Hard.Valid && !MiMakeTable(MiPdeOf(Address))) {
            return FALSE;
        }
    }
    return TRUE;
}

VOID MiBootMap(PVOID Address, PFN_FRAME Frame)
{
    MiMakeTablesResident(Address, MM_PAGE_SIZE);
    MiWriteValidPte(MiPteOf(Address), MiMakeValidPte(Frame, MI_KERNEL_RW_BITS));
}

VOID MiBootMapLarge(PVOID Address, PFN_FRAME Frame)
{
    if (!MiPpeOf(Address)->Hard.Valid) {
        MiMakeTable(MiPpeOf(Address));
    }
    MiWriteValidPte(MiPdeOf(Address), MiMakeValidPte(Frame, MI_KERNEL_RW_BITS | PTE_LARGE));
}

/* Frames are taken this many to an acquisition of the PFN lock, which bounds how long it is held (zeroing included). */
#define MI_MAP_CHUNK 16

BOOLEAN MiMapKernelPages(PVOID Base, SIZE_T Pages, ULONG64 PteBits, ULONG Flags, MM_REGION Region)
{
    PMMPTE Pte = MiPteOf(Base);
    SIZE_T Done = 0;

    while (Done < Pages) {
        KIRQL Irql = MiLockPfn();
        SIZE_T Before = Done;

        for (SIZE_T Left = min(Pages - Done, MI_MAP_CHUNK); Left != 0; Left--) {
            PFN_FRAME Frame = MiAllocateFrame(Flags);

            if (Frame == 0) {
                break;
            }
            /* OriginalPte 0: the pools tell by it the first page of a run from the others */
            MiInitializePfn(Frame, &Pte[Done], MI_NO_FRAME32, (MMPTE){.Long = 0}, 0);
            MiWriteValidPte(&Pte[Done++], MiMakeValidPte(Frame, PteBits));
        }
        MiCountMapped(Region, (LONG64)(Done - Before));
        MiUnlockPfn(Irql);
        if (Done < Pages && Done - Before < MI_MAP_CHUNK) {
            MiUnmapKernelPages(Base, Done, Region);
            return FALSE;
        }
    }
    return TRUE;
}

/* Clears up to MI_MAP_CHUNK PTEs and frees their frames, in one hold of the PFN lock: MiVerify sees all of it or nothing. */
static VOID MiUnmapChunk(PMMPTE Pte, ULONG Pages, MM_REGION Region, MI_TLB_RULE Rule)
{
    PFN_FRAME Frames[MI_MAP_CHUNK];
    MI_TLB_FLUSH Flush;
    ULONG Epoch;
    KIRQL Irql = MiLockPfn();

    MiBeginTlbFlush(&Flush, Rule);
    for (ULONG Index = 0; Index < Pages; Index++) {
        MMPTE Old = MiDowngradePte(&Flush, &Pte[Index], MiAddressOf(&Pte[Index]), (MMPTE){.Long = 0});

        ASSERT(Old.Hard.Valid);
        Frames[Index] = MiPteFrame(Old);
    }
    Epoch = MiFlushTlb(&Flush);
    MiCountMapped(Region, -(LONG64)Pages);
    for (ULONG Index = 0; Index < Pages; Index++) {
        MiTagFrame(MiPfn(Frames[Index]), Epoch);
        MiDeletePfn(Frames[Index]);
        MiDecrementShareCount(Frames[Index]);
    }
    MiUnlockPfn(Irql);
}

VOID MiUnmapKernelPagesByRule(PVOID Base, SIZE_T Pages, MM_REGION Region, MI_TLB_RULE Rule)
{
    PMMPTE Pte = MiPteOf(Base);

    for (SIZE_T Done = 0; Done < Pages; Done += MI_MAP_CHUNK) {
        MiUnmapChunk(&Pte[Done], (ULONG)min(Pages - Done, MI_MAP_CHUNK), Region, Rule);
    }
}

VOID MiUnmapKernelPages(PVOID Base, SIZE_T Pages, MM_REGION Region)
{
    MiUnmapKernelPagesByRule(Base, Pages, Region, MiTlbSystemLazy);
}
