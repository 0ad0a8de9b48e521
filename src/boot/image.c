/*
 * image.c - loads the boot images: lays them out, moves them to their bases, binds their imports, maps them.
 *
 * The order matters. All modules are laid out before any is bound, because a driver may import from one that comes later;
 * all are bound before any is mapped, because binding writes to import tables that end up read-only. Image 0 is
 * ntoskrnl.exe, the drivers follow in the order of the boot menu.
 *
 * Bases are 2 MB aligned slots in the kernel image region, so that a page table serves one image alone. The kernel's slot
 * is any of the region's; drivers take random slots of the same GB, which costs one page directory for all.
 *
 * An import that cannot be satisfied stops the boot: a driver with a hole in it must never run. Module names are matched
 * without regard to case, and hal.dll is ntoskrnl.exe.
 */
#include "osloader.h"

#define KERNEL_NAME     "ntoskrnl.exe"
#define HAL_NAME        "hal.dll"
#define SLOT_BYTES      MM_LARGE_PAGE
#define GROUP_BYTES     0x40000000ULL /* one page directory */
#define GROUP_SLOTS     512u
#define REGION_GROUPS   ((uint32_t)((MM_DRIVER_IMAGE_BASE - MM_KERNEL_IMAGE_BASE) >> 30))
#define FORWARDER_DEPTH 8
#define SLOT_TRIES      64
#define PAGES_OF(Bytes) (((Bytes) + 4095u) >> 12)

OSL_IMAGE OslImages[OSL_MAXIMUM_MODULES];
uint32_t OslImageCount;

static uint8_t SlotUsed[GROUP_SLOTS];
static uint64_t GroupBase;

static const OSL_IMAGE *FindImage(const char *Name)
{
    if (OslEqualNames(Name, HAL_NAME)) {
        Name = KERNEL_NAME;
    }
    for (uint32_t Index = 0; Index < OslImageCount; Index++) {
        if (OslEqualNames(OslImages[Index].Module->Name, Name)) {
            return &OslImages[Index];
        }
    }
    return 0;
}

static int SlotsFree(uint32_t First, uint32_t Count)
{
    for (uint32_t Slot = First; Slot < First + Count; Slot++) {
        if (Slot >= GROUP_SLOTS || SlotUsed[Slot]) {
            return 0;
        }
    }
    return 1;
}

/* A base for an image: the first free slots under nokaslr, random ones otherwise. */
static uint64_t ChooseBase(const OSL_IMAGE *Image, int Randomize)
{
    uint32_t Count = (uint32_t)((Image->View.Header.SizeOfImage + SLOT_BYTES - 1) >> 21);
    uint32_t First = 0;

    for (int Try = 0; Randomize && Try < SLOT_TRIES; Try++) {
        First = (uint32_t)OslRandom() % GROUP_SLOTS;
        if (SlotsFree(First, Count)) {
            break;
        }
        First = 0;
    }
    while (First < GROUP_SLOTS && !SlotsFree(First, Count)) {
        First++;
    }
    if (First == GROUP_SLOTS) {
        OslFail("%s: the boot images do not fit into 1 GB", Image->Module->Name);
    }
    for (uint32_t Slot = First; Slot < First + Count; Slot++) {
        SlotUsed[Slot] = 1;
    }
    return GroupBase + (uint64_t)First * SLOT_BYTES;
}

static void LayOutModule(const OSL_MODULE *Module, int Randomize)
{
    OSL_IMAGE *Image = &OslImages[OslImageCount];
    PE_STATUS Status;

    if (FindImage(Module->Name) != 0) {
        OslFail("%s: this module is loaded twice", Module->Name);
    }
    Status = PeReadHeader(Module->Bytes, Module->Size, &Image->View.Header);
    if (Status == PeOk && Image->View.Header.EntryRva == 0) {
        Status = PeBadHeader;
    }
    if (Status != PeOk) {
        OslFail("%s: this module %s", Module->Name, PeStatusText(Status));
    }
    Image->Module = Module;
    Image->View.Base = OslAllocatePages(PAGES_OF(Image->View.Header.SizeOfImage), LoaderKernelImage);
    PeLayOut(Module->Bytes, &Image->View.Header, Image->View.Base);
    Image->VirtualBase = ChooseBase(Image, Randomize);
    Status = PeRelocate(&Image->View, Image->VirtualBase);
    if (Status != PeOk) {
        OslFail("%s: this module %s", Module->Name, PeStatusText(Status));
    }
    OslImageCount++;
}

/* "module.name" or "module.#ordinal": splits at the last dot, because module names may have dots and symbols do not. */
static int SplitForwarder(const char *Forwarder, char *Module, const char **Symbol)
{
    uint32_t Dot = 0, Length = 0;

    for (; Forwarder[Length] != 0; Length++) {
        if (Forwarder[Length] == '.') {
            Dot = Length;
        }
    }
    if (Dot == 0 || Dot >= OSL_NAME_BYTES - 5) {
        return 0;
    }
    OslCopyString(Module, Forwarder, Dot + 1);
    *Symbol = Forwarder + Dot + 1;
    return 1;
}

