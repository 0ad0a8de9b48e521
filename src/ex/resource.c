/*
 * resource.c - executive resources: locks held by one thread exclusively or by many shared, recursively.
 *
 * Who holds it is recorded by thread (or by an owner pointer): the first holder in OwnerEntry, further shared holders in
 * OwnerTable, which grows outside the spin lock. ActiveEntries counts holders, a shared waiter that has been granted the resource
 * and has not yet run included. An exclusive waiter is woken and competes with whoever comes, and no other is woken while it is on
 * its way: were the resource handed over, each release would wait for a context switch while others contend for it.
 *
 * Fairness: after an exclusive holder all waiting shared ones get in, after the last shared holder one exclusive waiter does; a
 * plain shared request queues behind exclusive waiters unless the thread holds the resource already. So neither side
 * starves. ExAcquireSharedStarveExclusive goes past exclusive waiters, ExAcquireSharedWaitForExclusive behind them even
 * when it is recursive. A waiter is a block on its own stack, in arrival order.
 *
 * Locks: the resource's spin lock (DISPATCH_LEVEL). IRQL: <= APC_LEVEL, with normal kernel APCs disabled by the caller.
 *
 * Source: WDK documentation, "Introduction to ERESOURCE Routines".
 */
#include <ntos/ps.h>

#define RESOURCE_TAG   'seRE'
#define TABLE_STEP     8
#define RETRY_INTERVAL (-10 * 10000LL) /* 10 ms, when a table cannot grow for lack of memory */

#define EXCLUSIVE_WOKEN 0x0001 /* in Flag, beside the DDK's: an exclusive waiter is on its way */
C_ASSERT((EXCLUSIVE_WOKEN & (ResourceNeverExclusive | ResourceReleaseByOtherThread | ResourceOwnedExclusive)) == 0);

/* One waiting thread. The heads are the resource's SharedWaiters and ExclusiveWaiters, whose types nobody relies on. */
typedef struct _EX_WAITER {
    struct _EX_WAITER *Next;
    KEVENT Granted;
} EX_WAITER, *PEX_WAITER;

#define SHARED_WAITERS(Resource)    ((PEX_WAITER *)&(Resource)->SharedWaiters)
#define EXCLUSIVE_WAITERS(Resource) ((PEX_WAITER *)&(Resource)->ExclusiveWaiters)

static ERESOURCE_THREAD CurrentOwner(VOID)
{
    return (ERESOURCE_THREAD)KeGetCurrentThread();
}

static BOOLEAN OwnedExclusive(PERESOURCE Resource)
{
    return (Resource->Flag & ResourceOwnedExclusive) != 0;
}

/* ---- The owner table; all under the spin lock ---- */

static ULONG TableSize(PERESOURCE Resource)
{
    return Resource->OwnerTable != NULL ? Resource->OwnerTable[0].TableSize : 0;
}

/* The entry of an owner; of owner 0, a free entry. NULL: none. Entry 0 of the table holds its size. */
static POWNER_ENTRY FindOwner(PERESOURCE Resource, ERESOURCE_THREAD Owner)
{
    if (Resource->OwnerEntry.OwnerThread == Owner) {
        return &Resource->OwnerEntry;
    }
    for (ULONG i = 1; i < TableSize(Resource); i++) {
        if (Resource->OwnerTable[i].OwnerThread == Owner) {
            return &Resource->OwnerTable[i];
        }
    }
    return NULL;
}

/*
 * Records a shared holder that ActiveEntries counts already. The lock is held on entry and let go on return; where the table is
 * full it is let go to make a larger one, which may wait for memory.
 */
static VOID RecordShared(PERESOURCE Resource, ERESOURCE_THREAD Owner, KIRQL OldIrql)
{
    POWNER_ENTRY Entry, Spare = NULL;
    ULONG SpareSize = 0;

    while ((Entry = FindOwner(Resource, 0)) == NULL) {
        ULONG Size = TableSize(Resource);
        if (SpareSize > Size) { /* nobody else made it larger meanwhile */
            POWNER_ENTRY Old = Resource->OwnerTable;
            memset(Spare, 0, SpareSize * sizeof(OWNER_ENTRY));
            if (Size != 0) {
                memcpy(Spare, Old, Size * sizeof(OWNER_ENTRY));
            }
            Spare[0].TableSize = SpareSize;
            Resource->OwnerTable = Spare;
            Spare = Old;
            SpareSize = 0;
            continue;
        }
        KeReleaseSpinLock(&Resource->SpinLock, OldIrql);
        if (Spare != NULL) {
            ExFreePoolWithTag(Spare, RESOURCE_TAG);
        }
        SpareSize = Size + TABLE_STEP;
        Spare = ExAllocatePoolWithTag(NonPagedPool, SpareSize * sizeof(OWNER_ENTRY), RESOURCE_TAG);
        if (Spare == NULL) {
            LARGE_INTEGER Interval = {.QuadPart = RETRY_INTERVAL};
            SpareSize = 0;
            KeDelayExecutionThread(KernelMode, FALSE, &Interval);
        }
        OldIrql = KeAcquireSpinLockRaiseToDpc(&Resource->SpinLock);
    }
    Entry->OwnerThread = Owner;
    Entry->OwnerCount = 1;
    KeReleaseSpinLock(&Resource->SpinLock, OldIrql);
    if (Spare != NULL) {
        ExFreePoolWithTag(Spare, RESOURCE_TAG);
    }
}

