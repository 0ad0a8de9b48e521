/*
 * wdm_ex.c - routines of the executive that drivers call and that no other suite has a reason to: interlocked lists, lookaside
 * lists, the rarer forms of resources, mutexes and rundown protection, times, raising.
 *
 * Each case is sequential: what is checked is the documented result of each call. The races have suites of their own.
 */
#include "ketest.h"

#define TAG 'tmdW'

static KSPIN_LOCK Lock;

static VOID ExLists(PKTAP_CONTEXT Ktap)
{
    LIST_ENTRY Head, First, Second;
    SINGLE_LIST_ENTRY Single = {NULL}, A = {NULL}, B = {NULL};
    LARGE_INTEGER Large = {.QuadPart = 0xFFFFFFFFLL}, Add = {.QuadPart = 2}, Was;
    PLIST_ENTRY(NTAPI * InsertHead)(PLIST_ENTRY, PLIST_ENTRY, PKSPIN_LOCK) =
        KTAP_IMPORT(PVOID, ExInterlockedInsertHeadList);
    ULONG Number = 5;

    KeInitializeSpinLock(&Lock);
    InitializeListHead(&Head);
    KTAP_CHECK(InsertHead(&Head, &First, &Lock) == NULL); /* it was empty */
    KTAP_CHECK(ExInterlockedInsertTailList(&Head, &Second, &Lock) == &First);
    KTAP_CHECK(ExInterlockedRemoveHeadList(&Head, &Lock) == &First);
    KTAP_CHECK(ExInterlockedInsertHeadList(&Head, &First, &Lock) == &Second);
    KTAP_CHECK(ExInterlockedRemoveHeadList(&Head, &Lock) == &First);
    KTAP_CHECK(ExInterlockedRemoveHeadList(&Head, &Lock) == &Second);
    KTAP_CHECK(ExInterlockedRemoveHeadList(&Head, &Lock) == NULL);
    KTAP_CHECK(ExInterlockedPushEntryList(&Single, &A, &Lock) == NULL);
    KTAP_CHECK(ExInterlockedPushEntryList(&Single, &B, &Lock) == &A);
    KTAP_CHECK(ExInterlockedPopEntryList(&Single, &Lock) == &B);
    KTAP_CHECK(ExInterlockedPopEntryList(&Single, &Lock) == &A);
    KTAP_CHECK(ExInterlockedPopEntryList(&Single, &Lock) == NULL);
    KTAP_EQUAL(ExInterlockedAddUlong(&Number, 7, &Lock), 5);
    KTAP_EQUAL(Number, 12);
    Was = ExInterlockedAddLargeInteger(&Large, Add, &Lock);
    KTAP_EQUAL(Was.QuadPart, 0xFFFFFFFFLL);
    KTAP_EQUAL(Large.QuadPart, 0x100000001LL);
}

static VOID ExLookaside(PKTAP_CONTEXT Ktap)
{
    static PAGED_LOOKASIDE_LIST Paged;
    static LOOKASIDE_LIST_EX List;
    PVOID Block, Again;

    ExInitializePagedLookasideList(&Paged, NULL, NULL, 0, 200, TAG, 0);
    Block = ExAllocateFromPagedLookasideList(&Paged);
    KTAP_CHECK(Block != NULL);
    ExFreeToPagedLookasideList(&Paged, Block);
    Again = ExAllocateFromPagedLookasideList(&Paged);
    KTAP_CHECK(Again != NULL);
    ExFreeToPagedLookasideList(&Paged, Again);
    ExDeletePagedLookasideList(&Paged);

    KTAP_EQUAL(ExInitializeLookasideListEx(&List, NULL, NULL, NonPagedPool, 0, 64, TAG, 0), STATUS_SUCCESS);
    Block = ExAllocateFromLookasideListEx(&List);
    KTAP_CHECK(Block != NULL);
    RtlFillMemory(Block, 64, 0x5A);
    ExFreeToLookasideListEx(&List, Block);
    ExFlushLookasideListEx(&List);
    KTAP_EQUAL(ExQueryDepthSList(&List.L.ListHead), 0);
    ExDeleteLookasideListEx(&List);
}

static VOID ExPool(PKTAP_CONTEXT Ktap)
{
    PVOID(NTAPI * Allocate)(POOL_TYPE, SIZE_T) = KTAP_IMPORT(PVOID, ExAllocatePool);
    PVOID(NTAPI * AllocateQuota)(POOL_TYPE, SIZE_T) = KTAP_IMPORT(PVOID, ExAllocatePoolWithQuota);
    PVOID Block = Allocate(NonPagedPool, 100);

    KTAP_CHECK(Block != NULL);
    ExFreePool(Block);
    Block = AllocateQuota(PagedPool, 100);
    KTAP_CHECK(Block != NULL);
    ExFreePool(Block);
    KTAP_EQUAL(ExGetPreviousMode(), KernelMode);
}

