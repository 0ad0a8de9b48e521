/*
 * loader.c - what stands between a mapped program and its entry point: the list of images, imports, static TLS.
 *
 * The kernel has mapped and relocated the program and ntdll. LdrpInitializeProcess enters both in the PEB's list, fills in the
 * program's import table from ntdll's exports, by name, ordinal and forwarder, makes the import pages read-only again, and
 * prepares static TLS. A DLL or symbol that is missing is named on the console, and the process ends with
 * STATUS_DLL_NOT_FOUND, STATUS_ENTRYPOINT_NOT_FOUND or STATUS_ORDINAL_NOT_FOUND.
 *
 * Locks: none: one thread runs until this is done, and the list does not change afterwards.
 *
 * Source: Microsoft PE and COFF Specification.
 */
#include "ntdllp.h"

#define PE_POINTER          0x3C /* in the DOS header */
#define PE_ENTRY            0x28 /* from the PE signature: AddressOfEntryPoint */
#define PE_IMAGE_SIZE       0x50 /* SizeOfImage */
#define PE_DIRECTORY_OFFSET (0x18 + 0x70)
#define FORWARD_LIMIT       8 /* forwarders that lead to forwarders: more than two is unheard of */

static PEB_LDR_DATA LdrpData;
static LDR_DATA_TABLE_ENTRY LdrpProgram, LdrpNtdll;

PLDR_DATA_TABLE_ENTRY LdrpFindImage(ULONG64 Address)
{
    PLIST_ENTRY Head = &LdrpData.InLoadOrderModuleList;

    for (PLIST_ENTRY Entry = Head->Flink; Entry != Head && Entry != NULL; Entry = Entry->Flink) {
        PLDR_DATA_TABLE_ENTRY Image = CONTAINING_RECORD(Entry, LDR_DATA_TABLE_ENTRY, InLoadOrderLinks);

        if (Address - (ULONG64)Image->DllBase < Image->SizeOfImage) {
            return Image;
        }
    }
    return NULL;
}

/* ---- The list ---- */

/* The kernel has checked the headers; what is needed of them is read from the image in memory. */
static VOID LdrpDescribe(PLDR_DATA_TABLE_ENTRY Image, PVOID Base)
{
    PUCHAR Headers = (PUCHAR)Base + *(PULONG)((PUCHAR)Base + PE_POINTER);
    ULONG Entry = *(PULONG)(Headers + PE_ENTRY);

    Image->DllBase = Base;
    Image->SizeOfImage = *(PULONG)(Headers + PE_IMAGE_SIZE);
    Image->EntryPoint = Entry == 0 ? NULL : (PUCHAR)Base + Entry;
    Image->LoadCount = 1;
    Image->View.Base = Base;
    Image->View.Header.ImageBase = (ULONG64)Base;
    Image->View.Header.SizeOfImage = Image->SizeOfImage;
    RtlCopyMemory(Image->View.Header.Directory, Headers + PE_DIRECTORY_OFFSET, sizeof(Image->View.Header.Directory));
}

static VOID LdrpEnter(PLDR_DATA_TABLE_ENTRY Image, PVOID Base, PCUNICODE_STRING Path)
{
    USHORT Start = Path->Length / sizeof(WCHAR);

    LdrpDescribe(Image, Base);
    Image->FullDllName = *Path;
    while (Start != 0 && Path->Buffer[Start - 1] != '\\') {
        Start--;
    }
    Image->BaseDllName.Buffer = Path->Buffer + Start;
    Image->BaseDllName.Length = Image->BaseDllName.MaximumLength = (USHORT)(Path->Length - Start * sizeof(WCHAR));
    InitializeListHead(&Image->HashLinks);
    InsertTailList(&LdrpData.InLoadOrderModuleList, &Image->InLoadOrderLinks);
    InsertTailList(&LdrpData.InMemoryOrderModuleList, &Image->InMemoryOrderLinks);
    InsertTailList(&LdrpData.InInitializationOrderModuleList, &Image->InInitializationOrderLinks);
}

