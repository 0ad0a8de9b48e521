/*
 * hpet.c - the High Precision Event Timer, used as a counter of exactly known frequency.
 *
 * Only its main counter is read, and only to calibrate the faster clocks; its registers stay mapped (one uncached page
 * outside RAM), its interrupts stay off. A counter of 32 bits is handled by the mask.
 *
 * Source: IA-PC HPET Specification 1.0a. Locks: none; boot processor.
 */
#include "halp.h"

#define HPET_SIZE           0x400 /* bytes of registers */
#define HPET_CAPABILITIES   0x000 /* bits 63:32: period in femtoseconds; bit 13: 64-bit counter */
#define HPET_CONFIGURATION  0x010
#define HPET_COUNTER        0x0F0
#define HPET_ENABLE         1ULL
#define HPET_COUNTER_64     (1ULL << 13)
#define HPET_LONGEST_PERIOD 100000000ULL /* femtoseconds; the specification's bound */
#define HPET_TABLE_LENGTH   56

static volatile ULONG64 *HalpHpet;

/* A 64-bit counter is read as 32 bits: calibration needs no more, and one access cannot be torn. */
static ULONG64 HpetRead(VOID)
{
    return *(volatile ULONG *)&HalpHpet[HPET_COUNTER / 8];
}

/* The physical address of the registers, from the ACPI table; 0: none. */
static ULONG64 HpetAddress(VOID)
{
    PACPI_HEADER Table = HalpMapAcpiTable(ACPI_SIGNATURE('H', 'P', 'E', 'T'), 0);
    ULONG64 Result = 0;

    if (Table != NULL) {
        ACPI_ADDRESS Address = {0};
        if (Table->Length >= HPET_TABLE_LENGTH) {
            memcpy(&Address, (PUCHAR)Table + 40, sizeof(Address));
        }
        Result = Address.SpaceId == 0 ? Address.Address : 0;
        HalpUnmapAcpiTable(Table);
    }
    return Result;
}

BOOLEAN HalpInitializeHpet(HALP_REFERENCE *Reference)
{
    PHYSICAL_ADDRESS Physical = {.QuadPart = (LONG64)HpetAddress()};

    if (Physical.QuadPart == 0) {
        return FALSE;
    }
    HalpHpet = MmMapIoSpace(Physical, HPET_SIZE, MmNonCached);
    if (HalpHpet == NULL) {
        return FALSE;
    }
    ULONG64 Period = HalpHpet[HPET_CAPABILITIES / 8] >> 32;
    if (Period == 0 || Period > HPET_LONGEST_PERIOD) {
        MmUnmapIoSpace((PVOID)HalpHpet, HPET_SIZE);
        HalpHpet = NULL;
        return FALSE;
    }
    HalpHpet[HPET_CONFIGURATION / 8] |= HPET_ENABLE;
    *Reference = (HALP_REFERENCE){"HPET", 1000000000000000ULL / Period, 0xFFFFFFFF, HpetRead};
    return TRUE;
}
