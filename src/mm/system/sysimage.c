/*
 * sysimage.c - drivers' images at run time: from a file to code that may be called, and back.
 *
 * Loading: the whole file is read into paged pool and checked (src/rtl/peimage.c); a run of addresses in the driver region gets fresh frames,
 * writable and not executable; sections are copied, relocated and bound there; then each page gets what its section
 * asks for: headers and constants read-only, data writable, code executable. No page is ever writable and executable
 * at once. Last, the image is entered where unwinders look (src/ke/image.c). The copy of the file is freed.
 *
 * Import libraries are not loaded by need: what a driver imports from is loaded before it, and counted, so that it stays.
 *
 * Unloading: out of the table first, so that no lookup on any processor finds it any more; then frames and addresses go. The caller vouches that
 * nothing runs in it. The PTEs are dropped on all processors before the frames are free.
 *
 * Lock: PsLoadedModuleResource (exclusive) around binding, entering and removing; not while the file is read. PASSIVE_LEVEL.
 */
#include "../sysimage.h"
#include <ntos/console.h>
#include <ntos/ps.h>
#include <ntos/rtl.h>
#include "../misection.h"
#include "../range.h"

#define PE_SUBSYSTEM_NATIVE 1
#define MI_CODE_BITS        (MI_KERNEL_RO_BITS & ~PTE_NX)

ERESOURCE PsLoadedModuleResource;

static MI_RANGE MiDriverImages; /* (m) made by the first load: a system that loads nothing pays nothing */
static BOOLEAN MiDriverImagesReady;
static volatile LONG64 MiImageCount, MiImagePages;

VOID MmQueryImageCounters(PMM_IMAGE_COUNTERS Counters)
{
    Counters->Images = MiImageCount;
    Counters->Pages = MiImagePages;
}

/* What PE says, as a status. */
static NTSTATUS MiPeStatus(PCUNICODE_STRING Path, PE_STATUS Status)
{
    if (Status == PeOk) {
        return STATUS_SUCCESS;
    }
    ConPrint("%wZ: this driver %s\n", Path, PeStatusText(Status));
    return STATUS_INVALID_IMAGE_FORMAT;
}

static NTSTATUS MiReadWhole(HANDLE Handle, PVOID *File, PULONG Bytes)
{
    FILE_STANDARD_INFORMATION Info;
    LARGE_INTEGER Offset = {.QuadPart = 0};
    IO_STATUS_BLOCK Iosb;
    NTSTATUS Status = ZwQueryInformationFile(Handle, &Iosb, &Info, sizeof(Info), FileStandardInformation);

    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Info.EndOfFile.QuadPart == 0 || Info.EndOfFile.QuadPart > PE_MAXIMUM_IMAGE) {
        return STATUS_INVALID_IMAGE_FORMAT;
    }
    *Bytes = (ULONG)Info.EndOfFile.QuadPart;
    *File = ExAllocatePoolWithTag(PagedPool, *Bytes, MI_TAG_IMAGE);
    if (*File == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Status = ZwReadFile(Handle, NULL, NULL, NULL, &Iosb, *File, *Bytes, &Offset, NULL);
    if (NT_SUCCESS(Status) && Iosb.Information != *Bytes) {
        Status = STATUS_INVALID_IMAGE_FORMAT;
    }
    if (!NT_SUCCESS(Status)) {
        ExFreePoolWithTag(*File, MI_TAG_IMAGE);
    }
    return Status;
}

/* The file's bytes, in a pool buffer that is the caller's to free. */
NTSTATUS MmReadImageFile(PCUNICODE_STRING Path, PVOID *File, PULONG Bytes)
{
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Iosb;
    HANDLE Handle;
    NTSTATUS Status;

    InitializeObjectAttributes(&Attributes, (PUNICODE_STRING)Path, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL,
                               NULL);
    Status = ZwOpenFile(&Handle, FILE_READ_DATA | SYNCHRONIZE, &Attributes, &Iosb, FILE_SHARE_READ,
                        FILE_SYNCHRONOUS_IO_NONALERT | FILE_NON_DIRECTORY_FILE);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = MiReadWhole(Handle, File, Bytes);
    ZwClose(Handle);
    return Status;
}

