/*
 * channel.c - a channel's registers: selecting a drive, waiting, interrupts, reset.
 *
 * A command begins with IdeBeginCommand (old interrupts forgotten) and a register write; its end is an interrupt, whose service
 * routine reads the status register (which takes the interrupt back), notes the bus master's bits and queues the DPC that sets Signal. Each
 * command, and each data block of one, has a number (Expected), which the service routine notes (Answered): a DPC that runs late, on
 * another processor, sets nothing once the thread expects the next one. The channel's thread waits for Signal with a time-out. If the time-out finds the drive idle, the interrupt was lost: that is counted and
 * the command goes on; if the drive or the bus master is at work, the channel is reset and the command fails with STATUS_IO_TIMEOUT.
 *
 * A native channel without a bus master cannot tell its interrupts from others' on a shared line: it is polled.
 *
 * IRQL: PASSIVE_LEVEL in the thread; device IRQL in the service routine, which touches DmaStatus and Answered only. Source: ATA/ATAPI-6.
 */
#include "ide.h"

/* 400 ns: four reads of the alternate status register. */
VOID IdeSettle(PIDE_CHANNEL Channel)
{
    for (ULONG Count = 0; Count < 4; Count++) {
        READ_PORT_UCHAR(Channel->Control);
    }
}

static VOID IdeSleep(ULONG Milliseconds)
{
    LARGE_INTEGER Time;

    Time.QuadPart = -10000LL * Milliseconds;
    KeDelayExecutionThread(KernelMode, FALSE, &Time);
}

/* Waits for BSY to fall: spins 100 us, then sleeps between looks. *Status gets the last status. */
NTSTATUS IdeWaitNotBusy(PIDE_CHANNEL Channel, PUCHAR Status)
{
    UCHAR Value;

    for (ULONG Count = 0; Count < 10; Count++) {
        Value = READ_PORT_UCHAR(Channel->Control);
        if ((Value & IDE_STATUS_BSY) == 0) {
            *Status = Value;
            return STATUS_SUCCESS;
        }
        KeStallExecutionProcessor(10);
    }
    for (ULONG Count = 0; Count < IDE_READY_MS; Count++) {
        Value = READ_PORT_UCHAR(Channel->Control);
        if ((Value & IDE_STATUS_BSY) == 0) {
            *Status = Value;
            return STATUS_SUCCESS;
        }
        IdeSleep(1);
    }
    *Status = Value;
    return STATUS_IO_TIMEOUT;
}

/* Makes a drive the channel's current one. DeviceBits go to the device register besides the unit. */
NTSTATUS IdeSelect(PIDE_DRIVE Drive, UCHAR DeviceBits)
{
    PIDE_CHANNEL Channel = Drive->Channel;
    UCHAR Status;

    if (!NT_SUCCESS(IdeWaitNotBusy(Channel, &Status))) {
        return STATUS_IO_TIMEOUT;
    }
    IdeWriteRegister(Channel, IDE_REG_DEVICE, (UCHAR)(0xA0 | DeviceBits | ((Drive->Unit != 0) ? IDE_DEVICE_ONE : 0)));
    IdeSettle(Channel);
    return IdeWaitNotBusy(Channel, &Status);
}

static BOOLEAN NTAPI IdeInterrupt(PKINTERRUPT Interrupt, PVOID Context)
{
    PIDE_CHANNEL Channel = Context;

    UNREFERENCED_PARAMETER(Interrupt);
    if (Channel->BusMaster != NULL) {
        UCHAR Dma = READ_PORT_UCHAR(Channel->BusMaster + IDE_BM_STATUS);

        if (Channel->Native && (Dma & IDE_BM_INTERRUPT) == 0) {
            return FALSE; /* another device on a shared line */
        }
        Channel->DmaStatus |= Dma;
        WRITE_PORT_UCHAR(Channel->BusMaster + IDE_BM_STATUS, (UCHAR)((Dma & IDE_BM_CAPABLE) | IDE_BM_INTERRUPT));
    }
    IdeReadRegister(Channel, IDE_REG_STATUS); /* takes the interrupt request back */
    Channel->Answered = Channel->Expected;
    InterlockedIncrement(&Channel->Interrupts);
    KeInsertQueueDpc(&Channel->Dpc, NULL, NULL);
    return TRUE;
}

static VOID NTAPI IdeDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PIDE_CHANNEL Channel = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KeAcquireSpinLockAtDpcLevel(&Channel->SignalLock);
    if (Channel->Answered == Channel->Expected) {
        KeSetEvent(&Channel->Signal, IO_DISK_INCREMENT, FALSE);
    }
    KeReleaseSpinLockFromDpcLevel(&Channel->SignalLock);
}

/* Forgets interrupts of the past: what the service routine has seen so far, and its DPC, wherever that is. */
VOID IdeForgetInterrupts(PIDE_CHANNEL Channel)
{
    KIRQL OldIrql, Irql;

    KeAcquireSpinLock(&Channel->SignalLock, &OldIrql);
    if (Channel->Interrupt != NULL) {
        Irql = KeAcquireInterruptSpinLock(Channel->Interrupt);
        Channel->Expected++;
        KeReleaseInterruptSpinLock(Channel->Interrupt, Irql);
    }
    KeClearEvent(&Channel->Signal);
    KeReleaseSpinLock(&Channel->SignalLock, OldIrql);
}

/* Before the register write that starts a command. */
VOID IdeBeginCommand(PIDE_CHANNEL Channel)
{
    IdeForgetInterrupts(Channel);
    Channel->DmaStatus = 0;
}

