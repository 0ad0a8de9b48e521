/*
 * vf.c - suite vf: every check of the verifier is provoked and seen to fire.
 *
 * While a case provokes, reports are counted by kind and nothing else comes of them (VfCatchReports). What is broken is put right before the
 * case ends. The locks here are named test.*, which docs/locking.md leaves out.
 */
#include "../../src/ke/kip.h"
#include "ketest.h"
#include <ntos/ex.h>
#include <ntos/io.h>
#include <ntos/vf.h>

static FAST_MUTEX MutexA, MutexB;
static KSPIN_LOCK SpinA;
VF_NAME_LOCK(MutexA, "test.A");
VF_NAME_LOCK(MutexB, "test.B");
VF_NAME_LOCK(SpinA, "test.spin");

/* Runs something in catch mode; returns how many reports of a kind it made. */
static ULONG Provoke(VF_REPORT_KIND Kind, VOID (*Run)(VOID))
{
    BOOLEAN Old = VfCatchReports(TRUE);
    ULONG Before = VfCaughtReports(Kind);

    Run();
    VfCatchReports(Old);
    return VfCaughtReports(Kind) - Before;
}

/* ---- Order ---- */

static VOID TakeBoth(PFAST_MUTEX First, PFAST_MUTEX Second)
{
    ExAcquireFastMutex(First);
    ExAcquireFastMutex(Second);
    ExReleaseFastMutex(Second);
    ExReleaseFastMutex(First);
}

static VOID TakeInBothOrders(VOID)
{
    TakeBoth(&MutexA, &MutexB);
    TakeBoth(&MutexB, &MutexA);
}

static VOID TakeInOneOrder(VOID)
{
    TakeBoth(&MutexA, &MutexB);
    TakeBoth(&MutexA, &MutexB);
}

static VOID TryInTheOther(VOID)
{
    TakeBoth(&MutexA, &MutexB);
    ExAcquireFastMutex(&MutexB);
    if (ExTryToAcquireFastMutex(&MutexA)) {
        ExReleaseFastMutex(&MutexA);
    }
    ExReleaseFastMutex(&MutexB);
}

static VOID VfCaseOrder(PKTAP_CONTEXT Ktap)
{
    ExInitializeFastMutex(&MutexA);
    ExInitializeFastMutex(&MutexB);
    VfForgetOrder("test.A", "test.B");
    KTAP_EQUAL(Provoke(VfReportOrder, TakeInOneOrder), 0);
    KTAP_EQUAL(Provoke(VfReportOrder, TryInTheOther), 0);
    KTAP_EQUAL(Provoke(VfReportOrder, TakeInBothOrders), 1);
    KTAP_EQUAL(Provoke(VfReportOrder, TakeInBothOrders), 0); /* a pair is reported once */
    VfForgetOrder("test.A", "test.B");
}

/* ---- Levels ---- */

static VOID WaitAtDispatch(VOID)
{
    KIRQL Irql = KfRaiseIrql(DISPATCH_LEVEL);

    ExAcquireFastMutexUnsafe(&MutexA);
    ExReleaseFastMutexUnsafe(&MutexA);
    KeLowerIrql(Irql);
}

#define DEVICE_IRQL   5
#define DEVICE_VECTOR 0x51

/* A lock that an interrupt takes is held at a level that lets the interrupt in. */
static VOID ShareWithInterrupt(VOID)
{
    VF_CONTEXT Context;
    KIRQL Old, Irql = KfRaiseIrql(DEVICE_IRQL);

    VfEnterInterrupt(&Context, DEVICE_VECTOR, NULL);
    KeAcquireSpinLockAtDpcLevel(&SpinA);
    KeReleaseSpinLockFromDpcLevel(&SpinA);
    VfLeaveInterrupt(&Context);
    KeLowerIrql(Irql);
    KeAcquireSpinLock(&SpinA, &Old);
    KeReleaseSpinLock(&SpinA, Old);
}

static VOID VfCaseLevels(PKTAP_CONTEXT Ktap)
{
    ExInitializeFastMutex(&MutexA);
    KTAP_EQUAL(Provoke(VfReportIrql, WaitAtDispatch), 1);
    VfForgetOrder("test.spin", "test.spin");
    KTAP_EQUAL(Provoke(VfReportIrql, ShareWithInterrupt), 1);
    VfForgetOrder("test.spin", "test.spin");
}

/* ---- Times ---- */

/* Until a report of the kind is made, or a minute has passed. Any IRQL below the clock's. */
static VOID Dawdle(VF_REPORT_KIND Kind)
{
    ULONG Before = VfCaughtReports(Kind);
    ULONG64 End = KeQueryInterruptTime() + TEST_PATIENCE;

    while (VfCaughtReports(Kind) == Before && KeQueryInterruptTime() < End) {
        YieldProcessor();
    }
}

