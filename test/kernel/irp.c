/*
 * irp.c - suite for IRPs: the way down a stack of three devices and back, who gets called, who frees what.
 *
 * The devices belong to a driver object of the suite's own. The lowest one completes, pends, or keeps the request for the case to
 * complete or cancel. Every case ends with as many IRPs and MDLs as it began with.
 */
#include <ntos/io.h>
#include <ntos/ke.h>
#include <ntos/ktap.h>
#include <ntos/ob.h>
#include <ntos/pool.h>
#include <ntos/vf.h>

VOID IopTrimIrps(VOID); /* src/io/irpcache.c */

static DRIVER_OBJECT IrptDriver;
static PDEVICE_OBJECT IrptDevices[3]; /* [0] is the lowest */
static PIRP IrptKept;                 /* the request the lowest device holds */
static BOOLEAN IrptKeep;
static NTSTATUS IrptResult;
static ULONG IrptOrder[8], IrptCalls; /* completion routines in the order they ran */
static BOOLEAN IrptPending[8];

static NTSTATUS NTAPI IrptDone(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    IrptPending[IrptCalls & 7] = Irp->PendingReturned;
    IrptOrder[IrptCalls++ & 7] = (ULONG)(ULONG_PTR)Context;
    if (Irp->PendingReturned && DeviceObject != NULL) {
        IoMarkIrpPending(Irp);
    }
    return STATUS_CONTINUE_COMPLETION;
}

static VOID NTAPI IrptCancel(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    IoReleaseCancelSpinLock(Irp->CancelIrql);
    Irp->IoStatus.Status = STATUS_CANCELLED;
    Irp->IoStatus.Information = 0;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
}

static NTSTATUS NTAPI IrptDispatch(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    for (ULONG Index = 1; Index < 3; Index++) {
        if (DeviceObject == IrptDevices[Index]) {
            IoCopyCurrentIrpStackLocationToNext(Irp);
            IoSetCompletionRoutine(Irp, IrptDone, (PVOID)(ULONG_PTR)Index, TRUE, TRUE, TRUE);
            return IoCallDriver(IrptDevices[Index - 1], Irp);
        }
    }
    if (IrptKeep) {
        IoMarkIrpPending(Irp);
        IoSetCancelRoutine(Irp, IrptCancel);
        IrptKept = Irp;
        return STATUS_PENDING;
    }
    if (Irp->AssociatedIrp.SystemBuffer != NULL && NT_SUCCESS(IrptResult)) {
        *(PULONG)Irp->AssociatedIrp.SystemBuffer = 0x12345678;
        Irp->IoStatus.Information = sizeof(ULONG);
    } else {
        Irp->IoStatus.Information = 0;
    }
    Irp->IoStatus.Status = IrptResult;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return IrptResult;
}

/* Makes the stack of three; the case's first step. */
static BOOLEAN IrptStart(VOID)
{
    IrptKeep = FALSE;
    IrptKept = NULL;
    IrptResult = STATUS_SUCCESS;
    IrptCalls = 0;
    for (ULONG Major = 0; Major <= IRP_MJ_MAXIMUM_FUNCTION; Major++) {
        IrptDriver.MajorFunction[Major] = IrptDispatch;
    }
    for (ULONG Index = 0; Index < 3; Index++) {
        if (!NT_SUCCESS(IoCreateDevice(&IrptDriver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &IrptDevices[Index]))) {
            return FALSE;
        }
        IrptDevices[Index]->Flags &= ~DO_DEVICE_INITIALIZING;
        IrptDevices[Index]->Flags |= DO_BUFFERED_IO;
        if (Index != 0 && IoAttachDeviceToDeviceStack(IrptDevices[Index], IrptDevices[0]) != IrptDevices[Index - 1]) {
            return FALSE;
        }
    }
    return TRUE;
}

static VOID IrptStop(VOID)
{
    IoDetachDevice(IrptDevices[1]);
    IoDetachDevice(IrptDevices[0]);
    for (ULONG Index = 0; Index < 3; Index++) {
        IoDeleteDevice(IrptDevices[Index]);
    }
}

static VOID IrptStack(PKTAP_CONTEXT Ktap)
{
    LONG64 Devices = IopDeviceObjectType->ObjectCount;

    KTAP_CHECK(KTAP_WHOLE(IrptStart()));
    KTAP_EQUAL(IrptDevices[2]->StackSize, 3);
    KTAP_CHECK(IoGetAttachedDevice(IrptDevices[0]) == IrptDevices[2]);
    KTAP_CHECK(IrptDriver.DeviceObject == IrptDevices[2]);
    IrptStop();
    KTAP_CHECK(IrptDriver.DeviceObject == NULL);
    KTAP_EQUAL(IopDeviceObjectType->ObjectCount, Devices);
}

