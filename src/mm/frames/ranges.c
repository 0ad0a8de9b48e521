/*
 * ranges.c - what RAM there is, for drivers that must know.
 *
 * The runs were collected from the loader's map at start and do not change. No locks. Source: WDK-era documentation of
 * MmGetPhysicalMemoryRanges.
 */
#include "../mip.h"
#include "../pfn.h"

/**
 * MmGetPhysicalMemoryRanges - the runs of RAM, lowest first, in bytes.
 *
 * returns  an array that ends with a range of 0 bytes, for the caller to free with ExFreePool; NULL: no memory
 *
 * IRQL: PASSIVE_LEVEL.
 */
PPHYSICAL_MEMORY_RANGE NTAPI MmGetPhysicalMemoryRanges(VOID)
{
    PPHYSICAL_MEMORY_RANGE Ranges = ExAllocatePoolWithTag(NonPagedPool, (MiRamRunCount + 1) * sizeof(*Ranges), 'hPmM');

    if (Ranges == NULL) {
        return NULL;
    }
    for (ULONG Index = 0; Index < MiRamRunCount; Index++) {
        Ranges[Index].BaseAddress.QuadPart = (LONGLONG)(MiRamRuns[Index].Base << PAGE_SHIFT);
        Ranges[Index].NumberOfBytes.QuadPart = (LONGLONG)(MiRamRuns[Index].Count << PAGE_SHIFT);
    }
    Ranges[MiRamRunCount].BaseAddress.QuadPart = 0;
    Ranges[MiRamRunCount].NumberOfBytes.QuadPart = 0;
    return Ranges;
}
