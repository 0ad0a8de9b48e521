/*
 * mm_iospace.c - suites mm.iospace and mm.contiguous: device ranges, and memory for devices.
 *
 * Device ranges are ones that no driver of Oriel uses, so that cache types cannot disagree
 * with a live mapping.
 */
#include "mmtest.h"

static const PHYSICAL_ADDRESS Apic = {.QuadPart = 0xFEE00000}; /* the local APIC: device memory on every PC */
static const PHYSICAL_ADDRESS Hole = {.QuadPart = 0xFD000010}; /* below it: no device that Oriel drives lies here */

static VOID IoMapsDevices(PKTAP_CONTEXT Ktap)
{
    MM_EXPOSURE Before, After;
    ULONG64 Bits, Word;
    PUCHAR Address;
    KIRQL Irql;

    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    MmQueryExposure(&Before);
    Address = MmMapIoSpace(Hole, 0x2000, MmNonCached);
    MmQueryExposure(&After);
    KeLowerIrql(Irql);
    KTAP_CHECK(Address != NULL);
    KTAP_EQUAL(BYTE_OFFSET(Address), 0x10);
    Bits = MiPteOf(Address)->Long;
    KTAP_EQUAL(MiPteFrame((MMPTE){.Long = Bits}), 0xFD000);
    KTAP_EQUAL(MiPteFrame(MiPteOf(Address)[2]), 0xFD002);
    KTAP_EQUAL(Bits & (PTE_PCD | PTE_PWT | PTE_NX | PTE_USER), PTE_PCD | PTE_PWT | PTE_NX);
    KTAP_EQUAL(MmGetPhysicalAddress(Address + 0x1234).QuadPart, Hole.QuadPart + 0x1234);
    KTAP_EQUAL(After.Frames[MmRegionSystemPtes], Before.Frames[MmRegionSystemPtes]);
    MmUnmapIoSpace(Address, 0x2000);
    KTAP_CHECK(!MmIsAddressValid(Address));
    KTAP_CHECK(!KiCopyMemoryNoFault(&Word, Address, sizeof(Word)));
    KTAP_EQUAL(MiVerify(), 0);
}

static VOID IoReadsTheApic(PKTAP_CONTEXT Ktap)
{
    volatile ULONG *Registers = MmMapIoSpace(Apic, 0x1000, MmNonCached);
    ULONG Version;

    KTAP_CHECK(Registers != NULL);
    Version = Registers[0x30 / 4];
    MmUnmapIoSpace((PVOID)Registers, 0x1000);
    if ((__readmsr(MSR_APIC_BASE) & 0x400) == 0) { /* in x2APIC mode the page is not decoded */
        KTAP_CHECK((Version & 0xFF) >= 0x10 && (Version & 0xFF) <= 0x15);
    }
}

/* One physical page, one cache type at a time; the same type twice is fine. */
static VOID IoConflictsAreRefused(PKTAP_CONTEXT Ktap)
{
    PVOID First = MmMapIoSpace(Hole, 0x1000, MmWriteCombined), Same, Other;

    KTAP_CHECK(First != NULL);
    KTAP_EQUAL(MiPteOf(First)->Long & (PTE_PCD | PTE_PWT), PTE_PWT);
    Same = MmMapIoSpace(Hole, 0x10, MmWriteCombined);
    Other = MmMapIoSpace(Hole, 0x10, MmNonCached);
    KTAP_CHECK(Same != NULL);
    KTAP_CHECK(Other == NULL);
    MmUnmapIoSpace(First, 0x1000);
    KTAP_CHECK(MmMapIoSpace(Hole, 0x10, MmNonCached) == NULL);
    MmUnmapIoSpace(Same, 0x10);
    Other = MmMapIoSpace(Hole, 0x10, MmNonCached);
    KTAP_CHECK(Other != NULL);
    MmUnmapIoSpace(Other, 0x10);
}

static VOID IoRefusesRam(PKTAP_CONTEXT Ktap)
{
    PFN_FRAME Frame = TestTakeFrame(MI_FRAME_ANY);
    PFN_FRAME Image = MiPteFrame(*MiPteOf((PVOID)MiVerify)), Free;
    PHYSICAL_ADDRESS Address, Zero = {.QuadPart = 0};
    ULONG64 Used = MiSystemPtes.Used;
    KIRQL Irql;

    KTAP_CHECK(Frame != 0);
    Irql = MiLockPfn();
    Free = MiLists[MiListFree].Head;
    MiUnlockPfn(Irql);
    Address.QuadPart = (LONG64)Free * MM_PAGE_SIZE;
    KTAP_CHECK(MmMapIoSpace(Address, 16, MmCached) == NULL);
    Address.QuadPart = (LONG64)Image * MM_PAGE_SIZE;
    KTAP_CHECK(MmMapIoSpace(Address, 16, MmCached) == NULL);
    Address.QuadPart = (LONG64)(MiHighestFrame + 1) * MM_PAGE_SIZE - 16; /* half RAM, half not */
    KTAP_CHECK(MmMapIoSpace(Address, 32, MmNonCached) == NULL);
    KTAP_CHECK(MmMapIoSpace(Zero, 0, MmNonCached) == NULL);
    KTAP_CHECK(MmMapIoSpace(Hole, 16, MmMaximumCacheType) == NULL);
    Address.QuadPart = -4096;
    KTAP_CHECK(MmMapIoSpace(Address, 8192, MmNonCached) == NULL);
    TestGiveFrame(Frame);
    KTAP_EQUAL(MiSystemPtes.Used, Used);
    KTAP_EQUAL(MiVerify(), 0);
}

