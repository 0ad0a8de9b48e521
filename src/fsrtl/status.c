/*
 * status.c - which statuses a file system may meet, and pool that raises.
 *
 * A file system wraps its requests in a handler. Some exceptions there mean that an I/O operation or an allocation failed,
 * which is the request's own affair; others mean a bug, and must not be handled. FsRtlIsNtstatusExpected draws the line.
 *
 * Source: the routines' pages in the Windows driver documentation.
 */
#include <ntos/ntos.h>

/** FsRtlIsNtstatusExpected - FALSE for the exceptions that only a bug raises.  IRQL: any. */
BOOLEAN NTAPI FsRtlIsNtstatusExpected(NTSTATUS Ntstatus)
{
    switch (Ntstatus) {
    case STATUS_ACCESS_VIOLATION:
    case STATUS_DATATYPE_MISALIGNMENT:
    case STATUS_ILLEGAL_INSTRUCTION:
    case STATUS_INSTRUCTION_MISALIGNMENT:
        return FALSE;
    default:
        return TRUE;
    }
}

/** FsRtlNormalizeNtstatus - the exception's status if it is an expected one, else the generic one.  IRQL: any. */
NTSTATUS NTAPI FsRtlNormalizeNtstatus(NTSTATUS Exception, NTSTATUS GenericException)
{
    return FsRtlIsNtstatusExpected(Exception) ? Exception : GenericException;
}

/** FsRtlIsTotalDeviceFailure - whether an error is the device's, rather than that of one bad spot on it.  IRQL: any. */
BOOLEAN NTAPI FsRtlIsTotalDeviceFailure(NTSTATUS Status)
{
    return !NT_SUCCESS(Status) && Status != STATUS_CRC_ERROR && Status != STATUS_DEVICE_DATA_ERROR;
}

/**
 * FsRtlAllocatePoolWithTag - pool, or an exception: STATUS_INSUFFICIENT_RESOURCES.
 *
 * IRQL: as ExAllocatePoolWithTag; at most APC_LEVEL, because it may raise.
 */
PVOID NTAPI FsRtlAllocatePoolWithTag(POOL_TYPE PoolType, ULONG NumberOfBytes, ULONG Tag)
{
    PVOID Block = ExAllocatePoolWithTag(PoolType, NumberOfBytes, Tag);

    if (Block == NULL) {
        ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
    }
    return Block;
}

/** FsRtlAllocatePool - FsRtlAllocatePoolWithTag with a tag of its own. */
PVOID NTAPI FsRtlAllocatePool(POOL_TYPE PoolType, ULONG NumberOfBytes)
{
    return FsRtlAllocatePoolWithTag(PoolType, NumberOfBytes, 'pRsF');
}
