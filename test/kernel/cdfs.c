/*
 * cdfs.c - suite for the file system on the boot disc, through the system services and nothing else.
 *
 * Uses what every boot disc has: \boot with ntoskrnl.exe in it. Checks what handles may do and see: names and patterns,
 * sharing, refused writes, information classes, cached and non-cached reads of the same bytes, statuses of everything
 * that cannot work. That contents are right is proved from outside, by comparing digests with the host's.
 */
#include <ntos/ktap.h>
#include <ntos/ob.h>

#define CDFS_TAG    'dcTK'
#define CDFS_SECTOR 2048U
#define CDFS_LEAF   L"\\??\\D:\\boot\\grub\\fonts" /* nothing in it is open */

/* \??\D: is the boot disc. */
static NTSTATUS CdfsOpen(HANDLE Directory, PCWSTR Path, ACCESS_MASK Access, ULONG Share, ULONG Disposition,
                         ULONG Options, PHANDLE Handle)
{
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Iosb;
    UNICODE_STRING Name;

    RtlInitUnicodeString(&Name, Path);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, Directory, NULL);
    return ZwCreateFile(Handle, Access | SYNCHRONIZE, &Attributes, &Iosb, NULL, 0, Share, Disposition,
                        Options | FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0);
}

static NTSTATUS CdfsOpenRead(PCWSTR Path, ULONG Options, PHANDLE Handle)
{
    return CdfsOpen(NULL, Path, FILE_READ_DATA, FILE_SHARE_READ, FILE_OPEN, Options, Handle);
}

static VOID CdfsNames(PKTAP_CONTEXT Ktap)
{
    HANDLE File, Directory;

    KTAP_EQUAL(CdfsOpenRead(L"\\??\\D:\\BOOT\\NtosKrnl.EXE", FILE_NON_DIRECTORY_FILE, &File), STATUS_SUCCESS);
    ZwClose(File);
    KTAP_EQUAL(CdfsOpenRead(L"\\??\\D:\\boot\\nothing", 0, &File), STATUS_OBJECT_NAME_NOT_FOUND);
    KTAP_EQUAL(CdfsOpenRead(L"\\??\\D:\\nothing\\ntoskrnl.exe", 0, &File), STATUS_OBJECT_PATH_NOT_FOUND);
    KTAP_EQUAL(CdfsOpenRead(L"\\??\\D:\\boot\\ntoskrnl.exe\\x", 0, &File), STATUS_OBJECT_PATH_NOT_FOUND);
    KTAP_EQUAL(CdfsOpenRead(L"\\??\\D:\\boot\\nt*", 0, &File), STATUS_OBJECT_NAME_INVALID);
    KTAP_EQUAL(CdfsOpenRead(L"\\??\\D:\\boot\\\\ntoskrnl.exe", 0, &File), STATUS_OBJECT_NAME_INVALID);
    KTAP_EQUAL(CdfsOpenRead(L"\\??\\D:\\boot\\ntoskrnl.exe:x", 0, &File), STATUS_OBJECT_NAME_INVALID);
    KTAP_EQUAL(CdfsOpenRead(L"\\??\\D:\\boot\\ntoskrnl.exe\\", 0, &File), STATUS_OBJECT_NAME_INVALID);
    KTAP_EQUAL(CdfsOpenRead(L"\\??\\D:\\boot", FILE_NON_DIRECTORY_FILE, &File), STATUS_FILE_IS_A_DIRECTORY);
    KTAP_EQUAL(CdfsOpenRead(L"\\??\\D:\\boot\\ntoskrnl.exe", FILE_DIRECTORY_FILE, &File), STATUS_NOT_A_DIRECTORY);
    KTAP_EQUAL(CdfsOpenRead(L"\\??\\D:\\boot\\", FILE_DIRECTORY_FILE, &Directory), STATUS_SUCCESS);
    KTAP_EQUAL(CdfsOpen(Directory, L"ntoskrnl.exe", FILE_READ_DATA, FILE_SHARE_READ, FILE_OPEN, 0, &File),
               STATUS_SUCCESS);
    ZwClose(File);
    ZwClose(Directory);
}

