/*
 * miprocess.h - the address space of a process, inside Mm: VADs, page tables of the user half, working-set list.
 *
 * (a) is the space's AddressLock, (w) its WorkingSetLock, (p) the PFN lock, (c) constant after creation. Page tables and the
 * working-set list of a space are seen through the self-map and hyperspace, so only while its PML4 is loaded: whoever
 * works on another process attaches to it first. What share counts, used entries and charges depend on changes under (p) as
 * well, so that MiVerify finds them in step at any moment.
 */
#pragma once

#include "mip.h"
#include "../rtl/avl.h"
#include <ntos/ps.h>
#include <ntos/vmsvc.h>

#define MI_TAG_SPACE 'sAmM'
#define MI_TAG_VAD   ' daV'

/* The lowest and highest addresses that a VAD may hold: 64 KB stay free at either end of the user half. */
#define MI_LOWEST_USER      0x10000ULL
#define MI_HIGHEST_USER     (MM_USER_PROBE_END - 1)
#define MI_HIGHEST_VAD      (MI_HIGHEST_USER - 0x10000)
#define MI_GRANULARITY      0x10000ULL
#define MI_VPN(Address)     ((ULONG64)(Address) >> PAGE_SHIFT)
#define MI_VPN_ADDRESS(Vpn) ((PVOID)((Vpn) << PAGE_SHIFT))

/* Rights to a process, as documented for OpenProcess. */
#define MI_PROCESS_VM_OPERATION      0x0008
#define MI_PROCESS_QUERY_INFORMATION 0x0400

/* Software protections beyond those of pfndef.h. */
#define MM_NOACCESS           0x18 /* committed, no access */
#define MM_DECOMMIT           0x10 /* not committed, in a VAD that is committed as a whole */
#define MM_INVALID_PROTECTION MAXULONG
#define MI_PROTECT_EXECUTE    0x02
#define MI_PROTECT_WRITE      0x04

typedef enum _MI_VAD_TYPE {
    MiVadPrivate,
    MiVadMapped, /* a view of a section */
    MiVadLocked, /* frames of an MDL: aliases, no shares and no working-set entries */
} MI_VAD_TYPE;

/* A transition PTE of a range whose writes are watched: the page was written since the last reset. */
#define MI_PTE_WRITTEN 0x0010000000000000ULL

/* A valid PTE of a MiVadLocked range: software bit 11, which valid PTEs use for nothing else. */
#define MI_PTE_ALIAS MI_PTE_TRANSITION

typedef struct _MI_VAD {
    RTL_BALANCED_LINKS Links; /* (a), (w) and (p) to change, one of them to follow */
    ULONG64 StartVpn, EndVpn; /* both inclusive; as Links */
    MI_VAD_TYPE Type;         /* (c) */
    ULONG Protection;         /* (c) MM_... given at allocation */
    BOOLEAN CommitAll;        /* (a)(w) a PTE of 0 is a committed page */
    BOOLEAN WriteWatch;       /* (c) Dirty says which pages were written, also in MI_PTE_WRITTEN of transition PTEs */
    BOOLEAN LargePages;       /* (c) mapped by page-directory entries, all of it, always */
    PVOID PhysicalClaim;      /* (c) a view of \Device\PhysicalMemory, of type MiVadLocked; else NULL */
    BOOLEAN Placeholder;      /* (c) addresses kept for a view or an allocation that replaces it */
    ULONG Secured;            /* (a) MmSecureVirtualMemory handles that lie in it */
    ULONG64 Commit;           /* (p) pages charged */
    /* mapped views */
    struct _CONTROL_AREA *ControlArea; /* (c) a view is counted on it */
    ULONG64 FirstPage;                 /* (c) page of the section at StartVpn */
    ULONG Maximum;                     /* (c) MM_... of the section */
    ULONG Inherit;                     /* (c) SECTION_INHERIT */
    BOOLEAN Image;                     /* (c) of an image: each part of it has a protection of its own */
    /* of the subtree below: as Links. Gap: pages of the largest gap between two of its ranges, from the next multiple of 64 KB on */
    ULONG64 LowestVpn, HighestVpn, Gap;
} MI_VAD, *PMI_VAD;

