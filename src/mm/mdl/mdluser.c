/*
 * mdluser.c - frames of an MDL at addresses of a program.
 *
 * The range is a VAD of its own kind. Its PTEs are valid from the start and aliases: they hold no share and have no entry in the
 * working-set list, since it is the MDL's lock that keeps the frames. A program can neither free the range nor change its
 * protection; the driver takes it down, in the same process, before it unlocks the pages, or the end of the process does. Views of
 * \Device\PhysicalMemory (userview.c) are of the same kind.
 *
 * IRQL: <= APC_LEVEL, in the process. Locks: address lock, working-set lock, PFN lock.
 *
 * Source: MmMapLockedPagesSpecifyCache in the Windows driver documentation.
 */
#include "../misection.h"
#include "../miprocess.h"

/* Writes the PTEs of up to one table. FALSE: no frame for the table now. Working-set lock held. */
static BOOLEAN MiMapAliases(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, ULONG64 First, ULONG64 Last,
                            const MI_ALIASES *Aliases)
{
    PMMPTE Pte = MiPteOf(MI_VPN_ADDRESS(First));
    const ULONG64 Bits =
        PTE_VALID | PTE_USER | (Aliases->ReadOnly ? 0 : PTE_WRITE | PTE_DIRTY) | PTE_ACCESSED | PTE_NX | MI_PTE_ALIAS;
    ULONG64 Offset = First - Vad->StartVpn;
    KIRQL Irql;

    if (!MiMakeProcessTables(Space, MI_VPN_ADDRESS(First))) {
        return FALSE;
    }
    Irql = MiLockPfn();
    for (ULONG64 Page = 0; Page <= Last - First; Page++) {
        PFN_FRAME Frame =
            Aliases->Frames != NULL ? Aliases->Frames[Offset + Page] : Aliases->FirstFrame + Offset + Page;

        MiWriteValidPte(&Pte[Page], MiMakeValidPte(Frame, Bits | MiMdlPteBits(Frame, Aliases->DeviceType)));
    }
    MiAddUsedEntries(Pte, (LONG)(Last - First + 1));
    MiUnlockPfn(Irql);
    return TRUE;
}

VOID MiUnmapAliases(PMI_ADDRESS_SPACE Space, PMI_VAD Vad)
{
    for (ULONG64 Vpn = Vad->StartVpn; MiNextResidentTable(&Vpn, Vad->EndVpn);) {
        PVOID Table = MI_VPN_ADDRESS(Vpn);
        ULONG64 End = min(Vad->EndVpn, Vpn | 511);
        MI_TLB_FLUSH Flush;
        KIRQL Irql = MiLockPfn();
        LONG Gone = 0;

        MiBeginTlbFlush(&Flush, MiTlbUser);
        for (; Vpn <= End; Vpn++) {
            PVOID Address = MI_VPN_ADDRESS(Vpn);

            Gone += (LONG)MiDowngradePte(&Flush, MiPteOf(Address), Address, (MMPTE){.Long = 0}).Hard.Valid;
        }
        MiFlushTlb(&Flush);
        MiAddUsedEntries(MiPteOf(Table), -Gone);
        MiUnlockPfn(Irql);
        MiReleaseEmptyTables(Space, Table);
    }
}

/* A place for the range: where the caller wants it, or the lowest that is free. Address lock held. */
static NTSTATUS MiPlaceMdl(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, ULONG64 Pages, PVOID Base)
{
    if (Base == NULL) {
        Vad->StartVpn = MiFindGap(Space, Pages, &MiAnyPlace, FALSE);
        if (Vad->StartVpn == 0) {
            return STATUS_NO_MEMORY;
        }
    } else {
        if ((ULONG64)Base % MI_GRANULARITY != 0 || (ULONG64)Base < MI_LOWEST_USER || (ULONG64)Base > MI_HIGHEST_VAD ||
            Pages > MI_VPN(MI_HIGHEST_VAD) - MI_VPN(Base) + 1) {
            return STATUS_INVALID_ADDRESS;
        }
        Vad->StartVpn = MI_VPN(Base);
    }
    Vad->EndVpn = Vad->StartVpn + Pages - 1;
    return MiVadsOverlap(Space, Vad->StartVpn, Vad->EndVpn) ? STATUS_CONFLICTING_ADDRESSES : STATUS_SUCCESS;
}

