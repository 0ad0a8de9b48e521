/*
 * uuid.c - identifiers: UUIDs, and LUIDs that are unique until the next start.
 *
 * A UUID is of version 4 (RFC 4122): 122 bits from SipHash-2-4 over a counter, under a key that is drawn once from the processor's
 * random numbers and from clocks. The counter never repeats, so two UUIDs of one start are alike only if the hash makes them so. A
 * processor without RDRAND leaves the clocks alone, which another machine might share: then the status says "local only".
 *
 * Locks: none, interlocked counters; the key is set before the first thread asks (ExpInitializeObjects).
 * Source: RFC 4122; Aumasson and Bernstein, "SipHash: a fast short-input PRF".
 */
#include <ntos/ex.h>
#include <ntos/ke.h>
#include <ntos/ob.h>
#include <ntos/user.h>

#define CPUID_1_ECX_RDRAND 0x40000000U
/* Tries of RDRAND before it counts as failed (Intel's advice in the SDM). */
#define RDRAND_TRIES 10

static ULONG64 ExpUuidKey[2];              /* (c) */
static BOOLEAN ExpUuidGlobal;              /* (c) the key holds true random bits */
static volatile LONG64 ExpUuidCount;       /* interlocked */
static volatile LONG64 ExpLastLuid = 1000; /* interlocked; the ones below are well-known ones */

/* ---- SipHash-2-4 of one 64-bit word ---- */

static VOID SipRound(PULONG64 V)
{
    V[0] += V[1];
    V[1] = _rotl64(V[1], 13) ^ V[0];
    V[0] = _rotl64(V[0], 32);
    V[2] += V[3];
    V[3] = _rotl64(V[3], 16) ^ V[2];
    V[0] += V[3];
    V[3] = _rotl64(V[3], 21) ^ V[0];
    V[2] += V[1];
    V[1] = _rotl64(V[1], 17) ^ V[2];
    V[2] = _rotl64(V[2], 32);
}

static ULONG64 SipHash(const ULONG64 *Key, ULONG64 Word)
{
    static const ULONG64 Length = 8ULL << 56; /* the last block of an 8-byte message */
    ULONG64 V[4] = {Key[0] ^ 0x736f6d6570736575ULL, Key[1] ^ 0x646f72616e646f6dULL, Key[0] ^ 0x6c7967656e657261ULL,
                    Key[1] ^ 0x7465646279746573ULL};

    V[3] ^= Word;
    SipRound(V);
    SipRound(V);
    V[0] ^= Word;
    V[3] ^= Length;
    SipRound(V);
    SipRound(V);
    V[0] ^= Length;
    V[2] ^= 0xFF;
    for (ULONG Round = 0; Round < 4; Round++) {
        SipRound(V);
    }
    return V[0] ^ V[1] ^ V[2] ^ V[3];
}

/* ---- The key ---- */

static BOOLEAN ExpRandom(PULONG64 Value)
{
    int Registers[4];
    UCHAR Good = 0;

    __cpuid(Registers, 1);
    if (((ULONG)Registers[2] & CPUID_1_ECX_RDRAND) == 0) {
        return FALSE;
    }
    for (ULONG Try = 0; Try < RDRAND_TRIES && Good == 0; Try++) {
        __asm__ volatile("rdrand %0; setc %1" : "=r"(*Value), "=q"(Good) : : "cc");
    }
    return Good != 0;
}

/* Draws the key. Once, before anybody asks; PASSIVE_LEVEL. */
VOID ExpInitializeUuids(VOID)
{
    LARGE_INTEGER Time;
    ULONG64 First = 0, Second = 0;

    KeQuerySystemTime(&Time);
    ExpUuidGlobal = ExpRandom(&First) && ExpRandom(&Second);
    ExpUuidKey[0] = First ^ __rdtsc();
    ExpUuidKey[1] = Second ^ (ULONG64)Time.QuadPart ^ (__rdtsc() << 32);
}

/**
 * ExUuidCreate - a new UUID.
 *
 * returns  STATUS_SUCCESS; RPC_NT_UUID_LOCAL_ONLY: unique on this machine, perhaps not among others
 *
 * IRQL: any (documented: PASSIVE_LEVEL).
 */
NTSTATUS NTAPI ExUuidCreate(UUID *Uuid)
{
    ULONG64 Count = (ULONG64)InterlockedAdd64(&ExpUuidCount, 2), Words[2];

    Words[0] = SipHash(ExpUuidKey, Count);
    Words[1] = SipHash(ExpUuidKey, Count + 1);
    RtlCopyMemory(Uuid, Words, sizeof(*Uuid));
    Uuid->Data3 = (USHORT)((Uuid->Data3 & 0x0FFF) | 0x4000);  /* version 4 */
    Uuid->Data4[0] = (UCHAR)((Uuid->Data4[0] & 0x3F) | 0x80); /* variant of RFC 4122 */
    return ExpUuidGlobal ? STATUS_SUCCESS : RPC_NT_UUID_LOCAL_ONLY;
}

VOID ExAllocateLuid(PLUID Luid)
{
    LARGE_INTEGER Value;

    Value.QuadPart = InterlockedIncrement64(&ExpLastLuid);
    Luid->LowPart = Value.LowPart;
    Luid->HighPart = Value.HighPart;
}

/* A LUID: never zero, never the same twice until the next start. IRQL: any. */
NTSTATUS NTAPI NtAllocateLocallyUniqueId(PLUID Luid)
{
    LUID New;

    ExAllocateLuid(&New);
    return ExCopyToCaller(Luid, &New, sizeof(New));
}

NTSTATUS NTAPI ZwAllocateLocallyUniqueId(PLUID Luid)
{
    EX_AS_KERNEL(NtAllocateLocallyUniqueId(Luid));
}