/* The image's record, with its names. NULL: no memory, or the path has no last component. */
static PMI_SYSTEM_IMAGE MiAllocateImage(PCUNICODE_STRING Path)
{
    USHORT Start = Path->Length / sizeof(WCHAR);
    PMI_SYSTEM_IMAGE Image = ExAllocatePoolWithTag(NonPagedPool, sizeof(*Image) + Path->Length, MI_TAG_IMAGE);

    if (Image == NULL) {
        return NULL;
    }
    RtlZeroMemory(Image, sizeof(*Image) + Path->Length);
    RtlCopyMemory(Image->Path, Path->Buffer, Path->Length);
    while (Start != 0 && Image->Path[Start - 1] != '\\') {
        Start--;
    }
    Image->Entry.FullDllName.Buffer = Image->Path;
    Image->Entry.FullDllName.Length = Image->Entry.FullDllName.MaximumLength = Path->Length;
    Image->Entry.BaseDllName.Buffer = Image->Path + Start;
    Image->Entry.BaseDllName.Length = Image->Entry.BaseDllName.MaximumLength =
        (USHORT)(Path->Length - Start * sizeof(WCHAR));
    for (ULONG Index = 0;
         Index < Image->Entry.BaseDllName.Length / sizeof(WCHAR) && Index < sizeof(Image->Entry.Name) - 1; Index++) {
        WCHAR Char = Image->Entry.BaseDllName.Buffer[Index];

        Image->Entry.Name[Index] = (Char < 0x7F) ? (CHAR)Char : '?';
    }
    Image->Entry.LoadCount = 1;
    return Image;
}

/* .pdata as unwinders trust it: inside the image, in order, every entry and its data inside too. */
static BOOLEAN MiCheckFunctionTable(PMI_SYSTEM_IMAGE Image)
{
    PE_RANGE Range = Image->View.Header.Directory[PE_DIRECTORY_EXCEPTION];
    PRUNTIME_FUNCTION Table = (PRUNTIME_FUNCTION)(Image->View.Base + Range.Rva);
    ULONG Count = Range.Size / sizeof(*Table), End = 0;

    for (ULONG Index = 0; Index < Count; Index++) {
        if (Table[Index].BeginAddress < End || Table[Index].EndAddress <= Table[Index].BeginAddress ||
            Table[Index].EndAddress > Image->Entry.SizeOfImage ||
            Table[Index].UnwindData >= Image->Entry.SizeOfImage - sizeof(UNWIND_INFO)) {
            return FALSE;
        }
        End = Table[Index].EndAddress;
    }
    Image->Entry.ExceptionTable = (Count != 0) ? Table : NULL;
    Image->Entry.ExceptionTableSize = Count * sizeof(*Table);
    return TRUE;
}