struct _MI_ADDRESS_SPACE {
    LIST_ENTRY Link;             /* (p) in MiAddressSpaces */
    PEPROCESS Process;           /* (c) */
    ULONG RootFrame;             /* (c) PML4 */
    FAST_MUTEX AddressLock;      /* VADs; outside WorkingSetLock */
    FAST_MUTEX WorkingSetLock;   /* page tables and the working-set list */
    RTL_AVL_TABLE Vads;          /* see MI_VAD.Links */
    ULONG64 Commit;              /* (p) pages charged: VADs, TablePages */
    ULONG64 TablePages;          /* (p) PML4, page tables, pages of the working-set list */
    ULONG64 WorkingSet;          /* (p) entries in use: valid PTEs of the user half */
    ULONG64 PeakWorkingSet;      /* (p) the most there were when one was given up */
    ULONG64 Reserved;            /* (p) pages of all VADs */
    ULONG64 PeakReserved;        /* (p) */
    ULONG64 PeakCommit;          /* (a) of Commit, whenever something was charged that was asked for */
    volatile LONG64 LockedPages; /* by MDLs; interlocked */
    ULONG64 MinimumPages;        /* (w) of the working set; asked for, and kept to once there is somebody who trims */
    ULONG64 MaximumPages;        /* (w) */
    ULONG WslFree;               /* (p) first free entry of the list; WslEntries: none */
    ULONG WslEntries;            /* (w) entries that are backed */
    ULONG WslIndirect;           /* (p) entries in use that are not Direct, of which ... */
    ULONG WslHashed;             /* (p) ... so many are in the hash */
    ULONG WslHashSlots;          /* (p) size of the hash, a power of two; 0: there is none */
    ULONG WslHashLimit;          /* (w) with more entries that are not Direct the hash is to grow */
    ULONG WslHashPages;          /* (w) pages that back it */
    BOOLEAN Deleted;             /* (a) no more VADs */
    ULONG64 Bottom,
        Top; /* (c) once it has threads: what is put anywhere lies above, what the kernel puts below (aslr.c) */
    volatile LONG64 Random; /* interlocked: MmProcessRandom */
};
typedef struct _MI_ADDRESS_SPACE MI_ADDRESS_SPACE, *PMI_ADDRESS_SPACE;

extern LIST_ENTRY MiAddressSpaces; /* (p) */

FORCEINLINE PMI_ADDRESS_SPACE MiSpaceOf(PEPROCESS Process)
{
    return Process->MmSupport;
}

FORCEINLINE PMI_ADDRESS_SPACE MiCurrentSpace(VOID)
{
    return MiSpaceOf(PsGetCurrentProcess());
}

/* ---- commit.c: all under the PFN lock unless said otherwise ---- */

typedef struct _MI_COMMIT {
    ULONG64 Charged;  /* (p) promised to processes and sections */
    ULONG64 Sections; /* (p) of these: sections without a file */
    ULONG64 Peak;     /* (p) */
    ULONG64 Refused;  /* (p) requests that would have exceeded the limit */
} MI_COMMIT;
extern MI_COMMIT MiCommit;

ULONG64 MiCommitLimit(VOID); /* pages that may be charged now. IRQL: any; a snapshot */
/* Takes the PFN lock. FALSE: the limit would be exceeded. Counter: the owner's own count (Space->Commit, ...). */
BOOLEAN MiChargeCommit(PULONG64 Counter, ULONG64 Pages);
BOOLEAN MiChargeProcess(PMI_ADDRESS_SPACE Space, ULONG64 Pages); /* what its job lets it have, too. (a) held */
VOID MiReturnCommit(PULONG64 Counter, ULONG64 Pages);
/* The same with the PFN lock held; the charge is never refused (page tables that a promised page needs). */
VOID MiForceCommitLocked(PULONG64 Counter, ULONG64 Pages);
VOID MiReturnCommitLocked(PULONG64 Counter, ULONG64 Pages);

/* ---- vad.c ---- */

