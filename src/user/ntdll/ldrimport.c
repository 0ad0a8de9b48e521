/*
 * ldrimport.c - binding: exports by name, by ordinal and through forwarders; import tables at once, delayed ones slot by slot.
 *
 * A forwarder leads to an export of another DLL, which is loaded if it is not there; the image that forwards needs it from then on, as an image needs
 * what it imports from. The page of an import table that is being filled in is writable only meanwhile. What cannot be found is
 * named on the console.
 *
 * Locks: (l) of the caller. Source: Microsoft PE and COFF Specification; Microsoft Learn, "Linker support for delay-loaded DLLs".
 */
#include "ntdllp.h"

#define FORWARD_LIMIT  8 /* forwarders that lead to forwarders: more than two is unheard of */
#define ORDINAL_FLAG   0x8000000000000000ULL
#define DELAY_BY_RVA   1 /* Attributes: what a descriptor holds are RVAs */
#define NAME_SKIP_HINT 2

/* ---- Exports ---- */

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

/* "module.name" or "module.#ordinal": the last '.' parts them. */
static NTSTATUS LdrpForward(PLDR_DATA_TABLE_ENTRY *Image, PCSTR Forwarder, PCSTR *Name, PULONG Ordinal)
{
    ULONG Dot = LdrpLength(Forwarder);

    while (Dot != 0 && Forwarder[Dot] != '.') {
        Dot--;
    }
    if (Dot == 0) {
        return STATUS_INVALID_IMAGE_FORMAT;
    }
    *Name = Forwarder + Dot + 1;
    if (**Name == '#') {
        *Ordinal = LdrpDecimal(*Name + 1);
        *Name = NULL;
    }
    return LdrpLoadNarrow(Forwarder, Dot, *Image, Image);
}

/* An export's address, through forwarders; Name NULL: by ordinal. */
NTSTATUS LdrpFindExport(PLDR_DATA_TABLE_ENTRY Image, PCSTR Name, ULONG Ordinal, PULONG64 Address)
{
    for (ULONG Hop = 0; Hop < FORWARD_LIMIT; Hop++) {
        PE_EXPORT Export;
        PE_STATUS Found = Name != NULL ? PeFindExportByName(&Image->View, Name, &Export)
                                       : PeFindExportByOrdinal(&Image->View, Ordinal, &Export);
        NTSTATUS Status;

        if (Found != PeOk) {
            return Name != NULL ? STATUS_ENTRYPOINT_NOT_FOUND : STATUS_ORDINAL_NOT_FOUND;
        }
        if (Export.Forwarder == NULL) {
            *Address = (ULONG64)Image->DllBase + Export.Rva;
            return STATUS_SUCCESS;
        }
        Status = LdrpForward(&Image, Export.Forwarder, &Name, &Ordinal);
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
    }
    return STATUS_INVALID_IMAGE_FORMAT;
}

/* ---- Slots ---- */

/* Writes an address into an image's table, whatever the protection there. */
static NTSTATUS LdrpFill(PLDR_DATA_TABLE_ENTRY Image, ULONG SlotRva, ULONG64 Address)
{
    PVOID Page = Image->View.Base + SlotRva;
    SIZE_T Size = sizeof(ULONG64);
    ULONG Old;
    NTSTATUS Status = NtProtectVirtualMemory(ZwCurrentProcess(), &Page, &Size, PAGE_READWRITE, &Old);

    if (NT_SUCCESS(Status)) {
        InterlockedExchange64((volatile LONG64 *)(Image->View.Base + SlotRva), (LONG64)Address);
        Status = NtProtectVirtualMemory(ZwCurrentProcess(), &Page, &Size, Old, &Old);
    }
    return Status;
}

/* The page of a table that is writable for now, so that a table costs two calls a page and not two a slot. */
typedef struct _LDRP_OPEN_PAGE {
    PVOID Page; /* NULL: none */
    ULONG Protection;
} LDRP_OPEN_PAGE, *PLDRP_OPEN_PAGE;

