/*
 * pfnmap.c - which frames are RAM, and which pages of the PFN database that needs.
 *
 * The loader's descriptors become a short sorted array of runs of RAM. It answers "is this frame RAM" for the rest
 * of the system's life, and from it the database is planned: only entries of RAM are backed, a hole or a reserved
 * range costs nothing however large it is. A 2 MB page of the database covers 256 MB of memory, a 4 KB page 512 KB;
 * a 2 MB page is used only where every entry in it is RAM, so that no entry is bought that nothing needs.
 *
 * Pure arithmetic: no lock, no page table, no allocation. Runs at start-up only (MiIsRamFrame: any time, any IRQL).
 * Also compiled natively by test/host/test_pfn.c on synthetic maps.
 */
#ifdef ORIEL_HOST
#include "../pfn.h"
#else
#include "../mip.h"
#endif

MI_RAM_RUN MiRamRuns[MI_MAXIMUM_RUNS];
ULONG MiRamRunCount;
ULONG64 MiRamFrames;
PFN_FRAME MiHighestFrame;

#define MI_ENTRIES_PER_LARGE (MM_LARGE_PAGE / sizeof(MMPFN)) /* 65536 frames: 256 MB */
#define MI_ENTRIES_PER_PAGE  (MM_PAGE_SIZE / sizeof(MMPFN))  /* 128 frames: 512 KB */

/* Links in a list are 32 bits, and the top value means none. */
#define MI_FRAME_LIMIT ((ULONG64)MI_NO_FRAME32)

BOOLEAN MiIsRamType(ULONG Type)
{
    switch (Type) {
    case LoaderFree:
    case LoaderAcpiReclaim:
    case LoaderBad:
    case LoaderKernelImage:
    case LoaderPageTable:
    case LoaderBlockMemory:
    case LoaderBootStack:
    case LoaderTemporary:
        return TRUE;
    default: /* reserved, ACPI NVS, firmware runtime, framebuffer, and types this kernel does not know */
        return FALSE;
    }
}

ULONG64 MiCollectRamRuns(const LOADER_MEMORY_DESCRIPTOR *Descriptors, ULONG Count)
{
    ULONG64 LeftOut = 0;

    MiRamRunCount = 0;
    MiRamFrames = 0;
    MiHighestFrame = 0;
    for (ULONG Index = 0; Index < Count; Index++) {
        ULONG64 Base = Descriptors[Index].BasePage, Pages = Descriptors[Index].PageCount;
        PMI_RAM_RUN Last = MiRamRunCount == 0 ? NULL : &MiRamRuns[MiRamRunCount - 1];

        if (!MiIsRamType(Descriptors[Index].Type)) {
            continue;
        }
        if (Base >= MI_FRAME_LIMIT || Pages > MI_FRAME_LIMIT - Base) {
            ULONG64 Kept = Base >= MI_FRAME_LIMIT ? 0 : MI_FRAME_LIMIT - Base;

            LeftOut += Pages - Kept;
            Pages = Kept;
        }
        if (Pages == 0) {
            continue;
        }
        if (Last != NULL && Last->Base + Last->Count == Base) {
            Last->Count += Pages;
        } else if (MiRamRunCount < MI_MAXIMUM_RUNS) {
            MiRamRuns[MiRamRunCount].Base = Base;
            MiRamRuns[MiRamRunCount++].Count = Pages;
        } else {
            LeftOut += Pages;
            continue;
        }
        MiRamFrames += Pages;
        MiHighestFrame = Base + Pages - 1;
    }
    return LeftOut;
}

BOOLEAN MiIsRamFrame(PFN_FRAME Frame)
{
    ULONG Low = 0, High = MiRamRunCount;

    while (Low < High) {
        ULONG Middle = (Low + High) / 2;

        if (Frame < MiRamRuns[Middle].Base) {
            High = Middle;
        } else if (Frame - MiRamRuns[Middle].Base >= MiRamRuns[Middle].Count) {
            Low = Middle + 1;
        } else {
            return TRUE;
        }
    }
    return FALSE;
}

VOID MiPlanPfnDatabase(PMI_PLAN_PAGE Routine, PVOID Context)
{
    ULONG64 NextFree = 0; /* first byte of the database that no earlier run has backed */

    for (ULONG Index = 0; Index < MiRamRunCount; Index++) {
        ULONG64 First = MiRamRuns[Index].Base, End = First + MiRamRuns[Index].Count;

        while (First < End) {
            ULONG64 Byte = (First / MI_ENTRIES_PER_PAGE) * MM_PAGE_SIZE;

            if (First % MI_ENTRIES_PER_LARGE == 0 && End - First >= MI_ENTRIES_PER_LARGE) {
                Routine(Context, Byte, TRUE);
                First += MI_ENTRIES_PER_LARGE;
                NextFree = Byte + MM_LARGE_PAGE;
                continue;
            }
            if (Byte >= NextFree) {
                Routine(Context, Byte, FALSE);
                NextFree = Byte + MM_PAGE_SIZE;
            }
            First = (First / MI_ENTRIES_PER_PAGE + 1) * MI_ENTRIES_PER_PAGE;
        }
    }
}
