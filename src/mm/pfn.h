/*
 * pfn.h - frames: the database, the lists, and the arrows between states.
 *
 * Included by mip.h; separate from it so that pfn.c, pfnlist.c and pfnmap.c are also compiled natively by the host
 * tests, which put a synthetic machine behind these declarations.
 */
#pragma once

#include "pfndef.h"

/* ---- The PFN lock and the database (pfn.c) ---- */

extern MI_PFN_LIST MiLists[MiListMax];    /* (p) */
extern ULONG64 MiRamFrames;               /* (c) frames with an entry */
extern PFN_FRAME MiHighestFrame;          /* (c) highest RAM frame */
extern volatile LONG64 MiAvailableFrames; /* Free + Zeroed + Standby, stashed ones too; interlocked, read as a hint */

/* The PFN lock: DISPATCH_LEVEL, short, counted. IRQL on entry: <= DISPATCH_LEVEL. */
KIRQL MiLockPfn(VOID);
VOID MiUnlockPfn(KIRQL OldIrql);
BOOLEAN MiIsPfnLocked(VOID);
#define ASSERT_PFN_LOCKED() ASSERT(MiIsPfnLocked())

#ifndef ORIEL_HOST
#define MI_PFN_DATABASE ((PMMPFN)MM_PFN_DATABASE)
#endif

/* The entry of a RAM frame; only for frames for which MiIsRamFrame. IRQL: any (the database is never paged). */
FORCEINLINE PMMPFN MiPfn(PFN_FRAME Frame)
{
    return MI_PFN_DATABASE + Frame;
}

FORCEINLINE PFN_FRAME MiFrameOf(const MMPFN *Pfn)
{
    return (PFN_FRAME)(Pfn - MI_PFN_DATABASE);
}

/* TRUE if the frame is RAM that the kernel manages (it has an entry). IRQL: any. */
BOOLEAN MiIsRamFrame(PFN_FRAME Frame);

/* Events, counted under the PFN lock. */
extern ULONG64 MiSoftFaults;        /* frames that left a list for their old owner */
extern ULONG64 MiStandbyRepurposed; /* standby frames given to somebody else */
extern ULONG64 MiPfnLockAcquired;   /* PFN lock: acquisitions, and those that had to spin */
extern ULONG64 MiPfnLockContended;

#define MI_DEFAULT_PRIORITY 5 /* NT's default memory priority; read-ahead and one-pass data are put lower */

/* What the arrows need from the rest of Mm (window.c, tlb.c); the host tests supply their own. */
VOID MiZeroFrame(PFN_FRAME Frame);                             /* IRQL: == DISPATCH_LEVEL */
VOID MiWritePteInFrame(ULONG PteFrame, PMMPTE Pte, MMPTE New); /* PteFrame none: Pte is in a permanent kernel table */
VOID MiForgetStaleTranslations(
    PMMPFN Pfn); /* flushes if a stale translation may exist, clears the tag. IRQL: <= DISPATCH_LEVEL */

/* A frame that a prototype PTE owned was taken away, and the PTE has Original back (protopte.c). PFN lock. */
VOID MiPrototypeFrameLost(MMPTE Original);

/* ---- Taking a frame ---- */

#define MI_FRAME_ANY     0x00
#define MI_FRAME_ZEROED  0x01 /* the content must be zero */
#define MI_FRAME_RESERVE 0x02 /* may use the last MI_RESERVE_FRAMES: paging I/O, the writers, and after MiHasFrames */

#define MI_RESERVE_FRAMES                                                                                              \
    32 /* what paging I/O needs to make progress: 16 frames of a cluster, a table, an MDL map, twice */

/**
 * MiAllocateFrame - takes a frame off the Zeroed, Free or, when those are empty, the lowest Standby list (its old owner
 * PTE then gets OriginalPte back through a window).
 *
 * returns  the frame, in state Transition with no reference, which one of the MiInitializePfn... functions must make
 *          somebody's before the PFN lock is dropped (or MiFreeFrame gives back); 0: memory is short, wait with MiWaitForFrames
 *
 * IRQL: DISPATCH_LEVEL. Locks: PFN lock.
 */
