/*
 * image.c - executables and DLLs in the address space of a program.
 *
 * An image is mapped through an image section: its pages come from the file as they are touched, relocated once for all processes,
 * with the protections of its sections (src/mm/sections/imagesect.c). What the kernel wants to know of ntdll, the addresses of its
 * dispatchers, is read from the file when it is first mapped; its section is kept from then on, so that it stays where it is.
 *
 * Locks: PspDllMutex around the first look at a DLL of the kernel's. IRQL: PASSIVE_LEVEL.
 *
 * Source: Microsoft PE and COFF Specification.
 */
#include "psp.h"

#include <ntos/init.h>
#include <ntos/peimage.h>
#include <ntos/program.h>
#include <ntos/section.h>

#define PE_CHARACTERISTIC_DLL 0x2000
#define PSP_MOST_EXPORTS      8

/* The DLL in which the kernel knows exports: ntdll. */
static struct {
    PVOID Section;               /* referenced for good */
    ULONG Rva[PSP_MOST_EXPORTS]; /* in the order in which they were asked for */
} PspDll;                        /* (PspDllMutex); (c) once Section is set */
static FAST_MUTEX PspDllMutex;

VOID PspInitializeImages(VOID)
{
    ExInitializeFastMutex(&PspDllMutex);
    VfNameLock(&PspDllMutex, "PspDllMutex");
}

/* ---- Exports, from the file ---- */

static NTSTATUS StatusOf(PE_STATUS Status)
{
    return Status == PeOk         ? STATUS_SUCCESS
           : Status == PeNotImage ? STATUS_INVALID_IMAGE_NOT_MZ
                                  : STATUS_INVALID_IMAGE_FORMAT;
}

static NTSTATUS FindExports(const PE_VIEW *View, const PSP_EXPORT *Exports, ULONG Count)
{
    for (ULONG Index = 0; Index < Count; Index++) {
        PE_EXPORT Found;
        PE_STATUS Status = PeFindExportByName(View, Exports[Index].Name, &Found);

        if (Status != PeOk || Found.Forwarder != NULL) {
            return STATUS_ENTRYPOINT_NOT_FOUND;
        }
        PspDll.Rva[Index] = Found.Rva;
    }
    return STATUS_SUCCESS;
}

static NTSTATUS ReadExports(PCUNICODE_STRING Path, const PSP_EXPORT *Exports, ULONG Count)
{
    PE_VIEW View;
    PVOID File;
    ULONG Bytes;
    NTSTATUS Status = MmReadImageFile(Path, &File, &Bytes);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = StatusOf(PeReadHeader(File, Bytes, &View.Header));
    if (NT_SUCCESS(Status)) {
        View.Base = ExAllocatePoolWithTag(PagedPool, View.Header.SizeOfImage, PSP_TAG_PROGRAM);
        Status = View.Base == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
    }
    if (NT_SUCCESS(Status)) {
        PeLayOut(File, &View.Header, View.Base);
        Status = FindExports(&View, Exports, Count);
        ExFreePoolWithTag(View.Base, PSP_TAG_PROGRAM);
    }
    ExFreePool(File);
    return Status;
}

/* ---- Sections ---- */

NTSTATUS PspOpenImage(PCUNICODE_STRING Path, PVOID *Section)
{
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Iosb;
    PFILE_OBJECT File;
    HANDLE Handle;
    NTSTATUS Status;

    InitializeObjectAttributes(&Attributes, (PUNICODE_STRING)Path, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL,
                               NULL);
    Status = ZwOpenFile(&Handle, FILE_READ_DATA | FILE_EXECUTE | SYNCHRONIZE, &Attributes, &Iosb, FILE_SHARE_READ,
                        FILE_SYNCHRONOUS_IO_NONALERT | FILE_NON_DIRECTORY_FILE);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ObReferenceObjectByHandle(Handle, FILE_EXECUTE, *IoFileObjectType, KernelMode, (PVOID *)&File, NULL);
    if (NT_SUCCESS(Status)) {
        Status = MmCreateSection(Section, SECTION_ALL_ACCESS, NULL, NULL, PAGE_EXECUTE, SEC_IMAGE, NULL, File);
        ObDereferenceObject(File);
    }
    ZwClose(Handle);
    return Status;
}

