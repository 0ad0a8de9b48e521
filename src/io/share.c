/*
 * share.c - share access: who may open a file at the same time as whom.
 *
 * A SHARE_ACCESS belongs to one file and is guarded by the file system's lock on that file; these routines only compute. An open with
 * no read, write or delete access takes no part. Source: WDK documentation of IoCheckShareAccess and its kin. IRQL: PASSIVE_LEVEL.
 */
#include "iop.h"

static VOID IopNoteAccess(ACCESS_MASK Access, ULONG Share, PFILE_OBJECT File)
{
    File->ReadAccess = (Access & (FILE_EXECUTE | FILE_READ_DATA)) != 0;
    File->WriteAccess = (Access & (FILE_WRITE_DATA | FILE_APPEND_DATA)) != 0;
    File->DeleteAccess = (Access & DELETE) != 0;
    if (File->ReadAccess || File->WriteAccess || File->DeleteAccess) {
        File->SharedRead = (Share & FILE_SHARE_READ) != 0;
        File->SharedWrite = (Share & FILE_SHARE_WRITE) != 0;
        File->SharedDelete = (Share & FILE_SHARE_DELETE) != 0;
    } else {
        File->SharedRead = File->SharedWrite = File->SharedDelete = FALSE;
    }
}

static BOOLEAN IopTakesPart(PFILE_OBJECT File)
{
    return File->ReadAccess || File->WriteAccess || File->DeleteAccess;
}

VOID NTAPI IoUpdateShareAccess(PFILE_OBJECT FileObject, PSHARE_ACCESS ShareAccess)
{
    if (!IopTakesPart(FileObject)) {
        return;
    }
    ShareAccess->OpenCount++;
    ShareAccess->Readers += FileObject->ReadAccess;
    ShareAccess->Writers += FileObject->WriteAccess;
    ShareAccess->Deleters += FileObject->DeleteAccess;
    ShareAccess->SharedRead += FileObject->SharedRead;
    ShareAccess->SharedWrite += FileObject->SharedWrite;
    ShareAccess->SharedDelete += FileObject->SharedDelete;
}

VOID NTAPI IoRemoveShareAccess(PFILE_OBJECT FileObject, PSHARE_ACCESS ShareAccess)
{
    if (!IopTakesPart(FileObject)) {
        return;
    }
    ShareAccess->OpenCount--;
    ShareAccess->Readers -= FileObject->ReadAccess;
    ShareAccess->Writers -= FileObject->WriteAccess;
    ShareAccess->Deleters -= FileObject->DeleteAccess;
    ShareAccess->SharedRead -= FileObject->SharedRead;
    ShareAccess->SharedWrite -= FileObject->SharedWrite;
    ShareAccess->SharedDelete -= FileObject->SharedDelete;
}

VOID NTAPI IoSetShareAccess(ACCESS_MASK DesiredAccess, ULONG DesiredShareAccess, PFILE_OBJECT FileObject,
                            PSHARE_ACCESS ShareAccess)
{
    IopNoteAccess(DesiredAccess, DesiredShareAccess, FileObject);
    RtlZeroMemory(ShareAccess, sizeof(*ShareAccess));
    IoUpdateShareAccess(FileObject, ShareAccess);
}

NTSTATUS NTAPI IoCheckShareAccess(ACCESS_MASK DesiredAccess, ULONG DesiredShareAccess, PFILE_OBJECT FileObject,
                                  PSHARE_ACCESS ShareAccess, BOOLEAN Update)
{
    IopNoteAccess(DesiredAccess, DesiredShareAccess, FileObject);
    if (!IopTakesPart(FileObject)) {
        return STATUS_SUCCESS;
    }
    if ((FileObject->ReadAccess && ShareAccess->SharedRead < ShareAccess->OpenCount) ||
        (FileObject->WriteAccess && ShareAccess->SharedWrite < ShareAccess->OpenCount) ||
        (FileObject->DeleteAccess && ShareAccess->SharedDelete < ShareAccess->OpenCount) ||
        (ShareAccess->Readers != 0 && !FileObject->SharedRead) ||
        (ShareAccess->Writers != 0 && !FileObject->SharedWrite) ||
        (ShareAccess->Deleters != 0 && !FileObject->SharedDelete)) {
        return STATUS_SHARING_VIOLATION;
    }
    if (Update) {
        IoUpdateShareAccess(FileObject, ShareAccess);
    }
    return STATUS_SUCCESS;
}
