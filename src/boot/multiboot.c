/*
 * multiboot.c - reads what GRUB left, and copies it to where GRUB's memory may be reused.
 *
 * The boot information is a chain of tags; each tag's size is checked against the whole before it is read. With UEFI GRUB
 * hands over the EFI memory map (tag 17), which tells runtime services and tables apart better than the e820-like tag 6;
 * when there is one, it alone is used. Modules stay where GRUB put them (they are only described); everything else is copied.
 *
 * Source: Multiboot2 Specification 2.0, section 3.6; UEFI Specification 2.10, section 7.2 (memory types).
 */
#include "osloader.h"

#define MULTIBOOT2_LOADED 0x36D76289u

enum {
    TagEnd = 0,
    TagCommandLine = 1,
    TagModule = 3,
    TagMemoryMap = 6,
    TagFramebuffer = 8,
    TagEfi32 = 11,
    TagEfi64 = 12,
    TagRsdpOld = 14,
    TagRsdpNew = 15,
    TagEfiMemoryMap = 17,
};

typedef struct _TAG {
    uint32_t Type;
    uint32_t Size; /* with this header, without the padding to 8 bytes */
} TAG;

typedef struct _MODULE_TAG {
    TAG Tag;
    uint32_t Start, End;
    char CommandLine[];
} MODULE_TAG;

typedef struct _MAP_TAG { /* tags 6 and 17 begin alike */
    TAG Tag;
    uint32_t EntrySize;
    uint32_t EntryVersion;
    uint8_t Entries[];
} MAP_TAG;

typedef struct _MAP_ENTRY {
    uint64_t Base, Length;
    uint32_t Type, Reserved;
} MAP_ENTRY;

typedef struct _EFI_ENTRY {
    uint32_t Type, Padding;
    uint64_t PhysicalStart, VirtualStart, PageCount, Attribute;
} EFI_ENTRY;

typedef struct _FRAMEBUFFER_TAG {
    TAG Tag;
    uint64_t Address;
    uint32_t Pitch, Width, Height;
    uint8_t BitsPerPixel, Type;
    uint16_t Reserved;
    uint8_t RedPosition, RedSize, GreenPosition, GreenSize, BluePosition, BlueSize;
} __attribute__((packed)) FRAMEBUFFER_TAG;

OSL_BOOT_INFORMATION OslBoot;

static void AddRange(uint64_t Base, uint64_t Length, uint32_t Type)
{
    /* Part of the array is kept for what the loader adds itself. */
    if (OslBoot.RangeCount == OSL_MAXIMUM_RANGES - 2 * OSL_MAXIMUM_MODULES) {
        OslFail("the firmware's memory map has more than %u ranges", OSL_MAXIMUM_RANGES - 2 * OSL_MAXIMUM_MODULES);
    }
    OslBoot.Ranges[OslBoot.RangeCount++] = (MEMORY_RANGE){Base, Length, Type};
}

static uint32_t TypeOfBios(uint32_t Type)
{
    switch (Type) {
    case 1:
        return LoaderFree;
    case 3:
        return LoaderAcpiReclaim;
    case 4:
        return LoaderAcpiNvs;
    case 5:
        return LoaderBad;
    default:
        return LoaderReserved;
    }
}

/* Boot services have ended when GRUB enters us, so their memory is free, like GRUB's own. */
static uint32_t TypeOfEfi(uint32_t Type)
{
    switch (Type) {
    case 1: /* loader code, loader data, boot services code and data, conventional */
    case 2:
    case 3:
    case 4:
    case 7:
        return LoaderFree;
    case 5: /* runtime services code and data */
    case 6:
        return LoaderFirmwareRuntime;
    case 8:
        return LoaderBad;
    case 9:
        return LoaderAcpiReclaim;
    case 10:
        return LoaderAcpiNvs;
    default:
        return LoaderReserved;
    }
}

static void ReadMemoryMap(const MAP_TAG *Map, int Efi)
{
    uint32_t Offset = offsetof(MAP_TAG, Entries);
    uint32_t Minimum = Efi ? sizeof(EFI_ENTRY) : sizeof(MAP_ENTRY);

    if (Map->Tag.Size < Offset || Map->EntrySize < Minimum || Map->EntrySize > Map->Tag.Size) {
        OslFail("GRUB's memory map is damaged");
    }
    OslBoot.RangeCount = 0;
    for (; Offset <= Map->Tag.Size - Map->EntrySize; Offset += Map->EntrySize) {
        const void *Entry = (const uint8_t *)Map + Offset;

        if (Efi) {
            const EFI_ENTRY *At = Entry;
            uint64_t Pages = At->PageCount < (1ULL << 40) ? At->PageCount : (1ULL << 40);

            AddRange(At->PhysicalStart, Pages << 12, TypeOfEfi(At->Type));
        } else {
            const MAP_ENTRY *At = Entry;

            AddRange(At->Base, At->Length, TypeOfBios(At->Type));
        }
    }
}

