/*
 * allocvm.c - NtAllocateVirtualMemory: reserving addresses and committing pages of private memory.
 *
 * Reserving makes a VAD. Reserving and committing at once makes one that is committed as a whole: its PTEs stay 0 until they are
 * touched, so a gigabyte costs its charge and nothing else. Committing a part of a reserved VAD writes demand-zero PTEs, after
 * the charge for all of it was granted. Whatever fails leaves no trace.
 *
 * Locks: address lock for the whole of it, working-set lock where PTEs are looked at or written.
 *
 * Source: ZwAllocateVirtualMemory in the Windows driver documentation; statuses as Windows returns them.
 */
#include "../misection.h"
#include "../miprocess.h"

typedef struct _MI_ALLOCATION {
    ULONG64 Base, Size; /* bytes, as the caller gave them */
    MI_PLACE Place;     /* where it may be, for Base NULL */
    ULONG Type;         /* MEM_... */
    ULONG Protection;   /* MM_... */
} MI_ALLOCATION, *PMI_ALLOCATION;

#define MI_LARGE_TYPES (MEM_RESERVE | MEM_COMMIT | MEM_LARGE_PAGES)
#define MI_ALLOCATION_TYPES                                                                                            \
    (MEM_COMMIT | MEM_RESERVE | MEM_TOP_DOWN | MEM_RESET | MEM_RESET_UNDO | MEM_WRITE_WATCH | MEM_LARGE_PAGES)
#define MI_PLACEHOLDER_TYPES (MEM_RESERVE_PLACEHOLDER | MEM_REPLACE_PLACEHOLDER)
#define MI_MOST_ZERO_BITS    21

const MI_PLACE MiAnyPlace = {MI_LOWEST_USER, MI_HIGHEST_VAD, MI_GRANULARITY};

/* Zero bits up to 32 count in the low 4 GB; a larger value is a mask of the bits that may be set. */
static NTSTATUS MiDecodeZeroBits(ULONG_PTR ZeroBits, PULONG64 Highest)
{
    if (ZeroBits == 0) {
        return STATUS_SUCCESS;
    }
    if (ZeroBits <= 32) {
        *Highest = 0xFFFFFFFFULL >> ZeroBits;
        return ZeroBits > MI_MOST_ZERO_BITS ? STATUS_INVALID_PARAMETER_3 : STATUS_SUCCESS;
    }
    for (ULONG Shift = 1; Shift < 64; Shift *= 2) {
        ZeroBits |= ZeroBits >> Shift;
    }
    *Highest = min(*Highest, ZeroBits);
    return STATUS_SUCCESS;
}

/* One of the things that can be done, with what goes along with it. */
static BOOLEAN MiTypeIsValid(ULONG Type, ULONG Allowed)
{
    ULONG Reset = Type & (MEM_RESET | MEM_RESET_UNDO);

    if ((Type & ~Allowed) != 0) {
        return FALSE;
    }
    if (Reset != 0) {
        return Type == Reset && Reset != (MEM_RESET | MEM_RESET_UNDO);
    }
    if ((Type & MEM_LARGE_PAGES) != 0) {
        return (Type & ~(ULONG)MEM_TOP_DOWN) == MI_LARGE_TYPES;
    }
    if ((Type & MI_PLACEHOLDER_TYPES) != 0) {
        ULONG Rest = Type & ~(ULONG)MEM_TOP_DOWN;

        return Rest == (MEM_RESERVE | MEM_RESERVE_PLACEHOLDER) ||
               (Type & ~(ULONG)MEM_COMMIT) == (MEM_RESERVE | MEM_REPLACE_PLACEHOLDER);
    }
    return (Type & (MEM_COMMIT | MEM_RESERVE)) != 0 && ((Type & MEM_WRITE_WATCH) == 0 || (Type & MEM_RESERVE) != 0);
}

