/*
 * dma.c - suite for DMA adapters: what a device is told of a buffer, and bounce frames where memory lies above 4 GB.
 *
 * The cases take adapters as a driver would and judge the scatter-gather lists against the buffers' own frames; no device
 * moves a byte.
 */
#include <ntos/io.h>
#include <ntos/ke.h>
#include <ntos/ktap.h>

static PSCATTER_GATHER_LIST DmatList;

static VOID NTAPI DmatReady(PDEVICE_OBJECT DeviceObject, PIRP Irp, PSCATTER_GATHER_LIST ScatterGather, PVOID Context)
{
    DmatList = ScatterGather;
}

static PDMA_ADAPTER DmatAdapter(BOOLEAN Reaches64)
{
    DEVICE_DESCRIPTION Description;
    ULONG Registers;

    RtlZeroMemory(&Description, sizeof(Description));
    Description.Version = DEVICE_DESCRIPTION_VERSION;
    Description.Master = TRUE;
    Description.ScatterGather = TRUE;
    Description.Dma32BitAddresses = TRUE;
    Description.Dma64BitAddresses = Reaches64;
    Description.InterfaceType = PCIBus;
    Description.MaximumLength = 0x20000;
    return IoGetDmaAdapter(NULL, &Description, &Registers);
}

static NTSTATUS DmatBuild(PDMA_ADAPTER Adapter, PMDL Mdl, ULONG Offset, ULONG Length, BOOLEAN Write)
{
    static DEVICE_OBJECT Device; /* only its CurrentIrp is looked at */
    NTSTATUS Status;
    KIRQL Irql;

    DmatList = NULL;
    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    Status = Adapter->DmaOperations->GetScatterGatherList(
        Adapter, &Device, Mdl, (PUCHAR)MmGetMdlVirtualAddress(Mdl) + Offset, Length, DmatReady, NULL, Write);
    KeLowerIrql(Irql);
    return Status;
}

static VOID DmatPut(PDMA_ADAPTER Adapter, BOOLEAN Write)
{
    KIRQL Irql;

    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    Adapter->DmaOperations->PutScatterGatherList(Adapter, DmatList, Write);
    KeLowerIrql(Irql);
}

/* A buffer below 4 GB is given to the device as it is: its own addresses, whole length, nothing mapped. */
static VOID DmatDirect(PKTAP_CONTEXT Ktap)
{
    PHYSICAL_ADDRESS Highest = {.QuadPart = 0xFFFFFFFF};
    PUCHAR Buffer = MmAllocateContiguousMemory(4 * PAGE_SIZE, Highest);
    PDMA_ADAPTER Adapter = DmatAdapter(FALSE);
    HAL_DMA_COUNTERS Before, After;
    ULONG64 First = 0, Bytes = 0;
    ULONG Elements = 0;
    PMDL Mdl;

    KTAP_CHECK(Buffer != NULL && Adapter != NULL);
    Mdl = IoAllocateMdl(Buffer, 4 * PAGE_SIZE, FALSE, FALSE, NULL);
    KTAP_CHECK(Mdl != NULL);
    MmBuildMdlForNonPagedPool(Mdl);
    HalQueryDmaCounters(&Before);
    KTAP_EQUAL(DmatBuild(Adapter, Mdl, 512, 3 * PAGE_SIZE, FALSE), STATUS_SUCCESS);
    KTAP_CHECK(DmatList != NULL);
    First = (ULONG64)DmatList->Elements[0].Address.QuadPart;
    Elements = DmatList->NumberOfElements;
    for (ULONG Index = 0; Index < Elements; Index++) {
        Bytes += DmatList->Elements[Index].Length;
    }
    DmatPut(Adapter, FALSE);
    HalQueryDmaCounters(&After);
    KTAP_EQUAL(First, (ULONG64)MmGetPhysicalAddress(Buffer).QuadPart + 512);
    KTAP_EQUAL(Elements, 1); /* contiguous pages are one element */
    KTAP_EQUAL(Bytes, 3 * PAGE_SIZE);
    KTAP_EQUAL(After.MappedFrames, Before.MappedFrames);
    KTAP_EQUAL(After.BouncedPages, Before.BouncedPages);
    IoFreeMdl(Mdl);
    MmFreeContiguousMemory(Buffer);
    Adapter->DmaOperations->PutDmaAdapter(Adapter);
}

