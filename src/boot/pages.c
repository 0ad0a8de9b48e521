/*
 * pages.c - physical memory while the loader runs.
 *
 * Owns the one memory map: the firmware's, normalised together with what must not be handed out (the loader itself,
 * GRUB's modules, frame 0), then changed by each allocation, and at the end copied into the loader block.
 * Allocations come from the top of RAM below 4 GB: the loader reaches no more with 32-bit pointers, and low memory
 * stays whole for those who need it later (processor start-up, 32-bit DMA).
 */
#include "osloader.h"

#define PAGE_LIMIT_32BIT (1ULL << 20) /* frames below 4 GB */

static LOADER_MEMORY_DESCRIPTOR Map[OSL_MAXIMUM_DESCRIPTORS];
static uint32_t MapCount;
static uint64_t Scratch[MEMMAP_SCRATCH(OSL_MAXIMUM_RANGES)];

static void AddRange(uint64_t Base, uint64_t Length, uint32_t Type)
{
    if (OslBoot.RangeCount == OSL_MAXIMUM_RANGES) {
        OslFail("the firmware's memory map has more than %u ranges", OSL_MAXIMUM_RANGES);
    }
    OslBoot.Ranges[OslBoot.RangeCount++] = (MEMORY_RANGE){Base, Length, Type};
}

static uint64_t RamPages(void)
{
    uint64_t Pages = 0;

    for (uint32_t Index = 0; Index < MapCount; Index++) {
        if (Map[Index].Type == LoaderFree || Map[Index].Type == LoaderTemporary) {
            Pages += Map[Index].PageCount;
        }
    }
    return Pages;
}

void OslInitializeMemory(void)
{
    uint32_t LoaderStart = (uint32_t)OslImageStart;
    uint32_t Megabytes;

    AddRange(LoaderStart, (uint32_t)OslImageEnd - LoaderStart, LoaderTemporary);
    for (uint32_t Index = 0; Index < OslBoot.ModuleCount; Index++) {
        AddRange((uint32_t)OslBoot.Modules[Index].Bytes, OslBoot.Modules[Index].Size, LoaderTemporary);
    }
    /* Frame 0 holds the BIOS's vectors, and frame number 0 means "none" in many places. */
    AddRange(0, MM_PAGE_SIZE, LoaderReserved);
    if (OslBoot.Framebuffer.PhysicalBase != 0) {
        AddRange(OslBoot.Framebuffer.PhysicalBase, (uint64_t)OslBoot.Framebuffer.Pitch * OslBoot.Framebuffer.Height,
                 LoaderFramebuffer);
    }
    MapCount = MemNormalize(OslBoot.Ranges, OslBoot.RangeCount, Scratch, Map, OSL_MAXIMUM_DESCRIPTORS);
    if (MapCount == MEMMAP_OVERFLOW) {
        OslFail("the firmware's memory map has more than %u ranges", OSL_MAXIMUM_DESCRIPTORS);
    }
    Megabytes = (uint32_t)(RamPages() >> 8);
    if (Megabytes < OSL_MINIMUM_RAM_MB) {
        OslFail("too little RAM: this machine has %u MB that can be used, Oriel needs %u MB", Megabytes,
                OSL_MINIMUM_RAM_MB);
    }
}

void *OslAllocatePages(uint32_t Pages, uint32_t Type)
{
    uint64_t Frame = MemAllocate(Map, &MapCount, OSL_MAXIMUM_DESCRIPTORS, Pages, PAGE_LIMIT_32BIT, Type);
    void *Memory = (void *)(uint32_t)(Frame << 12);

    if (Frame == 0) {
        OslFail("too little RAM: no %u KB in one piece below 4 GB", Pages * 4);
    }
    memset(Memory, 0, Pages * (size_t)MM_PAGE_SIZE);
    return Memory;
}

const LOADER_MEMORY_DESCRIPTOR *OslMemoryMap(uint32_t *Count)
{
    *Count = MapCount;
    return Map;
}
