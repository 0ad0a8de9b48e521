/*
 * iospace.c - MmMapIoSpace: physical ranges outside RAM, visible while a driver wants them.
 *
 * RAM is refused, with two exceptions that the caller owns: memory that the loader left for the kernel to read (ACPI
 * tables), until MmFreeLoaderMemory, and frames of contiguous allocations, at their own cache type. A reference on each such
 * frame keeps it from being freed under the mapping.
 *
 * One physical page has one cache type at a time: a mapping whose type differs from that of a live mapping it overlaps is
 * refused (views of \Device\PhysicalMemory are in the list too), because the processor's behaviour would be undefined (SDM 3A 11.12.4). The live mappings are a
 * list, short (tens) and walked under MiIoLock (DISPATCH_LEVEL, outside the range, PFN and TLB locks).
 */
#include "../frameuse.h"
#include "../range.h"

#define MI_TAG_IO     'oImM'
#define MI_VIEW_BATCH 64u /* frames under one hold of the PFN lock */

typedef struct _MI_IO_MAP {
    LIST_ENTRY Link; /* (i) MiIoLock */
    PFN_FRAME First; /* (c) */
    ULONG64 Pages;   /* (c) */
    PUCHAR Address;  /* (c) first page */
    MI_CACHE_TYPE CacheType;
    BOOLEAN Ram; /* (c) holds a reference on each frame */
} MI_IO_MAP, *PMI_IO_MAP;

static LIST_ENTRY MiIoMaps = {&MiIoMaps, &MiIoMaps};
static KSPIN_LOCK MiIoLock;
VF_NAME_LOCK(MiIoLock, "MiIoLock");

BOOLEAN MiCacheTypeOf(MEMORY_CACHING_TYPE Type, MI_CACHE_TYPE *CacheType)
{
    switch ((LONG)Type) {
    case MmCached:
    case MmHardwareCoherentCached:
        *CacheType = MiWriteBack;
        return TRUE;
    case MmWriteCombined:
    case MmUSWCCached:
        *CacheType = MiWriteCombined;
        return TRUE;
    case MmNonCached:
    case MmNonCachedUnordered:
        *CacheType = MiUncached;
        return TRUE;
    default:
        return FALSE;
    }
}

/* ---- Views of \Device\PhysicalMemory (physsect.c) ---- */

/*
 * A device's page keeps the type that it is mapped with already; without one it is not cached. Entered in the list, so that no
 * driver maps it otherwise meanwhile. FALSE: parts of it have different types.
 */
static BOOLEAN MiEnterDeviceView(PMI_IO_MAP Map)
{
    ULONG Types = 0;
    KIRQL Irql;

    KeAcquireSpinLock(&MiIoLock, &Irql);
    Map->CacheType = MiUncached;
    for (PLIST_ENTRY Link = MiIoMaps.Flink; Link != &MiIoMaps; Link = Link->Flink) {
        PMI_IO_MAP Other = CONTAINING_RECORD(Link, MI_IO_MAP, Link);

        if (Other->First < Map->First + Map->Pages && Map->First < Other->First + Other->Pages) {
            Types |= 1u << Other->CacheType;
            Map->CacheType = Other->CacheType;
        }
    }
    if ((Types & (Types - 1)) == 0) {
        InsertHeadList(&MiIoMaps, &Map->Link);
    }
    KeReleaseSpinLock(&MiIoLock, Irql);
    return (Types & (Types - 1)) == 0;
}

/* A program may look at a frame that somebody owns, but never at a page table. PFN lock. */
static NTSTATUS MiReferenceForView(PFN_FRAME Frame)
{
    PCONTROL_AREA File;

    if (MiPfnState(MiPfn(Frame)) != MiActive || MiPfnIsDeleted(MiPfn(Frame))) {
        return STATUS_INVALID_ADDRESS;
    }
    if (MiFrameUse(Frame, &File) == MiUsePageTable) {
        return STATUS_ACCESS_DENIED;
    }
    return MiIncrementReferenceCount(Frame) ? STATUS_SUCCESS : STATUS_WORKING_SET_QUOTA;
}

