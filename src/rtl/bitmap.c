/*
 * bitmap.c - bitmaps over a caller's buffer: set, clear, test and count bits, find runs of a wanted length.
 *
 * A bitmap is SizeOfBitMap bits in an array of ULONGs, bit 0 first. Bits of the last ULONG beyond the size may hold
 * anything and never count. Everything rests on RtlpNextBit, which skips 32 bits at a time.
 *
 * A bitmap has no lock: the owner serialises. Nothing allocates; IRQL: any, if the buffer is resident. An index or
 * range beyond the bitmap is the caller's error: it is asserted in the checked build and cut to the bitmap in both.
 *
 * Source of the behaviour: the routines' pages in the Windows driver documentation.
 */
#include <ntos/ntos.h>
#include "bitmapp.h"

#define RTLP_NONE MAXULONG

/* Mask of Count bits (1..32) from Bit (0..31) on inside one ULONG. */
static ULONG RtlpMask(ULONG Bit, ULONG Count)
{
    return (Count == 32 ? MAXULONG : (1U << Count) - 1) << Bit;
}

/* Calls for each ULONG that the range touches: bits of it are set or cleared. */
static VOID RtlpChangeBits(PRTL_BITMAP BitMap, ULONG First, ULONG Count, BOOLEAN Set)
{
    ASSERT(First <= BitMap->SizeOfBitMap && Count <= BitMap->SizeOfBitMap - First);
    if (First >= BitMap->SizeOfBitMap) {
        return;
    }
    Count = min(Count, BitMap->SizeOfBitMap - First);
    while (Count != 0) {
        ULONG Part = min(Count, 32 - First % 32);
        ULONG Mask = RtlpMask(First % 32, Part);

        if (Set) {
            BitMap->Buffer[First / 32] |= Mask;
        } else {
            BitMap->Buffer[First / 32] &= ~Mask;
        }
        First += Part;
        Count -= Part;
    }
}

ULONG RtlpNextBit(PRTL_BITMAP BitMap, ULONG From, ULONG Limit, BOOLEAN Set)
{
    ULONG Flip = Set ? 0 : MAXULONG;

    while (From < Limit) {
        ULONG Word = (BitMap->Buffer[From / 32] ^ Flip) & (MAXULONG << From % 32);

        if (Word != 0) {
            return min(Limit, (From & ~31U) + (ULONG)__builtin_ctz(Word));
        }
        if (From >= MAXULONG - 31) {
            break;
        }
        From = (From & ~31U) + 32;
    }
    return Limit;
}

/* First run of Count bits equal to Set that begins in [From, Limit - Count]; RTLP_NONE if there is none. */
static ULONG RtlpFindRun(PRTL_BITMAP BitMap, ULONG Count, ULONG From, ULONG Limit, BOOLEAN Set)
{
    while (From < Limit && Count <= Limit - From) {
        ULONG Start = RtlpNextBit(BitMap, From, Limit, Set);
        ULONG End;

        if (Count > Limit - Start) {
            break;
        }
        End = RtlpNextBit(BitMap, Start, Start + Count, !Set);
        if (End == Start + Count) {
            return Start;
        }
        From = End;
    }
    return RTLP_NONE;
}

static ULONG RtlpFindBits(PRTL_BITMAP BitMap, ULONG Count, ULONG Hint, BOOLEAN Set)
{
    ULONG Size = BitMap->SizeOfBitMap;
    ULONG Found;

    if (Hint >= Size) {
        Hint = 0;
    }
    if (Count == 0) {
        return Hint & ~7U;
    }
    if (Count > Size) {
        return RTLP_NONE;
    }
    Found = RtlpFindRun(BitMap, Count, Hint, Size, Set);
    if (Found == RTLP_NONE && Hint != 0) {
        /* Once around: runs that begin before the hint may reach past it. */
        Found = RtlpFindRun(BitMap, Count, 0, Count > Size - Hint ? Size : Hint + Count - 1, Set);
    }
    return Found;
}

/**
 * RtlInitializeBitMap - describes a bitmap; its bits are left as they are.
 *
 * @SizeOfBitMap  bits; the buffer holds that many, rounded up to a ULONG
 */
VOID NTAPI RtlInitializeBitMap(PRTL_BITMAP BitMapHeader, PULONG BitMapBuffer, ULONG SizeOfBitMap)
{
    BitMapHeader->SizeOfBitMap = SizeOfBitMap;
    BitMapHeader->Buffer = BitMapBuffer;
}

/** RtlSetBit - sets one bit. */
VOID NTAPI RtlSetBit(PRTL_BITMAP BitMapHeader, ULONG BitNumber)
{
    RtlpChangeBits(BitMapHeader, BitNumber, 1, TRUE);
}

/** RtlClearBit - clears one bit. */
VOID NTAPI RtlClearBit(PRTL_BITMAP BitMapHeader, ULONG BitNumber)
{
    RtlpChangeBits(BitMapHeader, BitNumber, 1, FALSE);
}

/** RtlTestBit - whether a bit is set; FALSE beyond the bitmap. */
BOOLEAN NTAPI RtlTestBit(PRTL_BITMAP BitMapHeader, ULONG BitNumber)
{
    ASSERT(BitNumber < BitMapHeader->SizeOfBitMap);
    return BitNumber < BitMapHeader->SizeOfBitMap && (BitMapHeader->Buffer[BitNumber / 32] >> BitNumber % 32 & 1) != 0;
}

/** RtlSetBits - sets a range. */
VOID NTAPI RtlSetBits(PRTL_BITMAP BitMapHeader, ULONG StartingIndex, ULONG NumberToSet)
{
    RtlpChangeBits(BitMapHeader, StartingIndex, NumberToSet, TRUE);
}