/* A buffered read that completes at once: routines from the bottom up, the data copied back, the IRP gone. */
static VOID IrptImmediate(PKTAP_CONTEXT Ktap)
{
    IO_MANAGER_COUNTERS Before, After;
    IO_STATUS_BLOCK Iosb = {0};
    LARGE_INTEGER Offset = {0};
    ULONG Data = 0;
    KEVENT Event;
    PIRP Irp;
    NTSTATUS Status;

    KTAP_CHECK(KTAP_WHOLE(IrptStart()));
    IoQueryCounters(&Before);
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    Irp = IoBuildSynchronousFsdRequest(IRP_MJ_READ, IrptDevices[2], &Data, sizeof(Data), &Offset, &Event, &Iosb);
    KTAP_CHECK(Irp != NULL);
    Status = IoCallDriver(IrptDevices[2], Irp);
    IoQueryCounters(&After);
    IrptStop();
    KTAP_EQUAL(Status, STATUS_SUCCESS);
    KTAP_EQUAL(IrptCalls, 2);
    KTAP_EQUAL(IrptOrder[0], 1);
    KTAP_EQUAL(IrptOrder[1], 2);
    KTAP_CHECK(!IrptPending[0] && !IrptPending[1]);
    KTAP_EQUAL(Data, 0x12345678);
    KTAP_EQUAL(Iosb.Status, STATUS_SUCCESS);
    KTAP_EQUAL(Iosb.Information, sizeof(ULONG));
    KTAP_CHECK(KeReadStateEvent(&Event) != 0);
    KTAP_EQUAL(After.Irps, Before.Irps);
    KTAP_EQUAL(After.IrpsCompleted, Before.IrpsCompleted + 1);
}

/* A request that pends: the mark travels up, the caller's buffer stays untouched after an error. */
static VOID IrptPended(PKTAP_CONTEXT Ktap)
{
    IO_MANAGER_COUNTERS Before, After;
    IO_STATUS_BLOCK Iosb = {0};
    LARGE_INTEGER Offset = {0};
    ULONG Data = 7;
    KEVENT Event;
    NTSTATUS Status;
    PIRP Irp;

    KTAP_CHECK(KTAP_WHOLE(IrptStart()));
    IoQueryCounters(&Before);
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    IrptKeep = TRUE;
    Irp = IoBuildSynchronousFsdRequest(IRP_MJ_READ, IrptDevices[2], &Data, sizeof(Data), &Offset, &Event, &Iosb);
    KTAP_CHECK(Irp != NULL);
    Status = IoCallDriver(IrptDevices[2], Irp);
    KTAP_EQUAL(Status, STATUS_PENDING);
    KTAP_CHECK(IrptKept == Irp && KeReadStateEvent(&Event) == 0);
    IoSetCancelRoutine(Irp, NULL);
    Irp->IoStatus.Status = STATUS_DEVICE_DATA_ERROR;
    Irp->IoStatus.Information = sizeof(Data);
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    IoQueryCounters(&After);
    IrptStop();
    KTAP_CHECK(IrptPending[0] && IrptPending[1]);
    KTAP_EQUAL(Iosb.Status, STATUS_DEVICE_DATA_ERROR);
    KTAP_CHECK(KeReadStateEvent(&Event) != 0);
    KTAP_EQUAL(Data, 7);
    KTAP_EQUAL(After.Irps, Before.Irps);
}

static VOID IrptCancelled(PKTAP_CONTEXT Ktap)
{
    IO_MANAGER_COUNTERS Before, After;
    IO_STATUS_BLOCK Iosb = {0};
    KEVENT Event;
    BOOLEAN Cancelled;
    PIRP Irp;

    KTAP_CHECK(KTAP_WHOLE(IrptStart()));
    IoQueryCounters(&Before);
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    IrptKeep = TRUE;
    Irp = IoBuildDeviceIoControlRequest(CTL_CODE(FILE_DEVICE_UNKNOWN, 1, METHOD_BUFFERED, FILE_ANY_ACCESS),
                                        IrptDevices[2], NULL, 0, NULL, 0, FALSE, &Event, &Iosb);
    KTAP_CHECK(Irp != NULL);
    KTAP_EQUAL(IoCallDriver(IrptDevices[2], Irp), STATUS_PENDING);
    Cancelled = IoCancelIrp(Irp);
    IoQueryCounters(&After);
    IrptStop();
    KTAP_CHECK(Cancelled);
    KTAP_EQUAL(Iosb.Status, STATUS_CANCELLED);
    KTAP_EQUAL(IrptCalls, 2);
    KTAP_EQUAL(After.Irps, Before.Irps);
}

