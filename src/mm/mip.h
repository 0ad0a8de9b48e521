/*
 * mip.h - inside the memory manager: what its files share.
 *
 * Frames (pfn.c) change state only through the arrows declared here, under the PFN lock unless a contract says
 * otherwise. A frame is looked at through a window slot (window.c, one processor, DISPATCH_LEVEL) or through system
 * PTEs (systempte.c, anyone, may sleep); there is no linear map. Page tables are reached through the self-map.
 *
 * Kernel-half page tables are permanent: their frames hold a share count of 1 whatever their entries, and no caller
 * acquires containing shares on them. Prototype-PTE pages and user page tables do count: MiAcquireContainingShare.
 *
 * Lock order here: working-set and section locks, then the PFN lock, then a frame's lock bit; nothing waits, allocates
 * pool or does I/O under the PFN lock. TLB shootdowns may be sent under it: processors that spin for it take IPIs.
 */
#pragma once

#include <ntos/ke.h>
#include <ntos/mm.h>
#include "pfn.h"

/* ---- Self-map ---- */

#define MI_PTE_OF_SELF MM_PTE_BASE
#define MI_PDE_BASE    0xFFFFF6FB40000000ULL
#define MI_PPE_BASE    0xFFFFF6FB7DA00000ULL
#define MI_PXE_BASE    0xFFFFF6FB7DBED000ULL
C_ASSERT(MI_PDE_BASE == MM_PTE_BASE + ((MM_PTE_BASE & 0xFFFFFFFFFFFFULL) >> 9));
C_ASSERT(MI_PPE_BASE == MM_PTE_BASE + ((MI_PDE_BASE & 0xFFFFFFFFFFFFULL) >> 9));
C_ASSERT(MI_PXE_BASE == MM_PTE_BASE + ((MI_PPE_BASE & 0xFFFFFFFFFFFFULL) >> 9));

/* Address, in the self-map, of the entry that maps Address at each level. Touch it only when its table is resident. */
FORCEINLINE PMMPTE MiPteOf(const VOID *Address)
{
    return (PMMPTE)(MM_PTE_BASE + (((ULONG64)Address >> 9) & 0x7FFFFFFFF8ULL));
}

FORCEINLINE PMMPTE MiPdeOf(const VOID *Address)
{
    return (PMMPTE)(MI_PDE_BASE + (((ULONG64)Address >> 18) & 0x3FFFFFF8ULL));
}

FORCEINLINE PMMPTE MiPpeOf(const VOID *Address)
{
    return (PMMPTE)(MI_PPE_BASE + (((ULONG64)Address >> 27) & 0x1FFFF8ULL));
}

FORCEINLINE PMMPTE MiPxeOf(const VOID *Address)
{
    return (PMMPTE)(MI_PXE_BASE + (((ULONG64)Address >> 36) & 0xFF8ULL));
}

/* The address that a PTE (in the self-map) maps. */
FORCEINLINE PVOID MiAddressOf(const MMPTE *Pte)
{
    return (PVOID)(ULONG_PTR)(((LONG64)((ULONG64)Pte << 25)) >> 16);
}

/**
 * MiFindLeaf - walks the tables from the top to the entry that maps Address.
 *
 * @Level    receives 0 for a 4 KB PTE, 1 for a 2 MB PDE, 2 for a 1 GB PPE: the level of the entry returned
 * returns   the entry, in the self-map: for level 0 it may be non-valid; NULL if a table above is not resident
 *
 * IRQL: any. Locks: the caller keeps the tables from going away (kernel half: they never do).
 */
PMMPTE MiFindLeaf(const VOID *Address, PULONG Level);
/* What it holds, 0 if there is no table; also safe for user addresses, whose tables come and go. IRQL: any. */
MMPTE MiReadLeaf(const VOID *Address, PULONG Level);

/* ---- Valid PTEs ---- */

typedef enum _MI_CACHE_TYPE { /* MMPFN.u4 and the PAT entries of KI_PAT_VALUE */
                              MiWriteBack,
                              MiWriteCombined,
                              MiUncachedMinus,
                              MiUncached
} MI_CACHE_TYPE;

