/*
 * ioport.c - I/O completion ports: a kernel queue as an object, and the packets that requests leave there.
 *
 * A file that was given a port (FileCompletionInformation) posts a packet for each request that was made with an ApcContext. The packet is
 * the request's own IRP, kept until somebody takes it, so posting cannot fail; IoSetIoCompletion allocates a small packet, and a reserve object has
 * one set aside. All carry PacketType at the same distance from their link.
 *
 * A port that is deleted frees what nobody took. Files hold a reference on their port, and keep it until they are deleted.
 *
 * No locks of its own: the queue is a dispatcher object. PASSIVE_LEVEL but where said. Source: WDK documentation of ZwSetInformationFile; "I/O
 * Completion Ports" on Microsoft Learn.
 */
#include <ntos/services.h>
#include <ntos/user.h>

#include "iop.h"

#define IOP_TAG_PACKET ' pcI'

/* The SDK's access rights of completion ports, which the DDK leaves out. */
#define IOP_PORT_QUERY_STATE  0x0001
#define IOP_PORT_MODIFY_STATE 0x0002
#define IOP_PORT_ALL_ACCESS   (STANDARD_RIGHTS_REQUIRED | SYNCHRONIZE | 3)

#define IOP_RESERVE_ACCESS (STANDARD_RIGHTS_REQUIRED | 3)

#define IOP_PORT_ENTRIES 32U /* packets that one call takes at most, on the stack */

/* What IoSetIoCompletion posts. */
typedef struct _IOP_MINI_PACKET {
    LIST_ENTRY ListEntry;
    ULONG PacketType; /* IOP_PACKET_MINI, IOP_PACKET_RESERVE */
    PVOID KeyContext;
    PVOID ApcContext;
    IO_STATUS_BLOCK IoStatus;
} IOP_MINI_PACKET, *PIOP_MINI_PACKET;
C_ASSERT(FIELD_OFFSET(IOP_MINI_PACKET, PacketType) ==
         FIELD_OFFSET(IRP, Tail.Overlay.PacketType) - FIELD_OFFSET(IRP, Tail.Overlay.ListEntry));

/* The body of a reserve object: a packet that can always be posted, once at a time. */
typedef struct _IOP_RESERVE {
    IOP_MINI_PACKET Packet;
    volatile LONG Posted; /* interlocked; then the packet holds a reference */
} IOP_RESERVE, *PIOP_RESERVE;

POBJECT_TYPE IopCompletionObjectType;
static POBJECT_TYPE IopReserveType;

/* Takes a packet apart and frees it. */
static VOID IopOpenPacket(PLIST_ENTRY Link, PFILE_IO_COMPLETION_INFORMATION Entry)
{
    PIOP_MINI_PACKET Packet = CONTAINING_RECORD(Link, IOP_MINI_PACKET, ListEntry);
    PIRP Irp = CONTAINING_RECORD(Link, IRP, Tail.Overlay.ListEntry);

    if (Packet->PacketType == IOP_PACKET_MINI || Packet->PacketType == IOP_PACKET_RESERVE) {
        Entry->KeyContext = Packet->KeyContext;
        Entry->ApcContext = Packet->ApcContext;
        Entry->IoStatusBlock = Packet->IoStatus;
        if (Packet->PacketType == IOP_PACKET_MINI) {
            ExFreePoolWithTag(Packet, IOP_TAG_PACKET);
        } else {
            PIOP_RESERVE Reserve = CONTAINING_RECORD(Packet, IOP_RESERVE, Packet);

            InterlockedExchange(&Reserve->Posted, FALSE);
            ObfDereferenceObject(Reserve);
        }
        return;
    }
    ASSERT(Packet->PacketType == IOP_PACKET_IRP);
    Entry->KeyContext = Irp->Tail.CompletionKey;
    Entry->ApcContext = Irp->Overlay.AsynchronousParameters.UserApcContext;
    Entry->IoStatusBlock = Irp->IoStatus;
    IoFreeIrp(Irp);
}

static VOID IopDeletePort(PVOID Object)
{
    PLIST_ENTRY First = KeRundownQueue(Object), Link = First, Next;
    FILE_IO_COMPLETION_INFORMATION Entry;

    if (First == NULL) {
        return;
    }
    do {
        Next = Link->Flink;
        IopOpenPacket(Link, &Entry);
        Link = Next;
    } while (Link != First);
}

