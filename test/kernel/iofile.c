/*
 * iofile.c - suite for the file services, on the disc the kernel was booted from: opening, positions, asynchronous and unbuffered
 * reads, information, device control. Every case ends with as many IRPs as it began with.
 *
 * The file is the kernel's own image, which every disc of ours has.
 */
#include <ntos/io.h>
#include <ntos/ktap.h>
#include <ntos/ob.h>

#include <ntdddisk.h>
#include <ntddcdrm.h>

#define IOFT_FILE  L"\\??\\D:\\boot\\ntoskrnl.exe"
#define IOFT_BYTES 8192U

static NTSTATUS IoftOpen(PHANDLE Handle, PCWSTR Path, ACCESS_MASK Access, ULONG Options)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Iosb;

    RtlInitUnicodeString(&Name, Path);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwOpenFile(Handle, Access, &Attributes, &Iosb, FILE_SHARE_READ, Options);
}

static VOID IoftErrors(PKTAP_CONTEXT Ktap)
{
    HANDLE Handle;

    KTAP_EQUAL(IoftOpen(&Handle, L"\\??\\D:\\no such file", FILE_READ_DATA, 0), STATUS_OBJECT_NAME_NOT_FOUND);
    KTAP_EQUAL(IoftOpen(&Handle, L"\\??\\Q:\\file", FILE_READ_DATA, 0), STATUS_OBJECT_PATH_NOT_FOUND);
    KTAP_EQUAL(IoftOpen(&Handle, L"\\??\\D:\\boot", FILE_READ_DATA, FILE_NON_DIRECTORY_FILE),
               STATUS_FILE_IS_A_DIRECTORY);
    KTAP_EQUAL(IoftOpen(&Handle, IOFT_FILE, FILE_READ_DATA, FILE_DIRECTORY_FILE), STATUS_NOT_A_DIRECTORY);
    KTAP_EQUAL(IoftOpen(&Handle, IOFT_FILE, FILE_READ_DATA, FILE_SYNCHRONOUS_IO_NONALERT), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(IoftOpen(&Handle, IOFT_FILE, FILE_READ_DATA, FILE_DIRECTORY_FILE | FILE_NON_DIRECTORY_FILE),
               STATUS_INVALID_PARAMETER);
}

/* Buffers and handles of one reading case. */
typedef struct _IOFT {
    HANDLE File, Event;
    PUCHAR First, Second;
    LONG64 Irps;
} IOFT;

static NTSTATUS IoftBegin(IOFT *Test, ULONG Options)
{
    IO_MANAGER_COUNTERS Counters;
    OBJECT_ATTRIBUTES Attributes;

    IoQueryCounters(&Counters);
    Test->Irps = Counters.Irps;
    Test->First = ExAllocatePoolWithTag(NonPagedPool, 2 * IOFT_BYTES, 'tfoI');
    if (Test->First == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(Test->First, 2 * IOFT_BYTES);
    Test->Second = Test->First + IOFT_BYTES;
    InitializeObjectAttributes(&Attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    ZwCreateEvent(&Test->Event, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE);
    return IoftOpen(&Test->File, IOFT_FILE, FILE_READ_DATA | FILE_READ_ATTRIBUTES | SYNCHRONIZE, Options);
}

/* Returns IRPs left over. */
static LONG64 IoftEnd(IOFT *Test)
{
    IO_MANAGER_COUNTERS Counters;

    ZwClose(Test->File);
    ZwClose(Test->Event);
    ExFreePoolWithTag(Test->First, 'tfoI');
    IoQueryCounters(&Counters);
    return Counters.Irps - Test->Irps;
}

static VOID IoftPosition(PKTAP_CONTEXT Ktap)
{
    FILE_STANDARD_INFORMATION Standard;
    FILE_POSITION_INFORMATION Position;
    LARGE_INTEGER Offset = {.QuadPart = 100};
    IO_STATUS_BLOCK Iosb;
    IOFT Test;
    NTSTATUS Status;

    KTAP_EQUAL(KTAP_WHOLE(IoftBegin(&Test, FILE_SYNCHRONOUS_IO_NONALERT)), STATUS_SUCCESS);
    Status = ZwReadFile(Test.File, NULL, NULL, NULL, &Iosb, Test.First, 5000, NULL, NULL);
    KTAP_EQUAL(Status, STATUS_SUCCESS);
    KTAP_EQUAL(Iosb.Information, 5000);
    KTAP_CHECK(Test.First[0] == 'M' && Test.First[1] == 'Z');
    KTAP_EQUAL(ZwQueryInformationFile(Test.File, &Iosb, &Position, sizeof(Position), FilePositionInformation), 0);
    KTAP_EQUAL(Position.CurrentByteOffset.QuadPart, 5000);
    KTAP_EQUAL(ZwReadFile(Test.File, NULL, NULL, NULL, &Iosb, Test.Second, 4900, &Offset, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(RtlCompareMemory(Test.Second, Test.First + 100, 4900), 4900);
    KTAP_EQUAL(ZwQueryInformationFile(Test.File, &Iosb, &Standard, sizeof(Standard), FileStandardInformation), 0);
    Position.CurrentByteOffset.QuadPart = Standard.EndOfFile.QuadPart - 10;
    KTAP_EQUAL(ZwSetInformationFile(Test.File, &Iosb, &Position, sizeof(Position), FilePositionInformation), 0);
    KTAP_EQUAL(ZwReadFile(Test.File, NULL, NULL, NULL, &Iosb, Test.Second, 100, NULL, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(Iosb.Information, 10);
    KTAP_EQUAL(ZwReadFile(Test.File, NULL, NULL, NULL, &Iosb, Test.Second, 100, NULL, NULL), STATUS_END_OF_FILE);
    Position.CurrentByteOffset.QuadPart = -1;
    KTAP_EQUAL(ZwSetInformationFile(Test.File, &Iosb, &Position, sizeof(Position), FilePositionInformation),
               STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(IoftEnd(&Test), 0);
}

static VOID IoftAsynchronous(PKTAP_CONTEXT Ktap)
{
    LARGE_INTEGER Offset = {.QuadPart = 4096};
    IO_STATUS_BLOCK Iosb = {0};
    IOFT Test;
    NTSTATUS Status;

    KTAP_EQUAL(KTAP_WHOLE(IoftBegin(&Test, 0)), STATUS_SUCCESS);
    KTAP_EQUAL(ZwReadFile(Test.File, NULL, NULL, NULL, &Iosb, Test.First, 512, NULL, NULL), STATUS_INVALID_PARAMETER);
    Status = ZwReadFile(Test.File, Test.Event, NULL, NULL, &Iosb, Test.First, 4096, &Offset, NULL);
    KTAP_CHECK(Status == STATUS_SUCCESS || Status == STATUS_PENDING);
    KTAP_EQUAL(ZwWaitForSingleObject(Test.Event, FALSE, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(Iosb.Status, STATUS_SUCCESS);
    KTAP_EQUAL(Iosb.Information, 4096);
    KTAP_EQUAL(IoftEnd(&Test), 0);
}

/* Whole sectors straight from the disc are what the cache shows; anything else is refused. */
static VOID IoftUnbuffered(PKTAP_CONTEXT Ktap)
{
    LARGE_INTEGER Offset = {.QuadPart = 2048};
    IO_STATUS_BLOCK Iosb;
    HANDLE Cached;
    IOFT Test;

    KTAP_EQUAL(KTAP_WHOLE(IoftBegin(&Test, FILE_SYNCHRONOUS_IO_NONALERT | FILE_NO_INTERMEDIATE_BUFFERING)),
               STATUS_SUCCESS);
    KTAP_EQUAL(ZwReadFile(Test.File, NULL, NULL, NULL, &Iosb, Test.First, 4096, &Offset, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(Iosb.Information, 4096);
    KTAP_EQUAL(IoftOpen(&Cached, IOFT_FILE, FILE_READ_DATA | SYNCHRONIZE, FILE_SYNCHRONOUS_IO_NONALERT),
               STATUS_SUCCESS);
    KTAP_EQUAL(ZwReadFile(Cached, NULL, NULL, NULL, &Iosb, Test.Second, 4096, &Offset, NULL), STATUS_SUCCESS);
    KTAP_EQUAL(ZwClose(Cached), STATUS_SUCCESS);
    KTAP_EQUAL(RtlCompareMemory(Test.First, Test.Second, 4096), 4096);
    KTAP_EQUAL(ZwReadFile(Test.File, NULL, NULL, NULL, &Iosb, Test.First, 100, &Offset, NULL),
               STATUS_INVALID_PARAMETER);
    Offset.QuadPart = 100;
    KTAP_EQUAL(ZwReadFile(Test.File, NULL, NULL, NULL, &Iosb, Test.First, 2048, &Offset, NULL),
               STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(IoftEnd(&Test), 0);
}

static VOID IoftInformation(PKTAP_CONTEXT Ktap)
{
    FILE_FS_DEVICE_INFORMATION Device;
    FILE_BASIC_INFORMATION Basic;
    FILE_MODE_INFORMATION Mode;
    IO_STATUS_BLOCK Iosb;
    IOFT Test;

    KTAP_EQUAL(KTAP_WHOLE(IoftBegin(&Test, FILE_SYNCHRONOUS_IO_NONALERT | FILE_SEQUENTIAL_ONLY)), STATUS_SUCCESS);
    KTAP_EQUAL(ZwQueryInformationFile(Test.File, &Iosb, &Basic, 4, FileBasicInformation), STATUS_INFO_LENGTH_MISMATCH);
    KTAP_EQUAL(ZwQueryInformationFile(Test.File, &Iosb, &Basic, sizeof(Basic), FileMaximumInformation),
               STATUS_INVALID_INFO_CLASS);
    KTAP_EQUAL(ZwQueryInformationFile(Test.File, &Iosb, &Basic, sizeof(Basic), FileBasicInformation), STATUS_SUCCESS);
    KTAP_EQUAL(ZwQueryInformationFile(Test.File, &Iosb, &Mode, sizeof(Mode), FileModeInformation), STATUS_SUCCESS);
    KTAP_EQUAL(Mode.Mode, FILE_SYNCHRONOUS_IO_NONALERT | FILE_SEQUENTIAL_ONLY);
    KTAP_EQUAL(ZwQueryVolumeInformationFile(Test.File, &Iosb, &Device, sizeof(Device), FileFsDeviceInformation),
               STATUS_SUCCESS);
    KTAP_EQUAL(Device.DeviceType, FILE_DEVICE_CD_ROM);
    KTAP_CHECK((Device.Characteristics & FILE_DEVICE_IS_MOUNTED) != 0);
    KTAP_EQUAL(IoftEnd(&Test), 0);
}

static VOID IoftControl(PKTAP_CONTEXT Ktap)
{
    DISK_GEOMETRY Geometry = {0};
    IO_STATUS_BLOCK Iosb;
    HANDLE Drive;

    KTAP_EQUAL(IoftOpen(&Drive, L"\\Device\\CdRom0", FILE_READ_ATTRIBUTES | SYNCHRONIZE, FILE_SYNCHRONOUS_IO_NONALERT),
               STATUS_SUCCESS);
    KTAP_EQUAL(ZwDeviceIoControlFile(Drive, NULL, NULL, NULL, &Iosb, IOCTL_CDROM_GET_DRIVE_GEOMETRY, NULL, 0, &Geometry,
                                     sizeof(Geometry)),
               STATUS_SUCCESS);
    KTAP_EQUAL(Geometry.BytesPerSector, 2048);
    KTAP_EQUAL(Iosb.Information, sizeof(Geometry));
    KTAP_EQUAL(
        ZwDeviceIoControlFile(Drive, NULL, NULL, NULL, &Iosb, IOCTL_CDROM_GET_DRIVE_GEOMETRY, NULL, 0, &Geometry, 4),
        STATUS_BUFFER_TOO_SMALL);
    KTAP_EQUAL(
        ZwDeviceIoControlFile(Drive, NULL, NULL, NULL, &Iosb, CTL_CODE(0x700, 1, METHOD_BUFFERED, 0), NULL, 0, NULL, 0),
        STATUS_INVALID_DEVICE_REQUEST);
    KTAP_EQUAL(ZwClose(Drive), STATUS_SUCCESS);
}

static const KTAP_CASE_ENTRY IoftCases[] = {
    {"open_errors", IoftErrors},    {"position", IoftPosition},       {"asynchronous", IoftAsynchronous},
    {"unbuffered", IoftUnbuffered}, {"information", IoftInformation}, {"device_control", IoftControl},
};
KTAP_SUITE(IoftSuite, "io.file", IoftCases);
