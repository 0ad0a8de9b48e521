/*
 * mm_pcid.c - suite mm.pcid: what a processor keeps of an address space that it leaves is used again only while it is true.
 *
 * Where processors have process-context identifiers the counters show that they are used; the values that are read have to be right with
 * them and without. A change is made where the first processor cannot hear of it: by a second one, while the first is in another space.
 */
#include "ketest.h"
#include "proctest.h"

#define PCID_SPACES (2 * MI_PCIDS + 3) /* more than there are identifiers */

static PVOID PcidBase;

/* Enters a space and reads its word; 0 and an error are told apart by the caller's expectation. */
static ULONG64 ReadIn(PEPROCESS Process)
{
    ULONG64 Value = MAXULONG64;
    KAPC_STATE State;

    KeStackAttachProcess((PVOID)Process, &State);
    if (!NT_SUCCESS(TestRead(PcidBase, &Value))) {
        Value = MAXULONG64;
    }
    KeUnstackDetachProcess(&State);
    return Value;
}

/* Makes the word's page, at the same address in each space, and writes to it. */
static BOOLEAN WriteIn(PEPROCESS Process, ULONG64 Value)
{
    SIZE_T Size = PAGE_SIZE;
    KAPC_STATE State;
    BOOLEAN Done;

    KeStackAttachProcess((PVOID)Process, &State);
    PcidBase = (PVOID)0x10000000;
    Done = NT_SUCCESS(TestAllocate(&PcidBase, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE)) &&
           NT_SUCCESS(TestWrite(PcidBase, Value));
    KeUnstackDetachProcess(&State);
    return Done;
}

/* Coming back to a space that nobody changed flushes nothing. */
static VOID PcidKept(PKTAP_CONTEXT Ktap)
{
    PEPROCESS Process = TestCreateProcess();
    MM_PCID_USE Before, After;
    ULONG64 Value;
    BOOLEAN Made;

    KTAP_CHECK(Process != NULL);
    Made = WriteIn(Process, 77);
    MmQueryPcid(&Before);
    Value = ReadIn(Process);
    for (ULONG Turn = 0; Turn < 9; Turn++) {
        ReadIn(Process);
    }
    MmQueryPcid(&After);
    TestDeleteProcess(Process);
    KTAP_CHECK(Made);
    KTAP_EQUAL(Value, 77);
    KTAP_EQUAL(After.Enabled, MmPcidEnabled);
    if (MmPcidEnabled) { /* two loads a visit; other threads may load as well, and this one may move to another processor */
        KTAP_CHECK(After.Kept - Before.Kept >= 10);
    } else {
        KTAP_EQUAL(After.Kept + After.Flushed, 0);
    }
}

/* More spaces than identifiers, in turn: each has its own page at the address. */
static VOID PcidMany(PKTAP_CONTEXT Ktap)
{
    PEPROCESS Process[PCID_SPACES] = {NULL};
    ULONG Wrong = 0, Made = 0;

    for (ULONG Index = 0; Index < PCID_SPACES; Index++) {
        Process[Index] = TestCreateProcess();
        Made += Process[Index] != NULL && WriteIn(Process[Index], Index + 1) ? 1 : 0;
    }
    for (ULONG Turn = 0; Made == PCID_SPACES && Turn < 4 * PCID_SPACES; Turn++) {
        ULONG Index = Turn % 2 == 0 ? Turn % PCID_SPACES : Turn * 7 % PCID_SPACES;

        Wrong += ReadIn(Process[Index]) != Index + 1;
    }
    for (ULONG Index = 0; Index < PCID_SPACES; Index++) {
        if (Process[Index] != NULL) {
            TestDeleteProcess(Process[Index]);
        }
    }
    KTAP_EQUAL(Made, PCID_SPACES);
    KTAP_EQUAL(Wrong, 0);
}

