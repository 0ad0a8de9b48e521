/*
 * matrixuse.c - the matrix of virtual memory (matrix.c) for what is done with regions that exist: freeing, protecting, locking, flushing,
 * reading and writing.
 *
 * Source: VirtualFree, VirtualProtect, VirtualLock, FlushViewOfFile and ReadProcessMemory in the Windows documentation.
 */
#include "matrix.h"

/* ---- Freeing ---- */

static NTSTATUS ExpectPreserve(STATE State, ULONG64 Base, SIZE_T Size)
{
    BOOLEAN Whole = Base == REGION && Size == BYTES;

    if (!Overlaps(State, Base, 1)) {
        return STATUS_MEMORY_NOT_ALLOCATED;
    }
    if (State == StateView) {
        return STATUS_UNABLE_TO_DELETE_SECTION;
    }
    if (!Inside(State, Base, Size)) {
        return STATUS_UNABLE_TO_FREE_VM;
    }
    /* a placeholder is split, an allocation turned back as a whole */
    return Whole == (State == StatePlaceholder) ? STATUS_CONFLICTING_ADDRESSES : STATUS_SUCCESS;
}

static NTSTATUS ExpectFree(STATE State, ULONG Type, ULONG64 Base, SIZE_T Size)
{
    ULONG Keep = Type & (MEM_PRESERVE_PLACEHOLDER | MEM_COALESCE_PLACEHOLDERS), Kind = Type & ~Keep;
    NTSTATUS Status;

    if ((Kind != MEM_DECOMMIT && Kind != MEM_RELEASE) || (Keep != 0 && Kind != MEM_RELEASE) ||
        (Keep & (Keep - 1)) != 0) {
        return STATUS_INVALID_PARAMETER_4;
    }
    Status = RangeStatus(Base, Size, STATUS_INVALID_PARAMETER_2, STATUS_INVALID_PARAMETER_3, Keep == 0);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Keep == MEM_COALESCE_PLACEHOLDERS) {
        return STATUS_CONFLICTING_ADDRESSES; /* there never are two */
    }
    if (Keep == MEM_PRESERVE_PLACEHOLDER) {
        return ExpectPreserve(State, Base & ~(PAGE_SIZE - 1ULL),
                              ((Base + Size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1ULL)) - (Base & ~(PAGE_SIZE - 1ULL)));
    }
    if (!Overlaps(State, Base, 1)) {
        return STATUS_MEMORY_NOT_ALLOCATED;
    }
    if (State == StateView) {
        return STATUS_UNABLE_TO_DELETE_SECTION;
    }
    if (Size == 0 && Base >= REGION + PAGE_SIZE) {
        return STATUS_FREE_VM_NOT_AT_BASE;
    }
    if (!Inside(State, Base, Size)) {
        return STATUS_UNABLE_TO_FREE_VM;
    }
    if (State == StatePlaceholder && (Kind == MEM_DECOMMIT || (Size != 0 && Size != BYTES))) {
        return STATUS_CONFLICTING_ADDRESSES;
    }
    return STATUS_SUCCESS;
}

static BOOLEAN TryFree(STATE State, ULONG Type, ULONG Where)
{
    ULONG64 Asked = BaseOf(State) + Place[Where].Offset;
    NTSTATUS Expected = ExpectFree(State, Type, Asked, Place[Where].Size), Status;
    MEMORY_BASIC_INFORMATION Before, After;
    PVOID Base = (PVOID)Asked;
    SIZE_T Size = Place[Where].Size;
    BOOLEAN Good;

    if (!IsOurs(State, Where)) {
        return TRUE;
    }
    Cases++;
    Build(State);
    Describe(REGION, &Before);
    Status = NtFreeVirtualMemory(ZwCurrentProcess(), &Base, &Size, Type);
    Good = Status == Expected;
    if (NT_SUCCESS(Status)) {
        Describe((ULONG64)Base, &After);
        Good = Good && After.State == (Type == MEM_RELEASE ? (ULONG)MEM_FREE : (ULONG)MEM_RESERVE) && Size != 0;
    } else {
        Describe(REGION, &After);
        Good = Good && RtlEqualMemory(&Before, &After, sizeof(Before));
    }
    Destroy();
    return Good || Differs("free", State, Type, Where, Status, Expected);
}

ULONG MatrixFree(VOID)
{
    static const ULONG Type[] = {MEM_DECOMMIT,
                                 MEM_RELEASE,
                                 MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER,
                                 MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS,
                                 MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS | MEM_PRESERVE_PLACEHOLDER,
                                 MEM_DECOMMIT | MEM_RELEASE,
                                 MEM_DECOMMIT | MEM_PRESERVE_PLACEHOLDER,
                                 MEM_COMMIT,
                                 0};

    for (STATE State = 0; State < StateMax; State++) {
        for (ULONG Index = 0; Index < RTL_NUMBER_OF(Type); Index++) {
            for (ULONG Where = 0; Where < RTL_NUMBER_OF(Place); Where++) {
                CHECK(TryFree(State, Type[Index], Where));
            }
        }
    }
    return 0;
}

