/*
 * peimage.h - a PE32+ parser for images from outside: used by the 32-bit loader, by the kernel and by host tests.
 *
 * Everything works on a (buffer, size) that the caller holds, allocates nothing, and believes nothing: each offset and count in
 * the image is checked before it is followed. An image passes through two layouts: the file (PeReadHeader,
 * PeReadSection, PeLayOut) and the laid-out image of SizeOfImage bytes (the others; PE_VIEW).
 *
 * Source: Microsoft PE and COFF Specification.
 */
#pragma once

#include <stdint.h>

#define PE_DIRECTORY_EXPORT     0u
#define PE_DIRECTORY_IMPORT     1u
#define PE_DIRECTORY_EXCEPTION  3u
#define PE_DIRECTORY_RELOCATION 5u
#define PE_DIRECTORIES          16u

#define PE_SECTION_DISCARDABLE 0x02000000u
#define PE_SECTION_EXECUTE     0x20000000u
#define PE_SECTION_READ        0x40000000u
#define PE_SECTION_WRITE       0x80000000u

#define PE_MAXIMUM_SECTIONS 96u         /* the specification's own limit */
#define PE_MAXIMUM_IMAGE    0x10000000u /* 256 MB: no boot image comes near it, and 32-bit sums cannot overflow */
#define PE_PAGE             4096u

typedef enum _PE_STATUS {
    PeOk = 0,
    PeTruncated,     /* the file ends before what its headers promise */
    PeNotImage,      /* no MZ or PE signature */
    PeWrongMachine,  /* not PE32+ for x86-64 */
    PeBadHeader,     /* sizes or alignments that contradict each other */
    PeBadSection,    /* sections overlap, leave the image, or are writable and executable */
    PeBadRelocation, /* relocation directory damaged, or of an unknown kind */
    PeNoRelocation,  /* must move, but its relocations were stripped */
    PeBadImport,
    PeBadExport,
    PeNotFound, /* no such export, no further import */
} PE_STATUS;

typedef struct _PE_RANGE {
    uint32_t Rva;
    uint32_t Size;
} PE_RANGE;

typedef struct _PE_HEADER {
    uint64_t ImageBase;
    uint32_t SizeOfImage; /* bytes, page multiple */
    uint32_t SizeOfHeaders;
    uint32_t EntryRva; /* 0: none */
    uint32_t TimeDateStamp;
    uint32_t CheckSum;
    uint32_t SectionCount;
    uint32_t SectionTable; /* file offset */
    uint16_t Characteristics;
    uint16_t Subsystem;
    PE_RANGE Directory[PE_DIRECTORIES]; /* absent ones are 0, 0 */
} PE_HEADER;

typedef struct _PE_SECTION {
    char Name[9]; /* NUL-terminated */
    uint32_t Rva;
    uint32_t VirtualSize; /* bytes in memory */
    uint32_t FileOffset;
    uint32_t FileSize; /* bytes from the file, never more than VirtualSize rounded up to pages */
    uint32_t Flags;    /* PE_SECTION_xxx */
} PE_SECTION;

typedef struct _PE_VIEW {
    uint8_t *Base; /* SizeOfImage bytes */
    PE_HEADER Header;
} PE_VIEW;

typedef struct _PE_EXPORT {
    uint32_t Rva;
    const char *Forwarder; /* "module.name" or "module.#ordinal" inside the view, or NULL: then Rva counts */
} PE_EXPORT;

typedef struct _PE_IMPORT {
    const char *Module; /* file name, inside the view */
    const char *Name;   /* inside the view; NULL: by ordinal */
    uint32_t Ordinal;
    uint32_t Hint;    /* guess at the name's index in the export table */
    uint32_t SlotRva; /* where the 8-byte address goes */
} PE_IMPORT;

typedef struct _PE_IMPORT_CURSOR {
    uint32_t Descriptor; /* index of the module's descriptor */
    uint32_t Thunk;      /* index of the import in it */
} PE_IMPORT_CURSOR;

/* What a status means, as the end of a sentence "NAME: ...". */
const char *PeStatusText(PE_STATUS Status);

/**
 * PeReadHeader - checks and decodes the headers and the whole section table of a file.
 *
 * @File, @FileBytes  the file
 * @Header            filled in when PeOk
 * returns            PeOk, PeTruncated, PeNotImage, PeWrongMachine, PeBadHeader, PeBadSection
 */
PE_STATUS PeReadHeader(const void *File, uint64_t FileBytes, PE_HEADER *Header);

/* The same for an image that was laid out and loaded: its sections are where they belong and are not looked at again. */
PE_STATUS PeReadLoadedHeader(const void *Image, uint64_t ImageBytes, PE_HEADER *Header);

/* Section Index (< SectionCount) of a file that passed PeReadHeader. */
void PeReadSection(const void *File, const PE_HEADER *Header, uint32_t Index, PE_SECTION *Section);

/* Copies headers and sections to their RVAs and zeroes the rest. Image: SizeOfImage bytes. File passed PeReadHeader. */
void PeLayOut(const void *File, const PE_HEADER *Header, void *Image);

/**
 * PeRelocate - applies the base relocations of a laid-out image.
 *
 * @NewBase  the address it will run at; nothing is done if that is its preferred one
 * returns   PeOk, PeNoRelocation, PeBadRelocation (the image may be half relocated: do not use it)
 */
PE_STATUS PeRelocate(const PE_VIEW *View, uint64_t NewBase);

/* Export by name (binary search) or by ordinal. PeOk, PeNotFound or PeBadExport. */
PE_STATUS PeFindExportByName(const PE_VIEW *View, const char *Name, PE_EXPORT *Export);
PE_STATUS PeFindExportByOrdinal(const PE_VIEW *View, uint32_t Ordinal, PE_EXPORT *Export);

/* Next import; start with a zeroed cursor. PeOk, PeNotFound at the end, PeBadImport. */
PE_STATUS PeNextImport(const PE_VIEW *View, PE_IMPORT_CURSOR *Cursor, PE_IMPORT *Import);
