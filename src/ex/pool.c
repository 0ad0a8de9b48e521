/*
 * pool.c - nonpaged and paged pool.
 *
 * Small blocks come from pages cut into one of some 20 sizes; a request is rounded up to its size by a table, and taking
 * or giving a block is a push or pop on its page's free list: constant time. Larger requests are runs of whole pages
 * from Mm. Each processor keeps some free blocks of the smaller sizes for itself (poolcache.c). A page that becomes empty goes back to Mm, except one a size, so that a caller that allocates
 * and frees one block does not map and unmap a page each time; ExTrimPool returns those too.
 *
 * Each small block has a header: tag, size, and a check word that binds both to the address. A free whose
 * header does not match is a bug check that names the tag, in both flavours. The chk flavour also fills fresh memory
 * with 0xCD, freed memory with 0xDD (and looks whether it is still 0xDD when it is taken again), and the bytes from the end of a
 * request to the end of its block with 0xFD; and it keeps who allocated each block (poolcheck.c).
 *
 * Locks: one spin lock a size and pool (DISPATCH_LEVEL), outside Mm's range and PFN locks but never held across a call to Mm.
 * IRQL <= DISPATCH_LEVEL for nonpaged, <= APC_LEVEL for paged pool. Never waits: shortage is NULL.
 */
#include "poolp.h"

#if NT_CHK
#define EXP_CALLER(Block) ((Block)->Caller)
#else
#define EXP_CALLER(Block) NULL
#endif

const USHORT ExpSizes[EXP_CLASSES] = EXP_SIZES;
EXP_CLASS ExpClasses[2][EXP_CLASSES];
VF_NAME_LOCK(ExpClasses, "EXP_CLASS.Lock");
static UCHAR ExpClassOfSize[EXP_LARGEST_BLOCK / 16 + 1];
volatile EX_POOL_USE ExpUse[2];

/* Tags are counted in a table with linear probing; one that finds no place is counted with the last entry. */
#define EXP_TAGS EX_POOL_TAGS /* distinct tags of a system of this size: about 60 */
static volatile EX_POOL_TAG ExpTags[EXP_TAGS];

/* ---- Counting ---- */

static volatile EX_POOL_TAG *ExpFindTag(ULONG Tag)
{
    ULONG Slot = (Tag * 0x9E3779B1u) >> 24; /* top bits of a golden-ratio product: tags differ in few low bits */

    for (ULONG Probe = 0; Probe < EXP_TAGS - 1; Probe++) {
        volatile EX_POOL_TAG *Entry = &ExpTags[(Slot + Probe) % (EXP_TAGS - 1)];
        ULONG Seen = Entry->Tag;

        if (Seen == 0) {
            Seen = (ULONG)InterlockedCompareExchange((volatile LONG *)&Entry->Tag, (LONG)Tag, 0);
        }
        if (Seen == 0 || Seen == Tag) {
            return Entry;
        }
    }
    ExpTags[EXP_TAGS - 1].Tag = 'lfvO';
    return &ExpTags[EXP_TAGS - 1];
}

VOID ExpCountAllocation(BOOLEAN Paged, ULONG Tag, SIZE_T Bytes)
{
    volatile EX_POOL_TAG *Entry = ExpFindTag(Tag);
    LONG64 Now = InterlockedAdd64((volatile LONG64 *)&ExpUse[Paged].Bytes, (LONG64)Bytes);

    InterlockedIncrement64((volatile LONG64 *)&Entry->Allocations);
    InterlockedAdd64((volatile LONG64 *)&Entry->Bytes, (LONG64)Bytes);
    InterlockedIncrement64((volatile LONG64 *)&ExpUse[Paged].Allocations);
    if ((ULONG64)Now > ExpUse[Paged].PeakBytes) {
        ExpUse[Paged].PeakBytes = (ULONG64)Now; /* a race loses a maximum that another processor exceeded */
    }
}

VOID ExpCountFree(BOOLEAN Paged, ULONG Tag, SIZE_T Bytes)
{
    volatile EX_POOL_TAG *Entry = ExpFindTag(Tag);

    InterlockedIncrement64((volatile LONG64 *)&Entry->Frees);
    InterlockedAdd64((volatile LONG64 *)&Entry->Bytes, -(LONG64)Bytes);
    InterlockedIncrement64((volatile LONG64 *)&ExpUse[Paged].Frees);
    InterlockedAdd64((volatile LONG64 *)&ExpUse[Paged].Bytes, -(LONG64)Bytes);
}

