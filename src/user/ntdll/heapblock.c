/*
 * heapblock.c - the back end of heaps: segments, and blocks that are split, joined and found by size.
 *
 * Free blocks are in bins by size. A request takes a block from the smallest bin that surely fits and leaves the rest free; a freed block joins
 * its free neighbours at once, which its header leads to in both directions. A segment grows by committing more behind its end mark; when it
 * is full there is another one, twice as large up to a limit; one that is empty again goes back, but for a spare one.
 *
 * Headers are sealed by a checksum with a random cookie. Each is checked before its contents are believed: what has been overwritten is
 * reported and left alone.
 *
 * Lock: the heap's, held by every caller.
 */
#include "heapp.h"

#define COMMIT_STEP     0x10000 /* bytes: the grain of allocations, so that growing is rare */
#define LARGEST_RESERVE 0x1000000
#define MINIMUM_UNITS   2  /* a free block holds its links */
#define BIN_SCAN        16 /* blocks of the request's own bin that are looked at; the next bin fits in any case */

C_ASSERT(sizeof(HEAP_BLOCK) + sizeof(LIST_ENTRY) <= MINIMUM_UNITS * HEAP_UNIT);

PVOID RtlpTakePages(SIZE_T Reserve, SIZE_T Commit)
{
    PVOID Base = NULL;

    if (!NT_SUCCESS(NtAllocateVirtualMemory(ZwCurrentProcess(), &Base, 0, &Reserve, MEM_RESERVE, PAGE_READWRITE))) {
        return NULL;
    }
    if (!NT_SUCCESS(NtAllocateVirtualMemory(ZwCurrentProcess(), &Base, 0, &Commit, MEM_COMMIT, PAGE_READWRITE))) {
        RtlpGivePages(Base);
        return NULL;
    }
    return Base;
}

VOID RtlpGivePages(PVOID Base)
{
    SIZE_T Bytes = 0;

    NtFreeVirtualMemory(ZwCurrentProcess(), &Base, &Bytes, MEM_RELEASE);
}

/* ---- Headers ---- */

static ULONG RtlpSealOf(PHEAP Heap, PHEAP_BLOCK Block)
{
    ULONG64 Sizes = (ULONG64)Block->Units << 32 | Block->Previous, State = (ULONG64)Block->Slack << 16 | Block->State;
    ULONG64 Value = (Heap->Cookie ^ (ULONG64)Block ^ Sizes) * 0x9E3779B97F4A7C15ULL;

    return (ULONG)(((Value ^ Value >> 29) + State) * 0xBF58476D1CE4E5B9ULL >> 32);
}

VOID RtlpSeal(PHEAP Heap, PHEAP_BLOCK Block)
{
    Block->Check = RtlpSealOf(Heap, Block);
}

BOOLEAN RtlpSealed(PHEAP Heap, PHEAP_BLOCK Block)
{
    return Block->Check == RtlpSealOf(Heap, Block);
}

BOOLEAN RtlpDamaged(PHEAP Heap, PVOID Address, PCSTR What)
{
    if (Heap->Damage == NULL) {
        Heap->Damage = What;
        Heap->DamageAt = Address;
    }
    return FALSE;
}

static BOOLEAN RtlpTrust(PHEAP Heap, PHEAP_BLOCK Block)
{
    return RtlpSealed(Heap, Block) || RtlpDamaged(Heap, Block + 1, "a block's header was overwritten");
}

static VOID RtlpSetBlock(PHEAP Heap, PHEAP_BLOCK Block, ULONG Units, ULONG Previous, USHORT State)
{
    Block->Units = Units;
    Block->Previous = Previous;
    Block->Slack = 0;
    Block->State = State;
    RtlpSeal(Heap, Block);
}

/* The header behind a block whose size has changed learns of it. */
static VOID RtlpTellNext(PHEAP Heap, PHEAP_BLOCK Block)
{
    PHEAP_BLOCK Next = RtlpNextBlock(Block);

    Next->Previous = Block->Units;
    RtlpSeal(Heap, Next);
}

/* ---- Bins ---- */

static ULONG RtlpBinOf(ULONG Units)
{
    ULONG High;

    if (Units < HEAP_EXACT_BINS) {
        return Units;
    }
    _BitScanReverse(&High, Units);
    return HEAP_EXACT_BINS + (High - 6) * 4 + (Units >> (High - 2) & 3);
}

static PLIST_ENTRY RtlpLinks(PHEAP_BLOCK Block)
{
    return (PLIST_ENTRY)(Block + 1);
}

