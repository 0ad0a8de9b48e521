/*
 * atapi.c - packet commands: CD-ROM drives.
 *
 * A packet command writes the byte count limit, the PACKET command and, when the drive asks, twelve bytes of command; then data
 * moves by DMA, or in blocks that the drive announces by an interrupt and a byte count. A failed command leaves sense data, which REQUEST SENSE
 * fetches and which becomes an NTSTATUS. A medium change is reported once by the drive (UNIT ATTENTION 28h): it raises MediaChanges and
 * marks a mounted volume for verification.
 *
 * Runs in the channel's thread at PASSIVE_LEVEL. Sources: ATA/ATAPI-6 section 9.8, MMC-3, SPC-2.
 */
#include "ide.h"

#define ATAPI_COMMAND_PACKET 0xA0
#define ATAPI_PACKET_BYTES   12
#define ATAPI_FEATURE_DMA    0x01
#define ATAPI_REASON_COMMAND 0x01 /* command, not data */
#define ATAPI_REASON_TO_HOST 0x02

#define SCSI_TEST_UNIT_READY 0x00
#define SCSI_REQUEST_SENSE   0x03
#define SCSI_READ_CAPACITY   0x25
#define SCSI_READ10          0x28
#define SCSI_READ_TOC        0x43

#define SENSE_NOT_READY      0x02
#define SENSE_MEDIUM_ERROR   0x03
#define SENSE_HARDWARE_ERROR 0x04
#define SENSE_ILLEGAL        0x05
#define SENSE_ATTENTION      0x06
#define SENSE_PROTECTED      0x07
#define SENSE_BLANK          0x08

#define SENSE_CODE_BECOMING_READY 0x04
#define SENSE_CODE_BAD_SECTOR     0x21
#define SENSE_CODE_CHANGED        0x28
#define SENSE_CODE_RESET          0x29
#define SENSE_CODE_NO_MEDIUM      0x3A

/* Moves one block that the drive announced: as much of it as the buffer has room for, the rest is dropped or zero. */
static VOID IdePacketBlock(PIDE_CHANNEL Channel, PUCHAR Data, ULONG Room, ULONG Bytes, BOOLEAN Write)
{
    ULONG Words = (Bytes + 1) / 2, Fit = min(Words, Room / 2);

    if (Write) {
        WRITE_PORT_BUFFER_USHORT((PUSHORT)Channel->Command, (PUSHORT)Data, Fit);
    } else {
        READ_PORT_BUFFER_USHORT((PUSHORT)Channel->Command, (PUSHORT)Data, Fit);
    }
    for (; Fit < Words; Fit++) {
        if (Write) {
            WRITE_PORT_USHORT((PUSHORT)Channel->Command, 0);
        } else {
            READ_PORT_USHORT((PUSHORT)Channel->Command);
        }
    }
}

/* The data phase by the processor: blocks until the drive has no more. */
static NTSTATUS IdePacketPio(PIDE_CHANNEL Channel, PUCHAR Data, ULONG Length, BOOLEAN Write, PUCHAR Value, PULONG Moved)
{
    NTSTATUS Status;

    *Moved = 0;
    for (;;) {
        ULONG Bytes;

        Status = IdeWaitInterrupt(Channel, Value);
        if (!NT_SUCCESS(Status) || (*Value & IDE_STATUS_DRQ) == 0) {
            return Status;
        }
        if ((IdeReadRegister(Channel, IDE_REG_COUNT) & ATAPI_REASON_COMMAND) != 0) {
            return STATUS_IO_DEVICE_ERROR; /* wants another command packet in the middle of data */
        }
        Bytes = IdeReadRegister(Channel, IDE_REG_LBA_MID) | ((ULONG)IdeReadRegister(Channel, IDE_REG_LBA_HIGH) << 8);
        IdeForgetInterrupts(Channel);
        IdePacketBlock(Channel, (Data == NULL) ? NULL : Data + *Moved, Length - *Moved, Bytes, Write);
        *Moved += min(Bytes, Length - *Moved);
    }
}

/* Writes the command packet when the drive asks for it. */
static NTSTATUS IdeSendPacket(PIDE_CHANNEL Channel, const UCHAR *Packet)
{
    UCHAR Value;

    IdeSettle(Channel);
    if (!NT_SUCCESS(IdeWaitNotBusy(Channel, &Value))) {
        return STATUS_IO_TIMEOUT;
    }
    if ((Value & IDE_STATUS_DRQ) == 0) {
        return STATUS_IO_DEVICE_ERROR;
    }
    IdeBeginCommand(Channel); /* some drives interrupt to ask for the packet: that one does not count */
    WRITE_PORT_BUFFER_USHORT((PUSHORT)Channel->Command, (PUSHORT)Packet, ATAPI_PACKET_BYTES / 2);
    return STATUS_SUCCESS;
}