PFN_FRAME MiAllocateFrame(ULONG Flags);

/*
 * TRUE: so many frames are there beside the reserve, for a caller that needs all or none: it goes on to take them with MI_FRAME_RESERVE.
 * One request of fault injection. IRQL: DISPATCH_LEVEL. Locks: PFN lock.
 */
BOOLEAN MiHasFrames(ULONG Count);

/* Frames that processors keep for themselves (stash.c). TRUE: the freed frame was taken. All of them go back to the lists. PFN lock. */
BOOLEAN MiStashFreeFrame(PFN_FRAME Frame);
VOID MiDrainStashes(VOID);

/* Takes one particular frame off Free, Zeroed or Standby, as MiAllocateFrame would. Locks: PFN lock. */
VOID MiClaimFrame(PFN_FRAME Frame);

#define MI_FRAME_WAIT_MS 10 /* a clock tick or so: long enough for a page-out to end, short enough not to be seen */
/* Waits until frames may be had or MI_FRAME_WAIT_MS passed. IRQL: <= APC_LEVEL. Locks: none. */
VOID MiWaitForFrames(VOID);

/* ---- State arrows (all: PFN lock, DISPATCH_LEVEL) ---- */

/**
 * MiInitializePfn - new -> Active: one share, one reference, owned by Pte.
 *
 * @Pte       the owner PTE's address (identity): a page-table or a prototype PTE
 * @PteFrame  frame that contains it; MI_NO_FRAME32 for permanent kernel tables whose share is not counted. If not,
 *            the containing share is acquired here
 * @Original  what the PTE gets back when the frame is repurposed
 * @Flags     MI_U4_MODIFIED, MI_U4_PROTOTYPE
 */
VOID MiInitializePfn(PFN_FRAME Frame, PMMPTE Pte, ULONG PteFrame, MMPTE Original, ULONG64 Flags);
/* The same without the PFN lock, for a private page whose table cannot go away meanwhile: its working-set lock is held. */
VOID MiInitializePrivatePfn(PFN_FRAME Frame, PMMPTE Pte, ULONG PteFrame, MMPTE Original);

/**
 * MiChangeOwner - another PTE comes to own a frame with content, whose state stays. @Prototype: it is a prototype PTE.
 *
 * The caller writes both PTEs. IRQL: DISPATCH_LEVEL. Locks: PFN lock.
 */
VOID MiChangeOwner(PFN_FRAME Frame, PMMPTE Pte, ULONG PteFrame, MMPTE Original, BOOLEAN Prototype);

/**
 * MiInitializePfnForRead - new -> Transition with a read in progress: no share, one reference (the I/O's), u1 the
 * in-page block. The caller writes the transition PTE into the owner (it holds it mapped); the containing share is acquired here.
 */
VOID MiInitializePfnForRead(PFN_FRAME Frame, PMMPTE Pte, ULONG PteFrame, MMPTE Original, ULONG64 Flags,
                            PVOID InPageBlock);

/**
 * MiCompletePfnRead - the read ended: clears MI_U4_READ and u1; on failure sets MI_U4_ERROR. The I/O's reference stays
 * and is dropped by the caller's MiDecrementReferenceCount, which then puts the frame on Standby, or (error or deleted) frees it
 * after giving OriginalPte back to the owner.
 */
VOID MiCompletePfnRead(PFN_FRAME Frame, NTSTATUS Status);

/* A reference (an MDL's lock, an I/O). Increment: FALSE above MI_MAXIMUM_REFERENCES: STATUS_WORKING_SET_QUOTA. */
#define MI_MAXIMUM_REFERENCES 0x8000
BOOLEAN MiIncrementReferenceCount(PFN_FRAME Frame);
/* The last reference with no share: Transition -> Standby (clean), Modified (dirty), or Free (deleted or in error). */
VOID MiDecrementReferenceCount(PFN_FRAME Frame);

/* One more PTE names an Active frame. */
VOID MiIncrementShareCount(PFN_FRAME Frame);

