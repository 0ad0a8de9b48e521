/*
 * test_peimage.c - the PE parser on an image made here field by field, on damaged copies of it, and on mutations.
 *
 * The image lives in a buffer of exactly its size, and so does the laid-out copy: ASan sees each byte read or written past an
 * end. The mutation loop is deterministic (fixed seed); the libFuzzer target beside it goes on where it stops.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "../../src/rtl/peimage.c"

#define BASE        0xFFFFF80000000000ULL
#define NEW_BASE    0xFFFFF81234600000ULL
#define HEADER_AT   0x80u
#define OPTIONAL_AT (HEADER_AT + 24u)
#define SECTIONS_AT (OPTIONAL_AT + 240u)
#define FILE_BYTES  0xA00u
#define IMAGE_BYTES 0x4000u
#define TEXT_RVA    0x1000u
#define RDATA_RVA   0x2000u /* exports, imports, relocations */
#define DATA_RVA    0x3000u
#define TEXT_AT     0x400u
#define RDATA_AT    0x600u
#define DATA_AT     0x900u

static uint8_t *File;  /* FILE_BYTES */
static uint8_t *Image; /* SizeOfImage, NULL before LayOut */
static PE_VIEW View;

static void Put(uint32_t At, uint64_t Value, uint32_t Bytes)
{
    for (uint32_t Index = 0; Index < Bytes; Index++) {
        File[At + Index] = (uint8_t)(Value >> (8 * Index));
    }
}

static void PutText(uint32_t At, const char *Text)
{
    memcpy(File + At, Text, strlen(Text) + 1);
}

static uint32_t Rdata(uint32_t Rva)
{
    return RDATA_AT + Rva - RDATA_RVA;
}

static void Section(uint32_t Index, const char *Name, uint32_t Rva, uint32_t VirtualSize, uint32_t At, uint32_t Bytes,
                    uint32_t Flags)
{
    uint32_t Entry = SECTIONS_AT + Index * SECTION_BYTES;

    memcpy(File + Entry, Name, strlen(Name));
    Put(Entry + 8, VirtualSize, 4);
    Put(Entry + 12, Rva, 4);
    Put(Entry + 16, Bytes, 4);
    Put(Entry + 20, At, 4);
    Put(Entry + 36, Flags, 4);
}

static void MakeHeaders(void)
{
    Put(0, DOS_MAGIC, 2);
    Put(DOS_NEW_HEADER, HEADER_AT, 4);
    Put(HEADER_AT, PE_SIGNATURE, 4);
    Put(HEADER_AT + 4, MACHINE_AMD64, 2);
    Put(HEADER_AT + 6, 3, 2);    /* sections */
    Put(HEADER_AT + 20, 240, 2); /* optional header */
    Put(HEADER_AT + 22, 0x22, 2);
    Put(OPTIONAL_AT, OPTIONAL_MAGIC_64, 2);
    Put(OPTIONAL_AT + 16, TEXT_RVA + 4, 4); /* entry */
    Put(OPTIONAL_AT + 24, BASE, 8);
    Put(OPTIONAL_AT + 32, 0x1000, 4); /* section alignment */
    Put(OPTIONAL_AT + 36, 0x200, 4);  /* file alignment */
    Put(OPTIONAL_AT + 56, IMAGE_BYTES, 4);
    Put(OPTIONAL_AT + 60, 0x400, 4); /* headers */
    Put(OPTIONAL_AT + 108, 16, 4);   /* directories */
    Section(0, ".text", TEXT_RVA, 0x180, TEXT_AT, 0x200, 0x60000020);
    Section(1, ".rdata", RDATA_RVA, 0x300, RDATA_AT, 0x300, 0x40000040);
    Section(2, ".data", DATA_RVA, 0x800, DATA_AT, 0x100, 0xC0000040);
}

static void Directory(uint32_t Index, uint32_t Rva, uint32_t Size)
{
    Put(OPTIONAL_AT + OPTIONAL_BYTES + Index * 8, Rva, 4);
    Put(OPTIONAL_AT + OPTIONAL_BYTES + Index * 8 + 4, Size, 4);
}

