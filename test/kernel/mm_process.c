/*
 * mm_process.c - suite mm.process: address spaces, private memory and its faults, seen from the kernel attached to them.
 *
 * MiVerify runs with each process alive and, by the runner, after it is gone: used entries, working-set lists, shares and
 * charges are compared with the page tables both times.
 */
#include "proctest.h"

/* An empty process costs what it says and gives all of it back. */
static VOID ProcessEmpty(PKTAP_CONTEXT Ktap)
{
    ULONG64 Commit = MiCommit.Charged;
    PEPROCESS Process = TestCreateProcess();
    PMI_ADDRESS_SPACE Space;

    KTAP_CHECK(Process != NULL);
    Space = MiSpaceOf(Process);
    KTAP_EQUAL(MiCommit.Charged - Commit, Space->TablePages);
    KTAP_EQUAL(Process->Pcb.DirectoryTableBase, (ULONG64)Space->RootFrame << PAGE_SHIFT);
    KTAP_EQUAL(MiVerify(), 0);
    TestDeleteProcess(Process);
    KTAP_EQUAL(MiCommit.Charged, Commit);
}

static VOID CommitAndTouch(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    PMI_ADDRESS_SPACE Space = MiSpaceOf(Process);
    PVOID Base = NULL;
    SIZE_T Size = 40 * PAGE_SIZE + 1;
    ULONG64 Value, Before = Space->Commit;

    KTAP_EQUAL(TestAllocate(&Base, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE), STATUS_SUCCESS);
    KTAP_EQUAL(Size, 41 * PAGE_SIZE);
    KTAP_EQUAL((ULONG64)Base % 0x10000, 0);
    KTAP_EQUAL(Space->Commit - Before, 41);
    KTAP_EQUAL(Space->WorkingSet, 0);
    for (ULONG Page = 0; Page < 41; Page++) {
        PUCHAR Address = (PUCHAR)Base + Page * PAGE_SIZE + 8;

        KTAP_EQUAL(TestRead(Address, &Value), STATUS_SUCCESS);
        KTAP_EQUAL(Value, 0);
        KTAP_EQUAL(TestWrite(Address, Page ^ 0x5A5A), STATUS_SUCCESS);
    }
    KTAP_EQUAL(Space->WorkingSet, 41);
    for (ULONG Page = 0; Page < 41; Page++) {
        KTAP_EQUAL(TestRead((PUCHAR)Base + Page * PAGE_SIZE + 8, &Value), STATUS_SUCCESS);
        KTAP_EQUAL(Value, Page ^ 0x5A5A);
    }
    KTAP_EQUAL(MiVerify(), 0);
    KTAP_EQUAL(TestFree(Base, 0, MEM_RELEASE), STATUS_SUCCESS);
    KTAP_EQUAL(Space->WorkingSet, 0);
    KTAP_EQUAL(Space->Commit, Before);
    KTAP_EQUAL(TestRead(Base, &Value), STATUS_ACCESS_VIOLATION);
}

static VOID ProcessCommit(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, CommitAndTouch);
}

/* Two processes see different pages at one address. */
static VOID ProcessSeparate(PKTAP_CONTEXT Ktap)
{
    PEPROCESS Process[2] = {TestCreateProcess(), TestCreateProcess()};
    KAPC_STATE State;
    ULONG64 Value = 0;

    KTAP_CHECK(Process[0] != NULL && Process[1] != NULL);
    for (ULONG Turn = 0; Turn < 2; Turn++) {
        PVOID Base = (PVOID)0x7000000;
        SIZE_T Size = PAGE_SIZE;

        KeStackAttachProcess((PVOID)Process[Turn], &State);
        KTAP_EQUAL(TestAllocate(&Base, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE), STATUS_SUCCESS);
        KTAP_EQUAL(TestWrite(Base, 100 + Turn), STATUS_SUCCESS);
        KeUnstackDetachProcess(&State);
    }
    for (ULONG Turn = 0; Turn < 2; Turn++) {
        KeStackAttachProcess((PVOID)Process[Turn], &State);
        KTAP_EQUAL(TestRead((PVOID)0x7000000, &Value), STATUS_SUCCESS);
        KTAP_EQUAL(Value, 100 + Turn);
        KeUnstackDetachProcess(&State);
    }
    KTAP_EQUAL(MiVerify(), 0);
    TestDeleteProcess(Process[0]); /* with its pages */
    TestDeleteProcess(Process[1]);
    KTAP_EQUAL(TestRead((PVOID)0x7000000, &Value), STATUS_ACCESS_VIOLATION);
}