static NTSTATUS NTAPI IrptTakeBack(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    *(PULONG)Context += 1;
    return STATUS_MORE_PROCESSING_REQUIRED;
}

/* An IRP of the caller's own: taken back by its routine, used again, freed by the caller. */
static VOID IrptOwn(PKTAP_CONTEXT Ktap)
{
    IO_MANAGER_COUNTERS Before, After;
    ULONG Taken = 0;
    PIRP Irp;

    KTAP_CHECK(KTAP_WHOLE(IrptStart()));
    IoQueryCounters(&Before);
    Irp = IoAllocateIrp(IrptDevices[2]->StackSize, FALSE);
    KTAP_CHECK(Irp != NULL);
    IrptResult = STATUS_INVALID_DEVICE_REQUEST;
    for (ULONG Round = 0; Round < 2; Round++) {
        IoGetNextIrpStackLocation(Irp)->MajorFunction = IRP_MJ_FLUSH_BUFFERS;
        IoSetCompletionRoutine(Irp, IrptTakeBack, &Taken, FALSE, TRUE, FALSE);
        IoCallDriver(IrptDevices[2], Irp);
        if (Round == 0) {
            IoReuseIrp(Irp, STATUS_SUCCESS);
        }
    }
    IoFreeIrp(Irp);
    IoQueryCounters(&After);
    IrptStop();
    KTAP_EQUAL(Taken, 2);
    KTAP_EQUAL(IrptCalls, 4);
    KTAP_EQUAL(After.Irps, Before.Irps);
}

static VOID IrptPartialMdl(PKTAP_CONTEXT Ktap)
{
    PUCHAR Buffer = ExAllocatePoolWithTag(NonPagedPool, 4 * PAGE_SIZE, 'tpmI');
    IO_MANAGER_COUNTERS Before, After;
    PMDL Whole, Part;
    PFN_NUMBER Wanted, Got;
    PVOID Mapped;

    KTAP_CHECK(Buffer != NULL);
    IoQueryCounters(&Before);
    Whole = IoAllocateMdl(Buffer, 4 * PAGE_SIZE, FALSE, FALSE, NULL);
    Part = IoAllocateMdl(Buffer + PAGE_SIZE + 16, PAGE_SIZE, FALSE, FALSE, NULL);
    KTAP_CHECK(Whole != NULL && Part != NULL);
    MmBuildMdlForNonPagedPool(Whole);
    IoBuildPartialMdl(Whole, Part, Buffer + PAGE_SIZE + 16, PAGE_SIZE);
    Wanted = MmGetMdlPfnArray(Whole)[1];
    Got = MmGetMdlPfnArray(Part)[0];
    Mapped = MmGetSystemAddressForMdlSafe(Part, NormalPagePriority);
    IoFreeMdl(Part);
    IoFreeMdl(Whole);
    ExFreePoolWithTag(Buffer, 'tpmI');
    IoQueryCounters(&After);
    KTAP_EQUAL(Got, Wanted);
    KTAP_CHECK(Mapped == Buffer + PAGE_SIZE + 16);
    KTAP_EQUAL(After.Mdls, Before.Mdls);
}

static NTSTATUS NTAPI IrptRegain(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    ++*(PULONG)Context;
    return STATUS_MORE_PROCESSING_REQUIRED;
}

/* Completes an IRP of the case's own as a driver would that it was sent to, and takes it back. */
static VOID IrptCompleteOwn(PIRP Irp, NTSTATUS Status, PULONG Calls)
{
    IoReuseIrp(Irp, Status);
    IoSetNextIrpStackLocation(Irp);
    IoSetCompletionRoutine(Irp, IrptRegain, Calls, TRUE, TRUE, TRUE);
    IoSetNextIrpStackLocation(Irp);
    if (Status == STATUS_CANCELLED) {
        IoSetCancelRoutine(Irp, IrptCancel); /* left where it is */
    }
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    IoSetCancelRoutine(Irp, NULL);
}

static NTSTATUS NTAPI IrptRaise(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    KIRQL Irql;

    KeRaiseIrql(DISPATCH_LEVEL, &Irql); /* and forgets to lower it */
    return STATUS_SUCCESS;
}