FORCEINLINE ULONG64 MiCacheBits(MI_CACHE_TYPE CacheType)
{
    return (CacheType & 1 ? PTE_PWT : 0) | (CacheType & 2 ? PTE_PCD : 0);
}

/* A kernel-half page: supervisor, global, NX, accessed; writable ones are born dirty unless Bits says otherwise. */
#define MI_KERNEL_RO_BITS (PTE_VALID | PTE_ACCESSED | PTE_GLOBAL | PTE_NX)
#define MI_KERNEL_RW_BITS (MI_KERNEL_RO_BITS | PTE_WRITE | PTE_DIRTY)
/* An entry above the last level: never global, permissions decided by the leaf. */
#define MI_TABLE_BITS (PTE_VALID | PTE_WRITE | PTE_ACCESSED | PTE_DIRTY)

/* Makes a non-valid PTE valid: one store, no flush (a non-valid entry is never cached). */
FORCEINLINE VOID MiWriteValidPte(PMMPTE Pte, MMPTE New)
{
    ASSERT(!Pte->Hard.Valid && New.Hard.Valid);
    *(volatile ULONG64 *)&Pte->Long = New.Long;
}

/* ---- TLB (tlb.c): every PTE downgrade goes through MiDowngradePte ---- */

typedef enum _MI_TLB_RULE {
    MiTlbUser,         /* (a) user-reachable: no processor keeps the translation once MiFlushTlb returns */
    MiTlbSystemLazy,   /* (b) system space: other processors may keep it; tag the frame with the epoch returned */
    MiTlbSystemAtOnce, /* (c) Dirty cleared, Write or Execute removed, or the range goes to somebody else at once */
} MI_TLB_RULE;

#define MI_TLB_BATCH 32 /* single invalidations above this number cost more than dropping everything */

typedef struct _MI_TLB_FLUSH { /* on the caller's stack */
    MI_TLB_RULE Rule;
    ULONG Count;               /* above MI_TLB_BATCH: everything */
    struct _KPROCESS *Process; /* MiTlbUser: whose addresses they are */
    PVOID Address[MI_TLB_BATCH];
} MI_TLB_FLUSH, *PMI_TLB_FLUSH;

FORCEINLINE VOID MiBeginTlbFlush(PMI_TLB_FLUSH Flush, MI_TLB_RULE Rule)
{
    Flush->Rule = Rule;
    Flush->Count = 0;
    Flush->Process = Rule == MiTlbUser ? KeGetCurrentThread()->ApcState.Process : NULL;
}

/* Begins one of user addresses of another process than the current one, which must stay while the flush lasts. */
FORCEINLINE VOID MiBeginProcessTlbFlush(PMI_TLB_FLUSH Flush, struct _KPROCESS *Process)
{
    Flush->Rule = MiTlbUser;
    Flush->Count = 0;
    Flush->Process = Process;
}

/**
 * MiDowngradePte - replaces a PTE by one that allows less (usually: nothing), by atomic exchange.
 *
 * @Flush    collects Address until MiFlushTlb
 * @Address  what the PTE maps
 * returns   the PTE as it was, with the Accessed and Dirty bits that the processors had set by then
 *
 * IRQL: <= DISPATCH_LEVEL. Locks: whatever guards the PTE.
 */
MMPTE MiDowngradePte(PMI_TLB_FLUSH Flush, PMMPTE Pte, PVOID Address, MMPTE New);

/* Adds an address whose PTE was changed in another way. */
VOID MiAddTlbAddress(PMI_TLB_FLUSH Flush, PVOID Address);

/**
 * MiFlushTlb - ends a group of downgrades as its rule demands: on return of (a) and (c) no processor keeps any of the
 * addresses; of (b) this processor does not.
 *
 * returns  for (b) the epoch to put into the frames' u4 (MiTagFrame), 0 if no processor can hold a stale translation
 *
 * IRQL: <= DISPATCH_LEVEL, interrupts on (phase 0 excepted). Locks: any spin lock below HIGH_LEVEL.
 */
ULONG MiFlushTlb(PMI_TLB_FLUSH Flush);

