/*
 * ioapic.c - I/O APICs: device lines to vectors.
 *
 * Owns every I/O APIC's registers, mapped uncached for good, and the table that binds vectors 0x30..0xBF to global
 * system interrupts. All lines start masked. HalGetInterruptVector binds a line to a vector once and for all (drivers
 * that share a line are told the same vector); HalEnableSystemInterrupt programs and unmasks it for the first
 * connected interrupt object, HalDisableSystemInterrupt masks it after the last.
 *
 * ISA lines are edge-triggered, active high, PCI lines level-triggered, active low, unless the MADT overrides them;
 * all interrupts go to the boot processor in physical mode.
 *
 * Locks: HalpIoApicLock around the index/data register pairs and the table, taken with interrupts off, because lines are
 * programmed at up to device IRQL. Must not print or allocate under it.
 *
 * Source: Intel 82093AA data sheet.
 */
#include "halp.h"

#define IOAPIC_INDEX      0x00
#define IOAPIC_DATA       0x10
#define IOAPIC_SIZE       0x20 /* bytes of registers used */
#define IOAPIC_VERSION    0x01
#define IOAPIC_TABLE(Pin) (0x10 + 2 * (Pin))

#define REDIRECT_ACTIVE_LOW 0x00002000
#define REDIRECT_LEVEL      0x00008000
#define REDIRECT_MASKED     0x00010000

#define FIRST_VECTOR 0x30 /* IRQL 3 */
#define LAST_VECTOR  0xBF /* IRQL 11 */
#define DEVICE_IRQLS 9

typedef struct _HALP_IOAPIC {
    volatile ULONG *Registers;
    ULONG GsiBase;
    ULONG Pins;
} HALP_IOAPIC;

typedef struct _HALP_VECTOR {
    BOOLEAN Bound;
    BOOLEAN Level;
    BOOLEAN ActiveLow;
    BOOLEAN Message; /* of no line: a function writes it (msi.c) */
    BOOLEAN Fixed;   /* trigger is the firmware's word or the bus's rule; the caller's mode is ignored */
    ULONG Gsi;
} HALP_VECTOR;

static HALP_IOAPIC HalpIoApics[HALP_MAXIMUM_IOAPICS]; /* (c) */
static ULONG HalpIoApicCount;                         /* (c) */
static HALP_VECTOR HalpVectors[LAST_VECTOR + 1];      /* (HalpIoApicLock) */
static KSPIN_LOCK HalpIoApicLock;
VF_NAME_LOCK(HalpIoApicLock, "HalpIoApicLock");

static BOOLEAN IoApicLock(VOID)
{
    BOOLEAN Enabled = KeDisableInterrupts();
    KiAcquireSpinLock(&HalpIoApicLock);
    return Enabled;
}

static VOID IoApicUnlock(BOOLEAN Enabled)
{
    KiReleaseSpinLock(&HalpIoApicLock);
    KeRestoreInterrupts(Enabled);
}

static ULONG IoApicRead(HALP_IOAPIC *IoApic, ULONG Register)
{
    IoApic->Registers[IOAPIC_INDEX / 4] = Register;
    return IoApic->Registers[IOAPIC_DATA / 4];
}

static VOID IoApicWrite(HALP_IOAPIC *IoApic, ULONG Register, ULONG Value)
{
    IoApic->Registers[IOAPIC_INDEX / 4] = Register;
    IoApic->Registers[IOAPIC_DATA / 4] = Value;
}

VOID HalpInitializeIoApics(VOID)
{
    for (ULONG i = 0; i < HalpMadt.IoApicCount; i++) {
        HALP_IOAPIC *IoApic = &HalpIoApics[HalpIoApicCount];
        PHYSICAL_ADDRESS Base = {.QuadPart = (LONG64)HalpMadt.IoApics[i].Base};

        IoApic->Registers = MmMapIoSpace(Base, IOAPIC_SIZE, MmNonCached);
        if (IoApic->Registers == NULL) {
            continue;
        }
        ULONG Version = IoApicRead(IoApic, IOAPIC_VERSION);
        if (Version == 0xFFFFFFFF) { /* nothing answers there */
            MmUnmapIoSpace((PVOID)IoApic->Registers, IOAPIC_SIZE);
            continue;
        }
        IoApic->GsiBase = HalpMadt.IoApics[i].GsiBase;
        IoApic->Pins = (Version >> 16 & 0xFF) + 1;
        HalpIoApicCount++;
        for (ULONG Pin = 0; Pin < IoApic->Pins; Pin++) {
            IoApicWrite(IoApic, IOAPIC_TABLE(Pin), REDIRECT_MASKED);
        }
    }
}

static HALP_IOAPIC *FindIoApic(ULONG Gsi)
{
    for (ULONG i = 0; i < HalpIoApicCount; i++) {
        if (Gsi >= HalpIoApics[i].GsiBase && Gsi - HalpIoApics[i].GsiBase < HalpIoApics[i].Pins) {
            return &HalpIoApics[i];
        }
    }
    return NULL;
}

