/*
 * close.c - IRP_MJ_CLEANUP and IRP_MJ_CLOSE.
 *
 * Cleanup comes when the last handle to a file object goes: sharing is given back and the file object leaves the cache, but the
 * file object itself, and so the FCB, stays as long as Mm or Cc refer to it. Close comes when nobody does any more;
 * it may come in any thread and only gives a reference back (fcb.c). Neither can fail.
 */
#include "cd.h"

/**
 * CdCleanup - IRP_MJ_CLEANUP.  IRQL: PASSIVE_LEVEL.
 */
NTSTATUS CdCleanup(PCD_VCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack)
{
    PFILE_OBJECT FileObject = Stack->FileObject;
    PCD_FCB Fcb = CdFcbOf(FileObject);

    /* A stream file object was never opened by a handle, and has no CCB. */
    if (FileObject->FsContext == NULL || (Fcb != NULL && FileObject->FsContext2 == NULL)) {
        return CdComplete(Irp, STATUS_SUCCESS, 0);
    }
    if (Fcb != NULL && !CdIsDirectory(Fcb)) {
        CcUninitializeCacheMap(FileObject, NULL, NULL);
    }
    ExAcquireResourceExclusiveLite(&Vcb->Resource, TRUE);
    if (Fcb != NULL) {
        IoRemoveShareAccess(FileObject, &Fcb->Share);
        Fcb->Handles--;
    } else {
        IoRemoveShareAccess(FileObject, &Vcb->VolumeShare);
    }
    ExReleaseResourceLite(&Vcb->Resource);
    FileObject->Flags |= FO_CLEANUP_COMPLETE;
    return CdComplete(Irp, STATUS_SUCCESS, 0);
}

/**
 * CdClose - IRP_MJ_CLOSE.  IRQL: <= APC_LEVEL.
 */
NTSTATUS CdClose(PCD_VCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack)
{
    PFILE_OBJECT FileObject = Stack->FileObject;
    PCD_FCB Fcb = CdFcbOf(FileObject);
    PCD_CCB Ccb = FileObject->FsContext2;

    UNREFERENCED_PARAMETER(Vcb);
    FileObject->FsContext = NULL;
    FileObject->FsContext2 = NULL;
    if (Ccb != NULL) {
        if (Ccb->Pattern.Buffer != NULL) {
            RtlFreeUnicodeString(&Ccb->Pattern);
        }
        ExFreePoolWithTag(Ccb, CD_TAG_CCB);
    }
    if (Fcb != NULL) {
        CdCloseFcbReference(Fcb, (FileObject->Flags & FO_STREAM_FILE) != 0);
    }
    return CdComplete(Irp, STATUS_SUCCESS, 0);
}