/* Drops every translation, global ones too, on every processor. IRQL: <= DISPATCH_LEVEL. */
VOID MiFlushAllTlb(VOID);
/* Stamp of now, and: has a whole flush begun and ended since the stamp was taken? (Reuse of address ranges.) IRQL: any. */
ULONG64 MiTlbStamp(VOID);
BOOLEAN MiTlbStampPassed(ULONG64 Stamp);
/* Notes in u4 that lazy (b) translations of the frame may exist. Epoch as MiFlushTlb returned it; 0 changes nothing. */
VOID MiTagFrame(PMMPFN Pfn, ULONG Epoch);

/* ---- Process-context identifiers (pcid.c) ---- */

VOID MiEnablePcid(VOID);                     /* each processor, before it runs in any process; CR3 is a bare root */
VOID MiBeginLife(struct _KPROCESS *Process); /* a new address space, which inherits nothing */
typedef struct _MI_GENERATIONS {
    ULONG64 Old, New; /* New 0: nobody counts them */
} MI_GENERATIONS;
/* Translations of a process (NULL: of none) are about to be dropped; the PTEs are written. MiTlbLock. */
MI_GENERATIONS MiMoveGeneration(struct _KPROCESS *Process);
/* This processor has dropped them. IRQL: >= DISPATCH_LEVEL. */
VOID MiFollowGeneration(const struct _KPROCESS *Process, const MI_GENERATIONS *Moved);
BOOLEAN MiInvalidateEverything(VOID); /* of all identifiers, global ones too; FALSE: there is no instruction for it */

/* ---- Kernel-owned frames (tables.c, pfn.c): takes the PFN lock itself; IRQL <= DISPATCH_LEVEL ---- */

/* Makes the page tables of a kernel range exist. FALSE: memory is short (those made stay: they are permanent). */
BOOLEAN MiMakeTablesResident(PVOID Base, SIZE_T Bytes);

/**
 * MiMapKernelPages - backs a range of kernel addresses (tables resident, PTEs not valid) with fresh frames, owned by their PTEs.
 *
 * @Flags    MI_FRAME_...
 * returns   FALSE, with nothing mapped, when memory is short
 */
BOOLEAN MiMapKernelPages(PVOID Base, SIZE_T Pages, ULONG64 PteBits, ULONG Flags, MM_REGION Region);
/* Undoes it: PTEs cleared and flushed by rule (b), frames freed. */
VOID MiUnmapKernelPages(PVOID Base, SIZE_T Pages, MM_REGION Region);
VOID MiUnmapKernelPagesByRule(PVOID Base, SIZE_T Pages, MM_REGION Region, MI_TLB_RULE Rule);

/* Every valid leaf entry of the kernel half outside the self-map, in ascending order; page tables go to Table. */
typedef struct _MI_WALK {
    VOID (*Leaf)(struct _MI_WALK *Walk, PVOID Address, PMMPTE Entry, ULONG Level); /* Level: 0 4 KB, 1 2 MB, 2 1 GB */
    VOID (*Table)(struct _MI_WALK *Walk,
                  PMMPTE Entry); /* the entry, in the self-map, that names the table; may be NULL */
} MI_WALK, *PMI_WALK;
VOID MiWalkKernelHalf(PMI_WALK Walk); /* IRQL: DISPATCH_LEVEL. Locks: PFN lock (walk.c) */
/*
 * The user half and hyperspace of one process, or of all, the same way; the PML4 goes to Table too. Loads the process's
 * PML4 for the length of the walk. IRQL: DISPATCH_LEVEL. Locks: PFN lock.
 */
struct _MI_ADDRESS_SPACE;
VOID MiWalkProcess(struct _MI_ADDRESS_SPACE *Space, PMI_WALK Walk);
VOID MiWalkProcesses(PMI_WALK Walk);
/* Loads another PML4 (physical address; 0: none) for a moment; returns CR3 as it was, for MiRestoreRoot. IRQL: DISPATCH_LEVEL, PFN lock. */
ULONG64 MiLoadRoot(ULONG64 Root);
VOID MiRestoreRoot(ULONG64 Cr3);
ULONG64 MiSystemRoot(VOID); /* the system process's; 0: it does not exist yet */