/* ---- Waiting ---- */

static VOID AddWaiter(PEX_WAITER *Head, PEX_WAITER Waiter)
{
    KeInitializeEvent(&Waiter->Granted, SynchronizationEvent, FALSE);
    Waiter->Next = NULL;
    while (*Head != NULL) {
        Head = &(*Head)->Next;
    }
    *Head = Waiter;
}

/* Lets every waiting shared request in; they record themselves when they run. Under the spin lock. */
static VOID GrantShared(PERESOURCE Resource)
{
    PEX_WAITER Waiter = *SHARED_WAITERS(Resource);

    *SHARED_WAITERS(Resource) = NULL;
    Resource->ActiveEntries += Resource->NumberOfSharedWaiters;
    Resource->NumberOfSharedWaiters = 0;
    while (Waiter != NULL) {
        PEX_WAITER Next = Waiter->Next;
        KeSetEvent(&Waiter->Granted, IO_NO_INCREMENT, FALSE);
        Waiter = Next;
    }
}

/* Wakes the first exclusive waiter; it is counted as one until it holds the resource. Under the spin lock. */
static VOID WakeExclusive(PERESOURCE Resource)
{
    PEX_WAITER Waiter = *EXCLUSIVE_WAITERS(Resource);

    if (Waiter != NULL && (Resource->Flag & EXCLUSIVE_WOKEN) == 0) {
        *EXCLUSIVE_WAITERS(Resource) = Waiter->Next;
        Resource->Flag |= EXCLUSIVE_WOKEN;
        KeSetEvent(&Waiter->Granted, IO_NO_INCREMENT, FALSE);
    }
}

/* The last holder has gone. */
static VOID PassOn(PERESOURCE Resource, BOOLEAN WasExclusive)
{
    BOOLEAN SharedFirst = WasExclusive || Resource->NumberOfExclusiveWaiters == 0;

    Resource->Flag &= (USHORT)~ResourceOwnedExclusive;
    if (SharedFirst && Resource->NumberOfSharedWaiters != 0) {
        GrantShared(Resource);
    } else {
        WakeExclusive(Resource);
    }
}

/* ---- Acquisition ---- */

/* Takes the resource for this thread if that can be had now. Under the spin lock. */
static BOOLEAN TakeExclusive(PERESOURCE Resource)
{
    if (OwnedExclusive(Resource) && Resource->OwnerEntry.OwnerThread == CurrentOwner()) {
        Resource->OwnerEntry.OwnerCount++;
        return TRUE;
    }
    if (Resource->ActiveEntries != 0) {
        return FALSE;
    }
    Resource->ActiveEntries = 1;
    Resource->Flag |= ResourceOwnedExclusive;
    Resource->OwnerEntry.OwnerThread = CurrentOwner();
    Resource->OwnerEntry.OwnerCount = 1;
    return TRUE;
}

/* Waits until the resource is this thread's. The spin lock is held on entry and let go on return. */
static VOID WaitExclusive(PERESOURCE Resource, KIRQL OldIrql)
{
    EX_WAITER Waiter;

    Resource->ContentionCount++;
    Resource->NumberOfExclusiveWaiters++;
    AddWaiter(EXCLUSIVE_WAITERS(Resource), &Waiter);
    for (;;) {
        KeReleaseSpinLock(&Resource->SpinLock, OldIrql);
        KeWaitForSingleObject(&Waiter.Granted, WrResource, KernelMode, FALSE, NULL);
        OldIrql = KeAcquireSpinLockRaiseToDpc(&Resource->SpinLock);
        Resource->Flag &= (USHORT)~EXCLUSIVE_WOKEN;
        if (TakeExclusive(Resource)) {
            Resource->NumberOfExclusiveWaiters--;
            KeReleaseSpinLock(&Resource->SpinLock, OldIrql);
            return;
        }
        Waiter.Next = *EXCLUSIVE_WAITERS(Resource); /* the first it was, and the first it stays */
        *EXCLUSIVE_WAITERS(Resource) = &Waiter;
    }
}