/* A terabyte of addresses costs a VAD; pages far apart get tables of their own, and give them back. */
static VOID SparseBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    PMI_ADDRESS_SPACE Space = MiSpaceOf(Process);
    ULONG64 Tables = Space->TablePages, Value;
    PVOID Base = NULL;
    SIZE_T Size = 1ULL << 40;

    KTAP_EQUAL(TestAllocate(&Base, &Size, MEM_RESERVE, PAGE_READWRITE), STATUS_SUCCESS);
    KTAP_EQUAL(Space->TablePages, Tables);
    KTAP_EQUAL(TestRead(Base, &Value), STATUS_ACCESS_VIOLATION); /* reserved is not committed */
    for (ULONG64 Gigabyte = 0; Gigabyte < 1024; Gigabyte += 128) {
        PVOID Page = (PUCHAR)Base + (Gigabyte << 30);
        SIZE_T One = PAGE_SIZE;

        KTAP_EQUAL(TestAllocate(&Page, &One, MEM_COMMIT, PAGE_READWRITE), STATUS_SUCCESS);
        KTAP_EQUAL(TestWrite(Page, Gigabyte), STATUS_SUCCESS);
    }
    KTAP_CHECK(Space->TablePages >= Tables + 16);
    KTAP_EQUAL(MiVerify(), 0);
    for (ULONG64 Gigabyte = 0; Gigabyte < 1024; Gigabyte += 128) {
        PVOID Page = (PUCHAR)Base + (Gigabyte << 30);

        KTAP_EQUAL(TestRead(Page, &Value), STATUS_SUCCESS);
        KTAP_EQUAL(Value, Gigabyte);
        KTAP_EQUAL(TestFree(Page, PAGE_SIZE, MEM_DECOMMIT), STATUS_SUCCESS);
        KTAP_EQUAL(TestRead(Page, &Value), STATUS_ACCESS_VIOLATION);
    }
    KTAP_EQUAL(Space->TablePages, Tables);
    KTAP_EQUAL(TestFree(Base, 0, MEM_RELEASE), STATUS_SUCCESS);
}

static VOID ProcessSparse(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, SparseBody);
}

