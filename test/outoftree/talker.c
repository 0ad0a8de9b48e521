/*
 * talker.c - a driver that uses another one: opens gccdrv.sys and checks what it answers.
 *
 * It knows the DDK and gccdrv.h. Buffers lie on its stack, in pool across a page boundary and in its image, so that every way to hand
 * one over is seen; one case talks to the device by pointer with an IRP of its own.
 *
 * The suite runs in DriverEntry, which then fails on purpose with STATUS_NO_MORE_ENTRIES, so that the driver goes at once.
 */
#include "blackbox.h"
#include "gccdrv.h"

static HANDLE Device;

static NTSTATUS Open(HANDLE *Handle, ULONG Options)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Iosb;

    RtlInitUnicodeString(&Name, GCCDRV_LINK);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, NULL, NULL);
    return ZwOpenFile(Handle, FILE_READ_DATA | FILE_WRITE_DATA | SYNCHRONIZE, &Attributes, &Iosb, FILE_SHARE_READ,
                      Options);
}

/* Sends a code and waits, whatever kind of file it is. */
static NTSTATUS Send(ULONG Code, PVOID In, ULONG InBytes, PVOID Out, ULONG OutBytes, ULONG_PTR *Information)
{
    IO_STATUS_BLOCK Iosb;
    NTSTATUS Status;

    Status = ZwDeviceIoControlFile(Device, NULL, NULL, NULL, &Iosb, Code, In, InBytes, Out, OutBytes);
    if (Status == STATUS_PENDING) {
        ZwWaitForSingleObject(Device, FALSE, NULL);
        Status = Iosb.Status;
    }
    *Information = Iosb.Information;
    return Status;
}

static BOOLEAN IsUpper(const char *Text)
{
    return RtlCompareMemory(Text, "HELLO, DRIVER 7", 15) == 15;
}

static BOOLEAN Buffered(VOID)
{
    char In[] = "hello, driver 7", Out[32] = {0};
    ULONG_PTR Information;

    CHECK(Send(GCCDRV_BUFFERED, In, 15, Out, sizeof(Out), &Information) == STATUS_SUCCESS);
    CHECK(Information == 15);
    CHECK(IsUpper(Out));
    CHECK(In[0] == 'h');
    CHECK(Send(GCCDRV_BUFFERED, In, 15, Out, 4, &Information) == STATUS_SUCCESS && Information == 4);
    return TRUE;
}

static BOOLEAN OutDirect(VOID)
{
    char *Out = ExAllocatePoolWithTag(NonPagedPool, 2 * PAGE_SIZE, 'klaT');
    ULONG_PTR Information;
    NTSTATUS Status;
    BOOLEAN Good;

    CHECK(Out != NULL);
    Status = Send(GCCDRV_OUT_DIRECT, "hello, driver 7", 15, Out + PAGE_SIZE - 7, 100, &Information);
    Good = IsUpper(Out + PAGE_SIZE - 7);
    ExFreePoolWithTag(Out, 'klaT');
    CHECK(Status == STATUS_SUCCESS && Information == 15 && Good);
    return TRUE;
}

static BOOLEAN InDirect(VOID)
{
    static UCHAR First[] = {1, 2, 3, 4}, Second[] = {10, 20, 30, 40};
    ULONG_PTR Information;

    CHECK(Send(GCCDRV_IN_DIRECT, First, 4, Second, 4, &Information) == STATUS_SUCCESS);
    CHECK(Information == 110);
    return TRUE;
}

static BOOLEAN Neither(VOID)
{
    char Out[32] = {0};
    ULONG_PTR Information;

    CHECK(Send(GCCDRV_NEITHER, "hello, driver 7", 15, Out, sizeof(Out), &Information) == STATUS_SUCCESS);
    CHECK(Information == 15 && IsUpper(Out));
    return TRUE;
}

