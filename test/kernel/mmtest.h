/*
 * mmtest.h - what the suites of the memory manager share: frames of their own, and a page of prototype PTEs.
 *
 * A frame taken here is Active without an owner PTE, which MiVerify accepts. All figures that other threads may change
 * are compared at DISPATCH_LEVEL.
 */
#pragma once

#include <ntos/ktap.h>
#include <ntos/pool.h>
#include "../../src/mm/bootp.h"
#include "../../src/mm/range.h"

static __attribute__((unused)) PFN_FRAME TestTakeFrame(ULONG Flags)
{
    KIRQL Irql = MiLockPfn();
    PFN_FRAME Frame = MiAllocateFrame(Flags);

    if (Frame != 0) {
        MiInitializePfn(Frame, NULL, MI_NO_FRAME32, MiMakeDemandZeroPte(MM_READWRITE), 0);
    }
    MiUnlockPfn(Irql);
    return Frame;
}

static __attribute__((unused)) VOID TestGiveFrame(PFN_FRAME Frame)
{
    KIRQL Irql = MiLockPfn();

    MiDeletePfn(Frame);
    MiDecrementShareCount(Frame);
    MiUnlockPfn(Irql);
}

/* Fills a frame with words that name it and a seed. IRQL: == DISPATCH_LEVEL. */
static __attribute__((unused)) VOID TestFillFrame(PFN_FRAME Frame, ULONG64 Seed)
{
    ULONG64 *Words = MiMapFrame(Frame, MiWriteBack);

    for (ULONG Index = 0; Index < MM_PAGE_SIZE / 8; Index++) {
        Words[Index] = Seed ^ (Frame << 16) ^ Index;
    }
    MiUnmapFrame(Words);
}

/* The number of words that are not what TestFillFrame wrote. */
static __attribute__((unused)) ULONG TestWrongWords(const ULONG64 *Words, PFN_FRAME Frame, ULONG64 Seed)
{
    ULONG Wrong = 0;

    for (ULONG Index = 0; Index < MM_PAGE_SIZE / 8; Index++) {
        Wrong += Words[Index] != (Seed ^ (Frame << 16) ^ Index);
    }
    return Wrong;
}
