/*
 * lookaside.c - lists of free blocks of one size kept at hand.
 *
 * Allocation and freeing are inlines of the DDK: pop an entry or call Allocate, push it or call Free when the list is Depth
 * long. Here is what makes and empties a list, and what adjusts its depth to its use once a second: a list that is asked often and
 * misses gets deeper by half of what it missed, one that hardly misses or is hardly asked gets shallower, between DEPTH_MINIMUM and
 * DEPTH_MAXIMUM. The counts are the inlines' own and lose some when processors race; the depth is a rule of thumb.
 *
 * Locks: ExpLookasideLock (DISPATCH_LEVEL) around the list of lists. IRQL: <= DISPATCH_LEVEL (nonpaged), <= APC_LEVEL (paged).
 *
 * Source: WDK documentation of the ExInitializeNPagedLookasideList family.
 */
#include "poolp.h"
#include <ntos/ke.h>

#define DEPTH_MINIMUM 4   /* blocks kept of a list nobody asks: little enough not to be missed */
#define DEPTH_INITIAL 16  /* enough to ride out a burst */
#define DEPTH_MAXIMUM 256 /* of 4 KB each it would be 1 MB */

#define RATE_MINIMUM 75 /* requests a second below which a list is hardly asked */
#define MISS_RATIO   64 /* one miss in so many is few */

static KSPIN_LOCK ExpLookasideLock;
VF_NAME_LOCK(ExpLookasideLock, "ExpLookasideLock");
static LIST_ENTRY ExpLookasides = {&ExpLookasides, &ExpLookasides}; /* (ExpLookasideLock) by ListEntry */
static KTIMER ExpLookasideTimer;
static KDPC ExpLookasideDpc;

/* Makes an empty SLIST. Raises STATUS_DATATYPE_MISALIGNMENT: the header is swapped 16 bytes at a time. IRQL: any. */
VOID InitializeSListHead(PSLIST_HEADER SListHead)
{
    if (((ULONG_PTR)SListHead & 15) != 0) {
        ExRaiseStatus(STATUS_DATATYPE_MISALIGNMENT);
    }
    memset(SListHead, 0, sizeof(*SListHead));
}

static VOID Fill(GENERAL_LOOKASIDE_POOL *List, POOL_TYPE Type, SIZE_T Size, ULONG Tag)
{
    memset(List, 0, sizeof(*List));
    InitializeSListHead(&List->ListHead);
    List->Depth = DEPTH_INITIAL;
    List->MaximumDepth = DEPTH_MAXIMUM;
    List->Type = Type;
    List->Tag = Tag;
    List->Size = (ULONG)(Size < sizeof(SLIST_ENTRY) ? sizeof(SLIST_ENTRY) : Size);
}

/* Once the list is whole: from here on its depth is adjusted. */
static VOID Enter(GENERAL_LOOKASIDE_POOL *List)
{
    KIRQL Irql;

    KeAcquireSpinLock(&ExpLookasideLock, &Irql);
    InsertTailList(&ExpLookasides, &List->ListEntry);
    KeReleaseSpinLock(&ExpLookasideLock, Irql);
}

static VOID Leave(GENERAL_LOOKASIDE_POOL *List)
{
    KIRQL Irql;

    KeAcquireSpinLock(&ExpLookasideLock, &Irql);
    RemoveEntryList(&List->ListEntry);
    KeReleaseSpinLock(&ExpLookasideLock, Irql);
}

static VOID AdjustDepth(GENERAL_LOOKASIDE_POOL *List)
{
    ULONG Asked = List->TotalAllocates - List->LastTotalAllocates;
    ULONG Missed = List->AllocateMisses - List->LastAllocateMisses;
    LONG Depth = List->Depth;

    List->LastTotalAllocates = List->TotalAllocates;
    List->LastAllocateMisses = List->AllocateMisses;
    if (Asked < RATE_MINIMUM) {
        Depth -= 10;
    } else if (Missed > Asked / MISS_RATIO) {
        Depth += (LONG)min(Missed / 2 + 1, DEPTH_MAXIMUM);
    } else {
        Depth--;
    }
    Depth = Depth < DEPTH_MINIMUM ? DEPTH_MINIMUM : Depth;
    List->Depth = (USHORT)min(Depth, (LONG)List->MaximumDepth);
}

VOID ExAdjustLookasideDepth(VOID)
{
    KIRQL Irql;

    KeAcquireSpinLock(&ExpLookasideLock, &Irql);
    for (PLIST_ENTRY Entry = ExpLookasides.Flink; Entry != &ExpLookasides; Entry = Entry->Flink) {
        AdjustDepth(CONTAINING_RECORD(Entry, GENERAL_LOOKASIDE_POOL, ListEntry));
    }
    KeReleaseSpinLock(&ExpLookasideLock, Irql);
    ExpAdjustCaches();
}

static VOID NTAPI AdjustRoutine(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    ExAdjustLookasideDepth();
}

VOID ExStartLookasides(VOID)
{
    LARGE_INTEGER Second = {.QuadPart = -10000000LL};

    KeInitializeDpc(&ExpLookasideDpc, AdjustRoutine, NULL);
    KeInitializeTimer(&ExpLookasideTimer);
    KeSetTimerEx(&ExpLookasideTimer, Second, 1000, &ExpLookasideDpc);
}

