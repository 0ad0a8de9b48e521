/*
 * peimage.c - PE32+ images: headers, sections, relocations, exports, imports.
 *
 * Owns nothing and allocates nothing: it reads a buffer that came from outside (a boot module, later a file) and writes only
 * to a laid-out image of SizeOfImage bytes. Every number in the image is hostile: RVAs and counts go through Within()
 * in 64-bit arithmetic before they are followed, strings must end inside the image, and each loop is bounded by
 * the bytes it walks, so a damaged image costs bounded time and never a fault.
 *
 * It takes no lock and runs at any IRQL, in the loader with paging off, in the kernel, and in host tests under
 * sanitizers. Multi-byte fields may lie at any address and are read bytewise-safe. It must never divide 64-bit
 * numbers (the 32-bit loader has no runtime library) and must not include kernel headers.
 */
#include <ntos/peimage.h>

#define DOS_MAGIC           0x5A4Du /* "MZ" */
#define DOS_BYTES           64u
#define DOS_NEW_HEADER      0x3Cu
#define PE_SIGNATURE        0x00004550u /* "PE\0\0" */
#define COFF_BYTES          20u
#define MACHINE_AMD64       0x8664u
#define OPTIONAL_MAGIC_64   0x20Bu
#define OPTIONAL_BYTES      112u /* PE32+ optional header without its directories */
#define SECTION_BYTES       40u
#define RELOCS_STRIPPED     0x0001u
#define RELOCATION_BLOCK    8u /* page RVA, block size */
#define RELOCATION_ABSOLUTE 0u
#define RELOCATION_DIR64    10u
#define IMPORT_DESCRIPTOR   20u
#define EXPORT_DIRECTORY    40u
#define ORDINAL_FLAG        0x8000000000000000ULL

static uint16_t Get16(const uint8_t *At)
{
    return (uint16_t)(At[0] | At[1] << 8);
}

static uint32_t Get32(const uint8_t *At)
{
    return (uint32_t)Get16(At) | (uint32_t)Get16(At + 2) << 16;
}

static uint64_t Get64(const uint8_t *At)
{
    return (uint64_t)Get32(At) | (uint64_t)Get32(At + 4) << 32;
}

static void Put64(uint8_t *At, uint64_t Value)
{
    for (unsigned Index = 0; Index < 8; Index++) {
        At[Index] = (uint8_t)(Value >> (8 * Index));
    }
}

/* Bytes [Offset, Offset + Bytes) lie inside [0, Limit); 64-bit, so that 32-bit operands cannot overflow. */
static int Within(uint64_t Offset, uint64_t Bytes, uint64_t Limit)
{
    return Offset <= Limit && Bytes <= Limit - Offset;
}

/* The string at an RVA, or NULL if it does not end inside the image. */
static const char *ImageString(const PE_VIEW *View, uint64_t Rva)
{
    for (uint64_t End = Rva; End < View->Header.SizeOfImage; End++) {
        if (View->Base[End] == 0) {
            return (const char *)View->Base + Rva;
        }
    }
    return 0;
}

const char *PeStatusText(PE_STATUS Status)
{
    switch (Status) {
    case PeOk:
        return "is in order";
    case PeTruncated:
        return "is cut short";
    case PeNotImage:
        return "is not a PE image";
    case PeWrongMachine:
        return "is not a PE32+ image for x86-64";
    case PeBadHeader:
        return "has damaged headers";
    case PeBadSection:
        return "has a damaged or writable and executable section";
    case PeBadRelocation:
        return "has damaged relocations";
    case PeNoRelocation:
        return "has no relocations, so it cannot be moved";
    case PeBadImport:
        return "has a damaged import table";
    case PeBadExport:
        return "has a damaged export table";
    case PeNotFound:
        break;
    }
    return "lacks what was looked for";
}

