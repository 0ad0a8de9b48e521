/*
 * io.h - the I/O manager, as the rest of the kernel sees it (what drivers see is in the DDK).
 */
#pragma once

#include <ntos/loader.h>
#include <ntos/ntos.h>

extern POBJECT_TYPE IopFileObjectType, IopDeviceObjectType, IopDriverObjectType;

/* What exists and what was done; a snapshot, each field read on its own. */
typedef struct _IO_MANAGER_COUNTERS {
    LONG64 Irps;          /* IRPs that exist */
    LONG64 Mdls;          /* MDLs of IoAllocateMdl that exist */
    LONG64 IrpsCompleted; /* since start */
    LONG64 PagingReads;   /* IoPageRead calls */
    LONG64 PagingWrites;  /* IoSynchronousPageWrite calls */
    LONG64 DiskReads;     /* IRP_MJ_READ that reached a disk or CD device, all devices */
    LONG64 DiskReadBytes;
    LONG64 DiskWrites;
    LONG64 DiskWriteBytes;
    IO_COUNTERS Requests; /* of all processes, since start */
} IO_MANAGER_COUNTERS, *PIO_MANAGER_COUNTERS;

VOID IoQueryCounters(PIO_MANAGER_COUNTERS Counters); /* IRQL: any */
VOID IoAddCounters(PIO_COUNTERS Sum, const IO_COUNTERS *Counters);

/* What DMA did (src/hal/dma.c). */
typedef struct _HAL_DMA_COUNTERS {
    LONG64 Transfers;    /* scatter-gather lists built and channels mapped */
    LONG64 BouncedPages; /* pages that went through a frame below 4 GB */
    LONG64 MappedFrames; /* frames mapped to be copied, both sides of every bounce; 0 where nothing bounces */
    LONG64 BounceWaits;  /* requests that waited for bounce frames */
    LONG64 BounceFrames; /* bounce frames there are */
    LONG64 BounceInUse;  /* of these, taken now */
} HAL_DMA_COUNTERS, *PHAL_DMA_COUNTERS;

VOID HalQueryDmaCounters(PHAL_DMA_COUNTERS Counters); /* IRQL: any */

NTSTATUS NTAPI NtFlushBuffersFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock);

/* Calls the re-initialization routines that drivers have registered. PASSIVE_LEVEL. (src/io/driver.c) */
VOID IoCallDriverReinitialization(VOID);

NTSTATUS NTAPI NtLoadDriver(PUNICODE_STRING DriverServiceName);
NTSTATUS NTAPI NtUnloadDriver(PUNICODE_STRING DriverServiceName);

VOID IoShutdown(VOID); /* tells registered drivers that the machine goes. PASSIVE_LEVEL. (src/io/shutdown.c) */
/* Packets ever written to the error log; the newest one is copied out if it is still there. (src/io/errorlog.c) */
ULONG IoQueryErrorLog(PIO_ERROR_LOG_PACKET Newest);
VOID IoClearErrorLog(VOID);

NTSTATUS NTAPI NtDeleteFile(POBJECT_ATTRIBUTES ObjectAttributes);
NTSTATUS NTAPI NtQueryFullAttributesFile(POBJECT_ATTRIBUTES ObjectAttributes,
                                         PFILE_NETWORK_OPEN_INFORMATION FileInformation);
NTSTATUS NTAPI NtCancelIoFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock);
VOID IoCancelThreadIo(VOID); /* for a thread that exits (src/io/threadirp.c) */

/* ---- Completion ports (src/io/ioport.c) ---- */

extern POBJECT_TYPE IopCompletionObjectType;

typedef struct _FILE_IO_COMPLETION_INFORMATION {
    PVOID KeyContext;
    PVOID ApcContext;
    IO_STATUS_BLOCK IoStatusBlock;
} FILE_IO_COMPLETION_INFORMATION, *PFILE_IO_COMPLETION_INFORMATION;

NTSTATUS NTAPI NtCreateIoCompletion(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes,
                                    ULONG Count);
NTSTATUS NTAPI NtRemoveIoCompletion(HANDLE Handle, PVOID *KeyContext, PVOID *ApcContext, PIO_STATUS_BLOCK IoStatusBlock,
                                    PLARGE_INTEGER Timeout);
NTSTATUS NTAPI NtRemoveIoCompletionEx(HANDLE Handle, PFILE_IO_COMPLETION_INFORMATION Information, ULONG Count,
                                      PULONG Removed, PLARGE_INTEGER Timeout, BOOLEAN Alertable);

/* ---- Known to drivers, but not declared by the DDK's headers ---- */

NTSTATUS NTAPI IoCreateDriver(PUNICODE_STRING DriverName, PDRIVER_INITIALIZE InitializationFunction);
VOID NTAPI IoDeleteDriver(PDRIVER_OBJECT DriverObject);
/* The port of a caller's handle, referenced, to post to. PASSIVE_LEVEL. */
NTSTATUS IoReferenceCompletion(HANDLE Handle, PVOID *Port);

NTSTATUS NTAPI IoSetIoCompletion(PVOID IoCompletion, PVOID KeyContext, PVOID ApcContext, NTSTATUS IoStatus,
                                 ULONG_PTR IoStatusInformation, BOOLEAN Quota);
NTSTATUS NTAPI ZwCancelIoFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock);
NTSTATUS NTAPI ZwCreateIoCompletion(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes,
                                    ULONG Count);
NTSTATUS NTAPI ZwRemoveIoCompletion(HANDLE Handle, PVOID *KeyContext, PVOID *ApcContext, PIO_STATUS_BLOCK IoStatusBlock,
                                    PLARGE_INTEGER Timeout);
NTSTATUS NTAPI ZwRemoveIoCompletionEx(HANDLE Handle, PFILE_IO_COMPLETION_INFORMATION Information, ULONG Count,
                                      PULONG Removed, PLARGE_INTEGER Timeout, BOOLEAN Alertable);
BOOLEAN NTAPI IoIsSystemThread(PETHREAD Thread);
NTSTATUS NTAPI IoQueryFileInformation(PFILE_OBJECT FileObject, FILE_INFORMATION_CLASS FileInformationClass,
                                      ULONG Length, PVOID FileInformation, PULONG ReturnedLength);
NTSTATUS NTAPI IoSetInformation(PFILE_OBJECT FileObject, FILE_INFORMATION_CLASS FileInformationClass, ULONG Length,
                                PVOID FileInformation);
NTSTATUS NTAPI ZwDeleteFile(POBJECT_ATTRIBUTES ObjectAttributes);
NTSTATUS NTAPI ZwQueryFullAttributesFile(POBJECT_ATTRIBUTES ObjectAttributes,
                                         PFILE_NETWORK_OPEN_INFORMATION FileInformation);
