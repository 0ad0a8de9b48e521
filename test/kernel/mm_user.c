/*
 * mm_user.c - suite mm.user: buffers of programs in the hands of drivers: locked, mapped, secured, copied, touched under SMAP.
 *
 * Each case works attached to a fresh process; MiVerify runs with it alive. What a driver's own code does with user memory is
 * seen through cdfs, which writes directory entries into the caller's buffer itself.
 */
#include "proctest.h"

static PVOID UserPages(SIZE_T Pages, ULONG Protect)
{
    PVOID Base = NULL;
    SIZE_T Size = Pages * PAGE_SIZE;

    return NT_SUCCESS(TestAllocate(&Base, &Size, MEM_RESERVE | MEM_COMMIT, Protect)) ? Base : NULL;
}

static __attribute__((noinline)) VOID LockCall(PMDL Mdl, KPROCESSOR_MODE Mode, LOCK_OPERATION Operation)
{
    MmProbeAndLockPages(Mdl, Mode, Operation);
}

static NTSTATUS Lock(PMDL Mdl, KPROCESSOR_MODE Mode, LOCK_OPERATION Operation)
{
    NTSTATUS Status = STATUS_SUCCESS;

    __try {
        LockCall(Mdl, Mode, Operation);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Status = GetExceptionCode();
    }
    return Status;
}

/* Locks, maps for the kernel, writes through both addresses. Frames outlive the program's own mapping. */
static VOID LockBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    PUCHAR Base = UserPages(100, PAGE_READWRITE);
    PMDL Mdl = IoAllocateMdl(Base + 16, 100 * PAGE_SIZE - 16, FALSE, FALSE, NULL);
    volatile ULONG64 *Alias;
    ULONG64 Value;

    KTAP_CHECK(Base != NULL && Mdl != NULL);
    KTAP_EQUAL(TestWrite(Base + 24, 0x1111), STATUS_SUCCESS);
    KTAP_EQUAL(Lock(Mdl, UserMode, IoWriteAccess), STATUS_SUCCESS);
    KTAP_EQUAL(MiSpaceOf(Process)->WorkingSet, 100);
    KTAP_EQUAL(MiSpaceOf(Process)->LockedPages, 100);
    Alias = MmGetSystemAddressForMdlSafe(Mdl, NormalPagePriority);
    KTAP_CHECK(Alias != NULL);
    KTAP_EQUAL(Alias[1], 0x1111);
    Alias[2] = 0x2222;
    KTAP_EQUAL(TestRead(Base + 32, &Value), STATUS_SUCCESS);
    KTAP_EQUAL(Value, 0x2222);
    KTAP_EQUAL(MmGetPhysicalAddress(Base + 32).QuadPart, MmGetPhysicalAddress((PVOID)&Alias[2]).QuadPart);
    KTAP_EQUAL(MiVerify(), 0);
    KTAP_EQUAL(TestFree(Base, 0, MEM_RELEASE),
               STATUS_SUCCESS); /* under the lock: the frames stay, nobody else gets them */
    KTAP_EQUAL(Alias[2], 0x2222);
    KTAP_CHECK(!MmIsAddressValid(Base));
    KTAP_EQUAL(MiVerify(), 0);
    MmUnlockPages(Mdl);
    KTAP_EQUAL(MiSpaceOf(Process)->LockedPages, 0);
    IoFreeMdl(Mdl);
}

static VOID UserLock(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, LockBody);
}

