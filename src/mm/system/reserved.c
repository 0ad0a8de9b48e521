/*
 * reserved.c - kernel addresses kept for a driver that must be able to map an MDL when memory is short.
 *
 * A reservation is a run of system PTEs, the first of which holds its length and the driver's tag: a software form with a
 * page-file offset, which no fault takes for a page. An MDL is mapped at the second. Nobody else can use the run, and mapping takes no
 * memory, so it cannot fail but for a run that is too short.
 *
 * IRQL and locks: as in each contract; a reservation is used by one driver, which serialises its own calls.
 *
 * Source: MmAllocateMappingAddress and its neighbours in the Windows driver documentation.
 */
#include "../mip.h"

#define SYSTEM_PTE_MISUSE   0xDA               /* bug check; the headers lack it */
#define MI_RESERVED_MAXIMUM ((1ULL << 20) - 1) /* pages: 20 bits of the first PTE */

/* When a mapping in any reservation was last taken down: before the next one, translations of it must have been dropped. */
static volatile ULONG64 MiReservedStamp;

/* What the first PTE holds; bits 0, 10 and 11 stay clear, and the tag lies where a page-file offset would. */
static MMPTE MiReservationPte(ULONG64 Pages, ULONG Tag)
{
    return (MMPTE){.Long = (Pages << PAGE_SHIFT) | ((ULONG64)Tag << 32)};
}

static ULONG64 MiReservationPages(MMPTE Pte)
{
    return (Pte.Long >> PAGE_SHIFT) & MI_RESERVED_MAXIMUM;
}

/* The first PTE of a reservation; a wrong base or tag is a bug check. */
static PMMPTE MiFindReservation(PVOID BaseAddress, ULONG PoolTag)
{
    PMMPTE Pte = MiPteOf(BaseAddress) - 1;

    if (MiRegionOf(BaseAddress) != MmRegionSystemPtes || BYTE_OFFSET(BaseAddress) != 0 || Pte->Hard.Valid ||
        (Pte->Long >> 32) != PoolTag || PoolTag == 0) {
        KeBugCheckEx(SYSTEM_PTE_MISUSE, 0x100, (ULONG_PTR)BaseAddress, PoolTag, 0);
    }
    return Pte;
}

/**
 * MmAllocateMappingAddress - reserves kernel addresses.
 *
 * @NumberOfBytes  rounded up to pages
 * @PoolTag        not 0; names the driver in every later call
 * returns         the address; NULL: addresses or memory are short, or an argument is 0
 *
 * IRQL: <= APC_LEVEL.
 */
PVOID NTAPI MmAllocateMappingAddress(SIZE_T NumberOfBytes, ULONG PoolTag)
{
    ULONG64 Pages = NumberOfBytes / PAGE_SIZE + (NumberOfBytes % PAGE_SIZE != 0);
    PMMPTE Pte;

    ASSERT_IRQL_MAX(APC_LEVEL);
    if (Pages == 0 || Pages > MI_RESERVED_MAXIMUM || PoolTag == 0) {
        return NULL;
    }
    Pte = MiReserveSystemPtes((ULONG)Pages + 1);
    if (Pte == NULL) {
        return NULL;
    }
    *Pte = MiReservationPte(Pages, PoolTag);
    return MiAddressOf(Pte + 1);
}

/* Gives a reservation back; nothing may be mapped in it. IRQL: <= APC_LEVEL. */
VOID NTAPI MmFreeMappingAddress(PVOID BaseAddress, ULONG PoolTag)
{
    PMMPTE Pte = MiFindReservation(BaseAddress, PoolTag);
    ULONG64 Pages = MiReservationPages(*Pte);

    ASSERT_IRQL_MAX(APC_LEVEL);
    for (ULONG64 Page = 1; Page <= Pages; Page++) {
        if (Pte[Page].Hard.Valid) {
            KeBugCheckEx(SYSTEM_PTE_MISUSE, 0x101, (ULONG_PTR)BaseAddress, PoolTag, Pages);
        }
    }
    Pte->Long = 0;
    MiReleaseSystemPtes(Pte, (ULONG)Pages + 1);
}

/**
 * MmMapLockedPagesWithReservedMapping - shows the frames of an MDL at reserved addresses.
 *
 * @MappingAddress  from MmAllocateMappingAddress; nothing is mapped there now
 * returns          the address of the MDL's first byte; NULL: the reservation is too short, or there is no such cache type
 *
 * IRQL: <= DISPATCH_LEVEL.
 */
PVOID NTAPI MmMapLockedPagesWithReservedMapping(PVOID MappingAddress, ULONG PoolTag, PMDL Mdl,
                                                MEMORY_CACHING_TYPE CacheType)
{
    PMMPTE Pte = MiFindReservation(MappingAddress, PoolTag);
    ULONG Pages = ADDRESS_AND_SIZE_TO_SPAN_PAGES((ULONG_PTR)Mdl->StartVa + Mdl->ByteOffset, Mdl->ByteCount);
    MI_CACHE_TYPE DeviceType;

    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    ASSERT((Mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA) == 0);
    if (Pages > MiReservationPages(*Pte) || !MiCacheTypeOf(CacheType, &DeviceType)) {
        return NULL;
    }
    /* what was mapped here before may still be in some processor's TLB */
    if (KeNumberOfActiveProcessors > 1 && !MiTlbStampPassed(MiReservedStamp)) {
        MiFlushAllTlb();
    }
    MiMapMdlFrames(Mdl, Pte + 1, DeviceType);
    Mdl->MappedSystemVa = (PUCHAR)MappingAddress + Mdl->ByteOffset;
    Mdl->MdlFlags |= MDL_MAPPED_TO_SYSTEM_VA | ((Mdl->MdlFlags & MDL_PARTIAL) != 0 ? MDL_PARTIAL_HAS_BEEN_MAPPED : 0);
    return Mdl->MappedSystemVa;
}

/* Takes that mapping down; the reservation stays. IRQL: <= DISPATCH_LEVEL. */
VOID NTAPI MmUnmapReservedMapping(PVOID BaseAddress, ULONG PoolTag, PMDL Mdl)
{
    PMMPTE Pte = MiFindReservation(PAGE_ALIGN(BaseAddress), PoolTag);

    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    ASSERT((Mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA) != 0);
    MiUnmapMdlFrames(Mdl, Pte + 1, 0);
    MiReservedStamp = MiTlbStamp();
    Mdl->MdlFlags &= ~(MDL_MAPPED_TO_SYSTEM_VA | MDL_PARTIAL_HAS_BEEN_MAPPED);
}