static VOID ExResources(PKTAP_CONTEXT Ktap)
{
    static ERESOURCE Resource;
    BOOLEAN Exclusive, ConvertedShared;
    ULONG Shared;

    KTAP_EQUAL(ExInitializeResourceLite(&Resource), STATUS_SUCCESS);
    ExDisableResourceBoostLite(&Resource);
    ExEnterCriticalRegionAndAcquireResourceExclusive(&Resource);
    Exclusive = ExIsResourceAcquiredExclusiveLite(&Resource) && KeAreApcsDisabled();
    ExConvertExclusiveToSharedLite(&Resource);
    ConvertedShared = !ExIsResourceAcquiredExclusiveLite(&Resource) && ExIsResourceAcquiredSharedLite(&Resource) == 1;
    ExReleaseResourceAndLeaveCriticalRegion(&Resource);
    KTAP_CHECK(Exclusive && ConvertedShared && !KeAreApcsDisabled());

    ExEnterCriticalRegionAndAcquireResourceShared(&Resource);
    ExEnterCriticalRegionAndAcquireSharedWaitForExclusive(&Resource);
    Shared = ExIsResourceAcquiredSharedLite(&Resource);
    ExReleaseResourceAndLeaveCriticalRegion(&Resource);
    ExReleaseResourceForThreadLite(&Resource, (ERESOURCE_THREAD)KeGetCurrentThread());
    KeLeaveCriticalRegion();
    KTAP_EQUAL(Shared, 2);
    KTAP_EQUAL(ExIsResourceAcquiredSharedLite(&Resource), 0);
    KTAP_EQUAL(ExGetSharedWaiterCount(&Resource) + ExGetExclusiveWaiterCount(&Resource), 0);

    /* Ownership handed to something that is not a thread: its address with the low two bits set. */
    ExEnterCriticalRegionAndAcquireResourceExclusive(&Resource);
    ExSetResourceOwnerPointer(&Resource, (PVOID)((ULONG_PTR)&Lock | 3));
    Exclusive = ExIsResourceAcquiredExclusiveLite(&Resource);
    ExReleaseResourceForThreadLite(&Resource, (ERESOURCE_THREAD)&Lock | 3);
    KeLeaveCriticalRegion();
    KTAP_CHECK(!Exclusive); /* this thread is not the owner any more */

    /* To a thread: here to this one, which holds what it held; then an address by the same routine. */
    ExEnterCriticalRegionAndAcquireResourceShared(&Resource);
    ExSetResourceOwnerPointerEx(&Resource, KeGetCurrentThread(), FLAG_OWNER_POINTER_IS_THREAD);
    Shared = ExIsResourceAcquiredSharedLite(&Resource);
    ExAcquireResourceSharedLite(&Resource, TRUE);
    ExSetResourceOwnerPointerEx(&Resource, (PVOID)((ULONG_PTR)&Lock | 3), 0);
    ExReleaseResourceForThreadLite(&Resource, (ERESOURCE_THREAD)&Lock | 3);
    ExAcquireResourceSharedLite(&Resource, TRUE);
    ExSetResourceOwnerPointerEx(&Resource, (PVOID)((ULONG_PTR)&Lock | 3), 0); /* joins what that owner has left */
    ExReleaseResourceForThreadLite(&Resource, (ERESOURCE_THREAD)&Lock | 3);
    ExReleaseResourceForThreadLite(&Resource, (ERESOURCE_THREAD)&Lock | 3);
    Exclusive = ExAcquireResourceExclusiveLite(&Resource, FALSE); /* nobody is left */
    if (Exclusive) {
        ExReleaseResourceLite(&Resource);
    }
    KeLeaveCriticalRegion();
    KTAP_EQUAL(Shared, 1);
    KTAP_CHECK(Exclusive);
    KTAP_EQUAL(ExReinitializeResourceLite(&Resource), STATUS_SUCCESS);
    KTAP_EQUAL(ExDeleteResourceLite(&Resource), STATUS_SUCCESS);
}