/* Alpha (ordinal 5), Beta (6), a gap (7), Gamma forwarded to other.Delta (8). */
static void MakeExports(void)
{
    uint32_t At = Rdata(0x2000);

    Directory(PE_DIRECTORY_EXPORT, 0x2000, 0x90);
    Put(At + 16, 5, 4);
    Put(At + 20, 4, 4);
    Put(At + 24, 3, 4);
    Put(At + 28, 0x2028, 4);
    Put(At + 32, 0x2038, 4);
    Put(At + 36, 0x2044, 4);
    Put(Rdata(0x2028), TEXT_RVA + 0x10, 4);
    Put(Rdata(0x202C), TEXT_RVA + 0x20, 4);
    Put(Rdata(0x2034), 0x2080, 4);
    Put(Rdata(0x2038), 0x2050, 4);
    Put(Rdata(0x203C), 0x2058, 4);
    Put(Rdata(0x2040), 0x2060, 4);
    Put(Rdata(0x2044), 0, 2);
    Put(Rdata(0x2046), 1, 2);
    Put(Rdata(0x2048), 3, 2);
    PutText(Rdata(0x2050), "Alpha");
    PutText(Rdata(0x2058), "Beta");
    PutText(Rdata(0x2060), "Gamma");
    PutText(Rdata(0x2080), "other.Delta");
}

/* From kernel.exe: One by name, ordinal 77; from HAL.dll (no lookup table): Two. */
static void MakeImports(void)
{
    uint32_t At = Rdata(0x2100);

    Directory(PE_DIRECTORY_IMPORT, 0x2100, 60);
    Put(At, 0x2140, 4);
    Put(At + 12, 0x21A0, 4);
    Put(At + 16, 0x2160, 4);
    Put(At + 20 + 12, 0x21B0, 4);
    Put(At + 20 + 16, 0x2180, 4);
    Put(Rdata(0x2140), 0x21C0, 8);
    Put(Rdata(0x2148), ORDINAL_FLAG | 77, 8);
    Put(Rdata(0x2160), 0x21C0, 8);
    Put(Rdata(0x2168), ORDINAL_FLAG | 77, 8);
    Put(Rdata(0x2180), 0x21D0, 8);
    PutText(Rdata(0x21A0), "kernel.exe");
    PutText(Rdata(0x21B0), "HAL.dll");
    Put(Rdata(0x21C0), 3, 2);
    PutText(Rdata(0x21C2), "One");
    PutText(Rdata(0x21D2), "Two");
}

/* Two pointers in .data, on one page; padding entry at the end. */
static void MakeRelocations(void)
{
    Directory(PE_DIRECTORY_RELOCATION, 0x2200, 16);
    Put(Rdata(0x2200), DATA_RVA, 4);
    Put(Rdata(0x2204), 16, 4);
    Put(Rdata(0x2208), 0xA008, 2);
    Put(Rdata(0x220A), 0xA07D, 2); /* unaligned on purpose */
    Put(DATA_AT + 8, BASE + TEXT_RVA, 8);
    Put(DATA_AT + 0x7D, BASE + DATA_RVA, 8);
}

static int Setup(void **State)
{
    File = calloc(1, FILE_BYTES);
    MakeHeaders();
    MakeExports();
    MakeImports();
    MakeRelocations();
    return 0;
}

static int Teardown(void **State)
{
    free(File);
    free(Image);
    File = Image = 0;
    return 0;
}

static PE_STATUS Open(void)
{
    return PeReadHeader(File, FILE_BYTES, &View.Header);
}

static void LayOut(void)
{
    assert_int_equal(Open(), PeOk);
    free(Image);
    Image = malloc(View.Header.SizeOfImage);
    View.Base = Image;
    PeLayOut(File, &View.Header, Image);
}

/* ---- The good image ---- */

static void HeadersAndSectionsAreDecoded(void **State)
{
    PE_SECTION Second;

    assert_int_equal(Open(), PeOk);
    assert_true(View.Header.ImageBase == BASE);
    assert_int_equal(View.Header.SizeOfImage, IMAGE_BYTES);
    assert_int_equal(View.Header.EntryRva, TEXT_RVA + 4);
    assert_int_equal(View.Header.SectionCount, 3);
    PeReadSection(File, &View.Header, 1, &Second);
    assert_string_equal(Second.Name, ".rdata");
    assert_int_equal(Second.Rva, RDATA_RVA);
    assert_int_equal(Second.Flags & (PE_SECTION_WRITE | PE_SECTION_EXECUTE), 0);
}

