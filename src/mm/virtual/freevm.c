/*
 * freevm.c - NtFreeVirtualMemory: decommitting pages and releasing addresses of private memory.
 *
 * Decommitting gives up the pages' content and their charge; the addresses stay reserved. In a VAD that is committed as a whole a
 * decommitted page is marked in its PTE, unless the whole VAD is decommitted, which then simply stops being committed as a
 * whole. Releasing gives up the addresses too: the VAD goes, shrinks, or becomes two.
 *
 * Locks: address lock for the whole of it, working-set lock where PTEs and the tree change.
 *
 * Source: ZwFreeVirtualMemory in the Windows driver documentation.
 */
#include "../misection.h"
#include "../miprocess.h"

static NTSTATUS MiDecodeFree(PVOID Base, SIZE_T Size, ULONG FreeType)
{
    if (FreeType != MEM_DECOMMIT && FreeType != MEM_RELEASE && FreeType != (MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER) &&
        FreeType != (MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS)) {
        return STATUS_INVALID_PARAMETER_4;
    }
    if ((ULONG64)Base > MI_HIGHEST_VAD) {
        return STATUS_INVALID_PARAMETER_2;
    }
    if ((FreeType & (MEM_PRESERVE_PLACEHOLDER | MEM_COALESCE_PLACEHOLDERS)) != 0 && Size == 0) {
        return STATUS_INVALID_PARAMETER_3;
    }
    return Size > MI_HIGHEST_VAD + 1 - (ULONG64)Base ? STATUS_INVALID_PARAMETER_3 : STATUS_SUCCESS;
}

/* The VAD and the pages that are meant. Size 0: the whole VAD, by its base. Address lock held. */
static NTSTATUS MiFindFreeRange(PMI_ADDRESS_SPACE Space, PVOID Base, SIZE_T Size, PMI_VAD *Result, PULONG64 First,
                                PULONG64 Last)
{
    PMI_VAD Vad = MiFindVad(Space, MI_VPN(Base));

    if (Vad == NULL) {
        return STATUS_MEMORY_NOT_ALLOCATED;
    }
    if (Vad->Type != MiVadPrivate) {
        return STATUS_UNABLE_TO_DELETE_SECTION;
    }
    if (Size == 0 && MI_VPN(Base) != Vad->StartVpn) {
        return STATUS_FREE_VM_NOT_AT_BASE;
    }
    *First = MI_VPN(Base);
    *Last = Size == 0 ? Vad->EndVpn : MI_VPN((ULONG64)Base + Size - 1);
    if (*Last > Vad->EndVpn) {
        return STATUS_UNABLE_TO_FREE_VM;
    }
    *Result = Vad;
    return Vad->Secured != 0 ? STATUS_INVALID_PAGE_PROTECTION : STATUS_SUCCESS;
}

static VOID MiUnchargeVad(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, ULONG64 Pages)
{
    KIRQL Irql = MiLockPfn();

    ASSERT(Vad->Commit >= Pages);
    Vad->Commit -= Pages;
    MiReturnCommitLocked(&Space->Commit, Pages);
    MiUnlockPfn(Irql);
}

/* ---- Decommit ---- */

/* Makes the tables of a part of a range that lies in one table; working-set lock held, dropped while memory is short. */
static VOID MiInsistOnTables(PMI_ADDRESS_SPACE Space, ULONG64 Vpn)
{
    while (!MiMakeProcessTables(Space, MI_VPN_ADDRESS(Vpn))) {
        ExReleaseFastMutex(&Space->WorkingSetLock);
        MiWaitForFrames();
        ExAcquireFastMutex(&Space->WorkingSetLock);
    }
}

/* A part of a VAD that is committed as a whole: PTEs say which pages are not. Returns the pages that were committed. */
static ULONG64 MiMarkDecommitted(PMI_ADDRESS_SPACE Space, ULONG64 First, ULONG64 Last)
{
    ULONG64 Pages = 0;

    for (ULONG64 Vpn = First; Vpn <= Last; Vpn = (Vpn | 511) + 1) {
        ULONG64 End = min(Last, Vpn | 511), NonZero, Decommitted;

        MiInsistOnTables(Space, Vpn);
        MiCountPtes(Vpn, End, &NonZero, &Decommitted);
        Pages += End - Vpn + 1 - Decommitted;
        MiDeleteUserRange(Space, Vpn, End, MiMakeDemandZeroPte(MM_DECOMMIT));
    }
    return Pages;
}

