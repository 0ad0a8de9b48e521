/*
 * section.h - file sections and views, as the cache manager and the fault suites see them.
 *
 * A cached file is a data control area; these are the operations on it that are not in the DDK. A control area stays
 * alive while somebody holds an open (MmOpenDataSection), while a view of it is mapped, or while it owns a frame.
 */
#pragma once

#include <ntos/mm.h>
#include <ntos/vmsvc.h>

typedef struct _CONTROL_AREA CONTROL_AREA, *PCONTROL_AREA;

/* What the frames of one file are doing; counted from its prototype PTEs. */
typedef struct _MM_SECTION_PAGES {
    ULONG64 Total;      /* pages of the section that have a prototype PTE */
    ULONG64 Active;     /* mapped by at least one view */
    ULONG64 Standby;    /* in memory, findable, seen by nobody */
    ULONG64 Modified;   /* as standby, but dirty */
    ULONG64 Transition; /* being read, or locked by an MDL only */
} MM_SECTION_PAGES, *PMM_SECTION_PAGES;

/* Counters of faults and page-in; each only grows. Exact under the PFN lock, read without it. */
typedef struct _MM_FAULT_COUNTERS {
    ULONG64 Spurious;      /* the PTE was valid by the time of the fault */
    ULONG64 Soft;          /* resolved from a frame that was in memory */
    ULONG64 StandbyHits;   /* of these (and of pre-mapped pages): frames taken back from standby or modified */
    ULONG64 Around;        /* pages mapped along with one that faulted */
    ULONG64 DemandZero;    /* fresh zeroed frames */
    ULONG64 CopyOnWrite;   /* shared frames copied into one of the process's own */
    ULONG64 PageReads;     /* paging reads sent to file systems */
    ULONG64 PagesRead;     /* frames they filled */
    ULONG64 Collided;      /* waits for a page that another thread was reading */
    ULONG64 ReadErrors;    /* paging reads that failed */
    ULONG64 ShortageWaits; /* waits for a frame */
    ULONG64 ViewsMapped;   /* views given PTEs */
    ULONG64 ViewsUnmapped; /* views taken down */
    ULONG64 Segments;      /* control areas alive now */
    ULONG64 SegmentsDeleted;
} MM_FAULT_COUNTERS, *PMM_FAULT_COUNTERS;

extern MM_FAULT_COUNTERS MmFaultCounters;

/* Phase 1, after ObInitialize: the section thread and the section object type. PASSIVE_LEVEL. */
VOID MmInitializeSections(VOID);

/* \Device\PhysicalMemory, once \Device is there. PASSIVE_LEVEL. Fails: as ObCreateObject. (src/mm/sections/physsect.c) */
NTSTATUS MmInitializePhysicalMemory(VOID);

/**
 * MmOpenDataSection - finds or creates the data section of a file and takes an open on it.
 *
 * @FileObject   the file; its SectionObjectPointer must be set
 * @Bytes        size the section must have at least
 * @ControlArea  receives the control area, kept alive until MmCloseDataSection
 *
 * A created control area references @FileObject until it is deleted. IRQL: <= APC_LEVEL. Locks: none may be held
 * below the shared cache map's. Fails: STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_FILE_FOR_SECTION,
 * STATUS_SECTION_TOO_BIG.
 */
NTSTATUS MmOpenDataSection(PFILE_OBJECT FileObject, ULONG64 Bytes, PCONTROL_AREA *ControlArea);
VOID MmCloseDataSection(PCONTROL_AREA ControlArea);

/* Makes the section at least @Bytes long (never shorter). IRQL: <= APC_LEVEL. Fails: STATUS_INSUFFICIENT_RESOURCES. */
NTSTATUS MmExtendDataSection(PCONTROL_AREA ControlArea, ULONG64 Bytes);

/* Where the file ends: bytes from there to the end of its last page read as zero. IRQL: <= APC_LEVEL. */
VOID MmSetDataSectionFileSize(PCONTROL_AREA ControlArea, ULONG64 FileSize);

/* Allocates the prototype PTEs of [Offset, Offset + Bytes) that do not exist yet. IRQL: <= APC_LEVEL; no locks. */
NTSTATUS MmPrepareDataSection(PCONTROL_AREA ControlArea, ULONG64 Offset, ULONG64 Bytes);

