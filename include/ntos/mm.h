/*
 * mm.h - the memory manager, as the rest of the kernel sees it (what drivers see is in the DDK).
 */
#pragma once

#include <ntos/loader.h>
#include <ntos/ntos.h>

typedef ULONG64 PFN_FRAME; /* a frame number; 32 bits are enough for 16 TiB */

/* Regions by which exposure is counted. */
typedef enum _MM_REGION {
    MmRegionImages,
    MmRegionPageTables,
    MmRegionPfnDatabase,
    MmRegionNonPagedPool,
    MmRegionPagedPool,
    MmRegionSystemPtes, /* stacks, MDL maps; I/O maps of non-RAM are not exposure */
    MmRegionSystemCache,
    MmRegionWindow,
    MmRegionProcess, /* page tables and working-set lists of processes, seen in their own kernel half */
    MmRegionOther,   /* shared user page, loader block while it lasts */
    MmRegionMax
} MM_REGION;

typedef struct _MM_EXPOSURE {
    ULONG64 Frames[MmRegionMax]; /* RAM frames mapped by the kernel half, by region; one mapped twice counts twice */
    ULONG64 Total;
    ULONG64 Distinct;  /* MmVerifyExposure only: different frames among them, never more than Total */
    ULONG64 Peak;      /* highest Total seen since MmResetExposurePeak */
    ULONG64 RamFrames; /* all frames with a PFN entry */
} MM_EXPOSURE, *PMM_EXPOSURE;

/* Phase 0: PFN database, window, system PTEs, nonpaged pool. Single processor, interrupts off. */
VOID MmInitializePhase0(LOADER_BLOCK *LoaderBlock);
/* Phase 1: what needs threads. PASSIVE_LEVEL. */
VOID MmInitializePhase1(VOID);
/* Frees loader-temporary and ACPI-reclaim memory, the loader block and the boot stack. PASSIVE_LEVEL. */
VOID MmFreeLoaderMemory(VOID);

/**
 * MmAccessFault - resolves a page fault.
 *
 * @ErrorCode  as pushed by the processor (PF_*)
 * @Address    CR2
 * @Frame      trap frame of the faulting context
 * returns     STATUS_SUCCESS: retry the instruction; anything else is raised as an exception with this status
 *
 * IRQL: any; at DISPATCH_LEVEL and above only a spurious fault returns, everything else is bug check
 * IRQL_NOT_LESS_OR_EQUAL. Interrupts: enabled if the interrupted context had them enabled.
 */
NTSTATUS MmAccessFault(ULONG64 ErrorCode, PVOID Address, PKTRAP_FRAME Frame);

/* What SystemBasicInformation and SystemPerformanceInformation tell of memory, in pages; a snapshot. IRQL: any. */
typedef struct _MM_USE {
    ULONG64 LowestFrame, HighestFrame;
    ULONG64 AvailablePages; /* free, zeroed or on standby */
    ULONG64 CommittedPages, CommitLimit, PeakCommitment;
} MM_USE, *PMM_USE;
VOID MmQueryUse(PMM_USE Use);

/* Kernel stack with an unmapped guard page below; returns its top, NULL when memory is short. IRQL: <= APC_LEVEL. */
PVOID MmCreateKernelStack(SIZE_T Bytes);
VOID MmDeleteKernelStack(PVOID Top, SIZE_T Bytes);

/* The frame, below 640 KB and reserved, whose physical address application processors start at; 0: none. (c) */
extern PFN_FRAME MmTrampolineFrame;

/* Nonpaged state that Mm keeps for one more processor; FALSE: memory is short. PASSIVE_LEVEL, before it starts. */
BOOLEAN MmPrepareProcessor(struct _KPRCB *Prcb);

/* ---- Address spaces that a processor keeps translations of (src/mm/tables/pcid.c) ---- */

extern BOOLEAN MmPcidEnabled; /* (c) processors have process-context identifiers, and use them */
/* Loads CR3 for a process whose ActiveProcessors has this processor already; MmPcidEnabled. IRQL: >= DISPATCH_LEVEL. */
VOID MmLoadAddressSpace(struct _KPROCESS *Process);
typedef struct _MM_PCID_USE {
    BOOLEAN Enabled, Invpcid;
    ULONG Identifiers;     /* that a processor gives away */
    ULONG64 Kept, Flushed; /* loads of CR3 without and with a flush, by all processors */
} MM_PCID_USE, *PMM_PCID_USE;
VOID MmQueryPcid(PMM_PCID_USE Use); /* IRQL: any; a snapshot */

/* TLB shootdown: ke sets the sender once a second processor runs, and calls MmTlbIpi for it (IPI_LEVEL). */
extern VOID (*MmTlbSendIpi)(KAFFINITY Targets);
VOID MmTlbIpi(VOID);
VOID MmTlbJoin(
    VOID); /* on a new processor, once it gets shootdowns: drops what its TLB took in before. Interrupts off. */

