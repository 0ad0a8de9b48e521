/*
 * ldrmap.c - from the name of a DLL to an image in memory: the search along the path, the image section, and moving it if need be.
 *
 * An image section is mapped where it was relocated to for all processes, so its pages are shared. Only if another thing is in that place the
 * image lies elsewhere and is relocated once more, in this process, on pages of its own.
 *
 * Locks: (l) of the caller. Source: Microsoft Learn, "Dynamic-link library search order"; ZwMapViewOfSection.
 */
#include "ntdllp.h"

#define PATH_CHARACTERS 260

/* ---- Names ---- */

/* An NT path of a directory, which may be one already; of an empty one, none. */
static NTSTATUS LdrpNtPath(PCUNICODE_STRING Name, PUNICODE_STRING Path)
{
    ULONG Length = Name->Length / sizeof(WCHAR);
    UNICODE_STRING Made;
    NTSTATUS Status;

    Path->Length = 0;
    if (Length == 0) {
        return STATUS_SUCCESS;
    }
    if (Name->Buffer[0] != '\\' || (Length > 1 && Name->Buffer[1] == '\\')) {
        Status = RtlpNtPath(Name->Buffer, Length, &Made);
        if (NT_SUCCESS(Status)) {
            Status = RtlAppendUnicodeStringToString(Path, &Made);
            RtlFreeUnicodeString(&Made);
        }
        return Status;
    }
    Status = RtlAppendUnicodeStringToString(Path, Name);
    for (ULONG Index = 0; Index < Path->Length / sizeof(WCHAR); Index++) {
        if (Path->Buffer[Index] == '/') {
            Path->Buffer[Index] = '\\';
        }
    }
    return Status;
}

/* Directory\Name */
static NTSTATUS LdrpJoin(PCUNICODE_STRING Directory, PCUNICODE_STRING Name, PUNICODE_STRING Path)
{
    NTSTATUS Status = LdrpNtPath(Directory, Path);

    if (NT_SUCCESS(Status) && Path->Length != 0 && Path->Buffer[Path->Length / sizeof(WCHAR) - 1] != '\\') {
        Status = RtlAppendUnicodeToString(Path, L"\\");
    }
    return NT_SUCCESS(Status) ? RtlAppendUnicodeStringToString(Path, Name) : Status;
}

/* The part of a list before its next ';', which is taken off. FALSE: there is none. */
static BOOLEAN LdrpNextDirectory(PUNICODE_STRING List, PUNICODE_STRING Directory)
{
    USHORT Length = 0;

    if (List->Length == 0) {
        return FALSE;
    }
    while (Length < List->Length && List->Buffer[Length / sizeof(WCHAR)] != ';') {
        Length += sizeof(WCHAR);
    }
    Directory->Buffer = List->Buffer;
    Directory->Length = Directory->MaximumLength = Length;
    Length = min((USHORT)(Length + sizeof(WCHAR)), List->Length);
    List->Buffer += Length / sizeof(WCHAR);
    List->Length -= Length;
    return TRUE;
}

/* ---- Files ---- */

static NTSTATUS LdrpOpen(PUNICODE_STRING Path, PHANDLE File)
{
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Iosb;

    InitializeObjectAttributes(&Attributes, Path, OBJ_CASE_INSENSITIVE, NULL, NULL);
    return NtOpenFile(File, FILE_READ_DATA | FILE_EXECUTE | SYNCHRONIZE, &Attributes, &Iosb, FILE_SHARE_READ,
                      FILE_SYNCHRONOUS_IO_NONALERT | FILE_NON_DIRECTORY_FILE);
}