/**
 * IdePacket - carries out one packet command.
 *
 * @Packet  12 bytes
 * @Buffer  data, or NULL
 * @Moved   gets the bytes moved
 * returns  STATUS_SUCCESS; STATUS_UNSUCCESSFUL: the drive reports an error, sense data waits; STATUS_IO_TIMEOUT and others
 */
NTSTATUS IdePacket(PIDE_DRIVE Drive, const UCHAR *Packet, const IDE_BUFFER *Buffer, PULONG Moved)
{
    PIDE_CHANNEL Channel = Drive->Channel;
    ULONG Length = (Buffer == NULL) ? 0 : Buffer->Length;
    BOOLEAN Dma = Buffer != NULL && IdeCanDma(Drive, Buffer), Write = Buffer != NULL && Buffer->Write;
    ULONG Limit = min(Length, 0xF800); /* below 64 KB, even, whole CD sectors */
    PUCHAR Data = (Length == 0 || Dma) ? NULL : IdeSystemAddress(Buffer);
    NTSTATUS Status, DmaStatus;
    UCHAR Value = 0;

    *Moved = 0;
    if (Length != 0 && !Dma && Data == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    if (Dma) {
        Status = IdePrepareDma(Drive, Buffer);
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
    }
    Status = IdeSelect(Drive, 0);
    if (NT_SUCCESS(Status)) {
        IdeWriteRegister(Channel, IDE_REG_FEATURES, Dma ? ATAPI_FEATURE_DMA : 0);
        IdeWriteRegister(Channel, IDE_REG_LBA_MID, (UCHAR)Limit);
        IdeWriteRegister(Channel, IDE_REG_LBA_HIGH, (UCHAR)(Limit >> 8));
        IdeWriteRegister(Channel, IDE_REG_COMMAND, ATAPI_COMMAND_PACKET);
        Status = IdeSendPacket(Channel, Packet);
    }
    if (NT_SUCCESS(Status) && Dma) {
        IdeStartDma(Channel, Write);
        Status = IdeWaitInterrupt(Channel, &Value);
        *Moved = Length;
    } else if (NT_SUCCESS(Status)) {
        Status = IdePacketPio(Channel, Data, Length, Write, &Value, Moved);
    }
    DmaStatus = Dma ? IdeFinishDma(Drive, Write) : STATUS_SUCCESS;
    if (NT_SUCCESS(Status) && (Value & (IDE_STATUS_ERR | IDE_STATUS_DF)) != 0) {
        return STATUS_UNSUCCESSFUL;
    }
    return NT_SUCCESS(Status) ? DmaStatus : Status;
}

/* The medium is another one, or may be: whoever has it mounted must look again. */
static VOID IdeMediaChanged(PIDE_DRIVE Drive)
{
    InterlockedIncrement(&Drive->MediaChanges);
    Drive->Sectors = 0;
    if (Drive->Device != NULL && Drive->Device->Vpb != NULL && (Drive->Device->Vpb->Flags & VPB_MOUNTED) != 0) {
        Drive->Device->Flags |= DO_VERIFY_VOLUME;
    }
}

static NTSTATUS IdeSenseStatus(PIDE_DRIVE Drive)
{
    switch (Drive->SenseKey) {
    case SENSE_NOT_READY:
        return (Drive->SenseCode == SENSE_CODE_NO_MEDIUM) ? STATUS_NO_MEDIA_IN_DEVICE : STATUS_DEVICE_NOT_READY;
    case SENSE_MEDIUM_ERROR:
        return STATUS_DEVICE_DATA_ERROR;
    case SENSE_ILLEGAL:
        return (Drive->SenseCode == SENSE_CODE_BAD_SECTOR) ? STATUS_NONEXISTENT_SECTOR : STATUS_INVALID_DEVICE_REQUEST;
    case SENSE_ATTENTION:
        return STATUS_VERIFY_REQUIRED;
    case SENSE_PROTECTED:
        return STATUS_MEDIA_WRITE_PROTECTED;
    case SENSE_BLANK:
        return STATUS_NO_DATA_DETECTED;
    default:
        return STATUS_IO_DEVICE_ERROR;
    }
}

/* Fetches the sense data of the command that failed. */
static NTSTATUS IdeRequestSense(PIDE_DRIVE Drive)
{
    UCHAR Packet[ATAPI_PACKET_BYTES] = {SCSI_REQUEST_SENSE, 0, 0, 0, 18}, Sense[18] = {0};
    IDE_BUFFER Buffer = {NULL, Sense, sizeof(Sense), FALSE};
    ULONG Moved;
    NTSTATUS Status = IdePacket(Drive, Packet, &Buffer, &Moved);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Drive->SenseKey = Sense[2] & 0x0F;
    Drive->SenseCode = Sense[12];
    if ((Drive->SenseKey == SENSE_ATTENTION && Drive->SenseCode == SENSE_CODE_CHANGED) ||
        (Drive->SenseKey == SENSE_NOT_READY && Drive->SenseCode == SENSE_CODE_NO_MEDIUM && Drive->Sectors != 0)) {
        IdeMediaChanged(Drive);
    }
    return STATUS_SUCCESS;
}

/* The drive reports a reset that this driver made: the command was not carried out, and is simply sent again. */
static BOOLEAN IdeReportsOwnReset(PIDE_DRIVE Drive)
{
    BOOLEAN Own = Drive->WasReset && Drive->SenseKey == SENSE_ATTENTION && Drive->SenseCode == SENSE_CODE_RESET;

    Drive->WasReset = FALSE;
    return Own;
}

/* IdePacket with sense data turned into the status. */
NTSTATUS IdePacketChecked(PIDE_DRIVE Drive, const UCHAR *Packet, const IDE_BUFFER *Buffer, PULONG Moved)
{
    NTSTATUS Status;

    do {
        Status = IdePacket(Drive, Packet, Buffer, Moved);
        if (Status != STATUS_UNSUCCESSFUL) {
            return Status;
        }
        Status = IdeRequestSense(Drive);
    } while (NT_SUCCESS(Status) && IdeReportsOwnReset(Drive));
    return NT_SUCCESS(Status) ? IdeSenseStatus(Drive) : STATUS_IO_DEVICE_ERROR;
}

/* Is there a medium, and can it be read now? Power-on and change reports are taken off first. */
NTSTATUS IdeTestUnitReady(PIDE_DRIVE Drive)
{
    UCHAR Packet[ATAPI_PACKET_BYTES] = {SCSI_TEST_UNIT_READY};
    NTSTATUS Status = STATUS_DEVICE_NOT_READY;
    LARGE_INTEGER Pause;
    ULONG Moved;

    Pause.QuadPart = -10000LL * 50;
    for (ULONG Try = 0; Try < 40; Try++) { /* 2 s for a disc that spins up */
        Status = IdePacketChecked(Drive, Packet, NULL, &Moved);
        if (Status == STATUS_VERIFY_REQUIRED) {
            continue;
        }
        if (Status != STATUS_DEVICE_NOT_READY || Drive->SenseCode != SENSE_CODE_BECOMING_READY) {
            break;
        }
        KeDelayExecutionThread(KernelMode, FALSE, &Pause);
    }
    return Status;
}

static ULONG IdeBigEndian(const UCHAR *Bytes)
{
    return ((ULONG)Bytes[0] << 24) | ((ULONG)Bytes[1] << 16) | ((ULONG)Bytes[2] << 8) | Bytes[3];
}

/* Learns size and sector size of the medium. */
NTSTATUS IdeReadCapacity(PIDE_DRIVE Drive)
{
    UCHAR Packet[ATAPI_PACKET_BYTES] = {SCSI_READ_CAPACITY}, Reply[8] = {0};
    IDE_BUFFER Buffer = {NULL, Reply, sizeof(Reply), FALSE};
    ULONG Moved, SectorSize;
    NTSTATUS Status = IdePacketChecked(Drive, Packet, &Buffer, &Moved);

    if (!NT_SUCCESS(Status)) {
        Drive->Sectors = 0;
        return Status;
    }
    SectorSize = IdeBigEndian(Reply + 4);
    Drive->SectorSize = (SectorSize == 512) ? 512 : 2048; /* audio and raw sizes are read as data sectors anyway */
    Drive->Sectors = (ULONGLONG)IdeBigEndian(Reply) + 1;
    return STATUS_SUCCESS;
}

/* Reads whole sectors. */
NTSTATUS IdeCdRead(PIDE_DRIVE Drive, ULONGLONG Sector, const IDE_BUFFER *Buffer)
{
    ULONG Count = Buffer->Length / Drive->SectorSize, First = (ULONG)Sector, Moved;
    UCHAR Packet[ATAPI_PACKET_BYTES] = {
        SCSI_READ10,  0, (UCHAR)(First >> 24), (UCHAR)(First >> 16), (UCHAR)(First >> 8),
        (UCHAR)First, 0, (UCHAR)(Count >> 8),  (UCHAR)Count};
    NTSTATUS Status = IdePacketChecked(Drive, Packet, Buffer, &Moved);

    return (NT_SUCCESS(Status) && Moved != Buffer->Length) ? STATUS_IO_DEVICE_ERROR : Status;
}

NTSTATUS IdeReadToc(PIDE_DRIVE Drive, PVOID Toc, ULONG Length, PULONG Moved)
{
    UCHAR Packet[ATAPI_PACKET_BYTES] = {SCSI_READ_TOC, 0x02 /* addresses in minutes, seconds, frames */};
    IDE_BUFFER Buffer = {NULL, Toc, Length & ~1U, FALSE};

    Packet[7] = (UCHAR)(Buffer.Length >> 8);
    Packet[8] = (UCHAR)Buffer.Length;
    return IdePacketChecked(Drive, Packet, &Buffer, Moved);
}
