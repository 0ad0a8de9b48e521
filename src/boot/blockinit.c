/*
 * blockinit.c - fills the loader block (include/ntos/loader.h).
 *
 * The block is one contiguous range: the structure, then images, RSDP copy, command line, memory descriptors. It is built last,
 * because it records every allocation of the others and of itself; hence room for the descriptors is reserved before the
 * allocations that can still add some (the block's own tables), and they are copied at the very end.
 */
#include "osloader.h"

#define SPARE_DESCRIPTORS 32u /* block, stack and their page tables split a few runs at most */
#define ALIGN8(Value)     (((Value) + 7u) & ~7u)

static uint32_t StringBytes(const char *String)
{
    uint32_t Bytes = 1;

    while (String[Bytes - 1] != 0) {
        Bytes++;
    }
    return Bytes;
}

static void FillImages(LOADER_IMAGE *Images)
{
    for (uint32_t Index = 0; Index < OslImageCount; Index++) {
        const OSL_IMAGE *From = &OslImages[Index];

        Images[Index].Base = From->VirtualBase;
        Images[Index].Size = From->View.Header.SizeOfImage;
        Images[Index].EntryPoint = From->VirtualBase + From->View.Header.EntryRva;
        OslCopyString(Images[Index].Name, From->Module->Name, sizeof(Images[Index].Name));
    }
}

/* Maps the boot stack; the page below it is never mapped, so an overflow faults. */
static void MapBootStack(LOADER_BLOCK *Block)
{
    uint32_t Pages = (uint32_t)(LOADER_STACK_SIZE >> 12);
    uint32_t Stack = (uint32_t)OslAllocatePages(Pages, LoaderBootStack);

    OslMapPages(LOADER_STACK_VA + MM_PAGE_SIZE, Stack, Pages, OSL_PTE_WRITE | OSL_PTE_NX);
    Block->BootStackTop = LOADER_STACK_VA + MM_PAGE_SIZE + LOADER_STACK_SIZE;
    Block->BootStackSize = LOADER_STACK_SIZE;
}

uint64_t OslBuildLoaderBlock(uint64_t Tsc)
{
    uint32_t ImagesAt = ALIGN8((uint32_t)sizeof(LOADER_BLOCK));
    uint32_t RsdpAt = ALIGN8(ImagesAt + OslImageCount * (uint32_t)sizeof(LOADER_IMAGE));
    uint32_t CommandLineAt = RsdpAt + ALIGN8(OSL_RSDP_BYTES);
    uint32_t DescriptorsAt = CommandLineAt + ALIGN8(StringBytes(OslBoot.CommandLine));
    const LOADER_MEMORY_DESCRIPTOR *Map;
    uint32_t Count, Capacity, Pages;
    LOADER_BLOCK *Block;
    uint8_t *Bytes;

    OslMemoryMap(&Count);
    Capacity = Count + SPARE_DESCRIPTORS;
    Pages = (DescriptorsAt + Capacity * (uint32_t)sizeof(LOADER_MEMORY_DESCRIPTOR) + 4095) >> 12;
    Block = OslAllocatePages(Pages, LoaderBlockMemory);
    Bytes = (uint8_t *)Block;
    OslMapPages(LOADER_BLOCK_VA, (uint32_t)Block, Pages, OSL_PTE_WRITE | OSL_PTE_NX);
    MapBootStack(Block);

    Block->Magic = LOADER_BLOCK_MAGIC;
    Block->Version = LOADER_BLOCK_VERSION;
    Block->Size = sizeof(LOADER_BLOCK);
    Block->BlockBase = LOADER_BLOCK_VA;
    Block->BlockSize = (uint64_t)Pages << 12;
    Block->Images = LOADER_BLOCK_VA + ImagesAt;
    Block->ImageCount = OslImageCount;
    FillImages((LOADER_IMAGE *)(Bytes + ImagesAt));
    Block->CommandLine = LOADER_BLOCK_VA + CommandLineAt;
    memcpy(Bytes + CommandLineAt, OslBoot.CommandLine, StringBytes(OslBoot.CommandLine));
    if (OslBoot.RsdpBytes != 0) {
        Block->AcpiRsdp = LOADER_BLOCK_VA + RsdpAt;
        Block->AcpiRsdpSize = OslBoot.RsdpBytes;
        memcpy(Bytes + RsdpAt, OslBoot.Rsdp, OslBoot.RsdpBytes);
    }
    Block->FirmwareIsUefi = OslBoot.IsUefi;
    Block->BootTsc = Tsc;
    Block->PageTableRoot = OslPageTableRoot();
    Block->PageTablePages = OslPageTablePages();
    Block->Framebuffer = OslBoot.Framebuffer;

    Map = OslMemoryMap(&Count);
    if (Count > Capacity) {
        OslFail("the memory map grew beyond %u ranges while the loader block was built", Capacity);
    }
    Block->Descriptors = LOADER_BLOCK_VA + DescriptorsAt;
    Block->DescriptorCount = Count;
    memcpy(Bytes + DescriptorsAt, Map, Count * sizeof(LOADER_MEMORY_DESCRIPTOR));

    OslTransition.Stack = Block->BootStackTop;
    return Block->BlockBase;
}
