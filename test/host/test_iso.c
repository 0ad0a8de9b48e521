/*
 * test_iso.c - the ISO 9660 parser: discs made by xorriso, discs made by hand, and discs damaged at random.
 *
 * A tree with awkward names and sizes is written to a temporary directory and mastered by xorriso (which grub-mkrescue needs
 * anyway); what the parser finds must be that tree, byte for byte. Then bytes of descriptors and directories are
 * changed at random: whatever comes out, the walk must end and stay inside the image.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "isowalk.h"

static char Work[] = "/tmp/oriel-iso-XXXXXX";
static uint8_t *Image;
static size_t ImageBytes;
static unsigned Seed = 20061130;

static unsigned Random(unsigned Limit)
{
    Seed = Seed * 1103515245 + 12345;
    return (Seed >> 8) % Limit;
}

static const struct {
    const char *Path;
    unsigned Bytes;
} Files[] = {
    {"/empty", 0},
    {"/one.bin", 1},
    {"/sector.bin", 2048},
    {"/sector and one.bin", 2049},
    {"/a directory/with a rather long name that ISO level 1 could not have.text", 5000},
    {"/a directory/deeper/deepest/262145.bin", 262145},
    {"/a directory/.hidden", 10},
    {"/Gr\xC3\xBC\xC3\x9F"
     "e/\xD0\xBF\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82.txt",
     77},
    {"/version;1", 33},
    {"/no extension", 4},
};

static uint8_t ContentAt(unsigned File, unsigned Offset)
{
    return (uint8_t)(File * 37 + Offset * 11 + (Offset >> 8));
}

static void MakeFile(const char *Root, const char *Path, unsigned Number, unsigned Bytes)
{
    char Full[512];
    FILE *File;

    snprintf(Full, sizeof(Full), "%s%s", Root, Path);
    for (char *Slash = strchr(Full + strlen(Root) + 1, '/'); Slash != NULL; Slash = strchr(Slash + 1, '/')) {
        *Slash = 0;
        mkdir(Full, 0777);
        *Slash = '/';
    }
    File = fopen(Full, "wb");
    assert_non_null(File);
    for (unsigned Offset = 0; Offset < Bytes; Offset++) {
        fputc(ContentAt(Number, Offset), File);
    }
    fclose(File);
}

static void LoadImage(const char *Path)
{
    FILE *File = fopen(Path, "rb");

    assert_non_null(File);
    fseek(File, 0, SEEK_END);
    ImageBytes = (size_t)ftell(File);
    rewind(File);
    free(Image);
    Image = malloc(ImageBytes);
    assert_int_equal(fread(Image, 1, ImageBytes, File), ImageBytes);
    fclose(File);
}

static int Master(const char *Options)
{
    char Command[512];

    snprintf(Command, sizeof(Command),
             "xorriso -as mkisofs -quiet -V ORIEL_TEST %s -o %s/disc.iso %s/tree >%s/log 2>&1", Options, Work, Work,
             Work);
    if (system(Command) != 0) {
        print_message("%s failed (is xorriso installed?)\n", Command);
        return 1;
    }
    snprintf(Command, sizeof(Command), "%s/disc.iso", Work);
    LoadImage(Command);
    return 0;
}

static int Setup(void **State)
{
    char Root[64], Name[64];

    assert_non_null(mkdtemp(Work));
    snprintf(Root, sizeof(Root), "%s/tree", Work);
    mkdir(Root, 0777);
    for (unsigned Index = 0; Index < sizeof(Files) / sizeof(Files[0]); Index++) {
        MakeFile(Root, Files[Index].Path, Index, Files[Index].Bytes);
    }
    for (unsigned Index = 0; Index < 200; Index++) { /* enough records for several sectors, with gaps at their ends */
        snprintf(Name, sizeof(Name), "/many/file number %03u", Index);
        MakeFile(Root, Name, 100, 3);
    }
    return Master("-J -joliet-long -iso-level 3");
}

static int Teardown(void **State)
{
    char Command[64];

    snprintf(Command, sizeof(Command), "rm -rf %s", Work);
    free(Image);
    return system(Command);
}

static unsigned Found;

static void CheckFile(ISOWALK *Walk, const ISO_RECORD *Record, const char *Path)
{
    for (unsigned Index = 0; Index < sizeof(Files) / sizeof(Files[0]); Index++) {
        if (strcmp(Files[Index].Path, Path) == 0) {
            const uint8_t *Data = Walk->Image + (size_t)Record->Extent.Sector * ISO_SECTOR;

            assert_int_equal(Record->Extent.Bytes, Files[Index].Bytes);
            for (unsigned Offset = 0; Offset < Files[Index].Bytes; Offset++) {
                assert_int_equal(Data[Offset], ContentAt(Index, Offset));
            }
            Found |= 1U << Index;
        }
    }
}

