/*
 * device.c - \Device\Console: the console as programs open it.
 *
 * Buffered I/O: what a program points at has been copied by the I/O manager before a routine here sees it, and lengths are checked against the
 * copies. Reads wait in reader.c. Writes print at once, in pieces, in the writer's thread; between two pieces a writer
 * that is to end stops. Each open file has a mode of its own, so that a shell that reads keys leaves programs the lines they expect.
 *
 * Handles in requests are references taken here, in the caller's context, with its previous mode and the rights that the code's contract names.
 * Locks: ConpInputLock, inside the routines of the other files. PASSIVE_LEVEL.
 */
#include <ntos/condev.h>
#include <ntos/io.h>
#include <ntos/ke.h>
#include <ntos/ob.h>
#include <ntos/program.h>
#include <ntos/program.h>
#include <ntos/services.h>
#include "consolep.h"

#define CON_WRITE_PIECE 512 /* bytes printed without a break: DbgPrint's piece */
#define CON_ROWS        24  /* a terminal on the serial line: VT100's */
#define CON_COLUMNS     80

NTSTATUS ConpComplete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

/* ---- Files ---- */

static NTSTATUS NTAPI ConpOpenFile(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PFILE_OBJECT File = IoGetCurrentIrpStackLocation(Irp)->FileObject;
    PCON_OPEN Open;

    if (File->FileName.Length != 0) {
        return ConpComplete(Irp, STATUS_OBJECT_NAME_NOT_FOUND, 0); /* it is no directory */
    }
    Open = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Open), CON_POOL_TAG);
    if (Open == NULL) {
        return ConpComplete(Irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    }
    RtlZeroMemory(Open, sizeof(*Open));
    ConpEnterOpen(Open);
    File->FsContext = Open;
    return ConpComplete(Irp, STATUS_SUCCESS, FILE_OPENED);
}

