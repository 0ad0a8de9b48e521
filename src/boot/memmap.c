/*
 * memmap.c - normalises memory maps, and hands out pages of the result.
 *
 * Firmware maps are data from outside: ranges overlap, come unsorted, start in the middle of a page, have no length or
 * wrap around. The method does not trust any of that: all start and end addresses are sorted; between two neighbours
 * nothing changes, so each elementary interval has one type, the highest-ranking one that covers it. The intervals are
 * then cut into pages. A page whose bytes are not all of one type takes the highest rank among them, and a page that is partly
 * a hole is never RAM: so RAM rounds inward and reserved ranges outward, yet two RAM ranges that meet inside a page
 * still give that page.
 *
 * Cost: O(n^2) in the number of ranges with a tiny constant; firmware reports some hundred at most. No memory but the
 * caller's. Shared with host tests; must stay free of hardware and of 64-bit division (there is no runtime library).
 */
#include "memmap.h"

#define PAGE_SHIFT 12
#define PAGE_BYTES (1ULL << PAGE_SHIFT)

/* Where ranges overlap the higher rank wins. What the loader places lies in free RAM only, just above it. */
static const uint8_t TypeRank[LoaderMemoryTypeMax] = {
    [LoaderFree] = 1,        [LoaderTemporary] = 2, [LoaderBootStack] = 2,
    [LoaderBlockMemory] = 2, [LoaderPageTable] = 2, [LoaderKernelImage] = 2,
    [LoaderAcpiReclaim] = 3, [LoaderAcpiNvs] = 4,   [LoaderFirmwareRuntime] = 5,
    [LoaderBad] = 6,         [LoaderReserved] = 7,  [LoaderFramebuffer] = 8,
};

typedef struct _BUILDER {
    LOADER_MEMORY_DESCRIPTOR *Out;
    uint32_t Count;
    uint32_t Capacity;
    uint32_t Overflow;
    /* The page being gathered because no interval covers it alone. */
    uint64_t Page;
    uint32_t PageType;  /* highest-ranking type seen in it, 0: none */
    uint32_t PageBytes; /* covered so far */
} BUILDER;

static uint32_t Higher(uint32_t A, uint32_t B)
{
    uint32_t RankA = A != 0 ? TypeRank[A] : 0;
    uint32_t RankB = B != 0 ? TypeRank[B] : 0;

    return RankB > RankA ? B : A;
}

static int IsRam(uint32_t Type)
{
    return TypeRank[Type] <= TypeRank[LoaderAcpiReclaim];
}

static void Emit(BUILDER *Builder, uint64_t Page, uint64_t Pages, uint32_t Type)
{
    LOADER_MEMORY_DESCRIPTOR *Last = Builder->Count != 0 ? &Builder->Out[Builder->Count - 1] : 0;

    if (IsRam(Type)) {
        if (Page >= MEMMAP_FRAME_LIMIT) {
            return;
        }
        if (Pages > MEMMAP_FRAME_LIMIT - Page) {
            Pages = MEMMAP_FRAME_LIMIT - Page;
        }
    }
    if (Last != 0 && Last->Type == Type && Last->BasePage + Last->PageCount == Page) {
        Last->PageCount += Pages;
    } else if (Builder->Count == Builder->Capacity) {
        Builder->Overflow = 1;
    } else {
        Builder->Out[Builder->Count++] = (LOADER_MEMORY_DESCRIPTOR){Page, Pages, Type, 0};
    }
}

static void FlushPartialPage(BUILDER *Builder)
{
    uint32_t Type = Builder->PageType;

    if (Builder->PageBytes != 0) {
        if (Builder->PageBytes == PAGE_BYTES || !IsRam(Type)) {
            Emit(Builder, Builder->Page, 1, Type);
        } else if (Type == LoaderAcpiReclaim) {
            Emit(Builder, Builder->Page, 1, LoaderReserved); /* holds tables but can never become free RAM */
        }
    }
    Builder->PageBytes = 0;
    Builder->PageType = 0;
}

static void AddInterval(BUILDER *Builder, uint64_t Base, uint64_t End, uint32_t Type)
{
    while (Base < End) {
        uint64_t Page = Base >> PAGE_SHIFT;
        uint64_t PageEnd = (Page + 1) << PAGE_SHIFT;

        if (Builder->PageBytes != 0 && Builder->Page != Page) {
            FlushPartialPage(Builder);
        }
        if ((Base & (PAGE_BYTES - 1)) == 0 && End >= PageEnd) {
            Emit(Builder, Page, (End - Base) >> PAGE_SHIFT, Type);
            Base = End & ~(PAGE_BYTES - 1);
        } else {
            uint64_t Stop = End < PageEnd ? End : PageEnd;

            Builder->Page = Page;
            Builder->PageType = Higher(Builder->PageType, Type);
            Builder->PageBytes += (uint32_t)(Stop - Base);
            Base = Stop;
        }
    }
}

/* The range's end, or 0 when the range says nothing: empty, beyond the address space, RAM that wraps around. */
static uint64_t RangeEnd(const MEMORY_RANGE *Range)
{
    uint64_t End = Range->Base + Range->Length;

    if (Range->Length == 0 || Range->Base >= MEMMAP_PHYSICAL_END || Range->Type == 0 ||
        Range->Type >= LoaderMemoryTypeMax) {
        return 0;
    }
    if (End < Range->Base) {
        return IsRam(Range->Type) ? 0 : MEMMAP_PHYSICAL_END;
    }
    return End < MEMMAP_PHYSICAL_END ? End : MEMMAP_PHYSICAL_END;
}

