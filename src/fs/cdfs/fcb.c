/*
 * fcb.c - files and directories in use: finding, creating and dropping their FCBs.
 *
 * An FCB lives while References is not 0. A file's references are its file objects; Mm and Cc keep file objects (and so
 * the FCB, and with it the pages on standby) long after the last handle is closed. A directory is also referenced by its
 * children and by its stream files. It is read through one of them; when only streams are left, that one is given up, and its last
 * reference comes back as an IRP_MJ_CLOSE like any other. That may take as long as Mm keeps the pages: a directory that is read again
 * meanwhile gets another stream, beside the old one.
 *
 * IRP_MJ_CLOSE can arrive in any thread, one that holds an FCB's resource included, so it never waits for the VCB: if the
 * resource is not free at once, the reference goes on a list in memory that the FCB already has, and a worker thread
 * drops it.
 */
#include "cd.h"

typedef struct _CD_NODE {
    ULONGLONG FileId;
    PCD_FCB Fcb;
} CD_NODE;

static RTL_GENERIC_COMPARE_RESULTS NTAPI CdCompareNodes(PRTL_AVL_TABLE Table, PVOID First, PVOID Second)
{
    ULONGLONG A = ((CD_NODE *)First)->FileId;
    ULONGLONG B = ((CD_NODE *)Second)->FileId;

    UNREFERENCED_PARAMETER(Table);
    return A < B ? GenericLessThan : (A > B ? GenericGreaterThan : GenericEqual);
}

static PVOID NTAPI CdAllocateNode(PRTL_AVL_TABLE Table, CLONG Bytes)
{
    UNREFERENCED_PARAMETER(Table);
    return ExAllocatePoolWithTag(NonPagedPool, Bytes, CD_TAG_NODE);
}

static VOID NTAPI CdFreeNode(PRTL_AVL_TABLE Table, PVOID Buffer)
{
    UNREFERENCED_PARAMETER(Table);
    ExFreePoolWithTag(Buffer, CD_TAG_NODE);
}

/* Drops what closed file objects had referenced. Runs in a worker thread. */
static VOID NTAPI CdDelayedCloses(PVOID Context)
{
    PCD_VCB Vcb = Context;
    KIRQL Irql;

    FsRtlEnterFileSystem();
    ExAcquireResourceExclusiveLite(&Vcb->Resource, TRUE);
    KeAcquireSpinLock(&Vcb->DelayedLock, &Irql);
    while (!IsListEmpty(&Vcb->DelayedList)) {
        PCD_FCB Fcb = CONTAINING_RECORD(RemoveHeadList(&Vcb->DelayedList), CD_FCB, DelayedLink);
        ULONG Closes = Fcb->DelayedCloses;

        Fcb->Streams -= Fcb->DelayedStreams;
        Fcb->DelayedCloses = Fcb->DelayedStreams = 0;
        KeReleaseSpinLock(&Vcb->DelayedLock, Irql);
        while (Closes-- != 0) {
            CdDereferenceFcb(Fcb); /* the last one frees it; the count is exact */
        }
        KeAcquireSpinLock(&Vcb->DelayedLock, &Irql);
    }
    Vcb->DelayedQueued = FALSE;
    KeReleaseSpinLock(&Vcb->DelayedLock, Irql);
    ExReleaseResourceLite(&Vcb->Resource);
    FsRtlExitFileSystem();
}

VOID CdInitializeFcbTable(PCD_VCB Vcb)
{
    RtlInitializeGenericTableAvl(&Vcb->Fcbs, CdCompareNodes, CdAllocateNode, CdFreeNode, NULL);
    KeInitializeSpinLock(&Vcb->DelayedLock);
    InitializeListHead(&Vcb->DelayedList);
    ExInitializeWorkItem(&Vcb->DelayedWork, CdDelayedCloses, Vcb);
}

/**
 * CdFindFcb - the FCB with an identifier, referenced for the caller, or NULL.
 *
 * Locks: VCB exclusive.
 */
PCD_FCB CdFindFcb(PCD_VCB Vcb, ULONGLONG FileId)
{
    CD_NODE Key = {FileId, NULL};
    CD_NODE *Node = RtlLookupElementGenericTableAvl(&Vcb->Fcbs, &Key);

    if (Node == NULL) {
        return NULL;
    }
    Node->Fcb->References++;
    return Node->Fcb;
}

