/*
 * processor.c - is this a processor the kernel can run on?
 *
 * Long mode and no-execute pages are required: without the first there is no kernel, without the second no W^X. The
 * answer must come before anything uses either, and as a sentence: setting EFER.NXE on a processor without it
 * faults, which with no IDT would be a reset.
 *
 * Source: Intel SDM 2A CPUID; leaf 0x80000001 EDX bit 20 (execute disable), bit 29 (Intel 64); leaf 1 ECX bit 30.
 */
#include "osloader.h"

#define EXTENDED_FEATURES 0x80000001u
#define EDX_NX            (1u << 20)
#define EDX_LONG_MODE     (1u << 29)
#define ECX_RDRAND        (1u << 30)
#define EFLAGS_ID         (1u << 21)

static void Cpuid(uint32_t Leaf, uint32_t *Ecx, uint32_t *Edx)
{
    uint32_t Eax = Leaf, Ebx;

    *Ecx = 0;
    __asm__ volatile("cpuid" : "+a"(Eax), "=b"(Ebx), "+c"(*Ecx), "=d"(*Edx));
}

static uint32_t HighestExtendedLeaf(void)
{
    uint32_t Eax = 0x80000000u, Ebx, Ecx, Edx;

    __asm__ volatile("cpuid" : "+a"(Eax), "=b"(Ebx), "=c"(Ecx), "=d"(Edx));
    return Eax;
}

/* CPUID exists if software can change EFLAGS.ID. */
static int HasCpuid(void)
{
    uint32_t Before, After;

    __asm__ volatile("pushfl; popl %0; movl %0, %1; xorl %2, %1; pushl %1; popfl; pushfl; popl %1; pushl %0; popfl"
                     : "=&r"(Before), "=&r"(After)
                     : "i"(EFLAGS_ID)
                     : "cc");
    return ((Before ^ After) & EFLAGS_ID) != 0;
}

void OslCheckProcessor(void)
{
    uint32_t Ecx, Edx = 0;

    if (HasCpuid() && HighestExtendedLeaf() >= EXTENDED_FEATURES) {
        Cpuid(EXTENDED_FEATURES, &Ecx, &Edx);
    }
    if ((Edx & EDX_LONG_MODE) == 0) {
        OslFail("this processor has no 64-bit (long) mode, which Oriel needs");
    }
    if ((Edx & EDX_NX) == 0) {
        OslFail("this processor has no no-execute (NX) pages, which Oriel needs (or firmware disables them)");
    }
}

int OslHasRdrand(void)
{
    uint32_t Ecx, Edx;

    Cpuid(1, &Ecx, &Edx);
    return (Ecx & ECX_RDRAND) != 0;
}
