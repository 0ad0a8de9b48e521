/*
 * heap.c - heaps of programs: RtlCreateHeap, RtlAllocateHeap and their kin; the front end, and blocks with pages of their own.
 *
 * The front end keeps freed blocks of up to 1 KB by their exact size and hands them out again, last in first out, without splitting or joining
 * anything; what it does not have or does not want is heapblock.c's. From 128 KB on a block is an allocation of its own. Behind each block that
 * is in use at least one byte belongs to nobody; it is filled, and looked at when the block is freed.
 *
 * What must not be found by accident ends the program: a block freed twice, a byte behind a block that was written to, a header that was. The export
 * that finds it says so on the console and raises STATUS_HEAP_CORRUPTION, after it has let go of the lock. An address that never was a block's is
 * refused with FALSE.
 *
 * Lock: the heap's critical section (HEAP_NO_SERIALIZE: none). It is taken once by each export, and it may be held across them
 * (RtlLockHeap).
 *
 * Source: Microsoft Learn, RtlCreateHeap, RtlAllocateHeap, RtlFreeHeap, RtlReAllocateHeap, HeapValidate, HeapCompact.
 */
#include "heapp.h"

#define HEAP_SIGNATURE 0x7061654C6569724FULL
#define FIRST_RESERVE  0x100000 /* bytes of a heap's first segment */
#define FIRST_COMMIT   0x10000
#define LOCK_SPINS     2000 /* an allocation takes some hundred instructions */

static LIST_ENTRY RtlpHeaps = {&RtlpHeaps, &RtlpHeaps}; /* (RtlpHeapListLock) */
static RTL_SRWLOCK RtlpHeapListLock = RTL_SRWLOCK_INIT;

/* ---- Lock and reports ---- */

static BOOLEAN RtlpSerialized(PHEAP Heap, ULONG Flags)
{
    return ((Heap->Flags | Flags) & HEAP_NO_SERIALIZE) == 0;
}

static VOID RtlpEnterHeap(PHEAP Heap, ULONG Flags)
{
    if (RtlpSerialized(Heap, Flags)) {
        RtlEnterCriticalSection(&Heap->Lock);
    }
}

/* Raises what was found meanwhile. */
static VOID RtlpLeaveHeap(PHEAP Heap, ULONG Flags)
{
    EXCEPTION_RECORD Record = {.ExceptionCode = STATUS_HEAP_CORRUPTION, .ExceptionFlags = EXCEPTION_NONCONTINUABLE};
    PCSTR Damage = Heap->Damage;
    PVOID Where = Heap->DamageAt;

    Heap->Damage = NULL;
    if (RtlpSerialized(Heap, Flags)) {
        RtlLeaveCriticalSection(&Heap->Lock);
    }
    if (Damage != NULL) {
        DbgPrint("heap %p: block %p: %s\n", Heap, Where, Damage);
        Record.NumberParameters = 1;
        Record.ExceptionInformation[0] = (ULONG_PTR)Where;
        RtlRaiseException(&Record);
    }
}

BOOLEAN NTAPI RtlLockHeap(PVOID HeapHandle)
{
    RtlpEnterHeap(HeapHandle, 0);
    return TRUE;
}

BOOLEAN NTAPI RtlUnlockHeap(PVOID HeapHandle)
{
    RtlpLeaveHeap(HeapHandle, 0);
    return TRUE;
}

/* ---- The front end ---- */

static PHEAP_BLOCK RtlpFromCache(PHEAP Heap, ULONG Units)
{
    HEAP_CACHE *Cache = &Heap->Cache[Units];
    PHEAP_BLOCK Block;

    if (Cache->First == NULL) {
        return NULL;
    }
    Block = (PHEAP_BLOCK)Cache->First - 1;
    if (!RtlpSealed(Heap, Block) || Block->State != HEAP_CACHED || Block->Units != Units) {
        RtlpDamaged(Heap, Cache->First, "a freed block was written to");
        Cache->First = NULL;
        return NULL;
    }
    Cache->First = (PVOID)(*(PULONG64)Cache->First ^ Heap->Cookie);
    Cache->Depth--;
    Block->State = HEAP_BUSY;
    return Block;
}