static void TreeOfXorriso(void **State)
{
    ISOWALK Walk = {.Visit = CheckFile};

    Found = 0;
    assert_int_equal(IsoWalk(&Walk, Image, ImageBytes), IsoOk);
    assert_true(Walk.Volume.Joliet);
    assert_int_equal(Walk.Volume.LabelLength, 10);
    assert_int_equal(Walk.Volume.Label[9], 'T');
    /* "version;1" is read back without what looks like a version. */
    assert_int_equal(Found, (1U << sizeof(Files) / sizeof(Files[0])) - 1 - (1U << 8));
    assert_int_equal(Walk.Files, sizeof(Files) / sizeof(Files[0]) + 200);
    assert_int_equal(Walk.Directories, 5);
    assert_int_equal(Walk.Damaged + Walk.Corrupt + Walk.Loops, 0);
}

static unsigned Plain;

static void CheckPlainName(ISOWALK *Walk, const ISO_RECORD *Record, const char *Path)
{
    Plain += strcmp(Path, "/ONE.BIN") == 0;
    Plain += strcmp(Path, "/EMPTY") == 0; /* recorded as "EMPTY.;1" */
    assert_null(strchr(Path, ';'));
}

static void TreeWithoutJoliet(void **State)
{
    ISOWALK Walk = {.Visit = CheckPlainName};

    assert_int_equal(Master("-iso-level 1"), 0);
    assert_int_equal(IsoWalk(&Walk, Image, ImageBytes), IsoOk);
    assert_false(Walk.Volume.Joliet);
    assert_int_equal(Plain, 2);
    assert_int_equal(Walk.Damaged + Walk.Corrupt + Walk.Loops, 0);
    assert_int_equal(Master("-J -joliet-long -iso-level 3"), 0);
}

/* ---- A disc made by hand ---- */

#define SMALL_SECTORS 32
#define SMALL_ROOT    20

static uint8_t Small[SMALL_SECTORS * ISO_SECTOR];

static uint8_t *PutRecord(uint8_t *At, const char *Name, uint8_t Flags, uint32_t Sector, uint32_t Bytes)
{
    uint8_t NameBytes = (uint8_t)(Name[0] <= 1 ? 1 : strlen(Name));

    memset(At, 0, 34 + NameBytes);
    At[0] = (uint8_t)((33 + NameBytes + 1) & ~1);
    for (unsigned Index = 0; Index < 4; Index++) {
        At[2 + Index] = (uint8_t)(Sector >> 8 * Index);
        At[10 + Index] = (uint8_t)(Bytes >> 8 * Index);
    }
    At[25] = Flags;
    At[32] = NameBytes;
    memcpy(At + 33, Name, NameBytes);
    return At + At[0];
}

static uint8_t *MakeSmall(void)
{
    uint8_t *Primary = Small + 16 * ISO_SECTOR;
    uint8_t *End = Small + 17 * ISO_SECTOR;
    uint8_t *Root = Small + SMALL_ROOT * ISO_SECTOR;

    memset(Small, 0, sizeof(Small));
    memcpy(Primary, "\1CD001\1", 7);
    Primary[80] = SMALL_SECTORS;
    Primary[129] = ISO_SECTOR >> 8;
    PutRecord(Primary + 156, "\0", ISO_FLAG_DIRECTORY, SMALL_ROOT, ISO_SECTOR);
    memcpy(End, "\377CD001\1", 7);
    Root = PutRecord(Root, "\0", ISO_FLAG_DIRECTORY, SMALL_ROOT, ISO_SECTOR);
    return PutRecord(Root, "\1", ISO_FLAG_DIRECTORY, SMALL_ROOT, ISO_SECTOR);
}

static ISOWALK WalkSmall(ISO_RESULT Expected)
{
    ISOWALK Walk = {0};

    assert_int_equal(IsoWalk(&Walk, Small, sizeof(Small)), Expected);
    return Walk;
}