static NTSTATUS LdrpClosePage(PLDRP_OPEN_PAGE Open)
{
    SIZE_T Size = PAGE_SIZE;
    ULONG Old;
    NTSTATUS Status = STATUS_SUCCESS;

    if (Open->Page != NULL) {
        Status = NtProtectVirtualMemory(ZwCurrentProcess(), &Open->Page, &Size, Open->Protection, &Old);
        Open->Page = NULL;
    }
    return Status;
}

static NTSTATUS LdrpOpenPage(PLDRP_OPEN_PAGE Open, PVOID Slot)
{
    SIZE_T Size = PAGE_SIZE;
    NTSTATUS Status = STATUS_SUCCESS;

    if (Open->Page != PAGE_ALIGN(Slot)) {
        Status = LdrpClosePage(Open);
        if (NT_SUCCESS(Status)) {
            PVOID Page = PAGE_ALIGN(Slot);

            Status = NtProtectVirtualMemory(ZwCurrentProcess(), &Page, &Size, PAGE_READWRITE, &Open->Protection);
            Open->Page = NT_SUCCESS(Status) ? Page : NULL;
        }
    }
    return Status;
}

/* ---- Imports ---- */

static VOID LdrpReport(NTSTATUS Status, const PE_IMPORT *Import, PLDR_DATA_TABLE_ENTRY Importer, BOOLEAN Loaded)
{
    if (!Loaded && Status == STATUS_DLL_NOT_FOUND) {
        DbgPrint("%wZ: needs %s, which is not there\n", &Importer->BaseDllName, Import->Module);
    } else if (!Loaded) {
        DbgPrint("%wZ: needs %s, which does not load: 0x%08lX\n", &Importer->BaseDllName, Import->Module, Status);
    } else if (Import->Name != NULL) {
        DbgPrint("%wZ: %s has no %s\n", &Importer->BaseDllName, Import->Module, Import->Name);
    } else {
        DbgPrint("%wZ: %s has no ordinal %lu\n", &Importer->BaseDllName, Import->Module, (ULONG)Import->Ordinal);
    }
}

/* Fills one slot. Module: what the import before it was from, to be looked for no more than once. */
static NTSTATUS LdrpBindOne(PLDR_DATA_TABLE_ENTRY Image, const PE_IMPORT *Import, PCSTR *ModuleName,
                            PLDR_DATA_TABLE_ENTRY *Module, PLDRP_OPEN_PAGE Open)
{
    ULONG64 Address = 0;
    BOOLEAN Loaded = *ModuleName == Import->Module;
    NTSTATUS Status = STATUS_SUCCESS;

    if (!Loaded) {
        Status = LdrpLoadNarrow(Import->Module, LdrpLength(Import->Module), Image, Module);
        Loaded = NT_SUCCESS(Status);
        *ModuleName = Loaded ? Import->Module : NULL;
    }
    if (Loaded) {
        Status = LdrpFindExport(*Module, Import->Name, Import->Ordinal, &Address);
    }
    if (!NT_SUCCESS(Status)) {
        LdrpReport(Status, Import, Image, Loaded);
        return Status;
    }
    Status = LdrpOpenPage(Open, Image->View.Base + Import->SlotRva);
    if (NT_SUCCESS(Status)) {
        *(PULONG64)(Image->View.Base + Import->SlotRva) = Address;
    }
    return Status;
}

NTSTATUS LdrpBindImports(PLDR_DATA_TABLE_ENTRY Image)
{
    PE_IMPORT_CURSOR Cursor = {0};
    LDRP_OPEN_PAGE Open = {0};
    PLDR_DATA_TABLE_ENTRY Module = NULL;
    PCSTR ModuleName = NULL;
    PE_IMPORT Import;
    PE_STATUS Found;
    NTSTATUS Status = STATUS_SUCCESS, Closed;

    while (NT_SUCCESS(Status) && (Found = PeNextImport(&Image->View, &Cursor, &Import)) != PeNotFound) {
        Status = Found == PeOk ? LdrpBindOne(Image, &Import, &ModuleName, &Module, &Open) : STATUS_INVALID_IMAGE_FORMAT;
    }
    Closed = LdrpClosePage(&Open);
    return NT_SUCCESS(Status) ? Closed : Status;
}

