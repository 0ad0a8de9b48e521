/*
 * mdl.c - memory descriptor lists: locking frames against leaving, and seeing them at another address.
 *
 * A locked page holds one reference on its frame for each MDL that names it. A reference keeps the frame's content where it
 * is: when the last PTE goes meanwhile, the frame stays in Transition and reaches its list (or is freed) with the last reference. At
 * more than 0x8000 references MmProbeAndLockPages refuses with STATUS_WORKING_SET_QUOTA, so that the 16-bit count never
 * wraps. Mapping an MDL adds an alias, not a share: system PTEs with the frame's own cache type, taken down by TLB rule (b).
 *
 * Kernel addresses of every kind can be locked: pool, stacks, images, views of files (which are read in first). User addresses are
 * those of the current process; each page is made valid for the access before it is locked, and the process counts what is
 * locked of it, for it must not end before that is given back.
 *
 * Locks: the PFN lock over at most MI_LOCK_BATCH resident pages; nothing is held while a page is brought in. MmProbeAndLockPages
 * may run at DISPATCH_LEVEL on nonpaged memory; on anything else it needs IRQL <= APC_LEVEL.
 */
#include "../misection.h"
#include "../miprocess.h"

#define MI_LOCK_BATCH 64 /* pages under one hold of the PFN lock: some 5,000 instructions */

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
    if (Write && !Leaf->Hard.Write) { /* a user page may be copied on write: its fault decides */
        return MmIsUserRange(Address, 1) ? STATUS_RETRY : STATUS_ACCESS_VIOLATION;
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
    for (ULONG Page = 0; Page < Pages;) {
        ULONG End = min(Pages, Page + MI_LOCK_BATCH);
        KIRQL OldIrql = MiLockPfn();

        for (; Page < End; Page++) {
            if (MiIsRamFrame(Frames[Page])) {
                if (Written) {
                    MiSetModified(Frames[Page]);
                }
                MiDecrementReferenceCount(Frames[Page]);
            }
        }
        MiUnlockPfn(OldIrql);
    }
}

/* One step towards a page that can be locked. */
static NTSTATUS MiMakePageLockable(PVOID Address, BOOLEAN Write)
{
    MI_ACCESS Access = {.Write = Write, .User = TRUE};

    if (KeGetCurrentIrql() > APC_LEVEL) {
        return STATUS_ACCESS_VIOLATION;
    }
    return MmIsUserRange(Address, 1) ? MiMakeUserPageValid(Address, &Access) : MiMakeSystemPageValid(Address, Write);
}

/* Locks page after page, bringing in what is missing; returns the status and how many were locked. */
static NTSTATUS MiLockRange(PUCHAR Start, PPFN_NUMBER Frames, ULONG Pages, BOOLEAN Write, PULONG Locked)
{
    NTSTATUS Status = STATUS_SUCCESS;
    ULONG Page = 0;

    while (Page < Pages && NT_SUCCESS(Status)) {
        ULONG End = min(Pages, Page + MI_LOCK_BATCH);
        KIRQL OldIrql = MiLockPfn();

        for (Status = STATUS_SUCCESS; Page < End; Page++) {
            Status = MiLockResidentPage(Start + (ULONG64)Page * PAGE_SIZE, Write, &Frames[Page]);
            if (Status != STATUS_SUCCESS) {
                break;
            }
        }
        MiUnlockPfn(OldIrql);
        if (Status == STATUS_RETRY) {
            Status = MiMakePageLockable(Start + (ULONG64)Page * PAGE_SIZE, Write);
        }
    }
    *Locked = Page;
    return Status;
}

/* May a buffer there be locked for a mode at all? Wrap-around and non-canonical addresses are nobody's. */
static BOOLEAN MiIsLockableRange(ULONG64 Start, ULONG64 Bytes, KPROCESSOR_MODE AccessMode)
{
    return MmIsUserRange((PVOID)Start, Bytes) ||
           (AccessMode == KernelMode && Start >= MI_SYSTEM_START && Start + Bytes - 1 >= Start);
}

