/*
 * hal.c - suites hal.acpi and hal.clock: hostile tables, and time that goes on.
 *
 * The parsers of ACPI tables are pure functions and get damaged copies; the clock is judged by its own times only,
 * never by the speed of the machine that runs the emulator.
 */
#include "ketest.h"

#include "../../src/hal/halp.h"

/* A MADT of one local APIC, one I/O APIC and one override, to be cut and damaged. */
static UCHAR Table[44 + 8 + 12 + 10] = {
    [36] = 0x00, [37] = 0x00, [38] = 0xE0, [39] = 0xFE,                                  /* local APIC address */
    [44] = 0,    8,           1,           7,           1, 0,    0, 0,                   /* processor, APIC id 7 */
    1,           12,          0,           0,           0, 0xC0, 1, 0xFE, 24,   0, 0, 0, /* I/O APIC, GSI 24 on */
    2,           10,          0,           9,           9, 0,    0, 0,    0x0F, 0,       /* IRQ 9 level, low */
};

static VOID Madt(PKTAP_CONTEXT Ktap)
{
    static HALP_MADT Parsed;

    HalpParseMadt((const ACPI_HEADER *)Table, sizeof(Table), &Parsed);
    KTAP_EQUAL(Parsed.LocalApicBase, 0xFEE00000);
    KTAP_EQUAL(Parsed.ProcessorCount, 1);
    KTAP_EQUAL(Parsed.ApicIds[0], 7);
    KTAP_EQUAL(Parsed.IoApicCount, 1);
    KTAP_EQUAL(Parsed.IoApics[0].Base, 0xFE01C000);
    KTAP_EQUAL(Parsed.IoApics[0].GsiBase, 24);
    KTAP_CHECK(Parsed.Isa[9].Overridden && Parsed.Isa[9].Level && Parsed.Isa[9].ActiveLow);
    KTAP_CHECK(!Parsed.Isa[8].Overridden);
}

static VOID MadtHostile(PKTAP_CONTEXT Ktap)
{
    static HALP_MADT Parsed;
    static UCHAR Copy[sizeof(Table)];

    for (ULONG Length = 0; Length <= sizeof(Table);
         Length++) { /* cut anywhere: never a read beyond, always a machine */
        HalpParseMadt((const ACPI_HEADER *)Table, Length, &Parsed);
        KTAP_CHECK(Parsed.IoApicCount == 1 && Parsed.ProcessorCount <= 1);
    }
    memcpy(Copy, Table, sizeof(Copy));
    Copy[45] = 0; /* an entry of length 0 must end the scan */
    HalpParseMadt((const ACPI_HEADER *)Copy, sizeof(Copy), &Parsed);
    KTAP_EQUAL(Parsed.ProcessorCount, 0);
    Copy[45] = 3; /* too short for its type: skipped, and what follows is read from there */
    HalpParseMadt((const ACPI_HEADER *)Copy, sizeof(Copy), &Parsed);
    KTAP_EQUAL(Parsed.ProcessorCount, 0);
    HalpParseMadt(NULL, 0, &Parsed);
    KTAP_EQUAL(Parsed.IoApics[0].Base, 0xFEC00000);
    KTAP_CHECK(Parsed.NmiOnLint[1]);
}

static VOID S5(PKTAP_CONTEXT Ktap)
{
    static const UCHAR Good[] = {0xFF, 0x08, '_', 'S', '5', '_', 0x12, 0x06, 0x04, 0x0A, 0x05, 0x01, 0x00, 0x00};
    static const UCHAR NotNamed[] = {0xFF, 0x10, '_', 'S', '5', '_', 0x12, 0x06, 0x04, 0x0A, 0x05, 0x01, 0x00, 0x00};
    UCHAR Types[2] = {0xFF, 0xFF};

    KTAP_CHECK(HalpParseS5(Good, sizeof(Good), Types));
    KTAP_EQUAL(Types[0], 5);
    KTAP_EQUAL(Types[1], 1);
    for (ULONG Length = 0; Length < 12; Length++) {
        KTAP_CHECK(!HalpParseS5(Good, Length, Types));
    }
    KTAP_CHECK(!HalpParseS5(NotNamed, sizeof(NotNamed), Types));
}

static VOID Checksum(PKTAP_CONTEXT Ktap)
{
    UCHAR Bytes[3] = {0x80, 0x7F, 0x01};

    KTAP_CHECK(HalpAcpiChecksum(Bytes, 3));
    KTAP_CHECK(!HalpAcpiChecksum(Bytes, 2));
}

