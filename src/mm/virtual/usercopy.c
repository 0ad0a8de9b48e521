/*
 * usercopy.c - how the kernel reads and writes memory of programs.
 *
 * A copy probes that the whole range is below the user limit, allows user access (EFLAGS.AC, where SMAP is on) for its own length and
 * runs under SEH, so that whatever the program does to its memory meanwhile ends in a status. AC does not outlive a fault
 * inside the copy: the trap saves it with the flags and the handler here clears it.
 *
 * IRQL: <= APC_LEVEL. Locks: none that a page fault takes.
 *
 * Source: ProbeForRead and ProbeForWrite in the Windows driver documentation; SDM 3A 4.6 (SMAP).
 */
#include "../miprocess.h"

static VOID MiAllowUserAccess(BOOLEAN Allow)
{
    if (!KiSmapEnabled) {
        return;
    }
    if (Allow) {
        __asm__ volatile("stac" ::: "memory", "cc");
    } else {
        __asm__ volatile("clac" ::: "memory", "cc");
    }
}

BOOLEAN MmIsUserRange(const VOID *Address, SIZE_T Bytes)
{
    return Bytes <= MM_USER_PROBE_END && (ULONG64)Address <= MM_USER_PROBE_END - Bytes;
}

/*
 * The copy itself, by words and then by bytes: an aligned word is read and written at once, whatever other threads do to it. A
 * function of its own, so that it is not inlined into the guarded region.
 */
static __attribute__((noinline)) VOID MiCopyBytes(PVOID Destination, const VOID *Source, SIZE_T Bytes)
{
    PVOID To = Destination;
    const VOID *From = Source;
    SIZE_T Words = Bytes / sizeof(ULONG64), Rest = Bytes % sizeof(ULONG64);

    __asm__ volatile("rep movsq" : "+D"(To), "+S"(From), "+c"(Words)::"memory");
    __asm__ volatile("rep movsb" : "+D"(To), "+S"(From), "+c"(Rest)::"memory");
}

static NTSTATUS MiGuardedCopy(PVOID Destination, const VOID *Source, SIZE_T Bytes)
{
    NTSTATUS Status = STATUS_SUCCESS;

    ASSERT_IRQL_MAX(APC_LEVEL);
    MiAllowUserAccess(TRUE);
    __try {
        MiCopyBytes(Destination, Source, Bytes);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Status = GetExceptionCode();
    }
    MiAllowUserAccess(FALSE);
    return Status;
}

NTSTATUS MmCopyFromUser(PVOID Destination, const VOID *Source, SIZE_T Bytes)
{
    return MmIsUserRange(Source, Bytes) ? MiGuardedCopy(Destination, Source, Bytes) : STATUS_ACCESS_VIOLATION;
}

NTSTATUS MmCopyToUser(PVOID Destination, const VOID *Source, SIZE_T Bytes)
{
    return MmIsUserRange(Destination, Bytes) ? MiGuardedCopy(Destination, Source, Bytes) : STATUS_ACCESS_VIOLATION;
}