/* The same for the DLL whose exports are wanted, which is opened once. */
static NTSTATUS OpenDll(PCUNICODE_STRING Path, const PSP_EXPORT *Exports, ULONG Count, PVOID *Section)
{
    NTSTATUS Status = STATUS_SUCCESS;

    ExAcquireFastMutex(&PspDllMutex);
    if (PspDll.Section == NULL) {
        ExReleaseFastMutex(&PspDllMutex);
        Status = ReadExports(Path, Exports, Count); /* by whoever comes first; the same values each time */
        if (NT_SUCCESS(Status)) {
            Status = PspOpenImage(Path, Section);
        }
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
        ExAcquireFastMutex(&PspDllMutex);
        if (PspDll.Section == NULL) {
            PspDll.Section = *Section;
            ObReferenceObject(*Section);
        }
        ExReleaseFastMutex(&PspDllMutex);
        return STATUS_SUCCESS;
    }
    *Section = PspDll.Section;
    ObReferenceObject(*Section);
    ExReleaseFastMutex(&PspDllMutex);
    return STATUS_SUCCESS;
}

/* Maps an image section into a process that does not run yet. STATUS_SECTION_NOT_IMAGE; what mapping says. */
NTSTATUS PspMapSection(PEPROCESS Process, PVOID Section, PPSP_IMAGE Image)
{
    SECTION_IMAGE_INFORMATION Information;
    PVOID Base = NULL;
    SIZE_T Size = 0;
    NTSTATUS Status = STATUS_SECTION_NOT_IMAGE;

    if (!MmIsImageSection(Section)) {
        return Status;
    }
    Status = MmMapViewOfSection(Section, Process, &Base, 0, 0, NULL, &Size, ViewShare, 0, PAGE_EXECUTE_READ);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    MmQueryImageSection(Section, &Information, &Image->EntryRva);
    Image->Information = Information;
    Image->Base = (ULONG64)Base;
    Image->Size = (ULONG)Size;
    Image->Subsystem = Information.SubSystemType;
    Image->IsDll = (Information.ImageCharacteristics & PE_CHARACTERISTIC_DLL) != 0;
    Image->StackReserve = Information.MaximumStackSize;
    Image->StackCommit = Information.CommittedStackSize;
    /* Nothing but the program and ntdll is there yet: only an image that cannot be moved finds its place taken. */
    return Status == STATUS_IMAGE_NOT_AT_BASE ? STATUS_CONFLICTING_ADDRESSES : STATUS_SUCCESS;
}

/**
 * PspMapDll - maps the DLL that the kernel knows exports of into a process that does not run yet.
 *
 * @Path     NT path
 * @Image    filled in
 * @Exports  Count names whose addresses are wanted, the same names each time
 * returns   STATUS_SUCCESS; what opening or reading says; STATUS_INVALID_IMAGE_NOT_MZ, STATUS_INVALID_IMAGE_FORMAT;
 *           STATUS_CONFLICTING_ADDRESSES; STATUS_ENTRYPOINT_NOT_FOUND; what memory says
 *
 * IRQL: PASSIVE_LEVEL. What was mapped before a failure stays, for the process to be given up.
 */
NTSTATUS PspMapDll(PEPROCESS Process, PCUNICODE_STRING Path, PPSP_IMAGE Image, PPSP_EXPORT Exports, ULONG Count)
{
    PVOID Section;
    NTSTATUS Status;

    ASSERT(Count <= PSP_MOST_EXPORTS);
    Status = OpenDll(Path, Exports, Count, &Section);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = PspMapSection(Process, Section, Image);
    ObDereferenceObject(Section);
    for (ULONG Index = 0; Index < Count && NT_SUCCESS(Status); Index++) {
        *Exports[Index].Address = Image->Base + PspDll.Rva[Index];
    }
    return Status;
}
