/*
 * iso.c - parser of ISO 9660 volumes with Joliet names.
 *
 * A volume is described by a sequence of descriptors from sector 16 to a terminator. The primary one must exist; if a
 * supplementary one carries a Joliet escape sequence and a usable root, the tree below it is used instead, because
 * its names are the real ones. A directory is a sequence of records that never cross a sector; a record of length 0
 * ends its sector.
 *
 * What is wrong with the shape of a directory (lengths that run out of the record or the sector) makes it IsoCorrupt,
 * because nothing after that point can be trusted. What is wrong with one file (an extent beyond the disc) makes
 * that file Damaged: it is listed and cannot be opened, and its neighbours are unharmed. Numbers that are recorded in
 * both byte orders are taken from the little-endian half.
 *
 * A file may have several extents (files of 4 GB and more); they are accepted where they follow one another on
 * the disc, as every mastering program writes them. No allocation, no globals, no recursion; every loop ends because
 * its offset grows toward a checked limit.
 */
#include "iso.h"

/* ECMA-119 8.4: fields of a primary or supplementary volume descriptor. */
#define VD_TYPE         0
#define VD_IDENTIFIER   1
#define VD_VERSION      6
#define VD_VOLUME_ID    40
#define VD_SPACE_SIZE   80
#define VD_ESCAPES      88
#define VD_BLOCK_SIZE   128
#define VD_ROOT         156
#define VD_CREATED      813
#define VD_TYPE_BOOT    0
#define VD_TYPE_PRIMARY 1
#define VD_TYPE_SUPPL   2
#define VD_TYPE_PARTS   3
#define VD_TYPE_END     255

/* ECMA-119 9.1: fields of a directory record. */
#define DR_LENGTH      0
#define DR_ATTR_LENGTH 1
#define DR_SECTOR      2
#define DR_BYTES       10
#define DR_DATE        18
#define DR_FLAGS       25
#define DR_UNIT_SIZE   26
#define DR_GAP_SIZE    27
#define DR_NAME_LENGTH 32
#define DR_NAME        33
#define DR_MINIMUM     34 /* a name of one byte */

static uint16_t Get16(const uint8_t *Bytes)
{
    return (uint16_t)(Bytes[0] | Bytes[1] << 8);
}

static uint32_t Get32(const uint8_t *Bytes)
{
    return (uint32_t)Bytes[0] | (uint32_t)Bytes[1] << 8 | (uint32_t)Bytes[2] << 16 | (uint32_t)Bytes[3] << 24;
}

static uint16_t GetBig16(const uint8_t *Bytes)
{
    return (uint16_t)(Bytes[0] << 8 | Bytes[1]);
}

static uint64_t SectorsOf(uint64_t Bytes)
{
    return (Bytes + ISO_SECTOR - 1) / ISO_SECTOR;
}

/* Whether the data lies on the disc. Sectors before 16 are the system area, in which no file can be. */
static bool ExtentOnDisc(const ISO_VOLUME *Volume, const ISO_EXTENT *Extent)
{
    return Extent->Bytes == 0 || (Extent->Sector >= ISO_FIRST_DESCRIPTOR && Extent->Sector < Volume->DiscSectors &&
                                  SectorsOf(Extent->Bytes) <= (uint64_t)Volume->DiscSectors - Extent->Sector);
}

/* Extent named by a record. FALSE: it cannot be used. */
static bool DecodeExtent(const ISO_VOLUME *Volume, const uint8_t *Record, ISO_EXTENT *Extent)
{
    uint32_t Sector = Get32(Record + DR_SECTOR);
    uint32_t Attributes = Record[DR_ATTR_LENGTH]; /* sectors before the data */

    Extent->Sector = Sector + Attributes;
    Extent->Bytes = Get32(Record + DR_BYTES);
    if (Sector > UINT32_MAX - Attributes) {
        return false;
    }
    /* Interleaved files (9.1.7, 9.1.8) do not occur outside CD-I; their data would not be contiguous. */
    if (Record[DR_UNIT_SIZE] != 0 || Record[DR_GAP_SIZE] != 0) {
        return false;
    }
    return ExtentOnDisc(Volume, Extent);
}

