/*
 * mapdata.c - direct access to cached data: ranges that a file system maps, reads and gives back.
 *
 * CcMapData makes the pages of a range resident in their view and returns an address and a BCB; the BCB holds one use of
 * the view, so the address stays good until CcUnpinData. Pages may leave memory meanwhile and then fault in again, so the caller
 * touches them at IRQL <= APC_LEVEL, inside __try if the device may fail. The mapping is read-only.
 *
 * A BCB keeps its shared cache map alive, even when the last file object has been closed since. A range lies in one 256 KB view:
 * one that crosses a boundary is refused (docs/limits.md).
 */
#include "ccp.h"

/**
 * CcMapData - maps a range of a cached stream for reading.
 *
 * @FileOffset, @Length  the range; inside one 256 KB view, and inside the section
 * @Flags                MAP_WAIT: read what is missing; without it, FALSE is returned when something is. MAP_NO_READ: map
 *                       only, pages come by fault
 * @Bcb, @Buffer         receive the BCB for CcUnpinData and the address of the first byte
 * returns               TRUE: mapped
 *
 * IRQL: <= APC_LEVEL; no locks. Raises: the status of the failed page read, STATUS_INSUFFICIENT_RESOURCES,
 * STATUS_NOT_IMPLEMENTED (range crosses a view), STATUS_INVALID_VIEW_SIZE (past the section's end).
 */
BOOLEAN NTAPI CcMapData(PFILE_OBJECT FileObject, PLARGE_INTEGER FileOffset, ULONG Length, ULONG Flags, PVOID *Bcb,
                        PVOID *Buffer)
{
    PSHARED_CACHE_MAP Map = FileObject->SectionObjectPointer->SharedCacheMap;
    ULONG InView = (ULONG)FileOffset->QuadPart & (VACB_MAPPING_GRANULARITY - 1);
    PCCP_BCB New;
    PVACB Vacb;
    PVOID Address;
    NTSTATUS Status;

    ASSERT_IRQL_MAX(APC_LEVEL);
    ASSERT(Map != NULL);
    if (Length == 0 || Length > VACB_MAPPING_GRANULARITY - InView) {
        ExRaiseStatus(STATUS_NOT_IMPLEMENTED);
    }
    New = ExAllocatePoolWithTag(NonPagedPool, sizeof(*New), CCP_TAG_BCB);
    if (New == NULL) {
        ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
    }
    Status = CcpAcquireView(Map, FileOffset->QuadPart, &Vacb);
    if (!NT_SUCCESS(Status)) {
        ExFreePoolWithTag(New, CCP_TAG_BCB);
        ExRaiseStatus(Status);
    }
    Address = (PUCHAR)Vacb->Base + InView;
    if (InView + Length > ROUND_TO_PAGES(Vacb->Bytes)) {
        Status = STATUS_INVALID_VIEW_SIZE;
    } else if ((Flags & MAP_NO_READ) == 0 && (Flags & MAP_WAIT) != 0) {
        Status = MmMakeViewResident(Address, Length);
    } else if ((Flags & MAP_WAIT) == 0 && !MmMapResidentPages(Address, Length)) {
        Status = STATUS_CANT_WAIT;
    }
    if (!NT_SUCCESS(Status)) {
        CcpReleaseView(Vacb);
        ExFreePoolWithTag(New, CCP_TAG_BCB);
        if (Status == STATUS_CANT_WAIT) {
            return FALSE;
        }
        ExRaiseStatus(Status);
    }
    RtlZeroMemory(New, sizeof(*New));
    New->Public.NodeTypeCode = CCP_NODE_BCB;
    New->Public.NodeByteSize = sizeof(*New);
    New->Public.MappedLength = Length;
    New->Public.MappedFileOffset = *FileOffset;
    New->Vacb = Vacb;
    New->Map = Map;
    InterlockedIncrement64((volatile LONG64 *)&CcCounters.DataMaps);
    *Bcb = New;
    *Buffer = Address;
    return TRUE;
}

/* Gives a BCB back; its address is no longer good. IRQL: <= APC_LEVEL; no locks. */
VOID NTAPI CcUnpinData(PVOID Bcb)
{
    PCCP_BCB Mapped = Bcb;
    PVACB Vacb = Mapped->Vacb;

    ASSERT_IRQL_MAX(APC_LEVEL);
    ASSERT(Mapped->Public.NodeTypeCode == CCP_NODE_BCB);
    Mapped->Public.NodeTypeCode = 0;
    ExFreePoolWithTag(Mapped, CCP_TAG_BCB);
    CcpReleaseView(Vacb);
}

/**
 * CcRemapBcb - a second BCB for the same mapped range; both are given back by CcUnpinData.
 *
 * IRQL: <= APC_LEVEL; no locks. Raises: STATUS_INSUFFICIENT_RESOURCES.
 */
PVOID NTAPI CcRemapBcb(PVOID Bcb)
{
    PCCP_BCB New = ExAllocatePoolWithTag(NonPagedPool, sizeof(*New), CCP_TAG_BCB);

    ASSERT_IRQL_MAX(APC_LEVEL);
    if (New == NULL) {
        ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
    }
    *New = *(PCCP_BCB)Bcb;
    CcpReferenceView(New->Vacb);
    return New;
}