/**
 * MiDecrementShareCount - a PTE that named the frame is gone (already downgraded and flushed by its rule).
 *
 * For a prototype frame the last share writes the transition PTE into the prototype PTE (through a window on PteFrame) and drops
 * the shares' reference. For a private frame the caller has written the transition PTE itself, or marked the frame deleted.
 * Active -> Transition (references left), Standby, Modified or Free.
 */
VOID MiDecrementShareCount(PFN_FRAME Frame);

/**
 * MiUnlinkTransition - soft fault: Standby, Modified, ModifiedNoWrite or Transition -> Active with one share more.
 * The caller then makes the owner PTE valid. For a frame of a transition PTE only; not while MI_U4_READ is set.
 */
VOID MiUnlinkTransition(PFN_FRAME Frame);

/* Dirty was harvested from a PTE, or a write went through an MDL. */
VOID MiSetModified(PFN_FRAME Frame);
/* Dirty page went to disk: Modified -> Standby when no reference keeps it. */
VOID MiClearModified(PFN_FRAME Frame);
/* Priority of the standby list the frame goes to (0-7). */
VOID MiSetPfnPriority(PFN_FRAME Frame, ULONG Priority);

/**
 * MiDeletePfn - the owner PTE goes away with its content. Standby/Modified -> Free at once; Active or
 * Transition: freed when the last share and reference go. The containing share is released here; the caller clears the PTE.
 */
VOID MiDeletePfn(PFN_FRAME Frame);

/* Free -> Transition (0: none free), and from there -> Zeroed once its content is zero. */
PFN_FRAME MiBeginZeroing(VOID);
VOID MiEndZeroing(PFN_FRAME Frame);

/* -> Free: for a frame nobody refers to and that is on no list. */
VOID MiFreeFrame(PFN_FRAME Frame);

/* Shares that valid and transition PTEs hold on the prototype page or user table that contains them: the only two ways. */
VOID MiAcquireContainingShare(ULONG PteFrame);
VOID MiReleaseContainingShare(ULONG PteFrame);

/* ---- List primitives (pfnlist.c; PFN lock). They keep counts and u4's state, and nothing else. ---- */

VOID MiInitializeLists(VOID);
VOID MiInsertListTail(MI_LIST_INDEX List, PFN_FRAME Frame);
VOID MiInsertListHead(MI_LIST_INDEX List, PFN_FRAME Frame);
VOID MiUnlinkFrame(PFN_FRAME Frame);            /* from the list its state (and priority) says */
PFN_FRAME MiRemoveListHead(MI_LIST_INDEX List); /* 0: empty */

/* ---- What RAM there is (pfnmap.c) ---- */

typedef struct _MI_RAM_RUN {
    PFN_FRAME Base;
    ULONG64 Count;
} MI_RAM_RUN, *PMI_RAM_RUN;

/* Maps of real machines have 3 to 40 runs once neighbours are merged; what exceeds this is left unused and reported. */
#define MI_MAXIMUM_RUNS 128

extern MI_RAM_RUN MiRamRuns[MI_MAXIMUM_RUNS]; /* (c) sorted, never touching */
extern ULONG MiRamRunCount;                   /* (c) */

BOOLEAN MiIsRamType(ULONG Type);

/**
 * MiCollectRamRuns - fills MiRamRuns, MiRamFrames and MiHighestFrame from descriptors sorted by BasePage.
 *
 * returns  frames left out because there were too many runs or they lie above 16 TiB
 */
ULONG64 MiCollectRamRuns(const LOADER_MEMORY_DESCRIPTOR *Descriptors, ULONG Count);

/* Called for each page of the database that must be backed, in ascending order; Offset in bytes from its start. */
typedef VOID (*PMI_PLAN_PAGE)(PVOID Context, ULONG64 Offset, BOOLEAN Large);

/* Which pages of the database hold entries of RAM: 2 MB pages where all their entries are RAM, else 4 KB pages. */
VOID MiPlanPfnDatabase(PMI_PLAN_PAGE Routine, PVOID Context);
