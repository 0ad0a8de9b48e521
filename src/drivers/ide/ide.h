/*
 * ide.h - the structures of ide.sys and what its files offer one another.
 *
 * A channel is one pair of register blocks with up to two drives, of which one works at a time. A thread per channel owns the registers: it
 * takes requests off the channel's queue in order and carries each out from start to end; interrupts only wake it. A drive is the extension of a
 * device object (\Device\CdRomN, \Device\HarddiskN\DRn).
 *
 * Legend: (c) constant after start-up, (t) the channel's thread only, (q) the channel's queue lock, (i) interlocked, (n)
 * interrupt service routine and whoever synchronises with it. Nothing is taken inside the queue lock.
 */
#pragma once

/* wdm.h gives these two external linkage in every file that includes it, which would not link twice. */
#include <intrin.h>

#define InterlockedBitTestAndSet   IdeUnusedBitTestAndSet
#define InterlockedBitTestAndReset IdeUnusedBitTestAndReset
#include <ntddk.h>
#undef InterlockedBitTestAndSet
#undef InterlockedBitTestAndReset

#include <ntdddisk.h>
#include <ntddcdrm.h>

/* Documented, but missing from the headers. */
NTHALAPI ULONG NTAPI HalGetInterruptVector(INTERFACE_TYPE InterfaceType, ULONG BusNumber, ULONG BusInterruptLevel,
                                           ULONG BusInterruptVector, PKIRQL Irql, PKAFFINITY Affinity);

#define IDE_TAG 'ceDI'

/* ---- Registers (ATA/ATAPI-6, sections 7 and 9) ---- */

#define IDE_REG_DATA     0
#define IDE_REG_ERROR    1 /* read */
#define IDE_REG_FEATURES 1 /* write */
#define IDE_REG_COUNT    2 /* ATAPI, read: interrupt reason */
#define IDE_REG_LBA_LOW  3
#define IDE_REG_LBA_MID  4 /* ATAPI: byte count, low */
#define IDE_REG_LBA_HIGH 5 /* ATAPI: byte count, high */
#define IDE_REG_DEVICE   6
#define IDE_REG_STATUS   7 /* read */
#define IDE_REG_COMMAND  7 /* write */

#define IDE_STATUS_ERR 0x01 /* ATAPI: CHK */
#define IDE_STATUS_DRQ 0x08
#define IDE_STATUS_DF  0x20
#define IDE_STATUS_RDY 0x40
#define IDE_STATUS_BSY 0x80

#define IDE_CONTROL_NIEN 0x02 /* no interrupts */
#define IDE_CONTROL_SRST 0x04

#define IDE_DEVICE_LBA 0x40
#define IDE_DEVICE_ONE 0x10

/* Bus-master block of one channel (Programming Interface for Bus Master IDE Controller, revision 1.0) */
#define IDE_BM_COMMAND   0
#define IDE_BM_STATUS    2
#define IDE_BM_TABLE     4
#define IDE_BM_START     0x01 /* command */
#define IDE_BM_TO_MEMORY 0x08 /* command */
#define IDE_BM_ACTIVE    0x01 /* status */
#define IDE_BM_ERROR     0x02 /* status; writing 1 clears it */
#define IDE_BM_INTERRUPT 0x04 /* status; writing 1 clears it */
#define IDE_BM_CAPABLE   0x60 /* status: drive 0 and 1 set up for DMA; kept when writing */

typedef struct _IDE_PRD {
    ULONG Address; /* even; the range does not cross 64 KB */
    USHORT Bytes;  /* even; 0 means 64 KB */
    USHORT Flags;
} IDE_PRD, *PIDE_PRD;
C_ASSERT(sizeof(IDE_PRD) == 8);

#define IDE_PRD_LAST    0x8000
#define IDE_PRD_ENTRIES (PAGE_SIZE / sizeof(IDE_PRD))

/* ---- Limits ---- */

#define IDE_MAXIMUM_TRANSFER 0x20000U /* 128 KB a command: 256 sectors, the most of a 28-bit command */
#define IDE_RETRIES          3U
#define IDE_COMMAND_SECONDS  10    /* a spun-down CD may need several seconds */
#define IDE_READY_MS         5000U /* BSY after a command or reset; ATA allows 31 s, emulators and drives need less */

typedef enum _IDE_KIND { IdeNone, IdeDisk, IdeCdRom } IDE_KIND;

typedef struct _IDE_CHANNEL {
    PUCHAR Command;        /* (c) port of the command block */
    PUCHAR Control;        /* (c) port of the control register */
    PUCHAR BusMaster;      /* (c) port of the bus-master block, NULL: none */
    BOOLEAN Native;        /* (c) PCI interrupt, maybe shared */
    ULONG Line;            /* (c) interrupt line: 14, 15 or the PCI one */
    ULONG BusNumber;       /* (c) */
    PKINTERRUPT Interrupt; /* NULL: the channel is polled */
    KDPC Dpc;
    KEVENT Signal;            /* set by the DPC for the interrupt that is expected */
    KSPIN_LOCK SignalLock;    /* keeps Signal and Expected together; the interrupt's lock is inside */
    volatile ULONG Expected;  /* (n, SignalLock) number of the command or block whose interrupt is waited for */
    volatile ULONG Answered;  /* (n) Expected at the last interrupt */
    volatile UCHAR DmaStatus; /* (n) bus-master status bits seen since the command began */
    volatile LONG Interrupts; /* (i) */
    PDMA_ADAPTER Adapter;     /* (c) NULL: PIO only */
    PIDE_PRD Table;           /* (t) common buffer, one page */
    PHYSICAL_ADDRESS TableAddress;
    struct _IDE_DRIVE *Drives[2]; /* (c) NULL: none */

    KSPIN_LOCK QueueLock;
    LIST_ENTRY Queue;          /* (q) IRPs by Tail.Overlay.ListEntry */
    KSEMAPHORE Work;           /* one unit for every IRP in Queue */
    PSCATTER_GATHER_LIST List; /* (t) of the DMA transfer under way */
    KEVENT ListReady;
    ULONG Resets, Timeouts, LostInterrupts; /* (t) counters */
} IDE_CHANNEL, *PIDE_CHANNEL;