static VOID MiDropViewReferences(PFN_FRAME First, ULONG64 Pages)
{
    for (ULONG64 Done = 0; Done < Pages;) {
        KIRQL Irql = MiLockPfn();

        for (ULONG Batch = 0; Batch < MI_VIEW_BATCH && Done < Pages; Batch++) {
            MiDecrementReferenceCount(First + Done++);
        }
        MiUnlockPfn(Irql);
    }
}

static NTSTATUS MiReferenceView(PMI_IO_MAP Map)
{
    NTSTATUS Status = STATUS_SUCCESS;
    ULONG64 Done = 0;

    while (Done < Map->Pages && NT_SUCCESS(Status)) {
        KIRQL Irql = MiLockPfn();

        for (ULONG Batch = 0; Batch < MI_VIEW_BATCH && Done < Map->Pages && NT_SUCCESS(Status); Batch++) {
            Status = MiReferenceForView(Map->First + Done);
            Done += NT_SUCCESS(Status);
        }
        MiUnlockPfn(Irql);
    }
    if (!NT_SUCCESS(Status)) {
        MiDropViewReferences(Map->First, Done);
    }
    return Status;
}

NTSTATUS MiClaimPhysicalView(PFN_FRAME First, ULONG64 Pages, MI_CACHE_TYPE *DeviceType, PVOID *Claim)
{
    PMI_IO_MAP Map = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Map), MI_TAG_IO);
    ULONG64 Ram = 0;
    NTSTATUS Status;

    if (Map == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    for (ULONG64 Index = 0; Index < Pages; Index++) {
        Ram += MiIsRamFrame(First + Index);
    }
    *Map = (MI_IO_MAP){.First = First, .Pages = Pages, .Ram = Ram != 0};
    if (Ram == Pages) {
        Status = MiReferenceView(Map);
    } else {
        Status = Ram == 0 && MiEnterDeviceView(Map) ? STATUS_SUCCESS : STATUS_INVALID_ADDRESS;
    }
    if (!NT_SUCCESS(Status)) {
        ExFreePoolWithTag(Map, MI_TAG_IO);
        return Status;
    }
    *DeviceType = Map->CacheType;
    *Claim = Map;
    return STATUS_SUCCESS;
}

VOID MiReleasePhysicalView(PVOID Claim)
{
    PMI_IO_MAP Map = Claim;
    KIRQL Irql;

    if (Map->Ram) {
        MiDropViewReferences(Map->First, Map->Pages);
    } else {
        KeAcquireSpinLock(&MiIoLock, &Irql);
        RemoveEntryList(&Map->Link);
        KeReleaseSpinLock(&MiIoLock, Irql);
    }
    ExFreePoolWithTag(Map, MI_TAG_IO);
}

/* ---- I/O space ---- */

/* May this RAM frame be seen through an I/O map of this type? Locks: PFN lock. */
static BOOLEAN MiMayMapRam(PFN_FRAME Frame, MI_CACHE_TYPE CacheType)
{
    PMMPFN Pfn = MiPfn(Frame);
    ULONG64 Owner = (ULONG64)MiPfnPteAddress(Pfn);

    if (MiPfnState(Pfn) != MiActive || MiPfnCacheType(Pfn) != (ULONG)CacheType) {
        return FALSE;
    }
    return Owner == 0 || (Owner >= (ULONG64)MiPteOf(MiNonPagedArea.Base) &&
                          Owner < (ULONG64)MiPteOf(MiNonPagedArea.Base + MiNonPagedArea.Maximum * MM_PAGE_SIZE));
}

/* All of the range, or nothing: TRUE if none of it is RAM, or all is and may be mapped (then referenced). */
static BOOLEAN MiClaimFrames(PMI_IO_MAP Map)
{
    ULONG64 Ram = 0;
    BOOLEAN Allowed = TRUE;
    KIRQL Irql;

    for (ULONG64 Index = 0; Index < Map->Pages; Index++) {
        Ram += MiIsRamFrame(Map->First + Index);
    }
    Map->Ram = Ram != 0;
    if (Ram == 0 || Ram != Map->Pages) {
        return Ram == 0;
    }
    Irql = MiLockPfn();
    for (ULONG64 Index = 0; Index < Map->Pages && Allowed; Index++) {
        Allowed = MiMayMapRam(Map->First + Index, Map->CacheType) && MiIncrementReferenceCount(Map->First + Index);
        if (!Allowed) {
            while (Index-- != 0) {
                MiDecrementReferenceCount(Map->First + Index);
            }
        }
    }
    MiUnlockPfn(Irql);
    return Allowed;
}

