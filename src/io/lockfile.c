/*
 * lockfile.c - NtLockFile and NtUnlockFile: ranges of bytes of a file, which the file system keeps.
 *
 * The services only pack IRP_MJ_LOCK_CONTROL. The length travels in memory of its own that goes with the IRP, since the driver looks at it for
 * as long as the request waits. A lock that cannot be had at once waits, or fails, as the caller says. IRQL: PASSIVE_LEVEL.
 * Source: WDK documentation of ZwLockFile and ZwUnlockFile.
 */
#include <ntos/services.h>
#include <ntos/user.h>

#include "iop.h"

/* The range as the caller gave it. */
typedef struct _IOP_LOCK_RANGE {
    LARGE_INTEGER Offset, Length;
    ULONG Key;
} IOP_LOCK_RANGE, *PIOP_LOCK_RANGE;

static NTSTATUS IopCaptureRange(PIOP_LOCK_RANGE Range, PLARGE_INTEGER Offset, PLARGE_INTEGER Length, ULONG Key)
{
    NTSTATUS Status = ExCopyFromCaller(&Range->Offset, Offset, sizeof(Range->Offset));

    Range->Key = Key;
    return NT_SUCCESS(Status) ? ExCopyFromCaller(&Range->Length, Length, sizeof(Range->Length)) : Status;
}

/* Neither reading nor writing: a handle without both may not lock. */
static NTSTATUS IopCheckLockAccess(HANDLE FileHandle)
{
    OBJECT_HANDLE_INFORMATION Info = {0};
    PVOID File;
    NTSTATUS Status = ObReferenceObjectByHandle(FileHandle, 0, IopFileObjectType, ExGetPreviousMode(), &File, &Info);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    ObfDereferenceObject(File);
    return (ExGetPreviousMode() == KernelMode || (Info.GrantedAccess & (FILE_READ_DATA | FILE_WRITE_DATA)) != 0)
               ? STATUS_SUCCESS
               : STATUS_ACCESS_DENIED;
}

/* Gives an open request its IRP and sends it. */
static NTSTATUS IopSendLock(PIOP_REQUEST Request, UCHAR MinorFunction, const IOP_LOCK_RANGE *Range, UCHAR Flags)
{
    PLARGE_INTEGER Length;
    NTSTATUS Status = IopAllocateRequestIrp(Request, IRP_MJ_LOCK_CONTROL, MinorFunction);

    if (!NT_SUCCESS(Status)) {
        return IopFailRequest(Request, Status);
    }
    Length = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Length), IOP_TAG_BUFFER);
    if (Length == NULL) {
        return IopFailRequest(Request, STATUS_INSUFFICIENT_RESOURCES);
    }
    *Length = Range->Length;
    Request->Irp->Tail.Overlay.AuxiliaryBuffer = (PCHAR)Length;
    Request->Stack->Flags = Flags;
    Request->Stack->Parameters.LockControl.Length = Length;
    Request->Stack->Parameters.LockControl.Key = Range->Key;
    Request->Stack->Parameters.LockControl.ByteOffset = Range->Offset;
    return IopIssueRequest(Request);
}

/**
 * NtLockFile - locks a range of bytes.
 *
 * @FailImmediately  TRUE: STATUS_LOCK_NOT_GRANTED instead of a wait
 * @ExclusiveLock    FALSE: others may read, and share it
 * returns           what the file system says; STATUS_PENDING: it waits; STATUS_ACCESS_DENIED: a handle that neither reads nor writes
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtLockFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                          PIO_STATUS_BLOCK IoStatusBlock, PLARGE_INTEGER ByteOffset, PLARGE_INTEGER Length, ULONG Key,
                          BOOLEAN FailImmediately, BOOLEAN ExclusiveLock)
{
    UCHAR Flags = (UCHAR)((FailImmediately ? SL_FAIL_IMMEDIATELY : 0) | (ExclusiveLock ? SL_EXCLUSIVE_LOCK : 0));
    IOP_LOCK_RANGE Range;
    IOP_REQUEST Request;
    NTSTATUS Status = IopCaptureRange(&Range, ByteOffset, Length, Key);

    Status = NT_SUCCESS(Status) ? IopCheckLockAccess(FileHandle) : Status;
    if (NT_SUCCESS(Status)) {
        Status = IopOpenRequest(&Request, FileHandle, Event, 0, IoStatusBlock, FALSE);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = IopSetCompletion(&Request, ApcRoutine, ApcContext);
    return NT_SUCCESS(Status) ? IopSendLock(&Request, IRP_MN_LOCK, &Range, Flags) : IopFailRequest(&Request, Status);
}

/* Unlocks exactly the range of a lock. STATUS_RANGE_NOT_LOCKED; what else the file system says. IRQL: PASSIVE_LEVEL. */
NTSTATUS NTAPI NtUnlockFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock, PLARGE_INTEGER ByteOffset,
                            PLARGE_INTEGER Length, ULONG Key)
{
    IOP_LOCK_RANGE Range;
    IOP_REQUEST Request;
    NTSTATUS Status = IopCaptureRange(&Range, ByteOffset, Length, Key);

    Status = NT_SUCCESS(Status) ? IopCheckLockAccess(FileHandle) : Status;
    if (NT_SUCCESS(Status)) {
        Status = IopOpenRequest(&Request, FileHandle, NULL, 0, IoStatusBlock, TRUE);
    }
    return NT_SUCCESS(Status) ? IopSendLock(&Request, IRP_MN_UNLOCK_SINGLE, &Range, 0) : Status;
}
