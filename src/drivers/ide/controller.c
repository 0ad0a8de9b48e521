/*
 * controller.c - finding IDE controllers and bringing their channels up.
 *
 * Every PCI function of class 01h/01h is a controller with two channels, each at the legacy ports with its ISA interrupt, or
 * (native mode) at its base address registers with the PCI interrupt. Without any such function the legacy ports are tried alone, PIO
 * only. A channel with at least one drive gets an interrupt, a DMA adapter if the function is a bus master, and a thread; one without is
 * forgotten. Runs in DriverEntry at PASSIVE_LEVEL. Source: PCI IDE Controller Specification 1.0.
 */
#include "ide.h"

#define IDE_PROGIF_NATIVE0    0x01
#define IDE_PROGIF_NATIVE1    0x04
#define IDE_PROGIF_BUS_MASTER 0x80

/* Where one channel is. */
typedef struct _IDE_PLACE {
    ULONG Command, Control, BusMaster; /* ports; BusMaster 0: none */
    BOOLEAN Native;
    ULONG Line, BusNumber;
} IDE_PLACE;

static const ULONG IdeLegacyCommand[2] = {0x1F0, 0x170};
static const ULONG IdeLegacyControl[2] = {0x3F6, 0x376};
static const ULONG IdeLegacyLine[2] = {14, 15};

/* The bus-master side of a channel: adapter and descriptor table. Without them the channel does PIO. */
static VOID IdeAddDma(PIDE_CHANNEL Channel, ULONG BusMaster)
{
    DEVICE_DESCRIPTION Description;
    ULONG MapRegisters;

    RtlZeroMemory(&Description, sizeof(Description));
    Description.Version = DEVICE_DESCRIPTION_VERSION;
    Description.Master = TRUE;
    Description.ScatterGather = TRUE;
    Description.Dma32BitAddresses = TRUE;
    Description.InterfaceType = PCIBus;
    Description.BusNumber = Channel->BusNumber;
    Description.MaximumLength = IDE_MAXIMUM_TRANSFER;
    Channel->Adapter = IoGetDmaAdapter(NULL, &Description, &MapRegisters);
    if (Channel->Adapter == NULL) {
        return;
    }
    Channel->Table = Channel->Adapter->DmaOperations->AllocateCommonBuffer(Channel->Adapter, PAGE_SIZE,
                                                                           &Channel->TableAddress, TRUE);
    if (Channel->Table == NULL) {
        Channel->Adapter->DmaOperations->PutDmaAdapter(Channel->Adapter);
        Channel->Adapter = NULL;
        return;
    }
    Channel->BusMaster = (PUCHAR)(ULONG_PTR)BusMaster;
}

static VOID IdeFreeChannel(PIDE_CHANNEL Channel)
{
    if (Channel->Interrupt != NULL) {
        IoDisconnectInterrupt(Channel->Interrupt);
        KeFlushQueuedDpcs(); /* one may be on its way still */
    }
    if (Channel->Adapter != NULL) {
        Channel->Adapter->DmaOperations->FreeCommonBuffer(Channel->Adapter, PAGE_SIZE, Channel->TableAddress,
                                                          Channel->Table, TRUE);
        Channel->Adapter->DmaOperations->PutDmaAdapter(Channel->Adapter);
    }
    ExFreePoolWithTag(Channel, IDE_TAG);
}

static PIDE_CHANNEL IdeNewChannel(const IDE_PLACE *Place)
{
    PIDE_CHANNEL Channel = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Channel), IDE_TAG);

    if (Channel == NULL) {
        return NULL;
    }
    RtlZeroMemory(Channel, sizeof(*Channel));
    Channel->Command = (PUCHAR)(ULONG_PTR)Place->Command;
    Channel->Control = (PUCHAR)(ULONG_PTR)Place->Control;
    Channel->Native = Place->Native;
    Channel->Line = Place->Line;
    Channel->BusNumber = Place->BusNumber;
    KeInitializeEvent(&Channel->Signal, SynchronizationEvent, FALSE);
    KeInitializeEvent(&Channel->ListReady, SynchronizationEvent, FALSE);
    KeInitializeSpinLock(&Channel->SignalLock);
    KeInitializeSpinLock(&Channel->QueueLock);
    InitializeListHead(&Channel->Queue);
    KeInitializeSemaphore(&Channel->Work, 0, MAXLONG);
    return Channel;
}