PMI_VAD MiFindVad(PMI_ADDRESS_SPACE Space, ULONG64 Vpn);                     /* (a) or (w) */
PMI_VAD MiFirstVadFrom(PMI_ADDRESS_SPACE Space, ULONG64 Vpn);                /* lowest with EndVpn >= Vpn; (a) or (w) */
PMI_VAD MiNextVad(PMI_ADDRESS_SPACE Space, PMI_VAD Vad);                     /* NULL: the first of all */
BOOLEAN MiVadsOverlap(PMI_ADDRESS_SPACE Space, ULONG64 First, ULONG64 Last); /* (a) or (w) */
PMI_VAD MiCreateVad(MI_VAD_TYPE Type, ULONG64 First, ULONG64 Last, ULONG Protection);
VOID MiInsertVad(PMI_ADDRESS_SPACE Space, PMI_VAD Vad); /* (a) and (w) held */
VOID MiRemoveVad(PMI_ADDRESS_SPACE Space, PMI_VAD Vad); /* (a) and (w) held; the caller frees it */
VOID MiResizeVad(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, ULONG64 First,
                 ULONG64 Last);              /* of the tree; (a), (w) and PFN lock held */
extern ULONG64 MiGapVisits;                  /* VADs looked at by MiFindGap, ever; about */
ULONG MiVerifyGaps(PMI_ADDRESS_SPACE Space); /* PFN lock */

/* What the extended parameters of a service ask of the place of a range. */
typedef struct _MI_PLACE {
    ULONG64 Lowest, Highest, Alignment; /* bytes */
} MI_PLACE, *PMI_PLACE;

/**
 * MiFindGap - free addresses for an allocation.
 *
 * @Pages     size
 * @Place     within which bytes, and what the first is a multiple of (64 KB, or more)
 * @TopDown   highest gap instead of the lowest
 * returns    first VPN; 0: no gap
 *
 * IRQL: APC_LEVEL. Locks: (a).
 */
ULONG64 MiFindGap(PMI_ADDRESS_SPACE Space, ULONG64 Pages, const MI_PLACE *Place, BOOLEAN TopDown);

/* ---- aslr.c ---- */

typedef enum _MI_RANDOM_STREAM { MiRandomImage, MiRandomProcess, MiRandomStreams } MI_RANDOM_STREAM;

VOID MiInitializeAslr(VOID);                            /* phase 1 */
ULONG64 MiRandom(MI_RANDOM_STREAM Stream);              /* the next of a stream. IRQL: any */
BOOLEAN MiIsAslrOff(VOID);                              /* boot option noaslr */
ULONG64 MiSipHash(const ULONG64 *Key, ULONG64 Message); /* SipHash-2-4 of eight bytes */

/* ---- usertables.c: (w) held, process current ---- */

/* The PTE of a user address if its page table is resident, else NULL. */
PMMPTE MiResidentUserPte(const VOID *Address);
/* Makes the tables above a user or hyperspace address exist. FALSE: no frame now: drop the locks, MiWaitForFrames, again. */
BOOLEAN MiMakeProcessTables(PMI_ADDRESS_SPACE Space, PVOID Address);
BOOLEAN MiMakeUpperTables(PMI_ADDRESS_SPACE Space, PVOID Address); /* the same without the page table */
/* Counts PTEs that became non-zero (or zero again) in the page table that holds Pte. (w), DISPATCH_LEVEL. */
VOID MiAddUsedEntries(PMMPTE Pte, LONG Delta);
/* Frees the page table of Address, and those above, that hold nothing any more. */
VOID MiReleaseEmptyTables(PMI_ADDRESS_SPACE Space, PVOID Address);
/* Moves *Vpn up to the next page whose table is resident. FALSE: there is none up to Last. */
BOOLEAN MiNextResidentTable(PULONG64 Vpn, ULONG64 Last);
FORCEINLINE ULONG MiTableFrameOf(const MMPTE *Pte)
{
    return (ULONG)MiPteFrame(*MiPteOf(Pte));
}

/* What a group of PTEs is replaced by, and what that changed. */
#define MI_TABLE_ENTRIES 512
#define MI_DELETE_BATCH  64 /* PTEs under one hold of the PFN lock: about 10,000 instructions */
/* Gives up all pages of a range; PTEs that are not 0 become New. Returns private pages (non-zero, not decommitted PTEs) given up. */
ULONG64 MiDeleteUserRange(PMI_ADDRESS_SPACE Space, ULONG64 First, ULONG64 Last, MMPTE New);
/* PTEs of a range that are not 0, and of those the decommitted ones. */
VOID MiCountPtes(ULONG64 First, ULONG64 Last, PULONG64 NonZero, PULONG64 Decommitted);

