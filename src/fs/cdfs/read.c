/*
 * read.c - IRP_MJ_READ.
 *
 * Cached reads go to Cc, which comes back for the pages that are missing with paging reads; those, and reads of handles
 * opened without caching, go to the drive. A file is one run of sectors, so a read is one request: the caller's
 * IRP goes down with the file offset turned into a disc address and the length cut to the sectors that hold data. What the
 * MDL covers beyond the end of the file is zeroed here, the rest of the last sector included: it holds whatever the
 * mastering program left there.
 *
 * A paging read takes no lock (the FCB is kept by the file object and never changes), runs at or below APC_LEVEL and
 * waits for the drive in its own thread.
 */
#include "cd.h"

/* Zeroes bytes [From, From + Bytes) of what the MDL describes. */
static NTSTATUS CdZeroTail(PMDL Mdl, ULONG From, ULONG Bytes)
{
    PVOID Start = (PUCHAR)MmGetMdlVirtualAddress(Mdl) + From;
    PMDL Part;
    PVOID Address;

    if (Bytes == 0) {
        return STATUS_SUCCESS;
    }
    /* Only the pages of the tail are mapped, and only for this moment. */
    Part = IoAllocateMdl(Start, Bytes, FALSE, FALSE, NULL);
    if (Part == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    IoBuildPartialMdl(Mdl, Part, Start, Bytes);
    Address = MmGetSystemAddressForMdlSafe(Part, HighPagePriority);
    if (Address != NULL) {
        RtlZeroMemory(Address, Bytes);
    }
    IoFreeMdl(Part);
    return Address != NULL ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
}

/**
 * CdReadFromDrive - reads part of a run of sectors into the IRP's MDL.
 *
 * @Extent  where the data lies; Offset < Extent->Bytes
 * @Offset  bytes from its start, a multiple of ISO_SECTOR
 * @Length  bytes that the MDL has room for, a multiple of ISO_SECTOR
 * @Read    gets the bytes of data that were read (less than Length at the end)
 */
static NTSTATUS CdReadFromDrive(PCD_VCB Vcb, PIRP Irp, const ISO_EXTENT *Extent, ULONGLONG Offset, ULONG Length,
                                PULONG Read)
{
    PIO_STACK_LOCATION Next = IoGetNextIrpStackLocation(Irp);
    ULONG Data = (ULONG)min((ULONGLONG)Length, Extent->Bytes - Offset);
    ULONG Sectors = (Data + ISO_SECTOR - 1) / ISO_SECTOR * ISO_SECTOR;
    NTSTATUS Status;

    CdLockUserBuffer(Irp, Length);
    RtlZeroMemory(Next, sizeof(*Next));
    Next->MajorFunction = IRP_MJ_READ;
    Next->Parameters.Read.Length = Sectors;
    Next->Parameters.Read.ByteOffset.QuadPart = (LONGLONG)((ULONGLONG)Extent->Sector * ISO_SECTOR + Offset);
    Status = CdForwardAndWait(Vcb->TargetDevice, Irp);
    if (NT_SUCCESS(Status) && Irp->IoStatus.Information != Sectors) {
        Status = STATUS_UNEXPECTED_IO_ERROR;
    }
    if (NT_SUCCESS(Status)) {
        Status = CdZeroTail(Irp->MdlAddress, Data, Length - Data);
    }
    *Read = Data;
    return Status;
}

static NTSTATUS CdReadNonCached(PCD_VCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack, const ISO_EXTENT *Extent, PULONG Read)
{
    ULONGLONG Offset = (ULONGLONG)Stack->Parameters.Read.ByteOffset.QuadPart;
    ULONG Length = Stack->Parameters.Read.Length;

    if (Offset % ISO_SECTOR != 0 || Length % ISO_SECTOR != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    return CdReadFromDrive(Vcb, Irp, Extent, Offset, Length, Read);
}

static NTSTATUS CdReadCached(PCD_FCB Fcb, PIRP Irp, PIO_STACK_LOCATION Stack, PULONG Read)
{
    PFILE_OBJECT FileObject = Stack->FileObject;
    PVOID Buffer = CdMapUserBuffer(Irp);
    IO_STATUS_BLOCK Iosb = {0};

    ExAcquireResourceSharedLite(&Fcb->Resource, TRUE);
    __try {
        if (FileObject->PrivateCacheMap == NULL) {
            CdStartCaching(FileObject, Fcb);
        }
        if (!CcCopyRead(FileObject, &Stack->Parameters.Read.ByteOffset, Stack->Parameters.Read.Length, TRUE, Buffer,
                        &Iosb)) {
            Iosb.Status = STATUS_UNEXPECTED_IO_ERROR; /* it was allowed to wait, so it has no reason to refuse */
        }
    } __finally {
        ExReleaseResourceLite(&Fcb->Resource);
    }
    *Read = (ULONG)Iosb.Information;
    return Iosb.Status;
}

/* Extent that a read refers to; for the volume, the whole disc. */
static NTSTATUS CdReadableExtent(PCD_VCB Vcb, PCD_FCB Fcb, BOOLEAN Paging, ISO_EXTENT *Extent)
{
    if (Fcb == NULL) {
        ULONG Sectors = Vcb->Iso.DiscSectors;

        Extent->Sector = 0;
        Extent->Bytes = (ULONGLONG)(Sectors == MAXULONG ? Vcb->Iso.VolumeSectors : Sectors) * ISO_SECTOR;
        return STATUS_SUCCESS;
    }
    /* A directory is read by its stream only; its bytes are not for handles. */
    if (CdIsDirectory(Fcb) && !Paging) {
        return STATUS_INVALID_DEVICE_REQUEST;
    }
    *Extent = Fcb->Extent;
    return STATUS_SUCCESS;
}

/**
 * CdRead - IRP_MJ_READ on a file, a directory's stream or the volume.
 *
 * Errors: STATUS_END_OF_FILE, STATUS_INVALID_PARAMETER (a negative offset, or a part of a sector without caching),
 * STATUS_INVALID_DEVICE_REQUEST (a directory), the drive's.  IRQL: <= APC_LEVEL for paging reads, else PASSIVE_LEVEL.
 */
NTSTATUS CdRead(PCD_VCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack)
{
    PFILE_OBJECT FileObject = Stack->FileObject;
    PCD_FCB Fcb = CdFcbOf(FileObject);
    LONGLONG Offset = Stack->Parameters.Read.ByteOffset.QuadPart;
    BOOLEAN Paging = (Irp->Flags & IRP_PAGING_IO) != 0;
    ISO_EXTENT Extent;
    ULONG Read = 0;
    NTSTATUS Status = CdReadableExtent(Vcb, Fcb, Paging, &Extent);

    if (NT_SUCCESS(Status)) {
        if (Stack->MinorFunction != IRP_MN_NORMAL) {
            Status = STATUS_NOT_IMPLEMENTED; /* MDL reads */
        } else if (Offset < 0) {
            Status = STATUS_INVALID_PARAMETER;
        } else if (Stack->Parameters.Read.Length == 0) {
            Status = STATUS_SUCCESS;
        } else if ((ULONGLONG)Offset >= Extent.Bytes) {
            Status = STATUS_END_OF_FILE;
        } else if (Fcb == NULL || Paging || (Irp->Flags & IRP_NOCACHE) != 0 ||
                   (FileObject->Flags & FO_NO_INTERMEDIATE_BUFFERING) != 0) {
            Status = CdReadNonCached(Vcb, Irp, Stack, &Extent, &Read);
        } else {
            Status = CdReadCached(Fcb, Irp, Stack, &Read);
        }
    }
    if (!NT_SUCCESS(Status)) {
        Read = 0;
    } else if (!Paging && (FileObject->Flags & FO_SYNCHRONOUS_IO) != 0) {
        FileObject->CurrentByteOffset.QuadPart = Offset + Read;
    }
    return CdComplete(Irp, Status, Read);
}
