/*
 * sysbind.c - binding a driver's imports against what is loaded.
 *
 * Exporters are found by file name, without regard to case, on PsLoadedModuleList; hal.dll is the kernel. A forwarder names module and
 * symbol and is followed a few steps. An image that a driver loaded at run time imports from is counted, so that it cannot go
 * first; boot images never go.
 *
 * A symbol that cannot be found is named on the console with the module that should have it, and the load fails: a driver with a
 * hole in it must never run. Lock: the caller holds PsLoadedModuleResource exclusive. PASSIVE_LEVEL.
 */
#include "../sysimage.h"
#include <ntos/console.h>

#define MI_FORWARDER_DEPTH 8
#define MI_MODULE_NAME     64

/* Where an import leads. */
typedef struct _MI_SYMBOL {
    PKLDR_DATA_TABLE_ENTRY Module;
    PCSTR Name; /* NULL: by ordinal */
    ULONG Ordinal;
} MI_SYMBOL, *PMI_SYMBOL;

static BOOLEAN MiEqualNames(PCSTR A, PCSTR B)
{
    ANSI_STRING First, Second;

    RtlInitAnsiString(&First, A);
    RtlInitAnsiString(&Second, B);
    return RtlEqualString(&First, &Second, TRUE);
}

PKLDR_DATA_TABLE_ENTRY MiFindModule(PCSTR Name)
{
    if (MiEqualNames(Name, "hal.dll")) {
        Name = "ntoskrnl.exe";
    }
    for (PLIST_ENTRY Link = PsLoadedModuleList.Flink; Link != &PsLoadedModuleList; Link = Link->Flink) {
        PKLDR_DATA_TABLE_ENTRY Entry = CONTAINING_RECORD(Link, KLDR_DATA_TABLE_ENTRY, InLoadOrderLinks);

        if (MiEqualNames(Entry->Name, Name)) {
            return Entry;
        }
    }
    return NULL;
}

/* Forwarders leave the extension out: .exe for the kernel, .dll for hal, .sys for drivers. */
static PKLDR_DATA_TABLE_ENTRY MiFindForwarderModule(PSTR Module, ULONG Length)
{
    static const PCSTR Extensions[] = {".dll", ".exe", ".sys"};

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Extensions); Index++) {
        PKLDR_DATA_TABLE_ENTRY Found;

        RtlCopyMemory(Module + Length, Extensions[Index], 5);
        Found = MiFindModule(Module);
        if (Found != NULL) {
            return Found;
        }
    }
    return NULL;
}

/* "module.name" or "module.#ordinal": splits at the last dot, since module names may have dots and symbols do not. */
static BOOLEAN MiFollowForwarder(PCSTR Forwarder, PMI_SYMBOL Symbol)
{
    CHAR Module[MI_MODULE_NAME];
    ULONG Dot = 0, Value = 0;

    for (ULONG Index = 0; Forwarder[Index] != 0; Index++) {
        Dot = (Forwarder[Index] == '.') ? Index : Dot;
    }
    if (Dot == 0 || Dot > MI_MODULE_NAME - 5) {
        return FALSE;
    }
    RtlCopyMemory(Module, Forwarder, Dot);
    Symbol->Module = MiFindForwarderModule(Module, Dot);
    Symbol->Name = Forwarder + Dot + 1;
    if (*Symbol->Name == '#') {
        for (PCSTR Digit = Symbol->Name + 1; *Digit >= '0' && *Digit <= '9' && Value <= MAXUSHORT; Digit++) {
            Value = Value * 10 + (ULONG)(*Digit - '0');
        }
        Symbol->Name = NULL;
        Symbol->Ordinal = Value;
    }
    return Symbol->Module != NULL;
}