static BOOLEAN AcquireExclusive(PERESOURCE Resource, BOOLEAN Wait)
{
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&Resource->SpinLock);
    BOOLEAN Taken = TakeExclusive(Resource);

    if (!Taken && Wait) {
        WaitExclusive(Resource, OldIrql);
        return TRUE;
    }
    KeReleaseSpinLock(&Resource->SpinLock, OldIrql);
    return Taken;
}

/* A request that does not wait is ordered after nothing: it cannot be part of a deadlock. */
static VF_CLASS_NUMBER WantResource(PERESOURCE Resource, BOOLEAN Wait, PVOID Site)
{
    return Wait ? VfWantLock(Resource, VfResource, Site) : VfClassOf(Resource, VfResource, Site);
}

static BOOLEAN WatchedExclusive(PERESOURCE Resource, BOOLEAN Wait, PVOID Site)
{
    ASSERT_IRQL_MAX(APC_LEVEL);
    VF_CLASS_NUMBER Class = WantResource(Resource, Wait, Site);

    if (!AcquireExclusive(Resource, Wait)) {
        return FALSE;
    }
    VfGotLock(Resource, VfResource, Class, Site);
    return TRUE;
}

/**
 * ExAcquireResourceExclusiveLite - takes a resource for this thread alone.
 *
 * @Wait    FALSE: only if it can be had at once
 * returns  TRUE: held; once more if this thread held it exclusively
 *
 * IRQL: <= APC_LEVEL, normal kernel APCs disabled.
 */
BOOLEAN NTAPI ExAcquireResourceExclusiveLite(PERESOURCE Resource, BOOLEAN Wait)
{
    return WatchedExclusive(Resource, Wait, _ReturnAddress());
}

typedef enum _EX_SHARED_RULE { RulePlain, RuleStarveExclusive, RuleWaitForExclusive } EX_SHARED_RULE;

/* Whether a shared request gets in now. Under the spin lock. */
static BOOLEAN SharedAllowed(PERESOURCE Resource, EX_SHARED_RULE Rule, BOOLEAN Recursive)
{
    if (OwnedExclusive(Resource)) {
        return FALSE;
    }
    if (Resource->NumberOfExclusiveWaiters == 0 || Rule == RuleStarveExclusive) {
        return TRUE;
    }
    return Rule == RulePlain && Recursive;
}

static BOOLEAN AcquireShared(PERESOURCE Resource, BOOLEAN Wait, EX_SHARED_RULE Rule)
{
    ERESOURCE_THREAD Owner = CurrentOwner();
    EX_WAITER Waiter;

    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&Resource->SpinLock);
    POWNER_ENTRY Mine = FindOwner(Resource, Owner);
    BOOLEAN Exclusive = Mine != NULL && OwnedExclusive(Resource);
    if (Exclusive || SharedAllowed(Resource, Rule, Mine != NULL)) {
        if (Mine != NULL) {
            Mine->OwnerCount++;
            KeReleaseSpinLock(&Resource->SpinLock, OldIrql);
        } else {
            Resource->ActiveEntries++;
            RecordShared(Resource, Owner, OldIrql);
        }
        return TRUE;
    }
    if (!Wait) {
        KeReleaseSpinLock(&Resource->SpinLock, OldIrql);
        return FALSE;
    }
    Resource->ContentionCount++;
    Resource->NumberOfSharedWaiters++;
    AddWaiter(SHARED_WAITERS(Resource), &Waiter);
    KeReleaseSpinLock(&Resource->SpinLock, OldIrql);
    KeWaitForSingleObject(&Waiter.Granted, WrResource, KernelMode, FALSE, NULL);
    OldIrql = KeAcquireSpinLockRaiseToDpc(&Resource->SpinLock);
    RecordShared(Resource, Owner, OldIrql);
    return TRUE;
}

static BOOLEAN WatchedShared(PERESOURCE Resource, BOOLEAN Wait, EX_SHARED_RULE Rule, PVOID Site)
{
    ASSERT_IRQL_MAX(APC_LEVEL);
    VF_CLASS_NUMBER Class = WantResource(Resource, Wait, Site);

    if (!AcquireShared(Resource, Wait, Rule)) {
        return FALSE;
    }
    VfGotLock(Resource, VfResource, Class, Site);
    return TRUE;
}

