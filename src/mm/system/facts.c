/*
 * facts.c - what drivers may ask about memory as a whole, and which addresses are whose.
 *
 * Constants of the machine and of the layout, and questions about one address. No locks, nothing changes here.
 *
 * Source: the routines' pages in the Windows driver documentation.
 */
#include "../mip.h"
#include <ntos/ps.h>

PVOID MmHighestUserAddress = (PVOID)(MM_USER_PROBE_END - 1); /* (c) last byte a program may have */
PVOID MmSystemRangeStart = (PVOID)MI_SYSTEM_START;           /* (c) first byte of the kernel half */
ULONG64 MmUserProbeAddress = MM_USER_PROBE_END;              /* (c) no user buffer reaches it */

/* NT's bounds, in megabytes of RAM: what a driver sizes its tables by. */
#define MI_SMALL_MB  13
#define MI_MEDIUM_MB 32

/* How much memory the machine has, roughly. IRQL: any. */
MM_SYSTEMSIZE NTAPI MmQuerySystemSize(VOID)
{
    ULONG64 Megabytes = MiRamFrames >> (20 - PAGE_SHIFT);

    return Megabytes <= MI_SMALL_MB ? MmSmallSystem : Megabytes <= MI_MEDIUM_MB ? MmMediumSystem : MmLargeSystem;
}

/* TRUE on a server; Oriel presents itself as a workstation. IRQL: any. */
BOOLEAN NTAPI MmIsThisAnNtAsSystem(VOID)
{
    return FALSE;
}

/* TRUE: a kernel address that is mapped now and never paged out. IRQL: <= DISPATCH_LEVEL. */
BOOLEAN NTAPI MmIsNonPagedSystemAddressValid(PVOID VirtualAddress)
{
    switch (MiRegionOf(VirtualAddress)) {
    case MmRegionImages:
    case MmRegionNonPagedPool:
    case MmRegionSystemPtes:
    case MmRegionPfnDatabase:
        return MmIsAddressValid(VirtualAddress);
    default:
        return FALSE;
    }
}

/* TRUE: the calling thread is reading a page in, so this call comes from a file system or driver below it. IRQL: <= APC_LEVEL. */
BOOLEAN NTAPI MmIsRecursiveIoFault(VOID)
{
    return PsGetCurrentThread()->ActiveFaultCount != 0;
}

/* A frame buffer or the like at a kernel address: what MmMapIoSpace does, under the name that display drivers use. */
PVOID NTAPI MmMapVideoDisplay(PHYSICAL_ADDRESS PhysicalAddress, SIZE_T NumberOfBytes, MEMORY_CACHING_TYPE CacheType)
{
    return MmMapIoSpace(PhysicalAddress, NumberOfBytes, CacheType);
}

VOID NTAPI MmUnmapVideoDisplay(PVOID BaseAddress, SIZE_T NumberOfBytes)
{
    MmUnmapIoSpace(BaseAddress, NumberOfBytes);
}

/* There is one memory node: the preference changes nothing. IRQL and failure as MmAllocateContiguousMemorySpecifyCache. */
PVOID NTAPI MmAllocateContiguousMemorySpecifyCacheNode(SIZE_T NumberOfBytes, PHYSICAL_ADDRESS Lowest,
                                                       PHYSICAL_ADDRESS Highest, PHYSICAL_ADDRESS Boundary,
                                                       MEMORY_CACHING_TYPE CacheType, NODE_REQUIREMENT PreferredNode)
{
    return MmAllocateContiguousMemorySpecifyCache(NumberOfBytes, Lowest, Highest, Boundary, CacheType);
}