NTSTATUS IopCreateCompletionType(VOID)
{
    static const OBJECT_TYPE_INITIALIZER Info = {
        .Name = L"IoCompletion",
        .GenericMapping = {STANDARD_RIGHTS_READ | IOP_PORT_QUERY_STATE, STANDARD_RIGHTS_WRITE | IOP_PORT_MODIFY_STATE,
                           STANDARD_RIGHTS_EXECUTE | SYNCHRONIZE, IOP_PORT_ALL_ACCESS},
        .ValidAccess = IOP_PORT_ALL_ACCESS,
        .PoolTag = 'oCoI',
        .WaitOffset = OB_NOT_WAITABLE, /* waiting is taking: only through the queue's own routines */
        .DeleteProcedure = IopDeletePort,
    };

    static const OBJECT_TYPE_INITIALIZER Reserve = {
        .Name = L"IoCompletionReserve",
        .GenericMapping = {STANDARD_RIGHTS_READ, STANDARD_RIGHTS_WRITE, STANDARD_RIGHTS_EXECUTE, IOP_RESERVE_ACCESS},
        .ValidAccess = IOP_RESERVE_ACCESS,
        .PoolTag = 'eRoI',
        .WaitOffset = OB_NOT_WAITABLE,
    };
    NTSTATUS Status = ObCreateObjectType(&Info, &IopCompletionObjectType);

    return NT_SUCCESS(Status) ? ObCreateObjectType(&Reserve, &IopReserveType) : Status;
}

/* Posts an IRP that is done. IRQL: <= DISPATCH_LEVEL. */
VOID IopPostIrp(PFILE_OBJECT File, PIRP Irp)
{
    PKQUEUE Port = File->CompletionContext->Port;

    Irp->Tail.CompletionKey = File->CompletionContext->Key;
    Irp->Tail.Overlay.PacketType = IOP_PACKET_IRP;
    KeInsertQueue(Port, &Irp->Tail.Overlay.ListEntry);
}

NTSTATUS IoReferenceCompletion(HANDLE Handle, PVOID *Port)
{
    return ObReferenceObjectByHandle(Handle, IOP_PORT_MODIFY_STATE, IopCompletionObjectType, ExGetPreviousMode(), Port,
                                     NULL);
}

/**
 * IoSetIoCompletion - posts a packet of the caller's own to a port.
 *
 * @IoCompletion  the port's object
 * @Quota         nothing is charged
 * returns        STATUS_SUCCESS; STATUS_INSUFFICIENT_RESOURCES
 *
 * IRQL: <= DISPATCH_LEVEL.
 */
NTSTATUS NTAPI IoSetIoCompletion(PVOID IoCompletion, PVOID KeyContext, PVOID ApcContext, NTSTATUS IoStatus,
                                 ULONG_PTR IoStatusInformation, BOOLEAN Quota)
{
    PIOP_MINI_PACKET Packet = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Packet), IOP_TAG_PACKET);

    UNREFERENCED_PARAMETER(Quota);
    if (Packet == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Packet->PacketType = IOP_PACKET_MINI;
    Packet->KeyContext = KeyContext;
    Packet->ApcContext = ApcContext;
    Packet->IoStatus.Status = IoStatus;
    Packet->IoStatus.Information = IoStatusInformation;
    KeInsertQueue(IoCompletion, &Packet->ListEntry);
    return STATUS_SUCCESS;
}

/* Gives a file its port, once. Files whose services wait have none. */
NTSTATUS IopSetCompletionPort(PFILE_OBJECT File, PVOID Information)
{
    PFILE_COMPLETION_INFORMATION Given = Information;
    PIO_COMPLETION_CONTEXT Context;
    NTSTATUS Status;

    if ((File->Flags & FO_SYNCHRONOUS_IO) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    Context = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Context), IOP_TAG_PACKET);
    if (Context == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Context->Key = Given->Key;
    Status = ObReferenceObjectByHandle(Given->Port, IOP_PORT_MODIFY_STATE, IopCompletionObjectType, ExGetPreviousMode(),
                                       &Context->Port, NULL);
    if (NT_SUCCESS(Status)) {
        if (InterlockedCompareExchangePointer((PVOID volatile *)&File->CompletionContext, Context, NULL) == NULL) {
            return STATUS_SUCCESS;
        }
        ObfDereferenceObject(Context->Port);
        Status = STATUS_INVALID_PARAMETER; /* it has one */
    }
    ExFreePoolWithTag(Context, IOP_TAG_PACKET);
    return Status;
}

/* A file that goes gives its port up. */
VOID IopDropCompletionPort(PFILE_OBJECT File)
{
    if (File->CompletionContext != NULL) {
        ObfDereferenceObject(File->CompletionContext->Port);
        ExFreePoolWithTag(File->CompletionContext, IOP_TAG_PACKET);
    }
}

