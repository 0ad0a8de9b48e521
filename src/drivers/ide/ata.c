/*
 * ata.c - commands of ATA disks: reading, writing, flushing.
 *
 * Sectors below 2^28 are addressed by the 28-bit commands (Bochs' drives of up to 128 GB know no others), those above by the
 * 48-bit ones if the drive has them. A command moves at most 256 sectors. Runs in the channel's thread at PASSIVE_LEVEL. Source:
 * ATA/ATAPI-6, section 8.
 */
#include "ide.h"

#define ATA_READ_PIO      0x20
#define ATA_READ_PIO_EXT  0x24
#define ATA_READ_DMA      0xC8
#define ATA_READ_DMA_EXT  0x25
#define ATA_WRITE_PIO     0x30
#define ATA_WRITE_PIO_EXT 0x34
#define ATA_WRITE_DMA     0xCA
#define ATA_WRITE_DMA_EXT 0x35
#define ATA_FLUSH         0xE7
#define ATA_FLUSH_EXT     0xEA

#define ATA_ERROR_ABORT  0x04
#define ATA_ERROR_IDNF   0x10
#define ATA_ERROR_UNC    0x40 /* data that cannot be corrected */
#define ATA_ERROR_WP     0x40 /* in a write: protected */
#define ATA_ERROR_BADCRC 0x80

static NTSTATUS IdeAtaError(PIDE_CHANNEL Channel, UCHAR Status, BOOLEAN Write)
{
    UCHAR Error = IdeReadRegister(Channel, IDE_REG_ERROR);

    if ((Status & IDE_STATUS_ERR) == 0) {
        return STATUS_IO_DEVICE_ERROR; /* device fault */
    }
    if ((Error & ATA_ERROR_UNC) != 0) {
        return Write ? STATUS_MEDIA_WRITE_PROTECTED : STATUS_DEVICE_DATA_ERROR;
    }
    if ((Error & ATA_ERROR_IDNF) != 0) {
        return STATUS_NONEXISTENT_SECTOR;
    }
    return ((Error & ATA_ERROR_BADCRC) != 0) ? STATUS_CRC_ERROR : STATUS_IO_DEVICE_ERROR;
}

/* Writes address and count. Count 256 is written as 0. Returns FALSE for a sector the drive cannot address. */
static NTSTATUS IdeAtaSetAddress(PIDE_DRIVE Drive, ULONGLONG Sector, ULONG Count, PBOOLEAN Extended)
{
    PIDE_CHANNEL Channel = Drive->Channel;
    BOOLEAN Ext = Sector + Count > 0x10000000ULL;
    NTSTATUS Status;

    if (Ext && !Drive->Lba48) {
        return STATUS_NONEXISTENT_SECTOR;
    }
    Status = IdeSelect(Drive, (UCHAR)(IDE_DEVICE_LBA | (Ext ? 0 : ((Sector >> 24) & 0x0F))));
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Ext) {
        IdeWriteRegister(Channel, IDE_REG_COUNT, (UCHAR)(Count >> 8));
        IdeWriteRegister(Channel, IDE_REG_LBA_LOW, (UCHAR)(Sector >> 24));
        IdeWriteRegister(Channel, IDE_REG_LBA_MID, (UCHAR)(Sector >> 32));
        IdeWriteRegister(Channel, IDE_REG_LBA_HIGH, (UCHAR)(Sector >> 40));
    }
    IdeWriteRegister(Channel, IDE_REG_COUNT, (UCHAR)Count);
    IdeWriteRegister(Channel, IDE_REG_LBA_LOW, (UCHAR)Sector);
    IdeWriteRegister(Channel, IDE_REG_LBA_MID, (UCHAR)(Sector >> 8));
    IdeWriteRegister(Channel, IDE_REG_LBA_HIGH, (UCHAR)(Sector >> 16));
    *Extended = Ext;
    return STATUS_SUCCESS;
}

static NTSTATUS IdeAtaDma(PIDE_DRIVE Drive, ULONGLONG Sector, const IDE_BUFFER *Buffer)
{
    PIDE_CHANNEL Channel = Drive->Channel;
    BOOLEAN Extended = FALSE;
    UCHAR Value = 0;
    NTSTATUS Status, DmaStatus;

    Status = IdePrepareDma(Drive, Buffer);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = IdeAtaSetAddress(Drive, Sector, Buffer->Length / 512, &Extended);
    if (NT_SUCCESS(Status)) {
        IdeBeginCommand(Channel);
        IdeWriteRegister(Channel, IDE_REG_COMMAND,
                         Buffer->Write ? (Extended ? ATA_WRITE_DMA_EXT : ATA_WRITE_DMA)
                                       : (Extended ? ATA_READ_DMA_EXT : ATA_READ_DMA));
        IdeStartDma(Channel, Buffer->Write);
        Status = IdeWaitInterrupt(Channel, &Value);
    }
    DmaStatus = IdeFinishDma(Drive, Buffer->Write);
    if (NT_SUCCESS(Status) && (Value & (IDE_STATUS_ERR | IDE_STATUS_DF)) != 0) {
        return IdeAtaError(Channel, Value, Buffer->Write);
    }
    return NT_SUCCESS(Status) ? DmaStatus : Status;
}