/* A record's date as NT time; 0, which shows as "no date", if it is none. */
VOID CdConvertDate(const uint8_t Date[7], PLARGE_INTEGER Time)
{
    TIME_FIELDS Fields = {(CSHORT)(1900 + Date[0]), Date[1], Date[2], Date[3], Date[4], Date[5], 0, 0};
    LONG Quarters = (signed char)Date[6]; /* of an hour east of Greenwich, -48..52 */

    Time->QuadPart = 0;
    if (RtlTimeFieldsToTime(&Fields, Time) && Quarters >= -48 && Quarters <= 52) {
        Time->QuadPart -= Quarters * 15LL * 60 * 10000000;
    }
}

/* Everything on a disc is read-only. */
ULONG CdRecordAttributes(const ISO_RECORD *Record)
{
    return FILE_ATTRIBUTE_READONLY | ((Record->Flags & ISO_FLAG_HIDDEN) != 0 ? FILE_ATTRIBUTE_HIDDEN : 0) |
           ((Record->Flags & ISO_FLAG_DIRECTORY) != 0 ? FILE_ATTRIBUTE_DIRECTORY : 0);
}

/* A directory that is its own ancestor could be walked for ever. */
static BOOLEAN CdIsLoop(PCD_FCB Parent, const ISO_RECORD *Record)
{
    for (; Parent != NULL; Parent = Parent->Parent) {
        if (Parent->Extent.Sector == Record->Extent.Sector) {
            return TRUE;
        }
    }
    return FALSE;
}

static VOID CdSetSizes(PCD_FCB Fcb)
{
    ULONGLONG Whole = (Fcb->Extent.Bytes + ISO_SECTOR - 1) / ISO_SECTOR * ISO_SECTOR;

    /* Whole sectors of a directory lie on the disc, and mapping whole ones spares the reader a special case. */
    if (CdIsDirectory(Fcb)) {
        Fcb->Extent.Bytes = Whole;
    }
    Fcb->Header.AllocationSize.QuadPart = (LONGLONG)Whole;
    Fcb->Header.FileSize.QuadPart = (LONGLONG)Fcb->Extent.Bytes;
    Fcb->Header.ValidDataLength = Fcb->Header.FileSize;
}

static VOID CdFreeFcb(PCD_FCB Fcb)
{
    FsRtlTeardownPerStreamContexts(&Fcb->Header);
    ExDeleteResourceLite(&Fcb->Resource);
    ExDeleteResourceLite(&Fcb->PagingIoResource);
    ExFreePoolWithTag(Fcb, CD_TAG_FCB);
}

/**
 * CdCreateFcb - an FCB for a record, with one reference for the caller; references its parent.
 *
 * @Parent   NULL for the root
 * Errors: STATUS_FILE_CORRUPT_ERROR (a file whose data is not all on the disc), STATUS_DISK_CORRUPT_ERROR (such a directory,
 * or one inside itself), STATUS_INSUFFICIENT_RESOURCES.
 *
 * Locks: VCB exclusive.
 */
