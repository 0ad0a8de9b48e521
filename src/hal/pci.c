/*
 * pci.c - PCI configuration space, and bus addresses.
 *
 * Drivers see it as bus data of type PCIConfiguration. A function has 4096 bytes where it is a PCI Express machine's and
 * mapped (ecam.c), else 256 bytes, reached through ports 0xCF8 and 0xCFC (mechanism #1). Accesses are split into naturally aligned units so that a register is never read in halves that tear. An absent function
 * reads as PCI_INVALID_VENDORID, two bytes, as the DDK documents.
 *
 * Locks: HalpPciLock around the address and data ports, taken with interrupts off (callers may be at device IRQL).
 *
 * Source: PCI Local Bus Specification 3.0, 3.2.2.3; WDK documentation of HalGetBusDataByOffset.
 */
#include "halp.h"

#define PCI_ADDRESS_PORT 0xCF8
#define PCI_DATA_PORT    0xCFC
#define PCI_ENABLE       0x80000000U
#define PCI_SPACE        256  /* bytes of configuration space a function */
#define PCI_EXPRESS      4096 /* the same, of a function that is mapped */

#define CMOS_INDEX 0x70
#define CMOS_DATA  0x71
#define CMOS_SIZE  128

static KSPIN_LOCK HalpPciLock;
VF_NAME_LOCK(HalpPciLock, "HalpPciLock");

static BOOLEAN PciLock(VOID)
{
    BOOLEAN Enabled = KeDisableInterrupts();
    KiAcquireSpinLock(&HalpPciLock);
    return Enabled;
}

static VOID PciUnlock(BOOLEAN Enabled)
{
    KiReleaseSpinLock(&HalpPciLock);
    KeRestoreInterrupts(Enabled);
}

static VOID PciSelect(ULONG Bus, PCI_SLOT_NUMBER Slot, ULONG Offset)
{
    __outdword(PCI_ADDRESS_PORT, PCI_ENABLE | Bus << 16 | Slot.u.bits.DeviceNumber << 11 |
                                     Slot.u.bits.FunctionNumber << 8 | (Offset & 0xFC));
}

/* The widest naturally aligned access at Offset that stays within Length. */
static ULONG PciUnit(ULONG Offset, ULONG Length)
{
    if ((Offset & 3) == 0 && Length >= 4) {
        return 4;
    }
    return (Offset & 1) == 0 && Length >= 2 ? 2 : 1;
}

static VOID PciReadUnit(USHORT Port, PUCHAR Buffer, ULONG Unit)
{
    if (Unit == 4) {
        ULONG Value = __indword(Port);
        memcpy(Buffer, &Value, 4);
    } else if (Unit == 2) {
        USHORT Value = __inword(Port);
        memcpy(Buffer, &Value, 2);
    } else {
        *Buffer = __inbyte(Port);
    }
}

static VOID PciWriteUnit(USHORT Port, const UCHAR *Buffer, ULONG Unit)
{
    if (Unit == 4) {
        ULONG Value;
        memcpy(&Value, Buffer, 4);
        __outdword(Port, Value);
    } else if (Unit == 2) {
        USHORT Value;
        memcpy(&Value, Buffer, 2);
        __outword(Port, Value);
    } else {
        __outbyte(Port, *Buffer);
    }
}

/* One access to a mapped function, as wide as its registers want it. */
static VOID PciMappedUnit(volatile UCHAR *Register, PUCHAR Buffer, ULONG Unit, BOOLEAN Write)
{
    ULONG Value = 0;

    if (Write) {
        memcpy(&Value, Buffer, Unit);
        if (Unit == 4) {
            *(volatile ULONG *)Register = Value;
        } else if (Unit == 2) {
            *(volatile USHORT *)Register = (USHORT)Value;
        } else {
            *Register = (UCHAR)Value;
        }
        return;
    }
    if (Unit == 4) {
        Value = *(volatile ULONG *)Register;
    } else {
        Value = Unit == 2 ? *(volatile USHORT *)Register : *Register;
    }
    memcpy(Buffer, &Value, Unit);
}

static VOID PciMappedTransfer(volatile UCHAR *Space, PUCHAR Buffer, ULONG Offset, ULONG Length, BOOLEAN Write)
{
    while (Length != 0) {
        ULONG Unit = PciUnit(Offset, Length);

        PciMappedUnit(Space + Offset, Buffer, Unit, Write);
        Buffer += Unit;
        Offset += Unit;
        Length -= Unit;
    }
}

static VOID PciTransfer(ULONG Bus, PCI_SLOT_NUMBER Slot, PUCHAR Buffer, ULONG Offset, ULONG Length, BOOLEAN Write)
{
    while (Length != 0) {
        ULONG Unit = PciUnit(Offset, Length);
        USHORT Port = (USHORT)(PCI_DATA_PORT + (Offset & 3));
        BOOLEAN Enabled = PciLock();
        PciSelect(Bus, Slot, Offset);
        if (Write) {
            PciWriteUnit(Port, Buffer, Unit);
        } else {
            PciReadUnit(Port, Buffer, Unit);
        }
        PciUnlock(Enabled);
        Buffer += Unit;
        Offset += Unit;
        Length -= Unit;
    }
}