static BOOLEAN LdrpIsAbsent(NTSTATUS Status)
{
    return Status == STATUS_OBJECT_NAME_NOT_FOUND || Status == STATUS_OBJECT_PATH_NOT_FOUND ||
           Status == STATUS_OBJECT_NAME_INVALID || Status == STATUS_OBJECT_PATH_INVALID ||
           Status == STATUS_OBJECT_PATH_SYNTAX_BAD || Status == STATUS_NO_SUCH_FILE ||
           Status == STATUS_FILE_IS_A_DIRECTORY || Status == STATUS_BUFFER_TOO_SMALL;
}

/* Opens the first file there is: where the name says, or beside the program, then along the process's DllPath. */
static NTSTATUS LdrpOpenDll(PCUNICODE_STRING Where, PCUNICODE_STRING Name, PUNICODE_STRING Path, PHANDLE File)
{
    PRTL_USER_PROCESS_PARAMETERS Parameters = LdrpPeb()->ProcessParameters;
    UNICODE_STRING List = Parameters->DllPath, Directory = Parameters->ImagePathName;
    NTSTATUS Status;

    if (Where->Length != 0) {
        Status = LdrpJoin(Where, Name, Path);
        return NT_SUCCESS(Status) ? LdrpOpen(Path, File) : Status;
    }
    while (Directory.Length != 0 && Directory.Buffer[Directory.Length / sizeof(WCHAR) - 1] != '\\') {
        Directory.Length -= sizeof(WCHAR);
    }
    do {
        Status = LdrpJoin(&Directory, Name, Path);
        if (NT_SUCCESS(Status)) {
            Status = LdrpOpen(Path, File);
        }
    } while (LdrpIsAbsent(Status) && LdrpNextDirectory(&List, &Directory));
    return Status;
}

/* ---- Images ---- */

NTSTATUS LdrpDescribe(PLDR_DATA_TABLE_ENTRY Image, PVOID Base, SIZE_T Size)
{
    if (PeReadLoadedHeader(Base, Size, &Image->View.Header) != PeOk) {
        return STATUS_INVALID_IMAGE_FORMAT;
    }
    Image->View.Base = Base;
    Image->DllBase = Base;
    Image->SizeOfImage = Image->View.Header.SizeOfImage;
    Image->TimeDateStamp = Image->View.Header.TimeDateStamp;
    Image->EntryPoint = Image->View.Header.EntryRva == 0 ? NULL : (PUCHAR)Base + Image->View.Header.EntryRva;
    Image->TlsIndex = LDRP_NO_TLS;
    return STATUS_SUCCESS;
}

/* Changes the protection of all that is not writable already, and back. */
static NTSTATUS LdrpUnprotect(PLDR_DATA_TABLE_ENTRY Image, BOOLEAN Writable)
{
    NTSTATUS Status = STATUS_SUCCESS;

    for (ULONG Index = 0; Index < Image->View.Header.SectionCount && NT_SUCCESS(Status); Index++) {
        PE_SECTION Section;
        ULONG Old;

        PeReadSection(Image->View.Base, &Image->View.Header, Index, &Section);
        if ((Section.Flags & PE_SECTION_WRITE) != 0 || Section.VirtualSize == 0) {
            continue;
        }
        PVOID Start = Image->View.Base + Section.Rva;
        SIZE_T Size = Section.VirtualSize;
        ULONG Own = (Section.Flags & PE_SECTION_EXECUTE) != 0 ? PAGE_EXECUTE_READ : PAGE_READONLY;
        Status = NtProtectVirtualMemory(ZwCurrentProcess(), &Start, &Size, Writable ? PAGE_READWRITE : Own, &Old);
    }
    return Status;
}

/* An image that is not where its section would have it. */
static NTSTATUS LdrpMove(PLDR_DATA_TABLE_ENTRY Image)
{
    NTSTATUS Status = LdrpUnprotect(Image, TRUE);
    PE_STATUS Moved = PeOk;

    if (NT_SUCCESS(Status)) {
        Moved = PeRelocate(&Image->View, (ULONG64)Image->DllBase);
        Status = LdrpUnprotect(Image, FALSE);
    }
    return Moved == PeNoRelocation ? STATUS_CONFLICTING_ADDRESSES
           : Moved != PeOk         ? STATUS_INVALID_IMAGE_FORMAT
                                   : Status;
}

