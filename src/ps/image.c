/*
 * image.c - executables and DLLs in the address space of a program.
 *
 * The file is read, checked and laid out in the kernel, relocated for its address, and copied into fresh private memory of the
 * process, whose pages then get what their sections ask for: code read and execute, constants read-only, data writable; never
 * writable and executable. The kernel trusts nothing of it but what src/rtl/peimage.c has checked.
 *
 * Locks: none. IRQL: PASSIVE_LEVEL.
 *
 * Source: Microsoft PE and COFF Specification.
 */
#include "psp.h"

#include <ntos/init.h>
#include <ntos/peimage.h>
#include <ntos/program.h>

#define PE_CHARACTERISTIC_DLL 0x2000
#define PE_POINTER            0x3C          /* in the DOS header */
#define PE_STACK_RESERVE      (0x18 + 0x48) /* from the PE signature: in the PE32+ optional header */
#define PE_STACK_COMMIT       (0x18 + 0x50)

/* An image on its way into a process. */
typedef struct _PSP_LAYOUT {
    PVOID File; /* pool */
    ULONG FileBytes;
    PE_VIEW View; /* pool, SizeOfImage bytes */
} PSP_LAYOUT, *PPSP_LAYOUT;

static NTSTATUS StatusOf(PE_STATUS Status)
{
    return Status == PeOk             ? STATUS_SUCCESS
           : Status == PeNotFound     ? STATUS_ENTRYPOINT_NOT_FOUND
           : Status == PeNotImage     ? STATUS_INVALID_IMAGE_NOT_MZ
           : Status == PeNoRelocation ? STATUS_CONFLICTING_ADDRESSES
                                      : STATUS_INVALID_IMAGE_FORMAT;
}

static VOID FreeLayout(PPSP_LAYOUT Layout)
{
    if (Layout->View.Base != NULL) {
        ExFreePoolWithTag(Layout->View.Base, PSP_TAG_PROGRAM);
    }
    if (Layout->File != NULL) {
        ExFreePool(Layout->File);
    }
}

