/*
 * imagesect.c - control areas of images: what an executable file is, where it lies, and what its pages may be used for.
 *
 * The headers are read through the file's data section and checked by src/rtl/peimage.c; every section of the image becomes a
 * subsection with a protection of its own: code read and executed, constants read, data copied on write. Sections must follow one
 * another without a gap. The image gets one address for as long as its control area lives, preferred by every process; its
 * relocations, checked here once, are applied to each page as it is made (imagepage.c), so that all processes share it.
 *
 * The address is random within a range for programs that say they can be moved and one for DLLs (aslr.c); DLLs are laid out one behind the
 * other, so that they do not get into each other's way. An image whose relocations were stripped has the address that it was linked for.
 *
 * Locks: PFN lock for where the next image goes. IRQL: PASSIVE_LEVEL.
 *
 * Source: Microsoft PE and COFF Specification.
 */
#include "../misection.h"
#include "../miprocess.h"
#include <ntos/init.h>

#define MI_HEADER_BYTES    0x4000u    /* the headers and the section table lie in these */
#define MI_MOST_RELOCATION 0x1000000u /* bytes of relocations: an image of 256 MB needs less */

/* Offsets in the headers: from the DOS header, and from the PE signature of a PE32+ image. */
#define PE_POINTER         0x3C
#define PE_OPTIONAL        0x18
#define PE_OPTIONAL_BYTES  0x14
#define PE_SECTIONS        0x06
#define PE_CODE_SIZE       0x1C
#define PE_IMAGE_BASE      0x30
#define PE_OS_VERSION      0x40
#define PE_SUB_VERSION     0x48
#define PE_DLL_FLAGS       0x5E
#define PE_STACK_RESERVE   0x60
#define PE_STACK_COMMIT    0x68
#define PE_LOADER_FLAGS    0x80
#define PE_SECTION_HEADER  40
#define PE_RELOCS_STRIPPED 0x0001
#define PE_DLL             0x2000
#define PE_DYNAMIC_BASE    0x0040
#define PE_SECTION_SHARED  0x10000000
#define PE_MACHINE_AMD64   0x8664

/* Where images are put: programs and DLLs, 16 GB each. */
typedef struct _MI_IMAGE_RANGE {
    ULONG64 Low, High;
    ULONG64 Next; /* 0: nothing was put there yet */
} MI_IMAGE_RANGE;

static MI_IMAGE_RANGE MiImageRange[2] = {{0x00007FF600000000ULL, 0x00007FFA00000000ULL, 0},
                                         {0x00007FFB00000000ULL, 0x00007FFF00000000ULL, 0}}; /* (p) */

VOID MiFreeImage(PMI_IMAGE Image)
{
    if (Image->Relocations != NULL) {
        ExFreePoolWithTag(Image->Relocations, MI_TAG_IMAGE_DATA);
    }
    if (Image->FirstRelocation != NULL) {
        ExFreePoolWithTag(Image->FirstRelocation, MI_TAG_IMAGE_DATA);
    }
    ExFreePoolWithTag(Image, MI_TAG_IMAGE_DATA);
}

/* ---- Headers ---- */

static NTSTATUS MiImageStatus(PE_STATUS Status)
{
    switch (Status) {
    case PeOk:
        return STATUS_SUCCESS;
    case PeNotImage:
        return STATUS_INVALID_IMAGE_NOT_MZ;
    default:
        return STATUS_INVALID_IMAGE_FORMAT;
    }
}

/* The part of the headers that the parser follows lies in what was read? Have < the file's size. */
static BOOLEAN MiHeadersAreWhole(const UCHAR *Bytes, ULONG Have)
{
    ULONG64 Pe, End;

    if (Have < PE_POINTER + sizeof(ULONG)) {
        return TRUE;
    }
    Pe = *(const ULONG *)(Bytes + PE_POINTER);
    if (Pe + PE_OPTIONAL > Have) {
        return FALSE;
    }
    End = Pe + PE_OPTIONAL + *(const USHORT UNALIGNED *)(Bytes + Pe + PE_OPTIONAL_BYTES) +
          (ULONG64) * (const USHORT UNALIGNED *)(Bytes + Pe + PE_SECTIONS) * PE_SECTION_HEADER;
    return End <= Have;
}

static ULONG MiPartProtection(ULONG Flags)
{
    if ((Flags & PE_SECTION_EXECUTE) != 0) {
        return MM_EXECUTE_READ;
    }
    if ((Flags & PE_SECTION_WRITE) != 0) {
        return (Flags & PE_SECTION_SHARED) != 0 ? MM_READWRITE : MM_WRITECOPY;
    }
    return MM_READONLY;
}