/* ---- teardown.c ---- */
VOID MiDeleteSpace(PMI_ADDRESS_SPACE Space); /* everything in it; nobody has the space loaded; no locks */

/* ---- workingset.c: (w) held, process current ---- */

typedef union _MI_WSLE {
    ULONG64 Long;
    struct {
        ULONG64 Valid : 1, Age : 3, Locked : 1, Shared : 1, Direct : 1, /* the frame's u1 says which entry this is */
            Spare : 5, Vpn : 52;                                        /* Valid 0: Vpn leads to the next free */
    };
} MI_WSLE, *PMI_WSLE;
#define MI_WSLE_VALID           0x01ULL
#define MI_WSLE_SHARED          0x20ULL
#define MI_WSLE_DIRECT          0x40ULL
#define MI_WSLE_NAME            (~(ULONG64)(PAGE_SIZE - 1) | MI_WSLE_VALID) /* what tells entries in use apart */
#define MI_WSL                  ((volatile MI_WSLE *)MM_HYPERSPACE_BASE)
#define MI_WSL_ENTRIES_PER_PAGE (MM_PAGE_SIZE / sizeof(MI_WSLE))

FORCEINLINE BOOLEAN MiHasFreeWsle(PMI_ADDRESS_SPACE Space)
{
    return Space->WslFree < Space->WslEntries;
}

/* The free entry after this one: its distance from the neighbour is kept. */
FORCEINLINE ULONG MiNextFreeWsle(ULONG Index)
{
    return Index + 1 + (ULONG)MI_WSL[Index].Vpn;
}

BOOLEAN MiReserveWsle(PMI_ADDRESS_SPACE Space); /* one is free afterwards; FALSE: no frame now */
VOID MiTakeWsle(PMI_ADDRESS_SPACE Space, PFN_FRAME Frame, PVOID Address); /* DISPATCH_LEVEL; after MiReserveWsle */
VOID MiGiveWsle(PMI_ADDRESS_SPACE Space, PFN_FRAME Frame, PVOID Address); /* PFN lock; the frame's u1 still names it */
/* One pass of ageing over the working set. Locks: none; it takes (w). */
VOID MiAgeWorkingSet(PMI_ADDRESS_SPACE Space);
VOID MiCountAges(PMI_ADDRESS_SPACE Space, PULONG Pages); /* of each of the ages 0-7. As above */
#define MI_AGES       8  /* 0: touched since the last pass; 7: not in the last seven, or longer */
#define MI_WS_MINIMUM 50 /* pages: the limits of a new process, as documented for SetProcessWorkingSetSize */
#define MI_WS_MAXIMUM 345
ULONG MiFindWsle(PMI_ADDRESS_SPACE Space, PFN_FRAME Frame, PVOID Address); /* index of the entry of a valid page */
/* The entry comes to be the one that the frame names, as a private page's always is. PFN lock. */
VOID MiMakeWsleDirect(PMI_ADDRESS_SPACE Space, PFN_FRAME Frame, ULONG Index);
/* One more zeroed page at a hyperspace address, charged. FALSE: no frame now. */
BOOLEAN MiBackWsl(PMI_ADDRESS_SPACE Space, PVOID Address);
#if NT_CHK
extern ULONG64 MiWslProbes; /* entries and slots looked at by MiFindWsle beyond the first, ever; about */
#define MI_COUNT_PROBE() ((void)MiWslProbes++)
#else
#define MI_COUNT_PROBE() ((void)0)
#endif

/* ---- wslhash.c: (w) held, process current ---- */
#define MI_NO_HASH MAXULONG /* WslHashLimit of a list that is searched */
/* The hash gets as many slots as its entries need, or what there are frames for. */
VOID MiGrowWslHash(PMI_ADDRESS_SPACE Space);
VOID MiAddToWslHash(PMI_ADDRESS_SPACE Space, ULONG Index);        /* an entry that is not Direct. PFN lock */
VOID MiRemoveFromWslHash(PMI_ADDRESS_SPACE Space, ULONG Index);   /* it need not be there. PFN lock */
ULONG MiFindInWslHash(PMI_ADDRESS_SPACE Space, ULONG64 Vpn);      /* index; 0: not there */
ULONG MiVerifyWslHash(PMI_ADDRESS_SPACE Space, PULONG64 Entries); /* findings; entries that can be found. PFN lock */