/* ---- Checks ---- */

static ULONG64 ExpCheckWord(const EXP_BLOCK *Block)
{
    return ((ULONG64)Block ^ 0xA5C35A3CF0E1D2B4ULL) + ((ULONG64)Block->Tag << 32) + (Block->Size & EXP_BYTES);
}

static SIZE_T ExpBlockRoom(const EXP_PAGE *Page)
{
    return ExpSizes[Page->Class] - sizeof(EXP_BLOCK);
}

/* The page of a small block; NULL if Address cannot be one. */
static PEXP_PAGE ExpPageOf(PVOID Address)
{
    PEXP_PAGE Page = PAGE_ALIGN(Address);
    SIZE_T Offset = BYTE_OFFSET(Address);

    if (!MmIsAddressValid(Page) || Page->Magic != EXP_PAGE_MAGIC || Page->Class >= EXP_CLASSES ||
        Offset < sizeof(EXP_PAGE) + sizeof(EXP_BLOCK) ||
        (Offset - sizeof(EXP_PAGE) - sizeof(EXP_BLOCK)) % ExpSizes[Page->Class] != 0) {
        return NULL;
    }
    return Page;
}

/* ---- Small blocks ---- */

static PEXP_PAGE ExpNewPage(BOOLEAN Paged, ULONG Class)
{
    PEXP_PAGE Page = MmAllocatePoolPages(Paged, MM_PAGE_SIZE, EXP_TAG_PAGE, FALSE);

    if (Page == NULL) {
        return NULL;
    }
    RtlZeroMemory(Page, sizeof(*Page));
    Page->Magic = EXP_PAGE_MAGIC;
    Page->Class = (USHORT)Class;
    Page->Total = (USHORT)((MM_PAGE_SIZE - sizeof(EXP_PAGE)) / ExpSizes[Class]);
    Page->Untouched = Page->Total;
    Page->Paged = Paged;
    InterlockedIncrement64((volatile LONG64 *)&ExpUse[Paged].Pages);
    return Page;
}

static VOID ExpFreePage(PEXP_PAGE Page)
{
    InterlockedDecrement64((volatile LONG64 *)&ExpUse[Page->Paged].Pages);
    Page->Magic = 0;
    MmFreePoolPages(Page);
}

/* A free block of a page that has one. Locks: the class's. */
static PEXP_BLOCK ExpTakeBlock(PEXP_PAGE Page)
{
    PEXP_BLOCK Block = Page->FreeList;

    if (Block != NULL) {
        if (Block->Size != EXP_FREE ||
            (NT_CHK && !ExpIsFilled((PUCHAR)(Block + 1), ExpBlockRoom(Page), EXP_FILL_FREE))) {
            ExpBadBlock(BAD_POOL_HEADER, 0x20, Block + 1, Block->Tag, "written to after it was freed",
                        EXP_CALLER(Block));
        }
        Page->FreeList = Block->Next;
    } else {
        ASSERT(Page->Untouched != 0);
        Block = (PEXP_BLOCK)((PUCHAR)(Page + 1) + (Page->Total - Page->Untouched) * ExpSizes[Page->Class]);
        Block->Size = EXP_FREE; /* until its header is filled: searches may come by */
        Page->Untouched--;
    }
    Page->Used++;
    return Block;
}

static BOOLEAN ExpPageIsFull(const EXP_PAGE *Page)
{
    return Page->Used == Page->Total;
}

/* A free block of this class, from any page; NULL: a page must be made first. Locks: the class's. */
static PEXP_BLOCK ExpTakeFromClass(PEXP_CLASS Class)
{
    PEXP_PAGE Page;
    PEXP_BLOCK Block;

    if (IsListEmpty(&Class->Partial)) {
        if (Class->Empty == NULL) {
            return NULL;
        }
        InsertHeadList(&Class->Partial, &Class->Empty->Link);
        Class->Empty = NULL;
    }
    Page = CONTAINING_RECORD(Class->Partial.Flink, EXP_PAGE, Link);
    Block = ExpTakeBlock(Page);
    if (ExpPageIsFull(Page)) {
        RemoveEntryList(&Page->Link);
    }
    return Block;
}

