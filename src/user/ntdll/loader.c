/*
 * loader.c - the images of a process: the list of them, loading and unloading by call, and the process's own start.
 *
 * The kernel has mapped the program and ntdll. LdrpInitializeProcess enters both, loads what the program needs, and what that needs, fills in all
 * import tables, gives static TLS out and initialises the DLLs. Everything that the program needs stays as long as the process; what
 * LdrLoadDll brings goes when neither a load by call nor another image that stays needs it any more, cycles and all (ldrinit.c).
 *
 * A DLL is known by its base name. It is loaded before its imports are bound, so that two may import from each other. A DLL or symbol that is
 * missing is named on the console; at the start the process ends with STATUS_DLL_NOT_FOUND, STATUS_ENTRYPOINT_NOT_FOUND or
 * STATUS_ORDINAL_NOT_FOUND.
 *
 * Locks: (l) LdrpLock over each load, unload and DllMain; (i) LdrpListLock around changes of the lists and lookups by address, which
 * the dispatching of an exception needs at any moment; nothing is called under it.
 *
 * Source: Microsoft PE and COFF Specification; Microsoft Learn, LoadLibraryEx, FreeLibrary, GetProcAddress, DllMain.
 */
#include "ntdllp.h"

PEB_LDR_DATA LdrpData;
RTL_CRITICAL_SECTION LdrpLock;

static LDR_DATA_TABLE_ENTRY LdrpProgram, LdrpNtdll;
static RTL_SRWLOCK LdrpListLock = RTL_SRWLOCK_INIT;

/* ---- The list ---- */

PLDR_DATA_TABLE_ENTRY LdrpFindImage(ULONG64 Address)
{
    PLIST_ENTRY Head = &LdrpData.InLoadOrderModuleList;
    PLDR_DATA_TABLE_ENTRY Found = NULL;

    RtlAcquireSRWLockShared(&LdrpListLock);
    for (PLIST_ENTRY Entry = Head->Flink; Entry != Head && Entry != NULL && Found == NULL; Entry = Entry->Flink) {
        PLDR_DATA_TABLE_ENTRY Image = CONTAINING_RECORD(Entry, LDR_DATA_TABLE_ENTRY, InLoadOrderLinks);

        if (Address - (ULONG64)Image->DllBase < Image->SizeOfImage) {
            Found = Image;
        }
    }
    RtlReleaseSRWLockShared(&LdrpListLock);
    return Found;
}

PLDR_DATA_TABLE_ENTRY LdrpFindName(PCUNICODE_STRING BaseName)
{
    PLIST_ENTRY Head = &LdrpData.InLoadOrderModuleList;

    for (PLIST_ENTRY Entry = Head->Flink; Entry != Head; Entry = Entry->Flink) {
        PLDR_DATA_TABLE_ENTRY Image = CONTAINING_RECORD(Entry, LDR_DATA_TABLE_ENTRY, InLoadOrderLinks);

        if (RtlEqualUnicodeString(&Image->BaseDllName, BaseName, TRUE)) {
            return Image;
        }
    }
    return NULL;
}

/* The image that is mapped at Base; NULL: none. */
static PLDR_DATA_TABLE_ENTRY LdrpFindBase(PVOID Base)
{
    PLDR_DATA_TABLE_ENTRY Image = LdrpFindImage((ULONG64)Base);

    return Image != NULL && Image->DllBase == Base ? Image : NULL;
}

VOID LdrpEnter(PLDR_DATA_TABLE_ENTRY Image)
{
    InitializeListHead(&Image->HashLinks);
    InitializeListHead(&Image->InInitializationOrderLinks);
    RtlAcquireSRWLockExclusive(&LdrpListLock);
    InsertTailList(&LdrpData.InLoadOrderModuleList, &Image->InLoadOrderLinks);
    InsertTailList(&LdrpData.InMemoryOrderModuleList, &Image->InMemoryOrderLinks);
    RtlReleaseSRWLockExclusive(&LdrpListLock);
}

VOID LdrpRemove(PLDR_DATA_TABLE_ENTRY Image)
{
    RtlAcquireSRWLockExclusive(&LdrpListLock);
    RemoveEntryList(&Image->InLoadOrderLinks);
    RemoveEntryList(&Image->InMemoryOrderLinks);
    RtlReleaseSRWLockExclusive(&LdrpListLock);
}

/* ---- Loading ---- */