void IsoBeginVolume(ISO_VOLUME *Volume, uint32_t DiscSectors)
{
    *Volume = (ISO_VOLUME){.DiscSectors = DiscSectors};
}

static bool HasIdentifier(const uint8_t *Sector)
{
    static const uint8_t Identifier[5] = {'C', 'D', '0', '0', '1'};

    for (unsigned Index = 0; Index < sizeof(Identifier); Index++) {
        if (Sector[VD_IDENTIFIER + Index] != Identifier[Index]) {
            return false;
        }
    }
    return true;
}

/* Joliet marks its descriptor by the escape sequence of UCS-2 level 1, 2 or 3 (Joliet specification, 3.2). */
static bool IsJoliet(const uint8_t *Sector)
{
    const uint8_t *Escape = Sector + VD_ESCAPES;

    return Escape[0] == '%' && Escape[1] == '/' && (Escape[2] == '@' || Escape[2] == 'C' || Escape[2] == 'E');
}

static void DecodeLabel(ISO_VOLUME *Volume, const uint8_t *Sector, bool Wide)
{
    uint32_t Count = Wide ? ISO_MAX_LABEL / 2 : ISO_MAX_LABEL;
    uint32_t Length = 0;

    for (uint32_t Index = 0; Index < Count; Index++) {
        uint16_t Character = Wide ? GetBig16(Sector + VD_VOLUME_ID + 2 * Index) : Sector[VD_VOLUME_ID + Index];

        if (Character == 0) {
            break;
        }
        Volume->Label[Index] = Character;
        if (Character != ' ') {
            Length = Index + 1;
        }
    }
    Volume->LabelLength = Length;
}

/* 16 digits and a zone (8.4.26.1) into the 7 bytes of a record's date; all zero if there is no date. */
static void DecodeLongDate(const uint8_t *Text, uint8_t Date[7])
{
    uint32_t Fields[6]; /* year, month, day, hour, minute, second */
    uint32_t At = 0;

    for (unsigned Field = 0; Field < 6; Field++) {
        unsigned Digits = Field == 0 ? 4 : 2;

        Fields[Field] = 0;
        for (; Digits != 0; Digits--, At++) {
            if (Text[At] < '0' || Text[At] > '9') {
                return;
            }
            Fields[Field] = Fields[Field] * 10 + (Text[At] - '0');
        }
    }
    if (Fields[0] < 1900 || Fields[0] > 1900 + 255) {
        return;
    }
    Date[0] = (uint8_t)(Fields[0] - 1900);
    for (unsigned Field = 1; Field < 6; Field++) {
        Date[Field] = (uint8_t)Fields[Field];
    }
    Date[6] = Text[16];
}

static uint32_t Checksum(const uint8_t *Sector)
{
    uint32_t Sum = 0;

    for (uint32_t At = 0; At < ISO_SECTOR; At += 4) {
        Sum += Get32(Sector + At);
    }
    return Sum;
}

/* Takes over a descriptor that has a usable root directory. */
static bool AdoptTree(ISO_VOLUME *Volume, const uint8_t *Sector, bool Joliet)
{
    const uint8_t *Root = Sector + VD_ROOT;
    ISO_EXTENT Extent;

    if (Get16(Sector + VD_BLOCK_SIZE) != ISO_SECTOR || Root[DR_LENGTH] < DR_MINIMUM ||
        (Root[DR_FLAGS] & ISO_FLAG_DIRECTORY) == 0 || !DecodeExtent(Volume, Root, &Extent) || Extent.Bytes == 0) {
        return false;
    }
    Volume->Root = Extent;
    Volume->Joliet = Joliet;
    DecodeLabel(Volume, Sector, Joliet);
    DecodeLongDate(Sector + VD_CREATED, Volume->Date);
    return true;
}

