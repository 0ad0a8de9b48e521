/*
 * memroutine.c - which addresses lie in the routines that copy, fill or compare memory for whoever calls them.
 *
 * The trap handler asks: what such a routine does to a page is its caller's doing, so a driver that copies to a program's page by
 * RtlCopyMemory, or by the memcpy that its compiler called, is let through as if it had touched the page itself. An address
 * is found by the function table, as the unwinder finds it.
 *
 * Read-only, no locks. IRQL: any.
 */
#include <ntos/ntos.h>
#include <ntos/rtl.h>

#undef RtlCopyMemory
#undef RtlMoveMemory
#undef RtlFillMemory
#undef RtlZeroMemory
#undef RtlCompareMemory

VOID NTAPI RtlCopyMemory(VOID *Destination, const VOID *Source, SIZE_T Length);
VOID NTAPI RtlMoveMemory(VOID *Destination, const VOID *Source, SIZE_T Length);
VOID NTAPI RtlFillMemory(VOID *Destination, SIZE_T Length, int Fill);
VOID NTAPI RtlZeroMemory(VOID *Destination, SIZE_T Length);

BOOLEAN RtlIsMemoryRoutine(ULONG64 Address)
{
    const PVOID Routines[] = {memcpy,        memmove,       memset,        memcmp,          RtlCopyMemory,
                              RtlMoveMemory, RtlFillMemory, RtlZeroMemory, RtlCompareMemory};
    ULONG64 Base;
    PRUNTIME_FUNCTION Function = RtlLookupFunctionEntry(Address, &Base, NULL);

    for (ULONG Index = 0; Function != NULL && Index < RTL_NUMBER_OF(Routines); Index++) {
        if (Base + Function->BeginAddress == (ULONG64)Routines[Index]) {
            return TRUE;
        }
    }
    return FALSE;
}