BOOLEAN LdrpNeeds(PLDR_DATA_TABLE_ENTRY Image, PLDR_DATA_TABLE_ENTRY Other)
{
    PLDRP_NEED Need;

    if (Other == Image) {
        return TRUE;
    }
    for (Need = Image->Needs; Need != NULL; Need = Need->Next) {
        if (Need->Image == Other) {
            return TRUE;
        }
    }
    Need = RtlAllocateHeap(LdrpPeb()->ProcessHeap, 0, sizeof(*Need));
    if (Need == NULL) {
        return FALSE;
    }
    Need->Image = Other;
    Need->Next = Image->Needs;
    Image->Needs = Need;
    return TRUE;
}

/* The last component of a name, with ".dll" if it has no extension; a '.' at its end stands for none. */
static NTSTATUS LdrpBaseName(PCUNICODE_STRING Name, PUNICODE_STRING Base)
{
    USHORT Start = Name->Length / sizeof(WCHAR), End = Start;
    BOOLEAN Extended = FALSE;

    while (Start != 0 && Name->Buffer[Start - 1] != '\\' && Name->Buffer[Start - 1] != '/') {
        Extended |= Name->Buffer[--Start] == '.';
    }
    if (Start == End) {
        return STATUS_DLL_NOT_FOUND;
    }
    if (Name->Buffer[End - 1] == '.') {
        End--;
    }
    UNICODE_STRING Last = {(USHORT)((End - Start) * sizeof(WCHAR)), 0, Name->Buffer + Start};
    Base->Length = 0;
    NTSTATUS Status = RtlAppendUnicodeStringToString(Base, &Last);
    return NT_SUCCESS(Status) && !Extended ? RtlAppendUnicodeToString(Base, L".dll") : Status;
}

NTSTATUS LdrpLoad(PCUNICODE_STRING Name, PLDR_DATA_TABLE_ENTRY Importer, PLDR_DATA_TABLE_ENTRY *Image)
{
    WCHAR Buffer[128];
    UNICODE_STRING Base = {0, sizeof(Buffer), Buffer};
    NTSTATUS Status = LdrpBaseName(Name, &Base);
    BOOLEAN Fresh;

    if (!NT_SUCCESS(Status)) {
        return STATUS_DLL_NOT_FOUND;
    }
    *Image = LdrpFindName(&Base);
    Fresh = *Image == NULL;
    if (Fresh) {
        UNICODE_STRING Directory = *Name;

        while (Directory.Length != 0 && Directory.Buffer[Directory.Length / sizeof(WCHAR) - 1] != '\\' &&
               Directory.Buffer[Directory.Length / sizeof(WCHAR) - 1] != '/') {
            Directory.Length -= sizeof(WCHAR);
        }
        Status = LdrpMap(&Directory, &Base, Image);
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
        LdrpEnter(*Image);
    }
    if (Importer != NULL && !LdrpNeeds(Importer, *Image)) {
        return STATUS_NO_MEMORY;
    }
    if (Fresh) {
        Status = LdrpBindImports(*Image);
    }
    return NT_SUCCESS(Status) && Fresh ? LdrpFindTls(*Image) : Status;
}

NTSTATUS LdrpLoadNarrow(PCSTR Name, ULONG Length, PLDR_DATA_TABLE_ENTRY Importer, PLDR_DATA_TABLE_ENTRY *Image)
{
    WCHAR Buffer[128];
    ULONG Bytes = 0;

    if (!NT_SUCCESS(RtlUTF8ToUnicodeN(Buffer, sizeof(Buffer), &Bytes, Name, Length))) {
        return STATUS_DLL_NOT_FOUND;
    }
    UNICODE_STRING Wide = {(USHORT)Bytes, (USHORT)Bytes, Buffer};
    return LdrpLoad(&Wide, Importer, Image);
}

/* ---- The process ---- */

static NTSTATUS LdrpEnterFirst(PLDR_DATA_TABLE_ENTRY Image, PVOID Base, PCUNICODE_STRING Path)
{
    USHORT Start = Path->Length / sizeof(WCHAR);

    Image->FullDllName = *Path;
    while (Start != 0 && Path->Buffer[Start - 1] != '\\') {
        Start--;
    }
    Image->BaseDllName.Buffer = Path->Buffer + Start;
    Image->BaseDllName.Length = Image->BaseDllName.MaximumLength = (USHORT)(Path->Length - Start * sizeof(WCHAR));
    Image->LoadCount = LDRP_PINNED;
    LdrpEnter(Image);
    return LdrpDescribe(Image, Base, PE_MAXIMUM_IMAGE);
}

