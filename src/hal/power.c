/*
 * power.c - the ends of a machine: power off, reset, and leaving an emulator with an exit code.
 *
 * The FADT (Fixed ACPI Description Table) is read once: power-management ports, the reset register, and from the DSDT
 * it points at the sleep types of state S5. Oriel runs no ACPI byte code; the S5 package is found by its name and read
 * only if it is the plain list of constants that compilers emit for it. When ACPI does not do it, the ports that
 * emulators offer are tried, and a machine that will not go is halted.
 *
 * Source: ACPI Specification 6.4, 5.2.9 (FADT), 4.8.3 (PM1), 7.4.2 (S5), 20.2 (byte code).
 * Locks: none; the facts are constant after HalpInitializePower. The end routines may be called at any IRQL.
 */
#include "halp.h"

#define FADT_DSDT         40
#define FADT_SMI_COMMAND  48
#define FADT_ACPI_ENABLE  52
#define FADT_PM1A_EVENT   56
#define FADT_PM1A_CONTROL 64
#define FADT_PM1B_CONTROL 68
#define FADT_PM_TIMER     76
#define FADT_FLAGS        112
#define FADT_RESET        116
#define FADT_RESET_VALUE  128
#define FADT_X_DSDT       140
#define FADT_MINIMUM      116 /* ACPI 1.0 */

#define FADT_TIMER_32_BITS   (1U << 8)
#define FADT_RESET_SUPPORTED (1U << 10)

#define PM1_SCI_ENABLE   0x0001
#define PM1_SLEEP_ENABLE 0x2000
#define PM1_SLEEP_TYPE   10 /* shift */

#define AML_ZERO    0x00
#define AML_ONE     0x01
#define AML_NAME    0x08
#define AML_BYTE    0x0A
#define AML_PACKAGE 0x12

USHORT HalpPmTimerPort;
BOOLEAN HalpPmTimer32;

static USHORT HalpPm1aControl, HalpPm1bControl, HalpSmiCommand; /* I/O ports, 0: none */
static UCHAR HalpAcpiEnable;
static UCHAR HalpSleepTypes[2];
static BOOLEAN HalpS5Known;
static ACPI_ADDRESS HalpResetRegister;
static UCHAR HalpResetValue;
static volatile UCHAR *HalpResetMemory; /* the reset register if it is in memory */

/* One constant of a package: Zero, One or a byte. Returns bytes consumed, 0: something else. */
static ULONG ParseConstant(const UCHAR *Aml, ULONG Length, UCHAR *Value)
{
    if (Length >= 1 && (Aml[0] == AML_ZERO || Aml[0] == AML_ONE)) {
        *Value = Aml[0];
        return 1;
    }
    if (Length >= 2 && Aml[0] == AML_BYTE) {
        *Value = Aml[1];
        return 2;
    }
    return 0;
}

/* A package right after the name: opcode, length (1 to 4 bytes, the count in its two top bits), elements. */
static BOOLEAN ParseS5Package(const UCHAR *Aml, ULONG Length, UCHAR SleepTypes[2])
{
    if (Length < 2 || Aml[0] != AML_PACKAGE) {
        return FALSE;
    }
    ULONG At = 2 + (Aml[1] >> 6);
    if (Length <= At || Aml[At] < 2) {
        return FALSE;
    }
    At++;
    for (ULONG i = 0; i < 2; i++) {
        ULONG Used = ParseConstant(Aml + At, Length - At, &SleepTypes[i]);
        if (Used == 0 || SleepTypes[i] > 7) { /* the field has three bits */
            return FALSE;
        }
        At += Used;
    }
    return TRUE;
}

BOOLEAN HalpParseS5(const UCHAR *Aml, ULONG Length, UCHAR SleepTypes[2])
{
    for (ULONG At = 1; Length >= 4 && At <= Length - 4; At++) {
        if (memcmp(Aml + At, "_S5_", 4) != 0) {
            continue;
        }
        BOOLEAN Named = Aml[At - 1] == AML_NAME || (At >= 2 && Aml[At - 1] == '\\' && Aml[At - 2] == AML_NAME);
        if (Named && ParseS5Package(Aml + At + 4, Length - At - 4, SleepTypes)) {
            return TRUE;
        }
    }
    return FALSE;
}

static ULONG FadtUlong(PACPI_HEADER Fadt, ULONG Offset)
{
    ULONG Value = 0;
    if (Offset + sizeof(Value) <= Fadt->Length) {
        memcpy(&Value, (PUCHAR)Fadt + Offset, sizeof(Value));
    }
    return Value;
}

/* An I/O port of the FADT; anything that is no port number counts as absent. */
static USHORT FadtPort(PACPI_HEADER Fadt, ULONG Offset)
{
    ULONG Port = FadtUlong(Fadt, Offset);
    return Port <= 0xFFFF ? (USHORT)Port : 0;
}

static VOID FindS5(PACPI_HEADER Fadt)
{
    ULONG64 Physical = 0;

    if (Fadt->Length >= FADT_X_DSDT + sizeof(Physical)) {
        memcpy(&Physical, (PUCHAR)Fadt + FADT_X_DSDT, sizeof(Physical));
    }
    if (Physical == 0) {
        Physical = FadtUlong(Fadt, FADT_DSDT);
    }
    PACPI_HEADER Dsdt = HalpMapAcpiTableAt(Physical, ACPI_SIGNATURE('D', 'S', 'D', 'T'));
    if (Dsdt != NULL) {
        HalpS5Known = HalpParseS5((const UCHAR *)(Dsdt + 1), Dsdt->Length - sizeof(*Dsdt), HalpSleepTypes);
        HalpUnmapAcpiTable(Dsdt);
    }
}

