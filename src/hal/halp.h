/*
 * halp.h - what the files of the hardware layer share: facts taken from the ACPI tables, the time sources, the lines.
 *
 * Everything here is written once, by the boot processor before other processors or drivers run, and only read
 * afterwards; the exceptions (I/O APIC registers, PCI configuration ports) carry a lock in their own file.
 */
#pragma once

#include <ntos/hal.h>
#include <ntos/init.h>
#include <ntos/ke.h>
#include <ntos/mm.h>

/* ---- ACPI tables (acpi.c, madt.c); layouts from the ACPI Specification 6.4, chapter 5.2 ---- */

#pragma pack(push, 1)
typedef struct _ACPI_HEADER {
    ULONG Signature;
    ULONG Length; /* of the table, header included */
    UCHAR Revision;
    UCHAR Checksum; /* all bytes of the table add up to 0 */
    CHAR OemId[6];
    CHAR OemTableId[8];
    ULONG OemRevision;
    ULONG CreatorId;
    ULONG CreatorRevision;
} ACPI_HEADER, *PACPI_HEADER;

typedef struct _ACPI_ADDRESS { /* Generic Address Structure */
    UCHAR SpaceId;             /* 0 memory, 1 I/O ports */
    UCHAR BitWidth;
    UCHAR BitOffset;
    UCHAR AccessSize;
    ULONG64 Address;
} ACPI_ADDRESS;
#pragma pack(pop)
C_ASSERT(sizeof(ACPI_HEADER) == 36);
C_ASSERT(sizeof(ACPI_ADDRESS) == 12);

#define ACPI_SIGNATURE(A, B, C, D) ((ULONG)(A) | (ULONG)(B) << 8 | (ULONG)(C) << 16 | (ULONG)(D) << 24)

/* Remembers the root table. Without ACPI (or with option noacpi) no table is ever found. */
VOID HalpInitializeAcpi(LOADER_BLOCK *LoaderBlock);
/* Maps the Index-th table with Signature; NULL: none, or damaged. Unmap with HalpUnmapAcpiTable. Phase 1 of the HAL. */
PACPI_HEADER HalpMapAcpiTable(ULONG Signature, ULONG Index);
/* Maps the table at a physical address (the DSDT, which the root table does not list), checking its Signature. */
PACPI_HEADER HalpMapAcpiTableAt(ULONG64 Physical, ULONG Signature);
VOID HalpUnmapAcpiTable(PACPI_HEADER Table);
/* TRUE: every byte added up is 0, and Length is within what may be read. */
BOOLEAN HalpAcpiChecksum(const VOID *Table, ULONG Length);

#define HALP_MAXIMUM_IOAPICS 8  /* more than any machine of the class has */
#define HALP_ISA_LINES       16 /* IRQ 0..15 of the two 8259s */

typedef struct _HALP_LINE {
    ULONG Gsi;     /* global system interrupt */
    BOOLEAN Level; /* level-triggered */
    BOOLEAN ActiveLow;
    BOOLEAN Overridden; /* the MADT names this line, so trigger and polarity are the firmware's word */
} HALP_LINE;

/* What the MADT says. */
typedef struct _HALP_MADT {
    ULONG64 LocalApicBase; /* physical */
    ULONG ProcessorCount;
    ULONG ApicIds[KI_MAXIMUM_PROCESSORS]; /* of enabled processors, in table order */
    ULONG IoApicCount;
    struct {
        ULONG64 Base; /* physical */
        ULONG GsiBase;
    } IoApics[HALP_MAXIMUM_IOAPICS];
    HALP_LINE Isa[HALP_ISA_LINES];
    BOOLEAN NmiOnLint[2]; /* the boot processor's (or every) local interrupt input that carries NMI */
} HALP_MADT, *PHALP_MADT;

extern HALP_MADT HalpMadt;

/**
 * HalpParseMadt - takes the machine's interrupt wiring out of a MADT.
 *
 * @Table   the table, or NULL for a machine that has none (one processor, one I/O APIC at its usual place)
 * @Length  readable bytes; entries beyond it, of length 0 or too short for their type end the scan or are skipped
 * @Madt    filled in whole
 *
 * Pure function. IRQL: any.
 */