/* Addresses and writable pages for the image; its view begins there. */
static NTSTATUS MiMapImage(PMI_SYSTEM_IMAGE Image)
{
    ULONG Pages = Image->View.Header.SizeOfImage / MM_PAGE_SIZE;
    PVOID Base;

    if (!MiDriverImagesReady) {
        if (!MiInitializeRange(&MiDriverImages, (PVOID)MM_DRIVER_IMAGE_BASE, MM_DRIVER_IMAGE_SIZE, MmRegionImages)) {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        MiDriverImagesReady = TRUE;
    }
    Base = MiReserveRange(&MiDriverImages, Pages);
    if (Base == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    if (!MiMapKernelPages(Base, Pages, MI_KERNEL_RW_BITS, MI_FRAME_ZEROED, MmRegionImages)) {
        MiReleaseRange(&MiDriverImages, Base, Pages);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    InterlockedIncrement64(&MiImageCount);
    InterlockedExchangeAdd64(&MiImagePages, Pages);
    Image->View.Base = Base;
    Image->Entry.DllBase = Base;
    Image->Entry.SizeOfImage = Image->View.Header.SizeOfImage;
    Image->Entry.EntryPoint = Image->View.Base + Image->View.Header.EntryRva;
    return STATUS_SUCCESS;
}

/* Drops pages of an image, those that are still there. */
static VOID MiDropPages(PUCHAR Address, ULONG Pages)
{
    for (ULONG Index = 0; Index < Pages; Index++) {
        PVOID Page = Address + Index * MM_PAGE_SIZE;

        if (MiPteOf(Page)->Hard.Valid) {
            MiUnmapKernelPagesByRule(Page, 1, MmRegionImages, MiTlbSystemAtOnce);
            InterlockedDecrement64(&MiImagePages);
        }
    }
}

static VOID MiUnmapImage(PMI_SYSTEM_IMAGE Image)
{
    ULONG Pages = Image->Entry.SizeOfImage / MM_PAGE_SIZE;

    MiDropPages(Image->View.Base, Pages);
    MiReleaseRange(&MiDriverImages, Image->View.Base, Pages);
    InterlockedDecrement64(&MiImageCount);
}

static VOID MiProtectPages(PUCHAR Address, ULONG Pages, ULONG64 Bits)
{
    MI_TLB_FLUSH Flush;

    MiBeginTlbFlush(&Flush, MiTlbSystemAtOnce);
    for (ULONG Index = 0; Index < Pages; Index++) {
        PVOID Page = Address + Index * MM_PAGE_SIZE;
        PMMPTE Pte = MiPteOf(Page);

        MiDowngradePte(&Flush, Pte, Page, MiMakeValidPte(MiPteFrame(*Pte), Bits));
    }
    MiFlushTlb(&Flush);
}

/* Takes write access from everything, then gives each section what it asks for. */
static VOID MiProtectImage(PMI_SYSTEM_IMAGE Image)
{
    MiProtectPages(Image->View.Base, Image->Entry.SizeOfImage / MM_PAGE_SIZE, MI_KERNEL_RO_BITS);
    for (ULONG Index = 0; Index < Image->View.Header.SectionCount; Index++) {
        PE_SECTION Section;
        ULONG Pages;

        PeReadSection(Image->View.Base, &Image->View.Header, Index, &Section);
        Pages = (ULONG)(ALIGN_UP_BY(Section.VirtualSize, MM_PAGE_SIZE) / MM_PAGE_SIZE);
        if ((Section.Flags & PE_SECTION_EXECUTE) != 0) {
            MiProtectPages(Image->View.Base + Section.Rva, Pages, MI_CODE_BITS);
        } else if ((Section.Flags & PE_SECTION_WRITE) != 0) {
            MiProtectPages(Image->View.Base + Section.Rva, Pages, MI_KERNEL_RW_BITS);
        }
    }
}

/* Resource held, view mapped and filled: everything up to the entry in the table of images. */
static NTSTATUS MiFinishImage(PMI_SYSTEM_IMAGE Image)
{
    NTSTATUS Status = MiPeStatus(&Image->Entry.BaseDllName, PeRelocate(&Image->View, (ULONG64)Image->View.Base));

    if (NT_SUCCESS(Status) && !MiCheckFunctionTable(Image)) {
        ConPrint("%wZ: this driver has a damaged function table\n", &Image->Entry.BaseDllName);
        Status = STATUS_INVALID_IMAGE_FORMAT;
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = MiBindImports(Image);
    if (NT_SUCCESS(Status)) {
        MiProtectImage(Image);
        Status = KiEnterImage(&Image->Entry);
    }
    if (!NT_SUCCESS(Status)) {
        MiReleaseImports(Image);
    }
    return Status;
}

static VOID MiLockModules(VOID)
{
    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite(&PsLoadedModuleResource, TRUE);
}

static VOID MiUnlockModules(VOID)
{
    ExReleaseResourceLite(&PsLoadedModuleResource);
    KeLeaveCriticalRegion();
}

static NTSTATUS MiBuildImage(PMI_SYSTEM_IMAGE Image, PVOID File)
{
    NTSTATUS Status;

    MiLockModules();
    if (MiFindModule(Image->Entry.Name) != NULL) {
        Status = STATUS_IMAGE_ALREADY_LOADED;
    } else {
        Status = MiMapImage(Image);
    }
    if (NT_SUCCESS(Status)) {
        PeLayOut(File, &Image->View.Header, Image->View.Base);
        Status = MiFinishImage(Image);
        if (!NT_SUCCESS(Status)) {
            MiUnmapImage(Image);
        }
    }
    MiUnlockModules();
    return Status;
}

NTSTATUS MmLoadSystemImage(PCUNICODE_STRING Path, PKLDR_DATA_TABLE_ENTRY *Entry)
{
    PMI_SYSTEM_IMAGE Image;
    ULONG Bytes;
    PVOID File;
    NTSTATUS Status;

    ASSERT_IRQL(PASSIVE_LEVEL);
    Status = MmReadImageFile(Path, &File, &Bytes);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Image = MiAllocateImage(Path);
    if (Image == NULL) {
        ExFreePoolWithTag(File, MI_TAG_IMAGE);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Status = MiPeStatus(Path, PeReadHeader(File, Bytes, &Image->View.Header));
    if (NT_SUCCESS(Status) &&
        (Image->View.Header.Subsystem != PE_SUBSYSTEM_NATIVE || Image->View.Header.EntryRva == 0)) {
        ConPrint("%wZ: this image is not a driver\n", Path);
        Status = STATUS_INVALID_IMAGE_FORMAT;
    }
    if (NT_SUCCESS(Status)) {
        Status = MiBuildImage(Image, File);
    }
    ExFreePoolWithTag(File, MI_TAG_IMAGE);
    if (!NT_SUCCESS(Status)) {
        ExFreePoolWithTag(Image, MI_TAG_IMAGE);
        return Status;
    }
    *Entry = &Image->Entry;
    VfDriverLoaded();
    MiNotifyDriverImage(&Image->Entry);
    return STATUS_SUCCESS;
}

/* One count less; the last one removes the image. Resource held. An image's own imports follow: as deep as drivers import. */
VOID MiDereferenceImage(PKLDR_DATA_TABLE_ENTRY Entry)
{
    PMI_SYSTEM_IMAGE Image = CONTAINING_RECORD(Entry, MI_SYSTEM_IMAGE, Entry);

    ASSERT(MiIsSystemImage(Entry) && Entry->LoadCount != 0);
    if (--Entry->LoadCount != 0) {
        return;
    }
    VfDriverUnloaded(Entry->DllBase, Entry->SizeOfImage, Entry->Name);
    KiRemoveImage(Entry);
    MiReleaseImports(Image);
    MiUnmapImage(Image);
    ExFreePoolWithTag(Image, MI_TAG_IMAGE);
    VfDriverGone();
}

VOID MmUnloadSystemImage(PKLDR_DATA_TABLE_ENTRY Entry)
{
    ASSERT_IRQL(PASSIVE_LEVEL);
    MiLockModules();
    MiDereferenceImage(Entry);
    MiUnlockModules();
}

static BOOLEAN MiHoldsDirectory(const PE_SECTION *Section, PE_RANGE Range)
{
    return Range.Size != 0 && Range.Rva - Section->Rva < Section->VirtualSize;
}

/* Sections that are of no use once DriverEntry has returned. What lookups and importers read is kept, however it is marked. */
static BOOLEAN MiIsDiscardable(PMI_SYSTEM_IMAGE Image, const PE_SECTION *Section)
{
    static const UCHAR Kept[] = {PE_DIRECTORY_EXPORT, PE_DIRECTORY_IMPORT, PE_DIRECTORY_EXCEPTION, 2 /* resources */};
    ANSI_STRING Name, Init;

    RtlInitAnsiString(&Name, Section->Name);
    RtlInitAnsiString(&Init, "INIT");
    for (ULONG Index = 0; Index < sizeof(Kept); Index++) {
        if (MiHoldsDirectory(Section, Image->View.Header.Directory[Kept[Index]])) {
            return FALSE;
        }
    }
    return (Section->Flags & PE_SECTION_DISCARDABLE) != 0 || RtlEqualString(&Name, &Init, FALSE);
}

VOID MmFreeDriverInitialization(PKLDR_DATA_TABLE_ENTRY Entry)
{
    PMI_SYSTEM_IMAGE Image = CONTAINING_RECORD(Entry, MI_SYSTEM_IMAGE, Entry);

    ASSERT(MiIsSystemImage(Entry));
    for (ULONG Index = 0; Index < Image->View.Header.SectionCount; Index++) {
        PE_SECTION Section;

        PeReadSection(Image->View.Base, &Image->View.Header, Index, &Section);
        if (MiIsDiscardable(Image, &Section)) {
            MiDropPages(Image->View.Base + Section.Rva,
                        (ULONG)(ALIGN_UP_BY(Section.VirtualSize, MM_PAGE_SIZE) / MM_PAGE_SIZE));
        }
    }
}