/* ---- Pages for the pools (src/mm/system/poolpages.c); IRQL <= DISPATCH_LEVEL ---- */

#define MM_POOL_MAXIMUM_PAGES (1ULL << 20) /* a run is shorter: 4 GB in 20 bits of its first frame's entry */

/* A page-aligned run of Bytes rounded up to pages; NULL: memory or addresses are short. Contents undefined unless Zero. */
PVOID MmAllocatePoolPages(BOOLEAN Paged, SIZE_T Bytes, ULONG Tag, BOOLEAN Zero);
/* What a run was allocated with; FALSE: Address is not the start of a live run. */
BOOLEAN MmQueryPoolPages(PVOID Address, PSIZE_T Bytes, PULONG Tag, PBOOLEAN Paged);
VOID MmFreePoolPages(PVOID Address);
/* The same with an unmapped page on either side. Bytes: whole pages. */
PVOID MmAllocateGuardedPages(BOOLEAN Paged, SIZE_T Bytes, ULONG Tag);
VOID MmFreeGuardedPages(PVOID Address);
ULONG64 MmQueryRamPages(VOID); /* frames that have a PFN entry; IRQL: any */
/* TRUE if taking Bytes more would leave less than an eighth of RAM available. IRQL: any; a hint. */
BOOLEAN MmIsMemoryLow(SIZE_T Bytes);

/* A whole image file, in pool that the caller frees (ExFreePool). PASSIVE_LEVEL. Fails as ZwOpenFile and ZwReadFile do. */
NTSTATUS MmReadImageFile(PCUNICODE_STRING Path, PVOID *File, PULONG Bytes);

/* ---- Address spaces of processes (src/mm/process/process.c and its neighbours) ---- */

/**
 * MmCreateProcessAddressSpace - gives a process an address space of its own.
 *
 * @Process  its Pcb.DirectoryTableBase and MmSupport are set; the user half is empty
 *
 * IRQL: <= APC_LEVEL. Fails: STATUS_INSUFFICIENT_RESOURCES, STATUS_COMMITMENT_LIMIT.
 */
NTSTATUS MmCreateProcessAddressSpace(PEPROCESS Process);

/* Shows KUSER_SHARED_DATA at MM_SHARED_USER_VA, for as long as the address space lives. IRQL: PASSIVE_LEVEL. Fails: as MmMapViewOfSection. */
NTSTATUS MmMapSharedUserPage(PEPROCESS Process);

/**
 * MmCloneProcessAddressSpace - gives a process a copy of another's address space, whose private pages are copied when either writes.
 *
 * @Parent  its threads may run on; its views with ViewUnmap and what drivers have mapped into it are left out
 * @Child   its address space is there and empty; nobody runs in it yet
 *
 * IRQL: PASSIVE_LEVEL; neither address space goes away meanwhile (PsAcquireProcessExitSynchronization). Fails, with the child empty:
 * STATUS_INVALID_PARAMETER (the child is not empty, or one has no address space), STATUS_PROCESS_IS_TERMINATING,
 * STATUS_COMMITMENT_LIMIT, STATUS_INSUFFICIENT_RESOURCES.
 */
NTSTATUS MmCloneProcessAddressSpace(PEPROCESS Parent, PEPROCESS Child);

/* Chooses where its memory will lie, before there is any. IRQL: any. MmProcessRandom: 64 bits, 0 under noaslr. (src/mm/process/aslr.c) */
VOID MmRandomizeProcess(PEPROCESS Process);
ULONG64 MmProcessRandom(PEPROCESS Process);

/**
 * MmAllocateForProgram - memory that the kernel gives a program: below the process's random top, PAGE_READWRITE. (src/mm/virtual/allocvm.c)
 *
 * @Base    receives where it is, in the current process
 * @Bytes   in: wanted; out: whole pages
 * @Commit  or reserve only
 *
 * IRQL: PASSIVE_LEVEL; no locks. Fails: STATUS_NO_MEMORY, STATUS_COMMITMENT_LIMIT, STATUS_INSUFFICIENT_RESOURCES, STATUS_PROCESS_IS_TERMINATING.
 */
NTSTATUS MmAllocateForProgram(PVOID *Base, PSIZE_T Bytes, BOOLEAN Commit);

/*
 * Takes it apart, with everything in it. No processor may have it loaded, no thread be attached or about to attach; does
 * nothing for a process that has none. IRQL: <= APC_LEVEL; no locks.
 */
VOID MmDeleteProcessAddressSpace(PEPROCESS Process);

/*
 * Copies between the kernel and the current process's user half; the range is probed, faults end the copy. IRQL: <= APC_LEVEL.
 * Fails: STATUS_ACCESS_VIOLATION, STATUS_GUARD_PAGE_VIOLATION, STATUS_IN_PAGE_ERROR; what was copied until then stays.
 */