static BOOLEAN RtlpIntoCache(PHEAP Heap, PHEAP_BLOCK Block)
{
    HEAP_CACHE *Cache = &Heap->Cache[Block->Units];

    if (Heap->Validates || Cache->Depth == HEAP_CACHE_DEPTH) {
        return FALSE;
    }
    *(PULONG64)(Block + 1) = (ULONG64)Cache->First ^ Heap->Cookie;
    Cache->First = Block + 1;
    Cache->Depth++;
    Block->State = HEAP_CACHED;
    Block->Slack = 0;
    RtlpSeal(Heap, Block);
    return TRUE;
}

/* Everything that the front end keeps goes to the back end, to be joined. */
static VOID RtlpFlushCaches(PHEAP Heap)
{
    PHEAP_BLOCK Block;

    for (ULONG Units = 0; Units <= HEAP_CACHE_UNITS; Units++) {
        while ((Block = RtlpFromCache(Heap, Units)) != NULL) {
            RtlpGiveBlock(Heap, Block);
        }
    }
}

/* ---- Blocks, locked ---- */

static PHEAP_BLOCK RtlpTakeSmall(PHEAP Heap, SIZE_T Bytes)
{
    ULONG Units = max(2u, (ULONG)((sizeof(HEAP_BLOCK) + Bytes + 1 + HEAP_UNIT - 1) / HEAP_UNIT));
    PHEAP_BLOCK Block = Units <= HEAP_CACHE_UNITS ? RtlpFromCache(Heap, Units) : NULL;

    if (Block == NULL) {
        Block = RtlpTakeBlock(Heap, Units);
    }
    if (Block == NULL) {
        RtlpFlushCaches(Heap);
        Block = RtlpTakeBlock(Heap, Units);
    }
    return Block;
}

/* A block in use gets its size and the filling behind it. */
static VOID RtlpDress(PHEAP Heap, PHEAP_BLOCK Block, SIZE_T Bytes)
{
    Block->Slack = (USHORT)((SIZE_T)(Block->Units - 1) * HEAP_UNIT - Bytes);
    RtlFillMemory((PUCHAR)(Block + 1) + Bytes, Block->Slack, HEAP_TAIL_FILL);
    RtlpSeal(Heap, Block);
}

static PHEAP_BLOCK RtlpTakeLarge(PHEAP Heap, SIZE_T Bytes)
{
    SIZE_T Mapped = ROUND_TO_PAGES(sizeof(HEAP_LARGE_BLOCK) + sizeof(HEAP_BLOCK) + Bytes + 1);
    PHEAP_LARGE_BLOCK Large = Heap->NextReserve == 0 || Bytes > MAXLONG64 ? NULL : RtlpTakePages(Mapped, Mapped);
    PHEAP_BLOCK Block = (PHEAP_BLOCK)(Large + 1);

    if (Large == NULL) {
        return NULL;
    }
    Large->Bytes = Bytes;
    Large->Mapped = Mapped;
    InsertTailList(&Heap->Large, &Large->Link);
    Block->Units = 1;
    Block->Previous = 0;
    Block->Slack = 0;
    Block->State = HEAP_LARGE_;
    RtlpSeal(Heap, Block);
    *((PUCHAR)(Block + 1) + Bytes) = HEAP_TAIL_FILL;
    return Block;
}

static PHEAP_LARGE_BLOCK RtlpLargeOf(PHEAP_BLOCK Block)
{
    return (PHEAP_LARGE_BLOCK)Block - 1;
}

/* The bytes that its owner asked for. */
static SIZE_T RtlpBytesOf(PHEAP_BLOCK Block)
{
    return Block->State == HEAP_LARGE_ ? RtlpLargeOf(Block)->Bytes
                                       : (SIZE_T)(Block->Units - 1) * HEAP_UNIT - Block->Slack;
}

/* The block of an address, intact and in use. NULL: it is no block's, or Damage says what is wrong. */
static PHEAP_BLOCK RtlpBusyBlock(PHEAP Heap, PVOID Address)
{
    PHEAP_BLOCK Block = (PHEAP_BLOCK)Address - 1;

    if (((ULONG_PTR)Address & (HEAP_UNIT - 1)) != 0) {
        return NULL;
    }
    if (!RtlpSealed(Heap, Block)) {
        if (RtlpInSegments(Heap, Block)) {
            RtlpDamaged(Heap, Address, "not a block, or its header was overwritten");
        }
        return NULL;
    }
    if (Block->State == HEAP_FREE || Block->State == HEAP_CACHED) {
        RtlpDamaged(Heap, Address, "was freed already");
        return NULL;
    }
    if (Block->State == HEAP_LARGE_ ? *((PUCHAR)Address + RtlpLargeOf(Block)->Bytes) != HEAP_TAIL_FILL
                                    : !RtlpTailIntact(Block)) {
        RtlpDamaged(Heap, Address, "was written to behind its end");
        return NULL;
    }
    return Block;
}