static void LayoutCopiesSectionsAndZeroesTheRest(void **State)
{
    File[TEXT_AT + 4] = 0x90;
    LayOut();
    assert_int_equal(Image[TEXT_RVA + 4], 0x90);
    assert_memory_equal(Image, File, 0x400);
    for (uint32_t At = DATA_RVA + 0x100; At < IMAGE_BYTES; At++) {
        assert_int_equal(Image[At], 0);
    }
}

static void RelocationsMoveEveryPointer(void **State)
{
    LayOut();
    assert_int_equal(PeRelocate(&View, NEW_BASE), PeOk);
    assert_true(Get64(Image + DATA_RVA + 8) == NEW_BASE + TEXT_RVA);
    assert_true(Get64(Image + DATA_RVA + 0x7D) == NEW_BASE + DATA_RVA);
}

static void RelocationToThePreferredBaseChangesNothing(void **State)
{
    LayOut();
    assert_int_equal(PeRelocate(&View, BASE), PeOk);
    assert_true(Get64(Image + DATA_RVA + 8) == BASE + TEXT_RVA);
}

static void ExportsAreFoundByNameAndOrdinal(void **State)
{
    PE_EXPORT Export;

    LayOut();
    assert_int_equal(PeFindExportByName(&View, "Alpha", &Export), PeOk);
    assert_int_equal(Export.Rva, TEXT_RVA + 0x10);
    assert_null(Export.Forwarder);
    assert_int_equal(PeFindExportByName(&View, "Beta", &Export), PeOk);
    assert_int_equal(Export.Rva, TEXT_RVA + 0x20);
    assert_int_equal(PeFindExportByName(&View, "Gamma", &Export), PeOk);
    assert_string_equal(Export.Forwarder, "other.Delta");
    assert_int_equal(PeFindExportByOrdinal(&View, 6, &Export), PeOk);
    assert_int_equal(Export.Rva, TEXT_RVA + 0x20);
}

static void AbsentExportsAreNotFound(void **State)
{
    PE_EXPORT Export;

    LayOut();
    assert_int_equal(PeFindExportByName(&View, "Alph", &Export), PeNotFound);
    assert_int_equal(PeFindExportByName(&View, "Alphabet", &Export), PeNotFound);
    assert_int_equal(PeFindExportByName(&View, "", &Export), PeNotFound);
    assert_int_equal(PeFindExportByName(&View, "Zeta", &Export), PeNotFound);
    assert_int_equal(PeFindExportByOrdinal(&View, 4, &Export), PeNotFound);
    assert_int_equal(PeFindExportByOrdinal(&View, 7, &Export), PeNotFound); /* the gap */
    assert_int_equal(PeFindExportByOrdinal(&View, 9, &Export), PeNotFound);
    assert_int_equal(PeFindExportByOrdinal(&View, 0xFFFFFFFF, &Export), PeNotFound);
}

static void ImportsComeInOrder(void **State)
{
    PE_IMPORT_CURSOR Cursor = {0};
    PE_IMPORT Import;

    LayOut();
    assert_int_equal(PeNextImport(&View, &Cursor, &Import), PeOk);
    assert_string_equal(Import.Module, "kernel.exe");
    assert_string_equal(Import.Name, "One");
    assert_int_equal(Import.Hint, 3);
    assert_int_equal(Import.SlotRva, 0x2160);
    assert_int_equal(PeNextImport(&View, &Cursor, &Import), PeOk);
    assert_null(Import.Name);
    assert_int_equal(Import.Ordinal, 77);
    assert_int_equal(Import.SlotRva, 0x2168);
    assert_int_equal(PeNextImport(&View, &Cursor, &Import), PeOk);
    assert_string_equal(Import.Module, "HAL.dll");
    assert_string_equal(Import.Name, "Two");
    assert_int_equal(Import.SlotRva, 0x2180);
    assert_int_equal(PeNextImport(&View, &Cursor, &Import), PeNotFound);
}