/* ---- Protecting ---- */

static ULONG ProtectionOf(STATE State)
{
    return State == StateReadOnly   ? PAGE_READONLY
           : State == StateGuard    ? PAGE_READWRITE | PAGE_GUARD
           : State == StateNoAccess ? PAGE_NOACCESS
                                    : PAGE_READWRITE;
}

static NTSTATUS ExpectProtect(STATE State, ULONG Protect, ULONG64 Base, SIZE_T Size)
{
    NTSTATUS Status;

    if (!IsProtection(Protect)) {
        return STATUS_INVALID_PAGE_PROTECTION;
    }
    Status = RangeStatus(Base, Size, STATUS_INVALID_PARAMETER_2, STATUS_INVALID_PARAMETER_3, FALSE);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (!Inside(State, Base, Size) || State == StatePlaceholder) {
        return STATUS_CONFLICTING_ADDRESSES;
    }
    if (State != StateView && (Protect & (PAGE_WRITECOPY | PAGE_EXECUTE_WRITECOPY)) != 0) {
        return STATUS_INVALID_PAGE_PROTECTION;
    }
    /* the section allows no execution, and its pages have one cache type for all who map it */
    if (State == StateView && ((Protect & 0xF0) != 0 || (Protect & (PAGE_NOCACHE | PAGE_WRITECOMBINE)) != 0)) {
        return STATUS_INVALID_PAGE_PROTECTION;
    }
    return AllCommitted(State, Base, Size) ? STATUS_SUCCESS : STATUS_NOT_COMMITTED;
}

static BOOLEAN TryProtect(STATE State, ULONG Protect, ULONG Where)
{
    ULONG64 Asked = BaseOf(State) + Place[Where].Offset;
    NTSTATUS Expected = ExpectProtect(State, Protect, Asked, Place[Where].Size), Status;
    MEMORY_BASIC_INFORMATION Basic;
    PVOID Base = (PVOID)Asked;
    SIZE_T Size = Place[Where].Size;
    ULONG Old = 0;
    BOOLEAN Good;

    if (!IsOurs(State, Where)) {
        return TRUE;
    }
    Cases++;
    Build(State);
    Status = NtProtectVirtualMemory(ZwCurrentProcess(), &Base, &Size, Protect, &Old);
    Good = Status == Expected;
    if (NT_SUCCESS(Status)) {
        Describe((ULONG64)Base, &Basic);
        Good = Good && Old == ProtectionOf(State) && Basic.Protect == Protect && Basic.State == MEM_COMMIT;
    } else {
        Good = Good && Old == 0 && Base == (PVOID)Asked;
    }
    Destroy();
    return Good || Differs("protect", State, Protect, Where, Status, Expected);
}

ULONG MatrixProtect(VOID)
{
    for (STATE State = 0; State < StateMax; State++) {
        for (ULONG Index = 0; Index < RTL_NUMBER_OF(Protections); Index++) {
            CHECK(TryProtect(State, Protections[Index], 1 + Index % 3));
        }
        for (ULONG Where = 0; Where < RTL_NUMBER_OF(Place); Where++) {
            CHECK(TryProtect(State, PAGE_READONLY, Where));
        }
    }
    return 0;
}

/* ---- Locking ---- */

static NTSTATUS ExpectLock(STATE State, ULONG Type, ULONG64 Base, SIZE_T Size, BOOLEAN Unlock)
{
    NTSTATUS Status;

    if (Type != MAP_PROCESS) {
        return STATUS_INVALID_PARAMETER;
    }
    Status = RangeStatus(Base, Size, STATUS_INVALID_PARAMETER_2, STATUS_INVALID_PARAMETER_3, FALSE);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Unlock) {
        return STATUS_NOT_LOCKED;
    }
    if (!Overlaps(State, Base, 1) || State == StateNoAccess || Base >= REGION + CommittedPages(State) * PAGE_SIZE) {
        return STATUS_ACCESS_VIOLATION;
    }
    return State == StateGuard               ? STATUS_GUARD_PAGE_VIOLATION
           : AllCommitted(State, Base, Size) ? STATUS_SUCCESS
                                             : STATUS_ACCESS_VIOLATION;
}