/* From the pages that all processors share; NULL: memory is short. */
static PEXP_BLOCK ExpTakeShared(BOOLEAN Paged, ULONG ClassIndex)
{
    PEXP_CLASS Class = &ExpClasses[Paged][ClassIndex];
    PEXP_BLOCK Block;
    KIRQL Irql;

    KeAcquireSpinLock(&Class->Lock, &Irql);
    Block = ExpTakeFromClass(Class);
    while (Block == NULL) {
        PEXP_PAGE Page;

        KeReleaseSpinLock(&Class->Lock, Irql);
        Page = ExpNewPage(Paged, ClassIndex);
        if (Page == NULL) {
            return NULL;
        }
        KeAcquireSpinLock(&Class->Lock, &Irql);
        InsertHeadList(&Class->Partial, &Page->Link);
#if NT_CHK
        InsertHeadList(&Class->All, &Page->AllLink);
#endif
        Block = ExpTakeFromClass(Class);
    }
    KeReleaseSpinLock(&Class->Lock, Irql);
    return Block;
}

/* A kept block is as it was when it was freed, but for the link in its first words. */
static VOID ExpCheckKept(const EXP_BLOCK *Block, SIZE_T Room)
{
    const UCHAR *Memory = (const UCHAR *)(Block + 1) + sizeof(PVOID);

    if (Block->Size != EXP_FREE || (NT_CHK && !ExpIsFilled(Memory, Room - sizeof(PVOID), EXP_FILL_FREE))) {
        ExpBadBlock(BAD_POOL_HEADER, 0x20, (PVOID)(Block + 1), Block->Tag, "written to after it was freed",
                    EXP_CALLER(Block));
    }
}

static PVOID ExpAllocateSmall(BOOLEAN Paged, ULONG ClassIndex, SIZE_T Bytes, ULONG Tag, BOOLEAN Zero, PVOID Site)
{
    SIZE_T Room = ExpSizes[ClassIndex] - sizeof(EXP_BLOCK);
    PEXP_BLOCK Block = ExpTakeKept(Paged, ClassIndex);

    if (Block != NULL) {
        ExpCheckKept(Block, Room);
    } else {
        Block = ExpTakeShared(Paged, ClassIndex);
    }
    if (Block == NULL) {
        return NULL;
    }
#if NT_CHK
    Block->Caller = Site;
    Block->Stack = 0;
#endif
    Block->Tag = Tag;
    _ReadWriteBarrier(); /* a search for blocks sees an owner first, then that there is a block */
    Block->Size = (ULONG)Bytes;
    Block->Check = ExpCheckWord(Block);
    if (Zero) {
        RtlZeroMemory(Block + 1, Bytes);
    } else if (NT_CHK) {
        RtlFillMemory(Block + 1, Bytes, EXP_FILL_FRESH);
    }
    if (NT_CHK) {
        RtlFillMemory((PUCHAR)(Block + 1) + Bytes, Room - Bytes, EXP_FILL_TAIL);
    }
#if NT_CHK
    Block->Stack = ExpKeepStack(Site);
#endif
    return Block + 1;
}

/* A page that will be freed leaves the list of all. Locks: the class's. */
static VOID ExpForgetPage(PEXP_PAGE Page)
{
#if NT_CHK
    if (Page != NULL) {
        RemoveEntryList(&Page->AllLink);
    }
#endif
}

/* Puts a block back; returns a page to free, or NULL. Locks: the class's. */
static PEXP_PAGE ExpGiveBlock(PEXP_CLASS Class, PEXP_PAGE Page, PEXP_BLOCK Block)
{
    PEXP_PAGE Spare = NULL;

    if (ExpPageIsFull(Page)) {
        InsertTailList(&Class->Partial, &Page->Link);
    }
    Block->Size = EXP_FREE;
    Block->Next = Page->FreeList;
    Page->FreeList = Block;
    if (--Page->Used == 0) {
        RemoveEntryList(&Page->Link);
        Spare = Class->Empty;
        Class->Empty = Page;
        ExpForgetPage(Spare);
    }
    return Spare;
}