static VOID MiReleaseFrames(PMI_IO_MAP Map)
{
    KIRQL Irql;

    if (!Map->Ram) {
        return;
    }
    Irql = MiLockPfn();
    for (ULONG64 Index = 0; Index < Map->Pages; Index++) {
        MiDecrementReferenceCount(Map->First + Index);
    }
    MiUnlockPfn(Irql);
}

/* Enters the map in the list, unless a live one disagrees about the cache type. */
static BOOLEAN MiEnterIoMap(PMI_IO_MAP Map)
{
    BOOLEAN Entered = TRUE;
    KIRQL Irql;

    KeAcquireSpinLock(&MiIoLock, &Irql);
    for (PLIST_ENTRY Link = MiIoMaps.Flink; Link != &MiIoMaps; Link = Link->Flink) {
        PMI_IO_MAP Other = CONTAINING_RECORD(Link, MI_IO_MAP, Link);

        if (Other->First < Map->First + Map->Pages && Map->First < Other->First + Other->Pages &&
            Other->CacheType != Map->CacheType) {
            Entered = FALSE;
            break;
        }
    }
    if (Entered) {
        InsertHeadList(&MiIoMaps, &Map->Link);
    }
    KeReleaseSpinLock(&MiIoLock, Irql);
    return Entered;
}

/* The live map that starts at an address; NULL: none. It stays: only its owner may take it away. */
static PMI_IO_MAP MiFindIoMap(PUCHAR Address)
{
    PMI_IO_MAP Found = NULL;
    KIRQL Irql;

    KeAcquireSpinLock(&MiIoLock, &Irql);
    for (PLIST_ENTRY Link = MiIoMaps.Flink; Link != &MiIoMaps; Link = Link->Flink) {
        PMI_IO_MAP Map = CONTAINING_RECORD(Link, MI_IO_MAP, Link);

        if (Map->Address == Address) {
            Found = Map;
            break;
        }
    }
    KeReleaseSpinLock(&MiIoLock, Irql);
    return Found;
}

static VOID MiRemoveIoMap(PMI_IO_MAP Map)
{
    KIRQL Irql;

    KeAcquireSpinLock(&MiIoLock, &Irql);
    RemoveEntryList(&Map->Link);
    KeReleaseSpinLock(&MiIoLock, Irql);
}

/* Writes the PTEs of a map that is claimed and entered. */
static VOID MiFillIoMap(PMI_IO_MAP Map)
{
    PMMPTE Pte = MiPteOf(Map->Address);
    KIRQL Irql;

    KeRaiseIrql(DISPATCH_LEVEL, &Irql); /* MiVerify freezes processors below it: PTEs and counter go together */
    for (ULONG64 Index = 0; Index < Map->Pages; Index++) {
        MiWriteValidPte(&Pte[Index],
                        MiMakeValidPte(Map->First + Index, MI_KERNEL_RW_BITS | MiCacheBits(Map->CacheType)));
    }
    if (Map->Ram) {
        MiCountMapped(MmRegionSystemPtes, (LONG64)Map->Pages);
    }
    KeLowerIrql(Irql);
}

/**
 * MmMapIoSpace - makes a physical range visible in system space.
 *
 * @PhysicalAddress  any alignment
 * @NumberOfBytes    not 0
 * @CacheType        MmNonCached, MmCached or MmWriteCombined
 * returns           address of the first byte; NULL: RAM that is not the caller's, a conflicting live mapping, a bad
 *                   type, or memory or addresses are short
 *
 * IRQL: <= DISPATCH_LEVEL. Source: Windows driver documentation, MmMapIoSpace.
 */