static BOOLEAN WorkItem(VOID)
{
    GCCDRV_WORK Answer = {0};
    ULONG_PTR Information;
    LONG Round;

    for (Round = 1; Round <= 3; Round++) {
        CHECK(Send(GCCDRV_RUN_WORK, NULL, 0, &Answer, sizeof(Answer), &Information) == STATUS_SUCCESS);
        CHECK(Answer.Runs == Round && Answer.Irql == PASSIVE_LEVEL);
    }
    CHECK(Send(GCCDRV_RUN_WORK, NULL, 0, &Answer, 1, &Information) == STATUS_BUFFER_TOO_SMALL);
    return TRUE;
}

/* The sum of (Index + 0.25) / 2 over 64 indices is 1016. The caller's own SSE registers survive the DPC. */
static BOOLEAN TimerAndSse(VOID)
{
    double Kept[4] = {1.5, 2.5, 3.5, 4.5}, Before, After;
    GCCDRV_SUM Answer = {0};
    ULONG_PTR Information;

    Before = Kept[0] * Kept[1] + Kept[2] * Kept[3];
    CHECK(Send(GCCDRV_RUN_TIMER, NULL, 0, &Answer, sizeof(Answer), &Information) == STATUS_SUCCESS);
    CHECK(Answer.TimesHundred == 101600);
    After = Kept[0] * Kept[1] + Kept[2] * Kept[3];
    CHECK(Before == After);
    return TRUE;
}

static BOOLEAN LockedMemory(VOID)
{
    GCCDRV_MDL Answer = {0};
    ULONG_PTR Information;

    CHECK(Send(GCCDRV_RUN_MDL, NULL, 0, &Answer, sizeof(Answer), &Information) == STATUS_SUCCESS);
    CHECK(Answer.Mapped && Answer.Differences == 0);
    return TRUE;
}

static BOOLEAN UnknownCode(VOID)
{
    ULONG_PTR Information;

    CHECK(Send(GCCDRV_CODE(99, METHOD_BUFFERED), NULL, 0, NULL, 0, &Information) == STATUS_INVALID_DEVICE_REQUEST);
    return TRUE;
}

/* The same device by pointer, with an IRP of one's own. */
static BOOLEAN ByPointer(VOID)
{
    UNICODE_STRING Name;
    PDEVICE_OBJECT Target;
    PFILE_OBJECT File;
    IO_STATUS_BLOCK Iosb;
    KEVENT Event;
    char Text[16] = "hello, driver 7";
    NTSTATUS Status;
    PIRP Irp;

    RtlInitUnicodeString(&Name, GCCDRV_DEVICE);
    CHECK(IoGetDeviceObjectPointer(&Name, FILE_READ_DATA, &File, &Target) == STATUS_SUCCESS);
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    Irp = IoBuildDeviceIoControlRequest(GCCDRV_BUFFERED, Target, Text, 15, Text, 15, FALSE, &Event, &Iosb);
    Status = (Irp != NULL) ? IoCallDriver(Target, Irp) : STATUS_INSUFFICIENT_RESOURCES;
    if (Status == STATUS_PENDING) {
        KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
        Status = Iosb.Status;
    }
    ObDereferenceObject(File);
    CHECK(Status == STATUS_SUCCESS && IsUpper(Text));
    return TRUE;
}

static const BLACKBOX_CASE Cases[] = {
    {"buffered", Buffered},          {"out_direct", OutDirect},
    {"in_direct", InDirect},         {"neither", Neither},
    {"work_item", WorkItem},         {"timer_dpc_sse", TimerAndSse},
    {"locked_memory", LockedMemory}, {"unknown_code", UnknownCode},
    {"by_pointer", ByPointer},
};

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    NTSTATUS Status = Open(&Device, FILE_SYNCHRONOUS_IO_NONALERT);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    BlackBoxRun("talker", Cases, sizeof(Cases) / sizeof(Cases[0]));
    ZwClose(Device);
    return STATUS_NO_MORE_ENTRIES;
}