/* What may not be locked, and what is left of what was locked before the bad page: nothing. */
static VOID RefusedBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    PUCHAR Read = UserPages(4, PAGE_READONLY), Guard = UserPages(2, PAGE_READWRITE | PAGE_GUARD);
    static const struct {
        ULONG64 Base;
        ULONG Bytes;
    } Bad[] = {
        {0, 16},                             /* the NULL region */
        {0x5000000, PAGE_SIZE},              /* nothing reserved */
        {MM_USER_PROBE_END - 8, 16},         /* crosses the limit */
        {0x0000800000000000, 16},            /* not canonical */
        {0xFFFF7FFFFFFFF000, 2 * PAGE_SIZE}, /* not canonical, up to the kernel half */
        {MM_NONPAGED_POOL_BASE, 16},         /* the kernel's, from user mode */
        {0xFFFFFFFFFFFFFFF8, 16},            /* wraps */
    };
    PMDL Mdl = IoAllocateMdl(Read, 8 * PAGE_SIZE, FALSE, FALSE, NULL);

    KTAP_CHECK(Read != NULL && Guard != NULL && Mdl != NULL);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Bad); Index++) {
        MmInitializeMdl(Mdl, (PVOID)Bad[Index].Base, Bad[Index].Bytes);
        KTAP_EQUAL(Lock(Mdl, UserMode, IoReadAccess), STATUS_ACCESS_VIOLATION);
    }
    MmInitializeMdl(Mdl, (PVOID)0xFFFF7FFFFFFFF000, 2 * PAGE_SIZE);
    KTAP_EQUAL(Lock(Mdl, KernelMode, IoReadAccess), STATUS_ACCESS_VIOLATION);
    MmInitializeMdl(Mdl, Read, 4 * PAGE_SIZE);
    KTAP_EQUAL(Lock(Mdl, UserMode, IoWriteAccess), STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(Lock(Mdl, UserMode, IoReadAccess), STATUS_SUCCESS);
    MmUnlockPages(Mdl);
    MmInitializeMdl(Mdl, Guard, PAGE_SIZE);
    KTAP_EQUAL(Lock(Mdl, UserMode, IoReadAccess), STATUS_GUARD_PAGE_VIOLATION);
    KTAP_EQUAL(Lock(Mdl, UserMode, IoReadAccess), STATUS_SUCCESS);
    MmUnlockPages(Mdl);
    KTAP_EQUAL(TestFree(Read + 3 * PAGE_SIZE, PAGE_SIZE, MEM_DECOMMIT), STATUS_SUCCESS);
    MmInitializeMdl(Mdl, Read, 4 * PAGE_SIZE);
    KTAP_EQUAL(Lock(Mdl, UserMode, IoReadAccess), STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(MiSpaceOf(Process)->LockedPages, 0);
    KTAP_EQUAL(MiVerify(), 0);
    IoFreeMdl(Mdl);
}

static VOID UserRefused(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, RefusedBody);
}

/* Another process's pages, and single pages by a segment list. */
static VOID ProcessBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    PUCHAR Base = UserPages(6, PAGE_READWRITE);
    FILE_SEGMENT_ELEMENT Segment[3] = {0};
    PMDL Mdl = IoAllocateMdl(Base, 2 * PAGE_SIZE, FALSE, FALSE, NULL),
         Selected = IoAllocateMdl(Base, 3 * PAGE_SIZE, FALSE, FALSE, NULL);
    KAPC_STATE State;
    PULONG64 Alias;

    KTAP_CHECK(Base != NULL && Mdl != NULL && Selected != NULL);
    KTAP_EQUAL(TestWrite(Base + PAGE_SIZE, 77), STATUS_SUCCESS);
    KeStackAttachProcess((PVOID)PsInitialSystemProcess, &State);
    MmProbeAndLockProcessPages(Mdl, Process, UserMode, IoModifyAccess);
    KTAP_EQUAL(MmIsAddressValid(Base), FALSE); /* back in the system process */
    Alias = MmGetSystemAddressForMdlSafe(Mdl, NormalPagePriority);
    KTAP_EQUAL(Alias[PAGE_SIZE / 8], 77);
    MmUnlockPages(Mdl);
    KeUnstackDetachProcess(&State);
    IoFreeMdl(Mdl);

    for (ULONG Index = 0; Index < 3; Index++) {
        Segment[Index].Buffer = Base + (4 - 2 * Index) * PAGE_SIZE;
        KTAP_EQUAL(TestWrite(Base + (4 - 2 * Index) * PAGE_SIZE, Index + 500), STATUS_SUCCESS);
    }
    MmProbeAndLockSelectedPages(Selected, Segment, UserMode, IoReadAccess);
    Alias = MmGetSystemAddressForMdlSafe(Selected, NormalPagePriority);
    for (ULONG Index = 0; Index < 3; Index++) {
        KTAP_EQUAL(Alias[Index * PAGE_SIZE / 8], Index + 500);
    }
    MmUnlockPages(Selected);
    IoFreeMdl(Selected);
}