NTSTATUS LdrpInitializeProcess(PVOID NtdllBase)
{
    static const UNICODE_STRING NtdllPath = RTL_CONSTANT_STRING(L"\\SystemRoot\\System\\ntdll.dll");
    PPEB Peb = LdrpPeb();
    NTSTATUS Status;

    LdrpData.Length = sizeof(LdrpData);
    InitializeListHead(&LdrpData.InLoadOrderModuleList);
    InitializeListHead(&LdrpData.InMemoryOrderModuleList);
    InitializeListHead(&LdrpData.InInitializationOrderModuleList);
    Peb->Ldr = &LdrpData;
    Peb->ProcessHeap = RtlCreateHeap(HEAP_GROWABLE, NULL, 0, 0, NULL, NULL);
    if (Peb->ProcessHeap == NULL) {
        return STATUS_NO_MEMORY;
    }
    Status = LdrpEnterFirst(&LdrpProgram, Peb->ImageBaseAddress, &Peb->ProcessParameters->ImagePathName);
    if (NT_SUCCESS(Status)) {
        Status = LdrpEnterFirst(&LdrpNtdll, NtdllBase, &NtdllPath);
    }
    if (NT_SUCCESS(Status)) {
        LdrpNtdll.EntryPoint = NULL; /* LdrInitializeThunk, which is no DllMain */
        Status = LdrpBindImports(&LdrpProgram);
    }
    if (NT_SUCCESS(Status)) {
        Status = LdrpFindTls(&LdrpProgram);
    }
    if (NT_SUCCESS(Status)) {
        Status = LdrpAllocateThreadTls();
    }
    if (NT_SUCCESS(Status)) {
        LdrpData.Initialized = TRUE;
        Status = LdrpInitializeTree(&LdrpProgram);
    }
    return Status;
}

/* ---- Exports ---- */

/**
 * LdrLoadDll - loads a DLL with all it needs, or counts one more load of it.
 *
 * @Path             directories to look in first, separated by ';'; NULL or odd (Windows' flags): none
 * @Characteristics  must be NULL or hold 0
 * @Name             a base name, which is looked for where the program is and along the process's DllPath, or a path: of NT, or with a
 *                   drive. ".dll" is appended if it has no extension
 * @Base             gets its address
 * returns           STATUS_SUCCESS; STATUS_DLL_NOT_FOUND, STATUS_ENTRYPOINT_NOT_FOUND, STATUS_ORDINAL_NOT_FOUND (of this or of a DLL
 *                   that it needs), STATUS_INVALID_IMAGE_FORMAT and the like, STATUS_DLL_INIT_FAILED (DllMain said no),
 *                   STATUS_NO_MEMORY, STATUS_INVALID_PARAMETER
 */
