/*
 * ke_machine.c - suite ke.machine: what drivers are told of processors, and wide vector registers that they use.
 *
 * The AVX cases run where AVX is enabled (-cpu max); elsewhere they show that nothing but XMM is claimed. The registers are held
 * across busy loops and sleeps of more threads than there are processors, and clobbered by DPCs that save what they use.
 */
#include "ketest.h"

#define YMM_BYTES   32
#define ANSWER_ROOM 16384

static UCHAR Answer[ANSWER_ROOM] __attribute__((aligned(8)));

/* Do the records fill the answer, and does each kind come so often? Caches: at least one, or none at all. */
static BOOLEAN CountRelations(ULONG Bytes, PULONG Counts)
{
    RtlZeroMemory(Counts, sizeof(ULONG) * (RelationGroup + 1));
    for (ULONG Offset = 0; Offset < Bytes;) {
        PSYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX Record = (PVOID)(Answer + Offset);

        if (Record->Relationship > RelationGroup || Record->Size == 0 || Offset + Record->Size > Bytes) {
            return FALSE;
        }
        Counts[Record->Relationship]++;
        Offset += Record->Size;
    }
    return TRUE;
}

static VOID Relations(PKTAP_CONTEXT Ktap)
{
    ULONG Processors = KeQueryActiveProcessorCount(NULL), Needed = 0, Length, Counts[RelationGroup + 1];
    PROCESSOR_NUMBER Number = {.Number = (UCHAR)Processors};
    PSYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX First = (PVOID)Answer;

    KTAP_EQUAL(KeQueryLogicalProcessorRelationship(NULL, RelationAll, NULL, &Needed), STATUS_INFO_LENGTH_MISMATCH);
    KTAP_CHECK(Needed != 0 && Needed <= ANSWER_ROOM);
    Length = Needed - 1;
    KTAP_EQUAL(KeQueryLogicalProcessorRelationship(NULL, RelationAll, First, &Length), STATUS_INFO_LENGTH_MISMATCH);
    KTAP_EQUAL(Length, Needed);
    KTAP_EQUAL(KeQueryLogicalProcessorRelationship(NULL, RelationAll, First, &Length), STATUS_SUCCESS);
    KTAP_EQUAL(Length, Needed);
    KTAP_CHECK(CountRelations(Length, Counts));
    KTAP_CHECK(Counts[RelationProcessorCore] == Processors && Counts[RelationProcessorPackage] == Processors);
    KTAP_CHECK(Counts[RelationGroup] == 1 && Counts[RelationNumaNode] == 1);
    KTAP_EQUAL(Counts[RelationCache] % Processors, 0);

    KTAP_EQUAL(KeQueryLogicalProcessorRelationship(&Number, RelationAll, First, &Length), STATUS_INVALID_PARAMETER);
    Number.Number = (UCHAR)(Processors - 1);
    Length = ANSWER_ROOM;
    KTAP_EQUAL(KeQueryLogicalProcessorRelationship(&Number, RelationProcessorCore, First, &Length), STATUS_SUCCESS);
    KTAP_EQUAL(Length, First->Size);
    KTAP_EQUAL(First->Processor.GroupMask[0].Mask, (KAFFINITY)1 << Number.Number);
    Length = ANSWER_ROOM;
    KTAP_EQUAL(KeQueryLogicalProcessorRelationship(NULL, RelationGroup, First, &Length), STATUS_SUCCESS);
    KTAP_EQUAL(First->Group.GroupInfo[0].ActiveProcessorMask, KeQueryActiveProcessors());
    KTAP_EQUAL(First->Group.GroupInfo[0].ActiveProcessorCount, Processors);
}

static VOID CacheLine(PKTAP_CONTEXT Ktap)
{
    ULONG Line = KeGetRecommendedSharedDataAlignment(), Length = ANSWER_ROOM;
    PSYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX First = (PVOID)Answer;

    KTAP_CHECK(Line >= 32 && Line <= 256 && (Line & (Line - 1)) == 0);
    KTAP_EQUAL(KeQueryLogicalProcessorRelationship(NULL, RelationCache, First, &Length), STATUS_SUCCESS);
    if (Length != 0) {
        KTAP_EQUAL(First->Cache.LineSize, Line);
        KTAP_CHECK(First->Cache.CacheSize >= 1024 && First->Cache.Level >= 1 && First->Cache.Level <= 4);
    }
}

