/*
 * systempte.c - runs of kernel addresses: system PTEs, and the same allocator for the pools' regions.
 *
 * A range is a region of address space with a bitmap, one bit a page, that lies at the region's own start and is
 * backed page by page as the range grows. A range grows by whole page tables (2 MB of addresses) and only when no free run is
 * long enough; tables and bitmap pages are permanent. The search goes on from where the last one ended (next fit), so
 * an address is used again as late as possible.
 *
 * That matters because releasing does not flush: a released PTE holds the TLB stamp of its release (as an
 * inverted, never valid frame number), and reserving it again flushes all processors only if no whole flush has
 * happened since. One flush thus pays for a whole turn of the range. With one processor the local
 * invalidation at the downgrade is enough, and the PTE is 0.
 *
 * Locks: one spin lock a range (DISPATCH_LEVEL), outside the PFN and TLB locks. Never waits. Callers own what they map.
 */
#include "../mip.h"
#include "../range.h"

#define MI_BITS 64

static ULONG64 *MiBitmap(PMI_RANGE Range)
{
    return (ULONG64 *)Range->Base;
}

static BOOLEAN MiBackBitmap(PMI_RANGE Range, ULONG64 Limit)
{
    SIZE_T Needed = ALIGN_UP_BY((Limit + 7) / 8, MM_PAGE_SIZE) / MM_PAGE_SIZE;
    SIZE_T Have = Range->BitmapPages;

    if (Needed <= Have) {
        return TRUE;
    }
    if (!MiMakeTablesResident(Range->Base + Have * MM_PAGE_SIZE, (Needed - Have) * MM_PAGE_SIZE) ||
        !MiMapKernelPages(Range->Base + Have * MM_PAGE_SIZE, Needed - Have, MI_KERNEL_RW_BITS, MI_FRAME_ZEROED,
                          Range->Region)) {
        return FALSE;
    }
    Range->BitmapPages = Needed;
    return TRUE;
}

static VOID MiSetBits(PMI_RANGE Range, ULONG64 First, ULONG64 Count, BOOLEAN Used)
{
    ULONG64 *Bitmap = MiBitmap(Range);

    for (ULONG64 Bit = First; Bit < First + Count; Bit++) {
        ULONG64 Mask = 1ULL << (Bit % MI_BITS);

        ASSERT(((Bitmap[Bit / MI_BITS] & Mask) != 0) != Used);
        Bitmap[Bit / MI_BITS] ^= Mask;
    }
}

/* Makes Pages more addresses usable. FALSE: memory is short, or the region is used up. */
static BOOLEAN MiGrowRange(PMI_RANGE Range, ULONG64 Pages)
{
    const ULONG64 Table = MM_LARGE_PAGE / MM_PAGE_SIZE;
    ULONG64 Limit = ALIGN_UP_BY(Range->Limit + Pages, Table);

    if (Limit > Range->Maximum || !MiBackBitmap(Range, Limit) ||
        !MiMakeTablesResident(Range->Base + Range->Limit * MM_PAGE_SIZE, (Limit - Range->Limit) * MM_PAGE_SIZE)) {
        return FALSE;
    }
    Range->Free += Limit - Range->Limit;
    Range->Limit = Limit;
    return TRUE;
}

/* First run of Count clear bits in [From, To); To: none. */
static ULONG64 MiFindRun(PMI_RANGE Range, ULONG64 From, ULONG64 To, ULONG64 Count)
{
    const ULONG64 *Bitmap = MiBitmap(Range);
    ULONG64 Run = 0;

    for (ULONG64 Bit = From; Bit < To;) {
        ULONG64 Word = Bitmap[Bit / MI_BITS];

        if (Bit % MI_BITS == 0 && Word == ~0ULL) {
            Run = 0;
            Bit += MI_BITS;
            continue;
        }
        Run = (Word >> (Bit % MI_BITS)) & 1 ? 0 : Run + 1;
        Bit++;
        if (Run == Count) {
            return Bit - Count;
        }
    }
    return To;
}

static BOOLEAN MiTakeRun(PMI_RANGE Range, ULONG64 Count, ULONG64 *First)
{
    ULONG64 Found;

    if (Range->Free >= Count) {
        Found = MiFindRun(Range, Range->Rotor, Range->Limit, Count);
        if (Found == Range->Limit) {
            Found = MiFindRun(Range, 0, Range->Limit, Count);
        }
        if (Found != Range->Limit) {
            *First = Found;
            return TRUE;
        }
    }
    Found = Range->Limit;
    if (!MiGrowRange(Range, Count)) {
        return FALSE;
    }
    *First = MiFindRun(Range, Found, Range->Limit, Count);
    ASSERT(*First != Range->Limit);
    return TRUE;
}