/* The region a kernel address belongs to; MmRegionMax: none. IRQL: any. (exposure.c) */
MM_REGION MiRegionOf(PVOID Address);
PCSTR MiRegionName(MM_REGION Region);

/* ---- Windows (window.c) ---- */

/**
 * MiMapFrame - make one frame visible to this processor.
 *
 * @Frame      frame number; RAM or a device frame that the caller owns
 * @CacheType  memory type of the mapping; the frame's own for RAM
 * returns     its address, valid on this processor until MiUnmapFrame
 *
 * IRQL: == DISPATCH_LEVEL until unmapped. Locks: none. Fails: never (64 slots: the deepest nesting in the kernel is 4).
 */
PVOID MiMapFrame(PFN_FRAME Frame, MI_CACHE_TYPE CacheType);
VOID MiUnmapFrame(PVOID Address);

/* Up to MI_WINDOW_BATCH frames at consecutive addresses; one batch at a time on a processor. IRQL: == DISPATCH_LEVEL. */
#define MI_WINDOW_BATCH 16
PVOID MiMapFrames(const PFN_FRAME *Frames, ULONG Count);
VOID MiUnmapFrames(PVOID Address, ULONG Count);

VOID MiCopyFrame(PFN_FRAME To, PFN_FRAME From);     /* IRQL: == DISPATCH_LEVEL */
MMPTE MiReadPteInFrame(ULONG PteFrame, PMMPTE Pte); /* the PTE at Pte's offset in the frame. IRQL: == DISPATCH_LEVEL */

/* Slots of code that may interrupt a map: one owner each, any IRQL. Returns NULL only for a bad slot. */
typedef enum _MI_WINDOW_OWNER {
    MiWindowDebugger,
    MiWindowNmi,
    MiWindowMachineCheck,
    MiWindowDump,
    MiWindowOwners
} MI_WINDOW_OWNER;
PVOID MiMapFrameForOwner(MI_WINDOW_OWNER Owner, PFN_FRAME Frame, MI_CACHE_TYPE CacheType);
VOID MiUnmapFrameForOwner(MI_WINDOW_OWNER Owner);

/* ---- System PTEs (systempte.c) ---- */

/* A run of kernel addresses (nothing mapped; tables resident). NULL: none left or memory short. IRQL: <= DISPATCH_LEVEL. */
PMMPTE MiReserveSystemPtes(ULONG Count);
/* Gives it back; the PTEs are downgraded already or still valid: what is valid is cleared here (no frame is touched). */
VOID MiReleaseSystemPtes(PMMPTE First, ULONG Count);

#define MI_SYSTEM_START 0xFFFF800000000000ULL /* lowest canonical address of the kernel half */

/* ---- MDLs (mdl.c); IRQL <= DISPATCH_LEVEL ---- */

/* Maps the frames of an MDL at PTEs the caller reserved, and takes them down again by rule (b); both count exposure. */
VOID MiMapMdlFrames(PMDL Mdl, PMMPTE Pte, MI_CACHE_TYPE DeviceType);
VOID MiUnmapMdlFrames(PMDL Mdl, PMMPTE Pte, ULONG Extra);
ULONG64 MiMdlPteBits(PFN_FRAME Frame, MI_CACHE_TYPE DeviceType); /* cache bits of a mapping of the frame */

/*
 * The frames of a view of \Device\PhysicalMemory: all RAM that is in use, with a reference each, or none of it RAM. IRQL: <= APC_LEVEL.
 * @DeviceType: of a device's pages. Fails: STATUS_ACCESS_DENIED (a page table), STATUS_INVALID_ADDRESS (RAM that nobody uses, or RAM and
 * other pages, or pages of several cache types), STATUS_WORKING_SET_QUOTA, STATUS_INSUFFICIENT_RESOURCES. (iospace.c)
 */
NTSTATUS MiClaimPhysicalView(PFN_FRAME First, ULONG64 Pages, MI_CACHE_TYPE *DeviceType, PVOID *Claim);
VOID MiReleasePhysicalView(PVOID Claim);

