/*
 * cd.h - the structures of cdfs.sys and what its files offer one another.
 *
 * VCB: one per mounted volume, in the extension of its volume device object. FCB: one per file or directory in use,
 * found by its file identifier (where its record lies on the disc), kept while a file object, a stream file or a child
 * refers to it. CCB: one per open handle. Legend: (c) constant after creation, (v) VCB resource held exclusive,
 * (i) interlocked, (d) delayed-close spin lock. The order of locks: VCB resource, then an FCB's resource.
 */
#pragma once

/* wdm.h defines these two in every file that includes it; renamed after <intrin.h> has declared them, they stay static. */
#include <intrin.h>
#define InterlockedBitTestAndSet   CdUnusedBitTestAndSet
#define InterlockedBitTestAndReset CdUnusedBitTestAndReset
#include <ntifs.h>
#undef InterlockedBitTestAndSet
#undef InterlockedBitTestAndReset

#include <ntdddisk.h>
#include <ntddcdrm.h>

#include "iso.h"

#define CD_TAG_FCB  'fFdC'
#define CD_TAG_CCB  'cFdC'
#define CD_TAG_IO   'iFdC'
#define CD_TAG_NODE 'nFdC'

/* Node types of FsContext; Microsoft's file systems use other ranges. */
#define CD_NODE_VCB ((CSHORT)0x0C01)
#define CD_NODE_FCB ((CSHORT)0x0C02)

#define CD_ROOT_ID 0ULL /* sector 0 is the system area, so no record has this identifier */

typedef struct _CD_VCB {
    CSHORT NodeType; /* (c) CD_NODE_VCB */
    ERESOURCE Resource;
    PDEVICE_OBJECT VolumeDevice; /* (c) ours */
    PDEVICE_OBJECT TargetDevice; /* (c) the drive; referenced */
    PVPB Vpb;                    /* (c) */
    ISO_VOLUME Iso;              /* (c) */
    LARGE_INTEGER CreationTime;  /* (c) */
    RTL_AVL_TABLE Fcbs;          /* (v) every FCB, by identifier */
    struct _CD_FCB *Root;        /* (c) referenced by the VCB */
    SHARE_ACCESS VolumeShare;    /* (v) handles to the volume itself */

    KSPIN_LOCK DelayedLock;
    LIST_ENTRY DelayedList;      /* (d) FCBs with closes to do */
    BOOLEAN DelayedQueued;       /* (d) the work item is on its way */
    WORK_QUEUE_ITEM DelayedWork; /* queued while DelayedQueued */
} CD_VCB, *PCD_VCB;

typedef struct _CD_FCB {
    FSRTL_ADVANCED_FCB_HEADER Header; /* (c) sizes never change */
    SECTION_OBJECT_POINTERS Section;  /* Cc's and Mm's */
    ERESOURCE Resource;               /* Header.Resource */
    ERESOURCE PagingIoResource;       /* Header.PagingIoResource */
    FAST_MUTEX HeaderMutex;
    PCD_VCB Vcb;            /* (c) */
    struct _CD_FCB *Parent; /* (c) referenced; NULL for the root */
    ULONGLONG FileId;       /* (c) byte address of the record on the disc, or CD_ROOT_ID */
    ISO_EXTENT Extent;      /* (c) Bytes of a directory are rounded up to whole sectors */
    ULONG Attributes;       /* (c) FILE_ATTRIBUTE_* */
    LARGE_INTEGER Time;     /* (c) */
    ULONG References;       /* (v) file objects, stream files, children, callers in transit */
    ULONG Streams;       /* (v) those of stream files: of a directory, Stream and older ones that Mm still refers to */
    ULONG Handles;       /* (v) file objects before IRP_MJ_CLEANUP */
    SHARE_ACCESS Share;  /* (v) */
    PFILE_OBJECT Stream; /* (v) of a directory: through which it is read; NULL until needed */
    LIST_ENTRY DelayedLink; /* (d) */
    ULONG DelayedCloses;    /* (d) references that closed file objects gave up; on the list while not 0 */
    ULONG DelayedStreams;   /* (d) how many of them were stream files */
    UNICODE_STRING Name;    /* (c) last component, as on the disc; the buffer follows the structure */
} CD_FCB, *PCD_FCB;

#define CD_CCB_MATCH_ALL 0x1 /* the pattern is "*" */
#define CD_CCB_STARTED   0x2 /* a query has fixed the pattern */
#define CD_CCB_RETURNED  0x4 /* some entry was returned for the pattern */