static NTSTATUS ReadLayout(PCUNICODE_STRING Path, PPSP_LAYOUT Layout)
{
    NTSTATUS Status = MmReadImageFile(Path, &Layout->File, &Layout->FileBytes);

    if (!NT_SUCCESS(Status)) {
        Layout->File = NULL;
        return Status;
    }
    Status = StatusOf(PeReadHeader(Layout->File, Layout->FileBytes, &Layout->View.Header));
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Layout->View.Base = ExAllocatePoolWithTag(PagedPool, Layout->View.Header.SizeOfImage, PSP_TAG_PROGRAM);
    if (Layout->View.Base == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    PeLayOut(Layout->File, &Layout->View.Header, Layout->View.Base);
    return STATUS_SUCCESS;
}

static VOID Describe(const PSP_LAYOUT *Layout, PPSP_IMAGE Image)
{
    const UCHAR *Headers = (const UCHAR *)Layout->File + *(const ULONG *)((const UCHAR *)Layout->File + PE_POINTER);

    Image->Size = Layout->View.Header.SizeOfImage;
    Image->EntryRva = Layout->View.Header.EntryRva;
    Image->Subsystem = Layout->View.Header.Subsystem;
    Image->IsDll = (Layout->View.Header.Characteristics & PE_CHARACTERISTIC_DLL) != 0;
    Image->StackReserve = *(const ULONG64 *)(Headers + PE_STACK_RESERVE);
    Image->StackCommit = *(const ULONG64 *)(Headers + PE_STACK_COMMIT);
}

/* ---- Into the process, which is attached ---- */

/* A random place above the middle of the user half, for images that may lie anywhere. */
static ULONG64 RandomBase(VOID)
{
    return 0x00007FF600000000ULL + ((__rdtsc() * 0x9E3779B97F4A7C15ULL >> 48) << 16);
}

static NTSTATUS Reserve(const PSP_LAYOUT *Layout, PPSP_IMAGE Image)
{
    BOOLEAN Movable = Layout->View.Header.Directory[PE_DIRECTORY_RELOCATION].Size != 0;
    BOOLEAN Random = Movable && Image->WantedBase == 0 && !KeBootOption("nokaslr", NULL, 0);
    PVOID Base = (PVOID)(Image->WantedBase != 0 ? Image->WantedBase
                         : Random               ? RandomBase()
                                                : Layout->View.Header.ImageBase);
    SIZE_T Size = Image->Size;
    NTSTATUS Status =
        ZwAllocateVirtualMemory(ZwCurrentProcess(), &Base, 0, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);

    if (!NT_SUCCESS(Status) && Movable && Image->WantedBase == 0) {
        Base = NULL;
        Size = Image->Size;
        Status = ZwAllocateVirtualMemory(ZwCurrentProcess(), &Base, 0, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    }
    Image->Base = (ULONG64)Base;
    return Status;
}

static NTSTATUS ProtectRange(ULONG64 Start, SIZE_T Bytes, ULONG Protection)
{
    PVOID Base = (PVOID)Start;
    ULONG Old;

    return Bytes == 0 ? STATUS_SUCCESS : ZwProtectVirtualMemory(ZwCurrentProcess(), &Base, &Bytes, Protection, &Old);
}

static NTSTATUS ProtectImage(const PSP_LAYOUT *Layout, const PSP_IMAGE *Image)
{
    NTSTATUS Status = ProtectRange(Image->Base, Image->Size, PAGE_READONLY);

    for (ULONG Index = 0; Index < Layout->View.Header.SectionCount && NT_SUCCESS(Status); Index++) {
        PE_SECTION Section;
        ULONG Protection;

        PeReadSection(Layout->File, &Layout->View.Header, Index, &Section);
        Protection = (Section.Flags & PE_SECTION_EXECUTE) != 0 ? PAGE_EXECUTE_READ
                     : (Section.Flags & PE_SECTION_WRITE) != 0 ? PAGE_READWRITE
                                                               : PAGE_READONLY;
        Status = ProtectRange(Image->Base + Section.Rva, ROUND_TO_PAGES(Section.VirtualSize), Protection);
    }
    return Status;
}

static NTSTATUS PlaceImage(const PSP_LAYOUT *Layout, PPSP_IMAGE Image)
{
    NTSTATUS Status = Reserve(Layout, Image);

    if (NT_SUCCESS(Status)) {
        Status = StatusOf(PeRelocate(&Layout->View, Image->Base));
    }
    if (NT_SUCCESS(Status)) {
        Status = MmCopyToUser((PVOID)Image->Base, Layout->View.Base, Image->Size);
    }
    return NT_SUCCESS(Status) ? ProtectImage(Layout, Image) : Status;
}

/* ---- The whole ---- */

static NTSTATUS FindExports(const PSP_LAYOUT *Layout, ULONG64 Base, PPSP_EXPORT Exports, ULONG Count)
{
    for (ULONG Index = 0; Index < Count; Index++) {
        PE_EXPORT Found;
        PE_STATUS Status = PeFindExportByName(&Layout->View, Exports[Index].Name, &Found);

        if (Status != PeOk || Found.Forwarder != NULL) {
            return STATUS_ENTRYPOINT_NOT_FOUND;
        }
        *Exports[Index].Address = Base + Found.Rva;
    }
    return STATUS_SUCCESS;
}

/**
 * PspMapImage - maps an image file into a process.
 *
 * @Path     NT path
 * @Image    WantedBase is given, the rest is filled in
 * @Exports  Count names whose addresses are wanted
 * returns   STATUS_SUCCESS; what opening or reading says; STATUS_INVALID_IMAGE_NOT_MZ, STATUS_INVALID_IMAGE_FORMAT;
 *           STATUS_CONFLICTING_ADDRESSES; STATUS_ENTRYPOINT_NOT_FOUND; what memory says
 *
 * IRQL: PASSIVE_LEVEL. What was mapped before a failure stays, for the process to be given up.
 */
NTSTATUS PspMapImage(PEPROCESS Process, PCUNICODE_STRING Path, PPSP_IMAGE Image, PPSP_EXPORT Exports, ULONG Count)
{
    PSP_LAYOUT Layout = {0};
    KAPC_STATE State;
    NTSTATUS Status = ReadLayout(Path, &Layout);

    if (NT_SUCCESS(Status)) {
        Describe(&Layout, Image);
        KeStackAttachProcess((PVOID)Process, &State);
        Status = PlaceImage(&Layout, Image);
        KeUnstackDetachProcess(&State);
    }
    if (NT_SUCCESS(Status)) {
        Status = FindExports(&Layout, Image->Base, Exports, Count);
    }
    FreeLayout(&Layout);
    return Status;
}