/* Waits for the drive to ask for a sector's words (or offer them), polled. */
static NTSTATUS IdeAtaWaitData(PIDE_CHANNEL Channel, BOOLEAN Write)
{
    UCHAR Value;

    if (!NT_SUCCESS(IdeWaitNotBusy(Channel, &Value))) {
        return STATUS_IO_TIMEOUT;
    }
    if ((Value & (IDE_STATUS_ERR | IDE_STATUS_DF)) != 0) {
        return IdeAtaError(Channel, Value, Write);
    }
    return ((Value & IDE_STATUS_DRQ) != 0) ? STATUS_SUCCESS : STATUS_IO_DEVICE_ERROR;
}

static NTSTATUS IdeAtaPio(PIDE_DRIVE Drive, ULONGLONG Sector, const IDE_BUFFER *Buffer)
{
    PIDE_CHANNEL Channel = Drive->Channel;
    PUSHORT Data = (PUSHORT)IdeSystemAddress(Buffer);
    ULONG Count = Buffer->Length / 512;
    BOOLEAN Extended = FALSE;
    UCHAR Value = 0;
    NTSTATUS Status;

    if (Data == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Status = IdeAtaSetAddress(Drive, Sector, Count, &Extended);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    IdeBeginCommand(Channel);
    IdeWriteRegister(Channel, IDE_REG_COMMAND,
                     Buffer->Write ? (Extended ? ATA_WRITE_PIO_EXT : ATA_WRITE_PIO)
                                   : (Extended ? ATA_READ_PIO_EXT : ATA_READ_PIO));
    IdeSettle(Channel);
    for (ULONG Index = 0; Index < Count && NT_SUCCESS(Status); Index++, Data += 256) {
        /* A read interrupts before each sector, a write after each; the first sector of a write is asked for by DRQ alone. */
        if (!Buffer->Write || Index != 0) {
            Status = IdeWaitInterrupt(Channel, &Value);
        }
        if (NT_SUCCESS(Status)) {
            Status = IdeAtaWaitData(Channel, Buffer->Write);
        }
        if (!NT_SUCCESS(Status)) {
            break;
        }
        if (Buffer->Write) {
            WRITE_PORT_BUFFER_USHORT((PUSHORT)Channel->Command, Data, 256);
        } else {
            READ_PORT_BUFFER_USHORT((PUSHORT)Channel->Command, Data, 256);
        }
    }
    if (NT_SUCCESS(Status) && Buffer->Write) {
        Status = IdeWaitInterrupt(Channel, &Value);
        if (NT_SUCCESS(Status) && (Value & (IDE_STATUS_ERR | IDE_STATUS_DF)) != 0) {
            Status = IdeAtaError(Channel, Value, TRUE);
        }
    }
    return Status;
}

/* Moves Buffer->Length bytes (at most IDE_MAXIMUM_TRANSFER) from or to a sector. */
NTSTATUS IdeAtaTransfer(PIDE_DRIVE Drive, ULONGLONG Sector, const IDE_BUFFER *Buffer)
{
    return IdeCanDma(Drive, Buffer) ? IdeAtaDma(Drive, Sector, Buffer) : IdeAtaPio(Drive, Sector, Buffer);
}

/* Has the drive write its cache. A drive without the command has nothing to write. */
NTSTATUS IdeAtaFlush(PIDE_DRIVE Drive)
{
    PIDE_CHANNEL Channel = Drive->Channel;
    NTSTATUS Status = IdeSelect(Drive, IDE_DEVICE_LBA);
    UCHAR Value = 0;

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    IdeBeginCommand(Channel);
    IdeWriteRegister(Channel, IDE_REG_COMMAND, Drive->Lba48 ? ATA_FLUSH_EXT : ATA_FLUSH);
    Status = IdeWaitInterrupt(Channel, &Value);
    if (NT_SUCCESS(Status) && (Value & (IDE_STATUS_ERR | IDE_STATUS_DF)) != 0) {
        return ((IdeReadRegister(Channel, IDE_REG_ERROR) & ATA_ERROR_ABORT) != 0) ? STATUS_SUCCESS
                                                                                  : STATUS_IO_DEVICE_ERROR;
    }
    return Status;
}