/* Decommitted pages are gone and uncharged; committed anew they are zero. */
static VOID DecommitBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    PMI_ADDRESS_SPACE Space = MiSpaceOf(Process);
    PVOID Base = NULL, Middle;
    SIZE_T Size = 16 * PAGE_SIZE;
    ULONG64 Charged, Value;

    KTAP_EQUAL(TestAllocate(&Base, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE), STATUS_SUCCESS);
    for (ULONG Page = 0; Page < 8; Page++) {
        KTAP_EQUAL(TestWrite((PUCHAR)Base + Page * PAGE_SIZE, Page + 1), STATUS_SUCCESS);
    }
    Charged = Space->Commit;
    Middle = (PUCHAR)Base + 4 * PAGE_SIZE;
    KTAP_EQUAL(TestFree(Middle, 8 * PAGE_SIZE, MEM_DECOMMIT), STATUS_SUCCESS); /* four touched, four not */
    KTAP_EQUAL(Charged - Space->Commit, 8);
    KTAP_EQUAL(TestFree(Middle, 8 * PAGE_SIZE, MEM_DECOMMIT), STATUS_SUCCESS); /* again: no change */
    KTAP_EQUAL(Charged - Space->Commit, 8);
    KTAP_EQUAL(TestRead(Middle, &Value), STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(TestRead((PUCHAR)Base + 3 * PAGE_SIZE, &Value), STATUS_SUCCESS);
    KTAP_EQUAL(Value, 4);
    KTAP_EQUAL(MiVerify(), 0);
    Size = 2 * PAGE_SIZE;
    KTAP_EQUAL(TestAllocate(&Middle, &Size, MEM_COMMIT, PAGE_READONLY), STATUS_SUCCESS);
    KTAP_EQUAL(Charged - Space->Commit, 6);
    KTAP_EQUAL(TestRead(Middle, &Value), STATUS_SUCCESS);
    KTAP_EQUAL(Value, 0);
    KTAP_EQUAL(TestWrite(Middle, 1), STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(TestFree(Base, 0, MEM_DECOMMIT), STATUS_SUCCESS); /* all of it: a plain reservation again */
    KTAP_EQUAL(TestRead(Base, &Value), STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(TestFree(Base, 0, MEM_RELEASE), STATUS_SUCCESS);
}

static VOID ProcessDecommit(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, DecommitBody);
}

/* Releasing the middle of a region makes two of it; their ends can be released too. */
static VOID SplitBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    PMI_ADDRESS_SPACE Space = MiSpaceOf(Process);
    PVOID Base = NULL;
    PUCHAR Page;
    SIZE_T Size = 12 * PAGE_SIZE;
    ULONG64 Before = Space->Commit, Value;

    KTAP_EQUAL(TestAllocate(&Base, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE), STATUS_SUCCESS);
    Page = Base;
    KTAP_EQUAL(TestWrite(Page, 1), STATUS_SUCCESS);
    KTAP_EQUAL(TestWrite(Page + 11 * PAGE_SIZE, 12), STATUS_SUCCESS);
    KTAP_EQUAL(TestFree(Page + 10 * PAGE_SIZE, PAGE_SIZE, MEM_DECOMMIT), STATUS_SUCCESS);
    KTAP_EQUAL(TestFree(Page + 4 * PAGE_SIZE, 4 * PAGE_SIZE, MEM_RELEASE), STATUS_SUCCESS);
    KTAP_EQUAL(Space->Vads.NumberGenericTableElements, 2);
    KTAP_EQUAL(Space->Commit - MiSpaceOf(Process)->TablePages, 7);
    KTAP_EQUAL(TestFree(Page, PAGE_SIZE, MEM_RELEASE), STATUS_SUCCESS);
    KTAP_EQUAL(TestFree(Page + 9 * PAGE_SIZE, 0, MEM_RELEASE), STATUS_FREE_VM_NOT_AT_BASE);
    KTAP_EQUAL(TestRead(Page, &Value), STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(TestRead(Page + 11 * PAGE_SIZE, &Value), STATUS_SUCCESS);
    KTAP_EQUAL(Value, 12);
    KTAP_EQUAL(MiVerify(), 0);
    KTAP_EQUAL(TestFree(Page + PAGE_SIZE, 0, MEM_RELEASE), STATUS_SUCCESS);
    KTAP_EQUAL(TestFree(Page + 8 * PAGE_SIZE, 0, MEM_RELEASE), STATUS_SUCCESS);
    KTAP_EQUAL(Space->Commit, Before);
}

static VOID ProcessSplit(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, SplitBody);
}

