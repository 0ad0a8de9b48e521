/*
 * ecam.c - PCI Express configuration space: 4096 bytes a function, in memory.
 *
 * The MCFG table says where in physical memory the spaces of a range of buses lie, 1 MB a bus. Mapping all of it would
 * cost 256 MB of addresses for the dozen functions a machine has, so the buses are walked once, from bus 0
 * through every bridge, and the one page of each function that exists is mapped for good. A function that comes later, or
 * beyond the table's room, is reached through the ports, 256 bytes of it.
 *
 * Firmware is not trusted: a table that is cut short, a range that is none and a bridge that leads back are ignored.
 *
 * Runs once, on the boot processor, in phase 1 of the HAL; the table is constant afterwards. Locks: none.
 *
 * Source: PCI Firmware Specification 3.3, 4.1.2 (MCFG); PCI Express Base Specification 3.0, 7.2.2.
 */
#include "halp.h"

#define MCFG_ENTRIES    44 /* offset of the first entry: header and 8 reserved bytes */
#define MCFG_ENTRY_SIZE 16

#define EXPRESS_FUNCTIONS 64 /* a PC has a dozen or two; a page of addresses each */

#define PCI_DEVICES      32
#define PCI_FUNCTIONS    8
#define PCI_MULTIPLE     0x80 /* header type */
#define PCI_TYPE_MASK    0x7F
#define PCI_TYPE_BRIDGE  1
#define PCI_HEADER_BYTES 64

typedef struct _EXPRESS_FUNCTION {
    UCHAR Bus, Device, Function;
    volatile UCHAR *Space;
} EXPRESS_FUNCTION;

static EXPRESS_FUNCTION HalpExpress[EXPRESS_FUNCTIONS]; /* (c) after phase 1 */
static ULONG HalpExpressCount;                          /* (c) after phase 1 */

BOOLEAN HalpParseMcfg(const ACPI_HEADER *Table, ULONG Length, PHALP_EXPRESS_RANGE Range)
{
    const UCHAR *Bytes = (const UCHAR *)Table;

    for (ULONG Offset = MCFG_ENTRIES; Length >= MCFG_ENTRY_SIZE && Offset <= Length - MCFG_ENTRY_SIZE;
         Offset += MCFG_ENTRY_SIZE) {
        USHORT Segment;

        memcpy(&Range->Base, Bytes + Offset, sizeof(Range->Base));
        memcpy(&Segment, Bytes + Offset + 8, sizeof(Segment));
        Range->FirstBus = Bytes[Offset + 10];
        Range->LastBus = Bytes[Offset + 11];
        if (Segment == 0 && Range->FirstBus <= Range->LastBus && Range->Base != 0 &&
            (Range->Base & (PAGE_SIZE - 1)) == 0) {
            return TRUE;
        }
    }
    return FALSE;
}

volatile UCHAR *HalpExpressSpace(ULONG Bus, PCI_SLOT_NUMBER Slot)
{
    for (ULONG Index = 0; Index < HalpExpressCount; Index++) {
        const EXPRESS_FUNCTION *Function = &HalpExpress[Index];

        if (Function->Bus == Bus && Function->Device == Slot.u.bits.DeviceNumber &&
            Function->Function == Slot.u.bits.FunctionNumber) {
            return Function->Space;
        }
    }
    return NULL;
}

static VOID MapFunction(const HALP_EXPRESS_RANGE *Range, ULONG Bus, ULONG Device, ULONG Function)
{
    PHYSICAL_ADDRESS Address = {.QuadPart =
                                    (LONG64)(Range->Base + ((ULONG64)Bus << 20 | Device << 15 | Function << 12))};

    if (HalpExpressCount == EXPRESS_FUNCTIONS) {
        return;
    }
    PVOID Space = MmMapIoSpace(Address, PAGE_SIZE, MmNonCached);
    if (Space != NULL) {
        HalpExpress[HalpExpressCount++] = (EXPRESS_FUNCTION){(UCHAR)Bus, (UCHAR)Device, (UCHAR)Function, Space};
    }
}

/* Maps a function that exists; its header type, or -1. Found: the buses that a bridge leads to are added. */
static LONG VisitFunction(const HALP_EXPRESS_RANGE *Range, ULONG Bus, ULONG Device, ULONG Function, PULONG64 Found)
{
    UCHAR Header[PCI_HEADER_BYTES];
    PCI_SLOT_NUMBER Slot = {.u.bits.DeviceNumber = Device, .u.bits.FunctionNumber = Function};
    const PCI_COMMON_CONFIG *Config = (const PCI_COMMON_CONFIG *)Header;

    if (HalGetBusData(PCIConfiguration, Bus, Slot.u.AsULONG, Header, sizeof(Header)) != sizeof(Header)) {
        return -1;
    }
    MapFunction(Range, Bus, Device, Function);
    if ((Config->HeaderType & PCI_TYPE_MASK) == PCI_TYPE_BRIDGE) {
        UCHAR Secondary = Config->u.type1.SecondaryBus;
        Found[Secondary / 64] |= 1ULL << Secondary % 64;
    }
    return Config->HeaderType;
}

static VOID VisitBus(const HALP_EXPRESS_RANGE *Range, ULONG Bus, PULONG64 Found)
{
    for (ULONG Device = 0; Device < PCI_DEVICES; Device++) {
        LONG Type = VisitFunction(Range, Bus, Device, 0, Found);

        for (ULONG Function = 1; Function < PCI_FUNCTIONS && Type >= 0 && (Type & PCI_MULTIPLE) != 0; Function++) {
            VisitFunction(Range, Bus, Device, Function, Found);
        }
    }
}

VOID HalpInitializeExpress(VOID)
{
    PACPI_HEADER Table = HalpMapAcpiTable(ACPI_SIGNATURE('M', 'C', 'F', 'G'), 0);
    HALP_EXPRESS_RANGE Range;
    ULONG64 Found[4] = {1}; /* buses, a bit each; one bridge leads to a higher bus, so that one pass meets all */

    if (Table == NULL) {
        return;
    }
    BOOLEAN Usable = HalpParseMcfg(Table, Table->Length, &Range);
    HalpUnmapAcpiTable(Table);
    for (ULONG Bus = Usable ? Range.FirstBus : MAXULONG; Usable && Bus <= Range.LastBus; Bus++) {
        if ((Found[Bus / 64] & 1ULL << Bus % 64) != 0) {
            VisitBus(&Range, Bus, Found);
        }
    }
}