static VOID CdfsReadOnly(PKTAP_CONTEXT Ktap)
{
    HANDLE File;
    PCWSTR Kernel = L"\\??\\D:\\boot\\ntoskrnl.exe";

    KTAP_EQUAL(CdfsOpen(NULL, Kernel, FILE_WRITE_DATA, 7, FILE_OPEN, 0, &File), STATUS_ACCESS_DENIED);
    KTAP_EQUAL(CdfsOpen(NULL, Kernel, DELETE, 7, FILE_OPEN, 0, &File), STATUS_ACCESS_DENIED);
    KTAP_EQUAL(CdfsOpen(NULL, Kernel, FILE_READ_DATA, 7, FILE_CREATE, 0, &File), STATUS_OBJECT_NAME_COLLISION);
    KTAP_EQUAL(CdfsOpen(NULL, Kernel, FILE_READ_DATA, 7, FILE_OVERWRITE_IF, 0, &File), STATUS_MEDIA_WRITE_PROTECTED);
    KTAP_EQUAL(CdfsOpen(NULL, L"\\??\\D:\\new", FILE_READ_DATA, 7, FILE_OPEN_IF, 0, &File),
               STATUS_MEDIA_WRITE_PROTECTED);
}

static VOID CdfsSharing(PKTAP_CONTEXT Ktap)
{
    PCWSTR Kernel = L"\\??\\D:\\boot\\ntoskrnl.exe";
    HANDLE First, Second;

    KTAP_EQUAL(CdfsOpen(NULL, Kernel, FILE_READ_DATA, 0, FILE_OPEN, 0, &First), STATUS_SUCCESS);
    KTAP_EQUAL(CdfsOpen(NULL, Kernel, FILE_READ_DATA, 7, FILE_OPEN, 0, &Second), STATUS_SHARING_VIOLATION);
    ZwClose(First);
    KTAP_EQUAL(CdfsOpen(NULL, Kernel, FILE_READ_DATA, FILE_SHARE_READ, FILE_OPEN, 0, &First), STATUS_SUCCESS);
    KTAP_EQUAL(CdfsOpen(NULL, Kernel, FILE_READ_DATA, FILE_SHARE_READ, FILE_OPEN, 0, &Second), STATUS_SUCCESS);
    ZwClose(First);
    ZwClose(Second);
}

/* Status of one query; the number of entries goes to *Entries. */
static NTSTATUS CdfsQuery(HANDLE Directory, PCWSTR Pattern, BOOLEAN Restart, BOOLEAN Single, PVOID Buffer, ULONG Bytes,
                          PULONG Entries)
{
    PFILE_BOTH_DIR_INFORMATION Entry = Buffer;
    IO_STATUS_BLOCK Iosb;
    UNICODE_STRING Name;
    NTSTATUS Status;

    RtlInitUnicodeString(&Name, Pattern);
    Status = ZwQueryDirectoryFile(Directory, NULL, NULL, NULL, &Iosb, Buffer, Bytes, FileBothDirectoryInformation,
                                  Single, Pattern != NULL ? &Name : NULL, Restart);
    for (*Entries = 0; Status == STATUS_SUCCESS;) {
        ++*Entries;
        if (Entry->NextEntryOffset == 0) {
            break;
        }
        Entry = (PVOID)((PUCHAR)Entry + Entry->NextEntryOffset);
    }
    return Status;
}