/* ---- protection.c ---- */
ULONG MiMakeProtection(ULONG PageProtection); /* MM_...; MM_INVALID_PROTECTION */
ULONG MiPageProtection(ULONG Protection);     /* PAGE_... */
/* Hardware bits of a private user page; 0 for what is never valid (guard, no access). */
ULONG64 MiUserPteBits(ULONG Protection);
MI_CACHE_TYPE MiProtectionCacheType(ULONG Protection);

/* A private page that was copied on write is written from then on. */
FORCEINLINE ULONG MiOwnProtection(ULONG Protection)
{
    return (Protection & 5) == MM_WRITECOPY ? Protection & ~1u : Protection;
}

/* A page of a view in a page table, not valid: its prototype PTE is found through the VAD. */
FORCEINLINE MMPTE MiVadPointerPte(ULONG Protection)
{
    return (MMPTE){.Long = (MI_PTE_VAD_POINTER << 16) | MI_PTE_PROTOTYPE | MI_PTE_PROTECTION(Protection)};
}

FORCEINLINE BOOLEAN MiIsGuardProtection(ULONG Protection)
{
    return (Protection & MM_NOACCESS) == MM_GUARD_PAGE && (Protection & 7) != 0;
}

FORCEINLINE BOOLEAN MiIsDecommitted(MMPTE Pte)
{
    return Pte.Long == MiMakeDemandZeroPte(MM_DECOMMIT).Long;
}

/* Of a private page: committed, without content; also one of those that MI_PTE_RESET marks. */
FORCEINLINE BOOLEAN MiIsDemandZeroPte(MMPTE Pte)
{
    return Pte.Long != 0 && (Pte.Long & (PTE_VALID | MI_PTE_PROTOTYPE | MI_PTE_TRANSITION)) == 0 &&
           !MiIsDecommitted(Pte);
}

/* What a user address holds: its PTE, or what its VAD says for a PTE of 0. (a) or (w). */
typedef struct _MI_PAGE_INFO {
    PMI_VAD Vad;
    MMPTE Pte;
    BOOLEAN Committed;
    ULONG Protection; /* MM_..., if committed */
} MI_PAGE_INFO, *PMI_PAGE_INFO;
VOID MiQueryPage(PMI_VAD Vad, ULONG64 Vpn, PMI_PAGE_INFO Info); /* (w) held */
/* The same pages all over as long as their PTEs are 0? If not, what a page is depends on its section. */
BOOLEAN MiIsUniformVad(PMI_VAD Vad);
/* MM_... of a page whose PTE is 0. (a) or (w). */
ULONG MiFirstProtection(PMI_VAD Vad, ULONG64 Vpn);

/* ---- mdluser.c: the current process; IRQL <= APC_LEVEL ---- */
/* Base: in NULL or the address wanted, out where it is. Fails: STATUS_INSUFFICIENT_RESOURCES, STATUS_CONFLICTING_ADDRESSES, STATUS_NO_MEMORY, ... */
NTSTATUS MiMapMdlInProcess(PMDL Mdl, MEMORY_CACHING_TYPE CacheType, PVOID *Base);
VOID MiUnmapMdlInProcess(PVOID Base);

/* Enters a MiVadLocked VAD, with its PTEs: Frames, or, without, as many from FirstFrame on. (a) held. */
typedef struct _MI_ALIASES {
    PPFN_NUMBER Frames;
    PFN_FRAME FirstFrame;
    MI_CACHE_TYPE DeviceType;
    BOOLEAN ReadOnly;
} MI_ALIASES, *PMI_ALIASES;
VOID MiFillAliasVad(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, const MI_ALIASES *Aliases);
VOID MiUnmapAliases(PMI_ADDRESS_SPACE Space, PMI_VAD Vad); /* (a) and (w) held */