NTSTATUS HalpEnableLine(ULONG Gsi, ULONG Vector, BOOLEAN Level, BOOLEAN ActiveLow)
{
    HALP_IOAPIC *IoApic = FindIoApic(Gsi);

    if (IoApic == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    ULONG Pin = Gsi - IoApic->GsiBase;
    ULONG Low = Vector | (Level ? REDIRECT_LEVEL : 0) | (ActiveLow ? REDIRECT_ACTIVE_LOW : 0);
    BOOLEAN Enabled = IoApicLock();
    IoApicWrite(IoApic, IOAPIC_TABLE(Pin), REDIRECT_MASKED);
    IoApicWrite(IoApic, IOAPIC_TABLE(Pin) + 1, KiProcessorBlock[0]->ApicId << 24);
    IoApicWrite(IoApic, IOAPIC_TABLE(Pin), Low);
    IoApicUnlock(Enabled);
    return STATUS_SUCCESS;
}

VOID HalpDisableLine(ULONG Gsi)
{
    HALP_IOAPIC *IoApic = FindIoApic(Gsi);

    if (IoApic != NULL) {
        BOOLEAN Enabled = IoApicLock();
        IoApicWrite(IoApic, IOAPIC_TABLE(Gsi - IoApic->GsiBase), REDIRECT_MASKED);
        IoApicUnlock(Enabled);
    }
}

/* The vector bound to a line, binding a free one of a device IRQL that follows from the line; 0: none is free. */
static ULONG BindVector(const HALP_LINE *Line, BOOLEAN Fixed)
{
    ULONG Vector, Free = 0;
    BOOLEAN Enabled = IoApicLock();

    for (Vector = FIRST_VECTOR; Vector <= LAST_VECTOR; Vector++) {
        if (HalpVectors[Vector].Bound && !HalpVectors[Vector].Message && HalpVectors[Vector].Gsi == Line->Gsi) {
            IoApicUnlock(Enabled);
            return Vector;
        }
    }
    for (ULONG i = 0; i < LAST_VECTOR - FIRST_VECTOR + 1 && Free == 0; i++) {
        Vector = FIRST_VECTOR + ((Line->Gsi % DEVICE_IRQLS) * 16 + i) % (LAST_VECTOR - FIRST_VECTOR + 1);
        if (!HalpVectors[Vector].Bound) {
            Free = Vector;
        }
    }
    if (Free != 0) {
        HalpVectors[Free] = (HALP_VECTOR){
            .Bound = TRUE, .Level = Line->Level, .ActiveLow = Line->ActiveLow, .Fixed = Fixed, .Gsi = Line->Gsi};
    }
    IoApicUnlock(Enabled);
    return Free;
}

ULONG HalpBindMessage(VOID)
{
    ULONG Found = 0;
    BOOLEAN Enabled = IoApicLock();

    for (ULONG Vector = LAST_VECTOR; Vector >= FIRST_VECTOR && Found == 0; Vector--) {
        if (!HalpVectors[Vector].Bound) {
            HalpVectors[Vector] = (HALP_VECTOR){.Bound = TRUE, .Message = TRUE};
            Found = Vector;
        }
    }
    IoApicUnlock(Enabled);
    return Found;
}

VOID HalpFreeMessage(ULONG Vector)
{
    BOOLEAN Enabled = IoApicLock();

    ASSERT(HalpVectors[Vector].Message);
    HalpVectors[Vector] = (HALP_VECTOR){0};
    IoApicUnlock(Enabled);
}

/**
 * HalGetInterruptVector - the system vector of a device's interrupt line.
 *
 * @InterfaceType      Isa, or PCIBus with the line as the firmware wrote it into the Interrupt Line register
 * @BusNumber          ignored: the ISA bus and all PCI buses share one set of lines
 * @BusInterruptLevel  line number
 * @BusInterruptVector same as the level on these buses
 * @Irql, @Affinity    receive what IoConnectInterrupt wants
 * returns             the vector, 0 if there is no such line
 *
 * IRQL: <= DISPATCH_LEVEL. Source: Windows Driver Kit documentation, HalGetInterruptVector.
 */
ULONG NTAPI HalGetInterruptVector(INTERFACE_TYPE InterfaceType, ULONG BusNumber, ULONG BusInterruptLevel,
                                  ULONG BusInterruptVector, PKIRQL Irql, PKAFFINITY Affinity)
{
    HALP_LINE Line = {.Gsi = BusInterruptLevel};

    *Irql = 0;
    *Affinity = 0;
    if (InterfaceType != Isa && InterfaceType != Eisa && InterfaceType != PCIBus) {
        return 0;
    }
    if (BusInterruptLevel < HALP_ISA_LINES) {
        Line = HalpMadt.Isa[BusInterruptLevel];
    }
    if (InterfaceType == PCIBus && !Line.Overridden) {
        Line.Level = TRUE;
        Line.ActiveLow = TRUE;
    }
    if (FindIoApic(Line.Gsi) == NULL) {
        return 0;
    }
    ULONG Vector = BindVector(&Line, Line.Overridden || InterfaceType == PCIBus);
    if (Vector != 0) {
        *Irql = (KIRQL)(Vector >> 4);
        *Affinity = 1;
    }
    return Vector;
}

NTSTATUS HalEnableSystemInterrupt(ULONG Vector, KINTERRUPT_MODE Mode)
{
    if (Vector < FIRST_VECTOR || Vector > LAST_VECTOR || !HalpVectors[Vector].Bound) {
        return STATUS_INVALID_PARAMETER;
    }
    HALP_VECTOR *Entry = &HalpVectors[Vector];
    if (Entry->Message) {
        return STATUS_SUCCESS; /* the function itself was told */
    }
    BOOLEAN Level = Entry->Fixed ? Entry->Level : Mode == LevelSensitive;
    return HalpEnableLine(Entry->Gsi, Vector, Level, Entry->ActiveLow);
}

VOID HalDisableSystemInterrupt(ULONG Vector)
{
    if (Vector >= FIRST_VECTOR && Vector <= LAST_VECTOR && HalpVectors[Vector].Bound && !HalpVectors[Vector].Message) {
        HalpDisableLine(HalpVectors[Vector].Gsi);
    }
}