static VOID RtlpFreeBusy(PHEAP Heap, PHEAP_BLOCK Block)
{
    if (Block->State == HEAP_LARGE_) {
        RemoveEntryList(&RtlpLargeOf(Block)->Link);
        RtlpGivePages(RtlpLargeOf(Block));
    } else if (Block->Units > HEAP_CACHE_UNITS || !RtlpIntoCache(Heap, Block)) {
        RtlpGiveBlock(Heap, Block);
    }
}

/* ---- Making and ending heaps ---- */

/**
 * RtlCreateHeap - makes a heap.
 *
 * @Flags    HEAP_NO_SERIALIZE, HEAP_GENERATE_EXCEPTIONS, HEAP_ZERO_MEMORY: for all calls; HEAP_GROWABLE: beyond @Reserve;
 *           HEAP_FREE_CHECKING_ENABLED: what is written to freed blocks is noticed when they are used again
 * @Base     must be NULL, as @Lock and @Parameters
 * @Reserve, @Commit  bytes; 0: 1 MB and 64 KB
 * returns   NULL: the parameters, or no memory
 */
PVOID NTAPI RtlCreateHeap(ULONG Flags, PVOID Base, SIZE_T Reserve, SIZE_T Commit, PVOID Lock,
                          PRTL_HEAP_PARAMETERS Parameters)
{
    SIZE_T Whole = ROUND_TO_PAGES(max(Reserve == 0 ? FIRST_RESERVE : Reserve, (SIZE_T)FIRST_COMMIT));
    SIZE_T Used = sizeof(HEAP_SEGMENT) + sizeof(HEAP);
    PHEAP_SEGMENT Segment;
    PHEAP Heap;

    Commit = min(ROUND_TO_PAGES(max(Commit, (SIZE_T)FIRST_COMMIT)), Whole);
    Segment =
        Base == NULL && Lock == NULL && Parameters == NULL && Whole <= MAXLONG ? RtlpTakePages(Whole, Commit) : NULL;
    if (Segment == NULL) {
        return NULL;
    }
    Heap = (PHEAP)(Segment + 1);
    Heap->Signature = HEAP_SIGNATURE;
    Heap->Flags = Flags;
    Heap->Validates = (Flags & HEAP_FREE_CHECKING_ENABLED) != 0;
    Heap->Cookie = (__rdtsc() ^ (ULONG64)Heap) * 0x9E3779B97F4A7C15ULL;
    Heap->NextReserve = (Flags & HEAP_GROWABLE) != 0 ? 2 * (SIZE_T)FIRST_RESERVE : 0;
    RtlInitializeCriticalSectionAndSpinCount(&Heap->Lock, LOCK_SPINS);
    InitializeListHead(&Heap->Segments);
    InitializeListHead(&Heap->Large);
    for (ULONG Bin = 0; Bin < HEAP_BINS; Bin++) {
        InitializeListHead(&Heap->Bin[Bin]);
    }
    RtlpAddSegment(Heap, Segment, Used, Commit, Whole);
    RtlAcquireSRWLockExclusive(&RtlpHeapListLock);
    InsertTailList(&RtlpHeaps, &Heap->Heaps);
    RtlReleaseSRWLockExclusive(&RtlpHeapListLock);
    return Heap;
}