/* ---- userview.c ---- */
/* A VAD of a view goes with its space: gives up what it holds of the section. No locks but (a) and (w). */
VOID MiForgetView(PMI_VAD Vad);
/* The prototype PTE of a page of a view. (a) or (w) held. */
PMMPTE MiPrototypeOfView(PMI_VAD Vad, ULONG64 Vpn);
ULONG MiSharedProtection(MMPTE Pte); /* MM_... of a valid PTE that shares a frame */
/* That PTE; for a guard page or one without access the form that a fault resolves. */
MMPTE MiMakeSharedPte(PFN_FRAME Frame, ULONG Protection);
BOOLEAN MiViewMayHave(PMI_VAD Vad, ULONG Protection); /* may a page of the view come to have it? */
/* MM_... that pages of a view get when a service asks for Protection: what an image's pages write is copied. */
ULONG MiViewProtection(PMI_VAD Vad, ULONG64 First, ULONG Protection);
/* Charges pages that may come to be copies. (a) held. FALSE: the limit would be exceeded. */
BOOLEAN MiChargeCopies(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, ULONG64 Pages);

/* ---- sharedfault.c: (w) held, process current ---- */
NTSTATUS MiSharedFault(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, PVOID Address, ULONG Protection, BOOLEAN Write);
NTSTATUS MiCopyOnWrite(PMI_ADDRESS_SPACE Space, PMMPTE Pte, PVOID Address);
#define MI_FAULT_SHORT STATUS_NO_MEMORY /* between the files of the fault tree: no frame now */
/* The same: the page must be read first. The control area of the VAD is referenced. */
#define MI_FAULT_READ STATUS_MORE_PROCESSING_REQUIRED

/* ---- fork.c: fork prototype PTEs; (w) held, process current, PFN lock unless said otherwise ---- */

typedef struct _MI_FORK_PAGE {
    MMPTE Pte;        /* (p) the fork prototype PTE: valid or transition; 0: the page is gone */
    ULONG References; /* (p) PTEs that name it */
    ULONG Index;      /* (c) in its array */
} MI_FORK_PAGE, *PMI_FORK_PAGE;
#define MI_TAG_FORK   'kFmM'
#define MI_FORK_PAGES 250 /* the array and its pool header fit a page */
typedef struct _MI_FORK {
    LIST_ENTRY Link; /* (p) in MiForks */
    ULONG Live;      /* (p) pages that are there, and 1 for who fills it */
    ULONG Used;      /* (p) pages ever there */
    MI_FORK_PAGE Page[MI_FORK_PAGES];
} MI_FORK, *PMI_FORK;
extern LIST_ENTRY MiForks; /* (p) */

PMI_FORK MiCreateFork(VOID);             /* no locks; NULL: no pool */
VOID MiReleaseForkLocked(PMI_FORK Fork); /* who filled it is done */
extern LIST_ENTRY MiDeadForks; /* (p) arrays to be freed; looked at without it by who may have added to them */
VOID MiFreeForkArrays(VOID);
FORCEINLINE VOID MiFreeDeadForks(VOID) /* no PFN lock */
{
    if (MiDeadForks.Flink != &MiDeadForks) {
        MiFreeForkArrays();
    }
}

/* The fork page that owns a frame; NULL: none does. PFN lock, or while a PTE of the space names it. */
FORCEINLINE PMI_FORK_PAGE MiForkOfFrame(PFN_FRAME Frame)
{
    const MMPFN *Pfn = MiPfn(Frame);

    return (Pfn->OriginalPte.Long & (MI_PTE_PROTOTYPE | MI_PTE_FORK)) == MI_PTE_FORK
               ? CONTAINING_RECORD(MiPfnPteAddress(Pfn), MI_FORK_PAGE, Pte)
               : NULL;
}

