/*
 * memory.c - the debugger's eyes on memory.
 *
 * Every access goes through one window slot that belongs to the debugger alone: the address is translated by walking the
 * self-map from the top (a level is looked at only when the one above says that it is there), its frame is mapped writable and
 * no-execute at KDP_WINDOW, the bytes are copied, the slot is cleared. So an access never faults, read-only
 * text takes breakpoints while its own mapping stays read-only, SMAP does not matter, and nothing depends on Mm being
 * up or its locks being free: it works at the kernel's first instruction and inside Mm.
 *
 * The slot lies in the 2 MB that hold the boot stack: the loader built that page table, and kernel page tables are
 * never freed. Only the processor that owns the debugger uses it, so a local invalidation is enough.
 */
#include "kdp.h"
#include <ntos/loader.h>

#define KDP_WINDOW (LOADER_STACK_VA + 0x100000) /* 1 MB past the boot stack, same page table */
C_ASSERT(LOADER_STACK_SIZE + MM_PAGE_SIZE <= 0x100000);

#define KDP_LEVELS     4
#define KDP_INDEX_MASK 0x7FFFFFFFF8ULL /* self-map offset of the entry of a page: 39 bits, 8-byte units */

/* The self-map address of the entry that maps Address at Level (0: PTE ... 3: PXE). */
static PULONG64 KdpEntryAddress(ULONG64 Address, ULONG Level)
{
    for (ULONG Step = 0; Step <= Level; Step++) {
        Address = MM_PTE_BASE + (Address >> 9 & KDP_INDEX_MASK);
    }
    return (PULONG64)Address;
}

static BOOLEAN KdpIsCanonical(ULONG64 Address)
{
    return (LONG64)(Address << 16) >> 16 == (LONG64)Address;
}

/**
 * KdpTranslate - finds the entry that maps an address.
 *
 * @Entry      gets it, with its flags
 * @PageBytes  gets the size of the page it maps: 4 KB, 2 MB or 1 GB
 * returns     FALSE: not mapped
 */
BOOLEAN KdpTranslate(ULONG64 Address, PULONG64 Entry, PULONG64 PageBytes)
{
    if (!KdpIsCanonical(Address)) {
        return FALSE;
    }
    for (LONG Level = KDP_LEVELS - 1; Level >= 0; Level--) {
        *Entry = *(volatile ULONG64 *)KdpEntryAddress(Address, (ULONG)Level);
        *PageBytes = MM_PAGE_SIZE << (9 * Level);
        if ((*Entry & PTE_VALID) == 0) {
            return FALSE;
        }
        if (Level != 0 && (*Entry & PTE_LARGE) != 0) {
            return TRUE;
        }
    }
    return TRUE;
}

/* Maps the frame behind Address at the debugger's slot; returns where the byte is, NULL if nothing is there. */
static PUCHAR KdpMapTarget(ULONG64 Address)
{
    ULONG64 Entry, PageBytes, Frame;

    if (!KdpTranslate(Address, &Entry, &PageBytes)) {
        return NULL;
    }
    /* A large page's frame field has its PAT bit at 12; masking by the page size drops it. */
    Frame = (Entry & PTE_FRAME_MASK & ~(PageBytes - 1)) | (Address & (PageBytes - 1) & ~(MM_PAGE_SIZE - 1));
    *(volatile ULONG64 *)KdpEntryAddress(KDP_WINDOW, 0) =
        Frame | (Entry & (PTE_PWT | PTE_PCD)) | PTE_VALID | PTE_WRITE | PTE_ACCESSED | PTE_DIRTY | PTE_NX;
    KeInvalidatePage((PVOID)KDP_WINDOW);
    return (PUCHAR)KDP_WINDOW + (Address & (MM_PAGE_SIZE - 1));
}

static VOID KdpUnmapTarget(VOID)
{
    *(volatile ULONG64 *)KdpEntryAddress(KDP_WINDOW, 0) = 0;
    KeInvalidatePage((PVOID)KDP_WINDOW);
}

static ULONG KdpCopyTarget(ULONG64 Address, PUCHAR Buffer, ULONG Bytes, BOOLEAN Write)
{
    ULONG Done = 0;

    while (Done < Bytes) {
        PUCHAR Window = KdpMapTarget(Address + Done);
        ULONG Chunk = (ULONG)(MM_PAGE_SIZE - ((Address + Done) & (MM_PAGE_SIZE - 1)));

        if (Window == NULL) {
            break;
        }
        if (Chunk > Bytes - Done) {
            Chunk = Bytes - Done;
        }
        for (ULONG Index = 0; Index < Chunk; Index++, Done++) {
            if (Write) {
                ((volatile UCHAR *)Window)[Index] = Buffer[Done];
            } else {
                Buffer[Done] = ((volatile UCHAR *)Window)[Index];
            }
        }
        KdpUnmapTarget();
    }
    return Done;
}

ULONG KdpCopyFromTarget(PVOID Buffer, ULONG64 Address, ULONG Bytes)
{
    return KdpCopyTarget(Address, Buffer, Bytes, FALSE);
}

ULONG KdpCopyToTarget(ULONG64 Address, const VOID *Buffer, ULONG Bytes)
{
    return KdpCopyTarget(Address, (PUCHAR)Buffer, Bytes, TRUE);
}