static void AnImageWithoutDirectoriesHasNothingToDo(void **State)
{
    PE_IMPORT_CURSOR Cursor = {0};
    PE_IMPORT Import;
    PE_EXPORT Export;

    Put(OPTIONAL_AT + 108, 0, 4);
    LayOut();
    assert_int_equal(PeNextImport(&View, &Cursor, &Import), PeNotFound);
    assert_int_equal(PeFindExportByName(&View, "Alpha", &Export), PeNotFound);
    assert_int_equal(PeRelocate(&View, NEW_BASE), PeOk);
}

/* ---- Damage ---- */

static void EveryTruncationIsRefused(void **State)
{
    for (uint32_t Bytes = 0; Bytes < DATA_AT + 0x100; Bytes++) {
        uint8_t *Cut = malloc(Bytes);

        memcpy(Cut, File, Bytes);
        assert_int_not_equal(PeReadHeader(Cut, Bytes, &View.Header), PeOk);
        free(Cut);
    }
}

typedef struct _DAMAGE {
    uint32_t At;
    uint64_t Value;
    uint32_t Bytes;
    PE_STATUS Status;
} DAMAGE;

static void DamagedHeadersAreRefused(void **State)
{
    static const DAMAGE List[] = {
        {0, 0x4D5B, 2, PeNotImage},
        {DOS_NEW_HEADER, 0xFFFFFFF0, 4, PeTruncated},
        {DOS_NEW_HEADER, FILE_BYTES - 8, 4, PeTruncated},
        {HEADER_AT, 0x4551, 2, PeNotImage},
        {HEADER_AT + 4, 0x14C, 2, PeWrongMachine},
        {HEADER_AT + 6, 97, 2, PeBadHeader},
        {HEADER_AT + 20, 0xFFFF, 2, PeTruncated},
        {HEADER_AT + 20, 100, 2, PeWrongMachine},
        {HEADER_AT + 20, 130, 2, PeBadHeader},
        {OPTIONAL_AT, 0x10B, 2, PeWrongMachine},
        {OPTIONAL_AT + 16, IMAGE_BYTES, 4, PeBadHeader},
        {OPTIONAL_AT + 32, 0, 4, PeBadHeader},
        {OPTIONAL_AT + 32, 0x200, 4, PeBadHeader},
        {OPTIONAL_AT + 56, 0, 4, PeBadHeader},
        {OPTIONAL_AT + 56, 0xFFFFFFFF, 4, PeBadHeader},
        {OPTIONAL_AT + 60, IMAGE_BYTES + 1, 4, PeBadHeader},
        {OPTIONAL_AT + 60, FILE_BYTES + 1, 4, PeTruncated},
        {OPTIONAL_AT + OPTIONAL_BYTES, 0xFFFFFFFF, 4, PeBadHeader},
        {OPTIONAL_AT + OPTIONAL_BYTES + 4, IMAGE_BYTES, 4, PeBadHeader},
    };

    for (uint32_t Index = 0; Index < sizeof(List) / sizeof(List[0]); Index++) {
        uint8_t Good[8];

        memcpy(Good, File + List[Index].At, 8);
        Put(List[Index].At, List[Index].Value, List[Index].Bytes);
        if (Open() != List[Index].Status) {
            fail_msg("damage %u: %s", Index, PeStatusText(Open()));
        }
        memcpy(File + List[Index].At, Good, 8);
    }
    assert_int_equal(Open(), PeOk);
}

static void DamagedSectionsAreRefused(void **State)
{
    static const DAMAGE List[] = {
        {8, 0x1001, 4, PeBadSection},      /* overlaps the next */
        {8, 0xFFFFFFFF, 4, PeBadSection},  /* larger than any image */
        {12, 0x1001, 4, PeBadSection},     /* not on a page */
        {12, 0, 4, PeBadSection},          /* inside the headers */
        {12, 0xFFFFF000, 4, PeBadSection}, /* outside the image */
        {16, 0xFFFFFFFF, 4, PeBadSection}, {20, FILE_BYTES - 0x1FF, 4, PeTruncated},
        {20, 0xFFFFFFF0, 4, PeTruncated},  {36, 0xE0000020, 4, PeBadSection}, /* writable and executable */
    };

    for (uint32_t Index = 0; Index < sizeof(List) / sizeof(List[0]); Index++) {
        uint8_t Good[8];

        memcpy(Good, File + SECTIONS_AT + List[Index].At, 8);
        Put(SECTIONS_AT + List[Index].At, List[Index].Value, List[Index].Bytes);
        if (Open() != List[Index].Status) {
            fail_msg("damage %u: %s", Index, PeStatusText(Open()));
        }
        memcpy(File + SECTIONS_AT + List[Index].At, Good, 8);
    }
}

