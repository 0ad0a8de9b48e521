/*
 * lookaside.c - lists of free blocks of one size kept at hand.
 *
 * Allocation and freeing are inlines of the DDK: pop an entry or call Allocate, push it or call Free when the list is Depth
 * long. Here is only what makes and empties a list. Depth is fixed.
 *
 * IRQL: <= DISPATCH_LEVEL (nonpaged), <= APC_LEVEL (paged).
 *
 * Source: WDK documentation of the ExInitializeNPagedLookasideList family.
 */
#include <ntos/ke.h>

#define LOOKASIDE_DEPTH 16 /* blocks kept: enough to ride out a burst, little enough not to be missed */

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
    List->Depth = LOOKASIDE_DEPTH;
    List->MaximumDepth = LOOKASIDE_DEPTH;
    List->Type = Type;
    List->Tag = Tag;
    List->Size = (ULONG)(Size < sizeof(SLIST_ENTRY) ? sizeof(SLIST_ENTRY) : Size);
    InitializeListHead(&List->ListEntry);
}

static VOID FillSimple(PGENERAL_LOOKASIDE List, POOL_TYPE Type, PALLOCATE_FUNCTION Allocate, PFREE_FUNCTION Free,
                       SIZE_T Size, ULONG Tag)
{
    Fill((GENERAL_LOOKASIDE_POOL *)List, Type, Size, Tag);
    List->Allocate = Allocate != NULL ? Allocate : ExAllocatePoolWithTag;
    List->Free = Free != NULL ? Free : ExFreePool;
}

static VOID Drain(PGENERAL_LOOKASIDE List)
{
    PVOID Entry;

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
    ExFlushLookasideListEx(Lookaside);
}
