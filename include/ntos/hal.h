/*
 * hal.h - the hardware layer, as the rest of the kernel sees it (driver-visible Hal names are in the DDK).
 */
#pragma once

#include <ntos/loader.h>
#include <ntos/ntos.h>

/* Polled serial ports, usable from the first instruction: 0 = COM1 (console), 1 = COM2 (debugger). (src/hal/serial.c) */
VOID HalSerialInitialize(ULONG Port, ULONG BaudRate);
VOID HalSerialPut(ULONG Port, UCHAR Byte);     /* waits for room; IRQL: any */
BOOLEAN HalSerialGet(ULONG Port, PUCHAR Byte); /* FALSE: nothing received; IRQL: any */

VOID HalInitializePhase0(LOADER_BLOCK *LoaderBlock); /* 8259s masked; needs nothing of Mm */
VOID HalInitializePhase1(LOADER_BLOCK *LoaderBlock); /* ACPI, local and I/O APIC, timers; after MmInitializePhase0 */

/* Local APIC (xAPIC through MmMapIoSpace, x2APIC when present). IRQL: any. (src/hal/apic.c) */
VOID HalSendSelfIpi(ULONG Vector);
VOID HalSendIpi(KAFFINITY Targets, ULONG Vector);
#define HAL_IPI_NMI 0x400 /* instead of a vector: a non-maskable interrupt (delivery mode 4 of the command register) */
VOID HalEndOfInterrupt(VOID);

/* Processors of the machine, by local APIC; constant. IRQL: any. */
ULONG HalQueryProcessors(const ULONG **ApicIds);
/* Reset a processor; start it in real mode at frame Page (below 256). IRQL: any. Intel SDM 3A 9.4.4. */
VOID HalSendInit(ULONG ApicId);
VOID HalSendStartup(ULONG ApicId, ULONG Page);
/* Starts this processor's clock interrupt, having brought the times up to date; stops it, for 100 ns units. IF off. */
VOID HalStartClock(VOID);
VOID HalStopClock(ULONG64 Units);
/* On a processor that has been started: its local APIC and clock. Interrupts off. (src/hal/init.c) */
VOID HalInitializeProcessor(VOID);

/* End the machine; never return. Power off: ACPI S5, then the emulators' ports. Reset: ACPI reset, then 0xCF9, 8042. */
VOID HalSetSystemTime(LARGE_INTEGER New, PLARGE_INTEGER Old); /* contract in clock.c */
DECLSPEC_NORETURN VOID HalPowerOff(VOID);
DECLSPEC_NORETURN VOID HalReset(VOID);
/* Ends QEMU with exit status (Code << 1) | 1 if isa-debug-exit is there; returns otherwise. */
VOID HalDebugExit(UCHAR Code);

/* Connects a device vector that HalGetInterruptVector gave out with its line. IRQL: any. (src/hal/ioapic.c) */
NTSTATUS HalEnableSystemInterrupt(ULONG Vector, KINTERRUPT_MODE Mode);
VOID HalDisableSystemInterrupt(ULONG Vector);

/**
 * HalEnableMessageInterrupt - makes a PCI function signal its interrupt by a message (src/hal/msi.c).
 *
 * @Bus, @Slot   the function (PCI_SLOT_NUMBER); its owner calls, and only once
 * @Processor    number of the processor that gets it
 * @Vector, @Irql  receive what IoConnectInterrupt wants, with Latched and ShareVector FALSE
 * returns       STATUS_SUCCESS; STATUS_NOT_SUPPORTED, it has no MSI capability; STATUS_INVALID_PARAMETER, no such
 *               processor, or one that messages cannot name; STATUS_INSUFFICIENT_RESOURCES, no vector is free
 *
 * IRQL: PASSIVE_LEVEL. HalDisableMessageInterrupt undoes it, after IoDisconnectInterrupt.
 */
NTSTATUS HalEnableMessageInterrupt(ULONG Bus, ULONG Slot, ULONG Processor, PULONG Vector, PKIRQL Irql);
VOID HalDisableMessageInterrupt(ULONG Bus, ULONG Slot, ULONG Vector);

/* Documented names that the DDK's headers hide from x64 drivers; such a driver declares them itself. */
ULONG NTAPI HalGetInterruptVector(INTERFACE_TYPE InterfaceType, ULONG BusNumber, ULONG BusInterruptLevel,
                                  ULONG BusInterruptVector, PKIRQL Irql, PKAFFINITY Affinity);
ULONG NTAPI HalGetBusData(BUS_DATA_TYPE BusDataType, ULONG BusNumber, ULONG SlotNumber, PVOID Buffer, ULONG Length);
ULONG NTAPI HalSetBusData(BUS_DATA_TYPE BusDataType, ULONG BusNumber, ULONG SlotNumber, PVOID Buffer, ULONG Length);