static void ExtentsOnTheDisc(void **State)
{
    uint8_t *Next = MakeSmall();
    ISOWALK Walk;

    Next = PutRecord(Next, "FITS.;1", 0, 31, 2048);
    Next = PutRecord(Next, "ONEMORE.;1", 0, 31, 2049);
    Next = PutRecord(Next, "BEYOND.;1", 0, 32, 1);
    Next = PutRecord(Next, "WRAPS.;1", 0, 0xFFFFFFFF, 4096);
    Next = PutRecord(Next, "HUGE.;1", 0, 21, 0xFFFFFFFF);
    Next = PutRecord(Next, "SYSTEM.;1", 0, 3, 100);
    Next = PutRecord(Next, "EMPTY.;1", 0, 0xFFFFFFFF, 0);
    PutRecord(Next, "ATTRS.;1", 0, 31, 10);
    Next[1] = 1; /* an extended attribute record of one sector pushes the data off the disc */
    Walk = WalkSmall(IsoOk);
    assert_int_equal(Walk.Files, 2);
    assert_int_equal(Walk.Damaged, 6);
}

static void LoopsAndNoDirectories(void **State)
{
    uint8_t *Next = MakeSmall();
    ISOWALK Walk;

    Next = PutRecord(Next, "AGAIN", ISO_FLAG_DIRECTORY, SMALL_ROOT, ISO_SECTOR);
    Next = PutRecord(Next, "NOTHING", ISO_FLAG_DIRECTORY, 21, 0);
    PutRecord(Next, "CHILD", ISO_FLAG_DIRECTORY, 21, ISO_SECTOR);
    PutRecord(Small + 21 * ISO_SECTOR, "BACK", ISO_FLAG_DIRECTORY, SMALL_ROOT, ISO_SECTOR);
    Walk = WalkSmall(IsoOk);
    assert_int_equal(Walk.Loops, 2);
    assert_int_equal(Walk.Damaged, 1);
    assert_int_equal(Walk.Directories, 1);
}

static void RecordsOutOfShape(void **State)
{
    static const struct {
        unsigned Field;
        uint8_t Value;
    } Bad[] = {{0, 1}, {0, 33}, {0, 255}, {32, 0}, {32, 255}, {32, 9}};

    for (unsigned Index = 0; Index < sizeof(Bad) / sizeof(Bad[0]); Index++) {
        uint8_t *Record = MakeSmall();

        PutRecord(Record, "FILE.;1", 0, 25, 1);
        Record[Bad[Index].Field] = Bad[Index].Value;
        if (Bad[Index].Field == 0 && Bad[Index].Value == 255) {
            /* Long, but inside its sector: it hides what follows and is otherwise fine. */
            assert_int_equal(WalkSmall(IsoOk).Corrupt, 0);
            continue;
        }
        assert_int_equal(WalkSmall(IsoOk).Corrupt, 1);
    }
    /* The last record of a sector must end in it. */
    MakeSmall();
    memset(Small + SMALL_ROOT * ISO_SECTOR, 0, ISO_SECTOR);
    for (uint8_t *At = Small + SMALL_ROOT * ISO_SECTOR; At < Small + (SMALL_ROOT + 1) * ISO_SECTOR - 40; At += 40) {
        PutRecord(At, "ABCDE", 0, 25, 1);
        At[0] = 40;
    }
    Small[(SMALL_ROOT + 1) * ISO_SECTOR - 8] = 50;
    assert_int_equal(WalkSmall(IsoOk).Corrupt, 1);
}

static void UnsafeNames(void **State)
{
    uint8_t *Next = MakeSmall();
    ISOWALK_READER Reader;
    ISOWALK Walk;
    ISO_RECORD Record;
    uint32_t Offset = 0;

    PutRecord(Next, "..\\A/B:C*;12", 0, 25, 1);
    Walk = WalkSmall(IsoOk);
    Reader = (ISOWALK_READER){&Walk, SMALL_ROOT, ISO_SECTOR};
    for (unsigned Index = 0; Index < 3; Index++) {
        assert_int_equal(IsoNextRecord(&Walk.Volume, IsoWalkSector, &Reader, ISO_SECTOR, &Offset, &Record), IsoOk);
    }
    assert_int_equal(Record.NameLength, 9);
    assert_int_equal(Record.Name[2], '_');
    assert_int_equal(Record.Name[4], '_');
    free(Walk.Sector);
}

static uint64_t JoinedBytes;
static int JoinedDamaged;

static void CheckJoined(uint32_t SecondSector, uint8_t LastFlags, ISO_RESULT Expected)
{
    uint8_t *Next = MakeSmall();
    ISOWALK_READER Reader;
    ISOWALK Walk;
    ISO_RECORD Record;
    uint32_t Offset = (uint32_t)(Next - (Small + SMALL_ROOT * ISO_SECTOR));

    Next = PutRecord(Next, "BIG.;1", ISO_FLAG_MULTI_EXTENT, 22, 2 * ISO_SECTOR);
    PutRecord(Next, "BIG.;1", LastFlags, SecondSector, 100);
    Walk = WalkSmall(IsoOk);
    Reader = (ISOWALK_READER){&Walk, SMALL_ROOT, ISO_SECTOR};
    assert_int_equal(IsoNextRecord(&Walk.Volume, IsoWalkSector, &Reader, ISO_SECTOR, &Offset, &Record), Expected);
    JoinedBytes = Record.Extent.Bytes;
    JoinedDamaged = Record.Damaged;
    free(Walk.Sector);
}

