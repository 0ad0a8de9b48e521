/*
 * lockvm.c - NtLockVirtualMemory, NtUnlockVirtualMemory, NtFlushVirtualMemory.
 *
 * Locking brings the pages of a range into the working set, one after another as faults do, and marks their entries in the
 * working-set list, which keeps them from being trimmed. The mark goes with the page: decommitting it, or forbidding all access to it,
 * takes it away. Flushing has nothing to write, since pages of files are never dirty; it tells whether there is a view.
 *
 * Locks: working-set lock, a page at a time; none while a page is brought in. IRQL: PASSIVE_LEVEL.
 *
 * Source: VirtualLock, VirtualUnlock and FlushViewOfFile in the Windows documentation.
 */
#include "../misection.h"
#include "../miprocess.h"
#include <ntos/user.h>

/* A range of pages as a service is given it. */
typedef struct _MI_PAGES {
    ULONG64 First, Last; /* VPN */
} MI_PAGES, *PMI_PAGES;

/* Size 0 is an empty range: allowed where the service has a meaning for it. */
static NTSTATUS MiDecodePages(PVOID Base, SIZE_T Size, PMI_PAGES Pages)
{
    if ((ULONG64)Base > MI_HIGHEST_VAD) {
        return STATUS_INVALID_PARAMETER_2;
    }
    if (Size > MI_HIGHEST_VAD + 1 - (ULONG64)Base) {
        return STATUS_INVALID_PARAMETER_3;
    }
    Pages->First = MI_VPN(Base);
    Pages->Last = Size == 0 ? MI_VPN(Base) : MI_VPN((ULONG64)Base + Size - 1);
    return STATUS_SUCCESS;
}

/* ---- Locking ---- */

/* A page that an MDL has mapped here is locked by it, as large pages always are; neither is in the list. Working-set lock held. */
static BOOLEAN MiIsAlias(ULONG64 Vpn)
{
    PMMPTE Pte = MiResidentUserPte(MI_VPN_ADDRESS(Vpn));

    return (Pte != NULL && Pte->Hard.Valid && (Pte->Long & MI_PTE_ALIAS) != 0) || MiIsLargeAddress(MI_VPN_ADDRESS(Vpn));
}

/* The entry of a page in the working-set list; NULL: the page is not valid. Working-set lock held. */
static volatile MI_WSLE *MiEntryOfPage(PMI_ADDRESS_SPACE Space, ULONG64 Vpn)
{
    PMMPTE Pte = MiResidentUserPte(MI_VPN_ADDRESS(Vpn));

    if (Pte == NULL || !Pte->Hard.Valid || MiIsAlias(Vpn)) {
        return NULL;
    }
    return &MI_WSL[MiFindWsle(Space, MiPteFrame(*Pte), MI_VPN_ADDRESS(Vpn))];
}

/* Marks a page, or takes its mark away. Returns FALSE if it is not valid; *Was: it was marked. */
static BOOLEAN MiMarkPage(PMI_ADDRESS_SPACE Space, ULONG64 Vpn, BOOLEAN Locked, PBOOLEAN Was)
{
    volatile MI_WSLE *Entry;
    BOOLEAN Alias;
    KIRQL Irql;

    ExAcquireFastMutex(&Space->WorkingSetLock);
    Alias = MiIsAlias(Vpn);
    *Was = Alias;
    Irql = MiLockPfn();
    Entry = MiEntryOfPage(Space, Vpn);
    if (Entry != NULL) {
        MI_WSLE New = {.Long = Entry->Long};

        *Was = New.Locked;
        New.Locked = Locked;
        Entry->Long = New.Long;
    }
    MiUnlockPfn(Irql);
    ExReleaseFastMutex(&Space->WorkingSetLock);
    return Entry != NULL || Alias;
}

/* Brings one page in and marks it. */
static NTSTATUS MiLockPage(PMI_ADDRESS_SPACE Space, ULONG64 Vpn, PBOOLEAN Was)
{
    static const MI_ACCESS Access = {.User = TRUE};

    while (!MiMarkPage(Space, Vpn, TRUE, Was)) {
        NTSTATUS Status = MiMakeUserPageValid(MI_VPN_ADDRESS(Vpn), &Access);

        if (!NT_SUCCESS(Status)) {
            return Status;
        }
    }
    return STATUS_SUCCESS;
}