/**
 * NtCreateIoCompletion - makes a port.
 *
 * @Count   threads that may run on its packets at once; 0: as many as there are processors
 * returns  STATUS_SUCCESS; errors of names and handles
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtCreateIoCompletion(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes,
                                    ULONG Count)
{
    PKQUEUE Port;
    NTSTATUS Status = ExCreateObject(IopCompletionObjectType, Attributes, sizeof(*Port), (PVOID *)&Port);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    KeInitializeQueue(Port, Count);
    return ExInsertObject(Port, DesiredAccess, Handle);
}

NTSTATUS NTAPI NtOpenIoCompletion(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes)
{
    return ExOpenObject(IopCompletionObjectType, Attributes, DesiredAccess, Handle);
}

/**
 * NtSetIoCompletion - posts a packet of the caller's own.
 *
 * @Handle  with IO_COMPLETION_MODIFY_STATE; the rest is what who takes the packet gets
 * returns  STATUS_SUCCESS; STATUS_INSUFFICIENT_RESOURCES; what the handle says
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtSetIoCompletion(HANDLE Handle, PVOID KeyContext, PVOID ApcContext, NTSTATUS IoStatus,
                                 ULONG_PTR IoStatusInformation)
{
    PVOID Port;
    NTSTATUS Status = ObReferenceObjectByHandle(Handle, IOP_PORT_MODIFY_STATE, IopCompletionObjectType,
                                                ExGetPreviousMode(), &Port, NULL);

    if (NT_SUCCESS(Status)) {
        Status = IoSetIoCompletion(Port, KeyContext, ApcContext, IoStatus, IoStatusInformation, TRUE);
        ObfDereferenceObject(Port);
    }
    return Status;
}

/**
 * NtAllocateReserveObject - memory for one packet, set aside so that posting it cannot fail.
 *
 * @Kind    IOP_RESERVE_IO_COMPLETION (1); there are none for user APCs (0)
 * returns  STATUS_SUCCESS; STATUS_NOT_SUPPORTED, STATUS_INVALID_PARAMETER: another kind; errors of names and handles
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtAllocateReserveObject(PHANDLE Handle, POBJECT_ATTRIBUTES Attributes, ULONG Kind)
{
    PIOP_RESERVE Reserve;
    NTSTATUS Status;

    if (Kind != 1) {
        return (Kind == 0) ? STATUS_NOT_SUPPORTED : STATUS_INVALID_PARAMETER;
    }
    Status = ExCreateObject(IopReserveType, Attributes, sizeof(*Reserve), (PVOID *)&Reserve);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    RtlZeroMemory(Reserve, sizeof(*Reserve));
    Reserve->Packet.PacketType = IOP_PACKET_RESERVE;
    return ExInsertObject(Reserve, IOP_RESERVE_ACCESS, Handle);
}

/* Posts a reserve's packet; STATUS_INVALID_PARAMETER_2: it has not been taken since the last time. */
static NTSTATUS IopPostReserve(PVOID Port, PIOP_RESERVE Reserve, const FILE_IO_COMPLETION_INFORMATION *What)
{
    if (InterlockedExchange(&Reserve->Posted, TRUE)) {
        return STATUS_INVALID_PARAMETER_2;
    }
    ObfReferenceObject(Reserve); /* the packet's */
    Reserve->Packet.KeyContext = What->KeyContext;
    Reserve->Packet.ApcContext = What->ApcContext;
    Reserve->Packet.IoStatus = What->IoStatusBlock;
    KeInsertQueue(Port, &Reserve->Packet.ListEntry);
    return STATUS_SUCCESS;
}