/* The kernel's cache type of a DDK type; FALSE: no such type. (iospace.c) */
BOOLEAN MiCacheTypeOf(MEMORY_CACHING_TYPE Type, MI_CACHE_TYPE *CacheType);
/* Could MiClaimFrame take it? PFN lock. Drops its lines from every cache, before its cache type changes. (contiguous.c) */
BOOLEAN MiFrameIsAvailable(PFN_FRAME Frame);
VOID MiFlushFrameFromCaches(PFN_FRAME Frame);
VOID MiTrimStackCache(VOID); /* gives cached kernel stacks back. IRQL: <= DISPATCH_LEVEL (stack.c) */

/* ---- Frames a processor keeps for itself (stash.c) ---- */

extern ULONG64 MiStashRefills, MiStashDrains; /* (p) */
/* A zeroed frame, as MiAllocateFrame would give it, mostly without a lock. IRQL: == DISPATCH_LEVEL; not the PFN lock. */
PFN_FRAME MiTakeZeroedFrame(VOID);
VOID MiReturnStashes(VOID); /* before frames are looked for one by one. IRQL: <= DISPATCH_LEVEL; not the PFN lock */
BOOLEAN MiCountStashed(PULONG64 Free, PULONG64 Zeroed); /* FALSE: a mark is wrong. PFN lock, others frozen */

/* ---- Zeroed frames in stock (zero.c) ---- */

extern ULONG64 MiZeroedTarget; /* (c) frames that the zero thread keeps on the Zeroed list; 0: it does not run yet */
extern ULONG64 MiFramesZeroed; /* frames it has zeroed */
VOID MiWakeZeroThread(VOID);   /* if the stock is low; called when the PFN lock is dropped, at DISPATCH_LEVEL */
VOID MiStartZeroThread(VOID);  /* phase 1 */

/* ---- Exposure (exposure.c): leaf PTEs of the kernel half that name RAM ---- */

VOID MiCountMapped(MM_REGION Region, LONG64 Frames); /* Frames < 0: unmapped. IRQL: any. No lock. */
ULONG64 MiMappedFrames(MM_REGION Region);            /* the counter of one region. IRQL: any; a snapshot */

/* ---- Per processor ---- */

#define MI_STASH_FRAMES 64
typedef struct _MI_STASH {
    ULONG Count;                          /* own processor, DISPATCH_LEVEL */
    volatile LONG Frame[MI_STASH_FRAMES]; /* 0: empty */
} MI_STASH, *PMI_STASH;

/* A process that a processor keeps translations of. */
#define MI_PCIDS         8 /* more than it alternates between; they are searched one by one */
#define MI_PCID_BITS     0xFFFULL
#define MI_NO_GENERATION MAXULONG64
typedef struct _MI_PCID {
    const struct _KPROCESS *Process; /* NULL: none. An identity, never followed */
    ULONG64 Generation;              /* up to which its translations are good */
    ULONG64 LastUse;                 /* number of the load of CR3 */
} MI_PCID, *PMI_PCID;

typedef struct _MI_PROCESSOR {
    PMMPTE WindowPtes;     /* (c) page table of this processor's window, in the self-map */
    ULONG WindowHint;      /* where the search for a free slot begins */
    ULONG WindowLive;      /* slots in use */
    ULONG WindowPeak;      /* most slots ever in use */
    ULONG64 WindowMaps;    /* maps made */
    ULONG64 TlbSingles;    /* addresses invalidated here */
    ULONG64 TlbAll;        /* whole flushes here */
    ULONG64 TlbSpaces;     /* of all of a process */
    ULONG64 TlbShootdowns; /* begun here that other processors had to hear of */
    ULONG64 TlbIpisSent;   /* processors that had to */
    ULONG64 TlbIpisTaken;  /* heard of here */
    MI_STASH ZeroedStash, FreeStash;
    MI_PCID Pcid[MI_PCIDS];        /* that of identifier n is n - 1; own processor, interrupts off */
    ULONG64 PcidKept, PcidFlushed; /* loads of CR3 without and with a flush */
} MI_PROCESSOR, *PMI_PROCESSOR;

FORCEINLINE PMI_PROCESSOR MiProcessor(VOID)
{
    return KeGetCurrentPrcb()->Mm;
}