typedef struct _CD_CCB {
    ULONG Flags;            /* (v) */
    UNICODE_STRING Pattern; /* (v) upper case; buffer allocated by RtlUpcaseUnicodeString, or NULL */
    ULONG Offset;           /* (v) where the next entry of a directory is looked for */
} CD_CCB, *PCD_CCB;

/* Reading a directory: the sector mapped last stays mapped until the next one is asked for. */
typedef struct _CD_READER {
    PCD_FCB Directory;
    PVOID Bcb; /* NULL: nothing mapped */
    ULONG Offset;
    const uint8_t *Data;
} CD_READER, *PCD_READER;

/* init.c */
extern PDEVICE_OBJECT CdFileSystemDevice;
NTSTATUS CdComplete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information);
VOID CdLockUserBuffer(PIRP Irp, ULONG Bytes);
PVOID CdMapUserBuffer(PIRP Irp);

/* Filter of every handler: expected statuses are handled, anything else is a bug and stops the machine. */
LONG CdExceptionFilter(PEXCEPTION_POINTERS Pointers, NTSTATUS *Status);

/* device.c: requests to the drive */
NTSTATUS CdReadSectors(PDEVICE_OBJECT Target, ULONG Sector, ULONG Bytes, PVOID Buffer);
NTSTATUS CdDeviceControl(PDEVICE_OBJECT Target, ULONG Code, PVOID Output, ULONG Bytes);
NTSTATUS CdForwardAndWait(PDEVICE_OBJECT Target, PIRP Irp);

/* mount.c */
NTSTATUS CdMountVolume(PIRP Irp, PIO_STACK_LOCATION Stack);

/* fcb.c: all with the VCB exclusive, except CdCloseFcbReference */
PCD_FCB CdFindFcb(PCD_VCB Vcb, ULONGLONG FileId);
NTSTATUS CdCreateFcb(PCD_VCB Vcb, PCD_FCB Parent, ULONGLONG FileId, const ISO_RECORD *Record, PCD_FCB *Fcb);
VOID CdDereferenceFcb(PCD_FCB Fcb);
VOID CdCloseFcbReference(PCD_FCB Fcb, BOOLEAN Stream);
NTSTATUS CdOpenStream(PCD_FCB Directory);
VOID CdInitializeFcbTable(PCD_VCB Vcb);
VOID CdConvertDate(const uint8_t Date[7], PLARGE_INTEGER Time);
ULONG CdRecordAttributes(const ISO_RECORD *Record);

/* directory.c: the VCB exclusive */
VOID CdBeginReading(PCD_READER Reader, PCD_FCB Directory);
VOID CdEndReading(PCD_READER Reader);
ISO_RESULT CdNextEntry(PCD_READER Reader, PULONG Offset, ISO_RECORD *Record);
ULONGLONG CdEntryId(PCD_FCB Directory, const ISO_RECORD *Record);
NTSTATUS CdLookup(PCD_FCB Directory, PUNICODE_STRING Name, BOOLEAN IgnoreCase, ISO_RECORD *Record);

/* cache.c */
extern CACHE_MANAGER_CALLBACKS CdCacheCallbacks;
extern FAST_IO_DISPATCH CdFastIo;
VOID CdStartCaching(PFILE_OBJECT FileObject, PCD_FCB Fcb);

/* One handler a major function; each completes the IRP. */
NTSTATUS CdCreate(PCD_VCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack);
NTSTATUS CdCleanup(PCD_VCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack);
NTSTATUS CdClose(PCD_VCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack);
NTSTATUS CdRead(PCD_VCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack);
NTSTATUS CdQueryInformation(PCD_VCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack);
NTSTATUS CdSetInformation(PCD_VCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack);
NTSTATUS CdQueryVolumeInformation(PCD_VCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack);
NTSTATUS CdDirectoryControl(PCD_VCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack);
NTSTATUS CdDeviceControlRequest(PCD_VCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack);

/* What a file object is open on: an FCB, or NULL for the volume itself. */
FORCEINLINE PCD_FCB CdFcbOf(PFILE_OBJECT FileObject)
{
    PCD_FCB Fcb = FileObject->FsContext;

    return Fcb != NULL && Fcb->Header.NodeTypeCode == CD_NODE_FCB ? Fcb : NULL;
}

FORCEINLINE BOOLEAN CdIsDirectory(PCD_FCB Fcb)
{
    return (Fcb->Attributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
}
