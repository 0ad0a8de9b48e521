/*
 * specialpool.c - blocks between guard pages (chk flavour).
 *
 * Blocks of one tag, or of all (boot option special=TAG or special=*), get pages of their own with an unmapped page on either side. A block smaller
 * than a page lies at the end of its page, up to the alignment of 16 bytes, so that the first access past it faults where it is made; with
 * ExSetSpecialPool's Underrun it lies at the beginning, and the first access before it does. Freed pages are unmapped and
 * their addresses are not used again soon, so that use after free faults too. The bytes that alignment leaves over are
 * filled and looked at when the block is freed.
 *
 * The page's other end holds what is known of the block. A block of a page or more is page-aligned and has that in a page of its own before it.
 *
 * Locks: none here; Mm's range and PFN locks inside. IRQL: <= DISPATCH_LEVEL.
 *
 * Source: WDK documentation, "Special Pool".
 */
#include "poolp.h"

#if NT_CHK

#include <ntos/init.h>

#define SPECIAL_MAGIC 0x4C41494345505320ULL
#define SPECIAL_FILL  0xFE

typedef struct _EXP_SPECIAL {
    ULONG64 Magic;
    PUCHAR Block;
    SIZE_T Bytes;
    PVOID Site;
    ULONG Tag;
    BOOLEAN Paged;
    UCHAR Reserved[11];
} EXP_SPECIAL, *PEXP_SPECIAL;
C_ASSERT(sizeof(EXP_SPECIAL) % 16 == 0);

ULONG ExpSpecialTag;
static BOOLEAN ExpSpecialUnderrun;
static volatile LONG ExpSpecialBlocks; /* interlocked: alive */

VOID ExpInitializeSpecialPool(VOID)
{
    CHAR Text[8];

    if (KeBootOption("special", Text, sizeof(Text)) && Text[0] != 0) {
        ExpSpecialTag = 0;
        for (ULONG Index = 0; Index < 4 && Text[Index] != 0; Index++) {
            ExpSpecialTag |= (ULONG)(UCHAR)Text[Index] << (8 * Index);
        }
    }
}

ULONG ExSetSpecialPool(ULONG Tag, BOOLEAN Underrun)
{
    ULONG Old = ExpSpecialTag;

    ExpSpecialUnderrun = Underrun;
    ExpSpecialTag = Tag;
    return Old;
}

/* Where block and description lie in a run. Whole: bytes of it. */
static PEXP_SPECIAL Place(PUCHAR Run, SIZE_T Whole, SIZE_T Bytes, PUCHAR *Block)
{
    if (Bytes >= PAGE_SIZE) {
        *Block = Run + PAGE_SIZE;
        return (PEXP_SPECIAL)Run;
    }
    if (ExpSpecialUnderrun) {
        *Block = Run;
        return (PEXP_SPECIAL)(Run + Whole) - 1;
    }
    *Block = Run + Whole - ALIGN_UP_BY(Bytes, 16);
    return (PEXP_SPECIAL)Run;
}

PVOID ExpAllocateSpecial(BOOLEAN Paged, SIZE_T Bytes, ULONG Tag, PVOID Site)
{
    SIZE_T Whole = Bytes >= PAGE_SIZE ? ROUND_TO_PAGES(Bytes) + PAGE_SIZE
                                      : ROUND_TO_PAGES(max(ALIGN_UP_BY(Bytes, 16), 16) + sizeof(EXP_SPECIAL));
    SIZE_T Asked = Bytes == 0 ? 1 : Bytes;
    PUCHAR Run, Block;

    if (Whole < Bytes) {
        return NULL;
    }
    Run = MmAllocateGuardedPages(Paged, Whole, EXP_TAG_SPECIAL);
    if (Run == NULL) {
        return NULL;
    }
    RtlFillMemory(Run, Whole, SPECIAL_FILL);
    PEXP_SPECIAL Special = Place(Run, Whole, Asked, &Block);
    *Special = (EXP_SPECIAL){SPECIAL_MAGIC, Block, Bytes, Site, Tag, Paged, {0}};
    RtlZeroMemory(Block, Bytes);
    InterlockedIncrement(&ExpSpecialBlocks);
    return Block;
}

/* The run that starts at Base, if it is one of ours and holds this block. */
static PEXP_SPECIAL Describe(PUCHAR Base, PUCHAR Block)
{
    BOOLEAN Paged;
    SIZE_T Whole;
    ULONG Tag;

    if (!MmQueryPoolPages(Base, &Whole, &Tag, &Paged) || Tag != EXP_TAG_SPECIAL) {
        return NULL;
    }
    PEXP_SPECIAL First = (PEXP_SPECIAL)Base, Last = (PEXP_SPECIAL)(Base + Whole) - 1;
    if (First->Magic == SPECIAL_MAGIC && First->Block == Block) {
        return First;
    }
    return Last->Magic == SPECIAL_MAGIC && Last->Block == Block ? Last : NULL;
}

static VOID CheckSpecial(PEXP_SPECIAL Special, PUCHAR Base, SIZE_T Whole, ULONG Tag)
{
    PUCHAR Before = (PUCHAR)Special == Base ? Base + sizeof(EXP_SPECIAL) : Base;
    PUCHAR After = Special->Block + Special->Bytes;
    PUCHAR End = (PUCHAR)Special == Base ? Base + Whole : (PUCHAR)Special;

    if (Tag != 0 && Tag != Special->Tag) {
        ExpBadBlock(BAD_POOL_CALLER, 0x0A, Special->Block, Special->Tag, "freed with another tag", Special->Site);
    }
    if (!ExpIsFilled(Before, (SIZE_T)(Special->Block - Before), SPECIAL_FILL)) {
        ExpBadBlock(SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION, 0x24, Special->Block, Special->Tag,
                    "written to before its beginning", Special->Site);
    }
    if (!ExpIsFilled(After, (SIZE_T)(End - After), SPECIAL_FILL)) {
        ExpBadBlock(SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION, 0x23, Special->Block, Special->Tag,
                    "written to past its end", Special->Site);
    }
}

BOOLEAN ExpFreeSpecial(PVOID Address, ULONG Tag)
{
    PUCHAR Base = PAGE_ALIGN(Address);
    PEXP_SPECIAL Special;
    BOOLEAN Paged;
    SIZE_T Whole;
    ULONG RunTag;

    if (ExpSpecialBlocks == 0) {
        return FALSE;
    }
    Special = Describe(Base, Address);
    if (Special == NULL) {
        Base -= PAGE_SIZE;
        Special = Describe(Base, Address);
    }
    if (Special == NULL) {
        return FALSE;
    }
    MmQueryPoolPages(Base, &Whole, &RunTag, &Paged);
    CheckSpecial(Special, Base, Whole, Tag);
    if (ExpQuotaBlocks != 0) {
        ExpReturnBlockQuota(Address);
    }
    ExpCountFree(Special->Paged, Special->Tag, Special->Bytes);
    VfFreeMemory(Address, Special->Bytes);
    InterlockedDecrement(&ExpSpecialBlocks);
    MmFreeGuardedPages(Base);
    return TRUE;
}

#else

ULONG ExpSpecialTag;

VOID ExpInitializeSpecialPool(VOID)
{
}

PVOID ExpAllocateSpecial(BOOLEAN Paged, SIZE_T Bytes, ULONG Tag, PVOID Site)
{
    return NULL;
}

BOOLEAN ExpFreeSpecial(PVOID Address, ULONG Tag)
{
    return FALSE;
}

#endif

#if NT_CHK
BOOLEAN ExIsSpecialPool(VOID)
{
    return ExpSpecialTag != 0;
}
#endif