void PeReadSection(const void *File, const PE_HEADER *Header, uint32_t Index, PE_SECTION *Section)
{
    const uint8_t *Entry = (const uint8_t *)File + Header->SectionTable + Index * SECTION_BYTES;
    uint32_t Limit;

    for (unsigned Char = 0; Char < 8; Char++) {
        Section->Name[Char] = (char)Entry[Char];
    }
    Section->Name[8] = 0;
    Section->VirtualSize = Get32(Entry + 8);
    Section->Rva = Get32(Entry + 12);
    Section->FileSize = Get32(Entry + 16);
    Section->FileOffset = Get32(Entry + 20);
    Section->Flags = Get32(Entry + 36);
    if (Section->VirtualSize == 0) {
        Section->VirtualSize = Section->FileSize; /* old linkers left the field empty */
    }
    /* The file's padding up to its own alignment may exceed the section; it is not part of the image. */
    Limit = (Section->VirtualSize + (PE_PAGE - 1)) & ~(PE_PAGE - 1);
    if (Section->FileSize > Limit) {
        Section->FileSize = Limit;
    }
}

/* Sections ascend, start on pages, do not overlap, stay inside image and file, and are never writable and executable. */
static PE_STATUS CheckSections(const uint8_t *File, uint64_t FileBytes, const PE_HEADER *Header)
{
    uint64_t NextRva = Header->SizeOfHeaders;

    for (uint32_t Index = 0; Index < Header->SectionCount; Index++) {
        const uint8_t *Entry = File + Header->SectionTable + Index * SECTION_BYTES;
        PE_SECTION Section;

        if (Get32(Entry + 8) > PE_MAXIMUM_IMAGE || Get32(Entry + 16) > PE_MAXIMUM_IMAGE) {
            return PeBadSection;
        }
        PeReadSection(File, Header, Index, &Section);
        if (Section.Rva % PE_PAGE != 0 || Section.Rva < NextRva ||
            !Within(Section.Rva, Section.VirtualSize, Header->SizeOfImage) ||
            !Within(Section.Rva, Section.FileSize, Header->SizeOfImage)) {
            return PeBadSection;
        }
        if ((Section.Flags & PE_SECTION_WRITE) != 0 && (Section.Flags & PE_SECTION_EXECUTE) != 0) {
            return PeBadSection;
        }
        if (Section.FileSize != 0 && !Within(Section.FileOffset, Section.FileSize, FileBytes)) {
            return PeTruncated;
        }
        NextRva = (uint64_t)Section.Rva + Section.VirtualSize;
    }
    return PeOk;
}

static PE_STATUS ReadOptionalHeader(const uint8_t *Optional, uint32_t OptionalBytes, PE_HEADER *Header)
{
    uint32_t Directories;

    if (OptionalBytes < OPTIONAL_BYTES || Get16(Optional) != OPTIONAL_MAGIC_64) {
        return PeWrongMachine;
    }
    Header->EntryRva = Get32(Optional + 16);
    Header->ImageBase = Get64(Optional + 24);
    Header->SizeOfImage = Get32(Optional + 56);
    Header->SizeOfHeaders = Get32(Optional + 60);
    Header->CheckSum = Get32(Optional + 64);
    Header->Subsystem = Get16(Optional + 68);
    Directories = Get32(Optional + 108);
    if (Get32(Optional + 32) % PE_PAGE != 0 || Get32(Optional + 32) == 0 || Header->SizeOfImage == 0 ||
        Header->SizeOfImage > PE_MAXIMUM_IMAGE || Header->SizeOfHeaders > Header->SizeOfImage ||
        Header->EntryRva >= Header->SizeOfImage) {
        return PeBadHeader;
    }
    Header->SizeOfImage = (Header->SizeOfImage + (PE_PAGE - 1)) & ~(PE_PAGE - 1);
    if (Directories > PE_DIRECTORIES) {
        Directories = PE_DIRECTORIES;
    }
    if (OptionalBytes < OPTIONAL_BYTES + Directories * 8) {
        return PeBadHeader;
    }
    for (uint32_t Index = 0; Index < Directories; Index++) {
        PE_RANGE *Range = &Header->Directory[Index];

        Range->Rva = Get32(Optional + OPTIONAL_BYTES + Index * 8);
        Range->Size = Get32(Optional + OPTIONAL_BYTES + Index * 8 + 4);
        /* Directory 4 (certificates) is a file offset, not an RVA; nothing here uses it. */
        if (Index == 4 || Range->Size == 0) {
            *Range = (PE_RANGE){0, 0};
        } else if (!Within(Range->Rva, Range->Size, Header->SizeOfImage)) {
            return PeBadHeader;
        }
    }
    return PeOk;
}

