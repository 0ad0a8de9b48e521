/*
 * mdl.c - memory descriptor lists: locking frames against leaving, and seeing them at another address.
 *
 * A locked page holds one reference on its frame for each MDL that names it. A reference keeps the frame's content where it
 * is: when the last PTE goes meanwhile, the frame stays in Transition and reaches its list (or is freed) with the last reference. At
 * more than 0x8000 references MmProbeAndLockPages refuses with STATUS_WORKING_SET_QUOTA, so that the 16-bit count never
 * wraps. Mapping an MDL adds an alias, not a share: system PTEs with the frame's own cache type, taken down by TLB rule (b).
 *
 * Kernel addresses of every kind can be locked: pool, stacks, images, views of files (which are read in first). User addresses are
 * checked as documented and fail, for no process has pages of its own yet (docs/limits.md).
 *
 * Locks: the PFN lock over runs of resident pages; nothing is held while a page is brought in. MmProbeAndLockPages may run at
 * DISPATCH_LEVEL on nonpaged memory; on anything else it needs IRQL <= APC_LEVEL.
 */
#include "misection.h"

/* Size of an MDL must fit its CSHORT field. */
#define MI_MAXIMUM_MDL_PAGES ((MAXSHORT - sizeof(MDL)) / sizeof(PFN_NUMBER))

static ULONG MiMdlPages(const MDL *Mdl)
{
    return ADDRESS_AND_SIZE_TO_SPAN_PAGES((ULONG_PTR)Mdl->StartVa + Mdl->ByteOffset, Mdl->ByteCount);
}

/* ---- Shape ---- */

/* Bytes of an MDL for a buffer, PFN array included. IRQL: any. */
SIZE_T NTAPI MmSizeOfMdl(PVOID Base, SIZE_T Length)
{
    return sizeof(MDL) + sizeof(PFN_NUMBER) * ADDRESS_AND_SIZE_TO_SPAN_PAGES(Base, Length);
}

/* Describes a buffer by an MDL, allocated from nonpaged pool if none is given; NULL: no pool. IRQL: <= DISPATCH_LEVEL. */
PMDL NTAPI MmCreateMdl(PMDL MemoryDescriptorList, PVOID Base, SIZE_T Length)
{
    PMDL Mdl = MemoryDescriptorList;

    if (Mdl == NULL) {
        if (ADDRESS_AND_SIZE_TO_SPAN_PAGES(Base, Length) > MI_MAXIMUM_MDL_PAGES) {
            return NULL;
        }
        Mdl = ExAllocatePoolWithTag(NonPagedPool, MmSizeOfMdl(Base, Length), MI_TAG_MDL);
        if (Mdl == NULL) {
            return NULL;
        }
    }
    MmInitializeMdl(Mdl, Base, Length);
    return Mdl;
}

/* Frame behind one page of a kernel range that is always resident. */
static PFN_FRAME MiResidentFrame(PVOID Address)
{
    ULONG Level;
    PMMPTE Leaf = MiFindLeaf(Address, &Level);
    ULONG64 InLeaf = (1ULL << (9 * Level)) - 1; /* frames below a large page */

    ASSERT(Leaf != NULL && Leaf->Hard.Valid);
    return (MiPteFrame(*Leaf) & ~InLeaf) | (((ULONG64)Address >> PAGE_SHIFT) & InLeaf);
}

/* Fills in the frames of a nonpaged buffer; it is mapped where it is. IRQL: <= DISPATCH_LEVEL. */
VOID NTAPI MmBuildMdlForNonPagedPool(PMDLX Mdl)
{
    PPFN_NUMBER Frames = MmGetMdlPfnArray(Mdl);
    ULONG Pages = MiMdlPages(Mdl);

    ASSERT((Mdl->MdlFlags & (MDL_PAGES_LOCKED | MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL | MDL_PARTIAL)) ==
           0);
    for (ULONG Page = 0; Page < Pages; Page++) {
        Frames[Page] = MiResidentFrame((PUCHAR)Mdl->StartVa + (ULONG64)Page * PAGE_SIZE);
    }
    if (Pages != 0 && !MiIsRamFrame(Frames[0])) {
        Mdl->MdlFlags |= MDL_IO_SPACE;
    }
    Mdl->Process = NULL;
    Mdl->MappedSystemVa = MmGetMdlVirtualAddress(Mdl);
    Mdl->MdlFlags |= MDL_SOURCE_IS_NONPAGED_POOL;
}