/* Takes a resource shared; a thread that holds it exclusively gets it exclusively once more. Rest as the exclusive form. */
BOOLEAN NTAPI ExAcquireResourceSharedLite(PERESOURCE Resource, BOOLEAN Wait)
{
    return WatchedShared(Resource, Wait, RulePlain, _ReturnAddress());
}

BOOLEAN NTAPI ExAcquireSharedStarveExclusive(PERESOURCE Resource, BOOLEAN Wait)
{
    return WatchedShared(Resource, Wait, RuleStarveExclusive, _ReturnAddress());
}

BOOLEAN NTAPI ExAcquireSharedWaitForExclusive(PERESOURCE Resource, BOOLEAN Wait)
{
    return WatchedShared(Resource, Wait, RuleWaitForExclusive, _ReturnAddress());
}

/* ---- Release ---- */

/* An owner pointer was taken off its thread's list when it was set. */
static VOID ForgetHolder(PERESOURCE Resource, ERESOURCE_THREAD Owner)
{
    if (Owner == CurrentOwner()) {
        VfReleaseLock(Resource, VfResource, _ReturnAddress());
    } else if ((Owner & 3) == 0) {
        VfReleaseLockOfThread((PETHREAD)Owner, Resource);
    }
}

/**
 * ExReleaseResourceForThreadLite - releases a resource once on behalf of an owner.
 *
 * @ResourceThreadId  as ExGetCurrentResourceThread gave it, or an owner pointer
 *
 * IRQL: <= DISPATCH_LEVEL. Bug check RESOURCE_NOT_OWNED.
 */
VOID NTAPI ExReleaseResourceForThreadLite(PERESOURCE Resource, ERESOURCE_THREAD ResourceThreadId)
{
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&Resource->SpinLock);
    POWNER_ENTRY Entry = FindOwner(Resource, ResourceThreadId);

    if (Entry == NULL || ResourceThreadId == 0) {
        KeBugCheckEx(RESOURCE_NOT_OWNED, (ULONG_PTR)Resource, ResourceThreadId, (ULONG_PTR)Resource->OwnerTable, 0);
    }
    ForgetHolder(Resource, ResourceThreadId);
    if (--Entry->OwnerCount == 0) {
        BOOLEAN WasExclusive = OwnedExclusive(Resource);
        Entry->OwnerThread = 0;
        if (--Resource->ActiveEntries == 0) {
            PassOn(Resource, WasExclusive);
        }
    }
    KeReleaseSpinLock(&Resource->SpinLock, OldIrql);
}

VOID FASTCALL ExReleaseResourceLite(PERESOURCE Resource)
{
    ExReleaseResourceForThreadLite(Resource, CurrentOwner());
}

/* Keeps the resource, but lets others share it. The caller holds it exclusively. */
VOID NTAPI ExConvertExclusiveToSharedLite(PERESOURCE Resource)
{
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&Resource->SpinLock);

    ASSERT(OwnedExclusive(Resource) && Resource->OwnerEntry.OwnerThread == CurrentOwner());
    Resource->Flag &= (USHORT)~ResourceOwnedExclusive;
    if (Resource->NumberOfSharedWaiters != 0) {
        GrantShared(Resource);
    }
    KeReleaseSpinLock(&Resource->SpinLock, OldIrql);
}

/* Makes Owner the owner in place of this thread, with what it holds already: whoever has it releases. */
static VOID ChangeOwner(PERESOURCE Resource, ERESOURCE_THREAD Owner)
{
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&Resource->SpinLock);
    POWNER_ENTRY Entry = FindOwner(Resource, CurrentOwner()), Other = FindOwner(Resource, Owner);

    ASSERT(Entry != NULL);
    for (ULONG i = 0; i < Entry->OwnerCount; i++) {
        ForgetHolder(Resource, CurrentOwner());
    }
    if (Other == NULL) {
        Entry->OwnerThread = Owner;
    } else if (Other != Entry) { /* both share it: one holder less */
        Other->OwnerCount += Entry->OwnerCount;
        Entry->OwnerThread = 0;
        Entry->OwnerCount = 0;
        Resource->ActiveEntries--;
    }
    KeReleaseSpinLock(&Resource->SpinLock, OldIrql);
}

/* @OwnerPointer: its two low bits are set, which no thread's are. IRQL: <= DISPATCH_LEVEL. */
VOID NTAPI ExSetResourceOwnerPointer(PERESOURCE Resource, PVOID OwnerPointer)
{
    ASSERT(((ULONG_PTR)OwnerPointer & 3) == 3);
    ChangeOwner(Resource, (ERESOURCE_THREAD)OwnerPointer);
}