/* The address of a symbol, and in Symbol->Module the image it lies in; 0: there is none. */
static ULONG64 MiResolveSymbol(PMI_SYMBOL Symbol)
{
    for (ULONG Depth = 0; Depth < MI_FORWARDER_DEPTH; Depth++) {
        PE_VIEW View = {.Base = Symbol->Module->DllBase};
        PE_EXPORT Export;
        PE_STATUS Status = PeReadLoadedHeader(View.Base, Symbol->Module->SizeOfImage, &View.Header);

        if (Status == PeOk) {
            Status = (Symbol->Name != NULL) ? PeFindExportByName(&View, Symbol->Name, &Export)
                                            : PeFindExportByOrdinal(&View, Symbol->Ordinal, &Export);
        }
        if (Status != PeOk) {
            return 0;
        }
        if (Export.Forwarder == NULL) {
            return (ULONG64)View.Base + Export.Rva;
        }
        if (!MiFollowForwarder(Export.Forwarder, Symbol)) {
            return 0;
        }
    }
    return 0;
}

/* Keeps the exporter loaded as long as Image is. */
static NTSTATUS MiCountImport(PMI_SYSTEM_IMAGE Image, PKLDR_DATA_TABLE_ENTRY Exporter)
{
    if (!MiIsSystemImage(Exporter)) {
        return STATUS_SUCCESS;
    }
    for (ULONG Index = 0; Index < Image->ImportCount; Index++) {
        if (Image->Imports[Index] == Exporter) {
            return STATUS_SUCCESS;
        }
    }
    if (Image->ImportCount == MI_IMAGE_IMPORTERS) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Exporter->LoadCount++;
    Image->Imports[Image->ImportCount++] = Exporter;
    return STATUS_SUCCESS;
}

static NTSTATUS MiBindImport(PMI_SYSTEM_IMAGE Image, const PE_IMPORT *Import)
{
    MI_SYMBOL Symbol = {.Module = MiFindModule(Import->Module), .Name = Import->Name, .Ordinal = Import->Ordinal};
    ULONG64 Address;

    if (Symbol.Module == NULL) {
        ConPrint("%s: imports %s from %s, which is not loaded\n", Image->Entry.Name,
                 (Import->Name != NULL) ? Import->Name : "an ordinal", Import->Module);
        return STATUS_DRIVER_ENTRYPOINT_NOT_FOUND;
    }
    Address = MiResolveSymbol(&Symbol);
    if (Address == 0 && Import->Name != NULL) {
        ConPrint("%s: imports %s, which %s does not export\n", Image->Entry.Name, Import->Name, Import->Module);
        return STATUS_DRIVER_ENTRYPOINT_NOT_FOUND;
    }
    if (Address == 0) {
        ConPrint("%s: imports ordinal %lu, which %s does not export\n", Image->Entry.Name, (ULONG)Import->Ordinal,
                 Import->Module);
        return STATUS_DRIVER_ORDINAL_NOT_FOUND;
    }
    RtlCopyMemory(Image->View.Base + Import->SlotRva, &Address, sizeof(Address));
    return MiCountImport(Image, Symbol.Module);
}

NTSTATUS MiBindImports(PMI_SYSTEM_IMAGE Image)
{
    PE_IMPORT_CURSOR Cursor = {0};
    PE_IMPORT Import;
    PE_STATUS Found;
    NTSTATUS Status = STATUS_SUCCESS;

    while ((Found = PeNextImport(&Image->View, &Cursor, &Import)) == PeOk) {
        NTSTATUS One = MiBindImport(Image, &Import);

        if (NT_SUCCESS(Status)) {
            Status = One; /* go on: the console names everything that is missing, not only the first */
        }
    }
    if (Found != PeNotFound) {
        ConPrint("%s: this driver %s\n", Image->Entry.Name, PeStatusText(Found));
        return STATUS_INVALID_IMAGE_FORMAT;
    }
    return Status;
}

VOID MiReleaseImports(PMI_SYSTEM_IMAGE Image)
{
    while (Image->ImportCount != 0) {
        MiDereferenceImage(Image->Imports[--Image->ImportCount]);
    }
}