static VOID HoldLong(VOID)
{
    KIRQL Irql;

    KeAcquireSpinLock(&SpinA, &Irql);
    Dawdle(VfReportHeld);
    KeReleaseSpinLock(&SpinA, Irql);
}

static VOID NTAPI LongRoutine(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    Dawdle(VfReportDpc);
    KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
}

static VOID RunLongDpc(VOID)
{
    KDPC Dpc;
    KEVENT Done;

    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    KeInitializeDpc(&Dpc, LongRoutine, &Done);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    KeFlushQueuedDpcs();
}

static VOID RunLongInterrupt(VOID)
{
    VF_CONTEXT Context;
    KIRQL Irql = KfRaiseIrql(DEVICE_IRQL);

    VfEnterInterrupt(&Context, DEVICE_VECTOR, NULL);
    Dawdle(VfReportIsr);
    VfLeaveInterrupt(&Context);
    KeLowerIrql(Irql);
}

static VOID VfCaseTimes(PKTAP_CONTEXT Ktap)
{
    KTAP_EQUAL(Provoke(VfReportHeld, HoldLong), 1);
    KTAP_EQUAL(Provoke(VfReportDpc, RunLongDpc), 1);
    KTAP_EQUAL(Provoke(VfReportIsr, RunLongInterrupt), 1);
}

/* ---- Lists ---- */

static LIST_ENTRY Head, One, Two;

static VOID DamageList(VOID)
{
    InitializeListHead(&Head);
    InsertTailList(&Head, &One);
    InsertTailList(&Head, &Two);
    One.Flink = &One; /* overwritten */
    RemoveEntryList(&One);
    InsertHeadList(&One, &Two);
    One.Flink = &Two;
    RemoveEntryList(&One);
    RemoveEntryList(&Two);
    RemoveEntryList(&Two); /* twice: its neighbours know nothing of it */
}

static VOID VfCaseLists(PKTAP_CONTEXT Ktap)
{
    KTAP_EQUAL(Provoke(VfReportList, DamageList), 3);
    KTAP_CHECK(IsListEmpty(&Head));
}

/* ---- Memory that is freed while something lives in it ---- */

typedef struct _LIVE {
    ULONG64 Before[3];
    KTIMER Timer;
    KDPC Dpc;
    FAST_MUTEX Mutex;
    ERESOURCE Resource;
} LIVE;

static LIVE *Live;

static VOID FreeLive(VOID)
{
    VfFreeMemory(Live, sizeof(*Live));
}

static VOID NTAPI NothingRoutine(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
}

/* Reports when the block would be freed with one thing alive in it. */
static ULONG FreedWithTimer(VOID)
{
    LARGE_INTEGER Due = {.QuadPart = -3600 * TEST_SECOND};

    KeInitializeTimer(&Live->Timer);
    KeSetTimer(&Live->Timer, Due, NULL);
    ULONG Count = Provoke(VfReportFreed, FreeLive);
    KeCancelTimer(&Live->Timer);
    return Count;
}

static ULONG FreedWithDpc(VOID)
{
    KIRQL Irql = KfRaiseIrql(DISPATCH_LEVEL);

    KeInitializeDpc(&Live->Dpc, NothingRoutine, NULL);
    KeInsertQueueDpc(&Live->Dpc, NULL, NULL); /* stays queued at this level */
    ULONG Count = Provoke(VfReportFreed, FreeLive);
    KeRemoveQueueDpc(&Live->Dpc);
    KeLowerIrql(Irql);
    return Count;
}

static ULONG FreedWithMutex(VOID)
{
    ExInitializeFastMutex(&Live->Mutex);
    ExAcquireFastMutex(&Live->Mutex);
    ULONG Count = Provoke(VfReportFreed, FreeLive);
    ExReleaseFastMutex(&Live->Mutex);
    return Count;
}

static ULONG FreedWithResource(VOID)
{
    ExInitializeResourceLite(&Live->Resource);
    ULONG Count = Provoke(VfReportFreed, FreeLive);
    ExDeleteResourceLite(&Live->Resource);
    return Count;
}

