/*
 * tdcyca.c - a test DLL that imports from tdcycb, which imports from it.
 *
 * Neither can be first; both go when nobody else needs either. Letter Y.
 *
 * Loaded by the suite uldr.
 */
#include "../tdll.h"

ULONG NTAPI CycleA(ULONG Depth);
ULONG NTAPI CycleB(ULONG Depth);

ULONG NTAPI CycleA(ULONG Depth)
{
    return Depth == 0 ? 1 : CycleB(Depth - 1) + 1;
}

BOOLEAN NTAPI DllMain(PVOID Base, ULONG Reason, PVOID Reserved)
{
    TdNoteReason('Y', Reason);
    return TRUE;
}
