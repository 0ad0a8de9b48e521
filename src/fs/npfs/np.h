/*
 * np.h - the structures of npfs.sys and what its files offer one another.
 *
 * PIPE: one name, with what its instances have in common. INSTANCE: one connection between a server and, at most, one client: two
 * queues of data and a state. END: one open file object on either side of an instance; a client that the server disconnected
 * keeps its END, detached, until it closes it. An instance lives while an END refers to it, a pipe while an instance does.
 *
 * States of an instance, with the numbers that FILE_PIPE_LOCAL_INFORMATION gives them:
 *
 *     LISTENING --client opens--> CONNECTED --either end closes--> CLOSING
 *         ^                           |                               |
 *         +---LISTEN--- DISCONNECTED <+----------DISCONNECT-----------+
 *
 * Locks: the resource (npfs.sys/resource) guards names, lists of instances and every change of state; an instance's spin lock
 * (npfs.sys/spin) guards its state too, its ends and its queues, and is what readers and writers take. The spin lock of the waiters (wait.c)
 * is of the same class and never taken inside one. IRPs are completed with no lock held.
 * Legend: (c) constant after creation, (r) resource, (s) instance's spin lock, (i) interlocked.
 */
#pragma once

/* wdm.h defines these two in every file that includes it; renamed after <intrin.h> has declared them, they stay static. */
#include <intrin.h>
#define InterlockedBitTestAndSet   NpUnusedBitTestAndSet
#define InterlockedBitTestAndReset NpUnusedBitTestAndReset
#include <ntifs.h>
#undef InterlockedBitTestAndSet
#undef InterlockedBitTestAndReset

#define NP_TAG_PIPE     'pFpN'
#define NP_TAG_INSTANCE 'iFpN'
#define NP_TAG_END      'eFpN'
#define NP_TAG_DATA     'dFpN'
#define NP_TAG_WAIT     'wFpN'

/* Node types of FsContext; Microsoft's file systems use other ranges. NULL there: the device itself. */
#define NP_NODE_ROOT ((CSHORT)0x0E01)
#define NP_NODE_END  ((CSHORT)0x0E02)

/* Most a quota may be: a pipe holds its data in nonpaged pool. Sizes are advice (documentation of CreateNamedPipe). */
#define NP_MAXIMUM_QUOTA 0x100000U

/* Right to create further instances of a pipe; on files the bit is FILE_APPEND_DATA. */
#define NP_CREATE_INSTANCE FILE_CREATE_PIPE_INSTANCE

typedef struct _NP_PIPE {
    LIST_ENTRY Link;               /* (r) of all that have a name */
    LIST_ENTRY Instances;          /* (r) whose server end is open */
    ULONG Count;                   /* (r) of them */
    volatile LONG Holders;         /* (i) instances that point here */
    ULONG Type;                    /* (c) FILE_PIPE_..._TYPE */
    ULONG Configuration;           /* (c) FILE_PIPE_INBOUND, _OUTBOUND, _FULL_DUPLEX */
    ULONG Maximum;                 /* (c) of instances; MAXULONG: no limit */
    LARGE_INTEGER Timeout;         /* (c) of a WAIT that gives none; 100 ns, negative */
    ULONG Identifier;              /* (c) what FileInternalInformation says */
    PSECURITY_DESCRIPTOR Security; /* (c) */
    UNICODE_STRING Name;           /* (c) without the first backslash; empty: an anonymous pipe. The buffer follows */
} NP_PIPE, *PNP_PIPE;

/* What one end writes and the other reads: entries that hold data, or IRPs that wait for some. All (s). */
typedef struct _NP_QUEUE {
    LIST_ENTRY Entries; /* NP_ENTRY, in the order of writing */
    LIST_ENTRY Readers; /* IRPs by Tail.Overlay.ListEntry */
    ULONG Quota;        /* (c) bytes that may lie here without a writer waiting */
    ULONG Charged;      /* of them in use; may pass Quota (see queue.c) */
    ULONG Bytes;        /* readable, those of waiting writers among them */
    ULONG Stalled;      /* entries whose writer waits */
} NP_QUEUE, *PNP_QUEUE;