/* ---- Locking ---- */

/* Locks the page at Address if it is valid now. STATUS_RETRY: it is not. PFN lock held. */
static NTSTATUS MiLockResidentPage(PVOID Address, BOOLEAN Write, PPFN_NUMBER Frame)
{
    ULONG Level;
    PMMPTE Leaf = MiFindLeaf(Address, &Level);

    if (Leaf == NULL || !Leaf->Hard.Valid) {
        return STATUS_RETRY;
    }
    if (Write && !Leaf->Hard.Write) {
        return STATUS_ACCESS_VIOLATION;
    }
    *Frame = MiResidentFrame(Address);
    if (MiIsRamFrame(*Frame) && !MiIncrementReferenceCount(*Frame)) {
        return STATUS_WORKING_SET_QUOTA;
    }
    return STATUS_SUCCESS;
}

/* Drops the references of frames [0, Pages). */
static VOID MiUnlockFrames(PPFN_NUMBER Frames, ULONG Pages, BOOLEAN Written)
{
    KIRQL OldIrql = MiLockPfn();

    for (ULONG Page = 0; Page < Pages; Page++) {
        if (MiIsRamFrame(Frames[Page])) {
            if (Written) {
                MiSetModified(Frames[Page]);
            }
            MiDecrementReferenceCount(Frames[Page]);
        }
    }
    MiUnlockPfn(OldIrql);
}

/* Locks page after page, bringing in what is missing; returns the status and how many were locked. */
static NTSTATUS MiLockRange(PMDL Mdl, BOOLEAN Write, PULONG Locked)
{
    PPFN_NUMBER Frames = MmGetMdlPfnArray(Mdl);
    ULONG Pages = MiMdlPages(Mdl), Page = 0;
    BOOLEAN MayWait = KeGetCurrentIrql() <= APC_LEVEL;
    NTSTATUS Status = STATUS_SUCCESS;

    while (Page < Pages && NT_SUCCESS(Status)) {
        KIRQL OldIrql = MiLockPfn();

        for (; Page < Pages; Page++) {
            Status = MiLockResidentPage((PUCHAR)Mdl->StartVa + (ULONG64)Page * PAGE_SIZE, Write, &Frames[Page]);
            if (Status != STATUS_SUCCESS) {
                break;
            }
        }
        MiUnlockPfn(OldIrql);
        if (Status == STATUS_RETRY) {
            Status = MayWait ? MiMakeSystemPageValid((PUCHAR)Mdl->StartVa + (ULONG64)Page * PAGE_SIZE, Write)
                             : STATUS_ACCESS_VIOLATION;
        }
    }
    *Locked = Page;
    return Status;
}

/**
 * MmProbeAndLockPages - brings a buffer into memory, checks access and keeps it there.
 *
 * @Mdl         describes the buffer; receives the frames
 * @AccessMode  UserMode: the buffer must lie below the user probe limit
 * @Operation   IoReadAccess: the device reads the buffer; else it is written, and must be writable
 *
 * IRQL: <= APC_LEVEL, DISPATCH_LEVEL for nonpaged memory. Raises: STATUS_ACCESS_VIOLATION,
 * STATUS_WORKING_SET_QUOTA (0x8000 references on a frame), the device's status when a page cannot be read.
 */
VOID NTAPI MmProbeAndLockPages(PMDL Mdl, KPROCESSOR_MODE AccessMode, LOCK_OPERATION Operation)
{
    ULONG64 Start = (ULONG64)MmGetMdlVirtualAddress(Mdl);
    ULONG64 End = Start + Mdl->ByteCount;
    BOOLEAN Write = Operation != IoReadAccess;
    ULONG Locked = 0;
    NTSTATUS Status = STATUS_ACCESS_VIOLATION;

    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    ASSERT((Mdl->MdlFlags & (MDL_PAGES_LOCKED | MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL | MDL_PARTIAL)) ==
           0);
    if (Start <= End && (AccessMode == KernelMode || End <= MM_USER_PROBE_END) && (LONG64)Start < 0) {
        Status = MiLockRange(Mdl, Write, &Locked);
    }
    if (!NT_SUCCESS(Status)) {
        MiUnlockFrames(MmGetMdlPfnArray(Mdl), Locked, FALSE);
        ExRaiseStatus(Status);
    }
    Mdl->Process = NULL;
    Mdl->MdlFlags |= MDL_PAGES_LOCKED | (Write ? MDL_WRITE_OPERATION : 0);
    if (Locked != 0 && !MiIsRamFrame(MmGetMdlPfnArray(Mdl)[0])) {
        Mdl->MdlFlags |= MDL_IO_SPACE;
    }
}

