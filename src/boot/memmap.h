/*
 * memmap.h - the firmware's memory map made fit for the kernel. Pure: no hardware, no allocation, host-tested.
 */
#pragma once

#include <stdint.h>
#include <ntos/loader.h>

typedef struct _MEMORY_RANGE {
    uint64_t Base;   /* physical, bytes; any alignment */
    uint64_t Length; /* bytes; 0 and ranges that wrap around are dealt with */
    uint32_t Type;   /* LOADER_MEMORY_TYPE */
} MEMORY_RANGE;

#define MEMMAP_OVERFLOW 0xFFFFFFFFu
#define MEMMAP_FRAME_LIMIT                                                                                             \
    (1ULL << 32) /* RAM above 16 TiB is not used: frame numbers are 32 bits in the PFN database */
#define MEMMAP_PHYSICAL_END (1ULL << 52) /* physical addresses have 52 bits at most */
#define MEMMAP_SCRATCH(n)   (2u * (n))   /* entries of scratch for n ranges */

/**
 * MemNormalize - turns any list of ranges into the loader block's form.
 *
 * @Ranges    in any order, overlapping, unaligned; the most restrictive type wins where they overlap
 * @Count     of them
 * @Scratch   MEMMAP_SCRATCH(Count) words
 * @Out       sorted, page granular, disjoint descriptors; neighbours of one type are merged
 * @Capacity  entries of Out
 * returns    descriptors written, or MEMMAP_OVERFLOW if Out is too small
 */
uint32_t MemNormalize(const MEMORY_RANGE *Ranges, uint32_t Count, uint64_t *Scratch, LOADER_MEMORY_DESCRIPTOR *Out,
                      uint32_t Capacity);

/**
 * MemAllocate - takes pages from the top of the highest free descriptor that lies below a limit.
 *
 * @Map, @Count  a normalized map; it changes: the pages get type Type
 * @Capacity     entries of Map
 * @Pages        contiguous pages wanted, not 0
 * @LimitPage    the pages lie below this frame
 * @Type         LOADER_MEMORY_TYPE of the pages from now on
 * returns       the first frame, 0 when no free run is long enough or Map is full
 */
uint64_t MemAllocate(LOADER_MEMORY_DESCRIPTOR *Map, uint32_t *Count, uint32_t Capacity, uint64_t Pages,
                     uint64_t LimitPage, uint32_t Type);
