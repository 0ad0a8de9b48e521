/*
 * paging.c - the first page tables.
 *
 * They map what the kernel needs to take its first step and nothing else: images, boot stack, loader block, the self-map
 * slot, and in the user half the one transition page, read-only. Physical memory as such is not mapped. Tables are one
 * page each from below 4 GB; those of the transition page are LoaderTemporary, because the kernel cuts that branch off at
 * once. Paging is off while this runs, so tables are written through their physical addresses.
 */
#include "osloader.h"

#define ENTRIES     512u
#define LEVELS      4u
#define ENTRY_TABLE (OSL_PTE_VALID | OSL_PTE_WRITE | 0x020ULL) /* an upper entry: permissions are decided in the PTE */
#define USER_HALF   (1ULL << 47)
#define FRAME_MASK  0x000FFFFFFFFFF000ULL

static uint64_t *Root;
static uint32_t TablePages;

static uint64_t *NewTable(uint32_t Type)
{
    if (Type == LoaderPageTable) {
        TablePages++;
    }
    return OslAllocatePages(1, Type);
}

/* The PTE of an address, made reachable. */
static uint64_t *EntryOf(uint64_t Virtual)
{
    uint32_t Type = Virtual < USER_HALF ? LoaderTemporary : LoaderPageTable;
    uint64_t *Table = Root;

    for (uint32_t Level = LEVELS - 1; Level != 0; Level--) {
        uint64_t *Entry = &Table[(uint32_t)(Virtual >> (12 + 9 * Level)) % ENTRIES];

        if ((*Entry & OSL_PTE_VALID) == 0) {
            *Entry = (uint32_t)NewTable(Type) | ENTRY_TABLE;
        }
        Table = (uint64_t *)(uint32_t)(*Entry & FRAME_MASK);
    }
    return &Table[(uint32_t)(Virtual >> 12) % ENTRIES];
}

void OslInitializePaging(void)
{
    Root = NewTable(LoaderPageTable);
    /* Supervisor, never executable, not global: the window on the tables is data. */
    Root[MM_SELF_SLOT] = (uint32_t)Root | OSL_PTE_VALID | OSL_PTE_WRITE | OSL_PTE_USED | OSL_PTE_NX;
    OslMapPages((uint32_t)OslTransitionPage, (uint32_t)OslTransitionPage, 1, OSL_PTE_USED);
}

void OslMapPages(uint64_t Virtual, uint64_t Physical, uint32_t Pages, uint64_t Flags)
{
    if (Virtual >= USER_HALF) {
        Flags |= OSL_PTE_GLOBAL; /* the same in every process to come */
    }
    for (; Pages != 0; Pages--, Virtual += MM_PAGE_SIZE, Physical += MM_PAGE_SIZE) {
        *EntryOf(Virtual) = Physical | Flags | OSL_PTE_VALID | OSL_PTE_USED;
    }
}

uint64_t OslPageTableRoot(void)
{
    return (uint32_t)Root;
}

uint32_t OslPageTablePages(void)
{
    return TablePages;
}
