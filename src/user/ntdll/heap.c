/*
 * heap.c - heaps of programs: RtlCreateHeap, RtlAllocateHeap and their kin.
 *
 * A heap is a list of segments of fresh private memory, carved from the front into blocks of fixed classes: every multiple of 16 bytes
 * up to 512, then powers of two up to 64 KB, header included. A freed block goes to its class's list and is the next one handed out. What
 * is larger has pages of its own and gives them back at once. Each block begins with a header that knows what the caller asked for
 * and carries a mark; freeing something twice, or what never was a block, is found by it.
 *
 * Segments are given back with the heap only.
 *
 * Lock: the heap's, a spin that gives its time away (HEAP_NO_SERIALIZE: none).
 *
 * Source: Microsoft Learn, RtlCreateHeap, RtlAllocateHeap, RtlFreeHeap, HeapValidate.
 */
#include "ntdllp.h"

#define HEAP_SIGNATURE 0x7061654C6569724FULL
#define BLOCK_BUSY     0xB10CB05Eu
#define BLOCK_FREE     0xF4EEB10Cu
#define SEGMENT_BYTES  0x40000 /* four of the largest blocks */
#define SMALL_STEP     16
#define SMALL_LIMIT    512
#define SMALL_CLASSES  (SMALL_LIMIT / SMALL_STEP)
#define LARGEST_CLASS  0x10000
#define CLASSES        (SMALL_CLASSES + 7) /* 1, 2, 4, ..., 64 KB */
#define CLASS_LARGE    0xFF

typedef struct DECLSPEC_ALIGN(16) _HEAP_BLOCK {
    SIZE_T Bytes; /* as asked for; of a free block the next free one */
    ULONG Mark;
    ULONG Class;
} HEAP_BLOCK, *PHEAP_BLOCK;
C_ASSERT(sizeof(HEAP_BLOCK) == 16);

typedef struct DECLSPEC_ALIGN(16) _HEAP_LARGE { /* in front of a large block's header */
    LIST_ENTRY Link;
} HEAP_LARGE, *PHEAP_LARGE;

typedef struct DECLSPEC_ALIGN(16) _HEAP_SEGMENT {
    struct _HEAP_SEGMENT *Next;
    PUCHAR Unused, End; /* not carved yet */
} HEAP_SEGMENT, *PHEAP_SEGMENT;

typedef struct _HEAP {
    ULONG64 Signature;
    ULONG Flags;               /* (c) */
    volatile LONG Locked;      /* interlocked */
    PHEAP_SEGMENT Segments;    /* (l) the first is carved; this structure lies in the last */
    PHEAP_BLOCK Free[CLASSES]; /* (l) */
    LIST_ENTRY Large;          /* (l) */
} HEAP, *PHEAP;

/* ---- Lock ---- */

static VOID LockHeap(PHEAP Heap, ULONG Flags)
{
    if (((Heap->Flags | Flags) & HEAP_NO_SERIALIZE) == 0) {
        while (InterlockedCompareExchange(&Heap->Locked, 1, 0) != 0) {
            NtYieldExecution();
        }
    }
}

static VOID UnlockHeap(PHEAP Heap, ULONG Flags)
{
    if (((Heap->Flags | Flags) & HEAP_NO_SERIALIZE) == 0) {
        InterlockedExchange(&Heap->Locked, 0);
    }
}

/* ---- Sizes ---- */

static ULONG ClassOf(SIZE_T Whole)
{
    ULONG Class = SMALL_CLASSES;

    if (Whole <= SMALL_LIMIT) {
        return (ULONG)((Whole + SMALL_STEP - 1) / SMALL_STEP) - 1;
    }
    for (SIZE_T Size = SMALL_LIMIT * 2; Size < Whole; Size *= 2) {
        Class++;
    }
    return Class;
}

static SIZE_T SizeOfClass(ULONG Class)
{
    return Class < SMALL_CLASSES ? (Class + 1ULL) * SMALL_STEP : (SIZE_T)SMALL_LIMIT * 2 << (Class - SMALL_CLASSES);
}

static PVOID TakePages(SIZE_T Bytes)
{
    PVOID Base = NULL;

    return NT_SUCCESS(
               NtAllocateVirtualMemory(ZwCurrentProcess(), &Base, 0, &Bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE))
               ? Base
               : NULL;
}

static VOID GivePages(PVOID Base)
{
    SIZE_T Bytes = 0;

    NtFreeVirtualMemory(ZwCurrentProcess(), &Base, &Bytes, MEM_RELEASE);
}

/* ---- Blocks ---- */

static PHEAP_SEGMENT AddSegment(PHEAP_SEGMENT Next)
{
    PHEAP_SEGMENT Segment = TakePages(SEGMENT_BYTES);

    if (Segment != NULL) {
        Segment->Next = Next;
        Segment->Unused = (PUCHAR)(Segment + 1);
        Segment->End = (PUCHAR)Segment + SEGMENT_BYTES;
    }
    return Segment;
}

