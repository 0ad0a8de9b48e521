/*
 * sha256.c - SHA-256, after FIPS 180-4.
 *
 * What the console uses to compare a file that came through the disk driver, the file system, a section and a view
 * with the same file on the machine that made the disc. Plain C on 32-bit words; whole blocks are hashed where they
 * lie, so that reading a file copies nothing twice.
 *
 * test/kernel/sha256.c holds the standard's vectors. No state, no locks, any IRQL.
 */
#include "sha256.h"

/* FIPS 180-4, 4.2.2: first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const ULONG Sha256Constants[64] = {
    0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5, 0x3956C25B, 0x59F111F1, 0x923F82A4, 0xAB1C5ED5,
    0xD807AA98, 0x12835B01, 0x243185BE, 0x550C7DC3, 0x72BE5D74, 0x80DEB1FE, 0x9BDC06A7, 0xC19BF174,
    0xE49B69C1, 0xEFBE4786, 0x0FC19DC6, 0x240CA1CC, 0x2DE92C6F, 0x4A7484AA, 0x5CB0A9DC, 0x76F988DA,
    0x983E5152, 0xA831C66D, 0xB00327C8, 0xBF597FC7, 0xC6E00BF3, 0xD5A79147, 0x06CA6351, 0x14292967,
    0x27B70A85, 0x2E1B2138, 0x4D2C6DFC, 0x53380D13, 0x650A7354, 0x766A0ABB, 0x81C2C92E, 0x92722C85,
    0xA2BFE8A1, 0xA81A664B, 0xC24B8B70, 0xC76C51A3, 0xD192E819, 0xD6990624, 0xF40E3585, 0x106AA070,
    0x19A4C116, 0x1E376C08, 0x2748774C, 0x34B0BCB5, 0x391C0CB3, 0x4ED8AA4A, 0x5B9CCA4F, 0x682E6FF3,
    0x748F82EE, 0x78A5636F, 0x84C87814, 0x8CC70208, 0x90BEFFFA, 0xA4506CEB, 0xBEF9A3F7, 0xC67178F2,
};

static ULONG Rotate(ULONG Word, ULONG Bits)
{
    return Word >> Bits | Word << (32 - Bits);
}

/* FIPS 180-4, 6.2.2: one block of 64 bytes. */
static VOID Sha256Block(ULONG State[8], const UCHAR *Block)
{
    ULONG W[64], A[8];

    for (ULONG T = 0; T < 16; T++) {
        W[T] =
            (ULONG)Block[4 * T] << 24 | (ULONG)Block[4 * T + 1] << 16 | (ULONG)Block[4 * T + 2] << 8 | Block[4 * T + 3];
    }
    for (ULONG T = 16; T < 64; T++) {
        ULONG Sigma0 = Rotate(W[T - 15], 7) ^ Rotate(W[T - 15], 18) ^ W[T - 15] >> 3;
        ULONG Sigma1 = Rotate(W[T - 2], 17) ^ Rotate(W[T - 2], 19) ^ W[T - 2] >> 10;

        W[T] = W[T - 16] + Sigma0 + W[T - 7] + Sigma1;
    }
    memcpy(A, State, sizeof(A));
    for (ULONG T = 0; T < 64; T++) {
        ULONG Choice = (A[4] & A[5]) ^ (~A[4] & A[6]);
        ULONG Majority = (A[0] & A[1]) ^ (A[0] & A[2]) ^ (A[1] & A[2]);
        ULONG First =
            A[7] + (Rotate(A[4], 6) ^ Rotate(A[4], 11) ^ Rotate(A[4], 25)) + Choice + Sha256Constants[T] + W[T];
        ULONG Second = (Rotate(A[0], 2) ^ Rotate(A[0], 13) ^ Rotate(A[0], 22)) + Majority;

        A[7] = A[6];
        A[6] = A[5];
        A[5] = A[4];
        A[4] = A[3] + First;
        A[3] = A[2];
        A[2] = A[1];
        A[1] = A[0];
        A[0] = First + Second;
    }
    for (ULONG Index = 0; Index < 8; Index++) {
        State[Index] += A[Index];
    }
}

VOID Sha256Begin(PSHA256 Hash)
{
    /* 5.3.3: the square roots of the first 8 primes. */
    static const ULONG Initial[8] = {0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
                                     0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19};

    memcpy(Hash->State, Initial, sizeof(Initial));
    Hash->Bytes = 0;
}

VOID Sha256Add(PSHA256 Hash, const VOID *Data, SIZE_T Bytes)
{
    const UCHAR *Next = Data;

    while (Bytes != 0) {
        ULONG Filled = Hash->Bytes % SHA256_BLOCK_BYTES;
        ULONG Step = SHA256_BLOCK_BYTES - Filled;

        if (Filled == 0 && Bytes >= SHA256_BLOCK_BYTES) {
            Sha256Block(Hash->State, Next);
        } else {
            Step = Bytes < Step ? (ULONG)Bytes : Step;
            memcpy(Hash->Block + Filled, Next, Step);
            if (Filled + Step == SHA256_BLOCK_BYTES) {
                Sha256Block(Hash->State, Hash->Block);
            }
        }
        Hash->Bytes += Step;
        Next += Step;
        Bytes -= Step;
    }
}

VOID Sha256End(PSHA256 Hash, UCHAR Digest[SHA256_BYTES])
{
    static const UCHAR Padding[SHA256_BLOCK_BYTES] = {0x80};
    ULONG64 Bits = Hash->Bytes * 8;
    ULONG Filled = Hash->Bytes % SHA256_BLOCK_BYTES;
    UCHAR Length[8];

    for (ULONG Index = 0; Index < 8; Index++) {
        Length[Index] = (UCHAR)(Bits >> 8 * (7 - Index));
    }
    Sha256Add(Hash, Padding, (Filled < 56 ? 56 : 120) - Filled);
    Sha256Add(Hash, Length, sizeof(Length));
    for (ULONG Index = 0; Index < SHA256_BYTES; Index++) {
        Digest[Index] = (UCHAR)(Hash->State[Index / 4] >> 8 * (3 - Index % 4));
    }
}