static const KTAP_CASE_ENTRY IoCases[] = {
    {"maps_devices", IoMapsDevices},
    {"reads_the_apic", IoReadsTheApic},
    {"conflicts_are_refused", IoConflictsAreRefused},
    {"refuses_ram", IoRefusesRam},
};
KTAP_SUITE(MmIoSpaceSuite, "mm.iospace", IoCases);

static VOID ContiguousRun(PKTAP_CONTEXT Ktap)
{
    PHYSICAL_ADDRESS Low = {.QuadPart = 0x100000}, High = {.QuadPart = 0x2FFFFFF}, Boundary = {.QuadPart = 0x10000};
    PHYSICAL_ADDRESS First;
    PUCHAR Memory = MmAllocateContiguousMemorySpecifyCache(15 * MM_PAGE_SIZE, Low, High, Boundary, MmCached);

    KTAP_CHECK(Memory != NULL);
    First = MmGetPhysicalAddress(Memory);
    for (ULONG Offset = 0; Offset < 15 * MM_PAGE_SIZE; Offset += 1000) {
        KTAP_EQUAL(MmGetPhysicalAddress(Memory + Offset).QuadPart, First.QuadPart + Offset);
    }
    KTAP_CHECK(First.QuadPart >= Low.QuadPart && First.QuadPart + 15 * (LONG64)MM_PAGE_SIZE - 1 <= High.QuadPart);
    KTAP_EQUAL(First.QuadPart / 0x10000, (First.QuadPart + 15 * MM_PAGE_SIZE - 1) / 0x10000);
    KTAP_EQUAL(MmGetVirtualForPhysical(First), Memory);
    RtlFillMemory(Memory, 15 * MM_PAGE_SIZE, 0x5A);
    KTAP_EQUAL(MiVerify(), 0);
    MmFreeContiguousMemory(Memory);
    KTAP_CHECK(!MmIsAddressValid(Memory));
    KTAP_CHECK(MmGetVirtualForPhysical(First) == NULL);
    KTAP_EQUAL(MiVerify(), 0);
}

/* Uncached memory, seen again through MmMapIoSpace by its owner: at its own type only, and never freed under it. */
static VOID ContiguousUncached(PKTAP_CONTEXT Ktap)
{
    PHYSICAL_ADDRESS Zero = {.QuadPart = 0}, High = {.QuadPart = 0xFFFFFFFF}, Physical;
    volatile ULONG *Memory = MmAllocateContiguousMemorySpecifyCache(8192, Zero, High, Zero, MmNonCached), *Again;
    PFN_FRAME Frame;

    KTAP_CHECK(Memory != NULL);
    KTAP_EQUAL(MiPteOf((PVOID)Memory)->Long & (PTE_PCD | PTE_PWT), PTE_PCD | PTE_PWT);
    Physical = MmGetPhysicalAddress((PVOID)Memory);
    Frame = (ULONG64)Physical.QuadPart / MM_PAGE_SIZE;
    KTAP_CHECK(MmMapIoSpace(Physical, 8192, MmCached) == NULL);
    Again = MmMapIoSpace(Physical, 8192, MmNonCached);
    KTAP_CHECK(Again != NULL);
    Memory[1500] = 0xC0FFEE;
    KTAP_EQUAL(Again[1500], 0xC0FFEE);
    MmFreeContiguousMemory((PVOID)Memory);
    KTAP_EQUAL(MiPfnState(MiPfn(Frame)), MiTransition);
    KTAP_EQUAL(Again[1500], 0xC0FFEE);
    MmUnmapIoSpace((PVOID)Again, 8192);
    KTAP_EQUAL(MiPfnState(MiPfn(Frame)), MiFree);
    KTAP_EQUAL(MiPfnCacheType(MiPfn(Frame)), MiWriteBack);
    KTAP_EQUAL(MiVerify(), 0);
}

static VOID ContiguousRefusals(PKTAP_CONTEXT Ktap)
{
    PHYSICAL_ADDRESS Zero = {.QuadPart = 0}, Low = {.QuadPart = 0x1000}, High = {.QuadPart = 0xFFFFFF};
    PHYSICAL_ADDRESS Small = {.QuadPart = 0x1000};
    ULONG64 Used = MiNonPagedArea.Used;

    KTAP_CHECK(MmAllocateContiguousMemory(0, High) == NULL);
    KTAP_CHECK(MmAllocateContiguousMemory(17 << 20, High) == NULL); /* more than fits below 16 MB */
    KTAP_CHECK(MmAllocateContiguousMemorySpecifyCache(8192, Zero, High, Small, MmCached) == NULL);
    KTAP_CHECK(MmAllocateContiguousMemorySpecifyCache(4096, High, Low, Zero, MmCached) == NULL);
    KTAP_CHECK(MmAllocateContiguousMemorySpecifyCache(4096, Zero, High, Zero, MmMaximumCacheType) == NULL);
    KTAP_EQUAL(MiNonPagedArea.Used, Used);
    KTAP_EQUAL(MiVerify(), 0);
}

static const KTAP_CASE_ENTRY ContiguousCases[] = {
    {"run", ContiguousRun},
    {"uncached", ContiguousUncached},
    {"refusals", ContiguousRefusals},
};
KTAP_SUITE(MmContiguousSuite, "mm.contiguous", ContiguousCases);
