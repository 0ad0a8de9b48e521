/*
 * transfer.c - moving a command's data: by the bus master, or by the processor.
 *
 * DMA: the adapter turns the request's pages into a scatter-gather list (through bounce frames for pages the controller cannot reach),
 * which becomes a table of physical region descriptors: even addresses, even lengths, none across a 64 KB line.
 * PIO: the pages are mapped by their MDL and moved 16 bits at a time.
 *
 * Runs in the channel's thread at PASSIVE_LEVEL; the adapter is called at DISPATCH_LEVEL as it wants. One transfer at a time a channel.
 */
#include "ide.h"

/* Where the processor finds the data; NULL: no mapping to be had. */
PUCHAR IdeSystemAddress(const IDE_BUFFER *Buffer)
{
    PUCHAR Base;

    if (Buffer->Mdl == NULL) {
        return Buffer->Va;
    }
    Base = MmGetSystemAddressForMdlSafe(Buffer->Mdl, HighPagePriority);
    return (Base == NULL) ? NULL : Base + (Buffer->Va - (PUCHAR)MmGetMdlVirtualAddress(Buffer->Mdl));
}

/* The bus master moves words from even addresses; a buffer that is not one of words is the processor's. */
BOOLEAN IdeCanDma(PIDE_DRIVE Drive, const IDE_BUFFER *Buffer)
{
    return Drive->UseDma && !Buffer->Pio && Buffer->Mdl != NULL && ((ULONG_PTR)Buffer->Va & 1) == 0 &&
           (Buffer->Length & 1) == 0;
}

/* The adapter has the list. IRQL: DISPATCH_LEVEL. */
static VOID NTAPI IdeListReady(PDEVICE_OBJECT DeviceObject, PIRP Irp, PSCATTER_GATHER_LIST ScatterGather, PVOID Context)
{
    PIDE_CHANNEL Channel = Context;

    UNREFERENCED_PARAMETER(DeviceObject);
    UNREFERENCED_PARAMETER(Irp);
    Channel->List = ScatterGather;
    KeSetEvent(&Channel->ListReady, IO_NO_INCREMENT, FALSE);
}

static VOID IdePutList(PIDE_CHANNEL Channel, BOOLEAN Write)
{
    KIRQL Irql;

    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    Channel->Adapter->DmaOperations->PutScatterGatherList(Channel->Adapter, Channel->List, Write);
    KeLowerIrql(Irql);
    Channel->List = NULL;
}

/* Fills the descriptor table; FALSE: the list does not fit or is not even. */
static BOOLEAN IdeFillTable(PIDE_CHANNEL Channel)
{
    ULONG Entry = 0;

    for (ULONG Index = 0; Index < Channel->List->NumberOfElements; Index++) {
        ULONGLONG Address = (ULONGLONG)Channel->List->Elements[Index].Address.QuadPart;
        ULONG Left = Channel->List->Elements[Index].Length;

        while (Left != 0) {
            ULONG Part = min(Left, 0x10000 - (ULONG)(Address & 0xFFFF));

            if (Entry == IDE_PRD_ENTRIES || ((Address | Part) & 1) != 0 || (Address >> 32) != 0) {
                return FALSE;
            }
            Channel->Table[Entry].Address = (ULONG)Address;
            Channel->Table[Entry].Bytes = (USHORT)Part; /* 64 KB becomes 0 */
            Channel->Table[Entry].Flags = 0;
            Entry++;
            Address += Part;
            Left -= Part;
        }
    }
    if (Entry == 0) {
        return FALSE;
    }
    Channel->Table[Entry - 1].Flags = IDE_PRD_LAST;
    return TRUE;
}

/**
 * IdePrepareDma - sets the bus master up for a transfer, not started yet.
 *
 * returns  STATUS_SUCCESS: IdeFinishDma must follow; else nothing is held
 */
NTSTATUS IdePrepareDma(PIDE_DRIVE Drive, const IDE_BUFFER *Buffer)
{
    PIDE_CHANNEL Channel = Drive->Channel;
    NTSTATUS Status;
    KIRQL Irql;

    KeClearEvent(&Channel->ListReady);
    KeFlushIoBuffers(Buffer->Mdl, !Buffer->Write, TRUE);
    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    Status = Channel->Adapter->DmaOperations->GetScatterGatherList(
        Channel->Adapter, Drive->Device, Buffer->Mdl, Buffer->Va, Buffer->Length, IdeListReady, Channel, Buffer->Write);
    KeLowerIrql(Irql);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    KeWaitForSingleObject(&Channel->ListReady, Executive, KernelMode, FALSE, NULL); /* bounce frames may be short */
    if (!IdeFillTable(Channel)) {
        IdePutList(Channel, Buffer->Write);
        return STATUS_DATATYPE_MISALIGNMENT;
    }
    WRITE_PORT_UCHAR(Channel->BusMaster + IDE_BM_COMMAND, Buffer->Write ? 0 : IDE_BM_TO_MEMORY);
    WRITE_PORT_ULONG((PULONG)(Channel->BusMaster + IDE_BM_TABLE), Channel->TableAddress.LowPart);
    WRITE_PORT_UCHAR(Channel->BusMaster + IDE_BM_STATUS,
                     (UCHAR)((READ_PORT_UCHAR(Channel->BusMaster + IDE_BM_STATUS) & IDE_BM_CAPABLE) | IDE_BM_ERROR |
                             IDE_BM_INTERRUPT));
    return STATUS_SUCCESS;
}

/* Lets the bus master run. After the command was written. */
VOID IdeStartDma(PIDE_CHANNEL Channel, BOOLEAN Write)
{
    WRITE_PORT_UCHAR(Channel->BusMaster + IDE_BM_COMMAND, (UCHAR)(IDE_BM_START | (Write ? 0 : IDE_BM_TO_MEMORY)));
}

/* Stops the bus master and gives the list back. STATUS_IO_DEVICE_ERROR: it reported an error. */
NTSTATUS IdeFinishDma(PIDE_DRIVE Drive, BOOLEAN Write)
{
    PIDE_CHANNEL Channel = Drive->Channel;
    UCHAR Status;

    WRITE_PORT_UCHAR(Channel->BusMaster + IDE_BM_COMMAND, Write ? 0 : IDE_BM_TO_MEMORY);
    Status = (UCHAR)(READ_PORT_UCHAR(Channel->BusMaster + IDE_BM_STATUS) | Channel->DmaStatus);
    WRITE_PORT_UCHAR(Channel->BusMaster + IDE_BM_STATUS,
                     (UCHAR)((Status & IDE_BM_CAPABLE) | IDE_BM_ERROR | IDE_BM_INTERRUPT));
    IdePutList(Channel, Write);
    return ((Status & IDE_BM_ERROR) != 0) ? STATUS_IO_DEVICE_ERROR : STATUS_SUCCESS;
}