static void SeveralExtents(void **State)
{
    CheckJoined(24, 0, IsoOk);
    assert_int_equal(JoinedBytes, 2 * ISO_SECTOR + 100);
    assert_false(JoinedDamaged);
    CheckJoined(25, 0, IsoOk);
    assert_true(JoinedDamaged);
    CheckJoined(24, ISO_FLAG_MULTI_EXTENT, IsoCorrupt);
}

static void NotADisc(void **State)
{
    MakeSmall();
    Small[16 * ISO_SECTOR + 1] = 'X';
    WalkSmall(IsoNotIso);
    MakeSmall();
    Small[17 * ISO_SECTOR + 1] = 'X'; /* no terminator */
    WalkSmall(IsoCorrupt);
    MakeSmall();
    Small[16 * ISO_SECTOR + 129] = 2; /* 512-byte blocks */
    WalkSmall(IsoCorrupt);
    MakeSmall();
    Small[16 * ISO_SECTOR + 158] = 200; /* the root beyond the disc */
    WalkSmall(IsoCorrupt);
    MakeSmall();
    Small[16 * ISO_SECTOR] = 0; /* no primary descriptor */
    WalkSmall(IsoNotIso);
    for (unsigned Sector = 16; Sector < SMALL_SECTORS; Sector++) {
        memcpy(Small + Sector * ISO_SECTOR, "\0CD001\1", 7); /* boot records to the end */
    }
    WalkSmall(IsoCorrupt);
}

static void Truncated(void **State)
{
    for (size_t Sectors = 0; Sectors < ImageBytes / ISO_SECTOR; Sectors += Sectors < 220 ? 1 : 13) {
        uint8_t *Part = malloc(Sectors * ISO_SECTOR + 1);
        ISOWALK Walk = {0};
        ISO_RESULT Result;

        memcpy(Part, Image, Sectors * ISO_SECTOR);
        Result = IsoWalk(&Walk, Part, Sectors * ISO_SECTOR);
        assert_true(Sectors > 18 || Result != IsoOk);
        if (Result == IsoOk && Sectors + 160 < ImageBytes / ISO_SECTOR) { /* xorriso pads by 150 sectors */
            assert_true(Walk.Damaged + Walk.Corrupt > 0);
        }
        free(Part);
    }
}

static void DamagedAtRandom(void **State)
{
    uint8_t *Copy = malloc(ImageBytes);
    ISOWALK Whole = {0};
    unsigned Odd = 0;

    assert_int_equal(IsoWalk(&Whole, Image, ImageBytes), IsoOk);
    for (unsigned Round = 0; Round < 1500; Round++) {
        ISOWALK Walk = {0};

        memcpy(Copy, Image, ImageBytes);
        for (unsigned Changes = 1 + Random(30); Changes != 0; Changes--) {
            /* Descriptors, or the first sectors of the directories. */
            size_t Base = Random(4) == 0 ? 16 * ISO_SECTOR : (size_t)Whole.Volume.Root.Sector * ISO_SECTOR;

            Copy[Base + Random(12 * ISO_SECTOR)] = (uint8_t)(Random(3) == 0 ? 0xFF : Random(256));
        }
        Odd += IsoWalk(&Walk, Copy, ImageBytes) != IsoOk || Walk.Damaged + Walk.Corrupt + Walk.Loops != 0;
    }
    assert_true(Odd > 300); /* the changes did reach what matters */
    free(Copy);
}

int main(void)
{
    const struct CMUnitTest Tests[] = {
        cmocka_unit_test(TreeOfXorriso),     cmocka_unit_test(TreeWithoutJoliet),
        cmocka_unit_test(ExtentsOnTheDisc),  cmocka_unit_test(SeveralExtents),
        cmocka_unit_test(UnsafeNames),       cmocka_unit_test(LoopsAndNoDirectories),
        cmocka_unit_test(RecordsOutOfShape), cmocka_unit_test(NotADisc),
        cmocka_unit_test(Truncated),         cmocka_unit_test(DamagedAtRandom),
    };

    return cmocka_run_group_tests(Tests, Setup, Teardown);
}