static VOID VfCaseFreed(PKTAP_CONTEXT Ktap)
{
    Live = ExAllocatePoolWithTag(NonPagedPool | 1024, sizeof(*Live), 'tseT');
    KTAP_CHECK(Live != NULL);
    memset(Live, 0, sizeof(*Live));
    ULONG Nothing = Provoke(VfReportFreed, FreeLive), Timer = FreedWithTimer(), Dpc = FreedWithDpc();
    ULONG Mutex = FreedWithMutex(), Resource = FreedWithResource();
    ExFreePoolWithTag(Live, 'tseT');
    KTAP_EQUAL(Nothing, 0);
    KTAP_EQUAL(Timer, 1);
    KTAP_EQUAL(Dpc, 1);
    KTAP_EQUAL(Mutex, 1);
    KTAP_EQUAL(Resource, 1);
}

/* ---- Drivers that leave something: this "driver" is a stretch of the suite's own code ---- */

static PVOID LeftSmall, LeftLarge;

static DECLSPEC_NOINLINE VOID LeakyDriver(VOID)
{
    LeftSmall = ExAllocatePoolWithTag(NonPagedPool, 100, 'kaeL');
    LeftLarge = ExAllocatePoolWithTag(PagedPool, 3 * PAGE_SIZE, 'kaeL');
}

#define DRIVER_BYTES 64 /* two calls and two stores are not shorter than that */

static VOID UnloadLeaky(VOID)
{
    VfDriverUnloaded(LeakyDriver, DRIVER_BYTES, "leaky.sys");
}

static VOID UnloadRoutine(VOID)
{
    VfDriverUnloaded(NothingRoutine, 1, "armed.sys");
}

static VOID VfCaseUnload(PKTAP_CONTEXT Ktap)
{
    LARGE_INTEGER Due = {.QuadPart = -3600 * TEST_SECOND};
    KTIMER Timer;
    KDPC Dpc;

    KTAP_EQUAL(Provoke(VfReportLeak, UnloadLeaky), 0);
    LeakyDriver();
    KTAP_CHECK(LeftSmall != NULL && LeftLarge != NULL);
    ULONG Leaks = Provoke(VfReportLeak, UnloadLeaky);
    ExFreePoolWithTag(LeftSmall, 'kaeL');
    ExFreePoolWithTag(LeftLarge, 'kaeL');
    KeInitializeDpc(&Dpc, NothingRoutine, NULL);
    KeInitializeTimer(&Timer);
    KeSetTimer(&Timer, Due, &Dpc);
    ULONG Timers = Provoke(VfReportLeak, UnloadRoutine);
    KeCancelTimer(&Timer);
    KIRQL Irql = KfRaiseIrql(DISPATCH_LEVEL);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    ULONG Dpcs = Provoke(VfReportLeak, UnloadRoutine);
    KeRemoveQueueDpc(&Dpc);
    KeLowerIrql(Irql);
    KTAP_EQUAL(Leaks, 2);
    KTAP_EQUAL(Timers, 1);
    KTAP_EQUAL(Dpcs, 1);
    KTAP_EQUAL(Provoke(VfReportLeak, UnloadLeaky), 0);
}

/* What Io allocates for a driver counts as the driver's. */
static PIRP LeftIrp;
static PMDL LeftMdl;
static PIO_WORKITEM LeftItem;

static DECLSPEC_NOINLINE VOID LeakyRequests(VOID)
{
    LeftIrp = IoAllocateIrp(2, FALSE);
    LeftMdl = IoAllocateMdl(&LeftIrp, 8, FALSE, FALSE, NULL);
    LeftItem = IoAllocateWorkItem(NULL);
}

static VOID UnloadRequests(VOID)
{
    VfDriverUnloaded(LeakyRequests, DRIVER_BYTES + DRIVER_BYTES / 2, "requests.sys");
}

static NTSTATUS NTAPI LeftCompletion(PDEVICE_OBJECT Device, PIRP Irp, PVOID Context)
{
    return STATUS_MORE_PROCESSING_REQUIRED;
}

static VOID UnloadCompletion(VOID)
{
    VfDriverUnloaded(LeftCompletion, 1, "completion.sys");
}

static KEVENT WorkBegan, WorkMayEnd;

static VOID NTAPI SlowWork(PVOID Context)
{
    KeSetEvent(&WorkBegan, IO_NO_INCREMENT, FALSE);
    TestWait(&WorkMayEnd);
}

static VOID UnloadWork(VOID)
{
    VfDriverUnloaded(SlowWork, 1, "work.sys");
}