/* By base name without regard to case; Length without ".dll" if it is missing. */
static PLDR_DATA_TABLE_ENTRY LdrpFindModule(PCSTR Name, ULONG Length)
{
    PLIST_ENTRY Head = &LdrpData.InLoadOrderModuleList;

    for (PLIST_ENTRY Entry = Head->Flink; Entry != Head; Entry = Entry->Flink) {
        PLDR_DATA_TABLE_ENTRY Image = CONTAINING_RECORD(Entry, LDR_DATA_TABLE_ENTRY, InLoadOrderLinks);
        ULONG Characters = Image->BaseDllName.Length / sizeof(WCHAR), Index = 0;

        while (Index < Length && Index < Characters &&
               RtlUpcaseUnicodeChar((UCHAR)Name[Index]) == RtlUpcaseUnicodeChar(Image->BaseDllName.Buffer[Index])) {
            Index++;
        }
        if (Index == Length &&
            (Characters == Length || (Characters == Length + 4 && Image->BaseDllName.Buffer[Index] == '.'))) {
            return Image;
        }
    }
    return NULL;
}

/* ---- Imports ---- */

static ULONG LdrpLength(PCSTR Text)
{
    ULONG Length = 0;

    while (Text[Length] != 0) {
        Length++;
    }
    return Length;
}

static ULONG LdrpDecimal(PCSTR Digits)
{
    ULONG Value = 0;

    for (; *Digits >= '0' && *Digits <= '9'; Digits++) {
        Value = Value * 10 + (ULONG)(*Digits - '0');
    }
    return Value;
}

/* An export's address, through forwarders; Name NULL: by ordinal. */
static NTSTATUS LdrpFindExport(PLDR_DATA_TABLE_ENTRY Image, PCSTR Name, ULONG Ordinal, PULONG64 Address)
{
    for (ULONG Hop = 0; Hop < FORWARD_LIMIT && Image != NULL; Hop++) {
        PE_EXPORT Export;
        PE_STATUS Status = Name != NULL ? PeFindExportByName(&Image->View, Name, &Export)
                                        : PeFindExportByOrdinal(&Image->View, Ordinal, &Export);
        ULONG Dot = 0;

        if (Status != PeOk) {
            return Name != NULL ? STATUS_ENTRYPOINT_NOT_FOUND : STATUS_ORDINAL_NOT_FOUND;
        }
        if (Export.Forwarder == NULL) {
            *Address = (ULONG64)Image->DllBase + Export.Rva;
            return STATUS_SUCCESS;
        }
        while (Export.Forwarder[Dot] != '.' && Export.Forwarder[Dot] != 0) {
            Dot++;
        }
        if (Export.Forwarder[Dot] == 0) {
            return STATUS_INVALID_IMAGE_FORMAT;
        }
        Image = LdrpFindModule(Export.Forwarder, Dot);
        Name = Export.Forwarder + Dot + 1;
        if (*Name == '#') {
            Ordinal = LdrpDecimal(Name + 1);
            Name = NULL;
        }
    }
    return Image == NULL ? STATUS_DLL_NOT_FOUND : STATUS_INVALID_IMAGE_FORMAT;
}

static VOID LdrpReport(NTSTATUS Status, const PE_IMPORT *Import, PLDR_DATA_TABLE_ENTRY Importer)
{
    if (Status == STATUS_DLL_NOT_FOUND) {
        DbgPrint("%wZ: needs %s, which is not there\n", &Importer->BaseDllName, Import->Module);
    } else if (Import->Name != NULL) {
        DbgPrint("%wZ: %s has no %s\n", &Importer->BaseDllName, Import->Module, Import->Name);
    } else {
        DbgPrint("%wZ: %s has no ordinal %lu\n", &Importer->BaseDllName, Import->Module, (ULONG)Import->Ordinal);
    }
}

static NTSTATUS LdrpBindOne(PLDR_DATA_TABLE_ENTRY Image, const PE_IMPORT *Import)
{
    PLDR_DATA_TABLE_ENTRY Module = LdrpFindModule(Import->Module, LdrpLength(Import->Module));
    PVOID Slot = Image->View.Base + Import->SlotRva, Page = Slot;
    SIZE_T Size = sizeof(ULONG64);
    ULONG64 Address = 0;
    ULONG Old;
    NTSTATUS Status =
        Module == NULL ? STATUS_DLL_NOT_FOUND : LdrpFindExport(Module, Import->Name, Import->Ordinal, &Address);

    if (!NT_SUCCESS(Status)) {
        LdrpReport(Status, Import, Image);
        return Status;
    }
    Status = NtProtectVirtualMemory(ZwCurrentProcess(), &Page, &Size, PAGE_READWRITE, &Old);
    if (NT_SUCCESS(Status)) {
        *(PULONG64)Slot = Address;
        Status = NtProtectVirtualMemory(ZwCurrentProcess(), &Page, &Size, Old, &Old);
    }
    return Status;
}

