/*
 * sha256.c - SHA-256 against the vectors of FIPS 180-4's examples, in one piece
 * and cut at every place.
 *
 * Every proof that a file was read right rests on this hash, so its own proof
 * comes from outside this project.
 */
#include "../../src/console/sha256.h"
#include <ntos/ktap.h>

static const UCHAR Abc[SHA256_BYTES] = {0xBA, 0x78, 0x16, 0xBF, 0x8F, 0x01, 0xCF, 0xEA, 0x41, 0x41, 0x40,
                                        0xDE, 0x5D, 0xAE, 0x22, 0x23, 0xB0, 0x03, 0x61, 0xA3, 0x96, 0x17,
                                        0x7A, 0x9C, 0xB4, 0x10, 0xFF, 0x61, 0xF2, 0x00, 0x15, 0xAD};
static const UCHAR Empty[SHA256_BYTES] = {0xE3, 0xB0, 0xC4, 0x42, 0x98, 0xFC, 0x1C, 0x14, 0x9A, 0xFB, 0xF4,
                                          0xC8, 0x99, 0x6F, 0xB9, 0x24, 0x27, 0xAE, 0x41, 0xE4, 0x64, 0x9B,
                                          0x93, 0x4C, 0xA4, 0x95, 0x99, 0x1B, 0x78, 0x52, 0xB8, 0x55};
static const UCHAR TwoBlocks[SHA256_BYTES] = {0x24, 0x8D, 0x6A, 0x61, 0xD2, 0x06, 0x38, 0xB8, 0xE5, 0xC0, 0x26,
                                              0x93, 0x0C, 0x3E, 0x60, 0x39, 0xA3, 0x3C, 0xE4, 0x59, 0x64, 0xFF,
                                              0x21, 0x67, 0xF6, 0xEC, 0xED, 0xD4, 0x19, 0xDB, 0x06, 0xC1};
static const UCHAR MillionA[SHA256_BYTES] = {0xCD, 0xC7, 0x6E, 0x5C, 0x99, 0x14, 0xFB, 0x92, 0x81, 0xA1, 0xC7,
                                             0xE2, 0x84, 0xD7, 0x3E, 0x67, 0xF1, 0x80, 0x9A, 0x48, 0xA4, 0x97,
                                             0x20, 0x0E, 0x04, 0x6D, 0x39, 0xCC, 0xC7, 0x11, 0x2C, 0xD0};
static const CHAR TwoBlocksText[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";

static BOOLEAN HashIs(const VOID *First, SIZE_T FirstBytes, const VOID *Second, SIZE_T SecondBytes,
                      const UCHAR *Expected)
{
    SHA256 Hash;
    UCHAR Digest[SHA256_BYTES];

    Sha256Begin(&Hash);
    Sha256Add(&Hash, First, FirstBytes);
    Sha256Add(&Hash, Second, SecondBytes);
    Sha256End(&Hash, Digest);
    return memcmp(Digest, Expected, sizeof(Digest)) == 0;
}

static VOID TestVectors(PKTAP_CONTEXT Ktap)
{
    KTAP_CHECK(HashIs("", 0, "", 0, Empty));
    KTAP_CHECK(HashIs("abc", 3, "", 0, Abc));
    KTAP_CHECK(HashIs(TwoBlocksText, sizeof(TwoBlocksText) - 1, "", 0, TwoBlocks));
}

static VOID TestCuts(PKTAP_CONTEXT Ktap)
{
    for (SIZE_T Cut = 0; Cut < sizeof(TwoBlocksText); Cut++) {
        KTAP_CHECK(HashIs(TwoBlocksText, Cut, TwoBlocksText + Cut, sizeof(TwoBlocksText) - 1 - Cut, TwoBlocks));
    }
}

static VOID TestMillion(PKTAP_CONTEXT Ktap)
{
    SHA256 Hash;
    UCHAR Text[1000], Digest[SHA256_BYTES];

    memset(Text, 'a', sizeof(Text));
    Sha256Begin(&Hash);
    for (ULONG Index = 0; Index < 1000; Index++) {
        Sha256Add(&Hash, Text, sizeof(Text));
    }
    Sha256End(&Hash, Digest);
    KTAP_CHECK(memcmp(Digest, MillionA, sizeof(Digest)) == 0);
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"vectors", TestVectors},
    {"cuts", TestCuts},
    {"million", TestMillion},
};
KTAP_SUITE(Sha256Suite, "console.sha256", Cases);
