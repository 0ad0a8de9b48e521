/*
 * pfndef.h - the shapes of a page-table entry and of a frame's entry in the PFN database.
 *
 * Everything here is plain data and arithmetic, so that the frame lists and the planning of the database are also
 * compiled natively and tested on synthetic memory maps. Nothing here touches a page table or takes a lock.
 *
 * A frame is owned by exactly one list or one user at a time; MMPFN says which. Its last word, u4, is shared by fields
 * that different locks guard, so it is never written through bit-fields: MiPfnChange replaces it by 64-bit
 * compare-exchange, and readers take one snapshot.
 */
#pragma once

#ifdef ORIEL_HOST
#include "mmhost.h"
#else
#include <ntos/mm.h>
#endif

/* ---- Page-table entries ---- */

/* Protections, NT's numbers: what software PTEs carry in their five protection bits. */
#define MM_ZERO_ACCESS       0
#define MM_READONLY          1
#define MM_EXECUTE           2
#define MM_EXECUTE_READ      3
#define MM_READWRITE         4
#define MM_WRITECOPY         5
#define MM_EXECUTE_READWRITE 6
#define MM_EXECUTE_WRITECOPY 7
#define MM_NOCACHE           0x08
#define MM_GUARD_PAGE        0x10

/*
 * One entry, in its hardware form or one of its software forms. Valid clear: Prototype set is a prototype pointer (in
 * a page table) or a subsection (in a prototype PTE); else Transition set is a frame that is still in memory; else an
 * Offset other than 0 is a pagefile page, 0 with a protection is demand zero, and all zero is nothing at all.
 */
typedef union _MMPTE {
    ULONG64 Long;
    struct {
        ULONG64 Valid : 1, Write : 1, User : 1, WriteThrough : 1, CacheDisable : 1, Accessed : 1, Dirty : 1, Large : 1,
            Global : 1;
        ULONG64 CopyOnWrite : 1; /* software */
        ULONG64 Prototype : 1;   /* software: the frame is owned by a prototype PTE */
        ULONG64 Writable : 1;    /* software: may become writable (Write is set once it is dirty) */
        ULONG64 Frame : 40, Reserved : 11, NoExecute : 1;
    } Hard;
    struct {
        ULONG64 Valid : 1, FileNumber : 4, Protection : 5, Prototype : 1, Transition : 1;
        ULONG64 UsedEntries : 10; /* in a page-table frame's OriginalPte: entries in use */
        ULONG64 Spare : 10, Offset : 32;
    } Soft;
    struct {
        ULONG64 Valid : 1, Write : 1, User : 1, Spare : 2, Protection : 5, Prototype : 1, Transition : 1;
        ULONG64 InvertedFrame : 40; /* ~frame: the bits never name RAM to a speculating processor (L1TF) */
        ULONG64 Spare2 : 12;
    } Trans;
    struct {
        ULONG64 Valid : 1, Spare : 4, Protection : 5, Prototype : 1, Transition : 1, Spare2 : 4;
        ULONG64 Address : 48; /* prototype PTE, or all ones: ask the VAD; in a prototype PTE: subsection */
    } Proto;
} MMPTE, *PMMPTE;
C_ASSERT(sizeof(MMPTE) == 8);

#define MI_PTE_PROTOTYPE              0x400ULL
#define MI_PTE_TRANSITION             0x800ULL
#define MI_PTE_FORK                   0x400000ULL /* in a frame's OriginalPte: a fork prototype PTE owns it */
#define MI_PTE_RESET                  0x800000ULL /* the same, and in a demand-zero PTE: see resetvm.c */
#define MI_PTE_LARGE_SECTION          0x1000000ULL /* in a frame's OriginalPte: its section holds a share of it (largesect.c) */
#define MI_PTE_FRAME_SHIFT            12
#define MI_PTE_FRAME_BITS             0x000FFFFFFFFFF000ULL
#define MI_PTE_PROTECTION(Protection) ((ULONG64)(Protection) << 5)
#define MI_PTE_VAD_POINTER            0xFFFFFFFFFFFFULL /* Proto.Address: the prototype PTE is found through the VAD */

FORCEINLINE MMPTE MiMakeValidPte(PFN_FRAME Frame, ULONG64 Bits)
{
    MMPTE Pte = {.Long = (Frame << MI_PTE_FRAME_SHIFT) | Bits};
    return Pte;
}

FORCEINLINE PFN_FRAME MiPteFrame(MMPTE Pte)
{
    return (Pte.Long & MI_PTE_FRAME_BITS) >> MI_PTE_FRAME_SHIFT;
}

