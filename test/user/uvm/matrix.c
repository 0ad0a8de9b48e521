/*
 * matrix.c - what the services of virtual memory say to every combination of state, type, protection, place and size.
 *
 * A region of 64 pages is put into each of the states below, one call is made on a part of it, and the status is compared with what the
 * model says: the rules of the documentation, written down once for each service, know nothing of how the kernel decides. After a
 * success the pages are described as the call promised; after a refusal the region is as it was. Then the region goes, and the
 * next case begins with the same state.
 *
 * Source: VirtualAlloc, VirtualAlloc2, VirtualFree, VirtualProtect, VirtualLock, FlushViewOfFile and ReadProcessMemory in the Windows
 * documentation, and the statuses that the native services return for their errors.
 */
#include "matrix.h"

ULONG Cases;

/* ---- Allocating ---- */

static NTSTATUS ExpectAllocate(STATE State, ULONG Type, ULONG Protect, ULONG64 Base, SIZE_T Size)
{
    ULONG Known = MEM_COMMIT | MEM_RESERVE | MEM_TOP_DOWN | MEM_WRITE_WATCH;
    ULONG64 Start = Base & ~0xFFFFULL;
    NTSTATUS Status;

    if (Type != MEM_RESET && Type != MEM_RESET_UNDO &&
        ((Type & ~Known) != 0 || (Type & (MEM_COMMIT | MEM_RESERVE)) == 0 ||
         ((Type & MEM_WRITE_WATCH) != 0 && (Type & MEM_RESERVE) == 0))) {
        return STATUS_INVALID_PARAMETER_5;
    }
    if (!IsProtection(Protect) || (Protect & (PAGE_WRITECOPY | PAGE_EXECUTE_WRITECOPY)) != 0) {
        return STATUS_INVALID_PAGE_PROTECTION; /* private memory has nothing to copy from */
    }
    if (Base < LOWEST) {
        return STATUS_INVALID_PARAMETER_2;
    }
    Status = RangeStatus(Base, Size, STATUS_INVALID_PARAMETER_2, STATUS_INVALID_PARAMETER_4, FALSE);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if ((Type & MEM_RESERVE) != 0) {
        return Overlaps(State, Start, Base + Size - Start) ? STATUS_CONFLICTING_ADDRESSES : STATUS_SUCCESS;
    }
    if (Type == MEM_RESET || Type == MEM_RESET_UNDO) { /* only pages that lie in the range as a whole */
        Start = (Base + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1ULL);
        Size = ((Base + Size) & ~(PAGE_SIZE - 1ULL)) - Start;
        return (LONG64)Size <= 0            ? STATUS_INVALID_PARAMETER_4
               : Inside(State, Start, Size) ? STATUS_SUCCESS
                                            : STATUS_CONFLICTING_ADDRESSES;
    }
    if (!Inside(State, Base, Size)) {
        return STATUS_CONFLICTING_ADDRESSES;
    }
    return State == StatePlaceholder ? STATUS_CONFLICTING_ADDRESSES
           : State == StateView      ? STATUS_ALREADY_COMMITTED
                                     : STATUS_SUCCESS;
}

/* The pages are what the call made of them, and it told where they are. */
static BOOLEAN AllocatedAsAsked(ULONG Type, ULONG Protect, ULONG64 Asked, SIZE_T AskedSize, ULONG64 Base, SIZE_T Size)
{
    ULONG64 Step = (Type & MEM_RESERVE) != 0 ? 0x10000 : PAGE_SIZE;
    MEMORY_BASIC_INFORMATION Basic;

    Describe(Base, &Basic);
    if (Type == MEM_RESET || Type == MEM_RESET_UNDO) {
        return Base == ((Asked + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1ULL)) &&
               Base + Size == ((Asked + AskedSize) & ~(PAGE_SIZE - 1ULL));
    }
    if (Base != (Asked & ~(Step - 1)) || Base + Size != ((Asked + AskedSize + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1ULL))) {
        return FALSE;
    }
    if ((Type & MEM_COMMIT) != 0) {
        return Basic.State == MEM_COMMIT && Basic.Protect == Protect;
    }
    return (Type & MEM_RESERVE) == 0 || (Basic.State == MEM_RESERVE && Basic.AllocationProtect == Protect);
}

static BOOLEAN TryAllocate(STATE State, ULONG Type, ULONG Protect, ULONG Where)
{
    ULONG64 Asked = BaseOf(State) + Place[Where].Offset;
    NTSTATUS Expected = ExpectAllocate(State, Type, Protect, Asked, Place[Where].Size), Status;
    MEMORY_BASIC_INFORMATION Before, After;
    PVOID Base = (PVOID)Asked;
    SIZE_T Size = Place[Where].Size;
    BOOLEAN Good;

    if (!IsOurs(State, Where)) {
        return TRUE;
    }
    Cases++;
    if (!NT_SUCCESS(Build(State))) {
        return Differs("build", State, 0, Where, 0, 0);
    }
    Describe(REGION, &Before);
    Status = NtAllocateVirtualMemory(ZwCurrentProcess(), &Base, 0, &Size, Type, Protect);
    Describe(REGION, &After);
    Good = Status == Expected;
    if (Good && NT_SUCCESS(Status)) {
        Good = AllocatedAsAsked(Type, Protect, Asked, Place[Where].Size, (ULONG64)Base, Size);
    } else if (Good) {
        Good = RtlEqualMemory(&Before, &After, sizeof(Before)) && Base == (PVOID)Asked;
    }
    Destroy();
    return Good || Differs("allocate", State, Type << 8 | Protect, Where, Status, Expected);
}

ULONG MatrixAllocate(VOID)
{
    static const ULONG Type[] = {MEM_RESERVE,
                                 MEM_COMMIT,
                                 MEM_RESERVE | MEM_COMMIT,
                                 MEM_RESERVE | MEM_TOP_DOWN,
                                 MEM_RESERVE | MEM_WRITE_WATCH,
                                 MEM_RESET,
                                 MEM_RESET_UNDO,
                                 0,
                                 MEM_TOP_DOWN,
                                 MEM_DECOMMIT,
                                 MEM_RESET | MEM_COMMIT,
                                 MEM_COMMIT | MEM_WRITE_WATCH,
                                 MEM_RESERVE | MEM_RESERVE_PLACEHOLDER,
                                 MEM_RESERVE | MEM_LARGE_PAGES,
                                 MEM_RESERVE | 1};

    for (STATE State = 0; State < StateMax; State++) {
        for (ULONG Index = 0; Index < RTL_NUMBER_OF(Type); Index++) {
            for (ULONG Where = 0; Where < RTL_NUMBER_OF(Place); Where++) {
                CHECK(TryAllocate(State, Type[Index], PAGE_READWRITE, Where));
            }
        }
    }
    return 0;
}

ULONG MatrixProtections(VOID)
{
    static const ULONG Type[] = {MEM_RESERVE, MEM_COMMIT, MEM_RESERVE | MEM_COMMIT};

    for (STATE State = 0; State < StateMax; State++) {
        for (ULONG Index = 0; Index < RTL_NUMBER_OF(Protections) * RTL_NUMBER_OF(Type); Index++) {
            CHECK(TryAllocate(State, Type[Index % RTL_NUMBER_OF(Type)], Protections[Index / RTL_NUMBER_OF(Type)], 1));
        }
    }
    return 0;
}