/* @Flags: FLAG_OWNER_POINTER_IS_THREAD: OwnerPointer is a thread, which the caller keeps until it has released. IRQL: <= DISPATCH_LEVEL. */
VOID NTAPI ExSetResourceOwnerPointerEx(PERESOURCE Resource, PVOID OwnerPointer, ULONG Flags)
{
    ASSERT((Flags & FLAG_OWNER_POINTER_IS_THREAD) == 0 ? ((ULONG_PTR)OwnerPointer & 3) == 3
                                                       : ((ULONG_PTR)OwnerPointer & 3) == 0);
    ChangeOwner(Resource, (ERESOURCE_THREAD)OwnerPointer);
}

/* ---- Queries ---- */

BOOLEAN NTAPI ExIsResourceAcquiredExclusiveLite(PERESOURCE Resource)
{
    return OwnedExclusive(Resource) && Resource->OwnerEntry.OwnerThread == CurrentOwner();
}

/* How often this thread holds the resource, in either way. */
ULONG NTAPI ExIsResourceAcquiredSharedLite(PERESOURCE Resource)
{
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&Resource->SpinLock);
    POWNER_ENTRY Entry = FindOwner(Resource, CurrentOwner());
    ULONG Count = Entry != NULL ? Entry->OwnerCount : 0;

    KeReleaseSpinLock(&Resource->SpinLock, OldIrql);
    return Count;
}

ULONG NTAPI ExGetExclusiveWaiterCount(PERESOURCE Resource)
{
    return Resource->NumberOfExclusiveWaiters;
}

ULONG NTAPI ExGetSharedWaiterCount(PERESOURCE Resource)
{
    return Resource->NumberOfSharedWaiters;
}

/* ---- Life ---- */

static VOID InitializeResource(PERESOURCE Resource)
{
    memset(Resource, 0, sizeof(*Resource));
    InitializeListHead(&Resource->SystemResourcesList);
}

/* Makes a resource that nobody holds. IRQL: <= DISPATCH_LEVEL. Never fails. */
NTSTATUS NTAPI ExInitializeResourceLite(PERESOURCE Resource)
{
    InitializeResource(Resource);
    VfNameLockBySite(Resource, VfResource, _ReturnAddress());
    VfNameLock(&Resource->SpinLock, "ERESOURCE.SpinLock");
    return STATUS_SUCCESS;
}

static VOID DeleteResource(PERESOURCE Resource)
{
    ASSERT(Resource->NumberOfSharedWaiters == 0 && Resource->NumberOfExclusiveWaiters == 0);
    if (Resource->OwnerTable != NULL) {
        ExFreePoolWithTag(Resource->OwnerTable, RESOURCE_TAG);
        Resource->OwnerTable = NULL;
    }
}

/* The resource is held by nobody and waited for by nobody. */
NTSTATUS NTAPI ExDeleteResourceLite(PERESOURCE Resource)
{
    DeleteResource(Resource);
    VfForgetLock(Resource);
    VfForgetLock(&Resource->SpinLock);
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI ExReinitializeResourceLite(PERESOURCE Resource)
{
    DeleteResource(Resource);
    InitializeResource(Resource);
    return STATUS_SUCCESS;
}

/* No owner is ever boosted here; the name exists for drivers that ask for just that. */
VOID NTAPI ExDisableResourceBoostLite(PERESOURCE Resource)
{
}

/* ---- With a critical region; the result is of use to nobody but the window system ---- */

PVOID NTAPI ExEnterCriticalRegionAndAcquireResourceExclusive(PERESOURCE Resource)
{
    KeEnterCriticalRegion();
    WatchedExclusive(Resource, TRUE, _ReturnAddress());
    return NULL;
}

PVOID NTAPI ExEnterCriticalRegionAndAcquireResourceShared(PERESOURCE Resource)
{
    KeEnterCriticalRegion();
    WatchedShared(Resource, TRUE, RulePlain, _ReturnAddress());
    return NULL;
}

PVOID NTAPI ExEnterCriticalRegionAndAcquireSharedWaitForExclusive(PERESOURCE Resource)
{
    KeEnterCriticalRegion();
    WatchedShared(Resource, TRUE, RuleWaitForExclusive, _ReturnAddress());
    return NULL;
}

VOID FASTCALL ExReleaseResourceAndLeaveCriticalRegion(PERESOURCE Resource)
{
    ExReleaseResourceLite(Resource);
    KeLeaveCriticalRegion();
}