/* The fork page that a PTE names; NULL: none. (w) is enough. */
FORCEINLINE PMI_FORK_PAGE MiForkOfPte(MMPTE Pte)
{
    if ((Pte.Long & MI_PTE_PROTOTYPE) == 0) {
        return NULL;
    }
    if (Pte.Hard.Valid) {
        return MiForkOfFrame(MiPteFrame(Pte));
    }
    return Pte.Proto.Address != MI_PTE_VAD_POINTER ? MiProtoTarget(Pte) : NULL;
}
MMPTE MiMakeForkPte(PMI_FORK_PAGE Page, ULONG Protection); /* a PTE that shares it, or a prototype form */
/* A fork page takes a private frame over from the PTE that owns it, which is its one reference. */
PMI_FORK_PAGE MiForkFrame(PMI_FORK Fork, PFN_FRAME Frame);
VOID MiDereferenceFork(PMI_FORK_PAGE Page); /* a PTE that named it is gone; its share, if it was valid, before */
/* Both, for a valid PTE that shared a frame, of a fork or of a section. */
FORCEINLINE VOID MiReleaseSharedFrame(PFN_FRAME Frame)
{
    PMI_FORK_PAGE Page = MiForkOfFrame(Frame);

    MiDecrementShareCount(Frame);
    if (Page != NULL) {
        MiDereferenceFork(Page);
    }
}
/* Maps the page of a PTE that is not valid. No PFN lock. */
NTSTATUS MiForkFault(PMI_ADDRESS_SPACE Space, PMMPTE Pte, PVOID Address, ULONG Protection, BOOLEAN Write);
/* A valid PTE of a fork page, if it is the only one to name that: the frame becomes its own. FALSE: it is not. */
BOOLEAN MiTakeForkFrame(PMI_ADDRESS_SPACE Space, PMMPTE Pte, PVOID Address, ULONG Protection);
/* The same two ends by copying: a PTE of 0 means no frame now. The new frame has the share that the caller drops. */
MMPTE MiCopyToTransition(PFN_FRAME From, PMMPTE Pte, ULONG PteFrame, ULONG Protection);
VOID MiProtectForkPage(PMI_ADDRESS_SPACE Space, PMMPTE Pte, ULONG Protection); /* no PFN lock */
BOOLEAN MiUnshareForkPage(PMI_ADDRESS_SPACE Space, PMMPTE Pte);                /* no PFN lock. FALSE: no frame now */
ULONG MiVerifyForks(VOID);

/* ---- userfault.c ---- */

typedef struct _MI_ACCESS {
    BOOLEAN Write, Execute;
    BOOLEAN User; /* by ring 3, or on its behalf */
} MI_ACCESS, *PMI_ACCESS;

/* One step towards a valid page of the current process; as MiMakeSystemPageValid. IRQL: <= APC_LEVEL; no locks. */
NTSTATUS MiMakeUserPageValid(PVOID Address, const MI_ACCESS *Access);
VOID MiSetFrameCacheType(PFN_FRAME Frame, ULONG Protection); /* of a frame that is nobody's content yet. PFN lock */

/* ---- resetvm.c ---- */
/*
 * MEM_RESET or MEM_RESET_UNDO on pages. (a) held, process current. Fails: STATUS_CONFLICTING_ADDRESSES (not in one region),
 * STATUS_USER_MAPPED_FILE (a view of a file), STATUS_DEVICE_BUSY (undoing: the content of a page was lost).
 */
NTSTATUS MiResetMemory(PMI_ADDRESS_SPACE Space, ULONG64 First, ULONG64 Last, BOOLEAN Undo);
/* A transition PTE's frame comes back because it was touched: it is to be kept again if it was reset. PFN lock, frame active. */
VOID MiReclaimTouchedPage(PFN_FRAME Frame);

/* ---- largevm.c ---- */
BOOLEAN MiIsLargeAddress(const VOID *Address); /* in a large page. (w) held, process current */
PFN_FRAME MiTakeLargeRun(VOID);       /* 512 frames in a row, with what was in them; 0: there are none. No locks */
VOID MiZeroLargeRun(PFN_FRAME First); /* no locks */
NTSTATUS MiFillLargeVad(PMI_ADDRESS_SPACE Space, PMI_VAD Vad); /* (a) held */
VOID MiEmptyLargeVad(PMI_ADDRESS_SPACE Space, PMI_VAD Vad);    /* (a) and (w) held */
/* Could PTEs of large pages have a protection? */
BOOLEAN MiIsLargeProtection(ULONG Protection);
/* Copies the large page of an address of the current process to a run of frames; returns its entry. (w) held. */
MMPTE MiCopyLargePage(PFN_FRAME To, PVOID Address);
/* What a large page allows. (w) held, process current. */
ULONG MiLargeProtection(const VOID *Address);
/* NtProtectVirtualMemory on a part of a region of large pages. (a) held, process current. */
NTSTATUS MiProtectLargeRange(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, ULONG64 First, ULONG64 Last, ULONG Protection,
                             PULONG Old);
