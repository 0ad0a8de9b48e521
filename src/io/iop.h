/*
 * iop.h - what the I/O manager's files share.
 *
 * Locks, none taken inside another except as said: IopDatabaseLock (spin) guards device lists, attachments, device and volume
 * reference counts and VPB fields; the cancel lock (spin) guards cancel routines being called; IopFileSystemLock (fast mutex) guards the
 * lists of file systems; a device's DeviceLock event serialises mounting it and is the outermost. Drivers are
 * called with none of them held but DeviceLock (mount requests).
 */
#pragma once

#include <ntos/io.h>
#include <ntos/ke.h>
#include <ntos/ob.h>
#include <ntos/ps.h>

#define IOP_TAG_IRP    ' prI'
#define IOP_TAG_MDL    ' ldM'
#define IOP_TAG_BUFFER 'fuBI'
#define IOP_TAG_NAME   'maNI'
#define IOP_TAG_VPB    ' bpV'
#define IOP_TAG_WORK   'krWI'
#define IOP_TAG_DRIVER 'vrDI'

/* Types in the first word of I/O structures, as debuggers know them. */
#define IOP_TYPE_DEVICE 3
#define IOP_TYPE_DRIVER 4
#define IOP_TYPE_FILE   5
#define IOP_TYPE_IRP    6
#define IOP_TYPE_TIMER  9
#define IOP_TYPE_VPB    10
#define IOP_TYPE_DEVEXT 13

#define IOP_DEVICE_DELETE_PENDING 0x01U
#define IOP_DEVICE_LINKED         0x02U /* on its driver's list */
#define IOP_DEVICE_UNLOAD_PENDING 0x04U /* its driver is to be unloaded: no new opens and attachments */
#define IOP_DEVICE_HOLDS_DRIVER   0x08U /* references its driver object */

/* The I/O manager's own part of a device object. (b) IopDatabaseLock  (i) interlocked  (c) constant after creation */
typedef struct _IOP_DEVICE_EXTENSION {
    DEVOBJ_EXTENSION Public;
    PDEVICE_OBJECT AttachedTo;                            /* (b) the device below */
    ULONG Flags;                                          /* (b) IOP_DEVICE_* */
    ULONG StartIoFlags;                                   /* (c) IOP_STARTIO_*, set before the first packet */
    volatile LONG StartIoCount;                           /* (i) nesting of StartIo calls, with deferred starts */
    LONG StartIoKey;                                      /* of the deferred start; only with StartIoCount held */
    volatile LONG64 Reads, ReadBytes, Writes, WriteBytes; /* (i) transfers sent to this device */
} IOP_DEVICE_EXTENSION, *PIOP_DEVICE_EXTENSION;

FORCEINLINE PIOP_DEVICE_EXTENSION IopExtension(PDEVICE_OBJECT Device)
{
    return (PIOP_DEVICE_EXTENSION)Device->DeviceObjectExtension;
}

/* What IoCreateFile hands through the object manager to IopParseDevice, and back. */
#define IOP_OPEN_PACKET_TYPE 0x4F50 /* tells our packet from another component's parse context */

typedef struct _IOP_OPEN_PACKET {
    ULONG Type;
    ULONG Disposition;
    ULONG CreateOptions;
    ULONG FileAttributes;
    ULONG ShareAccess;
    ULONG Options; /* IO_* of IoCreateFile */
    ULONG EaLength;
    PVOID EaBuffer; /* pool or NULL */
    CREATE_FILE_TYPE Kind;
    PVOID Parameters; /* NAMED_PIPE_CREATE_PARAMETERS of a named pipe */
    ACCESS_MASK DesiredAccess;
    LARGE_INTEGER AllocationSize;
    PFILE_OBJECT RelatedFileObject; /* the open is relative to this file */
    PFILE_OBJECT FileObject;        /* made by the parse procedure */
    ULONG_PTR Information;
    NTSTATUS FinalStatus;
    BOOLEAN ParseCompleted; /* the parse procedure ran: FinalStatus and Information count */
} IOP_OPEN_PACKET, *PIOP_OPEN_PACKET;

