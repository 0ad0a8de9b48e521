/*
 * gccdrv.c - a driver as somebody would write it who knows the DDK and nothing else.
 *
 * Built by plain x86_64-w64-mingw32-gcc in a scratch directory from the DDK headers alone, put on the disc's extra folder and
 * loaded at run time. \Device\GccDrv answers control codes of all four transfer methods and has codes that make the driver
 * use a work item, a timer with a DPC that calculates in SSE registers, and an MDL. talker.c opens it and checks the answers.
 */
#include <ntddk.h>

#include "gccdrv.h"

#define TAG 'dccG'

typedef struct _EXTENSION {
    KEVENT WorkDone, TimerDone;
    KTIMER Timer;
    KDPC Dpc;
    double Values[64];
    double Sum; /* by the DPC */
    PIO_WORKITEM Item;
    volatile LONG WorkRuns;
    KIRQL WorkIrql;
} EXTENSION, *PEXTENSION;

DRIVER_INITIALIZE DriverEntry;

static VOID NTAPI Unload(PDRIVER_OBJECT Driver)
{
    UNICODE_STRING Link;
    PEXTENSION Extension = Driver->DeviceObject->DeviceExtension;

    RtlInitUnicodeString(&Link, GCCDRV_LINK);
    IoDeleteSymbolicLink(&Link);
    KeCancelTimer(&Extension->Timer);
    KeFlushQueuedDpcs();
    IoFreeWorkItem(Extension->Item);
    IoDeleteDevice(Driver->DeviceObject);
    DbgPrint("gccdrv: unloaded\n");
}

static NTSTATUS NTAPI OpenClose(PDEVICE_OBJECT Device, PIRP Irp)
{
    Irp->IoStatus.Status = STATUS_SUCCESS;
    Irp->IoStatus.Information = 0;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return STATUS_SUCCESS;
}

static VOID NTAPI Work(PDEVICE_OBJECT Device, PVOID Context)
{
    PEXTENSION Extension = Device->DeviceExtension;

    Extension->WorkIrql = KeGetCurrentIrql();
    InterlockedIncrement(&Extension->WorkRuns);
    KeSetEvent(&Extension->WorkDone, IO_NO_INCREMENT, FALSE);
}

/* A sum that the compiler keeps in SSE registers, at DISPATCH_LEVEL, on whatever thread was running. */
static VOID NTAPI TimerDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PEXTENSION Extension = Context;
    double Sum = 0.0;
    int Index;

    for (Index = 0; Index < 64; Index++) {
        Sum += Extension->Values[Index] * 0.5;
    }
    Extension->Sum = Sum;
    KeSetEvent(&Extension->TimerDone, IO_NO_INCREMENT, FALSE);
}

static NTSTATUS RunTimer(PEXTENSION Extension, PVOID Output)
{
    LARGE_INTEGER Due;
    GCCDRV_SUM *Answer = Output;
    int Index;

    for (Index = 0; Index < 64; Index++) {
        Extension->Values[Index] = Index + 0.25;
    }
    Due.QuadPart = -50000; /* 5 ms */
    KeClearEvent(&Extension->TimerDone);
    KeSetTimer(&Extension->Timer, Due, &Extension->Dpc);
    KeWaitForSingleObject(&Extension->TimerDone, Executive, KernelMode, FALSE, NULL);
    Answer->TimesHundred = (LONG)(Extension->Sum * 100.0);
    return STATUS_SUCCESS;
}

static NTSTATUS RunWork(PDEVICE_OBJECT Device, PEXTENSION Extension, PVOID Output)
{
    GCCDRV_WORK *Answer = Output;

    KeClearEvent(&Extension->WorkDone);
    IoQueueWorkItem(Extension->Item, Work, DelayedWorkQueue, NULL);
    KeWaitForSingleObject(&Extension->WorkDone, Executive, KernelMode, FALSE, NULL);
    Answer->Runs = Extension->WorkRuns;
    Answer->Irql = Extension->WorkIrql;
    return STATUS_SUCCESS;
}