static VOID ExMutexes(PKTAP_CONTEXT Ktap)
{
    static FAST_MUTEX Mutex;
    static EX_RUNDOWN_REF Rundown;
    KIRQL Old, Inside;
    BOOLEAN Taken, Again;

    ExInitializeFastMutex(&Mutex);
    Taken = ExTryToAcquireFastMutex(&Mutex);
    Inside = KeGetCurrentIrql();
    ExReleaseFastMutex(&Mutex);
    KTAP_CHECK(Taken);
    KTAP_EQUAL(Inside, APC_LEVEL);
    KeRaiseIrql(APC_LEVEL, &Old);
    ExAcquireFastMutexUnsafe(&Mutex);
    Again = ExTryToAcquireFastMutex(&Mutex);
    ExReleaseFastMutexUnsafe(&Mutex);
    KeLowerIrql(Old);
    KTAP_CHECK(!Again);

    ExInitializeRundownProtection(&Rundown);
    KTAP_CHECK(ExAcquireRundownProtectionEx(&Rundown, 3));
    ExReleaseRundownProtectionEx(&Rundown, 2);
    ExReleaseRundownProtection(&Rundown);
    ExWaitForRundownProtectionRelease(&Rundown);
    ExRundownCompleted(&Rundown);
    KTAP_CHECK(!ExAcquireRundownProtection(&Rundown));
    ExReInitializeRundownProtection(&Rundown);
    KTAP_CHECK(ExAcquireRundownProtection(&Rundown));
    ExReleaseRundownProtection(&Rundown);
}

static VOID ExTimes(PKTAP_CONTEXT Ktap)
{
    LARGE_INTEGER System = {.QuadPart = 0x1D0000000000000LL}, Local, Back;

    ExSystemTimeToLocalTime(&System, &Local);
    ExLocalTimeToSystemTime(&Local, &Back);
    KTAP_EQUAL(Back.QuadPart, System.QuadPart);
    KTAP_CHECK((Local.QuadPart - System.QuadPart) % (15 * 60 * TEST_SECOND) == 0); /* zones lie at quarter hours */
}

static VOID ExRaises(PKTAP_CONTEXT Ktap)
{
    volatile NTSTATUS Status = STATUS_SUCCESS;

    __try {
        ExRaiseAccessViolation();
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Status = GetExceptionCode();
    }
    KTAP_EQUAL(Status, STATUS_ACCESS_VIOLATION);
    __try {
        ExRaiseDatatypeMisalignment();
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Status = GetExceptionCode();
    }
    KTAP_EQUAL(Status, STATUS_DATATYPE_MISALIGNMENT);
    __try {
        ExRaiseStatus(STATUS_DISK_FULL);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Status = GetExceptionCode();
    }
    KTAP_EQUAL(Status, STATUS_DISK_FULL);
}

static volatile LONG ThreadChecks;
static KEVENT ThreadDone;

static VOID NTAPI ThreadRoutine(PVOID Context)
{
    HANDLE *Ids = Context;

    Ids[0] = PsGetCurrentProcessId();
    Ids[1] = PsGetCurrentThreadId();
    ThreadChecks = PsIsSystemThread(PsGetCurrentThread()) && PsGetThreadId(PsGetCurrentThread()) == Ids[1] &&
                   PsGetProcessId(PsGetCurrentProcess()) == Ids[0];
    KeSetEvent(&ThreadDone, IO_NO_INCREMENT, FALSE);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static VOID ExThreads(PKTAP_CONTEXT Ktap)
{
    static HANDLE Ids[2];
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Thread;
    PETHREAD Object;
    CLIENT_ID Client;

    KeInitializeEvent(&ThreadDone, NotificationEvent, FALSE);
    InitializeObjectAttributes(&Attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    KTAP_EQUAL(PsCreateSystemThread(&Thread, THREAD_ALL_ACCESS, &Attributes, NULL, &Client, ThreadRoutine, Ids),
               STATUS_SUCCESS);
    KTAP_EQUAL(TestWait(&ThreadDone), STATUS_SUCCESS);
    KTAP_EQUAL(ThreadChecks, TRUE);
    KTAP_CHECK(Client.UniqueThread == Ids[1] && Ids[0] == PsGetCurrentProcessId());
    KTAP_EQUAL(ObReferenceObjectByHandle(Thread, SYNCHRONIZE, *KTAP_IMPORT(POBJECT_TYPE *, PsThreadType), KernelMode,
                                         (PVOID *)&Object, NULL),
               STATUS_SUCCESS);
    KTAP_EQUAL(TestWait(Object), STATUS_SUCCESS);
    ObDereferenceObject(Object);
    ZwClose(Thread);
}

static const KTAP_CASE_ENTRY WdmExCases[] = {
    {"lists", ExLists},     {"lookaside", ExLookaside}, {"pool", ExPool},     {"resources", ExResources},
    {"mutexes", ExMutexes}, {"times", ExTimes},         {"raises", ExRaises}, {"threads", ExThreads},
};

KTAP_SUITE(WdmExSuite, "wdm.ex", WdmExCases);
