/*
 * probe.c - ProbeForRead and ProbeForWrite: is this range of addresses a user's?
 *
 * A probe looks at numbers for reading; for writing it also touches every page, so that a read-only or missing one raises here. What a
 * user maps may be gone a moment later, so callers stay inside __try while they use it.
 *
 * No locks. IRQL <= APC_LEVEL: pages may have to be brought in. Source: WDK documentation of both routines.
 */
#include <ntos/ke.h>
#include <ntos/mm.h>

/* The processor's permission to touch user pages, where SMAP asks for one. */
static VOID ExpAllowUserAccess(BOOLEAN Allow)
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

static VOID ExpProbeRange(ULONG64 Address, SIZE_T Length, ULONG Alignment)
{
    ASSERT(Alignment == 1 || Alignment == 2 || Alignment == 4 || Alignment == 8 || Alignment == 16);
    if ((Address & (Alignment - 1)) != 0) {
        ExRaiseDatatypeMisalignment();
    }
    if (Address + Length < Address || Address + Length > MM_USER_PROBE_END) {
        ExRaiseAccessViolation();
    }
}

/**
 * ProbeForRead - raises STATUS_ACCESS_VIOLATION unless [Address, Address + Length) is in the user half, and
 * STATUS_DATATYPE_MISALIGNMENT unless Address is a multiple of Alignment (1, 2, 4, 8, 16). A length of 0 is always good.
 *
 * IRQL: <= APC_LEVEL.
 */
VOID NTAPI ProbeForRead(CONST VOID *Address, SIZE_T Length, ULONG Alignment)
{
    ASSERT_IRQL_MAX(APC_LEVEL);
    if (Length != 0) {
        ExpProbeRange((ULONG64)Address, Length, Alignment);
    }
}

/* Reads and writes back one byte of each page; what that raises is raised again once user access is off. */
static DECLSPEC_NOINLINE VOID ExpTouchPages(ULONG64 Address, ULONG64 End)
{
    NTSTATUS Status = STATUS_SUCCESS;

    ExpAllowUserAccess(TRUE);
    __try {
        for (; Address < End; Address = (Address & ~(MM_PAGE_SIZE - 1)) + MM_PAGE_SIZE) {
            *(volatile CHAR *)Address = *(volatile CHAR *)Address;
        }
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Status = GetExceptionCode();
    }
    ExpAllowUserAccess(FALSE);
    if (!NT_SUCCESS(Status)) {
        ExRaiseStatus(Status);
    }
}

/* As ProbeForRead, and every page must be there and writable. IRQL: <= APC_LEVEL. */
VOID NTAPI ProbeForWrite(PVOID Address, SIZE_T Length, ULONG Alignment)
{
    ASSERT_IRQL_MAX(APC_LEVEL);
    if (Length != 0) {
        ExpProbeRange((ULONG64)Address, Length, Alignment);
        ExpTouchPages((ULONG64)Address, (ULONG64)Address + Length);
    }
}
