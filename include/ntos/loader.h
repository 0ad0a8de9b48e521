/*
 * loader.h - what osloader hands to ntoskrnl.exe.
 *
 * Shared by a 32-bit freestanding program and the 64-bit kernel: only fixed-width fields, explicitly aligned,
 * no pointers (virtual addresses are uint64). The block, with every array and string that it names, lies
 * in one virtually contiguous range, BlockBase..BlockBase+BlockSize, mapped read-write NX in the kernel half
 * by the loader and described as LoaderBlockMemory; the kernel copies what it keeps and frees the range.
 *
 * On entry to the kernel: long mode, interrupts off, IF=0, DF=0; CR0.WP and EFER.NXE set; RSP on the boot stack; RCX
 * the block's virtual address. CR3 holds a PML4 below 4 GB whose slot MM_SELF_SLOT maps itself; the user half
 * holds at most the loader's own transition page, which the kernel removes.
 */
#pragma once

#include <stdint.h>

#define LOADER_BLOCK_MAGIC   0x4B434F4C4C45494FULL /* "OIELLOCK" */
#define LOADER_BLOCK_VERSION 1u

typedef enum _LOADER_MEMORY_TYPE {
    LoaderFree = 1,        /* RAM, the kernel's to use at once */
    LoaderReserved,        /* not RAM, or RAM that firmware keeps: never touched, no PFN entry */
    LoaderAcpiReclaim,     /* RAM holding ACPI tables: free once they have been read */
    LoaderAcpiNvs,         /* firmware's; never touched */
    LoaderBad,             /* RAM reported defective */
    LoaderFirmwareRuntime, /* EFI runtime code or data: kept */
    LoaderKernelImage,     /* pages of loaded PE images */
    LoaderPageTable,       /* page tables that the loader built (live) */
    LoaderBlockMemory,     /* this block and its arrays */
    LoaderBootStack,       /* the boot processor's first stack */
    LoaderTemporary,       /* the loader, GRUB modules: free as soon as the kernel runs */
    LoaderFramebuffer,     /* device memory of the framebuffer, if it lies in the map */
    LoaderMemoryTypeMax
} LOADER_MEMORY_TYPE;

/* Sorted by BasePage, never overlapping, page granular; adjacent descriptors of one type are merged. */
typedef struct _LOADER_MEMORY_DESCRIPTOR {
    uint64_t BasePage;  /* first frame number */
    uint64_t PageCount; /* pages, never 0 */
    uint32_t Type;      /* LOADER_MEMORY_TYPE */
    uint32_t Reserved;
} LOADER_MEMORY_DESCRIPTOR;

/* One loaded PE image, in load order; [0] is ntoskrnl.exe. */
typedef struct _LOADER_IMAGE {
    uint64_t Base;       /* virtual address of the headers */
    uint64_t Size;       /* SizeOfImage, bytes */
    uint64_t EntryPoint; /* virtual address */
    char Name[64];       /* lower case file name, e.g. "cdfs.sys" */
} LOADER_IMAGE;

typedef struct _LOADER_FRAMEBUFFER {
    uint64_t PhysicalBase; /* 0: none */
    uint32_t Pitch;        /* bytes a line */
    uint32_t Width;        /* pixels; characters when Type is 2 */
    uint32_t Height;
    uint8_t BitsPerPixel;
    uint8_t Type; /* multiboot2: 1 direct RGB, 2 EGA text */
    uint8_t RedPosition, RedSize, GreenPosition, GreenSize, BluePosition, BlueSize;
} __attribute__((aligned(8))) LOADER_FRAMEBUFFER; /* i386 would align it to 4, and the sizes would differ */

typedef struct _LOADER_BLOCK {
    uint64_t Magic;
    uint32_t Version;
    uint32_t Size; /* sizeof(LOADER_BLOCK) */

    uint64_t BlockBase; /* virtual */
    uint64_t BlockSize; /* bytes, page multiple */

    uint64_t BootStackTop;  /* virtual; the stack is BootStackSize bytes below, above an unmapped guard page */
    uint64_t BootStackSize; /* bytes */

    uint64_t Descriptors; /* virtual address of LOADER_MEMORY_DESCRIPTOR[DescriptorCount] */
    uint64_t Images;      /* virtual address of LOADER_IMAGE[ImageCount] */
    uint32_t DescriptorCount;
    uint32_t ImageCount;

    uint64_t CommandLine; /* virtual address of a NUL-terminated UTF-8 string */
    uint64_t AcpiRsdp;    /* virtual address of a copy of the RSDP, 0: none */
    uint32_t AcpiRsdpSize;
    uint32_t FirmwareIsUefi; /* 1: started by UEFI GRUB */

    uint64_t BootTsc;        /* time stamp counter at loader entry */
    uint64_t PageTableRoot;  /* physical address of the PML4 */
    uint64_t PageTablePages; /* pages of page tables that the loader built */

    LOADER_FRAMEBUFFER Framebuffer;
} __attribute__((aligned(8))) LOADER_BLOCK;

_Static_assert(sizeof(LOADER_FRAMEBUFFER) == 32 && sizeof(LOADER_BLOCK) == 152, "the same in 32 and 64 bits");

#define LOADER_BLOCK_VA   0xFFFFF87F00000000ULL /* in the kernel image region, past any image */
#define LOADER_STACK_VA   0xFFFFF87E00000000ULL
#define LOADER_STACK_SIZE 0x6000ULL
