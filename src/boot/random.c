/*
 * random.c - random numbers for image bases.
 *
 * RDRAND where the processor has it, mixed with the time stamp counter always: an RDRAND that is stuck or absent still
 * leaves the TSC's low bits. The generator is splitmix64; it chooses addresses, it is no source of keys.
 */
#include "osloader.h"

#define RDRAND_TRIES 16 /* Intel suggests ten retries before one gives up */

static uint64_t State;

static uint32_t HardwareRandom(void)
{
    uint32_t Value = 0;
    uint8_t Ready = 0;

    for (int Try = 0; Try < RDRAND_TRIES && !Ready; Try++) {
        __asm__ volatile("rdrand %0; setc %1" : "=r"(Value), "=qm"(Ready)::"cc");
    }
    return Value;
}

void OslSeedRandom(uint64_t Tsc)
{
    State = Tsc;
    if (OslHasRdrand()) {
        State ^= (uint64_t)HardwareRandom() << 32 | HardwareRandom();
    }
}

uint64_t OslRandom(void)
{
    uint64_t Value;
    uint32_t Low, High;

    __asm__ volatile("rdtsc" : "=a"(Low), "=d"(High));
    State += 0x9E3779B97F4A7C15ULL + ((uint64_t)High << 32 | Low);
    Value = State;
    Value = (Value ^ (Value >> 30)) * 0xBF58476D1CE4E5B9ULL;
    Value = (Value ^ (Value >> 27)) * 0x94D049BB133111EBULL;
    return Value ^ (Value >> 31);
}