static VOID CdfsDirectory(PKTAP_CONTEXT Ktap)
{
    static UCHAR Buffer[4096] __attribute__((aligned(8)));
    PFILE_BOTH_DIR_INFORMATION Entry = (PVOID)Buffer;
    HANDLE Directory;
    ULONG Entries, All;

    KTAP_EQUAL(CdfsOpenRead(L"\\??\\D:\\boot", FILE_DIRECTORY_FILE, &Directory), STATUS_SUCCESS);
    KTAP_EQUAL(CdfsQuery(Directory, NULL, FALSE, FALSE, Buffer, sizeof(Buffer), &All), STATUS_SUCCESS);
    KTAP_CHECK(All >= 4); /* ".", "..", ntoskrnl.exe, osloader */
    KTAP_EQUAL(Entry->FileName[0], '.');
    KTAP_EQUAL(CdfsQuery(Directory, NULL, FALSE, FALSE, Buffer, sizeof(Buffer), &Entries), STATUS_NO_MORE_FILES);
    KTAP_EQUAL(CdfsQuery(Directory, NULL, TRUE, TRUE, Buffer, sizeof(Buffer), &Entries), STATUS_SUCCESS);
    KTAP_EQUAL(Entries, 1);
    KTAP_EQUAL(CdfsQuery(Directory, NULL, FALSE, FALSE, Buffer, sizeof(Buffer), &Entries), STATUS_SUCCESS);
    KTAP_EQUAL(Entries, All - 1);
    /* Room for one entry at a time still shows all of them. */
    KTAP_EQUAL(CdfsQuery(Directory, NULL, TRUE, FALSE, Buffer, 160, &Entries), STATUS_SUCCESS);
    for (All -= Entries; CdfsQuery(Directory, NULL, FALSE, FALSE, Buffer, 160, &Entries) == STATUS_SUCCESS;) {
        All -= Entries;
    }
    KTAP_EQUAL(All, 0);
    KTAP_EQUAL(CdfsQuery(Directory, NULL, TRUE, FALSE, Buffer, 8, &Entries), STATUS_INFO_LENGTH_MISMATCH);
    ZwClose(Directory);
}

static VOID CdfsPattern(PKTAP_CONTEXT Ktap)
{
    static UCHAR Buffer[1024] __attribute__((aligned(8)));
    PFILE_BOTH_DIR_INFORMATION Entry = (PVOID)Buffer;
    HANDLE Directory;
    ULONG Entries;

    KTAP_EQUAL(CdfsOpenRead(L"\\??\\D:\\boot", FILE_DIRECTORY_FILE, &Directory), STATUS_SUCCESS);
    KTAP_EQUAL(CdfsQuery(Directory, L"nTo*.e?e", FALSE, FALSE, Buffer, sizeof(Buffer), &Entries), STATUS_SUCCESS);
    KTAP_EQUAL(Entries, 1);
    KTAP_EQUAL(Entry->FileNameLength, 24);
    KTAP_CHECK((Entry->FileAttributes & FILE_ATTRIBUTE_READONLY) != 0 && Entry->EndOfFile.QuadPart > 100000);
    /* The first query's pattern stays. */
    KTAP_EQUAL(CdfsQuery(Directory, L"*", TRUE, FALSE, Buffer, sizeof(Buffer), &Entries), STATUS_SUCCESS);
    KTAP_EQUAL(Entries, 1);
    /* A name that does not fit is cut, and whole again when there is room. */
    KTAP_EQUAL(CdfsQuery(Directory, NULL, TRUE, FALSE, Buffer, FIELD_OFFSET(FILE_BOTH_DIR_INFORMATION, FileName) + 4,
                         &Entries),
               STATUS_BUFFER_OVERFLOW);
    KTAP_EQUAL(Entry->FileNameLength, 24);
    KTAP_EQUAL(CdfsQuery(Directory, NULL, FALSE, FALSE, Buffer, sizeof(Buffer), &Entries), STATUS_SUCCESS);
    KTAP_EQUAL(Entries, 1);
    ZwClose(Directory);
    KTAP_EQUAL(CdfsOpenRead(L"\\??\\D:\\boot", FILE_DIRECTORY_FILE, &Directory), STATUS_SUCCESS);
    KTAP_EQUAL(CdfsQuery(Directory, L"*.none", FALSE, FALSE, Buffer, sizeof(Buffer), &Entries), STATUS_NO_SUCH_FILE);
    ZwClose(Directory);
}

