/*
 * errorlog.c - the error log: packets that drivers write about their devices, kept for the console.
 *
 * The newest IOP_LOG_ENTRIES packets are kept in a ring of pointers; older ones are freed. There is no log service and no message
 * text: `errorlog` prints codes, the driver's and the device's name and the dump data.
 *
 * Lock: IopLogLock (spin) for the ring; packets are freed outside it. IRQL <= DISPATCH_LEVEL. Source: WDK documentation of
 * IoAllocateErrorLogEntry and IoWriteErrorLogEntry.
 */
#include <ntos/console.h>

#include "iop.h"

#define IOP_TAG_LOG     'gLrE'
#define IOP_LOG_ENTRIES 64U /* a page of pointers and time enough to look */
#define IOP_LOG_NAME    32

/* What stands before the packet that the driver sees. */
typedef struct _IOP_LOG_ENTRY {
    LARGE_INTEGER Time; /* system time of writing */
    ULONG Bytes;        /* of the packet */
    CHAR Driver[IOP_LOG_NAME];
    DECLSPEC_ALIGN(16) IO_ERROR_LOG_PACKET Packet;
} IOP_LOG_ENTRY, *PIOP_LOG_ENTRY;

static KSPIN_LOCK IopLogLock;
VF_NAME_LOCK(IopLogLock, "IopLogLock");
static PIOP_LOG_ENTRY IopLog[IOP_LOG_ENTRIES]; /* (l) ring */
static ULONG IopLogWritten;                    /* (l) packets ever written */

/* The last component of a driver's name, in ASCII, taken while the driver is there. */
static VOID IopNameSource(PIOP_LOG_ENTRY Entry, PVOID IoObject)
{
    PDEVICE_OBJECT Device = IoObject;
    PDRIVER_OBJECT Driver = (Device->Type == IOP_TYPE_DEVICE) ? Device->DriverObject : IoObject;
    ULONG Start = 0, Chars = Driver->DriverName.Length / sizeof(WCHAR);

    for (ULONG Index = 0; Index < Chars; Index++) {
        Start = (Driver->DriverName.Buffer[Index] == '\\') ? Index + 1 : Start;
    }
    for (ULONG Index = 0; Start + Index < Chars && Index < IOP_LOG_NAME - 1; Index++) {
        WCHAR Char = Driver->DriverName.Buffer[Start + Index];

        Entry->Driver[Index] = (Char < 0x7F) ? (CHAR)Char : '?';
    }
}

/**
 * IoAllocateErrorLogEntry - a zeroed packet to be filled in and written.
 *
 * @IoObject   the device or driver it is about
 * @EntrySize  bytes, sizeof(IO_ERROR_LOG_PACKET) to ERROR_LOG_MAXIMUM_SIZE
 * returns     the packet; NULL: no memory, or not such a size or object
 *
 * IRQL: <= DISPATCH_LEVEL.
 */
PVOID NTAPI IoAllocateErrorLogEntry(PVOID IoObject, UCHAR EntrySize)
{
    SHORT Type = (IoObject != NULL) ? *(PSHORT)IoObject : 0;
    PIOP_LOG_ENTRY Entry;

    if ((Type != IOP_TYPE_DEVICE && Type != IOP_TYPE_DRIVER) || EntrySize < sizeof(IO_ERROR_LOG_PACKET) ||
        EntrySize > ERROR_LOG_MAXIMUM_SIZE) {
        return NULL;
    }
    Entry = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Entry) + EntrySize, IOP_TAG_LOG);
    if (Entry == NULL) {
        return NULL;
    }
    RtlZeroMemory(Entry, sizeof(*Entry) + EntrySize);
    Entry->Bytes = EntrySize;
    IopNameSource(Entry, IoObject);
    return &Entry->Packet;
}

/* A packet that is not to be written after all. */
VOID NTAPI IoFreeErrorLogEntry(PVOID ElEntry)
{
    ExFreePoolWithTag(CONTAINING_RECORD(ElEntry, IOP_LOG_ENTRY, Packet), IOP_TAG_LOG);
}

/* Writes a packet, which is the log's from here on. IRQL: <= DISPATCH_LEVEL. */
VOID NTAPI IoWriteErrorLogEntry(PVOID ElEntry)
{
    PIOP_LOG_ENTRY Entry = CONTAINING_RECORD(ElEntry, IOP_LOG_ENTRY, Packet), Old;
    KIRQL Irql;

    KeQuerySystemTime(&Entry->Time);
    KeAcquireSpinLock(&IopLogLock, &Irql);
    Entry->Packet.SequenceNumber = (Entry->Packet.SequenceNumber != 0) ? Entry->Packet.SequenceNumber : IopLogWritten;
    Old = IopLog[IopLogWritten % IOP_LOG_ENTRIES];
    IopLog[IopLogWritten++ % IOP_LOG_ENTRIES] = Entry;
    KeReleaseSpinLock(&IopLogLock, Irql);
    if (Old != NULL) {
        ExFreePoolWithTag(Old, IOP_TAG_LOG);
    }
}

/* Takes the oldest packet out of the ring; NULL: it is empty. */
static PIOP_LOG_ENTRY IopTakeLogEntry(VOID)
{
    PIOP_LOG_ENTRY Entry = NULL;
    KIRQL Irql;

    KeAcquireSpinLock(&IopLogLock, &Irql);
    for (ULONG Age = 0; Age < IOP_LOG_ENTRIES && Entry == NULL; Age++) {
        ULONG Index = (IopLogWritten + Age) % IOP_LOG_ENTRIES;

        Entry = IopLog[Index];
        IopLog[Index] = NULL;
    }
    KeReleaseSpinLock(&IopLogLock, Irql);
    return Entry;
}

ULONG IoQueryErrorLog(PIO_ERROR_LOG_PACKET Newest)
{
    ULONG Written;
    KIRQL Irql;

    KeAcquireSpinLock(&IopLogLock, &Irql);
    Written = IopLogWritten;
    if (Written != 0 && IopLog[(Written - 1) % IOP_LOG_ENTRIES] != NULL) {
        *Newest = IopLog[(Written - 1) % IOP_LOG_ENTRIES]->Packet;
    }
    KeReleaseSpinLock(&IopLogLock, Irql);
    return Written;
}

VOID IoClearErrorLog(VOID)
{
    PIOP_LOG_ENTRY Entry;

    while ((Entry = IopTakeLogEntry()) != NULL) {
        ExFreePoolWithTag(Entry, IOP_TAG_LOG);
    }
}

/* Prints and empties the log. */
static VOID IopErrorLogCommand(ULONG ArgumentCount, PCSTR *Arguments)
{
    PIOP_LOG_ENTRY Entry;

    UNREFERENCED_PARAMETER(ArgumentCount);
    UNREFERENCED_PARAMETER(Arguments);
    while ((Entry = IopTakeLogEntry()) != NULL) {
        ConPrint("%lu %s: error 0x%08lX, status 0x%08lX, function 0x%02X, code 0x%08lX, retries %u\n",
                 Entry->Packet.SequenceNumber, Entry->Driver, (ULONG)Entry->Packet.ErrorCode,
                 (ULONG)Entry->Packet.FinalStatus, Entry->Packet.MajorFunctionCode, Entry->Packet.IoControlCode,
                 Entry->Packet.RetryCount);
        ExFreePoolWithTag(Entry, IOP_TAG_LOG);
    }
}
CONSOLE_COMMAND(IopErrorLogEntry, "errorlog", "", "print what drivers wrote to the error log, and empty it",
                IopErrorLogCommand);
