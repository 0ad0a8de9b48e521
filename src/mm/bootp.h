/*
 * bootp.h - phase 0 of the memory manager: what bootmem.c, tables.c and init.c share.
 */
#pragma once

#include "mip.h"

extern BOOLEAN MiPfnReady; /* (c) after phase 0: the database is filled and MiAllocateFrame works */

/* Starts the cursor; returns the frame kept for starting processors (0: no free frame below 640 KB). */
PFN_FRAME MiBootInitialize(LOADER_BLOCK *LoaderBlock);
PFN_FRAME MiBootTake(VOID);      /* never fails: bug check INSTALL_MORE_MEMORY */
PFN_FRAME MiBootTakeLarge(VOID); /* first frame of 2 MB, aligned; 0: none at the cursor */

VOID MiBootMakeTable(PMMPTE Entry); /* links a zeroed table below Entry */
VOID MiInitializeExposure(VOID);    /* counters := what the tables say */

VOID MiWalkExposure(PMM_EXPOSURE Exposure, PUCHAR Seen); /* Seen: a bit a frame, zero, or NULL */

typedef struct _MI_PFN_COSTS { /* pages that back the PFN database */
    ULONG64 LargePages, SmallPages;
} MI_PFN_COSTS, *PMI_PFN_COSTS;
VOID MiQueryPfnCosts(PMI_PFN_COSTS Costs);

/* Maps one page of the PFN database (phase 0). */
VOID MiBootMapLarge(PVOID Address, PFN_FRAME Frame);
VOID MiBootMap(PVOID Address, PFN_FRAME Frame);
