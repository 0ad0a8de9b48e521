/*
 * inlines.c - exported forms of routines that the DDK's headers write out in line.
 *
 * A driver compiled from those headers never imports these names, but one that was built by other means, or that asks
 * MmGetSystemRoutineAddress, does. Each calls the very inline; src/ntoskrnl.def gives it the NT name. No locks; IRQL as for the inline.
 */
#include <ntos/ke.h>

KIRQL NTAPI KexGetCurrentIrql(VOID);
PKTHREAD NTAPI KexGetCurrentThread(VOID);
KIRQL FASTCALL KexRaiseIrql(KIRQL NewIrql);
KIRQL NTAPI KexRaiseIrqlToDpcLevel(VOID);
VOID FASTCALL KexLowerIrql(KIRQL NewIrql);
PVOID NTAPI KexAllocateFromPagedLookasideList(PPAGED_LOOKASIDE_LIST Lookaside);
VOID NTAPI KexFreeToPagedLookasideList(PPAGED_LOOKASIDE_LIST Lookaside, PVOID Entry);

KIRQL NTAPI KexGetCurrentIrql(VOID)
{
    return KeGetCurrentIrql();
}

PKTHREAD NTAPI KexGetCurrentThread(VOID)
{
    return KeGetCurrentThread();
}

/* KfRaiseIrql: returns the level before. */
KIRQL FASTCALL KexRaiseIrql(KIRQL NewIrql)
{
    KIRQL Old;

    KeRaiseIrql(NewIrql, &Old);
    return Old;
}

KIRQL NTAPI KexRaiseIrqlToDpcLevel(VOID)
{
    return KexRaiseIrql(DISPATCH_LEVEL);
}

/* KeLowerIrql and KfLowerIrql. */
VOID FASTCALL KexLowerIrql(KIRQL NewIrql)
{
    KeLowerIrql(NewIrql);
}

PVOID NTAPI KexAllocateFromPagedLookasideList(PPAGED_LOOKASIDE_LIST Lookaside)
{
    return ExAllocateFromPagedLookasideList(Lookaside);
}

VOID NTAPI KexFreeToPagedLookasideList(PPAGED_LOOKASIDE_LIST Lookaside, PVOID Entry)
{
    ExFreeToPagedLookasideList(Lookaside, Entry);
}