/* Frees the frames of a page-directory entry that is gone, unless a section has them. PFN lock. */
VOID MiDeleteLargeEntry(MMPTE Entry);

/* ---- placeholder.c ---- */
/* The placeholder that a range is, exactly; NULL: it is none. (a) held. */
PMI_VAD MiFindPlaceholder(PMI_ADDRESS_SPACE Space, ULONG64 First, ULONG64 Last);
/* Puts another VAD, of the same pages, in its place. (a) held. */
VOID MiReplacePlaceholder(PMI_ADDRESS_SPACE Space, PMI_VAD Placeholder, PMI_VAD New);
/* MEM_RELEASE with MEM_PRESERVE_PLACEHOLDER or MEM_COALESCE_PLACEHOLDERS. (a) held. */
NTSTATUS MiPreservePlaceholder(PMI_ADDRESS_SPACE Space, ULONG64 First, ULONG64 Last);
NTSTATUS MiCoalescePlaceholders(PMI_ADDRESS_SPACE Space, ULONG64 First, ULONG64 Last);

extern const MI_PLACE MiAnyPlace; /* allocvm.c */
NTSTATUS MiCaptureParameters(const VM_EXTENDED_PARAMETER *Parameters, ULONG Count, PMI_PLACE Place);

/* ---- freevm.c ---- */
/* Gives up all pages of a private VAD and what is charged for them. (a) and (w) held. */
VOID MiEmptyVad(PMI_ADDRESS_SPACE Space, PMI_VAD Vad);
/* Makes two of a VAD: [.., First - 1] stays, [First, ..] becomes Upper. (a) and (w) held. */
VOID MiSplitVad(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, ULONG64 First, PMI_VAD Upper);

/* ---- queryvm.c ---- */
/* MemoryBasicInformation of the pages from Vpn on, but for BaseAddress; Basic is zeroed. (a) and (w) held, process current. */
VOID MiDescribeVad(PMI_VAD Vad, ULONG64 Vpn, PMEMORY_BASIC_INFORMATION Basic);

/* ---- queryclass.c: NtQueryVirtualMemory, all classes but MemoryBasicInformation ---- */
NTSTATUS MiAnswerClass(HANDLE ProcessHandle, PVOID BaseAddress, MI_MEMORY_INFORMATION_CLASS Class, PVOID Buffer,
                       SIZE_T Length, PSIZE_T ReturnLength);

/* ---- protectvm.c ---- */
/* Changes the protection of one committed page. (w) held. FALSE: no frame for its page table now. */
BOOLEAN MiSetPageProtection(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, ULONG64 Vpn, ULONG Protection);
/* Changes the protection of committed pages of one VAD. (a) held, process current; takes (w). */
VOID MiSetProtection(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, ULONG64 First, ULONG64 Last, ULONG Protection);

/* ---- verifyprocess.c: PFN lock; prints and counts what is wrong with address spaces and commit ---- */
ULONG MiVerifyProcesses(VOID);

/* ---- service.c: what the services of virtual memory share ---- */

typedef struct _MI_TARGET { /* the process that a service works on, attached to */
    PEPROCESS Process;
    PMI_ADDRESS_SPACE Space;
    BOOLEAN Attached;
    KAPC_STATE ApcState;
} MI_TARGET, *PMI_TARGET;

NTSTATUS MiOpenTarget(HANDLE ProcessHandle, ACCESS_MASK Access, PMI_TARGET Target);
VOID MiCloseTarget(PMI_TARGET Target);
/* Reads and writes the caller's variables, in the mode it called from. */
NTSTATUS MiCaptureRange(PVOID *BaseAddress, PSIZE_T RegionSize, PVOID *Base, PSIZE_T Size);
NTSTATUS MiCaptureBytes(PVOID Destination, const VOID *Source, SIZE_T Bytes);
NTSTATUS MiReturnRange(PVOID *BaseAddress, PSIZE_T RegionSize, PVOID Base, SIZE_T Size);
NTSTATUS MiReturnBytes(PVOID Destination, const VOID *Source, SIZE_T Bytes);