/* ---- Registers ---- */

static volatile LONG Wrong, Unsaved;

static VOID LoadYmm(const UCHAR *From)
{
    __asm__ volatile("vmovdqu (%0), %%ymm0\n\tvmovdqu (%0), %%ymm7\n\tvmovdqu (%0), %%ymm15" ::"r"(From) : "memory");
}

static BOOLEAN IsYmm(const UCHAR *Expected)
{
    UCHAR Found[3][YMM_BYTES];

    __asm__ volatile("vmovdqu %%ymm0, (%0)\n\tvmovdqu %%ymm7, 32(%0)\n\tvmovdqu %%ymm15, 64(%0)" ::"r"(Found)
                     : "memory");
    return RtlCompareMemory(Found[0], Expected, YMM_BYTES) == YMM_BYTES &&
           RtlCompareMemory(Found[1], Expected, YMM_BYTES) == YMM_BYTES &&
           RtlCompareMemory(Found[2], Expected, YMM_BYTES) == YMM_BYTES;
}

/* Uses the registers for itself, and gives them back. */
static VOID NTAPI UseYmm(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    UCHAR Junk[YMM_BYTES];
    XSTATE_SAVE Save;

    RtlFillMemory(Junk, sizeof(Junk), 0xA5);
    if (!NT_SUCCESS(KeSaveExtendedProcessorState(XSTATE_MASK_LEGACY | XSTATE_MASK_GSSE, &Save))) {
        InterlockedIncrement(&Unsaved);
        return;
    }
    LoadYmm(Junk);
    if (!IsYmm(Junk)) {
        InterlockedIncrement(&Wrong);
    }
    KeRestoreExtendedProcessorState(&Save);
}

/* A thread that has saved finds its own values after losing the processor. */
static VOID HoldYmm(ULONG Number)
{
    UCHAR Mine[YMM_BYTES];
    XSTATE_SAVE Save;
    KDPC Dpc;

    KeInitializeDpc(&Dpc, UseYmm, NULL);
    for (ULONG64 Round = 0; Round < KtapIterations(20); Round++) {
        RtlFillMemory(Mine, sizeof(Mine), (int)(Round ^ Number << 4));
        if (!NT_SUCCESS(KeSaveExtendedProcessorState(XSTATE_MASK_LEGACY | XSTATE_MASK_GSSE, &Save))) {
            InterlockedIncrement(&Unsaved);
            return;
        }
        LoadYmm(Mine);
        for (ULONG Turn = 0; Turn < 4; Turn++) {
            KeInsertQueueDpc(&Dpc, NULL, NULL);
            UseYmm(NULL, NULL, NULL, NULL); /* a save inside a save */
            if (Turn % 2 == 0) {
                TestSleep(1);
            }
            if (!IsYmm(Mine)) {
                InterlockedIncrement(&Wrong);
            }
        }
        KeRestoreExtendedProcessorState(&Save);
    }
    KeFlushQueuedDpcs(); /* the DPC lies on this stack */
}

static VOID WideRegisters(PKTAP_CONTEXT Ktap)
{
    ULONG64 Enabled = RtlGetEnabledExtendedFeatures(~0ULL);
    XSTATE_SAVE Save;

    KTAP_EQUAL(RtlGetEnabledExtendedFeatures(XSTATE_MASK_GSSE), Enabled & XSTATE_MASK_GSSE);
    KTAP_EQUAL(KeSaveExtendedProcessorState(~0ULL, &Save), STATUS_SUCCESS);
    KeRestoreExtendedProcessorState(&Save);
    KTAP_EQUAL(Save.XStateContext.Mask, Enabled);
    if ((Enabled & XSTATE_MASK_GSSE) == 0) {
        return;
    }
    Wrong = Unsaved = 0;
    KTAP_CHECK(TestParallel(TestRacers(), HoldYmm));
    KTAP_EQUAL(Wrong, 0);
    KTAP_EQUAL(Unsaved, 0);
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"relations", Relations}, {"cache_line", CacheLine}, {"wide_registers", WideRegisters}};
KTAP_SUITE(KeMachineSuite, "ke.machine", Cases);