/* NULL, or the heap if it is the process's own, which stays, or none. */
PVOID NTAPI RtlDestroyHeap(PVOID HeapHandle)
{
    PHEAP Heap = HeapHandle;
    PVOID First = (PHEAP_SEGMENT)HeapHandle - 1;

    if (Heap == LdrpPeb()->ProcessHeap || Heap->Signature != HEAP_SIGNATURE) {
        return HeapHandle;
    }
    RtlAcquireSRWLockExclusive(&RtlpHeapListLock);
    RemoveEntryList(&Heap->Heaps);
    RtlReleaseSRWLockExclusive(&RtlpHeapListLock);
    while (!IsListEmpty(&Heap->Large)) {
        RtlpGivePages(CONTAINING_RECORD(RemoveHeadList(&Heap->Large), HEAP_LARGE_BLOCK, Link));
    }
    while (!IsListEmpty(&Heap->Segments)) {
        PHEAP_SEGMENT Segment = CONTAINING_RECORD(RemoveHeadList(&Heap->Segments), HEAP_SEGMENT, Link);

        if (Segment != First) {
            RtlpGivePages(Segment);
        }
    }
    RtlpGivePages(First); /* the heap itself is in it */
    return NULL;
}

/* How many heaps there are; as many of them as fit go to Heaps. */
ULONG NTAPI RtlGetProcessHeaps(ULONG Count, PVOID *Heaps)
{
    ULONG Found = 0;

    RtlAcquireSRWLockShared(&RtlpHeapListLock);
    for (PLIST_ENTRY Entry = RtlpHeaps.Flink; Entry != &RtlpHeaps; Entry = Entry->Flink, Found++) {
        if (Found < Count) {
            Heaps[Found] = CONTAINING_RECORD(Entry, HEAP, Heaps);
        }
    }
    RtlReleaseSRWLockShared(&RtlpHeapListLock);
    return Found;
}

/* ---- Blocks ---- */

/* NULL: there is no memory; with HEAP_GENERATE_EXCEPTIONS it raises STATUS_NO_MEMORY instead. Aligned to 16 bytes. */
PVOID NTAPI RtlAllocateHeap(PVOID HeapHandle, ULONG Flags, SIZE_T Size)
{
    PHEAP Heap = HeapHandle;
    BOOLEAN Small = Size < HEAP_LARGE_BYTES;
    PHEAP_BLOCK Block;

    RtlpEnterHeap(Heap, Flags);
    Block = Small ? RtlpTakeSmall(Heap, Size) : RtlpTakeLarge(Heap, Size);
    if (Block != NULL && Small) {
        RtlpDress(Heap, Block, Size);
    }
    RtlpLeaveHeap(Heap, Flags);
    if (Block == NULL) {
        if (((Heap->Flags | Flags) & HEAP_GENERATE_EXCEPTIONS) != 0) {
            RtlRaiseStatus(STATUS_NO_MEMORY);
        }
        return NULL;
    }
    if (Small && ((Heap->Flags | Flags) & HEAP_ZERO_MEMORY) != 0) {
        RtlZeroMemory(Block + 1, Size);
    }
    return Block + 1;
}

/* FALSE: it is not the address of a block. */
BOOLEAN NTAPI RtlFreeHeap(PVOID HeapHandle, ULONG Flags, PVOID Address)
{
    PHEAP Heap = HeapHandle;
    PHEAP_BLOCK Block;

    if (Address == NULL) {
        return TRUE;
    }
    RtlpEnterHeap(Heap, Flags);
    Block = RtlpBusyBlock(Heap, Address);
    if (Block != NULL) {
        RtlpFreeBusy(Heap, Block);
    }
    RtlpLeaveHeap(Heap, Flags);
    return Block != NULL;
}

/* The bytes that were asked for; -1: it is not the address of a block. */
SIZE_T NTAPI RtlSizeHeap(PVOID HeapHandle, ULONG Flags, PVOID Address)
{
    PHEAP Heap = HeapHandle;
    PHEAP_BLOCK Block;
    SIZE_T Bytes;

    RtlpEnterHeap(Heap, Flags);
    Block = RtlpBusyBlock(Heap, Address);
    Bytes = Block == NULL ? (SIZE_T)-1 : RtlpBytesOf(Block);
    RtlpLeaveHeap(Heap, Flags);
    return Bytes;
}