/* Headers and sections as parts, each behind the one before. */
static NTSTATUS MiReadParts(const UCHAR *Bytes, PMI_IMAGE Image)
{
    const PE_HEADER *Header = &Image->Header;
    ULONG64 Next = BYTES_TO_PAGES(Header->SizeOfHeaders);
    PMI_IMAGE_PART Part = Image->Part;

    *Part = (MI_IMAGE_PART){.Pages = (ULONG)Next, .Protection = MM_READONLY, .FileBytes = Header->SizeOfHeaders};
    for (ULONG Index = 0; Index < Header->SectionCount; Index++) {
        PE_SECTION Section;

        PeReadSection(Bytes, Header, Index, &Section);
        if (Section.VirtualSize == 0) {
            continue;
        }
        if (Index == 0 && Section.Rva >> PAGE_SHIFT > Next) { /* the headers reach up to the first section */
            Part->Pages = Section.Rva >> PAGE_SHIFT;
            Next = Part->Pages;
        }
        if (Section.Rva >> PAGE_SHIFT != Next) {
            return STATUS_INVALID_IMAGE_FORMAT;
        }
        *++Part = (MI_IMAGE_PART){.StartingPage = Next,
                                  .Pages = (ULONG)BYTES_TO_PAGES(Section.VirtualSize),
                                  .Protection = MiPartProtection(Section.Flags),
                                  .FileOffset = Section.FileOffset,
                                  .FileBytes = Section.FileSize};
        Next += Part->Pages;
    }
    Image->Parts = (ULONG)(Part - Image->Part) + 1;
    return Next << PAGE_SHIFT == Header->SizeOfImage && Image->Part[0].Pages != 0 ? STATUS_SUCCESS
                                                                                  : STATUS_INVALID_IMAGE_FORMAT;
}

/* What SectionImageInformation tells. */
static VOID MiDescribeImage(const UCHAR *Bytes, PMI_IMAGE Image)
{
    const UCHAR *Pe = Bytes + *(const ULONG *)(Bytes + PE_POINTER);
    PSECTION_IMAGE_INFORMATION Information = &Image->Information;

    Image->BaseField = *(const ULONG *)(Bytes + PE_POINTER) + PE_IMAGE_BASE;
    Information->MaximumStackSize = *(const ULONG64 UNALIGNED *)(Pe + PE_STACK_RESERVE);
    Information->CommittedStackSize = *(const ULONG64 UNALIGNED *)(Pe + PE_STACK_COMMIT);
    Information->SubSystemType = Image->Header.Subsystem;
    Information->SubSystemMajorVersion = *(const USHORT UNALIGNED *)(Pe + PE_SUB_VERSION);
    Information->SubSystemMinorVersion = *(const USHORT UNALIGNED *)(Pe + PE_SUB_VERSION + 2);
    Information->MajorOperatingSystemVersion = *(const USHORT UNALIGNED *)(Pe + PE_OS_VERSION);
    Information->MinorOperatingSystemVersion = *(const USHORT UNALIGNED *)(Pe + PE_OS_VERSION + 2);
    Information->ImageCharacteristics = Image->Header.Characteristics;
    Information->DllCharacteristics = *(const USHORT UNALIGNED *)(Pe + PE_DLL_FLAGS);
    Information->Machine = PE_MACHINE_AMD64;
    Information->ImageContainsCode = *(const ULONG UNALIGNED *)(Pe + PE_CODE_SIZE) != 0;
    Information->LoaderFlags = *(const ULONG UNALIGNED *)(Pe + PE_LOADER_FLAGS);
    Information->ImageFileSize = (ULONG)Image->FileBytes;
    Information->CheckSum = Image->Header.CheckSum;
}

