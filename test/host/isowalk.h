/*
 * isowalk.h - walks a whole image with the ISO parser, for the unit test and the fuzz target.
 *
 * Every sector is handed to the parser in a heap block of its own, so that AddressSanitizer sees a read past its end.
 * Directories are entered as the file system enters them: not when an ancestor lies at the same place.
 */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "fs/cdfs/iso.c"

#define ISOWALK_DEPTH   32
#define ISOWALK_RECORDS 20000 /* the parser ends by itself; this bounds the breadth of a hostile tree */

typedef struct _ISOWALK {
    const uint8_t *Image;
    size_t Bytes;
    ISO_VOLUME Volume;
    ISO_EXTENT Path[ISOWALK_DEPTH]; /* extents of the directories entered */
    uint8_t *Sector;                /* the last one handed out */
    uint32_t Records, Directories, Files, Damaged, Corrupt, Loops;
    void (*Visit)(struct _ISOWALK *Walk, const ISO_RECORD *Record, const char *Path); /* optional */
} ISOWALK;

typedef struct _ISOWALK_READER {
    ISOWALK *Walk;
    uint32_t First; /* sector of the directory */
    uint32_t Limit; /* bytes */
} ISOWALK_READER;

static const uint8_t *IsoWalkCopy(ISOWALK *Walk, uint64_t Sector)
{
    if (Sector >= Walk->Bytes / ISO_SECTOR) {
        return NULL;
    }
    free(Walk->Sector);
    Walk->Sector = malloc(ISO_SECTOR);
    memcpy(Walk->Sector, Walk->Image + Sector * ISO_SECTOR, ISO_SECTOR);
    return Walk->Sector;
}

static const uint8_t *IsoWalkSector(void *Context, uint32_t Offset)
{
    ISOWALK_READER *Reader = Context;

    if (Offset % ISO_SECTOR != 0 || Offset >= Reader->Limit) {
        abort(); /* the parser must never ask for this */
    }
    return IsoWalkCopy(Reader->Walk, (uint64_t)Reader->First + Offset / ISO_SECTOR);
}

/* Name in UTF-8; surrogates are not paired, which tests do not need. */
static void IsoWalkName(const ISO_RECORD *Record, char *Out)
{
    for (uint32_t Index = 0; Index < Record->NameLength; Index++) {
        unsigned Character = Record->Name[Index];

        if (Character < 0x80) {
            *Out++ = (char)Character;
        } else if (Character < 0x800) {
            *Out++ = (char)(0xC0 | Character >> 6);
            *Out++ = (char)(0x80 | (Character & 0x3F));
        } else {
            *Out++ = (char)(0xE0 | Character >> 12);
            *Out++ = (char)(0x80 | (Character >> 6 & 0x3F));
            *Out++ = (char)(0x80 | (Character & 0x3F));
        }
    }
    *Out = 0;
}

static int IsoWalkIsLoop(const ISOWALK *Walk, unsigned Depth, const ISO_RECORD *Record)
{
    for (unsigned Index = 0; Index < Depth; Index++) {
        if (Walk->Path[Index].Sector == Record->Extent.Sector) {
            return 1;
        }
    }
    return 0;
}

static void IsoWalkDirectory(ISOWALK *Walk, unsigned Depth, const char *Path)
{
    ISOWALK_READER Reader = {Walk, Walk->Path[Depth - 1].Sector, (uint32_t)Walk->Path[Depth - 1].Bytes};
    ISO_RECORD *Record = malloc(sizeof(*Record));
    char *Child = malloc(strlen(Path) + 3 * ISO_MAX_NAME + 2);
    uint32_t Offset = 0;
    ISO_RESULT Result;

    while ((Result = IsoNextRecord(&Walk->Volume, IsoWalkSector, &Reader, Reader.Limit, &Offset, Record)) == IsoOk) {
        if (Walk->Records++ > ISOWALK_RECORDS) {
            break;
        }
        if (Record->Offset >= Offset || Record->NameLength > ISO_MAX_NAME) {
            abort();
        }
        if (Record->Kind != IsoNameOrdinary) {
            continue;
        }
        strcpy(Child, Path);
        strcat(Child, "/");
        IsoWalkName(Record, Child + strlen(Child));
        if (Record->Damaged) {
            Walk->Damaged++;
            continue;
        }
        if (Record->Extent.Bytes != 0 &&
            Record->Extent.Sector + (Record->Extent.Bytes + ISO_SECTOR - 1) / ISO_SECTOR > Walk->Volume.DiscSectors) {
            abort(); /* an extent that is not damaged lies on the disc */
        }
        if (Walk->Visit != NULL) {
            Walk->Visit(Walk, Record, Child);
        }
        if ((Record->Flags & ISO_FLAG_DIRECTORY) == 0) {
            Walk->Files++;
        } else if (IsoWalkIsLoop(Walk, Depth, Record)) {
            Walk->Loops++;
        } else if (Depth < ISOWALK_DEPTH) {
            Walk->Directories++;
            Walk->Path[Depth] = Record->Extent;
            IsoWalkDirectory(Walk, Depth + 1, Child);
        }
    }
    Walk->Corrupt += Result == IsoCorrupt;
    free(Child);
    free(Record);
}

/* Evaluates the descriptors and walks the tree. Returns what mounting would have come to. */
static ISO_RESULT IsoWalk(ISOWALK *Walk, const uint8_t *Image, size_t Bytes)
{
    ISO_RESULT Result = IsoOk;

    Walk->Image = Image;
    Walk->Bytes = Bytes;
    IsoBeginVolume(&Walk->Volume, (uint32_t)(Bytes / ISO_SECTOR));
    for (uint32_t Number = ISO_FIRST_DESCRIPTOR; Result == IsoOk; Number++) {
        const uint8_t *Sector = IsoWalkCopy(Walk, Number);

        Result = Sector == NULL ? IsoCorrupt : IsoAddDescriptor(&Walk->Volume, Sector);
    }
    if (Result == IsoEnd) {
        Result = IsoFinishVolume(&Walk->Volume);
    }
    if (Result == IsoOk) {
        Walk->Path[0] = Walk->Volume.Root;
        IsoWalkDirectory(Walk, 1, "");
    }
    free(Walk->Sector);
    Walk->Sector = NULL;
    return Result;
}