/* Undoes MmProbeAndLockPages, and a mapping that is still there. IRQL: <= DISPATCH_LEVEL. */
VOID NTAPI MmUnlockPages(PMDL Mdl)
{
    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    ASSERT((Mdl->MdlFlags & MDL_PAGES_LOCKED) != 0);
    if ((Mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA) != 0) {
        MmUnmapLockedPages(Mdl->MappedSystemVa, Mdl);
    }
    MiUnlockFrames(MmGetMdlPfnArray(Mdl), MiMdlPages(Mdl), (Mdl->MdlFlags & MDL_WRITE_OPERATION) != 0);
    Mdl->MdlFlags &= ~(MDL_PAGES_LOCKED | MDL_IO_SPACE | MDL_WRITE_OPERATION);
}

/* ---- Mapping ---- */

/**
 * MmMapLockedPagesSpecifyCache - shows the frames of an MDL at a kernel address.
 *
 * @AccessMode         KernelMode
 * @CacheType          for device frames; RAM keeps the cache type that its frames have
 * @BugCheckOnFailure  bug check NO_MORE_SYSTEM_PTES instead of returning NULL
 *
 * IRQL: <= DISPATCH_LEVEL. Raises for UserMode: STATUS_NOT_IMPLEMENTED (docs/limits.md).
 */
PVOID NTAPI MmMapLockedPagesSpecifyCache(PMDLX Mdl, KPROCESSOR_MODE AccessMode, MEMORY_CACHING_TYPE CacheType,
                                         PVOID BaseAddress, ULONG BugCheckOnFailure, MM_PAGE_PRIORITY Priority)
{
    PPFN_NUMBER Frames = MmGetMdlPfnArray(Mdl);
    ULONG Pages = MiMdlPages(Mdl);
    MI_CACHE_TYPE DeviceType;
    LONG64 Ram = 0;
    PMMPTE Pte;
    KIRQL Irql;

    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    ASSERT(Mdl->ByteCount != 0 && (Mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA) == 0);
    ASSERT((Mdl->MdlFlags & (MDL_PAGES_LOCKED | MDL_PARTIAL | MDL_SOURCE_IS_NONPAGED_POOL)) != 0);
    if (AccessMode != KernelMode) {
        ExRaiseStatus(STATUS_NOT_IMPLEMENTED);
    }
    Pte = MiCacheTypeOf(CacheType, &DeviceType) ? MiReserveSystemPtes(Pages) : NULL;
    if (Pte == NULL) {
        if (BugCheckOnFailure && (Mdl->MdlFlags & MDL_MAPPING_CAN_FAIL) == 0) {
            KeBugCheckEx(NO_MORE_SYSTEM_PTES, 0, Pages, 0, 0);
        }
        return NULL;
    }
    KeRaiseIrql(DISPATCH_LEVEL, &Irql); /* no thread of this processor sees PTEs that are not counted */
    for (ULONG Page = 0; Page < Pages; Page++) {
        BOOLEAN IsRam = MiIsRamFrame(Frames[Page]);
        MI_CACHE_TYPE Type = IsRam ? MiPfnCacheType(MiPfn(Frames[Page])) : DeviceType;

        MiWriteValidPte(&Pte[Page], MiMakeValidPte(Frames[Page], MI_KERNEL_RW_BITS | MiCacheBits(Type)));
        Ram += IsRam;
    }
    MiCountMapped(MmRegionSystemPtes, Ram);
    KeLowerIrql(Irql);
    Mdl->MappedSystemVa = (PUCHAR)MiAddressOf(Pte) + Mdl->ByteOffset;
    Mdl->MdlFlags |= MDL_MAPPED_TO_SYSTEM_VA | ((Mdl->MdlFlags & MDL_PARTIAL) != 0 ? MDL_PARTIAL_HAS_BEEN_MAPPED : 0);
    return Mdl->MappedSystemVa;
}