FORCEINLINE BOOLEAN MiIsTransitionPte(MMPTE Pte)
{
    return (Pte.Long & (1 | MI_PTE_PROTOTYPE | MI_PTE_TRANSITION)) == MI_PTE_TRANSITION;
}

FORCEINLINE BOOLEAN MiIsPrototypePte(MMPTE Pte)
{
    return (Pte.Long & (1 | MI_PTE_PROTOTYPE)) == MI_PTE_PROTOTYPE;
}

/* The frame that a transition PTE names. */
FORCEINLINE PFN_FRAME MiTransitionFrame(MMPTE Pte)
{
    return (~Pte.Long & MI_PTE_FRAME_BITS) >> MI_PTE_FRAME_SHIFT;
}

FORCEINLINE MMPTE MiMakeTransitionPte(PFN_FRAME Frame, ULONG Protection)
{
    MMPTE Pte = {.Long = (~(Frame << MI_PTE_FRAME_SHIFT) & MI_PTE_FRAME_BITS) | MI_PTE_TRANSITION |
                         MI_PTE_PROTECTION(Protection)};
    return Pte;
}

/* A pointer to a prototype PTE or (in a prototype PTE) to a subsection; Target is a kernel-half address. */
FORCEINLINE MMPTE MiMakeProtoPte(const void *Target, ULONG Protection)
{
    MMPTE Pte = {.Long = ((ULONG64)(ULONG_PTR)Target << 16) | MI_PTE_PROTOTYPE | MI_PTE_PROTECTION(Protection)};
    return Pte;
}

FORCEINLINE PVOID MiProtoTarget(MMPTE Pte)
{
    return (PVOID)(ULONG_PTR)((LONG64)Pte.Long >> 16);
}

FORCEINLINE MMPTE MiMakeDemandZeroPte(ULONG Protection)
{
    MMPTE Pte = {.Long = MI_PTE_PROTECTION(Protection)};
    return Pte;
}

/* ---- The PFN database ---- */

typedef enum _MI_PFN_STATE { /* MMPFN.u4, three bits */
                             MiZeroed,
                             MiFree,
                             MiStandby,
                             MiModified,
                             MiModifiedNoWrite,
                             MiBad,
                             MiActive,
                             MiTransition, /* references but no valid PTE: I/O in flight, or taken from a list and not yet given to a user */
                             MiStateMax
} MI_PFN_STATE;

#define MI_NO_FRAME32 0xFFFFFFFFu /* end of a list; PteFrame of a frame that no page table contains */

/* u4, from bit 0 up */
#define MI_U4_PTE_FRAME      0x00000000FFFFFFFFULL /* frame of the table, or prototype page, that holds the owner PTE */
#define MI_U4_REF_SHIFT      32
#define MI_U4_REF            0x0000FFFF00000000ULL /* references: 1 for all shares together, 1 for each lock or I/O */
#define MI_U4_STATE_SHIFT    48
#define MI_U4_STATE          0x0007000000000000ULL
#define MI_U4_MODIFIED       0x0008000000000000ULL
#define MI_U4_READ           0x0010000000000000ULL /* read in progress: u1 is the in-page block */
#define MI_U4_WRITE          0x0020000000000000ULL /* write in progress */
#define MI_U4_PROTOTYPE      0x0040000000000000ULL /* the owner PTE is a prototype PTE */
#define MI_U4_ERROR          0x0080000000000000ULL /* the last in-page failed; the content is not valid */
#define MI_U4_CACHE_SHIFT    56
#define MI_U4_CACHE          0x0300000000000000ULL /* MI_CACHE_TYPE of every mapping of the frame */
#define MI_U4_PRIORITY_SHIFT 58
#define MI_U4_PRIORITY       0x1C00000000000000ULL /* standby list 0-7 */
#define MI_U4_EPOCH_SHIFT    61
#define MI_U4_EPOCH          0x6000000000000000ULL /* 0: no stale translation; else TLB epoch of the last lazy unmap */
#define MI_U4_STASHED        0x8000000000000000ULL /* Free or Zeroed, in a processor's stash */

typedef struct _MMPFN {
    union {
        struct {
            ULONG Flink, Blink; /* (p) on a list: frame numbers */
        };
        struct {
            ULONG ShareCount;      /* (p) active: PTEs that name the frame; 1 + entries held, for a page table */
            ULONG WorkingSetIndex; /* (p) of the one Direct entry that names it; a private page: working-set lock */
        };
        PVOID InPageBlock; /* (p) while MI_U4_READ is set */
    } u1;
    union {
        PMMPTE PteAddress; /* (p) the one PTE that owns the frame; an identity, never followed. Bits 0-2 are flags */
        volatile ULONG64 PteAddressLong;
    };
    MMPTE OriginalPte; /* (p) what goes back into the PTE when the frame is taken away */
    volatile ULONG64 u4;
} MMPFN, *PMMPFN;
C_ASSERT(sizeof(MMPFN) == 32);

