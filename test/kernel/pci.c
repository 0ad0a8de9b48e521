/*
 * pci.c - suite hal.pci: configuration space by both ways, the table that tells of one, and message interrupts.
 *
 * Messages come from QEMU's `edu` device (1234:11e8), which raises an interrupt when its register 0x60 is written; a
 * machine without it skips the case. test/test_pci.py boots machines that have it.
 */
#include <ntos/hal.h>

#include "ketest.h"

#include "../../src/hal/halp.h"

#define EDU_VENDOR 0x1234
#define EDU_DEVICE 0x11E8
#define EDU_SIZE   0x100
#define EDU_STATUS (0x24 / 4) /* registers, in dwords */
#define EDU_RAISE  (0x60 / 4)
#define EDU_ACK    (0x64 / 4)
#define EDU_ROUNDS 50

#define TAG_EXTENDED 0x100 /* the first extended capability */

static UCHAR Mcfg[44 + 2 * 16] = {
    [44 + 3] = 0xA0, [44 + 8] = 1, [44 + 11] = 0xFF,                   /* segment 1 */
    [60 + 3] = 0xB0, [60 + 8] = 0, [60 + 10] = 2,    [60 + 11] = 0x3F, /* segment 0, buses 2 to 63 */
};

static VOID McfgHostile(PKTAP_CONTEXT Ktap)
{
    HALP_EXPRESS_RANGE Range;
    UCHAR Copy[sizeof(Mcfg)];

    KTAP_CHECK(HalpParseMcfg((const ACPI_HEADER *)Mcfg, sizeof(Mcfg), &Range));
    KTAP_EQUAL(Range.Base, 0xB0000000);
    KTAP_EQUAL(Range.FirstBus, 2);
    KTAP_EQUAL(Range.LastBus, 63);
    for (ULONG Length = 0; Length < sizeof(Mcfg); Length++) {
        KTAP_CHECK(!HalpParseMcfg((const ACPI_HEADER *)Mcfg, Length, &Range));
    }
    memcpy(Copy, Mcfg, sizeof(Copy));
    Copy[60 + 11] = 1; /* ends before it begins */
    KTAP_CHECK(!HalpParseMcfg((const ACPI_HEADER *)Copy, sizeof(Copy), &Range));
    memcpy(Copy, Mcfg, sizeof(Copy));
    Copy[60] = 1; /* not on a page */
    KTAP_CHECK(!HalpParseMcfg((const ACPI_HEADER *)Copy, sizeof(Copy), &Range));
}

/* The same bytes by words as by bytes, the same header in space as the ports say, and an end at the right place. */
static VOID Space(PKTAP_CONTEXT Ktap)
{
    PCI_SLOT_NUMBER Host = {.u.AsULONG = 0};
    BOOLEAN Express = HalpExpressSpace(0, Host) != NULL;
    ULONG Bytes = Express ? 4096 : 256;
    UCHAR Whole[64], Single[64];
    ULONG Extended = 0;

    KTAP_EQUAL(HalGetBusData(PCIConfiguration, 0, 0, Whole, sizeof(Whole)), sizeof(Whole));
    for (ULONG Index = 0; Index < sizeof(Single); Index++) {
        KTAP_EQUAL(HalGetBusDataByOffset(PCIConfiguration, 0, 0, &Single[Index], Index, 1), 1);
    }
    KTAP_EQUAL(RtlCompareMemory(Whole, Single, sizeof(Whole)), sizeof(Whole));
    __outdword(0xCF8, 0x80000000);
    ULONG Port = __indword(0xCFC);
    KTAP_EQUAL(RtlCompareMemory(Whole, &Port, sizeof(Port)), sizeof(Port));
    KTAP_EQUAL(HalGetBusDataByOffset(PCIConfiguration, 0, 0, Single, Bytes - 2, 8), 2);
    KTAP_EQUAL(HalGetBusDataByOffset(PCIConfiguration, 0, 0, Single, Bytes, 1), 0);
    KTAP_EQUAL(HalGetBusDataByOffset(PCIConfiguration, 0, 0, &Extended, TAG_EXTENDED, 4), Express ? 4 : 0);
}

static volatile ULONG *Edu;
static volatile LONG EduCame, EduProcessor;
static KEVENT EduSeen;
static KDPC EduDpc;

static VOID NTAPI EduDeferred(PKDPC Dpc, PVOID Context, PVOID First, PVOID Second)
{
    KeSetEvent(&EduSeen, IO_NO_INCREMENT, FALSE);
}