/* A transfer longer than the adapter's map registers is refused, and costs nothing. */
static VOID DmatTooLong(PKTAP_CONTEXT Ktap)
{
    PUCHAR Buffer = ExAllocatePoolWithTag(NonPagedPool, 0x40000, 'tamD');
    PDMA_ADAPTER Adapter = DmatAdapter(FALSE);
    NTSTATUS Status;
    PMDL Mdl;

    KTAP_CHECK(Buffer != NULL && Adapter != NULL);
    Mdl = IoAllocateMdl(Buffer, 0x40000, FALSE, FALSE, NULL);
    KTAP_CHECK(Mdl != NULL);
    MmBuildMdlForNonPagedPool(Mdl);
    Status = DmatBuild(Adapter, Mdl, 0, 0x40000, FALSE);
    IoFreeMdl(Mdl);
    ExFreePoolWithTag(Buffer, 'tamD');
    Adapter->DmaOperations->PutDmaAdapter(Adapter);
    KTAP_EQUAL(Status, STATUS_INSUFFICIENT_RESOURCES);
    KTAP_CHECK(DmatList == NULL);
}

/* Frames above 4 GB: the device sees others below, and what it writes there arrives. */
static VOID DmatBounce(PKTAP_CONTEXT Ktap)
{
    PHYSICAL_ADDRESS Low = {.QuadPart = 0x100000000LL}, High = {.QuadPart = -1}, Skip = {.QuadPart = 0};
    PMDL Mdl = MmAllocatePagesForMdl(Low, High, Skip, 2 * PAGE_SIZE);
    PDMA_ADAPTER Adapter = DmatAdapter(FALSE), Wide = DmatAdapter(TRUE);
    HAL_DMA_COUNTERS Before, After;
    BOOLEAN Below = TRUE;
    PUCHAR Data;
    ULONG64 WideFirst;
    ULONG Bad = 0;

    KTAP_CHECK(Adapter != NULL && Wide != NULL);
    if (Mdl == NULL || MmGetMdlByteCount(Mdl) != 2 * PAGE_SIZE) {
        if (Mdl != NULL) {
            MmFreePagesFromMdl(Mdl);
            ExFreePool(Mdl);
        }
        Adapter->DmaOperations->PutDmaAdapter(Adapter);
        Wide->DmaOperations->PutDmaAdapter(Wide);
        Ktap->Skipped = TRUE;
        Ktap->SkipReason = "no memory above 4 GB";
        return;
    }
    HalQueryDmaCounters(&Before);
    Data = MmGetSystemAddressForMdlSafe(Mdl, NormalPagePriority);
    KTAP_CHECK(Data != NULL);
    RtlFillMemory(Data, 2 * PAGE_SIZE, 0x5A);
    KTAP_EQUAL(DmatBuild(Adapter, Mdl, 0, 2 * PAGE_SIZE, TRUE), STATUS_SUCCESS);
    for (ULONG Index = 0; Index < DmatList->NumberOfElements; Index++) {
        Below = Below && (DmatList->Elements[Index].Address.QuadPart >> 32) == 0;
    }
    DmatPut(Adapter, TRUE);
    RtlZeroMemory(Data, 2 * PAGE_SIZE); /* the bounce frames still hold 5A: a read of the same length gets them back */
    KTAP_EQUAL(DmatBuild(Adapter, Mdl, 0, 2 * PAGE_SIZE, FALSE), STATUS_SUCCESS);
    DmatPut(Adapter, FALSE);
    for (ULONG Index = 0; Index < 2 * PAGE_SIZE; Index++) {
        Bad += (Data[Index] != 0x5A) ? 1 : 0;
    }
    KTAP_EQUAL(DmatBuild(Wide, Mdl, 0, 2 * PAGE_SIZE, TRUE), STATUS_SUCCESS);
    WideFirst = (ULONG64)DmatList->Elements[0].Address.QuadPart;
    DmatPut(Wide, TRUE);
    HalQueryDmaCounters(&After);
    MmFreePagesFromMdl(Mdl);
    ExFreePool(Mdl);
    Adapter->DmaOperations->PutDmaAdapter(Adapter);
    Wide->DmaOperations->PutDmaAdapter(Wide);
    KTAP_CHECK(Below);
    KTAP_EQUAL(Bad, 0);
    KTAP_CHECK(WideFirst >= 0x100000000ULL);
    KTAP_EQUAL(After.BouncedPages, Before.BouncedPages + 4);
    KTAP_EQUAL(After.MappedFrames, Before.MappedFrames + 8);
    KTAP_EQUAL(After.BounceInUse, Before.BounceInUse);
}

static const KTAP_CASE_ENTRY DmatCases[] = {
    {"direct", DmatDirect},
    {"too_long", DmatTooLong},
    {"bounce", DmatBounce},
};
KTAP_SUITE(DmatSuite, "io.dma", DmatCases);
