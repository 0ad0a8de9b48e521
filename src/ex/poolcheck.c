/*
 * poolcheck.c - what the pools notice: damaged blocks, who allocated what, leaks by tag.
 *
 * In the chk flavour each small block's header says who allocated it, and who freed it once it is free. Runs of pages have no header: their
 * callers are in a table by address. For blocks that drivers allocate a whole stack is kept, once for all blocks that come the same
 * way; the kernel's own allocations are too many for that.
 *
 * Locks: a class's lock while its pages are walked. The tables are changed by interlocked operations. IRQL: <= DISPATCH_LEVEL.
 */
#include "poolp.h"

BOOLEAN ExpIsFilled(const UCHAR *Memory, SIZE_T Bytes, UCHAR Value)
{
    for (SIZE_T Index = 0; Index < Bytes; Index++) {
        if (Memory[Index] != Value) {
            return FALSE;
        }
    }
    return TRUE;
}

DECLSPEC_NORETURN VOID ExpBadBlock(ULONG Code, ULONG Reason, PVOID Address, ULONG Tag, PCSTR What, PVOID Site)
{
    CHAR Text[5] = {(CHAR)Tag, (CHAR)(Tag >> 8), (CHAR)(Tag >> 16), (CHAR)(Tag >> 24), 0};
    KI_IMAGE Image;

    for (ULONG Index = 0; Index < 4; Index++) {
        Text[Index] = Text[Index] >= ' ' && Text[Index] <= '~' ? Text[Index] : '.';
    }
    ConPrint("pool: %s, block %p, tag '%s'\n", What, Address, Text);
    if (Site != NULL && KiFindImage((ULONG64)Site, &Image)) {
        ConPrint("pool: its caller was\n  #0 0x%016llX %s+0x%llx\n", (ULONG64)Site, Image.Name,
                 (ULONG64)Site - Image.Base);
    }
    KeBugCheckEx(Code, Reason, (ULONG_PTR)Address, Tag, (ULONG_PTR)Site);
}

#if NT_CHK

/* ---- Stacks ---- */

#define STACKS       512 /* places in drivers that allocate: some dozens */
#define STACK_FRAMES 8

typedef struct _EXP_STACK {
    volatile LONG State; /* 0 free, 1 being filled, 2 filled */
    ULONG Depth;
    ULONG64 Address[STACK_FRAMES];
} EXP_STACK;

static EXP_STACK ExpStacks[STACKS]; /* 0 is not used */

static BOOLEAN SameStack(const EXP_STACK *Stack, const ULONG64 *Address, ULONG Depth)
{
    return Stack->State == 2 && Stack->Depth == Depth &&
           RtlCompareMemory(Stack->Address, Address, Depth * sizeof(ULONG64)) == Depth * sizeof(ULONG64);
}

DECLSPEC_NOINLINE ULONG ExpKeepStack(PVOID Site)
{
    ULONG64 Address[STACK_FRAMES + 3], *First = Address;
    ULONG Depth, Slot;

    if (!KiIsDriverAddress((ULONG64)Site)) {
        return 0;
    }
    Depth = KiCaptureStack(NULL, Address, STACK_FRAMES + 3);
    while (Depth > 1 && *First != (ULONG64)Site) { /* begins with the driver */
        First++;
        Depth--;
    }
    Depth = min(Depth, STACK_FRAMES);
    Slot = (ULONG)((First[0] ^ First[Depth - 1] << 1) * 0x9E3779B97F4A7C15ULL >> 55); /* 9 bits */
    for (ULONG Probe = 0; Probe < 16; Probe++, Slot = (Slot + 1) % STACKS) {
        EXP_STACK *Stack = &ExpStacks[Slot];
        if (Slot != 0 && SameStack(Stack, First, Depth)) {
            return Slot;
        }
        if (Slot != 0 && InterlockedCompareExchange(&Stack->State, 1, 0) == 0) {
            Stack->Depth = Depth;
            RtlCopyMemory(Stack->Address, First, Depth * sizeof(ULONG64));
            InterlockedExchange(&Stack->State, 2);
            return Slot;
        }
    }
    return 0;
}
C_ASSERT(STACKS == 1 << 9);

/* ---- Runs of pages ---- */

#define RUNS 1024

static struct {
    PVOID volatile Address;
    PVOID Site;
    ULONG Stack;
} ExpRuns[RUNS];