static BOOLEAN TryLock(STATE State, ULONG Type, BOOLEAN Unlock, ULONG Where)
{
    ULONG64 Asked = BaseOf(State) + Place[Where].Offset;
    NTSTATUS Expected = ExpectLock(State, Type, Asked, Place[Where].Size, Unlock), Status;
    PVOID Base = (PVOID)Asked;
    SIZE_T Size = Place[Where].Size;
    BOOLEAN Good;

    if (!IsOurs(State, Where)) {
        return TRUE;
    }
    Cases++;
    Build(State);
    Status = Unlock ? NtUnlockVirtualMemory(ZwCurrentProcess(), &Base, &Size, Type)
                    : NtLockVirtualMemory(ZwCurrentProcess(), &Base, &Size, Type);
    Good = Status == Expected;
    if (Status == STATUS_SUCCESS) { /* again, and both undone at once */
        Good = Good && NtLockVirtualMemory(ZwCurrentProcess(), &Base, &Size, Type) == STATUS_WAS_LOCKED &&
               NtUnlockVirtualMemory(ZwCurrentProcess(), &Base, &Size, Type) == STATUS_SUCCESS &&
               NtUnlockVirtualMemory(ZwCurrentProcess(), &Base, &Size, Type) == STATUS_NOT_LOCKED;
    }
    Destroy();
    return Good || Differs(Unlock ? "unlock" : "lock", State, Type, Where, Status, Expected);
}

ULONG MatrixLock(VOID)
{
    for (STATE State = 0; State < StateMax; State++) {
        for (ULONG Where = 0; Where < RTL_NUMBER_OF(Place); Where++) {
            CHECK(TryLock(State, MAP_PROCESS, FALSE, Where));
            CHECK(TryLock(State, MAP_PROCESS, TRUE, Where));
        }
        CHECK(TryLock(State, 0, FALSE, 1));
        CHECK(TryLock(State, 4, TRUE, 1));
    }
    return 0;
}

/* ---- Flushing ---- */

static NTSTATUS ExpectFlush(STATE State, ULONG64 Base, SIZE_T Size)
{
    NTSTATUS Status = RangeStatus(Base, Size, STATUS_INVALID_PARAMETER_2, STATUS_INVALID_PARAMETER_3, TRUE);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (State != StateView) {
        return STATUS_NOT_MAPPED_VIEW;
    }
    return Inside(State, Base, Size) ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER_2;
}

ULONG MatrixFlush(VOID)
{
    for (STATE State = 0; State < StateMax; State++) {
        for (ULONG Where = 0; Where < RTL_NUMBER_OF(Place); Where++) {
            ULONG64 Asked = BaseOf(State) + Place[Where].Offset;
            NTSTATUS Expected = ExpectFlush(State, Asked, Place[Where].Size), Status;
            PVOID Base = (PVOID)Asked;
            SIZE_T Size = Place[Where].Size;
            IO_STATUS_BLOCK Iosb;

            if (!IsOurs(State, Where)) {
                continue;
            }
            Cases++;
            Build(State);
            Status = NtFlushVirtualMemory(ZwCurrentProcess(), &Base, &Size, &Iosb);
            Destroy();
            CHECK(Status == Expected || Differs("flush", State, 0, Where, Status, Expected));
        }
    }
    return 0;
}

/* ---- Reading and writing ---- */

/* Bytes from Base on that can be read or written, at most Size. */
static SIZE_T Accessible(STATE State, BOOLEAN Write, ULONG64 Base, SIZE_T Size)
{
    ULONG64 End = REGION + CommittedPages(State) * PAGE_SIZE;

    if (State == StateNoAccess || State == StateGuard || (Write && State == StateReadOnly) || Base < REGION ||
        Base >= End) {
        return 0;
    }
    return min(Size, End - Base);
}

ULONG MatrixCopy(VOID)
{
    static UCHAR Buffer[BYTES + PAGE_SIZE];

    for (STATE State = 0; State < StateMax; State++) {
        for (ULONG Case = 0; Case < 2 * RTL_NUMBER_OF(Place); Case++) {
            ULONG Where = Case / 2;
            BOOLEAN Write = Case & 1;
            ULONG64 Asked = BaseOf(State) + Place[Where].Offset;
            SIZE_T Size = Place[Where].Size, Count = 1, Wanted = Accessible(State, Write, Asked, Size);
            NTSTATUS Expected = Asked > HIGHEST || Size > HIGHEST ? STATUS_ACCESS_VIOLATION
                                : Wanted == Size                  ? STATUS_SUCCESS
                                                                  : STATUS_PARTIAL_COPY;
            NTSTATUS Status;

            if (!IsOurs(State, Where)) {
                continue;
            }
            Cases++;
            Build(State);
            Status = Write ? NtWriteVirtualMemory(ZwCurrentProcess(), (PVOID)Asked, Buffer, Size, &Count)
                           : NtReadVirtualMemory(ZwCurrentProcess(), (PVOID)Asked, Buffer, Size, &Count);
            Destroy();
            CHECK(Status == Expected || Differs(Write ? "write" : "read", State, 0, Where, Status, Expected));
            /* what was copied ends with a part of a page's length before the first page that is not there */
            CHECK(Status == STATUS_ACCESS_VIOLATION || Count <= Wanted);
            CHECK(Status != STATUS_SUCCESS || Count == Size);
        }
    }
    return 0;
}

/* The matrix is as large as it is said to be. */
ULONG MatrixCount(VOID)
{
    DbgPrint("# %lu cases\n", Cases);
    CHECK(Cases >= 2500);
    return 0;
}