static VOID MiDecommitRange(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, ULONG64 First, ULONG64 Last)
{
    ULONG64 Pages;

    ExAcquireFastMutex(&Space->WorkingSetLock);
    if (!Vad->CommitAll) {
        Pages = MiDeleteUserRange(Space, First, Last, (MMPTE){.Long = 0});
    } else if (First == Vad->StartVpn && Last == Vad->EndVpn) {
        Pages = Vad->Commit;
        Vad->CommitAll = FALSE;
        MiDeleteUserRange(Space, First, Last, (MMPTE){.Long = 0});
    } else {
        Pages = MiMarkDecommitted(Space, First, Last);
    }
    MiUnchargeVad(Space, Vad, Pages);
    ExReleaseFastMutex(&Space->WorkingSetLock);
}

/* ---- Release ---- */

/* What is charged for a part of a VAD. Working-set lock held. */
static ULONG64 MiCommitOfPart(PMI_VAD Vad, ULONG64 First, ULONG64 Last)
{
    ULONG64 NonZero, Decommitted;

    MiCountPtes(First, Last, &NonZero, &Decommitted);
    return Vad->CommitAll ? Last - First + 1 - Decommitted : NonZero - Decommitted;
}

VOID MiSplitVad(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, ULONG64 First, PMI_VAD Upper)
{
    KIRQL Irql;

    *Upper = *Vad;
    Upper->StartVpn = First;
    Upper->Commit = MiCommitOfPart(Vad, First, Vad->EndVpn);
    Irql = MiLockPfn();
    Vad->Commit -= Upper->Commit;
    MiResizeVad(Space, Vad, Vad->StartVpn, First - 1);
    MiUnlockPfn(Irql);
    MiInsertVad(Space, Upper);
}

VOID MiEmptyVad(PMI_ADDRESS_SPACE Space, PMI_VAD Vad)
{
    MiDeleteUserRange(Space, Vad->StartVpn, Vad->EndVpn, (MMPTE){.Long = 0});
    MiUnchargeVad(Space, Vad, Vad->Commit);
}

/* Takes [First, Last] out of a VAD; Upper is what becomes of the pages behind it, if it is needed. */
static VOID MiCutVad(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, ULONG64 First, ULONG64 Last, PMI_VAD Upper)
{
    KIRQL Irql;

    if (Upper != NULL) {
        MiSplitVad(Space, Vad, Last + 1, Upper);
        Irql = MiLockPfn();
        MiResizeVad(Space, Vad, Vad->StartVpn, First - 1);
        MiUnlockPfn(Irql);
        return;
    }
    Irql = MiLockPfn();
    if (First == Vad->StartVpn) {
        MiResizeVad(Space, Vad, Last + 1, Vad->EndVpn);
    } else {
        MiResizeVad(Space, Vad, Vad->StartVpn, First - 1);
    }
    MiUnlockPfn(Irql);
}