/* Instead of an interrupt, where there is none: until the drive is idle and the bus master has nothing more to move. */
static NTSTATUS IdePoll(PIDE_CHANNEL Channel, PUCHAR Status)
{
    for (ULONG Count = 0; Count < IDE_COMMAND_SECONDS * 1000; Count++) {
        UCHAR Dma = (Channel->BusMaster != NULL) ? READ_PORT_UCHAR(Channel->BusMaster + IDE_BM_STATUS) : 0;

        IdeSettle(Channel);
        *Status = READ_PORT_UCHAR(Channel->Control);
        if ((*Status & IDE_STATUS_BSY) == 0 && (Dma & (IDE_BM_ACTIVE | IDE_BM_INTERRUPT)) != IDE_BM_ACTIVE) {
            *Status = IdeReadRegister(Channel, IDE_REG_STATUS);
            Channel->DmaStatus |= Dma;
            return STATUS_SUCCESS;
        }
        IdeSleep(1);
    }
    Channel->Timeouts++;
    return STATUS_IO_TIMEOUT;
}

/**
 * IdeWaitInterrupt - waits for the interrupt that ends a command or one of its data blocks.
 *
 * @Status  gets the drive's status
 * returns  STATUS_SUCCESS; STATUS_IO_TIMEOUT: the drive is still busy, or its data still moves, or it never answered
 */
NTSTATUS IdeWaitInterrupt(PIDE_CHANNEL Channel, PUCHAR Status)
{
    LARGE_INTEGER Timeout;

    if (Channel->Interrupt == NULL) {
        return IdePoll(Channel, Status);
    }
    Timeout.QuadPart = -10000000LL * IDE_COMMAND_SECONDS;
    if (KeWaitForSingleObject(&Channel->Signal, Executive, KernelMode, FALSE, &Timeout) == STATUS_SUCCESS) {
        return IdeWaitNotBusy(Channel, Status);
    }
    Channel->Timeouts++;
    *Status = IdeReadRegister(Channel, IDE_REG_STATUS);
    if ((*Status & IDE_STATUS_BSY) != 0) {
        return STATUS_IO_TIMEOUT;
    }
    if (Channel->BusMaster != NULL) {
        UCHAR Dma = READ_PORT_UCHAR(Channel->BusMaster + IDE_BM_STATUS);

        if ((Dma & (IDE_BM_ACTIVE | IDE_BM_INTERRUPT)) == IDE_BM_ACTIVE) {
            return STATUS_IO_TIMEOUT; /* a drive that waits for its medium amid DMA need not be busy */
        }
        Channel->DmaStatus |= Dma;
    }
    Channel->LostInterrupts++;
    return STATUS_SUCCESS;
}

/* Resets both drives of a channel; their settings fall back to defaults, which is what this driver uses. */
VOID IdeResetChannel(PIDE_CHANNEL Channel)
{
    UCHAR Status;

    Channel->Resets++;
    for (ULONG Unit = 0; Unit < 2; Unit++) {
        if (Channel->Drives[Unit] != NULL) {
            Channel->Drives[Unit]->WasReset = TRUE;
        }
    }
    if (Channel->BusMaster != NULL) {
        WRITE_PORT_UCHAR(Channel->BusMaster + IDE_BM_COMMAND, 0);
    }
    WRITE_PORT_UCHAR(Channel->Control, IDE_CONTROL_SRST | IDE_CONTROL_NIEN);
    KeStallExecutionProcessor(10);
    WRITE_PORT_UCHAR(Channel->Control, (Channel->Interrupt != NULL) ? 0 : IDE_CONTROL_NIEN);
    IdeSleep(3); /* 2 ms until BSY counts */
    IdeWaitNotBusy(Channel, &Status);
    IdeReadRegister(Channel, IDE_REG_STATUS);
}

/* Is there anything behind the ports? An empty bus floats high and keeps nothing that is written to it. */
BOOLEAN IdeChannelExists(PIDE_CHANNEL Channel)
{
    for (UCHAR Unit = 0; Unit < 2; Unit++) {
        IdeWriteRegister(Channel, IDE_REG_DEVICE, (UCHAR)(0xA0 | ((Unit != 0) ? IDE_DEVICE_ONE : 0)));
        IdeSettle(Channel);
        IdeWriteRegister(Channel, IDE_REG_COUNT, 0x55);
        IdeWriteRegister(Channel, IDE_REG_LBA_LOW, 0xAA);
        if (IdeReadRegister(Channel, IDE_REG_COUNT) == 0x55 && IdeReadRegister(Channel, IDE_REG_LBA_LOW) == 0xAA) {
            return TRUE;
        }
    }
    return FALSE;
}

/* Connects the interrupt and lets the drives raise it. */
NTSTATUS IdeConnectChannel(PIDE_CHANNEL Channel)
{
    KAFFINITY Affinity = 0;
    KIRQL Irql = 0;
    ULONG Vector;
    NTSTATUS Status;

    KeInitializeDpc(&Channel->Dpc, IdeDpc, Channel);
    if (Channel->Native && Channel->BusMaster == NULL) {
        return STATUS_SUCCESS;
    }
    Vector = HalGetInterruptVector(Channel->Native ? PCIBus : Isa, Channel->BusNumber, Channel->Line, Channel->Line,
                                   &Irql, &Affinity);
    if (Vector == 0) {
        return STATUS_INVALID_PARAMETER;
    }
    Status = IoConnectInterrupt(&Channel->Interrupt, IdeInterrupt, Channel, NULL, Vector, Irql, Irql,
                                Channel->Native ? LevelSensitive : Latched, Channel->Native, Affinity, FALSE);
    if (NT_SUCCESS(Status)) {
        WRITE_PORT_UCHAR(Channel->Control, 0);
    }
    return Status;
}
