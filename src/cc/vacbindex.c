/*
 * vacbindex.c - which views of a file are mapped.
 *
 * Each shared cache map finds its VACBs by file offset. Four pointers in the map itself are enough for a file of 1 MB; a larger
 * file has a sparse tree of 1 KB blocks, seven offset bits a level, which costs memory only where views are mapped: a view
 * at the far end of a file of exabytes takes one block a level. A block goes with its last view, and an empty index
 * is inline again.
 *
 * The code is pure: callers hold the view mutex (<= APC_LEVEL), nothing here waits or reads a clock. Blocks come from nonpaged
 * pool, and only an insertion allocates, before it changes anything that a failure would have to undo.
 */
#include "ccp.h"

/* Views that a tree of some levels can name. */
static ULONG64 CcpIndexCapacity(ULONG Levels)
{
    return Levels == 0 ? CCP_INDEX_INLINE : 1ULL << (Levels * CCP_INDEX_BITS);
}

static ULONG CcpIndexSlot(ULONG64 View, ULONG Level)
{
    return (ULONG)(View >> (Level * CCP_INDEX_BITS)) & (CCP_INDEX_FANOUT - 1);
}

static PCCP_INDEX_BLOCK CcpAllocateIndexBlock(VOID)
{
    PCCP_INDEX_BLOCK Block = ExAllocatePoolWithTag(NonPagedPool, sizeof(CCP_INDEX_BLOCK), CCP_TAG_INDEX);

    if (Block != NULL) {
        RtlZeroMemory(Block, sizeof(*Block));
    }
    return Block;
}

/**
 * CcpIndexLookup - the mapped view that holds a file offset.
 *
 * @FileOffset  any byte of the view
 * returns      the VACB, NULL when that view is not mapped
 */
PVACB CcpIndexLookup(PCCP_INDEX Index, LONG64 FileOffset)
{
    ULONG64 View = (ULONG64)FileOffset >> VACB_OFFSET_SHIFT;
    PCCP_INDEX_BLOCK Block;

    if (View >= CcpIndexCapacity(Index->Levels)) {
        return NULL;
    }
    if (Index->Levels == 0) {
        return Index->Inline[View];
    }
    Block = Index->Root;
    for (ULONG Level = Index->Levels - 1; Level != 0 && Block != NULL; Level--) {
        Block = Block->Slot[CcpIndexSlot(View, Level)];
    }
    return Block == NULL ? NULL : Block->Slot[CcpIndexSlot(View, 0)];
}

/* Adds one level on top: the old content becomes the lowest part of a larger tree. */
static BOOLEAN CcpIndexGrow(PCCP_INDEX Index)
{
    PCCP_INDEX_BLOCK Root;

    if (Index->Levels != 0 && Index->Root->Used == 0) {
        Index->Levels++; /* nothing to put below a new block: the empty one serves at any level */
        return TRUE;
    }
    Root = CcpAllocateIndexBlock();
    if (Root == NULL) {
        return FALSE;
    }
    if (Index->Levels == 0) {
        for (ULONG View = 0; View < CCP_INDEX_INLINE; View++) {
            Root->Slot[View] = Index->Inline[View];
            Root->Used += Index->Inline[View] != NULL;
        }
    } else {
        Root->Slot[0] = Index->Root;
        Root->Used = 1;
    }
    Index->Root = Root;
    Index->Levels++;
    return TRUE;
}

/* Frees the empty blocks on the way to a view; an index that holds nothing becomes inline again. */
static VOID CcpIndexPrune(PCCP_INDEX Index, ULONG64 View)
{
    PCCP_INDEX_BLOCK Path[CCP_INDEX_LEVELS + 1];
    ULONG Depth = 0;

    for (PCCP_INDEX_BLOCK Block = Index->Root; Block != NULL && Depth < Index->Levels; Depth++) {
        Path[Depth] = Block;
        Block = Depth + 1 < Index->Levels ? Block->Slot[CcpIndexSlot(View, Index->Levels - 1 - Depth)] : NULL;
    }
    while (Depth != 0 && Path[Depth - 1]->Used == 0) {
        ExFreePoolWithTag(Path[Depth - 1], CCP_TAG_INDEX);
        Depth--;
        if (Depth != 0) {
            Path[Depth - 1]->Slot[CcpIndexSlot(View, Index->Levels - Depth)] = NULL;
            Path[Depth - 1]->Used--;
        }
    }
    if (Depth == 0) {
        RtlZeroMemory(Index, sizeof(*Index));
    }
}