ISO_RESULT IsoAddDescriptor(ISO_VOLUME *Volume, const uint8_t *Sector)
{
    bool First = Volume->DescriptorSeen++ == 0;

    if (!HasIdentifier(Sector)) {
        return First ? IsoNotIso : IsoCorrupt;
    }
    if (Volume->DescriptorSeen > ISO_MAX_DESCRIPTORS) {
        return IsoCorrupt;
    }
    switch (Sector[VD_TYPE]) {
    case VD_TYPE_END:
        return IsoEnd;
    case VD_TYPE_PRIMARY:
        /* A second primary descriptor is an allowed copy of the first (6.7.1.1). */
        if (!Volume->HasPrimary) {
            Volume->HasPrimary = true;
            Volume->VolumeSectors = Get32(Sector + VD_SPACE_SIZE);
            Volume->Serial = Checksum(Sector);
            if (Volume->Root.Bytes == 0) {
                AdoptTree(Volume, Sector, false);
            }
        }
        return IsoOk;
    case VD_TYPE_SUPPL:
        if (!Volume->Joliet && IsJoliet(Sector)) {
            AdoptTree(Volume, Sector, true);
        }
        return IsoOk;
    default: /* boot records, partitions, and what later standards add */
        return IsoOk;
    }
}

ISO_RESULT IsoFinishVolume(ISO_VOLUME *Volume)
{
    if (!Volume->HasPrimary) {
        return IsoNotIso;
    }
    /* Directory offsets are 32 bits here and on the disc; a root comes from one record, so this always holds. */
    return Volume->Root.Bytes != 0 && Volume->Root.Bytes <= UINT32_MAX ? IsoOk : IsoCorrupt;
}

/* Characters that would change the meaning of a path or a pattern if a disc's name contained them. */
static bool IsUnsafe(uint16_t Character)
{
    return Character < 0x20 || Character == '\\' || Character == '/' || Character == ':' || Character == '*' ||
           Character == '?' || Character == '"' || Character == '<' || Character == '>' || Character == '|';
}

/* "NAME.EXT;1" is shown as NAME.EXT, and "NAME.;1" as NAME (7.5.1: the separators are always recorded). */
static void StripVersion(ISO_RECORD *Record, bool Joliet)
{
    uint32_t Length = Record->NameLength;
    uint32_t Digits = 0;

    while (Digits < Length && Record->Name[Length - 1 - Digits] >= '0' && Record->Name[Length - 1 - Digits] <= '9') {
        Digits++;
    }
    if (Digits != 0 && Digits + 1 < Length && Record->Name[Length - 1 - Digits] == ';') {
        Length -= Digits + 1;
        if (!Joliet && Length > 1 && Record->Name[Length - 1] == '.') {
            Length--;
        }
        Record->NameLength = Length;
    }
}

static ISO_RESULT DecodeName(const ISO_VOLUME *Volume, const uint8_t *Raw, ISO_RECORD *Record)
{
    uint32_t Bytes = Raw[DR_NAME_LENGTH];
    uint32_t Unit = Volume->Joliet ? 2 : 1;

    Record->Kind = IsoNameOrdinary;
    if (Bytes == 1 && Raw[DR_NAME] <= 1) {
        Record->Kind = Raw[DR_NAME] == 0 ? IsoNameSelf : IsoNameParent;
        Record->NameLength = Record->Kind == IsoNameSelf ? 1 : 2;
        Record->Name[0] = Record->Name[1] = '.';
        return IsoOk;
    }
    if (Bytes % Unit != 0) {
        return IsoCorrupt;
    }
    Record->NameLength = Bytes / Unit; /* FindRaw has checked that the name ends within its record: at most 222 */
    for (uint32_t Index = 0; Index < Record->NameLength; Index++) {
        uint16_t Character = Unit == 2 ? GetBig16(Raw + DR_NAME + 2 * Index) : Raw[DR_NAME + Index];

        Record->Name[Index] = IsUnsafe(Character) ? '_' : Character;
    }
    if ((Record->Flags & ISO_FLAG_DIRECTORY) == 0) {
        StripVersion(Record, Volume->Joliet);
    }
    return IsoOk;
}