static VOID CdfsInformation(PKTAP_CONTEXT Ktap)
{
    static UCHAR Buffer[512] __attribute__((aligned(8)));
    PFILE_ALL_INFORMATION All = (PVOID)Buffer;
    FILE_NETWORK_OPEN_INFORMATION Network;
    FILE_STANDARD_INFORMATION Standard;
    UNICODE_STRING Name, Expected = RTL_CONSTANT_STRING(L"\\boot\\ntoskrnl.exe");
    IO_STATUS_BLOCK Iosb;
    HANDLE File;

    KTAP_EQUAL(
        CdfsOpen(NULL, L"\\??\\D:\\boot\\NTOSKRNL.exe", FILE_READ_DATA | FILE_READ_ATTRIBUTES, 7, FILE_OPEN, 0, &File),
        STATUS_SUCCESS);
    KTAP_EQUAL(ZwQueryInformationFile(File, &Iosb, &Standard, sizeof(Standard), FileStandardInformation),
               STATUS_SUCCESS);
    KTAP_CHECK(!Standard.Directory && Standard.NumberOfLinks == 1);
    KTAP_EQUAL(Standard.AllocationSize.QuadPart % CDFS_SECTOR, 0);
    KTAP_EQUAL(ZwQueryInformationFile(File, &Iosb, &Network, sizeof(Network), FileNetworkOpenInformation),
               STATUS_SUCCESS);
    KTAP_EQUAL(Network.EndOfFile.QuadPart, Standard.EndOfFile.QuadPart);
    KTAP_CHECK(Network.LastWriteTime.QuadPart > 130000000000000000LL); /* after 2012 */
    KTAP_EQUAL(ZwQueryInformationFile(File, &Iosb, Buffer, sizeof(Buffer), FileAllInformation), STATUS_SUCCESS);
    Name.Buffer = All->NameInformation.FileName;
    Name.Length = Name.MaximumLength = (USHORT)All->NameInformation.FileNameLength;
    KTAP_CHECK(RtlEqualUnicodeString(&Name, &Expected, FALSE));
    KTAP_EQUAL(ZwQueryInformationFile(File, &Iosb, Buffer, 8, FileNameInformation), STATUS_BUFFER_OVERFLOW);
    KTAP_EQUAL(((PFILE_NAME_INFORMATION)Buffer)->FileNameLength, Expected.Length);
    KTAP_EQUAL(((PFILE_NAME_INFORMATION)Buffer)->FileName[1], 'b');
    ZwClose(File);
}

