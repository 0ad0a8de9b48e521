/*
 * image.c - the list of loaded images: which module an address belongs to.
 *
 * The unwinder, stack traces and the SMAP rule ask this at any IRQL, inside traps and bug checks, so the
 * lookup takes no lock: it reads a table of pointers that only grows, published by its count. PsLoadedModuleList, the
 * same entries as a list, is for drivers and debuggers. Images of the loader block are entered at start-up, before
 * the first exception, from a static array; the loader block itself does not last.
 */
#include <ntos/ke.h>
#include <ntos/peimage.h>
#include <ntos/rtl.h>

#define KI_MAXIMUM_IMAGES 32   /* the boot images; three dozen drivers would be a large NT system's boot set */
#define PE_HEADER_POINTER 0x3C /* in the DOS header */
#define PE_DIRECTORY_OFFSET                                                                                            \
    (0x18 + 0x70) /* from the PE signature: past the file header, in the PE32+ optional header */
#define KI_NAME_CHARACTERS 64

typedef struct _KI_BOOT_IMAGE {
    KLDR_DATA_TABLE_ENTRY Entry;
    WCHAR Name[KI_NAME_CHARACTERS];
} KI_BOOT_IMAGE;

LIST_ENTRY PsLoadedModuleList = {&PsLoadedModuleList, &PsLoadedModuleList};

static KI_BOOT_IMAGE KiBootImages[KI_MAXIMUM_IMAGES];
static PKLDR_DATA_TABLE_ENTRY KiImages[KI_MAXIMUM_IMAGES]; /* (c) below the count */
static volatile ULONG KiImageCount;

static VOID KiNameImage(KI_BOOT_IMAGE *Image, const CHAR *Name)
{
    ULONG Length = 0;

    for (; Length < KI_NAME_CHARACTERS - 1 && Name[Length] != 0; Length++) {
        Image->Entry.Name[Length] = Name[Length];
        Image->Name[Length] = (UCHAR)Name[Length];
    }
    Image->Entry.BaseDllName.Buffer = Image->Name;
    Image->Entry.BaseDllName.Length = (USHORT)(Length * sizeof(WCHAR));
    Image->Entry.BaseDllName.MaximumLength = Image->Entry.BaseDllName.Length;
    Image->Entry.FullDllName = Image->Entry.BaseDllName;
}

static VOID KiEnterImage(KI_BOOT_IMAGE *Image, const LOADER_IMAGE *Loaded)
{
    /* The loader has checked the headers; the file's own sizes no longer hold for the image in memory. */
    const UCHAR *Headers = (const UCHAR *)Loaded->Base + *(const ULONG *)(Loaded->Base + PE_HEADER_POINTER);
    const PE_RANGE *Table = (const PE_RANGE *)(Headers + PE_DIRECTORY_OFFSET) + PE_DIRECTORY_EXCEPTION;

    Image->Entry.DllBase = (PVOID)Loaded->Base;
    Image->Entry.EntryPoint = (PVOID)Loaded->EntryPoint;
    Image->Entry.SizeOfImage = (ULONG)Loaded->Size;
    Image->Entry.LoadCount = 1;
    KiNameImage(Image, Loaded->Name);
    if (Table->Rva != 0 && Table->Rva < Loaded->Size && Table->Size <= Loaded->Size - Table->Rva) {
        Image->Entry.ExceptionTable = (PVOID)(Loaded->Base + Table->Rva);
        Image->Entry.ExceptionTableSize = Table->Size;
    }
    InsertTailList(&PsLoadedModuleList, &Image->Entry.InLoadOrderLinks);
    KiImages[KiImageCount] = &Image->Entry;
    InterlockedIncrement((LONG volatile *)&KiImageCount);
}

VOID KiInitializeImages(LOADER_BLOCK *LoaderBlock)
{
    const LOADER_IMAGE *Images = (const LOADER_IMAGE *)LoaderBlock->Images;

    if (LoaderBlock->ImageCount > KI_MAXIMUM_IMAGES) {
        KeBugCheckEx(PHASE0_INITIALIZATION_FAILED, LoaderBlock->ImageCount, KI_MAXIMUM_IMAGES, 0, 0);
    }
    for (ULONG Index = 0; Index < LoaderBlock->ImageCount; Index++) {
        KiEnterImage(&KiBootImages[Index], &Images[Index]);
    }
}

PKLDR_DATA_TABLE_ENTRY KiFindImage(ULONG64 Address)
{
    ULONG Count = KiImageCount;

    for (ULONG Index = 0; Index < Count; Index++) {
        if (Address - (ULONG64)KiImages[Index]->DllBase < KiImages[Index]->SizeOfImage) {
            return KiImages[Index];
        }
    }
    return NULL;
}

/* In an image other than the kernel's, which is the first. */
BOOLEAN KiIsDriverAddress(ULONG64 Address)
{
    PKLDR_DATA_TABLE_ENTRY Image = KiFindImage(Address);

    return Image != NULL && Image != KiImages[0];
}
