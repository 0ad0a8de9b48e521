/*
 * mm_physical.c - suite mm.physical: views of \Device\PhysicalMemory.
 *
 * Each case maps views into a process of its own through the service, with a handle, as a program of SYSTEM would: pool that is given up while it
 * is seen, page tables of all kinds and free frames, which are refused, and the firmware's ROM, whose cache type the view and drivers have
 * to agree about. MiVerify runs with views alive.
 */
#include "proctest.h"

#define TAG   'yhpT'
#define PAGES 3

static NTSTATUS OpenPhysical(ACCESS_MASK Access, PHANDLE Handle)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\Device\\PhysicalMemory");
    OBJECT_ATTRIBUTES Attributes;

    InitializeObjectAttributes(&Attributes, &Name, OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwOpenSection(Handle, Access, &Attributes);
}

static NTSTATUS MapPhysical(ACCESS_MASK Access, ULONG64 Physical, SIZE_T Bytes, ULONG Protect, PVOID *View)
{
    LARGE_INTEGER Offset = {.QuadPart = (LONGLONG)Physical};
    HANDLE Section;
    NTSTATUS Status = OpenPhysical(Access, &Section);

    *View = NULL;
    if (NT_SUCCESS(Status)) {
        Status = ZwMapViewOfSection(Section, ZwCurrentProcess(), View, 0, 0, &Offset, &Bytes, ViewUnmap, 0, Protect);
        ZwClose(Section);
    }
    return Status;
}

static ULONG64 PhysicalOf(PVOID Address)
{
    return (ULONG64)MmGetPhysicalAddress(Address).QuadPart;
}

static ULONG ReferencesOf(ULONG64 Physical)
{
    return MiPfnReferences(MiPfn(Physical >> PAGE_SHIFT));
}

/* A page of pool: seen, written through the view, and kept by it when the pool gives it up. */
static VOID PhysicalRam(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    ULONG64 *Pool = ExAllocatePoolWithTag(NonPagedPool, PAGE_SIZE, TAG), Value = 0, Physical;
    PVOID View, Reader;

    KTAP_CHECK(Pool != NULL);
    Physical = PhysicalOf(Pool);
    Pool[5] = 0x1234567;
    KTAP_EQUAL(MapPhysical(SECTION_MAP_WRITE | SECTION_MAP_READ, Physical, PAGE_SIZE, PAGE_READWRITE, &View),
               STATUS_SUCCESS);
    KTAP_EQUAL(MapPhysical(SECTION_MAP_READ, Physical, PAGE_SIZE, PAGE_READONLY, &Reader), STATUS_SUCCESS);
    KTAP_EQUAL(ReferencesOf(Physical), 3);
    KTAP_EQUAL(TestRead((PULONG64)View + 5, &Value), STATUS_SUCCESS);
    KTAP_EQUAL(Value, 0x1234567);
    KTAP_EQUAL(TestWrite((PULONG64)View + 6, 77), STATUS_SUCCESS);
    KTAP_EQUAL(Pool[6], 77);
    KTAP_EQUAL(TestWrite((PULONG64)Reader + 6, 78), STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(MiVerify(), 0);
    KTAP_EQUAL(ZwUnmapViewOfSection(ZwCurrentProcess(), View), STATUS_SUCCESS);
    KTAP_EQUAL(ReferencesOf(Physical), 2);
    ExFreePoolWithTag(Pool, TAG);
    KTAP_EQUAL(TestRead((PULONG64)Reader + 5, &Value), STATUS_SUCCESS);
    KTAP_CHECK(MiPfnState(MiPfn(Physical >> PAGE_SHIFT)) != MiFree);
    KTAP_EQUAL(MiVerify(), 0); /* the other view goes with the process */
}

static VOID PhysicalRamCase(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, PhysicalRam);
}