NTSTATUS NTAPI LdrLoadDll(PWSTR Path, PULONG Characteristics, PUNICODE_STRING Name, PVOID *Base)
{
    PLDR_DATA_TABLE_ENTRY Image;
    NTSTATUS Status;

    if (Characteristics != NULL && *Characteristics != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    RtlEnterCriticalSection(&LdrpLock);
    Status = LdrpLoad(Name, NULL, &Image);
    if (NT_SUCCESS(Status)) {
        if (Image->LoadCount < LDRP_PINNED - 1) {
            Image->LoadCount++;
        }
        Status = LdrpInitializeTree(Image);
        if (!NT_SUCCESS(Status)) {
            Image->LoadCount -= Image->LoadCount != LDRP_PINNED;
        }
    }
    if (NT_SUCCESS(Status)) {
        *Base = Image->DllBase;
    } else {
        LdrpSweep();
    }
    RtlLeaveCriticalSection(&LdrpLock);
    return Status;
}

/* Undoes one LdrLoadDll. STATUS_SUCCESS, also for what stays all the same; STATUS_DLL_NOT_FOUND. */
NTSTATUS NTAPI LdrUnloadDll(PVOID Base)
{
    PLDR_DATA_TABLE_ENTRY Image;

    RtlEnterCriticalSection(&LdrpLock);
    Image = LdrpFindBase(Base);
    if (Image != NULL && Image->LoadCount != LDRP_PINNED && Image->LoadCount != 0) {
        Image->LoadCount--;
        LdrpSweep();
    }
    RtlLeaveCriticalSection(&LdrpLock);
    return Image == NULL ? STATUS_DLL_NOT_FOUND : STATUS_SUCCESS;
}

/* One more load of what is loaded. Flags: 1: it stays as long as the process. STATUS_SUCCESS; STATUS_DLL_NOT_FOUND. */
NTSTATUS NTAPI LdrAddRefDll(ULONG Flags, PVOID Base)
{
    PLDR_DATA_TABLE_ENTRY Image;

    RtlEnterCriticalSection(&LdrpLock);
    Image = LdrpFindBase(Base);
    if (Image != NULL && (Flags & 1) != 0) {
        Image->LoadCount = LDRP_PINNED;
    } else if (Image != NULL && Image->LoadCount < LDRP_PINNED - 1) {
        Image->LoadCount++;
    }
    RtlLeaveCriticalSection(&LdrpLock);
    return Image == NULL ? STATUS_DLL_NOT_FOUND : STATUS_SUCCESS;
}

/* Its DllMain is not told of threads any more. STATUS_SUCCESS; STATUS_DLL_NOT_FOUND. */
NTSTATUS NTAPI LdrDisableThreadCalloutsForDll(PVOID Base)
{
    PLDR_DATA_TABLE_ENTRY Image;

    RtlEnterCriticalSection(&LdrpLock);
    Image = LdrpFindBase(Base);
    if (Image != NULL && Image->TlsIndex == LDRP_NO_TLS) { /* static TLS lives by these calls */
        Image->Flags |= LDRP_DONT_CALL_THREADS;
    }
    RtlLeaveCriticalSection(&LdrpLock);
    return Image == NULL ? STATUS_DLL_NOT_FOUND : STATUS_SUCCESS;
}

/**
 * LdrGetProcedureAddress - the address of an export of a loaded image; a DLL that it is forwarded to is loaded.
 *
 * @Name     NULL: @Ordinal says
 * returns   STATUS_SUCCESS; STATUS_DLL_NOT_FOUND (no image at @Base); STATUS_ENTRYPOINT_NOT_FOUND; STATUS_ORDINAL_NOT_FOUND
 */
NTSTATUS NTAPI LdrGetProcedureAddress(PVOID Base, PANSI_STRING Name, ULONG Ordinal, PVOID *Address)
{
    PLDR_DATA_TABLE_ENTRY Image;
    CHAR Text[256];
    ULONG64 Found = 0;
    NTSTATUS Status = STATUS_DLL_NOT_FOUND;

    if (Name != NULL) {
        if (Name->Length >= sizeof(Text)) {
            return STATUS_ENTRYPOINT_NOT_FOUND;
        }
        RtlCopyMemory(Text, Name->Buffer, Name->Length);
        Text[Name->Length] = 0;
    }
    RtlEnterCriticalSection(&LdrpLock);
    Image = LdrpFindBase(Base);
    if (Image != NULL) {
        Status = LdrpFindExport(Image, Name == NULL ? NULL : Text, Ordinal, &Found);
    }
    if (NT_SUCCESS(Status)) {
        Status = LdrpInitializeTree(Image); /* what it was forwarded to may be new */
    }
    RtlLeaveCriticalSection(&LdrpLock);
    if (NT_SUCCESS(Status)) {
        *Address = (PVOID)Found;
    }
    return Status;
}

/* The base of a loaded image by its base name; STATUS_DLL_NOT_FOUND. Path and characteristics are not looked at. */
NTSTATUS NTAPI LdrGetDllHandle(PWSTR Path, PULONG Characteristics, PUNICODE_STRING Name, PVOID *Base)
{
    WCHAR Buffer[128];
    UNICODE_STRING Wanted = {0, sizeof(Buffer), Buffer};
    PLDR_DATA_TABLE_ENTRY Image = NULL;

    RtlEnterCriticalSection(&LdrpLock);
    if (NT_SUCCESS(LdrpBaseName(Name, &Wanted))) {
        Image = LdrpFindName(&Wanted);
    }
    if (Image != NULL) {
        *Base = Image->DllBase;
    }
    RtlLeaveCriticalSection(&LdrpLock);
    return Image == NULL ? STATUS_DLL_NOT_FOUND : STATUS_SUCCESS;
}