static NTSTATUS MiReleaseRangeOfVad(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, ULONG64 First, ULONG64 Last)
{
    BOOLEAN Whole = First == Vad->StartVpn && Last == Vad->EndVpn;
    PMI_VAD Upper = NULL;
    ULONG64 Pages;

    if (First != Vad->StartVpn && Last != Vad->EndVpn) {
        Upper = MiCreateVad(MiVadPrivate, 0, 0, 0);
        if (Upper == NULL) {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
    }
    ExAcquireFastMutex(&Space->WorkingSetLock);
    Pages = Whole ? Vad->Commit : MiCommitOfPart(Vad, First, Last);
    if (Vad->LargePages) {
        MiEmptyLargeVad(Space, Vad);
    }
    MiDeleteUserRange(Space, First, Last, (MMPTE){.Long = 0});
    MiUnchargeVad(Space, Vad, Pages);
    if (Whole) {
        MiRemoveVad(Space, Vad);
    } else {
        MiCutVad(Space, Vad, First, Last, Upper);
    }
    ExReleaseFastMutex(&Space->WorkingSetLock);
    if (Whole) {
        ExFreePoolWithTag(Vad, MI_TAG_VAD);
    }
    return STATUS_SUCCESS;
}

static NTSTATUS MiFreeRange(PMI_ADDRESS_SPACE Space, PVOID Base, SIZE_T Size, ULONG FreeType, PULONG64 First,
                            PULONG64 Last)
{
    PMI_VAD Vad;
    NTSTATUS Status;

    if ((FreeType & (MEM_PRESERVE_PLACEHOLDER | MEM_COALESCE_PLACEHOLDERS)) != 0) {
        *First = MI_VPN(Base);
        *Last = MI_VPN((ULONG64)Base + Size - 1);
        return (FreeType & MEM_PRESERVE_PLACEHOLDER) != 0 ? MiPreservePlaceholder(Space, *First, *Last)
                                                          : MiCoalescePlaceholders(Space, *First, *Last);
    }
    Status = MiFindFreeRange(Space, Base, Size, &Vad, First, Last);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Vad->Placeholder && (FreeType == MEM_DECOMMIT || *First != Vad->StartVpn || *Last != Vad->EndVpn)) {
        return STATUS_CONFLICTING_ADDRESSES; /* it is released as a whole, or split */
    }
    if (Vad->LargePages && (FreeType == MEM_DECOMMIT || *First != Vad->StartVpn || *Last != Vad->EndVpn)) {
        return STATUS_UNABLE_TO_FREE_VM; /* it comes and goes as a whole */
    }
    if (FreeType == MEM_DECOMMIT) {
        MiDecommitRange(Space, Vad, *First, *Last);
        return STATUS_SUCCESS;
    }
    return MiReleaseRangeOfVad(Space, Vad, *First, *Last);
}

/**
 * NtFreeVirtualMemory - decommits pages or releases addresses of private memory.
 *
 * @ProcessHandle  with PROCESS_VM_OPERATION
 * @BaseAddress    in: an address of the region; out: its first page
 * @RegionSize     bytes in, 0: the whole region of which BaseAddress is the start; out: what was freed
 * @FreeType       MEM_DECOMMIT or MEM_RELEASE; with MEM_PRESERVE_PLACEHOLDER the range becomes a placeholder, with
 *                 MEM_COALESCE_PLACEHOLDERS the placeholders it consists of become one
 *
 * IRQL: PASSIVE_LEVEL. Fails: STATUS_INVALID_PARAMETER_2 (base), _3 (size), _4 (type), STATUS_MEMORY_NOT_ALLOCATED,
 * STATUS_UNABLE_TO_DELETE_SECTION (a mapped view), STATUS_FREE_VM_NOT_AT_BASE, STATUS_UNABLE_TO_FREE_VM (past the
 * region's end), STATUS_INVALID_PAGE_PROTECTION (secured), STATUS_PROCESS_IS_TERMINATING.
 */
NTSTATUS NTAPI NtFreeVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress, PSIZE_T RegionSize, ULONG FreeType)
{
    MI_TARGET Target;
    PVOID Base;
    SIZE_T Size;
    ULONG64 First = 0, Last = 0;
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    Status = MiCaptureRange(BaseAddress, RegionSize, &Base, &Size);
    if (NT_SUCCESS(Status)) {
        Status = MiDecodeFree(Base, Size, FreeType);
    }
    if (NT_SUCCESS(Status)) {
        Status = MiOpenTarget(ProcessHandle, MI_PROCESS_VM_OPERATION, &Target);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    ExAcquireFastMutex(&Target.Space->AddressLock);
    Status = MiFreeRange(Target.Space, Base, Size, FreeType, &First, &Last);
    ExReleaseFastMutex(&Target.Space->AddressLock);
    MiCloseTarget(&Target);
    return NT_SUCCESS(Status)
               ? MiReturnRange(BaseAddress, RegionSize, MI_VPN_ADDRESS(First), (Last - First + 1) << PAGE_SHIFT)
               : Status;
}
