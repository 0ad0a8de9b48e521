/*
 * cache.c - the file system as the cache manager's client.
 *
 * Cc calls these before it takes locks of its own, so that the order file, Cc, Mm holds for read-ahead too. The
 * context is the FCB; its resource is taken shared, because nothing ever changes a file here. Mm takes the same resource
 * exclusive around the creation of a section, through Header.Resource.
 */
#include "cd.h"

static BOOLEAN NTAPI CdAcquire(PVOID Context, BOOLEAN Wait)
{
    PCD_FCB Fcb = Context;

    if (!ExAcquireResourceSharedLite(&Fcb->Resource, Wait)) {
        return FALSE;
    }
    /* Marks reads that follow as Cc's own. */
    if (IoGetTopLevelIrp() == NULL) {
        IoSetTopLevelIrp((PIRP)FSRTL_CACHE_TOP_LEVEL_IRP);
    }
    return TRUE;
}

static VOID NTAPI CdRelease(PVOID Context)
{
    PCD_FCB Fcb = Context;

    if (IoGetTopLevelIrp() == (PIRP)FSRTL_CACHE_TOP_LEVEL_IRP) {
        IoSetTopLevelIrp(NULL);
    }
    ExReleaseResourceLite(&Fcb->Resource);
}

CACHE_MANAGER_CALLBACKS CdCacheCallbacks = {CdAcquire, CdRelease, CdAcquire, CdRelease};

static BOOLEAN NTAPI CdFastIoCheckIfPossible(PFILE_OBJECT FileObject, PLARGE_INTEGER FileOffset, ULONG Length,
                                             BOOLEAN Wait, ULONG LockKey, BOOLEAN CheckForReadOperation,
                                             PIO_STATUS_BLOCK IoStatus, PDEVICE_OBJECT DeviceObject)
{
    UNREFERENCED_PARAMETER(FileObject);
    UNREFERENCED_PARAMETER(FileOffset);
    UNREFERENCED_PARAMETER(Length);
    UNREFERENCED_PARAMETER(Wait);
    UNREFERENCED_PARAMETER(LockKey);
    UNREFERENCED_PARAMETER(IoStatus);
    UNREFERENCED_PARAMETER(DeviceObject);
    return CheckForReadOperation; /* nothing stands against reading: there are no byte-range locks and no oplocks */
}

FAST_IO_DISPATCH CdFastIo = {
    .SizeOfFastIoDispatch = sizeof(FAST_IO_DISPATCH),
    .FastIoCheckIfPossible = CdFastIoCheckIfPossible,
};

/**
 * CdStartCaching - makes a file object a user of the cache.
 *
 * Raises what CcInitializeCacheMap raises.  Locks: the FCB's resource, or for a stream the VCB.
 */
VOID CdStartCaching(PFILE_OBJECT FileObject, PCD_FCB Fcb)
{
    CC_FILE_SIZES Sizes;

    Sizes.AllocationSize = Fcb->Header.AllocationSize;
    Sizes.FileSize = Fcb->Header.FileSize;
    Sizes.ValidDataLength = Fcb->Header.ValidDataLength;
    CcInitializeCacheMap(FileObject, &Sizes, FALSE, &CdCacheCallbacks, Fcb);
}