static NTSTATUS MiReadHeaders(PCONTROL_AREA Data, ULONG64 FileBytes, PMI_IMAGE Image)
{
    ULONG Have = (ULONG)min(FileBytes, MI_HEADER_BYTES);
    PUCHAR Bytes = ExAllocatePoolWithTag(NonPagedPool, Have, MI_TAG_IMAGE_DATA);
    NTSTATUS Status;

    if (Bytes == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Status = MiReadFileBytes(Data, 0, Have, Bytes);
    if (NT_SUCCESS(Status) && Have < FileBytes && *(const USHORT *)Bytes == 0x5A4D && !MiHeadersAreWhole(Bytes, Have)) {
        Status = STATUS_INVALID_IMAGE_FORMAT;
    }
    if (NT_SUCCESS(Status)) {
        Status = MiImageStatus(PeReadHeader(Bytes, FileBytes, &Image->Header));
    }
    if (NT_SUCCESS(Status)) {
        Image->FileBytes = FileBytes;
        Status = MiReadParts(Bytes, Image);
    }
    if (NT_SUCCESS(Status)) {
        MiDescribeImage(Bytes, Image);
    }
    ExFreePoolWithTag(Bytes, MI_TAG_IMAGE_DATA);
    return Status;
}

/* ---- Relocations ---- */

/* Copies the directory, which must lie in one part and in the file. */
static NTSTATUS MiReadRelocations(PCONTROL_AREA Data, PMI_IMAGE Image)
{
    const PE_RANGE *Range = &Image->Header.Directory[PE_DIRECTORY_RELOCATION];
    ULONG64 Page = Range->Rva >> PAGE_SHIFT;
    PMI_IMAGE_PART Part = &Image->Part[Image->Parts - 1];
    ULONG64 Offset;

    while (Page < Part->StartingPage) {
        Part--;
    }
    Offset = Range->Rva - (Part->StartingPage << PAGE_SHIFT);
    if (Offset > Part->FileBytes || Range->Size > Part->FileBytes - Offset || Range->Rva % sizeof(ULONG) != 0 ||
        Range->Size > MI_MOST_RELOCATION) {
        return STATUS_INVALID_IMAGE_FORMAT;
    }
    Image->RelocationBytes = Range->Size;
    Image->Relocations = ExAllocatePoolWithTag(NonPagedPool, Range->Size, MI_TAG_IMAGE_DATA);
    if (Image->Relocations == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    return MiReadFileBytes(Data, Part->FileOffset + Offset, Range->Size, Image->Relocations);
}

/* Every entry of a block is padding or a 64-bit value inside the image? */
static BOOLEAN MiCheckBlock(const MI_IMAGE *Image, const UCHAR *Block, ULONG Bytes)
{
    for (ULONG At = 8; At + sizeof(USHORT) <= Bytes; At += sizeof(USHORT)) {
        USHORT Entry = *(const USHORT *)(Block + At);
        ULONG64 Rva = (ULONG64) * (const ULONG *)Block + (Entry & 0xFFF);

        if (Entry >> 12 != 0 && (Entry >> 12 != 10 || Rva + sizeof(ULONG64) > Image->Header.SizeOfImage)) {
            return FALSE;
        }
    }
    return TRUE;
}

/* Finds the block of each page; at most one each. */
static NTSTATUS MiIndexRelocations(PMI_IMAGE Image)
{
    ULONG Pages = Image->Header.SizeOfImage >> PAGE_SHIFT, Offset = 0;

    Image->FirstRelocation = ExAllocatePoolWithTag(NonPagedPool, Pages * sizeof(ULONG), MI_TAG_IMAGE_DATA);
    if (Image->FirstRelocation == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(Image->FirstRelocation, Pages * sizeof(ULONG));
    while (Image->RelocationBytes - Offset >= 8) {
        const UCHAR *Block = Image->Relocations + Offset;
        ULONG Page = *(const ULONG *)Block >> PAGE_SHIFT, Bytes = *(const ULONG *)(Block + 4);

        if (Bytes < 8 || Bytes % sizeof(ULONG) != 0 || Bytes > Image->RelocationBytes - Offset || Page >= Pages ||
            *(const ULONG *)Block % PAGE_SIZE != 0 || Image->FirstRelocation[Page] != 0 ||
            !MiCheckBlock(Image, Block, Bytes)) {
            return STATUS_INVALID_IMAGE_FORMAT;
        }
        Image->FirstRelocation[Page] = Offset + 1;
        Offset += Bytes;
    }
    return STATUS_SUCCESS;
}

/* ---- The address ---- */

/* The next free place of a range, or the range from its start again. */
static ULONG64 MiNextPlace(MI_IMAGE_RANGE *Range, ULONG64 Bytes)
{
    ULONG64 Random = MiIsAslrOff() ? 0 : MiRandom(MiRandomImage) >> 16, Place;
    KIRQL Irql = MiLockPfn();

    if (Range->Next == 0) {
        Range->Next = Range->Low + Random % ((Range->High - Range->Low) / MI_GRANULARITY) * MI_GRANULARITY;
    } else {
        Range->Next += (Random % 16) * MI_GRANULARITY;
    }
    if (Range->Next + Bytes > Range->High) {
        Range->Next = Range->Low;
    }
    Place = Range->Next;
    Range->Next += ALIGN_UP_BY(Bytes, MI_GRANULARITY);
    MiUnlockPfn(Irql);
    return Place;
}

static NTSTATUS MiPlaceImage(PMI_IMAGE Image)
{
    const PE_HEADER *Header = &Image->Header;
    BOOLEAN Dll = (Header->Characteristics & PE_DLL) != 0;
    BOOLEAN Anywhere = (Image->Information.DllCharacteristics & PE_DYNAMIC_BASE) != 0 && !MiIsAslrOff();
    BOOLEAN Movable = Image->Relocations != NULL || ((Header->Characteristics & PE_RELOCS_STRIPPED) == 0 &&
                                                     Header->Directory[PE_DIRECTORY_RELOCATION].Size == 0);

    Image->Base = Header->ImageBase;
    if ((Dll && Image->Relocations != NULL) || (Movable && Anywhere)) {
        Image->Base = MiNextPlace(&MiImageRange[Dll], Header->SizeOfImage);
    } else if (Header->ImageBase % MI_GRANULARITY != 0 || Header->ImageBase < MI_LOWEST_USER ||
               Header->ImageBase > MI_HIGHEST_VAD + 1 - Header->SizeOfImage) {
        return STATUS_INVALID_IMAGE_FORMAT;
    }
    Image->Delta = Image->Base - Header->ImageBase;
    if (Header->EntryRva != 0) {
        Image->Information.TransferAddress = (PVOID)(Image->Base + Header->EntryRva);
    }
    return STATUS_SUCCESS;
}

/* ---- The control area ---- */

static NTSTATUS MiReadImage(PCONTROL_AREA Data, ULONG64 FileBytes, PMI_IMAGE Image)
{
    NTSTATUS Status = MiReadHeaders(Data, FileBytes, Image);

    if (NT_SUCCESS(Status) && (Image->Header.Characteristics & PE_RELOCS_STRIPPED) == 0 &&
        Image->Header.Directory[PE_DIRECTORY_RELOCATION].Size != 0) {
        Status = MiReadRelocations(Data, Image);
        if (NT_SUCCESS(Status)) {
            Status = MiIndexRelocations(Image);
        }
    }
    return NT_SUCCESS(Status) ? MiPlaceImage(Image) : Status;
}

/**
 * MiCreateImageControlArea - the image control area of a file, made if there is none, referenced.
 *
 * @FileObject  its SectionObjectPointer is set
 *
 * IRQL: PASSIVE_LEVEL. Fails: STATUS_INVALID_IMAGE_NOT_MZ, STATUS_INVALID_IMAGE_FORMAT, STATUS_INVALID_FILE_FOR_SECTION,
 * STATUS_INSUFFICIENT_RESOURCES, what reading the file says.
 */
NTSTATUS MiCreateImageControlArea(PFILE_OBJECT FileObject, PCONTROL_AREA *ControlArea)
{
    SIZE_T Bytes = sizeof(MI_IMAGE) + (PE_MAXIMUM_SECTIONS + 1) * sizeof(MI_IMAGE_PART);
    ULONG64 FileBytes = (ULONG64)((PFSRTL_COMMON_FCB_HEADER)FileObject->FsContext)->FileSize.QuadPart;
    PMI_SUBSECTION_BLOCK Blocks = NULL;
    PCONTROL_AREA Data;
    PMI_IMAGE Image;
    NTSTATUS Status;

    *ControlArea = MiFindImageControlArea(FileObject->SectionObjectPointer);
    if (*ControlArea != NULL) {
        return STATUS_SUCCESS;
    }
    if (FileBytes > PE_MAXIMUM_IMAGE) {
        return STATUS_INVALID_IMAGE_FORMAT;
    }
    Status = MiOpenFileControlArea(FileObject, FileBytes, &Data);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Image = ExAllocatePoolWithTag(NonPagedPool, Bytes, MI_TAG_IMAGE_DATA);
    if (Image == NULL) {
        MmCloseDataSection(Data);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(Image, Bytes);
    Status = MiReadImage(Data, FileBytes, Image);
    MmCloseDataSection(Data);
    if (NT_SUCCESS(Status)) {
        Blocks = MiCreateImageBlock(Image);
        Status = Blocks != NULL ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
    }
    if (!NT_SUCCESS(Status)) {
        MiFreeImage(Image);
        return Status;
    }
    return MiOpenImageControlArea(FileObject, Image, Blocks, ControlArea);
}