/* The verifier hears of a cancel routine left set, of status PENDING, and of a driver that comes back at another IRQL. */
static VOID IrptMisuse(PKTAP_CONTEXT Ktap)
{
    PIRP Irp = IoAllocateIrp(2, FALSE);
    ULONG Calls = 0, Before, Reports[3];
    BOOLEAN Caught;

    KTAP_CHECK(Irp != NULL && KTAP_WHOLE(IrptStart()));
    Caught = VfCatchReports(TRUE);
    Before = VfCaughtReports(VfReportIrp);
    IrptCompleteOwn(Irp, STATUS_CANCELLED, &Calls);
    Reports[0] = VfCaughtReports(VfReportIrp);
    IrptCompleteOwn(Irp, STATUS_PENDING, &Calls);
    Reports[1] = VfCaughtReports(VfReportIrp);
    IoReuseIrp(Irp, STATUS_SUCCESS);
    IoGetNextIrpStackLocation(Irp)->MajorFunction = IRP_MJ_READ;
    IrptDriver.MajorFunction[IRP_MJ_READ] = IrptRaise;
    IoCallDriver(IrptDevices[0], Irp);
    KeLowerIrql(PASSIVE_LEVEL);
    Reports[2] = VfCaughtReports(VfReportIrp);
    VfCatchReports(Caught);
    Irp->CurrentLocation++; /* the driver kept it */
    IoFreeIrp(Irp);
    IrptStop();
    KTAP_EQUAL(Calls, 2);
    KTAP_EQUAL(Reports[0], Before + 1);
    KTAP_EQUAL(Reports[1], Before + 2);
    KTAP_EQUAL(Reports[2], Before + 3);
}

/* IRPs of few locations are kept by the processor that frees them, which finds them again; deep ones go back to the pool. */
static VOID IrptKeptOnes(PKTAP_CONTEXT Ktap)
{
    PIRP First, Same, Other, Deep;
    UCHAR Flags, DeepFlags;
    KIRQL Irql;

    if (ExIsSpecialPool()) {
        Ktap->Skipped = TRUE;
        Ktap->SkipReason = "with special pool none is kept";
        return;
    }
    KeRaiseIrql(DISPATCH_LEVEL, &Irql); /* nobody else of this processor */
    IopTrimIrps();                      /* a list that is full would give First back to the pool */
    First = IoAllocateIrp(1, FALSE);
    if (First != NULL) {
        IoFreeIrp(First);
    }
    Same = IoAllocateIrp(2, FALSE);
    Other = IoAllocateIrp(2, FALSE);
    Deep = IoAllocateIrp(20, FALSE);
    KeLowerIrql(Irql);
    KTAP_CHECK(First != NULL && Same != NULL && Other != NULL && Deep != NULL);
    Flags = Same->AllocationFlags;
    DeepFlags = Deep->AllocationFlags;
    IoFreeIrp(Same);
    IoFreeIrp(Other);
    IoFreeIrp(Deep);
    KTAP_EQUAL(Same, First);
    KTAP_CHECK(Other != First);
    KTAP_EQUAL(Flags & IRP_LOOKASIDE_ALLOCATION, IRP_LOOKASIDE_ALLOCATION);
    KTAP_EQUAL(DeepFlags & IRP_LOOKASIDE_ALLOCATION, 0);
}

/* However many are freed, a list keeps a bounded number, and gives back all of them when asked. */
static VOID IrptKeptFew(PKTAP_CONTEXT Ktap)
{
    static PIRP Many[600];
    static EX_POOL_TAG Before[EX_POOL_TAGS], After[EX_POOL_TAGS];
    ULONG Made = 0;
    LONG64 Bytes = 0;

    IopTrimIrps();
    ExSnapshotPoolTags(Before);
    while (Made < RTL_NUMBER_OF(Many) && (Many[Made] = IoAllocateIrp(1, FALSE)) != NULL) {
        Made++;
    }
    for (ULONG Index = 0; Index < Made; Index++) {
        IoFreeIrp(Many[Index]);
    }
    ExSnapshotPoolTags(After);
    for (ULONG Index = 0; Index < EX_POOL_TAGS; Index++) {
        Bytes += After[Index].Tag == ' prI' ? (LONG64)(After[Index].Bytes - Before[Index].Bytes) : 0;
    }
    IopTrimIrps();
    KTAP_EQUAL(Made, RTL_NUMBER_OF(Many));
    KTAP_CHECK(Bytes <= (LONG64)KeQueryActiveProcessorCount(NULL) * 256 * IoSizeOfIrp(6) &&
               Bytes < 600 * IoSizeOfIrp(2));
}

static const KTAP_CASE_ENTRY IrptCases[] = {
    {"device_stack", IrptStack},  {"immediate", IrptImmediate}, {"pended", IrptPended},
    {"cancelled", IrptCancelled}, {"own_irp", IrptOwn},         {"partial_mdl", IrptPartialMdl},
    {"misuse", IrptMisuse},       {"kept", IrptKeptOnes},       {"kept_few", IrptKeptFew},
};
KTAP_SUITE(IrptSuite, "io.irp", IrptCases);