/* Everything before the section table; Bytes: the file, or an image in memory. */
static PE_STATUS ReadHeaders(const uint8_t *Bytes, uint64_t Limit, PE_HEADER *Header)
{
    uint32_t NewHeader, OptionalBytes;
    uint64_t Optional;
    PE_STATUS Status;

    *Header = (PE_HEADER){0};
    if (Limit < DOS_BYTES) {
        return PeTruncated;
    }
    if (Get16(Bytes) != DOS_MAGIC) {
        return PeNotImage;
    }
    NewHeader = Get32(Bytes + DOS_NEW_HEADER);
    if (!Within(NewHeader, 4 + COFF_BYTES, Limit)) {
        return PeTruncated;
    }
    if (Get32(Bytes + NewHeader) != PE_SIGNATURE) {
        return PeNotImage;
    }
    if (Get16(Bytes + NewHeader + 4) != MACHINE_AMD64) {
        return PeWrongMachine;
    }
    Header->SectionCount = Get16(Bytes + NewHeader + 6);
    Header->TimeDateStamp = Get32(Bytes + NewHeader + 8);
    OptionalBytes = Get16(Bytes + NewHeader + 20);
    Header->Characteristics = Get16(Bytes + NewHeader + 22);
    Optional = (uint64_t)NewHeader + 4 + COFF_BYTES;
    if (!Within(Optional, OptionalBytes, Limit)) {
        return PeTruncated;
    }
    Status = ReadOptionalHeader(Bytes + Optional, OptionalBytes, Header);
    if (Status != PeOk) {
        return Status;
    }
    if (Header->SectionCount > PE_MAXIMUM_SECTIONS) {
        return PeBadHeader;
    }
    if (Header->SizeOfHeaders > Limit ||
        !Within(Optional + OptionalBytes, Header->SectionCount * SECTION_BYTES, Limit)) {
        return PeTruncated;
    }
    Header->SectionTable = (uint32_t)(Optional + OptionalBytes);
    return PeOk;
}

PE_STATUS PeReadHeader(const void *File, uint64_t FileBytes, PE_HEADER *Header)
{
    PE_STATUS Status = ReadHeaders(File, FileBytes, Header);

    return Status == PeOk ? CheckSections(File, FileBytes, Header) : Status;
}

PE_STATUS PeReadLoadedHeader(const void *Image, uint64_t ImageBytes, PE_HEADER *Header)
{
    return ReadHeaders(Image, ImageBytes, Header);
}

static void CopyBytes(uint8_t *To, const uint8_t *From, uint32_t Bytes)
{
    while (Bytes-- != 0) {
        *To++ = *From++;
    }
}

void PeLayOut(const void *File, const PE_HEADER *Header, void *Image)
{
    uint8_t *To = Image;

    for (uint32_t Index = 0; Index < Header->SizeOfImage; Index++) {
        To[Index] = 0;
    }
    CopyBytes(To, File, Header->SizeOfHeaders);
    for (uint32_t Index = 0; Index < Header->SectionCount; Index++) {
        PE_SECTION Section;

        PeReadSection(File, Header, Index, &Section);
        CopyBytes(To + Section.Rva, (const uint8_t *)File + Section.FileOffset, Section.FileSize);
    }
}

static PE_STATUS RelocateBlock(const PE_VIEW *View, uint64_t Block, uint32_t BlockBytes, uint64_t Delta)
{
    uint32_t PageRva = Get32(View->Base + Block);

    for (uint32_t Offset = RELOCATION_BLOCK; Offset + 2 <= BlockBytes; Offset += 2) {
        uint16_t Entry = Get16(View->Base + Block + Offset);
        uint64_t Target = (uint64_t)PageRva + (Entry & 0xFFF);

        if (Entry >> 12 == RELOCATION_ABSOLUTE) {
            continue; /* padding */
        }
        if (Entry >> 12 != RELOCATION_DIR64 || !Within(Target, 8, View->Header.SizeOfImage)) {
            return PeBadRelocation;
        }
        Put64(View->Base + Target, Get64(View->Base + Target) + Delta);
    }
    return PeOk;
}

