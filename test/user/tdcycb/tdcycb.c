/*
 * tdcycb.c - the other half of the cycle that tdcyca begins.
 *
 * It needs tdleaf, too. Letter Z.
 *
 * Loaded by the suite uldr.
 */
#include "../tdll.h"

ULONG NTAPI CycleA(ULONG Depth);
ULONG NTAPI CycleB(ULONG Depth);
ULONG NTAPI LeafValue(VOID);

ULONG NTAPI CycleB(ULONG Depth)
{
    return Depth == 0 ? LeafValue() : CycleA(Depth - 1) + 1;
}

BOOLEAN NTAPI DllMain(PVOID Base, ULONG Reason, PVOID Reserved)
{
    TdNoteReason('Z', Reason);
    return TRUE;
}