static NTSTATUS NTAPI ConpCleanup(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PFILE_OBJECT File = IoGetCurrentIrpStackLocation(Irp)->FileObject;

    ConpCancelReads(File, TRUE);
    ConpSetCtrlEvent(File->FsContext, NULL);
    return ConpComplete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI ConpCloseFile(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PCON_OPEN Open = IoGetCurrentIrpStackLocation(Irp)->FileObject->FsContext;

    ConpRemoveOpen(Open);
    ExFreePoolWithTag(Open, CON_POOL_TAG);
    return ConpComplete(Irp, STATUS_SUCCESS, 0);
}

/* ---- Reading and writing ---- */

static NTSTATUS NTAPI ConpRead(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    if (IoGetCurrentIrpStackLocation(Irp)->Parameters.Read.Length == 0) {
        return ConpComplete(Irp, STATUS_SUCCESS, 0);
    }
    return ConpQueueRead(Irp);
}

static NTSTATUS NTAPI ConpWrite(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    ULONG Length = IoGetCurrentIrpStackLocation(Irp)->Parameters.Write.Length, Done = 0;
    const CHAR *Text = Irp->AssociatedIrp.SystemBuffer;

    while (Done < Length) {
        ULONG Piece = min(Length - Done, CON_WRITE_PIECE);

        if (Irp->Cancel || PsIsThreadTerminating(PsGetCurrentThread()) || KeGetCurrentThread()->ExitRequested) {
            return ConpComplete(Irp, STATUS_CANCELLED, 0);
        }
        ConPrintText(Text + Done, Piece);
        Done += Piece;
    }
    return ConpComplete(Irp, STATUS_SUCCESS, Done);
}

/* ---- Control ---- */

static NTSTATUS ConpGetInfo(PCON_OPEN Open, PCONSOLE_INFO Info)
{
    ULONG Rows = CON_ROWS, Columns = CON_COLUMNS;
    BOOLEAN Screen = ConpScreenSize(&Rows, &Columns);

    *Info = (CONSOLE_INFO){.Rows = Rows, .Columns = Columns, .Mode = Open->Mode, .Screen = Screen};
    return STATUS_SUCCESS;
}

static NTSTATUS ConpSetMode(PCON_OPEN Open, ULONG Mode)
{
    if (Mode != CONSOLE_MODE_LINES && Mode != CONSOLE_MODE_RAW) {
        return STATUS_INVALID_PARAMETER;
    }
    Open->Mode = Mode;
    ConpServeReads();
    return STATUS_SUCCESS;
}

static NTSTATUS ConpForegroundHandle(HANDLE Handle)
{
    struct _PSP_JOB *Job = NULL;
    NTSTATUS Status = Handle == NULL ? STATUS_SUCCESS : PspReferenceJob(Handle, JOB_OBJECT_TERMINATE, &Job);

    if (NT_SUCCESS(Status)) {
        ConpSetForeground(Job, NULL);
        if (Job != NULL) {
            ObDereferenceObject(Job);
        }
    }
    return Status;
}

static NTSTATUS ConpEventHandle(PCON_OPEN Open, HANDLE Handle, KPROCESSOR_MODE Mode)
{
    PVOID Event = NULL;
    NTSTATUS Status = STATUS_SUCCESS;

    if (Handle != NULL) {
        Status = ObReferenceObjectByHandle(Handle, EVENT_MODIFY_STATE, *ExEventObjectType, Mode, &Event, NULL);
    }
    if (NT_SUCCESS(Status)) {
        ConpSetCtrlEvent(Open, Event);
    }
    return Status;
}

/* Bytes of input and output that a code needs; FALSE: it is not known. */
static BOOLEAN ConpControlSizes(ULONG Code, PULONG Input, PULONG Output)
{
    *Input = *Output = 0;
    switch (Code) {
    case IOCTL_CONSOLE_GET_INFO:
        *Output = sizeof(CONSOLE_INFO);
        return TRUE;
    case IOCTL_CONSOLE_SET_MODE:
        *Input = sizeof(ULONG);
        return TRUE;
    case IOCTL_CONSOLE_SET_FOREGROUND:
    case IOCTL_CONSOLE_SET_CTRL_EVENT:
        *Input = sizeof(HANDLE);
        return TRUE;
    case IOCTL_CONSOLE_KERNEL_COMMAND:
        *Input = sizeof(CONSOLE_COMMAND_REQUEST) + 1;
        return TRUE;
    default:
        return FALSE;
    }
}

static NTSTATUS NTAPI ConpControl(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    PCON_OPEN Open = Stack->FileObject->FsContext;
    PVOID Buffer = Irp->AssociatedIrp.SystemBuffer;
    ULONG Input, Output;
    NTSTATUS Status;

    if (!ConpControlSizes(Stack->Parameters.DeviceIoControl.IoControlCode, &Input, &Output)) {
        return ConpComplete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
    if (Stack->Parameters.DeviceIoControl.InputBufferLength < Input ||
        Stack->Parameters.DeviceIoControl.OutputBufferLength < Output) {
        return ConpComplete(Irp, STATUS_BUFFER_TOO_SMALL, 0);
    }
    switch (Stack->Parameters.DeviceIoControl.IoControlCode) {
    case IOCTL_CONSOLE_GET_INFO:
        Status = ConpGetInfo(Open, Buffer);
        break;
    case IOCTL_CONSOLE_SET_MODE:
        Status = ConpSetMode(Open, *(PULONG)Buffer);
        break;
    case IOCTL_CONSOLE_SET_FOREGROUND:
        Status = ConpForegroundHandle(*(PHANDLE)Buffer);
        break;
    case IOCTL_CONSOLE_SET_CTRL_EVENT:
        Status = ConpEventHandle(Open, *(PHANDLE)Buffer, Irp->RequestorMode);
        break;
    default:
        return ConpQueueCommand(Irp);
    }
    return ConpComplete(Irp, Status, NT_SUCCESS(Status) ? Output : 0);
}

/* ---- The driver ---- */

static NTSTATUS NTAPI ConpDriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\Device\\Console");
    PDEVICE_OBJECT Device;
    NTSTATUS Status;

    DriverObject->MajorFunction[IRP_MJ_CREATE] = ConpOpenFile;
    DriverObject->MajorFunction[IRP_MJ_CLEANUP] = ConpCleanup;
    DriverObject->MajorFunction[IRP_MJ_CLOSE] = ConpCloseFile;
    DriverObject->MajorFunction[IRP_MJ_READ] = ConpRead;
    DriverObject->MajorFunction[IRP_MJ_WRITE] = ConpWrite;
    DriverObject->MajorFunction[IRP_MJ_DEVICE_CONTROL] = ConpControl;
    Status = IoCreateDevice(DriverObject, 0, &Name, CONSOLE_DEVICE_TYPE, 0, FALSE, &Device);
    if (NT_SUCCESS(Status)) {
        Device->Flags |= DO_BUFFERED_IO;
        Device->Flags &= ~DO_DEVICE_INITIALIZING;
    }
    return Status;
}

VOID ConpCreateDevice(VOID)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\Driver\\Console");
    NTSTATUS Status = IoCreateDriver(&Name, ConpDriverEntry);

    if (!NT_SUCCESS(Status)) {
        ConpPrintStatus("console", "no device for programs", Status);
    }
}
