/*
 * msi.c - message-signalled interrupts: a PCI function that writes its vector to a local APIC.
 *
 * HalEnableMessageInterrupt takes a vector of the device range that no line has, programs the function's MSI
 * capability with one message to one processor, and switches the function's line off; IoConnectInterrupt then connects a
 * service routine (Latched, not shared) as for a line. A capability list is followed for a bounded number of steps.
 *
 * Messages go to processors by their 8-bit APIC identifier; a processor above 254 gets none.
 *
 * Locks: those of vectors (ioapic.c) and of configuration space (pci.c), one after the other. One caller owns a function.
 *
 * Source: PCI Local Bus Specification 3.0, 6.8.1; Intel SDM 3A, 11.11.
 */
#include "halp.h"

#define CAPABILITIES_POINTER 0x34
#define CAPABILITY_STEPS     48 /* as many as fit */
#define CAPABILITY_MSI       0x05

#define MSI_CONTROL     2 /* offsets from the capability */
#define MSI_ADDRESS     4
#define MSI_ADDRESS_HI  8
#define MSI_DATA32      8
#define MSI_DATA64      12
#define MSI_ENABLE      0x0001
#define MSI_MULTIPLE    0x0070 /* log2 of the messages enabled */
#define MSI_64          0x0080
#define MSI_TARGET      0xFEE00000U
#define MSI_TARGET_BITS 12
#define APIC_ID_LIMIT   255

#define COMMAND_OFFSET       4
#define COMMAND_BUS_MASTER   0x0004 /* a message is a write of the function's */
#define COMMAND_LINE_DISABLE 0x0400

static USHORT ReadWord(ULONG Bus, ULONG Slot, ULONG Offset)
{
    USHORT Value = 0;

    HalGetBusDataByOffset(PCIConfiguration, Bus, Slot, &Value, Offset, sizeof(Value));
    return Value;
}

static VOID WriteWord(ULONG Bus, ULONG Slot, ULONG Offset, USHORT Value)
{
    HalSetBusDataByOffset(PCIConfiguration, Bus, Slot, &Value, Offset, sizeof(Value));
}

static VOID WriteDword(ULONG Bus, ULONG Slot, ULONG Offset, ULONG Value)
{
    HalSetBusDataByOffset(PCIConfiguration, Bus, Slot, &Value, Offset, sizeof(Value));
}

/* Offset of the function's MSI capability; 0: it has none. */
static ULONG FindCapability(ULONG Bus, ULONG Slot)
{
    PCI_COMMON_CONFIG Config;

    if (HalGetBusData(PCIConfiguration, Bus, Slot, &Config, PCI_COMMON_HDR_LENGTH) != PCI_COMMON_HDR_LENGTH ||
        (Config.Status & PCI_STATUS_CAPABILITIES_LIST) == 0) {
        return 0;
    }
    UCHAR Next = (UCHAR)(ReadWord(Bus, Slot, CAPABILITIES_POINTER) & 0xFC);
    for (ULONG Step = 0; Step < CAPABILITY_STEPS && Next >= PCI_COMMON_HDR_LENGTH; Step++) {
        USHORT Entry = ReadWord(Bus, Slot, Next);

        if ((Entry & 0xFF) == CAPABILITY_MSI) {
            return Next;
        }
        Next = (UCHAR)(Entry >> 8 & 0xFC);
    }
    return 0;
}

NTSTATUS HalEnableMessageInterrupt(ULONG Bus, ULONG Slot, ULONG Processor, PULONG Vector, PKIRQL Irql)
{
    ULONG Capability = FindCapability(Bus, Slot);

    if (Capability == 0) {
        return STATUS_NOT_SUPPORTED;
    }
    if (Processor >= KeNumberOfActiveProcessors || KiProcessorBlock[Processor]->ApicId >= APIC_ID_LIMIT) {
        return STATUS_INVALID_PARAMETER;
    }
    *Vector = HalpBindMessage();
    if (*Vector == 0) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    *Irql = (KIRQL)(*Vector >> 4);
    USHORT Control = ReadWord(Bus, Slot, Capability + MSI_CONTROL) & (USHORT) ~(MSI_ENABLE | MSI_MULTIPLE);
    WriteWord(Bus, Slot, Capability + MSI_CONTROL, Control);
    WriteDword(Bus, Slot, Capability + MSI_ADDRESS,
               MSI_TARGET | KiProcessorBlock[Processor]->ApicId << MSI_TARGET_BITS);
    if ((Control & MSI_64) != 0) {
        WriteDword(Bus, Slot, Capability + MSI_ADDRESS_HI, 0);
    }
    WriteWord(Bus, Slot, Capability + ((Control & MSI_64) != 0 ? MSI_DATA64 : MSI_DATA32), (USHORT)*Vector);
    WriteWord(Bus, Slot, COMMAND_OFFSET,
              ReadWord(Bus, Slot, COMMAND_OFFSET) | COMMAND_BUS_MASTER | COMMAND_LINE_DISABLE);
    WriteWord(Bus, Slot, Capability + MSI_CONTROL, Control | MSI_ENABLE);
    return STATUS_SUCCESS;
}

VOID HalDisableMessageInterrupt(ULONG Bus, ULONG Slot, ULONG Vector)
{
    ULONG Capability = FindCapability(Bus, Slot);

    if (Capability != 0) {
        WriteWord(Bus, Slot, Capability + MSI_CONTROL,
                  ReadWord(Bus, Slot, Capability + MSI_CONTROL) & (USHORT)~MSI_ENABLE);
        WriteWord(Bus, Slot, COMMAND_OFFSET, ReadWord(Bus, Slot, COMMAND_OFFSET) & (USHORT)~COMMAND_LINE_DISABLE);
    }
    HalpFreeMessage(Vector);
}