/** RtlClearBits - clears a range. */
VOID NTAPI RtlClearBits(PRTL_BITMAP BitMapHeader, ULONG StartingIndex, ULONG NumberToClear)
{
    RtlpChangeBits(BitMapHeader, StartingIndex, NumberToClear, FALSE);
}

/** RtlSetAllBits - sets every bit. */
VOID NTAPI RtlSetAllBits(PRTL_BITMAP BitMapHeader)
{
    RtlpChangeBits(BitMapHeader, 0, BitMapHeader->SizeOfBitMap, TRUE);
}

/** RtlClearAllBits - clears every bit. */
VOID NTAPI RtlClearAllBits(PRTL_BITMAP BitMapHeader)
{
    RtlpChangeBits(BitMapHeader, 0, BitMapHeader->SizeOfBitMap, FALSE);
}

static BOOLEAN RtlpAreBits(PRTL_BITMAP BitMap, ULONG First, ULONG Count, BOOLEAN Set)
{
    if (Count == 0 || First >= BitMap->SizeOfBitMap || Count > BitMap->SizeOfBitMap - First) {
        return FALSE;
    }
    return RtlpNextBit(BitMap, First, First + Count, !Set) == First + Count;
}

/** RtlAreBitsClear - whether the whole range is clear; FALSE for an empty range or one beyond the bitmap. */
BOOLEAN NTAPI RtlAreBitsClear(PRTL_BITMAP BitMapHeader, ULONG StartingIndex, ULONG Length)
{
    return RtlpAreBits(BitMapHeader, StartingIndex, Length, FALSE);
}

/** RtlAreBitsSet - whether the whole range is set; FALSE for an empty range or one beyond the bitmap. */
BOOLEAN NTAPI RtlAreBitsSet(PRTL_BITMAP BitMapHeader, ULONG StartingIndex, ULONG Length)
{
    return RtlpAreBits(BitMapHeader, StartingIndex, Length, TRUE);
}

/** RtlNumberOfSetBits - how many bits are set. */
ULONG NTAPI RtlNumberOfSetBits(PRTL_BITMAP BitMapHeader)
{
    ULONG Size = BitMapHeader->SizeOfBitMap;
    ULONG Total = 0;

    for (ULONG Word = 0; Word < Size / 32; Word++) {
        Total += RtlNumberOfSetBitsUlongPtr(BitMapHeader->Buffer[Word]);
    }
    if (Size % 32 != 0) {
        Total += RtlNumberOfSetBitsUlongPtr(BitMapHeader->Buffer[Size / 32] & RtlpMask(0, Size % 32));
    }
    return Total;
}

/** RtlNumberOfClearBits - how many bits are clear. */
ULONG NTAPI RtlNumberOfClearBits(PRTL_BITMAP BitMapHeader)
{
    return BitMapHeader->SizeOfBitMap - RtlNumberOfSetBits(BitMapHeader);
}

/** RtlNumberOfSetBitsUlongPtr - how many bits of a word are set. POPCNT is not in the baseline, so sums of fields. */
ULONG NTAPI RtlNumberOfSetBitsUlongPtr(ULONG_PTR Target)
{
    ULONG64 Sum = Target;

    Sum -= (Sum >> 1) & 0x5555555555555555ULL;
    Sum = (Sum & 0x3333333333333333ULL) + ((Sum >> 2) & 0x3333333333333333ULL);
    Sum = (Sum + (Sum >> 4)) & 0x0F0F0F0F0F0F0F0FULL;
    return (ULONG)((Sum * 0x0101010101010101ULL) >> 56);
}

/**
 * RtlFindClearBits - start of a run of clear bits.
 *
 * @NumberToFind  length of the run; 0 gives the hint rounded down to a multiple of 8
 * @HintIndex     where the search begins; it goes once around the bitmap. Beyond the bitmap means 0.
 * returns        the index, or 0xFFFFFFFF if there is no such run
 */
ULONG NTAPI RtlFindClearBits(PRTL_BITMAP BitMapHeader, ULONG NumberToFind, ULONG HintIndex)
{
    return RtlpFindBits(BitMapHeader, NumberToFind, HintIndex, FALSE);
}

/** RtlFindSetBits - as RtlFindClearBits, for set bits. */
ULONG NTAPI RtlFindSetBits(PRTL_BITMAP BitMapHeader, ULONG NumberToFind, ULONG HintIndex)
{
    return RtlpFindBits(BitMapHeader, NumberToFind, HintIndex, TRUE);
}

/** RtlFindClearBitsAndSet - as RtlFindClearBits, and sets the run that was found. */
ULONG NTAPI RtlFindClearBitsAndSet(PRTL_BITMAP BitMapHeader, ULONG NumberToFind, ULONG HintIndex)
{
    ULONG Found = RtlpFindBits(BitMapHeader, NumberToFind, HintIndex, FALSE);

    if (Found != RTLP_NONE) {
        RtlpChangeBits(BitMapHeader, Found, NumberToFind, TRUE);
    }
    return Found;
}

/** RtlFindSetBitsAndClear - as RtlFindSetBits, and clears the run that was found. */
ULONG NTAPI RtlFindSetBitsAndClear(PRTL_BITMAP BitMapHeader, ULONG NumberToFind, ULONG HintIndex)
{
    ULONG Found = RtlpFindBits(BitMapHeader, NumberToFind, HintIndex, TRUE);

    if (Found != RTLP_NONE) {
        RtlpChangeBits(BitMapHeader, Found, NumberToFind, FALSE);
    }
    return Found;
}