typedef struct _IDE_DRIVE {
    PDEVICE_OBJECT Device;      /* (c) NULL while start-up identifies the drive */
    PIDE_CHANNEL Channel;       /* (c) */
    UCHAR Unit;                 /* (c) 0 or 1 */
    IDE_KIND Kind;              /* (c) */
    ULONG Number;               /* (c) of CdRomN or HarddiskN */
    BOOLEAN Lba48;              /* (c) */
    BOOLEAN UseDma;             /* (t) cleared when PIO does what DMA cannot */
    BOOLEAN WasReset;           /* (t) by this driver, and has not said so yet */
    UCHAR SenseKey, SenseCode;  /* (t) of the last failed packet command */
    ULONG SectorSize;           /* (t) bytes; a medium change may change it */
    ULONGLONG Sectors;          /* (t) 0: no medium */
    volatile LONG MediaChanges; /* (i) */
    CHAR Model[41];             /* (c) */
} IDE_DRIVE, *PIDE_DRIVE;

/* channel.c: the registers */
FORCEINLINE UCHAR IdeReadRegister(PIDE_CHANNEL Channel, ULONG Register)
{
    return READ_PORT_UCHAR(Channel->Command + Register);
}
FORCEINLINE VOID IdeWriteRegister(PIDE_CHANNEL Channel, ULONG Register, UCHAR Value)
{
    WRITE_PORT_UCHAR(Channel->Command + Register, Value);
}
VOID IdeSettle(PIDE_CHANNEL Channel);
NTSTATUS IdeWaitNotBusy(PIDE_CHANNEL Channel, PUCHAR Status);
NTSTATUS IdeSelect(PIDE_DRIVE Drive, UCHAR DeviceBits);
NTSTATUS IdeWaitInterrupt(PIDE_CHANNEL Channel, PUCHAR Status);
VOID IdeForgetInterrupts(PIDE_CHANNEL Channel);
VOID IdeBeginCommand(PIDE_CHANNEL Channel);
VOID IdeResetChannel(PIDE_CHANNEL Channel);
BOOLEAN IdeChannelExists(PIDE_CHANNEL Channel);
NTSTATUS IdeConnectChannel(PIDE_CHANNEL Channel);

/* transfer.c: moving data */
typedef struct _IDE_BUFFER {
    PMDL Mdl;      /* the request's pages, or NULL */
    PUCHAR Va;     /* where in the MDL (as its virtual address counts), or a system address if Mdl is NULL */
    ULONG Length;  /* bytes */
    BOOLEAN Write; /* memory to device */
    BOOLEAN Pio;   /* by the processor even if DMA is possible */
} IDE_BUFFER, *PIDE_BUFFER;

PUCHAR IdeSystemAddress(const IDE_BUFFER *Buffer);
BOOLEAN IdeCanDma(PIDE_DRIVE Drive, const IDE_BUFFER *Buffer);
NTSTATUS IdePrepareDma(PIDE_DRIVE Drive, const IDE_BUFFER *Buffer);
VOID IdeStartDma(PIDE_CHANNEL Channel, BOOLEAN Write);
NTSTATUS IdeFinishDma(PIDE_DRIVE Drive, BOOLEAN Write);

/* ata.c, atapi.c */
NTSTATUS IdeAtaTransfer(PIDE_DRIVE Drive, ULONGLONG Sector, const IDE_BUFFER *Buffer);
NTSTATUS IdeAtaFlush(PIDE_DRIVE Drive);
NTSTATUS IdePacket(PIDE_DRIVE Drive, const UCHAR *Packet, const IDE_BUFFER *Buffer, PULONG Moved);
NTSTATUS IdePacketChecked(PIDE_DRIVE Drive, const UCHAR *Packet, const IDE_BUFFER *Buffer, PULONG Moved);
NTSTATUS IdeTestUnitReady(PIDE_DRIVE Drive);
NTSTATUS IdeReadCapacity(PIDE_DRIVE Drive);
NTSTATUS IdeCdRead(PIDE_DRIVE Drive, ULONGLONG Sector, const IDE_BUFFER *Buffer);
NTSTATUS IdeReadToc(PIDE_DRIVE Drive, PVOID Toc, ULONG Length, PULONG Moved);

/* request.c, control.c, ide.c */
NTSTATUS IdeTransfer(PIDE_DRIVE Drive, PIRP Irp);
NTSTATUS IdeControl(PIDE_DRIVE Drive, PIRP Irp);
NTSTATUS IdeQueueRequest(PDEVICE_OBJECT DeviceObject, PIRP Irp);
VOID IdeChannelThread(PVOID Context);
NTSTATUS IdeIdentify(PIDE_DRIVE Drive);
NTSTATUS IdeCreateDevice(PDRIVER_OBJECT DriverObject, PIDE_CHANNEL Channel, const IDE_DRIVE *Found);
NTSTATUS IdeFindControllers(PDRIVER_OBJECT DriverObject, PULONG Drives);