/* No table of any level, of the kernel or a process; no frame that could become one. */
static VOID PhysicalTables(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    SIZE_T Size = PAGE_SIZE;
    PVOID Base = NULL, View;
    ULONG64 Own, Kernel, Root = Process->Pcb.DirectoryTableBase;
    KIRQL Irql;
    ULONG Free;

    KTAP_EQUAL(TestAllocate(&Base, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE), STATUS_SUCCESS);
    KTAP_EQUAL(TestWrite(Base, 1), STATUS_SUCCESS);
    Own = MiPteFrame(*MiPdeOf(Base)) << PAGE_SHIFT;
    Kernel = MiPteFrame(*MiPdeOf((PVOID)MM_SYSTEM_PTE_BASE)) << PAGE_SHIFT;
    KTAP_EQUAL(MapPhysical(SECTION_MAP_READ, Own, PAGE_SIZE, PAGE_READONLY, &View), STATUS_ACCESS_DENIED);
    KTAP_EQUAL(MapPhysical(SECTION_MAP_READ, Kernel, PAGE_SIZE, PAGE_READONLY, &View), STATUS_ACCESS_DENIED);
    KTAP_EQUAL(MapPhysical(SECTION_MAP_READ, Root, PAGE_SIZE, PAGE_READONLY, &View), STATUS_ACCESS_DENIED);
    KTAP_EQUAL(MapPhysical(SECTION_MAP_READ, __readcr3() & PTE_FRAME_MASK, PAGE_SIZE, PAGE_READONLY, &View),
               STATUS_ACCESS_DENIED);
    Irql = MiLockPfn();
    Free = MiLists[MiListFree].Tail; /* the last to be taken */
    MiUnlockPfn(Irql);
    KTAP_CHECK(Free != MI_NO_FRAME32);
    KTAP_EQUAL(MapPhysical(SECTION_MAP_READ, (ULONG64)Free << PAGE_SHIFT, PAGE_SIZE, PAGE_READONLY, &View),
               STATUS_INVALID_ADDRESS);
    KTAP_EQUAL(View, NULL);
}

static VOID PhysicalTablesCase(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, PhysicalTables);
}

/* A page that is no RAM: not cached, or as the driver has it. The firmware's first instruction reads the same both ways. */
static VOID PhysicalDevice(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    PHYSICAL_ADDRESS Rom = {.QuadPart = 0xFFFFF000};
    volatile ULONG64 *Driver = MmMapIoSpace(Rom, PAGE_SIZE, MmNonCached);
    ULONG64 Value = 0;
    PVOID View;

    KTAP_CHECK(Driver != NULL);
    KTAP_EQUAL(MapPhysical(SECTION_MAP_READ, (ULONG64)Rom.QuadPart, PAGE_SIZE, PAGE_READONLY, &View), STATUS_SUCCESS);
    KTAP_EQUAL(MiPteOf(View)->Long & (PTE_PCD | PTE_PWT), MiCacheBits(MiUncached));
    KTAP_EQUAL(TestRead((PUCHAR)View + 0xFF0, &Value), STATUS_SUCCESS);
    KTAP_EQUAL(Value, Driver[0xFF0 / sizeof(ULONG64)]);
    KTAP_CHECK(Value != 0);
    MmUnmapIoSpace((PVOID)Driver, PAGE_SIZE);
    KTAP_EQUAL(MmMapIoSpace(Rom, PAGE_SIZE, MmWriteCombined), NULL); /* the view is there */
    KTAP_EQUAL(ZwUnmapViewOfSection(ZwCurrentProcess(), View), STATUS_SUCCESS);
}

static VOID PhysicalDeviceCase(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, PhysicalDevice);
}

/* What is refused, and how. */
static VOID PhysicalArguments(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    ULONG64 *Pool = ExAllocatePoolWithTag(NonPagedPool, PAGE_SIZE, TAG), Physical = PhysicalOf(Pool);
    PVOID View;

    KTAP_EQUAL(MapPhysical(SECTION_ALL_ACCESS, Physical, PAGE_SIZE, PAGE_EXECUTE_READ, &View),
               STATUS_INVALID_PAGE_PROTECTION);
    KTAP_EQUAL(MapPhysical(SECTION_ALL_ACCESS, Physical, PAGE_SIZE, PAGE_WRITECOPY, &View),
               STATUS_INVALID_PAGE_PROTECTION);
    KTAP_EQUAL(MapPhysical(SECTION_MAP_READ, Physical + 8, PAGE_SIZE, PAGE_READONLY, &View), STATUS_MAPPED_ALIGNMENT);
    KTAP_EQUAL(MapPhysical(SECTION_MAP_READ, Physical, 0, PAGE_READONLY, &View), STATUS_INVALID_VIEW_SIZE);
    KTAP_EQUAL(MapPhysical(SECTION_MAP_READ, 1ULL << 52, PAGE_SIZE, PAGE_READONLY, &View), STATUS_INVALID_VIEW_SIZE);
    KTAP_EQUAL(MapPhysical(SECTION_MAP_READ, (MiHighestFrame << PAGE_SHIFT) + PAGE_SIZE - PAGES * PAGE_SIZE,
                           2 * PAGES * PAGE_SIZE, PAGE_READONLY, &View),
               STATUS_INVALID_ADDRESS); /* RAM, and what follows it */
    ExFreePoolWithTag(Pool, TAG);
}

static VOID PhysicalArgumentsCase(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, PhysicalArguments);
}

static const KTAP_CASE_ENTRY PhysicalCases[] = {
    {"ram", PhysicalRamCase},
    {"tables", PhysicalTablesCase},
    {"device", PhysicalDeviceCase},
    {"arguments", PhysicalArgumentsCase},
};
KTAP_SUITE(MmPhysicalSuite, "mm.physical", PhysicalCases);