static VOID MiCountLockedPages(PEPROCESS Process, LONG64 Pages)
{
    if (Process != NULL) {
        InterlockedAdd64(&MiSpaceOf(Process)->LockedPages, Pages);
    }
}

/* MmProbeAndLockPages in the current address space, as a status. */
static NTSTATUS MiProbeAndLock(PMDL Mdl, KPROCESSOR_MODE AccessMode, LOCK_OPERATION Operation)
{
    ULONG64 Start = (ULONG64)MmGetMdlVirtualAddress(Mdl);
    PPFN_NUMBER Frames = MmGetMdlPfnArray(Mdl);
    BOOLEAN Write = Operation != IoReadAccess;
    ULONG Locked = 0;
    NTSTATUS Status = STATUS_ACCESS_VIOLATION;

    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    ASSERT((Mdl->MdlFlags & (MDL_PAGES_LOCKED | MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL | MDL_PARTIAL)) ==
           0);
    if (MiIsLockableRange(Start, Mdl->ByteCount, AccessMode)) {
        Status = MiLockRange(Mdl->StartVa, Frames, MiMdlPages(Mdl), Write, &Locked);
    }
    if (!NT_SUCCESS(Status)) {
        MiUnlockFrames(Frames, Locked, FALSE);
        return Status;
    }
    Mdl->Process = MmIsUserRange((PVOID)Start, 1) && MiCurrentSpace() != NULL ? PsGetCurrentProcess() : NULL;
    MiCountLockedPages(Mdl->Process, Locked);
    Mdl->MdlFlags |= MDL_PAGES_LOCKED | (Write ? MDL_WRITE_OPERATION : 0);
    if (Locked != 0 && !MiIsRamFrame(Frames[0])) {
        Mdl->MdlFlags |= MDL_IO_SPACE;
    }
    return STATUS_SUCCESS;
}

/**
 * MmProbeAndLockPages - brings a buffer into memory, checks access and keeps it there.
 *
 * @Mdl         describes the buffer; receives the frames
 * @AccessMode  UserMode: the buffer must lie below the user probe limit
 * @Operation   IoReadAccess: the device reads the buffer; else it is written, and must be writable
 *
 * IRQL: <= APC_LEVEL, DISPATCH_LEVEL for nonpaged memory. Raises: STATUS_ACCESS_VIOLATION, STATUS_GUARD_PAGE_VIOLATION,
 * STATUS_WORKING_SET_QUOTA (0x8000 references on a frame), the device's status when a page cannot be read.
 */
VOID NTAPI MmProbeAndLockPages(PMDL Mdl, KPROCESSOR_MODE AccessMode, LOCK_OPERATION Operation)
{
    NTSTATUS Status = MiProbeAndLock(Mdl, AccessMode, Operation);

    if (!NT_SUCCESS(Status)) {
        ExRaiseStatus(Status);
    }
}

/* The same for a buffer of another process, which the caller keeps a reference on. IRQL: <= APC_LEVEL. */
VOID NTAPI MmProbeAndLockProcessPages(PMDL Mdl, PEPROCESS Process, KPROCESSOR_MODE AccessMode, LOCK_OPERATION Operation)
{
    KAPC_STATE ApcState;
    NTSTATUS Status;

    ASSERT_IRQL_MAX(APC_LEVEL);
    KeStackAttachProcess((PVOID)Process, &ApcState);
    Status = MiProbeAndLock(Mdl, AccessMode, Operation);
    KeUnstackDetachProcess(&ApcState);
    if (!NT_SUCCESS(Status)) {
        ExRaiseStatus(Status);
    }
}

/**
 * MmProbeAndLockSelectedPages - locks pages that need not follow one another, for scatter and gather.
 *
 * @Mdl      as long as all segments together; its own address is not looked at
 * @Segment  one page each, by page-aligned virtual address
 *
 * IRQL: <= APC_LEVEL. Raises as MmProbeAndLockPages.
 */