static VOID RtlpIntoBin(PHEAP Heap, PHEAP_BLOCK Block)
{
    ULONG Bin = RtlpBinOf(Block->Units);

    if (Heap->Validates) {
        RtlFillMemory(RtlpLinks(Block) + 1, (Block->Units - MINIMUM_UNITS) * (SIZE_T)HEAP_UNIT, HEAP_FREE_FILL);
    }
    InsertHeadList(&Heap->Bin[Bin], RtlpLinks(Block));
    Heap->Filled[Bin / 64] |= 1ULL << Bin % 64;
}

static VOID RtlpOutOfBin(PHEAP Heap, PHEAP_BLOCK Block)
{
    ULONG Bin = RtlpBinOf(Block->Units);

    if (RemoveEntryList(RtlpLinks(Block))) {
        Heap->Filled[Bin / 64] &= ~(1ULL << Bin % 64);
    }
}

static PHEAP_BLOCK RtlpFirstFrom(PHEAP Heap, ULONG Bin)
{
    ULONG64 Word;
    ULONG Bit;

    for (ULONG Index = Bin / 64; Index < HEAP_BINS / 64; Index++) {
        Word = Heap->Filled[Index];
        if (Index == Bin / 64) {
            Word &= ~0ULL << Bin % 64;
        }
        if (_BitScanForward64(&Bit, Word)) {
            return (PHEAP_BLOCK)Heap->Bin[Index * 64 + Bit].Flink - 1;
        }
    }
    return NULL;
}

static PHEAP_BLOCK RtlpFindFree(PHEAP Heap, ULONG Units)
{
    ULONG Bin = RtlpBinOf(Units), Looked = 0;
    PLIST_ENTRY Head = &Heap->Bin[Bin];

    for (PLIST_ENTRY Entry = Head->Flink; Entry != Head && Looked < BIN_SCAN; Entry = Entry->Flink, Looked++) {
        if (((PHEAP_BLOCK)Entry - 1)->Units >= Units) {
            return (PHEAP_BLOCK)Entry - 1;
        }
    }
    return Bin + 1 < HEAP_BINS ? RtlpFirstFrom(Heap, Bin + 1) : NULL;
}

ULONG RtlpLargestFree(PHEAP Heap)
{
    ULONG Largest = 0;

    for (ULONG Bin = 0; Bin < HEAP_BINS; Bin++) {
        for (PLIST_ENTRY Entry = Heap->Bin[Bin].Flink; Entry != &Heap->Bin[Bin]; Entry = Entry->Flink) {
            Largest = max(Largest, ((PHEAP_BLOCK)Entry - 1)->Units);
        }
    }
    return Largest;
}

static BOOLEAN RtlpFillIntact(PHEAP_BLOCK Block)
{
    const ULONG64 *Word = (const ULONG64 *)(RtlpLinks(Block) + 1), *End = (const ULONG64 *)RtlpNextBlock(Block);

    while (Word < End && *Word == HEAP_FREE_FILL * 0x0101010101010101ULL) {
        Word++;
    }
    return Word == End;
}

/* ---- Joining ---- */

/* A block becomes free, joined with its neighbours if they are; returns what came of it, NULL: nothing, it is lost. */
static PHEAP_BLOCK RtlpFreeBlock(PHEAP Heap, PHEAP_BLOCK Block)
{
    PHEAP_BLOCK Next = RtlpNextBlock(Block), Before = Block - Block->Previous;

    if (!RtlpTrust(Heap, Next) || !RtlpTrust(Heap, Before)) {
        return NULL;
    }
    if (Next->State == HEAP_FREE) {
        RtlpOutOfBin(Heap, Next);
        Block->Units += Next->Units;
    }
    if (Before != Block && Before->State == HEAP_FREE) {
        RtlpSetBlock(Heap, Block, Block->Units, Block->Previous, HEAP_FREE); /* known as free if it is freed again */
        RtlpOutOfBin(Heap, Before);
        Before->Units += Block->Units;
        Block = Before;
    }
    RtlpSetBlock(Heap, Block, Block->Units, Block->Previous, HEAP_FREE);
    RtlpTellNext(Heap, Block);
    RtlpIntoBin(Heap, Block);
    return Block;
}

/* ---- Segments ---- */

static PHEAP_BLOCK RtlpEndMark(PHEAP_SEGMENT Segment)
{
    return (PHEAP_BLOCK)Segment->Committed - 1;
}

VOID RtlpAddSegment(PHEAP Heap, PHEAP_SEGMENT Segment, SIZE_T Used, SIZE_T Commit, SIZE_T Reserve)
{
    Segment->First = (PHEAP_BLOCK)((PUCHAR)Segment + ((Used + HEAP_UNIT - 1) & ~(SIZE_T)(HEAP_UNIT - 1)));
    Segment->Committed = (PUCHAR)Segment + Commit;
    Segment->Reserved = (PUCHAR)Segment + Reserve;
    RtlpSetBlock(Heap, Segment->First, (ULONG)(RtlpEndMark(Segment) - Segment->First), 0, HEAP_FREE);
    RtlpSetBlock(Heap, RtlpEndMark(Segment), 1, Segment->First->Units, HEAP_END);
    InsertHeadList(&Heap->Segments, &Segment->Link);
    RtlpIntoBin(Heap, Segment->First);
}