static void DamagedRelocationsAreRefused(void **State)
{
    static const DAMAGE List[] = {
        {0x2200, 0xFFFFF000, 4, PeBadRelocation}, {0x2200, IMAGE_BYTES - 0x80, 4, PeBadRelocation},
        {0x2204, 0, 4, PeBadRelocation},          {0x2204, 7, 4, PeBadRelocation},
        {0x2204, 17, 4, PeBadRelocation},         {0x2204, 0xFFFFFFFF, 4, PeBadRelocation},
        {0x2208, 0x3008, 2, PeBadRelocation}, /* a 32-bit fix-up */
    };

    for (uint32_t Index = 0; Index < sizeof(List) / sizeof(List[0]); Index++) {
        LayOut();
        memcpy(Image + List[Index].At, &List[Index].Value, List[Index].Bytes);
        assert_int_equal(PeRelocate(&View, NEW_BASE), List[Index].Status);
    }
    Put(HEADER_AT + 22, 0x23, 2);
    LayOut();
    assert_int_equal(PeRelocate(&View, NEW_BASE), PeNoRelocation);
}

static void DamagedExportsAreRefused(void **State)
{
    static const DAMAGE List[] = {
        {0x2014, 0xFFFFFFFF, 4, PeBadExport},      {0x2018, 0x40000000, 4, PeBadExport},
        {0x201C, IMAGE_BYTES - 4, 4, PeBadExport}, {0x2020, 0xFFFFFFFC, 4, PeBadExport},
        {0x2024, IMAGE_BYTES, 4, PeBadExport},     {0x203C, IMAGE_BYTES, 4, PeBadExport},
        {0x2028, IMAGE_BYTES, 4, PeBadExport},     {0x2044, 4, 2, PeNotFound},
    };
    PE_EXPORT Export;

    for (uint32_t Index = 0; Index < sizeof(List) / sizeof(List[0]); Index++) {
        LayOut();
        memcpy(Image + List[Index].At, &List[Index].Value, List[Index].Bytes);
        if (PeFindExportByName(&View, "Alpha", &Export) != List[Index].Status) {
            fail_msg("damage %u", Index);
        }
    }
    Directory(PE_DIRECTORY_EXPORT, 0x2000, 39);
    LayOut();
    assert_int_equal(PeFindExportByName(&View, "Alpha", &Export), PeBadExport);
}

static void AForwarderThatDoesNotEndIsRefused(void **State)
{
    PE_EXPORT Export;

    LayOut();
    View.Header.Directory[PE_DIRECTORY_EXPORT] = (PE_RANGE){0x2000, 0x2000};
    memset(Image + 0x3800, 'x', 0x800);
    memcpy(Image + 0x2034, &(uint32_t){0x3900}, 4);
    assert_int_equal(PeFindExportByName(&View, "Gamma", &Export), PeBadExport);
}

static void DamagedImportsAreRefused(void **State)
{
    static const DAMAGE List[] = {
        {0x2100, IMAGE_BYTES - 4, 4, PeBadImport}, /* lookup table */
        {0x210C, IMAGE_BYTES, 4, PeBadImport},     /* module name */
        {0x2110, IMAGE_BYTES - 4, 4, PeBadImport}, /* slots */
        {0x2140, IMAGE_BYTES - 2, 8, PeBadImport}, /* name */
        {0x2140, 0x7FFFFFFFFFFFFFF0, 8, PeBadImport},
    };

    for (uint32_t Index = 0; Index < sizeof(List) / sizeof(List[0]); Index++) {
        PE_IMPORT_CURSOR Cursor = {0};
        PE_IMPORT Import;

        LayOut();
        memcpy(Image + List[Index].At, &List[Index].Value, List[Index].Bytes);
        assert_int_equal(PeNextImport(&View, &Cursor, &Import), List[Index].Status);
    }
}