/* What large pages ask for beyond the rest; their place is a multiple of their size. */
static NTSTATUS MiCheckLarge(ULONG64 Base, ULONG64 Size, PMI_ALLOCATION Allocation)
{
    if (!MiIsLargeProtection(Allocation->Protection)) {
        return STATUS_INVALID_PAGE_PROTECTION;
    }
    if (Base % MM_LARGE_PAGE != 0) {
        return STATUS_INVALID_PARAMETER_2;
    }
    if (Size % MM_LARGE_PAGE != 0) {
        return STATUS_INVALID_PARAMETER_4;
    }
    Allocation->Place.Alignment = max(Allocation->Place.Alignment, MM_LARGE_PAGE);
    return SeSinglePrivilegeCheck(SeExports->SeLockMemoryPrivilege, ExGetPreviousMode()) ? STATUS_SUCCESS
                                                                                         : STATUS_PRIVILEGE_NOT_HELD;
}

/* Everything that can be told without looking at the process. @Allowed: types that the service has. */
static NTSTATUS MiDecodeAllocation(PVOID Base, SIZE_T Size, ULONG AllocationType, ULONG Protect, ULONG Allowed,
                                   PMI_ALLOCATION Allocation)
{
    if (!MiTypeIsValid(AllocationType, Allowed)) {
        return STATUS_INVALID_PARAMETER_5;
    }
    Allocation->Protection = MiMakeProtection(Protect);
    if ((AllocationType & MEM_RESERVE_PLACEHOLDER) != 0 && Allocation->Protection != MM_NOACCESS) {
        return STATUS_INVALID_PAGE_PROTECTION;
    }
    if (Allocation->Protection == MM_INVALID_PROTECTION || (Protect & (PAGE_WRITECOPY | PAGE_EXECUTE_WRITECOPY)) != 0) {
        return STATUS_INVALID_PAGE_PROTECTION;
    }
    if ((ULONG64)Base > MI_HIGHEST_VAD || (Base != NULL && (ULONG64)Base < MI_LOWEST_USER)) {
        return STATUS_INVALID_PARAMETER_2;
    }
    if (Size == 0 || Size > MI_HIGHEST_VAD + 1 - (ULONG64)Base) {
        return STATUS_INVALID_PARAMETER_4;
    }
    if ((AllocationType & MEM_LARGE_PAGES) != 0) {
        NTSTATUS Status = MiCheckLarge((ULONG64)Base, Size, Allocation);

        if (!NT_SUCCESS(Status)) {
            return Status;
        }
    }
    Allocation->Base = (ULONG64)Base;
    Allocation->Size = Size;
    Allocation->Type = AllocationType | (Base == NULL && (AllocationType & MEM_COMMIT) != 0 ? MEM_RESERVE : 0);
    if ((AllocationType & MEM_REPLACE_PLACEHOLDER) != 0 && (((ULONG64)Base | Size) & (PAGE_SIZE - 1)) != 0) {
        return STATUS_INVALID_PARAMETER_2;
    }
    return Base == NULL && (AllocationType & (MEM_RESET | MEM_RESET_UNDO | MEM_REPLACE_PLACEHOLDER)) != 0
               ? STATUS_INVALID_PARAMETER_2
               : STATUS_SUCCESS;
}

/* ---- Reserving ---- */

/* Where the range goes: [*First, *Last]. Address lock held. */
static NTSTATUS MiPlaceRange(PMI_ADDRESS_SPACE Space, PMI_ALLOCATION Allocation, PULONG64 First, PULONG64 Last)
{
    if (Allocation->Base == 0) {
        ULONG64 Pages = BYTES_TO_PAGES(Allocation->Size);

        *First = MiFindGap(Space, Pages, &Allocation->Place, (Allocation->Type & MEM_TOP_DOWN) != 0);
        *Last = *First + Pages - 1;
        return *First == 0 ? STATUS_NO_MEMORY : STATUS_SUCCESS;
    }
    *Last = MI_VPN(Allocation->Base + Allocation->Size - 1);
    if ((Allocation->Type & MEM_REPLACE_PLACEHOLDER) != 0) {
        *First = MI_VPN(Allocation->Base);
        return MiFindPlaceholder(Space, *First, *Last) != NULL ? STATUS_SUCCESS : STATUS_CONFLICTING_ADDRESSES;
    }
    *First = MI_VPN(Allocation->Base & ~(MI_GRANULARITY - 1));
    return MiVadsOverlap(Space, *First, *Last) ? STATUS_CONFLICTING_ADDRESSES : STATUS_SUCCESS;
}

