/*
 * madt.c - the Multiple APIC Description Table: processors, I/O APICs, and how the ISA lines are wired to them.
 *
 * A pure parser of outside bytes: it reads nothing beyond the length it is given and accepts any content. A machine
 * without the table (or with a useless one) is described as the PC/AT standard has it: one processor, one I/O APIC at
 * 0xFEC00000, ISA lines edge-triggered and mapped one to one.
 *
 * Source: ACPI Specification 6.4, 5.2.12; Intel MultiProcessor Specification 1.4 for trigger and polarity codes.
 * Locks: none.
 */
#include "halp.h"

HALP_MADT HalpMadt;

#define MADT_FIXED_LENGTH 44 /* header, local APIC address, flags */

#define MADT_LOCAL_APIC    0
#define MADT_IO_APIC       1
#define MADT_OVERRIDE      2
#define MADT_LOCAL_NMI     4
#define MADT_APIC_ADDRESS  5
#define MADT_LOCAL_X2APIC  9
#define MADT_LOCAL_ENABLED 1 /* processor flag: usable */

#define DEFAULT_LOCAL_APIC 0xFEE00000ULL
#define DEFAULT_IO_APIC    0xFEC00000ULL

static ULONG MadtUlong(const UCHAR *At)
{
    ULONG Value;
    memcpy(&Value, At, sizeof(Value));
    return Value;
}

static USHORT MadtUshort(const UCHAR *At)
{
    USHORT Value;
    memcpy(&Value, At, sizeof(Value));
    return Value;
}

static VOID MadtAddProcessor(PHALP_MADT Madt, ULONG ApicId, ULONG Flags)
{
    if ((Flags & MADT_LOCAL_ENABLED) != 0 && Madt->ProcessorCount < KI_MAXIMUM_PROCESSORS) {
        Madt->ApicIds[Madt->ProcessorCount++] = ApicId;
    }
}

static VOID MadtAddIoApic(PHALP_MADT Madt, ULONG Base, ULONG GsiBase)
{
    if (Base != 0 && Madt->IoApicCount < HALP_MAXIMUM_IOAPICS) {
        Madt->IoApics[Madt->IoApicCount].Base = Base;
        Madt->IoApics[Madt->IoApicCount++].GsiBase = GsiBase;
    }
}

/* Flags: bits 0-1 polarity, bits 2-3 trigger; 0 conforms to the bus (ISA: high, edge), 1 high or edge, 3 low or level. */
static VOID MadtOverride(PHALP_MADT Madt, const UCHAR *Entry)
{
    USHORT Flags = MadtUshort(Entry + 8);
    UCHAR Source = Entry[3];

    if (Entry[2] != 0 || Source >= HALP_ISA_LINES) { /* bus 0 is ISA, the only one defined */
        return;
    }
    HALP_LINE *Line = &Madt->Isa[Source];
    Line->Gsi = MadtUlong(Entry + 4);
    Line->ActiveLow = (Flags & 3) == 3;
    Line->Level = (Flags >> 2 & 3) == 3;
    Line->Overridden = TRUE;
}

static VOID MadtEntry(PHALP_MADT Madt, const UCHAR *Entry, ULONG Length)
{
    switch (Entry[0]) {
    case MADT_LOCAL_APIC:
        if (Length >= 8) {
            MadtAddProcessor(Madt, Entry[3], MadtUlong(Entry + 4));
        }
        break;
    case MADT_LOCAL_X2APIC:
        if (Length >= 16) {
            MadtAddProcessor(Madt, MadtUlong(Entry + 4), MadtUlong(Entry + 8));
        }
        break;
    case MADT_IO_APIC:
        if (Length >= 12) {
            MadtAddIoApic(Madt, MadtUlong(Entry + 4), MadtUlong(Entry + 8));
        }
        break;
    case MADT_OVERRIDE:
        if (Length >= 10) {
            MadtOverride(Madt, Entry);
        }
        break;
    case MADT_LOCAL_NMI:
        if (Length >= 6 && Entry[5] < 2) {
            Madt->NmiOnLint[Entry[5]] = TRUE;
        }
        break;
    case MADT_APIC_ADDRESS:
        if (Length >= 12) {
            memcpy(&Madt->LocalApicBase, Entry + 4, sizeof(ULONG64));
        }
        break;
    }
}

VOID HalpParseMadt(const ACPI_HEADER *Table, ULONG Length, PHALP_MADT Madt)
{
    const UCHAR *Bytes = (const UCHAR *)Table;

    memset(Madt, 0, sizeof(*Madt));
    Madt->LocalApicBase = DEFAULT_LOCAL_APIC;
    for (ULONG i = 0; i < HALP_ISA_LINES; i++) {
        Madt->Isa[i].Gsi = i;
    }
    if (Table != NULL && Length >= MADT_FIXED_LENGTH) {
        Madt->LocalApicBase = MadtUlong(Bytes + sizeof(ACPI_HEADER));
        for (ULONG At = MADT_FIXED_LENGTH; Length - At >= 2 && Bytes[At + 1] >= 2 && Bytes[At + 1] <= Length - At;
             At += Bytes[At + 1]) {
            MadtEntry(Madt, Bytes + At, Bytes[At + 1]);
        }
    }
    if (Madt->IoApicCount == 0) {
        MadtAddIoApic(Madt, DEFAULT_IO_APIC, 0);
    }
    if (!Madt->NmiOnLint[0] && !Madt->NmiOnLint[1]) {
        Madt->NmiOnLint[1] = TRUE; /* where the MultiProcessor Specification puts it */
    }
    if (Madt->LocalApicBase == 0) {
        Madt->LocalApicBase = DEFAULT_LOCAL_APIC;
    }
}