/* Everything the loader does with an image. */
static void UseImage(void)
{
    PE_IMPORT_CURSOR Cursor = {0};
    PE_IMPORT Import;
    PE_EXPORT Export;
    PE_VIEW Loaded;

    if (PeReadHeader(File, FILE_BYTES, &Loaded.Header) != PeOk || Loaded.Header.SizeOfImage > 16 * IMAGE_BYTES) {
        return;
    }
    Loaded.Base = malloc(Loaded.Header.SizeOfImage);
    PeLayOut(File, &Loaded.Header, Loaded.Base);
    PeRelocate(&Loaded, NEW_BASE);
    for (int Step = 0; Step < 10000 && PeNextImport(&Loaded, &Cursor, &Import) == PeOk; Step++) {
        PeFindExportByName(&Loaded, Import.Name != 0 ? Import.Name : "Alpha", &Export);
        PeFindExportByOrdinal(&Loaded, Import.Ordinal, &Export);
        Put64(Loaded.Base + Import.SlotRva, NEW_BASE);
    }
    free(Loaded.Base);
}

static void MutationsNeverLeaveTheBuffers(void **State)
{
    static const uint8_t Interesting[] = {0, 1, 0x7F, 0x80, 0xFF, 0x10, 0x20, 0x40};
    uint8_t *Good = malloc(FILE_BYTES);

    memcpy(Good, File, FILE_BYTES);
    srand(7);
    for (int Round = 0; Round < 50000; Round++) {
        int Mutations = 1 + rand() % 4;

        memcpy(File, Good, FILE_BYTES);
        for (int Mutation = 0; Mutation < Mutations; Mutation++) {
            /* Mostly the headers and the directories' tables: the rest is content. */
            uint32_t At = rand() % 2 != 0 ? (uint32_t)rand() % (SECTIONS_AT + 3 * SECTION_BYTES)
                                          : RDATA_AT + (uint32_t)rand() % 0x220;

            File[At] = rand() % 2 != 0 ? Interesting[rand() % 8] : (uint8_t)rand();
        }
        UseImage();
    }
    free(Good);
}

int main(void)
{
    const struct CMUnitTest Tests[] = {
        cmocka_unit_test_setup_teardown(HeadersAndSectionsAreDecoded, Setup, Teardown),
        cmocka_unit_test_setup_teardown(LayoutCopiesSectionsAndZeroesTheRest, Setup, Teardown),
        cmocka_unit_test_setup_teardown(RelocationsMoveEveryPointer, Setup, Teardown),
        cmocka_unit_test_setup_teardown(RelocationToThePreferredBaseChangesNothing, Setup, Teardown),
        cmocka_unit_test_setup_teardown(ExportsAreFoundByNameAndOrdinal, Setup, Teardown),
        cmocka_unit_test_setup_teardown(AbsentExportsAreNotFound, Setup, Teardown),
        cmocka_unit_test_setup_teardown(ImportsComeInOrder, Setup, Teardown),
        cmocka_unit_test_setup_teardown(AnImageWithoutDirectoriesHasNothingToDo, Setup, Teardown),
        cmocka_unit_test_setup_teardown(EveryTruncationIsRefused, Setup, Teardown),
        cmocka_unit_test_setup_teardown(DamagedHeadersAreRefused, Setup, Teardown),
        cmocka_unit_test_setup_teardown(DamagedSectionsAreRefused, Setup, Teardown),
        cmocka_unit_test_setup_teardown(DamagedRelocationsAreRefused, Setup, Teardown),
        cmocka_unit_test_setup_teardown(DamagedExportsAreRefused, Setup, Teardown),
        cmocka_unit_test_setup_teardown(AForwarderThatDoesNotEndIsRefused, Setup, Teardown),
        cmocka_unit_test_setup_teardown(DamagedImportsAreRefused, Setup, Teardown),
        cmocka_unit_test_setup_teardown(MutationsNeverLeaveTheBuffers, Setup, Teardown),
    };

    return cmocka_run_group_tests(Tests, 0, 0);
}