static NTSTATUS MiLockRange(PMI_ADDRESS_SPACE Space, const MI_PAGES *Pages)
{
    ULONG64 Count = Pages->Last - Pages->First + 1;
    BOOLEAN Was, AllWere = TRUE;

    if ((LONG64)Count > MiAvailableFrames - MI_RESERVE_FRAMES) {
        return STATUS_WORKING_SET_QUOTA;
    }
    for (ULONG64 Vpn = Pages->First; Vpn <= Pages->Last; Vpn++) {
        NTSTATUS Status = MiLockPage(Space, Vpn, &Was);

        if (!NT_SUCCESS(Status)) { /* what was locked up to here is given up again */
            while (Vpn-- != Pages->First) {
                MiMarkPage(Space, Vpn, FALSE, &Was);
            }
            return Status;
        }
        AllWere = AllWere && Was;
    }
    return AllWere ? STATUS_WAS_LOCKED : STATUS_SUCCESS;
}

/* All pages of a range are locked? Then none is any more. */
static NTSTATUS MiUnlockRange(PMI_ADDRESS_SPACE Space, const MI_PAGES *Pages)
{
    NTSTATUS Status = STATUS_SUCCESS;
    BOOLEAN Was;

    ExAcquireFastMutex(&Space->WorkingSetLock);
    for (ULONG64 Vpn = Pages->First; Vpn <= Pages->Last && NT_SUCCESS(Status); Vpn++) {
        volatile MI_WSLE *Entry = MiEntryOfPage(Space, Vpn);

        Status = Entry != NULL && Entry->Locked ? STATUS_SUCCESS : STATUS_NOT_LOCKED;
    }
    ExReleaseFastMutex(&Space->WorkingSetLock);
    for (ULONG64 Vpn = Pages->First; Vpn <= Pages->Last && NT_SUCCESS(Status); Vpn++) {
        MiMarkPage(Space, Vpn, FALSE, &Was);
    }
    return Status;
}

static NTSTATUS MiLockOrUnlock(HANDLE ProcessHandle, PVOID *BaseAddress, PSIZE_T RegionSize, ULONG MapType,
                               BOOLEAN Lock)
{
    MI_TARGET Target;
    MI_PAGES Pages;
    PVOID Base;
    SIZE_T Size;
    NTSTATUS Status = STATUS_SUCCESS;

    ASSERT_IRQL(PASSIVE_LEVEL);
    if (MapType == 0 || (MapType & ~(ULONG)(MAP_PROCESS | MAP_SYSTEM)) != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    Status = MiCaptureRange(BaseAddress, RegionSize, &Base, &Size);
    if (NT_SUCCESS(Status)) {
        Status = MiDecodePages(Base, Size, &Pages);
    }
    if (NT_SUCCESS(Status) && Size == 0) {
        Status = STATUS_INVALID_PARAMETER_3;
    }
    if (NT_SUCCESS(Status) && (MapType & MAP_SYSTEM) != 0 &&
        !SeSinglePrivilegeCheck(SeExports->SeLockMemoryPrivilege, ExGetPreviousMode())) {
        Status = STATUS_PRIVILEGE_NOT_HELD;
    }
    if (NT_SUCCESS(Status)) {
        Status = MiOpenTarget(ProcessHandle, MI_PROCESS_VM_OPERATION, &Target);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = Lock ? MiLockRange(Target.Space, &Pages) : MiUnlockRange(Target.Space, &Pages);
    MiCloseTarget(&Target);
    if (NT_SUCCESS(Status)) {
        NTSTATUS Returned = MiReturnRange(BaseAddress, RegionSize, MI_VPN_ADDRESS(Pages.First),
                                          (Pages.Last - Pages.First + 1) << PAGE_SHIFT);

        Status = NT_SUCCESS(Returned) ? Status : Returned;
    }
    return Status;
}

/**
 * NtLockVirtualMemory - brings pages into the working set and keeps them there.
 *
 * @ProcessHandle  with PROCESS_VM_OPERATION
 * @BaseAddress    in: an address of the first page; out: its start
 * @RegionSize     bytes in, out: whole pages
 * @MapType        MAP_PROCESS, MAP_SYSTEM (needs SeLockMemoryPrivilege)
 *
 * IRQL: PASSIVE_LEVEL. Returns STATUS_WAS_LOCKED if all of them were. Fails: STATUS_INVALID_PARAMETER (type), _2 (base),
 * _3 (size), STATUS_PRIVILEGE_NOT_HELD, STATUS_ACCESS_VIOLATION (a page that cannot be read), STATUS_GUARD_PAGE_VIOLATION,
 * STATUS_WORKING_SET_QUOTA, what reading a file or a bad handle gives.
 */
NTSTATUS NTAPI NtLockVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress, PSIZE_T RegionSize, ULONG MapType)
{
    return MiLockOrUnlock(ProcessHandle, BaseAddress, RegionSize, MapType, TRUE);
}

/* NtUnlockVirtualMemory - undoes it. Fails as above, and STATUS_NOT_LOCKED (any of the pages), with nothing changed. */
NTSTATUS NTAPI NtUnlockVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress, PSIZE_T RegionSize, ULONG MapType)
{
    return MiLockOrUnlock(ProcessHandle, BaseAddress, RegionSize, MapType, FALSE);
}