VOID NTAPI MmProbeAndLockSelectedPages(PMDL Mdl, PFILE_SEGMENT_ELEMENT Segment, KPROCESSOR_MODE AccessMode,
                                       LOCK_OPERATION Operation)
{
    PPFN_NUMBER Frames = MmGetMdlPfnArray(Mdl);
    ULONG Pages = MiMdlPages(Mdl), Done = 0;
    BOOLEAN Write = Operation != IoReadAccess, User = TRUE;
    NTSTATUS Status = STATUS_SUCCESS;

    ASSERT_IRQL_MAX(APC_LEVEL);
    for (; Done < Pages && NT_SUCCESS(Status); Done++) {
        PVOID Page = PAGE_ALIGN((PVOID)(ULONG_PTR)Segment[Done].Buffer);
        ULONG Locked;

        Status = MiIsLockableRange((ULONG64)Page, PAGE_SIZE, AccessMode)
                     ? MiLockRange(Page, &Frames[Done], 1, Write, &Locked)
                     : STATUS_ACCESS_VIOLATION;
        User = User && MmIsUserRange(Page, 1);
    }
    if (!NT_SUCCESS(Status)) {
        MiUnlockFrames(Frames, Done - 1, FALSE);
        ExRaiseStatus(Status);
    }
    Mdl->Process = User && MiCurrentSpace() != NULL ? PsGetCurrentProcess() : NULL;
    MiCountLockedPages(Mdl->Process, Pages);
    Mdl->MdlFlags |= MDL_PAGES_LOCKED | (Write ? MDL_WRITE_OPERATION : 0);
}

/* Undoes MmProbeAndLockPages, and a mapping into the kernel half that is still there. IRQL: <= DISPATCH_LEVEL. */
VOID NTAPI MmUnlockPages(PMDL Mdl)
{
    ULONG Pages = MiMdlPages(Mdl);

    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    ASSERT((Mdl->MdlFlags & MDL_PAGES_LOCKED) != 0);
    if ((Mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA) != 0) {
        MmUnmapLockedPages(Mdl->MappedSystemVa, Mdl);
    }
    MiUnlockFrames(MmGetMdlPfnArray(Mdl), Pages, (Mdl->MdlFlags & MDL_WRITE_OPERATION) != 0);
    MiCountLockedPages(Mdl->Process, -(LONG64)Pages);
    Mdl->Process = NULL;
    Mdl->MdlFlags &= ~(MDL_PAGES_LOCKED | MDL_IO_SPACE | MDL_WRITE_OPERATION);
}

/* ---- Mapping ---- */

ULONG64 MiMdlPteBits(PFN_FRAME Frame, MI_CACHE_TYPE DeviceType)
{
    return MiCacheBits(MiIsRamFrame(Frame) ? (MI_CACHE_TYPE)MiPfnCacheType(MiPfn(Frame)) : DeviceType);
}

VOID MiMapMdlFrames(PMDL Mdl, PMMPTE Pte, MI_CACHE_TYPE DeviceType)
{
    PPFN_NUMBER Frames = MmGetMdlPfnArray(Mdl);
    LONG64 Ram = 0;
    KIRQL Irql;

    KeRaiseIrql(DISPATCH_LEVEL, &Irql); /* MiVerify freezes processors below it: PTEs and counter go together */
    for (ULONG Page = 0; Page < MiMdlPages(Mdl); Page++) {
        MiWriteValidPte(&Pte[Page],
                        MiMakeValidPte(Frames[Page], MI_KERNEL_RW_BITS | MiMdlPteBits(Frames[Page], DeviceType)));
        Ram += MiIsRamFrame(Frames[Page]);
    }
    MiCountMapped(MmRegionSystemPtes, Ram);
    KeLowerIrql(Irql);
}

/**
 * MmMapLockedPagesSpecifyCache - shows the frames of an MDL at a kernel address.
 *
 * @AccessMode         UserMode: at an address of the current process (mdluser.c)
 * @CacheType          for device frames; RAM keeps the cache type that its frames have
 * @BaseAddress        UserMode: where, NULL: anywhere
 * @BugCheckOnFailure  KernelMode: bug check NO_MORE_SYSTEM_PTES instead of returning NULL
 *
 * IRQL: <= DISPATCH_LEVEL, APC_LEVEL for UserMode, which raises what MiMapMdlInProcess returns.
 */
