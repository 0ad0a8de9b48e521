/*
 * show.c - the I/O manager's counters and its device tree, for tests and the console.
 *
 * Counters are read one by one without a lock: a snapshot taken while I/O runs may be off by what is under way.
 * Device lists are walked under IopDatabaseLock into a fixed array and printed after it was released. PASSIVE_LEVEL.
 */
#include <ntos/console.h>

#include "iop.h"

/* Devices of one driver that are shown: more than any driver here has. */
#define IOP_SHOWN_DEVICES 32U

VOID IoQueryCounters(PIO_MANAGER_COUNTERS Counters)
{
    Counters->Irps = IopIrpCount;
    Counters->Mdls = IopMdlCount;
    Counters->IrpsCompleted = IopIrpsCompleted;
    Counters->PagingReads = IopPagingReads;
    Counters->PagingWrites = IopPagingWrites;
    Counters->DiskReads = IopDiskReads;
    Counters->DiskReadBytes = IopDiskReadBytes;
    Counters->DiskWrites = IopDiskWrites;
    Counters->DiskWriteBytes = IopDiskWriteBytes;
    Counters->Requests = IopAllRequests;
}

typedef VOID (*IOP_SHOW_DEVICE)(PDEVICE_OBJECT Device);

/* The devices of a driver, each referenced. */
static ULONG IopCollectDevices(PDRIVER_OBJECT Driver, PDEVICE_OBJECT *Devices)
{
    ULONG Count = 0;
    KIRQL Irql;

    KeAcquireSpinLock(&IopDatabaseLock, &Irql);
    for (PDEVICE_OBJECT Device = Driver->DeviceObject; Device != NULL && Count < IOP_SHOWN_DEVICES;
         Device = Device->NextDevice) {
        ObfReferenceObject(Device);
        Devices[Count++] = Device;
    }
    KeReleaseSpinLock(&IopDatabaseLock, Irql);
    return Count;
}

static VOID IopPrintName(PVOID Object)
{
    union {
        OBJECT_NAME_INFORMATION Info;
        UCHAR Bytes[256];
    } Name;
    ULONG Length;

    if (NT_SUCCESS(ObQueryNameString(Object, &Name.Info, sizeof(Name), &Length)) && Name.Info.Name.Length != 0) {
        ConPrint("%-28wZ", &Name.Info.Name);
    } else {
        ConPrint("%-28s", "(unnamed)");
    }
}

static VOID IopShowDevice(PDEVICE_OBJECT Device)
{
    PVPB Vpb = Device->Vpb;

    ConPrint("  ");
    IopPrintName(Device);
    ConPrint(" type 0x%02lX flags 0x%08lX stack %d opens %ld", (ULONG)Device->DeviceType, Device->Flags,
             Device->StackSize, Device->ReferenceCount);
    if (Vpb != NULL) {
        ConPrint((Vpb->Flags & VPB_MOUNTED) != 0 ? " mounted, %lu files" : " not mounted", Vpb->ReferenceCount);
    }
    ConPrint("\n");
    if (Device->AttachedDevice != NULL) {
        ConPrint("    attached above: %wZ\n", &Device->AttachedDevice->DriverObject->DriverName);
    }
}

static VOID IopShowTransfers(PDEVICE_OBJECT Device)
{
    PIOP_DEVICE_EXTENSION Extension = IopExtension(Device);

    if (Device->DeviceType != FILE_DEVICE_CD_ROM && Device->DeviceType != FILE_DEVICE_DISK) {
        return;
    }
    IopPrintName(Device);
    ConPrint(" reads %lld bytes %lld writes %lld bytes %lld\n", Extension->Reads, Extension->ReadBytes,
             Extension->Writes, Extension->WriteBytes);
}

static BOOLEAN IopVisitDriver(PVOID Context, PCUNICODE_STRING Name, PVOID Object)
{
    PDEVICE_OBJECT Devices[IOP_SHOWN_DEVICES];
    IOP_SHOW_DEVICE Show = (IOP_SHOW_DEVICE)Context;
    ULONG Count;

    if (ObGetObjectType(Object) != IopDriverObjectType) {
        return TRUE;
    }
    Count = IopCollectDevices(Object, Devices);
    if (Show == IopShowDevice) {
        ConPrint("%wZ\n", Name);
    }
    for (ULONG Index = 0; Index < Count; Index++) {
        Show(Devices[Index]);
        ObfDereferenceObject(Devices[Index]);
    }
    return TRUE;
}

static VOID IopForEachDevice(IOP_SHOW_DEVICE Show)
{
    static const PCWSTR Paths[] = {L"\\Driver", L"\\FileSystem"};

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Paths); Index++) {
        UNICODE_STRING Name;
        PVOID Directory;

        RtlInitUnicodeString(&Name, Paths[Index]);
        if (NT_SUCCESS(
                ObReferenceObjectByName(&Name, 0, NULL, 0, ObpDirectoryObjectType, KernelMode, NULL, &Directory))) {
            ObForEachInDirectory(Directory, IopVisitDriver, (PVOID)Show);
            ObfDereferenceObject(Directory);
        }
    }
}

static VOID IopDevicesCommand(ULONG ArgumentCount, PCSTR *Arguments)
{
    UNREFERENCED_PARAMETER(ArgumentCount);
    UNREFERENCED_PARAMETER(Arguments);
    IopForEachDevice(IopShowDevice);
}

static VOID IopStatCommand(ULONG ArgumentCount, PCSTR *Arguments)
{
    IO_MANAGER_COUNTERS Counters;
    HAL_DMA_COUNTERS Dma;

    UNREFERENCED_PARAMETER(ArgumentCount);
    UNREFERENCED_PARAMETER(Arguments);
    IoQueryCounters(&Counters);
    HalQueryDmaCounters(&Dma);
    IopForEachDevice(IopShowTransfers);
    ConPrint("disk reads %lld bytes %lld writes %lld bytes %lld\n", Counters.DiskReads, Counters.DiskReadBytes,
             Counters.DiskWrites, Counters.DiskWriteBytes);
    ConPrint("paging reads %lld writes %lld\n", Counters.PagingReads, Counters.PagingWrites);
    ConPrint("irps %lld completed %lld mdls %lld\n", Counters.Irps, Counters.IrpsCompleted, Counters.Mdls);
    ConPrint("dma transfers %lld bounced pages %lld mapped frames %lld bounce frames %lld in use %lld waits %lld\n",
             Dma.Transfers, Dma.BouncedPages, Dma.MappedFrames, Dma.BounceFrames, Dma.BounceInUse, Dma.BounceWaits);
}

CONSOLE_COMMAND(IopDevicesEntry, "devices", "", "drivers and their devices", IopDevicesCommand);
CONSOLE_COMMAND(IopStatEntry, "iostat", "", "transfers by device, IRPs, DMA", IopStatCommand);
