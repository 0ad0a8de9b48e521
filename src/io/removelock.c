/*
 * removelock.c - remove locks: a count of users that a device's removal waits for.
 *
 * The count starts at 1, the device's own. A user takes one more and is refused once removal has begun; the remover gives back its own
 * two (its use and the device's) and waits for the event that the last user sets. The structure is the driver's; its
 * common part is all that is used, whatever flavour the driver was built as.
 *
 * Interlocked, no lock. IRQL <= DISPATCH_LEVEL, the waiting release PASSIVE_LEVEL. Source: WDK documentation, "Using Remove Locks".
 */
#include "iop.h"

VOID NTAPI IoInitializeRemoveLockEx(PIO_REMOVE_LOCK Lock, ULONG AllocateTag, ULONG MaxLockedMinutes,
                                    ULONG HighWatermark, ULONG RemlockSize)
{
    UNREFERENCED_PARAMETER(AllocateTag); /* what a tracking build would use */
    UNREFERENCED_PARAMETER(MaxLockedMinutes);
    UNREFERENCED_PARAMETER(HighWatermark);
    RtlZeroMemory(Lock, RemlockSize);
    Lock->Common.IoCount = 1;
    KeInitializeEvent(&Lock->Common.RemoveEvent, SynchronizationEvent, FALSE);
}

/* STATUS_SUCCESS: the device stays until the lock is released; STATUS_DELETE_PENDING: it is going. */
NTSTATUS NTAPI IoAcquireRemoveLockEx(PIO_REMOVE_LOCK RemoveLock, PVOID Tag, PCSTR File, ULONG Line, ULONG RemlockSize)
{
    UNREFERENCED_PARAMETER(Tag);
    UNREFERENCED_PARAMETER(File);
    UNREFERENCED_PARAMETER(Line);
    UNREFERENCED_PARAMETER(RemlockSize);
    InterlockedIncrement(&RemoveLock->Common.IoCount);
    if (*(volatile BOOLEAN *)&RemoveLock->Common.Removed) {
        IoReleaseRemoveLockEx(RemoveLock, Tag, RemlockSize);
        return STATUS_DELETE_PENDING;
    }
    return STATUS_SUCCESS;
}

VOID NTAPI IoReleaseRemoveLockEx(PIO_REMOVE_LOCK RemoveLock, PVOID Tag, ULONG RemlockSize)
{
    UNREFERENCED_PARAMETER(Tag);
    UNREFERENCED_PARAMETER(RemlockSize);
    if (InterlockedDecrement(&RemoveLock->Common.IoCount) == 0) {
        KeSetEvent(&RemoveLock->Common.RemoveEvent, IO_NO_INCREMENT, FALSE);
    }
}

/* Begins the removal and waits until nobody else holds the lock. The caller holds it. IRQL: PASSIVE_LEVEL. */
VOID NTAPI IoReleaseRemoveLockAndWaitEx(PIO_REMOVE_LOCK RemoveLock, PVOID Tag, ULONG RemlockSize)
{
    UNREFERENCED_PARAMETER(Tag);
    UNREFERENCED_PARAMETER(RemlockSize);
    ASSERT_IRQL(PASSIVE_LEVEL);
    RemoveLock->Common.Removed = TRUE;
    InterlockedDecrement(&RemoveLock->Common.IoCount); /* the caller's: a full barrier behind the flag */
    if (InterlockedDecrement(&RemoveLock->Common.IoCount) > 0) {
        KeWaitForSingleObject(&RemoveLock->Common.RemoveEvent, Executive, KernelMode, FALSE, NULL);
    }
}
