/*
 * pcishow.c - the console command `pci`: every function on every bus, with its addresses and its interrupt.
 *
 * Only reads: base address registers are shown as they are programmed, without their sizes, since finding a size means writing to a
 * register that a driver may be using. Capabilities are followed for a bounded number of steps, whatever they link to.
 *
 * Source: PCI Local Bus Specification 3.0, 6.1, 6.2.5 and 6.7. Locks: none; HalGetBusData takes its own.
 */
#include "halp.h"

#include <ntos/console.h>

#define PCI_BUSES        256
#define PCI_DEVICES      32
#define PCI_FUNCTIONS    8
#define PCI_MULTIPLE     0x80 /* header type */
#define PCI_TYPE_MASK    0x7F
#define PCI_STEPS        48 /* capabilities: as many as fit */
#define CAPABILITY_MSI   0x05
#define CAPABILITY_MSI_X 0x11

static VOID ShowAddresses(const PCI_COMMON_CONFIG *Config)
{
    const ULONG *Bars = Config->u.type0.BaseAddresses;
    ULONG Count = (Config->HeaderType & PCI_TYPE_MASK) == 0 ? PCI_TYPE0_ADDRESSES : 2;

    for (ULONG Index = 0; Index < Count; Index++) {
        if (Bars[Index] == 0) {
            continue;
        }
        if ((Bars[Index] & 1) != 0) {
            ConPrint("    BAR%lu ports 0x%lx\n", Index, Bars[Index] & ~3UL);
        } else if ((Bars[Index] & 6) == 4 && Index + 1 < Count) {
            ConPrint("    BAR%lu memory 0x%llx (64 bits)\n", Index,
                     (ULONG64)Bars[Index + 1] << 32 | (Bars[Index] & ~0xFUL));
            Index++;
        } else {
            ConPrint("    BAR%lu memory 0x%lx\n", Index, Bars[Index] & ~0xFUL);
        }
    }
}

static VOID ShowCapabilities(ULONG Bus, ULONG Slot, const PCI_COMMON_CONFIG *Config)
{
    UCHAR Next = Config->u.type0.CapabilitiesPtr, Entry[2];

    if ((Config->Status & PCI_STATUS_CAPABILITIES_LIST) == 0) {
        return;
    }
    for (ULONG Step = 0; Step < PCI_STEPS && Next >= 0x40; Step++) {
        if (HalGetBusDataByOffset(PCIConfiguration, Bus, Slot, Entry, Next & ~3U, sizeof(Entry)) != sizeof(Entry)) {
            return;
        }
        if (Entry[0] == CAPABILITY_MSI || Entry[0] == CAPABILITY_MSI_X) {
            ConPrint("    %s at 0x%x\n", Entry[0] == CAPABILITY_MSI ? "MSI" : "MSI-X", Next);
        }
        Next = Entry[1];
    }
}

static VOID ShowFunction(ULONG Bus, PCI_SLOT_NUMBER Slot, const PCI_COMMON_CONFIG *Config)
{
    ConPrint("%02lx:%02x.%x %04x:%04x class %02x%02x%02x", Bus, (unsigned)Slot.u.bits.DeviceNumber,
             (unsigned)Slot.u.bits.FunctionNumber, Config->VendorID, Config->DeviceID, Config->BaseClass,
             Config->SubClass, Config->ProgIf);
    if (Config->u.type0.InterruptPin != 0) {
        ConPrint(" INT%c line %u", 'A' + (Config->u.type0.InterruptPin - 1) % 4, Config->u.type0.InterruptLine);
    }
    ConPrint("\n");
    ShowAddresses(Config);
    ShowCapabilities(Bus, Slot.u.AsULONG, Config);
}

/* Returns whether there is a device; functions 1-7 are looked at only where the first says that there are several. */
static ULONG ShowDevice(ULONG Bus, ULONG Device)
{
    ULONG Found = 0, Functions = 1;

    for (ULONG Function = 0; Function < Functions; Function++) {
        PCI_SLOT_NUMBER Slot = {.u.bits = {.DeviceNumber = Device, .FunctionNumber = Function}};
        PCI_COMMON_CONFIG Config;

        if (HalGetBusData(PCIConfiguration, Bus, Slot.u.AsULONG, &Config, PCI_COMMON_HDR_LENGTH) !=
            PCI_COMMON_HDR_LENGTH) {
            continue;
        }
        if (Function == 0 && (Config.HeaderType & PCI_MULTIPLE) != 0) {
            Functions = PCI_FUNCTIONS;
        }
        ShowFunction(Bus, Slot, &Config);
        Found++;
    }
    return Found;
}

static VOID PciCommand(ULONG ArgumentCount, PCSTR *Arguments)
{
    ULONG Found = 0;

    for (ULONG Bus = 0; Bus < PCI_BUSES; Bus++) {
        for (ULONG Device = 0; Device < PCI_DEVICES; Device++) {
            Found += ShowDevice(Bus, Device);
        }
    }
    ConPrint("%lu functions\n", Found);
}
CONSOLE_COMMAND(PciConsole, "pci", "", "list PCI functions, their addresses and interrupts", PciCommand);