static VOID FillSimple(PGENERAL_LOOKASIDE List, POOL_TYPE Type, PALLOCATE_FUNCTION Allocate, PFREE_FUNCTION Free,
                       SIZE_T Size, ULONG Tag)
{
    Fill((GENERAL_LOOKASIDE_POOL *)List, Type, Size, Tag);
    List->Allocate = Allocate != NULL ? Allocate : ExAllocatePoolWithTag;
    List->Free = Free != NULL ? Free : ExFreePool;
    Enter((GENERAL_LOOKASIDE_POOL *)List);
}

static VOID Drain(PGENERAL_LOOKASIDE List)
{
    PVOID Entry;

    Leave((GENERAL_LOOKASIDE_POOL *)List);
    while ((Entry = ExpInterlockedPopEntrySList(&List->ListHead)) != NULL) {
        List->Free(Entry);
    }
}

/**
 * ExInitializeNPagedLookasideList - makes a list of nonpaged blocks.
 *
 * @Allocate, @Free  NULL: pool
 * @Flags            POOL_RAISE_IF_ALLOCATION_FAILURE is passed on in the pool type
 * @Size             bytes a block
 * @Depth            not used, as documented
 *
 * IRQL: <= DISPATCH_LEVEL.
 */
VOID NTAPI ExInitializeNPagedLookasideList(PNPAGED_LOOKASIDE_LIST Lookaside, PALLOCATE_FUNCTION Allocate,
                                           PFREE_FUNCTION Free, ULONG Flags, SIZE_T Size, ULONG Tag, USHORT Depth)
{
    FillSimple(&Lookaside->L, (POOL_TYPE)(NonPagedPool | Flags), Allocate, Free, Size, Tag);
}

VOID NTAPI ExDeleteNPagedLookasideList(PNPAGED_LOOKASIDE_LIST Lookaside)
{
    Drain(&Lookaside->L);
}

VOID NTAPI ExInitializePagedLookasideList(PPAGED_LOOKASIDE_LIST Lookaside, PALLOCATE_FUNCTION Allocate,
                                          PFREE_FUNCTION Free, ULONG Flags, SIZE_T Size, ULONG Tag, USHORT Depth)
{
    FillSimple(&Lookaside->L, (POOL_TYPE)(PagedPool | Flags), Allocate, Free, Size, Tag);
}

VOID NTAPI ExDeletePagedLookasideList(PPAGED_LOOKASIDE_LIST Lookaside)
{
    Drain(&Lookaside->L);
}

static PVOID NTAPI AllocateEx(POOL_TYPE PoolType, SIZE_T Bytes, ULONG Tag, PLOOKASIDE_LIST_EX Lookaside)
{
    return ExAllocatePoolWithTag(PoolType, Bytes, Tag);
}

static VOID NTAPI FreeEx(PVOID Buffer, PLOOKASIDE_LIST_EX Lookaside)
{
    ExFreePool(Buffer);
}

/**
 * ExInitializeLookasideListEx - makes a list whose routines are told which list they serve.
 *
 * returns  STATUS_SUCCESS; STATUS_INVALID_PARAMETER_4 or _5 for flags that exclude each other or are unknown
 *
 * IRQL: <= DISPATCH_LEVEL.
 */
NTSTATUS NTAPI ExInitializeLookasideListEx(PLOOKASIDE_LIST_EX Lookaside, PALLOCATE_FUNCTION_EX Allocate,
                                           PFREE_FUNCTION_EX Free, POOL_TYPE PoolType, ULONG Flags, SIZE_T Size,
                                           ULONG Tag, USHORT Depth)
{
    const ULONG Known = EX_LOOKASIDE_LIST_EX_FLAGS_RAISE_ON_FAIL | EX_LOOKASIDE_LIST_EX_FLAGS_FAIL_NO_RAISE;

    if ((Flags & ~Known) != 0 || Flags == Known) {
        return STATUS_INVALID_PARAMETER_5;
    }
    if ((Flags & EX_LOOKASIDE_LIST_EX_FLAGS_RAISE_ON_FAIL) != 0) {
        PoolType = (POOL_TYPE)(PoolType | POOL_RAISE_IF_ALLOCATION_FAILURE);
    }
    Fill(&Lookaside->L, PoolType, Size, Tag);
    Lookaside->L.AllocateEx = Allocate != NULL ? Allocate : AllocateEx;
    Lookaside->L.FreeEx = Free != NULL ? Free : FreeEx;
    Enter(&Lookaside->L);
    return STATUS_SUCCESS;
}

VOID NTAPI ExFlushLookasideListEx(PLOOKASIDE_LIST_EX Lookaside)
{
    PVOID Entry;

    while ((Entry = ExpInterlockedPopEntrySList(&Lookaside->L.ListHead)) != NULL) {
        Lookaside->L.FreeEx(Entry, Lookaside);
    }
}

VOID NTAPI ExDeleteLookasideListEx(PLOOKASIDE_LIST_EX Lookaside)
{
    Leave(&Lookaside->L);
    ExFlushLookasideListEx(Lookaside);
}
