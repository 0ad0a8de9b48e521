/*
 * iotest.c - the device of iotest.h: a driver made in memory whose requests wait in a cancel-safe queue.
 *
 * One device at a time; IoTestStart makes it and IoTestStop takes it away with its driver. Its lock is the queue's. Requests leave the
 * queue by IoTestFinish, in any context up to DISPATCH_LEVEL, or by being cancelled.
 */
#include "iotest.h"

PDEVICE_OBJECT IoTestDevice;

static PDRIVER_OBJECT IoTestDriver;

PIOTEST_DEVICE IoTest(VOID)
{
    return IoTestDevice->DeviceExtension;
}

static VOID NTAPI QueueInsert(PIO_CSQ Csq, PIRP Irp)
{
    InsertTailList(&CONTAINING_RECORD(Csq, IOTEST_DEVICE, Csq)->Irps, &Irp->Tail.Overlay.ListEntry);
}

static VOID NTAPI QueueRemove(PIO_CSQ Csq, PIRP Irp)
{
    RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
}

static PIRP NTAPI QueuePeek(PIO_CSQ Csq, PIRP Irp, PVOID PeekContext)
{
    PLIST_ENTRY Head = &CONTAINING_RECORD(Csq, IOTEST_DEVICE, Csq)->Irps;
    PLIST_ENTRY Next = (Irp != NULL) ? Irp->Tail.Overlay.ListEntry.Flink : Head->Flink;

    return (Next != Head) ? CONTAINING_RECORD(Next, IRP, Tail.Overlay.ListEntry) : NULL;
}

static VOID NTAPI QueueAcquire(PIO_CSQ Csq, PKIRQL Irql)
{
    KeAcquireSpinLock(&CONTAINING_RECORD(Csq, IOTEST_DEVICE, Csq)->Lock, Irql);
}

static VOID NTAPI QueueRelease(PIO_CSQ Csq, KIRQL Irql)
{
    KeReleaseSpinLock(&CONTAINING_RECORD(Csq, IOTEST_DEVICE, Csq)->Lock, Irql);
}

static VOID End(PIRP Irp, NTSTATUS Status, ULONG Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
}

static VOID NTAPI QueueCancelled(PIO_CSQ Csq, PIRP Irp)
{
    InterlockedIncrement(&CONTAINING_RECORD(Csq, IOTEST_DEVICE, Csq)->Cancelled);
    End(Irp, STATUS_CANCELLED, 0);
}

static NTSTATUS NTAPI Control(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PIOTEST_DEVICE Device = DeviceObject->DeviceExtension;

    switch (IoGetCurrentIrpStackLocation(Irp)->Parameters.DeviceIoControl.IoControlCode) {
    case IOTEST_KEEP:
        IoCsqInsertIrp(&Device->Csq, Irp, NULL);
        InterlockedIncrement(&Device->Kept);
        KeReleaseSemaphore(&Device->Queued, IO_NO_INCREMENT, 1, FALSE);
        return STATUS_PENDING;
    case IOTEST_HOLD:
        IoMarkIrpPending(Irp);
        ExInterlockedInsertTailList(&Device->Held, &Irp->Tail.Overlay.ListEntry, &Device->Lock);
        InterlockedIncrement(&Device->Kept);
        return STATUS_PENDING;
    case IOTEST_ANSWER:
        *(PULONG)Irp->AssociatedIrp.SystemBuffer = 77;
        End(Irp, STATUS_SUCCESS, sizeof(ULONG));
        return STATUS_SUCCESS;
    default:
        End(Irp, STATUS_DEVICE_NOT_READY, 0);
        return STATUS_DEVICE_NOT_READY;
    }
}

static NTSTATUS NTAPI OpenClose(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PIOTEST_DEVICE Device = DeviceObject->DeviceExtension;

    if (IoGetCurrentIrpStackLocation(Irp)->MajorFunction == IRP_MJ_CLOSE) {
        InterlockedIncrement(&Device->Closes);
    }
    End(Irp, STATUS_SUCCESS, 0);
    return STATUS_SUCCESS;
}

