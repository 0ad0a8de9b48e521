/*
 * wslhash.c - the hash by which a process finds the working-set entries of pages that another process had first.
 *
 * The frame of a page names one entry, that of the first process to map it, which is Direct. A list of one page is searched for the others;
 * once it is longer they are entered in a table of indices, in the other half of hyperspace: open addressing with linear
 * probing, keyed by the page number that the entry itself holds, and closed up when one goes, so that no slot is ever merely left behind. Its
 * size is a power of two, at least a page, and doubles when it is half full.
 *
 * A hash is a convenience: growth that finds no frames goes as far as there are any, entries for which it has no room are counted
 * (WslIndirect - WslHashed), and while there are such the list is searched for what the hash does not know. Its pages are charged and counted as
 * the list's are, and go with them. It is filled anew, entry by entry, while nobody but the holder of the working-set lock can need it and
 * MiVerify is told that there is none, so that nothing is held for long.
 *
 * Locks: working-set lock; entries change at DISPATCH_LEVEL, under the PFN lock, with those of the list.
 */
#include "../miprocess.h"

#define MI_HASH                ((volatile ULONG *)(MM_HYPERSPACE_BASE + MM_HYPERSPACE_SIZE / 2))
#define MI_HASH_SLOTS_PER_PAGE ((ULONG)(MM_PAGE_SIZE / sizeof(ULONG)))
#define MI_NO_SLOT             MAXULONG

/* A shift and a mask of the product with 2^64 divided by the golden ratio: neighbours in memory lie far apart here. */
static ULONG MiHomeSlot(ULONG64 Vpn, ULONG Slots)
{
    return (ULONG)((Vpn * 0x9E3779B97F4A7C15ULL) >> 32) & (Slots - 1);
}

/* Behind an eighth of empty slots, searches end soon. */
static BOOLEAN MiIsHashFull(ULONG Entries, ULONG Slots)
{
    return Entries >= Slots - Slots / 8;
}

static VOID MiEnterSlot(ULONG Slots, ULONG Index)
{
    ULONG Slot = MiHomeSlot(MI_WSL[Index].Vpn, Slots);

    while (MI_HASH[Slot] != 0) {
        Slot = (Slot + 1) & (Slots - 1);
    }
    MI_HASH[Slot] = Index;
}

static ULONG MiFindSlot(PMI_ADDRESS_SPACE Space, ULONG64 Vpn)
{
    ULONG Slots = Space->WslHashSlots, Slot;

    if (Slots == 0) {
        return MI_NO_SLOT;
    }
    for (Slot = MiHomeSlot(Vpn, Slots); MI_HASH[Slot] != 0; Slot = (Slot + 1) & (Slots - 1)) {
        MI_COUNT_PROBE();
        if (MI_WSL[MI_HASH[Slot]].Vpn == Vpn) {
            return Slot;
        }
    }
    return MI_NO_SLOT;
}

/* Empties a slot and moves up what stands behind it, so that every entry can still be reached from its home. */
static VOID MiEmptySlot(ULONG Slots, ULONG Slot)
{
    ULONG Mask = Slots - 1, Hole = Slot;

    for (ULONG Next = (Slot + 1) & Mask; MI_HASH[Next] != 0; Next = (Next + 1) & Mask) {
        ULONG Home = MiHomeSlot(MI_WSL[MI_HASH[Next]].Vpn, Slots);

        if (((Next - Home) & Mask) >= ((Next - Hole) & Mask)) {
            MI_HASH[Hole] = MI_HASH[Next];
            Hole = Next;
        }
    }
    MI_HASH[Hole] = 0;
}

ULONG MiFindInWslHash(PMI_ADDRESS_SPACE Space, ULONG64 Vpn)
{
    ULONG Slot = MiFindSlot(Space, Vpn);

    return Slot == MI_NO_SLOT ? 0 : MI_HASH[Slot];
}

VOID MiAddToWslHash(PMI_ADDRESS_SPACE Space, ULONG Index)
{
    ASSERT_PFN_LOCKED();
    Space->WslIndirect++;
    if (Space->WslHashSlots != 0 && !MiIsHashFull(Space->WslHashed, Space->WslHashSlots)) {
        MiEnterSlot(Space->WslHashSlots, Index);
        Space->WslHashed++;
    }
}

VOID MiRemoveFromWslHash(PMI_ADDRESS_SPACE Space, ULONG Index)
{
    ULONG Slot = MiFindSlot(Space, MI_WSL[Index].Vpn);

    ASSERT_PFN_LOCKED();
    Space->WslIndirect--;
    if (Slot != MI_NO_SLOT) {
        MiEmptySlot(Space->WslHashSlots, Slot);
        Space->WslHashed--;
    }
}

/* ---- Growth ---- */

/* As many slots as are to be had, up to a number that is a power of two; 0: none. */
static ULONG MiBackSlots(PMI_ADDRESS_SPACE Space, ULONG Wanted)
{
    ULONG Slots = MI_HASH_SLOTS_PER_PAGE;

    while (Space->WslHashPages < Wanted / MI_HASH_SLOTS_PER_PAGE &&
           MiBackWsl(Space, (PVOID)&MI_HASH[Space->WslHashPages * MI_HASH_SLOTS_PER_PAGE])) {
        Space->WslHashPages++;
    }
    while (2 * Slots <= Space->WslHashPages * MI_HASH_SLOTS_PER_PAGE) {
        Slots *= 2;
    }
    return Space->WslHashPages == 0 ? 0 : Slots;
}

/* The number of entries that the hash is to have; there is none meanwhile. */
static ULONG MiFillSlots(PMI_ADDRESS_SPACE Space, ULONG Slots)
{
    ULONG Entries = 0;

    RtlZeroMemory((PVOID)MI_HASH, Slots * sizeof(*MI_HASH));
    for (ULONG Index = 1; Index < Space->WslEntries && !MiIsHashFull(Entries, Slots); Index++) {
        if (MI_WSL[Index].Valid && !MI_WSL[Index].Direct) {
            MiEnterSlot(Slots, Index);
            Entries++;
        }
    }
    return Entries;
}

static VOID MiSetWslHash(PMI_ADDRESS_SPACE Space, ULONG Slots, ULONG Entries)
{
    KIRQL Irql = MiLockPfn();

    Space->WslHashSlots = Slots;
    Space->WslHashed = Entries;
    MiUnlockPfn(Irql);
}

VOID MiGrowWslHash(PMI_ADDRESS_SPACE Space)
{
    ULONG Slots = MI_HASH_SLOTS_PER_PAGE, Old = Space->WslHashSlots;

    while (Slots / 2 <= Space->WslIndirect) {
        Slots *= 2;
    }
    Slots = MiBackSlots(Space, Slots);
    if (Slots > Old) {
        MiSetWslHash(Space, 0, 0);
        MiSetWslHash(Space, Slots, MiFillSlots(Space, Slots));
        Space->WslHashLimit = Slots / 2;
    }
}

/* ---- MiVerify ---- */

ULONG MiVerifyWslHash(PMI_ADDRESS_SPACE Space, PULONG64 Entries)
{
    ULONG Findings = 0;

    *Entries = 0;
    for (ULONG Slot = 0; Slot < Space->WslHashSlots; Slot++) {
        ULONG Index = MI_HASH[Slot];

        if (Index == 0) {
            continue;
        }
        if (Index >= Space->WslEntries || !MI_WSL[Index].Valid || MI_WSL[Index].Direct ||
            MiFindSlot(Space, MI_WSL[Index].Vpn) != Slot) {
            Findings++;
        } else {
            ++*Entries;
        }
    }
    return Findings;
}