PE_STATUS PeRelocate(const PE_VIEW *View, uint64_t NewBase)
{
    PE_RANGE Range = View->Header.Directory[PE_DIRECTORY_RELOCATION];
    uint64_t Delta = NewBase - View->Header.ImageBase;
    uint64_t Block = Range.Rva;
    uint64_t End = (uint64_t)Range.Rva + Range.Size;

    if (Delta == 0) {
        return PeOk;
    }
    if ((View->Header.Characteristics & RELOCS_STRIPPED) != 0) {
        return PeNoRelocation;
    }
    while (Block < End) {
        uint32_t BlockBytes;

        if (!Within(Block, RELOCATION_BLOCK, End)) {
            return PeBadRelocation;
        }
        BlockBytes = Get32(View->Base + Block + 4);
        if (BlockBytes < RELOCATION_BLOCK || !Within(Block, BlockBytes, End)) {
            return PeBadRelocation;
        }
        if (RelocateBlock(View, Block, BlockBytes, Delta) != PeOk) {
            return PeBadRelocation;
        }
        Block += BlockBytes;
    }
    return PeOk;
}

/* The export directory's tables, checked to lie inside the image. */
typedef struct _EXPORT_TABLES {
    uint32_t OrdinalBase;
    uint32_t Functions; /* count */
    uint32_t Names;     /* count */
    const uint8_t *FunctionTable;
    const uint8_t *NameTable;
    const uint8_t *OrdinalTable;
} EXPORT_TABLES;

static PE_STATUS OpenExports(const PE_VIEW *View, EXPORT_TABLES *Tables)
{
    PE_RANGE Range = View->Header.Directory[PE_DIRECTORY_EXPORT];
    const uint8_t *Directory = View->Base + Range.Rva;
    uint64_t Limit = View->Header.SizeOfImage;

    if (Range.Size == 0) {
        return PeNotFound;
    }
    if (Range.Size < EXPORT_DIRECTORY) {
        return PeBadExport;
    }
    Tables->OrdinalBase = Get32(Directory + 16);
    Tables->Functions = Get32(Directory + 20);
    Tables->Names = Get32(Directory + 24);
    if (!Within(Get32(Directory + 28), (uint64_t)Tables->Functions * 4, Limit) ||
        !Within(Get32(Directory + 32), (uint64_t)Tables->Names * 4, Limit) ||
        !Within(Get32(Directory + 36), (uint64_t)Tables->Names * 2, Limit)) {
        return PeBadExport;
    }
    Tables->FunctionTable = View->Base + Get32(Directory + 28);
    Tables->NameTable = View->Base + Get32(Directory + 32);
    Tables->OrdinalTable = View->Base + Get32(Directory + 36);
    return PeOk;
}

/* Export Index of the function table: an address, or a string inside the export directory if it is forwarded. */
static PE_STATUS ExportAt(const PE_VIEW *View, const EXPORT_TABLES *Tables, uint32_t Index, PE_EXPORT *Export)
{
    PE_RANGE Range = View->Header.Directory[PE_DIRECTORY_EXPORT];
    uint32_t Rva;

    if (Index >= Tables->Functions) {
        return PeNotFound;
    }
    Rva = Get32(Tables->FunctionTable + (uint64_t)Index * 4);
    if (Rva == 0) {
        return PeNotFound; /* a gap in the ordinals */
    }
    if (Rva >= View->Header.SizeOfImage) {
        return PeBadExport;
    }
    Export->Rva = Rva;
    Export->Forwarder = 0;
    if (Rva >= Range.Rva && Rva - Range.Rva < Range.Size) {
        Export->Forwarder = ImageString(View, Rva);
        return Export->Forwarder != 0 ? PeOk : PeBadExport;
    }
    return PeOk;
}

static int CompareStrings(const char *A, const char *B)
{
    while (*A != 0 && *A == *B) {
        A++;
        B++;
    }
    return (int)(unsigned char)*A - (int)(unsigned char)*B;
}