typedef struct _NP_ENTRY {
    LIST_ENTRY Link;
    PIRP Irp;          /* the writer that waits, or flush; NULL: the data is in the entry's own memory */
    const UCHAR *Data; /* all of it */
    ULONG Length;
    ULONG Offset;  /* bytes that were read */
    BOOLEAN Flush; /* marks a place in the queue and has no data */
} NP_ENTRY, *PNP_ENTRY;

typedef struct _NP_INSTANCE {
    KSPIN_LOCK Lock;
    volatile LONG References; /* (i) its ENDs */
    PNP_PIPE Pipe;            /* (c) counted in Holders */
    LIST_ENTRY Link;          /* (r) Pipe->Instances */
    ULONG State;              /* (s), and (r) to change it */
    struct _NP_END *End[2];   /* (s) FILE_PIPE_CLIENT_END, FILE_PIPE_SERVER_END; NULL: not there */
    NP_QUEUE Queue[2];        /* what that end writes */
    LIST_ENTRY Listeners;     /* (s) LISTEN requests that wait */
} NP_INSTANCE, *PNP_INSTANCE;

typedef struct _NP_END {
    CSHORT NodeType;
    UCHAR Side;            /* (c) FILE_PIPE_CLIENT_END, FILE_PIPE_SERVER_END */
    BOOLEAN Detached;      /* (s) a client whose server has disconnected it */
    ULONG ReadMode;        /* (s) FILE_PIPE_..._MODE */
    ULONG CompletionMode;  /* (s) FILE_PIPE_..._OPERATION */
    PNP_INSTANCE Instance; /* (c) referenced */
} NP_END, *PNP_END;

/* An open of \Device\NamedPipe\, and how far it has been listed. All (r) but the type. */
typedef struct _NP_ROOT {
    CSHORT NodeType;
    BOOLEAN Started;        /* a query has fixed the pattern */
    BOOLEAN Returned;       /* some entry was returned for it */
    UNICODE_STRING Pattern; /* upper case, of RtlUpcaseUnicodeString; empty: everything */
    ULONG Position;         /* names that were passed */
} NP_ROOT, *PNP_ROOT;

/* init.c */
extern PDEVICE_OBJECT NpDevice;
extern ERESOURCE NpResource;
extern LIST_ENTRY NpPipes; /* (r) in the order of their creation */
NTSTATUS NpComplete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information);

/*
 * Requests that end: put on a list while locks are held, completed after. A request that was queued belongs to whoever
 * takes its cancel routine away (NpTake); one that is being cancelled stays queued for its cancel routine and is passed over.
 */
VOID NpFinish(PLIST_ENTRY Done, PIRP Irp, NTSTATUS Status, ULONG_PTR Information);
VOID NpCompleteAll(PLIST_ENTRY Done);
BOOLEAN NpTake(PIRP Irp);

/* create.c, names.c */
NTSTATUS NpCreate(PIRP Irp, PIO_STACK_LOCATION Stack);
NTSTATUS NpCreateNamedPipe(PIRP Irp, PIO_STACK_LOCATION Stack);
PNP_PIPE NpFindPipe(PCUNICODE_STRING Name);
NTSTATUS NpCreatePipe(PCUNICODE_STRING Name, const NP_PIPE *Template, PACCESS_STATE AccessState, PNP_PIPE *Pipe);
VOID NpReleasePipe(PNP_PIPE Pipe);
VOID NpRemoveInstance(PNP_INSTANCE Instance);
NTSTATUS NpCheckAccess(PNP_PIPE Pipe, PIO_SECURITY_CONTEXT Context, ACCESS_MASK More, KPROCESSOR_MODE Mode);