/* What a released PTE holds: the stamp, inverted like a transition PTE's frame so that it names no RAM. */
static MMPTE MiStampPte(ULONG64 Stamp)
{
    MMPTE Pte = {.Long = ~(Stamp << MI_PTE_FRAME_SHIFT) & MI_PTE_FRAME_BITS};
    return Pte;
}

/* Clears stamps from PTEs that are to be used again, after a flush if one of them needs it. */
static VOID MiPrepareReuse(PMI_RANGE Range, PMMPTE Pte, ULONG64 Count)
{
    for (ULONG64 Index = 0; Index < Count; Index++) {
        ASSERT(!Pte[Index].Hard.Valid);
        if (Pte[Index].Long == 0) {
            continue;
        }
        if (!MiTlbStampPassed((~Pte[Index].Long & MI_PTE_FRAME_BITS) >> MI_PTE_FRAME_SHIFT)) {
            MiFlushAllTlb();
            Range->Flushes++;
        }
        Pte[Index].Long = 0;
    }
}

BOOLEAN MiInitializeRange(PMI_RANGE Range, PVOID Base, SIZE_T Bytes, MM_REGION Region)
{
    ULONG64 Bitmap = ALIGN_UP_BY(Bytes / MM_PAGE_SIZE / 8, MM_PAGE_SIZE) / MM_PAGE_SIZE;

    RtlZeroMemory(Range, sizeof(*Range));
    KeInitializeSpinLock(&Range->Lock);
    VfNameLock(&Range->Lock, "MI_RANGE.Lock");
    Range->Base = Base;
    Range->Maximum = Bytes / MM_PAGE_SIZE;
    Range->Region = Region;
    Range->Reserved = Bitmap;
    /* the bitmap's own addresses stay outside the search: growth of the bitmap needs no run */
    Range->Limit = Bitmap;
    if (!MiBackBitmap(Range, Bitmap + MM_LARGE_PAGE / MM_PAGE_SIZE)) {
        return FALSE;
    }
    MiSetBits(Range, 0, Bitmap, TRUE);
    Range->Rotor = Bitmap;
    return MiGrowRange(Range, 1);
}

PVOID MiReserveRange(PMI_RANGE Range, ULONG64 Pages)
{
    ULONG64 First;
    PUCHAR Address;
    KIRQL Irql;

    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    KeAcquireSpinLock(&Range->Lock, &Irql);
    if (Pages == 0 || Pages > Range->Maximum || !MiTakeRun(Range, Pages, &First)) {
        Range->Failures++;
        KeReleaseSpinLock(&Range->Lock, Irql);
        return NULL;
    }
    MiSetBits(Range, First, Pages, TRUE);
    Range->Free -= Pages;
    Range->Used += Pages;
    Range->Rotor = First + Pages == Range->Limit ? Range->Reserved : First + Pages;
    Address = Range->Base + First * MM_PAGE_SIZE;
    MiPrepareReuse(Range, MiPteOf(Address), Pages);
    KeReleaseSpinLock(&Range->Lock, Irql);
    return Address;
}

VOID MiReleaseRange(PMI_RANGE Range, PVOID Address, ULONG64 Pages)
{
    ULONG64 First = ((PUCHAR)Address - Range->Base) / MM_PAGE_SIZE;
    PMMPTE Pte = MiPteOf(Address);
    MI_TLB_FLUSH Flush;
    MMPTE Stamp;
    KIRQL Irql;

    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    ASSERT((PUCHAR)Address >= Range->Base && First >= Range->Reserved && First + Pages <= Range->Limit);
    MiBeginTlbFlush(&Flush, MiTlbSystemLazy);
    for (ULONG64 Index = 0; Index < Pages; Index++) {
        MiDowngradePte(&Flush, &Pte[Index], MiAddressOf(&Pte[Index]), (MMPTE){.Long = 0});
    }
    MiFlushTlb(&Flush);
    Stamp = KeNumberOfActiveProcessors > 1 ? MiStampPte(MiTlbStamp()) : (MMPTE){.Long = 0};
    for (ULONG64 Index = 0; Index < Pages; Index++) {
        Pte[Index] = Stamp;
    }
    KeAcquireSpinLock(&Range->Lock, &Irql);
    MiSetBits(Range, First, Pages, FALSE);
    Range->Free += Pages;
    Range->Used -= Pages;
    KeReleaseSpinLock(&Range->Lock, Irql);
}

MI_RANGE MiSystemPtes;
VF_NAME_LOCK(MiSystemPtes, "MI_RANGE.Lock");

PMMPTE MiReserveSystemPtes(ULONG Count)
{
    PVOID Address = MiReserveRange(&MiSystemPtes, Count);

    return Address == NULL ? NULL : MiPteOf(Address);
}

VOID MiReleaseSystemPtes(PMMPTE First, ULONG Count)
{
    MiReleaseRange(&MiSystemPtes, MiAddressOf(First), Count);
}