static BOOLEAN NTAPI EduInterrupt(PKINTERRUPT Interrupt, PVOID Context)
{
    ULONG Status = Edu[EDU_STATUS];

    if (Status == 0) {
        return FALSE;
    }
    Edu[EDU_ACK] = Status;
    EduProcessor = (LONG)KeGetCurrentPrcb()->Number;
    InterlockedIncrement(&EduCame);
    KeInsertQueueDpc(&EduDpc, NULL, NULL);
    return TRUE;
}

static BOOLEAN FindEdu(PULONG Slot, PPHYSICAL_ADDRESS Registers)
{
    for (ULONG Device = 0; Device < 32; Device++) {
        PCI_SLOT_NUMBER Number = {.u.bits.DeviceNumber = Device};
        PCI_COMMON_CONFIG Config;

        if (HalGetBusData(PCIConfiguration, 0, Number.u.AsULONG, &Config, PCI_COMMON_HDR_LENGTH) ==
                PCI_COMMON_HDR_LENGTH &&
            Config.VendorID == EDU_VENDOR && Config.DeviceID == EDU_DEVICE) {
            *Slot = Number.u.AsULONG;
            Registers->QuadPart = (LONG64)(Config.u.type0.BaseAddresses[0] & ~0xFUL);
            return TRUE;
        }
    }
    return FALSE;
}

/* Every message arrives, once, on the processor it was sent to. */
static VOID EduOn(PKTAP_CONTEXT Ktap, ULONG Slot, ULONG Processor)
{
    PKINTERRUPT Interrupt;
    ULONG Vector, Arrived = 0;
    KIRQL Irql;

    KTAP_EQUAL(HalEnableMessageInterrupt(0, Slot, Processor, &Vector, &Irql), STATUS_SUCCESS);
    NTSTATUS Status = IoConnectInterrupt(&Interrupt, EduInterrupt, NULL, NULL, Vector, Irql, Irql, Latched, FALSE,
                                         (KAFFINITY)1 << Processor, FALSE);
    EduCame = 0;
    EduProcessor = -1;
    for (ULONG Round = 0; NT_SUCCESS(Status) && Round < EDU_ROUNDS; Round++) {
        Edu[EDU_RAISE] = Round + 1;
        Arrived += TestWait(&EduSeen) == STATUS_SUCCESS;
    }
    if (NT_SUCCESS(Status)) {
        IoDisconnectInterrupt(Interrupt);
    }
    HalDisableMessageInterrupt(0, Slot, Vector);
    KTAP_EQUAL(Status, STATUS_SUCCESS);
    KTAP_EQUAL(Arrived, EDU_ROUNDS);
    KTAP_EQUAL(EduCame, EDU_ROUNDS);
    KTAP_EQUAL(EduProcessor, Processor);
}

static VOID Messages(PKTAP_CONTEXT Ktap)
{
    PHYSICAL_ADDRESS Registers;
    ULONG Slot, Vector;
    KIRQL Irql;

    KTAP_EQUAL(HalEnableMessageInterrupt(0, 0, 0, &Vector, &Irql), STATUS_NOT_SUPPORTED); /* the host bridge */
    if (!FindEdu(&Slot, &Registers)) {
        Ktap->Skipped = TRUE;
        Ktap->SkipReason = "the machine has no edu device";
        return;
    }
    KTAP_EQUAL(HalEnableMessageInterrupt(0, Slot, KeNumberOfActiveProcessors, &Vector, &Irql),
               STATUS_INVALID_PARAMETER);
    Edu = MmMapIoSpace(Registers, EDU_SIZE, MmNonCached);
    KTAP_CHECK(Edu != NULL);
    KeInitializeEvent(&EduSeen, SynchronizationEvent, FALSE);
    KeInitializeDpc(&EduDpc, EduDeferred, NULL);
    for (ULONG Processor = 0; Processor < KeNumberOfActiveProcessors && !Ktap->Failed; Processor++) {
        EduOn(Ktap, Slot, Processor);
    }
    KeFlushQueuedDpcs();
    MmUnmapIoSpace((PVOID)Edu, EDU_SIZE);
}

static const KTAP_CASE_ENTRY Cases[] = {{"mcfg", McfgHostile}, {"space", Space}, {"messages", Messages}};
KTAP_SUITE(PciSuite, "hal.pci", Cases);