PE_STATUS PeFindExportByName(const PE_VIEW *View, const char *Name, PE_EXPORT *Export)
{
    EXPORT_TABLES Tables;
    PE_STATUS Status = OpenExports(View, &Tables);
    uint32_t Low = 0;
    uint32_t High;

    if (Status != PeOk) {
        return Status;
    }
    High = Tables.Names;
    while (Low < High) {
        uint32_t Middle = Low + (High - Low) / 2;
        const char *Candidate = ImageString(View, Get32(Tables.NameTable + (uint64_t)Middle * 4));
        int Order;

        if (Candidate == 0) {
            return PeBadExport;
        }
        Order = CompareStrings(Name, Candidate);
        if (Order == 0) {
            return ExportAt(View, &Tables, Get16(Tables.OrdinalTable + (uint64_t)Middle * 2), Export);
        }
        if (Order < 0) {
            High = Middle;
        } else {
            Low = Middle + 1;
        }
    }
    return PeNotFound;
}

PE_STATUS PeFindExportByOrdinal(const PE_VIEW *View, uint32_t Ordinal, PE_EXPORT *Export)
{
    EXPORT_TABLES Tables;
    PE_STATUS Status = OpenExports(View, &Tables);

    if (Status != PeOk) {
        return Status;
    }
    if (Ordinal < Tables.OrdinalBase) {
        return PeNotFound;
    }
    return ExportAt(View, &Tables, Ordinal - Tables.OrdinalBase, Export);
}

/* Decodes the thunk at Lookup into Import; PeNotFound at the terminating zero. */
static PE_STATUS ReadThunk(const PE_VIEW *View, uint64_t Lookup, PE_IMPORT *Import)
{
    uint64_t Limit = View->Header.SizeOfImage;
    uint64_t Thunk;

    if (!Within(Lookup, 8, Limit)) {
        return PeBadImport;
    }
    Thunk = Get64(View->Base + Lookup);
    if (Thunk == 0) {
        return PeNotFound;
    }
    if ((Thunk & ORDINAL_FLAG) != 0) {
        Import->Name = 0;
        Import->Hint = 0;
        Import->Ordinal = (uint32_t)(Thunk & 0xFFFF);
        return PeOk;
    }
    if (!Within(Thunk, 3, Limit)) {
        return PeBadImport;
    }
    Import->Ordinal = 0;
    Import->Hint = Get16(View->Base + Thunk);
    Import->Name = ImageString(View, Thunk + 2);
    return Import->Name != 0 ? PeOk : PeBadImport;
}

PE_STATUS PeNextImport(const PE_VIEW *View, PE_IMPORT_CURSOR *Cursor, PE_IMPORT *Import)
{
    PE_RANGE Range = View->Header.Directory[PE_DIRECTORY_IMPORT];
    uint64_t Limit = View->Header.SizeOfImage;

    for (; Range.Size != 0; Cursor->Descriptor++, Cursor->Thunk = 0) {
        uint64_t Offset = (uint64_t)Range.Rva + (uint64_t)Cursor->Descriptor * IMPORT_DESCRIPTOR;
        const uint8_t *Descriptor = View->Base + Offset;
        uint32_t Lookup, Slots;
        PE_STATUS Status;

        if (!Within(Offset, IMPORT_DESCRIPTOR, Limit)) {
            return PeBadImport;
        }
        Slots = Get32(Descriptor + 16);
        if (Get32(Descriptor + 12) == 0 || Slots == 0) {
            break; /* the terminating descriptor */
        }
        Lookup = Get32(Descriptor) != 0 ? Get32(Descriptor) : Slots;
        Status = ReadThunk(View, (uint64_t)Lookup + (uint64_t)Cursor->Thunk * 8, Import);
        if (Status == PeBadImport || !Within((uint64_t)Slots + (uint64_t)Cursor->Thunk * 8, 8, Limit)) {
            return PeBadImport;
        }
        if (Status == PeNotFound) {
            continue;
        }
        Import->Module = ImageString(View, Get32(Descriptor + 12));
        Import->SlotRva = Slots + Cursor->Thunk * 8;
        Cursor->Thunk++;
        return Import->Module != 0 ? PeOk : PeBadImport;
    }
    return PeNotFound;
}