/* Devices for the drives that were found, then the thread that serves them. */
static NTSTATUS IdeStartChannel(PDRIVER_OBJECT DriverObject, PIDE_CHANNEL Channel, const IDE_DRIVE *Found,
                                PULONG Drives)
{
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Thread;
    NTSTATUS Status = IdeConnectChannel(Channel);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    InitializeObjectAttributes(&Attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    Status = PsCreateSystemThread(&Thread, THREAD_ALL_ACCESS, &Attributes, NULL, NULL, IdeChannelThread, Channel);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    ZwClose(Thread);
    for (ULONG Unit = 0; Unit < 2; Unit++) {
        if (Found[Unit].Kind != IdeNone && NT_SUCCESS(IdeCreateDevice(DriverObject, Channel, &Found[Unit]))) {
            (*Drives)++;
        }
    }
    return STATUS_SUCCESS;
}

static VOID IdeTryChannel(PDRIVER_OBJECT DriverObject, const IDE_PLACE *Place, PULONG Drives)
{
    IDE_DRIVE Found[2] = {0};
    PIDE_CHANNEL Channel = IdeNewChannel(Place);
    ULONG Count = 0;
    NTSTATUS Status;

    if (Channel == NULL) {
        return;
    }
    WRITE_PORT_UCHAR(Channel->Control, IDE_CONTROL_NIEN);
    if (!IdeChannelExists(Channel)) {
        IdeFreeChannel(Channel);
        return;
    }
    if (Place->BusMaster != 0) {
        IdeAddDma(Channel, Place->BusMaster);
    }
    IdeResetChannel(Channel);
    for (UCHAR Unit = 0; Unit < 2; Unit++) {
        Found[Unit].Channel = Channel;
        Found[Unit].Unit = Unit;
        Count += NT_SUCCESS(IdeIdentify(&Found[Unit])) ? 1 : 0;
    }
    if (Count == 0) {
        IdeFreeChannel(Channel);
        return;
    }
    Status = IdeStartChannel(DriverObject, Channel, Found, Drives);
    if (!NT_SUCCESS(Status)) {
        DbgPrint("ide: channel at 0x%lX did not start: 0x%08lX\n", Place->Command, Status);
        IdeFreeChannel(Channel);
    }
}

static VOID IdeTryFunction(PDRIVER_OBJECT DriverObject, ULONG Bus, PCI_SLOT_NUMBER Slot, PPCI_COMMON_CONFIG Config,
                           PULONG Drives)
{
    static const UCHAR NativeBit[2] = {IDE_PROGIF_NATIVE0, IDE_PROGIF_NATIVE1};
    USHORT Command = Config->Command | PCI_ENABLE_IO_SPACE | PCI_ENABLE_BUS_MASTER;
    ULONG BusMaster = ((Config->ProgIf & IDE_PROGIF_BUS_MASTER) != 0 && (Config->u.type0.BaseAddresses[4] & 1) != 0)
                          ? (Config->u.type0.BaseAddresses[4] & ~3U)
                          : 0;

    HalSetBusDataByOffset(PCIConfiguration, Bus, Slot.u.AsULONG, &Command, FIELD_OFFSET(PCI_COMMON_CONFIG, Command),
                          sizeof(Command));
    for (ULONG Index = 0; Index < 2; Index++) {
        IDE_PLACE Place = {0};

        Place.Native = (Config->ProgIf & NativeBit[Index]) != 0;
        Place.BusNumber = Bus;
        Place.BusMaster = (BusMaster != 0) ? BusMaster + Index * 8 : 0;
        if (Place.Native) {
            Place.Command = Config->u.type0.BaseAddresses[Index * 2] & ~3U;
            Place.Control = (Config->u.type0.BaseAddresses[Index * 2 + 1] & ~3U) + 2;
            Place.Line = Config->u.type0.InterruptLine;
        } else {
            Place.Command = IdeLegacyCommand[Index];
            Place.Control = IdeLegacyControl[Index];
            Place.Line = IdeLegacyLine[Index];
        }
        IdeTryChannel(DriverObject, &Place, Drives);
    }
}

/* TRUE: the function is an IDE controller and was tried. */
static BOOLEAN IdeTrySlot(PDRIVER_OBJECT DriverObject, ULONG Bus, ULONG Device, ULONG Function, PULONG Drives)
{
    PCI_COMMON_CONFIG Config;
    PCI_SLOT_NUMBER Slot;

    Slot.u.AsULONG = 0;
    Slot.u.bits.DeviceNumber = Device;
    Slot.u.bits.FunctionNumber = Function;
    if (HalGetBusDataByOffset(PCIConfiguration, Bus, Slot.u.AsULONG, &Config, 0, PCI_COMMON_HDR_LENGTH) <
        PCI_COMMON_HDR_LENGTH) {
        return FALSE;
    }
    if (Config.VendorID == PCI_INVALID_VENDORID || Config.BaseClass != PCI_CLASS_MASS_STORAGE_CTLR ||
        Config.SubClass != PCI_SUBCLASS_MSC_IDE_CTLR) {
        return FALSE;
    }
    IdeTryFunction(DriverObject, Bus, Slot, &Config, Drives);
    return TRUE;
}

/* Finds controllers and their drives; *Drives counts the device objects made. */
NTSTATUS IdeFindControllers(PDRIVER_OBJECT DriverObject, PULONG Drives)
{
    BOOLEAN Found = FALSE;

    for (ULONG Bus = 0; Bus < 256; Bus++) {
        for (ULONG Device = 0; Device < PCI_MAX_DEVICES; Device++) {
            for (ULONG Function = 0; Function < PCI_MAX_FUNCTION; Function++) {
                Found = IdeTrySlot(DriverObject, Bus, Device, Function, Drives) || Found;
            }
        }
        if (Found) {
            break; /* controllers of this kind are part of the chipset, on one bus */
        }
    }
    for (ULONG Index = 0; !Found && Index < 2; Index++) {
        IDE_PLACE Place = {
            .Command = IdeLegacyCommand[Index], .Control = IdeLegacyControl[Index], .Line = IdeLegacyLine[Index]};

        IdeTryChannel(DriverObject, &Place, Drives);
    }
    return (*Drives != 0) ? STATUS_SUCCESS : STATUS_NO_SUCH_DEVICE;
}