static PHEAP_SEGMENT RtlpSegmentOf(PHEAP Heap, PVOID Address)
{
    for (PLIST_ENTRY Entry = Heap->Segments.Flink; Entry != &Heap->Segments; Entry = Entry->Flink) {
        PHEAP_SEGMENT Segment = CONTAINING_RECORD(Entry, HEAP_SEGMENT, Link);

        if ((PUCHAR)Address >= (PUCHAR)Segment->First && (PUCHAR)Address < Segment->Committed) {
            return Segment;
        }
    }
    return NULL;
}

BOOLEAN RtlpInSegments(PHEAP Heap, PVOID Address)
{
    return RtlpSegmentOf(Heap, Address) != NULL;
}

static BOOLEAN RtlpIsEmpty(PHEAP_SEGMENT Segment)
{
    return Segment->First->State == HEAP_FREE && RtlpNextBlock(Segment->First) == RtlpEndMark(Segment);
}

/* Commits room for Units behind the end mark, which becomes a free block. */
static BOOLEAN RtlpExtend(PHEAP Heap, PHEAP_SEGMENT Segment, ULONG Units)
{
    SIZE_T Bytes = ((SIZE_T)Units * HEAP_UNIT + COMMIT_STEP - 1) & ~(SIZE_T)(COMMIT_STEP - 1);
    PHEAP_BLOCK Block = RtlpEndMark(Segment);
    PVOID Base = Segment->Committed;

    if ((SIZE_T)(Segment->Reserved - Segment->Committed) < Bytes || !RtlpTrust(Heap, Block) ||
        !NT_SUCCESS(NtAllocateVirtualMemory(ZwCurrentProcess(), &Base, 0, &Bytes, MEM_COMMIT, PAGE_READWRITE))) {
        return FALSE;
    }
    Segment->Committed += Bytes;
    RtlpSetBlock(Heap, Block, (ULONG)(Bytes / HEAP_UNIT), Block->Previous, HEAP_BUSY);
    RtlpSetBlock(Heap, RtlpEndMark(Segment), 1, Block->Units, HEAP_END);
    RtlpFreeBlock(Heap, Block);
    return TRUE;
}

static BOOLEAN RtlpGrow(PHEAP Heap, ULONG Units)
{
    SIZE_T Reserve = Heap->NextReserve, Commit = ((SIZE_T)Units + 8) * HEAP_UNIT; /* segment, end mark */
    PHEAP_SEGMENT Segment = CONTAINING_RECORD(Heap->Segments.Flink, HEAP_SEGMENT, Link);

    if (RtlpExtend(Heap, Segment, Units)) {
        return TRUE;
    }
    Commit = (Commit + COMMIT_STEP - 1) & ~(SIZE_T)(COMMIT_STEP - 1);
    Segment = Reserve == 0 || Heap->Damage != NULL ? NULL : RtlpTakePages(Reserve, Commit);
    if (Segment == NULL) {
        return FALSE;
    }
    RtlpAddSegment(Heap, Segment, sizeof(*Segment), Commit, Reserve);
    Heap->NextReserve = min(Reserve * 2, (SIZE_T)LARGEST_RESERVE);
    return TRUE;
}

/* An empty segment goes back if another empty one is kept already. */
static VOID RtlpReleaseEmpty(PHEAP Heap, PHEAP_BLOCK Block)
{
    PHEAP_SEGMENT Segment = RtlpSegmentOf(Heap, Block);

    if (Segment == NULL || Segment->First != Block || (PVOID)Segment == (PVOID)PAGE_ALIGN(Heap) ||
        Segment == Heap->Spare) {
        return;
    }
    if (Heap->Spare == NULL || !RtlpIsEmpty(Heap->Spare)) {
        Heap->Spare = Segment;
        return;
    }
    RtlpOutOfBin(Heap, Block);
    RemoveEntryList(&Segment->Link);
    RtlpGivePages(Segment);
}

/* ---- Blocks ---- */

/* What is more than Units becomes a free block, if it can be one. The block's neighbours are in use, or it was free itself. */
static VOID RtlpSplit(PHEAP Heap, PHEAP_BLOCK Block, ULONG Units)
{
    ULONG Rest = Block->Units - Units;
    PHEAP_BLOCK New = Block + Units;

    if (Rest < MINIMUM_UNITS || !RtlpTrust(Heap, RtlpNextBlock(Block))) {
        return;
    }
    Block->Units = Units;
    RtlpSeal(Heap, Block);
    RtlpSetBlock(Heap, New, Rest, Units, HEAP_BUSY);
    RtlpTellNext(Heap, New);
    RtlpFreeBlock(Heap, New);
}

