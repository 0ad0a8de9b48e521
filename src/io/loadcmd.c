/*
 * loadcmd.c - the console's commands for drivers: load, unload, drivers.
 *
 * `load NAME` loads the service NAME, whose key it makes if there is none; `load PATH` takes a file (anything with a backslash or a point in it),
 * names the service after it and makes its key, or changes that key's ImagePath.
 * PASSIVE_LEVEL, the console's thread. PsLoadedModuleResource, shared, while the list is printed.
 */
#include <ntos/console.h>
#include <ntos/sysimage.h>

#include "../console/consolep.h"
#include "iop.h"

#define IOP_SERVICES "\\Registry\\Machine\\System\\CurrentControlSet\\Services\\"

static BOOLEAN IopIsPath(PCSTR Text)
{
    for (; *Text != 0; Text++) {
        if (*Text == '\\' || *Text == '/' || *Text == '.') {
            return TRUE;
        }
    }
    return FALSE;
}

/* The service key for a file or a service's name: the last component, without its extension. */
static NTSTATUS IopServiceKey(PCSTR Text, PUNICODE_STRING Key)
{
    CHAR Name[128];
    PCSTR Start = Text;
    ANSI_STRING Whole;
    ULONG Length = 0;

    for (PCSTR Char = Text; *Char != 0; Char++) {
        Start = (*Char == '\\' || *Char == '/' || *Char == ':') ? Char + 1 : Start;
    }
    RtlCopyMemory(Name, IOP_SERVICES, sizeof(IOP_SERVICES) - 1);
    while (Start[Length] != 0 && Start[Length] != '.' && Length + sizeof(IOP_SERVICES) < sizeof(Name)) {
        Name[sizeof(IOP_SERVICES) - 1 + Length] = Start[Length];
        Length++;
    }
    Name[sizeof(IOP_SERVICES) - 1 + Length] = 0;
    RtlInitAnsiString(&Whole, Name);
    return RtlAnsiStringToUnicodeString(Key, &Whole, TRUE);
}

static NTSTATUS IopSetNumber(PUNICODE_STRING Key, PCWSTR Name, ULONG Value)
{
    return RtlWriteRegistryValue(RTL_REGISTRY_ABSOLUTE, Key->Buffer, Name, REG_DWORD, &Value, sizeof(Value));
}

/* Makes a service key, with an ImagePath if a file was named. */
static NTSTATUS IopMakeService(PUNICODE_STRING Key, PCSTR File)
{
    UNICODE_STRING Path;
    NTSTATUS Status = RtlCreateRegistryKey(RTL_REGISTRY_ABSOLUTE, Key->Buffer);

    if (!NT_SUCCESS(Status) || File == NULL) {
        return Status;
    }
    RtlInitEmptyUnicodeString(&Path, ExAllocatePoolWithTag(PagedPool, CON_PATH_CHARS * sizeof(WCHAR), IOP_TAG_NAME),
                              (CON_PATH_CHARS - 1) * sizeof(WCHAR));
    if (Path.Buffer == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Status = ConpNtPath(File, &Path);
    if (NT_SUCCESS(Status)) {
        Path.Buffer[Path.Length / sizeof(WCHAR)] = 0;
        Status = RtlWriteRegistryValue(RTL_REGISTRY_ABSOLUTE, Key->Buffer, L"ImagePath", REG_EXPAND_SZ, Path.Buffer,
                                       Path.Length + sizeof(WCHAR));
    }
    ExFreePoolWithTag(Path.Buffer, IOP_TAG_NAME);
    Status = NT_SUCCESS(Status) ? IopSetNumber(Key, L"Type", 1) : Status;       /* a kernel driver, */
    Status = NT_SUCCESS(Status) ? IopSetNumber(Key, L"Start", 3) : Status;      /* on demand, */
    return NT_SUCCESS(Status) ? IopSetNumber(Key, L"ErrorControl", 1) : Status; /* whose failure is told */
}

static VOID IopLoadCommand(ULONG ArgumentCount, PCSTR *Arguments)
{
    UNICODE_STRING Key;
    NTSTATUS Status;

    if (ArgumentCount != 2) {
        ConPrint("load: which driver?\n");
        return;
    }
    Status = IopServiceKey(Arguments[1], &Key);
    if (NT_SUCCESS(Status)) {
        Status = IopMakeService(&Key, IopIsPath(Arguments[1]) ? Arguments[1] : NULL);
        if (NT_SUCCESS(Status)) {
            Status = ZwLoadDriver(&Key);
        }
        RtlFreeUnicodeString(&Key);
    }
    if (!NT_SUCCESS(Status)) {
        ConpPrintStatus("load", Arguments[1], Status);
        return;
    }
    ConPrint("load: %s runs\n", Arguments[1]);
}
CONSOLE_COMMAND(IopLoadEntry, "load", "PATH|NAME", "load a driver", IopLoadCommand);

static VOID IopUnloadCommand(ULONG ArgumentCount, PCSTR *Arguments)
{
    UNICODE_STRING Key;
    NTSTATUS Status;

    if (ArgumentCount != 2) {
        ConPrint("unload: which driver?\n");
        return;
    }
    Status = IopServiceKey(Arguments[1], &Key);
    if (NT_SUCCESS(Status)) {
        Status = ZwUnloadDriver(&Key);
        RtlFreeUnicodeString(&Key);
    }
    if (!NT_SUCCESS(Status)) {
        ConpPrintStatus("unload", Arguments[1], Status);
        return;
    }
    ObFlushDeferredDeletes();
    ConPrint("unload: %s unloads\n", Arguments[1]);
}
CONSOLE_COMMAND(IopUnloadEntry, "unload", "NAME", "unload a driver", IopUnloadCommand);

static VOID IopDriversCommand(ULONG ArgumentCount, PCSTR *Arguments)
{
    MM_IMAGE_COUNTERS Counters;

    KeEnterCriticalRegion();
    ExAcquireResourceSharedLite(&PsLoadedModuleResource, TRUE);
    for (PLIST_ENTRY Link = PsLoadedModuleList.Flink; Link != &PsLoadedModuleList; Link = Link->Flink) {
        PKLDR_DATA_TABLE_ENTRY Entry = CONTAINING_RECORD(Link, KLDR_DATA_TABLE_ENTRY, InLoadOrderLinks);

        ConPrint("0x%016llX %8lu %-20s count %u\n", (ULONG64)Entry->DllBase, Entry->SizeOfImage, Entry->Name,
                 Entry->LoadCount);
    }
    ExReleaseResourceLite(&PsLoadedModuleResource);
    KeLeaveCriticalRegion();
    MmQueryImageCounters(&Counters);
    ConPrint("%lld loaded at run time, %lld pages\n", Counters.Images, Counters.Pages);
}
CONSOLE_COMMAND(IopDriversEntry, "drivers", "", "loaded images", IopDriversCommand);