/* Guard pages shoot once; no-access pages keep their content. */
static VOID ProtectBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    PVOID Base = NULL;
    SIZE_T Size = 4 * PAGE_SIZE, Length;
    ULONG Old;
    ULONG64 Value;
    PUCHAR Page;

    KTAP_EQUAL(TestAllocate(&Base, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD), STATUS_SUCCESS);
    Page = Base;
    KTAP_EQUAL(TestRead(Page, &Value), STATUS_GUARD_PAGE_VIOLATION);
    KTAP_EQUAL(TestRead(Page, &Value), STATUS_SUCCESS);
    KTAP_EQUAL(TestWrite(Page + PAGE_SIZE, 7), STATUS_GUARD_PAGE_VIOLATION);
    KTAP_EQUAL(TestWrite(Page + PAGE_SIZE, 7), STATUS_SUCCESS);

    Base = Page + PAGE_SIZE;
    Length = PAGE_SIZE;
    KTAP_EQUAL(ZwProtectVirtualMemory(ZwCurrentProcess(), &Base, &Length, PAGE_NOACCESS, &Old), STATUS_SUCCESS);
    KTAP_EQUAL(Old, PAGE_READWRITE);
    KTAP_EQUAL(TestRead(Base, &Value), STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(MiVerify(), 0);
    KTAP_EQUAL(ZwProtectVirtualMemory(ZwCurrentProcess(), &Base, &Length, PAGE_READONLY, &Old), STATUS_SUCCESS);
    KTAP_EQUAL(Old, PAGE_NOACCESS);
    KTAP_EQUAL(TestRead(Base, &Value), STATUS_SUCCESS);
    KTAP_EQUAL(Value, 7);
    KTAP_EQUAL(TestWrite(Base, 8), STATUS_ACCESS_VIOLATION);
    KTAP_EQUAL(ZwProtectVirtualMemory(ZwCurrentProcess(), &Base, &Length, PAGE_READWRITE | PAGE_NOCACHE, &Old),
               STATUS_SUCCESS);
    KTAP_EQUAL(TestRead(Base, &Value), STATUS_SUCCESS);
    KTAP_EQUAL(Value, 7);
    KTAP_EQUAL(TestWrite(Base, 9), STATUS_SUCCESS);
    Base = Page;
    Length = 5 * PAGE_SIZE;
    KTAP_EQUAL(ZwProtectVirtualMemory(ZwCurrentProcess(), &Base, &Length, PAGE_READONLY, &Old),
               STATUS_CONFLICTING_ADDRESSES);
    Length = 4 * PAGE_SIZE;
    KTAP_EQUAL(ZwProtectVirtualMemory(ZwCurrentProcess(), &Base, &Length, PAGE_WRITECOPY, &Old),
               STATUS_INVALID_PAGE_PROTECTION);
    KTAP_EQUAL(TestFree(Page + 3 * PAGE_SIZE, PAGE_SIZE, MEM_DECOMMIT), STATUS_SUCCESS);
    KTAP_EQUAL(ZwProtectVirtualMemory(ZwCurrentProcess(), &Base, &Length, PAGE_READONLY, &Old), STATUS_NOT_COMMITTED);
    KTAP_EQUAL(TestFree(Page, 0, MEM_RELEASE), STATUS_SUCCESS);
}

static VOID ProcessProtect(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, ProtectBody);
}

/* Pages that are used stay young, the others grow old. */
static VOID AgeBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    PMI_ADDRESS_SPACE Space = MiSpaceOf(Process);
    PVOID Base = NULL;
    SIZE_T Size = 150 * PAGE_SIZE;
    ULONG Ages[8];
    ULONG64 Value;

    KTAP_EQUAL(TestAllocate(&Base, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE), STATUS_SUCCESS);
    for (ULONG Page = 0; Page < 150; Page++) {
        KTAP_EQUAL(TestWrite((PUCHAR)Base + Page * PAGE_SIZE, Page), STATUS_SUCCESS);
    }
    MiAgeWorkingSet(Space);
    MiCountAges(Space, Ages);
    KTAP_EQUAL(Ages[0], 150); /* all of them were used since they came */
    for (ULONG Pass = 1; Pass <= 9; Pass++) {
        for (ULONG Page = 0; Page < 50; Page++) {
            KTAP_EQUAL(TestRead((PUCHAR)Base + Page * PAGE_SIZE, &Value), STATUS_SUCCESS);
            KTAP_EQUAL(Value, Page);
        }
        if (Pass == 5) {
            KTAP_EQUAL(TestWrite((PUCHAR)Base + 149 * PAGE_SIZE, 149), STATUS_SUCCESS);
        }
        MiAgeWorkingSet(Space);
        MiCountAges(Space, Ages);
        KTAP_EQUAL(Ages[0], Pass == 5 ? 51 : 50);
        KTAP_EQUAL(Ages[min(Pass, 7)], Pass < 5 ? 100 : 99);
    }
    KTAP_EQUAL(Ages[4], 1);
    KTAP_EQUAL(TestRead((PUCHAR)Base + 149 * PAGE_SIZE, &Value), STATUS_SUCCESS);
    KTAP_EQUAL(Value, 149);
}

static VOID ProcessAge(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, AgeBody);
}