static NTSTATUS LdrpBindImports(PLDR_DATA_TABLE_ENTRY Image)
{
    PE_IMPORT_CURSOR Cursor = {0};
    PE_IMPORT Import;
    PE_STATUS Found;
    NTSTATUS Status = STATUS_SUCCESS;

    while (NT_SUCCESS(Status) && (Found = PeNextImport(&Image->View, &Cursor, &Import)) != PeNotFound) {
        Status = Found == PeOk ? LdrpBindOne(Image, &Import) : STATUS_INVALID_IMAGE_FORMAT;
    }
    return Status;
}

/* ---- The process ---- */

NTSTATUS LdrpInitializeProcess(PVOID NtdllBase)
{
    static const UNICODE_STRING NtdllPath = RTL_CONSTANT_STRING(L"\\SystemRoot\\System\\ntdll.dll");
    PPEB Peb = LdrpPeb();
    NTSTATUS Status;

    LdrpData.Length = sizeof(LdrpData);
    InitializeListHead(&LdrpData.InLoadOrderModuleList);
    InitializeListHead(&LdrpData.InMemoryOrderModuleList);
    InitializeListHead(&LdrpData.InInitializationOrderModuleList);
    LdrpEnter(&LdrpProgram, Peb->ImageBaseAddress, &Peb->ProcessParameters->ImagePathName);
    LdrpEnter(&LdrpNtdll, NtdllBase, &NtdllPath);
    Peb->Ldr = &LdrpData;
    Peb->ProcessHeap = RtlCreateHeap(HEAP_GROWABLE, NULL, 0, 0, NULL, NULL);
    if (Peb->ProcessHeap == NULL) {
        return STATUS_NO_MEMORY;
    }
    Status = LdrpBindImports(&LdrpProgram);
    if (NT_SUCCESS(Status)) {
        Status = LdrpInitializeTls();
    }
    if (NT_SUCCESS(Status)) {
        LdrpData.Initialized = TRUE;
        LdrpCallTlsCallbacks(DLL_PROCESS_ATTACH);
    }
    return Status;
}

/* ---- Exports ---- */

/**
 * LdrGetProcedureAddress - the address of an export of a loaded image.
 *
 * @Name     NULL: @Ordinal says
 * returns   STATUS_SUCCESS; STATUS_DLL_NOT_FOUND (no image at @Base); STATUS_ENTRYPOINT_NOT_FOUND; STATUS_ORDINAL_NOT_FOUND
 */
NTSTATUS NTAPI LdrGetProcedureAddress(PVOID Base, PANSI_STRING Name, ULONG Ordinal, PVOID *Address)
{
    PLDR_DATA_TABLE_ENTRY Image = LdrpFindImage((ULONG64)Base);
    CHAR Text[256];
    ULONG64 Found;

    if (Image == NULL || Image->DllBase != Base) {
        return STATUS_DLL_NOT_FOUND;
    }
    if (Name != NULL) {
        if (Name->Length >= sizeof(Text)) {
            return STATUS_ENTRYPOINT_NOT_FOUND;
        }
        RtlCopyMemory(Text, Name->Buffer, Name->Length);
        Text[Name->Length] = 0;
    }
    NTSTATUS Status = LdrpFindExport(Image, Name == NULL ? NULL : Text, Ordinal, &Found);
    if (NT_SUCCESS(Status)) {
        *Address = (PVOID)Found;
    }
    return Status;
}

/* The base of a loaded image by its base name; STATUS_DLL_NOT_FOUND. Path and characteristics are not looked at. */
NTSTATUS NTAPI LdrGetDllHandle(PWSTR Path, PULONG Characteristics, PUNICODE_STRING Name, PVOID *Base)
{
    PLIST_ENTRY Head = &LdrpData.InLoadOrderModuleList;

    for (PLIST_ENTRY Entry = Head->Flink; Entry != Head; Entry = Entry->Flink) {
        PLDR_DATA_TABLE_ENTRY Image = CONTAINING_RECORD(Entry, LDR_DATA_TABLE_ENTRY, InLoadOrderLinks);

        if (RtlEqualUnicodeString(&Image->BaseDllName, Name, TRUE)) {
            *Base = Image->DllBase;
            return STATUS_SUCCESS;
        }
    }
    return STATUS_DLL_NOT_FOUND;
}