static VOID CdfsVolume(PKTAP_CONTEXT Ktap)
{
    static UCHAR Buffer[512] __attribute__((aligned(8)));
    PFILE_FS_ATTRIBUTE_INFORMATION Attribute = (PVOID)Buffer;
    FILE_FS_SIZE_INFORMATION Size;
    FILE_FS_DEVICE_INFORMATION Device;
    IO_STATUS_BLOCK Iosb;
    HANDLE File;

    KTAP_EQUAL(CdfsOpenRead(L"\\??\\D:\\", FILE_DIRECTORY_FILE, &File), STATUS_SUCCESS);
    KTAP_EQUAL(ZwQueryVolumeInformationFile(File, &Iosb, &Size, sizeof(Size), FileFsSizeInformation), STATUS_SUCCESS);
    KTAP_EQUAL(Size.BytesPerSector * Size.SectorsPerAllocationUnit, CDFS_SECTOR);
    KTAP_EQUAL(Size.AvailableAllocationUnits.QuadPart, 0);
    KTAP_CHECK(Size.TotalAllocationUnits.QuadPart > 1000);
    KTAP_EQUAL(ZwQueryVolumeInformationFile(File, &Iosb, Buffer, sizeof(Buffer), FileFsAttributeInformation),
               STATUS_SUCCESS);
    KTAP_EQUAL(Attribute->FileSystemNameLength, 8);
    KTAP_CHECK((Attribute->FileSystemAttributes & FILE_READ_ONLY_VOLUME) != 0);
    KTAP_EQUAL(ZwQueryVolumeInformationFile(File, &Iosb, Buffer, sizeof(Buffer), FileFsVolumeInformation),
               STATUS_SUCCESS);
    KTAP_CHECK(((PFILE_FS_VOLUME_INFORMATION)Buffer)->VolumeLabelLength != 0);
    KTAP_EQUAL(ZwQueryVolumeInformationFile(File, &Iosb, &Device, sizeof(Device), FileFsDeviceInformation),
               STATUS_SUCCESS);
    KTAP_EQUAL(Device.DeviceType, FILE_DEVICE_CD_ROM);
    ZwClose(File);
}

static NTSTATUS CdfsReadAt(HANDLE File, PVOID Buffer, ULONG Bytes, LONGLONG Offset, PULONG_PTR Read)
{
    LARGE_INTEGER At = {.QuadPart = Offset};
    IO_STATUS_BLOCK Iosb = {0};
    NTSTATUS Status = ZwReadFile(File, NULL, NULL, NULL, &Iosb, Buffer, Bytes, &At, NULL);

    *Read = Iosb.Information;
    return Status;
}