NTSTATUS CdCreateFcb(PCD_VCB Vcb, PCD_FCB Parent, ULONGLONG FileId, const ISO_RECORD *Record, PCD_FCB *Result)
{
    BOOLEAN Directory = (Record->Flags & ISO_FLAG_DIRECTORY) != 0;
    USHORT NameBytes = (USHORT)(Record->NameLength * sizeof(WCHAR));
    CD_NODE Node = {FileId, NULL};
    PCD_FCB Fcb;

    if (Record->Damaged || (Directory && CdIsLoop(Parent, Record))) {
        return Directory ? STATUS_DISK_CORRUPT_ERROR : STATUS_FILE_CORRUPT_ERROR;
    }
    Fcb = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Fcb) + NameBytes, CD_TAG_FCB);
    if (Fcb == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(Fcb, sizeof(*Fcb));
    Node.Fcb = Fcb;
    if (RtlInsertElementGenericTableAvl(&Vcb->Fcbs, &Node, sizeof(Node), NULL) == NULL) {
        ExFreePoolWithTag(Fcb, CD_TAG_FCB);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Fcb->Header.NodeTypeCode = CD_NODE_FCB;
    Fcb->Header.NodeByteSize = sizeof(*Fcb);
    Fcb->Header.IsFastIoPossible = FastIoIsNotPossible;
    ExInitializeResourceLite(&Fcb->Resource);
    ExInitializeResourceLite(&Fcb->PagingIoResource);
    Fcb->Header.Resource = &Fcb->Resource;
    Fcb->Header.PagingIoResource = &Fcb->PagingIoResource;
    ExInitializeFastMutex(&Fcb->HeaderMutex);
    FsRtlSetupAdvancedHeader(&Fcb->Header, &Fcb->HeaderMutex);
    Fcb->Vcb = Vcb;
    Fcb->FileId = FileId;
    Fcb->Extent = Record->Extent;
    Fcb->Attributes = CdRecordAttributes(Record);
    CdConvertDate(Record->Date, &Fcb->Time);
    CdSetSizes(Fcb);
    Fcb->Name.Buffer = (PWSTR)(Fcb + 1);
    Fcb->Name.Length = Fcb->Name.MaximumLength = NameBytes;
    RtlCopyMemory(Fcb->Name.Buffer, Record->Name, NameBytes);
    Fcb->References = 1;
    Fcb->Parent = Parent;
    if (Parent != NULL) {
        Parent->References++;
    }
    *Result = Fcb;
    return STATUS_SUCCESS;
}

/**
 * CdDereferenceFcb - gives up a reference; the last one frees the FCB and then its parent's reference.
 *
 * Locks: VCB exclusive (kept). Giving up a stream can come back as IRP_MJ_CLOSE in this very thread.
 */
VOID CdDereferenceFcb(PCD_FCB Fcb)
{
    while (Fcb != NULL) {
        PCD_FCB Parent = Fcb->Parent;
        CD_NODE Key = {Fcb->FileId, NULL};

        ASSERT(Fcb->References != 0);
        if (--Fcb->References != 0) {
            if (Fcb->References == Fcb->Streams && Fcb->Stream != NULL) {
                PFILE_OBJECT Stream = Fcb->Stream;

                Fcb->Stream = NULL;
                CcUninitializeCacheMap(Stream, NULL, NULL);
                ObDereferenceObject(Stream); /* the FCB may be gone after this */
            }
            return;
        }
        RtlDeleteElementGenericTableAvl(&Fcb->Vcb->Fcbs, &Key);
        CdFreeFcb(Fcb);
        Fcb = Parent;
    }
}

/**
 * CdCloseFcbReference - gives up a file object's reference, now or soon.
 *
 * @Stream  it is that of a stream file object
 *
 * IRQL: <= APC_LEVEL.  Locks: takes the VCB only if it is free.
 */
VOID CdCloseFcbReference(PCD_FCB Fcb, BOOLEAN Stream)
{
    PCD_VCB Vcb = Fcb->Vcb;
    BOOLEAN Queue;
    KIRQL Irql;

    if (ExAcquireResourceExclusiveLite(&Vcb->Resource, FALSE)) {
        Fcb->Streams -= Stream;
        CdDereferenceFcb(Fcb);
        ExReleaseResourceLite(&Vcb->Resource);
        return;
    }
    KeAcquireSpinLock(&Vcb->DelayedLock, &Irql);
    if (Fcb->DelayedCloses++ == 0) {
        InsertTailList(&Vcb->DelayedList, &Fcb->DelayedLink);
    }
    Fcb->DelayedStreams += Stream;
    Queue = !Vcb->DelayedQueued;
    Vcb->DelayedQueued = TRUE;
    KeReleaseSpinLock(&Vcb->DelayedLock, Irql);
    if (Queue) {
        ExQueueWorkItem(&Vcb->DelayedWork, DelayedWorkQueue);
    }
}

/**
 * CdOpenStream - makes sure that a directory can be read through the cache.
 *
 * Errors: STATUS_INSUFFICIENT_RESOURCES; raises what CcInitializeCacheMap raises.
 *
 * Locks: VCB exclusive. The directory is referenced by the caller.
 */
NTSTATUS CdOpenStream(PCD_FCB Directory)
{
    PFILE_OBJECT Stream;

    if (Directory->Stream != NULL) {
        return STATUS_SUCCESS;
    }
    Stream = IoCreateStreamFileObjectLite(NULL, Directory->Vcb->Vpb->RealDevice);
    if (Stream == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Stream->FsContext = Directory;
    Stream->SectionObjectPointer = &Directory->Section;
    Stream->ReadAccess = TRUE;
    Directory->References++;
    Directory->Streams++;
    __try {
        CdStartCaching(Stream, Directory);
        Directory->Stream = Stream;
    } __finally {
        if (Directory->Stream == NULL) {
            ObDereferenceObject(Stream); /* its IRP_MJ_CLOSE gives the reference back */
        }
    }
    return STATUS_SUCCESS;
}