/* What is left of a segment that is given up becomes blocks of the small classes. Locked. */
static VOID CarveRest(PHEAP Heap, PHEAP_SEGMENT Segment)
{
    while (Segment->End - Segment->Unused >= 2 * SMALL_STEP) {
        SIZE_T Size = min((SIZE_T)(Segment->End - Segment->Unused), SMALL_LIMIT) & ~(SIZE_T)(SMALL_STEP - 1);
        PHEAP_BLOCK Block = (PHEAP_BLOCK)Segment->Unused;

        Segment->Unused += Size;
        Block->Class = ClassOf(Size);
        Block->Mark = BLOCK_FREE;
        Block->Bytes = (SIZE_T)Heap->Free[Block->Class];
        Heap->Free[Block->Class] = Block;
    }
}

static PHEAP_BLOCK Carve(PHEAP Heap, ULONG Class)
{
    SIZE_T Size = SizeOfClass(Class);
    PHEAP_BLOCK Block;

    if ((SIZE_T)(Heap->Segments->End - Heap->Segments->Unused) < Size) {
        PHEAP_SEGMENT Segment = AddSegment(Heap->Segments);

        if (Segment == NULL) {
            return NULL;
        }
        CarveRest(Heap, Heap->Segments);
        Heap->Segments = Segment;
    }
    Block = (PHEAP_BLOCK)Heap->Segments->Unused;
    Heap->Segments->Unused += Size;
    Block->Class = Class;
    return Block;
}

static PHEAP_BLOCK TakeBlock(PHEAP Heap, SIZE_T Bytes)
{
    ULONG Class = ClassOf(Bytes + sizeof(HEAP_BLOCK));
    PHEAP_BLOCK Block = Heap->Free[Class];

    if (Block != NULL) {
        Heap->Free[Class] = (PHEAP_BLOCK)Block->Bytes;
    } else {
        Block = Carve(Heap, Class);
    }
    return Block;
}

static PHEAP_BLOCK TakeLarge(PHEAP Heap, SIZE_T Bytes)
{
    PHEAP_LARGE Large = Bytes > MAXLONG64 ? NULL : TakePages(sizeof(HEAP_LARGE) + sizeof(HEAP_BLOCK) + Bytes);

    if (Large == NULL) {
        return NULL;
    }
    InsertTailList(&Heap->Large, &Large->Link);
    ((PHEAP_BLOCK)(Large + 1))->Class = CLASS_LARGE;
    return (PHEAP_BLOCK)(Large + 1);
}

/* The block of an address, if it is one that is in use. */
static PHEAP_BLOCK BusyBlock(PVOID Address)
{
    PHEAP_BLOCK Block = (PHEAP_BLOCK)Address - 1;

    if (((ULONG_PTR)Address & (SMALL_STEP - 1)) != 0 || Block->Mark != BLOCK_BUSY) {
        return NULL;
    }
    return Block;
}

/* ---- Exports ---- */

PVOID NTAPI RtlCreateHeap(ULONG Flags, PVOID Base, SIZE_T Reserve, SIZE_T Commit, PVOID Lock,
                          PRTL_HEAP_PARAMETERS Parameters)
{
    PHEAP_SEGMENT Segment = Base == NULL && Lock == NULL ? AddSegment(NULL) : NULL;
    PHEAP Heap;

    if (Segment == NULL) {
        return NULL;
    }
    Heap = (PHEAP)Segment->Unused;
    Segment->Unused += (sizeof(HEAP) + SMALL_STEP - 1) & ~(SIZE_T)(SMALL_STEP - 1);
    Heap->Signature = HEAP_SIGNATURE;
    Heap->Flags = Flags;
    Heap->Segments = Segment;
    InitializeListHead(&Heap->Large);
    return Heap;
}

PVOID NTAPI RtlAllocateHeap(PVOID HeapHandle, ULONG Flags, SIZE_T Size)
{
    PHEAP Heap = HeapHandle;
    PHEAP_BLOCK Block;

    LockHeap(Heap, Flags);
    Block = Size <= LARGEST_CLASS - sizeof(HEAP_BLOCK) ? TakeBlock(Heap, Size) : TakeLarge(Heap, Size);
    if (Block != NULL) {
        Block->Bytes = Size;
        Block->Mark = BLOCK_BUSY;
    }
    UnlockHeap(Heap, Flags);
    if (Block == NULL) {
        if (((Heap->Flags | Flags) & HEAP_GENERATE_EXCEPTIONS) != 0) {
            RtlRaiseStatus(STATUS_NO_MEMORY);
        }
        return NULL;
    }
    if (((Heap->Flags | Flags) & HEAP_ZERO_MEMORY) != 0 && Block->Class != CLASS_LARGE) {
        RtlZeroMemory(Block + 1, Size);
    }
    return Block + 1;
}

