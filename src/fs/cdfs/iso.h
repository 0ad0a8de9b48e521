/*
 * iso.h - what a disc says, decoded and checked.
 *
 * The parser of ISO 9660 volume descriptors and directory records. It knows nothing of the kernel: it works on bytes
 * that somebody else has read, so the same source is tested and fuzzed on the build machine. Every number comes
 * from the disc and is taken for hostile.
 *
 * Source: ECMA-119 (ISO 9660), 4th edition; the Joliet specification, version 1.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ISO_SECTOR           2048u /* bytes; the only logical block size that is accepted */
#define ISO_FIRST_DESCRIPTOR 16u   /* sector of the first volume descriptor (ECMA-119 7.1.1: 16 sectors system area) */
#define ISO_MAX_DESCRIPTORS  64u   /* sets without a terminator are given up here; real ones have fewer than 10 */
#define ISO_MAX_NAME         222u  /* characters: a record is at most 255 bytes, 33 of them fixed */
#define ISO_MAX_LABEL        32u

typedef enum _ISO_RESULT {
    IsoOk,
    IsoEnd,     /* no more descriptors, or no more records */
    IsoNotIso,  /* this is no ISO 9660 volume descriptor */
    IsoCorrupt, /* a structure contradicts the standard or itself */
} ISO_RESULT;

/* A run of sectors that was checked against the disc's size. */
typedef struct _ISO_EXTENT {
    uint32_t Sector; /* first sector of the data, extended attribute record skipped */
    uint64_t Bytes;
} ISO_EXTENT;

typedef struct _ISO_VOLUME {
    uint32_t DiscSectors; /* sectors of the disc; extents end within them */
    ISO_EXTENT Root;
    bool HasPrimary;
    bool Joliet; /* names are UCS-2, big-endian */
    uint16_t Label[ISO_MAX_LABEL];
    uint32_t LabelLength;    /* characters */
    uint32_t VolumeSectors;  /* what the volume claims to have */
    uint32_t Serial;         /* sum over the descriptor, as identification */
    uint8_t Date[7];         /* creation, in the form of a directory record's date */
    uint32_t DescriptorSeen; /* descriptors handed to IsoAddDescriptor so far */
} ISO_VOLUME;

#define ISO_FLAG_HIDDEN       0x01u
#define ISO_FLAG_DIRECTORY    0x02u
#define ISO_FLAG_ASSOCIATED   0x04u
#define ISO_FLAG_MULTI_EXTENT 0x80u

typedef enum _ISO_NAME_KIND { IsoNameOrdinary, IsoNameSelf, IsoNameParent } ISO_NAME_KIND;

/* One file or directory as its record (or records, if it has several extents) describes it. */
typedef struct _ISO_RECORD {
    uint32_t Offset; /* of the first record, in bytes from the start of the directory */
    ISO_EXTENT Extent;
    bool Damaged; /* the extent is unusable: beyond the disc, interleaved, or in parts that do not join */
    uint8_t Flags;
    uint8_t Date[7]; /* years from 1900, month, day, hour, minute, second, quarters of an hour east of GMT */
    ISO_NAME_KIND Kind;
    uint32_t NameLength; /* characters */
    uint16_t Name[ISO_MAX_NAME];
} ISO_RECORD;

/* Gives bytes [Offset, Offset + ISO_SECTOR) of the directory, or NULL if they cannot be read; Offset is aligned. */
typedef const uint8_t *(*ISO_READ_SECTOR)(void *Context, uint32_t Offset);

/**
 * IsoBeginVolume - starts the evaluation of a volume's descriptors.
 *
 * @DiscSectors  sectors that the disc has; nothing on the volume may lie beyond
 */
void IsoBeginVolume(ISO_VOLUME *Volume, uint32_t DiscSectors);

/**
 * IsoAddDescriptor - evaluates the next sector, beginning with ISO_FIRST_DESCRIPTOR.
 *
 * @Sector  ISO_SECTOR bytes
 * returns  IsoOk: hand over the next sector; IsoEnd: that was the last one; IsoNotIso; IsoCorrupt
 */
ISO_RESULT IsoAddDescriptor(ISO_VOLUME *Volume, const uint8_t *Sector);

/**
 * IsoFinishVolume - decides whether what was seen is a usable volume.
 *
 * returns  IsoOk, IsoNotIso (no primary descriptor), IsoCorrupt (no usable root directory)
 */
ISO_RESULT IsoFinishVolume(ISO_VOLUME *Volume);

/**
 * IsoNextRecord - decodes the file or directory at or after an offset.
 *
 * @Read, @Context   give the directory's sectors
 * @DirectoryBytes   length of the directory
 * @Offset           where to begin; gets the offset after the record (or records) returned
 * returns           IsoOk; IsoEnd; IsoCorrupt (a record that is no record, or a sector that could not be read)
 */
ISO_RESULT IsoNextRecord(const ISO_VOLUME *Volume, ISO_READ_SECTOR Read, void *Context, uint32_t DirectoryBytes,
                         uint32_t *Offset, ISO_RECORD *Record);