static VOID UserProcess(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, ProcessBody);
}

static __attribute__((noinline)) PVOID MapCall(PMDL Mdl, PVOID Base)
{
    return MmMapLockedPagesSpecifyCache(Mdl, UserMode, MmCached, Base, FALSE, NormalPagePriority);
}

static PVOID Map(PMDL Mdl, PVOID Base, NTSTATUS *Status)
{
    PVOID Address = NULL;

    *Status = STATUS_SUCCESS;
    __try {
        Address = MapCall(Mdl, Base);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        *Status = GetExceptionCode();
    }
    return Address;
}

/* A driver's pages at user addresses: shared, not the program's to free, and of no weight in its working set. */
static PUCHAR Pool; /* of the driver; outlives the process, which keeps a mapping of it to its end */

static VOID MapBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    PMDL Mdl = IoAllocateMdl(Pool, 3 * PAGE_SIZE, FALSE, FALSE, NULL);
    MEMORY_BASIC_INFORMATION Basic;
    PVOID User, Fixed;
    ULONG64 Value;
    NTSTATUS Status;

    KTAP_CHECK(Pool != NULL && Mdl != NULL);
    MmBuildMdlForNonPagedPool(Mdl);
    *(PULONG64)(Pool + 2 * PAGE_SIZE) = 4711;
    User = Map(Mdl, NULL, &Status);
    KTAP_EQUAL(Status, STATUS_SUCCESS);
    KTAP_EQUAL(TestRead((PUCHAR)User + 2 * PAGE_SIZE, &Value), STATUS_SUCCESS);
    KTAP_EQUAL(Value, 4711);
    KTAP_EQUAL(TestWrite(User, 4712), STATUS_SUCCESS);
    KTAP_EQUAL(*(PULONG64)Pool, 4712);
    KTAP_EQUAL(MiSpaceOf(Process)->WorkingSet, 0);
    KTAP_EQUAL(ZwQueryVirtualMemory(ZwCurrentProcess(), User, MemoryBasicInformation, &Basic, sizeof(Basic), NULL),
               STATUS_SUCCESS);
    KTAP_EQUAL(Basic.RegionSize, 3 * PAGE_SIZE);
    KTAP_EQUAL(Basic.State, MEM_COMMIT);
    KTAP_EQUAL(TestFree(User, 0, MEM_RELEASE), STATUS_UNABLE_TO_DELETE_SECTION);
    KTAP_EQUAL(MiVerify(), 0);
    Fixed = Map(Mdl, (PVOID)0x44440000, &Status);
    KTAP_EQUAL(Fixed, 0x44440000);
    Map(Mdl, (PVOID)0x44440000, &Status);
    KTAP_EQUAL(Status, STATUS_CONFLICTING_ADDRESSES);
    Map(Mdl, (PVOID)0x44448000, &Status);
    KTAP_EQUAL(Status, STATUS_INVALID_ADDRESS);
    MmUnmapLockedPages(Fixed, Mdl);
    MmUnmapLockedPages(User, Mdl);
    KTAP_EQUAL(TestRead(User, &Value), STATUS_ACCESS_VIOLATION);
    Map(Mdl, NULL, &Status); /* left to the end of the process */
    KTAP_EQUAL(Status, STATUS_SUCCESS);
    IoFreeMdl(Mdl);
}

static VOID UserMap(PKTAP_CONTEXT Ktap)
{
    Pool = ExAllocatePoolWithTag(NonPagedPool, 3 * PAGE_SIZE, 'tseT');
    KTAP_CHECK(Pool != NULL);
    TestInProcess(Ktap, MapBody);
    ExFreePoolWithTag(Pool, 'tseT');
}