/* state.c: resource held exclusive, but for NpReleaseInstance */
PNP_INSTANCE NpNewInstance(PNP_PIPE Pipe, ULONG InboundQuota, ULONG OutboundQuota);
VOID NpReleaseInstance(PNP_INSTANCE Instance);
BOOLEAN NpConnect(PNP_INSTANCE Instance, PNP_END Client, PLIST_ENTRY Done);
NTSTATUS NpDisconnect(PNP_END Server, PLIST_ENTRY Done);
NTSTATUS NpListen(PNP_END Server, PIRP Irp, PLIST_ENTRY Done);
VOID NpCloseEnd(PNP_END End, PLIST_ENTRY Done);
NTSTATUS NpCleanup(PIRP Irp, PIO_STACK_LOCATION Stack);
NTSTATUS NpClose(PIRP Irp, PIO_STACK_LOCATION Stack);

/* queue.c: the instance's spin lock held */
VOID NpInitializeQueue(PNP_QUEUE Queue, ULONG Quota);
NTSTATUS NpPend(PNP_INSTANCE Instance, PLIST_ENTRY List, PIRP Irp, PVOID Buffer, ULONG Length, PLIST_ENTRY Done);
NTSTATUS NpGet(PNP_QUEUE Queue, BOOLEAN Messages, PVOID Buffer, ULONG Length, PULONG Got, PLIST_ENTRY Done);
PNP_ENTRY NpFirstData(PNP_QUEUE Queue);
NTSTATUS NpPut(PNP_END End, PIRP Irp, const UCHAR *Data, ULONG Length, ULONG How, PULONG Put, PLIST_ENTRY Done);
NTSTATUS NpPutFlush(PNP_END End, PIRP Irp, PLIST_ENTRY Done);
VOID NpDrain(PNP_QUEUE Queue, NTSTATUS Readers, NTSTATUS Writers, PLIST_ENTRY Done);
VOID NpKeepData(PNP_QUEUE Queue, PLIST_ENTRY Done);

#define NP_PUT_WAIT  0 /* the IRP waits for room */
#define NP_PUT_PART  1 /* what has no room is not written */
#define NP_PUT_FORCE 2 /* all is put, room or not, and the IRP is not queued */

/* transfer.c */
NTSTATUS NpRead(PIRP Irp, PIO_STACK_LOCATION Stack);
NTSTATUS NpWrite(PIRP Irp, PIO_STACK_LOCATION Stack);
NTSTATUS NpFlush(PIRP Irp, PIO_STACK_LOCATION Stack);
NTSTATUS NpTransceive(PIRP Irp, PIO_STACK_LOCATION Stack);
NTSTATUS NpPeek(PIRP Irp, PIO_STACK_LOCATION Stack);

/* control.c, wait.c, info.c, dirctrl.c */
NTSTATUS NpFsControl(PIRP Irp, PIO_STACK_LOCATION Stack);
VOID NpInitializeWaiters(VOID);
NTSTATUS NpWait(PIRP Irp, PIO_STACK_LOCATION Stack);
VOID NpWakeWaiters(PNP_PIPE Pipe, PFILE_OBJECT File, NTSTATUS Status);
NTSTATUS NpQueryInformation(PIRP Irp, PIO_STACK_LOCATION Stack);
NTSTATUS NpSetInformation(PIRP Irp, PIO_STACK_LOCATION Stack);
NTSTATUS NpQueryVolumeInformation(PIRP Irp, PIO_STACK_LOCATION Stack);
NTSTATUS NpDirectoryControl(PIRP Irp, PIO_STACK_LOCATION Stack);

/* What a file object is open on: an end of a pipe, or the root; NULL: something else. */
FORCEINLINE PNP_END NpEndOf(PFILE_OBJECT File)
{
    PNP_END End = (File == NULL) ? NULL : File->FsContext;

    return (End != NULL && End->NodeType == NP_NODE_END) ? End : NULL;
}

FORCEINLINE PNP_ROOT NpRootOf(PFILE_OBJECT File)
{
    PNP_ROOT Root = (File == NULL) ? NULL : File->FsContext;

    return (Root != NULL && Root->NodeType == NP_NODE_ROOT) ? Root : NULL;
}

/* The queue an end reads from, and the one it writes to. */
FORCEINLINE PNP_QUEUE NpReadQueue(PNP_END End)
{
    return &End->Instance->Queue[1 - End->Side];
}

FORCEINLINE PNP_QUEUE NpWriteQueue(PNP_END End)
{
    return &End->Instance->Queue[End->Side];
}
