/*
 * vmmap.h - the address space of a process as a list of regions, for people.
 */
#pragma once

#include "misection.h"
#include "miprocess.h"

typedef enum _MI_REGION_PART { /* what a region is, beyond its type */
                               MiPartNothing,
                               MiPartStack,
                               MiPartTeb,
                               MiPartPeb,
                               MiPartParameters,
                               MiPartHeap,
} MI_REGION_PART;

/* Pages in a row that MemoryBasicInformation describes as one. */
typedef struct _MI_MAP_REGION {
    MEMORY_BASIC_INFORMATION Basic;
    ULONG64 Private, Shared; /* pages of the working set */
    ULONG64 Charged;         /* pages charged for the allocation; with its first region only */
    PFILE_OBJECT FileObject; /* referenced; of an image or a mapped file */
    MI_REGION_PART Part;
    HANDLE Thread; /* of a stack or TEB */
} MI_MAP_REGION, *PMI_MAP_REGION;

typedef struct _MI_MEMORY_MAP {
    ULONG Count, Room;
    PMI_MAP_REGION Region; /* ascending addresses, free ones left out */
    ULONG64 TablePages;    /* page tables and working-set list */
    ULONG64 Charged;       /* pages charged to the process, all in all */
    ULONG64 WorkingSet;    /* pages */
    ULONG Ages[MI_AGES];   /* pages of the working set by age */
} MI_MEMORY_MAP, *PMI_MEMORY_MAP;

/**
 * MiMapProcess - describes an address space as it is at one moment.
 *
 * @Age     make a pass of ageing first: pages touched since the one before become age 0
 * @Map     filled in; MiReleaseMap gives it back
 *
 * IRQL: PASSIVE_LEVEL; no locks. Fails: STATUS_PROCESS_IS_TERMINATING (also: a process without a user half),
 * STATUS_INSUFFICIENT_RESOURCES, STATUS_BUFFER_OVERFLOW (more than MI_MOST_REGIONS).
 */
NTSTATUS MiMapProcess(PEPROCESS Process, BOOLEAN Age, PMI_MEMORY_MAP Map);
VOID MiReleaseMap(PMI_MEMORY_MAP Map);

#define MI_MOST_REGIONS 65536 /* 7 MB of nonpaged pool: more is nothing to read */
