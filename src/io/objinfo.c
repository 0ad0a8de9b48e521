/*
 * objinfo.c - information about files for callers that have the file object, or only its name.
 *
 * IoQueryFileInformation and its kin ask the file's driver directly, with a system buffer of the caller's own; ZwDeleteFile and
 * ZwQueryFullAttributesFile open the file, ask, and close it. Nothing is cached. PASSIVE_LEVEL. Source: WDK documentation of each routine.
 */
#include <ntos/services.h>
#include <ntos/user.h>

#include "iop.h"

/* Sends one information request about a file and waits; Stack's parameters are Fill's. */
static NTSTATUS IopAskDriver(PFILE_OBJECT File, UCHAR MajorFunction, ULONG Class, ULONG Length, PVOID Buffer,
                             PULONG Returned)
{
    PDEVICE_OBJECT Device = IoGetRelatedDeviceObject(File);
    IO_STATUS_BLOCK Iosb = {.Status = STATUS_PENDING};
    PIO_STACK_LOCATION Stack;
    KEVENT Done;
    PIRP Irp = IoAllocateIrp(Device->StackSize, FALSE);

    if (Irp == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    Irp->Flags = IRP_SYNCHRONOUS_API;
    Irp->UserEvent = &Done;
    Irp->UserIosb = &Iosb;
    Irp->AssociatedIrp.SystemBuffer = Buffer; /* the caller's: neither copied nor freed */
    Irp->Tail.Overlay.Thread = PsGetCurrentThread();
    Stack = IoGetNextIrpStackLocation(Irp);
    Stack->MajorFunction = MajorFunction;
    Stack->FileObject = File;
    Stack->Parameters.QueryFile.Length = Length; /* QueryVolume and SetFile begin alike */
    Stack->Parameters.QueryFile.FileInformationClass = (FILE_INFORMATION_CLASS)Class;
    if (IofCallDriver(Device, Irp) == STATUS_PENDING) {
        KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    }
    *Returned = (ULONG)Iosb.Information;
    return Iosb.Status;
}

/* As ZwQueryInformationFile for classes that the driver answers; FileInformation is nonpaged. */
NTSTATUS NTAPI IoQueryFileInformation(PFILE_OBJECT FileObject, FILE_INFORMATION_CLASS FileInformationClass,
                                      ULONG Length, PVOID FileInformation, PULONG ReturnedLength)
{
    return IopAskDriver(FileObject, IRP_MJ_QUERY_INFORMATION, FileInformationClass, Length, FileInformation,
                        ReturnedLength);
}

NTSTATUS NTAPI IoQueryVolumeInformation(PFILE_OBJECT FileObject, FS_INFORMATION_CLASS FsInformationClass, ULONG Length,
                                        PVOID FsInformation, PULONG ReturnedLength)
{
    return IopAskDriver(FileObject, IRP_MJ_QUERY_VOLUME_INFORMATION, FsInformationClass, Length, FsInformation,
                        ReturnedLength);
}

NTSTATUS NTAPI IoSetInformation(PFILE_OBJECT FileObject, FILE_INFORMATION_CLASS FileInformationClass, ULONG Length,
                                PVOID FileInformation)
{
    ULONG Returned;

    return IopAskDriver(FileObject, IRP_MJ_SET_INFORMATION, FileInformationClass, Length, FileInformation, &Returned);
}

/* Opens a file in the caller's right; attributes captured. */
static NTSTATUS IopOpenByName(POBJECT_ATTRIBUTES ObjectAttributes, ACCESS_MASK Access, ULONG Options, PHANDLE Handle)
{
    EX_CAPTURED_ATTRIBUTES Captured;
    IO_STATUS_BLOCK Iosb;
    NTSTATUS Status = ExCaptureObjectAttributes(&Captured, ObjectAttributes);

    if (NT_SUCCESS(Status)) {
        Status = IoCreateFile(Handle, Access, Captured.Address, &Iosb, NULL, 0,
                              FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, FILE_OPEN, Options, NULL, 0,
                              CreateFileTypeNone, NULL, 0);
        ExFreeCapturedAttributes(&Captured);
    }
    return Status;
}

/* Opens a file, asks one class, closes it; Info is the kernel's. */
static NTSTATUS IopQueryByName(POBJECT_ATTRIBUTES ObjectAttributes, FILE_INFORMATION_CLASS Class, PVOID Info,
                               ULONG Bytes)
{
    IO_STATUS_BLOCK Iosb;
    KPROCESSOR_MODE Mode;
    HANDLE Handle;
    NTSTATUS Status = IopOpenByName(ObjectAttributes, FILE_READ_ATTRIBUTES, FILE_OPEN_REPARSE_POINT, &Handle);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Mode = KeSetPreviousMode(KernelMode); /* the buffers are here */
    Status = NtQueryInformationFile(Handle, &Iosb, Info, Bytes, Class);
    KeSetPreviousMode(Mode);
    ObCloseHandle(Handle, Mode);
    return Status;
}

/**
 * NtQueryFullAttributesFile - times, sizes and attributes of a file by its name.
 *
 * returns  STATUS_SUCCESS; what opening and asking say
 */
NTSTATUS NTAPI NtQueryFullAttributesFile(POBJECT_ATTRIBUTES ObjectAttributes,
                                         PFILE_NETWORK_OPEN_INFORMATION FileInformation)
{
    FILE_NETWORK_OPEN_INFORMATION Info;
    NTSTATUS Status = IopQueryByName(ObjectAttributes, FileNetworkOpenInformation, &Info, sizeof(Info));

    return ExReturnValue(Status, FileInformation, &Info, sizeof(Info));
}

/* The same with less: times and attributes. */
NTSTATUS NTAPI NtQueryAttributesFile(POBJECT_ATTRIBUTES ObjectAttributes, PFILE_BASIC_INFORMATION FileInformation)
{
    FILE_BASIC_INFORMATION Info;
    NTSTATUS Status = IopQueryByName(ObjectAttributes, FileBasicInformation, &Info, sizeof(Info));

    return ExReturnValue(Status, FileInformation, &Info, sizeof(Info));
}

/**
 * NtDeleteFile - deletes a file by its name: opens it to be deleted with its last handle, which is this one.
 *
 * returns  STATUS_SUCCESS; what the open says (STATUS_MEDIA_WRITE_PROTECTED, STATUS_ACCESS_DENIED, ...)
 */
NTSTATUS NTAPI NtDeleteFile(POBJECT_ATTRIBUTES ObjectAttributes)
{
    HANDLE Handle;
    NTSTATUS Status = IopOpenByName(ObjectAttributes, DELETE, FILE_DELETE_ON_CLOSE, &Handle);

    if (NT_SUCCESS(Status)) {
        ObCloseHandle(Handle, ExGetPreviousMode());
    }
    return Status;
}
