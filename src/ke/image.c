/*
 * image.c - the list of loaded images: which module an address belongs to.
 *
 * The unwinder, stack traces and the SMAP rule ask this at any IRQL, inside traps and bug checks, and drivers come and go on
 * other processors meanwhile. So the lookup takes no lock and follows no pointer: it copies what it needs out of a fixed
 * table of slots. A writer makes a slot's sequence odd while it changes it; a reader passes over an odd slot (nothing runs in an image that is being
 * entered or removed) and copies again when the sequence moved under it. A reader that interrupted the writer, in an
 * NMI say, thus never waits for it.
 *
 * PsLoadedModuleList, the same images as a list, is for drivers and debuggers. Slots and list change under KiImageLock; whoever
 * walks the list holds PsLoadedModuleResource, or has stopped the machine. Images of the loader block are entered at
 * start-up, before the first exception, from a static array; the loader block itself does not last.
 */
#include <ntos/ke.h>
#include <ntos/peimage.h>
#include <ntos/rtl.h>

#define KI_MAXIMUM_BOOT_IMAGES 32   /* three dozen drivers would be a large NT system's boot set */
#define KI_IMAGE_SLOTS         128  /* as many drivers as a loaded Windows desktop has; a slot is 64 bytes */
#define PE_HEADER_POINTER      0x3C /* in the DOS header */
#define PE_DIRECTORY_OFFSET                                                                                            \
    (0x18 + 0x70) /* from the PE signature: past the file header, in the PE32+ optional header */
#define KI_NAME_CHARACTERS 64

typedef struct _KI_BOOT_IMAGE {
    KLDR_DATA_TABLE_ENTRY Entry;
    WCHAR Name[KI_NAME_CHARACTERS];
} KI_BOOT_IMAGE;

typedef struct _KI_IMAGE_SLOT {
    volatile LONG Sequence; /* (k) odd while the slot changes */
    KI_IMAGE Image;         /* (k) Size 0: free */
} KI_IMAGE_SLOT;

LIST_ENTRY PsLoadedModuleList = {&PsLoadedModuleList, &PsLoadedModuleList}; /* (k) */

static KI_BOOT_IMAGE KiBootImages[KI_MAXIMUM_BOOT_IMAGES];
static KI_IMAGE_SLOT KiImages[KI_IMAGE_SLOTS]; /* [0] is the kernel's */
static volatile ULONG KiImageCount;            /* (k) slots ever used; lookups stop there */
static KSPIN_LOCK KiImageLock;                 /* (k) */
VF_NAME_LOCK(KiImageLock, "KiImageLock");

/* Changes a slot; readers see all of it or none. KiImageLock held, or start-up. */
static VOID KiWriteSlot(KI_IMAGE_SLOT *Slot, const KI_IMAGE *Image)
{
    Slot->Sequence++;
    _ReadWriteBarrier(); /* stores are seen in program order by x86 processors */
    Slot->Image = *Image;
    _ReadWriteBarrier();
    Slot->Sequence++;
}

/* Lock held, or start-up. */
static NTSTATUS KiFillSlot(PKLDR_DATA_TABLE_ENTRY Entry)
{
    KI_IMAGE Image = {.Base = (ULONG64)Entry->DllBase,
                      .Size = Entry->SizeOfImage,
                      .TableSize = Entry->ExceptionTableSize,
                      .Table = Entry->ExceptionTable};
    ULONG Index = 0;

    for (ULONG Char = 0; Char < sizeof(Image.Name) - 1 && Entry->Name[Char] != 0; Char++) {
        Image.Name[Char] = Entry->Name[Char];
    }
    while (Index < KI_IMAGE_SLOTS && KiImages[Index].Image.Size != 0) {
        Index++;
    }
    if (Index == KI_IMAGE_SLOTS) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    KiWriteSlot(&KiImages[Index], &Image);
    KiImageCount = max(KiImageCount, Index + 1);
    InsertTailList(&PsLoadedModuleList, &Entry->InLoadOrderLinks);
    return STATUS_SUCCESS;
}

NTSTATUS KiEnterImage(PKLDR_DATA_TABLE_ENTRY Entry)
{
    NTSTATUS Status;
    KIRQL Irql;

    KeAcquireSpinLock(&KiImageLock, &Irql);
    Status = KiFillSlot(Entry);
    KeReleaseSpinLock(&KiImageLock, Irql);
    return Status;
}

VOID KiRemoveImage(PKLDR_DATA_TABLE_ENTRY Entry)
{
    static const KI_IMAGE Free;
    KIRQL Irql;

    KeAcquireSpinLock(&KiImageLock, &Irql);
    for (ULONG Index = 1; Index < KiImageCount; Index++) {
        if (KiImages[Index].Image.Base == (ULONG64)Entry->DllBase) {
            KiWriteSlot(&KiImages[Index], &Free);
        }
    }
    RemoveEntryList(&Entry->InLoadOrderLinks);
    KeReleaseSpinLock(&KiImageLock, Irql);
}

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

static VOID KiEnterBootImage(KI_BOOT_IMAGE *Image, const LOADER_IMAGE *Loaded)
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
    KiFillSlot(&Image->Entry); /* there are fewer than slots */
}

VOID KiInitializeImages(LOADER_BLOCK *LoaderBlock)
{
    const LOADER_IMAGE *Images = (const LOADER_IMAGE *)LoaderBlock->Images;

    if (LoaderBlock->ImageCount > KI_MAXIMUM_BOOT_IMAGES) {
        KeBugCheckEx(PHASE0_INITIALIZATION_FAILED, LoaderBlock->ImageCount, KI_MAXIMUM_BOOT_IMAGES, 0, 0);
    }
    for (ULONG Index = 0; Index < LoaderBlock->ImageCount; Index++) {
        KiEnterBootImage(&KiBootImages[Index], &Images[Index]);
    }
}

/* Copies a slot out if Address lies in it. FALSE: it does not, or the slot is changing. */
static BOOLEAN KiReadSlot(const KI_IMAGE_SLOT *Slot, ULONG64 Address, PKI_IMAGE Image)
{
    LONG Sequence;

    do {
        Sequence = Slot->Sequence;
        _ReadWriteBarrier();
        if ((Sequence & 1) != 0 || Address - Slot->Image.Base >= Slot->Image.Size) {
            return FALSE;
        }
        *Image = Slot->Image;
        _ReadWriteBarrier();
    } while (Slot->Sequence != Sequence);
    return TRUE;
}

BOOLEAN KiFindImage(ULONG64 Address, PKI_IMAGE Image)
{
    ULONG Count = KiImageCount;

    for (ULONG Index = 0; Index < Count; Index++) {
        if (KiReadSlot(&KiImages[Index], Address, Image)) {
            return TRUE;
        }
    }
    return FALSE;
}

/* In an image other than the kernel's, which is the first. */
BOOLEAN KiIsDriverAddress(ULONG64 Address)
{
    KI_IMAGE Image;

    return KiFindImage(Address, &Image) && Image.Base != KiImages[0].Image.Base;
}