/* A space that is made where another one was, often of the same frames and at the same object, has nothing of it. */
static VOID PcidReused(PKTAP_CONTEXT Ktap)
{
    for (ULONG64 Turn = 1; Turn <= KtapIterations(50); Turn++) {
        PEPROCESS Process = TestCreateProcess();
        MM_PCID_USE Old, New;
        ULONG64 Before, After;
        BOOLEAN Made;

        KTAP_CHECK(Process != NULL);
        MmQueryPcid(&Old);
        Before = ReadIn(Process);
        MmQueryPcid(&New);
        Made = WriteIn(Process, Turn);
        After = ReadIn(Process);
        TestDeleteProcess(Process);
        KTAP_EQUAL(Before, MAXULONG64); /* nothing is there yet */
        KTAP_CHECK(Made);
        KTAP_EQUAL(After, Turn);
        KTAP_CHECK(!MmPcidEnabled || New.Flushed > Old.Flushed); /* its first load keeps nothing */
    }
}

/* ---- A change that the processor does not hear of ---- */

static PEPROCESS PcidProcess;
static KEVENT PcidGo, PcidDone;
static volatile BOOLEAN PcidStop;

/* On the second processor: gives the page another frame each time it is asked. */
static VOID NTAPI ChangeElsewhere(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    KeSetSystemAffinityThread(2);
    for (;;) {
        SIZE_T Size = PAGE_SIZE;
        PVOID Base = PcidBase;
        KAPC_STATE State;

        KeWaitForSingleObject(&PcidGo, Executive, KernelMode, FALSE, NULL);
        if (PcidStop) {
            break;
        }
        KeStackAttachProcess((PVOID)PcidProcess, &State);
        TestFree(Base, Size, MEM_DECOMMIT);
        TestAllocate(&Base, &Size, MEM_COMMIT, PAGE_READWRITE);
        KeUnstackDetachProcess(&State);
        KeSetEvent(&PcidDone, IO_NO_INCREMENT, FALSE);
    }
    KeSetEvent(&PcidDone, IO_NO_INCREMENT, FALSE);
}

/* The first processor writes, leaves; the second changes the page; the first comes back and must find zeros. */
static VOID PcidElsewhere(PKTAP_CONTEXT Ktap)
{
    ULONG64 Stale = 0, Rounds = KtapIterations(200);
    MM_PCID_USE Before, After;
    BOOLEAN Made;

    if (KeQueryActiveProcessorCount(NULL) < 2) {
        return;
    }
    KeInitializeEvent(&PcidGo, SynchronizationEvent, FALSE);
    KeInitializeEvent(&PcidDone, SynchronizationEvent, FALSE);
    PcidStop = FALSE;
    PcidProcess = TestCreateProcess();
    KTAP_CHECK(PcidProcess != NULL);
    KeSetSystemAffinityThread(1);
    Made = WriteIn(PcidProcess, 5) && TestThread(ChangeElsewhere, NULL, 8);
    MmQueryPcid(&Before);
    for (ULONG64 Round = 1; Made && Round <= Rounds; Round++) {
        KAPC_STATE State;

        KeStackAttachProcess((PVOID)PcidProcess, &State);
        TestWrite(PcidBase, Round);
        KeUnstackDetachProcess(&State);
        KeSetEvent(&PcidGo, IO_NO_INCREMENT, FALSE);
        Made = TestWait(&PcidDone) == STATUS_SUCCESS;
        Stale += ReadIn(PcidProcess) != 0;
    }
    PcidStop = TRUE;
    KeSetEvent(&PcidGo, IO_NO_INCREMENT, FALSE);
    TestWait(&PcidDone);
    MmQueryPcid(&After);
    KeRevertToUserAffinityThread();
    TestDeleteProcess(PcidProcess);
    KTAP_CHECK(Made);
    KTAP_EQUAL(Stale, 0);
    if (MmPcidEnabled) { /* an emulator may drop translations unasked: so the flush itself is looked for, too */
        KTAP_CHECK(After.Flushed - Before.Flushed >= Rounds);
    }
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"kept", PcidKept}, {"many", PcidMany}, {"reused", PcidReused}, {"elsewhere", PcidElsewhere}};
KTAP_SUITE(MmPcidSuite, "mm.pcid", Cases);