VOID ExpReturnBlock(PEXP_BLOCK Block)
{
    PEXP_PAGE Page = PAGE_ALIGN(Block), Spare;
    PEXP_CLASS Class = &ExpClasses[Page->Paged][Page->Class];
    KIRQL Irql;

    KeAcquireSpinLock(&Class->Lock, &Irql);
    Spare = ExpGiveBlock(Class, Page, Block);
    KeReleaseSpinLock(&Class->Lock, Irql);
    if (Spare != NULL) {
        ExpFreePage(Spare);
    }
}

static VOID ExpFreeSmall(PVOID Address, ULONG Tag, PVOID Site)
{
    PEXP_PAGE Page = ExpPageOf(Address);
    PEXP_BLOCK Block = (PEXP_BLOCK)Address - 1;

    if (Page == NULL) {
        ExpBadBlock(BAD_POOL_CALLER, 0x46, Address, Tag, "freed, but not a pool block", NULL);
    }
    if (Block->Size == EXP_FREE) {
        ExpBadBlock(BAD_POOL_CALLER, 7, Address, Block->Tag, "freed twice; first by the one below", EXP_CALLER(Block));
    }
    if (Block->Check != ExpCheckWord(Block)) {
        ExpBadBlock(BAD_POOL_HEADER, 0x20, Address, Block->Tag, "header overwritten", NULL);
    }
    if (Tag != 0 && Tag != Block->Tag) {
        ExpBadBlock(BAD_POOL_CALLER, 0x0A, Address, Block->Tag, "freed with another tag", EXP_CALLER(Block));
    }
    if ((Block->Size & EXP_QUOTA) != 0) {
        Block->Size &= EXP_BYTES;
        ExpReturnBlockQuota(Address);
    }
    if (NT_CHK) {
        if (!ExpIsFilled((PUCHAR)Address + Block->Size, ExpBlockRoom(Page) - Block->Size, EXP_FILL_TAIL)) {
            ExpBadBlock(BAD_POOL_HEADER, 0x21, Address, Block->Tag, "written to past its end", EXP_CALLER(Block));
        }
    }
    ExpCountFree(Page->Paged, Block->Tag, Block->Size);
    VfFreeMemory(Address, Block->Size);
    if (NT_CHK) {
        RtlFillMemory(Address, ExpBlockRoom(Page), EXP_FILL_FREE);
    }
#if NT_CHK
    Block->Caller = Site;
    Block->Stack = 0;
#endif
    Block->Size = EXP_FREE;
    if (!ExpKeepBlock(Page->Paged, Page->Class, Block)) {
        ExpReturnBlock(Block);
    }
}

/* ---- Runs of pages ---- */

static PVOID ExpAllocateLarge(BOOLEAN Paged, SIZE_T Bytes, ULONG Tag, BOOLEAN Zero, PVOID Site)
{
    SIZE_T Whole = ROUND_TO_PAGES(Bytes);
    PUCHAR Memory = Whole < Bytes ? NULL : MmAllocatePoolPages(Paged, Bytes, Tag, Zero);

    if (Memory == NULL) {
        return NULL;
    }
    InterlockedAdd64((volatile LONG64 *)&ExpUse[Paged].Pages, (LONG64)(Whole / MM_PAGE_SIZE));
    if (NT_CHK) {
        if (!Zero) {
            RtlFillMemory(Memory, Bytes, EXP_FILL_FRESH);
        }
        RtlFillMemory(Memory + Bytes, Whole - Bytes, EXP_FILL_TAIL);
    }
#if NT_CHK
    ExpEnterRun(Memory, Site);
#endif
    return Memory;
}