BOOLEAN NTAPI RtlFreeHeap(PVOID HeapHandle, ULONG Flags, PVOID Address)
{
    PHEAP Heap = HeapHandle;
    PHEAP_BLOCK Block;

    if (Address == NULL) {
        return TRUE;
    }
    LockHeap(Heap, Flags);
    Block = BusyBlock(Address);
    if (Block != NULL) {
        Block->Mark = BLOCK_FREE;
        if (Block->Class == CLASS_LARGE) {
            PHEAP_LARGE Large = (PHEAP_LARGE)Block - 1;

            RemoveEntryList(&Large->Link);
            GivePages(Large);
        } else {
            Block->Bytes = (SIZE_T)Heap->Free[Block->Class];
            Heap->Free[Block->Class] = Block;
        }
    }
    UnlockHeap(Heap, Flags);
    return Block != NULL;
}

SIZE_T NTAPI RtlSizeHeap(PVOID HeapHandle, ULONG Flags, PVOID Address)
{
    PHEAP_BLOCK Block = BusyBlock(Address);

    return Block == NULL ? (SIZE_T)-1 : Block->Bytes;
}

/* Grows and shrinks within the block's class in place; otherwise, or if that is forbidden, moves or fails. */
PVOID NTAPI RtlReAllocateHeap(PVOID HeapHandle, ULONG Flags, PVOID Address, SIZE_T Size)
{
    PHEAP_BLOCK Block = BusyBlock(Address);
    SIZE_T Old = Block == NULL ? 0 : Block->Bytes;
    PVOID New;

    if (Block == NULL) {
        return NULL;
    }
    if (Block->Class != CLASS_LARGE && Size <= SizeOfClass(Block->Class) - sizeof(HEAP_BLOCK)) {
        if ((Flags & HEAP_ZERO_MEMORY) != 0 && Size > Old) {
            RtlZeroMemory((PUCHAR)Address + Old, Size - Old);
        }
        Block->Bytes = Size;
        return Address;
    }
    New = (Flags & HEAP_REALLOC_IN_PLACE_ONLY) != 0 ? NULL : RtlAllocateHeap(HeapHandle, Flags, Size);
    if (New != NULL) {
        RtlCopyMemory(New, Address, min(Old, Size));
        RtlFreeHeap(HeapHandle, Flags, Address);
    }
    return New;
}

/* NULL, or the heap if it is the process's own, which stays. */
PVOID NTAPI RtlDestroyHeap(PVOID HeapHandle)
{
    PHEAP Heap = HeapHandle;
    PHEAP_SEGMENT Segment = Heap->Segments;

    if (Heap == LdrpPeb()->ProcessHeap || Heap->Signature != HEAP_SIGNATURE) {
        return HeapHandle;
    }
    while (!IsListEmpty(&Heap->Large)) {
        GivePages(CONTAINING_RECORD(RemoveHeadList(&Heap->Large), HEAP_LARGE, Link));
    }
    while (Segment != NULL) { /* the heap itself is in the last one */
        PHEAP_SEGMENT Next = Segment->Next;

        GivePages(Segment);
        Segment = Next;
    }
    return NULL;
}

/* Every block of a segment has a header that makes sense, up to where it is carved. */
static BOOLEAN ValidSegment(PHEAP Heap, PHEAP_SEGMENT Segment)
{
    PUCHAR Next = (PUCHAR)(Segment + 1);

    if (Next == (PUCHAR)Heap) {
        Next += (sizeof(HEAP) + SMALL_STEP - 1) & ~(SIZE_T)(SMALL_STEP - 1);
    }
    while (Next < Segment->Unused) {
        PHEAP_BLOCK Block = (PHEAP_BLOCK)Next;

        if (Block->Class >= CLASSES || (Block->Mark != BLOCK_BUSY && Block->Mark != BLOCK_FREE) ||
            (Block->Mark == BLOCK_BUSY && Block->Bytes > SizeOfClass(Block->Class) - sizeof(HEAP_BLOCK))) {
            return FALSE;
        }
        Next += SizeOfClass(Block->Class);
    }
    return Next == Segment->Unused;
}

BOOLEAN NTAPI RtlValidateHeap(PVOID HeapHandle, ULONG Flags, PVOID Address)
{
    PHEAP Heap = HeapHandle;
    BOOLEAN Valid = Heap->Signature == HEAP_SIGNATURE;

    if (Address != NULL) {
        return Valid && BusyBlock(Address) != NULL;
    }
    LockHeap(Heap, Flags);
    for (PHEAP_SEGMENT Segment = Heap->Segments; Valid && Segment != NULL; Segment = Segment->Next) {
        Valid = ValidSegment(Heap, Segment);
    }
    UnlockHeap(Heap, Flags);
    return Valid;
}
