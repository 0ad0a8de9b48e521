/*
 * ufile.c - the suite of files: opened, read, listed and asked about by a program, on the disc it came from.
 *
 * The disc cannot be written, so what would write is refused, with the status that says so. Requests are synchronous unless a case says
 * otherwise.
 */
#include "../ktap.h"

#define FOLDER L"\\SystemRoot\\System"

static UCHAR Buffer[4096];

static NTSTATUS Open(PCWSTR Path, ACCESS_MASK Access, ULONG Disposition, ULONG Options, PHANDLE File)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Iosb;

    RtlInitUnicodeString(&Name, Path);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    return NtCreateFile(File, Access, &Attributes, &Iosb, NULL, 0, FILE_SHARE_READ, Disposition, Options, NULL, 0);
}

static ULONG Create(VOID)
{
    IO_STATUS_BLOCK Iosb;
    HANDLE File;

    CHECK(Open(FOLDER L"\\ufile.exe", FILE_GENERIC_READ, FILE_OPEN, FILE_SYNCHRONOUS_IO_NONALERT, &File) == 0);
    CHECK(NtReadFile(File, NULL, NULL, NULL, &Iosb, Buffer, 64, NULL, NULL) == STATUS_SUCCESS);
    CHECK(Iosb.Information == 64 && Buffer[0] == 'M' && Buffer[1] == 'Z');
    CHECK(NtReadFile(File, NULL, NULL, NULL, &Iosb, KERNEL_POINTER, 64, NULL, NULL) == STATUS_ACCESS_VIOLATION);
    CHECK(NtClose(File) == STATUS_SUCCESS);
    CHECK(Open(FOLDER L"\\nothing", FILE_GENERIC_READ, FILE_OPEN, 0, &File) == STATUS_OBJECT_NAME_NOT_FOUND);
    CHECK(Open(FOLDER L"\\ufile.exe", FILE_GENERIC_READ, 99, 0, &File) == STATUS_INVALID_PARAMETER);
    CHECK(!NT_SUCCESS(Open(FOLDER L"\\new", FILE_GENERIC_WRITE, FILE_CREATE, 0, &File)));
    CHECK(Open(FOLDER, FILE_GENERIC_READ, FILE_OPEN, FILE_NON_DIRECTORY_FILE, &File) == STATUS_FILE_IS_A_DIRECTORY);
    return 0;
}

static ULONG Attributes(VOID)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(FOLDER L"\\ufile.exe"), None = RTL_CONSTANT_STRING(FOLDER L"\\none");
    FILE_NETWORK_OPEN_INFORMATION Full = {0};
    FILE_BASIC_INFORMATION Basic = {0};
    OBJECT_ATTRIBUTES Given;

    InitializeObjectAttributes(&Given, &Name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    CHECK(NtQueryAttributesFile(&Given, &Basic) == STATUS_SUCCESS);
    CHECK((Basic.FileAttributes & FILE_ATTRIBUTE_READONLY) != 0 || Basic.FileAttributes != 0);
    CHECK(NtQueryFullAttributesFile(&Given, &Full) == STATUS_SUCCESS && Full.EndOfFile.QuadPart > 4096);
    CHECK(NtQueryAttributesFile(&Given, KERNEL_POINTER) == STATUS_ACCESS_VIOLATION);
    CHECK(!NT_SUCCESS(NtDeleteFile(&Given)));
    Given.ObjectName = &None;
    CHECK(NtQueryFullAttributesFile(&Given, &Full) == STATUS_OBJECT_NAME_NOT_FOUND);
    CHECK(!NT_SUCCESS(NtDeleteFile(&Given)));
    return 0;
}

/* A folder's list has this program in it once, under a pattern too. */
static ULONG Listing(VOID)
{
    UNICODE_STRING Pattern = RTL_CONSTANT_STRING(L"ufile.*");
    PFILE_DIRECTORY_INFORMATION Entry = (PFILE_DIRECTORY_INFORMATION)Buffer;
    IO_STATUS_BLOCK Iosb;
    HANDLE Folder;

    CHECK(Open(FOLDER, FILE_LIST_DIRECTORY | SYNCHRONIZE, FILE_OPEN, FILE_DIRECTORY_FILE | FILE_SYNCHRONOUS_IO_NONALERT,
               &Folder) == STATUS_SUCCESS);
    CHECK(NtQueryDirectoryFile(Folder, NULL, NULL, NULL, &Iosb, Buffer, sizeof(Buffer), FileDirectoryInformation, FALSE,
                               &Pattern, TRUE) == STATUS_SUCCESS);
    CHECK(Entry->NextEntryOffset == 0 && Entry->FileNameLength == 9 * sizeof(WCHAR));
    CHECK(NtQueryDirectoryFile(Folder, NULL, NULL, NULL, &Iosb, Buffer, sizeof(Buffer), FileDirectoryInformation, FALSE,
                               NULL, FALSE) == STATUS_NO_MORE_FILES);
    CHECK(NtQueryDirectoryFile(Folder, NULL, NULL, NULL, &Iosb, Buffer, sizeof(Buffer), 9999, FALSE, NULL, TRUE) ==
          STATUS_INVALID_INFO_CLASS);
    CHECK(NtClose(Folder) == STATUS_SUCCESS);
    return 0;
}

static ULONG Volume(VOID)
{
    PFILE_FS_SIZE_INFORMATION Size = (PFILE_FS_SIZE_INFORMATION)Buffer;
    IO_STATUS_BLOCK Iosb;
    HANDLE File;

    CHECK(Open(FOLDER L"\\ufile.exe", FILE_GENERIC_READ, FILE_OPEN, FILE_SYNCHRONOUS_IO_NONALERT, &File) == 0);
    CHECK(NtQueryVolumeInformationFile(File, &Iosb, Buffer, sizeof(*Size), FileFsSizeInformation) == STATUS_SUCCESS);
    CHECK(Size->BytesPerSector == 2048);
    CHECK(NtQueryVolumeInformationFile(File, &Iosb, Buffer, 1, FileFsSizeInformation) == STATUS_INFO_LENGTH_MISMATCH);
    CHECK(NtFlushBuffersFile(File, &Iosb) != STATUS_PENDING); /* of a file that was opened for reading: no harm */
    CHECK(NtCancelIoFile(File, &Iosb) == STATUS_SUCCESS);     /* there is nothing to cancel */
    CHECK(NtCancelIoFile(NULL, &Iosb) == STATUS_INVALID_HANDLE);
    CHECK(!NT_SUCCESS(NtDeviceIoControlFile(File, NULL, NULL, NULL, &Iosb, 0x12345678, NULL, 0, Buffer, 16)));
    CHECK(NtDeviceIoControlFile(File, NULL, NULL, NULL, KERNEL_POINTER, 0, NULL, 0, NULL, 0) ==
          STATUS_ACCESS_VIOLATION);
    CHECK(NtClose(File) == STATUS_SUCCESS);
    return 0;
}

static const USER_CASE Cases[] = {
    {"user.file.create", Create},
    {"user.file.attributes", Attributes},
    {"user.file.listing", Listing},
    {"user.file.volume", Volume},
};

NTSTATUS NTAPI NtProcessStartup(PPEB Peb)
{
    return UserRunSuite("ufile.c", Cases, RTL_NUMBER_OF(Cases));
}