static VOID ExpFreeLarge(PVOID Address, ULONG Tag)
{
    SIZE_T Bytes;
    ULONG RunTag;
    BOOLEAN Paged;

    if (!MmQueryPoolPages(Address, &Bytes, &RunTag, &Paged) || RunTag == EXP_TAG_PAGE) {
        ExpBadBlock(BAD_POOL_CALLER, 7, Address, Tag, "freed, but not (or no longer) allocated", NULL);
    }
    if (Tag != 0 && Tag != RunTag) {
        ExpBadBlock(BAD_POOL_CALLER, 0x0A, Address, RunTag, "freed with another tag", NULL);
    }
    if (NT_CHK && !ExpIsFilled((PUCHAR)Address + Bytes, ROUND_TO_PAGES(Bytes) - Bytes, EXP_FILL_TAIL)) {
        ExpBadBlock(BAD_POOL_HEADER, 0x21, Address, RunTag, "written to past its end", NULL);
    }
    if (ExpQuotaBlocks != 0) {
        ExpReturnBlockQuota(Address);
    }
#if NT_CHK
    ExpRemoveRun(Address);
#endif
    ExpCountFree(Paged, RunTag, Bytes);
    VfFreeMemory(Address, Bytes);
    InterlockedAdd64((volatile LONG64 *)&ExpUse[Paged].Pages, -(LONG64)(ROUND_TO_PAGES(Bytes) / MM_PAGE_SIZE));
    MmFreePoolPages(Address);
}

/* ---- Entry points ---- */

/* The class for a request, or EXP_CLASSES: whole pages. */
static ULONG ExpClassFor(POOL_TYPE PoolType, SIZE_T Bytes)
{
    ULONG Class;

    if (Bytes > EXP_LARGEST_SMALL) {
        return EXP_CLASSES;
    }
    Class = ExpClassOfSize[(Bytes + sizeof(EXP_BLOCK) + 15) / 16];
    if (PoolType & NonPagedPoolCacheAligned) {
        while (Class < EXP_CLASSES && ExpSizes[Class] % SYSTEM_CACHE_ALIGNMENT_SIZE != 0) {
            Class++;
        }
    }
    return Class;
}

PVOID ExpAllocate(POOL_TYPE PoolType, SIZE_T Bytes, ULONG Tag, PVOID Site)
{
    BOOLEAN Paged = (PoolType & 1) != 0, Zero = (PoolType & POOL_ZERO_ALLOCATION) != 0;
    ULONG Class = ExpClassFor(PoolType, Bytes);
    PVOID Memory;

    ASSERT_IRQL_MAX(Paged ? APC_LEVEL : DISPATCH_LEVEL);
    ASSERT(Tag != 0);
    if (ExInjectPoolFault(Site)) {
        Memory = NULL;
    } else if (NT_CHK && ExpSpecialTag != 0 && (ExpSpecialTag == '*' || ExpSpecialTag == Tag)) {
        Memory = ExpAllocateSpecial(Paged, Bytes, Tag, Site);
    } else if (Class < EXP_CLASSES) {
        Memory = ExpAllocateSmall(Paged, Class, Bytes, Tag, Zero, Site);
    } else {
        Memory = ExpAllocateLarge(Paged, Bytes, Tag, Zero, Site);
    }
    if (Memory == NULL) {
        InterlockedIncrement64((volatile LONG64 *)&ExpUse[Paged].Failures);
        return NULL;
    }
    ExpCountAllocation(Paged, Tag, Bytes);
    return Memory;
}

PVOID ExpAllocateOrRaise(POOL_TYPE PoolType, SIZE_T Bytes, ULONG Tag, PVOID Site)
{
    PVOID Memory = ExpAllocate(PoolType, Bytes, Tag, Site);

    if (Memory == NULL && (PoolType & POOL_RAISE_IF_ALLOCATION_FAILURE) != 0) {
        ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
    }
    return Memory;
}

/* A run of pages is looked up when it is freed; a block carries the mark. */
VOID ExpMarkQuota(PVOID Address)
{
    if (ExpPageOf(Address) != NULL) {
        ((PEXP_BLOCK)Address - 1)->Size |= EXP_QUOTA;
    }
}

#if NT_CHK
VOID ExReassignPool(PVOID Address, PVOID Site)
{
    PEXP_BLOCK Block = (PEXP_BLOCK)Address - 1;

    if (ExpPageOf(Address) != NULL) {
        Block->Caller = Site;
        Block->Stack = ExpKeepStack(Site);
    }
}
#endif

static VOID ExpFree(PVOID Address, ULONG Tag, PVOID Site)
{
    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    if (NT_CHK && ExpFreeSpecial(Address, Tag)) {
        return;
    }
    if (BYTE_OFFSET(Address) == 0) {
        ExpFreeLarge(Address, Tag);
    } else {
        ExpFreeSmall(Address, Tag, Site);
    }
}

