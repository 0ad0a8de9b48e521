/*
 * bitmaprun.c - finding whole runs of clear bits, and the highest and lowest bit of a word.
 *
 * A run is a maximal range of clear bits. The rules of bitmap.c hold: no locks, no allocation, bits beyond the size
 * never count, any IRQL if the buffer is resident.
 */
#include <ntos/ntos.h>
#include "bitmapp.h"

/**
 * RtlFindNextForwardRunClear - the first run at or after an index.
 *
 * @StartingRunIndex  gets its start (a run that contains FromIndex starts at FromIndex)
 * returns            its length; 0: there is none, and StartingRunIndex gets FromIndex
 */
ULONG NTAPI RtlFindNextForwardRunClear(PRTL_BITMAP BitMapHeader, ULONG FromIndex, PULONG StartingRunIndex)
{
    ULONG Size = BitMapHeader->SizeOfBitMap;
    ULONG Start = RtlpNextBit(BitMapHeader, FromIndex, Size, FALSE);

    *StartingRunIndex = Start < Size ? Start : FromIndex;
    return Start < Size ? RtlpNextBit(BitMapHeader, Start, Size, TRUE) - Start : 0;
}

/** RtlFindFirstRunClear - the first run of the bitmap; as RtlFindNextForwardRunClear from 0. */
ULONG NTAPI RtlFindFirstRunClear(PRTL_BITMAP BitMapHeader, PULONG StartingIndex)
{
    return RtlFindNextForwardRunClear(BitMapHeader, 0, StartingIndex);
}

/**
 * RtlFindLastBackwardRunClear - the last run that ends at or before an index.
 *
 * @FromIndex         a run that contains it counts up to it
 * @StartingRunIndex  gets its start
 * returns            its length; 0: there is none, and StartingRunIndex gets FromIndex
 */
ULONG NTAPI RtlFindLastBackwardRunClear(PRTL_BITMAP BitMapHeader, ULONG FromIndex, PULONG StartingRunIndex)
{
    ULONG End;
    ULONG Start;

    *StartingRunIndex = FromIndex;
    if (BitMapHeader->SizeOfBitMap == 0) {
        return 0;
    }
    End = min(FromIndex, BitMapHeader->SizeOfBitMap - 1) + 1;
    while (End != 0 && RtlpNextBit(BitMapHeader, End - 1, End, FALSE) == End) {
        End--;
    }
    if (End == 0) {
        return 0;
    }
    Start = End;
    while (Start != 0 && RtlpNextBit(BitMapHeader, Start - 1, Start, FALSE) != Start) {
        Start--;
    }
    *StartingRunIndex = Start;
    return End - Start;
}

/**
 * RtlFindClearRuns - collects runs.
 *
 * @RunArray            room for SizeOfRunArray runs
 * @LocateLongestRuns   TRUE: the longest runs, longest first; FALSE: the first ones, by position
 * returns              how many were stored
 */
ULONG NTAPI RtlFindClearRuns(PRTL_BITMAP BitMapHeader, PRTL_BITMAP_RUN RunArray, ULONG SizeOfRunArray,
                             BOOLEAN LocateLongestRuns)
{
    ULONG Stored = 0;
    ULONG Start = 0;
    ULONG Length;

    for (ULONG From = 0; (Length = RtlFindNextForwardRunClear(BitMapHeader, From, &Start)) != 0;
         From = Start + Length) {
        ULONG Slot = Stored;

        if (Stored == SizeOfRunArray) {
            if (!LocateLongestRuns) {
                break;
            }
            if (Stored == 0 || RunArray[Stored - 1].NumberOfBits >= Length) {
                continue;
            }
            Slot--;
        } else {
            Stored++;
        }
        /* Insertion keeps the array sorted; runs of equal length stay in order of position. */
        while (LocateLongestRuns && Slot != 0 && RunArray[Slot - 1].NumberOfBits < Length) {
            RunArray[Slot] = RunArray[Slot - 1];
            Slot--;
        }
        RunArray[Slot].StartingIndex = Start;
        RunArray[Slot].NumberOfBits = Length;
    }
    return Stored;
}

/** RtlFindLongestRunClear - length of the longest run, 0 if no bit is clear; StartingIndex gets its start. */
ULONG NTAPI RtlFindLongestRunClear(PRTL_BITMAP BitMapHeader, PULONG StartingIndex)
{
    RTL_BITMAP_RUN Run;

    if (RtlFindClearRuns(BitMapHeader, &Run, 1, TRUE) == 0) {
        *StartingIndex = 0;
        return 0;
    }
    *StartingIndex = Run.StartingIndex;
    return Run.NumberOfBits;
}

/** RtlFindMostSignificantBit - number of the highest set bit, -1 for 0. */
CCHAR NTAPI RtlFindMostSignificantBit(ULONGLONG Set)
{
    return Set == 0 ? -1 : (CCHAR)(63 - __builtin_clzll(Set));
}

/** RtlFindLeastSignificantBit - number of the lowest set bit, -1 for 0. */
CCHAR NTAPI RtlFindLeastSignificantBit(ULONGLONG Set)
{
    return Set == 0 ? -1 : (CCHAR)__builtin_ctzll(Set);
}