static NTSTATUS LdrpMapFile(HANDLE File, PVOID *Base, PSIZE_T Size)
{
    HANDLE Section;
    NTSTATUS Status = NtCreateSection(&Section, SECTION_MAP_READ | SECTION_MAP_EXECUTE | SECTION_QUERY, NULL, NULL,
                                      PAGE_EXECUTE, SEC_IMAGE, File);

    if (NT_SUCCESS(Status)) {
        *Base = NULL;
        *Size = 0;
        Status =
            NtMapViewOfSection(Section, ZwCurrentProcess(), Base, 0, 0, NULL, Size, ViewShare, 0, PAGE_EXECUTE_READ);
        NtClose(Section);
    }
    return Status;
}

/* The entry and its names are one block. */
static PLDR_DATA_TABLE_ENTRY LdrpMakeEntry(PCUNICODE_STRING Path)
{
    PLDR_DATA_TABLE_ENTRY Image =
        RtlAllocateHeap(LdrpPeb()->ProcessHeap, HEAP_ZERO_MEMORY, sizeof(*Image) + Path->Length + sizeof(WCHAR));
    USHORT Start = Path->Length / sizeof(WCHAR);

    if (Image == NULL) {
        return NULL;
    }
    while (Start != 0 && Path->Buffer[Start - 1] != '\\') {
        Start--;
    }
    Image->FullDllName.Buffer = (PWSTR)(Image + 1);
    Image->FullDllName.Length = Path->Length;
    Image->FullDllName.MaximumLength = Path->Length + sizeof(WCHAR);
    RtlCopyMemory(Image->FullDllName.Buffer, Path->Buffer, Path->Length);
    Image->BaseDllName.Buffer = Image->FullDllName.Buffer + Start;
    Image->BaseDllName.Length = (USHORT)(Path->Length - Start * sizeof(WCHAR));
    Image->BaseDllName.MaximumLength = Image->BaseDllName.Length + sizeof(WCHAR);
    Image->Flags = LDRP_IMAGE_DLL;
    return Image;
}

NTSTATUS LdrpMap(PCUNICODE_STRING Directory, PCUNICODE_STRING Name, PLDR_DATA_TABLE_ENTRY *Image)
{
    WCHAR Buffer[PATH_CHARACTERS];
    UNICODE_STRING Path = {0, sizeof(Buffer), Buffer};
    PVOID Base = NULL;
    SIZE_T Size = 0;
    HANDLE File;
    NTSTATUS Status = LdrpOpenDll(Directory, Name, &Path, &File);

    if (!NT_SUCCESS(Status)) {
        return LdrpIsAbsent(Status) ? STATUS_DLL_NOT_FOUND : Status;
    }
    Status = LdrpMapFile(File, &Base, &Size);
    NtClose(File);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    *Image = LdrpMakeEntry(&Path);
    Status = *Image == NULL ? STATUS_NO_MEMORY : LdrpDescribe(*Image, Base, Size);
    if (NT_SUCCESS(Status) && (*Image)->View.Header.ImageBase != (ULONG64)Base) {
        Status = LdrpMove(*Image);
    }
    if (!NT_SUCCESS(Status)) {
        NtUnmapViewOfSection(ZwCurrentProcess(), Base);
        RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, *Image);
    }
    return Status;
}

VOID LdrpUnmap(PLDR_DATA_TABLE_ENTRY Image)
{
    PLDRP_NEED Next;

    for (PLDRP_NEED Need = Image->Needs; Need != NULL; Need = Next) {
        Next = Need->Next;
        RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, Need);
    }
    NtUnmapViewOfSection(ZwCurrentProcess(), Image->DllBase);
    RtlFreeHeap(LdrpPeb()->ProcessHeap, 0, Image);
}