#define MI_PTE_ADDRESS_LOCK    1ULL /* PteAddress bit 0: the frame's own lock */
#define MI_PTE_ADDRESS_DELETED 2ULL /* bit 1: the owner is gone; the last reference frees the frame */
#define MI_PTE_ADDRESS_FLAGS   7ULL

FORCEINLINE ULONG MiPfnState(const MMPFN *Pfn)
{
    return (ULONG)((Pfn->u4 & MI_U4_STATE) >> MI_U4_STATE_SHIFT);
}

FORCEINLINE ULONG MiPfnReferences(const MMPFN *Pfn)
{
    return (ULONG)((Pfn->u4 & MI_U4_REF) >> MI_U4_REF_SHIFT);
}

FORCEINLINE ULONG MiPfnPriority(const MMPFN *Pfn)
{
    return (ULONG)((Pfn->u4 & MI_U4_PRIORITY) >> MI_U4_PRIORITY_SHIFT);
}

FORCEINLINE ULONG MiPfnEpoch(const MMPFN *Pfn)
{
    return (ULONG)((Pfn->u4 & MI_U4_EPOCH) >> MI_U4_EPOCH_SHIFT);
}

FORCEINLINE ULONG MiPfnCacheType(const MMPFN *Pfn)
{
    return (ULONG)((Pfn->u4 & MI_U4_CACHE) >> MI_U4_CACHE_SHIFT);
}

/* Frame of the page table or prototype page that holds the owner PTE; MI_NO_FRAME32: none. */
FORCEINLINE ULONG MiPfnPteFrame(const MMPFN *Pfn)
{
    return (ULONG)(Pfn->u4 & MI_U4_PTE_FRAME);
}

FORCEINLINE PMMPTE MiPfnPteAddress(const MMPFN *Pfn)
{
    return (PMMPTE)(ULONG_PTR)(Pfn->PteAddressLong & ~MI_PTE_ADDRESS_FLAGS);
}

FORCEINLINE BOOLEAN MiPfnIsDeleted(const MMPFN *Pfn)
{
    return (Pfn->PteAddressLong & MI_PTE_ADDRESS_DELETED) != 0;
}

/* Replaces the bits of Mask in u4 by Bits, whatever other fields do meanwhile; returns u4 as it was. IRQL: any. */
FORCEINLINE ULONG64 MiPfnChange(PMMPFN Pfn, ULONG64 Mask, ULONG64 Bits)
{
    ULONG64 Old = Pfn->u4;

    while (!__atomic_compare_exchange_n(&Pfn->u4, &Old, (Old & ~Mask) | Bits, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
    }
    return Old;
}

FORCEINLINE void MiPfnSetState(PMMPFN Pfn, ULONG State)
{
    MiPfnChange(Pfn, MI_U4_STATE, (ULONG64)State << MI_U4_STATE_SHIFT);
}

/* Adds Delta (1 or -1) to the reference count; returns the new count. The caller knows that it neither wraps nor underflows. */
FORCEINLINE ULONG MiPfnAddReferences(PMMPFN Pfn, LONG Delta)
{
    ULONG64 New = __atomic_add_fetch(&Pfn->u4, (ULONG64)(LONG64)Delta << MI_U4_REF_SHIFT, __ATOMIC_SEQ_CST);

    return (ULONG)((New & MI_U4_REF) >> MI_U4_REF_SHIFT);
}

/* ---- Frame lists (pfnlist.c) ---- */

typedef struct _MI_PFN_LIST {
    ULONG64 Count; /* (p) frames on the list */
    ULONG Head;    /* (p) MI_NO_FRAME32: empty */
    ULONG Tail;
    ULONG State; /* (c) state of its frames */
} MI_PFN_LIST, *PMI_PFN_LIST;

#define MI_STANDBY_LISTS 8 /* one a priority; the lowest is repurposed first */

/* Index of a list in MiLists: the states that have one, Standby's lists last. */
typedef enum _MI_LIST_INDEX {
    MiListZeroed,
    MiListFree,
    MiListModified,
    MiListModifiedNoWrite,
    MiListBad,
    MiListStandby0,
    MiListMax = MiListStandby0 + MI_STANDBY_LISTS
} MI_LIST_INDEX;