extern KSPIN_LOCK IopDatabaseLock;
/* Memory for an IRP, and back; Site: who asked, Flags: for AllocationFlags. IRQL: <= DISPATCH_LEVEL. (irpcache.c) */
PIRP IopTakeIrp(CCHAR StackSize, PVOID Site, PUCHAR Flags);
VOID IopGiveIrp(PIRP Irp);
VOID IopInitializeIrpLists(VOID); /* by IoInitialize */
VOID IopTrimIrps(VOID);           /* gives what is kept back to the pool. IRQL: <= DISPATCH_LEVEL */
extern volatile LONG64 IopIrpCount, IopMdlCount, IopIrpsCompleted, IopPagingReads, IopPagingWrites;
extern volatile LONG64 IopDiskReads, IopDiskReadBytes, IopDiskWrites, IopDiskWriteBytes;

/* device.c */
NTSTATUS IopCreateDeviceType(VOID);
VOID IopReferenceDevice(PDEVICE_OBJECT Device);
VOID IopDereferenceDevice(PDEVICE_OBJECT Device);

/* driver.c */
typedef struct _IOP_CLIENT_EXTENSION {
    struct _IOP_CLIENT_EXTENSION *Next; /* (b) */
    PVOID Identifier;
    DECLSPEC_ALIGN(16) UCHAR Body[]; /* the driver's */
} IOP_CLIENT_EXTENSION, *PIOP_CLIENT_EXTENSION;

/* A driver object and what belongs to it. */
typedef struct _IOP_DRIVER {
    DRIVER_OBJECT Driver; /* first: the object's body */
    DRIVER_EXTENSION Extension;
    PIOP_CLIENT_EXTENSION Clients;        /* (b) IoAllocateDriverObjectExtension */
    struct _KLDR_DATA_TABLE_ENTRY *Image; /* (c) loaded at run time, goes with the object; or NULL */
    WORK_QUEUE_ITEM UnloadItem;           /* of the one who set DRVO_UNLOAD_INVOKED */
} IOP_DRIVER, *PIOP_DRIVER;

/* What IopStartDriver makes a driver object from. */
typedef struct _IOP_DRIVER_START {
    PCWSTR Directory; /* what stands before the name: L"\\Driver\\" */
    UNICODE_STRING Name;
    PDRIVER_INITIALIZE Entry;
    PVOID Base;
    ULONG Size, Flags;                    /* DRVO_* */
    struct _KLDR_DATA_TABLE_ENTRY *Image; /* NULL: not loaded at run time */
} IOP_DRIVER_START;

NTSTATUS IopCreateDriverType(VOID);
VOID IopStartBootDrivers(LOADER_BLOCK *LoaderBlock);
NTSTATUS IopStartDriver(const IOP_DRIVER_START *Start, PUNICODE_STRING RegistryPath);
NTSTATUS IopMakeName(PCWSTR Prefix, PCUNICODE_STRING Name, PUNICODE_STRING String);
VOID IopDropReinits(PDRIVER_OBJECT Driver);

/* load.c */
VOID IopCheckPendingUnload(PDRIVER_OBJECT Driver);
NTSTATUS NTAPI IopInvalidDeviceRequest(PDEVICE_OBJECT DeviceObject, PIRP Irp);

/* file.c */
NTSTATUS IopCreateFileType(VOID);
NTSTATUS IopAcquireFileLock(PFILE_OBJECT File, KPROCESSOR_MODE Mode);
VOID IopReleaseFileLock(PFILE_OBJECT File);
VOID IopInitializeFileObject(PFILE_OBJECT File, PDEVICE_OBJECT Device);
NTSTATUS IopParseFile(PVOID ParseObject, POBJECT_TYPE ObjectType, PACCESS_STATE AccessState, KPROCESSOR_MODE AccessMode,
                      ULONG Attributes, PUNICODE_STRING CompleteName, PUNICODE_STRING RemainingName, PVOID Context,
                      PVOID *Object);

/* open.c */
NTSTATUS IopParseDevice(PVOID ParseObject, POBJECT_TYPE ObjectType, PACCESS_STATE AccessState,
                        KPROCESSOR_MODE AccessMode, ULONG Attributes, PUNICODE_STRING CompleteName,
                        PUNICODE_STRING RemainingName, PVOID Context, PVOID *Object);

/* volume.c */
PVPB IopCreateVpb(PDEVICE_OBJECT Device);
VOID IopInitializeVolumes(VOID);
NTSTATUS IopMountForOpen(PDEVICE_OBJECT Device, PVPB *Vpb);
VOID IopDereferenceVpb(PVPB Vpb);

/* null.c */
NTSTATUS IopCreateNull(VOID);

