/*
 * sha256.h - SHA-256 of a stream of bytes. Source: FIPS 180-4.
 *
 * No state of its own and no dependence on the rest of the kernel. IRQL: any.
 */
#pragma once

#include <ntos/ntos.h>

#define SHA256_BYTES       32
#define SHA256_BLOCK_BYTES 64

typedef struct _SHA256 {
    ULONG State[8];
    ULONG64 Bytes; /* taken in so far */
    UCHAR Block[SHA256_BLOCK_BYTES];
} SHA256, *PSHA256;

VOID Sha256Begin(PSHA256 Hash);
VOID Sha256Add(PSHA256 Hash, const VOID *Data, SIZE_T Bytes);
/* Leaves Hash undefined. */
VOID Sha256End(PSHA256 Hash, UCHAR Digest[SHA256_BYTES]);