/* The same parts of the kernel's own image, read through the cache and past it. */
static VOID CdfsReads(PKTAP_CONTEXT Ktap)
{
    PUCHAR Cached = ExAllocatePoolWithTag(NonPagedPool, 16 * CDFS_SECTOR, CDFS_TAG);
    PUCHAR Direct = ExAllocatePoolWithTag(NonPagedPool, 16 * CDFS_SECTOR, CDFS_TAG);
    FILE_STANDARD_INFORMATION Standard;
    IO_STATUS_BLOCK Iosb;
    HANDLE File, Raw;
    ULONG_PTR Read, RawRead;
    LONGLONG Size;

    KTAP_CHECK(Cached != NULL && Direct != NULL);
    KTAP_EQUAL(CdfsOpenRead(L"\\??\\D:\\boot\\ntoskrnl.exe", 0, &File), STATUS_SUCCESS);
    KTAP_EQUAL(CdfsOpenRead(L"\\??\\D:\\boot\\ntoskrnl.exe", FILE_NO_INTERMEDIATE_BUFFERING, &Raw), STATUS_SUCCESS);
    KTAP_EQUAL(ZwQueryInformationFile(File, &Iosb, &Standard, sizeof(Standard), FileStandardInformation),
               STATUS_SUCCESS);
    Size = Standard.EndOfFile.QuadPart;
    for (LONGLONG At = 0; At < Size; At += 61 * CDFS_SECTOR) {
        KTAP_EQUAL(CdfsReadAt(File, Cached, 16 * CDFS_SECTOR, At, &Read), STATUS_SUCCESS);
        KTAP_EQUAL(CdfsReadAt(Raw, Direct, 16 * CDFS_SECTOR, At, &RawRead), STATUS_SUCCESS);
        KTAP_EQUAL(RawRead, Read);
        KTAP_EQUAL(Read, min(16 * CDFS_SECTOR, Size - At));
        KTAP_EQUAL(RtlCompareMemory(Cached, Direct, Read), Read);
    }
    KTAP_EQUAL(CdfsReadAt(File, Cached, 1, Size, &Read), STATUS_END_OF_FILE);
    KTAP_EQUAL(CdfsReadAt(File, Cached, 2, Size - 1, &Read), STATUS_SUCCESS);
    KTAP_EQUAL(Read, 1);
    KTAP_EQUAL(CdfsReadAt(File, Cached, 0, 0, &Read), STATUS_SUCCESS);
    KTAP_EQUAL(CdfsReadAt(Raw, Direct, 100, 0, &Read), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(CdfsReadAt(Raw, Direct, CDFS_SECTOR, 5, &Read), STATUS_INVALID_PARAMETER);
    ZwClose(File);
    ZwClose(Raw);
    ExFreePoolWithTag(Cached, CDFS_TAG);
    ExFreePoolWithTag(Direct, CDFS_TAG);
}

/* The volume itself can be read by sectors: the primary descriptor is where ECMA-119 says. */
static VOID CdfsRawVolume(PKTAP_CONTEXT Ktap)
{
    PUCHAR Sector = ExAllocatePoolWithTag(NonPagedPool, CDFS_SECTOR, CDFS_TAG);
    HANDLE Volume;
    ULONG_PTR Read;

    KTAP_CHECK(Sector != NULL);
    KTAP_EQUAL(CdfsOpenRead(L"\\??\\D:", 0, &Volume), STATUS_SUCCESS);
    KTAP_EQUAL(CdfsReadAt(Volume, Sector, CDFS_SECTOR, 16 * CDFS_SECTOR, &Read), STATUS_SUCCESS);
    KTAP_EQUAL(Read, CDFS_SECTOR);
    KTAP_EQUAL(RtlCompareMemory(Sector + 1, "CD001", 5), 5);
    KTAP_EQUAL(CdfsReadAt(Volume, Sector, 100, 16 * CDFS_SECTOR, &Read), STATUS_INVALID_PARAMETER);
    ZwClose(Volume);
    ExFreePoolWithTag(Sector, CDFS_TAG);
}

static NTSTATUS CdfsList(PCWSTR Path)
{
    static UCHAR Buffer[1024] __attribute__((aligned(8)));
    HANDLE Directory;
    ULONG Entries;
    NTSTATUS Status = CdfsOpenRead(Path, FILE_DIRECTORY_FILE, &Directory);

    if (NT_SUCCESS(Status)) {
        Status = CdfsQuery(Directory, NULL, FALSE, FALSE, Buffer, sizeof(Buffer), &Entries);
        ZwClose(Directory);
    }
    return Status;
}

/*
 * A directory is read through a file object of the file system's, which Mm keeps with the pages. However often the directory is opened
 * again, it is one.
 */
static VOID CdfsStreams(PKTAP_CONTEXT Ktap)
{
    LARGE_INTEGER Pause = {.QuadPart = -100000};
    LONG64 Files;

    KTAP_EQUAL(CdfsList(CDFS_LEAF), STATUS_SUCCESS);
    Files = (*IoFileObjectType)->ObjectCount;
    for (ULONG Turn = 0; Turn < 4; Turn++) {
        KTAP_EQUAL(CdfsList(CDFS_LEAF), STATUS_SUCCESS);
    }
    for (ULONG Turn = 0; Turn < 100 && (*IoFileObjectType)->ObjectCount > Files; Turn++) {
        KeDelayExecutionThread(KernelMode, FALSE, &Pause); /* workers close some */
    }
    KTAP_CHECK((*IoFileObjectType)->ObjectCount <= Files);
}

static const KTAP_CASE_ENTRY CdfsCases[] = {
    {"names", CdfsNames},         {"read_only", CdfsReadOnly}, {"sharing", CdfsSharing},
    {"directory", CdfsDirectory}, {"pattern", CdfsPattern},    {"information", CdfsInformation},
    {"volume", CdfsVolume},       {"reads", CdfsReads},        {"raw_volume", CdfsRawVolume},
    {"streams", CdfsStreams},
};

KTAP_SUITE(CdfsSuite, "fs.cdfs", CdfsCases);
