/*
 * ke_xmm.c - suite ke.xmm: vector registers of threads survive DPCs that use SSE, and other threads.
 *
 * Each thread loads all sixteen registers with its own pattern, works for a while, and looks whether they are what they were. Meanwhile
 * DPCs on every processor overwrite XMM0-5, which the calling convention lets a routine do, and threads outnumber processors.
 */
#include "ketest.h"

#define REGISTERS 16

static KDPC Dpcs[KI_MAXIMUM_PROCESSORS];
static volatile LONG DpcRuns, Wrong;
static ULONG64 Rounds;

static VOID NTAPI UseSse(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    static const M128A Junk = {.Low = 0xDEADBEEFDEADBEEFULL, .High = -1};

    __asm__ volatile("movups %0, %%xmm0\n\tmovups %0, %%xmm1\n\tmovups %0, %%xmm2\n\t"
                     "movups %0, %%xmm3\n\tmovups %0, %%xmm4\n\tmovups %0, %%xmm5\n\tmulps %%xmm1, %%xmm0" ::"m"(Junk));
    InterlockedIncrement(&DpcRuns);
}

#define LOAD(N)  "movups " #N "*16(%0), %%xmm" #N "\n\t"
#define STORE(N) "movups %%xmm" #N ", " #N "*16(%1)\n\t"

/* Loads In, counts down Loops, stores to Out. */
static DECLSPEC_NOINLINE VOID HoldRegisters(const M128A *In, M128A *Out, ULONG64 Loops)
{
    __asm__ volatile(LOAD(0) LOAD(1) LOAD(2) LOAD(3) LOAD(4) LOAD(5) LOAD(6) LOAD(7) LOAD(8) LOAD(9) LOAD(10) LOAD(11)
                         LOAD(12) LOAD(13) LOAD(14) LOAD(15) "1:\n\tdecq %2\n\tjnz 1b\n\t" STORE(0) STORE(1) STORE(2)
                             STORE(3) STORE(4) STORE(5) STORE(6) STORE(7) STORE(8) STORE(9) STORE(10) STORE(11)
                                 STORE(12) STORE(13) STORE(14) STORE(15)
                     : "+r"(In), "+r"(Out), "+r"(Loops)::"memory");
}

static VOID HoldOften(ULONG Number)
{
    M128A In[REGISTERS], Out[REGISTERS];

    for (ULONG64 Round = 0; Round < Rounds; Round++) {
        for (ULONG Index = 0; Index < REGISTERS; Index++) {
            In[Index] = (M128A){.Low = Round << 32 | Number << 8 | Index, .High = ~(LONG64)Index};
        }
        KeInsertQueueDpc(&Dpcs[Round % KeQueryActiveProcessorCount(NULL)], NULL, NULL);
        HoldRegisters(In, Out, 20000);
        if (RtlCompareMemory(In, Out, sizeof(In)) != sizeof(In)) {
            InterlockedIncrement(&Wrong);
        }
    }
}

static VOID DpcsAndThreads(PKTAP_CONTEXT Ktap)
{
    for (ULONG Index = 0; Index < KeQueryActiveProcessorCount(NULL); Index++) {
        KeInitializeDpc(&Dpcs[Index], UseSse, NULL);
        KeSetTargetProcessorDpc(&Dpcs[Index], (CCHAR)Index);
    }
    DpcRuns = 0;
    Wrong = 0;
    Rounds = KtapIterations(500);
    KTAP_CHECK(TestParallel(TestRacers(), HoldOften));
    KeFlushQueuedDpcs();
    KTAP_EQUAL(Wrong, 0);
    KTAP_CHECK(DpcRuns >= 1);
}

static const KTAP_CASE_ENTRY Cases[] = {{"dpcs_and_threads", DpcsAndThreads}};
KTAP_SUITE(KeXmmSuite, "ke.xmm", Cases);