/* Locks a buffer of its own, maps it a second time, writes through one mapping and reads through the other. */
static NTSTATUS RunMdl(PVOID Output)
{
    GCCDRV_MDL *Answer = Output;
    const SIZE_T Bytes = 3 * PAGE_SIZE + 100;
    PUCHAR Buffer = ExAllocatePoolWithTag(PagedPool, Bytes, TAG), Second;
    ULONG Differences = 0;
    SIZE_T Index;
    PMDL Mdl;

    if (Buffer == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Mdl = IoAllocateMdl(Buffer, (ULONG)Bytes, FALSE, FALSE, NULL);
    if (Mdl == NULL) {
        ExFreePoolWithTag(Buffer, TAG);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    MmProbeAndLockPages(Mdl, KernelMode, IoModifyAccess);
    Second = MmGetSystemAddressForMdlSafe(Mdl, NormalPagePriority);
    for (Index = 0; Second != NULL && Index < Bytes; Index++) {
        Second[Index] = (UCHAR)(Index * 7);
    }
    for (Index = 0; Index < Bytes; Index++) {
        Differences += (Buffer[Index] != (UCHAR)(Index * 7));
    }
    Answer->Mapped = Second != NULL && Second != Buffer;
    Answer->Differences = Differences;
    MmUnlockPages(Mdl);
    IoFreeMdl(Mdl);
    ExFreePoolWithTag(Buffer, TAG);
    return STATUS_SUCCESS;
}

/* Upper-cases the input into the output: what every transfer method is asked to do. */
static ULONG Convert(PUCHAR To, const UCHAR *From, ULONG Bytes)
{
    ULONG Index;

    for (Index = 0; Index < Bytes; Index++) {
        To[Index] = (From[Index] >= 'a' && From[Index] <= 'z') ? From[Index] - 32 : From[Index];
    }
    return Bytes;
}

static NTSTATUS Transfer(PIRP Irp, PIO_STACK_LOCATION Stack, ULONG Code, ULONG_PTR *Information)
{
    ULONG In = Stack->Parameters.DeviceIoControl.InputBufferLength;
    ULONG Out = Stack->Parameters.DeviceIoControl.OutputBufferLength;
    ULONG Bytes = min(In, Out);
    PUCHAR Buffer;

    switch (Code) {
    case GCCDRV_BUFFERED:
        *Information = Convert(Irp->AssociatedIrp.SystemBuffer, Irp->AssociatedIrp.SystemBuffer, Bytes);
        return STATUS_SUCCESS;
    case GCCDRV_NEITHER: /* the caller's own addresses; its thread, so they mean what they should */
        *Information = Convert(Irp->UserBuffer, Stack->Parameters.DeviceIoControl.Type3InputBuffer, Bytes);
        return STATUS_SUCCESS;
    default:
        Buffer = (Irp->MdlAddress != NULL) ? MmGetSystemAddressForMdlSafe(Irp->MdlAddress, NormalPagePriority) : NULL;
        if (Buffer == NULL) {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        if (Code == GCCDRV_OUT_DIRECT) {
            *Information = Convert(Buffer, Irp->AssociatedIrp.SystemBuffer, Bytes);
            return STATUS_SUCCESS;
        }
        /* in direct: both buffers are input; the sum of their bytes is the answer */
        *Information = 0;
        for (In = 0; In < Bytes; In++) {
            *Information += Buffer[In] + ((PUCHAR)Irp->AssociatedIrp.SystemBuffer)[In];
        }
        return STATUS_SUCCESS;
    }
}

static NTSTATUS NTAPI Control(PDEVICE_OBJECT Device, PIRP Irp)
{
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    PEXTENSION Extension = Device->DeviceExtension;
    ULONG Code = Stack->Parameters.DeviceIoControl.IoControlCode;
    ULONG Out = Stack->Parameters.DeviceIoControl.OutputBufferLength;
    ULONG_PTR Information = 0;
    NTSTATUS Status = STATUS_INVALID_DEVICE_REQUEST;

    switch (Code) {
    case GCCDRV_BUFFERED:
    case GCCDRV_IN_DIRECT:
    case GCCDRV_OUT_DIRECT:
    case GCCDRV_NEITHER:
        Status = Transfer(Irp, Stack, Code, &Information);
        break;
    case GCCDRV_RUN_WORK:
    case GCCDRV_RUN_TIMER:
    case GCCDRV_RUN_MDL:
        if (Out < sizeof(GCCDRV_WORK)) {
            Status = STATUS_BUFFER_TOO_SMALL;
            break;
        }
        Status = Code == GCCDRV_RUN_WORK    ? RunWork(Device, Extension, Irp->AssociatedIrp.SystemBuffer)
                 : Code == GCCDRV_RUN_TIMER ? RunTimer(Extension, Irp->AssociatedIrp.SystemBuffer)
                                            : RunMdl(Irp->AssociatedIrp.SystemBuffer);
        Information = NT_SUCCESS(Status) ? sizeof(GCCDRV_WORK) : 0;
        break;
    }
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNICODE_STRING Name, Link;
    PEXTENSION Extension;
    PDEVICE_OBJECT Device;
    NTSTATUS Status;

    RtlInitUnicodeString(&Name, GCCDRV_DEVICE);
    RtlInitUnicodeString(&Link, GCCDRV_LINK);
    Status = IoCreateDevice(Driver, sizeof(EXTENSION), &Name, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Extension = Device->DeviceExtension;
    KeInitializeEvent(&Extension->WorkDone, NotificationEvent, FALSE);
    KeInitializeEvent(&Extension->TimerDone, NotificationEvent, FALSE);
    KeInitializeTimer(&Extension->Timer);
    KeInitializeDpc(&Extension->Dpc, TimerDpc, Extension);
    Extension->Item = IoAllocateWorkItem(Device);
    if (Extension->Item == NULL) {
        IoDeleteDevice(Device);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Status = IoCreateSymbolicLink(&Link, &Name);
    if (!NT_SUCCESS(Status)) {
        IoFreeWorkItem(Extension->Item);
        IoDeleteDevice(Device);
        return Status;
    }
    Driver->DriverUnload = Unload;
    Driver->MajorFunction[IRP_MJ_CREATE] = OpenClose;
    Driver->MajorFunction[IRP_MJ_CLEANUP] = OpenClose;
    Driver->MajorFunction[IRP_MJ_CLOSE] = OpenClose;
    Driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Control;
    DbgPrint("gccdrv: started, %wZ\n", RegistryPath);
    return STATUS_SUCCESS;
}