VOID MiFillAliasVad(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, const MI_ALIASES *Aliases)
{
    ExAcquireFastMutex(&Space->WorkingSetLock);
    MiInsertVad(Space, Vad);
    for (ULONG64 Vpn = Vad->StartVpn; Vpn <= Vad->EndVpn;) {
        ULONG64 End = min(Vad->EndVpn, Vpn | 511);

        if (MiMapAliases(Space, Vad, Vpn, End, Aliases)) {
            Vpn = End + 1;
        } else {
            ExReleaseFastMutex(&Space->WorkingSetLock);
            MiWaitForFrames();
            ExAcquireFastMutex(&Space->WorkingSetLock);
        }
    }
    ExReleaseFastMutex(&Space->WorkingSetLock);
}

NTSTATUS MiMapMdlInProcess(PMDL Mdl, MEMORY_CACHING_TYPE CacheType, PVOID *Base)
{
    PMI_ADDRESS_SPACE Space = MiCurrentSpace();
    ULONG64 Pages = ADDRESS_AND_SIZE_TO_SPAN_PAGES((ULONG_PTR)Mdl->StartVa + Mdl->ByteOffset, Mdl->ByteCount);
    MI_CACHE_TYPE DeviceType;
    NTSTATUS Status;
    PMI_VAD Vad;

    ASSERT_IRQL_MAX(APC_LEVEL);
    if (Space == NULL || Pages == 0 || !MiCacheTypeOf(CacheType, &DeviceType)) {
        return STATUS_INVALID_PARAMETER;
    }
    Vad = MiCreateVad(MiVadLocked, 0, 0, MM_READWRITE);
    if (Vad == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    ExAcquireFastMutex(&Space->AddressLock);
    Status = Space->Deleted ? STATUS_PROCESS_IS_TERMINATING : MiPlaceMdl(Space, Vad, Pages, *Base);
    if (NT_SUCCESS(Status)) {
        MiFillAliasVad(Space, Vad, &(MI_ALIASES){.Frames = MmGetMdlPfnArray(Mdl), .DeviceType = DeviceType});
        *Base = (PUCHAR)MI_VPN_ADDRESS(Vad->StartVpn) + Mdl->ByteOffset;
    } else {
        ExFreePoolWithTag(Vad, MI_TAG_VAD);
    }
    ExReleaseFastMutex(&Space->AddressLock);
    return Status;
}

VOID MiUnmapMdlInProcess(PVOID Base)
{
    PMI_ADDRESS_SPACE Space = MiCurrentSpace();
    PMI_VAD Vad;

    ASSERT_IRQL_MAX(APC_LEVEL);
    if (Space == NULL) {
        KeBugCheckEx(MEMORY_MANAGEMENT, 0x1002, (ULONG_PTR)Base, 0, 0); /* not in the process it was mapped in */
    }
    ExAcquireFastMutex(&Space->AddressLock);
    Vad = MiFindVad(Space, MI_VPN(Base));
    if (Vad == NULL || Vad->Type != MiVadLocked || Vad->PhysicalClaim != NULL || Vad->StartVpn != MI_VPN(Base)) {
        KeBugCheckEx(MEMORY_MANAGEMENT, 0x1002, (ULONG_PTR)Base, (ULONG_PTR)Vad, 0);
    }
    ExAcquireFastMutex(&Space->WorkingSetLock);
    MiUnmapAliases(Space, Vad);
    MiRemoveVad(Space, Vad);
    ExReleaseFastMutex(&Space->WorkingSetLock);
    ExReleaseFastMutex(&Space->AddressLock);
    ExFreePoolWithTag(Vad, MI_TAG_VAD);
}