/* A table's header is found again, and a physical address that is none is refused. */
static VOID Tables(PKTAP_CONTEXT Ktap)
{
    KTAP_CHECK(HalpMapAcpiTableAt(0, ACPI_SIGNATURE('D', 'S', 'D', 'T')) == NULL);
    KTAP_CHECK(HalpMapAcpiTableAt(0xFFFFFFFFFFFFF000ULL, ACPI_SIGNATURE('D', 'S', 'D', 'T')) == NULL);
    KTAP_CHECK(HalpMadt.IoApicCount >= 1);
}

/* ---- Clock ---- */

static VOID Advances(PKTAP_CONTEXT Ktap)
{
    LARGE_INTEGER Ticks, TicksLater, System, SystemLater;
    ULONG64 Start = KeQueryInterruptTime();

    KeQueryTickCount(&Ticks);
    KeQuerySystemTime(&System);
    TestSleep(TEST_SECOND / 2);
    KeQueryTickCount(&TicksLater);
    KeQuerySystemTime(&SystemLater);
    ULONG64 Elapsed = KeQueryInterruptTime() - Start;
    KTAP_CHECK(Elapsed >= TEST_SECOND / 2);
    KTAP_CHECK(TicksLater.QuadPart > Ticks.QuadPart);
    LONG64 FromTicks = (TicksLater.QuadPart - Ticks.QuadPart) * KeQueryTimeIncrement();
    KTAP_CHECK(FromTicks >= (LONG64)Elapsed - 2 * (LONG64)KeQueryTimeIncrement());
    KTAP_CHECK(FromTicks <= (LONG64)Elapsed + 2 * (LONG64)KeQueryTimeIncrement());
    KTAP_CHECK(SystemLater.QuadPart - System.QuadPart >= TEST_SECOND / 2);
}

static VOID SystemTime(PKTAP_CONTEXT Ktap)
{
    LARGE_INTEGER Now;
    TIME_FIELDS Fields;

    KeQuerySystemTime(&Now);
    RtlTimeToTimeFields(&Now, &Fields);
    KTAP_CHECK(Fields.Year >= 2024 && Fields.Year < 2100);
}

static VOID Monotonic(PKTAP_CONTEXT Ktap)
{
    ULONG64 Last = 0;
    LONG64 LastCounter = 0;

    for (ULONG i = 0; i < 200000; i++) {
        ULONG64 Now = KeQueryInterruptTime();
        LONG64 Counter = KeQueryPerformanceCounter(NULL).QuadPart;
        KTAP_CHECK(Now >= Last && Counter >= LastCounter);
        Last = Now;
        LastCounter = Counter;
    }
}

static VOID Stall(PKTAP_CONTEXT Ktap)
{
    LARGE_INTEGER Frequency, Start = KeQueryPerformanceCounter(&Frequency);

    KeStallExecutionProcessor(1000);
    LONG64 Counts = KeQueryPerformanceCounter(NULL).QuadPart - Start.QuadPart;
    KTAP_CHECK(Counts >= Frequency.QuadPart / 1000);
}

static VOID PciBus(PKTAP_CONTEXT Ktap)
{
    PCI_SLOT_NUMBER None = {.u.AsULONG = 0};
    USHORT Ids[2] = {0, 0}, Vendor = 0;
    UCHAR Byte = 0;

    KTAP_EQUAL(HalGetBusDataByOffset(PCIConfiguration, 0, 0, Ids, 0, sizeof(Ids)), 4); /* the host bridge */
    KTAP_EQUAL(Ids[0], 0x8086);
    KTAP_EQUAL(HalGetBusDataByOffset(PCIConfiguration, 0, 0, &Byte, 1, 1), 1);
    KTAP_EQUAL(Byte, Ids[0] >> 8);
    None.u.bits.DeviceNumber = 30;
    None.u.bits.FunctionNumber = 5;
    KTAP_EQUAL(HalGetBusData(PCIConfiguration, 0, None.u.AsULONG, &Vendor, sizeof(Vendor)), 2);
    KTAP_EQUAL(Vendor, PCI_INVALID_VENDORID);
    KTAP_EQUAL(HalGetBusDataByOffset(PCIConfiguration, 0, 0, Ids, 256, 4), 0);
}

static const KTAP_CASE_ENTRY AcpiCases[] = {
    {"madt", Madt}, {"madt_hostile", MadtHostile}, {"s5", S5}, {"checksum", Checksum}, {"tables", Tables}};
KTAP_SUITE(HalAcpiSuite, "hal.acpi", AcpiCases);

static const KTAP_CASE_ENTRY ClockCases[] = {{"advances", Advances},
                                             {"system_time", SystemTime},
                                             {"monotonic", Monotonic},
                                             {"stall", Stall},
                                             {"pci_bus", PciBus}};
KTAP_SUITE(HalClockSuite, "hal.clock", ClockCases);
