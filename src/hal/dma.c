/*
 * dma.c - DMA adapters: from an MDL to addresses a device can reach.
 *
 * There is no IOMMU: a logical address is a physical one. An adapter that reaches all of memory gets the frames as they are. One with
 * 32 address bits gets a bounce frame below 4 GB (a "map register") for every page above: written data is
 * copied there before the transfer, read data back after it, both through the processor's window, so that no frame is mapped for the
 * transfer's length. Where no RAM lies above 4 GB there are no bounce frames at all and nothing is ever mapped.
 *
 * A transfer (HALP_MAP) is built for GetScatterGatherList, BuildScatterGatherList or AllocateAdapterChannel. It takes all
 * the bounce frames it needs at once, or waits its turn in HalpWaiters (first come, first served) until enough are back.
 * States: waiting -> mapped -> released.
 *
 * Lock: HalpBounceLock (DISPATCH_LEVEL) guards free frames and waiters; drivers are called without it. Everything else
 * belongs to one transfer. Source: WDK documentation of DMA_OPERATIONS.
 */
#include <ntos/hal.h>
#include <ntos/io.h>
#include <ntos/ke.h>
#include "../mm/mip.h"

#define HALP_TAG 'aDlH'

/* 1 MB: four transfers of the 256 KB that a cache view is read in. */
#define HALP_BOUNCE_FRAMES 256U
#define HALP_FIRST_HIGH    0x100000ULL /* frame number of 4 GB */

typedef struct _HALP_ADAPTER {
    DMA_ADAPTER Public; /* first: drivers hold a pointer to it */
    BOOLEAN Reaches64;  /* (c) the device addresses all of memory */
    ULONG MapRegisters; /* (c) the most pages of one transfer */
} HALP_ADAPTER, *PHALP_ADAPTER;

/* One page that goes through a bounce frame. */
typedef struct _HALP_BOUNCE {
    PFN_NUMBER Frame;  /* below 4 GB */
    PFN_NUMBER Target; /* the MDL's frame; 0: not used */
    ULONG Offset;      /* bytes into both */
    ULONG Length;      /* bytes */
} HALP_BOUNCE, *PHALP_BOUNCE;

typedef struct _HALP_MAP {
    LIST_ENTRY Link;               /* (HalpBounceLock) in HalpWaiters */
    PHALP_ADAPTER Adapter;         /* (c) */
    PDEVICE_OBJECT Device;         /* (c) */
    PDRIVER_LIST_CONTROL List;     /* (c) what to call, for a list */
    PDRIVER_CONTROL Channel;       /* (c) what to call, for a channel */
    PVOID Context;                 /* (c) */
    BOOLEAN Write;                 /* (c) memory to device */
    BOOLEAN FromPool;              /* (c) freed on release */
    ULONG Bounces;                 /* (c) entries of Bounce */
    ULONG Used;                    /* channel: entries taken by MapTransfer */
    PHALP_BOUNCE Bounce;           /* (c) */
    PSCATTER_GATHER_LIST Elements; /* (c) NULL for a channel */
} HALP_MAP, *PHALP_MAP;

static KSPIN_LOCK HalpBounceLock;
VF_NAME_LOCK(HalpBounceLock, "HalpBounceLock");
static PFN_NUMBER HalpFree[HALP_BOUNCE_FRAMES]; /* (HalpBounceLock) a stack of bounce frames */
static ULONG HalpFreeCount, HalpTotal;          /* (HalpBounceLock) */
static LIST_ENTRY HalpWaiters = {&HalpWaiters, &HalpWaiters};
static volatile LONG HalpBounceState; /* interlocked: 0 not made, 1 being made, 2 made or not needed */

static volatile LONG64 HalpTransfers, HalpBouncedPages, HalpMappedFrames, HalpWaits;

VOID HalQueryDmaCounters(PHAL_DMA_COUNTERS Counters)
{
    Counters->Transfers = HalpTransfers;
    Counters->BouncedPages = HalpBouncedPages;
    Counters->MappedFrames = HalpMappedFrames;
    Counters->BounceWaits = HalpWaits;
    Counters->BounceFrames = HalpTotal;
    Counters->BounceInUse = HalpTotal - HalpFreeCount;
}

/* ---- Bounce frames ---- */