static void SortAscending(uint64_t *Values, uint32_t Count)
{
    for (uint32_t Next = 1; Next < Count; Next++) {
        uint64_t Value = Values[Next];
        uint32_t Slot = Next;

        for (; Slot != 0 && Values[Slot - 1] > Value; Slot--) {
            Values[Slot] = Values[Slot - 1];
        }
        Values[Slot] = Value;
    }
}

uint32_t MemNormalize(const MEMORY_RANGE *Ranges, uint32_t Count, uint64_t *Scratch, LOADER_MEMORY_DESCRIPTOR *Out,
                      uint32_t Capacity)
{
    BUILDER Builder = {.Out = Out, .Capacity = Capacity};
    uint32_t Edges = 0;

    for (uint32_t Index = 0; Index < Count; Index++) {
        uint64_t End = RangeEnd(&Ranges[Index]);

        if (End != 0) {
            Scratch[Edges++] = Ranges[Index].Base;
            Scratch[Edges++] = End;
        }
    }
    SortAscending(Scratch, Edges);
    for (uint32_t Edge = 0; Edge + 1 < Edges; Edge++) {
        uint32_t Type = 0;

        if (Scratch[Edge] == Scratch[Edge + 1]) {
            continue;
        }
        for (uint32_t Index = 0; Index < Count; Index++) {
            if (Ranges[Index].Base <= Scratch[Edge] && Scratch[Edge] < RangeEnd(&Ranges[Index])) {
                Type = Higher(Type, Ranges[Index].Type);
            }
        }
        if (Type != 0) {
            AddInterval(&Builder, Scratch[Edge], Scratch[Edge + 1], Type);
        }
    }
    FlushPartialPage(&Builder);
    return Builder.Overflow ? MEMMAP_OVERFLOW : Builder.Count;
}

static void RemoveEntry(LOADER_MEMORY_DESCRIPTOR *Map, uint32_t *Count, uint32_t Index)
{
    for (*Count -= 1; Index < *Count; Index++) {
        Map[Index] = Map[Index + 1];
    }
}

/* Gives the last Pages pages of Map[Index], which may be all of it, to Type; the successor of that type absorbs them. */
static int TakeFromTop(LOADER_MEMORY_DESCRIPTOR *Map, uint32_t *Count, uint32_t Capacity, uint32_t Index,
                       uint64_t Pages, uint32_t Type)
{
    LOADER_MEMORY_DESCRIPTOR *Entry = &Map[Index];
    uint64_t First = Entry->BasePage + Entry->PageCount - Pages;
    LOADER_MEMORY_DESCRIPTOR *Next = Index + 1 < *Count ? Entry + 1 : 0;

    if (Next != 0 && Next->Type == Type && Next->BasePage == First + Pages) {
        Next->BasePage = First;
        Next->PageCount += Pages;
        Entry->PageCount -= Pages;
    } else {
        if (*Count == Capacity) {
            return 0;
        }
        for (uint32_t Move = (*Count)++; Move > Index + 1; Move--) {
            Map[Move] = Map[Move - 1];
        }
        Map[Index + 1] = (LOADER_MEMORY_DESCRIPTOR){First, Pages, Type, 0};
        Entry->PageCount -= Pages;
    }
    if (Entry->PageCount == 0) {
        RemoveEntry(Map, Count, Index);
        if (Index != 0 && Map[Index - 1].Type == Type &&
            Map[Index - 1].BasePage + Map[Index - 1].PageCount == Map[Index].BasePage) {
            Map[Index - 1].PageCount += Map[Index].PageCount;
            RemoveEntry(Map, Count, Index);
        }
    }
    return 1;
}

/* Splits Map[Index] so that it ends at LimitPage and the rest follows as a descriptor of its own. */
static int SplitAt(LOADER_MEMORY_DESCRIPTOR *Map, uint32_t *Count, uint32_t Capacity, uint32_t Index,
                   uint64_t LimitPage)
{
    LOADER_MEMORY_DESCRIPTOR Rest = Map[Index];

    if (*Count == Capacity) {
        return 0;
    }
    Rest.PageCount -= LimitPage - Rest.BasePage;
    Rest.BasePage = LimitPage;
    for (uint32_t Move = (*Count)++; Move > Index + 1; Move--) {
        Map[Move] = Map[Move - 1];
    }
    Map[Index].PageCount -= Rest.PageCount;
    Map[Index + 1] = Rest;
    return 1;
}

uint64_t MemAllocate(LOADER_MEMORY_DESCRIPTOR *Map, uint32_t *Count, uint32_t Capacity, uint64_t Pages,
                     uint64_t LimitPage, uint32_t Type)
{
    for (uint32_t Index = *Count; Index-- != 0;) {
        LOADER_MEMORY_DESCRIPTOR *Entry = &Map[Index];
        uint64_t End = Entry->BasePage + Entry->PageCount;
        uint64_t Usable = End < LimitPage ? End : LimitPage;

        if (Entry->Type != LoaderFree || Usable <= Entry->BasePage || Usable - Entry->BasePage < Pages) {
            continue;
        }
        /* A split leaves two free neighbours, so the map is no longer merged there: the upper one stays free RAM above the limit. */
        if (Usable < End && !SplitAt(Map, Count, Capacity, Index, LimitPage)) {
            return 0;
        }
        if (!TakeFromTop(Map, Count, Capacity, Index, Pages, Type)) {
            return 0;
        }
        return Usable - Pages;
    }
    return 0;
}