/**
 * CcpIndexInsert - enters a view by its FileOffset; no view may be there.
 *
 * returns  FALSE when pool is short: the index holds what it held before
 */
BOOLEAN CcpIndexInsert(PCCP_INDEX Index, PVACB Vacb)
{
    ULONG64 View = (ULONG64)Vacb->FileOffset >> VACB_OFFSET_SHIFT;
    PCCP_INDEX_BLOCK Block;

    ASSERT(CcpIndexLookup(Index, Vacb->FileOffset) == NULL);
    while (View >= CcpIndexCapacity(Index->Levels)) {
        ASSERT(Index->Levels < CCP_INDEX_LEVELS);
        if (!CcpIndexGrow(Index)) {
            if (Index->Levels != 0) {
                CcpIndexPrune(Index, View);
            }
            return FALSE;
        }
    }
    if (Index->Levels == 0) {
        Index->Inline[View] = Vacb;
        return TRUE;
    }
    Block = Index->Root;
    for (ULONG Level = Index->Levels - 1; Level != 0; Level--) {
        PVOID *Slot = &Block->Slot[CcpIndexSlot(View, Level)];

        if (*Slot == NULL) {
            *Slot = CcpAllocateIndexBlock();
            if (*Slot == NULL) {
                CcpIndexPrune(Index, View);
                return FALSE;
            }
            Block->Used++;
        }
        Block = *Slot;
    }
    Block->Slot[CcpIndexSlot(View, 0)] = Vacb;
    Block->Used++;
    return TRUE;
}

/* Takes the view at an offset out of the index; it must be there. */
VOID CcpIndexRemove(PCCP_INDEX Index, LONG64 FileOffset)
{
    ULONG64 View = (ULONG64)FileOffset >> VACB_OFFSET_SHIFT;
    PCCP_INDEX_BLOCK Block;

    ASSERT(CcpIndexLookup(Index, FileOffset) != NULL);
    if (Index->Levels == 0) {
        Index->Inline[View] = NULL;
        return;
    }
    Block = Index->Root;
    for (ULONG Level = Index->Levels - 1; Level != 0; Level--) {
        Block = Block->Slot[CcpIndexSlot(View, Level)];
    }
    Block->Slot[CcpIndexSlot(View, 0)] = NULL;
    Block->Used--;
    CcpIndexPrune(Index, View);
}

/* The first view at or after View below one block; the tree is at most seven levels deep. */
static PVACB CcpIndexNextBelow(PCCP_INDEX_BLOCK Block, ULONG Level, ULONG64 View)
{
    for (ULONG Slot = CcpIndexSlot(View, Level); Slot < CCP_INDEX_FANOUT; Slot++) {
        PVACB Found = Block->Slot[Slot];

        if (Found != NULL && Level != 0) {
            Found = CcpIndexNextBelow(Block->Slot[Slot], Level - 1, View);
        }
        if (Found != NULL) {
            return Found;
        }
        View = 0; /* below the following slots every view counts */
    }
    return NULL;
}

PVACB CcpIndexNext(PCCP_INDEX Index, LONG64 FileOffset)
{
    ULONG64 View = ((ULONG64)FileOffset + VACB_MAPPING_GRANULARITY - 1) >> VACB_OFFSET_SHIFT;

    if (View >= CcpIndexCapacity(Index->Levels)) {
        return NULL;
    }
    if (Index->Levels != 0) {
        return CcpIndexNextBelow(Index->Root, Index->Levels - 1, View);
    }
    for (; View < CCP_INDEX_INLINE; View++) {
        if (Index->Inline[View] != NULL) {
            return Index->Inline[View];
        }
    }
    return NULL;
}