/* As NtSetIoCompletion, by way of a reserve; NULL: without. Needs no memory then. */
NTSTATUS NTAPI NtSetIoCompletionEx(HANDLE Handle, HANDLE ReserveHandle, PVOID KeyContext, PVOID ApcContext,
                                   NTSTATUS IoStatus, ULONG_PTR IoStatusInformation)
{
    FILE_IO_COMPLETION_INFORMATION What = {.KeyContext = KeyContext, .ApcContext = ApcContext};
    KPROCESSOR_MODE Mode = ExGetPreviousMode();
    PVOID Port, Reserve;
    NTSTATUS Status;

    if (ReserveHandle == NULL) {
        return NtSetIoCompletion(Handle, KeyContext, ApcContext, IoStatus, IoStatusInformation);
    }
    What.IoStatusBlock.Status = IoStatus;
    What.IoStatusBlock.Information = IoStatusInformation;
    Status = ObReferenceObjectByHandle(Handle, IOP_PORT_MODIFY_STATE, IopCompletionObjectType, Mode, &Port, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ObReferenceObjectByHandle(ReserveHandle, 2, IopReserveType, Mode, &Reserve, NULL);
    if (NT_SUCCESS(Status)) {
        Status = IopPostReserve(Port, Reserve, &What);
        ObfDereferenceObject(Reserve);
    }
    ObfDereferenceObject(Port);
    return Status;
}

/* IoCompletionBasicInformation: how many packets wait. With IO_COMPLETION_QUERY_STATE. */
NTSTATUS NTAPI NtQueryIoCompletion(HANDLE Handle, ULONG Class, PVOID Buffer, ULONG Length, PULONG ReturnLength)
{
    LONG Depth;
    ULONG Bytes = sizeof(Depth);
    PVOID Port;
    NTSTATUS Status;

    if (Class != 0) {
        return STATUS_INVALID_INFO_CLASS;
    }
    if (Length != Bytes) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    Status = ObReferenceObjectByHandle(Handle, IOP_PORT_QUERY_STATE, IopCompletionObjectType, ExGetPreviousMode(),
                                       &Port, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Depth = KeReadStateQueue(Port);
    ObfDereferenceObject(Port);
    Status = ExCopyToCaller(Buffer, &Depth, Bytes);
    return ExReturnValue(Status, ReturnLength, &Bytes, sizeof(Bytes));
}

/* Takes up to Count (<= IOP_PORT_ENTRIES) packets into Entries, waiting for the first only. */
static NTSTATUS IopRemovePackets(HANDLE Handle, KPROCESSOR_MODE Mode, PLARGE_INTEGER Timeout, BOOLEAN Alertable,
                                 PFILE_IO_COMPLETION_INFORMATION Entries, ULONG Count, PULONG Removed)
{
    PLIST_ENTRY Links[IOP_PORT_ENTRIES];
    LARGE_INTEGER Limit;
    PKQUEUE Port;
    NTSTATUS Status = (Timeout != NULL) ? ExCopyFromCaller(&Limit, Timeout, sizeof(Limit)) : STATUS_SUCCESS;

    *Removed = 0;
    if (NT_SUCCESS(Status)) {
        Status = ObReferenceObjectByHandle(Handle, IOP_PORT_MODIFY_STATE, IopCompletionObjectType, Mode, (PVOID *)&Port,
                                           NULL);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Count = KeRemoveQueueEx(Port, Mode, Alertable, (Timeout != NULL) ? &Limit : NULL, Links, Count);
    ObfDereferenceObject(Port);
    if ((LONG_PTR)Links[0] >= 0) {
        return (NTSTATUS)(LONG_PTR)Links[0]; /* a wait's status in a pointer's place */
    }
    for (ULONG Index = 0; Index < Count; Index++) {
        IopOpenPacket(Links[Index], &Entries[Index]);
    }
    *Removed = Count;
    return STATUS_SUCCESS;
}

/**
 * NtRemoveIoCompletionEx - takes up to Count packets; waits for the first only.
 *
 * @Information  gets them; @Removed: how many
 * @Timeout      NULL: for ever
 * returns       STATUS_SUCCESS; STATUS_TIMEOUT; STATUS_ALERTED and STATUS_USER_APC; STATUS_ABANDONED: the port went
 *
 * IRQL: PASSIVE_LEVEL.
 */
NTSTATUS NTAPI NtRemoveIoCompletionEx(HANDLE Handle, PFILE_IO_COMPLETION_INFORMATION Information, ULONG Count,
                                      PULONG Removed, PLARGE_INTEGER Timeout, BOOLEAN Alertable)
{
    FILE_IO_COMPLETION_INFORMATION Entries[IOP_PORT_ENTRIES];
    KPROCESSOR_MODE Mode = ExGetPreviousMode();
    NTSTATUS Status, Copied;
    ULONG Taken;

    if (Count == 0) {
        return STATUS_INVALID_PARAMETER;
    }
    Status = IopRemovePackets(Handle, Mode, Timeout, Alertable, Entries, min(Count, IOP_PORT_ENTRIES), &Taken);
    Copied = ExCopyToCaller(Information, Entries, Taken * sizeof(Entries[0]));
    Copied = NT_SUCCESS(Copied) ? ExCopyToCaller(Removed, &Taken, sizeof(Taken)) : Copied;
    return NT_SUCCESS(Copied) ? Status : Copied;
}

/* The same for one packet. */
NTSTATUS NTAPI NtRemoveIoCompletion(HANDLE Handle, PVOID *KeyContext, PVOID *ApcContext, PIO_STATUS_BLOCK IoStatusBlock,
                                    PLARGE_INTEGER Timeout)
{
    KPROCESSOR_MODE Mode = ExGetPreviousMode();
    FILE_IO_COMPLETION_INFORMATION Entry;
    ULONG Removed;
    NTSTATUS Status = IopRemovePackets(Handle, Mode, Timeout, FALSE, &Entry, 1, &Removed);

    if (Removed == 0) {
        return Status;
    }
    Status = ExCopyToCaller(KeyContext, &Entry.KeyContext, sizeof(PVOID));
    Status = NT_SUCCESS(Status) ? ExCopyToCaller(ApcContext, &Entry.ApcContext, sizeof(PVOID)) : Status;
    return NT_SUCCESS(Status) ? ExCopyToCaller(IoStatusBlock, &Entry.IoStatusBlock, sizeof(*IoStatusBlock)) : Status;
}