static NTSTATUS NTAPI Entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    PIOTEST_DEVICE Device;
    UNICODE_STRING Name;
    NTSTATUS Status;

    RtlInitUnicodeString(&Name, L"\\Device\\KtapIo");
    Status = IoCreateDevice(DriverObject, sizeof(*Device), &Name, FILE_DEVICE_UNKNOWN, 0, FALSE, &IoTestDevice);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    IoTestDriver = DriverObject;
    Device = IoTest();
    KeInitializeSpinLock(&Device->Lock);
    KeInitializeSemaphore(&Device->Queued, 0, MAXLONG);
    InitializeListHead(&Device->Irps);
    InitializeListHead(&Device->Held);
    IoCsqInitialize(&Device->Csq, QueueInsert, QueueRemove, QueuePeek, QueueAcquire, QueueRelease, QueueCancelled);
    DriverObject->MajorFunction[IRP_MJ_CREATE] = OpenClose;
    DriverObject->MajorFunction[IRP_MJ_CLEANUP] = OpenClose;
    DriverObject->MajorFunction[IRP_MJ_CLOSE] = OpenClose;
    DriverObject->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Control;
    return STATUS_SUCCESS;
}

NTSTATUS IoTestStart(VOID)
{
    UNICODE_STRING Name;

    RtlInitUnicodeString(&Name, L"\\Driver\\KtapIo");
    return IoCreateDriver(&Name, Entry);
}

VOID IoTestStop(VOID)
{
    IoDeleteDevice(IoTestDevice);
    IoDeleteDriver(IoTestDriver);
}

NTSTATUS IoTestOpen(PHANDLE Handle, ULONG Options)
{
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Iosb;
    UNICODE_STRING Name;

    RtlInitUnicodeString(&Name, L"\\Device\\KtapIo");
    InitializeObjectAttributes(&Attributes, &Name, OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwOpenFile(Handle, FILE_READ_DATA | SYNCHRONIZE, &Attributes, &Iosb, 0, Options);
}

BOOLEAN IoTestFinish(NTSTATUS Status, ULONG Value)
{
    PIRP Irp = IoCsqRemoveNextIrp(&IoTest()->Csq, NULL);

    if (Irp == NULL) {
        return FALSE;
    }
    if (Irp->AssociatedIrp.SystemBuffer != NULL) {
        *(PULONG)Irp->AssociatedIrp.SystemBuffer = Value;
    }
    End(Irp, Status, (Irp->AssociatedIrp.SystemBuffer != NULL) ? sizeof(ULONG) : 0);
    return TRUE;
}

BOOLEAN IoTestFinishHeld(NTSTATUS Status)
{
    PLIST_ENTRY Link = ExInterlockedRemoveHeadList(&IoTest()->Held, &IoTest()->Lock);

    if (Link == NULL) {
        return FALSE;
    }
    End(CONTAINING_RECORD(Link, IRP, Tail.Overlay.ListEntry), Status, 0);
    return TRUE;
}

VOID IoTestPause(LONG Milliseconds)
{
    LARGE_INTEGER Pause = {.QuadPart = -10000LL * Milliseconds};

    KeDelayExecutionThread(KernelMode, FALSE, &Pause);
}

BOOLEAN IoTestReached(volatile LONG *Counter, LONG Value)
{
    for (ULONG Wait = 0; Wait < 2000 && *Counter < Value; Wait++) {
        IoTestPause(10);
    }
    return *Counter >= Value;
}

LONG64 IoTestIrps(VOID)
{
    IO_MANAGER_COUNTERS Counters;

    IoQueryCounters(&Counters);
    return Counters.Irps;
}

PVOID IoTestThread(PKSTART_ROUTINE Routine, PVOID Context)
{
    PETHREAD Thread;

    return NT_SUCCESS(PspCreateSystemThread(&Thread, Routine, Context, 8)) ? Thread : NULL;
}

VOID IoTestJoin(PVOID Thread)
{
    KeWaitForSingleObject(Thread, Executive, KernelMode, FALSE, NULL);
    ObfDereferenceObject(Thread);
}