/* The frames of a region of large pages that is in the tree; without them it goes again. Address lock held. */
static NTSTATUS MiFillOrForget(PMI_ADDRESS_SPACE Space, PMI_VAD Vad)
{
    NTSTATUS Status = MiFillLargeVad(Space, Vad);

    if (!NT_SUCCESS(Status)) {
        ExAcquireFastMutex(&Space->WorkingSetLock);
        MiRemoveVad(Space, Vad);
        ExReleaseFastMutex(&Space->WorkingSetLock);
        MiReturnCommit(&Space->Commit, Vad->Commit);
        ExFreePoolWithTag(Vad, MI_TAG_VAD);
    }
    return Status;
}

static NTSTATUS MiReserveMemory(PMI_ADDRESS_SPACE Space, PMI_ALLOCATION Allocation, PULONG64 First, PULONG64 Last)
{
    PMI_VAD Vad = MiCreateVad(MiVadPrivate, 0, 0, Allocation->Protection);
    NTSTATUS Status;

    if (Vad == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Status = MiPlaceRange(Space, Allocation, First, Last);
    if (NT_SUCCESS(Status)) {
        Vad->StartVpn = *First;
        Vad->EndVpn = *Last;
        Vad->CommitAll = (Allocation->Type & MEM_COMMIT) != 0;
        Vad->WriteWatch = (Allocation->Type & MEM_WRITE_WATCH) != 0;
        Vad->LargePages = (Allocation->Type & MEM_LARGE_PAGES) != 0;
        Vad->Placeholder = (Allocation->Type & MEM_RESERVE_PLACEHOLDER) != 0;
        if (Vad->CommitAll && !MiChargeProcess(Space, *Last - *First + 1)) {
            Status = STATUS_COMMITMENT_LIMIT;
        }
    }
    if (!NT_SUCCESS(Status)) {
        ExFreePoolWithTag(Vad, MI_TAG_VAD);
        return Status;
    }
    Vad->Commit = Vad->CommitAll ? *Last - *First + 1 : 0;
    if ((Allocation->Type & MEM_REPLACE_PLACEHOLDER) != 0) {
        MiReplacePlaceholder(Space, MiFindPlaceholder(Space, *First, *Last), Vad);
        return STATUS_SUCCESS;
    }
    ExAcquireFastMutex(&Space->WorkingSetLock);
    MiInsertVad(Space, Vad);
    ExReleaseFastMutex(&Space->WorkingSetLock);
    return Vad->LargePages ? MiFillOrForget(Space, Vad) : STATUS_SUCCESS;
}

/* ---- Committing ---- */

/* Pages of [First, Last] that are committed already. Working-set lock held. */
static ULONG64 MiCountCommitted(PMI_VAD Vad, ULONG64 First, ULONG64 Last)
{
    ULONG64 NonZero, Decommitted;

    MiCountPtes(First, Last, &NonZero, &Decommitted);
    return Vad->CommitAll ? Last - First + 1 - Decommitted : NonZero;
}

/* Writes demand-zero PTEs for the pages of one table that are not committed. FALSE: no frame for the table now. */
static BOOLEAN MiCommitTable(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, ULONG64 First, ULONG64 Last, ULONG Protection)
{
    PMMPTE Pte = MiPteOf(MI_VPN_ADDRESS(First));
    LONG Used = 0, Added = 0;
    KIRQL Irql;

    if (!MiMakeProcessTables(Space, MI_VPN_ADDRESS(First))) {
        return FALSE;
    }
    Irql = MiLockPfn();
    for (ULONG64 Index = 0; Index <= Last - First; Index++) {
        BOOLEAN Missing = Pte[Index].Long == 0 ? !Vad->CommitAll : MiIsDecommitted(Pte[Index]);

        if (Missing) {
            Used += Pte[Index].Long == 0;
            Added++;
            Pte[Index] = MiMakeDemandZeroPte(Protection);
        }
    }
    MiAddUsedEntries(Pte, Used);
    Vad->Commit += (ULONG64)Added;
    MiUnlockPfn(Irql);
    MiReleaseEmptyTables(Space, MI_VPN_ADDRESS(First));
    return TRUE;
}

static VOID MiCommitPages(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, ULONG64 First, ULONG64 Last, ULONG Protection)
{
    ExAcquireFastMutex(&Space->WorkingSetLock);
    for (ULONG64 Vpn = First; Vpn <= Last;) {
        ULONG64 End = min(Last, Vpn | 511);

        if (MiCommitTable(Space, Vad, Vpn, End, Protection)) {
            Vpn = End + 1;
        } else {
            ExReleaseFastMutex(&Space->WorkingSetLock);
            MiWaitForFrames();
            ExAcquireFastMutex(&Space->WorkingSetLock);
        }
    }
    ExReleaseFastMutex(&Space->WorkingSetLock);
}

/* Pages of a view of a SEC_RESERVE section: committed for all who map it, with a protection for this view. */
static NTSTATUS MiCommitView(PMI_ADDRESS_SPACE Space, PMI_VAD Vad, ULONG64 First, ULONG64 Last, ULONG Protection)
{
    NTSTATUS Status;

    if (!MiViewMayHave(Vad, Protection)) {
        return STATUS_INVALID_PAGE_PROTECTION;
    }
    Status = MiCommitSectionPages(Vad->ControlArea, Vad->FirstPage + First - Vad->StartVpn, Last - First + 1);
    if (NT_SUCCESS(Status)) {
        MiSetProtection(Space, Vad, First, Last, Protection);
    }
    return Status;
}

static NTSTATUS MiCommitMemory(PMI_ADDRESS_SPACE Space, PMI_ALLOCATION Allocation, PULONG64 First, PULONG64 Last)
{
    PMI_VAD Vad;
    ULONG64 Committed;

    *First = MI_VPN(Allocation->Base);
    *Last = MI_VPN(Allocation->Base + Allocation->Size - 1);
    Vad = MiFindVad(Space, *First);
    if (Vad == NULL || *Last > Vad->EndVpn || Vad->Placeholder) {
        return STATUS_CONFLICTING_ADDRESSES;
    }
    if (Vad->Type == MiVadMapped && Vad->ControlArea->Reserve) {
        return MiCommitView(Space, Vad, *First, *Last, Allocation->Protection);
    }
    if (Vad->Type != MiVadPrivate) {
        return STATUS_ALREADY_COMMITTED;
    }
    if (Vad->LargePages) {
        return Allocation->Protection == Vad->Protection ? STATUS_SUCCESS : STATUS_INVALID_PAGE_PROTECTION;
    }
    ExAcquireFastMutex(&Space->WorkingSetLock);
    Committed = MiCountCommitted(Vad, *First, *Last);
    ExReleaseFastMutex(&Space->WorkingSetLock);
    if (Committed != 0 && Vad->Secured != 0) {
        return STATUS_INVALID_PAGE_PROTECTION;
    }
    if (!MiChargeProcess(Space, *Last - *First + 1 - Committed)) {
        return STATUS_COMMITMENT_LIMIT;
    }
    MiCommitPages(Space, Vad, *First, *Last, Allocation->Protection);
    if (Committed != 0) {
        MiSetProtection(Space, Vad, *First, *Last, Allocation->Protection);
    }
    return STATUS_SUCCESS;
}

/* What a reset touches: the pages that lie in the range as a whole, since the rest of the others may be of interest. */
static NTSTATUS MiResetPages(PMI_ADDRESS_SPACE Space, PMI_ALLOCATION Allocation, PULONG64 First, PULONG64 Last)
{
    *First = MI_VPN(Allocation->Base + PAGE_SIZE - 1);
    *Last = MI_VPN(Allocation->Base + Allocation->Size) - 1;
    if (*First > *Last) {
        return STATUS_INVALID_PARAMETER_4;
    }
    return MiResetMemory(Space, *First, *Last, (Allocation->Type & MEM_RESET_UNDO) != 0);
}

static NTSTATUS MiAllocate(PMI_ADDRESS_SPACE Space, PMI_ALLOCATION Allocation, PULONG64 First, PULONG64 Last)
{
    NTSTATUS Status;

    ExAcquireFastMutex(&Space->AddressLock);
    if (Space->Deleted) {
        Status = STATUS_PROCESS_IS_TERMINATING;
    } else if ((Allocation->Type & MEM_RESERVE) != 0) {
        Status = MiReserveMemory(Space, Allocation, First, Last);
    } else if ((Allocation->Type & (MEM_RESET | MEM_RESET_UNDO)) != 0) {
        Status = MiResetPages(Space, Allocation, First, Last);
    } else {
        Status = MiCommitMemory(Space, Allocation, First, Last);
    }
    ExReleaseFastMutex(&Space->AddressLock);
    return Status;
}

NTSTATUS MmAllocateForProgram(PVOID *Base, PSIZE_T Bytes, BOOLEAN Commit)
{
    PMI_ADDRESS_SPACE Space = MiCurrentSpace();
    MI_ALLOCATION Allocation = {.Size = *Bytes,
                                .Place = {MI_LOWEST_USER, Space->Top, MI_GRANULARITY},
                                .Type = MEM_RESERVE | MEM_TOP_DOWN | (Commit ? MEM_COMMIT : 0),
                                .Protection = MM_READWRITE};
    ULONG64 First, Last;
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    if (*Bytes == 0 || *Bytes > MI_HIGHEST_VAD) {
        return STATUS_NO_MEMORY;
    }
    Status = MiAllocate(Space, &Allocation, &First, &Last);
    if (Status == STATUS_NO_MEMORY) { /* the program has filled what lies below */
        Allocation.Place = MiAnyPlace;
        Status = MiAllocate(Space, &Allocation, &First, &Last);
    }
    if (NT_SUCCESS(Status)) {
        *Base = MI_VPN_ADDRESS(First);
        *Bytes = (Last - First + 1) << PAGE_SHIFT;
    }
    return Status;
}

static NTSTATUS MiAllocateInProcess(HANDLE ProcessHandle, PVOID *BaseAddress, PSIZE_T RegionSize,
                                    PMI_ALLOCATION Allocation)
{
    MI_TARGET Target;
    ULONG64 First, Last;
    NTSTATUS Status = MiOpenTarget(ProcessHandle, MI_PROCESS_VM_OPERATION, &Target);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = MiAllocate(Target.Space, Allocation, &First, &Last);
    MiCloseTarget(&Target);
    return NT_SUCCESS(Status)
               ? MiReturnRange(BaseAddress, RegionSize, MI_VPN_ADDRESS(First), (Last - First + 1) << PAGE_SHIFT)
               : Status;
}

/**
 * NtAllocateVirtualMemory - reserves addresses of a process, commits pages, or both.
 *
 * @ProcessHandle   with PROCESS_VM_OPERATION
 * @BaseAddress     in: where, NULL: anywhere; out: the start of the region
 * @ZeroBits        high bits of the low 4 GB that must be 0 (at most 21), or above 32 a mask; for NULL only
 * @RegionSize      bytes in; out: what the region has
 * @AllocationType  MEM_RESERVE, MEM_COMMIT, both; MEM_TOP_DOWN, MEM_WRITE_WATCH; both and MEM_LARGE_PAGES (base and size multiples
 *                  of 2 MB; needs SeLockMemoryPrivilege); or MEM_RESET, or MEM_RESET_UNDO, on the whole pages of the range (resetvm.c)
 * @Protect         PAGE_...
 *
 * IRQL: PASSIVE_LEVEL. Fails: STATUS_INVALID_PARAMETER_2 (base), _3 (zero bits), _4 (size), _5 (type),
 * STATUS_INVALID_PAGE_PROTECTION, STATUS_CONFLICTING_ADDRESSES, STATUS_NO_MEMORY (addresses), STATUS_COMMITMENT_LIMIT, STATUS_PRIVILEGE_NOT_HELD,
 * STATUS_INSUFFICIENT_RESOURCES (no run of frames for a large page), STATUS_ALREADY_COMMITTED (a mapped view), STATUS_USER_MAPPED_FILE (a view to be reset),
 * STATUS_DEVICE_BUSY (a page to be undone was lost), STATUS_PROCESS_IS_TERMINATING, STATUS_ACCESS_VIOLATION (the pointers).
 */
NTSTATUS NTAPI NtAllocateVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress, ULONG_PTR ZeroBits, PSIZE_T RegionSize,
                                       ULONG AllocationType, ULONG Protect)
{
    MI_ALLOCATION Allocation = {.Place = MiAnyPlace};
    PVOID Base;
    SIZE_T Size;
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    Status = MiCaptureRange(BaseAddress, RegionSize, &Base, &Size);
    if (NT_SUCCESS(Status)) {
        Status = MiDecodeZeroBits(ZeroBits, &Allocation.Place.Highest);
    }
    if (NT_SUCCESS(Status)) {
        Status = MiDecodeAllocation(Base, Size, AllocationType, Protect, MI_ALLOCATION_TYPES, &Allocation);
    }
    return NT_SUCCESS(Status) ? MiAllocateInProcess(ProcessHandle, BaseAddress, RegionSize, &Allocation) : Status;
}