static BOOLEAN HalpHasHighMemory(VOID)
{
    PPHYSICAL_MEMORY_RANGE Ranges = MmGetPhysicalMemoryRanges();
    BOOLEAN High = FALSE;

    if (Ranges == NULL) {
        return TRUE; /* cannot tell: be safe */
    }
    for (PPHYSICAL_MEMORY_RANGE Range = Ranges; Range->NumberOfBytes.QuadPart != 0; Range++) {
        High = High ||
               ((ULONG64)(Range->BaseAddress.QuadPart + Range->NumberOfBytes.QuadPart) >> PAGE_SHIFT) > HALP_FIRST_HIGH;
    }
    ExFreePool(Ranges);
    return High;
}

/* Takes frames below 4 GB for good. PASSIVE_LEVEL. */
static NTSTATUS HalpMakeBounceFrames(VOID)
{
    PHYSICAL_ADDRESS Low = {.QuadPart = 0}, High = {.QuadPart = 0xFFFFFFFF};
    PMDL Mdl = MmAllocatePagesForMdl(Low, High, Low, HALP_BOUNCE_FRAMES * PAGE_SIZE);
    ULONG Pages;
    KIRQL Irql;

    if (Mdl == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Pages = MmGetMdlByteCount(Mdl) / PAGE_SIZE;
    KeAcquireSpinLock(&HalpBounceLock, &Irql);
    for (ULONG Index = 0; Index < Pages; Index++) {
        HalpFree[HalpFreeCount++] = MmGetMdlPfnArray(Mdl)[Index];
    }
    HalpTotal = HalpFreeCount;
    KeReleaseSpinLock(&HalpBounceLock, Irql);
    ExFreePool(Mdl); /* the frames stay ours: MmFreePagesFromMdl is never called */
    return STATUS_SUCCESS;
}

/* Bounce frames exist, if this machine needs any. The first caller makes them, others wait for it. PASSIVE_LEVEL. */
static NTSTATUS HalpNeedBounceFrames(VOID)
{
    LARGE_INTEGER Pause = {.QuadPart = -10000}; /* 1 ms */
    NTSTATUS Status = STATUS_SUCCESS;
    LONG State;

    while ((State = InterlockedCompareExchange(&HalpBounceState, 1, 0)) == 1) {
        KeDelayExecutionThread(KernelMode, FALSE, &Pause);
    }
    if (State == 0) {
        Status = HalpHasHighMemory() ? HalpMakeBounceFrames() : STATUS_SUCCESS;
        InterlockedExchange(&HalpBounceState, NT_SUCCESS(Status) ? 2 : 0);
    }
    return Status;
}

static BOOLEAN HalpMustBounce(PHALP_ADAPTER Adapter, PFN_NUMBER Frame)
{
    return !Adapter->Reaches64 && Frame >= HALP_FIRST_HIGH;
}

/* Copies one page's part between the bounce frame and its target. IRQL: DISPATCH_LEVEL. */
static VOID HalpCopyBounce(const HALP_BOUNCE *Bounce, BOOLEAN ToBounce)
{
    PUCHAR Low = MiMapFrame(Bounce->Frame, MiWriteBack);
    PUCHAR Target = MiMapFrame(Bounce->Target, MiWriteBack);

    if (ToBounce) {
        RtlCopyMemory(Low + Bounce->Offset, Target + Bounce->Offset, Bounce->Length);
    } else {
        RtlCopyMemory(Target + Bounce->Offset, Low + Bounce->Offset, Bounce->Length);
    }
    MiUnmapFrame(Target);
    MiUnmapFrame(Low);
    InterlockedExchangeAdd64(&HalpMappedFrames, 2);
}

/* ---- Building ---- */

/* Pages of a range that need a bounce frame. */
static ULONG HalpCountBounces(PHALP_ADAPTER Adapter, PMDL Mdl, PVOID CurrentVa, ULONG Length)
{
    PPFN_NUMBER Frames = MmGetMdlPfnArray(Mdl) + (((ULONG_PTR)CurrentVa - (ULONG_PTR)Mdl->StartVa) >> PAGE_SHIFT);
    ULONG Pages = (ULONG)ADDRESS_AND_SIZE_TO_SPAN_PAGES(CurrentVa, Length), Count = 0;

    for (ULONG Page = 0; Page < Pages; Page++) {
        Count += HalpMustBounce(Adapter, Frames[Page]) ? 1 : 0;
    }
    return Count;
}

/* Adds bytes at a physical address to a list, to the last element if they follow it. */
static VOID HalpAddElement(PSCATTER_GATHER_LIST List, ULONG64 Address, ULONG Length)
{
    PSCATTER_GATHER_ELEMENT Last = &List->Elements[List->NumberOfElements];

    if (List->NumberOfElements != 0 && (ULONG64)Last[-1].Address.QuadPart + Last[-1].Length == Address) {
        Last[-1].Length += Length;
        return;
    }
    Last->Address.QuadPart = (LONGLONG)Address;
    Last->Length = Length;
    Last->Reserved = 0;
    List->NumberOfElements++;
}

/* Fills the list from the MDL's frames; bounce entries get their targets, their frames come later. */
static VOID HalpFillTargets(PHALP_MAP Map, PMDL Mdl, PVOID CurrentVa, ULONG Length)
{
    PPFN_NUMBER Frames = MmGetMdlPfnArray(Mdl) + (((ULONG_PTR)CurrentVa - (ULONG_PTR)Mdl->StartVa) >> PAGE_SHIFT);
    ULONG Offset = BYTE_OFFSET(CurrentVa), Bounce = 0;

    for (; Length != 0; Frames++, Offset = 0) {
        ULONG Part = min(Length, PAGE_SIZE - Offset);

        if (HalpMustBounce(Map->Adapter, *Frames)) {
            Map->Bounce[Bounce].Target = *Frames;
            Map->Bounce[Bounce].Offset = Offset;
            Map->Bounce[Bounce].Length = Part;
            /* An address no frame has marks the element; HalpPlaceBounces replaces it. Elements of it are never merged. */
            Map->Elements->Elements[Map->Elements->NumberOfElements].Address.QuadPart = -1;
            Map->Elements->Elements[Map->Elements->NumberOfElements].Length = Part;
            Map->Elements->Elements[Map->Elements->NumberOfElements].Reserved = Bounce++;
            Map->Elements->NumberOfElements++;
        } else {
            HalpAddElement(Map->Elements, ((ULONG64)*Frames << PAGE_SHIFT) + Offset, Part);
        }
        Length -= Part;
    }
}

/* The bounce frames are there: puts their addresses into the list and, for a write, the data into them. DISPATCH_LEVEL. */
static VOID HalpPlaceBounces(PHALP_MAP Map)
{
    for (ULONG Index = 0; Map->Bounces != 0 && Index < Map->Elements->NumberOfElements; Index++) {
        PSCATTER_GATHER_ELEMENT Element = &Map->Elements->Elements[Index];
        PHALP_BOUNCE Bounce;

        if (Element->Address.QuadPart != -1) {
            continue;
        }
        Bounce = &Map->Bounce[Element->Reserved];
        Element->Address.QuadPart = ((LONGLONG)Bounce->Frame << PAGE_SHIFT) + Bounce->Offset;
        Element->Reserved = 0;
        if (Map->Write) {
            HalpCopyBounce(Bounce, TRUE);
        }
    }
    InterlockedExchangeAdd64(&HalpBouncedPages, Map->Bounces);
}

/* ---- Running and releasing ---- */

/* Takes the frames a transfer needs; FALSE: not enough. Lock held. */
static BOOLEAN HalpTakeFrames(PHALP_MAP Map)
{
    if (HalpFreeCount < Map->Bounces) {
        return FALSE;
    }
    for (ULONG Index = 0; Index < Map->Bounces; Index++) {
        Map->Bounce[Index].Frame = HalpFree[--HalpFreeCount];
    }
    return TRUE;
}

static VOID HalpRelease(PHALP_MAP Map);

/* Calls the driver with what it asked for. IRQL: DISPATCH_LEVEL, no lock. */
static VOID HalpRun(PHALP_MAP Map)
{
    InterlockedIncrement64(&HalpTransfers);
    if (Map->Elements != NULL) {
        HalpPlaceBounces(Map);
        Map->List(Map->Device, Map->Device->CurrentIrp, Map->Elements, Map->Context);
    } else if (Map->Channel(Map->Device, Map->Device->CurrentIrp, Map, Map->Context) == DeallocateObject) {
        HalpRelease(Map);
    }
}

/* Runs the transfer now or, if frames are short or others wait, later. IRQL: DISPATCH_LEVEL. */
static VOID HalpStart(PHALP_MAP Map)
{
    BOOLEAN Now = TRUE;

    if (Map->Bounces != 0) {
        KeAcquireSpinLockAtDpcLevel(&HalpBounceLock);
        Now = IsListEmpty(&HalpWaiters) && HalpTakeFrames(Map);
        if (!Now) {
            InsertTailList(&HalpWaiters, &Map->Link);
        }
        KeReleaseSpinLockFromDpcLevel(&HalpBounceLock);
    }
    if (Now) {
        HalpRun(Map);
    } else {
        InterlockedIncrement64(&HalpWaits);
    }
}

/* Gives frames back and frees the transfer; those that waited run now. IRQL: DISPATCH_LEVEL. */
static VOID HalpRelease(PHALP_MAP Map)
{
    PHALP_MAP Next;

    KeAcquireSpinLockAtDpcLevel(&HalpBounceLock);
    for (ULONG Index = 0; Index < Map->Bounces; Index++) {
        HalpFree[HalpFreeCount++] = Map->Bounce[Index].Frame;
    }
    KeReleaseSpinLockFromDpcLevel(&HalpBounceLock);
    if (Map->FromPool) {
        ExFreePoolWithTag(Map, HALP_TAG);
    }
    for (;;) {
        Next = NULL;
        KeAcquireSpinLockAtDpcLevel(&HalpBounceLock);
        if (!IsListEmpty(&HalpWaiters)) {
            Next = CONTAINING_RECORD(HalpWaiters.Flink, HALP_MAP, Link);
            if (HalpTakeFrames(Next)) {
                RemoveEntryList(&Next->Link);
            } else {
                Next = NULL;
            }
        }
        KeReleaseSpinLockFromDpcLevel(&HalpBounceLock);
        if (Next == NULL) {
            return;
        }
        HalpRun(Next);
    }
}

/* Bytes of a transfer's block: itself, its bounce entries, its list. */
static ULONG HalpMapBytes(ULONG Bounces, ULONG Elements)
{
    return sizeof(HALP_MAP) + Bounces * sizeof(HALP_BOUNCE) +
           ((Elements == 0) ? 0
                            : FIELD_OFFSET(SCATTER_GATHER_LIST, Elements) + Elements * sizeof(SCATTER_GATHER_ELEMENT));
}

/* Lays a transfer out in Memory. */
static PHALP_MAP HalpLayOut(PVOID Memory, PHALP_ADAPTER Adapter, PDEVICE_OBJECT Device, ULONG Bounces, ULONG Elements)
{
    PHALP_MAP Map = Memory;

    RtlZeroMemory(Map, HalpMapBytes(Bounces, Elements));
    Map->Adapter = Adapter;
    Map->Device = Device;
    Map->Bounces = Bounces;
    Map->Bounce = (PHALP_BOUNCE)(Map + 1);
    if (Elements != 0) {
        Map->Elements = (PSCATTER_GATHER_LIST)(Map->Bounce + Bounces);
        Map->Elements->Reserved = (ULONG_PTR)Map;
    }
    return Map;
}

/* ---- DMA_OPERATIONS ---- */

static VOID NTAPI HalpPutDmaAdapter(PDMA_ADAPTER DmaAdapter)
{
    ExFreePoolWithTag(DmaAdapter, HALP_TAG);
}

static PVOID NTAPI HalpAllocateCommonBuffer(PDMA_ADAPTER DmaAdapter, ULONG Length, PPHYSICAL_ADDRESS LogicalAddress,
                                            BOOLEAN CacheEnabled)
{
    PHYSICAL_ADDRESS Low = {.QuadPart = 0}, High = {.QuadPart = 0xFFFFFFFF}, Boundary = {.QuadPart = 0};
    PVOID Buffer;

    UNREFERENCED_PARAMETER(CacheEnabled); /* DMA is coherent with the caches on this platform */
    if (((PHALP_ADAPTER)DmaAdapter)->Reaches64) {
        High.QuadPart = -1;
    }
    Buffer = MmAllocateContiguousMemorySpecifyCache(Length, Low, High, Boundary, MmCached);
    if (Buffer != NULL) {
        *LogicalAddress = MmGetPhysicalAddress(Buffer);
    }
    return Buffer;
}

static VOID NTAPI HalpFreeCommonBuffer(PDMA_ADAPTER DmaAdapter, ULONG Length, PHYSICAL_ADDRESS LogicalAddress,
                                       PVOID VirtualAddress, BOOLEAN CacheEnabled)
{
    UNREFERENCED_PARAMETER(DmaAdapter);
    UNREFERENCED_PARAMETER(LogicalAddress);
    UNREFERENCED_PARAMETER(CacheEnabled);
    MmFreeContiguousMemorySpecifyCache(VirtualAddress, Length, MmCached);
}

static NTSTATUS NTAPI HalpCalculateListSize(PDMA_ADAPTER DmaAdapter, PMDL Mdl, PVOID CurrentVa, ULONG Length,
                                            PULONG ScatterGatherListSize, PULONG NumberOfMapRegisters)
{
    ULONG Pages;

    UNREFERENCED_PARAMETER(DmaAdapter);
    /* The MDL may not be locked yet, so its frames do not count: room for a bounce of every page. */
    Pages = (ULONG)ADDRESS_AND_SIZE_TO_SPAN_PAGES((Mdl != NULL) ? CurrentVa : NULL, Length) + ((Mdl != NULL) ? 0 : 1);
    *ScatterGatherListSize = HalpMapBytes(Pages, Pages);
    if (NumberOfMapRegisters != NULL) {
        *NumberOfMapRegisters = Pages;
    }
    return STATUS_SUCCESS;
}

/* Common part of the two list builders; Memory NULL: from pool. */
static NTSTATUS HalpBuildList(PDMA_ADAPTER DmaAdapter, PDEVICE_OBJECT DeviceObject, PMDL Mdl, PVOID CurrentVa,
                              ULONG Length, PDRIVER_LIST_CONTROL ExecutionRoutine, PVOID Context, BOOLEAN WriteToDevice,
                              PVOID Memory, ULONG MemoryLength)
{
    PHALP_ADAPTER Adapter = (PHALP_ADAPTER)DmaAdapter;
    ULONG Pages = (ULONG)ADDRESS_AND_SIZE_TO_SPAN_PAGES(CurrentVa, Length);
    ULONG Bounces = HalpCountBounces(Adapter, Mdl, CurrentVa, Length), Bytes = HalpMapBytes(Bounces, Pages);
    PHALP_MAP Map;

    ASSERT_IRQL(DISPATCH_LEVEL);
    if (Pages > Adapter->MapRegisters || Bounces > HalpTotal) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    if (Memory != NULL && MemoryLength < Bytes) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    Map = (Memory != NULL) ? Memory : ExAllocatePoolWithTag(NonPagedPool, Bytes, HALP_TAG);
    if (Map == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    HalpLayOut(Map, Adapter, DeviceObject, Bounces, Pages);
    Map->FromPool = (Memory == NULL);
    Map->List = ExecutionRoutine;
    Map->Context = Context;
    Map->Write = WriteToDevice;
    HalpFillTargets(Map, Mdl, CurrentVa, Length);
    HalpStart(Map);
    return STATUS_SUCCESS;
}

static NTSTATUS NTAPI HalpGetScatterGatherList(PDMA_ADAPTER DmaAdapter, PDEVICE_OBJECT DeviceObject, PMDL Mdl,
                                               PVOID CurrentVa, ULONG Length, PDRIVER_LIST_CONTROL ExecutionRoutine,
                                               PVOID Context, BOOLEAN WriteToDevice)
{
    return HalpBuildList(DmaAdapter, DeviceObject, Mdl, CurrentVa, Length, ExecutionRoutine, Context, WriteToDevice,
                         NULL, 0);
}

static NTSTATUS NTAPI HalpBuildScatterGatherList(PDMA_ADAPTER DmaAdapter, PDEVICE_OBJECT DeviceObject, PMDL Mdl,
                                                 PVOID CurrentVa, ULONG Length, PDRIVER_LIST_CONTROL ExecutionRoutine,
                                                 PVOID Context, BOOLEAN WriteToDevice, PVOID ScatterGatherBuffer,
                                                 ULONG ScatterGatherLength)
{
    return HalpBuildList(DmaAdapter, DeviceObject, Mdl, CurrentVa, Length, ExecutionRoutine, Context, WriteToDevice,
                         ScatterGatherBuffer, ScatterGatherLength);
}

static VOID NTAPI HalpPutScatterGatherList(PDMA_ADAPTER DmaAdapter, PSCATTER_GATHER_LIST ScatterGather,
                                           BOOLEAN WriteToDevice)
{
    PHALP_MAP Map = (PHALP_MAP)ScatterGather->Reserved;

    ASSERT_IRQL(DISPATCH_LEVEL);
    UNREFERENCED_PARAMETER(DmaAdapter);
    ASSERT(Map->Write == WriteToDevice);
    for (ULONG Index = 0; !WriteToDevice && Index < Map->Bounces; Index++) {
        HalpCopyBounce(&Map->Bounce[Index], FALSE);
    }
    HalpRelease(Map);
}

static NTSTATUS NTAPI HalpAllocateAdapterChannel(PDMA_ADAPTER DmaAdapter, PDEVICE_OBJECT DeviceObject,
                                                 ULONG NumberOfMapRegisters, PDRIVER_CONTROL ExecutionRoutine,
                                                 PVOID Context)
{
    PHALP_ADAPTER Adapter = (PHALP_ADAPTER)DmaAdapter;
    ULONG Bounces = (Adapter->Reaches64 || HalpTotal == 0) ? 0 : NumberOfMapRegisters;
    PHALP_MAP Map;

    ASSERT_IRQL(DISPATCH_LEVEL);
    if (NumberOfMapRegisters > Adapter->MapRegisters || Bounces > HalpTotal) {
        return STATUS_INSUFFICIENT_RESOURCES; /* it would wait for ever */
    }
    Map = ExAllocatePoolWithTag(NonPagedPool, HalpMapBytes(Bounces, 0), HALP_TAG);
    if (Map == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    HalpLayOut(Map, Adapter, DeviceObject, Bounces, 0);
    Map->FromPool = TRUE;
    Map->Channel = ExecutionRoutine;
    Map->Context = Context;
    HalpStart(Map);
    return STATUS_SUCCESS;
}

static VOID NTAPI HalpFreeAdapterChannel(PDMA_ADAPTER DmaAdapter)
{
    UNREFERENCED_PARAMETER(DmaAdapter); /* bus masters share no channel */
}

static VOID NTAPI HalpFreeMapRegisters(PDMA_ADAPTER DmaAdapter, PVOID MapRegisterBase, ULONG NumberOfMapRegisters)
{
    UNREFERENCED_PARAMETER(DmaAdapter);
    UNREFERENCED_PARAMETER(NumberOfMapRegisters);
    HalpRelease(MapRegisterBase);
}

/* The longest run from CurrentVa that is contiguous for the device; *Length falls to it. */
static PHYSICAL_ADDRESS NTAPI HalpMapTransfer(PDMA_ADAPTER DmaAdapter, PMDL Mdl, PVOID MapRegisterBase, PVOID CurrentVa,
                                              PULONG Length, BOOLEAN WriteToDevice)
{
    PHALP_MAP Map = MapRegisterBase;
    PPFN_NUMBER Frames = MmGetMdlPfnArray(Mdl) + (((ULONG_PTR)CurrentVa - (ULONG_PTR)Mdl->StartVa) >> PAGE_SHIFT);
    ULONG Offset = BYTE_OFFSET(CurrentVa), Done = min(*Length, PAGE_SIZE - Offset);
    PHYSICAL_ADDRESS Address;

    if (HalpMustBounce((PHALP_ADAPTER)DmaAdapter, *Frames)) {
        PHALP_BOUNCE Bounce = &Map->Bounce[Map->Used++];

        ASSERT(Map->Used <= Map->Bounces);
        Bounce->Target = *Frames;
        Bounce->Offset = Offset;
        Bounce->Length = Done;
        if (WriteToDevice) {
            HalpCopyBounce(Bounce, TRUE);
        }
        InterlockedIncrement64(&HalpBouncedPages);
        Address.QuadPart = ((LONGLONG)Bounce->Frame << PAGE_SHIFT) + Offset;
        *Length = Done;
        return Address;
    }
    Address.QuadPart = ((LONGLONG)*Frames << PAGE_SHIFT) + Offset;
    while (Done < *Length && Frames[1] == Frames[0] + 1 && !HalpMustBounce((PHALP_ADAPTER)DmaAdapter, Frames[1])) {
        Done = min(*Length, Done + PAGE_SIZE);
        Frames++;
    }
    *Length = Done;
    return Address;
}

static BOOLEAN NTAPI HalpFlushAdapterBuffers(PDMA_ADAPTER DmaAdapter, PMDL Mdl, PVOID MapRegisterBase, PVOID CurrentVa,
                                             ULONG Length, BOOLEAN WriteToDevice)
{
    PHALP_MAP Map = MapRegisterBase;

    UNREFERENCED_PARAMETER(DmaAdapter);
    UNREFERENCED_PARAMETER(Mdl);
    UNREFERENCED_PARAMETER(CurrentVa);
    UNREFERENCED_PARAMETER(Length);
    for (ULONG Index = 0; Index < Map->Used; Index++) {
        if (!WriteToDevice) {
            HalpCopyBounce(&Map->Bounce[Index], FALSE);
        }
        Map->Bounce[Index].Target = 0;
    }
    Map->Used = 0;
    return TRUE;
}

static ULONG NTAPI HalpGetDmaAlignment(PDMA_ADAPTER DmaAdapter)
{
    UNREFERENCED_PARAMETER(DmaAdapter);
    return 1;
}

static ULONG NTAPI HalpReadDmaCounter(PDMA_ADAPTER DmaAdapter)
{
    UNREFERENCED_PARAMETER(DmaAdapter);
    return 0; /* system DMA channels only; there are none */
}

static DMA_OPERATIONS HalpDmaOperations = {
    .Size = sizeof(DMA_OPERATIONS),
    .PutDmaAdapter = HalpPutDmaAdapter,
    .AllocateCommonBuffer = HalpAllocateCommonBuffer,
    .FreeCommonBuffer = HalpFreeCommonBuffer,
    .AllocateAdapterChannel = HalpAllocateAdapterChannel,
    .FlushAdapterBuffers = HalpFlushAdapterBuffers,
    .FreeAdapterChannel = HalpFreeAdapterChannel,
    .FreeMapRegisters = HalpFreeMapRegisters,
    .MapTransfer = HalpMapTransfer,
    .GetDmaAlignment = HalpGetDmaAlignment,
    .ReadDmaCounter = HalpReadDmaCounter,
    .GetScatterGatherList = HalpGetScatterGatherList,
    .PutScatterGatherList = HalpPutScatterGatherList,
    .CalculateScatterGatherList = HalpCalculateListSize,
    .BuildScatterGatherList = HalpBuildScatterGatherList,
};

/**
 * IoGetDmaAdapter - the DMA operations for a bus-master device.
 *
 * @DeviceDescription     Master must be set; Dma64BitAddresses: the device reaches all of memory
 * @NumberOfMapRegisters  gets the most pages one transfer may have
 * returns                the adapter (PutDmaAdapter frees it), NULL: no memory, or a device that is no bus master
 *
 * IRQL: PASSIVE_LEVEL.
 */
PDMA_ADAPTER NTAPI IoGetDmaAdapter(PDEVICE_OBJECT PhysicalDeviceObject, PDEVICE_DESCRIPTION DeviceDescription,
                                   PULONG NumberOfMapRegisters)
{
    PHALP_ADAPTER Adapter;

    ASSERT_IRQL(PASSIVE_LEVEL);
    UNREFERENCED_PARAMETER(PhysicalDeviceObject);
    if (!DeviceDescription->Master) {
        return NULL;
    }
    if (!DeviceDescription->Dma64BitAddresses && !NT_SUCCESS(HalpNeedBounceFrames())) {
        return NULL;
    }
    Adapter = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Adapter), HALP_TAG);
    if (Adapter == NULL) {
        return NULL;
    }
    RtlZeroMemory(Adapter, sizeof(*Adapter));
    Adapter->Public.Version = 1;
    Adapter->Public.Size = sizeof(*Adapter);
    Adapter->Public.DmaOperations = &HalpDmaOperations;
    Adapter->Reaches64 = DeviceDescription->Dma64BitAddresses;
    Adapter->MapRegisters =
        (ULONG)min(BYTES_TO_PAGES((ULONG64)DeviceDescription->MaximumLength) + 1, HALP_BOUNCE_FRAMES);
    *NumberOfMapRegisters = Adapter->MapRegisters;
    return &Adapter->Public;
}

PADAPTER_OBJECT NTAPI HalGetAdapter(PDEVICE_DESCRIPTION DeviceDescription, PULONG NumberOfMapRegisters)
{
    return (PADAPTER_OBJECT)IoGetDmaAdapter(NULL, DeviceDescription, NumberOfMapRegisters);
}