PVOID NTAPI MmMapIoSpace(PHYSICAL_ADDRESS PhysicalAddress, SIZE_T NumberOfBytes, MEMORY_CACHING_TYPE CacheType)
{
    ULONG64 Start = (ULONG64)PhysicalAddress.QuadPart, Offset = Start & (MM_PAGE_SIZE - 1);
    MI_CACHE_TYPE Type;
    PMI_IO_MAP Map;

    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    if (NumberOfBytes == 0 || !MiCacheTypeOf(CacheType, &Type) || Start + NumberOfBytes < Start ||
        ((Start + NumberOfBytes - 1) & ~(MI_PTE_FRAME_BITS | (MM_PAGE_SIZE - 1))) != 0) {
        return NULL;
    }
    Map = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Map), MI_TAG_IO);
    if (Map == NULL) {
        return NULL;
    }
    Map->First = Start / MM_PAGE_SIZE;
    Map->Pages = (Offset + NumberOfBytes + MM_PAGE_SIZE - 1) / MM_PAGE_SIZE;
    Map->CacheType = Type;
    Map->Address = MiReserveRange(&MiSystemPtes, Map->Pages);
    if (Map->Address == NULL) {
        ExFreePoolWithTag(Map, MI_TAG_IO);
        return NULL;
    }
    if (!MiClaimFrames(Map)) {
        MiReleaseRange(&MiSystemPtes, Map->Address, Map->Pages);
        ExFreePoolWithTag(Map, MI_TAG_IO);
        return NULL;
    }
    if (!MiEnterIoMap(Map)) {
        MiReleaseFrames(Map);
        MiReleaseRange(&MiSystemPtes, Map->Address, Map->Pages);
        ExFreePoolWithTag(Map, MI_TAG_IO);
        return NULL;
    }
    MiFillIoMap(Map);
    return Map->Address + Offset;
}

/*
 * Clears the PTEs of a map, on all processors at once: the frames may go to others, or be mapped at another type, as soon as
 * the map is forgotten, and no tag of theirs would say that a translation is left (device frames have none).
 */
static VOID MiClearIoMap(PMI_IO_MAP Map)
{
    PMMPTE Pte = MiPteOf(Map->Address);
    MI_TLB_FLUSH Flush;

    MiBeginTlbFlush(&Flush, MiTlbSystemAtOnce);
    for (ULONG64 Index = 0; Index < Map->Pages; Index++) {
        MiDowngradePte(&Flush, &Pte[Index], MiAddressOf(&Pte[Index]), (MMPTE){.Long = 0});
    }
    MiFlushTlb(&Flush);
    if (Map->Ram) {
        MiCountMapped(MmRegionSystemPtes, -(LONG64)Map->Pages);
    }
}

/* Takes a map away. IRQL: <= DISPATCH_LEVEL. An address that MmMapIoSpace did not return is a bug check. */
VOID NTAPI MmUnmapIoSpace(PVOID BaseAddress, SIZE_T NumberOfBytes)
{
    PMI_IO_MAP Map = MiFindIoMap(PAGE_ALIGN(BaseAddress));

    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    if (Map == NULL || ADDRESS_AND_SIZE_TO_SPAN_PAGES(BaseAddress, NumberOfBytes) != Map->Pages) {
        KeBugCheckEx(MEMORY_MANAGEMENT, 0x1000, (ULONG_PTR)BaseAddress, NumberOfBytes, 0);
    }
    MiClearIoMap(Map);
    MiRemoveIoMap(Map); /* only now: as long as a translation lives, the cache type is taken */
    MiReleaseRange(&MiSystemPtes, Map->Address, Map->Pages);
    MiReleaseFrames(Map);
    ExFreePoolWithTag(Map, MI_TAG_IO);
}

/* TRUE: some part of the physical range is mapped by MmMapIoSpace. IRQL: <= DISPATCH_LEVEL. Source: driver documentation. */
LOGICAL NTAPI MmIsIoSpaceActive(PHYSICAL_ADDRESS StartAddress, SIZE_T NumberOfBytes)
{
    PFN_FRAME First = (ULONG64)StartAddress.QuadPart / MM_PAGE_SIZE;
    PFN_FRAME End = ((ULONG64)StartAddress.QuadPart + NumberOfBytes + MM_PAGE_SIZE - 1) / MM_PAGE_SIZE;
    BOOLEAN Active = FALSE;
    KIRQL Irql;

    KeAcquireSpinLock(&MiIoLock, &Irql);
    for (PLIST_ENTRY Link = MiIoMaps.Flink; Link != &MiIoMaps && !Active; Link = Link->Flink) {
        PMI_IO_MAP Map = CONTAINING_RECORD(Link, MI_IO_MAP, Link);

        Active = Map->First < End && First < Map->First + Map->Pages;
    }
    KeReleaseSpinLock(&MiIoLock, Irql);
    return Active;
}