/* While it is secured a region keeps its pages and their protection. */
static VOID SecureBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    PUCHAR Base = UserPages(4, PAGE_READWRITE), Read = UserPages(1, PAGE_READONLY);
    PVOID Start = Base;
    SIZE_T Size = PAGE_SIZE;
    HANDLE Handle;
    ULONG Old;

    KTAP_CHECK(Base != NULL && Read != NULL);
    KTAP_CHECK(MmSecureVirtualMemory(Read, 8, PAGE_READWRITE) == NULL);
    KTAP_CHECK(MmSecureVirtualMemory((PVOID)0x6000000, 8, PAGE_READONLY) == NULL);
    KTAP_CHECK(MmSecureVirtualMemory(Base, 5 * PAGE_SIZE, PAGE_READONLY) == NULL);
    Handle = MmSecureVirtualMemory(Base + 8, 2 * PAGE_SIZE, PAGE_READWRITE);
    KTAP_CHECK(Handle != NULL);
    KTAP_EQUAL(TestFree(Base, 0, MEM_RELEASE), STATUS_INVALID_PAGE_PROTECTION);
    KTAP_EQUAL(TestFree(Base, PAGE_SIZE, MEM_DECOMMIT), STATUS_INVALID_PAGE_PROTECTION);
    KTAP_EQUAL(ZwProtectVirtualMemory(ZwCurrentProcess(), &Start, &Size, PAGE_READONLY, &Old),
               STATUS_INVALID_PAGE_PROTECTION);
    MmUnsecureVirtualMemory(Handle);
    KTAP_EQUAL(ZwProtectVirtualMemory(ZwCurrentProcess(), &Start, &Size, PAGE_READONLY, &Old), STATUS_SUCCESS);
    KTAP_EQUAL(TestFree(Base, 0, MEM_RELEASE), STATUS_SUCCESS);
}

static VOID UserSecure(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, SecureBody);
}

/* From one process to another, up to the first page that is not there. */
static VOID CopyBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    PEPROCESS Other = TestCreateProcess();
    PUCHAR Base = UserPages(3, PAGE_READWRITE), Target;
    SIZE_T Copied;
    KAPC_STATE State;
    ULONG64 Value = 0;

    KTAP_CHECK(Other != NULL && Base != NULL);
    for (ULONG Page = 0; Page < 3; Page++) {
        KTAP_EQUAL(TestWrite(Base + Page * PAGE_SIZE + 100, Page + 31), STATUS_SUCCESS);
    }
    KeStackAttachProcess((PVOID)Other, &State);
    Target = UserPages(4, PAGE_READWRITE);
    KeUnstackDetachProcess(&State);
    KTAP_CHECK(Target != NULL);
    KTAP_EQUAL(MmCopyVirtualMemory(Process, Base, Other, Target + 100, 3 * PAGE_SIZE, UserMode, &Copied),
               STATUS_SUCCESS);
    KTAP_EQUAL(Copied, 3 * PAGE_SIZE);
    for (ULONG Page = 0; Page < 3; Page++) {
        KTAP_EQUAL(MmCopyVirtualMemory(Other, Target + Page * PAGE_SIZE + 200, PsInitialSystemProcess, &Value, 8,
                                       KernelMode, &Copied),
                   STATUS_SUCCESS);
        KTAP_EQUAL(Value, Page + 31);
    }
    KTAP_EQUAL(MmCopyVirtualMemory(Process, Base + PAGE_SIZE, Other, Target, 3 * PAGE_SIZE, UserMode, &Copied),
               STATUS_PARTIAL_COPY);
    KTAP_EQUAL(Copied, 2 * PAGE_SIZE);
    KTAP_EQUAL(MmCopyVirtualMemory(Process, Base, Other, &Value, 8, UserMode, &Copied), STATUS_ACCESS_VIOLATION);
    TestDeleteProcess(Other);
}

static VOID UserCopy(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, CopyBody);
}

/* cdfs, a driver built from the DDK, writes into a program's page: let through by the SMAP rule, faulted in on demand. */
static VOID SmapBody(PKTAP_CONTEXT Ktap, HANDLE Directory)
{
    PUCHAR Base = UserPages(2, PAGE_READWRITE);
    ULONG64 Retries = KiSmapRetries, Word = 0;
    IO_STATUS_BLOCK Io;

    KTAP_CHECK(Base != NULL);
    KTAP_EQUAL(ZwQueryDirectoryFile(Directory, NULL, NULL, NULL, &Io, Base, PAGE_SIZE, FileDirectoryInformation, FALSE,
                                    NULL, TRUE),
               STATUS_SUCCESS);
    KTAP_CHECK(Io.Information != 0);
    KTAP_CHECK(!KiSmapEnabled || KiSmapRetries > Retries);
    KTAP_EQUAL(TestRead(Base + FIELD_OFFSET(FILE_DIRECTORY_INFORMATION, FileNameLength) - 4, &Word), STATUS_SUCCESS);
    KTAP_CHECK((Word >> 32) != 0 || Word != 0);
}