static VOID FindResetRegister(PACPI_HEADER Fadt)
{
    if (Fadt->Length <= FADT_RESET_VALUE || (FadtUlong(Fadt, FADT_FLAGS) & FADT_RESET_SUPPORTED) == 0) {
        return;
    }
    memcpy(&HalpResetRegister, (PUCHAR)Fadt + FADT_RESET, sizeof(HalpResetRegister));
    HalpResetValue = ((PUCHAR)Fadt)[FADT_RESET_VALUE];
    if (HalpResetRegister.SpaceId == 0 && HalpResetRegister.Address != 0) {
        PHYSICAL_ADDRESS Physical = {.QuadPart = (LONG64)HalpResetRegister.Address};
        HalpResetMemory = MmMapIoSpace(Physical, 1, MmNonCached);
    }
}

VOID HalpInitializePower(VOID)
{
    PACPI_HEADER Fadt = HalpMapAcpiTable(ACPI_SIGNATURE('F', 'A', 'C', 'P'), 0);

    if (Fadt == NULL) {
        return;
    }
    if (Fadt->Length >= FADT_MINIMUM) {
        HalpPm1aControl = FadtPort(Fadt, FADT_PM1A_CONTROL);
        HalpPm1bControl = FadtPort(Fadt, FADT_PM1B_CONTROL);
        HalpSmiCommand = FadtPort(Fadt, FADT_SMI_COMMAND);
        HalpAcpiEnable = ((PUCHAR)Fadt)[FADT_ACPI_ENABLE];
        HalpPmTimerPort = FadtPort(Fadt, FADT_PM_TIMER);
        HalpPmTimer32 = (FadtUlong(Fadt, FADT_FLAGS) & FADT_TIMER_32_BITS) != 0;
        FindS5(Fadt);
        FindResetRegister(Fadt);
    }
    HalpUnmapAcpiTable(Fadt);
}

/* Some chipsets take PM1 writes only once ACPI mode is on; the firmware switches it when told so. */
static VOID EnableAcpiMode(VOID)
{
    if ((__inword(HalpPm1aControl) & PM1_SCI_ENABLE) != 0 || HalpSmiCommand == 0 || HalpAcpiEnable == 0) {
        return;
    }
    __outbyte(HalpSmiCommand, HalpAcpiEnable);
    for (ULONG i = 0; i < 1000 && (__inword(HalpPm1aControl) & PM1_SCI_ENABLE) == 0; i++) {
        KeStallExecutionProcessor(100);
    }
}

static VOID AcpiPowerOff(VOID)
{
    if (!HalpS5Known || HalpPm1aControl == 0) {
        return;
    }
    EnableAcpiMode();
    __outword(HalpPm1aControl, (USHORT)(HalpSleepTypes[0] << PM1_SLEEP_TYPE | PM1_SLEEP_ENABLE));
    if (HalpPm1bControl != 0) {
        __outword(HalpPm1bControl, (USHORT)(HalpSleepTypes[1] << PM1_SLEEP_TYPE | PM1_SLEEP_ENABLE));
    }
    KeStallExecutionProcessor(20000); /* the write takes effect after it has been executed */
}

static VOID EmulatorPowerOff(VOID)
{
    static const CHAR Shutdown[] = "Shutdown";

    for (ULONG i = 0; Shutdown[i] != '\0'; i++) {
        __outbyte(0x8900, (UCHAR)Shutdown[i]); /* Bochs */
    }
    __outword(0x604, PM1_SLEEP_ENABLE);  /* QEMU, S5 is type 0 */
    __outword(0xB004, PM1_SLEEP_ENABLE); /* QEMU of before 2013, Bochs' ACPI */
}

static DECLSPEC_NORETURN VOID HaltForGood(VOID)
{
    for (;;) {
        _disable();
        KeHalt();
    }
}

/**
 * HalPowerOff - switches the machine off.
 *
 * IRQL: any. Never returns; a machine that cannot be switched off is halted.
 */
DECLSPEC_NORETURN VOID HalPowerOff(VOID)
{
    _disable();
    AcpiPowerOff();
    EmulatorPowerOff();
    HaltForGood();
}

/**
 * HalReset - restarts the machine.
 *
 * IRQL: any. Never returns.
 */
DECLSPEC_NORETURN VOID HalReset(VOID)
{
    _disable();
    if (HalpResetMemory != NULL) {
        *HalpResetMemory = HalpResetValue;
    } else if (HalpResetRegister.SpaceId == 1 && HalpResetRegister.Address != 0 &&
               HalpResetRegister.Address <= 0xFFFF) {
        __outbyte((USHORT)HalpResetRegister.Address, HalpResetValue);
    }
    KeStallExecutionProcessor(20000);
    __outbyte(0xCF9, 0x02); /* reset control register of Intel chipsets: hard reset, then go */
    __outbyte(0xCF9, 0x06);
    KeStallExecutionProcessor(20000);
    __outbyte(0x64, 0xFE); /* keyboard controller: pulse the reset line */
    HaltForGood();
}

/**
 * HalDebugExit - ends QEMU with a status of (Code << 1) | 1 if it has isa-debug-exit at port 0xF4.
 *
 * IRQL: any. Returns when there is no such device.
 */
VOID HalDebugExit(UCHAR Code)
{
    __outbyte(0xF4, Code);
}
