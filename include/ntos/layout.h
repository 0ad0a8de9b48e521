/*
 * layout.h - the kernel half of the address space, region by region.
 *
 * The map is the Windows 7 x64 one, which public tools and tests expect (see docs/address-space.md). Every region is
 * a whole number of PML4 slots or shares one slot with its neighbour; the kernel fills the PML4 entries of all of them at boot and
 * never changes them again. Sizes are in bytes. Plain constants only: the loader and nasm sources share them.
 */
#pragma once

#define MM_PAGE_SIZE  0x1000ULL
#define MM_LARGE_PAGE 0x200000ULL

#define MM_PTE_BASE  0xFFFFF68000000000ULL /* the self-map: 512 GB of page tables */
#define MM_PTE_SIZE  0x0000008000000000ULL
#define MM_SELF_SLOT 0x1EDU /* PML4 index of the self-map */

#define MM_HYPERSPACE_BASE 0xFFFFF70000000000ULL /* per process */
#define MM_HYPERSPACE_SIZE 0x0000008000000000ULL

#define MM_SHARED_USER_DATA 0xFFFFF78000000000ULL /* KUSER_SHARED_DATA, one page */
#define MM_SHARED_USER_VA   0x000000007FFE0000ULL /* the same page in programs, read-only */
#define MM_WINDOW_BASE      0xFFFFF78000200000ULL /* per-CPU windows, MM_WINDOW_STRIDE bytes a processor */
#define MM_WINDOW_STRIDE    0x0000000000200000ULL /* one page table a processor: other CPUs never touch it */

#define MM_KERNEL_IMAGE_BASE 0xFFFFF80000000000ULL /* ntoskrnl.exe and drivers */
#define MM_KERNEL_IMAGE_SIZE 0x0000008000000000ULL

/* Drivers that are loaded at run time: the 1 GB below what the loader maps for itself; boot images stay below. */
#define MM_DRIVER_IMAGE_BASE 0xFFFFF87DC0000000ULL
#define MM_DRIVER_IMAGE_SIZE 0x0000000040000000ULL

#define MM_SYSTEM_PTE_BASE 0xFFFFF88000000000ULL
#define MM_SYSTEM_PTE_SIZE 0x0000002000000000ULL

#define MM_PAGED_POOL_BASE 0xFFFFF8A000000000ULL
#define MM_PAGED_POOL_SIZE 0x0000002000000000ULL

#define MM_LINEAR_BASE 0xFFFFF90000000000ULL /* WINDOW=linear builds only */
#define MM_LINEAR_SIZE 0x0000008000000000ULL

#define MM_SYSTEM_CACHE_BASE 0xFFFFF98000000000ULL
#define MM_SYSTEM_CACHE_SIZE 0x0000010000000000ULL

#define MM_PFN_DATABASE      0xFFFFFA8000000000ULL /* 2^32 entries of 32 bytes: 128 GB */
#define MM_PFN_DATABASE_SIZE 0x0000002000000000ULL

#define MM_NONPAGED_POOL_BASE 0xFFFFFAA000000000ULL
#define MM_NONPAGED_POOL_SIZE 0x0000036000000000ULL /* up to 0xFFFFFE0000000000 */

#define MM_KASAN_SHADOW_BASE 0xFFFFFE0000000000ULL /* KASAN=1 builds only */

#define MM_USER_PROBE_END 0x00007FFFFFFF0000ULL /* first address no user buffer may contain */