/**
 * NtAllocateVirtualMemoryEx - the same with placeholders, and with a say in the place.
 *
 * @AllocationType  as above; MEM_RESERVE with MEM_RESERVE_PLACEHOLDER (PAGE_NOACCESS), or with MEM_REPLACE_PLACEHOLDER: the range is
 *                  exactly a placeholder
 * @Parameters      Count of them: VM_PARAMETER_ADDRESS_REQUIREMENTS, for a base of NULL; VM_PARAMETER_NUMA_NODE is taken as a hint
 *
 * IRQL: PASSIVE_LEVEL. Fails: as above; STATUS_INVALID_PARAMETER (parameters).
 */
NTSTATUS NTAPI NtAllocateVirtualMemoryEx(HANDLE ProcessHandle, PVOID *BaseAddress, PSIZE_T RegionSize,
                                         ULONG AllocationType, ULONG Protect, PVM_EXTENDED_PARAMETER Parameters,
                                         ULONG Count)
{
    MI_ALLOCATION Allocation = {.Place = MiAnyPlace};
    PVOID Base;
    SIZE_T Size;
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    Status = MiCaptureRange(BaseAddress, RegionSize, &Base, &Size);
    if (NT_SUCCESS(Status)) {
        Status = MiCaptureParameters(Parameters, Count, &Allocation.Place);
    }
    if (NT_SUCCESS(Status) && Base != NULL && !RtlEqualMemory(&Allocation.Place, &MiAnyPlace, sizeof(MiAnyPlace))) {
        Status = STATUS_INVALID_PARAMETER;
    }
    if (NT_SUCCESS(Status)) {
        Status = MiDecodeAllocation(Base, Size, AllocationType, Protect, MI_ALLOCATION_TYPES | MI_PLACEHOLDER_TYPES,
                                    &Allocation);
    }
    return NT_SUCCESS(Status) ? MiAllocateInProcess(ProcessHandle, BaseAddress, RegionSize, &Allocation) : Status;
}