VOID HalpParseMadt(const ACPI_HEADER *Table, ULONG Length, PHALP_MADT Madt);

/**
 * HalpParseS5 - finds the sleep types of state S5 in the byte code of a DSDT.
 *
 * @Aml, @Length  the table's bytes after its header
 * @SleepTypes    receives SLP_TYPa and SLP_TYPb
 * returns        FALSE: there is no \_S5 package that can be read without running the byte code
 */
BOOLEAN HalpParseS5(const UCHAR *Aml, ULONG Length, UCHAR SleepTypes[2]);

VOID HalpInitializePower(VOID); /* power.c: FADT, reset register, S5 */

/* ---- Interrupt controllers ---- */

VOID HalpInitializePic(VOID);       /* pic.c */
VOID HalpInitializeLocalApic(VOID); /* apic.c: this processor's */
VOID HalpInitializeIoApics(VOID);   /* ioapic.c: every line masked */
ULONG HalpLocalApicId(VOID);
/* Programs a line and unmasks it. Fails: STATUS_INVALID_PARAMETER, no I/O APIC has it. IRQL: any. */
NTSTATUS HalpEnableLine(ULONG Gsi, ULONG Vector, BOOLEAN Level, BOOLEAN ActiveLow);
VOID HalpDisableLine(ULONG Gsi);
/* Takes a vector of the device range for a message, 0: none is free; gives it back. IRQL: any. (ioapic.c) */
ULONG HalpBindMessage(VOID);
VOID HalpFreeMessage(ULONG Vector);

/* ---- PCI Express configuration space (ecam.c) ---- */

typedef struct _HALP_EXPRESS_RANGE {
    ULONG64 Base; /* physical address of bus 0's space, whether or not the range holds bus 0 */
    UCHAR FirstBus, LastBus;
} HALP_EXPRESS_RANGE, *PHALP_EXPRESS_RANGE;

/* The first usable range of an MCFG table's segment 0; FALSE: there is none. Length: readable bytes. Pure function. */
BOOLEAN HalpParseMcfg(const ACPI_HEADER *Table, ULONG Length, PHALP_EXPRESS_RANGE Range);
VOID HalpInitializeExpress(VOID); /* once, after ACPI; maps every function's page */
/* A function's 4096 bytes; NULL: it is not mapped. IRQL: any. */
volatile UCHAR *HalpExpressSpace(ULONG Bus, PCI_SLOT_NUMBER Slot);

/* ---- Time ---- */

/* A free-running counter of known frequency, to calibrate the others against. */
typedef struct _HALP_REFERENCE {
    PCSTR Name;
    ULONG64 Frequency; /* Hz */
    ULONG64 Mask;      /* the counter wraps to 0 after this value */
    ULONG64 (*Read)(VOID);
} HALP_REFERENCE;

extern USHORT HalpPmTimerPort; /* ACPI power-management timer, 0: none (power.c) */
extern BOOLEAN HalpPmTimer32;  /* it has 32 bits, not 24 */

BOOLEAN HalpInitializeHpet(HALP_REFERENCE *Reference); /* hpet.c; FALSE: the machine has none */
VOID HalpInitializePit(HALP_REFERENCE *Reference);     /* pit.c; channel 2, always there */
VOID HalpChooseReference(HALP_REFERENCE *Reference);   /* tsc.c: HPET, else PM timer, else PIT */
VOID HalpCalibrate(const HALP_REFERENCE *Reference);   /* tsc.c: time stamp counter and APIC timer */
VOID HalpInitializeClock(VOID);                        /* clock.c */
VOID HalpProgramApicTimer(ULONG Vector, ULONG Count);  /* apic.c: once; 0: it stops */
VOID HalpStartApicTimer(ULONG Vector, ULONG Count);    /* apic.c: periodic */
ULONG HalpReadApicTimer(VOID);
VOID HalpProgramApicTimerOnce(ULONG Count); /* one shot, masked: for calibration */
LONG64 HalpReadRtc(VOID);                   /* rtc.c: system time, 100 ns since 1601, from the battery clock */

extern ULONG64 HalpTscFrequency;       /* Hz (c) */
extern ULONG64 HalpApicTimerFrequency; /* counts a second with the divider of apic.c (c) */