/* Locked. FALSE: it has to move. */
static BOOLEAN RtlpReAllocateInPlace(PHEAP Heap, PHEAP_BLOCK Block, SIZE_T Size)
{
    ULONG Units = max(2u, (ULONG)((sizeof(HEAP_BLOCK) + Size + 1 + HEAP_UNIT - 1) / HEAP_UNIT));

    if (Block->State == HEAP_LARGE_) {
        PHEAP_LARGE_BLOCK Large = RtlpLargeOf(Block);

        if (Size < HEAP_LARGE_BYTES || Size >= Large->Mapped - sizeof(*Large) - sizeof(*Block)) {
            return FALSE;
        }
        Large->Bytes = Size;
        *((PUCHAR)(Block + 1) + Size) = HEAP_TAIL_FILL;
        return TRUE;
    }
    if (Size >= HEAP_LARGE_BYTES || !RtlpResizeBlock(Heap, Block, Units)) {
        return FALSE;
    }
    RtlpDress(Heap, Block, Size);
    return TRUE;
}

/**
 * RtlReAllocateHeap - changes the size of a block, which may move it.
 *
 * @Flags   HEAP_REALLOC_IN_PLACE_ONLY: not at the price of moving; HEAP_ZERO_MEMORY: what is gained is zero
 * returns  the block; NULL: it could not be done and the old one is as it was, or @Address is no block's
 */
PVOID NTAPI RtlReAllocateHeap(PVOID HeapHandle, ULONG Flags, PVOID Address, SIZE_T Size)
{
    PHEAP Heap = HeapHandle;
    SIZE_T Old = 0;
    PVOID New = NULL;
    PHEAP_BLOCK Block;

    RtlpEnterHeap(Heap, Flags);
    Block = RtlpBusyBlock(Heap, Address);
    if (Block != NULL) {
        Old = RtlpBytesOf(Block);
        New = RtlpReAllocateInPlace(Heap, Block, Size) ? Address : NULL;
    }
    RtlpLeaveHeap(Heap, Flags);
    if (Block == NULL) {
        return NULL;
    }
    if (New == NULL && (Flags & HEAP_REALLOC_IN_PLACE_ONLY) == 0) {
        New = RtlAllocateHeap(HeapHandle, Flags & ~(ULONG)HEAP_ZERO_MEMORY, Size);
        if (New != NULL) {
            RtlCopyMemory(New, Address, min(Old, Size));
            RtlFreeHeap(HeapHandle, Flags, Address);
        }
    }
    if (New != NULL && Size > Old && ((Heap->Flags | Flags) & HEAP_ZERO_MEMORY) != 0) {
        RtlZeroMemory((PUCHAR)New + Old, Size - Old);
    }
    return New;
}

/* ---- The whole heap ---- */

/* Gives the front end's blocks back to be joined; the bytes of the largest block that is free then. */
SIZE_T NTAPI RtlCompactHeap(PVOID HeapHandle, ULONG Flags)
{
    PHEAP Heap = HeapHandle;
    SIZE_T Largest;

    RtlpEnterHeap(Heap, Flags);
    RtlpFlushCaches(Heap);
    Largest = (SIZE_T)RtlpLargestFree(Heap) * HEAP_UNIT;
    RtlpLeaveHeap(Heap, Flags);
    return Largest == 0 ? 0 : Largest - sizeof(HEAP_BLOCK);
}

/* Locked. What is found is the answer, not a report. */
static BOOLEAN RtlpValidBlock(PHEAP Heap, PVOID Address)
{
    BOOLEAN Valid = RtlpBusyBlock(Heap, Address) != NULL;

    Heap->Damage = NULL;
    return Valid;
}

static BOOLEAN RtlpValidLarge(PHEAP Heap)
{
    for (PLIST_ENTRY Entry = Heap->Large.Flink; Entry != &Heap->Large; Entry = Entry->Flink) {
        PHEAP_LARGE_BLOCK Large = CONTAINING_RECORD(Entry, HEAP_LARGE_BLOCK, Link);

        if (!RtlpValidBlock(Heap, (PHEAP_BLOCK)(Large + 1) + 1)) {
            return FALSE;
        }
    }
    return TRUE;
}

/* One block, or with Address NULL all there is. */
BOOLEAN NTAPI RtlValidateHeap(PVOID HeapHandle, ULONG Flags, PVOID Address)
{
    PHEAP Heap = HeapHandle;
    BOOLEAN Valid;

    if (Heap->Signature != HEAP_SIGNATURE) {
        return FALSE;
    }
    RtlpEnterHeap(Heap, Flags);
    Valid = Address != NULL ? RtlpValidBlock(Heap, Address) : RtlpValidateBlocks(Heap) && RtlpValidLarge(Heap);
    RtlpLeaveHeap(Heap, Flags);
    return Valid;
}