/*
 * The record at or after *Offset inside its directory; *Offset moves to it. Checks that it lies within its sector and
 * holds the name it claims.
 */
static ISO_RESULT FindRaw(ISO_READ_SECTOR Read, void *Context, uint32_t DirectoryBytes, uint32_t *Offset,
                          const uint8_t **Raw)
{
    while (*Offset < DirectoryBytes) {
        uint32_t InSector = *Offset % ISO_SECTOR;
        uint32_t Room = ISO_SECTOR - InSector;
        const uint8_t *Sector = Read(Context, *Offset - InSector);
        uint32_t Length;

        if (Sector == NULL) {
            return IsoCorrupt;
        }
        Length = Sector[InSector];
        if (Length == 0) {
            if (*Offset > UINT32_MAX - Room) {
                return IsoEnd;
            }
            *Offset += Room;
            continue;
        }
        if (Room > DirectoryBytes - *Offset) {
            Room = DirectoryBytes - *Offset;
        }
        *Raw = Sector + InSector;
        if (Length < DR_MINIMUM || Length > Room || (*Raw)[DR_NAME_LENGTH] == 0 ||
            (*Raw)[DR_NAME_LENGTH] > Length - DR_NAME) {
            return IsoCorrupt;
        }
        return IsoOk;
    }
    return IsoEnd;
}

/* Adds the following records of a file with several extents. Each must continue where the one before ends. */
static ISO_RESULT JoinExtents(const ISO_VOLUME *Volume, ISO_READ_SECTOR Read, void *Context, uint32_t DirectoryBytes,
                              uint32_t *Offset, ISO_RECORD *Record)
{
    uint8_t Flags = Record->Flags;

    while ((Flags & ISO_FLAG_MULTI_EXTENT) != 0) {
        ISO_EXTENT Next;
        const uint8_t *Raw;
        ISO_RESULT Result = FindRaw(Read, Context, DirectoryBytes, Offset, &Raw);

        if (Result != IsoOk) {
            return IsoCorrupt; /* the last extent is missing */
        }
        if (!DecodeExtent(Volume, Raw, &Next) || Record->Extent.Bytes % ISO_SECTOR != 0 ||
            Next.Sector != Record->Extent.Sector + Record->Extent.Bytes / ISO_SECTOR) {
            Record->Damaged = true;
        }
        Record->Extent.Bytes += Next.Bytes;
        Flags = Raw[DR_FLAGS];
        *Offset += Raw[DR_LENGTH];
    }
    if (!ExtentOnDisc(Volume, &Record->Extent)) {
        Record->Damaged = true;
    }
    return IsoOk;
}

ISO_RESULT IsoNextRecord(const ISO_VOLUME *Volume, ISO_READ_SECTOR Read, void *Context, uint32_t DirectoryBytes,
                         uint32_t *Offset, ISO_RECORD *Record)
{
    const uint8_t *Raw;
    ISO_RESULT Result = FindRaw(Read, Context, DirectoryBytes, Offset, &Raw);

    if (Result != IsoOk) {
        return Result;
    }
    Record->Offset = *Offset;
    Record->Flags = Raw[DR_FLAGS];
    Record->Damaged = !DecodeExtent(Volume, Raw, &Record->Extent);
    for (unsigned Index = 0; Index < sizeof(Record->Date); Index++) {
        Record->Date[Index] = Raw[DR_DATE + Index];
    }
    Result = DecodeName(Volume, Raw, Record);
    if (Result != IsoOk) {
        return Result;
    }
    *Offset += Raw[DR_LENGTH];
    if ((Record->Flags & ISO_FLAG_DIRECTORY) != 0) {
        /* A directory is one extent, without which it could not even hold its own entry (6.8.1). */
        if ((Record->Flags & ISO_FLAG_MULTI_EXTENT) != 0 || Record->Extent.Bytes == 0) {
            Record->Damaged = true;
        }
        return IsoOk;
    }
    return JoinExtents(Volume, Read, Context, DirectoryBytes, Offset, Record);
}
