/*
 * zw.c - the Zw faces of the file services: the same service with kernel mode as the previous mode.
 *
 * A driver's parameters are trusted and its handles may be kernel handles, whatever mode the thread came from. Each face
 * sets the previous mode to kernel for the length of the call and nothing else: no checks and no state of its own.
 *
 * IRQL: PASSIVE_LEVEL. Locks: none.
 */
#include "iop.h"

#define IOP_AS_KERNEL(Call)                                                                                            \
    do {                                                                                                               \
        KPROCESSOR_MODE Previous = KeSetPreviousMode(KernelMode);                                                      \
        NTSTATUS Status = (Call);                                                                                      \
                                                                                                                       \
        KeSetPreviousMode(Previous);                                                                                   \
        return Status;                                                                                                 \
    } while (0)

NTSTATUS NTAPI ZwCreateFile(PHANDLE FileHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                            PIO_STATUS_BLOCK IoStatusBlock, PLARGE_INTEGER AllocationSize, ULONG FileAttributes,
                            ULONG ShareAccess, ULONG CreateDisposition, ULONG CreateOptions, PVOID EaBuffer,
                            ULONG EaLength)
{
    IOP_AS_KERNEL(NtCreateFile(FileHandle, DesiredAccess, ObjectAttributes, IoStatusBlock, AllocationSize,
                               FileAttributes, ShareAccess, CreateDisposition, CreateOptions, EaBuffer, EaLength));
}

NTSTATUS NTAPI ZwOpenFile(PHANDLE FileHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                          PIO_STATUS_BLOCK IoStatusBlock, ULONG ShareAccess, ULONG OpenOptions)
{
    IOP_AS_KERNEL(NtOpenFile(FileHandle, DesiredAccess, ObjectAttributes, IoStatusBlock, ShareAccess, OpenOptions));
}

NTSTATUS NTAPI ZwReadFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                          PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer, ULONG Length, PLARGE_INTEGER ByteOffset,
                          PULONG Key)
{
    IOP_AS_KERNEL(
        NtReadFile(FileHandle, Event, ApcRoutine, ApcContext, IoStatusBlock, Buffer, Length, ByteOffset, Key));
}

NTSTATUS NTAPI ZwWriteFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                           PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer, ULONG Length, PLARGE_INTEGER ByteOffset,
                           PULONG Key)
{
    IOP_AS_KERNEL(
        NtWriteFile(FileHandle, Event, ApcRoutine, ApcContext, IoStatusBlock, Buffer, Length, ByteOffset, Key));
}

NTSTATUS NTAPI ZwFlushBuffersFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock)
{
    IOP_AS_KERNEL(NtFlushBuffersFile(FileHandle, IoStatusBlock));
}

NTSTATUS NTAPI ZwQueryInformationFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock, PVOID FileInformation,
                                      ULONG Length, FILE_INFORMATION_CLASS FileInformationClass)
{
    IOP_AS_KERNEL(NtQueryInformationFile(FileHandle, IoStatusBlock, FileInformation, Length, FileInformationClass));
}

NTSTATUS NTAPI ZwSetInformationFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock, PVOID FileInformation,
                                    ULONG Length, FILE_INFORMATION_CLASS FileInformationClass)
{
    IOP_AS_KERNEL(NtSetInformationFile(FileHandle, IoStatusBlock, FileInformation, Length, FileInformationClass));
}

NTSTATUS NTAPI ZwQueryVolumeInformationFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock, PVOID FsInformation,
                                            ULONG Length, FS_INFORMATION_CLASS FsInformationClass)
{
    IOP_AS_KERNEL(NtQueryVolumeInformationFile(FileHandle, IoStatusBlock, FsInformation, Length, FsInformationClass));
}

NTSTATUS NTAPI ZwQueryDirectoryFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                                    PIO_STATUS_BLOCK IoStatusBlock, PVOID FileInformation, ULONG Length,
                                    FILE_INFORMATION_CLASS FileInformationClass, BOOLEAN ReturnSingleEntry,
                                    PUNICODE_STRING FileName, BOOLEAN RestartScan)
{
    IOP_AS_KERNEL(NtQueryDirectoryFile(FileHandle, Event, ApcRoutine, ApcContext, IoStatusBlock, FileInformation,
                                       Length, FileInformationClass, ReturnSingleEntry, FileName, RestartScan));
}

NTSTATUS NTAPI ZwDeviceIoControlFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                                     PIO_STATUS_BLOCK IoStatusBlock, ULONG IoControlCode, PVOID InputBuffer,
                                     ULONG InputBufferLength, PVOID OutputBuffer, ULONG OutputBufferLength)
{
    IOP_AS_KERNEL(NtDeviceIoControlFile(FileHandle, Event, ApcRoutine, ApcContext, IoStatusBlock, IoControlCode,
                                        InputBuffer, InputBufferLength, OutputBuffer, OutputBufferLength));
}

NTSTATUS NTAPI ZwFsControlFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                               PIO_STATUS_BLOCK IoStatusBlock, ULONG FsControlCode, PVOID InputBuffer,
                               ULONG InputBufferLength, PVOID OutputBuffer, ULONG OutputBufferLength)
{
    IOP_AS_KERNEL(NtFsControlFile(FileHandle, Event, ApcRoutine, ApcContext, IoStatusBlock, FsControlCode, InputBuffer,
                                  InputBufferLength, OutputBuffer, OutputBufferLength));
}

NTSTATUS NTAPI ZwLoadDriver(PUNICODE_STRING DriverServiceName)
{
    IOP_AS_KERNEL(NtLoadDriver(DriverServiceName));
}

NTSTATUS NTAPI ZwUnloadDriver(PUNICODE_STRING DriverServiceName)
{
    IOP_AS_KERNEL(NtUnloadDriver(DriverServiceName));
}

NTSTATUS NTAPI ZwCancelIoFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock)
{
    IOP_AS_KERNEL(NtCancelIoFile(FileHandle, IoStatusBlock));
}

NTSTATUS NTAPI ZwCreateIoCompletion(PHANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES Attributes,
                                    ULONG Count)
{
    IOP_AS_KERNEL(NtCreateIoCompletion(Handle, DesiredAccess, Attributes, Count));
}

NTSTATUS NTAPI ZwRemoveIoCompletion(HANDLE Handle, PVOID *KeyContext, PVOID *ApcContext, PIO_STATUS_BLOCK IoStatusBlock,
                                    PLARGE_INTEGER Timeout)
{
    IOP_AS_KERNEL(NtRemoveIoCompletion(Handle, KeyContext, ApcContext, IoStatusBlock, Timeout));
}

NTSTATUS NTAPI ZwRemoveIoCompletionEx(HANDLE Handle, PFILE_IO_COMPLETION_INFORMATION Information, ULONG Count,
                                      PULONG Removed, PLARGE_INTEGER Timeout, BOOLEAN Alertable)
{
    IOP_AS_KERNEL(NtRemoveIoCompletionEx(Handle, Information, Count, Removed, Timeout, Alertable));
}

NTSTATUS NTAPI ZwDeleteFile(POBJECT_ATTRIBUTES ObjectAttributes)
{
    IOP_AS_KERNEL(NtDeleteFile(ObjectAttributes));
}

NTSTATUS NTAPI ZwQueryFullAttributesFile(POBJECT_ATTRIBUTES ObjectAttributes,
                                         PFILE_NETWORK_OPEN_INFORMATION FileInformation)
{
    IOP_AS_KERNEL(NtQueryFullAttributesFile(ObjectAttributes, FileInformation));
}