static VOID LimitsBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    SIZE_T Minimum, Maximum;

    MmQueryWorkingSetSize(Process, &Minimum, &Maximum);
    KTAP_CHECK(Minimum == 50 * PAGE_SIZE && Maximum == 345 * PAGE_SIZE);
    KTAP_EQUAL(MmAdjustWorkingSetSize(Process, 0, PAGE_SIZE, TRUE), STATUS_INVALID_PARAMETER);
    KTAP_EQUAL(MmAdjustWorkingSetSize(Process, 0, 0, FALSE), STATUS_SUCCESS);
    KTAP_EQUAL(MmAdjustWorkingSetSize(Process, MAXSIZE_T, MAXSIZE_T, FALSE), STATUS_SUCCESS);
    KTAP_EQUAL(MmAdjustWorkingSetSize(Process, 40 * PAGE_SIZE, 48 * PAGE_SIZE, FALSE), STATUS_BAD_WORKING_SET_LIMIT);
    KTAP_EQUAL(MmAdjustWorkingSetSize(Process, 1, 28 * PAGE_SIZE, FALSE), STATUS_BAD_WORKING_SET_LIMIT);
    KTAP_EQUAL(MmAdjustWorkingSetSize(Process, 40 * PAGE_SIZE, (MiRamFrames + 1) * PAGE_SIZE, FALSE),
               STATUS_BAD_WORKING_SET_LIMIT);
    KTAP_EQUAL(MmAdjustWorkingSetSize(Process, 60 * PAGE_SIZE, 100 * PAGE_SIZE, FALSE), STATUS_PRIVILEGE_NOT_HELD);
    KTAP_EQUAL(MmAdjustWorkingSetSize(Process, (MiRamFrames - 20) * PAGE_SIZE, MiRamFrames * PAGE_SIZE, TRUE),
               STATUS_INSUFFICIENT_RESOURCES);
    MmQueryWorkingSetSize(Process, &Minimum, &Maximum);
    KTAP_CHECK(Minimum == 50 * PAGE_SIZE && Maximum == 345 * PAGE_SIZE);
    KTAP_EQUAL(MmAdjustWorkingSetSize(Process, 60 * PAGE_SIZE, 100 * PAGE_SIZE, TRUE), STATUS_SUCCESS);
    KTAP_EQUAL(MmAdjustWorkingSetSize(Process, 1, 29 * PAGE_SIZE, FALSE), STATUS_SUCCESS);
    MmQueryWorkingSetSize(Process, &Minimum, &Maximum);
    KTAP_CHECK(Minimum == 20 * PAGE_SIZE && Maximum == 29 * PAGE_SIZE);
}

static VOID ProcessLimits(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, LimitsBody);
}

/* Fresh pages come from the processor's stash, 32 for one refill; given back under shortage, or when frames in a row are sought. */
static VOID StashBody(PKTAP_CONTEXT Ktap, PEPROCESS Process)
{
    PVOID Base = NULL;
    SIZE_T Size = 256 * PAGE_SIZE;
    ULONG64 Refills, Faults, Zeroed, Free;
    KIRQL Irql;

    KTAP_EQUAL(TestAllocate(&Base, &Size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE), STATUS_SUCCESS);
    Refills = MiStashRefills;
    Faults = MmFaultCounters.DemandZero;
    for (ULONG Page = 0; Page < 256; Page++) {
        KTAP_EQUAL(TestWrite((PUCHAR)Base + Page * PAGE_SIZE, Page + 1), STATUS_SUCCESS);
    }
    KTAP_CHECK(MmFaultCounters.DemandZero - Faults >= 256);
    KTAP_CHECK(MiStashRefills - Refills <= 64); /* the zero thread and the other processors take part */
    KTAP_EQUAL(MiVerify(), 0);
    KTAP_EQUAL(TestFree(Base, 0, MEM_RELEASE), STATUS_SUCCESS);
    Irql = MiLockPfn();
    MiCountStashed(&Free, &Zeroed);
    MiDrainStashes();
    MiUnlockPfn(Irql);
    KTAP_CHECK(Free != 0);
    KTAP_EQUAL(MiVerify(), 0);
}

static VOID ProcessStash(PKTAP_CONTEXT Ktap)
{
    TestInProcess(Ktap, StashBody);
}

static const KTAP_CASE_ENTRY Cases[] = {
    {"empty", ProcessEmpty},       {"commit", ProcessCommit}, {"separate", ProcessSeparate}, {"sparse", ProcessSparse},
    {"decommit", ProcessDecommit}, {"split", ProcessSplit},   {"protect", ProcessProtect},   {"age", ProcessAge},
    {"limits", ProcessLimits},     {"stash", ProcessStash},
};
KTAP_SUITE(MmProcessSuite, "mm.process", Cases);