/* ---- Flushing ---- */

/* Is the range part of one view of data? Size 0: up to the view's end. Address lock held. */
static NTSTATUS MiFindFlushRange(PMI_ADDRESS_SPACE Space, SIZE_T Size, PMI_PAGES Pages)
{
    PMI_VAD Vad = MiFindVad(Space, Pages->First);

    if (Vad == NULL || Vad->Type != MiVadMapped) {
        return STATUS_NOT_MAPPED_VIEW;
    }
    if (Vad->Image) {
        return STATUS_NOT_MAPPED_DATA;
    }
    if (Size == 0) {
        Pages->Last = Vad->EndVpn;
    }
    return Pages->Last > Vad->EndVpn ? STATUS_INVALID_PARAMETER_2 : STATUS_SUCCESS;
}

/**
 * NtFlushVirtualMemory - writes what was changed of a file through a view.
 *
 * @ProcessHandle  with PROCESS_VM_OPERATION
 * @RegionSize     bytes in, 0: to the end of the view; out: whole pages
 * @IoStatus       receives status and bytes written
 *
 * IRQL: PASSIVE_LEVEL. Fails: STATUS_NOT_MAPPED_VIEW, STATUS_NOT_MAPPED_DATA (an image), STATUS_INVALID_PARAMETER_2 (base, or past
 * the view's end), _3 (size), what a bad handle or pointer gives.
 */
NTSTATUS NTAPI NtFlushVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress, PSIZE_T RegionSize,
                                    PIO_STATUS_BLOCK IoStatus)
{
    IO_STATUS_BLOCK Iosb = {.Status = STATUS_SUCCESS};
    MI_TARGET Target;
    MI_PAGES Pages;
    PVOID Base;
    SIZE_T Size;
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    Status = MiCaptureRange(BaseAddress, RegionSize, &Base, &Size);
    if (NT_SUCCESS(Status)) {
        Status = MiDecodePages(Base, Size, &Pages);
    }
    if (NT_SUCCESS(Status)) {
        Status = MiOpenTarget(ProcessHandle, MI_PROCESS_VM_OPERATION, &Target);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    ExAcquireFastMutex(&Target.Space->AddressLock);
    Status = MiFindFlushRange(Target.Space, Size, &Pages);
    ExReleaseFastMutex(&Target.Space->AddressLock);
    MiCloseTarget(&Target);
    if (NT_SUCCESS(Status)) {
        Status = ExCopyToCaller(IoStatus, &Iosb, sizeof(Iosb));
    }
    return NT_SUCCESS(Status) ? MiReturnRange(BaseAddress, RegionSize, MI_VPN_ADDRESS(Pages.First),
                                              (Pages.Last - Pages.First + 1) << PAGE_SHIFT)
                              : Status;
}
