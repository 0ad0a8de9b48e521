/*
 * routine.c - the address of a kernel routine by its name, for drivers that look for one at run time.
 *
 * The kernel's export table is the only one searched: hal.dll's names are in the same image. No locks: the kernel's
 * image is never unloaded, and it is the first in PsLoadedModuleList from the start.
 */
#include <ntos/ke.h>
#include <ntos/rtl.h>

#define MI_LONGEST_ROUTINE 128 /* characters; the longest export of NT has fewer than 60 */

/**
 * MmGetSystemRoutineAddress - finds what ntoskrnl.exe or hal.dll exports under a name.
 *
 * @SystemRoutineName  the name, in the letters it is exported with
 * returns             its address; NULL: there is no such export
 *
 * IRQL: PASSIVE_LEVEL.  Locks: none.
 */
PVOID NTAPI MmGetSystemRoutineAddress(PUNICODE_STRING SystemRoutineName)
{
    PKLDR_DATA_TABLE_ENTRY Kernel =
        CONTAINING_RECORD(PsLoadedModuleList.Flink, KLDR_DATA_TABLE_ENTRY, InLoadOrderLinks);
    ULONG Count = SystemRoutineName->Length / sizeof(WCHAR);
    CHAR Name[MI_LONGEST_ROUTINE];

    ASSERT_IRQL(PASSIVE_LEVEL);
    if (Count >= MI_LONGEST_ROUTINE) {
        return NULL;
    }
    for (ULONG Index = 0; Index < Count; Index++) {
        if (SystemRoutineName->Buffer[Index] == 0 || SystemRoutineName->Buffer[Index] > 0x7F) {
            return NULL;
        }
        Name[Index] = (CHAR)SystemRoutineName->Buffer[Index];
    }
    Name[Count] = 0;
    return RtlpFindExport(Kernel->DllBase, Name);
}