/* Forwarders leave the extension out: it is .exe for the kernel, .dll for hal, .sys for drivers. */
static const OSL_IMAGE *FindForwarderImage(char *Module)
{
    static const char *const Extensions[] = {".dll", ".exe", ".sys"};
    uint32_t Length = 0;

    while (Module[Length] != 0) {
        Length++;
    }
    for (uint32_t Index = 0; Index < sizeof(Extensions) / sizeof(Extensions[0]); Index++) {
        const OSL_IMAGE *Image;

        OslCopyString(Module + Length, Extensions[Index], 5);
        Image = FindImage(Module);
        if (Image != 0) {
            return Image;
        }
    }
    Module[Length] = 0;
    return FindImage(Module);
}

static uint32_t ParseOrdinal(const char *Digits)
{
    uint32_t Value = 0;

    while (*Digits >= '0' && *Digits <= '9' && Value < 0x10000) {
        Value = Value * 10 + (uint32_t)(*Digits++ - '0');
    }
    return Value;
}

/* The virtual address of an export, 0 if there is none; follows forwarders. Name 0: by ordinal. */
static uint64_t ResolveExport(const OSL_IMAGE *Image, const char *Name, uint32_t Ordinal)
{
    char Module[OSL_NAME_BYTES];

    for (int Depth = 0; Image != 0 && Depth < FORWARDER_DEPTH; Depth++) {
        PE_EXPORT Export;
        PE_STATUS Status = Name != 0 ? PeFindExportByName(&Image->View, Name, &Export)
                                     : PeFindExportByOrdinal(&Image->View, Ordinal, &Export);

        if (Status == PeBadExport) {
            OslFail("%s: this module %s", Image->Module->Name, PeStatusText(Status));
        }
        if (Status != PeOk) {
            return 0;
        }
        if (Export.Forwarder == 0) {
            return Image->VirtualBase + Export.Rva;
        }
        if (!SplitForwarder(Export.Forwarder, Module, &Name)) {
            return 0;
        }
        if (*Name == '#') {
            Ordinal = ParseOrdinal(Name + 1);
            Name = 0;
        }
        Image = FindForwarderImage(Module);
    }
    return 0;
}

static void BindImports(const OSL_IMAGE *Image)
{
    PE_IMPORT_CURSOR Cursor = {0};
    PE_IMPORT Import;
    PE_STATUS Status;

    while ((Status = PeNextImport(&Image->View, &Cursor, &Import)) == PeOk) {
        const OSL_IMAGE *Exporter = FindImage(Import.Module);
        uint64_t Address;

        if (Exporter == 0) {
            OslFail("%s: imports from %s, which is not among the boot modules", Image->Module->Name, Import.Module);
        }
        Address = ResolveExport(Exporter, Import.Name, Import.Ordinal);
        if (Address == 0 && Import.Name != 0) {
            OslFail("%s: imports %s, which %s does not export", Image->Module->Name, Import.Name, Import.Module);
        }
        if (Address == 0) {
            OslFail("%s: imports ordinal %u, which %s does not export", Image->Module->Name, Import.Ordinal,
                    Import.Module);
        }
        *(uint64_t *)(Image->View.Base + Import.SlotRva) = Address;
    }
    if (Status != PeNotFound) {
        OslFail("%s: this module %s", Image->Module->Name, PeStatusText(Status));
    }
}

/* Headers read-only; each section with the rights it asks for, never more. Gaps between sections stay unmapped. */
static void MapImage(const OSL_IMAGE *Image)
{
    uint64_t Physical = (uint32_t)Image->View.Base;

    OslMapPages(Image->VirtualBase, Physical, PAGES_OF(Image->View.Header.SizeOfHeaders), OSL_PTE_NX);
    for (uint32_t Index = 0; Index < Image->View.Header.SectionCount; Index++) {
        PE_SECTION Section;
        uint64_t Flags = OSL_PTE_NX;

        PeReadSection(Image->Module->Bytes, &Image->View.Header, Index, &Section);
        if ((Section.Flags & PE_SECTION_EXECUTE) != 0) {
            Flags = 0;
        } else if ((Section.Flags & PE_SECTION_WRITE) != 0) {
            Flags |= OSL_PTE_WRITE;
        }
        OslMapPages(Image->VirtualBase + Section.Rva, Physical + Section.Rva, PAGES_OF(Section.VirtualSize), Flags);
    }
}

void OslLoadImages(void)
{
    int Randomize = !OslHasOption(OslBoot.CommandLine, "nokaslr");
    uint32_t Kernel = 0;

    while (Kernel < OslBoot.ModuleCount && !OslEqualNames(OslBoot.Modules[Kernel].Name, KERNEL_NAME)) {
        Kernel++;
    }
    if (Kernel == OslBoot.ModuleCount) {
        OslFail("%s: this module is missing", KERNEL_NAME);
    }
    GroupBase = MM_KERNEL_IMAGE_BASE + (Randomize ? (uint32_t)OslRandom() % REGION_GROUPS * GROUP_BYTES : 0);
    LayOutModule(&OslBoot.Modules[Kernel], Randomize);
    for (uint32_t Index = 0; Index < OslBoot.ModuleCount; Index++) {
        if (Index != Kernel) {
            LayOutModule(&OslBoot.Modules[Index], Randomize);
        }
    }
    for (uint32_t Index = 0; Index < OslImageCount; Index++) {
        BindImports(&OslImages[Index]);
    }
    for (uint32_t Index = 0; Index < OslImageCount; Index++) {
        MapImage(&OslImages[Index]);
        OslPrint("osloader: %s at 0x%016llX\n", OslImages[Index].Module->Name, OslImages[Index].VirtualBase);
    }
}