VOID NTAPI ExFreePoolWithTag(PVOID P, ULONG Tag)
{
    ExpFree(P, Tag, _ReturnAddress());
}

#undef ExFreePool
VOID NTAPI ExFreePool(PVOID P)
{
    ExpFree(P, 0, _ReturnAddress());
}

/* ---- Start-up and questions ---- */

VOID ExInitializePoolPhase0(VOID)
{
    ULONG Class = 0;

    ExpInitializeSpecialPool();
    for (ULONG Unit = 0; Unit < RTL_NUMBER_OF(ExpClassOfSize); Unit++) {
        while (ExpSizes[Class] < Unit * 16) {
            Class++;
        }
        ExpClassOfSize[Unit] = (UCHAR)Class;
    }
    for (ULONG Paged = 0; Paged < 2; Paged++) {
        for (Class = 0; Class < EXP_CLASSES; Class++) {
            KeInitializeSpinLock(&ExpClasses[Paged][Class].Lock);
            InitializeListHead(&ExpClasses[Paged][Class].Partial);
#if NT_CHK
            InitializeListHead(&ExpClasses[Paged][Class].All);
#endif
        }
    }
}

VOID ExTrimPool(VOID)
{
    ExpEmptyCaches();
    for (ULONG Index = 0; Index < 2 * EXP_CLASSES; Index++) {
        PEXP_CLASS Class = &ExpClasses[Index / EXP_CLASSES][Index % EXP_CLASSES];
        PEXP_PAGE Page;
        KIRQL Irql;

        KeAcquireSpinLock(&Class->Lock, &Irql);
        Page = Class->Empty;
        Class->Empty = NULL;
        ExpForgetPage(Page);
        KeReleaseSpinLock(&Class->Lock, Irql);
        if (Page != NULL) {
            ExpFreePage(Page);
        }
    }
}

VOID ExQueryPoolUse(BOOLEAN Paged, PEX_POOL_USE Use)
{
    *Use = ExpUse[Paged != 0];
}

ULONG ExQueryPoolTags(PEX_POOL_TAG Tags, ULONG Count)
{
    ULONG Copied = 0;

    for (ULONG Index = 0; Index < EXP_TAGS && Copied < Count; Index++) {
        if (ExpTags[Index].Allocations != ExpTags[Index].Frees) {
            Tags[Copied++] = ExpTags[Index];
        }
    }
    return Copied;
}

VOID ExSnapshotPoolTags(PEX_POOL_TAG Tags)
{
    for (ULONG Index = 0; Index < EXP_TAGS; Index++) {
        Tags[Index] = ExpTags[Index]; /* a tag keeps its place for good */
    }
}

ULONG ExCompareSnapshots(const EX_POOL_TAG *Before, const EX_POOL_TAG *After, PLONG64 Bytes)
{
    for (ULONG Index = 0; Index < EXP_TAGS; Index++) {
        *Bytes = (LONG64)(After[Index].Bytes - Before[Index].Bytes);
        if (*Bytes > 0) {
            return After[Index].Tag;
        }
    }
    return 0;
}

BOOLEAN ExCheckPoolBlock(PVOID Address, PSIZE_T Bytes, PULONG Tag)
{
    PEXP_PAGE Page;
    PEXP_BLOCK Block = (PEXP_BLOCK)Address - 1;
    BOOLEAN Paged;

    if (BYTE_OFFSET(Address) == 0) {
        return MmQueryPoolPages(Address, Bytes, Tag, &Paged) && *Tag != EXP_TAG_PAGE &&
               (!NT_CHK || ExpIsFilled((PUCHAR)Address + *Bytes, ROUND_TO_PAGES(*Bytes) - *Bytes, EXP_FILL_TAIL));
    }
    Page = ExpPageOf(Address);
    if (Page == NULL || Block->Size == EXP_FREE || Block->Check != ExpCheckWord(Block)) {
        return FALSE;
    }
    *Bytes = Block->Size & EXP_BYTES;
    *Tag = Block->Tag;
    return !NT_CHK || ExpIsFilled((PUCHAR)Address + *Bytes, ExpBlockRoom(Page) - *Bytes, EXP_FILL_TAIL);
}
