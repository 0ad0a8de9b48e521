/*
 * init.c - the order in which the hardware layer comes up.
 *
 * Phase 0 needs nothing: the 8259s are silenced before anything could enable interrupts. Phase 1 runs once memory can be
 * mapped: tables first, because they say where the rest is, then interrupt controllers, then the clocks, calibrated
 * against the best counter the machine has. Interrupts stay off throughout; the dispatcher turns them on.
 *
 * Locks: none; boot processor.
 */
#include "halp.h"

#include <ntos/console.h>

static VOID ReadMadt(VOID)
{
    PACPI_HEADER Table = HalpMapAcpiTable(ACPI_SIGNATURE('A', 'P', 'I', 'C'), 0);

    HalpParseMadt(Table, Table != NULL ? Table->Length : 0, &HalpMadt);
    if (Table != NULL) {
        HalpUnmapAcpiTable(Table);
    }
}

VOID HalInitializeProcessor(VOID)
{
    HalpInitializeLocalApic();
    HalStartClock();
}

VOID HalInitializePhase0(LOADER_BLOCK *LoaderBlock)
{
    HalpInitializePic();
}

VOID HalInitializePhase1(LOADER_BLOCK *LoaderBlock)
{
    HALP_REFERENCE Reference;

    HalpInitializeAcpi(LoaderBlock);
    ReadMadt();
    HalpInitializeExpress();
    HalpInitializePower();
    HalpInitializeLocalApic();
    HalpInitializeIoApics();
    HalpChooseReference(&Reference);
    HalpCalibrate(&Reference);
    HalpInitializeClock();
    ConPrint("Processor clock %llu kHz, APIC timer %llu kHz (%s), %lu processors, %lu I/O APICs\n",
             HalpTscFrequency / 1000, HalpApicTimerFrequency / 1000, Reference.Name, max(HalpMadt.ProcessorCount, 1),
             HalpMadt.IoApicCount);
}