NTSTATUS MmCopyFromUser(PVOID Destination, const VOID *Source, SIZE_T Bytes);
NTSTATUS MmCopyToUser(PVOID Destination, const VOID *Source, SIZE_T Bytes);
/* TRUE: [Address, Address + Bytes) lies below the user limit and does not wrap. IRQL: any. */
/**
 * MmAdjustWorkingSetSize - sets the limits of a process's working set.
 *
 * @Minimum, @Maximum  bytes; both 0: as they are; both MAXSIZE_T: empty the working set, which is granted and changes nothing yet
 * @MayRaise           the caller has SeIncreaseWorkingSetPrivilege or better: the minimum may grow
 *
 * A minimum below 20 pages is taken for 20. IRQL: <= APC_LEVEL; the address space stays. Fails: STATUS_INVALID_PARAMETER (one of them 0),
 * STATUS_BAD_WORKING_SET_LIMIT (a maximum that is not 8 pages above the minimum, or more than there is RAM),
 * STATUS_PRIVILEGE_NOT_HELD, STATUS_INSUFFICIENT_RESOURCES (a minimum that RAM does not allow now). Source: SetProcessWorkingSetSize.
 */
NTSTATUS MmAdjustWorkingSetSize(PEPROCESS Process, SIZE_T Minimum, SIZE_T Maximum, BOOLEAN MayRaise);
VOID MmQueryWorkingSetSize(PEPROCESS Process, PSIZE_T Minimum, PSIZE_T Maximum); /* bytes. IRQL: any; a snapshot */
/* Pages that a process commits, as of now. IRQL: any, while the address space is there. (src/mm/process/commit.c) */
ULONG64 MmQueryProcessCommit(PEPROCESS Process);
/* What ProcessVmCounters tells. IRQL: PASSIVE_LEVEL; no locks. (src/mm/virtual/queryvm.c) */
VOID MmQueryProcessMemory(PEPROCESS Process, PVM_COUNTERS Counters);
BOOLEAN MmIsUserRange(const VOID *Address, SIZE_T Bytes);

/* Services that the DDK's headers do not declare. */
typedef enum _MI_MEMORY_INFORMATION_CLASS { /* structures: ntos/vmsvc.h */
                                            MemoryBasicInformation,
                                            MemoryWorkingSetInformation,
                                            MemoryMappedFilenameInformation, /* a UNICODE_STRING and its characters */
                                            MemoryRegionInformation,
                                            MemoryWorkingSetExInformation,
                                            MemorySharedCommitInformation, /* of the process; the address does not matter */
                                            MemoryImageInformation
} MI_MEMORY_INFORMATION_CLASS;

typedef struct _MEMORY_BASIC_INFORMATION { /* as winnt.h declares it for 64 bits */
    PVOID BaseAddress;
    PVOID AllocationBase;
    ULONG AllocationProtect;
    USHORT PartitionId; /* 0 */
    SIZE_T RegionSize;  /* bytes */
    ULONG State, Protect, Type;
} MEMORY_BASIC_INFORMATION, *PMEMORY_BASIC_INFORMATION;
C_ASSERT(sizeof(MEMORY_BASIC_INFORMATION) == 48);

NTSTATUS NTAPI NtQueryVirtualMemory(HANDLE ProcessHandle, PVOID BaseAddress, MI_MEMORY_INFORMATION_CLASS Class,
                                    PVOID Buffer, SIZE_T Length, PSIZE_T ReturnLength);
NTSTATUS NTAPI ZwQueryVirtualMemory(HANDLE ProcessHandle, PVOID BaseAddress, MI_MEMORY_INFORMATION_CLASS Class,
                                    PVOID Buffer, SIZE_T Length, PSIZE_T ReturnLength);
NTSTATUS NTAPI NtProtectVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress, PSIZE_T RegionSize, ULONG NewProtect,
                                      PULONG OldProtect);
NTSTATUS NTAPI ZwProtectVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress, PSIZE_T RegionSize, ULONG NewProtect,
                                      PULONG OldProtect);

/* Exported, but not declared by the DDK's headers. */
VOID NTAPI MmProbeAndLockSelectedPages(PMDL Mdl, PFILE_SEGMENT_ELEMENT Segment, KPROCESSOR_MODE AccessMode,
                                       LOCK_OPERATION Operation);
NTSTATUS NTAPI MmCopyVirtualMemory(PEPROCESS FromProcess, PVOID FromAddress, PEPROCESS ToProcess, PVOID ToAddress,
                                   SIZE_T Bytes, KPROCESSOR_MODE PreviousMode, PSIZE_T BytesCopied);

VOID MmQueryExposure(PMM_EXPOSURE Exposure);  /* counters; IRQL <= DISPATCH_LEVEL */
VOID MmVerifyExposure(PMM_EXPOSURE Exposure); /* recomputed by walking the kernel half; PASSIVE_LEVEL */
VOID MmResetExposurePeak(VOID);
/* Checks every invariant (docs/page-states.md), prints what is wrong, returns the number of findings. IRQL: <= APC_LEVEL, no locks. */
ULONG MiVerify(VOID);
