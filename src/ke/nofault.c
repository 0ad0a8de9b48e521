/*
 * nofault.c - memory access that never faults: for bug checks, debuggers and stack walks.
 *
 * The page tables are read through the self-map from the top down, so no table is touched before its own entry is known
 * to be valid, and a large page ends the walk (under one, the self-map shows data). Nothing stops another processor
 * from unmapping the page meanwhile: callers use it on memory that somebody keeps mapped if anybody does.
 *
 * Locks: none. IRQL: any. Must never: fault, allocate, or change a page table.
 */
#include <ntos/ke.h>

#define PTE_INDEX_MASK  0x0000007FFFFFFFF8ULL
#define LARGEST_LEVEL   3 /* PML4 entries cannot map a page */
#define CANONICAL_SHIFT 47

static ULONG64 KiTableEntryAddress(ULONG64 Address)
{
    return MM_PTE_BASE + ((Address >> 9) & PTE_INDEX_MASK);
}

/* Whether the page of an address may be read (or written) by the kernel. */
static BOOLEAN KiPageIsAccessible(ULONG64 Address, BOOLEAN Write)
{
    LONG64 Sign = (LONG64)Address >> CANONICAL_SHIFT;
    ULONG64 Entries[4]; /* addresses of PTE, PDE, PPE, PXE */

    if (Sign != 0 && Sign != -1) {
        return FALSE;
    }
    Entries[0] = KiTableEntryAddress(Address);
    for (ULONG Level = 1; Level < 4; Level++) {
        Entries[Level] = KiTableEntryAddress(Entries[Level - 1]);
    }
    for (LONG Level = 3; Level >= 0; Level--) {
        ULONG64 Entry = *(volatile ULONG64 *)Entries[Level];

        if ((Entry & PTE_VALID) == 0 || (Write && (Entry & PTE_WRITE) == 0)) {
            return FALSE;
        }
        if (Level != 0 && Level < LARGEST_LEVEL && (Entry & PTE_LARGE) != 0) {
            return TRUE;
        }
    }
    return TRUE;
}

static BOOLEAN KiRangeIsAccessible(ULONG64 Address, SIZE_T Bytes, BOOLEAN Write)
{
    ULONG64 Last = Address + Bytes - 1;

    if (Last < Address) {
        return FALSE;
    }
    for (ULONG64 Page = Address & ~(MM_PAGE_SIZE - 1);; Page += MM_PAGE_SIZE) {
        if (!KiPageIsAccessible(Page, Write)) {
            return FALSE;
        }
        if (Last - Page < MM_PAGE_SIZE) {
            return TRUE;
        }
    }
}

/**
 * KiCopyMemoryNoFault - copy if both ranges are mapped.
 *
 * @Destination  must be writable
 * @Bytes        0 succeeds
 * returns       FALSE, and nothing is copied, if a page of either range is not accessible
 *
 * IRQL: any. Locks: none. User addresses are reached with AC set for the copy.
 */
BOOLEAN KiCopyMemoryNoFault(PVOID Destination, const VOID *Source, SIZE_T Bytes)
{
    BOOLEAN User;

    if (Bytes == 0) {
        return TRUE;
    }
    if (!KiRangeIsAccessible((ULONG64)Source, Bytes, FALSE) ||
        !KiRangeIsAccessible((ULONG64)Destination, Bytes, TRUE)) {
        return FALSE;
    }
    User = KiSmapEnabled && ((LONG64)Source >= 0 || (LONG64)Destination >= 0);
    if (User) {
        __asm__ volatile("stac" ::: "memory");
    }
    RtlCopyMemory(Destination, Source, Bytes);
    if (User) {
        __asm__ volatile("clac" ::: "memory");
    }
    return TRUE;
}
