/*
 * mm_seen.c - suite mm.seen: what people are told of memory is what is there.
 *
 * Frames by use are compared with the lists, the exposure counters and things that the case itself makes; vmmap with what the
 * services say of the same process.
 */
#include "proctest.h"
#include "../../src/mm/frameuse.h"

#define TAG        'nesT'
#define HELD_PAGES 37
#define STACK_SIZE 0x6000

static ULONG64 UseOf(const MI_FRAME_SNAPSHOT *Snapshot, MI_FRAME_USE Use)
{
    ULONG64 Sum = 0;

    for (ULONG State = 0; State < MiStateMax; State++) {
        Sum += Snapshot->Counts.Of[Use][State];
    }
    return Sum;
}

static VOID SeenSums(PKTAP_CONTEXT Ktap)
{
    PUCHAR Codes = MmAllocatePoolPages(FALSE, MiRamFrames, TAG, TRUE);
    static MI_FRAME_COUNTS Found;
    MI_FRAME_SNAPSHOT Snapshot;
    ULONG64 Sum = 0, Files = 0, Standby = 0;

    KTAP_CHECK(Codes != NULL);
    KTAP_EQUAL(MiTakeFrameSnapshot(&Snapshot, Codes), STATUS_SUCCESS);
    RtlZeroMemory(&Found, sizeof(Found));
    for (ULONG64 Index = 0; Index < MiRamFrames; Index++) {
        Found.Of[MI_CODE_USE(Codes[Index])][MI_CODE_STATE(Codes[Index])]++;
    }
    MmFreePoolPages(Codes);
    for (ULONG Use = 0; Use < MiUseMax; Use++) {
        Sum += UseOf(&Snapshot, Use);
        Standby += Snapshot.Counts.Of[Use][MiStandby];
        for (ULONG State = 0; State < MiStateMax; State++) {
            if (Found.Of[Use][State] != Snapshot.Counts.Of[Use][State]) {
                KtapFail(Ktap, __FILE__, __LINE__, "codes and counts differ");
            }
        }
    }
    for (ULONG Index = 0; Index < Snapshot.FileCount; Index++) {
        for (ULONG Column = 0; Column < MiFileColumns; Column++) {
            Files += Snapshot.Files[Index].Frames[Column];
        }
    }
    for (ULONG Priority = 0; Priority < MI_STANDBY_LISTS; Priority++) {
        Standby -= Snapshot.Counts.Standby[Priority];
    }
    Files += Snapshot.OtherFiles;
    Files -= UseOf(&Snapshot, MiUseImage) + UseOf(&Snapshot, MiUseMappedFile) + UseOf(&Snapshot, MiUseCache);
    MiReleaseFrameSnapshot(&Snapshot);
    KTAP_EQUAL(Sum, MiRamFrames);
    KTAP_EQUAL(Standby, 0);
    KTAP_EQUAL(Files, 0);
}

/* Pool, a stack and a process's pages appear under their names, each as many as were made. */
static VOID SeenUses(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    SIZE_T Size = HELD_PAGES * PAGE_SIZE;
    MI_FRAME_SNAPSHOT Before, After;
    PVOID Run, Stack, Base = NULL;

    MiTrimStackCache();
    KTAP_EQUAL(MiTakeFrameSnapshot(&Before, NULL), STATUS_SUCCESS);
    MiReleaseFrameSnapshot(&Before);
    Run = ExAllocatePoolWithTag(NonPagedPool, HELD_PAGES * PAGE_SIZE, TAG);
    Stack = MmCreateKernelStack(STACK_SIZE);
    KTAP_EQUAL(TestAllocate(&Base, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE), STATUS_SUCCESS);
    for (ULONG Page = 0; Page < HELD_PAGES; Page++) {
        KTAP_EQUAL(TestWrite((PUCHAR)Base + Page * PAGE_SIZE, Page), STATUS_SUCCESS);
    }
    KTAP_EQUAL(MiTakeFrameSnapshot(&After, NULL), STATUS_SUCCESS);
    MiReleaseFrameSnapshot(&After);
    ExFreePoolWithTag(Run, TAG);
    MmDeleteKernelStack(Stack, STACK_SIZE);
    MiTrimStackCache();
    KTAP_CHECK(UseOf(&After, MiUseNonPagedPool) >= UseOf(&Before, MiUseNonPagedPool) + HELD_PAGES);
    KTAP_CHECK(UseOf(&After, MiUseNonPagedPool) <= UseOf(&Before, MiUseNonPagedPool) + HELD_PAGES + 8);
    KTAP_EQUAL(UseOf(&After, MiUseStack), UseOf(&Before, MiUseStack) + STACK_SIZE / PAGE_SIZE);
    KTAP_EQUAL(UseOf(&After, MiUsePrivate), UseOf(&Before, MiUsePrivate) + HELD_PAGES);
    KTAP_EQUAL(UseOf(&After, MiUsePageTable), UseOf(&Before, MiUsePageTable) + 3);
    KTAP_EQUAL(UseOf(&After, MiUseWorkingSet), UseOf(&Before, MiUseWorkingSet));
}

static VOID SeenUsesCase(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, SeenUses);
}

/* What the kernel half maps by region is, in frames, what the same regions are used for. */
static VOID SeenAgainstExposure(PKTAP_CONTEXT Ktap)
{
    MI_FRAME_SNAPSHOT Snapshot;
    MM_EXPOSURE Exposure;

    KTAP_EQUAL(MiTakeFrameSnapshot(&Snapshot, NULL), STATUS_SUCCESS);
    MiReleaseFrameSnapshot(&Snapshot);
    MmQueryExposure(&Exposure);
    KTAP_EQUAL(UseOf(&Snapshot, MiUsePfnDatabase), Exposure.Frames[MmRegionPfnDatabase]);
    KTAP_EQUAL(UseOf(&Snapshot, MiUseKernelImage) + UseOf(&Snapshot, MiUseDriver), Exposure.Frames[MmRegionImages]);
    KTAP_CHECK(UseOf(&Snapshot, MiUseStack) + UseOf(&Snapshot, MiUseSystemPte) <= Exposure.Frames[MmRegionSystemPtes]);
    KTAP_EQUAL(UseOf(&Snapshot, MiUseAwe), 0);
}

static const KTAP_CASE_ENTRY SeenCases[] = {
    {"sums", SeenSums},
    {"uses", SeenUsesCase},
    {"regions", SeenAgainstExposure},
};
KTAP_SUITE(MmSeenSuite, "mm.seen", SeenCases);