/* As MmMapLockedPagesSpecifyCache with MmCached; a failure is a bug check. IRQL: <= DISPATCH_LEVEL. */
PVOID NTAPI MmMapLockedPages(PMDL Mdl, KPROCESSOR_MODE AccessMode)
{
    return MmMapLockedPagesSpecifyCache(Mdl, AccessMode, MmCached, NULL, TRUE, HighPagePriority);
}

/* Takes the mapping of an MDL down. IRQL: <= DISPATCH_LEVEL. */
VOID NTAPI MmUnmapLockedPages(PVOID BaseAddress, PMDL Mdl)
{
    PPFN_NUMBER Frames = MmGetMdlPfnArray(Mdl);
    ULONG Pages = MiMdlPages(Mdl), Extra = 0, Epoch;
    PMMPTE Pte = MiPteOf(BaseAddress);
    MI_TLB_FLUSH Flush;
    MMPTE Zero = {0};
    LONG64 Ram = 0;
    KIRQL Irql;

    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    if ((Mdl->MdlFlags & MDL_SOURCE_IS_NONPAGED_POOL) != 0) {
        return;
    }
    ASSERT((Mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA) != 0);
    if ((Mdl->MdlFlags & MDL_FREE_EXTRA_PTES) != 0) {
        Extra = (ULONG)Frames[Pages]; /* MmAdvanceMdl left the number of dropped pages behind the array */
        Pte -= Extra;
    }
    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    MiBeginTlbFlush(&Flush, MiTlbSystemLazy);
    for (ULONG Page = 0; Page < Extra + Pages; Page++) {
        if (Pte[Page].Hard.Valid) {
            MMPTE Old = MiDowngradePte(&Flush, &Pte[Page], MiAddressOf(&Pte[Page]), Zero);

            Ram += MiIsRamFrame(MiPteFrame(Old));
        }
    }
    Epoch = MiFlushTlb(&Flush);
    for (ULONG Page = 0; Page < Pages; Page++) {
        if (MiIsRamFrame(Frames[Page])) {
            MiTagFrame(MiPfn(Frames[Page]), Epoch);
        }
    }
    MiCountMapped(MmRegionSystemPtes, -Ram);
    KeLowerIrql(Irql);
    MiReleaseSystemPtes(Pte, Extra + Pages);
    Mdl->MdlFlags &= ~(MDL_MAPPED_TO_SYSTEM_VA | MDL_PARTIAL_HAS_BEEN_MAPPED | MDL_FREE_EXTRA_PTES);
}

/* ---- Less common ---- */

/* Takes down the alias of pages that MmAdvanceMdl is about to give up: nobody may see them through it afterwards. */
static VOID MiUnmapAdvancedPages(PMDL Mdl, ULONG Pages)
{
    PMMPTE Pte = MiPteOf(Mdl->MappedSystemVa);
    MI_TLB_FLUSH Flush;
    MMPTE Zero = {0};
    ULONG Epoch;

    MiBeginTlbFlush(&Flush, MiTlbSystemLazy);
    for (ULONG Page = 0; Page < Pages; Page++) {
        MiDowngradePte(&Flush, &Pte[Page], MiAddressOf(&Pte[Page]), Zero);
    }
    Epoch = MiFlushTlb(&Flush);
    for (ULONG Page = 0; Page < Pages; Page++) {
        PFN_FRAME Frame = MmGetMdlPfnArray(Mdl)[Page];

        if (MiIsRamFrame(Frame)) {
            MiTagFrame(MiPfn(Frame), Epoch);
            MiCountMapped(MmRegionSystemPtes, -1);
        }
    }
}

/**
 * MmAdvanceMdl - drops bytes from the front of a locked or nonpaged MDL; pages left behind are unlocked.
 *
 * IRQL: <= DISPATCH_LEVEL. Fails: STATUS_INVALID_PARAMETER_2 (more bytes than there are), STATUS_INVALID_PARAMETER_1
 * (neither locked nor nonpaged).
 */
