/*
 * osloader.h - what the loader's files share.
 *
 * The loader is one 32-bit program with paging off: a physical address is a pointer. Everything it keeps is static or
 * comes from OslAllocatePages, and nothing is ever freed: what the kernel does not need is typed LoaderTemporary.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <ntos/layout.h>
#include <ntos/loader.h>
#include <ntos/peimage.h>
#include "memmap.h"

#define OSL_MAXIMUM_RANGES      1024u /* firmware maps have some hundred entries at most (OVMF about 100) */
#define OSL_MAXIMUM_DESCRIPTORS 2048u
#define OSL_MAXIMUM_MODULES     32u
#define OSL_NAME_BYTES          64u
#define OSL_RSDP_BYTES          36u
#define OSL_COMMAND_LINE_BYTES  1024u
/* The kernel's smallest machine is 64 MB; below half of that not even its own start succeeds. */
#define OSL_MINIMUM_RAM_MB 32u

typedef struct _OSL_MODULE {
    const uint8_t *Bytes;
    uint32_t Size;
    char Name[OSL_NAME_BYTES]; /* lower case, without folders */
} OSL_MODULE;

/* What GRUB told, copied out of its memory. */
typedef struct _OSL_BOOT_INFORMATION {
    char CommandLine[OSL_COMMAND_LINE_BYTES];
    OSL_MODULE Modules[OSL_MAXIMUM_MODULES];
    uint32_t ModuleCount;
    MEMORY_RANGE Ranges[OSL_MAXIMUM_RANGES];
    uint32_t RangeCount;
    uint8_t Rsdp[OSL_RSDP_BYTES];
    uint32_t RsdpBytes; /* 0: none found */
    uint32_t IsUefi;
    LOADER_FRAMEBUFFER Framebuffer;
} OSL_BOOT_INFORMATION;

typedef struct _OSL_IMAGE {
    PE_VIEW View;         /* laid out, at its physical address */
    uint64_t VirtualBase; /* where it will run */
    const OSL_MODULE *Module;
} OSL_IMAGE;

/* Parameters of OslEnterKernel, inside the transition page (entry.asm). */
typedef struct _OSL_TRANSITION {
    uint64_t Root; /* CR3 */
    uint64_t Stack;
    uint64_t Entry;
    uint64_t Block;
} OSL_TRANSITION;

extern OSL_BOOT_INFORMATION OslBoot;
extern OSL_IMAGE OslImages[OSL_MAXIMUM_MODULES];
extern uint32_t OslImageCount;
extern OSL_TRANSITION OslTransition;
extern uint8_t OslTransitionPage[], OslImageStart[], OslImageEnd[];

/* main.c */
void OslMain(uint32_t Magic, uint32_t BootInformation, uint64_t Tsc) __attribute__((noreturn));
void OslEnterKernel(void) __attribute__((noreturn));

/* multiboot.c: copies GRUB's information into OslBoot; fails for ever when it is not multiboot2's. */
void OslReadBootInformation(uint32_t Magic, uint32_t Address);

/* console.c: COM1 at 115200 8N1 and the screen. OslFail prints "osloader: ", the sentence and stops the machine. */
void OslConsoleInitialize(void);
void OslPrint(const char *Format, ...) __attribute__((format(printf, 1, 2)));
void OslFail(const char *Format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* screen.c: the VGA text page until told of a framebuffer; one without a known form shows nothing. */
void OslScreenOpen(const LOADER_FRAMEBUFFER *Framebuffer);
void OslScreenPut(char Char);

/* pages.c: physical memory. */
void OslInitializeMemory(void);
/* Zeroed, contiguous pages below 4 GB that the map then lists as Type; fails for ever when there are none. */
void *OslAllocatePages(uint32_t Pages, uint32_t Type);
const LOADER_MEMORY_DESCRIPTOR *OslMemoryMap(uint32_t *Count);

/* paging.c: the first page tables. Flags are PTE bits without the frame. */
#define OSL_PTE_VALID  0x001ULL
#define OSL_PTE_WRITE  0x002ULL
#define OSL_PTE_USED   0x060ULL /* accessed and dirty: the processor never has to write the entry */
#define OSL_PTE_GLOBAL 0x100ULL /* once the kernel turns that on */
#define OSL_PTE_NX     (1ULL << 63)
void OslInitializePaging(void);
void OslMapPages(uint64_t Virtual, uint64_t Physical, uint32_t Pages, uint64_t Flags);
uint64_t OslPageTableRoot(void);
uint32_t OslPageTablePages(void);

/* image.c: loads every module, relocates, binds. Images[0] is ntoskrnl.exe. */
void OslLoadImages(void);

/* random.c */
void OslSeedRandom(uint64_t Tsc);
uint64_t OslRandom(void);

/* processor.c: fails for ever on a processor without long mode or NX. */
void OslCheckProcessor(void);
int OslHasRdrand(void);

/* blockinit.c: the loader block, last of all because it records every other allocation. */
uint64_t OslBuildLoaderBlock(uint64_t Tsc);

/* runtime.c: also memcpy, memset, memcmp for the compiler. */
int OslEqualNames(const char *A, const char *B); /* ASCII, without regard to case */
void OslCopyString(char *To, const char *From, uint32_t Bytes);
int OslHasOption(const char *CommandLine, const char *Option);
void *memcpy(void *To, const void *From, size_t Bytes);
void *memset(void *To, int Value, size_t Bytes);