/* ---- Delayed imports ---- */

/* The import that a slot of a delayed table stands for. */
static NTSTATUS LdrpDelayed(PLDR_DATA_TABLE_ENTRY Image, const ORIEL_DELAYLOAD_DESCRIPTOR *Descriptor, PVOID *Slot,
                            PE_IMPORT *Import)
{
    PVOID *Table = (PVOID *)(Image->View.Base + Descriptor->ImportAddressTableRva);
    ULONG64 Thunk;

    if ((Descriptor->Attributes & DELAY_BY_RVA) == 0 || Slot < Table ||
        (PUCHAR)(Slot + 1) > Image->View.Base + Image->SizeOfImage) {
        return STATUS_INVALID_PARAMETER;
    }
    Thunk = ((PULONG64)(Image->View.Base + Descriptor->ImportNameTableRva))[Slot - Table];
    Import->Module = (PCSTR)Image->View.Base + Descriptor->DllNameRva;
    Import->Name = (Thunk & ORDINAL_FLAG) != 0 ? NULL : (PCSTR)Image->View.Base + (ULONG)Thunk + NAME_SKIP_HINT;
    Import->Ordinal = (USHORT)Thunk;
    Import->SlotRva = (ULONG)((PUCHAR)Slot - Image->View.Base);
    return STATUS_SUCCESS;
}

static NTSTATUS LdrpBindDelayed(PLDR_DATA_TABLE_ENTRY Image, const PE_IMPORT *Import, PULONG64 Address)
{
    PLDR_DATA_TABLE_ENTRY Module;
    NTSTATUS Status = LdrpLoadNarrow(Import->Module, LdrpLength(Import->Module), Image, &Module);
    BOOLEAN Loaded = NT_SUCCESS(Status);

    if (Loaded) {
        Status = LdrpFindExport(Module, Import->Name, Import->Ordinal, Address);
    }
    if (!NT_SUCCESS(Status)) {
        LdrpReport(Status, Import, Image, Loaded);
        return Status;
    }
    Status = LdrpInitializeTree(Image);
    return NT_SUCCESS(Status) ? LdrpFill(Image, Import->SlotRva, *Address) : Status;
}

/**
 * LdrResolveDelayLoadedAPI - what a delay-load thunk calls the first time: loads the DLL, fills in the slot.
 *
 * @Base        the image that imports; @Descriptor is its
 * @FailureHook, @SystemHook  are not called
 * @Slot        in the delayed import address table
 * @Flags       0
 * returns      the address; what cannot be had raises the status that loading gave, after the console was told its name
 */
PVOID NTAPI LdrResolveDelayLoadedAPI(PVOID Base, const ORIEL_DELAYLOAD_DESCRIPTOR *Descriptor, PVOID FailureHook,
                                     PVOID SystemHook, PVOID *Slot, ULONG Flags)
{
    PLDR_DATA_TABLE_ENTRY Image = LdrpFindImage((ULONG64)Base);
    ULONG64 Address = 0;
    PE_IMPORT Import;
    NTSTATUS Status;

    if (Image == NULL || Image->DllBase != Base) {
        RtlRaiseStatus(STATUS_DLL_NOT_FOUND);
    }
    RtlEnterCriticalSection(&LdrpLock);
    Status = LdrpDelayed(Image, Descriptor, Slot, &Import);
    if (NT_SUCCESS(Status)) {
        Status = LdrpBindDelayed(Image, &Import, &Address);
    }
    if (!NT_SUCCESS(Status)) {
        LdrpSweep();
    }
    RtlLeaveCriticalSection(&LdrpLock);
    if (!NT_SUCCESS(Status)) {
        RtlRaiseStatus(Status);
    }
    return (PVOID)Address;
}
