/*
 * acpi.c - finds ACPI tables without trusting them.
 *
 * The loader hands over a copy of the root pointer; from it this file remembers the XSDT (or RSDT) and maps tables one
 * at a time with MmMapIoSpace, header first, then as long as the header says, if that is sane. A table counts only
 * if its signature and checksum are right; anything else is treated as absent, so that damaged firmware leads to a
 * machine with fewer features and not to a wild read.
 *
 * Nothing stays mapped: callers copy the facts they need and unmap. Runs on the boot processor in phase 1 of the HAL,
 * before the memory of type LoaderAcpiReclaim is freed; no table may be looked at later.
 *
 * Source: ACPI Specification 6.4, 5.2.5 - 5.2.8. Locks: none.
 */
#include "halp.h"

/* No table of a real machine comes near; a length above is taken for damage. */
#define ACPI_MAXIMUM_TABLE (4 * 1024 * 1024)

#define RSDP_V1_LENGTH 20
#define RSDP_V2_LENGTH 36

static ULONG64 HalpRootTable; /* physical address, 0: no ACPI */
static BOOLEAN HalpRootIsXsdt;

BOOLEAN HalpAcpiChecksum(const VOID *Table, ULONG Length)
{
    const UCHAR *Bytes = Table;
    UCHAR Sum = 0;

    for (ULONG i = 0; i < Length; i++) {
        Sum = (UCHAR)(Sum + Bytes[i]);
    }
    return Sum == 0;
}

/* TRUE: the whole range can be put on this processor's address bus. */
static BOOLEAN HalpPhysicalRangeValid(ULONG64 Physical, ULONG64 Length)
{
    ULONG Cpuid[4];

    KeCpuid(0x80000008, 0, Cpuid);
    ULONG Bits = Cpuid[0] & 0xFF;
    ULONG64 Limit = 1ULL << (Bits >= 32 && Bits <= 52 ? Bits : 36);
    return Physical != 0 && Physical < Limit && Length <= Limit - Physical;
}

static PVOID HalpMapPhysical(ULONG64 Physical, ULONG64 Length)
{
    PHYSICAL_ADDRESS Address;

    if (!HalpPhysicalRangeValid(Physical, Length)) {
        return NULL;
    }
    Address.QuadPart = (LONG64)Physical;
    return MmMapIoSpace(Address, Length, MmCached);
}

VOID HalpInitializeAcpi(LOADER_BLOCK *LoaderBlock)
{
    const UCHAR *Rsdp = (const UCHAR *)LoaderBlock->AcpiRsdp;

    if (Rsdp == NULL || LoaderBlock->AcpiRsdpSize < RSDP_V1_LENGTH || KeBootOption("noacpi", NULL, 0) ||
        memcmp(Rsdp, "RSD PTR ", 8) != 0 || !HalpAcpiChecksum(Rsdp, RSDP_V1_LENGTH)) {
        return;
    }
    if (Rsdp[15] >= 2 && LoaderBlock->AcpiRsdpSize >= RSDP_V2_LENGTH && HalpAcpiChecksum(Rsdp, RSDP_V2_LENGTH)) {
        memcpy(&HalpRootTable, Rsdp + 24, sizeof(ULONG64));
        HalpRootIsXsdt = HalpRootTable != 0;
    }
    if (HalpRootTable == 0) {
        ULONG Rsdt;
        memcpy(&Rsdt, Rsdp + 16, sizeof(Rsdt));
        HalpRootTable = Rsdt;
    }
}

PACPI_HEADER HalpMapAcpiTableAt(ULONG64 Physical, ULONG Signature)
{
    PACPI_HEADER Header = HalpMapPhysical(Physical, sizeof(ACPI_HEADER));

    if (Header == NULL) {
        return NULL;
    }
    ULONG Found = Header->Signature, Length = Header->Length;
    MmUnmapIoSpace(Header, sizeof(ACPI_HEADER));
    if (Found != Signature || Length < sizeof(ACPI_HEADER) || Length > ACPI_MAXIMUM_TABLE) {
        return NULL;
    }
    Header = HalpMapPhysical(Physical, Length);
    if (Header != NULL && !HalpAcpiChecksum(Header, Length)) {
        MmUnmapIoSpace(Header, Length);
        return NULL;
    }
    return Header;
}

PACPI_HEADER HalpMapAcpiTable(ULONG Signature, ULONG Index)
{
    ULONG EntrySize = HalpRootIsXsdt ? sizeof(ULONG64) : sizeof(ULONG);
    PACPI_HEADER Root, Table = NULL;

    if (HalpRootTable == 0) {
        return NULL;
    }
    Root = HalpMapAcpiTableAt(HalpRootTable,
                              HalpRootIsXsdt ? ACPI_SIGNATURE('X', 'S', 'D', 'T') : ACPI_SIGNATURE('R', 'S', 'D', 'T'));
    if (Root == NULL) {
        return NULL;
    }
    ULONG Count = (Root->Length - sizeof(ACPI_HEADER)) / EntrySize;
    for (ULONG i = 0; i < Count && Table == NULL; i++) {
        ULONG64 Physical = 0;
        memcpy(&Physical, (PUCHAR)(Root + 1) + (SIZE_T)i * EntrySize, EntrySize);
        Table = HalpMapAcpiTableAt(Physical, Signature);
        if (Table != NULL && Index != 0) {
            Index--;
            HalpUnmapAcpiTable(Table);
            Table = NULL;
        }
    }
    HalpUnmapAcpiTable(Root);
    return Table;
}

VOID HalpUnmapAcpiTable(PACPI_HEADER Table)
{
    MmUnmapIoSpace(Table, Table->Length);
}