/* The module's name: the last path component of the first word of its command line, in lower case. */
static void CopyModuleName(char *To, const char *From, uint32_t FromBytes)
{
    uint32_t Used = 0;

    for (uint32_t Index = 0; Index < FromBytes && From[Index] != 0 && From[Index] != ' '; Index++) {
        char Char = From[Index];

        if (Char == '/' || Char == '\\') {
            Used = 0;
        } else if (Used < OSL_NAME_BYTES - 1) {
            To[Used++] = Char >= 'A' && Char <= 'Z' ? (char)(Char + 32) : Char;
        }
    }
    To[Used] = 0;
}

static void ReadModule(const MODULE_TAG *Tag)
{
    OSL_MODULE *Module = &OslBoot.Modules[OslBoot.ModuleCount];

    if (Tag->Tag.Size < sizeof(MODULE_TAG)) {
        OslFail("GRUB's module list is damaged");
    }
    if (OslBoot.ModuleCount == OSL_MAXIMUM_MODULES) {
        OslFail("more than %u boot modules", OSL_MAXIMUM_MODULES);
    }
    CopyModuleName(Module->Name, Tag->CommandLine, Tag->Tag.Size - sizeof(MODULE_TAG));
    if (Module->Name[0] == 0) {
        OslFail("boot module %u has no name: grub.cfg must say module2 FILE NAME", OslBoot.ModuleCount);
    }
    if (Tag->End < Tag->Start) {
        OslFail("%s: GRUB's description of this module is damaged", Module->Name);
    }
    Module->Bytes = (const uint8_t *)Tag->Start;
    Module->Size = Tag->End - Tag->Start;
    OslBoot.ModuleCount++;
}

static void ReadFramebuffer(const FRAMEBUFFER_TAG *Tag)
{
    LOADER_FRAMEBUFFER *To = &OslBoot.Framebuffer;

    if (Tag->Tag.Size < offsetof(FRAMEBUFFER_TAG, RedPosition) || Tag->Type < 1 || Tag->Type > 2) {
        return; /* palette modes are of no use */
    }
    *To = (LOADER_FRAMEBUFFER){.PhysicalBase = Tag->Address,
                               .Pitch = Tag->Pitch,
                               .Width = Tag->Width,
                               .Height = Tag->Height,
                               .BitsPerPixel = Tag->BitsPerPixel,
                               .Type = Tag->Type};
    if (Tag->Type == 1 && Tag->Tag.Size >= sizeof(FRAMEBUFFER_TAG)) {
        To->RedPosition = Tag->RedPosition;
        To->RedSize = Tag->RedSize;
        To->GreenPosition = Tag->GreenPosition;
        To->GreenSize = Tag->GreenSize;
        To->BluePosition = Tag->BluePosition;
        To->BlueSize = Tag->BlueSize;
    }
}

/* The newer RSDP (with its XSDT) wins whatever the order of the tags. */
static void ReadRsdp(const TAG *Tag)
{
    uint32_t Bytes = Tag->Size - sizeof(TAG);

    if (Bytes <= OslBoot.RsdpBytes) {
        return;
    }
    OslBoot.RsdpBytes = Bytes < OSL_RSDP_BYTES ? Bytes : OSL_RSDP_BYTES;
    memcpy(OslBoot.Rsdp, Tag + 1, OslBoot.RsdpBytes);
}

static void ReadTag(const TAG *Tag)
{
    switch (Tag->Type) {
    case TagCommandLine:
        OslCopyString(OslBoot.CommandLine, (const char *)(Tag + 1),
                      Tag->Size - sizeof(TAG) < OSL_COMMAND_LINE_BYTES ? Tag->Size - sizeof(TAG)
                                                                       : OSL_COMMAND_LINE_BYTES);
        break;
    case TagModule:
        ReadModule((const MODULE_TAG *)Tag);
        break;
    case TagFramebuffer:
        ReadFramebuffer((const FRAMEBUFFER_TAG *)Tag);
        break;
    case TagEfi32:
    case TagEfi64:
        OslBoot.IsUefi = 1;
        break;
    case TagRsdpOld:
    case TagRsdpNew:
        ReadRsdp(Tag);
        break;
    }
}

void OslReadBootInformation(uint32_t Magic, uint32_t Address)
{
    uint32_t Total = *(const uint32_t *)Address;
    const MAP_TAG *Bios = 0, *Efi = 0;

    if (Magic != MULTIBOOT2_LOADED) {
        OslFail("not started by a multiboot2 boot loader (magic 0x%08X)", Magic);
    }
    for (uint32_t Offset = 8; Offset + sizeof(TAG) <= Total;) {
        const TAG *Tag = (const TAG *)(Address + Offset);

        if (Tag->Type == TagEnd || Tag->Size < sizeof(TAG) || Tag->Size > Total - Offset) {
            break;
        }
        if (Tag->Type == TagMemoryMap) {
            Bios = (const MAP_TAG *)Tag;
        } else if (Tag->Type == TagEfiMemoryMap) {
            Efi = (const MAP_TAG *)Tag;
        } else {
            ReadTag(Tag);
        }
        Offset += (Tag->Size + 7) & ~7u;
    }
    if (Bios == 0 && Efi == 0) {
        OslFail("GRUB passed no memory map");
    }
    if (Efi != 0) {
        OslBoot.IsUefi = 1;
    }
    ReadMemoryMap(Efi != 0 ? Efi : Bios, Efi != 0);
}