/**
 * MmMapCacheView - maps a view of a data section at a slot of the system cache.
 *
 * @ControlArea  from MmOpenDataSection; the range must have been prepared (MmPrepareDataSection)
 * @Offset       file offset, multiple of 256 KB
 * @Base         the slot, multiple of 256 KB inside the system cache region, not mapped now
 * @Bytes        receives the bytes mapped: 256 KB, or less at the end of the section
 *
 * Resident pages become visible by MmMakeViewResident or by faults. IRQL: <= APC_LEVEL. Fails:
 * STATUS_INSUFFICIENT_RESOURCES (page tables), STATUS_INVALID_VIEW_SIZE (@Offset past the end).
 */
NTSTATUS MmMapCacheView(PCONTROL_AREA ControlArea, ULONG64 Offset, PVOID Base, PULONG Bytes);

/* Takes a view down: its frames go to their lists, stale translations are left to the TLB epoch. IRQL: <= APC_LEVEL. */
VOID MmUnmapCacheView(PCONTROL_AREA ControlArea, PVOID Base);

/* The section grew: gives a mapped view the pages it lacked; returns the bytes mapped now. Prepared as for MmMapCacheView. */
ULONG MmExtendCacheView(PCONTROL_AREA ControlArea, ULONG64 Offset, PVOID Base);

/**
 * MmMakeViewResident - maps what is resident in a range of a view and reads in the rest, in clusters.
 *
 * @Address, @Bytes  range inside mapped views of files
 * returns           STATUS_SUCCESS; else the error of the paging read (the device's status)
 *
 * IRQL: <= APC_LEVEL. Locks: none (it waits for I/O). A page may leave again before it is used; the caller then faults.
 */
NTSTATUS MmMakeViewResident(PVOID Address, SIZE_T Bytes);

/* TRUE: every page of the range is in memory and mapped now; reads nothing. IRQL: <= APC_LEVEL. */
BOOLEAN MmMapResidentPages(PVOID Address, SIZE_T Bytes);

/**
 * MmPurgeDataSection - forgets the cached pages of a range (whole pages that it touches).
 *
 * @Bytes   0: to the end
 * returns  TRUE when every page of the range is gone; FALSE when a page is mapped or locked
 *
 * IRQL: <= APC_LEVEL; waits for page reads in progress.
 */
BOOLEAN MmPurgeDataSection(PSECTION_OBJECT_POINTERS Pointers, ULONG64 Offset, ULONG64 Bytes);

/* Counts a file's frames by state; FALSE: it has no data section. IRQL: <= APC_LEVEL. */
BOOLEAN MmQuerySectionPages(PSECTION_OBJECT_POINTERS Pointers, PMM_SECTION_PAGES Pages);

/* Exported, but not declared by the DDK's headers (src/mm/sections/sectobj.c). */
NTSTATUS NTAPI MmCreateSection(PVOID *SectionObject, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                               PLARGE_INTEGER MaximumSize, ULONG Protection, ULONG Attributes, HANDLE FileHandle,
                               PFILE_OBJECT File);
NTSTATUS NTAPI MmMapViewOfSection(PVOID SectionObject, PEPROCESS Process, PVOID *BaseAddress, ULONG_PTR ZeroBits,
                                  SIZE_T CommitSize, PLARGE_INTEGER SectionOffset, PSIZE_T ViewSize,
                                  SECTION_INHERIT InheritDisposition, ULONG AllocationType, ULONG Protect);
NTSTATUS NTAPI MmUnmapViewOfSection(PEPROCESS Process, PVOID BaseAddress);
/* What a section object of an image is; whether one is of an image. IRQL: any. */
BOOLEAN MmIsImageSection(PVOID SectionObject);
PFILE_OBJECT MmImageFileOfSection(PVOID SectionObject); /* not referenced; NULL: not an image */
VOID MmQueryImageSection(PVOID SectionObject, PSECTION_IMAGE_INFORMATION Information, PULONG EntryRva);
extern POBJECT_TYPE MmSectionObjectType; /* (c) */
