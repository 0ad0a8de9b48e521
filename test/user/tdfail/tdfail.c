/*
 * tdfail.c - a test DLL whose DllMain refuses if it is told to.
 *
 * It needs tdbase, which has to go again with it. Letter F.
 *
 * Loaded by the suite uldr.
 */
#include "../tdll.h"

ULONG NTAPI BaseAdd(ULONG Value);
ULONG NTAPI FailValue(VOID);

ULONG NTAPI FailValue(VOID)
{
    return BaseAdd(1);
}

BOOLEAN NTAPI DllMain(PVOID Base, ULONG Reason, PVOID Reserved)
{
    TdNoteReason('F', Reason);
    return Reason != DLL_PROCESS_ATTACH || TdLog() == NULL || !TdLog()->Refuse;
}