PHEAP_BLOCK RtlpTakeBlock(PHEAP Heap, ULONG Units)
{
    PHEAP_BLOCK Block = RtlpFindFree(Heap, max(Units, MINIMUM_UNITS));

    if (Block == NULL && RtlpGrow(Heap, Units)) {
        Block = RtlpFindFree(Heap, max(Units, MINIMUM_UNITS));
    }
    if (Block == NULL || !RtlpTrust(Heap, Block)) {
        return NULL;
    }
    if (Heap->Validates && !RtlpFillIntact(Block)) {
        RtlpDamaged(Heap, Block + 1, "a free block was written to");
        return NULL;
    }
    RtlpOutOfBin(Heap, Block);
    Block->State = HEAP_BUSY;
    RtlpSplit(Heap, Block, max(Units, MINIMUM_UNITS));
    RtlpSeal(Heap, Block);
    return Block;
}

VOID RtlpGiveBlock(PHEAP Heap, PHEAP_BLOCK Block)
{
    Block = RtlpFreeBlock(Heap, Block);
    if (Block != NULL && Block->Previous == 0 && RtlpNextBlock(Block)->State == HEAP_END) {
        RtlpReleaseEmpty(Heap, Block);
    }
}

BOOLEAN RtlpResizeBlock(PHEAP Heap, PHEAP_BLOCK Block, ULONG Units)
{
    PHEAP_BLOCK Next = RtlpNextBlock(Block);

    if (Units > Block->Units) {
        if (!RtlpTrust(Heap, Next) || Next->State != HEAP_FREE || Block->Units + Next->Units < Units) {
            return FALSE;
        }
        RtlpOutOfBin(Heap, Next);
        Block->Units += Next->Units;
        RtlpTellNext(Heap, Block);
    }
    RtlpSplit(Heap, Block, Units);
    RtlpSeal(Heap, Block);
    return TRUE;
}

/* ---- Validation ---- */

BOOLEAN RtlpTailIntact(PHEAP_BLOCK Block)
{
    PUCHAR End = (PUCHAR)RtlpNextBlock(Block), Byte = End - Block->Slack;

    while (Byte < End && *Byte == HEAP_TAIL_FILL) {
        Byte++;
    }
    return Byte == End;
}

static BOOLEAN RtlpValidState(PHEAP Heap, PHEAP_BLOCK Block)
{
    switch (Block->State) {
    case HEAP_BUSY:
        return Block->Slack != 0 && RtlpTailIntact(Block);
    case HEAP_FREE:
        return !Heap->Validates || RtlpFillIntact(Block);
    default:
        return Block->State == HEAP_CACHED;
    }
}

static BOOLEAN RtlpValidSegment(PHEAP Heap, PHEAP_SEGMENT Segment, PULONG Free)
{
    PHEAP_BLOCK Block = Segment->First, End = RtlpEndMark(Segment);
    ULONG Previous = 0;

    while (Block < End) {
        if (!RtlpSealed(Heap, Block) || Block->Previous != Previous || Block->Units < MINIMUM_UNITS ||
            Block->Units > (ULONG_PTR)(End - Block) || !RtlpValidState(Heap, Block)) {
            return FALSE;
        }
        *Free += Block->State == HEAP_FREE;
        Previous = Block->Units;
        Block += Block->Units;
    }
    return RtlpSealed(Heap, End) && End->State == HEAP_END && End->Previous == Previous;
}

BOOLEAN RtlpValidateBlocks(PHEAP Heap)
{
    ULONG Free = 0;

    for (PLIST_ENTRY Entry = Heap->Segments.Flink; Entry != &Heap->Segments; Entry = Entry->Flink) {
        if (!RtlpValidSegment(Heap, CONTAINING_RECORD(Entry, HEAP_SEGMENT, Link), &Free)) {
            return FALSE;
        }
    }
    for (ULONG Bin = 0; Bin < HEAP_BINS; Bin++) {
        for (PLIST_ENTRY Entry = Heap->Bin[Bin].Flink; Entry != &Heap->Bin[Bin]; Entry = Entry->Flink) {
            PHEAP_BLOCK Block = (PHEAP_BLOCK)Entry - 1;

            if (Free == 0 || !RtlpSealed(Heap, Block) || Block->State != HEAP_FREE || RtlpBinOf(Block->Units) != Bin) {
                return FALSE;
            }
            Free--;
        }
    }
    return Free == 0;
}
