/*
 * window.c - how the kernel looks at a frame that nothing maps: 64 slots per processor.
 *
 * Each processor owns one page table at MM_WINDOW_BASE + Number * MM_WINDOW_STRIDE. Slots 0-47 are taken one by one,
 * 48-63 as one batch (zeroing), and four slots behind them belong each to one kind of code that may interrupt a map: the
 * debugger, NMI, machine check, crash dump. A slot is free iff its PTE is 0, so a live slot is never overrun however
 * many maps happen meanwhile.
 *
 * No lock and no IPI: no other processor ever uses these addresses, and IRQL stays at DISPATCH_LEVEL from map to
 * unmap, so neither a thread switch nor a DPC comes between. Unmapping clears the PTE and invalidates it here at once:
 * no stale translation outlives a use. Interrupt service routines never map.
 */
#include "../mip.h"

#define MI_WINDOW_SINGLES 48
#define MI_WINDOW_SLOTS   (MI_WINDOW_SINGLES + MI_WINDOW_BATCH)
C_ASSERT(MI_WINDOW_SLOTS == 64);
C_ASSERT(MI_WINDOW_SLOTS + MiWindowOwners <= MM_WINDOW_STRIDE / MM_PAGE_SIZE);

static VOID MiFillSlot(PMMPTE Pte, PFN_FRAME Frame, MI_CACHE_TYPE CacheType)
{
    MiWriteValidPte(Pte, MiMakeValidPte(Frame, MI_KERNEL_RW_BITS | MiCacheBits(CacheType)));
}

static VOID MiClearSlot(PMMPTE Pte)
{
    *(volatile ULONG64 *)&Pte->Long = 0;
    KeInvalidatePage(MiAddressOf(Pte));
}

static VOID MiCountWindow(PMI_PROCESSOR Processor, ULONG Slots)
{
    Processor->WindowMaps += Slots;
    Processor->WindowLive += Slots;
    if (Processor->WindowLive > Processor->WindowPeak) {
        Processor->WindowPeak = Processor->WindowLive;
    }
}

PVOID MiMapFrame(PFN_FRAME Frame, MI_CACHE_TYPE CacheType)
{
    PMI_PROCESSOR Processor = MiProcessor();
    ULONG Slot = Processor->WindowHint;

    ASSERT_IRQL(DISPATCH_LEVEL);
    for (ULONG Tried = 0; Tried < MI_WINDOW_SINGLES; Tried++) {
        PMMPTE Pte = &Processor->WindowPtes[Slot];

        Slot = Slot + 1 == MI_WINDOW_SINGLES ? 0 : Slot + 1;
        if (Pte->Long == 0) {
            Processor->WindowHint = Slot;
            MiFillSlot(Pte, Frame, CacheType);
            MiCountWindow(Processor, 1);
            return MiAddressOf(Pte);
        }
    }
    /* a leak: the deepest nesting in the kernel is 4 */
    KeBugCheckEx(NO_MORE_SYSTEM_PTES, 1, Processor->WindowLive, Frame, 0);
}

VOID MiUnmapFrame(PVOID Address)
{
    PMI_PROCESSOR Processor = MiProcessor();
    PMMPTE Pte = MiPteOf(Address);

    ASSERT_IRQL(DISPATCH_LEVEL);
    ASSERT(Pte >= Processor->WindowPtes && Pte < Processor->WindowPtes + MI_WINDOW_SINGLES && Pte->Hard.Valid);
    MiClearSlot(Pte);
    Processor->WindowLive--;
}

PVOID MiMapFrames(const PFN_FRAME *Frames, ULONG Count)
{
    PMI_PROCESSOR Processor = MiProcessor();
    PMMPTE First = &Processor->WindowPtes[MI_WINDOW_SINGLES];

    ASSERT_IRQL(DISPATCH_LEVEL);
    ASSERT(Count != 0 && Count <= MI_WINDOW_BATCH);
    for (ULONG Index = 0; Index < Count; Index++) {
        ASSERT(First[Index].Long == 0);
        MiFillSlot(&First[Index], Frames[Index], MiWriteBack);
    }
    MiCountWindow(Processor, Count);
    return MiAddressOf(First);
}

VOID MiUnmapFrames(PVOID Address, ULONG Count)
{
    PMI_PROCESSOR Processor = MiProcessor();
    PMMPTE First = MiPteOf(Address);

    ASSERT_IRQL(DISPATCH_LEVEL);
    ASSERT(First == &Processor->WindowPtes[MI_WINDOW_SINGLES] && Count <= MI_WINDOW_BATCH);
    for (ULONG Index = 0; Index < Count; Index++) {
        ASSERT(First[Index].Hard.Valid);
        MiClearSlot(&First[Index]);
    }
    Processor->WindowLive -= Count;
}

PVOID MiMapFrameForOwner(MI_WINDOW_OWNER Owner, PFN_FRAME Frame, MI_CACHE_TYPE CacheType)
{
    PMMPTE Pte = &MiProcessor()->WindowPtes[MI_WINDOW_SLOTS + Owner];

    if ((ULONG)Owner >= MiWindowOwners || Pte->Long != 0) {
        return NULL;
    }
    MiFillSlot(Pte, Frame, CacheType);
    return MiAddressOf(Pte);
}

VOID MiUnmapFrameForOwner(MI_WINDOW_OWNER Owner)
{
    ASSERT((ULONG)Owner < MiWindowOwners);
    MiClearSlot(&MiProcessor()->WindowPtes[MI_WINDOW_SLOTS + Owner]);
}

VOID MiZeroFrame(PFN_FRAME Frame)
{
    PVOID Address = MiMapFrame(Frame, MiWriteBack);

    RtlZeroMemory(Address, MM_PAGE_SIZE);
    MiUnmapFrame(Address);
}

VOID MiCopyFrame(PFN_FRAME To, PFN_FRAME From)
{
    PVOID Target = MiMapFrame(To, MiWriteBack), Source = MiMapFrame(From, MiWriteBack);

    RtlCopyMemory(Target, Source, MM_PAGE_SIZE);
    MiUnmapFrame(Source);
    MiUnmapFrame(Target);
}

MMPTE MiReadPteInFrame(ULONG PteFrame, PMMPTE Pte)
{
    PUCHAR Address = MiMapFrame(PteFrame, MiWriteBack);
    MMPTE Value = *(volatile MMPTE *)(Address + ((ULONG64)Pte & (MM_PAGE_SIZE - 1)));

    MiUnmapFrame(Address);
    return Value;
}

VOID MiWritePteInFrame(ULONG PteFrame, PMMPTE Pte, MMPTE New)
{
    PUCHAR Address;

    if (PteFrame == MI_NO_FRAME32) {
        *(volatile ULONG64 *)&Pte->Long = New.Long; /* a permanent kernel table: always resident */
        return;
    }
    Address = MiMapFrame(PteFrame, MiWriteBack);
    *(volatile ULONG64 *)(Address + ((ULONG64)Pte & (MM_PAGE_SIZE - 1))) = New.Long;
    MiUnmapFrame(Address);
}