NTSTATUS NTAPI MmAdvanceMdl(PMDL Mdl, ULONG NumberOfBytes)
{
    PPFN_NUMBER Frames = MmGetMdlPfnArray(Mdl);
    ULONG Pages = MiMdlPages(Mdl);
    ULONG Drop = (Mdl->ByteOffset + NumberOfBytes) >> PAGE_SHIFT;
    ULONG Extra = 0;

    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    if ((Mdl->MdlFlags & (MDL_PAGES_LOCKED | MDL_SOURCE_IS_NONPAGED_POOL)) == 0) {
        return STATUS_INVALID_PARAMETER_1;
    }
    if (NumberOfBytes > Mdl->ByteCount) {
        return STATUS_INVALID_PARAMETER_2;
    }
    Drop = min(Drop, Pages);
    if ((Mdl->MdlFlags & MDL_FREE_EXTRA_PTES) != 0) {
        Extra = (ULONG)Frames[Pages];
    }
    if ((Mdl->MdlFlags & (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL)) == MDL_MAPPED_TO_SYSTEM_VA) {
        MiUnmapAdvancedPages(Mdl, Drop);
    }
    if ((Mdl->MdlFlags & MDL_PAGES_LOCKED) != 0) {
        MiUnlockFrames(Frames, Drop, (Mdl->MdlFlags & MDL_WRITE_OPERATION) != 0);
    }
    RtlMoveMemory(Frames, Frames + Drop, (Pages - Drop) * sizeof(*Frames));
    Mdl->ByteCount -= NumberOfBytes;
    Mdl->StartVa = (PUCHAR)Mdl->StartVa + (ULONG64)Drop * PAGE_SIZE;
    Mdl->ByteOffset = (Mdl->ByteOffset + NumberOfBytes) & (PAGE_SIZE - 1);
    if ((Mdl->MdlFlags & (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL)) != 0) {
        Mdl->MappedSystemVa = (PUCHAR)Mdl->MappedSystemVa + NumberOfBytes;
    }
    if ((Mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA) != 0 && Drop + Extra != 0) {
        Frames[MiMdlPages(Mdl)] = Drop + Extra;
        Mdl->MdlFlags |= MDL_FREE_EXTRA_PTES;
    }
    return STATUS_SUCCESS;
}

/**
 * MmProtectMdlSystemAddress - changes the protection of an MDL's mapping.
 *
 * @NewProtect  PAGE_READONLY, PAGE_READWRITE, PAGE_EXECUTE or PAGE_EXECUTE_READ; writable and executable at once is refused
 *
 * IRQL: <= DISPATCH_LEVEL. Fails: STATUS_NOT_MAPPED_VIEW, STATUS_INVALID_PAGE_PROTECTION.
 */
NTSTATUS NTAPI MmProtectMdlSystemAddress(PMDL Mdl, ULONG NewProtect)
{
    ULONG64 Bits;
    PMMPTE Pte;
    MI_TLB_FLUSH Flush;

    if ((Mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA) == 0) {
        return STATUS_NOT_MAPPED_VIEW;
    }
    switch (NewProtect) {
    case PAGE_READONLY:
        Bits = MI_KERNEL_RO_BITS;
        break;
    case PAGE_READWRITE:
        Bits = MI_KERNEL_RW_BITS;
        break;
    case PAGE_EXECUTE:
    case PAGE_EXECUTE_READ:
        Bits = MI_KERNEL_RO_BITS & ~PTE_NX;
        break;
    default:
        return STATUS_INVALID_PAGE_PROTECTION;
    }
    Pte = MiPteOf(Mdl->MappedSystemVa);
    MiBeginTlbFlush(&Flush, MiTlbSystemAtOnce);
    for (ULONG Page = 0; Page < MiMdlPages(Mdl); Page++) {
        MMPTE New = {.Long = (Pte[Page].Long & (MI_PTE_FRAME_BITS | PTE_PWT | PTE_PCD)) | Bits};

        MiDowngradePte(&Flush, &Pte[Page], MiAddressOf(&Pte[Page]), New);
    }
    MiFlushTlb(&Flush);
    return STATUS_SUCCESS;
}