static ULONG PciBusData(ULONG Bus, ULONG SlotNumber, PUCHAR Buffer, ULONG Offset, ULONG Length, BOOLEAN Write)
{
    PCI_SLOT_NUMBER Slot = {.u.AsULONG = SlotNumber};
    volatile UCHAR *Mapped = HalpExpressSpace(Bus, Slot);
    ULONG Space = Mapped != NULL ? PCI_EXPRESS : PCI_SPACE;
    USHORT Vendor;

    if (Bus > 0xFF || Offset >= Space || Length == 0) {
        return 0;
    }
    if (Mapped != NULL) {
        Length = min(Length, Space - Offset);
        PciMappedTransfer(Mapped, Buffer, Offset, Length, Write);
        return Length;
    }
    PciTransfer(Bus, Slot, (PUCHAR)&Vendor, 0, sizeof(Vendor), FALSE);
    if (Vendor == PCI_INVALID_VENDORID) {
        if (!Write && Length >= sizeof(Vendor)) {
            memcpy(Buffer, &Vendor, sizeof(Vendor));
        }
        return Write ? 0 : 2;
    }
    if (Length > PCI_SPACE - Offset) {
        Length = PCI_SPACE - Offset;
    }
    PciTransfer(Bus, Slot, Buffer, Offset, Length, Write);
    return Length;
}

/* Bus data of type Cmos: the battery-backed bytes, the slot number being the first address. */
static ULONG CmosBusData(ULONG Address, PUCHAR Buffer, ULONG Length, BOOLEAN Write)
{
    ULONG Done;

    for (Done = 0; Done < Length && Address + Done < CMOS_SIZE; Done++) {
        BOOLEAN Enabled = PciLock();
        __outbyte(CMOS_INDEX, (UCHAR)(Address + Done));
        if (Write) {
            __outbyte(CMOS_DATA, Buffer[Done]);
        } else {
            Buffer[Done] = __inbyte(CMOS_DATA);
        }
        PciUnlock(Enabled);
    }
    return Done;
}

/**
 * HalGetBusDataByOffset - reads a device's configuration.
 *
 * @BusDataType  PCIConfiguration or Cmos
 * @BusNumber    PCI bus
 * @SlotNumber   PCI_SLOT_NUMBER, or the first CMOS address
 * @Offset       first byte of configuration space
 * @Length       bytes
 * returns       bytes read; 0: no such bus; 2 with PCI_INVALID_VENDORID in the buffer: no such function
 *
 * IRQL: any.
 */
ULONG NTAPI HalGetBusDataByOffset(BUS_DATA_TYPE BusDataType, ULONG BusNumber, ULONG SlotNumber, PVOID Buffer,
                                  ULONG Offset, ULONG Length)
{
    if (BusDataType == PCIConfiguration) {
        return PciBusData(BusNumber, SlotNumber, Buffer, Offset, Length, FALSE);
    }
    return BusDataType == Cmos && BusNumber == 0 ? CmosBusData(SlotNumber, Buffer, Length, FALSE) : 0;
}

/**
 * HalSetBusDataByOffset - writes a device's configuration; parameters as HalGetBusDataByOffset.
 *
 * returns  bytes written
 *
 * IRQL: any.
 */
ULONG NTAPI HalSetBusDataByOffset(BUS_DATA_TYPE BusDataType, ULONG BusNumber, ULONG SlotNumber, PVOID Buffer,
                                  ULONG Offset, ULONG Length)
{
    if (BusDataType == PCIConfiguration) {
        return PciBusData(BusNumber, SlotNumber, Buffer, Offset, Length, TRUE);
    }
    return BusDataType == Cmos && BusNumber == 0 ? CmosBusData(SlotNumber, Buffer, Length, TRUE) : 0;
}

ULONG NTAPI HalGetBusData(BUS_DATA_TYPE BusDataType, ULONG BusNumber, ULONG SlotNumber, PVOID Buffer, ULONG Length)
{
    return HalGetBusDataByOffset(BusDataType, BusNumber, SlotNumber, Buffer, 0, Length);
}

ULONG NTAPI HalSetBusData(BUS_DATA_TYPE BusDataType, ULONG BusNumber, ULONG SlotNumber, PVOID Buffer, ULONG Length)
{
    return HalSetBusDataByOffset(BusDataType, BusNumber, SlotNumber, Buffer, 0, Length);
}

/**
 * HalTranslateBusAddress - turns a bus-relative address into a physical one.
 *
 * @AddressSpace  in and out: 0 memory, 1 I/O ports
 * returns        FALSE: the bus has no such address. On a PC bus and physical addresses are the same.
 *
 * IRQL: <= DISPATCH_LEVEL.
 */
BOOLEAN NTAPI HalTranslateBusAddress(INTERFACE_TYPE InterfaceType, ULONG BusNumber, PHYSICAL_ADDRESS BusAddress,
                                     PULONG AddressSpace, PPHYSICAL_ADDRESS TranslatedAddress)
{
    BOOLEAN KnownBus = InterfaceType == Isa || InterfaceType == Eisa || InterfaceType == PCIBus;

    if (!KnownBus || *AddressSpace > 1 || (*AddressSpace == 1 && (ULONG64)BusAddress.QuadPart > 0xFFFF)) {
        return FALSE;
    }
    *TranslatedAddress = BusAddress;
    return TRUE;
}
