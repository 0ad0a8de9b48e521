/*
 * identify.c - what sits on a channel: signatures and IDENTIFY data.
 *
 * Runs once per drive in DriverEntry, before the channel's interrupt is connected: the registers are polled with interrupts off. A drive is a
 * packet device if the signature after reset says so. Source: ATA/ATAPI-6 sections 8.15, 8.16 and 9.12.
 */
#include "ide.h"

#define ATA_IDENTIFY        0xEC
#define ATA_IDENTIFY_PACKET 0xA1

/* Words of the IDENTIFY data */
#define ID_CONFIG       0
#define ID_MODEL        27 /* 20 words, high byte first */
#define ID_CAPABILITIES 49
#define ID_SECTORS28    60 /* 2 words */
#define ID_COMMANDS     83
#define ID_SECTORS48    100 /* 4 words */

#define ID_CAPABILITY_DMA 0x0100
#define ID_CAPABILITY_LBA 0x0200
#define ID_COMMAND_LBA48  0x0400

/* Copies the model, undoing the word order, without trailing blanks. */
static VOID IdeCopyModel(PIDE_DRIVE Drive, const USHORT *Id)
{
    ULONG End = 40;

    for (ULONG Index = 0; Index < 20; Index++) {
        Drive->Model[Index * 2] = (CHAR)(Id[ID_MODEL + Index] >> 8);
        Drive->Model[Index * 2 + 1] = (CHAR)Id[ID_MODEL + Index];
    }
    while (End > 0 && (Drive->Model[End - 1] == ' ' || Drive->Model[End - 1] == 0)) {
        End--;
    }
    Drive->Model[End] = 0;
}

/* Issues an identify command and reads its 256 words. */
static NTSTATUS IdeReadIdentify(PIDE_DRIVE Drive, UCHAR Command, PUSHORT Id)
{
    PIDE_CHANNEL Channel = Drive->Channel;
    UCHAR Status;

    if (!NT_SUCCESS(IdeSelect(Drive, 0))) {
        return STATUS_IO_TIMEOUT;
    }
    IdeWriteRegister(Channel, IDE_REG_COMMAND, Command);
    IdeSettle(Channel);
    if (READ_PORT_UCHAR(Channel->Control) == 0) {
        return STATUS_NO_SUCH_DEVICE;
    }
    if (!NT_SUCCESS(IdeWaitNotBusy(Channel, &Status))) {
        return STATUS_IO_TIMEOUT;
    }
    if ((Status & (IDE_STATUS_ERR | IDE_STATUS_DF)) != 0 || (Status & IDE_STATUS_DRQ) == 0) {
        return STATUS_NO_SUCH_DEVICE;
    }
    READ_PORT_BUFFER_USHORT((PUSHORT)Channel->Command, Id, 256);
    IdeReadRegister(Channel, IDE_REG_STATUS);
    return STATUS_SUCCESS;
}

static VOID IdeReadDisk(PIDE_DRIVE Drive, const USHORT *Id)
{
    Drive->Kind = IdeDisk;
    Drive->SectorSize = 512;
    Drive->Sectors = Id[ID_SECTORS28] | ((ULONGLONG)Id[ID_SECTORS28 + 1] << 16);
    Drive->Lba48 = (Id[ID_COMMANDS] & ID_COMMAND_LBA48) != 0;
    if (Drive->Lba48) {
        Drive->Sectors = Id[ID_SECTORS48] | ((ULONGLONG)Id[ID_SECTORS48 + 1] << 16) |
                         ((ULONGLONG)Id[ID_SECTORS48 + 2] << 32) | ((ULONGLONG)Id[ID_SECTORS48 + 3] << 48);
    }
}

/* Fills a drive in from what it says of itself. STATUS_NO_SUCH_DEVICE: none there, or one of a kind not known. */
NTSTATUS IdeIdentify(PIDE_DRIVE Drive)
{
    PIDE_CHANNEL Channel = Drive->Channel;
    USHORT Id[256];
    NTSTATUS Status;
    UCHAR Mid, High;

    Status = IdeSelect(Drive, 0);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Mid = IdeReadRegister(Channel, IDE_REG_LBA_MID);
    High = IdeReadRegister(Channel, IDE_REG_LBA_HIGH);
    if (Mid == 0x14 && High == 0xEB) {
        Status = IdeReadIdentify(Drive, ATA_IDENTIFY_PACKET, Id);
        if (NT_SUCCESS(Status) && ((Id[ID_CONFIG] >> 8) & 0x1F) != 5) {
            return STATUS_NO_SUCH_DEVICE; /* a tape or a printer */
        }
        Drive->Kind = IdeCdRom;
        Drive->SectorSize = 2048;
    } else if (Mid == 0 && High == 0) {
        Status = IdeReadIdentify(Drive, ATA_IDENTIFY, Id);
        if (NT_SUCCESS(Status) && (Id[ID_CAPABILITIES] & ID_CAPABILITY_LBA) == 0) {
            return STATUS_NO_SUCH_DEVICE; /* cylinder addressing only: older than 1996 */
        }
        if (NT_SUCCESS(Status)) {
            IdeReadDisk(Drive, Id);
        }
    } else {
        return STATUS_NO_SUCH_DEVICE;
    }
    if (!NT_SUCCESS(Status)) {
        Drive->Kind = IdeNone;
        return Status;
    }
    IdeCopyModel(Drive, Id);
    Drive->UseDma = Channel->Adapter != NULL && (Id[ID_CAPABILITIES] & ID_CAPABILITY_DMA) != 0;
    return STATUS_SUCCESS;
}