static ULONG RunSlot(PVOID Address)
{
    return (ULONG)(((ULONG64)Address >> PAGE_SHIFT) * 0x9E3779B97F4A7C15ULL >> 54); /* 10 bits */
}
C_ASSERT(RUNS == 1 << 10);

VOID ExpEnterRun(PVOID Address, PVOID Site)
{
    ULONG Slot = RunSlot(Address), Stack = ExpKeepStack(Site);

    for (ULONG Probe = 0; Probe < RUNS; Probe++, Slot = (Slot + 1) % RUNS) {
        if (InterlockedCompareExchangePointer(&ExpRuns[Slot].Address, Address, NULL) == NULL) {
            ExpRuns[Slot].Site = Site;
            ExpRuns[Slot].Stack = Stack;
            return;
        }
    }
}

PVOID ExpRemoveRun(PVOID Address)
{
    ULONG Slot = RunSlot(Address);

    for (ULONG Probe = 0; Probe < RUNS; Probe++, Slot = (Slot + 1) % RUNS) {
        if (ExpRuns[Slot].Address == Address) {
            PVOID Site = ExpRuns[Slot].Site;
            ExpRuns[Slot].Address = NULL;
            return Site;
        }
    }
    return NULL;
}

/* ---- Whose blocks ---- */

typedef struct _EXP_SEARCH {
    ULONG64 Begin, End;
    VOID (*Found)(const EX_POOL_OWNED *Block, PVOID Context);
    PVOID Context;
} EXP_SEARCH;

static VOID Tell(const EXP_SEARCH *Search, PVOID Address, SIZE_T Bytes, ULONG Tag, PVOID Site, ULONG Stack)
{
    EX_POOL_OWNED Block = {.Address = Address, .Bytes = Bytes, .Tag = Tag, .Depth = 1};
    ULONG64 Only = (ULONG64)Site;

    Block.Stack = &Only;
    if (Stack != 0) {
        Block.Stack = ExpStacks[Stack].Address;
        Block.Depth = ExpStacks[Stack].Depth;
    }
    Search->Found(&Block, Search->Context);
}

static BOOLEAN IsSearched(const EXP_SEARCH *Search, PVOID Site)
{
    return (ULONG64)Site >= Search->Begin && (ULONG64)Site < Search->End;
}

static VOID SearchPage(const EXP_SEARCH *Search, PEXP_PAGE Page)
{
    for (ULONG Index = 0; Index < (ULONG)Page->Total - Page->Untouched; Index++) {
        PEXP_BLOCK Block = (PEXP_BLOCK)((PUCHAR)(Page + 1) + Index * ExpSizes[Page->Class]);
        if (Block->Size != EXP_FREE && IsSearched(Search, Block->Caller)) {
            Tell(Search, Block + 1, Block->Size & EXP_BYTES, Block->Tag, Block->Caller, Block->Stack);
        }
    }
}

VOID ExFindOwnedPool(ULONG64 Begin, ULONG64 End, VOID (*Found)(const EX_POOL_OWNED *Block, PVOID Context),
                     PVOID Context)
{
    EXP_SEARCH Search = {Begin, End, Found, Context};

    for (ULONG Index = 0; Index < 2 * EXP_CLASSES; Index++) {
        PEXP_CLASS Class = &ExpClasses[Index / EXP_CLASSES][Index % EXP_CLASSES];
        KIRQL Irql;

        KeAcquireSpinLock(&Class->Lock, &Irql);
        for (PLIST_ENTRY Entry = Class->All.Flink; Entry != &Class->All; Entry = Entry->Flink) {
            SearchPage(&Search, CONTAINING_RECORD(Entry, EXP_PAGE, AllLink));
        }
        KeReleaseSpinLock(&Class->Lock, Irql);
    }
    for (ULONG Slot = 0; Slot < RUNS; Slot++) {
        PVOID Address = ExpRuns[Slot].Address;
        BOOLEAN Paged;
        SIZE_T Bytes;
        ULONG Tag;

        if (Address != NULL && IsSearched(&Search, ExpRuns[Slot].Site) &&
            MmQueryPoolPages(Address, &Bytes, &Tag, &Paged)) {
            Tell(&Search, Address, Bytes, Tag, ExpRuns[Slot].Site, ExpRuns[Slot].Stack);
        }
    }
}

#endif