/* An IRP on its way whose completion would call the driver; one not sent yet calls nobody. */
static VOID VfCaseUnloadIrps(PKTAP_CONTEXT Ktap)
{
    KTAP_EQUAL(Provoke(VfReportLeak, UnloadRequests), 0);
    LeakyRequests();
    KTAP_CHECK(LeftIrp != NULL && LeftMdl != NULL && LeftItem != NULL);
    ULONG Requests = Provoke(VfReportLeak, UnloadRequests);
    IoSetNextIrpStackLocation(LeftIrp);
    ULONG Before = Provoke(VfReportLeak, UnloadCompletion);
    IoGetCurrentIrpStackLocation(LeftIrp)->CompletionRoutine = LeftCompletion;
    ULONG Pending = Provoke(VfReportLeak, UnloadCompletion);
    IoSkipCurrentIrpStackLocation(LeftIrp);
    IoFreeIrp(LeftIrp);
    IoFreeMdl(LeftMdl);
    IoFreeWorkItem(LeftItem);
    KTAP_EQUAL(Requests, 3);
    KTAP_EQUAL(Before, 0);
    KTAP_EQUAL(Pending, 1);
    KTAP_EQUAL(Provoke(VfReportLeak, UnloadRequests), 0);
}

static VOID VfCaseUnloadWork(PKTAP_CONTEXT Ktap)
{
    static WORK_QUEUE_ITEM Item;

    KeInitializeEvent(&WorkBegan, NotificationEvent, FALSE);
    KeInitializeEvent(&WorkMayEnd, NotificationEvent, FALSE);
    ExInitializeWorkItem(&Item, SlowWork, NULL);
    ULONG Before = Provoke(VfReportLeak, UnloadWork);
    ExQueueWorkItem(&Item, DelayedWorkQueue);
    ULONG Queued = Provoke(VfReportLeak, UnloadWork); /* or running already */
    NTSTATUS Began = TestWait(&WorkBegan);
    ULONG Running = Provoke(VfReportLeak, UnloadWork);
    KeSetEvent(&WorkMayEnd, IO_NO_INCREMENT, FALSE);
    for (ULONG Turn = 0; Turn < 1000 && ExFindWorkItemOf((ULONG64)SlowWork, (ULONG64)SlowWork + 1) != NULL; Turn++) {
        TestSleep(TEST_SECOND / 100);
    }
    KTAP_EQUAL(Began, STATUS_SUCCESS);
    KTAP_EQUAL(Before, 0);
    KTAP_EQUAL(Queued, 1);
    KTAP_EQUAL(Running, 1);
    KTAP_EQUAL(Provoke(VfReportLeak, UnloadWork), 0);
}

/* ---- Threads ---- */

static VOID NTAPI ForgetfulThread(PVOID Context)
{
    KeEnterCriticalRegion();
    ExAcquireFastMutexUnsafe(&MutexA);
    KeLeaveCriticalRegion();
}

static VOID EndWithLock(VOID)
{
    ULONG Before = VfCaughtReports(VfReportThread);
    ULONG64 End = KeQueryInterruptTime() + TEST_PATIENCE;

    TestThread(ForgetfulThread, NULL, 10);
    while (VfCaughtReports(VfReportThread) == Before && KeQueryInterruptTime() < End) {
        TestSleep(TEST_SECOND / 100);
    }
}

static volatile ULONG StackUse;
static KEVENT StackDone;

static DECLSPEC_NOINLINE ULONG UseStack(ULONG Bytes)
{
    volatile UCHAR Room[1000];

    memset((PVOID)Room, 1, sizeof(Room));
    return Bytes > sizeof(Room) ? UseStack(Bytes - sizeof(Room)) + Room[0] : Room[0];
}

static VOID NTAPI DeepThread(PVOID Context)
{
    PKTHREAD Thread = KeGetCurrentThread();

    UseStack(9000);
    StackUse = VfStackUse(Thread->StackLimit, Thread->StackTop);
    KeSetEvent(&StackDone, IO_NO_INCREMENT, FALSE);
}

static VOID VfCaseThreads(PKTAP_CONTEXT Ktap)
{
    ExInitializeFastMutex(&MutexA);
    KTAP_EQUAL(Provoke(VfReportThread, EndWithLock), 1);
    KeInitializeEvent(&StackDone, NotificationEvent, FALSE);
    KTAP_CHECK(TestThread(DeepThread, NULL, 10));
    KTAP_EQUAL(TestWait(&StackDone), STATUS_SUCCESS);
    KTAP_CHECK(StackUse >= 9000 && StackUse < KI_KERNEL_STACK_SIZE);
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"order", VfCaseOrder},
    {"levels", VfCaseLevels},
    {"times", VfCaseTimes},
    {"lists", VfCaseLists},
    {"freed", VfCaseFreed},
    {"unload", VfCaseUnload},
    {"unload_irps", VfCaseUnloadIrps},
    {"unload_work", VfCaseUnloadWork},
    {"threads", VfCaseThreads},
};
KTAP_SUITE(VfSuite, "vf", Cases);
