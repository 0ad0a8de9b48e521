/*
 * aslr.c - where things lie in programs, so that nobody knows beforehand.
 *
 *   images                  one address for all processes as long as the image is in memory: 18 bits at 64 KB (imagesect.c)
 *   PEB, TEBs, stacks,      below a top of the process's own, in the 4 GB under the end of the user half: 11 bits for 2 MB and
 *   parameters              3 for 64 KB; a stack's first byte 4 bits more for the page and 6 in it (src/ps/userthread.c)
 *   heaps, and whatever is  above a bottom of the process's own, between 4 GB and 512 GB: 18 bits for 2 MB and 3 for 64 KB
 *   put anywhere
 *
 * Top and bottom are chosen so that what a small program has at each of them shares one page table: randomness costs no memory and no
 * time when the process is made. Addresses that a program asks for, ranges with requirements or zero bits, and
 * MEM_TOP_DOWN are not touched; when nothing is free above the bottom, the rest of the user half is used.
 *
 * Numbers come from SipHash-2-4 of a counter under a key of RDRAND (where there is one), time stamp counter and time, so that addresses seen
 * in one place tell nothing of another. Boot option aslrseed=N makes the key of N: the same addresses in each boot that does the
 * same things in the same order. noaslr chooses nothing at random.
 *
 * Locks: none; counters are interlocked. IRQL: any.
 *
 * Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF"; Intel SDM on RDRAND.
 */
#include "../miprocess.h"
#include <ntos/init.h>

/* Bottoms: 2 MB slots between 4 GB and 512 GB, and within one the first eighth, so that the first heap (1 MB) ends in the same table. */
#define MI_BOTTOM_BASE  0x100000000ULL
#define MI_BOTTOM_SLOTS 0x3F800ULL /* (512 GB - 4 GB) / 2 MB */
C_ASSERT(MI_BOTTOM_BASE + MI_BOTTOM_SLOTS * MM_LARGE_PAGE == 512ULL << 30);
/* Tops: the same between the images of DLLs and the end; within one the last eighth, so that a stack of 1 MB fits below. */
#define MI_TOP_BASE  0x7FFF00000000ULL
#define MI_TOP_SLOTS 0x7FFULL
C_ASSERT(MI_TOP_BASE + MI_TOP_SLOTS * MM_LARGE_PAGE <= MI_HIGHEST_VAD);
#define MI_SLOT_STEPS 8

static ULONG64 MiRandomKey[2];                         /* (c) from phase 1 on */
static volatile LONG64 MiRandomCount[MiRandomStreams]; /* interlocked */
static BOOLEAN MiAslrIsOff;                            /* (c) */

/* ---- Numbers ---- */

static ULONG64 MiRotate(ULONG64 Value, ULONG Bits)
{
    return Value << Bits | Value >> (64 - Bits);
}

static VOID MiSipRounds(ULONG64 *State, ULONG Rounds)
{
    for (; Rounds != 0; Rounds--) {
        State[0] += State[1];
        State[1] = MiRotate(State[1], 13) ^ State[0];
        State[0] = MiRotate(State[0], 32);
        State[2] += State[3];
        State[3] = MiRotate(State[3], 16) ^ State[2];
        State[0] += State[3];
        State[3] = MiRotate(State[3], 21) ^ State[0];
        State[2] += State[1];
        State[1] = MiRotate(State[1], 17) ^ State[2];
        State[2] = MiRotate(State[2], 32);
    }
}

ULONG64 MiSipHash(const ULONG64 *Key, ULONG64 Message)
{
    ULONG64 State[4] = {Key[0] ^ 0x736F6D6570736575ULL, Key[1] ^ 0x646F72616E646F6DULL, Key[0] ^ 0x6C7967656E657261ULL,
                        Key[1] ^ 0x7465646279746573ULL};

    State[3] ^= Message;
    MiSipRounds(State, 2);
    State[0] ^= Message;
    State[3] ^= 8ULL << 56; /* the length, in a last word of its own */
    MiSipRounds(State, 2);
    State[0] ^= 8ULL << 56;
    State[2] ^= 0xFF;
    MiSipRounds(State, 4);
    return State[0] ^ State[1] ^ State[2] ^ State[3];
}

ULONG64 MiRandom(MI_RANDOM_STREAM Stream)
{
    return MiSipHash(MiRandomKey, (ULONG64)Stream << 56 | (ULONG64)InterlockedIncrement64(&MiRandomCount[Stream]));
}

/* RDRAND's, mixed with what changes from boot to boot. */
static ULONG64 MiHardwareRandom(VOID)
{
    LARGE_INTEGER Time;
    ULONG64 Value = 0;
    UCHAR Ready = 0;
    int Registers[4];

    __cpuid(Registers, 1);
    for (ULONG Try = 0; (Registers[2] >> 30 & 1) != 0 && !Ready && Try < 16; Try++) {
        __asm__ volatile("rdrand %0; setc %1" : "=r"(Value), "=qm"(Ready)::"cc");
    }
    KeQuerySystemTime(&Time);
    return Value ^ __rdtsc() * 0x9E3779B97F4A7C15ULL ^ MiRotate((ULONG64)Time.QuadPart, 17) ^
           (ULONG64)(ULONG_PTR)MiRandomKey;
}

VOID MiInitializeAslr(VOID)
{
    CHAR Text[16];
    ULONG Seed = 0;

    MiAslrIsOff = KeBootOption("noaslr", NULL, 0);
    MiRandomKey[0] = MiHardwareRandom();
    MiRandomKey[1] = MiHardwareRandom();
    if (KeBootOption("aslrseed", Text, sizeof(Text))) {
        RtlCharToInteger(Text, 10, &Seed); /* 0 if it is no number */
        MiRandomKey[0] = MiRandomKey[1] = Seed;
    }
}

BOOLEAN MiIsAslrOff(VOID)
{
    return MiAslrIsOff;
}

/* ---- Places ---- */

VOID MmRandomizeProcess(PEPROCESS Process)
{
    PMI_ADDRESS_SPACE Space = MiSpaceOf(Process);
    ULONG64 Random;

    if (MiAslrIsOff) {
        return;
    }
    Random = MiRandom(MiRandomProcess);
    Space->Bottom = MI_BOTTOM_BASE + (Random & 0xFFFFFFFF) % MI_BOTTOM_SLOTS * MM_LARGE_PAGE +
                    (Random >> 32) % MI_SLOT_STEPS * MI_GRANULARITY;
    Space->Top = MI_TOP_BASE + ((Random >> 35) % MI_TOP_SLOTS + 1) * MM_LARGE_PAGE -
                 (Random >> 46) % MI_SLOT_STEPS * MI_GRANULARITY - 1;
    Space->Random = (volatile LONG64)MiRandom(MiRandomProcess);
}

/* Cheap, from a state that only this process's threads draw from. */
ULONG64 MmProcessRandom(PEPROCESS Process)
{
    PMI_ADDRESS_SPACE Space = MiSpaceOf(Process);
    ULONG64 Value;

    if (MiAslrIsOff) {
        return 0;
    }
    Value = (ULONG64)InterlockedAdd64(&Space->Random, (LONG64)0x9E3779B97F4A7C15ULL);
    Value = (Value ^ Value >> 30) * 0xBF58476D1CE4E5B9ULL;
    return Value ^ Value >> 31;
}