static VOID UserSmap(PKTAP_CONTEXT Ktap)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\??\\D:\\");
    PEPROCESS Process = TestCreateProcess();
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Io;
    HANDLE Directory;
    KAPC_STATE State;

    KTAP_CHECK(Process != NULL);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    KTAP_EQUAL(ZwOpenFile(&Directory, FILE_LIST_DIRECTORY | SYNCHRONIZE, &Attributes, &Io, FILE_SHARE_READ,
                          FILE_DIRECTORY_FILE | FILE_SYNCHRONOUS_IO_NONALERT),
               STATUS_SUCCESS);
    KeStackAttachProcess((PVOID)Process, &State);
    SmapBody(Ktap, Directory);
    KeUnstackDetachProcess(&State);
    ZwClose(Directory);
    TestDeleteProcess(Process);
}

/* The kernel's own code is not let through. */
static VOID StrictBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    volatile ULONG64 *Base = UserPages(1, PAGE_READWRITE);
    NTSTATUS Status = STATUS_SUCCESS;

    KTAP_CHECK(Base != NULL);
    KTAP_EQUAL(TestWrite((PVOID)Base, 1), STATUS_SUCCESS);
    __try {
        *Base = 2;
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Status = GetExceptionCode();
    }
    KTAP_EQUAL(Status, KiSmapEnabled ? STATUS_ACCESS_VIOLATION : STATUS_SUCCESS);
}

static VOID UserStrict(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, StrictBody);
}

/* Reserved kernel addresses: mapped again and again without taking memory, never more than was reserved. */
static VOID UserReserved(PKTAP_CONTEXT Ktap)
{
    PUCHAR Base = MmAllocateMappingAddress(4 * PAGE_SIZE - 1, 'tseT');
    PUCHAR Pages = ExAllocatePoolWithTag(NonPagedPool, 6 * PAGE_SIZE, 'tseT');
    PMDL Mdl = IoAllocateMdl(Pages, 6 * PAGE_SIZE, FALSE, FALSE, NULL);

    KTAP_CHECK(Base != NULL && Pages != NULL && Mdl != NULL);
    KTAP_CHECK(MmAllocateMappingAddress(0, 'tseT') == NULL);
    for (ULONG Turn = 0; Turn < 20; Turn++) {
        PUCHAR Start = Pages + Turn % 3 * PAGE_SIZE + 40;
        PUCHAR Alias;

        MmInitializeMdl(Mdl, Start, 2 * PAGE_SIZE);
        MmProbeAndLockPages(Mdl, KernelMode, IoWriteAccess);
        Alias = MmMapLockedPagesWithReservedMapping(Base, 'tseT', Mdl, MmCached);
        KTAP_EQUAL(Alias, Base + 40);
        *(PULONG)Alias = Turn;
        KTAP_EQUAL(*(PULONG)Start, Turn);
        MmUnmapReservedMapping(Alias, 'tseT', Mdl);
        KTAP_CHECK(!MmIsAddressValid(Alias));
        MmUnlockPages(Mdl);
    }
    MmInitializeMdl(Mdl, Pages, 6 * PAGE_SIZE);
    MmProbeAndLockPages(Mdl, KernelMode, IoWriteAccess);
    KTAP_CHECK(MmMapLockedPagesWithReservedMapping(Base, 'tseT', Mdl, MmCached) == NULL);
    MmUnlockPages(Mdl);
    MmFreeMappingAddress(Base, 'tseT');
    IoFreeMdl(Mdl);
    ExFreePoolWithTag(Pages, 'tseT');
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"lock", UserLock}, {"refused", UserRefused}, {"process", UserProcess},
    {"map", UserMap},   {"secure", UserSecure},   {"copy", UserCopy},
    {"smap", UserSmap}, {"strict", UserStrict},   {"reserved", UserReserved},
};
KTAP_SUITE(MmUserSuite, "mm.user", Cases);