PVOID NTAPI MmMapLockedPagesSpecifyCache(PMDLX Mdl, KPROCESSOR_MODE AccessMode, MEMORY_CACHING_TYPE CacheType,
                                         PVOID BaseAddress, ULONG BugCheckOnFailure, MM_PAGE_PRIORITY Priority)
{
    ULONG Pages = MiMdlPages(Mdl);
    MI_CACHE_TYPE DeviceType;
    PMMPTE Pte;

    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    ASSERT((Mdl->MdlFlags & (MDL_PAGES_LOCKED | MDL_PARTIAL | MDL_SOURCE_IS_NONPAGED_POOL)) != 0);
    if (AccessMode != KernelMode) {
        NTSTATUS Status = MiMapMdlInProcess(Mdl, CacheType, &BaseAddress);

        if (!NT_SUCCESS(Status)) {
            ExRaiseStatus(Status);
        }
        return BaseAddress;
    }
    ASSERT(Mdl->ByteCount != 0 && (Mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA) == 0);
    Pte = MiCacheTypeOf(CacheType, &DeviceType) ? MiReserveSystemPtes(Pages) : NULL;
    if (Pte == NULL) {
        if (BugCheckOnFailure && (Mdl->MdlFlags & MDL_MAPPING_CAN_FAIL) == 0) {
            KeBugCheckEx(NO_MORE_SYSTEM_PTES, 0, Pages, 0, 0);
        }
        return NULL;
    }
    MiMapMdlFrames(Mdl, Pte, DeviceType);
    Mdl->MappedSystemVa = (PUCHAR)MiAddressOf(Pte) + Mdl->ByteOffset;
    Mdl->MdlFlags |= MDL_MAPPED_TO_SYSTEM_VA | ((Mdl->MdlFlags & MDL_PARTIAL) != 0 ? MDL_PARTIAL_HAS_BEEN_MAPPED : 0);
    return Mdl->MappedSystemVa;
}

/* As MmMapLockedPagesSpecifyCache with MmCached; a failure is a bug check. IRQL: <= DISPATCH_LEVEL. */
PVOID NTAPI MmMapLockedPages(PMDL Mdl, KPROCESSOR_MODE AccessMode)
{
    return MmMapLockedPagesSpecifyCache(Mdl, AccessMode, MmCached, NULL, TRUE, HighPagePriority);
}

/* The PTEs of an MDL's mapping, Extra of them in front of its first page, become nothing. */
VOID MiUnmapMdlFrames(PMDL Mdl, PMMPTE Pte, ULONG Extra)
{
    PPFN_NUMBER Frames = MmGetMdlPfnArray(Mdl);
    ULONG Pages = MiMdlPages(Mdl), Epoch;
    MI_TLB_FLUSH Flush;
    MMPTE Zero = {0};
    LONG64 Ram = 0;
    KIRQL Irql;

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
}

/* Takes the mapping of an MDL down: in the kernel half, or at a user address of the current process. IRQL: <= DISPATCH_LEVEL. */
VOID NTAPI MmUnmapLockedPages(PVOID BaseAddress, PMDL Mdl)
{
    PPFN_NUMBER Frames = MmGetMdlPfnArray(Mdl);
    ULONG Pages = MiMdlPages(Mdl), Extra = 0;
    PMMPTE Pte = MiPteOf(BaseAddress);

    ASSERT_IRQL_MAX(DISPATCH_LEVEL);
    if (MmIsUserRange(BaseAddress, 1)) {
        MiUnmapMdlInProcess(BaseAddress);
        return;
    }
    if ((Mdl->MdlFlags & MDL_SOURCE_IS_NONPAGED_POOL) != 0) {
        return;
    }
    ASSERT((Mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA) != 0);
    if ((Mdl->MdlFlags & MDL_FREE_EXTRA_PTES) != 0) {
        Extra = (ULONG)Frames[Pages]; /* MmAdvanceMdl left the number of dropped pages behind the array */
        Pte -= Extra;
    }
    MiUnmapMdlFrames(Mdl, Pte, Extra);
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
