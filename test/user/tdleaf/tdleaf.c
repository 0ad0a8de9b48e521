/*
 * tdleaf.c - a test DLL that needs nobody but ntdll.
 *
 * Others import from it by name and by ordinal and forward to it. Its data holds an address, which must be relocated. Letter L.
 *
 * Loaded by the suite uldr.
 */
#include "../tdll.h"

ULONG LeafVariable = 77;
PULONG LeafPointer = &LeafVariable;

ULONG NTAPI LeafValue(VOID);
ULONG NTAPI LeafThird(ULONG Value);

ULONG NTAPI LeafValue(VOID)
{
    return *LeafPointer;
}

ULONG NTAPI LeafThird(ULONG Value)
{
    return Value * 3;
}

BOOLEAN NTAPI DllMain(PVOID Base, ULONG Reason, PVOID Reserved)
{
    TdNoteReason('L', Reason);
    return TRUE;
}