/* shutdown.c */
VOID IopInitializeShutdown(VOID);

/* complete.c */
VOID IopFreeIrpResources(PIRP Irp);

/* threadirp.c: requests of a service, which end in the thread that made them */
#define IOP_IRP_WAITED   0x40 /* in AllocationFlags: the thread waits for UserEvent and ends the request itself */
#define IOP_IRP_THREADED 0x80 /* on its thread's list; ends in a special kernel APC, or in the service */

VOID IopFinishThreadIrp(PIRP Irp);
VOID IopCompleteInThread(PIRP Irp, PFILE_OBJECT File, BOOLEAN Notify);
VOID IopQueueThreadIrp(PIRP Irp);

/* Which requests are to be cancelled; NULL, FALSE: any. */
typedef struct _IOP_CANCEL_WISH {
    PFILE_OBJECT File;
    PIO_STATUS_BLOCK Block; /* the caller's, only compared */
    BOOLEAN Waited;         /* those that their thread waits for in a service */
} IOP_CANCEL_WISH, *PIOP_CANCEL_WISH;

ULONG IopCancelOwn(const IOP_CANCEL_WISH *Wish);
/* A request of the current thread's own is done, and only its APC on the way. */
BOOLEAN IopOwnIsEnding(VOID);

/* account.c */
extern IO_COUNTERS IopAllRequests;
VOID IopCountRequest(ULONG IrpFlags, ULONG_PTR Bytes); /* of the current thread's process, now that it has ended */

/* ioport.c */
#define IOP_PACKET_IRP     1 /* PacketType: the packet is an IRP that is done */
#define IOP_PACKET_MINI    2
#define IOP_PACKET_RESERVE 3 /* of a reserve object, whose it stays */

VOID IopPostIrp(PFILE_OBJECT File, PIRP Irp);
NTSTATUS IopSetCompletionPort(PFILE_OBJECT File, PVOID Information);
NTSTATUS IopCreateCompletionType(VOID);
VOID IopDropCompletionPort(PFILE_OBJECT File);

/* request.c: an IRP on behalf of a service */
typedef struct _IOP_REQUEST {
    PFILE_OBJECT File;     /* referenced by the request until IopFinishRequest */
    PDEVICE_OBJECT Device; /* top of the stack to send it to */
    PIRP Irp;
    PIO_STACK_LOCATION Stack;
    PIO_STATUS_BLOCK UserIosb;
    PKEVENT UserEvent; /* referenced, or NULL */
    PIO_APC_ROUTINE ApcRoutine;
    PVOID ApcContext; /* for the routine, or for the file's completion port */
    KPROCESSOR_MODE Mode;
    BOOLEAN Synchronous;  /* the service waits */
    BOOLEAN FileLocked;   /* File is a synchronous file whose lock is held */
    KEVENT Done;          /* waited for when Synchronous */
    IO_STATUS_BLOCK Iosb; /* of a fast path that needs no IRP */
} IOP_REQUEST, *PIOP_REQUEST;

NTSTATUS IopOpenRequest(PIOP_REQUEST Request, HANDLE FileHandle, HANDLE EventHandle, ACCESS_MASK Access,
                        PIO_STATUS_BLOCK Iosb, BOOLEAN AlwaysWait);
NTSTATUS IopProbe(PIOP_REQUEST Request, PVOID Address, SIZE_T Length, ULONG Alignment, BOOLEAN Write);
NTSTATUS IopSetCompletion(PIOP_REQUEST Request, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext);
NTSTATUS IopAllocateRequestIrp(PIOP_REQUEST Request, UCHAR MajorFunction, UCHAR MinorFunction);
NTSTATUS IopSystemBuffer(PIOP_REQUEST Request, const VOID *Input, ULONG InputLength, PVOID Output, ULONG OutputLength);
NTSTATUS IopLockBuffer(PIOP_REQUEST Request, PVOID Buffer, ULONG Length, LOCK_OPERATION Operation);
NTSTATUS IopTransferBuffer(PIOP_REQUEST Request, PVOID Buffer, ULONG Length, BOOLEAN ToDevice);
NTSTATUS IopIssueRequest(PIOP_REQUEST Request);
NTSTATUS IopFailRequest(PIOP_REQUEST Request, NTSTATUS Status);
NTSTATUS IopFinishAnswered(PIOP_REQUEST Request, NTSTATUS Status, ULONG_PTR Information);
