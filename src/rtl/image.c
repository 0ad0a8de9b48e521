/*
 * image.c (rtl) - finding things in a PE32+ image that is mapped: its headers, a data directory, an exported routine.
 *
 * What is walked here was checked by whoever loaded it, but RtlImageNtHeader may be handed any address that a driver takes for an
 * image, so it checks the two signatures. The export walk itself is peimage.c's, which trusts nothing inside the image.
 *
 * No locks. IRQL: any, if the image is resident; no routine allocates. Source: "PE Format" (Microsoft Learn).
 */
#include <ntos/peimage.h>
#include <ntos/rtl.h>

#include <ntimage.h>

C_ASSERT(FIELD_OFFSET(IMAGE_DOS_HEADER, e_lfanew) == 0x3C);

/* The headers of an image; NULL: Base is none. */
PIMAGE_NT_HEADERS64 NTAPI RtlImageNtHeader(PVOID Base)
{
    PIMAGE_DOS_HEADER Dos = Base;
    PIMAGE_NT_HEADERS64 Headers;

    if (Base == NULL || Dos->e_magic != IMAGE_DOS_SIGNATURE || Dos->e_lfanew < (LONG)sizeof(*Dos) ||
        Dos->e_lfanew > (LONG)(PAGE_SIZE - sizeof(*Headers))) {
        return NULL;
    }
    Headers = (PIMAGE_NT_HEADERS64)((PUCHAR)Base + Dos->e_lfanew);
    return (Headers->Signature == IMAGE_NT_SIGNATURE) ? Headers : NULL;
}

/* Where the bytes of a relative virtual address lie in a file that is mapped as it is on disk; NULL: in no section. */
static PVOID RtlpRvaInFile(PVOID Base, PIMAGE_NT_HEADERS64 Headers, ULONG Rva)
{
    PIMAGE_SECTION_HEADER Section = IMAGE_FIRST_SECTION(Headers);

    if (Rva < Headers->OptionalHeader.SizeOfHeaders) {
        return (PUCHAR)Base + Rva;
    }
    for (ULONG Index = 0; Index < Headers->FileHeader.NumberOfSections; Index++, Section++) {
        if (Rva - Section->VirtualAddress < Section->SizeOfRawData) {
            return (PUCHAR)Base + Section->PointerToRawData + (Rva - Section->VirtualAddress);
        }
    }
    return NULL;
}

/**
 * RtlImageDirectoryEntryToData - finds a data directory (exports, resources, ...) of an image.
 *
 * @MappedAsImage  TRUE: sections lie at their virtual addresses; FALSE: as in the file
 * @Directory      IMAGE_DIRECTORY_ENTRY_*
 * @Size           gets its bytes
 * returns         its address; NULL: no image, or no such directory
 */
PVOID NTAPI RtlImageDirectoryEntryToData(PVOID Base, BOOLEAN MappedAsImage, USHORT Directory, PULONG Size)
{
    PIMAGE_NT_HEADERS64 Headers = RtlImageNtHeader(Base);
    PIMAGE_DATA_DIRECTORY Entry;

    *Size = 0;
    if (Headers == NULL || Headers->OptionalHeader.Magic != IMAGE_NT_OPTIONAL_HDR64_MAGIC ||
        Directory >= min(Headers->OptionalHeader.NumberOfRvaAndSizes, IMAGE_NUMBEROF_DIRECTORY_ENTRIES)) {
        return NULL;
    }
    Entry = &Headers->OptionalHeader.DataDirectory[Directory];
    if (Entry->VirtualAddress == 0 || Entry->VirtualAddress >= Headers->OptionalHeader.SizeOfImage) {
        return NULL;
    }
    *Size = Entry->Size;
    return MappedAsImage ? (PUCHAR)Base + Entry->VirtualAddress : RtlpRvaInFile(Base, Headers, Entry->VirtualAddress);
}

/* The address of what an image that is mapped as such exports under a name; NULL: nothing. Forwarders are not followed. */
PVOID RtlpFindExport(PVOID Base, PCSTR Name)
{
    PIMAGE_NT_HEADERS64 Headers = RtlImageNtHeader(Base);
    PE_VIEW View = {.Base = Base};
    PE_EXPORT Export;
    ULONG Size;
    PVOID Directory = RtlImageDirectoryEntryToData(Base, TRUE, IMAGE_DIRECTORY_ENTRY_EXPORT, &Size);

    if (Directory == NULL) {
        return NULL;
    }
    View.Header.SizeOfImage = Headers->OptionalHeader.SizeOfImage;
    View.Header.Directory[PE_DIRECTORY_EXPORT].Rva = (ULONG)((PUCHAR)Directory - (PUCHAR)Base);
    View.Header.Directory[PE_DIRECTORY_EXPORT].Size = Size;
    if (PeFindExportByName(&View, Name, &Export) != PeOk || Export.Forwarder != NULL) {
        return NULL;
    }
    return (PUCHAR)Base + Export.Rva;
}
